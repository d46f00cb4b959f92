/* sessiond init: keys, configuration and the request that the owner registers. The body of the
 * registration (owner, stake, nonce, fee) is known only when the owner registers, so the node signs
 * then: `sessiond sign-registration`, which `session node register` runs on the same machine or
 * asks to be run on another (docs/operations.md). */
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "daemon/program.h"

#define EXTRA_KEYS_MAX 32u

static enum exit_code complain(enum ses_err err, const struct ses_note *note)
{
    fprintf(stderr, "%s: %s\n", PROGRAM, note->text[0] != '\0' ? note->text : ses_err_text(err));
    return err == SES_ERR_CONFIG ? EXIT_USAGE : ses_exit_code(err);
}

/* The settings' keys and the command's own. */
static void join_keys(struct ses_config_key out[EXTRA_KEYS_MAX], const struct ses_config_key *extra)
{
    size_t n = 0;
    for (const struct ses_config_key *k = ses_settings_keys; k->name != NULL; k++) {
        out[n++] = *k;
    }
    for (const struct ses_config_key *k = extra; k->name != NULL; k++) {
        SES_ASSERT(n + 1 < EXTRA_KEYS_MAX);
        out[n++] = *k;
    }
    out[n] = (struct ses_config_key){0};
}

enum ses_err ses_endpoint_make(struct ses_endpoint *out, const struct settings *s,
                               const struct ses_ed25519_pk *peer_pk, struct ses_note *note)
{
    memset(out, 0, sizeof *out);
    out->peer_key = *peer_pk;
    for (uint32_t i = 0; i < s->announce_cnt; i++) {
        struct ses_multiaddr addr;
        SES_TRY(ses_multiaddr_parse(&addr, s->announce[i]));
        out->addrs[i].len = addr.len;
        memcpy(out->addrs[i].bytes, addr.bytes, addr.len);
        out->addr_cnt++;
    }
    uint8_t bytes[SES_ENDPOINT_BYTES_MAX];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_endpoint_write(&w, out);
    if (ses_writer_done(&w) != SES_OK) {
        ses_note_set(note, "announce: more than %u bytes of addresses", SES_ENDPOINT_BYTES_MAX);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

static json_t *endpoint_json(const struct ses_endpoint *endpoint)
{
    uint8_t bytes[SES_ENDPOINT_BYTES_MAX];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_endpoint_write(&w, endpoint);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    return ses_json_hex(bytes, w.len);
}

/* ---- files ---- */
static enum ses_err write_config(const struct settings *s, struct ses_note *note)
{
    char path[PATH_CHARS];
    struct ses_buf text = {0};
    enum ses_err err = ses_settings_path(s, "sessiond.conf", path);
    for (const struct ses_config_key *k = ses_settings_keys; k->name != NULL && err == SES_OK;
         k++) {
        char line[2048];
        const char *value = ses_config_get(s->config, k->name);
        const bool said = value != NULL &&
                          (k->initial == NULL || strcmp(value, k->initial) != 0 ||
                           strcmp(k->name, "listen") == 0 || strcmp(k->name, "rpc-listen") == 0 ||
                           strcmp(k->name, "capacity") == 0);
        const int n = snprintf(line, sizeof line, "# %s\n%s%s = %s\n", k->help, said ? "" : "# ",
                               k->name, value != NULL ? value : "");
        err = n > 0 && (size_t)n < sizeof line ? ses_buf_append(&text, line, (size_t)n)
                                               : SES_ERR_TOO_LARGE;
    }
    if (err == SES_OK) {
        err = ses_file_write(path, text.bytes, text.len, 0600, note); /* URLs may hold a password */
    }
    ses_buf_free(&text);
    return err;
}

static json_t *request_json(const struct settings *s, const struct node_keys *keys,
                            const struct ses_endpoint *endpoint, const char *config)
{
    char id[SES_ID_TEXT_MAX];
    const char *owner = ses_config_get(s->config, "owner");
    ses_node_id_text(id, &keys->node_id);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:s*}", "nodeId", id, "publicKey",
                     ses_json_hex(keys->public_keys.public_key.bytes, SES_DSA_PK_BYTES),
                     "encryptionKey",
                     ses_json_hex(keys->public_keys.encryption_key.bytes, SES_KEM_PK_BYTES),
                     "capacity", ses_json_u64(s->capacity), "endpoint", endpoint_json(endpoint),
                     "config", config, "owner", owner);
}

