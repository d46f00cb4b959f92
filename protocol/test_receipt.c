#include "protocol/test_vectors.h"

#define TIME_MS 1800000000000u

static struct ses_receipt_leaf leaves[SES_RECEIPT_BATCH_MAX];
static struct ses_receipt receipts[SES_RECEIPT_BATCH_MAX];

/* The leaves of the model. */
static void make_leaves(uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        leaves[i] = (struct ses_receipt_leaf){.id = model_name("smf-id", i),
                                              .digest = model_name("smf-inbox", i),
                                              .swarm = 5,
                                              .swarm_from_epoch = 70,
                                              .admit_epoch = 77,
                                              .time_ms = TIME_MS + i};
        ses_segment_of(&leaves[i].segment, 3, TIME_MS);
    }
}

static struct ses_dsa_private *make_key(struct ses_dsa_pk *pk)
{
    static const struct ses_dsa_seed seed = {{7}};
    struct ses_dsa_private *key = NULL;
    TAP_MUST(ses_dsa_private_new(&key, &seed) == SES_OK);
    ses_dsa_private_pk(key, pk);
    return key;
}

static void check_vector(const json_t *v, const struct ses_dsa_private *key)
{
    static const struct ses_hash chain_id;
    static const struct ses_node_id node_id;
    const uint16_t n = (uint16_t)json_u64(v, "n");
    const uint16_t index = (uint16_t)json_u64(v, "index");
    const json_t *path = json_object_get(v, "path");
    struct ses_hash hashes[16], root, want;
    uint8_t statement[SES_RECEIPT_STATEMENT_BYTES], want_statement[SES_RECEIPT_STATEMENT_BYTES];
    make_leaves(n);
    for (uint16_t i = 0; i < n; i++) {
        ses_receipt_leaf_hash(&hashes[i], &leaves[i]);
        const char *text = json_string_value(json_array_get(json_object_get(v, "leaves"), i));
        TAP_MUST(text != NULL && ses_hex_decode(want.bytes, 32, text) == SES_OK);
        TAP_BYTES(want.bytes, hashes[i].bytes, 32);
    }
    ses_mt(&root, hashes, n);
    ses_receipt_statement(statement, &chain_id, &node_id, n, &root);
    json_bytes(v, "statement", want_statement, sizeof want_statement);
    TAP_BYTES(want_statement, statement, sizeof statement);
    TAP_ERR(SES_OK, ses_receipts_sign(receipts, leaves, n, &chain_id, &node_id, key, tap_random()));
    TAP_EQ(json_array_size(path), receipts[index].path_cnt);
    for (size_t i = 0; i < json_array_size(path); i++) {
        const char *text = json_string_value(json_array_get(path, i));
        TAP_MUST(ses_hex_decode(want.bytes, 32, text) == SES_OK);
        TAP_BYTES(want.bytes, receipts[index].path[i].bytes, 32);
    }
}

static void test_receipts_of_the_model(void)
{
    struct ses_dsa_pk pk;
    struct ses_dsa_private *key = make_key(&pk);
    json_t *root = model_vectors();
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(root, "receipts"), i, v)
    {
        check_vector(v, key);
    }
    TAP_OK(root == NULL || i > 0);
    json_decref(root);
    ses_dsa_private_free(key);
}

static void roundtrip(const struct ses_receipt *receipt)
{
    static uint8_t bytes[SES_RECEIPT_BYTES_MAX];
    struct ses_receipt again;
    struct ses_writer w;
    struct ses_reader r;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_receipt_write(&w, receipt);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    ses_reader_init(&r, bytes, w.len);
    ses_receipt_read(&r, &again);
    TAP_ERR(SES_OK, ses_reader_done(&r));
    TAP_EQ(receipt->path_cnt, again.path_cnt);
    TAP_BYTES(receipt->path, again.path, receipt->path_cnt * sizeof again.path[0]);
    TAP_BYTES(&receipt->signature, &again.signature, sizeof again.signature);
    TAP_EQ(receipt->leaf.time_ms, again.leaf.time_ms);
    TAP_EQ(receipt->leaf.segment.hour, again.leaf.segment.hour);
}

