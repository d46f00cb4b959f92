/* What is kept in the host's database, and how it is read back (docs/protocol.md, State keys). */
#include <inttypes.h>

#include "vm/vm_internal.h"

#define KEY_MAX 64u

/* ---- one batch ---- */

/* Keys and values are gathered in one buffer; the pointers are set when it grows no more. */
struct batch {
    struct ses_buf bytes;
    struct ses_buf spans; /* of struct span */
};
struct span {
    size_t key_at;
    size_t key_len;
    size_t value_at;
    size_t value_len;
    bool removed;
};

static enum ses_err batch_put(struct batch *b, enum ses_ledger_table table, const void *id,
                              size_t id_len, const void *value, size_t value_len)
{
    const uint8_t prefix = (uint8_t)table;
    const struct span span = {.key_at = b->bytes.len,
                              .key_len = 1 + id_len,
                              .value_at = b->bytes.len + 1 + id_len,
                              .value_len = value_len,
                              .removed = value == NULL};
    SES_TRY(ses_buf_append(&b->bytes, &prefix, 1));
    SES_TRY(ses_buf_append(&b->bytes, id, id_len));
    if (value != NULL) {
        SES_TRY(ses_buf_append(&b->bytes, value, value_len));
    }
    return ses_buf_append(&b->spans, &span, sizeof(span));
}

static enum ses_err batch_write(struct batch *b, const struct ses_kv *kv)
{
    const size_t cnt = b->spans.len / sizeof(struct span);
    struct ses_kv_change *changes = ses_alloc(cnt, sizeof(*changes));
    SES_REQUIRE(changes != NULL, SES_ERR_MEMORY);
    for (size_t i = 0; i < cnt; i++) {
        struct span span;
        memcpy(&span, b->spans.bytes + i * sizeof(span), sizeof(span));
        changes[i] = (struct ses_kv_change){
            .key = b->bytes.bytes + span.key_at,
            .key_len = span.key_len,
            .value = span.removed ? NULL : b->bytes.bytes + span.value_at,
            .value_len = span.value_len,
        };
    }
    const enum ses_err err = kv->write_batch(kv->ctx, changes, cnt);
    ses_free(changes);
    return err;
}

static void batch_free(struct batch *b)
{
    ses_buf_free(&b->bytes);
    ses_buf_free(&b->spans);
}

/* ---- what a block changes ---- */

static enum ses_err put_state(struct batch *b, const struct ses_entries *e)
{
    for (uint32_t i = 0; i < e->cnt; i++) {
        const struct ses_entry *entry = &e->list[i];
        SES_TRY(batch_put(b, SES_STORE_STATE, entry->key.bytes, entry->key.len,
                          entry->removed ? NULL : entry->value, entry->value_len));
    }
    return SES_OK;
}

static enum ses_err put_txs(struct batch *b, const struct ses_undecided *u)
{
    uint8_t value[32 + 8 + 4];
    memcpy(value, u->block.id.bytes, 32);
    ses_put_u64(value + 32, u->block.height);
    for (uint32_t i = 0; i < u->block.tx_cnt; i++) {
        const struct ses_hash id = ses_undecided_tx_id(u, i);
        ses_put_u32(value + 40, i);
        SES_TRY(batch_put(b, SES_STORE_TX, id.bytes, 32, value, sizeof(value)));
    }
    return SES_OK;
}

static enum ses_err put_rows(struct batch *b, const struct ses_undecided *u)
{
    for (uint32_t i = 0; i < u->tip.rows->cnt; i++) {
        const struct ses_row *row = &u->tip.rows->rows[i];
        uint8_t bytes[SES_ROW_BYTES];
        struct ses_writer w;
        if (row->changed_epoch != u->tip.epoch.epoch) {
            continue;
        }
        ses_writer_init(&w, bytes, sizeof(bytes));
        ses_row_write(&w, row);
        SES_TRY(ses_writer_done(&w));
        SES_TRY(batch_put(b, SES_STORE_ROW, row->row.node_id.bytes, 20, bytes, w.len));
    }
    for (uint32_t i = 0; i < u->epoch.keys.cnt; i++) {
        const struct ses_entry *entry = &u->epoch.keys.list[i];
        SES_TRY(batch_put(b, SES_STORE_ROW_KEYS, entry->key.bytes, entry->key.len, entry->value,
                          entry->value_len));
    }
    return SES_OK;
}

