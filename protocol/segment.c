#include "protocol/record.h"

#define HOUR_S 3600u
#define HOUR_MS 3600000u
#define DAY_S 86400u

static const uint32_t ttl_s[SES_TTL_CLASS_CNT] = {HOUR_S, DAY_S, 7 * DAY_S, 14 * DAY_S, 30 * DAY_S};

uint64_t ses_ttl_ms(uint8_t ttl_class)
{
    SES_ASSERT(ttl_class < SES_TTL_CLASS_CNT);
    return (uint64_t)ttl_s[ttl_class] * 1000;
}

void ses_segment_of(struct ses_segment *out, uint8_t ttl_class, uint64_t ts_ms)
{
    SES_ASSERT(ttl_class < SES_TTL_CLASS_CNT && ts_ms <= SES_TS_MAX_MS);
    *out = (struct ses_segment){ttl_class, (uint32_t)(ts_ms / HOUR_MS)};
}

void ses_segment_encode(uint8_t out[SES_SEGMENT_BYTES], const struct ses_segment *s)
{
    out[0] = s->ttl_class;
    ses_put_u32(out + 1, s->hour);
}

uint64_t ses_segment_expires_ms(const struct ses_segment *s)
{
    return ((uint64_t)s->hour + 1) * HOUR_MS + ses_ttl_ms(s->ttl_class);
}
