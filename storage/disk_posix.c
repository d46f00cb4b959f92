/* Real files below one directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/storage.h"

#define IOV_BATCH 512 /* below IOV_MAX */

struct ses_file {
    int fd;
};
struct posix_disk {
    int root_fd;
    int lock_fd;
    char *root;
};

/* A file in a folder's place is no file that is absent. */
static enum ses_err err_of(int error)
{
    return error == ENOTDIR ? SES_ERR_IO : ses_errno_err(error);
}

static enum ses_err posix_open(void *ctx, const char *path, bool create, struct ses_file **out)
{
    const struct posix_disk *disk = ctx;
    *out = NULL;
    struct ses_file *file = ses_alloc(1, sizeof *file);
    SES_REQUIRE(file != NULL, SES_ERR_MEMORY);
    file->fd = openat(disk->root_fd, path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (file->fd < 0) {
        const enum ses_err err = err_of(errno);
        ses_free(file);
        return err;
    }
    *out = file;
    return SES_OK;
}

static void posix_close(void *ctx, struct ses_file *file)
{
    (void)ctx;
    if (file != NULL) {
        (void)close(file->fd); /* what matters was synced before */
        ses_free(file);
    }
}

static enum ses_err posix_size(void *ctx, struct ses_file *file, uint64_t *out)
{
    (void)ctx;
    struct stat st;
    *out = 0;
    SES_REQUIRE(fstat(file->fd, &st) == 0, err_of(errno));
    *out = (uint64_t)st.st_size;
    return SES_OK;
}

/* Takes `len` written bytes off the front of iov. */
static void advance(struct iovec **iov, int *cnt, size_t len)
{
    while (*cnt > 0 && len >= (*iov)->iov_len) {
        len -= (*iov)->iov_len;
        (*iov)++;
        (*cnt)--;
    }
    if (*cnt > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + len;
        (*iov)->iov_len -= len;
    }
}

static enum ses_err write_iov(int fd, uint64_t offset, struct iovec *iov, int cnt)
{
    while (cnt > 0) {
        const ssize_t len = pwritev(fd, iov, cnt, (off_t)offset);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        SES_REQUIRE(len >= 0, err_of(errno));
        SES_REQUIRE(len > 0, SES_ERR_IO);
        offset += (uint64_t)len;
        advance(&iov, &cnt, (size_t)len);
    }
    return SES_OK;
}

static enum ses_err posix_write(void *ctx, struct ses_file *file, uint64_t offset,
                                const struct ses_iov *iov, size_t iov_cnt)
{
    (void)ctx;
    struct iovec parts[IOV_BATCH];
    for (size_t at = 0; at < iov_cnt;) {
        int cnt = 0;
        uint64_t bytes = 0;
        for (; at < iov_cnt && cnt < IOV_BATCH; at++) {
            /* iovec has no const; nothing writes through it */
            memcpy(&parts[cnt].iov_base, &iov[at].bytes, sizeof(void *));
            parts[cnt].iov_len = iov[at].len;
            bytes += iov[at].len;
            cnt += iov[at].len > 0;
        }
        SES_TRY(write_iov(file->fd, offset, parts, cnt));
        offset += bytes;
    }
    return SES_OK;
}

static enum ses_err posix_read(void *ctx, struct ses_file *file, uint64_t offset, void *out,
                               size_t len)
{
    (void)ctx;
    uint8_t *at = out;
    while (len > 0) {
        const ssize_t got = pread(file->fd, at, len, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        SES_REQUIRE(got >= 0, err_of(errno));
        SES_REQUIRE(got > 0, SES_ERR_TRUNCATED);
        at += got;
        offset += (uint64_t)got;
        len -= (size_t)got;
    }
    return SES_OK;
}

/* Clean pages are dropped, and what is accepted is clean. It is advice: a file system may keep
 * them.
 */
static void posix_uncache(void *ctx, struct ses_file *file, uint64_t offset, size_t len)
{
    (void)ctx;
    (void)posix_fadvise(file->fd, (off_t)offset, (off_t)len, POSIX_FADV_DONTNEED);
}

static enum ses_err posix_truncate(void *ctx, struct ses_file *file, uint64_t len)
{
    (void)ctx;
    SES_REQUIRE(ftruncate(file->fd, (off_t)len) == 0, err_of(errno));
    return SES_OK;
}

static enum ses_err posix_sync(void *ctx, struct ses_file *file)
{
    (void)ctx;
    /* never tried again: after a failure the kernel may have dropped the dirty pages */
    SES_REQUIRE(fdatasync(file->fd) == 0, SES_ERR_IO);
    return SES_OK;
}

static enum ses_err posix_mkdir(void *ctx, const char *path)
{
    const struct posix_disk *disk = ctx;
    if (mkdirat(disk->root_fd, path, 0700) != 0 && errno != EEXIST) {
        return err_of(errno);
    }
    return SES_OK;
}

static int open_dir(const struct posix_disk *disk, const char *path)
{
    return openat(disk->root_fd, path[0] != 0 ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static enum ses_err posix_sync_dir(void *ctx, const char *path)
{
    const int fd = open_dir(ctx, path);
    SES_REQUIRE(fd >= 0, err_of(errno));
    const bool ok = fsync(fd) == 0;
    (void)close(fd);
    return ok ? SES_OK : SES_ERR_IO;
}

static enum ses_err posix_unlink(void *ctx, const char *path)
{
    const struct posix_disk *disk = ctx;
    if (unlinkat(disk->root_fd, path, 0) != 0 && errno != ENOENT) {
        return err_of(errno);
    }
    return SES_OK;
}

static enum ses_err posix_list(void *ctx, const char *path,
                               void (*each)(void *cookie, const char *name), void *cookie)
{
    const int fd = open_dir(ctx, path);
    SES_REQUIRE(fd >= 0, err_of(errno));
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return SES_ERR_MEMORY;
    }
    errno = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(cookie, entry->d_name);
        }
        errno = 0;
    }
    const enum ses_err err = errno == 0 ? SES_OK : err_of(errno);
    (void)closedir(dir);
    return err;
}

static enum ses_err posix_space(void *ctx, uint64_t *free_bytes)
{
    const struct posix_disk *disk = ctx;
    struct statvfs st;
    *free_bytes = 0;
    SES_REQUIRE(fstatvfs(disk->root_fd, &st) == 0, err_of(errno));
    *free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return SES_OK;
}

/* Makes the last component's entry durable. */
static enum ses_err sync_parent(const char *root)
{
    char path[4096];
    const int len = snprintf(path, sizeof path, "%s/..", root);
    SES_REQUIRE(len > 0 && (size_t)len < sizeof path, SES_ERR_TOO_LARGE);
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SES_REQUIRE(fd >= 0, err_of(errno));
    (void)fsync(
        fd); /* some file systems' directories cannot be synced; the store's can, see open */
    (void)close(fd);
    return SES_OK;
}

static enum ses_err open_root(struct posix_disk *disk, const char *root, struct ses_note *note)
{
    if (mkdir(root, 0700) == 0) {
        SES_TRY(sync_parent(root));
    } else if (errno != EEXIST) {
        const int error = errno;
        ses_note_set(note, "cannot create the data directory %s: %s", root, strerror(error));
        return err_of(error);
    }
    disk->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->root_fd < 0) {
        const int error = errno;
        ses_note_set(note, "cannot open the data directory %s: %s", root, strerror(error));
        return err_of(error);
    }
    disk->root = ses_strdup(root);
    SES_REQUIRE(disk->root != NULL, SES_ERR_MEMORY);
    return SES_OK;
}

