#include "daemon/daemon_internal.h"

#include <inttypes.h>

#define TICK_MS 1000u
#define EXPIRE_TICKS 60u

static void defaults(struct ses_daemon_limits *l)
{
    l->debts_max = l->debts_max != 0 ? l->debts_max : 65536;
    l->waiters_max = l->waiters_max != 0 ? l->waiters_max : 4096;
    l->entry_bytes_max = l->entry_bytes_max != 0 ? l->entry_bytes_max : 64u << 20;
    l->watchers_max = l->watchers_max != 0 ? l->watchers_max : 10000;
    l->watchers_peer_max = l->watchers_peer_max != 0 ? l->watchers_peer_max : 32;
    l->store_rate = l->store_rate != 0 ? l->store_rate : 1000;
    l->read_rate = l->read_rate != 0 ? l->read_rate : 2000;
    l->jobs_max = l->jobs_max != 0 ? l->jobs_max : 1024;
}

/* ---- outstanding callbacks ---- */
static void tell_drained(void *cookie)
{
    struct ses_daemon *d = cookie;
    d->drain_timer = NULL;
    if (d->on_drained != NULL) {
        d->on_drained(d->drain_cookie);
    }
}

/* Through a timer: `on_drained` may free the daemon, and whoever released it is still using it. */
static void check_drained(struct ses_daemon *d)
{
    if (!d->closing || d->busy > 0 || d->drain_timer != NULL) {
        return;
    }
    const enum ses_err err =
        d->p.loop->timer_start(d->p.loop->ctx, &d->drain_timer, 0, tell_drained, d);
    SES_ASSERT(err == SES_OK);
}

void ses_daemon_hold(struct ses_daemon *d)
{
    d->busy++;
}

void ses_daemon_release(struct ses_daemon *d)
{
    SES_ASSERT(d->busy > 0);
    d->busy--;
    check_drained(d);
}

enum ses_err ses_daemon_work(struct ses_daemon *d, void (*run)(void *cookie),
                             void (*done)(void *cookie), void *cookie)
{
    SES_TRY(d->p.loop->work(d->p.loop->ctx, run, done, cookie));
    ses_daemon_hold(d);
    return SES_OK;
}

bool ses_daemon_client_begin(struct ses_daemon *d)
{
    if (d->client_jobs >= d->p.limits.jobs_max) {
        d->stats.limits_hit++;
        return false;
    }
    d->client_jobs++;
    ses_daemon_hold(d);
    return true;
}

void ses_daemon_client_end(struct ses_daemon *d)
{
    SES_ASSERT(d->client_jobs > 0);
    d->client_jobs--;
    ses_daemon_release(d);
}

/* ---- maps and the own seat ---- */
const struct ses_map_node *ses_daemon_node(const struct ses_daemon *d,
                                           const struct ses_node_id *node_id)
{
    const struct ses_map_node *node = d->map != NULL ? ses_map_find(d->map, node_id) : NULL;
    if (node == NULL && d->previous != NULL) {
        node = ses_map_find(d->previous, node_id);
    }
    return node;
}

static uint32_t swarm_in(const struct ses_map *map, const struct ses_node_id *node_id)
{
    const struct ses_map_node *node = map != NULL ? ses_map_find(map, node_id) : NULL;
    const bool seated = node != NULL && node->row.status != SES_NODE_RETIRED;
    return seated ? node->row.swarm : SES_SWARM_NONE;
}

static bool serves_in(const struct ses_daemon *d, const struct ses_map *map,
                      const struct ses_hash *digest)
{
    const uint32_t own = swarm_in(map, &d->p.node_id);
    return own != SES_SWARM_NONE && ses_atlas_digest_swarm(map, digest) == own;
}

bool ses_daemon_serves(const struct ses_daemon *d, const struct ses_hash *digest, bool previous)
{
    return serves_in(d, d->map, digest) || (previous && serves_in(d, d->previous, digest));
}

bool ses_daemon_is_member(const struct ses_daemon *d, const struct ses_node_id *node_id)
{
    const struct ses_map *maps[] = {d->map, d->previous};
    for (size_t i = 0; i < SES_COUNT(maps); i++) {
        const uint32_t own = swarm_in(maps[i], &d->p.node_id);
        if (own != SES_SWARM_NONE && swarm_in(maps[i], node_id) == own) {
            return true;
        }
    }
    return false;
}

uint32_t ses_daemon_quorum(const struct ses_daemon *d)
{
    uint32_t active = 0;
    uint32_t index[SES_MEMBERS_MAX];
    if (d->map != NULL && d->swarm != SES_SWARM_NONE) {
        (void)ses_map_members(d->map, d->swarm, index, SES_MEMBERS_MAX, &active);
    }
    return ses_write_quorum(active);
}

