/* BLAKE3 over messages of any length: a message is cut into chunks of 1 KiB, whose hashes are the
 * leaves of a binary tree; the stack holds the finished subtrees on the right edge. */
#include <string.h>

#include "crypto/crypto_internal.h"

#define CHUNK SES_BLAKE3_CHUNK
#define GROUP_MAX 64u /* chunks hashed and joined in one go */

/* The last block of a node, kept back because the root is compressed otherwise. */
struct output {
    uint32_t cv[8];
    uint8_t block[64];
    uint64_t counter;
    uint32_t len;
    uint32_t flags;
};

static void words_to_bytes(uint8_t out[32], const uint32_t words[8])
{
    for (unsigned i = 0; i < 8; i++) {
        out[4 * i] = (uint8_t)words[i];
        out[4 * i + 1] = (uint8_t)(words[i] >> 8);
        out[4 * i + 2] = (uint8_t)(words[i] >> 16);
        out[4 * i + 3] = (uint8_t)(words[i] >> 24);
    }
}

static void chunk_output(struct output *out, const uint32_t key[8], uint32_t mode, uint64_t counter,
                         const uint8_t *bytes, size_t len)
{
    memcpy(out->cv, key, sizeof out->cv);
    out->counter = counter;
    out->flags = mode | SES_BLAKE3_CHUNK_START;
    for (; len > 64; len -= 64) {
        ses_blake3_compress(out->cv, bytes, counter, 64, out->flags);
        bytes += 64;
        out->flags = mode;
    }
    memset(out->block, 0, sizeof out->block);
    if (len > 0) {
        memcpy(out->block, bytes, len);
    }
    out->len = (uint32_t)len;
    out->flags |= SES_BLAKE3_CHUNK_END;
}

static void output_cv(uint32_t cv[8], const struct output *o)
{
    memcpy(cv, o->cv, sizeof o->cv);
    ses_blake3_compress(cv, o->block, o->counter, o->len, o->flags);
}

static void parent_output(struct output *out, const struct ses_blake3 *b, const uint32_t left[8],
                          const uint32_t right[8])
{
    memcpy(out->cv, b->key, sizeof out->cv);
    words_to_bytes(out->block, left);
    words_to_bytes(out->block + 32, right);
    out->counter = 0;
    out->len = 64;
    out->flags = b->flags | SES_BLAKE3_PARENT;
}

static void output_root(const struct output *o, uint8_t *out, size_t len)
{
    uint8_t block[64];
    for (uint64_t i = 0; len > 0; i++) {
        const size_t used = len < 64 ? len : 64;
        ses_blake3_compress_xof(block, o->cv, o->block, i, o->len, o->flags | SES_BLAKE3_ROOT);
        memcpy(out, block, used);
        out += used;
        len -= used;
    }
}

static void init(struct ses_blake3 *b, const uint32_t key[8], uint8_t flags)
{
    memcpy(b->key, key, sizeof b->key);
    b->chunk_cnt = 0;
    b->chunk_bytes = 0;
    b->stack_cnt = 0;
    b->flags = flags;
}

void ses_blake3_init(struct ses_blake3 *b)
{
    init(b, SES_BLAKE3_IV, 0);
}

void ses_blake3_init_keyed(struct ses_blake3 *b, const uint8_t key[32])
{
    uint32_t words[8];
    ses_blake3_words(words, key);
    init(b, words, SES_BLAKE3_KEYED);
}

void ses_blake3_init_derive(struct ses_blake3 *b, const char *context)
{
    struct ses_hash key;
    uint32_t words[8];
    ses_blake3_parts(&key, SES_BLAKE3_IV, SES_BLAKE3_CONTEXT,
                     SES_PARTS(SES_PART(context, strlen(context))));
    ses_blake3_words(words, key.bytes);
    init(b, words, SES_BLAKE3_MATERIAL);
}

/* Adds a finished subtree of 2^level chunks, joining it with its left neighbours of the same size.
 * More input is known to follow, so none of them is the root. */
static void push_subtree(struct ses_blake3 *b, const uint32_t cv[8], unsigned level)
{
    uint32_t node[8];
    struct output o;
    memcpy(node, cv, sizeof node);
    b->chunk_cnt += 1ull << level;
    for (uint64_t size = b->chunk_cnt >> level; (size & 1) == 0; size >>= 1) {
        parent_output(&o, b, b->stack[--b->stack_cnt], node);
        output_cv(node, &o);
    }
    SES_ASSERT(b->stack_cnt < 54);
    memcpy(b->stack[b->stack_cnt++], node, sizeof node);
}

