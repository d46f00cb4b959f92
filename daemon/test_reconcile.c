/* Reconciliation without a network: sets of every kind converge, a run tells exactly what differs,
 * and whatever a member says, it costs no more than the limits. */
#include <stdio.h>
#include <string.h>

#include "base/tap.h"
#include "daemon/test_reconcile_kit.h"

#define HOUR 497000u

static uint64_t below(uint64_t n)
{
    return ses_random_below(tap_random(), n);
}

static const struct reconcile_params everything = {.set = {1, 0}, .whole = true};

static void put_random(struct kit_side *side, uint64_t n, uint32_t hours)
{
    struct ses_leaf leaf;
    kit_leaf(&leaf, n, (uint8_t)(n % 3 + 1), HOUR - (uint32_t)(n / 7 % hours));
    kit_put(side, &leaf);
}

/* Both sides hold `common` leaves, and each some of its own. */
static void sides_make(struct kit_side *a, struct kit_side *b, uint64_t common, uint64_t only_a,
                       uint64_t only_b, uint32_t hours)
{
    const uint64_t base = below(1u << 30);
    kit_side_init(a);
    kit_side_init(b);
    for (uint64_t i = 0; i < common; i++) {
        put_random(a, base + i, hours);
        put_random(b, base + i, hours);
    }
    for (uint64_t i = 0; i < only_a; i++) {
        put_random(a, base + common + i, hours);
    }
    for (uint64_t i = 0; i < only_b; i++) {
        put_random(b, base + common + only_a + i, hours);
    }
}

static void test_sets_converge(void)
{
    for (unsigned i = 0; i < 40; i++) {
        struct kit_side a, b;
        struct kit_cost cost;
        const uint64_t common = below(3) == 0 ? 0 : below(4000);
        const uint64_t only_a = below(3) == 0 ? 0 : below(300);
        const uint64_t only_b = below(3) == 0 ? 0 : below(300);
        sides_make(&a, &b, common, only_a, only_b, 1 + (uint32_t)below(40));
        kit_run(&a, &b, &everything, true, &cost);
        TAP_OK(kit_same(&a, &b));
        TAP_EQ(only_b, cost.fetched);
        TAP_EQ(only_a, cost.offered);
        TAP_OK(!cost.cut);
        kit_run(&a, &b, &everything, true, &cost); /* equal sets: one question */
        TAP_EQ(1, cost.rounds);
        TAP_EQ(0, cost.fetched + cost.offered);
        kit_side_free(&a);
        kit_side_free(&b);
    }
}

/* A message here, its tombstone there: another leaf under the same key. */
static void test_tombstones(void)
{
    struct kit_side a, b;
    struct kit_cost cost;
    sides_make(&a, &b, 500, 0, 0, 3);
    struct ses_leaf leaf;
    kit_leaf(&leaf, 7, 1, HOUR);
    kit_put(&a, &leaf);
    leaf.kind = 1;
    leaf.size = 0;
    kit_put(&b, &leaf);
    TAP_OK(!kit_same(&a, &b));
    kit_run(&a, &b, &everything, false, &cost);
    TAP_EQ(1, cost.fetched);
    TAP_EQ(0, cost.offered); /* it was deleted there */
    TAP_OK(kit_same(&a, &b));
    kit_side_free(&a);
    kit_side_free(&b);
}

/* Many leaves of one inbox share half of their key. */
static void test_one_inbox(void)
{
    struct kit_side a, b;
    struct kit_cost cost;
    kit_side_init(&a);
    kit_side_init(&b);
    for (uint64_t n = 0; n < 3000; n++) {
        struct ses_leaf leaf;
        kit_leaf(&leaf, n, 2, HOUR);
        memset(leaf.key.bytes, 0x5A, 32);
        if (n % 10 != 3) {
            kit_put(&a, &leaf);
        }
        if (n % 11 != 4) {
            kit_put(&b, &leaf);
        }
    }
    kit_run(&a, &b, &everything, true, &cost);
    TAP_OK(kit_same(&a, &b));
    kit_side_free(&a);
    kit_side_free(&b);
}

static void test_recent_only(void)
{
    struct kit_side a, b;
    struct kit_cost cost;
    struct reconcile_params p = {.set = {1, 0}, .from_hour = HOUR - 2, .now_hour = HOUR};
    struct ses_leaf leaf;
    sides_make(&a, &b, 2000, 0, 0, 30);
    kit_leaf(&leaf, 1, 3, HOUR - 1);
    kit_put(&b, &leaf);
    kit_leaf(&leaf, 2, 3, HOUR - 100);
    kit_put(&b, &leaf);
    kit_run(&a, &b, &p, false, &cost);
    TAP_EQ(1, cost.fetched);
    TAP_OK(!cost.older); /* that day was not compared */
    p.whole = true;
    kit_run(&a, &b, &p, false, &cost);
    TAP_EQ(0, cost.fetched);
    TAP_OK(cost.older);
    p.from_hour = 0;
    kit_run(&a, &b, &p, false, &cost);
    TAP_EQ(1, cost.fetched);
    TAP_OK(kit_same(&a, &b));
    kit_side_free(&a);
    kit_side_free(&b);
}

