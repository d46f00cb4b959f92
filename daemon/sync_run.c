/* One run of reconciliation against one member: the core (reconcile.h) says what it needs, this
 * gives it from the store and the network; then what is missing here is fetched, checked against
 * what was claimed, and put; then the member is offered what it lacks. */
#include "daemon/daemon_internal.h"

#define FETCH_NAMES_MAX SES_SYNC_RECORDS_MAX
#define FETCH_LEASE_MS 10000u /* without a new record others fetch as well */
#define FETCH_ALL_MS 60000u   /* and after this in any case */
#define PHASE_MS 300000u      /* to compare, and again to fetch: a slow member takes a place */
#define NO_SPACE_MS 30000u    /* nothing is fetched after a record found no space */

static void step(struct sync_run *run);
static void fetch_release(struct sync_run *run);

/* ---- life ---- */
static void run_free(struct sync_run *run)
{
    struct ses_daemon *d = run->d;
    struct sync_run **at = &d->sync.runs;
    while (*at != run) {
        at = &(*at)->next;
    }
    *at = run->next;
    d->sync.run_cnt--;
    fetch_release(run);
    reconcile_free(run->core);
    ses_free(run);
    ses_daemon_release(d);
}

/* The member broke the rules, as far as this can be told from a slow or leaving one. */
static bool is_breach(enum ses_err err)
{
    return err == SES_ERR_MALFORMED || err == SES_ERR_TRUNCATED || err == SES_ERR_VERSION ||
           err == SES_ERR_TOO_LARGE;
}

static uint64_t deleted_cnt(const struct ses_daemon *d)
{
    struct ses_store_stats stats;
    ses_store_stats(d->p.store, &stats);
    return stats.deleted_cnt;
}

/* Of the names that no record came for, those of leaves that were deleted meanwhile: such a leaf
 * has a name and no record. It is here as soon as its statement is, which may come in a later run.
 */
static uint64_t explained(const struct sync_run *run)
{
    const uint64_t now = deleted_cnt(run->d);
    const uint64_t deleted = now > run->deleted_cnt ? now - run->deleted_cnt : 0;
    return deleted < run->result.undelivered ? deleted : run->result.undelivered;
}

static void judge(struct sync_run *run)
{
    struct ses_daemon *d = run->d;
    struct sync_peer *peer = ses_sync_peer(d, &run->target.node_id);
    const struct sync_result *result = &run->result;
    if (run->lied || is_breach(result->err)) {
        ses_sync_cut_off(d, &run->target.node_id,
                         run->lied ? "a record is not the one that was told" : "broken answers");
        return;
    }
    /* differences without end that bring nothing are no better than names without records, unless
     * it is here that there was no room for them */
    const uint64_t deleted = explained(run);
    const uint64_t broken = result->undelivered - deleted;
    const bool empty = (broken >= 64 && result->fetched + deleted < broken / 8) ||
                       (run->core->endless && result->fetched == 0 && !run->starved);
    peer->strikes = empty ? (uint8_t)(peer->strikes + 1) : 0;
    if (peer->strikes >= SYNC_STRIKES_MAX) {
        ses_sync_cut_off(d, &run->target.node_id, "it tells of records and does not give them");
    }
}

static void finish(struct sync_run *run, enum ses_err err)
{
    struct ses_daemon *d = run->d;
    run->result.err = err;
    run->result.complete = err == SES_OK && !run->lied && !run->starved && !run->core->cut &&
                           !run->core->wants.full && run->core->bulk_cnt == 0 && !run->lacks;
    run->result.partial = run->core->partial;
    run->result.covers =
        err == SES_OK && !run->core->cut && run->core->gives.short_cnt == 0 && !run->core->older;
    d->stats.sync_runs++;
    d->stats.sync_failed += err != SES_OK ? 1 : 0;
    d->stats.sync_bytes += run->core->bytes_in + run->core->bytes_out;
    if (!d->closing) {
        judge(run);
    }
    if (run->done != NULL) {
        run->done(run->cookie, &run->result);
    }
    run_free(run);
}

/* ---- requests ---- */
static enum ses_err request(struct sync_run *run, const struct ses_buf *frame, ses_reply_fn *reply,
                            void *cookie)
{
    const struct ses_request ask = {.target = &run->target,
                                    .proto = SES_PROTO_SYNC,
                                    .body = frame->bytes,
                                    .len = frame->len,
                                    .on_reply = reply,
                                    .cookie = cookie};
    SES_TRY(ses_net_request(run->d->p.net, &ask));
    ses_daemon_hold(run->d);
    return SES_OK;
}

