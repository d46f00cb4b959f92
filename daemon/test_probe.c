/* Probes: what a node signs, for whom, and what a tester believes. */
#include "base/tap.h"
#include "daemon/daemon_internal.h"
#include "daemon/test_world.h"

struct outcome {
    bool done;
    enum ses_err err;
};

static void on_done(void *cookie, enum ses_err err)
{
    struct outcome *o = cookie;
    TAP_OK(!o->done);
    o->done = true;
    o->err = err;
}

static bool is_done(void *cookie)
{
    return ((const struct outcome *)cookie)->done;
}

static const struct ses_map_node *row_of(struct world *w, uint32_t node)
{
    return ses_map_find(&w->map, &w->nodes[node].daemon->p.node_id);
}

/* Node 0 tests `target`, as the row says. */
static enum ses_err probe(struct world *w, const struct ses_map_node *target, uint64_t epoch)
{
    struct outcome o = {.done = false};
    const struct ses_probe_order order = {
        .epoch = epoch, .deadline_ms = 2000, .on_done = on_done, .cookie = &o};
    TAP_ERR(SES_OK, ses_probe_start(w->nodes[0].daemon, target, &order));
    TAP_MUST(world_until(w, is_done, &o, 10000));
    return o.err;
}

static void test_a_member_answers(void)
{
    struct world *w = world_new(2, 1);
    TAP_ERR(SES_OK, probe(w, row_of(w, 1), 5));
    TAP_ERR(SES_OK, probe(w, row_of(w, 1), 4)); /* its clock may be a little off */
    TAP_ERR(SES_OK, probe(w, row_of(w, 1), 6));
    TAP_ERR(SES_ERR_CLOCK, probe(w, row_of(w, 1), 7));
    TAP_ERR(SES_ERR_CLOCK, probe(w, row_of(w, 1), 3));
    TAP_ERR(SES_ERR_CLOCK, probe(w, row_of(w, 1), UINT64_MAX));
    TAP_EQ(3, ses_daemon_stats(w->nodes[1].daemon)->probes_answered);
    TAP_EQ(6, ses_daemon_stats(w->nodes[0].daemon)->probes_sent);
    TAP_EQ(3, ses_daemon_stats(w->nodes[0].daemon)->probes_failed);
    world_free(w);
}

static void test_who_is_not_there(void)
{
    struct world *w = world_new(3, 1);
    const struct ses_map_node target = *row_of(w, 1);
    struct ses_map_node other = target;
    other.keys.public_key = row_of(w, 2)->keys.public_key;
    TAP_ERR(SES_ERR_SIGNATURE, probe(w, &other, 5)); /* another key's signature is none */
    world_cut(w, 1, true);
    TAP_OK(probe(w, &target, 5) != SES_OK);
    world_cut(w, 1, false);
    TAP_ERR(SES_OK, probe(w, &target, 5));
    world_crash(w, 1);
    TAP_OK(probe(w, &target, 5) != SES_OK);
    world_free(w);
}

struct reading {
    bool ok;
    enum ses_err status; /* of a refusal */
    struct ses_dsa_sig signature;
};

/* A question in foreign words. */
static void ask(struct world *w, struct world_net *from, const struct ses_probe *m, size_t cut,
                struct reading *out)
{
    uint8_t body[64];
    struct ses_writer writer;
    struct world_reply reply;
    struct ses_refusal refusal;
    struct ses_reader r;
    ses_writer_init(&writer, body, sizeof body);
    ses_probe_write(&writer, m);
    world_ask(w, from, 1, SES_PROTO_PROBE, NULL, body, writer.len - cut, &reply);
    TAP_MUST(world_wait(w, &reply, 10000) && reply.err == SES_OK);
    TAP_ERR(SES_OK, ses_response_begin(&r, reply.body.bytes, reply.body.len, &out->ok, &refusal));
    out->status = refusal.status;
    if (out->ok) {
        TAP_ERR(SES_OK, ses_probe_answer_read(&out->signature, &r));
    }
    ses_buf_free(&reply.body);
}

