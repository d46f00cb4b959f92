/* Who and what is refused: wrong identities, guests, limits, deadlines, used ports. */

#include "network/limits.h"
#include "network/test_net.h"

static void test_wrong_peer_id(void)
{
    struct test_net t;
    struct test_reply reply;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    struct ses_target target = node->target;
    target.endpoint.peer_key.bytes[0] ^= 1;
    const struct ses_request request = test_request(&target, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_ERR_PEER_IDENTITY, test_ask(&t, client, &request, &reply));
    test_end(&t, client);
    ses_free(reply.body);
}

/* The right libp2p key, the wrong ML-DSA key: the chain decides. */
static void test_wrong_node_key(void)
{
    struct test_net t;
    struct test_reply reply;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct test_node *other = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    struct ses_target target = node->target;
    target.public_key = other->target.public_key;
    struct ses_request request = test_request(&target, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_ERR_PEER_IDENTITY, test_ask(&t, client, &request, &reply));
    ses_free(reply.body);
    target = node->target;
    target.node_id = other->target.node_id;
    TAP_ERR(SES_ERR_PEER_IDENTITY, test_ask(&t, client, &request, &reply));
    ses_free(reply.body);
    test_end(&t, client);
}

/* A host that is no node proves nothing, whatever the target says. */
static void test_listener_that_is_no_node(void)
{
    struct test_net t;
    struct test_reply reply;
    struct ses_multiaddr bound;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    struct ses_host_params params = test_params(&t);
    struct ses_target target = node->target;
    ses_ed25519_pk(&target.endpoint.peer_key, &params.peer_seed);
    ses_host_free(node->net);
    TAP_MUST(ses_host_new(&node->net, &params) == SES_OK);
    TAP_MUST(ses_host_listen(node->net, "/ip4/127.0.0.1/tcp/0", &bound, NULL) == SES_OK);
    target.endpoint.addrs[0].len = bound.len;
    memcpy(target.endpoint.addrs[0].bytes, bound.bytes, bound.len);
    const struct ses_request request = test_request(&target, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_ERR_PEER_IDENTITY, test_ask(&t, client, &request, &reply));
    ses_free(reply.body);
    test_end(&t, client);
}

/* A node that the listener does not find in its registry is a guest there. */
static void test_unregistered_node(void)
{
    struct test_net t;
    struct test_reply reply;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct test_node *stranger = test_node_add(&t);
    t.node_cnt = 1;
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_REGISTRY, test_echo, NULL));
    struct ses_request request = test_request(&node->target, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_OK, test_ask(&t, stranger->net, &request, &reply));
    TAP_ERR(SES_ERR_UNAUTHORISED, test_status(&reply));
    ses_free(reply.body);
    request.proto = SES_PROTO_REGISTRY;
    TAP_ERR(SES_OK, test_ask(&t, stranger->net, &request, &reply));
    TAP_EQ(1, reply.len);
    ses_free(reply.body);
    /* It is registered in the meantime: a refusal makes it prove itself anew. */
    t.node_cnt = 2;
    request.proto = SES_PROTO_INFO;
    TAP_ERR(SES_OK, test_ask(&t, stranger->net, &request, &reply));
    TAP_ERR(SES_ERR_UNAUTHORISED, test_status(&reply));
    ses_free(reply.body);
    TAP_ERR(SES_OK, test_ask(&t, stranger->net, &request, &reply));
    TAP_EQ(1, reply.len);
    ses_free(reply.body);
    test_end(&t, NULL);
}

static void test_node_only_protocol(void)
{
    struct test_net t;
    struct test_reply reply;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_REPLICATE, test_echo, NULL));
    const struct ses_request request =
        test_request(&node->target, SES_PROTO_REPLICATE, "x", 1, NULL);
    TAP_ERR(SES_OK, test_ask(&t, client, &request, &reply));
    TAP_ERR(SES_ERR_UNAUTHORISED, test_status(&reply));
    ses_free(reply.body);
    test_end(&t, client);
}

static void test_unreachable(void)
{
    struct test_net t;
    struct test_reply reply;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct test_node *gone = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    struct ses_target target = node->target;
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    ses_host_free(gone->net);
    gone->net = NULL;
    const struct ses_request lost = test_request(&gone->target, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_ERR_UNREACHABLE, test_ask(&t, client, &lost, &reply));
    ses_free(reply.body);
    /* An address that does not answer, one that no host speaks, then the right one. */
    target.endpoint.addr_cnt = 3;
    target.endpoint.addrs[2] = target.endpoint.addrs[0];
    target.endpoint.addrs[0] = gone->target.endpoint.addrs[0];
    target.endpoint.addrs[1].len = 2;
    memcpy(target.endpoint.addrs[1].bytes, "\xcc\x03", 2);
    const struct ses_request found = test_request(&target, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_OK, test_ask(&t, client, &found, &reply));
    ses_free(reply.body);
    struct ses_target nowhere = target;
    nowhere.endpoint.addr_cnt = 0;
    nowhere.node_id.bytes[3] ^= 1;
    const struct ses_request none = test_request(&nowhere, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_ERR_UNREACHABLE, test_ask(&t, client, &none, &reply));
    ses_free(reply.body);
    test_end(&t, client);
}

