/* What a node answers from what it holds: pages of an inbox, receipts, itself, the registry. */
#include "daemon/daemon_internal.h"

#define PAGE_BYTES_MAX 786432u /* leaves room for one more record below the frame's limit */
#define PAGE_FLAGS_AT 3u       /* behind version and status */
#define ROW_BYTES_MAX 128u
#define KEYS_BYTES_MAX 8192u

struct read {
    struct ses_daemon *d;
    struct ses_call *call;
    bool list;   /* targets instead of records */
    bool former; /* by the previous map only: new records go to other members */
    uint64_t started_ms;
};

static struct read *read_new(struct ses_daemon *d, struct ses_call *call)
{
    const bool room = ses_daemon_client_begin(d);
    struct read *read = room ? ses_alloc(1, sizeof *read) : NULL;
    if (read != NULL) {
        read->d = d;
        read->call = call;
        read->started_ms = ses_daemon_mono(d);
        return read;
    }
    ses_refuse(d, call, SES_ERR_UNAVAILABLE);
    if (room) {
        ses_daemon_client_end(d);
    }
    return NULL;
}

static void read_end(struct read *read)
{
    struct ses_daemon *d = read->d;
    ses_free(read);
    ses_daemon_client_end(d);
}

static bool may_ask(struct ses_daemon *d, struct ses_call *call)
{
    if (d->draining || d->map == NULL) {
        ses_refuse(d, call, SES_ERR_UNAVAILABLE);
        return false;
    }
    if (!ses_meter_take(&d->meters, ses_call_peer(call), 2, d->p.limits.read_rate,
                        ses_daemon_mono(d))) {
        ses_refuse(d, call, SES_ERR_RATE);
        return false;
    }
    return true;
}

/* ---- retrieve ---- */
/* What this node has not caught up with may be missing, and what came since the inbox moved to
 * other members: the page does not count for a reader. */
static bool may_lack(const struct read *read)
{
    return read->d->sync.partial || read->former;
}

static enum ses_err reply_list(struct read *read, const struct ses_page_result *page)
{
    struct ses_buf list = {0};
    const enum ses_err err = ses_list_of_page(&list, page->frame, page->len);
    if (err == SES_OK) {
        list.bytes[PAGE_FLAGS_AT] |= may_lack(read) ? SES_PAGE_PARTIAL : 0;
        ses_call_reply(read->call, list.bytes, list.len);
        read->d->stats.retrieved_bytes += list.len;
    }
    ses_buf_free(&list);
    return err;
}

static enum ses_err reply_page(struct read *read, const struct ses_page_result *page)
{
    struct ses_daemon *d = read->d;
    struct ses_buf copy = {0};
    if (may_lack(read)) {
        SES_TRY(ses_buf_append(&copy, page->frame, page->len));
        copy.bytes[PAGE_FLAGS_AT] |= SES_PAGE_PARTIAL;
    }
    ses_call_reply(read->call, may_lack(read) ? copy.bytes : page->frame, page->len);
    ses_buf_free(&copy);
    d->stats.retrieved_records += page->record_cnt;
    d->stats.retrieved_bytes += page->len;
    ses_latency_add(&d->stats.retrieve_latency, ses_daemon_mono(d) - read->started_ms);
    return SES_OK;
}

static void on_page(void *cookie, const struct ses_page_result *page)
{
    struct read *read = cookie;
    enum ses_err err = page->err;
    if (err == SES_OK && read->list) {
        err = reply_list(read, page);
    } else if (err == SES_OK) {
        err = reply_page(read, page);
    }
    if (err != SES_OK) {
        ses_refuse(read->d, read->call, err);
    }
    read_end(read);
}

