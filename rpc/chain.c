/* The chain's calls with types: what a server of another version or a liar may send is checked. */
#include <string.h>

#include "rpc/rpc_internal.h"

/* An answer that does not read as it should is the server's fault, whatever the reader says. */
enum ses_err ses_rpc_blame(enum ses_err err, const char *method, struct ses_note *note)
{
    if (err == SES_OK || err == SES_ERR_MEMORY) {
        return err;
    }
    struct ses_note why = {0};
    if (note != NULL) {
        why = *note;
    }
    ses_note_set(note, "the chain's answer to %s is not as it should be: %.300s", method, why.text);
    return SES_ERR_PEER;
}

static enum ses_err read_head(const json_t *json, struct ses_chain_head *out, struct ses_note *note)
{
    SES_TRY(ses_json_get_hex(json, "chainId", out->chain_id.bytes, 32, note));
    SES_TRY(ses_json_get_hex(json, "blockId", out->block_id.bytes, 32, note));
    SES_TRY(ses_json_get_hex(json, "stateRoot", out->state_root.bytes, 32, note));
    SES_TRY(ses_json_get_u64(json, "height", &out->height, note));
    SES_TRY(ses_json_get_u64(json, "timestamp", &out->timestamp, note));
    return ses_json_get_u64(json, "epoch", &out->epoch, note);
}

enum ses_err ses_chain_get_head(struct ses_rpc_client *c, struct ses_chain_head *out,
                                struct ses_note *note)
{
    json_t *json = NULL;
    memset(out, 0, sizeof *out);
    SES_TRY(ses_rpc_call(c, "sessionvm.getHead", json_object(), &json, note));
    const enum ses_err err = read_head(json, out, note);
    json_decref(json);
    return ses_rpc_blame(err, "getHead", note);
}

static enum ses_err read_params(const json_t *json, struct ses_chain_params *out,
                                struct ses_note *note)
{
    const json_t *all = json_object_get(json, "params");
    const char *name = NULL;
    SES_TRY(ses_json_get_text(json, "networkName", &name, note));
    if (strlen(name) >= sizeof out->network_name) {
        ses_note_set(note, "\"networkName\" is too long");
        return SES_ERR_INVALID;
    }
    memcpy(out->network_name, name, strlen(name) + 1);
    SES_TRY(ses_json_get_hex(json, "chainId", out->chain_id.bytes, 32, note));
    SES_TRY(ses_json_get_u64(json, "genesisTimestamp", &out->genesis_timestamp, note));
#define SES_X(field, key, value) SES_TRY(ses_json_get_u64(all, key, &out->params.field, note));
    SES_PARAMS(SES_X)
#undef SES_X
    return ses_params_validate(&out->params, note);
}

enum ses_err ses_chain_get_params(struct ses_rpc_client *c, struct ses_chain_params *out,
                                  struct ses_note *note)
{
    json_t *json = NULL;
    memset(out, 0, sizeof *out);
    SES_TRY(ses_rpc_call(c, "sessionvm.getParams", json_object(), &json, note));
    const enum ses_err err = read_params(json, out, note);
    json_decref(json);
    return ses_rpc_blame(err, "getParams", note);
}

static enum ses_err read_account(const json_t *json, struct ses_chain_account *out,
                                 struct ses_note *note)
{
    SES_TRY(ses_json_get_u64(json, "balance", &out->balance, note));
    SES_TRY(ses_json_get_u64(json, "nonce", &out->nonce, note));
    SES_TRY(ses_json_get_u64(json, "pendingNonce", &out->pending_nonce, note));
    return ses_json_get_bool(json, "hasKey", &out->has_key, note);
}

enum ses_err ses_chain_get_account(struct ses_rpc_client *c, const struct ses_account *account,
                                   struct ses_chain_account *out, struct ses_note *note)
{
    json_t *json = NULL;
    memset(out, 0, sizeof *out);
    SES_TRY(ses_rpc_call(c, "sessionvm.getBalance",
                         json_pack("{s:o}", "account", ses_json_account(account)), &json, note));
    const enum ses_err err = read_account(json, out, note);
    json_decref(json);
    return ses_rpc_blame(err, "getBalance", note);
}

enum ses_err ses_chain_get_node(struct ses_rpc_client *c, const struct ses_node_id *node_id,
                                struct ses_node *out, struct ses_note *note)
{
    json_t *json = NULL;
    memset(out, 0, sizeof *out);
    SES_TRY(ses_rpc_call(c, "sessionvm.getServiceNode",
                         json_pack("{s:o}", "nodeId", ses_json_node_id(node_id)), &json, note));
    enum ses_err err = ses_json_read_node(json, out, note);
    if (err == SES_OK && !ses_equal(out->node_id.bytes, node_id->bytes, sizeof node_id->bytes)) {
        ses_note_set(note, "it describes another node");
        err = SES_ERR_PEER;
    }
    json_decref(json);
    return ses_rpc_blame(err, "getServiceNode", note);
}

