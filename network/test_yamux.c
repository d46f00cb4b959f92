/* The muxer by itself: two ends in memory, and a hostile peer. */
#include <string.h>

#include "base/tap.h"
#include "network/yamux.h"

#define STREAMS_MAX 600u

struct end {
    struct ses_yamux mux;
    struct ses_chain_pool pool;
    struct ses_yamux_stream streams[STREAMS_MAX]; /* from the peer */
    size_t stream_cnt;
    uint64_t received, fin_cnt, reset_cnt, done_cnt, drained_cnt;
    uint32_t sum;
    bool consume; /* give credit for what arrives */
    bool refuse;
    uint64_t now_us;
};

static struct ses_yamux_stream *on_open(void *cookie, uint32_t id)
{
    struct end *e = cookie;
    (void)id;
    return e->refuse || e->stream_cnt == STREAMS_MAX ? NULL : &e->streams[e->stream_cnt++];
}

static void on_data(void *cookie, struct ses_yamux_stream *s, const uint8_t *bytes, size_t len)
{
    struct end *e = cookie;
    e->received += len;
    for (size_t i = 0; i < len; i++) {
        e->sum = e->sum * 31 + bytes[i];
    }
    if (e->consume) {
        ses_yamux_consumed(&e->mux, s, len, e->now_us);
    }
}

static void on_fin(void *cookie, struct ses_yamux_stream *s)
{
    struct end *e = cookie;
    (void)s;
    e->fin_cnt++;
}

static void on_reset(void *cookie, struct ses_yamux_stream *s)
{
    struct end *e = cookie;
    (void)s;
    e->reset_cnt++;
}

static void on_done(void *cookie, struct ses_yamux_stream *s)
{
    struct end *e = cookie;
    TAP_OK(!s->linked && s->out.len == 0);
    e->done_cnt++;
}

static void on_drained(void *cookie, struct ses_yamux_stream *s)
{
    struct end *e = cookie;
    (void)s;
    e->drained_cnt++;
}

static const struct ses_yamux_events events = {.on_open = on_open,
                                               .on_data = on_data,
                                               .on_fin = on_fin,
                                               .on_reset = on_reset,
                                               .on_done = on_done,
                                               .on_drained = on_drained};

static void end_init(struct end *e, bool dialler)
{
    memset(e, 0, sizeof *e);
    e->consume = true;
    ses_yamux_init(&e->mux, dialler, 512, &e->pool, &events, e);
}

static void end_free(struct end *e)
{
    ses_yamux_abandon(&e->mux);
    TAP_EQ(0, e->pool.used_cnt); /* no chunk is lost */
    ses_chain_pool_clear(&e->pool);
}

/* Carries bytes both ways in pieces of `step` until nothing moves. */
static enum ses_err carry(struct end *a, struct end *b, size_t step)
{
    uint8_t wire[4096];
    size_t n = 0;
    do {
        n = 0;
        for (int way = 0; way < 2; way++) {
            struct end *from = way == 0 ? a : b, *to = way == 0 ? b : a;
            const size_t len = ses_yamux_pull(&from->mux, wire, sizeof wire, ++from->now_us);
            for (size_t at = 0; at < len; at += step) {
                const size_t piece = len - at < step ? len - at : step;
                SES_TRY(ses_yamux_recv(&to->mux, wire + at, piece, ++to->now_us));
            }
            n += len;
        }
    } while (n > 0);
    return SES_OK;
}

static void test_transfer(void)
{
    static struct end a, b;
    static uint8_t data[1000000];
    ses_random_fill(tap_random(), data, sizeof data);
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof data; i++) {
        sum = sum * 31 + data[i];
    }
    const size_t steps[] = {1, 11, 4096};
    for (size_t i = 0; i < SES_COUNT(steps); i++) {
        struct ses_yamux_stream s = {0};
        end_init(&a, true);
        end_init(&b, false);
        TAP_ERR(SES_OK, ses_yamux_open(&a.mux, &s));
        TAP_ERR(SES_OK, ses_yamux_write(&a.mux, &s, data, sizeof data));
        s.drain_wanted = true;
        ses_yamux_close(&a.mux, &s);
        TAP_ERR(SES_OK, carry(&a, &b, steps[i]));
        TAP_EQ(sizeof data, b.received);
        TAP_EQ(sum, b.sum);
        TAP_EQ(1, b.fin_cnt);
        TAP_EQ(1, a.drained_cnt);
        TAP_EQ(0, a.done_cnt);
        ses_yamux_close(&b.mux, &b.streams[0]);
        TAP_ERR(SES_OK, carry(&a, &b, steps[i]));
        TAP_EQ(1, a.done_cnt);
        TAP_EQ(1, b.done_cnt);
        TAP_EQ(0, a.mux.outbound_cnt + b.mux.inbound_cnt + a.mux.backlog_out + b.mux.backlog_in);
        end_free(&a);
        end_free(&b);
    }
}

