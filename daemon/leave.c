/* What this node holds of inboxes that another swarm serves now: after it moved, or after its swarm
 * was split. It is forgotten when the grace epoch is over and W members of that swarm hold all of
 * it: their sums of every segment are ours, or comparing shows that they lack nothing. What a
 * member lacks is offered to it. */
#include "daemon/daemon_internal.h"

#define ROUND_TURNS 12u

struct leave_ask {
    struct ses_daemon *d;
    uint64_t generation;
    uint32_t swarm; /* number, or index */
    struct ses_node_id node_id;
};

void ses_leave_forget(struct ses_daemon *d, bool owed)
{
    struct leave *l = &d->sync.leave;
    for (uint32_t i = 0; i < l->swarm_cnt; i++) {
        ses_free(l->swarms[i].segments);
    }
    ses_free(l->swarms);
    *l = (struct leave){.owed = owed, .generation = l->generation + 1};
}

static struct leave *leave_of(struct leave_ask *ask)
{
    struct leave *l = &ask->d->sync.leave;
    return ask->d->closing || l->generation != ask->generation ? NULL : l;
}

static void ask_end(struct leave_ask *ask)
{
    struct ses_daemon *d = ask->d;
    struct leave *l = leave_of(ask);
    if (l != NULL) {
        l->busy = false;
    }
    ses_free(ask);
    if (l != NULL && !d->draining) {
        ses_leave_turn(d);
    }
    ses_daemon_release(d);
}

static struct leave_ask *ask_new(struct ses_daemon *d, uint32_t swarm)
{
    struct leave_ask *ask = ses_alloc(1, sizeof *ask);
    if (ask != NULL) {
        ask->d = d;
        ask->swarm = swarm;
        ask->generation = d->sync.leave.generation;
        d->sync.leave.busy = true;
        ses_daemon_hold(d);
    }
    return ask;
}

/* It could not be asked: the wheel comes again. */
static void ask_drop(struct leave_ask *ask)
{
    struct ses_daemon *d = ask->d;
    d->sync.leave.busy = false;
    ses_free(ask);
    ses_daemon_release(d);
}

/* ---- which swarms ---- */
static bool note_swarm(struct leave *l, uint32_t swarm, const struct ses_segments_result *result)
{
    if (l->swarm_cnt == LEAVE_SWARMS_MAX) {
        return false;
    }
    struct leave_swarm *s = &l->swarms[l->swarm_cnt];
    *s = (struct leave_swarm){.swarm = swarm};
    s->segments = ses_alloc(result->segment_cnt, sizeof *s->segments);
    if (s->segments == NULL) {
        return false;
    }
    s->segment_cnt = (uint32_t)result->segment_cnt;
    for (size_t i = 0; i < result->segment_cnt; i++) {
        reconcile_segment_of(&s->segments[i].id, &result->segments[i].id);
        s->segments[i].sum = result->segments[i].sum;
    }
    l->swarm_cnt++;
    return true;
}

static void on_listed(void *cookie, const struct ses_segments_result *result)
{
    struct leave_ask *ask = cookie;
    struct leave *l = leave_of(ask);
    if (l != NULL && result->err == SES_OK) {
        l->listed = ask->swarm + 1;
        l->unlisted |= result->segment_cnt > 0 && !note_swarm(l, ask->swarm, result);
    }
    ask_end(ask);
}

static void list_swarm(struct ses_daemon *d, uint32_t swarm)
{
    const struct ses_view view = {
        .epoch = SES_EPOCH_LIVE, .swarm = swarm, .num_swarms = d->map->num_swarms};
    struct leave_ask *ask = ask_new(d, swarm);
    if (ask != NULL && ses_store_segments(d->p.store, &view, 0, on_listed, ask) != SES_OK) {
        ask_drop(ask);
    }
}

static void count_foreign(void *cookie, const struct ses_foreign *foreign)
{
    *(uint64_t *)cookie += foreign->record_cnt;
}

static bool has_foreign(const struct ses_daemon *d)
{
    uint64_t cnt = 0;
    ses_store_foreign(d->p.store, count_foreign, &cnt);
    return cnt > 0;
}

/* ---- asking a member ---- */
static void agree(struct leave *l, const struct leave_ask *ask)
{
    struct leave_swarm *s = &l->swarms[ask->swarm];
    for (uint32_t i = 0; i < s->agreed_cnt; i++) {
        if (ses_equal(&s->agreed[i], &ask->node_id, sizeof s->agreed[i])) {
            return;
        }
    }
    if (s->agreed_cnt < SES_MEMBERS_MAX) {
        s->agreed[s->agreed_cnt++] = ask->node_id;
    }
}

static void on_compared(void *cookie, const struct sync_result *result)
{
    struct leave_ask *ask = cookie;
    struct leave *l = leave_of(ask);
    if (l != NULL && result->err == SES_OK && result->covers) {
        agree(l, ask);
    }
    ask_end(ask);
}

static void compare(struct leave_ask *ask, const struct leave *l)
{
    struct ses_daemon *d = ask->d;
    const struct ses_sync_set set = {.num_swarms = d->map->num_swarms,
                                     .swarm = l->swarms[ask->swarm].swarm};
    const struct sync_start start = {.node_id = &ask->node_id,
                                     .params = {.set = set, .whole = true},
                                     .done = on_compared,
                                     .cookie = ask};
    if (ses_sync_run(d, &start) != SES_OK) {
        ask_end(ask);
    }
}

/* It has every segment that we had when the round began, with the same sum. Both lists are in
 * order. */
