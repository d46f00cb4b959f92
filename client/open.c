/* Opening and closing; transactions on the profile's files. */
#include <string.h>

#include "client/client_internal.h"

#define STATE_FILE "state"
#define CONTACTS_FILE "contacts"
#define STATE_MAGIC "sesstat\x01"
#define CONTACTS_MAGIC "sescont\x01"
#define STATE_FILE_MAX 16777216u
#define CONTACTS_FILE_MAX 33554432u

uint64_t ses_client_now(const struct ses_client *c)
{
    return ses_now_ms(c->clock);
}

enum ses_err ses_client_path(const struct ses_client *c, const char *name, char out[SES_PATH_MAX],
                             struct ses_note *note)
{
    return ses_path_join(out, c->profile, name, note);
}

static void write_log(void *ctx, enum ses_log_level level, const char *module, const char *text)
{
    const struct ses_client *c = ctx;
    char line[1024];
    if (c->log_line == NULL) {
        return;
    }
    const int len = snprintf(line, sizeof line, "%s: %s", module, text);
    if (len > 0 && c->log_line != NULL) {
        c->log_line(c->cookie, (enum ses_client_log_level)level, line);
    }
}

/* ---- open ---- */

static enum ses_err check_config(const struct ses_client_config *config, struct ses_note *note)
{
    if (config == NULL || config->size != sizeof *config) {
        ses_note_set(note, "config.size is not sizeof(struct ses_client_config): zero the struct, "
                           "set size, and compile against the installed header");
        return SES_ERR_INVALID;
    }
    if (config->profile == NULL || config->profile[0] == 0) {
        ses_note_set(note, "config.profile is missing: name a directory");
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

static enum ses_err fill(struct ses_client *c, const struct ses_client_config *config)
{
    c->lock_fd = -1;
    c->passphrase = config->passphrase;
    c->log_line = config->log;
    c->cookie = config->cookie;
    c->timeout_ms =
        config->request_timeout_ms != 0 ? config->request_timeout_ms : SES_CLIENT_TIMEOUT_MS;
    c->patience_ms = SES_CLIENT_PATIENCE_MS;
    c->keep_history = config->keep_history != 0;
    c->random = ses_random_system();
    c->clock = ses_clock_system();
    c->log = (struct ses_log){.ctx = c, .level = SES_LOG_DEBUG, .write = write_log};
    atomic_init(&c->stop, 0);
    c->profile = ses_strdup(config->profile);
    SES_REQUIRE(c->profile != NULL, SES_ERR_MEMORY);
    if (config->chain != NULL && config->chain[0] != 0) {
        c->chain = ses_strdup(config->chain);
        SES_REQUIRE(c->chain != NULL, SES_ERR_MEMORY);
    }
    return SES_OK;
}

static enum ses_err make_folders(struct ses_client *c, struct ses_note *note)
{
    static const char *const folders[] = {"outbox", "done", "owed", "receipts"};
    char path[SES_PATH_MAX];
    SES_TRY(ses_dir_make(c->profile, note));
    for (size_t i = 0; i < SES_COUNT(folders); i++) {
        SES_TRY(ses_client_path(c, folders[i], path, note));
        SES_TRY(ses_dir_make(path, note));
    }
    return SES_OK;
}

/* The first transaction: proves that the profile can be read and written, removes leftovers. */
static enum ses_err check_profile(struct ses_client *c, struct ses_note *note)
{
    static const struct ses_hash zero;
    char path[SES_PATH_MAX];
    SES_TRY(ses_client_begin(c, note));
    ses_dir_sweep(c->profile, ses_client_now(c));
    if (ses_client_path(c, "outbox", path, NULL) == SES_OK) {
        ses_dir_sweep(path, ses_client_now(c));
    }
    if (ses_client_path(c, "receipts", path, NULL) == SES_OK) {
        ses_dir_sweep(path, ses_client_now(c));
    }
    if (memcmp(c->state.order_key.bytes, zero.bytes, sizeof zero.bytes) == 0) {
        ses_random_fill(c->random, c->state.order_key.bytes, sizeof c->state.order_key.bytes);
    }
    return ses_client_commit(c, SES_SAVE_STATE, note);
}

int ses_client_open(struct ses_client **out, const struct ses_client_config *config,
                    struct ses_client_note *note)
{
    struct ses_note n = {0};
    *out = NULL;
    enum ses_err err = check_config(config, &n);
    if (err != SES_OK) {
        return ses_client_result(err, &n, note);
    }
    struct ses_client *c = NULL;
    err = ses_crypto_init();
    if (err == SES_OK) {
        c = ses_alloc(1, sizeof *c);
        err = c != NULL ? SES_OK : SES_ERR_MEMORY;
    }
    if (err == SES_OK) {
        err = fill(c, config);
    }
    if (err == SES_OK) {
        err = make_folders(c, &n);
    }
    if (err == SES_OK) {
        err = check_profile(c, &n);
    }
    if (err != SES_OK) {
        ses_client_close(c);
        return ses_client_result(err, &n, note);
    }
    *out = c;
    return ses_client_result(SES_OK, &n, note);
}

void ses_client_close(struct ses_client *client)
{
    if (client == NULL) {
        return;
    }
    ses_client_close_net(client);
    ses_uv_free(client->uv);
    ses_client_abort(client);
    ses_identity_free(client->identity);
    ses_rpc_client_free(client->rpc);
    ses_registry_cache_free(&client->registry);
    ses_profile_state_free(&client->state);
    ses_contacts_free(&client->contacts);
    ses_free(client->profile);
    ses_free(client->chain);
    ses_free(client);
}

/* ---- stop: nothing here that a signal handler may not do ---- */

void ses_client_stop(struct ses_client *client)
{
    atomic_store(&client->stop, 1);
}

bool ses_client_stopped(const struct ses_client *c)
{
    return atomic_load(&c->stop) != 0;
}

int ses_client_finish(struct ses_client *c, enum ses_err err, struct ses_note *from,
                      struct ses_client_note *to)
{
    if (err == SES_ERR_CLOSED && ses_client_stopped(c)) {
        atomic_store(&c->stop, 0);
        ses_note_set(from, "stopped");
    }
    return ses_client_result(err, from, to);
}

/* ---- transactions ---- */

static void note_damage(enum ses_err err, const char *path, struct ses_note *note)
{
    if (err != SES_OK) {
        ses_note_set(note, "%s cannot be read (%s): restore it from a backup", path,
                     ses_err_text(err));
    }
}

static enum ses_err load_state(struct ses_client *c, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    SES_TRY(ses_client_path(c, STATE_FILE, path, note));
    ses_profile_state_free(&c->state);
    enum ses_err err = ses_file_load(path, STATE_MAGIC, STATE_FILE_MAX, &bytes, note);
    if (err == SES_OK) {
        err = ses_profile_state_decode(&c->state, bytes.bytes, bytes.len);
        note_damage(err, path, note);
    } else if (err == SES_ERR_NOT_FOUND) {
        err = SES_OK; /* a new profile */
    }
    ses_buf_free(&bytes);
    return err;
}

static enum ses_err load_contacts(struct ses_client *c, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    SES_TRY(ses_client_path(c, CONTACTS_FILE, path, note));
    ses_contacts_free(&c->contacts);
    enum ses_err err = ses_file_load(path, CONTACTS_MAGIC, CONTACTS_FILE_MAX, &bytes, note);
    if (err == SES_OK) {
        err = ses_contacts_decode(&c->contacts, bytes.bytes, bytes.len);
        note_damage(err, path, note);
    } else if (err == SES_ERR_NOT_FOUND) {
        err = SES_OK;
    }
    ses_buf_free(&bytes);
    return err;
}

enum ses_err ses_client_begin(struct ses_client *c, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    SES_ASSERT(c->lock_fd < 0);
    SES_TRY(ses_client_path(c, "lock", path, note));
    SES_TRY(ses_lock_take(path, &c->lock_fd, note));
    enum ses_err err = load_state(c, note);
    if (err == SES_OK) {
        err = load_contacts(c, note);
    }
    if (err != SES_OK) {
        ses_client_abort(c);
    }
    return err;
}

static enum ses_err save(struct ses_client *c, unsigned what, struct ses_buf *bytes,
                         struct ses_note *note)
{
    char path[SES_PATH_MAX];
    if ((what & SES_SAVE_CONTACTS) != 0) {
        SES_TRY(ses_contacts_encode(bytes, &c->contacts));
        SES_TRY(ses_client_path(c, CONTACTS_FILE, path, note));
        SES_TRY(ses_file_save(path, CONTACTS_MAGIC, bytes, note));
    }
    bytes->len = 0;
    if ((what & SES_SAVE_STATE) != 0) {
        SES_TRY(ses_profile_state_encode(bytes, &c->state));
        SES_TRY(ses_client_path(c, STATE_FILE, path, note));
        SES_TRY(ses_file_save(path, STATE_MAGIC, bytes, note));
    }
    return SES_OK;
}

enum ses_err ses_client_commit(struct ses_client *c, unsigned what, struct ses_note *note)
{
    struct ses_buf bytes = {0};
    SES_ASSERT(c->lock_fd >= 0);
    const enum ses_err err = save(c, what, &bytes, note);
    if (bytes.bytes != NULL) {
        ses_wipe(bytes.bytes, bytes.cap);
    }
    ses_buf_free(&bytes);
    ses_client_abort(c);
    return err;
}

void ses_client_abort(struct ses_client *c)
{
    ses_lock_drop(c->lock_fd);
    c->lock_fd = -1;
}
