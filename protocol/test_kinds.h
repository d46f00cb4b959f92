/* Every kind of message in one switch: decode, then encode again what was decoded. Used by the
 * golden test (identity, truncation, trailing bytes, mutations) and by the fuzz targets. */
#ifndef SES_PROTOCOL_TEST_KINDS_H
#define SES_PROTOCOL_TEST_KINDS_H

#include "protocol/test_kinds_sync.h"

/* name, fuzz target */
#define KINDS(X)                                                                                   \
    X(RECORD_HEADER, record)                                                                       \
    X(RECORD, record)                                                                              \
    X(RECEIPT, receipt)                                                                            \
    X(RECEIPTS, receipt)                                                                           \
    X(TX, tx)                                                                                      \
    X(BLOCK, block)                                                                                \
    X(ENDPOINT, node)                                                                              \
    X(NODE, node)                                                                                  \
    X(KEYS, node)                                                                                  \
    X(ROW, node)                                                                                   \
    X(EPOCH, node)                                                                                 \
    X(COMMITMENT, node)                                                                            \
    X(JUDGEMENT, node)                                                                             \
    X(ENVELOPE1_OUTER, envelope1)                                                                  \
    X(ENVELOPE1_INNER, envelope1)                                                                  \
    X(RESPONSE, frames)                                                                            \
    X(STORE_PUT, frames)                                                                           \
    X(STORED, frames)                                                                              \
    X(STORE_RECEIPTS, frames)                                                                      \
    X(RETRIEVE, frames)                                                                            \
    X(PAGE, frames)                                                                                \
    X(INFO_REQUEST, frames)                                                                        \
    X(INFO, frames)                                                                                \
    X(REGISTRY_ASK, frames)                                                                        \
    X(REGISTRY_PAGE, frames)                                                                       \
    X(REGISTRY_KEYS_ASK, frames)                                                                   \
    X(REGISTRY_KEYS, frames)                                                                       \
    X(REPLICATE_PUT, frames)                                                                       \
    X(REPLICATE_RESULT, frames)                                                                    \
    X(AUTH_HELLO, frames)                                                                          \
    X(LOGIN, frames)                                                                               \
    X(PROBE, frames)                                                                               \
    X(PROBE_ANSWER, frames)                                                                        \
    X(DELETE, delete)                                                                              \
    X(DELETE_PUT, frames)                                                                          \
    X(LIST, frames)                                                                                \
    X(LIST_PAGE, frames)                                                                           \
    X(PROVE, frames)                                                                               \
    X(PROOF, frames)                                                                               \
    X(SYNC_ASK, sync_frames)                                                                       \
    X(SYNC_HOURS, sync_frames)                                                                     \
    X(SYNC_ANSWERS, sync_frames)                                                                   \
    X(SYNC_RECORDS, sync_frames)                                                                   \
    X(SYNC_SUMS_ASK, sync_frames)                                                                  \
    X(SYNC_SUMS, sync_frames)                                                                      \
    X(BULK_ASK, sync_frames)                                                                       \
    X(BULK_PAGE, sync_frames)
enum kind {
#define SES_X(name, target) KIND_##name,
    KINDS(SES_X)
#undef SES_X
        KIND_CNT
};

static const char *const kind_targets[KIND_CNT] = {
#define SES_X(name, target) #target,
    KINDS(SES_X)
#undef SES_X
};

static inline void recode_record_header(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_record_header h;
    uint8_t out[SES_RECORD_HEADER_BYTES];
    const uint8_t *in = ses_read_view(r, SES_RECORD_HEADER_BYTES);
    if (in != NULL) {
        const enum ses_err err = ses_record_header_decode(&h, in);
        ses_reader_check(r, err == SES_OK, err);
    }
    if (r->err == SES_OK) {
        ses_record_header_encode(out, &h);
        ses_write_bytes(w, out, sizeof out);
    }
}

