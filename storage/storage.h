/* storage: the inbox store of a node. Append-only segment logs, a rebuildable SQLite index, durable
 * node metadata, the receipts that promise what was fsynced, and the forest over all of it.
 *
 *     put ─► gather (<= 2 ms or 256) ─► pwritev + fdatasync + index ─► sign a batch ─► callback
 *            loop thread                 worker (one at a time)          worker
 *
 *     ask ─► leaves of what is not open ─► tries, sums, proofs ─► callback       (storage/view.h)
 *            loop thread                    worker (one at a time)
 *
 *     data/seg/<class>/<hour>.log   data/idx/<class>-<day>.db   data/meta.db
 *
 * Calls and callbacks run on the loop's thread; no callback from inside the call that caused it.
 * All file access goes through `struct ses_disk` (SQLite through the VFS it names), so that a
 * simulator can lose, tear and corrupt what was not synced. An error of fdatasync, or an I/O error
 * after acceptance, ends in `on_fatal`: nothing is acknowledged from then on, the program stops.
 */
#ifndef SES_STORAGE_STORAGE_H
#define SES_STORAGE_STORAGE_H

#include "protocol/protocol.h"

struct ses_file; /* a disk's own */
struct ses_iov {
    const void *bytes;
    size_t len;
};
/* File operations of the segment logs. Paths are relative to the disk's root. Any thread. */
struct ses_disk {
    void *ctx;
    const char *vfs; /* SQLite VFS name, NULL: the default; databases live under `root` */
    const char *root;
    enum ses_err (*open)(void *ctx, const char *path, bool create, struct ses_file **out);
    void (*close)(void *ctx, struct ses_file *file);
    enum ses_err (*size)(void *ctx, struct ses_file *file, uint64_t *out);
    /* All or an error. ERR_NO_SPACE, ERR_IO. */
    enum ses_err (*write)(void *ctx, struct ses_file *file, uint64_t offset,
                          const struct ses_iov *iov, size_t iov_cnt);
    /* Exactly `len` bytes or ERR_TRUNCATED at the end of the file. */
    enum ses_err (*read)(void *ctx, struct ses_file *file, uint64_t offset, void *out, size_t len);
    /* The next read there comes from the disk itself. NULL: nothing stands in between. */
    void (*uncache)(void *ctx, struct ses_file *file, uint64_t offset, size_t len);
    enum ses_err (*truncate)(void *ctx, struct ses_file *file, uint64_t len);
    enum ses_err (*sync)(void *ctx, struct ses_file *file); /* fdatasync */
    enum ses_err (*mkdir)(void *ctx, const char *path);     /* OK if it exists */
    enum ses_err (*sync_dir)(void *ctx, const char *path);
    enum ses_err (*unlink)(void *ctx, const char *path); /* OK if absent */
    enum ses_err (*list)(void *ctx, const char *path, void (*each)(void *cookie, const char *name),
                         void *cookie);
    enum ses_err (*space)(void *ctx, uint64_t *free_bytes);
};
/* Real files below `root`, which is created. Locks it: ERR_IN_USE if another process has it. */
SES_CHECKED enum ses_err ses_disk_open(struct ses_disk *out, const char *root,
                                       struct ses_note *note);
void ses_disk_close(struct ses_disk *disk);

struct ses_store;
struct ses_store_params {
    const struct ses_disk *disk;
    const struct ses_loop *loop;
    const struct ses_random *random;
    const struct ses_log *log;
    struct ses_times times;
    struct ses_hash chain_id;
    struct ses_node_id node_id;
    const struct ses_dsa_private *key; /* signs receipts */
    uint64_t inbox_quota_bytes;
    uint64_t capacity_bytes;      /* 0: the disk's */
    uint64_t entry_reserve_bytes; /* refuse entry (DISK_LOW) below this free space */
    uint64_t hard_reserve_bytes;  /* refuse everything below this */
    uint64_t forest_bytes;        /* of memory for open segments; 0: 64 MiB. What is asked about is
                                     opened even beyond it */
    uint64_t scrub_rate;          /* bytes a second that the scrub reads at most; 0: no scrub */
    void (*on_fatal)(void *cookie, enum ses_err err, const char *what);
    void *cookie;
};
/* Opens or creates; verifies each log's tail, cuts a torn record, re-indexes what the index lacks.
 * Blocking (start-up only). ERR_VERSION for an unknown format number with a note. */