/* Without consumption no more than a window moves; with it the window grows on a fast link. */
static void test_window(void)
{
    static struct end a, b;
    static uint8_t data[1000000];
    struct ses_yamux_stream s = {0};
    end_init(&a, true);
    end_init(&b, false);
    b.consume = false;
    TAP_ERR(SES_OK, ses_yamux_open(&a.mux, &s));
    TAP_ERR(SES_OK, ses_yamux_write(&a.mux, &s, data, sizeof data));
    TAP_ERR(SES_OK, carry(&a, &b, 4096));
    TAP_EQ(SES_YAMUX_WINDOW_BYTES, b.received);
    TAP_EQ(0, s.send_window);
    b.consume = true;
    b.mux.rtt_us = 1000; /* a far peer: the whole transfer takes less here */
    ses_yamux_consumed(&b.mux, &b.streams[0], SES_YAMUX_WINDOW_BYTES, b.now_us);
    TAP_ERR(SES_OK, carry(&a, &b, 4096));
    TAP_EQ(sizeof data, b.received);
    TAP_OK(b.streams[0].window_bytes > SES_YAMUX_WINDOW_BYTES); /* the transfer beat 4 RTT */
    TAP_OK(b.streams[0].window_bytes <= SES_YAMUX_WINDOW_MAX);
    ses_yamux_reset(&a.mux, &s);
    TAP_ERR(SES_OK, carry(&a, &b, 4096));
    TAP_EQ(1, b.reset_cnt);
    TAP_EQ(0, b.mux.windows_bytes);
    end_free(&a);
    end_free(&b);
}

/* A window that was widened before the opening went out holds from the first byte on. */
static void test_widened(void)
{
    static struct end a, b;
    static uint8_t data[1000000];
    struct ses_yamux_stream s = {0};
    end_init(&a, true);
    end_init(&b, false);
    a.consume = false;
    TAP_ERR(SES_OK, ses_yamux_open(&a.mux, &s));
    ses_yamux_widen(&a.mux, &s, SES_YAMUX_WINDOW_BYTES); /* it has that */
    TAP_OK(a.mux.windows_bytes == 0 && !s.credit_due);
    ses_yamux_widen(&a.mux, &s, sizeof data);
    TAP_ERR(SES_OK, ses_yamux_write(&a.mux, &s, data, 1));
    TAP_ERR(SES_OK, carry(&a, &b, 4096));
    TAP_EQ(1, b.received);
    TAP_EQ(sizeof data, b.streams[0].send_window);
    TAP_ERR(SES_OK, ses_yamux_write(&b.mux, &b.streams[0], data, sizeof data));
    TAP_ERR(SES_OK, carry(&a, &b, 4096));
    TAP_EQ(sizeof data, a.received);
    TAP_EQ(sizeof data - SES_YAMUX_WINDOW_BYTES, a.mux.windows_bytes);
    a.mux.windows_bytes = SES_YAMUX_WINDOWS_MAX; /* nothing is left for another one */
    struct ses_yamux_stream t = {0};
    TAP_ERR(SES_OK, ses_yamux_open(&a.mux, &t));
    ses_yamux_widen(&a.mux, &t, sizeof data);
    TAP_EQ(SES_YAMUX_WINDOW_BYTES, t.window_bytes);
    end_free(&a);
    end_free(&b);
}

static void frame(uint8_t out[12], uint8_t type, uint16_t flags, uint32_t id, uint32_t len)
{
    out[0] = 0;
    out[1] = type;
    ses_put_u16(out + 2, flags);
    ses_put_u32(out + 4, id);
    ses_put_u32(out + 8, len);
}

static enum ses_err give(struct end *e, uint8_t type, uint16_t flags, uint32_t id, uint32_t len)
{
    uint8_t head[12];
    frame(head, type, flags, id, len);
    return ses_yamux_recv(&e->mux, head, sizeof head, ++e->now_us);
}

