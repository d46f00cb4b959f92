/* The wheel of the epoch: when to look, what to start, and tasks on their way into a block. */
#include "daemon/epoch.h"

#include <inttypes.h>

#include "daemon/daemon_internal.h"

#define TURN_MIN_MS 100u
#define TURN_MAX_MS 1000u
#define TURN_SHARE 64u
#define JUDGEMENTS_ASKED 16u

/* ---- time ---- */
uint64_t ses_epochs_now(const struct ses_daemon *d)
{
    const uint64_t own_ms = ses_daemon_now(d);
    const uint64_t chain_ms = d->follow.head.timestamp * 1000;
    return chain_ms > own_ms ? chain_ms : own_ms;
}

static uint64_t block_ms(const struct ses_daemon *d)
{
    return d->p.chain_params.params.block_seconds * 1000;
}

bool ses_epochs_running(const struct ses_daemon *d, uint64_t epoch)
{
    return !d->closing && d->epochs.plan != NULL && d->epochs.plan->epoch == epoch;
}

/* ---- tasks ---- */
void ses_task_begin(struct task *task, uint64_t epoch, bool owed)
{
    ses_buf_free(&task->tx);
    task->epoch = epoch;
    task->state = owed ? TASK_WAITING : TASK_IDLE;
    task->taken = false;
    task->next_ms = 0;
}

void ses_task_done(struct task *task)
{
    ses_buf_free(&task->tx);
    task->state = TASK_DONE;
}

void ses_task_again(struct task *task)
{
    task->state = TASK_WAITING;
    task->next_ms = ses_daemon_mono(task->d) + task->d->epochs.plan->resend_ms;
}

void ses_task_ready(struct task *task, struct ses_buf *tx)
{
    ses_buf_free(&task->tx);
    task->tx = *tx;
    memset(tx, 0, sizeof *tx);
    task->state = TASK_READY;
    task->next_ms = 0;
}

static void note_sent(struct task *task)
{
    struct ses_daemon *d = task->d;
    struct ses_report *report = ses_report_now(d);
    const uint64_t now_ms = ses_daemon_now(d);
    task->taken = true;
    if (task == &d->epochs.commit) {
        report->commitment_sent_ms = now_ms;
    } else if (task == &d->epochs.respond) {
        report->response_sent_ms = now_ms;
    } else {
        ses_task_done(task); /* the next epoch's registry shows whether it came in */
        return;
    }
    ses_reports_save(d);
}

static void note_refused(struct task *task, enum ses_err err, const struct ses_note *note)
{
    struct ses_daemon *d = task->d;
    struct ses_report *report = ses_report_now(d);
    const char *text = note != NULL && note->text[0] != '\0' ? note->text : ses_err_text(err);
    if (task == &d->epochs.commit) {
        ses_report_why(d, report->commitment_why, "the chain does not take it", text);
    } else if (task == &d->epochs.respond) {
        ses_report_why(d, report->response_why, "the chain does not take it", text);
    } else {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "%s is not taken by the chain: %.200s",
                 task == &d->epochs.rotate ? "a new encryption key" : "the announced address",
                 text);
    }
}

/* A response with a false opening is void as a whole; without openings it still speaks for others.
 */
static void drop_openings(struct task *task, enum ses_err err)
{
    struct epochs *e = &task->d->epochs;
    if (task == &e->respond && err == SES_ERR_OPENING && !e->bare) {
        e->bare = true;
        ses_task_again(task);
    }
}

static void on_submitted(void *cookie, enum ses_err err, const struct ses_note *note)
{
    struct task *task = cookie;
    struct ses_daemon *d = task->d;
    task->submitting = false;
    if (task->state == TASK_READY && ses_epochs_running(d, task->epoch)) {
        if (err == SES_OK || err == SES_ERR_EXISTS) {
            if (!task->taken) {
                note_sent(task);
            }
        } else {
            note_refused(task, err, note);
            drop_openings(task, err);
        }
    }
    ses_daemon_release(d);
}

void ses_task_submit(struct task *task)
{
    struct ses_daemon *d = task->d;
    if (task->state != TASK_READY || task->submitting || ses_daemon_mono(d) < task->next_ms) {
        return;
    }
    task->next_ms = ses_daemon_mono(d) + d->epochs.plan->resend_ms;
    if (d->p.chain.submit(d->p.chain.ctx, task->tx.bytes, task->tx.len, on_submitted, task) ==
        SES_OK) {
        task->submitting = true;
        ses_daemon_hold(d);
    }
}

