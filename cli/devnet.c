/* session devnet up, start, status, down: a chain and service nodes as real processes on loopback.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/devnet_internal.h"

/* ---- common ---- */

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

/* ---- up ---- */

static enum ses_err nodes_up(struct cli *cli, struct devnet *net, struct ses_rpc_client *chain)
{
    struct ses_hash tx_ids[DEVNET_NODES_MAX];
    uint64_t height = 0;
    for (uint32_t i = 0; i < net->node_cnt; i++) {
        SES_TRY(devnet_node_init(cli, net, i));
        SES_TRY(devnet_node_join(cli, net, chain, i, &tx_ids[i]));
        SES_TRY(devnet_node_start(cli, net, i));
        net->proc_cnt = i + 2;
        SES_TRY(devnet_save(cli, net));
    }
    for (uint32_t i = 0; i < net->node_cnt; i++) {
        SES_TRY(cli_tx_wait(cli, chain, &tx_ids[i], &height));
    }
    devnet_say("%u node%s registered, 100 LUX each from owners of their own; waiting for seats",
               net->node_cnt, net->node_cnt == 1 ? " is" : "s are");
    SES_TRY(devnet_seats_await(cli, net, chain));
    const uint64_t until = ses_mono_ms() + DEVNET_WAIT_MS;
    for (uint32_t i = 0; i < net->node_cnt; i++) {
        SES_TRY(devnet_node_await(cli, net, i, until, true));
    }
    devnet_say("every node is connected to its swarm");
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
    SES_TRY(devnet_genesis_write(cli, net, params));
    enum ses_err err = devnet_chain_start(cli, net, &chain);
    if (err == SES_OK) {
        devnet_say("the chain runs at %s", net->chain_url);
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
    SES_TRY(devnet_params(cli, &params));
    enum ses_err err = all_up(cli, &net, params);
    json_decref(params);
    if (err == SES_OK) {
        err = devnet_save(cli, &net);
    }
    if (err != SES_OK) {
        char option[DEVNET_PATH_MAX + 8];
        dir_option(cli, &net, option, sizeof option);
        devnet_stop_all(&net);
        devnet_say("stopped again; logs and data stay until: session devnet down%s", option);
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
    struct ses_rpc_client *chain = NULL;
    const enum ses_err err = devnet_chain_start(cli, net, &chain);
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
            err = i == 0 ? chain_again(cli, net) : devnet_node_start(cli, net, i - 1);
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
    const uint64_t until = ses_mono_ms() + DEVNET_WAIT_MS;
    for (uint32_t i = 1; i < net->proc_cnt; i++) {
        SES_TRY(again[i] ? devnet_node_await(cli, net, i - 1, until, false) : SES_OK);
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
    {"capacity", "10737418240", "bytes of disk that each node offers", false},
    {"first-address", NULL,
     "IPv4 address of the chain, nodes have the next (default: 127.0.0.1 for all)", false},
    {"params", NULL,
     "other genesis parameters: key=number,... (sessionvm genesis --help lists them)", false},
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
