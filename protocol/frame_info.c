/* /session/info/1 */
#include "protocol/frame_internal.h"

#define AGENT_BYTES_MAX (sizeof((struct ses_info *)0)->agent - 1)

/* Printable ASCII only: the text ends up on terminals and in logs. */
static bool agent_ok(const uint8_t *agent, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (agent[i] < 0x20 || agent[i] > 0x7e) {
            return false;
        }
    }
    return len <= AGENT_BYTES_MAX;
}

void ses_info_request_write(struct ses_writer *w)
{
    ses_request_write(w, SES_INFO_GET);
}

enum ses_err ses_info_request_read(const uint8_t *body, size_t len)
{
    struct ses_reader r;
    ses_request_expect(&r, body, len, SES_INFO_GET);
    return ses_reader_done(&r);
}

void ses_info_write(struct ses_writer *w, const struct ses_info *m)
{
    const size_t agent_len = strnlen(m->agent, sizeof m->agent);
    ses_writer_check(w, agent_ok((const uint8_t *)m->agent, agent_len));
    ses_response_ok(w);
    ses_write_bytes(w, m->node_id.bytes, sizeof m->node_id.bytes);
    ses_write_u64(w, m->time_ms);
    ses_write_u64(w, m->epoch);
    ses_write_u32(w, m->swarm);
    ses_write_u64(w, m->chain_height);
    ses_write_u64(w, m->used_bytes);
    ses_write_u64(w, m->free_bytes);
    ses_write_u64(w, m->record_cnt);
    ses_write_u8(w, (uint8_t)agent_len);
    ses_write_bytes(w, m->agent, agent_len);
}

enum ses_err ses_info_read(struct ses_info *m, struct ses_reader *r)
{
    memset(m, 0, sizeof *m);
    ses_read_bytes(r, m->node_id.bytes, sizeof m->node_id.bytes);
    m->time_ms = ses_read_u64(r);
    m->epoch = ses_read_u64(r);
    m->swarm = ses_read_u32(r);
    m->chain_height = ses_read_u64(r);
    m->used_bytes = ses_read_u64(r);
    m->free_bytes = ses_read_u64(r);
    m->record_cnt = ses_read_u64(r);
    const uint8_t agent_len = ses_read_u8(r);
    const uint8_t *agent = ses_read_view(r, agent_len);
    if (agent != NULL) {
        ses_reader_check(r, agent_ok(agent, agent_len), SES_ERR_MALFORMED);
    }
    if (agent != NULL && r->err == SES_OK) {
        memcpy(m->agent, agent, agent_len);
    }
    return ses_read_end(r, m, sizeof *m);
}
