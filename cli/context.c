/* Where a command finds the profile, the person and the chain. */
#include "cli/cli_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CHAIN_TIMEOUT_MS 10000u
#define PROFILE_MAX 1024u

enum ses_err cli_client_err(struct cli *cli, int err)
{
    if (err == SES_ERR_PASSPHRASE && cli->asked.text[0] != 0) {
        cli->note = cli->asked;
    } else if (err != 0 && cli->why.text[0] != 0) {
        memcpy(cli->note.text, cli->why.text, sizeof cli->note.text);
    }
    return (enum ses_err)err;
}

/* Asked by the client when the identity is locked, or a new one needs a passphrase. */
static int on_passphrase(void *cookie, enum ses_client_ask ask, char *out, size_t cap)
{
    struct cli *cli = cookie;
    char *passphrase = NULL;
    if (cli_passphrase(cli, ask == SES_CLIENT_ASK_NEW, &passphrase) != SES_OK) {
        cli->asked = cli->note;
        return 1;
    }
    const int len = snprintf(out, cap, "%s", passphrase == NULL ? "" : passphrase);
    cli_passphrase_free(passphrase);
    return len >= 0 && (size_t)len < cap ? 0 : 1;
}

enum ses_err cli_profile_dir(struct cli *cli, char *out, size_t cap)
{
    const char *given = ses_config_get(cli->config, "profile");
    const char *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    int len = 0;
    if (given != NULL) {
        len = snprintf(out, cap, "%s", given);
    } else if (data != NULL && data[0] == '/') {
        len = snprintf(out, cap, "%s/session", data);
    } else if (home != NULL) {
        len = snprintf(out, cap, "%s/.local/share/session", home);
    }
    if (len <= 0 || (size_t)len >= cap) {
        return cli_fail(cli, SES_ERR_CONFIG, "no profile directory: give --profile DIR");
    }
    return SES_OK;
}

enum ses_err cli_client_make(struct cli *cli)
{
    if (cli->client != NULL) {
        return SES_OK;
    }
    char profile[PROFILE_MAX];
    SES_TRY(cli_profile_dir(cli, profile, sizeof profile));
    if (ses_config_get(cli->config, "profile") == NULL) { /* a fresh home has no .local/share */
        SES_TRY(cli_make_dirs(cli, profile));
    }
    const struct ses_client_config config = {
        .size = sizeof config,
        .profile = profile,
        .chain = ses_config_get(cli->config, "chain"),
        .passphrase = on_passphrase,
        .cookie = cli,
    };
    return cli_client_err(cli, ses_client_open(&cli->client, &config, &cli->why));
}

/* A mistyped directory stays as it is. */
enum ses_err cli_client(struct cli *cli)
{
    char profile[PROFILE_MAX];
    char identity[PROFILE_MAX + 16];
    SES_TRY(cli_profile_dir(cli, profile, sizeof profile));
    snprintf(identity, sizeof identity, "%s/identity", profile);
    if (cli->client == NULL && access(identity, F_OK) != 0 && errno == ENOENT) {
        const bool given = ses_config_get(cli->config, "profile") != NULL;
        return cli_fail(cli, SES_ERR_NOT_FOUND,
                        "%.150s holds no identity: make one (session id new%s%.150s), restore one "
                        "(session id restore)%s",
                        profile, given ? " --profile " : "", given ? profile : "",
                        given ? "" : ", or say where one is (--profile DIR)");
    }
    return cli_client_make(cli);
}

void cli_close(struct cli *cli)
{
    ses_client_close(cli->client);
    cli->client = NULL;
}

enum ses_err cli_chain(struct cli *cli, struct ses_rpc_client **out)
{
    const char *urls = ses_config_get(cli->config, "chain");
    if (urls == NULL) {
        return cli_fail(cli, SES_ERR_CONFIG,
                        "which chain? give --chain http://127.0.0.1:PORT/rpc or set SESSION_CHAIN; "
                        "`session devnet up` prints one");
    }
    return ses_rpc_client_new(out, urls, CHAIN_TIMEOUT_MS, &cli->note);
}

enum ses_err cli_chain_call(struct cli *cli, const char *method, json_t *params, json_t **result)
{
    struct ses_rpc_client *chain = NULL;
    *result = NULL;
    enum ses_err err = cli_chain(cli, &chain);
    if (err == SES_OK) {
        err = ses_rpc_call(chain, method, params, result, &cli->note);
    } else {
        json_decref(params);
    }
    ses_rpc_client_free(chain);
    return err;
}

static enum ses_err signer_from_file(struct cli *cli, const char *path, struct ses_identity **out)
{
    uint8_t seed[32];
    size_t len = sizeof seed;
    enum ses_err err = ses_vault_file_read(path, SES_VAULT_IDENTITY, seed, &len, NULL, &cli->note);
    if (err == SES_ERR_INVALID) { /* it needs a passphrase */
        char *passphrase = NULL;
        err = cli_passphrase(cli, false, &passphrase);
        if (err == SES_OK) {
            len = sizeof seed;
            err = ses_vault_file_read(path, SES_VAULT_IDENTITY, seed, &len, passphrase, &cli->note);
        }
        cli_passphrase_free(passphrase);
    }
    if (err == SES_OK && len != sizeof seed) {
        err = cli_fail(cli, SES_ERR_MALFORMED, "%.200s holds no identity", path);
    }
    if (err == SES_OK) {
        err = ses_identity_new(out, seed);
    }
    ses_wipe(seed, sizeof seed);
    return err;
}

enum ses_err cli_signer(struct cli *cli, struct ses_identity **out)
{
    *out = NULL;
    const char *path = ses_config_get(cli->config, "owner-file");
    if (path != NULL) {
        return signer_from_file(cli, path, out);
    }
    const enum ses_err err = cli_client(cli);
    if (err == SES_ERR_NOT_FOUND) {
        const struct ses_note why = cli->note;
        return cli_fail(cli, err, "%.320s; or sign with another: --owner-file FILE", why.text);
    }
    SES_TRY(err);
    const struct ses_identity *identity = NULL;
    SES_TRY(cli_client_err(cli, (int)ses_client_identity(cli->client, &identity, &cli->why)));
    return ses_identity_new(out, identity->seed);
}
