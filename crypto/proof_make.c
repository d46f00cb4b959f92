/* The prover. Every list of the forest (segments, children of a branch, leaves of a bucket) is an
 * MS tree: the walk splits it as RFC 6962 does and closes each part that shows nothing. What is
 * still to be written stands on a stack of steps, so that deep tries need no recursion. */
#include <string.h>

#include "crypto/forest_internal.h"

enum { CLOSED = 0, OPEN = 1, BRANCH = 1, BUCKET = 2 };

#define PARTS_MAX 18u /* open parts of a list of 65535 elements, with its right neighbours */

struct step {
    const struct forest_node *node; /* to be shown; NULL: a part closed to `sum`, or split */
    bool closed;
    struct ses_sum sum;
    unsigned depth;
    uint64_t position; /* of the node's first leaf */
};

struct prover {
    struct ses_forest *forest;
    const struct ses_forest_question *question;
    struct ses_buf *out;
    struct ses_segment_id segment; /* whose trie is being shown */
    struct ses_buf steps;          /* of struct step */
};

/* ---- what a question touches ---- */

/* Whether a position lies in [from, from + count). */
static bool drawn(const struct ses_forest_question *q, uint64_t from, uint64_t count)
{
    size_t low = 0;
    size_t high = q->position_cnt;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (q->positions[mid] < from) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < q->position_cnt && q->positions[low] - from < count;
}

