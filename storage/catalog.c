#include "storage/catalog.h"

#include <string.h>

#include "storage/log.h"

_Static_assert(SES_LOG_HEAD_BYTES == 88, "see ses_record_cost");

struct box_key {
    uint32_t inbox;
    int16_t ns;
};

void ses_catalog_init(struct ses_catalog *c, uint64_t hash_seed)
{
    *c = (struct ses_catalog){.hash_seed = hash_seed,
                              .swarm = SES_SWARM_NONE,
                              .num_swarms = 1,
                              .entries = {.item = sizeof(struct ses_entry)},
                              .inboxes = {.item = sizeof(struct ses_inbox)},
                              .boxes = {.item = sizeof(struct ses_box)},
                              .segs = {.item = sizeof(struct ses_seg)}};
}

void ses_catalog_free(struct ses_catalog *c)
{
    for (uint32_t i = 0; i < c->boxes.used; i++) {
        struct ses_box *box = ses_catalog_box(c, i);
        if (box->cap > 0) { /* an item of the free list has none */
            ses_free(box->list);
        }
    }
    ses_slab_free(&c->entries);
    ses_slab_free(&c->inboxes);
    ses_slab_free(&c->boxes);
    ses_slab_free(&c->segs);
    ses_table_free(&c->by_id);
    ses_table_free(&c->by_inbox);
    ses_table_free(&c->by_box);
    ses_table_free(&c->by_seg);
    ses_free(c->pending);
    *c = (struct ses_catalog){0};
}

/* ---- keys ---- */
static uint32_t hash_hash(const struct ses_catalog *c, const struct ses_hash *h)
{
    return ses_table_hash(c->hash_seed, ses_get_u64(h->bytes), ses_get_u64(h->bytes + 8));
}

static uint32_t box_hash(const struct ses_catalog *c, const struct box_key *key)
{
    return ses_table_hash(c->hash_seed, key->inbox, (uint16_t)key->ns);
}

static uint32_t seg_hash(const struct ses_catalog *c, const struct ses_segment *s)
{
    return ses_table_hash(c->hash_seed, s->hour, s->ttl_class);
}

static bool same_id(const void *ctx, uint32_t i, const void *key)
{
    return memcmp(ses_catalog_entry(ctx, i)->id.bytes, key, 32) == 0;
}

static bool same_inbox(const void *ctx, uint32_t i, const void *key)
{
    return memcmp(ses_catalog_inbox(ctx, i)->digest.bytes, key, 32) == 0;
}

static bool same_box(const void *ctx, uint32_t i, const void *key)
{
    const struct box_key *want = key;
    const struct ses_box *box = ses_catalog_box(ctx, i);
    return box->inbox == want->inbox && box->ns == want->ns;
}

static bool same_seg(const void *ctx, uint32_t i, const void *key)
{
    const struct ses_segment *want = key;
    const struct ses_seg *seg = ses_catalog_seg(ctx, i);
    return seg->id.ttl_class == want->ttl_class && seg->id.hour == want->hour;
}

bool ses_catalog_find(const struct ses_catalog *c, const struct ses_hash *id, uint32_t *entry)
{
    return ses_table_find(&c->by_id, hash_hash(c, id), same_id, c, id->bytes, entry);
}

bool ses_catalog_find_inbox(const struct ses_catalog *c, const struct ses_hash *digest,
                            uint32_t *inbox)
{
    return ses_table_find(&c->by_inbox, hash_hash(c, digest), same_inbox, c, digest->bytes, inbox);
}

bool ses_catalog_find_box(const struct ses_catalog *c, const struct ses_hash *digest, int16_t ns,
                          uint32_t *box)
{
    struct box_key key = {.ns = ns};
    return ses_catalog_find_inbox(c, digest, &key.inbox) &&
           ses_table_find(&c->by_box, box_hash(c, &key), same_box, c, &key, box);
}

