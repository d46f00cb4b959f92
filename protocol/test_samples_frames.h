/* Examples of the frames of /session/...; see test_samples.h. */
#ifndef SES_PROTOCOL_TEST_SAMPLES_FRAMES_H
#define SES_PROTOCOL_TEST_SAMPLES_FRAMES_H

#include "protocol/test_samples.h"

static inline void sample_response_ok(struct ses_writer *w)
{
    ses_response_ok(w);
}

static inline void sample_refusal_wrong_swarm(struct ses_writer *w)
{
    struct ses_refusal m = {.status = SES_ERR_WRONG_SWARM, .epoch = 77, .num_swarms = 8};
    m.swarm = 5;
    m.member_cnt = 2;
    FILL(m.members[0], 0xA0);
    FILL(m.members[1], 0xB0);
    ses_refusal_write(w, &m);
}

static inline void sample_refusal_clock(struct ses_writer *w)
{
    const struct ses_refusal m = {.status = SES_ERR_CLOCK, .time_ms = TS_MS};
    ses_refusal_write(w, &m);
}

static inline void sample_refusal_work(struct ses_writer *w)
{
    const struct ses_refusal m = {.status = SES_ERR_WORK, .work_bits = 19};
    ses_refusal_write(w, &m);
}

static inline void sample_refusal_quota(struct ses_writer *w)
{
    const struct ses_refusal m = {.status = SES_ERR_QUOTA};
    ses_refusal_write(w, &m);
}

static inline void sample_put_of(struct ses_writer *w, enum ses_entry_kind entry)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t payload[5];
    const struct ses_record_header h = sample_header(SES_RECORD_MESSAGE, 0);
    struct ses_store_put m = {.entry = entry, .stamp = 0x0102030405060708, .wait_ms = 5000};
    ses_record_header_encode(header, &h);
    FILL(payload, 0x60);
    FILL(m.token, 0xD0);
    m.record = (struct ses_record){header, payload, sizeof payload};
    ses_store_put_write(w, &m);
}

static inline void sample_store_put_owner(struct ses_writer *w)
{
    sample_put_of(w, SES_ENTRY_OWNER);
}

static inline void sample_store_put_token(struct ses_writer *w)
{
    sample_put_of(w, SES_ENTRY_TOKEN);
}

static inline void sample_store_put_stamp(struct ses_writer *w)
{
    sample_put_of(w, SES_ENTRY_STAMP);
}

static inline void sample_stored(struct ses_writer *w)
{
    struct ses_stored m = {.state = SES_STORED, .quorum = 7, .node_cnt = 2};
    FILL(m.id, 0x20);
    FILL(m.nodes[0], 0xA0);
    FILL(m.nodes[1], 0xB0);
    ses_stored_write(w, &m);
}

static inline void sample_store_receipts(struct ses_writer *w)
{
    struct ses_hash id;
    FILL(id, 0x20);
    ses_store_receipts_write(w, &id);
}

static inline void sample_retrieve(struct ses_writer *w)
{
    struct ses_retrieve m = {.ns = -21, .record_max = 100, .bytes_max = 1000000};
    FILL(m.inbox, 0x10);
    FILL(m.after, 0);
    ses_retrieve_write(w, &m);
}

static inline void sample_page(struct ses_writer *w)
{
    struct ses_page m = {.flags = SES_PAGE_MORE, .record_cnt = 2};
    FILL(m.next, 1);
    ses_page_write(w, &m);
    sample_record(w);
    sample_record_empty(w);
}

static inline struct ses_delete_target sample_target(unsigned from)
{
    struct ses_delete_target t = {.header = sample_header(SES_RECORD_MESSAGE, 0), .size = 5};
    FILL(t.payload_root, from);
    return t;
}

static inline void sample_list(struct ses_writer *w)
{
    struct ses_retrieve m = {.record_max = 100, .bytes_max = 1000000};
    FILL(m.inbox, 0x10);
    FILL(m.after, 0);
    ses_list_write(w, &m);
}

