/* Deletes: who may, when an answer says "stored", and that they reach every member. */
#include <string.h>

#include "base/tap.h"
#include "daemon/daemon_internal.h"
#include "daemon/test_crop.h"

/* Bob and what strangers wrote to him. */
struct scene {
    struct world *w;
    struct world_net *alice;
    struct world_net *phone;
    struct ses_identity *bob;
    struct ses_hash inbox;
    struct post posts[3];
};

static void scene_post(struct scene *s, unsigned i)
{
    post_stranger(&s->posts[i], s->w, &s->inbox, 500, world_unix_ms(s->w));
}

static void scene_send(struct scene *s, unsigned i, uint32_t node)
{
    struct post_answer a;
    post_send(s->w, s->alice, node, &s->posts[i], 10000, NULL, &a);
    TAP_MUST(a.ok && a.stored.state == SES_STORED);
}

static void scene_new(struct scene *s, uint32_t nodes, uint32_t swarms)
{
    memset(s, 0, sizeof *s);
    s->w = world_new(nodes, swarms);
    s->alice = world_client(s->w, "192.0.2.1:1");
    s->phone = world_client(s->w, "192.0.2.2:1");
    s->bob = post_person(s->w, swarms, 0);
    post_inbox_of(&s->inbox, s->bob);
    for (unsigned i = 0; i < SES_COUNT(s->posts); i++) {
        scene_post(s, i);
    }
}

static void scene_free(struct scene *s)
{
    for (unsigned i = 0; i < SES_COUNT(s->posts); i++) {
        post_free(&s->posts[i]);
    }
    ses_identity_free(s->bob);
    world_free(s->w);
}

struct statement {
    uint8_t bytes[SES_DELETE_BYTES_MAX];
    size_t len;
    struct post record; /* what the nodes make of it; its payload is `bytes` */
};

/* Bob deletes the first `cnt` posts. */
static void statement_make(struct statement *st, struct scene *s, unsigned cnt, uint64_t time_ms)
{
    struct ses_delete_target targets[SES_COUNT(s->posts)];
    struct ses_record_header header;
    struct ses_delete m;
    for (unsigned i = 0; i < cnt; i++) {
        ses_delete_target_of(&targets[i], &s->posts[i].ids, s->posts[i].put.record.payload_bytes);
    }
    SES_ASSERT(ses_delete_sign(st->bytes, &st->len, targets, cnt, time_ms / 1000 * 1000,
                               &s->w->chain_params.chain_id, s->bob, s->w->random) == SES_OK);
    SES_ASSERT(ses_delete_read(&m, st->bytes, st->len) == SES_OK);
    ses_delete_header(&header, &m);
    memset(&st->record, 0, sizeof st->record);
    ses_record_header_encode(st->record.header, &header);
    st->record.put.record = (struct ses_record){st->record.header, st->bytes, (uint32_t)st->len};
    post_identify(&st->record);
}

static void statement_send(struct scene *s, uint32_t node, const struct statement *st,
                           struct post_answer *a)
{
    uint8_t body[SES_DELETE_BYTES_MAX + 64];
    struct ses_writer w;
    struct world_reply reply;
    const struct ses_delete_put put = {10000, (uint32_t)st->len, st->bytes};
    ses_writer_init(&w, body, sizeof body);
    ses_delete_put_write(&w, &put);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    world_ask(s->w, s->phone, node, SES_PROTO_DELETE, NULL, body, w.len, &reply);
    post_finish(s->w, &reply, a);
}

/* How many records the list of a node names; -1 if it refused. */
static int list(struct scene *s, uint32_t node, const struct ses_identity *login,
                struct ses_hash *ids, enum ses_err *refused)
{
    uint8_t body[128];
    struct ses_writer w;
    struct ses_reader r;
    struct ses_page page;
    struct world_reply reply;
    struct ses_refusal refusal = {0};
    bool ok = false;
    int cnt = -1;
    const struct ses_retrieve ask = {
        .inbox = s->inbox, .ns = SES_NS_INBOX, .record_max = 100, .bytes_max = 500000};
    ses_writer_init(&w, body, sizeof body);
    ses_list_write(&w, &ask);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    world_ask(s->w, s->phone, node, SES_PROTO_RETRIEVE, login, body, w.len, &reply);
    SES_ASSERT(world_wait(s->w, &reply, 60000) && reply.err == SES_OK);
    SES_ASSERT(ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal) == SES_OK);
    *refused = refusal.status;
    if (ok) {
        ses_list_page_read(&r, &page);
        cnt = page.record_cnt;
        for (int i = 0; i < cnt; i++) {
            struct ses_delete_target target;
            ses_delete_target_read(&r, &target);
            ids[i] = target.id;
        }
        SES_ASSERT(ses_reader_done(&r) == SES_OK);
    }
    ses_buf_free(&reply.body);
    return cnt;
}

