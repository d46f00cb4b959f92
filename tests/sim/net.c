/* Requests between hosts. What stands below them in a program is TCP: a lost packet costs time, a
 * cut that lasts a minute kills the connection, and a request may have been served although nobody
 * heard the answer. */
#include "tests/sim/memory.h"

#define RTO_MS 200u      /* of TCP: doubles with each loss in a row */
#define CONNECT_MS 5000u /* network/limits.h */
#define DIAL_MS 20000u
#define DEADLINE_MS 20000u

struct ses_call {
    struct ses_net *net; /* the server's; first */
    struct sim_net *server, *client;
    struct ses_call *prev, *next; /* of the client's, until it was told */
    enum ses_proto proto;
    ses_reply_fn *on_reply;
    void *cookie;
    struct ses_peer peer;
    bool has_login;
    struct ses_hash login;
    struct ses_timer *deadline;
    uint8_t op;
    bool told, replied;
    bool lied;     /* a liar's answer, not what was asked for */
    uint32_t refs; /* the client's, and that of the way there and back */
    enum ses_err err;
    struct ses_buf body; /* request, then reply */
};

uint64_t sim_net_delay(struct sim *s, uint32_t from, uint32_t to)
{
    const struct weather *w = &s->weather;
    const struct lane *lane = &s->lanes[from][to];
    uint64_t delay = dice_between(&s->net_dice, w->latency_min_ms, w->latency_max_ms);
    delay *= dice_chance(&s->net_dice, w->tail_permille) ? 10 : 1;
    for (uint64_t rto = RTO_MS; dice_chance(&s->net_dice, w->loss_permille); rto *= 2) {
        delay += rto;
        sim_see(s, SEEN_LOST_PACKET);
        if (delay > SIM_USER_TIMEOUT_MS) {
            return SIM_DEAD;
        }
    }
    if (lane->cut_until_ms > s->now_ms) {
        const uint64_t wait = lane->cut_until_ms - s->now_ms;
        sim_see(s, SEEN_CUT);
        if (wait >= SIM_USER_TIMEOUT_MS) {
            return SIM_DEAD;
        }
        delay += wait + dice_below(&s->net_dice, 1000);
    }
    if (lane->clog_until_ms > s->now_ms) {
        delay += lane->clog_until_ms - s->now_ms;
        sim_see(s, SEEN_CLOGGED);
    }
    return delay;
}

struct sim_net *sim_net_find(struct sim *s, const struct ses_target *target, enum ses_err *err)
{
    *err = SES_ERR_UNREACHABLE;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        struct sim_node *node = &s->nodes[i];
        if (node->phase != NODE_ABSENT &&
            ses_equal(&node->node_id, &target->node_id, sizeof target->node_id)) {
            const bool right =
                ses_equal(&node->keys.public_key, &target->public_key, sizeof target->public_key);
            *err = right ? SES_OK : SES_ERR_PEER_IDENTITY;
            return right ? &node->net : NULL;
        }
    }
    return NULL;
}

void sim_net_peer(struct ses_peer *out, const struct sim_net *dialler, const struct sim_net *at)
{
    struct ses_dsa_pk pk;
    const struct sim *s = at->sim;
    *out = dialler->self;
    out->is_node = false;
    if (dialler->self.is_node && at->host < s->node_cnt && s->nodes[at->host].daemon != NULL &&
        ses_daemon_find_node(s->nodes[at->host].daemon, &dialler->self.node_id, &pk) == SES_OK) {
        out->is_node = ses_equal(&pk, &s->nodes[dialler->host].keys.public_key, sizeof pk);
    }
}

/* ---- the client's end ---- */
static void call_unref(struct ses_call *call)
{
    SES_ASSERT(call->refs > 0);
    if (--call->refs == 0) {
        ses_buf_free(&call->body);
        ses_free(call);
    }
}

static void count_call(struct sim_net *net)
{
    net->call_cnt++;
    net->call_cnt_max = net->call_cnt > net->call_cnt_max ? net->call_cnt : net->call_cnt_max;
}

static void tell(struct ses_call *call, enum ses_err err, size_t len)
{
    SIM_AS(sim_owner_of(call->client->sim, call->client->host));
    call->on_reply(call->cookie, err, len > 0 ? call->body.bytes : NULL, len);
}

static void call_tell(struct ses_call *call, enum ses_err err)
{
    struct sim *s = call->client->sim;
    const size_t len = err == SES_OK ? call->body.len : 0;
    if (call->told) {
        return;
    }
    call->told = true;
    call->client->call_cnt--;
    sim_cancel(s, call->deadline);
    call->deadline = NULL;
    *(call->prev != NULL ? &call->prev->next : &call->client->calls) = call->next;
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    sim_mark(s, 2, (uint64_t)call->client->host << 32 | (uint32_t)err, len);
    tell(call, err, len);
    call_unref(call);
}

