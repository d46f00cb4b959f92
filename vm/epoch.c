/* The epoch transition (registry page, Epochs), one function for each step:
 *
 *   load ─► retire (3) ─► membership (4, 5) ─► testers (6) ─► store ─► record (8)
 */
#include "vm/vm_internal.h"

struct transition {
    const struct ses_vm *vm;
    struct ses_tip *tip;
    struct ses_new_epoch *out;
    const struct ses_rows *rows_before;
    uint64_t n;          /* the epoch that begins */
    uint64_t seatable_s; /* registered before this second: may get a seat */
    bool genesis;
    struct ses_node *nodes; /* all of the state, by node_id */
    uint32_t node_cnt;
    struct ses_membership m; /* parallel to nodes */
    uint32_t active_cnt;
};

void ses_new_epoch_free(struct ses_new_epoch *e)
{
    ses_buf_free(&e->record);
    ses_buf_free(&e->testers);
    ses_entries_free(&e->keys);
    e->ran = false;
}

static void transition_free(struct transition *t)
{
    ses_free(t->nodes);
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

static void collect_written(const struct transition *t, struct ses_node *out, uint32_t *cnt)
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

static enum ses_err load_nodes(struct transition *t)
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

static enum ses_err load_seats(struct transition *t)
{
    struct ses_membership *m = &t->m;
    m->num_swarms = t->tip->epoch.num_swarms;
    m->seat_cnt = t->node_cnt;
    m->scratch_cnt = ses_membership_scratch(m->seat_cnt, m->num_swarms);
    m->seats = ses_alloc(m->seat_cnt == 0 ? 1 : m->seat_cnt, sizeof(*m->seats));
    m->scratch = ses_alloc(m->scratch_cnt, sizeof(*m->scratch));
    SES_REQUIRE(m->seats != NULL && m->scratch != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        const struct ses_node *node = &t->nodes[i];
        m->seats[i] =
            (struct ses_seat){.node_id = node->node_id,
                              .owner = node->owner,
                              .status = node->status,
                              .swarm = node->swarm,
                              .seatable = t->genesis || node->registered_at < t->seatable_s};
    }
    return SES_OK;
}

/* ---- step 3 ---- */

static enum ses_err retire_node(struct transition *t, struct ses_node *node)
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
    return ses_totals_store(t->tip->layer, &totals);
}

static enum ses_err retire_nodes(struct transition *t)
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

static enum ses_err move_nodes(struct transition *t)
{
    const struct ses_membership_rules rules = {.swarm_target = t->vm->params.swarm_target,
                                               .rotate_per_swarm_epochs =
                                                   t->vm->params.rotate_per_swarm_epochs,
                                               .genesis = t->genesis};
    SES_TRY(load_seats(t));
    for (uint32_t i = 0; i < t->node_cnt; i++) {
        if (t->nodes[i].status == SES_NODE_RETIRED) {
            t->m.seats[i].swarm = SES_SWARM_NONE;
        }
    }
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

static enum ses_err write_plan(struct ses_buf *out, const struct ses_tester_plan *plan,
                               const struct ses_membership *m)
{
    const size_t len = 8 + 20 * (size_t)plan->order_cnt + 4 * (size_t)plan->offset_cnt;
    struct ses_writer w;
    SES_TRY(ses_buf_reserve(out, len));
    ses_writer_init(&w, out->bytes, len);
    ses_write_u32(&w, plan->order_cnt);
    for (uint32_t i = 0; i < plan->order_cnt; i++) {
        ses_write_bytes(&w, m->seats[plan->order[i]].node_id.bytes, 20);
    }
    ses_write_u32(&w, plan->offset_cnt);
    for (uint32_t i = 0; i < plan->offset_cnt; i++) {
        ses_write_u32(&w, plan->offsets[i]);
    }
    out->len = w.len;
    return ses_writer_done(&w);
}

static enum ses_err plan_testers(struct transition *t)
{
    const uint32_t room = t->node_cnt == 0 ? 1 : t->node_cnt;
    struct ses_tester_plan plan = {.order = ses_alloc(room, sizeof(uint32_t)),
                                   .offsets = ses_alloc(room, sizeof(uint32_t))};
    struct ses_rank *ranks = ses_alloc(room, sizeof(*ranks));
    enum ses_err err = SES_ERR_MEMORY;
    if (plan.order != NULL && plan.offsets != NULL && ranks != NULL) {
        err = ses_tester_plan_make(&plan, &t->m, &t->tip->epoch.seed, t->vm->params.testers, ranks);
    }
    if (err == SES_OK) {
        err = write_plan(&t->out->testers, &plan, &t->m);
    }
    ses_free(plan.order);
    ses_free(plan.offsets);
    ses_free(ranks);
    return err;
}

/* ---- step 8 ---- */

static enum ses_err store_nodes(struct transition *t)
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
    ses_rows_settle(t->tip->rows, t->rows_before, t->n);
    return SES_OK;
}

