/* The program `sessionvm`. */
#include <signal.h>
#include <string.h>

#include "plugin/plugin.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_REFUSED = 4,
    EXIT_UNREACHABLE = 5
};

#define RPCCHAINVM 45
#define DECODE_BYTES_MAX 4194304u

static int exit_code(enum ses_err err)
{
    if (err == SES_OK) {
        return EXIT_OK;
    }
    if (err == SES_ERR_CONFIG || err == SES_ERR_INVALID) {
        return EXIT_USAGE;
    }
    if (err == SES_ERR_NOT_FOUND) {
        return EXIT_NOT_FOUND;
    }
    if (err == SES_ERR_UNREACHABLE || err == SES_ERR_TIMEOUT) {
        return EXIT_UNREACHABLE;
    }
    return err == SES_ERR_IN_USE || err == SES_ERR_PERMISSION || err >= SES_ERR_NONCE ? EXIT_REFUSED
                                                                                      : EXIT_FAILED;
}

/* Says what is wrong on standard error; returns the exit code. */
static int complain(enum ses_err err, const struct ses_note *note)
{
    fprintf(stderr, "sessionvm: %s\n", note->text[0] != 0 ? note->text : ses_err_text(err));
    return exit_code(err);
}

/* 0 unless standard output could not be written (a full disk, a closed pipe). */
static int flushed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return EXIT_OK;
    }
    fprintf(stderr, "sessionvm: cannot write to standard output\n");
    return EXIT_FAILED;
}

/* ---- options ---- */

/* Options that may be given more than once: taken out of argv before the others are read. */
struct repeated {
    const char **values;
    size_t cnt;
};

static enum ses_err take_repeated(struct repeated *out, const char *name, int *argc, char **argv,
                                  struct ses_note *note)
{
    int kept = 0;
    const size_t len = strlen(name);
    out->values = ses_alloc((size_t)*argc, sizeof *out->values);
    SES_REQUIRE(out->values != NULL, SES_ERR_MEMORY);
    for (int i = 0; i < *argc; i++) {
        const char *arg = argv[i];
        if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, len) != 0 ||
            (arg[2 + len] != 0 && arg[2 + len] != '=')) {
            argv[kept++] = argv[i];
            continue;
        }
        if (arg[2 + len] == 0 && i + 1 >= *argc) {
            ses_note_set(note, "--%s needs a value", name);
            return SES_ERR_CONFIG;
        }
        out->values[out->cnt++] = arg[2 + len] == '=' ? arg + 3 + len : argv[++i];
    }
    *argc = kept;
    return SES_OK;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

/* The value of --config, NULL if there is none. Other options are checked later. */
static const char *config_path(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            return argv[i + 1];
        }
        if (strncmp(argv[i], "--config=", 9) == 0) {
            return argv[i] + 9;
        }
    }
    return getenv("SESSIONVM_CONFIG");
}