static void serve_page(struct ses_daemon *d, struct ses_call *call, struct ses_retrieve *ask,
                       bool list)
{
    struct ses_hash digest;
    ses_inbox_digest(&digest, &ask->inbox);
    if (!ses_daemon_serves(d, &digest, true)) {
        ses_refuse_swarm(d, call, &digest);
        return;
    }
    if (!ses_ns_public_outbox(ask->ns) && !ses_call_logged_in(call, &ask->inbox)) {
        ses_refuse(d, call, SES_ERR_UNAUTHORISED);
        return;
    }
    ask->bytes_max = ask->bytes_max < PAGE_BYTES_MAX ? ask->bytes_max : PAGE_BYTES_MAX;
    struct read *read = read_new(d, call);
    enum ses_err err = SES_OK;
    if (read != NULL) {
        read->list = list;
        read->former = !ses_daemon_serves(d, &digest, false);
        err = ses_store_page(d->p.store, ask, on_page, read);
    }
    if (err != SES_OK) {
        ses_refuse(d, call, err);
        read_end(read);
    }
}

void ses_read_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = cookie;
    struct ses_reader r;
    struct ses_retrieve ask;
    uint8_t op = 0;
    if (!may_ask(d, call)) {
        return;
    }
    d->stats.retrieves++;
    enum ses_err err = ses_request_begin(&r, body, len, &op);
    if (err == SES_OK && op == SES_RETRIEVE_PROVE) {
        ses_prove_serve(d, call, body, len);
        return;
    }
    if (err == SES_OK && op == SES_RETRIEVE_PAGE) {
        err = ses_retrieve_read(&ask, body, len);
    } else if (err == SES_OK) {
        err = op == SES_RETRIEVE_LIST ? ses_list_read(&ask, body, len) : SES_ERR_MALFORMED;
    }
    if (err != SES_OK) {
        ses_refuse(d, call, SES_ERR_MALFORMED);
        return;
    }
    serve_page(d, call, &ask, op == SES_RETRIEVE_LIST);
}

/* ---- receipts ---- */
static void reply_receipts(struct read *read, const struct ses_receipt *receipts, uint16_t cnt)
{
    const uint16_t n = cnt < SES_MEMBERS_MAX ? cnt : SES_MEMBERS_MAX;
    const size_t cap = 16 + (size_t)n * SES_RECEIPT_BYTES_MAX;
    uint8_t *body = ses_alloc(cap, 1);
    if (body == NULL) {
        ses_refuse(read->d, read->call, SES_ERR_UNAVAILABLE);
        return;
    }
    struct ses_writer w;
    ses_writer_init(&w, body, cap);
    ses_response_ok(&w);
    ses_write_u16(&w, n);
    for (uint16_t i = 0; i < n; i++) {
        ses_receipt_write(&w, &receipts[i]);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(read->call, body, w.len);
    ses_free(body);
}

static void on_receipts(void *cookie, enum ses_err err, const struct ses_receipt *receipts,
                        uint16_t receipt_cnt)
{
    struct read *read = cookie;
    if (err == SES_OK) {
        reply_receipts(read, receipts, receipt_cnt);
    } else {
        ses_refuse(read->d, read->call, err);
    }
    read_end(read);
}

void ses_receipts_serve(struct ses_daemon *d, struct ses_call *call, const uint8_t *body,
                        size_t len)
{
    struct ses_hash id;
    d->stats.receipts_asked++;
    if (ses_store_receipts_read(&id, body, len) != SES_OK) {
        ses_refuse(d, call, SES_ERR_MALFORMED);
        return;
    }
    struct read *read = read_new(d, call);
    const enum ses_err err =
        read != NULL ? ses_store_receipts(d->p.store, &id, on_receipts, read) : SES_OK;
    if (err != SES_OK) {
        ses_refuse(d, call, err);
        read_end(read);
    }
}

/* ---- info ---- */
void ses_info_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = cookie;
    struct ses_reader r;
    uint8_t op = 0;
    if (ses_request_begin(&r, body, len, &op) != SES_OK || op != SES_INFO_GET ||
        ses_reader_done(&r) != SES_OK) {
        ses_refuse(d, call, SES_ERR_MALFORMED);
        return;
    }
    struct ses_store_stats stats;
    ses_store_stats(d->p.store, &stats);
    struct ses_info info = {
        .node_id = d->p.node_id,
        .time_ms = ses_daemon_now(d),
        .epoch = d->map != NULL ? d->map->epoch : 0,
        .swarm = d->swarm,
        .chain_height = d->follow.head.height,
        .used_bytes = stats.disk_bytes,
        .free_bytes = stats.free_bytes,
        .record_cnt = stats.record_cnt,
    };
    snprintf(info.agent, sizeof info.agent, "%s", d->p.agent != NULL ? d->p.agent : "sessiond");
    uint8_t out[256];
    struct ses_writer w;
    ses_writer_init(&w, out, sizeof out);
    ses_info_write(&w, &info);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, out, w.len);
}

