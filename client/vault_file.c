/* Secrets in files: crypto's vault, written like everything else of a profile. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "client/client_internal.h"

#define VAULT_FILE_MAX (SES_VAULT_SECRET_MAX + 4096u)

enum ses_err ses_vault_file_write(const char *path, enum ses_vault_kind kind, const void *secret,
                                  size_t len, const char *passphrase, bool replace,
                                  struct ses_note *note)
{
    struct stat st;
    struct ses_buf file = {0};
    if (!replace && lstat(path, &st) == 0) {
        ses_note_set(note, "%s exists already and is never overwritten: move it away first", path);
        return SES_ERR_EXISTS;
    }
    const char *key = passphrase != NULL && passphrase[0] != 0 ? passphrase : NULL;
    enum ses_err err = ses_vault_seal(&file, kind, secret, len, key, ses_random_system());
    if (err == SES_OK) {
        err = ses_file_write(path, file.bytes, file.len, note);
    }
    if (file.bytes != NULL) {
        ses_wipe(file.bytes, file.cap);
    }
    ses_buf_free(&file);
    return err;
}

/* Like ssh: a secret that others can read is not used before its owner has looked. */
static enum ses_err check_mode(const char *path, struct ses_note *note)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return ses_errno_note(note, errno, "open", path);
    }
    if ((st.st_mode & 077) != 0) {
        ses_note_set(note, "%s can be read by others (mode %04o): run chmod 600 on it", path,
                     (unsigned)(st.st_mode & 07777));
        return SES_ERR_PERMISSION;
    }
    return SES_OK;
}

static void explain(enum ses_err err, const char *path, struct ses_note *note)
{
    if (err == SES_ERR_PASSPHRASE) {
        ses_note_set(note, "wrong passphrase, or %s is damaged", path);
    } else if (err == SES_ERR_INVALID) {
        ses_note_set(note, "%s is encrypted: a passphrase is needed", path);
    } else if (err != SES_OK) {
        ses_note_set(note, "%s is not a secret file of this kind: %s", path, ses_err_text(err));
    }
}

enum ses_err ses_vault_file_read(const char *path, enum ses_vault_kind kind, void *secret,
                                 size_t *len, const char *passphrase, struct ses_note *note)
{
    struct ses_buf file = {0};
    const char *key = passphrase != NULL && passphrase[0] != 0 ? passphrase : NULL;
    SES_TRY(check_mode(path, note));
    enum ses_err err = ses_file_read(path, VAULT_FILE_MAX, &file, note);
    if (err == SES_OK) {
        err = ses_vault_open(secret, len, kind, file.bytes, file.len, key);
        explain(err, path, note);
    }
    if (file.bytes != NULL) {
        ses_wipe(file.bytes, file.cap);
    }
    ses_buf_free(&file);
    return err;
}
