/* The bytes behind the leaves: a chunk of one record with its path, and whole logs in bulk. */
#include <string.h>

#include "storage/storage_internal.h"

/* ---- chunks ---- */
struct chunk_job {
    uint32_t number;
    void (*on_done)(void *cookie, enum ses_err err, const struct ses_chunk *chunk);
    void *cookie;
};

static void chunk_hash(struct ses_hash *out, const uint8_t *payload, uint32_t len, uint32_t number)
{
    const uint32_t at = number * SES_CHUNK_BYTES;
    const uint32_t left = len - at;
    ses_b(out, SES_TAG_CHUNK,
          SES_PARTS(SES_PART(payload + at, left < SES_CHUNK_BYTES ? left : SES_CHUNK_BYTES)));
}

static enum ses_err open_chunk(struct ses_chunk *out, const struct ses_record_copy *record,
                               uint32_t number)
{
    struct ses_hash hashes[SES_CHUNKS_MAX];
    struct ses_hash path[SES_MT_PATH_MAX];
    size_t path_cnt;
    const uint32_t len = record->payload_bytes;
    const uint32_t cnt = (len + SES_CHUNK_BYTES - 1) / SES_CHUNK_BYTES;
    *out = (struct ses_chunk){.header_hash = record->ids.header_hash,
                              .payload_root = record->ids.payload_root,
                              .payload_bytes = len,
                              .number = (uint16_t)number,
                              .bytes = record->payload};
    if (len == 0 && number == 0) {
        return SES_OK; /* an empty payload is opened by the parts of its id alone */
    }
    SES_REQUIRE(number < cnt, SES_ERR_INVALID);
    for (uint32_t i = 0; i < cnt; i++) {
        chunk_hash(&hashes[i], record->payload, len, i);
    }
    ses_mt_path(path, &path_cnt, hashes, cnt, number);
    SES_ASSERT(path_cnt <= SES_CHUNK_PATH_MAX);
    const uint32_t left = len - number * SES_CHUNK_BYTES;
    out->bytes = record->payload + (size_t)number * SES_CHUNK_BYTES;
    out->len = (uint16_t)(left < SES_CHUNK_BYTES ? left : SES_CHUNK_BYTES);
    out->path_cnt = (uint8_t)path_cnt;
    memcpy(out->path, path, path_cnt * sizeof *path);
    return SES_OK;
}

static void chunk_read(void *cookie, enum ses_err err, const struct ses_record_copy *record)
{
    struct chunk_job *job = cookie;
    struct ses_chunk chunk;
    if (err == SES_OK) {
        err = open_chunk(&chunk, record, job->number);
    }
    job->on_done(job->cookie, err, err == SES_OK ? &chunk : NULL);
    ses_free(job);
}

enum ses_err ses_store_chunk(struct ses_store *store, const struct ses_hash *id, uint32_t number,
                             void (*on_done)(void *cookie, enum ses_err err,
                                             const struct ses_chunk *chunk),
                             void *cookie)
{
    uint32_t at;
    SES_TRY(ses_check_read(store));
    SES_REQUIRE(ses_catalog_find(&store->catalog, id, &at), SES_ERR_NOT_FOUND);
    const struct ses_entry *e = ses_catalog_entry(&store->catalog, at);
    SES_REQUIRE(e->state == SES_ENTRY_LIVE && e->admit_epoch != SES_EPOCH_NONE, SES_ERR_NOT_FOUND);
    if (ses_entry_deleted(e)) {
        /* the last snapshot that shows kind 0 is that of the epoch before the deletion's */
        SES_REQUIRE(
            e->admit_epoch < e->tomb_epoch &&
                ses_snapshot_open(store, e->tomb_epoch - 1, ses_now_ms(&store->p.loop->clock)),
            SES_ERR_NOT_FOUND);
    }
    struct chunk_job *job = ses_alloc(1, sizeof *job);
    SES_REQUIRE(job != NULL, SES_ERR_MEMORY);
    *job = (struct chunk_job){.number = number, .on_done = on_done, .cookie = cookie};
    const enum ses_err err = ses_read_entry(store, at, chunk_read, job);
    if (err != SES_OK) {
        ses_free(job);
    }
    return err;
}

/* ---- bulk ---- */
#define FRAME_HEAD_BYTES (SES_RECORD_HEADER_BYTES + 4u)
struct bulk_item {
    struct ses_hash id;
    uint64_t offset;
    size_t at; /* in the page */
    size_t len;
};
struct bulk_job {
    struct ses_store *store;
    struct ses_segment segment;
    uint64_t end; /* of the log, when asked */
    size_t bytes_max;
    struct ses_buf items; /* of struct bulk_item */
    struct ses_buf page;
    struct ses_bulk_result result;
    void (*on_done)(void *cookie, const struct ses_bulk_result *result);
    void *cookie;
};

