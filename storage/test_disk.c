#include "storage/test_disk.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 512u
#define SECTOR 512u

struct ses_file { /* stays as long as the disk: handles are the files themselves */
    char path[64];
    bool exists;
    bool durable;       /* its directory was synced since it was created */
    struct ses_buf now; /* what reads see */
    struct ses_buf old; /* what was synced */
    uint32_t open_cnt;
};
struct test_disk {
    struct ses_disk door;
    char root[512];
    const struct ses_random *random;
    pthread_mutex_t lock;
    struct ses_file *files[FILES_MAX];
    uint32_t file_cnt;
    uint64_t changes;
    uint64_t stop_at; /* a value of `changes` */
    uint64_t sync_cnt;
    uint64_t idx_sync_cnt;
    uint64_t fail_sync_at;
    uint64_t fail_op_left;
    uint64_t space;
    bool quota; /* which statvfs does not show */
};

static struct ses_file *find(const struct test_disk *disk, const char *path)
{
    for (uint32_t i = 0; i < disk->file_cnt; i++) {
        if (disk->files[i]->exists && strcmp(disk->files[i]->path, path) == 0) {
            return disk->files[i];
        }
    }
    return NULL;
}

static bool is_log(const char *path)
{
    return strncmp(path, "seg/", 4) == 0;
}

/* Counts a change; false if the machine is off. *last: this is the change in which it goes off. */
static bool alive(struct test_disk *disk, bool *last)
{
    disk->changes++;
    *last = disk->stop_at != 0 && disk->changes == disk->stop_at;
    return disk->stop_at == 0 || disk->changes < disk->stop_at;
}

static bool trips(struct test_disk *disk)
{
    return disk->fail_op_left > 0 && --disk->fail_op_left == 0;
}

static void resize(struct ses_buf *b, uint64_t len)
{
    if (len > b->len) {
        const size_t more = (size_t)len - b->len;
        SES_ASSERT(ses_buf_reserve(b, more) == SES_OK);
        memset(b->bytes + b->len, 0, more);
    }
    b->len = (size_t)len;
}

static void copy(struct ses_buf *to, const struct ses_buf *from)
{
    to->len = 0;
    SES_ASSERT(ses_buf_append(to, from->bytes, from->len) == SES_OK);
}

static struct ses_file *create(struct test_disk *disk, const char *path)
{
    SES_ASSERT(disk->file_cnt < FILES_MAX && strlen(path) < 64);
    struct ses_file *file = ses_alloc(1, sizeof *file);
    SES_ASSERT(file != NULL);
    memcpy(file->path, path, strlen(path) + 1);
    file->exists = true;
    disk->files[disk->file_cnt++] = file;
    return file;
}

static void lock(struct test_disk *disk)
{
    SES_ASSERT(pthread_mutex_lock(&disk->lock) == 0);
}

static enum ses_err unlock(struct test_disk *disk, enum ses_err err)
{
    SES_ASSERT(pthread_mutex_unlock(&disk->lock) == 0);
    return err;
}

static enum ses_err disk_open(void *ctx, const char *path, bool may_create, struct ses_file **out)
{
    struct test_disk *disk = ctx;
    bool last;
    *out = NULL;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    struct ses_file *file = find(disk, path);
    if (file == NULL) {
        if (!may_create) {
            return unlock(disk, SES_ERR_NOT_FOUND);
        }
        if (!alive(disk, &last)) {
            return unlock(disk, SES_ERR_IO);
        }
        file = create(disk, path);
    }
    file->open_cnt++;
    *out = file;
    return unlock(disk, SES_OK);
}

static void disk_close(void *ctx, struct ses_file *file)
{
    struct test_disk *disk = ctx;
    lock(disk);
    SES_ASSERT(file->open_cnt > 0);
    file->open_cnt--;
    (void)unlock(disk, SES_OK);
}

static enum ses_err disk_size(void *ctx, struct ses_file *file, uint64_t *out)
{
    struct test_disk *disk = ctx;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    *out = file->now.len;
    return unlock(disk, SES_OK);
}

static void write_at(struct ses_file *file, uint64_t offset, const void *bytes, size_t len)
{
    if (len == 0) {
        return;
    }
    if (offset + len > file->now.len) {
        resize(&file->now, offset + len);
    }
    memcpy(file->now.bytes + offset, bytes, len);
}

static enum ses_err disk_write(void *ctx, struct ses_file *file, uint64_t offset,
                               const struct ses_iov *iov, size_t iov_cnt)
{
    struct test_disk *disk = ctx;
    uint64_t left = UINT64_MAX;
    bool last;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    const bool ok = alive(disk, &last);
    if (!ok && !last) {
        return unlock(disk, SES_ERR_IO);
    }
    if (last) {
        left = ses_random_below(disk->random, 20000);
    }
    for (size_t i = 0; i < iov_cnt; i++) {
        uint64_t len = iov[i].len;
        len = len < left ? len : left;
        const uint64_t room = disk->space < len ? disk->space : len;
        write_at(file, offset, iov[i].bytes, (size_t)room);
        offset += room;
        left -= room;
        disk->space -= room;
        if (room < iov[i].len) {
            return unlock(disk, last ? SES_ERR_IO : SES_ERR_NO_SPACE);
        }
    }
    return unlock(disk, ok ? SES_OK : SES_ERR_IO);
}

