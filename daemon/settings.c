#include "daemon/program.h"

/* clang-format off */
const struct ses_config_key ses_settings_keys[] = {
    {"data", NULL, "data directory of the node", false},
    {"chain", NULL, "URLs of the chain's JSON-RPC, separated by commas", false},
    {"listen", "/ip4/0.0.0.0/tcp/22020", "multiaddr[,multiaddr...] to listen on", false},
    {"announce", NULL, "multiaddrs under which others reach this node (default: listen)", false},
    {"capacity", "107374182400", "bytes of disk offered", false},
    {"rpc-listen", "127.0.0.1:22021", "local JSON-RPC, metrics and health", false},
    {"rpc-per-address", "32", "connections of one address to it (loopback: no limit)", false},
    {"passphrase-file", NULL, "file whose first line opens the node key", false},
    {"store-rate", "1000", "stores a second of one peer", false},
    {"read-rate", "2000", "reads a second of one peer", false},
    {"connections-max", "10000", "open connections", false},
    {"key-hours", "24", "age at which the encryption key is replaced, 0: never", false},
    {"scrub-rate", "4194304", "bytes a second read to find damage on disk, 0: off", false},
    {"log-level", "info", "error, warn, info or debug", false},
    {"log-json", NULL, "one JSON object a line", true},
    {"log-file", NULL, "file for the log, reopened on SIGHUP (default: standard error)", false},
    {NULL, NULL, NULL, false},
};
/* clang-format on */

/* --config FILE or --config=FILE, anywhere; removed from argv. */
static enum ses_err take_config(int *argc, char **argv, const char **file, struct ses_note *note)
{
    int kept = 0;
    *file = NULL;
    for (int i = 0; i < *argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0) {
            *file = argv[i] + 9;
        } else if (strcmp(argv[i], "--config") == 0) {
            if (i + 1 == *argc) {
                ses_note_set(note, "--config needs a file: --config /etc/sessiond.conf");
                return SES_ERR_CONFIG;
            }
            *file = argv[++i];
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return SES_OK;
}

static enum ses_err read_addrs(const char *list, char out[][SES_MULTIADDR_TEXT_MAX], uint32_t *cnt,
                               const char *key, struct ses_note *note)
{
    *cnt = 0;
    while (list != NULL && *list != '\0') {
        list += strspn(list, ", ");
        const size_t len = strcspn(list, ", ");
        struct ses_multiaddr parsed;
        if (len == 0) {
            break;
        }
        if (*cnt == SETTINGS_ADDRS_MAX || len >= SES_MULTIADDR_TEXT_MAX) {
            ses_note_set(note, "%s: at most %u addresses of %u characters", key, SETTINGS_ADDRS_MAX,
                         SES_MULTIADDR_TEXT_MAX - 1);
            return SES_ERR_CONFIG;
        }
        memcpy(out[*cnt], list, len);
        out[*cnt][len] = '\0';
        if (ses_multiaddr_parse(&parsed, out[*cnt]) != SES_OK) {
            ses_note_set(note, "%s: %.200s is no multiaddr: write /ip4/203.0.113.5/tcp/22020", key,
                         out[*cnt]);
            return SES_ERR_CONFIG;
        }
        (*cnt)++;
        list += len;
    }
    return SES_OK;
}

static enum ses_err need(const char *value, const char *key, struct ses_note *note)
{
    if (value == NULL || *value == '\0') {
        ses_note_set(note, "%s is not set: give the configuration with --config FILE, or --%s", key,
                     key);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

static enum ses_err read_numbers(struct settings *s, struct ses_note *note)
{
    unsigned long long v = 0;
    SES_TRY(ses_config_u64(s->config, "capacity", 1u << 20, 1ull << 60, &v, note));
    s->capacity = v;
    SES_TRY(ses_config_u64(s->config, "connections-max", 16, 1000000, &v, note));
    s->connections_max = v;
    SES_TRY(ses_config_u64(s->config, "store-rate", 1, 1000000, &v, note));
    s->store_rate = v;
    SES_TRY(ses_config_u64(s->config, "read-rate", 1, 1000000, &v, note));
    s->read_rate = v;
    SES_TRY(ses_config_u64(s->config, "rpc-per-address", 1, 512, &v, note));
    s->rpc_per_address = (uint32_t)v;
    SES_TRY(ses_config_u64(s->config, "key-hours", 0, 8760, &v, note));
    s->key_hours = v;
    SES_TRY(ses_config_u64(s->config, "scrub-rate", 0, 1ull << 40, &v, note));
    s->scrub_rate = v;
    const char *level = ses_config_get(s->config, "log-level");
    if (ses_log_level_parse(&s->log_level, level) != SES_OK) {
        ses_note_set(note, "log-level: %.40s is none of error, warn, info, debug", level);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

static enum ses_err read_values(struct settings *s, struct ses_note *note)
{
    const struct ses_config *c = s->config;
    s->data = ses_config_get(c, "data");
    s->chain = ses_config_get(c, "chain");
    s->rpc_listen = ses_config_get(c, "rpc-listen");
    s->passphrase_file = ses_config_get(c, "passphrase-file");
    s->log_file = ses_config_get(c, "log-file");
    s->log_json = ses_config_flag(c, "log-json");
    SES_TRY(need(s->data, "data", note));
    SES_TRY(need(s->chain, "chain", note));
    SES_TRY(need(s->rpc_listen, "rpc-listen", note));
    SES_TRY(read_numbers(s, note));
    SES_TRY(read_addrs(ses_config_get(c, "listen"), s->listen, &s->listen_cnt, "listen", note));
    SES_TRY(
        read_addrs(ses_config_get(c, "announce"), s->announce, &s->announce_cnt, "announce", note));
    if (s->listen_cnt == 0) {
        return need(NULL, "listen", note);
    }
    if (s->announce_cnt == 0) {
        memcpy(s->announce, s->listen, sizeof s->announce);
        s->announce_cnt = s->listen_cnt;
    }
    return SES_OK;
}

enum ses_err ses_settings_read(struct settings *s, const struct ses_config_key *keys, int *argc,
                               char **argv, struct ses_note *note)
{
    memset(s, 0, sizeof *s);
    SES_TRY(take_config(argc, argv, &s->file, note));
    SES_TRY(ses_config_new(&s->config, keys));
    enum ses_err err = SES_OK;
    if (s->file != NULL) {
        err = ses_config_read_file(s->config, s->file, note);
    }
    if (err == SES_OK) {
        err = ses_config_read_env(s->config, "SESSIOND", note);
    }
    if (err == SES_OK) {
        err = ses_config_read_args(s->config, argc, argv, note);
    }
    if (err == SES_OK && *argc > 1) {
        ses_note_set(note, "unexpected argument %.100s: see %s --help", argv[1], PROGRAM);
        err = SES_ERR_CONFIG;
    }
    if (err == SES_OK) {
        err = read_values(s, note);
    }
    if (err != SES_OK) {
        ses_settings_free(s);
    }
    return err;
}

void ses_settings_free(struct settings *s)
{
    ses_config_free(s->config);
    s->config = NULL;
}

enum ses_err ses_settings_path(const struct settings *s, const char *name, char out[PATH_CHARS])
{
    const int n = snprintf(out, PATH_CHARS, "%s/%s", s->data, name);
    return n > 0 && (size_t)n < PATH_CHARS ? SES_OK : SES_ERR_TOO_LARGE;
}