/* ---- registry ---- */
static const struct ses_map *map_of_epoch(const struct ses_daemon *d, uint64_t epoch)
{
    if (epoch == UINT64_MAX || epoch == d->map->epoch) {
        return d->map;
    }
    return d->previous != NULL && d->previous->epoch == epoch ? d->previous : NULL;
}

static void reply_rows(struct ses_daemon *d, struct ses_call *call, const struct ses_map *map,
                       uint32_t first)
{
    const uint32_t left = map->node_cnt - first;
    const uint16_t cnt = (uint16_t)(left < SES_REGISTRY_ROWS_MAX ? left : SES_REGISTRY_ROWS_MAX);
    const struct ses_registry_page page = {.epoch = map->epoch,
                                           .seed = map->seed,
                                           .root = map->registry_root,
                                           .num_swarms = map->num_swarms,
                                           .total_rows = map->node_cnt,
                                           .first_row = first,
                                           .row_cnt = cnt};
    const size_t cap = 256 + (size_t)cnt * ROW_BYTES_MAX;
    uint8_t *out = ses_alloc(cap, 1);
    if (out == NULL) {
        ses_refuse(d, call, SES_ERR_UNAVAILABLE);
        return;
    }
    struct ses_writer w;
    ses_writer_init(&w, out, cap);
    ses_registry_page_write(&w, &page);
    for (uint32_t i = 0; i < cnt; i++) {
        ses_registry_row_write(&w, &map->nodes[first + i].row);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, out, w.len);
    ses_free(out);
}

static void serve_rows(struct ses_daemon *d, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_registry_ask ask;
    if (ses_registry_ask_read(&ask, body, len) != SES_OK) {
        ses_refuse(d, call, SES_ERR_MALFORMED);
        return;
    }
    const struct ses_map *map = map_of_epoch(d, ask.epoch);
    if (map == NULL || ask.first_row > map->node_cnt) {
        ses_refuse(d, call, SES_ERR_NOT_FOUND);
        return;
    }
    reply_rows(d, call, map, ask.first_row);
}

static void serve_keys(struct ses_daemon *d, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_node_id node_id;
    if (ses_registry_keys_ask_read(&node_id, body, len) != SES_OK) {
        ses_refuse(d, call, SES_ERR_MALFORMED);
        return;
    }
    const struct ses_map_node *node = ses_daemon_node(d, &node_id);
    if (node == NULL) {
        ses_refuse(d, call, SES_ERR_NOT_FOUND);
        return;
    }
    uint8_t out[KEYS_BYTES_MAX];
    struct ses_writer w;
    ses_writer_init(&w, out, sizeof out);
    ses_response_ok(&w);
    ses_node_keys_write(&w, &node->keys);
    ses_endpoint_write(&w, &node->endpoint);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, out, w.len);
}

void ses_registry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = cookie;
    struct ses_reader r;
    uint8_t op = 0;
    if (!may_ask(d, call)) {
        return;
    }
    const bool readable = ses_request_begin(&r, body, len, &op) == SES_OK;
    if (readable && op == SES_REGISTRY_ROWS) {
        serve_rows(d, call, body, len);
    } else if (readable && op == SES_REGISTRY_KEYS) {
        serve_keys(d, call, body, len);
    } else {
        ses_refuse(d, call, SES_ERR_MALFORMED);
    }
}
