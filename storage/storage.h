/* storage: the inbox store of a node. Append-only segment logs, a rebuildable SQLite index, durable
 * node metadata, and the receipts that promise what was fsynced.
 *
 *     put ─► gather (<= 2 ms or 256) ─► pwritev + fdatasync + index ─► sign a batch ─► callback
 *            loop thread                 worker (one at a time)          worker
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

/* The seat in which promises are made (receipt fields), and what is sealed (-1: nothing). */
void ses_store_set_seat(struct ses_store *store, uint32_t swarm, uint64_t swarm_from_epoch);
/* Durable before it returns; never goes down. */
SES_CHECKED enum ses_err ses_store_seal(struct ses_store *store, int64_t sealed_epoch);

/* ---- put ---- */
struct ses_put_result {
    enum ses_err err;
    bool existed;
    struct ses_receipt receipt; /* valid if err == SES_OK: signed after fdatasync */
};
struct ses_put {
    struct ses_record record;         /* copied; already validated by ses_record_identify */
    const struct ses_record_ids *ids; /* copied */
    bool entry;       /* entered here: quota and entry mark are checked, and the record stays on the
                         pending list until ses_store_replicated */
    bool stranger;    /* counts against the strangers' quarter of the quota */
    uint8_t vouchers; /* other members' valid receipts that came with it */
    void (*on_done)(void *cookie, const struct ses_put_result *result); /* exactly once */
    void *cookie;
};
/* ERR_QUOTA, ERR_DISK_LOW, ERR_FULL (too much in flight: back off), ERR_UNAVAILABLE (stopping) at
 * once and then no callback. A known record answers with a new receipt and is not stored twice. */
SES_CHECKED enum ses_err ses_store_put(struct ses_store *store, const struct ses_put *put);
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
/* One live record by id. On a worker. ERR_NOT_FOUND at once and then no callback; ERR_CHECKSUM in
 * the callback if its bytes are damaged. */
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

/* The newest live record, the greatest (ts_ms, id), of an owner's namespace (for write tokens). As
 * above. */
SES_CHECKED enum ses_err ses_store_newest(struct ses_store *store, const struct ses_hash *inbox,
                                          int16_t ns,
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
/* Unlinks expired segments and index files. Call every minute or so. */
void ses_store_expire(struct ses_store *store);
struct ses_store_stats {
    uint64_t record_cnt, payload_bytes, disk_bytes, free_bytes;
    uint64_t inbox_cnt, segment_cnt;
    uint64_t puts, batches, signatures, corrupt_reads, torn_tails;
    bool entry_refused; /* below the disk-low mark */
};
void ses_store_stats(const struct ses_store *store, struct ses_store_stats *out);

/* ---- small durable values of the node (meta.db, synchronous=FULL): blocking ---- */
SES_CHECKED enum ses_err ses_store_meta_set(struct ses_store *store, const char *key,
                                            const void *value, size_t len);
/* Appends; ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_store_meta_get(struct ses_store *store, const char *key,
                                            struct ses_buf *out);

#endif