/* ---- comparing ---- */
static void go_on(struct sync_run *run, enum ses_err err)
{
    struct ses_daemon *d = run->d;
    ses_daemon_hold(d); /* step may free the run, and release */
    if (ses_daemon_mono(d) >= run->end_ms) {
        run->core->round_cnt = RECONCILE_ROUNDS_MAX; /* what was found so far is fetched */
    }
    if (err == SES_OK && d->closing) {
        err = SES_ERR_CLOSED;
    }
    if (err != SES_OK) {
        finish(run, err);
    } else {
        step(run);
    }
    ses_daemon_release(d);
    ses_daemon_release(d); /* of the callback */
}

static void on_segments(void *cookie, const struct ses_segments_result *result)
{
    struct sync_run *run = cookie;
    enum ses_err err = result->err;
    if (err == SES_OK) {
        err = reconcile_segments(run->core, result->segments, result->segment_cnt);
    }
    go_on(run, err);
}

static void on_children(void *cookie, enum ses_err err, const struct ses_sum (*sums)[16],
                        size_t ask_cnt)
{
    struct sync_run *run = cookie;
    if (err == SES_OK) {
        err = reconcile_children(run->core, sums, ask_cnt);
    }
    go_on(run, err);
}

static void on_leaves(void *cookie, enum ses_err err, const struct ses_leaf *leaves,
                      size_t leaf_cnt)
{
    struct sync_run *run = cookie;
    if (err == SES_OK) {
        err = reconcile_leaves(run->core, leaves, leaf_cnt);
    }
    go_on(run, err);
}

static void on_answer(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct sync_run *run = cookie;
    if (err == SES_OK) {
        err = reconcile_answer(run->core, body, len);
    }
    go_on(run, err);
}

static enum ses_err compare(struct sync_run *run)
{
    struct ses_store *store = run->d->p.store;
    const struct reconcile_need *need = &run->core->need;
    const struct ses_view view = {.epoch = SES_EPOCH_LIVE,
                                  .swarm = run->core->p.set.swarm,
                                  .num_swarms = run->core->p.set.num_swarms};
    switch (need->kind) {
    case RECONCILE_SEGMENTS:
        SES_TRY(ses_store_segments(store, &view, need->from_hour, on_segments, run));
        break;
    case RECONCILE_CHILDREN:
        SES_TRY(ses_store_children(store, &view, need->asks, need->ask_cnt, on_children, run));
        break;
    case RECONCILE_LEAVES:
        SES_TRY(ses_store_leaves(store, &view, &need->range, need->leaf_max, on_leaves, run));
        break;
    case RECONCILE_SEND:
        return request(run, &need->frame, on_answer, run);
    case RECONCILE_DONE:
        SES_ASSERT(false);
    }
    ses_daemon_hold(run->d);
    return SES_OK;
}

/* ---- fetching ---- */
/* One run at a time fetches; others wait and then compare again, so that what several members have
 * comes once. Who is slow does not hold it for long. */
static bool may_fetch(struct sync_run *run)
{
    struct sync *s = &run->d->sync;
    const uint64_t now_ms = ses_daemon_mono(run->d);
    if (s->fetching != NULL && s->fetching != run && now_ms < s->fetch_until_ms) {
        return false;
    }
    s->fetching = run;
    s->fetch_until_ms = now_ms + FETCH_LEASE_MS;
    run->fetch_end_ms = now_ms + FETCH_ALL_MS;
    run->end_ms = now_ms + PHASE_MS;
    return true;
}

static void fetch_renew(const struct sync_run *run)
{
    struct sync *s = &run->d->sync;
    const uint64_t until_ms = ses_daemon_mono(run->d) + FETCH_LEASE_MS;
    if (s->fetching == run) {
        s->fetch_until_ms = until_ms < run->fetch_end_ms ? until_ms : run->fetch_end_ms;
    }
}

static void fetch_release(struct sync_run *run)
{
    if (run->d->sync.fetching == run) {
        run->d->sync.fetching = NULL;
        ses_sync_wake(run->d);
    }
}

