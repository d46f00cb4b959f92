/* Files, read and written whole. Errors come with a note that says what could not be done with
 * which path. */
#ifndef SES_BASE_FILE_H
#define SES_BASE_FILE_H

#include "base/bytes.h"

#define SES_PATH_MAX 4096u
#define SES_FILE_TEMP_MARK ".tmp-" /* in the names of files that are not yet whole */

/* The error of an errno; and the same with the note "cannot DEED PATH: ...". */
enum ses_err ses_errno_err(int error);
enum ses_err ses_errno_note(struct ses_note *note, int error, const char *deed, const char *path);

/* Appends what is left to read; ERR_TOO_LARGE if `out` would get longer than `max`. On an error
 * `out` is empty. `path` is for the note only. */
SES_CHECKED enum ses_err ses_fd_read(int fd, size_t max, struct ses_buf *out, const char *path,
                                     struct ses_note *note);
SES_CHECKED enum ses_err ses_file_read(const char *path, size_t max, struct ses_buf *out,
                                       struct ses_note *note);
/* As above; "-" is standard input. */
SES_CHECKED enum ses_err ses_input_read(const char *path, size_t max, struct ses_buf *out,
                                        struct ses_note *note);
SES_CHECKED enum ses_err ses_fd_write(int fd, const void *bytes, size_t len, const char *path,
                                      struct ses_note *note);
/* To a new file beside `path`, synced and renamed over the old one, and the folder is synced: after
 * a crash it is the old one or the new one, never a mixture. `mode` is that of open(2). */
SES_CHECKED enum ses_err ses_file_write(const char *path, const void *bytes, size_t len,
                                        unsigned mode, struct ses_note *note);

#endif
