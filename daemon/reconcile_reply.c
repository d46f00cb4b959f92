/* The answering side of /session/sync/1: no state but that of the one request. */
#include <string.h>

#include "daemon/reconcile.h"

#define HOURS_BYTES_MAX (6u + 17u * SES_ROW_HOURS)
#define ANSWER_BYTES_MAX (2u + 16u * (1u + 8u * SES_SYNC_SHORTS_MAX))
#define SUMS_BYTES (5u + 32u + 16u)
#define FETCH_SHORTS_MAX SES_SYNC_RECORDS_MAX
/* A node with so few leaves is read at once, with more child by child. */
#define NODE_LEAVES_MAX 384u

/* A child that differs and is not told yet. */
struct child_at {
    uint16_t node;
    uint8_t nibble;
};
struct reconcile_told {
    struct ses_sync_row *rows;
    uint64_t nothing; /* the digest of a day without records */
    struct ses_sync_node *nodes;
    struct ses_sync_group *groups;
    struct ses_segment from; /* sums */
    struct ses_sync_answer *answers;
    uint64_t (*counts)[16]; /* of the nodes' children */
    struct child_at *branches;
    uint32_t branch_cnt, branch_at; /* told up to here */
    struct child_at *smalls;        /* by node */
    uint32_t small_cnt, small_at, small_end;
    uint32_t group_at;
    bool second; /* the children asked about are those of `branches` */
};

void reconcile_reply_free(struct reconcile_reply *r)
{
    if (r == NULL) {
        return;
    }
    if (r->told != NULL) {
        ses_free(r->told->rows);
        ses_free(r->told->nodes);
        ses_free(r->told->groups);
        ses_free(r->told->answers);
        ses_free(r->told->counts);
        ses_free(r->told->branches);
        ses_free(r->told->smalls);
    }
    ses_free(r->told);
    ses_free(r->need.asks);
    ses_buf_free(&r->need.frame);
    ses_free(r->found);
    ses_free(r);
}

/* ---- what is asked ---- */
static bool row_after(const struct ses_sync_row *a, const struct ses_sync_row *b)
{
    return a->ttl_class != b->ttl_class ? a->ttl_class < b->ttl_class : a->day < b->day;
}

static enum ses_err parse_rows(struct reconcile_reply *r, struct ses_reader *in)
{
    struct reconcile_told *t = r->told;
    uint32_t from_day = r->ask.whole ? 0 : UINT32_MAX / SES_ROW_HOURS;
    t->rows = ses_alloc((size_t)r->ask.cnt + 1, sizeof *t->rows);
    SES_REQUIRE(t->rows != NULL, SES_ERR_MEMORY);
    for (uint16_t i = 0; in->err == SES_OK && i < r->ask.cnt; i++) {
        ses_sync_row_read(in, &t->rows[i]);
        ses_reader_check(in, i == 0 || row_after(&t->rows[i - 1], &t->rows[i]), SES_ERR_MALFORMED);
        from_day = t->rows[i].day < from_day ? t->rows[i].day : from_day;
    }
    t->nothing = ses_sync_row_digest(&r->ask.nonce, NULL, 0);
    r->need.kind = RECONCILE_SEGMENTS;
    r->need.from_hour = from_day * SES_ROW_HOURS;
    return ses_reader_done(in);
}

static enum ses_err alloc_nodes(struct reconcile_told *t, size_t cnt)
{
    t->nodes = ses_alloc(cnt + 1, sizeof *t->nodes);
    t->answers = ses_alloc(cnt + 1, sizeof *t->answers);
    t->counts = ses_alloc(cnt + 1, sizeof *t->counts);
    t->branches = ses_alloc(16 * cnt + 1, sizeof *t->branches);
    t->smalls = ses_alloc(16 * cnt + 1, sizeof *t->smalls);
    SES_REQUIRE(t->nodes != NULL && t->answers != NULL && t->counts != NULL &&
                    t->branches != NULL && t->smalls != NULL,
                SES_ERR_MEMORY);
    return SES_OK;
}

