/* session verify among members that lie: whatever they answer, a member counts as proven only with
 * exactly the leaves that it committed to, and the comparison and its report hold for all others.
 *
 * Input: u8 what, then as `what` says; one for each question, member after member, honest answers
 * when it ends. What: 0 honest; 1 the answer is u16 length and bytes; 2 an honest one, over which
 * from u16 on u16 length and bytes are laid; 3 silence; 4 too much was asked for. */
#include <string.h>

#include "client/verify.h"
#include "fuzz/fuzz.h"

#define EPOCH 20u
#define SWARM 5u
#define GENESIS_S 1790000000u
#define MEMBERS 3u
#define OWN 12u    /* records of the inbox; each member lacks one, and shows one as deleted */
#define OTHERS 40u /* records of other inboxes */
#define HOURS 6u   /* that the records lie in, and that are asked for */
#define QUESTION_MAX 16u

static const struct ses_times times = {
    .genesis_s = GENESIS_S, .epoch_s = 3600, .settle_s = 600, .freeze_s = 330};

static struct {
    struct ses_forest_pool *pool;
    struct ses_forest *forests[MEMBERS];
    struct ses_client client;
    struct ses_map_node nodes[MEMBERS];
    struct ses_hash digest;
} world;

/* ---- the world ---- */
static void make_leaf(struct ses_leaf *leaf, const struct ses_hash *digest, uint32_t i)
{
    *leaf = (struct ses_leaf){.ttl_class = (uint8_t)(2 + i % 3), .size = 100 + i};
    leaf->ts_ms = ses_epoch_start_ms(&times, EPOCH) - 3600000u * (i % (HOURS - 1) + 1);
    memcpy(leaf->key.bytes, digest->bytes, 32);
    memset(leaf->key.bytes + 32, (int)(i + 1), 32);
}

static void plant(uint32_t member)
{
    struct ses_leaf leaf;
    for (uint32_t i = 0; i < OTHERS; i++) {
        struct ses_hash other = {{(uint8_t)(i * 6)}};
        make_leaf(&leaf, &other, i);
        SES_ASSERT(ses_forest_put(world.forests[member], &leaf) == SES_OK);
    }
    for (uint32_t i = 0; i < OWN; i++) {
        make_leaf(&leaf, &world.digest, i);
        leaf.kind = i == member + MEMBERS;
        leaf.size = leaf.kind == 1 ? 0 : leaf.size;
        if (i != member) {
            SES_ASSERT(ses_forest_put(world.forests[member], &leaf) == SES_OK);
        }
    }
}

static void at_end(void)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        ses_forest_free(world.forests[i]);
    }
    ses_forest_pool_free(world.pool);
}

static void setup(void)
{
    struct ses_hash inbox = {{0x50}};
    SES_ASSERT(ses_forest_pool_new(&world.pool, 8u << 20) == SES_OK && atexit(at_end) == 0);
    ses_inbox_digest(&world.digest, &inbox);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        world.nodes[i].row.node_id.bytes[0] = (uint8_t)(i + 1);
        SES_ASSERT(ses_forest_new(&world.forests[i], world.pool) == SES_OK);
        plant(i);
    }
    world.client.patience_ms = UINT32_MAX;
    world.client.registry.map =
        (struct ses_map){.num_swarms = 8, .node_cnt = MEMBERS, .nodes = world.nodes};
}

static void add_member(struct verify *v, uint32_t i)
{
    struct ses_complete_member *m = &v->complete->members[i];
    struct served *s = &v->served[i];
    struct ses_sum sum;
    SES_ASSERT(ses_complete_add(v->complete, &world.nodes[i].row.node_id) == SES_OK);
    ses_forest_sum(world.forests[i], &sum);
    m->committed = true;
    m->commitment = (struct ses_committed){.node_id = m->node_id,
                                           .epoch = EPOCH,
                                           .swarm = SWARM,
                                           .num_swarms = 8,
                                           .count = sum.count,
                                           .bytes = sum.bytes};
    ses_forest_root(world.forests[i], &m->commitment.root, SWARM, EPOCH);
    s->ids = ses_alloc(OWN, sizeof *s->ids);
    SES_ASSERT(s->ids != NULL);
    s->listed = true;
    for (s->cnt = 0; s->cnt < OWN - (i == MEMBERS - 1); s->cnt++) { /* it keeps the last one back */
        memset(s->ids[s->cnt].bytes, (int)(s->cnt + 1), 32);
    }
}

static void begin(struct verify *v)
{
    v->client = &world.client;
    v->complete = ses_alloc(1, sizeof *v->complete);
    SES_ASSERT(v->complete != NULL);
    v->epoch = EPOCH;
    v->swarm = SWARM;
    v->wanted = 2;
    v->times = times;
    v->digest = world.digest;
    v->now_ms = ses_epoch_start_ms(&times, EPOCH + 1);
    v->segment_cnt = ses_complete_segments(v->segments, &times, EPOCH,
                                           ses_epoch_start_ms(&times, EPOCH) - HOURS * 3600000u);
    ses_complete_init(v->complete, &world.digest, EPOCH);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        add_member(v, i);
        v->asking[i].most = QUESTION_MAX;
    }
}

