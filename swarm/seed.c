/* Seeds, ranks and the way from an inbox to its swarm. */
#include <string.h>

#include "swarm/swarm_internal.h"

uint32_t ses_swarm_of(const struct ses_hash *digest, uint32_t num_swarms)
{
    SES_ASSERT(num_swarms > 0 && (num_swarms & (num_swarms - 1)) == 0);
    /* modulo a power of two, of a big-endian number: its last bits */
    return ses_get_u32(digest->bytes + sizeof(digest->bytes) - 4) & (num_swarms - 1);
}

static void derive_init(struct ses_blake3 *b, const char *label)
{
    static const char prefix[] = "session lp046 v1 ";
    char context[64];
    const size_t len = strlen(label);
    SES_ASSERT(len < sizeof(context) - sizeof(prefix));
    memcpy(context, prefix, sizeof(prefix) - 1);
    memcpy(context + sizeof(prefix) - 1, label, len + 1);
    ses_blake3_init_derive(b, context);
}

void ses_epoch_seed(struct ses_hash *out, const struct ses_hash *seed, uint64_t epoch,
                    const struct ses_hash *reveals, size_t reveal_cnt,
                    const struct ses_hash *parent_block)
{
    struct ses_blake3 b;
    uint8_t number[8];
    ses_put_u64(number, epoch);
    derive_init(&b, "epoch-seed");
    ses_blake3_update(&b, seed->bytes, sizeof(seed->bytes));
    ses_blake3_update(&b, number, sizeof(number));
    if (reveal_cnt == 0) {
        ses_blake3_update(&b, parent_block->bytes, sizeof(parent_block->bytes));
    }
    for (size_t i = 0; i < reveal_cnt; i++) {
        ses_blake3_update(&b, reveals[i].bytes, sizeof(reveals[i].bytes));
    }
    ses_blake3_final(&b, out);
}

void ses_genesis_seed(struct ses_hash *out, const struct ses_hash *chain_id)
{
    const uint8_t epoch[8] = {0};
    ses_h(out, "epoch-seed",
          SES_PARTS(SES_PART(chain_id->bytes, 32), SES_PART(epoch, sizeof(epoch))));
}

void ses_ranker_init(struct ses_ranker *r, const char *label, const struct ses_hash *seed)
{
    derive_init(&r->primed, label);
    ses_blake3_update(&r->primed, seed->bytes, sizeof(seed->bytes));
}

void ses_ranker_init_u32(struct ses_ranker *r, const char *label, const struct ses_hash *seed,
                         uint32_t number)
{
    uint8_t bytes[4];
    ses_put_u32(bytes, number);
    ses_ranker_init(r, label, seed);
    ses_blake3_update(&r->primed, bytes, sizeof(bytes));
}

void ses_ranker_node(const struct ses_ranker *r, struct ses_hash *out,
                     const struct ses_node_id *node_id)
{
    struct ses_blake3 b = r->primed;
    ses_blake3_update(&b, node_id->bytes, sizeof(node_id->bytes));
    ses_blake3_final(&b, out);
}

void ses_ranker_u32(const struct ses_ranker *r, struct ses_hash *out, uint32_t number)
{
    struct ses_blake3 b = r->primed;
    uint8_t bytes[4];
    ses_put_u32(bytes, number);
    ses_blake3_update(&b, bytes, sizeof(bytes));
    ses_blake3_final(&b, out);
}
