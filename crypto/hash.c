/* SHA-2, SHA-3, KMAC256 (OpenSSL) and BLAKE2b (libsodium) over lists of parts. They cannot fail but
 * for want of memory when a thread hashes for the first time, which stops the program. */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <sodium.h>
#include <string.h>

#include "crypto/crypto_internal.h"

static EVP_MD_CTX *absorb(enum ses_md md, const struct ses_part *parts, size_t part_cnt)
{
    EVP_MD_CTX *ctx = ses_thread_md(md);
    for (size_t i = 0; i < part_cnt; i++) {
        SES_ASSERT(EVP_DigestUpdate(ctx, parts[i].bytes, parts[i].len) == 1);
    }
    return ctx;
}

void ses_sha256(struct ses_hash *out, const struct ses_part *parts, size_t part_cnt)
{
    SES_ASSERT(EVP_DigestFinal_ex(absorb(SES_MD_SHA256, parts, part_cnt), out->bytes, NULL) == 1);
}

void ses_sha3_256(struct ses_hash *out, const struct ses_part *parts, size_t part_cnt)
{
    SES_ASSERT(EVP_DigestFinal_ex(absorb(SES_MD_SHA3_256, parts, part_cnt), out->bytes, NULL) == 1);
}

void ses_sha3_512(struct ses_hash64 *out, const struct ses_part *parts, size_t part_cnt)
{
    SES_ASSERT(EVP_DigestFinal_ex(absorb(SES_MD_SHA3_512, parts, part_cnt), out->bytes, NULL) == 1);
}

void ses_shake256(void *out, size_t out_len, const struct ses_part *parts, size_t part_cnt)
{
    SES_ASSERT(EVP_DigestFinalXOF(absorb(SES_MD_SHAKE256, parts, part_cnt), out, out_len) == 1);
}

void ses_blake2b_256(struct ses_hash *out, const struct ses_part *parts, size_t part_cnt)
{
    crypto_generichash_state state;
    SES_ASSERT(crypto_generichash_init(&state, NULL, 0, sizeof out->bytes) == 0);
    for (size_t i = 0; i < part_cnt; i++) {
        SES_ASSERT(crypto_generichash_update(&state, parts[i].bytes, parts[i].len) == 0);
    }
    SES_ASSERT(crypto_generichash_final(&state, out->bytes, sizeof out->bytes) == 0);
    ses_wipe(&state, sizeof state);
}

/* A context of its own for every call: it holds the key, and freeing it wipes that. */
void ses_kmac256(void *out, size_t out_len, const void *key, size_t key_len,
                 const struct ses_part *parts, size_t part_cnt, const char *custom)
{
    const size_t custom_len = custom != NULL ? strlen(custom) : 0;
    SES_ASSERT(key_len >= SES_KMAC_KEY_MIN && key_len <= SES_KMAC_KEY_MAX);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &out_len),
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_CUSTOM, (char *)(uintptr_t)custom,
                                          custom_len),
        OSSL_PARAM_construct_end(),
    };
    /* without a customisation string the parameter is left out */
    const OSSL_PARAM plain[] = {params[0], params[2]};
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(ses_algorithms()->kmac256);
    SES_ASSERT(ctx != NULL);
    SES_ASSERT(EVP_MAC_init(ctx, key, key_len, custom_len > 0 ? params : plain) == 1);
    for (size_t i = 0; i < part_cnt; i++) {
        SES_ASSERT(EVP_MAC_update(ctx, parts[i].bytes, parts[i].len) == 1);
    }
    size_t got = 0;
    SES_ASSERT(EVP_MAC_final(ctx, out, &got, out_len) == 1 && got == out_len);
    EVP_MAC_CTX_free(ctx);
}
