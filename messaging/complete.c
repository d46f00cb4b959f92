#include "messaging/complete.h"

#include <stdlib.h>
#include <string.h>

#define HOUR_MS 3600000u

void ses_complete_init(struct ses_complete *c, const struct ses_hash *digest, uint64_t epoch)
{
    memset(c, 0, sizeof *c);
    c->digest = *digest;
    c->epoch = epoch;
}

void ses_complete_free(struct ses_complete *c)
{
    for (uint32_t i = 0; i < c->member_cnt; i++) {
        ses_free(c->members[i].leaves);
    }
    ses_free(c->records);
    memset(c, 0, sizeof *c);
}

/* ---- segments ---- */
/* First and last hour of a class that can be in S_epoch; false if there is none. */
static bool class_hours(uint8_t ttl_class, const struct ses_times *times, uint64_t epoch,
                        uint64_t since_ms, uint64_t *first, uint64_t *last)
{
    const uint64_t must_live_ms = ses_epoch_start_ms(times, epoch + 2);
    /* entry takes records of two minutes before the genesis */
    const uint64_t oldest_h = (times->genesis_s > 120 ? times->genesis_s - 120 : 0) / 3600;
    const uint64_t ttl_h = ses_ttl_ms(ttl_class) / HOUR_MS;
    const uint64_t least_h = (must_live_ms + HOUR_MS - 1) / HOUR_MS; /* (hour + 1) + ttl */
    *first = least_h > ttl_h + 1 ? least_h - ttl_h - 1 : 0;
    *last = ses_epoch_start_ms(times, epoch) / HOUR_MS;
    *first = oldest_h > *first ? oldest_h : *first;
    *first = since_ms / HOUR_MS > *first ? since_ms / HOUR_MS : *first;
    return *first <= *last && *last <= UINT32_MAX;
}

uint32_t ses_complete_segments(struct ses_segment out[SES_COMPLETE_SEGMENTS_MAX],
                               const struct ses_times *times, uint64_t epoch, uint64_t since_ms)
{
    uint32_t cnt = 0;
    for (uint8_t ttl_class = 0; ttl_class < SES_TTL_CLASS_CNT; ttl_class++) {
        uint64_t first;
        uint64_t last;
        if (!class_hours(ttl_class, times, epoch, since_ms, &first, &last)) {
            continue;
        }
        for (uint64_t hour = first; hour <= last && cnt < SES_COMPLETE_SEGMENTS_MAX; hour++) {
            out[cnt++] = (struct ses_segment){ttl_class, (uint32_t)hour};
        }
    }
    return cnt;
}

/* ---- members ---- */
enum ses_err ses_complete_add(struct ses_complete *c, const struct ses_node_id *node_id)
{
    SES_REQUIRE(c->member_cnt < SES_MEMBERS_MAX, SES_ERR_FULL);
    struct ses_complete_member *m = &c->members[c->member_cnt++];
    *m = (struct ses_complete_member){
        .node_id = *node_id, .state = SES_COMPLETE_SILENT, .err = SES_ERR_UNREACHABLE};
    return SES_OK;
}

static enum ses_err room_for(struct ses_complete_member *m, size_t more)
{
    const size_t need = m->leaf_cnt + more;
    SES_REQUIRE(need <= SES_COMPLETE_LEAVES_MAX, SES_ERR_FULL);
    if (need <= m->leaf_cap) {
        return SES_OK;
    }
    size_t cap = m->leaf_cap != 0 ? m->leaf_cap : 64;
    while (cap < need) {
        cap *= 2;
    }
    struct ses_leaf *leaves = ses_realloc(m->leaves, cap, sizeof *leaves);
    SES_REQUIRE(leaves != NULL, SES_ERR_MEMORY);
    m->leaves = leaves;
    m->leaf_cap = (uint32_t)cap;
    return SES_OK;
}

/* Leaves may be any bytes that their owner committed to: only those of records count. */
static enum ses_err leaves_ok(const struct ses_leaf *leaves, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        SES_TRY(ses_leaf_validate(&leaves[i]));
    }
    return SES_OK;
}

static enum ses_err take_segment(struct ses_complete *c, struct ses_complete_member *m,
                                 const struct ses_opened *opened, const struct ses_segment *segment)
{
    struct ses_forest_range range;
    struct ses_segment_id id;
    ses_segment_encode(id.bytes, segment);
    ses_forest_range_slot(&range, &id, &c->digest);
    size_t cnt = m->leaf_cap - m->leaf_cnt;
    enum ses_err err = ses_opened_range(opened, &range, m->leaves + m->leaf_cnt, &cnt);
    if (err == SES_ERR_FULL) {
        SES_TRY(room_for(m, cnt));
        cnt = m->leaf_cap - m->leaf_cnt;
        err = ses_opened_range(opened, &range, m->leaves + m->leaf_cnt, &cnt);
    }
    SES_TRY(err);
    SES_TRY(leaves_ok(m->leaves + m->leaf_cnt, cnt));
    m->leaf_cnt += (uint32_t)cnt;
    return SES_OK;
}

