/* Our cryptography beside the bare library calls under it.
 *
 *     bench_crypto [MILLISECONDS-PER-ROUND]
 *
 * Ours and the bare call take turns in short rounds, so that a busy machine slows both; a row shows
 * the median of the rounds. "bare" uses the library as fast as it goes: algorithms fetched, keys
 * parsed and contexts made before. What has no bare counterpart shows ours alone. */
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "crypto/crypto.h"

#define ROUNDS 11u
#define TEXT_BYTES 65536u
#define TRIE_ENTRIES 100000u
#define TRIE_CHANGES 1000u
#define MT_LEAVES 4096u

/* Everything that the rows work on. */
struct fixture {
    uint8_t text[TEXT_BYTES];
    uint8_t sealed[TEXT_BYTES + SES_AEAD_TAG_BYTES];
    uint8_t out[TEXT_BYTES + SES_AEAD_TAG_BYTES];
    struct ses_secret32 key;
    struct ses_nonce nonce;
    struct ses_identity *identity;
    struct ses_kem_public *kem;
    struct ses_kem_ct ct;
    struct ses_secret32 secret;
    struct ses_dsa_sig sig;
    struct ses_hash nodes[2 * MT_LEAVES];
    struct ses_trie_pool *pool;
    const struct ses_trie *trie;
    struct ses_trie_change changes[TRIE_CHANGES];
    /* bare */
    EVP_PKEY_CTX *encaps;
    EVP_PKEY_CTX *decaps;
    EVP_PKEY_CTX *sign;
    EVP_PKEY_CTX *verify;
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    EVP_CIPHER *chacha;
    EVP_CIPHER_CTX *cipher;
};

typedef void work(struct fixture *f, size_t len);

static void must(bool ok)
{
    if (!ok) {
        fprintf(stderr, "bench_crypto: an operation failed\n");
        exit(1);
    }
}

/* ---- AEAD ---- */

static void seal(struct fixture *f, size_t len)
{
    must(ses_aead_seal(f->out, &f->key, &f->nonce, NULL, 0, f->text, len) == SES_OK);
}

static void seal_sodium(struct fixture *f, size_t len)
{
    must(crypto_aead_xchacha20poly1305_ietf_encrypt(f->out, NULL, f->text, len, NULL, 0, NULL,
                                                    f->nonce.bytes, f->key.bytes) == 0);
}

/* OpenSSL has no XChaCha20: the subkey is libsodium's here too. */
static void seal_openssl(struct fixture *f, size_t len)
{
    uint8_t subkey[32];
    uint8_t nonce[12] = {0};
    int used;
    must(crypto_core_hchacha20(subkey, f->nonce.bytes, f->key.bytes, NULL) == 0);
    memcpy(nonce + 4, f->nonce.bytes + 16, 8);
    must(EVP_EncryptInit_ex2(f->cipher, f->chacha, subkey, nonce, NULL) == 1);
    must(EVP_EncryptUpdate(f->cipher, f->out, &used, f->text, (int)len) == 1);
    must(EVP_EncryptFinal_ex(f->cipher, f->out + len, &used) == 1);
    must(EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_AEAD_GET_TAG, 16, f->out + len) == 1);
}

/* What the rows of open work on. */
static void seal_first(struct fixture *f, size_t len)
{
    must(ses_aead_seal(f->sealed, &f->key, &f->nonce, NULL, 0, f->text, len) == SES_OK);
}

static void open_ours(struct fixture *f, size_t len)
{
    must(ses_aead_open(f->out, &f->key, &f->nonce, NULL, 0, f->sealed, len + 16) == SES_OK);
}

static void open_sodium(struct fixture *f, size_t len)
{
    must(crypto_aead_xchacha20poly1305_ietf_decrypt(f->out, NULL, NULL, f->sealed, len + 16, NULL,
                                                    0, f->nonce.bytes, f->key.bytes) == 0);
}

/* ---- keys ---- */

