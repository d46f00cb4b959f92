/* Every allocation of a request fails once: the request ends with an answer or an error, nothing
 * hangs, nothing is lost. */
#include "network/test_net.h"

struct outcome {
    struct test_net *t;
    uint32_t cnt;
    enum ses_err err;
};

static void on_outcome(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct outcome *o = cookie;
    (void)body;
    (void)len;
    o->cnt++;
    o->err = err;
    ses_uv_stop(o->t->uv);
}

/* One login and request with the n-th allocation from then on failing. */
static enum ses_err ask_with_failure(uint64_t n, const struct ses_identity *identity)
{
    struct test_net t;
    struct outcome o = {.t = &t};
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_MUST(ses_net_serve(node->net, SES_PROTO_STORE, test_echo, NULL) == SES_OK);
    const struct ses_request request = {.target = &node->target,
                                        .proto = SES_PROTO_STORE,
                                        .login = identity,
                                        .body = (const uint8_t *)"hello",
                                        .len = 5,
                                        .deadline_ms = 1000,
                                        .on_reply = on_outcome,
                                        .cookie = &o};
    const struct ses_loop *loop = ses_uv_loop(t.uv);
    TAP_MUST(loop->timer_start(loop->ctx, &t.watchdog, 30000, test_watchdog, &t) == SES_OK);
    ses_alloc_fail_at(n);
    const enum ses_err err = ses_net_request(client, &request);
    if (err == SES_OK) {
        ses_uv_run(t.uv);
        TAP_EQ(1, o.cnt);
    } else {
        TAP_EQ(0, o.cnt);
    }
    ses_alloc_fail_at(0);
    loop->timer_stop(loop->ctx, t.watchdog);
    TAP_MUST(!t.timed_out);
    test_end(&t, client);
    return err == SES_OK ? o.err : err;
}

static void test_failing_allocations(void)
{
    struct ses_identity *identity = NULL;
    size_t failed_cnt = 0, in_a_row = 0;
    TAP_MUST(ses_crypto_init() == SES_OK);
    TAP_MUST(ses_identity_generate(&identity, tap_random()) == SES_OK);
    for (uint64_t n = 1; n < 400 && in_a_row < 40; n++) {
        const enum ses_err err = ask_with_failure(n, identity);
        failed_cnt += err != SES_OK;
        in_a_row = err == SES_OK ? in_a_row + 1 : 0;
    }
    TAP_OK(failed_cnt > 10); /* it did hit the allocations of the way */
    ses_identity_free(identity);
}

int main(void)
{
    TAP_RUN(test_failing_allocations);
    return tap_done();
}
