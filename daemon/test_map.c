/* Maps: a new epoch, a chain that is away or another one, a restart without it. */
#include <string.h>

#include "base/tap.h"
#include "daemon/test_post.h"

static struct ses_daemon_status *status_of(struct world *w, uint32_t node)
{
    struct ses_daemon_status *s = ses_alloc(1, sizeof *s);
    SES_ASSERT(s != NULL);
    ses_daemon_status(w->nodes[node].daemon, s);
    return s;
}

static void test_new_epoch_moves_a_seat(void)
{
    struct world *w = world_new(6, 2);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct world_net *phone = world_client(w, "192.0.2.2:1");
    struct ses_identity *bob = post_person(w, 2, 0);
    struct ses_hash inbox;
    struct ses_cursor cursor = {{0}};
    struct ses_refusal refusal;
    struct post p;
    struct post_answer a;
    post_inbox_of(&inbox, bob);
    post_stranger(&p, w, &inbox, 500, world_unix_ms(w));
    post_send(w, client, 0, &p, 5000, NULL, &a);
    TAP_EQ(SES_STORED, a.stored.state);
    post_free(&p);
    world_run(w, 1000);
    /* node 0 goes to swarm 1 */
    struct ses_registry_row *row = world_row(w, 0);
    row->swarm = 1;
    row->swarm_from_epoch = 6;
    world_advance_epoch(w);
    world_run(w, 10000);
    struct ses_daemon_status *s = status_of(w, 0);
    TAP_EQ(6, s->epoch);
    TAP_EQ(1, s->swarm);
    TAP_EQ(6, s->swarm_from_epoch);
    TAP_EQ(5, s->link_cnt); /* both swarms for the epoch of grace */
    ses_free(s);
    /* grace: reads are served, stores are not */
    TAP_EQ(1, (uint64_t)post_read(w, phone, 0, bob, &inbox, 0, &cursor, 9, &refusal));
    post_stranger(&p, w, &inbox, 500, world_unix_ms(w));
    post_send(w, client, 0, &p, 5000, NULL, &a);
    TAP_OK(!a.ok && a.refusal.status == SES_ERR_WRONG_SWARM);
    TAP_EQ(2, a.refusal.member_cnt);
    post_send(w, client, 2, &p, 5000, NULL, &a);
    TAP_EQ(SES_STORED, a.stored.state);
    post_free(&p);
    /* the grace is over */
    world_advance_epoch(w);
    world_run(w, 10000);
    cursor = (struct ses_cursor){{0}};
    TAP_EQ((uint64_t)-1, (uint64_t)post_read(w, phone, 0, bob, &inbox, 0, &cursor, 9, &refusal));
    TAP_ERR(SES_ERR_WRONG_SWARM, refusal.status);
    s = status_of(w, 0);
    TAP_EQ(3, s->link_cnt);
    ses_free(s);
    s = status_of(w, 2);
    TAP_EQ(1, s->link_cnt);
    TAP_EQ(2, s->quorum);
    ses_free(s);
    ses_identity_free(bob);
    world_free(w);
}

