/* The identity of a profile: one vault file that holds 32 bytes of seed. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "client/client_internal.h"

#define IDENTITY_FILE "identity"
#define SEED_BYTES 32u
#define PASSPHRASE_MAX 1024u

/* Guarded memory for a passphrase that somebody types. */
static enum ses_err ask_passphrase(struct ses_client *c, enum ses_client_ask ask, char **out,
                                   struct ses_note *note)
{
    *out = NULL;
    if (c->passphrase == NULL) {
        ses_note_set(note, ask == SES_CLIENT_ASK_NEW
                               ? "a passphrase for the new identity is needed (or an empty one, "
                                 "to store it unencrypted)"
                               : "the identity is encrypted: a passphrase is needed");
        return SES_ERR_PASSPHRASE;
    }
    char *text = ses_secret_alloc(PASSPHRASE_MAX);
    SES_REQUIRE(text != NULL, SES_ERR_MEMORY);
    if (c->passphrase(c->cookie, ask, text, PASSPHRASE_MAX) != 0) {
        ses_secret_free(text);
        ses_note_set(note, "no passphrase was given");
        return SES_ERR_PASSPHRASE;
    }
    text[PASSPHRASE_MAX - 1] = 0;
    *out = text;
    return SES_OK;
}

static enum ses_err write_identity(struct ses_client *c, const struct ses_identity *identity,
                                   const char *passphrase, bool replace, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    char *asked = NULL;
    SES_TRY(ses_client_path(c, IDENTITY_FILE, path, note));
    if (!replace && ses_client_has_identity(c, NULL)) {
        ses_note_set(note,
                     "this profile has an identity already: use another profile, or move %s "
                     "away after writing down its recovery phrase",
                     path);
        return SES_ERR_EXISTS;
    }
    if (passphrase == NULL) {
        SES_TRY(ask_passphrase(c, SES_CLIENT_ASK_NEW, &asked, note));
        passphrase = asked;
    }
    /* under the profile's lock: two processes creating at once must not overwrite each other */
    enum ses_err err = ses_client_begin(c, note);
    if (err == SES_OK) {
        err = ses_identity_file_write(path, identity, passphrase, replace, note);
        ses_client_abort(c);
    }
    ses_secret_free(asked);
    return err;
}

static enum ses_err create(struct ses_client *c, const uint8_t seed[SEED_BYTES],
                           const char *passphrase, struct ses_note *note)
{
    struct ses_identity *identity = NULL;
    SES_TRY(ses_identity_new(&identity, seed));
    const enum ses_err err = write_identity(c, identity, passphrase, false, note);
    if (err != SES_OK) {
        ses_identity_free(identity);
        return err;
    }
    ses_identity_free(c->identity);
    c->identity = identity;
    return SES_OK;
}

int ses_client_create(struct ses_client *c, const char *passphrase, struct ses_client_note *note)
{
    struct ses_note n = {0};
    uint8_t *seed = ses_secret_alloc(SEED_BYTES);
    if (seed == NULL) {
        return ses_client_result(SES_ERR_MEMORY, &n, note);
    }
    ses_random_fill(c->random, seed, SEED_BYTES);
    const enum ses_err err = create(c, seed, passphrase, &n);
    ses_secret_free(seed);
    return ses_client_result(err, &n, note);
}

int ses_client_restore(struct ses_client *c, const char *phrase, const char *passphrase,
                       struct ses_client_note *note)
{
    struct ses_note n = {0};
    uint8_t *seed = ses_secret_alloc(SEED_BYTES);
    if (seed == NULL) {
        return ses_client_result(SES_ERR_MEMORY, &n, note);
    }
    enum ses_err err = ses_phrase_decode(seed, phrase);
    if (err == SES_ERR_CHECKSUM) {
        ses_note_set(&n, "the recovery phrase has a typing error: a letter or word is wrong");
    } else if (err != SES_OK) {
        ses_note_set(&n, "this is no recovery phrase: 17 words of five letters, or 64 hex digits");
    } else {
        err = create(c, seed, passphrase, &n);
    }
    ses_secret_free(seed);
    return ses_client_result(err, &n, note);
}

/* ---- unlock ---- */

static enum ses_err read_identity(struct ses_client *c, const char *path, uint8_t *seed,
                                  const char *passphrase, struct ses_note *note)
{
    size_t len = SEED_BYTES;
    SES_TRY(ses_vault_file_read(path, SES_VAULT_IDENTITY, seed, &len, passphrase, note));
    if (len != SEED_BYTES) {
        ses_note_set(note, "%s does not hold an identity", path);
        return SES_ERR_MALFORMED;
    }
    return ses_identity_new(&c->identity, seed);
}

/* The file was made by whoever had the seed: its owner did not write another name on it. */
static enum ses_err check_shown(struct ses_client *c, const char *path, struct ses_note *note)
{
    struct ses_session_id id;
    struct ses_account account;
    struct ses_note ignored = {0};
    const enum ses_err err = ses_identity_file_shown(path, &id, &account, &ignored);
    if (err == SES_ERR_NOT_FOUND) {
        return SES_OK; /* a file that shows nothing */
    }
    if (err != SES_OK || memcmp(id.bytes, c->identity->id.bytes, sizeof id.bytes) != 0 ||
        memcmp(account.bytes, c->identity->account.bytes, sizeof account.bytes) != 0) {
        ses_note_set(note,
                     "%s shows another Session ID than the one that it holds: restore it "
                     "from the recovery phrase",
                     path);
        ses_client_lock(c);
        return SES_ERR_MALFORMED;
    }
    return SES_OK;
}

