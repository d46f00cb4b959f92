/* The beginning of every request and response, refusals, and records as they travel. */
#include "protocol/frame_internal.h"

void ses_members_write(struct ses_writer *w, const struct ses_node_id *ids, uint8_t cnt)
{
    ses_writer_check(w, cnt <= SES_MEMBERS_MAX);
    ses_write_u8(w, cnt);
    for (unsigned i = 0; w->err == SES_OK && i < cnt; i++) {
        ses_write_bytes(w, ids[i].bytes, sizeof ids[i].bytes);
    }
}

uint8_t ses_members_read(struct ses_reader *r, struct ses_node_id ids[SES_MEMBERS_MAX])
{
    const uint8_t cnt = ses_read_u8(r);
    ses_reader_check(r, cnt <= SES_MEMBERS_MAX, SES_ERR_MALFORMED);
    ses_read_prove(r, cnt, sizeof ids[0].bytes);
    for (unsigned i = 0; r->err == SES_OK && i < cnt; i++) {
        ses_read_bytes(r, ids[i].bytes, sizeof ids[i].bytes);
    }
    return r->err == SES_OK ? cnt : 0;
}

void ses_response_ok(struct ses_writer *w)
{
    ses_write_u8(w, SES_FRAME_VERSION);
    ses_write_u16(w, SES_OK);
}

void ses_refusal_write(struct ses_writer *w, const struct ses_refusal *refusal)
{
    ses_writer_check(w, refusal->status != SES_OK);
    ses_write_u8(w, SES_FRAME_VERSION);
    ses_write_u16(w, (uint16_t)refusal->status);
    if (refusal->status == SES_ERR_WRONG_SWARM) {
        ses_write_u64(w, refusal->epoch);
        ses_write_u32(w, refusal->num_swarms);
        ses_write_u32(w, refusal->swarm);
        ses_members_write(w, refusal->members, refusal->member_cnt);
    } else if (refusal->status == SES_ERR_CLOCK) {
        ses_write_u64(w, refusal->time_ms);
    } else if (refusal->status == SES_ERR_WORK) {
        ses_write_u8(w, refusal->work_bits);
    }
}

static void read_details(struct ses_reader *r, struct ses_refusal *refusal)
{
    if (refusal->status == SES_ERR_WRONG_SWARM) {
        refusal->epoch = ses_read_u64(r);
        refusal->num_swarms = ses_read_u32(r);
        refusal->swarm = ses_read_u32(r);
        refusal->member_cnt = ses_members_read(r, refusal->members);
    } else if (refusal->status == SES_ERR_CLOCK) {
        refusal->time_ms = ses_read_u64(r);
    } else if (refusal->status == SES_ERR_WORK) {
        refusal->work_bits = ses_read_u8(r);
    }
}

enum ses_err ses_response_begin(struct ses_reader *r, const uint8_t *body, size_t len, bool *ok,
                                struct ses_refusal *refusal)
{
    *ok = false;
    memset(refusal, 0, sizeof *refusal);
    ses_reader_init(r, body, len);
    ses_reader_check(r, len <= SES_FRAME_BYTES_MAX, SES_ERR_TOO_LARGE);
    ses_reader_check(r, ses_read_u8(r) == SES_FRAME_VERSION, SES_ERR_VERSION);
    const uint16_t code = ses_read_u16(r);
    refusal->status = ses_err_from_code(code);
    /* a number that we cannot name stands for nothing that we could act on */
    ses_reader_check(r, (unsigned)refusal->status == code, SES_ERR_MALFORMED);
    if (r->err == SES_OK && refusal->status == SES_OK) {
        *ok = true;
        return SES_OK;
    }
    read_details(r, refusal);
    return ses_read_end(r, refusal, sizeof *refusal);
}

enum ses_err ses_request_begin(struct ses_reader *r, const uint8_t *body, size_t len, uint8_t *op)
{
    ses_reader_init(r, body, len);
    ses_reader_check(r, len <= SES_FRAME_BYTES_MAX, SES_ERR_TOO_LARGE);
    ses_reader_check(r, ses_read_u8(r) == SES_FRAME_VERSION, SES_ERR_VERSION);
    *op = ses_read_u8(r);
    return r->err;
}

void ses_record_write(struct ses_writer *w, const struct ses_record *record)
{
    ses_writer_check(w, record->payload_bytes <= SES_PAYLOAD_MAX);
    if (w->err != SES_OK) {
        return;
    }
    ses_write_bytes(w, record->header, SES_RECORD_HEADER_BYTES);
    ses_write_u32(w, record->payload_bytes);
    ses_write_bytes(w, record->payload, record->payload_bytes);
}

void ses_record_read(struct ses_reader *r, struct ses_record *record)
{
    record->header = ses_read_view(r, SES_RECORD_HEADER_BYTES);
    record->payload_bytes = ses_read_u32(r);
    ses_reader_check(r, record->payload_bytes <= SES_PAYLOAD_MAX, SES_ERR_TOO_LARGE);
    record->payload = ses_read_view(r, record->payload_bytes);
    if (r->err != SES_OK) {
        memset(record, 0, sizeof *record);
    }
}