static void push_chunk(struct ses_blake3 *b)
{
    struct output o;
    uint32_t cv[8];
    chunk_output(&o, b->key, b->flags, b->chunk_cnt, b->chunk, CHUNK);
    output_cv(cv, &o);
    push_subtree(b, cv, 0);
    b->chunk_bytes = 0;
}

/* The largest group of chunks, as a power of two, that ends before `len` bytes do and is a whole
 * subtree at this place; below a lane group it does not pay. */
static unsigned group_level(const struct ses_blake3 *b, size_t len)
{
    for (unsigned level = 6; level >= 3; level--) {
        const size_t cnt = (size_t)1 << level;
        if (len > cnt * CHUNK && b->chunk_cnt % cnt == 0) {
            return level;
        }
    }
    return 0;
}

static void push_group(struct ses_blake3 *b, const uint8_t *bytes, unsigned level)
{
    uint8_t nodes[GROUP_MAX * 32];
    uint32_t cv[8];
    size_t cnt = (size_t)1 << level;
    const struct ses_blake3_many chunks = {.key = b->key,
                                           .counter = b->chunk_cnt,
                                           .count_up = 1,
                                           .flags = b->flags,
                                           .start = SES_BLAKE3_CHUNK_START,
                                           .end = SES_BLAKE3_CHUNK_END};
    const struct ses_blake3_many parents = {.key = b->key, .flags = b->flags | SES_BLAKE3_PARENT};
    ses_blake3_hash_many(nodes, &chunks, bytes, CHUNK, CHUNK, cnt);
    for (; cnt > 1; cnt /= 2) {
        ses_blake3_hash_many(nodes, &parents, nodes, 64, 64, cnt / 2);
    }
    ses_blake3_words(cv, nodes);
    push_subtree(b, cv, level);
}

void ses_blake3_update(struct ses_blake3 *b, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        if (b->chunk_bytes == CHUNK) {
            push_chunk(b);
        }
        const unsigned level = b->chunk_bytes == 0 ? group_level(b, len) : 0;
        size_t used;
        if (level > 0) {
            used = (size_t)CHUNK << level;
            push_group(b, at, level);
        } else {
            used = len < CHUNK - b->chunk_bytes ? len : CHUNK - b->chunk_bytes;
            memcpy(b->chunk + b->chunk_bytes, at, used);
            b->chunk_bytes += (uint32_t)used;
        }
        at += used;
        len -= used;
    }
}

void ses_blake3_final_xof(const struct ses_blake3 *b, void *out, size_t out_len)
{
    struct output o;
    uint32_t cv[8];
    chunk_output(&o, b->key, b->flags, b->chunk_cnt, b->chunk, b->chunk_bytes);
    for (unsigned i = b->stack_cnt; i > 0; i--) {
        output_cv(cv, &o);
        parent_output(&o, b, b->stack[i - 1], cv);
    }
    output_root(&o, out, out_len);
}

void ses_blake3_final(const struct ses_blake3 *b, struct ses_hash *out)
{
    ses_blake3_final_xof(b, out->bytes, sizeof out->bytes);
}

static void hash_chunk(struct ses_hash *out, const uint32_t key[8], uint8_t flags,
                       const uint8_t *bytes, size_t len)
{
    struct output o;
    chunk_output(&o, key, flags, 0, bytes, len);
    o.flags |= SES_BLAKE3_ROOT;
    output_cv(o.cv, &o);
    words_to_bytes(out->bytes, o.cv);
}

void ses_blake3_hash(struct ses_hash *out, const void *bytes, size_t len)
{
    ses_blake3_parts(out, SES_BLAKE3_IV, 0, SES_PARTS(SES_PART(bytes, len)));
}

void ses_blake3_parts(struct ses_hash *out, const uint32_t key[8], uint8_t flags,
                      const struct ses_part *parts, size_t part_cnt)
{
    uint8_t chunk[CHUNK];
    size_t len = 0;
    size_t i = 0;
    if (part_cnt == 1 && parts[0].len <= CHUNK) {
        hash_chunk(out, key, flags, parts[0].bytes, parts[0].len);
        return;
    }
    for (; i < part_cnt && parts[i].len <= CHUNK - len; i++) {
        if (parts[i].len > 0) {
            memcpy(chunk + len, parts[i].bytes, parts[i].len);
            len += parts[i].len;
        }
    }
    if (i == part_cnt) {
        hash_chunk(out, key, flags, chunk, len);
        return;
    }
    struct ses_blake3 b;
    init(&b, key, flags);
    ses_blake3_update(&b, chunk, len);
    for (; i < part_cnt; i++) {
        ses_blake3_update(&b, parts[i].bytes, parts[i].len);
    }
    ses_blake3_final(&b, out);
}
