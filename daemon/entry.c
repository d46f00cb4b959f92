/* /session/store/1, op PUT, and /session/delete/1: what enters the network here (storage page,
 * Entry). Cheap checks first, signatures on the worker pool, then the store and the members in
 * parallel. A delete statement is a record as any other, once its header is written. */
#include "daemon/daemon_internal.h"

#define PAST_MS 120000u
#define FUTURE_MS 10000u
#define STRANGER_CLASS_MAX 2u
#define TOKENS_MAX 64u

struct entry {
    struct ses_daemon *d;
    struct ses_call *call;
    uint64_t started_ms;
    bool deletes;                            /* the request is a delete statement */
    uint8_t header[SES_RECORD_HEADER_BYTES]; /* of its record */
    struct ses_store_put put;                /* views point into `frame`, or to `header` */
    struct ses_record_ids ids;
    enum ses_err err;
    struct ses_hash chain_id;
    uint8_t *frame; /* own copy, NULL while the caller's is borrowed */
};

static void on_put(void *cookie, const struct ses_put_result *result)
{
    struct debt *debt = cookie;
    struct ses_daemon *d = debt->d;
    debt->putting = false;
    if (result->err != SES_OK && !debt->finished) {
        ses_logf(d->p.log, SES_LOG_ERROR, MODULE, "a record was not stored: %s",
                 ses_err_text(result->err));
        ses_debt_finish(debt, false);
    } else {
        debt->own = true;
        ses_debt_check(debt);
    }
    ses_daemon_release(d);
}

static enum ses_err put_record(const struct entry *e, struct debt *debt)
{
    const bool public_inbox = ses_ns_public_inbox(e->ids.header.ns);
    const struct ses_put put = {
        .record = e->put.record,
        .ids = &e->ids,
        .entry = true,
        .stranger = public_inbox && e->put.entry == SES_ENTRY_STAMP,
        .on_done = on_put,
        .cookie = debt,
    };
    debt->putting = true;
    debt->own = SES_MUTANT(OWN_RECEIPT_EARLY);
    const enum ses_err err = ses_daemon_put(e->d, &put);
    if (err != SES_OK) {
        debt->putting = false;
        return err;
    }
    ses_daemon_hold(e->d);
    return SES_OK;
}

/* All checks passed. Someone else may have brought the same record meanwhile. */
static void accept_entry(const struct entry *e)
{
    struct ses_daemon *d = e->d;
    struct debt *debt = ses_debt_find(d, &e->ids.id);
    if (debt != NULL) {
        d->stats.attached++;
        ses_debt_wait(debt, e->call, e->put.wait_ms, e->started_ms);
        return;
    }
    enum ses_err err = SES_ERR_UNAVAILABLE;
    if (d->debts.bytes >= d->p.limits.entry_bytes_max ||
        d->debts.waiter_cnt >= d->p.limits.waiters_max) {
        d->stats.limits_hit++;
    } else {
        err = ses_debt_new(&debt, d, &e->ids, &e->put.record);
    }
    if (err == SES_OK) {
        err = put_record(e, debt);
        if (err != SES_OK) {
            ses_debt_finish(debt, false);
        }
    }
    if (err != SES_OK) {
        ses_refuse(d, e->call, err);
        return;
    }
    ses_debt_wait(debt, e->call, e->put.wait_ms, e->started_ms);
    debt = ses_debt_find(d, &e->ids.id);
    if (debt != NULL) {
        ses_debt_aim(debt);
        ses_members_pump(d);
    }
}

static void entry_free(struct entry *e)
{
    ses_free(e->frame);
    ses_free(e);
}

/* ---- checks that need a worker ---- */
static void finish_check(struct entry *e, enum ses_err err)
{
    struct ses_daemon *d = e->d;
    if (err == SES_OK && d->draining) {
        err = SES_ERR_UNAVAILABLE;
    }
    if (err == SES_OK && !ses_daemon_serves(d, &e->ids.digest, false)) {
        ses_refuse_swarm(d, e->call, &e->ids.digest); /* the map changed meanwhile */
    } else if (err != SES_OK) {
        ses_refuse(d, e->call, err);
    } else {
        accept_entry(e);
    }
    entry_free(e);
    ses_daemon_client_end(d);
}

static void owner_run(void *cookie)
{
    struct entry *e = cookie;
    e->err = ses_record_check_owner(&e->put.record, &e->ids, &e->chain_id);
}

static void owner_done(void *cookie)
{
    struct entry *e = cookie;
    finish_check(e, e->err == SES_OK ? SES_OK : SES_ERR_UNAUTHORISED);
}

