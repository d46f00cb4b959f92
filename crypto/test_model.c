/* The reference model's vectors, as far as hashes, trees and ids go. */
#include "crypto/test_vectors.h"

#define PAYLOAD_MAX 90112u
#define CHUNK 256u
#define CHUNKS_MAX (PAYLOAD_MAX / CHUNK)

static json_t *model;

static const json_t *section(const char *name)
{
    const json_t *member = json_object_get(model, name);
    TAP_MUST(member != NULL);
    return member;
}

static void name32(struct ses_hash *out, const char *what, uint32_t i)
{
    uint8_t number[4];
    struct ses_blake3 b;
    ses_put_u32(number, i);
    ses_blake3_init(&b);
    ses_blake3_update(&b, what, strlen(what));
    ses_blake3_update(&b, number, sizeof number);
    ses_blake3_final(&b, out);
}

static void check_member(const json_t *object, const char *name, const void *got, size_t len)
{
    uint8_t want[64] = {0};
    member_fixed(object, name, want, len);
    TAP_BYTES(want, got, len);
}

/* ---- records ---- */

static size_t chunk_hashes(struct ses_hash *out, const uint8_t *payload, size_t len)
{
    const size_t whole = len / CHUNK;
    ses_b_batch(out, SES_TAG_CHUNK, payload, CHUNK, CHUNK, whole);
    if (len % CHUNK != 0) {
        ses_b(&out[whole], SES_TAG_CHUNK,
              SES_PARTS(SES_PART(payload + whole * CHUNK, len % CHUNK)));
    }
    return whole + (len % CHUNK != 0);
}

static void check_chunk_path(const json_t *record, const struct ses_hash *hashes, size_t cnt)
{
    struct ses_hash path[SES_MT_PATH_MAX];
    struct ses_hash root;
    size_t path_cnt = 0;
    const size_t index = (size_t)member_number(record, "chunk");
    const json_t *want = json_object_get(record, "chunk_path");
    if (cnt == 0) {
        TAP_EQ(0, json_array_size(want));
        return;
    }
    ses_mt_path(path, &path_cnt, hashes, cnt, index);
    TAP_MUST(path_cnt == json_array_size(want));
    for (size_t i = 0; i < path_cnt; i++) {
        char text[65];
        ses_hex_encode(text, path[i].bytes, 32);
        TAP_TEXT(json_string_value(json_array_get(want, i)), text);
    }
    TAP_ERR(SES_OK, ses_mt_root_of_path(&root, &hashes[index], index, cnt, path, path_cnt));
    check_member(record, "payload_root", root.bytes, 32);
}

static void test_records(void)
{
    static uint8_t payload[PAYLOAD_MAX];
    static struct ses_hash hashes[CHUNKS_MAX];
    static struct ses_hash scratch[CHUNKS_MAX];
    const json_t *records = section("records");
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i % 251);
    }
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        const size_t size = (size_t)member_number(record, "size");
        uint8_t header[48];
        uint8_t size_bytes[4];
        uint8_t inbox[33] = {0x07};
        struct ses_hash header_hash;
        struct ses_hash root;
        struct ses_hash id;
        TAP_MUST(size <= sizeof payload);
        const size_t cnt = chunk_hashes(hashes, payload, size);
        memcpy(scratch, hashes, sizeof scratch);
        ses_mt(&root, scratch, cnt);
        check_member(record, "payload_root", root.bytes, 32);
        check_chunk_path(record, hashes, cnt);
        member_fixed(record, "header", header, sizeof header);
        ses_b(&header_hash, SES_TAG_HEADER, SES_PARTS(SES_PART(header, sizeof header)));
        check_member(record, "header_hash", header_hash.bytes, 32);
        ses_put_u32(size_bytes, (uint32_t)size);
        ses_b(&id, SES_TAG_RECORD,
              SES_PARTS(SES_PART(&header_hash, 32), SES_PART(size_bytes, 4), SES_PART(&root, 32)));
        check_member(record, "id", id.bytes, 32);
        memcpy(inbox + 1, header + 16, 32);
        ses_blake3_hash(&id, inbox, sizeof inbox);
        check_member(record, "digest", id.bytes, 32);
    }
    TAP_OK(json_array_size(records) >= 5);
}