static void test_list(void)
{
    struct scene s;
    struct ses_hash ids[100];
    enum ses_err refused;
    scene_new(&s, 3, 1);
    for (unsigned i = 0; i < 3; i++) {
        scene_send(&s, i, i);
    }
    world_run(s.w, 2000);
    TAP_EQ((uint64_t)-1, (uint64_t)list(&s, 1, NULL, ids, &refused));
    TAP_ERR(SES_ERR_UNAUTHORISED, refused);
    for (uint32_t node = 0; node < 3; node++) {
        TAP_EQ(3, (uint64_t)list(&s, node, s.bob, ids, &refused));
        for (unsigned i = 0; i < 3; i++) {
            unsigned found = 0;
            for (unsigned k = 0; k < 3; k++) {
                found += ses_equal(&ids[k], &s.posts[i].ids.id, 32) ? 1 : 0;
            }
            TAP_EQ(1, found);
        }
    }
    scene_free(&s);
}

static void test_stored_by_all(void)
{
    struct scene s;
    struct statement st;
    struct post_answer a;
    scene_new(&s, 6, 1);
    scene_send(&s, 0, 0);
    statement_make(&st, &s, 1, world_unix_ms(s.w));
    statement_send(&s, 2, &st, &a);
    TAP_MUST(a.err == SES_OK && a.ok);
    TAP_EQ(SES_STORED, a.stored.state);
    TAP_OK(a.stored.node_cnt >= 5);
    TAP_BYTES(st.record.ids.id.bytes, a.stored.id.bytes, 32);
    world_run(s.w, 2000);
    TAP_EQ(6, post_copies(s.w, &st.record, 6));
    statement_send(&s, 3, &st, &a); /* again, and by anybody: the same answer */
    TAP_OK(a.ok && a.stored.state == SES_STORED);
    scene_free(&s);
}

static void expect_listed(struct scene *s, int want)
{
    struct ses_hash ids[100];
    enum ses_err refused;
    for (uint32_t node = 0; node < s->w->node_cnt; node++) {
        TAP_EQ((uint64_t)want, (uint64_t)list(s, node, s->bob, ids, &refused));
    }
}

static void test_gone_everywhere(void)
{
    struct scene s;
    struct statement st;
    struct post_answer a;
    struct ses_refusal refusal;
    struct ses_cursor cursor = {{0}};
    scene_new(&s, 3, 1);
    for (unsigned i = 0; i < 3; i++) {
        scene_send(&s, i, i);
    }
    world_run(s.w, 2000);
    expect_listed(&s, 3);
    statement_make(&st, &s, 2, world_unix_ms(s.w));
    statement_send(&s, 1, &st, &a);
    TAP_OK(a.ok && a.stored.state == SES_STORED);
    world_run(s.w, 2000);
    expect_listed(&s, 1);
    TAP_EQ(1, (uint64_t)post_read(s.w, s.phone, 2, s.bob, &s.inbox, 0, &cursor, 10, &refusal));
    scene_free(&s);
}

/* The statement overtakes the message: the message comes as deleted. */
static void test_before_the_message(void)
{
    struct scene s;
    struct statement st;
    struct post_answer a;
    scene_new(&s, 3, 1);
    statement_make(&st, &s, 1, world_unix_ms(s.w));
    statement_send(&s, 0, &st, &a);
    TAP_OK(a.ok && a.stored.state == SES_STORED);
    world_run(s.w, 2000);
    scene_send(&s, 0, 1); /* it still gets its receipts */
    scene_send(&s, 1, 1);
    world_run(s.w, 2000);
    expect_listed(&s, 1);
    scene_free(&s);
}

