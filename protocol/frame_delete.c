/* /session/delete/1 */
#include "protocol/frame_internal.h"

static bool statement_len_ok(size_t len)
{
    return len >= 1 && len <= SES_DELETE_BYTES_MAX;
}

void ses_delete_put_write(struct ses_writer *w, const struct ses_delete_put *m)
{
    ses_writer_check(w, statement_len_ok(m->statement_bytes));
    ses_request_write(w, SES_DELETE_PUT);
    ses_write_u32(w, m->wait_ms);
    ses_write_u32(w, m->statement_bytes);
    ses_write_bytes(w, m->statement, m->statement_bytes);
}

enum ses_err ses_delete_put_read(struct ses_delete_put *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, SES_DELETE_PUT);
    m->wait_ms = ses_read_u32(&r);
    m->statement_bytes = ses_read_u32(&r);
    ses_reader_check(&r, statement_len_ok(m->statement_bytes), SES_ERR_MALFORMED);
    m->statement = ses_read_view(&r, m->statement_bytes);
    return ses_read_end(&r, m, sizeof *m);
}