static enum ses_err put_epoch(struct batch *b, const struct ses_undecided *u)
{
    uint8_t number[8];
    if (!u->epoch.ran) {
        return SES_OK;
    }
    ses_put_u64(number, u->tip.epoch.epoch);
    SES_TRY(batch_put(b, SES_STORE_EPOCH, number, 8, u->epoch.record.bytes, u->epoch.record.len));
    SES_TRY(
        batch_put(b, SES_STORE_TESTERS, number, 8, u->epoch.testers.bytes, u->epoch.testers.len));
    if (u->epoch.judged.len > 0) {
        ses_put_u64(number, u->epoch.judged_epoch);
        SES_TRY(
            batch_put(b, SES_STORE_JUDGED, number, 8, u->epoch.judged.bytes, u->epoch.judged.len));
    }
    return put_rows(b, u);
}

static enum ses_err put_block(struct batch *b, const struct ses_undecided *u)
{
    uint8_t number[8];
    ses_put_u64(number, u->block.height);
    SES_TRY(batch_put(b, SES_STORE_BLOCK, u->block.id.bytes, 32, u->bytes.bytes, u->bytes.len));
    SES_TRY(batch_put(b, SES_STORE_HEIGHT, number, 8, u->block.id.bytes, 32));
    return batch_put(b, SES_STORE_HEAD, NULL, 0, u->block.id.bytes, 32);
}

static enum ses_err put_format(struct batch *b, const struct ses_vm *vm,
                               const struct ses_undecided *u)
{
    uint8_t bytes[4 + 32];
    if (u->block.height != 0) {
        return SES_OK;
    }
    ses_put_u32(bytes, SES_STORE_FORMAT_NUMBER);
    memcpy(bytes + 4, vm->chain_id.bytes, 32);
    return batch_put(b, SES_STORE_FORMAT, NULL, 0, bytes, sizeof(bytes));
}

enum ses_err ses_ledger_accept(const struct ses_vm *vm, const struct ses_undecided *u)
{
    struct batch b = {0};
    enum ses_err err = ses_buf_reserve(&b.bytes, 2 * u->bytes.len);
    if (err == SES_OK) {
        err = put_format(&b, vm, u);
    }
    if (err == SES_OK) {
        err = put_block(&b, u);
    }
    if (err == SES_OK) {
        err = put_txs(&b, u);
    }
    if (err == SES_OK) {
        err = put_state(&b, &u->layer.entries);
    }
    if (err == SES_OK) {
        err = put_epoch(&b, u);
    }
    if (err == SES_OK) {
        err = batch_write(&b, &vm->kv);
    }
    batch_free(&b);
    return err;
}

enum ses_err ses_ledger_get(const struct ses_kv *kv, enum ses_ledger_table table, const void *id,
                            size_t id_len, struct ses_buf *out)
{
    uint8_t key[KEY_MAX];
    SES_REQUIRE(id_len < sizeof(key), SES_ERR_INVALID);
    key[0] = (uint8_t)table;
    if (id_len > 0) {
        memcpy(key + 1, id, id_len);
    }
    return kv->get(kv->ctx, key, 1 + id_len, out);
}

/* ---- into memory ---- */