/* ---- receipts ---- */

static void receipt_leaf(struct ses_hash *out, const json_t *receipt, uint32_t i)
{
    uint8_t bytes[32 + 32 + 5 + 4 + 8 + 8 + 8];
    struct ses_writer w;
    struct ses_hash name;
    ses_writer_init(&w, bytes, sizeof bytes);
    name32(&name, "smf-id", i);
    ses_write_bytes(&w, name.bytes, 32);
    name32(&name, "smf-inbox", i); /* stands for a digest here */
    ses_write_bytes(&w, name.bytes, 32);
    member_fixed(receipt, "segment", ses_write_space(&w, 5), 5);
    ses_write_u32(&w, 5);
    ses_write_u64(&w, 70);
    ses_write_u64(&w, 77);
    ses_write_u64(&w, 1800000000000u + i);
    TAP_MUST(ses_writer_done(&w) == SES_OK && w.len == sizeof bytes);
    ses_b(out, SES_TAG_RECEIPT, SES_PARTS(SES_PART(bytes, sizeof bytes)));
}

static void check_receipt_path(const json_t *receipt, const struct ses_hash *leaves, size_t n)
{
    struct ses_hash path[SES_MT_PATH_MAX];
    size_t path_cnt = 0;
    const json_t *want = json_object_get(receipt, "path");
    ses_mt_path(path, &path_cnt, leaves, n, (size_t)member_number(receipt, "index"));
    TAP_MUST(path_cnt == json_array_size(want));
    for (size_t i = 0; i < path_cnt; i++) {
        char text[65];
        ses_hex_encode(text, path[i].bytes, 32);
        TAP_TEXT(json_string_value(json_array_get(want, i)), text);
    }
}

static void test_receipts(void)
{
    const json_t *receipts = section("receipts");
    for (size_t r = 0; r < json_array_size(receipts); r++) {
        const json_t *receipt = json_array_get(receipts, r);
        const size_t n = (size_t)member_number(receipt, "n");
        struct ses_hash leaves[256];
        struct ses_hash root;
        uint8_t statement[32 + 20 + 2 + 32];
        TAP_MUST(n <= SES_COUNT(leaves));
        for (size_t i = 0; i < n; i++) {
            char text[65];
            receipt_leaf(&leaves[i], receipt, (uint32_t)i);
            ses_hex_encode(text, leaves[i].bytes, 32);
            TAP_TEXT(json_string_value(json_array_get(json_object_get(receipt, "leaves"), i)),
                     text);
        }
        check_receipt_path(receipt, leaves, n);
        member_fixed(receipt, "statement", statement, sizeof statement);
        ses_mt(&root, leaves, n);
        TAP_EQ(n, (uint64_t)statement[52] << 8 | statement[53]);
        TAP_BYTES(statement + 54, root.bytes, 32);
    }
    TAP_OK(json_array_size(receipts) >= 4);
}

/* ---- a forest of one bucket: MS with its sums ---- */

struct summed_leaf {
    uint8_t key[64];
    struct ses_sum sum;
};

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, sizeof((struct summed_leaf *)0)->key);
}

static void bucket_root(struct ses_hash *out, const json_t *set, size_t cnt)
{
    struct summed_leaf leaves[16];
    struct ses_sum sums[16];
    struct ses_sum total;
    uint8_t numbers[16];
    for (size_t i = 0; i < cnt; i++) {
        size_t len;
        const json_t *text = json_array_get(json_object_get(set, "encoded_leaves"), i);
        uint8_t *bytes = hex_bytes(json_string_value(text), &len);
        TAP_MUST(len == 64 + 8 + 1 + 1 + 4);
        memcpy(leaves[i].key, bytes, sizeof leaves[i].key);
        leaves[i].sum = (struct ses_sum){.count = 1, .bytes = ses_get_u32(bytes + len - 4)};
        ses_b(&leaves[i].sum.hash, SES_TAG_LEAF, SES_PARTS(SES_PART(bytes, len)));
        ses_free(bytes);
    }
    qsort(leaves, cnt, sizeof leaves[0], by_key);
    for (size_t i = 0; i < cnt; i++) {
        sums[i] = leaves[i].sum;
    }
    ses_ms(&total, sums, cnt);
    ses_put_u64(numbers, total.count);
    ses_put_u64(numbers + 8, total.bytes);
    ses_b(out, SES_TAG_BUCKET, SES_PARTS(SES_PART(numbers, 16), SES_PART(&total.hash, 32)));
}

