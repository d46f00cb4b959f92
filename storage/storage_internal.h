/* Inside of storage: who owns what.
 *
 *   store (loop thread) ── catalog   what is stored, in memory: ids, boxes, quotas, segments
 *                       ── queue     puts that wait for the next batch, tasks for the lane
 *                       ── signer    promises that wait for a signature
 *   lane  (one worker at a time) ── log files being appended, index databases
 *   grove (one worker at a time) ── the forests of the views (storage/grove.h)
 *   meta  (any thread, locked)   ── meta.db
 *
 * The loop thread hands a batch to the lane and does not touch it until it comes back; readers get
 * copies of places. So nothing but `sealed` and meta.db is shared, and each has a lock. */
#ifndef SES_STORAGE_INTERNAL_H
#define SES_STORAGE_INTERNAL_H

#include <pthread.h>

#include "storage/catalog.h"
#include "storage/grove.h"
#include "storage/index.h"
#include "storage/log.h"
#include "storage/meta.h"
#include "storage/storage.h"

#define SES_BATCH_MAX 256u
#define SES_LANE_FILES 64u   /* open at once, and touched by one batch */
#define SES_LANE_INDEXES 80u /* class x day: 58 can be live */
#define SES_GATHER_MS 2u     /* storage page: gather <= 2 ms or 256 records */
#define SES_SIGN_MS 10u      /* storage page: <= 10 ms or 256 records */
#define SES_SIGNED_MS 1000u
#define SES_FULL_MS 1000u  /* after a refusal of the disk's own */
#define SES_PUTS_MAX 4096u /* in flight */
#define SES_PUT_BYTES_MAX (64u << 20)
#define SES_TASKS_MAX 8192u
#define SES_READS_MAX 256u
#define SES_SNAPSHOTS_MAX 8u
#define SES_RECORDS_MAX (1u << 24) /* some 200 bytes of memory each */

/* One ses_store_put (or one wish for a receipt) from call to callback. */
struct ses_op {
    struct ses_op *next;
    struct ses_op *followers; /* puts of the same record that came while this one was written */
    struct ses_record_ids ids;
    uint32_t entry; /* in the catalog */
    uint32_t self;  /* in the pool of ops */
    uint8_t flags;  /* SES_FLAG_ENTRY, _STRANGER, _PENDING */
    struct ses_vouchers vouchers;
    bool existed;
    bool again;       /* the entry is live: its record is stored once more, or after all */
    bool fixed_epoch; /* it keeps its admit_epoch */
    bool earlier;     /* the entry is live, and admitted to an earlier epoch now */
    uint8_t target_cnt;
    struct ses_deletion *targets; /* owned; of a statement, those that are allowed */
    uint8_t *bytes; /* log prefix, header, payload; NULL if nothing is to be written */
    uint32_t len;
    uint32_t payload_bytes;
    uint32_t file; /* of the batch */
    uint64_t offset;
    uint64_t seq;
    uint64_t admit_epoch;
    void (*on_done)(void *cookie, const struct ses_put_result *result);
    void *cookie;
};
struct ses_op_list {
    struct ses_op *first;
    struct ses_op **end; /* where the next one is linked; NULL: list is empty */
    uint32_t cnt;
};
void ses_op_push(struct ses_op_list *list, struct ses_op *op);
struct ses_op *ses_op_pop(struct ses_op_list *list); /* NULL if empty */

/* A piece of work for the lane: `run` on the worker inside the batch's index transactions, `done`
 * on the loop, which frees it. */
struct ses_lane;
struct ses_task {
    struct ses_task *next;
    enum ses_err err;
    const struct ses_segment *kept; /* whose index must keep what is written; NULL: none must */
    enum ses_err (*run)(struct ses_task *task, struct ses_lane *lane);
    void (*done)(struct ses_task *task, struct ses_store *store);
};

/* Log files of one batch. */
struct ses_batch_file {
    struct ses_segment segment;
    uint64_t start; /* where the batch begins */
    uint64_t end;
};
struct ses_batch {
    struct ses_store *store;
    struct ses_op *ops[SES_BATCH_MAX];
    uint32_t op_cnt;
    struct ses_batch_file files[SES_LANE_FILES];
    uint32_t file_cnt;
    struct ses_task *tasks;
    uint64_t free_bytes;
    bool refused;     /* no space: nothing was written */
    enum ses_err err; /* the store stops */
    const char *what; /* of err */
};

