/* network: libp2p in C. TCP, multistream-select, /tls/1.0.0 (profile pq: X25519MLKEM768 only),
 * yamux, identify, ping; on top of it authenticated, framed requests and long-lived flows.
 *
 *     ses_net_request ─┐                          ┌─► handler(call) ─► ses_call_reply
 *     ses_net_open ────┤ frames (varint length)   ├─► on_frame(flow)
 *                      └─ yamux stream ─ TLS 1.3 ─┘
 *                         /session/auth/1, /session/login/1 done by the host
 *
 * The protocol cores (multistream, yamux, identify, multiaddr, frames) take and give bytes and do
 * no I/O; one file per host does sockets. `struct ses_net` is a table of functions, so that a
 * simulator can stand in for the sockets. Single-threaded: all calls and callbacks on the loop's
 * thread, no callback from inside the call that caused it. A peer can make a host hold only what
 * the table of limits (network/limits.c) allows; above it streams are reset, then connections
 * closed.
 */
#ifndef SES_NETWORK_NETWORK_H
#define SES_NETWORK_NETWORK_H

#include "protocol/protocol.h"

/* ---- addresses (libp2p peer-ids, multiaddr) ---- */

/* Multihash of the public key: identity for Ed25519 (38 bytes), SHA-256 for longer keys (34). */
struct ses_peer_id {
    uint8_t len;
    uint8_t bytes[42];
};
#define SES_PEER_ID_TEXT_MAX 64u
void ses_peer_id_of(struct ses_peer_id *out, const struct ses_ed25519_pk *pk);
/* base58btc, "12D3KooW..." */
void ses_peer_id_text(char *out, const struct ses_peer_id *id);
SES_CHECKED enum ses_err ses_peer_id_parse(struct ses_peer_id *out, const char *text);
bool ses_peer_id_equal(const struct ses_peer_id *a, const struct ses_peer_id *b);

/* Binary multiaddr, at most SES_MULTIADDR_MAX bytes (protocol/node.h). */
struct ses_multiaddr {
    uint16_t len;
    uint8_t bytes[SES_MULTIADDR_MAX];
};
#define SES_MULTIADDR_TEXT_MAX 320u
SES_CHECKED enum ses_err ses_multiaddr_parse(struct ses_multiaddr *out, const char *text);
SES_CHECKED enum ses_err ses_multiaddr_text(char *out, size_t cap, const uint8_t *bytes,
                                            size_t len);

/* ---- event loop on libuv ---- */
struct ses_uv;
/* Makes the process ignore SIGPIPE: a peer that closes early is an error, not the end. */
SES_CHECKED enum ses_err ses_uv_new(struct ses_uv **out);
/* After everything that lives on the loop (hosts, servers) is closed. */
void ses_uv_free(struct ses_uv *uv);
const struct ses_loop *ses_uv_loop(struct ses_uv *uv);
/* Runs until ses_uv_stop; may be run again. */
void ses_uv_run(struct ses_uv *uv);
void ses_uv_stop(struct ses_uv *uv);
/* Calls `on_signal` on the loop. */
SES_CHECKED enum ses_err ses_uv_signal(struct ses_uv *uv, int signum,
                                       void (*on_signal)(void *cookie, int signum), void *cookie);
/* Wakes the loop from any thread and runs `fn` there, once, in order. */
SES_CHECKED enum ses_err ses_uv_post(struct ses_uv *uv, void (*fn)(void *cookie), void *cookie);

/* ---- protocols ---- */
#define SES_PROTOS(X)                                                                              \
    X(STORE, "/session/store/1")                                                                   \
    X(DELETE, "/session/delete/1")                                                                 \
    X(RETRIEVE, "/session/retrieve/1")                                                             \
    X(WATCH, "/session/watch/1")                                                                   \
    X(INFO, "/session/info/1")                                                                     \
    X(REGISTRY, "/session/registry/1")                                                             \
    X(REPLICATE, "/session/replicate/1")                                                           \
    X(PROBE, "/session/probe/1")                                                                   \
    X(SYNC, "/session/sync/1")                                                                     \
    X(BULK, "/session/bulk/1")
enum ses_proto {
#define SES_X(name, id) SES_PROTO_##name,
    SES_PROTOS(SES_X)
#undef SES_X
        SES_PROTO_CNT
};
const char *ses_proto_id(enum ses_proto proto);

/* Who is at the other end of a connection, as far as it has been proven. */
struct ses_peer {
    struct ses_peer_id peer_id; /* proven by TLS */
    bool is_node;               /* `node_id` proven by /session/auth/1 */
    struct ses_node_id node_id;
    uint64_t connection; /* unique number of the connection within this host */
    char address[64];    /* ip:port of the socket, for logs and rate limits */
};
#define SES_LOGINS_MAX 8u /* inboxes that one connection may prove */