static inline void recode_record(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_record record;
    ses_record_read(r, &record);
    if (r->err == SES_OK) {
        ses_record_write(w, &record);
    }
}

static inline void recode_delete(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_delete m;
    const enum ses_err err = ses_delete_read(&m, r->at, r->left);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err != SES_OK) {
        return;
    }
    (void)ses_read_view(r, r->left);
    ses_write_u16(w, m.target_cnt);
    for (unsigned i = 0; i < m.target_cnt; i++) {
        ses_delete_target_write(w, &m.targets[i]);
    }
    ses_write_u64(w, m.time_ms);
    ses_write_bytes(w, m.kem_pk, SES_KEM_PK_BYTES);
    ses_write_bytes(w, m.dsa_pk, SES_DSA_PK_BYTES);
    ses_write_bytes(w, m.signature, SES_DSA_SIG_BYTES);
}

static inline void recode_receipt(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_receipt receipt;
    ses_receipt_read(r, &receipt);
    if (r->err == SES_OK) {
        ses_receipt_write(w, &receipt);
    }
}

static inline void recode_receipts(struct ses_reader *r, struct ses_writer *w)
{
    const uint16_t n = ses_read_u16(r);
    ses_write_u16(w, n);
    for (unsigned i = 0; r->err == SES_OK && i < n; i++) {
        recode_receipt(r, w);
    }
}

static inline void recode_tx(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_tx tx;
    const size_t len = r->left;
    const enum ses_err err = ses_tx_decode(&tx, r->at, len);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err != SES_OK) {
        return;
    }
    (void)ses_read_view(r, len);
    ses_tx_write_body(w, &tx);
    for (unsigned i = 0; i < tx.auth_cnt; i++) {
        ses_write_u8(w, (uint8_t)tx.auth[i].kind);
        ses_write_bytes(w, tx.auth[i].signer, 20);
        if (tx.auth[i].public_key != NULL) {
            ses_write_bytes(w, tx.auth[i].public_key, SES_DSA_PK_BYTES);
        }
        ses_write_bytes(w, tx.auth[i].signature, SES_DSA_SIG_BYTES);
    }
}

static inline void recode_block(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_block block;
    const enum ses_err err = ses_block_decode(&block, r->at, r->left, 1000000);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err != SES_OK) {
        return;
    }
    ses_block_write_header(w, &block);
    (void)ses_read_view(r, SES_BLOCK_HEADER_BYTES);
    for (unsigned i = 0; i < block.tx_cnt; i++) {
        size_t len;
        const uint8_t *tx = ses_block_next_tx(r, &len);
        SES_ASSERT(tx != NULL); /* proved by the decoder */
        ses_write_u32(w, (uint32_t)len);
        ses_write_bytes(w, tx, len);
    }
}

static inline void recode_commitment(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_committed c;
    ses_committed_read(r, &c);
    if (r->err == SES_OK) {
        ses_committed_write(w, &c);
    }
}

static inline void recode_judgement(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_judgement j;
    ses_judgement_read(r, &j);
    if (r->err == SES_OK) {
        ses_judgement_write(w, &j);
    }
}

static inline void recode_endpoint(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_endpoint e;
    ses_endpoint_read(r, &e);
    if (r->err == SES_OK) {
        ses_endpoint_write(w, &e);
    }
}

static inline void recode_node(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_node n;
    ses_node_read(r, &n);
    if (r->err == SES_OK) {
        ses_node_write(w, &n);
    }
}

static inline void recode_keys(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_node_keys k;
    ses_node_keys_read(r, &k);
    if (r->err == SES_OK) {
        ses_node_keys_write(w, &k);
    }
}

static inline void recode_row(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_registry_row row;
    ses_registry_row_read(r, &row);
    if (r->err == SES_OK) {
        ses_registry_row_write(w, &row);
    }
}

