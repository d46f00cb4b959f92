/* The hashes of the state trie's nodes, which are those of model/state.py. */
#include <string.h>

#include "crypto/trie_internal.h"

void trie_leaves_root(struct ses_hash *out, const struct trie_leaf *leaves, unsigned leaf_cnt)
{
    struct ses_hash hashes[TRIE_BUCKET_MAX];
    _Static_assert(sizeof *leaves == 64, "key and value are adjacent");
    SES_ASSERT(leaf_cnt <= TRIE_BUCKET_MAX);
    ses_b_batch(hashes, SES_TAG_STATE_LEAF, leaves->key.bytes, 64, sizeof *leaves, leaf_cnt);
    ses_mt(out, hashes, leaf_cnt);
}

void trie_bucket_hash(struct ses_hash *out, unsigned leaf_cnt, const struct ses_hash *leaves_root)
{
    const uint8_t n = (uint8_t)leaf_cnt;
    ses_b(out, SES_TAG_STATE_BUCKET,
          SES_PARTS(SES_PART(&n, 1), SES_PART(leaves_root->bytes, sizeof leaves_root->bytes)));
}

unsigned trie_skip_pack(uint8_t out[32], const struct ses_hash *key, unsigned depth, unsigned end)
{
    memset(out, 0, 32);
    for (unsigned i = 0; i < end - depth; i++) {
        out[i / 2] |= (uint8_t)(trie_nibble(key, depth + i) << (i % 2 == 0 ? 4 : 0));
    }
    return (end - depth + 1) / 2;
}

void trie_branch_hash(struct ses_hash *out, const struct ses_hash *key, unsigned depth,
                      unsigned end, uint16_t bitmap, const struct ses_hash *children_root)
{
    const uint8_t skip_len = (uint8_t)(end - depth);
    uint8_t skip[32];
    uint8_t bits[2];
    const unsigned skip_bytes = trie_skip_pack(skip, key, depth, end);
    ses_put_u16(bits, bitmap);
    ses_b(out, SES_TAG_STATE_NODE,
          SES_PARTS(SES_PART(&skip_len, 1), SES_PART(skip, skip_bytes), SES_PART(bits, sizeof bits),
                    SES_PART(children_root->bytes, sizeof children_root->bytes)));
}

unsigned trie_children(struct ses_hash out[16], uint16_t *bitmap, const struct trie_branch *branch)
{
    unsigned cnt = 0;
    *bitmap = 0;
    for (unsigned i = 0; i < 16; i++) {
        if (branch->children[i] != NULL) {
            out[cnt++] = branch->children[i]->hash;
            *bitmap = (uint16_t)(*bitmap | 1u << i);
        }
    }
    return cnt;
}
