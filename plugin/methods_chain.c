/* sessionvm.*: head, blocks, transactions, proofs. */
#include <string.h>

#include "plugin/methods.h"

#define STATE_KEY_BYTES_MAX 128u
#define MEMPOOL_IDS_DEFAULT 100u
#define MEMPOOL_IDS_MAX 1024u

json_t *ses_method_head(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_vm_head head;
    SES_RPC_TRY(error, ses_json_only(params, SES_NO_KEYS, &error->note));
    ses_vm_head(host->vm, &head);
    struct ses_chain_head out = {.block_id = head.id,
                                 .state_root = head.state_root,
                                 .height = head.height,
                                 .timestamp = head.timestamp,
                                 .epoch = head.epoch};
    ses_vm_chain_id(host->vm, &out.chain_id);
    return ses_json_head(&out);
}

json_t *ses_method_params(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_params rules;
    struct ses_hash chain_id;
    uint64_t timestamp = 0;
    char name[64];
    SES_RPC_TRY(error, ses_json_only(params, SES_NO_KEYS, &error->note));
    ses_vm_params_of(host->vm, &rules, &timestamp, name);
    ses_vm_chain_id(host->vm, &chain_id);
    return ses_json_params(&rules, timestamp, name, &chain_id);
}

/* ---- blocks ---- */

static enum ses_err read_block_id(struct ses_host *host, const json_t *params, struct ses_hash *id,
                                  struct ses_note *note)
{
    const bool by_height = json_object_get(params, "height") != NULL;
    if (by_height == (json_object_get(params, "blockId") != NULL)) {
        ses_note_set(note, "give either \"height\" or \"blockId\"");
        return SES_ERR_INVALID;
    }
    if (!by_height) {
        return ses_json_get_hex(params, "blockId", id->bytes, 32, note);
    }
    uint64_t height = 0;
    SES_TRY(ses_json_get_u64(params, "height", &height, note));
    const enum ses_err err = ses_vm_block_id_at(host->vm, height, id);
    if (err == SES_ERR_NOT_FOUND) {
        ses_note_set(note, "there is no block %llu yet; getHead tells the last one",
                     (unsigned long long)height);
    }
    return err;
}

/* Undecided blocks are nobody's business: only what stands at its height is shown. */
static enum ses_err load_accepted(struct ses_host *host, const struct ses_hash *id,
                                  struct ses_buf *bytes, struct ses_note *note)
{
    struct ses_block block;
    struct ses_hash at;
    enum ses_err err = ses_vm_block(host->vm, id, bytes);
    if (err == SES_OK) {
        err = ses_block_decode(&block, bytes->bytes, bytes->len, UINT64_MAX);
    }
    if (err == SES_OK) {
        err = ses_vm_block_id_at(host->vm, block.height, &at);
    }
    if (err == SES_OK && memcmp(at.bytes, id->bytes, sizeof at.bytes) != 0) {
        err = SES_ERR_NOT_FOUND;
    }
    if (err == SES_ERR_NOT_FOUND) {
        ses_note_set(note, "no accepted block has this id");
    }
    return err;
}

static enum ses_err block_json(struct ses_host *host, const json_t *params, json_t **out,
                               struct ses_buf *bytes, struct ses_note *note)
{
    struct ses_hash id;
    bool with_bytes = false;
    SES_TRY(ses_json_only(params, SES_KEYS("height", "blockId", "bytes"), note));
    if (json_object_get(params, "bytes") != NULL) {
        SES_TRY(ses_json_get_bool(params, "bytes", &with_bytes, note));
    }
    SES_TRY(read_block_id(host, params, &id, note));
    SES_TRY(load_accepted(host, &id, bytes, note));
    SES_TRY(ses_json_block(out, bytes->bytes, bytes->len, note));
    if (with_bytes &&
        json_object_set_new(*out, "bytes", ses_json_hex(bytes->bytes, bytes->len)) != 0) {
        return SES_ERR_MEMORY;
    }
    return SES_OK;
}

json_t *ses_method_block(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    json_t *out = NULL;
    struct ses_buf bytes = {0};
    const enum ses_err err = block_json(cookie, params, &out, &bytes, &error->note);
    ses_buf_free(&bytes);
    if (err != SES_OK) {
        json_decref(out);
        return ses_rpc_fail_here(error, err);
    }
    return out;
}

/* ---- transactions ---- */

