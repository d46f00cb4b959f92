/* The asking side of /session/sync/1: one run against one member. */
#include <string.h>

#include "daemon/reconcile.h"

#define BYTES_IN_MAX (32u << 20) /* answers of one run */
#define HEARD_MAX 65536u
#define ROW_DAYS_MAX 2u
#define NODE_BYTES_MAX (6u + 63u + 2u + 128u)
#define NODE_LEAVES_MAX 2048u /* a node with so few leaves is read at once */
#define NO_NODE UINT16_MAX

/* What the other side told of the leaves at a place, to be held against our own. */
struct heard {
    struct ses_sync_group group; /* cnt may be 0: it has none */
    uint64_t own_cnt;
    uint16_t node; /* in the batch; NO_NODE: from elsewhere */
};
struct sent {
    struct ses_sync_place place;
    uint64_t counts[16]; /* of our children */
    uint64_t total;
};
struct branch_at {
    uint16_t node;
    uint8_t nibble;
};
enum ask_phase { ASK_LIST, ASK_ROWS, ASK_OWN, ASK_NODES, ASK_BRANCHES, ASK_LEAVES, ASK_DONE };
struct reconcile_ask {
    enum ask_phase phase;
    struct ses_sync_segment *own;
    size_t own_cnt;
    uint64_t nothing;            /* the digest of a day without records */
    struct ses_sync_place *todo; /* a stack */
    uint32_t todo_cnt, todo_cap;
    struct sent *sent;
    uint16_t sent_cnt, sent_cap;
    struct ses_sync_answer *answers; /* sent_cap */
    struct branch_at *branches;      /* 16 * sent_cap */
    uint32_t branch_cnt, branch_at;
    struct heard *heard;
    uint32_t heard_cnt, heard_cap, heard_at, heard_end;
};

void reconcile_free(struct reconcile *r)
{
    if (r == NULL) {
        return;
    }
    if (r->ask != NULL) {
        ses_free(r->ask->own);
        ses_free(r->ask->todo);
        ses_free(r->ask->sent);
        ses_free(r->ask->answers);
        ses_free(r->ask->branches);
        ses_free(r->ask->heard);
    }
    ses_free(r->ask);
    ses_free(r->need.asks);
    ses_buf_free(&r->need.frame);
    reconcile_list_free(&r->wants);
    reconcile_list_free(&r->gives);
    ses_free(r->bulks);
    ses_free(r);
}

enum ses_err reconcile_new(struct reconcile **out, const struct reconcile_params *params)
{
    *out = NULL;
    struct reconcile *r = ses_alloc(1, sizeof *r);
    SES_REQUIRE(r != NULL, SES_ERR_MEMORY);
    r->p = *params;
    r->wants.short_max = RECONCILE_WANTS_MAX;
    r->gives.short_max = RECONCILE_GIVES_MAX;
    r->need.kind = RECONCILE_SEGMENTS; /* whole days: a row is one */
    r->need.from_hour = r->p.whole ? 0 : r->p.from_hour - r->p.from_hour % SES_ROW_HOURS;
    r->ask = ses_alloc(1, sizeof *r->ask);
    if (r->ask == NULL) {
        reconcile_free(r);
        return SES_ERR_MEMORY;
    }
    r->ask->nothing = ses_sync_row_digest(&r->p.nonce, NULL, 0);
    *out = r;
    return SES_OK;
}

/* ---- growing lists, within limits ---- */
static enum ses_err todo_push(struct reconcile *r, const struct ses_sync_place *place)
{
    struct reconcile_ask *a = r->ask;
    if (a->todo_cnt == RECONCILE_TODO_MAX || place->nibble_cnt > SES_SYNC_DEPTH_MAX) {
        r->cut = true;
        return SES_OK;
    }
    if (a->todo_cnt == a->todo_cap) {
        const uint32_t cap = a->todo_cap == 0 ? 256 : 2 * a->todo_cap;
        struct ses_sync_place *todo = ses_realloc(a->todo, cap, sizeof *todo);
        SES_REQUIRE(todo != NULL, SES_ERR_MEMORY);
        a->todo = todo;
        a->todo_cap = cap;
    }
    a->todo[a->todo_cnt++] = *place;
    return SES_OK;
}

