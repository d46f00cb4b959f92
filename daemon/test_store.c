/* Stores: who may enter, when an answer says "stored", and that debts are paid. */
#include <string.h>

#include "base/tap.h"
#include "daemon/test_post.h"

static void test_stored_by_all(void)
{
    struct world *w = world_new(6, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 5000, world_unix_ms(w));
    post_send(w, client, 2, &p, 10000, NULL, &a);
    TAP_MUST(a.err == SES_OK && a.ok);
    TAP_EQ(SES_STORED, a.stored.state);
    TAP_EQ(5, a.stored.quorum); /* floor(12 / 3) + 1 */
    TAP_OK(a.stored.node_cnt >= 5);
    TAP_BYTES(p.ids.id.bytes, a.stored.id.bytes, 32);
    world_run(w, 2000);
    TAP_EQ(6, post_copies(w, &p, 6));
    struct ses_daemon_status *s = ses_alloc(1, sizeof *s);
    ses_daemon_status(w->nodes[2].daemon, s);
    TAP_EQ(0, s->debts);
    ses_free(s);
    post_free(&p);
    world_free(w);
}

static void test_receipts_are_fetched_and_verify(void)
{
    struct world *w = world_new(4, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 300, world_unix_ms(w));
    post_send(w, client, 0, &p, 10000, NULL, &a);
    TAP_MUST(a.ok && a.stored.state == SES_STORED);
    world_run(w, 2000);
    uint8_t ask[64];
    struct ses_writer writer;
    ses_writer_init(&writer, ask, sizeof ask);
    ses_store_receipts_write(&writer, &p.ids.id);
    struct world_reply reply;
    world_ask(w, client, 0, SES_PROTO_STORE, NULL, ask, writer.len, &reply);
    TAP_MUST(world_wait(w, &reply, 10000) && reply.err == SES_OK);
    struct ses_reader r;
    struct ses_refusal refusal;
    bool ok = false;
    TAP_ERR(SES_OK, ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal));
    TAP_MUST(ok);
    const uint16_t cnt = ses_read_u16(&r);
    TAP_EQ(4, cnt);
    for (uint16_t i = 0; i < cnt; i++) {
        struct ses_receipt receipt;
        ses_receipt_read(&r, &receipt);
        const struct ses_map_node *node = ses_map_find(&w->map, &receipt.node_id);
        TAP_MUST(r.err == SES_OK && node != NULL);
        TAP_ERR(SES_OK,
                ses_receipt_verify(&receipt, &w->chain_params.chain_id, &node->keys.public_key));
        TAP_BYTES(p.ids.id.bytes, receipt.leaf.id.bytes, 32);
    }
    TAP_ERR(SES_OK, ses_reader_done(&r));
    ses_buf_free(&reply.body);
    post_free(&p);
    world_free(w);
}

/* `down` of 6 members are gone: 1 leaves W = 5, 2 do not; back, they get what they missed. */
static void down_and_back(uint32_t down, enum ses_store_state want)
{
    struct world *w = world_new(6, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    for (uint32_t i = 0; i < down; i++) {
        world_crash(w, 5 - i);
    }
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 5000, world_unix_ms(w));
    const uint64_t began_ms = w->now_ms;
    post_send(w, client, 0, &p, 3000, NULL, &a);
    TAP_MUST(a.err == SES_OK && a.ok);
    TAP_EQ(want, a.stored.state);
    TAP_EQ(6 - down, post_copies(w, &p, 6));
    if (want == SES_PENDING) {
        TAP_EQ(6 - down, a.stored.node_cnt);
        TAP_OK(w->now_ms - began_ms >= 3000);
    }
    for (uint32_t i = 0; i < down; i++) {
        world_start(w, 5 - i);
    }
    world_run(w, 120000);
    TAP_EQ(6, post_copies(w, &p, 6));
    post_free(&p);
    world_free(w);
}

static void test_one_of_six_down(void)
{
    down_and_back(1, SES_STORED);
}

static void test_two_of_six_down(void)
{
    down_and_back(2, SES_PENDING);
}

