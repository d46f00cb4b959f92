/* The other side of /session/replicate/1: records that a member of our swarm brings. Everything is
 * validated again, nothing is taken on a member's word; the answer names a status for each record
 * and carries our receipts, grouped by signature. */
#include "daemon/daemon_internal.h"

#define FRAMES_MAX 8u        /* of one member, not yet answered: twice what a link of ours sends */
#define BYTES_MAX (4u << 20) /* of those; a link of ours keeps at most half of it in flight */

struct job {
    struct job *next; /* waiting for budget, or answered and waiting for the flow */
    struct replica *replica;
    uint64_t seq;
    struct intake *in;
    size_t len;
    uint8_t *frame;
    uint8_t *answer;
    size_t answer_len;
};
struct replica {
    struct replica *next;
    struct ses_daemon *d;
    struct ses_flow *flow; /* NULL once closed */
    bool closing;
    struct ses_node_id node_id;
    uint32_t frame_cnt; /* unanswered */
    size_t frame_bytes;
    struct job *waiting, **waiting_end;
    struct job *answered, **answered_end;
    struct ses_timer *timer;
};

static void replica_free_if_done(struct replica *rep)
{
    if (rep->flow != NULL || rep->frame_cnt > 0) {
        return;
    }
    struct ses_daemon *d = rep->d;
    struct replica **at = &d->replicas;
    while (*at != rep) {
        at = &(*at)->next;
    }
    *at = rep->next;
    d->replica_cnt--;
    ses_free(rep);
}

static void job_free(struct job *job)
{
    struct replica *rep = job->replica;
    rep->frame_cnt--;
    rep->frame_bytes -= job->len;
    ses_free(job->frame);
    ses_intake_free(job->in);
    ses_free(job->answer);
    ses_free(job);
}

static void jobs_free(struct job **first, struct job ***end)
{
    while (*first != NULL) {
        struct job *job = *first;
        *first = job->next;
        job_free(job);
    }
    *end = first;
}

static void give_up(struct replica *rep)
{
    if (rep->flow != NULL && !rep->closing) {
        rep->closing = true;
        ses_flow_close(rep->flow);
    }
}

/* ---- the answer ---- */
static void send_answers(struct replica *rep)
{
    while (rep->answered != NULL && rep->flow != NULL && !rep->closing) {
        struct job *job = rep->answered;
        const enum ses_err err = ses_flow_send(rep->flow, job->answer, job->answer_len);
        if (err == SES_ERR_AGAIN) {
            return; /* on_writable follows */
        }
        rep->answered = job->next;
        if (rep->answered == NULL) {
            rep->answered_end = &rep->answered;
        }
        job_free(job);
        if (err != SES_OK) {
            give_up(rep);
        }
    }
}

static uint16_t write_groups(struct ses_writer *w, const struct job *job)
{
    struct receipt_at list[SES_REPLICATE_RECORDS_MAX];
    bool written[SES_REPLICATE_RECORDS_MAX] = {false};
    uint16_t cnt = 0;
    for (uint16_t i = 0; i < job->in->cnt; i++) {
        if (job->in->items[i].err == SES_OK) {
            list[cnt++] = (struct receipt_at){.record = i, .receipt = &job->in->items[i].receipt};
        }
    }
    return ses_groups_write(w, list, cnt, written);
}

static enum ses_err encode(struct job *job)
{
    const size_t cap = 64 + (size_t)job->in->cnt * (SES_RECEIPT_BYTES_MAX + 64);
    job->answer = ses_alloc(cap, 1);
    SES_REQUIRE(job->answer != NULL, SES_ERR_MEMORY);
    struct ses_writer w;
    ses_writer_init(&w, job->answer, cap);
    const struct ses_replicate_result result = {.seq = job->seq, .record_cnt = job->in->cnt};
    ses_replicate_result_write(&w, &result);
    for (uint16_t i = 0; i < job->in->cnt; i++) {
        ses_write_u16(&w, (uint16_t)job->in->items[i].err);
    }
    uint8_t *group_cnt = ses_write_space(&w, 2);
    const uint16_t groups = write_groups(&w, job);
    SES_TRY(ses_writer_done(&w));
    ses_put_u16(group_cnt, groups);
    job->answer_len = w.len;
    return SES_OK;
}

static void answer(struct job *job)
{
    struct replica *rep = job->replica;
    if (rep->flow == NULL || rep->closing || encode(job) != SES_OK) {
        job_free(job);
        give_up(rep);
    } else {
        job->next = NULL;
        *rep->answered_end = job;
        rep->answered_end = &job->next;
        send_answers(rep);
    }
    replica_free_if_done(rep);
}

static void on_taken(void *cookie, struct intake *in)
{
    struct job *job = cookie;
    struct ses_daemon *d = job->replica->d;
    for (uint16_t i = 0; i < in->cnt; i++) {
        d->stats.replicated_in += in->items[i].err == SES_OK && !in->items[i].existed ? 1 : 0;
        d->stats.replicate_refused += in->items[i].err != SES_OK ? 1 : 0;
    }
    ses_budget_give(d, &job->replica->node_id, ses_intake_vouched_bytes(in));
    answer(job);
}

/* ---- parsing ---- */
static enum ses_err read_item(struct job *job, struct ses_reader *r, uint16_t index)
{
    struct ses_receipt receipt;
    ses_record_read(r, &job->in->items[index].record);
    const uint8_t receipt_cnt = ses_read_u8(r);
    for (uint8_t i = 0; i < receipt_cnt && r->err == SES_OK; i++) {
        ses_receipt_read(r, &receipt);
        if (r->err == SES_OK) {
            SES_TRY(ses_intake_vouch(job->in, index, &receipt));
        }
    }
    return r->err;
}

