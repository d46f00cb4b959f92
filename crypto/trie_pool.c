/* Memory of the state trie. Nodes come in 17 sizes (a branch, buckets of 1 to 16 leaves), are cut
 * from slabs and go back to a list per size. Slabs are freed with the pool. */
#include "crypto/trie_internal.h"

#define SIZES (TRIE_BUCKET_MAX + 1u)
#define SLAB_BYTES 65536u
#define SLAB_HEAD 16u

struct slab {
    struct slab *next;
};
_Static_assert(sizeof(struct slab) <= SLAB_HEAD, "slab head");

struct ses_trie_pool {
    struct ses_trie *unused[SIZES]; /* by number of leaves */
    struct slab *slabs;
    size_t slab_left; /* of the first one */
};

static size_t node_bytes(unsigned leaf_cnt)
{
    return leaf_cnt == 0 ? sizeof(struct trie_branch)
                         : sizeof(struct trie_bucket) + leaf_cnt * sizeof(struct trie_leaf);
}
_Static_assert(sizeof(struct trie_branch) % 8 == 0 && sizeof(struct trie_bucket) % 8 == 0,
               "neighbours in a slab stay aligned");

enum ses_err ses_trie_pool_new(struct ses_trie_pool **out)
{
    *out = ses_alloc(1, sizeof **out);
    return *out != NULL ? SES_OK : SES_ERR_MEMORY;
}

void ses_trie_pool_free(struct ses_trie_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    while (pool->slabs != NULL) {
        struct slab *slab = pool->slabs;
        pool->slabs = slab->next;
        ses_free(slab);
    }
    ses_free(pool);
}

static void *slab_cut(struct ses_trie_pool *pool, size_t bytes)
{
    if (pool->slab_left < bytes) {
        struct slab *slab = ses_alloc(1, SLAB_BYTES);
        if (slab == NULL) {
            return NULL;
        }
        slab->next = pool->slabs;
        pool->slabs = slab;
        pool->slab_left = SLAB_BYTES - SLAB_HEAD;
    }
    pool->slab_left -= bytes;
    return (uint8_t *)pool->slabs + SLAB_HEAD + pool->slab_left;
}

static struct ses_trie *node_new(struct ses_trie_pool *pool, unsigned leaf_cnt)
{
    struct ses_trie *node = pool->unused[leaf_cnt];
    if (node != NULL) {
        pool->unused[leaf_cnt] = node->next;
    } else {
        node = slab_cut(pool, node_bytes(leaf_cnt));
    }
    if (node != NULL) {
        *node = (struct ses_trie){
            .refs = 1, .count = leaf_cnt, .leaf_cnt = (uint8_t)leaf_cnt, .dirty = true};
    }
    return node;
}

struct trie_bucket *trie_bucket_new(struct ses_trie_pool *pool, unsigned leaf_cnt)
{
    SES_ASSERT(leaf_cnt > 0 && leaf_cnt <= TRIE_BUCKET_MAX);
    return (struct trie_bucket *)node_new(pool, leaf_cnt);
}

struct trie_branch *trie_branch_new(struct ses_trie_pool *pool)
{
    struct trie_branch *branch = (struct trie_branch *)node_new(pool, 0);
    for (unsigned i = 0; branch != NULL && i < 16; i++) {
        branch->children[i] = NULL;
    }
    return branch;
}

/* Nodes belong to the pool, which may always change them; a version shows them as immutable. */
static struct ses_trie *own(const struct ses_trie *node)
{
    return (struct ses_trie *)(uintptr_t)node;
}

void ses_trie_ref(const struct ses_trie *trie)
{
    if (trie != NULL) {
        SES_ASSERT(trie->refs > 0 && trie->refs < UINT32_MAX);
        own(trie)->refs++;
    }
}

/* Adds the node to `dead` if this was its last reference. */
static void drop(struct ses_trie **dead, const struct ses_trie *node)
{
    if (node == NULL) {
        return;
    }
    SES_ASSERT(node->refs > 0);
    if (--own(node)->refs == 0) {
        own(node)->next = *dead;
        *dead = own(node);
    }
}

void ses_trie_unref(struct ses_trie_pool *pool, const struct ses_trie *trie)
{
    struct ses_trie *dead = NULL;
    drop(&dead, trie);
    while (dead != NULL) {
        struct ses_trie *node = dead;
        dead = node->next;
        for (unsigned i = 0; trie_is_branch(node) && i < 16; i++) {
            drop(&dead, trie_as_branch(node)->children[i]);
        }
        node->next = pool->unused[node->leaf_cnt];
        pool->unused[node->leaf_cnt] = node;
    }
}