/* The member was cut off, not restarted. */
static void test_cut_and_back(void)
{
    struct world *w = world_new(6, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_hash inbox;
    struct post p[40];
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    world_cut(w, 3, true);
    for (int i = 0; i < 40; i++) {
        post_stranger(&p[i], w, &inbox, 700, world_unix_ms(w));
        post_send(w, client, (uint32_t)i % 3, &p[i], 5000, NULL, &a);
        TAP_EQ(SES_STORED, a.stored.state);
    }
    world_cut(w, 3, false);
    world_run(w, 150000);
    for (int i = 0; i < 40; i++) {
        TAP_EQ(6, post_copies(w, &p[i], 6));
        post_free(&p[i]);
    }
    world_free(w);
}

static void test_entry_restart_keeps_the_debt(void)
{
    struct world *w = world_new(6, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    for (uint32_t i = 3; i < 6; i++) {
        world_crash(w, i);
    }
    post_stranger(&p, w, &inbox, 5000, world_unix_ms(w));
    post_send(w, client, 0, &p, 1000, NULL, &a);
    TAP_EQ(SES_PENDING, a.stored.state);
    world_crash(w, 0);
    world_run(w, 5000);
    for (uint32_t i = 3; i < 6; i++) {
        world_start(w, i);
    }
    world_run(w, 20000);
    TAP_EQ(5, post_copies(w, &p, 6)); /* 1 and 2, and who reconciled with them; no receipts yet */
    world_start(w, 0);
    world_run(w, 120000);
    TAP_EQ(6, post_copies(w, &p, 6));
    /* a client that lost the answer asks again */
    post_send(w, client, 0, &p, 5000, NULL, &a);
    TAP_MUST(a.ok);
    TAP_EQ(SES_STORED, a.stored.state);
    post_free(&p);
    world_free(w);
}

static void test_retry_attaches(void)
{
    struct world *w = world_new(6, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_hash inbox;
    struct post p;
    struct world_reply first, second;
    struct post_answer a, b;
    post_inbox(w, &inbox, 1, 0);
    world_crash(w, 4);
    world_crash(w, 5);
    post_stranger(&p, w, &inbox, 1000, world_unix_ms(w));
    post_start(w, client, 0, &p, 20000, NULL, &first);
    world_run(w, 500);
    post_start(w, client, 0, &p, 20000, NULL, &second);
    world_run(w, 500);
    TAP_EQ(1, ses_daemon_stats(w->nodes[0].daemon)->attached);
    world_start(w, 4);
    post_finish(w, &first, &a);
    post_finish(w, &second, &b);
    TAP_EQ(SES_STORED, a.stored.state);
    TAP_EQ(SES_STORED, b.stored.state);
    post_free(&p);
    world_free(w);
}

static enum ses_err refused(struct world *w, uint32_t node, const struct post *p,
                            struct post_answer *a)
{
    struct world_net *client = world_client(w, "192.0.2.7:1000");
    post_send(w, client, node, p, 2000, NULL, a);
    return a->err != SES_OK ? a->err : a->ok ? SES_OK : a->refusal.status;
}

static void test_wrong_swarm(void)
{
    struct world *w = world_new(6, 2);
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    post_inbox(w, &inbox, 2, 1);
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w));
    TAP_ERR(SES_ERR_WRONG_SWARM, refused(w, 0, &p, &a));
    TAP_EQ(1, a.refusal.swarm);
    TAP_EQ(2, a.refusal.num_swarms);
    TAP_EQ(5, a.refusal.epoch);
    TAP_MUST(a.refusal.member_cnt == 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct ses_map_node *node = ses_map_find(&w->map, &a.refusal.members[i]);
        TAP_MUST(node != NULL);
        TAP_EQ(1, node->row.swarm);
    }
    TAP_ERR(SES_OK, refused(w, 1, &p, &a));
    TAP_EQ(SES_STORED, a.stored.state);
    TAP_EQ(0, post_copies(w, &p, 1));
    post_free(&p);
    world_free(w);
}

static void test_clock(void)
{
    struct world *w = world_new(3, 1);
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    const struct {
        int64_t shift_ms;
        enum ses_err want;
    } table[] = {
        {-122000, SES_ERR_CLOCK}, {-118000, SES_OK}, {9000, SES_OK}, {12000, SES_ERR_CLOCK}};
    for (size_t i = 0; i < SES_COUNT(table); i++) {
        post_stranger(&p, w, &inbox, 100,
                      (uint64_t)((int64_t)world_unix_ms(w) + table[i].shift_ms));
        TAP_ERR(table[i].want, refused(w, 0, &p, &a));
        if (table[i].want == SES_ERR_CLOCK) {
            TAP_OK(a.refusal.time_ms <= world_unix_ms(w) &&
                   a.refusal.time_ms + 1000 > world_unix_ms(w));
            TAP_EQ(0, post_copies(w, &p, 3));
        }
        post_free(&p);
    }
    world_free(w);
}

static void test_stamp(void)
{
    struct world *w = world_new(3, 1);
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 9000, world_unix_ms(w));
    const uint64_t good = p.put.stamp;
    while (ses_stamp_check(&p.ids.id, p.put.stamp, ses_stamp_bits(9000))) {
        p.put.stamp++;
    }
    TAP_ERR(SES_ERR_WORK, refused(w, 0, &p, &a));
    TAP_EQ(19, a.refusal.work_bits); /* 16 + floor(log2(9)) */
    TAP_EQ(0, post_copies(w, &p, 3));
    p.put.stamp = good;
    TAP_ERR(SES_OK, refused(w, 0, &p, &a));
    post_free(&p);
    /* a stranger's record may not live longer than a week */
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w));
    p.header[4] = 3;
    post_identify(&p);
    TAP_ERR(SES_OK, ses_stamp_find(&p.put.stamp, &p.ids.id, 16, 0, (uint64_t)1 << 32));
    TAP_ERR(SES_ERR_UNAUTHORISED, refused(w, 0, &p, &a));
    post_free(&p);
    world_free(w);
}

