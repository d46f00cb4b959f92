/* What a member's running audit draws is not given to it (daemon/withhold.c) until its response is
 * on chain, and that may be shortly before the end of the epoch: an excuse for lacking it, and
 * nothing that an honest member may hand out before. What is drawn is reckoned here, from the
 * chain's seed and the roots of honest stores; the leaves are asked of such a store. */
#include "daemon/daemon_internal.h"
#include "tests/sim/sim.h"

#define CLOCK_SLACK_MS 120000u

struct sim_draw { /* of one node in one epoch, by one root */
    struct sim_draw *next;
    uint32_t node; /* SIM_NODES_MAX: the store could not say */
    uint64_t epoch;
    struct ses_hash root;
    bool known;
    uint32_t cnt;
    struct ses_hash ids[SES_AUDIT_LEAVES_MAX];
};

/* ---- drawing ---- */
static uint64_t epoch_now(const struct sim *s)
{
    return s->chain.map != NULL ? s->chain.map->epoch : 0;
}

static void on_leaves(void *cookie, enum ses_err err, const struct ses_leaf *leaves, size_t cnt)
{
    struct sim_draw *d = cookie;
    d->known = true;
    d->node = err == SES_OK ? d->node : SIM_NODES_MAX;
    for (size_t i = 0; i < cnt && err == SES_OK; i++) {
        memcpy(d->ids[d->cnt++].bytes, leaves[i].key.bytes + 32, 32);
    }
}

static struct sim_draw *find(const struct sim *s, uint32_t node, const struct ses_hash *root)
{
    struct sim_draw *d = s->oracle.draws;
    while (d != NULL && (d->node != node || d->epoch != epoch_now(s) ||
                         !ses_equal(&d->root, root, sizeof *root))) {
        d = d->next;
    }
    return d;
}

static void draw_by(struct sim *s, const struct sim_node *node, struct ses_store *store)
{
    struct ses_snapshot snapshot;
    struct ses_owed owed[SES_OWED_MAX];
    uint64_t positions[SES_OWED_MAX];
    const uint64_t epoch = epoch_now(s);
    if (epoch == 0 || ses_store_snapshot_get(store, &snapshot, epoch - 1) != SES_OK ||
        snapshot.count == 0 || find(s, node->index, &snapshot.root) != NULL) {
        return;
    }
    const struct ses_committed root = {.root = snapshot.root, .count = snapshot.count};
    const uint32_t cnt = ses_owed_list(owed, &s->chain.map->seed, &node->node_id, &root,
                                       s->chain.params.params.audit_leaves, NULL, 0);
    for (uint32_t i = 0; i < cnt; i++) {
        positions[i] = owed[i].position;
    }
    const struct ses_view view = {.epoch = snapshot.epoch};
    struct sim_draw *d = ses_alloc(1, sizeof *d);
    SES_ASSERT(d != NULL);
    *d = (struct sim_draw){
        .next = s->oracle.draws, .node = node->index, .epoch = epoch, .root = snapshot.root};
    s->oracle.draws = d;
    if (ses_store_leaves_at(store, &view, positions, cnt, on_leaves, d) != SES_OK) {
        d->node = SIM_NODES_MAX;
    }
}

void oracle_draw(struct sim *s, const struct sim_node *node)
{
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct sim_node *other = &s->nodes[i];
        if (other != node && other->byz == NULL && sim_node_up(other)) {
            draw_by(s, node, other->store);
        }
    }
}

void oracle_draws_free(struct sim *s)
{
    while (s->oracle.draws != NULL) {
        struct sim_draw *next = s->oracle.draws->next;
        ses_free(s->oracle.draws);
        s->oracle.draws = next;
    }
}

static bool is_drawn(const struct sim_draw *d, const struct ses_hash *id)
{
    bool found = false;
    for (uint32_t i = 0; i < d->cnt; i++) {
        found |= ses_equal(&d->ids[i], id, sizeof *id);
    }
    return found;
}

/* ---- an excuse ---- */
static bool draws(const struct sim *s, const struct sim_node *node, const struct sim_msg *m,
                  uint64_t epoch)
{
    bool found = false;
    for (const struct sim_draw *d = s->oracle.draws; d != NULL; d = d->next) {
        found |=
            d->node == node->index && d->epoch == epoch && (!d->known || is_drawn(d, &m->ids.id));
    }
    return found;
}

/* Or it draws a statement, without which nothing is there of what it deletes. */
static bool withheld_in(struct sim *s, const struct sim_node *node, const struct sim_msg *m,
                        uint64_t epoch)
{
    uint32_t at = 0;
    bool found = draws(s, node, m, epoch);
    const struct sim_msg *statement = oracle_deleted_by(s, &m->ids.id, &at);
    while (statement != NULL && !found) {
        found = draws(s, node, statement, epoch);
        statement = oracle_deleted_by(s, &m->ids.id, &at);
    }
    return found;
}

