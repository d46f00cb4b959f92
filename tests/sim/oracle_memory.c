/* B1: what a node may have on the heap. Counted is every block that its code asked for
 * (memory.h); the bound follows from what the node holds and from the product's own limits, so that
 * what is forgotten, or kept beyond its limit, stands out. A node that ended has nothing left. */
#include "crypto/forest_internal.h"
#include "daemon/daemon_internal.h"
#include "storage/storage_internal.h"
#include "tests/sim/memory.h"

/* One thing whose size is its file's own: a watcher, a replica, a heal. */
#define SMALL_BYTES 512u
#define SEGS_ROOM 128u      /* how lists of segments grow: twice, and 64 more */
#define LEAF_BYTES_MAX 200u /* of an open trie: the leaf, and its share of buckets and branches */
#define DB_CACHE_BYTES (256u << 10) /* storage/db.c: cache_size */
#define DB_BYTES (256u << 10)       /* the WAL's index, lookaside, schema, statements */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- the store ---- */
static uint64_t slab_bytes(uint64_t cnt, size_t item)
{
    return (cnt / SES_SLAB_CHUNK + 1) * (SES_SLAB_CHUNK * item + 2 * sizeof(void *));
}

/* Entries, inboxes, boxes with their lists, segments; ops; four tables, a third of which is empty
 * at least and two thirds at most; debts. */
static uint64_t catalog_bytes(const struct sim_held *held)
{
    const uint64_t cnt = held->records + SES_DELETIONS_MAX;
    const uint64_t items =
        slab_bytes(cnt, sizeof(struct ses_entry)) + slab_bytes(cnt, sizeof(struct ses_inbox)) +
        slab_bytes(cnt, sizeof(struct ses_box)) +
        slab_bytes(held->segments, sizeof(struct ses_seg)) + slab_bytes(cnt, sizeof(struct ses_op));
    const uint64_t tables = 4 * (cnt * 4 / 3 + 64) * 2 * sizeof(uint64_t);
    return items + tables + (2 * cnt + 1) * sizeof(uint32_t) +
           (4 * cnt + 64) * sizeof(struct ses_pending);
}

static uint64_t view_bytes(uint64_t segment_cnt)
{
    const uint64_t cap = 2 * segment_cnt + SEGS_ROOM;
    return SMALL_BYTES + cap * (sizeof(struct ses_grove_seg) + 2 * sizeof(struct ses_sum) +
                                2 * sizeof(struct ses_sum) + sizeof(uint16_t));
}

/* What was in open tries once stays in the pool for those to come. */
static uint64_t grove_bytes(const struct sim_held *held)
{
    const uint64_t leaves = least((uint64_t)held->views * held->records * LEAF_BYTES_MAX,
                                  SES_FOREST_BYTES / SES_OPEN_LEAF_BYTES * LEAF_BYTES_MAX);
    const uint64_t tries = (uint64_t)held->views * held->segments *
                           (sizeof(struct forest_node) + sizeof(struct ses_forest_trie));
    const uint64_t lists = 4 * least(held->records, SES_CHANGES_MAX) * sizeof(struct ses_leaf) +
                           2 * held->segments * sizeof(struct ses_grove_build) + 256;
    return sizeof(struct ses_forest_pool) + FOREST_SLAB_CNT * (64u << 10) + leaves + tries + lists +
           held->views * view_bytes(held->segments);
}

static uint64_t index_bytes(const struct ses_lane *lane)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < SES_LANE_INDEXES; i++) {
        const struct ses_index *index = lane->indexes[i];
        bytes += index != NULL ? sizeof *index + least(index->rows.cap, 2u << 20) : 0;
    }
    return bytes;
}

static uint64_t store_bytes(const struct ses_store *store, const struct sim_held *held)
{
    return sizeof *store + sizeof(struct ses_sign_job) + 8 * SMALL_BYTES + catalog_bytes(held) +
           grove_bytes(held) + index_bytes(&store->lane);
}