static void test_bad_requests(void)
{
    struct test_net t;
    struct test_reply reply = {0};
    static const uint8_t big[SES_FRAME_BYTES_MAX + 1];
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    struct ses_request request =
        test_request(&node->target, SES_PROTO_REPLICATE, big, sizeof big, &reply);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_net_request(client, &request));
    request.proto = SES_PROTO_CNT;
    TAP_ERR(SES_ERR_INVALID, ses_net_request(client, &request));
    ses_host_close(client, 0, NULL, NULL);
    request.proto = SES_PROTO_INFO;
    request.len = 1;
    TAP_ERR(SES_ERR_CLOSED, ses_net_request(client, &request));
    ses_host_free(client);
    TAP_EQ(0, reply.cnt);
    test_end(&t, NULL);
}

/* ---- deadlines and ends ---- */

struct hold {
    struct test_net *t;
    struct ses_call *calls[256];
    size_t cnt;
};

static void serve_hold(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct hold *hold = cookie;
    (void)body;
    (void)len;
    hold->calls[hold->cnt++] = call;
}

static void test_deadline(void)
{
    struct test_net t;
    struct test_reply reply;
    struct hold hold = {.t = &t};
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, serve_hold, &hold));
    struct ses_request request = test_request(&node->target, SES_PROTO_INFO, "x", 1, NULL);
    request.deadline_ms = 1500;
    TAP_ERR(SES_ERR_TIMEOUT, test_ask(&t, client, &request, &reply));
    ses_free(reply.body);
    TAP_EQ(1, hold.cnt);
    /* The call stays valid: the answer goes nowhere. */
    TAP_OK(!ses_call_peer(hold.calls[0])->is_node);
    ses_call_reply(hold.calls[0], (const uint8_t *)"late", 4);
    /* The connection still works. */
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    TAP_ERR(SES_OK, test_ask(&t, client, &request, &reply));
    ses_free(reply.body);
    test_end(&t, client);
}

static void test_close_during_request(void)
{
    struct test_net t;
    struct test_reply reply = {0};
    struct hold hold = {.t = &t};
    test_init(&t);
    reply.t = &t;
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, serve_hold, &hold));
    struct ses_request request = test_request(&node->target, SES_PROTO_INFO, "x", 1, &reply);
    TAP_ERR(SES_OK, ses_net_request(client, &request));
    ses_host_close(client, 0, NULL, NULL); /* before it has even connected */
    TAP_EQ(0, reply.cnt);
    test_run(&t);
    TAP_EQ(1, reply.cnt);
    TAP_ERR(SES_ERR_CLOSED, reply.err);
    ses_free(reply.body);
    ses_host_free(client);
    /* Now with the request in the handler's hands. */
    client = test_client(&t);
    request.deadline_ms = 1500;
    TAP_ERR(SES_ERR_TIMEOUT, test_ask(&t, client, &request, &reply));
    TAP_EQ(1, hold.cnt);
    ses_free(reply.body);
    ses_host_free(client);
    ses_call_fail(hold.calls[0]); /* its connection is dead */
    test_end(&t, NULL);
}

/* 200 at once share one connection; never more than the protocol allows are at the node. */
struct crowd {
    struct hold hold;
    size_t most;
};

static void crowd_answer(void *cookie)
{
    struct crowd *crowd = cookie;
    struct hold *hold = &crowd->hold;
    crowd->most = hold->cnt > crowd->most ? hold->cnt : crowd->most;
    for (size_t i = 0; i < hold->cnt; i++) {
        ses_call_reply(hold->calls[i], (const uint8_t *)"yes", 3);
    }
    hold->cnt = 0;
    struct ses_timer *timer = NULL;
    const struct ses_loop *loop = ses_uv_loop(hold->t->uv);
    if (crowd->most < 1000) {
        TAP_MUST(loop->timer_start(loop->ctx, &timer, 20, crowd_answer, crowd) == SES_OK);
    }
}

static void test_parallel(void)
{
    struct test_net t;
    struct crowd crowd = {.hold = {.t = &t}};
    struct test_reply replies[200] = {0};
    uint32_t left = SES_COUNT(replies);
    struct ses_host_stats stats;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_STORE, serve_hold, &crowd.hold));
    for (size_t i = 0; i < SES_COUNT(replies); i++) {
        replies[i] = (struct test_reply){.t = &t, .left = &left};
        const struct ses_request request =
            test_request(&node->target, SES_PROTO_STORE, "x", 1, &replies[i]);
        TAP_ERR(SES_OK, ses_net_request(client, &request));
    }
    crowd_answer(&crowd);
    test_run(&t);
    for (size_t i = 0; i < SES_COUNT(replies); i++) {
        TAP_EQ(1, replies[i].cnt);
        TAP_ERR(SES_OK, replies[i].err);
        TAP_EQ(3, replies[i].len);
        ses_free(replies[i].body);
    }
    TAP_OK(crowd.most > 1 && crowd.most <= ses_limit_of(SES_PROTO_STORE)->concurrent);
    ses_host_stats(client, &stats);
    TAP_EQ(1, stats.connections);
    TAP_EQ(200, stats.requests_out);
    crowd.most = 1000; /* the timer stops */
    test_end(&t, client);
}