/* The claimed name of a record that came, or NULL. Each claim is good for one record. */
static uint64_t *claim_of(struct sync_fetch *f, const struct intake_item *item)
{
    const struct ses_record_ids *ids = &item->ids;
    struct ses_leaf leaf = {
        .ts_ms = ids->header.ts_ms,
        .ttl_class = ids->header.ttl_class,
        .kind = (uint8_t)ids->header.kind,
        .size = ids->header.kind == SES_RECORD_MESSAGE ? item->record.payload_bytes : 0};
    memcpy(leaf.key.bytes, ids->digest.bytes, 32);
    memcpy(leaf.key.bytes + 32, ids->id.bytes, 32);
    const uint64_t name = ses_sync_leaf_short(&f->run->core->p.nonce, &leaf);
    for (uint32_t i = f->at; i < f->to; i++) {
        struct ses_sync_group *g = &f->run->core->wants.groups[i];
        for (unsigned k = 0; k < g->cnt; k++) {
            if (g->shorts[k] == name && g->place.segment.hour == ids->segment.hour &&
                g->place.segment.ttl_class == ids->segment.ttl_class &&
                reconcile_place_holds(&g->place, &leaf.key)) {
                return &g->shorts[k];
            }
        }
    }
    return NULL;
}

/* A record that was not claimed is a lie; one that only the sender vouches for is paid for. */
static bool accept(void *cookie, const struct intake_item *item)
{
    struct sync_fetch *f = cookie;
    struct sync_run *run = f->run;
    uint64_t unclaimed = 0;
    uint64_t *name = claim_of(f, item);
    name = name == NULL && SES_MUTANT(CLAIMS_NOT_CHECKED) ? &unclaimed : name;
    if (name == NULL) {
        run->lied = true;
        return false;
    }
    if (!item->vouched && !ses_budget_take(run->d, &run->target.node_id,
                                           BUDGET_RECORD_BYTES + item->record.payload_bytes)) {
        run->starved = true;
        run->d->stats.limits_hit++;
        return false;
    }
    *name = 0;
    f->delivered++;
    return true;
}

/* Drops the names that were delivered; what is left of the groups asked for. */
static void compact(struct sync_fetch *f)
{
    struct ses_sync_group *groups = f->run->core->wants.groups;
    uint32_t to = f->at;
    for (uint32_t i = f->at; i < f->to; i++) {
        struct ses_sync_group g = groups[i];
        uint8_t cnt = 0;
        for (unsigned k = 0; k < g.cnt; k++) {
            if (g.shorts[k] != 0) {
                g.shorts[cnt++] = g.shorts[k];
            }
        }
        g.cnt = cnt;
        if (cnt > 0) {
            groups[to++] = g;
        }
    }
    f->to = to;
}

static void fetch_on(struct sync_run *run);
static enum ses_err fetch_ask(struct sync_fetch *f);

static void fetch_end(struct sync_fetch *f, enum ses_err err)
{
    struct sync_run *run = f->run;
    ses_intake_free(f->in);
    ses_free(f->frame);
    *f = (struct sync_fetch){0};
    run->fetch_cnt--;
    run->fetch_err = run->fetch_err == SES_OK ? err : run->fetch_err;
    fetch_on(run);
}

/* The rest is asked for again as long as something comes. */
static enum ses_err fetch_rest(struct sync_fetch *f, bool *ended)
{
    compact(f);
    *ended = !(f->more && f->delivered > 0 && f->to > f->at);
    if (!*ended) {
        return fetch_ask(f);
    }
    for (uint32_t i = f->at; i < f->to; i++) {
        f->run->result.undelivered += f->run->core->wants.groups[i].cnt;
    }
    return SES_OK;
}