/* A node to talk to: from the registry. */
struct ses_target {
    struct ses_node_id node_id;
    struct ses_dsa_pk public_key;
    struct ses_endpoint endpoint; /* protocol/node.h: Ed25519 key and multiaddrs */
};

/* ---- requests ---- */
struct ses_net;
struct ses_call; /* an inbound request that waits for its reply */

typedef void ses_reply_fn(void *cookie, enum ses_err err, const uint8_t *body, size_t len);

struct ses_request {
    const struct ses_target *target; /* copied */
    enum ses_proto proto;
    const struct ses_identity *login; /* prove this inbox on the connection first; NULL: anonymous.
                                         Must outlive the request. */
    const uint8_t *body;              /* copied */
    size_t len;
    uint64_t deadline_ms;   /* from now; 0: the protocol's own */
    ses_reply_fn *on_reply; /* exactly once, also when the host closes (ERR_CLOSED);
                               `body` borrowed for the call. Errors: UNREACHABLE, TIMEOUT,
                               PEER, PEER_IDENTITY, NOT_POST_QUANTUM, FULL, CLOSED, and of the
                               login UNAUTHORISED, RATE. SES_OK brings the peer's frame, which may
                               be a refusal: also of its network layer (UNAUTHORISED, RATE) */
    void *cookie;
};

/* `call` must be answered exactly once, in the handler or later; it stays valid until then even if
 * the connection dies. */
typedef void ses_serve_fn(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);

/* ---- flows: long-lived framed streams in both directions ---- */
struct ses_flow;
struct ses_flow_events {
    void (*on_open)(void *cookie, struct ses_flow *flow); /* dialler: usable now */
    void (*on_frame)(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len);
    void (*on_writable)(void *cookie, struct ses_flow *flow); /* after ERR_AGAIN */
    void (*on_close)(void *cookie, struct ses_flow *flow,
                     enum ses_err why); /* last call; then gone. SES_OK: both sides closed it;
                                           CLOSED: reset, or the connection is lost; else why it
                                           could not be opened */
};
typedef enum ses_err ses_accept_fn(void *cookie, struct ses_flow *flow,
                                   const struct ses_flow_events **events, void **flow_cookie);

struct ses_net_ops {
    enum ses_err (*request)(struct ses_net *net, const struct ses_request *request);
    enum ses_err (*serve)(struct ses_net *net, enum ses_proto proto, ses_serve_fn *fn,
                          void *cookie);
    const struct ses_peer *(*call_peer)(const struct ses_call *call);
    bool (*call_logged_in)(const struct ses_call *call, const struct ses_hash *inbox);
    void (*call_reply)(struct ses_call *call, const uint8_t *body, size_t len);
    void (*call_fail)(struct ses_call *call); /* resets the stream */
    enum ses_err (*open)(struct ses_net *net, struct ses_flow **out,
                         const struct ses_target *target, enum ses_proto proto,
                         const struct ses_identity *login, const struct ses_flow_events *events,
                         void *cookie);
    enum ses_err (*accept)(struct ses_net *net, enum ses_proto proto, ses_accept_fn *fn,
                           void *cookie);
    const struct ses_peer *(*flow_peer)(const struct ses_flow *flow);
    bool (*flow_logged_in)(const struct ses_flow *flow, const struct ses_hash *inbox);
    enum ses_err (*flow_send)(struct ses_flow *flow, const uint8_t *body, size_t len);
    void (*flow_close)(struct ses_flow *flow); /* on_close follows */
};
struct ses_net {
    const struct ses_net_ops *ops;
};
/* A call and a flow begin with their net, so that the functions below need no other argument. */
struct ses_call_base {
    struct ses_net *net;
};

/* Shorthands. `request` reports errors that are known at once by its result and then does not call
 * back. flow_send: ERR_AGAIN when the queue is full (nothing was taken, on_writable follows) or the
 * flow is not open yet (on_open follows), ERR_TOO_LARGE, ERR_CLOSED. A protocol has either `serve`
 * or `accept` (the other gives ERR_EXISTS); NULL takes it out of service. An `accept` that returns
 * an error refuses the flow with that status: the dialler gets one frame, a refusal, then on_close.
 * A reply above the protocol's limit (network/limits.c) resets the stream. */
