/* crypto: every primitive of the project behind one door, and the Merkle structures.
 *
 *   keys     ML-KEM-768 (FIPS 203), ML-DSA-65 (FIPS 204), Ed25519 for libp2p peer ids
 *   secrecy  XChaCha20-Poly1305, Argon2id, guarded memory
 *   hashes   SHA-2, SHA-3, KMAC256, BLAKE2b, BLAKE3 with the two domain-separated forms H and B
 *   trees    MT and MS (RFC 6962 shape), paths, the 16-ary state trie, the forest and its proofs
 *   people   identity from a seed, Session ID, recovery phrase, encrypted identity file
 *
 * Fixed-size byte strings are structs, so that keys, ids and hashes cannot be swapped. Nothing here
 * does I/O or reads a clock; randomness is an argument. Functions are thread-safe unless they share
 * a mutable argument; parsed keys are immutable and may be shared by threads.
 * Secrets are wiped before a function returns, comparisons of secrets are constant-time.
 */
#ifndef SES_CRYPTO_CRYPTO_H
#define SES_CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

/* ---- sizes (bytes) ---- */
#define SES_KEM_PK_BYTES 1184u
#define SES_KEM_CT_BYTES 1088u
#define SES_KEM_SEED_BYTES 64u /* d || z, FIPS 203 section 7.1 */
#define SES_DSA_PK_BYTES 1952u
#define SES_DSA_SIG_BYTES 3309u
#define SES_DSA_SEED_BYTES 32u /* xi, FIPS 204 section 6.1 */
#define SES_AEAD_NONCE_BYTES 24u
#define SES_AEAD_TAG_BYTES 16u

struct ses_hash {
    uint8_t bytes[32];
};
struct ses_hash64 {
    uint8_t bytes[64];
};
struct ses_secret32 {
    uint8_t bytes[32];
}; /* a symmetric key or shared secret: wipe it */
struct ses_nonce {
    uint8_t bytes[SES_AEAD_NONCE_BYTES];
};
struct ses_kem_pk {
    uint8_t bytes[SES_KEM_PK_BYTES];
};
struct ses_kem_ct {
    uint8_t bytes[SES_KEM_CT_BYTES];
};
struct ses_kem_seed {
    uint8_t bytes[SES_KEM_SEED_BYTES];
};
struct ses_dsa_pk {
    uint8_t bytes[SES_DSA_PK_BYTES];
};
struct ses_dsa_sig {
    uint8_t bytes[SES_DSA_SIG_BYTES];
};
struct ses_dsa_seed {
    uint8_t bytes[SES_DSA_SEED_BYTES];
};
struct ses_ed25519_pk {
    uint8_t bytes[32];
};
struct ses_ed25519_sig {
    uint8_t bytes[64];
};
struct ses_ed25519_seed {
    uint8_t bytes[32];
};
struct ses_node_id {
    uint8_t bytes[20];
}; /* Lux strict-PQ NodeID */
struct ses_account {
    uint8_t bytes[20];
}; /* SHA-256(ML-DSA pk)[0..20) */
struct ses_session_id {
    uint8_t bytes[33];
}; /* 07 || BLAKE2b-256(KEM pk || DSA pk) */

_Static_assert(sizeof(struct ses_session_id) == 33, "byte structs have no padding");
_Static_assert(sizeof(struct ses_dsa_sig) == SES_DSA_SIG_BYTES, "byte structs have no padding");

/* ---- secrets ---- */
void ses_wipe(void *p, size_t len);
/* Constant time in the contents. */
bool ses_equal(const void *a, const void *b, size_t len);
/* Guarded, locked memory (sodium_malloc), zeroed; NULL without memory. Wiped on free. */
void *ses_secret_alloc(size_t len);
void ses_secret_free(void *p);
/* Call once at program start, before threads: initialises the libraries, forbids core dumps of
 * secrets where the system allows. */
SES_CHECKED enum ses_err ses_crypto_init(void);

/* ---- hashes ---- */
/* One-shot functions take a list of parts that are hashed as their concatenation. */
struct ses_part {
    const void *bytes;
    size_t len;
};
#define SES_PART(p, n) ((struct ses_part){(p), (n)})
#define SES_PARTS(...)                                                                             \
    ((const struct ses_part[]){__VA_ARGS__}),                                                      \
        (sizeof((const struct ses_part[]){__VA_ARGS__}) / sizeof(struct ses_part))

