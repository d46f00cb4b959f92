/* session devnet up, start, status, down: a chain and service nodes as real processes on loopback.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/devnet_internal.h"
#include "cli/node_internal.h"

#define WAIT_MS 180000u
#define POLL_MS 100u
#define LOG_MAX (1u << 20)
#define OWNER_SPARE_LUX 100u
#define FAUCET_LUX 1000000u
#define NLUX_PER_LUX 1000000000ull
#define MIN_STAKE (100u * NLUX_PER_LUX)

/* ---- common ---- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("devnet: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static void pause_ms(uint64_t ms)
{
    const struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static enum ses_err dir_of(struct cli *cli, struct devnet *net)
{
    const char *given = ses_config_get(cli->config, "dir");
    const char *home = getenv("HOME");
    char text[DEVNET_PATH_MAX];
    if (given == NULL && home == NULL) {
        return cli_fail(cli, SES_ERR_CONFIG, "no directory: give --dir DIR");
    }
    const int len = given != NULL
                        ? snprintf(text, sizeof text, "%s", given)
                        : snprintf(text, sizeof text, "%s/.local/share/session-devnet", home);
    if (len <= 0 || (size_t)len > sizeof net->dir / 2) {
        return cli_fail(cli, SES_ERR_INVALID, "the directory name is too long");
    }
    /* absolute: the processes outlive this one's working directory */
    char cwd[DEVNET_PATH_MAX / 2] = "";
    if (text[0] != '/' && getcwd(cwd, sizeof cwd) == NULL) {
        return cli_fail(cli, SES_ERR_IO, "cannot tell the working directory");
    }
    snprintf(net->dir, sizeof net->dir, "%.500s%s%.500s", cwd, cwd[0] != 0 ? "/" : "", text);
    return SES_OK;
}

/* What `devnet down` and `status` need behind them to find this network. */
static void dir_option(struct cli *cli, const struct devnet *net, char *out, size_t cap)
{
    const bool given = ses_config_get(cli->config, "dir") != NULL;
    snprintf(out, cap, "%s%s", given ? " --dir " : "", given ? net->dir : "");
}

/* `devnet down` removes the whole directory: it must not hold anything else. */
static enum ses_err check_empty(struct cli *cli, const struct devnet *net)
{
    bool empty = true;
    DIR *dir = opendir(net->dir);
    if (dir == NULL) {
        return errno == ENOENT
                   ? SES_OK
                   : cli_fail(cli, SES_ERR_IO, "cannot open %.200s: %s", net->dir, strerror(errno));
    }
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        empty &= strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    }
    closedir(dir);
    return empty ? SES_OK
                 : cli_fail(cli, SES_ERR_EXISTS,
                            "%.200s is not empty, and `session devnet down` removes all of it: "
                            "give a new directory",
                            net->dir);
}

/* ---- owners and genesis ---- */

/* A new identity in its own unencrypted file. */
static enum ses_err owner_new(struct cli *cli, const char *path, struct ses_account *account)
{
    struct ses_identity *owner = NULL;
    SES_TRY(ses_identity_generate(&owner, ses_random_system()));
    *account = owner->account;
    const enum ses_err err = ses_identity_file_write(path, owner, NULL, false, &cli->note);
    ses_identity_free(owner);
    return err;
}

static enum ses_err allocation_add(struct cli *cli, const struct devnet *net, json_t *allocations,
                                   const char *name, uint64_t nlux)
{
    char path[DEVNET_PATH_MAX];
    char text[SES_ID_TEXT_MAX];
    struct ses_account account;
    SES_TRY(devnet_path(cli, net, path, "owners/%s.identity", name));
    SES_TRY(owner_new(cli, path, &account));
    ses_account_text(text, &account);
    json_array_append_new(allocations,
                          json_pack("{s:s,s:I}", "account", text, "amount", (json_int_t)nlux));
    return SES_OK;
}

