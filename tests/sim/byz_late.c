/* Records that are given to some members before others, around F_e, when it matters most: who
 * accepts before commits to it for epoch e, who accepts after does not, unless other members vouch
 * (storage page, Receipts). Whatever comes of it must be the same at all honest members. */
#include "tests/sim/byz.h"

#define STEPS 6u        /* freezeSeconds / 6 is the time that a voucher buys */
#define RECORDS_CNT 16u /* of an epoch */

struct late {
    struct byz *b;
    struct byz_record record;
    uint64_t epoch;
    uint64_t frozen_ms; /* F_e, since the start */
    uint64_t delta_ms;
    uint32_t swarm;
    uint32_t first; /* host that gets it first */
    uint32_t refs;
    uint8_t voucher_cnt;
    struct ses_receipt vouchers[SES_VOUCHERS_MAX];
};
struct shot {
    struct late *late;
    uint32_t to;
    uint8_t voucher_cnt;
};

static void late_free(struct late *l)
{
    if (--l->refs == 0) {
        ses_free(l);
    }
}

static void fire(void *cookie)
{
    struct shot *shot = cookie;
    struct late *l = shot->late;
    struct sim *s = l->b->node->sim;
    struct ses_buf out = {0};
    struct ses_writer w;
    struct ses_flow *flow = sim_flow_to(&l->b->node->net, shot->to, SES_PROTO_REPLICATE);
    const size_t cap = 1024 + (size_t)shot->voucher_cnt * SES_RECEIPT_BYTES_MAX;
    if (flow != NULL && sim_node_up(l->b->node) && !s->ending) {
        SES_ASSERT(ses_buf_reserve(&out, cap) == SES_OK);
        ses_writer_init(&w, out.bytes, cap);
        const struct ses_replicate_put put = {.seq = BYZ_SEQ + s->now_ms, .record_cnt = 1};
        ses_replicate_put_write(&w, &put);
        ses_record_write(&w, &l->record.record);
        ses_write_u8(&w, shot->voucher_cnt);
        for (uint8_t i = 0; i < shot->voucher_cnt; i++) {
            ses_receipt_write(&w, &l->vouchers[i]);
        }
        SES_ASSERT(ses_writer_done(&w) == SES_OK);
        sim_see(s, SEEN_LIE_LATE);
        const enum ses_err err = sim_flow_send_raw(flow, out.bytes, w.len);
        sim_tell(s, "node %u gives node %u a record for epoch %" PRIu64 ", %u receipts: %s",
                 l->b->node->index, shot->to, l->epoch, shot->voucher_cnt, ses_err_name(err));
        ses_buf_free(&out);
    }
    late_free(l);
    ses_free(shot);
}

static void shoot(struct late *l, uint64_t at_ms, uint32_t to, uint8_t voucher_cnt)
{
    struct sim *s = l->b->node->sim;
    struct shot *shot = ses_alloc(1, sizeof *shot);
    SES_ASSERT(shot != NULL);
    *shot = (struct shot){.late = l, .to = to, .voucher_cnt = voucher_cnt};
    l->refs++;
    sim_after(s, at_ms > s->now_ms ? at_ms - s->now_ms : 1, fire, shot);
}

/* ---- who ---- */
static bool member(const struct sim *s, const struct ses_map *map, uint32_t host, uint32_t swarm)
{
    const struct ses_map_node *row = ses_map_find(map, &s->nodes[host].node_id);
    return row != NULL && row->row.swarm == swarm && row->row.status == SES_NODE_ACTIVE;
}

/* Receipts of all liars of the swarm. */
static void gather_vouchers(struct late *l, const struct ses_map *map)
{
    struct sim *s = l->b->node->sim;
    for (uint32_t i = 0; i < s->node_cnt && l->voucher_cnt < SES_VOUCHERS_MAX; i++) {
        if (s->nodes[i].byz != NULL && member(s, map, i, l->swarm)) {
            byz_receipt_make(&l->vouchers[l->voucher_cnt++], s->nodes[i].byz, &l->record.ids,
                             l->epoch);
        }
    }
}