static inline void sample_list_page(struct ses_writer *w)
{
    struct ses_page m = {.flags = SES_PAGE_PARTIAL, .record_cnt = 1};
    const struct ses_delete_target target = sample_target(0x60);
    FILL(m.next, 1);
    ses_page_write(w, &m);
    ses_delete_target_write(w, &target);
}

/* Of the sample's keys; the targets' ids ascend. */
static inline void sample_delete(struct ses_writer *w)
{
    uint8_t sig[SES_DSA_SIG_BYTES];
    struct ses_kem_pk kem;
    struct ses_dsa_pk dsa;
    struct ses_session_id owner;
    FILL(sig, 0x44);
    FILL(dsa, 0x33);
    FILL(kem, 0x55);
    ses_session_id_of(&owner, &kem, &dsa);
    ses_write_u16(w, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct ses_delete_target t = sample_target(i == 0 ? 0x61 : 0x60);
        memcpy(t.header.inbox.bytes, owner.bytes + 1, 32);
        ses_delete_target_write(w, &t);
    }
    ses_write_u64(w, TS_MS);
    ses_write_bytes(w, kem.bytes, sizeof kem.bytes);
    ses_write_bytes(w, dsa.bytes, sizeof dsa.bytes);
    ses_write_bytes(w, sig, sizeof sig);
}

static inline void sample_delete_put(struct ses_writer *w)
{
    uint8_t statement[64];
    const struct ses_delete_put m = {5000, sizeof statement, statement};
    FILL(statement, 0x60);
    ses_delete_put_write(w, &m);
}

static inline void sample_prove(struct ses_writer *w)
{
    struct ses_prove m = {.epoch = 77, .segment_cnt = 2};
    FILL(m.inbox, 0x10);
    m.segments[0] = (struct ses_segment){2, 500001};
    m.segments[1] = (struct ses_segment){3, 500000};
    ses_prove_write(w, &m);
}

static inline void sample_proof(struct ses_writer *w)
{
    uint8_t proof[33];
    const struct ses_proof_answer m = {77, sizeof proof, proof};
    FILL(proof, 0x60);
    ses_proof_write(w, &m);
}

static inline void sample_info_request(struct ses_writer *w)
{
    ses_info_request_write(w);
}

static inline void sample_info(struct ses_writer *w)
{
    struct ses_info m = {.time_ms = TS_MS, .epoch = 77, .swarm = 5, .chain_height = 1234};
    FILL(m.node_id, 0xA0);
    m.used_bytes = 1000000;
    m.free_bytes = 2000000;
    m.record_cnt = 42;
    memcpy(m.agent, "sessiond/0.1.0", sizeof "sessiond/0.1.0");
    ses_info_write(w, &m);
}

static inline void sample_registry_ask(struct ses_writer *w)
{
    const struct ses_registry_ask m = {.epoch = UINT64_MAX, .first_row = 4096};
    ses_registry_ask_write(w, &m);
}

static inline void sample_registry_page(struct ses_writer *w)
{
    struct ses_registry_page m = {.epoch = 77, .num_swarms = 8, .total_rows = 80, .row_cnt = 1};
    FILL(m.seed, 0x90);
    FILL(m.root, 0xB0);
    m.first_row = 79;
    ses_registry_page_write(w, &m);
    sample_row(w);
}

static inline void sample_registry_keys_ask(struct ses_writer *w)
{
    struct ses_node_id node_id;
    FILL(node_id, 0xA0);
    ses_registry_keys_ask_write(w, &node_id);
}

static inline void sample_registry_keys(struct ses_writer *w)
{
    ses_response_ok(w);
    sample_keys(w);
    sample_endpoint(w);
}

static inline void sample_replicate_put(struct ses_writer *w)
{
    const struct ses_replicate_put m = {.seq = 9, .record_cnt = 2};
    ses_replicate_put_write(w, &m);
    sample_record(w);
    ses_write_u8(w, 1);
    sample_receipt(w);
    sample_record_empty(w);
    ses_write_u8(w, 0);
}