static enum ses_err allocations_make(struct cli *cli, const struct devnet *net, json_t *allocations)
{
    SES_TRY(allocation_add(cli, net, allocations, "faucet", FAUCET_LUX * NLUX_PER_LUX));
    for (uint32_t i = 0; i < net->node_cnt; i++) {
        char name[32];
        snprintf(name, sizeof name, "owner-%02u", i + 1);
        SES_TRY(allocation_add(cli, net, allocations, name,
                               MIN_STAKE + OWNER_SPARE_LUX * NLUX_PER_LUX));
    }
    return SES_OK;
}

/* --params key=value,key=value into the genesis parameters; the chain checks names and ranges. */
static enum ses_err params_more(struct cli *cli, json_t *params)
{
    const char *at = ses_config_get(cli->config, "params");
    while (at != NULL && *at != 0) {
        char key[64];
        unsigned long long value = 0;
        int taken = 0;
        if (sscanf(at, "%63[A-Za-z]=%llu%n", key, &value, &taken) != 2 ||
            (at[taken] != 0 && at[taken] != ',') || value > INT64_MAX) {
            return cli_fail(cli, SES_ERR_INVALID,
                            "--params takes key=number,key=number with keys of the genesis, such "
                            "as inboxQuotaBytes=1000000");
        }
        json_object_set_new(params, key, json_integer((json_int_t)value));
        at += taken;
        at += *at == ',';
    }
    return SES_OK;
}

static enum ses_err params_make(struct cli *cli, json_t **out)
{
    unsigned long long epoch_s = 0;
    unsigned long long target = 0;
    SES_TRY(ses_config_u64(cli->config, "epoch-seconds", 6, 86400, &epoch_s, &cli->note));
    SES_TRY(ses_config_u64(cli->config, "swarm-target", 1, 32, &target, &cli->note));
    const unsigned long long settle = epoch_s / 6 > 0 ? epoch_s / 6 : 1;
    const unsigned long long freeze = epoch_s / 12 > 0 ? epoch_s / 12 : 1;
    *out = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "epochSeconds", (json_int_t)epoch_s,
                     "blockSeconds", (json_int_t)1, "settleSeconds", (json_int_t)settle,
                     "freezeSeconds", (json_int_t)freeze, "swarmTarget", (json_int_t)target,
                     "rotatePerSwarmEpochs", (json_int_t)0);
    SES_REQUIRE(*out != NULL, SES_ERR_MEMORY);
    const enum ses_err err = params_more(cli, *out);
    if (err != SES_OK) {
        json_decref(*out);
    }
    return err;
}

static enum ses_err genesis_write(struct cli *cli, const struct devnet *net, char *path,
                                  json_t *params)
{
    json_t *allocations = json_array();
    SES_TRY(devnet_path(cli, net, path, "genesis.json"));
    enum ses_err err = allocations_make(cli, net, allocations);
    if (err != SES_OK) {
        json_decref(allocations);
        return err;
    }
    json_t *genesis = json_pack("{s:s,s:I,s:o,s:O,s:[]}", "networkName", "devnet", "timestamp",
                                (json_int_t)(ses_now_ms(ses_clock_system()) / 1000), "allocations",
                                allocations, "params", params, "serviceNodes");
    char *text = genesis == NULL ? NULL : json_dumps(genesis, JSON_INDENT(1));
    json_decref(genesis);
    SES_REQUIRE(text != NULL, SES_ERR_MEMORY);
    err = cli_write_file(cli, path, text, strlen(text), 0600);
    free(text);
    return err;
}

/* ---- processes ---- */