static void on_taken(void *cookie, struct intake *in)
{
    struct sync_fetch *f = cookie;
    struct sync_run *run = f->run;
    struct ses_daemon *d = run->d;
    uint32_t fetched = 0;
    bool ended = true;
    for (uint16_t i = 0; i < in->cnt; i++) {
        const enum ses_err err = in->items[i].err;
        fetched += err == SES_OK && !in->items[i].existed ? 1 : 0;
        run->result.refused += err != SES_OK ? 1 : 0;
        run->lacks |= err != SES_OK && err != SES_ERR_CLOCK; /* that one comes later, or is over */
        if (err == SES_ERR_DISK_LOW) {
            run->starved = true;
            d->sync.no_space_ms = ses_daemon_mono(d) + NO_SPACE_MS;
        }
        run->lied |= is_breach(err) || err == SES_ERR_UNAUTHORISED || err == SES_ERR_SIGNATURE;
    }
    run->result.fetched += fetched;
    d->stats.sync_records += fetched;
    if (fetched > 0) {
        fetch_renew(run);
    }
    ses_intake_free(f->in);
    f->in = NULL;
    ses_free(f->frame);
    f->frame = NULL;
    enum ses_err err = run->lied ? SES_ERR_PEER : SES_OK;
    const bool late = ses_daemon_mono(d) >= run->end_ms;
    err = err == SES_OK && (run->starved || late || d->closing) ? SES_ERR_AGAIN : err;
    if (err == SES_OK) {
        err = fetch_rest(f, &ended);
    }
    if (err != SES_OK || ended) {
        fetch_end(f, err);
    }
}

static enum ses_err read_groups(struct intake *in, struct ses_reader *r)
{
    const uint16_t group_cnt = ses_read_u16(r);
    for (uint16_t i = 0; i < group_cnt && r->err == SES_OK; i++) {
        struct ses_receipt_group group;
        ses_receipt_group_read(r, &group);
        for (uint16_t k = 0; k < group.cnt && r->err == SES_OK; k++) {
            struct ses_receipt receipt;
            uint16_t record;
            ses_receipt_group_item_read(r, &group, &record, &receipt);
            ses_reader_check(r, record < in->cnt, SES_ERR_MALFORMED);
            if (r->err == SES_OK) {
                SES_TRY(ses_intake_vouch(in, record, &receipt));
            }
        }
    }
    return ses_reader_done(r);
}

static enum ses_err read_records(struct sync_fetch *f, size_t len)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_sync_records head;
    bool ok;
    SES_TRY(ses_response_begin(&r, f->frame, len, &ok, &refusal));
    SES_REQUIRE(ok, refusal.status);
    ses_sync_records_read(&r, &head);
    SES_TRY(r.err);
    f->more = head.more;
    SES_TRY(ses_intake_new(&f->in, f->run->d, &f->run->target.node_id, head.cnt));
    f->in->accept = accept;
    for (uint16_t i = 0; i < head.cnt; i++) {
        ses_record_read(&r, &f->in->items[i].record);
    }
    SES_TRY(r.err);
    SES_TRY(read_groups(f->in, &r));
    return ses_intake_start(f->in, on_taken, f);
}

static void on_records(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct sync_fetch *f = cookie;
    struct ses_daemon *d = f->run->d;
    f->delivered = 0;
    if (err == SES_OK) {
        d->stats.sync_bytes += len;
        f->frame = ses_alloc(len + 1, 1);
        err = f->frame != NULL ? SES_OK : SES_ERR_MEMORY;
    }
    if (err == SES_OK) {
        memcpy(f->frame, body, len);
        err = d->closing ? SES_ERR_CLOSED : read_records(f, len);
    }
    if (err != SES_OK) {
        fetch_end(f, err);
    }
    ses_daemon_release(d);
}

/* Groups [at, to) once more; the first time `to` is found. */
static enum ses_err fetch_ask(struct sync_fetch *f)
{
    struct sync_run *run = f->run;
    struct ses_buf frame = {0};
    const struct reconcile_list list = {.groups = run->core->wants.groups,
                                        .group_cnt =
                                            f->to > 0 ? f->to : run->core->wants.group_cnt};
    uint32_t to = f->at;
    enum ses_err err =
        reconcile_list_frame(&frame, SES_SYNC_FETCH, &run->core->p, &list, &to, FETCH_NAMES_MAX);
    if (err == SES_OK) {
        f->to = to;
        run->d->stats.sync_bytes += frame.len;
        err = request(run, &frame, on_records, f);
    }
    ses_buf_free(&frame);
    return err;
}

static struct sync_fetch *fetch_free_place(struct sync_run *run)
{
    for (uint32_t i = 0; i < SYNC_FETCHES_MAX; i++) {
        if (run->fetches[i].run == NULL) {
            return &run->fetches[i];
        }
    }
    return NULL;
}

