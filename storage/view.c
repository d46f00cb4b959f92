/* Asks about a view: sums, children, leaves, proofs. Each is a job of the grove. */
#include <string.h>

#include "storage/storage_internal.h"

/* The trie of a segment that is open; NULL if the view has no leaf there. */
static struct ses_forest_trie *trie_of(const struct ses_job *job, const struct ses_segment_id *id)
{
    struct ses_forest *forest = job->view->forest;
    struct ses_forest_segment segment;
    size_t index;
    if (!ses_forest_find(forest, id, &index)) {
        return NULL;
    }
    ses_forest_segment(forest, index, &segment);
    return segment.trie;
}

static enum ses_err need(struct ses_job *job, const struct ses_segment_id *id)
{
    for (size_t at = 0; at < job->needs.len; at += sizeof *id) {
        if (memcmp(job->needs.bytes + at, id, sizeof *id) == 0) {
            return SES_OK;
        }
    }
    return ses_buf_append(&job->needs, id, sizeof *id);
}

/* ---- segments ---- */
struct segments_job {
    struct ses_job job;
    uint32_t from_hour;
    struct ses_buf states;
    struct ses_sum sum;
    void (*on_done)(void *cookie, const struct ses_segments_result *result);
    void *cookie;
};

static enum ses_err segments_run(struct ses_job *job)
{
    struct segments_job *j = (struct segments_job *)job;
    struct ses_forest *forest = job->view->forest;
    for (size_t i = 0; i < ses_forest_segment_cnt(forest); i++) {
        struct ses_forest_segment segment;
        ses_forest_segment(forest, i, &segment);
        if (ses_get_u32(segment.id.bytes + 1) >= j->from_hour) {
            struct ses_segment_state state;
            memset(&state, 0, sizeof state);
            state.id = segment.id;
            state.sum = segment.sum;
            SES_TRY(ses_buf_append(&j->states, &state, sizeof state));
        }
    }
    ses_forest_sum(forest, &j->sum);
    return SES_OK;
}

static void segments_done(struct ses_job *job)
{
    struct segments_job *j = (struct segments_job *)job;
    struct ses_segments_result result = {.err = job->err};
    if (job->err == SES_OK) {
        result.segments = (const struct ses_segment_state *)(const void *)j->states.bytes;
        result.segment_cnt = j->states.len / sizeof *result.segments;
        result.sum = j->sum;
    }
    j->on_done(j->cookie, &result);
    ses_buf_free(&j->states);
    ses_free(j);
}

enum ses_err
ses_store_segments(struct ses_store *store, const struct ses_view *view, uint32_t from_hour,
                   void (*on_done)(void *cookie, const struct ses_segments_result *result),
                   void *cookie)
{
    SES_TRY(ses_job_check(store, view));
    struct segments_job *j = ses_alloc(1, sizeof *j);
    SES_REQUIRE(j != NULL, SES_ERR_MEMORY);
    ses_job_init(&j->job, store, view);
    j->job.sums = true;
    j->job.run = segments_run;
    j->job.done = segments_done;
    j->from_hour = from_hour;
    j->on_done = on_done;
    j->cookie = cookie;
    ses_job_push(store, &j->job);
    return SES_OK;
}

/* ---- children ---- */
struct children_job {
    struct ses_job job;
    void (*on_done)(void *cookie, enum ses_err err, const struct ses_sum (*sums)[16],
                    size_t ask_cnt);
    void *cookie;
    struct ses_sum (*sums)[16];
    size_t ask_cnt;
    struct ses_children_ask asks[];
};

static enum ses_err children_run(struct ses_job *job)
{
    struct children_job *j = (struct children_job *)job;
    for (size_t i = 0; i < j->ask_cnt; i++) {
        struct ses_forest_trie *trie = trie_of(job, &j->asks[i].segment);
        if (trie != NULL) {
            ses_forest_trie_children(trie, j->sums[i], &j->asks[i].prefix, j->asks[i].nibble_cnt);
        } else {
            memset(j->sums[i], 0, sizeof j->sums[i]);
        }
    }
    return SES_OK;
}

static void children_done(struct ses_job *job)
{
    struct children_job *j = (struct children_job *)job;
    j->on_done(j->cookie, job->err, job->err == SES_OK ? j->sums : NULL,
               job->err == SES_OK ? j->ask_cnt : 0);
    ses_free(j->sums);
    ses_free(j);
}

