/* Outbound requests: from the call to its stream to the reply, exactly one callback each. */
#include <string.h>

#include "network/host.h"

static void op_free(struct ses_op *op)
{
    struct ses_host *host = op->link->host;
    op->link->op_cnt--;
    ses_link_touch(op->link);
    ses_due_clear(&host->dues, &op->due);
    ses_buf_free(&op->body);
    ses_free(op);
    host->op_cnt--;
}

static void op_unlink(struct ses_op *op)
{
    if (!op->waiting) {
        return;
    }
    struct ses_link *link = op->link;
    struct ses_op **at = &link->first;
    while (*at != op) {
        at = &(*at)->next;
    }
    *at = op->next;
    if (link->last == &op->next) {
        link->last = at;
    }
    op->waiting = false;
    link->waiting_cnt--;
    ses_link_touch(link);
}

static void op_finish(struct ses_op *op, enum ses_err err, const uint8_t *body, size_t len)
{
    struct ses_flow *flow = op->flow;
    op_unlink(op);
    if (op->stream != NULL) {
        op->stream->owner = NULL;
        op->stream = NULL;
    }
    ses_reply_fn *on_reply = op->on_reply;
    void *cookie = op->cookie;
    op_free(op);
    if (flow != NULL) {
        flow->op = NULL;
        ses_flow_end(flow, err);
    } else {
        on_reply(cookie, err, body, len);
    }
}

/* Its stream is open: it waits no more. A flow belongs to the application from here on. */
void ses_op_started(struct ses_op *op)
{
    struct ses_flow *flow = op->flow;
    op_unlink(op);
    if (flow == NULL) {
        return;
    }
    flow->op = NULL;
    op_free(op);
    if (flow->events->on_open != NULL && !flow->closing) {
        flow->events->on_open(flow->cookie, flow);
    }
}

void ses_op_fail(struct ses_op *op, enum ses_err err)
{
    if (op->signing) {
        op_unlink(op);
        op->failed = op->failed == SES_OK ? err : op->failed;
        return;
    }
    op_finish(op, err, NULL, 0);
}

void ses_op_signed(struct ses_op *op)
{
    op->signing = false;
    if (op->failed != SES_OK) {
        op_finish(op, op->failed, NULL, 0);
    }
}

static void due_fire(struct ses_due *due)
{
    struct ses_op *op = (struct ses_op *)((uint8_t *)due - offsetof(struct ses_op, due));
    struct ses_stream *st = op->stream;
    ses_op_fail(op, SES_ERR_TIMEOUT);
    if (st != NULL) {
        ses_stream_reset(st, SES_ERR_TIMEOUT);
    }
}

/* ---- the stream of a request ---- */

void ses_conn_notice_refusal(struct ses_conn *conn, const uint8_t *body, size_t len)
{
    if (conn->host->params.is_node && conn->dialler && conn->link != NULL && len >= 3 &&
        body[0] == SES_FRAME_VERSION && body[1] == 0 && body[2] == SES_ERR_UNAUTHORISED) {
        conn->retired = true;
        ses_link_conn_down(conn->link, conn);
    }
}

static enum ses_err reply_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    struct ses_op *op = st->owner;
    SES_REQUIRE(op != NULL, SES_ERR_PEER); /* a second answer, or too late */
    ses_conn_notice_refusal(st->conn, body, len);
    op_finish(op, SES_OK, body, len);
    return SES_OK;
}

static void reply_gone(struct ses_stream *st)
{
    struct ses_op *op = st->owner;
    if (op != NULL) {
        op->stream = NULL;
        ses_op_fail(op, st->why == SES_OK ? SES_ERR_PEER : st->why);
    }
}

static const struct ses_stream_ops reply_ops = {.on_bytes = reply_frame, .on_gone = reply_gone};

static enum ses_err request_send(struct ses_op *op, struct ses_conn *conn)
{
    const struct ses_limit *limit = ses_limit_of(op->proto);
    struct ses_stream *st = NULL;
    SES_TRY(
        ses_stream_open(&st, conn, ses_proto_id(op->proto), &reply_ops, op, limit->response_bytes));
    const enum ses_err err = ses_stream_send_frame(st, op->body.bytes, op->body.len);
    if (err != SES_OK) {
        st->owner = NULL;
        ses_stream_reset(st, err);
        return err;
    }
    ses_stream_close(st);
    /* After the reply the peer has this long to end the stream. */
    ses_stream_due(st, limit->deadline_ms + SES_DIAL_MS);
    st->proto = op->proto;
    st->counted = true;
    conn->outbound_cnt[op->proto]++;
    conn->host->stats.requests_out++;
    op->stream = st;
    ses_buf_free(&op->body);
    return SES_OK;
}

