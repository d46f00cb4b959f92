/* Reading a trie: a key, a position, a range of keys, and the sums below a prefix. */
#include <string.h>

#include "crypto/forest_internal.h"

bool ses_forest_trie_get(const struct ses_forest_trie *trie, const struct ses_leaf_key *key,
                         struct ses_leaf *out)
{
    const struct forest_node *at = trie->root;
    unsigned depth = 0;
    memset(out, 0, sizeof *out);
    while (at != NULL && at->branch) {
        if (forest_differ(at->first->bytes, key->bytes, depth, at->end) != at->end) {
            return false;
        }
        depth = at->end + 1u;
        at = forest_as_const_branch(at)->children[forest_nibble(key->bytes, at->end)];
    }
    for (const struct forest_leaf *l = at != NULL ? at->first : NULL; l != NULL; l = l->next) {
        if (memcmp(l->bytes, key->bytes, sizeof key->bytes) == 0) {
            ses_leaf_decode(out, l->bytes);
            return true;
        }
    }
    return false;
}

/* The child that holds the leaf at *position below the branch; *position becomes the one in it. */
static const struct forest_node *child_at(const struct forest_branch *branch, uint64_t *position)
{
    for (unsigned n = 0; n < 16; n++) {
        const struct forest_node *child = branch->children[n];
        if (child != NULL && *position < child->sum.count) {
            return child;
        }
        *position -= child != NULL ? child->sum.count : 0;
    }
    return NULL;
}

bool ses_forest_trie_at(struct ses_forest_trie *trie, uint64_t position, struct ses_leaf *out)
{
    memset(out, 0, sizeof *out);
    if (position >= trie->count) {
        return false;
    }
    forest_trie_settle(trie);
    const struct forest_node *at = trie->root;
    while (at->branch) {
        at = child_at(forest_as_const_branch(at), &position);
        SES_ASSERT(at != NULL);
    }
    const struct forest_leaf *leaf = at->first;
    for (; position > 0; position--) {
        leaf = leaf->next;
    }
    ses_leaf_decode(out, leaf->bytes);
    return true;
}

/* ---- a range ---- */

struct range {
    struct ses_leaf *out;
    size_t max;
    size_t cnt;
    const uint8_t *low;
    const uint8_t *high;
};

static void bucket_range(struct range *r, const struct forest_node *bucket)
{
    for (const struct forest_leaf *l = bucket->first; l != NULL && r->cnt < r->max; l = l->next) {
        if (memcmp(l->bytes, r->low, SES_LEAF_KEY_BYTES) >= 0 &&
            memcmp(l->bytes, r->high, SES_LEAF_KEY_BYTES) <= 0) {
            ses_leaf_decode(&r->out[r->cnt++], l->bytes);
        }
    }
}

/* Whether keys that share their first `depth` nibbles with one below the node can be in range. */
static bool meets(const struct range *r, const struct forest_node *node, unsigned depth)
{
    return forest_compare(r->low, node->first->bytes, depth) <= 0 &&
           forest_compare(node->first->bytes, r->high, depth) <= 0;
}

size_t ses_forest_trie_range(const struct ses_forest_trie *trie, struct ses_leaf *out, size_t max,
                             const struct ses_leaf_key *low, const struct ses_leaf_key *high)
{
    struct {
        const struct forest_branch *branch;
        unsigned child;
    } stack[FOREST_DEPTH_MAX];
    unsigned used = 0;
    struct range r = {.out = out, .max = max, .low = low->bytes, .high = high->bytes};
    const struct forest_node *at = trie->root;
    while ((at != NULL || used > 0) && r.cnt < max) {
        if (at == NULL) { /* the next child of the branch on top, or leave it */
            const struct forest_branch *top = stack[used - 1].branch;
            const unsigned n = stack[used - 1].child++;
            if (n == 16) {
                used--;
            } else if (top->children[n] != NULL &&
                       meets(&r, top->children[n], top->node.end + 1u)) {
                at = top->children[n];
            }
            continue;
        }
        if (at->branch) {
            SES_ASSERT(used < FOREST_DEPTH_MAX);
            stack[used].branch = forest_as_const_branch(at);
            stack[used++].child = 0;
        } else {
            bucket_range(&r, at);
        }
        at = NULL;
    }
    return r.cnt;
}

/* ---- sums below a prefix ---- */

/* The leaves of a bucket that begin with the prefix, as buckets by their next nibble. */
static void bucket_children(struct ses_sum out[16], const struct forest_node *bucket,
                            const uint8_t *prefix, unsigned nibble_cnt)
{
    uint8_t leaves[16][FOREST_BUCKET_MAX][SES_LEAF_BYTES];
    unsigned cnts[16] = {0};
    for (const struct forest_leaf *l = bucket->first; l != NULL; l = l->next) {
        if (forest_compare(l->bytes, prefix, nibble_cnt) == 0) {
            const unsigned n = forest_nibble(l->bytes, nibble_cnt);
            memcpy(leaves[n][cnts[n]++], l->bytes, SES_LEAF_BYTES);
        }
    }
    for (unsigned n = 0; n < 16; n++) {
        struct ses_hash hashes[FOREST_BUCKET_MAX];
        struct ses_sum sums[FOREST_BUCKET_MAX];
        if (cnts[n] > 0) {
            forest_leaf_sums(sums, hashes, leaves[n][0], cnts[n]);
            ses_ms(&out[n], sums, cnts[n]);
            forest_bucket_sum(&out[n], &out[n]);
        }
    }
}

void ses_forest_trie_children(struct ses_forest_trie *trie, struct ses_sum out[16],
                              const struct ses_leaf_key *prefix, unsigned nibble_cnt)
{
    SES_ASSERT(nibble_cnt < SES_LEAF_NIBBLES);
    memset(out, 0, 16 * sizeof *out);
    forest_trie_settle(trie);
    const struct forest_node *at = trie->root;
    while (at != NULL && at->branch && at->end < nibble_cnt) {
        if (forest_compare(at->first->bytes, prefix->bytes, at->end) != 0) {
            return;
        }
        at = forest_as_const_branch(at)->children[forest_nibble(prefix->bytes, at->end)];
    }
    if (at == NULL) {
        return;
    }
    if (!at->branch) {
        bucket_children(out, at, prefix->bytes, nibble_cnt);
        return;
    }
    const struct forest_branch *branch = forest_as_const_branch(at);
    if (forest_compare(at->first->bytes, prefix->bytes, nibble_cnt) != 0) {
        return;
    }
    if (at->end > nibble_cnt) { /* within the skip: one child, the branch with a shorter skip */
        forest_branch_from(&out[forest_nibble(at->first->bytes, nibble_cnt)], branch,
                           nibble_cnt + 1);
        return;
    }
    for (unsigned n = 0; n < 16; n++) {
        if (branch->children[n] != NULL) {
            out[n] = branch->children[n]->sum;
        }
    }
}
