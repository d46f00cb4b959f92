/* Watching while members lie, over real sockets. */
#include <string.h>
#include <unistd.h>

#include "base/tap.h"
#include "client/test_members.h"
#include "client/test_tmp.h"

#define REFUSALS 6u

static char root[] = "/tmp/ses-client-watch-XXXXXX";

struct scene {
    struct ses_client *client;
    struct members members;
    unsigned refused, received;
};
static struct scene scene;

/* ---- the members ---- */
static void push(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    uint8_t frame[256];
    struct ses_writer w;
    const struct ses_refusal refusal = {.status = SES_ERR_WRONG_SWARM, .num_swarms = 1};
    (void)cookie;
    (void)body;
    (void)len;
    ses_writer_init(&w, frame, sizeof frame);
    ses_refusal_write(&w, &refusal);
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    TAP_MUST(ses_flow_send(flow, frame, w.len) == SES_OK);
    if (++scene.refused == REFUSALS) {
        ses_client_stop(scene.client);
    }
}

static void ignore(void *cookie, struct ses_flow *flow)
{
    (void)cookie;
    (void)flow;
}

static void ignore_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    (void)cookie;
    (void)flow;
    (void)why;
}

static const struct ses_flow_events pushing = {
    .on_open = ignore, .on_frame = push, .on_writable = ignore, .on_close = ignore_close};

static enum ses_err admit(void *cookie, struct ses_flow *flow,
                          const struct ses_flow_events **events, void **flow_cookie)
{
    (void)flow;
    *events = &pushing;
    *flow_cookie = NULL;
    (void)cookie;
    return SES_OK;
}

static void page(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    uint8_t frame[256];
    struct ses_writer w;
    struct ses_retrieve ask;
    const struct ses_page empty = {.flags = 0};
    (void)cookie;
    scene.received += ses_retrieve_read(&ask, body, len) == SES_OK && ask.ns == SES_NS_INBOX;
    ses_writer_init(&w, frame, sizeof frame);
    ses_page_write(&w, &empty);
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, frame, w.len);
}

/* ---- the client ---- */
static void begin(void)
{
    const struct ses_client_config config = {.size = sizeof config, .profile = root};
    TAP_MUST(ses_client_open(&scene.client, &config, NULL) == 0);
    TAP_MUST(ses_client_create(scene.client, "", NULL) == 0);
    TAP_MUST(ses_client_unlock(scene.client, NULL, NULL) == 0);
    members_join(&scene.members, scene.client);
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct ses_net *net = scene.members.list[i].net;
        TAP_MUST(ses_net_serve(net, SES_PROTO_RETRIEVE, page, NULL) == SES_OK);
        TAP_MUST(ses_net_accept(net, SES_PROTO_WATCH, admit, NULL) == SES_OK);
    }
}

static int ignore_message(void *cookie, const struct ses_client_message *message)
{
    (void)cookie;
    (void)message;
    return 0;
}

/* Who says again and again that others serve the inbox is believed once: each time everything
 * begins anew, and two members are asked for everything. */
static void test_liars_are_believed_once(void)
{
    begin();
    TAP_OK(ses_client_watch(scene.client, ignore_message, NULL, NULL) == 0);
    TAP_EQ(REFUSALS, scene.refused);
    TAP_EQ(2 + 2, scene.received); /* at first, and when they were believed */
    members_leave(&scene.members);
    ses_client_close(scene.client);
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    SES_ASSERT(mkdtemp(root) != NULL);
    TAP_RUN(test_liars_are_believed_once);
    test_tmp_remove(root);
    return tap_done();
}