/* Log files and index databases; used by one worker at a time, and at start. */
struct ses_lane_file {
    struct ses_segment segment;
    struct ses_file *file; /* NULL: free slot */
    uint64_t used;
};
struct ses_lane {
    const struct ses_disk *disk;
    const struct ses_log *log;
    uint8_t instance[8];
    uint64_t ticks;
    struct ses_lane_file files[SES_LANE_FILES];
    struct ses_index *indexes[SES_LANE_INDEXES];
    uint32_t recent; /* slot of the index used last */
};
void ses_lane_init(struct ses_lane *lane, const struct ses_disk *disk, const struct ses_log *log);
void ses_lane_close(struct ses_lane *lane);
/* The open log file of a segment; `create` makes file and directory entry durable. */
SES_CHECKED enum ses_err ses_lane_file(struct ses_lane *lane, const struct ses_segment *segment,
                                       bool create, struct ses_file **out);
void ses_lane_forget_file(struct ses_lane *lane, const struct ses_segment *segment);
/* The index of a class and day, inside a transaction; *out NULL if it fell behind for lack of space
 * (then it takes nothing more until the next start re-indexes the log). */
SES_CHECKED enum ses_err ses_lane_index(struct ses_lane *lane, uint8_t ttl_class, uint32_t day,
                                        struct ses_index **out);
void ses_lane_drop_index(struct ses_lane *lane, uint8_t ttl_class, uint32_t day);
/* Lack of space is no error: the index falls behind. */
SES_CHECKED enum ses_err ses_lane_insert(struct ses_lane *lane, const struct ses_index_row *row,
                                         uint64_t segment_end);
SES_CHECKED enum ses_err ses_lane_commit(struct ses_lane *lane);
/* Its index fell behind: what was written into it since the last commit is in no index. */
bool ses_lane_behind(const struct ses_lane *lane, const struct ses_segment *segment);
void ses_segment_path(char out[48], const struct ses_segment *segment);

/* Promises waiting for a signature, and the one being made. */
struct ses_sign_job {
    struct ses_store *store;
    struct ses_op *ops[SES_RECEIPT_BATCH_MAX];
    struct ses_receipt_leaf leaves[SES_RECEIPT_BATCH_MAX];
    struct ses_receipt receipts[SES_RECEIPT_BATCH_MAX];
    uint16_t cnt;
    enum ses_err err;
};
struct ses_signer {
    struct ses_op_list queue;
    bool busy;
    struct ses_timer *timer;
    bool urgent; /* the timer fires at once */
    uint64_t last_ms;
    struct ses_sign_job *job;
    struct ses_meta_signed row; /* signed since the last write to meta.db */
    uint64_t row_ms;
};

/* The scrub: where it is, and what it found. */
struct ses_scrub {
    struct ses_timer *timer;
    uint32_t entry;    /* to be read next, SES_NONE: the segment is done */
    uint32_t next_seg; /* the slot behind it */
    bool whole;        /* the cycle began at the beginning */
    uint64_t begun_ms; /* monotonic */
    uint64_t records, bytes, damaged, cycles, cycle_ms;
};

enum ses_store_phase { SES_PHASE_OPEN, SES_PHASE_CLOSING, SES_PHASE_CLOSED };
struct ses_store {
    struct ses_store_params p;
    struct ses_catalog catalog;
    struct ses_lane lane;
    struct ses_meta *meta;
    struct ses_slab ops;
    uint64_t next_seq;
    struct ses_store_seat seat;
    pthread_mutex_t lock; /* of sealed */
    int64_t sealed;
    int64_t sealed_saved;                   /* in meta.db */
    int64_t expired_day[SES_TTL_CLASS_CNT]; /* its index and those before are gone */
    enum ses_store_phase phase;
    bool fatal;
    struct ses_op_list queue;
    uint32_t put_cnt; /* in flight */
    uint64_t put_bytes;
    struct ses_task *tasks;
    struct ses_task **tasks_end;
    uint32_t task_cnt;
    bool writing;
    struct ses_timer *gather;
    uint64_t last_batch_ms;
    struct ses_batch writes[2]; /* one is written while callbacks of the other run */
    unsigned batch_at;
    uint64_t batches_started, batches_finished; /* of the lane; the latter are in the catalog */
    uint64_t sealing_batch;                     /* started before the last seal */
    bool synced;
    struct ses_grove grove;
    struct ses_snapshot snapshots[SES_SNAPSHOTS_MAX]; /* by epoch */
    uint32_t snapshot_cnt;
    struct ses_signer signer;
    struct ses_scrub scrub;
    uint32_t read_cnt; /* in flight */
    uint64_t free_bytes;
    bool full; /* the disk refused a batch */
    uint64_t full_ms;
    void (*on_record)(void *cookie, const struct ses_hash *inbox, int16_t ns);
    void *record_cookie;
    bool (*on_damage)(void *cookie, const struct ses_hash *id, const struct ses_segment *segment);
    void *damage_cookie;
    void (*on_closed)(void *cookie);
    void *closed_cookie;
    uint64_t puts, batches, signatures, corrupt_reads, torn_tails, repaired, erased;
};

