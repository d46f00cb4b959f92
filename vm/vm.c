/* Opening a chain, block 0, and decisions: accept, reject, preference. */
#include <inttypes.h>

#include "vm/vm_internal.h"

bool ses_verified_has(const struct ses_vm *vm, const struct ses_hash *tx_id)
{
    const struct ses_hash *slot = &vm->verified[ses_get_u32(tx_id->bytes) % SES_VERIFIED_SLOTS];
    return memcmp(slot->bytes, tx_id->bytes, sizeof(tx_id->bytes)) == 0;
}

void ses_verified_add(struct ses_vm *vm, const struct ses_hash *tx_id)
{
    vm->verified[ses_get_u32(tx_id->bytes) % SES_VERIFIED_SLOTS] = *tx_id;
}

uint64_t ses_vm_epoch_start(const struct ses_vm *vm, uint64_t epoch)
{
    uint64_t at = 0;
    if (__builtin_mul_overflow(epoch, vm->params.epoch_seconds, &at) ||
        !ses_add_u64(&at, vm->genesis_timestamp)) {
        return UINT64_MAX;
    }
    return at;
}

/* ---- block 0 ---- */

static enum ses_err grant(struct ses_layer *layer, const struct ses_genesis *g)
{
    for (uint32_t i = 0; i < g->allocation_cnt; i++) {
        const struct ses_account_state state = {.balance = g->allocations[i].amount};
        SES_TRY(ses_account_store(layer, &g->allocations[i].account, &state));
    }
    return SES_OK;
}

static enum ses_err bond(struct ses_layer *layer, const struct ses_genesis *g)
{
    struct ses_totals totals = {0};
    for (uint32_t i = 0; i < g->node_cnt; i++) {
        const struct ses_genesis_node *from = &g->nodes[i];
        const struct ses_node node = {.node_id = from->node_id,
                                      .owner = from->owner,
                                      .stake = from->stake,
                                      .principal = from->stake,
                                      .swarm = SES_SWARM_NONE,
                                      .prev_swarm = SES_SWARM_NONE,
                                      .status = SES_NODE_ACTIVE,
                                      .registered_at = g->timestamp,
                                      .capacity = from->capacity};
        SES_ASSERT(ses_add_u64(&totals.bonded, node.stake));
        SES_TRY(ses_node_store(layer, &node));
        SES_TRY(ses_node_keys_store(layer, &node.node_id, &from->keys, &from->endpoint));
    }
    return ses_totals_store(layer, &totals);
}

static enum ses_err write_block_0(struct ses_undecided *u, const struct ses_hash *chain_id)
{
    uint8_t bytes[SES_BLOCK_HEADER_BYTES];
    struct ses_writer w;
    u->block = (struct ses_block){
        .parent = *chain_id, .timestamp = u->tip.timestamp, .state_root = u->tip.state_root};
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_block_write_header(&w, &u->block);
    SES_TRY(ses_writer_done(&w));
    ses_sha256(&u->block.id, SES_PARTS(SES_PART(bytes, w.len)));
    u->tip.id = u->block.id;
    return ses_buf_append(&u->bytes, bytes, w.len);
}

static enum ses_err make_block_0(struct ses_vm *vm, struct ses_undecided *u,
                                 const struct ses_genesis *g)
{
    u->layer.parent = &vm->base;
    u->layer.kv = &vm->kv;
    u->tip.layer = &u->layer;
    u->tip.timestamp = g->timestamp;
    SES_TRY(grant(&u->layer, g));
    SES_TRY(bond(&u->layer, g));
    SES_TRY(ses_epoch_genesis(vm, &u->tip, &u->epoch));
    SES_TRY(ses_layer_root(vm, &u->tip, NULL));
    return write_block_0(u, &vm->chain_id);
}

