/* Inside of the host on real sockets.
 *
 *     host ─┬─ listener ─► conn (inbound) ─┐
 *           ├─ link (a target) ─ dial ─► conn (outbound) ─ mux ─ stream ─┬─ call  (inbound request)
 *           │     └─ op, op, ... (wait for conn, login, a free stream)   ├─ flow
 *           └─ probe (ses_host_ping) ─ dial                              └─ op, auth, login, ...
 *
 * Every callback to the application comes from a descriptor, a timer or the end of the loop's turn
 * (host_turn), never from inside of a call of the application. What ends (streams, connections) is
 * first listed and torn down in host_turn, so that nobody's memory goes away under his feet.
 */
#ifndef SES_NETWORK_HOST_H
#define SES_NETWORK_HOST_H

#include "network/due.h"
#include "network/frame.h"
#include "network/identify.h"
#include "network/limits.h"
#include "network/multistream.h"
#include "network/tls.h"
#include "network/uv.h"
#include "network/yamux.h"

#define SES_SCRATCH_BYTES 65536u
#define SES_LINK_TABLE 1024u
#define SES_AGENT_MAX 64u
#define SES_LISTENERS_MAX 8u

struct ses_host;
struct ses_conn;
struct ses_stream;
struct ses_link;
struct ses_op;

/* ---- what survives a connection: who the peer is and what it proved ---- */
struct ses_session {
    uint32_t ref_cnt;
    struct ses_peer peer;
    enum ses_access access;
    uint8_t login_cnt;
    struct ses_hash logins[SES_LOGINS_MAX];
    uint16_t inbound_cnt[SES_PROTO_CNT]; /* calls not answered and flows */
};
void ses_session_drop(struct ses_session *s);
bool ses_session_logged_in(const struct ses_session *s, const struct ses_hash *inbox);

/* ---- streams: multistream-select and frames over a yamux stream ---- */
struct ses_stream_ops {
    /* A frame, or with `raw` any bytes. An error resets the stream. */
    enum ses_err (*on_bytes)(struct ses_stream *st, const uint8_t *bytes, size_t len);
    void (*on_fin)(struct ses_stream *st); /* the peer sends no more; NULL: close our side too */
    void (*on_drained)(struct ses_stream *st);
    void (*on_due)(struct ses_stream *st); /* NULL: reset, SES_ERR_TIMEOUT */
    /* Last: the stream is unlinked and will be freed. */
    void (*on_gone)(struct ses_stream *st);
    bool raw;
};
struct ses_stream {
    struct ses_yamux_stream ys; /* first: events of the muxer are cast */
    struct ses_conn *conn;
    const struct ses_stream_ops *ops; /* NULL: inbound, not negotiated */
    void *owner;
    bool negotiated;
    bool drained;         /* listed in host->drained_streams: on_drained is due */
    bool counted;         /* in conn->outbound_cnt[proto] */
    bool inbound_counted; /* in session->inbound_cnt[proto] */
    size_t held_bytes;    /* in host->held_bytes */
    enum ses_proto proto;
    enum ses_err why; /* it ended; SES_OK: both sides finished */
    struct ses_mss mss;
    struct ses_frames frames;
    struct ses_due due;
    struct ses_stream *list_next, *drained_next;
};
/* SES_ERR_AGAIN, SES_ERR_CLOSED, SES_ERR_MEMORY. The protocol id has static storage. */
SES_CHECKED enum ses_err ses_stream_open(struct ses_stream **out, struct ses_conn *conn,
                                         const char *protocol, const struct ses_stream_ops *ops,
                                         void *owner, size_t frame_max);
SES_CHECKED enum ses_err ses_stream_send(struct ses_stream *st, const void *bytes, size_t len);
SES_CHECKED enum ses_err ses_stream_send_frame(struct ses_stream *st, const uint8_t *body,
                                               size_t len);
void ses_stream_close(struct ses_stream *st);
void ses_stream_reset(struct ses_stream *st, enum ses_err why);
void ses_stream_due(struct ses_stream *st, uint32_t delay_ms);
/* Still linked and not being reset. */
bool ses_stream_alive(const struct ses_stream *st);
extern const struct ses_yamux_events ses_stream_events;
void ses_stream_drained(struct ses_stream *st);
void ses_stream_reap(struct ses_stream *st); /* on_gone, counts, memory */

