#include "network/yamux.h"

#include <string.h>

enum { TYPE_DATA = 0, TYPE_WINDOW = 1, TYPE_PING = 2, TYPE_GOAWAY = 3 };
enum { FLAG_SYN = 1, FLAG_ACK = 2, FLAG_FIN = 4, FLAG_RST = 8, FLAGS_ALL = 15 };
#define TUNE_RTTS 4u /* a window used up within this many round trips is too small */

struct head {
    uint8_t type;
    uint16_t flags;
    uint32_t id;
    uint32_t len;
};

void ses_yamux_init(struct ses_yamux *y, bool dialler, uint32_t inbound_max,
                    struct ses_chain_pool *pool, const struct ses_yamux_events *events,
                    void *cookie)
{
    *y = (struct ses_yamux){
        .dialler = dialler,
        .inbound_max = inbound_max,
        .pool = pool,
        .events = events,
        .cookie = cookie,
        .next_id = dialler ? 1 : 2,
    };
}

/* ---- queues ---- */

static enum ses_err out_append(struct ses_yamux *y, struct ses_yamux_stream *s, const void *bytes,
                               size_t len)
{
    const size_t before = y->pool->used_cnt;
    const enum ses_err err = ses_chain_append(&s->out, y->pool, bytes, len);
    y->chunk_cnt += y->pool->used_cnt - before;
    return err;
}

static size_t out_take(struct ses_yamux *y, struct ses_yamux_stream *s, uint8_t *out, size_t cap)
{
    const size_t before = y->pool->used_cnt;
    const size_t taken = ses_chain_take(&s->out, y->pool, out, cap);
    y->chunk_cnt -= before - y->pool->used_cnt;
    return taken;
}

static void out_clear(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    const size_t before = y->pool->used_cnt;
    ses_chain_clear(&s->out, y->pool);
    y->chunk_cnt -= before - y->pool->used_cnt;
}

/* ---- table of streams ---- */

static struct ses_yamux_stream **slot_of(struct ses_yamux *y, uint32_t id)
{
    return &y->table[(id >> 1) % SES_YAMUX_TABLE];
}

static struct ses_yamux_stream *stream_find(struct ses_yamux *y, uint32_t id)
{
    struct ses_yamux_stream *s = *slot_of(y, id);
    while (s != NULL && s->id != id) {
        s = s->hash_next;
    }
    return s;
}

static bool is_inbound(const struct ses_yamux *y, uint32_t id)
{
    return (id & 1) != (y->dialler ? 1u : 0u);
}

static void stream_link(struct ses_yamux *y, struct ses_yamux_stream *s, uint32_t id,
                        uint64_t now_us)
{
    *s = (struct ses_yamux_stream){
        .id = id,
        .send_window = SES_YAMUX_WINDOW_BYTES,
        .recv_window = SES_YAMUX_WINDOW_BYTES,
        .window_bytes = SES_YAMUX_WINDOW_BYTES,
        .credited_us = now_us,
        .linked = true,
    };
    struct ses_yamux_stream **slot = slot_of(y, id);
    s->hash_next = *slot;
    *slot = s;
    if (is_inbound(y, id)) {
        y->inbound_cnt++;
    } else {
        y->outbound_cnt++;
    }
}

static void ready_add(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (s->ready || !s->linked) {
        return;
    }
    s->ready = true;
    s->ready_next = NULL;
    s->ready_prev = y->ready_tail;
    if (y->ready_tail == NULL) {
        y->ready_head = s;
    } else {
        y->ready_tail->ready_next = s;
    }
    y->ready_tail = s;
}

static void ready_remove(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (!s->ready) {
        return;
    }
    if (s->ready_prev == NULL) {
        y->ready_head = s->ready_next;
    } else {
        s->ready_prev->ready_next = s->ready_next;
    }
    if (s->ready_next == NULL) {
        y->ready_tail = s->ready_prev;
    } else {
        s->ready_next->ready_prev = s->ready_prev;
    }
    s->ready = false;
}

static void ack_settled(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (s->ack_due) {
        s->ack_due = false;
        y->backlog_in--;
    }
}

