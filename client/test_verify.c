/* What is told of each member of a verify: verdicts, counts, findings, and what is not handed out.
 */
#include <string.h>

#include "base/tap.h"
#include "client/verify.h"

#define NOW_MS 1800000000000u
#define MEMBERS 4u
#define RECORDS 3u

static struct verify *v;

static struct ses_leaf leaf_of(uint32_t salt)
{
    struct ses_leaf leaf = {.ts_ms = NOW_MS - 3600000u, .ttl_class = 2, .size = 8192};
    memset(leaf.key.bytes, 7, 32);
    memset(leaf.key.bytes + 32, (int)(salt + 1), 32);
    return leaf;
}

/* Every member proved the same records and hands all of them out. */
static void scene(void)
{
    v = ses_alloc(1, sizeof *v);
    struct ses_complete *c = ses_alloc(1, sizeof *c);
    struct ses_hash digest;
    TAP_MUST(v != NULL && c != NULL);
    memset(digest.bytes, 7, 32);
    ses_complete_init(c, &digest, 9);
    v->complete = c;
    v->now_ms = NOW_MS;
    v->epoch = 9;
    v->wanted = 2;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        const struct ses_node_id id = {{(uint8_t)(i + 1)}};
        struct served *s = &v->served[i];
        TAP_ERR(SES_OK, ses_complete_add(c, &id));
        c->members[i].leaves = ses_alloc(RECORDS, sizeof(struct ses_leaf));
        c->members[i].leaf_cap = RECORDS;
        c->members[i].state = SES_COMPLETE_PROVEN;
        c->members[i].committed = true;
        s->ids = ses_alloc(RECORDS, sizeof *s->ids);
        s->listed = true;
        for (uint32_t k = 0; k < RECORDS; k++) {
            c->members[i].leaves[c->members[i].leaf_cnt++] = leaf_of(k);
            memcpy(s->ids[s->cnt++].bytes, leaf_of(k).key.bytes + 32, 32);
        }
    }
}

static void scene_end(void)
{
    ses_complete_free(v->complete);
    ses_free(v->complete);
    ses_verify_free(v);
    ses_free(v);
}

struct told {
    struct ses_client_verified nodes[MEMBERS];
    unsigned node_cnt;
    struct ses_client_finding findings[16];
    unsigned finding_cnt;
    struct ses_client_verify_result result;
};

static void on_node(void *cookie, const struct ses_client_verified *node)
{
    struct told *t = cookie;
    TAP_MUST(t->node_cnt < MEMBERS);
    t->nodes[t->node_cnt++] = *node;
}

static void on_finding(void *cookie, const struct ses_client_finding *finding)
{
    struct told *t = cookie;
    TAP_MUST(t->finding_cnt < SES_COUNT(t->findings));
    t->findings[t->finding_cnt++] = *finding;
}

static void tell(struct told *t)
{
    memset(t, 0, sizeof *t);
    const struct ses_client_verify ask = {
        .size = sizeof ask, .on_node = on_node, .on_finding = on_finding, .cookie = t};
    TAP_ERR(SES_OK, ses_complete_finish(v->complete));
    ses_verify_count_unserved(v);
    ses_verify_report(v, &ask, &t->result);
    TAP_EQ(MEMBERS, t->node_cnt);
    TAP_EQ(MEMBERS, t->result.members);
}

static void test_all_is_well(void)
{
    struct told t;
    scene();
    tell(&t);
    TAP_EQ(MEMBERS, t.result.complete);
    TAP_EQ(0, t.result.faulty);
    TAP_EQ(RECORDS, t.result.records);
    TAP_EQ(9, t.result.epoch);
    TAP_EQ(0, t.finding_cnt);
    scene_end();
}

static void test_each_state(void)
{
    struct told t;
    scene();
    v->complete->members[0].state = SES_COMPLETE_NONE;
    v->complete->members[1].state = SES_COMPLETE_SILENT;
    v->complete->members[1].err = SES_ERR_TIMEOUT;
    v->complete->members[2].state = SES_COMPLETE_FALSE;
    v->complete->members[3].state = SES_COMPLETE_NEW;
    tell(&t);
    TAP_EQ(SES_CLIENT_NO_COMMITMENT, t.nodes[0].verdict);
    TAP_EQ(SES_CLIENT_NO_PROOF, t.nodes[1].verdict);
    TAP_OK(t.nodes[1].err == SES_CLIENT_TIMEOUT);
    TAP_EQ(SES_CLIENT_FALSE_PROOF, t.nodes[2].verdict);
    TAP_EQ(SES_CLIENT_NEW_MEMBER, t.nodes[3].verdict);
    TAP_EQ(2, t.result.faulty); /* silence and youth are no fault */
    TAP_EQ(0, t.result.complete);
    scene_end();
}