/* The owner's newest record in the namespace of tokens: behind the owner's keys and signature stand
 * the hashes B(0x15, token) that he has given to his contacts. */
static enum ses_err check_token(const struct entry *e, const struct ses_page_result *page)
{
    struct ses_reader r;
    struct ses_page header;
    struct ses_record record;
    struct ses_refusal refusal;
    bool ok = false;
    SES_TRY(page->err);
    SES_TRY(ses_response_begin(&r, page->frame, page->len, &ok, &refusal));
    SES_REQUIRE(ok, refusal.status);
    ses_page_read(&r, &header);
    SES_REQUIRE(r.err == SES_OK && header.record_cnt > 0, SES_ERR_UNAUTHORISED);
    ses_record_read(&r, &record);
    SES_REQUIRE(r.err == SES_OK && record.payload_bytes >= SES_OWNED_PREFIX_BYTES,
                SES_ERR_UNAUTHORISED);
    struct ses_hash want;
    ses_b(&want, SES_TAG_TOKEN, SES_PARTS(SES_PART(e->put.token.bytes, 32)));
    const uint8_t *at = record.payload + SES_OWNED_PREFIX_BYTES;
    size_t cnt = (record.payload_bytes - SES_OWNED_PREFIX_BYTES) / 32;
    cnt = cnt < TOKENS_MAX ? cnt : TOKENS_MAX;
    bool found = false;
    for (size_t i = 0; i < cnt; i++) {
        found |= ses_equal(at + i * 32, want.bytes, 32);
    }
    return found ? SES_OK : SES_ERR_UNAUTHORISED;
}

static void token_done(void *cookie, const struct ses_page_result *page)
{
    struct entry *e = cookie;
    finish_check(e, check_token(e, page));
}

static enum ses_err ask_token(struct entry *e)
{
    struct ses_daemon *d = e->d;
    const struct ses_retrieve ask = {.inbox = e->ids.header.inbox,
                                     .ns = SES_NS_TOKEN,
                                     .record_max = 1,
                                     .bytes_max = SES_PAYLOAD_MAX};
    return ses_store_page(d->p.store, &ask, token_done, e);
}

/* The record of a delete statement. */
static enum ses_err read_statement(struct entry *e, const uint8_t *body, size_t len)
{
    struct ses_delete_put put;
    struct ses_delete statement;
    struct ses_record_header header;
    SES_TRY(ses_delete_put_read(&put, body, len));
    SES_TRY(ses_delete_read(&statement, put.statement, put.statement_bytes));
    ses_delete_header(&header, &statement);
    ses_record_header_encode(e->header, &header);
    e->put = (struct ses_store_put){
        .record = {e->header, put.statement, put.statement_bytes},
        .entry = SES_ENTRY_OWNER,
        .wait_ms = put.wait_ms,
    };
    return SES_OK;
}

static enum ses_err read_entry(struct entry *e, const uint8_t *body, size_t len)
{
    return e->deletes ? read_statement(e, body, len) : ses_store_put_read(&e->put, body, len);
}

/* A copy of `from` that owns its frame: for checks that finish later. */
static struct entry *entry_keep(const struct entry *from, const uint8_t *body, size_t len)
{
    struct entry *e = ses_alloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    *e = *from;
    e->frame = ses_alloc(len, 1);
    if (e->frame == NULL) {
        ses_free(e);
        return NULL;
    }
    memcpy(e->frame, body, len);
    if (read_entry(e, e->frame, len) != SES_OK) {
        SES_ASSERT(false); /* the same bytes were read a moment ago */
    }
    return e;
}

static void check_later(const struct entry *from, const uint8_t *body, size_t len, bool owner)
{
    struct ses_daemon *d = from->d;
    const struct ses_loop *loop = d->p.loop;
    if (!ses_daemon_client_begin(d)) {
        ses_refuse(d, from->call, SES_ERR_UNAVAILABLE);
        return;
    }
    struct entry *e = entry_keep(from, body, len);
    if (e == NULL) {
        ses_refuse(d, from->call, SES_ERR_UNAVAILABLE);
        ses_daemon_client_end(d);
        return;
    }
    e->chain_id = d->p.chain_params.chain_id;
    const enum ses_err err = owner ? loop->work(loop->ctx, owner_run, owner_done, e) : ask_token(e);
    if (err != SES_OK) {
        finish_check(e, err);
    }
}

