/* The answering side of /session/bulk/1: pages of a segment's log, without what does not belong to
 * the set that is asked for. */
#include "daemon/daemon_internal.h"

#define PAGE_BYTES_MAX 786432u

struct page {
    struct ses_daemon *d;
    struct ses_call *call;
    struct ses_node_id node_id;
    struct ses_bulk_ask ask;
};

static void page_end(struct page *page)
{
    struct ses_daemon *d = page->d;
    const struct ses_node_id node_id = page->node_id;
    ses_free(page);
    ses_sync_end(d, &node_id);
}

static bool belongs(const struct page *page, const struct ses_record *record)
{
    struct ses_record_header header;
    struct ses_record_ids ids;
    struct ses_hash digest;
    struct ses_daemon *d = page->d;
    if (ses_record_header_decode(&header, record->header) != SES_OK) {
        return false;
    }
    ses_inbox_digest(&digest, &header.inbox);
    if (ses_swarm_of(&digest, page->ask.set.num_swarms) != page->ask.set.swarm) {
        return false;
    }
    if (ses_sync_peer(d, &page->node_id)->withheld_cnt == 0) {
        return true;
    }
    return ses_record_identify(&ids, record) != SES_OK || !ses_withhold(d, &page->node_id, &ids.id);
}

static enum ses_err encode(const struct page *page, const struct ses_bulk_result *result,
                           struct ses_buf *out)
{
    struct ses_reader r;
    struct ses_writer w;
    struct ses_record record;
    uint32_t cnt = 0;
    struct ses_bulk_page head = {.more = result->more, .next = result->next};
    SES_TRY(ses_buf_reserve(out, 64 + result->len));
    ses_writer_init(&w, out->bytes, out->cap);
    ses_bulk_page_write(&w, &head);
    ses_reader_init(&r, result->records, result->len);
    for (uint32_t i = 0; i < result->record_cnt && r.err == SES_OK; i++) {
        ses_record_read(&r, &record);
        if (r.err == SES_OK && belongs(page, &record)) {
            ses_record_write(&w, &record);
            cnt++;
        }
    }
    SES_TRY(r.err);
    SES_TRY(ses_writer_done(&w));
    SES_REQUIRE(cnt <= SES_BULK_RECORDS_MAX, SES_ERR_TOO_LARGE);
    ses_put_u16(out->bytes + 12, (uint16_t)cnt);
    out->len = w.len;
    page->d->stats.sync_served += cnt;
    return SES_OK;
}

static void on_bulk(void *cookie, const struct ses_bulk_result *result)
{
    struct page *page = cookie;
    struct ses_buf out = {0};
    enum ses_err err = result->err;
    if (err == SES_OK) {
        err = encode(page, result, &out);
    }
    if (err == SES_OK) {
        ses_call_reply(page->call, out.bytes, out.len);
    } else {
        ses_refuse(page->d, page->call, err);
    }
    ses_buf_free(&out);
    page_end(page);
}

static void reply_empty(const struct page *page)
{
    uint8_t body[32];
    struct ses_writer w;
    const struct ses_bulk_page head = {.more = false};
    ses_writer_init(&w, body, sizeof body);
    ses_bulk_page_write(&w, &head);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(page->call, body, w.len);
}

static void read_log(void *cookie, enum ses_err learnt)
{
    struct page *page = cookie;
    const uint32_t most =
        page->ask.bytes_max < PAGE_BYTES_MAX ? page->ask.bytes_max : PAGE_BYTES_MAX;
    const enum ses_err err = learnt == SES_OK
                                 ? ses_store_bulk(page->d->p.store, &page->ask.segment,
                                                  page->ask.offset, most, on_bulk, page)
                                 : SES_ERR_UNAVAILABLE;
    if (err == SES_OK) {
        return;
    }
    if (err == SES_ERR_NOT_FOUND) {
        reply_empty(page);
    } else {
        ses_refuse(page->d, page->call, err);
    }
    page_end(page);
}

void ses_bulk_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = cookie;
    struct ses_bulk_ask ask;
    struct sync_peer *who = ses_sync_begin(d, call);
    if (who == NULL) {
        return;
    }
    const struct ses_node_id node_id = who->node_id;
    enum ses_err err = ses_bulk_ask_read(&ask, body, len);
    if (err == SES_OK && !ses_sync_entitled(d, &node_id, &ask.set)) {
        err = SES_ERR_UNAUTHORISED;
    }
    struct page *page = err == SES_OK ? ses_alloc(1, sizeof *page) : NULL;
    if (page == NULL) {
        ses_refuse(d, call, err == SES_OK ? SES_ERR_UNAVAILABLE : err);
        ses_sync_end(d, &node_id);
        return;
    }
    *page = (struct page){.d = d, .call = call, .node_id = node_id, .ask = ask};
    ses_withhold_learn(d, &node_id, read_log, page);
}