static enum ses_err parse_nodes(struct reconcile_reply *r, struct ses_reader *in)
{
    struct reconcile_told *t = r->told;
    SES_TRY(alloc_nodes(t, r->ask.cnt));
    SES_TRY(reconcile_need_children(&r->need, r->ask.cnt));
    for (uint16_t i = 0; in->err == SES_OK && i < r->ask.cnt; i++) {
        ses_sync_node_read(in, &t->nodes[i]);
        reconcile_place_ask(&r->need.asks[i], &t->nodes[i].place);
    }
    SES_TRY(ses_reader_done(in));
    SES_REQUIRE(r->ask.cnt > 0, SES_ERR_MALFORMED);
    return SES_OK;
}

static void need_group(struct reconcile_reply *r)
{
    struct reconcile_told *t = r->told;
    if (t->group_at == r->ask.cnt) {
        r->need.kind = RECONCILE_DONE;
        return;
    }
    r->need.kind = RECONCILE_LEAVES;
    reconcile_place_range(&r->need.range, &t->groups[t->group_at].place);
    r->need.leaf_max = RECONCILE_GROUP_LEAVES;
}

static enum ses_err parse_groups(struct reconcile_reply *r, struct ses_reader *in)
{
    struct reconcile_told *t = r->told;
    uint32_t shorts = 0;
    t->groups = ses_alloc((size_t)r->ask.cnt + 1, sizeof *t->groups);
    r->found = ses_alloc(FETCH_SHORTS_MAX, sizeof *r->found);
    SES_REQUIRE(t->groups != NULL && r->found != NULL, SES_ERR_MEMORY);
    for (uint16_t i = 0; in->err == SES_OK && i < r->ask.cnt; i++) {
        ses_sync_group_read(in, &t->groups[i]);
        shorts += t->groups[i].cnt;
        ses_reader_check(in, shorts <= FETCH_SHORTS_MAX, SES_ERR_TOO_LARGE);
    }
    SES_TRY(ses_reader_done(in));
    need_group(r);
    return SES_OK;
}

static enum ses_err parse_sums(struct reconcile_reply *r, const uint8_t *body, size_t len)
{
    struct ses_sync_sums_ask ask;
    SES_TRY(ses_sync_sums_ask_read(&ask, body, len));
    r->ask.op = SES_SYNC_SUMS;
    r->ask.set = ask.set;
    r->told->from = ask.from;
    r->need.kind = RECONCILE_SEGMENTS;
    return SES_OK;
}

static enum ses_err parse(struct reconcile_reply *r, const uint8_t *body, size_t len)
{
    struct ses_reader in;
    if (len >= 2 && body[1] == SES_SYNC_SUMS) {
        return parse_sums(r, body, len);
    }
    SES_TRY(ses_sync_ask_read(&r->ask, &in, body, len));
    SES_REQUIRE(r->ask.op != SES_SYNC_OFFER, SES_ERR_MALFORMED);
    return r->ask.op == SES_SYNC_ROWS    ? parse_rows(r, &in)
           : r->ask.op == SES_SYNC_NODES ? parse_nodes(r, &in)
                                         : parse_groups(r, &in);
}

enum ses_err reconcile_reply_new(struct reconcile_reply **out, const uint8_t *body, size_t len)
{
    *out = NULL;
    struct reconcile_reply *r = ses_alloc(1, sizeof *r);
    SES_REQUIRE(r != NULL, SES_ERR_MEMORY);
    r->told = ses_alloc(1, sizeof *r->told);
    const enum ses_err err = r->told != NULL ? parse(r, body, len) : SES_ERR_MEMORY;
    if (err != SES_OK) {
        reconcile_reply_free(r);
        return err;
    }
    *out = r;
    return SES_OK;
}

/* ---- rows and sums ---- */
static void segment_copy(struct ses_sync_segment *out, const struct ses_segment_state *s)
{
    reconcile_segment_of(&out->id, &s->id);
    out->sum = s->sum;
}

