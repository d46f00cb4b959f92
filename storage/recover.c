/* Start: what the index knows is loaded, what it lacks is read from the logs, what was torn by a
 * crash is cut (docs/storage-format.md). What has expired stays until ses_store_expire: at a start
 * nobody knows yet whether the clock is right. */
#include <stdio.h>
#include <string.h>

#include "storage/db.h"
#include "storage/storage_internal.h"

#define SEQ_BITS 40u /* a start's own range of seq */
#define COMMIT_ROWS 1024u
#define DAY_HOURS 24u

struct found_index {
    uint8_t ttl_class;
    uint32_t day;
};
struct found_deletion {
    struct ses_hash statement;
    struct ses_deletion target;
};
struct recovery {
    struct ses_store *store;
    struct ses_note *note;
    enum ses_err err; /* of a callback that cannot return one */
    uint8_t ttl_class;
    uint64_t now_ms;
    struct ses_buf indexes;           /* of struct found_index */
    struct ses_buf deletions;         /* of struct found_deletion */
    uint64_t sizes[SES_SEGMENTS_MAX]; /* of the logs, by place in the catalog's pool */
    /* of the index being loaded */
    uint32_t forget[DAY_HOURS];
    uint32_t forget_cnt;
    uint64_t loaded, scanned, damaged_bytes;
    uint64_t last_seq; /* of all rows */
};

/* ---- directories ---- */
static enum ses_err make_dirs(const struct ses_disk *disk)
{
    static const char *const dirs[] = {"seg", "idx", "seg/0", "seg/1", "seg/2", "seg/3", "seg/4"};
    for (size_t i = 0; i < SES_COUNT(dirs); i++) {
        SES_TRY(disk->mkdir(disk->ctx, dirs[i]));
    }
    SES_TRY(disk->sync_dir(disk->ctx, ""));
    for (size_t i = 0; i < SES_COUNT(dirs); i++) {
        SES_TRY(disk->sync_dir(disk->ctx, dirs[i]));
    }
    return SES_OK;
}

static enum ses_err log_size(struct recovery *r, const struct ses_segment *segment, uint64_t *size)
{
    const struct ses_disk *disk = r->store->p.disk;
    struct ses_file *file;
    char path[48];
    ses_segment_path(path, segment);
    SES_TRY(disk->open(disk->ctx, path, false, &file));
    const enum ses_err err = disk->size(disk->ctx, file, size);
    disk->close(disk->ctx, file);
    return err;
}

static enum ses_err found_log(struct recovery *r, const struct ses_segment *segment)
{
    uint32_t seg;
    SES_TRY(ses_catalog_take_seg(&r->store->catalog, segment, &seg));
    SES_ASSERT(seg < SES_SEGMENTS_MAX); /* the first ones that the pool gave out */
    return log_size(r, segment, &r->sizes[seg]);
}

static void each_log(void *cookie, const char *name)
{
    struct recovery *r = cookie;
    struct ses_segment segment = {.ttl_class = r->ttl_class};
    if (r->err != SES_OK) {
        return;
    }
    if (!ses_log_name_parse(name, &segment.hour)) {
        ses_logf(r->store->p.log, SES_LOG_WARN, "storage", "not a log, left alone: seg/%u/%s",
                 (unsigned)r->ttl_class, name);
        return;
    }
    r->err = found_log(r, &segment);
}

static enum ses_err list_logs(struct recovery *r)
{
    const struct ses_disk *disk = r->store->p.disk;
    for (r->ttl_class = 0; r->ttl_class < SES_TTL_CLASS_CNT; r->ttl_class++) {
        char dir[16];
        const int len = snprintf(dir, sizeof dir, "seg/%u", (unsigned)r->ttl_class);
        SES_ASSERT(len > 0 && (size_t)len < sizeof dir);
        SES_TRY(disk->list(disk->ctx, dir, each_log, r));
        SES_TRY(r->err);
    }
    return SES_OK;
}

static void each_index(void *cookie, const char *name)
{
    struct recovery *r = cookie;
    struct found_index found;
    memset(&found, 0, sizeof found);
    if (r->err == SES_OK && ses_index_name_parse(name, &found.ttl_class, &found.day)) {
        int64_t *expired = &r->store->expired_day[found.ttl_class];
        *expired = (int64_t)found.day <= *expired ? (int64_t)found.day - 1 : *expired;
        r->err = ses_buf_append(&r->indexes, &found, sizeof found);
    }
}

