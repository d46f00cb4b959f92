/* Deleting: the steps of client/delete.c on its judging half, one event each. The owner lists the
 * own inbox at as many members as a reader needs, chooses, signs, and offers the statement to one
 * member after the other until W have it. */
#include "client/client_internal.h"
#include "tests/sim/sim.h"

#define WAIT_MS 5000u
#define SPARE_MS 5000u /* client/delete.c: for dialling and the way */
#define LIST_MS 10000u
#define AGAIN_MS 12000u
#define TRIES_MAX 10u /* then a new statement would have to be signed */
#define IDS_MAX 3u

struct deleting {
    struct sim_person *person;
    uint32_t life;
    uint32_t members[SES_MEMBERS_MAX]; /* Active ones */
    uint32_t member_cnt, at, try_cnt;
    struct ses_listing listing;
    uint32_t before; /* what the listing had before this member */
    bool partial;
    struct ses_retrieve ask;
    uint32_t done_cnt, batch_cnt; /* targets */
    struct ses_buf body;
    uint32_t msg; /* the statement's */
};

static void delete_free(struct deleting *d)
{
    ses_listing_free(&d->listing);
    ses_buf_free(&d->body);
    ses_free(d);
}

static bool gone(const struct deleting *d)
{
    const struct sim_person *p = d->person;
    return p->life != d->life || p->net.down || p->sim->ending || p->sim->verdict.failed;
}

static bool look_up_members(struct deleting *d, bool anew)
{
    struct sim_person *p = d->person;
    sim_person_map(p, anew);
    (void)sim_person_members(p, &p->inbox, d->members, &d->member_cnt);
    return d->member_cnt > 0;
}

static enum ses_err ask(struct deleting *d, enum ses_proto proto, const uint8_t *body, size_t len,
                        uint64_t deadline_ms, ses_reply_fn *on_reply)
{
    struct sim_person *p = d->person;
    struct ses_target *target = ses_alloc(1, sizeof *target);
    SES_ASSERT(target != NULL);
    sim_target_of(target, &p->map->nodes[d->members[d->at % d->member_cnt]]);
    const struct ses_request request = {.target = target,
                                        .proto = proto,
                                        .login = proto == SES_PROTO_RETRIEVE ? p->identity : NULL,
                                        .body = body,
                                        .len = len,
                                        .deadline_ms = deadline_ms,
                                        .on_reply = on_reply,
                                        .cookie = d};
    const enum ses_err err = ses_net_request(&p->net.net, &request);
    ses_free(target);
    return err;
}

/* ---- offering ---- */
static void next_batch(struct deleting *d);
static void offer_later(struct deleting *d);

/* The entry node may reckon by an old map: as in client/place.c only those count that serve the
 * inbox by this one. */
static bool quorum_of_mine(const struct deleting *d, const struct ses_stored *stored)
{
    const struct ses_map *map = d->person->map;
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < d->member_cnt; i++) {
        bool named = false;
        for (uint32_t k = 0; k < stored->node_cnt; k++) {
            named |= ses_equal(&stored->nodes[k], &map->nodes[d->members[i]].row.node_id,
                               sizeof stored->nodes[k]);
        }
        cnt += named;
    }
    return cnt >= ses_write_quorum(d->member_cnt);
}

static void offered(struct deleting *d, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_stored stored;
    bool ok = false;
    struct sim *s = d->person->sim;
    SES_ASSERT(ses_response_begin(&r, body, len, &ok, &refusal) == SES_OK && ok &&
               ses_stored_read(&stored, &r) == SES_OK);
    if (!look_up_members(d, true) || !quorum_of_mine(d, &stored)) {
        d->at++;
        offer_later(d);
        return;
    }
    oracle_stored(s, sim_msg_at(s, d->msg), &stored);
    sim_receipts_gather(d->person, d->msg);
    d->done_cnt += d->batch_cnt;
    next_batch(d);
}

static void on_offered(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct deleting *d = cookie;
    enum ses_store_state state = SES_PENDING;
    struct ses_refusal refusal = {0};
    if (gone(d)) {
        delete_free(d);
        return;
    }
    if (err == SES_OK) {
        err = ses_stored_answer(body, len, d->member_cnt, &state, &refusal);
    }
    if (err == SES_OK && state == SES_STORED) {
        offered(d, body, len);
        return;
    }
    d->at += err != SES_OK; /* who took it goes on replicating: it is asked again */
    if (refusal.status == SES_ERR_WRONG_SWARM) {
        (void)look_up_members(d, true);
    }
    offer_later(d);
}

static void offer(void *cookie)
{
    struct deleting *d = cookie;
    if (gone(d) || ++d->try_cnt > TRIES_MAX || !look_up_members(d, false)) {
        delete_free(d);
        return;
    }
    if (ask(d, SES_PROTO_DELETE, d->body.bytes, d->body.len, WAIT_MS + SPARE_MS, on_offered) !=
        SES_OK) {
        d->at++;
        offer_later(d);
    }
}

static void offer_later(struct deleting *d)
{
    sim_after(d->person->sim, AGAIN_MS, offer, d);
}