/* A member that was away gets message and statement from the entry nodes' debts, in any order. */
static void test_after_an_absence(void)
{
    struct scene s;
    struct statement st;
    struct post_answer a;
    scene_new(&s, 4, 1);
    world_crash(s.w, 3);
    scene_send(&s, 0, 0);
    scene_send(&s, 1, 1);
    statement_make(&st, &s, 1, world_unix_ms(s.w));
    statement_send(&s, 2, &st, &a);
    TAP_OK(a.ok && a.stored.state == SES_STORED);
    world_run(s.w, 2000);
    world_start(s.w, 3);
    world_run(s.w, 120000);
    TAP_OK(post_at(s.w, 3, &st.record));
    expect_listed(&s, 1);
    /* what is deleted keeps nobody waiting for what entered at the same node later */
    post_free(&s.posts[2]);
    scene_post(&s, 2);
    scene_send(&s, 2, 0);
    world_run(s.w, 2000);
    TAP_OK(post_at(s.w, 3, &s.posts[2]));
    TAP_EQ(0, s.w->nodes[0].daemon->debts.cnt);
    scene_free(&s);
}

static void refused_with(struct scene *s, enum ses_err want, uint32_t node,
                         const struct statement *st)
{
    struct post_answer a;
    statement_send(s, node, st, &a);
    TAP_OK(a.err == SES_OK && !a.ok);
    TAP_ERR(want, a.refusal.status);
    TAP_EQ(0, post_copies(s->w, &st->record, s->w->node_cnt));
}

static void test_refused(void)
{
    struct scene s;
    struct statement st;
    struct ses_identity *mallory = NULL;
    scene_new(&s, 4, 2);
    statement_make(&st, &s, 2, world_unix_ms(s.w));
    st.bytes[st.len - 1] ^= 1;
    post_identify(&st.record);
    refused_with(&s, SES_ERR_UNAUTHORISED, 0, &st);
    TAP_ERR(SES_OK, ses_identity_generate(&mallory, s.w->random));
    memcpy(st.bytes + SES_DELETE_SIGNED_BYTES(2) - SES_DSA_PK_BYTES, mallory->dsa_pk.bytes,
           SES_DSA_PK_BYTES);
    refused_with(&s, SES_ERR_UNAUTHORISED, 0, &st);
    statement_make(&st, &s, 2, world_unix_ms(s.w));
    refused_with(&s, SES_ERR_WRONG_SWARM, 1, &st);
    statement_make(&st, &s, 2, world_unix_ms(s.w) + 60000);
    refused_with(&s, SES_ERR_CLOCK, 0, &st);
    st.len--;
    refused_with(&s, SES_ERR_MALFORMED, 0, &st);
    world_run(s.w, 300000);
    statement_make(&st, &s, 2, world_unix_ms(s.w) - 180000);
    refused_with(&s, SES_ERR_CLOCK, 0, &st);
    ses_identity_free(mallory);
    scene_free(&s);
}

/* A member cannot smuggle in a statement under another header, nor anybody by /session/store/1. */
static void test_not_as_a_store(void)
{
    struct scene s;
    struct statement st;
    struct post_answer a;
    scene_new(&s, 3, 1);
    statement_make(&st, &s, 1, world_unix_ms(s.w));
    st.record.put.entry = SES_ENTRY_OWNER;
    post_send(s.w, s.phone, 0, &st.record, 10000, s.bob, &a);
    TAP_OK(!a.ok);
    TAP_ERR(SES_ERR_MALFORMED, a.refusal.status);
    TAP_EQ(0, post_copies(s.w, &st.record, 3));
    scene_free(&s);
}

/* A member that was away finds the statement by comparing, though nobody owes it any more. */
static void test_away_while_deleted(void)
{
    struct scene s;
    struct statement st;
    struct post_answer a;
    struct ses_hash ids[100];
    enum ses_err refused = SES_OK;
    scene_new(&s, 5, 1);
    for (unsigned i = 0; i < 3; i++) {
        scene_send(&s, i, i);
    }
    world_run(s.w, 10000);
    world_crash(s.w, 4);
    statement_make(&st, &s, 1, world_unix_ms(s.w));
    statement_send(&s, 0, &st, &a);
    TAP_MUST(a.ok && a.stored.state == SES_STORED);
    world_crash(s.w, 0);
    world_start(s.w, 4);
    world_run(s.w, 60000);
    TAP_OK(list(&s, 4, s.bob, ids, &refused) == 2);
    TAP_OK(post_at(s.w, 4, &st.record));
    TAP_EQ(0, ses_daemon_stats(s.w->nodes[4].daemon)->sync_cut_off);
    scene_free(&s);
}

