/* Watching: flows to as many members as a reader needs; each pushes what arrives. What a flow
 * brings goes the same way as a fetched page. A full receive now and then catches what a lying or
 * lagging member kept back. */
#include <inttypes.h>
#include <string.h>

#include "client/client_internal.h"

#define TURN_MS 1000u
#define CARE_MS 15000u     /* outbox, card, registry */
#define RECEIVE_MS 300000u /* full receive */
#define RETRY_MS 5000u     /* a member that failed; doubles */
#define RETRY_MAX_MS 120000u
#define TOLD_MS 60000u /* for so long members that say that others serve us are not heard */
#define QUEUE_BYTES_MAX 16777216u /* frames not yet taken care of */

struct frame {
    struct frame *next;
    uint32_t seat;
    size_t len;
    uint8_t bytes[];
};
struct seat {
    struct watch *watch;
    struct ses_node_id node_id;
    struct ses_flow *flow; /* NULL: none */
    uint32_t failures;
    uint64_t retry_ms; /* monotonic */
};
struct watch {
    struct ses_client *client;
    struct ses_delivery delivery;
    struct ses_hash inbox;
    uint64_t epoch;
    uint32_t wanted;
    uint32_t seat_cnt;
    struct seat seats[SES_MEMBERS_MAX];
    struct frame *first, *last;
    size_t queue_bytes;
    bool rebuild; /* the map changed, or a member says that it did */
    uint64_t care_ms, receive_ms;
    uint64_t told_ms; /* when a member is heard again that says so */
};

/* ---- flows ---- */

static void on_open(void *cookie, struct ses_flow *flow)
{
    struct seat *seat = cookie;
    struct watch *w = seat->watch;
    uint8_t body[256];
    struct ses_writer writer;
    struct ses_retrieve ask = {
        .inbox = w->inbox, .ns = SES_NS_INBOX, .record_max = 256, .bytes_max = 524288};
    ses_inbox_cursor_get(&w->client->state.inbox, &seat->node_id, SES_NS_INBOX, &ask.after);
    ses_writer_init(&writer, body, sizeof body);
    ses_retrieve_write(&writer, &ask);
    if (ses_writer_done(&writer) != SES_OK || ses_flow_send(flow, body, writer.len) != SES_OK) {
        ses_flow_close(flow);
    }
}

static void on_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    struct seat *seat = cookie;
    struct watch *w = seat->watch;
    struct frame *frame =
        w->queue_bytes + len <= QUEUE_BYTES_MAX ? ses_alloc(1, sizeof *frame + len) : NULL;
    if (frame == NULL) { /* the cursor stays: it all comes again */
        ses_flow_close(flow);
        return;
    }
    frame->seat = (uint32_t)(seat - w->seats);
    frame->len = len;
    memcpy(frame->bytes, body, len);
    if (w->last != NULL) {
        w->last->next = frame;
    } else {
        w->first = frame;
    }
    w->last = frame;
    w->queue_bytes += len;
    ses_client_wake(w->client);
}

static void on_writable(void *cookie, struct ses_flow *flow)
{
    (void)cookie; /* one small frame is all that we ever send */
    (void)flow;
}

static void fail_seat(struct seat *seat)
{
    const uint32_t shift = seat->failures < 5 ? seat->failures : 5;
    const uint64_t wait = (uint64_t)RETRY_MS << shift;
    seat->failures++;
    seat->retry_ms = ses_mono_ms() + (wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
}

static void on_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    struct seat *seat = cookie;
    (void)flow;
    seat->flow = NULL;
    fail_seat(seat);
    ses_logf(&seat->watch->client->log, SES_LOG_DEBUG, "watch", "a member's stream ended: %s",
             ses_err_text(why));
    ses_client_wake(seat->watch->client);
}

static const struct ses_flow_events events = {
    .on_open = on_open, .on_frame = on_frame, .on_writable = on_writable, .on_close = on_close};

static void open_seat(struct watch *w, struct seat *seat)
{
    struct ses_client *c = w->client;
    struct ses_target target;
    const struct ses_map_node *node = ses_map_find(&c->registry.map, &seat->node_id);
    if (node == NULL) {
        w->rebuild = true;
        return;
    }
    ses_client_target_of(&target, node);
    const enum ses_err err =
        ses_net_open(c->net, &seat->flow, &target, SES_PROTO_WATCH, c->identity, &events, seat);
    if (err != SES_OK) {
        seat->flow = NULL;
        fail_seat(seat);
    }
}

