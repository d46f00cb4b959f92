/* Members that compare: one that was away, one that is new, one that leaves, a swarm that splits, a
 * damaged record, and members that lie. Daemons, stores and the core are the real ones. */
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include "base/tap.h"
#include "daemon/test_post.h"

#define EPOCH_MS 3600000u

/* ---- records that are there without ever having been sent ---- */
static void planted(void *cookie, const struct ses_put_result *result)
{
    SES_ASSERT(result->err == SES_OK);
    ++*(uint32_t *)cookie;
}

struct crop {
    struct post *posts;
    uint32_t cnt;
};

static void crop_make(struct crop *crop, struct world *w, uint32_t cnt, uint32_t num_swarms,
                      uint32_t swarm, uint64_t ts_ms)
{
    crop->posts = ses_alloc(cnt, sizeof *crop->posts);
    crop->cnt = cnt;
    SES_ASSERT(crop->posts != NULL);
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_hash inbox, token = {{0}};
        struct post *p = &crop->posts[i];
        post_inbox(w, &inbox, num_swarms, swarm);
        post_token(p, w, &inbox, &token, 100 + i % 400);
        ses_put_u64(p->header + 8, ts_ms / 1000 * 1000);
        post_identify(p);
    }
}

static void crop_free(struct crop *crop)
{
    for (uint32_t i = 0; i < crop->cnt; i++) {
        post_free(&crop->posts[i]);
    }
    ses_free(crop->posts);
}

static void plant(struct world *w, uint32_t node, const struct crop *crop)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < crop->cnt; i++) {
        const struct ses_put put = {.record = crop->posts[i].put.record,
                                    .ids = &crop->posts[i].ids,
                                    .on_done = planted,
                                    .cookie = &done};
        SES_ASSERT(ses_store_put(w->nodes[node].store, &put) == SES_OK);
        if (i % 200 == 199) {
            world_run(w, 200);
        }
    }
    world_run(w, 500);
    SES_ASSERT(done == crop->cnt);
}

static uint32_t held(struct world *w, uint32_t node, const struct crop *crop)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < crop->cnt; i++) {
        cnt += post_at(w, node, &crop->posts[i]) ? 1 : 0;
    }
    return cnt;
}

static const struct ses_daemon_stats *stats(const struct world *w, uint32_t node)
{
    return ses_daemon_stats(w->nodes[node].daemon);
}

static bool is_partial(const struct world *w, uint32_t node)
{
    struct ses_daemon_status *s = ses_alloc(1, sizeof *s);
    SES_ASSERT(s != NULL);
    ses_daemon_status(w->nodes[node].daemon, s);
    const bool partial = s->partial;
    ses_free(s);
    return partial;
}

/* The flags of a page that the node gives to the owner. */
static unsigned page_flags(struct world *w, struct world_net *client, uint32_t node,
                           const struct ses_identity *owner)
{
    struct ses_retrieve ask = {.record_max = 10, .bytes_max = 100000};
    uint8_t body[128];
    struct ses_writer writer;
    struct world_reply reply;
    post_inbox_of(&ask.inbox, owner);
    ses_writer_init(&writer, body, sizeof body);
    ses_retrieve_write(&writer, &ask);
    SES_ASSERT(ses_writer_done(&writer) == SES_OK);
    world_ask(w, client, node, SES_PROTO_RETRIEVE, owner, body, writer.len, &reply);
    SES_ASSERT(world_wait(w, &reply, 20000));
    const unsigned flags = reply.err == SES_OK && reply.body.len > 4 ? reply.body.bytes[3] : 99;
    ses_buf_free(&reply.body);
    return flags;
}