/* ---- the daemon ---- */
static uint64_t map_bytes(const struct sim *s)
{
    const uint64_t rows = 2 * (uint64_t)s->node_cnt + 1; /* an old map's, and a delta's */
    return 2 * (sizeof(struct ses_map) + rows * sizeof(struct ses_map_node));
}

static uint64_t epoch_bytes(const struct epochs *e)
{
    const struct task *tasks[] = {&e->commit, &e->respond, &e->rotate, &e->announce};
    uint64_t bytes = sizeof(struct ses_plan) + sizeof(struct ses_chain_standing);
    for (size_t i = 0; i < SES_COUNT(tasks); i++) {
        bytes += least(tasks[i]->tx.cap, SES_TX_BYTES_MAX);
    }
    return bytes;
}

/* A debt is a record that is held. */
static uint64_t debt_bytes(const struct ses_daemon *d, const struct sim_held *held)
{
    uint64_t vouched = 0;
    for (const struct debt *debt = d->debts.first; debt != NULL; debt = debt->next) {
        vouched += debt->vouchers != NULL;
    }
    const uint64_t cnt = least(d->debts.cnt, held->records);
    return (d->debts.table_mask + 1) * sizeof(struct debt *) + cnt * sizeof(struct debt) +
           least(vouched, cnt) * DEBT_VOUCHERS_MAX * sizeof(struct ses_receipt) +
           least(d->debts.bytes, d->p.limits.entry_bytes_max);
}

static uint64_t link_bytes(const struct ses_daemon *d, const struct sim_held *held)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        const struct link *link = &d->links[i];
        bytes += least(link->queue_cap, most(256, 2 * held->records)) * sizeof(struct debt *) +
                 least(link->batch_cnt, LINK_BATCHES_MAX) * sizeof(struct batch) +
                 least(link->unsent.cap, 2 * LINK_FRAME_BYTES);
    }
    return bytes;
}

static uint64_t leave_bytes(const struct leave *l, const struct sim_held *held)
{
    return l->swarms == NULL ? 0
                             : LEAVE_SWARMS_MAX * sizeof *l->swarms +
                                   least(l->swarm_cnt, LEAVE_SWARMS_MAX) * held->segments *
                                       sizeof *l->swarms->segments;
}

static uint64_t bulk_bytes(const struct bulk *b)
{
    uint64_t bytes = b->segments != NULL ? BULK_SEGMENTS_MAX * sizeof *b->segments : 0;
    for (uint32_t i = 0; i < BULK_MEMBERS_MAX; i++) {
        bytes +=
            least(b->members[i].sum_cnt + 1, RECONCILE_SEGMENTS_MAX) * sizeof *b->members[i].sums;
    }
    return bytes;
}

static uint64_t daemon_bytes(const struct sim_node *node)
{
    const struct ses_daemon *d = node->daemon;
    const struct sim_held *held = &node->held;
    const uint64_t others = sim_flow_cnt(&node->net) + least(d->sync.heal_cnt, held->records);
    return sizeof *d + epoch_bytes(&d->epochs) + debt_bytes(d, held) + link_bytes(d, held) +
           leave_bytes(&d->sync.leave, held) + bulk_bytes(&d->sync.bulk) + others * SMALL_BYTES;
}

/* ---- SQLite ---- */
/* meta.db, and the indexes of the days of which something is held, or has just expired. */
static uint64_t sql_bytes(const struct ses_store *store, const struct sim_held *held)
{
    uint64_t cnt = 0;
    for (uint32_t i = 0; i < SES_LANE_INDEXES; i++) {
        cnt += store->lane.indexes[i] != NULL;
    }
    return (1 + least(cnt, held->segments + 2)) * (uint64_t)(DB_CACHE_BYTES + DB_BYTES);
}

/* ---- at rest ---- */
static bool store_rests(const struct ses_store *store)
{
    return store->put_cnt == 0 && !store->writing && store->tasks == NULL && !store->signer.busy &&
           store->read_cnt == 0 && !ses_grove_waits(&store->grove);
}

