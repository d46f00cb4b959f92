/* Judging an epoch (registry page, Epochs): step 2, the canonical root of each swarm, and step 1,
 * who missed, why, and what it costs.
 *
 *   load ─► canonical roots, deviants (2) ─► causes a..f (1) ─► outage? ─► forgive or charge ─►
 * note
 */
#include "vm/epoch_internal.h"

#define ANSWERS_ENOUGH 10u /* verdicts that make a judgement of reachability */
#define BPS 10000u

/* ---- what each node did ---- */

static uint8_t owed_bits(const struct ses_transition *t, const struct ses_node_id *node_id)
{
    struct ses_response_context context;
    struct ses_tip then = *t->parent; /* its seed; the state above which this block stands */
    then.layer = t->tip->layer;
    ses_response_context_of(&context, t->vm, &then, node_id);
    uint32_t cnt = context.owed_cnt;
    while (SES_MUTANT(DEMAND_NOT_JUDGED) && cnt > 0 &&
           context.owed[cnt - 1].kind == SES_OWED_DEMAND) {
        cnt--;
    }
    return (uint8_t)((1u << cnt) - 1);
}

static void load_standing(const struct ses_transition *t, const struct ses_node *node,
                          struct ses_standing *s)
{
    const struct ses_layer *layer = t->tip->layer;
    const uint64_t p = t->parent->epoch.epoch;
    s->note.node_id = node->node_id;
    if (node->status == SES_NODE_RETIRED) {
        return;
    }
    s->seated = node->swarm != SES_SWARM_NONE;
    s->judged = t->judges && (s->seated || ses_seat_lost(t, node));
    s->age = s->seated ? p - node->swarm_from_epoch : 0;
    s->committed = ses_committed_load(layer, &node->node_id, p, &s->root);
    s->responded = ses_response_load(layer, &node->node_id, p, &s->response);
    s->owed = s->judged && s->age >= 2 ? owed_bits(t, &node->node_id) : 0;
}

/* ---- step 2 ---- */

/* Votes of a swarm: more than half of the roots given can only be the one that is left when pairs
 * of different ones have cancelled each other. */
struct ballot {
    uint32_t members;
    uint32_t candidate; /* node */
    uint32_t weight;
    uint32_t votes;
};

static bool same_root(const struct ses_committed *a, const struct ses_committed *b)
{
    return memcmp(a->root.bytes, b->root.bytes, sizeof(a->root.bytes)) == 0 &&
           a->count == b->count && a->bytes == b->bytes;
}

static bool votes(const struct ses_transition *t, uint32_t i)
{
    return t->nodes[i].status == SES_NODE_ACTIVE && t->standings[i].seated &&
           t->standings[i].age >= 1;
}

static void count_ballots(const struct ses_transition *t, struct ballot *ballots)
{
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        if (!votes(t, i)) {
            continue;
        }
        struct ballot *b = &ballots[t->nodes[i].swarm];
        b->members++;
        if (!t->standings[i].committed) {
            continue;
        }
        if (b->weight == 0) {
            b->candidate = i;
        }
        const bool same = same_root(&t->standings[i].root, &t->standings[b->candidate].root);
        b->weight = same ? b->weight + 1 : b->weight - 1;
    }
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        struct ballot *b = votes(t, i) ? &ballots[t->nodes[i].swarm] : NULL;
        if (b != NULL && b->weight > 0 && t->standings[i].committed &&
            same_root(&t->standings[i].root, &t->standings[b->candidate].root)) {
            b->votes++;
        }
    }
}

static bool elects(const struct ballot *b)
{
    return b->votes >= 3 && 3 * (uint64_t)b->votes > 2 * (uint64_t)b->members;
}

