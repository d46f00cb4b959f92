/* Hosts on loopback for the tests of this folder and the benchmark's pattern: nodes that know each
 * other, clients, and an echo on every protocol. */
#ifndef SES_NETWORK_TEST_NET_H
#define SES_NETWORK_TEST_NET_H

#include <string.h>

#include "base/tap.h"
#include "network/network.h"

#define NODES_MAX 4u

struct test_node {
    struct ses_dsa_private *key;
    struct ses_net *net;
    struct ses_target target;
    char addr[SES_MULTIADDR_TEXT_MAX];
};
struct test_net {
    struct ses_uv *uv;
    struct ses_hash chain_id;
    struct test_node nodes[NODES_MAX];
    size_t node_cnt;
    uint32_t closing;
    bool timed_out;
    struct ses_timer *watchdog;
};

static inline enum ses_err test_find(void *cookie, const struct ses_node_id *node_id,
                                     struct ses_dsa_pk *out)
{
    const struct test_net *t = cookie;
    for (size_t i = 0; i < t->node_cnt; i++) {
        if (memcmp(&t->nodes[i].target.node_id, node_id, sizeof *node_id) == 0) {
            *out = t->nodes[i].target.public_key;
            return SES_OK;
        }
    }
    return SES_ERR_NOT_FOUND;
}

static inline void test_watchdog(void *cookie)
{
    struct test_net *t = cookie;
    t->watchdog = NULL;
    t->timed_out = true;
    ses_uv_stop(t->uv);
}

/* Runs the loop until somebody stops it; a test that hangs fails. */
static inline void test_run(struct test_net *t)
{
    const struct ses_loop *loop = ses_uv_loop(t->uv);
    TAP_MUST(loop->timer_start(loop->ctx, &t->watchdog, 30000, test_watchdog, t) == SES_OK);
    ses_uv_run(t->uv);
    loop->timer_stop(loop->ctx, t->watchdog);
    t->watchdog = NULL;
    TAP_MUST(!t->timed_out);
}

static inline void test_init(struct test_net *t)
{
    *t = (struct test_net){0};
    ses_random_fill(tap_random(), &t->chain_id, sizeof t->chain_id);
    TAP_MUST(ses_crypto_init() == SES_OK);
    TAP_MUST(ses_uv_new(&t->uv) == SES_OK);
}

static inline struct ses_host_params test_params(struct test_net *t)
{
    struct ses_host_params params = {
        .uv = t->uv, .random = ses_random_system(), .chain_id = t->chain_id, .agent = "test/1"};
    ses_random_fill(tap_random(), &params.peer_seed, sizeof params.peer_seed);
    return params;
}

/* A node that listens on a free port of 127.0.0.1. */
static inline struct test_node *test_node_add(struct test_net *t)
{
    struct test_node *node = &t->nodes[t->node_cnt];
    struct ses_host_params params = test_params(t);
    struct ses_dsa_seed seed;
    struct ses_multiaddr bound;
    ses_random_fill(tap_random(), &seed, sizeof seed);
    TAP_MUST(ses_dsa_private_new(&node->key, &seed) == SES_OK);
    ses_dsa_private_pk(node->key, &node->target.public_key);
    ses_node_id_of(&node->target.node_id, &node->target.public_key);
    ses_ed25519_pk(&node->target.endpoint.peer_key, &params.peer_seed);
    params.is_node = true;
    params.node_id = node->target.node_id;
    params.node_key = node->key;
    params.find_node = test_find;
    params.find_cookie = t;
    TAP_MUST(ses_host_new(&node->net, &params) == SES_OK);
    TAP_MUST(ses_host_listen(node->net, "/ip4/127.0.0.1/tcp/0", &bound, NULL) == SES_OK);
    node->target.endpoint.addr_cnt = 1;
    node->target.endpoint.addrs[0].len = bound.len;
    memcpy(node->target.endpoint.addrs[0].bytes, bound.bytes, bound.len);
    TAP_MUST(ses_multiaddr_text(node->addr, sizeof node->addr, bound.bytes, bound.len) == SES_OK);
    t->node_cnt++;
    return node;
}

static inline struct ses_net *test_client(struct test_net *t)
{
    struct ses_net *net = NULL;
    const struct ses_host_params params = test_params(t);
    TAP_MUST(ses_host_new(&net, &params) == SES_OK);
    return net;
}

static inline void test_closed(void *cookie)
{
    struct test_net *t = cookie;
    if (--t->closing == 0) {
        ses_uv_stop(t->uv);
    }
}

/* Closes every node and the client (NULL: none), then the loop. */
static inline void test_end(struct test_net *t, struct ses_net *client)
{
    t->closing = client != NULL;
    for (size_t i = 0; i < t->node_cnt; i++) {
        if (t->nodes[i].net != NULL) { /* not closed by the test itself */
            t->closing++;
            ses_host_close(t->nodes[i].net, 1000, test_closed, t);
        }
    }
    if (client != NULL) {
        ses_host_close(client, 1000, test_closed, t);
    }
    if (t->closing > 0) {
        test_run(t);
    }
    for (size_t i = 0; i < t->node_cnt; i++) {
        ses_host_free(t->nodes[i].net);
        ses_dsa_private_free(t->nodes[i].key);
    }
    ses_host_free(client);
    ses_uv_free(t->uv);
}

static inline void test_echo(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    (void)cookie;
    ses_call_reply(call, body, len);
}

/* One request and what came of it. */
struct test_reply {
    struct test_net *t;
    uint32_t *left; /* stops the loop at zero; NULL: at once */
    uint32_t cnt;
    enum ses_err err;
    uint8_t *body;
    size_t len;
};

static inline void test_on_reply(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct test_reply *reply = cookie;
    reply->cnt++;
    reply->err = err;
    reply->len = len;
    ses_free(reply->body);
    reply->body = ses_alloc(len, 1);
    if (len > 0) {
        memcpy(reply->body, body, len);
    }
    if (reply->left == NULL || --*reply->left == 0) {
        ses_uv_stop(reply->t->uv);
    }
}

static inline struct ses_request test_request(const struct ses_target *target, enum ses_proto proto,
                                              const void *body, size_t len,
                                              struct test_reply *reply)
{
    return (struct ses_request){.target = target,
                                .proto = proto,
                                .body = body,
                                .len = len,
                                .on_reply = test_on_reply,
                                .cookie = reply};
}

/* Sends one request and waits for its end. */
static inline enum ses_err test_ask(struct test_net *t, struct ses_net *net,
                                    const struct ses_request *request, struct test_reply *reply)
{
    *reply = (struct test_reply){.t = t};
    struct ses_request copy = *request;
    copy.on_reply = test_on_reply;
    copy.cookie = reply;
    const enum ses_err err = ses_net_request(net, &copy);
    if (err != SES_OK) {
        return err;
    }
    test_run(t);
    TAP_EQ(1, reply->cnt);
    return reply->err;
}

/* Status of a response frame. */
static inline enum ses_err test_status(const struct test_reply *reply)
{
    struct ses_reader r;
    struct ses_refusal refusal = {0};
    bool ok = false;
    if (ses_response_begin(&r, reply->body, reply->len, &ok, &refusal) != SES_OK) {
        return SES_ERR_MALFORMED;
    }
    return ok ? SES_OK : refusal.status;
}

#endif
