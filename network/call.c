/* Inbound requests. A call outlives its stream and connection until it is answered. */
#include "network/host.h"

struct ses_call {
    struct ses_call_base base; /* first: ses_call_net */
    struct ses_host *host;
    struct ses_session *session;
    struct ses_stream *stream; /* NULL once it is gone */
    enum ses_proto proto;
};

static void call_free(struct ses_call *call)
{
    struct ses_host *host = call->host;
    if (call->stream != NULL) {
        call->stream->owner = NULL;
    }
    call->session->inbound_cnt[call->proto]--;
    ses_session_drop(call->session);
    ses_free(call);
    host->call_cnt--;
}

static enum ses_err call_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    struct ses_host *host = st->conn->host;
    const struct ses_service *service = &host->services[st->proto];
    SES_REQUIRE(st->owner == NULL, SES_ERR_PEER);                   /* one request a stream */
    SES_REQUIRE(!st->ys.fin_due && !st->ys.fin_sent, SES_ERR_PEER); /* answered already */
    struct ses_call *call = ses_alloc(1, sizeof *call);
    SES_REQUIRE(call != NULL, SES_ERR_MEMORY);
    *call = (struct ses_call){.base.net = &host->net,
                              .host = host,
                              .session = st->conn->session,
                              .stream = st,
                              .proto = st->proto};
    call->session->ref_cnt++;
    st->inbound_counted = false; /* the call's from here on */
    host->call_cnt++;
    host->stats.requests_in++;
    st->owner = call;
    ses_due_clear(&host->dues, &st->due); /* the application takes its time */
    service->serve(service->cookie, call, body, len);
    return SES_OK;
}

static void call_fin(struct ses_stream *st)
{
    /* The request is complete; with no request at all the stream is of no use. */
    if (st->owner == NULL && !st->ys.fin_due && !st->ys.fin_sent) {
        ses_stream_reset(st, SES_ERR_PEER);
    }
}

static void call_gone(struct ses_stream *st)
{
    struct ses_call *call = st->owner;
    if (call != NULL) {
        call->stream = NULL;
    }
}

static const struct ses_stream_ops call_ops = {
    .on_bytes = call_frame, .on_fin = call_fin, .on_gone = call_gone};

void ses_call_accept(struct ses_stream *st, enum ses_proto proto)
{
    const struct ses_limit *limit = ses_limit_of(proto);
    st->ops = &call_ops;
    st->proto = proto;
    st->frames.max = limit->request_bytes;
    ses_stream_due(st, limit->deadline_ms);
}

const struct ses_peer *ses_host_call_peer(const struct ses_call *call)
{
    return &call->session->peer;
}

bool ses_host_call_logged_in(const struct ses_call *call, const struct ses_hash *inbox)
{
    return ses_session_logged_in(call->session, inbox);
}

void ses_host_call_reply(struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_stream *st = call->stream;
    const struct ses_limit *limit = ses_limit_of(call->proto);
    if (st != NULL && !ses_conn_may_queue(st->conn)) {
        ses_stream_refuse(st, SES_ERR_UNAVAILABLE); /* it does not take what it asked for */
    } else if (st != NULL) {
        enum ses_err err = len > limit->response_bytes ? SES_ERR_TOO_LARGE : SES_OK;
        if (err == SES_OK) {
            err = ses_stream_send_frame(st, body, len);
        }
        if (err == SES_OK) {
            ses_stream_close(st);
            ses_stream_due(st, limit->deadline_ms); /* to take it */
        } else {
            ses_logf(call->host->params.log, SES_LOG_WARN, "network", "reply on %s: %s",
                     ses_proto_id(call->proto), ses_err_text(err));
            ses_stream_reset(st, err);
        }
    }
    call_free(call);
}

void ses_host_call_fail(struct ses_call *call)
{
    if (call->stream != NULL) {
        ses_stream_reset(call->stream, SES_ERR_UNAVAILABLE);
    }
    call_free(call);
}

/* ---- refusals ---- */

static enum ses_err refused_bytes(struct ses_stream *st, const uint8_t *bytes, size_t len)
{
    (void)st;
    (void)bytes;
    (void)len;
    return SES_OK;
}

static void refused_gone(struct ses_stream *st)
{
    (void)st;
}

/* What still comes in is read and dropped. */
static const struct ses_stream_ops refused_ops = {
    .on_bytes = refused_bytes, .on_gone = refused_gone, .raw = true};

void ses_stream_refuse(struct ses_stream *st, enum ses_err status)
{
    uint8_t body[4096];
    struct ses_writer w;
    const struct ses_refusal refusal = {.status = status};
    ses_writer_init(&w, body, sizeof body);
    ses_refusal_write(&w, &refusal);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    st->ops = &refused_ops;
    st->conn->host->stats.refused++;
    if (ses_stream_send_frame(st, body, w.len) != SES_OK) {
        ses_stream_reset(st, SES_ERR_MEMORY);
        return;
    }
    ses_stream_close(st);
    ses_stream_due(st, SES_AUTH_MS);
}
