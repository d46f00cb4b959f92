/* The chain and the nodes of a devnet: making, starting, waiting until they are usable. */
#include <string.h>
#include <time.h>

#include "cli/devnet_internal.h"
#include "cli/node_internal.h"

#define POLL_MS 100u
#define LOG_MAX (1u << 20)

void devnet_say(const char *format, ...)
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

/* ---- the chain ---- */

static enum ses_err chain_spawn(struct cli *cli, struct devnet *net)
{
    char genesis[DEVNET_PATH_MAX];
    char program[DEVNET_PATH_MAX];
    char data[DEVNET_PATH_MAX];
    char log[DEVNET_PATH_MAX];
    char host[DEVNET_HOST_MAX];
    char listen[32];
    devnet_host(net, 0, host);
    devnet_program(program, "sessionvm");
    SES_TRY(devnet_path(cli, net, genesis, "genesis.json"));
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

enum ses_err devnet_chain_start(struct cli *cli, struct devnet *net, struct ses_rpc_client **out)
{
    SES_TRY(chain_spawn(cli, net));
    net->proc_cnt = net->proc_cnt > 0 ? net->proc_cnt : 1;
    return chain_await(cli, net, out);
}

/* ---- nodes ---- */

enum ses_err devnet_node_init(struct cli *cli, const struct devnet *net, uint32_t i)
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
                    "--capacity",      (char *)(uintptr_t)ses_config_get(cli->config, "capacity"),
                    "--no-passphrase", NULL};
    return devnet_run(cli, log, argv);
}

enum ses_err devnet_node_start(struct cli *cli, struct devnet *net, uint32_t i)
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

enum ses_err devnet_node_join(struct cli *cli, struct devnet *net, struct ses_rpc_client *chain,
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
        err = cli_registration_submit(cli, chain, &reg, owner, DEVNET_STAKE, tx_id);
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

enum ses_err devnet_seats_await(struct cli *cli, struct devnet *net, struct ses_rpc_client *chain)
{
    const uint64_t until = ses_mono_ms() + DEVNET_WAIT_MS;
    struct ses_json_registry header = {0};
    while (ses_mono_ms() < until) {
        uint32_t seated = 0;
        SES_TRY(
            ses_chain_get_registry(chain, UINT64_MAX, &header, seat_count, &seated, &cli->note));
        if (seated == net->node_cnt) {
            devnet_say("epoch %llu: %u node%s in %u swarm%s", (unsigned long long)header.epoch,
                       seated, seated == 1 ? " has a seat" : "s have seats", header.num_swarms,
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

enum ses_err devnet_node_await(struct cli *cli, struct devnet *net, uint32_t i, uint64_t until,
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
