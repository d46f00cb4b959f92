/* One deterministic example of every encoding. Byte strings of n bytes "from s" are
 * s, s + 1, ... s + n - 1 (mod 256); docs/protocol.md shows the same examples. */
#ifndef SES_PROTOCOL_TEST_SAMPLES_H
#define SES_PROTOCOL_TEST_SAMPLES_H

#include <string.h>

#include "protocol/test_kinds.h"

#define TS_MS 1800000000000u

static inline void count_up(void *out, size_t len, unsigned from)
{
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)out)[i] = (uint8_t)(from + i);
    }
}
#define FILL(field, from) count_up(&(field), sizeof(field), (from))

static inline struct ses_record_header sample_header(enum ses_record_kind kind, int16_t ns)
{
    struct ses_record_header h = {.kind = kind, .ns = ns, .ttl_class = 3, .ts_ms = TS_MS};
    FILL(h.inbox, 0x10);
    return h;
}

static inline void sample_record_header(struct ses_writer *w)
{
    const struct ses_record_header h = sample_header(SES_RECORD_MESSAGE, -21);
    uint8_t out[SES_RECORD_HEADER_BYTES];
    ses_record_header_encode(out, &h);
    ses_write_bytes(w, out, sizeof out);
}

static inline void sample_record_of(struct ses_writer *w, enum ses_record_kind kind, uint32_t len)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t payload[2048];
    const struct ses_record_header h = sample_header(kind, 0);
    SES_ASSERT(len <= sizeof payload);
    ses_record_header_encode(header, &h);
    count_up(payload, len, 0x60);
    ses_record_write(w, &(struct ses_record){header, payload, len});
}

static inline void sample_record(struct ses_writer *w)
{
    sample_record_of(w, SES_RECORD_MESSAGE, 5);
}

static inline void sample_record_empty(struct ses_writer *w)
{
    sample_record_of(w, SES_RECORD_TOMBSTONE, 0);
}

/* Element 2 of 5: its path has three siblings. */
static inline struct ses_receipt sample_receipt_struct(void)
{
    struct ses_receipt m = {.index = 2, .n = 5, .path_cnt = 3};
    FILL(m.leaf.id, 0x20);
    FILL(m.leaf.digest, 0x40);
    ses_segment_of(&m.leaf.segment, 3, TS_MS);
    m.leaf.swarm = 5;
    m.leaf.swarm_from_epoch = 70;
    m.leaf.admit_epoch = 77;
    m.leaf.time_ms = TS_MS + 1234;
    count_up(m.path, 3 * 32, 0x60);
    FILL(m.node_id, 0xA0);
    FILL(m.signature, 0);
    return m;
}

static inline void sample_receipt(struct ses_writer *w)
{
    const struct ses_receipt m = sample_receipt_struct();
    ses_receipt_write(w, &m);
}

static inline void sample_receipts(struct ses_writer *w)
{
    ses_write_u16(w, 2);
    sample_receipt(w);
    sample_receipt(w);
}

static inline void sample_receipt_statement(struct ses_writer *w)
{
    struct ses_hash chain_id, mt;
    struct ses_node_id node_id;
    uint8_t out[SES_RECEIPT_STATEMENT_BYTES];
    FILL(chain_id, 0xC0);
    FILL(mt, 0x60);
    FILL(node_id, 0xA0);
    ses_receipt_statement(out, &chain_id, &node_id, 5, &mt);
    ses_write_bytes(w, out, sizeof out);
}

static inline struct ses_endpoint sample_endpoint_struct(void)
{
    struct ses_endpoint e = {.addr_cnt = 2};
    static const uint8_t tcp4[] = {0x04, 127, 0, 0, 1, 0x06, 0x0f, 0xa1}; /* /ip4/../tcp/4001 */
    FILL(e.peer_key, 0xE0);
    e.addrs[0].len = sizeof tcp4;
    memcpy(e.addrs[0].bytes, tcp4, sizeof tcp4);
    e.addrs[1].len = 3;
    count_up(e.addrs[1].bytes, 3, 1);
    return e;
}

