/* The other side of /session/replicate/1: records that a member of our swarm brings. Everything is
 * validated again, nothing is taken on a member's word; the answer names a status for each record
 * and carries our receipts, grouped by signature. */
#include "daemon/daemon_internal.h"

#define FRAMES_MAX 8u        /* of one member, not yet answered: twice what a link of ours sends */
#define BYTES_MAX (4u << 20) /* of those; a link of ours keeps at most half of it in flight */
#define BUDGET_MIN_BYTES ((uint64_t)64 << 20)
#define FUTURE_MS 10000u
#define VOUCHERS_MAX 5u
#define FRAME_VOUCHERS_MAX 256u

struct item {
    struct job *job;
    struct ses_record record;
    struct ses_record_ids ids;
    enum ses_err err;
    uint8_t vouchers;
    struct ses_receipt receipt; /* valid if err is OK once answered */
};
struct voucher {
    uint16_t item;
    bool valid;
    struct ses_dsa_pk pk;
    struct ses_receipt receipt;
};
struct job {
    struct job *next; /* waiting for budget, or answered and waiting for the flow */
    struct replica *replica;
    uint64_t seq;
    uint16_t cnt;
    uint16_t left; /* puts without an answer */
    uint16_t voucher_cnt;
    struct item *items;
    struct voucher *vouchers;
    struct ses_hash chain_id;
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
    ses_free(job->items);
    ses_free(job->vouchers);
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

/* Receipts of one batch share their signature. */
static bool same_group(const struct ses_receipt *a, const struct ses_receipt *b)
{
    return a->n == b->n && ses_equal(&a->signature, &b->signature, sizeof a->signature);
}

static uint16_t group_size(const struct job *job, uint16_t first, const bool *written)
{
    uint16_t cnt = 0;
    for (uint16_t i = first; i < job->cnt; i++) {
        cnt = (uint16_t)(cnt + (job->items[i].err == SES_OK && !written[i] &&
                                same_group(&job->items[i].receipt, &job->items[first].receipt)));
    }
    return cnt;
}

static void write_group(struct ses_writer *w, const struct job *job, uint16_t first, bool *written)
{
    const struct ses_receipt *lead = &job->items[first].receipt;
    const struct ses_receipt_group group = {.node_id = lead->node_id,
                                            .n = lead->n,
                                            .signature = lead->signature,
                                            .cnt = group_size(job, first, written)};
    ses_receipt_group_write(w, &group);
    for (uint16_t i = first; i < job->cnt; i++) {
        if (job->items[i].err == SES_OK && !written[i] &&
            same_group(&job->items[i].receipt, lead)) {
            ses_receipt_group_item_write(w, i, &job->items[i].receipt);
            written[i] = true;
        }
    }
}

static uint16_t write_groups(struct ses_writer *w, const struct job *job)
{
    bool written[SES_REPLICATE_RECORDS_MAX] = {false};
    uint16_t groups = 0;
    for (uint16_t i = 0; i < job->cnt; i++) {
        if (job->items[i].err == SES_OK && !written[i]) {
            write_group(w, job, i, written);
            groups++;
        }
    }
    return groups;
}

static enum ses_err encode(struct job *job)
{
    const size_t cap = 64 + (size_t)job->cnt * (SES_RECEIPT_BYTES_MAX + 64);
    job->answer = ses_alloc(cap, 1);
    SES_REQUIRE(job->answer != NULL, SES_ERR_MEMORY);
    struct ses_writer w;
    ses_writer_init(&w, job->answer, cap);
    const struct ses_replicate_result result = {.seq = job->seq, .record_cnt = job->cnt};
    ses_replicate_result_write(&w, &result);
    for (uint16_t i = 0; i < job->cnt; i++) {
        ses_write_u16(&w, (uint16_t)job->items[i].err);
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

/* ---- into the store ---- */
static void on_put(void *cookie, const struct ses_put_result *result)
{
    struct item *item = cookie;
    struct job *job = item->job;
    struct ses_daemon *d = job->replica->d;
    item->err = result->err;
    if (result->err == SES_OK) {
        item->receipt = result->receipt;
        d->stats.replicated_in += result->existed ? 0 : 1;
    }
    if (--job->left == 0) {
        answer(job);
    }
    ses_daemon_release(d);
}

static enum ses_err check_record(const struct ses_daemon *d, const struct item *item)
{
    const uint64_t now_ms = ses_daemon_now(d);
    SES_TRY(item->err);
    SES_REQUIRE(ses_daemon_serves(d, &item->ids.digest, true), SES_ERR_WRONG_SWARM);
    SES_REQUIRE(item->ids.header.ts_ms <= now_ms + FUTURE_MS, SES_ERR_CLOCK);
    SES_REQUIRE(ses_segment_expires_ms(&item->ids.segment) > now_ms, SES_ERR_CLOCK);
    return SES_OK;
}

static enum ses_err put_item(struct ses_daemon *d, struct item *item)
{
    SES_TRY(check_record(d, item));
    const struct ses_put put = {.record = item->record,
                                .ids = &item->ids,
                                .vouchers = item->vouchers,
                                .on_done = on_put,
                                .cookie = item};
    SES_TRY(ses_store_put(d->p.store, &put));
    item->job->left++;
    ses_daemon_hold(d);
    return SES_OK;
}

static void put_all(struct job *job)
{
    struct ses_daemon *d = job->replica->d;
    for (uint16_t i = 0; i < job->cnt; i++) {
        const enum ses_err err = put_item(d, &job->items[i]);
        if (err != SES_OK) {
            job->items[i].err = err;
            d->stats.replicate_refused++;
        }
    }
    if (job->left == 0) {
        answer(job);
    }
}

/* ---- signatures, on a worker ---- */
static enum ses_err check_item(const struct job *job, struct item *item)
{
    SES_TRY(ses_record_identify(&item->ids, &item->record));
    SES_REQUIRE(item->ids.header.kind == SES_RECORD_MESSAGE, SES_ERR_MALFORMED);
    if (ses_ns_public_inbox(item->ids.header.ns)) {
        return SES_OK;
    }
    return ses_record_check_owner(&item->record, &item->ids, &job->chain_id);
}

static bool voucher_fits(const struct job *job, const struct voucher *v)
{
    const struct item *item = &job->items[v->item];
    return ses_equal(&v->receipt.leaf.id, &item->ids.id, 32) &&
           ses_equal(&v->receipt.leaf.digest, &item->ids.digest, 32) &&
           ses_receipt_verify(&v->receipt, &job->chain_id, &v->pk) == SES_OK;
}

static void job_run(void *cookie)
{
    struct job *job = cookie;
    for (uint16_t i = 0; i < job->cnt; i++) {
        job->items[i].err = check_item(job, &job->items[i]);
    }
    for (uint16_t i = 0; i < job->voucher_cnt; i++) {
        const struct voucher *v = &job->vouchers[i];
        struct item *item = &job->items[v->item];
        if (item->err == SES_OK && item->vouchers < VOUCHERS_MAX && voucher_fits(job, v)) {
            item->vouchers++;
        }
    }
}

static void job_done(void *cookie)
{
    struct job *job = cookie;
    struct ses_daemon *d = job->replica->d;
    put_all(job);
    ses_daemon_release(d);
}

/* ---- parsing ---- */
/* Only other members' receipts vouch, each member once for a record. */
static bool may_vouch(const struct job *job, uint16_t item, const struct ses_node_id *node_id)
{
    const struct ses_daemon *d = job->replica->d;
    if (ses_equal(node_id, &d->p.node_id, sizeof *node_id) || !ses_daemon_is_member(d, node_id)) {
        return false;
    }
    for (uint16_t i = 0; i < job->voucher_cnt; i++) {
        if (job->vouchers[i].item == item &&
            ses_equal(&job->vouchers[i].receipt.node_id, node_id, sizeof *node_id)) {
            return false;
        }
    }
    return true;
}

static enum ses_err add_voucher(struct job *job, uint16_t item, const struct ses_receipt *receipt)
{
    const struct ses_map_node *node = ses_daemon_node(job->replica->d, &receipt->node_id);
    if (node == NULL || job->voucher_cnt == FRAME_VOUCHERS_MAX ||
        !may_vouch(job, item, &receipt->node_id)) {
        return SES_OK;
    }
    if (job->vouchers == NULL) {
        job->vouchers = ses_alloc(FRAME_VOUCHERS_MAX, sizeof *job->vouchers);
        SES_REQUIRE(job->vouchers != NULL, SES_ERR_MEMORY);
    }
    struct voucher *v = &job->vouchers[job->voucher_cnt++];
    v->item = item;
    v->pk = node->keys.public_key;
    v->receipt = *receipt;
    return SES_OK;
}

static enum ses_err read_item(struct job *job, struct ses_reader *r, uint16_t index)
{
    struct ses_receipt receipt;
    struct item *item = &job->items[index];
    item->job = job;
    ses_record_read(r, &item->record);
    const uint8_t receipt_cnt = ses_read_u8(r);
    for (uint8_t i = 0; i < receipt_cnt && r->err == SES_OK; i++) {
        ses_receipt_read(r, &receipt);
        if (r->err == SES_OK) {
            SES_TRY(add_voucher(job, index, &receipt));
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
    job->items = ses_alloc(put.record_cnt, sizeof *job->items);
    SES_REQUIRE(job->items != NULL, SES_ERR_MEMORY);
    job->cnt = put.record_cnt;
    for (uint16_t i = 0; i < job->cnt; i++) {
        SES_TRY(read_item(job, &r, i));
    }
    return ses_reader_done(&r);
}

/* ---- budget: what one sender may make us read in an epoch is spread by answering later. It
 * belongs to the node, not to the flow: dialling again does not fill it. ---- */
static uint64_t epoch_budget(const struct ses_daemon *d)
{
    const uint64_t bytes = d->p.capacity_bytes / 200;
    return bytes > BUDGET_MIN_BYTES ? bytes : BUDGET_MIN_BYTES;
}

static struct budget *budget_of(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    struct budget *oldest = &d->budgets[0];
    for (uint32_t i = 0; i < BUDGETS; i++) {
        struct budget *b = &d->budgets[i];
        if (b->used && ses_equal(&b->node_id, node_id, sizeof *node_id)) {
            return b;
        }
        if (!b->used || (oldest->used && b->at_ms < oldest->at_ms)) {
            oldest = b;
        }
    }
    oldest->used = true;
    oldest->node_id = *node_id;
    oldest->bytes = epoch_budget(d);
    oldest->at_ms = ses_daemon_mono(d);
    return oldest;
}

static void refill(const struct ses_daemon *d, struct budget *b)
{
    const uint64_t depth = epoch_budget(d);
    const uint64_t now_ms = ses_daemon_mono(d);
    const uint64_t epoch_ms = d->times.epoch_s * 1000;
    const uint64_t passed = now_ms - b->at_ms;
    const uint64_t gain =
        passed < epoch_ms ? (uint64_t)((double)depth * (double)passed / (double)epoch_ms) : depth;
    if (gain == 0) {
        return; /* keeps what has passed for the next time */
    }
    b->bytes = depth - b->bytes < gain ? depth : b->bytes + gain;
    b->at_ms = now_ms;
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
        job->chain_id = rep->d->p.chain_params.chain_id;
        err = ses_daemon_work(rep->d, job_run, job_done, job);
    }
    if (err != SES_OK) {
        job_free(job);
        give_up(rep);
    }
}

static void start_waiting(struct replica *rep)
{
    while (rep->waiting != NULL && rep->flow != NULL && !rep->closing) {
        struct job *job = rep->waiting;
        struct budget *budget = budget_of(rep->d, &rep->node_id);
        refill(rep->d, budget);
        if (budget->bytes < job->len) {
            wait_for_budget(rep);
            return;
        }
        budget->bytes -= job->len;
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
