/* What a peer may make this host hold or do: one row a protocol, and the admission of connections.
 * Pure: time is an argument. */
#ifndef SES_NETWORK_LIMITS_H
#define SES_NETWORK_LIMITS_H

#include "network/network.h"

/* ---- per protocol ---- */
enum ses_access { SES_ACCESS_GUEST, SES_ACCESS_CLIENT, SES_ACCESS_NODE };
struct ses_limit {
    uint32_t request_bytes;  /* longest frame to the listener */
    uint32_t response_bytes; /* longest frame to the dialler */
    uint32_t deadline_ms;    /* of a request from its first byte to its last, and of its response */
    uint16_t concurrent;     /* streams at a time on one connection, each direction */
    uint16_t rate;           /* new streams a second of one client connection; nodes: x NODE_RATE */
    uint16_t burst;
    enum ses_access access; /* who may use it */
};
#define SES_NODE_RATE 64u
const struct ses_limit *ses_limit_of(enum ses_proto proto);

#define SES_STREAMS_IN_MAX 512u         /* inbound streams of a connection */
#define SES_OPS_WAITING_MAX 4096u       /* requests that wait for one target's connection */
#define SES_FLOW_QUEUE_BYTES 1048576u   /* written to a flow and not yet sent */
#define SES_HELD_BYTES_MAX 268435456u   /* of the host: frames that peers have begun */
#define SES_QUEUED_BYTES_MAX 536870912u /* of the host: answers that peers have not taken yet */
/* Strangers share half of such a budget freely. Behind that a connection gets this part of it at
 * most, so that those of one address (SES_CONNECTIONS_PER_IP) cannot take what is left. Nodes go
 * to twice the budget. */
#define SES_BUDGET_PART 256u
#define SES_UPGRADE_MS 10000u /* from TCP to yamux */
#define SES_AUTH_MS 10000u
#define SES_CONNECT_MS 5000u /* TCP, one address */
#define SES_DIAL_MS 20000u   /* all addresses of a target */
#define SES_IDLE_MS 300000u  /* default: a client's connection without streams */
#define SES_IDLE_GUEST_MS 60000u
#define SES_IDLE_NODE_FACTOR 6u
#define SES_LOGIN_ATTEMPTS_MAX 16u
#define SES_LINKS_MAX 16384u /* targets that have requests or a connection */

/* ---- token bucket ---- */
struct ses_bucket {
    uint64_t milli_tokens;
    uint64_t at_ms; /* 0: not used yet, full */
};
/* Takes a token; false if there is none. */
bool ses_bucket_take(struct ses_bucket *b, uint64_t now_ms, uint32_t rate, uint32_t burst);

/* ---- connections ---- */
#define SES_CONNECTIONS_DEFAULT 8192u
#define SES_CONNECTIONS_PENDING_MAX 256u /* inbound, not yet upgraded */
#define SES_CONNECTIONS_PER_IP 64u
#define SES_CONNECTIONS_RATE 20u /* new ones a second from one IP */
#define SES_CONNECTIONS_BURST 100u
#define SES_GATE_TABLE 1024u
#define SES_GATE_IPS_MAX 65536u

struct ses_gate_ip;
struct ses_gate {
    uint32_t connections_max;
    uint32_t connection_cnt;
    uint32_t pending_cnt;
    uint32_t ip_cnt;
    struct ses_gate_ip *table[SES_GATE_TABLE];
};
/* A /64 of IPv6 counts as one; loopback only against the totals. */
struct ses_ip {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
};
void ses_gate_init(struct ses_gate *g, uint32_t connections_max);
void ses_gate_free(struct ses_gate *g);
/* Counts a new inbound connection, pending. SES_ERR_FULL, SES_ERR_RATE, SES_ERR_MEMORY. The caller
 * ends the oldest pending one if there are more than SES_CONNECTIONS_PENDING_MAX now. */
SES_CHECKED enum ses_err ses_gate_admit(struct ses_gate *g, const struct ses_ip *ip,
                                        uint64_t now_ms);
void ses_gate_upgraded(struct ses_gate *g);
void ses_gate_release(struct ses_gate *g, const struct ses_ip *ip, bool pending);
/* Forgets addresses without connections whose bucket is full again; every minute or so. */
void ses_gate_prune(struct ses_gate *g, uint64_t now_ms);

#endif