static inline void sample_endpoint(struct ses_writer *w)
{
    const struct ses_endpoint e = sample_endpoint_struct();
    ses_endpoint_write(w, &e);
}

static inline void sample_auth(struct ses_writer *w, enum ses_auth_kind kind, unsigned signer)
{
    uint8_t bytes[SES_DSA_SIG_BYTES];
    ses_write_u8(w, (uint8_t)kind);
    count_up(bytes, 20, signer);
    ses_write_bytes(w, bytes, 20);
    if (kind == SES_AUTH_FIRST) {
        count_up(bytes, SES_DSA_PK_BYTES, 0x33);
        ses_write_bytes(w, bytes, SES_DSA_PK_BYTES);
    }
    count_up(bytes, SES_DSA_SIG_BYTES, 0x44);
    ses_write_bytes(w, bytes, SES_DSA_SIG_BYTES);
}

static inline void sample_tx_transfer(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_TRANSFER};
    FILL(tx.body.transfer.to, 0x11);
    tx.body.transfer.amount = 5000000000;
    tx.body.transfer.nonce = 1;
    tx.body.transfer.fee = 1000000;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_KNOWN, 0x22);
}

static inline void sample_tx_transfer_first(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_TRANSFER};
    FILL(tx.body.transfer.to, 0x11);
    tx.body.transfer.amount = 1;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_FIRST, 0x22);
}

static inline void sample_tx_register(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_REGISTER};
    struct ses_tx_register *m = &tx.body.reg;
    FILL(m->owner, 0x22);
    FILL(m->node_id, 0xA0);
    FILL(m->public_key, 0x33);
    FILL(m->encryption_key, 0x55);
    m->stake = 100000000000;
    m->capacity = 1099511627776;
    m->endpoint = sample_endpoint_struct();
    m->nonce = 2;
    m->fee = 1000000;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_KNOWN, 0x22);
    sample_auth(w, SES_AUTH_NODE, 0xA0);
}

static inline void sample_tx_top_up(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_TOP_UP};
    FILL(tx.body.top_up.node_id, 0xA0);
    tx.body.top_up.amount = 7000000000;
    tx.body.top_up.nonce = 3;
    tx.body.top_up.fee = 1000000;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_KNOWN, 0x22);
}

static inline void sample_tx_decommission(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_DECOMMISSION};
    FILL(tx.body.decommission.node_id, 0xA0);
    tx.body.decommission.nonce = 4;
    tx.body.decommission.fee = 1000000;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_KNOWN, 0x22);
}

static inline void sample_tx_commitment(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_COMMITMENT};
    struct ses_tx_commitment *m = &tx.body.commitment;
    FILL(m->node_id, 0xA0);
    m->epoch = 77;
    m->swarm = 5;
    FILL(m->root, 1);
    m->count = 3;
    m->bytes = 4096;
    FILL(m->reveal, 0x60);
    FILL(m->next, 0x70);
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_NODE, 0xA0);
}

/* Three openings: a chunk with two siblings, an empty payload, a tombstone. */
static inline void sample_tx_response(struct ses_writer *w)
{
    static uint8_t proof[100];
    static uint8_t chunk[10];
    struct ses_tx tx = {.type = SES_TX_RESPONSE};
    struct ses_tx_response *m = &tx.body.response;
    FILL(m->node_id, 0xA0);
    m->epoch = 78;
    m->free = 1000000;
    m->used = 2000000;
    m->verdict_cnt = 3;
    count_up(m->verdicts, 3, 0xF0);
    FILL(proof, 0x80);
    m->proof = proof;
    m->proof_len = sizeof proof;
    m->opening_cnt = 3;
    FILL(m->openings[0].header_hash, 2);
    FILL(m->openings[0].payload_root, 3);
    FILL(chunk, 0x61);
    m->openings[0].chunk = chunk;
    m->openings[0].chunk_len = sizeof chunk;
    m->openings[0].path_cnt = 2;
    count_up(m->openings[0].path, 2 * 32, 4);
    m->openings[1].index = 1;
    FILL(m->openings[1].header_hash, 5);
    m->openings[2].index = 4;
    m->openings[2].leaf_only = true;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_NODE, 0xA0);
}

