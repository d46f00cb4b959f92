/* A fetch: asks as many members as a reader needs, pages each to its end, merges by record id. */
#include <string.h>

#include "messaging/messaging.h"

#define PAGE_RECORDS 256u
#define PAGE_BYTES 524288u

void ses_fetch_init(struct ses_fetch *f, const struct ses_hash *inbox, int16_t ns,
                    const struct ses_node_id *members, uint32_t active_cnt, uint32_t member_cnt,
                    uint32_t wanted, const struct ses_inbox_state *state, uint64_t now_ms)
{
    SES_ASSERT(member_cnt <= SES_MEMBERS_MAX && active_cnt <= member_cnt && wanted <= active_cnt);
    memset(f, 0, sizeof *f);
    f->inbox = *inbox;
    f->ns = ns;
    f->wanted = wanted;
    f->member_cnt = member_cnt;
    f->now_ms = now_ms;
    for (uint32_t i = 0; i < member_cnt; i++) {
        f->members[i].node_id = members[i];
        f->members[i].counts = i < active_cnt;
        if (state != NULL) {
            ses_inbox_cursor_get(state, &members[i], ns, &f->members[i].cursor);
        }
    }
}

void ses_fetch_free(struct ses_fetch *f)
{
    for (uint32_t i = 0; i < f->record_cnt; i++) {
        ses_free(f->records[i].bytes);
    }
    ses_free(f->records);
    f->records = NULL;
    f->record_cnt = f->record_cap = 0;
}

uint32_t ses_fetch_answered(const struct ses_fetch *f)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < f->member_cnt; i++) {
        const enum ses_fetch_member_state state = f->members[i].state;
        const bool silent = SES_MUTANT(SILENCE_COUNTS) && state == SES_FETCH_FAILED;
        cnt += f->members[i].counts && (state == SES_FETCH_DONE || silent);
    }
    return cnt;
}

/* Members that may soon end up counting: done, or at work, not partial and not slow. In a large
 * inbox all shares run out, and the next fetch goes on; but where a member has come to its end,
 * one that goes on and on does not hold up the others: another takes its place. */
static uint32_t hopeful(const struct ses_fetch *f)
{
    const bool some_ended = ses_fetch_answered(f) > 0;
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < f->member_cnt; i++) {
        const struct ses_fetch_member *m = &f->members[i];
        const bool at_work =
            (m->state == SES_FETCH_READY || m->state == SES_FETCH_ASKED) && !m->slow;
        const bool waits = m->state == SES_FETCH_FULL && !some_ended;
        cnt += m->counts && !m->partial && (at_work || waits || m->state == SES_FETCH_DONE);
    }
    return cnt;
}

/* One that goes on; else a fresh one while too few are hopeful. */
static bool choose(struct ses_fetch *f, uint32_t *member)
{
    for (uint32_t i = 0; i < f->member_cnt; i++) {
        if (f->members[i].state == SES_FETCH_READY) {
            *member = i;
            return true;
        }
    }
    if (hopeful(f) >= f->wanted) {
        return false;
    }
    for (uint32_t i = 0; i < f->member_cnt; i++) {
        if (f->members[i].state == SES_FETCH_IDLE) {
            *member = i;
            return true;
        }
    }
    return false;
}

bool ses_fetch_next(struct ses_fetch *f, uint32_t *member, struct ses_retrieve *ask)
{
    if (!choose(f, member)) {
        return false;
    }
    struct ses_fetch_member *m = &f->members[*member];
    m->state = SES_FETCH_ASKED;
    *ask = (struct ses_retrieve){.inbox = f->inbox,
                                 .ns = f->ns,
                                 .after = m->cursor,
                                 .record_max = PAGE_RECORDS,
                                 .bytes_max = PAGE_BYTES};
    return true;
}

void ses_fetch_failed(struct ses_fetch *f, uint32_t member, enum ses_err err)
{
    SES_ASSERT(member < f->member_cnt);
    f->members[member].state = SES_FETCH_FAILED;
    f->members[member].err = err;
}

