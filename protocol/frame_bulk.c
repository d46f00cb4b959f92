/* /session/bulk/1 */
#include "protocol/frame_internal.h"
#include "protocol/sync_internal.h"

void ses_bulk_ask_write(struct ses_writer *w, const struct ses_bulk_ask *m)
{
    ses_request_write(w, SES_BULK_PAGE);
    ses_sync_set_put(w, &m->set);
    ses_segment_put(w, &m->segment);
    ses_write_u64(w, m->offset);
    ses_write_u32(w, m->bytes_max);
}

enum ses_err ses_bulk_ask_read(struct ses_bulk_ask *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, SES_BULK_PAGE);
    ses_sync_set_take(&r, &m->set);
    ses_segment_take(&r, &m->segment);
    m->offset = ses_read_u64(&r);
    m->bytes_max = ses_read_u32(&r);
    return ses_read_end(&r, m, sizeof *m);
}

void ses_bulk_page_write(struct ses_writer *w, const struct ses_bulk_page *m)
{
    ses_writer_check(w, m->cnt <= SES_BULK_RECORDS_MAX);
    ses_response_ok(w);
    ses_write_u8(w, m->more ? 1 : 0);
    ses_write_u64(w, m->next);
    ses_write_u16(w, m->cnt);
}

void ses_bulk_page_read(struct ses_reader *r, struct ses_bulk_page *m)
{
    m->more = ses_flag_take(r);
    m->next = ses_read_u64(r);
    m->cnt = ses_sync_count_read(r, SES_RECORD_WIRE_MIN);
    ses_reader_check(r, m->cnt <= SES_BULK_RECORDS_MAX, SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}