/* One verification for the receipts of a batch; nothing false is remembered or let through. */
static void test_verified_once(void)
{
    static struct ses_receipt_memo memo;
    struct ses_dsa_pk pk;
    struct ses_dsa_private *key = make_key(&pk);
    struct ses_hash chain_id = model_name("chain", 0);
    struct ses_node_id node_id;
    ses_node_id_of(&node_id, &pk);
    make_leaves(100);
    for (uint32_t round = 1; round <= 2; round++) {
        TAP_ERR(SES_OK,
                ses_receipts_sign(receipts, leaves, 100, &chain_id, &node_id, key, tap_random()));
        for (uint16_t i = 0; i < 100; i++) {
            TAP_ERR(SES_OK, ses_receipt_verify_once(&receipts[i], &chain_id, &pk, &memo));
        }
        TAP_EQ(round, memo.verified);
    }
    struct ses_receipt bad = receipts[7];
    bad.leaf.time_ms ^= 1;
    TAP_ERR(SES_ERR_SIGNATURE, ses_receipt_verify_once(&bad, &chain_id, &pk, &memo));
    TAP_ERR(SES_ERR_SIGNATURE, ses_receipt_verify_once(&bad, &chain_id, &pk, &memo));
    bad = receipts[7];
    bad.signature.bytes[100] ^= 1;
    TAP_ERR(SES_ERR_SIGNATURE, ses_receipt_verify_once(&bad, &chain_id, &pk, &memo));
    bad = receipts[7];
    bad.node_id.bytes[0] ^= 1;
    TAP_ERR(SES_ERR_SIGNATURE, ses_receipt_verify_once(&bad, &chain_id, &pk, &memo));
    TAP_EQ(6, memo.verified);
    TAP_EQ(2, memo.cnt);
    for (uint32_t i = 0; i < SES_RECEIPT_MEMO_MAX; i++) { /* the oldest gives way */
        make_leaves(1);
        leaves[0].time_ms = i;
        TAP_ERR(SES_OK, ses_receipts_sign(&bad, leaves, 1, &chain_id, &node_id, key, tap_random()));
        TAP_ERR(SES_OK, ses_receipt_verify_once(&bad, &chain_id, &pk, &memo));
    }
    TAP_EQ(6 + SES_RECEIPT_MEMO_MAX, memo.verified);
    TAP_ERR(SES_OK, ses_receipt_verify_once(&receipts[7], &chain_id, &pk, &memo));
    TAP_EQ(7 + SES_RECEIPT_MEMO_MAX, memo.verified);
    ses_dsa_private_free(key);
}

/* Every size of batch: all receipts have the path that their place wants. */
static void test_batches(void)
{
    static const uint16_t sizes[] = {1, 2, 3, 5, 6, 7, 8, 9, 100, 255, 256};
    struct ses_dsa_pk pk;
    struct ses_dsa_private *key = make_key(&pk);
    struct ses_hash chain_id = model_name("chain", 0);
    struct ses_node_id node_id;
    ses_node_id_of(&node_id, &pk);
    make_leaves(SES_RECEIPT_BATCH_MAX);
    for (size_t k = 0; k < SES_COUNT(sizes); k++) {
        const uint16_t n = sizes[k];
        TAP_ERR(SES_OK,
                ses_receipts_sign(receipts, leaves, n, &chain_id, &node_id, key, tap_random()));
        for (uint16_t i = 0; i < n; i++) {
            roundtrip(&receipts[i]);
        }
        TAP_ERR(SES_OK, ses_receipt_verify(&receipts[0], &chain_id, &pk));
        TAP_ERR(SES_OK, ses_receipt_verify(&receipts[n / 2], &chain_id, &pk));
        TAP_ERR(SES_OK, ses_receipt_verify(&receipts[n - 1], &chain_id, &pk));
    }
    TAP_ERR(SES_ERR_INVALID,
            ses_receipts_sign(receipts, leaves, 0, &chain_id, &node_id, key, tap_random()));
    TAP_ERR(SES_ERR_INVALID,
            ses_receipts_sign(receipts, leaves, 257, &chain_id, &node_id, key, tap_random()));
    leaves[0].segment.ttl_class = 5;
    TAP_ERR(SES_ERR_INVALID,
            ses_receipts_sign(receipts, leaves, 1, &chain_id, &node_id, key, tap_random()));
    ses_dsa_private_free(key);
}

/* The paths of a batch are those of crypto's MT, for every size. */
static void test_paths(void)
{
    struct ses_dsa_pk pk;
    struct ses_dsa_private *key = make_key(&pk);
    static const struct ses_hash chain_id;
    static const struct ses_node_id node_id;
    struct ses_hash hashes[SES_RECEIPT_BATCH_MAX], path[SES_MT_PATH_MAX];
    make_leaves(SES_RECEIPT_BATCH_MAX);
    for (uint16_t i = 0; i < SES_RECEIPT_BATCH_MAX; i++) {
        ses_receipt_leaf_hash(&hashes[i], &leaves[i]);
    }
    for (uint16_t n = 1; n <= 70; n++) {
        TAP_ERR(SES_OK,
                ses_receipts_sign(receipts, leaves, n, &chain_id, &node_id, key, tap_random()));
        for (uint16_t i = 0; i < n; i++) {
            size_t cnt = 0;
            ses_mt_path(path, &cnt, hashes, n, i);
            TAP_EQ(cnt, receipts[i].path_cnt);
            TAP_BYTES(path, receipts[i].path, cnt * sizeof path[0]);
        }
        TAP_ERR(SES_OK, ses_receipt_verify(&receipts[n - 1], &chain_id, &pk));
    }
    ses_dsa_private_free(key);
}

