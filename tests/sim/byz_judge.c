/* What may be expected although some lie: the promises among the honest, and that lies are found
 * where the design says so. */
#include "tests/sim/byz.h"

#define CUT_AFTER_MS 120000u /* a run that is under way may go on for so long */

/* ---- bounds ---- */
bool byz_bounded(const struct sim *s, const struct ses_map *map, uint32_t swarm)
{
    uint32_t members = 0;
    uint32_t liars = 0;
    for (uint32_t i = 0; i < s->node_cnt && s->byz_cnt > 0; i++) {
        const struct ses_map_node *row = ses_map_find(map, &s->nodes[i].node_id);
        const bool in =
            row != NULL && row->row.swarm == swarm && row->row.status == SES_NODE_ACTIVE;
        members += in;
        liars += in && s->nodes[i].byz != NULL;
    }
    return 3 * liars < members || liars == 0;
}

/* ---- cut off ---- */
/* `client` was given another record than he asked for, and knows. */
void byz_was_caught(struct sim_node *node, uint32_t client)
{
    struct sim *s = node->sim;
    struct byz *b = node->byz;
    if (client < s->node_cnt && sim_calm(s, SIM_MINUTE_MS) && s->nodes[client].byz == NULL &&
        sim_node_up(&s->nodes[client])) {
        b->caught_ms[client] = s->now_ms;
        b->caught_start[client] = s->nodes[client].start_cnt;
    }
}

/* Nothing is fetched from a liar for the length of an epoch. */
void byz_asked(struct sim_node *node, uint32_t client, enum ses_proto proto, uint8_t op)
{
    struct sim *s = node->sim;
    const struct byz *b = node->byz;
    if (client >= s->node_cnt || proto != SES_PROTO_SYNC || op != SES_SYNC_FETCH ||
        b->caught_ms[client] == 0 || b->caught_start[client] != s->nodes[client].start_cnt) {
        return;
    }
    const uint64_t since_ms = s->now_ms - b->caught_ms[client];
    if (since_ms > CUT_AFTER_MS && since_ms < s->chain.params.params.epoch_seconds * 1000) {
        sim_broken(s, "B1",
                   "node %u fetches from node %u, which gave it another record than it asked for "
                   "%" PRIu64 " s ago",
                   client, node->index, since_ms / 1000);
    }
}

/* ---- S2: whoever is named as a holder has signed for it ---- */
struct proof_of {
    struct sim *sim;
    uint32_t msg;
    uint64_t named; /* bits of hosts that have not been seen to have signed */
    uint32_t refs;
};

static void signed_by(void *cookie, enum ses_err err, const struct ses_receipt *receipts,
                      uint16_t receipt_cnt)
{
    struct proof_of *p = cookie;
    struct sim *s = p->sim;
    const struct sim_msg *m = sim_msg_at(s, p->msg);
    for (uint16_t i = 0; err == SES_OK && i < receipt_cnt; i++) {
        for (uint32_t host = 0; host < s->node_cnt; host++) {
            if (ses_equal(&receipts[i].node_id, &s->nodes[host].node_id, 20) &&
                ses_equal(&receipts[i].leaf.id, &m->id, sizeof m->id)) {
                p->named &= ~((uint64_t)1 << host);
            }
        }
    }
    if (--p->refs == 0) {
        if (p->named != 0 && !s->ending) {
            sim_broken(s, "S2",
                       "message %u was stored at nodes of which no member has a receipt (mask "
                       "%" PRIx64 ")",
                       m->number, p->named);
        }
        ses_free(p);
    }
}

void byz_receipts(struct sim *s, struct sim_msg *m)
{
    const uint64_t age_ms = s->now_ms - m->born_ms;
    if (s->byz_cnt == 0 || m->shown || age_ms < SIM_MINUTE_MS || !sim_calm(s, age_ms)) {
        return;
    }
    struct proof_of *p = ses_alloc(1, sizeof *p);
    SES_ASSERT(p != NULL);
    *p = (struct proof_of){.sim = s, .msg = m->number, .refs = 1};
    m->shown = true;
    for (uint32_t n = 0; n < m->node_cnt; n++) {
        p->named |= (uint64_t)1 << m->nodes[n];
    }
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct sim_node *node = &s->nodes[i];
        if (node->store != NULL && sim_node_up(node) &&
            ses_store_receipts(node->store, &m->id, signed_by, p) == SES_OK) {
            p->refs++;
        }
    }
    signed_by(p, SES_ERR_NOT_FOUND, NULL, 0);
}

