/* Long-lived flows: both directions, backpressure, ends. */
#include "network/test_net.h"

#define FRAME_BYTES 50000u
#define FRAME_CNT 400u

struct side {
    struct test_net *t;
    struct ses_flow *flow;
    uint32_t sent, received;
    uint32_t again_cnt, open_cnt, close_cnt, writable_cnt;
    uint64_t sum;
    enum ses_err why;
    struct side *other;
    bool stop_on_close, stop_on_accept;
    uint8_t frame[FRAME_BYTES];
};

static void side_send(struct side *s)
{
    while (s->sent < FRAME_CNT) {
        ses_put_u32(s->frame, s->sent);
        const enum ses_err err = ses_flow_send(s->flow, s->frame, sizeof s->frame);
        if (err == SES_ERR_AGAIN) {
            s->again_cnt++;
            return;
        }
        TAP_MUST(err == SES_OK);
        s->sent++;
    }
}

static void on_open(void *cookie, struct ses_flow *flow)
{
    struct side *s = cookie;
    TAP_OK(s->flow == flow || s->flow == NULL);
    s->flow = flow;
    s->open_cnt++;
    side_send(s);
}

static void on_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    struct side *s = cookie;
    TAP_OK(s->flow == flow);
    TAP_MUST(len == FRAME_BYTES);
    TAP_EQ(s->received, ses_get_u32(body)); /* in order, none lost */
    s->received++;
    if (s->received == FRAME_CNT && s->other->received == FRAME_CNT) {
        ses_flow_close(s->flow);
    }
}

static void on_writable(void *cookie, struct ses_flow *flow)
{
    struct side *s = cookie;
    (void)flow;
    s->writable_cnt++;
    side_send(s);
}

static void on_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    struct side *s = cookie;
    TAP_OK(s->flow == flow || s->flow == NULL);
    s->flow = NULL;
    s->close_cnt++;
    s->why = why;
    if (s->other == NULL || s->other->close_cnt > 0 || s->stop_on_close) {
        ses_uv_stop(s->t->uv);
    }
}

static const struct ses_flow_events events = {
    .on_open = on_open, .on_frame = on_frame, .on_writable = on_writable, .on_close = on_close};

static enum ses_err on_accept(void *cookie, struct ses_flow *flow,
                              const struct ses_flow_events **out, void **flow_cookie)
{
    struct side *s = cookie;
    s->flow = flow;
    *out = &events;
    *flow_cookie = s;
    if (s->stop_on_accept) {
        ses_uv_stop(s->t->uv);
    }
    side_send(s);
    return SES_OK;
}

static void sides_init(struct side *a, struct side *b, struct test_net *t)
{
    *a = (struct side){.t = t, .other = b};
    *b = (struct side){.t = t, .other = a};
}

static void test_both_ways_with_backpressure(void)
{
    struct test_net t;
    static struct side a, b;
    test_init(&t);
    sides_init(&a, &b, &t);
    struct test_node *na = test_node_add(&t);
    struct test_node *nb = test_node_add(&t);
    TAP_ERR(SES_OK, ses_net_accept(nb->net, SES_PROTO_REPLICATE, on_accept, &b));
    TAP_ERR(SES_OK,
            ses_net_open(na->net, &a.flow, &nb->target, SES_PROTO_REPLICATE, NULL, &events, &a));
    TAP_OK(!ses_flow_peer(a.flow)->is_node);
    TAP_ERR(SES_ERR_AGAIN, ses_flow_send(a.flow, a.frame, 1));
    test_run(&t);
    TAP_EQ(1, a.open_cnt);
    TAP_EQ(FRAME_CNT, a.received);
    TAP_EQ(FRAME_CNT, b.received);
    TAP_OK(a.again_cnt > 0 && a.writable_cnt > 0); /* 20 MB do not fit into 1 MiB */
    TAP_EQ(1, a.close_cnt);
    TAP_EQ(1, b.close_cnt);
    TAP_ERR(SES_OK, a.why);
    TAP_ERR(SES_OK, b.why);
    test_end(&t, NULL);
}

static void test_closed_before_open(void)
{
    struct test_net t;
    static struct side a;
    test_init(&t);
    a = (struct side){.t = &t};
    struct test_node *na = test_node_add(&t);
    struct test_node *nb = test_node_add(&t);
    TAP_ERR(SES_OK,
            ses_net_open(na->net, &a.flow, &nb->target, SES_PROTO_REPLICATE, NULL, &events, &a));
    ses_flow_close(a.flow);
    TAP_EQ(0, a.close_cnt); /* never from inside of the call */
    test_run(&t);
    TAP_EQ(1, a.close_cnt);
    TAP_EQ(0, a.open_cnt);
    TAP_ERR(SES_ERR_CLOSED, a.why);
    test_end(&t, NULL);
}

static void test_node_goes_away(void)
{
    struct test_net t;
    static struct side a, b;
    test_init(&t);
    sides_init(&a, &b, &t);
    a.sent = FRAME_CNT; /* nobody sends */
    b.sent = FRAME_CNT;
    struct test_node *na = test_node_add(&t);
    struct test_node *nb = test_node_add(&t);
    TAP_ERR(SES_OK, ses_net_accept(nb->net, SES_PROTO_REPLICATE, on_accept, &b));
    TAP_ERR(SES_OK,
            ses_net_open(na->net, &a.flow, &nb->target, SES_PROTO_REPLICATE, NULL, &events, &a));
    b.stop_on_accept = true;
    test_run(&t);
    TAP_MUST(b.flow != NULL);
    t.closing = 1;
    ses_host_close(nb->net, 0, test_closed, &t);
    a.stop_on_close = true;
    test_run(&t);
    TAP_EQ(1, a.close_cnt);
    TAP_ERR(SES_ERR_CLOSED, a.why);
    TAP_EQ(1, b.close_cnt);
    if (t.closing > 0) {
        test_run(&t);
    }
    ses_host_free(nb->net);
    nb->net = NULL;
    test_end(&t, NULL);
}

static void test_refused_without_service(void)
{
    struct test_net t;
    static struct side a;
    test_init(&t);
    a = (struct side){.t = &t, .sent = FRAME_CNT};
    struct test_node *na = test_node_add(&t);
    struct test_node *nb = test_node_add(&t);
    TAP_ERR(SES_OK,
            ses_net_open(na->net, &a.flow, &nb->target, SES_PROTO_REPLICATE, NULL, &events, &a));
    test_run(&t);
    TAP_EQ(1, a.close_cnt);
    TAP_ERR(SES_ERR_PEER, a.why);
    test_end(&t, NULL);
}

int main(void)
{
    TAP_RUN(test_both_ways_with_backpressure);
    TAP_RUN(test_closed_before_open);
    TAP_RUN(test_node_goes_away);
    TAP_RUN(test_refused_without_service);
    return tap_done();
}
