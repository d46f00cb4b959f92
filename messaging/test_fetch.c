/* The fetch against members that hold random subsets, page at random, fail, lie and lag: whoever
 * asks m - W + 1 honest members gets everything that W members hold, each record once. */
#include <string.h>

#include "base/tap.h"
#include "messaging/messaging.h"

#define NOW_MS 1700000000000u
#define RECORDS 60u
#define MEMBERS 10u
#define PAYLOAD 40u

static const struct ses_hash inbox = {{4, 4}};

static struct {
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t payload[PAYLOAD];
    struct ses_record_ids ids;
} world[RECORDS];

/* A member: the records that it holds, in its own order of arrival. The cursor counts them. */
static struct member {
    struct ses_node_id id;
    unsigned order[RECORDS];
    unsigned cnt;
    bool dead, partial;
} members[MEMBERS];

static struct ses_record record_view(unsigned i)
{
    return (struct ses_record){world[i].header, world[i].payload, PAYLOAD};
}

static void make_record(unsigned i, uint64_t ts_ms, const struct ses_hash *to, int16_t ns)
{
    struct ses_record_header header = {.ns = ns, .ttl_class = 1, .ts_ms = ts_ms, .inbox = *to};
    ses_record_header_encode(world[i].header, &header);
    ses_random_fill(tap_random(), world[i].payload, PAYLOAD);
    const struct ses_record record = record_view(i);
    TAP_MUST(ses_record_identify(&world[i].ids, &record) == SES_OK);
}

/* Every record is held by at least `holders` random members. */
static void make_world(unsigned holders)
{
    memset(members, 0, sizeof members);
    for (unsigned m = 0; m < MEMBERS; m++) {
        members[m].id.bytes[0] = (uint8_t)(m + 1);
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        make_record(i, NOW_MS - 1000 * (uint64_t)i, &inbox, 0);
        const unsigned first = (unsigned)ses_random_below(tap_random(), MEMBERS);
        for (unsigned k = 0; k < holders; k++) {
            struct member *m = &members[(first + k) % MEMBERS];
            m->order[m->cnt++] = i;
        }
    }
    for (unsigned m = 0; m < MEMBERS; m++) { /* each in its own order */
        for (unsigned k = members[m].cnt; k > 1; k--) {
            const unsigned other = (unsigned)ses_random_below(tap_random(), k);
            const unsigned swap = members[m].order[k - 1];
            members[m].order[k - 1] = members[m].order[other];
            members[m].order[other] = swap;
        }
    }
}

static size_t write_page(uint8_t *body, size_t cap, const struct member *m,
                         const struct ses_retrieve *ask, unsigned page_max)
{
    struct ses_writer w;
    struct ses_page page = {.flags = m->partial ? SES_PAGE_PARTIAL : 0};
    unsigned at = ask->after.bytes[0];
    const unsigned left = m->cnt - at;
    const unsigned cnt = left < page_max ? left : page_max;
    page.record_cnt = (uint16_t)cnt;
    page.flags |= cnt < left ? SES_PAGE_MORE : 0;
    page.next.bytes[0] = (uint8_t)(at + cnt);
    ses_writer_init(&w, body, cap);
    ses_page_write(&w, &page);
    for (unsigned i = 0; i < cnt; i++) {
        const struct ses_record record = record_view(m->order[at + i]);
        ses_record_write(&w, &record);
    }
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    return w.len;
}

static void serve(struct ses_fetch *f, const struct ses_inbox_state *state, uint32_t at,
                  const struct ses_retrieve *ask)
{
    static uint8_t body[65536];
    struct ses_refusal refusal;
    struct member *m = NULL;
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (members[i].id.bytes[0] == f->members[at].node_id.bytes[0]) {
            m = &members[i];
        }
    }
    TAP_MUST(m != NULL);
    if (m->dead) {
        ses_fetch_failed(f, at, SES_ERR_UNREACHABLE);
        return;
    }
    const size_t len =
        write_page(body, sizeof body, m, ask, 1 + (unsigned)ses_random_below(tap_random(), 20));
    TAP_ERR(SES_OK, ses_fetch_page(f, at, state, body, len, &refusal));
}

