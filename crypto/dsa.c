/* ML-DSA-65 on OpenSSL. Above this file nobody signs bytes without saying what for: the domain is
 * the context string of FIPS 204 section 5.2. */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

#include "crypto/crypto_internal.h"

#define NAME "ML-DSA-65"
#define HEDGE_BYTES 32u

struct ses_dsa_private {
    EVP_PKEY *pkey;
    struct ses_dsa_pk pk;
};

const char *ses_domain_text(enum ses_domain domain)
{
    switch (domain) {
#define SES_X(name, text)                                                                          \
    case SES_DOMAIN_##name:                                                                        \
        return text;
        SES_DOMAINS(SES_X)
#undef SES_X
    }
    ses_assert_failed("a domain of the enum", __FILE__, __LINE__);
}

static enum ses_err private_new(struct ses_dsa_private **out, const char *param, const void *bytes,
                                size_t len)
{
    *out = NULL;
    struct ses_dsa_private *key = ses_alloc(1, sizeof *key);
    SES_REQUIRE(key != NULL, SES_ERR_MEMORY);
    key->pkey = ses_openssl_private(NAME, param, bytes, len, key->pk.bytes, sizeof key->pk.bytes);
    if (key->pkey == NULL) {
        ses_free(key);
        return SES_ERR_CRYPTO;
    }
    *out = key;
    return SES_OK;
}

enum ses_err ses_dsa_private_new(struct ses_dsa_private **out, const struct ses_dsa_seed *seed)
{
    return private_new(out, OSSL_PKEY_PARAM_ML_DSA_SEED, seed->bytes, sizeof seed->bytes);
}

enum ses_err ses_dsa_private_from_expanded(struct ses_dsa_private **out, const uint8_t *sk,
                                           size_t len)
{
    return private_new(out, OSSL_PKEY_PARAM_PRIV_KEY, sk, len);
}

void ses_dsa_private_free(struct ses_dsa_private *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        ses_free(key);
    }
}

void ses_dsa_private_pk(const struct ses_dsa_private *key, struct ses_dsa_pk *out)
{
    *out = key->pk;
}

struct params {
    int external_mu;
    OSSL_PARAM list[4];
};

static void params_fill(struct params *p, const struct ses_dsa_how *how)
{
    size_t n = 0;
    p->external_mu = how->external_mu;
    p->list[n++] = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_MU, &p->external_mu);
    if (how->context_len > 0) {
        p->list[n++] = OSSL_PARAM_construct_octet_string(
            OSSL_SIGNATURE_PARAM_CONTEXT_STRING, (void *)(uintptr_t)how->context, how->context_len);
    }
    if (how->hedge != NULL) {
        p->list[n++] = OSSL_PARAM_construct_octet_string(
            OSSL_SIGNATURE_PARAM_TEST_ENTROPY, (void *)(uintptr_t)how->hedge, HEDGE_BYTES);
    }
    p->list[n] = OSSL_PARAM_construct_end();
}

/* OpenSSL takes an empty message, but not NULL. */
static const void *not_null(const void *message)
{
    return message != NULL ? message : "";
}

enum ses_err ses_dsa_sign_how(struct ses_dsa_sig *out, const struct ses_dsa_private *key,
                              const struct ses_dsa_how *how, const void *message, size_t len)
{
    struct params params;
    size_t sig_len = sizeof out->bytes;
    params_fill(&params, how);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    const bool ok =
        ctx != NULL &&
        EVP_PKEY_sign_message_init(ctx, ses_algorithms()->ml_dsa_65, params.list) == 1 &&
        EVP_PKEY_sign(ctx, out->bytes, &sig_len, not_null(message), len) == 1 &&
        sig_len == sizeof out->bytes;
    EVP_PKEY_CTX_free(ctx);
    if (!ok) {
        memset(out, 0, sizeof *out);
    }
    return ses_openssl_ok(ok, SES_ERR_CRYPTO);
}

enum ses_err ses_dsa_verify_how(const uint8_t *pk, size_t pk_len, const struct ses_dsa_how *how,
                                const void *message, size_t len, const uint8_t *sig, size_t sig_len)
{
    struct params params;
    enum ses_err err = SES_ERR_CRYPTO;
    params_fill(&params, how);
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(NULL, NAME, NULL, pk, pk_len);
    if (pkey == NULL) {
        goto out;
    }
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (ctx == NULL ||
        EVP_PKEY_verify_message_init(ctx, ses_algorithms()->ml_dsa_65, params.list) != 1) {
        goto out;
    }
    const int good = EVP_PKEY_verify(ctx, sig, sig_len, not_null(message), len);
    err = good == 1 ? SES_OK : SES_ERR_SIGNATURE;
out:
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ses_openssl_ok(err == SES_OK, err);
}

enum ses_err ses_sign(struct ses_dsa_sig *out, const struct ses_dsa_private *key,
                      enum ses_domain domain, const void *message, size_t len,
                      const struct ses_random *random)
{
    uint8_t hedge[HEDGE_BYTES];
    const char *text = ses_domain_text(domain);
    ses_random_fill(random, hedge, sizeof hedge);
    const struct ses_dsa_how how = {.context = text, .context_len = strlen(text), .hedge = hedge};
    const enum ses_err err = ses_dsa_sign_how(out, key, &how, message, len);
    ses_wipe(hedge, sizeof hedge);
    return err;
}

enum ses_err ses_verify(const struct ses_dsa_pk *pk, enum ses_domain domain, const void *message,
                        size_t len, const struct ses_dsa_sig *sig)
{
    const char *text = ses_domain_text(domain);
    const struct ses_dsa_how how = {.context = text, .context_len = strlen(text)};
    return ses_dsa_verify_how(pk->bytes, sizeof pk->bytes, &how, message, len, sig->bytes,
                              sizeof sig->bytes);
}