static enum ses_err parse(struct job *job)
{
    struct ses_reader r;
    struct ses_replicate_put put;
    SES_TRY(ses_replicate_put_read(&put, &r, job->frame, job->len));
    SES_REQUIRE(put.record_cnt >= 1 && put.record_cnt <= SES_REPLICATE_RECORDS_MAX,
                SES_ERR_MALFORMED);
    job->seq = put.seq;
    SES_TRY(ses_intake_new(&job->in, job->replica->d, &job->replica->node_id, put.record_cnt));
    for (uint16_t i = 0; i < job->in->cnt; i++) {
        SES_TRY(read_item(job, &r, i));
    }
    return ses_reader_done(&r);
}

static void start_waiting(struct replica *rep);

static void on_timer(void *cookie)
{
    struct replica *rep = cookie;
    rep->timer = NULL;
    start_waiting(rep);
}

static void wait_for_budget(struct replica *rep)
{
    const struct ses_loop *loop = rep->d->p.loop;
    rep->d->stats.limits_hit++;
    if (rep->timer == NULL &&
        loop->timer_start(loop->ctx, &rep->timer, 250, on_timer, rep) != SES_OK) {
        rep->timer = NULL;
        give_up(rep);
    }
}

static void start_job(struct job *job)
{
    struct replica *rep = job->replica;
    enum ses_err err = parse(job);
    if (err == SES_OK) {
        err = ses_intake_start(job->in, on_taken, job);
    }
    if (err != SES_OK) {
        job_free(job);
        give_up(rep);
    }
}

/* A frame that cannot be read costs its length, and ends the flow. */
static uint64_t cost_of(const struct job *job)
{
    struct ses_reader r;
    struct ses_replicate_put put;
    const bool ok = ses_replicate_put_read(&put, &r, job->frame, job->len) == SES_OK;
    return job->len + (ok ? (uint64_t)BUDGET_RECORD_BYTES * put.record_cnt : 0);
}

static void start_waiting(struct replica *rep)
{
    while (rep->waiting != NULL && rep->flow != NULL && !rep->closing) {
        struct job *job = rep->waiting;
        if (!ses_budget_take(rep->d, &rep->node_id, cost_of(job))) {
            wait_for_budget(rep);
            return;
        }
        rep->waiting = job->next;
        if (rep->waiting == NULL) {
            rep->waiting_end = &rep->waiting;
        }
        start_job(job);
    }
}

/* ---- the flow ---- */
static void on_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    (void)flow;
    struct replica *rep = cookie;
    struct job *job = NULL;
    if (rep->closing) {
        return;
    }
    if (len > 0 && rep->frame_cnt < FRAMES_MAX && rep->frame_bytes + len <= BYTES_MAX) {
        job = ses_alloc(1, sizeof *job);
    }
    uint8_t *frame = job != NULL ? ses_alloc(len, 1) : NULL;
    if (frame == NULL) {
        ses_free(job);
        rep->d->stats.limits_hit++;
        give_up(rep);
        return;
    }
    memcpy(frame, body, len);
    job->frame = frame;
    job->len = len;
    job->replica = rep;
    rep->frame_cnt++;
    rep->frame_bytes += len;
    *rep->waiting_end = job;
    rep->waiting_end = &job->next;
    start_waiting(rep);
}

static void on_writable(void *cookie, struct ses_flow *flow)
{
    (void)flow;
    send_answers(cookie);
}

static void on_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    (void)flow;
    (void)why;
    struct replica *rep = cookie;
    struct ses_daemon *d = rep->d;
    rep->flow = NULL;
    d->p.loop->timer_stop(d->p.loop->ctx, rep->timer);
    rep->timer = NULL;
    jobs_free(&rep->waiting, &rep->waiting_end);
    jobs_free(&rep->answered, &rep->answered_end);
    replica_free_if_done(rep);
    ses_daemon_release(d);
}

static const struct ses_flow_events replica_events = {
    .on_frame = on_frame,
    .on_writable = on_writable,
    .on_close = on_close,
};

/* One flow a member: a new one takes the place of the old, which its side has given up. */
static void replace_older(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    for (struct replica *rep = d->replicas; rep != NULL; rep = rep->next) {
        if (ses_equal(&rep->node_id, node_id, sizeof *node_id)) {
            give_up(rep);
        }
    }
}

enum ses_err ses_replica_accept(void *cookie, struct ses_flow *flow,
                                const struct ses_flow_events **events, void **flow_cookie)
{
    struct ses_daemon *d = cookie;
    const struct ses_peer *peer = ses_flow_peer(flow);
    SES_REQUIRE(!d->draining, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(peer->is_node && ses_daemon_is_member(d, &peer->node_id), SES_ERR_UNAUTHORISED);
    replace_older(d, &peer->node_id);
    struct replica *rep = ses_alloc(1, sizeof *rep);
    SES_REQUIRE(rep != NULL, SES_ERR_MEMORY);
    rep->d = d;
    rep->flow = flow;
    rep->node_id = peer->node_id;
    rep->waiting_end = &rep->waiting;
    rep->answered_end = &rep->answered;
    rep->next = d->replicas;
    d->replicas = rep;
    d->replica_cnt++;
    ses_daemon_hold(d);
    ses_members_hint(d, &rep->node_id);
    *events = &replica_events;
    *flow_cookie = rep;
    return SES_OK;
}

void ses_replicas_follow_map(struct ses_daemon *d)
{
    for (struct replica *rep = d->replicas; rep != NULL; rep = rep->next) {
        if (!ses_daemon_is_member(d, &rep->node_id)) {
            give_up(rep);
        }
    }
}

void ses_replicas_close(struct ses_daemon *d)
{
    for (struct replica *rep = d->replicas; rep != NULL; rep = rep->next) {
        give_up(rep);
    }
}
