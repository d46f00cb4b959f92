#include "protocol/tx_internal.h"

#include "protocol/protocol_internal.h"

const char *ses_tx_type_text(enum ses_tx_type type)
{
    switch (type) {
    case SES_TX_TRANSFER:
        return "transfer";
    case SES_TX_REGISTER:
        return "register";
    case SES_TX_TOP_UP:
        return "top-up";
    case SES_TX_DECOMMISSION:
        return "decommission";
    case SES_TX_COMMITMENT:
        return "commitment";
    case SES_TX_RESPONSE:
        return "response";
    case SES_TX_ROTATE_KEY:
        return "rotate-key";
    case SES_TX_ENDPOINT:
        return "endpoint";
    case SES_TX_DEMAND:
        return "demand";
    }
    return "unknown";
}

static void write_register(struct ses_writer *w, const struct ses_tx_register *m)
{
    ses_write_bytes(w, m->owner.bytes, sizeof m->owner.bytes);
    ses_write_bytes(w, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_write_bytes(w, m->public_key.bytes, sizeof m->public_key.bytes);
    ses_write_bytes(w, m->encryption_key.bytes, sizeof m->encryption_key.bytes);
    ses_write_u64(w, m->stake);
    ses_write_u64(w, m->capacity);
    ses_endpoint_write(w, &m->endpoint);
    ses_write_u64(w, m->nonce);
    ses_write_u64(w, m->fee);
}

static void read_register(struct ses_reader *r, struct ses_tx_register *m)
{
    ses_read_bytes(r, m->owner.bytes, sizeof m->owner.bytes);
    ses_read_bytes(r, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_read_bytes(r, m->public_key.bytes, sizeof m->public_key.bytes);
    ses_read_bytes(r, m->encryption_key.bytes, sizeof m->encryption_key.bytes);
    m->stake = ses_read_u64(r);
    m->capacity = ses_read_u64(r);
    ses_endpoint_read(r, &m->endpoint);
    m->nonce = ses_read_u64(r);
    m->fee = ses_read_u64(r);
}

/* Transfer, TopUpStake: to or node_id, amount, nonce, fee. */
static void write_amount(struct ses_writer *w, const uint8_t id[20], uint64_t amount)
{
    ses_write_bytes(w, id, 20);
    ses_write_u64(w, amount);
}

void ses_tx_write_body(struct ses_writer *w, const struct ses_tx *tx)
{
    ses_write_u8(w, SES_TX_VERSION);
    ses_write_u8(w, (uint8_t)tx->type);
    switch (tx->type) {
    case SES_TX_TRANSFER:
        write_amount(w, tx->body.transfer.to.bytes, tx->body.transfer.amount);
        ses_write_u64(w, tx->body.transfer.nonce);
        ses_write_u64(w, tx->body.transfer.fee);
        return;
    case SES_TX_REGISTER:
        write_register(w, &tx->body.reg);
        return;
    case SES_TX_TOP_UP:
        write_amount(w, tx->body.top_up.node_id.bytes, tx->body.top_up.amount);
        ses_write_u64(w, tx->body.top_up.nonce);
        ses_write_u64(w, tx->body.top_up.fee);
        return;
    case SES_TX_DECOMMISSION:
        ses_write_bytes(w, tx->body.decommission.node_id.bytes, 20);
        ses_write_u64(w, tx->body.decommission.nonce);
        ses_write_u64(w, tx->body.decommission.fee);
        return;
    case SES_TX_COMMITMENT:
        ses_tx_write_commitment(w, &tx->body.commitment);
        return;
    case SES_TX_RESPONSE:
        ses_tx_write_response(w, &tx->body.response);
        return;
    case SES_TX_ROTATE_KEY:
        ses_tx_write_rotate_key(w, &tx->body.rotate_key);
        return;
    case SES_TX_ENDPOINT:
        ses_tx_write_endpoint(w, &tx->body.endpoint);
        return;
    case SES_TX_DEMAND:
        ses_tx_write_demand(w, &tx->body.demand);
        return;
    }
    ses_writer_check(w, false);
}

static void read_body(struct ses_reader *r, struct ses_tx *tx)
{
    switch (tx->type) {
    case SES_TX_TRANSFER:
        ses_read_bytes(r, tx->body.transfer.to.bytes, 20);
        tx->body.transfer.amount = ses_read_u64(r);
        tx->body.transfer.nonce = ses_read_u64(r);
        tx->body.transfer.fee = ses_read_u64(r);
        return;
    case SES_TX_REGISTER:
        read_register(r, &tx->body.reg);
        return;
    case SES_TX_TOP_UP:
        ses_read_bytes(r, tx->body.top_up.node_id.bytes, 20);
        tx->body.top_up.amount = ses_read_u64(r);
        tx->body.top_up.nonce = ses_read_u64(r);
        tx->body.top_up.fee = ses_read_u64(r);
        return;
    case SES_TX_DECOMMISSION:
        ses_read_bytes(r, tx->body.decommission.node_id.bytes, 20);
        tx->body.decommission.nonce = ses_read_u64(r);
        tx->body.decommission.fee = ses_read_u64(r);
        return;
    case SES_TX_COMMITMENT:
        ses_tx_read_commitment(r, &tx->body.commitment);
        return;
    case SES_TX_RESPONSE:
        ses_tx_read_response(r, &tx->body.response);
        return;
    case SES_TX_ROTATE_KEY:
        ses_tx_read_rotate_key(r, &tx->body.rotate_key);
        return;
    case SES_TX_ENDPOINT:
        ses_tx_read_endpoint(r, &tx->body.endpoint);
        return;
    case SES_TX_DEMAND:
        ses_tx_read_demand(r, &tx->body.demand);
        return;
    }
    /* another type: one of a later version of the protocol, or garbage */
    ses_reader_check(r, false, SES_ERR_VERSION);
}

static void read_auth(struct ses_reader *r, struct ses_auth *auth)
{
    const uint8_t kind = ses_read_u8(r);
    ses_reader_check(r, kind <= SES_AUTH_NODE, SES_ERR_MALFORMED);
    auth->kind = (enum ses_auth_kind)kind;
    ses_read_bytes(r, auth->signer, sizeof auth->signer);
    auth->public_key = kind == SES_AUTH_FIRST ? ses_read_view(r, SES_DSA_PK_BYTES) : NULL;
    auth->signature = ses_read_view(r, SES_DSA_SIG_BYTES);
}

static void read_auths(struct ses_reader *r, struct ses_tx *tx)
{
    struct ses_node_id node_id;
    const bool by_node = ses_tx_by_node(tx->type);
    tx->auth_cnt = tx->type == SES_TX_REGISTER ? 2 : 1;
    read_auth(r, &tx->auth[0]);
    ses_reader_check(r, (tx->auth[0].kind == SES_AUTH_NODE) == by_node, SES_ERR_MALFORMED);
    if (by_node) {
        ses_reader_check(r, ses_tx_node(tx, &node_id), SES_ERR_MALFORMED);
        ses_reader_check(r, memcmp(tx->auth[0].signer, node_id.bytes, 20) == 0, SES_ERR_MALFORMED);
    }
    if (tx->auth_cnt == 1) {
        return;
    }
    read_auth(r, &tx->auth[1]);
    ses_reader_check(r, tx->auth[1].kind == SES_AUTH_NODE, SES_ERR_MALFORMED);
    ses_reader_check(r, memcmp(tx->auth[1].signer, tx->body.reg.node_id.bytes, 20) == 0,
                     SES_ERR_MALFORMED);
    /* else anybody could register a node at the cost of somebody else's account */
    ses_reader_check(r, memcmp(tx->auth[0].signer, tx->body.reg.owner.bytes, 20) == 0,
                     SES_ERR_NOT_OWNER);
}

static enum ses_err decode(struct ses_tx *tx, const uint8_t *bytes, size_t len)
{
    struct ses_reader r;
    memset(tx, 0, sizeof *tx);
    SES_REQUIRE(len <= SES_TX_BYTES_MAX, SES_ERR_TOO_LARGE);
    ses_reader_init(&r, bytes, len);
    ses_reader_check(&r, ses_read_u8(&r) == SES_TX_VERSION, SES_ERR_VERSION);
    tx->type = (enum ses_tx_type)ses_read_u8(&r);
    SES_REQUIRE(tx->type != SES_TX_RESPONSE || len <= SES_RESPONSE_TX_BYTES_MAX, SES_ERR_TOO_LARGE);
    read_body(&r, tx);
    tx->signed_len = len - r.left;
    read_auths(&r, tx);
    const enum ses_err err = ses_read_end(&r, tx, sizeof *tx);
    SES_TRY(err);
    tx->bytes = bytes;
    tx->len = len;
    return SES_OK;
}

enum ses_err ses_tx_decode(struct ses_tx *tx, const uint8_t *bytes, size_t len)
{
    SES_TRY(decode(tx, bytes, len));
    ses_sha256(&tx->id, SES_PARTS(SES_PART(bytes, len)));
    return SES_OK;
}

enum ses_err ses_tx_decode_known(struct ses_tx *tx, const uint8_t *bytes, size_t len,
                                 const struct ses_hash *id)
{
    SES_TRY(decode(tx, bytes, len));
    tx->id = *id;
    return SES_OK;
}

bool ses_tx_payment(const struct ses_tx *tx, struct ses_account *payer, uint64_t *nonce,
                    uint64_t *fee)
{
    memcpy(payer->bytes, tx->auth[0].signer, sizeof payer->bytes);
    switch (tx->type) {
    case SES_TX_TRANSFER:
        *nonce = tx->body.transfer.nonce;
        *fee = tx->body.transfer.fee;
        return true;
    case SES_TX_REGISTER:
        *nonce = tx->body.reg.nonce;
        *fee = tx->body.reg.fee;
        return true;
    case SES_TX_TOP_UP:
        *nonce = tx->body.top_up.nonce;
        *fee = tx->body.top_up.fee;
        return true;
    case SES_TX_DECOMMISSION:
        *nonce = tx->body.decommission.nonce;
        *fee = tx->body.decommission.fee;
        return true;
    case SES_TX_DEMAND:
        *nonce = tx->body.demand.nonce;
        *fee = tx->body.demand.fee;
        return true;
    case SES_TX_COMMITMENT:
    case SES_TX_RESPONSE:
    case SES_TX_ROTATE_KEY:
    case SES_TX_ENDPOINT:
        break; /* free */
    }
    *nonce = 0;
    *fee = 0;
    return false;
}
