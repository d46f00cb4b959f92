/* Receiving: client/fetching.c and client/deliver.c on messaging's fetch and inbox, one event each.
 * A watch is only a hint that there is something to fetch. */
#include "tests/sim/sim.h"

#define SLOW_MS 1500u /* client/fetching.c: then another member is asked too */
#define TIMEOUT_MS 10000u

struct page_ask {
    struct sim *sim;
    struct sim_reading *reading; /* NULL: nobody waits for this one any more */
    struct ses_timer *slow;
    uint32_t member;
};
struct sim_reading {
    struct sim_person *person;
    struct ses_fetch fetch;
    uint32_t nodes[SES_MEMBERS_MAX]; /* indices into the map */
    struct page_ask *asks[SES_MEMBERS_MAX];
    uint64_t started_ms;
    uint32_t attempt;
    bool wrong_swarm;
};

static void pump(struct sim_reading *r);
static void begin(struct sim_person *p, uint32_t attempt);

/* Members that are still silent answer into the void. */
void sim_reading_drop(struct sim_person *p)
{
    struct sim_reading *r = p->reading;
    p->reading = NULL;
    for (uint32_t i = 0; r != NULL && i < SES_MEMBERS_MAX; i++) {
        if (r->asks[i] != NULL) {
            sim_cancel(p->sim, r->asks[i]->slow);
            r->asks[i]->slow = NULL;
            r->asks[i]->reading = NULL;
        }
    }
    if (r != NULL) {
        ses_fetch_free(&r->fetch);
        ses_free(r);
    }
}

/* ---- opening what came ---- */
static enum ses_err find_card(void *cookie, const struct ses_session_id *id, struct ses_card *out)
{
    const struct sim *s = cookie;
    for (uint32_t i = 0; i < s->person_cnt; i++) {
        if (ses_equal(&s->people[i].card.id, id, sizeof *id)) {
            *out = s->people[i].card;
            return SES_OK;
        }
    }
    return SES_ERR_NOT_FOUND;
}

static void open_one(struct sim_person *p, const struct ses_fetched *f)
{
    struct sim *s = p->sim;
    struct ses_opened1 opened = {0};
    const uint64_t now_ms = sim_person_now(p);
    const struct ses_record record = {f->bytes, f->bytes + SES_RECORD_HEADER_BYTES,
                                      f->payload_bytes};
    const enum ses_err err = ses_open1(&opened, p->identity, &record, find_card, s);
    if (err != SES_OK) {
        SES_ASSERT(err == SES_ERR_OPEN);
        oracle_unopenable(s, p, &f->ids.id);
    } else if (!ses_inbox_saw_message(&p->inbox_state, &opened.sender, opened.uuid)) {
        oracle_delivered(s, p, opened.body.bytes, opened.body.len, &opened);
        SES_ASSERT(ses_inbox_see_message(&p->inbox_state, &opened.sender, opened.uuid, now_ms) ==
                   SES_OK);
    }
    SES_ASSERT(ses_inbox_see_record(&p->inbox_state, &f->ids.id, now_ms) == SES_OK);
    ses_opened1_free(&opened);
}

static void finish(struct sim_reading *r)
{
    struct sim_person *p = r->person;
    struct sim *s = p->sim;
    for (uint32_t i = 0; i < r->fetch.record_cnt && !s->verdict.failed; i++) {
        open_one(p, &r->fetch.records[i]);
    }
    SES_ASSERT(ses_fetch_keep_cursors(&r->fetch, &p->inbox_state) == SES_OK);
    ses_inbox_prune(&p->inbox_state, sim_person_now(p));
    p->saved_inbox.len = 0;
    SES_ASSERT(ses_inbox_encode(&p->saved_inbox, &p->inbox_state) == SES_OK);
    if (!s->verdict.failed) {
        oracle_fetched(s, p, &r->fetch, r->started_ms);
    }
    const bool again = p->read_again || r->fetch.full;
    p->read_again = false;
    sim_reading_drop(p);
    if (again && !s->ending) {
        begin(p, 0);
    }
}

/* ---- asking ---- */
static void on_slow(void *cookie)
{
    struct page_ask *ask = cookie;
    ask->slow = NULL;
    ses_fetch_slow(&ask->reading->fetch, ask->member);
    pump(ask->reading);
}

static void on_page(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct page_ask *ask = cookie;
    struct sim_reading *r = ask->reading;
    const uint32_t member = ask->member;
    struct ses_refusal refusal;
    sim_cancel(ask->sim, ask->slow);
    ses_free(ask);
    if (r == NULL) {
        return;
    }
    r->asks[member] = NULL;
    if (err != SES_OK) {
        ses_fetch_failed(&r->fetch, member, err);
    } else if (ses_fetch_page(&r->fetch, member, &r->person->inbox_state, body, len, &refusal) !=
               SES_OK) {
        r->wrong_swarm |= refusal.status == SES_ERR_WRONG_SWARM;
    } else {
        r->person->read_ms = r->person->sim->now_ms;
    }
    pump(r);
}

