/* Transactions and blocks as JSON (one way: they are sent and signed as bytes). */
#include <string.h>

#include "rpc/rpc_internal.h"

static json_t *transfer_json(const struct ses_tx_transfer *tx)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "to", ses_json_account(&tx->to), "amount",
                     ses_json_u64(tx->amount), "nonce", ses_json_u64(tx->nonce), "fee",
                     ses_json_u64(tx->fee));
}

static json_t *register_json(const struct ses_tx_register *tx)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "owner",
                     ses_json_account(&tx->owner), "nodeId", ses_json_node_id(&tx->node_id),
                     "publicKey", ses_json_hex(tx->public_key.bytes, SES_DSA_PK_BYTES),
                     "encryptionKey", ses_json_hex(tx->encryption_key.bytes, SES_KEM_PK_BYTES),
                     "stake", ses_json_u64(tx->stake), "capacity", ses_json_u64(tx->capacity),
                     "endpoint", ses_json_endpoint(&tx->endpoint), "nonce", ses_json_u64(tx->nonce),
                     "fee", ses_json_u64(tx->fee));
}

static json_t *opening_json(const struct ses_opening *o)
{
    json_t *path = json_array();
    for (unsigned i = 0; i < o->path_cnt; i++) {
        json_array_append_new(path, ses_json_hex(o->path[i].bytes, 32));
    }
    return o->leaf_only ? (json_decref(path), json_pack("{s:i}", "index", o->index))
                        : json_pack("{s:i, s:o, s:o, s:o, s:o}", "index", o->index, "headerHash",
                                    ses_json_hex(o->header_hash.bytes, 32), "payloadRoot",
                                    ses_json_hex(o->payload_root.bytes, 32), "chunk",
                                    ses_json_hex(o->chunk, o->chunk_len), "path", path);
}

static json_t *commitment_json(const struct ses_tx_commitment *tx)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "nodeId",
                     ses_json_node_id(&tx->node_id), "epoch", ses_json_u64(tx->epoch), "swarmId",
                     ses_json_swarm(tx->swarm), "root", ses_json_hex(tx->root.bytes, 32), "count",
                     ses_json_u64(tx->count), "bytes", ses_json_u64(tx->bytes), "reveal",
                     ses_json_hex(tx->reveal.bytes, 32), "next", ses_json_hex(tx->next.bytes, 32));
}

static json_t *response_json(const struct ses_tx_response *tx)
{
    json_t *openings = json_array();
    for (unsigned i = 0; i < tx->opening_cnt; i++) {
        json_array_append_new(openings, opening_json(&tx->openings[i]));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "nodeId",
                     ses_json_node_id(&tx->node_id), "epoch", ses_json_u64(tx->epoch), "free",
                     ses_json_u64(tx->free), "used", ses_json_u64(tx->used), "verdicts",
                     ses_json_hex(tx->verdicts, tx->verdict_cnt), "proof",
                     ses_json_hex(tx->proof, tx->proof_len), "openings", openings);
}

static json_t *demand_json(const struct ses_tx_demand *tx)
{
    const struct ses_receipt *r = &tx->receipt;
    uint8_t segment[SES_SEGMENT_BYTES];
    ses_segment_encode(segment, &r->leaf.segment);
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "nodeId", ses_json_node_id(&r->node_id),
        "recordId", ses_json_hex(r->leaf.id.bytes, 32), "digest",
        ses_json_hex(r->leaf.digest.bytes, 32), "segment", ses_json_hex(segment, sizeof segment),
        "swarmId", ses_json_swarm(r->leaf.swarm), "swarmFromEpoch",
        ses_json_u64(r->leaf.swarm_from_epoch), "admitEpoch", ses_json_u64(r->leaf.admit_epoch),
        "nonce", ses_json_u64(tx->nonce), "fee", ses_json_u64(tx->fee));
}

