/* BLAKE3's compression function, for one block and for eight at a time. */
#include <string.h>

#include "crypto/crypto_internal.h"

#define LANES SES_BLAKE3_LANES

#define INLINE static inline __attribute__((always_inline))

/* The compiler writes one copy per instruction set and picks at load time. ThreadSanitizer is not
 * up yet when such a choice is made. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define CLONES
#endif

const uint32_t SES_BLAKE3_IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* Which message word a round uses where: the permutation applied 0 to 6 times. */
static const uint8_t SCHEDULE[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

/* ---- one block: the rows of the state are vectors, so that four mixes go on at once ---- */

typedef uint32_t row __attribute__((vector_size(16)));

INLINE void rotate(row *x, unsigned by)
{
    *x = *x >> by | *x << (32 - by);
}

INLINE void mix(row v[4], row x, row y)
{
    v[0] += v[1] + x;
    v[3] ^= v[0];
    rotate(&v[3], 16);
    v[2] += v[3];
    v[1] ^= v[2];
    rotate(&v[1], 12);
    v[0] += v[1] + y;
    v[3] ^= v[0];
    rotate(&v[3], 8);
    v[2] += v[3];
    v[1] ^= v[2];
    rotate(&v[1], 7);
}

/* Columns, then diagonals: the second row, which all wait for, stays where it is. */
INLINE void mix_round(row v[4], const uint32_t m[16], const uint8_t s[16])
{
    mix(v, (row){m[s[0]], m[s[2]], m[s[4]], m[s[6]]}, (row){m[s[1]], m[s[3]], m[s[5]], m[s[7]]});
    v[0] = __builtin_shufflevector(v[0], v[0], 3, 0, 1, 2);
    v[2] = __builtin_shufflevector(v[2], v[2], 1, 2, 3, 0);
    v[3] = __builtin_shufflevector(v[3], v[3], 2, 3, 0, 1);
    mix(v, (row){m[s[14]], m[s[8]], m[s[10]], m[s[12]]},
        (row){m[s[15]], m[s[9]], m[s[11]], m[s[13]]});
    v[0] = __builtin_shufflevector(v[0], v[0], 1, 2, 3, 0);
    v[2] = __builtin_shufflevector(v[2], v[2], 3, 0, 1, 2);
    v[3] = __builtin_shufflevector(v[3], v[3], 2, 3, 0, 1);
}

INLINE uint32_t load_word(const uint8_t *in)
{
    return (uint32_t)in[3] << 24 | (uint32_t)in[2] << 16 | (uint32_t)in[1] << 8 | in[0];
}

INLINE void store_word(uint8_t *out, uint32_t word)
{
    out[0] = (uint8_t)word;
    out[1] = (uint8_t)(word >> 8);
    out[2] = (uint8_t)(word >> 16);
    out[3] = (uint8_t)(word >> 24);
}

INLINE void run_rounds(row v[4], const uint32_t cv[8], const uint8_t block[64], uint64_t counter,
                       uint32_t len, uint32_t flags)
{
    uint32_t m[16];
    for (unsigned i = 0; i < 16; i++) {
        m[i] = load_word(block + 4 * i);
    }
    memcpy(v, cv, 32);
    memcpy(v + 2, SES_BLAKE3_IV, 16);
    v[3] = (row){(uint32_t)counter, (uint32_t)(counter >> 32), len, flags};
#pragma GCC unroll 7
    for (unsigned r = 0; r < 7; r++) {
        mix_round(v, m, SCHEDULE[r]);
    }
}

void ses_blake3_words(uint32_t out[8], const uint8_t in[32])
{
    for (unsigned i = 0; i < 8; i++) {
        out[i] = load_word(in + 4 * i);
    }
}

CLONES void ses_blake3_compress(uint32_t cv[8], const uint8_t block[64], uint64_t counter,
                                uint32_t len, uint32_t flags)
{
    row v[4];
    run_rounds(v, cv, block, counter, len, flags);
    v[0] ^= v[2];
    v[1] ^= v[3];
    memcpy(cv, v, 32);
}

CLONES void ses_blake3_compress_xof(uint8_t out[64], const uint32_t cv[8], const uint8_t block[64],
                                    uint64_t counter, uint32_t len, uint32_t flags)
{
    row v[4];
    row in[2];
    uint32_t words[16];
    run_rounds(v, cv, block, counter, len, flags);
    memcpy(in, cv, sizeof in);
    v[0] ^= v[2];
    v[1] ^= v[3];
    v[2] ^= in[0];
    v[3] ^= in[1];
    memcpy(words, v, sizeof words);
    for (unsigned i = 0; i < 16; i++) {
        store_word(out + 4 * i, words[i]);
    }
}

/* ---- eight blocks ---- */

typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));

