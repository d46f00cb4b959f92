#include "daemon/test_reconcile_kit.h"

#include <string.h>

#include "base/tap.h"

void kit_side_init(struct kit_side *side)
{
    SES_ASSERT(ses_forest_pool_new(&side->pool, (size_t)1 << 31) == SES_OK);
    SES_ASSERT(ses_forest_new(&side->forest, side->pool) == SES_OK);
}

void kit_side_free(struct kit_side *side)
{
    ses_forest_free(side->forest);
    ses_forest_pool_free(side->pool);
}

void kit_leaf(struct ses_leaf *out, uint64_t n, uint8_t ttl_class, uint32_t hour)
{
    struct ses_hash half;
    uint64_t in[2] = {n, 0};
    ses_blake3_hash(&half, in, sizeof in);
    memcpy(out->key.bytes, half.bytes, 32);
    in[1] = 1;
    ses_blake3_hash(&half, in, sizeof in);
    memcpy(out->key.bytes + 32, half.bytes, 32);
    out->ts_ms = (uint64_t)hour * 3600000 + n % 3600 * 1000;
    out->size = (uint32_t)(n % 90000);
    out->ttl_class = ttl_class;
    out->kind = 0;
}

void kit_put(struct kit_side *side, const struct ses_leaf *leaf)
{
    SES_ASSERT(ses_forest_put(side->forest, leaf) == SES_OK);
}

bool kit_same(struct kit_side *a, struct kit_side *b)
{
    struct ses_sum x, y;
    ses_forest_sum(a->forest, &x);
    ses_forest_sum(b->forest, &y);
    return memcmp(&x.hash, &y.hash, sizeof x.hash) == 0 && x.count == y.count;
}

/* ---- what the cores need, from a forest ---- */
static size_t all_segments(struct kit_side *side, struct ses_segment_state *out)
{
    const size_t cnt = ses_forest_segment_cnt(side->forest);
    SES_ASSERT(cnt <= RECONCILE_SEGMENTS_MAX);
    for (size_t i = 0; i < cnt; i++) {
        struct ses_forest_segment s;
        ses_forest_segment(side->forest, i, &s);
        out[i] = (struct ses_segment_state){.id = s.id, .sum = s.sum};
    }
    return cnt;
}

static struct ses_forest_trie *trie_of(struct kit_side *side, const struct ses_segment_id *id)
{
    size_t at;
    struct ses_forest_segment s;
    if (!ses_forest_find(side->forest, id, &at)) {
        return NULL;
    }
    ses_forest_segment(side->forest, at, &s);
    return s.trie;
}

static void all_children(struct kit_side *side, const struct reconcile_need *need,
                         struct ses_sum (*out)[16])
{
    memset(out, 0, need->ask_cnt * sizeof *out);
    for (size_t i = 0; i < need->ask_cnt; i++) {
        const struct ses_children_ask *ask = &need->asks[i];
        struct ses_forest_trie *trie = trie_of(side, &ask->segment);
        if (trie != NULL) {
            ses_forest_trie_children(trie, out[i], &ask->prefix, ask->nibble_cnt);
        }
    }
}

static size_t leaves_of(struct kit_side *side, const struct reconcile_need *need,
                        struct ses_leaf *out)
{
    struct ses_forest_trie *trie = trie_of(side, &need->range.segment);
    SES_ASSERT(need->leaf_max <= SES_LEAVES_MAX);
    return trie == NULL ? 0
                        : ses_forest_trie_range(trie, out, need->leaf_max, &need->range.low,
                                                &need->range.high);
}

struct scratch {
    struct ses_segment_state segments[RECONCILE_SEGMENTS_MAX];
    struct ses_sum sums[SES_CHILDREN_ASKS_MAX][16];
    struct ses_leaf leaves[SES_LEAVES_MAX];
};

static enum ses_err feed_one(struct kit_side *side, struct reconcile *r, struct scratch *s)
{
    switch (r->need.kind) {
    case RECONCILE_SEGMENTS:
        return reconcile_segments(r, s->segments, all_segments(side, s->segments));
    case RECONCILE_CHILDREN:
        all_children(side, &r->need, s->sums);
        return reconcile_children(r, s->sums, r->need.ask_cnt);
    case RECONCILE_LEAVES:
        return reconcile_leaves(r, s->leaves, leaves_of(side, &r->need, s->leaves));
    case RECONCILE_SEND:
    case RECONCILE_DONE:
        break;
    }
    return SES_OK;
}

enum ses_err kit_feed(struct kit_side *side, struct reconcile *r)
{
    struct scratch *s = ses_alloc(1, sizeof *s);
    SES_ASSERT(s != NULL);
    enum ses_err err = SES_OK;
    while (err == SES_OK && r->need.kind != RECONCILE_SEND && r->need.kind != RECONCILE_DONE) {
        err = feed_one(side, r, s);
    }
    ses_free(s);
    return err;
}