/* ---- loading an index ---- */
static uint8_t flags_of(const struct ses_index_row *row)
{
    const bool statement = row->kind == SES_RECORD_TOMBSTONE;
    return (uint8_t)((row->flags & SES_FLAGS_DURABLE) | (statement ? SES_FLAG_STATEMENT : 0u));
}

static enum ses_err add(struct recovery *r, const struct ses_index_row *row)
{
    struct ses_catalog *c = &r->store->catalog;
    const struct ses_catalog_new record = {.id = row->id,
                                           .digest = row->digest,
                                           .segment = row->segment,
                                           .ts_ms = row->ts_ms,
                                           .ns = row->ns,
                                           .flags = flags_of(row),
                                           .payload_bytes = row->payload_bytes};
    uint32_t entry;
    SES_TRY(ses_catalog_reserve(c, &record, &entry));
    const uint64_t epoch = row->admit_epoch < SES_EPOCH_MAX ? row->admit_epoch : SES_EPOCH_MAX;
    ses_catalog_commit(c, entry, row->seq, row->offset, (uint32_t)epoch);
    return (row->flags & SES_FLAG_PENDING) != 0 ? ses_catalog_owe(c, entry) : SES_OK;
}

static bool forgotten(const struct recovery *r, uint32_t hour)
{
    for (uint32_t i = 0; i < r->forget_cnt; i++) {
        if (r->forget[i] == hour) {
            return true;
        }
    }
    return false;
}

static enum ses_err each_row(void *cookie, const struct ses_index_row *row)
{
    struct recovery *r = cookie;
    struct ses_catalog *c = &r->store->catalog;
    uint32_t seg;
    uint32_t known;
    r->last_seq = row->seq > r->last_seq ? row->seq : r->last_seq;
    if (!ses_catalog_find_seg(c, &row->segment, &seg) || forgotten(r, row->segment.hour) ||
        (row->flags & SES_FLAG_DROPPED) != 0) {
        return SES_OK; /* the log has expired: its rows go with the day */
    }
    const uint64_t end = ses_catalog_seg(c, seg)->end;
    SES_REQUIRE(row->offset <= end && ses_record_cost(row->payload_bytes) <= end - row->offset,
                SES_ERR_CHECKSUM);
    SES_REQUIRE(!ses_catalog_find(c, &row->id, &known), SES_ERR_CHECKSUM);
    r->loaded++;
    return add(r, row);
}

static enum ses_err each_end(void *cookie, uint32_t hour, uint64_t end)
{
    struct recovery *r = cookie;
    const struct ses_segment segment = {.ttl_class = r->ttl_class, .hour = hour};
    uint32_t seg;
    if (!ses_catalog_find_seg(&r->store->catalog, &segment, &seg)) {
        return SES_OK;
    }
    if (end > r->sizes[seg]) {
        /* the log lost its end (a restored or lying disk): what is left is indexed anew */
        SES_REQUIRE(r->forget_cnt < DAY_HOURS, SES_ERR_CHECKSUM);
        r->forget[r->forget_cnt++] = hour;
        return SES_OK;
    }
    ses_catalog_seg(&r->store->catalog, seg)->end = end;
    return SES_OK;
}

static enum ses_err each_deletion(void *cookie, const struct ses_hash *statement,
                                  const struct ses_deletion *target)
{
    struct recovery *r = cookie;
    struct found_deletion found;
    memset(&found, 0, sizeof found);
    found.statement = *statement;
    found.target = *target;
    return ses_buf_append(&r->deletions, &found, sizeof found);
}

static enum ses_err load_in(struct recovery *r, struct ses_index *index)
{
    r->forget_cnt = 0;
    SES_TRY(ses_index_each_end(index, each_end, r));
    SES_TRY(ses_index_each(index, each_row, r));
    SES_TRY(ses_index_each_deletion(index, each_deletion, r));
    for (uint32_t i = 0; i < r->forget_cnt; i++) {
        SES_TRY(ses_index_forget(index, r->forget[i]));
    }
    return SES_OK;
}

/* Takes out of the catalog what a damaged index brought in. */
static enum ses_err unload(struct recovery *r, uint8_t ttl_class, uint32_t day)
{
    struct ses_catalog *c = &r->store->catalog;
    const uint32_t hours = ses_day_hours(ttl_class);
    for (uint32_t h = 0; h < hours; h++) {
        const struct ses_segment segment = {.ttl_class = ttl_class, .hour = day * hours + h};
        uint32_t seg;
        if (ses_catalog_find_seg(c, &segment, &seg)) {
            ses_catalog_seg(c, seg)->end = 0;
            const uint64_t size = r->sizes[seg];
            ses_catalog_drop_seg(c, seg);
            SES_TRY(ses_catalog_take_seg(c, &segment, &seg));
            r->sizes[seg] = size;
        }
    }
    return SES_OK;
}

