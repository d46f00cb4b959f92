/* What another member says of its segments: their whole sums, page by page. */
#include "daemon/daemon_internal.h"

#define PAGES_MAX 4u /* 1,250 segments can be live; a page has up to 1,024 */

struct sums_ask {
    struct ses_daemon *d;
    struct ses_target target;
    struct ses_sync_set set;
    struct ses_segment from;
    uint32_t page_cnt;
    struct sync_sums result;
    void (*done)(void *cookie, const struct sync_sums *result);
    void *cookie;
};

/* Each segment once and in order, over all pages: who asks may count on it. */
static enum ses_err take(struct sums_ask *ask, struct ses_reader *r, uint16_t cnt)
{
    struct sync_sums *out = &ask->result;
    struct ses_sync_segment *sums =
        ses_realloc(out->sums, (size_t)out->sum_cnt + cnt + 1, sizeof *sums);
    SES_REQUIRE(sums != NULL, SES_ERR_MEMORY);
    out->sums = sums;
    for (uint16_t i = 0; i < cnt && r->err == SES_OK; i++) {
        ses_sync_segment_read(r, &sums[out->sum_cnt]);
        ses_reader_check(r,
                         out->sum_cnt == 0 ||
                             ses_segment_before(&sums[out->sum_cnt - 1].id, &sums[out->sum_cnt].id),
                         SES_ERR_MALFORMED);
        out->sum_cnt++;
    }
    return ses_reader_done(r);
}

static enum ses_err read_page(struct sums_ask *ask, const uint8_t *body, size_t len, bool *more)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_sync_sums head;
    bool ok;
    SES_TRY(ses_response_begin(&r, body, len, &ok, &refusal));
    SES_REQUIRE(ok, refusal.status);
    ses_sync_sums_read(&r, &head);
    SES_TRY(r.err);
    SES_TRY(take(ask, &r, head.cnt));
    ask->result.partial |= head.partial;
    *more = head.more && head.cnt > 0;
    SES_REQUIRE(!*more || ++ask->page_cnt < PAGES_MAX, SES_ERR_TOO_LARGE);
    if (*more) {
        ask->from = ask->result.sums[ask->result.sum_cnt - 1].id;
        ask->from.hour++;
    }
    return SES_OK;
}

static enum ses_err ask_page(struct sums_ask *ask);

static void on_page(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct sums_ask *ask = cookie;
    struct ses_daemon *d = ask->d;
    bool more = false;
    if (err == SES_OK) {
        err = d->closing ? SES_ERR_CLOSED : read_page(ask, body, len, &more);
    }
    if (err == SES_OK && more) {
        err = ask_page(ask);
    }
    if (err != SES_OK || !more) {
        ask->result.err = err;
        ask->done(ask->cookie, &ask->result);
        ses_free(ask->result.sums);
        ses_free(ask);
    }
    ses_daemon_release(d); /* of the request */
}

static enum ses_err ask_page(struct sums_ask *ask)
{
    const struct ses_sync_sums_ask m = {.set = ask->set, .from = ask->from};
    uint8_t body[64];
    struct ses_writer w;
    ses_writer_init(&w, body, sizeof body);
    ses_sync_sums_ask_write(&w, &m);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    const struct ses_request request = {.target = &ask->target,
                                        .proto = SES_PROTO_SYNC,
                                        .body = body,
                                        .len = w.len,
                                        .on_reply = on_page,
                                        .cookie = ask};
    SES_TRY(ses_net_request(ask->d->p.net, &request));
    ses_daemon_hold(ask->d);
    return SES_OK;
}

enum ses_err ses_sync_ask_sums(struct ses_daemon *d, const struct ses_node_id *node_id,
                               const struct ses_sync_set *set,
                               void (*done)(void *cookie, const struct sync_sums *result),
                               void *cookie)
{
    struct sums_ask *ask = ses_alloc(1, sizeof *ask);
    SES_REQUIRE(ask != NULL, SES_ERR_MEMORY);
    *ask = (struct sums_ask){.d = d, .set = *set, .done = done, .cookie = cookie};
    const enum ses_err err =
        ses_sync_target(d, node_id, &ask->target) ? ask_page(ask) : SES_ERR_NOT_FOUND;
    if (err != SES_OK) {
        ses_free(ask);
    }
    return err;
}