static enum ses_err chain_start(struct cli *cli, struct devnet *net, char *genesis)
{
    char program[DEVNET_PATH_MAX];
    char data[DEVNET_PATH_MAX];
    char log[DEVNET_PATH_MAX];
    char host[DEVNET_HOST_MAX];
    char listen[32];
    devnet_host(net, 0, host);
    devnet_program(program, "sessionvm");
    SES_TRY(devnet_path(cli, net, data, "chain"));
    SES_TRY(devnet_path(cli, net, log, "chain.log"));
    snprintf(listen, sizeof listen, "%s:%u", host, net->rpc_ports[0]);
    snprintf(net->chain_url, sizeof net->chain_url, "http://%s/rpc", listen);
    char *argv[] = {program, "standalone",   "--genesis", genesis, "--data",
                    data,    "--rpc-listen", listen,      NULL};
    return devnet_spawn(cli, &net->procs[0], "chain", log, argv);
}

/* The last line of its log says why. */
static enum ses_err chain_failed(struct cli *cli, const struct devnet *net)
{
    char path[DEVNET_PATH_MAX];
    struct ses_buf log = {0};
    SES_TRY(devnet_path(cli, net, path, "chain.log"));
    if (cli_read_file(cli, path, LOG_MAX, &log) != SES_OK) {
        log.len = 0;
    }
    while (log.len > 0 && log.bytes[log.len - 1] == '\n') {
        log.len--;
    }
    size_t start = log.len;
    while (start > 0 && log.bytes[start - 1] != '\n') {
        start--;
    }
    const enum ses_err err = cli_fail(cli, SES_ERR_IO, "the chain did not start; see %.200s (%.*s)",
                                      path, (int)(log.len - start < 200 ? log.len - start : 200),
                                      log.len > 0 ? (const char *)log.bytes + start : "");
    ses_buf_free(&log);
    return err;
}

static enum ses_err chain_await(struct cli *cli, struct devnet *net, struct ses_rpc_client **out)
{
    struct ses_chain_head head;
    SES_TRY(ses_rpc_client_new(out, net->chain_url, 10000, &cli->note));
    const uint64_t until = ses_mono_ms() + 20000;
    while (ses_mono_ms() < until) {
        if (ses_chain_get_head(*out, &head, NULL) == SES_OK) {
            return SES_OK;
        }
        if (!devnet_alive(&net->procs[0])) {
            return chain_failed(cli, net);
        }
        pause_ms(POLL_MS);
    }
    return cli_fail(cli, SES_ERR_TIMEOUT, "the chain does not answer; see %.200s/chain.log",
                    net->dir);
}

static enum ses_err node_init(struct cli *cli, const struct devnet *net, uint32_t i)
{
    char program[DEVNET_PATH_MAX];
    char data[DEVNET_PATH_MAX];
    char log[DEVNET_PATH_MAX];
    char listen[64];
    char rpc[32];
    char host[DEVNET_HOST_MAX];
    devnet_host(net, i + 1, host);
    devnet_program(program, "sessiond");
    SES_TRY(devnet_path(cli, net, data, "node-%02u", i + 1));
    SES_TRY(devnet_path(cli, net, log, "node-%02u.log", i + 1));
    snprintf(listen, sizeof listen, "/ip4/%s/tcp/%u", host, net->p2p_ports[i]);
    snprintf(rpc, sizeof rpc, "%s:%u", host, net->rpc_ports[i + 1]);
    char *argv[] = {program,           "init",
                    "--data",          data,
                    "--chain",         (char *)(uintptr_t)net->chain_url,
                    "--listen",        listen,
                    "--rpc-listen",    rpc,
                    "--capacity",      "10737418240",
                    "--no-passphrase", NULL};
    return devnet_run(cli, log, argv);
}

static enum ses_err node_start(struct cli *cli, struct devnet *net, uint32_t i)
{
    char program[DEVNET_PATH_MAX];
    char config[DEVNET_PATH_MAX];
    char log[DEVNET_PATH_MAX];
    char name[32];
    devnet_program(program, "sessiond");
    snprintf(name, sizeof name, "node-%02u", i + 1);
    SES_TRY(devnet_path(cli, net, config, "%s/sessiond.conf", name));
    SES_TRY(devnet_path(cli, net, log, "%s.log", name));
    char *argv[] = {program, "--config", config, NULL};
    return devnet_spawn(cli, &net->procs[i + 1], name, log, argv);
}