static void test_forest_buckets(void)
{
    const json_t *sets = json_object_get(section("forest"), "sets");
    unsigned ran = 0;
    for (size_t i = 0; i < json_array_size(sets); i++) {
        const json_t *set = json_array_get(sets, i);
        const size_t cnt = (size_t)member_number(set, "leaves");
        struct ses_hash root;
        if (cnt < 1 || cnt > 16) {
            continue;
        }
        bucket_root(&root, set, cnt);
        check_member(json_array_get(json_object_get(set, "segments"), 0), "hash", root.bytes, 32);
        ran++;
    }
    TAP_OK(ran >= 3);
}

/* ---- the chain ---- */

static void check_offsets(const json_t *plan, const uint8_t seed[32], uint32_t nodes)
{
    const json_t *want = json_object_get(plan, "offsets");
    struct ses_hash *hashes = ses_alloc(nodes, sizeof *hashes);
    TAP_MUST(hashes != NULL);
    for (uint32_t d = 1; d < nodes; d++) {
        uint8_t number[4];
        ses_put_u32(number, d);
        ses_h(&hashes[d], "offset", SES_PARTS(SES_PART(seed, 32), SES_PART(number, 4)));
    }
    for (size_t i = 0; i < json_array_size(want); i++) {
        uint32_t least = 0;
        for (uint32_t d = 1; d < nodes; d++) {
            if (least == 0 || memcmp(&hashes[d], &hashes[least], 32) < 0) {
                least = d;
            }
        }
        TAP_EQ((uint64_t)json_number_value(json_array_get(want, i)), least);
        memset(&hashes[least], 0xff, sizeof hashes[least]);
    }
    ses_free(hashes);
}

struct drawn_node {
    struct ses_hash draw;
    uint8_t id[20];
};

static int by_draw(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ses_hash));
}

static void check_order(const json_t *plan, const uint8_t seed[32], uint32_t nodes)
{
    struct drawn_node *order = ses_alloc(nodes, sizeof *order);
    struct ses_buf ids = {0};
    struct ses_hash hash;
    TAP_MUST(order != NULL);
    for (uint32_t i = 0; i < nodes; i++) {
        name32(&hash, "node", i);
        memcpy(order[i].id, hash.bytes, 20);
        ses_h(&order[i].draw, "testers", SES_PARTS(SES_PART(seed, 32), SES_PART(order[i].id, 20)));
    }
    qsort(order, nodes, sizeof *order, by_draw);
    for (uint32_t i = 0; i < nodes; i++) {
        TAP_MUST(ses_buf_append(&ids, order[i].id, 20) == SES_OK);
    }
    ses_sha256(&hash, SES_PARTS(SES_PART(ids.bytes, ids.len)));
    check_member(plan, "order_sha256", hash.bytes, 32);
    ses_buf_free(&ids);
    ses_free(order);
}

static void test_testers(void)
{
    const json_t *plans = json_object_get(section("registry"), "testers");
    for (size_t i = 0; i < json_array_size(plans); i++) {
        const json_t *plan = json_array_get(plans, i);
        uint8_t seed[32];
        member_fixed(plan, "seed", seed, sizeof seed);
        check_offsets(plan, seed, (uint32_t)member_number(plan, "nodes"));
        check_order(plan, seed, (uint32_t)member_number(plan, "nodes"));
    }
    TAP_OK(json_array_size(plans) >= 3);
}