/* Several requests under way, answered in random order. */
static void run(struct ses_fetch *f, const struct ses_inbox_state *state)
{
    struct {
        uint32_t member;
        struct ses_retrieve ask;
    } way[MEMBERS];
    unsigned cnt = 0;
    for (unsigned guard = 0; guard < 100000 && !ses_fetch_finished(f); guard++) {
        while (cnt < MEMBERS && ses_fetch_next(f, &way[cnt].member, &way[cnt].ask)) {
            cnt++;
        }
        TAP_MUST(cnt > 0);
        const unsigned pick = (unsigned)ses_random_below(tap_random(), cnt);
        if (ses_random_below(tap_random(), 4) == 0) {
            ses_fetch_slow(f, way[pick].member); /* may still answer, now or never */
            continue;
        }
        serve(f, state, way[pick].member, &way[pick].ask);
        way[pick] = way[--cnt];
    }
    TAP_OK(ses_fetch_finished(f));
}

static void begin(struct ses_fetch *f, const struct ses_inbox_state *state, uint32_t active,
                  uint32_t wanted)
{
    struct ses_node_id ids[MEMBERS];
    for (unsigned m = 0; m < MEMBERS; m++) {
        ids[m] = members[m].id;
    }
    ses_fetch_init(f, &inbox, 0, ids, active, MEMBERS, wanted, state, NOW_MS);
}

static void check_complete(const struct ses_fetch *f)
{
    TAP_EQ(RECORDS, f->record_cnt);
    for (unsigned i = 0; i < RECORDS; i++) {
        unsigned found = 0;
        for (unsigned k = 0; k < f->record_cnt; k++) {
            found += memcmp(f->records[k].ids.id.bytes, world[i].ids.id.bytes, 32) == 0;
        }
        TAP_EQ(1, found);
    }
}

static void test_quorum_reads_everything(void)
{
    for (unsigned round = 0; round < 50; round++) {
        struct ses_inbox_state state = {0};
        struct ses_fetch f;
        const uint32_t wanted = ses_read_quorum(MEMBERS);
        make_world(ses_write_quorum(MEMBERS));
        /* up to W - 1 members fail, or lag and say so */
        for (unsigned i = 0; i < MEMBERS - wanted; i++) {
            struct member *m = &members[ses_random_below(tap_random(), MEMBERS)];
            m->dead = ses_random_below(tap_random(), 2) == 0;
            m->partial = !m->dead;
        }
        begin(&f, &state, MEMBERS, wanted);
        run(&f, &state);
        TAP_OK(ses_fetch_answered(&f) >= wanted);
        check_complete(&f);
        TAP_ERR(SES_OK, ses_fetch_keep_cursors(&f, &state));
        for (unsigned k = 0; k < f.record_cnt; k++) {
            TAP_ERR(SES_OK, ses_inbox_see_record(&state, &f.records[k].ids.id, NOW_MS));
        }
        ses_fetch_free(&f);
        begin(&f, &state, MEMBERS, wanted); /* the second time there is nothing new */
        run(&f, &state);
        TAP_EQ(0, f.record_cnt);
        ses_fetch_free(&f);
        ses_inbox_free(&state);
    }
}

/* A member that hangs is replaced before it fails; its late answer counts. */
static void test_slow_members(void)
{
    struct ses_fetch f;
    struct ses_retrieve first;
    struct ses_retrieve ask;
    uint32_t slow;
    uint32_t member;
    make_world(MEMBERS);
    begin(&f, NULL, MEMBERS, 1);
    TAP_MUST(ses_fetch_next(&f, &slow, &first));
    TAP_OK(!ses_fetch_next(&f, &member, &ask));
    ses_fetch_slow(&f, slow);
    TAP_OK(!ses_fetch_finished(&f));
    TAP_MUST(ses_fetch_next(&f, &member, &ask));
    TAP_OK(member != slow);
    TAP_OK(!ses_fetch_next(&f, &member, &ask));
    while (!ses_fetch_finished(&f)) { /* the slow one comes back to life */
        serve(&f, NULL, slow, &first);
        (void)(f.members[slow].state == SES_FETCH_READY && ses_fetch_next(&f, &slow, &first));
    }
    TAP_EQ(1, ses_fetch_answered(&f));
    check_complete(&f);
    ses_fetch_free(&f);
}

