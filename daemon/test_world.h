/* Test only: a world of daemons in one process. Virtual clock and loop, in-memory network and
 * chain; storage, protocol, cryptography and the daemons themselves are the real ones.
 *
 *     world ── heap of (time, order) events ── nodes: loop view (with clock skew), net, store,
 * daemon └─ clients: net only
 */
#ifndef SES_DAEMON_TEST_WORLD_H
#define SES_DAEMON_TEST_WORLD_H

#include "daemon/daemon.h"

#define WORLD_NODES_MAX 72u
#define WORLD_START_MS 1790000000000u
#define WORLD_LINK_MS 5u

struct world;
struct world_net;
struct world_node {
    struct world *world;
    uint32_t index;
    char dir[128];
    struct ses_dsa_private *key;
    struct ses_node_secrets secrets;
    int64_t skew_ms;
    struct ses_loop loop;
    struct world_net *net;
    struct ses_disk disk;
    struct ses_store *store;
    struct ses_daemon *daemon; /* NULL while down */
    uint64_t quota_bytes;      /* 0: the parameter's */
    uint64_t capacity_bytes;   /* 0: 1 TiB */
    struct ses_daemon_limits limits;
    uint64_t rotate_seconds;             /* of the encryption key; 0: never */
    const struct ses_endpoint *endpoint; /* NULL: what the registry lists */
    bool responded;                      /* by the chain's word, in the running epoch */
    bool fatal;
    bool done; /* scratch of stopping */
};
struct world {
    uint64_t now_ms; /* since WORLD_START_MS */
    uint64_t order;
    struct ses_timer **heap;
    size_t heap_cnt, heap_cap;
    const struct ses_random *random;
    struct ses_loop loop; /* without skew: clients, chain */
    struct ses_chain_params chain_params;
    struct ses_map map; /* what the chain says now */
    uint64_t *changed;  /* epoch in which a row changed last */
    uint32_t *swarms;   /* of each row, in the running epoch */
    uint64_t height;
    bool chain_down;
    bool standing_down; /* only what it says of duties is lacking */
    uint32_t standings_asked;
    struct ses_chain chain; /* with `head`: a real one stands behind the daemons */
    struct world_node nodes[WORLD_NODES_MAX];
    uint32_t node_cnt;
    struct world_net *nets;
    char dir[64];
    const struct ses_log *log;
    uint64_t scrub_rate; /* of stores that start from now on */
    uint64_t frames;     /* delivered on flows */
};

/* Nodes are registered, seated (i mod num_swarms) and running, their members connected. */
struct world *world_new(uint32_t node_cnt, uint32_t num_swarms);
/* The same upon another chain: `found` is called once the nodes have their keys (map) and before
 * they start, and sets `chain` and `chain_params`. The map stays what world_target looks into. */
struct world *world_new_upon(uint32_t node_cnt, uint32_t num_swarms,
                             void (*found)(void *cookie, struct world *w), void *cookie);
void world_free(struct world *w);
void world_run(struct world *w, uint64_t ms);
/* Runs until cond; false after max_ms. */
bool world_until(struct world *w, bool (*cond)(void *cookie), void *cookie, uint64_t max_ms);
uint64_t world_unix_ms(const struct world *w);

void world_start(struct world *w, uint32_t node);
/* Orderly, within wait_ms. */
void world_stop(struct world *w, uint32_t node, uint64_t wait_ms);
/* The network goes first: nothing more leaves the node. */
void world_crash(struct world *w, uint32_t node);
/* Cut off without stopping, and back. */
void world_cut(struct world *w, uint32_t node, bool cut);
/* The map of the next epoch, after the caller changed rows with world_row. */
struct ses_registry_row *world_row(struct world *w, uint32_t node);
void world_advance_epoch(struct world *w);
/* Index of `node` in node_id order -> node index used here, and the target to reach it. */
void world_target(struct world *w, uint32_t node, struct ses_target *out);

/* A client's end; freed with the world. */
struct world_net *world_client(struct world *w, const char *address);
struct ses_net *world_net_of(struct world_net *net);

struct world_reply {
    bool done;
    enum ses_err err;
    struct ses_buf body;
};
/* Starts a request; *reply must live until it is done. */
void world_ask(struct world *w, struct world_net *from, uint32_t node, enum ses_proto proto,
               const struct ses_identity *login, const uint8_t *body, size_t len,
               struct world_reply *reply);
/* Runs until it is answered. */
bool world_wait(struct world *w, struct world_reply *reply, uint64_t max_ms);
/* Puts a frame on a flow as if a foreign node had sent it: opens a flow from `from` (a node). */
struct world_flow {
    struct ses_flow *flow;
    bool open, closed, writable;
    uint32_t frame_cnt;
    struct ses_buf last; /* frame */
};
void world_open(struct world *w, struct world_net *from, uint32_t node, enum ses_proto proto,
                const struct ses_identity *login, struct world_flow *out);
/* Makes `client` pose as the registered node: its key was stolen, say. */
void world_pose_as(struct world *w, struct world_net *client, uint32_t node);
/* What a node says to others passes through `fn`, which may change it; false: the call is reset,
 * the flow closed instead. NULL: no more. */
typedef bool world_lie_fn(void *cookie, enum ses_proto proto, const struct ses_peer *to,
                          struct ses_buf *bytes);
void world_lie(struct world *w, uint32_t node, world_lie_fn *fn, void *cookie);
/* A client that does not read: frames towards it stay in its window. */
void world_stall(struct world_net *client, bool stalled);

#endif
