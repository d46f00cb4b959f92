/* The one writer's open files and databases. */
#include <stdio.h>
#include <string.h>

#include "storage/storage_internal.h"

#define KEPT_BYTES_MAX ((size_t)1 << 20) /* of an index that is behind */

void ses_segment_path(char out[48], const struct ses_segment *segment)
{
    const int len =
        snprintf(out, 48, "seg/%u/%u.log", (unsigned)segment->ttl_class, (unsigned)segment->hour);
    SES_ASSERT(len > 0 && len < 48);
}

void ses_lane_init(struct ses_lane *lane, const struct ses_disk *disk, const struct ses_log *log)
{
    *lane = (struct ses_lane){.disk = disk, .log = log};
}

static void close_file(struct ses_lane *lane, struct ses_lane_file *slot)
{
    if (slot->file != NULL) {
        lane->disk->close(lane->disk->ctx, slot->file);
        slot->file = NULL;
    }
}

void ses_lane_close(struct ses_lane *lane)
{
    for (size_t i = 0; i < SES_LANE_FILES; i++) {
        close_file(lane, &lane->files[i]);
    }
    for (size_t i = 0; i < SES_LANE_INDEXES; i++) {
        ses_index_free(lane->indexes[i]);
        lane->indexes[i] = NULL;
    }
}

/* ---- log files ---- */
static struct ses_lane_file *find_file(struct ses_lane *lane, const struct ses_segment *segment)
{
    for (size_t i = 0; i < SES_LANE_FILES; i++) {
        struct ses_lane_file *slot = &lane->files[i];
        if (slot->file != NULL && slot->segment.ttl_class == segment->ttl_class &&
            slot->segment.hour == segment->hour) {
            return slot;
        }
    }
    return NULL;
}

static struct ses_lane_file *oldest_file(struct ses_lane *lane)
{
    struct ses_lane_file *oldest = &lane->files[0];
    for (size_t i = 0; i < SES_LANE_FILES; i++) {
        if (lane->files[i].file == NULL) {
            return &lane->files[i];
        }
        if (lane->files[i].used < oldest->used) {
            oldest = &lane->files[i];
        }
    }
    close_file(lane, oldest);
    return oldest;
}

enum ses_err ses_lane_file(struct ses_lane *lane, const struct ses_segment *segment, bool create,
                           struct ses_file **out)
{
    struct ses_lane_file *slot = find_file(lane, segment);
    if (slot == NULL) {
        char path[48];
        char dir[48];
        ses_segment_path(path, segment);
        slot = oldest_file(lane);
        SES_TRY(lane->disk->open(lane->disk->ctx, path, create, &slot->file));
        slot->segment = *segment;
        if (create && !SES_MUTANT(DIRECTORY_NOT_SYNCED)) {
            memcpy(dir, path, 5);
            dir[5] = 0; /* "seg/<class>" */
            SES_TRY(lane->disk->sync_dir(lane->disk->ctx, dir));
        }
    }
    slot->used = ++lane->ticks;
    *out = slot->file;
    return SES_OK;
}

void ses_lane_forget_file(struct ses_lane *lane, const struct ses_segment *segment)
{
    struct ses_lane_file *slot = find_file(lane, segment);
    if (slot != NULL) {
        close_file(lane, slot);
    }
}

/* ---- an index that finds no room ---- */
/* The logs have everything, so it stays behind, and each batch that needs it tries again: then it
 * gets the rows that it lacks from memory. Where they are too many the next start has them from the
 * logs. */
struct kept_row { /* and its targets */
    struct ses_index_row row;
    uint64_t segment_end;
};

