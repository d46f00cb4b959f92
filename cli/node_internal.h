/* session node ...: registration (the request that `sessiond init` wrote, and the transaction made
 * of it), and what the chain says of a node. */
#ifndef SES_CLI_NODE_INTERNAL_H
#define SES_CLI_NODE_INTERNAL_H

#include "cli/cli_internal.h"

struct cli_registration {
    struct ses_tx_register body; /* owner, stake, nonce and fee still to be filled in */
    char node_text[SES_ID_TEXT_MAX];
    char config[1024];     /* of the node, on its machine */
    const char *node_auth; /* hex, from the node's machine; NULL: run sessiond here */
};
/* Reads and checks registration.json: node_id must follow from the public key. */
enum ses_err cli_registration_read(struct cli *cli, struct cli_registration *reg, const char *path);
/* Has the node sign (node_auth, or `sessiond sign-registration` on this machine), signs as `owner`,
 * submits; does not wait for the block. */
enum ses_err cli_registration_submit(struct cli *cli, struct ses_rpc_client *chain,
                                     struct cli_registration *reg, const struct ses_identity *owner,
                                     uint64_t stake, struct ses_hash *tx_id);

/* The first argument as a node id. */
enum ses_err cli_node_arg(struct cli *cli, struct ses_node_id *out);
enum ses_err cli_node_status(struct cli *cli);

#endif
