/* Members that find no end, over real sockets: of lists and of proofs. They keep nobody from what
 * the others say. */
#include <string.h>
#include <unistd.h>

#include "base/tap.h"
#include "client/test_members.h"
#include "client/test_tmp.h"
#include "client/verify.h"

#define EPOCH 2000u
#define GENESIS_S 1790000000u
#define SOME 300u          /* questions: a host takes some more in a second */
#define PAGE_TARGETS 1024u /* made up, in one page */
#define MANY 70000u        /* leaves: more than are taken of one member */

static char root[] = "/tmp/ses-client-endless-XXXXXX";
static const struct ses_times times = {
    .genesis_s = GENESIS_S, .epoch_s = 3600, .settle_s = 600, .freeze_s = 330};

enum manner { HONEST, LISTS_FOR_EVER, MAKES_UP, PROVES_BIT_BY_BIT, PROVES_TOO_MUCH };
struct server {
    enum manner manner;
    const struct ses_client *client;
    struct ses_hash inbox;
    struct ses_forest *forest;
    unsigned asked, shown; /* questions; segments that proofs were given for */
};
struct scene {
    struct ses_client *client;
    struct members members;
    struct server servers[MEMBERS];
    struct ses_hash inbox, digest;
    struct ses_forest_pool *pool;
    struct ses_forest *empty, *large;
    struct verify *verify;
};

/* ---- lists ---- */
static struct ses_delete_target target_of(const struct server *s, uint32_t salt)
{
    struct ses_record_ids ids = {0};
    ids.header = (struct ses_record_header){
        .ttl_class = 2, .ts_ms = ses_client_now(s->client) / 1000 * 1000, .inbox = s->inbox};
    ses_put_u32(ids.payload_root.bytes, salt);
    struct ses_delete_target target;
    ses_delete_target_of(&target, &ids, 1000);
    return target;
}

static void answer_list(struct server *s, struct ses_call *call)
{
    struct ses_buf out = {0};
    struct ses_writer w;
    const bool honest = s->manner == HONEST;
    const struct ses_page page = {.flags = honest ? 0 : SES_PAGE_MORE,
                                  .record_cnt = honest                  ? 2
                                                : s->manner == MAKES_UP ? PAGE_TARGETS
                                                                        : 0};
    TAP_MUST(ses_buf_reserve(&out, SES_FRAME_BYTES_MAX) == SES_OK);
    ses_writer_init(&w, out.bytes, out.cap);
    ses_page_write(&w, &page);
    for (unsigned i = 0; i < page.record_cnt; i++) {
        const struct ses_delete_target target =
            target_of(s, honest ? i : 2 + s->asked * PAGE_TARGETS + i);
        ses_delete_target_write(&w, &target);
    }
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, out.bytes, w.len);
    ses_buf_free(&out);
}

/* ---- proofs ---- */
static void prove(const struct server *s, const struct ses_prove *ask, struct ses_buf *out)
{
    struct ses_forest_range ranges[SES_PROVE_SEGMENTS_MAX];
    struct ses_segment_id id;
    struct ses_hash digest;
    ses_inbox_digest(&digest, &ask->inbox);
    for (uint32_t i = 0; i < ask->segment_cnt; i++) {
        ses_segment_encode(id.bytes, &ask->segments[i]);
        ses_forest_range_slot(&ranges[i], &id, &digest);
    }
    const struct ses_forest_question q = {.ranges = ranges, .range_cnt = ask->segment_cnt};
    TAP_MUST(ses_forest_prove(s->forest, out, &q, NULL) == SES_OK);
}

static void answer_proof(struct server *s, struct ses_call *call, const struct ses_prove *ask)
{
    struct ses_buf proof = {0};
    struct ses_buf out = {0};
    struct ses_writer w;
    prove(s, ask, &proof);
    const bool fits = proof.len <= SES_PROVE_BYTES_MAX &&
                      (s->manner != PROVES_BIT_BY_BIT || ask->segment_cnt == 1);
    TAP_MUST(ses_buf_reserve(&out, proof.len + 256) == SES_OK);
    ses_writer_init(&w, out.bytes, out.cap);
    if (fits) {
        const struct ses_proof_answer answer = {
            .epoch = ask->epoch, .proof_bytes = (uint32_t)proof.len, .proof = proof.bytes};
        ses_proof_write(&w, &answer);
        s->shown += ask->segment_cnt;
    } else {
        const struct ses_refusal refusal = {.status = SES_ERR_TOO_LARGE};
        ses_refusal_write(&w, &refusal);
    }
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, out.bytes, w.len);
    ses_buf_free(&proof);
    ses_buf_free(&out);
}