static void test_broken_peers(void)
{
    static struct end e;
    uint8_t head[12];
    static const uint8_t zeros[16384];
    end_init(&e, false);
    frame(head, 0, 1, 1, 0);
    head[0] = 1; /* version */
    TAP_ERR(SES_ERR_PEER, ses_yamux_recv(&e.mux, head, 12, 1));
    TAP_ERR(SES_ERR_PEER, give(&e, 1, 1, 1, 0)); /* stays broken */
    const struct {
        uint8_t type;
        uint16_t flags;
        uint32_t id, len;
    } bad[] = {
        {4, 0, 0, 0},                          /* no such type */
        {0, 16, 1, 0},                         /* no such flag */
        {1, 1, 2, 0},                          /* our parity */
        {1, 1, 0, 0},                          /* stream 0 */
        {2, 1, 1, 0},                          /* ping on a stream */
        {3, 0, 1, 0},                          /* go-away on a stream */
        {0, 1, 1, SES_YAMUX_WINDOW_BYTES + 1}, /* more than the window */
        {1, 1, 1, UINT32_MAX},                 /* window beyond 2^32 */
        {0, 0, 77, SES_YAMUX_WINDOW_MAX + 1},  /* endless frame for a stream that is gone */
    };
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        end_init(&e, false);
        TAP_ERR(SES_ERR_PEER, give(&e, bad[i].type, bad[i].flags, bad[i].id, bad[i].len));
        end_free(&e);
    }
    end_init(&e, false);
    TAP_ERR(SES_OK, give(&e, 1, 1, 5, 0));
    TAP_ERR(SES_ERR_PEER, give(&e, 1, 1, 3, 0)); /* ids go up */
    end_free(&e);
    end_init(&e, false); /* data after FIN */
    TAP_ERR(SES_OK, give(&e, 1, 1 | 4, 1, 0));
    TAP_ERR(SES_ERR_PEER, give(&e, 0, 0, 1, 1));
    end_free(&e);
    end_init(&e, false); /* the window overrun in small steps */
    e.consume = false;
    TAP_ERR(SES_OK, give(&e, 1, 1, 1, 0));
    enum ses_err err = SES_OK;
    size_t sent = 0;
    while (err == SES_OK && sent < 2 * SES_YAMUX_WINDOW_BYTES) {
        err = give(&e, 0, 0, 1, sizeof zeros);
        if (err == SES_OK) {
            TAP_ERR(SES_OK, ses_yamux_recv(&e.mux, zeros, sizeof zeros, 1));
            sent += sizeof zeros;
        }
    }
    TAP_ERR(SES_ERR_PEER, err);
    TAP_EQ(SES_YAMUX_WINDOW_BYTES, sent);
    end_free(&e);
}

/* Streams, pings and refusals that pile up. */
static void test_floods(void)
{
    static struct end e;
    uint8_t wire[65536];
    end_init(&e, false);
    for (uint32_t i = 0; i < SES_YAMUX_BACKLOG_MAX; i++) {
        TAP_ERR(SES_OK, give(&e, 1, 1, 2 * i + 1, 0));
    }
    TAP_EQ(SES_YAMUX_BACKLOG_MAX, e.stream_cnt);
    TAP_ERR(SES_OK, give(&e, 1, 1, 2 * SES_YAMUX_BACKLOG_MAX + 1, 0)); /* the 257th: reset */
    TAP_EQ(SES_YAMUX_BACKLOG_MAX, e.stream_cnt);
    TAP_EQ(1, e.mux.refused_cnt);
    size_t len = ses_yamux_pull(&e.mux, wire, sizeof wire, 1);
    TAP_EQ(12 * (SES_YAMUX_BACKLOG_MAX + 1), len);
    TAP_EQ(8, wire[3]); /* RST */
    TAP_EQ(2 * SES_YAMUX_BACKLOG_MAX + 1, ses_get_u32(wire + 4));
    TAP_EQ(0, e.mux.backlog_in);
    /* acknowledged ones count against inbound_max */
    enum ses_err err = SES_OK;
    uint32_t id = 2 * SES_YAMUX_BACKLOG_MAX + 3;
    for (; err == SES_OK && id < 100000; id += 2) {
        err = give(&e, 1, 1, id, 0);
    }
    TAP_ERR(SES_ERR_FULL, err); /* does not take the resets */
    TAP_OK(e.stream_cnt <= 512);
    end_free(&e);
    end_init(&e, false);
    for (uint32_t i = 0; i < SES_YAMUX_PONGS_MAX; i++) {
        TAP_ERR(SES_OK, give(&e, 2, 1, 0, i));
    }
    TAP_ERR(SES_ERR_FULL, give(&e, 2, 1, 0, 0));
    end_free(&e);
    end_init(&e, false);
    TAP_ERR(SES_OK, give(&e, 2, 1, 0, 0xabcd));
    len = ses_yamux_pull(&e.mux, wire, sizeof wire, 1);
    uint8_t pong[12];
    frame(pong, 2, 2, 0, 0xabcd);
    TAP_EQ(12, len);
    TAP_BYTES(pong, wire, 12);
    end_free(&e);
}

