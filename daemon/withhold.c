/* A member's audit draws leaves of what it committed to, and everybody can compute which. They are
 * not given to it until its response is on chain or its epoch is over: copying a root and fetching
 * two leaves must not pass. What counts is our own root of that epoch: a member that committed to
 * another one has to open other leaves, and is deviant.
 *
 *     it asks ─► learn what is drawn ─► withhold ─► is the response on chain? ─► offer
 *
 * The chain is asked when something is withheld, and nobody waits for its answer. */
#include "daemon/daemon_internal.h"

#define ASK_SHARE 60u /* of an epoch: how often the chain is asked of one member */

/* ---- whether it is over ---- */
struct inquiry {
    struct ses_daemon *d;
    struct ses_node_id node_id;
};

/* The response is there, or none can come any more: a block of its epoch would be older than this.
 * Otherwise nobody would give anything while no blocks come. */
static bool is_over(const struct ses_daemon *d, const struct sync_peer *peer)
{
    return d->map != NULL &&
           ((peer->responded_epoch != 0 && peer->responded_epoch == d->map->epoch) ||
            ses_daemon_now(d) >=
                ses_epoch_start_ms(&d->times, d->map->epoch + 1) + d->times.freeze_s * 1000);
}

static void on_standing(void *cookie, enum ses_err err, const struct ses_chain_standing *standing,
                        const struct ses_note *note)
{
    struct inquiry *q = cookie;
    struct ses_daemon *d = q->d;
    d->sync.inquiring = false;
    if (err != SES_OK) {
        ses_logf(d->p.log, SES_LOG_DEBUG, MODULE, "no word of the chain on a member's audit: %s",
                 note != NULL && note->text[0] != '\0' ? note->text : ses_err_text(err));
    } else if (standing->challenges.duty.responded) {
        ses_sync_peer(d, &q->node_id)->responded_epoch = standing->challenges.duty.epoch;
        ses_sync_offer(d, &q->node_id); /* it would ask again, but some minutes later */
    }
    ses_free(q);
    ses_daemon_release(d);
}

/* One question at a time: a chain that answers slowly must not keep all workers busy. */
static void inquire(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    const uint64_t mono_ms = ses_daemon_mono(d);
    struct sync_peer *peer = ses_sync_peer(d, node_id);
    if (d->p.chain.standing == NULL || !d->follow.ok || d->closing || d->sync.inquiring ||
        mono_ms < peer->ask_ms) {
        return;
    }
    struct inquiry *q = ses_alloc(1, sizeof *q);
    if (q == NULL) {
        return;
    }
    const uint64_t share_ms = d->times.epoch_s * 1000 / ASK_SHARE;
    const uint64_t block_ms = d->p.chain_params.params.block_seconds * 1000;
    peer->ask_ms = mono_ms + (share_ms > block_ms ? share_ms : block_ms);
    *q = (struct inquiry){.d = d, .node_id = *node_id};
    if (d->p.chain.standing(d->p.chain.ctx, node_id, 0, on_standing, q) != SES_OK) {
        ses_free(q);
        return;
    }
    d->sync.inquiring = true;
    ses_daemon_hold(d);
}

/* ---- what is drawn ---- */
struct learn {
    struct ses_daemon *d;
    struct ses_node_id node_id;
    uint64_t epoch; /* whose response shows the leaves */
    void (*done)(void *cookie, enum ses_err err);
    void *cookie;
};

/* A position of the audit, as the chain draws it (registry page, Epochs, step 7). */
static uint64_t position_of(const struct ses_map *map, const struct ses_node_id *node_id,
                            const struct ses_snapshot *snapshot, uint32_t j)
{
    uint8_t number[4];
    ses_put_u32(number, j);
    return ses_draw("audit", snapshot->count,
                    SES_PARTS(SES_PART(map->seed.bytes, 32), SES_PART(node_id->bytes, 20),
                              SES_PART(snapshot->root.bytes, 32), SES_PART(number, 4)));
}

/* Without the draw everything is withheld, so it matters here, too, whether the audit is over. */
static void learnt(struct ses_daemon *d, const struct ses_node_id *node_id, enum ses_err err,
                   void (*done)(void *cookie, enum ses_err err), void *cookie)
{
    if (err != SES_OK) {
        inquire(d, node_id);
    }
    done(cookie, err);
}

static void on_drawn(void *cookie, enum ses_err err, const struct ses_leaf *leaves, size_t leaf_cnt)
{
    struct learn *l = cookie;
    struct ses_daemon *d = l->d;
    struct sync_peer *peer = ses_sync_peer(d, &l->node_id);
    if (err == SES_OK) {
        struct ses_hash *withheld = d->sync.withheld[peer - d->sync.peers];
        peer->audit_epoch = l->epoch;
        peer->withheld_cnt = 0;
        for (size_t i = 0; i < leaf_cnt && i < SYNC_WITHHELD_MAX; i++) {
            memcpy(withheld[peer->withheld_cnt++].bytes, leaves[i].key.bytes + 32, 32);
        }
    }
    learnt(d, &l->node_id, err, l->done, l->cookie);
    ses_free(l);
    ses_daemon_release(d);
}