static void serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct server *s = cookie;
    struct ses_prove ask;
    s->asked++;
    if (ses_prove_read(&ask, body, len) == SES_OK) {
        answer_proof(s, call, &ask);
    } else {
        answer_list(s, call);
    }
}

/* ---- the scene ---- */
static struct scene *begin(void)
{
    struct scene *s = ses_alloc(1, sizeof *s);
    const struct ses_client_config config = {
        .size = sizeof config, .profile = root, .request_timeout_ms = 60000};
    TAP_MUST(s != NULL && ses_client_open(&s->client, &config, NULL) == 0);
    members_join(&s->members, s->client);
    ses_random_fill(tap_random(), &s->inbox, sizeof s->inbox);
    ses_inbox_digest(&s->digest, &s->inbox);
    for (unsigned i = 0; i < MEMBERS; i++) {
        s->servers[i] = (struct server){.client = s->client, .inbox = s->inbox};
        TAP_MUST(ses_net_serve(s->members.list[i].net, SES_PROTO_RETRIEVE, serve, &s->servers[i]) ==
                 SES_OK);
    }
    return s;
}

static void end(struct scene *s)
{
    members_leave(&s->members);
    ses_client_close(s->client);
    ses_free(s);
}

/* The one that is asked first. */
static struct server *first(struct scene *s)
{
    struct ses_swarm_view view;
    unsigned i = 0;
    TAP_MUST(ses_client_view(s->client, &s->inbox, &view, NULL) == SES_OK);
    ses_client_order(s->client, &view);
    const struct ses_node_id *id = &s->client->registry.map.nodes[view.nodes[0]].row.node_id;
    while (i < MEMBERS && !ses_equal(&s->members.list[i].node_id, id, sizeof *id)) {
        i++;
    }
    TAP_MUST(i < MEMBERS);
    return &s->servers[i];
}

static void list_beside(struct scene *s)
{
    struct ses_listing listing = {0};
    TAP_ERR(SES_OK, ses_client_list(s->client, &s->inbox, 0, &listing, NULL));
    TAP_EQ(2, listing.answered);
    TAP_EQ(2, listing.cnt);
    ses_listing_free(&listing);
}

static void test_lists_for_ever(void)
{
    struct scene *s = begin();
    struct server *liar = first(s);
    liar->manner = LISTS_FOR_EVER;
    s->client->patience_ms = 1;
    list_beside(s);
    TAP_OK(liar->asked >= 1 && liar->asked < SOME);
    end(s);
}

/* The others' records still fit. */
static void test_makes_records_up(void)
{
    struct scene *s = begin();
    struct server *liar = first(s);
    liar->manner = MAKES_UP;
    list_beside(s);
    TAP_OK(liar->asked > SES_LISTING_MAX / MEMBERS / PAGE_TARGETS);
    end(s);
}

/* ---- a verify ---- */
static void fill_large(struct scene *s)
{
    const struct verify *v = s->verify;
    for (uint32_t i = 0; i < MANY; i++) {
        const struct ses_segment *segment = &v->segments[i % v->segment_cnt];
        struct ses_leaf leaf = {.ttl_class = segment->ttl_class,
                                .ts_ms = segment->hour * (uint64_t)3600000,
                                .size = 1000};
        memcpy(leaf.key.bytes, s->digest.bytes, 32);
        ses_put_u32(leaf.key.bytes + 32, i);
        TAP_MUST(ses_forest_put(s->large, &leaf) == SES_OK);
    }
}