static enum ses_err append(struct bulk_job *job, struct ses_file *file,
                           const struct ses_log_record *record)
{
    const struct ses_disk *disk = job->store->p.disk;
    const size_t len = FRAME_HEAD_BYTES + record->payload_bytes;
    struct bulk_item item;
    memset(&item, 0, sizeof item);
    item.id = record->ids.id;
    item.offset = record->offset;
    item.at = job->page.len;
    item.len = len;
    SES_TRY(ses_buf_reserve(&job->page, len));
    uint8_t *to = job->page.bytes + job->page.len;
    SES_TRY(disk->read(disk->ctx, file, record->offset + SES_LOG_PREFIX_BYTES, to,
                       SES_RECORD_HEADER_BYTES));
    ses_put_u32(to + SES_RECORD_HEADER_BYTES, record->payload_bytes);
    SES_TRY(disk->read(disk->ctx, file, record->offset + SES_LOG_HEAD_BYTES, to + FRAME_HEAD_BYTES,
                       record->payload_bytes));
    job->page.len += len;
    return ses_buf_append(&job->items, &item, sizeof item);
}

static enum ses_err scan(struct bulk_job *job, struct ses_file *file)
{
    struct ses_log_scan scan = {0};
    struct ses_log_record record;
    enum ses_err err = ses_log_scan_init(&scan, job->store->p.disk, file, &job->segment,
                                         &job->store->p.chain_id, job->result.next);
    scan.size = scan.size < job->end ? scan.size : job->end;
    while (err == SES_OK) {
        err = ses_log_scan_next(&scan, &record);
        const size_t len = FRAME_HEAD_BYTES + record.payload_bytes;
        if (err == SES_OK && job->page.len > 0 && job->page.len + len > job->bytes_max) {
            job->result.more = true;
            break;
        }
        if (err == SES_OK) {
            err = append(job, file, &record);
            job->result.next = scan.at;
        }
    }
    if (err == SES_ERR_NOT_FOUND) {
        job->result.next = job->end;
        err = SES_OK;
    }
    ses_log_scan_free(&scan);
    return err;
}

static void bulk_run(void *cookie)
{
    struct bulk_job *job = cookie;
    const struct ses_disk *disk = job->store->p.disk;
    struct ses_file *file = NULL;
    char path[48];
    ses_segment_path(path, &job->segment);
    job->result.err = disk->open(disk->ctx, path, false, &file);
    if (job->result.err == SES_OK) {
        job->result.err = scan(job, file);
        disk->close(disk->ctx, file);
    }
}

/* What the catalog does not know at that place, or knows to be deleted, is taken out. */
static void filter(struct bulk_job *job)
{
    const struct ses_catalog *c = &job->store->catalog;
    size_t kept = 0;
    for (size_t i = 0; i < job->items.len; i += sizeof(struct bulk_item)) {
        struct bulk_item item;
        uint32_t at;
        memcpy(&item, job->items.bytes + i, sizeof item);
        if (!ses_catalog_find(c, &item.id, &at)) {
            continue;
        }
        const struct ses_entry *e = ses_catalog_entry(c, at);
        if (e->state == SES_ENTRY_LIVE && !ses_entry_deleted(e) && e->offset == item.offset) {
            memmove(job->page.bytes + kept, job->page.bytes + item.at, item.len);
            kept += item.len;
            job->result.record_cnt++;
        }
    }
    job->page.len = kept;
}

static void bulk_done(void *cookie)
{
    struct bulk_job *job = cookie;
    struct ses_store *store = job->store;
    if (job->result.err == SES_OK) {
        filter(job);
        job->result.records = job->page.bytes;
        job->result.len = job->page.len;
    }
    store->read_cnt--;
    job->on_done(job->cookie, &job->result);
    ses_buf_free(&job->items);
    ses_buf_free(&job->page);
    ses_free(job);
    ses_store_settle(store);
}

enum ses_err ses_store_bulk(struct ses_store *store, const struct ses_segment *segment,
                            uint64_t offset, size_t bytes_max,
                            void (*on_done)(void *cookie, const struct ses_bulk_result *result),
                            void *cookie)
{
    const struct ses_loop *loop = store->p.loop;
    uint32_t at;
    SES_TRY(ses_check_read(store));
    SES_REQUIRE(ses_catalog_find_seg(&store->catalog, segment, &at), SES_ERR_NOT_FOUND);
    const struct ses_seg *seg = ses_catalog_seg(&store->catalog, at);
    SES_REQUIRE(seg->end > 0 && seg->expires_ms > ses_now_ms(&loop->clock), SES_ERR_NOT_FOUND);
    struct bulk_job *job = ses_alloc(1, sizeof *job);
    SES_REQUIRE(job != NULL, SES_ERR_MEMORY);
    *job = (struct bulk_job){.store = store,
                             .segment = *segment,
                             .end = seg->end,
                             .bytes_max =
                                 bytes_max < SES_BULK_BYTES_MAX ? bytes_max : SES_BULK_BYTES_MAX,
                             .on_done = on_done,
                             .cookie = cookie};
    job->result.next = offset < seg->end ? offset : seg->end;
    const enum ses_err err = loop->work(loop->ctx, bulk_run, bulk_done, job);
    if (err != SES_OK) {
        ses_free(job);
        return err;
    }
    store->read_cnt++;
    return SES_OK;
}
