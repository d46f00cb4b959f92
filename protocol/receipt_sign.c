/* One ML-DSA signature over the Merkle tree of up to 256 promises. */
#include "protocol/receipt_internal.h"

#include "protocol/protocol_internal.h"

#define LANES 8u

void ses_receipt_statement(uint8_t out[SES_RECEIPT_STATEMENT_BYTES],
                           const struct ses_hash *chain_id, const struct ses_node_id *node_id,
                           uint16_t n, const struct ses_hash *mt)
{
    memcpy(out, chain_id->bytes, 32);
    memcpy(out + 32, node_id->bytes, 20);
    ses_put_u16(out + 52, n);
    memcpy(out + 54, mt->bytes, 32);
}

static void hash_leaves(struct ses_hash *out, const struct ses_receipt_leaf *leaves, uint16_t n)
{
    uint8_t bytes[LANES * SES_RECEIPT_LEAF_BYTES];
    for (unsigned at = 0; at < n; at += LANES) {
        const unsigned cnt = n - at < LANES ? n - at : LANES;
        struct ses_writer w;
        ses_writer_init(&w, bytes, sizeof bytes);
        for (unsigned i = 0; i < cnt; i++) {
            ses_receipt_leaf_write(&w, &leaves[at + i]);
        }
        SES_ASSERT(ses_writer_done(&w) == SES_OK);
        ses_b_batch(out + at, SES_TAG_RECEIPT, bytes, SES_RECEIPT_LEAF_BYTES,
                    SES_RECEIPT_LEAF_BYTES, cnt);
    }
}

static enum ses_err check_batch(const struct ses_receipt_leaf *leaves, uint16_t n)
{
    SES_REQUIRE(n >= 1 && n <= SES_RECEIPT_BATCH_MAX, SES_ERR_INVALID);
    for (unsigned i = 0; i < n; i++) {
        SES_REQUIRE(leaves[i].segment.ttl_class < SES_TTL_CLASS_CNT, SES_ERR_INVALID);
    }
    return SES_OK;
}

static void fill(struct ses_receipt *out, const struct ses_receipt_leaf *leaf,
                 const struct ses_hash *hashes, uint16_t index, uint16_t n)
{
    struct ses_hash path[SES_MT_PATH_MAX];
    size_t path_cnt = 0;
    ses_mt_path(path, &path_cnt, hashes, n, index);
    SES_ASSERT(path_cnt <= SES_RECEIPT_PATH_MAX);
    memset(out, 0, sizeof *out);
    out->leaf = *leaf;
    out->index = index;
    out->n = n;
    out->path_cnt = (uint8_t)path_cnt;
    memcpy(out->path, path, path_cnt * sizeof path[0]);
}

enum ses_err ses_receipts_sign(struct ses_receipt *out, const struct ses_receipt_leaf *leaves,
                               uint16_t n, const struct ses_hash *chain_id,
                               const struct ses_node_id *node_id, const struct ses_dsa_private *key,
                               const struct ses_random *random)
{
    SES_TRY(check_batch(leaves, n));
    struct ses_hash hashes[SES_RECEIPT_BATCH_MAX];
    struct ses_hash scratch[SES_RECEIPT_BATCH_MAX];
    struct ses_hash root;
    hash_leaves(hashes, leaves, n);
    memcpy(scratch, hashes, n * sizeof hashes[0]);
    ses_mt(&root, scratch, n);
    uint8_t statement[SES_RECEIPT_STATEMENT_BYTES];
    struct ses_dsa_sig signature;
    ses_receipt_statement(statement, chain_id, node_id, n, &root);
    SES_TRY(ses_sign(&signature, key, SES_DOMAIN_RECEIPT, statement, sizeof statement, random));
    for (uint16_t i = 0; i < n; i++) {
        fill(&out[i], &leaves[i], hashes, i, n);
        out[i].node_id = *node_id;
        out[i].signature = signature;
    }
    return SES_OK;
}

enum ses_err ses_receipt_verify(const struct ses_receipt *receipt, const struct ses_hash *chain_id,
                                const struct ses_dsa_pk *pk)
{
    SES_REQUIRE(receipt->n >= 1 && receipt->n <= SES_RECEIPT_BATCH_MAX, SES_ERR_MALFORMED);
    SES_REQUIRE(receipt->index < receipt->n && receipt->path_cnt <= SES_RECEIPT_PATH_MAX,
                SES_ERR_MALFORMED);
    SES_REQUIRE(receipt->leaf.segment.ttl_class < SES_TTL_CLASS_CNT, SES_ERR_MALFORMED);
    struct ses_hash leaf;
    struct ses_hash root;
    ses_receipt_leaf_hash(&leaf, &receipt->leaf);
    SES_TRY(ses_mt_root_of_path(&root, &leaf, receipt->index, receipt->n, receipt->path,
                                receipt->path_cnt));
    uint8_t statement[SES_RECEIPT_STATEMENT_BYTES];
    ses_receipt_statement(statement, chain_id, &receipt->node_id, receipt->n, &root);
    return ses_verify(pk, SES_DOMAIN_RECEIPT, statement, sizeof statement, &receipt->signature);
}