/* Starts a batch now or soon if there is something to do. */
void ses_batch_kick(struct ses_store *store);
void ses_task_push(struct ses_store *store, struct ses_task *task);
/* The part of a batch that runs on the worker. */
void ses_batch_run(void *cookie);
SES_CHECKED enum ses_err ses_op_new(struct ses_store *store, struct ses_op **out);
void ses_sign_push(struct ses_store *store, struct ses_op *op);
/* A put of a record that is stored: a receipt, and the debt if it is new. */
SES_CHECKED enum ses_err ses_put_known(struct ses_store *store, struct ses_op *op);
/* Takes a reserved entry back. */
void ses_put_cancel(struct ses_store *store, uint32_t entry);
/* A new record is durable, or was refused by the disk; its entry is still there. */
void ses_put_written(struct ses_store *store, const struct ses_op *op);
/* Undoes what ses_store_put did for an op of the queue. */
void ses_put_take_back(struct ses_store *store, struct ses_op *op);
/* Calls back with `err` and frees `op` and its followers. */
void ses_put_op_fail(struct ses_store *store, struct ses_op *op, enum ses_err err);
/* As above, with the signed receipt. */
void ses_op_succeed(struct ses_store *store, struct ses_op *op, const struct ses_receipt *receipt);
void ses_store_fail(struct ses_store *store, enum ses_err err, const char *what);
/* Goes on with closing when nothing is under way; the last thing a callback from the loop does. */
void ses_store_settle(struct ses_store *store);
/* Queues what was signed for meta.db if it is time (or `now`). */
void ses_signed_flush(struct ses_store *store, bool now);
/* The last day of which everything has expired; negative if there is none. */
int64_t ses_expired_day(uint8_t ttl_class, uint64_t now_ms);
SES_CHECKED enum ses_err ses_store_recover(struct ses_store *store, struct ses_note *note);
uint64_t ses_store_free_bytes(const struct ses_store *store);

/* ---- snapshot.c ---- */
SES_CHECKED enum ses_err ses_snapshots_load(struct ses_store *store);
/* Forgets those that cannot be asked for any more. */
void ses_snapshots_expire(struct ses_store *store, uint64_t now_ms);
/* A job is making it. */
bool ses_snapshot_awaited(const struct ses_store *store, uint64_t epoch);
/* A snapshot of this epoch can be asked for. */
bool ses_snapshot_open(const struct ses_store *store, uint64_t epoch, uint64_t now_ms);

/* ---- delete.c ---- */
/* Copies what a statement may delete, and makes room for it. */
SES_CHECKED enum ses_err ses_put_targets(struct ses_store *store, struct ses_op *op,
                                         const struct ses_put *put);
/* The statement is in the catalog. */
void ses_delete_targets(struct ses_store *store, const struct ses_op *op);

/* ---- erase.c ---- */
void ses_erase_deleted(struct ses_store *store, uint64_t now_ms);

/* ---- scrub.c ---- */
void ses_scrub_start(struct ses_store *store);
void ses_scrub_stop(struct ses_store *store);

/* ---- admit.c ---- */
/* ses_admit_epoch where each voucher counts for its own epoch and those after it. */
uint64_t ses_vouched_epoch(const struct ses_times *times, uint64_t ts_ms, uint64_t accepted_ms,
                           int64_t sealed, const struct ses_vouchers *vouchers);

/* A place in a log that a worker reads. */
struct ses_place {
    struct ses_hash id;
    struct ses_segment segment;
    uint64_t offset;
    uint64_t seq;
    uint32_t payload_bytes;
    bool damaged; /* found to be */
};
/* A worker found it damaged: counted, logged and reported, once until it is stored again. False if
 * that was done before, if the listener had no room, or if nothing is held there any more. */
bool ses_place_damaged(struct ses_store *store, const struct ses_place *place);
/* ERR_UNAVAILABLE, ERR_FULL. */
SES_CHECKED enum ses_err ses_check_read(const struct ses_store *store);
/* As ses_store_get, whatever the entry is; its record is on disk. */
SES_CHECKED enum ses_err ses_read_entry(struct ses_store *store, uint32_t entry,
                                        void (*on_done)(void *cookie, enum ses_err err,
                                                        const struct ses_record_copy *record),
                                        void *cookie);
void ses_place_of(struct ses_place *out, const struct ses_catalog *catalog, uint32_t entry);
/* Reads header and payload (48 + payload_bytes) into `out` and checks them against the id:
 * ERR_CHECKSUM. `ids` is what they are. `file` is opened if NULL and stays open. Any thread. */
SES_CHECKED enum ses_err ses_place_read(const struct ses_disk *disk, struct ses_file **file,
                                        const struct ses_place *place, uint8_t *out,
                                        struct ses_record_ids *ids);

#endif
