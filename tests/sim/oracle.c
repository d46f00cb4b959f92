/* The promises of docs/architecture.md, watched from outside: what people are told, what nodes
 * hold, what travels. Each check names the promise that it guards. */
#include "daemon/daemon_internal.h"
#include "tests/sim/byz.h"

#define D2_CALM_MS 10000u
#define D2_AFTER_STORM_MS 60000u
#define D2_LIARS_MS 300000u /* a liar keeps it back: others give it when they compare */
#define CATCH_UP_MS 900000u
#define HEARD_MS 300000u /* of an epoch that has begun */
#define RECENT_MS 900000u
#define CLOCK_SLACK_MS 120000u /* expiry is judged by clocks that may be off */

/* ---- messages ---- */
struct sim_msg *sim_msg_new(struct sim *s)
{
    struct oracle *o = &s->oracle;
    if (o->cnt == o->cap) {
        o->cap = o->cap != 0 ? 2 * o->cap : 256;
        o->msgs = ses_realloc(o->msgs, o->cap, sizeof *o->msgs);
        SES_ASSERT(o->msgs != NULL);
    }
    struct sim_msg *m = &o->msgs[o->cnt];
    memset(m, 0, sizeof *m);
    m->number = o->cnt++;
    m->born_ms = s->now_ms;
    return m;
}

struct sim_msg *sim_msg_at(struct sim *s, uint32_t number)
{
    SES_ASSERT(number < s->oracle.cnt);
    return &s->oracle.msgs[number];
}

void oracle_free(struct sim *s)
{
    for (uint32_t i = 0; i < s->oracle.cnt; i++) {
        ses_buf_free(&s->oracle.msgs[i].head);
        ses_free(s->oracle.msgs[i].receipts);
    }
    oracle_rots_free(s);
    oracle_draws_free(s);
    ses_free(s->oracle.tombs);
    ses_free(s->oracle.demands);
    ses_free(s->oracle.msgs);
}

static bool alive(const struct sim *s, const struct sim_msg *m)
{
    return m->stored_ms > 0 && m->expires_ms > sim_unix_ms(s) + CLOCK_SLACK_MS;
}

/* Its disk lost or changed something after the promise, and the others have not yet given it back:
 * that may take until the weather has been calm for a while. */
static bool spoiled(const struct sim_node *node, const struct sim_msg *m)
{
    const struct sim *s = node->sim;
    const uint64_t cut_ms = s->chain.cut_until_ms[node->index];
    const bool behind = s->chain.map != NULL && node->map_epoch < s->chain.map->epoch;
    if (s->churn && ((cut_ms > 0 && cut_ms + CATCH_UP_MS > s->now_ms) || behind ||
                     (node->late_ms > 0 && node->late_ms + CATCH_UP_MS > s->now_ms))) {
        return true; /* it does not know that members moved, or has only just heard of it */
    }
    if (sim_node_blind(node)) {
        return true; /* it does not know whose member it is */
    }
    const uint64_t since_ms = s->now_ms - node->spoiled_ms;
    const bool caught_up = sim_calm(s, CATCH_UP_MS) && since_ms > CATCH_UP_MS;
    return node->spoiled && node->spoiled_ms >= m->born_ms && !caught_up;
}

static bool holds(const struct sim_node *node, const struct sim_msg *m)
{
    return node->store != NULL && ses_store_has(node->store, &m->ids);
}

static uint32_t node_of(const struct sim *s, const struct ses_node_id *id)
{
    uint32_t i = 0;
    while (i < s->node_cnt && !ses_equal(&s->nodes[i].node_id, id, sizeof *id)) {
        i++;
    }
    return i;
}

/* ---- who holds a message ---- */
static uint32_t swarm_of_node(const struct ses_map *map, const struct sim_node *node, bool *active)
{
    const struct ses_map_node *row = ses_map_find(map, &node->node_id);
    *active = row != NULL && row->row.status == SES_NODE_ACTIVE;
    return row != NULL && row->row.status != SES_NODE_RETIRED ? row->row.swarm : SES_SWARM_NONE;
}

