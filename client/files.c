/* Files of a profile: with magic and checksum, and the locks among processes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/client_internal.h"

#define TEMP_KEEP_MS 3600000u
#define HEAD_BYTES 40u /* magic 8, BLAKE3 of the body 32 */

enum ses_err ses_path_join(char out[SES_PATH_MAX], const char *base, const char *name,
                           struct ses_note *note)
{
    const int len = snprintf(out, SES_PATH_MAX, "%s/%s", base, name);
    if (len < 0 || (unsigned)len >= SES_PATH_MAX) {
        ses_note_set(note, "the path %.200s... is too long", base);
        return SES_ERR_TOO_LARGE;
    }
    return SES_OK;
}

enum ses_err ses_file_save(const char *path, const char magic[8], const struct ses_buf *body,
                           struct ses_note *note)
{
    struct ses_buf file = {0};
    struct ses_hash check;
    ses_blake3_hash(&check, body->bytes, body->len);
    enum ses_err err = ses_buf_append(&file, magic, 8);
    if (err == SES_OK) {
        err = ses_buf_append(&file, check.bytes, sizeof check.bytes);
    }
    if (err == SES_OK) {
        err = ses_buf_append(&file, body->bytes, body->len);
    }
    if (err == SES_OK) {
        err = ses_file_write(path, file.bytes, file.len, 0600, note);
    }
    if (file.bytes != NULL) {
        ses_wipe(file.bytes, file.cap);
    }
    ses_buf_free(&file);
    return err;
}

static enum ses_err check_file(const struct ses_buf *file, const char magic[8], const char *path,
                               struct ses_note *note)
{
    struct ses_hash check;
    if (file->len < HEAD_BYTES || memcmp(file->bytes, magic, 7) != 0) {
        ses_note_set(
            note, "%s is damaged, or another program's: restore it from a backup, or move it away",
            path);
        return SES_ERR_MALFORMED;
    }
    if (file->bytes[7] != (uint8_t)magic[7]) {
        ses_note_set(note, "%s was written by another version of this program: use that one", path);
        return SES_ERR_VERSION;
    }
    ses_blake3_hash(&check, file->bytes + HEAD_BYTES, file->len - HEAD_BYTES);
    if (memcmp(check.bytes, file->bytes + 8, sizeof check.bytes) != 0) {
        ses_note_set(note, "%s is damaged (its checksum does not match): restore it from a backup",
                     path);
        return SES_ERR_CHECKSUM;
    }
    return SES_OK;
}

enum ses_err ses_file_load(const char *path, const char magic[8], size_t max, struct ses_buf *body,
                           struct ses_note *note)
{
    SES_TRY(ses_file_read(path, max, body, note));
    SES_TRY(check_file(body, magic, path, note));
    ses_buf_consume(body, HEAD_BYTES);
    return SES_OK;
}

enum ses_err ses_file_append(const char *path, const void *bytes, size_t len, struct ses_note *note)
{
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return ses_errno_note(note, errno, "open", path);
    }
    enum ses_err err = ses_fd_write(fd, bytes, len, path, note);
    if (err == SES_OK && fsync(fd) != 0) {
        err = ses_errno_note(note, errno, "sync", path);
    }
    if (close(fd) != 0 && err == SES_OK) {
        err = ses_errno_note(note, errno, "close", path);
    }
    return err;
}

enum ses_err ses_dir_make(const char *path, struct ses_note *note)
{
    struct stat st;
    if (mkdir(path, 0700) == 0) {
        return SES_OK;
    }
    if (errno != EEXIST) {
        return ses_errno_note(note, errno, "create the folder", path);
    }
    if (stat(path, &st) != 0) {
        return ses_errno_note(note, errno, "look at", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        ses_note_set(note, "%s is a file, a folder is needed there", path);
        return SES_ERR_EXISTS;
    }
    return SES_OK;
}

void ses_dir_sweep(const char *path, uint64_t now_ms)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct stat st;
        if (strstr(e->d_name, SES_FILE_TEMP_MARK) == NULL ||
            fstatat(dirfd(dir), e->d_name, &st, 0) != 0) {
            continue;
        }
        /* a young one may be about to be renamed by another process */
        if ((uint64_t)st.st_mtim.tv_sec * 1000 + TEMP_KEEP_MS < now_ms) {
            (void)unlinkat(dirfd(dir), e->d_name, 0);
        }
    }
    (void)closedir(dir);
}

enum ses_err ses_lock_take(const char *path, int *fd, struct ses_note *note)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) {
        return ses_errno_note(note, errno, "open", path);
    }
    while (flock(*fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            const enum ses_err err = ses_errno_note(note, errno, "lock", path);
            ses_lock_drop(*fd);
            *fd = -1;
            return err;
        }
    }
    return SES_OK;
}

void ses_lock_drop(int fd)
{
    if (fd >= 0) {
        (void)close(fd); /* drops the lock */
    }
}
