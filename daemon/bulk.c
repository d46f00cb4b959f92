/* Whole segments in bulk, for a node that is new in its swarm or was away. The sums of some members
 * are gathered first; a segment is then read, page by page, from the members that say the same of
 * it, several segments at a time. What two members say the same of needs no receipts: it cannot be
 * more than they say. Afterwards reconciliation compares as always, so that a source that kept
 * something back or put something else in its place gains nothing. */
#include "daemon/daemon_internal.h"

#define PAGE_BYTES 786432u
#define CHUNK_RECORDS 128u
#define BARE_PAGES_MAX 64u /* in a row: other swarms' records, left out by the source */

struct bulk_load {
    struct ses_daemon *d;
    uint64_t generation;
    uint32_t segment; /* index */
    uint32_t member;
    struct ses_target target;
    uint8_t *page; /* the answer that is being taken */
    struct ses_reader rest;
    uint32_t rest_cnt; /* records of it not yet taken */
    uint64_t next;
    bool more, lied, starved;
    struct intake *in;
};
struct bulk_ask {
    struct ses_daemon *d;
    uint64_t generation;
    uint32_t member;
};

bool ses_bulk_busy(const struct ses_daemon *d)
{
    return d->sync.bulk.segment_cnt > 0;
}

void ses_bulk_forget(struct ses_daemon *d)
{
    struct bulk *b = &d->sync.bulk;
    for (uint32_t i = 0; i < b->member_cnt; i++) {
        ses_free(b->members[i].sums);
    }
    ses_free(b->segments);
    const uint64_t generation = b->generation + 1;
    const bool finished = b->finished;
    *b = (struct bulk){.generation = generation, .finished = finished};
}

static bool is_stale(const struct ses_daemon *d, uint64_t generation)
{
    return d->closing || d->sync.bulk.generation != generation || !ses_bulk_busy(d);
}

void ses_bulk_add(struct ses_daemon *d, const struct reconcile_bulk *bulks, uint32_t cnt)
{
    struct bulk *b = &d->sync.bulk;
    if (b->finished || b->gathered) {
        return; /* a later run compares these */
    }
    if (b->segments == NULL) {
        b->segments = ses_alloc(BULK_SEGMENTS_MAX, sizeof *b->segments);
    }
    for (uint32_t i = 0; b->segments != NULL && i < cnt; i++) {
        bool known = false;
        for (uint32_t k = 0; k < b->segment_cnt; k++) {
            known |= b->segments[k].segment.ttl_class == bulks[i].segment.ttl_class &&
                     b->segments[k].segment.hour == bulks[i].segment.hour;
        }
        if (!known && b->segment_cnt < BULK_SEGMENTS_MAX) {
            b->segments[b->segment_cnt++] = (struct bulk_segment){.segment = bulks[i].segment};
        }
    }
    ses_bulk_pump(d);
}

/* ---- sums ---- */
static void take_sums(struct bulk_member *m, const struct sync_sums *result)
{
    if (result->err != SES_OK || result->partial) {
        return;
    }
    m->sums = ses_alloc((size_t)result->sum_cnt + 1, sizeof *m->sums);
    m->answered = m->sums != NULL;
    for (uint32_t i = 0; m->answered && i < result->sum_cnt; i++) {
        m->sums[m->sum_cnt++] = result->sums[i];
    }
}

static void on_sums(void *cookie, const struct sync_sums *result)
{
    struct bulk_ask *ask = cookie;
    struct ses_daemon *d = ask->d;
    if (!is_stale(d, ask->generation)) {
        take_sums(&d->sync.bulk.members[ask->member], result);
        d->sync.bulk.asking--;
        ses_bulk_pump(d);
    }
    ses_free(ask);
}

