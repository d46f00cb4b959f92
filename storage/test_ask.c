#include "storage/test_ask.h"

#include <string.h>

/* ---- waiting ---- */
static void wait_for(struct kit *kit, struct ask *ask, enum ses_err err)
{
    if (err != SES_OK) {
        ask->err = err;
        return;
    }
    SES_ASSERT(!ask->done); /* not from inside the call */
    SES_ASSERT(test_loop_run(kit->loop, &ask->done));
}

static void on_segments(void *cookie, const struct ses_segments_result *result)
{
    struct ask *ask = cookie;
    SES_ASSERT(result->segment_cnt <= SES_COUNT(ask->segments));
    ask->done = true;
    ask->err = result->err;
    ask->segment_cnt = result->segment_cnt;
    for (size_t i = 0; i < result->segment_cnt; i++) {
        ask->segments[i] = result->segments[i];
    }
    ask->sum = result->sum;
}

void ask_segments(struct kit *kit, struct ask *ask, const struct ses_view *view, uint32_t from_hour)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_segments(kit->store, view, from_hour, on_segments, ask));
}

static void on_children(void *cookie, enum ses_err err, const struct ses_sum (*sums)[16],
                        size_t ask_cnt)
{
    struct ask *ask = cookie;
    SES_ASSERT(ask_cnt <= SES_COUNT(ask->children));
    ask->done = true;
    ask->err = err;
    for (size_t i = 0; i < ask_cnt; i++) {
        memcpy(ask->children[i], sums[i], sizeof ask->children[i]);
    }
}

void ask_children(struct kit *kit, struct ask *ask, const struct ses_view *view,
                  const struct ses_children_ask *asks, size_t cnt)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_children(kit->store, view, asks, cnt, on_children, ask));
}

static void on_leaves(void *cookie, enum ses_err err, const struct ses_leaf *leaves,
                      size_t leaf_cnt)
{
    struct ask *ask = cookie;
    SES_ASSERT(leaf_cnt <= ASK_LEAVES_MAX);
    ask->done = true;
    ask->err = err;
    ask->leaf_cnt = leaf_cnt;
    for (size_t i = 0; i < leaf_cnt; i++) {
        ask->leaves[i] = leaves[i];
    }
}

void ask_leaves(struct kit *kit, struct ask *ask, const struct ses_view *view,
                const struct ses_forest_range *range, size_t max)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_leaves(kit->store, view, range, max, on_leaves, ask));
}

void ask_at(struct kit *kit, struct ask *ask, const struct ses_view *view,
            const uint64_t *positions, size_t cnt)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_leaves_at(kit->store, view, positions, cnt, on_leaves, ask));
}

static void on_proof(void *cookie, enum ses_err err, const uint8_t *proof, size_t len)
{
    struct ask *ask = cookie;
    ask->done = true;
    ask->err = err;
    ask->bytes.len = 0;
    if (err == SES_OK) {
        SES_ASSERT(ses_buf_append(&ask->bytes, proof, len) == SES_OK);
    }
}

void ask_prove(struct kit *kit, struct ask *ask, const struct ses_view *view,
               const struct ses_forest_question *question)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_prove(kit->store, view, question, on_proof, ask));
}

static void on_snapshot(void *cookie, enum ses_err err, const struct ses_snapshot *snapshot)
{
    struct ask *ask = cookie;
    ask->done = true;
    ask->err = err;
    if (err == SES_OK) {
        ask->snapshot = *snapshot;
    }
}

void ask_snapshot(struct kit *kit, struct ask *ask, uint64_t epoch, uint32_t swarm,
                  uint32_t num_swarms)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_snapshot(kit->store, epoch, swarm, num_swarms, on_snapshot, ask));
}

static void on_chunk(void *cookie, enum ses_err err, const struct ses_chunk *chunk)
{
    struct ask *ask = cookie;
    ask->done = true;
    ask->err = err;
    if (err == SES_OK) {
        ask->chunk = *chunk;
        if (chunk->len > 0) {
            memcpy(ask->chunk_bytes, chunk->bytes, chunk->len);
        }
        ask->chunk.bytes = ask->chunk_bytes;
    }
}

void ask_chunk(struct kit *kit, struct ask *ask, const struct ses_hash *id, uint32_t number)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_chunk(kit->store, id, number, on_chunk, ask));
}

static void on_bulk(void *cookie, const struct ses_bulk_result *result)
{
    struct ask *ask = cookie;
    ask->done = true;
    ask->err = result->err;
    ask->bytes.len = 0;
    if (result->err == SES_OK && result->len > 0) {
        SES_ASSERT(ses_buf_append(&ask->bytes, result->records, result->len) == SES_OK);
    }
    ask->record_cnt = result->record_cnt;
    ask->next = result->next;
    ask->more = result->more;
}

void ask_bulk(struct kit *kit, struct ask *ask, const struct ses_segment *segment, uint64_t offset,
              size_t bytes_max)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_bulk(kit->store, segment, offset, bytes_max, on_bulk, ask));
}