SES_CHECKED enum ses_err ses_store_open(struct ses_store **out,
                                        const struct ses_store_params *params,
                                        struct ses_note *note);
/* Finishes what was put (callbacks run), then `on_closed`; free after that. */
void ses_store_close(struct ses_store *store, void (*on_closed)(void *cookie), void *cookie);
void ses_store_free(struct ses_store *store);

/* The seat in which promises are made (receipt fields), and which inboxes belong to it: those whose
 * digest mod num_swarms (a power of two, at least 1) is `swarm`. SES_SWARM_NONE: no seat, no inbox.
 * The live view becomes that of the new seat; what is stored stays. */
struct ses_store_seat {
    uint32_t swarm;
    uint32_t num_swarms;
    uint64_t from_epoch;
};
void ses_store_set_seat(struct ses_store *store, const struct ses_store_seat *seat);
/* No record is admitted to this epoch or one before from now on. Durable before it returns; never
 * goes down; blocking. -1: nothing is sealed. */
SES_CHECKED enum ses_err ses_store_seal(struct ses_store *store, int64_t sealed_epoch);
int64_t ses_store_sealed(const struct ses_store *store);
/* A new, restored or emptied store (one without the meta.db that belongs to it) does not know what
 * it sealed before: it takes no record until something is sealed, and commits to nothing until it
 * was compared with the other members once: ses_store_mark_synced says that this was done, durably.
 */
bool ses_store_needs_sync(const struct ses_store *store);
SES_CHECKED enum ses_err ses_store_mark_synced(struct ses_store *store);

/* ---- put ---- */
/* The epochs of other members' valid receipts that came with a record: k of them with an epoch of
 * at most e admit it to e for k sixths of freezeSeconds longer (k <= 5). */
#define SES_VOUCHERS_MAX 5u
struct ses_vouchers {
    uint8_t cnt;
    uint64_t epochs[SES_VOUCHERS_MAX]; /* the least ones, ascending */
};
/* One receipt more; at most one for each member. */
void ses_vouchers_add(struct ses_vouchers *vouchers, uint64_t admit_epoch);

/* What a delete statement deletes; the inbox is the statement's own. */
#define SES_DELETIONS_MAX 64u
struct ses_deletion {
    struct ses_hash id;
    uint64_t ts_ms;
    int16_t ns;
    uint8_t ttl_class;
};
/* Whether a statement may delete it: a record not later than the statement by more than 130 s, and
 * whose segment expires no later than the statement's, so that nothing comes back to life. A
 * statement with other targets is malformed; the store passes such a target over. */
bool ses_deletion_allowed(const struct ses_record_ids *statement,
                          const struct ses_deletion *target);

struct ses_put_result {
    enum ses_err err;
    bool existed;
    bool earlier;               /* it existed, and is admitted to an earlier epoch now */
    struct ses_receipt receipt; /* valid if err == SES_OK: signed after fdatasync */
};
struct ses_put {
    struct ses_record record;         /* copied; already validated by ses_record_identify */
    const struct ses_record_ids *ids; /* copied */
    bool entry;    /* entered here: quota and entry mark are checked, and the record stays on the
                      pending list until ses_store_replicated */
    bool stranger; /* counts against the strangers' quarter of the quota */
    struct ses_vouchers vouchers;
    /* Of a delete statement (a record of kind 1) that the caller has verified; copied. Each
     * target's leaf is of kind 1 and size 0 from the statement's admit_epoch on, whether the
     * message came before, comes later, or never. Pages and ses_store_get pass it over and its
     * bytes leave the quota at once; its payload is kept as long as a snapshot that can be asked
     * for shows kind 0. The statement is a record like others, with a leaf of kind 1 and size 0;
     * pages hold messages only, ses_store_get and sync give it. A full inbox takes those that free
     * more than they take. */
    const struct ses_deletion *targets;
    uint8_t target_cnt;
    void (*on_done)(void *cookie, const struct ses_put_result *result); /* exactly once */
    void *cookie;
};
/* ERR_QUOTA, ERR_DISK_LOW, ERR_FULL (too much in flight: back off), ERR_UNAVAILABLE (stopping, or
 * nothing is sealed yet) at once and then no callback. A known record answers with a new receipt
 * and is not stored twice, a deleted one likewise; one whose copy on disk was found damaged is
 * stored again, in the same epoch as before. */
