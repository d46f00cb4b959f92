/* Our side of /session/replicate/1: one long-lived flow to each member of our swarm. Opening it is
 * the announcement (the host runs /session/auth/1 first); records go in batches with a bounded
 * number in flight, and what a member has not given a receipt for is offered again and again. */
#include "daemon/daemon_internal.h"

#define REDIAL_MIN_MS 500u
#define REDIAL_MAX_MS 60000u
#define HINT_MS 100u
#define RESCAN_MAX_MS 60000u
#define ANSWER_MAX_MS 60000u
#define LOAD_AHEAD 64u
#define RECORD_OVERHEAD (SES_RECORD_HEADER_BYTES + 4u + 1u)
#define PUT_HEADER_BYTES 32u

static void dial(struct link *link);
static void rescan(struct link *link);

static inline uint64_t bit_of(const struct link *link)
{
    return (uint64_t)1 << link->slot;
}

void ses_members_init(struct ses_daemon *d)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        d->links[i].d = d;
        d->links[i].slot = i;
    }
}

/* ---- queue: a ring of debts that this member has not seen ---- */
static bool ring_grow(struct link *link)
{
    const uint32_t cap = link->queue_cap != 0 ? link->queue_cap * 2 : 256;
    struct debt **ring = ses_alloc(cap, sizeof(struct debt *));
    if (ring == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < link->queue_cnt; i++) {
        ring[i] = link->queue[(link->queue_head + i) % link->queue_cap];
    }
    ses_free(link->queue);
    link->queue = ring;
    link->queue_cap = cap;
    link->queue_head = 0;
    return true;
}

static struct debt *queue_at(const struct link *link, uint32_t i)
{
    return link->queue[(link->queue_head + i) % link->queue_cap];
}

void ses_member_queue(struct link *link, struct debt *debt)
{
    const uint64_t bit = bit_of(link);
    if (!link->open || ((debt->queued | debt->flying | debt->acked) & bit) != 0) {
        return;
    }
    if (link->queue_cnt == link->queue_cap && !ring_grow(link)) {
        rescan(link); /* no memory now: found again by the rescan */
        return;
    }
    link->queue[(link->queue_head + link->queue_cnt) % link->queue_cap] = debt;
    link->queue_cnt++;
    debt->queued |= bit;
}

static struct debt *queue_pop(struct link *link)
{
    struct debt *debt = queue_at(link, 0);
    link->queue_head = (link->queue_head + 1) % link->queue_cap;
    link->queue_cnt--;
    debt->queued &= ~bit_of(link);
    return debt;
}

/* ---- batches ---- */
static void settle(struct link *link, struct debt *debt)
{
    debt->flying &= ~bit_of(link);
    if ((debt->again & bit_of(link)) != 0) {
        debt->again &= ~bit_of(link);
        debt->acked &= ~bit_of(link);
        ses_member_queue(link, debt);
    }
    ses_debt_check(debt);
}

static void batch_unlink(struct link *link, struct batch *batch)
{
    struct batch **at = &link->batches;
    while (*at != batch) {
        at = &(*at)->next;
    }
    *at = batch->next;
    link->batch_cnt--;
    link->flying_bytes -= batch->bytes;
}

static void forget_all(struct link *link)
{
    while (link->queue_cnt > 0) {
        ses_debt_check(queue_pop(link));
    }
    while (link->batches != NULL) {
        struct batch *batch = link->batches;
        batch_unlink(link, batch);
        for (uint16_t i = 0; i < batch->cnt; i++) {
            settle(link, batch->debts[i]);
        }
        ses_free(batch);
    }
    ses_buf_free(&link->unsent);
}

static void on_learnt(void *cookie, enum ses_err err)
{
    struct link *link = cookie;
    (void)err; /* then it is asked again */
    link->learning = false;
    rescan(link);
}

/* Who did not take a record when it came must not get it for its audit. Until it is known what that
 * draws, whatever it may draw waits. */
static bool held_back(struct link *link, const struct debt *debt)
{
    struct ses_daemon *d = link->d;
    if (!ses_withhold_concerns(d, debt->ids.header.ts_ms)) {
        return false;
    }
    if (ses_withhold_known(d, &link->node_id)) {
        return ses_withhold(d, &link->node_id, &debt->ids.id);
    }
    if (!link->learning) {
        link->learning = true;
        ses_withhold_learn(d, &link->node_id, on_learnt, link);
    }
    return true;
}