static void test_token(void)
{
    struct world *w = world_new(3, 1);
    struct ses_identity *bob = post_person(w, 1, 0);
    struct ses_hash inbox, token, other, hash;
    struct post p;
    struct post_answer a;
    post_inbox_of(&inbox, bob);
    ses_random_fill(w->random, token.bytes, 32);
    ses_random_fill(w->random, other.bytes, 32);
    post_token(&p, w, &inbox, &token, 4000);
    TAP_ERR(SES_ERR_UNAUTHORISED, refused(w, 0, &p, &a)); /* bob has published none */
    post_free(&p);
    ses_b(&hash, SES_TAG_TOKEN, SES_PARTS(SES_PART(token.bytes, 32)));
    post_owned(&p, w, bob, SES_NS_TOKEN, hash.bytes, 32);
    TAP_ERR(SES_OK, refused(w, 1, &p, &a));
    TAP_EQ(SES_STORED, a.stored.state);
    post_free(&p);
    world_run(w, 2000);
    post_token(&p, w, &inbox, &other, 4000);
    TAP_ERR(SES_ERR_UNAUTHORISED, refused(w, 0, &p, &a));
    p.put.token = token;
    TAP_ERR(SES_OK, refused(w, 0, &p, &a));
    TAP_EQ(SES_STORED, a.stored.state);
    post_free(&p);
    /* replaced: the old one is worth nothing */
    ses_b(&hash, SES_TAG_TOKEN, SES_PARTS(SES_PART(other.bytes, 32)));
    post_owned(&p, w, bob, SES_NS_TOKEN, hash.bytes, 32);
    TAP_ERR(SES_OK, refused(w, 1, &p, &a));
    post_free(&p);
    world_run(w, 2000);
    post_token(&p, w, &inbox, &token, 4000);
    TAP_ERR(SES_ERR_UNAUTHORISED, refused(w, 0, &p, &a));
    post_free(&p);
    ses_identity_free(bob);
    world_free(w);
}

