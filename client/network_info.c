/* What the network looks like from here. */
#include <string.h>

#include "client/client_internal.h"

static enum ses_err look(struct ses_client *c, const char *inbox_text,
                         struct ses_client_network *out, struct ses_note *note)
{
    struct ses_session_id id = {{0}};
    struct ses_hash inbox;
    uint32_t members[SES_MEMBERS_MAX];
    uint32_t active = 0;
    bool has_inbox = c->identity != NULL;
    if (inbox_text != NULL) {
        SES_TRY(ses_session_id_parse(&id, inbox_text, note));
        has_inbox = true;
    } else if (has_inbox) {
        id = c->identity->id;
    }
    SES_TRY(ses_client_need_map(c, false, note));
    const struct ses_map *map = &c->registry.map;
    memcpy(inbox.bytes, id.bytes + 1, sizeof inbox.bytes);
    out->swarm = has_inbox ? ses_map_swarm_of_inbox(map, &inbox) : 0;
    (void)ses_map_members(map, out->swarm, members, SES_MEMBERS_MAX, &active);
    memcpy(out->chain_id, c->registry.chain_id.bytes, sizeof out->chain_id);
    memcpy(out->name, c->registry.network_name, sizeof out->name);
    out->epoch = map->epoch;
    out->node_cnt = map->node_cnt;
    out->num_swarms = map->num_swarms;
    out->member_cnt = active;
    for (uint32_t i = 0; i < active; i++) {
        ses_node_id_text(out->members[i], &map->nodes[members[i]].row.node_id);
    }
    return SES_OK;
}

int ses_client_network(struct ses_client *c, const char *inbox, struct ses_client_network *out,
                       struct ses_client_note *note)
{
    struct ses_note n = {0};
    memset(out, 0, sizeof *out);
    const enum ses_err err = look(c, inbox, out, &n);
    return ses_client_finish(c, err, &n, note);
}
