/* Members and clients that lie: forged receipts, forged records, frames of noise. */
#include <string.h>

#include "base/tap.h"
#include "daemon/test_post.h"

/* ---- a member that answers replication with forged receipts ---- */
enum lie {
    LIE_NONE, /* the control: honest receipts count */
    LIE_SIGNATURE,
    LIE_OTHER_ID,
    LIE_OTHER_NODE,
    LIE_OTHER_SWARM,
    LIE_OTHER_SEAT,
    LIE_FAR_EPOCH,
    LIE_INDEX,
    LIE_TRUNCATED,
    LIE_COUNT,
    LIE_CNT
};
struct liar {
    struct world *w;
    uint32_t node, victim;
    enum lie lie;
    uint32_t frames;
};

static void make_leaf(const struct liar *l, const struct ses_record_ids *ids,
                      struct ses_receipt_leaf *leaf)
{
    memset(leaf, 0, sizeof *leaf);
    leaf->id = ids->id;
    leaf->digest = ids->digest;
    leaf->segment = ids->segment;
    leaf->swarm = l->lie == LIE_OTHER_SWARM ? 1 : 0;
    leaf->swarm_from_epoch = l->lie == LIE_OTHER_SEAT ? 3 : 0;
    leaf->admit_epoch = l->lie == LIE_FAR_EPOCH ? 1000 : 6;
    leaf->time_ms = world_unix_ms(l->w);
    leaf->id.bytes[0] ^= l->lie == LIE_OTHER_ID ? 1 : 0;
}

static void forge(const struct liar *l, const struct ses_record_ids *ids,
                  struct ses_receipt *receipt)
{
    struct ses_target *target = ses_alloc(1, sizeof *target);
    struct ses_receipt_leaf leaf;
    make_leaf(l, ids, &leaf);
    world_target(l->w, l->lie == LIE_OTHER_NODE ? l->victim : l->node, target);
    SES_ASSERT(ses_receipts_sign(receipt, &leaf, 1, &l->w->chain_params.chain_id, &target->node_id,
                                 l->w->nodes[l->node].key, l->w->random) == SES_OK);
    receipt->signature.bytes[100] ^= l->lie == LIE_SIGNATURE ? 1 : 0;
    ses_free(target);
}

static void answer_one(const struct liar *l, struct ses_flow *flow, uint64_t seq,
                       const struct ses_record_ids *ids)
{
    static uint8_t out[16384];
    struct ses_writer w;
    struct ses_receipt receipt;
    const struct ses_replicate_result result = {
        .seq = seq, .record_cnt = (uint16_t)(l->lie == LIE_COUNT ? 2 : 1)};
    forge(l, ids, &receipt);
    const struct ses_receipt_group group = {
        .node_id = receipt.node_id, .n = receipt.n, .signature = receipt.signature, .cnt = 1};
    ses_writer_init(&w, out, sizeof out);
    ses_replicate_result_write(&w, &result);
    for (uint16_t i = 0; i < result.record_cnt; i++) {
        ses_write_u16(&w, SES_OK);
    }
    ses_write_u16(&w, 1);
    ses_receipt_group_write(&w, &group);
    ses_receipt_group_item_write(&w, l->lie == LIE_INDEX ? 7 : 0, &receipt);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    SES_ASSERT(ses_flow_send(flow, out, l->lie == LIE_TRUNCATED ? w.len - 5 : w.len) == SES_OK);
}

static void liar_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    struct liar *l = cookie;
    struct ses_reader r;
    struct ses_replicate_put put;
    struct ses_record record;
    struct ses_record_ids ids;
    l->frames++;
    SES_ASSERT(ses_replicate_put_read(&put, &r, body, len) == SES_OK && put.record_cnt == 1);
    ses_record_read(&r, &record);
    SES_ASSERT(ses_record_identify(&ids, &record) == SES_OK);
    answer_one(l, flow, put.seq, &ids);
}

static enum ses_err liar_accept(void *cookie, struct ses_flow *flow,
                                const struct ses_flow_events **events, void **flow_cookie)
{
    static const struct ses_flow_events liar_events = {.on_frame = liar_frame};
    (void)flow;
    *events = &liar_events;
    *flow_cookie = cookie;
    return SES_OK;
}

