/* A network of real processes in one directory. */
#ifndef SES_CLI_DEVNET_INTERNAL_H
#define SES_CLI_DEVNET_INTERNAL_H

#include <sys/types.h>

#include "cli/cli_internal.h"

#define DEVNET_NODES_MAX 64u
#define DEVNET_PATH_MAX 1024u
#define DEVNET_WAIT_MS 180000u
#define DEVNET_STAKE 100000000000ull /* nLUX that each owner bonds: the chain's minimum */

/* A process that this devnet started. pid and start time together name it for good: a pid that was
 * given to another program since has another start time. */
struct devnet_proc {
    char name[32]; /* "chain", "node-01" */
    pid_t pid;
    uint64_t started; /* clock ticks after boot, /proc/PID/stat field 22 */
};

struct devnet {
    char dir[DEVNET_PATH_MAX];
    char chain_url[64];
    uint32_t first_address; /* IPv4 of the chain, the nodes have the next ones; 0: all 127.0.0.1 */
    uint32_t node_cnt;
    uint16_t rpc_ports[DEVNET_NODES_MAX + 1]; /* of the chain, then of the nodes */
    uint16_t p2p_ports[DEVNET_NODES_MAX];
    struct devnet_proc procs[DEVNET_NODES_MAX + 1]; /* the chain first */
    uint32_t proc_cnt;
    char node_ids[DEVNET_NODES_MAX][SES_ID_TEXT_MAX];
};

/* dir/name, or ERR_INVALID with a note if it is too long. */
enum ses_err devnet_path(struct cli *cli, const struct devnet *net, char out[DEVNET_PATH_MAX],
                         const char *format, ...) __attribute__((format(printf, 4, 5)));
/* IPv4 address of process i: 0 the chain, then the nodes. */
#define DEVNET_HOST_MAX 16u
void devnet_host(const struct devnet *net, uint32_t i, char out[DEVNET_HOST_MAX]);
/* devnet.json in the directory. ERR_NOT_FOUND if there is none. */
enum ses_err devnet_save(struct cli *cli, const struct devnet *net);
enum ses_err devnet_load(struct cli *cli, struct devnet *net);
json_t *devnet_json(const struct devnet *net);

/* ---- what it begins with (devnet_genesis.c) ---- */
/* The parameters that the options ask for; the chain checks names and ranges. */
enum ses_err devnet_params(struct cli *cli, json_t **out);
/* genesis.json, and an identity file for the faucet and for the owner of each node. */
enum ses_err devnet_genesis_write(struct cli *cli, const struct devnet *net, json_t *params);

/* ---- its chain and nodes (devnet_run.c) ---- */
/* A line on standard error. */
void devnet_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Starts the chain and waits until it answers. */
enum ses_err devnet_chain_start(struct cli *cli, struct devnet *net, struct ses_rpc_client **out);
/* Keys and configuration of node i (from 0). */
enum ses_err devnet_node_init(struct cli *cli, const struct devnet *net, uint32_t i);
enum ses_err devnet_node_start(struct cli *cli, struct devnet *net, uint32_t i);
/* The owner's transaction, signed on this machine by owner and node. */
enum ses_err devnet_node_join(struct cli *cli, struct devnet *net, struct ses_rpc_client *chain,
                              uint32_t i, struct ses_hash *tx_id);
/* Until it answers, or with `linked` until it is connected to its swarm. */
enum ses_err devnet_node_await(struct cli *cli, struct devnet *net, uint32_t i, uint64_t until,
                               bool linked);
/* Until every node has a seat. */
enum ses_err devnet_seats_await(struct cli *cli, struct devnet *net, struct ses_rpc_client *chain);

/* ---- processes (devnet_proc.c) ---- */
/* `count` different free TCP ports of 127.0.0.1. */
enum ses_err devnet_free_ports(struct cli *cli, uint16_t *ports, uint32_t count);
/* Path of a program that stands beside this one, or in PATH. */
void devnet_program(char out[DEVNET_PATH_MAX], const char *name);
/* Starts argv (ends with NULL) in its own session, output appended to `log`. */
enum ses_err devnet_spawn(struct cli *cli, struct devnet_proc *proc, const char *name,
                          const char *log, char *const argv[]);
/* Runs argv to its end; its output goes to `log`. ERR_IO with a note that names the log. */
enum ses_err devnet_run(struct cli *cli, const char *log, char *const argv[]);
bool devnet_alive(const struct devnet_proc *proc);
/* TERM, at most 12 seconds of waiting for all together, then KILL. */
void devnet_stop_all(struct devnet *net);
/* Removes everything below `dir` and the directory; refuses one that holds no devnet. */
enum ses_err devnet_remove(struct cli *cli, const struct devnet *net);

#endif
