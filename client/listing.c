/* What lies in the own inbox, without the payloads: lists of its members, merged by record id. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"

#define LIST_PAGES_MAX 4096u
#define AHEAD_MS 600000u /* no record is so far in our future */

void ses_listing_free(struct ses_listing *listing)
{
    ses_free(listing->list);
    memset(listing, 0, sizeof *listing);
}

static enum ses_err add(struct ses_listing *listing, const struct ses_delete_target *target)
{
    if (listing->cnt == listing->cap) {
        const uint32_t cap = listing->cap != 0 ? listing->cap * 2 : 256;
        SES_REQUIRE(cap <= SES_LISTING_MAX, SES_ERR_FULL);
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

/* Sorted by id, each once. */
static void merge(struct ses_listing *listing)
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

/* ---- one member ---- */
struct member_ask {
    struct ses_client *client;
    const struct ses_map_node *node;
    struct ses_retrieve ask;
    struct ses_listing *listing;
    bool partial;
    bool more;
    struct ses_refusal refusal;
};

static enum ses_err take_target(struct member_ask *m, const struct ses_delete_target *target)
{
    const uint64_t now = ses_client_now(m->client);
    SES_REQUIRE(memcmp(target->header.inbox.bytes, m->ask.inbox.bytes, 32) == 0 &&
                    target->header.ns == m->ask.ns && target->header.ts_ms <= now + AHEAD_MS,
                SES_ERR_PEER);
    if (ses_segment_expires_ms(&target->segment) <= now) {
        return SES_OK;
    }
    return add(m->listing, target);
}

static enum ses_err take_list(struct member_ask *m, const struct ses_buf *body)
{
    struct ses_reader r;
    struct ses_page page;
    bool ok = false;
    SES_REQUIRE(ses_response_begin(&r, body->bytes, body->len, &ok, &m->refusal) == SES_OK,
                SES_ERR_PEER);
    SES_REQUIRE(ok, m->refusal.status);
    ses_list_page_read(&r, &page);
    for (unsigned i = 0; r.err == SES_OK && i < page.record_cnt; i++) {
        struct ses_delete_target target;
        ses_delete_target_read(&r, &target);
        SES_REQUIRE(r.err == SES_OK, SES_ERR_PEER);
        SES_TRY(take_target(m, &target));
    }
    SES_REQUIRE(ses_reader_done(&r) == SES_OK, SES_ERR_PEER);
    m->partial = m->partial || (page.flags & SES_PAGE_PARTIAL) != 0;
    m->more = (page.flags & SES_PAGE_MORE) != 0;
    m->ask.after = page.next;
    return SES_OK;
}

static enum ses_err ask_page(struct member_ask *m)
{
    struct ses_client *c = m->client;
    struct ses_buf answer = {0};
    struct ses_writer w;
    uint8_t body[128];
    ses_writer_init(&w, body, sizeof body);
    ses_list_write(&w, &m->ask);
    SES_TRY(ses_writer_done(&w));
    enum ses_err err =
        ses_client_ask(c, m->node, SES_PROTO_RETRIEVE, true, body, w.len, c->timeout_ms, &answer);
    if (err == SES_OK) {
        err = take_list(m, &answer);
    }
    ses_buf_free(&answer);
    return err;
}

enum ses_err ses_client_list_member(struct ses_client *c, const struct ses_map_node *node,
                                    const struct ses_hash *inbox, int16_t ns,
                                    struct ses_listing *listing, bool *partial,
                                    struct ses_refusal *refusal)
{
    struct member_ask m = {.client = c, .node = node, .listing = listing, .more = true};
    enum ses_err err = SES_OK;
    m.ask = (struct ses_retrieve){
        .inbox = *inbox, .ns = ns, .record_max = SES_RETRIEVE_RECORDS_MAX, .bytes_max = UINT32_MAX};
    const uint32_t before = listing->cnt;
    for (unsigned i = 0; err == SES_OK && m.more && i < LIST_PAGES_MAX; i++) {
        err = ask_page(&m);
    }
    err = err == SES_OK && m.more ? SES_ERR_PEER : err; /* it pages for ever */
    *partial = m.partial;
    *refusal = m.refusal;
    if (err != SES_OK) {
        listing->cnt = before;
    }
    return err;
}

/* ---- as many as a reader needs ---- */
struct list_round {
    enum ses_err last;
    bool wrong_swarm;
    struct ses_refusal refusal;
};

static enum ses_err list_round(struct ses_client *c, const struct ses_hash *inbox, int16_t ns,
                               struct ses_listing *listing, struct list_round *round,
                               struct ses_note *note)
{
    struct ses_swarm_view view;
    SES_TRY(ses_client_view(c, inbox, &view, note));
    ses_client_order(c, &view);
    listing->wanted = ses_read_quorum(view.active_cnt);
    for (uint32_t i = 0; i < view.cnt && listing->answered < listing->wanted; i++) {
        struct ses_refusal refusal = {0};
        bool partial = false;
        const enum ses_err err = ses_client_list_member(c, &c->registry.map.nodes[view.nodes[i]],
                                                        inbox, ns, listing, &partial, &refusal);
        if (err == SES_ERR_CLOSED || err == SES_ERR_MEMORY || err == SES_ERR_FULL) {
            return err;
        }
        if (err != SES_OK) {
            round->last = err;
            round->refusal = refusal;
            round->wrong_swarm |= refusal.status == SES_ERR_WRONG_SWARM;
            continue;
        }
        listing->seen = true;
        listing->answered += !partial && i < view.active_cnt;
    }
    return SES_OK;
}

enum ses_err ses_client_list(struct ses_client *c, const struct ses_hash *inbox, int16_t ns,
                             struct ses_listing *listing, struct ses_note *note)
{
    struct list_round round = {.last = SES_ERR_UNREACHABLE};
    SES_TRY(ses_client_need_map(c, false, note));
    SES_TRY(ses_client_need_net(c, note));
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        ses_listing_free(listing);
        round = (struct list_round){.last = SES_ERR_UNREACHABLE};
        SES_TRY(list_round(c, inbox, ns, listing, &round, note));
        if (!round.wrong_swarm) {
            break;
        }
        if (attempt == 0) {
            SES_TRY(ses_client_need_map(c, true, note));
        }
    }
    if (!listing->seen) {
        if (round.refusal.status != SES_OK) {
            ses_refusal_note(note, &round.refusal, ses_client_now(c));
        } else {
            ses_note_set(note, "no member of the swarm gave the list of the inbox (last: %s)",
                         ses_err_text(round.last));
        }
        return round.last;
    }
    merge(listing);
    return SES_OK;
}
