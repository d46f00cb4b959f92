/* A debt: a record that entered here and that some member has not given its receipt for. It lives
 * in this table while there is room, and on the store's pending list in any case. */
#include "daemon/daemon_internal.h"

#define WAIT_MIN_MS 50u
#define WAIT_MAX_MS 30000u
#define DEBT_WAITERS_MAX 16u

static uint32_t hash_of(const struct ses_daemon *d, const struct ses_hash *id)
{
    return ses_get_u32(id->bytes) & d->debts.table_mask;
}

enum ses_err ses_debts_init(struct ses_daemon *d)
{
    uint32_t size = 1024;
    while (size < d->p.limits.debts_max && size < 1u << 24) {
        size *= 2;
    }
    d->debts.table = ses_alloc(size, sizeof(struct debt *));
    SES_REQUIRE(d->debts.table != NULL, SES_ERR_MEMORY);
    d->debts.table_mask = size - 1;
    return SES_OK;
}

struct debt *ses_debt_find(struct ses_daemon *d, const struct ses_hash *id)
{
    struct debt *debt = d->debts.table[hash_of(d, id)];
    while (debt != NULL && !ses_equal(&debt->ids.id, id, sizeof *id)) {
        debt = debt->hash_next;
    }
    return debt;
}

static void drop_bytes(struct debt *debt)
{
    if (debt->bytes != NULL) {
        debt->d->debts.bytes -= SES_RECORD_HEADER_BYTES + debt->payload_bytes;
        ses_free(debt->bytes);
        debt->bytes = NULL;
    }
}

static enum ses_err take_bytes(struct debt *debt, const uint8_t *header, const uint8_t *payload,
                               uint32_t payload_bytes)
{
    debt->bytes = ses_alloc(SES_RECORD_HEADER_BYTES + (size_t)payload_bytes, 1);
    SES_REQUIRE(debt->bytes != NULL, SES_ERR_MEMORY);
    memcpy(debt->bytes, header, SES_RECORD_HEADER_BYTES);
    if (payload_bytes > 0) {
        memcpy(debt->bytes + SES_RECORD_HEADER_BYTES, payload, payload_bytes);
    }
    debt->payload_bytes = payload_bytes;
    debt->d->debts.bytes += SES_RECORD_HEADER_BYTES + payload_bytes;
    return SES_OK;
}

static void link_in(struct debt *debt)
{
    struct debts *all = &debt->d->debts;
    debt->prev = all->last;
    if (all->last != NULL) {
        all->last->next = debt;
    } else {
        all->first = debt;
    }
    all->last = debt;
    struct debt **slot = &all->table[hash_of(debt->d, &debt->ids.id)];
    debt->hash_next = *slot;
    *slot = debt;
    all->cnt++;
}

static void link_out(struct debt *debt)
{
    struct debts *all = &debt->d->debts;
    *(debt->prev != NULL ? &debt->prev->next : &all->first) = debt->next;
    *(debt->next != NULL ? &debt->next->prev : &all->last) = debt->prev;
    struct debt **at = &all->table[hash_of(debt->d, &debt->ids.id)];
    while (*at != debt) {
        at = &(*at)->hash_next;
    }
    *at = debt->hash_next;
    all->cnt--;
}

/* `record` NULL: its bytes are in the store. */
enum ses_err ses_debt_new(struct debt **out, struct ses_daemon *d, const struct ses_record_ids *ids,
                          const struct ses_record *record)
{
    struct debt *debt = ses_alloc(1, sizeof *debt);
    SES_REQUIRE(debt != NULL, SES_ERR_MEMORY);
    debt->d = d;
    debt->ids = *ids;
    debt->since_ms = ses_daemon_mono(d);
    debt->spill = d->debts.cnt >= d->p.limits.debts_max;
    if (record != NULL) {
        const enum ses_err err =
            take_bytes(debt, record->header, record->payload, record->payload_bytes);
        if (err != SES_OK) {
            ses_free(debt);
            return err;
        }
    }
    link_in(debt);
    *out = debt;
    return SES_OK;
}