static void keep(struct ses_index *index, const struct ses_index_row *row, uint64_t segment_end)
{
    struct kept_row kept;
    memset(&kept, 0, sizeof kept);
    kept.row = *row;
    kept.segment_end = segment_end;
    const size_t target_bytes = row->target_cnt * sizeof *row->targets;
    index->rows_lost = index->rows_lost || index->rows.len > KEPT_BYTES_MAX ||
                       ses_buf_reserve(&index->rows, sizeof kept + target_bytes) != SES_OK ||
                       ses_buf_append(&index->rows, &kept, sizeof kept) != SES_OK ||
                       ses_buf_append(&index->rows, row->targets, target_bytes) != SES_OK;
    if (index->rows_lost) {
        ses_buf_free(&index->rows);
    }
}

static enum ses_err write_row(struct ses_index *index, const struct ses_index_row *row,
                              uint64_t segment_end)
{
    SES_TRY(ses_index_insert(index, row));
    for (uint8_t i = 0; i < row->target_cnt; i++) {
        SES_TRY(ses_index_put_deletion(index, row->seq, &row->targets[i]));
    }
    return segment_end > 0 ? ses_index_set_end(index, row->segment.hour, segment_end) : SES_OK;
}

static enum ses_err write_kept(struct ses_index *index)
{
    struct kept_row kept;
    struct ses_deletion targets[SES_DELETIONS_MAX];
    SES_TRY(ses_index_begin(index));
    for (size_t at = 0; at < index->rows.len;) {
        memcpy(&kept, index->rows.bytes + at, sizeof kept);
        at += sizeof kept;
        SES_ASSERT(kept.row.target_cnt <= SES_DELETIONS_MAX);
        memcpy(targets, index->rows.bytes + at, kept.row.target_cnt * sizeof targets[0]);
        at += kept.row.target_cnt * sizeof targets[0];
        kept.row.targets = targets;
        SES_TRY(write_row(index, &kept.row, kept.segment_end));
    }
    return SES_OK;
}

static enum ses_err catch_up(struct ses_lane *lane, struct ses_index *index)
{
    if (index->tried || index->rows_lost) {
        return SES_OK;
    }
    index->tried = true;
    enum ses_err err = ses_index_return(index, lane->disk, lane->instance);
    if (err == SES_OK) {
        err = write_kept(index);
    }
    if (err != SES_OK) {
        ses_index_leave(index); /* what is kept stays kept, in whole */
    }
    return err == SES_ERR_NO_SPACE ? SES_OK : err;
}

static void leave_behind(struct ses_lane *lane, struct ses_index *index)
{
    if (!index->tried) { /* else it was behind before */
        ses_logf(lane->log, SES_LOG_WARN, "storage",
                 "no space for the index: it is completed when there is some class=%u day=%u",
                 (unsigned)index->ttl_class, (unsigned)index->day);
    }
    index->tried = true;
    ses_index_leave(index);
}

/* ---- index databases ---- */
static struct ses_index **find_index(struct ses_lane *lane, uint8_t ttl_class, uint32_t day)
{
    struct ses_index **free_slot = NULL;
    struct ses_index **oldest = NULL;
    struct ses_index **recent = &lane->indexes[lane->recent];
    if (*recent != NULL && (*recent)->ttl_class == ttl_class && (*recent)->day == day) {
        return recent; /* most records of a batch belong to one day */
    }
    for (size_t i = 0; i < SES_LANE_INDEXES; i++) {
        struct ses_index **slot = &lane->indexes[i];
        if (*slot == NULL) {
            free_slot = slot;
        } else if ((*slot)->ttl_class == ttl_class && (*slot)->day == day) {
            return slot;
        } else if ((*slot)->db != NULL && !(*slot)->in_transaction &&
                   (oldest == NULL || (*slot)->used < (*oldest)->used)) {
            oldest = slot;
        }
    }
    if (free_slot == NULL && oldest != NULL) {
        ses_index_free(*oldest);
        *oldest = NULL;
        free_slot = oldest;
    }
    return free_slot;
}