void ses_sha256(struct ses_hash *out, const struct ses_part *parts, size_t part_cnt);
void ses_sha3_256(struct ses_hash *out, const struct ses_part *parts, size_t part_cnt);
void ses_sha3_512(struct ses_hash64 *out, const struct ses_part *parts, size_t part_cnt);
void ses_shake256(void *out, size_t out_len, const struct ses_part *parts, size_t part_cnt);
void ses_blake2b_256(struct ses_hash *out, const struct ses_part *parts, size_t part_cnt);
#define SES_KMAC_KEY_MIN 4u
#define SES_KMAC_KEY_MAX 512u
/* KMAC256 (NIST SP 800-185): key of the lengths above, message parts, customisation string (NULL or
 * empty: none). */
void ses_kmac256(void *out, size_t out_len, const void *key, size_t key_len,
                 const struct ses_part *parts, size_t part_cnt, const char *custom);

/* BLAKE3, incremental. The state is the caller's, about 2 KiB, and needs no clean-up. */
struct ses_blake3 {
    uint32_t key[8];
    uint32_t stack[54][8];
    uint8_t chunk[1024];
    uint64_t chunk_cnt; /* finished chunks */
    uint32_t chunk_bytes;
    uint8_t stack_cnt;
    uint8_t flags;
};
void ses_blake3_init(struct ses_blake3 *b);
void ses_blake3_init_keyed(struct ses_blake3 *b, const uint8_t key[32]);
void ses_blake3_init_derive(struct ses_blake3 *b, const char *context);
void ses_blake3_update(struct ses_blake3 *b, const void *bytes, size_t len);
void ses_blake3_final(const struct ses_blake3 *b, struct ses_hash *out);
/* First `out_len` bytes of the extendable output. */
void ses_blake3_final_xof(const struct ses_blake3 *b, void *out, size_t out_len);
void ses_blake3_hash(struct ses_hash *out, const void *bytes, size_t len);

/* H of the chain (registry page): derive-key mode, context "session lp046 v1 " + label. */
void ses_h(struct ses_hash *out, const char *label, const struct ses_part *parts, size_t part_cnt);
/* First u64 of H(label, parts) mod bound; bound > 0. */
uint64_t ses_draw(const char *label, uint64_t bound, const struct ses_part *parts, size_t part_cnt);

/* Tags of B, the keyed hash with key = tag || 31 zero bytes. */
enum ses_tag {
    SES_TAG_LEAF = 0x00,
    SES_TAG_BUCKET = 0x01,
    SES_TAG_NODE = 0x02,
    SES_TAG_ROOT = 0x03,
    SES_TAG_CHILD = 0x04,
    SES_TAG_CHUNK = 0x05,
    SES_TAG_RECORD = 0x06,
    SES_TAG_MT = 0x07,
    SES_TAG_SEGMENT = 0x08,
    SES_TAG_RECEIPT = 0x09,
    SES_TAG_MS = 0x0A,
    SES_TAG_ROW = 0x0C,
    SES_TAG_LOG = 0x0D,
    SES_TAG_REVEAL = 0x0E,
    SES_TAG_HEADER = 0x0F,
    SES_TAG_STATE_LEAF = 0x10,
    SES_TAG_STATE_BUCKET = 0x11,
    SES_TAG_STATE_NODE = 0x12,
    SES_TAG_REGISTRY = 0x13,
    SES_TAG_TOKEN = 0x15,
    SES_TAG_WORK = 0x16,
    SES_TAG_SYNC = 0x17,
};
void ses_b(struct ses_hash *out, enum ses_tag tag, const struct ses_part *parts, size_t part_cnt);
/* `cnt` independent inputs of `len` bytes each (1 <= len <= 1024), input i at in + i * stride:
 * eight at a time in one vector. `out` may be `in` where len <= 64 <= stride. */
void ses_b_batch(struct ses_hash *out, enum ses_tag tag, const uint8_t *in, size_t len,
                 size_t stride, size_t cnt);