struct count {
    uint32_t members, holders, up, lacking_up, spoiled; /* of the honest, members apart */
    uint32_t givers;                                    /* holders that are not spoiled */
    uint32_t liars;
    uint32_t lacks; /* one of them */
};

/* What is promised is promised while fewer than a third of the members lie, and some member hears
 * of the chain of those that hold it: the others give nothing to those who came. */
static bool bounded(const struct sim *s, const struct count *c)
{
    const bool locked = s->churn && c->holders > 0 && c->givers == 0;
    return !locked && (c->liars == 0 || 3 * c->liars < c->members);
}

static void count_members(struct sim *s, const struct ses_map *map, const struct sim_msg *m,
                          struct count *c)
{
    const uint32_t swarm = ses_swarm_of(&m->ids.digest, map->num_swarms);
    *c = (struct count){0};
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        bool active = false;
        const struct sim_node *node = &s->nodes[i];
        if (swarm_of_node(map, node, &active) != swarm || !active) {
            continue;
        }
        c->members++;
        if (node->byz != NULL) {
            c->liars++;
            continue;
        }
        c->spoiled += spoiled(node, m);
        if (sim_node_up(node)) {
            const bool held = holds(node, m);
            c->up++;
            c->holders += held;
            c->givers += held && !spoiled(node, m);
            if (!held && !spoiled(node, m)) {
                c->lacking_up++;
                c->lacks = i;
            }
        }
    }
}

/* ---- D1: what was promised is durable, and stays ---- */
static bool durable_at(const struct sim_node *node, const struct sim_msg *m)
{
    char path[48];
    SES_ASSERT(snprintf(path, sizeof path, "seg/%u/%u.log", m->ids.segment.ttl_class,
                        m->ids.segment.hour) > 0);
    return sim_disk_durable(node->disk, path, m->head.bytes, m->head.len);
}

/* Not every client asks for receipts: a node that says "stored" counts itself only when it has the
 * record. */
void oracle_answered(struct sim *s, uint32_t node, const uint8_t *body, size_t len)
{
    const struct sim_node *n = &s->nodes[node];
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_stored stored;
    bool ok = false;
    if (n->byz != NULL || n->store == NULL ||
        ses_response_begin(&r, body, len, &ok, &refusal) != SES_OK || !ok ||
        ses_stored_read(&stored, &r) != SES_OK || stored.state != SES_STORED) {
        return;
    }
    const struct ses_record_ids ids = {.id = stored.id};
    for (uint32_t i = 0; i < stored.node_cnt; i++) {
        if (node_of(s, &stored.nodes[i]) == node && !ses_store_has(n->store, &ids)) {
            sim_broken(s, "D1", "node %u counts itself for a record that it does not have yet",
                       node);
        }
    }
}

void oracle_stored(struct sim *s, struct sim_msg *m, const struct ses_stored *stored)
{
    if (m->stored_ms > 0) {
        return;
    }
    m->stored_ms = s->now_ms > 0 ? s->now_ms : 1;
    m->id = stored->id;
    m->expires_ms = ses_segment_expires_ms(&m->ids.segment);
    m->calm = sim_calm(s, 0) && s->storm_until_ms + SIM_MINUTE_MS < m->born_ms;
    m->old_map = s->people[m->from].map->epoch < s->chain.map->epoch;
    s->oracle.stored_cnt++;
    struct count c;
    count_members(s, s->people[m->from].map, m, &c); /* the sender reckons by his map */
    const uint32_t want = 2 * c.members / 3 + 1;     /* W, reckoned here */
    uint32_t durable = 0;
    for (uint32_t i = 0; i < stored->node_cnt; i++) {
        const uint32_t at = node_of(s, &stored->nodes[i]);
        if (at == s->node_cnt) {
            sim_broken(s, "D1", "message %u is stored at a node that does not exist", m->number);
            return;
        }
        const struct sim_node *node = &s->nodes[at];
        m->nodes[m->node_cnt++] = (uint16_t)at;
        const bool there = /* what was deleted before it came is not written */
            node->spoiled || m->deleted || node->byz != NULL || durable_at(node, m);
        durable += there;
        if (!there) {
            sim_broken(s, "D1", "node %u gave a receipt for message %u and would lose it now", at,
                       m->number);
        }
    }
    sim_tell(s, "message %u is stored at %u nodes, %u wanted", m->number, m->node_cnt, want);
    if (durable < want) {
        sim_broken(s, "D1",
                   "message %u was answered \"stored\", but a loss of power now would leave "
                   "%u copies of %u",
                   m->number, durable, want);
    }
}