void ses_debt_release(struct debt *debt)
{
    if (debt->finished && debt->queued == 0 && debt->flying == 0 && !debt->putting &&
        !debt->loading) {
        drop_bytes(debt);
        ses_free(debt->vouchers);
        if (!SES_MUTANT(DEBT_LEFT)) {
            ses_free(debt);
        }
    }
}

/* ---- answers ---- */
static bool counts(const struct debt *debt, const struct link *link)
{
    return ((debt->acked >> link->slot) & 1) != 0 && link->used && link->active;
}

static bool own_counts(const struct debt *debt)
{
    return debt->own && debt->d->status == SES_NODE_ACTIVE;
}

static uint32_t receipt_cnt(const struct debt *debt)
{
    uint32_t cnt = own_counts(debt) ? 1 : 0;
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        cnt += counts(debt, &debt->d->links[i]) ? 1 : 0;
    }
    return cnt;
}

static bool is_stored(const struct debt *debt)
{
    return debt->own && receipt_cnt(debt) >= ses_daemon_quorum(debt->d);
}

static void answer(struct waiter *w, enum ses_store_state state)
{
    struct debt *debt = w->debt;
    struct ses_daemon *d = w->d;
    struct ses_stored m = {.state = state, .id = debt->ids.id};
    m.quorum = (uint8_t)ses_daemon_quorum(d);
    if (own_counts(debt)) {
        m.nodes[m.node_cnt++] = d->p.node_id;
    }
    for (uint32_t i = 0; i < LINKS_MAX && m.node_cnt < SES_MEMBERS_MAX; i++) {
        if (counts(debt, &d->links[i])) {
            m.nodes[m.node_cnt++] = d->links[i].node_id;
        }
    }
    uint8_t body[SES_MEMBERS_MAX * 20 + 64];
    struct ses_writer writer;
    ses_writer_init(&writer, body, sizeof body);
    ses_stored_write(&writer, &m);
    SES_ASSERT(ses_writer_done(&writer) == SES_OK);
    ses_call_reply(w->call, body, writer.len);
    *(state == SES_STORED ? &d->stats.stored : &d->stats.pending_answers) += 1;
    ses_latency_add(&d->stats.store_latency, ses_daemon_mono(d) - w->started_ms);
}

static void waiter_free(struct waiter *w)
{
    struct ses_daemon *d = w->d;
    struct waiter **at = &w->debt->waiters;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    d->p.loop->timer_stop(d->p.loop->ctx, w->timer);
    d->debts.waiter_cnt--;
    ses_free(w);
}

static void answer_all(struct debt *debt, enum ses_store_state state)
{
    while (debt->waiters != NULL) {
        answer(debt->waiters, state);
        waiter_free(debt->waiters);
    }
}

static void refuse_all(struct debt *debt, enum ses_err err)
{
    while (debt->waiters != NULL) {
        ses_refuse(debt->d, debt->waiters->call, err);
        waiter_free(debt->waiters);
    }
}

static void on_deadline(void *cookie)
{
    struct waiter *w = cookie;
    struct debt *debt = w->debt;
    w->timer = NULL;
    answer(w, is_stored(debt) ? SES_STORED : SES_PENDING);
    waiter_free(w);
    ses_debt_check(debt);
}

static bool may_wait(const struct debt *debt)
{
    uint32_t cnt = 0;
    for (const struct waiter *w = debt->waiters; w != NULL; w = w->next) {
        cnt++;
    }
    return cnt < DEBT_WAITERS_MAX && debt->d->debts.waiter_cnt < debt->d->p.limits.waiters_max;
}