static void test_forgeries(void)
{
    struct ses_dsa_pk pk;
    struct ses_dsa_private *key = make_key(&pk);
    struct ses_hash chain_id = model_name("chain", 0);
    struct ses_node_id node_id;
    struct ses_receipt bad;
    ses_node_id_of(&node_id, &pk);
    make_leaves(5);
    TAP_ERR(SES_OK, ses_receipts_sign(receipts, leaves, 5, &chain_id, &node_id, key, tap_random()));
#define FORGED(want, change)                                                                       \
    do {                                                                                           \
        bad = receipts[2];                                                                         \
        change;                                                                                    \
        TAP_ERR(want, ses_receipt_verify(&bad, &chain_id, &pk));                                   \
    } while (0)
    FORGED(SES_OK, (void)0);
    FORGED(SES_ERR_SIGNATURE, bad.leaf.id.bytes[0] ^= 1);
    FORGED(SES_ERR_SIGNATURE, bad.leaf.digest.bytes[0] ^= 1);
    FORGED(SES_ERR_SIGNATURE, bad.leaf.segment.hour++);
    FORGED(SES_ERR_SIGNATURE, bad.leaf.swarm++);
    FORGED(SES_ERR_SIGNATURE, bad.leaf.swarm_from_epoch++);
    FORGED(SES_ERR_SIGNATURE, bad.leaf.admit_epoch--);
    FORGED(SES_ERR_SIGNATURE, bad.leaf.time_ms++);
    FORGED(SES_ERR_SIGNATURE, bad.index = 3);
    FORGED(SES_ERR_SIGNATURE, bad.n = 6);
    FORGED(SES_ERR_SIGNATURE, bad.path[1].bytes[0] ^= 1);
    FORGED(SES_ERR_SIGNATURE, bad.node_id.bytes[0] ^= 1);
    FORGED(SES_ERR_SIGNATURE, bad.signature.bytes[0] ^= 1);
    FORGED(SES_ERR_MALFORMED, bad.path_cnt = 2);
    FORGED(SES_ERR_MALFORMED, bad.path_cnt = 4);
    FORGED(SES_ERR_MALFORMED, bad.path_cnt = 200);
    FORGED(SES_ERR_MALFORMED, bad.index = 5);
    FORGED(SES_ERR_MALFORMED, bad.n = 0);
    FORGED(SES_ERR_MALFORMED, bad.n = 257);
    FORGED(SES_ERR_MALFORMED, bad.leaf.segment.ttl_class = 5);
#undef FORGED
    chain_id.bytes[0] ^= 1;
    TAP_ERR(SES_ERR_SIGNATURE, ses_receipt_verify(&receipts[2], &chain_id, &pk));
    ses_dsa_private_free(key);
}

/* What the decoder accepts has exactly the path length of crypto's own check. */
static void test_path_lengths(void)
{
    static uint8_t bytes[SES_RECEIPT_BYTES_MAX];
    static struct ses_receipt receipt;
    struct ses_hash leaf = {{1}}, root;
    for (uint16_t n = 1; n <= 70; n++) {
        for (uint16_t index = 0; index < n; index++) {
            unsigned fits = 0;
            for (uint8_t cnt = 0; cnt <= SES_RECEIPT_PATH_MAX; cnt++) {
                struct ses_writer w;
                receipt.index = index;
                receipt.n = n;
                receipt.path_cnt = cnt;
                ses_writer_init(&w, bytes, sizeof bytes);
                ses_receipt_write(&w, &receipt);
                const bool writes = ses_writer_done(&w) == SES_OK;
                const bool checks =
                    ses_mt_root_of_path(&root, &leaf, index, n, receipt.path, cnt) == SES_OK;
                TAP_OK(writes == checks);
                fits += writes;
            }
            TAP_EQ(1, fits);
        }
    }
}

static void test_quorum(void)
{
    TAP_EQ(7, ses_write_quorum(10));
    TAP_EQ(1, ses_write_quorum(1));
    TAP_EQ(2, ses_write_quorum(2));
    TAP_EQ(3, ses_write_quorum(3));
    TAP_EQ(3, ses_write_quorum(4));
}

int main(void)
{
    TAP_RUN(test_receipts_of_the_model);
    TAP_RUN(test_batches);
    TAP_RUN(test_verified_once);
    TAP_RUN(test_paths);
    TAP_RUN(test_forgeries);
    TAP_RUN(test_path_lengths);
    TAP_RUN(test_quorum);
    return tap_done();
}
