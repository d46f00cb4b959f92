/* The epoch transition (registry page, Epochs), one function for each step:
 *
 *   load ─► judge (2, 1) ─► retire (3) ─► membership (4, 5) ─► testers (6) ─► store ─► record (8)
 */
#include "vm/epoch_internal.h"

void ses_new_epoch_free(struct ses_new_epoch *e)
{
    ses_buf_free(&e->record);
    ses_buf_free(&e->testers);
    ses_buf_free(&e->judged);
    ses_entries_free(&e->keys);
    e->ran = false;
}

static void transition_free(struct ses_transition *t)
{
    ses_free(t->nodes);
    ses_free(t->standings);
    ses_free(t->canonical);
    ses_free(t->m.seats);
    ses_free(t->m.scratch);
}

/* ---- load ---- */

static int by_node_id(const void *a, const void *b)
{
    return memcmp(((const struct ses_node *)a)->node_id.bytes,
                  ((const struct ses_node *)b)->node_id.bytes, 20);
}

/* Nodes that undecided blocks added, in no order, each perhaps several times. */
static uint32_t count_written(const struct ses_layer *layer)
{
    uint32_t cnt = 0;
    for (; layer->parent != NULL; layer = layer->parent) {
        for (uint32_t i = 0; i < layer->entries.cnt; i++) {
            cnt += layer->entries.list[i].key.bytes[0] == SES_STATE_NODE;
        }
    }
    return cnt;
}

static void collect_written(const struct ses_transition *t, struct ses_node *out, uint32_t *cnt)
{
    const struct ses_layer *layer = t->tip->layer;
    for (; layer->parent != NULL; layer = layer->parent) {
        for (uint32_t i = 0; i < layer->entries.cnt; i++) {
            const struct ses_entry *entry = &layer->entries.list[i];
            if (entry->key.bytes[0] == SES_STATE_NODE) {
                memcpy(out[(*cnt)++].node_id.bytes, entry->key.bytes + 1, 20);
            }
        }
    }
}

static enum ses_err load_nodes(struct ses_transition *t)
{
    const uint32_t accepted = t->vm->node_cnt;
    const uint32_t room = accepted + count_written(t->tip->layer);
    t->nodes = ses_alloc(room == 0 ? 1 : room, sizeof(*t->nodes));
    SES_REQUIRE(t->nodes != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < accepted; i++) {
        t->nodes[i].node_id = t->vm->node_ids[i];
    }
    uint32_t cnt = accepted;
    collect_written(t, t->nodes, &cnt);
    if (cnt > accepted) {
        qsort(t->nodes, cnt, sizeof(*t->nodes), by_node_id);
    }
    for (uint32_t i = 0; i < cnt; i++) {
        const struct ses_node_id id = t->nodes[i].node_id;
        if (t->node_cnt == 0 ||
            memcmp(t->nodes[t->node_cnt - 1].node_id.bytes, id.bytes, sizeof(id.bytes)) != 0) {
            SES_ASSERT(ses_node_load(t->tip->layer, &id, &t->nodes[t->node_cnt]));
            t->node_cnt++;
        }
    }
    return SES_OK;
}

/* A Retired node, and one put out for misses, has no seat; the latter gets none until it passes. */
static struct ses_seat seat_of(const struct ses_transition *t, const struct ses_node *node)
{
    const bool lost = ses_seat_lost(t, node);
    const uint64_t before_s =
        t->parent == NULL ? 0 : ses_vm_epoch_start(t->vm, t->parent->epoch.epoch);
    return (struct ses_seat){
        .node_id = node->node_id,
        .owner = node->owner,
        .status = node->status,
        .swarm = lost || node->status == SES_NODE_RETIRED ? SES_SWARM_NONE : node->swarm,
        .seatable = !lost && (t->parent == NULL || node->registered_at < before_s)};
}