static void outbound_acked(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (!s->acked && !is_inbound(y, s->id)) {
        s->acked = true;
        y->backlog_out--;
    }
}

static void stream_unlink(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    struct ses_yamux_stream **at = slot_of(y, s->id);
    while (*at != s) {
        at = &(*at)->hash_next;
    }
    *at = s->hash_next;
    ready_remove(y, s);
    ack_settled(y, s);
    outbound_acked(y, s);
    out_clear(y, s);
    y->windows_bytes -= s->window_bytes - SES_YAMUX_WINDOW_BYTES;
    if (is_inbound(y, s->id)) {
        y->inbound_cnt--;
    } else {
        y->outbound_cnt--;
    }
    s->linked = false;
    y->events->on_done(y->cookie, s);
}

static void stream_finish(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (s->linked && s->fin_sent && s->fin_received) {
        stream_unlink(y, s);
    }
}

void ses_yamux_abandon(struct ses_yamux *y)
{
    for (size_t i = 0; i < SES_YAMUX_TABLE; i++) {
        while (y->table[i] != NULL) {
            stream_unlink(y, y->table[i]);
        }
    }
}

/* ---- receiving ---- */

static enum ses_err stream_refuse(struct ses_yamux *y, uint32_t id)
{
    SES_REQUIRE(y->refused_cnt < SES_YAMUX_REFUSED_MAX, SES_ERR_FULL);
    y->refused[y->refused_cnt++] = id;
    return SES_OK;
}

static enum ses_err syn_take(struct ses_yamux *y, uint32_t id, uint64_t now_us)
{
    SES_REQUIRE(is_inbound(y, id) && id > y->last_id, SES_ERR_PEER);
    y->last_id = id;
    if (y->inbound_cnt >= y->inbound_max || y->backlog_in >= SES_YAMUX_BACKLOG_MAX ||
        y->goaway_due) {
        return stream_refuse(y, id);
    }
    struct ses_yamux_stream *s = y->events->on_open(y->cookie, id);
    if (s == NULL) {
        return stream_refuse(y, id);
    }
    stream_link(y, s, id, now_us);
    s->ack_due = true;
    y->backlog_in++;
    ready_add(y, s);
    return SES_OK;
}

static void fin_take(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (s->fin_received || s->rst_due) {
        return;
    }
    s->fin_received = true;
    y->events->on_fin(y->cookie, s);
    stream_finish(y, s);
}

static void reset_take(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (!s->rst_due) {
        y->events->on_reset(y->cookie, s);
    }
    if (s->linked) {
        stream_unlink(y, s);
    }
}

/* SYN, ACK and RST of a frame on a stream; *out NULL if the stream is gone or refused. */
static enum ses_err flags_take(struct ses_yamux *y, const struct head *h,
                               struct ses_yamux_stream **out, uint64_t now_us)
{
    SES_REQUIRE(h->id != 0, SES_ERR_PEER);
    if ((h->flags & FLAG_SYN) != 0) {
        SES_TRY(syn_take(y, h->id, now_us));
    }
    struct ses_yamux_stream *s = stream_find(y, h->id);
    if (s != NULL && (h->flags & FLAG_ACK) != 0) {
        outbound_acked(y, s);
    }
    if (s != NULL && (h->flags & FLAG_RST) != 0) {
        reset_take(y, s);
        s = NULL;
    }
    *out = s;
    return SES_OK;
}

static enum ses_err data_begin(struct ses_yamux *y, const struct head *h, uint64_t now_us)
{
    struct ses_yamux_stream *s = NULL;
    SES_TRY(flags_take(y, h, &s, now_us));
    /* A stream that is gone here may still have a window's worth of data on its way. */
    SES_REQUIRE(h->len <= (s == NULL ? SES_YAMUX_WINDOW_MAX : s->recv_window), SES_ERR_PEER);
    if (s != NULL) {
        SES_REQUIRE(h->len == 0 || !s->fin_received, SES_ERR_PEER);
        s->recv_window -= h->len;
    }
    y->body_id = h->id;
    y->body_flags = (uint8_t)h->flags;
    y->body_left = h->len;
    y->in_body = true;
    return SES_OK;
}

