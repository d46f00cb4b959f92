#include <string.h>

#include "network/host.h"

#define STREAM_NEGOTIATE_MS 10000u

bool ses_stream_alive(const struct ses_stream *st)
{
    return st->ys.linked && !st->ys.rst_due && st->conn->state == SES_CONN_OPEN;
}

static void due_fire(struct ses_due *due)
{
    struct ses_stream *st =
        (struct ses_stream *)((uint8_t *)due - offsetof(struct ses_stream, due));
    if (st->ops != NULL && st->ops->on_due != NULL) {
        st->ops->on_due(st);
    } else {
        ses_stream_reset(st, SES_ERR_TIMEOUT);
    }
}

void ses_stream_due(struct ses_stream *st, uint32_t delay_ms)
{
    st->due.fire = due_fire;
    if (ses_due_set(&st->conn->host->dues, &st->due, ses_host_now_ms() + delay_ms) != SES_OK) {
        ses_stream_reset(st, SES_ERR_MEMORY);
    }
}

enum ses_err ses_stream_open(struct ses_stream **out, struct ses_conn *conn, const char *protocol,
                             const struct ses_stream_ops *ops, void *owner, size_t frame_max)
{
    *out = NULL;
    SES_REQUIRE(ses_conn_usable(conn), SES_ERR_CLOSED);
    struct ses_stream *st = ses_alloc(1, sizeof *st);
    SES_REQUIRE(st != NULL, SES_ERR_MEMORY);
    struct ses_buf hello = {0};
    enum ses_err err = ses_mss_dial(&st->mss, protocol, &hello);
    if (err == SES_OK) {
        err = ses_yamux_open(&conn->mux, &st->ys);
    }
    if (err != SES_OK) {
        ses_buf_free(&hello);
        ses_free(st);
        return err;
    }
    st->conn = conn;
    st->ops = ops;
    st->owner = owner;
    st->frames.max = frame_max;
    conn->host->stats.streams++;
    ses_yamux_widen(&conn->mux, &st->ys, (uint32_t)frame_max);
    err = ses_stream_send(st, hello.bytes, hello.len);
    ses_buf_free(&hello);
    if (err != SES_OK) {
        st->ops = NULL; /* the caller is told by the result */
        ses_stream_reset(st, err);
        return err;
    }
    *out = st;
    return SES_OK;
}

enum ses_err ses_stream_send(struct ses_stream *st, const void *bytes, size_t len)
{
    SES_REQUIRE(ses_stream_alive(st), SES_ERR_CLOSED);
    SES_TRY(ses_yamux_write(&st->conn->mux, &st->ys, bytes, len));
    ses_conn_touch(st->conn);
    return SES_OK;
}

enum ses_err ses_stream_send_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    uint8_t head[SES_FRAME_HEAD_MAX];
    SES_TRY(ses_stream_send(st, head, ses_frame_head(head, len)));
    return ses_stream_send(st, body, len);
}

void ses_stream_close(struct ses_stream *st)
{
    if (ses_stream_alive(st)) {
        ses_yamux_close(&st->conn->mux, &st->ys);
        ses_conn_touch(st->conn);
    }
}

void ses_stream_reset(struct ses_stream *st, enum ses_err why)
{
    if (ses_stream_alive(st)) {
        st->why = why;
        ses_yamux_reset(&st->conn->mux, &st->ys);
        ses_conn_touch(st->conn);
    }
}

/* ---- events of the muxer ---- */

static struct ses_yamux_stream *on_open(void *cookie, uint32_t id)
{
    (void)id;
    struct ses_conn *conn = cookie;
    if (conn->host->closing) {
        return NULL;
    }
    struct ses_stream *st = ses_alloc(1, sizeof *st);
    if (st == NULL) {
        return NULL;
    }
    st->conn = conn;
    conn->host->stats.streams++;
    ses_mss_listen(&st->mss, ses_services_choose, conn->host);
    /* The muxer links the stream after this; the deadline does not depend on that. */
    st->due.fire = due_fire;
    if (ses_due_set(&conn->host->dues, &st->due, ses_host_now_ms() + STREAM_NEGOTIATE_MS) !=
        SES_OK) {
        ses_free(st);
        return NULL;
    }
    return &st->ys;
}

static struct ses_stream *stream_of(struct ses_yamux_stream *ys)
{
    return (struct ses_stream *)(void *)ys;
}

/* Feeds multistream-select; *used bytes of it. */
static enum ses_err negotiate(struct ses_stream *st, const uint8_t *bytes, size_t len, size_t *used)
{
    struct ses_buf answer = {0};
    enum ses_err err = ses_mss_recv(&st->mss, bytes, len, used, &answer);
    if (answer.len > 0 && err == SES_OK) {
        err = ses_stream_send(st, answer.bytes, answer.len);
    }
    ses_buf_free(&answer);
    if (err == SES_OK && st->mss.state == SES_MSS_DONE) {
        st->negotiated = true;
        ses_mss_free(&st->mss);
        if (st->ops == NULL) {
            ses_due_clear(&st->conn->host->dues, &st->due);
            ses_services_begin(st, st->mss.chosen);
        }
    }
    return err == SES_ERR_NOT_FOUND || err == SES_ERR_MALFORMED ? SES_ERR_PEER : err;
}