static void test_forged_owner(void)
{
    struct world *w = world_new(3, 1);
    struct ses_identity *bob = post_person(w, 1, 0);
    struct ses_identity *eve = post_person(w, 1, 0);
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    post_owned(&p, w, bob, SES_NS_CARD, (const uint8_t *)"card", 4);
    TAP_ERR(SES_OK, refused(w, 0, &p, &a));
    p.payload[SES_OWNED_PREFIX_BYTES] ^= 1;
    post_identify(&p);
    TAP_ERR(SES_ERR_UNAUTHORISED, refused(w, 0, &p, &a));
    post_free(&p);
    /* eve's own keys and signature in bob's inbox */
    post_owned(&p, w, eve, SES_NS_CARD, (const uint8_t *)"card", 4);
    post_inbox_of(&inbox, bob);
    memcpy(p.header + 16, inbox.bytes, 32);
    TAP_ERR(SES_OK, ses_record_sign_owned(p.payload, p.header, &w->chain_params.chain_id, eve,
                                          (const uint8_t *)"card", 4, w->random));
    post_identify(&p);
    TAP_ERR(SES_ERR_UNAUTHORISED, refused(w, 0, &p, &a));
    TAP_EQ(0, post_copies(w, &p, 3));
    post_free(&p);
    /* the owner's way into a public inbox is a login, not a word */
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w));
    p.put.entry = SES_ENTRY_OWNER;
    TAP_ERR(SES_ERR_UNAUTHORISED, refused(w, 0, &p, &a));
    struct world_net *client = world_client(w, "192.0.2.9:1000");
    post_send(w, client, 0, &p, 2000, bob, &a);
    TAP_MUST(a.ok);
    TAP_EQ(SES_STORED, a.stored.state);
    post_free(&p);
    ses_identity_free(bob);
    ses_identity_free(eve);
    world_free(w);
}

static void test_quota(void)
{
    struct world *w = world_new(3, 1);
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    world_stop(w, 0, 0);
    w->nodes[0].quota_bytes = 400000; /* strangers share a quarter */
    world_start(w, 0);
    world_run(w, 5000);
    post_inbox(w, &inbox, 1, 0);
    uint32_t taken = 0;
    enum ses_err err = SES_OK;
    for (uint32_t i = 0; i < 20 && err == SES_OK; i++) {
        post_stranger(&p, w, &inbox, 20000, world_unix_ms(w));
        err = refused(w, 0, &p, &a);
        taken += err == SES_OK ? 1 : 0;
        post_free(&p);
    }
    TAP_ERR(SES_ERR_STRANGERS, err);
    TAP_OK(taken >= 3 && taken <= 5);
    /* counted at entry only: what another member took is replicated here all the same */
    post_stranger(&p, w, &inbox, 20000, world_unix_ms(w));
    TAP_ERR(SES_OK, refused(w, 1, &p, &a));
    TAP_EQ(SES_STORED, a.stored.state);
    world_run(w, 5000);
    TAP_OK(post_at(w, 0, &p));
    post_free(&p);
    world_free(w);
}

static void test_rate(void)
{
    struct world *w = world_new(1, 1);
    struct world_net *one = world_client(w, "192.0.2.1:1000");
    struct world_net *two = world_client(w, "192.0.2.2:1000");
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    world_stop(w, 0, 0);
    w->nodes[0].limits.store_rate = 5;
    world_start(w, 0);
    world_run(w, 100);
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 100, world_unix_ms(w));
    struct world_reply replies[12];
    for (int i = 0; i < 12; i++) {
        post_start(w, one, 0, &p, 1000, NULL, &replies[i]);
    }
    uint32_t late = 0;
    for (int i = 0; i < 12; i++) {
        post_finish(w, &replies[i], &a);
        late += !a.ok && a.refusal.status == SES_ERR_RATE ? 1 : 0;
    }
    TAP_EQ(2, late); /* a burst of ten */
    post_send(w, two, 0, &p, 1000, NULL, &a);
    TAP_OK(a.ok);
    world_run(w, 1000);
    post_send(w, one, 0, &p, 1000, NULL, &a);
    TAP_OK(a.ok);
    post_free(&p);
    world_free(w);
}

