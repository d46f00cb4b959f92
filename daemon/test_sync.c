/* Members that compare: one that was away, an audit that runs, and members that lie. Daemons,
 * stores and the core are the real ones. */
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "base/tap.h"
#include "daemon/daemon_internal.h"
#include "daemon/test_crop.h"

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

/* What several members have comes from one of them. */
static void test_fetched_once(void)
{
    struct world *w = world_new(5, 1);
    struct crop crop;
    uint64_t served = 0;
    world_run(w, 10000);
    world_crash(w, 4);
    crop_make(&crop, w, 60, 1, 0, world_unix_ms(w));
    for (uint32_t i = 0; i < 4; i++) {
        plant(w, i, &crop);
    }
    world_start(w, 4);
    world_run(w, 60000);
    for (uint32_t i = 0; i < 4; i++) {
        served += stats(w, i)->sync_served;
    }
    TAP_EQ(60, held(w, 4, &crop));
    TAP_EQ(60, stats(w, 4)->sync_records);
    TAP_EQ(60, served);
    crop_free(&crop);
    world_free(w);
}

/* Records without a payload fill a store as well: a member's word alone brings no more of them. */
static void test_empty_records(void)
{
    struct world *w = world_new(2, 1);
    struct crop crop;
    w->nodes[0].capacity_bytes = 1; /* the least budget */
    world_crash(w, 0);
    world_start(w, 0);
    world_run(w, 10000);
    crop_make(&crop, w, 2000, 1, 0, world_unix_ms(w));
    for (uint32_t i = 0; i < crop.cnt; i++) {
        crop.posts[i].put.record.payload_bytes = 0;
        post_identify(&crop.posts[i]);
    }
    const struct ses_node_id *sender = &world_row(w, 1)->node_id;
    while (ses_budget_take(w->nodes[0].daemon, sender, 1024)) { /* nothing is left of it */
    }
    plant(w, 1, &crop);
    world_run(w, 12000);
    TAP_OK(held(w, 0, &crop) < 1000);
    TAP_OK(stats(w, 0)->limits_hit > 0);
    world_run(w, 300000); /* the rest comes later */
    TAP_EQ(2000, held(w, 0, &crop));
    crop_free(&crop);
    world_free(w);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

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

/* Nor does it seal the future of a store that has just lost everything. */
static void test_clock_ahead_of_an_empty_store(void)
{
    struct world *w = world_new(4, 1);
    struct crop crop;
    world_run(w, 5000);
    world_crash(w, 3);
    SES_ASSERT(nftw(w->nodes[3].dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    w->nodes[3].skew_ms = 60ll * 86400000;
    world_start(w, 3);
    world_run(w, 20000);
    w->nodes[3].skew_ms = 0;
    const int64_t sealed = ses_store_sealed(w->nodes[3].store);
    TAP_OK(sealed >= (int64_t)w->map.epoch && sealed <= (int64_t)w->map.epoch + 1);
    crop_make(&crop, w, 5, 1, 0, world_unix_ms(w));
    plant(w, 3, &crop);
    TAP_OK(admit_epoch(w, 3, &crop.posts[0]) <= w->map.epoch + 2);
    crop_free(&crop);
    world_free(w);
}

/* Nobody to compare with: nothing can be missing. */
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
    world_run(w, 10000);
    world_crash(w, 4);
    SES_ASSERT(nftw(w->nodes[4].dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
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
    ses_sync_rows_write(w, &(struct ses_sync_rows){.cnt = 1});
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

/* Every answer comes late and tells of two more differences. */
struct slow_liar {
    struct sync_liar liar;
    uint64_t delay_ms;
    uint32_t pending;
};
struct slow_answer {
    struct slow_liar *liar;
    struct ses_call *call;
    struct ses_sync_ask ask;
};

static void slow_nodes(uint16_t cnt, struct ses_writer *w)
{
    struct ses_sync_answer answer = {.bitmap = 1};
    answer.children[0].form = SES_SYNC_BRANCH;
    answer.children[0].bitmap = 3;
    ses_random_fill(tap_random(), answer.children[0].shorts, 2 * 8);
    ses_sync_count_write(w, cnt);
    for (uint16_t i = 0; i < cnt; i++) {
        ses_sync_answer_write(w, &answer);
    }
}

static void slow_say(void *cookie)
{
    static uint8_t bytes[SES_FRAME_BYTES_MAX];
    struct slow_answer *a = cookie;
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    if (a->ask.op == SES_SYNC_ROWS) {
        liar_rows(&a->liar->liar, &w);
    } else if (a->ask.op == SES_SYNC_NODES) {
        slow_nodes(a->ask.cnt, &w);
    } else {
        liar_records(&a->liar->liar, &w);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(a->call, bytes, w.len);
    a->liar->pending--;
    ses_free(a);
}

static void slow_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct slow_liar *liar = cookie;
    struct ses_loop *loop = &liar->liar.w->loop;
    struct slow_answer *a = ses_alloc(1, sizeof *a);
    struct ses_reader r;
    struct ses_timer *timer;
    SES_ASSERT(a != NULL);
    a->liar = liar;
    a->call = call;
    if (ses_sync_ask_read(&a->ask, &r, body, len) != SES_OK) {
        a->ask.op = SES_SYNC_FETCH; /* of sums, say: nothing is an answer to all */
    }
    liar->pending++;
    SES_ASSERT(loop->timer_start(loop->ctx, &timer, liar->delay_ms, slow_say, a) == SES_OK);
}

/* Three of ten never come to an end, and a node that starts compares with three at a time. */
static void test_slow_liars_are_not_waited_for(void)
{
    struct world *w = world_new(10, 1);
    struct slow_liar liar = {.liar = {.w = w}, .delay_ms = 15000};
    world_run(w, 10000);
    world_crash(w, 9);
    for (uint32_t i = 0; i < 9; i++) {
        if (i < 3) {
            world_stop(w, i, 0);
            TAP_ERR(SES_OK, ses_net_serve(world_net_of(w->nodes[i].net), SES_PROTO_SYNC, slow_serve,
                                          &liar));
        }
        world_cut(w, i, i >= 3);
    }
    world_start(w, 9);
    world_run(w, 600000);
    TAP_OK(is_partial(w, 9));
    for (uint32_t i = 3; i < 9; i++) {
        world_cut(w, i, false);
    }
    world_run(w, CROP_EPOCH_MS / 2);
    TAP_OK(!is_partial(w, 9));
    for (uint32_t i = 3; i < 10; i++) {
        world_crash(w, i);
    }
    world_run(w, 60000);
    TAP_EQ(0, liar.pending);
    world_free(w);
}

/* ---- late records ---- */
/* One member has a record since before the freeze and comes back behind it. Its receipt is
 * enough for whoever fetches the record at once; those pass it on, with a second receipt. */
static void test_late_records(void)
{
    struct world *w = world_new(5, 1);
    struct crop crop;
    const uint64_t freeze_ms = w->chain_params.params.freeze_seconds * 1000;
    const uint64_t frozen_ms = WORLD_START_MS + CROP_EPOCH_MS - freeze_ms; /* of epoch 6 */
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

static void audit_begins(struct world *w, uint64_t epoch, uint64_t left_ms)
{
    for (uint32_t i = 0; i < 3; i++) {
        TAP_EQ(40, snapshot(w, i, epoch));
    }
    world_run(w, left_ms);
    world_advance_epoch(w);
    world_run(w, 10000);
}

static void lose_everything(struct world *w, uint32_t node)
{
    world_crash(w, node);
    SES_ASSERT(nftw(w->nodes[node].dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    world_start(w, node);
}

static void lacks_what_is_drawn(struct world *w, const struct crop *crop)
{
    const uint32_t have = held(w, 3, crop);
    TAP_OK(have == 38 || have == 39); /* two draws may meet */
}

/* A member that lost everything gets all of it back, but what its audit draws only when its
 * response is on chain, by the chain's word, or the epoch is over. */
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
    audit_begins(w, 6, CROP_EPOCH_MS);
    TAP_EQ(0, w->standings_asked);
    lose_everything(w, 3);
    world_run(w, 400000);
    lacks_what_is_drawn(w, &crop);
    TAP_OK(!is_partial(w, 3));
    TAP_OK(stats(w, 0)->sync_withheld + stats(w, 1)->sync_withheld > 0);
    TAP_OK(w->standings_asked > 0 && w->standings_asked <= 3 * (400 / 60 + 1));
    w->nodes[3].responded = true;
    w->standing_down = true;
    world_run(w, 800000);
    lacks_what_is_drawn(w, &crop); /* nobody can know */
    w->standing_down = false;
    world_run(w, 800000);
    TAP_EQ(7, w->map.epoch);
    TAP_EQ(40, held(w, 3, &crop)); /* in the epoch of the audit */
    audit_begins(w, 7, CROP_EPOCH_MS - 2000000);
    lose_everything(w, 3);
    w->nodes[2].responded = true; /* another one's */
    world_run(w, 400000);
    lacks_what_is_drawn(w, &crop);
    next_epoch(w);
    world_run(w, 400000);
    TAP_EQ(40, held(w, 3, &crop));
    crop_free(&crop);
    world_free(w);
}

static void crop_send(struct crop *crop, struct world *w, uint32_t node, uint32_t cnt)
{
    struct world_net *client = world_client(w, "192.0.2.1:1");
    *crop = (struct crop){.posts = ses_alloc(cnt, sizeof *crop->posts), .cnt = cnt};
    SES_ASSERT(crop->posts != NULL);
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_hash inbox;
        struct post_answer a;
        post_inbox(w, &inbox, 1, 0);
        post_stranger(&crop->posts[i], w, &inbox, 300, world_unix_ms(w));
        post_send(w, client, node, &crop->posts[i], 5000, NULL, &a);
        TAP_EQ(SES_STORED, a.stored.state);
    }
}

/* What a member did not take when it came is owed to it, and withheld like what it asks for. */
static void test_owed_audit_is_withheld(void)
{
    struct world *w = world_new(4, 1);
    struct crop crop, fresh;
    world_run(w, 10000);
    world_cut(w, 3, true);
    crop_send(&crop, w, 0, 40);
    next_epoch(w); /* 6 */
    audit_begins(w, 6, CROP_EPOCH_MS);
    TAP_EQ(40, w->nodes[0].daemon->debts.cnt);
    world_cut(w, 3, false);
    crop_send(&fresh, w, 0, 5);
    world_run(w, 400000);
    lacks_what_is_drawn(w, &crop);
    TAP_EQ(5, held(w, 3, &fresh)); /* the others need not wait */
    TAP_EQ(40 - held(w, 3, &crop), w->nodes[0].daemon->debts.cnt);
    w->nodes[3].responded = true;
    world_run(w, 800000);
    TAP_EQ(40, held(w, 3, &crop));
    TAP_EQ(0, w->nodes[0].daemon->debts.cnt);
    crop_free(&crop);
    crop_free(&fresh);
    world_free(w);
}

/* Makes what the node remembers of a snapshot unreadable. */
static void spoil_snapshots(struct world *w, uint32_t node)
{
    char path[256];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/meta.db", w->nodes[node].dir);
    SES_ASSERT(sqlite3_open(path, &db) == SQLITE_OK);
    SES_ASSERT(sqlite3_exec(db, "UPDATE snapshot SET segments = x'00'", NULL, NULL, NULL) ==
               SQLITE_OK);
    SES_ASSERT(sqlite3_changes(db) > 0 && sqlite3_close(db) == SQLITE_OK);
}

/* Members that cannot tell what an audit draws give nothing while it runs. */
static void test_unknown_audit_is_withheld(void)
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
    for (uint32_t i = 0; i < 4; i++) {
        world_crash(w, i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        spoil_snapshots(w, i);
    }
    SES_ASSERT(nftw(w->nodes[3].dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    for (uint32_t i = 0; i < 3; i++) {
        world_start(w, i);
    }
    world_run(w, CROP_EPOCH_MS - 60000);
    world_advance_epoch(w); /* 7: the audit of 6 */
    world_run(w, 10000);
    world_start(w, 3);
    world_run(w, 400000);
    TAP_EQ(0, held(w, 3, &crop));
    world_run(w, CROP_EPOCH_MS); /* no block comes, and none of that epoch can come any more */
    TAP_EQ(7, w->map.epoch);
    TAP_EQ(40, held(w, 3, &crop));
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

/* However many ask, those whom the node compared with are not forgotten. */
static void test_strangers_take_no_place_of_members(void)
{
    struct world *w = world_new(3, 1);
    struct ses_node_id stranger;
    world_run(w, 60000);
    struct ses_daemon *d = w->nodes[0].daemon;
    for (uint32_t i = 0; i < 3 * SYNC_PEERS; i++) {
        memset(&stranger, 0, sizeof stranger);
        memcpy(stranger.bytes, &i, sizeof i);
        world_run(w, 1);
        (void)ses_sync_peer(d, &stranger);
    }
    for (uint32_t i = 1; i < 3; i++) {
        TAP_OK(ses_sync_peer(d, &w->nodes[i].daemon->p.node_id)->compared);
    }
    world_free(w);
}

int main(void)
{
    TAP_RUN(test_away);
    TAP_RUN(test_fetched_once);
    TAP_RUN(test_empty_records);
    TAP_RUN(test_clock_ahead);
    TAP_RUN(test_clock_ahead_of_an_empty_store);
    TAP_RUN(test_alone);
    TAP_RUN(test_cut_off_stays_partial);
    TAP_RUN(test_liars_are_cut_off);
    TAP_RUN(test_slow_liars_are_not_waited_for);
    TAP_RUN(test_late_records);
    TAP_RUN(test_audit_is_withheld);
    TAP_RUN(test_owed_audit_is_withheld);
    TAP_RUN(test_unknown_audit_is_withheld);
    TAP_RUN(test_strangers_are_refused);
    TAP_RUN(test_strangers_take_no_place_of_members);
    return tap_done();
}