static enum ses_err children_fill(struct children_job *j, const struct ses_children_ask *asks)
{
    j->sums = ses_alloc(j->ask_cnt, sizeof *j->sums);
    SES_REQUIRE(j->sums != NULL, SES_ERR_MEMORY);
    for (size_t i = 0; i < j->ask_cnt; i++) {
        SES_REQUIRE(asks[i].nibble_cnt < SES_LEAF_NIBBLES, SES_ERR_INVALID);
        j->asks[i] = asks[i];
        SES_TRY(need(&j->job, &asks[i].segment));
    }
    return SES_OK;
}

enum ses_err ses_store_children(struct ses_store *store, const struct ses_view *view,
                                const struct ses_children_ask *asks, size_t ask_cnt,
                                void (*on_done)(void *cookie, enum ses_err err,
                                                const struct ses_sum (*sums)[16], size_t ask_cnt),
                                void *cookie)
{
    SES_TRY(ses_job_check(store, view));
    SES_REQUIRE(ask_cnt > 0 && ask_cnt <= SES_CHILDREN_ASKS_MAX, SES_ERR_INVALID);
    struct children_job *j = ses_alloc(1, sizeof *j + ask_cnt * sizeof *asks);
    SES_REQUIRE(j != NULL, SES_ERR_MEMORY);
    ses_job_init(&j->job, store, view);
    j->ask_cnt = ask_cnt;
    const enum ses_err err = children_fill(j, asks);
    if (err != SES_OK) {
        ses_buf_free(&j->job.needs);
        ses_free(j->sums);
        ses_free(j);
        return err;
    }
    j->job.run = children_run;
    j->job.done = children_done;
    j->on_done = on_done;
    j->cookie = cookie;
    ses_job_push(store, &j->job);
    return SES_OK;
}

/* ---- leaves ---- */
struct leaves_job {
    struct ses_job job;
    struct ses_forest_range range;
    uint64_t positions[SES_POSITIONS_MAX];
    size_t max;
    void (*on_done)(void *cookie, enum ses_err err, const struct ses_leaf *leaves, size_t leaf_cnt);
    void *cookie;
    size_t leaf_cnt;
    struct ses_leaf *leaves; /* as many as are asked for: a page fills few of them */
};

static enum ses_err range_run(struct ses_job *job)
{
    struct leaves_job *j = (struct leaves_job *)job;
    const struct ses_forest_trie *trie = trie_of(job, &j->range.segment);
    if (trie != NULL) {
        j->leaf_cnt = ses_forest_trie_range(trie, j->leaves, j->max, &j->range.low, &j->range.high);
    }
    return SES_OK;
}

static enum ses_err at_run(struct ses_job *job)
{
    struct leaves_job *j = (struct leaves_job *)job;
    for (size_t i = 0; i < j->max; i++) {
        SES_TRY(ses_forest_at(job->view->forest, j->positions[i], &job->missing, &j->leaves[i]));
    }
    j->leaf_cnt = j->max;
    return SES_OK;
}

static void leaves_free(struct leaves_job *j)
{
    ses_free(j->leaves);
    ses_free(j);
}

static void leaves_done(struct ses_job *job)
{
    struct leaves_job *j = (struct leaves_job *)job;
    j->on_done(j->cookie, job->err, job->err == SES_OK ? j->leaves : NULL,
               job->err == SES_OK ? j->leaf_cnt : 0);
    leaves_free(j);
}

static enum ses_err leaves_job_new(struct leaves_job **out, struct ses_store *store,
                                   const struct ses_view *view, size_t max)
{
    SES_TRY(ses_job_check(store, view));
    struct leaves_job *j = ses_alloc(1, sizeof *j);
    SES_REQUIRE(j != NULL, SES_ERR_MEMORY);
    j->leaves = ses_realloc(NULL, max, sizeof *j->leaves); /* not zeroed */
    if (j->leaves == NULL) {
        ses_free(j);
        return SES_ERR_MEMORY;
    }
    ses_job_init(&j->job, store, view);
    j->job.done = leaves_done;
    j->max = max;
    *out = j;
    return SES_OK;
}

