/* A fetch among members that lie. Whatever they answer, it ends, and what it keeps is of this
 * inbox, whole, alive, each record once, and known to come from a member.
 *
 * Input: u8 who, u8 what, then as `what` says; repeated. `who` chooses among the questions under
 * way. What: 0 an answer as it is, u16 length and bytes; 1 silence; 2 it is slow; 3 a page of
 * records that exist, u8 flags, u8 cursor, u8 count and their numbers. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "messaging/messaging.h"

#define NOW_MS 1700000000000u
#define MEMBERS 5u
#define ACTIVE 4u
#define WANTED 2u
#define RECORDS 24u
#define PAYLOAD 40u

static const struct ses_hash inbox = {{4, 4}};
static struct ses_buf records[RECORDS]; /* as on the wire */
static struct ses_hash seen;            /* one of them */

/* Of this inbox, but some: another's, another namespace's, expired, a deletion; seen before. */
static void make_record(unsigned i)
{
    struct ses_record_header fields = {
        .ttl_class = (uint8_t)(i % 5), .ts_ms = NOW_MS - 1000u * i, .inbox = inbox};
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t payload[PAYLOAD];
    struct ses_writer w;
    fields.inbox.bytes[31] = i == 0;
    fields.ns = i == 1;
    fields.ts_ms -= i == 2 ? 86400000ull * 60 : 0;
    fields.kind = i == 3 ? SES_RECORD_TOMBSTONE : SES_RECORD_MESSAGE;
    ses_record_header_encode(header, &fields);
    memset(payload, (int)i, sizeof payload);
    const struct ses_record record = {header, payload, i % PAYLOAD};
    struct ses_record_ids ids;
    if (i == 4) {
        SES_ASSERT(ses_record_identify(&ids, &record) == SES_OK);
        seen = ids.id;
    }
    SES_ASSERT(ses_buf_reserve(&records[i], 256) == SES_OK);
    ses_writer_init(&w, records[i].bytes, records[i].cap);
    ses_record_write(&w, &record);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    records[i].len = w.len;
}

struct run {
    struct ses_fetch fetch;
    struct ses_inbox_state state;
    uint32_t asked[MEMBERS];
    uint32_t asked_cnt;
    uint32_t question_cnt;
};

static void ask_more(struct run *run)
{
    struct ses_retrieve ask;
    uint32_t member;
    while (!ses_fetch_finished(&run->fetch) && ses_fetch_next(&run->fetch, &member, &ask)) {
        SES_ASSERT(member < MEMBERS && run->asked_cnt < MEMBERS);
        SES_ASSERT(++run->question_cnt <= MEMBERS * SES_FETCH_PAGES_MAX);
        run->asked[run->asked_cnt++] = member;
    }
}

/* Takes the question off the list; its member. */
static uint32_t take_question(struct run *run, uint8_t who)
{
    const uint32_t at = who % run->asked_cnt;
    const uint32_t member = run->asked[at];
    run->asked[at] = run->asked[--run->asked_cnt];
    return member;
}

static void answer(struct run *run, uint8_t who, const uint8_t *bytes, size_t len)
{
    struct ses_refusal refusal;
    const uint32_t member = take_question(run, who);
    const enum ses_err err = ses_fetch_page(&run->fetch, member, &run->state, bytes, len, &refusal);
    SES_ASSERT((err != SES_OK) == (run->fetch.members[member].state == SES_FETCH_FAILED));
}

