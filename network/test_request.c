/* Requests between hosts on real loopback sockets. */
#include "network/test_net.h"

static void ask_echo(struct test_net *t, struct ses_net *net, const struct ses_target *target,
                     enum ses_proto proto, size_t len)
{
    struct test_reply reply;
    uint8_t *body = ses_alloc(len, 1);
    ses_random_fill(tap_random(), body, len);
    const struct ses_request request = test_request(target, proto, body, len, NULL);
    TAP_ERR(SES_OK, test_ask(t, net, &request, &reply));
    TAP_EQ(len, reply.len);
    if (reply.len == len) {
        TAP_BYTES(body, reply.body, len);
    }
    ses_free(reply.body);
    ses_free(body);
}

static void test_bodies(void)
{
    struct test_net t;
    test_init(&t);
    struct test_node *a = test_node_add(&t);
    struct test_node *b = test_node_add(&t);
    TAP_ERR(SES_OK, ses_net_serve(b->net, SES_PROTO_REPLICATE, test_echo, NULL));
    const size_t sizes[] = {0, 1, 127, 128, 16383, 65536, SES_FRAME_BYTES_MAX};
    for (size_t i = 0; i < SES_COUNT(sizes); i++) {
        ask_echo(&t, a->net, &b->target, SES_PROTO_REPLICATE, sizes[i]);
    }
    struct ses_host_stats stats;
    ses_host_stats(b->net, &stats);
    TAP_EQ(1, stats.connections);
    TAP_EQ(SES_COUNT(sizes), stats.requests_in);
    test_end(&t, NULL);
}

static void test_client_of_a_node(void)
{
    struct test_net t;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    ask_echo(&t, client, &node->target, SES_PROTO_INFO, 100);
    test_end(&t, client);
}

int main(void)
{
    TAP_RUN(test_bodies);
    TAP_RUN(test_client_of_a_node);
    return tap_done();
}
