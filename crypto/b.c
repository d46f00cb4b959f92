/* The two domain-separated forms of BLAKE3: H for the chain, B for trees and records. */
#include <string.h>

#include "crypto/crypto_internal.h"

#define LABEL_MAX 64u

void ses_h(struct ses_hash *out, const char *label, const struct ses_part *parts, size_t part_cnt)
{
    static const char prefix[] = "session lp046 v1 ";
    struct ses_hash key;
    uint32_t words[8];
    SES_ASSERT(strlen(label) <= LABEL_MAX);
    ses_blake3_parts(
        &key, SES_BLAKE3_IV, SES_BLAKE3_CONTEXT,
        SES_PARTS(SES_PART(prefix, sizeof prefix - 1), SES_PART(label, strlen(label))));
    ses_blake3_words(words, key.bytes);
    ses_blake3_parts(out, words, SES_BLAKE3_MATERIAL, parts, part_cnt);
}

uint64_t ses_draw(const char *label, uint64_t bound, const struct ses_part *parts, size_t part_cnt)
{
    struct ses_hash hash;
    SES_ASSERT(bound > 0);
    ses_h(&hash, label, parts, part_cnt);
    return ses_get_u64(hash.bytes) % bound;
}

void ses_b(struct ses_hash *out, enum ses_tag tag, const struct ses_part *parts, size_t part_cnt)
{
    const uint32_t key[8] = {(uint32_t)tag};
    ses_blake3_parts(out, key, SES_BLAKE3_KEYED, parts, part_cnt);
}

void ses_b_batch(struct ses_hash *out, enum ses_tag tag, const uint8_t *in, size_t len,
                 size_t stride, size_t cnt)
{
    const uint32_t key[8] = {(uint32_t)tag};
    const struct ses_blake3_many how = {.key = key,
                                        .flags = SES_BLAKE3_KEYED,
                                        .start = SES_BLAKE3_CHUNK_START,
                                        .end = SES_BLAKE3_CHUNK_END | SES_BLAKE3_ROOT};
    ses_blake3_hash_many((uint8_t *)out, &how, in, len, stride, cnt);
}
