/* sessiond with an entry node that lies: whatever it is given it calls stored, by as many members
 * as are needed, and drops it. The linker puts this before ses_entry_serve (--wrap); everything
 * else is the real program. */
#include "daemon/daemon_internal.h"

void __real_ses_entry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void __wrap_ses_entry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);

/* The names of a quorum, its own among them. */
static void lie(struct ses_stored *out, const struct ses_daemon *d)
{
    uint32_t index[SES_MEMBERS_MAX];
    uint32_t active = 0;
    (void)ses_map_members(d->map, d->swarm, index, SES_MEMBERS_MAX, &active);
    out->state = SES_STORED;
    out->quorum = (uint8_t)ses_daemon_quorum(d);
    out->nodes[out->node_cnt++] = d->p.node_id;
    for (uint32_t i = 0; i < active && out->node_cnt < out->quorum; i++) {
        const struct ses_node_id *id = &d->map->nodes[index[i]].row.node_id;
        if (!ses_equal(id, &d->p.node_id, sizeof *id)) {
            out->nodes[out->node_cnt++] = *id;
        }
    }
}

void __wrap_ses_entry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    const struct ses_daemon *d = cookie;
    uint8_t answer[4096];
    struct ses_writer w;
    struct ses_store_put put;
    struct ses_record_ids ids;
    struct ses_stored stored = {.state = SES_STORED};
    if (ses_store_put_read(&put, body, len) != SES_OK ||
        ses_record_identify(&ids, &put.record) != SES_OK) {
        __real_ses_entry_serve(cookie, call, body, len);
        return;
    }
    lie(&stored, d);
    stored.id = ids.id;
    ses_writer_init(&w, answer, sizeof answer);
    ses_stored_write(&w, &stored);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_logf(d->p.log, SES_LOG_WARN, "liar", "says that a record is stored");
    ses_call_reply(call, answer, w.len);
}
