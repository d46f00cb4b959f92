/* Drives a fetch (messaging) over the network: several members at once. */
#include <inttypes.h>
#include <string.h>

#include "client/client_internal.h"

#define SLOW_MS 1500u /* then another member is asked too */

struct page_ask {
    struct fetching *f; /* NULL: enough others answered, nobody waits for this one */
    struct ses_client *client;
    uint32_t member;
    struct ses_timer *slow;
};
struct fetching {
    struct ses_client *client;
    struct ses_fetch *fetch;
    struct ses_swarm_view view;
    const struct ses_inbox_state *state;
    bool login;
    bool done;
    bool wrong_swarm;
    bool has_refusal;
    struct ses_refusal refusal; /* of the last member that refused */
    enum ses_err err;           /* ours: ends the fetch */
    struct page_ask *asks[SES_MEMBERS_MAX];
};

static void ask_more(struct fetching *f);

static void stop_timer(struct page_ask *ask)
{
    const struct ses_loop *loop = ses_uv_loop(ask->client->uv);
    loop->timer_stop(loop->ctx, ask->slow);
    ask->slow = NULL;
}

static void on_slow(void *cookie)
{
    struct page_ask *ask = cookie;
    ask->slow = NULL;
    ses_fetch_slow(ask->f->fetch, ask->member);
    ask_more(ask->f);
    ses_client_wake(ask->client);
}

static enum ses_err take_page(struct fetching *f, uint32_t member, const uint8_t *body, size_t len)
{
    struct ses_refusal refusal;
    const enum ses_err err = ses_fetch_page(f->fetch, member, f->state, body, len, &refusal);
    f->err = err == SES_ERR_MEMORY ? err : f->err;
    if (err != SES_OK && refusal.status != SES_OK) {
        f->wrong_swarm = f->wrong_swarm || refusal.status == SES_ERR_WRONG_SWARM;
        f->refusal = refusal;
        f->has_refusal = true;
    }
    return err;
}

static void on_page(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct page_ask *ask = cookie;
    struct fetching *f = ask->f;
    const uint32_t member = ask->member;
    if (f == NULL) {
        ses_free(ask);
        return;
    }
    stop_timer(ask);
    f->asks[member] = NULL;
    ses_free(ask);
    if (err == SES_OK) {
        err = take_page(f, member, body, len);
    } else {
        ses_fetch_failed(f->fetch, member, err);
    }
    if (err != SES_OK) {
        ses_logf(&f->client->log, SES_LOG_DEBUG, "fetch", "member %" PRIu32 ": %s", member,
                 ses_err_text(err));
    }
    ask_more(f);
}

static enum ses_err start_ask(struct fetching *f, struct page_ask *ask,
                              const struct ses_retrieve *retrieve)
{
    uint8_t body[256];
    struct ses_writer w;
    struct ses_client *c = f->client;
    const struct ses_loop *loop = ses_uv_loop(c->uv);
    const struct ses_map_node *node = &c->registry.map.nodes[f->view.nodes[ask->member]];
    ses_writer_init(&w, body, sizeof body);
    ses_retrieve_write(&w, retrieve);
    SES_TRY(ses_writer_done(&w));
    SES_TRY(loop->timer_start(loop->ctx, &ask->slow, SLOW_MS, on_slow, ask));
    const enum ses_err err = ses_client_start(c, node, SES_PROTO_RETRIEVE, f->login, body, w.len,
                                              c->timeout_ms, on_page, ask);
    if (err != SES_OK) {
        stop_timer(ask);
    }
    return err;
}

static void ask_member(struct fetching *f, uint32_t member, const struct ses_retrieve *retrieve)
{
    struct page_ask *ask = ses_alloc(1, sizeof *ask);
    if (ask == NULL) {
        f->err = SES_ERR_MEMORY;
        ses_fetch_failed(f->fetch, member, SES_ERR_MEMORY);
        return;
    }
    *ask = (struct page_ask){.f = f, .client = f->client, .member = member};
    const enum ses_err err = start_ask(f, ask, retrieve);
    if (err != SES_OK) {
        ses_free(ask);
        ses_fetch_failed(f->fetch, member, err);
        return;
    }
    f->asks[member] = ask;
}