static enum ses_err check_proof(struct ses_complete *c, struct ses_complete_member *m,
                                const struct ses_segment *segments, uint32_t segment_cnt,
                                const uint8_t *proof, size_t len)
{
    struct ses_opened opened;
    SES_TRY(
        ses_forest_check(&opened, &m->commitment.root, m->commitment.swarm, c->epoch, proof, len));
    SES_REQUIRE(opened.count == m->commitment.count && opened.bytes == m->commitment.bytes,
                SES_ERR_CHECKSUM);
    SES_TRY(room_for(m, 1)); /* so that `leaves` is there */
    for (uint32_t i = 0; i < segment_cnt; i++) {
        SES_TRY(take_segment(c, m, &opened, &segments[i]));
    }
    return SES_OK;
}

enum ses_err ses_complete_proof(struct ses_complete *c, uint32_t member,
                                const struct ses_segment *segments, uint32_t segment_cnt,
                                const uint8_t *proof, size_t len)
{
    SES_ASSERT(member < c->member_cnt);
    struct ses_complete_member *m = &c->members[member];
    SES_REQUIRE(m->committed, SES_ERR_INVALID);
    const enum ses_err err = check_proof(c, m, segments, segment_cnt, proof, len);
    m->err = err;
    if (err == SES_OK || err == SES_ERR_MEMORY || err == SES_ERR_FULL) {
        return err;
    }
    m->state = SES_COMPLETE_FALSE;
    m->leaf_cnt = 0;
    return SES_ERR_PEER;
}

/* ---- the union ---- */
static enum ses_err add_record(struct ses_complete *c, const struct ses_complete_record *record)
{
    if (c->record_cnt == c->record_cap) {
        const uint32_t cap = c->record_cap != 0 ? 2 * c->record_cap : 256;
        SES_REQUIRE(cap <= SES_COMPLETE_LEAVES_MAX * 64u, SES_ERR_FULL);
        struct ses_complete_record *records = ses_realloc(c->records, cap, sizeof *records);
        SES_REQUIRE(records != NULL, SES_ERR_MEMORY);
        c->records = records;
        c->record_cap = cap;
    }
    c->records[c->record_cnt++] = *record;
    return SES_OK;
}

/* The place of a record in the forest is its key and its segment. */
static int by_place(const void *a, const void *b)
{
    const struct ses_complete_record *x = a;
    const struct ses_complete_record *y = b;
    struct ses_segment_id sx;
    struct ses_segment_id sy;
    const int key = ses_leaf_key_compare(&x->leaf.key, &y->leaf.key);
    ses_leaf_segment(&sx, &x->leaf);
    ses_leaf_segment(&sy, &y->leaf);
    return key != 0 ? key : memcmp(sx.bytes, sy.bytes, sizeof sx.bytes);
}

static void merge(struct ses_complete *c)
{
    uint32_t cnt = 0;
    if (c->record_cnt > 0) {
        qsort(c->records, c->record_cnt, sizeof *c->records, by_place);
    }
    for (uint32_t i = 0; i < c->record_cnt; i++) {
        const struct ses_complete_record *from = &c->records[i];
        if (cnt == 0 || by_place(&c->records[cnt - 1], from) != 0) {
            c->records[cnt++] = *from;
            continue;
        }
        struct ses_complete_record *to = &c->records[cnt - 1];
        if (to->holders == 0 ||
            (to->leaf.kind == 1 && from->leaf.kind == 0 && from->holders != 0)) {
            to->leaf = from->leaf; /* a proven leaf says more than a promise */
        }
        to->holders |= from->holders;
        to->deleted |= from->deleted;
        to->signers |= from->signers;
    }
    c->record_cnt = cnt;
}

static uint32_t index_of(const struct ses_complete *c, const struct ses_node_id *node_id)
{
    uint32_t i = 0;
    while (i < c->member_cnt && memcmp(c->members[i].node_id.bytes, node_id->bytes, 20) != 0) {
        i++;
    }
    return i;
}

