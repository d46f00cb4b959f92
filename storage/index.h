/* One index database, data/idx/<class>-<day>.db: a row for each record of a class and day, how far
 * each log is indexed, and other members' receipts. Everything but the receipts can be rebuilt from
 * the logs. Used by the lane. */
#ifndef SES_STORAGE_INDEX_H
#define SES_STORAGE_INDEX_H

#include <sqlite3.h>

#include "storage/log.h"

struct ses_index_row {
    uint64_t seq;
    struct ses_hash digest;
    struct ses_hash id;
    struct ses_segment segment;
    uint64_t offset;
    uint64_t ts_ms;
    uint64_t admit_epoch;
    uint32_t payload_bytes;
    int16_t ns;
    uint8_t kind;
    uint8_t flags;
    uint8_t target_cnt; /* of a statement, when it is inserted */
    const struct ses_deletion *targets;
};
struct ses_index {
    sqlite3 *db; /* NULL: behind for lack of space */
    uint8_t ttl_class;
    uint32_t day;
    bool in_transaction;
    bool sync;           /* this transaction must be durable by itself */
    struct ses_buf rows; /* of this transaction, or all that it lacks while it is behind (lane.c) */
    bool rows_lost;      /* they were too many */
    bool tried;          /* in this batch */
    uint64_t used;
    uint64_t recent[16]; /* signatures that are surely there */
    uint32_t recent_at;
    sqlite3_stmt *insert, *segment, *mark, *put_receipt, *put_signature, *get_receipts;
    sqlite3_stmt *put_deletion, *drop;
    sqlite3_stmt *begin, *commit;
};
/* Opens or creates. ERR_CHECKSUM if it is damaged or of another instance of the store: unlink it
 * and open again. */
SES_CHECKED enum ses_err ses_index_open(struct ses_index **out, const struct ses_disk *disk,
                                        uint8_t ttl_class, uint32_t day, const uint8_t instance[8]);
void ses_index_free(struct ses_index *index);
/* Leaves it behind: what was not committed is rolled back; class, day and rows stay. */
void ses_index_leave(struct ses_index *index);
/* Opens one that is behind; after an error it still is. */
SES_CHECKED enum ses_err ses_index_return(struct ses_index *index, const struct ses_disk *disk,
                                          const uint8_t instance[8]);
void ses_index_name(char out[48], uint8_t ttl_class, uint32_t day);
/* "<class>-<day>.db", nothing else. */
bool ses_index_name_parse(const char *name, uint8_t *ttl_class, uint32_t *day);
/* Hours of one index, its "day". The hour of class 0 is a day of its own, so that what stands in
 * its index, receipts above all, goes with records that live no longer. */
static inline uint32_t ses_day_hours(uint8_t ttl_class)
{
    return ttl_class == 0 ? 1 : 24;
}

static inline uint32_t ses_day_of(const struct ses_segment *segment)
{
    return segment->hour / ses_day_hours(segment->ttl_class);
}

SES_CHECKED enum ses_err ses_index_begin(struct ses_index *index);
SES_CHECKED enum ses_err ses_index_commit(struct ses_index *index);
void ses_index_rollback(struct ses_index *index);
SES_CHECKED enum ses_err ses_index_insert(struct ses_index *index, const struct ses_index_row *row);
SES_CHECKED enum ses_err ses_index_set_end(struct ses_index *index, uint32_t hour, uint64_t end);
SES_CHECKED enum ses_err ses_index_mark(struct ses_index *index, uint64_t seq, uint8_t flags);
/* Marks a row: its record stands in the log, but is not held any more. */
SES_CHECKED enum ses_err ses_index_drop(struct ses_index *index, uint64_t seq);
/* A target of the statement in row `seq`. */
SES_CHECKED enum ses_err ses_index_put_deletion(struct ses_index *index, uint64_t seq,
                                                const struct ses_deletion *target);
/* Takes the rows and the end of an hour out. */
SES_CHECKED enum ses_err ses_index_forget(struct ses_index *index, uint32_t hour);
SES_CHECKED enum ses_err ses_index_put_receipt(struct ses_index *index, uint64_t seq,
                                               const struct ses_receipt *receipt);
/* Appends encoded receipts; *cnt is how many. */
SES_CHECKED enum ses_err ses_index_get_receipts(struct ses_index *index, uint64_t seq,
                                                struct ses_buf *out, uint16_t *cnt);
/* Each row; stops at the first error. ERR_CHECKSUM for a row that is not what was written. */
SES_CHECKED enum ses_err
ses_index_each(struct ses_index *index,
               enum ses_err (*each)(void *cookie, const struct ses_index_row *row), void *cookie);
/* Each target of a statement whose row is there. */
SES_CHECKED enum ses_err
ses_index_each_deletion(struct ses_index *index,
                        enum ses_err (*each)(void *cookie, const struct ses_hash *statement,
                                             const struct ses_deletion *target),
                        void *cookie);
SES_CHECKED enum ses_err
ses_index_each_end(struct ses_index *index,
                   enum ses_err (*each)(void *cookie, uint32_t hour, uint64_t end), void *cookie);

#endif