static void gather(struct ses_daemon *d)
{
    struct bulk *b = &d->sync.bulk;
    uint32_t partners[BULK_MEMBERS_MAX];
    b->gathered = true;
    b->until_ms = ses_daemon_mono(d) + d->times.epoch_s * 1000 / 2; /* a commitment is owed next */
    b->asking = 1;
    b->member_cnt = ses_sync_partners(d, partners, BULK_MEMBERS_MAX);
    for (uint32_t i = 0; i < b->member_cnt; i++) {
        struct bulk_ask *ask = ses_alloc(1, sizeof *ask);
        b->members[i].node_id = d->map->nodes[partners[i]].row.node_id;
        if (ask != NULL) {
            *ask = (struct bulk_ask){.d = d, .generation = b->generation, .member = i};
        }
        if (ask == NULL ||
            ses_sync_ask_sums(d, &b->members[i].node_id, &d->sync.seat, on_sums, ask) != SES_OK) {
            ses_free(ask);
            continue;
        }
        b->asking++;
    }
    b->asking--;
}

/* ---- what is to be had where ---- */
static const struct ses_sum *sum_at(const struct bulk_member *m, const struct ses_segment *segment)
{
    for (uint32_t i = 0; m->answered && i < m->sum_cnt; i++) {
        if (m->sums[i].id.ttl_class == segment->ttl_class && m->sums[i].id.hour == segment->hour) {
            return &m->sums[i].sum;
        }
    }
    return NULL;
}

static bool same_sum(const struct ses_sum *a, const struct ses_sum *b)
{
    return a->count == b->count && a->bytes == b->bytes && ses_equal(&a->hash, &b->hash, 32);
}

/* The sum that most members say; of those with the same number of voices the larger one. */
static void settle_segment(struct bulk *b, struct bulk_segment *s)
{
    unsigned best = 0;
    s->known = true;
    for (uint32_t i = 0; i < b->member_cnt; i++) {
        const struct ses_sum *sum = sum_at(&b->members[i], &s->segment);
        unsigned voices = 0;
        uint32_t sources = 0;
        for (uint32_t k = 0; sum != NULL && k < b->member_cnt; k++) {
            const struct ses_sum *other = sum_at(&b->members[k], &s->segment);
            if (other != NULL && same_sum(sum, other)) {
                voices++;
                sources |= 1u << k;
            }
        }
        if (voices > best || (voices == best && voices > 0 && sum->count > s->sum.count)) {
            best = voices;
            s->sum = *sum;
            s->sources = sources;
        }
    }
    s->agreed = best >= 2;
}

/* ---- loading ---- */
static void load_page(struct bulk_load *load);
static void take_chunk(struct bulk_load *load);

static void load_free(struct bulk_load *load)
{
    struct ses_daemon *d = load->d;
    ses_intake_free(load->in);
    ses_free(load->page);
    ses_free(load);
    ses_daemon_release(d);
}

static void load_end(struct bulk_load *load, bool done)
{
    struct ses_daemon *d = load->d;
    struct bulk *b = &d->sync.bulk;
    if (!is_stale(d, load->generation)) {
        struct bulk_segment *s = &b->segments[load->segment];
        b->load_cnt--;
        b->members[load->member].load_cnt--;
        if (load->lied || (!done && (load->starved || ++s->tries >= BULK_TRIES_MAX))) {
            s->sources &= ~(1u << load->member);
            s->tries = 0;
            s->offset = 0;
            s->taken_cnt = 0;
            s->bare_cnt = 0;
        }
        s->state = done ? BULK_DONE : BULK_WANTED;
        b->done_cnt += done ? 1 : 0;
        if (load->lied) {
            ses_sync_cut_off(d, &load->target.node_id, "another record in bulk than it said");
        }
        if (done || load->lied) { /* else the wheel tries again */
            ses_bulk_pump(d);
        }
    }
    load_free(load);
}