static void test_too_few_answer(void)
{
    struct ses_fetch f;
    make_world(MEMBERS);
    for (unsigned i = 0; i < MEMBERS; i++) {
        members[i].dead = i != 3;
    }
    begin(&f, NULL, MEMBERS, 4);
    run(&f, NULL);
    TAP_EQ(1, ses_fetch_answered(&f));
    check_complete(&f); /* one honest member that has all is better than nothing */
    ses_fetch_free(&f);
    members[3].dead = true;
    begin(&f, NULL, MEMBERS, 4);
    run(&f, NULL);
    TAP_EQ(0, ses_fetch_answered(&f));
    TAP_EQ(0, f.record_cnt);
    ses_fetch_free(&f);
}

static void test_partial_and_leaving_do_not_count(void)
{
    struct ses_fetch f;
    make_world(MEMBERS);
    members[0].partial = true;
    begin(&f, NULL, 3, 3); /* 0, 1, 2 Active, the others leaving */
    run(&f, NULL);
    TAP_EQ(2, ses_fetch_answered(&f));
    TAP_EQ(SES_FETCH_PARTIAL, f.members[0].state);
    ses_fetch_free(&f);
}

static void expect_peer(struct ses_fetch *f, const uint8_t *body, size_t len)
{
    uint32_t member;
    struct ses_retrieve ask;
    struct ses_refusal refusal;
    begin(f, NULL, MEMBERS, 1);
    TAP_MUST(ses_fetch_next(f, &member, &ask));
    TAP_ERR(SES_ERR_PEER, ses_fetch_page(f, member, NULL, body, len, &refusal));
    TAP_EQ(SES_FETCH_FAILED, f->members[member].state);
    TAP_OK(ses_fetch_next(f, &member, &ask)); /* another one takes its place */
    ses_fetch_free(f);
}

static void test_liars(void)
{
    static uint8_t body[4096];
    struct ses_fetch f;
    const struct ses_hash foreign = {{9}};
    struct ses_retrieve ask = {0};
    make_world(MEMBERS);
    members[0].order[0] = 0;
    members[0].cnt = 2;
    members[0].order[1] = 1;
    make_record(0, NOW_MS, &foreign, 0);
    expect_peer(&f, body, write_page(body, sizeof body, &members[0], &ask, 5));
    make_record(0, NOW_MS, &inbox, 10);
    expect_peer(&f, body, write_page(body, sizeof body, &members[0], &ask, 5));
    make_record(0, NOW_MS, &inbox, 0);
    size_t len = write_page(body, sizeof body, &members[0], &ask, 5);
    expect_peer(&f, body, len - 1);
    expect_peer(&f, body, len + 1);
    expect_peer(&f, body, 0);
    /* "more", but the cursor stands still */
    len = write_page(body, sizeof body, &members[0], &ask, 1);
    memset(body + 4, 0, SES_CURSOR_BYTES);
    expect_peer(&f, body, len);
}

static void test_expired_is_left_out(void)
{
    static uint8_t body[4096];
    struct ses_fetch f;
    struct ses_retrieve ask;
    struct ses_refusal refusal;
    uint32_t member;
    make_world(MEMBERS);
    make_record(0, NOW_MS - 3 * 86400000u, &inbox, 0);
    members[0].cnt = 2;
    members[0].order[0] = 0;
    members[0].order[1] = 1;
    begin(&f, NULL, MEMBERS, 1);
    TAP_MUST(ses_fetch_next(&f, &member, &ask));
    const size_t len = write_page(body, sizeof body, &members[0], &ask, 5);
    TAP_ERR(SES_OK, ses_fetch_page(&f, member, NULL, body, len, &refusal));
    TAP_EQ(1, f.record_cnt);
    TAP_BYTES(world[1].ids.id.bytes, f.records[0].ids.id.bytes, 32);
    ses_fetch_free(&f);
}

/* ---- shares: members with more records than one fetch takes ---- */

#define STREAM_BYTES_MAX 60000u
#define STREAM_PAGE_MAX 256u
#define HONEST_CNT 3000u
enum { HONEST = 1, JUNK = 2 };