static void fetch_on(struct sync_run *run)
{
    struct sync_fetch *f;
    while (run->fetch_err == SES_OK && run->at < run->core->wants.group_cnt &&
           (f = fetch_free_place(run)) != NULL) {
        *f = (struct sync_fetch){.run = run, .at = run->at};
        run->fetch_err = fetch_ask(f);
        run->at = f->to;
        if (run->fetch_err != SES_OK) {
            *f = (struct sync_fetch){0};
        } else {
            run->fetch_cnt++;
        }
    }
    if (run->fetch_cnt > 0) {
        return;
    }
    if (run->fetch_err != SES_OK) {
        finish(run, run->fetch_err);
    } else {
        fetch_release(run);
        run->phase = SYNC_OFFER;
        run->at = 0;
        step(run);
    }
}

/* ---- offering ---- */
static void on_offered(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    (void)body;
    (void)len;
    struct sync_run *run = cookie;
    if (err == SES_OK) {
        run->result.offered = run->core->gives.short_cnt;
    }
    /* a member that takes no offers now will find out by itself */
    go_on(run, SES_OK);
}

static enum ses_err offer(struct sync_run *run)
{
    struct ses_buf frame = {0};
    enum ses_err err = reconcile_list_frame(&frame, SES_SYNC_OFFER, &run->core->p,
                                            &run->core->gives, &run->at, SES_SYNC_GROUPS_MAX);
    run->at = run->core->gives.group_cnt; /* one frame a run */
    if (err == SES_OK) {
        err = request(run, &frame, on_offered, run);
    }
    ses_buf_free(&frame);
    return err;
}

/* ---- one thing after the other ---- */
static void compared(struct sync_run *run)
{
    if (run->core->bulk_cnt > 0 && run->may_fetch) {
        ses_bulk_add(run->d, run->core->bulks, run->core->bulk_cnt);
    }
    run->at = 0;
    const bool wants = run->may_fetch && run->core->wants.group_cnt > 0;
    if (wants && !run->by_offer && ses_daemon_mono(run->d) < run->d->sync.no_space_ms) {
        run->starved = true;
    }
    if (!wants || run->starved) {
        run->phase = SYNC_OFFER;
    } else if ((run->by_offer && run->done != NULL) || may_fetch(run)) {
        run->phase = SYNC_FETCH; /* healing needs its one record whoever fetches */
    } else {
        run->phase = run->by_offer ? SYNC_OFFER : SYNC_WAIT;
    }
}

static void step(struct sync_run *run)
{
    enum ses_err err = SES_OK;
    if (run->phase == SYNC_COMPARE && run->core->need.kind == RECONCILE_DONE) {
        compared(run);
    }
    if (run->phase == SYNC_WAIT) {
        return; /* ses_sync_wake */
    }
    if (run->phase == SYNC_FETCH) {
        fetch_on(run);
        return;
    }
    if (run->phase == SYNC_COMPARE) {
        err = compare(run);
    } else if (!run->by_offer && run->at < run->core->gives.group_cnt) {
        err = offer(run);
    } else {
        finish(run, SES_OK);
        return;
    }
    if (err != SES_OK) {
        finish(run, err);
    }
}

/* ---- beginning ---- */
/* What others fetched meanwhile is no difference any more. */
static enum ses_err compare_again(struct sync_run *run)
{
    struct reconcile_params params = run->core->p;
    struct reconcile *core;
    ses_random_fill(run->d->p.random, params.nonce.bytes, sizeof params.nonce.bytes);
    SES_TRY(reconcile_new(&core, &params));
    run->d->stats.sync_bytes += run->core->bytes_in + run->core->bytes_out;
    reconcile_free(run->core);
    run->core = core;
    run->phase = SYNC_COMPARE;
    run->end_ms = ses_daemon_mono(run->d) + PHASE_MS;
    return SES_OK;
}

static void begin(void *cookie)
{
    struct sync_run *run = cookie;
    struct ses_daemon *d = run->d;
    ses_daemon_hold(d);
    run->waking = false;
    run->deleted_cnt = deleted_cnt(d);
    enum ses_err err = d->closing ? SES_ERR_CLOSED : SES_OK;
    if (err == SES_OK && run->phase == SYNC_WAIT) {
        err = compare_again(run);
    }
    if (err != SES_OK) {
        finish(run, err);
    } else {
        step(run);
    }
    ses_daemon_release(d);
}