static enum ses_err heard_push(struct reconcile *r, const struct ses_sync_place *place,
                               const struct ses_sync_child *child, uint16_t node, uint64_t own_cnt)
{
    struct reconcile_ask *a = r->ask;
    const bool gives_only = child == NULL || child->form == 0;
    if (a->heard_cnt == HEARD_MAX || (gives_only && r->gives.full)) {
        r->cut = r->cut || a->heard_cnt == HEARD_MAX;
        return SES_OK;
    }
    if (a->heard_cnt == a->heard_cap) {
        const uint32_t cap = a->heard_cap == 0 ? 256 : 2 * a->heard_cap;
        struct heard *heard = ses_realloc(a->heard, cap, sizeof *heard);
        SES_REQUIRE(heard != NULL, SES_ERR_MEMORY);
        a->heard = heard;
        a->heard_cap = cap;
    }
    struct heard *h = &a->heard[a->heard_cnt++];
    *h = (struct heard){.own_cnt = own_cnt, .node = node};
    h->group.place = *place;
    if (!gives_only) {
        h->group.cnt = child->form;
        memcpy(h->group.shorts, child->shorts, sizeof h->group.shorts);
    }
    return SES_OK;
}

enum ses_err reconcile_offered(struct reconcile **out, const struct reconcile_params *params,
                               const struct ses_sync_group *groups, uint32_t cnt)
{
    struct reconcile *r;
    SES_TRY(reconcile_new(&r, params));
    enum ses_err err = SES_OK;
    r->gives.full = true; /* an offer asks for nothing */
    for (uint32_t i = 0; err == SES_OK && i < cnt; i++) {
        struct ses_sync_child child = {.form = groups[i].cnt};
        memcpy(child.shorts, groups[i].shorts, sizeof child.shorts);
        err = heard_push(r, &groups[i].place, &child, NO_NODE, RECONCILE_GROUP_LEAVES);
    }
    if (err == SES_OK) {
        r->ask->phase = ASK_LEAVES;
        err = reconcile_leaves(r, NULL, 0); /* on to the first one */
    }
    if (err != SES_OK) {
        reconcile_free(r);
        return err;
    }
    *out = r;
    return SES_OK;
}

/* ---- rows ---- */
static uint32_t day_of(const struct ses_segment *segment)
{
    return segment->hour / SES_ROW_HOURS;
}

/* Our segments of a day: the first one's index, and how many. */
static size_t own_day(const struct reconcile_ask *a, uint8_t ttl_class, uint32_t day, size_t *first)
{
    size_t at = 0;
    size_t cnt = 0;
    while (at < a->own_cnt &&
           (a->own[at].id.ttl_class < ttl_class ||
            (a->own[at].id.ttl_class == ttl_class && day_of(&a->own[at].id) < day))) {
        at++;
    }
    while (at + cnt < a->own_cnt && a->own[at + cnt].id.ttl_class == ttl_class &&
           day_of(&a->own[at + cnt].id) == day) {
        cnt++;
    }
    *first = at;
    return cnt;
}

static void write_row(const struct reconcile *r, struct ses_writer *w, uint8_t ttl_class,
                      uint32_t day, uint16_t *cnt)
{
    size_t first;
    const size_t own = own_day(r->ask, ttl_class, day, &first);
    const struct ses_sync_row row = {
        .ttl_class = ttl_class,
        .day = day,
        .digest =
            own > 0 ? ses_sync_row_digest(&r->p.nonce, r->ask->own + first, own) : r->ask->nothing};
    ses_sync_row_write(w, &row);
    *cnt = (uint16_t)(*cnt + 1);
}

