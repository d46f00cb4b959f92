/* Registry rows and their root. */
#include "protocol/node.h"

#include "protocol/protocol_internal.h"

void ses_registry_row_hash(struct ses_hash *out, const struct ses_registry_row *row)
{
    uint8_t numbers[1 + 4 + 4];
    numbers[0] = (uint8_t)row->status;
    ses_put_u32(numbers + 1, row->swarm);
    ses_put_u32(numbers + 5, row->prev_swarm);
    ses_b(out, SES_TAG_ROW,
          SES_PARTS(SES_PART(row->node_id.bytes, 20), SES_PART(row->owner.bytes, 20),
                    SES_PART(numbers, sizeof numbers), SES_PART(row->keys_hash.bytes, 32)));
}

void ses_registry_root(struct ses_hash *out, const struct ses_hash *chain_id, uint64_t epoch,
                       const struct ses_hash *seed, uint32_t num_swarms,
                       struct ses_hash *row_hashes, uint32_t row_cnt)
{
    struct ses_hash rows;
    uint8_t epoch_bytes[8];
    uint8_t counts[4 + 4];
    ses_mt(&rows, row_hashes, row_cnt);
    ses_put_u64(epoch_bytes, epoch);
    ses_put_u32(counts, num_swarms);
    ses_put_u32(counts + 4, row_cnt);
    ses_b(out, SES_TAG_REGISTRY,
          SES_PARTS(SES_PART(chain_id->bytes, 32), SES_PART(epoch_bytes, 8),
                    SES_PART(seed->bytes, 32), SES_PART(counts, sizeof counts),
                    SES_PART(rows.bytes, 32)));
}