/* The owner's transaction, signed on this machine by owner and node. */
static enum ses_err node_join(struct cli *cli, struct devnet *net, struct ses_rpc_client *chain,
                              uint32_t i, struct ses_hash *tx_id)
{
    char path[DEVNET_PATH_MAX];
    uint8_t seed[32];
    size_t len = sizeof seed;
    SES_TRY(devnet_path(cli, net, path, "owners/owner-%02u.identity", i + 1));
    SES_TRY(ses_vault_file_read(path, SES_VAULT_IDENTITY, seed, &len, NULL, &cli->note));
    struct ses_identity *owner = NULL;
    enum ses_err err = len == sizeof seed ? ses_identity_new(&owner, seed) : SES_ERR_MALFORMED;
    ses_wipe(seed, sizeof seed);
    if (err == SES_OK) {
        err = devnet_path(cli, net, path, "node-%02u/registration.json", i + 1);
    }
    struct cli_registration reg;
    if (err == SES_OK) {
        err = cli_registration_read(cli, &reg, path);
    }
    if (err == SES_OK) {
        memcpy(net->node_ids[i], reg.node_text, sizeof net->node_ids[i]);
        err = cli_registration_submit(cli, chain, &reg, owner, MIN_STAKE, tx_id);
    }
    ses_identity_free(owner);
    return err;
}

/* ---- waiting until it is usable ---- */

static enum ses_err seat_count(void *cookie, const struct ses_registry_row *row,
                               const struct ses_node_keys *keys,
                               const struct ses_endpoint *endpoint)
{
    uint32_t *seated = cookie;
    (void)keys;
    (void)endpoint;
    *seated += row->swarm != SES_SWARM_NONE;
    return SES_OK;
}

static enum ses_err seats_await(struct cli *cli, struct devnet *net, struct ses_rpc_client *chain)
{
    const uint64_t until = ses_mono_ms() + WAIT_MS;
    struct ses_json_registry header = {0};
    while (ses_mono_ms() < until) {
        uint32_t seated = 0;
        SES_TRY(
            ses_chain_get_registry(chain, UINT64_MAX, &header, seat_count, &seated, &cli->note));
        if (seated == net->node_cnt) {
            say("epoch %llu: %u node%s in %u swarm%s", (unsigned long long)header.epoch, seated,
                seated == 1 ? " has a seat" : "s have seats", header.num_swarms,
                header.num_swarms == 1 ? "" : "s");
            return SES_OK;
        }
        pause_ms(POLL_MS);
    }
    return cli_fail(cli, SES_ERR_TIMEOUT, "the nodes got no seats; see %.200s/chain.log", net->dir);
}

/* Knows its seat and is connected to every other member of its swarm. */
static bool node_ready(const json_t *status)
{
    const json_t *links = json_object_get(status, "links");
    if (!json_is_integer(json_object_get(status, "swarm"))) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(links); i++) {
        if (!json_is_true(json_object_get(json_array_get(links, i), "open"))) {
            return false;
        }
    }
    return true;
}

/* Until it answers, or with `linked` until it is connected to its swarm. */
static enum ses_err node_await(struct cli *cli, struct devnet *net, uint32_t i, uint64_t until,
                               bool linked)
{
    char url[64];
    char host[DEVNET_HOST_MAX];
    struct ses_rpc_client *node = NULL;
    devnet_host(net, i + 1, host);
    snprintf(url, sizeof url, "http://%s:%u/rpc", host, net->rpc_ports[i + 1]);
    SES_TRY(ses_rpc_client_new(&node, url, 2000, &cli->note));
    bool ready = false;
    while (!ready && ses_mono_ms() < until && devnet_alive(&net->procs[i + 1])) {
        json_t *status = NULL;
        if (ses_rpc_call(node, "sessiond.status", json_object(), &status, NULL) == SES_OK) {
            ready = !linked || node_ready(status);
        }
        json_decref(status);
        if (!ready) {
            pause_ms(POLL_MS / 2);
        }
    }
    ses_rpc_client_free(node);
    if (!ready) {
        return cli_fail(cli, SES_ERR_TIMEOUT, "%s is not ready; see %.200s/%s.log",
                        net->procs[i + 1].name, net->dir, net->procs[i + 1].name);
    }
    return SES_OK;
}