/* File, then environment, then options; no arguments may be left. */
static enum ses_err read_config(struct ses_config *config, int argc, char **argv,
                                struct ses_note *note)
{
    const char *path = config_path(argc, argv);
    if (path != NULL) {
        SES_TRY(ses_config_read_file(config, path, note));
    }
    SES_TRY(ses_config_read_env(config, "SESSIONVM", note));
    SES_TRY(ses_config_read_args(config, &argc, argv, note));
    if (argc > 1) {
        ses_note_set(note, "unexpected argument \"%.100s\"; --help shows the usage", argv[1]);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

/* ---- standalone ---- */

static const struct ses_config_key standalone_keys[] = {
    {"genesis", NULL, "file with the chain's genesis (sessionvm genesis writes one)", false},
    {"data", NULL, "directory of the database, made if it does not exist", false},
    {"rpc-listen", "127.0.0.1:9652", "address of the JSON-RPC server", false},
    {"rpc-threads", "2", "threads of the JSON-RPC server, 1 to 64", false},
    {"rpc-per-address", "32", "connections of one address to it, 1 to 512 (loopback: no limit)",
     false},
    {"log-level", "info", "error, warn, info or debug", false},
    {"log-json", NULL, "log lines as JSON", true},
    {"config", NULL, "file with `key = value` lines, the same keys as here", false},
    {0},
};

static void standalone_help(void)
{
    printf("Usage: sessionvm standalone --genesis FILE --data DIR [options]\n\n"
           "Runs the registry chain as a single producer on an embedded database.\n\nOptions:\n");
    ses_config_help(standalone_keys);
    printf("\nEach option may also stand in the file of --config or in the environment\n"
           "(SESSIONVM_RPC_LISTEN=...). SIGTERM or SIGINT stops it cleanly.\n\nExample:\n"
           "  sessionvm standalone --genesis genesis.json --data ~/.sessionvm\n");
}

static enum ses_err need(const struct ses_config *config, const char *name, struct ses_note *note)
{
    const char *value = ses_config_get(config, name);
    if (value == NULL || value[0] == 0) {
        ses_note_set(note, "--%s is needed; sessionvm standalone --help shows an example", name);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

static enum ses_err make_log(struct ses_log *log, const struct ses_config *config,
                             struct ses_note *note)
{
    *log = ses_config_flag(config, "log-json") ? *ses_log_json() : *ses_log_stderr();
    const char *level = ses_config_get(config, "log-level");
    if (ses_log_level_parse(&log->level, level) != SES_OK) {
        ses_note_set(note, "log-level must be error, warn, info or debug, but is \"%.30s\"", level);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

/* Blocks the signals that end the program in every thread to come. */
static void block_signals(sigset_t *stop)
{
    sigemptyset(stop);
    sigaddset(stop, SIGTERM);
    sigaddset(stop, SIGINT);
    sigaddset(stop, SIGHUP); /* the terminal is gone: stop as cleanly */
    SES_ASSERT(pthread_sigmask(SIG_BLOCK, stop, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a full file is an error of write(2), not the end */
}

static enum ses_err serve(const struct ses_host_params *params, struct ses_note *note)
{
    struct ses_host *host = NULL;
    sigset_t stop;
    int signal_number = 0;
    block_signals(&stop);
    SES_TRY(ses_host_new(&host, params, note));
    ses_logf(params->log, SES_LOG_INFO, "plugin", "ready rpc_port=%u data=%s", ses_host_port(host),
             params->data_dir);
    ses_systemd_notify("READY=1");
    SES_ASSERT(sigwait(&stop, &signal_number) == 0);
    ses_systemd_notify("STOPPING=1");
    ses_logf(params->log, SES_LOG_INFO, "plugin", "stopping signal=%d", signal_number);
    ses_host_free(host);
    return SES_OK;
}

static enum ses_err run_config(const struct ses_config *config, struct ses_buf *genesis,
                               struct ses_note *note)
{
    struct ses_log log;
    unsigned long long threads = 0;
    unsigned long long per_address = 0;
    SES_TRY(need(config, "genesis", note));
    SES_TRY(need(config, "data", note));
    SES_TRY(make_log(&log, config, note));
    SES_TRY(ses_config_u64(config, "rpc-threads", 1, 64, &threads, note));
    SES_TRY(ses_config_u64(config, "rpc-per-address", 1, 512, &per_address, note));
    SES_TRY(
        ses_input_read(ses_config_get(config, "genesis"), SES_GENESIS_BYTES_MAX, genesis, note));
    const struct ses_host_params params = {.genesis = genesis->bytes,
                                           .genesis_len = genesis->len,
                                           .data_dir = ses_config_get(config, "data"),
                                           .rpc_listen = ses_config_get(config, "rpc-listen"),
                                           .rpc_threads = (uint32_t)threads,
                                           .rpc_per_address = (uint32_t)per_address,
                                           .clock = ses_clock_system(),
                                           .log = &log};
    return serve(&params, note);
}

static int run_standalone(int argc, char **argv)
{
    struct ses_config *config = NULL;
    struct ses_buf genesis = {0};
    struct ses_note note = {0};
    enum ses_err err = ses_config_new(&config, standalone_keys);
    if (err == SES_OK) {
        err = read_config(config, argc, argv, &note);
    }
    if (err == SES_OK) {
        err = run_config(config, &genesis, &note);
    }
    ses_buf_free(&genesis);
    ses_config_free(config);
    return err == SES_OK ? EXIT_OK : complain(err, &note);
}

/* ---- genesis ---- */

static const struct ses_config_key genesis_keys[] = {
    {"network-name", NULL, "name of the network: 1 to 63 letters, digits, . _ -", false},
    {"timestamp", "now", "start of epoch 0: unix seconds or \"now\"", false},
    {0},
};

static void genesis_help(void)
{
    printf("Usage: sessionvm genesis --network-name NAME [options]\n\n"
           "Writes the genesis of a new chain to standard output. The chain's id is the SHA-256\n"
           "of these bytes: every host needs the same file.\n\nOptions:\n");
    ses_config_help(genesis_keys);
    printf("  --allocation ACCOUNT=LUX   first balance of an account; may be repeated\n"
           "  --param KEY=NUMBER         a parameter of the chain; may be repeated\n"
           "  --service-node FILE        JSON object of a first service node; may be repeated\n\n"
           "Parameters and their defaults:\n");
#define SES_X(field, key, value) printf("  %-22s %llu\n", key, (unsigned long long)(value));
    SES_PARAMS(SES_X)
#undef SES_X
    printf("\nExample:\n"
           "  sessionvm genesis --network-name dev --allocation LUX-...=1000000 \\\n"
           "      --param epochSeconds=120 --param settleSeconds=20 --param freezeSeconds=11 "
           ">genesis.json\n");
}

static enum ses_err make_genesis(struct ses_buf *out, struct ses_config *config,
                                 struct ses_genesis_options *options, int argc, char **argv,
                                 struct ses_note *note)
{
    SES_TRY(read_config(config, argc, argv, note));
    options->network_name = ses_config_get(config, "network-name");
    options->timestamp = ses_config_get(config, "timestamp");
    if (options->network_name == NULL) {
        ses_note_set(note, "--network-name is needed; sessionvm genesis --help shows an example");
        return SES_ERR_CONFIG;
    }
    return ses_genesis_make(out, options, ses_clock_system(), note);
}

static int run_genesis(int argc, char **argv)
{
    struct repeated allocations = {0};
    struct repeated params = {0};
    struct repeated nodes = {0};
    struct ses_config *config = NULL;
    struct ses_buf out = {0};
    struct ses_note note = {0};
    enum ses_err err = take_repeated(&allocations, "allocation", &argc, argv, &note);
    if (err == SES_OK) {
        err = take_repeated(&params, "param", &argc, argv, &note);
    }
    if (err == SES_OK) {
        err = take_repeated(&nodes, "service-node", &argc, argv, &note);
    }
    if (err == SES_OK) {
        err = ses_config_new(&config, genesis_keys);
    }
    if (err == SES_OK) {
        struct ses_genesis_options options = {.allocations = allocations.values,
                                              .allocation_cnt = allocations.cnt,
                                              .params = params.values,
                                              .param_cnt = params.cnt,
                                              .node_files = nodes.values,
                                              .node_file_cnt = nodes.cnt};
        err = make_genesis(&out, config, &options, argc, argv, &note);
    }
    if (err == SES_OK) {
        fwrite(out.bytes, 1, out.len, stdout);
    }
    ses_buf_free(&out);
    ses_config_free(config);
    ses_free(allocations.values);
    ses_free(params.values);
    ses_free(nodes.values);
    return err == SES_OK ? flushed() : complain(err, &note);
}

/* ---- decode ---- */

static void decode_help(void)
{
    printf(
        "Usage: sessionvm decode [tx|block|genesis|epoch|node] HEX|-\n\n"
        "Prints what the bytes hold as JSON. Without a kind, whatever fits. \"-\" reads hex (or\n"
        "the text of a genesis) from standard input.\n\nExamples:\n"
        "  sessionvm decode tx 0101...\n"
        "  sessionvm decode genesis - <genesis.json\n");
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Hex text (spaces around it allowed) to bytes in place; a genesis is text and stays. */
static enum ses_err unhex(struct ses_buf *text, struct ses_note *note)
{
    size_t skip = 0;
    while (skip < text->len && is_space(text->bytes[skip])) {
        skip++;
    }
    if (skip < text->len && text->bytes[skip] == '{') {
        return SES_OK;
    }
    ses_buf_consume(text, skip);
    while (text->len > 0 && is_space(text->bytes[text->len - 1])) {
        text->len--;
    }
    struct ses_buf bytes = {0};
    SES_TRY(ses_buf_append(text, "", 1));
    const size_t len = (text->len - 1) / 2;
    SES_TRY(ses_buf_reserve(&bytes, len));
    if (len == 0 || text->len % 2 == 0 ||
        ses_hex_decode(bytes.bytes, len, (const char *)text->bytes) != SES_OK) {
        ses_buf_free(&bytes);
        ses_note_set(note, "expected an even number of hex digits; sessionvm decode --help");
        return SES_ERR_INVALID;
    }
    bytes.len = len;
    ses_buf_free(text);
    *text = bytes;
    return SES_OK;
}

static enum ses_err decode(json_t **out, struct ses_buf *text, int argc, char **argv,
                           struct ses_note *note)
{
    if (argc < 2 || argc > 3) {
        ses_note_set(note, "give the bytes as hex, or - to read them; sessionvm decode --help");
        return SES_ERR_INVALID;
    }
    const char *source = argv[argc - 1];
    if (strcmp(source, "-") == 0) {
        SES_TRY(ses_input_read("-", DECODE_BYTES_MAX, text, note));
    } else {
        SES_TRY(ses_buf_append(text, source, strlen(source)));
    }
    SES_TRY(unhex(text, note));
    return ses_decode(out, argc == 3 ? argv[1] : NULL, text, note);
}

static int run_decode(int argc, char **argv)
{
    json_t *json = NULL;
    struct ses_buf text = {0};
    struct ses_note note = {0};
    const enum ses_err err = decode(&json, &text, argc, argv, &note);
    if (err == SES_OK) {
        json_dumpf(json, stdout, JSON_INDENT(2));
        printf("\n");
    }
    json_decref(json);
    ses_buf_free(&text);
    return err == SES_OK ? flushed() : complain(err, &note);
}

/* ---- the program ---- */

static const struct {
    const char *name;
    const char *what;
    int (*run)(int argc, char **argv);
    void (*help)(void);
} commands[] = {
    {"standalone", "run the chain here, as its single producer", run_standalone, standalone_help},
    {"genesis", "write the genesis of a new chain", run_genesis, genesis_help},
    {"decode", "show a transaction, block or record as JSON", run_decode, decode_help},
};

static void help(FILE *out)
{
    fprintf(out, "Usage: sessionvm COMMAND [options]\n\n"
                 "SessionVM: the registry chain of service nodes.\n\nCommands:\n");
    for (size_t i = 0; i < SES_COUNT(commands); i++) {
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].what);
    }
    fprintf(out, "\n  --help          this text; after a command, its own\n"
                 "  --version       name and version\n"
                 "  --version-json  the plugin protocol, as hosts ask for it\n\n"
                 "Example:\n"
                 "  sessionvm genesis --network-name dev --allocation LUX-...=1000 >genesis.json\n"
                 "  sessionvm standalone --genesis genesis.json --data ./chain\n\n"
                 "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable\n");
}

static int run_command(int argc, char **argv)
{
    for (size_t i = 0; i < SES_COUNT(commands); i++) {
        if (strcmp(argv[0], commands[i].name) != 0) {
            continue;
        }
        if (wants_help(argc, argv)) {
            commands[i].help();
            return flushed();
        }
        return commands[i].run(argc, argv);
    }
    fprintf(stderr, "sessionvm: unknown command \"%.60s\"; sessionvm --help lists them\n", argv[0]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (ses_crypto_init() != SES_OK) {
        fprintf(stderr, "sessionvm: the cryptographic libraries do not start\n");
        return EXIT_FAILED;
    }
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(stdout);
        return flushed();
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("sessionvm %s\n", SES_VERSION);
        return flushed();
    }
    if (strcmp(argv[1], "--version-json") == 0) {
        printf("{\"rpcchainvm\":%d}\n", RPCCHAINVM);
        return flushed();
    }
    return run_command(argc - 1, argv + 1);
}
