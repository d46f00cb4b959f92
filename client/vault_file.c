/* Secrets in files: crypto's vault, written like everything else of a profile. */
#include <string.h>
#include <sys/stat.h>

#include "client/client_internal.h"

#define VAULT_FILE_MAX (SES_VAULT_SECRET_MAX + 4096u)

enum ses_err ses_vault_file_write(const char *path, enum ses_vault_kind kind, const void *secret,
                                  size_t len, const struct ses_part *shown, const char *passphrase,
                                  bool replace, struct ses_note *note)
{
    struct stat st;
    struct ses_buf file = {0};
    if (!replace && lstat(path, &st) == 0) {
        ses_note_set(note, "%s exists already and is never overwritten: move it away first", path);
        return SES_ERR_EXISTS;
    }
    const char *key = passphrase != NULL && passphrase[0] != 0 ? passphrase : NULL;
    enum ses_err err = ses_vault_seal(&file, kind, secret, len, shown, key, ses_random_system());
    if (err == SES_OK) {
        err = ses_file_write(path, file.bytes, file.len, 0600, note);
    }
    if (file.bytes != NULL) {
        ses_wipe(file.bytes, file.cap);
    }
    ses_buf_free(&file);
    return err;
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
    SES_TRY(ses_secret_file_check(path, 077, note));
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

/* ---- identity files: 32 bytes of seed; Session ID and account in the clear ---- */

enum ses_err ses_identity_file_write(const char *path, const struct ses_identity *identity,
                                     const char *passphrase, bool replace, struct ses_note *note)
{
    uint8_t bytes[sizeof identity->id.bytes + sizeof identity->account.bytes];
    memcpy(bytes, identity->id.bytes, sizeof identity->id.bytes);
    memcpy(bytes + sizeof identity->id.bytes, identity->account.bytes,
           sizeof identity->account.bytes);
    const struct ses_part shown = SES_PART(bytes, sizeof bytes);
    return ses_vault_file_write(path, SES_VAULT_IDENTITY, identity->seed, sizeof identity->seed,
                                &shown, passphrase, replace, note);
}

enum ses_err ses_identity_file_shown(const char *path, struct ses_session_id *id,
                                     struct ses_account *account, struct ses_note *note)
{
    struct ses_buf file = {0};
    struct ses_part shown = {0};
    SES_TRY(ses_secret_file_check(path, 077, note));
    enum ses_err err = ses_file_read(path, VAULT_FILE_MAX, &file, note);
    if (err == SES_OK) {
        err = ses_vault_shown(&shown, SES_VAULT_IDENTITY, file.bytes, file.len);
    }
    if (err == SES_OK && shown.len != sizeof id->bytes + sizeof account->bytes) {
        err = SES_ERR_MALFORMED;
    }
    if (err == SES_OK) {
        memcpy(id->bytes, shown.bytes, sizeof id->bytes);
        memcpy(account->bytes, (const uint8_t *)shown.bytes + sizeof id->bytes,
               sizeof account->bytes);
    }
    if (file.bytes != NULL) {
        ses_wipe(file.bytes, file.cap); /* it may be in the clear */
    }
    ses_buf_free(&file);
    return err;
}
