/* What can be asked of the last accepted state. */
#include "vm/vm_internal.h"

void ses_vm_head(const struct ses_vm *vm, struct ses_vm_head *out)
{
    *out = (struct ses_vm_head){.id = vm->tip.id,
                                .state_root = vm->tip.state_root,
                                .height = vm->tip.height,
                                .timestamp = vm->tip.timestamp,
                                .epoch = vm->tip.epoch.epoch};
}

void ses_vm_chain_id(const struct ses_vm *vm, struct ses_hash *out)
{
    *out = vm->chain_id;
}

void ses_vm_params_of(const struct ses_vm *vm, struct ses_params *params,
                      uint64_t *genesis_timestamp, char network_name[64])
{
    *params = vm->params;
    *genesis_timestamp = vm->genesis_timestamp;
    memcpy(network_name, vm->network_name, sizeof(vm->network_name));
}

enum ses_err ses_vm_block(const struct ses_vm *vm, const struct ses_hash *id, struct ses_buf *out)
{
    const struct ses_undecided *u = ses_undecided_find(vm, id);
    return u != NULL ? ses_buf_append(out, u->bytes.bytes, u->bytes.len)
                     : ses_ledger_get(&vm->kv, SES_STORE_BLOCK, id->bytes, 32, out);
}

enum ses_err ses_vm_block_id_at(const struct ses_vm *vm, uint64_t height, struct ses_hash *id)
{
    struct ses_buf buf = {0};
    uint8_t number[8];
    memset(id, 0, sizeof(*id));
    ses_put_u64(number, height);
    enum ses_err err = ses_ledger_get(&vm->kv, SES_STORE_HEIGHT, number, sizeof(number), &buf);
    if (err == SES_OK && buf.len != sizeof(id->bytes)) {
        err = SES_ERR_CHECKSUM;
    }
    if (err == SES_OK) {
        memcpy(id->bytes, buf.bytes, sizeof(id->bytes));
    }
    ses_buf_free(&buf);
    return err;
}

/* ---- nodes and accounts ---- */

enum ses_err ses_vm_node(const struct ses_vm *vm, const struct ses_node_id *node_id,
                         struct ses_map_node *keys, struct ses_node *node)
{
    memset(keys, 0, sizeof(*keys));
    SES_REQUIRE(ses_node_load(&vm->base, node_id, node), SES_ERR_NOT_FOUND);
    keys->row = (struct ses_registry_row){.node_id = node->node_id,
                                          .owner = node->owner,
                                          .status = node->status,
                                          .swarm = node->swarm,
                                          .prev_swarm = node->prev_swarm,
                                          .swarm_from_epoch = node->swarm_from_epoch};
    SES_REQUIRE(ses_keys_hash_load(&vm->base, node_id, &keys->row.keys_hash), SES_ERR_CHECKSUM);
    return ses_node_keys_load(&vm->base, node_id, &keys->keys, &keys->endpoint);
}

