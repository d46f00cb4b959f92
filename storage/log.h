/* The segment log: one record after the other (docs/storage-format.md).
 *
 *   magic 4 | u32 len | u64 accepted_ms | u64 admit_epoch | check 16 | header 48 | payload
 *
 * len = 48 + payload bytes; check = first 16 bytes of B(0x0D, accepted_ms, admit_epoch, id). The id
 * covers header, size and payload, so check covers the record; the magic says how it came. */
#ifndef SES_STORAGE_LOG_H
#define SES_STORAGE_LOG_H

#include "storage/storage.h"

#define SES_LOG_PREFIX_BYTES 40u
#define SES_LOG_HEAD_BYTES (SES_LOG_PREFIX_BYTES + SES_RECORD_HEADER_BYTES)
#define SES_LOG_RECORD_MAX (SES_LOG_HEAD_BYTES + SES_PAYLOAD_MAX)

/* Flags of a stored record; the log knows the first two (by its magic). */
#define SES_FLAG_ENTRY 1u     /* entered the swarm here */
#define SES_FLAG_STRANGER 2u  /* by a stranger of its inbox's owner */
#define SES_FLAG_PENDING 4u   /* not yet replicated to a quorum */
#define SES_FLAGS_DURABLE 7u  /* the others are of the catalog alone */
#define SES_FLAG_STATEMENT 8u /* a record of kind 1 */
#define SES_FLAG_GHOST 16u    /* in no box: deleted before it came, if it ever does */
#define SES_FLAG_DAMAGED 32u  /* its bytes on disk were found damaged */
#define SES_FLAG_DROPPED 128u /* of the index alone: not held any more */
#define SES_FLAG_BUSY 64u     /* it is being stored again */

/* "<hour>.log" as it is written, nothing else. */
bool ses_log_name_parse(const char *name, uint32_t *hour);

struct ses_log_stamp {
    uint8_t flags;
    uint64_t accepted_ms;
    uint64_t admit_epoch;
};
void ses_log_prefix_write(uint8_t out[SES_LOG_PREFIX_BYTES], const struct ses_log_stamp *stamp,
                          const struct ses_hash *id, uint32_t payload_bytes);

struct ses_log_record {
    uint64_t offset; /* of the magic */
    struct ses_log_stamp stamp;
    struct ses_record_ids ids;
    uint32_t payload_bytes;
};
/* The record at the start of `bytes`: ERR_TRUNCATED, ERR_MALFORMED, ERR_CHECKSUM. A damaged magic
 * alone is forgiven: the record then counts as entered here, which costs a replication too much. */
SES_CHECKED enum ses_err ses_log_parse(struct ses_log_record *out, const uint8_t *bytes,
                                       size_t len);

/* Reads the valid records of a log from `at` on; passes over damage. */
struct ses_log_scan {
    const struct ses_disk *disk;
    struct ses_file *file;
    struct ses_segment segment; /* records of another segment are damage */
    const struct ses_hash *chain_id;
    uint64_t at;
    uint64_t size;
    uint64_t valid_end; /* end of the last valid record */
    uint64_t damaged_bytes;
    uint64_t erased_bytes; /* of records whose payload was overwritten with zeros */
    uint8_t *window;       /* owned */
    uint64_t window_at;
    size_t window_len;
};
SES_CHECKED enum ses_err ses_log_scan_init(struct ses_log_scan *scan, const struct ses_disk *disk,
                                           struct ses_file *file, const struct ses_segment *segment,
                                           const struct ses_hash *chain_id, uint64_t from);
void ses_log_scan_free(struct ses_log_scan *scan);
/* ERR_NOT_FOUND at the end; an error of the disk. */
SES_CHECKED enum ses_err ses_log_scan_next(struct ses_log_scan *scan, struct ses_log_record *out);

#endif
