/* The outbox item as bytes, for the disk. Accepted bytes encode identically. */
#include <string.h>

#include "messaging/messaging.h"

#define ITEM_VERSION 1u
#define FIXED_MAX                                                                                  \
    (1u + 16u + 33u + 2u + 3u + 1u + 8u * 3u + 4u * 3u + 2u + 2u + 1u + 32u + 8u + 32u + 8u + 2u + \
     20u * SES_MEMBERS_MAX + 8u)

static void write_progress(struct ses_writer *w, const struct ses_outbox_item *item)
{
    ses_write_u8(w, (uint8_t)item->state);
    ses_write_u64(w, item->created_ms);
    ses_write_u64(w, item->next_ms);
    ses_write_u64(w, item->order);
    ses_write_u32(w, item->attempts);
    ses_write_u32(w, item->tried);
    ses_write_u32(w, item->rounds);
    ses_write_u8(w, item->refreshed);
    ses_write_u16(w, (uint16_t)item->last_err);
}

static void write_entry(struct ses_writer *w, const struct ses_outbox_item *item)
{
    ses_write_u8(w, item->work_bits);
    ses_write_u8(w, (uint8_t)item->entry);
    ses_write_bytes(w, item->token.bytes, sizeof item->token.bytes);
    ses_write_u64(w, item->stamp);
    ses_write_bytes(w, item->id.bytes, sizeof item->id.bytes);
    ses_write_u64(w, item->ts_ms);
    ses_write_u8(w, item->quorum);
    ses_write_u8(w, item->node_cnt);
    for (unsigned i = 0; i < item->node_cnt; i++) {
        ses_write_bytes(w, item->nodes[i].bytes, sizeof item->nodes[i].bytes);
    }
}

enum ses_err ses_outbox_encode(struct ses_buf *out, const struct ses_outbox_item *item)
{
    struct ses_writer w;
    const size_t room = FIXED_MAX + item->body.len + item->record.len;
    SES_REQUIRE(item->node_cnt <= SES_MEMBERS_MAX, SES_ERR_INVALID);
    SES_TRY(ses_buf_reserve(out, room));
    ses_writer_init(&w, out->bytes + out->len, room);
    ses_write_u8(&w, ITEM_VERSION);
    ses_write_bytes(&w, item->uuid, sizeof item->uuid);
    ses_write_bytes(&w, item->to.bytes, sizeof item->to.bytes);
    ses_write_u16(&w, item->type);
    ses_write_u8(&w, item->ttl_class);
    ses_write_u8(&w, item->with_keys);
    ses_write_u8(&w, item->sign_body);
    write_progress(&w, item);
    write_entry(&w, item);
    ses_write_u32(&w, (uint32_t)item->body.len);
    ses_write_bytes(&w, item->body.bytes, item->body.len);
    ses_write_u32(&w, (uint32_t)item->record.len);
    ses_write_bytes(&w, item->record.bytes, item->record.len);
    SES_TRY(ses_writer_done(&w));
    out->len += w.len;
    return SES_OK;
}

static bool read_bool(struct ses_reader *r)
{
    const uint8_t v = ses_read_u8(r);
    ses_reader_check(r, v <= 1, SES_ERR_MALFORMED);
    return v == 1;
}

static void read_progress(struct ses_reader *r, struct ses_outbox_item *item)
{
    const uint8_t state = ses_read_u8(r);
    ses_reader_check(r, state >= SES_OUTBOX_SEAL && state <= SES_OUTBOX_FAILED, SES_ERR_MALFORMED);
    item->state = (enum ses_outbox_state)state;
    item->created_ms = ses_read_u64(r);
    item->next_ms = ses_read_u64(r);
    item->order = ses_read_u64(r);
    item->attempts = ses_read_u32(r);
    item->tried = ses_read_u32(r);
    item->rounds = ses_read_u32(r);
    item->refreshed = read_bool(r);
    const uint16_t err = ses_read_u16(r);
    item->last_err = ses_err_from_code(err);
    ses_reader_check(r, (uint16_t)item->last_err == err, SES_ERR_MALFORMED);
}