static enum ses_err load_seats(struct ses_transition *t)
{
    struct ses_membership *m = &t->m;
    m->num_swarms = t->tip->epoch.num_swarms;
    m->seat_cnt = t->node_cnt;
    m->scratch_cnt = ses_membership_scratch(m->seat_cnt, m->num_swarms);
    m->seats = ses_alloc(m->seat_cnt == 0 ? 1 : m->seat_cnt, sizeof(*m->seats));
    m->scratch = ses_alloc(m->scratch_cnt, sizeof(*m->scratch));
    SES_REQUIRE(m->seats != NULL && m->scratch != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        m->seats[i] = seat_of(t, &t->nodes[i]);
    }
    return SES_OK;
}

/* ---- step 3 ---- */

static enum ses_err retire_node(struct ses_transition *t, struct ses_node *node)
{
    struct ses_account_state owner;
    struct ses_totals totals;
    ses_account_load(t->tip->layer, &node->owner, &owner);
    SES_ASSERT(ses_add_u64(&owner.balance, node->stake));
    SES_TRY(ses_account_store(t->tip->layer, &node->owner, &owner));
    ses_totals_load(t->tip->layer, &totals);
    SES_ASSERT(ses_sub_u64(&totals.bonded, node->stake));
    node->status = SES_NODE_RETIRED;
    node->stake = 0;
    SES_TRY(ses_duty_forget(t->tip->layer, &node->node_id));
    return ses_totals_store(t->tip->layer, &totals);
}

static enum ses_err retire_nodes(struct ses_transition *t)
{
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        struct ses_node *node = &t->nodes[i];
        if (node->status == SES_NODE_DECOMMISSIONING &&
            t->n - node->decommission_epoch >= t->vm->params.unbond_epochs) {
            SES_TRY(retire_node(t, node));
        }
    }
    return SES_OK;
}

/* ---- steps 4 and 5 ---- */

static enum ses_err move_nodes(struct ses_transition *t)
{
    const struct ses_membership_rules rules = {.swarm_target = t->vm->params.swarm_target,
                                               .rotate_per_swarm_epochs =
                                                   t->vm->params.rotate_per_swarm_epochs,
                                               .genesis = t->parent == NULL};
    SES_TRY(load_seats(t));
    SES_TRY(ses_membership_advance(&t->m, &t->tip->epoch.seed, &rules));
    t->tip->epoch.num_swarms = t->m.num_swarms;
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        struct ses_node *node = &t->nodes[i];
        const struct ses_seat *seat = &t->m.seats[i];
        node->prev_swarm = node->swarm; /* in p, whether it moves or stays */
        node->swarm = seat->swarm;
        if (seat->moved && !seat->keeps_from) {
            node->swarm_from_epoch = t->n;
        }
        t->active_cnt += node->status == SES_NODE_ACTIVE;
    }
    return SES_OK;
}

/* ---- step 6 ---- */

static enum ses_err plan_testers(struct ses_transition *t)
{
    SES_TRY(ses_tests_new(&t->tip->tests, &t->m, &t->tip->epoch.seed, t->vm->params.testers));
    return ses_tests_write(&t->out->testers, t->tip->tests, &t->m);
}

/* ---- keys: the one before a rotation stays listed for one epoch ---- */

static enum ses_err drop_prev_key(struct ses_transition *t, const struct ses_node_id *node_id,
                                  struct ses_turns *turns)
{
    struct ses_node_keys keys;
    struct ses_endpoint endpoint;
    SES_TRY(ses_node_keys_load(t->tip->layer, node_id, &keys, &endpoint));
    keys.has_prev_encryption_key = false;
    memset(&keys.prev_encryption_key, 0, sizeof(keys.prev_encryption_key));
    SES_TRY(ses_node_keys_store(t->tip->layer, node_id, &keys, &endpoint));
    turns->prev_listed = false;
    return ses_turns_store(t->tip->layer, node_id, turns);
}

