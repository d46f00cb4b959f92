#include <time.h>

#include "base/sys.h"

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    SES_ASSERT(clock_gettime(id, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t system_now_ms(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_REALTIME) / 1000000u;
}

const struct ses_clock *ses_clock_system(void)
{
    static const struct ses_clock clock = {.now_ms = system_now_ms};
    return &clock;
}

uint64_t ses_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t ses_mono_ms(void)
{
    return ses_mono_ns() / 1000000u;
}
