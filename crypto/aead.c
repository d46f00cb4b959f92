/* XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha). libsodium is faster for short messages; above, its
 * HChaCha20 makes the subkey for OpenSSL's vectorised ChaCha20-Poly1305, with the same bytes. */
#include <sodium.h>
#include <string.h>

#include "crypto/crypto_internal.h"

#define TAG SES_AEAD_TAG_BYTES
#define LARGE 512u           /* where OpenSSL's set-up has paid for itself */
#define LARGE_MAX (1u << 30) /* EVP counts bytes with an int */

enum ses_err ses_chacha_seal(uint8_t *out, const uint8_t key[32], const uint8_t nonce[12],
                             const struct ses_part *aad, const void *in, size_t len)
{
    int used = 0;
    SES_REQUIRE(len <= LARGE_MAX && aad->len <= LARGE_MAX, SES_ERR_TOO_LARGE);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const bool ok =
        ctx != NULL &&
        EVP_EncryptInit_ex2(ctx, ses_algorithms()->chacha20_poly1305, key, nonce, NULL) == 1 &&
        (aad->len == 0 || EVP_EncryptUpdate(ctx, NULL, &used, aad->bytes, (int)aad->len) == 1) &&
        (len == 0 || EVP_EncryptUpdate(ctx, out, &used, in, (int)len) == 1) &&
        EVP_EncryptFinal_ex(ctx, out + len, &used) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, out + len) == 1;
    EVP_CIPHER_CTX_free(ctx); /* wipes the key */
    if (!ok) {
        memset(out, 0, len + TAG);
    }
    return ses_openssl_ok(ok, SES_ERR_CRYPTO);
}

enum ses_err ses_chacha_open(uint8_t *out, const uint8_t key[32], const uint8_t nonce[12],
                             const struct ses_part *aad, const void *in, size_t len)
{
    int used = 0;
    uint8_t tag[TAG];
    SES_REQUIRE(len >= TAG, SES_ERR_OPEN);
    SES_REQUIRE(len - TAG <= LARGE_MAX && aad->len <= LARGE_MAX, SES_ERR_TOO_LARGE);
    const size_t text_len = len - TAG;
    memcpy(tag, (const uint8_t *)in + text_len, TAG);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const bool ok =
        ctx != NULL &&
        EVP_DecryptInit_ex2(ctx, ses_algorithms()->chacha20_poly1305, key, nonce, NULL) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
        (aad->len == 0 || EVP_DecryptUpdate(ctx, NULL, &used, aad->bytes, (int)aad->len) == 1) &&
        (text_len == 0 || EVP_DecryptUpdate(ctx, out, &used, in, (int)text_len) == 1) &&
        EVP_DecryptFinal_ex(ctx, tag, &used) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok && text_len > 0) {
        memset(out, 0, text_len);
    }
    return ses_openssl_ok(ok, SES_ERR_OPEN);
}

/* The subkey and the nonce that is left of the long one. */
struct inner {
    uint8_t key[crypto_core_hchacha20_OUTPUTBYTES];
    uint8_t nonce[12];
};

static void inner_init(struct inner *inner, const struct ses_secret32 *key,
                       const struct ses_nonce *nonce)
{
    SES_ASSERT(crypto_core_hchacha20(inner->key, nonce->bytes, key->bytes, NULL) == 0);
    memset(inner->nonce, 0, 4);
    memcpy(inner->nonce + 4, nonce->bytes + 16, 8);
}

enum ses_err ses_aead_seal_large(uint8_t *out, const struct ses_secret32 *key,
                                 const struct ses_nonce *nonce, const struct ses_part *aad,
                                 const void *in, size_t len)
{
    struct inner inner;
    inner_init(&inner, key, nonce);
    const enum ses_err err = ses_chacha_seal(out, inner.key, inner.nonce, aad, in, len);
    ses_wipe(&inner, sizeof inner);
    return err;
}

enum ses_err ses_aead_open_large(uint8_t *out, const struct ses_secret32 *key,
                                 const struct ses_nonce *nonce, const struct ses_part *aad,
                                 const void *in, size_t len)
{
    struct inner inner;
    inner_init(&inner, key, nonce);
    const enum ses_err err = ses_chacha_open(out, inner.key, inner.nonce, aad, in, len);
    ses_wipe(&inner, sizeof inner);
    return err;
}

enum ses_err ses_aead_seal_small(uint8_t *out, const struct ses_secret32 *key,
                                 const struct ses_nonce *nonce, const struct ses_part *aad,
                                 const void *in, size_t len)
{
    SES_REQUIRE(len <= SIZE_MAX - TAG, SES_ERR_TOO_LARGE);
    SES_ASSERT(crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, in, len, aad->bytes, aad->len,
                                                          NULL, nonce->bytes, key->bytes) == 0);
    return SES_OK;
}

enum ses_err ses_aead_open_small(uint8_t *out, const struct ses_secret32 *key,
                                 const struct ses_nonce *nonce, const struct ses_part *aad,
                                 const void *in, size_t len)
{
    SES_REQUIRE(len >= TAG, SES_ERR_OPEN);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, aad->bytes, aad->len,
                                                   nonce->bytes, key->bytes) == 0) {
        return SES_OK;
    }
    if (len > TAG) {
        memset(out, 0, len - TAG);
    }
    return SES_ERR_OPEN;
}

enum ses_err ses_aead_seal(uint8_t *out, const struct ses_secret32 *key,
                           const struct ses_nonce *nonce, const void *aad, size_t aad_len,
                           const void *in, size_t len)
{
    const struct ses_part part = {aad, aad_len};
    if (len <= LARGE || len > LARGE_MAX || aad_len > LARGE_MAX) {
        return ses_aead_seal_small(out, key, nonce, &part, in, len);
    }
    return ses_aead_seal_large(out, key, nonce, &part, in, len);
}

enum ses_err ses_aead_open(uint8_t *out, const struct ses_secret32 *key,
                           const struct ses_nonce *nonce, const void *aad, size_t aad_len,
                           const void *in, size_t len)
{
    const struct ses_part part = {aad, aad_len};
    if (len <= LARGE + TAG || len > LARGE_MAX || aad_len > LARGE_MAX) {
        return ses_aead_open_small(out, key, nonce, &part, in, len);
    }
    return ses_aead_open_large(out, key, nonce, &part, in, len);
}
