/* StorageCommitment: S_e read once, signed once, remembered before it is sent. */
#include <inttypes.h>

#include "daemon/daemon_internal.h"
#include "daemon/epoch.h"

#define REVEAL_CUSTOM "session/node-reveal/v1"
#define REVEALS_SEARCHED 100000u /* epochs back: eleven years of hours */

struct commit_job {
    struct ses_daemon *d;
    uint64_t epoch;
    struct ses_tx tx;
    struct ses_hash next_commit; /* what the chain wants opened; zeros: nothing */
    struct ses_hash secret;      /* of the `next` of this one */
    struct ses_buf bytes;
    enum ses_err err;
};

/* ---- the chain of reveals ---- */
/* A function of the key file and the epoch: a store that is lost does not take it along. */
void ses_reveal_of(struct ses_hash *out, const struct ses_daemon *d, uint64_t epoch)
{
    uint8_t number[8];
    ses_put_u64(number, epoch);
    ses_kmac256(
        out->bytes, sizeof out->bytes, d->p.secrets->reveal.bytes,
        sizeof d->p.secrets->reveal.bytes,
        SES_PARTS(SES_PART(d->p.chain_params.chain_id.bytes, 32), SES_PART(number, sizeof number)),
        REVEAL_CUSTOM);
}

/* The secret of our last commitment in a block: usually that of the epoch before. */
static enum ses_err find_reveal(struct ses_hash *out, const struct commit_job *job)
{
    static const struct ses_hash none = {{0}};
    struct ses_hash hash;
    if (ses_equal(&job->next_commit, &none, sizeof none)) {
        ses_random_fill(job->d->p.random, out->bytes, sizeof out->bytes);
        return SES_OK;
    }
    for (uint64_t i = 1; i <= job->epoch && i <= REVEALS_SEARCHED; i++) {
        ses_reveal_of(out, job->d, job->epoch - i);
        ses_reveal_commit(&hash, out);
        if (ses_equal(&hash, &job->next_commit, sizeof hash)) {
            return SES_OK;
        }
    }
    return SES_ERR_NOT_FOUND;
}

/* ---- making it ---- */
static void job_run(void *cookie)
{
    struct commit_job *job = cookie;
    struct ses_tx_commitment *c = &job->tx.body.commitment;
    job->err = find_reveal(&c->reveal, job);
    if (job->err != SES_OK) {
        return;
    }
    ses_reveal_of(&job->secret, job->d, job->epoch);
    ses_reveal_commit(&c->next, &job->secret);
    job->err = ses_epochs_sign(job->d, &job->tx, &job->bytes);
}

static void failed(struct ses_daemon *d, const char *what, enum ses_err err)
{
    ses_report_why(d, ses_report_now(d)->commitment_why, what, ses_err_text(err));
    ses_task_again(&d->epochs.commit);
}

/* From here on these bytes are the commitment of the epoch, whatever crashes. */
static void remember(struct commit_job *job)
{
    struct ses_daemon *d = job->d;
    struct ses_report *report = ses_report_now(d);
    struct ses_commitment kept = {.epoch = 0};
    const struct ses_commitment fresh = {
        .epoch = job->epoch, .secret = job->secret, .bytes = job->bytes};
    const enum ses_err err = ses_store_commit(d->p.store, &kept, &fresh);
    if (err != SES_OK || kept.epoch != job->epoch || kept.bytes.len == 0) {
        failed(d, "the commitment cannot be remembered", err != SES_OK ? err : SES_ERR_INVALID);
        ses_buf_free(&kept.bytes);
        return;
    }
    report->count = job->tx.body.commitment.count;
    report->bytes = job->tx.body.commitment.bytes;
    report->commitment_why[0] = '\0';
    ses_logf(d->p.log, SES_LOG_INFO, MODULE,
             "commitment epoch=%" PRIu64 " swarm=%u records=%" PRIu64 " bytes=%" PRIu64, job->epoch,
             job->tx.body.commitment.swarm, report->count, report->bytes);
    ses_task_ready(&d->epochs.commit, &kept.bytes);
}

