/* ChallengeResponse: the verdicts, and the openings that the chain drew or somebody demanded.
 *
 *     prove (one proof for all) ─► check it ─► a chunk for each leaf ─► sign ─► submit
 *
 * What cannot be opened is tried again until it is nearly too late; then the response goes without
 * it, because a response with one opening lacking costs the same miss and serves the others. */
#include <inttypes.h>

#include "daemon/daemon_internal.h"
#include "daemon/epoch.h"

struct response_job {
    struct ses_daemon *d;
    uint64_t epoch;
    struct ses_committed root;
    uint32_t owed_cnt;
    struct ses_owed owed[SES_OWED_MAX];
    struct ses_forest_range ranges[SES_OWED_MAX]; /* of the question */
    uint64_t positions[SES_OWED_MAX];
    size_t range_cnt, position_cnt;
    struct ses_buf proof;
    struct ses_opened opened;
    uint32_t at; /* the next one of owed to be opened */
    struct ses_leaf leaf;
    uint8_t chunks[SES_OWED_MAX][SES_CHUNK_BYTES];
    struct ses_tx tx;
    struct ses_buf bytes;
    bool lacking; /* some opening cannot be made */
    enum ses_err err;
};

static void job_free(struct response_job *job)
{
    struct ses_daemon *d = job->d;
    ses_buf_free(&job->proof);
    ses_buf_free(&job->bytes);
    ses_free(job);
    ses_daemon_release(d);
}

static bool wanted(const struct response_job *job)
{
    return ses_epochs_running(job->d, job->epoch) && job->d->epochs.respond.state == TASK_MAKING;
}

static void lacks(struct response_job *job, const char *what, enum ses_err err)
{
    job->lacking = true;
    ses_report_why(job->d, ses_report_now(job->d)->response_why, what, ses_err_text(err));
}

/* ---- the end: sign ---- */
static void sign_run(void *cookie)
{
    struct response_job *job = cookie;
    job->err = ses_epochs_sign(job->d, &job->tx, &job->bytes);
}

static void sign_done(void *cookie)
{
    struct response_job *job = cookie;
    struct ses_daemon *d = job->d;
    struct ses_report *report = ses_report_now(d);
    if (wanted(job) && job->err != SES_OK) {
        ses_report_why(d, report->response_why, "it cannot be signed", ses_err_text(job->err));
        ses_task_again(&d->epochs.respond);
    } else if (wanted(job)) {
        report->opened_cnt = job->tx.body.response.opening_cnt;
        if (!job->lacking) {
            report->response_why[0] = '\0';
        }
        ses_logf(d->p.log, SES_LOG_INFO, MODULE,
                 "response epoch=%" PRIu64 " openings=%u/%u reached=%u/%u", job->epoch,
                 job->tx.body.response.opening_cnt, job->owed_cnt, report->reached_cnt,
                 report->target_cnt);
        ses_task_ready(&d->epochs.respond, &job->bytes);
    }
    ses_daemon_release(d);
    job_free(job);
}

static void fill_body(struct response_job *job)
{
    struct ses_daemon *d = job->d;
    struct ses_tx_response *m = &job->tx.body.response;
    struct ses_store_stats stats;
    ses_store_stats(d->p.store, &stats);
    job->tx.type = SES_TX_RESPONSE;
    m->node_id = d->p.node_id;
    m->epoch = job->epoch;
    m->free = stats.free_bytes;
    m->used = stats.disk_bytes;
    m->verdict_cnt = (uint8_t)((d->epochs.plan->verdict_bits + 7u) / 8u);
    memcpy(m->verdicts, d->epochs.tests.verdicts, m->verdict_cnt);
    if (m->opening_cnt > 0) {
        m->proof = job->proof.bytes;
        m->proof_len = (uint32_t)job->proof.len;
    }
}

static void finish(struct response_job *job)
{
    struct ses_daemon *d = job->d;
    if (!wanted(job)) {
        job_free(job);
        return;
    }
    if (job->lacking && ses_epochs_now(d) < d->epochs.plan->give_up_ms) {
        ses_task_again(&d->epochs.respond);
        job_free(job);
        return;
    }
    fill_body(job);
    if (ses_daemon_work(d, sign_run, sign_done, job) != SES_OK) {
        ses_task_again(&d->epochs.respond);
        job_free(job);
    }
}

