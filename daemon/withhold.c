/* A member's audit draws leaves of what it committed to, and everybody can compute which. They are
 * not given to it while the audit runs: copying a root and fetching two leaves must not pass. What
 * counts is our own root of that epoch: a member that committed to another one has to open other
 * leaves, and is deviant. */
#include "daemon/daemon_internal.h"

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

static void on_drawn(void *cookie, enum ses_err err, const struct ses_leaf *leaves, size_t leaf_cnt)
{
    struct learn *l = cookie;
    struct ses_daemon *d = l->d;
    struct sync_peer *peer = ses_sync_peer(d, &l->node_id);
    if (err == SES_OK) {
        peer->audit_epoch = l->epoch;
        peer->withheld_cnt = 0;
        for (size_t i = 0; i < leaf_cnt && i < SYNC_WITHHELD_MAX; i++) {
            memcpy(peer->withheld[peer->withheld_cnt++].bytes, leaves[i].key.bytes + 32, 32);
        }
    }
    l->done(l->cookie, err);
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

void ses_withhold_learn(struct ses_daemon *d, const struct ses_node_id *node_id,
                        void (*done)(void *cookie, enum ses_err err), void *cookie)
{
    struct ses_snapshot snapshot;
    const struct sync_peer *peer = ses_sync_peer(d, node_id);
    const bool unknown = d->map != NULL && peer->audit_epoch != d->map->epoch;
    enum ses_err err = SES_OK;
    if (unknown && is_audited(d, node_id) &&
        ses_store_snapshot_get(d->p.store, &snapshot, d->map->epoch - 1) == SES_OK &&
        snapshot.count > 0) {
        err = ask(d, node_id, &snapshot, done, cookie);
        if (err == SES_OK) {
            return;
        }
    }
    done(cookie, err);
}

bool ses_withheld(struct ses_daemon *d, const struct ses_node_id *node_id,
                  const struct ses_hash *id)
{
    const struct sync_peer *peer = ses_sync_peer(d, node_id);
    bool found = false;
    for (uint32_t i = 0; i < peer->withheld_cnt && d->map != NULL; i++) {
        found |= peer->audit_epoch == d->map->epoch && ses_equal(&peer->withheld[i], id, 32);
    }
    return found;
}
