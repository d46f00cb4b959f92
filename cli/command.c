/* The table of commands: finding one, its help, its options, running it. */
#include "cli/cli_internal.h"

#include <string.h>

#define KEYS_MAX 48u

static const struct cli_command *const tables[] = {
    cli_id_commands,           cli_message_commands, cli_inbox_commands,
    cli_chain_commands,        cli_node_commands,    cli_audit_commands,
    cli_audit_forest_commands, cli_file_commands,    cli_devnet_commands,
};

/* Each set belongs to what a command needs. */
static const struct ses_config_key chain_keys[] = {
    {"chain", NULL, "URL[,URL...] of the chain's JSON-RPC", false},
    {0},
};
static const struct ses_config_key person_keys[] = {
    {"profile", NULL, "directory of this person's data (default ~/.local/share/session)", false},
    {"passphrase-file", NULL, "file whose first line is the passphrase", false},
    {"no-passphrase", "false", "the identity is stored in the clear", true},
    {0},
};
static const struct ses_config_key common_keys[] = {
    {"json", "false", "print one JSON object", true},
    {"help", "false", "print this help", true},
    {0},
};

/* How many of argv[1..] the words of `command` match; 0 if they do not. */
static int words_match(const char *words, int argc, char **argv)
{
    int at = 1;
    while (*words != 0) {
        const size_t len = strcspn(words, " ");
        if (at >= argc || strlen(argv[at]) != len || memcmp(argv[at], words, len) != 0) {
            return 0;
        }
        words += len;
        words += *words == ' ';
        at++;
    }
    return at - 1;
}

static const struct cli_command *command_find(int argc, char **argv, int *word_cnt)
{
    for (size_t t = 0; t < SES_COUNT(tables); t++) {
        for (const struct cli_command *c = tables[t]; c->words != NULL; c++) {
            *word_cnt = words_match(c->words, argc, argv);
            if (*word_cnt > 0) {
                return c;
            }
        }
    }
    return NULL;
}

static void help_all(FILE *to)
{
    fprintf(to,
            "session %s: private messages that a quantum computer cannot open\n\n"
            "Usage: session COMMAND [ARGUMENTS] [OPTIONS]     session COMMAND --help\n\n",
            SES_VERSION);
    for (size_t t = 0; t < SES_COUNT(tables); t++) {
        for (const struct cli_command *c = tables[t]; c->words != NULL; c++) {
            char usage[96];
            snprintf(usage, sizeof usage, "%s %s", c->words, c->args);
            fprintf(to, "  %-44s %s\n", usage, c->help);
        }
        if (tables[t] != cli_audit_commands) { /* more of these follow */
            fputc('\n', to);
        }
    }
    fprintf(to, "Try it:  session devnet up     starts a whole network on this machine\n\n"
                "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable.\n");
}

static void help_one(const struct cli_command *command, const struct ses_config_key *keys)
{
    printf("Usage: session %s%s%s [OPTIONS]\n\n%s\n\nExample:\n  %s\n\nOptions (each also in the "
           "environment: --chain is SESSION_CHAIN):\n",
           command->words, command->args[0] != 0 ? " " : "", command->args, command->help,
           command->example);
    ses_config_help(keys);
}

static void keys_add(struct ses_config_key keys[KEYS_MAX], size_t *cnt,
                     const struct ses_config_key *more)
{
    for (const struct ses_config_key *k = more; k != NULL && k->name != NULL; k++) {
        SES_ASSERT(*cnt + 1 < KEYS_MAX);
        keys[(*cnt)++] = *k;
    }
    keys[*cnt] = (struct ses_config_key){0};
}

static void keys_collect(struct ses_config_key keys[KEYS_MAX], const struct cli_command *command)
{
    size_t cnt = 0;
    keys_add(keys, &cnt, command->keys);
    keys_add(keys, &cnt, command->needs != CLI_NOTHING ? chain_keys : NULL);
    keys_add(keys, &cnt, command->needs == CLI_PERSON ? person_keys : NULL);
    keys_add(keys, &cnt, common_keys);
}