/* ---- Merkle trees (storage page: MT, MS; path as in RFC 9162 section 2.1.3) ---- */
/* MT over `cnt` hashes; 32 zero bytes for none. Overwrites `hashes` (scratch). */
void ses_mt(struct ses_hash *out, struct ses_hash *hashes, size_t cnt);
#define SES_MT_PATH_MAX 32u
/* Siblings of element `index` from the leaf up; *path_cnt <= SES_MT_PATH_MAX. Leaves `hashes`. */
void ses_mt_path(struct ses_hash *path, size_t *path_cnt, const struct ses_hash *hashes, size_t cnt,
                 size_t index);
/* SES_ERR_MALFORMED unless the path's length fits (index, cnt). */
SES_CHECKED enum ses_err ses_mt_root_of_path(struct ses_hash *out, const struct ses_hash *leaf,
                                             uint64_t index, uint64_t cnt,
                                             const struct ses_hash *path, size_t path_cnt);
struct ses_sum {
    struct ses_hash hash;
    uint64_t count;
    uint64_t bytes;
};
/* MS: as MT with counts and bytes hashed and added up. Overwrites `sums`. */
void ses_ms(struct ses_sum *out, struct ses_sum *sums, size_t cnt);

/* State trie (registry page, Blocks and state). Immutable nodes from a pool; a new version shares
 * the unchanged nodes of the old one. Keys are BLAKE3 of state keys, values BLAKE3 of values. */
struct ses_trie_pool; /* owns nodes; not thread-safe */
struct ses_trie;      /* a version: a node of the pool; NULL is the empty trie */
SES_CHECKED enum ses_err ses_trie_pool_new(struct ses_trie_pool **out);
void ses_trie_pool_free(struct ses_trie_pool *pool);
struct ses_trie_change {
    struct ses_hash key;
    struct ses_hash value; /* ignored if removed */
    bool removed;
};
/* New version with `changes` applied in order (a later change of a key wins). *out holds one
 * reference; `base` keeps its own. Memory only: SES_ERR_MEMORY. */
SES_CHECKED enum ses_err ses_trie_apply(struct ses_trie_pool *pool, const struct ses_trie **out,
                                        const struct ses_trie *base,
                                        const struct ses_trie_change *changes, size_t change_cnt);
void ses_trie_ref(const struct ses_trie *trie);
void ses_trie_unref(struct ses_trie_pool *pool, const struct ses_trie *trie);
void ses_trie_root(const struct ses_trie *trie, struct ses_hash *out);
/* false if absent */
bool ses_trie_get(const struct ses_trie *trie, const struct ses_hash *key, struct ses_hash *value);
/* Proof of membership or absence: the nodes on the key's way from the root, every sibling closed to
 * its hash (grammar in crypto/trie_proof.c and docs/protocol.md). Appends to `out`. */
SES_CHECKED enum ses_err ses_trie_prove(const struct ses_trie *trie, const struct ses_hash *key,
                                        struct ses_buf *out);
/* SES_OK: the proof shows `*present` (and then `*value`) for `key` under `root`. SES_ERR_MALFORMED
 * or SES_ERR_TRUNCATED: it is no proof; SES_ERR_CHECKSUM: it is about another trie or key. Work is
 * bounded whatever the bytes; the proof of a key under a root is unique. */
SES_CHECKED enum ses_err ses_trie_check(const struct ses_hash *root, const struct ses_hash *key,
                                        const uint8_t *proof, size_t proof_len, bool *present,
                                        struct ses_hash *value);

/* ---- ML-KEM-768 ---- */
struct ses_kem_public;  /* parsed encapsulation key, matrix expanded; immutable */
struct ses_kem_private; /* parsed decapsulation key */
/* Applies the modulus check of FIPS 203 section 7.2: SES_ERR_MALFORMED. */
SES_CHECKED enum ses_err ses_kem_public_new(struct ses_kem_public **out,
                                            const struct ses_kem_pk *pk);
void ses_kem_public_free(struct ses_kem_public *key);
SES_CHECKED enum ses_err ses_kem_private_new(struct ses_kem_private **out,
                                             const struct ses_kem_seed *seed);
void ses_kem_private_free(struct ses_kem_private *key);
void ses_kem_private_pk(const struct ses_kem_private *key, struct ses_kem_pk *out);
SES_CHECKED enum ses_err ses_kem_encaps(struct ses_kem_ct *ct, struct ses_secret32 *secret,
                                        const struct ses_kem_public *key,
                                        const struct ses_random *random);
