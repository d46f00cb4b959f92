/* The forest of a store, held to the model's vectors and to a plain forest of what was put: in any
 * order, over restarts, with deletes in any order of arrival, at the boundaries of epochs. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "storage/storage_internal.h"
#include "storage/test_ask.h"

static struct kit kit;
static struct ask ask;

static void begin(void)
{
    kit_root(&kit);
    SES_ASSERT(ses_disk_open(&kit.real, kit.root, NULL) == SES_OK);
    kit_init(&kit, test_loop_new(KIT_NOW_MS), &kit.real);
    TAP_ERR(SES_OK, kit_open(&kit));
}

static void end(void)
{
    if (kit.store != NULL) {
        kit_close(&kit);
    }
    test_loop_free(kit.loop);
    ses_disk_close(&kit.real);
    kit_free(&kit);
}

static void restart(void)
{
    kit_close(&kit);
    TAP_ERR(SES_OK, kit_open(&kit));
}

/* ---- the model's sets ---- */
static void model_name(uint8_t out[32], const char *what, uint32_t i)
{
    uint8_t bytes[64] = {0};
    struct ses_hash hash;
    const size_t len = strlen(what);
    memcpy(bytes, what, len);
    ses_put_u32(bytes + len, i);
    ses_blake3_hash(&hash, bytes, len + 4);
    memcpy(out, hash.bytes, 32);
}

/* Leaf i of a set, as a record whose id is the model's. */
static enum ses_err put_model(uint32_t i, uint32_t inboxes, bool two)
{
    static uint8_t payload[16384];
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record_ids ids = {0};
    const bool dead = i % 10 == 9;
    ids.header.kind = dead ? SES_RECORD_TOMBSTONE : SES_RECORD_MESSAGE;
    ids.header.ttl_class = two && i % 3 == 0 ? 4 : 3;
    ids.header.ts_ms = 1800000000000u + 1000ull * i;
    model_name(ids.header.inbox.bytes, "smf-inbox", i % inboxes);
    model_name(ids.id.bytes, "smf-id", i);
    ses_inbox_digest(&ids.digest, &ids.header.inbox);
    ses_segment_of(&ids.segment, ids.header.ttl_class, ids.header.ts_ms);
    ses_record_header_encode(header, &ids.header);
    const struct ses_record record = {
        .header = header, .payload = payload, .payload_bytes = dead ? 0 : 9000 + i};
    return ask_put(&kit, &record, &ids, NULL, NULL);
}

static void check_set(const json_t *set)
{
    const uint32_t cnt = (uint32_t)json_number_value(json_object_get(set, "leaves"));
    const uint32_t inboxes = (uint32_t)json_number_value(json_object_get(set, "inboxes"));
    const bool two = json_is_true(json_object_get(set, "two_segments"));
    struct ses_hash root;
    char hex[65];
    begin();
    test_loop_skip(kit.loop, 1800001000000u - KIT_NOW_MS);
    for (uint32_t i = 0; i < cnt; i++) {
        TAP_ERR(SES_OK, put_model((i * 7) % cnt, inboxes, two)); /* no set's size has a factor 7 */
    }
    ask_segments(&kit, &ask, NULL, 0);
    TAP_ERR(SES_OK, ask.err);
    TAP_EQ(cnt, ask.sum.count);
    TAP_EQ(json_array_size(json_object_get(set, "segments")), ask.segment_cnt);
    ses_forest_root_of(&root, 5, 77, &ask.sum);
    ses_hex_encode(hex, root.bytes, 32);
    TAP_TEXT(json_string_value(json_object_get(set, "root")), hex);
    end();
}

static void test_model(void)
{
    size_t len = 0;
    char *text = tap_vectors("model/vectors.json", &len);
    if (text == NULL) {
        tap_skip("no public vectors here; SES_VECTORS names their folder");
        return;
    }
    json_t *vectors = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, NULL);
    ses_free(text);
    TAP_MUST(vectors != NULL);
    json_t *sets = json_object_get(json_object_get(vectors, "forest"), "sets");
    TAP_OK(json_array_size(sets) >= 7);
    for (size_t i = 0; i < json_array_size(sets); i++) {
        check_set(json_array_get(sets, i));
    }
    json_decref(vectors);
}