/* Record `n` of a stream: the same whoever serves it. */
static void stream_record(struct ses_record *out, uint8_t stream, uint32_t n, uint32_t len)
{
    static uint8_t head[SES_RECORD_HEADER_BYTES];
    static uint8_t payload[STREAM_BYTES_MAX];
    const struct ses_record_header header = {
        .ttl_class = 1, .ts_ms = NOW_MS - 1000 * (uint64_t)(n % 1000), .inbox = inbox};
    ses_record_header_encode(head, &header);
    payload[0] = stream;
    ses_put_u32(payload + 1, n);
    *out = (struct ses_record){head, payload, len};
}

/* Junk never ends; honest members hold the same HONEST_CNT records. */
static enum ses_err serve_stream(struct ses_fetch *f, const struct ses_inbox_state *state,
                                 uint32_t member, const struct ses_retrieve *ask, uint8_t stream,
                                 uint32_t len)
{
    struct ses_buf body = {0};
    struct ses_writer w;
    struct ses_refusal refusal;
    const uint32_t at = ses_get_u32(ask->after.bytes);
    const uint32_t left = stream == JUNK ? UINT32_MAX : HONEST_CNT - at;
    const uint32_t fit = 524288 / len + 1;
    const uint32_t page_max = fit < STREAM_PAGE_MAX ? fit : STREAM_PAGE_MAX;
    const uint32_t cnt = left < page_max ? left : page_max;
    struct ses_page page = {.record_cnt = (uint16_t)cnt, .flags = cnt < left ? SES_PAGE_MORE : 0};
    ses_put_u32(page.next.bytes, at + cnt);
    const size_t cap = 1000 + (size_t)cnt * (len + 100);
    TAP_MUST(ses_buf_reserve(&body, cap) == SES_OK);
    ses_writer_init(&w, body.bytes, cap);
    ses_page_write(&w, &page);
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_record record;
        stream_record(&record, stream, at + i, len);
        ses_record_write(&w, &record);
    }
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    const enum ses_err err = ses_fetch_page(f, member, state, body.bytes, w.len, &refusal);
    ses_buf_free(&body);
    return err;
}

/* The first `liars` members serve junk, the others what is there. */
static void run_streams(struct ses_fetch *f, const struct ses_inbox_state *state, uint32_t liars,
                        uint32_t junk_bytes)
{
    uint32_t member;
    struct ses_retrieve ask;
    while (ses_fetch_next(f, &member, &ask)) {
        const bool lies = member < liars;
        TAP_ERR(SES_OK, serve_stream(f, state, member, &ask, lies ? JUNK : HONEST,
                                     lies ? junk_bytes : PAYLOAD));
    }
    TAP_OK(ses_fetch_finished(f));
}

static uint32_t count_honest(const struct ses_fetch *f)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < f->record_cnt; i++) {
        cnt += f->records[i].bytes[SES_RECORD_HEADER_BYTES] == HONEST;
    }
    return cnt;
}

static void see_all(struct ses_inbox_state *state, const struct ses_fetch *f)
{
    for (uint32_t i = 0; i < f->record_cnt; i++) {
        TAP_MUST(ses_inbox_see_record(state, &f->records[i].ids.id, NOW_MS) == SES_OK);
    }
    TAP_MUST(ses_fetch_keep_cursors(f, state) == SES_OK);
}

/* Everything arrives, each record once, in a few fetches, however many members flood. */
static void read_beside(uint32_t liars, uint32_t junk_bytes)
{
    struct ses_inbox_state state = {0};
    uint32_t honest = 0;
    uint32_t rounds = 0;
    bool more = true;
    make_world(MEMBERS);
    for (; more && rounds < 20; rounds++) {
        struct ses_fetch f;
        begin(&f, &state, MEMBERS, 4);
        run_streams(&f, &state, liars, junk_bytes);
        honest += count_honest(&f);
        for (uint32_t i = 0; i < MEMBERS; i++) {
            TAP_OK(f.members[i].record_cnt < SES_FETCH_RECORDS_MAX / MEMBERS + STREAM_PAGE_MAX);
            TAP_OK(f.members[i].bytes < SES_FETCH_BYTES_MAX / MEMBERS + SES_FRAME_BYTES_MAX);
        }
        more = f.full;
        TAP_OK(more || ses_fetch_answered(&f) >= 4);
        see_all(&state, &f);
        ses_fetch_free(&f);
    }
    TAP_EQ(HONEST_CNT, honest);
    TAP_OK(!more);
    ses_inbox_free(&state);
}