/* Never fails on a wrong ciphertext (implicit rejection): SES_ERR_CRYPTO is the library's. */
SES_CHECKED enum ses_err ses_kem_decaps(struct ses_secret32 *secret,
                                        const struct ses_kem_private *key,
                                        const struct ses_kem_ct *ct);

/* ---- ML-DSA-65 with domain separation: the FIPS 204 context string names the purpose ---- */
#define SES_DOMAINS(X)                                                                             \
    X(TX, "LP046/tx/v1")                                                                           \
    X(RECEIPT, "LP046/receipt/v1")                                                                 \
    X(ROOT, "LP046/root/v1")                                                                       \
    X(ENVELOPE, "session/env/v1")                                                                  \
    X(AUTH, "session/auth/v1")                                                                     \
    X(LOGIN, "session/login/v1")                                                                   \
    X(RECORD, "session/record/v1")                                                                 \
    X(DELETE, "session/delete/v1")                                                                 \
    X(CARD, "session/card/v1")                                                                     \
    X(PROBE, "session/probe/v1")                                                                   \
    X(TIME, "session/time/v1")                                                                     \
    X(UPSTREAM, "")
enum ses_domain {
#define SES_X(name, text) SES_DOMAIN_##name,
    SES_DOMAINS(SES_X)
#undef SES_X
};
const char *ses_domain_text(enum ses_domain domain);

struct ses_dsa_private; /* parsed signing key; immutable, shareable by threads */
SES_CHECKED enum ses_err ses_dsa_private_new(struct ses_dsa_private **out,
                                             const struct ses_dsa_seed *seed);
void ses_dsa_private_free(struct ses_dsa_private *key);
void ses_dsa_private_pk(const struct ses_dsa_private *key, struct ses_dsa_pk *out);
/* Hedged with 32 bytes of `random` (FIPS 204 section 3.4). */
SES_CHECKED enum ses_err ses_sign(struct ses_dsa_sig *out, const struct ses_dsa_private *key,
                                  enum ses_domain domain, const void *message, size_t len,
                                  const struct ses_random *random);
/* SES_ERR_SIGNATURE if it does not verify. */
SES_CHECKED enum ses_err ses_verify(const struct ses_dsa_pk *pk, enum ses_domain domain,
                                    const void *message, size_t len, const struct ses_dsa_sig *sig);

/* ---- Ed25519 (libp2p peer ids only) ---- */
void ses_ed25519_pk(struct ses_ed25519_pk *out, const struct ses_ed25519_seed *seed);
void ses_ed25519_sign(struct ses_ed25519_sig *out, const struct ses_ed25519_seed *seed,
                      const void *message, size_t len);
SES_CHECKED enum ses_err ses_ed25519_verify(const struct ses_ed25519_pk *pk, const void *message,
                                            size_t len, const struct ses_ed25519_sig *sig);

/* ---- XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) ---- */
/* Writes len + 16 bytes; `out` may be `in`. */
SES_CHECKED enum ses_err ses_aead_seal(uint8_t *out, const struct ses_secret32 *key,
                                       const struct ses_nonce *nonce, const void *aad,
                                       size_t aad_len, const void *in, size_t len);
/* Writes len - 16 bytes; SES_ERR_OPEN and zeroed output if it does not authenticate. */
SES_CHECKED enum ses_err ses_aead_open(uint8_t *out, const struct ses_secret32 *key,
                                       const struct ses_nonce *nonce, const void *aad,
                                       size_t aad_len, const void *in, size_t len);

/* ---- ids and their texts ---- */
#define SES_CB58_TEXT_MAX 96u
/* base58(bytes || last 4 bytes of SHA-256(bytes)); `out` of SES_CB58_TEXT_MAX, len <= 40. */
SES_CHECKED enum ses_err ses_cb58_encode(char *out, const void *bytes, size_t len);
/* Exactly `len` bytes; SES_ERR_CHECKSUM, SES_ERR_MALFORMED. */
SES_CHECKED enum ses_err ses_cb58_decode(void *out, size_t len, const char *text);

