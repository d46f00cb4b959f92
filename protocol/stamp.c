#include "protocol/protocol_internal.h"
#include "protocol/record.h"

#define STAMP_BYTES 40u /* id 32, nonce 8 */
#define LANES 8u
#define BITS_BASE 16u

unsigned ses_stamp_bits(uint32_t payload_bytes)
{
    unsigned bits = BITS_BASE;
    for (uint32_t kib = payload_bytes / 1024 + (payload_bytes % 1024 != 0); kib > 1; kib /= 2) {
        bits++;
    }
    return bits;
}

static bool has_zero_bits(const struct ses_hash *hash, unsigned bits)
{
    if (bits > 8 * sizeof hash->bytes) {
        return false;
    }
    for (unsigned i = 0; i < bits / 8; i++) {
        if (hash->bytes[i] != 0) {
            return false;
        }
    }
    return bits % 8 == 0 || hash->bytes[bits / 8] >> (8 - bits % 8) == 0;
}

bool ses_stamp_check(const struct ses_hash *id, uint64_t nonce, unsigned bits)
{
    uint8_t nonce_bytes[8];
    struct ses_hash hash;
    ses_put_u64(nonce_bytes, nonce);
    ses_b(&hash, SES_TAG_WORK,
          SES_PARTS(SES_PART(id->bytes, sizeof id->bytes), SES_PART(nonce_bytes, 8)));
    return has_zero_bits(&hash, bits);
}

/* The first of `cnt` <= LANES nonces from `first` that passes; LANES if none does. */
static unsigned try_lanes(uint8_t in[LANES][STAMP_BYTES], uint64_t first, unsigned cnt,
                          unsigned bits)
{
    struct ses_hash hashes[LANES];
    for (unsigned i = 0; i < cnt; i++) {
        ses_put_u64(in[i] + 32, first + i);
    }
    ses_b_batch(hashes, SES_TAG_WORK, in[0], STAMP_BYTES, STAMP_BYTES, cnt);
    for (unsigned i = 0; i < cnt; i++) {
        if (has_zero_bits(&hashes[i], bits)) {
            return i;
        }
    }
    return LANES;
}

enum ses_err ses_stamp_find(uint64_t *nonce, const struct ses_hash *id, unsigned bits,
                            uint64_t start, uint64_t tries)
{
    uint8_t in[LANES][STAMP_BYTES];
    for (unsigned i = 0; i < LANES; i++) {
        memcpy(in[i], id->bytes, sizeof id->bytes);
    }
    *nonce = 0;
    /* the last nonce is 2^64 - 1: no wrapping around, the result is the least >= start */
    uint64_t left = tries < UINT64_MAX - start ? tries : UINT64_MAX - start;
    for (uint64_t first = start; left > 0;) {
        const unsigned cnt = left < LANES ? (unsigned)left : LANES;
        const unsigned found = try_lanes(in, first, cnt, bits);
        if (found < LANES) {
            *nonce = first + found;
            return SES_OK;
        }
        first += cnt;
        left -= cnt;
    }
    return SES_ERR_AGAIN;
}