static enum ses_err disk_read(void *ctx, struct ses_file *file, uint64_t offset, void *out,
                              size_t len)
{
    struct test_disk *disk = ctx;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    if (offset > file->now.len || len > file->now.len - offset) {
        return unlock(disk, SES_ERR_TRUNCATED);
    }
    if (len > 0) {
        memcpy(out, file->now.bytes + offset, len);
    }
    return unlock(disk, SES_OK);
}

static enum ses_err disk_truncate(void *ctx, struct ses_file *file, uint64_t len)
{
    struct test_disk *disk = ctx;
    bool last;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    if (!alive(disk, &last)) {
        return unlock(disk, SES_ERR_IO);
    }
    if (len < file->now.len) {
        disk->space += disk->space < UINT64_MAX / 2 ? file->now.len - len : 0;
    }
    resize(&file->now, len);
    return unlock(disk, SES_OK);
}

static enum ses_err disk_sync(void *ctx, struct ses_file *file)
{
    struct test_disk *disk = ctx;
    bool last;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    if (!alive(disk, &last)) {
        return unlock(disk, SES_ERR_IO);
    }
    if (++disk->sync_cnt == disk->fail_sync_at) {
        return unlock(disk, SES_ERR_IO);
    }
    copy(&file->old, &file->now);
    return unlock(disk, SES_OK);
}

static enum ses_err disk_mkdir(void *ctx, const char *path)
{
    struct test_disk *disk = ctx;
    char full[600];
    const int len = snprintf(full, sizeof full, "%s/%s", disk->root, path);
    SES_ASSERT(len > 0 && (size_t)len < sizeof full);
    if (trips(disk)) {
        return SES_ERR_IO;
    }
    (void)mkdir(full, 0700);
    return SES_OK;
}

static enum ses_err disk_sync_dir(void *ctx, const char *path)
{
    struct test_disk *disk = ctx;
    const size_t len = strlen(path);
    bool last;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    if (!alive(disk, &last)) {
        return unlock(disk, SES_ERR_IO);
    }
    for (uint32_t i = 0; i < disk->file_cnt; i++) {
        struct ses_file *file = disk->files[i];
        if (strncmp(file->path, path, len) == 0 && file->path[len] == '/') {
            file->durable = true;
        }
    }
    disk->idx_sync_cnt += strcmp(path, "idx") == 0;
    return unlock(disk, SES_OK);
}

static enum ses_err disk_unlink(void *ctx, const char *path)
{
    struct test_disk *disk = ctx;
    bool last;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    if (!alive(disk, &last)) {
        return unlock(disk, SES_ERR_IO);
    }
    struct ses_file *file = find(disk, path);
    if (file != NULL) {
        file->exists = false;
    }
    return unlock(disk, SES_OK);
}

static enum ses_err list_real(const struct test_disk *disk, const char *path,
                              void (*each)(void *cookie, const char *name), void *cookie)
{
    char full[600];
    const int len = snprintf(full, sizeof full, "%s/%s", disk->root, path);
    SES_ASSERT(len > 0 && (size_t)len < sizeof full);
    DIR *dir = opendir(full);
    if (dir == NULL) {
        return SES_OK; /* databases in memory: there is no directory */
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] != '.') {
            each(cookie, e->d_name);
        }
    }
    (void)closedir(dir);
    return SES_OK;
}

static enum ses_err disk_list(void *ctx, const char *path,
                              void (*each)(void *cookie, const char *name), void *cookie)
{
    struct test_disk *disk = ctx;
    const size_t len = strlen(path);
    if (trips(disk)) {
        return SES_ERR_IO;
    }
    if (!is_log(path)) {
        return list_real(disk, path, each, cookie);
    }
    for (uint32_t i = 0; i < disk->file_cnt; i++) {
        const struct ses_file *file = disk->files[i];
        if (file->exists && strncmp(file->path, path, len) == 0 && file->path[len] == '/') {
            each(cookie, file->path + len + 1);
        }
    }
    return SES_OK;
}

static enum ses_err disk_space(void *ctx, uint64_t *free_bytes)
{
    struct test_disk *disk = ctx;
    lock(disk);
    if (trips(disk)) {
        return unlock(disk, SES_ERR_IO);
    }
    *free_bytes = disk->quota ? UINT64_MAX / 2 : disk->space;
    return unlock(disk, SES_OK);
}

