/* Frames of /session/sync/1 and /session/bulk/1 (storage page, Reconciliation). Two members compare
 * what they hold of one swarm's inboxes, from the sums of days down to single leaves; the asking
 * side keeps the state, the answering side none.
 *
 *   rows    digests of days        ->  the days that differ: their segments with digest and count
 *   nodes   digests of children    ->  the children that differ: theirs, or short names of leaves
 *   fetch   short names            ->  records, with receipts
 *   offer   short names            ->  nothing: "you lack these, fetch them from me"
 *   sums    a segment to begin at  ->  whole sums of segments
 *   page    a segment, an offset   ->  records in the order of the answering side's log (bulk)
 *
 * Digests and short names are 8 bytes, keyed by a nonce that the asking side draws for each run:
 * whoever makes records cannot aim at them. */
#ifndef SES_PROTOCOL_SYNC_FRAME_H
#define SES_PROTOCOL_SYNC_FRAME_H

#include "protocol/rpc_frame.h"

#define SES_SYNC_ROWS 1u
#define SES_SYNC_NODES 2u
#define SES_SYNC_FETCH 3u
#define SES_SYNC_OFFER 4u
#define SES_SYNC_SUMS 5u
#define SES_BULK_PAGE 1u

#define SES_SYNC_NONCE_BYTES 16u
#define SES_SYNC_ROWS_MAX 128u    /* of one request: days of all classes, about 65 can be live */
#define SES_SYNC_NODES_MAX 192u   /* of one request */
#define SES_SYNC_GROUPS_MAX 1024u /* of one request */
#define SES_SYNC_SHORTS_MAX 24u   /* short names of one child or group */
#define SES_SYNC_DEPTH_MAX 126u   /* nibbles of a place */
#define SES_SYNC_RECORDS_MAX 128u
#define SES_SYNC_SUMS_MAX 1024u
#define SES_BULK_RECORDS_MAX 16384u
#define SES_ROW_HOURS 24u

struct ses_sync_nonce {
    uint8_t bytes[SES_SYNC_NONCE_BYTES];
};
/* The inboxes that are compared: those of `swarm` of `num_swarms`. */
struct ses_sync_set {
    uint32_t num_swarms;
    uint32_t swarm;
};

/* Whether a bitmap of children has one. */
static inline bool ses_sync_has(uint16_t bitmap, unsigned nibble)
{
    return ((uint32_t)bitmap >> nibble & 1u) != 0;
}

/* First 8 bytes of B(0x17, nonce, hash); `hash` of a sum or a leaf. */
uint64_t ses_sync_short(const struct ses_sync_nonce *nonce, const struct ses_hash *hash);
/* The same of the hashes of 16 sums, 0 where the count is 0. */
void ses_sync_shorts(uint64_t out[16], const struct ses_sync_nonce *nonce,
                     const struct ses_sum sums[16]);
/* The short names of leaves, and of one: those of B(0x00, leaf). */
void ses_sync_leaf_shorts(uint64_t *out, const struct ses_sync_nonce *nonce,
                          const struct ses_leaf *leaves, size_t cnt);
uint64_t ses_sync_leaf_short(const struct ses_sync_nonce *nonce, const struct ses_leaf *leaf);

/* ---- rows, nodes, fetch, offer: one beginning ---- */
struct ses_sync_ask {
    uint8_t op;
    struct ses_sync_set set;
    struct ses_sync_nonce nonce;
    bool whole;   /* rows: the list is complete, days that are not in it are empty */
    uint16_t cnt; /* elements that follow */
};
void ses_sync_ask_write(struct ses_writer *w, const struct ses_sync_ask *m);
/* Leaves `r` behind the beginning; the counts are proved against the least size of an element. */
SES_CHECKED enum ses_err ses_sync_ask_read(struct ses_sync_ask *m, struct ses_reader *r,
                                           const uint8_t *body, size_t len);

/* ---- rows: (class, day) = up to 24 segments ---- */
struct ses_sync_row {
    uint8_t ttl_class;
    uint32_t day; /* hour / 24 */
    uint64_t digest;
};
void ses_sync_row_write(struct ses_writer *w, const struct ses_sync_row *m);
void ses_sync_row_read(struct ses_reader *r, struct ses_sync_row *m);
/* The beginning of the answer: status OK, partial, u16 count; then rows that differ. */
struct ses_sync_rows {
    bool partial; /* still loading: this is not all that it will hold */
    uint16_t cnt;
};
void ses_sync_rows_write(struct ses_writer *w, const struct ses_sync_rows *m);
void ses_sync_rows_read(struct ses_reader *r, struct ses_sync_rows *m);
/* Hours ascending. */
struct ses_sync_hours {
    uint8_t ttl_class;
    uint32_t day;
    uint8_t cnt; /* 0: the answering side has nothing of that day */
    struct {
        uint8_t hour; /* of the day */
        uint64_t digest;
        uint64_t count;
    } hours[SES_ROW_HOURS];
};
void ses_sync_hours_write(struct ses_writer *w, const struct ses_sync_hours *m);
void ses_sync_hours_read(struct ses_reader *r, struct ses_sync_hours *m);
/* What stands for a day: B(0x17, nonce, n x (segment 5, hash 32)), first 8 bytes. */
struct ses_sync_segment {
    struct ses_segment id;
    struct ses_sum sum;
};
uint64_t ses_sync_row_digest(const struct ses_sync_nonce *nonce,
                             const struct ses_sync_segment *segments, size_t cnt);

