/* What is stored, in memory: every live record by id, by box (inbox, namespace) in order of
 * arrival, and by segment; what each inbox uses. Some 200 bytes a record, loaded from the index
 * at start. Loop thread only.
 *
 * An entry is reserved when its record is put (no memory can be lacking once it is durable) and
 * committed, that is readable, when it is. */
#ifndef SES_STORAGE_CATALOG_H
#define SES_STORAGE_CATALOG_H

#include "storage/storage.h"
#include "storage/table.h"

#define SES_SEGMENTS_MAX 2048u /* about 1,250 can be live */
#define SES_NONE UINT32_MAX

enum ses_entry_state { SES_ENTRY_FREE = 0, SES_ENTRY_RESERVED, SES_ENTRY_LIVE, SES_ENTRY_DEAD };
struct ses_entry {
    struct ses_hash id;
    uint64_t seq; /* order of arrival here; grows over restarts */
    uint64_t offset;
    uint64_t admit_epoch;
    uint64_t ts_ms;
    uint32_t payload_bytes;
    uint32_t box;
    uint32_t segment;
    uint32_t link; /* live: next of its segment; reserved: its op */
    uint8_t flags;
    uint8_t state;
};
struct ses_inbox {
    struct ses_hash digest;
    uint64_t bytes; /* of log, reserved ones included */
    uint64_t stranger_bytes;
    uint32_t entry_cnt; /* reserved ones included */
};
struct ses_box {
    uint32_t inbox;
    int16_t ns;
    bool unsorted;  /* while loading */
    bool sweep;     /* has dead entries */
    uint32_t *list; /* live entries, seq ascending */
    uint32_t cnt;
    uint32_t cap;
    uint32_t reserved;
    uint32_t dead; /* in no list, about to be released */
};
struct ses_seg {
    struct ses_segment id;
    bool used;
    uint64_t expires_ms;
    uint64_t end;   /* of the log file */
    uint32_t first; /* entry, SES_NONE: none */
    uint32_t entry_cnt;
    uint32_t reserved;
};
struct ses_pending {
    uint64_t seq;
    uint32_t entry;
};
struct ses_catalog {
    uint64_t hash_seed;
    struct ses_slab entries, inboxes, boxes, segs;
    struct ses_table by_id, by_inbox, by_box, by_seg;
    struct ses_pending *pending; /* oldest first; some may be settled */
    uint32_t pending_cnt, pending_cap, settled_cnt;
    uint64_t record_cnt, payload_bytes, log_bytes;
    uint32_t segment_cnt, inbox_cnt;
};
void ses_catalog_init(struct ses_catalog *c, uint64_t hash_seed);
void ses_catalog_free(struct ses_catalog *c);

static inline struct ses_entry *ses_catalog_entry(const struct ses_catalog *c, uint32_t i)
{
    return ses_slab_at(&c->entries, i);
}
static inline struct ses_box *ses_catalog_box(const struct ses_catalog *c, uint32_t i)
{
    return ses_slab_at(&c->boxes, i);
}
static inline struct ses_inbox *ses_catalog_inbox(const struct ses_catalog *c, uint32_t i)
{
    return ses_slab_at(&c->inboxes, i);
}
static inline struct ses_seg *ses_catalog_seg(const struct ses_catalog *c, uint32_t i)
{
    return ses_slab_at(&c->segs, i);
}

bool ses_catalog_find(const struct ses_catalog *c, const struct ses_hash *id, uint32_t *entry);
bool ses_catalog_find_inbox(const struct ses_catalog *c, const struct ses_hash *digest,
                            uint32_t *inbox);
bool ses_catalog_find_box(const struct ses_catalog *c, const struct ses_hash *digest, int16_t ns,
                          uint32_t *box);
bool ses_catalog_find_seg(const struct ses_catalog *c, const struct ses_segment *segment,
                          uint32_t *seg);
/* Finds or creates. ERR_FULL, ERR_MEMORY. */
SES_CHECKED enum ses_err ses_catalog_take_seg(struct ses_catalog *c,
                                              const struct ses_segment *segment, uint32_t *seg);
struct ses_catalog_new {
    struct ses_hash id;
    struct ses_hash digest;
    struct ses_segment segment;
    uint64_t ts_ms;
    int16_t ns;
    uint8_t flags;
    uint32_t payload_bytes;
};
/* The id must not be there yet. ERR_MEMORY, ERR_FULL. */
SES_CHECKED enum ses_err ses_catalog_reserve(struct ses_catalog *c,
                                             const struct ses_catalog_new *record, uint32_t *entry);
/* Makes a reserved entry readable; cannot fail. */
void ses_catalog_commit(struct ses_catalog *c, uint32_t entry, uint64_t seq, uint64_t offset,
                        uint64_t admit_epoch);
/* Takes a reserved entry back. */
void ses_catalog_cancel(struct ses_catalog *c, uint32_t entry);
/* Forgets a segment and its live entries; it must have no reserved ones. */
void ses_catalog_drop_seg(struct ses_catalog *c, uint32_t seg);
/* After loading in whatever order: sorts boxes and debts by seq. */
void ses_catalog_sort(struct ses_catalog *c);
/* Position in box->list of the first entry with seq > after. */
uint32_t ses_catalog_after(const struct ses_catalog *c, const struct ses_box *box, uint64_t after);
/* Puts a live entry on the list of debts. ERR_MEMORY. */
SES_CHECKED enum ses_err ses_catalog_owe(struct ses_catalog *c, uint32_t entry);
void ses_catalog_settle(struct ses_catalog *c, uint32_t entry);
/* Debts, oldest first; NULL at a settled place. */
const struct ses_entry *ses_catalog_debt(const struct ses_catalog *c, uint32_t at);
/* Bytes that a record takes in its log and from its inbox's quota. */
static inline uint64_t ses_record_cost(uint32_t payload_bytes)
{
    return 88u + (uint64_t)payload_bytes;
}

#endif