static void take_seat(struct ses_daemon *d)
{
    const struct ses_map_node *own = ses_map_find(d->map, &d->p.node_id);
    const uint32_t before = d->swarm;
    d->registered = own != NULL;
    d->status = own != NULL ? own->row.status : SES_NODE_RETIRED;
    d->swarm = swarm_in(d->map, &d->p.node_id);
    d->swarm_from_epoch = own != NULL ? own->row.swarm_from_epoch : 0;
    const struct ses_store_seat seat = {
        .swarm = d->swarm, .num_swarms = d->map->num_swarms, .from_epoch = d->swarm_from_epoch};
    ses_store_set_seat(d->p.store, &seat);
    if (before != d->swarm && d->swarm != SES_SWARM_NONE) {
        ses_logf(d->p.log, SES_LOG_INFO, MODULE, "seat swarm=%u from_epoch=%" PRIu64, d->swarm,
                 d->swarm_from_epoch);
    } else if (before != d->swarm) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "this node holds no seat any more: %s",
                 ses_daemon_seatless(d));
    }
}

static enum ses_err save_map(struct ses_daemon *d, const char *key, const struct ses_map *map)
{
    struct ses_buf bytes = {0};
    enum ses_err err = ses_atlas_encode(&bytes, map);
    if (err == SES_OK) {
        err = ses_store_meta_set(d->p.store, key, bytes.bytes, bytes.len);
    }
    ses_buf_free(&bytes);
    return err;
}

/* For a restart, which must not go back to an older map; again each second until it is done. */
static void save_maps(struct ses_daemon *d)
{
    const bool first = !d->map_owed;
    enum ses_err err = save_map(d, "map", d->map);
    if (err == SES_OK && d->previous != NULL) {
        err = save_map(d, "map-previous", d->previous);
    }
    d->map_owed = err != SES_OK;
    if (err != SES_OK && first) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE,
                 "cannot keep the map for a restart, tries again: %s", ses_err_text(err));
    }
}

static void apply_maps(struct ses_daemon *d)
{
    take_seat(d);
    ses_members_follow_map(d);
    ses_replicas_follow_map(d);
    ses_watch_follow_map(d);
    ses_sync_follow_map(d);
    for (struct debt *debt = d->debts.first, *next; debt != NULL; debt = next) {
        next = debt->next;
        ses_debt_aim(debt);
    }
    ses_members_pump(d);
}

void ses_daemon_install(struct ses_daemon *d, struct ses_map *map, struct ses_plan *plan)
{
    ses_free(d->epochs.plan);
    d->epochs.plan = plan;
    ses_logf(d->p.log, SES_LOG_INFO, MODULE, "map epoch=%" PRIu64 " nodes=%u swarms=%u", map->epoch,
             map->node_cnt, map->num_swarms);
    if (d->map != NULL && d->map->epoch == map->epoch) {
        ses_atlas_free(d->map);
    } else {
        ses_atlas_free(d->previous);
        d->previous = d->map;
    }
    d->map = map;
    d->map_owed = false;
    save_maps(d);
    apply_maps(d);
}

static struct ses_map *load_map(struct ses_daemon *d, const char *key)
{
    struct ses_map *map = NULL;
    struct ses_buf bytes = {0};
    enum ses_err err = ses_store_meta_get(d->p.store, key, &bytes);
    if (err == SES_OK) {
        err = ses_atlas_decode(&map, bytes.bytes, bytes.len, &d->p.chain_params.chain_id);
    }
    if (err != SES_OK && err != SES_ERR_NOT_FOUND) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "the saved map cannot be used: %s",
                 ses_err_text(err));
    }
    ses_buf_free(&bytes);
    return map;
}

enum ses_err ses_daemon_find_node(const struct ses_daemon *d, const struct ses_node_id *node_id,
                                  struct ses_dsa_pk *out)
{
    const struct ses_map_node *node = ses_daemon_node(d, node_id);
    SES_REQUIRE(node != NULL && node->row.status != SES_NODE_RETIRED, SES_ERR_NOT_FOUND);
    *out = node->keys.public_key;
    return SES_OK;
}

/* ---- a store belongs to one node and one chain ---- */
static enum ses_err claim(struct ses_daemon *d, const char *key, const void *value, size_t len,
                          const char *advice, struct ses_note *note)
{
    struct ses_buf old = {0};
    enum ses_err err = ses_store_meta_get(d->p.store, key, &old);
    if (err == SES_ERR_NOT_FOUND) {
        err = ses_store_meta_set(d->p.store, key, value, len);
    } else if (err == SES_OK && (old.len != len || !ses_equal(old.bytes, value, len))) {
        ses_note_set(note, "%s", advice);
        err = SES_ERR_CONFIG;
    }
    ses_buf_free(&old);
    return err;
}