static enum ses_err make_registry_root(struct transition *t)
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

static enum ses_err write_record(struct transition *t)
{
    const struct ses_state_key key = ses_state_key_single(SES_STATE_EPOCH);
    struct ses_totals totals;
    struct ses_writer w;
    uint8_t bytes[256]; /* without canonical roots */
    ses_totals_load(t->tip->layer, &totals);
    t->tip->epoch.active_cnt = t->active_cnt;
    t->tip->epoch.total_bonded = totals.bonded;
    SES_TRY(make_registry_root(t));
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_epoch_write(&w, &t->tip->epoch);
    SES_TRY(ses_writer_done(&w));
    SES_TRY(ses_buf_append(&t->out->record, bytes, w.len));
    return ses_state_put(t->tip->layer, &key, bytes, w.len);
}

/* Keys and endpoint of the snapshot are as of now; later transactions of the block may change those
 * of the state. */
static enum ses_err keep_keys(struct transition *t)
{
    const struct ses_rows *before = t->rows_before;
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

static enum ses_err run(struct transition *t)
{
    SES_TRY(load_nodes(t));
    SES_TRY(retire_nodes(t));
    SES_TRY(move_nodes(t));
    SES_TRY(plan_testers(t));
    SES_TRY(store_nodes(t));
    SES_TRY(write_record(t));
    SES_TRY(keep_keys(t));
    t->out->ran = true;
    return SES_OK;
}

enum ses_err ses_epoch_transition(const struct ses_vm *vm, struct ses_tip *tip,
                                  struct ses_new_epoch *out, const struct ses_tip *parent,
                                  uint64_t n)
{
    struct transition t = {.vm = vm,
                           .tip = tip,
                           .out = out,
                           .rows_before = parent->rows,
                           .n = n,
                           .seatable_s = ses_vm_epoch_start(vm, parent->epoch.epoch)};
    ses_rows_unref(tip->rows);
    tip->rows = NULL;
    tip->epoch = (struct ses_epoch){
        .epoch = n, .parent_block = parent->id, .num_swarms = parent->epoch.num_swarms};
    ses_epoch_seed(&tip->epoch.seed, &parent->epoch.seed, n, NULL, 0, &parent->id);
    if (SES_MUTANT(CLOCK_IN_STATE)) {
        tip->epoch.seed.bytes[0] ^= (uint8_t)(ses_now_ms(vm->clock) / 1000);
    }
    const enum ses_err err = run(&t);
    transition_free(&t);
    return err;
}

enum ses_err ses_epoch_genesis(const struct ses_vm *vm, struct ses_tip *tip,
                               struct ses_new_epoch *out)
{
    struct transition t = {.vm = vm, .tip = tip, .out = out, .genesis = true};
    tip->epoch = (struct ses_epoch){.parent_block = vm->chain_id, .num_swarms = 1};
    ses_genesis_seed(&tip->epoch.seed, &vm->chain_id);
    const enum ses_err err = run(&t);
    transition_free(&t);
    return err;
}