static void open_seats(struct watch *w)
{
    const uint64_t now = ses_mono_ms();
    uint32_t open = 0;
    for (uint32_t i = 0; i < w->seat_cnt; i++) {
        open += w->seats[i].flow != NULL;
    }
    for (uint32_t i = 0; i < w->seat_cnt && open < w->wanted; i++) {
        if (w->seats[i].flow == NULL && w->seats[i].retry_ms <= now) {
            open_seat(w, &w->seats[i]);
            open += w->seats[i].flow != NULL;
        }
    }
}

static void drop_queue(struct watch *w)
{
    while (w->first != NULL) {
        struct frame *next = w->first->next;
        ses_free(w->first);
        w->first = next;
    }
    w->last = NULL;
    w->queue_bytes = 0;
}

/* Ends every flow (their events come before this returns) and takes the members of the new map. */
static enum ses_err take_seats(struct watch *w, struct ses_note *note)
{
    struct ses_client *c = w->client;
    struct ses_swarm_view view;
    ses_client_close_net(c);
    drop_queue(w);
    w->seat_cnt = 0;
    SES_TRY(ses_client_need_map(c, w->rebuild, note));
    SES_TRY(ses_client_view(c, &w->inbox, &view, note));
    ses_client_order(c, &view);
    w->epoch = c->registry.map.epoch;
    w->wanted = ses_read_quorum(view.active_cnt);
    w->seat_cnt = view.cnt;
    for (uint32_t i = 0; i < view.cnt; i++) {
        w->seats[i] =
            (struct seat){.watch = w, .node_id = c->registry.map.nodes[view.nodes[i]].row.node_id};
    }
    w->rebuild = false;
    return SES_OK;
}

/* ---- frames ---- */

/* To begin anew costs everybody: a member that lies must not have that done each second. */
static void hear(struct watch *w, const struct ses_refusal *refusal)
{
    const uint64_t now = ses_mono_ms();
    if (refusal->status == SES_ERR_WRONG_SWARM && now >= w->told_ms) {
        w->told_ms = now + TOLD_MS;
        w->rebuild = true;
    }
}

static enum ses_err take_frame(struct watch *w, const struct frame *frame, struct ses_note *note)
{
    struct ses_client *c = w->client;
    struct seat *seat = &w->seats[frame->seat];
    struct ses_fetch fetch;
    struct ses_retrieve ask;
    struct ses_refusal refusal;
    uint32_t member;
    ses_fetch_init(&fetch, &w->inbox, SES_NS_INBOX, &seat->node_id, 1, 1, 1, &c->state.inbox,
                   ses_client_now(c));
    SES_ASSERT(ses_fetch_next(&fetch, &member, &ask));
    enum ses_err err =
        ses_fetch_page(&fetch, member, &c->state.inbox, frame->bytes, frame->len, &refusal);
    if (err == SES_OK) {
        seat->failures = 0;
        err = ses_client_deliver(c, &fetch, &w->delivery, note);
    } else if (err != SES_ERR_MEMORY) {
        hear(w, &refusal);
        ses_logf(&c->log, SES_LOG_DEBUG, "watch", "a member said: %s", ses_err_text(err));
        if (seat->flow != NULL) {
            ses_flow_close(seat->flow);
        }
        err = SES_OK;
    }
    ses_fetch_free(&fetch);
    return err;
}

static enum ses_err take_queue(struct watch *w, struct ses_note *note)
{
    while (w->first != NULL) {
        struct frame *frame = w->first;
        w->first = frame->next;
        w->last = w->first != NULL ? w->last : NULL;
        w->queue_bytes -= frame->len;
        const enum ses_err err = take_frame(w, frame, note);
        ses_free(frame);
        SES_TRY(err);
    }
    return SES_OK;
}

/* ---- the long run ---- */

