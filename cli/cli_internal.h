/* What the commands share: the running command, its options, output, and how to reach the chain. */
#ifndef SES_CLI_INTERNAL_H
#define SES_CLI_INTERNAL_H

#include <jansson.h>

#include "base/base.h"
#include "cli/cli.h"
#include "client/client.h"
#include "rpc/rpc.h"

struct cli {
    struct ses_config *config;
    int arg_cnt; /* positional arguments behind the command's words */
    char **args;
    bool json;
    struct ses_note note;       /* why the command failed */
    struct ses_note asked;      /* why no passphrase could be given when the client asked */
    struct ses_client *client;  /* opened by cli_client, closed when the command ends */
    struct ses_client_note why; /* of the client's last call: cli_client_err copies it */
};

typedef enum ses_err cli_fn(struct cli *cli);

struct cli_command {
    const char *words; /* "id new" */
    const char *args;  /* "TO [TEXT]" */
    const char *help;  /* one line */
    const char *example;
    int arg_min;
    int arg_max;
    cli_fn *run;
    const struct ses_config_key *keys; /* beside the common ones; ends with a zero entry */
    enum cli_needs {
        CLI_NOTHING,
        CLI_CHAIN,
        CLI_PERSON, /* and a chain, for most */
    } needs;        /* decides which of the common options it has */
};

/* Tables of the command files; each ends with a zero entry. */
extern const struct cli_command cli_id_commands[];
extern const struct cli_command cli_message_commands[];
extern const struct cli_command cli_inbox_commands[];
extern const struct cli_command cli_chain_commands[];
extern const struct cli_command cli_node_commands[];
extern const struct cli_command cli_audit_commands[];
extern const struct cli_command cli_audit_forest_commands[];
extern const struct cli_command cli_file_commands[];
extern const struct cli_command cli_devnet_commands[];

/* Listed with the inbox (verify.c, demand.c). */
cli_fn cli_verify;
cli_fn cli_demand;
extern const struct ses_config_key cli_verify_keys[];
extern const struct ses_config_key cli_demand_keys[];

/* ---- output (output.c) ---- */
/* Sets the note and returns `err`. */
enum ses_err cli_fail(struct cli *cli, enum ses_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* With --json prints `result` as one line; otherwise calls nothing. Steals the reference. Returns
 * SES_OK, or ERR_MEMORY for NULL. */
enum ses_err cli_print_json(struct cli *cli, json_t *result);
int cli_exit_code(enum ses_err err);
/* A line on standard error, only if it is a terminal. */
void cli_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "2026-11-20 18:30", local time. */
void cli_time_text(char out[32], uint64_t ms);
/* "12.5" LUX, or "5nLUX"; ERR_INVALID with a note. */
enum ses_err cli_lux_parse(struct cli *cli, const char *text, uint64_t *nlux);
/* The same for what a transaction moves: not 0. */
enum ses_err cli_lux_moved(struct cli *cli, const char *text, uint64_t *nlux);

/* ---- input (input.c) ---- */
/* The whole file, "-" for standard input; at most `max` bytes. */
enum ses_err cli_read_file(struct cli *cli, const char *path, size_t max, struct ses_buf *out);
/* An age or a date as unix milliseconds; ERR_INVALID with a note that names the option. */
enum ses_err cli_time_parse(struct cli *cli, const char *option, const char *text, uint64_t *out);
/* What the recipient sees of a path: the name without folders. */
const char *cli_file_name(const char *path);
/* Writes atomically with `mode`; "-" for standard output, devices and pipes are written to. */
enum ses_err cli_write_file(struct cli *cli, const char *path, const void *bytes, size_t len,
                            unsigned mode);
/* The folder, for this user only, and those above it that are missing. */
enum ses_err cli_make_dirs(struct cli *cli, const char *path);
/* The passphrase: --passphrase-file, else typed on the terminal. NULL with *out = NULL if the
 * configuration says no-passphrase. Free with cli_passphrase_free. */
enum ses_err cli_passphrase(struct cli *cli, bool confirm, char **out);
void cli_passphrase_free(char *passphrase);

/* ---- chain and profile (context.c) ---- */
/* Opens cli->client on the profile; the passphrase is asked for when it is needed. ERR_NOT_FOUND
 * without an identity. */
enum ses_err cli_client(struct cli *cli);
/* The same for what can do without an identity, or makes it: makes the profile. */
enum ses_err cli_client_make(struct cli *cli);
/* The result of a client call as ses_err, its note copied. */
enum ses_err cli_client_err(struct cli *cli, int err);
void cli_close(struct cli *cli);
/* The directory of the profile, whether it exists or not. */
enum ses_err cli_profile_dir(struct cli *cli, char *out, size_t cap);
/* A connection to the chain without a profile. ERR_CONFIG without --chain. */
enum ses_err cli_chain(struct cli *cli, struct ses_rpc_client **out);
/* Calls one method and hands the result (a new reference) over. */
enum ses_err cli_chain_call(struct cli *cli, const char *method, json_t *params, json_t **result);
/* The identity that signs for the operator: --owner-file, else the profile's. Free it with
 * ses_identity_free. */
enum ses_err cli_signer(struct cli *cli, struct ses_identity **out);

/* ---- transactions (tx.c) ---- */
/* Signs as the signer (showing its key), adds the node's auth if there is one, submits. */
enum ses_err cli_tx_submit(struct cli *cli, struct ses_rpc_client *chain,
                           const struct ses_tx_send *send, struct ses_hash *tx_id);
/* Adds to an error of too little money what to do. Returns `err`. */
enum ses_err cli_funds_hint(struct cli *cli, enum ses_err err);
/* Until it is in a block; ERR_TIMEOUT after a minute. */
enum ses_err cli_tx_wait(struct cli *cli, struct ses_rpc_client *chain,
                         const struct ses_hash *tx_id, uint64_t *height);
/* Prints what became of it. */
enum ses_err cli_tx_done(struct cli *cli, const struct ses_hash *tx_id, uint64_t height);
/* The nonce and fee that the next transaction of `account` takes. */
enum ses_err cli_tx_terms(struct cli *cli, struct ses_rpc_client *chain,
                          const struct ses_account *account, uint64_t *nonce, uint64_t *fee);

#endif
