/* The program around the state machine: configuration, key file, chain over HTTP, sockets, local
 * JSON-RPC, signals. Blocking calls happen at start-up and on workers only. */
#ifndef SES_DAEMON_PROGRAM_H
#define SES_DAEMON_PROGRAM_H

#include <string.h>

#include "daemon/daemon.h"

#define PROGRAM "sessiond"
#define PATH_CHARS 512u

/* Exit codes of the operations page. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_REFUSED = 4,
    EXIT_UNREACHABLE = 5,
};
enum exit_code ses_exit_code(enum ses_err err);

/* ---- settings.c ---- */
#define SETTINGS_ADDRS_MAX 8u
struct settings {
    struct ses_config *config; /* owns the texts */
    const char *file;          /* NULL without --config */
    const char *data;
    const char *chain;
    const char *rpc_listen;
    uint32_t rpc_per_address;
    const char *passphrase_file; /* NULL: none */
    const char *log_file;        /* NULL: standard error */
    bool log_json;
    enum ses_log_level log_level;
    uint64_t capacity;
    uint64_t connections_max;
    uint64_t store_rate, read_rate;
    uint64_t key_hours;
    uint64_t scrub_rate;
    uint32_t listen_cnt, announce_cnt;
    char listen[SETTINGS_ADDRS_MAX][SES_MULTIADDR_TEXT_MAX];
    char announce[SETTINGS_ADDRS_MAX][SES_MULTIADDR_TEXT_MAX];
};
extern const struct ses_config_key ses_settings_keys[];
/* Takes --config out of argv, then reads file, environment and options with `keys` (a superset of
 * ses_settings_keys). Checks every value. */
SES_CHECKED enum ses_err ses_settings_read(struct settings *s, const struct ses_config_key *keys,
                                           int *argc, char **argv, struct ses_note *note);
void ses_settings_free(struct settings *s);
/* DIR/name; ERR_TOO_LARGE. */
SES_CHECKED enum ses_err ses_settings_path(const struct settings *s, const char *name,
                                           char out[PATH_CHARS]);

/* ---- keys.c: DIR/node.key ---- */
struct node_secret {
    struct ses_dsa_seed dsa;
    struct ses_kem_seed kem;
    struct ses_ed25519_seed peer;
};
struct node_keys {
    struct node_secret *secret;       /* guarded memory */
    struct ses_node_secrets *derived; /* guarded memory */
    struct ses_dsa_private *dsa;
    struct ses_node_keys public_keys;
    struct ses_ed25519_pk peer_pk;
    struct ses_node_id node_id;
};
SES_CHECKED enum ses_err ses_node_keys_create(const struct settings *s, const char *passphrase,
                                              struct ses_note *note);
SES_CHECKED enum ses_err ses_node_keys_load(struct node_keys *keys, const struct settings *s,
                                            struct ses_note *note);
void ses_node_keys_close(struct node_keys *keys);
/* First line of the passphrase file into guarded memory (ses_secret_free); *out NULL if no file is
 * configured. */
SES_CHECKED enum ses_err ses_passphrase_read(char **out, const struct settings *s,
                                             struct ses_note *note);

/* ---- chain_http.c: struct ses_chain over JSON-RPC, and the parameters on disk ---- */
struct chain_http;
SES_CHECKED enum ses_err ses_chain_http_new(struct chain_http **out, const char *urls,
                                            const struct ses_loop *loop, struct ses_note *note);
/* After every call was answered. */
void ses_chain_http_free(struct chain_http *chain);
struct ses_chain ses_chain_http_face(struct chain_http *chain);
SES_CHECKED enum ses_err ses_chain_http_params(struct chain_http *chain,
                                               void (*done)(void *cookie, enum ses_err err,
                                                            const struct ses_chain_params *params,
                                                            const struct ses_note *note),
                                               void *cookie);
/* DIR/chain.json: what the genesis fixed, kept so that a start needs no chain. */
SES_CHECKED enum ses_err ses_chain_file_save(const struct settings *s,
                                             const struct ses_chain_params *params,
                                             struct ses_note *note);
/* ERR_NOT_FOUND before the first contact. */
SES_CHECKED enum ses_err ses_chain_file_load(const struct settings *s,
                                             struct ses_chain_params *params,
                                             struct ses_note *note);
/* From the file, else from the chain (blocking, then saved). */
SES_CHECKED enum ses_err ses_chain_params_get(const struct settings *s,
                                              struct ses_chain_params *params,
                                              struct ses_note *note);

/* ---- init.c ---- */
enum exit_code ses_init_main(int argc, char **argv);
enum exit_code ses_sign_registration_main(int argc, char **argv);
/* The encoded endpoint of the registration: peer key and announced addresses. */
SES_CHECKED enum ses_err ses_endpoint_make(struct ses_endpoint *out, const struct settings *s,
                                           const struct ses_ed25519_pk *peer_pk,
                                           struct ses_note *note);

/* ---- local_rpc.c: the local port ---- */
struct local_rpc;
struct local_rpc_params {
    struct ses_uv *uv;
    const char *listen;
    uint32_t per_address; /* connections of one address */
    const char *chain_urls;
    const struct ses_log *log;
    /* On the loop. */
    json_t *(*status)(void *cookie);  /* whole object with "links" and "challenges" */
    json_t *(*storage)(void *cookie); /* NULL: not open yet */
    char *(*metrics)(void *cookie);
    bool (*ready)(void *cookie, struct ses_note *why);
    void *cookie;
};
SES_CHECKED enum ses_err ses_local_rpc_new(struct local_rpc **out,
                                           const struct local_rpc_params *params,
                                           struct ses_note *note);
/* After the loop stopped for good; wakes handlers that wait for it. */
void ses_local_rpc_free(struct local_rpc *rpc);

/* ---- verify_store.c ---- */
enum exit_code ses_verify_store_main(int argc, char **argv);

/* ---- run.c ---- */
enum exit_code ses_run_main(int argc, char **argv);
enum exit_code ses_check_config_main(int argc, char **argv);
enum exit_code ses_status_main(int argc, char **argv);

#endif
