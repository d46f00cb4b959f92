#include "network/host.h"

#define FLOW_CLOSE_MS 5000u

void ses_flow_end(struct ses_flow *flow, enum ses_err why)
{
    struct ses_flow **at = &flow->host->closing_flows;
    while (flow->close_listed && *at != flow) {
        at = &(*at)->close_next;
    }
    if (flow->close_listed) {
        *at = flow->close_next;
    }
    if (flow->session != NULL) {
        ses_session_drop(flow->session);
    }
    if (flow->events != NULL) {
        flow->events->on_close(flow->cookie, flow, why);
    }
    ses_free(flow);
}

static enum ses_err flow_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    struct ses_flow *flow = st->owner;
    if (flow->dialled && !flow->noticed) {
        flow->noticed = true;
        ses_conn_notice_refusal(st->conn, body, len);
    }
    if (!flow->closing) {
        flow->events->on_frame(flow->cookie, flow, body, len);
    }
    return SES_OK;
}

static void flow_fin(struct ses_stream *st)
{
    struct ses_flow *flow = st->owner;
    flow->closing = true;
    ses_stream_close(st);
    ses_stream_due(st, FLOW_CLOSE_MS);
}

static void flow_drained(struct ses_stream *st)
{
    struct ses_flow *flow = st->owner;
    if (flow->blocked && !flow->closing) {
        flow->blocked = false;
        if (flow->events->on_writable != NULL) {
            flow->events->on_writable(flow->cookie, flow);
        }
    }
}

static void flow_gone(struct ses_stream *st)
{
    struct ses_flow *flow = st->owner;
    flow->stream = NULL;
    ses_flow_end(flow, st->why);
}

static const struct ses_stream_ops flow_ops = {
    .on_bytes = flow_frame, .on_fin = flow_fin, .on_drained = flow_drained, .on_gone = flow_gone};

enum ses_err ses_flow_attach(struct ses_flow *flow, struct ses_conn *conn)
{
    struct ses_stream *st = NULL;
    SES_TRY(ses_stream_open(&st, conn, ses_proto_id(flow->proto), &flow_ops, flow,
                            ses_limit_of(flow->proto)->response_bytes));
    st->proto = flow->proto;
    st->counted = true;
    conn->outbound_cnt[flow->proto]++;
    conn->host->stats.requests_out++;
    flow->dialled = true;
    flow->stream = st;
    flow->session = conn->session;
    flow->session->ref_cnt++;
    return SES_OK;
}

void ses_flow_accept(struct ses_stream *st, enum ses_proto proto)
{
    struct ses_host *host = st->conn->host;
    const struct ses_service *service = &host->services[proto];
    struct ses_flow *flow = ses_alloc(1, sizeof *flow);
    if (flow == NULL) {
        ses_stream_reset(st, SES_ERR_MEMORY);
        return;
    }
    flow->base.net = &host->net;
    flow->host = host;
    flow->proto = proto;
    flow->stream = st;
    flow->session = st->conn->session;
    flow->session->ref_cnt++;
    const enum ses_err err = service->accept(service->cookie, flow, &flow->events, &flow->cookie);
    if (err != SES_OK) {
        ses_session_drop(flow->session);
        ses_free(flow);
        ses_stream_refuse(st, err);
        return;
    }
    SES_ASSERT(flow->events != NULL);
    st->frames.max = ses_limit_of(proto)->request_bytes;
    st->owner = flow;
    st->ops = &flow_ops;
}

const struct ses_peer *ses_host_flow_peer(const struct ses_flow *flow)
{
    static const struct ses_peer nobody = {0}; /* before it is open */
    return flow->session == NULL ? &nobody : &flow->session->peer;
}

bool ses_host_flow_logged_in(const struct ses_flow *flow, const struct ses_hash *inbox)
{
    return flow->session != NULL && ses_session_logged_in(flow->session, inbox);
}

enum ses_err ses_host_flow_send(struct ses_flow *flow, const uint8_t *body, size_t len)
{
    SES_REQUIRE(!flow->closing, SES_ERR_CLOSED);
    SES_REQUIRE(flow->stream != NULL, SES_ERR_AGAIN); /* on_open follows */
    struct ses_stream *st = flow->stream;
    const struct ses_limit *limit = ses_limit_of(flow->proto);
    SES_REQUIRE(len <= (flow->dialled ? limit->request_bytes : limit->response_bytes),
                SES_ERR_TOO_LARGE);
    SES_REQUIRE(ses_stream_alive(st), SES_ERR_CLOSED);
    const bool may_queue = ses_conn_may_queue(st->conn);
    if (st->ys.out.len > 0 && (!may_queue || st->ys.out.len + len > SES_FLOW_QUEUE_BYTES)) {
        flow->blocked = true;
        st->ys.drain_wanted = true;
        return SES_ERR_AGAIN;
    }
    SES_REQUIRE(may_queue, SES_ERR_FULL);
    return ses_stream_send_frame(st, body, len);
}

void ses_host_flow_close(struct ses_flow *flow)
{
    if (flow->closing) {
        return;
    }
    flow->closing = true;
    if (flow->stream != NULL) {
        ses_stream_close(flow->stream);
        ses_stream_due(flow->stream, FLOW_CLOSE_MS);
        return;
    }
    /* Not open yet: told at the end of the turn. */
    flow->close_listed = true;
    flow->close_next = flow->host->closing_flows;
    flow->host->closing_flows = flow;
}