/* Whether the node still has the seat in which it gave its receipt. */
static bool still_in(const struct sim *s, const struct ses_map *map, const struct sim_node *node,
                     const struct sim_msg *m)
{
    bool active = false;
    const struct ses_map_node *row = ses_map_find(map, &node->node_id);
    const uint64_t epoch_ms = s->chain.params.params.epoch_seconds * 1000;
    return row != NULL && row->row.swarm_from_epoch * epoch_ms <= m->stored_ms &&
           swarm_of_node(map, node, &active) == ses_swarm_of(&m->ids.digest, map->num_swarms);
}

/* Found in the page cache, and shown to whoever asks. */
static bool is_unsynced(const struct sim_node *node, const struct sim_msg *m)
{
    const bool recent = m->born_ms + RECENT_MS > node->sim->now_ms && m->head.len > 0;
    return recent && !m->deleted && node->byz == NULL && !node->spoiled && holds(node, m) &&
           !durable_at(node, m);
}

void oracle_node_up(struct sim *s, struct sim_node *node)
{
    struct ses_map *map = sim_chain_map(s, 0);
    for (uint32_t i = 0; i < s->oracle.cnt && !s->verdict.failed; i++) {
        const struct sim_msg *m = &s->oracle.msgs[i];
        bool promised = false;
        for (uint32_t n = 0; n < m->node_cnt; n++) {
            promised |= m->nodes[n] == node->index;
        }
        if (promised && node->byz == NULL && alive(s, m) && !spoiled(node, m) &&
            still_in(s, map, node, m) && !holds(node, m)) {
            sim_broken(s, "D1", "node %u came back without message %u, for which it gave a receipt",
                       node->index, m->number);
        } else if (is_unsynced(node, m)) {
            sim_broken(s, "D1",
                       "node %u came back and gives receipts for message %u, which it would lose "
                       "now",
                       node->index, m->number);
        }
    }
    sim_map_free(map);
    oracle_deletes_node(s, node);
    if (node->wiped_ms > 0 && node->byz == NULL) {
        oracle_draw(s, node);
    }
}

/* ---- D2: it reaches every member; D3: nothing is lost ---- */
/* Members have changed places, and fetch what is new to them. */
static bool moving(const struct sim *s)
{
    return s->moved_ms > 0 && s->now_ms - s->moved_ms < CATCH_UP_MS;
}

/* Members that lost it and are not given it yet, because their audit draws it. */
static uint32_t withheld_cnt(struct sim *s, const struct ses_map *map, const struct sim_msg *m)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        bool active = false;
        const struct sim_node *node = &s->nodes[i];
        const uint32_t swarm = swarm_of_node(map, node, &active);
        cnt += active && swarm == ses_swarm_of(&m->ids.digest, map->num_swarms) &&
               node->byz == NULL && sim_node_up(node) && !spoiled(node, m) && !holds(node, m) &&
               oracle_withheld(s, node, m);
    }
    return cnt;
}