/* Segments that are missing as a whole are left to bulk transfer. */
static void test_bulk(void)
{
    struct kit_side a, b;
    struct kit_cost cost;
    struct reconcile_params p = everything;
    p.bulk = true;
    sides_make(&a, &b, 100, 0, 6000, 2);
    kit_run(&a, &b, &p, false, &cost);
    TAP_EQ(6, cost.bulk_cnt);
    TAP_EQ(0, cost.fetched);
    TAP_EQ(1, cost.rounds);
    kit_side_free(&a);
    kit_side_free(&b);
}

/* The usual failure: some of the last hour is missing in a large set. */
static void test_costs(void)
{
    struct kit_side a, b;
    struct kit_cost cost;
    struct ses_leaf leaf;
    kit_side_init(&a);
    kit_side_init(&b);
    for (uint64_t n = 0; n < 60000; n++) {
        kit_leaf(&leaf, n, 3, HOUR - (uint32_t)(n % 20));
        kit_put(&a, &leaf);
        if (n % 20 != 0 || n >= 2000) { /* 100 of the newest hour */
            kit_put(&b, &leaf);
        }
    }
    kit_run(&b, &a, &everything, false, &cost);
    printf("# 60000 records, 100 of one hour missing: %llu bytes, %u round trips\n",
           (unsigned long long)cost.bytes, cost.rounds);
    TAP_EQ(100, cost.fetched);
    TAP_OK(kit_same(&a, &b));
    TAP_OK(cost.rounds <= 4 && cost.bytes <= 30000);
    kit_side_free(&a);
    kit_side_free(&b);
}

