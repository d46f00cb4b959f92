#include "protocol/node.h"

#include <inttypes.h>
#include <stddef.h>

#include "protocol/protocol_internal.h"
#include "protocol/rpc_frame.h"
#include "protocol/tx.h"

#define YEAR_S 31536000u
#define BPS_MAX 10000u
#define EPOCHS_MAX 1000000u
#define BLOCK_MIN_BYTES (SES_BLOCK_HEADER_BYTES + 4u + SES_TX_BYTES_MAX)
#define BLOCK_MAX_BYTES 16777216u

/* A swarm splits when the network's mean reaches 1.4 times the target; assignment keeps swarms
 * within a node of each other, so that 32 leaves ample room below SES_MEMBERS_MAX. */
#define SWARM_TARGET_MAX (SES_MEMBERS_MAX / 2)

struct range {
    const char *key;
    size_t at; /* in struct ses_params */
    uint64_t min;
    uint64_t max;
};
#define RANGE(field, key, min, max)                                                                \
    {                                                                                              \
        key, offsetof(struct ses_params, field), min, max                                          \
    }
static const struct range ranges[] = {
    RANGE(epoch_seconds, "epochSeconds", 3, YEAR_S),
    RANGE(block_seconds, "blockSeconds", 1, 3600),
    RANGE(min_stake, "minStake", 1, SES_SIGNED_INT_MAX),
    RANGE(swarm_target, "swarmTarget", 1, SWARM_TARGET_MAX),
    RANGE(testers, "testers", 1, 256),
    RANGE(min_peers, "minPeers", 0, 256),
    RANGE(audit_leaves, "auditLeaves", 0, SES_AUDIT_LEAVES_MAX),
    RANGE(miss_bps, "missBps", 1, BPS_MAX), /* a divisor (registry page, step 1) */
    RANGE(max_slash_bps, "maxSlashBps", 1, BPS_MAX),
    RANGE(unbond_epochs, "unbondEpochs", 1, EPOCHS_MAX),
    RANGE(settle_seconds, "settleSeconds", 1, YEAR_S),
    RANGE(freeze_seconds, "freezeSeconds", 1, YEAR_S),
    RANGE(min_free_bps, "minFreeBps", 0, BPS_MAX),
    RANGE(min_free_bytes, "minFreeBytes", 0, SES_SIGNED_INT_MAX),
    RANGE(rotate_per_swarm_epochs, "rotatePerSwarmEpochs", 0, EPOCHS_MAX),
    RANGE(deviant_epochs, "deviantEpochs", 1, SES_UPTIME_WINDOW),
    RANGE(unreachable_epochs, "unreachableEpochs", 1, SES_UPTIME_WINDOW),
    RANGE(seat_lost_misses, "seatLostMisses", 1, SES_UPTIME_WINDOW),
    RANGE(outage_bps, "outageBps", 0, BPS_MAX),
    RANGE(outage_forgiven, "outageForgiven", 0, SES_UPTIME_WINDOW),
    RANGE(tx_fee, "txFee", 0, SES_SIGNED_INT_MAX),
    RANGE(inbox_quota_bytes, "inboxQuotaBytes", SES_PAYLOAD_MAX, SES_SIGNED_INT_MAX),
    RANGE(block_max_bytes, "blockMaxBytes", BLOCK_MIN_BYTES, BLOCK_MAX_BYTES),
};
_Static_assert(SES_COUNT(ranges) == sizeof(struct ses_params) / sizeof(uint64_t),
               "every parameter has its range");

void ses_params_defaults(struct ses_params *p)
{
    *p = (struct ses_params){
#define SES_X(field, key, value) .field = (value),
        SES_PARAMS(SES_X)
#undef SES_X
    };
}

static enum ses_err check_range(const struct ses_params *p, const struct range *range,
                                struct ses_note *note)
{
    uint64_t value = 0;
    memcpy(&value, (const uint8_t *)p + range->at, sizeof value);
    if (value < range->min || value > range->max) {
        ses_note_set(note, "genesis parameter %s is %" PRIu64 "; set it to %" PRIu64 " .. %" PRIu64,
                     range->key, value, range->min, range->max);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

/* What two parameters mean together; the ranges hold already, so that sums do not overflow. */
static enum ses_err check_pairs(const struct ses_params *p, struct ses_note *note)
{
    if (p->epoch_seconds <= p->settle_seconds + p->freeze_seconds) {
        ses_note_set(note,
                     "genesis parameter epochSeconds is %" PRIu64 "; set it to at least %" PRIu64
                     " (more than settleSeconds + freezeSeconds), or lower those",
                     p->epoch_seconds, p->settle_seconds + p->freeze_seconds + 1);
        return SES_ERR_CONFIG;
    }
    if (p->block_seconds >= p->epoch_seconds) {
        ses_note_set(note,
                     "genesis parameter blockSeconds is %" PRIu64 "; set it to 1 .. %" PRIu64
                     " (less than epochSeconds)",
                     p->block_seconds, p->epoch_seconds - 1);
        return SES_ERR_CONFIG;
    }
    if (p->max_slash_bps < p->miss_bps) {
        ses_note_set(note,
                     "genesis parameter maxSlashBps is %" PRIu64 "; set it to %" PRIu64
                     " .. %u (at least missBps)",
                     p->max_slash_bps, p->miss_bps, BPS_MAX);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

enum ses_err ses_params_validate(const struct ses_params *p, struct ses_note *note)
{
    for (size_t i = 0; i < SES_COUNT(ranges); i++) {
        SES_TRY(check_range(p, &ranges[i], note));
    }
    return check_pairs(p, note);
}