/* ---- up ---- */

static enum ses_err nodes_up(struct cli *cli, struct devnet *net, struct ses_rpc_client *chain)
{
    struct ses_hash tx_ids[DEVNET_NODES_MAX];
    uint64_t height = 0;
    for (uint32_t i = 0; i < net->node_cnt; i++) {
        SES_TRY(node_init(cli, net, i));
        SES_TRY(node_join(cli, net, chain, i, &tx_ids[i]));
        SES_TRY(node_start(cli, net, i));
        net->proc_cnt = i + 2;
        SES_TRY(devnet_save(cli, net));
    }
    for (uint32_t i = 0; i < net->node_cnt; i++) {
        SES_TRY(cli_tx_wait(cli, chain, &tx_ids[i], &height));
    }
    say("%u node%s registered, 100 LUX each from owners of their own; waiting for seats",
        net->node_cnt, net->node_cnt == 1 ? " is" : "s are");
    SES_TRY(seats_await(cli, net, chain));
    const uint64_t until = ses_mono_ms() + WAIT_MS;
    for (uint32_t i = 0; i < net->node_cnt; i++) {
        SES_TRY(node_await(cli, net, i, until, true));
    }
    say("every node is connected to its swarm");
    return SES_OK;
}

static enum ses_err all_up(struct cli *cli, struct devnet *net, json_t *params)
{
    char path[DEVNET_PATH_MAX];
    uint16_t ports[2 * DEVNET_NODES_MAX + 1];
    struct ses_rpc_client *chain = NULL;
    SES_TRY(devnet_path(cli, net, path, "owners"));
    SES_TRY(cli_make_dirs(cli, path));
    SES_TRY(devnet_save(cli, net));
    SES_TRY(devnet_free_ports(cli, ports, 2 * net->node_cnt + 1));
    memcpy(net->rpc_ports, ports, (net->node_cnt + 1u) * sizeof ports[0]);
    memcpy(net->p2p_ports, ports + net->node_cnt + 1, net->node_cnt * sizeof ports[0]);
    SES_TRY(genesis_write(cli, net, path, params));
    SES_TRY(chain_start(cli, net, path));
    net->proc_cnt = 1;
    enum ses_err err = chain_await(cli, net, &chain);
    if (err == SES_OK) {
        say("the chain runs at %s", net->chain_url);
        err = nodes_up(cli, net, chain);
    }
    ses_rpc_client_free(chain);
    return err;
}

static void usage_print(struct cli *cli, const struct devnet *net)
{
    char option[DEVNET_PATH_MAX + 8];
    dir_option(cli, net, option, sizeof option);
    printf(
        "The network is ready. To use it:\n\n"
        "  export SESSION_CHAIN=%s\n"
        "  session id new --name Alice\n\n"
        "Funds for accounts:  session transfer --owner-file %s/owners/faucet.identity LUX-... 10\n"
        "Logs and data:       %s\n"
        "Stop it:             session devnet down%s\n",
        net->chain_url, net->dir, net->dir, option);
}

static enum ses_err first_address(struct cli *cli, struct devnet *net)
{
    const char *text = ses_config_get(cli->config, "first-address");
    struct in_addr in;
    if (text == NULL) {
        return SES_OK;
    }
    if (inet_pton(AF_INET, text, &in) != 1 || ntohl(in.s_addr) > UINT32_MAX - DEVNET_NODES_MAX) {
        return cli_fail(cli, SES_ERR_INVALID, "--first-address takes an IPv4 address, not %.100s",
                        text);
    }
    net->first_address = ntohl(in.s_addr);
    return SES_OK;
}