/* ---- liars ---- */
/* Says that everything differs, always, with names of leaves that do not exist. */
static void endless_answer(const uint8_t *body, size_t len, struct ses_buf *out)
{
    static uint8_t bytes[SES_FRAME_BYTES_MAX];
    struct ses_sync_ask ask;
    struct ses_reader r;
    struct ses_writer w;
    SES_ASSERT(ses_sync_ask_read(&ask, &r, body, len) == SES_OK);
    ses_writer_init(&w, bytes, sizeof bytes);
    if (ask.op == SES_SYNC_ROWS) {
        struct ses_sync_hours hours = {.ttl_class = 2, .day = HOUR / SES_ROW_HOURS, .cnt = 24};
        for (uint8_t i = 0; i < 24; i++) {
            hours.hours[i].hour = i;
            hours.hours[i].count = UINT64_MAX;
            hours.hours[i].digest = below(UINT64_MAX);
        }
        ses_sync_rows_write(&w, &(struct ses_sync_rows){.cnt = 1});
        ses_sync_hours_write(&w, &hours);
    } else {
        struct ses_sync_answer answer = {.bitmap = 0xFFFF};
        for (unsigned i = 0; i < 16; i++) {
            struct ses_sync_child *child = &answer.children[i];
            child->form = below(2) == 0 ? SES_SYNC_BRANCH : SES_SYNC_SHORTS_MAX;
            child->bitmap = 0xFFFF;
            ses_random_fill(tap_random(), child->shorts, sizeof child->shorts);
        }
        ses_sync_count_write(&w, ask.cnt);
        for (unsigned i = 0; i < ask.cnt; i++) {
            ses_sync_answer_write(&w, &answer);
        }
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    SES_ASSERT(ses_buf_append(out, bytes, w.len) == SES_OK);
}

static void test_endless_differences_end(void)
{
    struct kit_side a, b;
    struct reconcile *r;
    sides_make(&a, &b, 2000, 0, 0, 24);
    TAP_MUST(reconcile_new(&r, &everything) == SES_OK);
    TAP_ERR(SES_OK, kit_feed(&a, r));
    while (r->need.kind == RECONCILE_SEND) {
        struct ses_buf answer = {0};
        endless_answer(r->need.frame.bytes, r->need.frame.len, &answer);
        TAP_MUST(reconcile_answer(r, answer.bytes, answer.len) == SES_OK);
        TAP_MUST(kit_feed(&a, r) == SES_OK);
        ses_buf_free(&answer);
    }
    TAP_OK(r->cut);
    TAP_OK(r->bytes_in <= (33u << 20));
    TAP_OK(r->wants.short_cnt <= RECONCILE_WANTS_MAX);
    TAP_OK(r->gives.short_cnt <= RECONCILE_GIVES_MAX);
    reconcile_free(r);
    kit_side_free(&a);
    kit_side_free(&b);
}

/* An honest answer with some bytes changed is refused or believed, never more. */
static void test_garbled_answers(void)
{
    struct kit_side a, b;
    sides_make(&a, &b, 1500, 40, 40, 5);
    for (unsigned i = 0; i < 60; i++) {
        struct reconcile *r;
        enum ses_err err = SES_OK;
        TAP_MUST(reconcile_new(&r, &everything) == SES_OK);
        TAP_MUST(kit_feed(&a, r) == SES_OK);
        while (err == SES_OK && r->need.kind == RECONCILE_SEND) {
            struct ses_buf answer = {0};
            SES_ASSERT(kit_answer(&b, r->need.frame.bytes, r->need.frame.len, &answer));
            for (unsigned k = 0; k < 3; k++) {
                answer.bytes[below(answer.len)] ^= (uint8_t)(1u << below(8));
            }
            err = reconcile_answer(r, answer.bytes, answer.len - (below(4) == 0 ? 1 : 0));
            err = err == SES_OK ? kit_feed(&a, r) : err;
            ses_buf_free(&answer);
        }
        TAP_OK(r->round_cnt <= RECONCILE_ROUNDS_MAX);
        reconcile_free(r);
    }
    kit_side_free(&a);
    kit_side_free(&b);
}

/* The answering side, asked by somebody who does not keep the rules. */
static void test_hostile_questions(void)
{
    struct kit_side a;
    struct ses_buf out = {0};
    uint8_t bytes[300];
    struct ses_writer w;
    struct ses_sync_ask ask = {.op = SES_SYNC_ROWS, .set = {1, 0}, .cnt = 2};
    kit_side_init(&a);
    put_random(&a, 1, 1);
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_sync_ask_write(&w, &ask);
    ses_sync_row_write(&w, &(struct ses_sync_row){2, 5, 1});
    ses_sync_row_write(&w, &(struct ses_sync_row){2, 5, 1}); /* twice the same day */
    TAP_OK(!kit_answer(&a, bytes, w.len, &out));
    ask.op = SES_SYNC_NODES;
    ask.cnt = 0;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_sync_ask_write(&w, &ask);
    TAP_OK(!kit_answer(&a, bytes, w.len, &out));
    ask.op = SES_SYNC_OFFER;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_sync_ask_write(&w, &ask);
    TAP_OK(!kit_answer(&a, bytes, w.len, &out));
    for (unsigned i = 0; i < 3000; i++) {
        const size_t len = below(sizeof bytes);
        ses_random_fill(tap_random(), bytes, len);
        if (len > 30) {
            const uint8_t head[] = {1, (uint8_t)(1 + below(5)), 0, 0, 0, 1, 0, 0, 0, 0};
            memcpy(bytes, head, sizeof head);
        }
        (void)kit_answer(&a, bytes, len, &out);
    }
    TAP_OK(true);
    ses_buf_free(&out);
    kit_side_free(&a);
}

/* Names in a fetch that are not there find nothing; too many are refused. */
static void test_fetch_bounds(void)
{
    struct kit_side a;
    struct reconcile_list list = {.short_max = 1000};
    struct ses_sync_place place = {.segment = {2, HOUR}, .nibble_cnt = 1};
    struct ses_buf frame = {0}, out = {0};
    uint32_t at = 0;
    kit_side_init(&a);
    put_random(&a, 1, 1);
    for (uint64_t i = 0; i < 500; i++) {
        TAP_ERR(SES_OK, reconcile_list_add(&list, &place, i));
    }
    TAP_ERR(SES_OK, reconcile_list_frame(&frame, SES_SYNC_FETCH, &everything, &list, &at, 500));
    TAP_OK(!kit_answer(&a, frame.bytes, frame.len, &out));
    frame.len = 0;
    at = 0;
    TAP_ERR(SES_OK, reconcile_list_frame(&frame, SES_SYNC_FETCH, &everything, &list, &at, 128));
    TAP_OK(kit_answer(&a, frame.bytes, frame.len, &out));
    ses_buf_free(&frame);
    ses_buf_free(&out);
    reconcile_list_free(&list);
    kit_side_free(&a);
}

int main(void)
{
    TAP_RUN(test_sets_converge);
    TAP_RUN(test_tombstones);
    TAP_RUN(test_one_inbox);
    TAP_RUN(test_recent_only);
    TAP_RUN(test_bulk);
    TAP_RUN(test_costs);
    TAP_RUN(test_endless_differences_end);
    TAP_RUN(test_garbled_answers);
    TAP_RUN(test_hostile_questions);
    TAP_RUN(test_fetch_bounds);
    return tap_done();
}
