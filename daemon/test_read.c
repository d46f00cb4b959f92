/* Reads: who may, paging, watch, registry, info. */
#include <string.h>

#include "base/tap.h"
#include "daemon/test_post.h"

static void fill(struct world *w, struct world_net *client, const struct ses_hash *inbox, int cnt)
{
    for (int i = 0; i < cnt; i++) {
        struct post p;
        struct post_answer a;
        post_stranger(&p, w, inbox, 500, world_unix_ms(w));
        post_send(w, client, 0, &p, 5000, NULL, &a);
        SES_ASSERT(a.ok);
        post_free(&p);
    }
}

static void test_owner_reads_pages(void)
{
    struct world *w = world_new(3, 1);
    struct world_net *alice = world_client(w, "192.0.2.1:1");
    struct world_net *anyone = world_client(w, "192.0.2.2:1");
    struct world_net *phone = world_client(w, "192.0.2.3:1");
    struct ses_identity *bob = post_person(w, 1, 0);
    struct ses_hash inbox;
    struct ses_refusal refusal;
    struct ses_cursor cursor = {{0}};
    post_inbox_of(&inbox, bob);
    fill(w, alice, &inbox, 7);
    world_run(w, 1000);
    TAP_EQ((uint64_t)-1, (uint64_t)post_read(w, anyone, 1, NULL, &inbox, 0, &cursor, 10, &refusal));
    TAP_ERR(SES_ERR_UNAUTHORISED, refusal.status);
    for (uint32_t node = 0; node < 3; node++) {
        cursor = (struct ses_cursor){{0}};
        TAP_EQ(3, (uint64_t)post_read(w, phone, node, bob, &inbox, 0, &cursor, 3, &refusal));
        TAP_EQ(3, (uint64_t)post_read(w, phone, node, bob, &inbox, 0, &cursor, 3, &refusal));
        TAP_EQ(1, (uint64_t)post_read(w, phone, node, bob, &inbox, 0, &cursor, 3, &refusal));
        TAP_EQ(0, (uint64_t)post_read(w, phone, node, bob, &inbox, 0, &cursor, 3, &refusal));
    }
    fill(w, alice, &inbox, 1);
    TAP_EQ(1, (uint64_t)post_read(w, phone, 2, bob, &inbox, 0, &cursor, 3, &refusal));
    ses_identity_free(bob);
    world_free(w);
}

static void test_public_outbox(void)
{
    struct world *w = world_new(3, 1);
    struct world_net *anyone = world_client(w, "192.0.2.2:1");
    struct ses_identity *bob = post_person(w, 1, 0);
    struct ses_hash inbox;
    struct ses_refusal refusal;
    struct ses_cursor cursor = {{0}};
    struct post p;
    struct post_answer a;
    post_inbox_of(&inbox, bob);
    post_owned(&p, w, bob, SES_NS_CARD, (const uint8_t *)"one", 3);
    post_send(w, anyone, 0, &p, 5000, NULL, &a);
    TAP_OK(a.ok);
    post_free(&p);
    world_run(w, 2000);
    post_owned(&p, w, bob, SES_NS_CARD, (const uint8_t *)"two", 3);
    post_send(w, anyone, 0, &p, 5000, NULL, &a);
    TAP_OK(a.ok);
    post_free(&p);
    world_run(w, 1000);
    TAP_EQ(1, (uint64_t)post_read(w, anyone, 1, NULL, &inbox, SES_NS_CARD, &cursor, 10, &refusal));
    ses_identity_free(bob);
    world_free(w);
}

static void test_read_wrong_swarm(void)
{
    struct world *w = world_new(4, 2);
    struct world_net *phone = world_client(w, "192.0.2.3:1");
    struct ses_identity *bob = post_person(w, 2, 1);
    struct ses_hash inbox;
    struct ses_refusal refusal = {0};
    struct ses_cursor cursor = {{0}};
    post_inbox_of(&inbox, bob);
    TAP_EQ((uint64_t)-1, (uint64_t)post_read(w, phone, 0, bob, &inbox, 0, &cursor, 9, &refusal));
    TAP_ERR(SES_ERR_WRONG_SWARM, refusal.status);
    TAP_EQ(2, refusal.member_cnt);
    TAP_EQ(0, (uint64_t)post_read(w, phone, 1, bob, &inbox, 0, &cursor, 9, &refusal));
    ses_identity_free(bob);
    world_free(w);
}

