/* Whom to compare with, and with whom it was enough. */
#include "daemon/daemon_internal.h"

/* ---- peers ---- */
/* Places of those that asked only go before those of members, whom this node asked: strangers that
 * ask, however many, make it forget nobody. */
static bool goes_before(const struct sync_peer *a, const struct sync_peer *b)
{
    const bool known_a = a->compared || a->strikes > 0 || a->cut_until_ms > 0;
    const bool known_b = b->compared || b->strikes > 0 || b->cut_until_ms > 0;
    if (a->used != b->used) {
        return b->used;
    }
    return known_a != known_b ? known_b : a->used_ms < b->used_ms;
}

struct sync_peer *ses_sync_peer(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    struct sync_peer *oldest = NULL;
    for (uint32_t i = 0; i < SYNC_PEERS; i++) {
        struct sync_peer *peer = &d->sync.peers[i];
        if (peer->used && ses_equal(&peer->node_id, node_id, sizeof *node_id)) {
            peer->used_ms = ses_daemon_mono(d);
            return peer;
        }
        const bool free = !peer->used || peer->replies == 0;
        if (free && (oldest == NULL || goes_before(peer, oldest))) {
            oldest = peer;
        }
    }
    SES_ASSERT(oldest != NULL); /* replies are fewer than places */
    memset(oldest, 0, sizeof *oldest);
    oldest->used = true;
    oldest->node_id = *node_id;
    oldest->used_ms = ses_daemon_mono(d);
    return oldest;
}

static bool is_cut_off(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    return ses_sync_peer(d, node_id)->cut_until_ms > ses_daemon_mono(d);
}

void ses_sync_cut_off(struct ses_daemon *d, const struct ses_node_id *node_id, const char *why)
{
    char text[SES_ID_TEXT_MAX];
    struct sync_peer *peer = ses_sync_peer(d, node_id);
    ses_node_id_text(text, node_id);
    ses_logf(d->p.log, SES_LOG_WARN, MODULE,
             "nothing is fetched from a member for an epoch node=%s why=%s", text, why);
    peer->cut_until_ms =
        SES_MUTANT(NEVER_CUT_OFF) ? 0 : ses_daemon_mono(d) + d->times.epoch_s * 1000;
    peer->strikes = 0;
    d->stats.sync_cut_off++;
}

bool ses_sync_target(const struct ses_daemon *d, const struct ses_node_id *node_id,
                     struct ses_target *out)
{
    const struct ses_map_node *node = ses_daemon_node(d, node_id);
    if (node == NULL) {
        return false;
    }
    out->node_id = *node_id;
    out->public_key = node->keys.public_key;
    out->endpoint = node->endpoint;
    return true;
}

static bool seated(const struct ses_map *map, const struct ses_node_id *node_id,
                   const struct ses_sync_set *set)
{
    const struct ses_map_node *node = map != NULL ? ses_map_find(map, node_id) : NULL;
    return node != NULL && node->row.status != SES_NODE_RETIRED &&
           map->num_swarms == set->num_swarms && node->row.swarm == set->swarm;
}

bool ses_sync_entitled(const struct ses_daemon *d, const struct ses_node_id *node_id,
                       const struct ses_sync_set *set)
{
    return seated(d->map, node_id, set) || seated(d->previous, node_id, set);
}

static void shuffle(const struct ses_daemon *d, uint32_t *index, uint32_t cnt)
{
    for (uint32_t i = cnt; i > 1; i--) {
        const uint32_t k = (uint32_t)ses_random_below(d->p.random, i);
        const uint32_t swap = index[i - 1];
        index[i - 1] = index[k];
        index[k] = swap;
    }
}

uint32_t ses_sync_partners(struct ses_daemon *d, uint32_t *out, uint32_t max)
{
    uint32_t index[SES_MEMBERS_MAX];
    uint32_t active = 0;
    uint32_t cnt = 0;
    if (d->map == NULL || d->swarm == SES_SWARM_NONE) {
        return 0;
    }
    (void)ses_map_members(d->map, d->swarm, index, SES_MEMBERS_MAX, &active);
    for (uint32_t i = 0; i < active && cnt < max; i++) {
        const struct ses_node_id *node_id = &d->map->nodes[index[i]].row.node_id;
        if (!ses_equal(node_id, &d->p.node_id, sizeof *node_id) && !is_cut_off(d, node_id)) {
            out[cnt++] = index[i];
        }
    }
    shuffle(d, out, cnt);
    return cnt;
}

