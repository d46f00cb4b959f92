/* The network of the tests' world: requests and flows as events of its loop. */
#include <string.h>

#include "daemon/test_world_internal.h"

#define FLOW_WINDOW (1u << 20)

/* ---- network ---- */

struct ses_call {
    struct ses_net *net; /* the server's; first */
    struct world_net *server, *client;
    enum ses_proto proto;
    ses_reply_fn *on_reply;
    void *cookie;
    struct ses_timer *deadline;
    bool told, replied; /* the client was called; the server has answered */
    enum ses_err err;
    struct ses_buf body; /* request, then reply */
};

static bool has_login(const struct world_net *net, const struct ses_hash *inbox)
{
    for (uint32_t i = 0; i < net->login_cnt; i++) {
        if (ses_equal(&net->logins[i], inbox, sizeof *inbox)) {
            return true;
        }
    }
    return false;
}

static void add_login(struct world_net *net, const struct ses_identity *login)
{
    struct ses_hash inbox;
    if (login == NULL) {
        return;
    }
    memcpy(inbox.bytes, login->id.bytes + 1, sizeof inbox.bytes);
    if (!has_login(net, &inbox) && net->login_cnt < SES_LOGINS_MAX) {
        net->logins[net->login_cnt++] = inbox;
    }
}

static struct world_net *net_of_node(struct world *w, const struct ses_node_id *node_id)
{
    for (uint32_t i = 0; i < w->node_cnt; i++) {
        struct world_net *net = w->nodes[i].net;
        if (net != NULL && ses_equal(&net->self.node_id, node_id, sizeof *node_id)) {
            return net;
        }
    }
    return NULL;
}

static void call_free_if_done(struct ses_call *call)
{
    if (call->told && call->replied) {
        ses_buf_free(&call->body);
        ses_free(call);
    }
}

static void call_tell(void *cookie)
{
    struct ses_call *call = cookie;
    if (!call->told) {
        call->told = true;
        world_timer_stop(call->client->world, call->deadline);
        const bool cut = call->server->down || call->client->down;
        const enum ses_err err = cut ? SES_ERR_CLOSED : call->err;
        call->on_reply(call->cookie, err, err == SES_OK ? call->body.bytes : NULL,
                       err == SES_OK ? call->body.len : 0);
    }
    call_free_if_done(call);
}

static void call_timeout(void *cookie)
{
    struct ses_call *call = cookie;
    call->deadline = NULL;
    call->told = true;
    call->on_reply(call->cookie, SES_ERR_TIMEOUT, NULL, 0);
    call_free_if_done(call);
}

static void call_deliver(void *cookie)
{
    struct ses_call *call = cookie;
    struct world_net *server = call->server;
    ses_serve_fn *fn = server->protos[call->proto].fn;
    if (server->down || call->client->down || fn == NULL) {
        call->err = SES_ERR_UNREACHABLE;
        call->replied = true;
        world_after(server->world, WORLD_LINK_MS, call_tell, call);
        return;
    }
    struct ses_buf body = call->body;
    call->body = (struct ses_buf){0};
    fn(server->protos[call->proto].cookie, call, body.bytes, body.len);
    ses_buf_free(&body);
}

static enum ses_err net_request(struct ses_net *base, const struct ses_request *request)
{
    struct world_net *net = (struct world_net *)(void *)base;
    struct ses_call *call = ses_alloc(1, sizeof *call);
    SES_ASSERT(call != NULL);
    call->server = net_of_node(net->world, &request->target->node_id);
    SES_ASSERT(call->server != NULL);
    call->net = &call->server->net;
    call->client = net;
    call->proto = request->proto;
    call->on_reply = request->on_reply;
    call->cookie = request->cookie;
    add_login(net, request->login);
    SES_ASSERT(ses_buf_append(&call->body, request->body, request->len) == SES_OK);
    const uint64_t deadline_ms = request->deadline_ms != 0 ? request->deadline_ms : 60000;
    call->deadline = world_after(net->world, deadline_ms, call_timeout, call);
    world_after(net->world, WORLD_LINK_MS, call_deliver, call);
    return SES_OK;
}

static enum ses_err net_serve(struct ses_net *base, enum ses_proto proto, ses_serve_fn *fn,
                              void *cookie)
{
    struct world_net *net = (struct world_net *)(void *)base;
    net->protos[proto].fn = fn;
    net->protos[proto].cookie = cookie;
    return SES_OK;
}

static const struct ses_peer *net_call_peer(const struct ses_call *call)
{
    return &call->client->self;
}

static bool net_call_logged_in(const struct ses_call *call, const struct ses_hash *inbox)
{
    return has_login(call->client, inbox);
}

static bool say(struct world_net *net, enum ses_proto proto, const struct world_net *to,
                struct ses_buf *bytes)
{
    return net->lie == NULL || net->lie(net->lie_cookie, proto, &to->self, bytes);
}

