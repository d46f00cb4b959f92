/* Proofs of an inbox: from a node's snapshot to a reader who believes nobody. */
#include <string.h>

#include "base/tap.h"
#include "daemon/test_post.h"
#include "messaging/messaging.h"

#define POSTS 5u

struct scene {
    struct world *w;
    struct world_net *phone;
    struct ses_identity *bob;
    struct ses_hash inbox, digest;
    uint64_t epoch;
    struct ses_times times;
};

static void scene_new(struct scene *s, uint32_t nodes, uint32_t swarms)
{
    memset(s, 0, sizeof *s);
    s->w = world_new(nodes, swarms);
    s->phone = world_client(s->w, "192.0.2.2:1");
    s->bob = post_person(s->w, swarms, 0);
    post_inbox_of(&s->inbox, s->bob);
    ses_inbox_digest(&s->digest, &s->inbox);
    struct world_net *alice = world_client(s->w, "192.0.2.1:1");
    for (unsigned i = 0; i < POSTS; i++) {
        struct post p;
        struct post_answer a;
        post_stranger(&p, s->w, &s->inbox, 500, world_unix_ms(s->w));
        post_send(s->w, alice, 0, &p, 10000, NULL, &a);
        TAP_MUST(a.ok && a.stored.state == SES_STORED);
        post_free(&p);
    }
    world_run(s->w, 2000);
    const struct ses_chain_params *c = &s->w->chain_params;
    s->times = (struct ses_times){c->genesis_timestamp, c->params.epoch_seconds,
                                  c->params.settle_seconds, c->params.freeze_seconds};
    s->epoch = ses_epoch_at(&s->times, world_unix_ms(s->w) / 1000) + 2;
}

static void scene_free(struct scene *s)
{
    ses_identity_free(s->bob);
    world_free(s->w);
}

struct taken {
    bool done;
    enum ses_err err;
    struct ses_snapshot snapshot;
};

static void on_snapshot(void *cookie, enum ses_err err, const struct ses_snapshot *snapshot)
{
    struct taken *t = cookie;
    t->done = true;
    t->err = err;
    t->snapshot = err == SES_OK ? *snapshot : (struct ses_snapshot){0};
}

static bool is_done(void *cookie)
{
    return ((struct taken *)cookie)->done;
}

/* The node seals the epoch and reads what it will commit to. */
static void take(struct scene *s, uint32_t node, struct ses_snapshot *out)
{
    struct taken t = {0};
    const uint32_t num_swarms = s->w->map.num_swarms;
    struct ses_store *store = s->w->nodes[node].store;
    TAP_ERR(SES_OK, ses_store_seal(store, (int64_t)s->epoch));
    TAP_ERR(SES_OK, ses_store_snapshot(store, s->epoch, world_row(s->w, node)->swarm, num_swarms,
                                       on_snapshot, &t));
    TAP_MUST(world_until(s->w, is_done, &t, 60000) && t.err == SES_OK);
    *out = t.snapshot;
}

/* The answer's bytes; the status if it is a refusal. */
static enum ses_err ask(struct scene *s, uint32_t node, const struct ses_identity *login,
                        const struct ses_prove *m, struct ses_buf *out)
{
    uint8_t body[64 + SES_PROVE_SEGMENTS_MAX * SES_SEGMENT_BYTES];
    struct ses_writer w;
    struct ses_reader r;
    struct ses_refusal refusal = {0};
    struct world_reply reply;
    bool ok = false;
    ses_writer_init(&w, body, sizeof body);
    ses_prove_write(&w, m);
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    world_ask(s->w, s->phone, node, SES_PROTO_RETRIEVE, login, body, w.len, &reply);
    TAP_MUST(world_wait(s->w, &reply, 60000) && reply.err == SES_OK);
    TAP_MUST(ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal) == SES_OK);
    if (ok) {
        struct ses_proof_answer answer;
        TAP_MUST(ses_proof_read(&answer, &r) == SES_OK);
        TAP_EQ(m->epoch, answer.epoch);
        TAP_ERR(SES_OK, ses_buf_append(out, answer.proof, answer.proof_bytes));
    }
    ses_buf_free(&reply.body);
    return refusal.status;
}