static bool same_segment(const struct ses_segment_id *a, const struct ses_segment_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool ranged(const struct prover *p, const struct ses_segment_id *segment)
{
    for (size_t i = 0; i < p->question->range_cnt; i++) {
        if (same_segment(&p->question->ranges[i].segment, segment)) {
            return true;
        }
    }
    return false;
}

/* Whether a key that begins with the first `depth` nibbles of `key` can lie in the range. */
static bool range_meets(const struct ses_forest_range *range, const uint8_t *key, unsigned depth)
{
    return forest_compare(range->low.bytes, key, depth) <= 0 &&
           forest_compare(key, range->high.bytes, depth) <= 0;
}

static bool near(const struct prover *p, const uint8_t *key, unsigned depth)
{
    for (size_t i = 0; i < p->question->range_cnt; i++) {
        const struct ses_forest_range *range = &p->question->ranges[i];
        if (same_segment(&range->segment, &p->segment) && range_meets(range, key, depth)) {
            return true;
        }
    }
    return false;
}

/* ---- one list ---- */

/* A part of a list: elements [from, from + cnt). */
struct part {
    size_t from;
    size_t cnt;
};

/* The greatest power of two below n; n > 1. */
static size_t split(size_t n)
{
    size_t k = 1;
    while (k < n - k) {
        k *= 2;
    }
    return k;
}

/* Takes the first part off the stack; an open one of several elements comes back as its halves. */
static struct part part_next(struct part *stack, unsigned *used, bool shown)
{
    const struct part part = stack[*used - 1];
    (*used)--;
    if (shown && part.cnt > 1) {
        const size_t k = split(part.cnt);
        SES_ASSERT(*used + 2 <= PARTS_MAX);
        stack[(*used)++] = (struct part){part.from + k, part.cnt - k};
        stack[(*used)++] = (struct part){part.from, k};
    }
    return part;
}

static enum ses_err write_tag(struct prover *p, uint8_t tag)
{
    return ses_buf_append(p->out, &tag, 1);
}

static enum ses_err write_closed(struct prover *p, const struct ses_sum *sum)
{
    uint8_t bytes[1 + SUM_BYTES] = {CLOSED};
    forest_sum_put(bytes + 1, sum);
    return ses_buf_append(p->out, bytes, sizeof bytes);
}

static bool bits_in(uint16_t bits, const struct part *part)
{
    return ((unsigned)bits >> part->from & ((1u << part->cnt) - 1u)) != 0;
}

static void part_sum(struct ses_sum *out, const struct ses_sum *sums, const struct part *part)
{
    struct ses_sum copy[16];
    memcpy(copy, sums + part->from, part->cnt * sizeof *sums);
    ses_ms(out, copy, part->cnt);
}

/* ---- buckets ---- */

/* The leaves that answer a range: those in it, and the next one on either side. */
static uint16_t bracket(const struct ses_forest_range *range,
                        const uint8_t leaves[][SES_LEAF_BYTES], unsigned cnt)
{
    unsigned bits = 0;
    unsigned below = cnt; /* none */
    for (unsigned i = 0; i < cnt; i++) {
        if (memcmp(leaves[i], range->low.bytes, SES_LEAF_KEY_BYTES) < 0) {
            below = i;
            continue;
        }
        bits |= 1u << i;
        if (memcmp(leaves[i], range->high.bytes, SES_LEAF_KEY_BYTES) > 0) {
            break;
        }
    }
    return (uint16_t)(bits | (below < cnt ? 1u << below : 0));
}

static uint16_t bucket_shown(const struct prover *p, const uint8_t leaves[][SES_LEAF_BYTES],
                             unsigned cnt, unsigned depth, uint64_t position)
{
    unsigned bits = 0;
    for (size_t i = 0; i < p->question->range_cnt; i++) {
        const struct ses_forest_range *range = &p->question->ranges[i];
        if (same_segment(&range->segment, &p->segment) && range_meets(range, leaves[0], depth)) {
            bits |= bracket(range, leaves, cnt);
        }
    }
    for (unsigned i = 0; i < cnt; i++) {
        bits |= drawn(p->question, position + i, 1) ? 1u << i : 0;
    }
    return (uint16_t)bits;
}

static enum ses_err show_bucket(struct prover *p, const struct forest_node *bucket, unsigned depth,
                                uint64_t position)
{
    uint8_t leaves[FOREST_BUCKET_MAX][SES_LEAF_BYTES];
    struct ses_hash hashes[FOREST_BUCKET_MAX];
    struct ses_sum sums[FOREST_BUCKET_MAX];
    struct part stack[PARTS_MAX] = {{0, bucket->leaf_cnt}};
    unsigned used = 1;
    unsigned cnt = 0;
    for (const struct forest_leaf *l = bucket->first; l != NULL; l = l->next) {
        memcpy(leaves[cnt++], l->bytes, SES_LEAF_BYTES);
    }
    const uint16_t shown = bucket_shown(p, leaves, cnt, depth, position);
    forest_leaf_sums(sums, hashes, leaves[0], cnt);
    SES_TRY(write_tag(p, BUCKET));
    SES_TRY(write_tag(p, bucket->leaf_cnt));
    while (used > 0) {
        const bool open = bits_in(shown, &stack[used - 1]);
        const struct part part = part_next(stack, &used, open);
        if (!open) {
            struct ses_sum sum;
            part_sum(&sum, sums, &part);
            SES_TRY(write_closed(p, &sum));
            continue;
        }
        SES_TRY(write_tag(p, OPEN));
        if (part.cnt == 1) {
            SES_TRY(ses_buf_append(p->out, leaves[part.from], SES_LEAF_BYTES));
        }
    }
    return SES_OK;
}

/* ---- branches ---- */

static enum ses_err step_push(struct prover *p, const struct step *step)
{
    return ses_buf_append(&p->steps, step, sizeof *step);
}

/* The steps of a list come in the order in which they are written; a stack wants the reverse. */
static void steps_turn(struct prover *p, size_t from)
{
    struct step *steps = (struct step *)(void *)p->steps.bytes;
    size_t to = p->steps.len / sizeof *steps;
    for (; from + 1 < to; from++) {
        const struct step other = steps[from];
        steps[from] = steps[--to];
        steps[to] = other;
    }
}

struct children {
    const struct forest_node *nodes[16];
    uint64_t positions[16];
    struct ses_sum sums[16]; /* elements */
    unsigned cnt;
    uint16_t bitmap;
    uint16_t shown;
};

static void children_find(const struct prover *p, struct children *c,
                          const struct forest_branch *branch, uint64_t position)
{
    unsigned at = 0;
    c->shown = 0;
    c->cnt = forest_child_sums(c->sums, &c->bitmap, branch);
    for (unsigned n = 0; n < 16; n++) {
        const struct forest_node *child = branch->children[n];
        if (child == NULL) {
            continue;
        }
        const bool open = near(p, child->first->bytes, branch->node.end + 1u) ||
                          drawn(p->question, position, child->sum.count);
        c->nodes[at] = child;
        c->positions[at] = position;
        c->shown = (uint16_t)(c->shown | (open ? 1u << at : 0));
        position += child->sum.count;
        at++;
    }
}

static enum ses_err children_steps(struct prover *p, const struct children *c, unsigned depth)
{
    struct part stack[PARTS_MAX] = {{0, c->cnt}};
    unsigned used = 1;
    while (used > 0) {
        struct step step = {.closed = !bits_in(c->shown, &stack[used - 1]), .depth = depth};
        const struct part part = part_next(stack, &used, !step.closed);
        if (step.closed) {
            part_sum(&step.sum, c->sums, &part);
        } else if (part.cnt == 1) {
            step.node = c->nodes[part.from];
            step.position = c->positions[part.from];
        }
        SES_TRY(step_push(p, &step));
    }
    return SES_OK;
}

static enum ses_err show_branch(struct prover *p, const struct forest_branch *branch,
                                uint64_t position)
{
    struct children children;
    uint8_t skip[64];
    uint8_t bitmap[2];
    const size_t from = p->steps.len / sizeof(struct step);
    const unsigned skip_bytes =
        forest_skip_pack(skip, branch->node.first->bytes, branch->node.depth, branch->node.end);
    children_find(p, &children, branch, position);
    ses_put_u16(bitmap, children.bitmap);
    SES_TRY(write_tag(p, BRANCH));
    SES_TRY(write_tag(p, (uint8_t)(branch->node.end - branch->node.depth)));
    SES_TRY(ses_buf_append(p->out, skip, skip_bytes));
    SES_TRY(ses_buf_append(p->out, bitmap, sizeof bitmap));
    SES_TRY(children_steps(p, &children, branch->node.end + 1u));
    steps_turn(p, from);
    return SES_OK;
}

static enum ses_err show_trie(struct prover *p, const struct forest_node *root, uint64_t position)
{
    const struct step first = {.node = root, .position = position};
    p->steps.len = 0;
    SES_TRY(step_push(p, &first));
    while (p->steps.len > 0) {
        struct step step;
        p->steps.len -= sizeof step;
        memcpy(&step, p->steps.bytes + p->steps.len, sizeof step);
        if (step.closed) {
            SES_TRY(write_closed(p, &step.sum));
            continue;
        }
        if (step.node != root) {
            SES_TRY(write_tag(p, OPEN));
        }
        if (step.node != NULL && step.node->branch) {
            SES_TRY(show_branch(p, forest_as_const_branch(step.node), step.position));
        } else if (step.node != NULL) {
            SES_TRY(show_bucket(p, step.node, step.depth, step.position));
        }
    }
    return SES_OK;
}

/* ---- segments ---- */

/* Whether one of the segments of a part is shown: it holds a position, a range asks for it, or it
 * stands next to a range's place: so an absent segment shows to be absent. */
static bool part_shown(const struct prover *p, const struct part *part, uint64_t position)
{
    for (size_t i = 0; i < p->question->range_cnt; i++) {
        size_t place;
        const bool present = ses_forest_find(p->forest, &p->question->ranges[i].segment, &place);
        const size_t low = place > 0 ? place - 1 : 0;
        const size_t high = place + (present ? 1 : 0);
        if (part->from <= high && low < part->from + part->cnt) {
            return true;
        }
    }
    return drawn(p->question, position, forest_range_sum(p->forest, part->from, part->cnt)->count);
}

static enum ses_err show_segment(struct prover *p, size_t index, uint64_t position,
                                 struct ses_segment_id *missing)
{
    struct ses_forest_segment segment;
    ses_forest_segment(p->forest, index, &segment);
    SES_TRY(write_tag(p, OPEN));
    SES_TRY(ses_buf_append(p->out, segment.id.bytes, sizeof segment.id.bytes));
    if (!ranged(p, &segment.id) && !drawn(p->question, position, segment.sum.count)) {
        return write_closed(p, &segment.sum);
    }
    if (segment.trie == NULL) {
        if (missing != NULL) {
            *missing = segment.id;
        }
        return SES_ERR_AGAIN;
    }
    p->segment = segment.id;
    return show_trie(p, segment.trie->root, position);
}

static enum ses_err show_forest(struct prover *p, struct ses_segment_id *missing)
{
    const size_t cnt = ses_forest_segment_cnt(p->forest);
    struct part stack[PARTS_MAX] = {{0, cnt}};
    unsigned used = cnt > 0;
    uint64_t position = 0;
    uint8_t bytes[2];
    ses_put_u16(bytes, (uint16_t)cnt);
    SES_TRY(ses_buf_append(p->out, bytes, sizeof bytes));
    while (used > 0) {
        const bool open = part_shown(p, &stack[used - 1], position);
        const struct part part = part_next(stack, &used, open);
        const struct ses_sum *sum = forest_range_sum(p->forest, part.from, part.cnt);
        if (!open) {
            SES_TRY(write_closed(p, sum));
        } else if (part.cnt == 1) {
            SES_TRY(show_segment(p, part.from, position, missing));
        } else {
            SES_TRY(write_tag(p, OPEN));
        }
        position += !open || part.cnt == 1 ? sum->count : 0;
    }
    return SES_OK;
}

static enum ses_err question_check(const struct ses_forest_question *q, uint64_t count)
{
    for (size_t i = 0; i < q->range_cnt; i++) {
        SES_REQUIRE(ses_leaf_key_compare(&q->ranges[i].low, &q->ranges[i].high) <= 0,
                    SES_ERR_INVALID);
    }
    for (size_t i = 0; i < q->position_cnt; i++) {
        SES_REQUIRE(i == 0 || q->positions[i - 1] < q->positions[i], SES_ERR_INVALID);
        SES_REQUIRE(q->positions[i] < count, SES_ERR_NOT_FOUND);
    }
    return SES_OK;
}

enum ses_err ses_forest_prove(struct ses_forest *forest, struct ses_buf *out,
                              const struct ses_forest_question *question,
                              struct ses_segment_id *missing)
{
    struct prover p = {.forest = forest, .question = question, .out = out};
    struct ses_sum sum;
    const size_t len = out->len;
    ses_forest_sum(forest, &sum);
    SES_TRY(question_check(question, sum.count));
    const enum ses_err err = show_forest(&p, missing);
    if (err != SES_OK) {
        out->len = len;
    }
    ses_buf_free(&p.steps);
    return err;
}
