/* The forest over the store. A view is the set of leaves of a seat: live (all that is held and has
 * not expired), or S_e, what a commitment is about. Views are made from what is stored, never kept
 * apart from it, so equal sets have equal sums whatever crashed in between.
 *
 *     catalog (loop thread) ── leaves that pass the view's seat and epoch ──► tries and sums
 * (worker)
 *
 * Tries of segments that were asked about stay in memory up to `forest_bytes`; a segment that
 * changes while its trie is there costs one insertion; all others are sums, made again from leaves
 * when asked for. Every call below answers by a callback on the loop's thread, in the order of the
 * calls, and sees all records whose put was answered before. ERR_FULL: too many asks under way;
 * ERR_UNAVAILABLE: stopping; ERR_MEMORY. Then there is no callback. In a callback: ERR_NOT_FOUND
 * for a snapshot or a position that is not there, ERR_CHECKSUM if a segment is not any more what
 * the snapshot says (its records were lost), ERR_MEMORY, ERR_FULL. What a callback gets is borrowed
 * for the call. */
#ifndef SES_STORAGE_VIEW_H
#define SES_STORAGE_VIEW_H

#include "storage/storage.h"

#define SES_EPOCH_LIVE UINT64_MAX
struct ses_view {
    uint64_t epoch;      /* of a snapshot, which knows its seat; or SES_EPOCH_LIVE of this seat: */
    uint32_t swarm;      /* e.g. the one that was left, or all with num_swarms = 1 and swarm = 0 */
    uint32_t num_swarms; /* a power of two */
};
/* In the calls below NULL is the live view of the store's own seat. */

/* ---- reconciliation ---- */
#define SES_CHILDREN_ASKS_MAX 1024u
#define SES_LEAVES_MAX 8192u
struct ses_segment_state {
    struct ses_segment_id id;
    struct ses_sum sum;
};
struct ses_segments_result {
    enum ses_err err;
    const struct ses_segment_state *segments; /* by id */
    size_t segment_cnt;
    struct ses_sum sum; /* MS over all segments of the view, also the older ones */
};
/* The segments of the hours from `from_hour` (0: all) that have leaves. */
SES_CHECKED enum ses_err
ses_store_segments(struct ses_store *store, const struct ses_view *view, uint32_t from_hour,
                   void (*on_done)(void *cookie, const struct ses_segments_result *result),
                   void *cookie);
/* ses_forest_trie_children for up to SES_CHILDREN_ASKS_MAX prefixes: sums[i][n] belongs to asks[i].
 * Zeros for a segment that is absent. `asks` is copied. */
struct ses_children_ask {
    struct ses_segment_id segment;
    struct ses_leaf_key prefix;
    uint8_t nibble_cnt; /* 0..127 */
};
SES_CHECKED enum ses_err ses_store_children(struct ses_store *store, const struct ses_view *view,
                                            const struct ses_children_ask *asks, size_t ask_cnt,
                                            void (*on_done)(void *cookie, enum ses_err err,
                                                            const struct ses_sum (*sums)[16],
                                                            size_t ask_cnt),
                                            void *cookie);
/* Leaves of a range by key, at most `max` <= SES_LEAVES_MAX: the next page begins at
 * ses_leaf_key_next of the last one. */
SES_CHECKED enum ses_err ses_store_leaves(struct ses_store *store, const struct ses_view *view,
                                          const struct ses_forest_range *range, size_t max,
                                          void (*on_done)(void *cookie, enum ses_err err,
                                                          const struct ses_leaf *leaves,
                                                          size_t leaf_cnt),
                                          void *cookie);

/* Records of a segment's log in its order, from `offset` (0, or `next` of a page before; never
 * before an expiry: a log only grows). Deleted and damaged records are left out; foreign ones are
 * not. */