/* What waiting does not cure. */
static bool fatal(enum ses_err err)
{
    switch ((int)err) {
    case SES_ERR_UNREACHABLE:
    case SES_ERR_TIMEOUT:
    case SES_ERR_PEER:
    case SES_ERR_PEER_IDENTITY:
    case SES_ERR_NOT_POST_QUANTUM:
    case SES_ERR_WRONG_SWARM:
    case SES_ERR_RATE:
    case SES_ERR_UNAVAILABLE:
    case SES_ERR_DISK_LOW:
    case SES_ERR_AGAIN:
    case SES_ERR_FULL:
    case SES_ERR_UNAUTHORISED:
        return false;
    default:
        return err != SES_OK;
    }
}

static enum ses_err receive_all(struct watch *w, struct ses_note *note)
{
    do {
        w->delivery.result->more = 0;
        SES_TRY(ses_client_receive_once(w->client, &w->delivery, note));
    } while (w->delivery.result->more);
    w->receive_ms = ses_mono_ms() + RECEIVE_MS;
    return SES_OK;
}

/* Does another epoch change who serves us? */
static bool members_moved(struct watch *w)
{
    struct ses_client *c = w->client;
    struct ses_swarm_view view;
    if (ses_client_view(c, &w->inbox, &view, NULL) != SES_OK || view.cnt != w->seat_cnt ||
        ses_read_quorum(view.active_cnt) != w->wanted) {
        return true;
    }
    for (uint32_t i = 0; i < w->seat_cnt; i++) {
        const struct ses_map_node *node = ses_map_find(&c->registry.map, &w->seats[i].node_id);
        if (node == NULL || node->row.swarm != view.swarm) {
            return true;
        }
    }
    return false;
}

static enum ses_err care(struct watch *w, struct ses_note *note)
{
    struct ses_client *c = w->client;
    unsigned left = 0;
    const uint64_t now = ses_mono_ms();
    if (now < w->care_ms) {
        return SES_OK;
    }
    w->care_ms = now + CARE_MS;
    SES_TRY(ses_client_need_map(c, false, note));
    if (c->registry.map.epoch != w->epoch) {
        w->rebuild = w->rebuild || members_moved(w);
        w->epoch = c->registry.map.epoch;
    }
    ses_client_keep_card(c, true);
    SES_TRY(ses_client_flush_due(c, false, &left, note));
    return now >= w->receive_ms ? receive_all(w, note) : SES_OK;
}

static enum ses_err turn(struct watch *w, struct ses_note *note)
{
    if (w->rebuild) {
        SES_TRY(take_seats(w, note));
        SES_TRY(receive_all(w, note));
    }
    SES_TRY(ses_client_need_net(w->client, note));
    open_seats(w);
    SES_TRY(ses_client_run_for(w->client, TURN_MS));
    SES_TRY(take_queue(w, note));
    return care(w, note);
}

static enum ses_err watch(struct ses_client *c, const struct ses_delivery *delivery,
                          struct ses_note *note)
{
    struct watch *w = ses_alloc(1, sizeof *w);
    SES_REQUIRE(w != NULL, SES_ERR_MEMORY);
    w->client = c;
    w->delivery = *delivery;
    w->rebuild = true;
    memcpy(w->inbox.bytes, c->identity->id.bytes + 1, sizeof w->inbox.bytes);
    enum ses_err err = SES_OK;
    while (!fatal(err) && !ses_client_stopped(c)) {
        err = turn(w, note);
        if (err != SES_OK && !fatal(err)) {
            ses_logf(&c->log, SES_LOG_WARN, "watch", "%s",
                     note->text[0] != 0 ? note->text : ses_err_text(err));
            note->text[0] = 0;
            w->rebuild = true;
            err = ses_client_run_for(c, RETRY_MS);
        }
    }
    ses_client_close_net(c); /* before the seats go */
    drop_queue(w);
    ses_free(w);
    return err;
}

int ses_client_watch(struct ses_client *c, ses_client_message_fn *on_message, void *cookie,
                     struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_client_received result = {0};
    const struct ses_delivery delivery = {
        .on_message = on_message, .cookie = cookie, .result = &result};
    enum ses_err err = SES_ERR_INVALID;
    if (on_message == NULL) {
        ses_note_set(&n, "on_message is missing");
    } else {
        err = ses_client_need_identity(c, &n);
    }
    if (err == SES_OK) {
        err = watch(c, &delivery, &n);
    }
    if (ses_client_stopped(c) && (err == SES_OK || err == SES_ERR_CLOSED)) {
        atomic_store(&c->stop, 0);
        err = SES_OK;
    }
    return ses_client_result(err, &n, note);
}