static void test_junk_takes_no_room_of_others(void)
{
    read_beside(0, 0);
    read_beside(1, PAYLOAD);
    read_beside(1, STREAM_BYTES_MAX);
    read_beside(3, PAYLOAD); /* of four that are asked */
}

/* Whoever alone brought a record can be told; what several have is nobody's fault. */
static void test_only_holder(void)
{
    struct ses_fetch f;
    uint32_t member;
    uint32_t junk = 0;
    make_world(MEMBERS);
    begin(&f, NULL, MEMBERS, 4);
    for (uint32_t i = 1; i < MEMBERS; i++) { /* near their end, so that they come to it */
        ses_put_u32(f.members[i].cursor.bytes, HONEST_CNT - 10);
    }
    run_streams(&f, NULL, 1, PAYLOAD);
    TAP_OK(!f.full);
    for (uint32_t i = 0; i < f.record_cnt; i++) {
        const bool honest = f.records[i].bytes[SES_RECORD_HEADER_BYTES] == HONEST;
        const bool alone = ses_fetch_only_holder(&f, &f.records[i], &member);
        TAP_OK(alone == !honest && (!alone || member == 0));
        junk += alone;
    }
    TAP_OK(junk >= SES_FETCH_RECORDS_MAX / MEMBERS);
    TAP_EQ(10, count_honest(&f));
    ses_fetch_free(&f);
}

/* What the first asked member's refusal does to a fetch. */
static enum ses_err refuse(struct ses_fetch *f, struct ses_refusal *refusal, uint32_t *member)
{
    uint8_t body[64];
    struct ses_writer w;
    struct ses_retrieve ask;
    make_world(MEMBERS);
    begin(f, NULL, MEMBERS, 1);
    TAP_MUST(ses_fetch_next(f, member, &ask));
    ses_writer_init(&w, body, sizeof body);
    ses_refusal_write(&w, refusal);
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    memset(refusal, 0, sizeof *refusal);
    return ses_fetch_page(f, *member, NULL, body, w.len, refusal);
}

static void test_refusal(void)
{
    struct ses_fetch f;
    struct ses_refusal refusal = {.status = SES_ERR_WRONG_SWARM, .epoch = 5, .num_swarms = 2};
    uint32_t member;
    TAP_ERR(SES_ERR_WRONG_SWARM, refuse(&f, &refusal, &member));
    TAP_EQ(5, refusal.epoch);
    ses_fetch_free(&f);
}

/* What ends a call because of this program ends nothing if a node says it. */
static void test_refusal_of_ours(void)
{
    static const enum ses_err ours[] = {SES_ERR_MEMORY, SES_ERR_CLOSED, SES_ERR_FULL};
    for (size_t i = 0; i < SES_COUNT(ours); i++) {
        struct ses_fetch f;
        struct ses_refusal refusal = {.status = ours[i]};
        uint32_t member;
        TAP_ERR(SES_ERR_UNAVAILABLE, refuse(&f, &refusal, &member));
        TAP_ERR(ours[i], refusal.status);
        TAP_EQ(SES_FETCH_FAILED, f.members[member].state);
        ses_fetch_free(&f);
    }
}

int main(void)
{
    TAP_RUN(test_quorum_reads_everything);
    TAP_RUN(test_slow_members);
    TAP_RUN(test_too_few_answer);
    TAP_RUN(test_partial_and_leaving_do_not_count);
    TAP_RUN(test_liars);
    TAP_RUN(test_expired_is_left_out);
    TAP_RUN(test_junk_takes_no_room_of_others);
    TAP_RUN(test_only_holder);
    TAP_RUN(test_refusal);
    TAP_RUN(test_refusal_of_ours);
    return tap_done();
}
