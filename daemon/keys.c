#include <sys/stat.h>

#include "daemon/program.h"

#define KEY_FILE "node.key"
#define KEY_FILE_MAX 65536u
#define PASSPHRASE_MAX 1024u

_Static_assert(sizeof(struct node_secret) == 32 + 64 + 32, "the vault holds exactly the seeds");

enum ses_err ses_passphrase_read(char **out, const struct settings *s, struct ses_note *note)
{
    *out = NULL;
    struct ses_buf text = {0};
    if (s->passphrase_file == NULL) {
        return SES_OK;
    }
    SES_TRY(ses_secret_file_check(s->passphrase_file, 007, note));
    enum ses_err err = ses_file_read(s->passphrase_file, PASSPHRASE_MAX, &text, NULL);
    if (err != SES_OK) {
        ses_note_set(note, "cannot read passphrase-file %.300s: %s", s->passphrase_file,
                     ses_err_text(err));
        return err;
    }
    size_t len = 0;
    while (len < text.len && text.bytes[len] != '\n' && text.bytes[len] != '\0') {
        len++;
    }
    char *line = ses_secret_alloc(len + 1);
    if (len == 0) {
        ses_note_set(note, "passphrase-file %.300s is empty", s->passphrase_file);
        err = SES_ERR_CONFIG;
    } else if (line == NULL) {
        err = SES_ERR_MEMORY;
    }
    if (err == SES_OK) {
        memcpy(line, text.bytes, len);
        *out = line;
        line = NULL;
    }
    ses_secret_free(line);
    ses_wipe(text.bytes, text.len);
    ses_buf_free(&text);
    return err;
}

enum ses_err ses_node_keys_create(const struct settings *s, const char *passphrase,
                                  struct ses_note *note)
{
    char path[PATH_CHARS];
    struct stat st;
    struct ses_buf vault = {0};
    SES_TRY(ses_settings_path(s, KEY_FILE, path));
    if (stat(path, &st) == 0) {
        ses_note_set(note,
                     "%.300s exists: this directory has a node already; choose another --data, or "
                     "remove it if the node was never registered",
                     path);
        return SES_ERR_EXISTS;
    }
    struct node_secret *secret = ses_secret_alloc(sizeof *secret);
    SES_REQUIRE(secret != NULL, SES_ERR_MEMORY);
    ses_random_fill(ses_random_system(), secret, sizeof *secret);
    enum ses_err err = ses_vault_seal(&vault, SES_VAULT_NODE, secret, sizeof *secret, NULL,
                                      passphrase, ses_random_system());
    if (err == SES_OK) {
        err = ses_file_write(path, vault.bytes, vault.len, 0600, note);
    }
    ses_secret_free(secret);
    if (vault.bytes != NULL) {
        ses_wipe(vault.bytes, vault.cap);
    }
    ses_buf_free(&vault);
    return err;
}

static enum ses_err open_vault(struct node_keys *keys, const struct settings *s,
                               struct ses_note *note)
{
    char path[PATH_CHARS];
    char *passphrase = NULL;
    struct ses_buf file = {0};
    size_t len = sizeof *keys->secret;
    SES_TRY(ses_settings_path(s, KEY_FILE, path));
    SES_TRY(ses_secret_file_check(path, 077, note));
    SES_TRY(ses_passphrase_read(&passphrase, s, note));
    enum ses_err err = ses_file_read(path, KEY_FILE_MAX, &file, NULL);
    if (err != SES_OK) {
        ses_note_set(note, "no node key: cannot read %.250s (%s); create one with sessiond init",
                     path, ses_err_text(err));
    } else {
        err = ses_vault_open(keys->secret, &len, SES_VAULT_NODE, file.bytes, file.len, passphrase);
        if (err == SES_OK && len != sizeof *keys->secret) {
            err = SES_ERR_MALFORMED;
        }
        if (err == SES_ERR_PASSPHRASE) {
            ses_note_set(note,
                         "wrong passphrase for %.200s, or the file is damaged: check "
                         "passphrase-file",
                         path);
        } else if (err == SES_ERR_INVALID) {
            ses_note_set(note, "%.200s needs a passphrase: set passphrase-file", path);
            err = SES_ERR_PASSPHRASE; /* none is as good as a wrong one */
        } else if (err != SES_OK) {
            ses_note_set(note, "%.300s: %s", path, ses_err_text(err));
        }
    }
    ses_secret_free(passphrase);
    if (file.bytes != NULL) {
        ses_wipe(file.bytes, file.cap); /* it may be in the clear */
    }
    ses_buf_free(&file);
    return err;
}

static void derive_secret(struct ses_secret32 *out, const struct node_keys *keys,
                          const char *custom)
{
    ses_kmac256(out->bytes, sizeof out->bytes, keys->secret->dsa.bytes,
                sizeof keys->secret->dsa.bytes,
                SES_PARTS(SES_PART(keys->node_id.bytes, sizeof keys->node_id.bytes)), custom);
}

static enum ses_err derive(struct node_keys *keys)
{
    struct ses_kem_private *kem = NULL;
    SES_TRY(ses_dsa_private_new(&keys->dsa, &keys->secret->dsa));
    SES_TRY(ses_kem_private_new(&kem, &keys->secret->kem));
    ses_dsa_private_pk(keys->dsa, &keys->public_keys.public_key);
    ses_kem_private_pk(kem, &keys->public_keys.encryption_key);
    ses_kem_private_free(kem);
    ses_ed25519_pk(&keys->peer_pk, &keys->secret->peer);
    ses_node_id_of(&keys->node_id, &keys->public_keys.public_key);
    keys->derived = ses_secret_alloc(sizeof *keys->derived);
    SES_REQUIRE(keys->derived != NULL, SES_ERR_MEMORY);
    derive_secret(&keys->derived->reveal, keys, "session/node-reveal-key/v1");
    derive_secret(&keys->derived->wrap, keys, "session/node-wrap-key/v1");
    return SES_OK;
}

enum ses_err ses_node_keys_load(struct node_keys *keys, const struct settings *s,
                                struct ses_note *note)
{
    memset(keys, 0, sizeof *keys);
    keys->secret = ses_secret_alloc(sizeof *keys->secret);
    SES_REQUIRE(keys->secret != NULL, SES_ERR_MEMORY);
    enum ses_err err = open_vault(keys, s, note);
    if (err == SES_OK) {
        err = derive(keys);
    }
    if (err != SES_OK) {
        ses_node_keys_close(keys);
    }
    return err;
}

void ses_node_keys_close(struct node_keys *keys)
{
    ses_secret_free(keys->secret);
    ses_secret_free(keys->derived);
    ses_dsa_private_free(keys->dsa);
    memset(keys, 0, sizeof *keys);
}
