#include <sodium.h>
#include <string.h>
#include <sys/resource.h>

#include "crypto/crypto_internal.h"

void ses_wipe(void *p, size_t len)
{
    sodium_memzero(p, len);
}

bool ses_equal(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}

void *ses_secret_alloc(size_t len)
{
    if (sodium_init() < 0) {
        return NULL;
    }
    void *p = sodium_malloc(len);
    if (p != NULL && len > 0) {
        memset(p, 0, len);
    }
    return p;
}

void ses_secret_free(void *p)
{
    sodium_free(p);
}

enum ses_err ses_crypto_init(void)
{
    SES_REQUIRE(sodium_init() >= 0, SES_ERR_CRYPTO);
    SES_REQUIRE(ses_algorithms_try() != NULL, SES_ERR_CRYPTO);
    /* Guarded memory stays out of core dumps anyway; this is for what the libraries hold. A system
     * that forbids the change has a limit of its own. */
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    return SES_OK;
}
