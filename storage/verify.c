/* A whole check of a store that no process uses: every log from its first byte to its last, every
 * row of every index against the record that it names, and SQLite's own check of each database.
 * Nothing is repaired; opening a database takes over what its last writer had committed, as any
 * start does. One day of one class is held in memory at a time, about 100 bytes a record. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/db.h"
#include "storage/storage_internal.h"

#define DAY_HOURS 24u
#define META_NAME "meta.db"

/* What a log holds. */
struct found {
    struct ses_hash id;
    uint64_t offset;
    uint64_t ts_ms;
    uint64_t admit_epoch;
    uint32_t hour;
    uint32_t payload_bytes;
    bool indexed;
};
struct verify {
    const struct ses_verify_params *p;
    struct ses_verify_report *out;
    uint8_t instance[8];
    enum ses_err err;     /* of a callback that cannot return one */
    uint8_t ttl_class;    /* of what is listed, or of the day */
    uint32_t day;         /* being checked */
    struct ses_buf logs;  /* of struct ses_segment, sorted */
    struct ses_buf days;  /* of struct ses_segment whose hour is the first of the day, sorted */
    struct ses_buf found; /* of the day, in order of hour and offset */
    uint64_t valid_end[DAY_HOURS];
    uint64_t indexed_end[DAY_HOURS];
};

static void damage(struct verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void damage(struct verify *v, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->out->damage_cnt++;
    v->p->on_damage(v->p->cookie, text);
}

/* ---- what is there ---- */
static int compare_segments(const void *a, const void *b)
{
    const struct ses_segment *x = a;
    const struct ses_segment *y = b;
    if (x->ttl_class != y->ttl_class) {
        return x->ttl_class < y->ttl_class ? -1 : 1;
    }
    return x->hour < y->hour ? -1 : x->hour > y->hour;
}

static void sort_segments(struct ses_buf *list)
{
    if (list->len > 0) {
        qsort(list->bytes, list->len / sizeof(struct ses_segment), sizeof(struct ses_segment),
              compare_segments);
    }
}

static enum ses_err add_day(struct verify *v, uint8_t ttl_class, uint32_t day)
{
    struct ses_segment key;
    memset(&key, 0, sizeof key);
    key.ttl_class = ttl_class;
    key.hour = day * ses_day_hours(ttl_class);
    for (size_t at = 0; at < v->days.len; at += sizeof key) {
        if (compare_segments(v->days.bytes + at, &key) == 0) {
            return SES_OK;
        }
    }
    return ses_buf_append(&v->days, &key, sizeof key);
}

static void each_log(void *cookie, const char *name)
{
    struct verify *v = cookie;
    struct ses_segment segment;
    memset(&segment, 0, sizeof segment);
    segment.ttl_class = v->ttl_class;
    if (!ses_log_name_parse(name, &segment.hour)) {
        damage(v, "seg/%u/%.100s is no log of a store", (unsigned)v->ttl_class, name);
        return;
    }
    if (v->err == SES_OK) {
        v->err = ses_buf_append(&v->logs, &segment, sizeof segment);
    }
    if (v->err == SES_OK) {
        v->err = add_day(v, segment.ttl_class, ses_day_of(&segment));
    }
}

static void each_index(void *cookie, const char *name)
{
    struct verify *v = cookie;
    uint8_t ttl_class;
    uint32_t day;
    if (v->err == SES_OK && ses_index_name_parse(name, &ttl_class, &day)) {
        v->out->index_cnt++;
        v->err = add_day(v, ttl_class, day);
    }
}

static enum ses_err list_dir(struct verify *v, const char *dir,
                             void (*each)(void *cookie, const char *name))
{
    const struct ses_disk *disk = v->p->disk;
    const enum ses_err err = disk->list(disk->ctx, dir, each, v);
    return err == SES_OK ? v->err : err == SES_ERR_NOT_FOUND ? SES_OK : err;
}

static enum ses_err list_all(struct verify *v)
{
    static const char *const dirs[] = {"seg/0", "seg/1", "seg/2", "seg/3", "seg/4"};
    _Static_assert(SES_COUNT(dirs) == SES_TTL_CLASS_CNT, "one folder a class");
    for (v->ttl_class = 0; v->ttl_class < SES_TTL_CLASS_CNT; v->ttl_class++) {
        SES_TRY(list_dir(v, dirs[v->ttl_class], each_log));
    }
    SES_TRY(list_dir(v, "idx", each_index));
    sort_segments(&v->logs);
    sort_segments(&v->days);
    return SES_OK;
}

static bool exists(const struct ses_disk *disk, const char *path)
{
    struct ses_file *file;
    if (disk->open(disk->ctx, path, false, &file) != SES_OK) {
        return false;
    }
    disk->close(disk->ctx, file);
    return true;
}

/* ---- databases ---- */
static enum ses_err check_pages(struct verify *v, sqlite3 *db, const char *name)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    enum ses_err err = ses_db_prepare(db, &stmt, "PRAGMA integrity_check(1)");
    if (err == SES_OK) {
        err = ses_db_step(stmt, &row);
    }
    const char *text = row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    const bool ok = text != NULL && strcmp(text, "ok") == 0;
    if (err == SES_ERR_CHECKSUM || (err == SES_OK && !ok)) {
        damage(v, "%s: %.150s", name, text != NULL ? text : "SQLite cannot read it");
        err = SES_OK;
    }
    sqlite3_finalize(stmt);
    return err;
}

