/* Reading: places are looked up on the loop's thread, bytes are read and checked on a worker. */
#include <string.h>

#include "storage/storage_internal.h"

#define READ_FILES 8u
#define RECORD_FRAME_BYTES (SES_RECORD_HEADER_BYTES + 4u)

void ses_place_of(struct ses_place *out, const struct ses_catalog *catalog, uint32_t entry)
{
    const struct ses_entry *e = ses_catalog_entry(catalog, entry);
    *out = (struct ses_place){.id = e->id,
                              .segment = ses_catalog_seg(catalog, e->segment)->id,
                              .offset = e->offset,
                              .seq = e->seq,
                              .payload_bytes = e->payload_bytes};
}

enum ses_err ses_place_read(const struct ses_disk *disk, struct ses_file **file,
                            const struct ses_place *place, uint8_t *out, struct ses_record_ids *ids)
{
    if (*file == NULL) {
        char path[48];
        ses_segment_path(path, &place->segment);
        SES_TRY(disk->open(disk->ctx, path, false, file));
    }
    const size_t len = SES_RECORD_HEADER_BYTES + place->payload_bytes;
    const enum ses_err err =
        disk->read(disk->ctx, *file, place->offset + SES_LOG_PREFIX_BYTES, out, len);
    SES_REQUIRE(err != SES_ERR_TRUNCATED, SES_ERR_CHECKSUM);
    SES_TRY(err);
    const struct ses_record record = {.header = out,
                                      .payload = out + SES_RECORD_HEADER_BYTES,
                                      .payload_bytes = place->payload_bytes};
    SES_REQUIRE(ses_record_identify(ids, &record) == SES_OK, SES_ERR_CHECKSUM);
    SES_REQUIRE(memcmp(ids->id.bytes, place->id.bytes, 32) == 0, SES_ERR_CHECKSUM);
    return SES_OK;
}

/* The last few log files that a job had open. */
struct read_files {
    struct ses_segment segment[READ_FILES];
    struct ses_file *file[READ_FILES];
    uint32_t next;
};

static struct ses_file **read_file(struct read_files *files, const struct ses_disk *disk,
                                   const struct ses_segment *segment)
{
    for (uint32_t i = 0; i < READ_FILES; i++) {
        if (files->file[i] != NULL && files->segment[i].hour == segment->hour &&
            files->segment[i].ttl_class == segment->ttl_class) {
            return &files->file[i];
        }
    }
    const uint32_t at = files->next++ % READ_FILES;
    if (files->file[at] != NULL) {
        disk->close(disk->ctx, files->file[at]);
        files->file[at] = NULL;
    }
    files->segment[at] = *segment;
    return &files->file[at];
}

static void close_files(struct read_files *files, const struct ses_disk *disk)
{
    for (uint32_t i = 0; i < READ_FILES; i++) {
        if (files->file[i] != NULL) {
            disk->close(disk->ctx, files->file[i]);
        }
    }
}

/* ---- pages ---- */
struct page_job {
    struct ses_store *store;
    struct ses_cursor next;
    bool more;
    uint32_t place_cnt;
    uint16_t record_cnt;
    enum ses_err err;
    uint8_t *frame;
    size_t cap;
    size_t len;
    void (*on_done)(void *cookie, const struct ses_page_result *result);
    void *cookie;
    struct ses_place places[];
};

/* Header, length, payload: read one piece early so that the header only moves. */
static enum ses_err append_record(struct page_job *job, struct read_files *files,
                                  const struct ses_place *place)
{
    const struct ses_disk *disk = job->store->p.disk;
    const size_t len = RECORD_FRAME_BYTES + place->payload_bytes;
    SES_ASSERT(len <= job->cap - job->len);
    uint8_t *at = job->frame + job->len;
    struct ses_file **file = read_file(files, disk, &place->segment);
    struct ses_record_ids ids;
    SES_TRY(ses_place_read(disk, file, place, at + 4, &ids));
    memmove(at, at + 4, SES_RECORD_HEADER_BYTES);
    ses_put_u32(at + SES_RECORD_HEADER_BYTES, place->payload_bytes);
    job->len += len;
    job->record_cnt++;
    return SES_OK;
}