enum ses_err ses_complete_promise(struct ses_complete *c, const struct ses_receipt *receipt,
                                  const struct ses_times *times)
{
    const struct ses_receipt_leaf *leaf = &receipt->leaf;
    const uint32_t member = index_of(c, &receipt->node_id);
    if (member == c->member_cnt || memcmp(leaf->digest.bytes, c->digest.bytes, 32) != 0 ||
        !ses_in_commitment(times, c->epoch, &leaf->segment, leaf->admit_epoch) ||
        (c->members[member].committed && c->members[member].commitment.swarm != leaf->swarm)) {
        return SES_OK;
    }
    struct ses_complete_record record = {
        .leaf = {.ts_ms = (uint64_t)leaf->segment.hour * HOUR_MS,
                 .ttl_class = leaf->segment.ttl_class},
        .signers = (uint64_t)1 << member,
    };
    memcpy(record.leaf.key.bytes, leaf->digest.bytes, 32);
    memcpy(record.leaf.key.bytes + 32, leaf->id.bytes, 32);
    return add_record(c, &record);
}

static enum ses_err add_member(struct ses_complete *c, uint32_t member)
{
    const struct ses_complete_member *m = &c->members[member];
    const uint64_t bit = (uint64_t)1 << member;
    c->proven |= bit;
    for (uint32_t i = 0; i < m->leaf_cnt; i++) {
        const struct ses_complete_record record = {
            .leaf = m->leaves[i], .holders = bit, .deleted = m->leaves[i].kind == 1 ? bit : 0};
        SES_TRY(add_record(c, &record));
    }
    return SES_OK;
}

/* ---- findings ---- */
static uint32_t bits(uint64_t set)
{
    return (uint32_t)__builtin_popcountll(set);
}

/* What is wrong with record and member; false: nothing. */
static bool judge(const struct ses_complete *c, const struct ses_complete_record *r,
                  uint32_t member, enum ses_complete_kind *kind)
{
    const uint64_t bit = (uint64_t)1 << member;
    const bool most_hold = 2 * bits(r->holders) > bits(c->proven);
    const bool most_deleted = 2 * bits(r->deleted) > bits(r->holders);
    if ((c->proven & bit) == 0) {
        return false;
    }
    if ((r->holders & bit) == 0) {
        *kind = (r->signers & bit) != 0 ? SES_COMPLETE_PROMISED : SES_COMPLETE_MISSING;
        return most_hold || *kind == SES_COMPLETE_PROMISED;
    }
    if (!most_hold) {
        *kind = SES_COMPLETE_EXTRA;
        return true;
    }
    const bool deleted = (r->deleted & bit) != 0;
    *kind = deleted ? SES_COMPLETE_DELETED : SES_COMPLETE_UNDELETED;
    return deleted != most_deleted && 2 * bits(r->deleted) != bits(r->holders);
}

bool ses_complete_next(const struct ses_complete *c, uint32_t *record, uint32_t *member,
                       struct ses_complete_finding *out)
{
    for (; *record < c->record_cnt; ++*record, *member = 0) {
        const struct ses_complete_record *r = &c->records[*record];
        for (; *member < c->member_cnt; ++*member) {
            if (judge(c, r, *member, &out->kind)) {
                out->member = (*member)++;
                out->leaf = r->leaf;
                out->holders = bits(r->holders);
                out->proven = bits(c->proven);
                return true;
            }
        }
    }
    return false;
}

static void count(struct ses_complete_member *m, enum ses_complete_kind kind)
{
    switch (kind) {
    case SES_COMPLETE_MISSING:
        m->missing++;
        break;
    case SES_COMPLETE_PROMISED:
        m->promised++;
        break;
    case SES_COMPLETE_UNDELETED:
        m->undeleted++;
        break;
    case SES_COMPLETE_DELETED:
        m->deleted++;
        break;
    case SES_COMPLETE_EXTRA:
        m->extra++;
        break;
    }
}

enum ses_err ses_complete_finish(struct ses_complete *c)
{
    for (uint32_t i = 0; i < c->member_cnt; i++) {
        struct ses_complete_member *m = &c->members[i];
        m->missing = m->promised = m->undeleted = m->deleted = m->extra = 0;
        if (m->state == SES_COMPLETE_PROVEN && (c->proven >> i & 1) == 0) {
            SES_TRY(add_member(c, i));
        }
    }
    merge(c);
    uint32_t record = 0;
    uint32_t member = 0;
    struct ses_complete_finding finding;
    while (ses_complete_next(c, &record, &member, &finding)) {
        count(&c->members[finding.member], finding.kind);
    }
    return SES_OK;
}

bool ses_complete_is(const struct ses_complete_member *m)
{
    return m->state == SES_COMPLETE_PROVEN &&
           m->missing + m->promised + m->undeleted + m->deleted + m->extra == 0;
}
