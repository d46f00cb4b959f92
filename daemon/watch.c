/* /session/watch/1: new records of a logged-in inbox, pushed as they become readable. At least
 * once, in arrival order, resumable by the cursor of the last page. One subscription a flow. */
#include "daemon/daemon_internal.h"

#define SLOW_MS 30000u
#define WATCH_PAGE_BYTES 262144u

struct watcher {
    struct watcher *prev, *next;
    struct watcher *inbox_next;
    struct ses_daemon *d;
    struct ses_flow *flow; /* NULL once closed */
    bool closing;
    bool subscribed;
    bool reading; /* ses_store_page under way */
    bool dirty;   /* something arrived since the page was asked for */
    bool greeted; /* the first page, even an empty one, says "subscribed" */
    struct ses_hash digest;
    struct ses_retrieve ask; /* .after moves on */
    bool stuck;              /* the flow did not take a page: it is read again when it may */
    uint64_t stuck_ms;       /* since when, monotonic */
    uint64_t connection;
};

static void look(struct watcher *w);

static struct watcher **slot_of(struct ses_daemon *d, const struct ses_hash *inbox)
{
    return &d->watchers.by_inbox[ses_get_u32(inbox->bytes) % WATCH_TABLE];
}

static void unlink_inbox(struct watcher *w)
{
    if (!w->subscribed) {
        return;
    }
    struct watcher **at = slot_of(w->d, &w->ask.inbox);
    while (*at != w) {
        at = &(*at)->inbox_next;
    }
    *at = w->inbox_next;
    w->subscribed = false;
}

static void free_if_done(struct watcher *w)
{
    if (w->flow != NULL || w->reading) {
        return;
    }
    struct watchers *all = &w->d->watchers;
    unlink_inbox(w);
    *(w->prev != NULL ? &w->prev->next : &all->first) = w->next;
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    all->cnt--;
    ses_free(w);
}

static void give_up(struct watcher *w)
{
    if (w->flow != NULL && !w->closing) {
        w->closing = true;
        ses_flow_close(w->flow);
    }
}

static void refuse(struct watcher *w, enum ses_err err)
{
    uint8_t body[REFUSAL_BYTES_MAX];
    const size_t len = ses_refusal_body(w->d, err, &w->digest, body, sizeof body);
    const enum ses_err sent = ses_flow_send(w->flow, body, len);
    (void)sent; /* the flow is closed either way */
    give_up(w);
}

/* ---- pages ---- */
/* Ten thousand slow watchers must not cost a page of memory each. */
static void wait_for_flow(struct watcher *w)
{
    w->stuck = true;
    w->dirty = true;
    w->stuck_ms = ses_daemon_mono(w->d);
}

static void push(struct watcher *w, const struct ses_page_result *page)
{
    if (page->record_cnt == 0 && w->greeted) {
        w->ask.after = page->next;
        return;
    }
    const enum ses_err err = ses_flow_send(w->flow, page->frame, page->len);
    if (err == SES_ERR_AGAIN) {
        wait_for_flow(w);
    } else if (err != SES_OK) {
        give_up(w);
    } else {
        w->greeted = true;
        w->ask.after = page->next;
        w->d->stats.watch_pages++;
    }
}

static void on_page(void *cookie, const struct ses_page_result *page)
{
    struct watcher *w = cookie;
    struct ses_daemon *d = w->d;
    w->reading = false;
    if (w->flow != NULL && !w->closing) {
        if (page->err != SES_OK) {
            refuse(w, page->err);
        } else {
            w->dirty |= page->more;
            push(w, page);
            look(w);
        }
    }
    free_if_done(w);
    ses_daemon_release(d);
}

static void look(struct watcher *w)
{
    if (!w->subscribed || w->closing || w->reading || !w->dirty || w->stuck) {
        return;
    }
    const enum ses_err err = ses_store_page(w->d->p.store, &w->ask, on_page, w);
    if (err == SES_OK) {
        w->dirty = false;
        w->reading = true;
        ses_daemon_hold(w->d);
    } else if (err != SES_ERR_FULL && err != SES_ERR_AGAIN) {
        refuse(w, err);
    } /* full: the tick looks again */
}

void ses_watch_wake(void *cookie, const struct ses_hash *inbox, int16_t ns)
{
    struct ses_daemon *d = cookie;
    for (struct watcher *w = *slot_of(d, inbox); w != NULL; w = w->inbox_next) {
        if (w->ask.ns == ns && ses_equal(&w->ask.inbox, inbox, sizeof *inbox)) {
            w->dirty = true;
            look(w);
        }
    }
}