static enum ses_err claim_store(struct ses_daemon *d, struct ses_note *note)
{
    SES_TRY(claim(d, "node", d->p.node_id.bytes, sizeof d->p.node_id.bytes,
                  "the data directory belongs to another node: use the key file that was created "
                  "with it, or an empty directory",
                  note));
    return claim(d, "chain", d->p.chain_params.chain_id.bytes,
                 sizeof d->p.chain_params.chain_id.bytes,
                 "the data directory belongs to another chain: correct `chain`, or use an empty "
                 "directory",
                 note);
}

/* ---- upkeep ---- */
static void log_stats(struct ses_daemon *d)
{
    struct ses_store_stats s;
    ses_store_stats(d->p.store, &s);
    ses_logf(d->p.log, SES_LOG_INFO, MODULE,
             "minute stores=%" PRIu64 " stored=%" PRIu64 " pending=%" PRIu64 " retrieves=%" PRIu64
             " records=%" PRIu64 " disk_bytes=%" PRIu64 " free_bytes=%" PRIu64
             " debts=%u watchers=%u epoch=%" PRIu64 " height=%" PRIu64 " chain=%s",
             d->stats.stores, d->stats.stored, d->stats.pending_answers, d->stats.retrieves,
             s.record_cnt, s.disk_bytes, s.free_bytes, d->debts.cnt, d->watchers.cnt,
             d->map != NULL ? d->map->epoch : 0, d->follow.head.height,
             d->follow.ok ? "ok" : "unreachable");
    if (s.entry_refused) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE,
                 "the disk is nearly full: new messages are refused until space is freed");
    }
}

/* What expires is gone: a clock that ran ahead of the chain by more than an epoch is not believed
 * with it while the chain answers. (Readers go by the clock: they only wait until it is right.) */
static bool clock_ran_ahead(const struct ses_daemon *d)
{
    return d->follow.ok &&
           ses_epoch_at(&d->times, ses_daemon_now(d) / 1000) > d->follow.head.epoch + 1;
}

static void expire(struct ses_daemon *d)
{
    if (clock_ran_ahead(d)) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE,
                 "this machine's clock is ahead of the chain by epochs: nothing expires until it "
                 "is right");
        return;
    }
    ses_debts_expire(d);
    ses_store_expire(d->p.store);
}

static void tick(void *cookie)
{
    struct ses_daemon *d = cookie;
    d->tick = NULL;
    d->tick_cnt++;
    ses_store_measure(d->p.store);
    ses_members_check(d);
    ses_watch_check(d);
    ses_debts_reload(d);
    if (d->map_owed && !d->closing) {
        save_maps(d);
    }
    if (d->tick_cnt % EXPIRE_TICKS == 0) {
        expire(d);
        log_stats(d);
    }
    if (d->closing ||
        d->p.loop->timer_start(d->p.loop->ctx, &d->tick, TICK_MS, tick, d) == SES_OK) {
        return;
    }
    ses_logf(d->p.log, SES_LOG_ERROR, MODULE, "no timer for upkeep: out of memory");
}

/* ---- life ---- */
static enum ses_err serve_all(struct ses_daemon *d)
{
    struct ses_net *net = d->p.net;
    SES_TRY(ses_net_serve(net, SES_PROTO_STORE, ses_entry_serve, d));
    SES_TRY(ses_net_serve(net, SES_PROTO_DELETE, ses_delete_serve, d));
    SES_TRY(ses_net_serve(net, SES_PROTO_RETRIEVE, ses_read_serve, d));
    SES_TRY(ses_net_serve(net, SES_PROTO_INFO, ses_info_serve, d));
    SES_TRY(ses_net_serve(net, SES_PROTO_REGISTRY, ses_registry_serve, d));
    SES_TRY(ses_net_serve(net, SES_PROTO_PROBE, ses_probe_serve, d));
    SES_TRY(ses_net_accept(net, SES_PROTO_REPLICATE, ses_replica_accept, d));
    SES_TRY(ses_net_accept(net, SES_PROTO_WATCH, ses_watch_accept, d));
    SES_TRY(ses_net_serve(net, SES_PROTO_SYNC, ses_sync_serve, d));
    SES_TRY(ses_net_serve(net, SES_PROTO_BULK, ses_bulk_serve, d));
    ses_store_listen(d->p.store, ses_watch_wake, d);
    return SES_OK;
}