/* How many segments from `at` on are of one day. */
static size_t day_cnt(const struct ses_segment_state *segments, size_t cnt, size_t at)
{
    struct ses_segment first, other;
    size_t n = 1;
    reconcile_segment_of(&first, &segments[at].id);
    while (at + n < cnt) {
        reconcile_segment_of(&other, &segments[at + n].id);
        if (other.ttl_class != first.ttl_class ||
            other.hour / SES_ROW_HOURS != first.hour / SES_ROW_HOURS) {
            break;
        }
        n++;
    }
    return n;
}

/* A day that is held here, against what was said of it. */
static void write_day(const struct reconcile_reply *r, struct ses_writer *w, uint16_t *row_cnt,
                      const struct ses_segment_state *segments, size_t cnt, bool listed,
                      uint64_t said)
{
    struct ses_sync_segment day[SES_ROW_HOURS];
    struct ses_sync_hours out = {.cnt = (uint8_t)cnt};
    SES_ASSERT(cnt > 0 && cnt <= SES_ROW_HOURS);
    for (size_t i = 0; i < cnt; i++) {
        segment_copy(&day[i], &segments[i]);
    }
    if (listed && ses_sync_row_digest(&r->ask.nonce, day, cnt) == said) {
        return;
    }
    for (size_t i = 0; i < cnt; i++) {
        out.hours[i].hour = (uint8_t)(day[i].id.hour % SES_ROW_HOURS);
        out.hours[i].digest = ses_sync_short(&r->ask.nonce, &day[i].sum.hash);
        out.hours[i].count = day[i].sum.count;
    }
    out.ttl_class = day[0].id.ttl_class;
    out.day = day[0].id.hour / SES_ROW_HOURS;
    ses_sync_hours_write(w, &out);
    *row_cnt = (uint16_t)(*row_cnt + 1);
}

/* A listed day of which nothing is held here. */
static void write_nothing(const struct reconcile_reply *r, struct ses_writer *w, uint16_t *row_cnt,
                          const struct ses_sync_row *row)
{
    if (row->digest == r->told->nothing) {
        return;
    }
    const struct ses_sync_hours out = {.ttl_class = row->ttl_class, .day = row->day};
    ses_sync_hours_write(w, &out);
    *row_cnt = (uint16_t)(*row_cnt + 1);
}

/* Merges the list that was sent with the segments that are here, both by class and day. */
static void write_rows(const struct reconcile_reply *r, struct ses_writer *w, uint16_t *row_cnt,
                       const struct ses_segment_state *segments, size_t cnt)
{
    const struct reconcile_told *t = r->told;
    size_t row = 0;
    for (size_t at = 0, n; at < cnt; at += n) {
        struct ses_segment first;
        n = day_cnt(segments, cnt, at);
        reconcile_segment_of(&first, &segments[at].id);
        const struct ses_sync_row here = {.ttl_class = first.ttl_class,
                                          .day = first.hour / SES_ROW_HOURS};
        while (row < r->ask.cnt && row_after(&t->rows[row], &here)) {
            write_nothing(r, w, row_cnt, &t->rows[row++]);
        }
        const bool listed = row < r->ask.cnt && !row_after(&here, &t->rows[row]);
        if (listed || r->ask.whole) {
            write_day(r, w, row_cnt, segments + at, n, listed, listed ? t->rows[row].digest : 0);
        }
        row += listed ? 1 : 0;
    }
    while (row < r->ask.cnt) {
        write_nothing(r, w, row_cnt, &t->rows[row++]);
    }
}

static void write_sums(const struct reconcile_reply *r, struct ses_writer *w,
                       const struct ses_segment_state *segments, size_t cnt)
{
    struct ses_segment_id from;
    size_t first = 0;
    reconcile_segment_id(&from, &r->told->from);
    while (first < cnt && memcmp(&segments[first].id, &from, sizeof from) < 0) {
        first++;
    }
    const size_t left = cnt - first;
    const struct ses_sync_sums head = {
        .partial = r->partial,
        .more = left > SES_SYNC_SUMS_MAX,
        .cnt = (uint16_t)(left < SES_SYNC_SUMS_MAX ? left : SES_SYNC_SUMS_MAX)};
    ses_sync_sums_write(w, &head);
    for (size_t i = 0; i < head.cnt; i++) {
        struct ses_sync_segment segment;
        segment_copy(&segment, &segments[first + i]);
        ses_sync_segment_write(w, &segment);
    }
}

