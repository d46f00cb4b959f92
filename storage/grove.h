/* The forests of a store, made from its catalog. Inside of storage.
 *
 *   loop thread: jobs and changes wait; before a run, what the jobs miss is copied out of the
 * catalog worker (one run at a time): changes go into open tries, tries are built, jobs are
 * answered
 *
 * Between two runs everything here is the loop's, during a run all but the waiting jobs and changes
 * is the worker's. A change of a segment that is not open makes its sum unknown; what is unknown is
 * built from the catalog when a job needs it. So nothing here can be lost or be out of step. */
#ifndef SES_STORAGE_GROVE_H
#define SES_STORAGE_GROVE_H

#include "storage/storage.h"

#define SES_VIEWS_MAX 16u
#define SES_JOBS_MAX 1024u
#define SES_GATHER_LEAVES (1u << 17) /* copied for one run, or one segment */
#define SES_CHANGES_MAX 1024u        /* wait for a job; then a run is started for them */
#define SES_FOREST_BYTES ((uint64_t)64 << 20)
#define SES_OPEN_LEAF_BYTES 112u /* of an open trie */

struct ses_grove_seg {
    struct ses_segment_id id;
    bool known; /* the view's forest has its sum, or it is empty */
    bool empty;
    bool open;         /* its trie is there */
    bool copy;         /* the sum of the live view is the same, if that is known */
    uint64_t leaf_cnt; /* of the trie, about */
    uint64_t used;     /* the last run in which its trie was needed */
};
struct ses_grove_view {
    struct ses_view key;
    bool used;
    uint64_t tick; /* run that used it last */
    struct ses_forest *forest;
    struct ses_grove_seg *segs; /* by id */
    uint32_t seg_cnt, seg_cap;
};

/* One ask. `run` on the worker may answer ERR_AGAIN after setting `missing`: it runs again when
 * that segment is open. `done` on the loop frees it. */
struct ses_job {
    struct ses_job *next;
    struct ses_store *store;
    bool own;            /* the live view of the store's seat */
    bool create;         /* the view of a snapshot that is being made */
    bool sums;           /* every sum must be known */
    struct ses_view key; /* unless `own` */
    struct ses_grove_view *view;
    struct ses_buf needs;          /* of struct ses_segment_id: tries that must be open */
    struct ses_segment_id missing; /* the next one */
    uint64_t after_batch;          /* not before that batch is in the catalog */
    enum ses_err err;
    enum ses_err (*run)(struct ses_job *job);
    void (*done)(struct ses_job *job);
};
struct ses_grove_build {
    struct ses_job *job; /* which hears of an error */
    struct ses_grove_view *view;
    struct ses_segment_id segment;
    struct ses_leaf *leaves;
    size_t cnt;
};

struct ses_grove_stats {
    uint64_t bytes, build_cnt;
    uint32_t open_cnt;
};
enum ses_grove_forget { SES_FORGET_NOTHING, SES_FORGET_OTHERS, SES_FORGET_LIVE };
struct ses_grove {
    struct ses_forest_pool *pool;
    struct ses_grove_view views[SES_VIEWS_MAX];
    struct ses_job *jobs, **jobs_end;
    uint32_t job_cnt; /* waiting and running */
    struct ses_buf changes;
    enum ses_grove_forget forget; /* live views, before the next run */
    struct ses_timer *timer;
    bool busy;
    uint32_t live_cnt; /* live views */
    /* of the run */
    uint64_t run_no;
    struct ses_job *running;
    struct ses_buf applied;
    struct ses_buf builds;
    size_t gathered;
    struct ses_grove_stats now;
    struct ses_grove_stats last; /* of the run before: the loop's */
};

SES_CHECKED enum ses_err ses_grove_init(struct ses_store *store);
void ses_grove_free(struct ses_store *store);
/* The entry's leaf is another one now. */
void ses_grove_touch(struct ses_store *store, uint32_t entry);
/* Queues a job; the caller checked ses_job_check. */
void ses_job_push(struct ses_store *store, struct ses_job *job);
/* ERR_UNAVAILABLE, ERR_FULL, ERR_INVALID for a view that is none. */
SES_CHECKED enum ses_err ses_job_check(const struct ses_store *store, const struct ses_view *view);
void ses_job_init(struct ses_job *job, struct ses_store *store, const struct ses_view *view);
/* Starts a run now or soon if there is something to do. */
void ses_grove_kick(struct ses_store *store);
static inline bool ses_grove_waits(const struct ses_grove *grove)
{
    return grove->busy || grove->job_cnt > 0;
}

/* ---- grove_view.c ---- */
struct ses_grove_seg *ses_grove_find(const struct ses_grove_view *view,
                                     const struct ses_segment_id *id);
SES_CHECKED enum ses_err ses_grove_add(struct ses_grove_view *view, const struct ses_segment_id *id,
                                       struct ses_grove_seg **out);
void ses_grove_view_free(struct ses_grove *grove, struct ses_grove_view *view);
/* The job's view, made if it is not there. Between runs. */
SES_CHECKED enum ses_err ses_grove_view(struct ses_job *job);
static inline bool ses_grove_live(const struct ses_grove_view *view)
{
    return view->used && view->key.epoch == SES_EPOCH_LIVE;
}

/* ---- grove_run.c ---- */
void ses_grove_run(void *cookie); /* of the store */

#endif
