/* Members that join, that leave, swarms that split and merge: what moves in bulk, and what is
 * forgotten. Daemons, stores and the core are the real ones. */
#include "base/tap.h"
#include "daemon/daemon_internal.h"
#include "daemon/test_crop.h"

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

/* Nobody stays in the swarm who can be reached: those that come take what those that left offer. */
static void test_all_change(void)
{
    struct world *w = world_new(6, 2);
    struct crop ours;
    world_run(w, 10000);
    crop_make(&ours, w, 30, 2, 0, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < 6; i += 2) {
        plant(w, i, &ours);
    }
    move(w, 2, 1);
    move(w, 4, 1);
    move(w, 1, 0);
    move(w, 3, 0);
    world_cut(w, 0, true);
    next_epoch(w);
    world_run(w, 300000);
    TAP_OK(is_partial(w, 1)); /* no member vouches for it */
    TAP_EQ(30, held(w, 1, &ours));
    TAP_EQ(30, held(w, 3, &ours));
    crop_free(&ours);
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
        world_row(w, i)->swarm = 1;
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

/* All members of the upper half lack what the whole swarm stored: they ask those that stayed. */
static void test_split_upon_new_stores(void)
{
    struct world *w = world_new(8, 1);
    struct crop crop;
    world_run(w, 10000);
    crop_make(&crop, w, 30, 2, 1, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < 6; i++) { /* W of eight */
        plant(w, i, &crop);
        world_cut(w, i, true);
    }
    world_crash(w, 6);
    world_crash(w, 7);
    world_row(w, 6)->swarm = world_row(w, 7)->swarm = 1;
    w->map.num_swarms = 2;
    next_epoch(w);
    world_start(w, 6);
    world_start(w, 7);
    world_run(w, 120000);
    TAP_OK(is_partial(w, 6) && is_partial(w, 7));
    for (uint32_t i = 0; i < 6; i++) {
        world_cut(w, i, false);
    }
    world_run(w, 120000);
    TAP_OK(!is_partial(w, 6) && !is_partial(w, 7));
    TAP_EQ(30, held(w, 6, &crop));
    TAP_EQ(30, held(w, 7, &crop));
    crop_free(&crop);
    world_free(w);
}

/* ---- a merge, while people write ---- */
struct traffic {
    struct world *w;
    struct world_net *client;
    struct post posts[160]; /* those of which a node said that they are stored */
    uint32_t cnt, sent_cnt;
};

/* One message a minute, to a member of the inbox's swarm as the chain has it. */
static void traffic_run(struct traffic *t, uint32_t minutes)
{
    struct world *w = t->w;
    for (uint32_t i = 0; i < minutes; i++) {
        struct post *p = &t->posts[t->cnt];
        const uint32_t num_swarms = w->map.num_swarms;
        const uint32_t swarm = t->sent_cnt % num_swarms;
        const uint32_t node = num_swarms * (t->sent_cnt % 3) + swarm; /* not 7, which sleeps */
        struct post_answer answer;
        struct ses_hash inbox;
        post_inbox(w, &inbox, num_swarms, swarm);
        post_stranger(p, w, &inbox, 300, world_unix_ms(w));
        post_send(w, t->client, node, p, 5000, NULL, &answer);
        t->sent_cnt++;
        if (answer.ok && answer.stored.state == SES_STORED) {
            t->cnt++;
        } else {
            post_free(p);
        }
        world_run(w, 59000);
    }
}

struct whole {
    bool done;
    struct ses_sum sum;
};

static void on_whole(void *cookie, const struct ses_segments_result *result)
{
    struct whole *whole = cookie;
    SES_ASSERT(result->err == SES_OK);
    *whole = (struct whole){.done = true, .sum = result->sum};
}

static bool whole_done(void *cookie)
{
    return ((const struct whole *)cookie)->done;
}

static void whole_of(struct world *w, uint32_t node, struct whole *out)
{
    const struct ses_view view = {.epoch = SES_EPOCH_LIVE, .swarm = 0, .num_swarms = 1};
    *out = (struct whole){0};
    TAP_ERR(SES_OK, ses_store_segments(w->nodes[node].store, &view, 0, on_whole, out));
    TAP_MUST(world_until(w, whole_done, out, 10000));
}

static void test_merge(void)
{
    static struct traffic t;
    struct whole first, other;
    struct world *w = world_new(8, 2); /* W = 3 of 4, then 6 of 8 */
    struct crop left, right;
    t = (struct traffic){.w = w, .client = world_client(w, "192.0.2.1:1")};
    world_run(w, 10000);
    crop_make(&left, w, 200, 2, 0, world_unix_ms(w) - 7200000);
    crop_make(&right, w, 40, 2, 1, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < 8; i++) {
        plant(w, i, i % 2 == 0 ? &left : &right);
    }
    traffic_run(&t, 50);
    for (uint32_t i = 1; i < 8; i += 2) {
        move(w, i, 0);
    }
    w->map.num_swarms = 1;
    world_cut(w, 7, true); /* one sleeps through it */
    world_advance_epoch(w);
    traffic_run(&t, 60);
    world_cut(w, 7, false);
    world_advance_epoch(w); /* the grace epoch is over */
    traffic_run(&t, 30);
    world_run(w, 300000);
    TAP_OK(t.cnt > t.sent_cnt - 5); /* a few find a node that has not heard of the merge */
    whole_of(w, 0, &first);
    for (uint32_t i = 0; i < 8; i++) {
        TAP_OK(!is_partial(w, i));
        TAP_EQ(200, held(w, i, &left));
        TAP_EQ(40, held(w, i, &right));
        TAP_EQ(0, stats(w, i)->foreign_dropped);
        uint32_t stored = 0;
        for (uint32_t k = 0; k < t.cnt; k++) {
            stored += post_at(w, i, &t.posts[k]) ? 1 : 0;
        }
        TAP_EQ(t.cnt, stored);
        whole_of(w, i, &other);
        TAP_EQ(240 + t.cnt, other.sum.count);
        TAP_EQ(first.sum.bytes, other.sum.bytes);
        TAP_OK(ses_equal(&first.sum.hash, &other.sum.hash, 32));
    }
    for (uint32_t k = 0; k < t.cnt; k++) {
        post_free(&t.posts[k]);
    }
    crop_free(&left);
    crop_free(&right);
    world_free(w);
}

/* ---- bulk ---- */
/* Gives a record of another hour, or always one more page of nothing. */
struct page_liar {
    bool gives;
    struct post other; /* valid, and never told of */
    uint32_t asked;
};

static void liar_page(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    static uint8_t bytes[8192];
    struct page_liar *liar = cookie;
    struct ses_writer w;
    (void)body;
    (void)len;
    liar->asked++;
    ses_writer_init(&w, bytes, sizeof bytes);
    const uint16_t cnt = liar->gives ? 1 : 0;
    ses_bulk_page_write(&w, &(struct ses_bulk_page){.more = true, .next = liar->asked, .cnt = cnt});
    if (cnt > 0) {
        ses_record_write(&w, &liar->other.put.record);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, bytes, w.len);
}

/* Two of three members are new at once: what they say of each other is no proof that nothing is
 * missing. */
static void test_new_ones_do_not_vouch(void)
{
    struct world *w = world_new(6, 2);
    struct crop crop;
    world_run(w, 10000);
    crop_make(&crop, w, 30, 2, 0, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < 6; i += 2) {
        plant(w, i, &crop);
    }
    move(w, 1, 0);
    move(w, 3, 0);
    move(w, 2, 1);
    move(w, 4, 1);
    world_cut(w, 0, true);
    next_epoch(w);
    world_run(w, 120000);
    TAP_OK(is_partial(w, 1) && is_partial(w, 3));
    world_cut(w, 0, false);
    world_run(w, 120000);
    TAP_OK(!is_partial(w, 1) && !is_partial(w, 3));
    TAP_EQ(30, held(w, 1, &crop));
    TAP_EQ(30, held(w, 3, &crop));
    crop_free(&crop);
    world_free(w);
}

/* Members 1, 3, ... of swarm 1 change places with those of swarm 0, which cannot be reached. */
static struct world *all_new(uint32_t node_cnt, struct crop *crop)
{
    struct world *w = world_new(node_cnt, 2);
    world_run(w, 10000);
    crop_make(crop, w, 30, 2, 0, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < node_cnt; i += 2) {
        plant(w, i, crop);
        move(w, i, 1);
        move(w, i + 1, 0);
        world_cut(w, i, true);
    }
    next_epoch(w);
    world_run(w, 120000);
    return w;
}

/* All members are new: only those that left can tell what is stored. */
static void test_all_new_ask_those_that_left(void)
{
    for (uint32_t node_cnt = 2; node_cnt <= 4; node_cnt += 2) {
        struct crop crop;
        struct world *w = all_new(node_cnt, &crop);
        for (uint32_t i = 1; i < node_cnt; i += 2) {
            TAP_OK(is_partial(w, i));
        }
        for (uint32_t i = 0; i < node_cnt; i += 2) {
            world_cut(w, i, false);
        }
        world_run(w, 120000);
        for (uint32_t i = 1; i < node_cnt; i += 2) {
            TAP_OK(!is_partial(w, i));
            TAP_EQ(30, held(w, i, &crop));
        }
        crop_free(&crop);
        world_free(w);
    }
}

/* Those that left do not come back: they are waited for until the epoch is over. */
static void test_those_that_left_are_gone(void)
{
    struct crop crop;
    struct world *w = all_new(4, &crop);
    TAP_OK(is_partial(w, 1) && is_partial(w, 3));
    next_epoch(w);
    TAP_OK(!is_partial(w, 1) && !is_partial(w, 3));
    crop_free(&crop);
    world_free(w);
}

static enum ses_err no_space(void *ctx, uint64_t *free_bytes)
{
    (void)ctx;
    *free_bytes = 0;
    return SES_OK;
}

/* Who has no space for what it lacks has not caught up. */
static void test_join_with_a_full_disk(void)
{
    struct crop crop;
    struct world *w = world_new(4, 2);
    world_run(w, 10000);
    crop_make(&crop, w, 30, 2, 0, world_unix_ms(w) - 7200000);
    plant(w, 0, &crop);
    plant(w, 2, &crop);
    struct ses_disk *disk = &w->nodes[1].disk;
    enum ses_err (*const space)(void *ctx, uint64_t *free_bytes) = disk->space;
    disk->space = no_space;
    move(w, 1, 0);
    next_epoch(w);
    world_run(w, 120000);
    TAP_EQ(0, held(w, 1, &crop));
    TAP_OK(is_partial(w, 1));
    disk->space = space;
    world_run(w, 120000);
    TAP_EQ(30, held(w, 1, &crop));
    TAP_OK(!is_partial(w, 1));
    crop_free(&crop);
    world_free(w);
}

/* The only member is decommissioned as another one comes: it is the one to be asked. */
static void test_the_one_before_is_decommissioned(void)
{
    struct crop crop;
    struct world *w = world_new(2, 2);
    world_run(w, 10000);
    crop_make(&crop, w, 30, 2, 0, world_unix_ms(w) - 7200000);
    plant(w, 0, &crop);
    move(w, 1, 0);
    world_row(w, 0)->status = SES_NODE_DECOMMISSIONING;
    world_cut(w, 0, true);
    next_epoch(w);
    world_run(w, 120000);
    TAP_OK(is_partial(w, 1));
    world_cut(w, 0, false);
    world_run(w, 120000);
    TAP_EQ(30, held(w, 1, &crop));
    TAP_OK(!is_partial(w, 1));
    crop_free(&crop);
    world_free(w);
}

/* One epoch passed unseen, and in that one the node was in another swarm. */
static void test_away_for_an_epoch_unseen(void)
{
    struct world *w = world_new(6, 2);
    world_run(w, 10000);
    TAP_OK(!is_partial(w, 0));
    w->chain_down = true;
    move(w, 0, 1);
    next_epoch(w);
    move(w, 0, 0);
    next_epoch(w);
    TAP_OK(!is_partial(w, 0) && w->nodes[0].daemon->map->epoch + 2 == w->map.epoch);
    world_cut(w, 2, true);
    world_cut(w, 4, true);
    w->chain_down = false;
    world_run(w, 120000);
    TAP_OK(w->nodes[0].daemon->map->epoch == w->map.epoch && is_partial(w, 0));
    world_cut(w, 2, false);
    world_cut(w, 4, false);
    world_run(w, 120000);
    TAP_OK(!is_partial(w, 0));
    world_free(w);
}

/* What two members hold, six others know nothing of, however many of them agree. */
static void test_merge_with_a_small_swarm(void)
{
    struct world *w = world_new(8, 2);
    struct crop crop;
    world_run(w, 10000);
    crop_make(&crop, w, 30, 2, 1, world_unix_ms(w) - 7200000);
    move(w, 1, 0);
    move(w, 3, 0);
    next_epoch(w);
    for (uint32_t i = 5; i < 8; i += 2) {
        plant(w, i, &crop);
        world_cut(w, i, true);
        move(w, i, 0);
    }
    w->map.num_swarms = 1;
    next_epoch(w);
    world_run(w, 120000);
    TAP_OK(is_partial(w, 0) && is_partial(w, 1));
    world_cut(w, 5, false);
    world_cut(w, 7, false);
    world_run(w, 120000);
    TAP_OK(!is_partial(w, 0) && !is_partial(w, 1));
    TAP_EQ(30, held(w, 0, &crop));
    crop_free(&crop);
    world_free(w);
}

static void test_bulk_liar_is_cut_off(void)
{
    struct world *w = world_new(8, 2);
    struct page_liar liar = {.gives = true};
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
    struct page_liar liar = {.gives = false};
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

/* A source gives one record with each page, late, and so has never done. Only the clock ends it. */
struct slow_page {
    struct world *w;
    const struct post *record;
    struct ses_call *call;
    uint64_t next;
};

static void slow_reply(void *cookie)
{
    static uint8_t bytes[8192];
    struct slow_page *s = cookie;
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_bulk_page_write(&w, &(struct ses_bulk_page){.more = true, .next = s->next, .cnt = 1});
    ses_record_write(&w, &s->record->put.record);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(s->call, bytes, w.len);
    s->call = NULL;
}

static void slow_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct slow_page *s = cookie;
    struct ses_bulk_ask ask;
    struct ses_timer *timer;
    SES_ASSERT(s->call == NULL && ses_bulk_ask_read(&ask, body, len) == SES_OK);
    s->call = call;
    s->next = ask.offset + 1;
    SES_ASSERT(s->w->loop.timer_start(s->w->loop.ctx, &timer, 30000, slow_reply, s) == SES_OK);
}

static void test_bulk_takes_half_an_epoch(void)
{
    struct world *w = world_new(8, 2);
    struct slow_page slow[4];
    struct crop crop;
    world_run(w, 10000);
    crop_make(&crop, w, 600, 2, 0, world_unix_ms(w) - 7200000);
    for (uint32_t i = 0; i < 8; i += 2) {
        slow[i / 2] = (struct slow_page){.w = w, .record = &crop.posts[0]};
        plant(w, i, &crop);
        TAP_ERR(SES_OK, ses_net_serve(world_net_of(w->nodes[i].net), SES_PROTO_BULK, slow_serve,
                                      &slow[i / 2]));
    }
    move(w, 1, 0);
    next_epoch(w);
    world_run(w, CROP_EPOCH_MS / 2 - 60000);
    TAP_OK(is_partial(w, 1));
    TAP_OK(held(w, 1, &crop) < 600);
    world_run(w, 360000);
    TAP_OK(!is_partial(w, 1));
    TAP_EQ(600, held(w, 1, &crop));
    TAP_EQ(0, stats(w, 1)->sync_cut_off);
    crop_free(&crop);
    world_free(w);
}

/* ---- what a leaving node believes ---- */
/* A member that shows sums without end, or the same ones again in the place of what it lacks. */
struct sums_liar {
    struct ses_sync_segment row;
    bool repeats;
    uint32_t asked;
};

static void on_own_sums(void *cookie, const struct ses_segments_result *result)
{
    struct sums_liar *liar = cookie;
    SES_ASSERT(result->err == SES_OK && result->segment_cnt == 2);
    liar->row.id.ttl_class = result->segments[0].id.bytes[0];
    liar->row.id.hour = ses_get_u32(result->segments[0].id.bytes + 1);
    liar->row.sum = result->segments[0].sum;
}

static void sums_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    uint8_t bytes[256];
    struct sums_liar *liar = cookie;
    struct ses_sync_sums_ask ask;
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    if (ses_sync_sums_ask_read(&ask, body, len) != SES_OK) {
        ses_response_ok(&w);
        ses_call_reply(call, bytes, w.len);
        return;
    }
    liar->asked++;
    ses_sync_sums_write(&w, &(struct ses_sync_sums){.more = !liar->repeats, .cnt = 2});
    const struct ses_segment first = liar->repeats ? liar->row.id : ask.from;
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t hour = first.hour + (liar->repeats ? 0 : i);
        const struct ses_sync_segment row = {.id = {first.ttl_class, hour}, .sum = liar->row.sum};
        ses_sync_segment_write(&w, &row);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, bytes, w.len);
}