/* ---- as large as statements can be ---- */
#define LARGE 100u

/* Number `n`: of as many messages as one statement may name, which never came. `set` says of which.
 * Of two segments in turn: too few of either for bulk transfer. */
static void large_make(struct statement *st, struct scene *s, uint32_t n, uint32_t set)
{
    struct ses_delete_target *targets = ses_alloc(SES_DELETE_TARGETS_MAX, sizeof *targets);
    struct ses_record_header header = s->posts[0].ids.header;
    struct ses_delete m;
    SES_ASSERT(targets != NULL);
    header.ttl_class = (uint8_t)(1 + n % 2);
    ses_record_header_encode(st->record.header, &header);
    for (uint32_t i = 0; i < SES_DELETE_TARGETS_MAX; i++) {
        uint8_t payload[8];
        struct ses_record_ids ids;
        const struct ses_record record = {st->record.header, payload, sizeof payload};
        ses_put_u32(payload, set);
        ses_put_u32(payload + 4, i);
        SES_ASSERT(ses_record_identify(&ids, &record) == SES_OK);
        ses_delete_target_of(&targets[i], &ids, sizeof payload);
    }
    SES_ASSERT(ses_delete_sign(st->bytes, &st->len, targets, SES_DELETE_TARGETS_MAX,
                               header.ts_ms + n * 1000, &s->w->chain_params.chain_id, s->bob,
                               s->w->random) == SES_OK);
    SES_ASSERT(ses_delete_read(&m, st->bytes, st->len) == SES_OK);
    ses_delete_header(&header, &m);
    ses_record_header_encode(st->record.header, &header);
    st->record.put.record = (struct ses_record){st->record.header, st->bytes, (uint32_t)st->len};
    post_identify(&st->record);
    ses_free(targets);
}

static void on_large(void *cookie, const struct ses_put_result *result)
{
    SES_ASSERT(result->err == SES_OK);
    ++*(uint32_t *)cookie;
}

/* Into the store of a node, past the others. */
static void large_put(struct scene *s, uint32_t node, const struct statement *st, uint32_t *done)
{
    struct ses_deletion targets[SES_DELETIONS_MAX];
    struct ses_delete m;
    SES_ASSERT(ses_delete_read(&m, st->bytes, st->len) == SES_OK);
    for (uint16_t i = 0; i < m.target_cnt; i++) {
        targets[i] = (struct ses_deletion){.id = m.targets[i].id,
                                           .ts_ms = m.targets[i].header.ts_ms,
                                           .ns = m.targets[i].header.ns,
                                           .ttl_class = m.targets[i].header.ttl_class};
    }
    const struct ses_put put = {.record = st->record.put.record,
                                .ids = &st->record.ids,
                                .targets = targets,
                                .target_cnt = (uint8_t)m.target_cnt,
                                .on_done = on_large,
                                .cookie = done};
    SES_ASSERT(ses_store_put(s->w->nodes[node].store, &put) == SES_OK);
}

/* Receipts of the other two for what node 1 holds; whether they are good is no matter here. */
static void keep_receipts(struct world *w, const struct post *p)
{
    struct ses_receipt receipt = {.n = 1};
    receipt.leaf.id = p->ids.id;
    receipt.leaf.digest = p->ids.digest;
    receipt.leaf.segment = p->ids.segment;
    for (uint32_t i = 0; i < 3; i += 2) {
        receipt.node_id = world_row(w, i)->node_id;
        ses_random_fill(w->random, receipt.signature.bytes, sizeof receipt.signature.bytes);
        ses_store_keep_receipt(w->nodes[1].store, &receipt);
    }
}

