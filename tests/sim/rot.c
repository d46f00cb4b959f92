/* Scrub: a bit that flips in a record is noticed within a cycle though nobody reads the record, and
 * the node gets another copy. Judged by the disk: the record's bytes must stand there again. */
#include "tests/sim/byz.h"

#define SLACK_MS 900000u
#define LOG_PREFIX_BYTES 40u /* docs/storage-format.md: magic 4, u32 len, stamps */

struct sim_rot {
    uint32_t node;
    uint64_t at_ms;
    char path[48];
    struct ses_record_ids ids;
    struct ses_buf record; /* header and payload, as they were */
};

/* Notes the record, if that is where a byte is about to change. */
static void note(struct sim *s, uint32_t node, const char *path, const uint8_t *bytes, size_t len)
{
    const struct ses_record record = {.header = bytes,
                                      .payload = bytes + SES_RECORD_HEADER_BYTES,
                                      .payload_bytes = (uint32_t)len - SES_RECORD_HEADER_BYTES};
    struct oracle *o = &s->oracle;
    struct sim_rot rot = {.node = node, .at_ms = s->now_ms};
    if (ses_record_identify(&rot.ids, &record) != SES_OK) {
        return; /* it was damaged before, or erased */
    }
    SES_ASSERT(snprintf(rot.path, sizeof rot.path, "%s", path) < (int)sizeof rot.path);
    SES_ASSERT(ses_buf_append(&rot.record, bytes, len) == SES_OK);
    o->rots = ses_realloc(o->rots, o->rot_cnt + 1, sizeof *o->rots);
    SES_ASSERT(o->rots != NULL);
    o->rots[o->rot_cnt++] = rot;
}

void oracle_rots(struct sim *s, uint32_t node, const char *path, const uint8_t *log, size_t len,
                 uint64_t place)
{
    uint64_t at = 0;
    while (len - at >= LOG_PREFIX_BYTES + SES_RECORD_HEADER_BYTES) {
        const uint32_t body = ses_get_u32(log + at + 4);
        const uint64_t from = at + LOG_PREFIX_BYTES;
        if (body < SES_RECORD_HEADER_BYTES || body > len - from) {
            return;
        }
        if (place >= from && place < from + body) {
            note(s, node, path, log + from, body);
            return;
        }
        at = from + body;
    }
}

void oracle_rots_free(struct sim *s)
{
    for (uint32_t i = 0; i < s->oracle.rot_cnt; i++) {
        ses_buf_free(&s->oracle.rots[i].record);
    }
    ses_free(s->oracle.rots);
}

static bool promised(struct sim *s, const struct sim_rot *rot)
{
    const struct sim_node *node = &s->nodes[rot->node];
    return sim_node_up(node) && node->byz == NULL && node->wiped_ms < rot->at_ms &&
           ses_store_has(node->store, &rot->ids) && !oracle_is_deleted(s, &rot->ids.id) &&
           ses_segment_expires_ms(&rot->ids.segment) > sim_unix_ms(s) + SIM_HOUR_MS;
}

/* A member that an audit asks for the record gets no copy before the epoch ends. */
static void check(struct sim *s, const struct sim_rot *rot)
{
    const struct sim_node *node = &s->nodes[rot->node];
    const uint64_t epoch_ms = s->chain.params.params.epoch_seconds * 1000;
    const uint64_t from_ms = node->up_ms > rot->at_ms ? node->up_ms : rot->at_ms;
    const uint64_t age_ms = s->now_ms - from_ms;
    struct ses_store_stats stats;
    ses_store_stats(node->store, &stats);
    if (age_ms <= epoch_ms + SLACK_MS ||
        sim_disk_durable(node->disk, rot->path, rot->record.bytes, rot->record.len)) {
        return;
    }
    if (stats.corrupt_reads == 0) {
        sim_broken(s, "scrub", "node %u has run for %" PRIu64 " s and not noticed what rots in %s",
                   rot->node, age_ms / 1000, rot->path);
    } else if (age_ms > 2 * epoch_ms + SLACK_MS && sim_calm(s, SLACK_MS) && !s->churn) {
        sim_broken(s, "scrub", "node %u still has no other copy of what rots in %s", rot->node,
                   rot->path);
    }
}

void oracle_rots_check(struct sim *s)
{
    for (uint32_t i = 0; i < s->oracle.rot_cnt && !s->verdict.failed; i++) {
        if (promised(s, &s->oracle.rots[i])) {
            check(s, &s->oracle.rots[i]);
        }
    }
}
