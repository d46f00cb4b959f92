/* Inside crypto only: fetched OpenSSL algorithms, per-thread contexts, BLAKE3's parts and the few
 * doors that tests need for vectors in forms that the public API does not take. */
#ifndef SES_CRYPTO_INTERNAL_H
#define SES_CRYPTO_INTERNAL_H

#include <openssl/evp.h>

#include "crypto/crypto.h"

/* ---- OpenSSL ---- */
enum ses_md { SES_MD_SHA256, SES_MD_SHA3_256, SES_MD_SHA3_512, SES_MD_SHAKE256, SES_MD_CNT };

/* Fetching costs more than hashing 32 bytes, so it is done once per process; the fetched objects
 * are immutable and shared by all threads. */
struct ses_algorithms {
    EVP_MD *md[SES_MD_CNT];
    EVP_MAC *kmac256;
    EVP_CIPHER *chacha20_poly1305;
    EVP_SIGNATURE *ml_dsa_65;
    bool ready;
};
/* NULL if the library lacks one of them. */
const struct ses_algorithms *ses_algorithms_try(void);
/* Aborts instead: for functions that cannot fail once ses_crypto_init was successful. */
const struct ses_algorithms *ses_algorithms(void);
/* A digest context of this thread, initialised with `md` and ready for updates; freed when the
 * thread ends. */
EVP_MD_CTX *ses_thread_md(enum ses_md md);
/* SES_OK if `ok`; else drops OpenSSL's error queue, so that no later call trips over it. */
SES_CHECKED enum ses_err ses_openssl_ok(bool ok, enum ses_err err);

/* A private key from `bytes` in the parameter `form`, with its public key of `pk_len` bytes in
 * `pk`; NULL if they are none. EVP_PKEY_free. */
EVP_PKEY *ses_openssl_private(const char *algorithm, const char *form, const void *bytes,
                              size_t len, uint8_t *pk, size_t pk_len);

/* ---- BLAKE3 (specification: github.com/BLAKE3-team/BLAKE3-specs) ---- */
enum {
    SES_BLAKE3_CHUNK_START = 1,
    SES_BLAKE3_CHUNK_END = 2,
    SES_BLAKE3_PARENT = 4,
    SES_BLAKE3_ROOT = 8,
    SES_BLAKE3_KEYED = 16,
    SES_BLAKE3_CONTEXT = 32,
    SES_BLAKE3_MATERIAL = 64,
};
#define SES_BLAKE3_CHUNK 1024u
#define SES_BLAKE3_LANES 8u
extern const uint32_t SES_BLAKE3_IV[8];
/* One block: the chaining value in `cv` is replaced by the next one. */
void ses_blake3_compress(uint32_t cv[8], const uint8_t block[64], uint64_t counter, uint32_t len,
                         uint32_t flags);
/* One block at the root: all 64 bytes of output number `counter`. */
void ses_blake3_compress_xof(uint8_t out[64], const uint32_t cv[8], const uint8_t block[64],
                             uint64_t counter, uint32_t len, uint32_t flags);

/* Independent inputs of one length that fit a chunk each, eight at a time. */
struct ses_blake3_many {
    const uint32_t *key; /* 8 words */
    uint64_t counter;    /* of the first input */
    uint32_t count_up;   /* 1: chunks of one message, 0: messages or parents */
    uint32_t flags;      /* of every block */
    uint32_t start;      /* also of the first block */
    uint32_t end;        /* also of the last block */
};
/* `cnt` inputs of `len` bytes (1..1024), input i at in + i * stride, to 32 bytes each at
 * out + 32 * i. `out` may be `in` where stride >= 64 and len <= 64: a group is read before it is
 * written. */
void ses_blake3_hash_many(uint8_t *out, const struct ses_blake3_many *how, const uint8_t *in,
                          size_t len, size_t stride, size_t cnt);
/* Parts under a 32-byte key and the flags of a mode; any length. */
void ses_blake3_parts(struct ses_hash *out, const uint32_t key[8], uint8_t flags,
                      const struct ses_part *parts, size_t part_cnt);
void ses_blake3_words(uint32_t out[8], const uint8_t in[32]);

/* ---- for tests: vectors in forms that nobody else uses ---- */
SES_CHECKED enum ses_err ses_kem_private_from_expanded(struct ses_kem_private **out,
                                                       const uint8_t *dk, size_t len);
SES_CHECKED enum ses_err ses_dsa_private_from_expanded(struct ses_dsa_private **out,
                                                       const uint8_t *sk, size_t len);
/* FIPS 204 with a context of the caller's; `hedge` of 32 bytes, zeros for the deterministic form.
 * `external_mu`: `message` is the 64-byte mu. */
struct ses_dsa_how {
    const void *context;
    size_t context_len;
    const uint8_t *hedge;
    bool external_mu;
};
SES_CHECKED enum ses_err ses_dsa_sign_how(struct ses_dsa_sig *out,
                                          const struct ses_dsa_private *key,
                                          const struct ses_dsa_how *how, const void *message,
                                          size_t len);
SES_CHECKED enum ses_err ses_dsa_verify_how(const uint8_t *pk, size_t pk_len,
                                            const struct ses_dsa_how *how, const void *message,
                                            size_t len, const uint8_t *sig, size_t sig_len);
/* The two implementations behind ses_aead_seal and ses_aead_open. */
SES_CHECKED enum ses_err ses_aead_seal_small(uint8_t *out, const struct ses_secret32 *key,
                                             const struct ses_nonce *nonce,
                                             const struct ses_part *aad, const void *in,
                                             size_t len);
SES_CHECKED enum ses_err ses_aead_open_small(uint8_t *out, const struct ses_secret32 *key,
                                             const struct ses_nonce *nonce,
                                             const struct ses_part *aad, const void *in,
                                             size_t len);
SES_CHECKED enum ses_err ses_aead_seal_large(uint8_t *out, const struct ses_secret32 *key,
                                             const struct ses_nonce *nonce,
                                             const struct ses_part *aad, const void *in,
                                             size_t len);
SES_CHECKED enum ses_err ses_aead_open_large(uint8_t *out, const struct ses_secret32 *key,
                                             const struct ses_nonce *nonce,
                                             const struct ses_part *aad, const void *in,
                                             size_t len);
/* ChaCha20-Poly1305 of RFC 8439, on which the large form stands. */
SES_CHECKED enum ses_err ses_chacha_seal(uint8_t *out, const uint8_t key[32],
                                         const uint8_t nonce[12], const struct ses_part *aad,
                                         const void *in, size_t len);
SES_CHECKED enum ses_err ses_chacha_open(uint8_t *out, const uint8_t key[32],
                                         const uint8_t nonce[12], const struct ses_part *aad,
                                         const void *in, size_t len);
/* Argon2id's cost: passes and bytes of memory. */
struct ses_vault_cost {
    uint32_t passes;
    uint64_t memory_bytes;
};
SES_CHECKED enum ses_err ses_vault_seal_cost(struct ses_buf *out, enum ses_vault_kind kind,
                                             const void *secret, size_t len,
                                             const struct ses_part *shown, const char *passphrase,
                                             const struct ses_vault_cost *cost,
                                             const struct ses_random *random);

#endif