static void test_audit(void)
{
    const json_t *audits = json_object_get(section("registry"), "audit");
    for (size_t i = 0; i < json_array_size(audits); i++) {
        const json_t *audit = json_array_get(audits, i);
        const json_t *indexes = json_object_get(audit, "leaf_index");
        const json_t *chunks = json_object_get(audit, "chunk_draw");
        uint8_t seed[32];
        uint8_t root[32];
        uint8_t node_id[20];
        member_fixed(audit, "seed", seed, sizeof seed);
        member_fixed(audit, "root", root, sizeof root);
        member_fixed(audit, "node_id", node_id, sizeof node_id);
        for (uint32_t j = 0; j < json_array_size(indexes); j++) {
            uint8_t number[4];
            struct ses_hash hash;
            ses_put_u32(number, j);
            const struct ses_part parts[] = {{seed, 32}, {node_id, 20}, {root, 32}, {number, 4}};
            ses_h(&hash, "audit", parts, SES_COUNT(parts));
            TAP_EQ((uint64_t)json_number_value(json_array_get(indexes, j)),
                   ses_draw("audit", member_number(audit, "count"), parts, SES_COUNT(parts)));
            /* came as a double, which rounds */
            TAP_OK((double)ses_get_u64(hash.bytes + 8) ==
                   json_number_value(json_array_get(chunks, j)));
        }
    }
    TAP_OK(json_array_size(audits) > 0);
}

static void test_registry(void)
{
    const json_t *registry = section("registry");
    const json_t *rows = json_object_get(json_object_get(registry, "registry_root"), "rows");
    struct ses_hash hashes[64];
    struct ses_hash chain_id;
    struct ses_hash root;
    uint8_t seed[32];
    uint8_t epoch[8] = {0};
    uint8_t parent[32];
    uint8_t numbers[8];
    member_fixed(registry, "seed_0", seed, 32);
    memset(parent, 0x11, sizeof parent);
    epoch[7] = 1;
    ses_h(&root, "epoch-seed",
          SES_PARTS(SES_PART(seed, 32), SES_PART(epoch, 8), SES_PART(parent, 32)));
    check_member(registry, "seed_1", root.bytes, 32);
    const size_t cnt = json_array_size(rows);
    TAP_MUST(cnt > 0 && cnt <= SES_COUNT(hashes));
    for (size_t i = 0; i < cnt; i++) {
        TAP_MUST(ses_hex_decode(&hashes[i], 32, json_string_value(json_array_get(rows, i))) ==
                 SES_OK);
    }
    ses_mt(&root, hashes, cnt);
    name32(&chain_id, "chain", 0);
    memset(epoch, 0, sizeof epoch);
    ses_put_u32(numbers, 1); /* one swarm for ten nodes */
    ses_put_u32(numbers + 4, (uint32_t)cnt);
    ses_b(&root, SES_TAG_REGISTRY,
          SES_PARTS(SES_PART(&chain_id, 32), SES_PART(epoch, 8), SES_PART(seed, 32),
                    SES_PART(numbers, 8), SES_PART(&root, 32)));
    check_member(json_object_get(registry, "registry_root"), "root", root.bytes, 32);
}

/* ---- ids ---- */

static void test_ids(void)
{
    const json_t *codec = section("codec");
    struct ses_kem_pk kem;
    struct ses_dsa_pk dsa;
    struct ses_session_id session_id;
    struct ses_node_id node_id;
    struct ses_account account;
    char text[SES_CB58_TEXT_MAX];
    uint8_t vm_id[32] = "sessionvm";
    memset(&kem, 1, sizeof kem);
    memset(&dsa, 2, sizeof dsa);
    ses_session_id_of(&session_id, &kem, &dsa);
    ses_session_id_text(text, &session_id);
    TAP_TEXT(member_text(codec, "session_id"), text);
    ses_node_id_of(&node_id, &dsa);
    check_member(codec, "node_id", node_id.bytes, 20);
    ses_node_id_text(text, &node_id);
    TAP_TEXT(member_text(codec, "node_id_text"), text);
    ses_account_of(&account, &dsa);
    check_member(codec, "account", account.bytes, 20);
    ses_account_text(text, &account);
    TAP_TEXT(member_text(codec, "account_text"), text);
    TAP_ERR(SES_OK, ses_cb58_encode(text, vm_id, sizeof vm_id));
    TAP_TEXT(member_text(codec, "vm_id"), text);
}

static void test_load(void)
{
    model = model_load();
}

int main(void)
{
    TAP_RUN(test_load);
    if (model != NULL) {
        TAP_RUN(test_records);
        TAP_RUN(test_receipts);
        TAP_RUN(test_forest_buckets);
        TAP_RUN(test_testers);
        TAP_RUN(test_audit);
        TAP_RUN(test_registry);
        TAP_RUN(test_ids);
    }
    json_decref(model);
    return tap_done();
}