static void call_timeout(void *cookie)
{
    struct ses_call *call = cookie;
    call->deadline = NULL;
    call_tell(call, SES_ERR_TIMEOUT);
}

static void call_return(void *cookie)
{
    struct ses_call *call = cookie;
    const struct sim *s = call->client->sim;
    if (!call->told && call->err == SES_OK && call->proto == SES_PROTO_RETRIEVE &&
        call->server->host < s->node_cnt) {
        const bool list = call->op == SES_RETRIEVE_LIST;
        (list ? oracle_list : oracle_page)(call->client->sim, call->server->host, call->body.bytes,
                                           call->body.len);
    }
    if (!call->told && call->err == SES_OK && call->server->host < s->node_cnt &&
        call->client->host < s->node_cnt) {
        oracle_given(call->client->sim, call->server->host, call->client->host, call->proto,
                     call->op, &call->body);
    }
    if (call->lied && !call->told && call->err == SES_OK) {
        byz_was_caught(&call->client->sim->nodes[call->server->host], call->client->host);
    }
    call_tell(call, call->err);
    call_unref(call);
}

/* ---- the server's end ---- */
/* The way back. Where it is dead the client hears nothing until its own patience ends. */
static void go_back(struct ses_call *call, enum ses_err err, uint64_t delay)
{
    struct sim *s = call->server->sim;
    call->err = delay == SIM_DEAD ? SES_ERR_CLOSED : err;
    sim_after(s, delay == SIM_DEAD ? SIM_USER_TIMEOUT_MS : delay, call_return, call);
}

static void call_answer(struct ses_call *call, enum ses_err err, const uint8_t *body, size_t len)
{
    SIM_AS(SIM_WORLD);
    struct sim *s = call->server->sim;
    SES_ASSERT(!call->replied);
    call->replied = true;
    call->server->call_cnt--;
    if (call->told) {
        call_unref(call);
        return;
    }
    call->body.len = 0;
    SES_ASSERT(ses_buf_append(&call->body, body, len) == SES_OK);
    if (call->server->host < s->node_cnt && s->nodes[call->server->host].byz != NULL &&
        err == SES_OK) {
        call->lied = byz_reply(&s->nodes[call->server->host], call->proto, call->op, &call->body);
    }
    const bool gone = call->server->down; /* a dead process' words do not leave the machine */
    go_back(call, gone ? SES_ERR_CLOSED : err,
            gone && call->server->dark ? SIM_DEAD
                                       : sim_net_delay(s, call->server->host, call->client->host));
}

static void net_call_reply(struct ses_call *call, const uint8_t *body, size_t len)
{
    SIM_AS(SIM_WORLD);
    if (call->proto == SES_PROTO_STORE && call->server->host < call->server->sim->node_cnt) {
        oracle_answered(call->server->sim, call->server->host, body, len);
    }
    call_answer(call, SES_OK, body, len);
}

static void net_call_fail(struct ses_call *call)
{
    call_answer(call, SES_ERR_PEER, NULL, 0);
}

static void serve(struct ses_call *call, const struct ses_buf *body)
{
    const struct sim_net *server = call->server;
    SIM_AS(sim_owner_of(server->sim, server->host));
    count_call(call->server);
    server->protos[call->proto].fn(server->protos[call->proto].cookie, call, body->bytes,
                                   body->len);
}

static void call_arrive(void *cookie)
{
    struct ses_call *call = cookie;
    struct sim_net *server = call->server;
    struct sim *s = server->sim;
    sim_mark(s, 3, (uint64_t)call->client->host << 32 | server->host, call->body.len);
    if (server->down || server->protos[call->proto].fn == NULL) {
        go_back(call, SES_ERR_UNREACHABLE,
                server->dark ? CONNECT_MS : sim_net_delay(s, server->host, call->client->host));
        return;
    }
    if (server->host < s->node_cnt && s->nodes[server->host].byz != NULL) {
        byz_asked(&s->nodes[server->host], call->client->host, call->proto, call->op);
    }
    struct ses_buf body = call->body;
    call->body = (struct ses_buf){0};
    sim_net_peer(&call->peer, call->client, server);
    serve(call, &body);
    ses_buf_free(&body);
}

static void call_lost(void *cookie)
{
    struct ses_call *call = cookie;
    call->err = SES_ERR_UNREACHABLE;
    call_return(call);
}

/* ---- asking ---- */
static struct ses_call *call_new(struct sim_net *net, struct sim_net *server,
                                 const struct ses_request *request)
{
    struct ses_call *call = ses_alloc(1, sizeof *call);
    SES_ASSERT(call != NULL);
    call->net = &server->net;
    call->server = server;
    call->client = net;
    call->proto = request->proto;
    call->op = request->len > 1 ? request->body[1] : 0; /* behind the version */
    call->refs = 1;
    SES_ASSERT(ses_buf_append(&call->body, request->body, request->len) == SES_OK);
    if (request->login != NULL) {
        call->has_login = true;
        memcpy(call->login.bytes, request->login->id.bytes + 1, sizeof call->login.bytes);
    }
    return call;
}