/* `argv` keeps its first word and loses the command's: what is left are options and arguments. */
static enum ses_err options_read(struct cli *cli, int *argc, char **argv, int word_cnt)
{
    for (int i = 1; i + word_cnt < *argc; i++) {
        argv[i] = argv[i + word_cnt];
    }
    *argc -= word_cnt;
    SES_TRY(ses_config_read_env(cli->config, "SESSION", &cli->note));
    SES_TRY(ses_config_read_args(cli->config, argc, argv, &cli->note));
    cli->arg_cnt = *argc - 1;
    cli->args = argv + 1;
    cli->json = ses_config_flag(cli->config, "json");
    return SES_OK;
}

static enum ses_err command_run(struct cli *cli, const struct cli_command *command,
                                const struct ses_config_key *keys, int argc, char **argv,
                                int word_cnt)
{
    SES_TRY(options_read(cli, &argc, argv, word_cnt));
    if (ses_config_flag(cli->config, "help")) {
        help_one(command, keys);
        return SES_OK;
    }
    if (cli->arg_cnt < command->arg_min || cli->arg_cnt > command->arg_max) {
        const bool extra = cli->arg_cnt > command->arg_max;
        return cli_fail(cli, SES_ERR_INVALID,
                        "%s%.100s%susage: session %s%s%s     (session %s --help)",
                        extra ? "\"" : "", extra ? cli->args[command->arg_max] : "",
                        extra ? "\" is one argument too many; " : "", command->words,
                        command->args[0] != 0 ? " " : "", command->args, command->words);
    }
    return command->run(cli);
}

static void error_print(const struct cli *cli, enum ses_err err)
{
    const char *text = cli->note.text[0] != 0 ? cli->note.text : ses_err_text(err);
    if (!cli->json) {
        fprintf(stderr, "session: %s\n", text);
        return;
    }
    json_t *error = json_pack("{s:{s:s,s:s}}", "error", "name", ses_err_name(err), "message", text);
    if (error != NULL) {
        json_dumpf(error, stderr, JSON_COMPACT);
        fputc('\n', stderr);
        json_decref(error);
    }
}

static int run_found(const struct cli_command *command, int argc, char **argv, int word_cnt)
{
    struct ses_config_key keys[KEYS_MAX];
    keys_collect(keys, command);
    struct cli cli = {0};
    enum ses_err err = ses_config_new(&cli.config, keys);
    if (err == SES_OK) {
        err = command_run(&cli, command, keys, argc, argv, word_cnt);
    }
    if (err != SES_OK) {
        error_print(&cli, err);
    }
    cli_close(&cli);
    ses_config_free(cli.config);
    return cli_exit_code(err);
}

/* A word that begins commands, with no command of its own: show those. */
static int help_group(const char *word, bool asked)
{
    FILE *to = asked ? stdout : stderr;
    bool found = false;
    for (size_t t = 0; t < SES_COUNT(tables); t++) {
        for (const struct cli_command *c = tables[t]; c->words != NULL; c++) {
            const size_t len = strlen(word);
            if (strncmp(c->words, word, len) == 0 && c->words[len] == ' ') {
                char usage[96];
                snprintf(usage, sizeof usage, "%s %s", c->words, c->args);
                fprintf(to, "  session %-44s %s\n", usage, c->help);
                found = true;
            }
        }
    }
    if (!found) {
        fprintf(stderr, "session: there is no command \"%.60s\"; session --help lists them\n",
                word);
    }
    return found && asked ? 0 : 2;
}

int ses_cli_run(int argc, char **argv)
{
    if (ses_crypto_init() != SES_OK) {
        fprintf(stderr, "session: the cryptographic libraries did not start\n");
        return 1;
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        help_all(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("session %s\n", SES_VERSION);
        return 0;
    }
    int word_cnt = 0;
    const struct cli_command *command = command_find(argc, argv, &word_cnt);
    if (command == NULL) {
        return help_group(argv[1], argc == 3 && strcmp(argv[2], "--help") == 0);
    }
    return run_found(command, argc, argv, word_cnt);
}