/* ---- nodes ---- */
/* A prefix within a segment; nibbles behind `nibble_cnt` are zero. */
struct ses_sync_place {
    struct ses_segment segment;
    uint8_t nibble_cnt;
    struct ses_leaf_key prefix;
};
struct ses_sync_node {
    struct ses_sync_place place;
    uint16_t bitmap; /* children that are not empty */
    uint64_t digests[16];
};
void ses_sync_node_write(struct ses_writer *w, const struct ses_sync_node *m);
void ses_sync_node_read(struct ses_reader *r, struct ses_sync_node *m);
/* Status OK, u16 count = that of the request, then for each node the children that differ. A child
 * is told by the short names of its leaves if they are few, else by the digests of its children. */
#define SES_SYNC_BRANCH 255u
struct ses_sync_child {
    uint8_t form; /* 0..SES_SYNC_SHORTS_MAX short names, or SES_SYNC_BRANCH */
    uint16_t bitmap;
    uint64_t shorts[SES_SYNC_SHORTS_MAX]; /* or 16 digests */
};
struct ses_sync_answer {
    uint16_t bitmap;
    struct ses_sync_child children[16];
};
void ses_sync_answer_write(struct ses_writer *w, const struct ses_sync_answer *m);
void ses_sync_answer_read(struct ses_reader *r, struct ses_sync_answer *m);

/* ---- fetch, offer ---- */
struct ses_sync_group {
    struct ses_sync_place place;
    uint8_t cnt; /* 1..SES_SYNC_SHORTS_MAX */
    uint64_t shorts[SES_SYNC_SHORTS_MAX];
};
void ses_sync_group_write(struct ses_writer *w, const struct ses_sync_group *m);
void ses_sync_group_read(struct ses_reader *r, struct ses_sync_group *m);
/* Status OK, more, u16 count of records, the records; then u16 group_cnt, groups of receipts as in
 * a replicate response, their index that of the record here. */
struct ses_sync_records {
    bool more; /* there was no room for all: ask again for the rest */
    uint16_t cnt;
};
void ses_sync_records_write(struct ses_writer *w, const struct ses_sync_records *m);
void ses_sync_records_read(struct ses_reader *r, struct ses_sync_records *m);

/* Beginnings of the other answers: status OK, u16 count. */
void ses_sync_count_write(struct ses_writer *w, uint16_t cnt);
uint16_t ses_sync_count_read(struct ses_reader *r, size_t element_bytes_min);

/* ---- sums ---- */
struct ses_sync_sums_ask {
    struct ses_sync_set set;
    struct ses_segment from;
};
void ses_sync_sums_ask_write(struct ses_writer *w, const struct ses_sync_sums_ask *m);
SES_CHECKED enum ses_err ses_sync_sums_ask_read(struct ses_sync_sums_ask *m, const uint8_t *body,
                                                size_t len);
struct ses_sync_sums {
    bool partial; /* still loading: this is not all that it will hold */
    bool more;
    uint16_t cnt; /* then segments, ascending */
};
void ses_sync_sums_write(struct ses_writer *w, const struct ses_sync_sums *m);
void ses_sync_sums_read(struct ses_reader *r, struct ses_sync_sums *m);
void ses_sync_segment_write(struct ses_writer *w, const struct ses_sync_segment *m);
void ses_sync_segment_read(struct ses_reader *r, struct ses_sync_segment *m);

/* ---- /session/bulk/1 ---- */
struct ses_bulk_ask {
    struct ses_sync_set set;
    struct ses_segment segment;
    uint64_t offset;    /* 0, or `next` of a page of the same node */
    uint32_t bytes_max; /* soft: at least one record is returned */
};
void ses_bulk_ask_write(struct ses_writer *w, const struct ses_bulk_ask *m);
SES_CHECKED enum ses_err ses_bulk_ask_read(struct ses_bulk_ask *m, const uint8_t *body, size_t len);
struct ses_bulk_page {
    bool more;
    uint64_t next; /* where the next page begins */
    uint16_t cnt;  /* then records */
};
void ses_bulk_page_write(struct ses_writer *w, const struct ses_bulk_page *m);
void ses_bulk_page_read(struct ses_reader *r, struct ses_bulk_page *m);

#endif