bool ses_catalog_find_seg(const struct ses_catalog *c, const struct ses_segment *segment,
                          uint32_t *seg)
{
    return ses_table_find(&c->by_seg, seg_hash(c, segment), same_seg, c, segment, seg);
}

/* ---- find or create ---- */
enum ses_err ses_catalog_take_seg(struct ses_catalog *c, const struct ses_segment *segment,
                                  uint32_t *seg)
{
    if (ses_catalog_find_seg(c, segment, seg)) {
        return SES_OK;
    }
    SES_REQUIRE(c->segment_cnt < SES_SEGMENTS_MAX, SES_ERR_FULL);
    SES_TRY(ses_table_reserve(&c->by_seg, 1));
    SES_TRY(ses_slab_take(&c->segs, seg));
    *ses_catalog_seg(c, *seg) = (struct ses_seg){.id = *segment,
                                                 .used = true,
                                                 .expires_ms = ses_segment_expires_ms(segment),
                                                 .first = SES_NONE};
    ses_table_add(&c->by_seg, seg_hash(c, segment), *seg);
    c->segment_cnt++;
    return SES_OK;
}

static enum ses_err take_inbox(struct ses_catalog *c, const struct ses_hash *digest,
                               uint32_t *inbox)
{
    if (ses_catalog_find_inbox(c, digest, inbox)) {
        return SES_OK;
    }
    SES_TRY(ses_table_reserve(&c->by_inbox, 1));
    SES_TRY(ses_slab_take(&c->inboxes, inbox));
    ses_catalog_inbox(c, *inbox)->digest = *digest;
    ses_catalog_inbox(c, *inbox)->foreign = !ses_digest_in(digest->bytes, c->swarm, c->num_swarms);
    ses_table_add(&c->by_inbox, hash_hash(c, digest), *inbox);
    c->inbox_cnt++;
    return SES_OK;
}

static enum ses_err take_box(struct ses_catalog *c, uint32_t inbox, int16_t ns, uint32_t *box)
{
    const struct box_key key = {.inbox = inbox, .ns = ns};
    if (ses_table_find(&c->by_box, box_hash(c, &key), same_box, c, &key, box)) {
        return SES_OK;
    }
    SES_TRY(ses_table_reserve(&c->by_box, 1));
    SES_TRY(ses_slab_take(&c->boxes, box));
    *ses_catalog_box(c, *box) = (struct ses_box){.inbox = inbox, .ns = ns};
    ses_table_add(&c->by_box, box_hash(c, &key), *box);
    return SES_OK;
}

static enum ses_err box_room(struct ses_box *box)
{
    const uint32_t want = box->cnt + box->reserved + 1;
    if (want <= box->cap) {
        return SES_OK;
    }
    const uint32_t cap = box->cap < 2 ? box->cap + 1 : box->cap + box->cap / 2 + 1;
    uint32_t *list = ses_realloc(box->list, cap, sizeof *list);
    SES_REQUIRE(list != NULL, SES_ERR_MEMORY);
    box->list = list;
    box->cap = cap;
    return SES_OK;
}

/* ---- letting go ---- */
static void release_box(struct ses_catalog *c, uint32_t at)
{
    struct ses_box *box = ses_catalog_box(c, at);
    if (box->cnt > 0 || box->reserved > 0 || box->dead > 0) {
        return;
    }
    const struct box_key key = {.inbox = box->inbox, .ns = box->ns};
    ses_table_remove(&c->by_box, box_hash(c, &key), at);
    ses_free(box->list);
    ses_slab_give(&c->boxes, at);
}

static void release_inbox(struct ses_catalog *c, uint32_t at)
{
    const struct ses_inbox *inbox = ses_catalog_inbox(c, at);
    if (inbox->entry_cnt > 0) {
        return;
    }
    ses_table_remove(&c->by_inbox, hash_hash(c, &inbox->digest), at);
    ses_slab_give(&c->inboxes, at);
    c->inbox_cnt--;
}