static void check_msg(struct sim *s, const struct ses_map *map, struct sim_msg *m)
{
    struct count c;
    count_members(s, map, m, &c);
    s->oracle.checked_cnt++;
    if (!bounded(s, &c)) {
        return;
    }
    if (!m->spread && c.lacking_up == 0 && c.up + c.liars == c.members) {
        m->spread = true;
        m->spread_ms = s->now_ms;
        const uint64_t took = s->now_ms - m->stored_ms;
        s->oracle.spread_ms_max = took > s->oracle.spread_ms_max ? took : s->oracle.spread_ms_max;
    }
    byz_receipts(s, m);
    /* of W that hold it no more than those that are down, spoiled or lie may be missing */
    const uint32_t gone = c.members - c.up + c.spoiled;
    const bool late = m->old_map && !m->spread;
    const uint32_t want = 2 * c.members / 3 + 1;
    if (!moving(s) && !late && c.holders + gone < want &&
        c.holders + gone + withheld_cnt(s, map, m) < want) {
        sim_broken(s, "D3", "message %u is held by %u of %u members, %u are down, spoiled or lie",
                   m->number, c.holders, c.members, gone);
    }
    const bool settled =
        s->byz_cnt > 0 ? sim_calm(s, D2_LIARS_MS) && s->now_ms >= m->stored_ms + D2_LIARS_MS
        : m->calm      ? s->now_ms >= m->stored_ms + D2_CALM_MS
                  : sim_calm(s, D2_AFTER_STORM_MS) && s->now_ms >= m->stored_ms + D2_AFTER_STORM_MS;
    if (settled && sim_calm(s, 0) && !m->spread && c.lacking_up > 0) {
        sim_broken(s, "D2",
                   "message %u was stored %" PRIu64 " s ago, the weather is calm, and node "
                   "%u lacks it",
                   m->number, (s->now_ms - m->stored_ms) / 1000, c.lacks);
    }
}

/* B2: who has seen an epoch does not go back to an older one. */
void oracle_map(struct sim *s, struct sim_node *node)
{
    struct ses_daemon_status *status = ses_alloc(1, sizeof *status);
    SES_ASSERT(status != NULL);
    if (sim_node_up(node)) {
        ses_daemon_status(node->daemon, status);
        if (status->has_map && status->epoch < node->map_epoch) {
            sim_broken(s, "B2", "node %u goes back from epoch %" PRIu64 " to %" PRIu64, node->index,
                       node->map_epoch, status->epoch);
        }
        const bool news = status->has_map && status->epoch > node->map_epoch;
        const uint64_t began_ms = status->epoch * s->chain.params.params.epoch_seconds * 1000;
        node->late_ms = news && s->now_ms > began_ms + HEARD_MS ? s->now_ms : node->late_ms;
        node->map_epoch = status->has_map ? status->epoch : node->map_epoch;
    }
    ses_free(status);
}

void oracle_check(struct sim *s)
{
    struct ses_map *map = sim_chain_map(s, 0);
    for (uint32_t i = 0; i < s->oracle.cnt && !s->verdict.failed; i++) {
        if (alive(s, &s->oracle.msgs[i])) {
            check_msg(s, map, &s->oracle.msgs[i]);
        }
    }
    sim_map_free(map);
}

bool oracle_is_whole(struct sim *s, const struct sim_node *node, const struct sim_msg *m)
{
    bool active = false;
    const struct ses_map *map = s->chain.map;
    return node->byz == NULL && !spoiled(node, m) && !moving(s) && map != NULL &&
           swarm_of_node(map, node, &active) == ses_swarm_of(&m->ids.digest, map->num_swarms) &&
           active;
}

static bool is_bounded(struct sim *s, const struct sim_msg *m)
{
    struct count c;
    count_members(s, s->chain.map, m, &c);
    return bounded(s, &c);
}

void oracle_spread(struct sim *s, uint64_t epoch, bool prepare)
{
    const uint64_t start_ms = epoch * s->chain.params.params.epoch_seconds * 1000;
    for (uint32_t i = 0; i < s->oracle.cnt && sim_calm(s, 0) && !s->verdict.failed; i++) {
        const struct sim_msg *m = &s->oracle.msgs[i];
        for (uint32_t n = 0; n < s->node_cnt && alive(s, m) && m->stored_ms < start_ms; n++) {
            const struct sim_node *node = &s->nodes[n];
            const bool reachable = sim_node_up(node) && node->up_ms + SIM_MINUTE_MS < s->now_ms;
            const bool lacks = reachable && oracle_is_whole(s, node, m) && !holds(node, m);
            if (lacks && prepare) {
                oracle_draw(s, node);
            } else if (lacks && !oracle_withheld(s, node, m) && is_bounded(s, m)) {
                sim_broken(s, "D2",
                           "message %u was stored before epoch %" PRIu64
                           " began, and near its end node %u lacks it",
                           m->number, epoch, n);
            }
        }
    }
}

/* Its sender was cut off from the chain of late, or asked a machine that lags: by his map he could
 * not judge receipts. */