SES_CHECKED enum ses_err ses_store_put(struct ses_store *store, const struct ses_put *put);
/* Stored, or known to be deleted. */
bool ses_store_has(struct ses_store *store, const struct ses_record_ids *ids);

/* ---- read ---- */
/* Appends `SES_PAGE` bytes (ses_page_write and records) of records of (inbox, ns) that arrived
 * after the cursor and have not expired, on a worker. For a public outbox: the greatest (ts_ms, id)
 * only. A record whose bytes do not match its id is left out, counted and logged. */
struct ses_page_result {
    enum ses_err err;
    const uint8_t *frame; /* a whole response body, borrowed for the call */
    size_t len;
    uint16_t record_cnt;
    bool more;
    struct ses_cursor next;
};
SES_CHECKED enum ses_err
ses_store_page(struct ses_store *store, const struct ses_retrieve *ask,
               void (*on_done)(void *cookie, const struct ses_page_result *result), void *cookie);
/* Called after each batch became durable and readable, once for each record (inbox, ns), to wake
 * watchers. One listener. */
void ses_store_listen(struct ses_store *store,
                      void (*on_record)(void *cookie, const struct ses_hash *inbox, int16_t ns),
                      void *cookie);
/* Called for a record whose bytes on disk do not match its id: fetch it from another member and put
 * it again. One listener. It says whether it sees to it: then at most once until it is put again,
 * else again when it is found again. */
void ses_store_listen_damage(struct ses_store *store,
                             bool (*on_damage)(void *cookie, const struct ses_hash *id,
                                               const struct ses_segment *segment),
                             void *cookie);
/* One live record by id. On a worker. ERR_NOT_FOUND at once and then no callback (deleted ones,
 * too); ERR_CHECKSUM in the callback if its bytes are damaged. */
struct ses_record_copy {
    struct ses_record_ids ids;
    uint8_t *header; /* 48 bytes, then the payload; borrowed for the call */
    uint8_t *payload;
    uint32_t payload_bytes;
};
SES_CHECKED enum ses_err ses_store_get(struct ses_store *store, const struct ses_hash *id,
                                       void (*on_done)(void *cookie, enum ses_err err,
                                                       const struct ses_record_copy *record),
                                       void *cookie);

/* ---- replication debts: survive a restart ---- */
/* Records entered here whose replication is not finished, oldest first. */
SES_CHECKED enum ses_err ses_store_pending(struct ses_store *store,
                                           void (*each)(void *cookie, const struct ses_hash *id,
                                                        const struct ses_segment *segment),
                                           void *cookie);
void ses_store_replicated(struct ses_store *store, const struct ses_hash *id);
/* Receipts of other members for a record entered here; kept until it expires. */
void ses_store_keep_receipt(struct ses_store *store, const struct ses_receipt *receipt);
/* All receipts known for `id`, this node's first (signed anew if needed). On a worker. */
SES_CHECKED enum ses_err ses_store_receipts(struct ses_store *store, const struct ses_hash *id,
                                            void (*on_done)(void *cookie, enum ses_err err,
                                                            const struct ses_receipt *receipts,
                                                            uint16_t receipt_cnt),
                                            void *cookie);