static void write_all_rows(const struct reconcile *r, struct ses_writer *w, uint16_t *cnt)
{
    const struct reconcile_ask *a = r->ask;
    for (size_t i = 0; i < a->own_cnt && *cnt < SES_SYNC_ROWS_MAX; i++) {
        const struct ses_segment *id = &a->own[i].id;
        const bool first = i == 0 || a->own[i - 1].id.ttl_class != id->ttl_class ||
                           day_of(&a->own[i - 1].id) != day_of(id);
        if (first) {
            write_row(r, w, id->ttl_class, day_of(id), cnt);
        }
    }
}

static void write_recent_rows(const struct reconcile *r, struct ses_writer *w, uint16_t *cnt)
{
    const uint32_t from = r->p.from_hour / SES_ROW_HOURS;
    const uint32_t to = r->p.now_hour / SES_ROW_HOURS;
    for (uint8_t ttl_class = 0; ttl_class < SES_TTL_CLASS_CNT; ttl_class++) {
        for (uint32_t day = from; day <= to && day - from < ROW_DAYS_MAX; day++) {
            write_row(r, w, ttl_class, day, cnt);
        }
    }
}

static enum ses_err send(struct reconcile *r, const struct ses_writer *w, enum ask_phase phase)
{
    SES_TRY(ses_writer_done(w));
    r->need.frame.len = w->len;
    r->need.kind = RECONCILE_SEND;
    r->ask->phase = phase;
    r->round_cnt++;
    r->bytes_out += w->len;
    return SES_OK;
}

static enum ses_err frame_begin(struct reconcile *r, struct ses_writer *w, uint8_t op, uint16_t cnt,
                                size_t cap)
{
    const struct ses_sync_ask ask = {.op = op,
                                     .set = r->p.set,
                                     .nonce = r->p.nonce,
                                     .whole = op == SES_SYNC_ROWS && r->p.whole,
                                     .cnt = cnt};
    r->need.frame.len = 0;
    SES_TRY(ses_buf_reserve(&r->need.frame, cap));
    ses_writer_init(w, r->need.frame.bytes, r->need.frame.cap);
    ses_sync_ask_write(w, &ask);
    return SES_OK;
}

enum ses_err reconcile_segments(struct reconcile *r, const struct ses_segment_state *segments,
                                size_t cnt)
{
    struct reconcile_ask *a = r->ask;
    struct ses_writer w;
    uint16_t rows = 0;
    SES_ASSERT(r->need.kind == RECONCILE_SEGMENTS && a->own == NULL);
    a->own_cnt = cnt < RECONCILE_SEGMENTS_MAX ? cnt : RECONCILE_SEGMENTS_MAX;
    a->own = ses_alloc(a->own_cnt + 1, sizeof *a->own);
    SES_REQUIRE(a->own != NULL, SES_ERR_MEMORY);
    for (size_t i = 0; i < a->own_cnt; i++) {
        reconcile_segment_of(&a->own[i].id, &segments[i].id);
        a->own[i].sum = segments[i].sum;
    }
    SES_TRY(frame_begin(r, &w, SES_SYNC_ROWS, 0, 64 + 16 * SES_SYNC_ROWS_MAX));
    const size_t head = w.len;
    if (r->p.whole) {
        write_all_rows(r, &w, &rows);
    } else {
        write_recent_rows(r, &w, &rows);
    }
    ses_put_u16(r->need.frame.bytes + head - 2, rows);
    return send(r, &w, ASK_ROWS);
}

/* ---- what differs ---- */
static enum ses_err own_batch(struct reconcile *r);