enum ses_err reconcile_reply_segments(struct reconcile_reply *r,
                                      const struct ses_segment_state *segments, size_t cnt)
{
    struct ses_writer w;
    SES_ASSERT(r->need.kind == RECONCILE_SEGMENTS);
    cnt = cnt < RECONCILE_SEGMENTS_MAX ? cnt : RECONCILE_SEGMENTS_MAX;
    SES_TRY(ses_buf_reserve(&r->need.frame, 64 + cnt * SUMS_BYTES +
                                                (size_t)r->ask.cnt * HOURS_BYTES_MAX + cnt * 6));
    ses_writer_init(&w, r->need.frame.bytes, r->need.frame.cap);
    if (r->ask.op == SES_SYNC_SUMS) {
        write_sums(r, &w, segments, cnt);
    } else {
        uint16_t row_cnt = 0;
        ses_sync_rows_write(&w, &(struct ses_sync_rows){.partial = r->partial});
        write_rows(r, &w, &row_cnt, segments, cnt);
        SES_TRY(ses_writer_done(&w));
        ses_put_u16(r->need.frame.bytes + 4, row_cnt);
    }
    SES_TRY(ses_writer_done(&w));
    r->need.frame.len = w.len;
    r->need.kind = RECONCILE_SEND;
    return SES_OK;
}

/* ---- nodes ---- */
static enum ses_err send_answers(struct reconcile_reply *r)
{
    struct ses_writer w;
    SES_TRY(ses_buf_reserve(&r->need.frame, 16 + (size_t)r->ask.cnt * ANSWER_BYTES_MAX));
    ses_writer_init(&w, r->need.frame.bytes, r->need.frame.cap);
    ses_sync_count_write(&w, r->ask.cnt);
    for (uint16_t i = 0; i < r->ask.cnt; i++) {
        ses_sync_answer_write(&w, &r->told->answers[i]);
    }
    SES_TRY(ses_writer_done(&w));
    r->need.frame.len = w.len;
    r->need.kind = RECONCILE_SEND;
    return SES_OK;
}

static void child_place(struct ses_sync_place *out, const struct reconcile_told *t,
                        const struct child_at *at)
{
    reconcile_place_child(out, &t->nodes[at->node].place, at->nibble);
}

static uint64_t node_total(const struct reconcile_told *t, uint16_t node)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < 16; i++) {
        total += t->counts[node][i];
    }
    return total;
}

/* The next thing to know: children of branches, then the leaves of small children. */
static enum ses_err need_more(struct reconcile_reply *r)
{
    struct reconcile_told *t = r->told;
    struct ses_sync_place place;
    if (t->branch_at < t->branch_cnt) {
        const uint32_t left = t->branch_cnt - t->branch_at;
        SES_TRY(reconcile_need_children(
            &r->need, left < SES_CHILDREN_ASKS_MAX ? left : SES_CHILDREN_ASKS_MAX));
        for (size_t i = 0; i < r->need.ask_cnt; i++) {
            child_place(&place, t, &t->branches[t->branch_at + i]);
            reconcile_place_ask(&r->need.asks[i], &place);
        }
        t->second = true;
        return SES_OK;
    }
    if (t->small_at == t->small_cnt) {
        return send_answers(r);
    }
    const struct child_at *first = &t->smalls[t->small_at];
    t->small_end = t->small_at + 1;
    child_place(&place, t, first);
    if (node_total(t, first->node) <= NODE_LEAVES_MAX) {
        place = t->nodes[first->node].place;
        while (t->small_end < t->small_cnt && t->smalls[t->small_end].node == first->node) {
            t->small_end++;
        }
    }
    reconcile_place_range(&r->need.range, &place);
    r->need.leaf_max = NODE_LEAVES_MAX;
    r->need.kind = RECONCILE_LEAVES;
    return SES_OK;
}

