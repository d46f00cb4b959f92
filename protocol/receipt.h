/* Receipts: one ML-DSA signature over a batch (storage page, Receipts). */
#ifndef SES_PROTOCOL_RECEIPT_H
#define SES_PROTOCOL_RECEIPT_H

#include "protocol/record.h"

#define SES_RECEIPT_BATCH_MAX 256u
#define SES_RECEIPT_PATH_MAX 8u
#define SES_RECEIPT_LEAF_BYTES (32u + 32u + 5u + 4u + 8u + 8u + 8u)
#define SES_RECEIPT_BYTES_MAX                                                                      \
    (SES_RECEIPT_LEAF_BYTES + 4u + 1u + 32u * SES_RECEIPT_PATH_MAX + 20u + SES_DSA_SIG_BYTES)

/* The promise: this node, in this seat, holds that record from admit_epoch on. */
struct ses_receipt_leaf {
    struct ses_hash id;
    struct ses_hash digest;
    struct ses_segment segment;
    uint32_t swarm;
    uint64_t swarm_from_epoch;
    uint64_t admit_epoch;
    uint64_t time_ms;
};
struct ses_receipt {
    struct ses_receipt_leaf leaf;
    uint16_t index;
    uint16_t n;
    uint8_t path_cnt;
    struct ses_hash path[SES_RECEIPT_PATH_MAX];
    struct ses_node_id node_id;
    struct ses_dsa_sig signature;
};
void ses_receipt_write(struct ses_writer *w, const struct ses_receipt *receipt);
void ses_receipt_read(struct ses_reader *r, struct ses_receipt *receipt);
/* chain_id || node_id || u16 n || MT: the signed message, 86 bytes. */
#define SES_RECEIPT_STATEMENT_BYTES 86u
void ses_receipt_statement(uint8_t out[SES_RECEIPT_STATEMENT_BYTES],
                           const struct ses_hash *chain_id, const struct ses_node_id *node_id,
                           uint16_t n, const struct ses_hash *mt);
void ses_receipt_leaf_hash(struct ses_hash *out, const struct ses_receipt_leaf *leaf);
/* Signs a batch (1 <= n <= 256) and fills `out[n]`. CPU heavy (one ML-DSA signature): worker pool.
 */
SES_CHECKED enum ses_err
ses_receipts_sign(struct ses_receipt *out, const struct ses_receipt_leaf *leaves, uint16_t n,
                  const struct ses_hash *chain_id, const struct ses_node_id *node_id,
                  const struct ses_dsa_private *key, const struct ses_random *random);
/* `pk` is the registry's key of receipt->node_id. ERR_SIGNATURE, ERR_MALFORMED. One ML-DSA
 * verification. */
SES_CHECKED enum ses_err ses_receipt_verify(const struct ses_receipt *receipt,
                                            const struct ses_hash *chain_id,
                                            const struct ses_dsa_pk *pk);
/* Receipts of one batch share a statement and its signature: with a memo each is verified once.
 * What proved right last is remembered, what did not is not. Zeroed to begin with; one thread. */
#define SES_RECEIPT_MEMO_MAX 64u
struct ses_receipt_memo {
    struct ses_hash proven[SES_RECEIPT_MEMO_MAX]; /* of statement and signature */
    uint32_t cnt;                                 /* remembered ever; the oldest gives way */
    uint32_t verified;                            /* signatures that were looked at */
};
SES_CHECKED enum ses_err ses_receipt_verify_once(const struct ses_receipt *receipt,
                                                 const struct ses_hash *chain_id,
                                                 const struct ses_dsa_pk *pk,
                                                 struct ses_receipt_memo *memo);
/* W = floor(2m/3) + 1 of m Active members. */
static inline uint32_t ses_write_quorum(uint32_t members)
{
    return 2 * members / 3 + (SES_MUTANT(QUORUM_LESS_ONE) ? 0 : 1);
}

#endif