static inline void recode_epoch(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_epoch e;
    struct ses_canonical_root roots[64];
    ses_epoch_read(r, &e, roots, 64);
    if (r->err == SES_OK) {
        ses_epoch_write(w, &e);
    }
}

/* The sealed part is copied. */
static inline void recode_outer(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_envelope1_outer outer;
    const size_t len = r->left;
    const enum ses_err err = ses_envelope1_outer_read(&outer, r->at, len);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        ses_envelope1_outer_write(w, &outer);
        (void)ses_read_view(r, SES_ENVELOPE1_OUTER_BYTES);
        ses_write_bytes(w, r->at, r->left);
        (void)ses_read_view(r, r->left);
    }
}

static inline void recode_inner(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_envelope1_inner inner;
    const size_t len = r->left;
    const enum ses_err err = ses_envelope1_inner_read(&inner, r->at, len);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        (void)ses_read_view(r, len);
        ses_envelope1_inner_write(w, &inner);
        while (w->err == SES_OK && w->len < len) { /* padding */
            ses_write_u8(w, 0);
        }
    }
}

/* A request that is read and written as one struct. */
#define RECODE_REQUEST(name)                                                                       \
    static inline void recode_##name(struct ses_reader *r, struct ses_writer *w)                   \
    {                                                                                              \
        struct ses_##name m;                                                                       \
        const enum ses_err err = ses_##name##_read(&m, r->at, r->left);                            \
        ses_reader_check(r, err == SES_OK, err);                                                   \
        if (r->err == SES_OK) {                                                                    \
            (void)ses_read_view(r, r->left);                                                       \
            ses_##name##_write(w, &m);                                                             \
        }                                                                                          \
    }
RECODE_REQUEST(store_put)
RECODE_REQUEST(retrieve)
RECODE_REQUEST(registry_ask)
RECODE_REQUEST(auth_hello)
RECODE_REQUEST(login)
RECODE_REQUEST(delete_put)
RECODE_REQUEST(prove)

static inline void recode_list(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_retrieve m;
    const enum ses_err err = ses_list_read(&m, r->at, r->left);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        (void)ses_read_view(r, r->left);
        ses_list_write(w, &m);
    }
}

static inline void recode_list_page(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_page page;
    ses_list_page_read(r, &page);
    if (r->err == SES_OK) {
        ses_page_write(w, &page);
    }
    for (unsigned i = 0; r->err == SES_OK && i < page.record_cnt; i++) {
        struct ses_delete_target target;
        ses_delete_target_read(r, &target);
        if (r->err == SES_OK) {
            ses_delete_target_write(w, &target);
        }
    }
}

static inline void recode_store_receipts(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_hash id;
    const enum ses_err err = ses_store_receipts_read(&id, r->at, r->left);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        (void)ses_read_view(r, r->left);
        ses_store_receipts_write(w, &id);
    }
}

static inline void recode_registry_keys_ask(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_node_id node_id;
    const enum ses_err err = ses_registry_keys_ask_read(&node_id, r->at, r->left);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        (void)ses_read_view(r, r->left);
        ses_registry_keys_ask_write(w, &node_id);
    }
}

static inline void recode_info_request(struct ses_reader *r, struct ses_writer *w)
{
    const enum ses_err err = ses_info_request_read(r->at, r->left);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        (void)ses_read_view(r, r->left);
        ses_info_request_write(w);
    }
}

static inline void recode_probe(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_probe m;
    const enum ses_err err = ses_probe_read(&m, r->at, r->left);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        (void)ses_read_view(r, r->left);
        ses_probe_write(w, &m);
    }
}

static inline void recode_probe_answer(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_dsa_sig signature;
    if (ses_probe_answer_read(&signature, r) == SES_OK) {
        ses_probe_answer_write(w, &signature);
    }
}