/* Nothing to open and nobody to test: a lonely node's. */
static inline void sample_tx_response_empty(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_RESPONSE};
    FILL(tx.body.response.node_id, 0xA0);
    tx.body.response.epoch = 78;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_NODE, 0xA0);
}

static inline void sample_tx_rotate_key(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_ROTATE_KEY};
    FILL(tx.body.rotate_key.node_id, 0xA0);
    FILL(tx.body.rotate_key.encryption_key, 0x77);
    tx.body.rotate_key.key_epoch = 77;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_NODE, 0xA0);
}

static inline void sample_tx_endpoint(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_ENDPOINT};
    FILL(tx.body.endpoint.node_id, 0xA0);
    tx.body.endpoint.sequence = 1800000001;
    tx.body.endpoint.endpoint = sample_endpoint_struct();
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_NODE, 0xA0);
}

static inline void sample_tx_demand(struct ses_writer *w)
{
    struct ses_tx tx = {.type = SES_TX_DEMAND};
    tx.body.demand.receipt = sample_receipt_struct();
    tx.body.demand.nonce = 5;
    tx.body.demand.fee = 1000000;
    ses_tx_write_body(w, &tx);
    sample_auth(w, SES_AUTH_KNOWN, 0x22);
}

static inline void sample_commitment(struct ses_writer *w)
{
    struct ses_committed c = {.epoch = 77, .swarm = 5, .num_swarms = 8, .count = 3, .bytes = 4096};
    FILL(c.root, 1);
    FILL(c.reveal, 0x60);
    ses_committed_write(w, &c);
}

static inline void sample_judgement(struct ses_writer *w)
{
    struct ses_judgement j = {.causes = SES_CAUSE_OPENING | SES_CAUSE_UNREACHABLE,
                              .flags = SES_JUDGED_SEAT_LOST | SES_JUDGED_UNREACHED,
                              .lacking = 5,
                              .tested = 20,
                              .answered = 18,
                              .reached = 4,
                              .slashed = 500000000};
    FILL(j.node_id, 0xA0);
    ses_judgement_write(w, &j);
}

static inline struct ses_block sample_block_struct(uint16_t tx_cnt)
{
    struct ses_block block = {.height = 9, .timestamp = 1800000018, .tx_cnt = tx_cnt};
    FILL(block.parent, 0x50);
    FILL(block.state_root, 0x70);
    return block;
}

static inline void sample_block_empty(struct ses_writer *w)
{
    const struct ses_block block = sample_block_struct(0);
    ses_block_write_header(w, &block);
}

static inline void sample_block(struct ses_writer *w)
{
    const struct ses_block block = sample_block_struct(2);
    ses_block_write_header(w, &block);
    uint8_t *len = ses_write_space(w, 4);
    size_t start = w->len;
    sample_tx_transfer(w);
    ses_put_u32(len, (uint32_t)(w->len - start));
    len = ses_write_space(w, 4);
    start = w->len;
    sample_tx_decommission(w);
    ses_put_u32(len, (uint32_t)(w->len - start));
}

static inline void sample_node(struct ses_writer *w)
{
    struct ses_node n = {.stake = 100000000000, .principal = 90000000000, .swarm = 5};
    FILL(n.node_id, 0xA0);
    FILL(n.owner, 0x22);
    n.prev_swarm = SES_SWARM_NONE;
    n.swarm_from_epoch = 70;
    FILL(n.next_commit, 0x60);
    n.status = SES_NODE_DECOMMISSIONING;
    n.registered_at = 1800000000;
    n.last_ping_at = 1800003600;
    FILL(n.uptime, 1);
    FILL(n.observed, 2);
    n.misses = 11;
    n.misses_running = 2;
    FILL(n.forgiven, 3);
    n.slashed = 450000000;
    n.deviant_cnt = 1;
    n.unreachable_cnt = 2;
    n.capacity = 1099511627776;
    n.decommission_epoch = 77;
    ses_node_write(w, &n);
}

