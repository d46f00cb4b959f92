/* Flows between hosts: two ends, each with what is on its way to the other. Frames arrive in order
 * or not at all; a connection may die at one end only, and the other learns it when it sends, or
 * when the kernel's keepalive finds out. */
#include "tests/sim/memory.h"

#define WINDOW_BYTES (1u << 20)
#define DIAL_MS 20000u       /* network/limits.h */
#define KEEPALIVE_MS 120000u /* network/conn.c: idle 60 s, then 4 x 15 s */

struct ses_flow {
    struct ses_net *net; /* first */
    struct sim_net *owner;
    struct ses_flow *next; /* of the owner */
    struct ses_flow *other;
    const struct ses_flow_events *events;
    void *cookie;
    enum ses_proto proto;
    struct ses_peer peer; /* the other end */
    bool has_login;
    struct ses_hash login; /* shown by the dialler */
    bool attached;         /* events are to be called */
    bool dialled;          /* this end opened it */
    bool closing, closed, wants_writable;
    bool numb; /* nothing arrives here any more */
    enum ses_err why;
    size_t on_way;
    uint64_t clear_ms; /* when the last frame sent from here arrives */
    uint32_t refs;     /* events that point here, the pair, and its life */
};
struct parcel {
    struct ses_flow *to;
    size_t len;
    uint8_t bytes[];
};

static struct sim *sim_of(const struct ses_flow *flow)
{
    return flow->owner->sim;
}

static uint32_t owner_of(const struct ses_flow *flow)
{
    return sim_owner_of(sim_of(flow), flow->owner->host);
}