static uint32_t former_of(const struct ses_map *map, uint32_t swarm, enum ses_node_status status,
                          uint32_t *out)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < map->node_cnt && cnt < SES_MEMBERS_MAX; i++) {
        const struct ses_registry_row *row = &map->nodes[i].row;
        if (row->status == status && row->prev_swarm == swarm) {
            out[cnt++] = i;
        }
    }
    return cnt;
}

/* Active nodes that had a seat in a swarm of the epoch before, by its number then; where all of
 * them are being decommissioned, these. */
static uint32_t former_members(const struct ses_map *map, uint32_t swarm, uint32_t *out)
{
    const uint32_t cnt = former_of(map, swarm, SES_NODE_ACTIVE, out);
    return cnt > 0 ? cnt : former_of(map, swarm, SES_NODE_DECOMMISSIONING, out);
}

/* Those that had the seats before of what is stored for this swarm: by its own number; by that of
 * the upper half, if two swarms were merged; and where nobody had this number, by that of the lower
 * half, if one was split. */
static uint32_t former(const struct ses_daemon *d, uint32_t origin, uint32_t *out)
{
    const uint32_t half = d->map->num_swarms / 2;
    if (origin < 2) {
        return former_members(d->map, d->swarm + origin * d->map->num_swarms, out);
    }
    return d->swarm < half || former_members(d->map, d->swarm, out) > 0
               ? 0
               : former_members(d->map, d->swarm - half, out);
}

uint32_t ses_sync_sources(struct ses_daemon *d, uint32_t *out)
{
    uint32_t index[SES_MEMBERS_MAX];
    uint32_t cnt = ses_sync_partners(d, out, SES_MEMBERS_MAX);
    for (uint32_t k = 0; k < SYNC_ORIGINS; k++) {
        const uint32_t former_cnt = former(d, k, index);
        for (uint32_t i = 0; i < former_cnt; i++) {
            const struct ses_registry_row *row = &d->map->nodes[index[i]].row;
            const bool member = row->swarm == d->swarm && row->status == SES_NODE_ACTIVE;
            const bool self = ses_equal(&row->node_id, &d->p.node_id, sizeof row->node_id);
            if (!member && !self && !ses_sync_peer(d, &row->node_id)->compared &&
                !is_cut_off(d, &row->node_id)) {
                out[cnt++] = index[i];
            }
        }
    }
    shuffle(d, out, cnt);
    return cnt;
}

/* ---- enough? ---- */
static bool is_among(const struct ses_daemon *d, const uint32_t *nodes, uint32_t cnt,
                     const struct ses_node_id *node_id)
{
    bool found = false;
    for (uint32_t i = 0; i < cnt && !found; i++) {
        found = ses_equal(&d->map->nodes[nodes[i]].row.node_id, node_id, sizeof *node_id);
    }
    return found;
}

/* How many hold everything by their own word, or anything: then this node counts as well. */
static uint32_t asked(const struct ses_daemon *d, const uint32_t *nodes, uint32_t cnt, bool full)
{
    uint32_t asked_cnt = !full && is_among(d, nodes, cnt, &d->p.node_id) ? 1 : 0;
    for (uint32_t i = 0; i < SYNC_PEERS; i++) {
        const struct sync_peer *peer = &d->sync.peers[i];
        if (peer->used && (full ? peer->full : peer->compared)) {
            asked_cnt += is_among(d, nodes, cnt, &peer->node_id) ? 1 : 0;
        }
    }
    return asked_cnt;
}

/* Nothing that is stored can be missing. At most m - W of the members that hold everything by their
 * own word lack a record: m - W + 1 of them have it. Where too few say so (swarms merge, all
 * started again, all are new): what was stored before this epoch is at W of the m that had a seat
 * then, so W of these, of each swarm that was merged, have it; 2W > m, also when fewer than a third
 * lost their disks. Who had no seat then proves nothing, unless nobody had: at the genesis. */
bool ses_sync_compared_enough(const struct ses_daemon *d)
{
    uint32_t members[SES_MEMBERS_MAX];
    uint32_t before[SES_MEMBERS_MAX];
    uint32_t active = 0;
    bool begins = true;
    (void)ses_map_members(d->map, d->swarm, members, SES_MEMBERS_MAX, &active);
    if (active == 0 || asked(d, members, active, true) >= ses_read_quorum(active)) {
        return true;
    }
    for (uint32_t k = 0; k < SYNC_ORIGINS; k++) {
        const uint32_t cnt = former(d, k, before);
        if (cnt > 0 && asked(d, before, cnt, false) < ses_write_quorum(cnt)) {
            return false;
        }
        begins &= cnt == 0;
    }
    return !begins || asked(d, members, active, false) >= ses_write_quorum(active);
}
