#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/program.h"

static enum ses_err err_of(int number)
{
    switch (number) {
    case ENOENT:
        return SES_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return SES_ERR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
        return SES_ERR_NO_SPACE;
    default:
        return SES_ERR_IO;
    }
}

static enum ses_err read_all(int fd, size_t max, struct ses_buf *out)
{
    for (;;) {
        SES_TRY(ses_buf_reserve(out, 4096));
        const ssize_t n = read(fd, out->bytes + out->len, out->cap - out->len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        SES_REQUIRE(n >= 0, err_of(errno));
        if (n == 0) {
            return SES_OK;
        }
        out->len += (size_t)n;
        SES_REQUIRE(out->len <= max, SES_ERR_TOO_LARGE);
    }
}

enum ses_err ses_file_read(const char *path, size_t max, struct ses_buf *out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    SES_REQUIRE(fd >= 0, err_of(errno));
    const enum ses_err err = read_all(fd, max, out);
    close(fd);
    if (err != SES_OK) {
        ses_buf_free(out);
    }
    return err;
}

static enum ses_err write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        SES_REQUIRE(n > 0, err_of(errno));
        bytes += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? SES_OK : err_of(errno);
}

enum ses_err ses_file_write(const char *path, const void *bytes, size_t len, unsigned mode,
                            struct ses_note *note)
{
    char temporary[PATH_CHARS + 8];
    const int n = snprintf(temporary, sizeof temporary, "%s.new", path);
    SES_REQUIRE(n > 0 && (size_t)n < sizeof temporary, SES_ERR_TOO_LARGE);
    enum ses_err err = SES_OK;
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        err = err_of(errno);
    } else {
        err = write_all(fd, bytes, len);
        if (close(fd) != 0 && err == SES_OK) {
            err = err_of(errno);
        }
        if (err == SES_OK && rename(temporary, path) != 0) {
            err = err_of(errno);
        }
    }
    if (err != SES_OK) {
        ses_note_set(note, "cannot write %.300s: %s", path, ses_err_text(err));
    }
    return err;
}
