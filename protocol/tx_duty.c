#include "protocol/protocol_internal.h"
#include "protocol/tx_internal.h"

/* ---- type 5 ---- */

void ses_tx_write_commitment(struct ses_writer *w, const struct ses_tx_commitment *m)
{
    ses_write_bytes(w, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_write_u64(w, m->epoch);
    ses_write_u32(w, m->swarm);
    ses_write_bytes(w, m->root.bytes, sizeof m->root.bytes);
    ses_write_u64(w, m->count);
    ses_write_u64(w, m->bytes);
    ses_write_bytes(w, m->reveal.bytes, sizeof m->reveal.bytes);
    ses_write_bytes(w, m->next.bytes, sizeof m->next.bytes);
}

void ses_tx_read_commitment(struct ses_reader *r, struct ses_tx_commitment *m)
{
    ses_read_bytes(r, m->node_id.bytes, sizeof m->node_id.bytes);
    m->epoch = ses_read_u64(r);
    m->swarm = ses_read_u32(r);
    ses_read_bytes(r, m->root.bytes, sizeof m->root.bytes);
    m->count = ses_read_u64(r);
    m->bytes = ses_read_u64(r);
    ses_read_bytes(r, m->reveal.bytes, sizeof m->reveal.bytes);
    ses_read_bytes(r, m->next.bytes, sizeof m->next.bytes);
}

/* ---- type 6 ---- */

void ses_tx_write_response(struct ses_writer *w, const struct ses_tx_response *m)
{
    ses_writer_check(w, m->verdict_cnt <= SES_VERDICT_BYTES_MAX && m->opening_cnt <= SES_OWED_MAX);
    ses_writer_check(w, m->proof_len <= SES_RESPONSE_TX_BYTES_MAX);
    if (w->err != SES_OK) {
        return;
    }
    ses_write_bytes(w, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_write_u64(w, m->epoch);
    ses_write_u64(w, m->free);
    ses_write_u64(w, m->used);
    ses_write_u8(w, m->verdict_cnt);
    ses_write_bytes(w, m->verdicts, m->verdict_cnt);
    ses_write_u32(w, m->proof_len);
    if (m->proof_len > 0) {
        ses_write_bytes(w, m->proof, m->proof_len);
    }
    ses_write_u8(w, m->opening_cnt);
    for (unsigned i = 0; i < m->opening_cnt; i++) {
        ses_writer_check(w, i == 0 || m->openings[i - 1].index < m->openings[i].index);
        ses_opening_write(w, &m->openings[i]);
    }
}

static void read_openings(struct ses_reader *r, struct ses_tx_response *m)
{
    const uint8_t cnt = ses_read_u8(r);
    ses_reader_check(r, cnt <= SES_OWED_MAX, SES_ERR_MALFORMED);
    for (unsigned i = 0; r->err == SES_OK && i < cnt; i++) {
        ses_opening_read(r, &m->openings[i]);
        ses_reader_check(r, i == 0 || m->openings[i - 1].index < m->openings[i].index,
                         SES_ERR_MALFORMED);
    }
    m->opening_cnt = cnt;
}

void ses_tx_read_response(struct ses_reader *r, struct ses_tx_response *m)
{
    ses_read_bytes(r, m->node_id.bytes, sizeof m->node_id.bytes);
    m->epoch = ses_read_u64(r);
    m->free = ses_read_u64(r);
    m->used = ses_read_u64(r);
    const uint8_t verdict_cnt = ses_read_u8(r);
    ses_reader_check(r, verdict_cnt <= SES_VERDICT_BYTES_MAX, SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        return;
    }
    m->verdict_cnt = verdict_cnt;
    ses_read_bytes(r, m->verdicts, verdict_cnt);
    const uint32_t proof_len = ses_read_u32(r);
    ses_read_prove(r, proof_len, 1);
    m->proof = r->err == SES_OK && proof_len > 0 ? ses_read_view(r, proof_len) : NULL;
    m->proof_len = proof_len;
    read_openings(r, m);
}

/* ---- types 7, 8, 9 ---- */

void ses_tx_read_rotate_key(struct ses_reader *r, struct ses_tx_rotate_key *m)
{
    ses_read_bytes(r, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_read_bytes(r, m->encryption_key.bytes, sizeof m->encryption_key.bytes);
    m->key_epoch = ses_read_u64(r);
}

void ses_tx_write_rotate_key(struct ses_writer *w, const struct ses_tx_rotate_key *m)
{
    ses_write_bytes(w, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_write_bytes(w, m->encryption_key.bytes, sizeof m->encryption_key.bytes);
    ses_write_u64(w, m->key_epoch);
}

void ses_tx_read_endpoint(struct ses_reader *r, struct ses_tx_endpoint *m)
{
    ses_read_bytes(r, m->node_id.bytes, sizeof m->node_id.bytes);
    m->sequence = ses_read_u64(r);
    ses_endpoint_read(r, &m->endpoint);
}

void ses_tx_write_endpoint(struct ses_writer *w, const struct ses_tx_endpoint *m)
{
    ses_write_bytes(w, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_write_u64(w, m->sequence);
    ses_endpoint_write(w, &m->endpoint);
}

void ses_tx_read_demand(struct ses_reader *r, struct ses_tx_demand *m)
{
    ses_receipt_read(r, &m->receipt);
    m->nonce = ses_read_u64(r);
    m->fee = ses_read_u64(r);
}

void ses_tx_write_demand(struct ses_writer *w, const struct ses_tx_demand *m)
{
    ses_receipt_write(w, &m->receipt);
    ses_write_u64(w, m->nonce);
    ses_write_u64(w, m->fee);
}

static const struct ses_node_id *node_of(const struct ses_tx *tx)
{
    switch (tx->type) {
    case SES_TX_TRANSFER:
        break;
    case SES_TX_REGISTER:
        return &tx->body.reg.node_id;
    case SES_TX_TOP_UP:
        return &tx->body.top_up.node_id;
    case SES_TX_DECOMMISSION:
        return &tx->body.decommission.node_id;
    case SES_TX_COMMITMENT:
        return &tx->body.commitment.node_id;
    case SES_TX_RESPONSE:
        return &tx->body.response.node_id;
    case SES_TX_ROTATE_KEY:
        return &tx->body.rotate_key.node_id;
    case SES_TX_ENDPOINT:
        return &tx->body.endpoint.node_id;
    case SES_TX_DEMAND:
        return &tx->body.demand.receipt.node_id;
    }
    return NULL;
}

bool ses_tx_node(const struct ses_tx *tx, struct ses_node_id *node_id)
{
    const struct ses_node_id *found = node_of(tx);
    memset(node_id, 0, sizeof *node_id);
    if (found != NULL) {
        *node_id = *found;
    }
    return found != NULL;
}
