/* Receipts: the signed promises of the members, fetched and checked by us. */
#include <inttypes.h>
#include <string.h>

#include "client/client_internal.h"

#define ASK_MS 4000u /* of one member */

static bool has_node(const struct ses_node_id *nodes, uint32_t cnt, const struct ses_node_id *id)
{
    for (uint32_t i = 0; i < cnt; i++) {
        if (memcmp(nodes[i].bytes, id->bytes, sizeof id->bytes) == 0) {
            return true;
        }
    }
    return false;
}

struct counting {
    struct ses_client *client;
    const struct ses_receipt_want *want;
    struct ses_node_id *nodes;
    uint32_t cnt;
    struct ses_buf *raw;
    const struct ses_swarm_view *view;
    uint32_t quorum;
    uint32_t asked; /* members that gave an answer */
    uint64_t tried; /* bits of view->nodes */
    enum ses_err last;
};

static enum ses_err take_receipt(void *cookie, const struct ses_receipt *receipt)
{
    struct counting *k = cookie;
    uint8_t bytes[SES_RECEIPT_BYTES_MAX];
    struct ses_writer w;
    struct ses_client *c = k->client;
    if (k->cnt >= SES_MEMBERS_MAX || has_node(k->nodes, k->cnt, &receipt->node_id)) {
        return SES_OK;
    }
    const enum ses_err err =
        ses_receipt_check(receipt, k->want, &c->registry.map, &c->registry.chain_id, &c->memo);
    if (err != SES_OK) {
        ses_logf(&c->log, SES_LOG_WARN, "receipts", "a receipt does not count: %s",
                 ses_err_text(err));
        return SES_OK;
    }
    k->nodes[k->cnt++] = receipt->node_id;
    if (k->raw == NULL) {
        return SES_OK;
    }
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_receipt_write(&w, receipt);
    SES_TRY(ses_writer_done(&w));
    return ses_buf_append(k->raw, bytes, w.len);
}

/* The members in the order to ask them. */
static void put_first(const struct ses_map *map, struct ses_swarm_view *view,
                      const struct ses_node_id *first)
{
    for (uint32_t i = 1; first != NULL && i < view->cnt; i++) {
        if (memcmp(map->nodes[view->nodes[i]].row.node_id.bytes, first->bytes, 20) == 0) {
            const uint32_t node = view->nodes[i];
            view->nodes[i] = view->nodes[0];
            view->nodes[0] = node;
        }
    }
}

static const struct ses_map_node *ask_receipts(void *cookie, uint32_t member, struct ses_writer *w)
{
    struct counting *k = cookie;
    if ((k->tried >> member & 1) != 0 || (!k->want->all && k->cnt >= k->quorum)) {
        return NULL;
    }
    k->tried |= (uint64_t)1 << member;
    ses_store_receipts_write(w, &k->want->id);
    return &k->client->registry.map.nodes[k->view->nodes[member]];
}

static enum ses_err on_receipts(void *cookie, uint32_t member, enum ses_err err,
                                const uint8_t *body, size_t len)
{
    struct counting *k = cookie;
    (void)member;
    if (err == SES_OK) {
        err = ses_receipts_answer(body, len, take_receipt, k);
        k->asked += err == SES_OK || err == SES_ERR_NOT_FOUND;
    }
    k->last = err != SES_OK ? err : k->last;
    return err == SES_ERR_MEMORY ? err : SES_OK;
}

/* All at once; or one after the other until they are enough, since the first one has them all. */
static enum ses_err count_receipts(struct counting *k, uint64_t ask_ms)
{
    struct ses_many many = {.proto = SES_PROTO_STORE,
                            .deadline_ms = ask_ms,
                            .ask = ask_receipts,
                            .answered = on_receipts,
                            .cookie = k};
    for (uint32_t i = 1; !k->want->all && i < k->view->cnt && k->cnt < k->quorum; i++) {
        SES_TRY(ses_client_ask_many(k->client, &many, i));
    }
    return ses_client_ask_many(k->client, &many, k->view->cnt);
}