static enum ses_err bulk_push(struct reconcile *r, const struct ses_segment *segment,
                              uint64_t count)
{
    if (r->bulks == NULL) {
        r->bulks = ses_alloc(RECONCILE_BULK_MAX, sizeof *r->bulks);
        SES_REQUIRE(r->bulks != NULL, SES_ERR_MEMORY);
    }
    if (r->bulk_cnt == RECONCILE_BULK_MAX) {
        r->cut = true;
        return SES_OK;
    }
    r->bulks[r->bulk_cnt++] = (struct reconcile_bulk){.segment = *segment, .count = count};
    return SES_OK;
}

/* A segment of which the other side holds `count` leaves, we `own`, and the digests differ. */
static enum ses_err segment_differs(struct reconcile *r, const struct ses_segment *segment,
                                    uint64_t count, uint64_t own)
{
    const struct ses_sync_place place = {.segment = *segment};
    if (segment->hour < r->p.from_hour) {
        r->older = true;
        return SES_OK;
    }
    if (count == 0) {
        return heard_push(r, &place, NULL, NO_NODE, own);
    }
    if (r->p.bulk && count > own && count - own >= RECONCILE_BULK_MIN && count / 2 >= own) {
        return bulk_push(r, segment, count);
    }
    return todo_push(r, &place);
}

static enum ses_err day_differs(struct reconcile *r, const struct ses_sync_hours *theirs)
{
    size_t first;
    const size_t own = own_day(r->ask, theirs->ttl_class, theirs->day, &first);
    const struct ses_sync_segment *ours = r->ask->own + first;
    size_t at = 0;
    for (unsigned i = 0; i <= theirs->cnt; i++) {
        const unsigned hour = i < theirs->cnt ? theirs->hours[i].hour : SES_ROW_HOURS;
        while (at < own && ours[at].id.hour % SES_ROW_HOURS < hour) {
            SES_TRY(segment_differs(r, &ours[at].id, 0, ours[at].sum.count));
            at++;
        }
        if (i == theirs->cnt) {
            break;
        }
        const bool both = at < own && ours[at].id.hour % SES_ROW_HOURS == hour;
        const struct ses_segment id = {theirs->ttl_class, theirs->day * SES_ROW_HOURS + hour};
        if (!both || ses_sync_short(&r->p.nonce, &ours[at].sum.hash) != theirs->hours[i].digest) {
            SES_TRY(segment_differs(r, &id, theirs->hours[i].count, both ? ours[at].sum.count : 0));
        }
        at += both ? 1 : 0;
    }
    return SES_OK;
}

static enum ses_err read_rows(struct reconcile *r, struct ses_reader *in)
{
    struct ses_sync_rows rows;
    struct ses_sync_hours hours;
    uint64_t last = 0;
    ses_sync_rows_read(in, &rows);
    SES_TRY(in->err);
    r->partial = rows.partial;
    for (uint16_t i = 0; i < rows.cnt; i++) {
        ses_sync_hours_read(in, &hours);
        const uint64_t key = ((uint64_t)hours.ttl_class << 32 | hours.day) + 1;
        ses_reader_check(in, key > last, SES_ERR_MALFORMED);
        last = key;
        SES_TRY(in->err);
        SES_TRY(day_differs(r, &hours));
    }
    SES_TRY(ses_reader_done(in));
    r->ask->phase = ASK_LEAVES;
    return reconcile_leaves(r, NULL, 0);
}

/* ---- nodes ---- */
/* Room for `cnt` nodes in a request. Most runs find nothing and send none, so that it is not there
 * from the beginning. */
static enum ses_err sent_reserve(struct reconcile_ask *a, size_t cnt)
{
    if (cnt <= a->sent_cap) {
        return SES_OK;
    }
    struct sent *sent = ses_realloc(a->sent, cnt, sizeof *sent);
    a->sent = sent != NULL ? sent : a->sent;
    struct ses_sync_answer *answers = ses_realloc(a->answers, cnt, sizeof *answers);
    a->answers = answers != NULL ? answers : a->answers;
    struct branch_at *branches = ses_realloc(a->branches, 16 * cnt, sizeof *branches);
    a->branches = branches != NULL ? branches : a->branches;
    SES_REQUIRE(sent != NULL && answers != NULL && branches != NULL, SES_ERR_MEMORY);
    a->sent_cap = (uint16_t)cnt;
    return SES_OK;
}