static bool accept(void *cookie, const struct intake_item *item)
{
    struct bulk_load *load = cookie;
    struct ses_daemon *d = load->d;
    if (is_stale(d, load->generation)) {
        return false;
    }
    struct bulk_segment *s = &d->sync.bulk.segments[load->segment];
    const struct ses_segment *segment = &item->ids.segment;
    if (segment->ttl_class != s->segment.ttl_class || segment->hour != s->segment.hour ||
        s->taken_cnt >= s->sum.count) {
        load->lied = true;
        return false;
    }
    if (!s->agreed && !ses_budget_take(d, &load->target.node_id,
                                       BUDGET_RECORD_BYTES + item->record.payload_bytes)) {
        load->starved = true;
        return false;
    }
    s->taken_cnt++;
    return true;
}

static void page_end(struct bulk_load *load)
{
    struct bulk_segment *s = &load->d->sync.bulk.segments[load->segment];
    ses_free(load->page);
    load->page = NULL;
    s->offset = load->next;
    s->tries = 0;
    if (load->more) {
        load_page(load);
    } else {
        load_end(load, true);
    }
}

static void on_taken(void *cookie, struct intake *in)
{
    struct bulk_load *load = cookie;
    struct ses_daemon *d = load->d;
    bool busy = false;
    for (uint16_t i = 0; i < in->cnt; i++) {
        const enum ses_err err = in->items[i].err;
        d->stats.bulk_records += err == SES_OK && !in->items[i].existed ? 1 : 0;
        load->lied |= err == SES_ERR_MALFORMED || err == SES_ERR_SIGNATURE ||
                      err == SES_ERR_UNAUTHORISED || err == SES_ERR_WRONG_SWARM;
        busy |= err == SES_ERR_FULL || err == SES_ERR_DISK_LOW;
    }
    ses_intake_free(load->in);
    load->in = NULL;
    if (is_stale(d, load->generation) || load->lied || load->starved || busy) {
        load_end(load, false);
    } else if (load->rest_cnt > 0) {
        take_chunk(load);
    } else {
        page_end(load);
    }
}

static void take_chunk(struct bulk_load *load)
{
    const uint16_t cnt =
        (uint16_t)(load->rest_cnt < CHUNK_RECORDS ? load->rest_cnt : CHUNK_RECORDS);
    enum ses_err err = ses_intake_new(&load->in, load->d, &load->target.node_id, cnt);
    if (err == SES_OK) {
        load->in->accept = accept;
        for (uint16_t i = 0; i < cnt; i++) {
            ses_record_read(&load->rest, &load->in->items[i].record);
        }
        load->rest_cnt -= cnt;
        load->lied |= load->rest.err != SES_OK || (load->rest_cnt == 0 && load->rest.left > 0);
        err = load->lied ? SES_ERR_PEER : ses_intake_start(load->in, on_taken, load);
    }
    if (err != SES_OK) {
        load_end(load, false);
    }
}

static enum ses_err read_page(struct bulk_load *load, const uint8_t *body, size_t len)
{
    struct ses_refusal refusal;
    struct ses_bulk_page head;
    bool ok;
    load->page = ses_alloc(len + 1, 1);
    SES_REQUIRE(load->page != NULL, SES_ERR_MEMORY);
    memcpy(load->page, body, len);
    SES_TRY(ses_response_begin(&load->rest, load->page, len, &ok, &refusal));
    SES_REQUIRE(ok, refusal.status);
    ses_bulk_page_read(&load->rest, &head);
    load->rest_cnt = head.cnt;
    load->next = head.next;
    load->more = head.more;
    struct bulk_segment *s = &load->d->sync.bulk.segments[load->segment];
    load->lied = load->rest.err != SES_OK || (head.more && head.next <= s->offset);
    s->bare_cnt = head.cnt > 0 ? 0 : s->bare_cnt + 1;
    load->starved = s->bare_cnt >= BARE_PAGES_MAX && head.more;
    return load->lied || load->starved ? SES_ERR_PEER : SES_OK;
}