/* No callback is to come but the ends of flows. */
static bool daemon_rests(const struct ses_daemon *d)
{
    uint64_t flows = d->replica_cnt + d->watchers.cnt;
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        flows += d->links[i].flow != NULL;
    }
    return d->busy == flows && d->sync.run_cnt == 0 && d->sync.reply_cnt == 0;
}

static void look(struct sim_node *node)
{
    struct ses_store_stats stats;
    struct sim_held *held = &node->held;
    ses_store_stats(node->store, &stats);
    uint32_t views = 0;
    for (uint32_t i = 0; i < SES_VIEWS_MAX; i++) {
        views += node->store->grove.views[i].used;
    }
    held->records = most(held->records, stats.record_cnt + stats.deleted_cnt);
    held->segments = most(held->segments, node->store->catalog.segment_cnt);
    held->views = most(held->views, views);
}

/* The figures stay out of the trace, which is the same on every build. */
static void blame(struct sim_node *node, const char *what, uint64_t bytes, uint64_t bytes_max)
{
    struct sim *s = node->sim;
    struct verdict_of_run *v = &s->verdict;
    const struct sim_held *held = &node->held;
    if (v->failed) {
        return;
    }
    sim_broken(s, "B1", "node %u %s", node->index, what);
    size_t at = strlen(v->text);
    const int len = snprintf(v->text + at, sizeof v->text - at,
                             ": %" PRIu64 " bytes, may be %" PRIu64 ", for %" PRIu64
                             " records in %" PRIu64 " segments and %" PRIu64 " views: ",
                             bytes, bytes_max, held->records, held->segments, held->views);
    SES_ASSERT(len > 0 && at + (size_t)len < sizeof v->text);
    at += (size_t)len;
    sim_memory_tell(v->text + at, sizeof v->text - at, sim_owner_of(s, node->index));
}

/* What is under way: a frame for each request, a frame of a link for each flow, and what the scrub
 * and the reading of a log have in hand. */
static uint64_t moving_bytes(const struct sim_net *net)
{
    return (2 + net->call_cnt_max) * (uint64_t)SES_FRAME_BYTES_MAX +
           (uint64_t)sim_flow_cnt(net) * LINK_FRAME_BYTES;
}

static void judge(struct sim_node *node)
{
    struct verdict_of_run *v = &node->sim->verdict;
    const uint32_t owner = sim_owner_of(node->sim, node->index);
    const uint64_t peak = sim_memory_peak(owner);
    const uint64_t sql = sim_memory_sqlite(owner);
    const uint64_t heap = sim_memory_live(owner) - sql;
    look(node);
    const uint64_t sql_max = sql_bytes(node->store, &node->held);
    const uint64_t heap_max =
        store_bytes(node->store, &node->held) + daemon_bytes(node) + map_bytes(node->sim);
    const uint64_t peak_max = heap_max + sql_max + moving_bytes(&node->net);
    if (store_rests(node->store) && daemon_rests(node->daemon)) {
        v->memory_percent_max = most(v->memory_percent_max, heap * 100 / heap_max);
        if (heap > heap_max) {
            blame(node, "is at rest and has too much in memory", heap, heap_max);
        }
    }
    if (sql > sql_max) {
        blame(node, "has too much of SQLite in memory", sql, sql_max);
    }
    if (peak > peak_max) {
        blame(node, "had too much in memory", peak, peak_max);
    }
    v->memory_bytes_max = most(v->memory_bytes_max, peak);
    node->net.call_cnt_max = node->net.call_cnt;
    sim_memory_peak_again(owner);
}

void oracle_memory_check(struct sim *s)
{
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        if (sim_node_up(&s->nodes[i])) {
            judge(&s->nodes[i]);
        }
    }
}

void oracle_memory_gone(struct sim_node *node)
{
    const uint64_t left = sim_memory_live(sim_owner_of(node->sim, node->index));
    if (left > 0) {
        blame(node, "ended and left something in memory", left, 0);
    }
    node->held = (struct sim_held){0};
}