static inline void sample_replicate_result(struct ses_writer *w)
{
    const struct ses_replicate_result m = {.seq = 9, .record_cnt = 2};
    const struct ses_receipt receipt = sample_receipt_struct();
    struct ses_receipt_group group = {.n = 5, .cnt = 1};
    group.node_id = receipt.node_id;
    group.signature = receipt.signature;
    ses_replicate_result_write(w, &m);
    ses_write_u16(w, SES_OK);
    ses_write_u16(w, SES_ERR_WRONG_SWARM);
    ses_write_u16(w, 1);
    ses_receipt_group_write(w, &group);
    ses_receipt_group_item_write(w, 0, &receipt);
}

static inline void sample_auth_hello_client(struct ses_writer *w)
{
    const struct ses_auth_hello m = {.suite = SES_AUTH_SUITE_CLIENT};
    ses_auth_hello_write(w, &m);
}

static inline void sample_auth_hello_node(struct ses_writer *w)
{
    struct ses_auth_hello m = {.suite = SES_AUTH_SUITE_NODE};
    FILL(m.node_id, 0xA0);
    FILL(m.signature, 0x44);
    ses_auth_hello_write(w, &m);
}

static inline void sample_auth_message(struct ses_writer *w)
{
    struct ses_hash chain_id, exporter;
    struct ses_node_id node_id;
    struct ses_ed25519_pk dialler, listener;
    uint8_t out[SES_AUTH_MESSAGE_BYTES];
    FILL(chain_id, 0xC0);
    FILL(node_id, 0xA0);
    FILL(exporter, 0x01);
    FILL(dialler, 0xE0);
    FILL(listener, 0xE1);
    ses_auth_message(out, SES_AUTH_SUITE_NODE, SES_ROLE_LISTENER, &chain_id, &node_id,
                     exporter.bytes, &dialler, &listener);
    ses_write_bytes(w, out, sizeof out);
}

static inline void sample_login(struct ses_writer *w)
{
    uint8_t sig[SES_DSA_SIG_BYTES], dsa[SES_DSA_PK_BYTES], kem[SES_KEM_PK_BYTES];
    FILL(sig, 0x44);
    FILL(dsa, 0x33);
    FILL(kem, 0x55);
    ses_login_write(w, &(struct ses_login){kem, dsa, sig});
}

static inline void sample_login_message(struct ses_writer *w)
{
    struct ses_hash chain_id, exporter, inbox;
    struct ses_node_id node_id;
    uint8_t out[SES_LOGIN_MESSAGE_BYTES];
    FILL(chain_id, 0xC0);
    FILL(exporter, 0x01);
    FILL(node_id, 0xA0);
    FILL(inbox, 0x10);
    ses_login_message(out, &chain_id, exporter.bytes, &node_id, &inbox);
    ses_write_bytes(w, out, sizeof out);
}

static inline struct ses_probe sample_probe_struct(void)
{
    struct ses_probe m = {.epoch = 77};
    FILL(m.nonce, 0x90);
    return m;
}

static inline void sample_probe(struct ses_writer *w)
{
    const struct ses_probe m = sample_probe_struct();
    ses_probe_write(w, &m);
}

static inline void sample_probe_answer(struct ses_writer *w)
{
    struct ses_dsa_sig signature;
    FILL(signature, 0x44);
    ses_probe_answer_write(w, &signature);
}

static inline void sample_probe_message(struct ses_writer *w)
{
    uint8_t out[SES_PROBE_MESSAGE_BYTES];
    const struct ses_probe m = sample_probe_struct();
    struct ses_hash chain_id;
    struct ses_node_id tester;
    struct ses_node_id target;
    FILL(chain_id, 0xC0);
    FILL(tester, 0xA0);
    FILL(target, 0xB0);
    ses_probe_message(out, &chain_id, &tester, &target, &m);
    ses_write_bytes(w, out, sizeof out);
}

#endif
