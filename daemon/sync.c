/* When to compare what with whom, and whether this node has caught up. */
#include <inttypes.h>

#include "daemon/daemon_internal.h"

#define BASE_MIN_MS 500u
#define BASE_MAX_MS 5000u
#define EPOCH_BASES 720u /* turns of an epoch of an hour */
#define WHOLE_TURNS 12u
#define OLDER_TURNS 60u
#define RECENT_HOURS 3u
#define FIRST_MS 100u
#define HOUR_MS 3600000u
#define CATCH_UP_RUNS 3u /* at a time */

/* ---- caught up? ---- */
/* The new set is a part of the old one: everything is here already. */
static bool is_part(const struct ses_sync_set *part, const struct ses_sync_set *of)
{
    return of->num_swarms != 0 && part->num_swarms >= of->num_swarms &&
           part->swarm % of->num_swarms == of->swarm;
}

bool ses_sync_holds(const struct ses_daemon *d, const struct ses_sync_set *set)
{
    return !d->sync.partial && is_part(set, &d->sync.seat);
}

void ses_sync_settled(struct ses_daemon *d)
{
    struct sync *s = &d->sync;
    if (!s->partial || s->seat.num_swarms == 0 || ses_bulk_busy(d) ||
        !ses_sync_compared_enough(d)) {
        return;
    }
    s->partial = false;
    ses_logf(d->p.log, SES_LOG_INFO, MODULE, "caught up with the swarm");
    if (ses_store_needs_sync(d->p.store) && ses_store_mark_synced(d->p.store) != SES_OK) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "cannot remember that the store has caught up");
        s->partial = true;
    }
}

static void begin_partial(struct ses_daemon *d)
{
    struct sync *s = &d->sync;
    s->partial = true;
    s->bulk.finished = false;
    for (uint32_t i = 0; i < SYNC_PEERS; i++) {
        s->peers[i].compared = s->peers[i].full = false;
    }
}

/* ---- runs of the wheel ---- */
struct whole_run {
    struct ses_daemon *d;
    struct ses_node_id node_id;
    struct ses_sync_set set;
};

static void on_whole(void *cookie, const struct sync_result *result)
{
    struct whole_run *w = cookie;
    struct ses_daemon *d = w->d;
    const bool same =
        w->set.swarm == d->sync.seat.swarm && w->set.num_swarms == d->sync.seat.num_swarms;
    struct sync_peer *peer = ses_sync_peer(d, &w->node_id);
    if (result->complete && same) {
        peer->compared = true;
        peer->full |= !result->partial;
    }
    ses_free(w);
    if (!d->closing) {
        ses_sync_settled(d);
    }
}

static struct reconcile_params params_of(const struct ses_daemon *d, bool whole, bool old)
{
    const uint32_t hour = (uint32_t)((ses_daemon_now(d) + HOUR_MS / 60) / HOUR_MS);
    return (struct reconcile_params){.set = d->sync.seat,
                                     .whole = whole,
                                     .from_hour = old ? 0 : hour - RECENT_HOURS,
                                     .now_hour = hour,
                                     .bulk = d->sync.partial && !d->sync.bulk.finished};
}

static enum ses_err run_whole(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    struct whole_run *w = ses_alloc(1, sizeof *w);
    SES_REQUIRE(w != NULL, SES_ERR_MEMORY);
    *w = (struct whole_run){.d = d, .node_id = *node_id, .set = d->sync.seat};
    const struct sync_start start = {.node_id = node_id,
                                     .params = params_of(d, true, true),
                                     .fetches = true,
                                     .done = on_whole,
                                     .cookie = w};
    const enum ses_err err = ses_sync_run(d, &start);
    if (err != SES_OK) {
        ses_free(w);
    }
    return err;
}