/* First node behind `after`. */
static uint32_t first_after(const struct ses_vm *vm, const struct ses_node_id *after)
{
    uint32_t low = 0;
    uint32_t high = after == NULL ? 0 : vm->node_cnt;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (memcmp(vm->node_ids[mid].bytes, after->bytes, sizeof(after->bytes)) <= 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

enum ses_err ses_vm_nodes(const struct ses_vm *vm, const struct ses_node_id *after,
                          bool (*each)(void *cookie, const struct ses_node *node), void *cookie)
{
    for (uint32_t i = first_after(vm, after); i < vm->node_cnt; i++) {
        struct ses_node node;
        SES_REQUIRE(ses_node_load(&vm->base, &vm->node_ids[i], &node), SES_ERR_CHECKSUM);
        if (!each(cookie, &node)) {
            break;
        }
    }
    return SES_OK;
}

enum ses_err ses_vm_account(const struct ses_vm *vm, const struct ses_account *account,
                            struct ses_vm_account *out)
{
    const struct ses_pool_account *pending = ses_pool_account(&vm->pool, account);
    struct ses_account_state state;
    ses_account_load(&vm->base, account, &state);
    *out = (struct ses_vm_account){.balance = state.balance,
                                   .nonce = state.nonce,
                                   .pending_nonce =
                                       pending == NULL ? state.nonce : pending->last->facts.nonce,
                                   .has_key = state.has_key};
    return SES_OK;
}

uint64_t ses_vm_total_bonded(const struct ses_vm *vm)
{
    struct ses_totals totals;
    ses_totals_load(&vm->base, &totals);
    return totals.bonded;
}

uint64_t ses_vm_total_burned(const struct ses_vm *vm)
{
    struct ses_totals totals;
    ses_totals_load(&vm->base, &totals);
    return totals.burned;
}

/* ---- epochs ---- */

static enum ses_err get_of_epoch(const struct ses_vm *vm, enum ses_ledger_table table,
                                 uint64_t epoch, struct ses_buf *out)
{
    uint8_t number[8];
    ses_put_u64(number, epoch == UINT64_MAX ? vm->tip.epoch.epoch : epoch);
    return ses_ledger_get(&vm->kv, table, number, sizeof(number), out);
}

enum ses_err ses_vm_epoch(const struct ses_vm *vm, uint64_t epoch, struct ses_buf *out)
{
    return get_of_epoch(vm, SES_STORE_EPOCH, epoch, out);
}

enum ses_err ses_vm_testers(const struct ses_vm *vm, uint64_t epoch, struct ses_buf *out)
{
    return get_of_epoch(vm, SES_STORE_TESTERS, epoch, out);
}

static enum ses_err load_map_node(const struct ses_vm *vm, const struct ses_registry_row *row,
                                  struct ses_map_node *out)
{
    struct ses_buf buf = {0};
    struct ses_reader r;
    memset(out, 0, sizeof(*out));
    out->row = *row;
    enum ses_err err = ses_ledger_get(&vm->kv, SES_STORE_ROW_KEYS, row->node_id.bytes, 20, &buf);
    if (err == SES_OK) {
        ses_reader_init(&r, buf.bytes, buf.len);
        ses_node_keys_read(&r, &out->keys);
        ses_endpoint_read(&r, &out->endpoint);
        err = ses_reader_done(&r);
    }
    ses_buf_free(&buf);
    return err;
}

enum ses_err ses_vm_registry(const struct ses_vm *vm, uint64_t since_epoch,
                             bool (*each)(void *cookie, const struct ses_map_node *node),
                             void *cookie)
{
    for (uint32_t i = 0; i < vm->tip.rows->cnt; i++) {
        const struct ses_row *row = &vm->tip.rows->rows[i];
        struct ses_map_node node;
        if (since_epoch != UINT64_MAX && row->changed_epoch <= since_epoch) {
            continue;
        }
        SES_TRY(load_map_node(vm, &row->row, &node));
        if (!each(cookie, &node)) {
            break;
        }
    }
    return SES_OK;
}

/* ---- transactions ---- */

static enum ses_err tx_of_block(const struct ses_buf *block, uint32_t index, struct ses_buf *out)
{
    struct ses_reader r;
    size_t len = 0;
    const uint8_t *tx = NULL;
    SES_REQUIRE(block->len >= SES_BLOCK_HEADER_BYTES, SES_ERR_CHECKSUM);
    ses_reader_init(&r, block->bytes + SES_BLOCK_HEADER_BYTES, block->len - SES_BLOCK_HEADER_BYTES);
    for (uint32_t i = 0; i <= index; i++) {
        tx = ses_block_next_tx(&r, &len);
        SES_REQUIRE(tx != NULL, SES_ERR_CHECKSUM);
    }
    return ses_buf_append(out, tx, len);
}

enum ses_err ses_vm_tx(const struct ses_vm *vm, const struct ses_hash *tx_id,
                       struct ses_hash *block_id, uint64_t *height, uint32_t *index,
                       struct ses_buf *bytes)
{
    struct ses_buf at = {0};
    struct ses_buf block = {0};
    enum ses_err err = ses_ledger_get(&vm->kv, SES_STORE_TX, tx_id->bytes, 32, &at);
    if (err == SES_OK && at.len != 32 + 8 + 4) {
        err = SES_ERR_CHECKSUM;
    }
    if (err == SES_OK) {
        memcpy(block_id->bytes, at.bytes, 32);
        *height = ses_get_u64(at.bytes + 32);
        *index = ses_get_u32(at.bytes + 40);
        err = ses_ledger_get(&vm->kv, SES_STORE_BLOCK, block_id->bytes, 32, &block);
    }
    if (err == SES_OK) {
        err = tx_of_block(&block, *index, bytes);
    }
    ses_buf_free(&at);
    ses_buf_free(&block);
    return err;
}

void ses_vm_mempool(const struct ses_vm *vm, struct ses_mempool_info *out)
{
    *out = (struct ses_mempool_info){.tx_cnt = vm->pool.tx_cnt + vm->pool.duty_cnt,
                                     .bytes = vm->pool.bytes + vm->pool.duty_bytes};
}

uint32_t ses_vm_mempool_ids(const struct ses_vm *vm, struct ses_hash *out, uint32_t max)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < vm->pool.account_cnt; i++) {
        for (const struct ses_pool_tx *tx = vm->pool.accounts[i]->first; tx != NULL && cnt < max;
             tx = tx->next_nonce) {
            out[cnt++] = tx->id;
        }
    }
    for (const struct ses_pool_tx *tx = vm->pool.first_duty; tx != NULL && cnt < max;
         tx = tx->next_duty) {
        out[cnt++] = tx->id;
    }
    return cnt;
}

enum ses_err ses_vm_mempool_tx(const struct ses_vm *vm, const struct ses_hash *tx_id,
                               struct ses_buf *bytes)
{
    const struct ses_pool_tx *tx = ses_pool_find(&vm->pool, tx_id);
    SES_REQUIRE(tx != NULL, SES_ERR_NOT_FOUND);
    return ses_buf_append(bytes, tx->bytes, tx->len);
}

/* ---- proofs ---- */

enum ses_err ses_vm_proof(const struct ses_vm *vm, const uint8_t *state_key, size_t key_len,
                          bool *present, struct ses_buf *value, struct ses_buf *proof)
{
    struct ses_state_key key = {.len = (uint8_t)key_len};
    struct ses_hash hash;
    struct ses_hash stored;
    *present = false;
    SES_REQUIRE(key_len >= 1 && key_len <= SES_STATE_KEY_MAX, SES_ERR_INVALID);
    memcpy(key.bytes, state_key, key_len);
    ses_blake3_hash(&hash, state_key, key_len);
    *present = ses_trie_get(vm->tip.trie, &hash, &stored);
    if (*present) {
        SES_TRY(ses_state_load(&vm->base, &key, value));
    }
    return ses_trie_prove(vm->tip.trie, &hash, proof);
}
