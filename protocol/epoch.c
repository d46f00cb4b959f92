#include "protocol/node.h"

#include "protocol/protocol_internal.h"

#define CANONICAL_BYTES (4u + 32u + 8u + 8u)

static bool epoch_ok(const struct ses_epoch *e)
{
    if (!ses_power_of_two(e->num_swarms) || e->canonical_cnt > SES_EPOCH_CANONICAL_MAX) {
        return false;
    }
    for (uint32_t i = 1; i < e->canonical_cnt; i++) { /* one per swarm, one order */
        if (e->canonical[i - 1].swarm >= e->canonical[i].swarm) {
            return false;
        }
    }
    return true;
}

void ses_epoch_write(struct ses_writer *w, const struct ses_epoch *e)
{
    ses_writer_check(w, epoch_ok(e));
    ses_write_u64(w, e->epoch);
    ses_write_bytes(w, e->parent_block.bytes, sizeof e->parent_block.bytes);
    ses_write_bytes(w, e->seed.bytes, sizeof e->seed.bytes);
    ses_write_u32(w, e->num_swarms);
    ses_write_u64(w, e->active_cnt);
    ses_write_u64(w, e->total_bonded);
    ses_write_u32(w, e->canonical_cnt);
    for (uint32_t i = 0; w->err == SES_OK && i < e->canonical_cnt; i++) {
        const struct ses_canonical_root *c = &e->canonical[i];
        ses_write_u32(w, c->swarm);
        ses_write_bytes(w, c->root.bytes, sizeof c->root.bytes);
        ses_write_u64(w, c->count);
        ses_write_u64(w, c->bytes);
    }
    ses_write_bytes(w, e->registry_root.bytes, sizeof e->registry_root.bytes);
    ses_write_u8(w, e->outage ? 1 : 0);
    ses_write_u64(w, e->miss_cnt);
}

static void read_canonical(struct ses_reader *r, struct ses_epoch *e,
                           struct ses_canonical_root *canonical, uint32_t canonical_max)
{
    const uint32_t cnt = ses_read_u32(r);
    ses_reader_check(r, cnt <= canonical_max && cnt <= SES_EPOCH_CANONICAL_MAX, SES_ERR_TOO_LARGE);
    ses_read_prove(r, cnt, CANONICAL_BYTES);
    for (uint32_t i = 0; r->err == SES_OK && i < cnt; i++) {
        canonical[i].swarm = ses_read_u32(r);
        ses_read_bytes(r, canonical[i].root.bytes, sizeof canonical[i].root.bytes);
        canonical[i].count = ses_read_u64(r);
        canonical[i].bytes = ses_read_u64(r);
    }
    e->canonical_cnt = r->err == SES_OK ? cnt : 0;
    e->canonical = canonical;
}

void ses_epoch_read(struct ses_reader *r, struct ses_epoch *e, struct ses_canonical_root *canonical,
                    uint32_t canonical_max)
{
    memset(e, 0, sizeof *e);
    e->epoch = ses_read_u64(r);
    ses_read_bytes(r, e->parent_block.bytes, sizeof e->parent_block.bytes);
    ses_read_bytes(r, e->seed.bytes, sizeof e->seed.bytes);
    e->num_swarms = ses_read_u32(r);
    e->active_cnt = ses_read_u64(r);
    e->total_bonded = ses_read_u64(r);
    read_canonical(r, e, canonical, canonical_max);
    ses_read_bytes(r, e->registry_root.bytes, sizeof e->registry_root.bytes);
    const uint8_t outage = ses_read_u8(r);
    e->outage = outage == 1;
    e->miss_cnt = ses_read_u64(r);
    ses_reader_check(r, outage <= 1 && epoch_ok(e), SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        memset(e, 0, sizeof *e);
    }
}
