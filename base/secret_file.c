/* Files with secrets: like ssh, one that others can read is not used before its owner has looked.
 */
#include <sys/stat.h>

#include "base/base.h"

enum ses_err ses_secret_file_check(const char *path, unsigned others, struct ses_note *note)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return SES_OK; /* whoever opens it says why he cannot; pipes have no readers to come */
    }
    if ((st.st_mode & others) != 0) {
        ses_note_set(note, "%.300s can be read by others (mode %04o): run chmod 600 on it", path,
                     (unsigned)(st.st_mode & 07777));
        return SES_ERR_PERMISSION;
    }
    return SES_OK;
}