static void catch_up(struct ses_daemon *d)
{
    uint32_t nodes[SYNC_SOURCES_MAX];
    const uint32_t cnt = ses_sync_sources(d, nodes);
    for (uint32_t i = 0; i < cnt && d->sync.run_cnt < CATCH_UP_RUNS; i++) {
        const struct ses_node_id *node_id = &d->map->nodes[nodes[i]].row.node_id;
        if (!ses_sync_peer(d, node_id)->full && run_whole(d, node_id) != SES_OK) {
            continue; /* again at the next turn */
        }
    }
}

static void compare_some(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    const uint64_t turn = d->sync.turn;
    enum ses_err err;
    if (turn % OLDER_TURNS == 0) {
        err = run_whole(d, node_id);
    } else {
        const struct sync_start start = {.node_id = node_id,
                                         .params = params_of(d, turn % WHOLE_TURNS == 0, false),
                                         .fetches = true};
        err = ses_sync_run(d, &start);
    }
    d->stats.limits_hit += err == SES_ERR_FULL ? 1 : 0;
}

void ses_sync_offer(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    const struct sync_start start = {.node_id = node_id, .params = params_of(d, true, true)};
    if (d->sync.seat.num_swarms != 0 && ses_sync_run(d, &start) == SES_ERR_FULL) {
        d->stats.limits_hit++; /* it finds out by itself */
    }
}

/* ---- before the freeze ---- */
struct freeze {
    unsigned left, cnt;
    void (*done)(void *cookie, unsigned cnt);
    void *cookie;
};

static void freeze_end(struct freeze *f)
{
    if (--f->left > 0) {
        return;
    }
    if (f->done != NULL) {
        f->done(f->cookie, f->cnt);
    }
    ses_free(f);
}

static void on_freeze(void *cookie, const struct sync_result *result)
{
    struct freeze *f = cookie;
    f->cnt += result->complete ? 1 : 0;
    freeze_end(f);
}

void ses_sync_before_freeze(struct ses_daemon *d, void (*done)(void *cookie, unsigned cnt),
                            void *cookie)
{
    uint32_t partners[SES_MEMBERS_MAX];
    struct freeze *f = ses_alloc(1, sizeof *f);
    if (f == NULL) {
        if (done != NULL) {
            done(cookie, 0);
        }
        return;
    }
    *f = (struct freeze){.left = 1, .done = done, .cookie = cookie};
    const uint32_t cnt = ses_sync_partners(d, partners, SES_MEMBERS_MAX);
    for (uint32_t i = 0; i < cnt && f->left < 3; i++) {
        const struct sync_start start = {.node_id = &d->map->nodes[partners[i]].row.node_id,
                                         .params = params_of(d, true, true),
                                         .fetches = true,
                                         .done = on_freeze,
                                         .cookie = f};
        f->left += ses_sync_run(d, &start) == SES_OK ? 1 : 0;
    }
    freeze_end(f);
}

/* One freezeSeconds ahead of F_e, once an epoch. */
static void freeze_turn(struct ses_daemon *d)
{
    const uint64_t now_ms = ses_daemon_now(d);
    const uint64_t ahead_ms = 2 * d->times.freeze_s * 1000;
    const uint64_t epoch = ses_epoch_at(&d->times, (now_ms + ahead_ms) / 1000);
    if (epoch != d->sync.freeze_epoch &&
        now_ms + ahead_ms >= ses_epoch_start_ms(&d->times, epoch)) {
        d->sync.freeze_epoch = epoch;
        ses_sync_before_freeze(d, NULL, NULL);
    }
}

/* ---- the wheel ---- */
static void turn(void *cookie);

static void turn_later(struct ses_daemon *d, uint64_t delay_ms)
{
    const uint64_t spread_ms = ses_random_below(d->p.random, delay_ms / 4 + 1);
    if (d->p.loop->timer_start(d->p.loop->ctx, &d->sync.timer, delay_ms + spread_ms, turn, d) !=
        SES_OK) {
        d->sync.timer = NULL;
        ses_logf(d->p.log, SES_LOG_ERROR, MODULE, "no timer to reconcile: out of memory");
    }
}

