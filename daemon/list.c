/* What an inbox holds, without the payloads: what its owner needs to sign a delete. Made of the
 * page that a reader would get, so both say the same. */
#include "daemon/daemon_internal.h"

static enum ses_err list_one(struct ses_writer *w, struct ses_page *out, struct ses_reader *r)
{
    struct ses_record record;
    struct ses_record_ids ids;
    struct ses_delete_target target;
    ses_record_read(r, &record);
    SES_TRY(r->err);
    SES_TRY(ses_record_identify(&ids, &record));
    if (ids.header.kind == SES_RECORD_MESSAGE) {
        ses_delete_target_of(&target, &ids, record.payload_bytes);
        ses_delete_target_write(w, &target);
        out->record_cnt++;
    }
    return w->err;
}

enum ses_err ses_list_of_page(struct ses_buf *out, const uint8_t *frame, size_t len)
{
    struct ses_reader r;
    struct ses_writer w;
    struct ses_page page;
    struct ses_refusal refusal;
    bool ok = false;
    SES_TRY(ses_response_begin(&r, frame, len, &ok, &refusal));
    SES_REQUIRE(ok, refusal.status);
    ses_page_read(&r, &page);
    SES_TRY(r.err);
    const uint16_t cnt = page.record_cnt;
    SES_TRY(ses_buf_reserve(out, SES_PAGE_HEADER_BYTES + (size_t)cnt * SES_DELETE_TARGET_BYTES));
    ses_writer_init(&w, out->bytes, out->cap);
    uint8_t *header = ses_write_space(&w, SES_PAGE_HEADER_BYTES);
    page.record_cnt = 0;
    for (uint16_t i = 0; i < cnt; i++) {
        SES_TRY(list_one(&w, &page, &r));
    }
    SES_TRY(ses_reader_done(&r));
    SES_TRY(ses_writer_done(&w));
    out->len = w.len;
    ses_writer_init(&w, header, SES_PAGE_HEADER_BYTES);
    ses_page_write(&w, &page);
    return ses_writer_done(&w);
}