/* Flags of the first page, or of the list of what a page would hold; 0xff: refused. */
static uint8_t flags_of(struct world *w, struct world_net *from, uint32_t node,
                        const struct ses_identity *login, const struct ses_hash *inbox, bool list)
{
    uint8_t body[128];
    struct ses_writer writer;
    struct world_reply reply;
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_page page = {.flags = 0xff};
    bool ok = false;
    const struct ses_retrieve ask = {.inbox = *inbox, .record_max = 100, .bytes_max = 100000};
    ses_writer_init(&writer, body, sizeof body);
    (list ? ses_list_write : ses_retrieve_write)(&writer, &ask);
    TAP_MUST(ses_writer_done(&writer) == SES_OK);
    world_ask(w, from, node, SES_PROTO_RETRIEVE, login, body, writer.len, &reply);
    TAP_MUST(world_wait(w, &reply, 5000) && reply.err == SES_OK);
    TAP_ERR(SES_OK, ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal));
    if (ok) {
        (list ? ses_list_page_read : ses_page_read)(&r, &page);
    }
    ses_buf_free(&reply.body);
    return page.flags;
}

/* A member that moved is not asked for new records any more: what it still answers by the map of
 * before does not count for a reader, although it has caught up with its new swarm. */
static void test_answers_by_an_old_map_are_partial(void)
{
    struct world *w = world_new(6, 2); /* node i in swarm i mod 2 */
    struct world_net *alice = world_client(w, "192.0.2.1:1");
    struct world_net *phone = world_client(w, "192.0.2.3:1");
    struct ses_identity *bob = post_person(w, 2, 0);
    struct ses_identity *carol = post_person(w, 2, 1);
    struct ses_hash inbox, hers;
    post_inbox_of(&inbox, bob);
    post_inbox_of(&hers, carol);
    fill(w, alice, &inbox, 3);
    world_run(w, 10000);
    TAP_EQ(0, flags_of(w, phone, 0, bob, &inbox, false));
    TAP_EQ(0, flags_of(w, phone, 0, bob, &inbox, true));
    struct ses_registry_row *row = world_row(w, 0);
    row->swarm = 1;
    row->swarm_from_epoch = w->map.epoch + 1;
    world_advance_epoch(w);
    world_run(w, 120000);
    struct ses_daemon_status *s = ses_alloc(1, sizeof *s);
    TAP_MUST(s != NULL);
    ses_daemon_status(w->nodes[0].daemon, s);
    TAP_OK(s->swarm == 1 && !s->partial);
    ses_free(s);
    TAP_EQ(0, flags_of(w, phone, 0, carol, &hers, false));
    TAP_EQ(SES_PAGE_PARTIAL, flags_of(w, phone, 0, bob, &inbox, false));
    TAP_EQ(SES_PAGE_PARTIAL, flags_of(w, phone, 0, bob, &inbox, true));
    TAP_EQ(0, flags_of(w, phone, 2, bob, &inbox, false)); /* it stayed */
    ses_identity_free(bob);
    ses_identity_free(carol);
    world_free(w);
}

/* ---- watch ---- */
static void subscribe(struct world_flow *f, const struct ses_hash *inbox,
                      const struct ses_cursor *after)
{
    uint8_t body[128];
    struct ses_writer writer;
    const struct ses_retrieve ask = {
        .inbox = *inbox, .after = *after, .record_max = 100, .bytes_max = 100000};
    ses_writer_init(&writer, body, sizeof body);
    ses_retrieve_write(&writer, &ask);
    SES_ASSERT(writer.err == SES_OK);
    SES_ASSERT(ses_flow_send(f->flow, body, writer.len) == SES_OK);
}

/* Records of the last frame; -1 if it refuses. */
static int last_page(const struct world_flow *f, struct ses_cursor *next)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_page page;
    bool ok = false;
    if (ses_response_begin(&r, f->last.bytes, f->last.len, &ok, &refusal) != SES_OK || !ok) {
        return -1;
    }
    ses_page_read(&r, &page);
    *next = page.next;
    return page.record_cnt;
}

