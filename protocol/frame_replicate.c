/* /session/replicate/1 */
#include "protocol/frame_internal.h"
#include "protocol/receipt_internal.h"

#define ITEM_BYTES_MIN (2u + SES_RECEIPT_LEAF_BYTES + 2u + 1u)

void ses_replicate_put_write(struct ses_writer *w, const struct ses_replicate_put *m)
{
    ses_writer_check(w, m->record_cnt <= SES_REPLICATE_RECORDS_MAX);
    ses_request_write(w, SES_REPLICATE_PUT);
    ses_write_u64(w, m->seq);
    ses_write_u16(w, m->record_cnt);
}

enum ses_err ses_replicate_put_read(struct ses_replicate_put *m, struct ses_reader *r,
                                    const uint8_t *body, size_t len)
{
    memset(m, 0, sizeof *m);
    ses_request_expect(r, body, len, SES_REPLICATE_PUT);
    m->seq = ses_read_u64(r);
    m->record_cnt = ses_read_u16(r);
    ses_reader_check(r, m->record_cnt <= SES_REPLICATE_RECORDS_MAX, SES_ERR_MALFORMED);
    ses_read_prove(r, m->record_cnt, SES_RECORD_WIRE_MIN + 1);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
    return r->err;
}

void ses_replicate_result_write(struct ses_writer *w, const struct ses_replicate_result *m)
{
    ses_writer_check(w, m->record_cnt <= SES_REPLICATE_RECORDS_MAX);
    ses_response_ok(w);
    ses_write_u64(w, m->seq);
    ses_write_u16(w, m->record_cnt);
}

enum ses_err ses_replicate_result_read(struct ses_replicate_result *m, struct ses_reader *r)
{
    memset(m, 0, sizeof *m);
    m->seq = ses_read_u64(r);
    m->record_cnt = ses_read_u16(r);
    ses_reader_check(r, m->record_cnt <= SES_REPLICATE_RECORDS_MAX, SES_ERR_MALFORMED);
    ses_read_prove(r, m->record_cnt, 2);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
    return r->err;
}

static bool group_ok(const struct ses_receipt_group *m)
{
    return m->n >= 1 && m->n <= SES_RECEIPT_BATCH_MAX && m->cnt <= m->n;
}

void ses_receipt_group_write(struct ses_writer *w, const struct ses_receipt_group *m)
{
    ses_writer_check(w, group_ok(m));
    ses_write_bytes(w, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_write_u16(w, m->n);
    ses_write_bytes(w, m->signature.bytes, sizeof m->signature.bytes);
    ses_write_u16(w, m->cnt);
}

void ses_receipt_group_read(struct ses_reader *r, struct ses_receipt_group *m)
{
    memset(m, 0, sizeof *m);
    ses_read_bytes(r, m->node_id.bytes, sizeof m->node_id.bytes);
    m->n = ses_read_u16(r);
    ses_read_bytes(r, m->signature.bytes, sizeof m->signature.bytes);
    m->cnt = ses_read_u16(r);
    ses_reader_check(r, group_ok(m), SES_ERR_MALFORMED);
    ses_read_prove(r, m->cnt, ITEM_BYTES_MIN);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}

void ses_receipt_group_item_write(struct ses_writer *w, uint16_t record,
                                  const struct ses_receipt *receipt)
{
    ses_writer_check(w, record < SES_REPLICATE_RECORDS_MAX);
    ses_write_u16(w, record);
    ses_receipt_leaf_write(w, &receipt->leaf);
    ses_write_u16(w, receipt->index);
    ses_receipt_path_write(w, receipt);
}

void ses_receipt_group_item_read(struct ses_reader *r, const struct ses_receipt_group *group,
                                 uint16_t *record, struct ses_receipt *receipt)
{
    memset(receipt, 0, sizeof *receipt);
    *record = ses_read_u16(r);
    ses_reader_check(r, *record < SES_REPLICATE_RECORDS_MAX, SES_ERR_MALFORMED);
    ses_receipt_leaf_read(r, &receipt->leaf);
    receipt->index = ses_read_u16(r);
    receipt->n = group->n;
    receipt->node_id = group->node_id;
    receipt->signature = group->signature;
    ses_receipt_path_read(r, receipt);
    if (r->err != SES_OK) {
        memset(receipt, 0, sizeof *receipt);
        *record = 0;
    }
}
