/* The answering side of /session/sync/1: a question is answered from the store as it is now, and
 * forgotten. */
#include "daemon/daemon_internal.h"

#define RECORD_BYTES_MAX 655360u  /* of the records in one answer, unless it is only one */
#define RECEIPT_BYTES_MAX 327680u /* of their receipts */
#define RECEIPTS_EACH 3u          /* ours and others' */
#define RECEIPT_BYTES_EST (SES_RECEIPT_LEAF_BYTES + 8u + 32u * SES_RECEIPT_PATH_MAX)
#define GROUP_BYTES_EST (24u + SES_DSA_SIG_BYTES)

struct served {
    uint8_t *record; /* header 48, u32 length, payload; NULL: not (yet) there */
    size_t len;
    struct ses_receipt *receipts;
    uint16_t receipt_cnt;
    struct serve *serve;
};
struct serve {
    struct ses_daemon *d;
    struct ses_call *call;
    struct ses_node_id node_id; /* who asks */
    struct reconcile_reply *reply;
    struct served items[SES_SYNC_RECORDS_MAX];
    uint32_t item_cnt;
    uint32_t left; /* answers of the store still to come */
    bool more;
};

/* ---- admission ---- */
static enum ses_err may_ask(struct ses_daemon *d, const struct ses_peer *peer)
{
    SES_REQUIRE(!d->draining && d->map != NULL, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(peer->is_node, SES_ERR_UNAUTHORISED);
    const struct ses_map_node *node = ses_daemon_node(d, &peer->node_id);
    SES_REQUIRE(node != NULL && node->row.status != SES_NODE_RETIRED, SES_ERR_UNAUTHORISED);
    SES_REQUIRE(ses_meter_take(&d->meters, peer, 5, SYNC_RATE, ses_daemon_mono(d)), SES_ERR_RATE);
    SES_REQUIRE(d->sync.reply_cnt < SYNC_REPLIES_MAX, SES_ERR_RATE);
    SES_REQUIRE(ses_sync_peer(d, &peer->node_id)->replies < SYNC_REPLIES_PEER, SES_ERR_RATE);
    return SES_OK;
}

struct sync_peer *ses_sync_begin(struct ses_daemon *d, struct ses_call *call)
{
    const struct ses_peer *peer = ses_call_peer(call);
    const enum ses_err err = may_ask(d, peer);
    if (err != SES_OK) {
        d->stats.limits_hit += err == SES_ERR_RATE ? 1 : 0;
        ses_refuse(d, call, err);
        return NULL;
    }
    struct sync_peer *who = ses_sync_peer(d, &peer->node_id);
    who->replies++;
    d->sync.reply_cnt++;
    ses_daemon_hold(d);
    return who;
}

void ses_sync_end(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    struct sync_peer *who = ses_sync_peer(d, node_id);
    SES_ASSERT(who->replies > 0 && d->sync.reply_cnt > 0);
    who->replies--;
    d->sync.reply_cnt--;
    ses_daemon_release(d);
}

static void serve_end(struct serve *s)
{
    for (uint32_t i = 0; i < s->item_cnt; i++) {
        ses_free(s->items[i].record);
        ses_free(s->items[i].receipts);
    }
    reconcile_reply_free(s->reply);
    struct ses_daemon *d = s->d;
    const struct ses_node_id node_id = s->node_id;
    ses_free(s);
    ses_sync_end(d, &node_id);
}

static void fail(struct serve *s, enum ses_err err)
{
    ses_refuse(s->d, s->call, err);
    serve_end(s);
}

/* ---- records ---- */
static enum ses_err write_records(const struct serve *s, struct ses_writer *w, uint16_t *record_cnt,
                                  struct receipt_at *list, uint16_t *receipt_cnt)
{
    size_t bytes = 0;
    const struct ses_receipt *last = NULL;
    for (uint32_t i = 0; i < s->item_cnt; i++) {
        const struct served *item = &s->items[i];
        if (item->record == NULL) {
            continue;
        }
        ses_write_bytes(w, item->record, item->len);
        for (uint16_t k = 0; k < item->receipt_cnt; k++) {
            const struct ses_receipt *receipt = &item->receipts[k];
            const bool batch = last != NULL && ses_equal(&last->signature, &receipt->signature,
                                                         sizeof receipt->signature);
            bytes += RECEIPT_BYTES_EST + (batch ? 0 : GROUP_BYTES_EST);
            if (bytes > RECEIPT_BYTES_MAX) {
                break;
            }
            last = receipt;
            list[*receipt_cnt] = (struct receipt_at){.record = *record_cnt, .receipt = receipt};
            *receipt_cnt = (uint16_t)(*receipt_cnt + 1);
        }
        *record_cnt = (uint16_t)(*record_cnt + 1);
    }
    return w->err;
}

static enum ses_err encode_records(const struct serve *s, struct ses_buf *out)
{
    struct receipt_at list[SES_SYNC_RECORDS_MAX * RECEIPTS_EACH];
    bool written[SES_SYNC_RECORDS_MAX * RECEIPTS_EACH] = {false};
    const struct ses_sync_records head = {.more = s->more};
    uint16_t record_cnt = 0;
    uint16_t receipt_cnt = 0;
    struct ses_writer w;
    SES_TRY(ses_buf_reserve(out, SES_FRAME_BYTES_MAX));
    ses_writer_init(&w, out->bytes, SES_FRAME_BYTES_MAX);
    ses_sync_records_write(&w, &head);
    SES_TRY(write_records(s, &w, &record_cnt, list, &receipt_cnt));
    uint8_t *group_cnt = ses_write_space(&w, 2);
    const uint16_t groups = ses_groups_write(&w, list, receipt_cnt, written);
    SES_TRY(ses_writer_done(&w));
    ses_put_u16(out->bytes + 4, record_cnt);
    ses_put_u16(group_cnt, groups);
    out->len = w.len;
    return SES_OK;
}

static void gathered(struct serve *s)
{
    struct ses_buf out = {0};
    SES_ASSERT(s->left > 0);
    if (--s->left > 0) {
        return;
    }
    const enum ses_err err = encode_records(s, &out);
    if (err != SES_OK) {
        fail(s, err);
    } else {
        s->d->stats.sync_served += s->item_cnt;
        ses_call_reply(s->call, out.bytes, out.len);
        serve_end(s);
    }
    if (!SES_MUTANT(ANSWER_KEPT)) {
        ses_buf_free(&out);
    }
}

static void on_record(void *cookie, enum ses_err err, const struct ses_record_copy *copy)
{
    struct served *item = cookie;
    if (err == SES_OK) {
        const size_t len = SES_RECORD_HEADER_BYTES + 4 + (size_t)copy->payload_bytes;
        item->record = ses_alloc(len, 1);
        if (item->record != NULL) {
            memcpy(item->record, copy->header, SES_RECORD_HEADER_BYTES);
            ses_put_u32(item->record + SES_RECORD_HEADER_BYTES, copy->payload_bytes);
            memcpy(item->record + SES_RECORD_HEADER_BYTES + 4, copy->payload, copy->payload_bytes);
            item->len = len;
        }
    }
    gathered(item->serve);
}

static void on_receipts(void *cookie, enum ses_err err, const struct ses_receipt *receipts,
                        uint16_t receipt_cnt)
{
    struct served *item = cookie;
    const uint16_t cnt = receipt_cnt < RECEIPTS_EACH ? receipt_cnt : RECEIPTS_EACH;
    if (err == SES_OK && cnt > 0) {
        item->receipts = ses_alloc(cnt, sizeof *receipts);
        if (item->receipts != NULL) {
            memcpy(item->receipts, receipts, cnt * sizeof *receipts);
            item->receipt_cnt = cnt;
        }
    }
    gathered(item->serve);
}

/* False if there is nothing to give: of what a statement deleted the leaf is left, and no record.
 */
static bool gather_one(struct serve *s, const struct ses_hash *id)
{
    struct ses_store *store = s->d->p.store;
    struct served *item = &s->items[s->item_cnt];
    item->serve = s;
    const enum ses_err err = ses_store_get(store, id, on_record, item);
    s->more |= err == SES_ERR_FULL;
    if (err != SES_OK) {
        return false;
    }
    s->item_cnt++;
    s->left++;
    s->left += ses_store_receipts(store, id, on_receipts, item) == SES_OK ? 1 : 0;
    return true;
}

/* As many of the leaves that were found as one answer holds. */
static void gather(void *cookie, enum ses_err err)
{
    struct serve *s = cookie;
    size_t bytes = 0;
    if (err != SES_OK) {
        fail(s, SES_ERR_UNAVAILABLE);
        return;
    }
    s->left = 1;
    for (uint32_t i = 0; i < s->reply->found_cnt && s->item_cnt < SES_SYNC_RECORDS_MAX; i++) {
        const struct ses_leaf *leaf = &s->reply->found[i];
        struct ses_hash id;
        memcpy(id.bytes, leaf->key.bytes + 32, 32);
        if (ses_withhold(s->d, &s->node_id, &id)) {
            continue;
        }
        const size_t size = SES_RECORD_HEADER_BYTES + 4 +
                            (leaf->kind == SES_RECORD_MESSAGE ? leaf->size : SES_DELETE_BYTES_MAX);
        if (s->item_cnt > 0 && bytes + size > RECORD_BYTES_MAX) {
            s->more = true;
            break;
        }
        bytes += gather_one(s, &id) ? size : 0;
    }
    gathered(s);
}

/* ---- questions ---- */
static void step(struct serve *s);

static void go_on(struct serve *s, enum ses_err err)
{
    if (err == SES_OK && s->d->closing) {
        err = SES_ERR_UNAVAILABLE;
    }
    if (err != SES_OK) {
        fail(s, err);
    } else {
        step(s);
    }
}

static void on_segments(void *cookie, const struct ses_segments_result *result)
{
    struct serve *s = cookie;
    enum ses_err err = result->err;
    if (err == SES_OK) {
        s->reply->partial = !ses_sync_holds(s->d, &s->reply->ask.set);
        err = reconcile_reply_segments(s->reply, result->segments, result->segment_cnt);
    }
    go_on(s, err);
}

static void on_children(void *cookie, enum ses_err err, const struct ses_sum (*sums)[16],
                        size_t ask_cnt)
{
    struct serve *s = cookie;
    go_on(s, err == SES_OK ? reconcile_reply_children(s->reply, sums, ask_cnt) : err);
}

static void on_leaves(void *cookie, enum ses_err err, const struct ses_leaf *leaves,
                      size_t leaf_cnt)
{
    struct serve *s = cookie;
    go_on(s, err == SES_OK ? reconcile_reply_leaves(s->reply, leaves, leaf_cnt) : err);
}

static enum ses_err need(struct serve *s)
{
    struct ses_store *store = s->d->p.store;
    const struct reconcile_need *n = &s->reply->need;
    const struct ses_view view = {.epoch = SES_EPOCH_LIVE,
                                  .swarm = s->reply->ask.set.swarm,
                                  .num_swarms = s->reply->ask.set.num_swarms};
    switch (n->kind) {
    case RECONCILE_SEGMENTS:
        return ses_store_segments(store, &view, n->from_hour, on_segments, s);
    case RECONCILE_CHILDREN:
        return ses_store_children(store, &view, n->asks, n->ask_cnt, on_children, s);
    case RECONCILE_LEAVES:
        return ses_store_leaves(store, &view, &n->range, n->leaf_max, on_leaves, s);
    case RECONCILE_SEND:
    case RECONCILE_DONE:
        break;
    }
    return SES_ERR_INVALID;
}

static void step(struct serve *s)
{
    if (s->reply->need.kind == RECONCILE_SEND) {
        ses_call_reply(s->call, s->reply->need.frame.bytes, s->reply->need.frame.len);
        serve_end(s);
    } else if (s->reply->need.kind == RECONCILE_DONE) {
        ses_withhold_learn(s->d, &s->node_id, gather, s);
    } else {
        const enum ses_err err = need(s);
        if (err != SES_OK) {
            fail(s, err);
        }
    }
}

/* ---- offers ---- */
static enum ses_err read_offer(struct reconcile_params *params, struct ses_sync_group **groups,
                               uint16_t *cnt, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    struct ses_sync_ask ask;
    SES_TRY(ses_sync_ask_read(&ask, &r, body, len));
    *groups = ses_alloc((size_t)ask.cnt + 1, sizeof **groups);
    SES_REQUIRE(*groups != NULL, SES_ERR_MEMORY);
    for (uint16_t i = 0; i < ask.cnt && r.err == SES_OK; i++) {
        ses_sync_group_read(&r, &(*groups)[i]);
    }
    *params = (struct reconcile_params){.set = ask.set, .nonce = ask.nonce};
    *cnt = ask.cnt;
    return ses_reader_done(&r);
}

/* Whoever holds a seat may offer: one that leaves the swarm hands over what it has. */
static void serve_offer(struct ses_daemon *d, struct ses_call *call,
                        const struct ses_node_id *node_id, const uint8_t *body, size_t len)
{
    struct reconcile_params params;
    struct ses_sync_group *groups = NULL;
    uint16_t cnt = 0;
    enum ses_err err = read_offer(&params, &groups, &cnt, body, len);
    const struct ses_sync_set *own = &d->sync.seat;
    if (err == SES_OK &&
        (params.set.num_swarms != own->num_swarms || params.set.swarm != own->swarm)) {
        err = SES_ERR_UNAVAILABLE; /* our maps differ for now */
    }
    /* while this node catches up it asks the members itself, and may take whole segments in bulk;
     * one that left is asked once, and may be the only one with the records */
    const bool finds_out =
        d->sync.partial && (ses_bulk_busy(d) || ses_daemon_is_member(d, node_id));
    if (err == SES_OK &&
        (finds_out || ses_sync_peer(d, node_id)->cut_until_ms > ses_daemon_mono(d))) {
        err = SES_ERR_RATE;
    }
    if (err == SES_OK && cnt > 0) {
        err = ses_sync_offered(d, node_id, &params, groups, cnt);
    }
    ses_free(groups);
    if (err != SES_OK) {
        ses_refuse(d, call, err == SES_ERR_EXISTS || err == SES_ERR_FULL ? SES_ERR_RATE : err);
        return;
    }
    static const uint8_t ok[] = {SES_FRAME_VERSION, 0, 0};
    ses_call_reply(call, ok, sizeof ok);
}

static enum ses_err serve_new(struct serve **out, struct ses_daemon *d,
                              const struct ses_node_id *node_id, const uint8_t *body, size_t len)
{
    struct serve *s = ses_alloc(1, sizeof *s);
    SES_REQUIRE(s != NULL, SES_ERR_MEMORY);
    enum ses_err err = reconcile_reply_new(&s->reply, body, len);
    /* sums and names tell nothing of a message: whoever leaves a swarm may compare */
    if (err == SES_OK && s->reply->ask.op == SES_SYNC_FETCH &&
        !ses_sync_entitled(d, node_id, &s->reply->ask.set)) {
        err = SES_ERR_UNAUTHORISED;
    }
    if (err != SES_OK) {
        reconcile_reply_free(s->reply);
        ses_free(s);
        return err;
    }
    *out = s;
    return SES_OK;
}

void ses_sync_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = cookie;
    struct sync_peer *who = ses_sync_begin(d, call);
    if (who == NULL) {
        return;
    }
    const struct ses_node_id node_id = who->node_id;
    if (len >= 2 && body[1] == SES_SYNC_OFFER) {
        serve_offer(d, call, &node_id, body, len);
        ses_sync_end(d, &node_id);
        return;
    }
    struct serve *s = NULL;
    const enum ses_err err = serve_new(&s, d, &node_id, body, len);
    if (err != SES_OK) {
        ses_refuse(d, call, err);
        ses_sync_end(d, &node_id);
        return;
    }
    s->d = d;
    s->call = call;
    s->node_id = node_id;
    step(s);
}