/* Checks of clients are limited; those of members go on. */
static void test_busy_with_clients(void)
{
    struct world *w = world_new(3, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_identity *bob = post_person(w, 1, 0);
    struct post p[4];
    struct world_reply replies[4];
    struct post_answer a;
    world_stop(w, 0, 0);
    w->nodes[0].limits.jobs_max = 2;
    world_start(w, 0);
    world_run(w, 10000);
    uint32_t stored = 0;
    uint32_t busy = 0;
    for (uint8_t i = 0; i < 4; i++) {
        post_owned(&p[i], w, bob, SES_NS_CARD, &i, 1);
        post_start(w, client, 0, &p[i], 5000, NULL, &replies[i]);
    }
    for (int i = 0; i < 4; i++) {
        post_finish(w, &replies[i], &a);
        stored += a.ok && a.stored.state == SES_STORED ? 1 : 0;
        busy += !a.ok && a.refusal.status == SES_ERR_UNAVAILABLE ? 1 : 0;
    }
    TAP_EQ(2, stored);
    TAP_EQ(2, busy);
    for (int i = 0; i < 4; i++) {
        post_send(w, client, 0, &p[i], 5000, NULL, &a); /* later there is room again */
        TAP_MUST(a.ok);
        TAP_EQ(SES_STORED, a.stored.state);
        post_free(&p[i]);
    }
    ses_identity_free(bob);
    world_free(w);
}

static void test_drain(void)
{
    struct world *w = world_new(6, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_hash inbox;
    struct post p, q;
    struct world_reply first;
    struct post_answer a, b;
    post_inbox(w, &inbox, 1, 0);
    world_crash(w, 4);
    world_crash(w, 5);
    post_stranger(&p, w, &inbox, 1000, world_unix_ms(w));
    post_stranger(&q, w, &inbox, 1000, world_unix_ms(w));
    post_start(w, client, 0, &p, 30000, NULL, &first);
    world_run(w, 200);
    const uint64_t began_ms = w->now_ms;
    world_stop(w, 0, 10000);
    TAP_OK(w->now_ms - began_ms < 11000);
    post_finish(w, &first, &a);
    TAP_MUST(a.err == SES_OK && a.ok);
    TAP_EQ(SES_PENDING, a.stored.state);
    world_start(w, 0);
    world_run(w, 3000);
    post_send(w, client, 0, &q, 1000, NULL, &b);
    TAP_OK(b.ok);
    post_free(&p);
    post_free(&q);
    world_free(w);
}

static void test_debts_beyond_the_table(void)
{
    struct world *w = world_new(4, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1000");
    struct ses_hash inbox;
    struct post p[60];
    struct post_answer a;
    world_stop(w, 0, 0);
    w->nodes[0].limits.debts_max = 10;
    world_start(w, 0);
    world_run(w, 5000);
    world_crash(w, 3);
    post_inbox(w, &inbox, 1, 0);
    for (int i = 0; i < 60; i++) {
        post_stranger(&p[i], w, &inbox, 600, world_unix_ms(w));
        post_send(w, client, 0, &p[i], 5000, NULL, &a);
        TAP_EQ(SES_STORED, a.stored.state);
    }
    TAP_OK(ses_daemon_stats(w->nodes[0].daemon)->debts_spilled > 0);
    world_start(w, 3);
    world_run(w, 240000);
    for (int i = 0; i < 60; i++) {
        TAP_EQ(4, post_copies(w, &p[i], 4));
        post_free(&p[i]);
    }
    world_free(w);
}

int main(void)
{
    TAP_RUN(test_stored_by_all);
    TAP_RUN(test_receipts_are_fetched_and_verify);
    TAP_RUN(test_one_of_six_down);
    TAP_RUN(test_two_of_six_down);
    TAP_RUN(test_cut_and_back);
    TAP_RUN(test_entry_restart_keeps_the_debt);
    TAP_RUN(test_retry_attaches);
    TAP_RUN(test_wrong_swarm);
    TAP_RUN(test_clock);
    TAP_RUN(test_stamp);
    TAP_RUN(test_token);
    TAP_RUN(test_forged_owner);
    TAP_RUN(test_quota);
    TAP_RUN(test_rate);
    TAP_RUN(test_busy_with_clients);
    TAP_RUN(test_drain);
    TAP_RUN(test_debts_beyond_the_table);
    return tap_done();
}