/* Takes records from the queue until the frame is full. Those whose bytes are only in the store are
 * fetched ahead; the frame ends before the first of them. */
static void gather(struct link *link, struct batch *batch)
{
    while (link->queue_cnt > 0 && batch->cnt < SES_REPLICATE_RECORDS_MAX) {
        struct debt *debt = queue_at(link, 0);
        const uint32_t bytes = RECORD_OVERHEAD + debt->payload_bytes +
                               debt->voucher_cnt * (uint32_t)SES_RECEIPT_BYTES_MAX;
        if (debt->finished || (debt->acked & bit_of(link)) != 0) {
            ses_debt_check(queue_pop(link));
            continue;
        }
        if (held_back(link, debt)) {
            ses_debt_check(queue_pop(link));
            rescan(link);
            continue;
        }
        if (debt->bytes == NULL || (batch->cnt > 0 && batch->bytes + bytes > LINK_FRAME_BYTES)) {
            break;
        }
        (void)queue_pop(link);
        debt->flying |= bit_of(link);
        batch->debts[batch->cnt++] = debt;
        batch->bytes += bytes;
    }
    for (uint32_t i = 0; i < link->queue_cnt && i < LOAD_AHEAD; i++) {
        ses_debt_load(queue_at(link, i));
    }
}

static enum ses_err encode(const struct batch *batch, struct ses_buf *frame)
{
    const size_t cap = PUT_HEADER_BYTES + (size_t)batch->bytes;
    SES_TRY(ses_buf_reserve(frame, cap));
    struct ses_writer w;
    ses_writer_init(&w, frame->bytes, cap);
    const struct ses_replicate_put put = {.seq = batch->seq, .record_cnt = batch->cnt};
    ses_replicate_put_write(&w, &put);
    for (uint16_t i = 0; i < batch->cnt; i++) {
        const struct debt *debt = batch->debts[i];
        const struct ses_record record = {.header = debt->bytes,
                                          .payload = debt->bytes + SES_RECORD_HEADER_BYTES,
                                          .payload_bytes = debt->payload_bytes};
        ses_record_write(&w, &record);
        ses_write_u8(&w, debt->voucher_cnt); /* before a freeze only: relay.c */
        for (uint8_t k = 0; k < debt->voucher_cnt; k++) {
            ses_receipt_write(&w, &debt->vouchers[k]);
        }
    }
    SES_TRY(ses_writer_done(&w));
    frame->len = w.len;
    return SES_OK;
}

static void give_up(struct link *link, enum ses_err err)
{
    link->last_err = err;
    link->open = false;
    ses_flow_close(link->flow);
}

static bool send_unsent(struct link *link)
{
    if (link->unsent.len == 0) {
        return true;
    }
    const enum ses_err err = ses_flow_send(link->flow, link->unsent.bytes, link->unsent.len);
    if (err == SES_ERR_AGAIN) {
        return false; /* on_writable follows */
    }
    ses_buf_free(&link->unsent);
    if (err != SES_OK) {
        give_up(link, err);
    }
    return err == SES_OK;
}

static bool send_batch(struct link *link)
{
    struct batch *batch = ses_alloc(1, sizeof *batch);
    if (batch == NULL) {
        rescan(link);
        return false;
    }
    batch->seq = ++link->next_seq;
    batch->sent_ms = ses_daemon_mono(link->d);
    gather(link, batch);
    if (batch->cnt == 0) {
        ses_free(batch);
        return false;
    }
    batch->next = link->batches;
    link->batches = batch;
    link->batch_cnt++;
    link->flying_bytes += batch->bytes;
    link->d->stats.replicated_out += batch->cnt;
    const enum ses_err err = encode(batch, &link->unsent);
    if (err != SES_OK) {
        give_up(link, err);
        return false;
    }
    return send_unsent(link);
}

void ses_member_pump(struct link *link)
{
    if (!link->open) {
        return;
    }
    SES_ASSERT(link->flow != NULL);
    if (!send_unsent(link)) {
        return;
    }
    while (link->open && link->queue_cnt > 0 && link->batch_cnt < LINK_BATCHES_MAX &&
           link->flying_bytes < LINK_FLYING_BYTES_MAX && send_batch(link)) {
    }
}