/* ---- connections ---- */
enum ses_conn_state {
    SES_CONN_CONNECTING,
    SES_CONN_SECURITY, /* multistream-select in the clear */
    SES_CONN_TLS,
    SES_CONN_MUXER, /* multistream-select inside of TLS */
    SES_CONN_OPEN,
    SES_CONN_CLOSED,
};
struct ses_conn_owner {
    void (*up)(void *cookie, struct ses_conn *conn);     /* muxer runs */
    void (*proven)(void *cookie, struct ses_conn *conn); /* after ses_auth_dial */
    void (*down)(void *cookie, struct ses_conn *conn, enum ses_err why);
};
enum ses_proof_state { SES_PROOF_NONE, SES_PROOF_PENDING, SES_PROOF_DONE, SES_PROOF_FAILED };
struct ses_proof { /* an inbox that we prove to the listener */
    struct ses_hash inbox;
    enum ses_proof_state state;
    enum ses_err err;
};
struct ses_conn {
    struct ses_host *host;
    struct ses_conn *next, **link_at; /* of host->conns */
    struct ses_conn *dirty_next, *dead_next;
    bool dirty, handle_closed;
    bool dialler;
    bool want_write, read_again;
    bool retired; /* close it when its streams have ended */
    enum ses_conn_state state;
    enum ses_err why;
    int fd;
    uv_poll_t poll;
    int poll_events;
    uint32_t pin_cnt; /* jobs that will come back to it */
    SSL *ssl;
    struct ses_tls_peer tls_peer;
    struct ses_peer_id expected;
    struct ses_mss mss;
    struct ses_buf out; /* taken from the muxer, not yet taken by TLS */
    size_t out_at;      /* bytes of it that TLS has taken */
    struct ses_yamux mux;
    struct ses_due due; /* upgrade, then idle */
    uint64_t active_ms;
    struct ses_session *session;
    struct ses_ip ip;
    bool gated, gate_pending;
    size_t held_bytes; /* of frames that are arriving */
    uint8_t exporter[32];
    struct ses_hash node_key_hash; /* of the ML-DSA key that the peer proved */
    bool auth_used, auth_done;
    uint8_t login_job_cnt, login_attempt_cnt;
    uint8_t proof_cnt;
    struct ses_proof proofs[SES_LOGINS_MAX];
    struct ses_bucket buckets[SES_PROTO_CNT];
    uint16_t outbound_cnt[SES_PROTO_CNT];
    const struct ses_conn_owner *owner;
    void *owner_cookie;
    struct ses_link *link;
};
SES_CHECKED enum ses_err ses_conn_accept(struct ses_host *host, int fd,
                                         const struct sockaddr_storage *from);
SES_CHECKED enum ses_err ses_conn_dial(struct ses_conn **out, struct ses_host *host,
                                       const struct sockaddr_storage *to,
                                       const struct ses_peer_id *expected,
                                       const struct ses_conn_owner *owner, void *cookie);
/* Ends the connection; torn down at the end of the turn. */
void ses_conn_close(struct ses_conn *conn, enum ses_err why);
void ses_conn_touch(struct ses_conn *conn); /* has something to send */
void ses_conn_flush(struct ses_conn *conn);
/* Whether the budgets allow more of it: queued answers, frames begun. */
bool ses_conn_may_queue(const struct ses_conn *conn);
bool ses_conn_may_hold(const struct ses_conn *conn);
void ses_conn_turn(struct ses_conn *conn); /* its part of the end of the loop's turn */
void ses_conn_teardown(struct ses_conn *conn);
void ses_conn_unpin(struct ses_conn *conn);
/* Looks whether a response is a refusal for want of authority: the listener does not know this node
 * yet, so the next request shall have a new connection and prove it again. */
void ses_conn_notice_refusal(struct ses_conn *conn, const uint8_t *body, size_t len);
bool ses_conn_usable(const struct ses_conn *conn); /* open, and takes new streams */
void ses_conn_idle_rearm(struct ses_conn *conn);
void ses_sockaddr_text(char out[64], const struct sockaddr_storage *addr);