void ses_fetch_slow(struct ses_fetch *f, uint32_t member)
{
    SES_ASSERT(member < f->member_cnt);
    f->members[member].slow = true;
}

bool ses_fetch_finished(const struct ses_fetch *f)
{
    if (ses_fetch_answered(f) >= f->wanted) {
        return true;
    }
    const bool want_more = hopeful(f) < f->wanted;
    for (uint32_t i = 0; i < f->member_cnt; i++) {
        const enum ses_fetch_member_state state = f->members[i].state;
        if (state == SES_FETCH_ASKED || state == SES_FETCH_READY ||
            (state == SES_FETCH_IDLE && want_more)) {
            return false;
        }
    }
    return true;
}

/* ---- pages ---- */

static struct ses_fetched *find_record(const struct ses_fetch *f, const struct ses_hash *id)
{
    for (uint32_t i = 0; i < f->record_cnt; i++) {
        const size_t len = SES_MUTANT(IDS_BY_PREFIX) ? 0 : sizeof id->bytes;
        if (memcmp(f->records[i].ids.id.bytes, id->bytes, len) == 0) {
            return &f->records[i];
        }
    }
    return NULL;
}

static uint64_t bit_of(const struct ses_fetch *f, const struct ses_fetch_member *m)
{
    _Static_assert(SES_MEMBERS_MAX <= 64, "one bit a member");
    return UINT64_C(1) << (m - f->members);
}

static enum ses_err keep_record(struct ses_fetch *f, struct ses_fetch_member *m,
                                const struct ses_record *record, const struct ses_record_ids *ids)
{
    if (f->record_cnt == f->record_cap) {
        const uint32_t cap = f->record_cap < 16 ? 16 : f->record_cap * 2;
        struct ses_fetched *records = ses_realloc(f->records, cap, sizeof *records);
        SES_REQUIRE(records != NULL, SES_ERR_MEMORY);
        f->records = records;
        f->record_cap = cap;
    }
    const size_t len = SES_RECORD_HEADER_BYTES + (size_t)record->payload_bytes;
    uint8_t *bytes = ses_alloc(len, 1);
    SES_REQUIRE(bytes != NULL, SES_ERR_MEMORY);
    memcpy(bytes, record->header, SES_RECORD_HEADER_BYTES);
    if (record->payload_bytes > 0) {
        memcpy(bytes + SES_RECORD_HEADER_BYTES, record->payload, record->payload_bytes);
    }
    f->records[f->record_cnt++] = (struct ses_fetched){.ids = *ids,
                                                       .bytes = bytes,
                                                       .payload_bytes = record->payload_bytes,
                                                       .holders = bit_of(f, m)};
    m->record_cnt++;
    m->bytes += len;
    return SES_OK;
}

/* A record of another inbox or namespace, or no record: the node breaks the protocol. What is
 * expired, deleted or known is left out. */
static enum ses_err take_record(struct ses_fetch *f, struct ses_fetch_member *m,
                                const struct ses_inbox_state *state,
                                const struct ses_record *record)
{
    struct ses_record_ids ids;
    const enum ses_err err = ses_record_identify(&ids, record);
    SES_REQUIRE(err == SES_OK, SES_ERR_PEER);
    SES_REQUIRE(ids.header.ns == f->ns, SES_ERR_PEER);
    SES_REQUIRE(memcmp(ids.header.inbox.bytes, f->inbox.bytes, 32) == 0, SES_ERR_PEER);
    if (ids.header.kind != SES_RECORD_MESSAGE ||
        ses_segment_expires_ms(&ids.segment) <= f->now_ms) {
        return SES_OK;
    }
    struct ses_fetched *known = find_record(f, &ids.id);
    if (known != NULL) {
        known->holders |= bit_of(f, m);
        return SES_OK;
    }
    if (state != NULL && ses_inbox_saw_record(state, &ids.id)) {
        return SES_OK;
    }
    return keep_record(f, m, record, &ids);
}