/* ---- what an inbox uses ---- */
static void charge(struct ses_inbox *inbox, const struct ses_entry *entry)
{
    const uint64_t cost = ses_record_cost(entry->payload_bytes);
    inbox->bytes += cost;
    inbox->stranger_bytes += (entry->flags & SES_FLAG_STRANGER) != 0 ? cost : 0;
}

static void discharge(struct ses_inbox *inbox, const struct ses_entry *entry)
{
    const uint64_t cost = ses_record_cost(entry->payload_bytes);
    SES_ASSERT(inbox->bytes >= cost);
    inbox->bytes -= cost;
    inbox->stranger_bytes -= (entry->flags & SES_FLAG_STRANGER) != 0 ? cost : 0;
}

static void count_in(struct ses_catalog *c, struct ses_inbox *inbox)
{
    inbox->entry_cnt++;
    c->foreign_cnt += inbox->foreign;
}

static void count_out(struct ses_catalog *c, struct ses_inbox *inbox)
{
    SES_ASSERT(inbox->entry_cnt > 0);
    inbox->entry_cnt--;
    c->foreign_cnt -= inbox->foreign;
}

static bool has_tomb_leaf(const struct ses_entry *e)
{
    return e->state == SES_ENTRY_LIVE &&
           (ses_entry_deleted(e) || (e->flags & SES_FLAG_STATEMENT) != 0);
}

static struct ses_inbox *inbox_of(const struct ses_catalog *c, const struct ses_entry *e)
{
    return ses_catalog_inbox(c, ses_catalog_box(c, e->box)->inbox);
}

/* Forgets an entry that stands in no list any more. */
static void release_entry(struct ses_catalog *c, uint32_t at)
{
    struct ses_entry *entry = ses_catalog_entry(c, at);
    const uint32_t box_at = entry->box;
    const uint32_t inbox_at = ses_catalog_box(c, box_at)->inbox;
    struct ses_inbox *inbox = ses_catalog_inbox(c, inbox_at);
    if (!ses_entry_deleted(entry)) {
        discharge(inbox, entry);
    }
    count_out(c, inbox);
    if (entry->state == SES_ENTRY_DEAD) {
        ses_catalog_box(c, box_at)->dead--;
        c->settled_cnt += (entry->flags & SES_FLAG_PENDING) != 0;
    }
    ses_table_remove(&c->by_id, hash_hash(c, &entry->id), at);
    ses_slab_give(&c->entries, at);
    release_box(c, box_at);
    release_inbox(c, inbox_at);
}

void ses_catalog_set_seat(struct ses_catalog *c, uint32_t swarm, uint32_t num_swarms)
{
    c->swarm = swarm;
    c->num_swarms = num_swarms;
    c->foreign_cnt = 0;
    for (uint32_t i = 0; i < c->inboxes.used; i++) {
        struct ses_inbox *inbox = ses_catalog_inbox(c, i);
        if (inbox->entry_cnt > 0) { /* an item of the free list has none: see ses_slab_give */
            inbox->foreign = !ses_digest_in(inbox->digest.bytes, swarm, num_swarms);
            c->foreign_cnt += inbox->foreign ? inbox->entry_cnt : 0;
        }
    }
}

/* ---- entries ---- */
/* Everything that a new entry needs; what was created and stays unused is given back. */
static enum ses_err take_places(struct ses_catalog *c, const struct ses_catalog_new *record,
                                uint32_t *seg, uint32_t *inbox, uint32_t *box)
{
    SES_TRY(ses_catalog_take_seg(c, &record->segment, seg));
    SES_TRY(ses_table_reserve(&c->by_id, 1 + c->ghost_room));
    SES_TRY(ses_slab_reserve(&c->entries, 1 + c->ghost_room));
    SES_TRY(take_inbox(c, &record->digest, inbox));
    enum ses_err err = take_box(c, *inbox, record->ns, box);
    if (err == SES_OK) {
        err = box_room(ses_catalog_box(c, *box));
        if (err != SES_OK) {
            release_box(c, *box);
        }
    }
    if (err != SES_OK) {
        release_inbox(c, *inbox);
    }
    return err;
}