static void body_take(struct ses_yamux *y, const uint8_t **in, size_t *left)
{
    const size_t n = *left < y->body_left ? *left : y->body_left;
    struct ses_yamux_stream *s = stream_find(y, y->body_id);
    y->body_left -= (uint32_t)n;
    const uint8_t *bytes = *in;
    *in += n;
    *left -= n;
    if (s != NULL && n > 0 && !s->rst_due) {
        y->events->on_data(y->cookie, s, bytes, n);
    }
    if (y->body_left > 0) {
        return;
    }
    y->in_body = false;
    s = (y->body_flags & FLAG_FIN) != 0 ? stream_find(y, y->body_id) : NULL;
    if (s != NULL) {
        fin_take(y, s);
    }
}

static enum ses_err window_take(struct ses_yamux *y, const struct head *h, uint64_t now_us)
{
    struct ses_yamux_stream *s = NULL;
    SES_TRY(flags_take(y, h, &s, now_us));
    if (s == NULL) {
        return SES_OK;
    }
    SES_REQUIRE(h->len <= UINT32_MAX - s->send_window, SES_ERR_PEER);
    s->send_window += h->len;
    if (s->out.len > 0 || s->fin_due) {
        ready_add(y, s);
    }
    if ((h->flags & FLAG_FIN) != 0) {
        fin_take(y, s);
    }
    return SES_OK;
}

static enum ses_err ping_take(struct ses_yamux *y, const struct head *h, uint64_t now_us)
{
    SES_REQUIRE(h->id == 0, SES_ERR_PEER);
    if ((h->flags & FLAG_SYN) != 0) {
        SES_REQUIRE(y->pong_cnt < SES_YAMUX_PONGS_MAX, SES_ERR_FULL);
        y->pongs[y->pong_cnt++] = h->len;
    } else if ((h->flags & FLAG_ACK) != 0 && y->ping_waits && h->len == y->ping_value) {
        y->ping_waits = false;
        y->rtt_us = now_us > y->ping_us ? now_us - y->ping_us : 1;
    }
    return SES_OK;
}

static enum ses_err head_take(struct ses_yamux *y, uint64_t now_us)
{
    struct ses_reader r;
    ses_reader_init(&r, y->head, sizeof y->head);
    const uint8_t version = ses_read_u8(&r);
    struct head h = {.type = ses_read_u8(&r), .flags = ses_read_u16(&r)};
    h.id = ses_read_u32(&r);
    h.len = ses_read_u32(&r);
    SES_REQUIRE(version == 0 && (h.flags & ~FLAGS_ALL) == 0, SES_ERR_PEER);
    switch (h.type) {
    case TYPE_DATA:
        return data_begin(y, &h, now_us);
    case TYPE_WINDOW:
        return window_take(y, &h, now_us);
    case TYPE_PING:
        return ping_take(y, &h, now_us);
    case TYPE_GOAWAY:
        SES_REQUIRE(h.id == 0, SES_ERR_PEER);
        y->goaway_received = true;
        return SES_OK;
    default:
        return SES_ERR_PEER;
    }
}

enum ses_err ses_yamux_recv(struct ses_yamux *y, const uint8_t *in, size_t len, uint64_t now_us)
{
    while (y->err == SES_OK && len > 0) {
        if (y->in_body) {
            body_take(y, &in, &len);
            continue;
        }
        const size_t missing = sizeof y->head - y->head_len;
        const size_t n = len < missing ? len : missing;
        memcpy(y->head + y->head_len, in, n);
        y->head_len += (uint8_t)n;
        in += n;
        len -= n;
        if (y->head_len == sizeof y->head) {
            y->head_len = 0;
            y->err = head_take(y, now_us);
        }
        if (y->err == SES_OK && y->in_body && y->body_left == 0) {
            body_take(y, &in, &len); /* an empty data frame */
        }
    }
    return y->err;
}

/* ---- sending ---- */

static void head_write(struct ses_writer *w, uint8_t type, unsigned flags, uint32_t id,
                       uint32_t len)
{
    ses_write_u8(w, 0);
    ses_write_u8(w, type);
    ses_write_u16(w, (uint16_t)flags);
    ses_write_u32(w, id);
    ses_write_u32(w, len);
}