static void encaps(struct fixture *f, size_t len)
{
    (void)len;
    must(ses_kem_encaps(&f->ct, &f->secret, f->kem, ses_random_system()) == SES_OK);
}

static void encaps_bare(struct fixture *f, size_t len)
{
    size_t ct_len = sizeof f->ct;
    size_t secret_len = sizeof f->secret;
    (void)len;
    must(EVP_PKEY_encapsulate(f->encaps, f->ct.bytes, &ct_len, f->secret.bytes, &secret_len) == 1);
}

static void decaps(struct fixture *f, size_t len)
{
    (void)len;
    must(ses_kem_decaps(&f->secret, f->identity->kem, &f->ct) == SES_OK);
}

static void decaps_bare(struct fixture *f, size_t len)
{
    size_t secret_len = sizeof f->secret;
    (void)len;
    must(EVP_PKEY_decapsulate(f->decaps, f->secret.bytes, &secret_len, f->ct.bytes, sizeof f->ct) ==
         1);
}

/* Signing times depend on the message: each call signs another one. */
static void sign(struct fixture *f, size_t len)
{
    f->text[0]++;
    must(ses_sign(&f->sig, f->identity->dsa, SES_DOMAIN_TX, f->text, len, ses_random_system()) ==
         SES_OK);
}

static void sign_bare(struct fixture *f, size_t len)
{
    size_t sig_len = sizeof f->sig;
    f->text[0]++;
    must(EVP_PKEY_sign(f->sign, f->sig.bytes, &sig_len, f->text, len) == 1);
}

static void verify(struct fixture *f, size_t len)
{
    must(ses_verify(&f->identity->dsa_pk, SES_DOMAIN_TX, f->text, len, &f->sig) == SES_OK);
}

static void verify_bare(struct fixture *f, size_t len)
{
    must(EVP_PKEY_verify(f->verify, f->sig.bytes, sizeof f->sig, f->text, len) == 1);
}

static void identity(struct fixture *f, size_t len)
{
    struct ses_identity *fresh;
    (void)len;
    must(ses_identity_new(&fresh, f->key.bytes) == SES_OK);
    ses_identity_free(fresh);
}

/* ---- hashes and trees ---- */

static void blake3(struct fixture *f, size_t len)
{
    ses_blake3_hash(&f->nodes[0], f->text, len);
}

static void sha256(struct fixture *f, size_t len)
{
    ses_sha256(&f->nodes[0], SES_PARTS(SES_PART(f->text, len)));
}

static void sha256_bare(struct fixture *f, size_t len)
{
    must(EVP_DigestInit_ex2(f->digest, f->sha256, NULL) == 1);
    must(EVP_DigestUpdate(f->digest, f->text, len) == 1);
    must(EVP_DigestFinal_ex(f->digest, f->nodes[0].bytes, NULL) == 1);
}

static void nodes(struct fixture *f, size_t len)
{
    ses_b_batch(f->nodes, SES_TAG_MT, f->text, 64, 64, len / 64);
}

static void nodes_one_by_one(struct fixture *f, size_t len)
{
    for (size_t i = 0; i < len / 64; i++) {
        ses_b(&f->nodes[i], SES_TAG_MT, SES_PARTS(SES_PART(f->text + 64 * i, 64)));
    }
}

static void tree(struct fixture *f, size_t len)
{
    struct ses_hash root;
    memcpy(f->nodes, f->nodes + MT_LEAVES, len * sizeof root);
    ses_mt(&root, f->nodes, len);
}

static void trie_changes(struct fixture *f, size_t len)
{
    const struct ses_trie *next;
    for (size_t i = 0; i < len; i++) {
        f->changes[i].value.bytes[0]++;
    }
    must(ses_trie_apply(f->pool, &next, f->trie, f->changes, len) == SES_OK);
    ses_trie_unref(f->pool, f->trie);
    f->trie = next;
}

static void trie_proof(struct fixture *f, size_t len)
{
    struct ses_buf proof = {0};
    (void)len;
    must(ses_trie_prove(f->trie, &f->changes[0].key, &proof) == SES_OK);
    ses_buf_free(&proof);
}

