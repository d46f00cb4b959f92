/* yamux (libp2p yamux specification): many streams with flow control over one connection. Bytes
 * in, bytes and events out; no I/O, no clock.
 *
 *     ses_yamux_recv(bytes) ──► on_open, on_data, on_fin, on_reset, on_done
 *     ses_yamux_pull(out)   ◄── ses_yamux_write, _close, _reset, _consumed
 *
 * The owner allocates streams; the muxer links them until on_done, after which the owner frees
 * them. Nothing is stored on the receiving side: on_data hands out the bytes of the connection, and
 * the peer gets credit only for what the owner reports as consumed. Everything that a peer can make
 * this object hold is bounded: streams (inbound_max), answers to pings, refusals. Above the bound
 * recv fails and the connection must be closed.
 */
#ifndef SES_NETWORK_YAMUX_H
#define SES_NETWORK_YAMUX_H

#include "network/chain.h"

#define SES_YAMUX_WINDOW_BYTES 262144u  /* initial window of every stream */
#define SES_YAMUX_WINDOW_MAX 16777216u  /* of a stream, after tuning */
#define SES_YAMUX_WINDOWS_MAX 67108864u /* all of a connection beyond the initial ones */
#define SES_YAMUX_FRAME_BYTES 16384u    /* longest data frame that is sent */
#define SES_YAMUX_HEAD_BYTES 12u
#define SES_YAMUX_BACKLOG_MAX 256u /* streams opened and not acknowledged */
#define SES_YAMUX_TABLE 64u
#define SES_YAMUX_PONGS_MAX 32u
#define SES_YAMUX_REFUSED_MAX 256u

struct ses_yamux_stream {
    struct ses_yamux_stream *hash_next;
    struct ses_yamux_stream *ready_next;
    struct ses_yamux_stream *ready_prev;
    uint32_t id;
    uint32_t send_window;
    uint32_t recv_window;  /* what the peer may still send */
    uint32_t window_bytes; /* size of the receiving window, tuned */
    uint32_t credit;       /* consumed and not yet given back */
    uint64_t credited_us;  /* when credit was last given */
    struct ses_chain out;
    bool linked, ready;
    bool syn_due, ack_due, fin_due, rst_due, credit_due;
    bool acked; /* an outbound stream that the peer acknowledged */
    bool fin_sent, fin_received;
    bool drain_wanted; /* tell on_drained once */
};

struct ses_yamux;
struct ses_yamux_events {
    /* A stream from the peer: the owner's zeroed stream, or NULL to refuse it. */
    struct ses_yamux_stream *(*on_open)(void *cookie, uint32_t id);
    void (*on_data)(void *cookie, struct ses_yamux_stream *s, const uint8_t *bytes, size_t len);
    void (*on_fin)(void *cookie, struct ses_yamux_stream *s);
    void (*on_reset)(void *cookie, struct ses_yamux_stream *s); /* on_done follows */
    /* Unlinked: both ends finished, or reset. The owner may free it, but not before the running
     * recv or pull has returned. */
    void (*on_done)(void *cookie, struct ses_yamux_stream *s);
    /* From pull: the queue of a stream with drain_wanted is at most half of SES_YAMUX_DRAIN_BYTES.
     * Must not call back into the muxer. */
    void (*on_drained)(void *cookie, struct ses_yamux_stream *s);
};
#define SES_YAMUX_DRAIN_BYTES 524288u

struct ses_yamux {
    bool dialler;
    const struct ses_yamux_events *events;
    void *cookie;
    struct ses_chain_pool *pool;
    enum ses_err err;
    uint8_t head[SES_YAMUX_HEAD_BYTES];
    uint8_t head_len;
    bool in_body;
    uint8_t body_flags;
    uint32_t body_id;
    uint32_t body_left;
    uint32_t next_id; /* of the next stream that we open */
    uint32_t last_id; /* highest id that the peer opened */
    uint32_t inbound_max, inbound_cnt, outbound_cnt;
    uint32_t backlog_in, backlog_out;
    uint64_t windows_bytes; /* tuned beyond the initial windows */
    size_t chunk_cnt;       /* of the pool, in the queues of all streams */
    struct ses_yamux_stream *table[SES_YAMUX_TABLE];
    struct ses_yamux_stream *ready_head, *ready_tail;
    uint32_t pongs[SES_YAMUX_PONGS_MAX];
    uint32_t pong_cnt;
    uint32_t refused[SES_YAMUX_REFUSED_MAX];
    uint32_t refused_cnt;
    bool ping_due, ping_waits;
    uint32_t ping_value;
    uint64_t ping_us;
    uint64_t rtt_us; /* 0: not measured */
    bool goaway_due, goaway_received;
};

void ses_yamux_init(struct ses_yamux *y, bool dialler, uint32_t inbound_max,
                    struct ses_chain_pool *pool, const struct ses_yamux_events *events,
                    void *cookie);
/* Unlinks every stream with on_done, without sending anything. */
void ses_yamux_abandon(struct ses_yamux *y);
/* SES_ERR_PEER, SES_ERR_FULL: close the connection; the error stays. */
SES_CHECKED enum ses_err ses_yamux_recv(struct ses_yamux *y, const uint8_t *in, size_t len,
                                        uint64_t now_us);
/* Frames that are ready, at most `cap` bytes; 0: nothing to send. */
size_t ses_yamux_pull(struct ses_yamux *y, uint8_t *out, size_t cap, uint64_t now_us);
bool ses_yamux_pending(const struct ses_yamux *y);
/* SES_ERR_AGAIN while 256 streams wait for acknowledgement; SES_ERR_CLOSED after a go-away. */
SES_CHECKED enum ses_err ses_yamux_open(struct ses_yamux *y, struct ses_yamux_stream *s);
/* Right after open: a larger window, told with the opening, so that an answer of that size comes
 * without a round trip more. Without effect if the windows of the connection are used up. */
void ses_yamux_widen(struct ses_yamux *y, struct ses_yamux_stream *s, uint32_t window_bytes);
/* Queues a copy; the caller bounds what it queues (s->out.len). */
SES_CHECKED enum ses_err ses_yamux_write(struct ses_yamux *y, struct ses_yamux_stream *s,
                                         const void *bytes, size_t len);
/* No more will be written: FIN follows what is queued. */
void ses_yamux_close(struct ses_yamux *y, struct ses_yamux_stream *s);
/* Drops what is queued and resets the stream; on_done comes from a later pull. */
void ses_yamux_reset(struct ses_yamux *y, struct ses_yamux_stream *s);
void ses_yamux_consumed(struct ses_yamux *y, struct ses_yamux_stream *s, size_t len,
                        uint64_t now_us);
void ses_yamux_goaway(struct ses_yamux *y);

#endif