static enum ses_err ask(struct ses_daemon *d, const struct ses_node_id *node_id,
                        const struct ses_snapshot *snapshot,
                        void (*done)(void *cookie, enum ses_err err), void *cookie)
{
    uint64_t positions[SYNC_WITHHELD_MAX];
    const uint64_t audit_leaves = d->p.chain_params.params.audit_leaves;
    const size_t cnt = audit_leaves < SYNC_WITHHELD_MAX ? (size_t)audit_leaves : SYNC_WITHHELD_MAX;
    const struct ses_view view = {.epoch = snapshot->epoch};
    struct learn *l = ses_alloc(1, sizeof *l);
    SES_REQUIRE(l != NULL, SES_ERR_MEMORY);
    *l = (struct learn){
        .d = d, .node_id = *node_id, .epoch = d->map->epoch, .done = done, .cookie = cookie};
    for (uint32_t j = 0; j < cnt; j++) {
        positions[j] = position_of(d->map, node_id, snapshot, j);
    }
    const enum ses_err err = ses_store_leaves_at(d->p.store, &view, positions, cnt, on_drawn, l);
    if (err != SES_OK) {
        ses_free(l);
        return err;
    }
    ses_daemon_hold(d);
    return SES_OK;
}

/* It had a seat with us when the epoch that is audited ended. */
static bool is_audited(const struct ses_daemon *d, const struct ses_node_id *node_id)
{
    const struct ses_map_node *own =
        d->previous != NULL ? ses_map_find(d->previous, &d->p.node_id) : NULL;
    const struct ses_map_node *node =
        d->previous != NULL ? ses_map_find(d->previous, node_id) : NULL;
    return own != NULL && node != NULL && own->row.swarm != SES_SWARM_NONE &&
           node->row.swarm == own->row.swarm && d->map->epoch > 0;
}

/* What its running audit draws is still to be learnt, from this snapshot. */
static bool is_unknown(struct ses_daemon *d, const struct ses_node_id *node_id,
                       struct ses_snapshot *snapshot)
{
    const struct sync_peer *peer = ses_sync_peer(d, node_id);
    return d->map != NULL && peer->audit_epoch != d->map->epoch && !is_over(d, peer) &&
           is_audited(d, node_id) &&
           ses_store_snapshot_get(d->p.store, snapshot, d->map->epoch - 1) == SES_OK &&
           snapshot->count > 0;
}

bool ses_withhold_known(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    struct ses_snapshot snapshot;
    return !is_unknown(d, node_id, &snapshot);
}

bool ses_withhold_concerns(const struct ses_daemon *d, uint64_t ts_ms)
{
    return d->map != NULL && d->map->epoch > 0 &&
           ts_ms + d->times.settle_s * 1000 < ses_epoch_start_ms(&d->times, d->map->epoch - 1);
}

void ses_withhold_learn(struct ses_daemon *d, const struct ses_node_id *node_id,
                        void (*done)(void *cookie, enum ses_err err), void *cookie)
{
    struct ses_snapshot snapshot;
    enum ses_err err = SES_OK;
    if (is_unknown(d, node_id, &snapshot)) {
        err = ask(d, node_id, &snapshot, done, cookie);
        if (err == SES_OK) {
            return;
        }
    }
    learnt(d, node_id, err, done, cookie);
}

static bool is_drawn(struct ses_daemon *d, const struct ses_node_id *node_id,
                     const struct ses_hash *id)
{
    const struct sync_peer *peer = ses_sync_peer(d, node_id);
    const struct ses_hash *withheld = d->sync.withheld[peer - d->sync.peers];
    bool found = false;
    for (uint32_t i = 0; i < peer->withheld_cnt && d->map != NULL; i++) {
        found |= peer->audit_epoch == d->map->epoch && ses_equal(&withheld[i], id, 32);
    }
    return found;
}

bool ses_withhold(struct ses_daemon *d, const struct ses_node_id *node_id,
                  const struct ses_hash *id)
{
    const struct sync_peer *peer = ses_sync_peer(d, node_id);
    const bool other = SES_MUTANT(OTHERS_WITHHELD) && peer->withheld_cnt > 0;
    if (is_over(d, peer) || SES_MUTANT(DRAWN_GIVEN) || !(is_drawn(d, node_id, id) || other)) {
        return false;
    }
    d->stats.sync_withheld++;
    inquire(d, node_id);
    return true;
}