/* ---- subscribing ---- */
static enum ses_err subscribe(struct watcher *w, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    uint8_t op = 0;
    SES_REQUIRE(ses_request_begin(&r, body, len, &op) == SES_OK && op == SES_WATCH_SUBSCRIBE,
                SES_ERR_MALFORMED);
    SES_REQUIRE(ses_retrieve_read(&w->ask, body, len) == SES_OK, SES_ERR_MALFORMED);
    ses_inbox_digest(&w->digest, &w->ask.inbox);
    SES_REQUIRE(ses_flow_logged_in(w->flow, &w->ask.inbox), SES_ERR_UNAUTHORISED);
    SES_REQUIRE(ses_daemon_serves(w->d, &w->digest, true), SES_ERR_WRONG_SWARM);
    if (w->ask.bytes_max > WATCH_PAGE_BYTES) {
        w->ask.bytes_max = WATCH_PAGE_BYTES;
    }
    return SES_OK;
}

static void on_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    (void)flow;
    struct watcher *w = cookie;
    if (w->closing) {
        return;
    }
    const enum ses_err err = w->subscribed ? SES_ERR_MALFORMED : subscribe(w, body, len);
    if (err != SES_OK) {
        refuse(w, err);
        return;
    }
    struct watcher **slot = slot_of(w->d, &w->ask.inbox);
    w->inbox_next = *slot;
    *slot = w;
    w->subscribed = true;
    w->dirty = true;
    look(w);
}

static void on_writable(void *cookie, struct ses_flow *flow)
{
    struct watcher *w = cookie;
    (void)flow;
    w->stuck = false;
    look(w);
}

static void on_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    (void)flow;
    (void)why;
    struct watcher *w = cookie;
    struct ses_daemon *d = w->d;
    w->flow = NULL;
    w->closing = true;
    free_if_done(w);
    ses_daemon_release(d);
}

static const struct ses_flow_events watch_events = {
    .on_frame = on_frame,
    .on_writable = on_writable,
    .on_close = on_close,
};

static uint32_t of_connection(const struct ses_daemon *d, uint64_t connection)
{
    uint32_t cnt = 0;
    for (const struct watcher *w = d->watchers.first; w != NULL; w = w->next) {
        cnt += w->connection == connection ? 1 : 0;
    }
    return cnt;
}

enum ses_err ses_watch_accept(void *cookie, struct ses_flow *flow,
                              const struct ses_flow_events **events, void **flow_cookie)
{
    struct ses_daemon *d = cookie;
    const struct ses_peer *peer = ses_flow_peer(flow);
    SES_REQUIRE(!d->draining && d->map != NULL, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(ses_meter_take(&d->meters, peer, 3, d->p.limits.read_rate, ses_daemon_mono(d)),
                SES_ERR_RATE);
    SES_REQUIRE(d->watchers.cnt < d->p.limits.watchers_max, SES_ERR_FULL);
    SES_REQUIRE(of_connection(d, peer->connection) < d->p.limits.watchers_peer_max, SES_ERR_FULL);
    struct watcher *w = ses_alloc(1, sizeof *w);
    SES_REQUIRE(w != NULL, SES_ERR_MEMORY);
    w->d = d;
    w->flow = flow;
    w->connection = peer->connection;
    w->next = d->watchers.first;
    if (w->next != NULL) {
        w->next->prev = w;
    }
    d->watchers.first = w;
    d->watchers.cnt++;
    ses_daemon_hold(d);
    *events = &watch_events;
    *flow_cookie = w;
    return SES_OK;
}

/* ---- upkeep ---- */
void ses_watch_follow_map(struct ses_daemon *d)
{
    for (struct watcher *w = d->watchers.first; w != NULL; w = w->next) {
        if (w->subscribed && !w->closing && !ses_daemon_serves(d, &w->digest, true)) {
            refuse(w, SES_ERR_WRONG_SWARM);
        }
    }
}

void ses_watch_check(struct ses_daemon *d)
{
    const uint64_t now_ms = ses_daemon_mono(d);
    for (struct watcher *w = d->watchers.first; w != NULL; w = w->next) {
        if (w->stuck && !w->closing && now_ms - w->stuck_ms > SLOW_MS) {
            d->stats.watch_closed_slow++;
            give_up(w);
        }
        look(w);
    }
}

void ses_watch_close(struct ses_daemon *d)
{
    for (struct watcher *w = d->watchers.first; w != NULL; w = w->next) {
        give_up(w);
    }
}