/* Four members, W = 3: entry and one honest member; one down, one lies. */
static void test_forged_receipts(void)
{
    struct world *w = world_new(4, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct ses_hash inbox;
    struct liar liar = {.w = w, .node = 3, .victim = 2};
    post_inbox(w, &inbox, 1, 0);
    world_crash(w, 2);
    world_stop(w, 3, 0);
    struct ses_net *net = world_net_of(w->nodes[3].net);
    SES_ASSERT(ses_net_accept(net, SES_PROTO_REPLICATE, liar_accept, &liar) == SES_OK);
    world_cut(w, 3, false);
    for (int lie = LIE_CNT - 1; lie >= 0; lie--) {
        struct post p;
        struct post_answer a;
        world_run(w, 200000); /* every backoff has passed: the liar is reached again */
        liar.lie = (enum lie)lie;
        liar.frames = 0;
        post_stranger(&p, w, &inbox, 400, world_unix_ms(w));
        post_send(w, client, 0, &p, 3000, NULL, &a);
        TAP_MUST(a.ok);
        if (!TAP_EQ(lie == LIE_NONE ? SES_STORED : SES_PENDING, a.stored.state) ||
            !TAP_EQ(lie == LIE_NONE ? 3 : 2, a.stored.node_cnt) || !TAP_OK(liar.frames > 0)) {
            printf("# lie %d\n", lie);
        }
        post_free(&p);
        /* the debt of this round must not stand in the next one's frame */
        liar.lie = LIE_NONE;
        world_run(w, 200000);
    }
    TAP_OK(ses_daemon_stats(w->nodes[0].daemon)->receipts_invalid >= 5);
    world_free(w);
}

/* ---- a member that brings what it must not ---- */
static enum ses_err offer(struct world *w, struct world_flow *f, const struct post *p, uint64_t seq)
{
    const size_t cap = SES_PAYLOAD_MAX + 256;
    uint8_t *frame = ses_alloc(cap, 1);
    struct ses_writer writer;
    const struct ses_replicate_put put = {.seq = seq, .record_cnt = 1};
    ses_writer_init(&writer, frame, cap);
    ses_replicate_put_write(&writer, &put);
    ses_record_write(&writer, &p->put.record);
    ses_write_u8(&writer, 0);
    SES_ASSERT(ses_flow_send(f->flow, frame, writer.len) == SES_OK);
    ses_free(frame);
    f->frame_cnt = 0;
    world_run(w, 1000);
    SES_ASSERT(f->frame_cnt == 1);
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_replicate_result result;
    bool ok = false;
    SES_ASSERT(ses_response_begin(&r, f->last.bytes, f->last.len, &ok, &refusal) == SES_OK && ok);
    SES_ASSERT(ses_replicate_result_read(&result, &r) == SES_OK);
    SES_ASSERT(result.seq == seq && result.record_cnt == 1);
    return ses_err_from_code(ses_read_u16(&r));
}

static void test_replication_validates(void)
{
    struct world *w = world_new(4, 2);
    struct world_net *thief = world_client(w, "192.0.2.66:1");
    struct ses_identity *bob = post_person(w, 2, 0);
    struct ses_hash inbox, other;
    struct world_flow f;
    struct post p;
    world_crash(w, 2); /* whose key it has */
    world_pose_as(w, thief, 2);
    world_open(w, thief, 0, SES_PROTO_REPLICATE, NULL, &f);
    world_run(w, 100);
    TAP_MUST(f.open && !f.closed);
    post_inbox(w, &inbox, 2, 0);
    post_inbox(w, &other, 2, 1);
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w));
    TAP_ERR(SES_OK, offer(w, &f, &p, 1)); /* no stamp, token or quota is asked for */
    TAP_ERR(SES_OK, offer(w, &f, &p, 2)); /* known already */
    TAP_OK(post_at(w, 0, &p));
    post_free(&p);
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w) - 7200000);
    TAP_ERR(SES_OK, offer(w, &f, &p, 3)); /* no lower bound of time */
    post_free(&p);
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w) + 60000);
    TAP_ERR(SES_ERR_CLOCK, offer(w, &f, &p, 4));
    post_free(&p);
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w) - 40ull * 86400000);
    TAP_ERR(SES_ERR_CLOCK, offer(w, &f, &p, 5)); /* expired */
    post_free(&p);
    post_stranger(&p, w, &other, 100, world_unix_ms(w));
    TAP_ERR(SES_ERR_WRONG_SWARM, offer(w, &f, &p, 6));
    post_free(&p);
    post_owned(&p, w, bob, SES_NS_CARD, (const uint8_t *)"card", 4);
    TAP_ERR(SES_OK, offer(w, &f, &p, 7));
    p.payload[SES_OWNED_PREFIX_BYTES + 1] ^= 1;
    post_identify(&p);
    TAP_ERR(SES_ERR_SIGNATURE, offer(w, &f, &p, 8));
    TAP_OK(!post_at(w, 0, &p));
    p.header[1] = SES_RECORD_TOMBSTONE;
    post_identify(&p);
    TAP_ERR(SES_ERR_MALFORMED, offer(w, &f, &p, 9));
    TAP_OK(!post_at(w, 0, &p));
    post_free(&p);
    ses_buf_free(&f.last);
    ses_identity_free(bob);
    world_free(w);
}