/* More than liars are there: the first in the names of others, or as often as it takes. */
static void pad_vouchers(struct late *l, const struct ses_map *map)
{
    struct sim *s = l->b->node->sim;
    const bool names = dice_chance(&l->b->dice, 500);
    for (uint32_t i = 0; names && i < s->node_cnt && l->voucher_cnt < SES_VOUCHERS_MAX; i++) {
        if (s->nodes[i].byz == NULL && i != l->first && member(s, map, i, l->swarm)) {
            struct ses_receipt *r = &l->vouchers[l->voucher_cnt++];
            *r = l->vouchers[0];
            r->node_id = s->nodes[i].node_id;
        }
    }
    while (!names && l->voucher_cnt < SES_VOUCHERS_MAX) {
        l->vouchers[l->voucher_cnt++] = l->vouchers[0];
    }
}

/* ---- how ---- */
/* One member hears of it just before F_e, the others just after. */
static void around_freeze(struct late *l, const struct ses_map *map)
{
    struct byz *b = l->b;
    const struct sim *s = b->node->sim;
    const uint64_t before_ms = dice_between(&b->dice, 500, 20000);
    const uint64_t after_ms = dice_between(&b->dice, 50, 3000);
    const uint64_t lead = dice_below(&b->dice, 3);
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        if (i == b->node->index || !member(s, map, i, l->swarm)) {
            continue;
        }
        const bool early = i == l->first || dice_below(&b->dice, 4) < lead;
        shoot(l, early ? l->frozen_ms - before_ms : l->frozen_ms + after_ms, i, 0);
    }
}

/* The others have it, too late for the epoch; then one hears of it, and that so many vouch. */
static void vouched_later(struct late *l, const struct ses_map *map)
{
    struct byz *b = l->b;
    const struct sim *s = b->node->sim;
    const bool pad = dice_chance(&b->dice, 500);
    const bool known = dice_chance(&b->dice, 600);
    if (pad) {
        pad_vouchers(l, map);
    }
    const uint64_t from_ms = l->frozen_ms + (l->voucher_cnt - 1u) * l->delta_ms;
    for (uint32_t i = 0; known && i < s->node_cnt; i++) {
        if (i != b->node->index && i != l->first && member(s, map, i, l->swarm)) {
            shoot(l, from_ms + dice_between(&b->dice, 10, 300), i, 0);
        }
    }
    /* With receipts that count: before comparing brings it there without. With others: when whoever
     * believes them can tell nobody in time. */
    const uint64_t into_ms = pad ? l->delta_ms - dice_between(&b->dice, 5, 100)
                                 : dice_between(&b->dice, 400, known ? 1500 : l->delta_ms - 500);
    shoot(l, from_ms + into_ms, l->first, l->voucher_cnt);
}

static void give_one(struct byz *b, const struct ses_map *map, uint32_t swarm, uint64_t epoch)
{
    struct sim *s = b->node->sim;
    const struct ses_params *p = &s->chain.params.params;
    struct late *l = ses_alloc(1, sizeof *l);
    SES_ASSERT(l != NULL);
    *l = (struct late){.b = b, .epoch = epoch, .swarm = swarm, .refs = 1};
    l->frozen_ms = (epoch * p->epoch_seconds - p->freeze_seconds) * 1000;
    l->delta_ms = p->freeze_seconds * 1000 / STEPS;
    const uint64_t settled_ms = (epoch * p->epoch_seconds - p->settle_seconds) * 1000;
    const uint64_t age_ms = dice_between(&b->dice, 2000, 90 * SIM_MINUTE_MS);
    byz_record_make(&l->record, b, map, swarm, SIM_START_MS + settled_ms - age_ms);
    const uint32_t skip = (uint32_t)dice_below(&b->dice, s->node_cnt);
    l->first = s->node_cnt;
    for (uint32_t i = 0; i < s->node_cnt && l->first == s->node_cnt; i++) {
        const uint32_t host = (skip + i) % s->node_cnt;
        l->first = s->nodes[host].byz == NULL && member(s, map, host, swarm) ? host : s->node_cnt;
    }
    gather_vouchers(l, map);
    if (l->first < s->node_cnt && dice_chance(&b->dice, 500)) {
        around_freeze(l, map);
    } else if (l->first < s->node_cnt && l->voucher_cnt > 0) {
        vouched_later(l, map);
    }
    late_free(l);
}

void byz_late(struct byz *b, uint64_t epoch)
{
    struct ses_map *map = sim_chain_map(b->node->sim, 0);
    const struct ses_map_node *own = ses_map_find(map, &b->node->node_id);
    if (own != NULL && own->row.swarm != SES_SWARM_NONE && sim_node_up(b->node)) {
        for (uint32_t i = 0; i < RECORDS_CNT; i++) {
            give_one(b, map, own->row.swarm, epoch);
        }
    }
    sim_map_free(map);
}
