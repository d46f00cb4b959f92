/* Service nodes, their keys and registry rows as JSON. */
#include <string.h>

#include "rpc/rpc_internal.h"

json_t *ses_json_endpoint(const struct ses_endpoint *endpoint)
{
    json_t *addrs = json_array();
    for (uint8_t i = 0; i < endpoint->addr_cnt; i++) {
        json_array_append_new(addrs,
                              ses_json_hex(endpoint->addrs[i].bytes, endpoint->addrs[i].len));
    }
    if (json_array_size(addrs) != endpoint->addr_cnt) {
        json_decref(addrs);
        return NULL;
    }
    return json_pack("{s:o, s:o}", "peerKey", ses_json_hex(endpoint->peer_key.bytes, 32), "addrs",
                     addrs);
}

json_t *ses_json_keys(const struct ses_node_keys *keys)
{
    return json_pack("{s:o, s:o, s:o}", "publicKey",
                     ses_json_hex(keys->public_key.bytes, SES_DSA_PK_BYTES), "encryptionKey",
                     ses_json_hex(keys->encryption_key.bytes, SES_KEM_PK_BYTES),
                     "prevEncryptionKey",
                     keys->has_prev_encryption_key
                         ? ses_json_hex(keys->prev_encryption_key.bytes, SES_KEM_PK_BYTES)
                         : json_null());
}

/* Adds the members of `keys` and "endpoint" to `json`; NULL (and `json` gone) if that fails. */
static json_t *with_keys(json_t *json, const struct ses_node_keys *keys,
                         const struct ses_endpoint *endpoint)
{
    int bad = json == NULL;
    if (keys != NULL) {
        json_t *more = ses_json_keys(keys);
        bad |= json_object_update(json, more);
        json_decref(more);
    }
    if (endpoint != NULL) {
        bad |= json_object_set_new(json, "endpoint", ses_json_endpoint(endpoint));
    }
    if (bad != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

json_t *ses_json_node(const struct ses_node *node, const struct ses_node_keys *keys,
                      const struct ses_endpoint *endpoint)
{
    json_t *json = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, "
        "s:o, s:o, s:o, s:o, s:o}",
        "nodeId", ses_json_node_id(&node->node_id), "owner", ses_json_account(&node->owner),
        "stake", ses_json_u64(node->stake), "principal", ses_json_u64(node->principal), "swarmId",
        ses_json_swarm(node->swarm), "prevSwarmId", ses_json_swarm(node->prev_swarm),
        "swarmFromEpoch", ses_json_u64(node->swarm_from_epoch), "nextCommit",
        ses_json_hex(node->next_commit.bytes, 32), "status", ses_node_status_text(node->status),
        "registeredAt", ses_json_u64(node->registered_at), "lastPingAt",
        ses_json_u64(node->last_ping_at), "uptimeScore", (int)ses_node_uptime_bps(node),
        "uptimeBits", ses_json_hex(node->uptime, sizeof node->uptime), "observedBits",
        ses_json_hex(node->observed, sizeof node->observed), "forgivenBits",
        ses_json_hex(node->forgiven, sizeof node->forgiven), "misses", ses_json_u64(node->misses),
        "missesRunning", ses_json_u64(node->misses_running), "slashed", ses_json_u64(node->slashed),
        "deviantCount", ses_json_u64(node->deviant_cnt), "unreachableCount",
        ses_json_u64(node->unreachable_cnt), "capacity", ses_json_u64(node->capacity),
        "decommissionEpoch", ses_json_u64(node->decommission_epoch));
    return with_keys(json, keys, endpoint);
}

enum ses_err ses_json_get_swarm(const json_t *object, const char *key, uint32_t *out,
                                struct ses_note *note)
{
    if (json_is_null(json_object_get(object, key))) {
        *out = SES_SWARM_NONE;
        return SES_OK;
    }
    return ses_json_get_u32(object, key, out, note);
}

enum ses_err ses_json_get_status(const json_t *object, const char *key, enum ses_node_status *out,
                                 struct ses_note *note)
{
    static const enum ses_node_status all[] = {SES_NODE_ACTIVE, SES_NODE_DECOMMISSIONING,
                                               SES_NODE_RETIRED};
    const char *text = NULL;
    SES_TRY(ses_json_get_text(object, key, &text, note));
    for (size_t i = 0; i < SES_COUNT(all); i++) {
        if (strcmp(ses_node_status_text(all[i]), text) == 0) {
            *out = all[i];
            return SES_OK;
        }
    }
    ses_note_set(note, "\"%s\" is no status of a node", key);
    return SES_ERR_INVALID;
}

static enum ses_err read_numbers(const json_t *json, struct ses_node *node, struct ses_note *note)
{
    const struct {
        const char *key;
        uint64_t *out;
    } numbers[] = {
        {"stake", &node->stake},
        {"principal", &node->principal},
        {"swarmFromEpoch", &node->swarm_from_epoch},
        {"registeredAt", &node->registered_at},
        {"lastPingAt", &node->last_ping_at},
        {"misses", &node->misses},
        {"missesRunning", &node->misses_running},
        {"slashed", &node->slashed},
        {"deviantCount", &node->deviant_cnt},
        {"unreachableCount", &node->unreachable_cnt},
        {"capacity", &node->capacity},
        {"decommissionEpoch", &node->decommission_epoch},
    };
    for (size_t i = 0; i < SES_COUNT(numbers); i++) {
        SES_TRY(ses_json_get_u64(json, numbers[i].key, numbers[i].out, note));
    }
    return SES_OK;
}

enum ses_err ses_json_read_node(const json_t *json, struct ses_node *node, struct ses_note *note)
{
    struct ses_node n = {0};
    memset(node, 0, sizeof *node);
    SES_TRY(ses_json_get_node_id(json, "nodeId", &n.node_id, note));
    SES_TRY(ses_json_get_account(json, "owner", &n.owner, note));
    SES_TRY(ses_json_get_swarm(json, "swarmId", &n.swarm, note));
    SES_TRY(ses_json_get_swarm(json, "prevSwarmId", &n.prev_swarm, note));
    SES_TRY(ses_json_get_status(json, "status", &n.status, note));
    SES_TRY(ses_json_get_hex(json, "nextCommit", n.next_commit.bytes, 32, note));
    SES_TRY(ses_json_get_hex(json, "uptimeBits", n.uptime, sizeof n.uptime, note));
    SES_TRY(ses_json_get_hex(json, "observedBits", n.observed, sizeof n.observed, note));
    SES_TRY(ses_json_get_hex(json, "forgivenBits", n.forgiven, sizeof n.forgiven, note));
    SES_TRY(read_numbers(json, &n, note));
    *node = n;
    return SES_OK;
}

enum ses_err ses_json_read_keys(const json_t *object, struct ses_node_keys *keys,
                                struct ses_note *note)
{
    memset(keys, 0, sizeof *keys);
    SES_TRY(ses_json_get_hex(object, "publicKey", keys->public_key.bytes, SES_DSA_PK_BYTES, note));
    SES_TRY(ses_json_get_hex(object, "encryptionKey", keys->encryption_key.bytes, SES_KEM_PK_BYTES,
                             note));
    keys->has_prev_encryption_key = !json_is_null(json_object_get(object, "prevEncryptionKey"));
    return keys->has_prev_encryption_key
               ? ses_json_get_hex(object, "prevEncryptionKey", keys->prev_encryption_key.bytes,
                                  SES_KEM_PK_BYTES, note)
               : SES_OK;
}

static enum ses_err read_addr(const json_t *json, struct ses_endpoint *endpoint,
                              struct ses_note *note)
{
    const char *text = json_string_value(json);
    const size_t len = text == NULL ? 0 : strlen(text) / 2;
    const uint8_t at = endpoint->addr_cnt;
    if (len == 0 || len > SES_MULTIADDR_MAX ||
        ses_hex_decode(endpoint->addrs[at].bytes, len, text) != SES_OK) {
        ses_note_set(note, "\"addrs\" must hold addresses of 1 to %u bytes as hex",
                     SES_MULTIADDR_MAX);
        return SES_ERR_INVALID;
    }
    endpoint->addrs[at].len = (uint16_t)len;
    endpoint->addr_cnt++;
    return SES_OK;
}

enum ses_err ses_json_read_endpoint(const json_t *object, const char *key,
                                    struct ses_endpoint *endpoint, struct ses_note *note)
{
    const json_t *json = json_object_get(object, key);
    const json_t *addrs = json_object_get(json, "addrs");
    memset(endpoint, 0, sizeof *endpoint);
    SES_TRY(ses_json_get_hex(json, "peerKey", endpoint->peer_key.bytes, 32, note));
    if (!json_is_array(addrs) || json_array_size(addrs) > SES_ENDPOINT_ADDRS_MAX) {
        ses_note_set(note, "\"addrs\" must be a list of at most %u", SES_ENDPOINT_ADDRS_MAX);
        return SES_ERR_INVALID;
    }
    for (size_t i = 0; i < json_array_size(addrs); i++) {
        SES_TRY(read_addr(json_array_get(addrs, i), endpoint, note));
    }
    return SES_OK;
}

json_t *ses_json_registry(const struct ses_json_registry *header)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:[]}", "epoch", ses_json_u64(header->epoch), "seed",
                     ses_json_hex(header->seed.bytes, 32), "registryRoot",
                     ses_json_hex(header->root.bytes, 32), "numSwarms",
                     (json_int_t)header->num_swarms, "rows");
}