static enum ses_err read_instance(struct verify *v, sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    SES_TRY(ses_db_prepare(db, &stmt, "SELECT value FROM value WHERE key = 'storage.instance'"));
    enum ses_err err = ses_db_step(stmt, &row);
    if (err == SES_OK && (!row || !ses_db_blob(stmt, 0, v->instance, sizeof v->instance))) {
        err = SES_ERR_CHECKSUM;
    }
    sqlite3_finalize(stmt);
    return err;
}

static enum ses_err check_meta_in(struct verify *v, sqlite3 *db)
{
    uint64_t version;
    SES_TRY(check_pages(v, db, META_NAME));
    SES_TRY(ses_db_version(db, &version));
    if (version != SES_META_VERSION && version != 1) {
        ses_note_set(v->p->note,
                     "the data directory has format %llu and this program knows format %u: use the "
                     "version that wrote it",
                     (unsigned long long)version, SES_META_VERSION);
        return SES_ERR_VERSION;
    }
    return read_instance(v, db);
}

static enum ses_err check_meta(struct verify *v)
{
    sqlite3 *db = NULL;
    if (!exists(v->p->disk, META_NAME)) {
        if (v->logs.len > 0) {
            damage(v, META_NAME " is missing: the next start counts as a new store");
        }
        return SES_OK;
    }
    enum ses_err err = ses_db_open(&db, v->p->disk, META_NAME, true);
    if (err == SES_OK) {
        err = check_meta_in(v, db);
        ses_db_close(db);
    }
    if (err == SES_ERR_CHECKSUM) {
        damage(v, META_NAME " is damaged: it must come back from a backup");
        err = SES_OK;
    }
    return err;
}

/* ---- logs ---- */
static enum ses_err take_record(struct verify *v, const struct ses_log_record *record)
{
    struct found f;
    memset(&f, 0, sizeof f);
    f.id = record->ids.id;
    f.offset = record->offset;
    f.ts_ms = record->ids.header.ts_ms;
    f.admit_epoch = record->stamp.admit_epoch;
    f.hour = record->ids.segment.hour;
    f.payload_bytes = record->payload_bytes;
    v->out->record_cnt++;
    return ses_buf_append(&v->found, &f, sizeof f);
}

static enum ses_err scan_records(struct verify *v, struct ses_log_scan *scan)
{
    struct ses_log_record record;
    enum ses_err err = ses_log_scan_next(scan, &record);
    while (err == SES_OK) {
        SES_TRY(take_record(v, &record));
        err = ses_log_scan_next(scan, &record);
    }
    return err == SES_ERR_NOT_FOUND ? SES_OK : err;
}

static enum ses_err scan_log(struct verify *v, const struct ses_segment *segment)
{
    const struct ses_disk *disk = v->p->disk;
    struct ses_log_scan scan = {0};
    struct ses_file *file;
    char path[48];
    ses_segment_path(path, segment);
    SES_TRY(disk->open(disk->ctx, path, false, &file));
    enum ses_err err = ses_log_scan_init(&scan, disk, file, segment, &v->p->chain_id, 0);
    if (err == SES_OK) {
        err = scan_records(v, &scan);
    }
    disk->close(disk->ctx, file);
    const uint64_t tail = scan.size - scan.valid_end;
    const uint64_t between = scan.damaged_bytes - tail;
    v->valid_end[segment->hour % DAY_HOURS] = scan.valid_end;
    v->out->log_cnt++;
    v->out->log_bytes += scan.size;
    v->out->tail_bytes += tail;
    if (err == SES_OK && between > 0) {
        damage(v, "%s: %llu damaged bytes between records", path, (unsigned long long)between);
    }
    ses_log_scan_free(&scan);
    return err;
}

static enum ses_err scan_day(struct verify *v)
{
    const struct ses_segment *logs = (const struct ses_segment *)(const void *)v->logs.bytes;
    for (size_t i = 0; i < v->logs.len / sizeof *logs; i++) {
        if (logs[i].ttl_class == v->ttl_class && ses_day_of(&logs[i]) == v->day) {
            SES_TRY(scan_log(v, &logs[i]));
        }
    }
    return SES_OK;
}

/* ---- index ---- */
static struct found *find(struct verify *v, uint32_t hour, uint64_t offset)
{
    struct found *list = (struct found *)(void *)v->found.bytes;
    size_t low = 0;
    size_t high = v->found.len / sizeof *list;
    while (low < high) {
        const size_t at = low + (high - low) / 2;
        if (list[at].hour < hour || (list[at].hour == hour && list[at].offset < offset)) {
            low = at + 1;
        } else {
            high = at;
        }
    }
    const bool hit =
        low < v->found.len / sizeof *list && list[low].hour == hour && list[low].offset == offset;
    return hit ? &list[low] : NULL;
}