static void test_rate(void)
{
    struct test_net t;
    static struct test_reply replies[600];
    uint32_t left = SES_COUNT(replies);
    uint32_t served_cnt = 0, refused_cnt = 0;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_RETRIEVE, test_echo, NULL));
    for (size_t i = 0; i < SES_COUNT(replies); i++) {
        replies[i] = (struct test_reply){.t = &t, .left = &left};
        const struct ses_request request =
            test_request(&node->target, SES_PROTO_RETRIEVE, "x", 1, &replies[i]);
        TAP_ERR(SES_OK, ses_net_request(client, &request));
    }
    test_run(&t);
    for (size_t i = 0; i < SES_COUNT(replies); i++) {
        TAP_ERR(SES_OK, replies[i].err);
        const bool served = replies[i].len == 1;
        served_cnt += served;
        refused_cnt += !served && test_status(&replies[i]) == SES_ERR_RATE;
        ses_free(replies[i].body);
    }
    TAP_OK(served_cnt >= ses_limit_of(SES_PROTO_RETRIEVE)->burst);
    TAP_EQ(SES_COUNT(replies), served_cnt + refused_cnt);
    test_end(&t, client);
}

/* ---- listening, ping ---- */

static void test_used_port(void)
{
    struct test_net t;
    struct ses_multiaddr bound;
    struct ses_note note = {{0}};
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *other = test_client(&t);
    TAP_ERR(SES_ERR_IN_USE, ses_host_listen(other, node->addr, &bound, &note));
    TAP_OK(strstr(note.text, "another program") != NULL);
    TAP_ERR(SES_ERR_INVALID, ses_host_listen(other, "/ip4/127.0.0.1/udp/1", &bound, &note));
    TAP_OK(strstr(note.text, "/ip4/ADDRESS/tcp/PORT") != NULL);
    TAP_ERR(SES_ERR_INVALID, ses_host_listen(other, "/dns4/localhost/tcp/0", &bound, &note));
    TAP_ERR(SES_OK, ses_host_listen(other, "/ip6/::1/tcp/0", &bound, &note));
    test_end(&t, other);
}

struct ping_result {
    struct test_net *t;
    enum ses_err err;
    struct ses_ping ping;
    uint32_t cnt;
};

static void on_ping(void *cookie, enum ses_err err, const struct ses_ping *ping)
{
    struct ping_result *result = cookie;
    result->cnt++;
    result->err = err;
    if (ping != NULL) {
        result->ping = *ping;
    }
    ses_uv_stop(result->t->uv);
}

static void test_ping(void)
{
    struct test_net t;
    struct ping_result result = {.t = &t};
    struct ses_peer_id id;
    char id_text[SES_PEER_ID_TEXT_MAX];
    char addr[SES_MULTIADDR_TEXT_MAX * 2];
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    ses_host_peer_id(node->net, &id);
    ses_peer_id_text(id_text, &id);
    (void)snprintf(addr, sizeof addr, "%s/p2p/%s", node->addr, id_text);
    TAP_ERR(SES_OK, ses_host_ping(client, addr, on_ping, &result));
    test_run(&t);
    TAP_ERR(SES_OK, result.err);
    TAP_OK(ses_peer_id_equal(&id, &result.ping.peer_id));
    TAP_TEXT("test/1", result.ping.agent);
    TAP_TEXT("X25519MLKEM768", result.ping.group);
    TAP_OK(strstr(result.ping.protocols, "/ipfs/ping/1.0.0\n") != NULL);
    TAP_OK(strstr(result.ping.protocols, "/session/store/1") == NULL); /* not served */
    ses_host_peer_id(client, &id);
    ses_peer_id_text(id_text, &id);
    (void)snprintf(addr, sizeof addr, "%s/p2p/%s", node->addr, id_text);
    TAP_ERR(SES_OK, ses_host_ping(client, addr, on_ping, &result));
    test_run(&t);
    TAP_ERR(SES_ERR_PEER_IDENTITY, result.err);
    TAP_ERR(SES_OK, ses_host_ping(client, "/dns4/localhost/tcp/1", on_ping, &result));
    test_run(&t);
    TAP_ERR(SES_ERR_UNREACHABLE, result.err);
    TAP_EQ(3, result.cnt);
    test_end(&t, client);
}

int main(void)
{
    TAP_RUN(test_wrong_peer_id);
    TAP_RUN(test_wrong_node_key);
    TAP_RUN(test_listener_that_is_no_node);
    TAP_RUN(test_unregistered_node);
    TAP_RUN(test_node_only_protocol);
    TAP_RUN(test_unreachable);
    TAP_RUN(test_bad_requests);
    TAP_RUN(test_deadline);
    TAP_RUN(test_close_during_request);
    TAP_RUN(test_parallel);
    TAP_RUN(test_rate);
    TAP_RUN(test_used_port);
    TAP_RUN(test_ping);
    return tap_done();
}
