/* plugin, inside: the JSON-RPC methods by file. */
#ifndef SES_PLUGIN_METHODS_H
#define SES_PLUGIN_METHODS_H

#include "plugin/host.h"

/* Parameters that a method knows; anything else is refused. Ends with NULL. */
#define SES_KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SES_NO_KEYS ((const char *const[]){NULL})
/* In a method: leave with the error that `call` put into error->note. */
#define SES_RPC_TRY(error, call)                                                                   \
    do {                                                                                           \
        const enum ses_err ses_rpc_try_err = (call);                                               \
        if (ses_rpc_try_err != SES_OK)                                                             \
            return ses_rpc_fail_here((error), ses_rpc_try_err);                                    \
    } while (0)

/* Fails with the note that is in *error already. */
json_t *ses_rpc_fail_here(struct ses_rpc_error *error, enum ses_err err);
/* The epoch record of `epoch` (UINT64_MAX: current); e->canonical is from ses_alloc. */
SES_CHECKED enum ses_err ses_host_epoch(struct ses_host *host, uint64_t epoch, struct ses_epoch *e,
                                        struct ses_note *note);

/* All run with the host's lock held. */
ses_rpc_method_fn ses_method_head, ses_method_params, ses_method_block, ses_method_tx,
    ses_method_proof, ses_method_submit, ses_method_mempool, ses_method_health;
ses_rpc_method_fn ses_method_nodes, ses_method_node, ses_method_swarm, ses_method_swarm_for_inbox,
    ses_method_uptime, ses_method_registry, ses_method_testers;
ses_rpc_method_fn ses_method_epoch, ses_method_epochs, ses_method_balance, ses_method_nonce,
    ses_method_total_bonded;
ses_rpc_method_fn ses_method_challenges, ses_method_commitment, ses_method_commitments;

#endif