static enum ses_err fill_frame(struct page_job *job, struct read_files *files)
{
    job->len = SES_PAGE_HEADER_BYTES;
    for (uint32_t i = 0; i < job->place_cnt; i++) {
        const enum ses_err err = append_record(job, files, &job->places[i]);
        /* damaged, or expired in between: left out, and the cursor goes on */
        job->places[i].damaged = err == SES_ERR_CHECKSUM;
        if (err != SES_OK && err != SES_ERR_CHECKSUM && err != SES_ERR_NOT_FOUND) {
            return err;
        }
    }
    const struct ses_page page = {.flags =
                                      job->more && !SES_MUTANT(MORE_FORGOTTEN) ? SES_PAGE_MORE : 0,
                                  .next = job->next,
                                  .record_cnt = job->record_cnt};
    struct ses_writer w;
    ses_writer_init(&w, job->frame, SES_PAGE_HEADER_BYTES);
    ses_page_write(&w, &page);
    return ses_writer_done(&w);
}

static void page_run(void *cookie)
{
    struct page_job *job = cookie;
    struct read_files files = {0};
    job->err = fill_frame(job, &files);
    close_files(&files, job->store->p.disk);
}

bool ses_place_damaged(struct ses_store *store, const struct ses_place *place)
{
    uint32_t at;
    if (!ses_catalog_find(&store->catalog, &place->id, &at)) {
        return false; /* expired in between */
    }
    struct ses_entry *e = ses_catalog_entry(&store->catalog, at);
    if (e->state != SES_ENTRY_LIVE || e->offset != place->offset ||
        e->admit_epoch == SES_EPOCH_NONE) {
        return false; /* stored again, or erased */
    }
    store->corrupt_reads++;
    if ((e->flags & SES_FLAG_DAMAGED) != 0) {
        return false;
    }
    if (store->on_damage != NULL &&
        !store->on_damage(store->damage_cookie, &place->id, &place->segment)) {
        return false; /* found again, it is told again */
    }
    e->flags |= SES_FLAG_DAMAGED;
    ses_logf(store->p.log, SES_LOG_ERROR, "storage",
             "a record on disk is damaged: check the disk class=%u hour=%u offset=%llu",
             (unsigned)place->segment.ttl_class, (unsigned)place->segment.hour,
             (unsigned long long)place->offset);
    return true;
}

static void page_done(void *cookie)
{
    struct page_job *job = cookie;
    struct ses_store *store = job->store;
    for (uint32_t i = 0; i < job->place_cnt; i++) {
        if (job->places[i].damaged) {
            (void)ses_place_damaged(store, &job->places[i]);
        }
    }
    const struct ses_page_result result = {.err = job->err,
                                           .frame = job->frame,
                                           .len = job->err == SES_OK ? job->len : 0,
                                           .record_cnt = job->record_cnt,
                                           .more = job->more,
                                           .next = job->next};
    store->read_cnt--;
    job->on_done(job->cookie, &result);
    ses_free(job->frame);
    ses_free(job);
    ses_store_settle(store);
}

/* The seq behind which to go on; 0 for a cursor that another store gave, or that this one cannot
 * have given: from the beginning, so that nothing is skipped. */
static uint64_t seq_after(const struct ses_store *store, const struct ses_cursor *cursor)
{
    const uint64_t seq = ses_get_u64(cursor->bytes + 8);
    const bool ours = memcmp(cursor->bytes, store->lane.instance, 8) == 0;
    return ours && seq < store->next_seq ? seq : 0;
}

static void cursor_of(struct ses_cursor *out, const struct ses_store *store, uint64_t seq)
{
    memcpy(out->bytes, store->lane.instance, 8);
    ses_put_u64(out->bytes + 8, seq);
}

/* Pages hold messages that have neither expired nor been deleted. */
static bool shown(const struct ses_store *store, const struct ses_entry *e, uint64_t now_ms)
{
    const bool live = ses_catalog_seg(&store->catalog, e->segment)->expires_ms > now_ms;
    return (live || SES_MUTANT(EXPIRED_SERVED)) && !ses_entry_deleted(e) &&
           (e->flags & SES_FLAG_STATEMENT) == 0;
}

