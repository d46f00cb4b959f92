/* What is fetched from OpenSSL once, and the contexts that each thread keeps. */
#include <openssl/err.h>
#include <openssl/params.h>
#include <pthread.h>

#include "crypto/crypto_internal.h"

static struct ses_algorithms algorithms; /* written once, under `once`, and never again */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;

/* The contexts of one thread: making one costs as much as hashing a short message. */
struct thread {
    EVP_MD_CTX *md[SES_MD_CNT];
};
static _Thread_local struct thread *mine;

static void thread_free(void *p)
{
    struct thread *t = p;
    for (unsigned i = 0; i < SES_MD_CNT; i++) {
        EVP_MD_CTX_free(t->md[i]);
    }
    OPENSSL_free(t);
    mine = NULL; /* a later destructor of this thread may hash */
}

static void fetch(void)
{
    static const char *const names[SES_MD_CNT] = {"SHA2-256", "SHA3-256", "SHA3-512", "SHAKE-256"};
    bool ready = pthread_key_create(&thread_key, thread_free) == 0;
    for (unsigned i = 0; i < SES_MD_CNT; i++) {
        algorithms.md[i] = EVP_MD_fetch(NULL, names[i], NULL);
        ready = ready && algorithms.md[i] != NULL;
    }
    algorithms.kmac256 = EVP_MAC_fetch(NULL, "KMAC-256", NULL);
    algorithms.chacha20_poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    algorithms.ml_dsa_65 = EVP_SIGNATURE_fetch(NULL, "ML-DSA-65", NULL);
    EVP_KEM *kem = EVP_KEM_fetch(NULL, "ML-KEM-768", NULL);
    algorithms.ready = ready && algorithms.kmac256 != NULL &&
                       algorithms.chacha20_poly1305 != NULL && algorithms.ml_dsa_65 != NULL &&
                       kem != NULL;
    EVP_KEM_free(kem);
}

const struct ses_algorithms *ses_algorithms_try(void)
{
    SES_ASSERT(pthread_once(&once, fetch) == 0);
    return algorithms.ready ? &algorithms : NULL;
}

const struct ses_algorithms *ses_algorithms(void)
{
    const struct ses_algorithms *a = ses_algorithms_try();
    SES_ASSERT(a != NULL);
    return a;
}

static struct thread *thread_contexts(void)
{
    if (mine == NULL) {
        SES_ASSERT(ses_algorithms_try() != NULL); /* makes the key */
        struct thread *t = OPENSSL_zalloc(sizeof *t);
        SES_ASSERT(t != NULL && pthread_setspecific(thread_key, t) == 0);
        mine = t;
    }
    return mine;
}

EVP_MD_CTX *ses_thread_md(enum ses_md md)
{
    struct thread *t = thread_contexts();
    if (t->md[md] == NULL) {
        t->md[md] = EVP_MD_CTX_new();
        SES_ASSERT(t->md[md] != NULL);
    }
    SES_ASSERT(EVP_DigestInit_ex2(t->md[md], ses_algorithms()->md[md], NULL) == 1);
    return t->md[md];
}

enum ses_err ses_openssl_ok(bool ok, enum ses_err err)
{
    if (ok) {
        return SES_OK;
    }
    ERR_clear_error();
    return err;
}

static EVP_PKEY *pkey_from(const char *algorithm, const char *form, const void *bytes, size_t len)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(form, (void *)(uintptr_t)bytes, len),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, (OSSL_PARAM *)(uintptr_t)params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

EVP_PKEY *ses_openssl_private(const char *algorithm, const char *form, const void *bytes,
                              size_t len, uint8_t *pk, size_t pk_len)
{
    size_t got = pk_len;
    EVP_PKEY *pkey = pkey_from(algorithm, form, bytes, len);
    if (pkey == NULL || EVP_PKEY_get_raw_public_key(pkey, pk, &got) != 1 || got != pk_len) {
        EVP_PKEY_free(pkey);
        ERR_clear_error();
        return NULL;
    }
    return pkey;
}