static void question(const struct scene *s, struct ses_prove *m)
{
    static struct ses_segment segments[SES_COMPLETE_SEGMENTS_MAX];
    memset(m, 0, sizeof *m);
    const uint32_t cnt =
        ses_complete_segments(segments, &s->times, s->epoch, world_unix_ms(s->w) - 7200000);
    TAP_MUST(cnt > 0 && cnt <= SES_PROVE_SEGMENTS_MAX);
    m->inbox = s->inbox;
    m->epoch = s->epoch;
    m->segment_cnt = (uint16_t)cnt;
    memcpy(m->segments, segments, cnt * sizeof segments[0]);
}

static void test_proven(void)
{
    struct scene s;
    struct ses_prove m;
    scene_new(&s, 3, 1);
    question(&s, &m);
    struct ses_complete *c = ses_alloc(1, sizeof *c);
    ses_complete_init(c, &s.digest, s.epoch);
    for (uint32_t node = 0; node < 3; node++) {
        struct ses_buf proof = {0};
        struct ses_snapshot snapshot;
        const struct ses_node_id id = world_row(s.w, node)->node_id;
        take(&s, node, &snapshot);
        TAP_EQ(POSTS, snapshot.count);
        TAP_ERR(SES_OK, ses_complete_add(c, &id));
        c->members[node].committed = true;
        c->members[node].commitment = (struct ses_committed){.epoch = s.epoch,
                                                             .swarm = snapshot.swarm,
                                                             .num_swarms = 1,
                                                             .root = snapshot.root,
                                                             .count = snapshot.count,
                                                             .bytes = snapshot.bytes};
        TAP_ERR(SES_OK, ask(&s, node, s.bob, &m, &proof));
        TAP_ERR(SES_OK,
                ses_complete_proof(c, node, m.segments, m.segment_cnt, proof.bytes, proof.len));
        c->members[node].state = SES_COMPLETE_PROVEN;
        ses_buf_free(&proof);
    }
    TAP_ERR(SES_OK, ses_complete_finish(c));
    TAP_EQ(POSTS, c->record_cnt);
    for (uint32_t node = 0; node < 3; node++) {
        TAP_OK(ses_complete_is(&c->members[node]));
    }
    ses_complete_free(c);
    ses_free(c);
    scene_free(&s);
}

static void test_refused(void)
{
    struct scene s;
    struct ses_prove m;
    struct ses_snapshot snapshot;
    struct ses_buf none = {0};
    scene_new(&s, 4, 2);
    question(&s, &m);
    take(&s, 0, &snapshot);
    take(&s, 1, &snapshot);
    TAP_ERR(SES_ERR_UNAUTHORISED, ask(&s, 0, NULL, &m, &none));
    TAP_ERR(SES_ERR_WRONG_SWARM, ask(&s, 1, s.bob, &m, &none));
    m.epoch = s.epoch + 1;
    TAP_ERR(SES_ERR_NOT_FOUND, ask(&s, 0, s.bob, &m, &none));
    m.epoch = UINT64_MAX; /* means "live" inside: nobody may ask for that */
    TAP_ERR(SES_ERR_NOT_FOUND, ask(&s, 0, s.bob, &m, &none));
    m.epoch = s.epoch;
    unsigned rated = 0;
    for (unsigned i = 0; i < 40; i++) {
        struct ses_buf proof = {0};
        rated += ask(&s, 0, s.bob, &m, &proof) == SES_ERR_RATE;
        ses_buf_free(&proof);
    }
    TAP_OK(rated > 0 && rated < 40);
    TAP_EQ(0, none.len);
    scene_free(&s);
}

int main(void)
{
    TAP_MUST(ses_crypto_init() == SES_OK);
    TAP_RUN(test_proven);
    TAP_RUN(test_refused);
    return tap_done();
}