INLINE void rotate8(lanes *x, unsigned by)
{
    *x = *x >> by | *x << (32 - by);
}

INLINE void mix8(lanes v[16], unsigned a, unsigned b, unsigned c, unsigned d, const lanes *x,
                 const lanes *y)
{
    v[a] += v[b] + *x;
    v[d] ^= v[a];
    rotate8(&v[d], 16);
    v[c] += v[d];
    v[b] ^= v[c];
    rotate8(&v[b], 12);
    v[a] += v[b] + *y;
    v[d] ^= v[a];
    rotate8(&v[d], 8);
    v[c] += v[d];
    v[b] ^= v[c];
    rotate8(&v[b], 7);
}

INLINE void mix_round8(lanes v[16], const lanes m[16], const uint8_t s[16])
{
    mix8(v, 0, 4, 8, 12, &m[s[0]], &m[s[1]]);
    mix8(v, 1, 5, 9, 13, &m[s[2]], &m[s[3]]);
    mix8(v, 2, 6, 10, 14, &m[s[4]], &m[s[5]]);
    mix8(v, 3, 7, 11, 15, &m[s[6]], &m[s[7]]);
    mix8(v, 0, 5, 10, 15, &m[s[8]], &m[s[9]]);
    mix8(v, 1, 6, 11, 12, &m[s[10]], &m[s[11]]);
    mix8(v, 2, 7, 8, 13, &m[s[12]], &m[s[13]]);
    mix8(v, 3, 4, 9, 14, &m[s[14]], &m[s[15]]);
}