json_t *ses_json_registry_row(const struct ses_registry_row *row, const struct ses_node_keys *keys,
                              const struct ses_endpoint *endpoint)
{
    json_t *json = json_pack(
        "{s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "nodeId", ses_json_node_id(&row->node_id), "owner",
        ses_json_account(&row->owner), "status", ses_node_status_text(row->status), "swarmId",
        ses_json_swarm(row->swarm), "prevSwarmId", ses_json_swarm(row->prev_swarm),
        "swarmFromEpoch", ses_json_u64(row->swarm_from_epoch), "keysHash",
        ses_json_hex(row->keys_hash.bytes, 32));
    return with_keys(json, keys, endpoint);
}

enum ses_err ses_json_read_registry_row(const json_t *json, struct ses_registry_row *row,
                                        struct ses_node_keys *keys, struct ses_endpoint *endpoint,
                                        struct ses_note *note)
{
    memset(row, 0, sizeof *row);
    SES_TRY(ses_json_get_node_id(json, "nodeId", &row->node_id, note));
    SES_TRY(ses_json_get_account(json, "owner", &row->owner, note));
    SES_TRY(ses_json_get_status(json, "status", &row->status, note));
    SES_TRY(ses_json_get_swarm(json, "swarmId", &row->swarm, note));
    SES_TRY(ses_json_get_swarm(json, "prevSwarmId", &row->prev_swarm, note));
    SES_TRY(ses_json_get_u64(json, "swarmFromEpoch", &row->swarm_from_epoch, note));
    SES_TRY(ses_json_get_hex(json, "keysHash", row->keys_hash.bytes, 32, note));
    SES_TRY(ses_json_read_keys(json, keys, note));
    return ses_json_read_endpoint(json, "endpoint", endpoint, note);
}