static enum ses_err lock_root(struct posix_disk *disk, struct ses_note *note)
{
    disk->lock_fd = openat(disk->root_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk->lock_fd < 0) {
        const int error = errno;
        ses_note_set(note, "cannot create %s/lock: %s", disk->root, strerror(error));
        return err_of(error);
    }
    if (flock(disk->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        const bool busy = errno == EWOULDBLOCK;
        ses_note_set(note,
                     busy ? "another process uses the data directory %s: stop it first"
                          : "cannot lock the data directory %s",
                     disk->root);
        return busy ? SES_ERR_IN_USE : SES_ERR_IO;
    }
    return SES_OK;
}

static void free_disk(struct posix_disk *disk)
{
    if (disk->lock_fd >= 0) {
        (void)close(disk->lock_fd);
    }
    if (disk->root_fd >= 0) {
        (void)close(disk->root_fd);
    }
    ses_free(disk->root);
    ses_free(disk);
}

enum ses_err ses_disk_open(struct ses_disk *out, const char *root, struct ses_note *note)
{
    *out = (struct ses_disk){0};
    struct posix_disk *disk = ses_alloc(1, sizeof *disk);
    SES_REQUIRE(disk != NULL, SES_ERR_MEMORY);
    disk->root_fd = -1;
    disk->lock_fd = -1;
    enum ses_err err = open_root(disk, root, note);
    if (err == SES_OK) {
        err = lock_root(disk, note);
    }
    if (err != SES_OK) {
        free_disk(disk);
        return err;
    }
    *out = (struct ses_disk){.ctx = disk,
                             .root = disk->root,
                             .open = posix_open,
                             .close = posix_close,
                             .size = posix_size,
                             .write = posix_write,
                             .read = posix_read,
                             .uncache = posix_uncache,
                             .truncate = posix_truncate,
                             .sync = posix_sync,
                             .mkdir = posix_mkdir,
                             .sync_dir = posix_sync_dir,
                             .unlink = posix_unlink,
                             .list = posix_list,
                             .space = posix_space};
    return SES_OK;
}

void ses_disk_close(struct ses_disk *disk)
{
    if (disk->ctx != NULL) {
        free_disk(disk->ctx);
        *disk = (struct ses_disk){0};
    }
}