static void test_only_active_members_count(void)
{
    struct world *w = world_new(4, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    world_row(w, 3)->status = SES_NODE_DECOMMISSIONING;
    world_advance_epoch(w);
    world_run(w, 10000);
    world_crash(w, 2);
    post_inbox(w, &inbox, 1, 0);
    post_stranger(&p, w, &inbox, 500, world_unix_ms(w));
    post_send(w, client, 0, &p, 3000, NULL, &a);
    TAP_MUST(a.ok);
    TAP_EQ(3, a.stored.quorum); /* of the three Active ones */
    TAP_EQ(SES_PENDING, a.stored.state);
    TAP_EQ(2, a.stored.node_cnt);
    TAP_OK(post_at(w, 3, &p)); /* it keeps its seat all the same */
    post_free(&p);
    world_free(w);
}

static void test_chain_away(void)
{
    struct world *w = world_new(4, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    w->chain_down = true;
    world_run(w, 10000);
    struct ses_daemon_status *s = status_of(w, 0);
    TAP_OK(!s->chain_ok && s->has_map);
    TAP_OK(strstr(s->chain_text, "unreachable") != NULL);
    TAP_OK(strstr(s->advice, "unreachable") != NULL);
    ses_free(s);
    post_stranger(&p, w, &inbox, 500, world_unix_ms(w));
    post_send(w, client, 0, &p, 5000, NULL, &a);
    TAP_EQ(SES_STORED, a.stored.state);
    post_free(&p);
    /* a restart goes on with the last verified map */
    world_stop(w, 0, 0);
    world_start(w, 0);
    world_run(w, 5000);
    s = status_of(w, 0);
    TAP_OK(!s->chain_ok && s->has_map && s->registered);
    TAP_EQ(5, s->epoch);
    ses_free(s);
    post_stranger(&p, w, &inbox, 500, world_unix_ms(w));
    post_send(w, client, 0, &p, 5000, NULL, &a);
    TAP_EQ(SES_STORED, a.stored.state);
    post_free(&p);
    w->chain_down = false;
    world_advance_epoch(w);
    world_run(w, 60000);
    s = status_of(w, 0);
    TAP_OK(s->chain_ok);
    TAP_EQ(6, s->epoch);
    ses_free(s);
    world_free(w);
}

static void test_a_lying_chain_changes_nothing(void)
{
    struct world *w = world_new(3, 1);
    w->map.epoch++;
    w->height++;
    w->map.registry_root.bytes[0] ^= 1; /* rows and root do not belong together */
    world_run(w, 30000);
    struct ses_daemon_status *s = status_of(w, 0);
    TAP_EQ(5, s->epoch);
    TAP_OK(!s->chain_ok);
    TAP_OK(strstr(s->chain_text, "root") != NULL);
    ses_free(s);
    w->map.epoch--;
    world_advance_epoch(w); /* sealed anew: the whole registry is fetched */
    world_run(w, 60000);
    s = status_of(w, 0);
    TAP_EQ(6, s->epoch);
    TAP_OK(s->chain_ok);
    ses_free(s);
    world_free(w);
}

/* A delta that leaves a change out does not give the root: the whole registry is asked for. */
static void test_incomplete_delta(void)
{
    struct world *w = world_new(3, 1);
    const struct ses_node_id *id = &w->map.nodes[0].row.node_id;
    w->map.nodes[0].row.status = SES_NODE_DECOMMISSIONING;
    world_advance_epoch(w);
    world_run(w, 30000);
    for (uint32_t i = 0; i < 3; i++) {
        struct ses_daemon_status *s = status_of(w, i);
        TAP_EQ(6, s->epoch);
        TAP_EQ(2, s->active_cnt);
        if (ses_equal(&s->node_id, id, sizeof *id)) {
            TAP_EQ(SES_NODE_DECOMMISSIONING, s->node_status);
            TAP_OK(strstr(s->advice, "until it retires") != NULL);
        }
        ses_free(s);
    }
    world_free(w);
}

static void test_another_chain(void)
{
    struct world *w = world_new(1, 1);
    const struct ses_hash right = w->chain_params.chain_id;
    w->chain_params.chain_id.bytes[0] ^= 1; /* what the chain says now */
    world_run(w, 10000);
    struct ses_daemon_status *s = status_of(w, 0);
    TAP_OK(!s->chain_ok);
    TAP_OK(strstr(s->chain_text, "another chain") != NULL);
    ses_free(s);
    w->chain_params.chain_id = right;
    world_run(w, 60000);
    s = status_of(w, 0);
    TAP_OK(s->chain_ok);
    ses_free(s);
    world_free(w);
}

static void test_store_of_another_node(void)
{
    struct world *w = world_new(2, 1);
    struct ses_daemon *d = NULL;
    struct ses_note note = {{0}};
    struct ses_daemon_params params = {
        .loop = &w->nodes[1].loop,
        .net = world_net_of(world_client(w, "192.0.2.1:1")),
        .store = w->nodes[1].store,
        .random = w->random,
        .chain_params = w->chain_params,
    };
    TAP_ERR(SES_ERR_CONFIG, ses_daemon_new(&d, &params, &note));
    TAP_OK(strstr(note.text, "another node") != NULL);
    for (uint32_t i = 0; i < 2; i++) {
        const struct ses_daemon_status *s = status_of(w, 1);
        params.node_id = s->node_id;
        ses_free((void *)(uintptr_t)s);
    }
    params.chain_params.chain_id.bytes[3] ^= 1;
    TAP_ERR(SES_ERR_CONFIG, ses_daemon_new(&d, &params, &note));
    TAP_OK(strstr(note.text, "another chain") != NULL);
    world_free(w);
}

static void test_not_registered(void)
{
    struct world *w = world_new(2, 1);
    world_row(w, 1)->swarm = SES_SWARM_NONE;
    world_advance_epoch(w);
    world_run(w, 10000);
    struct ses_daemon_status *s = status_of(w, 1);
    TAP_OK(s->registered && s->swarm == SES_SWARM_NONE);
    TAP_OK(strstr(s->advice, "seat") != NULL);
    json_t *json = ses_status_json(s);
    TAP_MUST(json != NULL);
    TAP_OK(json_is_null(json_object_get(json, "swarm")));
    json_decref(json);
    ses_free(s);
    s = status_of(w, 0);
    json = ses_status_json(s);
    TAP_MUST(json != NULL);
    TAP_EQ(0, (uint64_t)json_integer_value(json_object_get(json, "swarm")));
    TAP_TEXT("active", json_string_value(json_object_get(json, "nodeStatus")));
    json_decref(json);
    struct ses_store_stats store;
    ses_store_stats(w->nodes[0].store, &store);
    char *text = ses_metrics_text(s, ses_daemon_stats(w->nodes[0].daemon), &store);
    TAP_MUST(text != NULL);
    TAP_OK(strstr(text, "\nsessiond_epoch 6\n") != NULL);
    TAP_OK(strstr(text, "sessiond_store_seconds_bucket{le=\"+Inf\"} 0\n") != NULL);
    ses_free(text);
    ses_free(s);
    world_free(w);
}

int main(void)
{
    TAP_RUN(test_new_epoch_moves_a_seat);
    TAP_RUN(test_only_active_members_count);
    TAP_RUN(test_chain_away);
    TAP_RUN(test_a_lying_chain_changes_nothing);
    TAP_RUN(test_incomplete_delta);
    TAP_RUN(test_another_chain);
    TAP_RUN(test_store_of_another_node);
    TAP_RUN(test_not_registered);
    return tap_done();
}