enum ses_err ses_client_count(struct ses_client *c, const struct ses_receipt_want *want,
                              struct ses_node_id *nodes, uint32_t *node_cnt, uint32_t *quorum,
                              uint32_t *asked, struct ses_buf *raw, struct ses_note *note)
{
    struct ses_swarm_view view;
    struct counting k = {.client = c,
                         .want = want,
                         .nodes = nodes,
                         .raw = raw,
                         .view = &view,
                         .last = SES_ERR_UNREACHABLE};
    const uint64_t ask_ms = c->timeout_ms < ASK_MS ? c->timeout_ms : ASK_MS;
    *node_cnt = *asked = 0;
    SES_TRY(ses_client_need_map(c, false, note));
    SES_TRY(ses_client_need_net(c, note));
    SES_TRY(ses_client_view(c, &want->inbox, &view, note));
    *quorum = ses_write_quorum(view.active_cnt); /* by our map, not by an entry node's word */
    k.quorum = *quorum;
    put_first(&c->registry.map, &view, want->first);
    SES_TRY(count_receipts(&k, ask_ms));
    *node_cnt = k.cnt;
    *asked = k.asked;
    if (k.asked == 0) {
        ses_note_set(note,
                     "none of the %" PRIu32 " nodes of swarm %" PRIu32 " gave its receipts "
                     "(last: %s)",
                     view.cnt, view.swarm, ses_err_text(k.last));
        return k.last;
    }
    return SES_OK;
}

static enum ses_err receipts(struct ses_client *c, const struct ses_client_sent *sent,
                             struct ses_node_id *nodes, uint32_t *cnt, struct ses_note *note)
{
    struct ses_receipt_want want = {.ttl_class = (uint8_t)sent->ttl_class, .ts_ms = sent->ts_ms};
    struct ses_session_id to;
    struct ses_buf raw = {0};
    uint32_t quorum = 0;
    uint32_t asked = 0;
    if (sent->ts_ms == 0 || sent->ttl_class >= SES_TTL_CLASS_CNT) {
        ses_note_set(note, "no node has accepted this message yet");
        return SES_ERR_INVALID;
    }
    SES_TRY(ses_session_id_parse(&to, sent->to, note));
    memcpy(want.id.bytes, sent->id, sizeof want.id.bytes);
    memcpy(want.inbox.bytes, to.bytes + 1, sizeof want.inbox.bytes);
    enum ses_err err = ses_client_count(c, &want, nodes, cnt, &quorum, &asked, &raw, note);
    if (err == SES_OK && raw.len > 0) {
        err = ses_receipts_keep(c, &want.id, &raw, note);
    }
    ses_buf_free(&raw);
    if (err == SES_OK && *cnt < quorum) {
        ses_note_set(note,
                     "%" PRIu32 " valid receipts of %" PRIu32 " wanted: the swarm goes on "
                     "replicating, ask again later",
                     *cnt, quorum);
        return SES_ERR_AGAIN;
    }
    return err;
}

enum ses_err ses_client_keep_receipts(struct ses_client *c, const struct ses_outbox_item *item,
                                      struct ses_note *note)
{
    struct ses_node_id nodes[SES_MEMBERS_MAX];
    struct ses_receipt_want want = {
        .id = item->id, .ttl_class = item->ttl_class, .ts_ms = item->ts_ms};
    struct ses_buf raw = {0};
    uint32_t cnt = 0;
    uint32_t quorum = 0;
    uint32_t asked = 0;
    struct ses_segment segment;
    ses_segment_of(&segment, item->ttl_class, item->ts_ms);
    if (item->state != SES_OUTBOX_STORED || ses_receipts_have(c, &item->id) ||
        ses_segment_expires_ms(&segment) <= ses_client_now(c)) {
        return SES_OK;
    }
    memcpy(want.inbox.bytes, item->to.bytes + 1, sizeof want.inbox.bytes);
    want.first = item->node_cnt > 0 ? &item->nodes[0] : NULL;
    enum ses_err err = ses_client_count(c, &want, nodes, &cnt, &quorum, &asked, &raw, note);
    if (err == SES_OK && cnt >= quorum) {
        err = ses_receipts_keep(c, &item->id, &raw, note);
    } else if (err == SES_OK) { /* a quorum that knows nothing: it was deleted */
        err = cnt == 0 && asked >= quorum ? SES_ERR_NOT_FOUND : SES_ERR_AGAIN;
    }
    ses_buf_free(&raw);
    return err;
}

int ses_client_receipts(struct ses_client *c, const struct ses_client_sent *sent, unsigned *valid,
                        char nodes[SES_CLIENT_NODES_MAX][SES_CLIENT_NODE_TEXT],
                        struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_node_id ids[SES_MEMBERS_MAX];
    uint32_t cnt = 0;
    const enum ses_err err = receipts(c, sent, ids, &cnt, &n);
    *valid = cnt;
    for (uint32_t i = 0; nodes != NULL && i < cnt; i++) {
        ses_node_id_text(nodes[i], &ids[i]);
    }
    return ses_client_finish(c, err, &n, note);
}