static enum ses_err own_batch(struct reconcile *r)
{
    struct reconcile_ask *a = r->ask;
    if (r->round_cnt >= RECONCILE_ROUNDS_MAX || r->bytes_in >= BYTES_IN_MAX) {
        r->cut = r->cut || a->todo_cnt > 0;
        r->endless = a->todo_cnt > 0;
        a->todo_cnt = 0;
    }
    if (a->todo_cnt == 0) {
        a->phase = ASK_DONE;
        r->need.kind = RECONCILE_DONE;
        return SES_OK;
    }
    a->sent_cnt = (uint16_t)(a->todo_cnt < SES_SYNC_NODES_MAX ? a->todo_cnt : SES_SYNC_NODES_MAX);
    SES_TRY(sent_reserve(a, a->sent_cnt));
    SES_TRY(reconcile_need_children(&r->need, a->sent_cnt));
    for (uint16_t i = 0; i < a->sent_cnt; i++) {
        a->sent[i].place = a->todo[--a->todo_cnt];
        reconcile_place_ask(&r->need.asks[i], &a->sent[i].place);
    }
    a->phase = ASK_OWN;
    return SES_OK;
}

static enum ses_err send_nodes(struct reconcile *r, const struct ses_sum (*sums)[16])
{
    struct reconcile_ask *a = r->ask;
    struct ses_writer w;
    SES_TRY(
        frame_begin(r, &w, SES_SYNC_NODES, a->sent_cnt, 64 + (size_t)a->sent_cnt * NODE_BYTES_MAX));
    for (uint16_t i = 0; i < a->sent_cnt; i++) {
        struct sent *s = &a->sent[i];
        struct ses_sync_node node = {.place = s->place};
        ses_sync_shorts(node.digests, &r->p.nonce, sums[i]);
        s->total = 0;
        for (unsigned n = 0; n < 16; n++) {
            s->counts[n] = sums[i][n].count;
            s->total += sums[i][n].count;
            node.bitmap |= (uint16_t)((sums[i][n].count > 0 ? 1u : 0u) << n);
        }
        ses_sync_node_write(&w, &node);
    }
    return send(r, &w, ASK_NODES);
}

/* The grandchildren that a member told against our own ones. */
static enum ses_err compare_branch(struct reconcile *r, const struct branch_at *at,
                                   const struct ses_sum own[16])
{
    const struct ses_sync_child *child = &r->ask->answers[at->node].children[at->nibble];
    struct ses_sync_place parent, place;
    uint64_t digests[16];
    reconcile_place_child(&parent, &r->ask->sent[at->node].place, at->nibble);
    ses_sync_shorts(digests, &r->p.nonce, own);
    for (unsigned n = 0; n < 16; n++) {
        const bool theirs = ses_sync_has(child->bitmap, n);
        const bool ours = own[n].count > 0;
        if (theirs == ours && (!ours || digests[n] == child->shorts[n])) {
            continue;
        }
        reconcile_place_child(&place, &parent, n);
        if (theirs) {
            SES_TRY(todo_push(r, &place));
        } else {
            SES_TRY(heard_push(r, &place, NULL, NO_NODE, own[n].count));
        }
    }
    return SES_OK;
}

static enum ses_err need_branches(struct reconcile *r)
{
    struct reconcile_ask *a = r->ask;
    if (a->branch_at == a->branch_cnt) {
        a->phase = ASK_LEAVES;
        return reconcile_leaves(r, NULL, 0);
    }
    const uint32_t left = a->branch_cnt - a->branch_at;
    SES_TRY(reconcile_need_children(&r->need,
                                    left < SES_CHILDREN_ASKS_MAX ? left : SES_CHILDREN_ASKS_MAX));
    for (size_t i = 0; i < r->need.ask_cnt; i++) {
        const struct branch_at *at = &a->branches[a->branch_at + i];
        struct ses_sync_place place;
        reconcile_place_child(&place, &a->sent[at->node].place, at->nibble);
        reconcile_place_ask(&r->need.asks[i], &place);
    }
    a->phase = ASK_BRANCHES;
    return SES_OK;
}

