#include "tests/sim/sim.h"

/* splitmix64, by Sebastiano Vigna, public domain. */
uint64_t dice_u64(struct dice *d)
{
    d->state += 0x9e3779b97f4a7c15u;
    uint64_t z = d->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill(void *ctx, void *out, size_t len)
{
    uint8_t *at = out;
    for (size_t i = 0; i < len; i += 8) {
        uint8_t word[8];
        ses_put_u64(word, dice_u64(ctx));
        memcpy(at + i, word, len - i < 8 ? len - i : 8);
    }
}

void dice_init(struct dice *d, uint64_t seed, const char *stream, uint64_t index)
{
    struct ses_blake3 b;
    struct ses_hash hash;
    uint8_t numbers[16];
    ses_put_u64(numbers, seed);
    ses_put_u64(numbers + 8, index);
    ses_blake3_init(&b);
    ses_blake3_update(&b, numbers, sizeof numbers);
    ses_blake3_update(&b, stream, strlen(stream));
    ses_blake3_final(&b, &hash);
    d->state = ses_get_u64(hash.bytes);
    d->random = (struct ses_random){.ctx = d, .fill = fill};
}

uint64_t dice_below(struct dice *d, uint64_t bound)
{
    SES_ASSERT(bound > 0);
    return dice_u64(d) % bound; /* the bias is far below what a simulation can tell */
}

uint64_t dice_between(struct dice *d, uint64_t low, uint64_t high)
{
    SES_ASSERT(low <= high);
    return low + dice_below(d, high - low + 1);
}

bool dice_chance(struct dice *d, uint64_t permille)
{
    return dice_below(d, 1000) < permille;
}