enum ses_err ses_lane_index(struct ses_lane *lane, uint8_t ttl_class, uint32_t day,
                            struct ses_index **out)
{
    struct ses_index **slot = find_index(lane, ttl_class, day);
    *out = NULL;
    SES_REQUIRE(slot != NULL, SES_ERR_FULL);
    if (*slot == NULL) {
        SES_TRY(ses_index_open(slot, lane->disk, ttl_class, day, lane->instance));
    }
    if ((*slot)->db == NULL) {
        SES_TRY(catch_up(lane, *slot));
    }
    if ((*slot)->db == NULL) {
        return SES_OK;
    }
    SES_TRY(ses_index_begin(*slot));
    (*slot)->used = ++lane->ticks;
    lane->recent = (uint32_t)(slot - lane->indexes);
    *out = *slot;
    return SES_OK;
}

void ses_lane_drop_index(struct ses_lane *lane, uint8_t ttl_class, uint32_t day)
{
    for (size_t i = 0; i < SES_LANE_INDEXES; i++) {
        struct ses_index *index = lane->indexes[i];
        if (index != NULL && index->ttl_class == ttl_class && index->day == day) {
            ses_index_rollback(index);
            ses_index_free(index);
            lane->indexes[i] = NULL;
        }
    }
}

/* Its slot, where there was no room to create it. */
static enum ses_err born_behind(struct ses_lane *lane, struct ses_index **slot, uint8_t ttl_class,
                                uint32_t day)
{
    if (*slot == NULL) {
        *slot = ses_alloc(1, sizeof **slot);
        SES_REQUIRE(*slot != NULL, SES_ERR_MEMORY);
        (*slot)->ttl_class = ttl_class;
        (*slot)->day = day;
    }
    leave_behind(lane, *slot);
    return SES_OK;
}

enum ses_err ses_lane_insert(struct ses_lane *lane, const struct ses_index_row *row,
                             uint64_t segment_end)
{
    struct ses_index *index;
    const uint8_t ttl_class = row->segment.ttl_class;
    const uint32_t day = ses_day_of(&row->segment);
    enum ses_err err = ses_lane_index(lane, ttl_class, day, &index);
    if (err == SES_OK && index != NULL) {
        err = write_row(index, row, segment_end);
    }
    SES_REQUIRE(err == SES_OK || err == SES_ERR_NO_SPACE, err);
    struct ses_index **slot = find_index(lane, ttl_class, day);
    SES_ASSERT(slot != NULL); /* it was found, or had no room on the disk */
    if (err != SES_OK) {
        SES_TRY(born_behind(lane, slot, ttl_class, day));
    }
    keep(*slot, row, segment_end);
    return SES_OK;
}

bool ses_lane_behind(const struct ses_lane *lane, const struct ses_segment *segment)
{
    for (size_t i = 0; i < SES_LANE_INDEXES; i++) {
        const struct ses_index *index = lane->indexes[i];
        if (index != NULL && index->ttl_class == segment->ttl_class &&
            index->day == ses_day_of(segment)) {
            return index->db == NULL;
        }
    }
    return false;
}

static void committed(struct ses_lane *lane, struct ses_index *index, bool whole)
{
    if (!whole) {
        leave_behind(lane, index);
    } else if (index->tried) {
        ses_logf(lane->log, SES_LOG_INFO, "storage",
                 "space again: the index is complete class=%u day=%u", (unsigned)index->ttl_class,
                 (unsigned)index->day);
    }
}

enum ses_err ses_lane_commit(struct ses_lane *lane)
{
    for (size_t i = 0; i < SES_LANE_INDEXES; i++) {
        struct ses_index *index = lane->indexes[i];
        if (index != NULL && index->in_transaction) {
            const enum ses_err err = ses_index_commit(index);
            SES_REQUIRE(err == SES_OK || err == SES_ERR_NO_SPACE, err);
            committed(lane, index, err == SES_OK);
        }
        if (index != NULL) {
            index->tried = false;
        }
    }
    return SES_OK;
}