static void compare_node(struct reconcile_reply *r, uint16_t node, const struct ses_sum sums[16])
{
    struct reconcile_told *t = r->told;
    uint64_t digests[16];
    ses_sync_shorts(digests, &r->ask.nonce, sums);
    for (uint8_t i = 0; i < 16; i++) {
        const bool said = ses_sync_has(t->nodes[node].bitmap, i);
        t->counts[node][i] = sums[i].count;
        if (said == (sums[i].count > 0) && (!said || t->nodes[node].digests[i] == digests[i])) {
            continue;
        }
        t->answers[node].bitmap |= (uint16_t)(1u << i);
        const struct child_at at = {.node = node, .nibble = i};
        if (sums[i].count > SES_SYNC_SHORTS_MAX) {
            t->answers[node].children[i].form = SES_SYNC_BRANCH;
            t->branches[t->branch_cnt++] = at;
        } else if (sums[i].count > 0) {
            t->smalls[t->small_cnt++] = at;
        }
    }
}

enum ses_err reconcile_reply_children(struct reconcile_reply *r, const struct ses_sum (*sums)[16],
                                      size_t cnt)
{
    struct reconcile_told *t = r->told;
    SES_ASSERT(r->need.kind == RECONCILE_CHILDREN && cnt == r->need.ask_cnt);
    for (size_t i = 0; i < cnt && !t->second; i++) {
        compare_node(r, (uint16_t)i, sums[i]);
    }
    for (size_t i = 0; i < cnt && t->second; i++) {
        const struct child_at *at = &t->branches[t->branch_at + i];
        struct ses_sync_child *child = &t->answers[at->node].children[at->nibble];
        ses_sync_shorts(child->shorts, &r->ask.nonce, sums[i]);
        for (unsigned n = 0; n < 16; n++) {
            child->bitmap |= (uint16_t)((sums[i][n].count > 0 ? 1u : 0u) << n);
        }
    }
    t->branch_at += t->second ? (uint32_t)cnt : 0;
    return need_more(r);
}

/* ---- leaves ---- */
static void tell_small(struct reconcile_reply *r, const struct child_at *at,
                       const struct ses_leaf *leaves, size_t cnt)
{
    struct ses_sync_place place;
    struct ses_sync_child *child = &r->told->answers[at->node].children[at->nibble];
    child_place(&place, r->told, at);
    size_t first;
    const size_t there = reconcile_place_leaves(&first, &place, leaves, cnt);
    const size_t room = SES_SYNC_SHORTS_MAX - child->form;
    const size_t told = there < room ? there : room;
    ses_sync_leaf_shorts(child->shorts + child->form, &r->ask.nonce, leaves + first, told);
    child->form = (uint8_t)(child->form + told);
}

static void find_group(struct reconcile_reply *r, const struct ses_sync_group *group,
                       const struct ses_leaf *leaves, size_t cnt)
{
    uint64_t names[RECONCILE_NAMES];
    for (size_t i = 0; i < cnt; i++) {
        if (i % RECONCILE_NAMES == 0) {
            ses_sync_leaf_shorts(names, &r->ask.nonce, leaves + i,
                                 cnt - i < RECONCILE_NAMES ? cnt - i : RECONCILE_NAMES);
        }
        bool asked = false;
        for (unsigned k = 0; k < group->cnt; k++) {
            asked |= group->shorts[k] == names[i % RECONCILE_NAMES];
        }
        if (asked && r->found_cnt < FETCH_SHORTS_MAX) {
            r->found[r->found_cnt++] = leaves[i];
        }
    }
}

enum ses_err reconcile_reply_leaves(struct reconcile_reply *r, const struct ses_leaf *leaves,
                                    size_t cnt)
{
    struct reconcile_told *t = r->told;
    SES_ASSERT(r->need.kind == RECONCILE_LEAVES && cnt <= r->need.leaf_max);
    if (r->ask.op == SES_SYNC_FETCH) {
        find_group(r, &t->groups[t->group_at++], leaves, cnt);
        need_group(r);
        return SES_OK;
    }
    for (uint32_t i = t->small_at; i < t->small_end; i++) {
        tell_small(r, &t->smalls[i], leaves, cnt);
    }
    t->small_at = t->small_end;
    return need_more(r);
}