void ses_members_pump(struct ses_daemon *d)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        ses_member_pump(&d->links[i]);
    }
}

/* ---- offering again ---- */
static void queue_missing(struct link *link)
{
    const uint64_t bit = bit_of(link);
    for (struct debt *debt = link->d->debts.first; debt != NULL; debt = debt->next) {
        if ((debt->targets & ~debt->acked & bit) != 0) {
            ses_member_queue(link, debt);
        }
    }
}

static void on_rescan(void *cookie)
{
    struct link *link = cookie;
    link->rescan = NULL;
    queue_missing(link);
    ses_member_pump(link);
}

static void rescan(struct link *link)
{
    const struct ses_loop *loop = link->d->p.loop;
    if (link->rescan != NULL || link->d->closing || SES_MUTANT(NO_RESCAN)) {
        return;
    }
    link->rescan_ms = link->rescan_ms == 0 ? 1000 : link->rescan_ms * 2;
    link->rescan_ms = link->rescan_ms > RESCAN_MAX_MS ? RESCAN_MAX_MS : link->rescan_ms;
    if (loop->timer_start(loop->ctx, &link->rescan, link->rescan_ms, on_rescan, link) != SES_OK) {
        link->rescan = NULL; /* the tick pumps, the next result asks again */
    }
}

/* ---- results ---- */
/* The promise must be about this record, made in the seat that the map gives the member; an
 * admission far ahead would promise nothing. */
static bool leaf_fits(const struct link *link, const struct debt *debt,
                      const struct ses_receipt_leaf *leaf)
{
    const struct ses_daemon *d = link->d;
    const struct ses_map *maps[] = {d->map, d->previous};
    const uint64_t now_ms = ses_daemon_now(d);
    const uint64_t admit_max =
        ses_admit_epoch(&d->times, debt->ids.header.ts_ms, now_ms, -1, 0) + 2;
    bool seat = false;
    for (size_t i = 0; i < SES_COUNT(maps); i++) {
        const struct ses_map_node *node =
            maps[i] != NULL ? ses_map_find(maps[i], &link->node_id) : NULL;
        seat |= node != NULL && node->row.swarm == leaf->swarm &&
                node->row.swarm_from_epoch == leaf->swarm_from_epoch;
    }
    return seat && leaf->admit_epoch <= admit_max &&
           ses_equal(&leaf->id, &debt->ids.id, sizeof leaf->id) &&
           ses_equal(&leaf->digest, &debt->ids.digest, sizeof leaf->digest) &&
           leaf->segment.ttl_class == debt->ids.segment.ttl_class &&
           leaf->segment.hour == debt->ids.segment.hour;
}

static struct batch *find_batch(const struct link *link, uint64_t seq)
{
    struct batch *batch = link->batches;
    while (batch != NULL && batch->seq != seq) {
        batch = batch->next;
    }
    return batch;
}

static void apply_receipts(struct link *link, struct batch *batch, const struct verdict *v)
{
    struct ses_daemon *d = link->d;
    for (uint16_t i = 0; i < v->item_cnt; i++) {
        const struct verdict_item *item = &v->items[i];
        struct debt *debt = item->record < batch->cnt ? batch->debts[item->record] : NULL;
        if (debt == NULL || !item->valid ||
            (!SES_MUTANT(RECEIPT_OF_ANOTHER) && !leaf_fits(link, debt, &item->receipt.leaf))) {
            d->stats.receipts_invalid++;
            continue;
        }
        d->stats.receipts_valid++;
        if ((debt->acked & bit_of(link)) == 0) {
            debt->acked |= bit_of(link);
            link->acked++;
            ses_store_keep_receipt(d->p.store, &item->receipt);
        }
    }
}

void ses_member_result(struct link *link, const struct verdict *v)
{
    if (!link->open) {
        return;
    }
    struct batch *batch = v->err == SES_OK ? find_batch(link, v->seq) : NULL;
    if (batch == NULL || batch->cnt != v->record_cnt) {
        give_up(link, v->err != SES_OK ? v->err : SES_ERR_PEER);
        return;
    }
    apply_receipts(link, batch, v);
    batch_unlink(link, batch);
    bool all = true;
    for (uint16_t i = 0; i < batch->cnt; i++) {
        all &= (batch->debts[i]->acked & bit_of(link)) != 0;
        settle(link, batch->debts[i]);
    }
    ses_free(batch);
    if (all) {
        link->rescan_ms = 0;
    } else {
        rescan(link);
    }
    ses_member_pump(link);
}

