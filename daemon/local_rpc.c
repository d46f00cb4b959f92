/* The local port: what this node is and does, and the chain's read-only methods, so that a page
 * needs one origin. Handlers run on the server's threads: they hand work to the loop and wait. */
#include <pthread.h>

#include "daemon/program.h"

#define CHAIN_TIMEOUT_MS 10000u
#define FORWARDED(X)                                                                               \
    X(getBalance)                                                                                  \
    X(getBlock)                                                                                    \
    X(getChallenges)                                                                               \
    X(getCommitment)                                                                               \
    X(getCommitments)                                                                              \
    X(getEpoch)                                                                                    \
    X(getEpochs)                                                                                   \
    X(getHead)                                                                                     \
    X(getMempool)                                                                                  \
    X(getNonce)                                                                                    \
    X(getParams)                                                                                   \
    X(getProof)                                                                                    \
    X(getRegistry)                                                                                 \
    X(getServiceNode)                                                                              \
    X(getServiceNodes)                                                                             \
    X(getSwarm)                                                                                    \
    X(getSwarmForInbox)                                                                            \
    X(getTesters)                                                                                  \
    X(getTotalBonded)                                                                              \
    X(getTx)                                                                                       \
    X(getUptime)                                                                                   \
    X(resolveDID)                                                                                  \
    X(health)

struct local_rpc {
    struct local_rpc_params p;
    struct ses_rpc_server *server;
    struct ses_rpc_client *chain;
    pthread_mutex_t chain_lock; /* the client serves one thread at a time */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopped; /* the loop will not run again */
};

/* ---- a question to the loop ---- */
struct question {
    struct local_rpc *rpc;
    enum { ASK_STATUS, ASK_STORAGE, ASK_METRICS, ASK_READY } what;
    bool done;
    json_t *json;
    char *text;
    bool ready;
    struct ses_note why;
};

static void on_loop(void *cookie)
{
    struct question *q = cookie;
    struct local_rpc *rpc = q->rpc;
    void *to = rpc->p.cookie;
    switch (q->what) {
    case ASK_STATUS:
        q->json = rpc->p.status(to);
        break;
    case ASK_STORAGE:
        q->json = rpc->p.storage(to);
        break;
    case ASK_METRICS:
        q->text = rpc->p.metrics(to);
        break;
    case ASK_READY:
        q->ready = rpc->p.ready(to, &q->why);
        break;
    }
    pthread_mutex_lock(&rpc->lock);
    q->done = true;
    pthread_cond_broadcast(&rpc->changed);
    pthread_mutex_unlock(&rpc->lock);
}

/* false: the program is ending. The question stays on the asker's stack: once `stopped` is set the
 * loop never touches it any more. */
static bool ask(struct local_rpc *rpc, struct question *q)
{
    q->rpc = rpc;
    pthread_mutex_lock(&rpc->lock);
    bool posted = !rpc->stopped && ses_uv_post(rpc->p.uv, on_loop, q) == SES_OK;
    while (posted && !q->done && !rpc->stopped) {
        pthread_cond_wait(&rpc->changed, &rpc->lock);
    }
    posted = q->done;
    pthread_mutex_unlock(&rpc->lock);
    return posted;
}

static json_t *ask_status(struct local_rpc *rpc, struct ses_rpc_error *error)
{
    struct question q = {.what = ASK_STATUS};
    if (!ask(rpc, &q) || q.json == NULL) {
        return ses_rpc_fail(error, SES_ERR_UNAVAILABLE, "the node is stopping");
    }
    return q.json;
}

/* ---- sessiond.* ---- */
static json_t *method_status(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)params;
    return ask_status(cookie, error);
}

/* A view of the status: the named members only. */
static json_t *pick(struct local_rpc *rpc, const char *const *names, struct ses_rpc_error *error)
{
    json_t *status = ask_status(rpc, error);
    json_t *out = status != NULL ? json_object() : NULL;
    for (size_t i = 0; out != NULL && names[i] != NULL; i++) {
        json_object_set(out, names[i], json_object_get(status, names[i]));
    }
    json_decref(status);
    return out;
}

static json_t *method_swarm(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    static const char *const names[] = {"nodeId",      "epoch",   "swarm", "swarmFromEpoch",
                                        "numSwarms",   "members", "links", "activeMembers",
                                        "writeQuorum", NULL};
    (void)params;
    return pick(cookie, names, error);
}

static json_t *method_peers(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    static const char *const names[] = {"links", "replicas", "connections", NULL};
    (void)params;
    return pick(cookie, names, error);
}

static json_t *method_replication(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    static const char *const names[] = {"debts", "oldestDebtMs", "waitingStores", "links", NULL};
    (void)params;
    return pick(cookie, names, error);
}

static json_t *method_challenges(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    static const char *const names[] = {"nodeId", "epoch", "swarm", "challenges", NULL};
    (void)params;
    return pick(cookie, names, error);
}

