#include <sodium.h>
#include <string.h>
#include <sys/resource.h>

#include "crypto/crypto_internal.h"

void ses_wipe(void *p, size_t len)
{
    sodium_memzero(p, len);
}

/* By words, unlike libsodium's; the empty assembly keeps the compiler from stopping at the first
 * difference. */
bool ses_equal(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    uint64_t differ = 0;
    for (; len >= 8; len -= 8, x += 8, y += 8) {
        uint64_t v, w;
        memcpy(&v, x, 8);
        memcpy(&w, y, 8);
        differ |= v ^ w;
        __asm__("" : "+r"(differ));
    }
    for (; len > 0; len--) {
        differ |= (uint64_t)(*x++ ^ *y++);
    }
    __asm__("" : "+r"(differ));
    return differ == 0;
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
