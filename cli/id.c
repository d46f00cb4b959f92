/* session id ...: the person's identity. */
#include "cli/cli_internal.h"

#include <string.h>

#define CARD_FILE_MAX 16384u

static enum ses_err id_print(struct cli *cli, const char *headline)
{
    struct ses_session_id owner;
    struct ses_account payer;
    cli->why.text[0] = 0;
    SES_TRY(cli_client_err(cli, (int)ses_client_owner(cli->client, &owner, &payer, &cli->note)));
    char id[SES_SESSION_ID_TEXT];
    char account[SES_ID_TEXT_MAX];
    ses_session_id_text(id, &owner);
    ses_account_text(account, &payer);
    if (!cli->json) {
        printf("%s%s\n", headline, id);
    }
    return cli_print_json(cli, json_pack("{s:s,s:s}", "id", id, "account", account));
}

/* Without a chain the identity is complete, but strangers need its card in the network. */
static enum ses_err card_publish_if_online(struct cli *cli)
{
    if (ses_config_get(cli->config, "chain") == NULL) {
        if (!cli->json) {
            printf("Offline: give --chain and run `session id card --publish`, so that others can "
                   "write to this ID.\n");
        }
        return SES_OK;
    }
    const char *name = ses_config_get(cli->config, "name");
    const enum ses_err err =
        cli_client_err(cli, ses_client_publish_card(cli->client, name, &cli->why));
    if (err != SES_OK) {
        fprintf(stderr,
                "session: the identity is saved, but its card is not in the network yet (%s). It "
                "is published by the next command that reaches it.\n",
                cli->note.text[0] != 0 ? cli->note.text : ses_err_text(err));
        cli->note.text[0] = 0;
    }
    return SES_OK;
}

static enum ses_err id_new(struct cli *cli)
{
    SES_TRY(cli_client_make(cli));
    const char *passphrase = ses_config_flag(cli->config, "no-passphrase") ? "" : NULL;
    SES_TRY(cli_client_err(cli, ses_client_create(cli->client, passphrase, &cli->why)));
    SES_TRY(card_publish_if_online(cli));
    SES_TRY(id_print(cli, "Your Session ID: "));
    if (!cli->json) {
        const char *profile = ses_config_get(cli->config, "profile");
        printf("Write down its recovery phrase now: session id export%s%s\n",
               profile != NULL ? " --profile " : "", profile != NULL ? profile : "");
    }
    return SES_OK;
}

static enum ses_err id_show(struct cli *cli)
{
    SES_TRY(cli_client(cli));
    return id_print(cli, "");
}

/* Never in argv: it would be seen in the list of processes. */
static enum ses_err id_restore(struct cli *cli)
{
    SES_TRY(cli_client_make(cli));
    struct ses_buf text = {0};
    enum ses_err err = cli_read_file(cli, cli->args[0], 1024, &text);
    char *phrase = ses_secret_alloc(1025);
    if (err == SES_OK && phrase == NULL) {
        err = SES_ERR_MEMORY;
    }
    if (err == SES_OK) {
        memcpy(phrase, text.bytes, text.len);
        while (text.len > 0 && phrase[text.len - 1] == '\n') {
            phrase[--text.len] = 0;
        }
        const char *passphrase = ses_config_flag(cli->config, "no-passphrase") ? "" : NULL;
        err = cli_client_err(cli, ses_client_restore(cli->client, phrase, passphrase, &cli->why));
    }
    if (text.bytes != NULL) {
        ses_wipe(text.bytes, text.cap);
    }
    ses_buf_free(&text);
    ses_secret_free(phrase);
    SES_TRY(err);
    SES_TRY(card_publish_if_online(cli));
    return id_print(cli, "Restored: ");
}

static enum ses_err id_export(struct cli *cli)
{
    SES_TRY(cli_client(cli));
    char *phrase = ses_secret_alloc(SES_CLIENT_PHRASE_TEXT);
    SES_REQUIRE(phrase != NULL, SES_ERR_MEMORY);
    enum ses_err err =
        cli_client_err(cli, ses_client_export_phrase(cli->client, phrase, &cli->why));
    if (err == SES_OK) {
        fprintf(stderr, "Whoever has this phrase owns the identity:\n");
        printf("%s\n", phrase);
    }
    ses_secret_free(phrase);
    return err;
}

static enum ses_err card_write_file(struct cli *cli, const char *path)
{
    uint8_t card[CARD_FILE_MAX];
    size_t len = sizeof card;
    SES_TRY(cli_client_err(cli, ses_client_export_card(cli->client, card, &len, &cli->why)));
    SES_TRY(cli_write_file(cli, path, card, len, 0644));
    if (!cli->json && strcmp(path, "-") != 0) {
        printf("Card written to %s: whoever imports it can write to you.\n", path);
    }
    return SES_OK;
}

static enum ses_err card_import(struct cli *cli, const char *path)
{
    struct ses_buf bytes = {0};
    struct ses_client_card card = {0};
    SES_TRY(cli_client_make(cli));
    enum ses_err err = cli_read_file(cli, path, CARD_FILE_MAX, &bytes);
    if (err == SES_OK) {
        err = cli_client_err(
            cli, ses_client_import_card(cli->client, bytes.bytes, bytes.len, &card, &cli->why));
    }
    ses_buf_free(&bytes);
    SES_TRY(err);
    if (!cli->json) {
        printf("Card of %s%s%s\n", card.id, card.name[0] != 0 ? ", " : "", card.name);
    }
    return cli_print_json(cli, json_pack("{s:s,s:s}", "id", card.id, "name", card.name));
}

static enum ses_err id_card(struct cli *cli)
{
    const char *import = ses_config_get(cli->config, "import");
    const char *out = ses_config_get(cli->config, "out");
    if (import != NULL) {
        return card_import(cli, import);
    }
    SES_TRY(cli_client(cli));
    if (out != NULL) {
        return card_write_file(cli, out);
    }
    if (!ses_config_flag(cli->config, "publish")) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "say what to do with the card: --publish, --out FILE or --import FILE");
    }
    const char *name = ses_config_get(cli->config, "name");
    SES_TRY(cli_client_err(cli, ses_client_publish_card(cli->client, name, &cli->why)));
    return id_print(cli, "Published the card of ");
}

static const struct ses_config_key name_keys[] = {
    {"name", NULL, "name on the public card, at most 64 bytes", false},
    {0},
};
static const struct ses_config_key card_keys[] = {
    {"publish", "false", "put the card into the network", true},
    {"out", NULL, "write the card to this file (- for standard output)", false},
    {"import", NULL, "remember the card in this file", false},
    {"name", NULL, "name on the public card, at most 64 bytes", false},
    {0},
};

const struct cli_command cli_id_commands[] = {
    {"id new", "", "make an identity and publish its card", "session id new --name Alice", 0, 0,
     id_new, name_keys, CLI_PERSON},
    {"id show", "", "print the Session ID", "session id show", 0, 0, id_show, NULL, CLI_PERSON},
    {"id restore", "FILE", "restore one from its recovery phrase (- to type it)",
     "session id restore -", 1, 1, id_restore, name_keys, CLI_PERSON},
    {"id export", "", "print the recovery phrase", "session id export", 0, 0, id_export, NULL,
     CLI_PERSON},
    {"id card", "", "publish, write or import a contact card", "session id card --out alice.card",
     0, 0, id_card, card_keys, CLI_PERSON},
    {0},
};
