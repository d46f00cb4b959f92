/* What nodes' answers mean for a message on its way. No I/O: bytes, map and time are arguments. */
#include <string.h>

#include "client/client_internal.h"

/* ---- an offer and its answer ---- */

enum ses_err ses_offer_body(const struct ses_outbox_item *item, unsigned wait_ms,
                            struct ses_buf *out)
{
    struct ses_writer w;
    const struct ses_store_put put = {
        .record = {item->record.bytes, item->record.bytes + SES_RECORD_HEADER_BYTES,
                   (uint32_t)(item->record.len - SES_RECORD_HEADER_BYTES)},
        .entry = item->entry,
        .token = item->token,
        .stamp = item->stamp,
        .wait_ms = wait_ms};
    SES_TRY(ses_buf_reserve(out, item->record.len + 256));
    ses_writer_init(&w, out->bytes, out->cap);
    ses_store_put_write(&w, &put);
    SES_TRY(ses_writer_done(&w));
    out->len = w.len;
    return SES_OK;
}

enum ses_outbox_advice ses_offer_answer(struct ses_outbox_item *item, enum ses_err err,
                                        const uint8_t *body, size_t len, uint32_t members,
                                        uint64_t now_ms, struct ses_note *note)
{
    struct ses_reader r;
    struct ses_refusal refusal = {0};
    struct ses_stored stored;
    bool ok = false;
    if (err == SES_OK && ses_response_begin(&r, body, len, &ok, &refusal) != SES_OK) {
        err = SES_ERR_PEER;
    }
    if (err == SES_OK && !ok) {
        ses_refusal_note(note, &refusal, now_ms);
        return ses_outbox_refused(item, &refusal, members, now_ms);
    }
    if (err == SES_OK && (ses_stored_read(&stored, &r) != SES_OK ||
                          memcmp(stored.id.bytes, item->id.bytes, 32) != 0)) {
        err = SES_ERR_PEER; /* it stored something else, or nothing */
    }
    if (err != SES_OK) {
        ses_note_set(note, "no proper answer from the node: %s", ses_err_text(err));
        ses_outbox_lost(item, err, members, now_ms);
        return SES_OUTBOX_GO_ON;
    }
    if (stored.node_cnt < ses_write_quorum(members)) {
        stored.state = SES_PENDING; /* too few by our map: their receipts will tell */
    }
    ses_outbox_accepted(item, &stored, now_ms);
    return SES_OUTBOX_GO_ON;
}

enum ses_err ses_stored_answer(const uint8_t *body, size_t len, uint32_t active_cnt,
                               enum ses_store_state *state, struct ses_refusal *refusal)
{
    struct ses_reader r;
    struct ses_stored stored;
    bool ok = false;
    SES_REQUIRE(ses_response_begin(&r, body, len, &ok, refusal) == SES_OK, SES_ERR_PEER);
    SES_REQUIRE(ok, ses_refusal_err(refusal));
    SES_REQUIRE(ses_stored_read(&stored, &r) == SES_OK, SES_ERR_PEER);
    const bool enough = stored.node_cnt >= ses_write_quorum(active_cnt);
    *state = stored.state == SES_STORED && enough ? SES_STORED : SES_PENDING;
    return SES_OK;
}

/* ---- receipts ---- */

enum ses_err ses_receipts_answer(const uint8_t *body, size_t len, ses_receipt_fn *fn, void *cookie)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    bool ok;
    SES_REQUIRE(ses_response_begin(&r, body, len, &ok, &refusal) == SES_OK, SES_ERR_PEER);
    SES_REQUIRE(ok, ses_refusal_err(&refusal));
    const uint16_t n = ses_read_u16(&r);
    SES_REQUIRE(r.err == SES_OK && n <= SES_MEMBERS_MAX, SES_ERR_PEER);
    for (unsigned i = 0; i < n; i++) {
        struct ses_receipt receipt;
        ses_receipt_read(&r, &receipt);
        SES_REQUIRE(r.err == SES_OK, SES_ERR_PEER);
        SES_TRY(fn(cookie, &receipt));
    }
    return ses_reader_done(&r) == SES_OK ? SES_OK : SES_ERR_PEER;
}

static bool right_seat(const struct ses_receipt_leaf *leaf, const struct ses_registry_row *row)
{
    /* a split renumbers the swarm and keeps the seat: the number before it is as good */
    const bool swarm = leaf->swarm == row->swarm || leaf->swarm == row->prev_swarm;
    return swarm && leaf->swarm_from_epoch == row->swarm_from_epoch;
}

enum ses_err ses_receipt_check(const struct ses_receipt *receipt,
                               const struct ses_receipt_want *want, const struct ses_map *map,
                               const struct ses_hash *chain_id, struct ses_receipt_memo *memo)
{
    const struct ses_receipt_leaf *leaf = &receipt->leaf;
    struct ses_hash digest;
    struct ses_segment segment;
    ses_inbox_digest(&digest, &want->inbox);
    ses_segment_of(&segment, want->ttl_class, want->ts_ms);
    SES_REQUIRE(memcmp(leaf->id.bytes, want->id.bytes, 32) == 0, SES_ERR_PEER);
    SES_REQUIRE(memcmp(leaf->digest.bytes, digest.bytes, 32) == 0, SES_ERR_PEER);
    SES_REQUIRE(leaf->segment.ttl_class == segment.ttl_class && leaf->segment.hour == segment.hour,
                SES_ERR_PEER);
    const struct ses_map_node *node = ses_map_find(map, &receipt->node_id);
    /* W is counted among Active members, as readers count the m - W + 1 that they ask */
    SES_REQUIRE(node != NULL && node->row.status == SES_NODE_ACTIVE, SES_ERR_NOT_FOUND);
    /* a member of another swarm may sign what it likes: nobody asks it for this inbox */
    SES_REQUIRE(node->row.swarm == ses_swarm_of(&digest, map->num_swarms), SES_ERR_WRONG_SWARM);
    SES_REQUIRE(right_seat(leaf, &node->row), SES_ERR_WRONG_SWARM);
    return ses_receipt_verify_once(receipt, chain_id, &node->keys.public_key, memo);
}