static void test_only_members_replicate(void)
{
    struct world *w = world_new(4, 2);
    struct world_net *anyone = world_client(w, "192.0.2.66:1");
    struct world_net *stranger = world_client(w, "192.0.2.67:1");
    struct world_flow f, g;
    world_pose_as(w, stranger, 1); /* a node of the other swarm */
    world_open(w, anyone, 0, SES_PROTO_REPLICATE, NULL, &f);
    world_open(w, stranger, 0, SES_PROTO_REPLICATE, NULL, &g);
    world_run(w, 500);
    TAP_OK(f.closed && !f.open);
    TAP_OK(g.closed && !g.open);
    world_free(w);
}

/* More frames than the protocol allows without an answer. */
static void test_flood(void)
{
    struct world *w = world_new(2, 1);
    struct world_net *thief = world_client(w, "192.0.2.66:1");
    struct ses_hash inbox;
    struct world_flow f;
    struct post p;
    uint8_t frame[1024];
    struct ses_writer writer;
    world_crash(w, 1); /* whose key it has */
    world_pose_as(w, thief, 1);
    world_open(w, thief, 0, SES_PROTO_REPLICATE, NULL, &f);
    world_run(w, 100);
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w));
    for (uint64_t seq = 0; seq < 20; seq++) {
        const struct ses_replicate_put put = {.seq = seq, .record_cnt = 1};
        ses_writer_init(&writer, frame, sizeof frame);
        ses_replicate_put_write(&writer, &put);
        ses_record_write(&writer, &p.put.record);
        ses_write_u8(&writer, 0);
        if (ses_flow_send(f.flow, frame, writer.len) != SES_OK) {
            break;
        }
    }
    world_run(w, 2000);
    TAP_OK(f.closed);
    TAP_OK(ses_daemon_stats(w->nodes[0].daemon)->limits_hit > 0);
    ses_buf_free(&f.last);
    post_free(&p);
    world_free(w);
}

/* One sender's volume is spread by answering later, and dialling again does not help. */
static void test_budget(void)
{
    struct world *w = world_new(2, 1);
    struct world_net *thief = world_client(w, "192.0.2.66:1");
    struct ses_hash inbox;
    struct post p;
    world_stop(w, 0, 0);
    w->nodes[0].capacity_bytes = 1; /* the least budget, 64 MiB an epoch */
    world_start(w, 0);
    world_run(w, 5000);
    world_crash(w, 1); /* whose key it has */
    world_pose_as(w, thief, 1);
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 90000, world_unix_ms(w));
    const size_t cap = 12 * 90200;
    uint8_t *frame = ses_alloc(cap, 1);
    struct ses_writer writer;
    uint32_t answered = 0;
    for (uint64_t seq = 0; seq < 90; seq++) {
        struct world_flow f;
        const struct ses_replicate_put put = {.seq = seq, .record_cnt = 10};
        ses_writer_init(&writer, frame, cap);
        ses_replicate_put_write(&writer, &put);
        for (int i = 0; i < 10; i++) {
            ses_record_write(&writer, &p.put.record);
            ses_write_u8(&writer, 0);
        }
        world_open(w, thief, 0, SES_PROTO_REPLICATE, NULL, &f);
        world_run(w, 20);
        TAP_MUST(f.flow != NULL);
        TAP_ERR(SES_OK, ses_flow_send(f.flow, frame, writer.len));
        world_run(w, 300);
        answered += f.frame_cnt;
        if (f.flow != NULL) {
            ses_flow_close(f.flow);
        }
        world_run(w, 20);
        ses_buf_free(&f.last);
    }
    TAP_OK(answered >= 70 && answered <= 78); /* 64 MiB / 900 KB, and what half a minute adds */
    ses_free(frame);
    post_free(&p);
    world_free(w);
}