static enum ses_err load(struct recovery *r, const struct found_index *found)
{
    struct ses_index *index = NULL;
    const struct ses_disk *disk = r->store->p.disk;
    char name[48];
    ses_index_name(name, found->ttl_class, found->day);
    r->ttl_class = found->ttl_class;
    const size_t deletions = r->deletions.len;
    enum ses_err err =
        ses_index_open(&index, disk, found->ttl_class, found->day, r->store->lane.instance);
    if (err == SES_OK) {
        err = load_in(r, index);
    }
    ses_index_free(index);
    if (err == SES_ERR_CHECKSUM) {
        ses_logf(r->store->p.log, SES_LOG_WARN, "storage",
                 "index %s is damaged or of another store: it is rebuilt from the logs", name);
        SES_TRY(unload(r, found->ttl_class, found->day));
        r->deletions.len = deletions;
        return ses_db_unlink(disk, name);
    }
    return err;
}

static enum ses_err load_all(struct recovery *r)
{
    const struct ses_disk *disk = r->store->p.disk;
    SES_TRY(disk->list(disk->ctx, "idx", each_index, r));
    SES_TRY(r->err);
    for (size_t at = 0; at < r->indexes.len; at += sizeof(struct found_index)) {
        struct found_index found;
        memcpy(&found, r->indexes.bytes + at, sizeof found);
        SES_TRY(load(r, &found));
    }
    return SES_OK;
}

/* ---- reading what the index lacks ---- */
/* What a statement in a log deletes: its bytes were verified when it came. */
static enum ses_err statement_targets(const struct ses_record *record,
                                      const struct ses_record_ids *ids,
                                      struct ses_deletion targets[SES_DELETIONS_MAX], uint8_t *cnt)
{
    struct ses_delete *statement = ses_alloc(1, sizeof *statement);
    SES_REQUIRE(statement != NULL, SES_ERR_MEMORY);
    *cnt = 0;
    const enum ses_err err = ses_delete_of_record(statement, record);
    for (uint16_t i = 0; err == SES_OK && i < statement->target_cnt; i++) {
        const struct ses_delete_target *t = &statement->targets[i];
        targets[*cnt] = (struct ses_deletion){.id = t->id,
                                              .ts_ms = t->header.ts_ms,
                                              .ns = t->header.ns,
                                              .ttl_class = t->header.ttl_class};
        *cnt = (uint8_t)(*cnt + ses_deletion_allowed(ids, &targets[*cnt]));
    }
    ses_free(statement);
    return SES_OK; /* what is no statement deletes nothing */
}

static enum ses_err scan_targets(struct recovery *r, const struct ses_log_record *record,
                                 struct ses_deletion targets[SES_DELETIONS_MAX], uint8_t *cnt)
{
    const struct ses_disk *disk = r->store->p.disk;
    const struct ses_place place = {.id = record->ids.id,
                                    .segment = record->ids.segment,
                                    .offset = record->offset,
                                    .payload_bytes = record->payload_bytes};
    uint8_t *bytes = ses_alloc(1, SES_RECORD_HEADER_BYTES + record->payload_bytes);
    struct ses_file *file = NULL;
    struct ses_record_ids ids;
    SES_REQUIRE(bytes != NULL, SES_ERR_MEMORY);
    enum ses_err err = ses_place_read(disk, &file, &place, bytes, &ids);
    if (err == SES_OK) {
        const struct ses_record view = {.header = bytes,
                                        .payload = bytes + SES_RECORD_HEADER_BYTES,
                                        .payload_bytes = record->payload_bytes};
        err = statement_targets(&view, &record->ids, targets, cnt);
    }
    for (uint8_t i = 0; err == SES_OK && i < *cnt; i++) {
        err = each_deletion(r, &record->ids.id, &targets[i]);
    }
    if (file != NULL) {
        disk->close(disk->ctx, file);
    }
    ses_free(bytes);
    return err;
}