/* What node 1 alone holds must come to the others, and nobody is blamed on the way. */
static void spread(bool same_targets)
{
    struct scene s;
    struct statement *all = ses_alloc(LARGE, sizeof *all);
    uint32_t done = 0;
    scene_new(&s, 3, 1);
    world_run(s.w, 200000);
    SES_ASSERT(all != NULL);
    for (uint32_t i = 0; i < LARGE; i++) {
        large_make(&all[i], &s, i, same_targets ? 0 : i);
        for (uint32_t node = 0; node < 3; node++) {
            if (node == 1 || (same_targets && i < 2)) { /* the leaves are everywhere then */
                large_put(&s, node, &all[i], &done);
            }
        }
    }
    world_run(s.w, 500);
    TAP_MUST(done == LARGE + (same_targets ? 4 : 0));
    for (uint32_t i = 0; i < LARGE; i++) {
        keep_receipts(s.w, &all[i].record);
    }
    world_run(s.w, 120000);
    for (uint32_t node = 0; node < 3; node++) {
        uint32_t held = 0;
        for (uint32_t i = 0; i < LARGE; i++) {
            held += post_at(s.w, node, &all[i].record) ? 1 : 0;
        }
        TAP_EQ(LARGE, held);
        TAP_EQ(0, ses_daemon_stats(s.w->nodes[node].daemon)->sync_cut_off);
    }
    ses_free(all);
    scene_free(&s);
}

/* Many in one answer, with many receipts: all that is begun in it must fit. */
static void test_large(void)
{
    spread(true);
}

/* Each leaves 64 leaves behind that have a name, and no record that could be fetched. */
static void test_many_leaves(void)
{
    spread(false);
}

/* One after the other, so that every run finds many names and fetches one record. */
static void test_leaves_again_and_again(void)
{
    struct scene s;
    struct statement *st = ses_alloc(1, sizeof *st);
    uint32_t done = 0;
    scene_new(&s, 3, 1);
    world_run(s.w, 200000);
    SES_ASSERT(st != NULL);
    for (uint32_t i = 0; i < 20; i++) {
        large_make(st, &s, i, i);
        large_put(&s, 1, st, &done);
        world_run(s.w, 10000);
    }
    world_run(s.w, 60000); /* the last one, too, may come in a later turn */
    TAP_OK(post_at(s.w, 0, &st->record) && post_at(s.w, 2, &st->record));
    for (uint32_t node = 0; node < 3; node++) {
        TAP_EQ(0, ses_daemon_stats(s.w->nodes[node].daemon)->sync_cut_off);
    }
    ses_free(st);
    scene_free(&s);
}

/* Whoever left the swarm before a delete knows nothing of it: what the others know as deleted they
 * do not lack, so it is neither offered to them nor kept for them. */
static void test_deleted_after_leaving(void)
{
    struct scene s;
    struct statement st;
    struct post_answer a;
    scene_new(&s, 8, 2);
    for (unsigned i = 0; i < 3; i++) {
        scene_send(&s, i, 2);
    }
    world_run(s.w, 10000);
    move(s.w, 0, 1);
    next_epoch(s.w);
    TAP_OK(post_at(s.w, 0, &s.posts[0]));
    statement_make(&st, &s, 1, world_unix_ms(s.w));
    statement_send(&s, 2, &st, &a);
    TAP_MUST(a.ok && a.stored.state == SES_STORED);
    next_epoch(s.w);
    world_run(s.w, 600000);
    TAP_EQ(3, stats(s.w, 0)->foreign_dropped);
    TAP_OK(!post_at(s.w, 0, &s.posts[1]));
    TAP_OK(post_at(s.w, 4, &s.posts[1]));
    scene_free(&s);
}

int main(void)
{
    TAP_MUST(ses_crypto_init() == SES_OK);
    TAP_RUN(test_list);
    TAP_RUN(test_stored_by_all);
    TAP_RUN(test_gone_everywhere);
    TAP_RUN(test_before_the_message);
    TAP_RUN(test_after_an_absence);
    TAP_RUN(test_refused);
    TAP_RUN(test_not_as_a_store);
    TAP_RUN(test_away_while_deleted);
    TAP_RUN(test_large);
    TAP_RUN(test_many_leaves);
    TAP_RUN(test_leaves_again_and_again);
    TAP_RUN(test_deleted_after_leaving);
    return tap_done();
}