static bool signs(struct world *w, const struct reading *got, const struct ses_probe *m,
                  uint32_t tester, uint32_t target)
{
    uint8_t message[SES_PROBE_MESSAGE_BYTES];
    const struct ses_dsa_pk *pk = &row_of(w, 1)->keys.public_key;
    ses_probe_message(message, &w->chain_params.chain_id, &w->nodes[tester].daemon->p.node_id,
                      &w->nodes[target].daemon->p.node_id, m);
    return ses_verify(pk, SES_DOMAIN_PROBE, message, sizeof message, &got->signature) == SES_OK;
}

/* An answer speaks to one tester, about one node, in one epoch, on one chain, once. */
static void test_what_is_signed(void)
{
    struct world *w = world_new(3, 1);
    struct world_net *thief = world_client(w, "192.0.2.1:1");
    struct reading got;
    struct ses_probe m = {.epoch = 5, .nonce = {{1, 2, 3}}};
    world_pose_as(w, thief, 2);
    ask(w, thief, &m, 0, &got);
    TAP_MUST(got.ok);
    TAP_OK(signs(w, &got, &m, 2, 1));
    TAP_OK(!signs(w, &got, &m, 0, 1)); /* node 0 cannot show it as its own test */
    TAP_OK(!signs(w, &got, &m, 2, 0));
    m.epoch = 6;
    TAP_OK(!signs(w, &got, &m, 2, 1));
    m.epoch = 5;
    m.nonce.bytes[31] ^= 1;
    TAP_OK(!signs(w, &got, &m, 2, 1));
    m.nonce.bytes[31] ^= 1;
    w->chain_params.chain_id.bytes[0] ^= 1;
    TAP_OK(!signs(w, &got, &m, 2, 1));
    w->chain_params.chain_id.bytes[0] ^= 1;
    world_free(w);
}

static void test_refusals(void)
{
    struct world *w = world_new(3, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct world_net *thief = world_client(w, "192.0.2.2:1");
    const struct ses_probe m = {.epoch = 5};
    struct reading got;
    ask(w, client, &m, 0, &got);
    TAP_OK(!got.ok && got.status == SES_ERR_UNAUTHORISED); /* signatures are for nodes */
    world_pose_as(w, thief, 2);
    ask(w, thief, &m, 1, &got);
    TAP_OK(!got.ok && got.status == SES_ERR_MALFORMED);
    for (unsigned i = 0; i < 8; i++) { /* rate 4, burst 8, no time passes to speak of */
        ask(w, thief, &m, 0, &got);
        TAP_OK(got.ok);
    }
    ask(w, thief, &m, 0, &got);
    TAP_OK(!got.ok && got.status == SES_ERR_RATE);
    TAP_ERR(SES_OK, probe(w, row_of(w, 1), 5)); /* another tester is not held up */
    world_run(w, 3000);
    ask(w, thief, &m, 0, &got);
    TAP_OK(got.ok);
    world_free(w);
}

/* Who stops while probes are under way waits for their outcome. */
static void test_stop_while_probing(void)
{
    struct world *w = world_new(2, 1);
    struct outcome o = {.done = false};
    const struct ses_map_node target = *row_of(w, 1);
    const struct ses_probe_order order = {
        .epoch = 5, .deadline_ms = 2000, .on_done = on_done, .cookie = &o};
    TAP_ERR(SES_OK, ses_probe_start(w->nodes[0].daemon, &target, &order));
    world_stop(w, 0, 0);
    TAP_OK(o.done);
    world_free(w);
}

int main(void)
{
    TAP_RUN(test_a_member_answers);
    TAP_RUN(test_who_is_not_there);
    TAP_RUN(test_what_is_signed);
    TAP_RUN(test_refusals);
    TAP_RUN(test_stop_while_probing);
    return tap_done();
}