static enum ses_err add_scanned(struct recovery *r, const struct ses_log_record *record)
{
    struct ses_store *store = r->store;
    uint32_t known;
    if (ses_catalog_find(&store->catalog, &record->ids.id, &known)) {
        return SES_OK;
    }
    struct ses_deletion targets[SES_DELETIONS_MAX];
    uint8_t target_cnt = 0;
    if (record->ids.header.kind == SES_RECORD_TOMBSTONE) {
        SES_TRY(scan_targets(r, record, targets, &target_cnt));
    }
    const unsigned owed = (record->stamp.flags & SES_FLAG_ENTRY) != 0 ? SES_FLAG_PENDING : 0u;
    const struct ses_index_row row = {.seq = store->next_seq++,
                                      .digest = record->ids.digest,
                                      .id = record->ids.id,
                                      .segment = record->ids.segment,
                                      .offset = record->offset,
                                      .ts_ms = record->ids.header.ts_ms,
                                      .admit_epoch = record->stamp.admit_epoch,
                                      .payload_bytes = record->payload_bytes,
                                      .ns = record->ids.header.ns,
                                      .kind = (uint8_t)record->ids.header.kind,
                                      .flags = (uint8_t)(record->stamp.flags | owed),
                                      .target_cnt = target_cnt,
                                      .targets = targets};
    const uint64_t end = record->offset + ses_record_cost(record->payload_bytes);
    SES_TRY(add(r, &row));
    SES_TRY(ses_lane_insert(&store->lane, &row, end));
    if (++r->scanned % COMMIT_ROWS == 0) {
        SES_TRY(ses_lane_commit(&store->lane));
    }
    return SES_OK;
}

static enum ses_err scan_records(struct recovery *r, struct ses_log_scan *scan)
{
    struct ses_log_record record;
    enum ses_err err = ses_log_scan_next(scan, &record);
    while (err == SES_OK) {
        SES_TRY(add_scanned(r, &record));
        err = ses_log_scan_next(scan, &record);
    }
    return err == SES_ERR_NOT_FOUND ? SES_OK : err;
}

static enum ses_err cut(struct recovery *r, struct ses_file *file, const struct ses_log_scan *scan)
{
    const struct ses_disk *disk = r->store->p.disk;
    const uint64_t tail = scan->size - scan->valid_end;
    r->damaged_bytes += scan->damaged_bytes - tail;
    if (tail == 0) {
        return SES_OK;
    }
    r->store->torn_tails++;
    ses_logf(r->store->p.log, SES_LOG_WARN, "storage",
             "an unfinished write was cut off class=%u hour=%u bytes=%llu",
             (unsigned)scan->segment.ttl_class, (unsigned)scan->segment.hour,
             (unsigned long long)tail);
    SES_TRY(disk->truncate(disk->ctx, file, scan->valid_end));
    return disk->sync(disk->ctx, file);
}

static enum ses_err scan_seg(struct recovery *r, struct ses_seg *seg)
{
    const struct ses_disk *disk = r->store->p.disk;
    struct ses_log_scan scan = {0};
    struct ses_file *file;
    SES_TRY(ses_lane_file(&r->store->lane, &seg->id, false, &file));
    /* what is found may be in the page cache only: it must be durable before it is promised */
    enum ses_err err = SES_MUTANT(RECOVERED_NOT_SYNCED) ? SES_OK : disk->sync(disk->ctx, file);
    if (err == SES_OK) {
        err = ses_log_scan_init(&scan, disk, file, &seg->id, &r->store->p.chain_id, seg->end);
    }
    if (err == SES_OK) {
        err = scan_records(r, &scan);
    }
    if (err == SES_OK) {
        err = cut(r, file, &scan);
    }
    seg->end = scan.valid_end;
    ses_log_scan_free(&scan);
    return err;
}

static enum ses_err scan_all(struct recovery *r)
{
    struct ses_catalog *c = &r->store->catalog;
    for (uint32_t i = 0; i < c->segs.used; i++) {
        struct ses_seg *seg = ses_catalog_seg(c, i);
        if (seg->used && r->sizes[i] > seg->end && !SES_MUTANT(LOGS_NOT_READ)) {
            SES_TRY(scan_seg(r, seg));
        }
        c->log_bytes += seg->used ? seg->end : 0;
    }
    return ses_lane_commit(&r->store->lane);
}

/* ---- deletes ---- */
static enum ses_err delete_one(struct recovery *r, const struct found_deletion *found)
{
    struct ses_catalog *c = &r->store->catalog;
    struct ses_segment segment;
    uint32_t at;
    ses_segment_of(&segment, found->target.ttl_class, found->target.ts_ms);
    const bool over = ses_segment_expires_ms(&segment) <= r->now_ms &&
                      !ses_catalog_find_seg(c, &segment, &at); /* nothing comes to it any more */
    if (over || !ses_catalog_find(c, &found->statement, &at)) {
        return SES_OK;
    }
    SES_TRY(ses_catalog_reserve_ghosts(c, &found->target, 1));
    (void)ses_catalog_delete(c, at, &found->target, ses_catalog_entry(c, at)->admit_epoch);
    ses_catalog_release_ghosts(c, 1);
    return SES_OK;
}