/* ---- rows ---- */

static const struct row {
    const char *what;
    work *ours;
    work *bare; /* NULL: nothing to compare with */
    work *before;
    size_t len;
} ROWS[] = {
    {"seal 64 B (libsodium)", seal, seal_sodium, NULL, 64},
    {"seal 1 KiB (libsodium)", seal, seal_sodium, NULL, 1024},
    {"seal 1 KiB (OpenSSL)", seal, seal_openssl, NULL, 1024},
    {"seal 8 KiB (libsodium)", seal, seal_sodium, NULL, 8192},
    {"seal 8 KiB (OpenSSL)", seal, seal_openssl, NULL, 8192},
    {"seal 64 KiB (OpenSSL)", seal, seal_openssl, NULL, 65536},
    {"open 64 B (libsodium)", open_ours, open_sodium, seal_first, 64},
    {"open 8 KiB (libsodium)", open_ours, open_sodium, seal_first, 8192},
    {"ML-KEM-768 encaps", encaps, encaps_bare, NULL, 0},
    {"ML-KEM-768 decaps", decaps, decaps_bare, encaps, 0},
    {"ML-DSA-65 sign", sign, sign_bare, NULL, 64},
    {"ML-DSA-65 verify 1 KiB", verify, verify_bare, sign, 1024},
    {"identity from seed", identity, NULL, NULL, 0},
    {"SHA-256 64 B", sha256, sha256_bare, NULL, 64},
    {"BLAKE3 1 KiB", blake3, NULL, NULL, 1024},
    {"BLAKE3 64 KiB", blake3, NULL, NULL, 65536},
    {"1024 nodes of 64 B (one by one)", nodes, nodes_one_by_one, NULL, 65536},
    {"MT of 4096", tree, NULL, NULL, MT_LEAVES},
    {"trie: 1000 changes in 100k", trie_changes, NULL, NULL, TRIE_CHANGES},
    {"trie: prove", trie_proof, NULL, NULL, 0},
};

/* Calls a second over at least `round_ns`. */
static double rate(struct fixture *f, const struct row *row, work *call, uint64_t round_ns)
{
    const uint64_t begin = ses_mono_ns();
    uint64_t took = 0;
    uint64_t calls = 0;
    uint64_t step = 1;
    while (took < round_ns) {
        for (uint64_t i = 0; i < step; i++) {
            call(f, row->len);
        }
        calls += step;
        took = ses_mono_ns() - begin;
        step = took < round_ns / 16 ? 2 * step : step;
    }
    return (double)calls * 1e9 / (double)took;
}

static void run_row(struct fixture *f, const struct row *row, uint64_t round_ns)
{
    double ours[ROUNDS];
    double bare[ROUNDS] = {0};
    if (row->before != NULL) {
        row->before(f, row->len);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        ours[i] = rate(f, row, row->ours, round_ns);
        if (row->bare != NULL) {
            bare[i] = rate(f, row, row->bare, round_ns);
        }
    }
    const double ours_rate = median(ours, ROUNDS);
    const double bare_rate = median(bare, ROUNDS);
    printf("%-32s %12.0f %12.3f", row->what, ours_rate, 1e6 / ours_rate);
    if (row->bare != NULL) {
        printf(" %12.0f %8.2f\n", bare_rate, ours_rate / bare_rate);
    } else {
        printf(" %12s %8s\n", "-", "-");
    }
    fflush(stdout);
}

/* ---- set-up ---- */