void ses_sync_wake(struct ses_daemon *d)
{
    for (struct sync_run *run = d->sync.runs; run != NULL; run = run->next) {
        struct ses_timer *timer;
        if (run->phase == SYNC_WAIT && !run->waking) { /* without memory: at the next turn */
            run->waking = d->p.loop->timer_start(d->p.loop->ctx, &timer, 0, begin, run) == SES_OK;
        }
    }
}

static enum ses_err may_start(const struct ses_daemon *d, const struct ses_node_id *node_id,
                              bool by_offer)
{
    SES_REQUIRE(!d->closing && !d->draining, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(d->sync.run_cnt < SYNC_RUNS_MAX, SES_ERR_FULL);
    for (const struct sync_run *run = d->sync.runs; run != NULL; run = run->next) {
        SES_REQUIRE(run->by_offer != by_offer ||
                        !ses_equal(&run->target.node_id, node_id, sizeof *node_id),
                    SES_ERR_EXISTS);
    }
    return SES_OK;
}

/* The first step comes from the loop: no callback from inside the call. */
static enum ses_err run_new(struct ses_daemon *d, const struct ses_node_id *node_id,
                            struct reconcile *core, struct sync_run **out)
{
    struct ses_timer *timer;
    struct sync_run *run = ses_alloc(1, sizeof *run);
    SES_REQUIRE(run != NULL, SES_ERR_MEMORY);
    run->d = d;
    run->core = core;
    run->end_ms = ses_daemon_mono(d) + PHASE_MS;
    enum ses_err err = ses_sync_target(d, node_id, &run->target) ? SES_OK : SES_ERR_NOT_FOUND;
    if (err == SES_OK) {
        err = d->p.loop->timer_start(d->p.loop->ctx, &timer, 0, begin, run);
    }
    if (err != SES_OK) {
        ses_free(run);
        return err;
    }
    run->next = d->sync.runs;
    d->sync.runs = run;
    d->sync.run_cnt++;
    ses_daemon_hold(d);
    *out = run;
    return SES_OK;
}

enum ses_err ses_sync_run(struct ses_daemon *d, const struct sync_start *start)
{
    struct reconcile *core;
    struct sync_run *run = NULL;
    struct reconcile_params params = start->params;
    SES_TRY(may_start(d, start->node_id, false));
    ses_random_fill(d->p.random, params.nonce.bytes, sizeof params.nonce.bytes);
    SES_TRY(reconcile_new(&core, &params));
    const enum ses_err err = run_new(d, start->node_id, core, &run);
    if (err != SES_OK) {
        reconcile_free(core);
        return err;
    }
    run->may_fetch = start->fetches;
    run->done = start->done;
    run->cookie = start->cookie;
    return SES_OK;
}

enum ses_err ses_sync_offered(struct ses_daemon *d, const struct ses_node_id *node_id,
                              const struct reconcile_params *params,
                              const struct ses_sync_group *groups, uint32_t cnt)
{
    struct reconcile *core;
    struct sync_run *run = NULL;
    SES_TRY(may_start(d, node_id, true));
    SES_REQUIRE(d->sync.fetching == NULL, SES_ERR_FULL); /* of the same records, likely */
    SES_TRY(reconcile_offered(&core, params, groups, cnt));
    const enum ses_err err = run_new(d, node_id, core, &run);
    if (err != SES_OK) {
        reconcile_free(core);
        return err;
    }
    run->may_fetch = true;
    run->by_offer = true;
    return SES_OK;
}

enum ses_err ses_sync_fetch_one(struct ses_daemon *d, const struct ses_node_id *node_id,
                                const struct reconcile_params *params,
                                const struct ses_sync_place *place, uint64_t name,
                                sync_done_fn *done, void *cookie)
{
    struct reconcile *core;
    struct sync_run *run = NULL;
    SES_TRY(may_start(d, node_id, true));
    SES_TRY(reconcile_offered(&core, params, NULL, 0));
    enum ses_err err = reconcile_list_add(&core->wants, place, name);
    if (err == SES_OK) {
        err = run_new(d, node_id, core, &run);
    }
    if (err != SES_OK) {
        reconcile_free(core);
        return err;
    }
    run->may_fetch = true;
    run->by_offer = true;
    run->done = done;
    run->cookie = cookie;
    return SES_OK;
}