enum ses_err ses_catalog_reserve(struct ses_catalog *c, const struct ses_catalog_new *record,
                                 uint32_t *entry)
{
    uint32_t seg;
    uint32_t inbox;
    uint32_t box;
    SES_TRY(take_places(c, record, &seg, &inbox, &box));
    const enum ses_err err = ses_slab_take(&c->entries, entry);
    if (err != SES_OK) {
        release_box(c, box);
        release_inbox(c, inbox);
        return err;
    }
    struct ses_entry *e = ses_catalog_entry(c, *entry);
    *e = (struct ses_entry){.id = record->id,
                            .admit_epoch = SES_EPOCH_NONE,
                            .tomb_epoch = SES_EPOCH_NONE,
                            .second = (uint16_t)(record->ts_ms / 1000 % 3600),
                            .payload_bytes = record->payload_bytes,
                            .box = box,
                            .segment = seg,
                            .link = SES_NONE,
                            .flags = record->flags,
                            .state = SES_ENTRY_RESERVED};
    ses_table_add(&c->by_id, hash_hash(c, &e->id), *entry);
    ses_catalog_box(c, box)->reserved++;
    ses_catalog_seg(c, seg)->reserved++;
    charge(ses_catalog_inbox(c, inbox), e);
    count_in(c, ses_catalog_inbox(c, inbox));
    return SES_OK;
}

/* The entry is one of its segment's from now on. */
static void link_in(struct ses_catalog *c, uint32_t at)
{
    struct ses_entry *e = ses_catalog_entry(c, at);
    struct ses_seg *seg = ses_catalog_seg(c, e->segment);
    e->link = seg->first;
    e->state = SES_ENTRY_LIVE;
    seg->first = at;
    seg->entry_cnt++;
    c->record_cnt++;
    c->payload_bytes += e->payload_bytes;
    c->deleted_cnt += has_tomb_leaf(e);
}

/* The leaf of the entry is another one from now on. */
static void touch(struct ses_catalog *c, const struct ses_entry *e)
{
    struct ses_seg *seg = ses_catalog_seg(c, e->segment);
    const uint32_t admit = e->admit_epoch != SES_EPOCH_NONE ? e->admit_epoch : 0;
    const uint32_t tomb = ses_entry_deleted(e) ? e->tomb_epoch : 0;
    const uint32_t epoch = admit > tomb ? admit : tomb;
    seg->epoch_max = epoch > seg->epoch_max ? epoch : seg->epoch_max;
    seg->erase |= ses_entry_deleted(e) && e->admit_epoch != SES_EPOCH_NONE;
}

void ses_catalog_commit(struct ses_catalog *c, uint32_t entry, uint64_t seq, uint64_t offset,
                        uint32_t admit_epoch)
{
    struct ses_entry *e = ses_catalog_entry(c, entry);
    struct ses_box *box = ses_catalog_box(c, e->box);
    struct ses_seg *seg = ses_catalog_seg(c, e->segment);
    SES_ASSERT(e->state == SES_ENTRY_RESERVED && box->reserved > 0 && box->cnt < box->cap);
    box->unsorted |= box->cnt > 0 && ses_catalog_entry(c, box->list[box->cnt - 1])->seq > seq;
    box->list[box->cnt++] = entry;
    box->reserved--;
    e->seq = seq;
    e->offset = offset;
    e->admit_epoch = admit_epoch;
    seg->reserved--;
    link_in(c, entry);
    touch(c, e);
}

static void make_ghost(struct ses_catalog *c, uint32_t at)
{
    struct ses_entry *e = ses_catalog_entry(c, at);
    e->flags = SES_FLAG_GHOST;
    e->payload_bytes = 0;
    link_in(c, at);
    touch(c, e);
}