static enum ses_err drop_prev_keys(struct ses_transition *t)
{
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        struct ses_turns turns;
        ses_turns_load(t->tip->layer, &t->nodes[i].node_id, &turns);
        if (turns.prev_listed && turns.key_epoch + 1 < t->n) {
            SES_TRY(drop_prev_key(t, &t->nodes[i].node_id, &turns));
        }
    }
    return SES_OK;
}

/* ---- step 8 ---- */

static enum ses_err store_nodes(struct ses_transition *t)
{
    SES_TRY(ses_rows_new(&t->tip->rows, t->node_cnt));
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        const struct ses_node *node = &t->nodes[i];
        struct ses_registry_row *row = &t->tip->rows->rows[i].row;
        SES_TRY(ses_node_store(t->tip->layer, node));
        *row = (struct ses_registry_row){.node_id = node->node_id,
                                         .owner = node->owner,
                                         .status = node->status,
                                         .swarm = node->swarm,
                                         .prev_swarm = node->prev_swarm,
                                         .swarm_from_epoch = node->swarm_from_epoch};
        SES_ASSERT(ses_keys_hash_load(t->tip->layer, &node->node_id, &row->keys_hash));
    }
    ses_rows_settle(t->tip->rows, t->parent == NULL ? NULL : t->parent->rows, t->n);
    return SES_OK;
}

static enum ses_err make_registry_root(struct ses_transition *t)
{
    const struct ses_rows *rows = t->tip->rows;
    struct ses_hash *hashes = ses_alloc(rows->cnt == 0 ? 1 : rows->cnt, sizeof(*hashes));
    SES_REQUIRE(hashes != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < rows->cnt; i++) {
        hashes[i] = rows->rows[i].hash;
    }
    ses_registry_root(&t->tip->epoch.registry_root, &t->vm->chain_id, t->n, &t->tip->epoch.seed,
                      t->tip->epoch.num_swarms, hashes, rows->cnt);
    ses_free(hashes);
    return SES_OK;
}

static enum ses_err write_record(struct ses_transition *t)
{
    const struct ses_state_key key = ses_state_key_single(SES_STATE_EPOCH);
    struct ses_epoch *e = &t->tip->epoch;
    struct ses_buf *record = &t->out->record;
    struct ses_totals totals;
    struct ses_writer w;
    const size_t room = 256 + sizeof(*t->canonical) * (size_t)t->canonical_cnt;
    ses_totals_load(t->tip->layer, &totals);
    e->active_cnt = t->active_cnt;
    e->total_bonded = totals.bonded;
    SES_TRY(make_registry_root(t));
    SES_TRY(ses_buf_reserve(record, room));
    ses_writer_init(&w, record->bytes, room);
    e->canonical = t->canonical;
    e->canonical_cnt = t->canonical_cnt;
    ses_epoch_write(&w, e);
    e->canonical = NULL; /* they are in the record; the tip does not keep them */
    e->canonical_cnt = 0;
    SES_TRY(ses_writer_done(&w));
    record->len = w.len;
    return ses_state_put(t->tip->layer, &key, record->bytes, record->len);
}

/* Keys and endpoint of the snapshot are as of now; later transactions of the block may change those
 * of the state. */