/* ---- noise ---- */
static size_t noise(struct world *w, const uint8_t *seed, size_t seed_len, uint8_t *out, size_t cap)
{
    size_t len = ses_random_below(w->random, 3) == 0 ? ses_random_below(w->random, cap) : seed_len;
    ses_random_fill(w->random, out, cap);
    if (ses_random_below(w->random, 4) != 0) { /* near a good one */
        len = seed_len;
        memcpy(out, seed, seed_len);
        for (uint64_t i = ses_random_below(w->random, 4); i > 0; i--) {
            out[ses_random_below(w->random, len)] = (uint8_t)ses_random_u64(w->random);
        }
        len -= ses_random_below(w->random, 8) == 0 ? ses_random_below(w->random, len) : 0;
    }
    return len;
}

static void test_noise_to_handlers(void)
{
    struct world *w = world_new(2, 1);
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    uint8_t good[2048], bad[4096];
    struct ses_writer writer;
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 300, world_unix_ms(w));
    struct ses_store_put put = p.put;
    put.wait_ms = 100;
    ses_writer_init(&writer, good, sizeof good);
    ses_store_put_write(&writer, &put);
    static const enum ses_proto protos[] = {SES_PROTO_STORE, SES_PROTO_RETRIEVE, SES_PROTO_INFO,
                                            SES_PROTO_REGISTRY, SES_PROTO_DELETE};
    uint32_t answered = 0;
    for (int i = 0; i < 2000; i++) {
        char address[32];
        struct world_reply reply;
        snprintf(address, sizeof address, "198.51.100.%d:1", i % 250);
        struct world_net *client = i % 250 == 0 ? world_client(w, address) : w->nets;
        const size_t len = noise(w, good, writer.len, bad, sizeof bad);
        world_ask(w, client, 0, protos[ses_random_below(w->random, SES_COUNT(protos))], NULL, bad,
                  len, &reply);
        answered += world_wait(w, &reply, 60000) ? 1 : 0;
        ses_buf_free(&reply.body);
    }
    TAP_EQ(2000, answered);
    TAP_OK(ses_daemon_stats(w->nodes[0].daemon)->refused[SES_REFUSED_MALFORMED] > 500);
    world_run(w, 5000);
    post_send(w, world_client(w, "203.0.113.1:1"), 0, &p, 2000, NULL, &a);
    TAP_OK(a.ok); /* it still serves */
    post_free(&p);
    world_free(w);
}

static void test_noise_to_flows(void)
{
    struct world *w = world_new(2, 1);
    struct world_net *thief = world_client(w, "192.0.2.66:1");
    struct ses_hash inbox;
    struct post p;
    uint8_t good[2048], bad[4096];
    struct ses_writer writer;
    world_crash(w, 1); /* whose key it has */
    world_pose_as(w, thief, 1);
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 300, world_unix_ms(w));
    const struct ses_replicate_put put = {.seq = 1, .record_cnt = 1};
    ses_writer_init(&writer, good, sizeof good);
    ses_replicate_put_write(&writer, &put);
    ses_record_write(&writer, &p.put.record);
    ses_write_u8(&writer, 0);
    for (int i = 0; i < 400; i++) {
        struct world_flow f;
        const enum ses_proto proto = i % 2 == 0 ? SES_PROTO_REPLICATE : SES_PROTO_WATCH;
        world_open(w, thief, 0, proto, NULL, &f);
        world_run(w, 50);
        for (int j = 0; j < 3 && f.flow != NULL; j++) {
            const size_t len = noise(w, good, writer.len, bad, sizeof bad);
            const enum ses_err sent = ses_flow_send(f.flow, bad, len);
            (void)sent;
            world_run(w, 20);
        }
        if (f.flow != NULL) {
            ses_flow_close(f.flow);
        }
        world_run(w, 100);
        TAP_OK(f.closed);
        ses_buf_free(&f.last);
    }
    TAP_OK(!w->nodes[0].fatal);
    struct ses_daemon_status *s = ses_alloc(1, sizeof *s);
    ses_daemon_status(w->nodes[0].daemon, s);
    TAP_EQ(0, s->replicas);
    TAP_EQ(0, s->watchers);
    ses_free(s);
    post_free(&p);
    world_free(w);
}

int main(void)
{
    TAP_RUN(test_forged_receipts);
    TAP_RUN(test_replication_validates);
    TAP_RUN(test_only_members_replicate);
    TAP_RUN(test_flood);
    TAP_RUN(test_budget);
    TAP_RUN(test_noise_to_handlers);
    TAP_RUN(test_noise_to_flows);
    return tap_done();
}