void ses_debt_wait(struct debt *debt, struct ses_call *call, uint32_t wait_ms, uint64_t started_ms)
{
    struct ses_daemon *d = debt->d;
    struct waiter *w = may_wait(debt) ? ses_alloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        d->stats.limits_hit++;
        ses_refuse(d, call, SES_ERR_UNAVAILABLE);
        return;
    }
    w->d = d;
    w->debt = debt;
    w->call = call;
    w->started_ms = started_ms;
    w->next = debt->waiters;
    debt->waiters = w;
    d->debts.waiter_cnt++;
    const uint64_t delay_ms = wait_ms < WAIT_MIN_MS   ? WAIT_MIN_MS
                              : wait_ms > WAIT_MAX_MS ? WAIT_MAX_MS
                                                      : wait_ms;
    if (d->p.loop->timer_start(d->p.loop->ctx, &w->timer, delay_ms, on_deadline, w) != SES_OK) {
        w->timer = NULL;
        ses_refuse(d, call, SES_ERR_UNAVAILABLE);
        waiter_free(w);
        return;
    }
    ses_debt_check(debt);
}

void ses_debts_answer_all(struct ses_daemon *d)
{
    for (struct debt *debt = d->debts.first; debt != NULL; debt = debt->next) {
        answer_all(debt, is_stored(debt) ? SES_STORED : SES_PENDING);
    }
}

/* ---- life ---- */
void ses_debt_finish(struct debt *debt, bool replicated)
{
    SES_ASSERT(!debt->finished);
    refuse_all(debt, SES_ERR_UNAVAILABLE);
    debt->finished = true;
    link_out(debt);
    if (replicated) {
        ses_store_replicated(debt->d->p.store, &debt->ids.id);
    }
    ses_debt_release(debt);
}

/* Members that cannot be reached now will get it from the store when they come back; a slow one
 * must not make the others' records wait, so under pressure it is served from the store too. */
static bool in_use(const struct debt *debt)
{
    const struct ses_daemon *d = debt->d;
    const bool room = d->debts.bytes < d->p.limits.entry_bytes_max / 2;
    return debt->flying != 0 || debt->putting ||
           (debt->queued != 0 && (room || debt->waiters != NULL));
}

/* The store still owes it, and it comes back from there. */
static void spill(struct debt *debt)
{
    debt->d->debts.spilled = true;
    debt->d->stats.debts_spilled++;
    ses_debt_finish(debt, false);
}

void ses_debt_check(struct debt *debt)
{
    if (debt->finished) {
        ses_debt_release(debt);
        return;
    }
    if (debt->unread) {
        return;
    }
    if (is_stored(debt)) {
        answer_all(debt, SES_STORED);
    }
    const bool enough = SES_MUTANT(DEBT_ENDS_AT_QUORUM) && is_stored(debt);
    if (debt->own && (enough || (debt->targets & ~debt->acked) == 0) && debt->waiters == NULL) {
        ses_debt_finish(debt, debt->d->map != NULL);
        return;
    }
    if (in_use(debt)) {
        return;
    }
    drop_bytes(debt);
    if (debt->spill && debt->waiters == NULL && !debt->loading) {
        spill(debt);
    }
}

static uint64_t members_under(const struct ses_daemon *d, const struct ses_map *map,
                              const struct ses_hash *digest)
{
    uint64_t bits = 0;
    const uint32_t swarm = ses_atlas_digest_swarm(map, digest);
    const struct ses_map_node *own = ses_map_find(map, &d->p.node_id);
    if (own == NULL || own->row.swarm != swarm) {
        return 0;
    }
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        const struct ses_map_node *node =
            d->links[i].used ? ses_map_find(map, &d->links[i].node_id) : NULL;
        if (node != NULL && node->row.swarm == swarm && node->row.status != SES_NODE_RETIRED) {
            bits |= (uint64_t)1 << i;
        }
    }
    return bits;
}

void ses_debt_aim(struct debt *debt)
{
    struct ses_daemon *d = debt->d;
    const struct ses_hash *digest = &debt->ids.digest;
    if (d->map == NULL || debt->unread) {
        return;
    }
    if (!ses_daemon_serves(d, digest, true)) {
        ses_debt_finish(debt, true); /* neither ours nor, in grace, our former swarm's */
        return;
    }
    const bool current = ses_daemon_serves(d, digest, false);
    debt->targets = members_under(d, current ? d->map : d->previous, digest);
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        const uint64_t bit = (uint64_t)1 << i;
        if ((debt->targets & ~debt->acked & bit) != 0) {
            ses_member_queue(&d->links[i], debt);
        }
    }
    ses_debt_check(debt);
}

