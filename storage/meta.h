/* data/meta.db: what a node must never forget. synchronous=FULL; a lock, because the loop thread
 * and the lane both write here. */
#ifndef SES_STORAGE_META_H
#define SES_STORAGE_META_H

#include "storage/storage.h"

#define SES_META_VERSION 2u /* 1 had no snapshots and commitments: taken over */
#define SES_META_KEY_MAX 128u
#define SES_META_VALUE_MAX (16u << 20)

/* Receipts signed in one seat, added up by minute. Every receipt promises a record that its log
 * holds with its admit_epoch, so the logs alone say what was promised; these rows say in which
 * seats and when, for accounting. That is why it suffices to write them once a second, in one
 * transaction, and not to wait for them before a receipt leaves. */
struct ses_meta_signed {
    uint64_t minute; /* unix */
    uint32_t swarm;
    uint64_t swarm_from_epoch;
    uint64_t epoch_min;
    uint64_t epoch_max;
    uint64_t batch_cnt;
    uint64_t leaf_cnt;
};

struct ses_meta; /* any thread */
struct ses_meta_start {
    uint8_t instance[8]; /* of this store; new with a new meta.db */
    uint64_t boot;       /* counts starts; durable */
    int64_t sealed;      /* -1: nothing */
    bool synced;         /* compared with the other members since it was created */
};
/* Opens or creates, and counts the start. ERR_VERSION, ERR_CHECKSUM with a note. */
SES_CHECKED enum ses_err ses_meta_open(struct ses_meta **out, struct ses_meta_start *start,
                                       const struct ses_disk *disk, const struct ses_random *random,
                                       struct ses_note *note);
void ses_meta_close(struct ses_meta *meta);
SES_CHECKED enum ses_err ses_meta_set(struct ses_meta *meta, const char *key, const void *value,
                                      size_t len);
/* Appends. ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_meta_get(struct ses_meta *meta, const char *key, struct ses_buf *out);
SES_CHECKED enum ses_err ses_meta_set_u64(struct ses_meta *meta, const char *key, uint64_t value);
/* Adds to the row of the minute and seat. */
SES_CHECKED enum ses_err ses_meta_add_signed(struct ses_meta *meta,
                                             const struct ses_meta_signed *row);
/* Forgets rows before `minute`. */
SES_CHECKED enum ses_err ses_meta_trim_signed(struct ses_meta *meta, uint64_t minute);
#define SES_META_BOOT "storage.boot"
#define SES_META_SEALED "storage.sealed"
#define SES_META_SYNCED "storage.synced"

/* ---- snapshots: 53 bytes a segment, by id (meta_epoch.c) ---- */
#define SES_SNAPSHOT_SEGMENT_BYTES (SES_SEGMENT_ID_BYTES + 48u)
SES_CHECKED enum ses_err ses_meta_put_snapshot(struct ses_meta *meta,
                                               const struct ses_snapshot *snapshot,
                                               const uint8_t *segments, size_t len);
/* The segments; appends. ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_meta_get_snapshot(struct ses_meta *meta, uint64_t epoch,
                                               struct ses_buf *segments);
SES_CHECKED enum ses_err
ses_meta_each_snapshot(struct ses_meta *meta,
                       enum ses_err (*each)(void *cookie, const struct ses_snapshot *snapshot),
                       void *cookie);
/* Those up to and including `last`. */
SES_CHECKED enum ses_err ses_meta_drop_snapshots(struct ses_meta *meta, uint64_t last);

/* ---- commitments ---- */
/* Stores it unless there is one for the epoch; *out, whose bytes are the caller's, is what stands
 * there then. ERR_INVALID if a later one is there. */
SES_CHECKED enum ses_err ses_meta_put_commitment(struct ses_meta *meta, struct ses_commitment *out,
                                                 const struct ses_commitment *commitment);
/* The last one with an epoch of at most `epoch`. ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_meta_get_commitment(struct ses_meta *meta, struct ses_commitment *out,
                                                 uint64_t epoch);

/* For meta_epoch.c. */
struct sqlite3 *ses_meta_lock(struct ses_meta *meta);
void ses_meta_unlock(struct ses_meta *meta);

#endif