/* The tip's trie and rows go over; its layer is the accepted state now. */
static void adopt_tip(struct ses_vm *vm, struct ses_undecided *u)
{
    ses_trie_unref(vm->trie_pool, vm->tip.trie);
    ses_rows_unref(vm->tip.rows);
    ses_tests_unref(vm->tip.tests);
    vm->tip = u->tip;
    vm->tip.layer = &vm->base;
    u->tip = (struct ses_tip){0};
}

/* Database, then memory: nothing can fail behind the write. */
static enum ses_err commit(struct ses_vm *vm, struct ses_undecided *u)
{
    SES_TRY(ses_ledger_reserve(vm, &u->layer));
    SES_TRY(ses_ledger_accept(vm, u));
    ses_ledger_merge(vm, &u->layer);
    adopt_tip(vm, u);
    return SES_OK;
}

static enum ses_err start_chain(struct ses_vm *vm, const struct ses_genesis *g)
{
    struct ses_undecided *u = NULL;
    SES_TRY(ses_undecided_new(&u));
    enum ses_err err = make_block_0(vm, u, g);
    if (err == SES_OK) {
        err = commit(vm, u);
    }
    ses_undecided_free(vm, u);
    return err;
}

static bool stop_at_first(void *cookie, const uint8_t *key, size_t key_len, const uint8_t *value,
                          size_t value_len)
{
    (void)key;
    (void)key_len;
    (void)value;
    (void)value_len;
    *(bool *)cookie = true;
    return false;
}

static enum ses_err open_chain(struct ses_vm *vm, const struct ses_genesis *g,
                               struct ses_note *note)
{
    const uint8_t none = 0;
    bool any = false;
    const enum ses_err err = ses_ledger_open(vm, note);
    if (err != SES_ERR_NOT_FOUND) {
        return err;
    }
    SES_TRY(vm->kv.iterate(vm->kv.ctx, &none, 0, &none, 0, stop_at_first, &any));
    if (any) {
        ses_note_set(note, "the database holds something else than this chain; give an empty one");
        return SES_ERR_CHECKSUM;
    }
    return start_chain(vm, g);
}

static enum ses_err vm_open(struct ses_vm *vm, const struct ses_vm_params *params,
                            struct ses_note *note)
{
    struct ses_genesis g;
    SES_TRY(ses_genesis_parse(&g, params->genesis, params->genesis_len, note));
    memcpy(vm->network_name, g.network_name, sizeof(vm->network_name));
    vm->genesis_timestamp = g.timestamp;
    vm->params = g.params;
    vm->chain_id = g.chain_id;
    enum ses_err err = ses_trie_pool_new(&vm->trie_pool);
    if (err == SES_OK) {
        err = open_chain(vm, &g, note);
    }
    ses_genesis_free(&g);
    return err;
}

enum ses_err ses_vm_new(struct ses_vm **out, const struct ses_vm_params *params,
                        struct ses_note *note)
{
    *out = NULL;
    struct ses_vm *vm = ses_alloc(1, sizeof(*vm));
    SES_REQUIRE(vm != NULL, SES_ERR_MEMORY);
    vm->kv = params->kv;
    vm->clock = params->clock;
    vm->parallel = params->parallel;
    vm->log = params->log;
    vm->base.kv = &vm->kv;
    vm->tip.layer = &vm->base;
    const enum ses_err err = vm_open(vm, params, note);
    if (err != SES_OK) {
        ses_vm_free(vm);
        return err;
    }
    ses_logf(vm->log, SES_LOG_INFO, "vm", "open network=%s height=%" PRIu64 " epoch=%" PRIu64,
             vm->network_name, vm->tip.height, vm->tip.epoch.epoch);
    *out = vm;
    return SES_OK;
}

void ses_vm_free(struct ses_vm *vm)
{
    if (vm == NULL) {
        return;
    }
    while (vm->undecided != NULL) {
        ses_undecided_drop(vm, vm->undecided);
    }
    ses_pool_free(&vm->pool);
    ses_entries_free(&vm->base.entries);
    ses_rows_unref(vm->tip.rows);
    ses_tests_unref(vm->tip.tests);
    ses_trie_unref(vm->trie_pool, vm->tip.trie);
    ses_trie_pool_free(vm->trie_pool);
    ses_free(vm->node_ids);
    ses_free(vm);
}