void ses_sync_soon(struct ses_daemon *d)
{
    struct sync *s = &d->sync;
    s->hurried = true;
    if (s->timer != NULL) { /* else a turn is running, or none will come */
        d->p.loop->timer_stop(d->p.loop->ctx, s->timer);
        turn_later(d, FIRST_MS);
    }
}

static void turn(void *cookie)
{
    struct ses_daemon *d = cookie;
    struct sync *s = &d->sync;
    uint32_t partners[SES_MEMBERS_MAX];
    s->timer = NULL;
    s->hurried = false;
    if (s->fetching == NULL || ses_daemon_mono(d) >= s->fetch_until_ms) {
        ses_sync_wake(d);
    }
    s->turn++;
    const uint32_t cnt = ses_sync_partners(d, partners, SES_MEMBERS_MAX);
    if (!d->draining && s->seat.num_swarms != 0 && !SES_MUTANT(NOTHING_FETCHED)) {
        ses_sync_settled(d);
        if (s->partial && !ses_bulk_busy(d)) {
            catch_up(d);
        } else if (!s->partial && cnt > 0 && !SES_MUTANT_UNHEALED) {
            compare_some(d, &d->map->nodes[partners[0]].row.node_id);
            freeze_turn(d);
        }
        ses_bulk_pump(d);
    }
    if (!d->draining) {
        ses_leave_turn(d);
        ses_heal_turn(d);
        ses_relay_turn(d);
    }
    turn_later(d, s->hurried ? FIRST_MS : s->partial ? s->base_ms / 4 : s->base_ms);
}

/* ---- seats ---- */
void ses_sync_follow_map(struct ses_daemon *d)
{
    struct sync *s = &d->sync;
    const struct ses_sync_set old = s->seat;
    s->seat = (struct ses_sync_set){0};
    if (d->map != NULL && d->swarm != SES_SWARM_NONE) {
        s->seat = (struct ses_sync_set){.num_swarms = d->map->num_swarms, .swarm = d->swarm};
    }
    /* it was elsewhere for an epoch whose map it never saw */
    const bool was_away = s->seat.num_swarms != 0 && d->swarm_from_epoch > s->map_epoch;
    s->map_epoch = d->map != NULL ? d->map->epoch : 0;
    if (s->seat.num_swarms == old.num_swarms && s->seat.swarm == old.swarm && !was_away) {
        return;
    }
    ses_bulk_forget(d);
    if (!is_part(&s->seat, &old) || was_away) {
        begin_partial(d);
    }
    ses_leave_forget(d, true);
    ses_sync_soon(d);
}

enum ses_err ses_sync_start(struct ses_daemon *d)
{
    struct sync *s = &d->sync;
    const uint64_t base_ms = d->times.epoch_s * 1000 / EPOCH_BASES;
    s->base_ms = base_ms < BASE_MIN_MS   ? BASE_MIN_MS
                 : base_ms > BASE_MAX_MS ? BASE_MAX_MS
                                         : base_ms;
    begin_partial(d);
    s->leave.owed = true;
    ses_store_listen_damage(d->p.store, ses_heal_damage, d);
    return d->p.loop->timer_start(d->p.loop->ctx, &s->timer, FIRST_MS, turn, d);
}

void ses_sync_stop(struct ses_daemon *d)
{
    d->p.loop->timer_stop(d->p.loop->ctx, d->sync.timer);
    d->sync.timer = NULL;
    ses_sync_wake(d); /* and ends what waited */
    ses_bulk_forget(d);
    ses_leave_forget(d, false);
}

void ses_sync_free(struct ses_daemon *d)
{
    SES_ASSERT(d->sync.runs == NULL && d->sync.reply_cnt == 0);
    d->p.loop->timer_stop(d->p.loop->ctx, d->sync.timer);
    ses_bulk_forget(d);
    ses_leave_forget(d, false);
    ses_heal_free(d);
}