static inline enum ses_err ses_net_request(struct ses_net *net, const struct ses_request *request)
{
    return net->ops->request(net, request);
}
static inline enum ses_err ses_net_serve(struct ses_net *net, enum ses_proto proto,
                                         ses_serve_fn *fn, void *cookie)
{
    return net->ops->serve(net, proto, fn, cookie);
}
static inline struct ses_net *ses_call_net(const struct ses_call *call)
{
    return ((const struct ses_call_base *)(const void *)call)->net;
}
static inline struct ses_net *ses_flow_net(const struct ses_flow *flow)
{
    return ((const struct ses_call_base *)(const void *)flow)->net;
}
static inline const struct ses_peer *ses_call_peer(const struct ses_call *call)
{
    return ses_call_net(call)->ops->call_peer(call);
}
static inline bool ses_call_logged_in(const struct ses_call *call, const struct ses_hash *inbox)
{
    return ses_call_net(call)->ops->call_logged_in(call, inbox);
}
static inline void ses_call_reply(struct ses_call *call, const uint8_t *body, size_t len)
{
    ses_call_net(call)->ops->call_reply(call, body, len);
}
static inline void ses_call_fail(struct ses_call *call)
{
    ses_call_net(call)->ops->call_fail(call);
}
static inline enum ses_err ses_net_open(struct ses_net *net, struct ses_flow **out,
                                        const struct ses_target *target, enum ses_proto proto,
                                        const struct ses_identity *login,
                                        const struct ses_flow_events *events, void *cookie)
{
    return net->ops->open(net, out, target, proto, login, events, cookie);
}
static inline enum ses_err ses_net_accept(struct ses_net *net, enum ses_proto proto,
                                          ses_accept_fn *fn, void *cookie)
{
    return net->ops->accept(net, proto, fn, cookie);
}
static inline const struct ses_peer *ses_flow_peer(const struct ses_flow *flow)
{
    return ses_flow_net(flow)->ops->flow_peer(flow);
}
static inline bool ses_flow_logged_in(const struct ses_flow *flow, const struct ses_hash *inbox)
{
    return ses_flow_net(flow)->ops->flow_logged_in(flow, inbox);
}
static inline enum ses_err ses_flow_send(struct ses_flow *flow, const uint8_t *body, size_t len)
{
    return ses_flow_net(flow)->ops->flow_send(flow, body, len);
}
static inline void ses_flow_close(struct ses_flow *flow)
{
    ses_flow_net(flow)->ops->flow_close(flow);
}

/* ---- the host on real sockets ---- */
struct ses_host_params {
    struct ses_uv *uv;
    const struct ses_random *random;
    const struct ses_log *log;
    struct ses_ed25519_seed peer_seed; /* libp2p identity; a client draws a fresh one each start */
    struct ses_hash chain_id;
    bool is_node; /* proves node_id with node_key in /session/auth/1 */
    struct ses_node_id node_id;
    const struct ses_dsa_private *node_key;
    /* ML-DSA key of a registered node (Active or Decommissioning), to check a dialler's proof;
     * ERR_NOT_FOUND makes the peer a guest. NULL for clients (they check the target's key). */
    enum ses_err (*find_node)(void *cookie, const struct ses_node_id *node_id,
                              struct ses_dsa_pk *out);
    void *find_cookie;
    const char *agent;        /* "sessiond/0.1.0" for identify */
    uint32_t connections_max; /* 0: default */
    uint32_t idle_ms;         /* a client's connection without streams is closed; 0: 5 minutes */
};
struct ses_host_stats {
    uint64_t connections, streams, bytes_in, bytes_out, requests_in, requests_out, refused;
};

/* `struct ses_net` view of the host: valid as long as the host. */
SES_CHECKED enum ses_err ses_host_new(struct ses_net **out, const struct ses_host_params *params);
/* Listens on "/ip4/127.0.0.1/tcp/0" and the like; *bound gets the real port. ERR_IN_USE. */
SES_CHECKED enum ses_err ses_host_listen(struct ses_net *host, const char *multiaddr,
                                         struct ses_multiaddr *bound, struct ses_note *note);
void ses_host_peer_id(const struct ses_net *host, struct ses_peer_id *out);
/* Dials any libp2p peer: identify, then ping; for tests and diagnosis. */
struct ses_ping {
    struct ses_peer_id peer_id;
    char agent[64];
    char protocols[1024]; /* one a line */
    char group[32];       /* TLS group that was negotiated */
    uint64_t rtt_us;
};
SES_CHECKED enum ses_err ses_host_ping(struct ses_net *host, const char *multiaddr_with_p2p,
                                       void (*on_done)(void *cookie, enum ses_err err,
                                                       const struct ses_ping *ping),
                                       void *cookie);
void ses_host_stats(const struct ses_net *host, struct ses_host_stats *out);
/* Stops accepting, lets calls in progress finish for at most `drain_ms`, then closes everything and
 * calls `on_closed`, once every call that the application holds is answered; free after that, or in
 * it. Freed without having been closed, it closes at once, running the loop: not from a callback.
 */
void ses_host_close(struct ses_net *host, uint64_t drain_ms, void (*on_closed)(void *cookie),
                    void *cookie);
void ses_host_free(struct ses_net *host);

#endif
