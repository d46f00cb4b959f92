/* sessiond with an entry node that lies: whatever it is given it calls stored, by as many members
 * as are needed, and drops it: messages, cards and deletes. The linker puts this before the
 * functions that serve them (--wrap); everything else is the real program. */
#include "daemon/daemon_internal.h"

void __real_ses_entry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void __wrap_ses_entry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void __real_ses_delete_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void __wrap_ses_delete_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);

/* The names of a quorum, its own among them. */
static void name_quorum(struct ses_stored *out, const struct ses_daemon *d)
{
    uint32_t index[SES_MEMBERS_MAX];
    uint32_t active = 0;
    (void)ses_map_members(d->map, d->swarm, index, SES_MEMBERS_MAX, &active);
    out->quorum = (uint8_t)ses_daemon_quorum(d);
    out->nodes[out->node_cnt++] = d->p.node_id;
    for (uint32_t i = 0; i < active && out->node_cnt < out->quorum; i++) {
        const struct ses_node_id *id = &d->map->nodes[index[i]].row.node_id;
        if (!ses_equal(id, &d->p.node_id, sizeof *id)) {
            out->nodes[out->node_cnt++] = *id;
        }
    }
}

static void lie(const struct ses_daemon *d, struct ses_call *call, const struct ses_record_ids *ids)
{
    uint8_t answer[4096];
    struct ses_writer w;
    struct ses_stored stored = {.id = ids->id, .state = SES_STORED};
    name_quorum(&stored, d);
    ses_writer_init(&w, answer, sizeof answer);
    ses_stored_write(&w, &stored);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_logf(d->p.log, SES_LOG_WARN, "liar", "says that a record is stored");
    ses_call_reply(call, answer, w.len);
}

void __wrap_ses_entry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_store_put put;
    struct ses_record_ids ids;
    if (ses_store_put_read(&put, body, len) != SES_OK ||
        ses_record_identify(&ids, &put.record) != SES_OK) {
        __real_ses_entry_serve(cookie, call, body, len);
        return;
    }
    lie(cookie, call, &ids);
}

void __wrap_ses_delete_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_delete_put put;
    struct ses_delete statement;
    struct ses_record_header fields;
    struct ses_record_ids ids;
    if (ses_delete_put_read(&put, body, len) != SES_OK ||
        ses_delete_read(&statement, put.statement, put.statement_bytes) != SES_OK) {
        __real_ses_delete_serve(cookie, call, body, len);
        return;
    }
    ses_delete_header(&fields, &statement);
    ses_record_header_encode(header, &fields);
    const struct ses_record record = {header, put.statement, put.statement_bytes};
    SES_ASSERT(ses_record_identify(&ids, &record) == SES_OK);
    lie(cookie, call, &ids);
}