static void ask_more(struct fetching *f)
{
    uint32_t member;
    struct ses_retrieve retrieve;
    while (f->err == SES_OK && !ses_fetch_finished(f->fetch) &&
           ses_fetch_next(f->fetch, &member, &retrieve)) {
        ask_member(f, member, &retrieve);
    }
    f->done = f->err != SES_OK || ses_fetch_finished(f->fetch);
}

/* Members that are still silent answer into the void. */
static void forget_asks(struct fetching *f)
{
    for (uint32_t i = 0; i < SES_MEMBERS_MAX; i++) {
        if (f->asks[i] != NULL) {
            stop_timer(f->asks[i]);
            f->asks[i]->f = NULL;
            f->asks[i] = NULL;
        }
    }
}

static void unreachable_note(const struct fetching *f, struct ses_note *note, uint64_t now_ms)
{
    unsigned tried = 0;
    enum ses_err last = SES_ERR_UNREACHABLE;
    for (uint32_t i = 0; i < f->fetch->member_cnt; i++) {
        if (f->fetch->members[i].state == SES_FETCH_FAILED) {
            tried++;
            last = f->fetch->members[i].err;
        }
    }
    if (f->has_refusal) {
        ses_refusal_note(note, &f->refusal, now_ms);
        return;
    }
    ses_note_set(note,
                 "none of the %u nodes of swarm %" PRIu32 " that were tried answered (last: %s): "
                 "check this machine's network, or try again later",
                 tried, f->view.swarm, ses_err_text(last));
}

/* One fetch with the map as it is. */
static enum ses_err fetch_once(struct ses_client *c, struct fetching *f,
                               const struct ses_hash *inbox, int16_t ns, struct ses_note *note)
{
    const struct ses_swarm_view *view = &f->view;
    struct ses_node_id ids[SES_MEMBERS_MAX];
    SES_TRY(ses_client_view(c, inbox, &f->view, note));
    ses_client_order(c, &f->view);
    for (uint32_t i = 0; i < view->cnt; i++) {
        ids[i] = c->registry.map.nodes[view->nodes[i]].row.node_id;
    }
    ses_fetch_init(f->fetch, inbox, ns, ids, view->active_cnt, view->cnt,
                   ses_read_quorum(view->active_cnt), f->state, ses_client_now(c));
    ask_more(f);
    const enum ses_err err = ses_client_wait(c, &f->done);
    forget_asks(f);
    SES_TRY(err);
    SES_TRY(f->err);
    bool answered = false;
    for (uint32_t i = 0; i < f->fetch->member_cnt; i++) {
        answered = answered || f->fetch->members[i].page_cnt > 0;
    }
    if (!answered) {
        unreachable_note(f, note, ses_client_now(c));
        return f->has_refusal ? ses_refusal_err(&f->refusal) : SES_ERR_UNREACHABLE;
    }
    return SES_OK;
}

enum ses_err ses_client_fetch(struct ses_client *c, struct ses_fetch *fetch,
                              const struct ses_hash *inbox, int16_t ns, bool login,
                              const struct ses_inbox_state *state, struct ses_note *note)
{
    enum ses_err err = SES_OK;
    memset(fetch, 0, sizeof *fetch);
    SES_TRY(ses_client_need_map(c, false, note));
    SES_TRY(ses_client_need_net(c, note));
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        struct fetching f = {.client = c, .fetch = fetch, .state = state, .login = login};
        ses_fetch_free(fetch);
        err = fetch_once(c, &f, inbox, ns, note);
        if (!f.wrong_swarm || err == SES_ERR_CLOSED) {
            break;
        }
        if (attempt == 0) { /* members moved: the registry knows where to */
            SES_TRY(ses_client_need_map(c, true, note));
        }
    }
    return err;
}