enum ses_err ses_op_try(struct ses_op *op, struct ses_conn *conn)
{
    SES_REQUIRE(op->failed == SES_OK && !op->signing, SES_ERR_AGAIN);
    if (op->login != NULL) {
        enum ses_err err = SES_OK;
        const enum ses_proof_state state = ses_login_prove(conn, op, &err);
        SES_REQUIRE(state != SES_PROOF_FAILED, err == SES_ERR_AGAIN ? SES_ERR_FULL : err);
        SES_REQUIRE(state == SES_PROOF_DONE, SES_ERR_AGAIN);
    }
    SES_REQUIRE(conn->outbound_cnt[op->proto] < ses_limit_of(op->proto)->concurrent, SES_ERR_AGAIN);
    return op->flow != NULL ? ses_flow_attach(op->flow, conn) : request_send(op, conn);
}

/* ---- calls of the application ---- */

static enum ses_err op_new(struct ses_op **out, struct ses_host *host,
                           const struct ses_target *target, enum ses_proto proto,
                           uint64_t deadline_ms)
{
    struct ses_link *link = NULL;
    *out = NULL;
    SES_REQUIRE(!host->closing, SES_ERR_CLOSED);
    SES_REQUIRE(proto < SES_PROTO_CNT && target != NULL, SES_ERR_INVALID);
    SES_TRY(ses_link_get(&link, host, target));
    ses_link_touch(link); /* so that it goes if nothing comes of this */
    SES_REQUIRE(link->waiting_cnt < SES_OPS_WAITING_MAX, SES_ERR_FULL);
    struct ses_op *op = ses_alloc(1, sizeof *op);
    SES_REQUIRE(op != NULL, SES_ERR_MEMORY);
    op->link = link;
    op->proto = proto;
    op->due.fire = due_fire;
    if (ses_due_set(&host->dues, &op->due, ses_host_now_ms() + deadline_ms) != SES_OK) {
        ses_free(op);
        return SES_ERR_MEMORY;
    }
    host->op_cnt++;
    link->op_cnt++;
    *out = op;
    return SES_OK;
}

static void op_wait(struct ses_op *op)
{
    struct ses_link *link = op->link;
    op->waiting = true;
    op->next = NULL;
    *link->last = op;
    link->last = &op->next;
    link->waiting_cnt++;
    ses_link_touch(link);
}

enum ses_err ses_host_request(struct ses_net *net, const struct ses_request *request)
{
    struct ses_host *host = ses_host_of(net);
    struct ses_op *op = NULL;
    SES_REQUIRE(request->on_reply != NULL && request->proto < SES_PROTO_CNT, SES_ERR_INVALID);
    const struct ses_limit *limit = ses_limit_of(request->proto);
    SES_REQUIRE(request->len <= limit->request_bytes, SES_ERR_TOO_LARGE);
    const uint64_t deadline_ms =
        request->deadline_ms == 0 ? limit->deadline_ms : request->deadline_ms;
    SES_TRY(op_new(&op, host, request->target, request->proto, deadline_ms));
    op->login = request->login;
    op->on_reply = request->on_reply;
    op->cookie = request->cookie;
    enum ses_err err = ses_buf_append(&op->body, request->body, request->len);
    if (err != SES_OK) {
        op_free(op);
        return err;
    }
    /* Straight onto the connection if nothing stands in the way. */
    err = SES_ERR_AGAIN;
    if (op->link->conn != NULL && op->link->first == NULL && op->login == NULL) {
        err = ses_op_try(op, op->link->conn);
    }
    if (err != SES_OK) {
        op_wait(op); /* an error repeats when the link is pumped, and is told from there */
    }
    return SES_OK;
}

enum ses_err ses_host_open(struct ses_net *net, struct ses_flow **out,
                           const struct ses_target *target, enum ses_proto proto,
                           const struct ses_identity *login, const struct ses_flow_events *events,
                           void *cookie)
{
    struct ses_host *host = ses_host_of(net);
    struct ses_op *op = NULL;
    *out = NULL;
    SES_TRY(op_new(&op, host, target, proto, SES_DIAL_MS + SES_AUTH_MS));
    struct ses_flow *flow = ses_alloc(1, sizeof *flow);
    if (flow == NULL) {
        op_free(op);
        return SES_ERR_MEMORY;
    }
    flow->base.net = net;
    flow->host = host;
    flow->op = op;
    flow->proto = proto;
    flow->events = events;
    flow->cookie = cookie;
    op->flow = flow;
    op->login = login;
    op_wait(op);
    *out = flow;
    return SES_OK;
}