/* ---- answers ---- */
static void honest(struct ses_buf *out, const struct verify *v, uint32_t member)
{
    const struct asking *asking = &v->asking[member];
    struct ses_forest_range *ranges = ses_alloc(asking->cnt, sizeof *ranges);
    struct ses_buf proof = {0};
    struct ses_writer w;
    SES_ASSERT(ranges != NULL);
    for (uint32_t i = 0; i < asking->cnt; i++) {
        struct ses_segment_id id;
        ses_segment_encode(id.bytes, &v->segments[asking->at + i]);
        ses_forest_range_slot(&ranges[i], &id, &v->digest);
    }
    const struct ses_forest_question q = {.ranges = ranges, .range_cnt = asking->cnt};
    SES_ASSERT(ses_forest_prove(world.forests[member], &proof, &q, NULL) == SES_OK);
    const struct ses_proof_answer answer = {
        .epoch = EPOCH, .proof_bytes = (uint32_t)proof.len, .proof = proof.bytes};
    SES_ASSERT(ses_buf_reserve(out, proof.len + 64) == SES_OK);
    ses_writer_init(&w, out->bytes, out->cap);
    ses_proof_write(&w, &answer);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    out->len = w.len;
    ses_buf_free(&proof);
    ses_free(ranges);
}

static void overlay(struct ses_buf *answer, struct ses_reader *r)
{
    const size_t at = ses_read_u16(r) % answer->len;
    const uint16_t len = ses_read_u16(r);
    const uint8_t *bytes = ses_read_view(r, len);
    if (r->err == SES_OK && len > 0) {
        memcpy(answer->bytes + at, bytes, len < answer->len - at ? len : answer->len - at);
    }
}

static void refuse(struct ses_buf *out)
{
    const struct ses_refusal refusal = {.status = SES_ERR_TOO_LARGE};
    struct ses_writer w;
    SES_ASSERT(ses_buf_reserve(out, 4096) == SES_OK);
    ses_writer_init(&w, out->bytes, out->cap);
    ses_refusal_write(&w, &refusal);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    out->len = w.len;
}

static void answer(struct verify *v, uint32_t member, struct ses_reader *r)
{
    const uint8_t what = ses_read_u8(r) % 5;
    struct ses_buf out = {0};
    if (what == 1) {
        const uint16_t len = ses_read_u16(r);
        const uint8_t *bytes = ses_read_view(r, len);
        SES_ASSERT(r->err != SES_OK || ses_buf_append(&out, bytes, len) == SES_OK);
    } else if (what == 4) {
        refuse(&out);
    } else {
        honest(&out, v, member);
    }
    if (what == 2) {
        overlay(&out, r);
    }
    const enum ses_err told = what == 3 ? SES_ERR_TIMEOUT : SES_OK;
    SES_ASSERT(ses_verify_answer(v, member, told, out.bytes, out.len) == SES_OK);
    ses_buf_free(&out);
}

static void ask(struct verify *v, struct ses_reader *r)
{
    uint8_t body[2048];
    struct ses_writer w;
    unsigned questions = 0;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        for (;;) {
            ses_writer_init(&w, body, sizeof body);
            if (ses_verify_ask(v, i, &w) == NULL) {
                break;
            }
            SES_ASSERT(ses_writer_done(&w) == SES_OK);
            SES_ASSERT(++questions <= MEMBERS * (SES_COMPLETE_SEGMENTS_MAX + 10));
            answer(v, i, r);
        }
    }
}

/* ---- what came of it ---- */
static void check_proven(const struct verify *v, uint32_t member)
{
    const struct ses_complete_member *m = &v->complete->members[member];
    SES_ASSERT((v->complete->proven >> member & 1) == (m->state == SES_COMPLETE_PROVEN));
    if (m->state != SES_COMPLETE_PROVEN) {
        SES_ASSERT(m->missing + m->promised + m->undeleted + m->deleted + m->extra == 0);
        return;
    }
    SES_ASSERT(m->leaf_cnt == OWN - 1);
    for (uint32_t k = 0; k < m->leaf_cnt; k++) {
        struct ses_leaf leaf;
        const uint32_t i = m->leaves[k].key.bytes[32] - 1u;
        SES_ASSERT(i < OWN && i != member);
        make_leaf(&leaf, &world.digest, i);
        SES_ASSERT(ses_leaf_key_compare(&leaf.key, &m->leaves[k].key) == 0);
        SES_ASSERT(m->leaves[k].kind == (i == member + MEMBERS));
    }
}

static void on_node(void *cookie, const struct ses_client_verified *node)
{
    unsigned *cnt = cookie;
    ++*cnt;
    SES_ASSERT(node->verdict != SES_CLIENT_NEW_MEMBER && node->verdict != SES_CLIENT_NO_COMMITMENT);
}

static void on_finding(void *cookie, const struct ses_client_finding *finding)
{
    (void)cookie;
    SES_ASSERT(finding->proven <= MEMBERS && finding->holders <= finding->proven);
}

static void check(struct verify *v)
{
    struct ses_client_verify_result result = {0};
    unsigned cnt = 0;
    const struct ses_client_verify told = {
        .size = sizeof told, .on_node = on_node, .on_finding = on_finding, .cookie = &cnt};
    SES_ASSERT(ses_complete_finish(v->complete) == SES_OK);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        check_proven(v, i);
    }
    ses_verify_count_unserved(v);
    const bool all = v->complete->proven == ((uint64_t)1 << MEMBERS) - 1;
    for (uint32_t i = 0; i < MEMBERS; i++) { /* two of three are more than half */
        SES_ASSERT(v->served[i].unserved == (all && i == MEMBERS - 1));
    }
    ses_verify_report(v, &told, &result);
    SES_ASSERT(cnt == MEMBERS && result.members == MEMBERS);
    SES_ASSERT(result.complete + result.faulty <= MEMBERS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verify *v = ses_alloc(1, sizeof *v);
    struct ses_reader r;
    SES_ASSERT(v != NULL);
    if (world.pool == NULL) {
        setup();
    }
    ses_reader_init(&r, data, size);
    begin(v);
    ask(v, &r);
    check(v);
    ses_complete_free(v->complete);
    ses_free(v->complete);
    ses_verify_free(v);
    ses_free(v);
    return 0;
}