static enum ses_err devnet_up(struct cli *cli)
{
    struct devnet net = {0};
    struct devnet old = {0};
    json_t *params = NULL;
    unsigned long long nodes = 0;
    SES_TRY(ses_config_u64(cli->config, "nodes", 1, DEVNET_NODES_MAX, &nodes, &cli->note));
    SES_TRY(dir_of(cli, &net));
    old = net;
    if (devnet_load(cli, &old) == SES_OK) {
        char option[DEVNET_PATH_MAX + 8];
        dir_option(cli, &net, option, sizeof option);
        return cli_fail(cli, SES_ERR_EXISTS,
                        "there is a devnet in %.200s. Start what does not run: session devnet "
                        "start%.200s. Remove it: session devnet down%.200s",
                        net.dir, option, option);
    }
    cli->note.text[0] = 0;
    net.node_cnt = (uint32_t)nodes;
    SES_TRY(first_address(cli, &net));
    SES_TRY(check_empty(cli, &net));
    SES_TRY(params_make(cli, &params));
    enum ses_err err = all_up(cli, &net, params);
    json_decref(params);
    if (err == SES_OK) {
        err = devnet_save(cli, &net);
    }
    if (err != SES_OK) {
        char option[DEVNET_PATH_MAX + 8];
        dir_option(cli, &net, option, sizeof option);
        devnet_stop_all(&net);
        say("stopped again; logs and data stay until: session devnet down%s", option);
        return err;
    }
    if (!cli->json) {
        usage_print(cli, &net);
    }
    return cli_print_json(cli, devnet_json(&net));
}

/* ---- start ---- */

static enum ses_err chain_again(struct cli *cli, struct devnet *net)
{
    char genesis[DEVNET_PATH_MAX];
    struct ses_rpc_client *chain = NULL;
    SES_TRY(devnet_path(cli, net, genesis, "genesis.json"));
    SES_TRY(chain_start(cli, net, genesis));
    const enum ses_err err = chain_await(cli, net, &chain);
    ses_rpc_client_free(chain);
    return err;
}

/* Starts what does not run and is `name` (NULL: any), with the data and ports that it had. */
static enum ses_err start_missing(struct cli *cli, struct devnet *net, const char *name,
                                  uint32_t *started)
{
    bool again[DEVNET_NODES_MAX + 1] = {false};
    bool known = name == NULL;
    enum ses_err err = SES_OK;
    for (uint32_t i = 0; i < net->proc_cnt && err == SES_OK; i++) {
        const bool named = name == NULL || strcmp(name, net->procs[i].name) == 0;
        known = known || named;
        if (named && !devnet_alive(&net->procs[i])) {
            err = i == 0 ? chain_again(cli, net) : node_start(cli, net, i - 1);
            again[i] = true;
            (*started)++;
        }
    }
    if (!known) {
        return cli_fail(
            cli, SES_ERR_NOT_FOUND,
            "no process of this devnet is called %.40s: session devnet status lists them", name);
    }
    SES_TRY(devnet_save(cli, net)); /* also what started before another one failed */
    SES_TRY(err);
    const uint64_t until = ses_mono_ms() + WAIT_MS;
    for (uint32_t i = 1; i < net->proc_cnt; i++) {
        SES_TRY(again[i] ? node_await(cli, net, i - 1, until, false) : SES_OK);
    }
    return SES_OK;
}

