/* sessiond: a service node. */
#include <signal.h>

#include "daemon/program.h"

static const char usage[] =
    "Usage: sessiond --config FILE [OPTION...]     serve\n"
    "       sessiond init --data DIR --chain URL --listen MULTIADDR [--announce ADDR,...]\n"
    "                     [--capacity BYTES] [--owner LUX-...]\n"
    "                     (--passphrase-file FILE | --no-passphrase)\n"
    "       sessiond check-config --config FILE    validate without starting\n"
    "       sessiond verify-store --config FILE    check every byte of a stopped node's store\n"
    "       sessiond status --config FILE          ask the running node\n"
    "       sessiond sign-registration --config FILE --owner LUX-... --stake NLUX --nonce N\n"
    "                     --fee NLUX               the node's half of its registration\n"
    "       sessiond version | --help\n"
    "\n"
    "Example:\n"
    "  sessiond init --data /var/lib/sessiond --chain http://127.0.0.1:9652/rpc \\\n"
    "      --listen /ip4/0.0.0.0/tcp/22020 --announce /ip4/203.0.113.5/tcp/22020 --no-passphrase\n"
    "  session node register --request /var/lib/sessiond/registration.json --stake 100\n"
    "  sessiond --config /var/lib/sessiond/sessiond.conf\n"
    "\n"
    "Options, also `key = value` in FILE and SESSIOND_KEY in the environment\n"
    "(option over environment over file):\n";

static enum exit_code help_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fputs(usage, stdout);
    ses_config_help(ses_settings_keys);
    puts("\nExit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable.");
    return EXIT_DONE;
}

static enum exit_code version_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts(PROGRAM " " SES_VERSION);
    return EXIT_DONE;
}

static const struct {
    const char *name;
    enum exit_code (*main)(int argc, char **argv);
} commands[] = {
    {"init", ses_init_main},
    {"check-config", ses_check_config_main},
    {"status", ses_status_main},
    {"sign-registration", ses_sign_registration_main},
    {"verify-store", ses_verify_store_main},
    {"version", version_main},
    {"--version", version_main},
    {"help", help_main},
    {"--help", help_main},
};

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2 || wants_help(argc, argv)) {
        const enum exit_code code = help_main(argc, argv);
        return argc < 2 ? EXIT_USAGE : (int)code;
    }
    signal(SIGPIPE, SIG_IGN);
    if (ses_crypto_init() != SES_OK) {
        fprintf(stderr, PROGRAM ": the cryptographic libraries cannot be initialised\n");
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < SES_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            argv[1] = argv[0];
            return (int)commands[i].main(argc - 1, argv + 1);
        }
    }
    if (argv[1][0] != '-') {
        fprintf(stderr, PROGRAM ": there is no command %.100s: see " PROGRAM " --help\n", argv[1]);
        return EXIT_USAGE;
    }
    return (int)ses_run_main(argc, argv);
}