/* ---- the chain's word ---- */
struct found {
    struct sim *sim;
    uint8_t causes[SIM_NODES_MAX], flags[SIM_NODES_MAX];
};

static uint32_t host_of(const struct sim *s, const struct ses_node_id *node_id)
{
    uint32_t i = 0;
    while (i < s->node_cnt && !ses_equal(&s->nodes[i].node_id, node_id, sizeof *node_id)) {
        i++;
    }
    return i;
}

static bool take_judgement(void *cookie, const struct ses_judgement *j)
{
    struct found *f = cookie;
    const uint32_t at = host_of(f->sim, &j->node_id);
    if (at < f->sim->node_cnt) {
        f->causes[at] = j->causes;
        f->flags[at] = j->flags;
    }
    return true;
}

struct commitments {
    const struct found *found;
    const struct ses_canonical_root *canonical; /* NULL: none */
    bool owes[SIM_NODES_MAX];                   /* committed to something */
};

static bool check_root(void *cookie, const struct ses_committed *c)
{
    struct commitments *all = cookie;
    struct sim *s = all->found->sim;
    const uint32_t at = host_of(s, &c->node_id);
    if (byz_of(s, at) == NULL || all->canonical == NULL) {
        return true;
    }
    const bool off = !ses_equal(&c->root, &all->canonical->root, sizeof c->root);
    if (off && (all->found->flags[at] & SES_JUDGED_OFF_ROOT) == 0) {
        sim_broken(s, "S3",
                   "node %u committed to another root in epoch %" PRIu64
                   " than its swarm, and is not named",
                   at, c->epoch);
    }
    return true;
}

static bool note_debt(void *cookie, const struct ses_committed *c)
{
    struct commitments *all = cookie;
    const uint32_t at = host_of(all->found->sim, &c->node_id);
    if (at < all->found->sim->node_cnt) {
        all->owes[at] = c->count > 0;
    }
    return true;
}

static void check_openings(const struct commitments *all, const struct ses_map *map, uint64_t epoch)
{
    struct sim *s = all->found->sim;
    const unsigned missed = SES_CAUSE_RESPONSE | SES_CAUSE_OPENING;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct byz *b = s->nodes[i].byz;
        const struct ses_map_node *row = ses_map_find(map, &s->nodes[i].node_id);
        const bool owed = row != NULL && row->row.swarm_from_epoch + 2 <= epoch && all->owes[i];
        if (b != NULL && owed && b->bare_epoch == epoch && (all->found->causes[i] & missed) == 0) {
            sim_broken(s, "S2", "node %u opened nothing in epoch %" PRIu64 ", and does not miss it",
                       i, epoch);
        }
    }
}

/* Of an epoch that nothing disturbed. */
void byz_epoch(struct sim *s, uint64_t epoch)
{
    const struct ses_vm *vm = s->chain.machines[0].vm;
    struct ses_map *map = s->chain.map;
    struct found found = {.sim = s};
    if (s->byz_cnt == 0 || s->churn || map == NULL || epoch < 2 ||
        ses_vm_judgements(vm, epoch, take_judgement, &found) != SES_OK) {
        return;
    }
    struct commitments all = {.found = &found};
    struct ses_canonical_root canonical[SES_MEMBERS_MAX];
    struct ses_buf bytes = {0};
    struct ses_epoch record;
    struct ses_reader r;
    /* the record of the epoch behind it carries its judgement */
    SES_ASSERT(ses_vm_epoch(vm, epoch + 1, &bytes) == SES_OK);
    ses_reader_init(&r, bytes.bytes, bytes.len);
    ses_epoch_read(&r, &record, canonical, SES_MEMBERS_MAX);
    SES_ASSERT(ses_reader_done(&r) == SES_OK);
    all.canonical = record.canonical_cnt > 0 ? &canonical[0] : NULL;
    ses_buf_free(&bytes);
    if (ses_vm_commitments(vm, 0, epoch, check_root, &all) == SES_OK &&
        ses_vm_commitments(vm, 0, epoch - 1, note_debt, &all) == SES_OK) {
        check_openings(&all, map, epoch);
    }
}