bool oracle_withheld(struct sim *s, const struct sim_node *node, const struct sim_msg *m)
{
    return withheld_in(s, node, m, epoch_now(s));
}

bool oracle_withheld_till_now(struct sim *s, const struct sim_node *node, const struct sim_msg *m)
{
    return oracle_withheld(s, node, m) || withheld_in(s, node, m, epoch_now(s) - 1);
}

/* ---- nothing to hand out ---- */
/* What the running audit of `node` draws by its commitment and by the root of `server`, too; NULL:
 * nothing is known to be drawn, or the response is on chain. */
static const struct sim_draw *running(const struct sim *s, const struct sim_node *server,
                                      const struct sim_node *node)
{
    struct ses_duty duty;
    struct ses_snapshot snapshot;
    const uint64_t epoch = epoch_now(s);
    const uint64_t end_s =
        (epoch + 1) * s->chain.params.params.epoch_seconds + s->chain.params.params.freeze_seconds;
    if (s->now_ms + CLOCK_SLACK_MS >= end_s * 1000) {
        return NULL; /* no block comes, and none of that epoch can come any more */
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (ses_vm_duty(s->chain.machines[i].vm, &node->node_id, &duty) != SES_OK ||
            duty.epoch != epoch || !duty.has_root || duty.responded) {
            return NULL;
        }
    }
    const bool same = ses_store_snapshot_get(server->store, &snapshot, epoch - 1) == SES_OK &&
                      ses_equal(&snapshot.root, &duty.root.root, sizeof snapshot.root);
    return same && server->map_epoch == epoch ? find(s, node->index, &snapshot.root) : NULL;
}

/* What an honest node gives another one is watched, but for the first minute of an epoch. */
static const struct sim_draw *watched(const struct sim *s, uint32_t server, uint32_t client)
{
    const uint64_t into_ms = s->now_ms % (s->chain.params.params.epoch_seconds * 1000);
    if (s->oracle.draws == NULL || into_ms < SIM_MINUTE_MS || s->nodes[server].byz != NULL ||
        s->nodes[client].byz != NULL || !sim_node_up(&s->nodes[server])) {
        return NULL;
    }
    return running(s, &s->nodes[server], &s->nodes[client]);
}

static void look_at(struct sim *s, uint32_t server, uint32_t client, const struct sim_draw *d,
                    const struct ses_record *record)
{
    struct ses_record_ids ids;
    if (ses_record_identify(&ids, record) == SES_OK && is_drawn(d, &ids.id)) {
        sim_broken(s, "S2",
                   "node %u gives node %u a record that its audit of epoch %" PRIu64
                   " draws, and its response is not on chain",
                   server, client, d->epoch);
    }
}

void oracle_given(struct sim *s, uint32_t server, uint32_t client, enum ses_proto proto, uint8_t op,
                  const struct ses_buf *body)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_sync_records records = {0};
    struct ses_bulk_page page = {0};
    bool ok = false;
    const bool gives = proto == SES_PROTO_BULK || (proto == SES_PROTO_SYNC && op == SES_SYNC_FETCH);
    const struct sim_draw *d = gives ? watched(s, server, client) : NULL;
    if (d == NULL || ses_response_begin(&r, body->bytes, body->len, &ok, &refusal) != SES_OK ||
        !ok) {
        return;
    }
    if (proto == SES_PROTO_BULK) {
        ses_bulk_page_read(&r, &page);
    } else {
        ses_sync_records_read(&r, &records);
    }
    for (uint32_t i = 0; i < (uint32_t)page.cnt + records.cnt && r.err == SES_OK; i++) {
        struct ses_record record;
        ses_record_read(&r, &record);
        if (r.err == SES_OK) {
            look_at(s, server, client, d, &record);
        }
    }
    sim_see(s, SEEN_AUDIT_WATCHED);
}

void oracle_pushed(struct sim *s, uint32_t from, uint32_t to, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    struct ses_replicate_put put;
    const struct sim_draw *d = watched(s, from, to);
    if (d == NULL || ses_replicate_put_read(&put, &r, body, len) != SES_OK) {
        return;
    }
    for (uint16_t i = 0; i < put.record_cnt && r.err == SES_OK; i++) {
        struct ses_record record;
        struct ses_receipt voucher;
        ses_record_read(&r, &record);
        for (uint8_t left = ses_read_u8(&r); left > 0 && r.err == SES_OK; left--) {
            ses_receipt_read(&r, &voucher);
        }
        if (r.err == SES_OK) {
            look_at(s, from, to, d, &record);
        }
    }
}