static void test_own_limits(void)
{
    static struct end a, b;
    static struct ses_yamux_stream s[SES_YAMUX_BACKLOG_MAX + 1];
    end_init(&a, true);
    end_init(&b, false);
    for (size_t i = 0; i < SES_YAMUX_BACKLOG_MAX; i++) {
        TAP_ERR(SES_OK, ses_yamux_open(&a.mux, &s[i]));
    }
    TAP_ERR(SES_ERR_AGAIN, ses_yamux_open(&a.mux, &s[SES_YAMUX_BACKLOG_MAX]));
    TAP_ERR(SES_OK, carry(&a, &b, 4096)); /* acknowledged */
    TAP_ERR(SES_OK, ses_yamux_open(&a.mux, &s[SES_YAMUX_BACKLOG_MAX]));
    b.refuse = true;
    TAP_ERR(SES_OK, carry(&a, &b, 4096));
    TAP_EQ(1, a.reset_cnt);
    ses_yamux_goaway(&b.mux);
    TAP_ERR(SES_OK, carry(&a, &b, 4096));
    TAP_ERR(SES_ERR_CLOSED, ses_yamux_open(&a.mux, &s[SES_YAMUX_BACKLOG_MAX]));
    ses_yamux_reset(&a.mux, &s[0]);
    TAP_ERR(SES_ERR_CLOSED, ses_yamux_write(&a.mux, &s[0], "x", 1));
    end_free(&a);
    end_free(&b);
    TAP_EQ(SES_YAMUX_BACKLOG_MAX + 1, a.done_cnt);
}

/* Random frames never break the books. */
static void test_random_frames(void)
{
    static struct end e;
    static uint8_t wire[65536];
    const struct ses_random *random = tap_random();
    for (size_t round = 0; round < 300; round++) {
        end_init(&e, ses_random_below(random, 2) == 1);
        for (size_t i = 0; i < 200 && e.mux.err == SES_OK; i++) {
            const uint32_t len = (uint32_t)ses_random_below(random, 3000);
            const uint8_t type = (uint8_t)ses_random_below(random, 100) < 99
                                     ? (uint8_t)ses_random_below(random, 3)
                                     : 3;
            enum ses_err err = give(&e, type, (uint16_t)ses_random_below(random, 16),
                                    type == 2 ? 0 : (uint32_t)ses_random_below(random, 40), len);
            if (err == SES_OK && type == 0) {
                err = ses_yamux_recv(&e.mux, wire, len, ++e.now_us);
            }
            TAP_OK(err == SES_OK || err == SES_ERR_PEER || err == SES_ERR_FULL);
            if (e.stream_cnt > 0) {
                struct ses_yamux_stream *s = &e.streams[ses_random_below(random, e.stream_cnt)];
                if (s->linked && ses_random_below(random, 4) == 0) {
                    (void)!ses_yamux_write(&e.mux, s, wire, ses_random_below(random, 5000));
                } else if (s->linked && ses_random_below(random, 8) == 0) {
                    ses_yamux_close(&e.mux, s);
                } else if (s->linked && ses_random_below(random, 16) == 0) {
                    ses_yamux_reset(&e.mux, s);
                }
            }
            TAP_OK(ses_yamux_pull(&e.mux, wire, 1 + ses_random_below(random, 60000), ++e.now_us) <=
                   sizeof wire);
        }
        end_free(&e);
        TAP_EQ(e.stream_cnt, e.done_cnt);
    }
}

int main(void)
{
    TAP_RUN(test_transfer);
    TAP_RUN(test_window);
    TAP_RUN(test_widened);
    TAP_RUN(test_broken_peers);
    TAP_RUN(test_floods);
    TAP_RUN(test_own_limits);
    TAP_RUN(test_random_frames);
    return tap_done();
}