static enum ses_err read_registry_header(const json_t *json, struct ses_json_registry *header,
                                         struct ses_note *note)
{
    SES_TRY(ses_json_get_u64(json, "epoch", &header->epoch, note));
    SES_TRY(ses_json_get_hex(json, "seed", header->seed.bytes, 32, note));
    SES_TRY(ses_json_get_hex(json, "registryRoot", header->root.bytes, 32, note));
    SES_TRY(ses_json_get_u32(json, "numSwarms", &header->num_swarms, note));
    if (header->num_swarms == 0 || (header->num_swarms & (header->num_swarms - 1)) != 0) {
        ses_note_set(note, "\"numSwarms\" must be a power of two");
        return SES_ERR_INVALID;
    }
    if (!json_is_array(json_object_get(json, "rows"))) {
        ses_note_set(note, "\"rows\" must be a list");
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

/* Rows go out one by one; an error of `each` is the caller's own and ends it. */
static enum ses_err read_rows(const json_t *rows,
                              enum ses_err (*each)(void *cookie, const struct ses_registry_row *row,
                                                   const struct ses_node_keys *keys,
                                                   const struct ses_endpoint *endpoint),
                              void *cookie, struct ses_note *note)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        struct ses_registry_row row;
        struct ses_node_keys keys;
        struct ses_endpoint endpoint;
        const json_t *json = json_array_get(rows, i);
        SES_TRY(ses_rpc_blame(ses_json_read_registry_row(json, &row, &keys, &endpoint, note),
                              "getRegistry", note));
        SES_TRY(each(cookie, &row, &keys, &endpoint));
    }
    return SES_OK;
}

enum ses_err ses_chain_get_registry(
    struct ses_rpc_client *c, uint64_t since_epoch, struct ses_json_registry *header,
    enum ses_err (*each)(void *cookie, const struct ses_registry_row *row,
                         const struct ses_node_keys *keys, const struct ses_endpoint *endpoint),
    void *cookie, struct ses_note *note)
{
    json_t *json = NULL;
    json_t *params = since_epoch == UINT64_MAX
                         ? json_object()
                         : json_pack("{s:o}", "since", ses_json_u64(since_epoch));
    memset(header, 0, sizeof *header);
    SES_TRY(ses_rpc_call(c, "sessionvm.getRegistry", params, &json, note));
    enum ses_err err = ses_rpc_blame(read_registry_header(json, header, note), "getRegistry", note);
    if (err == SES_OK) {
        err = read_rows(json_object_get(json, "rows"), each, cookie, note);
    }
    json_decref(json);
    return err;
}

enum ses_err ses_chain_get_epoch(struct ses_rpc_client *c, uint64_t epoch, struct ses_epoch *out,
                                 struct ses_note *note)
{
    json_t *json = NULL;
    json_t *params =
        epoch == UINT64_MAX ? json_object() : json_pack("{s:o}", "epoch", ses_json_u64(epoch));
    memset(out, 0, sizeof *out);
    SES_TRY(ses_rpc_call(c, "sessionvm.getEpoch", params, &json, note));
    const enum ses_err err = ses_json_read_epoch(json, out, note);
    json_decref(json);
    return ses_rpc_blame(err, "getEpoch", note);
}

enum ses_err ses_chain_submit(struct ses_rpc_client *c, const uint8_t *tx, size_t len,
                              struct ses_hash *tx_id, struct ses_note *note)
{
    json_t *json = NULL;
    memset(tx_id, 0, sizeof *tx_id);
    SES_TRY(ses_rpc_call(c, "sessionvm.submitTx", json_pack("{s:o}", "tx", ses_json_hex(tx, len)),
                         &json, note));
    const enum ses_err err = ses_json_get_hex(json, "txId", tx_id->bytes, 32, note);
    json_decref(json);
    return ses_rpc_blame(err, "submitTx", note);
}

enum ses_err ses_chain_get_tx_height(struct ses_rpc_client *c, const struct ses_hash *tx_id,
                                     uint64_t *height, struct ses_note *note)
{
    json_t *json = NULL;
    *height = 0;
    SES_TRY(ses_rpc_call(c, "sessionvm.getTx",
                         json_pack("{s:o}", "txId", ses_json_hex(tx_id->bytes, 32)), &json, note));
    const enum ses_err err = ses_json_get_u64(json, "height", height, note);
    json_decref(json);
    return ses_rpc_blame(err, "getTx", note);
}
