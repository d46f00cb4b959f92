/* Deletes (storage page): by a signed statement the owner of an inbox takes records back. The
 * statement is the payload of a record of kind 1, whose header follows from it: one signature makes
 * one record, whoever carries it.
 *
 *     payload = u16 n, n x (header 48, u32 size, payload_root 32), u64 time_ms, KEM pk, DSA pk,
 *               signature
 *     header  = kind 1, namespace -11, ts_ms = time_ms, the inbox of the targets, and the least
 *               ttl_class with which the statement outlives every one of them
 */
#ifndef SES_PROTOCOL_DELETE_H
#define SES_PROTOCOL_DELETE_H

#include "protocol/record.h"

#define SES_NS_DELETE (-11) /* the owner's; pages hold messages only */
#define SES_DELETE_TARGETS_MAX 64u
#define SES_DELETE_TARGET_BYTES (SES_RECORD_HEADER_BYTES + 4u + 32u)
/* What is signed begins with chain_id; then this much of the payload, for n targets. */
#define SES_DELETE_SIGNED_BYTES(n)                                                                 \
    (2u + (n)*SES_DELETE_TARGET_BYTES + 8u + SES_KEM_PK_BYTES + SES_DSA_PK_BYTES)
#define SES_DELETE_BYTES_MAX (SES_DELETE_SIGNED_BYTES(SES_DELETE_TARGETS_MAX) + SES_DSA_SIG_BYTES)

/* What a record's id is made of, so that whoever has a target knows its place in the forest. */
struct ses_delete_target {
    struct ses_record_header header; /* kind 0 */
    uint32_t size;
    struct ses_hash payload_root;
    struct ses_segment segment; /* these two follow from the others */
    struct ses_hash id;
};
struct ses_delete {
    uint16_t target_cnt; /* 1..SES_DELETE_TARGETS_MAX, ids strictly ascending */
    struct ses_delete_target targets[SES_DELETE_TARGETS_MAX];
    uint64_t time_ms;     /* of the statement; no target is younger */
    const uint8_t *bytes; /* the payload, borrowed, and the views into it */
    const uint8_t *kem_pk;
    const uint8_t *dsa_pk;
    const uint8_t *signature;
};

void ses_delete_target_of(struct ses_delete_target *out, const struct ses_record_ids *ids,
                          uint32_t payload_bytes);
/* A target as it stands in a statement and in the lists of an inbox. */
void ses_delete_target_write(struct ses_writer *w, const struct ses_delete_target *target);
/* Any record of kind 0; segment and id are computed. */
void ses_delete_target_read(struct ses_reader *r, struct ses_delete_target *target);

/* Everything but the signature: ERR_MALFORMED, ERR_TRUNCATED; ERR_UNAUTHORISED if the keys are not
 * those of the targets' inbox. `payload` is borrowed as long as `m` is used. */
SES_CHECKED enum ses_err ses_delete_read(struct ses_delete *m, const uint8_t *payload, size_t len);
/* One ML-DSA verification: ERR_SIGNATURE. */
SES_CHECKED enum ses_err ses_delete_verify(const struct ses_delete *m,
                                           const struct ses_hash *chain_id);
/* The header of the record that carries the statement. */
void ses_delete_header(struct ses_record_header *out, const struct ses_delete *m);
/* ses_delete_read of a record's payload, and the header must be the one that follows from it.
 * For records that were verified when they came (ses_record_check_owner), as of a log. */
SES_CHECKED enum ses_err ses_delete_of_record(struct ses_delete *m,
                                              const struct ses_record *record);

/* The payload of a statement over `cnt` targets, in any order, all of one inbox, the owner's.
 * `out` holds SES_DELETE_BYTES_MAX, *len is its length. ERR_INVALID: none or too many of them, one
 * twice, one that is younger than time_ms, of another inbox or not kind 0; a time_ms that is not a
 * multiple of 1000. */
SES_CHECKED enum ses_err ses_delete_sign(uint8_t *out, size_t *len,
                                         const struct ses_delete_target *targets, size_t cnt,
                                         uint64_t time_ms, const struct ses_hash *chain_id,
                                         const struct ses_identity *owner,
                                         const struct ses_random *random);

#endif