struct test_disk *test_disk_new(const char *root, const struct ses_random *random)
{
    struct test_disk *disk = ses_alloc(1, sizeof *disk);
    SES_ASSERT(disk != NULL && strlen(root) < sizeof disk->root);
    memcpy(disk->root, root, strlen(root) + 1);
    SES_ASSERT(pthread_mutex_init(&disk->lock, NULL) == 0);
    disk->random = random;
    disk->space = 1ull << 40;
    disk->door = (struct ses_disk){.ctx = disk,
                                   .root = disk->root,
                                   .open = disk_open,
                                   .close = disk_close,
                                   .size = disk_size,
                                   .write = disk_write,
                                   .read = disk_read,
                                   .truncate = disk_truncate,
                                   .sync = disk_sync,
                                   .mkdir = disk_mkdir,
                                   .sync_dir = disk_sync_dir,
                                   .unlink = disk_unlink,
                                   .list = disk_list,
                                   .space = disk_space};
    return disk;
}

void test_disk_free(struct test_disk *disk)
{
    for (uint32_t i = 0; i < disk->file_cnt; i++) {
        SES_ASSERT(disk->files[i]->open_cnt == 0); /* else the store leaks handles */
        ses_buf_free(&disk->files[i]->now);
        ses_buf_free(&disk->files[i]->old);
        ses_free(disk->files[i]);
    }
    SES_ASSERT(pthread_mutex_destroy(&disk->lock) == 0);
    ses_free(disk);
}

const struct ses_disk *test_disk_door(struct test_disk *disk)
{
    return &disk->door;
}

void test_disk_stop_at(struct test_disk *disk, uint64_t n)
{
    disk->stop_at = n == 0 ? 0 : disk->changes + n;
}

/* Each sector that was not synced comes out old or new; the size old or new or between. */
static void tear(struct test_disk *disk, struct ses_file *file)
{
    struct ses_buf after = {0};
    uint64_t len = file->now.len;
    if (file->now.len > file->old.len) {
        const uint64_t grown = file->now.len - file->old.len;
        switch (ses_random_below(disk->random, 3)) {
        case 0:
            len = file->old.len;
            break;
        case 1:
            len = file->old.len + ses_random_below(disk->random, grown + 1);
            break;
        default:
            break;
        }
    }
    copy(&after, &file->now);
    resize(&after, len);
    for (uint64_t at = 0; at < len; at += SECTOR) {
        const size_t cnt = (size_t)(len - at < SECTOR ? len - at : SECTOR);
        if (ses_random_below(disk->random, 2) == 0) {
            continue; /* the new sector arrived */
        }
        for (size_t i = 0; i < cnt; i++) {
            after.bytes[at + i] = at + i < file->old.len ? file->old.bytes[at + i] : 0;
        }
    }
    ses_buf_free(&file->now);
    file->now = after;
}

void test_disk_kill(struct test_disk *disk)
{
    disk->stop_at = 0;
    disk->fail_sync_at = 0;
}

void test_disk_crash(struct test_disk *disk)
{
    for (uint32_t i = 0; i < disk->file_cnt; i++) {
        struct ses_file *file = disk->files[i];
        tear(disk, file);
        if (!file->durable && ses_random_below(disk->random, 2) == 0) {
            file->exists = false;
        }
        copy(&file->old, &file->now);
        file->durable = true;
    }
    test_disk_kill(disk);
}

void test_disk_fail_sync_at(struct test_disk *disk, uint64_t n)
{
    disk->fail_sync_at = disk->sync_cnt + n;
}

uint64_t test_disk_fail_op_at(struct test_disk *disk, uint64_t n)
{
    const uint64_t left = disk->fail_op_left;
    disk->fail_op_left = n;
    return left;
}

void test_disk_set_space(struct test_disk *disk, uint64_t bytes)
{
    disk->space = bytes;
    disk->quota = false;
}

void test_disk_set_quota(struct test_disk *disk, uint64_t bytes)
{
    disk->space = bytes;
    disk->quota = true;
}

uint8_t *test_disk_bytes(struct test_disk *disk, const char *path, uint64_t *len)
{
    struct ses_file *file = find(disk, path);
    *len = file != NULL ? file->now.len : 0;
    return file != NULL ? file->now.bytes : NULL;
}

void test_disk_put(struct test_disk *disk, const char *path, const void *bytes, uint64_t len)
{
    struct ses_file *file = find(disk, path);
    if (file == NULL) {
        file = create(disk, path);
    }
    file->now.len = 0;
    SES_ASSERT(ses_buf_append(&file->now, bytes, (size_t)len) == SES_OK);
    copy(&file->old, &file->now);
    file->durable = true;
}

uint64_t test_disk_log_bytes(const struct test_disk *disk)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < disk->file_cnt; i++) {
        if (disk->files[i]->exists && is_log(disk->files[i]->path)) {
            bytes += disk->files[i]->now.len;
        }
    }
    return bytes;
}

uint64_t test_disk_index_names(const struct test_disk *disk)
{
    return disk->idx_sync_cnt;
}