/* ---- the flow ---- */
static void on_open(void *cookie, struct ses_flow *flow)
{
    (void)flow;
    struct link *link = cookie;
    if (!link->used || link->d->closing) {
        return;
    }
    char text[SES_ID_TEXT_MAX];
    ses_node_id_text(text, &link->node_id);
    ses_logf(link->d->p.log, SES_LOG_INFO, MODULE, "member reached node=%s", text);
    link->open = true;
    link->failures = 0;
    link->hinted = false;
    link->last_err = SES_OK;
    if (!SES_MUTANT(RECONNECT_FORGETS)) {
        queue_missing(link);
    }
    ses_member_pump(link);
}

static void on_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    (void)flow;
    struct link *link = cookie;
    if (!link->open) {
        return;
    }
    const struct ses_map_node *node = ses_daemon_node(link->d, &link->node_id);
    const enum ses_err err = node != NULL && link->verdicts < LINK_BATCHES_MAX
                                 ? ses_verdict_start(link, &node->keys.public_key, body, len)
                                 : SES_ERR_PEER;
    if (err != SES_OK) {
        give_up(link, err);
    }
}

static void on_writable(void *cookie, struct ses_flow *flow)
{
    (void)flow;
    ses_member_pump(cookie);
}

static void on_redial(void *cookie)
{
    struct link *link = cookie;
    link->redial = NULL;
    dial(link);
}

static void redial_later(struct link *link)
{
    struct ses_daemon *d = link->d;
    if (!link->used || d->closing || link->redial != NULL) {
        return;
    }
    uint64_t delay_ms = REDIAL_MIN_MS;
    for (uint64_t i = 1; i < link->failures && delay_ms < REDIAL_MAX_MS; i++) {
        delay_ms *= 2;
    }
    delay_ms = delay_ms > REDIAL_MAX_MS ? REDIAL_MAX_MS : delay_ms;
    delay_ms += ses_random_below(d->p.random, delay_ms / 2 + 1);
    if (d->p.loop->timer_start(d->p.loop->ctx, &link->redial, delay_ms, on_redial, link) !=
        SES_OK) {
        link->redial = NULL; /* the tick dials links without flow and timer */
    }
}

static void on_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    (void)flow;
    struct link *link = cookie;
    struct ses_daemon *d = link->d;
    if (link->failures == 0 && link->used && !d->closing) {
        char text[SES_ID_TEXT_MAX];
        ses_node_id_text(text, &link->node_id);
        ses_logf(d->p.log, SES_LOG_INFO, MODULE, "member lost node=%s why=%s", text,
                 why == SES_OK && link->last_err == SES_OK
                     ? "closed"
                     : ses_err_name(link->last_err != SES_OK ? link->last_err : why));
    }
    link->last_err = link->last_err != SES_OK ? link->last_err : why;
    link->open = false;
    link->flow = NULL;
    link->failures++;
    forget_all(link);
    if (!link->used && !d->closing) {
        ses_members_follow_map(d); /* somebody may wait for this slot */
    }
    redial_later(link);
    ses_daemon_release(d);
}

static const struct ses_flow_events link_events = {
    .on_open = on_open,
    .on_frame = on_frame,
    .on_writable = on_writable,
    .on_close = on_close,
};

static void dial(struct link *link)
{
    struct ses_daemon *d = link->d;
    const struct ses_map_node *node =
        link->used && link->flow == NULL && !d->closing ? ses_daemon_node(d, &link->node_id) : NULL;
    if (node == NULL) {
        return;
    }
    struct ses_target *target = ses_alloc(1, sizeof *target);
    enum ses_err err = SES_ERR_MEMORY;
    if (target != NULL) {
        target->node_id = link->node_id;
        target->public_key = node->keys.public_key;
        target->endpoint = node->endpoint;
        err = ses_net_open(d->p.net, &link->flow, target, SES_PROTO_REPLICATE, NULL, &link_events,
                           link);
    }
    ses_free(target);
    if (err == SES_OK) {
        ses_daemon_hold(d);
        return;
    }
    link->flow = NULL;
    link->last_err = err;
    link->failures++;
    redial_later(link);
}