static enum ses_err write_request(const struct settings *s, const struct node_keys *keys,
                                  char path[PATH_CHARS], struct ses_note *note)
{
    char config[PATH_CHARS];
    char real[PATH_MAX];
    struct ses_endpoint endpoint;
    SES_TRY(ses_endpoint_make(&endpoint, s, &keys->peer_pk, note));
    SES_TRY(ses_settings_path(s, "sessiond.conf", config));
    SES_TRY(ses_settings_path(s, "registration.json", path));
    SES_REQUIRE(realpath(config, real) != NULL, SES_ERR_IO);
    json_t *json = request_json(s, keys, &endpoint, real);
    char *text = json != NULL ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    SES_REQUIRE(text != NULL, SES_ERR_MEMORY);
    const enum ses_err err = ses_file_write(path, text, strlen(text), 0644, note);
    free(text); /* jansson's own */
    return err;
}

/* ---- init ---- */
/* What is announced goes to the chain: others must be able to dial it. */
static enum ses_err check_announced(const struct settings *s, struct ses_note *note)
{
    for (uint32_t i = 0; i < s->announce_cnt; i++) {
        const char *addr = s->announce[i];
        const char *tail = strrchr(addr, '/');
        if (strncmp(addr, "/ip4/0.0.0.0/", 13) == 0 || strncmp(addr, "/ip6/::/", 8) == 0 ||
            (tail != NULL && strcmp(tail, "/0") == 0)) {
            ses_note_set(note,
                         "%.100s cannot be dialled by others: give the public address, --announce "
                         "/ip4/203.0.113.5/tcp/22020",
                         addr);
            return SES_ERR_CONFIG;
        }
    }
    return SES_OK;
}

static enum ses_err check_intent(const struct settings *s, struct ses_note *note)
{
    const bool open = ses_config_flag(s->config, "no-passphrase");
    const char *owner = ses_config_get(s->config, "owner");
    struct ses_account account;
    SES_TRY(check_announced(s, note));
    if (open == (s->passphrase_file != NULL)) {
        ses_note_set(note, "give either --passphrase-file FILE (the key is sealed) or "
                           "--no-passphrase (it is stored in the clear, mode 0600)");
        return SES_ERR_CONFIG;
    }
    if (owner != NULL && ses_account_parse(&account, owner) != SES_OK) {
        ses_note_set(note, "owner: %.100s is no account: write LUX-...", owner);
        return SES_ERR_CONFIG;
    }
    if (mkdir(s->data, 0700) != 0 && errno != EEXIST) {
        ses_note_set(note, "cannot create the data directory %.250s: %s", s->data, strerror(errno));
        return SES_ERR_PERMISSION;
    }
    return SES_OK;
}

/* The paths in the configuration must hold wherever sessiond is started from. */
static enum ses_err make_absolute(struct settings *s, char real[PATH_MAX], struct ses_note *note)
{
    char line[PATH_MAX + 16];
    SES_REQUIRE(realpath(s->data, real) != NULL, SES_ERR_IO);
    const int n = snprintf(line, sizeof line, "data = %s\n", real);
    SES_REQUIRE(n > 0 && (size_t)n < sizeof line, SES_ERR_TOO_LARGE);
    SES_TRY(ses_config_read_text(s->config, "init", line, (size_t)n, note));
    s->data = ses_config_get(s->config, "data");
    return SES_OK;
}

static enum ses_err create(struct settings *s, struct node_keys *keys, char path[PATH_CHARS],
                           struct ses_note *note)
{
    char *passphrase = NULL;
    char real[PATH_MAX];
    SES_TRY(check_intent(s, note));
    SES_TRY(make_absolute(s, real, note));
    SES_TRY(ses_passphrase_read(&passphrase, s, note));
    const enum ses_err err = ses_node_keys_create(s, passphrase, note);
    ses_secret_free(passphrase);
    SES_TRY(err);
    SES_TRY(ses_node_keys_load(keys, s, note));
    SES_TRY(write_config(s, note));
    return write_request(s, keys, path, note);
}

static void tell(const struct settings *s, const struct node_keys *keys, const char *path)
{
    char id[SES_ID_TEXT_MAX];
    struct ses_note note = {{0}};
    struct ses_chain_params params;
    ses_node_id_text(id, &keys->node_id);
    printf("node        %s\nconfig      %s/sessiond.conf\nregister    session node register "
           "--request %s --stake LUX\nstart       sessiond --config %s/sessiond.conf\n",
           id, s->data, path, s->data);
    if (ses_chain_params_get(s, &params, &note) != SES_OK) {
        fprintf(stderr,
                "%s: the chain does not answer now (%s); sessiond asks it again when it starts\n",
                PROGRAM, note.text);
    }
}