static void flow_unref(struct ses_flow *flow)
{
    SES_ASSERT(flow->refs > 0);
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

static struct ses_flow *flow_new(struct sim_net *owner, enum ses_proto proto)
{
    struct ses_flow *flow = ses_alloc(1, sizeof *flow);
    SES_ASSERT(flow != NULL);
    flow->net = &owner->net;
    flow->owner = owner;
    flow->proto = proto;
    flow->why = SES_ERR_CLOSED;
    flow->refs = 1;
    flow->next = owner->flows;
    owner->flows = flow;
    return flow;
}

/* ---- the end ---- */
static void flow_closed(void *cookie)
{
    struct ses_flow *flow = cookie;
    if (!flow->closed) {
        flow->closed = true;
        sim_mark(sim_of(flow), 4, flow->owner->host, flow->other->owner->host);
        if (flow->attached && flow->events->on_close != NULL) {
            SIM_AS(owner_of(flow));
            flow->events->on_close(flow->cookie, flow, flow->why);
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
        sim_after(sim_of(flow), delay_ms, flow_closed, flow);
    }
}

static void flow_learn(void *cookie)
{
    struct ses_flow *flow = cookie;
    if (!flow->closed) {
        flow_shut(flow, 0);
    }
    flow_unref(flow);
}

/* The end is told later, and goes on believing until then. */
static void flow_shut_later(struct ses_flow *flow, uint64_t delay_ms)
{
    flow->refs++;
    sim_after(sim_of(flow), delay_ms, flow_learn, flow);
}

/* `at_once`: what stands between the two ends says so. */
static void tell_other(struct ses_flow *flow, bool at_once)
{
    struct sim *s = sim_of(flow);
    struct ses_flow *other = flow->other;
    if (other->closing) {
        return;
    }
    uint64_t delay = at_once ? sim_net_delay(s, flow->owner->host, other->owner->host) : SIM_DEAD;
    if (delay == SIM_DEAD) {
        other->numb = true;
        delay = dice_between(&s->net_dice, SIM_USER_TIMEOUT_MS, KEEPALIVE_MS);
    } else if (flow->clear_ms > s->now_ms + delay) {
        delay = flow->clear_ms - s->now_ms;
    }
    flow_shut_later(other, delay);
}

void sim_flow_close(struct ses_flow *flow)
{
    if (!flow->closing) {
        flow_shut(flow, 0);
        tell_other(flow, !flow->owner->dark);
    }
}

/* ---- frames ---- */
static void flow_writable(void *cookie)
{
    struct ses_flow *flow = cookie;
    if (!flow->closed && !flow->closing && flow->events->on_writable != NULL) {
        SIM_AS(owner_of(flow));
        flow->events->on_writable(flow->cookie, flow);
    }
    flow_unref(flow);
}

static void flow_deliver(void *cookie)
{
    struct parcel *parcel = cookie;
    struct ses_flow *to = parcel->to;
    struct ses_flow *from = to->other;
    struct sim *s = sim_of(to);
    from->on_way -= parcel->len;
    sim_mark(s, 5, (uint64_t)from->owner->host << 32 | to->owner->host, parcel->len);
    if (to->proto == SES_PROTO_REPLICATE && from->dialled && from->owner->host < s->node_cnt &&
        to->owner->host < s->node_cnt) {
        oracle_pushed(s, from->owner->host, to->owner->host, parcel->bytes, parcel->len);
    }
    const bool liar = to->owner->host < s->node_cnt && s->nodes[to->owner->host].byz != NULL;
    if (!to->closed && !to->closing && !to->numb && !to->owner->down && to->attached) {
        if (!liar ||
            !byz_swallows(&s->nodes[to->owner->host], to, to->proto, parcel->bytes, parcel->len)) {
            SIM_AS(owner_of(to));
            to->events->on_frame(to->cookie, to, parcel->bytes, parcel->len);
        }
    } else if ((to->closed || to->closing) && !to->owner->dark && !from->closing) {
        tell_other(to, true); /* a reset comes back */
    }
    if (from->wants_writable && from->on_way < WINDOW_BYTES / 2) {
        from->wants_writable = false;
        from->refs++;
        sim_after(s, 0, flow_writable, from);
    }
    ses_free(parcel);
    flow_unref(to);
    flow_unref(from);
}

static void flow_break(struct ses_flow *flow)
{
    struct sim *s = sim_of(flow);
    flow->other->numb = true;
    flow_shut_later(flow, SIM_USER_TIMEOUT_MS);
    flow_shut_later(flow->other, dice_between(&s->net_dice, SIM_USER_TIMEOUT_MS, KEEPALIVE_MS));
}

enum ses_err sim_flow_send_raw(struct ses_flow *flow, const uint8_t *body, size_t len)
{
    SIM_AS(SIM_WORLD);
    struct sim *s = sim_of(flow);
    SES_REQUIRE(len <= SES_FRAME_BYTES_MAX, SES_ERR_TOO_LARGE);
    SES_REQUIRE(!flow->closing && !flow->closed, SES_ERR_CLOSED);
    if (flow->on_way > 0 && flow->on_way + len > WINDOW_BYTES) {
        flow->wants_writable = true;
        return SES_ERR_AGAIN;
    }
    uint64_t delay = sim_net_delay(s, flow->owner->host, flow->other->owner->host);
    if (delay == SIM_DEAD) {
        if (!flow->other->numb) {
            flow_break(flow);
        }
        delay = SIM_USER_TIMEOUT_MS;
    }
    struct parcel *parcel = ses_alloc(1, sizeof *parcel + len);
    SES_ASSERT(parcel != NULL);
    parcel->to = flow->other;
    parcel->len = len;
    memcpy(parcel->bytes, body, len);
    flow->on_way += len;
    flow->refs++;
    flow->other->refs++;
    const uint64_t at_ms = s->now_ms + delay;
    flow->clear_ms = at_ms > flow->clear_ms ? at_ms : flow->clear_ms;
    sim_after(s, flow->clear_ms - s->now_ms, flow_deliver, parcel);
    return SES_OK;
}

enum ses_err sim_flow_send(struct ses_flow *flow, const uint8_t *body, size_t len)
{
    SIM_AS(SIM_WORLD);
    struct sim *s = sim_of(flow);
    struct ses_buf changed = {0};
    const uint32_t host = flow->owner->host;
    if (host >= s->node_cnt || s->nodes[host].byz == NULL) {
        return sim_flow_send_raw(flow, body, len);
    }
    enum ses_err err = ses_buf_append(&changed, body, len);
    SES_ASSERT(err == SES_OK);
    if (byz_frame(&s->nodes[host], flow->other->owner->host, flow->proto, &changed)) {
        err = sim_flow_send_raw(flow, changed.bytes, changed.len);
    }
    ses_buf_free(&changed);
    return err;
}

struct ses_flow *sim_flow_to(const struct sim_net *net, uint32_t host, enum ses_proto proto)
{
    struct ses_flow *flow = net->flows;
    while (flow != NULL && (flow->proto != proto || !flow->dialled || !flow->attached ||
                            flow->closing || flow->other->owner->host != host)) {
        flow = flow->next;
    }
    return flow;
}

uint32_t sim_flow_cnt(const struct sim_net *net)
{
    uint32_t cnt = 0;
    for (const struct ses_flow *flow = net->flows; flow != NULL; flow = flow->next) {
        cnt++;
    }
    return cnt;
}

/* ---- opening ---- */
static void flow_opened(void *cookie)
{
    struct ses_flow *flow = cookie;
    if (!flow->closing && !flow->closed && flow->events->on_open != NULL) {
        SIM_AS(owner_of(flow));
        flow->events->on_open(flow->cookie, flow);
    }
    flow_unref(flow);
}

/* What the host's layer asks before the daemon is asked: /session/replicate/1 is for nodes. */
static enum ses_err admit(struct ses_flow *flow)
{
    struct sim_net *owner = flow->owner;
    ses_accept_fn *accept = owner->protos[flow->proto].accept;
    SES_REQUIRE(!flow->closing && !owner->down && accept != NULL, SES_ERR_UNREACHABLE);
    sim_net_peer(&flow->peer, flow->other->owner, owner);
    SES_REQUIRE(flow->proto != SES_PROTO_REPLICATE || flow->peer.is_node, SES_ERR_UNAUTHORISED);
    SIM_AS(owner_of(flow));
    return accept(owner->protos[flow->proto].accept_cookie, flow, &flow->events, &flow->cookie);
}

static void flow_arrive(void *cookie)
{
    struct ses_flow *flow = cookie; /* the listener's end */
    struct sim *s = sim_of(flow);
    if (flow->closed) { /* the other end may be gone, too */
        flow_unref(flow);
        return;
    }
    const enum ses_err err = admit(flow);
    const uint64_t delay = sim_net_delay(s, flow->owner->host, flow->other->owner->host);
    flow->attached = err == SES_OK;
    if (err != SES_OK || delay == SIM_DEAD) {
        flow->other->why = err != SES_OK ? err : SES_ERR_UNREACHABLE;
        sim_flow_close(flow);
    } else {
        flow->clear_ms = s->now_ms + delay;
        flow->other->refs++;
        sim_after(s, delay, flow_opened, flow->other);
    }
    flow_unref(flow);
}

static void flow_unopened(void *cookie)
{
    struct ses_flow *flow = cookie; /* the listener's end: nobody is there */
    if (!flow->closed) {
        flow->other->why = SES_ERR_UNREACHABLE;
        flow_shut(flow->other, 0);
        flow_shut(flow, 0);
    }
    flow_unref(flow);
}

enum ses_err sim_flow_open(struct ses_net *base, struct ses_flow **out,
                           const struct ses_target *target, enum ses_proto proto,
                           const struct ses_identity *login, const struct ses_flow_events *events,
                           void *cookie)
{
    SIM_AS(SIM_WORLD);
    struct sim_net *net = (struct sim_net *)(void *)base;
    struct sim *s = net->sim;
    enum ses_err err;
    struct sim_net *server = sim_net_find(s, target, &err);
    SES_REQUIRE(!net->down, SES_ERR_CLOSED);
    if (server == NULL) {
        return err;
    }
    struct ses_flow *near = flow_new(net, proto);
    struct ses_flow *far = flow_new(server, proto);
    near->other = far;
    far->other = near;
    near->refs++;
    far->refs += 2; /* the pair, and the event */
    near->events = events;
    near->cookie = cookie;
    near->attached = true;
    near->dialled = true;
    near->peer = server->self;
    far->has_login = login != NULL;
    if (login != NULL) {
        memcpy(far->login.bytes, login->id.bytes + 1, sizeof far->login.bytes);
    }
    const uint64_t delay = sim_net_delay(s, net->host, server->host);
    const bool dead = delay >= DIAL_MS || server->dark; /* SIM_DEAD, too */
    const uint64_t handshake_ms = 4 * (uint64_t)s->weather.latency_max_ms;
    sim_after(s, dead ? DIAL_MS : delay + handshake_ms, dead ? flow_unopened : flow_arrive, far);
    *out = near;
    return SES_OK;
}

const struct ses_peer *sim_flow_peer(const struct ses_flow *flow)
{
    return &flow->peer;
}

bool sim_flow_logged_in(const struct ses_flow *flow, const struct ses_hash *inbox)
{
    return flow->has_login && ses_equal(&flow->login, inbox, sizeof *inbox);
}

/* ---- a host goes ---- */
void sim_flows_down(struct sim_net *net, bool dark)
{
    for (struct ses_flow *flow = net->flows; flow != NULL; flow = flow->next) {
        if (!flow->closing) {
            flow_shut(flow, 0);
            tell_other(flow, !dark);
        }
    }
}

void sim_flows_half_open(struct sim_net *net, struct dice *dice)
{
    for (struct ses_flow *flow = net->flows; flow != NULL; flow = flow->next) {
        if (!flow->closing && flow->attached && dice_chance(dice, 500)) {
            sim_see(net->sim, SEEN_HALF_OPEN);
            flow_shut(flow, 0);
            flow->other->numb = true;
            flow_shut_later(flow->other, dice_between(dice, 1000, KEEPALIVE_MS));
        }
    }
}

void sim_flows_free(struct sim_net *net)
{
    SES_ASSERT(net->flows == NULL);
}