void ses_catalog_cancel(struct ses_catalog *c, uint32_t entry)
{
    struct ses_entry *e = ses_catalog_entry(c, entry);
    SES_ASSERT(e->state == SES_ENTRY_RESERVED);
    ses_catalog_seg(c, e->segment)->reserved--;
    if (ses_entry_deleted(e)) {
        make_ghost(c, entry); /* keeps its box reserved */
        return;
    }
    ses_catalog_box(c, e->box)->reserved--;
    release_entry(c, entry);
}

void ses_catalog_move(struct ses_catalog *c, uint32_t entry, uint64_t seq, uint64_t offset,
                      uint32_t admit_epoch, uint32_t payload_bytes)
{
    struct ses_entry *e = ses_catalog_entry(c, entry);
    SES_ASSERT(e->state == SES_ENTRY_LIVE);
    c->payload_bytes += payload_bytes - e->payload_bytes;
    e->seq = seq;
    e->offset = offset;
    e->payload_bytes = payload_bytes;
    if (e->admit_epoch != admit_epoch) {
        e->admit_epoch = admit_epoch;
        touch(c, e);
    }
}

/* ---- deletes ---- */
enum ses_err ses_catalog_reserve_ghosts(struct ses_catalog *c, const struct ses_deletion *targets,
                                        uint32_t cnt)
{
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_segment segment;
        uint32_t seg;
        ses_segment_of(&segment, targets[i].ttl_class, targets[i].ts_ms);
        SES_TRY(ses_catalog_take_seg(c, &segment, &seg));
    }
    SES_TRY(ses_slab_reserve(&c->entries, c->ghost_room + cnt));
    SES_TRY(ses_table_reserve(&c->by_id, c->ghost_room + cnt));
    c->ghost_room += cnt;
    return SES_OK;
}

void ses_catalog_release_ghosts(struct ses_catalog *c, uint32_t cnt)
{
    SES_ASSERT(c->ghost_room >= cnt);
    c->ghost_room -= cnt;
}

static uint32_t new_ghost(struct ses_catalog *c, uint32_t statement,
                          const struct ses_deletion *target, uint32_t epoch)
{
    struct ses_segment segment;
    uint32_t seg;
    uint32_t at;
    ses_segment_of(&segment, target->ttl_class, target->ts_ms);
    if (!ses_catalog_find_seg(c, &segment, &seg)) {
        return SES_NONE; /* it expired while the statement was written */
    }
    SES_ASSERT(ses_slab_take(&c->entries, &at) == SES_OK);
    struct ses_entry *e = ses_catalog_entry(c, at);
    *e = (struct ses_entry){.id = target->id,
                            .admit_epoch = SES_EPOCH_NONE,
                            .tomb_epoch = epoch,
                            .second = (uint16_t)(target->ts_ms / 1000 % 3600),
                            .box = ses_catalog_entry(c, statement)->box,
                            .segment = seg};
    ses_table_add(&c->by_id, hash_hash(c, &e->id), at);
    ses_catalog_box(c, e->box)->reserved++;
    count_in(c, inbox_of(c, e));
    make_ghost(c, at);
    return at;
}

uint32_t ses_catalog_delete(struct ses_catalog *c, uint32_t statement,
                            const struct ses_deletion *target, uint32_t epoch)
{
    uint32_t at;
    if (!ses_catalog_find(c, &target->id, &at)) {
        return SES_MUTANT(DELETED_COMES_BACK) ? SES_NONE : new_ghost(c, statement, target, epoch);
    }
    struct ses_entry *e = ses_catalog_entry(c, at);
    if ((e->flags & SES_FLAG_STATEMENT) != 0 || e->tomb_epoch <= epoch) {
        return SES_NONE;
    }
    if (!ses_entry_deleted(e)) {
        discharge(inbox_of(c, e), e);
    }
    const bool before = has_tomb_leaf(e);
    e->tomb_epoch = epoch;
    c->deleted_cnt += has_tomb_leaf(e) && !before;
    touch(c, e);
    return at;
}