static inline void recode_replicate_put(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_replicate_put m;
    const enum ses_err err = ses_replicate_put_read(&m, r, r->at, r->left);
    if (err != SES_OK) {
        return;
    }
    ses_replicate_put_write(w, &m);
    for (unsigned i = 0; r->err == SES_OK && i < m.record_cnt; i++) {
        recode_record(r, w);
        const uint8_t receipt_cnt = ses_read_u8(r);
        ses_write_u8(w, receipt_cnt);
        for (unsigned j = 0; r->err == SES_OK && j < receipt_cnt; j++) {
            recode_receipt(r, w);
        }
    }
}

static inline void recode_group(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_receipt_group group;
    ses_receipt_group_read(r, &group);
    if (r->err != SES_OK) {
        return;
    }
    ses_receipt_group_write(w, &group);
    for (unsigned i = 0; i < group.cnt; i++) {
        struct ses_receipt receipt;
        uint16_t record;
        ses_receipt_group_item_read(r, &group, &record, &receipt);
        if (r->err != SES_OK) {
            return;
        }
        ses_receipt_group_item_write(w, record, &receipt);
    }
}

static inline void recode_result(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_replicate_result m;
    if (ses_replicate_result_read(&m, r) != SES_OK) {
        return;
    }
    ses_replicate_result_write(w, &m);
    for (unsigned i = 0; r->err == SES_OK && i < m.record_cnt; i++) {
        ses_write_u16(w, ses_read_u16(r));
    }
    const uint16_t group_cnt = ses_read_u16(r);
    ses_write_u16(w, group_cnt);
    for (unsigned i = 0; r->err == SES_OK && i < group_cnt; i++) {
        recode_group(r, w);
    }
}

static inline void recode_page(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_page page;
    ses_page_read(r, &page);
    if (r->err == SES_OK) {
        ses_page_write(w, &page);
    }
    for (unsigned i = 0; r->err == SES_OK && i < page.record_cnt; i++) {
        recode_record(r, w);
    }
}

static inline void recode_registry_page(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_registry_page page;
    ses_registry_page_read(r, &page);
    if (r->err == SES_OK) {
        ses_registry_page_write(w, &page);
    }
    for (unsigned i = 0; r->err == SES_OK && i < page.row_cnt; i++) {
        recode_row(r, w);
    }
}

static inline void recode_sync_records(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_sync_records records;
    ses_sync_records_read(r, &records);
    if (r->err == SES_OK) {
        ses_sync_records_write(w, &records);
    }
    for (unsigned i = 0; r->err == SES_OK && i < records.cnt; i++) {
        recode_record(r, w);
    }
    const uint16_t group_cnt = ses_read_u16(r);
    ses_write_u16(w, group_cnt);
    for (unsigned i = 0; r->err == SES_OK && i < group_cnt; i++) {
        recode_group(r, w);
    }
}

static inline void recode_bulk_page(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_bulk_page page;
    ses_bulk_page_read(r, &page);
    if (r->err == SES_OK) {
        ses_bulk_page_write(w, &page);
    }
    for (unsigned i = 0; r->err == SES_OK && i < page.cnt; i++) {
        recode_record(r, w);
    }
}

