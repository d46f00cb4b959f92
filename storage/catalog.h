/* What is stored, in memory: every live record by id, by box (inbox, namespace) in order of
 * arrival, and by segment; what each inbox uses; what was deleted. Some 150 bytes a record, loaded
 * from the index at start. Loop thread only.
 *
 * An entry is reserved when its record is put (no memory can be lacking once it is durable) and
 * committed, that is readable, when it is. A deleted record's entry stays, marked, because its leaf
 * does; one that was deleted before it came is a ghost. */
#ifndef SES_STORAGE_CATALOG_H
#define SES_STORAGE_CATALOG_H

#include "storage/storage.h"
#include "storage/table.h"

#define SES_SEGMENTS_MAX 2048u /* about 1,250 can be live */
#define SES_NONE UINT32_MAX
/* Epochs of records are kept in 32 bits; the last number means none. */
#define SES_EPOCH_NONE UINT32_MAX
#define SES_EPOCH_MAX (UINT32_MAX - 1u)

enum ses_entry_state { SES_ENTRY_FREE = 0, SES_ENTRY_RESERVED, SES_ENTRY_LIVE, SES_ENTRY_DEAD };
struct ses_entry {
    struct ses_hash id;
    uint64_t seq; /* order of arrival here; grows over restarts */
    uint64_t offset;
    uint32_t admit_epoch; /* SES_EPOCH_NONE: a ghost that never came, no file has it */
    uint32_t tomb_epoch;  /* from which on it is deleted; SES_EPOCH_NONE */
    uint32_t payload_bytes;
    uint32_t box; /* of a ghost: some box of its inbox */
    uint32_t segment;
    uint32_t link;   /* live: next of its segment; reserved: its op */
    uint16_t second; /* of the segment's hour */
    uint8_t flags;
    uint8_t state;
};
_Static_assert(sizeof(struct ses_entry) == 80, "there are many of them");
struct ses_inbox {
    struct ses_hash digest;
    uint64_t bytes; /* of log, reserved ones included */
    uint64_t stranger_bytes;
    uint32_t entry_cnt; /* reserved ones included */
    uint32_t deleting;  /* statements that are written: what they free is not free yet */
    bool foreign;       /* not of the seat */
};
struct ses_box {
    uint32_t inbox;
    int16_t ns;
    bool unsorted;  /* while loading */
    bool sweep;     /* has dead entries */
    uint32_t *list; /* live entries, seq ascending */
    uint32_t cnt;
    uint32_t cap;
    uint32_t reserved; /* by entries that are written, and by ghosts */
    uint32_t dead;     /* in no list, about to be released */
};
struct ses_seg {
    struct ses_segment id;
    bool used;
    bool unlinking; /* its log is about to go */
    bool erase;     /* deleted records of it are on disk */
    uint64_t expires_ms;
    uint64_t end;   /* of the log file */
    uint32_t first; /* entry, SES_NONE: none */
    uint32_t entry_cnt;
    uint32_t reserved;
    uint32_t epoch_max; /* of its entries' admissions and deletions */
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
    uint64_t deleted_cnt; /* leaves of kind 1 */
    uint64_t foreign_cnt; /* entries of foreign inboxes */
    uint32_t segment_cnt, inbox_cnt;
    uint32_t ghost_room; /* ghosts that cannot fail */
    uint32_t swarm, num_swarms;
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
                        uint32_t admit_epoch);
/* Takes a reserved entry back; what was deleted meanwhile stays as a ghost. */
void ses_catalog_cancel(struct ses_catalog *c, uint32_t entry);
/* The entry's record stands elsewhere now: a ghost's that came after all, or a damaged one's. */
void ses_catalog_move(struct ses_catalog *c, uint32_t entry, uint64_t seq, uint64_t offset,
                      uint32_t admit_epoch, uint32_t payload_bytes);
/* Whose inboxes are foreign from now on. */
void ses_catalog_set_seat(struct ses_catalog *c, uint32_t swarm, uint32_t num_swarms);

/* ---- deletes ---- */
/* So that as many ghosts more as `targets` cannot fail, segments included. ERR_MEMORY, ERR_FULL. */
SES_CHECKED enum ses_err
ses_catalog_reserve_ghosts(struct ses_catalog *c, const struct ses_deletion *targets, uint32_t cnt);
void ses_catalog_release_ghosts(struct ses_catalog *c, uint32_t cnt);
/* Deletes the target from `epoch` on; with nothing stored under its id, makes a ghost from the
 * reserve. `statement` is the statement's entry. Returns the entry, SES_NONE if nothing changed. */
uint32_t ses_catalog_delete(struct ses_catalog *c, uint32_t statement,
                            const struct ses_deletion *target, uint32_t epoch);
/* Its record is on no disk any more, and no snapshot that may be asked for shows it. */
void ses_catalog_erase(struct ses_catalog *c, uint32_t entry);
/* The leaf of an entry in the view of an epoch (SES_EPOCH_MAX: all that is known); false if it has
 * none. */
bool ses_catalog_leaf(const struct ses_catalog *c, uint32_t entry, uint32_t epoch,
                      struct ses_leaf *out);
static inline uint64_t ses_entry_ts_ms(const struct ses_catalog *c, const struct ses_entry *e)
{
    return (ses_catalog_seg(c, e->segment)->id.hour * (uint64_t)3600 + e->second) * 1000;
}
static inline bool ses_entry_deleted(const struct ses_entry *e)
{
    return e->tomb_epoch != SES_EPOCH_NONE;
}
/* The first epoch in which its key has a leaf. */
static inline uint32_t ses_entry_epoch(const struct ses_entry *e)
{
    return e->admit_epoch < e->tomb_epoch ? e->admit_epoch : e->tomb_epoch;
}
static inline bool ses_digest_in(const uint8_t digest[32], uint32_t swarm, uint32_t num_swarms)
{
    return (ses_get_u32(digest + 28) & (num_swarms - 1)) == swarm;
}
/* Forgets a segment and its live entries; it must have no reserved ones. */
void ses_catalog_drop_seg(struct ses_catalog *c, uint32_t seg);
/* Forgets its live entries of foreign inboxes, those of `busy` flag apart; each is called before.
 */
uint32_t ses_catalog_drop_foreign(struct ses_catalog *c, uint32_t seg,
                                  void (*each)(void *cookie, const struct ses_entry *entry),
                                  void *cookie);
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