static bool expired(const struct verify *v, uint32_t hour)
{
    const struct ses_segment segment = {.ttl_class = v->ttl_class, .hour = hour};
    return ses_segment_expires_ms(&segment) <= v->p->now_ms;
}

static enum ses_err each_end(void *cookie, uint32_t hour, uint64_t end)
{
    struct verify *v = cookie;
    v->indexed_end[hour % DAY_HOURS] = end;
    if (end > v->valid_end[hour % DAY_HOURS] && !expired(v, hour)) {
        damage(v, "seg/%u/%u.log lost its end: it was indexed up to %llu, it is whole up to %llu",
               (unsigned)v->ttl_class, (unsigned)hour, (unsigned long long)end,
               (unsigned long long)v->valid_end[hour % DAY_HOURS]);
    }
    return SES_OK;
}

static enum ses_err each_row(void *cookie, const struct ses_index_row *row)
{
    struct verify *v = cookie;
    struct found *f = find(v, row->segment.hour, row->offset);
    if (f == NULL && (expired(v, row->segment.hour) || (row->flags & SES_FLAG_DROPPED) != 0)) {
        return SES_OK; /* its log went first, or it was erased */
    }
    /* an earlier admission, by those that vouched for the record, stands in the index only */
    if (f == NULL || memcmp(f->id.bytes, row->id.bytes, sizeof f->id.bytes) != 0 ||
        f->ts_ms != row->ts_ms || f->admit_epoch < row->admit_epoch ||
        f->payload_bytes != row->payload_bytes) {
        damage(v, "seg/%u/%u.log has no such record as its index names at %llu",
               (unsigned)v->ttl_class, (unsigned)row->segment.hour,
               (unsigned long long)row->offset);
        return SES_OK;
    }
    f->indexed = true;
    return SES_OK;
}

static enum ses_err check_index(struct verify *v, const char *name)
{
    struct ses_index *index = NULL;
    enum ses_err err = ses_index_open(&index, v->p->disk, v->ttl_class, v->day, v->instance);
    if (err == SES_OK) {
        err = check_pages(v, index->db, name);
    }
    if (err == SES_OK) {
        err = ses_index_each_end(index, each_end, v);
    }
    if (err == SES_OK) {
        err = ses_index_each(index, each_row, v);
    }
    ses_index_free(index);
    if (err == SES_ERR_CHECKSUM) {
        damage(v, "%s is damaged or of another store: the next start builds it anew", name);
        err = SES_OK;
    }
    return err;
}

/* Records that no row names: new ones stand behind what was indexed. */
static void count_unindexed(struct verify *v)
{
    const struct found *list = (const struct found *)(const void *)v->found.bytes;
    for (size_t i = 0; i < v->found.len / sizeof *list; i++) {
        if (list[i].indexed) {
            continue;
        }
        if (list[i].offset >= v->indexed_end[list[i].hour % DAY_HOURS]) {
            v->out->unindexed_cnt++;
        } else {
            damage(v, "seg/%u/%u.log: the record at %llu is missing in the index",
                   (unsigned)v->ttl_class, (unsigned)list[i].hour,
                   (unsigned long long)list[i].offset);
        }
    }
}

static enum ses_err check_day(struct verify *v, const struct ses_segment *first)
{
    char name[48];
    v->ttl_class = first->ttl_class;
    v->day = ses_day_of(first);
    v->found.len = 0;
    memset(v->valid_end, 0, sizeof v->valid_end);
    memset(v->indexed_end, 0, sizeof v->indexed_end);
    ses_index_name(name, v->ttl_class, v->day);
    SES_TRY(scan_day(v));
    if (exists(v->p->disk, name)) {
        SES_TRY(check_index(v, name));
    }
    count_unindexed(v);
    return SES_OK;
}

static enum ses_err run(struct verify *v)
{
    SES_TRY(list_all(v));
    SES_TRY(check_meta(v));
    const struct ses_segment *days = (const struct ses_segment *)(const void *)v->days.bytes;
    for (size_t i = 0; i < v->days.len / sizeof *days; i++) {
        SES_TRY(check_day(v, &days[i]));
    }
    return SES_OK;
}

enum ses_err ses_store_verify(struct ses_verify_report *out, const struct ses_verify_params *params)
{
    struct verify v = {.p = params, .out = out};
    *out = (struct ses_verify_report){0};
    ses_note_set(params->note, "%s", "");
    const enum ses_err err = run(&v);
    if (err != SES_OK && params->note->text[0] == '\0') {
        ses_note_set(params->note, "the store in %s cannot be read: %s", params->disk->root,
                     ses_err_text(err));
    }
    ses_buf_free(&v.logs);
    ses_buf_free(&v.days);
    ses_buf_free(&v.found);
    return err;
}