/* ---- away ---- */
static void test_away(void)
{
    struct world *w = world_new(5, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct ses_identity *owner = post_person(w, 1, 0);
    struct crop crop;
    world_run(w, 10000);
    TAP_OK(!is_partial(w, 4));
    world_crash(w, 4);
    crop_make(&crop, w, 60, 1, 0, world_unix_ms(w));
    plant(w, 1, &crop); /* no member owes it to another: nobody entered it */
    plant(w, 2, &crop);
    world_start(w, 4);
    world_run(w, 20);
    TAP_OK(is_partial(w, 4));
    TAP_EQ(SES_PAGE_PARTIAL, page_flags(w, client, 4, owner));
    TAP_EQ(0, page_flags(w, client, 1, owner));
    world_run(w, 60000);
    TAP_EQ(60, held(w, 4, &crop));
    TAP_EQ(60, held(w, 0, &crop));
    TAP_OK(!is_partial(w, 4));
    TAP_EQ(0, page_flags(w, client, 4, owner));
    for (uint32_t i = 0; i < 5; i++) {
        TAP_EQ(0, stats(w, i)->sync_cut_off);
    }
    ses_identity_free(owner);
    crop_free(&crop);
    world_free(w);
}

/* Nobody to compare with: nothing can be missing. */
/* A clock that jumps by weeks takes nothing away while the chain tells the time. */
static void test_clock_ahead(void)
{
    struct world *w = world_new(3, 1);
    struct crop crop;
    world_run(w, 5000);
    crop_make(&crop, w, 20, 1, 0, world_unix_ms(w));
    plant(w, 1, &crop);
    w->nodes[1].skew_ms = 60ll * 86400000;
    world_run(w, 130000);
    w->nodes[1].skew_ms = 0;
    TAP_EQ(20, held(w, 1, &crop));
    w->chain_down = true; /* nobody to ask: the clock is all there is */
    world_run(w, 20000);
    w->nodes[1].skew_ms = 60ll * 86400000;
    world_run(w, 130000);
    w->nodes[1].skew_ms = 0;
    TAP_EQ(0, held(w, 1, &crop));
    TAP_OK(ses_store_sealed(w->nodes[1].store) <= (int64_t)w->map.epoch + 1); /* for good */
    crop_free(&crop);
    world_free(w);
}

static void test_alone(void)
{
    struct world *w = world_new(1, 1);
    world_run(w, 5000);
    TAP_OK(!is_partial(w, 0));
    world_free(w);
}

/* A member that cannot reach enough others keeps saying so. */
static void test_cut_off_stays_partial(void)
{
    struct world *w = world_new(5, 1);
    world_crash(w, 4);
    world_cut(w, 0, true);
    world_cut(w, 1, true);
    world_cut(w, 2, true);
    world_start(w, 4);
    world_run(w, 60000);
    TAP_OK(is_partial(w, 4)); /* only node 3 was there; two are needed */
    world_cut(w, 2, false);
    world_run(w, 120000);
    TAP_OK(!is_partial(w, 4));
    world_free(w);
}

/* ---- joining and leaving ---- */
static void move(struct world *w, uint32_t node, uint32_t swarm)
{
    struct ses_registry_row *row = world_row(w, node);
    row->prev_swarm = row->swarm;
    row->swarm = swarm;
    row->swarm_from_epoch = w->map.epoch + 1;
}

static void next_epoch(struct world *w)
{
    world_run(w, EPOCH_MS);
    world_advance_epoch(w);
    world_run(w, 10000);
}

static void test_join_and_leave(void)
{
    struct world *w = world_new(8, 2); /* node i in swarm i mod 2 */
    struct crop theirs, ours, last;
    world_run(w, 10000);
    crop_make(&theirs, w, 900, 2, 0, world_unix_ms(w) - 7200000);
    crop_make(&ours, w, 30, 2, 1, world_unix_ms(w) - 7200000);
    crop_make(&last, w, 3, 2, 1, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < 8; i++) {
        plant(w, i, i % 2 == 0 ? &theirs : &ours);
    }
    plant(w, 1, &last);
    move(w, 1, 0);
    next_epoch(w);
    TAP_EQ(900, held(w, 1, &theirs));
    /* in bulk, unless the others' turn came first and they offered them */
    TAP_OK(stats(w, 1)->bulk_records + stats(w, 1)->sync_records >= 900);
    world_run(w, 120000);
    TAP_OK(!is_partial(w, 1));
    TAP_EQ(30, held(w, 1, &ours)); /* the grace epoch */
    TAP_EQ(0, stats(w, 1)->foreign_dropped);
    TAP_EQ(3, held(w, 3, &last)); /* handed over */
    TAP_EQ(3, held(w, 5, &last));
    next_epoch(w);
    world_run(w, 600000);
    TAP_EQ(33, stats(w, 1)->foreign_dropped);
    TAP_EQ(0, held(w, 1, &ours));
    TAP_EQ(900, held(w, 1, &theirs));
    TAP_EQ(30, held(w, 7, &ours));
    crop_free(&theirs);
    crop_free(&ours);
    crop_free(&last);
    world_free(w);
}

static void test_split(void)
{
    struct world *w = world_new(8, 1);
    struct crop left, right;
    world_run(w, 10000);
    crop_make(&left, w, 40, 2, 0, world_unix_ms(w) - 7200000);
    crop_make(&right, w, 40, 2, 1, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < 8; i++) {
        plant(w, i, &left);
        plant(w, i, &right);
    }
    for (uint32_t i = 1; i < 8; i += 2) {
        struct ses_registry_row *row = world_row(w, i);
        row->prev_swarm = 0;
        row->swarm = 1;
    }
    w->map.num_swarms = 2;
    world_cut(w, 5, true);
    world_cut(w, 7, true); /* W = 3 of 4 in the right half, and two are away */
    next_epoch(w);
    TAP_OK(!is_partial(w, 0)); /* nothing is missing: it is a half of what was there */
    next_epoch(w);
    world_run(w, 300000);
    TAP_EQ(40, held(w, 0, &right)); /* too few agreed */
    TAP_EQ(40, held(w, 0, &left));
    TAP_EQ(0, held(w, 1, &left)); /* the left half is all there */
    TAP_EQ(40, held(w, 1, &right));
    world_cut(w, 5, false);
    world_run(w, 600000);
    TAP_EQ(0, held(w, 0, &right));
    TAP_EQ(40, held(w, 0, &left));
    TAP_EQ(40, held(w, 3, &right));
    crop_free(&left);
    crop_free(&right);
    world_free(w);
}

/* ---- damage ---- */
/* Changes one byte of the only log file with records of a node; true if it was found. */
static bool damage_log(const struct world_node *node, const struct post *p)
{
    char path[512];
    uint8_t *bytes = NULL;
    bool found = false;
    snprintf(path, sizeof path, "%s/seg/%u/%u.log", node->dir, p->ids.segment.ttl_class,
             p->ids.segment.hour);
    FILE *file = fopen(path, "r+b");
    if (file == NULL) {
        printf("# no %s\n", path);
        return false;
    }
    SES_ASSERT(fseek(file, 0, SEEK_END) == 0);
    const size_t len = (size_t)ftell(file);
    rewind(file);
    bytes = ses_alloc(len, 1);
    SES_ASSERT(bytes != NULL && fread(bytes, 1, len, file) == len);
    for (size_t i = 0; i + p->put.record.payload_bytes <= len && !found; i++) {
        found = memcmp(bytes + i, p->put.record.payload, p->put.record.payload_bytes) == 0;
        if (found) {
            SES_ASSERT(fseek(file, (long)i, SEEK_SET) == 0);
            SES_ASSERT(fputc(bytes[i] ^ 1, file) != EOF);
        }
    }
    SES_ASSERT(fclose(file) == 0);
    ses_free(bytes);
    return found;
}

static void test_damage_heals(void)
{
    struct world *w = world_new(4, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct ses_identity *owner = post_person(w, 1, 0);
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    struct ses_cursor cursor = {{0}};
    struct ses_refusal refusal;
    post_inbox_of(&inbox, owner);
    post_stranger(&p, w, &inbox, 3000, world_unix_ms(w));
    post_send(w, client, 0, &p, 5000, NULL, &a);
    TAP_EQ(SES_STORED, a.stored.state);
    world_run(w, 10000);
    TAP_OK(damage_log(&w->nodes[2], &p));
    TAP_OK(post_read(w, client, 2, owner, &inbox, 0, &cursor, 10, &refusal) == 0);
    world_run(w, 30000);
    TAP_EQ(1, stats(w, 2)->healed);
    memset(&cursor, 0, sizeof cursor);
    TAP_OK(post_read(w, client, 2, owner, &inbox, 0, &cursor, 10, &refusal) == 1);
    ses_identity_free(owner);
    post_free(&p);
    world_free(w);
}

/* ---- liars ---- */
enum sync_lie { TELL_GARBAGE, TELL_NOTHING_GIVEN, TELL_OTHER_RECORD, SYNC_LIE_CNT };
struct sync_liar {
    struct world *w;
    enum sync_lie lie;
    struct post other; /* valid, and never told of */
    uint32_t asked;
};

static void liar_rows(const struct sync_liar *liar, struct ses_writer *w)
{
    const uint32_t hour = (uint32_t)(world_unix_ms(liar->w) / 3600000);
    struct ses_sync_hours hours = {.ttl_class = 2, .day = hour / SES_ROW_HOURS, .cnt = 1};
    hours.hours[0].hour = (uint8_t)(hour % SES_ROW_HOURS);
    hours.hours[0].digest = 1;
    hours.hours[0].count = 200;
    ses_sync_count_write(w, 1);
    ses_sync_hours_write(w, &hours);
}

static void liar_nodes(uint16_t cnt, struct ses_writer *w)
{
    struct ses_sync_answer answer = {.bitmap = 0xFFFF};
    for (unsigned i = 0; i < 16; i++) {
        answer.children[i].form = 12;
        ses_random_fill(tap_random(), answer.children[i].shorts, 12 * 8);
    }
    ses_sync_count_write(w, cnt);
    for (uint16_t i = 0; i < cnt; i++) {
        ses_sync_answer_write(w, &answer);
    }
}

static void liar_records(const struct sync_liar *liar, struct ses_writer *w)
{
    const bool other = liar->lie == TELL_OTHER_RECORD;
    ses_sync_records_write(w, &(struct ses_sync_records){.cnt = other ? 1 : 0});
    if (other) {
        ses_record_write(w, &liar->other.put.record);
    }
    ses_write_u16(w, 0);
}

static void liar_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    static uint8_t bytes[SES_FRAME_BYTES_MAX];
    struct sync_liar *liar = cookie;
    struct ses_sync_ask ask = {0};
    struct ses_reader r;
    struct ses_writer w;
    liar->asked++;
    ses_writer_init(&w, bytes, sizeof bytes);
    if (ses_sync_ask_read(&ask, &r, body, len) != SES_OK || liar->lie == TELL_GARBAGE) {
        ses_response_ok(&w);
        ses_write_u64(&w, UINT64_MAX);
    } else if (ask.op == SES_SYNC_ROWS) {
        liar_rows(liar, &w);
    } else if (ask.op == SES_SYNC_NODES) {
        liar_nodes(ask.cnt, &w);
    } else {
        liar_records(liar, &w);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, bytes, w.len);
}

static void test_liars_are_cut_off(void)
{
    for (int lie = 0; lie < SYNC_LIE_CNT; lie++) {
        struct world *w = world_new(4, 1);
        struct sync_liar liar = {.w = w, .lie = (enum sync_lie)lie};
        struct crop crop;
        struct ses_hash inbox;
        post_inbox(w, &inbox, 1, 0);
        post_stranger(&liar.other, w, &inbox, 500, world_unix_ms(w));
        world_stop(w, 3, 0);
        struct ses_net *net = world_net_of(w->nodes[3].net);
        TAP_ERR(SES_OK, ses_net_serve(net, SES_PROTO_SYNC, liar_serve, &liar));
        world_cut(w, 3, false);
        world_run(w, 900000);
        TAP_OK(stats(w, 0)->sync_cut_off >= 1);
        TAP_OK(!post_at(w, 0, &liar.other));
        const uint32_t asked = liar.asked;
        world_run(w, 900000);
        TAP_OK(liar.asked <= asked + 12); /* three members, hardly any question more */
        crop_make(&crop, w, 20, 1, 0, world_unix_ms(w)); /* the honest ones go on */
        plant(w, 1, &crop);
        world_run(w, 60000);
        TAP_EQ(20, held(w, 0, &crop));
        TAP_EQ(20, held(w, 2, &crop));
        crop_free(&crop);
        post_free(&liar.other);
        world_free(w);
    }
}

/* ---- late records ---- */
struct admitted {
    bool done;
    uint64_t epoch;
};

static void on_admitted(void *cookie, enum ses_err err, const struct ses_receipt *receipts,
                        uint16_t receipt_cnt)
{
    struct admitted *a = cookie;
    a->done = true;
    a->epoch = err == SES_OK && receipt_cnt > 0 ? receipts[0].leaf.admit_epoch : UINT64_MAX;
}

static bool admitted_done(void *cookie)
{
    return ((const struct admitted *)cookie)->done;
}

static uint64_t admit_epoch(struct world *w, uint32_t node, const struct post *p)
{
    struct admitted a = {0};
    if (ses_store_receipts(w->nodes[node].store, &p->ids.id, on_admitted, &a) != SES_OK) {
        return UINT64_MAX;
    }
    return world_until(w, admitted_done, &a, 10000) ? a.epoch : UINT64_MAX;
}

/* One member has a record since before the freeze and comes back behind it. Its receipt is
 * enough for whoever fetches the record at once; those pass it on, with a second receipt. */
static void test_late_records(void)
{
    struct world *w = world_new(5, 1);
    struct crop crop;
    const uint64_t freeze_ms = w->chain_params.params.freeze_seconds * 1000;
    const uint64_t frozen_ms = WORLD_START_MS + EPOCH_MS - freeze_ms; /* of epoch 6 */
    world_run(w, 10000);
    world_cut(w, 0, true);
    crop_make(&crop, w, 5, 1, 0, world_unix_ms(w) - 60000);
    plant(w, 0, &crop);
    world_run(w, frozen_ms - world_unix_ms(w) + 1000);
    world_cut(w, 0, false);
    world_run(w, 4 * freeze_ms / 6);
    uint64_t relayed = 0;
    for (uint32_t i = 0; i < 5; i++) {
        relayed += stats(w, i)->relayed;
        for (uint32_t k = 0; k < crop.cnt; k++) {
            TAP_EQ(6, admit_epoch(w, i, &crop.posts[k]));
        }
    }
    TAP_OK(relayed >= 5);
    world_run(w, freeze_ms);
    for (uint32_t i = 0; i < 5; i++) { /* nothing of it is left */
        struct ses_daemon_status *s = ses_alloc(1, sizeof *s);
        SES_ASSERT(s != NULL);
        ses_daemon_status(w->nodes[i].daemon, s);
        TAP_EQ(0, s->debts);
        ses_free(s);
    }
    crop_free(&crop);
    world_free(w);
}

/* ---- an audit that runs ---- */
static void on_snapshot(void *cookie, enum ses_err err, const struct ses_snapshot *snapshot)
{
    uint32_t *cnt = cookie;
    *cnt = err == SES_OK ? (uint32_t)snapshot->count : UINT32_MAX;
}

static uint32_t snapshot(struct world *w, uint32_t node, uint64_t epoch)
{
    uint32_t cnt = UINT32_MAX;
    struct ses_store *store = w->nodes[node].store;
    SES_ASSERT(ses_store_seal(store, (int64_t)epoch) == SES_OK);
    if (ses_store_snapshot(store, epoch, 0, 1, on_snapshot, &cnt) == SES_OK) {
        world_run(w, 1000);
    }
    return cnt;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

/* A member that lost everything gets all of it back, but what its audit draws only when that is
 * over. */
static void test_audit_is_withheld(void)
{
    struct world *w = world_new(4, 1);
    struct crop crop;
    world_run(w, 10000);
    crop_make(&crop, w, 40, 1, 0, world_unix_ms(w) - 1200000);
    for (uint32_t i = 0; i < 4; i++) {
        plant(w, i, &crop);
    }
    next_epoch(w); /* 6 */
    for (uint32_t i = 0; i < 3; i++) {
        TAP_EQ(40, snapshot(w, i, 6));
    }
    next_epoch(w); /* 7: the audit of 6 */
    world_crash(w, 3);
    SES_ASSERT(nftw(w->nodes[3].dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    world_start(w, 3);
    world_run(w, 400000);
    const uint32_t have = held(w, 3, &crop);
    TAP_OK(have == 38 || have == 39); /* two draws may meet */
    TAP_OK(!is_partial(w, 3));
    TAP_OK(stats(w, 0)->sync_withheld + stats(w, 1)->sync_withheld > 0);
    next_epoch(w);
    world_run(w, 400000);
    TAP_EQ(40, held(w, 3, &crop));
    crop_free(&crop);
    world_free(w);
}

/* Gives a record of another hour, or always one more page of nothing. */
static void liar_page(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    static uint8_t bytes[8192];
    struct sync_liar *liar = cookie;
    struct ses_writer w;
    (void)body;
    (void)len;
    liar->asked++;
    ses_writer_init(&w, bytes, sizeof bytes);
    const uint16_t cnt = liar->lie == TELL_OTHER_RECORD ? 1 : 0;
    ses_bulk_page_write(&w, &(struct ses_bulk_page){.more = true, .next = liar->asked, .cnt = cnt});
    if (cnt > 0) {
        ses_record_write(&w, &liar->other.put.record);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, bytes, w.len);
}

static void test_bulk_liar_is_cut_off(void)
{
    struct world *w = world_new(8, 2);
    struct sync_liar liar = {.w = w, .lie = TELL_OTHER_RECORD};
    struct ses_hash inbox;
    struct crop crops[3]; /* an hour each: three segments at a time, from three members */
    world_run(w, 10000);
    post_inbox(w, &inbox, 2, 0);
    post_stranger(&liar.other, w, &inbox, 500, world_unix_ms(w));
    for (uint32_t k = 0; k < 3; k++) {
        crop_make(&crops[k], w, 600, 2, 0, world_unix_ms(w) - (2 + k) * 3600000u);
        for (uint32_t i = 0; i < 8; i += 2) {
            plant(w, i, &crops[k]);
        }
    }
    for (uint32_t i = 0; i < 6; i += 2) { /* three of the four members */
        TAP_ERR(SES_OK,
                ses_net_serve(world_net_of(w->nodes[i].net), SES_PROTO_BULK, liar_page, &liar));
    }
    move(w, 1, 0);
    next_epoch(w);
    world_run(w, 300000);
    TAP_OK(liar.asked > 0 && liar.asked <= 12);
    TAP_OK(stats(w, 1)->sync_cut_off >= 1);
    TAP_OK(!post_at(w, 1, &liar.other));
    for (uint32_t k = 0; k < 3; k++) {
        TAP_EQ(600, held(w, 1, &crops[k]));
        crop_free(&crops[k]);
    }
    post_free(&liar.other);
    world_free(w);
}

/* Sources without end do not keep a node from being whole, and from its commitments. */
static void test_bulk_ends(void)
{
    struct world *w = world_new(8, 2);
    struct sync_liar liar = {.w = w, .lie = TELL_NOTHING_GIVEN};
    struct crop crop;
    world_run(w, 10000);
    crop_make(&crop, w, 600, 2, 0, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < 8; i += 2) {
        plant(w, i, &crop);
        TAP_ERR(SES_OK,
                ses_net_serve(world_net_of(w->nodes[i].net), SES_PROTO_BULK, liar_page, &liar));
    }
    move(w, 1, 0);
    next_epoch(w);
    world_run(w, 300000);
    TAP_OK(liar.asked > 0 && liar.asked <= 4 * 64);
    TAP_OK(!is_partial(w, 1));
    TAP_EQ(600, held(w, 1, &crop));
    crop_free(&crop);
    world_free(w);
}

/* ---- who may ask ---- */
static void test_strangers_are_refused(void)
{
    struct world *w = world_new(4, 2);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct world_net *other = w->nodes[1].net; /* a member of the other swarm */
    const struct ses_sync_ask ask = {.op = SES_SYNC_FETCH, .set = {2, 0}, .cnt = 0};
    uint8_t body[64];
    struct ses_writer writer;
    struct world_reply reply;
    ses_writer_init(&writer, body, sizeof body);
    ses_sync_ask_write(&writer, &ask);
    struct world_net *const who[] = {client, other, w->nodes[2].net};
    for (unsigned i = 0; i < 3; i++) {
        struct ses_reader r;
        struct ses_refusal refusal;
        bool ok;
        world_ask(w, who[i], 0, SES_PROTO_SYNC, NULL, body, writer.len, &reply);
        TAP_MUST(world_wait(w, &reply, 20000));
        TAP_ERR(SES_OK, ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal));
        TAP_EQ(i == 2, ok);
        TAP_EQ(i == 2 ? SES_OK : SES_ERR_UNAUTHORISED, refusal.status);
        ses_buf_free(&reply.body);
    }
    world_free(w);
}

int main(void)
{
    TAP_RUN(test_away);
    TAP_RUN(test_clock_ahead);
    TAP_RUN(test_alone);
    TAP_RUN(test_cut_off_stays_partial);
    TAP_RUN(test_join_and_leave);
    TAP_RUN(test_split);
    TAP_RUN(test_damage_heals);
    TAP_RUN(test_liars_are_cut_off);
    TAP_RUN(test_bulk_liar_is_cut_off);
    TAP_RUN(test_bulk_ends);
    TAP_RUN(test_late_records);
    TAP_RUN(test_audit_is_withheld);
    TAP_RUN(test_strangers_are_refused);
    return tap_done();
}