static bool room(const struct ses_writer *w)
{
    return w->cap - w->len >= SES_YAMUX_HEAD_BYTES;
}

static void pull_session(struct ses_yamux *y, struct ses_writer *w, uint64_t now_us)
{
    while (y->pong_cnt > 0 && room(w)) {
        head_write(w, TYPE_PING, FLAG_ACK, 0, y->pongs[--y->pong_cnt]);
    }
    while (y->refused_cnt > 0 && room(w)) {
        head_write(w, TYPE_WINDOW, FLAG_RST, y->refused[--y->refused_cnt], 0);
    }
    if (y->ping_due && room(w)) {
        head_write(w, TYPE_PING, FLAG_SYN, 0, ++y->ping_value);
        y->ping_due = false;
        y->ping_waits = true;
        y->ping_us = now_us;
    }
    if (y->goaway_due && room(w)) {
        head_write(w, TYPE_GOAWAY, 0, 0, 0);
        y->goaway_due = false;
    }
}

static unsigned open_flags(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    const unsigned flags = s->syn_due ? FLAG_SYN : s->ack_due ? FLAG_ACK : 0;
    s->syn_due = false;
    ack_settled(y, s);
    return flags;
}

static void pull_reset(struct ses_yamux *y, struct ses_yamux_stream *s, struct ses_writer *w)
{
    if (!s->syn_due) {
        head_write(w, TYPE_WINDOW, FLAG_RST | open_flags(y, s), s->id, 0);
    }
    stream_unlink(y, s);
}

static void pull_data(struct ses_yamux *y, struct ses_yamux_stream *s, struct ses_writer *w)
{
    const size_t space = w->cap - w->len - SES_YAMUX_HEAD_BYTES;
    size_t n = s->out.len < s->send_window ? s->out.len : s->send_window;
    n = n < SES_YAMUX_FRAME_BYTES ? n : SES_YAMUX_FRAME_BYTES;
    n = n < space ? n : space;
    /* FIN goes alone: js-libp2p 3.3 drops the data of a frame that carries both. */
    head_write(w, TYPE_DATA, open_flags(y, s), s->id, (uint32_t)n);
    const size_t taken = out_take(y, s, w->bytes + w->len, n);
    SES_ASSERT(taken == n);
    w->len += n;
    s->send_window -= (uint32_t)n;
    if (s->drain_wanted && s->out.len <= SES_YAMUX_DRAIN_BYTES) {
        s->drain_wanted = false;
        y->events->on_drained(y->cookie, s);
    }
}

/* A frame without data: SYN or ACK of a stream with nothing to say, credit, FIN. */
static void pull_window(struct ses_yamux *y, struct ses_yamux_stream *s, struct ses_writer *w)
{
    unsigned flags = open_flags(y, s);
    if (s->fin_due && s->out.len == 0) {
        flags |= FLAG_FIN;
        s->fin_due = false;
        s->fin_sent = true;
    }
    const uint32_t delta = s->credit_due ? s->credit : 0;
    head_write(w, TYPE_WINDOW, flags, s->id, delta);
    s->recv_window += delta;
    s->credit -= delta;
    s->credit_due = false;
}

static bool has_data(const struct ses_yamux_stream *s)
{
    return s->out.len > 0 && s->send_window > 0;
}

static void pull_stream(struct ses_yamux *y, struct ses_yamux_stream *s, struct ses_writer *w)
{
    ready_remove(y, s);
    if (s->rst_due) {
        pull_reset(y, s, w);
        return;
    }
    if (s->credit_due || (!has_data(s) && (s->syn_due || s->ack_due)) ||
        (s->fin_due && s->out.len == 0)) {
        pull_window(y, s, w);
    }
    if (has_data(s) && w->cap - w->len > SES_YAMUX_HEAD_BYTES) {
        pull_data(y, s, w);
    }
    stream_finish(y, s);
    if (s->linked && (has_data(s) || (s->fin_due && s->out.len == 0))) {
        ready_add(y, s);
    }
}

