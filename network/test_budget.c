/* A stranger that takes no answers, or sends frames without an end, gets its share of the host's
 * memory and no more, and the others are served. */
#include <sys/socket.h>

#include "network/host.h"
#include "network/test_net.h"

#define ANSWER_BYTES 262144u
#define ASKS 64u
#define BUDGET_BYTES (8u << 20)

struct desk {
    struct test_net *t;
    struct ses_call *calls[ASKS];
    uint32_t cnt;
};

static void collect(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct desk *desk = cookie;
    (void)body;
    (void)len;
    if (desk->cnt == ASKS) { /* of the client that is not greedy */
        ses_call_reply(call, (const uint8_t *)"fine", 4);
        return;
    }
    desk->calls[desk->cnt++] = call;
    if (desk->cnt == ASKS) {
        ses_uv_stop(desk->t->uv);
    }
}

/* The kernel keeps little, so that what is not taken stays with the host. */
static void narrow(struct ses_net *net, int option)
{
    const int bytes = 4096;
    for (struct ses_conn *conn = ses_host_of(net)->conns; conn != NULL; conn = conn->next) {
        TAP_MUST(setsockopt(conn->fd, SOL_SOCKET, option, &bytes, sizeof bytes) == 0);
    }
}

static void ask_greedily(struct test_net *t, struct ses_net *greedy, const struct ses_target *to)
{
    static struct test_reply replies[ASKS];
    static uint32_t left = UINT32_MAX;
    for (size_t i = 0; i < ASKS; i++) {
        replies[i] = (struct test_reply){.t = t, .left = &left};
        const struct ses_request request = test_request(to, SES_PROTO_STORE, "x", 1, &replies[i]);
        TAP_MUST(ses_net_request(greedy, &request) == SES_OK);
    }
    test_run(t);
}

static void test_answers_not_taken(void)
{
    struct test_net t;
    static uint8_t answer[ANSWER_BYTES];
    struct desk desk = {.t = &t};
    struct test_reply reply;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_host *host = ses_host_of(node->net);
    struct ses_net *greedy = test_client(&t);
    struct ses_net *modest = test_client(&t);
    host->queued_max = BUDGET_BYTES / SES_CHAIN_CHUNK_BYTES;
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_STORE, collect, &desk));
    ask_greedily(&t, greedy, &node->target);
    narrow(greedy, SO_RCVBUF);
    narrow(node->net, SO_SNDBUF);
    for (struct ses_conn *c = ses_host_of(greedy)->conns; c != NULL; c = c->next) {
        (void)uv_poll_stop(&c->poll); /* it reads no more */
    }
    struct ses_host_stats before, after;
    ses_host_stats(node->net, &before);
    for (size_t i = 0; i < ASKS; i++) {
        ses_call_reply(desk.calls[i], answer, sizeof answer);
    }
    ses_host_stats(node->net, &after);
    const size_t over = ANSWER_BYTES / SES_CHAIN_CHUNK_BYTES + ASKS; /* the last, and refusals */
    TAP_OK(host->pool.used_cnt <= host->queued_max / 2 + over);
    TAP_OK(after.refused - before.refused > ASKS / 3);
    const struct ses_request request = test_request(&node->target, SES_PROTO_STORE, "x", 1, NULL);
    TAP_ERR(SES_OK, test_ask(&t, modest, &request, &reply));
    TAP_EQ(4, reply.len);
    ses_free(reply.body);
    ses_host_free(greedy);
    test_end(&t, modest);
}

static void nothing(struct ses_stream *st)
{
    (void)st;
}

static enum ses_err ignore(struct ses_stream *st, const uint8_t *bytes, size_t len)
{
    (void)st;
    (void)bytes;
    (void)len;
    return SES_OK;
}

static const struct ses_stream_ops half_ops = {.on_bytes = ignore, .on_gone = nothing};

/* All but the last byte of a frame, on each of ASKS streams. */
static void begin_frames(struct ses_net *greedy)
{
    static uint8_t body[131072];
    uint8_t head[SES_FRAME_HEAD_MAX];
    struct ses_conn *conn = ses_host_of(greedy)->conns;
    TAP_MUST(conn != NULL);
    for (size_t i = 0; i < ASKS; i++) {
        struct ses_stream *st = NULL;
        TAP_MUST(ses_stream_open(&st, conn, ses_proto_id(SES_PROTO_STORE), &half_ops, NULL, 4096) ==
                 SES_OK);
        const size_t head_len = ses_frame_head(head, sizeof body);
        TAP_MUST(ses_stream_send(st, head, head_len) == SES_OK);
        TAP_MUST(ses_stream_send(st, body, sizeof body - 1) == SES_OK);
    }
}

static void wait_over(void *cookie)
{
    ses_uv_stop(cookie);
}

static void test_frames_without_end(void)
{
    struct test_net t;
    struct test_reply reply;
    struct ses_timer *timer = NULL;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_host *host = ses_host_of(node->net);
    struct ses_net *greedy = test_client(&t);
    struct ses_net *modest = test_client(&t);
    host->held_max = BUDGET_BYTES / 2;
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_STORE, test_echo, NULL));
    const struct ses_request request = test_request(&node->target, SES_PROTO_STORE, "x", 1, NULL);
    TAP_ERR(SES_OK, test_ask(&t, greedy, &request, &reply));
    ses_free(reply.body);
    begin_frames(greedy);
    const struct ses_loop *loop = ses_uv_loop(t.uv);
    TAP_MUST(loop->timer_start(loop->ctx, &timer, 500, wait_over, t.uv) == SES_OK);
    test_run(&t);
    TAP_OK(host->held_bytes > 0);
    TAP_OK(host->held_bytes <= host->held_max / 2 + 131072);
    static uint8_t large[12000]; /* comes in pieces and is held for a moment */
    const struct ses_request other =
        test_request(&node->target, SES_PROTO_STORE, large, sizeof large, NULL);
    TAP_ERR(SES_OK, test_ask(&t, modest, &other, &reply));
    TAP_EQ(sizeof large, reply.len);
    ses_free(reply.body);
    ses_host_free(greedy);
    TAP_EQ(0, t.closing);
    test_end(&t, modest);
}

int main(void)
{
    TAP_RUN(test_answers_not_taken);
    TAP_RUN(test_frames_without_end);
    return tap_done();
}