static void set_times(struct ses_daemon *d)
{
    const struct ses_chain_params *c = &d->p.chain_params;
    d->times.genesis_s = c->genesis_timestamp;
    d->times.epoch_s = c->params.epoch_seconds;
    d->times.settle_s = c->params.settle_seconds;
    d->times.freeze_s = c->params.freeze_seconds;
}

/* For the map of a former run; later ones come with theirs. */
static enum ses_err plan_map(struct ses_daemon *d)
{
    d->epochs.plan = ses_alloc(1, sizeof *d->epochs.plan);
    SES_REQUIRE(d->epochs.plan != NULL, SES_ERR_MEMORY);
    return ses_plan_make(d->epochs.plan, d->map, &d->p.node_id, &d->p.chain_params);
}

static enum ses_err start(struct ses_daemon *d, struct ses_note *note)
{
    SES_TRY(claim_store(d, note));
    SES_TRY(ses_debts_init(d));
    SES_TRY(serve_all(d));
    SES_TRY(d->p.loop->timer_start(d->p.loop->ctx, &d->tick, TICK_MS, tick, d));
    d->map = load_map(d, "map");
    d->previous = load_map(d, "map-previous");
    if (d->map != NULL) {
        SES_TRY(plan_map(d));
        apply_maps(d);
    }
    d->debts.spilled = !SES_MUTANT(DEBTS_FORGOTTEN); /* takes up what a former run left */
    ses_debts_reload(d);
    ses_follow_start(d);
    SES_TRY(ses_sync_start(d));
    return ses_epochs_start(d);
}

enum ses_err ses_daemon_new(struct ses_daemon **out, const struct ses_daemon_params *params,
                            struct ses_note *note)
{
    *out = NULL;
    struct ses_daemon *d = ses_alloc(1, sizeof *d);
    SES_REQUIRE(d != NULL, SES_ERR_MEMORY);
    d->p = *params;
    d->swarm = SES_SWARM_NONE;
    defaults(&d->p.limits);
    set_times(d);
    ses_random_fill(d->p.random, d->meters.secret, sizeof d->meters.secret);
    ses_members_init(d);
    const enum ses_err err = start(d, note);
    if (err != SES_OK) {
        d->p.loop->timer_stop(d->p.loop->ctx, d->tick);
        ses_daemon_free(d);
        return err;
    }
    *out = d;
    return SES_OK;
}

/* Second half: nothing new comes, what is left is told and closed. */
static void close_all(void *cookie)
{
    struct ses_daemon *d = cookie;
    d->drain_timer = NULL;
    d->closing = true;
    ses_follow_stop(d);
    ses_epochs_stop(d);
    ses_sync_stop(d);
    d->p.loop->timer_stop(d->p.loop->ctx, d->tick);
    d->tick = NULL;
    ses_debts_answer_all(d);
    ses_members_close(d);
    ses_replicas_close(d);
    ses_watch_close(d);
    check_drained(d);
}

static void drain_poll(void *cookie);

/* Polls ten times a second: cheaper than teaching every answer about draining. */
static void drain_step(struct ses_daemon *d, uint64_t left_ms)
{
    d->drain_left_ms = left_ms;
    const uint64_t step_ms = left_ms < 100 ? left_ms : 100;
    const bool idle = d->debts.waiter_cnt == 0 || left_ms == 0;
    const enum ses_err err = d->p.loop->timer_start(
        d->p.loop->ctx, &d->drain_timer, idle ? 0 : step_ms, idle ? close_all : drain_poll, d);
    SES_ASSERT(err == SES_OK);
}

static void drain_poll(void *cookie)
{
    struct ses_daemon *d = cookie;
    d->drain_timer = NULL;
    drain_step(d, d->drain_left_ms > 100 ? d->drain_left_ms - 100 : 0);
}

void ses_daemon_drain(struct ses_daemon *d, uint64_t wait_ms, void (*on_drained)(void *cookie),
                      void *cookie)
{
    SES_ASSERT(!d->draining);
    d->draining = true;
    d->on_drained = on_drained;
    d->drain_cookie = cookie;
    ses_logf(d->p.log, SES_LOG_INFO, MODULE, "draining: %u stores wait for their answer",
             d->debts.waiter_cnt);
    drain_step(d, wait_ms);
}

void ses_daemon_free(struct ses_daemon *d)
{
    if (d == NULL) {
        return;
    }
    SES_ASSERT(d->busy == 0);
    d->p.loop->timer_stop(d->p.loop->ctx, d->drain_timer);
    ses_follow_stop(d);
    ses_epochs_free(d);
    ses_sync_free(d);
    ses_members_free(d);
    ses_debts_free(d);
    ses_atlas_free(d->map);
    ses_atlas_free(d->previous);
    ses_free(d);
}