static bool map_was_old(const struct sim *s, const struct sim_msg *m)
{
    const uint64_t cut_ms = s->chain.cut_until_ms[s->people[m->from].host];
    const uint64_t old_ms = cut_ms > s->chain.lag_until_ms ? cut_ms : s->chain.lag_until_ms;
    return old_ms > 0 && old_ms + 2 * SIM_HOUR_MS > s->now_ms;
}

/* After an epoch without faults: every member has everything, everybody has read everything. */
void oracle_end(struct sim *s)
{
    struct ses_map *map = sim_chain_map(s, 0);
    for (uint32_t i = 0; i < s->oracle.cnt && !s->verdict.failed; i++) {
        const struct sim_msg *m = &s->oracle.msgs[i];
        struct count c;
        if (!alive(s, m)) {
            continue;
        }
        count_members(s, map, m, &c);
        if (!bounded(s, &c)) {
            continue;
        }
        if (c.up + c.liars < c.members) {
            sim_broken(s, "A1", "%u of %u members of a swarm are down at the end", c.members - c.up,
                       c.members);
        } else if (c.lacking_up > 0 && c.spoiled == 0 && !moving(s) &&
                   !oracle_withheld_till_now(s, &s->nodes[c.lacks], m)) {
            sim_broken(s, "D2", "message %u did not reach node %u within an epoch", m->number,
                       c.lacks);
        } else if (!m->read && !m->deleted && !m->statement && c.spoiled == 0 && !moving(s)) {
            sim_broken(s, "C1", "message %u was stored and never read", m->number);
        }
    }
    for (uint32_t i = 0; i < s->oracle.cnt && !s->verdict.failed; i++) {
        const struct sim_msg *m = &s->oracle.msgs[i];
        if (!m->statement && m->stored_ms == 0 && m->born_ms + 2 * SIM_HOUR_MS < s->now_ms &&
            !s->people[m->from].net.down && m->ids.segment.ttl_class > 0 && !map_was_old(s, m)) {
            sim_broken(s, "A1", "message %u was never stored", m->number);
        }
    }
    sim_map_free(map);
}

/* ---- C1: enough answers hold everything ---- */
/* How many of the members that the reader counts gave a receipt. */
static uint32_t holders_of(const struct sim *s, const struct sim_msg *m,
                           const struct ses_fetch *fetch)
{
    uint32_t holders = 0;
    for (uint32_t i = 0; i < fetch->member_cnt; i++) {
        const uint32_t at = node_of(s, &fetch->members[i].node_id);
        bool named = false;
        for (uint32_t n = 0; n < m->node_cnt; n++) {
            named |= m->nodes[n] == at;
        }
        holders += named && fetch->members[i].counts && byz_of(s, at) == NULL &&
                   !spoiled(&s->nodes[at], m);
    }
    return holders;
}

/* Those that hold a message and those that answered must overlap, spoiled disks left out. Of W that
 * gave receipts some may have left since: then it is with all members when it has had time. */
static bool must_be_there(struct sim *s, const struct sim_msg *m, const struct ses_fetch *fetch)
{
    bool whole = m->stored_ms + D2_CALM_MS <= s->now_ms;
    uint32_t asked = 0;
    uint32_t members = 0;
    uint32_t liars = 0;
    for (uint32_t i = 0; i < fetch->member_cnt; i++) {
        const struct ses_fetch_member *f = &fetch->members[i];
        const uint32_t at = node_of(s, &f->node_id);
        const bool liar = byz_of(s, at) != NULL;
        members += f->counts && !liar;
        liars += f->counts && liar;
        whole &= at < s->node_cnt && !liar && !spoiled(&s->nodes[at], m);
        asked += f->counts && f->state == SES_FETCH_DONE && at < s->node_cnt && !liar &&
                 !spoiled(&s->nodes[at], m);
    }
    const bool few = liars == 0 || 3 * liars < members + liars;
    return few && (whole || asked + holders_of(s, m, fetch) > members);
}

static void tell_fetch(struct sim *s, const struct ses_fetch *fetch)
{
    for (uint32_t i = 0; i < fetch->member_cnt; i++) {
        sim_tell(s, "asked node %u: state %u%s", node_of(s, &fetch->members[i].node_id),
                 (unsigned)fetch->members[i].state,
                 fetch->members[i].counts ? "" : ", not counted");
    }
}

