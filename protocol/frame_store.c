/* /session/store/1 */
#include "protocol/frame_internal.h"

void ses_store_put_write(struct ses_writer *w, const struct ses_store_put *m)
{
    ses_writer_check(w, m->entry <= SES_ENTRY_STAMP);
    ses_request_write(w, SES_STORE_PUT);
    ses_record_write(w, &m->record);
    ses_write_u8(w, (uint8_t)m->entry);
    if (m->entry == SES_ENTRY_TOKEN) {
        ses_write_bytes(w, m->token.bytes, sizeof m->token.bytes);
    } else if (m->entry == SES_ENTRY_STAMP) {
        ses_write_u64(w, m->stamp);
    }
    ses_write_u32(w, m->wait_ms);
}

enum ses_err ses_store_put_read(struct ses_store_put *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, SES_STORE_PUT);
    ses_record_read(&r, &m->record);
    const uint8_t entry = ses_read_u8(&r);
    ses_reader_check(&r, entry <= SES_ENTRY_STAMP, SES_ERR_MALFORMED);
    m->entry = (enum ses_entry_kind)entry;
    if (m->entry == SES_ENTRY_TOKEN) {
        ses_read_bytes(&r, m->token.bytes, sizeof m->token.bytes);
    } else if (m->entry == SES_ENTRY_STAMP) {
        m->stamp = ses_read_u64(&r);
    }
    m->wait_ms = ses_read_u32(&r);
    return ses_read_end(&r, m, sizeof *m);
}

static bool state_ok(unsigned state)
{
    return state == SES_STORED || state == SES_PENDING;
}

void ses_stored_write(struct ses_writer *w, const struct ses_stored *m)
{
    ses_writer_check(w, state_ok(m->state));
    ses_response_ok(w);
    ses_write_u8(w, (uint8_t)m->state);
    ses_write_bytes(w, m->id.bytes, sizeof m->id.bytes);
    ses_write_u8(w, m->quorum);
    ses_members_write(w, m->nodes, m->node_cnt);
}

enum ses_err ses_stored_read(struct ses_stored *m, struct ses_reader *r)
{
    memset(m, 0, sizeof *m);
    const uint8_t state = ses_read_u8(r);
    ses_reader_check(r, state_ok(state), SES_ERR_MALFORMED);
    m->state = (enum ses_store_state)state;
    ses_read_bytes(r, m->id.bytes, sizeof m->id.bytes);
    m->quorum = ses_read_u8(r);
    m->node_cnt = ses_members_read(r, m->nodes);
    return ses_read_end(r, m, sizeof *m);
}

void ses_store_receipts_write(struct ses_writer *w, const struct ses_hash *id)
{
    ses_request_write(w, SES_STORE_RECEIPTS);
    ses_write_bytes(w, id->bytes, sizeof id->bytes);
}

enum ses_err ses_store_receipts_read(struct ses_hash *id, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    ses_request_expect(&r, body, len, SES_STORE_RECEIPTS);
    ses_read_bytes(&r, id->bytes, sizeof id->bytes);
    return ses_read_end(&r, id, sizeof *id);
}