enum ses_err ses_store_leaves(struct ses_store *store, const struct ses_view *view,
                              const struct ses_forest_range *range, size_t max,
                              void (*on_done)(void *cookie, enum ses_err err,
                                              const struct ses_leaf *leaves, size_t leaf_cnt),
                              void *cookie)
{
    struct leaves_job *j;
    SES_REQUIRE(max > 0 && max <= SES_LEAVES_MAX, SES_ERR_INVALID);
    SES_TRY(leaves_job_new(&j, store, view, max));
    j->range = *range;
    const enum ses_err err = need(&j->job, &range->segment);
    if (err != SES_OK) {
        leaves_free(j);
        return err;
    }
    j->job.run = range_run;
    j->on_done = on_done;
    j->cookie = cookie;
    ses_job_push(store, &j->job);
    return SES_OK;
}

enum ses_err ses_store_leaves_at(struct ses_store *store, const struct ses_view *view,
                                 const uint64_t *positions, size_t position_cnt,
                                 void (*on_done)(void *cookie, enum ses_err err,
                                                 const struct ses_leaf *leaves, size_t leaf_cnt),
                                 void *cookie)
{
    struct leaves_job *j;
    SES_REQUIRE(position_cnt > 0 && position_cnt <= SES_POSITIONS_MAX, SES_ERR_INVALID);
    SES_TRY(leaves_job_new(&j, store, view, position_cnt));
    memcpy(j->positions, positions, position_cnt * sizeof *positions);
    j->job.sums = true;
    j->job.run = at_run;
    j->on_done = on_done;
    j->cookie = cookie;
    ses_job_push(store, &j->job);
    return SES_OK;
}

/* ---- proofs ---- */
struct prove_job {
    struct ses_job job;
    struct ses_forest_range *ranges;
    uint64_t positions[SES_POSITIONS_MAX];
    struct ses_forest_question question;
    struct ses_buf proof;
    void (*on_done)(void *cookie, enum ses_err err, const uint8_t *proof, size_t len);
    void *cookie;
};

static enum ses_err prove_run(struct ses_job *job)
{
    struct prove_job *j = (struct prove_job *)job;
    return ses_forest_prove(job->view->forest, &j->proof, &j->question, &job->missing);
}

static void prove_free(struct prove_job *j)
{
    ses_buf_free(&j->proof);
    ses_free(j->ranges);
    ses_free(j);
}

static void prove_done(struct ses_job *job)
{
    struct prove_job *j = (struct prove_job *)job;
    j->on_done(j->cookie, job->err, job->err == SES_OK ? j->proof.bytes : NULL,
               job->err == SES_OK ? j->proof.len : 0);
    prove_free(j);
}

static enum ses_err copy_question(struct prove_job *j, const struct ses_forest_question *question)
{
    j->question = *question;
    j->question.positions = j->positions;
    for (size_t i = 0; i < question->position_cnt; i++) {
        j->positions[i] = question->positions[i];
    }
    j->ranges = ses_alloc(question->range_cnt + 1, sizeof *j->ranges);
    SES_REQUIRE(j->ranges != NULL, SES_ERR_MEMORY);
    j->question.ranges = j->ranges;
    for (size_t i = 0; i < question->range_cnt; i++) {
        j->ranges[i] = question->ranges[i];
        SES_TRY(need(&j->job, &question->ranges[i].segment));
    }
    return SES_OK;
}

enum ses_err ses_store_prove(struct ses_store *store, const struct ses_view *view,
                             const struct ses_forest_question *question,
                             void (*on_done)(void *cookie, enum ses_err err, const uint8_t *proof,
                                             size_t len),
                             void *cookie)
{
    SES_TRY(ses_job_check(store, view));
    SES_REQUIRE(question->position_cnt <= SES_POSITIONS_MAX &&
                    question->range_cnt <= SES_RANGES_MAX,
                SES_ERR_INVALID);
    struct prove_job *j = ses_alloc(1, sizeof *j);
    SES_REQUIRE(j != NULL, SES_ERR_MEMORY);
    ses_job_init(&j->job, store, view);
    const enum ses_err err = copy_question(j, question);
    if (err != SES_OK) {
        ses_buf_free(&j->job.needs);
        prove_free(j);
        return err;
    }
    j->job.sums = true;
    j->job.run = prove_run;
    j->job.done = prove_done;
    j->on_done = on_done;
    j->cookie = cookie;
    ses_job_push(store, &j->job);
    return SES_OK;
}