/* Behind status OK. */
static inline void recode_fields(enum kind kind, struct ses_reader *r, struct ses_writer *w)
{
    struct ses_stored stored;
    struct ses_info info;
    struct ses_proof_answer proof;
    if (kind == KIND_STORED && ses_stored_read(&stored, r) == SES_OK) {
        ses_stored_write(w, &stored);
        (void)ses_read_view(r, r->left);
    } else if (kind == KIND_INFO && ses_info_read(&info, r) == SES_OK) {
        ses_info_write(w, &info);
    } else if (kind == KIND_PROBE_ANSWER) {
        recode_probe_answer(r, w);
    } else if (kind == KIND_PAGE) {
        recode_page(r, w);
    } else if (kind == KIND_LIST_PAGE) {
        recode_list_page(r, w);
    } else if (kind == KIND_PROOF && ses_proof_read(&proof, r) == SES_OK) {
        ses_proof_write(w, &proof);
        (void)ses_read_view(r, r->left);
    } else if (kind == KIND_REGISTRY_PAGE) {
        recode_registry_page(r, w);
    } else if (kind == KIND_REPLICATE_RESULT) {
        recode_result(r, w);
    } else if (kind == KIND_REGISTRY_KEYS) {
        ses_response_ok(w);
        recode_keys(r, w);
        recode_endpoint(r, w);
    } else if (kind == KIND_SYNC_HOURS) {
        recode_sync_hours(r, w);
    } else if (kind == KIND_SYNC_ANSWERS) {
        recode_sync_answers(r, w);
    } else if (kind == KIND_SYNC_RECORDS) {
        recode_sync_records(r, w);
    } else if (kind == KIND_SYNC_SUMS) {
        recode_sync_sums(r, w);
    } else if (kind == KIND_BULK_PAGE) {
        recode_bulk_page(r, w);
    } else if (kind == KIND_RESPONSE) {
        ses_response_ok(w);
    }
}

static inline void recode_response(enum kind kind, struct ses_reader *r, struct ses_writer *w)
{
    struct ses_refusal refusal;
    bool ok;
    const enum ses_err err = ses_response_begin(r, r->at, r->left, &ok, &refusal);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err != SES_OK) {
        return;
    }
    if (ok) {
        recode_fields(kind, r, w);
    } else {
        ses_refusal_write(w, &refusal);
    }
}

/* SES_OK: the bytes were accepted, and `w` holds them encoded again. */
static inline enum ses_err kind_recode(enum kind kind, const uint8_t *bytes, size_t len,
                                       struct ses_writer *w)
{
    static void (*const plain[KIND_CNT])(struct ses_reader *, struct ses_writer *) = {
        [KIND_RECORD_HEADER] = recode_record_header,
        [KIND_RECORD] = recode_record,
        [KIND_RECEIPT] = recode_receipt,
        [KIND_RECEIPTS] = recode_receipts,
        [KIND_TX] = recode_tx,
        [KIND_BLOCK] = recode_block,
        [KIND_ENDPOINT] = recode_endpoint,
        [KIND_NODE] = recode_node,
        [KIND_KEYS] = recode_keys,
        [KIND_ROW] = recode_row,
        [KIND_EPOCH] = recode_epoch,
        [KIND_COMMITMENT] = recode_commitment,
        [KIND_JUDGEMENT] = recode_judgement,
        [KIND_ENVELOPE1_OUTER] = recode_outer,
        [KIND_ENVELOPE1_INNER] = recode_inner,
        [KIND_STORE_PUT] = recode_store_put,
        [KIND_STORE_RECEIPTS] = recode_store_receipts,
        [KIND_RETRIEVE] = recode_retrieve,
        [KIND_INFO_REQUEST] = recode_info_request,
        [KIND_REGISTRY_ASK] = recode_registry_ask,
        [KIND_REGISTRY_KEYS_ASK] = recode_registry_keys_ask,
        [KIND_REPLICATE_PUT] = recode_replicate_put,
        [KIND_AUTH_HELLO] = recode_auth_hello,
        [KIND_LOGIN] = recode_login,
        [KIND_PROBE] = recode_probe,
        [KIND_DELETE] = recode_delete,
        [KIND_DELETE_PUT] = recode_delete_put,
        [KIND_LIST] = recode_list,
        [KIND_PROVE] = recode_prove,
        [KIND_SYNC_ASK] = recode_sync_ask,
        [KIND_SYNC_SUMS_ASK] = recode_sync_sums_ask,
        [KIND_BULK_ASK] = recode_bulk_ask,
    };
    struct ses_reader r;
    ses_reader_init(&r, bytes, len);
    if (plain[kind] != NULL) {
        plain[kind](&r, w);
    } else {
        recode_response(kind, &r, w);
    }
    const enum ses_err err = ses_reader_done(&r);
    return err;
}

#endif