/* Committed to, proven, and kept back from the owner all the same. */
static void test_not_handed_out(void)
{
    struct told t;
    scene();
    struct served *s = &v->served[2];
    memmove(&s->ids[0], &s->ids[1], 2 * sizeof s->ids[0]);
    s->cnt = 2;
    tell(&t);
    TAP_EQ(SES_CLIENT_WITHHOLDS, t.nodes[2].verdict);
    TAP_EQ(1, t.nodes[2].unserved);
    TAP_EQ(1, t.finding_cnt);
    TAP_EQ(SES_CLIENT_UNSERVED, t.findings[0].fault);
    TAP_TEXT(t.nodes[2].node, t.findings[0].node);
    TAP_BYTES(leaf_of(0).key.bytes + 32, t.findings[0].id, 32);
    TAP_EQ(3, t.result.complete);
    TAP_EQ(1, t.result.faulty);
    scene_end();
}

/* No fault: what nobody hands out (cards, other namespaces), what is deleted, what goes at once,
 * and a member whose list did not come. */
static void test_no_fault(void)
{
    struct told t;
    scene();
    for (uint32_t i = 0; i < MEMBERS; i++) {
        memmove(&v->served[i].ids[0], &v->served[i].ids[1], 2 * sizeof v->served[i].ids[0]);
        v->served[i].cnt = 2;
    }
    v->served[3].listed = false;
    v->served[3].cnt = 0;
    tell(&t);
    TAP_EQ(0, t.finding_cnt);
    TAP_EQ(MEMBERS, t.result.complete);
    scene_end();
    scene();
    v->served[1].cnt = 0;
    v->now_ms = NOW_MS + 7ull * 86400000u - 30000u;
    tell(&t);
    TAP_EQ(0, t.finding_cnt);
    scene_end();
    scene();
    for (uint32_t i = 0; i < MEMBERS; i++) {
        v->complete->members[i].leaves[0].kind = 1;
        v->complete->members[i].leaves[0].size = 0;
    }
    memmove(&v->served[0].ids[0], &v->served[0].ids[1], 2 * sizeof v->served[0].ids[0]);
    v->served[0].cnt = 2; /* the others have not dropped it from their lists yet */
    tell(&t);
    TAP_EQ(0, t.finding_cnt);
    scene_end();
}

/* One that does not heed a delete statement, or has not got it yet, cannot make the others look as
 * if they kept the record back. */
static void test_one_goes_on_handing_out(void)
{
    struct told t;
    scene();
    for (uint32_t i = 0; i + 1 < MEMBERS; i++) {
        memmove(&v->served[i].ids[0], &v->served[i].ids[1], 2 * sizeof v->served[i].ids[0]);
        v->served[i].cnt = 2;
    }
    tell(&t);
    TAP_EQ(0, t.finding_cnt);
    TAP_EQ(MEMBERS, t.result.complete);
    scene_end();
}

static void test_missing(void)
{
    struct told t;
    scene();
    v->complete->members[1].leaf_cnt = RECORDS - 1;
    v->served[1].cnt = RECORDS - 1;
    tell(&t);
    TAP_EQ(SES_CLIENT_WITHHOLDS, t.nodes[1].verdict);
    TAP_EQ(1, t.nodes[1].missing);
    TAP_EQ(0, t.nodes[1].unserved);
    TAP_EQ(1, t.finding_cnt);
    TAP_EQ(SES_CLIENT_MISSING, t.findings[0].fault);
    TAP_EQ(3, t.findings[0].holders);
    TAP_EQ(MEMBERS, t.findings[0].proven);
    scene_end();
}

int main(void)
{
    TAP_RUN(test_all_is_well);
    TAP_RUN(test_each_state);
    TAP_RUN(test_not_handed_out);
    TAP_RUN(test_no_fault);
    TAP_RUN(test_one_goes_on_handing_out);
    TAP_RUN(test_missing);
    return tap_done();
}
