/* Head, epoch records and parameters as JSON. */
#include <string.h>

#include "rpc/rpc_internal.h"

json_t *ses_json_head(const struct ses_chain_head *head)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "chainId", ses_json_hex(head->chain_id.bytes, 32),
        "blockId", ses_json_hex(head->block_id.bytes, 32), "stateRoot",
        ses_json_hex(head->state_root.bytes, 32), "height", ses_json_u64(head->height), "timestamp",
        ses_json_u64(head->timestamp), "epoch", ses_json_u64(head->epoch));
}

static json_t *canonical_roots(const struct ses_epoch *epoch)
{
    json_t *roots = json_array();
    for (uint32_t i = 0; roots != NULL && i < epoch->canonical_cnt; i++) {
        const struct ses_canonical_root *c = &epoch->canonical[i];
        json_array_append_new(roots,
                              json_pack("{s:o, s:o, s:o, s:o}", "swarmId", ses_json_swarm(c->swarm),
                                        "root", ses_json_hex(c->root.bytes, 32), "count",
                                        ses_json_u64(c->count), "bytes", ses_json_u64(c->bytes)));
    }
    if (json_array_size(roots) != epoch->canonical_cnt) {
        json_decref(roots);
        return NULL;
    }
    return roots;
}

json_t *ses_json_epoch(const struct ses_epoch *epoch)
{
    return json_pack(
        "{s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:b, s:o, s:o}", "epoch", ses_json_u64(epoch->epoch),
        "parentBlock", ses_json_hex(epoch->parent_block.bytes, 32), "seed",
        ses_json_hex(epoch->seed.bytes, 32), "numSwarms", (json_int_t)epoch->num_swarms,
        "activeCount", ses_json_u64(epoch->active_cnt), "totalBonded",
        ses_json_u64(epoch->total_bonded), "registryRoot",
        ses_json_hex(epoch->registry_root.bytes, 32), "outage", (int)epoch->outage, "missCount",
        ses_json_u64(epoch->miss_cnt), "canonicalRoots", canonical_roots(epoch));
}

enum ses_err ses_json_read_epoch(const json_t *json, struct ses_epoch *epoch, struct ses_note *note)
{
    struct ses_epoch e = {0};
    memset(epoch, 0, sizeof *epoch);
    SES_TRY(ses_json_get_u64(json, "epoch", &e.epoch, note));
    SES_TRY(ses_json_get_hex(json, "parentBlock", e.parent_block.bytes, 32, note));
    SES_TRY(ses_json_get_hex(json, "seed", e.seed.bytes, 32, note));
    SES_TRY(ses_json_get_u32(json, "numSwarms", &e.num_swarms, note));
    SES_TRY(ses_json_get_u64(json, "activeCount", &e.active_cnt, note));
    SES_TRY(ses_json_get_u64(json, "totalBonded", &e.total_bonded, note));
    SES_TRY(ses_json_get_hex(json, "registryRoot", e.registry_root.bytes, 32, note));
    SES_TRY(ses_json_get_bool(json, "outage", &e.outage, note));
    SES_TRY(ses_json_get_u64(json, "missCount", &e.miss_cnt, note));
    *epoch = e;
    return SES_OK;
}

json_t *ses_json_params(const struct ses_params *params, uint64_t genesis_timestamp,
                        const char *network_name, const struct ses_hash *chain_id)
{
    json_t *all = json_object();
    int bad = all == NULL;
#define SES_X(field, key, value) bad |= json_object_set_new(all, key, ses_json_u64(params->field));
    SES_PARAMS(SES_X)
#undef SES_X
    if (bad != 0) {
        json_decref(all);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:o, s:o}", "networkName", network_name, "chainId",
                     ses_json_hex(chain_id->bytes, 32), "genesisTimestamp",
                     ses_json_u64(genesis_timestamp), "params", all);
}