static enum ses_err devnet_start(struct cli *cli)
{
    struct devnet net = {0};
    uint32_t started = 0;
    SES_TRY(dir_of(cli, &net));
    SES_TRY(devnet_load(cli, &net));
    if (net.proc_cnt != net.node_cnt + 1) {
        char option[DEVNET_PATH_MAX + 8];
        dir_option(cli, &net, option, sizeof option);
        return cli_fail(cli, SES_ERR_INVALID,
                        "the devnet in %.200s was never complete; remove it: session devnet "
                        "down%.200s",
                        net.dir, option);
    }
    SES_TRY(start_missing(cli, &net, cli->arg_cnt > 0 ? cli->args[0] : NULL, &started));
    if (!cli->json) {
        printf("Started %u process%s. SESSION_CHAIN=%s\n", started, started == 1 ? "" : "es",
               net.chain_url);
    }
    return cli_print_json(cli, devnet_json(&net));
}

/* ---- status, down ---- */

static enum ses_err devnet_status(struct cli *cli)
{
    struct devnet net = {0};
    SES_TRY(dir_of(cli, &net));
    SES_TRY(devnet_load(cli, &net));
    uint32_t running = 0;
    for (uint32_t i = 0; i < net.proc_cnt; i++) {
        const bool alive = devnet_alive(&net.procs[i]);
        running += alive;
        if (!cli->json) {
            printf("%-8s pid %-7d %-7s %s\n", net.procs[i].name, (int)net.procs[i].pid,
                   alive ? "running" : "stopped", i > 0 ? net.node_ids[i - 1] : net.chain_url);
        }
    }
    if (!cli->json) {
        printf("%u of %u processes run; data in %s\n", running, net.proc_cnt, net.dir);
    }
    return cli_print_json(cli, devnet_json(&net));
}

static enum ses_err devnet_down(struct cli *cli)
{
    struct devnet net = {0};
    SES_TRY(dir_of(cli, &net));
    SES_TRY(devnet_load(cli, &net));
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < net.proc_cnt; i++) {
        cnt += devnet_alive(&net.procs[i]);
    }
    devnet_stop_all(&net);
    if (!ses_config_flag(cli->config, "keep")) {
        SES_TRY(devnet_remove(cli, &net));
    }
    if (!cli->json) {
        printf("Stopped %u process%s%s.\n", cnt, cnt == 1 ? "" : "es",
               ses_config_flag(cli->config, "keep") ? "" : " and removed their data");
    }
    return cli_print_json(cli, json_pack("{s:i}", "stopped", (int)cnt));
}

static const struct ses_config_key up_keys[] = {
    {"dir", NULL, "where it lives (default ~/.local/share/session-devnet)", false},
    {"nodes", "12", "number of service nodes, each with an owner of its own", false},
    {"epoch-seconds", "8", "length of an epoch; the network is usable in the third", false},
    {"swarm-target", "5", "members that a swarm aims at", false},
    {"first-address", NULL,
     "IPv4 address of the chain, nodes have the next (default: 127.0.0.1 for all)", false},
    {"params", NULL, "other genesis parameters: key=number,key=number", false},
    {0},
};
static const struct ses_config_key dir_keys[] = {
    {"dir", NULL, "where it lives (default ~/.local/share/session-devnet)", false},
    {0},
};
static const struct ses_config_key down_keys[] = {
    {"dir", NULL, "where it lives (default ~/.local/share/session-devnet)", false},
    {"keep", "false", "keep data and logs", true},
    {0},
};

const struct cli_command cli_devnet_commands[] = {
    {"devnet up", "", "start a whole network on this machine", "session devnet up --nodes 12", 0, 0,
     devnet_up, up_keys, CLI_NOTHING},
    {"devnet start", "[NAME]", "start again what does not run, or one process of it",
     "session devnet start node-03", 0, 1, devnet_start, dir_keys, CLI_NOTHING},
    {"devnet status", "", "what runs", "session devnet status", 0, 0, devnet_status, dir_keys,
     CLI_NOTHING},
    {"devnet down", "", "stop it and remove its data", "session devnet down", 0, 0, devnet_down,
     down_keys, CLI_NOTHING},
    {0},
};