/* ---- random sets ---- */
#define SET 600u
static struct oracle oracle;
static struct kit_record records[SET];

static void spec_of(struct kit_spec *out, uint32_t n)
{
    *out = (struct kit_spec){.n = n,
                             .inbox = n % 23,
                             .ts_ms = KIT_NOW_MS - (n % 7) * 1700000ull,
                             .payload_bytes = n * 37 % 900,
                             .ns = (int16_t)(n % 3 * 10),
                             .ttl_class = n % 14 == 0 ? 0 : (uint8_t)(1 + n % 4)};
}

static void make_set(void)
{
    for (uint32_t n = 0; n < SET; n++) {
        struct kit_spec spec;
        spec_of(&spec, n);
        kit_record(&records[n], &spec);
    }
}

static void free_set(void)
{
    for (uint32_t n = 0; n < SET; n++) {
        kit_record_free(&records[n]);
    }
}

static void shuffle(uint32_t *order, uint32_t cnt)
{
    for (uint32_t i = 0; i < cnt; i++) {
        order[i] = i;
    }
    for (uint32_t i = cnt; i > 1; i--) {
        const uint32_t j = (uint32_t)ses_random_below(tap_random(), i);
        const uint32_t t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
}

/* Puts many at once, then waits for all. */
static void put_some(const uint32_t *order, uint32_t cnt)
{
    static struct kit_put puts[SET];
    for (uint32_t i = 0; i < cnt; i++) {
        kit_put_start(&kit, &puts[i], &records[order[i]], KIT_REPLICA);
    }
    for (uint32_t i = 0; i < cnt; i++) {
        SES_ASSERT(test_loop_run(kit.loop, &puts[i].done));
        TAP_ERR(SES_OK, puts[i].err);
        oracle_put(&oracle, &records[order[i]], puts[i].result.receipt.leaf.admit_epoch);
    }
}

static void test_any_order(void)
{
    static uint32_t order[SET];
    struct ses_sum first = {0};
    make_set();
    for (int round = 0; round < 3; round++) {
        begin();
        oracle.cnt = 0;
        shuffle(order, SET);
        for (uint32_t at = 0; at < SET; at += SET / 4) {
            put_some(order + at, SET / 4);
            oracle_check_live(&oracle, &kit, &ask);
            if (at == SET / 4) {
                restart();
                oracle_check_live(&oracle, &kit, &ask);
            }
        }
        if (round == 0) {
            first = ask.sum;
        }
        TAP_BYTES(first.hash.bytes, ask.sum.hash.bytes, 32);
        end();
    }
    free_set();
}

/* With memory for next to nothing, every ask builds what it needs and forgets it. */
static void test_little_memory(void)
{
    static uint32_t order[SET];
    make_set();
    begin();
    kit_close(&kit);
    kit.params.forest_bytes = 1;
    TAP_ERR(SES_OK, kit_open(&kit));
    oracle.cnt = 0;
    shuffle(order, SET);
    for (uint32_t at = 0; at < SET; at += SET / 6) {
        put_some(order + at, SET / 6);
        oracle_check_live(&oracle, &kit, &ask);
    }
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(0, stats.open_segments);
    TAP_OK(stats.forest_builds > ask.segment_cnt);
    end();
    free_set();
}

/* ---- reconciliation ---- */
static void test_segments_from_an_hour(void)
{
    const uint32_t hour = (uint32_t)(KIT_NOW_MS / 3600000);
    struct kit_spec spec = {.n = 1, .ts_ms = KIT_NOW_MS, .ttl_class = 3, .payload_bytes = 9};
    begin();
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    spec = (struct kit_spec){
        .n = 2, .ts_ms = KIT_NOW_MS - 3600000, .ttl_class = 2, .payload_bytes = 9};
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    ask_segments(&kit, &ask, NULL, hour - 1);
    TAP_EQ(2, ask.segment_cnt);
    ask_segments(&kit, &ask, NULL, hour);
    TAP_EQ(1, ask.segment_cnt);
    TAP_EQ(3, ask.segments[0].id.bytes[0]);
    TAP_EQ(2, ask.sum.count);
    ask_segments(&kit, &ask, NULL, hour + 1);
    TAP_EQ(0, ask.segment_cnt);
    end();
}

static void test_children_and_leaves(void)
{
    static uint32_t order[SET];
    struct ses_children_ask asks[2] = {0};
    make_set();
    begin();
    oracle.cnt = 0;
    shuffle(order, SET);
    put_some(order, SET);
    ask_segments(&kit, &ask, NULL, 0);
    TAP_MUST(ask.segment_cnt > 1);
    const struct ses_segment_state segment = ask.segments[1];
    asks[0].segment = segment.id;
    asks[1].segment.bytes[0] = 4; /* absent */
    ask_children(&kit, &ask, NULL, asks, 2);
    TAP_ERR(SES_OK, ask.err);
    uint64_t count = 0;
    uint64_t bytes = 0;
    for (unsigned n = 0; n < 16; n++) {
        count += ask.children[0][n].count;
        bytes += ask.children[0][n].bytes;
        TAP_EQ(0, ask.children[1][n].count);
    }
    TAP_EQ(segment.sum.count, count);
    TAP_EQ(segment.sum.bytes, bytes);
    /* page by page */
    struct ses_forest_range range = {.segment = segment.id};
    memset(range.high.bytes, 0xff, sizeof range.high.bytes);
    uint64_t seen = 0;
    for (bool more = true; more;) {
        ask_leaves(&kit, &ask, NULL, &range, 10);
        TAP_ERR(SES_OK, ask.err);
        seen += ask.leaf_cnt;
        more = ask.leaf_cnt == 10;
        if (more) {
            range.low = ask.leaves[9].key;
            TAP_MUST(ses_leaf_key_next(&range.low));
        }
    }
    TAP_EQ(segment.sum.count, seen);
    end();
    free_set();
}

/* ---- snapshots and proofs ---- */
static void test_proofs(void)
{
    static uint32_t order[SET];
    struct ses_view view;
    make_set();
    begin();
    oracle.cnt = 0;
    shuffle(order, SET);
    put_some(order, SET);
    TAP_ERR(SES_ERR_INVALID, ses_store_snapshot(kit.store, 101, 0, 1, NULL, NULL)); /* not sealed */
    TAP_ERR(SES_OK, ses_store_seal(kit.store, 101));
    oracle_check_snapshot(&oracle, &kit, &ask, 101);
    const struct ses_snapshot s = ask.snapshot;
    TAP_OK(s.count > 100);
    restart();
    ask_snapshot(&kit, &ask, 101, 0, 1);
    TAP_BYTES(s.root.bytes, ask.snapshot.root.bytes, 32);
    ask_view_of(&view, 101);
    const uint64_t positions[] = {0, s.count / 2, s.count - 1};
    ask_at(&kit, &ask, &view, positions, 3);
    TAP_ERR(SES_OK, ask.err);
    TAP_EQ(3, ask.leaf_cnt);
    const struct ses_leaf leaf = ask.leaves[1];
    struct ses_forest_range range;
    struct ses_segment_id segment;
    ses_leaf_segment(&segment, &leaf);
    ses_forest_range_key(&range, &segment, &leaf.key);
    const struct ses_forest_question question = {
        .ranges = &range, .range_cnt = 1, .positions = positions, .position_cnt = 3};
    ask_prove(&kit, &ask, &view, &question);
    TAP_ERR(SES_OK, ask.err);
    struct ses_opened opened;
    struct ses_leaf shown;
    TAP_ERR(SES_OK, ses_forest_check(&opened, &s.root, 0, 101, ask.bytes.bytes, ask.bytes.len));
    TAP_EQ(s.count, opened.count);
    TAP_ERR(SES_OK, ses_opened_at(&opened, positions[1], &segment, &shown));
    TAP_BYTES(leaf.key.bytes, shown.key.bytes, sizeof leaf.key.bytes);
    bool present = false;
    TAP_ERR(SES_OK, ses_opened_key(&opened, &segment, &leaf.key, &present, &shown));
    TAP_OK(present);
    /* beyond the end, and a snapshot that is not there */
    const uint64_t beyond = s.count;
    ask_at(&kit, &ask, &view, &beyond, 1);
    TAP_ERR(SES_ERR_NOT_FOUND, ask.err);
    ask_view_of(&view, 100);
    ask_at(&kit, &ask, &view, positions, 1);
    TAP_ERR(SES_ERR_NOT_FOUND, ask.err);
    end();
    free_set();
}

static void test_chunks(void)
{
    struct kit_spec spec = {.n = 5, .ts_ms = KIT_NOW_MS, .ttl_class = 3};
    const uint32_t sizes[] = {0, 1, 256, 257, 5000, SES_PAYLOAD_MAX};
    begin();
    for (size_t i = 0; i < SES_COUNT(sizes); i++) {
        struct kit_record record;
        spec.n++;
        spec.payload_bytes = sizes[i];
        kit_record(&record, &spec);
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
        const uint32_t cnt = (sizes[i] + 255) / 256;
        for (uint32_t n = 0; n < cnt; n += 1 + cnt / 5) {
            struct ses_hash leaf;
            struct ses_hash root;
            ask_chunk(&kit, &ask, &record.ids.id, n);
            TAP_ERR(SES_OK, ask.err);
            TAP_BYTES(record.payload + n * 256, ask.chunk.bytes, ask.chunk.len);
            TAP_BYTES(record.ids.header_hash.bytes, ask.chunk.header_hash.bytes, 32);
            ses_b(&leaf, SES_TAG_CHUNK,
                  SES_PARTS(SES_PART(ask.chunk.bytes, (size_t)ask.chunk.len)));
            TAP_ERR(SES_OK,
                    ses_mt_root_of_path(&root, &leaf, n, cnt, ask.chunk.path, ask.chunk.path_cnt));
            TAP_BYTES(record.ids.payload_root.bytes, root.bytes, 32);
        }
        ask_chunk(&kit, &ask, &record.ids.id, cnt > 0 ? cnt : 1);
        TAP_ERR(SES_ERR_INVALID, ask.err);
        if (cnt == 0) { /* opened by the parts of its id */
            ask_chunk(&kit, &ask, &record.ids.id, 0);
            TAP_ERR(SES_OK, ask.err);
            TAP_EQ(0, ask.chunk.len + ask.chunk.path_cnt);
            TAP_BYTES(record.ids.header_hash.bytes, ask.chunk.header_hash.bytes, 32);
        }
        kit_record_free(&record);
    }
    const struct ses_hash none = {{1}};
    ask_chunk(&kit, &ask, &none, 0);
    TAP_ERR(SES_ERR_NOT_FOUND, ask.err);
    end();
}

/* ---- deletes ---- */
/* Nine messages, three statements over some of them, in any order, with an epoch sealed somewhere:
 * two stores that saw the same in another order show the same. */
#define MESSAGES 9u
#define STATEMENTS 3u
static struct owner owner;
static struct kit_record messages[MESSAGES];
static struct statement statements[STATEMENTS];

static void make_deletes(void)
{
    owner_init(&owner, 7);
    for (uint32_t n = 0; n < MESSAGES; n++) {
        owner_record(&messages[n], &owner, n, KIT_NOW_MS + n % 2 * 1000, (uint8_t)(1 + n % 4),
                     100 + n);
    }
    statement_make(&statements[0], &kit, &owner, messages, 3, KIT_NOW_MS + 5000);
    statement_make(&statements[1], &kit, &owner, messages + 2, 4, KIT_NOW_MS + 6000);
    statement_make(&statements[2], &kit, &owner, messages + 5, 1, KIT_NOW_MS + 7000);
}

static void free_deletes(void)
{
    for (uint32_t n = 0; n < MESSAGES; n++) {
        kit_record_free(&messages[n]);
    }
    for (uint32_t n = 0; n < STATEMENTS; n++) {
        statement_free(&statements[n]);
    }
    owner_free(&owner);
}

static void put_either(uint32_t n)
{
    uint64_t epoch = 0;
    if (n < MESSAGES) {
        TAP_ERR(SES_OK, ask_put(&kit, &messages[n].record, &messages[n].ids, NULL, &epoch));
        oracle_put(&oracle, &messages[n], epoch);
    } else {
        const struct statement *s = &statements[n - MESSAGES];
        TAP_ERR(SES_OK, statement_put(&kit, s, &epoch));
        oracle_delete(&oracle, s, &messages[0].ids.digest, epoch);
    }
}

static void test_deletes_any_order(void)
{
    static uint32_t order[MESSAGES + STATEMENTS];
    struct ses_sum first = {0};
    begin();
    make_deletes();
    end();
    for (int round = 0; round < 8; round++) {
        begin();
        oracle.cnt = 0;
        shuffle(order, SES_COUNT(order));
        for (uint32_t i = 0; i < SES_COUNT(order); i++) {
            put_either(order[i]);
            if (i % 4 == 1) {
                oracle_check_live(&oracle, &kit, &ask);
            }
            if (i == 6) {
                restart();
                oracle_check_live(&oracle, &kit, &ask);
            }
        }
        oracle_check_live(&oracle, &kit, &ask);
        if (round == 0) {
            first = ask.sum;
        }
        TAP_BYTES(first.hash.bytes, ask.sum.hash.bytes, 32);
        TAP_ERR(SES_OK, ses_store_seal(kit.store, 101));
        oracle_check_snapshot(&oracle, &kit, &ask, 101);
        end();
    }
    free_deletes();
}

static void on_page(void *cookie, const struct ses_page_result *result)
{
    *(int *)cookie = result->err == SES_OK ? result->record_cnt : -2;
}

/* Records of the owner's inbox that a reader gets. */
static uint64_t owner_page_cnt(void)
{
    int cnt = -1;
    const struct ses_retrieve what = {
        .inbox = owner.inbox, .record_max = 100, .bytes_max = 1 << 20};
    TAP_ERR(SES_OK, ses_store_page(kit.store, &what, on_page, &cnt));
    TAP_OK(test_loop_run(kit.loop, NULL));
    return (uint64_t)cnt;
}

/* A message of one epoch, deleted in the next: each snapshot shows what was, and the payload stays
 * as long as it may be asked for. */
static void test_delete_later(void)
{
    struct ses_view view;
    uint64_t epoch = 0;
    begin();
    oracle.cnt = 0;
    make_deletes();
    for (uint32_t n = 0; n < MESSAGES; n++) {
        put_either(n);
    }
    TAP_ERR(SES_OK, ses_store_seal(kit.store, 101));
    TAP_ERR(SES_OK, statement_put(&kit, &statements[0], &epoch));
    TAP_EQ(102, epoch);
    oracle_delete(&oracle, &statements[0], &messages[0].ids.digest, epoch);
    /* gone at once for readers */
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(4, stats.deleted_cnt);
    for (uint32_t n = 0; n < 3; n++) {
        TAP_ERR(SES_ERR_NOT_FOUND, ses_store_get(kit.store, &messages[n].ids.id, NULL, NULL));
    }
    TAP_EQ(6, owner_page_cnt());
    oracle_check_snapshot(&oracle, &kit, &ask, 101);
    oracle_check_live(&oracle, &kit, &ask);
    restart();
    oracle_check_snapshot(&oracle, &kit, &ask, 101);
    oracle_check_live(&oracle, &kit, &ask);
    /* the opening of S_101 shows kind 0 and its chunk */
    struct ses_forest_range range;
    struct ses_segment_id segment;
    struct ses_leaf_key key;
    memcpy(key.bytes, messages[1].ids.digest.bytes, 32);
    memcpy(key.bytes + 32, messages[1].ids.id.bytes, 32);
    ses_segment_encode(segment.bytes, &messages[1].ids.segment);
    ses_forest_range_key(&range, &segment, &key);
    ask_view_of(&view, 101);
    ask_leaves(&kit, &ask, &view, &range, 1);
    TAP_EQ(1, ask.leaf_cnt);
    TAP_EQ(0, ask.leaves[0].kind);
    ask_chunk(&kit, &ask, &messages[1].ids.id, 0);
    TAP_ERR(SES_OK, ask.err);
    /* S_102 shows kind 1; the payload is kept for S_101 until T_103 */
    TAP_ERR(SES_OK, ses_store_seal(kit.store, 102));
    oracle_check_snapshot(&oracle, &kit, &ask, 102);
    ask_view_of(&view, 102);
    ask_leaves(&kit, &ask, &view, &range, 1);
    TAP_EQ(1, ask.leaf_cnt);
    TAP_EQ(1, ask.leaves[0].kind);
    const uint64_t until_ms = ses_epoch_start_ms(&kit.params.times, 103);
    test_loop_skip(kit.loop, until_ms - 1 - ses_now_ms(&kit.params.loop->clock));
    ask_chunk(&kit, &ask, &messages[1].ids.id, 0);
    TAP_ERR(SES_OK, ask.err);
    test_loop_skip(kit.loop, 1);
    ask_chunk(&kit, &ask, &messages[1].ids.id, 0);
    TAP_ERR(SES_ERR_NOT_FOUND, ask.err);
    end();
    free_deletes();
}

/* What was deleted stays so when a clock that was ahead at the start is right again. */
static void test_deletes_of_a_start_with_a_clock_ahead(void)
{
    const uint64_t ahead_ms = 40ull * 86400000;
    uint64_t epoch = 0;
    begin();
    oracle.cnt = 0;
    make_deletes();
    for (uint32_t n = 0; n < MESSAGES; n++) {
        put_either(n);
    }
    TAP_ERR(SES_OK, statement_put(&kit, &statements[0], &epoch));
    oracle_delete(&oracle, &statements[0], &messages[0].ids.digest, epoch);
    test_loop_skip(kit.loop, ahead_ms);
    restart();
    test_loop_skip(kit.loop, 0 - ahead_ms);
    TAP_EQ(6, owner_page_cnt());
    oracle_check_live(&oracle, &kit, &ask);
    end();
    free_deletes();
}

/* The statement came first, and the message, which belongs to an epoch before, after it. */
static void test_message_after_its_delete(void)
{
    struct ses_vouchers vouchers = {0};
    uint64_t epoch = 0;
    begin();
    oracle.cnt = 0;
    make_deletes();
    /* a statement after F_101: it is of 102 */
    const uint64_t frozen_ms = ses_epoch_start_ms(&kit.params.times, 101) - 120000;
    test_loop_skip(kit.loop, frozen_ms + 1000 - ses_now_ms(&kit.params.loop->clock));
    TAP_ERR(SES_OK, statement_put(&kit, &statements[0], &epoch));
    TAP_EQ(102, epoch);
    oracle_delete(&oracle, &statements[0], &messages[0].ids.digest, epoch);
    oracle_check_live(&oracle, &kit, &ask);
    TAP_OK(ses_store_has(kit.store, &messages[0].ids));
    /* the message with one voucher is of 101: its payload must be there for S_101 */
    ses_vouchers_add(&vouchers, 101);
    TAP_ERR(SES_OK, ask_put(&kit, &messages[0].record, &messages[0].ids, &vouchers, &epoch));
    TAP_EQ(101, epoch);
    oracle_put(&oracle, &messages[0], epoch);
    /* one without is of 102: nothing of it is wanted */
    struct ses_store_stats before;
    struct ses_store_stats after;
    ses_store_stats(kit.store, &before);
    TAP_ERR(SES_OK, ask_put(&kit, &messages[1].record, &messages[1].ids, NULL, &epoch));
    TAP_EQ(102, epoch);
    ses_store_stats(kit.store, &after);
    TAP_EQ(before.disk_bytes, after.disk_bytes);
    for (int i = 0; i < 2; i++) {
        oracle_check_live(&oracle, &kit, &ask);
        TAP_ERR(SES_OK, ses_store_seal(kit.store, 102));
        oracle_check_snapshot(&oracle, &kit, &ask, 101);
        oracle_check_snapshot(&oracle, &kit, &ask, 102);
        ask_chunk(&kit, &ask, &messages[0].ids.id, 0);
        TAP_ERR(SES_OK, ask.err);
        TAP_BYTES(messages[0].payload, ask.chunk.bytes, ask.chunk.len);
        ask_chunk(&kit, &ask, &messages[1].ids.id, 0);
        TAP_ERR(SES_ERR_NOT_FOUND, ask.err);
        restart();
    }
    end();
    free_deletes();
}

/* Statements over the same message, before one of them is written: it makes room for one. */
static void test_frees_once(void)
{
    static struct kit_put puts[STATEMENTS];
    begin();
    kit_close(&kit);
    make_deletes();
    kit.params.inbox_quota_bytes = 20000;
    TAP_ERR(SES_OK, kit_open(&kit));
    struct kit_record big[2];
    for (uint32_t n = 0; n < 2; n++) {
        owner_record(&big[n], &owner, 50 + n, KIT_NOW_MS, 3, 9000);
        kit_put_start(&kit, &puts[n], &big[n], KIT_ENTRY);
    }
    TAP_OK(test_loop_run(kit.loop, &puts[1].done));
    uint32_t entered = 0;
    for (uint32_t n = 0; n < STATEMENTS; n++) {
        struct statement s;
        statement_make(&s, &kit, &owner, big, 1, KIT_NOW_MS + 1000 * (n + 1));
        kit_put_start_as(&kit, &puts[n], &s.record, s.targets, s.target_cnt, KIT_ENTRY);
        TAP_OK(n == 0 || puts[n].err == SES_ERR_FULL);
        entered += puts[n].err == SES_OK;
        statement_free(&s);
    }
    TAP_EQ(1, entered);
    TAP_OK(test_loop_run(kit.loop, &puts[0].done));
    TAP_ERR(SES_OK, puts[0].err);
    struct statement s; /* and then another */
    statement_make(&s, &kit, &owner, big + 1, 1, KIT_NOW_MS + 9000);
    kit_put_start_as(&kit, &puts[1], &s.record, s.targets, s.target_cnt, KIT_ENTRY);
    TAP_OK(test_loop_run(kit.loop, &puts[1].done));
    TAP_ERR(SES_OK, puts[1].err);
    statement_free(&s);
    kit_record_free(&big[0]);
    kit_record_free(&big[1]);
    end();
    free_deletes();
}

static void test_delete_frees_quota(void)
{
    struct kit_put put;
    begin();
    kit_close(&kit);
    make_deletes();
    kit.params.inbox_quota_bytes = 20000;
    TAP_ERR(SES_OK, kit_open(&kit));
    struct kit_record big[3];
    for (uint32_t n = 0; n < 3; n++) {
        owner_record(&big[n], &owner, 50 + n, KIT_NOW_MS, 3, 9000);
    }
    struct statement s;
    statement_make(&s, &kit, &owner, big, 2, KIT_NOW_MS + 1000);
    for (uint32_t n = 0; n < 3; n++) {
        kit_put_start(&kit, &put, &big[n], KIT_ENTRY);
        TAP_OK(test_loop_run(kit.loop, &put.done));
        TAP_ERR(n < 2 ? SES_OK : SES_ERR_QUOTA, put.err);
    }
    /* one that frees less than it takes does not enter, one that frees more does */
    struct kit_record little;
    owner_record(&little, &owner, 60, KIT_NOW_MS, 3, 100);
    struct statement vain;
    statement_make(&vain, &kit, &owner, &little, 1, KIT_NOW_MS + 1000);
    kit_put_start_as(&kit, &put, &vain.record, vain.targets, vain.target_cnt, KIT_ENTRY);
    TAP_OK(test_loop_run(kit.loop, &put.done));
    TAP_ERR(SES_ERR_QUOTA, put.err);
    kit_put_start_as(&kit, &put, &s.record, s.targets, s.target_cnt, KIT_ENTRY);
    TAP_OK(test_loop_run(kit.loop, &put.done));
    TAP_ERR(SES_OK, put.err);
    statement_free(&vain);
    kit_record_free(&little);
    kit_put_start(&kit, &put, &big[2], KIT_ENTRY);
    TAP_OK(test_loop_run(kit.loop, &put.done));
    TAP_ERR(SES_OK, put.err);
    statement_free(&s);
    for (uint32_t n = 0; n < 3; n++) {
        kit_record_free(&big[n]);
    }
    end();
    free_deletes();
}

static void test_deletion_limits(void)
{
    struct ses_record_ids statement = {.header = {.ts_ms = KIT_NOW_MS, .ttl_class = 2}};
    struct ses_deletion target = {.ts_ms = KIT_NOW_MS, .ttl_class = 2};
    ses_segment_of(&statement.segment, 2, KIT_NOW_MS);
    TAP_OK(ses_deletion_allowed(&statement, &target));
    target.ts_ms = KIT_NOW_MS + 130000;
    TAP_OK(ses_deletion_allowed(&statement, &target));
    target.ts_ms = KIT_NOW_MS + 131000;
    TAP_OK(!ses_deletion_allowed(&statement, &target));
    target.ts_ms = KIT_NOW_MS;
    target.ttl_class = 3; /* would outlive it */
    TAP_OK(!ses_deletion_allowed(&statement, &target));
    target.ttl_class = 5;
    TAP_OK(!ses_deletion_allowed(&statement, &target));
}

/* ---- epochs ---- */
static void test_vouched_epochs(void)
{
    const struct ses_times times = {
        .genesis_s = KIT_GENESIS_S, .epoch_s = 3600, .settle_s = 600, .freeze_s = 330};
    const uint64_t frozen = ses_epoch_start_ms(&times, 101) - 330000;
    const uint64_t ts = frozen - 600000;
    struct ses_vouchers v = {0};
    /* k receipts of epoch 101 give 55 s each */
    for (unsigned k = 0; k <= 6; k++) {
        const unsigned steps = k < 5 ? k : 5;
        TAP_EQ(101, ses_vouched_epoch(&times, ts, frozen + steps * 55000, -1, &v));
        TAP_EQ(102, ses_vouched_epoch(&times, ts, frozen + steps * 55000 + 1, -1, &v));
        ses_vouchers_add(&v, 101);
    }
    TAP_EQ(SES_VOUCHERS_MAX, v.cnt);
    /* those of a later epoch say nothing about this one */
    struct ses_vouchers late = {0};
    ses_vouchers_add(&late, 103);
    ses_vouchers_add(&late, 102);
    TAP_EQ(102, late.epochs[0]);
    TAP_EQ(102, ses_vouched_epoch(&times, ts, frozen + 1, -1, &late));
    ses_vouchers_add(&late, 101);
    TAP_EQ(101, late.epochs[0]);
    TAP_EQ(101, ses_vouched_epoch(&times, ts, frozen + 55000, -1, &late));
    TAP_EQ(102, ses_vouched_epoch(&times, ts, frozen + 55001, -1, &late));
    /* what is sealed stays sealed, whoever vouches */
    TAP_EQ(102, ses_vouched_epoch(&times, ts, frozen - 1000, 101, &v));
}

int main(void)
{
    TAP_RUN(test_model);
    TAP_RUN(test_any_order);
    TAP_RUN(test_little_memory);
    TAP_RUN(test_segments_from_an_hour);
    TAP_RUN(test_children_and_leaves);
    TAP_RUN(test_proofs);
    TAP_RUN(test_chunks);
    TAP_RUN(test_deletes_any_order);
    TAP_RUN(test_delete_later);
    TAP_RUN(test_deletes_of_a_start_with_a_clock_ahead);
    TAP_RUN(test_message_after_its_delete);
    TAP_RUN(test_delete_frees_quota);
    TAP_RUN(test_frees_once);
    TAP_RUN(test_deletion_limits);
    TAP_RUN(test_vouched_epochs);
    return tap_done();
}