enum ses_err ses_epochs_sign(const struct ses_daemon *d, const struct ses_tx *tx,
                             struct ses_buf *out)
{
    struct ses_writer w;
    SES_TRY(ses_buf_reserve(out, SES_TX_BYTES_MAX));
    ses_writer_init(&w, out->bytes, SES_TX_BYTES_MAX);
    ses_tx_write_body(&w, tx);
    SES_TRY(ses_writer_done(&w));
    SES_TRY(ses_tx_sign(&w, &d->p.chain_params.chain_id, out->bytes, w.len, SES_AUTH_NODE, d->p.key,
                        d->p.random));
    SES_TRY(ses_writer_done(&w));
    out->len = w.len;
    return SES_OK;
}

/* ---- sealing ---- */
/* By the own clock or by a block, whichever is first. A clock that runs ahead of what the chain
 * said last by more than an epoch is not believed: what is sealed never opens again, and nothing is
 * committed to before the chain says more. */
void ses_epochs_seal(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    const int64_t chain = (int64_t)d->follow.head.epoch;
    int64_t epoch = ses_plan_sealed(&d->times, ses_daemon_now(d));
    epoch = epoch > chain + 1 ? chain + 1 : epoch < chain ? chain : epoch;
    if (!d->follow.ever_ok || epoch <= e->sealed) {
        return;
    }
    const enum ses_err err = ses_store_seal(d->p.store, epoch);
    if (err != SES_OK) {
        ses_logf(d->p.log, SES_LOG_ERROR, MODULE, "cannot seal epoch %" PRId64 ": %s", epoch,
                 ses_err_text(err));
        return;
    }
    e->sealed = epoch;
}

/* ---- the chain's word ---- */
static bool remembers(struct ses_daemon *d, uint64_t epoch)
{
    struct ses_commitment c = {.epoch = 0};
    const bool known = ses_store_commitment(d->p.store, &c, epoch) == SES_OK && c.epoch == epoch;
    ses_buf_free(&c.bytes);
    return known;
}

/* Commitments that stand in a block and not in the store: the store is older than they are. What
 * this run noticed in the epoch before has signed nothing for this one. */
static void check_restored(struct ses_daemon *d, const struct ses_duty *duty)
{
    const struct epochs *e = &d->epochs;
    const bool noticed = e->restored && e->restored_epoch + 1 == duty->epoch;
    const bool lost = (duty->committed && !remembers(d, duty->epoch)) ||
                      (duty->has_root && !noticed && !remembers(d, duty->epoch - 1));
    if (lost && !(e->restored && e->restored_epoch == duty->epoch)) {
        d->epochs.restored = true;
        d->epochs.restored_epoch = duty->epoch;
        ses_logf(d->p.log, SES_LOG_WARN, MODULE,
                 "the chain knows a commitment of this node that the store does not: the data "
                 "directory was restored or emptied; nothing is committed in this epoch");
    }
}

static void take_standing(struct ses_daemon *d, const struct ses_chain_standing *standing)
{
    struct epochs *e = &d->epochs;
    const struct ses_duty *duty = &standing->challenges.duty;
    struct ses_report *report = ses_report_now(d);
    const bool news = report->committed != duty->committed ||
                      report->responded != duty->responded || report->owed_cnt != duty->owed_cnt;
    *e->standing = *standing;
    if (!e->seen) {
        check_restored(d, duty);
    }
    e->seen = true;
    report->owed_cnt = (uint8_t)duty->owed_cnt;
    if (duty->committed) {
        report->committed = true;
        report->commitment_why[0] = '\0';
        ses_task_done(&e->commit);
    }
    if (duty->responded) {
        report->responded = true;
        ses_task_done(&e->respond);
    }
    if (news) {
        ses_reports_save(d);
    }
    ses_reports_judge(d, standing);
}

static void on_standing(void *cookie, enum ses_err err, const struct ses_chain_standing *standing,
                        const struct ses_note *note)
{
    struct ses_daemon *d = cookie;
    struct epochs *e = &d->epochs;
    e->asking = false;
    if (err != SES_OK && !d->closing) {
        ses_logf(d->p.log, SES_LOG_DEBUG, MODULE, "no word of the chain on this node's duties: %s",
                 note != NULL && note->text[0] != '\0' ? note->text : ses_err_text(err));
    } else if (err == SES_OK && ses_epochs_running(d, standing->challenges.duty.epoch)) {
        take_standing(d, standing);
    }
    ses_daemon_release(d);
}