/* ---- leaf by leaf ---- */
static void next_leaf(struct response_job *job);

static struct ses_opening *opening_begin(struct response_job *job)
{
    struct ses_tx_response *m = &job->tx.body.response;
    struct ses_opening *o = &m->openings[m->opening_cnt];
    memset(o, 0, sizeof *o);
    o->index = (uint8_t)job->at;
    return o;
}

static void opening_end(struct response_job *job)
{
    job->tx.body.response.opening_cnt++;
    job->at++;
}

static void take_chunk(struct response_job *job, const struct ses_chunk *chunk)
{
    struct ses_opening *o = opening_begin(job);
    uint8_t *bytes = job->chunks[job->tx.body.response.opening_cnt];
    SES_ASSERT(chunk->len <= SES_CHUNK_BYTES && chunk->path_cnt <= SES_OPENING_PATH_MAX);
    if (chunk->len > 0) {
        memcpy(bytes, chunk->bytes, chunk->len);
    }
    o->header_hash = chunk->header_hash;
    o->payload_root = chunk->payload_root;
    o->chunk_len = chunk->len;
    o->chunk = bytes;
    o->path_cnt = chunk->path_cnt;
    memcpy(o->path, chunk->path, chunk->path_cnt * sizeof o->path[0]);
    const enum ses_err err = ses_opening_check(o, &job->leaf, job->owed[job->at].chunk_draw);
    if (err == SES_OK) {
        opening_end(job);
    } else {
        lacks(job, "a record on disk is not the one that was committed to", err);
        job->at++;
    }
}

static void on_chunk(void *cookie, enum ses_err err, const struct ses_chunk *chunk)
{
    struct response_job *job = cookie;
    struct ses_daemon *d = job->d;
    if (!wanted(job)) {
        job_free(job);
    } else {
        if (err == SES_OK) {
            take_chunk(job, chunk);
        } else {
            lacks(job, "a record that was committed to cannot be read", err);
            job->at++;
        }
        next_leaf(job);
    }
    ses_daemon_release(d);
}

static enum ses_err find_leaf(struct response_job *job)
{
    const struct ses_owed *owed = &job->owed[job->at];
    struct ses_segment_id segment;
    bool present = true;
    if (owed->kind == SES_OWED_AUDIT) {
        return ses_opened_at(&job->opened, owed->position, &segment, &job->leaf);
    }
    SES_TRY(ses_opened_key(&job->opened, &owed->segment, &owed->key, &present, &job->leaf));
    return present && !SES_MUTANT(DEMAND_NOT_ANSWERED) ? SES_OK : SES_ERR_NOT_FOUND;
}

/* SES_ERR_AGAIN: the chunk is on its way. */
static enum ses_err open_leaf(struct response_job *job)
{
    struct ses_hash id;
    SES_TRY(find_leaf(job));
    if (job->leaf.kind != SES_RECORD_MESSAGE) {
        opening_begin(job)->leaf_only = true;
        opening_end(job);
        return SES_OK;
    }
    const uint32_t chunk_cnt = (job->leaf.size + SES_CHUNK_BYTES - 1) / SES_CHUNK_BYTES;
    const uint64_t draw = job->owed[job->at].chunk_draw;
    memcpy(id.bytes, job->leaf.key.bytes + 32, sizeof id.bytes);
    SES_TRY(ses_store_chunk(job->d->p.store, &id, chunk_cnt > 0 ? (uint32_t)(draw % chunk_cnt) : 0,
                            on_chunk, job));
    ses_daemon_hold(job->d);
    return SES_ERR_AGAIN;
}

static void next_leaf(struct response_job *job)
{
    while (job->at < job->owed_cnt) {
        const enum ses_err err = open_leaf(job);
        if (err == SES_ERR_AGAIN) {
            return;
        }
        if (err != SES_OK) {
            lacks(job, "a record that was committed to is not there", err);
            job->at++;
        }
    }
    finish(job);
}

