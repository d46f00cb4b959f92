/* Deleting, what needs no I/O: what members' lists and answers mean, what is chosen, what is
 * signed. Bytes, keys and time are arguments. */
#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"

#define AHEAD_MS 600000u /* no record is so far in our future */
#define EARLY_MS 10000u  /* nodes take nothing that is later */

/* ---- the list ---- */
void ses_listing_free(struct ses_listing *listing)
{
    ses_free(listing->list);
    memset(listing, 0, sizeof *listing);
}

static enum ses_err add(struct ses_listing *listing, const struct ses_delete_target *target)
{
    if (listing->cnt == listing->cap) {
        const uint32_t cap = listing->cap != 0 ? listing->cap * 2 : 256;
        SES_REQUIRE(cap <= SES_LISTING_MAX, SES_ERR_TOO_LARGE);
        struct ses_delete_target *list = ses_realloc(listing->list, cap, sizeof *list);
        SES_REQUIRE(list != NULL, SES_ERR_MEMORY);
        listing->list = list;
        listing->cap = cap;
    }
    listing->list[listing->cnt++] = *target;
    return SES_OK;
}

static int by_id(const void *a, const void *b)
{
    const struct ses_delete_target *x = a;
    const struct ses_delete_target *y = b;
    return memcmp(x->id.bytes, y->id.bytes, sizeof x->id.bytes);
}

void ses_listing_merge(struct ses_listing *listing)
{
    uint32_t cnt = 0;
    if (listing->cnt == 0) {
        return;
    }
    qsort(listing->list, listing->cnt, sizeof *listing->list, by_id);
    for (uint32_t i = 0; i < listing->cnt; i++) {
        if (cnt == 0 || by_id(&listing->list[cnt - 1], &listing->list[i]) != 0) {
            listing->list[cnt++] = listing->list[i];
        }
    }
    listing->cnt = cnt;
}

const struct ses_delete_target *ses_listing_find(const struct ses_listing *listing,
                                                 const struct ses_hash *id)
{
    struct ses_delete_target key = {.id = *id};
    return listing->cnt == 0 ? NULL : bsearch(&key, listing->list, listing->cnt, sizeof key, by_id);
}

static enum ses_err take_target(struct ses_listing *listing, const struct ses_retrieve *ask,
                                uint64_t now_ms, const struct ses_delete_target *target)
{
    SES_REQUIRE(memcmp(target->header.inbox.bytes, ask->inbox.bytes, 32) == 0 &&
                    target->header.ns == ask->ns && target->header.ts_ms <= now_ms + AHEAD_MS,
                SES_ERR_PEER);
    if (ses_segment_expires_ms(&target->segment) <= now_ms) {
        return SES_OK;
    }
    return add(listing, target);
}

enum ses_err ses_listing_take(struct ses_listing *listing, struct ses_retrieve *ask,
                              uint64_t now_ms, const uint8_t *body, size_t len, uint8_t *flags,
                              struct ses_refusal *refusal)
{
    struct ses_reader r;
    struct ses_page page;
    bool ok = false;
    SES_REQUIRE(ses_response_begin(&r, body, len, &ok, refusal) == SES_OK, SES_ERR_PEER);
    SES_REQUIRE(ok, ses_refusal_err(refusal));
    ses_list_page_read(&r, &page);
    for (unsigned i = 0; r.err == SES_OK && i < page.record_cnt; i++) {
        struct ses_delete_target target;
        ses_delete_target_read(&r, &target);
        SES_REQUIRE(r.err == SES_OK, SES_ERR_PEER);
        SES_TRY(take_target(listing, ask, now_ms, &target));
    }
    SES_REQUIRE(ses_reader_done(&r) == SES_OK, SES_ERR_PEER);
    *flags = page.flags;
    ask->after = page.next;
    return SES_OK;
}

/* ---- what is to go ---- */
static int by_expiry(const void *a, const void *b)
{
    const struct ses_delete_target *x = a;
    const struct ses_delete_target *y = b;
    const uint64_t mx = ses_segment_expires_ms(&x->segment);
    const uint64_t my = ses_segment_expires_ms(&y->segment);
    return mx != my ? (mx < my ? -1 : 1) : memcmp(x->id.bytes, y->id.bytes, 32);
}

static bool among_ids(const struct ses_client_delete *what, const struct ses_hash *id)
{
    for (size_t i = 0; i < what->id_cnt; i++) {
        if (memcmp(what->ids[i], id->bytes, 32) == 0) {
            return true;
        }
    }
    return false;
}

void ses_delete_choose(struct ses_listing *listing, const struct ses_client_delete *what,
                       uint64_t now_ms)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < listing->cnt; i++) {
        const struct ses_delete_target *t = &listing->list[i];
        const bool old =
            what->before_ms == SES_CLIENT_DELETE_ALL || t->header.ts_ms < what->before_ms;
        const bool early = t->header.ts_ms > now_ms + EARLY_MS;
        if (!early && (what->ids != NULL ? among_ids(what, &t->id) : old)) {
            listing->list[cnt++] = *t;
        }
    }
    listing->cnt = cnt;
    if (cnt > 0) {
        qsort(listing->list, cnt, sizeof *listing->list, by_expiry);
    }
}

/* ---- one statement ---- */
static uint64_t statement_time(uint64_t now_ms, const struct ses_delete_target *targets, size_t cnt)
{
    uint64_t ms = now_ms / 1000 * 1000;
    for (size_t i = 0; i < cnt; i++) { /* the sender's clock may be a little ahead of ours */
        ms = targets[i].header.ts_ms > ms ? targets[i].header.ts_ms : ms;
    }
    return ms;
}

enum ses_err ses_delete_body(const struct ses_delete_signer *signer,
                             const struct ses_delete_target *targets, size_t cnt, unsigned wait_ms,
                             struct ses_buf *body)
{
    uint8_t statement[SES_DELETE_BYTES_MAX];
    size_t len = 0;
    struct ses_writer w;
    SES_TRY(ses_delete_sign(statement, &len, targets, cnt,
                            statement_time(signer->now_ms, targets, cnt), signer->chain_id,
                            signer->owner, signer->random));
    const struct ses_delete_put put = {wait_ms, (uint32_t)len, statement};
    SES_TRY(ses_buf_reserve(body, len + 64));
    ses_writer_init(&w, body->bytes, body->cap);
    ses_delete_put_write(&w, &put);
    SES_TRY(ses_writer_done(&w));
    body->len = w.len;
    return SES_OK;
}

enum ses_err ses_delete_ids(struct ses_record_ids *out, const struct ses_buf *body)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_delete_put put;
    struct ses_delete statement;
    struct ses_record_header fields;
    SES_TRY(ses_delete_put_read(&put, body->bytes, body->len));
    SES_TRY(ses_delete_read(&statement, put.statement, put.statement_bytes));
    ses_delete_header(&fields, &statement);
    ses_record_header_encode(header, &fields);
    const struct ses_record record = {header, put.statement, put.statement_bytes};
    return ses_record_identify(out, &record);
}
