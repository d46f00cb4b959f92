#include "protocol/record.h"

#define VOUCHERS_MAX 5u
#define VOUCHER_STEPS 6u

uint64_t ses_epoch_start_ms(const struct ses_times *t, uint64_t epoch)
{
    return (t->genesis_s + epoch * t->epoch_s) * 1000;
}

uint64_t ses_epoch_at(const struct ses_times *t, uint64_t unix_s)
{
    return unix_s < t->genesis_s ? 0 : (unix_s - t->genesis_s) / t->epoch_s;
}

/* Least e with ts < T_e - settle. */
static uint64_t epoch_by_ts(const struct ses_times *t, uint64_t ts_ms)
{
    const uint64_t at = ts_ms + t->settle_s * 1000;
    const uint64_t genesis_ms = t->genesis_s * 1000;
    return at < genesis_ms ? 0 : (at - genesis_ms) / (t->epoch_s * 1000) + 1;
}

/* Least e with accepted <= T_e - freeze. */
static uint64_t epoch_by_accepted(const struct ses_times *t, uint64_t accepted_ms)
{
    const uint64_t at = accepted_ms + t->freeze_s * 1000;
    const uint64_t genesis_ms = t->genesis_s * 1000;
    const uint64_t epoch_ms = t->epoch_s * 1000;
    return at <= genesis_ms ? 0 : (at - genesis_ms + epoch_ms - 1) / epoch_ms;
}

uint64_t ses_admit_epoch(const struct ses_times *t, uint64_t ts_ms, uint64_t accepted_ms,
                         int64_t sealed, unsigned vouchers)
{
    SES_ASSERT(t->epoch_s > 0 && sealed >= -1);
    const uint64_t steps = vouchers < VOUCHERS_MAX ? vouchers : VOUCHERS_MAX;
    const uint64_t grace_ms = steps * t->freeze_s * 1000 / VOUCHER_STEPS;
    const uint64_t by_ts = epoch_by_ts(t, ts_ms);
    const uint64_t by_accepted =
        epoch_by_accepted(t, accepted_ms > grace_ms ? accepted_ms - grace_ms : 0);
    const uint64_t unsealed = (uint64_t)(sealed + 1);
    const uint64_t least = by_ts > by_accepted ? by_ts : by_accepted;
    return least > unsealed ? least : unsealed;
}

bool ses_in_commitment(const struct ses_times *t, uint64_t epoch, const struct ses_segment *segment,
                       uint64_t admit_epoch)
{
    /* the root of S_e is opened until T_{e+2}: what expires earlier is never committed */
    return admit_epoch <= epoch &&
           ses_segment_expires_ms(segment) >= ses_epoch_start_ms(t, epoch + 2);
}
