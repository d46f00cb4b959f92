/* Proofs about a forest, one form for every question (storage page; grammar in docs/protocol.md):
 * the forest in preorder with all that the question does not need closed to its sum. One proof may
 * answer several ranges of keys and several positions.
 *
 *     prover:   ses_forest_prove(forest, question)  ->  bytes
 *     checker:  ses_forest_check(bytes, swarm, epoch, root)  ->  opened: what the bytes show
 *               ses_opened_range / ses_opened_key / ses_opened_at answer from what is shown, and
 *               refuse where the proof leaves room for another answer
 *
 * Checking needs neither a forest nor memory from the system; its work is linear in the length of
 * the proof. Proofs come from anybody. */
#ifndef SES_CRYPTO_PROOF_H
#define SES_CRYPTO_PROOF_H

#include "crypto/forest.h"

/* Keys low..high of one segment, both included. One key: is it there? The keys of one inbox: are
 * these all? */
struct ses_forest_range {
    struct ses_segment_id segment;
    struct ses_leaf_key low;
    struct ses_leaf_key high;
};
void ses_forest_range_key(struct ses_forest_range *out, const struct ses_segment_id *segment,
                          const struct ses_leaf_key *key);
/* All keys of the inbox with this digest. */
void ses_forest_range_slot(struct ses_forest_range *out, const struct ses_segment_id *segment,
                           const struct ses_hash *digest);

struct ses_forest_question {
    const struct ses_forest_range *ranges;
    size_t range_cnt;
    const uint64_t *positions; /* in the whole forest: by segment, then by key; ascending */
    size_t position_cnt;
};
/* Appends to `out`. SES_ERR_INVALID: positions that do not ascend, a range with low > high.
 * SES_ERR_NOT_FOUND: a position beyond the end. SES_ERR_AGAIN: the question needs a segment of
 * which only the sum is here: *missing (NULL allowed) says which, open it and ask again. On an
 * error `out` is as it was. */
SES_CHECKED enum ses_err ses_forest_prove(struct ses_forest *forest, struct ses_buf *out,
                                          const struct ses_forest_question *question,
                                          struct ses_segment_id *missing);

/* What a checked proof shows; only ses_forest_check makes one. Borrows the proof. */
struct ses_opened {
    const uint8_t *proof;
    size_t len;
    uint64_t count; /* of the whole forest, as its root says */
    uint64_t bytes;
};
/* SES_OK: the proof is one about the forest with this root. SES_ERR_MALFORMED, SES_ERR_TRUNCATED:
 * it is no proof; SES_ERR_CHECKSUM: it is about another forest. */
SES_CHECKED enum ses_err ses_forest_check(struct ses_opened *out, const struct ses_hash *root,
                                          uint32_t swarm, uint64_t epoch, const uint8_t *proof,
                                          size_t len);
/* All leaves of a range, ascending. `leaves` has room for *cnt; *cnt becomes how many there are.
 * SES_ERR_CLOSED: the proof leaves room for others; SES_ERR_MALFORMED: leaves that cannot stand
 * where they do; SES_ERR_FULL: more than there is room for, *cnt says how many.
 * Leaves are shown as their owner committed to them: kind and size may be any number. */
SES_CHECKED enum ses_err ses_opened_range(const struct ses_opened *opened,
                                          const struct ses_forest_range *range,
                                          struct ses_leaf *leaves, size_t *cnt);
/* Whether a key is in the segment, and its leaf. Errors as above. */
SES_CHECKED enum ses_err ses_opened_key(const struct ses_opened *opened,
                                        const struct ses_segment_id *segment,
                                        const struct ses_leaf_key *key, bool *present,
                                        struct ses_leaf *leaf);
/* The leaf at a position of the whole forest, and its segment. SES_ERR_CLOSED: not shown;
 * SES_ERR_NOT_FOUND: beyond the end; SES_ERR_MALFORMED: a leaf that cannot stand there. */
SES_CHECKED enum ses_err ses_opened_at(const struct ses_opened *opened, uint64_t position,
                                       struct ses_segment_id *segment, struct ses_leaf *leaf);

#endif