static void call_answer(struct ses_call *call, enum ses_err err, const uint8_t *body, size_t len)
{
    SES_ASSERT(!call->replied);
    call->replied = true;
    call->err = err;
    if (call->told) {
        call_free_if_done(call);
        return;
    }
    SES_ASSERT(ses_buf_append(&call->body, body, len) == SES_OK);
    if (!say(call->server, call->proto, call->client, &call->body)) {
        call->err = SES_ERR_PEER;
    }
    world_after(call->server->world, WORLD_LINK_MS, call_tell, call);
}

static void net_call_reply(struct ses_call *call, const uint8_t *body, size_t len)
{
    call_answer(call, SES_OK, body, len);
}

static void net_call_fail(struct ses_call *call)
{
    call_answer(call, SES_ERR_PEER, NULL, 0);
}

/* ---- flows: two ends, each with what is on its way to the other ---- */
struct ses_flow {
    struct ses_net *net; /* first */
    struct world_net *owner;
    struct ses_flow *next; /* of the owner */
    struct ses_flow *other;
    const struct ses_flow_events *events;
    void *cookie;
    enum ses_proto proto;
    bool attached; /* events are to be called */
    bool closing, closed, wants_writable;
    size_t on_way;
    uint32_t refs; /* events that point here, and the other end */
};
struct parcel {
    struct ses_flow *to;
    size_t len;
    uint8_t bytes[];
};

static void flow_unref(struct ses_flow *flow)
{
    if (--flow->refs > 0) {
        return;
    }
    struct ses_flow **at = &flow->owner->flows;
    while (*at != flow) {
        at = &(*at)->next;
    }
    *at = flow->next;
    ses_free(flow);
}

static struct ses_flow *flow_new(struct world_net *owner, enum ses_proto proto)
{
    struct ses_flow *flow = ses_alloc(1, sizeof *flow);
    SES_ASSERT(flow != NULL);
    flow->net = &owner->net;
    flow->owner = owner;
    flow->proto = proto;
    flow->refs = 1; /* until closed */
    flow->next = owner->flows;
    owner->flows = flow;
    return flow;
}

static void flow_closed(void *cookie)
{
    struct ses_flow *flow = cookie;
    if (!flow->closed) {
        flow->closed = true;
        if (flow->attached && flow->events->on_close != NULL) {
            flow->events->on_close(flow->cookie, flow, SES_ERR_CLOSED);
        }
        if (flow->other->closed) { /* nobody follows the pair's pointers any more */
            flow_unref(flow->other);
            flow_unref(flow);
        }
        flow_unref(flow); /* its life */
    }
    flow_unref(flow); /* the event */
}

static void flow_shut(struct ses_flow *flow, uint64_t delay_ms)
{
    if (!flow->closing) {
        flow->closing = true;
        flow->refs++;
        world_after(flow->owner->world, delay_ms, flow_closed, flow);
    }
}

/* Both ends at once; the other hears of it later. */
static void net_flow_close(struct ses_flow *flow)
{
    if (!flow->closing) {
        flow_shut(flow, 0);
        flow_shut(flow->other, WORLD_LINK_MS);
    }
}

static void flow_writable(void *cookie)
{
    struct ses_flow *flow = cookie;
    if (!flow->closed && !flow->closing && flow->events->on_writable != NULL) {
        flow->events->on_writable(flow->cookie, flow);
    }
    flow_unref(flow);
}

static void flow_deliver(void *cookie)
{
    struct parcel *parcel = cookie;
    struct ses_flow *to = parcel->to;
    struct ses_flow *from = to->other;
    struct world *w = to->owner->world;
    if (to->owner->stalled && !to->closing) {
        world_after(w, 1000, flow_deliver, parcel);
        return;
    }
    from->on_way -= parcel->len;
    if (!to->closed && !to->owner->down && to->attached) {
        w->frames++;
        to->events->on_frame(to->cookie, to, parcel->bytes, parcel->len);
    }
    if (from->wants_writable && from->on_way < FLOW_WINDOW / 2) {
        from->wants_writable = false;
        from->refs++;
        world_after(w, 0, flow_writable, from);
    }
    ses_free(parcel);
    flow_unref(to);
    flow_unref(from);
}

static void parcel_send(struct ses_flow *flow, const struct ses_buf *bytes)
{
    struct parcel *parcel = ses_alloc(1, sizeof *parcel + bytes->len);
    SES_ASSERT(parcel != NULL);
    parcel->to = flow->other;
    parcel->len = bytes->len;
    if (bytes->len > 0) {
        memcpy(parcel->bytes, bytes->bytes, bytes->len);
    }
    flow->on_way += bytes->len;
    flow->refs++;
    flow->other->refs++;
    world_after(flow->owner->world, WORLD_LINK_MS, flow_deliver, parcel);
}