static void page(struct run *run, uint8_t who, struct ses_reader *r)
{
    static uint8_t body[65536];
    struct ses_writer w;
    struct ses_page head = {.flags = ses_read_u8(r) & (SES_PAGE_MORE | SES_PAGE_PARTIAL)};
    head.next.bytes[0] = ses_read_u8(r);
    head.record_cnt = ses_read_u8(r);
    ses_writer_init(&w, body, sizeof body);
    ses_page_write(&w, &head);
    for (unsigned i = 0; i < head.record_cnt; i++) {
        const struct ses_buf *record = &records[ses_read_u8(r) % RECORDS];
        ses_write_bytes(&w, record->bytes, record->len);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    answer(run, who, body, w.len);
}

static void step(struct run *run, struct ses_reader *r)
{
    const uint8_t who = ses_read_u8(r);
    const uint8_t what = ses_read_u8(r) % 4;
    if (what == 0) {
        const uint16_t len = ses_read_u16(r);
        const uint8_t *bytes = ses_read_view(r, len);
        answer(run, who, bytes, r->err == SES_OK ? len : 0);
    } else if (what == 1) {
        ses_fetch_failed(&run->fetch, take_question(run, who), SES_ERR_TIMEOUT);
    } else if (what == 2) {
        ses_fetch_slow(&run->fetch, run->asked[who % run->asked_cnt]);
    } else {
        page(run, who, r);
    }
}

static void check_record(const struct ses_fetch *f, uint32_t at)
{
    const struct ses_fetched *got = &f->records[at];
    const struct ses_record record = {got->bytes, got->bytes + SES_RECORD_HEADER_BYTES,
                                      got->payload_bytes};
    struct ses_record_ids ids;
    uint32_t member = MEMBERS;
    SES_ASSERT(ses_record_identify(&ids, &record) == SES_OK);
    SES_ASSERT(memcmp(&ids.id, &got->ids.id, sizeof ids.id) == 0);
    SES_ASSERT(ids.header.ns == 0 && memcmp(&ids.header.inbox, &inbox, sizeof inbox) == 0);
    SES_ASSERT(ids.header.kind == SES_RECORD_MESSAGE);
    SES_ASSERT(ses_segment_expires_ms(&ids.segment) > NOW_MS);
    SES_ASSERT(memcmp(&ids.id, &seen, sizeof seen) != 0);
    SES_ASSERT(got->holders != 0 && got->holders >> MEMBERS == 0);
    if (ses_fetch_only_holder(f, got, &member)) {
        SES_ASSERT(member < MEMBERS && got->holders == (uint64_t)1 << member);
    }
    for (uint32_t i = 0; i < at; i++) {
        SES_ASSERT(memcmp(&f->records[i].ids.id, &ids.id, sizeof ids.id) != 0);
    }
}

static void check(struct run *run)
{
    const struct ses_fetch *f = &run->fetch;
    for (uint32_t i = 0; i < f->record_cnt; i++) {
        check_record(f, i);
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        SES_ASSERT(f->members[i].state != SES_FETCH_DONE || !f->members[i].partial);
        SES_ASSERT(f->members[i].page_cnt <= SES_FETCH_PAGES_MAX);
    }
    SES_ASSERT(ses_fetch_finished(f));
    SES_ASSERT(ses_fetch_keep_cursors(f, &run->state) == SES_OK);
}

static void begin(struct run *run)
{
    struct ses_node_id ids[MEMBERS] = {0};
    memset(run, 0, sizeof *run);
    for (unsigned i = 0; i < MEMBERS; i++) {
        ids[i].bytes[0] = (uint8_t)(i + 1);
    }
    SES_ASSERT(ses_inbox_see_record(&run->state, &seen, NOW_MS) == SES_OK);
    ses_fetch_init(&run->fetch, &inbox, 0, ids, ACTIVE, MEMBERS, WANTED, &run->state, NOW_MS);
    ask_more(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run run;
    struct ses_reader r;
    for (unsigned i = 0; i < RECORDS && records[i].bytes == NULL; i++) {
        make_record(i);
    }
    begin(&run);
    ses_reader_init(&r, data, size);
    while (run.asked_cnt > 0 && r.left > 0 && r.err == SES_OK) {
        step(&run, &r);
        ask_more(&run);
    }
    while (run.asked_cnt > 0) {
        ses_fetch_failed(&run.fetch, take_question(&run, 0), SES_ERR_TIMEOUT);
        ask_more(&run);
    }
    check(&run);
    ses_fetch_free(&run.fetch);
    ses_inbox_free(&run.state);
    return 0;
}