/* ---- signatures on the worker pool ---- */
struct ses_job {
    struct ses_host *host;
    struct ses_conn *conn; /* pinned */
    enum ses_domain domain;
    bool verify;
    struct ses_dsa_pk verify_pk;
    uint8_t verify_message[SES_AUTH_MESSAGE_BYTES];
    size_t verify_len;
    struct ses_dsa_sig verify_sig;
    enum ses_err verify_err;
    const struct ses_dsa_private *sign_key; /* NULL: nothing to sign */
    uint8_t sign_message[SES_AUTH_MESSAGE_BYTES];
    size_t sign_len;
    struct ses_dsa_sig sign_sig;
    enum ses_err sign_err;
    void (*done)(struct ses_job *job); /* frees it with ses_job_free */
    void *cookie;
};
struct ses_job *ses_job_new(struct ses_conn *conn, enum ses_domain domain,
                            void (*done)(struct ses_job *job), void *cookie);
SES_CHECKED enum ses_err ses_job_start(struct ses_job *job);
void ses_job_free(struct ses_job *job);

/* ---- /session/auth/1, /session/login/1 ---- */
#define SES_AUTH_ID "/session/auth/1"
#define SES_LOGIN_ID "/session/login/1"
#define SES_AUTH_FRAME_MAX 4096u  /* version, suite, node id, signature */
#define SES_LOGIN_FRAME_MAX 8192u /* version, op, two keys, signature */
/* Proves this host and demands the proof of `target` (borrowed until proven or down). */
void ses_auth_dial(struct ses_conn *conn, const struct ses_target *target);
extern const struct ses_stream_ops ses_auth_listener;
/* State of the proof of `op->login` on the connection, starting it if need be. */
enum ses_proof_state ses_login_prove(struct ses_conn *conn, struct ses_op *op, enum ses_err *err);
extern const struct ses_stream_ops ses_login_listener;

/* ---- dialling ---- */
struct ses_dial;
typedef void ses_dialled_fn(void *cookie, struct ses_conn *conn, enum ses_err err);
/* Tries the addresses in turn until a connection is up and, with a target, proven. `on_done` later,
 * exactly once unless cancelled; on success the connection has no owner yet. */
SES_CHECKED enum ses_err ses_dial_start(struct ses_dial **out, struct ses_host *host,
                                        const struct ses_multiaddr *addrs, size_t addr_cnt,
                                        const struct ses_peer_id *expected,
                                        const struct ses_target *target, ses_dialled_fn *on_done,
                                        void *cookie);
void ses_dial_cancel(struct ses_dial *dial);

struct ses_link {
    struct ses_host *host;
    struct ses_link *hash_next, *touched_next;
    bool touched;
    struct ses_target target;
    struct ses_hash key_hash;
    struct ses_conn *conn;
    struct ses_dial *dial;
    struct ses_op *first, **last; /* waiting */
    uint32_t waiting_cnt;
    uint32_t op_cnt; /* waiting or not: they point here */
};
SES_CHECKED enum ses_err ses_link_get(struct ses_link **out, struct ses_host *host,
                                      const struct ses_target *target);
void ses_link_touch(struct ses_link *link);
void ses_link_pump(struct ses_link *link); /* may free it */
void ses_link_fail(struct ses_link *link, enum ses_err err);
void ses_link_conn_down(struct ses_link *link, struct ses_conn *conn);

/* ---- outbound requests and flows ---- */
struct ses_flow;
struct ses_op {
    struct ses_link *link;
    struct ses_op *next; /* waiting in the link */
    bool waiting;
    bool signing;        /* a worker uses op->login: it must outlive that */
    enum ses_err failed; /* while signing: told afterwards */
    enum ses_proto proto;
    const struct ses_identity *login;
    struct ses_due due;
    struct ses_buf body;
    ses_reply_fn *on_reply;
    void *cookie;
    struct ses_flow *flow; /* or a flow that wants to be opened */
    struct ses_stream *stream;
};
/* SES_ERR_AGAIN: not yet; SES_OK: on its way. */
enum ses_err ses_op_try(struct ses_op *op, struct ses_conn *conn);
void ses_op_started(struct ses_op *op); /* after SES_OK, if it waited */
/* Unlinks, calls back with the error, frees. */
void ses_op_fail(struct ses_op *op, enum ses_err err);
void ses_op_signed(struct ses_op *op); /* the worker is done with op->login */

