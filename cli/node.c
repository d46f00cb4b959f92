/* session node ...: what an operator tells the chain about a node. */
#include <string.h>

#include "cli/node_internal.h"

/* ---- commands that one transaction does ---- */

struct node_cmd {
    struct ses_identity *owner;
    struct ses_rpc_client *chain;
};

static enum ses_err node_cmd_open(struct cli *cli, struct node_cmd *cmd)
{
    SES_TRY(cli_chain(cli, &cmd->chain));
    return cli_signer(cli, &cmd->owner);
}

static void node_cmd_close(struct node_cmd *cmd)
{
    ses_rpc_client_free(cmd->chain);
    ses_identity_free(cmd->owner);
}

enum ses_err cli_node_arg(struct cli *cli, struct ses_node_id *out)
{
    if (ses_node_id_parse(out, cli->args[0]) != SES_OK) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "\"%.60s\" is no node id: it begins with NodeID- and has a checksum",
                        cli->args[0]);
    }
    return SES_OK;
}

static enum ses_err tx_run(struct cli *cli, struct node_cmd *cmd, struct ses_tx_send *send)
{
    struct ses_hash id;
    uint64_t height = 0;
    send->signer = cmd->owner;
    SES_TRY(cli_tx_submit(cli, cmd->chain, send, &id));
    SES_TRY(cli_tx_wait(cli, cmd->chain, &id, &height));
    return cli_tx_done(cli, &id, height);
}

static enum ses_err topup_run(struct cli *cli, struct node_cmd *cmd)
{
    struct ses_tx_send send = {.tx.type = SES_TX_TOP_UP};
    struct ses_tx_top_up *body = &send.tx.body.top_up;
    SES_TRY(cli_node_arg(cli, &body->node_id));
    SES_TRY(cli_lux_moved(cli, cli->args[1], &body->amount));
    SES_TRY(cli_tx_terms(cli, cmd->chain, &cmd->owner->account, &body->nonce, &body->fee));
    return tx_run(cli, cmd, &send);
}

static enum ses_err decommission_run(struct cli *cli, struct node_cmd *cmd)
{
    struct ses_tx_send send = {.tx.type = SES_TX_DECOMMISSION};
    struct ses_tx_decommission *body = &send.tx.body.decommission;
    SES_TRY(cli_node_arg(cli, &body->node_id));
    SES_TRY(cli_tx_terms(cli, cmd->chain, &cmd->owner->account, &body->nonce, &body->fee));
    return tx_run(cli, cmd, &send);
}

static enum ses_err register_run(struct cli *cli, struct node_cmd *cmd)
{
    const char *path = ses_config_get(cli->config, "request");
    struct cli_registration reg;
    uint64_t stake = 0;
    struct ses_hash id;
    uint64_t height = 0;
    if (path == NULL) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "--request FILE is needed: `sessiond init` writes registration.json");
    }
    SES_TRY(cli_lux_parse(cli, ses_config_get(cli->config, "stake"), &stake));
    SES_TRY(cli_registration_read(cli, &reg, path));
    reg.node_auth = ses_config_get(cli->config, "node-auth");
    SES_TRY(cli_registration_submit(cli, cmd->chain, &reg, cmd->owner, stake, &id));
    SES_TRY(cli_tx_wait(cli, cmd->chain, &id, &height));
    if (!cli->json) {
        printf("%s is registered; it gets a swarm at the second epoch boundary from now.\n",
               reg.node_text);
    }
    return cli_print_json(cli, json_pack("{s:s}", "nodeId", reg.node_text));
}

static enum ses_err with_owner(struct cli *cli,
                               enum ses_err (*run)(struct cli *cli, struct node_cmd *cmd))
{
    struct node_cmd cmd = {0};
    enum ses_err err = node_cmd_open(cli, &cmd);
    if (err == SES_OK) {
        err = run(cli, &cmd);
    }
    node_cmd_close(&cmd);
    return err;
}

static enum ses_err node_register(struct cli *cli)
{
    return with_owner(cli, register_run);
}

static enum ses_err node_topup(struct cli *cli)
{
    return with_owner(cli, topup_run);
}

static enum ses_err node_decommission(struct cli *cli)
{
    return with_owner(cli, decommission_run);
}

#define OWNER_KEY                                                                                  \
    {                                                                                              \
        "owner-file", NULL, "identity file of the owner (default: the profile's)", false           \
    }

static const struct ses_config_key register_keys[] = {
    {"request", NULL, "registration.json of the node", false},
    {"stake", "100", "LUX to bond", false},
    {"node-auth", NULL, "the node's signature, from `sessiond sign-registration`", false},
    OWNER_KEY,
    {0},
};
static const struct ses_config_key owner_keys[] = {OWNER_KEY, {0}};

const struct cli_command cli_node_commands[] = {
    {"node register", "", "bond stake and register a service node",
     "session node register --request /var/lib/sessiond/registration.json --stake 100", 0, 0,
     node_register, register_keys, CLI_PERSON},
    {"node topup", "NODEID AMOUNT", "raise a node's stake", "session node topup NodeID-... 50", 2,
     2, node_topup, owner_keys, CLI_PERSON},
    {"node decommission", "NODEID", "take a node out; the stake comes back after unbonding",
     "session node decommission NodeID-...", 1, 1, node_decommission, owner_keys, CLI_PERSON},
    {"node status", "NODEID", "what the chain says of a node", "session node status NodeID-...", 1,
     1, cli_node_status, NULL, CLI_CHAIN},
    {0},
};
