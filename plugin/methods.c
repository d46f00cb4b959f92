/* The table of the JSON-RPC methods, and the lock around each. */
#include "plugin/methods.h"

#include <string.h>

json_t *ses_rpc_fail_here(struct ses_rpc_error *error, enum ses_err err)
{
    const struct ses_note note = error->note;
    return ses_rpc_fail_note(error, err, &note);
}

static json_t *locked(ses_rpc_method_fn *fn, void *cookie, json_t *params,
                      struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    pthread_mutex_lock(&host->lock);
    json_t *result = fn(cookie, params, error);
    pthread_mutex_unlock(&host->lock);
    return result;
}

/* name, function, parameters; docs/openrpc.json lists the same ones. */
#define METHODS(X)                                                                                 \
    X(getBalance, balance)                                                                         \
    X(getBlock, block)                                                                             \
    X(getChallenges, challenges)                                                                   \
    X(getCommitment, commitment)                                                                   \
    X(getCommitments, commitments)                                                                 \
    X(getEpoch, epoch)                                                                             \
    X(getEpochs, epochs)                                                                           \
    X(getHead, head)                                                                               \
    X(getMempool, mempool)                                                                         \
    X(getNonce, nonce)                                                                             \
    X(getParams, params)                                                                           \
    X(getProof, proof)                                                                             \
    X(getRegistry, registry)                                                                       \
    X(getServiceNode, node)                                                                        \
    X(getServiceNodes, nodes)                                                                      \
    X(getSwarm, swarm)                                                                             \
    X(getSwarmForInbox, swarm_for_inbox)                                                           \
    X(getTesters, testers)                                                                         \
    X(getTotalBonded, total_bonded)                                                                \
    X(getTx, tx)                                                                                   \
    X(getUptime, uptime)                                                                           \
    X(health, health)                                                                              \
    X(submitTx, submit)

#define X(name, function)                                                                          \
    static json_t *call_##function(void *cookie, json_t *params, struct ses_rpc_error *error)      \
    {                                                                                              \
        return locked(ses_method_##function, cookie, params, error);                               \
    }
METHODS(X)
#undef X

const struct ses_rpc_method *ses_host_methods(void)
{
    /* submitTx needs no token: a transaction carries its own authority */
    static const struct ses_rpc_method methods[] = {
#define X(name, function) {"sessionvm." #name, call_##function, false},
        METHODS(X)
#undef X
            {0},
    };
    return methods;
}