enum exit_code ses_init_main(int argc, char **argv)
{
    static const struct ses_config_key own[] = {
        {"owner", NULL, "account that will own the node, LUX-...", false},
        {"no-passphrase", NULL, "store the node key in the clear", true},
        {NULL, NULL, NULL, false},
    };
    struct ses_config_key keys[EXTRA_KEYS_MAX];
    struct settings s;
    struct node_keys node = {0};
    struct ses_note note = {{0}};
    char path[PATH_CHARS];
    join_keys(keys, own);
    enum ses_err err = ses_settings_read(&s, keys, &argc, argv, &note);
    if (err != SES_OK) {
        return complain(err, &note);
    }
    err = create(&s, &node, path, &note);
    if (err == SES_OK) {
        tell(&s, &node, path);
    }
    ses_node_keys_close(&node);
    ses_settings_free(&s);
    return err == SES_OK ? EXIT_DONE : complain(err, &note);
}

/* ---- sign-registration ---- */
static enum ses_err read_terms(struct ses_tx_register *body, const struct settings *s,
                               struct ses_note *note)
{
    unsigned long long v = 0;
    const char *owner = ses_config_get(s->config, "owner");
    if (owner == NULL || ses_account_parse(&body->owner, owner) != SES_OK) {
        ses_note_set(note, "--owner LUX-... is needed: the account that registers the node");
        return SES_ERR_CONFIG;
    }
    SES_TRY(ses_config_u64(s->config, "stake", 1, ~0ull, &v, note));
    body->stake = v;
    SES_TRY(ses_config_u64(s->config, "nonce", 0, ~0ull, &v, note));
    body->nonce = v;
    SES_TRY(ses_config_u64(s->config, "fee", 0, ~0ull, &v, note));
    body->fee = v;
    return SES_OK;
}

/* The node's auth (kind 2, node id, signature) over the body, as one line of hex. */
static enum ses_err sign(const struct settings *s, const struct node_keys *keys,
                         struct ses_note *note)
{
    struct ses_chain_params chain;
    struct ses_tx tx = {.type = SES_TX_REGISTER};
    struct ses_tx_register *body = &tx.body.reg;
    uint8_t bytes[SES_TX_BYTES_MAX];
    char hex[2 * (21 + SES_DSA_SIG_BYTES) + 1];
    struct ses_writer w;
    SES_TRY(read_terms(body, s, note));
    SES_TRY(ses_chain_params_get(s, &chain, note));
    SES_TRY(ses_endpoint_make(&body->endpoint, s, &keys->peer_pk, note));
    body->node_id = keys->node_id;
    body->public_key = keys->public_keys.public_key;
    body->encryption_key = keys->public_keys.encryption_key;
    body->capacity = s->capacity;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_tx_write_body(&w, &tx);
    SES_TRY(ses_writer_done(&w));
    const size_t body_len = w.len;
    SES_TRY(ses_tx_sign(&w, &chain.chain_id, bytes, body_len, SES_AUTH_NODE, keys->dsa,
                        ses_random_system()));
    SES_TRY(ses_writer_done(&w));
    SES_ASSERT(w.len - body_len == (sizeof hex - 1) / 2);
    ses_hex_encode(hex, bytes + body_len, w.len - body_len);
    puts(hex);
    return SES_OK;
}

enum exit_code ses_sign_registration_main(int argc, char **argv)
{
    static const struct ses_config_key own[] = {
        {"owner", NULL, "account that registers the node, LUX-...", false},
        {"stake", NULL, "nLUX", false},
        {"nonce", NULL, "the owner's next nonce", false},
        {"fee", NULL, "nLUX", false},
        {NULL, NULL, NULL, false},
    };
    struct ses_config_key keys[EXTRA_KEYS_MAX];
    struct settings s;
    struct node_keys node = {0};
    struct ses_note note = {{0}};
    join_keys(keys, own);
    enum ses_err err = ses_settings_read(&s, keys, &argc, argv, &note);
    if (err != SES_OK) {
        return complain(err, &note);
    }
    err = ses_node_keys_load(&node, &s, &note);
    if (err == SES_OK) {
        err = sign(&s, &node, &note);
    }
    ses_node_keys_close(&node);
    ses_settings_free(&s);
    return err == SES_OK ? EXIT_DONE : complain(err, &note);
}