/* When everything is there: the order of statements and messages does not matter. */
static enum ses_err delete_all(struct recovery *r)
{
    const size_t len = SES_MUTANT(DELETES_FORGOTTEN) ? 0 : r->deletions.len;
    for (size_t at = 0; at < len; at += sizeof(struct found_deletion)) {
        struct found_deletion found;
        memcpy(&found, r->deletions.bytes + at, sizeof found);
        SES_TRY(delete_one(r, &found));
    }
    return SES_OK;
}

/* ---- all of it ---- */
/* Start number `boot`: its numbers are above everything that was ever given out, even if the index
 * forgot its last rows. */
static enum ses_err begin_boot(struct ses_store *store, uint64_t boot)
{
    SES_REQUIRE(boot < 1u << (63 - SEQ_BITS), SES_ERR_FULL);
    store->next_seq = SES_MUTANT(ARRIVALS_START_AGAIN) ? 1 : boot << SEQ_BITS;
    return SES_OK;
}

static enum ses_err open_meta(struct recovery *r)
{
    struct ses_store *store = r->store;
    struct ses_meta_start start;
    SES_TRY(ses_meta_open(&store->meta, &start, store->p.disk, store->p.random, r->note));
    memcpy(store->lane.instance, start.instance, sizeof start.instance);
    store->sealed = start.sealed;
    store->sealed_saved = start.sealed;
    store->synced = start.synced;
    return begin_boot(store, start.boot);
}

/* Rows of a start that meta.db has not counted: a copy of it was put back, or it lost the end of
 * its journal. Counting on from there would give numbers out twice, and what it forgot to have
 * sealed is not known any more: like a new one. */
static enum ses_err check_boot(struct recovery *r)
{
    struct ses_store *store = r->store;
    const uint64_t boot = (r->last_seq >> SEQ_BITS) + 1;
    if (r->last_seq < store->next_seq || SES_MUTANT(ARRIVALS_START_AGAIN)) {
        return SES_OK;
    }
    ses_logf(store->p.log, SES_LOG_WARN, "storage",
             "meta.db is older than the index: it was restored or damaged; this node commits to "
             "nothing before it has compared itself with its swarm");
    store->synced = false;
    store->sealed = -1;
    store->sealed_saved = -1;
    SES_TRY(begin_boot(store, boot));
    SES_TRY(ses_meta_set_u64(store->meta, SES_META_SEALED, UINT64_MAX));
    SES_TRY(ses_meta_set_u64(store->meta, SES_META_SYNCED, 0));
    return ses_meta_set_u64(store->meta, SES_META_BOOT, boot);
}

static enum ses_err run(struct recovery *r)
{
    struct ses_store *store = r->store;
    SES_TRY(make_dirs(store->p.disk));
    SES_TRY(open_meta(r));
    SES_TRY(ses_snapshots_load(store));
    SES_TRY(list_logs(r));
    SES_TRY(load_all(r));
    SES_TRY(check_boot(r));
    SES_TRY(scan_all(r));
    SES_TRY(delete_all(r));
    ses_catalog_sort(&store->catalog);
    return store->p.disk->space(store->p.disk->ctx, &store->free_bytes);
}

enum ses_err ses_store_recover(struct ses_store *store, struct ses_note *note)
{
    struct recovery *r = ses_alloc(1, sizeof *r);
    SES_REQUIRE(r != NULL, SES_ERR_MEMORY);
    r->store = store;
    r->note = note;
    r->now_ms = ses_now_ms(&store->p.loop->clock);
    for (uint8_t class = 0; class < SES_TTL_CLASS_CNT; class ++) {
        store->expired_day[class] = ses_expired_day(class, r->now_ms);
    }
    const enum ses_err err = run(r);
    if (err == SES_OK) {
        ses_logf(store->p.log, SES_LOG_INFO, "storage",
                 "opened records=%llu indexed_again=%llu torn_tails=%llu damaged_bytes=%llu",
                 (unsigned long long)store->catalog.record_cnt, (unsigned long long)r->scanned,
                 (unsigned long long)store->torn_tails, (unsigned long long)r->damaged_bytes);
    }
    ses_buf_free(&r->indexes);
    ses_buf_free(&r->deletions);
    ses_free(r);
    return err;
}