static void test_leaving_trusts_no_liar(void)
{
    for (int repeats = 0; repeats < 2; repeats++) {
        struct world *w = world_new(10, 2); /* four members stay in swarm 1, W = 3 */
        struct sums_liar liar = {.repeats = repeats == 1};
        struct crop crops[2]; /* two segments */
        const struct ses_view view = {.epoch = SES_EPOCH_LIVE, .swarm = 1, .num_swarms = 2};
        world_run(w, 10000);
        for (uint32_t k = 0; k < 2; k++) {
            crop_make(&crops[k], w, 5, 2, 1, world_unix_ms(w) - (2 + k) * 3600000u);
            for (uint32_t i = 1; i < 10; i += 2) {
                plant(w, i, &crops[k]);
            }
        }
        TAP_ERR(SES_OK, ses_store_segments(w->nodes[3].store, &view, 0, on_own_sums, &liar));
        move(w, 1, 0);
        next_epoch(w);
        TAP_ERR(SES_OK,
                ses_net_serve(world_net_of(w->nodes[3].net), SES_PROTO_SYNC, sums_serve, &liar));
        world_cut(w, 9, true);
        next_epoch(w);
        world_run(w, 600000);
        TAP_OK(liar.asked > 0);
        TAP_EQ(5, held(w, 1, &crops[0])); /* two are not enough */
        TAP_EQ(5, held(w, 1, &crops[1]));
        world_cut(w, 9, false);
        world_run(w, 600000);
        TAP_EQ(0, held(w, 1, &crops[0]));
        crop_free(&crops[0]);
        crop_free(&crops[1]);
        world_free(w);
    }
}