static void on_loaded(void *cookie, enum ses_err err, const struct ses_record_copy *record)
{
    struct debt *debt = cookie;
    struct ses_daemon *d = debt->d;
    debt->loading = false;
    if (err == SES_OK && !debt->finished && debt->bytes == NULL) {
        err = take_bytes(debt, record->header, record->payload, record->payload_bytes);
    }
    if (debt->finished) {
        ses_debt_release(debt);
    } else if (err == SES_ERR_NOT_FOUND || err == SES_ERR_CHECKSUM) {
        d->stats.debts_expired++;
        ses_debt_finish(debt, true); /* expired meanwhile, or nothing left to send */
    } else if (err == SES_OK && debt->unread) {
        debt->ids = record->ids;
        debt->unread = false;
        ses_debt_aim(debt);
    } else if (err != SES_OK && !debt->unread && debt->waiters == NULL && debt->flying == 0 &&
               !debt->putting) {
        spill(debt); /* cannot be read now: others queue behind it */
    }
    ses_members_pump(d);
    ses_daemon_release(d);
}

/* What was deleted or has expired meanwhile is owed no more: records queue behind it. */
void ses_debt_load(struct debt *debt)
{
    struct ses_daemon *d = debt->d;
    if (debt->loading || debt->bytes != NULL || debt->finished ||
        d->debts.bytes >= d->p.limits.entry_bytes_max) {
        return;
    }
    const enum ses_err err = ses_store_get(d->p.store, &debt->ids.id, on_loaded, debt);
    if (err == SES_OK) {
        debt->loading = true;
        ses_daemon_hold(d);
    } else if (err == SES_ERR_NOT_FOUND &&
               ses_segment_expires_ms(&debt->ids.segment) > ses_daemon_now(d)) {
        d->stats.debts_expired++; /* else the clock says so, which ses_debts_expire judges */
        ses_debt_finish(debt, true);
    }
}

/* A record that the store still owes: its digest is known once it has been read. */
static void reload_one(void *cookie, const struct ses_hash *id, const struct ses_segment *segment)
{
    struct ses_daemon *d = cookie;
    if (d->debts.cnt >= d->p.limits.debts_max) {
        d->debts.spilled = true;
        return;
    }
    struct debt *debt = NULL;
    struct ses_record_ids ids = {.id = *id, .segment = *segment};
    if (ses_debt_find(d, id) != NULL || ses_debt_new(&debt, d, &ids, NULL) != SES_OK) {
        return;
    }
    debt->own = true;
    debt->unread = true;
}

void ses_debts_reload(struct ses_daemon *d)
{
    uint32_t loads = 0;
    for (struct debt *debt = d->debts.first, *next; debt != NULL && loads < 256; debt = next) {
        next = debt->next;
        if (debt->unread && d->map != NULL) {
            ses_debt_load(debt);
            loads++;
        }
    }
    if (!d->debts.spilled || d->closing || d->debts.cnt > d->p.limits.debts_max / 2) {
        return;
    }
    d->debts.spilled = false;
    if (ses_store_pending(d->p.store, reload_one, d) != SES_OK) {
        d->debts.spilled = true;
    }
}

void ses_debts_expire(struct ses_daemon *d)
{
    const uint64_t now_ms = ses_daemon_now(d);
    for (struct debt *debt = d->debts.first, *next; debt != NULL; debt = next) {
        next = debt->next;
        if (debt->waiters == NULL && ses_segment_expires_ms(&debt->ids.segment) <= now_ms) {
            d->stats.debts_expired++;
            ses_debt_finish(debt, true);
        }
    }
}

void ses_debts_free(struct ses_daemon *d)
{
    for (struct debt *debt = d->debts.first, *next; debt != NULL; debt = next) {
        next = debt->next;
        debt->queued = 0;
        debt->flying = 0;
        debt->finished = true;
        ses_debt_release(debt);
    }
    ses_free(d->debts.table);
    d->debts.table = NULL;
}
