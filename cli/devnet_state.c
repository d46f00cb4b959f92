/* devnet.json: what runs where. */
#include <arpa/inet.h>
#include <string.h>

#include "cli/devnet_internal.h"

#define STATE_MAX (1u << 20)

void devnet_host(const struct devnet *net, uint32_t i, char out[DEVNET_HOST_MAX])
{
    const uint32_t address = net->first_address != 0 ? net->first_address + i : INADDR_LOOPBACK;
    const struct in_addr in = {.s_addr = htonl(address)};
    SES_ASSERT(inet_ntop(AF_INET, &in, out, DEVNET_HOST_MAX) != NULL);
}

static json_t *proc_json(const struct devnet *net, uint32_t i)
{
    const struct devnet_proc *proc = &net->procs[i];
    char host[DEVNET_HOST_MAX];
    devnet_host(net, i, host);
    json_t *json =
        json_pack("{s:s,s:i,s:I,s:s}", "name", proc->name, "pid", (int)proc->pid, "started",
                  (json_int_t)proc->started, "state", devnet_alive(proc) ? "running" : "stopped");
    if (i > 0) {
        char address[64];
        snprintf(address, sizeof address, "/ip4/%s/tcp/%u", host, net->p2p_ports[i - 1]);
        json_object_set_new(json, "listen", json_string(address));
        json_object_set_new(json, "node_id", json_string(net->node_ids[i - 1]));
    }
    char rpc[64];
    snprintf(rpc, sizeof rpc, "http://%s:%u/rpc", host, net->rpc_ports[i]);
    json_object_set_new(json, "rpc", json_string(rpc));
    return json;
}

json_t *devnet_json(const struct devnet *net)
{
    json_t *procs = json_array();
    for (uint32_t i = 0; i < net->proc_cnt; i++) {
        json_array_append_new(procs, proc_json(net, i));
    }
    return json_pack("{s:s,s:s,s:I,s:I,s:o}", "dir", net->dir, "chain", net->chain_url, "nodes",
                     (json_int_t)net->node_cnt, "first_address", (json_int_t)net->first_address,
                     "processes", procs);
}

enum ses_err devnet_save(struct cli *cli, const struct devnet *net)
{
    char path[DEVNET_PATH_MAX];
    SES_TRY(devnet_path(cli, net, path, "devnet.json"));
    json_t *json = devnet_json(net);
    SES_REQUIRE(json != NULL, SES_ERR_MEMORY);
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    json_decref(json);
    SES_REQUIRE(text != NULL, SES_ERR_MEMORY);
    const enum ses_err err = cli_write_file(cli, path, text, strlen(text), 0600);
    free(text);
    return err;
}

/* The text under `key` is `before`, the host of process i, `between` and the port. */
static bool port_of(const struct devnet *net, uint32_t i, const json_t *object, const char *key,
                    const char *before, const char *between, uint16_t *port)
{
    const char *text = json_string_value(json_object_get(object, key));
    char host[DEVNET_HOST_MAX];
    char head[64];
    devnet_host(net, i, host);
    snprintf(head, sizeof head, "%s%s%s", before, host, between);
    const size_t len = strlen(head);
    const unsigned long value =
        text != NULL && strncmp(text, head, len) == 0 ? strtoul(text + len, NULL, 10) : 0;
    if (value == 0 || value > 65535) {
        return false;
    }
    *port = (uint16_t)value;
    return true;
}

static enum ses_err proc_read(struct devnet *net, uint32_t i, const json_t *json)
{
    struct devnet_proc *proc = &net->procs[i];
    const char *name = json_string_value(json_object_get(json, "name"));
    const json_t *pid = json_object_get(json, "pid");
    const json_t *started = json_object_get(json, "started");
    SES_REQUIRE(name != NULL && json_is_integer(pid) && json_integer_value(pid) > 1 &&
                    json_is_integer(started),
                SES_ERR_MALFORMED);
    snprintf(proc->name, sizeof proc->name, "%s", name);
    proc->pid = (pid_t)json_integer_value(pid);
    proc->started = (uint64_t)json_integer_value(started);
    SES_REQUIRE(port_of(net, i, json, "rpc", "http://", ":", &net->rpc_ports[i]),
                SES_ERR_MALFORMED);
    if (i == 0) {
        return SES_OK;
    }
    const char *node_id = json_string_value(json_object_get(json, "node_id"));
    SES_REQUIRE(node_id != NULL, SES_ERR_MALFORMED);
    snprintf(net->node_ids[i - 1], sizeof net->node_ids[i - 1], "%s", node_id);
    SES_REQUIRE(port_of(net, i, json, "listen", "/ip4/", "/tcp/", &net->p2p_ports[i - 1]),
                SES_ERR_MALFORMED);
    return SES_OK;
}

static enum ses_err state_read(struct devnet *net, const json_t *json)
{
    const json_t *procs = json_object_get(json, "processes");
    const char *url = json_string_value(json_object_get(json, "chain"));
    SES_REQUIRE(json_is_array(procs) && url != NULL, SES_ERR_MALFORMED);
    SES_REQUIRE(json_array_size(procs) <= SES_COUNT(net->procs), SES_ERR_MALFORMED);
    snprintf(net->chain_url, sizeof net->chain_url, "%s", url);
    net->node_cnt = (uint32_t)json_integer_value(json_object_get(json, "nodes"));
    net->first_address = (uint32_t)json_integer_value(json_object_get(json, "first_address"));
    net->proc_cnt = 0;
    for (uint32_t i = 0; i < json_array_size(procs); i++) {
        SES_TRY(proc_read(net, i, json_array_get(procs, i)));
        net->proc_cnt++;
    }
    return SES_OK;
}

enum ses_err devnet_load(struct cli *cli, struct devnet *net)
{
    char path[DEVNET_PATH_MAX];
    SES_TRY(devnet_path(cli, net, path, "devnet.json"));
    struct ses_buf text = {0};
    enum ses_err err = cli_read_file(cli, path, STATE_MAX, &text);
    if (err == SES_ERR_NOT_FOUND) {
        err = cli_fail(cli, SES_ERR_NOT_FOUND,
                       "no devnet in %.200s; start one with: session devnet up", net->dir);
    }
    if (err == SES_OK) {
        json_error_t why;
        json_t *json = json_loadb((const char *)text.bytes, text.len, 0, &why);
        err = json == NULL ? SES_ERR_MALFORMED : state_read(net, json);
        if (err != SES_OK) {
            cli_fail(cli, err,
                     "%.200s is damaged: stop its processes by hand and remove the directory",
                     path);
        }
        json_decref(json);
    }
    ses_buf_free(&text);
    return err;
}