static bool later(const struct ses_catalog *c, const struct ses_entry *a, const struct ses_entry *b)
{
    const uint64_t x = ses_entry_ts_ms(c, a);
    const uint64_t y = ses_entry_ts_ms(c, b);
    return x != y ? x > y : memcmp(a->id.bytes, b->id.bytes, 32) > 0;
}

/* The greatest (ts_ms, id) of a box that has not expired; SES_NONE if there is none. */
static uint32_t newest(const struct ses_store *store, const struct ses_box *box)
{
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    uint32_t best = SES_NONE;
    for (uint32_t i = 0; i < box->cnt; i++) {
        const struct ses_entry *e = ses_catalog_entry(&store->catalog, box->list[i]);
        const struct ses_entry *b =
            best != SES_NONE ? ses_catalog_entry(&store->catalog, best) : NULL;
        if (shown(store, e, now_ms) && (b == NULL || later(&store->catalog, e, b))) {
            best = box->list[i];
        }
    }
    return best;
}

static uint32_t record_limit(const struct ses_retrieve *ask)
{
    const uint32_t max = ask->record_max;
    return max == 0 ? 1 : max < SES_RETRIEVE_RECORDS_MAX ? max : SES_RETRIEVE_RECORDS_MAX;
}

static uint64_t byte_limit(const struct ses_retrieve *ask)
{
    return ask->bytes_max < SES_FRAME_BYTES_MAX ? ask->bytes_max : SES_FRAME_BYTES_MAX;
}

static void pick_in_order(const struct ses_store *store, struct page_job *job,
                          const struct ses_retrieve *ask, const struct ses_box *box)
{
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    uint32_t at = ses_catalog_after(&store->catalog, box, seq_after(store, &ask->after));
    for (; at < box->cnt; at++) {
        const struct ses_entry *e = ses_catalog_entry(&store->catalog, box->list[at]);
        const uint64_t len = RECORD_FRAME_BYTES + (uint64_t)e->payload_bytes;
        if (shown(store, e, now_ms)) {
            job->more = job->place_cnt == record_limit(ask) ||
                        (job->place_cnt > 0 && job->cap + len > byte_limit(ask));
            if (job->more) {
                return;
            }
            ses_place_of(&job->places[job->place_cnt++], &store->catalog, box->list[at]);
            job->cap += len;
        }
        cursor_of(&job->next, store, e->seq + (SES_MUTANT(CURSOR_OFF_BY_ONE) ? 1 : 0));
    }
}

static void pick_newest(const struct ses_store *store, struct page_job *job,
                        const struct ses_retrieve *ask, const struct ses_box *box)
{
    const uint32_t best = newest(store, box);
    const uint64_t after = seq_after(store, &ask->after);
    if (best != SES_NONE && ses_catalog_entry(&store->catalog, best)->seq > after) {
        ses_place_of(&job->places[job->place_cnt++], &store->catalog, best);
        job->cap += RECORD_FRAME_BYTES + (uint64_t)job->places[0].payload_bytes;
    }
    if (box->cnt > 0) {
        const struct ses_entry *last = ses_catalog_entry(&store->catalog, box->list[box->cnt - 1]);
        cursor_of(&job->next, store, last->seq > after ? last->seq : after);
    }
}

static void pick(const struct ses_store *store, struct page_job *job,
                 const struct ses_retrieve *ask)
{
    struct ses_hash digest;
    uint32_t at;
    ses_inbox_digest(&digest, &ask->inbox);
    cursor_of(&job->next, store, seq_after(store, &ask->after));
    job->cap = SES_PAGE_HEADER_BYTES;
    if (!ses_catalog_find_box(&store->catalog, &digest, ask->ns, &at)) {
        return;
    }
    const struct ses_box *box = ses_catalog_box(&store->catalog, at);
    if (ses_ns_public_outbox(ask->ns)) {
        pick_newest(store, job, ask, box);
    } else {
        pick_in_order(store, job, ask, box);
    }
}

static enum ses_err start_page(struct ses_store *store, struct page_job *job)
{
    const struct ses_loop *loop = store->p.loop;
    job->frame = ses_alloc(1, job->cap);
    SES_REQUIRE(job->frame != NULL, SES_ERR_MEMORY);
    SES_TRY(loop->work(loop->ctx, page_run, page_done, job));
    store->read_cnt++;
    return SES_OK;
}