static void test_watch(void)
{
    struct world *w = world_new(3, 1);
    struct world_net *alice = world_client(w, "192.0.2.1:1");
    struct world_net *phone = world_client(w, "192.0.2.3:1");
    struct ses_identity *bob = post_person(w, 1, 0);
    struct ses_hash inbox;
    struct ses_cursor cursor = {{0}};
    struct world_flow f;
    post_inbox_of(&inbox, bob);
    fill(w, alice, &inbox, 2);
    world_open(w, phone, 1, SES_PROTO_WATCH, bob, &f);
    world_run(w, 100);
    TAP_MUST(f.open && !f.closed);
    subscribe(&f, &inbox, &cursor);
    world_run(w, 200);
    TAP_EQ(1, f.frame_cnt);
    TAP_EQ(2, (uint64_t)last_page(&f, &cursor));
    fill(w, alice, &inbox, 1);
    world_run(w, 500);
    TAP_EQ(2, f.frame_cnt);
    TAP_EQ(1, (uint64_t)last_page(&f, &cursor));
    ses_flow_close(f.flow);
    world_run(w, 100);
    TAP_OK(f.closed);
    ses_buf_free(&f.last);
    /* resumes behind the cursor; an empty first page says "subscribed" */
    fill(w, alice, &inbox, 3);
    world_open(w, phone, 1, SES_PROTO_WATCH, bob, &f);
    subscribe(&f, &inbox, &cursor);
    world_run(w, 500);
    TAP_EQ(1, f.frame_cnt);
    TAP_EQ(3, (uint64_t)last_page(&f, &cursor));
    /* a second subscription on the flow is an error */
    subscribe(&f, &inbox, &cursor);
    world_run(w, 500);
    TAP_OK(f.closed);
    ses_buf_free(&f.last);
    ses_identity_free(bob);
    world_free(w);
}

static void test_watch_needs_login(void)
{
    struct world *w = world_new(1, 1);
    struct world_net *anyone = world_client(w, "192.0.2.3:1");
    struct ses_cursor cursor = {{0}};
    struct ses_hash inbox;
    struct world_flow f;
    post_inbox(w, &inbox, 1, 0);
    world_open(w, anyone, 0, SES_PROTO_WATCH, NULL, &f);
    subscribe(&f, &inbox, &cursor);
    world_run(w, 500);
    TAP_EQ((uint64_t)-1, (uint64_t)last_page(&f, &cursor));
    TAP_OK(f.closed);
    ses_buf_free(&f.last);
    world_free(w);
}

static void test_slow_watcher_is_closed(void)
{
    struct world *w = world_new(1, 1);
    struct world_net *phone = world_client(w, "192.0.2.3:1");
    struct ses_identity *bob = post_person(w, 1, 0);
    struct ses_cursor cursor = {{0}};
    struct ses_hash inbox;
    struct world_flow f;
    struct post p;
    struct post_answer a;
    post_inbox_of(&inbox, bob);
    world_open(w, phone, 0, SES_PROTO_WATCH, bob, &f);
    subscribe(&f, &inbox, &cursor);
    world_run(w, 500);
    TAP_EQ(1, f.frame_cnt);
    world_stall(phone, true);
    for (int i = 0; i < 20; i++) {
        struct world_net *alice = world_client(w, "192.0.2.1:1");
        post_stranger(&p, w, &inbox, 90000, world_unix_ms(w));
        post_send(w, alice, 0, &p, 5000, NULL, &a);
        TAP_OK(a.ok);
        post_free(&p);
    }
    world_run(w, 40000);
    TAP_EQ(1, ses_daemon_stats(w->nodes[0].daemon)->watch_closed_slow);
    world_stall(phone, false);
    world_run(w, 2000);
    TAP_OK(f.closed);
    ses_buf_free(&f.last);
    ses_identity_free(bob);
    world_free(w);
}

static void test_watch_limit(void)
{
    struct world *w = world_new(1, 1);
    struct world_net *phone = world_client(w, "192.0.2.3:1");
    struct world_flow f[40];
    uint32_t open = 0;
    for (int i = 0; i < 40; i++) {
        world_open(w, phone, 0, SES_PROTO_WATCH, NULL, &f[i]);
    }
    world_run(w, 500);
    for (int i = 0; i < 40; i++) {
        open += f[i].open && !f[i].closed ? 1 : 0;
    }
    TAP_EQ(32, open);
    world_free(w);
}