static enum ses_err net_flow_send(struct ses_flow *flow, const uint8_t *body, size_t len)
{
    SES_REQUIRE(len <= SES_FRAME_BYTES_MAX, SES_ERR_TOO_LARGE);
    SES_REQUIRE(!flow->closing && !flow->closed, SES_ERR_CLOSED);
    if (flow->on_way > 0 && flow->on_way + len > FLOW_WINDOW) {
        flow->wants_writable = true;
        return SES_ERR_AGAIN;
    }
    struct ses_buf bytes = {0};
    SES_ASSERT(ses_buf_append(&bytes, body, len) == SES_OK);
    if (say(flow->owner, flow->proto, flow->other->owner, &bytes)) {
        parcel_send(flow, &bytes);
    } else {
        net_flow_close(flow);
    }
    ses_buf_free(&bytes);
    return SES_OK;
}

static void flow_opened(void *cookie)
{
    struct ses_flow *flow = cookie;
    if (!flow->closing && !flow->closed && flow->events->on_open != NULL) {
        flow->events->on_open(flow->cookie, flow);
    }
    flow_unref(flow);
}

static void flow_arrive(void *cookie)
{
    struct ses_flow *flow = cookie; /* the listener's end */
    struct world_net *owner = flow->owner;
    ses_accept_fn *accept = owner->protos[flow->proto].accept;
    enum ses_err err = SES_ERR_UNREACHABLE;
    if (!flow->closing && !owner->down && !flow->other->owner->down && accept != NULL) {
        err = accept(owner->protos[flow->proto].accept_cookie, flow, &flow->events, &flow->cookie);
        flow->attached = err == SES_OK;
    }
    if (err != SES_OK) {
        net_flow_close(flow);
    } else {
        flow->other->refs++;
        world_after(owner->world, WORLD_LINK_MS, flow_opened, flow->other);
    }
    flow_unref(flow);
}

static enum ses_err net_open(struct ses_net *base, struct ses_flow **out,
                             const struct ses_target *target, enum ses_proto proto,
                             const struct ses_identity *login, const struct ses_flow_events *events,
                             void *cookie)
{
    struct world_net *net = (struct world_net *)(void *)base;
    struct world_net *server = net_of_node(net->world, &target->node_id);
    SES_ASSERT(server != NULL);
    add_login(net, login);
    struct ses_flow *near = flow_new(net, proto);
    struct ses_flow *far = flow_new(server, proto);
    near->other = far;
    far->other = near;
    near->refs++;
    far->refs++;
    near->events = events;
    near->cookie = cookie;
    near->attached = true;
    far->refs++;
    world_after(net->world, WORLD_LINK_MS, flow_arrive, far);
    *out = near;
    return SES_OK;
}

static enum ses_err net_accept(struct ses_net *base, enum ses_proto proto, ses_accept_fn *fn,
                               void *cookie)
{
    struct world_net *net = (struct world_net *)(void *)base;
    net->protos[proto].accept = fn;
    net->protos[proto].accept_cookie = cookie;
    return SES_OK;
}

static const struct ses_peer *net_flow_peer(const struct ses_flow *flow)
{
    return &flow->other->owner->self;
}

static bool net_flow_logged_in(const struct ses_flow *flow, const struct ses_hash *inbox)
{
    return has_login(flow->other->owner, inbox);
}

static const struct ses_net_ops world_ops = {
    .request = net_request,
    .serve = net_serve,
    .call_peer = net_call_peer,
    .call_logged_in = net_call_logged_in,
    .call_reply = net_call_reply,
    .call_fail = net_call_fail,
    .open = net_open,
    .accept = net_accept,
    .flow_peer = net_flow_peer,
    .flow_logged_in = net_flow_logged_in,
    .flow_send = net_flow_send,
    .flow_close = net_flow_close,
};

struct world_net *world_net_new(struct world *w, const char *address)
{
    struct world_net *net = ses_alloc(1, sizeof *net);
    SES_ASSERT(net != NULL);
    net->net.ops = &world_ops;
    net->world = w;
    net->next = w->nets;
    net->self.connection = w->order++;
    snprintf(net->self.address, sizeof net->self.address, "%s", address);
    w->nets = net;
    return net;
}

void world_net_down(struct world_net *net, bool down)
{
    net->down = down;
    for (struct ses_flow *flow = down ? net->flows : NULL; flow != NULL; flow = flow->next) {
        net_flow_close(flow);
    }
}

struct world_net *world_client(struct world *w, const char *address)
{
    return world_net_new(w, address);
}

struct ses_net *world_net_of(struct world_net *net)
{
    return &net->net;
}

void world_pose_as(struct world *w, struct world_net *client, uint32_t node)
{
    client->self.is_node = true;
    client->self.node_id = w->nodes[node].net->self.node_id;
}

void world_lie(struct world *w, uint32_t node, world_lie_fn *fn, void *cookie)
{
    w->nodes[node].net->lie = fn;
    w->nodes[node].net->lie_cookie = cookie;
}

void world_stall(struct world_net *client, bool stalled)
{
    client->stalled = stalled;
}

void world_cut(struct world *w, uint32_t node, bool cut)
{
    world_net_down(w->nodes[node].net, cut);
}