static EVP_PKEY *private_key(const char *name, const void *seed, size_t len)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string("seed", (void *)(uintptr_t)seed, len),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
    must(ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1);
    must(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY_CTX *context(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    must(ctx != NULL);
    EVP_PKEY_free(key); /* the context keeps it */
    return ctx;
}

static void bare_init(struct fixture *f)
{
    const struct ses_identity *me = f->identity;
    const char *domain = ses_domain_text(SES_DOMAIN_TX);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_CONTEXT_STRING,
                                          (void *)(uintptr_t)domain, strlen(domain)),
        OSSL_PARAM_construct_end(),
    };
    EVP_SIGNATURE *dsa = EVP_SIGNATURE_fetch(NULL, "ML-DSA-65", NULL);
    f->encaps =
        context(EVP_PKEY_new_raw_public_key_ex(NULL, "ML-KEM-768", NULL, me->kem_pk.bytes, 1184));
    f->decaps = context(private_key("ML-KEM-768", me->kem_seed.bytes, sizeof me->kem_seed));
    f->sign = context(private_key("ML-DSA-65", me->dsa_seed.bytes, sizeof me->dsa_seed));
    f->verify =
        context(EVP_PKEY_new_raw_public_key_ex(NULL, "ML-DSA-65", NULL, me->dsa_pk.bytes, 1952));
    must(dsa != NULL && EVP_PKEY_encapsulate_init(f->encaps, NULL) == 1);
    must(EVP_PKEY_decapsulate_init(f->decaps, NULL) == 1);
    must(EVP_PKEY_sign_message_init(f->sign, dsa, params) == 1);
    must(EVP_PKEY_verify_message_init(f->verify, dsa, params) == 1);
    EVP_SIGNATURE_free(dsa);
    f->chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    f->cipher = EVP_CIPHER_CTX_new();
    f->sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    f->digest = EVP_MD_CTX_new();
    must(f->chacha != NULL && f->cipher != NULL && f->sha256 != NULL && f->digest != NULL);
}

static void trie_init(struct fixture *f)
{
    struct ses_trie_change *all = ses_alloc(TRIE_ENTRIES, sizeof *all);
    must(all != NULL && ses_trie_pool_new(&f->pool) == SES_OK);
    for (size_t i = 0; i < TRIE_ENTRIES; i++) {
        ses_random_fill(ses_random_system(), &all[i].key, 64);
    }
    must(ses_trie_apply(f->pool, &f->trie, NULL, all, TRIE_ENTRIES) == SES_OK);
    for (size_t i = 0; i < TRIE_CHANGES; i++) {
        f->changes[i] = all[i * (TRIE_ENTRIES / TRIE_CHANGES)];
    }
    ses_free(all);
}

static void fixture_init(struct fixture *f)
{
    const struct ses_random *random = ses_random_system();
    ses_random_fill(random, f->text, sizeof f->text);
    ses_random_fill(random, &f->key, sizeof f->key);
    ses_random_fill(random, &f->nonce, sizeof f->nonce);
    ses_random_fill(random, f->nodes, sizeof f->nodes);
    must(ses_identity_generate(&f->identity, random) == SES_OK);
    must(ses_kem_public_new(&f->kem, &f->identity->kem_pk) == SES_OK);
    trie_init(f);
    bare_init(f);
}

static void fixture_free(struct fixture *f)
{
    ses_identity_free(f->identity);
    ses_kem_public_free(f->kem);
    ses_trie_pool_free(f->pool);
    EVP_PKEY_CTX_free(f->encaps);
    EVP_PKEY_CTX_free(f->decaps);
    EVP_PKEY_CTX_free(f->sign);
    EVP_PKEY_CTX_free(f->verify);
    EVP_CIPHER_free(f->chacha);
    EVP_CIPHER_CTX_free(f->cipher);
    EVP_MD_free(f->sha256);
    EVP_MD_CTX_free(f->digest);
    ses_free(f);
}

int main(int argc, char **argv)
{
    const uint64_t round_ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    struct fixture *f = ses_alloc(1, sizeof *f);
    must(ses_crypto_init() == SES_OK && f != NULL);
    fixture_init(f);
    printf("%-32s %12s %12s %12s %8s\n", "what", "ours/s", "us each", "bare/s", "ratio");
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        run_row(f, &ROWS[i], round_ms * 1000000u);
    }
    fixture_free(f);
    return 0;
}