static void commit(struct scene *s, unsigned member, struct ses_forest *forest)
{
    struct ses_complete_member *m = &s->verify->complete->members[member];
    struct ses_sum sum;
    ses_forest_sum(forest, &sum);
    m->committed = true;
    m->commitment = (struct ses_committed){.node_id = m->node_id,
                                           .epoch = EPOCH,
                                           .num_swarms = 1,
                                           .count = sum.count,
                                           .bytes = sum.bytes};
    ses_forest_root(forest, &m->commitment.root, 0, EPOCH);
    s->servers[member].forest = forest;
}

/* All committed to the empty set, which is as good as any, but for one. */
static void verify_begin(struct scene *s, bool with_large)
{
    struct verify *v = ses_alloc(1, sizeof *v);
    TAP_MUST(v != NULL);
    s->verify = v;
    v->client = s->client;
    v->inbox = s->inbox;
    v->epoch = EPOCH;
    v->complete = ses_alloc(1, sizeof *v->complete);
    TAP_MUST(v->complete != NULL);
    ses_complete_init(v->complete, &s->digest, EPOCH);
    v->segment_cnt = ses_complete_segments(v->segments, &times, EPOCH, 0);
    TAP_MUST(v->segment_cnt > SOME);
    TAP_MUST(ses_forest_pool_new(&s->pool, (size_t)256 << 20) == SES_OK);
    TAP_MUST(ses_forest_new(&s->empty, s->pool) == SES_OK);
    TAP_MUST(ses_forest_new(&s->large, s->pool) == SES_OK);
    if (with_large) {
        fill_large(s);
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        TAP_MUST(ses_complete_add(v->complete, &s->members.list[i].node_id) == SES_OK);
        commit(s, i, i == 1 && with_large ? s->large : s->empty);
    }
}

static void verify_end(struct scene *s)
{
    ses_complete_free(s->verify->complete);
    ses_free(s->verify->complete);
    ses_free(s->verify);
    ses_forest_free(s->empty);
    ses_forest_free(s->large);
    ses_forest_pool_free(s->pool);
    end(s);
}

static void others_proved(const struct scene *s)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        TAP_EQ(i == 1 ? SES_COMPLETE_SILENT : SES_COMPLETE_PROVEN,
               s->verify->complete->members[i].state);
    }
}

static void test_proves_bit_by_bit(void)
{
    struct scene *s = begin();
    verify_begin(s, false);
    s->servers[1].manner = PROVES_BIT_BY_BIT;
    s->verify->segment_cnt = SOME;
    TAP_ERR(SES_OK, ses_verify_proofs(s->verify));
    TAP_EQ(SOME, s->servers[1].shown);
    for (unsigned i = 0; i < MEMBERS; i++) {
        TAP_EQ(SES_COMPLETE_PROVEN, s->verify->complete->members[i].state);
    }
    verify_end(s);
    s = begin();
    verify_begin(s, false);
    s->servers[1].manner = PROVES_BIT_BY_BIT;
    s->client->patience_ms = 1;
    s->verify->segment_cnt = SES_PROVE_SEGMENTS_MAX; /* one question for the others */
    TAP_ERR(SES_OK, ses_verify_proofs(s->verify));
    others_proved(s);
    TAP_EQ(SES_ERR_TIMEOUT, s->verify->complete->members[1].err);
    TAP_OK(s->servers[1].shown < SES_PROVE_SEGMENTS_MAX);
    verify_end(s);
}

/* It committed to more than any inbox holds: that is no reason to judge nobody. */
static void test_proves_too_much(void)
{
    struct scene *s = begin();
    verify_begin(s, true);
    s->servers[1].manner = PROVES_TOO_MUCH;
    TAP_ERR(SES_OK, ses_verify_proofs(s->verify));
    others_proved(s);
    TAP_EQ(SES_ERR_FULL, s->verify->complete->members[1].err);
    TAP_OK(s->servers[1].shown > 0);
    verify_end(s);
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    SES_ASSERT(mkdtemp(root) != NULL);
    TAP_RUN(test_lists_for_ever);
    TAP_RUN(test_makes_records_up);
    TAP_RUN(test_proves_bit_by_bit);
    TAP_RUN(test_proves_too_much);
    test_tmp_remove(root);
    return tap_done();
}