static json_t *body_json(const struct ses_tx *tx)
{
    switch (tx->type) {
    case SES_TX_TRANSFER:
        return transfer_json(&tx->body.transfer);
    case SES_TX_REGISTER:
        return register_json(&tx->body.reg);
    case SES_TX_TOP_UP:
        return json_pack(
            "{s:o, s:o, s:o, s:o}", "nodeId", ses_json_node_id(&tx->body.top_up.node_id), "amount",
            ses_json_u64(tx->body.top_up.amount), "nonce", ses_json_u64(tx->body.top_up.nonce),
            "fee", ses_json_u64(tx->body.top_up.fee));
    case SES_TX_DECOMMISSION:
        return json_pack("{s:o, s:o, s:o}", "nodeId",
                         ses_json_node_id(&tx->body.decommission.node_id), "nonce",
                         ses_json_u64(tx->body.decommission.nonce), "fee",
                         ses_json_u64(tx->body.decommission.fee));
    case SES_TX_COMMITMENT:
        return commitment_json(&tx->body.commitment);
    case SES_TX_RESPONSE:
        return response_json(&tx->body.response);
    case SES_TX_ROTATE_KEY:
        return json_pack("{s:o, s:o, s:o}", "nodeId",
                         ses_json_node_id(&tx->body.rotate_key.node_id), "encryptionKey",
                         ses_json_hex(tx->body.rotate_key.encryption_key.bytes, SES_KEM_PK_BYTES),
                         "keyEpoch", ses_json_u64(tx->body.rotate_key.key_epoch));
    case SES_TX_ENDPOINT:
        return json_pack("{s:o, s:o, s:o}", "nodeId", ses_json_node_id(&tx->body.endpoint.node_id),
                         "sequence", ses_json_u64(tx->body.endpoint.sequence), "endpoint",
                         ses_json_endpoint(&tx->body.endpoint.endpoint));
    case SES_TX_DEMAND:
        return demand_json(&tx->body.demand);
    }
    return NULL;
}

static json_t *signer_json(const struct ses_auth *auth)
{
    struct ses_account account;
    struct ses_node_id node_id;
    memcpy(account.bytes, auth->signer, sizeof account.bytes);
    memcpy(node_id.bytes, auth->signer, sizeof node_id.bytes);
    return auth->kind == SES_AUTH_NODE ? ses_json_node_id(&node_id) : ses_json_account(&account);
}

static json_t *auth_json(const struct ses_auth *auth)
{
    static const char *const kinds[] = {"known", "first", "node"};
    SES_ASSERT((size_t)auth->kind < SES_COUNT(kinds));
    return json_pack(
        "{s:s, s:o, s:o, s:o}", "kind", kinds[auth->kind], "signer", signer_json(auth), "publicKey",
        auth->public_key != NULL ? ses_json_hex(auth->public_key, SES_DSA_PK_BYTES) : json_null(),
        "signature", ses_json_hex(auth->signature, SES_DSA_SIG_BYTES));
}

json_t *ses_json_tx(const struct ses_tx *tx)
{
    json_t *auths = json_array();
    for (uint8_t i = 0; i < tx->auth_cnt; i++) {
        json_array_append_new(auths, auth_json(&tx->auth[i]));
    }
    if (json_array_size(auths) != tx->auth_cnt) {
        json_decref(auths);
        return NULL;
    }
    return json_pack("{s:o, s:s, s:I, s:o, s:o}", "txId", ses_json_hex(tx->id.bytes, 32), "type",
                     ses_tx_type_text(tx->type), "size", (json_int_t)tx->len, "body", body_json(tx),
                     "auth", auths);
}

static enum ses_err block_txs(json_t *out, const struct ses_block *block, const uint8_t *bytes,
                              size_t len, struct ses_note *note)
{
    struct ses_reader r;
    ses_reader_init(&r, bytes + SES_BLOCK_HEADER_BYTES, len - SES_BLOCK_HEADER_BYTES);
    for (uint16_t i = 0; i < block->tx_cnt; i++) {
        size_t tx_len = 0;
        const uint8_t *tx_bytes = ses_block_next_tx(&r, &tx_len);
        struct ses_tx tx;
        if (tx_bytes == NULL || ses_tx_decode(&tx, tx_bytes, tx_len) != SES_OK) {
            ses_note_set(note, "transaction %u of the block does not decode", i);
            return SES_ERR_MALFORMED;
        }
        SES_REQUIRE(json_array_append_new(out, ses_json_tx(&tx)) == 0, SES_ERR_MEMORY);
    }
    return SES_OK;
}

enum ses_err ses_json_block(json_t **out, const uint8_t *bytes, size_t len, struct ses_note *note)
{
    struct ses_block block;
    *out = NULL;
    if (ses_block_decode(&block, bytes, len, UINT64_MAX) != SES_OK) {
        ses_note_set(note,
                     "these %zu bytes are no block: parent, height, time, root and the "
                     "announced transactions must fill them exactly",
                     len);
        return SES_ERR_MALFORMED;
    }
    json_t *txs = json_array();
    SES_REQUIRE(txs != NULL, SES_ERR_MEMORY);
    const enum ses_err err = block_txs(txs, &block, bytes, len, note);
    if (err != SES_OK) {
        json_decref(txs);
        return err;
    }
    *out = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "blockId", ses_json_hex(block.id.bytes, 32),
        "parent", ses_json_hex(block.parent.bytes, 32), "height", ses_json_u64(block.height),
        "timestamp", ses_json_u64(block.timestamp), "stateRoot",
        ses_json_hex(block.state_root.bytes, 32), "size", (json_int_t)len, "transactions", txs);
    return *out != NULL ? SES_OK : SES_ERR_MEMORY;
}