static bool share_used_up(const struct ses_fetch *f, const struct ses_fetch_member *m)
{
    return m->record_cnt >= SES_FETCH_RECORDS_MAX / f->member_cnt ||
           m->bytes >= SES_FETCH_BYTES_MAX / f->member_cnt;
}

static enum ses_err take_page(struct ses_fetch *f, struct ses_fetch_member *m,
                              const struct ses_inbox_state *state, struct ses_reader *r)
{
    struct ses_page page;
    ses_page_read(r, &page);
    SES_REQUIRE(r->err == SES_OK && page.record_cnt <= PAGE_RECORDS, SES_ERR_PEER);
    for (unsigned i = 0; i < page.record_cnt; i++) {
        struct ses_record record;
        ses_record_read(r, &record);
        SES_REQUIRE(r->err == SES_OK, SES_ERR_PEER);
        SES_TRY(take_record(f, m, state, &record));
    }
    SES_REQUIRE(ses_reader_done(r) == SES_OK, SES_ERR_PEER);
    const bool more = (page.flags & SES_PAGE_MORE) != 0;
    /* a page that goes nowhere would be asked for ever */
    SES_REQUIRE(!more || memcmp(page.next.bytes, m->cursor.bytes, SES_CURSOR_BYTES) != 0,
                SES_ERR_PEER);
    m->partial = m->partial || (page.flags & SES_PAGE_PARTIAL) != 0;
    m->cursor = page.next;
    m->page_cnt++;
    SES_REQUIRE(!more || m->page_cnt < SES_FETCH_PAGES_MAX, SES_ERR_PEER);
    if (more) {
        m->state = share_used_up(f, m) ? SES_FETCH_FULL : SES_FETCH_READY;
    } else {
        m->state = m->partial ? SES_FETCH_PARTIAL : SES_FETCH_DONE;
    }
    return SES_OK;
}

static enum ses_err take_body(struct ses_fetch *f, struct ses_fetch_member *m,
                              const struct ses_inbox_state *state, const uint8_t *body, size_t len,
                              struct ses_refusal *refusal)
{
    struct ses_reader r;
    bool ok;
    SES_REQUIRE(ses_response_begin(&r, body, len, &ok, refusal) == SES_OK, SES_ERR_PEER);
    if (!ok) {
        return ses_refusal_err(refusal);
    }
    return take_page(f, m, state, &r);
}

enum ses_err ses_fetch_page(struct ses_fetch *f, uint32_t member,
                            const struct ses_inbox_state *state, const uint8_t *body, size_t len,
                            struct ses_refusal *refusal)
{
    SES_ASSERT(member < f->member_cnt);
    struct ses_fetch_member *m = &f->members[member];
    memset(refusal, 0, sizeof *refusal);
    const enum ses_err err = take_body(f, m, state, body, len, refusal);
    if (err != SES_OK) {
        ses_fetch_failed(f, member, err);
    }
    f->full = false;
    for (uint32_t i = 0; i < f->member_cnt && ses_fetch_answered(f) == 0; i++) {
        f->full = f->full || f->members[i].state == SES_FETCH_FULL;
    }
    return err;
}

bool ses_fetch_only_holder(const struct ses_fetch *f, const struct ses_fetched *record,
                           uint32_t *member)
{
    bool others = false;
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < f->member_cnt; i++) {
        const bool holds = (record->holders >> i & 1) != 0;
        others =
            others || (!holds && f->members[i].counts && f->members[i].state == SES_FETCH_DONE);
        *member = holds ? i : *member;
        cnt += holds;
    }
    return cnt == 1 && others;
}

enum ses_err ses_fetch_keep_cursors(const struct ses_fetch *f, struct ses_inbox_state *state)
{
    static const struct ses_cursor start;
    for (uint32_t i = 0; i < f->member_cnt; i++) {
        const struct ses_fetch_member *m = &f->members[i];
        if (memcmp(m->cursor.bytes, start.bytes, sizeof start.bytes) != 0) {
            SES_TRY(ses_inbox_cursor_set(state, &m->node_id, f->ns, &m->cursor, f->now_ms));
        }
    }
    return SES_OK;
}
