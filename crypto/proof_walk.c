/* Reading a proof. What is still to be read stands on a stack of steps whose size follows from the
 * 128 nibbles of a key, not from the input. */
#include <string.h>

#include "crypto/proof_walk.h"

enum { CLOSED = 0, OPEN = 1, BRANCH = 1, BUCKET = 2 };

enum { MT, TRIE, JOIN, SEGMENT_END, CHILD_END, NODE_END, BUCKET_END };

/* What a step did: an event, or nothing that anybody asks about. */
#define NO_EVENT WALK_END

static void step_push(struct walk *w, unsigned what, unsigned cnt)
{
    SES_ASSERT(w->step_cnt < WALK_STEPS_MAX);
    w->steps[w->step_cnt++] = (struct walk_step){.what = (uint8_t)what, .cnt = (uint16_t)cnt};
}

void walk_begin(struct walk *w, const uint8_t *proof, size_t len, bool summing)
{
    ses_reader_init(&w->r, proof, len);
    w->summing = summing;
    w->step_cnt = w->sum_cnt = w->node_cnt = 0;
    w->any_segment = w->in_segment = w->in_bucket = false;
    w->segment = (struct ses_segment_id){0};
    w->depth = 0;
    memset(w->path, 0, sizeof w->path);
    w->sums[0] = (struct ses_sum){0}; /* of no segment at all */
    const unsigned segment_cnt = ses_read_u16(&w->r);
    if (segment_cnt > 0) {
        step_push(w, MT, segment_cnt);
    }
}

static void malformed_unless(struct walk *w, bool ok)
{
    ses_reader_check(&w->r, ok, SES_ERR_MALFORMED);
}

static void path_put(struct walk *w, unsigned at, unsigned nibble)
{
    const unsigned shift = at % 2 == 0 ? 4 : 0;
    uint8_t *byte = &w->path[at / 2];
    *byte = (uint8_t)((*byte & (0xf0u >> shift)) | nibble << shift);
}

/* ---- sums ---- */

static void sum_push(struct walk *w, const struct ses_sum *sum)
{
    SES_ASSERT(w->sum_cnt < WALK_SUMS_MAX);
    w->sums[w->sum_cnt++] = *sum;
}

static struct ses_sum *sum_top(struct walk *w)
{
    SES_ASSERT(w->sum_cnt > 0);
    return &w->sums[w->sum_cnt - 1];
}

static void read_sum(struct walk *w)
{
    struct ses_sum sum = {0};
    ses_read_bytes(&w->r, sum.hash.bytes, sizeof sum.hash.bytes);
    sum.count = ses_read_u64(&w->r);
    sum.bytes = ses_read_u64(&w->r);
    w->count = sum.count;
    if (w->summing) {
        sum_push(w, &sum);
    }
}

static void sum_join(struct walk *w)
{
    const struct ses_sum right = *sum_top(w);
    w->sum_cnt--;
    struct ses_sum *left = sum_top(w);
    uint64_t total;
    malformed_unless(w, !__builtin_add_overflow(left->count, right.count, &total));
    malformed_unless(w, !__builtin_add_overflow(left->bytes, right.bytes, &total));
    forest_join(left, left, &right);
}

static void sum_child(struct walk *w)
{
    struct ses_sum *sum = sum_top(w);
    uint8_t bytes[SUM_BYTES];
    forest_sum_put(bytes, sum);
    ses_b(&sum->hash, SES_TAG_CHILD, SES_PARTS(SES_PART(bytes, sizeof bytes)));
}

static void sum_node(struct walk *w, const struct walk_node *node)
{
    const struct forest_shape shape = {
        .skip = node->skip, .skip_len = (uint8_t)(node->end - node->depth), .bitmap = node->bitmap};
    malformed_unless(w, sum_top(w)->count > FOREST_BUCKET_MAX);
    forest_branch_sum(sum_top(w), &shape, sum_top(w));
}

static void sum_bucket(struct walk *w, unsigned leaf_cnt)
{
    malformed_unless(w, sum_top(w)->count == leaf_cnt);
    forest_bucket_sum(sum_top(w), sum_top(w));
}

static void sum_leaf(struct walk *w)
{
    struct ses_hash hash;
    struct ses_leaf leaf;
    ses_leaf_decode(&leaf, w->leaf);
    ses_b(&hash, SES_TAG_LEAF, SES_PARTS(SES_PART(w->leaf, SES_LEAF_BYTES)));
    sum_push(w, &(struct ses_sum){.hash = hash, .count = 1, .bytes = leaf.size});
}

/* ---- tries ---- */

static void read_node(struct walk *w)
{
    const unsigned skip_len = ses_read_u8(&w->r);
    malformed_unless(w, w->depth + skip_len < SES_LEAF_NIBBLES);
    const uint8_t *skip = ses_read_view(&w->r, (skip_len + 1) / 2);
    const uint16_t bitmap = ses_read_u16(&w->r);
    malformed_unless(w, __builtin_popcount(bitmap) >= 2); /* as every branch of a set has */
    if (w->r.err != SES_OK) {
        return;
    }
    malformed_unless(w, skip_len % 2 == 0 || (skip[skip_len / 2] & 15) == 0);
    for (unsigned i = 0; i < skip_len; i++) {
        path_put(w, w->depth + i, forest_nibble(skip, i));
    }
    SES_ASSERT(w->node_cnt < SES_LEAF_NIBBLES);
    w->nodes[w->node_cnt++] = (struct walk_node){.depth = (uint8_t)w->depth,
                                                 .end = (uint8_t)(w->depth + skip_len),
                                                 .bitmap = bitmap,
                                                 .skip = skip};
    step_push(w, NODE_END, 0);
    step_push(w, MT, (unsigned)__builtin_popcount(bitmap));
}

