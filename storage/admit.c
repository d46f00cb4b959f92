/* Which epoch a record is admitted to, and what a statement may delete. */
#include "storage/storage_internal.h"

#define LATER_MS 130000u /* the width of the window in which records may enter */

void ses_vouchers_add(struct ses_vouchers *vouchers, uint64_t admit_epoch)
{
    uint8_t at = vouchers->cnt;
    SES_ASSERT(at <= SES_VOUCHERS_MAX);
    while (at > 0 && vouchers->epochs[at - 1] > admit_epoch) {
        at--;
    }
    if (at == SES_VOUCHERS_MAX) {
        return; /* five with lesser epochs are there */
    }
    vouchers->cnt = (uint8_t)(vouchers->cnt + (vouchers->cnt < SES_VOUCHERS_MAX));
    for (uint8_t i = (uint8_t)(vouchers->cnt - 1); i > at; i--) {
        vouchers->epochs[i] = vouchers->epochs[i - 1];
    }
    vouchers->epochs[at] = admit_epoch;
}

uint64_t ses_vouched_epoch(const struct ses_times *times, uint64_t ts_ms, uint64_t accepted_ms,
                           int64_t sealed, const struct ses_vouchers *vouchers)
{
    uint64_t epoch = ses_admit_epoch(times, ts_ms, accepted_ms, sealed, 0);
    /* the first k vouch for every epoch from that of the k-th on */
    for (uint8_t k = 1; k <= vouchers->cnt; k++) {
        const uint64_t reached = ses_admit_epoch(times, ts_ms, accepted_ms, sealed, k);
        const uint64_t from = vouchers->epochs[k - 1];
        const uint64_t admitted = reached > from ? reached : from;
        epoch = admitted < epoch ? admitted : epoch;
    }
    return epoch;
}

bool ses_deletion_allowed(const struct ses_record_ids *statement, const struct ses_deletion *target)
{
    if (target->ttl_class >= SES_TTL_CLASS_CNT || target->ts_ms > SES_TS_MAX_MS ||
        target->ts_ms > statement->header.ts_ms + LATER_MS) {
        return false;
    }
    struct ses_segment segment;
    ses_segment_of(&segment, target->ttl_class, target->ts_ms);
    return ses_segment_expires_ms(&segment) <= ses_segment_expires_ms(&statement->segment);
}