/* ---- upkeep ---- */
/* Unlinks expired segments and index files, and erases deleted payloads that no snapshot shows any
 * more. Call every minute or so. */
void ses_store_expire(struct ses_store *store);
/* Asks the disk how much is free, as every put does. Call it before the statistics. */
void ses_store_measure(struct ses_store *store);
struct ses_store_stats {
    uint64_t record_cnt, payload_bytes, disk_bytes, free_bytes;
    uint64_t inbox_cnt, segment_cnt;
    uint64_t puts, batches, signatures, corrupt_reads, torn_tails;
    uint64_t repaired;      /* damaged records stored again */
    uint64_t erased;        /* deleted records overwritten on disk, since the start */
    uint64_t deleted_cnt;   /* live leaves of kind 1, statements included */
    uint64_t foreign_cnt;   /* records of inboxes that the seat does not serve */
    uint64_t leaf_cnt;      /* of the live view */
    uint32_t open_segments; /* tries in memory, of all views */
    uint64_t forest_bytes;  /* of memory */
    uint64_t forest_builds; /* tries made from leaves */
    uint32_t snapshot_cnt;
    bool entry_refused; /* below the disk-low mark */
    /* The scrub since the start. The unix time at which the last cycle over everything ended, 0:
     * none did. */
    uint64_t scrub_records, scrub_bytes, scrub_damaged, scrub_cycles, scrub_cycle_ms;
};
void ses_store_stats(const struct ses_store *store, struct ses_store_stats *out);

/* ---- a whole check of a store that is not open ---- */
struct ses_verify_report {
    uint64_t log_cnt, log_bytes, record_cnt, index_cnt;
    uint64_t tail_bytes;    /* unfinished writes at the ends of logs: the next start cuts them */
    uint64_t unindexed_cnt; /* records behind what was indexed: the next start adds them */
    uint64_t damage_cnt;    /* anything that no kill and no power loss leaves behind */
};
struct ses_verify_params {
    const struct ses_disk *disk;
    struct ses_hash chain_id;
    uint64_t now_ms;
    void (*on_damage)(void *cookie, const char *text); /* one line each */
    void *cookie;
    struct ses_note *note; /* of an error */
};
/* Reads every log and every row of every index, and has SQLite check each database. SES_OK also if
 * there is damage: the report tells. Errors are those of reading; ERR_VERSION. Blocking. */
SES_CHECKED enum ses_err ses_store_verify(struct ses_verify_report *out,
                                          const struct ses_verify_params *params);

/* ---- small durable values of the node (meta.db, synchronous=FULL): blocking ---- */
SES_CHECKED enum ses_err ses_store_meta_set(struct ses_store *store, const char *key,
                                            const void *value, size_t len);
/* Appends; ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_store_meta_get(struct ses_store *store, const char *key,
                                            struct ses_buf *out);

/* ---- commitments: one for an epoch, whatever crashes ---- */
struct ses_commitment {
    uint64_t epoch;
    struct ses_hash secret; /* its hash is the `next` of this one; the reveal of the one after */
    struct ses_buf bytes;   /* the signed transaction; empty before it is given */
};
/* Remembers the signed bytes and the secret, durably, before it returns. If a commitment for the
 * epoch is remembered already, nothing changes. In both cases *out is what is remembered: send that
 * and nothing else; the caller frees out->bytes. Blocking. ERR_AGAIN before the first full sync;
 * ERR_INVALID without a snapshot of the epoch or for an epoch before the last commitment's. */
SES_CHECKED enum ses_err ses_store_commit(struct ses_store *store, struct ses_commitment *out,
                                          const struct ses_commitment *commitment);
/* The last one with an epoch of at most `epoch`; ERR_NOT_FOUND. Kept for 200 epochs. */
SES_CHECKED enum ses_err ses_store_commitment(struct ses_store *store, struct ses_commitment *out,
                                              uint64_t epoch);

#include "storage/view.h" /* which needs all of this */

#endif