static uint32_t node_at(const struct ses_vm *vm, const uint8_t id[20], bool *found)
{
    uint32_t low = 0;
    uint32_t high = vm->node_cnt;
    *found = false;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        const int order = memcmp(vm->node_ids[mid].bytes, id, 20);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static void add_node_id(struct ses_vm *vm, const uint8_t id[20])
{
    bool found = false;
    const uint32_t at = node_at(vm, id, &found);
    if (!found) {
        SES_ASSERT(vm->node_cnt < vm->node_cap);
        memmove(&vm->node_ids[at + 1], &vm->node_ids[at],
                (vm->node_cnt - at) * sizeof(vm->node_ids[0]));
        memcpy(vm->node_ids[at].bytes, id, 20);
        vm->node_cnt++;
    }
}

static enum ses_err reserve_nodes(struct ses_vm *vm, uint32_t more)
{
    if (vm->node_cap - vm->node_cnt >= more) {
        return SES_OK;
    }
    const uint32_t cap = 2 * vm->node_cap + more;
    struct ses_node_id *ids = ses_realloc(vm->node_ids, cap, sizeof(*ids));
    SES_REQUIRE(ids != NULL, SES_ERR_MEMORY);
    vm->node_ids = ids;
    vm->node_cap = cap;
    return SES_OK;
}

enum ses_err ses_ledger_reserve(struct ses_vm *vm, const struct ses_layer *layer)
{
    uint32_t nodes = 0;
    for (uint32_t i = 0; i < layer->entries.cnt; i++) {
        nodes += layer->entries.list[i].key.bytes[0] == SES_STATE_NODE;
    }
    SES_TRY(reserve_nodes(vm, nodes));
    return ses_entries_reserve(&vm->base.entries, layer->entries.cnt);
}

void ses_ledger_merge(struct ses_vm *vm, struct ses_layer *layer)
{
    for (uint32_t i = 0; i < layer->entries.cnt; i++) {
        struct ses_entry *entry = &layer->entries.list[i];
        if (ses_state_key_cold(&entry->key)) {
            continue; /* it is in the database now */
        }
        if (entry->key.bytes[0] == SES_STATE_NODE) {
            add_node_id(vm, entry->key.bytes + 1);
        }
        ses_entries_take(&vm->base.entries, &entry->key, entry->value, entry->value_len,
                         entry->removed);
        entry->value = NULL;
    }
    ses_entries_free(&layer->entries);
}

/* ---- opening ---- */

#define CHUNK 4096u
struct loader {
    struct ses_vm *vm;
    struct ses_trie_change *changes;
    size_t change_cnt;
    struct ses_buf rows; /* of struct ses_row */
    enum ses_err err;
};

static enum ses_err flush(struct loader *l)
{
    const struct ses_trie *grown = NULL;
    struct ses_vm *vm = l->vm;
    SES_TRY(ses_trie_apply(vm->trie_pool, &grown, vm->tip.trie, l->changes, l->change_cnt));
    ses_trie_unref(vm->trie_pool, vm->tip.trie);
    vm->tip.trie = grown;
    l->change_cnt = 0;
    return SES_OK;
}

static enum ses_err load_entry(struct loader *l, const uint8_t *id, size_t id_len,
                               const uint8_t *value, size_t value_len)
{
    struct ses_state_key key = {.len = (uint8_t)id_len};
    struct ses_trie_change *change = &l->changes[l->change_cnt++];
    SES_REQUIRE(id_len >= 1 && id_len <= SES_STATE_KEY_MAX, SES_ERR_CHECKSUM);
    memcpy(key.bytes, id, id_len);
    ses_blake3_hash(&change->key, id, id_len);
    ses_blake3_hash(&change->value, value, value_len);
    change->removed = false;
    if (!ses_state_key_cold(&key)) {
        SES_TRY(ses_entries_put(&l->vm->base.entries, &key, value, value_len));
    }
    if (key.bytes[0] == SES_STATE_NODE && id_len == 21) {
        SES_TRY(reserve_nodes(l->vm, 1));
        add_node_id(l->vm, id + 1); /* they come sorted: at the end */
    }
    return l->change_cnt == CHUNK ? flush(l) : SES_OK;
}

static bool each_entry(void *cookie, const uint8_t *key, size_t key_len, const uint8_t *value,
                       size_t value_len)
{
    struct loader *l = cookie;
    l->err = key_len < 2 ? SES_ERR_CHECKSUM : load_entry(l, key + 1, key_len - 1, value, value_len);
    return l->err == SES_OK;
}

static bool each_row(void *cookie, const uint8_t *key, size_t key_len, const uint8_t *value,
                     size_t value_len)
{
    struct loader *l = cookie;
    struct ses_row row;
    struct ses_reader r;
    ses_reader_init(&r, value, value_len);
    ses_row_read(&r, &row);
    l->err = ses_reader_done(&r);
    if (l->err == SES_OK && (key_len != 21 || memcmp(key + 1, row.row.node_id.bytes, 20) != 0)) {
        l->err = SES_ERR_CHECKSUM;
    }
    if (l->err == SES_OK) {
        l->err = ses_buf_append(&l->rows, &row, sizeof(row));
    }
    return l->err == SES_OK;
}

static enum ses_err iterate(struct loader *l, enum ses_ledger_table table,
                            bool (*each)(void *cookie, const uint8_t *key, size_t key_len,
                                         const uint8_t *value, size_t value_len))
{
    const uint8_t prefix = (uint8_t)table;
    const struct ses_kv *kv = &l->vm->kv;
    SES_TRY(kv->iterate(kv->ctx, &prefix, 1, &prefix, 1, each, l));
    return l->err;
}

static enum ses_err load_rows(struct loader *l)
{
    SES_TRY(iterate(l, SES_STORE_ROW, each_row));
    SES_TRY(ses_rows_new(&l->vm->tip.rows, (uint32_t)(l->rows.len / sizeof(struct ses_row))));
    if (l->rows.len > 0) {
        memcpy(l->vm->tip.rows->rows, l->rows.bytes, l->rows.len);
    }
    return SES_OK;
}

static enum ses_err load_state(struct ses_vm *vm)
{
    struct loader l = {.vm = vm, .changes = ses_alloc(CHUNK, sizeof(*l.changes))};
    enum ses_err err = l.changes == NULL ? SES_ERR_MEMORY : SES_OK;
    if (err == SES_OK) {
        err = iterate(&l, SES_STORE_STATE, each_entry);
    }
    if (err == SES_OK) {
        err = flush(&l);
    }
    if (err == SES_OK) {
        err = load_rows(&l);
    }
    ses_free(l.changes);
    ses_buf_free(&l.rows);
    return err;
}

static enum ses_err check_format(const struct ses_vm *vm, struct ses_note *note)
{
    struct ses_buf buf = {0};
    enum ses_err err = ses_ledger_get(&vm->kv, SES_STORE_FORMAT, NULL, 0, &buf);
    if (err == SES_OK && (buf.len < 4 || ses_get_u32(buf.bytes) != SES_STORE_FORMAT_NUMBER)) {
        ses_note_set(note,
                     "the database has format %" PRIu32 ", this program knows %u; use the program "
                     "that wrote it, or start with an empty database",
                     buf.len < 4 ? 0 : ses_get_u32(buf.bytes), SES_STORE_FORMAT_NUMBER);
        err = SES_ERR_VERSION;
    } else if (err == SES_OK &&
               (buf.len != 36 || memcmp(buf.bytes + 4, vm->chain_id.bytes, 32) != 0)) {
        ses_note_set(note, "the database belongs to another genesis; give that genesis, or start "
                           "with an empty database");
        err = SES_ERR_CHECKSUM;
    }
    ses_buf_free(&buf);
    return err;
}

static enum ses_err load_head(struct ses_vm *vm, struct ses_block *block)
{
    struct ses_buf id = {0};
    struct ses_buf bytes = {0};
    enum ses_err err = ses_ledger_get(&vm->kv, SES_STORE_HEAD, NULL, 0, &id);
    if (err == SES_OK) {
        err = id.len == 32 ? ses_ledger_get(&vm->kv, SES_STORE_BLOCK, id.bytes, 32, &bytes)
                           : SES_ERR_CHECKSUM;
    }
    if (err == SES_OK) {
        err = ses_block_decode(block, bytes.bytes, bytes.len, UINT64_MAX);
    }
    if (err == SES_OK && memcmp(block->id.bytes, id.bytes, 32) != 0) {
        err = SES_ERR_CHECKSUM;
    }
    ses_buf_free(&id);
    ses_buf_free(&bytes);
    return err == SES_ERR_NOT_FOUND ? SES_ERR_CHECKSUM : err;
}

static enum ses_err load_epoch(struct ses_vm *vm)
{
    const struct ses_state_key key = ses_state_key_single(SES_STATE_EPOCH);
    struct ses_canonical_root *roots = NULL;
    struct ses_reader r;
    size_t len = 0;
    const uint8_t *bytes = ses_state_hot(&vm->base, &key, &len);
    const uint32_t room = (uint32_t)(len / 52 + 1); /* a canonical root has 52 bytes */
    SES_REQUIRE(bytes != NULL, SES_ERR_CHECKSUM);
    roots = ses_alloc(room, sizeof(*roots));
    SES_REQUIRE(roots != NULL, SES_ERR_MEMORY);
    ses_reader_init(&r, bytes, len);
    ses_epoch_read(&r, &vm->tip.epoch, roots, room);
    ses_free(roots);
    vm->tip.epoch.canonical = NULL;
    vm->tip.epoch.canonical_cnt = 0;
    return ses_reader_done(&r);
}

enum ses_err ses_ledger_open(struct ses_vm *vm, struct ses_note *note)
{
    struct ses_block block;
    SES_TRY(check_format(vm, note));
    enum ses_err err = load_head(vm, &block);
    if (err == SES_OK) {
        err = load_state(vm);
    }
    if (err == SES_OK) {
        err = load_epoch(vm);
    }
    if (err == SES_OK) {
        err = ses_tests_of_rows(&vm->tip.tests, vm->tip.rows, vm->tip.epoch.num_swarms,
                                &vm->tip.epoch.seed, vm->params.testers);
    }
    if (err == SES_OK) {
        vm->tip.id = block.id;
        vm->tip.height = block.height;
        vm->tip.timestamp = block.timestamp;
        ses_trie_root(vm->tip.trie, &vm->tip.state_root);
        err = memcmp(vm->tip.state_root.bytes, block.state_root.bytes, 32) == 0 ? SES_OK
                                                                                : SES_ERR_CHECKSUM;
    }
    if (err != SES_OK && err != SES_ERR_MEMORY && err != SES_ERR_IO) {
        ses_note_set(note, "the database is damaged: its state does not lead to the root of its "
                           "last block; restore a backup, or sync an empty database anew");
    }
    return err;
}