static enum ses_err reply_feed(struct kit_side *side, struct reconcile_reply *r, struct scratch *s)
{
    switch (r->need.kind) {
    case RECONCILE_SEGMENTS:
        return reconcile_reply_segments(r, s->segments, all_segments(side, s->segments));
    case RECONCILE_CHILDREN:
        all_children(side, &r->need, s->sums);
        return reconcile_reply_children(r, s->sums, r->need.ask_cnt);
    case RECONCILE_LEAVES:
        return reconcile_reply_leaves(r, s->leaves, leaves_of(side, &r->need, s->leaves));
    case RECONCILE_SEND:
    case RECONCILE_DONE:
        break;
    }
    return SES_OK;
}

/* The whole reply; NULL if the frame is refused. */
static struct reconcile_reply *reply_of(struct kit_side *side, const uint8_t *body, size_t len)
{
    struct reconcile_reply *r;
    if (reconcile_reply_new(&r, body, len) != SES_OK) {
        return NULL;
    }
    struct scratch *s = ses_alloc(1, sizeof *s);
    SES_ASSERT(s != NULL);
    while (r->need.kind != RECONCILE_SEND && r->need.kind != RECONCILE_DONE) {
        SES_ASSERT(reply_feed(side, r, s) == SES_OK);
    }
    ses_free(s);
    return r;
}

bool kit_answer(struct kit_side *side, const uint8_t *body, size_t len, struct ses_buf *out)
{
    struct reconcile_reply *r = reply_of(side, body, len);
    if (r == NULL) {
        return false;
    }
    if (r->need.kind == RECONCILE_SEND) {
        SES_ASSERT(r->need.frame.len <= SES_FRAME_BYTES_MAX);
        SES_ASSERT(ses_buf_append(out, r->need.frame.bytes, r->need.frame.len) == SES_OK);
    }
    reconcile_reply_free(r);
    return true;
}

/* `to` fetches the groups from `from`, as the records would come. */
static void fetch(struct kit_side *to, struct kit_side *from, const struct reconcile *r,
                  const struct reconcile_list *list, struct kit_cost *cost, uint32_t *cnt)
{
    for (uint32_t at = 0; at < list->group_cnt;) {
        struct ses_buf frame = {0};
        SES_ASSERT(reconcile_list_frame(&frame, SES_SYNC_FETCH, &r->p, list, &at,
                                        SES_SYNC_RECORDS_MAX) == SES_OK);
        struct reconcile_reply *reply = reply_of(from, frame.bytes, frame.len);
        SES_ASSERT(reply != NULL && reply->need.kind == RECONCILE_DONE);
        for (uint32_t i = 0; i < reply->found_cnt; i++) {
            kit_put(to, &reply->found[i]);
        }
        *cnt += reply->found_cnt;
        cost->bytes += frame.len;
        cost->rounds++;
        reconcile_reply_free(reply);
        ses_buf_free(&frame);
    }
}

static void offer(struct kit_side *a, struct kit_side *b, const struct reconcile *r,
                  struct kit_cost *cost)
{
    struct reconcile *other;
    SES_ASSERT(reconcile_offered(&other, &r->p, r->gives.groups, r->gives.group_cnt) == SES_OK);
    SES_ASSERT(kit_feed(b, other) == SES_OK);
    fetch(b, a, other, &other->wants, cost, &cost->offered);
    reconcile_free(other);
}

void kit_run(struct kit_side *a, struct kit_side *b, const struct reconcile_params *params,
             bool both, struct kit_cost *cost)
{
    struct reconcile *r;
    struct reconcile_params p = *params;
    memset(cost, 0, sizeof *cost);
    ses_random_fill(tap_random(), p.nonce.bytes, sizeof p.nonce.bytes);
    SES_ASSERT(reconcile_new(&r, &p) == SES_OK);
    SES_ASSERT(kit_feed(a, r) == SES_OK);
    while (r->need.kind == RECONCILE_SEND) {
        struct ses_buf answer = {0};
        SES_ASSERT(kit_answer(b, r->need.frame.bytes, r->need.frame.len, &answer));
        SES_ASSERT(reconcile_answer(r, answer.bytes, answer.len) == SES_OK);
        SES_ASSERT(kit_feed(a, r) == SES_OK);
        ses_buf_free(&answer);
    }
    cost->bytes = r->bytes_in + r->bytes_out;
    cost->rounds = r->round_cnt;
    cost->cut = r->cut;
    cost->older = r->older;
    cost->bulk_cnt = r->bulk_cnt;
    fetch(a, b, r, &r->wants, cost, &cost->fetched);
    if (both) {
        offer(a, b, r, cost);
    }
    reconcile_free(r);
}