static void on_dropped(void *cookie, enum ses_err err, uint64_t record_cnt)
{
    struct ask *ask = cookie;
    ask->done = true;
    ask->err = err;
    ask->record_cnt = (uint32_t)record_cnt;
}

void ask_drop_foreign(struct kit *kit, struct ask *ask)
{
    ask->done = false;
    wait_for(kit, ask, ses_store_drop_foreign(kit->store, on_dropped, ask));
}

void ask_free(struct ask *ask)
{
    ses_buf_free(&ask->bytes);
}

void ask_view_of(struct ses_view *out, uint64_t epoch)
{
    *out = (struct ses_view){.epoch = epoch, .swarm = 0, .num_swarms = 1};
}

/* ---- puts ---- */
static void on_put(void *cookie, const struct ses_put_result *result)
{
    struct kit_put *put = cookie;
    SES_ASSERT(!put->done);
    put->result = *result;
    put->err = result->err;
    put->done = true;
}

static enum ses_err put_and_wait(struct kit *kit, struct ses_put *p, uint64_t *admit_epoch)
{
    struct kit_put put = {0};
    p->on_done = on_put;
    p->cookie = &put;
    SES_TRY(ses_store_put(kit->store, p));
    SES_ASSERT(!put.done);
    SES_ASSERT(test_loop_run(kit->loop, &put.done));
    if (put.err == SES_OK && admit_epoch != NULL) {
        *admit_epoch = put.result.receipt.leaf.admit_epoch;
    }
    return put.err;
}

enum ses_err ask_put(struct kit *kit, const struct ses_record *record,
                     const struct ses_record_ids *ids, const struct ses_vouchers *vouchers,
                     uint64_t *admit_epoch)
{
    struct ses_put p = {.record = *record, .ids = ids};
    if (vouchers != NULL) {
        p.vouchers = *vouchers;
    }
    return put_and_wait(kit, &p, admit_epoch);
}

/* ---- deletes ---- */
void owner_init(struct owner *owner, uint8_t n)
{
    uint8_t seed[32];
    memset(seed, n, sizeof seed);
    SES_ASSERT(ses_identity_new(&owner->identity, seed) == SES_OK);
    memcpy(owner->inbox.bytes, owner->identity->id.bytes + 1, 32);
}

void owner_free(struct owner *owner)
{
    ses_identity_free(owner->identity);
}

void owner_record(struct kit_record *out, const struct owner *owner, uint64_t n, uint64_t ts_ms,
                  uint8_t ttl_class, uint32_t payload_bytes)
{
    const struct kit_spec spec = {
        .n = n, .ts_ms = ts_ms, .payload_bytes = payload_bytes, .ttl_class = ttl_class};
    kit_record(out, &spec);
    const struct ses_record_header header = {
        .ttl_class = ttl_class, .ts_ms = ts_ms / 1000 * 1000, .inbox = owner->inbox};
    ses_record_header_encode(out->header, &header);
    out->record.header = out->header;
    SES_ASSERT(ses_record_identify(&out->ids, &out->record) == SES_OK);
}

void statement_make(struct statement *out, const struct kit *kit, const struct owner *owner,
                    const struct kit_record *targets, size_t cnt, uint64_t time_ms)
{
    static struct ses_delete m;
    struct ses_delete_target list[SES_DELETIONS_MAX];
    struct ses_record_header header;
    size_t len = 0;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < cnt; i++) {
        ses_delete_target_of(&list[i], &targets[i].ids, targets[i].record.payload_bytes);
        out->targets[i] = (struct ses_deletion){.id = targets[i].ids.id,
                                                .ts_ms = targets[i].ids.header.ts_ms,
                                                .ns = targets[i].ids.header.ns,
                                                .ttl_class = targets[i].ids.header.ttl_class};
    }
    out->target_cnt = (uint8_t)cnt;
    out->record.payload = ses_alloc(1, SES_DELETE_BYTES_MAX);
    SES_ASSERT(out->record.payload != NULL);
    SES_ASSERT(ses_delete_sign(out->record.payload, &len, list, cnt, time_ms, &kit->params.chain_id,
                               owner->identity, ses_random_system()) == SES_OK);
    SES_ASSERT(ses_delete_read(&m, out->record.payload, len) == SES_OK);
    ses_delete_header(&header, &m);
    ses_record_header_encode(out->record.header, &header);
    out->record.record = (struct ses_record){.header = out->record.header,
                                             .payload = out->record.payload,
                                             .payload_bytes = (uint32_t)len};
    SES_ASSERT(ses_record_identify(&out->record.ids, &out->record.record) == SES_OK);
}

void statement_free(struct statement *statement)
{
    ses_free(statement->record.payload);
}

enum ses_err statement_put(struct kit *kit, const struct statement *statement,
                           uint64_t *admit_epoch)
{
    struct ses_put p = {.record = statement->record.record,
                        .ids = &statement->record.ids,
                        .targets = statement->targets,
                        .target_cnt = statement->target_cnt};
    p.record.header = statement->record.header;
    return put_and_wait(kit, &p, admit_epoch);
}