struct ses_flow {
    struct ses_call_base base; /* first: ses_flow_net */
    struct ses_host *host;
    struct ses_session *session;
    struct ses_stream *stream; /* NULL before it is open */
    struct ses_op *op;         /* while it waits */
    bool dialled, closing, noticed;
    bool blocked; /* a send was refused: on_writable is owed */
    enum ses_proto proto;
    const struct ses_flow_events *events;
    void *cookie;
    struct ses_flow *close_next; /* closed before it was open */
    bool close_listed;
};
enum ses_err ses_flow_attach(struct ses_flow *flow, struct ses_conn *conn);
void ses_flow_end(struct ses_flow *flow, enum ses_err why); /* on_close, free */
void ses_flow_accept(struct ses_stream *st, enum ses_proto proto);
void ses_call_accept(struct ses_stream *st, enum ses_proto proto);
/* Answers with a refusal instead of a response. */
void ses_stream_refuse(struct ses_stream *st, enum ses_err status);

extern const struct ses_net_ops ses_host_ops;
enum ses_err ses_host_request(struct ses_net *net, const struct ses_request *request);
enum ses_err ses_host_open(struct ses_net *net, struct ses_flow **out,
                           const struct ses_target *target, enum ses_proto proto,
                           const struct ses_identity *login, const struct ses_flow_events *events,
                           void *cookie);
const struct ses_peer *ses_host_call_peer(const struct ses_call *call);
bool ses_host_call_logged_in(const struct ses_call *call, const struct ses_hash *inbox);
void ses_host_call_reply(struct ses_call *call, const uint8_t *body, size_t len);
void ses_host_call_fail(struct ses_call *call);
const struct ses_peer *ses_host_flow_peer(const struct ses_flow *flow);
bool ses_host_flow_logged_in(const struct ses_flow *flow, const struct ses_hash *inbox);
enum ses_err ses_host_flow_send(struct ses_flow *flow, const uint8_t *body, size_t len);
void ses_host_flow_close(struct ses_flow *flow);

/* ---- built-in protocols ---- */
#define SES_IDENTIFY_ID "/ipfs/id/1.0.0"
#define SES_IDENTIFY_PUSH_ID "/ipfs/id/push/1.0.0"
#define SES_PING_ID "/ipfs/ping/1.0.0"
#define SES_PING_BYTES 32u
/* Index of a protocol that this host serves: SES_PROTO_CNT and up are built in; -1: none. */
int ses_services_choose(void *host, const char *id, size_t len);
/* An inbound stream has chosen. */
void ses_services_begin(struct ses_stream *st, int chosen);

/* ---- the host ---- */
struct ses_listener {
    struct ses_host *host;
    uv_poll_t poll;
    int fd;
    bool open;
    struct ses_due due; /* accepts again: there were no descriptors left */
    struct ses_multiaddr addr;
};
struct ses_service {
    ses_serve_fn *serve;
    ses_accept_fn *accept;
    void *cookie;
};
struct ses_host {
    struct ses_net net; /* first */
    struct ses_host_params params;
    char agent[SES_AGENT_MAX];
    uint32_t idle_ms;
    const struct ses_loop *loop;
    uv_loop_t *raw;
    struct ses_tls *tls;
    struct ses_ed25519_pk peer_key;
    struct ses_peer_id peer_id;
    uv_prepare_t turn;
    uv_idle_t spin; /* runs while something is left for the next turn */
    uv_timer_t timer;
    uint64_t timer_at_ms;
    uint32_t handle_cnt; /* of libuv, not closed yet */
    struct ses_dues dues;
    struct ses_due prune_due;
    struct ses_chain_pool pool;
    size_t held_bytes;           /* of frames that are arriving */
    size_t held_max, queued_max; /* in bytes, in chunks */
    struct ses_gate gate;
    struct ses_conn *conns, *dirty, *dead;
    struct ses_stream *ended, *drained_streams;
    struct ses_flow *closing_flows;
    struct ses_link *links[SES_LINK_TABLE];
    struct ses_link *touched;
    uint32_t link_cnt;
    struct ses_listener listeners[SES_LISTENERS_MAX];
    uint8_t listener_cnt;
    struct ses_service services[SES_PROTO_CNT];
    uint64_t conn_seq;
    uint32_t call_cnt, op_cnt, job_cnt, dial_cnt;
    bool closing, closed;
    struct ses_due drain_due;
    bool drain_over;
    void (*on_closed)(void *cookie);
    void *closed_cookie;
    struct ses_host_stats stats;
    uint8_t in[SES_SCRATCH_BYTES];
    uint8_t out[SES_SCRATCH_BYTES];
};
static inline struct ses_host *ses_host_of(struct ses_net *net)
{
    return (struct ses_host *)(void *)net;
}
uint64_t ses_host_now_us(void);
uint64_t ses_host_now_ms(void);
void ses_listener_close(struct ses_listener *l);

#endif
