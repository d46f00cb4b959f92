/* What delete statements do to the catalog. The statement is durable, with its targets in the index
 * or in its own bytes, before anything here happens; so a start comes to the same. */
#include <string.h>

#include "storage/storage_internal.h"

static bool may_delete(const struct ses_store *store, const struct ses_put *put,
                       const struct ses_deletion *target)
{
    struct ses_segment segment;
    if (!ses_deletion_allowed(put->ids, target)) {
        return false;
    }
    ses_segment_of(&segment, target->ttl_class, target->ts_ms);
    return ses_segment_expires_ms(&segment) > ses_now_ms(&store->p.loop->clock);
}

enum ses_err ses_put_targets(struct ses_store *store, struct ses_op *op, const struct ses_put *put)
{
    if (put->ids->header.kind != SES_RECORD_TOMBSTONE || put->target_cnt == 0) {
        return SES_OK;
    }
    SES_REQUIRE(put->target_cnt <= SES_DELETIONS_MAX, SES_ERR_INVALID);
    op->targets = ses_alloc(put->target_cnt, sizeof *op->targets);
    SES_REQUIRE(op->targets != NULL, SES_ERR_MEMORY);
    for (uint8_t i = 0; i < put->target_cnt; i++) {
        if (may_delete(store, put, &put->targets[i])) {
            op->targets[op->target_cnt++] = put->targets[i];
        }
    }
    const enum ses_err err =
        ses_catalog_reserve_ghosts(&store->catalog, op->targets, op->target_cnt);
    if (err != SES_OK) {
        op->target_cnt = 0; /* nothing to give back */
    }
    return err;
}

void ses_delete_targets(struct ses_store *store, const struct ses_op *op)
{
    for (uint8_t i = 0; i < op->target_cnt; i++) {
        const uint32_t at = ses_catalog_delete(&store->catalog, op->entry, &op->targets[i],
                                               (uint32_t)op->admit_epoch);
        if (at != SES_NONE) {
            ses_grove_touch(store, at);
        }
    }
}