/* Members that take their time with a question, and then answer it as always. */
struct late_call {
    struct world_node *node;
    struct ses_call *call;
    struct ses_buf body;
};

static void late_answer(void *cookie)
{
    struct late_call *late = cookie;
    ses_sync_serve(late->node->daemon, late->call, late->body.bytes, late->body.len);
    ses_buf_free(&late->body);
    ses_free(late);
}

static void late_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct world_node *node = cookie;
    struct late_call *late = ses_alloc(1, sizeof *late);
    struct ses_timer *timer;
    SES_ASSERT(late != NULL);
    late->node = node;
    late->call = call;
    SES_ASSERT(ses_buf_append(&late->body, body, len) == SES_OK);
    SES_ASSERT(node->world->loop.timer_start(node->world->loop.ctx, &timer, 20000, late_answer,
                                             late) == SES_OK);
}

static bool lists_in_grace(void *cookie)
{
    const struct world_node *node = cookie;
    const struct leave *l = &node->daemon->sync.leave;
    return l->owed && l->busy && l->in_grace && l->swarm_cnt > 0;
}

/* A round that began in the grace epoch ends behind it: what came meanwhile was not listed. */
static void test_leaving_lists_again(void)
{
    struct world *w = world_new(8, 2); /* three members stay in swarm 1, W = 3 */
    struct crop ours, last;
    world_run(w, 10000);
    crop_make(&ours, w, 10, 2, 1, world_unix_ms(w) - 7200000);
    crop_make(&last, w, 3, 2, 1, world_unix_ms(w) - 7200000);
    for (uint32_t i = 1; i < 8; i += 2) {
        plant(w, i, &ours);
    }
    move(w, 1, 0);
    next_epoch(w);
    world_run(w, CROP_EPOCH_MS);
    for (uint32_t i = 3; i < 8; i += 2) {
        TAP_ERR(SES_OK, ses_net_serve(world_net_of(w->nodes[i].net), SES_PROTO_SYNC, late_serve,
                                      &w->nodes[i]));
    }
    TAP_MUST(world_until(w, lists_in_grace, &w->nodes[1], 300000));
    plant(w, 1, &last);
    world_advance_epoch(w);
    world_run(w, 600000);
    TAP_EQ(13, stats(w, 1)->foreign_dropped);
    for (uint32_t i = 3; i < 8; i += 2) {
        TAP_EQ(3, held(w, i, &last)); /* handed over before it was forgotten */
        TAP_ERR(SES_OK, ses_net_serve(world_net_of(w->nodes[i].net), SES_PROTO_SYNC, ses_sync_serve,
                                      w->nodes[i].daemon));
    }
    world_run(w, 30000); /* the last of the late answers */
    crop_free(&ours);
    crop_free(&last);
    world_free(w);
}

