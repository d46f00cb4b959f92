/* One ML-DSA signature over the Merkle tree of up to 256 promises. */
#include "protocol/receipt_internal.h"

#include "protocol/protocol_internal.h"

#define LANES 8u
#define LEVELS_MAX (SES_RECEIPT_PATH_MAX + 1u)
#define NODES_MAX (2u * SES_RECEIPT_BATCH_MAX + LEVELS_MAX)
_Static_assert(SES_RECEIPT_BATCH_MAX == 1u << SES_RECEIPT_PATH_MAX, "a path to every leaf");

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

/* All levels of MT over a batch, the leaves first: 256 paths at the price of one root. A node of a
 * level is the hash of two neighbours of the one below; an odd last one moves up unchanged, which
 * is the shape of RFC 6962. */
struct tree {
    struct ses_hash nodes[NODES_MAX];
    struct {
        unsigned at;
        unsigned cnt;
    } levels[LEVELS_MAX];
    unsigned level_cnt;
};

static void grow(struct tree *t, const struct ses_receipt_leaf *leaves, uint16_t n)
{
    unsigned at = 0;
    unsigned cnt = n;
    hash_leaves(t->nodes, leaves, n);
    for (t->level_cnt = 0;; t->level_cnt++) {
        SES_ASSERT(t->level_cnt < LEVELS_MAX && at + cnt <= NODES_MAX);
        t->levels[t->level_cnt].at = at;
        t->levels[t->level_cnt].cnt = cnt;
        if (cnt == 1) {
            t->level_cnt++;
            return;
        }
        const struct ses_hash *from = &t->nodes[at];
        struct ses_hash *to = &t->nodes[at + cnt];
        ses_b_batch(to, SES_TAG_MT, from->bytes, 64, 64, cnt / 2);
        if (cnt % 2 == 1) {
            to[cnt / 2] = from[cnt - 1];
        }
        at += cnt;
        cnt = (cnt + 1) / 2;
    }
}

static const struct ses_hash *root_of(const struct tree *t)
{
    return &t->nodes[t->levels[t->level_cnt - 1].at];
}

static void fill(struct ses_receipt *out, const struct ses_receipt_leaf *leaf, const struct tree *t,
                 uint16_t index)
{
    unsigned place = index;
    memset(out, 0, sizeof *out);
    out->leaf = *leaf;
    out->index = index;
    out->n = (uint16_t)t->levels[0].cnt;
    for (unsigned level = 0; level + 1 < t->level_cnt; level++, place /= 2) {
        if ((place ^ 1) < t->levels[level].cnt) {
            SES_ASSERT(out->path_cnt < SES_RECEIPT_PATH_MAX);
            out->path[out->path_cnt++] = t->nodes[t->levels[level].at + (place ^ 1)];
        }
    }
}

enum ses_err ses_receipts_sign(struct ses_receipt *out, const struct ses_receipt_leaf *leaves,
                               uint16_t n, const struct ses_hash *chain_id,
                               const struct ses_node_id *node_id, const struct ses_dsa_private *key,
                               const struct ses_random *random)
{
    SES_TRY(check_batch(leaves, n));
    struct tree tree;
    uint8_t statement[SES_RECEIPT_STATEMENT_BYTES];
    struct ses_dsa_sig signature;
    grow(&tree, leaves, n);
    ses_receipt_statement(statement, chain_id, node_id, n, root_of(&tree));
    SES_TRY(ses_sign(&signature, key, SES_DOMAIN_RECEIPT, statement, sizeof statement, random));
    for (uint16_t i = 0; i < n; i++) {
        fill(&out[i], &leaves[i], &tree, i);
        out[i].node_id = *node_id;
        out[i].signature = signature;
    }
    return SES_OK;
}

static enum ses_err statement_of(uint8_t out[SES_RECEIPT_STATEMENT_BYTES],
                                 const struct ses_receipt *receipt, const struct ses_hash *chain_id)
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
    ses_receipt_statement(out, chain_id, &receipt->node_id, receipt->n, &root);
    return SES_OK;
}

static bool is_proven(const struct ses_receipt_memo *memo, const struct ses_hash *name)
{
    const uint32_t cnt = memo->cnt < SES_RECEIPT_MEMO_MAX ? memo->cnt : SES_RECEIPT_MEMO_MAX;
    for (uint32_t i = 0; i < cnt; i++) {
        if (ses_equal(&memo->proven[i], name, sizeof *name)) {
            return true;
        }
    }
    return false;
}

enum ses_err ses_receipt_verify_once(const struct ses_receipt *receipt,
                                     const struct ses_hash *chain_id, const struct ses_dsa_pk *pk,
                                     struct ses_receipt_memo *memo)
{
    uint8_t statement[SES_RECEIPT_STATEMENT_BYTES];
    struct ses_blake3 hasher;
    struct ses_hash name;
    SES_TRY(statement_of(statement, receipt, chain_id));
    ses_blake3_init(&hasher);
    ses_blake3_update(&hasher, statement, sizeof statement);
    ses_blake3_update(&hasher, &receipt->signature, sizeof receipt->signature);
    ses_blake3_final(&hasher, &name);
    if (is_proven(memo, &name)) {
        return SES_OK;
    }
    memo->verified++;
    SES_TRY(ses_verify(pk, SES_DOMAIN_RECEIPT, statement, sizeof statement, &receipt->signature));
    memo->proven[memo->cnt++ % SES_RECEIPT_MEMO_MAX] = name;
    return SES_OK;
}

enum ses_err ses_receipt_verify(const struct ses_receipt *receipt, const struct ses_hash *chain_id,
                                const struct ses_dsa_pk *pk)
{
    uint8_t statement[SES_RECEIPT_STATEMENT_BYTES];
    SES_TRY(statement_of(statement, receipt, chain_id));
    return ses_verify(pk, SES_DOMAIN_RECEIPT, statement, sizeof statement, &receipt->signature);
}