static bool holds_all(const struct sync_sums *theirs, const struct leave_swarm *s)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < s->segment_cnt; i++) {
        const struct ses_sync_segment *own = &s->segments[i];
        while (at < theirs->sum_cnt && ses_segment_before(&theirs->sums[at].id, &own->id)) {
            at++;
        }
        if (at == theirs->sum_cnt || ses_segment_before(&own->id, &theirs->sums[at].id) ||
            !ses_equal(&own->sum.hash, &theirs->sums[at].sum.hash, 32)) {
            return false;
        }
    }
    return true;
}

static void on_sums(void *cookie, const struct sync_sums *result)
{
    struct leave_ask *ask = cookie;
    struct leave *l = leave_of(ask);
    if (l == NULL || result->err != SES_OK) {
        ask_end(ask);
    } else if (holds_all(result, &l->swarms[ask->swarm])) {
        agree(l, ask);
        ask_end(ask);
    } else {
        compare(ask, l);
    }
}

static void ask_sums(struct leave_ask *ask)
{
    struct ses_daemon *d = ask->d;
    const struct ses_sync_set set = {.num_swarms = d->map->num_swarms,
                                     .swarm = d->sync.leave.swarms[ask->swarm].swarm};
    if (ses_sync_ask_sums(d, &ask->node_id, &set, on_sums, ask) != SES_OK) {
        ask_drop(ask);
    }
}

/* ---- one thing at a time ---- */
static bool is_settled(const struct ses_daemon *d, const struct leave_swarm *s, uint32_t *members,
                       uint32_t *active)
{
    (void)ses_map_members(d->map, s->swarm, members, SES_MEMBERS_MAX, active);
    return *active > 0 && s->agreed_cnt >= ses_write_quorum(*active);
}

/* The next member that was not asked in this round; false at the end of the round. */
static bool ask_next(struct ses_daemon *d, bool *settled)
{
    struct leave *l = &d->sync.leave;
    uint32_t members[SES_MEMBERS_MAX];
    uint32_t active = 0;
    *settled = true;
    for (uint32_t i = 0; i < l->swarm_cnt; i++) {
        struct leave_swarm *s = &l->swarms[i];
        if (is_settled(d, s, members, &active)) {
            continue;
        }
        *settled = false;
        if (s->asked_cnt < active) {
            const struct ses_node_id *node_id = &d->map->nodes[members[s->asked_cnt++]].row.node_id;
            struct leave_ask *ask = ask_new(d, i);
            if (ask != NULL) {
                ask->node_id = *node_id;
                ask_sums(ask);
            }
            return ask != NULL;
        }
    }
    return false;
}

/* Reads of the previous map are served for its grace epoch. */
static bool grace_over(const struct ses_daemon *d)
{
    const struct ses_map_node *own =
        d->previous != NULL ? ses_map_find(d->previous, &d->p.node_id) : NULL;
    if (own == NULL || own->row.swarm == SES_SWARM_NONE) {
        return true;
    }
    const struct ses_sync_set *seat = &d->sync.seat;
    return seat->num_swarms != 0 && d->previous->num_swarms >= seat->num_swarms &&
           own->row.swarm % seat->num_swarms == seat->swarm;
}

static void on_dropped(void *cookie, enum ses_err err, uint64_t record_cnt)
{
    struct leave_ask *ask = cookie;
    struct ses_daemon *d = ask->d;
    if (err == SES_OK) {
        ses_logf(d->p.log, SES_LOG_INFO, MODULE,
                 "forgot what another swarm serves now records=%llu",
                 (unsigned long long)record_cnt);
        d->stats.foreign_dropped += record_cnt;
    }
    if (leave_of(ask) != NULL && err == SES_OK) {
        ses_leave_forget(d, false);
    }
    ask_end(ask);
}

static void drop(struct ses_daemon *d)
{
    struct leave_ask *ask = ask_new(d, 0);
    if (ask != NULL && ses_store_drop_foreign(d->p.store, on_dropped, ask) != SES_OK) {
        ask_drop(ask);
    }
}

static void round_end(struct ses_daemon *d)
{
    struct leave *l = &d->sync.leave;
    for (uint32_t i = 0; i < l->swarm_cnt; i++) {
        ses_free(l->swarms[i].segments);
    }
    l->swarm_cnt = 0; /* agreed with what was there; the next round looks again */
    l->listed = 0;
    l->unlisted = false;
    l->next_ms = ses_daemon_mono(d) + ROUND_TURNS * d->sync.base_ms;
}

void ses_leave_turn(struct ses_daemon *d)
{
    struct leave *l = &d->sync.leave;
    bool settled = false;
    if (!l->owed || l->busy || d->map == NULL || ses_daemon_mono(d) < l->next_ms) {
        return;
    }
    if (l->listed == 0 && !has_foreign(d)) {
        l->owed = false;
        return;
    }
    l->in_grace = l->listed == 0 ? !grace_over(d) : l->in_grace;
    if (l->swarms == NULL) {
        l->swarms = ses_alloc(LEAVE_SWARMS_MAX, sizeof *l->swarms);
    }
    const uint32_t own = d->sync.seat.num_swarms != 0 ? d->sync.seat.swarm : SES_SWARM_NONE;
    l->listed += l->listed == own ? 1 : 0;
    if (l->swarms == NULL) {
        return;
    }
    if (l->listed < d->map->num_swarms) {
        list_swarm(d, l->listed);
    } else if (!ask_next(d, &settled)) {
        if (settled && !l->unlisted && !l->in_grace && grace_over(d)) {
            drop(d);
        }
        if (!l->busy) {
            round_end(d);
        }
    }
}
