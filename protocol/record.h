/* Records, segments, admission (storage page). */
#ifndef SES_PROTOCOL_RECORD_H
#define SES_PROTOCOL_RECORD_H

#include "protocol/node.h"

#define SES_RECORD_HEADER_BYTES 48u
#define SES_PAYLOAD_MAX 90112u
#define SES_CHUNK_BYTES 256u
#define SES_CHUNKS_MAX (SES_PAYLOAD_MAX / SES_CHUNK_BYTES)
#define SES_TTL_CLASS_CNT 5u
#define SES_SEGMENT_BYTES 5u
/* Last timestamp whose hour fits a segment's u32, in whole seconds; later ones are malformed. */
#define SES_TS_MAX_MS 15461882265599000u

enum ses_record_kind { SES_RECORD_MESSAGE = 0, SES_RECORD_TOMBSTONE = 1 };

struct ses_record_header {
    enum ses_record_kind kind;
    int16_t ns; /* namespace */
    uint8_t ttl_class;
    uint64_t ts_ms;        /* unix, a multiple of 1000 */
    struct ses_hash inbox; /* the 32 bytes after 07 of the Session ID */
};
void ses_record_header_encode(uint8_t out[SES_RECORD_HEADER_BYTES],
                              const struct ses_record_header *h);
SES_CHECKED enum ses_err ses_record_header_decode(struct ses_record_header *h,
                                                  const uint8_t in[SES_RECORD_HEADER_BYTES]);

struct ses_segment {
    uint8_t ttl_class;
    uint32_t hour; /* floor(ts / 3600 s) */
};
/* These abort on ttl_class >= SES_TTL_CLASS_CNT or a later time than SES_TS_MAX_MS: decoded headers
 * and receipts are within. */
void ses_segment_of(struct ses_segment *out, uint8_t ttl_class, uint64_t ts_ms);
void ses_segment_encode(uint8_t out[SES_SEGMENT_BYTES], const struct ses_segment *s);
/* Unix ms at which the whole segment is gone. */
uint64_t ses_segment_expires_ms(const struct ses_segment *s);
uint64_t ses_ttl_ms(uint8_t ttl_class);
static inline bool ses_segment_before(const struct ses_segment *a, const struct ses_segment *b)
{
    return a->ttl_class < b->ttl_class || (a->ttl_class == b->ttl_class && a->hour < b->hour);
}

/* A record borrowed from somebody's memory. */
struct ses_record {
    const uint8_t *header; /* 48 bytes */
    const uint8_t *payload;
    uint32_t payload_bytes;
};
/* What follows from a record's bytes. */
struct ses_record_ids {
    struct ses_record_header header;
    struct ses_segment segment;
    struct ses_hash payload_root;
    struct ses_hash header_hash;
    struct ses_hash id;
    struct ses_hash digest; /* BLAKE3(07 || inbox) */
};
/* MT(B(0x05, chunk)); zeros for an empty payload. len <= SES_PAYLOAD_MAX. */
void ses_payload_root(struct ses_hash *out, const uint8_t *payload, size_t len);
void ses_inbox_digest(struct ses_hash *out, const struct ses_hash *inbox);
/* Checks header and size, computes everything. ERR_MALFORMED, ERR_TOO_LARGE. */
SES_CHECKED enum ses_err ses_record_identify(struct ses_record_ids *out,
                                             const struct ses_record *record);
/* Namespace rules: who may write and read. */
static inline bool ses_ns_public_inbox(int16_t ns)
{
    return ns % 10 == 0;
}
static inline bool ses_ns_public_outbox(int16_t ns) /* -(20k + 1) */
{
    return ns < 0 && (-(int)ns - 1) % 20 == 0;
}
#define SES_NS_INBOX 0
#define SES_NS_CARD (-1)
#define SES_NS_TOKEN (-21)

/* Where ns % 10 != 0 the payload begins KEM pk || DSA pk || signature (context session/record/v1
 * over chain_id || header || BLAKE3(rest)); the keys must be those of the inbox. */
#define SES_OWNED_PREFIX_BYTES (SES_KEM_PK_BYTES + SES_DSA_PK_BYTES + SES_DSA_SIG_BYTES)
/* SES_OK without a look where anybody may write. ERR_MALFORMED (no room for the prefix),
 * ERR_UNAUTHORISED (keys of another inbox), ERR_SIGNATURE. One ML-DSA verification. A record of
 * kind 1 is a delete statement in any namespace and checked as one (protocol/delete.h). */
SES_CHECKED enum ses_err ses_record_check_owner(const struct ses_record *record,
                                                const struct ses_record_ids *ids,
                                                const struct ses_hash *chain_id);
/* Builds the payload of an owned record: prefix || body. `out` holds prefix + len bytes. */
SES_CHECKED enum ses_err ses_record_sign_owned(uint8_t *out, const uint8_t header[48],
                                               const struct ses_hash *chain_id,
                                               const struct ses_identity *owner,
                                               const uint8_t *body, size_t len,
                                               const struct ses_random *random);

/* Stamp of a stranger's record in a public inbox: B(0x16, id, nonce) has at least this many leading
 * zero bits: 16 + floor(log2(max(1, ceil(payload / 1024)))). */
unsigned ses_stamp_bits(uint32_t payload_bytes);
bool ses_stamp_check(const struct ses_hash *id, uint64_t nonce, unsigned bits);
/* Least nonce >= start that passes; 8 at a time. Gives up after `tries`: ERR_AGAIN. */
SES_CHECKED enum ses_err ses_stamp_find(uint64_t *nonce, const struct ses_hash *id, unsigned bits,
                                        uint64_t start, uint64_t tries);

/* Admission (storage page, Receipts): the least e > sealed with ts < T_e - settle and accepted
 * (minus min(vouchers, 5) * freeze / 6) <= T_e - freeze. sealed = -1: nothing sealed. */
struct ses_times {
    uint64_t genesis_s;
    uint64_t epoch_s;
    uint64_t settle_s;
    uint64_t freeze_s;
};
uint64_t ses_epoch_start_ms(const struct ses_times *t, uint64_t epoch); /* T_e */
/* floor((ts - genesis) / epochSeconds), 0 before genesis */
uint64_t ses_epoch_at(const struct ses_times *t, uint64_t unix_s);
uint64_t ses_admit_epoch(const struct ses_times *t, uint64_t ts_ms, uint64_t accepted_ms,
                         int64_t sealed, unsigned vouchers);
/* Whether a record belongs to S_e (its inbox mapping here apart). */
bool ses_in_commitment(const struct ses_times *t, uint64_t epoch, const struct ses_segment *segment,
                       uint64_t admit_epoch);

#endif