static inline struct ses_node_keys sample_keys_struct(bool has_prev)
{
    struct ses_node_keys k;
    memset(&k, 0, sizeof k);
    FILL(k.public_key, 0x33);
    FILL(k.encryption_key, 0x55);
    k.has_prev_encryption_key = has_prev;
    if (has_prev) {
        FILL(k.prev_encryption_key, 0x77);
    }
    return k;
}

static inline void sample_keys(struct ses_writer *w)
{
    const struct ses_node_keys k = sample_keys_struct(false);
    ses_node_keys_write(w, &k);
}

static inline void sample_keys_prev(struct ses_writer *w)
{
    const struct ses_node_keys k = sample_keys_struct(true);
    ses_node_keys_write(w, &k);
}

static inline void sample_row(struct ses_writer *w)
{
    struct ses_registry_row row = {.status = SES_NODE_ACTIVE, .swarm = 5, .prev_swarm = 1};
    FILL(row.node_id, 0xA0);
    FILL(row.owner, 0x22);
    row.swarm_from_epoch = 70;
    FILL(row.keys_hash, 0x80);
    ses_registry_row_write(w, &row);
}

static inline void sample_epoch(struct ses_writer *w)
{
    struct ses_canonical_root roots[2] = {{.swarm = 0, .count = 3, .bytes = 4096},
                                          {.swarm = 6, .count = 1, .bytes = 8192}};
    struct ses_epoch e = {.epoch = 77, .num_swarms = 8, .active_cnt = 80, .miss_cnt = 2};
    FILL(roots[0].root, 0x01);
    FILL(roots[1].root, 0x02);
    FILL(e.parent_block, 0x50);
    FILL(e.seed, 0x90);
    FILL(e.registry_root, 0xB0);
    e.total_bonded = 8000000000000;
    e.outage = true;
    e.canonical_cnt = 2;
    e.canonical = roots;
    ses_epoch_write(w, &e);
}

static inline void sample_envelope1_outer(struct ses_writer *w)
{
    uint8_t ct[SES_KEM_CT_BYTES];
    struct ses_envelope1_outer outer = {.pad_class = 0, .kem_ct = ct};
    FILL(outer.kem_key_id, 0x88);
    FILL(ct, 0x99);
    ses_envelope1_outer_write(w, &outer);
    while (w->err == SES_OK && w->len < ses_pad_class_bytes(0)) {
        ses_write_u8(w, 0xEE);
    }
}

static inline void sample_inner_of(struct ses_writer *w, uint8_t key_mode)
{
    uint8_t sig[SES_DSA_SIG_BYTES], dsa[SES_DSA_PK_BYTES], kem[SES_KEM_PK_BYTES];
    uint8_t body[7];
    struct ses_envelope1_inner inner = {.type = 1, .sent_ms = TS_MS + 5, .key_mode = key_mode};
    FILL(sig, 0x44);
    FILL(dsa, 0x33);
    FILL(kem, 0x55);
    FILL(body, 'a');
    FILL(inner.sender, 0x10);
    FILL(inner.uuid, 0xF0);
    inner.dsa_pk = dsa;
    inner.kem_pk = kem;
    inner.signature = sig;
    inner.body = body;
    inner.body_bytes = sizeof body;
    ses_envelope1_inner_write(w, &inner);
    for (unsigned i = 0; i < 3; i++) {
        ses_write_u8(w, 0);
    }
}

static inline void sample_envelope1_inner(struct ses_writer *w)
{
    sample_inner_of(w, SES_KEY_MODE_BODY_SIGNED);
}

static inline void sample_envelope1_inner_keys(struct ses_writer *w)
{
    sample_inner_of(w, SES_KEY_MODE_KEYS);
}

#endif