static enum ses_err tx_json(struct ses_host *host, const json_t *params, json_t **out,
                            struct ses_buf *bytes, struct ses_note *note)
{
    struct ses_hash id;
    struct ses_hash block_id;
    struct ses_tx tx;
    uint64_t height = 0;
    uint32_t index = 0;
    SES_TRY(ses_json_only(params, SES_KEYS("txId"), note));
    SES_TRY(ses_json_get_hex(params, "txId", id.bytes, 32, note));
    enum ses_err err = ses_vm_tx(host->vm, &id, &block_id, &height, &index, bytes);
    if (err == SES_ERR_NOT_FOUND) {
        const bool pending = ses_vm_mempool_tx(host->vm, &id, bytes) == SES_OK;
        ses_note_set(note, pending ? "the transaction is pending: no block has it yet"
                                   : "no accepted block and no pending transaction has this id");
    }
    SES_TRY(err);
    SES_TRY(ses_tx_decode(&tx, bytes->bytes, bytes->len));
    *out = json_pack("{s:o, s:o, s:o, s:I, s:o, s:o}", "txId", ses_json_hex(id.bytes, 32),
                     "blockId", ses_json_hex(block_id.bytes, 32), "height", ses_json_u64(height),
                     "index", (json_int_t)index, "tx", ses_json_tx(&tx), "bytes",
                     ses_json_hex(bytes->bytes, bytes->len));
    return *out != NULL ? SES_OK : SES_ERR_MEMORY;
}

json_t *ses_method_tx(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    json_t *out = NULL;
    struct ses_buf bytes = {0};
    const enum ses_err err = tx_json(cookie, params, &out, &bytes, &error->note);
    ses_buf_free(&bytes);
    return err == SES_OK ? out : ses_rpc_fail_here(error, err);
}

/* While the disk takes nothing, a transaction would be promised what nobody can keep. */
static enum ses_err submit(struct ses_host *host, const struct ses_buf *tx, struct ses_hash *id,
                           struct ses_note *note)
{
    if (host->fault != SES_OK) {
        *note = host->fault_note;
        return host->fault;
    }
    SES_TRY(ses_vm_submit(host->vm, tx->bytes, tx->len, id, note));
    pthread_cond_signal(&host->wake);
    return SES_OK;
}

json_t *ses_method_submit(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_buf tx = {0};
    struct ses_hash id = {0};
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("tx"), &error->note));
    enum ses_err err = ses_json_get_bytes(params, "tx", &tx, SES_TX_BYTES_MAX, &error->note);
    if (err == SES_OK) {
        err = submit(host, &tx, &id, &error->note);
    }
    ses_buf_free(&tx);
    return err == SES_OK ? json_pack("{s:o}", "txId", ses_json_hex(id.bytes, 32))
                         : ses_rpc_fail_here(error, err);
}

json_t *ses_method_mempool(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_hash ids[MEMPOOL_IDS_MAX];
    struct ses_mempool_info info;
    uint32_t limit = MEMPOOL_IDS_DEFAULT;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("limit"), &error->note));
    if (json_object_get(params, "limit") != NULL) {
        SES_RPC_TRY(error, ses_json_get_u32(params, "limit", &limit, &error->note));
    }
    if (limit > MEMPOOL_IDS_MAX) {
        return ses_rpc_fail(error, SES_ERR_INVALID, "\"limit\" may be %u at most", MEMPOOL_IDS_MAX);
    }
    ses_vm_mempool(host->vm, &info);
    const uint32_t cnt = ses_vm_mempool_ids(host->vm, ids, limit);
    json_t *list = json_array();
    for (uint32_t i = 0; i < cnt; i++) {
        json_array_append_new(list, ses_json_hex(ids[i].bytes, 32));
    }
    return json_pack("{s:I, s:o, s:o}", "txCount", (json_int_t)info.tx_cnt, "bytes",
                     ses_json_u64(info.bytes), "txIds", list);
}

/* ---- proofs, health ---- */

static enum ses_err proof_json(struct ses_host *host, const struct ses_buf *key, json_t **out,
                               struct ses_buf *value, struct ses_buf *proof)
{
    struct ses_vm_head head;
    bool present = false;
    ses_vm_head(host->vm, &head);
    SES_TRY(ses_vm_proof(host->vm, key->bytes, key->len, &present, value, proof));
    *out = json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "key",
                     ses_json_hex(key->bytes, key->len), "present", (int)present, "value",
                     present ? ses_json_hex(value->bytes, value->len) : json_null(), "proof",
                     ses_json_hex(proof->bytes, proof->len), "stateRoot",
                     ses_json_hex(head.state_root.bytes, 32), "blockId",
                     ses_json_hex(head.id.bytes, 32), "height", ses_json_u64(head.height));
    return *out != NULL ? SES_OK : SES_ERR_MEMORY;
}

json_t *ses_method_proof(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_buf key = {0};
    struct ses_buf value = {0};
    struct ses_buf proof = {0};
    json_t *out = NULL;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("key"), &error->note));
    enum ses_err err = ses_json_get_bytes(params, "key", &key, STATE_KEY_BYTES_MAX, &error->note);
    if (err == SES_OK && key.len == 0) {
        ses_note_set(&error->note, "\"key\" must not be empty");
        err = SES_ERR_INVALID;
    }
    if (err == SES_OK) {
        err = proof_json(cookie, &key, &out, &value, &proof);
    }
    ses_buf_free(&key);
    ses_buf_free(&value);
    ses_buf_free(&proof);
    return err == SES_OK ? out : ses_rpc_fail_here(error, err);
}

json_t *ses_method_health(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    SES_RPC_TRY(error, ses_json_only(params, SES_NO_KEYS, &error->note));
    return ses_host_health(cookie);
}