void oracle_fetched(struct sim *s, struct sim_person *p, const struct ses_fetch *fetch,
                    uint64_t started_ms)
{
    s->oracle.fetch_cnt++;
    if (ses_fetch_answered(fetch) < fetch->wanted || fetch->full) {
        return; /* incomplete, and the reader knows */
    }
    for (uint32_t i = 0; i < s->oracle.cnt; i++) {
        const struct sim_msg *m = &s->oracle.msgs[i];
        if (m->to == p->index && alive(s, m) && m->stored_ms < started_ms && !m->read &&
            !m->deleted && !m->statement && must_be_there(s, m, fetch)) {
            tell_fetch(s, fetch);
            sim_broken(s, "C1",
                       "person %u read %u members of %u by the map of epoch %" PRIu64
                       " and did not find message %u",
                       p->index, ses_fetch_answered(fetch), fetch->member_cnt, p->map->epoch,
                       m->number);
            return;
        }
    }
}

/* ---- what is read is what was written ---- */
void oracle_delivered(struct sim *s, struct sim_person *p, const uint8_t *body, size_t len,
                      const struct ses_opened1 *opened)
{
    struct ses_content content;
    struct ses_content_owner *owner = NULL;
    unsigned number = 0, from = 0, to = 0;
    const enum ses_err err = ses_content_decode(&content, &owner, body, len);
    const bool good =
        err == SES_OK && content.text != NULL &&
        sscanf(content.text, "%u-%u-%u", &number, &from, &to) == 3 && number < s->oracle.cnt &&
        to == p->index && content.data_bytes == s->oracle.msgs[number].bytes &&
        ses_equal(&opened->sender, &s->people[from].identity->id, sizeof opened->sender);
    ses_content_free(owner);
    if (!good) {
        sim_broken(s, "once", "person %u read something that nobody wrote to him", p->index);
        return;
    }
    struct sim_msg *m = &s->oracle.msgs[number];
    if (m->read) {
        sim_broken(s, "once", "person %u was handed message %u twice", p->index, number);
    }
    m->read = true;
    s->oracle.delivered_cnt++;
    sim_tell(s, "person %u reads message %u", p->index, number);
}

/* Any member may fill a public inbox with nonsense, and it is dropped; what people wrote opens. */
void oracle_unopenable(struct sim *s, struct sim_person *p, const struct ses_hash *id)
{
    if (!byz_forged(s, id)) {
        sim_broken(s, "once", "person %u cannot open a record of its inbox that no liar made",
                   p->index);
    }
    sim_tell(s, "person %u drops a record that does not open", p->index);
}

/* ---- D3: nothing is served more than an epoch after it expired ---- */
void oracle_page(struct sim *s, uint32_t node, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_page page;
    bool ok = false;
    const uint64_t grace_ms = s->chain.params.params.epoch_seconds * 1000 + CLOCK_SLACK_MS;
    if (ses_response_begin(&r, body, len, &ok, &refusal) != SES_OK || !ok) {
        return;
    }
    ses_page_read(&r, &page);
    s->oracle.page_cnt++;
    if (byz_of(s, node) != NULL) {
        return;
    }
    for (uint16_t i = 0; i < page.record_cnt && r.err == SES_OK; i++) {
        struct ses_record record;
        struct ses_record_ids ids;
        ses_record_read(&r, &record);
        if (r.err != SES_OK || ses_record_identify(&ids, &record) != SES_OK) {
            sim_broken(s, "D3", "node %u serves what is no record", node);
            return;
        }
        oracle_delete_page(s, node, &page, &ids.id);
        const bool old_clock = s->nodes[node].skew_ms < -(int64_t)CLOCK_SLACK_MS;
        if (!old_clock && ses_segment_expires_ms(&ids.segment) + grace_ms < sim_unix_ms(s)) {
            sim_broken(s, "D3", "node %u serves a record that expired %" PRIu64 " s ago", node,
                       (sim_unix_ms(s) - ses_segment_expires_ms(&ids.segment)) / 1000);
            return;
        }
    }
}