/* Memory of frames that arrive in pieces, over all connections: strangers share a budget. */
static enum ses_err held_count(struct ses_stream *st)
{
    struct ses_conn *conn = st->conn;
    conn->host->held_bytes += st->frames.body.cap - st->held_bytes;
    conn->held_bytes += st->frames.body.cap - st->held_bytes;
    st->held_bytes = st->frames.body.cap;
    SES_REQUIRE(st->held_bytes == 0 || ses_conn_may_hold(conn), SES_ERR_FULL);
    return SES_OK;
}

static enum ses_err frames_take(struct ses_stream *st, const uint8_t *bytes, size_t len)
{
    while (len > 0 && ses_stream_alive(st)) {
        const uint8_t *body = NULL;
        size_t body_len = 0;
        const enum ses_err err = ses_frames_next(&st->frames, &bytes, &len, &body, &body_len);
        SES_TRY(held_count(st));
        if (err == SES_ERR_AGAIN) {
            break;
        }
        SES_TRY(err);
        SES_TRY(st->ops->on_bytes(st, body, body_len));
    }
    return SES_OK;
}

static void on_data(void *cookie, struct ses_yamux_stream *ys, const uint8_t *bytes, size_t len)
{
    struct ses_conn *conn = cookie;
    struct ses_stream *st = stream_of(ys);
    const size_t all = len;
    enum ses_err err = SES_OK;
    if (!st->negotiated) {
        size_t used = 0;
        err = negotiate(st, bytes, len, &used);
        bytes += used;
        len -= used;
    }
    if (err == SES_OK && len > 0 && ses_stream_alive(st) && st->ops != NULL) {
        err = st->ops->raw ? st->ops->on_bytes(st, bytes, len) : frames_take(st, bytes, len);
    }
    if (err != SES_OK) {
        ses_stream_reset(st, err);
    }
    ses_yamux_consumed(&conn->mux, ys, all, ses_host_now_us());
}

static void on_fin(void *cookie, struct ses_yamux_stream *ys)
{
    (void)cookie;
    struct ses_stream *st = stream_of(ys);
    if (st->ops == NULL || !ses_frames_idle(&st->frames)) {
        ses_stream_reset(st, SES_ERR_PEER);
    } else if (st->ops->on_fin != NULL) {
        st->ops->on_fin(st);
    } else {
        ses_stream_close(st);
    }
}

static void on_reset(void *cookie, struct ses_yamux_stream *ys)
{
    (void)cookie;
    stream_of(ys)->why = SES_ERR_CLOSED;
}

static void on_done(void *cookie, struct ses_yamux_stream *ys)
{
    struct ses_conn *conn = cookie;
    struct ses_stream *st = stream_of(ys);
    st->list_next = conn->host->ended;
    conn->host->ended = st;
    if (conn->state != SES_CONN_OPEN && st->why == SES_OK) {
        st->why = SES_ERR_CLOSED;
    }
    conn->pin_cnt++; /* until reaped */
}

static void on_drained(void *cookie, struct ses_yamux_stream *ys)
{
    struct ses_host *host = ((struct ses_conn *)cookie)->host;
    struct ses_stream *st = stream_of(ys);
    if (!st->drained) {
        st->drained = true;
        st->drained_next = host->drained_streams;
        host->drained_streams = st;
    }
}

const struct ses_yamux_events ses_stream_events = {
    .on_open = on_open,
    .on_data = on_data,
    .on_fin = on_fin,
    .on_reset = on_reset,
    .on_done = on_done,
    .on_drained = on_drained,
};

static void drained_unlist(struct ses_stream *st)
{
    struct ses_stream **at = &st->conn->host->drained_streams;
    while (*at != st) {
        at = &(*at)->drained_next;
    }
    *at = st->drained_next;
    st->drained = false;
}

void ses_stream_drained(struct ses_stream *st)
{
    drained_unlist(st);
    if (ses_stream_alive(st) && st->ops != NULL && st->ops->on_drained != NULL) {
        st->ops->on_drained(st);
    }
}

void ses_stream_reap(struct ses_stream *st)
{
    struct ses_conn *conn = st->conn;
    struct ses_host *host = conn->host;
    ses_due_clear(&host->dues, &st->due);
    if (st->drained) {
        drained_unlist(st);
    }
    if (st->counted) {
        conn->outbound_cnt[st->proto]--;
        if (conn->link != NULL && conn->link->first != NULL) {
            ses_link_touch(conn->link);
        }
    }
    if (st->ops != NULL) {
        st->ops->on_gone(st);
    }
    if (st->inbound_counted) {
        conn->session->inbound_cnt[st->proto]--;
    }
    host->held_bytes -= st->held_bytes;
    conn->held_bytes -= st->held_bytes;
    ses_mss_free(&st->mss);
    ses_frames_free(&st->frames);
    ses_free(st);
    host->stats.streams--;
    conn->active_ms = ses_host_now_ms();
    if (conn->retired && conn->mux.inbound_cnt + conn->mux.outbound_cnt == 0) {
        ses_conn_close(conn, SES_OK);
    }
    ses_conn_unpin(conn);
}
