/* From registration.json to a transaction that owner and node have signed. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/devnet_internal.h"
#include "cli/node_internal.h"

#define REQUEST_MAX (64u << 10)
#define NODE_AUTH_BYTES (1u + 20u + SES_DSA_SIG_BYTES)

static enum ses_err endpoint_read(struct cli *cli, const json_t *json, struct ses_endpoint *out)
{
    const char *hex = json_string_value(json_object_get(json, "endpoint"));
    uint8_t bytes[SES_ENDPOINT_BYTES_MAX];
    const size_t len = hex == NULL ? 0 : strlen(hex) / 2;
    if (len == 0 || len > sizeof bytes || ses_hex_decode(bytes, len, hex) != SES_OK) {
        return cli_fail(cli, SES_ERR_MALFORMED,
                        "registration: \"endpoint\" is no hex of at most %u "
                        "bytes",
                        SES_ENDPOINT_BYTES_MAX);
    }
    struct ses_reader r;
    ses_reader_init(&r, bytes, len);
    ses_endpoint_read(&r, out);
    if (ses_reader_done(&r) != SES_OK) {
        return cli_fail(cli, SES_ERR_MALFORMED, "registration: \"endpoint\" is malformed");
    }
    return SES_OK;
}

static enum ses_err request_read(struct cli *cli, struct cli_registration *reg, const json_t *json)
{
    struct ses_tx_register *body = &reg->body;
    const char *config = json_string_value(json_object_get(json, "config"));
    const char *node_id = json_string_value(json_object_get(json, "nodeId"));
    SES_TRY(
        ses_json_get_hex(json, "publicKey", body->public_key.bytes, SES_DSA_PK_BYTES, &cli->note));
    SES_TRY(ses_json_get_hex(json, "encryptionKey", body->encryption_key.bytes, SES_KEM_PK_BYTES,
                             &cli->note));
    SES_TRY(ses_json_get_u64(json, "capacity", &body->capacity, &cli->note));
    SES_TRY(endpoint_read(cli, json, &body->endpoint));
    ses_node_id_of(&body->node_id, &body->public_key);
    ses_node_id_text(reg->node_text, &body->node_id);
    if (node_id == NULL || strcmp(node_id, reg->node_text) != 0) {
        return cli_fail(cli, SES_ERR_CHECKSUM,
                        "registration: \"nodeId\" does not follow from \"publicKey\"; make the "
                        "request anew with sessiond init");
    }
    snprintf(reg->config, sizeof reg->config, "%s", config == NULL ? "" : config);
    return SES_OK;
}

enum ses_err cli_registration_read(struct cli *cli, struct cli_registration *reg, const char *path)
{
    memset(reg, 0, sizeof *reg);
    struct ses_buf text = {0};
    json_error_t why;
    enum ses_err err = cli_read_file(cli, path, REQUEST_MAX, &text);
    if (err == SES_OK) {
        json_t *json = json_loadb((const char *)text.bytes, text.len, JSON_REJECT_DUPLICATES, &why);
        err = json == NULL ? cli_fail(cli, SES_ERR_MALFORMED, "%.100s is no JSON: line %d: %.150s",
                                      path, why.line, why.text)
                           : request_read(cli, reg, json);
        json_decref(json);
    }
    ses_buf_free(&text);
    return err;
}

/* The command that makes the node sign, as argv for the same machine and as text for another. */
struct sign_command {
    char owner[SES_ID_TEXT_MAX];
    char stake[32];
    char nonce[32];
    char fee[32];
    char program[DEVNET_PATH_MAX];
};

static void sign_command_make(struct sign_command *c, const struct ses_tx_register *body)
{
    ses_account_text(c->owner, &body->owner);
    snprintf(c->stake, sizeof c->stake, "%llu", (unsigned long long)body->stake);
    snprintf(c->nonce, sizeof c->nonce, "%llu", (unsigned long long)body->nonce);
    snprintf(c->fee, sizeof c->fee, "%llu", (unsigned long long)body->fee);
    devnet_program(c->program, "sessiond");
}