/* ---- signing ---- */
static void next_batch(struct deleting *d)
{
    struct sim_person *p = d->person;
    struct ses_delete_put put;
    const uint32_t left = d->listing.cnt - d->done_cnt;
    if (left == 0) {
        delete_free(d);
        return;
    }
    d->batch_cnt = left < SES_DELETE_TARGETS_MAX ? left : SES_DELETE_TARGETS_MAX;
    d->try_cnt = 0;
    d->body.len = 0;
    const struct ses_delete_signer signer = {p->identity, &p->sim->chain.params.chain_id,
                                             &p->dice.random, sim_person_now(p)};
    SES_ASSERT(ses_delete_body(&signer, &d->listing.list[d->done_cnt], d->batch_cnt, WAIT_MS,
                               &d->body) == SES_OK);
    SES_ASSERT(ses_delete_put_read(&put, d->body.bytes, d->body.len) == SES_OK);
    d->msg = oracle_delete_tried(p->sim, p, put.statement, put.statement_bytes);
    offer(d);
}

/* By id mostly, by time, now and then all. */
static void choose(struct deleting *d)
{
    uint8_t ids[IDS_MAX][32];
    struct sim_person *p = d->person;
    struct ses_client_delete what = {.size = sizeof what};
    ses_listing_merge(&d->listing);
    const uint64_t kind = dice_below(&p->dice, 100);
    if (d->listing.cnt > 0 && kind < 93) {
        what.ids = ids;
        what.id_cnt = dice_between(&p->dice, 1, IDS_MAX);
        for (size_t i = 0; i < what.id_cnt; i++) {
            const uint64_t at = dice_below(&p->dice, d->listing.cnt);
            memcpy(ids[i], d->listing.list[at].id.bytes, sizeof ids[i]);
        }
    } else {
        what.before_ms = kind < 97
                             ? sim_person_now(p) - dice_between(&p->dice, 1, 6) * SIM_HOUR_MS / 2
                             : SES_CLIENT_DELETE_ALL;
    }
    ses_delete_choose(&d->listing, &what, sim_person_now(p));
    d->at = (uint32_t)dice_below(&p->dice, d->member_cnt);
    next_batch(d);
}

/* ---- listing ---- */
static void list_next(struct deleting *d);

static void on_list(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct deleting *d = cookie;
    struct ses_refusal refusal;
    uint8_t flags = 0;
    if (gone(d)) {
        delete_free(d);
        return;
    }
    if (err == SES_OK) {
        err = ses_listing_take(&d->listing, &d->ask, sim_person_now(d->person), body, len, &flags,
                               &refusal);
    }
    d->partial |= (flags & SES_PAGE_PARTIAL) != 0;
    if (err != SES_OK) {
        d->listing.cnt = d->before;
    }
    if (err != SES_OK || (flags & SES_PAGE_MORE) == 0) {
        d->listing.answered += err == SES_OK && !d->partial;
        d->listing.seen |= err == SES_OK;
        d->at++;
        d->before = d->listing.cnt;
        d->partial = false;
        memset(&d->ask.after, 0, sizeof d->ask.after);
    }
    list_next(d);
}

static enum ses_err ask_list(struct deleting *d)
{
    uint8_t body[128];
    struct ses_writer w;
    ses_writer_init(&w, body, sizeof body);
    ses_list_write(&w, &d->ask);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    return ask(d, SES_PROTO_RETRIEVE, body, w.len, LIST_MS, on_list);
}

static void list_next(struct deleting *d)
{
    while (d->at < d->member_cnt && d->listing.answered < d->listing.wanted) {
        if (ask_list(d) == SES_OK) {
            return;
        }
        d->at++;
    }
    if (d->listing.seen) {
        choose(d);
    } else {
        delete_free(d);
    }
}

static void begin(struct sim_person *p)
{
    struct deleting *d = ses_alloc(1, sizeof *d);
    SES_ASSERT(d != NULL);
    d->person = p;
    d->life = p->life;
    d->ask = (struct ses_retrieve){
        .inbox = p->inbox, .ns = SES_NS_INBOX, .record_max = 64, .bytes_max = UINT32_MAX};
    if (gone(d) || !look_up_members(d, false)) {
        delete_free(d);
        return;
    }
    d->listing.wanted = ses_read_quorum(d->member_cnt);
    list_next(d);
}

/* ---- when ---- */
static void acts(void *cookie)
{
    struct sim_person *p = cookie;
    struct sim *s = p->sim;
    if (s->ending) {
        return;
    }
    if (s->now_ms + SIM_HOUR_MS / 2 < s->end_ms) {
        begin(p);
    }
    const uint64_t pace = s->end_ms > 8 * SIM_HOUR_MS ? 180 : 60; /* long days are quieter */
    sim_after(s, dice_between(&p->dice, 10, pace) * SIM_MINUTE_MS, acts, p);
}

void sim_person_deletes(struct sim_person *p)
{
    sim_after(p->sim, dice_between(&p->dice, 10, 60) * SIM_MINUTE_MS, acts, p);
}