/* ---- slots ---- */
static void slot_clear(struct link *link)
{
    const uint64_t bit = bit_of(link);
    const struct ses_loop *loop = link->d->p.loop;
    link->used = false;
    loop->timer_stop(loop->ctx, link->redial);
    loop->timer_stop(loop->ctx, link->rescan);
    link->redial = NULL;
    link->rescan = NULL;
    for (struct debt *debt = link->d->debts.first; debt != NULL; debt = debt->next) {
        debt->targets &= ~bit;
        debt->acked &= ~bit;
    }
    if (link->flow != NULL) {
        link->open = false;
        ses_flow_close(link->flow);
    }
}

static struct link *slot_of(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        if (d->links[i].used && ses_equal(&d->links[i].node_id, node_id, sizeof *node_id)) {
            return &d->links[i];
        }
    }
    return NULL;
}

static void slot_take(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        struct link *link = &d->links[i];
        if (!link->used && link->flow == NULL) {
            link->used = true;
            link->node_id = *node_id;
            link->failures = 0;
            link->last_err = SES_OK;
            link->rescan_ms = 0;
            link->acked = 0;
            dial(link);
            return;
        }
    }
    d->stats.limits_hit++; /* more members than slots: tried again when a slot is free */
}

static void add_members(struct ses_daemon *d, const struct ses_map *map)
{
    uint32_t active;
    uint32_t index[SES_MEMBERS_MAX];
    const struct ses_map_node *own = map != NULL ? ses_map_find(map, &d->p.node_id) : NULL;
    if (own == NULL || own->row.swarm == SES_SWARM_NONE) {
        return;
    }
    const uint32_t cnt = ses_map_members(map, own->row.swarm, index, SES_MEMBERS_MAX, &active);
    for (uint32_t i = 0; i < cnt; i++) {
        const struct ses_node_id *node_id = &map->nodes[index[i]].row.node_id;
        const bool self = ses_equal(node_id, &d->p.node_id, sizeof *node_id);
        if (!self && slot_of(d, node_id) == NULL) {
            slot_take(d, node_id);
        }
    }
}

void ses_members_follow_map(struct ses_daemon *d)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        struct link *link = &d->links[i];
        if (link->used && !ses_daemon_is_member(d, &link->node_id)) {
            slot_clear(link);
        }
    }
    add_members(d, d->map);
    add_members(d, d->previous);
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        struct link *link = &d->links[i];
        const struct ses_map_node *node = link->used ? ses_map_find(d->map, &link->node_id) : NULL;
        link->active =
            node != NULL && node->row.status == SES_NODE_ACTIVE && node->row.swarm == d->swarm;
    }
}

static bool overdue(const struct link *link)
{
    const uint64_t now_ms = ses_daemon_mono(link->d);
    for (const struct batch *batch = link->batches; batch != NULL; batch = batch->next) {
        if (now_ms - batch->sent_ms > ANSWER_MAX_MS) {
            return true;
        }
    }
    return false;
}

void ses_members_check(struct ses_daemon *d)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        struct link *link = &d->links[i];
        if (link->open && overdue(link)) {
            give_up(link, SES_ERR_TIMEOUT);
        } else if (link->used && link->flow == NULL && link->redial == NULL) {
            dial(link);
        }
        ses_member_pump(link);
    }
}

void ses_members_hint(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    struct link *link = slot_of(d, node_id);
    if (link == NULL || link->flow != NULL || link->redial == NULL || link->hinted) {
        return;
    }
    const struct ses_loop *loop = d->p.loop;
    link->hinted = true; /* once between successes: a flapping member cannot make us dial faster */
    loop->timer_stop(loop->ctx, link->redial);
    if (loop->timer_start(loop->ctx, &link->redial, HINT_MS, on_redial, link) != SES_OK) {
        link->redial = NULL; /* the tick dials */
    }
}

void ses_members_close(struct ses_daemon *d)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        struct link *link = &d->links[i];
        d->p.loop->timer_stop(d->p.loop->ctx, link->redial);
        d->p.loop->timer_stop(d->p.loop->ctx, link->rescan);
        link->redial = NULL;
        link->rescan = NULL;
        if (link->flow != NULL) {
            link->open = false;
            ses_flow_close(link->flow);
        }
    }
}

void ses_members_free(struct ses_daemon *d)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        forget_all(&d->links[i]);
        ses_free(d->links[i].queue);
        d->links[i].queue = NULL;
    }
}
