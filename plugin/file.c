/* Whole files into memory. */
#include <errno.h>
#include <string.h>

#include "plugin/plugin.h"

static enum ses_err explain(int cause, const char *path, struct ses_note *note)
{
    ses_note_set(note, "cannot read %.250s: %s", path, strerror(cause));
    return cause == ENOENT ? SES_ERR_NOT_FOUND : cause == EACCES ? SES_ERR_PERMISSION : SES_ERR_IO;
}

static enum ses_err read_all(FILE *file, struct ses_buf *out, size_t max, const char *path,
                             struct ses_note *note)
{
    const size_t before = out->len;
    size_t got = 1;
    while (got > 0 && out->len - before <= max) {
        SES_TRY(ses_buf_reserve(out, 65536));
        errno = 0;
        got = fread(out->bytes + out->len, 1, 65536, file);
        out->len += got;
    }
    if (ferror(file)) {
        return explain(errno, path, note);
    }
    if (out->len - before > max) {
        ses_note_set(note, "%.250s is larger than %zu bytes", path, max);
        return SES_ERR_TOO_LARGE;
    }
    return SES_OK;
}

enum ses_err ses_file_read(struct ses_buf *out, const char *path, size_t max, struct ses_note *note)
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "rbe");
    if (file == NULL) {
        return explain(errno, path, note);
    }
    const enum ses_err err = read_all(file, out, max, path, note);
    if (!standard) {
        fclose(file);
    }
    return err;
}
