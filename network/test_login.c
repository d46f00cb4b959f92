/* /session/login/1: inboxes that a client proves, and the ones that it cannot. */
#include "network/test_net.h"

struct gate {
    struct ses_hash inbox;
    uint32_t in_cnt, out_cnt;
    struct ses_call *held;
};

static void serve_gate(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct gate *g = cookie;
    (void)body;
    (void)len;
    const bool in = ses_call_logged_in(call, &g->inbox);
    g->in_cnt += in;
    g->out_cnt += !in;
    const uint8_t answer = in;
    ses_call_reply(call, &answer, 1);
}

static struct ses_identity *identity_new(void)
{
    struct ses_identity *identity = NULL;
    TAP_MUST(ses_identity_generate(&identity, tap_random()) == SES_OK);
    return identity;
}

static struct ses_hash inbox_of(const struct ses_identity *identity)
{
    struct ses_hash inbox;
    memcpy(inbox.bytes, identity->id.bytes + 1, sizeof inbox.bytes);
    return inbox;
}

static void test_accepted(void)
{
    struct test_net t;
    struct gate g = {0};
    struct test_reply reply;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    struct ses_identity *identity = identity_new();
    g.inbox = inbox_of(identity);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_RETRIEVE, serve_gate, &g));
    struct ses_request request = test_request(&node->target, SES_PROTO_RETRIEVE, "x", 1, NULL);
    TAP_ERR(SES_OK, test_ask(&t, client, &request, &reply)); /* anonymous */
    ses_free(reply.body);
    TAP_EQ(1, g.out_cnt);
    request.login = identity;
    TAP_ERR(SES_OK, test_ask(&t, client, &request, &reply));
    ses_free(reply.body);
    TAP_EQ(1, g.in_cnt);
    request.login = NULL; /* the connection stays logged in */
    TAP_ERR(SES_OK, test_ask(&t, client, &request, &reply));
    ses_free(reply.body);
    TAP_EQ(2, g.in_cnt);
    test_end(&t, client);
    ses_identity_free(identity);
}

/* A Session ID that is not of the keys: what the node recomputes is another inbox. */
static void test_forged_inbox(void)
{
    struct test_net t;
    struct gate g = {0};
    struct test_reply reply;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    struct ses_identity *identity = identity_new();
    identity->id.bytes[5] ^= 1;
    g.inbox = inbox_of(identity);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_RETRIEVE, serve_gate, &g));
    struct ses_request request = test_request(&node->target, SES_PROTO_RETRIEVE, "x", 1, NULL);
    request.login = identity;
    TAP_ERR(SES_ERR_UNAUTHORISED, test_ask(&t, client, &request, &reply));
    TAP_EQ(0, g.in_cnt + g.out_cnt);
    test_end(&t, client);
    ses_free(reply.body);
    ses_identity_free(identity);
}

/* Right keys of the victim, signature of somebody else. */
static void test_forged_signature(void)
{
    struct test_net t;
    struct test_reply reply;
    struct gate g = {0};
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    struct ses_identity *victim = identity_new();
    struct ses_identity *thief = identity_new();
    struct ses_dsa_private *own = victim->dsa;
    victim->dsa = thief->dsa;
    g.inbox = inbox_of(victim);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_RETRIEVE, serve_gate, &g));
    struct ses_request request = test_request(&node->target, SES_PROTO_RETRIEVE, "x", 1, NULL);
    request.login = victim;
    TAP_ERR(SES_ERR_UNAUTHORISED, test_ask(&t, client, &request, &reply));
    request.login = NULL;
    ses_free(reply.body);
    TAP_ERR(SES_OK, test_ask(&t, client, &request, &reply));
    TAP_EQ(0, g.in_cnt);
    TAP_EQ(1, g.out_cnt);
    test_end(&t, client);
    victim->dsa = own;
    ses_free(reply.body);
    ses_identity_free(victim);
    ses_identity_free(thief);
}

/* Eight inboxes fit, the ninth does not; requests wait for their own login only. */
static void test_limit(void)
{
    struct test_net t;
    struct gate g = {0};
    struct ses_identity *identities[SES_LOGINS_MAX + 1];
    struct test_reply replies[SES_LOGINS_MAX + 1] = {0};
    uint32_t left = SES_LOGINS_MAX + 1;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_RETRIEVE, serve_gate, &g));
    for (size_t i = 0; i <= SES_LOGINS_MAX; i++) {
        identities[i] = identity_new();
        replies[i] = (struct test_reply){.t = &t, .left = &left};
        struct ses_request request =
            test_request(&node->target, SES_PROTO_RETRIEVE, "x", 1, &replies[i]);
        request.login = identities[i];
        TAP_ERR(SES_OK, ses_net_request(client, &request));
    }
    test_run(&t);
    uint32_t ok_cnt = 0;
    for (size_t i = 0; i <= SES_LOGINS_MAX; i++) {
        TAP_EQ(1, replies[i].cnt);
        ok_cnt += replies[i].err == SES_OK;
        ses_free(replies[i].body);
    }
    TAP_EQ(SES_LOGINS_MAX, ok_cnt);
    TAP_ERR(SES_ERR_FULL, replies[SES_LOGINS_MAX].err);
    test_end(&t, client);
    for (size_t i = 0; i <= SES_LOGINS_MAX; i++) {
        ses_identity_free(identities[i]);
    }
}

int main(void)
{
    TAP_RUN(test_accepted);
    TAP_RUN(test_forged_inbox);
    TAP_RUN(test_forged_signature);
    TAP_RUN(test_limit);
    return tap_done();
}
