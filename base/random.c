#include <errno.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/sys.h"

static void system_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    uint8_t *at = out;
    while (len > 0) {
        const ssize_t got = getrandom(at, len, 0);
        if (got < 0) {
            SES_ASSERT(errno == EINTR);
            continue;
        }
        at += got;
        len -= (size_t)got;
    }
}

const struct ses_random *ses_random_system(void)
{
    static const struct ses_random random = {.fill = system_fill};
    return &random;
}

uint64_t ses_random_u64(const struct ses_random *random)
{
    uint8_t bytes[8];
    ses_random_fill(random, bytes, sizeof bytes);
    return ses_get_u64(bytes);
}

uint64_t ses_random_below(const struct ses_random *random, uint64_t bound)
{
    SES_ASSERT(bound > 0);
    /* Values below 2^64 mod bound are drawn again: the rest is a whole number of runs. */
    const uint64_t least = (0 - bound) % bound;
    uint64_t drawn;
    do {
        drawn = ses_random_u64(random);
    } while (drawn < least);
    return drawn % bound;
}