/* Turns eight rows of eight words into columns: by pairs, by fours, by halves. */
INLINE void transpose(lanes r[8])
{
    lanes a[8];
    lanes b[8];
    for (unsigned i = 0; i < 8; i += 2) {
        a[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        a[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (unsigned i = 0; i < 8; i += 4) {
        b[i] = __builtin_shufflevector(a[i], a[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        b[i + 1] = __builtin_shufflevector(a[i], a[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        b[i + 2] = __builtin_shufflevector(a[i + 1], a[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        b[i + 3] = __builtin_shufflevector(a[i + 1], a[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (unsigned i = 0; i < 4; i++) {
        r[i] = __builtin_shufflevector(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        r[i + 4] = __builtin_shufflevector(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* Message words are little-endian; a big-endian machine turns them after loading. */
INLINE void fix_order(lanes *x)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    *x = *x >> 24 | (*x >> 8 & 0xff00) | (*x << 8 & 0xff0000) | *x << 24;
#else
    (void)x;
#endif
}

INLINE void load_blocks(lanes m[16], const uint8_t *const in[LANES])
{
    for (unsigned i = 0; i < LANES; i++) {
        memcpy(&m[i], in[i], 32);
        memcpy(&m[i + 8], in[i] + 32, 32);
        fix_order(&m[i]);
        fix_order(&m[i + 8]);
    }
    transpose(m);
    transpose(m + 8);
}

struct counters {
    uint32_t low[LANES];
    uint32_t high[LANES];
};

INLINE void compress8(lanes cv[8], const uint8_t *const in[LANES], const struct counters *counters,
                      uint32_t len, uint32_t flags)
{
    lanes m[16];
    lanes v[16];
    load_blocks(m, in);
    for (unsigned i = 0; i < 8; i++) {
        v[i] = cv[i];
    }
    for (unsigned i = 0; i < 4; i++) {
        v[8 + i] = (lanes){0} + SES_BLAKE3_IV[i];
    }
    memcpy(&v[12], counters->low, sizeof v[12]);
    memcpy(&v[13], counters->high, sizeof v[13]);
    v[14] = (lanes){0} + len;
    v[15] = (lanes){0} + flags;
#pragma GCC unroll 7
    for (unsigned r = 0; r < 7; r++) {
        mix_round8(v, m, SCHEDULE[r]);
    }
    for (unsigned i = 0; i < 8; i++) {
        cv[i] = v[i] ^ v[i + 8];
    }
}

/* Eight inputs from their first block to their last. `in` moves on. */
CLONES static void hash8(uint8_t out[LANES][32], const struct ses_blake3_many *how,
                         const uint8_t *in[LANES], size_t len)
{
    struct counters counters;
    lanes cv[8];
    for (unsigned i = 0; i < LANES; i++) {
        const uint64_t counter = how->counter + (how->count_up != 0 ? i : 0);
        counters.low[i] = (uint32_t)counter;
        counters.high[i] = (uint32_t)(counter >> 32);
        cv[i] = (lanes){0} + how->key[i];
    }
    uint32_t flags = how->flags | how->start;
    for (; len > 64; len -= 64) {
        compress8(cv, in, &counters, 64, flags);
        for (unsigned i = 0; i < LANES; i++) {
            in[i] += 64;
        }
        flags = how->flags;
    }
    uint8_t padded[LANES][64];
    for (unsigned i = 0; i < LANES && len < 64; i++) {
        memset(padded[i], 0, sizeof padded[i]);
        memcpy(padded[i], in[i], len);
        in[i] = padded[i];
    }
    compress8(cv, in, &counters, (uint32_t)len, flags | how->end);
    transpose(cv);
    for (unsigned i = 0; i < LANES; i++) {
        fix_order(&cv[i]);
        memcpy(out[i], &cv[i], 32);
    }
}

static void hash1(uint8_t out[32], const struct ses_blake3_many *how, const uint8_t *in, size_t len)
{
    uint32_t cv[8];
    uint8_t last[64] = {0};
    uint32_t flags = how->flags | how->start;
    memcpy(cv, how->key, sizeof cv);
    for (; len > 64; len -= 64) {
        ses_blake3_compress(cv, in, how->counter, 64, flags);
        in += 64;
        flags = how->flags;
    }
    memcpy(last, in, len);
    ses_blake3_compress(cv, last, how->counter, (uint32_t)len, flags | how->end);
    for (unsigned i = 0; i < 8; i++) {
        store_word(out + 4 * i, cv[i]);
    }
}

void ses_blake3_hash_many(uint8_t *out, const struct ses_blake3_many *how, const uint8_t *in,
                          size_t len, size_t stride, size_t cnt)
{
    SES_ASSERT(len > 0 && len <= SES_BLAKE3_CHUNK);
    struct ses_blake3_many group = *how;
    while (cnt > 1) {
        const size_t used = cnt < LANES ? cnt : LANES;
        const uint8_t *lane_in[LANES];
        uint8_t lane_out[LANES][32];
        for (size_t i = 0; i < LANES; i++) { /* a lane without input repeats the first one */
            lane_in[i] = in + (i < used ? i * stride : 0);
        }
        hash8(lane_out, &group, lane_in, len);
        memcpy(out, lane_out, 32 * used);
        group.counter += how->count_up != 0 ? used : 0;
        out += 32 * used;
        in += used * stride;
        cnt -= used;
    }
    if (cnt == 1) {
        hash1(out, &group, in, len);
    }
}
