/* /session/retrieve/1 and /session/watch/1 */
#include "protocol/frame_internal.h"

_Static_assert(SES_RETRIEVE_PAGE == SES_WATCH_SUBSCRIBE, "one layout serves both protocols");

static bool record_max_ok(unsigned record_max)
{
    return record_max >= 1 && record_max <= SES_RETRIEVE_RECORDS_MAX;
}

static void write_ask(struct ses_writer *w, const struct ses_retrieve *m, uint8_t op)
{
    ses_writer_check(w, record_max_ok(m->record_max));
    ses_request_write(w, op);
    ses_write_bytes(w, m->inbox.bytes, sizeof m->inbox.bytes);
    ses_write_u16(w, (uint16_t)m->ns);
    ses_write_bytes(w, m->after.bytes, sizeof m->after.bytes);
    ses_write_u16(w, m->record_max);
    ses_write_u32(w, m->bytes_max);
}

static enum ses_err read_ask(struct ses_retrieve *m, const uint8_t *body, size_t len, uint8_t op)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, op);
    ses_read_bytes(&r, m->inbox.bytes, sizeof m->inbox.bytes);
    m->ns = (int16_t)ses_read_u16(&r);
    ses_read_bytes(&r, m->after.bytes, sizeof m->after.bytes);
    m->record_max = ses_read_u16(&r);
    m->bytes_max = ses_read_u32(&r);
    ses_reader_check(&r, record_max_ok(m->record_max), SES_ERR_MALFORMED);
    return ses_read_end(&r, m, sizeof *m);
}

void ses_retrieve_write(struct ses_writer *w, const struct ses_retrieve *m)
{
    write_ask(w, m, SES_RETRIEVE_PAGE);
}

enum ses_err ses_retrieve_read(struct ses_retrieve *m, const uint8_t *body, size_t len)
{
    return read_ask(m, body, len, SES_RETRIEVE_PAGE);
}

void ses_list_write(struct ses_writer *w, const struct ses_retrieve *m)
{
    write_ask(w, m, SES_RETRIEVE_LIST);
}

enum ses_err ses_list_read(struct ses_retrieve *m, const uint8_t *body, size_t len)
{
    return read_ask(m, body, len, SES_RETRIEVE_LIST);
}

static bool page_ok(const struct ses_page *m)
{
    return m->flags <= (SES_PAGE_MORE | SES_PAGE_PARTIAL) &&
           m->record_cnt <= SES_RETRIEVE_RECORDS_MAX;
}

void ses_page_write(struct ses_writer *w, const struct ses_page *m)
{
    ses_writer_check(w, page_ok(m));
    ses_response_ok(w);
    ses_write_u8(w, m->flags);
    ses_write_bytes(w, m->next.bytes, sizeof m->next.bytes);
    ses_write_u16(w, m->record_cnt);
}

void ses_page_read(struct ses_reader *r, struct ses_page *m)
{
    memset(m, 0, sizeof *m);
    m->flags = ses_read_u8(r);
    ses_read_bytes(r, m->next.bytes, sizeof m->next.bytes);
    m->record_cnt = ses_read_u16(r);
    ses_reader_check(r, page_ok(m), SES_ERR_MALFORMED);
    ses_read_prove(r, m->record_cnt, SES_RECORD_WIRE_MIN);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}
