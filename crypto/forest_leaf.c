/* Leaves, their keys and their segments. */
#include <string.h>

#include "crypto/forest_internal.h"

#define TS_AT SES_LEAF_KEY_BYTES
#define CLASS_AT (TS_AT + 8u)
#define KIND_AT (CLASS_AT + 1u)
#define SIZE_AT (KIND_AT + 1u)
_Static_assert(SIZE_AT + 4u == SES_LEAF_BYTES, "leaf: 78 bytes (storage page)");

#define TTL_CLASS_MAX 4u
#define KIND_MAX 1u

void ses_leaf_encode(uint8_t out[SES_LEAF_BYTES], const struct ses_leaf *leaf)
{
    memcpy(out, leaf->key.bytes, sizeof leaf->key.bytes);
    ses_put_u64(out + TS_AT, leaf->ts_ms);
    out[CLASS_AT] = leaf->ttl_class;
    out[KIND_AT] = leaf->kind;
    ses_put_u32(out + SIZE_AT, leaf->size);
}

void ses_leaf_decode(struct ses_leaf *out, const uint8_t in[SES_LEAF_BYTES])
{
    memset(out, 0, sizeof *out);
    memcpy(out->key.bytes, in, sizeof out->key.bytes);
    out->ts_ms = ses_get_u64(in + TS_AT);
    out->ttl_class = in[CLASS_AT];
    out->kind = in[KIND_AT];
    out->size = ses_get_u32(in + SIZE_AT);
}

enum ses_err ses_leaf_validate(const struct ses_leaf *leaf)
{
    SES_REQUIRE(leaf->ttl_class <= TTL_CLASS_MAX, SES_ERR_MALFORMED);
    SES_REQUIRE(leaf->kind <= KIND_MAX, SES_ERR_MALFORMED);
    SES_REQUIRE(leaf->ts_ms / HOUR_MS <= UINT32_MAX, SES_ERR_MALFORMED);
    return SES_OK;
}

void ses_leaf_segment(struct ses_segment_id *out, const struct ses_leaf *leaf)
{
    SES_ASSERT(leaf->ts_ms / HOUR_MS <= UINT32_MAX);
    out->bytes[0] = leaf->ttl_class;
    ses_put_u32(out->bytes + 1, (uint32_t)(leaf->ts_ms / HOUR_MS));
}

int ses_leaf_key_compare(const struct ses_leaf_key *a, const struct ses_leaf_key *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool ses_leaf_key_next(struct ses_leaf_key *key)
{
    unsigned at = SES_LEAF_KEY_BYTES;
    while (at > 0 && key->bytes[at - 1] == 0xff) {
        at--;
    }
    if (at == 0) {
        return false;
    }
    key->bytes[at - 1]++;
    memset(key->bytes + at, 0, SES_LEAF_KEY_BYTES - at);
    return true;
}

void ses_leaf_prefix_range(struct ses_leaf_key *low, struct ses_leaf_key *high,
                           const struct ses_leaf_key *prefix, unsigned nibble_cnt)
{
    SES_ASSERT(nibble_cnt <= SES_LEAF_NIBBLES);
    const unsigned whole = nibble_cnt / 2;
    memset(low->bytes, 0, sizeof low->bytes);
    memset(high->bytes, 0xff, sizeof high->bytes);
    memcpy(low->bytes, prefix->bytes, whole);
    memcpy(high->bytes, prefix->bytes, whole);
    if (nibble_cnt % 2 != 0) {
        low->bytes[whole] = prefix->bytes[whole] & 0xf0;
        high->bytes[whole] = prefix->bytes[whole] | 0x0f;
    }
}

unsigned forest_differ(const uint8_t *a, const uint8_t *b, unsigned from, unsigned to)
{
    while (from < to && forest_nibble(a, from) == forest_nibble(b, from)) {
        /* whole bytes at once where two nibbles begin one */
        const bool aligned = from % 2 == 0 && from + 1 < to;
        from += aligned && a[from / 2] == b[from / 2] ? 2 : 1;
    }
    return from;
}

int forest_compare(const uint8_t *a, const uint8_t *b, unsigned nibble_cnt)
{
    const int order = memcmp(a, b, nibble_cnt / 2);
    if (order != 0 || nibble_cnt % 2 == 0) {
        return order;
    }
    return (int)forest_nibble(a, nibble_cnt - 1) - (int)forest_nibble(b, nibble_cnt - 1);
}

unsigned forest_skip_pack(uint8_t out[64], const uint8_t *key, unsigned depth, unsigned end)
{
    memset(out, 0, 64);
    for (unsigned i = 0; i < end - depth; i++) {
        out[i / 2] |= (uint8_t)(forest_nibble(key, depth + i) << (i % 2 == 0 ? 4 : 0));
    }
    return (end - depth + 1) / 2;
}

void forest_sum_put(uint8_t out[SUM_BYTES], const struct ses_sum *sum)
{
    memcpy(out, sum->hash.bytes, 32);
    ses_put_u64(out + 32, sum->count);
    ses_put_u64(out + 40, sum->bytes);
}