/* ---- registry, info ---- */
static void test_registry_and_info(void)
{
    struct world *w = world_new(5, 1);
    struct world_net *anyone = world_client(w, "192.0.2.3:1");
    uint8_t ask[64];
    struct ses_writer writer;
    struct world_reply reply;
    struct ses_reader r;
    struct ses_refusal refusal;
    bool ok = false;
    const struct ses_registry_ask rows = {.epoch = UINT64_MAX, .first_row = 2};
    ses_writer_init(&writer, ask, sizeof ask);
    ses_registry_ask_write(&writer, &rows);
    world_ask(w, anyone, 3, SES_PROTO_REGISTRY, NULL, ask, writer.len, &reply);
    TAP_MUST(world_wait(w, &reply, 5000) && reply.err == SES_OK);
    TAP_ERR(SES_OK, ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal));
    TAP_MUST(ok);
    struct ses_registry_page page;
    ses_registry_page_read(&r, &page);
    TAP_EQ(5, page.epoch);
    TAP_EQ(5, page.total_rows);
    TAP_EQ(3, page.row_cnt);
    TAP_BYTES(w->map.registry_root.bytes, page.root.bytes, 32);
    for (uint16_t i = 0; i < page.row_cnt; i++) {
        struct ses_registry_row row;
        ses_registry_row_read(&r, &row);
        TAP_BYTES(w->map.nodes[2 + i].row.node_id.bytes, row.node_id.bytes, 20);
    }
    TAP_ERR(SES_OK, ses_reader_done(&r));
    ses_buf_free(&reply.body);

    const struct ses_registry_ask beyond = {.epoch = 5, .first_row = 6};
    ses_writer_init(&writer, ask, sizeof ask);
    ses_registry_ask_write(&writer, &beyond);
    world_ask(w, anyone, 3, SES_PROTO_REGISTRY, NULL, ask, writer.len, &reply);
    TAP_MUST(world_wait(w, &reply, 5000) && reply.err == SES_OK);
    TAP_ERR(SES_OK, ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal));
    TAP_OK(!ok && refusal.status == SES_ERR_NOT_FOUND);
    ses_buf_free(&reply.body);

    ses_writer_init(&writer, ask, sizeof ask);
    ses_registry_keys_ask_write(&writer, &w->map.nodes[4].row.node_id);
    world_ask(w, anyone, 3, SES_PROTO_REGISTRY, NULL, ask, writer.len, &reply);
    TAP_MUST(world_wait(w, &reply, 5000) && reply.err == SES_OK);
    TAP_ERR(SES_OK, ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal));
    TAP_MUST(ok);
    struct ses_node_keys keys;
    struct ses_endpoint endpoint;
    struct ses_hash hash;
    ses_node_keys_read(&r, &keys);
    ses_endpoint_read(&r, &endpoint);
    TAP_ERR(SES_OK, ses_reader_done(&r));
    ses_node_keys_hash(&hash, &keys, &endpoint);
    TAP_BYTES(w->map.nodes[4].row.keys_hash.bytes, hash.bytes, 32);
    ses_buf_free(&reply.body);

    ses_writer_init(&writer, ask, sizeof ask);
    ses_info_request_write(&writer);
    world_ask(w, anyone, 3, SES_PROTO_INFO, NULL, ask, writer.len, &reply);
    TAP_MUST(world_wait(w, &reply, 5000) && reply.err == SES_OK);
    TAP_ERR(SES_OK, ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal));
    struct ses_info info;
    TAP_MUST(ok);
    TAP_ERR(SES_OK, ses_info_read(&info, &r));
    TAP_EQ(5, info.epoch);
    TAP_EQ(0, info.swarm);
    TAP_EQ(1000, info.chain_height);
    TAP_TEXT("sessiond/test", info.agent);
    ses_buf_free(&reply.body);
    world_free(w);
}

int main(void)
{
    TAP_RUN(test_owner_reads_pages);
    TAP_RUN(test_public_outbox);
    TAP_RUN(test_read_wrong_swarm);
    TAP_RUN(test_answers_by_an_old_map_are_partial);
    TAP_RUN(test_watch);
    TAP_RUN(test_watch_needs_login);
    TAP_RUN(test_slow_watcher_is_closed);
    TAP_RUN(test_watch_limit);
    TAP_RUN(test_registry_and_info);
    return tap_done();
}