enum ses_err reconcile_children(struct reconcile *r, const struct ses_sum (*sums)[16], size_t cnt)
{
    struct reconcile_ask *a = r->ask;
    SES_ASSERT(r->need.kind == RECONCILE_CHILDREN && cnt == r->need.ask_cnt);
    if (a->phase == ASK_OWN) {
        return send_nodes(r, sums);
    }
    for (size_t i = 0; i < cnt; i++) {
        SES_TRY(compare_branch(r, &a->branches[a->branch_at + i], sums[i]));
    }
    a->branch_at += (uint32_t)cnt;
    return need_branches(r);
}

static enum ses_err hear_child(struct reconcile *r, uint16_t node, uint8_t nibble)
{
    struct reconcile_ask *a = r->ask;
    const struct ses_sync_child *child = &a->answers[node].children[nibble];
    struct ses_sync_place place;
    if (child->form == SES_SYNC_BRANCH) {
        a->branches[a->branch_cnt++] = (struct branch_at){.node = node, .nibble = nibble};
        return SES_OK;
    }
    reconcile_place_child(&place, &a->sent[node].place, nibble);
    return heard_push(r, &place, child, node, a->sent[node].counts[nibble]);
}

static enum ses_err read_nodes(struct reconcile *r, struct ses_reader *in)
{
    struct reconcile_ask *a = r->ask;
    const uint16_t cnt = ses_sync_count_read(in, 2);
    ses_reader_check(in, cnt == a->sent_cnt, SES_ERR_MALFORMED);
    for (uint16_t i = 0; in->err == SES_OK && i < cnt; i++) {
        ses_sync_answer_read(in, &a->answers[i]);
    }
    SES_TRY(ses_reader_done(in));
    a->branch_cnt = a->branch_at = 0;
    for (uint16_t i = 0; i < cnt; i++) {
        for (uint8_t n = 0; n < 16; n++) {
            if (ses_sync_has(a->answers[i].bitmap, n)) {
                SES_TRY(hear_child(r, i, n));
            }
        }
    }
    return need_branches(r);
}

enum ses_err reconcile_answer(struct reconcile *r, const uint8_t *body, size_t len)
{
    struct ses_reader in;
    struct ses_refusal refusal;
    bool ok;
    SES_ASSERT(r->need.kind == RECONCILE_SEND);
    r->bytes_in += len;
    SES_TRY(ses_response_begin(&in, body, len, &ok, &refusal));
    SES_REQUIRE(ok, refusal.status);
    return r->ask->phase == ASK_ROWS ? read_rows(r, &in) : read_nodes(r, &in);
}

/* ---- leaves ---- */
/* The name of a leaf that the other side lacks, at a place narrow enough to find it there. */
static enum ses_err give(struct reconcile *r, const struct ses_sync_place *at,
                         const struct ses_leaf *leaf, uint64_t name)
{
    struct ses_sync_place place = {.segment = at->segment,
                                   .nibble_cnt = at->nibble_cnt < 8 ? 8 : at->nibble_cnt};
    const unsigned whole = place.nibble_cnt / 2;
    memcpy(place.prefix.bytes, leaf->key.bytes, whole);
    if (place.nibble_cnt % 2 == 1) {
        place.prefix.bytes[whole] = leaf->key.bytes[whole] & 0xF0u;
    }
    return reconcile_list_add(&r->gives, &place, name);
}

/* The other side has a tombstone in the leaf's place: it knows the record as deleted. Where the
 * record is missing for an older snapshot, that side asks for it. */