static void on_page(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct bulk_load *load = cookie;
    struct ses_daemon *d = load->d;
    if (is_stale(d, load->generation)) {
        err = SES_ERR_CLOSED;
    } else if (err == SES_OK) {
        d->stats.sync_bytes += len;
        err = read_page(load, body, len);
    }
    if (err != SES_OK) {
        load_end(load, false);
    } else if (load->rest_cnt > 0) {
        take_chunk(load);
    } else {
        page_end(load);
    }
    ses_daemon_release(d);
}

static void load_page(struct bulk_load *load)
{
    struct ses_daemon *d = load->d;
    const struct bulk_segment *s = &d->sync.bulk.segments[load->segment];
    const struct ses_bulk_ask ask = {
        .set = d->sync.seat, .segment = s->segment, .offset = s->offset, .bytes_max = PAGE_BYTES};
    uint8_t body[128];
    struct ses_writer w;
    ses_writer_init(&w, body, sizeof body);
    ses_bulk_ask_write(&w, &ask);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    const struct ses_request request = {.target = &load->target,
                                        .proto = SES_PROTO_BULK,
                                        .body = body,
                                        .len = w.len,
                                        .on_reply = on_page,
                                        .cookie = load};
    if (ses_net_request(d->p.net, &request) == SES_OK) {
        ses_daemon_hold(d);
    } else {
        load_end(load, false);
    }
}

/* The source of the segment that has the least to do; BULK_MEMBERS_MAX: there is none. */
static uint32_t choose(const struct bulk *b, const struct bulk_segment *s)
{
    uint32_t best = BULK_MEMBERS_MAX;
    for (uint32_t i = 0; i < b->member_cnt; i++) {
        if ((s->sources >> i & 1u) != 0 &&
            (best == BULK_MEMBERS_MAX || b->members[i].load_cnt < b->members[best].load_cnt)) {
            best = i;
        }
    }
    return best;
}

static void load_start(struct ses_daemon *d, uint32_t segment)
{
    struct bulk *b = &d->sync.bulk;
    struct bulk_segment *s = &b->segments[segment];
    const uint32_t member = choose(b, s);
    if (member < b->member_cnt && b->members[member].load_cnt >= BULK_LOADS_MEMBER) {
        return; /* when another ends */
    }
    struct bulk_load *load = member < b->member_cnt ? ses_alloc(1, sizeof *load) : NULL;
    if (load == NULL || !ses_sync_target(d, &b->members[member].node_id, &load->target)) {
        ses_free(load);
        s->state = BULK_DONE; /* reconciliation does it */
        b->done_cnt++;
        return;
    }
    load->d = d;
    load->generation = b->generation;
    load->segment = segment;
    load->member = member;
    s->state = BULK_LOADING;
    b->load_cnt++;
    b->members[member].load_cnt++;
    ses_daemon_hold(d);
    load_page(load);
}

static void finish(struct ses_daemon *d)
{
    struct bulk *b = &d->sync.bulk;
    ses_logf(d->p.log, SES_LOG_INFO, MODULE, "bulk transfer ended segments=%u", b->segment_cnt);
    b->finished = true;
    ses_bulk_forget(d);
    ses_sync_soon(d); /* what bulk left out, and whether anything is lacking still */
}

void ses_bulk_pump(struct ses_daemon *d)
{
    struct bulk *b = &d->sync.bulk;
    if (!ses_bulk_busy(d) || d->closing || d->draining || b->pumping) {
        return;
    }
    b->pumping = true;
    if (!b->gathered) {
        gather(d);
    }
    for (uint32_t i = 0; b->asking == 0 && i < b->segment_cnt && b->load_cnt < BULK_LOADS_MAX;
         i++) {
        struct bulk_segment *s = &b->segments[i];
        if (!s->known) {
            settle_segment(b, s);
        }
        if (s->state == BULK_WANTED) {
            load_start(d, i);
        }
    }
    b->pumping = false;
    if ((b->asking == 0 && b->load_cnt == 0 && b->done_cnt == b->segment_cnt) ||
        ses_daemon_mono(d) >= b->until_ms) {
        finish(d);
    }
}