void ses_catalog_erase(struct ses_catalog *c, uint32_t entry)
{
    struct ses_entry *e = ses_catalog_entry(c, entry);
    SES_ASSERT(e->state == SES_ENTRY_LIVE && ses_entry_deleted(e));
    c->payload_bytes -= e->payload_bytes;
    e->payload_bytes = 0;
    e->admit_epoch = SES_EPOCH_NONE;
}

bool ses_catalog_leaf(const struct ses_catalog *c, uint32_t entry, uint32_t epoch,
                      struct ses_leaf *out)
{
    const struct ses_entry *e = ses_catalog_entry(c, entry);
    const bool tomb = e->tomb_epoch <= epoch || (e->flags & SES_FLAG_STATEMENT) != 0;
    if (e->state != SES_ENTRY_LIVE || ses_entry_epoch(e) > epoch) {
        return false;
    }
    const struct ses_segment *segment = &ses_catalog_seg(c, e->segment)->id;
    memcpy(out->key.bytes, inbox_of(c, e)->digest.bytes, 32);
    memcpy(out->key.bytes + 32, e->id.bytes, 32);
    out->ts_ms = ses_entry_ts_ms(c, e);
    out->ttl_class = segment->ttl_class;
    out->kind = tomb ? SES_RECORD_TOMBSTONE : SES_RECORD_MESSAGE;
    out->size = tomb ? 0 : e->payload_bytes;
    return true;
}

/* ---- forgetting ---- */
static void sweep_box(const struct ses_catalog *c, struct ses_box *box)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < box->cnt; i++) {
        if (ses_catalog_entry(c, box->list[i])->state == SES_ENTRY_LIVE) {
            box->list[kept++] = box->list[i];
        }
    }
    box->cnt = kept;
    box->sweep = false;
}

/* Live entries of a list become dead and leave their boxes, then they are released. */
static void bury(struct ses_catalog *c, uint32_t first)
{
    for (uint32_t i = first; i != SES_NONE; i = ses_catalog_entry(c, i)->link) {
        struct ses_entry *e = ses_catalog_entry(c, i);
        struct ses_box *box = ses_catalog_box(c, e->box);
        c->deleted_cnt -= has_tomb_leaf(e);
        e->state = SES_ENTRY_DEAD;
        box->reserved -= (e->flags & SES_FLAG_GHOST) != 0;
        box->sweep = true;
        box->dead++;
        c->record_cnt--;
        c->payload_bytes -= e->payload_bytes;
    }
    for (uint32_t i = first; i != SES_NONE; i = ses_catalog_entry(c, i)->link) {
        struct ses_box *box = ses_catalog_box(c, ses_catalog_entry(c, i)->box);
        if (box->sweep) {
            sweep_box(c, box);
        }
    }
    for (uint32_t i = first, next; i != SES_NONE; i = next) {
        next = ses_catalog_entry(c, i)->link;
        release_entry(c, i);
    }
}

void ses_catalog_drop_seg(struct ses_catalog *c, uint32_t at)
{
    struct ses_seg *seg = ses_catalog_seg(c, at);
    SES_ASSERT(seg->used && seg->reserved == 0);
    bury(c, seg->first);
    c->log_bytes -= seg->end;
    ses_table_remove(&c->by_seg, seg_hash(c, &seg->id), at);
    ses_slab_give(&c->segs, at);
    c->segment_cnt--;
}

