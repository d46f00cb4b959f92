/* /session/registry/1 */
#include "protocol/frame_internal.h"
#include "protocol/node_internal.h"

#define ROW_BYTES (20u + 20u + 1u + 4u + 4u + 8u + 32u)

void ses_registry_ask_write(struct ses_writer *w, const struct ses_registry_ask *m)
{
    ses_request_write(w, SES_REGISTRY_ROWS);
    ses_write_u64(w, m->epoch);
    ses_write_u32(w, m->first_row);
}

enum ses_err ses_registry_ask_read(struct ses_registry_ask *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, SES_REGISTRY_ROWS);
    m->epoch = ses_read_u64(&r);
    m->first_row = ses_read_u32(&r);
    return ses_read_end(&r, m, sizeof *m);
}

static bool page_ok(const struct ses_registry_page *m)
{
    return ses_power_of_two(m->num_swarms) && m->row_cnt <= SES_REGISTRY_ROWS_MAX &&
           m->first_row <= m->total_rows && m->row_cnt <= m->total_rows - m->first_row;
}

void ses_registry_page_write(struct ses_writer *w, const struct ses_registry_page *m)
{
    ses_writer_check(w, page_ok(m));
    ses_response_ok(w);
    ses_write_u64(w, m->epoch);
    ses_write_bytes(w, m->seed.bytes, sizeof m->seed.bytes);
    ses_write_bytes(w, m->root.bytes, sizeof m->root.bytes);
    ses_write_u32(w, m->num_swarms);
    ses_write_u32(w, m->total_rows);
    ses_write_u32(w, m->first_row);
    ses_write_u16(w, m->row_cnt);
}

void ses_registry_page_read(struct ses_reader *r, struct ses_registry_page *m)
{
    memset(m, 0, sizeof *m);
    m->epoch = ses_read_u64(r);
    ses_read_bytes(r, m->seed.bytes, sizeof m->seed.bytes);
    ses_read_bytes(r, m->root.bytes, sizeof m->root.bytes);
    m->num_swarms = ses_read_u32(r);
    m->total_rows = ses_read_u32(r);
    m->first_row = ses_read_u32(r);
    m->row_cnt = ses_read_u16(r);
    ses_reader_check(r, page_ok(m), SES_ERR_MALFORMED);
    ses_read_prove(r, m->row_cnt, ROW_BYTES);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}

void ses_registry_row_write(struct ses_writer *w, const struct ses_registry_row *row)
{
    ses_write_bytes(w, row->node_id.bytes, sizeof row->node_id.bytes);
    ses_write_bytes(w, row->owner.bytes, sizeof row->owner.bytes);
    ses_node_status_write(w, row->status);
    ses_write_u32(w, row->swarm);
    ses_write_u32(w, row->prev_swarm);
    ses_write_u64(w, row->swarm_from_epoch);
    ses_write_bytes(w, row->keys_hash.bytes, sizeof row->keys_hash.bytes);
}

void ses_registry_row_read(struct ses_reader *r, struct ses_registry_row *row)
{
    memset(row, 0, sizeof *row);
    ses_read_bytes(r, row->node_id.bytes, sizeof row->node_id.bytes);
    ses_read_bytes(r, row->owner.bytes, sizeof row->owner.bytes);
    row->status = ses_node_status_read(r);
    row->swarm = ses_read_u32(r);
    row->prev_swarm = ses_read_u32(r);
    row->swarm_from_epoch = ses_read_u64(r);
    ses_read_bytes(r, row->keys_hash.bytes, sizeof row->keys_hash.bytes);
    if (r->err != SES_OK) {
        memset(row, 0, sizeof *row);
    }
}

void ses_registry_keys_ask_write(struct ses_writer *w, const struct ses_node_id *node_id)
{
    ses_request_write(w, SES_REGISTRY_KEYS);
    ses_write_bytes(w, node_id->bytes, sizeof node_id->bytes);
}

enum ses_err ses_registry_keys_ask_read(struct ses_node_id *node_id, const uint8_t *body,
                                        size_t len)
{
    struct ses_reader r;
    ses_request_expect(&r, body, len, SES_REGISTRY_KEYS);
    ses_read_bytes(&r, node_id->bytes, sizeof node_id->bytes);
    return ses_read_end(&r, node_id, sizeof *node_id);
}
