#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

enum ses_err ses_errno_err(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return SES_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return SES_ERR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* RLIMIT_FSIZE, or the file system's largest file */
        return SES_ERR_NO_SPACE;
    case EEXIST:
        return SES_ERR_EXISTS;
    case ENOMEM:
        return SES_ERR_MEMORY;
    case EMFILE:
    case ENFILE:
        return SES_ERR_FULL;
    default:
        return SES_ERR_IO;
    }
}

enum ses_err ses_errno_note(struct ses_note *note, int error, const char *deed, const char *path)
{
    ses_note_set(note, "cannot %s %.250s: %s", deed, path, strerror(error));
    return ses_errno_err(error);
}

static enum ses_err read_all(int fd, size_t max, struct ses_buf *out, const char *path,
                             struct ses_note *note)
{
    for (;;) {
        if (out->len > max) {
            ses_note_set(note, "%.250s is larger than the %zu bytes that are allowed here", path,
                         max);
            return SES_ERR_TOO_LARGE;
        }
        if (ses_buf_reserve(out, 65536) != SES_OK) {
            return ses_errno_note(note, ENOMEM, "read", path);
        }
        const ssize_t got = read(fd, out->bytes + out->len, 65536);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return ses_errno_note(note, errno, "read", path);
        }
        if (got == 0) {
            return SES_OK;
        }
        out->len += (size_t)got;
    }
}

enum ses_err ses_fd_read(int fd, size_t max, struct ses_buf *out, const char *path,
                         struct ses_note *note)
{
    const enum ses_err err = read_all(fd, max, out, path, note);
    if (err != SES_OK) {
        ses_buf_free(out);
    }
    return err;
}

enum ses_err ses_file_read(const char *path, size_t max, struct ses_buf *out, struct ses_note *note)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return ses_errno_note(note, errno, "open", path);
    }
    const enum ses_err err = ses_fd_read(fd, max, out, path, note);
    (void)close(fd); /* only read */
    return err;
}

enum ses_err ses_input_read(const char *path, size_t max, struct ses_buf *out,
                            struct ses_note *note)
{
    return strcmp(path, "-") == 0 ? ses_fd_read(STDIN_FILENO, max, out, path, note)
                                  : ses_file_read(path, max, out, note);
}

enum ses_err ses_fd_write(int fd, const void *bytes, size_t len, const char *path,
                          struct ses_note *note)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        const ssize_t done = write(fd, at, len);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return ses_errno_note(note, errno, "write", path);
        }
        at += done;
        len -= (size_t)done;
    }
    return SES_OK;
}

/* The new name is as durable as the bytes. */
static enum ses_err sync_folder(const char *path, struct ses_note *note)
{
    char folder[SES_PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t len = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    SES_ASSERT(len < sizeof folder); /* the temporary name was longer */
    memcpy(folder, path, len);
    folder[len] = 0;
    const char *name = len > 0 ? folder : ".";
    const int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES) {
        return SES_OK; /* may be written, not read */
    }
    if (fd < 0) {
        return ses_errno_note(note, errno, "open", name);
    }
    const int failed = fsync(fd) != 0 && errno != EINVAL ? errno : 0; /* some file systems cannot */
    (void)close(fd);
    return failed != 0 ? ses_errno_note(note, failed, "sync", name) : SES_OK;
}

static enum ses_err write_new(const char *path, const void *bytes, size_t len, unsigned mode,
                              struct ses_note *note)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        return ses_errno_note(note, errno, "create", path);
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

enum ses_err ses_file_write(const char *path, const void *bytes, size_t len, unsigned mode,
                            struct ses_note *note)
{
    char temp[SES_PATH_MAX];
    /* a name that nobody can have taken before, in a folder that others may write to */
    const int temp_len = snprintf(temp, sizeof temp, "%s" SES_FILE_TEMP_MARK "%016llx", path,
                                  (unsigned long long)ses_random_u64(ses_random_system()));
    if (temp_len < 0 || (size_t)temp_len >= sizeof temp) {
        ses_note_set(note, "the path %.200s... is too long", path);
        return SES_ERR_TOO_LARGE;
    }
    enum ses_err err = write_new(temp, bytes, len, mode, note);
    if (err == SES_OK && rename(temp, path) != 0) {
        err = ses_errno_note(note, errno, "replace", path);
    }
    if (err != SES_OK) {
        (void)unlink(temp);
        return err;
    }
    return sync_folder(path, note);
}