static enum ses_err pipe_read_all(int fd, char *out, size_t cap)
{
    size_t len = 0;
    while (len + 1 < cap) {
        const ssize_t got = read(fd, out + len, cap - 1 - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        SES_REQUIRE(got >= 0, SES_ERR_IO);
        if (got == 0) {
            break;
        }
        len += (size_t)got;
    }
    out[len] = 0;
    return SES_OK;
}

/* Runs argv; its standard output (one line) goes to `out`. */
static enum ses_err run_for_output(char *const argv[], char *out, size_t cap)
{
    int ends[2];
    SES_REQUIRE(pipe(ends) == 0, SES_ERR_IO);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    enum ses_err err = pid > 0 ? pipe_read_all(ends[0], out, cap) : SES_ERR_MEMORY;
    close(ends[0]);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    SES_TRY(err);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? SES_OK : SES_ERR_IO;
}

static enum ses_err node_auth_local(struct cli *cli, const struct cli_registration *reg, char *hex,
                                    size_t cap)
{
    struct sign_command c;
    sign_command_make(&c, &reg->body);
    if (access(reg->config, R_OK) != 0) {
        return cli_fail(cli, SES_ERR_AGAIN,
                        "the node must sign too. Run on its machine:  sessiond sign-registration "
                        "--config %.120s --owner %s --stake %s --nonce %s --fee %s  and give its "
                        "output here with --node-auth",
                        reg->config, c.owner, c.stake, c.nonce, c.fee);
    }
    char *argv[] = {c.program,  "sign-registration",
                    "--config", (char *)(uintptr_t)reg->config,
                    "--owner",  c.owner,
                    "--stake",  c.stake,
                    "--nonce",  c.nonce,
                    "--fee",    c.fee,
                    NULL};
    const enum ses_err err = run_for_output(argv, hex, cap);
    return err == SES_OK ? SES_OK
                         : cli_fail(cli, err, "the node did not sign; its message is above");
}

static enum ses_err node_auth_get(struct cli *cli, const struct cli_registration *reg,
                                  uint8_t auth[NODE_AUTH_BYTES])
{
    char text[2 * NODE_AUTH_BYTES + 64];
    const char *given = reg->node_auth;
    if (given == NULL) {
        SES_TRY(node_auth_local(cli, reg, text, sizeof text));
        text[strcspn(text, "\r\n")] = 0;
        given = text;
    }
    if (ses_hex_decode(auth, NODE_AUTH_BYTES, given) != SES_OK || auth[0] != SES_AUTH_NODE ||
        memcmp(auth + 1, reg->body.node_id.bytes, 20) != 0) {
        return cli_fail(cli, SES_ERR_MALFORMED,
                        "the node's signature is not what `sessiond sign-registration` prints for "
                        "%s",
                        reg->node_text);
    }
    return SES_OK;
}

enum ses_err cli_registration_submit(struct cli *cli, struct ses_rpc_client *chain,
                                     struct cli_registration *reg, const struct ses_identity *owner,
                                     uint64_t stake, struct ses_hash *tx_id)
{
    uint8_t auth[NODE_AUTH_BYTES];
    reg->body.owner = owner->account;
    reg->body.stake = stake;
    SES_TRY(cli_tx_terms(cli, chain, &owner->account, &reg->body.nonce, &reg->body.fee));
    SES_TRY(node_auth_get(cli, reg, auth));
    struct ses_tx_send *send = ses_alloc(1, sizeof *send);
    SES_REQUIRE(send != NULL, SES_ERR_MEMORY);
    send->tx.type = SES_TX_REGISTER;
    send->tx.body.reg = reg->body;
    send->signer = owner;
    send->node_auth = auth;
    send->node_auth_len = sizeof auth;
    enum ses_err err = cli_tx_submit(cli, chain, send, tx_id);
    ses_free(send);
    if (err == SES_ERR_SIGNATURE && reg->node_auth != NULL) {
        struct sign_command c;
        sign_command_make(&c, &reg->body);
        err =
            cli_fail(cli, err,
                     "the node signed something else: run on its machine once more:  sessiond "
                     "sign-registration --config %.120s --owner %s --stake %s --nonce %s --fee %s",
                     reg->config, c.owner, c.stake, c.nonce, c.fee);
    }
    return err;
}