static void call_go(struct ses_call *call)
{
    struct sim *s = call->client->sim;
    uint64_t delay = sim_net_delay(s, call->client->host, call->server->host);
    const uint64_t back = sim_net_delay(s, call->server->host, call->client->host);
    if (delay >= DIAL_MS || back >= DIAL_MS) { /* SIM_DEAD, too */
        sim_see(s, SEEN_DEAD_LINE);
        sim_after(s, DIAL_MS, call_lost, call);
        return;
    }
    delay += call->has_login ? 4 * (uint64_t)s->weather.latency_max_ms : 0;
    sim_after(s, delay, call_arrive, call);
}

static enum ses_err net_request(struct ses_net *base, const struct ses_request *request)
{
    SIM_AS(SIM_WORLD);
    struct sim_net *net = (struct sim_net *)(void *)base;
    struct sim *s = net->sim;
    enum ses_err err;
    struct sim_net *server = sim_net_find(s, request->target, &err);
    SES_REQUIRE(!net->down, SES_ERR_CLOSED);
    SES_REQUIRE(net->host >= s->node_cnt || byz_asks(&s->nodes[net->host], request->proto),
                SES_ERR_UNREACHABLE);
    if (server == NULL) {
        return err;
    }
    if (dice_chance(&s->net_dice, s->weather.duplicate_permille)) {
        sim_see(s, SEEN_TWIN);
        struct ses_call *twin = call_new(net, server, request);
        twin->told = true;
        call_go(twin);
    }
    struct ses_call *call = call_new(net, server, request);
    call->refs++;
    call->on_reply = request->on_reply;
    call->cookie = request->cookie;
    call->next = net->calls;
    if (call->next != NULL) {
        call->next->prev = call;
    }
    net->calls = call;
    count_call(net);
    const uint64_t deadline_ms = request->deadline_ms != 0 ? request->deadline_ms : DEADLINE_MS;
    call->deadline = sim_after(s, deadline_ms, call_timeout, call);
    call_go(call);
    return SES_OK;
}

static enum ses_err net_serve(struct ses_net *base, enum ses_proto proto, ses_serve_fn *fn,
                              void *cookie)
{
    struct sim_net *net = (struct sim_net *)(void *)base;
    net->protos[proto].fn = fn;
    net->protos[proto].cookie = cookie;
    return SES_OK;
}

static enum ses_err net_accept(struct ses_net *base, enum ses_proto proto, ses_accept_fn *fn,
                               void *cookie)
{
    struct sim_net *net = (struct sim_net *)(void *)base;
    net->protos[proto].accept = fn;
    net->protos[proto].accept_cookie = cookie;
    return SES_OK;
}

static const struct ses_peer *net_call_peer(const struct ses_call *call)
{
    return &call->peer;
}

static bool net_call_logged_in(const struct ses_call *call, const struct ses_hash *inbox)
{
    return call->has_login && ses_equal(&call->login, inbox, sizeof *inbox);
}

const struct ses_net_ops sim_net_ops = {
    .request = net_request,
    .serve = net_serve,
    .call_peer = net_call_peer,
    .call_logged_in = net_call_logged_in,
    .call_reply = net_call_reply,
    .call_fail = net_call_fail,
    .open = sim_flow_open,
    .accept = net_accept,
    .flow_peer = sim_flow_peer,
    .flow_logged_in = sim_flow_logged_in,
    .flow_send = sim_flow_send,
    .flow_close = sim_flow_close,
};

/* ---- life ---- */
void sim_net_init(struct sim_net *net, struct sim *s, uint32_t host)
{
    memset(net, 0, sizeof *net);
    net->net.ops = &sim_net_ops;
    net->sim = s;
    net->host = host;
    net->self.connection = s->connection_cnt++;
    const int len = snprintf(net->self.address, sizeof net->self.address, "10.0.%u.%u:4000",
                             host / 256, host % 256);
    SES_ASSERT(len > 0);
}

void sim_net_down(struct sim_net *net, bool down, bool dark)
{
    net->down = down;
    net->dark = down && dark;
    if (!down) {
        return;
    }
    memset(net->protos, 0, sizeof net->protos);
    sim_flows_down(net, dark);
    for (struct ses_call *call = net->calls; call != NULL; call = call->next) {
        sim_cancel(net->sim, call->deadline);
        call->deadline = sim_after(net->sim, 0, call_timeout, call);
    }
}

/* After the last event: what was on its way is dropped with whoever asked. */
void sim_net_free(struct sim_net *net)
{
    SES_ASSERT(net->calls == NULL);
    sim_flows_free(net);
}