static enum ses_err keep_canonical(struct ses_transition *t, const struct ballot *ballots,
                                   uint32_t num_swarms)
{
    for (uint32_t s = 0; s < num_swarms; s++) {
        t->canonical_cnt += elects(&ballots[s]);
    }
    SES_REQUIRE(t->canonical_cnt <= SES_EPOCH_CANONICAL_MAX, SES_ERR_FULL);
    t->canonical = ses_alloc(t->canonical_cnt == 0 ? 1 : t->canonical_cnt, sizeof(*t->canonical));
    SES_REQUIRE(t->canonical != NULL, SES_ERR_MEMORY);
    uint32_t cnt = 0;
    for (uint32_t s = 0; s < num_swarms; s++) {
        if (elects(&ballots[s])) {
            const struct ses_committed *root = &t->standings[ballots[s].candidate].root;
            t->canonical[cnt++] = (struct ses_canonical_root){
                .swarm = s, .root = root->root, .count = root->count, .bytes = root->bytes};
        }
    }
    return SES_OK;
}

/* On the canonical root, or where there is none, the count of deviant epochs returns to 0. */
static void count_deviants(struct ses_transition *t, const struct ballot *ballots)
{
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        struct ses_standing *s = &t->standings[i];
        if (!s->judged || !s->seated) {
            continue;
        }
        const struct ballot *b = &ballots[t->nodes[i].swarm];
        if (!elects(b)) {
            t->nodes[i].deviant_cnt = 0;
        } else if (s->committed) {
            s->off_root = !same_root(&s->root, &t->standings[b->candidate].root);
            t->nodes[i].deviant_cnt = s->off_root ? t->nodes[i].deviant_cnt + 1 : 0;
        }
    }
}

static enum ses_err find_canonical(struct ses_transition *t)
{
    const uint32_t num_swarms = t->parent->epoch.num_swarms;
    struct ballot *ballots = ses_alloc(num_swarms, sizeof(*ballots));
    SES_REQUIRE(ballots != NULL, SES_ERR_MEMORY);
    count_ballots(t, ballots);
    const enum ses_err err = keep_canonical(t, ballots, num_swarms);
    if (err == SES_OK) {
        count_deviants(t, ballots);
    }
    ses_free(ballots);
    return err;
}

/* ---- step 1: reachability ---- */

/* The standing of the node behind a row of the judged epoch: rows and nodes are both by node_id,
 * and no node ever leaves the state. */
static void map_rows(const struct ses_transition *t, uint32_t *node_of_row)
{
    const struct ses_rows *rows = t->parent->rows;
    uint32_t i = 0;
    for (uint32_t row = 0; row < rows->cnt; row++) {
        while (memcmp(t->nodes[i].node_id.bytes, rows->rows[row].row.node_id.bytes, 20) != 0) {
            i++;
            SES_ASSERT(i < t->node_cnt);
        }
        node_of_row[row] = i;
    }
}

static void count_verdicts(struct ses_transition *t, const uint32_t *node_of_row)
{
    const struct ses_tests *tests = t->parent->tests;
    for (uint32_t q = 0; q < tests->order_cnt; q++) {
        const struct ses_standing *tester = &t->standings[node_of_row[tests->order[q]]];
        for (uint32_t j = 0; j < tests->offset_cnt; j++) {
            if (!ses_tests_counts(tests, q, j)) {
                continue;
            }
            const uint32_t at = (q + tests->order_cnt - tests->offsets[j]) % tests->order_cnt;
            struct ses_judgement *note = &t->standings[node_of_row[tests->order[at]]].note;
            note->tested++;
            if (tester->responded) {
                note->answered++;
                note->reached =
                    (uint16_t)(note->reached + (tester->response.verdicts[j / 8] >> (j % 8) & 1));
            }
        }
    }
}

static enum ses_err load_verdicts(struct ses_transition *t)
{
    const uint32_t cnt = t->parent->rows->cnt;
    uint32_t *node_of_row = ses_alloc(cnt == 0 ? 1 : cnt, sizeof(*node_of_row));
    SES_REQUIRE(node_of_row != NULL, SES_ERR_MEMORY);
    map_rows(t, node_of_row);
    count_verdicts(t, node_of_row);
    ses_free(node_of_row);
    return SES_OK;
}

