#include "network/host.h"

#include <string.h>

#define TURN_ROUNDS 16u
#define PRUNE_MS 60000u

uint64_t ses_host_now_us(void)
{
    return ses_mono_ns() / 1000;
}

uint64_t ses_host_now_ms(void)
{
    return ses_mono_ms();
}

void ses_session_drop(struct ses_session *s)
{
    SES_ASSERT(s->ref_cnt > 0);
    if (--s->ref_cnt == 0) {
        ses_free(s);
    }
}

bool ses_session_logged_in(const struct ses_session *s, const struct ses_hash *inbox)
{
    for (size_t i = 0; i < s->login_cnt; i++) {
        if (memcmp(&s->logins[i], inbox, sizeof *inbox) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the end of the loop's turn ---- */

static void flows_close(struct ses_host *host)
{
    while (host->closing_flows != NULL) {
        struct ses_flow *flow = host->closing_flows;
        host->closing_flows = flow->close_next;
        flow->close_listed = false;
        if (flow->op != NULL) {
            ses_op_fail(flow->op, SES_ERR_CLOSED);
        } else {
            ses_stream_close(flow->stream); /* it was opened in the meantime */
        }
    }
}

static void links_pump(struct ses_host *host)
{
    struct ses_link *link = host->touched;
    host->touched = NULL;
    while (link != NULL) {
        struct ses_link *next = link->touched_next;
        link->touched = false;
        ses_link_pump(link);
        link = next;
    }
}

static void conns_end(struct ses_host *host)
{
    while (host->dead != NULL) {
        struct ses_conn *conn = host->dead;
        host->dead = conn->dead_next;
        ses_conn_teardown(conn);
    }
}

static void streams_end(struct ses_host *host)
{
    while (host->ended != NULL) {
        struct ses_stream *st = host->ended;
        host->ended = st->list_next;
        ses_stream_reap(st);
    }
    while (host->drained_streams != NULL) {
        ses_stream_drained(host->drained_streams);
    }
}

static void conns_send(struct ses_host *host)
{
    struct ses_conn *conn = host->dirty;
    host->dirty = NULL;
    while (conn != NULL) {
        struct ses_conn *next = conn->dirty_next;
        conn->dirty = false;
        ses_conn_turn(conn);
        ses_conn_unpin(conn);
        conn = next;
    }
}

static bool work_left(const struct ses_host *host)
{
    return host->closing_flows != NULL || host->touched != NULL || host->dead != NULL ||
           host->ended != NULL || host->drained_streams != NULL || host->dirty != NULL;
}

static void due_run(struct ses_host *host)
{
    const uint64_t now = ses_host_now_ms();
    struct ses_due *due = NULL;
    while ((due = ses_dues_pop(&host->dues, now)) != NULL) {
        due->fire(due);
    }
}

static void timer_fire(uv_timer_t *timer)
{
    struct ses_host *host = timer->data;
    host->timer_at_ms = UINT64_MAX;
    due_run(host);
}

static void timer_set(struct ses_host *host)
{
    const uint64_t at = ses_dues_next(&host->dues);
    if (at == host->timer_at_ms) {
        return;
    }
    host->timer_at_ms = at;
    if (at == UINT64_MAX) {
        (void)uv_timer_stop(&host->timer);
        return;
    }
    const uint64_t now = ses_host_now_ms();
    uv_update_time(host->raw);
    (void)uv_timer_start(&host->timer, timer_fire, at > now ? at - now : 0, 0);
}

static void spin_idle(uv_idle_t *spin)
{
    (void)spin; /* its being active keeps the loop from waiting */
}

static void close_step(struct ses_host *host);

static void host_turn(uv_prepare_t *turn)
{
    struct ses_host *host = turn->data;
    for (unsigned i = 0; i < TURN_ROUNDS && work_left(host); i++) {
        flows_close(host);
        links_pump(host);
        conns_send(host);
        conns_end(host);
        streams_end(host);
    }
    if (work_left(host)) {
        (void)uv_idle_start(&host->spin, spin_idle);
    } else {
        (void)uv_idle_stop(&host->spin);
    }
    if (host->closing) {
        close_step(host);
    }
    if (!host->closed) {
        timer_set(host);
    }
}

/* ---- life ---- */

static void prune_fire(struct ses_due *due)
{
    struct ses_host *host =
        (struct ses_host *)((uint8_t *)due - offsetof(struct ses_host, prune_due));
    const uint64_t now = ses_host_now_ms();
    ses_gate_prune(&host->gate, now);
    if (ses_due_set(&host->dues, due, now + PRUNE_MS) != SES_OK) {
        ses_logf(host->params.log, SES_LOG_ERROR, "network", "out of memory");
    }
}

static enum ses_err params_check(const struct ses_host_params *params)
{
    SES_REQUIRE(params->uv != NULL && params->random != NULL, SES_ERR_INVALID);
    SES_REQUIRE(!params->is_node || params->node_key != NULL, SES_ERR_INVALID);
    return SES_OK;
}

static enum ses_err host_init(struct ses_host *host, const struct ses_host_params *params)
{
    host->net.ops = &ses_host_ops;
    host->params = *params;
    host->idle_ms = params->idle_ms == 0 ? SES_IDLE_MS : params->idle_ms;
    (void)snprintf(host->agent, sizeof host->agent, "%s",
                   params->agent == NULL ? "session" : params->agent);
    host->loop = ses_uv_loop(params->uv);
    host->raw = ses_uv_raw(params->uv);
    host->timer_at_ms = UINT64_MAX;
    ses_gate_init(&host->gate, params->connections_max);
    host->held_max = SES_HELD_BYTES_MAX;
    host->queued_max = SES_QUEUED_BYTES_MAX / SES_CHAIN_CHUNK_BYTES;
    ses_ed25519_pk(&host->peer_key, &params->peer_seed);
    ses_peer_id_of(&host->peer_id, &host->peer_key);
    SES_TRY(ses_tls_new(&host->tls, &params->peer_seed, &host->loop->clock, params->random));
    ses_wipe(&host->params.peer_seed, sizeof host->params.peer_seed);
    host->prune_due.fire = prune_fire;
    return ses_due_set(&host->dues, &host->prune_due, ses_host_now_ms() + PRUNE_MS);
}

static void host_release(struct ses_host *host)
{
    ses_gate_free(&host->gate);
    ses_dues_free(&host->dues);
    ses_chain_pool_clear(&host->pool);
    ses_tls_free(host->tls);
    ses_free(host);
}

enum ses_err ses_host_new(struct ses_net **out, const struct ses_host_params *params)
{
    *out = NULL;
    SES_TRY(params_check(params));
    struct ses_host *host = ses_alloc(1, sizeof *host);
    SES_REQUIRE(host != NULL, SES_ERR_MEMORY);
    const enum ses_err err = host_init(host, params);
    if (err != SES_OK) {
        host_release(host);
        return err;
    }
    host->turn.data = host;
    host->spin.data = host;
    host->timer.data = host;
    SES_ASSERT(uv_prepare_init(host->raw, &host->turn) == 0 &&
               uv_idle_init(host->raw, &host->spin) == 0 &&
               uv_timer_init(host->raw, &host->timer) == 0 &&
               uv_prepare_start(&host->turn, host_turn) == 0);
    host->handle_cnt = 3;
    *out = &host->net;
    return SES_OK;
}

static enum ses_err host_serve(struct ses_net *net, enum ses_proto proto, ses_serve_fn *fn,
                               void *cookie)
{
    struct ses_host *host = ses_host_of(net);
    SES_REQUIRE(proto < SES_PROTO_CNT, SES_ERR_INVALID);
    SES_REQUIRE(fn == NULL || host->services[proto].accept == NULL, SES_ERR_EXISTS);
    host->services[proto].serve = fn;
    host->services[proto].cookie = cookie;
    return SES_OK;
}

static enum ses_err host_accept(struct ses_net *net, enum ses_proto proto, ses_accept_fn *fn,
                                void *cookie)
{
    struct ses_host *host = ses_host_of(net);
    SES_REQUIRE(proto < SES_PROTO_CNT, SES_ERR_INVALID);
    SES_REQUIRE(fn == NULL || host->services[proto].serve == NULL, SES_ERR_EXISTS);
    host->services[proto].accept = fn;
    host->services[proto].cookie = cookie;
    return SES_OK;
}

const struct ses_net_ops ses_host_ops = {
    .request = ses_host_request,
    .serve = host_serve,
    .call_peer = ses_host_call_peer,
    .call_logged_in = ses_host_call_logged_in,
    .call_reply = ses_host_call_reply,
    .call_fail = ses_host_call_fail,
    .open = ses_host_open,
    .accept = host_accept,
    .flow_peer = ses_host_flow_peer,
    .flow_logged_in = ses_host_flow_logged_in,
    .flow_send = ses_host_flow_send,
    .flow_close = ses_host_flow_close,
};

void ses_host_peer_id(const struct ses_net *net, struct ses_peer_id *out)
{
    *out = ((const struct ses_host *)(const void *)net)->peer_id;
}

void ses_host_stats(const struct ses_net *net, struct ses_host_stats *out)
{
    *out = ((const struct ses_host *)(const void *)net)->stats;
}

/* ---- closing ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct ses_host *host = handle->data;
    host->handle_cnt--;
    if (host->handle_cnt == 0 && host->on_closed != NULL) {
        host->on_closed(host->closed_cookie);
    }
}

static void links_drop(struct ses_host *host)
{
    for (size_t i = 0; i < SES_LINK_TABLE; i++) {
        for (struct ses_link *link = host->links[i]; link != NULL; link = link->hash_next) {
            if (link->dial != NULL) {
                ses_dial_cancel(link->dial);
                link->dial = NULL;
            }
            ses_link_touch(link);
        }
    }
}

static void drain_end(struct ses_host *host)
{
    if (!host->drain_over) {
        host->drain_over = true;
        links_drop(host);
    }
    for (size_t i = 0; i < SES_LINK_TABLE; i++) {
        struct ses_link *link = host->links[i];
        for (; link != NULL; link = link->hash_next) {
            ses_link_fail(link, SES_ERR_CLOSED);
        }
    }
    for (struct ses_conn *conn = host->conns; conn != NULL; conn = conn->next) {
        ses_conn_close(conn, SES_OK);
    }
}

static bool unsent(const struct ses_host *host)
{
    bool any = host->pool.used_cnt > 0;
    for (const struct ses_conn *conn = host->conns; conn != NULL && !any; conn = conn->next) {
        any = conn->out.len > 0;
    }
    return any;
}

/* Calls in progress may finish; then everything goes; then libuv gives the handles back. */
static void close_step(struct ses_host *host)
{
    if (host->closed) {
        return;
    }
    const bool busy = host->call_cnt + host->op_cnt > 0 || unsent(host);
    if (busy && !host->drain_over) {
        return;
    }
    drain_end(host);
    const bool left = work_left(host) || host->conns != NULL || host->job_cnt > 0 ||
                      host->dial_cnt > 0 || host->handle_cnt > 3 || host->link_cnt > 0 ||
                      host->call_cnt > 0 || host->op_cnt > 0;
    if (left) {
        /* Jobs, lookups and calls come back by themselves; the rest needs another turn. */
        if (work_left(host)) {
            (void)uv_idle_start(&host->spin, spin_idle);
        }
        return;
    }
    host->closed = true;
    uv_close((uv_handle_t *)&host->turn, handle_closed);
    uv_close((uv_handle_t *)&host->spin, handle_closed);
    uv_close((uv_handle_t *)&host->timer, handle_closed);
}

static void drain_fire(struct ses_due *due)
{
    struct ses_host *host =
        (struct ses_host *)((uint8_t *)due - offsetof(struct ses_host, drain_due));
    drain_end(host);
}

void ses_host_close(struct ses_net *net, uint64_t drain_ms, void (*on_closed)(void *cookie),
                    void *cookie)
{
    struct ses_host *host = ses_host_of(net);
    if (host->closing) {
        return;
    }
    host->closing = true;
    host->on_closed = on_closed;
    host->closed_cookie = cookie;
    for (size_t i = 0; i < host->listener_cnt; i++) {
        ses_listener_close(&host->listeners[i]);
    }
    ses_due_clear(&host->dues, &host->prune_due);
    host->drain_due.fire = drain_fire;
    if (ses_due_set(&host->dues, &host->drain_due, ses_host_now_ms() + drain_ms) != SES_OK) {
        drain_end(host);
    }
}

void ses_host_free(struct ses_net *net)
{
    if (net == NULL) {
        return;
    }
    struct ses_host *host = ses_host_of(net);
    if (host->handle_cnt > 0) {
        /* Never closed: do it here. Must not be called from a callback then. */
        ses_host_close(net, 0, NULL, NULL);
        while (host->handle_cnt > 0) {
            (void)uv_run(host->raw, UV_RUN_ONCE);
        }
    }
    host_release(host);
}