static enum ses_err keep_keys(struct ses_transition *t)
{
    const struct ses_rows *before = t->parent == NULL ? NULL : t->parent->rows;
    uint32_t b = 0;
    for (uint32_t i = 0; i < t->tip->rows->cnt; i++) {
        const struct ses_registry_row *row = &t->tip->rows->rows[i].row;
        while (before != NULL && b < before->cnt &&
               memcmp(before->rows[b].row.node_id.bytes, row->node_id.bytes, 20) < 0) {
            b++;
        }
        if (before != NULL && b < before->cnt &&
            memcmp(before->rows[b].row.node_id.bytes, row->node_id.bytes, 20) == 0 &&
            memcmp(before->rows[b].row.keys_hash.bytes, row->keys_hash.bytes, 32) == 0) {
            continue;
        }
        struct ses_state_key key = ses_state_key(SES_STATE_NODE_KEYS, row->node_id.bytes);
        struct ses_buf buf = {0};
        enum ses_err err = ses_state_load(t->tip->layer, &key, &buf);
        key.bytes[0] = SES_STATE_ENDPOINT;
        if (err == SES_OK) {
            err = ses_state_load(t->tip->layer, &key, &buf);
        }
        struct ses_state_key id = {.len = 20};
        memcpy(id.bytes, row->node_id.bytes, 20);
        if (err == SES_OK) {
            err = ses_entries_put(&t->out->keys, &id, buf.bytes, buf.len);
        }
        ses_buf_free(&buf);
        SES_TRY(err);
    }
    return SES_OK;
}

/* seed_n from the reveals of the epoch before, in node_id order. */
static enum ses_err make_seed(struct ses_transition *t)
{
    struct ses_hash *reveals = ses_alloc(t->node_cnt == 0 ? 1 : t->node_cnt, sizeof(*reveals));
    SES_REQUIRE(reveals != NULL, SES_ERR_MEMORY);
    size_t cnt = 0;
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        if (t->standings[i].committed) {
            reveals[cnt++] = t->standings[i].root.reveal;
        }
    }
    ses_epoch_seed(&t->tip->epoch.seed, &t->parent->epoch.seed, t->n, reveals, cnt, &t->parent->id);
    if (SES_MUTANT(CLOCK_IN_STATE)) {
        t->tip->epoch.seed.bytes[0] ^= (uint8_t)(ses_now_ms(t->vm->clock) / 1000);
    }
    ses_free(reveals);
    return SES_OK;
}

static enum ses_err run(struct ses_transition *t)
{
    SES_TRY(load_nodes(t));
    if (t->parent != NULL) {
        SES_TRY(ses_judge(t));
        SES_TRY(make_seed(t));
        SES_TRY(retire_nodes(t));
        SES_TRY(drop_prev_keys(t));
    }
    SES_TRY(move_nodes(t));
    SES_TRY(plan_testers(t));
    SES_TRY(store_nodes(t));
    SES_TRY(write_record(t));
    SES_TRY(keep_keys(t));
    t->out->ran = true;
    return SES_OK;
}

/* An epoch whose last block is older than its settling time was not settled: nobody could be sure
 * to be heard in it. */
static bool settled(const struct ses_vm *vm, const struct ses_tip *last)
{
    return last->timestamp >=
           ses_vm_epoch_start(vm, last->epoch.epoch + 1) - vm->params.settle_seconds;
}

enum ses_err ses_epoch_transition(const struct ses_vm *vm, struct ses_tip *tip,
                                  struct ses_new_epoch *out, const struct ses_tip *parent,
                                  uint64_t n)
{
    struct ses_transition t = {
        .vm = vm, .tip = tip, .out = out, .parent = parent, .n = n, .judges = settled(vm, parent)};
    ses_rows_unref(tip->rows);
    ses_tests_unref(tip->tests);
    tip->rows = NULL;
    tip->tests = NULL;
    tip->epoch = (struct ses_epoch){
        .epoch = n, .parent_block = parent->id, .num_swarms = parent->epoch.num_swarms};
    const enum ses_err err = run(&t);
    transition_free(&t);
    return err;
}

enum ses_err ses_epoch_genesis(const struct ses_vm *vm, struct ses_tip *tip,
                               struct ses_new_epoch *out)
{
    struct ses_transition t = {.vm = vm, .tip = tip, .out = out};
    tip->epoch = (struct ses_epoch){.parent_block = vm->chain_id, .num_swarms = 1};
    ses_genesis_seed(&tip->epoch.seed, &vm->chain_id);
    const enum ses_err err = run(&t);
    transition_free(&t);
    return err;
}