uint32_t ses_catalog_drop_foreign(struct ses_catalog *c, uint32_t at,
                                  void (*each)(void *cookie, const struct ses_entry *entry),
                                  void *cookie)
{
    struct ses_seg *seg = ses_catalog_seg(c, at);
    uint32_t *kept = &seg->first;
    uint32_t dropped = SES_NONE;
    uint32_t cnt = 0;
    for (uint32_t i = seg->first, next; i != SES_NONE; i = next) {
        struct ses_entry *e = ses_catalog_entry(c, i);
        next = e->link;
        if (inbox_of(c, e)->foreign && (e->flags & SES_FLAG_BUSY) == 0) {
            each(cookie, e);
            e->link = dropped;
            dropped = i;
            cnt++;
        } else {
            *kept = i;
            kept = &e->link;
        }
    }
    *kept = SES_NONE;
    seg->entry_cnt -= cnt;
    bury(c, dropped);
    return cnt;
}

/* ---- order of arrival ---- */
static int by_seq(const void *a, const void *b, void *ctx)
{
    const uint64_t x = ses_catalog_entry(ctx, *(const uint32_t *)a)->seq;
    const uint64_t y = ses_catalog_entry(ctx, *(const uint32_t *)b)->seq;
    return x < y ? -1 : x > y;
}

static int debt_by_seq(const void *a, const void *b)
{
    const uint64_t x = ((const struct ses_pending *)a)->seq;
    const uint64_t y = ((const struct ses_pending *)b)->seq;
    return x < y ? -1 : x > y;
}

void ses_catalog_sort(struct ses_catalog *c)
{
    for (uint32_t i = 0; i < c->boxes.used; i++) {
        struct ses_box *box = ses_catalog_box(c, i);
        if (box->unsorted) {
            qsort_r(box->list, box->cnt, sizeof box->list[0], by_seq, c);
            box->unsorted = false;
        }
    }
    if (c->pending_cnt > 1) {
        qsort(c->pending, c->pending_cnt, sizeof c->pending[0], debt_by_seq);
    }
}

uint32_t ses_catalog_after(const struct ses_catalog *c, const struct ses_box *box, uint64_t after)
{
    uint32_t low = 0;
    uint32_t high = box->cnt;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (ses_catalog_entry(c, box->list[middle])->seq > after) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* ---- debts ---- */
static void forget_settled(struct ses_catalog *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->pending_cnt; i++) {
        if (ses_catalog_debt(c, i) != NULL) {
            c->pending[kept++] = c->pending[i];
        }
    }
    c->pending_cnt = kept;
    c->settled_cnt = 0;
}

enum ses_err ses_catalog_owe(struct ses_catalog *c, uint32_t entry)
{
    struct ses_entry *e = ses_catalog_entry(c, entry);
    SES_ASSERT(e->state == SES_ENTRY_LIVE);
    if (c->settled_cnt > 64 && c->settled_cnt > c->pending_cnt / 2) {
        forget_settled(c);
    }
    if (c->pending_cnt == c->pending_cap) {
        const uint32_t cap = c->pending_cap * 2 + 64;
        struct ses_pending *list = ses_realloc(c->pending, cap, sizeof *list);
        SES_REQUIRE(list != NULL, SES_ERR_MEMORY);
        c->pending = list;
        c->pending_cap = cap;
    }
    c->pending[c->pending_cnt++] = (struct ses_pending){.seq = e->seq, .entry = entry};
    e->flags |= SES_FLAG_PENDING;
    return SES_OK;
}

void ses_catalog_settle(struct ses_catalog *c, uint32_t entry)
{
    struct ses_entry *e = ses_catalog_entry(c, entry);
    if ((e->flags & SES_FLAG_PENDING) != 0) {
        e->flags &= (uint8_t)~SES_FLAG_PENDING;
        c->settled_cnt++;
    }
}

const struct ses_entry *ses_catalog_debt(const struct ses_catalog *c, uint32_t at)
{
    const struct ses_pending *debt = &c->pending[at];
    const struct ses_entry *e = ses_catalog_entry(c, debt->entry);
    const bool owed =
        e->state == SES_ENTRY_LIVE && e->seq == debt->seq && (e->flags & SES_FLAG_PENDING) != 0;
    return owed ? e : NULL;
}