static enum ses_err unlock(struct ses_client *c, const char *passphrase, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    char *asked = NULL;
    int encrypted = 0;
    if (c->identity != NULL) {
        return SES_OK;
    }
    SES_TRY(ses_client_path(c, IDENTITY_FILE, path, note));
    if (!ses_client_has_identity(c, &encrypted)) {
        ses_note_set(note,
                     "the profile %.200s has no identity: make one (session id new) or restore one "
                     "(session id restore)",
                     c->profile);
        return SES_ERR_NOT_FOUND;
    }
    if (passphrase == NULL && encrypted) {
        SES_TRY(ask_passphrase(c, SES_CLIENT_ASK_UNLOCK, &asked, note));
        passphrase = asked;
    }
    uint8_t *seed = ses_secret_alloc(SEED_BYTES);
    const enum ses_err err =
        seed == NULL ? SES_ERR_MEMORY
                     : read_identity(c, path, seed, encrypted ? passphrase : NULL, note);
    ses_secret_free(seed);
    ses_secret_free(asked);
    return err == SES_OK ? check_shown(c, path, note) : err;
}

enum ses_err ses_client_need_identity(struct ses_client *c, struct ses_note *note)
{
    return unlock(c, NULL, note);
}

enum ses_err ses_client_identity(struct ses_client *c, const struct ses_identity **out,
                                 struct ses_client_note *note)
{
    struct ses_note n = {0};
    *out = NULL;
    const enum ses_err err = unlock(c, NULL, &n);
    if (err == SES_OK) {
        *out = c->identity;
    }
    return (enum ses_err)ses_client_result(err, &n, note);
}

int ses_client_unlock(struct ses_client *c, const char *passphrase, struct ses_client_note *note)
{
    struct ses_note n = {0};
    const enum ses_err err = unlock(c, passphrase, &n);
    return ses_client_result(err, &n, note);
}

void ses_client_lock(struct ses_client *c)
{
    ses_client_close_net(c); /* requests borrow the identity */
    ses_identity_free(c->identity);
    c->identity = NULL;
}

int ses_client_set_passphrase(struct ses_client *c, const char *passphrase,
                              struct ses_client_note *note)
{
    struct ses_note n = {0};
    enum ses_err err = SES_OK;
    if (c->identity == NULL) {
        ses_note_set(&n, "unlock the identity first");
        err = SES_ERR_PASSPHRASE;
    } else if (passphrase == NULL) {
        ses_note_set(&n, "the new passphrase is missing (\"\" stores the identity unencrypted)");
        err = SES_ERR_INVALID;
    } else {
        err = write_identity(c, c->identity, passphrase, true, &n);
    }
    return ses_client_result(err, &n, note);
}

int ses_client_has_identity(struct ses_client *c, int *encrypted)
{
    char path[SES_PATH_MAX];
    struct stat st;
    if (encrypted != NULL) {
        *encrypted = 0;
    }
    if (ses_client_path(c, IDENTITY_FILE, path, NULL) != SES_OK || lstat(path, &st) != 0) {
        return 0;
    }
    if (encrypted != NULL) {
        uint8_t seed[SEED_BYTES];
        size_t len = sizeof seed;
        /* without a passphrase an encrypted vault asks for one, a plain one opens */
        const enum ses_err err =
            ses_vault_file_read(path, SES_VAULT_IDENTITY, seed, &len, NULL, NULL);
        *encrypted = err == SES_ERR_INVALID;
        ses_wipe(seed, sizeof seed);
    }
    return 1;
}

enum ses_err ses_client_owner(struct ses_client *c, struct ses_session_id *id,
                              struct ses_account *account, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    SES_TRY(ses_client_path(c, IDENTITY_FILE, path, note));
    if (c->identity == NULL && ses_client_has_identity(c, NULL)) {
        const enum ses_err err = ses_identity_file_shown(path, id, account, note);
        if (err == SES_OK || err == SES_ERR_PERMISSION) {
            return err;
        }
    }
    SES_TRY(unlock(c, NULL, note));
    *id = c->identity->id;
    *account = c->identity->account;
    return SES_OK;
}

int ses_client_id(struct ses_client *c, char *out, struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_session_id id;
    struct ses_account account;
    memset(out, 0, SES_CLIENT_ID_TEXT);
    const enum ses_err err = ses_client_owner(c, &id, &account, &n);
    if (err == SES_OK) {
        ses_session_id_text(out, &id);
    }
    return ses_client_result(err, &n, note);
}

int ses_client_export_phrase(struct ses_client *c, char *out, struct ses_client_note *note)
{
    struct ses_note n = {0};
    memset(out, 0, SES_CLIENT_PHRASE_TEXT);
    const enum ses_err err = unlock(c, NULL, &n);
    if (err == SES_OK) {
        ses_phrase_encode(out, c->identity->seed);
    }
    return ses_client_result(err, &n, note);
}

int ses_client_check_id(const char *text, struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_session_id id;
    if (text == NULL) {
        ses_note_set(&n, "the Session ID is missing");
        return ses_client_result(SES_ERR_INVALID, &n, note);
    }
    return ses_client_result(ses_session_id_parse(&id, text, &n), &n, note);
}