/* ---- oracle ---- */
static struct oracle_item *item_of(struct oracle *oracle, const struct ses_hash *digest,
                                   const struct ses_hash *id)
{
    for (size_t i = 0; i < oracle->cnt; i++) {
        if (memcmp(oracle->items[i].leaf.key.bytes + 32, id->bytes, 32) == 0) {
            return &oracle->items[i];
        }
    }
    SES_ASSERT(oracle->cnt < ORACLE_MAX);
    struct oracle_item *item = &oracle->items[oracle->cnt++];
    memset(item, 0, sizeof *item);
    memcpy(item->leaf.key.bytes, digest->bytes, 32);
    memcpy(item->leaf.key.bytes + 32, id->bytes, 32);
    return item;
}

void oracle_put(struct oracle *oracle, const struct kit_record *record, uint64_t admit_epoch)
{
    struct oracle_item *item = item_of(oracle, &record->ids.digest, &record->ids.id);
    const bool statement = record->ids.header.kind == SES_RECORD_TOMBSTONE;
    item->leaf.ts_ms = record->ids.header.ts_ms;
    item->leaf.ttl_class = record->ids.header.ttl_class;
    item->leaf.kind = statement;
    item->leaf.size = statement ? 0 : record->record.payload_bytes;
    item->stored = true;
    item->admit_epoch = admit_epoch;
}

void oracle_delete(struct oracle *oracle, const struct statement *statement,
                   const struct ses_hash *digest, uint64_t admit_epoch)
{
    oracle_put(oracle, &statement->record, admit_epoch);
    for (uint8_t i = 0; i < statement->target_cnt; i++) {
        const struct ses_deletion *t = &statement->targets[i];
        struct oracle_item *item = item_of(oracle, digest, &t->id);
        item->leaf.ts_ms = t->ts_ms;
        item->leaf.ttl_class = t->ttl_class;
        if (!item->deleted || admit_epoch < item->tomb_epoch) {
            item->tomb_epoch = admit_epoch;
        }
        item->deleted = true;
    }
}

/* The leaf of the item in the view; false if it has none. */
static bool leaf_in(const struct oracle_item *item, const struct ses_view *view, uint64_t from_ms,
                    struct ses_leaf *out)
{
    const uint32_t low = ses_get_u32(item->leaf.key.bytes + 28);
    struct ses_segment segment;
    ses_segment_of(&segment, item->leaf.ttl_class, item->leaf.ts_ms);
    *out = item->leaf;
    if (low % view->num_swarms != view->swarm || ses_segment_expires_ms(&segment) < from_ms) {
        return false;
    }
    if (item->deleted && item->tomb_epoch <= view->epoch) {
        out->kind = 1;
        out->size = 0;
        return true;
    }
    return item->stored && item->admit_epoch <= view->epoch;
}

size_t oracle_sum(const struct oracle *oracle, struct ses_sum *out, const struct ses_view *view,
                  uint64_t from_ms)
{
    struct ses_forest_pool *pool;
    struct ses_forest *forest;
    SES_ASSERT(ses_forest_pool_new(&pool, (size_t)1 << 30) == SES_OK);
    SES_ASSERT(ses_forest_new(&forest, pool) == SES_OK);
    for (size_t i = 0; i < oracle->cnt; i++) {
        struct ses_leaf leaf;
        if (leaf_in(&oracle->items[i], view, from_ms, &leaf)) {
            SES_ASSERT(ses_forest_put(forest, &leaf) == SES_OK);
        }
    }
    ses_forest_sum(forest, out);
    const size_t cnt = ses_forest_segment_cnt(forest);
    ses_forest_free(forest);
    ses_forest_pool_free(pool);
    return cnt;
}

void oracle_check_live(const struct oracle *oracle, struct kit *kit, struct ask *ask)
{
    struct ses_view view;
    struct ses_sum want;
    ask_view_of(&view, SES_EPOCH_LIVE);
    const uint64_t now_ms = ses_now_ms(&kit->params.loop->clock);
    const size_t cnt = oracle_sum(oracle, &want, &view, now_ms + 1);
    ask_segments(kit, ask, NULL, 0);
    TAP_ERR(SES_OK, ask->err);
    TAP_EQ(cnt, ask->segment_cnt);
    TAP_EQ(want.count, ask->sum.count);
    TAP_EQ(want.bytes, ask->sum.bytes);
    TAP_BYTES(want.hash.bytes, ask->sum.hash.bytes, 32);
}

void oracle_check_snapshot(const struct oracle *oracle, struct kit *kit, struct ask *ask,
                           uint64_t epoch)
{
    struct ses_view view;
    struct ses_sum want;
    struct ses_hash root;
    ask_view_of(&view, epoch);
    oracle_sum(oracle, &want, &view, ses_epoch_start_ms(&kit->params.times, epoch + 2));
    ses_forest_root_of(&root, 0, epoch, &want);
    ask_snapshot(kit, ask, epoch, 0, 1);
    TAP_ERR(SES_OK, ask->err);
    TAP_EQ(want.count, ask->snapshot.count);
    TAP_EQ(want.bytes, ask->snapshot.bytes);
    TAP_BYTES(root.bytes, ask->snapshot.root.bytes, 32);
}
