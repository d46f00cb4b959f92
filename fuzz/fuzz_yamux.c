/* The muxer against any bytes: cut anywhere they do the same, and its books stay right. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "network/yamux.h"

#define STREAMS_MAX 512u

struct end {
    struct ses_yamux mux;
    struct ses_chain_pool pool;
    struct ses_yamux_stream *streams;
    size_t stream_cnt, done_cnt;
    uint64_t sum;
};

static struct ses_yamux_stream *on_open(void *cookie, uint32_t id)
{
    struct end *e = cookie;
    e->sum = e->sum * 31 + id;
    return e->stream_cnt == STREAMS_MAX ? NULL : &e->streams[e->stream_cnt++];
}

static void on_data(void *cookie, struct ses_yamux_stream *s, const uint8_t *bytes, size_t len)
{
    struct end *e = cookie;
    for (size_t i = 0; i < len; i++) {
        e->sum = e->sum * 31 + bytes[i];
    }
    if (s->out.len < 100000) {
        (void)!ses_yamux_write(&e->mux, s, bytes, len); /* an echo */
    }
    ses_yamux_consumed(&e->mux, s, len, 5);
}

static void on_fin(void *cookie, struct ses_yamux_stream *s)
{
    struct end *e = cookie;
    e->sum = e->sum * 31 + 1;
    ses_yamux_close(&e->mux, s);
}

static void on_reset(void *cookie, struct ses_yamux_stream *s)
{
    struct end *e = cookie;
    (void)s;
    e->sum = e->sum * 31 + 2;
}

static void on_done(void *cookie, struct ses_yamux_stream *s)
{
    struct end *e = cookie;
    SES_ASSERT(!s->linked && s->out.len == 0);
    e->done_cnt++;
}

static void on_drained(void *cookie, struct ses_yamux_stream *s)
{
    (void)cookie;
    (void)s;
}

static const struct ses_yamux_events events = {.on_open = on_open,
                                               .on_data = on_data,
                                               .on_fin = on_fin,
                                               .on_reset = on_reset,
                                               .on_done = on_done,
                                               .on_drained = on_drained};

static uint64_t run(const uint8_t *data, size_t size, size_t step)
{
    static uint8_t wire[65536];
    struct end e = {.streams = ses_alloc(STREAMS_MAX, sizeof(struct ses_yamux_stream))};
    SES_ASSERT(e.streams != NULL);
    ses_yamux_init(&e.mux, false, STREAMS_MAX, &e.pool, &events, &e);
    enum ses_err err = SES_OK;
    for (size_t at = 0; at < size && err == SES_OK; at += step) {
        err = ses_yamux_recv(&e.mux, data + at, size - at < step ? size - at : step, 5);
    }
    SES_ASSERT(err == SES_OK || err == SES_ERR_PEER || err == SES_ERR_FULL);
    while (ses_yamux_pull(&e.mux, wire, sizeof wire, 6) > 0) {
    }
    SES_ASSERT(e.mux.backlog_in == 0 && e.mux.inbound_cnt == e.stream_cnt - e.done_cnt);
    ses_yamux_abandon(&e.mux);
    SES_ASSERT(e.pool.used_cnt == 0 && e.done_cnt == e.stream_cnt && e.mux.windows_bytes == 0);
    ses_chain_pool_clear(&e.pool);
    ses_free(e.streams);
    return e.sum * 31 + (uint64_t)err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t whole = run(data, size, size + 1);
    SES_ASSERT(run(data, size, size == 0 ? 1 : 1 + data[size / 2] % 13) == whole);
    return 0;
}