/* ---- more swarms than the list of a round holds ---- */
/* A node that moves away and holds a record of each of so many other swarms, whose only member
 * holds it as well; how many it forgets. */
static uint64_t forgotten(uint32_t swarm_cnt)
{
    struct world *w = world_new(swarm_cnt + 1, 128); /* node i in swarm i */
    struct crop *crops = ses_alloc(swarm_cnt, sizeof *crops);
    SES_ASSERT(crops != NULL);
    world_run(w, 10000);
    for (uint32_t i = 0; i < swarm_cnt; i++) {
        crop_make(&crops[i], w, 1, 128, i + 1, world_unix_ms(w) - 7200000);
        plant(w, 0, &crops[i]);
        plant(w, i + 1, &crops[i]);
    }
    move(w, 0, 100);
    next_epoch(w);
    next_epoch(w);
    world_run(w, 300000);
    const uint64_t dropped = stats(w, 0)->foreign_dropped;
    uint64_t left = 0;
    for (uint32_t i = 0; i < swarm_cnt; i++) {
        left += held(w, 0, &crops[i]);
        crop_free(&crops[i]);
    }
    TAP_EQ(swarm_cnt, left + dropped);
    ses_free(crops);
    world_free(w);
    return dropped;
}

static void test_what_was_not_listed_is_kept(void)
{
    TAP_EQ(LEAVE_SWARMS_MAX, forgotten(LEAVE_SWARMS_MAX));
    TAP_EQ(0, forgotten(LEAVE_SWARMS_MAX + 1)); /* all but one are agreed on */
}

int main(void)
{
    TAP_RUN(test_join_and_leave);
    TAP_RUN(test_all_change);
    TAP_RUN(test_split);
    TAP_RUN(test_split_upon_new_stores);
    TAP_RUN(test_merge);
    TAP_RUN(test_new_ones_do_not_vouch);
    TAP_RUN(test_all_new_ask_those_that_left);
    TAP_RUN(test_those_that_left_are_gone);
    TAP_RUN(test_join_with_a_full_disk);
    TAP_RUN(test_the_one_before_is_decommissioned);
    TAP_RUN(test_away_for_an_epoch_unseen);
    TAP_RUN(test_merge_with_a_small_swarm);
    TAP_RUN(test_bulk_liar_is_cut_off);
    TAP_RUN(test_bulk_ends);
    TAP_RUN(test_bulk_takes_half_an_epoch);
    TAP_RUN(test_leaving_trusts_no_liar);
    TAP_RUN(test_leaving_lists_again);
    TAP_RUN(test_what_was_not_listed_is_kept);
    return tap_done();
}