/* ---- one proof ---- */
static void on_proof(void *cookie, enum ses_err err, const uint8_t *proof, size_t len)
{
    struct response_job *job = cookie;
    struct ses_daemon *d = job->d;
    if (!wanted(job)) {
        job_free(job);
        ses_daemon_release(d);
        return;
    }
    if (err == SES_OK) {
        err = ses_buf_append(&job->proof, proof, len);
    }
    if (err == SES_OK) { /* a false opening would make the whole response void */
        err = ses_forest_check(&job->opened, &job->root.root, job->root.swarm, job->root.epoch,
                               job->proof.bytes, job->proof.len);
    }
    if (err == SES_OK) {
        next_leaf(job);
    } else {
        lacks(job, "what was committed to cannot be proved", err);
        finish(job);
    }
    ses_daemon_release(d);
}

static void add_position(struct response_job *job, uint64_t position)
{
    size_t i = job->position_cnt++;
    while (i > 0 && job->positions[i - 1] > position) {
        job->positions[i] = job->positions[i - 1];
        i--;
    }
    job->positions[i] = position;
}

static void make_question(struct response_job *job)
{
    for (uint32_t i = 0; i < job->owed_cnt; i++) {
        const struct ses_owed *owed = &job->owed[i];
        if (owed->kind == SES_OWED_AUDIT) {
            add_position(job, owed->position);
        } else {
            ses_forest_range_key(&job->ranges[job->range_cnt++], &owed->segment, &owed->key);
        }
    }
}

static enum ses_err ask_proof(struct response_job *job)
{
    struct ses_daemon *d = job->d;
    struct ses_snapshot snapshot;
    const struct ses_view view = {.epoch = job->root.epoch};
    make_question(job);
    const struct ses_forest_question question = {.ranges = job->ranges,
                                                 .range_cnt = job->range_cnt,
                                                 .positions = job->positions,
                                                 .position_cnt = job->position_cnt};
    SES_TRY(ses_store_snapshot_get(d->p.store, &snapshot, job->root.epoch));
    SES_REQUIRE(ses_equal(&snapshot.root, &job->root.root, sizeof snapshot.root), SES_ERR_CHECKSUM);
    SES_TRY(ses_store_prove(d->p.store, &view, &question, on_proof, job));
    ses_daemon_hold(d);
    return SES_OK;
}

static void make(struct ses_daemon *d)
{
    const struct ses_duty *duty = &d->epochs.standing->challenges.duty;
    struct response_job *job = ses_alloc(1, sizeof *job);
    if (job == NULL) {
        ses_task_again(&d->epochs.respond);
        return;
    }
    job->d = d;
    job->epoch = d->epochs.plan->epoch;
    job->root = duty->root;
    job->owed_cnt = duty->has_root && !d->epochs.bare ? duty->owed_cnt : 0;
    memcpy(job->owed, duty->owed, sizeof job->owed);
    d->epochs.respond.state = TASK_MAKING;
    ses_daemon_hold(d);
    if (job->owed_cnt == 0) {
        finish(job);
        return;
    }
    const enum ses_err err = ask_proof(job);
    if (err != SES_OK) {
        lacks(job, "what was committed to is not in the store any more", err);
        finish(job);
    }
}

/* At its moment; a node that came late takes a little time to test the others first. */
static bool is_due(const struct ses_daemon *d)
{
    const struct epochs *e = &d->epochs;
    const uint64_t now_ms = ses_epochs_now(d);
    const uint64_t from_ms = e->begun_ms > e->plan->respond_ms ? e->begun_ms : e->plan->respond_ms;
    const uint64_t patience_ms = (e->plan->end_ms - e->plan->start_ms) / 16;
    return now_ms >= e->plan->give_up_ms || now_ms >= from_ms + patience_ms ||
           (now_ms >= e->plan->respond_ms && !ses_tests_open(d));
}

void ses_respond_turn(struct ses_daemon *d)
{
    struct task *task = &d->epochs.respond;
    if (task->state == TASK_WAITING && ses_daemon_mono(d) >= task->next_ms && is_due(d)) {
        make(d);
    }
    ses_task_submit(task);
}