void ses_account_of(struct ses_account *out, const struct ses_dsa_pk *pk);
/* Lux strict-PQ NodeID with 32 zero bytes as chain id (docs/protocol.md). */
void ses_node_id_of(struct ses_node_id *out, const struct ses_dsa_pk *pk);
#define SES_ID_TEXT_MAX 64u
/* "LUX-" and "NodeID-" + CB58; `out` holds SES_ID_TEXT_MAX characters. */
void ses_account_text(char *out, const struct ses_account *account);
void ses_node_id_text(char *out, const struct ses_node_id *node_id);
SES_CHECKED enum ses_err ses_account_parse(struct ses_account *out, const char *text);
SES_CHECKED enum ses_err ses_node_id_parse(struct ses_node_id *out, const char *text);

#define SES_SESSION_ID_TEXT 67u /* 66 hex characters and NUL */
void ses_session_id_of(struct ses_session_id *out, const struct ses_kem_pk *kem,
                       const struct ses_dsa_pk *dsa);
void ses_session_id_text(char *out, const struct ses_session_id *id);
/* 66 hex characters that begin with 07. A 05 identity (X25519) gets its own explanation in `note`.
 * The text has no checksum of its own: the ID is verified by recomputing it from the keys. */
SES_CHECKED enum ses_err ses_session_id_parse(struct ses_session_id *out, const char *text,
                                              struct ses_note *note);

/* ---- identity ---- */
/* Everything a person owns, from 32 bytes of seed (messaging page). In guarded memory. */
struct ses_identity {
    uint8_t seed[32];
    struct ses_kem_seed kem_seed;
    struct ses_dsa_seed dsa_seed;
    struct ses_kem_pk kem_pk;
    struct ses_dsa_pk dsa_pk;
    struct ses_session_id id;
    struct ses_account account; /* the same ML-DSA key owns chain funds and nodes */
    struct ses_kem_private *kem;
    struct ses_dsa_private *dsa;
};
SES_CHECKED enum ses_err ses_identity_new(struct ses_identity **out, const uint8_t seed[32]);
SES_CHECKED enum ses_err ses_identity_generate(struct ses_identity **out,
                                               const struct ses_random *random);
void ses_identity_free(struct ses_identity *identity);

#define SES_PHRASE_TEXT_MAX 160u /* 17 proquint words "lusab-babad-..." or 64 hex digits, NUL */
void ses_phrase_encode(char *out, const uint8_t seed[32]);
/* Words separated by spaces or dashes, any case, or 64 hex digits. SES_ERR_CHECKSUM tells a typing
 * error apart from SES_ERR_MALFORMED. */
SES_CHECKED enum ses_err ses_phrase_decode(uint8_t seed[32], const char *text);

/* A secret in a file: magic, version, kind, Argon2id parameters, salt, nonce, ciphertext
 * (docs/protocol.md). `passphrase` NULL stores it in the clear, marked so. `shown` (NULL: nothing)
 * can be read without it. */
enum ses_vault_kind { SES_VAULT_IDENTITY = 1, SES_VAULT_NODE = 2 };
#define SES_VAULT_SECRET_MAX 4096u
#define SES_VAULT_SHOWN_MAX 128u
SES_CHECKED enum ses_err ses_vault_seal(struct ses_buf *out, enum ses_vault_kind kind,
                                        const void *secret, size_t len,
                                        const struct ses_part *shown, const char *passphrase,
                                        const struct ses_random *random);
/* What a vault shows without its passphrase, a view into `file`. Whoever can write the file can put
 * anything there: authentic only after ses_vault_open. ERR_NOT_FOUND if it shows nothing. */
SES_CHECKED enum ses_err ses_vault_shown(struct ses_part *shown, enum ses_vault_kind kind,
                                         const void *file, size_t file_len);
/* *len in: capacity, out: length. SES_ERR_PASSPHRASE; SES_ERR_INVALID if a passphrase is needed and
 * none is given; SES_ERR_CHECKSUM for a damaged file without passphrase; SES_ERR_MALFORMED also for
 * a file of another kind; SES_ERR_TOO_LARGE for an absurd cost or a secret that does not fit. At
 * most 1 GiB of memory, and passes x memory <= 2 GiB, whatever the file says. */
SES_CHECKED enum ses_err ses_vault_open(void *secret, size_t *len, enum ses_vault_kind kind,
                                        const void *file, size_t file_len, const char *passphrase);

/* ---- OpenSSL objects for network's TLS, the one place outside that needs them: see
 * network/tls.c, which generates its own ephemeral P-256 certificate key. ---- */

#include "crypto/forest.h" /* segments, sums, root; crypto/proof.h: proofs about them */

#endif