static json_t *method_storage(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct question q = {.what = ASK_STORAGE};
    (void)params;
    if (!ask(cookie, &q) || q.json == NULL) {
        return ses_rpc_fail(error, SES_ERR_UNAVAILABLE,
                            "the store is not open: the node waits for the chain or is stopping");
    }
    return q.json;
}

/* ---- sessionvm.*, forwarded ---- */
static json_t *forward(struct local_rpc *rpc, const char *method, json_t *params,
                       struct ses_rpc_error *error)
{
    json_t *result = NULL;
    struct ses_note note = {{0}};
    pthread_mutex_lock(&rpc->chain_lock);
    const enum ses_err err = ses_rpc_call(rpc->chain, method, json_incref(params), &result, &note);
    pthread_mutex_unlock(&rpc->chain_lock);
    if (err != SES_OK) {
        return ses_rpc_fail(error, err, "%s", note.text);
    }
    return result;
}

#define SES_X(name)                                                                                \
    static json_t *forward_##name(void *cookie, json_t *params, struct ses_rpc_error *error)       \
    {                                                                                              \
        return forward(cookie, "sessionvm." #name, params, error);                                 \
    }
FORWARDED(SES_X)
#undef SES_X

static const struct ses_rpc_method methods[] = {
    {"sessiond.status", method_status, false},
    {"sessiond.swarm", method_swarm, false},
    {"sessiond.challenges", method_challenges, false},
    {"sessiond.storage", method_storage, false},
    {"sessiond.peers", method_peers, false},
    {"sessiond.replication", method_replication, false},
#define SES_X(name) {"sessionvm." #name, forward_##name, false},
    FORWARDED(SES_X)
#undef SES_X
        {NULL, NULL, false},
};

/* ---- pages ---- */
static char *page_healthz(void *cookie, int *http_status)
{
    struct question q = {.what = ASK_READY};
    const bool alive = ask(cookie, &q); /* the loop turns */
    *http_status = alive ? 200 : 503;
    return ses_strdup(alive ? "ok\n" : "stopping\n");
}

static char *page_readyz(void *cookie, int *http_status)
{
    struct question q = {.what = ASK_READY};
    char text[sizeof q.why.text + 2];
    if (!ask(cookie, &q)) {
        ses_note_set(&q.why, "stopping");
    }
    *http_status = q.ready ? 200 : 503;
    snprintf(text, sizeof text, "%s\n", q.why.text);
    return ses_strdup(text);
}

static char *page_metrics(void *cookie, int *http_status)
{
    struct question q = {.what = ASK_METRICS};
    const bool got = ask(cookie, &q) && q.text != NULL;
    *http_status = got ? 200 : 503;
    return got ? q.text : ses_strdup("# not serving yet\n");
}

static const struct ses_rpc_page pages[] = {
    {"/healthz", "text/plain; charset=utf-8", page_healthz},
    {"/readyz", "text/plain; charset=utf-8", page_readyz},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics},
    {NULL, NULL, NULL},
};

enum ses_err ses_local_rpc_new(struct local_rpc **out, const struct local_rpc_params *params,
                               struct ses_note *note)
{
    *out = NULL;
    struct local_rpc *rpc = ses_alloc(1, sizeof *rpc);
    SES_REQUIRE(rpc != NULL, SES_ERR_MEMORY);
    rpc->p = *params;
    pthread_mutex_init(&rpc->lock, NULL);
    pthread_mutex_init(&rpc->chain_lock, NULL);
    pthread_cond_init(&rpc->changed, NULL);
    const struct ses_rpc_server_params server = {.listen = params->listen,
                                                 .per_address = params->per_address,
                                                 .methods = methods,
                                                 .pages = pages,
                                                 .cookie = rpc,
                                                 .log = params->log};
    enum ses_err err = ses_rpc_client_new(&rpc->chain, params->chain_urls, CHAIN_TIMEOUT_MS, note);
    if (err == SES_OK) {
        err = ses_rpc_server_new(&rpc->server, &server, note);
    }
    if (err != SES_OK) {
        ses_local_rpc_free(rpc);
        return err;
    }
    *out = rpc;
    return SES_OK;
}

void ses_local_rpc_free(struct local_rpc *rpc)
{
    if (rpc == NULL) {
        return;
    }
    pthread_mutex_lock(&rpc->lock);
    rpc->stopped = true;
    pthread_cond_broadcast(&rpc->changed);
    pthread_mutex_unlock(&rpc->lock);
    if (rpc->server != NULL) {
        ses_rpc_server_free(rpc->server);
    }
    ses_rpc_client_free(rpc->chain);
    pthread_cond_destroy(&rpc->changed);
    pthread_mutex_destroy(&rpc->chain_lock);
    pthread_mutex_destroy(&rpc->lock);
    ses_free(rpc);
}