/* Once when an epoch begins, and every block while something is on its way. */
static void ask_standing(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    const uint64_t mono_ms = ses_daemon_mono(d);
    const bool waits = e->commit.state == TASK_READY || e->respond.state == TASK_READY;
    if (e->asking || mono_ms < e->ask_ms || (e->seen && !waits)) {
        return;
    }
    e->ask_ms = mono_ms + block_ms(d);
    if (d->p.chain.standing(d->p.chain.ctx, &d->p.node_id, JUDGEMENTS_ASKED, on_standing, d) ==
        SES_OK) {
        e->asking = true;
        ses_daemon_hold(d);
    }
}

/* ---- the wheel ---- */
static void begin_epoch(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    const struct ses_plan *plan = e->plan;
    e->begun = true;
    e->begun_epoch = plan->epoch;
    e->begun_ms = ses_epochs_now(d);
    e->seen = false;
    e->bare = false;
    e->ask_ms = 0;
    struct ses_report *report = ses_report_now(d);
    report->owes_commitment = plan->commits;
    report->owes_response = plan->seated;
    report->target_cnt = plan->target_cnt;
    ses_task_begin(&e->commit, plan->epoch, plan->commits);
    ses_task_begin(&e->respond, plan->epoch, plan->registered);
    ses_task_begin(&e->rotate, plan->epoch, plan->registered);
    ses_task_begin(&e->announce, plan->epoch, plan->registered);
    ses_tests_begin(d);
    ses_renew_begin(d);
    ses_reports_save(d);
}

/* The chain is in the epoch of our map: what is done now counts for it. */
static bool in_step(const struct ses_daemon *d)
{
    return d->epochs.plan != NULL && d->follow.ever_ok &&
           d->follow.head.epoch == d->epochs.plan->epoch;
}

static void do_duties(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    if (!in_step(d) || !e->plan->registered || d->draining) {
        return;
    }
    if (!e->begun || e->begun_epoch != e->plan->epoch) {
        begin_epoch(d);
    }
    ask_standing(d);
    if (e->seen) {
        ses_commit_turn(d);
        ses_tests_turn(d);
        ses_respond_turn(d);
        ses_renew_turn(d);
    }
}

static void turn(void *cookie)
{
    struct ses_daemon *d = cookie;
    const uint64_t epoch_ms = d->times.epoch_s * 1000;
    uint64_t wait_ms = epoch_ms / TURN_SHARE;
    wait_ms = wait_ms < TURN_MIN_MS ? TURN_MIN_MS : wait_ms > TURN_MAX_MS ? TURN_MAX_MS : wait_ms;
    d->epochs.timer = NULL;
    ses_epochs_seal(d);
    if (d->p.chain.standing != NULL && d->p.secrets != NULL) {
        do_duties(d);
    }
    if (d->closing ||
        d->p.loop->timer_start(d->p.loop->ctx, &d->epochs.timer, wait_ms, turn, d) == SES_OK) {
        return;
    }
    ses_logf(d->p.log, SES_LOG_ERROR, MODULE, "no timer for the epoch: out of memory");
}

enum ses_err ses_epochs_start(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    struct task *tasks[] = {&e->commit, &e->respond, &e->rotate, &e->announce};
    for (size_t i = 0; i < SES_COUNT(tasks); i++) {
        tasks[i]->d = d;
    }
    e->sealed = ses_store_sealed(d->p.store);
    e->standing = ses_alloc(1, sizeof *e->standing);
    SES_REQUIRE(e->standing != NULL, SES_ERR_MEMORY);
    ses_reports_load(d);
    if (d->p.secrets != NULL) {
        ses_renew_load(d);
    }
    return d->p.loop->timer_start(d->p.loop->ctx, &e->timer, 0, turn, d);
}

void ses_epochs_stop(struct ses_daemon *d)
{
    d->p.loop->timer_stop(d->p.loop->ctx, d->epochs.timer);
    d->epochs.timer = NULL;
}

void ses_epochs_free(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    struct task *tasks[] = {&e->commit, &e->respond, &e->rotate, &e->announce};
    ses_epochs_stop(d);
    for (size_t i = 0; i < SES_COUNT(tasks); i++) {
        ses_buf_free(&tasks[i]->tx);
    }
    ses_renew_free(d);
    ses_free(e->standing);
    ses_free(e->plan);
}