enum ses_err ses_store_page(struct ses_store *store, const struct ses_retrieve *ask,
                            void (*on_done)(void *cookie, const struct ses_page_result *result),
                            void *cookie)
{
    SES_REQUIRE(store->phase == SES_PHASE_OPEN, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(store->read_cnt < SES_READS_MAX, SES_ERR_FULL);
    struct page_job *job = ses_alloc(1, sizeof *job + record_limit(ask) * sizeof(struct ses_place));
    SES_REQUIRE(job != NULL, SES_ERR_MEMORY);
    job->store = store;
    job->on_done = on_done;
    job->cookie = cookie;
    pick(store, job, ask);
    const enum ses_err err = start_page(store, job);
    if (err != SES_OK) {
        ses_free(job->frame);
        ses_free(job);
    }
    return err;
}

/* ---- single records ---- */
struct get_job {
    struct ses_store *store;
    struct ses_place place;
    struct ses_record_ids ids;
    enum ses_err err;
    void (*on_done)(void *cookie, enum ses_err err, const struct ses_record_copy *record);
    void *cookie;
    uint8_t bytes[]; /* header, payload */
};

static void get_run(void *cookie)
{
    struct get_job *job = cookie;
    const struct ses_disk *disk = job->store->p.disk;
    struct ses_file *file = NULL;
    job->err = ses_place_read(disk, &file, &job->place, job->bytes, &job->ids);
    if (file != NULL) {
        disk->close(disk->ctx, file);
    }
}

static void get_done(void *cookie)
{
    struct get_job *job = cookie;
    struct ses_store *store = job->store;
    struct ses_record_copy copy = {.ids = job->ids,
                                   .header = job->bytes,
                                   .payload = job->bytes + SES_RECORD_HEADER_BYTES,
                                   .payload_bytes = job->place.payload_bytes};
    store->read_cnt--;
    if (job->err == SES_ERR_CHECKSUM) {
        (void)ses_place_damaged(store, &job->place);
    }
    job->on_done(job->cookie, job->err, job->err == SES_OK ? &copy : NULL);
    ses_free(job);
    ses_store_settle(store);
}

enum ses_err ses_read_entry(struct ses_store *store, uint32_t entry,
                            void (*on_done)(void *cookie, enum ses_err err,
                                            const struct ses_record_copy *record),
                            void *cookie)
{
    const struct ses_loop *loop = store->p.loop;
    const uint32_t bytes = ses_catalog_entry(&store->catalog, entry)->payload_bytes;
    struct get_job *job = ses_alloc(1, sizeof *job + SES_RECORD_HEADER_BYTES + bytes);
    SES_REQUIRE(job != NULL, SES_ERR_MEMORY);
    job->store = store;
    job->on_done = on_done;
    job->cookie = cookie;
    ses_place_of(&job->place, &store->catalog, entry);
    const enum ses_err err = loop->work(loop->ctx, get_run, get_done, job);
    if (err != SES_OK) {
        ses_free(job);
        return err;
    }
    store->read_cnt++;
    return SES_OK;
}

enum ses_err ses_check_read(const struct ses_store *store)
{
    SES_REQUIRE(store->phase == SES_PHASE_OPEN, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(store->read_cnt < SES_READS_MAX, SES_ERR_FULL);
    return SES_OK;
}

enum ses_err ses_store_get(struct ses_store *store, const struct ses_hash *id,
                           void (*on_done)(void *cookie, enum ses_err err,
                                           const struct ses_record_copy *record),
                           void *cookie)
{
    uint32_t at;
    SES_TRY(ses_check_read(store));
    SES_REQUIRE(ses_catalog_find(&store->catalog, id, &at), SES_ERR_NOT_FOUND);
    const struct ses_entry *e = ses_catalog_entry(&store->catalog, at);
    const uint64_t expires_ms = ses_catalog_seg(&store->catalog, e->segment)->expires_ms;
    SES_REQUIRE(e->state == SES_ENTRY_LIVE && !ses_entry_deleted(e), SES_ERR_NOT_FOUND);
    SES_REQUIRE(expires_ms > ses_now_ms(&store->p.loop->clock), SES_ERR_NOT_FOUND);
    return ses_read_entry(store, at, on_done, cookie);
}