static bool unreached(const struct ses_params *p, const struct ses_node *node,
                      const struct ses_judgement *note)
{
    const uint32_t half = (note->answered + 1u) / 2;
    const uint64_t most = p->min_peers < half ? p->min_peers : half;
    const uint64_t wanted = SES_MUTANT(ONE_NO_IS_ENOUGH) ? note->answered : most;
    const uint32_t enough = note->tested < ANSWERS_ENOUGH ? note->tested : ANSWERS_ENOUGH;
    return node->status == SES_NODE_ACTIVE && note->answered >= enough && note->reached < wanted;
}

/* ---- step 1: causes ---- */

/* floor(amount * bps / 10000) without overflow; bps <= 10000 */
static uint64_t part_of(uint64_t amount, uint64_t bps)
{
    return amount / BPS * bps + amount % BPS * bps / BPS;
}

static bool too_full(const struct ses_params *p, const struct ses_node *node,
                     const struct ses_response_state *r)
{
    const uint64_t share = part_of(node->capacity, p->min_free_bps);
    const uint64_t least = share > p->min_free_bytes ? share : p->min_free_bytes;
    const uint64_t unused = node->capacity > r->used ? node->capacity - r->used : 0;
    return r->free < (least < unused ? least : unused);
}

static void find_causes(struct ses_transition *t, struct ses_node *node, struct ses_standing *s)
{
    const struct ses_params *p = &t->vm->params;
    struct ses_judgement *note = &s->note;
    const bool hidden = unreached(p, node, note);
    unsigned causes = 0;
    node->unreachable_cnt = hidden ? node->unreachable_cnt + 1 : 0;
    note->lacking = (uint8_t)(s->owed & ~s->response.shown);
    causes |= s->seated && s->age >= 1 && !s->committed ? SES_CAUSE_COMMITMENT : 0;
    causes |= !s->responded ? SES_CAUSE_RESPONSE : 0;
    causes |= s->responded && note->lacking != 0 ? SES_CAUSE_OPENING : 0;
    causes |= s->responded && too_full(p, node, &s->response) ? SES_CAUSE_FREE : 0;
    causes |= hidden && node->unreachable_cnt >= p->unreachable_epochs ? SES_CAUSE_UNREACHABLE : 0;
    causes |= s->age >= 4 && node->deviant_cnt >= p->deviant_epochs ? SES_CAUSE_DEVIANT : 0;
    note->causes = (uint8_t)causes;
    note->flags =
        (uint8_t)((s->off_root ? SES_JUDGED_OFF_ROOT : 0) | (hidden ? SES_JUDGED_UNREACHED : 0));
}

/* ---- step 1: what follows ---- */

static void set_bit(uint8_t bits[SES_UPTIME_WINDOW / 8], uint64_t epoch, bool on)
{
    const uint64_t at = epoch % SES_UPTIME_WINDOW;
    const unsigned bit = 1u << (at % 8);
    bits[at / 8] = (uint8_t)(on ? bits[at / 8] | bit : bits[at / 8] & ~bit);
}

static uint32_t count_bits(const uint8_t bits[SES_UPTIME_WINDOW / 8])
{
    uint32_t cnt = 0;
    for (unsigned i = 0; i < SES_UPTIME_WINDOW / 8; i++) {
        cnt += (uint32_t)__builtin_popcount(bits[i]);
    }
    return cnt;
}

static enum ses_err slash(struct ses_transition *t, struct ses_node *node,
                          struct ses_judgement *note)
{
    const struct ses_params *p = &t->vm->params;
    const uint64_t cap = part_of(node->principal, p->max_slash_bps);
    const uint64_t cost = part_of(node->principal, p->miss_bps);
    const uint64_t room = cap > node->slashed ? cap - node->slashed : 0;
    struct ses_totals totals;
    note->slashed = cost < room ? cost : room;
    SES_ASSERT(ses_sub_u64(&node->stake, note->slashed));
    node->slashed += note->slashed;
    ses_totals_load(t->tip->layer, &totals);
    SES_ASSERT(ses_sub_u64(&totals.bonded, note->slashed));
    SES_ASSERT(ses_add_u64(&totals.burned, note->slashed));
    const uint64_t most = (p->max_slash_bps + p->miss_bps - 1) / p->miss_bps;
    if (node->status == SES_NODE_ACTIVE && (node->slashed >= cap || node->misses >= most)) {
        node->status = SES_NODE_DECOMMISSIONING;
        node->decommission_epoch = t->n;
        note->flags |= SES_JUDGED_DECOMMISSIONED;
    }
    return ses_totals_store(t->tip->layer, &totals);
}

