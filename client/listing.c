/* What lies in the own inbox, without the payloads: lists of its members, merged by record id. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"

#define LIST_PAGES_MAX 4096u

/* ---- one member ---- */
struct member_ask {
    struct ses_client *client;
    const struct ses_map_node *node;
    struct ses_retrieve ask;
    struct ses_listing *listing;
    uint8_t flags; /* of the last page */
    bool partial;
    bool more;
    struct ses_refusal refusal;
};

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
        err = ses_listing_take(m->listing, &m->ask, ses_client_now(c), answer.bytes, answer.len,
                               &m->flags, &m->refusal);
        m->partial |= (m->flags & SES_PAGE_PARTIAL) != 0;
        m->more = (m->flags & SES_PAGE_MORE) != 0;
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
    const uint64_t end_ms = ses_mono_ms() + c->patience_ms;
    for (unsigned i = 0; err == SES_OK && m.more && i < LIST_PAGES_MAX; i++) {
        err = ask_page(&m);
        if (err == SES_OK && listing->share > 0 && listing->cnt - before > listing->share) {
            err = SES_ERR_TOO_LARGE;
        } else if (err == SES_OK && m.more && ses_mono_ms() >= end_ms) {
            err = SES_ERR_TIMEOUT;
        }
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
    listing->share = SES_LISTING_MAX / view.cnt; /* one that makes records up leaves room */
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
    ses_listing_merge(listing);
    return SES_OK;
}
