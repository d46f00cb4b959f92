/* The one writer's open files and databases. */
#include <stdio.h>
#include <string.h>

#include "storage/storage_internal.h"

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

/* ---- index databases ---- */
/* A lack of space makes the index stay behind: the logs have everything, the next start catches
 * up. */
static void leave_behind(struct ses_lane *lane, struct ses_index **slot)
{
    const uint8_t ttl_class = (*slot)->ttl_class;
    const uint32_t day = (*slot)->day;
    ses_logf(lane->log, SES_LOG_WARN, "storage",
             "no space for the index: it is completed at the next start class=%u day=%u",
             (unsigned)ttl_class, (unsigned)day);
    ses_index_rollback(*slot);
    ses_index_free(*slot);
    *slot = ses_alloc(1, sizeof **slot);
    if (*slot != NULL) {
        (*slot)->ttl_class = ttl_class;
        (*slot)->day = day;
    }
}

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

/* `err` of a call on the index of this class and day. */
static enum ses_err forgive_space(struct ses_lane *lane, uint8_t ttl_class, uint32_t day,
                                  enum ses_err err)
{
    if (err != SES_ERR_NO_SPACE) {
        return err;
    }
    struct ses_index **slot = find_index(lane, ttl_class, day);
    if (slot != NULL && *slot != NULL) {
        leave_behind(lane, slot);
        return *slot != NULL ? SES_OK : SES_ERR_MEMORY;
    }
    if (slot != NULL) { /* it could not even be created */
        *slot = ses_alloc(1, sizeof **slot);
        SES_REQUIRE(*slot != NULL, SES_ERR_MEMORY);
        (*slot)->ttl_class = ttl_class;
        (*slot)->day = day;
    }
    return SES_OK;
}

static enum ses_err insert(struct ses_lane *lane, const struct ses_index_row *row,
                           uint64_t segment_end)
{
    struct ses_index *index;
    SES_TRY(ses_lane_index(lane, row->segment.ttl_class, ses_day_of(&row->segment), &index));
    if (index == NULL) {
        return SES_OK;
    }
    SES_TRY(ses_index_insert(index, row));
    for (uint8_t i = 0; i < row->target_cnt; i++) {
        SES_TRY(ses_index_put_deletion(index, row->seq, &row->targets[i]));
    }
    return segment_end > 0 ? ses_index_set_end(index, row->segment.hour, segment_end) : SES_OK;
}

enum ses_err ses_lane_insert(struct ses_lane *lane, const struct ses_index_row *row,
                             uint64_t segment_end)
{
    return forgive_space(lane, row->segment.ttl_class, ses_day_of(&row->segment),
                         insert(lane, row, segment_end));
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

enum ses_err ses_lane_commit(struct ses_lane *lane)
{
    for (size_t i = 0; i < SES_LANE_INDEXES; i++) {
        struct ses_index **slot = &lane->indexes[i];
        if (*slot == NULL || !(*slot)->in_transaction) {
            continue;
        }
        const enum ses_err err = ses_index_commit(*slot);
        if (err == SES_ERR_NO_SPACE) {
            leave_behind(lane, slot);
            SES_REQUIRE(*slot != NULL, SES_ERR_MEMORY);
        } else if (err != SES_OK) {
            return err;
        }
    }
    return SES_OK;
}