static enum ses_err charge(struct ses_transition *t, struct ses_node *node, struct ses_standing *s)
{
    node->misses++;
    node->misses_running++;
    if (s->seated && ses_seat_lost(t, node)) {
        s->note.flags |= SES_JUDGED_SEAT_LOST;
    }
    return slash(t, node, &s->note);
}

static enum ses_err settle(struct ses_transition *t, struct ses_node *node, struct ses_standing *s,
                           bool outage)
{
    const uint64_t p = t->parent->epoch.epoch;
    const bool missed = s->note.causes != 0;
    set_bit(node->observed, p, s->judged);
    set_bit(node->uptime, p, s->judged && !missed);
    set_bit(node->forgiven, p, false); /* what the bit said 168 epochs ago */
    if (!s->judged) {
        return SES_OK;
    }
    if (!missed) {
        node->misses_running = 0;
        return SES_OK;
    }
    if (outage && count_bits(node->forgiven) < t->vm->params.outage_forgiven) {
        set_bit(node->forgiven, p, true);
        s->note.flags |= SES_JUDGED_FORGIVEN;
        return SES_OK;
    }
    return charge(t, node, s);
}

static enum ses_err settle_all(struct ses_transition *t)
{
    uint64_t judged = 0;
    uint64_t missed = 0;
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        judged += t->standings[i].judged;
        missed += t->standings[i].note.causes != 0;
    }
    struct ses_epoch *e = &t->tip->epoch;
    e->miss_cnt = missed;
    e->outage = missed * BPS > judged * t->vm->params.outage_bps;
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        if (t->nodes[i].status != SES_NODE_RETIRED) {
            SES_TRY(settle(t, &t->nodes[i], &t->standings[i], e->outage));
        }
    }
    return SES_OK;
}

/* u32 judged, u32 in the list, the misses and warnings by node_id. */
static enum ses_err note_judgements(struct ses_transition *t)
{
    uint8_t bytes[SES_JUDGEMENT_BYTES] = {0};
    struct ses_writer w;
    uint32_t judged = 0;
    uint32_t noted = 0;
    SES_TRY(ses_buf_append(&t->out->judged, bytes, 8));
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        const struct ses_standing *s = &t->standings[i];
        judged += s->judged;
        if (!s->judged || (s->note.causes == 0 && s->note.flags == 0)) {
            continue;
        }
        ses_writer_init(&w, bytes, sizeof(bytes));
        ses_judgement_write(&w, &s->note);
        SES_TRY(ses_writer_done(&w));
        SES_TRY(ses_buf_append(&t->out->judged, bytes, w.len));
        noted++;
    }
    ses_put_u32(t->out->judged.bytes, judged);
    ses_put_u32(t->out->judged.bytes + 4, noted);
    t->out->judged_epoch = t->parent->epoch.epoch;
    return SES_OK;
}

enum ses_err ses_judge(struct ses_transition *t)
{
    t->standings = ses_alloc(t->node_cnt == 0 ? 1 : t->node_cnt, sizeof(*t->standings));
    SES_REQUIRE(t->standings != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        load_standing(t, &t->nodes[i], &t->standings[i]);
    }
    SES_TRY(find_canonical(t));
    SES_TRY(load_verdicts(t));
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        if (t->standings[i].judged) {
            find_causes(t, &t->nodes[i], &t->standings[i]);
        }
    }
    SES_TRY(settle_all(t));
    return t->judges ? note_judgements(t) : SES_OK;
}