size_t ses_yamux_pull(struct ses_yamux *y, uint8_t *out, size_t cap, uint64_t now_us)
{
    struct ses_writer w;
    ses_writer_init(&w, out, cap);
    pull_session(y, &w, now_us);
    while (y->ready_head != NULL && w.cap - w.len > 2 * SES_YAMUX_HEAD_BYTES) {
        pull_stream(y, y->ready_head, &w);
    }
    SES_ASSERT(w.err == SES_OK);
    return w.len;
}

bool ses_yamux_pending(const struct ses_yamux *y)
{
    return y->ready_head != NULL || y->pong_cnt > 0 || y->refused_cnt > 0 || y->ping_due ||
           y->goaway_due;
}

/* ---- the owner's side ---- */

enum ses_err ses_yamux_open(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    SES_TRY(y->err);
    SES_REQUIRE(!y->goaway_received && y->next_id < UINT32_MAX - 2, SES_ERR_CLOSED);
    SES_REQUIRE(y->backlog_out < SES_YAMUX_BACKLOG_MAX, SES_ERR_AGAIN);
    stream_link(y, s, y->next_id, 0);
    y->next_id += 2;
    y->backlog_out++;
    s->syn_due = true;
    ready_add(y, s);
    return SES_OK;
}

enum ses_err ses_yamux_write(struct ses_yamux *y, struct ses_yamux_stream *s, const void *bytes,
                             size_t len)
{
    SES_REQUIRE(s->linked && !s->fin_due && !s->fin_sent && !s->rst_due, SES_ERR_CLOSED);
    SES_TRY(out_append(y, s, bytes, len));
    if (has_data(s)) {
        ready_add(y, s);
    }
    return SES_OK;
}

void ses_yamux_close(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (!s->linked || s->fin_sent || s->rst_due) {
        return;
    }
    s->fin_due = true;
    if (has_data(s) || s->out.len == 0) {
        ready_add(y, s);
    }
}

void ses_yamux_reset(struct ses_yamux *y, struct ses_yamux_stream *s)
{
    if (!s->linked || s->rst_due) {
        return;
    }
    out_clear(y, s);
    s->rst_due = true;
    ready_add(y, s);
}

void ses_yamux_widen(struct ses_yamux *y, struct ses_yamux_stream *s, uint32_t window_bytes)
{
    SES_ASSERT(s->linked && window_bytes <= SES_YAMUX_WINDOW_MAX);
    if (window_bytes <= s->window_bytes ||
        y->windows_bytes + window_bytes - s->window_bytes > SES_YAMUX_WINDOWS_MAX) {
        return;
    }
    y->windows_bytes += window_bytes - s->window_bytes;
    s->credit += window_bytes - s->window_bytes;
    s->window_bytes = window_bytes;
    s->credit_due = true;
    ready_add(y, s);
}

/* Doubles a window that the peer fills within a few round trips, so that a long fat link is not
 * held to 256 KiB a round trip. */
static void window_tune(struct ses_yamux *y, struct ses_yamux_stream *s, uint64_t now_us)
{
    if (y->rtt_us == 0) {
        y->ping_due = !y->ping_waits;
    } else if (now_us - s->credited_us < TUNE_RTTS * y->rtt_us &&
               s->window_bytes <= SES_YAMUX_WINDOW_MAX / 2 &&
               y->windows_bytes + s->window_bytes <= SES_YAMUX_WINDOWS_MAX) {
        y->windows_bytes += s->window_bytes;
        s->credit += s->window_bytes;
        s->window_bytes *= 2;
    }
    s->credited_us = now_us;
}

void ses_yamux_consumed(struct ses_yamux *y, struct ses_yamux_stream *s, size_t len,
                        uint64_t now_us)
{
    if (!s->linked) {
        return;
    }
    SES_ASSERT(len <= s->window_bytes);
    s->credit += (uint32_t)len;
    if (s->credit_due || s->fin_received || s->rst_due || s->credit < s->window_bytes / 2) {
        return;
    }
    window_tune(y, s, now_us);
    s->credit_due = true;
    ready_add(y, s);
}

void ses_yamux_goaway(struct ses_yamux *y)
{
    y->goaway_due = true;
}
