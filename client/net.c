/* Requests on the client's own loop, made blocking. The host is made when it is needed first, with
 * a fresh libp2p key: nothing ties the connections of two starts together. */
#include <string.h>

#include "client/client_internal.h"

#define TICK_MS 100u       /* how soon ses_client_stop is noticed */
#define REQUESTS_MAX 1024u /* under way at once */

void ses_client_wake(struct ses_client *c)
{
    if (c->running) {
        ses_uv_stop(c->uv);
    }
}

static void on_tick(void *cookie)
{
    struct ses_client *c = cookie;
    const struct ses_loop *loop = ses_uv_loop(c->uv);
    c->tick = NULL;
    if (ses_client_stopped(c) ||
        loop->timer_start(loop->ctx, &c->tick, TICK_MS, on_tick, c) != SES_OK) {
        ses_client_wake(c);
    }
}

/* One turn of the loop until somebody stops it; the tick runs only meanwhile. */
static enum ses_err run(struct ses_client *c)
{
    const struct ses_loop *loop = ses_uv_loop(c->uv);
    SES_TRY(loop->timer_start(loop->ctx, &c->tick, TICK_MS, on_tick, c));
    c->running = true;
    ses_uv_run(c->uv);
    c->running = false;
    loop->timer_stop(loop->ctx, c->tick);
    c->tick = NULL;
    return SES_OK;
}

/* ---- the host ---- */

enum ses_err ses_client_need_net(struct ses_client *c, struct ses_note *note)
{
    if (c->net != NULL) {
        return SES_OK;
    }
    if (c->uv == NULL) {
        SES_TRY(ses_uv_new(&c->uv));
    }
    struct ses_host_params params = {.uv = c->uv,
                                     .random = c->random,
                                     .log = c->log_line != NULL ? &c->log : NULL,
                                     .chain_id = c->registry.chain_id,
                                     .agent = "libsession/" SES_VERSION};
    ses_random_fill(c->random, params.peer_seed.bytes, sizeof params.peer_seed.bytes);
    const enum ses_err err = ses_host_new(&c->net, &params);
    ses_wipe(&params, sizeof params);
    if (err != SES_OK) {
        ses_note_set(note, "the network layer cannot start: %s", ses_err_text(err));
    }
    return err;
}

static void on_closed(void *cookie)
{
    struct ses_client *c = cookie;
    c->closing = false;
    ses_uv_stop(c->uv);
}

void ses_client_close_net(struct ses_client *c)
{
    if (c->net == NULL) {
        return;
    }
    c->closing = true;
    ses_host_close(c->net, 0, on_closed, c);
    while (c->closing) {
        ses_uv_run(c->uv);
    }
    ses_host_free(c->net);
    c->net = NULL;
}

/* ---- requests ---- */

struct asked {
    struct ses_client *client;
    ses_reply_fn *on_reply;
    void *cookie;
};

static void on_answer(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct asked *asked = cookie;
    struct ses_client *c = asked->client;
    asked->on_reply(asked->cookie, err, body, len); /* may start more */
    ses_free(asked);
    SES_ASSERT(c->in_flight > 0);
    c->in_flight--;
    ses_client_wake(c);
}

void ses_client_target_of(struct ses_target *out, const struct ses_map_node *node)
{
    out->node_id = node->row.node_id;
    out->public_key = node->keys.public_key;
    out->endpoint = node->endpoint;
}

enum ses_err ses_client_start(struct ses_client *c, const struct ses_map_node *node,
                              enum ses_proto proto, bool login, const uint8_t *body, size_t len,
                              uint64_t deadline_ms, ses_reply_fn *on_reply, void *cookie)
{
    struct ses_target target;
    SES_REQUIRE(!c->closing, SES_ERR_CLOSED);
    SES_REQUIRE(c->in_flight < REQUESTS_MAX, SES_ERR_FULL);
    SES_TRY(ses_client_need_net(c, NULL));
    struct asked *asked = ses_alloc(1, sizeof *asked);
    SES_REQUIRE(asked != NULL, SES_ERR_MEMORY);
    *asked = (struct asked){.client = c, .on_reply = on_reply, .cookie = cookie};
    ses_client_target_of(&target, node);
    const struct ses_request request = {.target = &target,
                                        .proto = proto,
                                        .login = login ? c->identity : NULL,
                                        .body = body,
                                        .len = len,
                                        .deadline_ms = deadline_ms,
                                        .on_reply = on_answer,
                                        .cookie = asked};
    const enum ses_err err = ses_net_request(c->net, &request);
    if (err != SES_OK) {
        ses_free(asked);
        return err;
    }
    c->in_flight++;
    return SES_OK;
}

enum ses_err ses_client_wait(struct ses_client *c, const bool *done)
{
    while (!*done && !ses_client_stopped(c)) {
        const enum ses_err err = run(c);
        if (err != SES_OK) {
            ses_client_close_net(c); /* answers what is under way: cookies end with the call */
            return err;
        }
    }
    if (ses_client_stopped(c)) {
        ses_client_close_net(c);
        return SES_ERR_CLOSED;
    }
    return SES_OK;
}

struct one_answer {
    bool done;
    enum ses_err err;
    struct ses_buf *out;
};

static void on_one(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct one_answer *answer = cookie;
    answer->err = err == SES_OK ? ses_buf_append(answer->out, body, len) : err;
    answer->done = true;
}

enum ses_err ses_client_ask(struct ses_client *c, const struct ses_map_node *node,
                            enum ses_proto proto, bool login, const uint8_t *body, size_t len,
                            uint64_t deadline_ms, struct ses_buf *out)
{
    struct one_answer answer = {.err = SES_ERR_TIMEOUT, .out = out};
    SES_TRY(ses_client_start(c, node, proto, login, body, len, deadline_ms, on_one, &answer));
    SES_TRY(ses_client_wait(c, &answer.done));
    return answer.err;
}

/* ---- waiting for flows ---- */

struct pause {
    struct ses_client *client;
    struct ses_timer *timer;
};

static void on_pause_over(void *cookie)
{
    struct pause *pause = cookie;
    pause->timer = NULL;
    ses_client_wake(pause->client);
}

enum ses_err ses_client_run_for(struct ses_client *c, uint64_t ms)
{
    if (ses_client_stopped(c)) {
        return SES_ERR_CLOSED;
    }
    SES_TRY(ses_client_need_net(c, NULL));
    const struct ses_loop *loop = ses_uv_loop(c->uv);
    struct pause pause = {.client = c};
    SES_TRY(loop->timer_start(loop->ctx, &pause.timer, ms, on_pause_over, &pause));
    const enum ses_err err = run(c);
    loop->timer_stop(loop->ctx, pause.timer);
    SES_TRY(err);
    return ses_client_stopped(c) ? SES_ERR_CLOSED : SES_OK;
}