/* ---- decisions ---- */

/* Marks what can never be accepted any more: rivals of the decided block and what stands on them.
 */
static void orphan_rivals(struct ses_vm *vm, const struct ses_undecided *decided)
{
    bool more = true;
    while (more) {
        more = false;
        for (struct ses_undecided *u = vm->undecided; u != NULL; u = u->next) {
            if (u == decided || u->status != SES_BLOCK_VERIFIED || u->parent == decided) {
                continue;
            }
            if (u->parent == NULL || u->parent->status == SES_BLOCK_ORPHAN) {
                u->status = SES_BLOCK_ORPHAN;
                vm->preferred = vm->preferred == u ? NULL : vm->preferred;
                more = true;
            }
        }
    }
}

/* Children of the accepted block stand on the accepted state now. */
static void adopt_children(struct ses_vm *vm, const struct ses_undecided *decided)
{
    for (struct ses_undecided *u = vm->undecided; u != NULL; u = u->next) {
        if (u->status == SES_BLOCK_VERIFIED && u->parent == decided) {
            u->parent = NULL;
            u->layer.parent = &vm->base;
        }
    }
}

enum ses_err ses_vm_accept(struct ses_vm *vm, const struct ses_hash *id)
{
    if (memcmp(vm->tip.id.bytes, id->bytes, sizeof(id->bytes)) == 0) {
        return SES_OK;
    }
    struct ses_undecided *u = ses_undecided_find(vm, id);
    SES_REQUIRE(u != NULL, SES_ERR_NOT_FOUND);
    SES_REQUIRE(u->status == SES_BLOCK_VERIFIED && u->parent == NULL, SES_ERR_PARENT);
    SES_TRY(commit(vm, u));
    orphan_rivals(vm, u);
    adopt_children(vm, u);
    const bool transition = u->epoch.ran;
    ses_undecided_drop(vm, u); /* the preferred block, if it was: the last accepted one now */
    ses_pool_recheck(vm);
    ses_logf(vm->log, SES_LOG_DEBUG, "vm", "accepted height=%" PRIu64 " epoch=%" PRIu64 "%s",
             vm->tip.height, vm->tip.epoch.epoch, transition ? " (new)" : "");
    return SES_OK;
}

/* A rejected block takes what stands on it along: the host rejects those too. */
enum ses_err ses_vm_reject(struct ses_vm *vm, const struct ses_hash *id)
{
    struct ses_undecided *u = ses_undecided_find(vm, id);
    if (u == NULL) {
        return SES_OK;
    }
    const bool executed = u->status == SES_BLOCK_VERIFIED;
    bool more = executed;
    u->status = executed ? SES_BLOCK_ORPHAN : u->status;
    while (more) {
        more = false;
        for (struct ses_undecided *v = vm->undecided; v != NULL; v = v->next) {
            if (v->status == SES_BLOCK_VERIFIED && v->parent != NULL &&
                v->parent->status == SES_BLOCK_ORPHAN) {
                v->status = SES_BLOCK_ORPHAN;
                vm->preferred = vm->preferred == v ? NULL : vm->preferred;
                more = true;
            }
        }
    }
    ses_undecided_drop(vm, u);
    return SES_OK;
}

enum ses_err ses_vm_set_preference(struct ses_vm *vm, const struct ses_hash *id)
{
    if (memcmp(vm->tip.id.bytes, id->bytes, sizeof(id->bytes)) == 0) {
        vm->preferred = NULL;
        return SES_OK;
    }
    struct ses_undecided *u = ses_undecided_find(vm, id);
    SES_REQUIRE(u != NULL && u->status == SES_BLOCK_VERIFIED, SES_ERR_NOT_FOUND);
    vm->preferred = u;
    return SES_OK;
}
