/* ML-KEM-768 on OpenSSL. Parsed keys are kept: expanding the matrix is a third of the work of an
 * encapsulation. */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

#include "crypto/crypto_internal.h"

#define NAME "ML-KEM-768"

struct ses_kem_public {
    EVP_PKEY *pkey;
};

struct ses_kem_private {
    EVP_PKEY *pkey;
    struct ses_kem_pk pk;
};

enum ses_err ses_kem_public_new(struct ses_kem_public **out, const struct ses_kem_pk *pk)
{
    *out = NULL;
    struct ses_kem_public *key = ses_alloc(1, sizeof *key);
    SES_REQUIRE(key != NULL, SES_ERR_MEMORY);
    key->pkey = EVP_PKEY_new_raw_public_key_ex(NULL, NAME, NULL, pk->bytes, sizeof pk->bytes);
    if (key->pkey == NULL) {
        ses_kem_public_free(key);
        return ses_openssl_ok(false, SES_ERR_MALFORMED);
    }
    *out = key;
    return SES_OK;
}

void ses_kem_public_free(struct ses_kem_public *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        ses_free(key);
    }
}

static enum ses_err private_new(struct ses_kem_private **out, const char *param, const void *bytes,
                                size_t len)
{
    *out = NULL;
    struct ses_kem_private *key = ses_alloc(1, sizeof *key);
    SES_REQUIRE(key != NULL, SES_ERR_MEMORY);
    key->pkey = ses_openssl_private(NAME, param, bytes, len, key->pk.bytes, sizeof key->pk.bytes);
    if (key->pkey == NULL) {
        ses_free(key);
        return SES_ERR_CRYPTO;
    }
    *out = key;
    return SES_OK;
}

enum ses_err ses_kem_private_new(struct ses_kem_private **out, const struct ses_kem_seed *seed)
{
    return private_new(out, OSSL_PKEY_PARAM_ML_KEM_SEED, seed->bytes, sizeof seed->bytes);
}

enum ses_err ses_kem_private_from_expanded(struct ses_kem_private **out, const uint8_t *dk,
                                           size_t len)
{
    return private_new(out, OSSL_PKEY_PARAM_PRIV_KEY, dk, len);
}

void ses_kem_private_free(struct ses_kem_private *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        ses_free(key);
    }
}

void ses_kem_private_pk(const struct ses_kem_private *key, struct ses_kem_pk *out)
{
    *out = key->pk;
}

enum ses_err ses_kem_encaps(struct ses_kem_ct *ct, struct ses_secret32 *secret,
                            const struct ses_kem_public *key, const struct ses_random *random)
{
    uint8_t m[32];
    ses_random_fill(random, m, sizeof m);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KEM_PARAM_IKME, m, sizeof m),
        OSSL_PARAM_construct_end(),
    };
    size_t ct_len = sizeof ct->bytes;
    size_t secret_len = sizeof secret->bytes;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    const bool ok =
        ctx != NULL && EVP_PKEY_encapsulate_init(ctx, params) == 1 &&
        EVP_PKEY_encapsulate(ctx, ct->bytes, &ct_len, secret->bytes, &secret_len) == 1 &&
        ct_len == sizeof ct->bytes && secret_len == sizeof secret->bytes;
    EVP_PKEY_CTX_free(ctx);
    ses_wipe(m, sizeof m);
    if (!ok) {
        memset(ct, 0, sizeof *ct);
        ses_wipe(secret, sizeof *secret);
    }
    return ses_openssl_ok(ok, SES_ERR_CRYPTO);
}

enum ses_err ses_kem_decaps(struct ses_secret32 *secret, const struct ses_kem_private *key,
                            const struct ses_kem_ct *ct)
{
    size_t len = sizeof secret->bytes;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    const bool ok =
        ctx != NULL && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
        EVP_PKEY_decapsulate(ctx, secret->bytes, &len, ct->bytes, sizeof ct->bytes) == 1 &&
        len == sizeof secret->bytes;
    EVP_PKEY_CTX_free(ctx);
    if (!ok) {
        ses_wipe(secret, sizeof *secret);
    }
    return ses_openssl_ok(ok, SES_ERR_CRYPTO);
}