/* ---- who may write ---- */
static void check_stranger(const struct entry *e)
{
    const unsigned bits = ses_stamp_bits(e->put.record.payload_bytes);
    if (e->ids.header.ttl_class > STRANGER_CLASS_MAX) {
        ses_refuse(e->d, e->call, SES_ERR_UNAUTHORISED);
    } else if (!ses_stamp_check(&e->ids.id, e->put.stamp, bits)) {
        ses_refuse_work(e->d, e->call, bits);
    } else {
        accept_entry(e);
    }
}

static void check_writer(const struct entry *e, const uint8_t *body, size_t len)
{
    if (!ses_ns_public_inbox(e->ids.header.ns)) {
        check_later(e, body, len, true);
        return;
    }
    switch (e->put.entry) {
    case SES_ENTRY_TOKEN:
        check_later(e, body, len, false);
        break;
    case SES_ENTRY_STAMP:
        check_stranger(e);
        break;
    case SES_ENTRY_OWNER: /* proven on the connection by /session/login/1 */
        if (ses_call_logged_in(e->call, &e->ids.header.inbox)) {
            accept_entry(e);
        } else {
            ses_refuse(e->d, e->call, SES_ERR_UNAUTHORISED);
        }
        break;
    }
}

static bool clock_fits(const struct ses_daemon *d, uint64_t ts_ms)
{
    const uint64_t now_ms = ses_daemon_now(d);
    return ts_ms + PAST_MS >= now_ms && ts_ms <= now_ms + FUTURE_MS;
}

static void check_place(const struct entry *e, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = e->d;
    struct debt *running = ses_debt_find(d, &e->ids.id);
    if (!ses_daemon_serves(d, &e->ids.digest, false)) {
        ses_refuse_swarm(d, e->call, &e->ids.digest);
        return;
    }
    if (running != NULL) {
        d->stats.attached++;
        ses_debt_wait(running, e->call, e->put.wait_ms, e->started_ms);
        return;
    }
    const bool expired = ses_segment_expires_ms(&e->ids.segment) <= ses_daemon_now(d);
    const bool known = ses_store_has(d->p.store, &e->ids);
    if (expired || (!known && !clock_fits(d, e->ids.header.ts_ms))) {
        ses_refuse(d, e->call, SES_ERR_CLOCK);
    } else if (known) {
        accept_entry(e); /* a retry after the answer was lost: it passed these checks before */
    } else {
        check_writer(e, body, len);
    }
}

static void serve_put(struct ses_daemon *d, struct ses_call *call, const uint8_t *body, size_t len,
                      bool deletes)
{
    struct entry e = {.d = d, .call = call, .started_ms = ses_daemon_mono(d), .deletes = deletes};
    enum ses_err err = read_entry(&e, body, len);
    if (err == SES_OK) {
        err = ses_record_identify(&e.ids, &e.put.record);
    }
    /* A tombstone comes as its statement, with the header that follows from it. */
    if (err == SES_OK && !deletes && e.ids.header.kind != SES_RECORD_MESSAGE) {
        err = SES_ERR_MALFORMED;
    }
    if (err != SES_OK) {
        const bool says_more = err == SES_ERR_TOO_LARGE || err == SES_ERR_UNAUTHORISED;
        ses_refuse(d, call, says_more ? err : SES_ERR_MALFORMED);
        return;
    }
    check_place(&e, body, len);
}

static bool may_enter(struct ses_daemon *d, struct ses_call *call)
{
    if (d->draining || d->map == NULL) {
        ses_refuse(d, call, SES_ERR_UNAVAILABLE);
        return false;
    }
    if (!ses_meter_take(&d->meters, ses_call_peer(call), 1, d->p.limits.store_rate,
                        ses_daemon_mono(d))) {
        ses_refuse(d, call, SES_ERR_RATE);
        return false;
    }
    return true;
}

void ses_entry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = cookie;
    struct ses_reader r;
    uint8_t op = 0;
    if (ses_request_begin(&r, body, len, &op) != SES_OK ||
        (op != SES_STORE_PUT && op != SES_STORE_RECEIPTS)) {
        ses_refuse(d, call, SES_ERR_MALFORMED);
    } else if (may_enter(d, call)) {
        if (op == SES_STORE_PUT) {
            d->stats.stores++;
            serve_put(d, call, body, len, false);
        } else {
            ses_receipts_serve(d, call, body, len);
        }
    }
}

void ses_delete_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = cookie;
    if (may_enter(d, call)) {
        d->stats.deletes++;
        serve_put(d, call, body, len, true);
    }
}