#define SES_BULK_BYTES_MAX (1u << 20)
struct ses_bulk_result {
    enum ses_err err;
    const uint8_t *records; /* each: header 48, u32 payload bytes, payload */
    size_t len;
    uint32_t record_cnt;
    uint64_t next; /* offset of the next page */
    bool more;
};
/* At least one record if there is one, else at most `bytes_max` bytes. ERR_NOT_FOUND at once. */
SES_CHECKED enum ses_err
ses_store_bulk(struct ses_store *store, const struct ses_segment *segment, uint64_t offset,
               size_t bytes_max,
               void (*on_done)(void *cookie, const struct ses_bulk_result *result), void *cookie);

/* ---- snapshots ---- */
struct ses_snapshot {
    uint64_t epoch;
    uint32_t swarm;
    uint32_t num_swarms;
    struct ses_hash root; /* R_e */
    uint64_t count;
    uint64_t bytes;
};
/* Reads S_e of a seat and remembers its sums, durably; the same answer ever after. ERR_INVALID at
 * once if the epoch is not sealed or its snapshot belongs to another seat. Snapshots are kept until
 * T_{e+2} at least. */
SES_CHECKED enum ses_err ses_store_snapshot(struct ses_store *store, uint64_t epoch, uint32_t swarm,
                                            uint32_t num_swarms,
                                            void (*on_done)(void *cookie, enum ses_err err,
                                                            const struct ses_snapshot *snapshot),
                                            void *cookie);
/* The remembered one; ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_store_snapshot_get(const struct ses_store *store,
                                                struct ses_snapshot *out, uint64_t epoch);

/* ---- proofs ---- */
#define SES_CHUNK_PATH_MAX 9u /* 352 chunks at most */
#define SES_POSITIONS_MAX 64u
#define SES_RANGES_MAX 1024u
/* The leaves at positions of a view, in the order asked. */
SES_CHECKED enum ses_err ses_store_leaves_at(struct ses_store *store, const struct ses_view *view,
                                             const uint64_t *positions, size_t position_cnt,
                                             void (*on_done)(void *cookie, enum ses_err err,
                                                             const struct ses_leaf *leaves,
                                                             size_t leaf_cnt),
                                             void *cookie);
/* ses_forest_prove over a view; the question is copied. */
SES_CHECKED enum ses_err ses_store_prove(struct ses_store *store, const struct ses_view *view,
                                         const struct ses_forest_question *question,
                                         void (*on_done)(void *cookie, enum ses_err err,
                                                         const uint8_t *proof, size_t len),
                                         void *cookie);
/* What an opening shows besides the leaf: the parts of the record's id, and one chunk. */
struct ses_chunk {
    struct ses_hash header_hash;
    struct ses_hash payload_root;
    uint32_t payload_bytes;
    uint16_t number;
    const uint8_t *bytes; /* 256, the last one fewer */
    uint16_t len;
    struct ses_hash path[SES_CHUNK_PATH_MAX];
    uint8_t path_cnt;
};
/* Chunk `number` of a record, deleted ones too as long as a snapshot shows kind 0. ERR_NOT_FOUND at
 * once; ERR_INVALID in the callback for a chunk that the payload does not have (an empty one has
 * number 0, of no bytes), ERR_CHECKSUM if its bytes are damaged. */
SES_CHECKED enum ses_err
ses_store_chunk(struct ses_store *store, const struct ses_hash *id, uint32_t number,
                void (*on_done)(void *cookie, enum ses_err err, const struct ses_chunk *chunk),
                void *cookie);

/* ---- what the seat does not serve any more ---- */
/* Segments with records of inboxes that do not belong to the seat. */
struct ses_foreign {
    struct ses_segment segment;
    uint64_t record_cnt;
    uint64_t payload_bytes;
};
void ses_store_foreign(const struct ses_store *store,
                       void (*each)(void *cookie, const struct ses_foreign *foreign), void *cookie);
/* Forgets those records; a log of which nothing is left is unlinked, others keep the bytes until
 * they expire. Call it when the grace epoch is over. ERR_AGAIN at once while a snapshot that can be
 * asked for shows them. */
SES_CHECKED enum ses_err ses_store_drop_foreign(struct ses_store *store,
                                                void (*on_done)(void *cookie, enum ses_err err,
                                                                uint64_t record_cnt),
                                                void *cookie);

#endif