static void job_done(void *cookie)
{
    struct commit_job *job = cookie;
    struct ses_daemon *d = job->d;
    if (ses_epochs_running(d, job->epoch) && d->epochs.commit.state == TASK_MAKING) {
        if (job->err == SES_ERR_NOT_FOUND) {
            failed(d, "this key file did not make the last commitment in a block", job->err);
        } else if (job->err != SES_OK) {
            failed(d, "it cannot be signed", job->err);
        } else {
            remember(job);
        }
    }
    ses_buf_free(&job->bytes);
    ses_free(job);
    ses_daemon_release(d);
}

static enum ses_err start_job(struct ses_daemon *d, const struct ses_snapshot *s)
{
    struct commit_job *job = ses_alloc(1, sizeof *job);
    SES_REQUIRE(job != NULL, SES_ERR_MEMORY);
    struct ses_tx_commitment *c = &job->tx.body.commitment;
    job->d = d;
    job->epoch = s->epoch;
    job->next_commit = d->epochs.standing->node.next_commit;
    job->tx.type = SES_TX_COMMITMENT;
    c->node_id = d->p.node_id;
    c->epoch = s->epoch;
    c->swarm = s->swarm;
    c->root = s->root;
    c->count = s->count;
    c->bytes = s->bytes;
    const enum ses_err err = ses_daemon_work(d, job_run, job_done, job);
    if (err != SES_OK) {
        ses_free(job);
    }
    return err;
}

static void on_snapshot(void *cookie, enum ses_err err, const struct ses_snapshot *snapshot)
{
    struct ses_daemon *d = cookie;
    const struct task *task = &d->epochs.commit;
    if (ses_epochs_running(d, task->epoch) && task->state == TASK_MAKING) {
        if (err == SES_OK && snapshot->epoch == task->epoch) {
            err = start_job(d, snapshot);
        }
        if (err != SES_OK) {
            failed(d, "what is held cannot be read", err);
        }
    }
    ses_daemon_release(d);
}

/* Signed in a former run: those bytes go again, and no others are made. */
static bool take_remembered(struct ses_daemon *d)
{
    struct ses_commitment c = {.epoch = 0};
    const bool found = ses_store_commitment(d->p.store, &c, d->epochs.plan->epoch) == SES_OK &&
                       c.epoch == d->epochs.plan->epoch && c.bytes.len > 0;
    if (found) {
        ses_task_ready(&d->epochs.commit, &c.bytes);
    }
    ses_buf_free(&c.bytes);
    return found;
}

/* A swarm that begins: nobody in it has committed to anything yet. (A swarm that was split or
 * merged just now has another number than its members' commitments.) */
static bool nothing_to_compare(const struct ses_daemon *d)
{
    return d->epochs.standing->swarm_commitments == 0 && d->previous != NULL &&
           d->previous->epoch + 1 == d->map->epoch && d->previous->num_swarms == d->map->num_swarms;
}

static const char *obstacle(const struct ses_daemon *d)
{
    if (ses_store_needs_sync(d->p.store) &&
        !(nothing_to_compare(d) && ses_store_mark_synced(d->p.store) == SES_OK)) {
        return "the store is new, restored or emptied, and was not yet compared with the other "
               "members of the swarm";
    }
    const bool now = d->epochs.restored_epoch == d->epochs.plan->epoch;
    return d->epochs.restored && (now || d->sync.partial)
               ? "the store is older than what the chain knows of this node: it was restored"
               : NULL;
}

static void make(struct ses_daemon *d)
{
    const struct ses_plan *plan = d->epochs.plan;
    const char *why = obstacle(d);
    if (why != NULL) {
        ses_report_why(d, ses_report_now(d)->commitment_why, why, NULL);
        ses_task_again(&d->epochs.commit);
        return;
    }
    const enum ses_err err =
        ses_store_snapshot(d->p.store, plan->epoch, plan->swarm, plan->num_swarms, on_snapshot, d);
    if (err != SES_OK) {
        failed(d, "what is held cannot be read", err);
        return;
    }
    d->epochs.commit.state = TASK_MAKING;
    ses_daemon_hold(d);
}

void ses_commit_turn(struct ses_daemon *d)
{
    struct task *task = &d->epochs.commit;
    if (task->state == TASK_WAITING && ses_daemon_mono(d) >= task->next_ms &&
        ses_epochs_now(d) >= d->epochs.plan->commit_ms && !take_remembered(d)) {
        make(d);
    }
    ses_task_submit(task);
}