static bool deleted_there(const struct reconcile *r, const struct ses_sync_group *there,
                          const struct ses_leaf *leaf)
{
    struct ses_leaf tomb = *leaf;
    tomb.kind = SES_RECORD_TOMBSTONE;
    tomb.size = 0;
    const uint64_t name = ses_sync_leaf_short(&r->p.nonce, &tomb);
    bool found = false;
    for (unsigned k = 0; k < there->cnt; k++) {
        found |= there->shorts[k] == name;
    }
    return found;
}

static enum ses_err compare_heard(struct reconcile *r, const struct heard *h,
                                  const struct ses_leaf *leaves, size_t cnt)
{
    const struct ses_sync_group *g = &h->group;
    bool known[SES_SYNC_SHORTS_MAX] = {false};
    uint64_t names[RECONCILE_NAMES];
    size_t first;
    const size_t there = reconcile_place_leaves(&first, &g->place, leaves, cnt);
    SES_ASSERT(there <= cnt);
    for (size_t i = 0; i < there; i++) {
        const struct ses_leaf *leaf = &leaves[first + i];
        if (i % RECONCILE_NAMES == 0) {
            ses_sync_leaf_shorts(names, &r->p.nonce, leaf,
                                 there - i < RECONCILE_NAMES ? there - i : RECONCILE_NAMES);
        }
        const uint64_t name = names[i % RECONCILE_NAMES];
        bool both = false;
        for (unsigned k = 0; k < g->cnt; k++) {
            known[k] = known[k] || g->shorts[k] == name;
            both = both || g->shorts[k] == name;
        }
        if (!both && !deleted_there(r, g, leaf)) {
            SES_TRY(give(r, &g->place, leaf, name));
        }
    }
    for (unsigned k = 0; k < g->cnt; k++) {
        if (!known[k]) {
            SES_TRY(reconcile_list_add(&r->wants, &g->place, g->shorts[k]));
        }
    }
    return SES_OK;
}

static void need_leaves(struct reconcile *r)
{
    struct reconcile_ask *a = r->ask;
    const struct heard *h = &a->heard[a->heard_at];
    struct ses_sync_place place = h->group.place;
    a->heard_end = a->heard_at + 1;
    if (h->node != NO_NODE && a->sent[h->node].total <= NODE_LEAVES_MAX) {
        place = a->sent[h->node].place;
        while (a->heard_end < a->heard_cnt && a->heard[a->heard_end].node == h->node) {
            a->heard_end++;
        }
    }
    reconcile_place_range(&r->need.range, &place);
    const uint64_t most = h->own_cnt + 256 > NODE_LEAVES_MAX ? h->own_cnt + 256 : NODE_LEAVES_MAX;
    r->need.leaf_max = most < SES_LEAVES_MAX ? (size_t)most : SES_LEAVES_MAX;
    r->need.kind = RECONCILE_LEAVES;
}

/* Goes on until leaves are needed; `leaves` are those for [heard_at, heard_end). */
enum ses_err reconcile_leaves(struct reconcile *r, const struct ses_leaf *leaves, size_t cnt)
{
    struct reconcile_ask *a = r->ask;
    SES_ASSERT(a->phase == ASK_LEAVES);
    for (; a->heard_at < a->heard_end; a->heard_at++) {
        SES_TRY(compare_heard(r, &a->heard[a->heard_at], leaves, cnt));
    }
    while (a->heard_at < a->heard_cnt) {
        const struct heard *h = &a->heard[a->heard_at];
        if (h->own_cnt > 0 && (h->group.cnt > 0 || !r->gives.full)) {
            need_leaves(r);
            return SES_OK;
        }
        SES_TRY(compare_heard(r, h, NULL, 0));
        a->heard_at++;
    }
    a->heard_cnt = a->heard_at = a->heard_end = 0;
    return own_batch(r);
}