static enum ses_err ask_member(struct sim_reading *r, struct page_ask *ask,
                               const struct ses_retrieve *retrieve)
{
    uint8_t body[256];
    struct ses_writer w;
    struct sim_person *p = r->person;
    struct ses_target *target = ses_alloc(1, sizeof *target);
    SES_ASSERT(target != NULL);
    ses_writer_init(&w, body, sizeof body);
    ses_retrieve_write(&w, retrieve);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    sim_target_of(target, &p->map->nodes[r->nodes[ask->member]]);
    const struct ses_request request = {.target = target,
                                        .proto = SES_PROTO_RETRIEVE,
                                        .login = p->identity,
                                        .body = body,
                                        .len = w.len,
                                        .deadline_ms = TIMEOUT_MS,
                                        .on_reply = on_page,
                                        .cookie = ask};
    const enum ses_err err = ses_net_request(&p->net.net, &request);
    ses_free(target);
    return err;
}

static void start_ask(struct sim_reading *r, uint32_t member, const struct ses_retrieve *retrieve)
{
    struct page_ask *ask = ses_alloc(1, sizeof *ask);
    SES_ASSERT(ask != NULL);
    *ask = (struct page_ask){.sim = r->person->sim, .reading = r, .member = member};
    const enum ses_err err = ask_member(r, ask, retrieve);
    if (err != SES_OK) {
        ses_free(ask);
        ses_fetch_failed(&r->fetch, member, err);
        return;
    }
    ask->slow = sim_after(r->person->sim, SLOW_MS, on_slow, ask);
    r->asks[member] = ask;
}

/* Asks on until the fetch is finished; `r` is gone then. */
static void pump(struct sim_reading *r)
{
    uint32_t member;
    struct ses_retrieve retrieve;
    struct sim_person *p = r->person;
    while (!ses_fetch_finished(&r->fetch) && ses_fetch_next(&r->fetch, &member, &retrieve)) {
        start_ask(r, member, &retrieve);
    }
    if (!ses_fetch_finished(&r->fetch)) {
        return;
    }
    if (r->wrong_swarm && r->attempt == 0) { /* members moved: the registry knows where to */
        sim_reading_drop(p);
        sim_person_map(p, true);
        begin(p, 1);
        return;
    }
    finish(r);
}

static void shuffle(struct sim_person *p, uint32_t *list, uint32_t cnt)
{
    for (uint32_t i = cnt; i > 1; i--) {
        const uint32_t at = (uint32_t)dice_below(&p->dice, i);
        const uint32_t old = list[i - 1];
        list[i - 1] = list[at];
        list[at] = old;
    }
}

static void begin(struct sim_person *p, uint32_t attempt)
{
    struct ses_node_id ids[SES_MEMBERS_MAX];
    uint32_t active = 0;
    struct sim_reading *r = ses_alloc(1, sizeof *r);
    SES_ASSERT(r != NULL && p->reading == NULL);
    sim_person_map(p, false);
    const uint32_t cnt = sim_person_members(p, &p->inbox, r->nodes, &active);
    if (active == 0) {
        ses_free(r);
        return;
    }
    shuffle(p, r->nodes, active);
    for (uint32_t i = 0; i < cnt; i++) {
        ids[i] = p->map->nodes[r->nodes[i]].row.node_id;
    }
    r->person = p;
    r->attempt = attempt;
    r->started_ms = p->sim->now_ms;
    p->reading = r;
    ses_fetch_init(&r->fetch, &p->inbox, SES_NS_INBOX, ids, active, cnt, ses_read_quorum(active),
                   &p->inbox_state, sim_person_now(p));
    pump(r);
}

void sim_person_read(struct sim_person *p)
{
    if (p->net.down || p->sim->ending) {
        return;
    }
    if (p->reading != NULL) {
        p->read_again = true;
        return;
    }
    begin(p, 0);
}

/* ---- watching ---- */
static void watch_again(void *cookie)
{
    struct sim_person *p = cookie;
    if (p->watch == NULL && p->want_watch && !p->sim->ending) {
        sim_person_watch(p);
    }
}

static void on_watch_open(void *cookie, struct ses_flow *flow)
{
    struct sim_person *p = cookie;
    uint8_t body[256];
    struct ses_writer w;
    const struct ses_retrieve ask = {
        .inbox = p->inbox, .ns = SES_NS_INBOX, .record_max = 64, .bytes_max = 65536};
    ses_writer_init(&w, body, sizeof body);
    ses_retrieve_write(&w, &ask);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    const enum ses_err err = ses_flow_send(flow, body, w.len);
    if (err != SES_OK) {
        ses_flow_close(flow);
    }
}

static void on_watch_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    (void)flow;
    (void)body;
    (void)len;
    sim_person_read(cookie);
}

static void on_watch_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    struct sim_person *p = cookie;
    (void)why;
    if (p->watch == flow) {
        p->watch = NULL;
        sim_after(p->sim, dice_between(&p->dice, 5000, 60000), watch_again, p);
    }
}

void sim_person_watch(struct sim_person *p)
{
    static const struct ses_flow_events events = {
        .on_open = on_watch_open, .on_frame = on_watch_frame, .on_close = on_watch_close};
    uint32_t members[SES_MEMBERS_MAX];
    uint32_t active = 0;
    sim_person_map(p, false);
    (void)sim_person_members(p, &p->inbox, members, &active);
    p->want_watch = true;
    if (p->net.down || p->watch != NULL || active == 0) {
        return;
    }
    struct ses_target *target = ses_alloc(1, sizeof *target);
    SES_ASSERT(target != NULL);
    sim_target_of(target, &p->map->nodes[members[dice_below(&p->dice, active)]]);
    const enum ses_err err =
        ses_net_open(&p->net.net, &p->watch, target, SES_PROTO_WATCH, p->identity, &events, p);
    if (err != SES_OK) {
        p->watch = NULL;
    }
    ses_free(target);
}