static void read_entry(struct ses_reader *r, struct ses_outbox_item *item)
{
    item->work_bits = ses_read_u8(r);
    const uint8_t entry = ses_read_u8(r);
    ses_reader_check(r, entry <= SES_ENTRY_STAMP, SES_ERR_MALFORMED);
    item->entry = (enum ses_entry_kind)entry;
    ses_read_bytes(r, item->token.bytes, sizeof item->token.bytes);
    item->stamp = ses_read_u64(r);
    ses_read_bytes(r, item->id.bytes, sizeof item->id.bytes);
    item->ts_ms = ses_read_u64(r);
    item->quorum = ses_read_u8(r);
    const uint8_t node_cnt = ses_read_u8(r);
    ses_reader_check(r, node_cnt <= SES_MEMBERS_MAX, SES_ERR_MALFORMED);
    item->node_cnt = r->err == SES_OK ? node_cnt : 0;
    for (unsigned i = 0; i < item->node_cnt; i++) {
        ses_read_bytes(r, item->nodes[i].bytes, sizeof item->nodes[i].bytes);
    }
}

static enum ses_err read_blob(struct ses_reader *r, struct ses_buf *out, size_t max)
{
    const uint32_t len = ses_read_u32(r);
    ses_reader_check(r, len <= max, SES_ERR_TOO_LARGE);
    const uint8_t *bytes = ses_read_view(r, r->err == SES_OK ? len : 0);
    return r->err == SES_OK ? ses_buf_append(out, bytes, len) : SES_OK;
}

/* What the state machine relies on. */
static void check_item(struct ses_reader *r, const struct ses_outbox_item *item)
{
    const bool sealed = item->record.len > 0;
    const bool finished = item->state == SES_OUTBOX_STORED || item->state == SES_OUTBOX_FAILED;
    ses_reader_check(r, item->ttl_class < SES_TTL_CLASS_CNT, SES_ERR_MALFORMED);
    ses_reader_check(r, item->to.bytes[0] == 0x07, SES_ERR_MALFORMED);
    ses_reader_check(r, sealed == (item->state == SES_OUTBOX_OFFER), SES_ERR_MALFORMED);
    ses_reader_check(r, !sealed || item->record.len >= SES_RECORD_HEADER_BYTES, SES_ERR_MALFORMED);
    ses_reader_check(r, !finished || item->body.len == 0, SES_ERR_MALFORMED);
}

static enum ses_err decode(struct ses_outbox_item *item, const uint8_t *bytes, size_t len)
{
    struct ses_reader r;
    ses_reader_init(&r, bytes, len);
    ses_reader_check(&r, ses_read_u8(&r) == ITEM_VERSION, SES_ERR_VERSION);
    ses_read_bytes(&r, item->uuid, sizeof item->uuid);
    ses_read_bytes(&r, item->to.bytes, sizeof item->to.bytes);
    item->type = ses_read_u16(&r);
    item->ttl_class = ses_read_u8(&r);
    item->with_keys = read_bool(&r);
    item->sign_body = read_bool(&r);
    read_progress(&r, item);
    read_entry(&r, item);
    SES_TRY(read_blob(&r, &item->body, SES_OUTBOX_BODY_MAX));
    SES_TRY(read_blob(&r, &item->record, SES_RECORD_HEADER_BYTES + SES_PAYLOAD_MAX));
    check_item(&r, item);
    return ses_reader_done(&r);
}

enum ses_err ses_outbox_decode(struct ses_outbox_item *item, const uint8_t *bytes, size_t len)
{
    memset(item, 0, sizeof *item);
    const enum ses_err err = decode(item, bytes, len);
    if (err != SES_OK) {
        ses_outbox_free(item);
    }
    return err;
}