static enum walk_event read_trie(struct walk *w)
{
    const unsigned tag = ses_read_u8(&w->r);
    if (tag == CLOSED) {
        read_sum(w);
        return WALK_TRIE_CLOSED;
    }
    if (tag == BRANCH) {
        read_node(w);
        return NO_EVENT;
    }
    malformed_unless(w, tag == BUCKET);
    const unsigned leaf_cnt = ses_read_u8(&w->r);
    malformed_unless(w, leaf_cnt >= 1 && leaf_cnt <= FOREST_BUCKET_MAX);
    step_push(w, BUCKET_END, leaf_cnt);
    step_push(w, MT, leaf_cnt);
    w->in_bucket = true;
    return WALK_BUCKET;
}

/* ---- lists ---- */

/* The nibbles of the node's next `cnt` children. */
static uint16_t nibbles_take(struct walk_node *node, unsigned cnt)
{
    unsigned rest = node->bitmap;
    unsigned taken = 0;
    for (unsigned i = 0; i < node->used; i++) {
        rest &= rest - 1;
    }
    for (unsigned i = 0; i < cnt; i++) {
        SES_ASSERT(rest != 0);
        taken |= rest & (~rest + 1);
        rest &= rest - 1;
    }
    node->used = (uint8_t)(node->used + cnt);
    return (uint16_t)taken;
}

static enum walk_event list_closed(struct walk *w, unsigned cnt)
{
    read_sum(w);
    if (w->in_bucket) {
        return WALK_LEAVES_CLOSED;
    }
    if (!w->in_segment) {
        return WALK_SEGMENTS_CLOSED;
    }
    struct walk_node *node = &w->nodes[w->node_cnt - 1];
    w->nibbles = nibbles_take(node, cnt);
    w->depth = node->end;
    return WALK_CHILDREN_CLOSED;
}

static enum walk_event segment_begin(struct walk *w)
{
    const struct ses_segment_id before = w->segment;
    ses_read_bytes(&w->r, w->segment.bytes, sizeof w->segment.bytes);
    malformed_unless(w, !w->any_segment || memcmp(&before, &w->segment, sizeof before) < 0);
    w->any_segment = true;
    w->in_segment = true;
    w->depth = 0;
    step_push(w, SEGMENT_END, 0);
    step_push(w, TRIE, 0);
    return WALK_SEGMENT;
}

static enum walk_event child_begin(struct walk *w)
{
    struct walk_node *node = &w->nodes[w->node_cnt - 1];
    const unsigned nibble = (unsigned)__builtin_ctz(nibbles_take(node, 1));
    path_put(w, node->end, nibble);
    w->depth = node->end + 1u;
    step_push(w, CHILD_END, 0);
    step_push(w, TRIE, 0);
    return NO_EVENT;
}

static enum walk_event read_leaf(struct walk *w)
{
    w->leaf = ses_read_view(&w->r, SES_LEAF_BYTES);
    if (w->leaf != NULL && w->summing) {
        sum_leaf(w);
    }
    return WALK_LEAF;
}

static unsigned split(unsigned n)
{
    unsigned k = 1;
    while (k < n - k) {
        k *= 2;
    }
    return k;
}

static enum walk_event read_list(struct walk *w, unsigned cnt)
{
    const unsigned tag = ses_read_u8(&w->r);
    malformed_unless(w, tag <= OPEN);
    if (tag == CLOSED) {
        return list_closed(w, cnt);
    }
    if (cnt > 1) {
        step_push(w, JOIN, 0);
        step_push(w, MT, cnt - split(cnt));
        step_push(w, MT, split(cnt));
        return NO_EVENT;
    }
    if (w->in_bucket) {
        return read_leaf(w);
    }
    return w->in_segment ? child_begin(w) : segment_begin(w);
}

/* ---- ends ---- */

static enum walk_event step_end(struct walk *w, const struct walk_step *step)
{
    switch (step->what) {
    case JOIN:
        if (w->summing) {
            sum_join(w);
        }
        return NO_EVENT;
    case CHILD_END:
        if (w->summing) {
            sum_child(w);
        }
        return NO_EVENT;
    case NODE_END:
        w->node_cnt--;
        if (w->summing) {
            sum_node(w, &w->nodes[w->node_cnt]);
        }
        return NO_EVENT;
    case BUCKET_END:
        w->in_bucket = false;
        if (w->summing) {
            sum_bucket(w, step->cnt);
        }
        return WALK_BUCKET_END;
    default:
        SES_ASSERT(step->what == SEGMENT_END);
        w->in_segment = false;
        if (w->summing) {
            forest_segment_element(sum_top(w), &w->segment, sum_top(w));
        }
        return WALK_SEGMENT_END;
    }
}

enum ses_err walk_next(struct walk *w, enum walk_event *event)
{
    *event = NO_EVENT;
    while (*event == NO_EVENT && w->r.err == SES_OK && w->step_cnt > 0) {
        const struct walk_step step = w->steps[--w->step_cnt];
        if (step.what == MT) {
            *event = read_list(w, step.cnt);
        } else if (step.what == TRIE) {
            *event = read_trie(w);
        } else {
            *event = step_end(w, &step);
        }
    }
    return *event == NO_EVENT ? ses_reader_done(&w->r) : w->r.err;
}
