/* The chain over JSON-RPC: rpc's blocking calls, one at a time, on loop->work. */
#include <pthread.h>

#include "daemon/program.h"

#define TIMEOUT_MS 10000u
#define CHAIN_FILE "chain.json"
#define CHAIN_FILE_MAX 65536u

struct chain_http {
    const struct ses_loop *loop;
    struct ses_rpc_client *client;
    pthread_mutex_t lock; /* the client serves one thread at a time */
};
struct ask {
    struct chain_http *chain;
    enum { ASK_HEAD, ASK_REGISTRY, ASK_PARAMS, ASK_STANDING, ASK_SUBMIT } what;
    uint64_t since;
    struct ses_node_id node_id;
    uint32_t epochs;
    uint8_t *tx;
    size_t tx_len;
    union {
        ses_chain_head_fn *head;
        ses_chain_registry_fn *registry;
        void (*params)(void *cookie, enum ses_err err, const struct ses_chain_params *params,
                       const struct ses_note *note);
        ses_chain_standing_fn *standing;
        ses_chain_submit_fn *submit;
    } done;
    void *cookie;
    enum ses_err err;
    struct ses_note note;
    struct ses_chain_head head;
    struct ses_chain_params params;
    struct ses_chain_registry registry;
    size_t row_cap;
    struct ses_chain_standing *standing;
};

enum ses_err ses_chain_http_new(struct chain_http **out, const char *urls,
                                const struct ses_loop *loop, struct ses_note *note)
{
    *out = NULL;
    struct chain_http *chain = ses_alloc(1, sizeof *chain);
    SES_REQUIRE(chain != NULL, SES_ERR_MEMORY);
    const enum ses_err err = ses_rpc_client_new(&chain->client, urls, TIMEOUT_MS, note);
    if (err != SES_OK) {
        ses_free(chain);
        return err;
    }
    chain->loop = loop;
    pthread_mutex_init(&chain->lock, NULL);
    *out = chain;
    return SES_OK;
}

void ses_chain_http_free(struct chain_http *chain)
{
    if (chain != NULL) {
        pthread_mutex_destroy(&chain->lock);
        ses_rpc_client_free(chain->client);
        ses_free(chain);
    }
}

static enum ses_err take_row(void *cookie, const struct ses_registry_row *row,
                             const struct ses_node_keys *keys, const struct ses_endpoint *endpoint)
{
    struct ask *ask = cookie;
    struct ses_chain_registry *r = &ask->registry;
    if (r->row_cnt == ask->row_cap) {
        const size_t cap = ask->row_cap != 0 ? 2 * ask->row_cap : 64;
        struct ses_map_node *rows = ses_realloc(r->rows, cap, sizeof *rows);
        SES_REQUIRE(rows != NULL, SES_ERR_MEMORY);
        r->rows = rows;
        ask->row_cap = cap;
    }
    r->rows[r->row_cnt++] =
        (struct ses_map_node){.row = *row, .keys = *keys, .endpoint = *endpoint};
    return SES_OK;
}

static enum ses_err get_standing(struct ses_rpc_client *client, struct ask *ask)
{
    struct ses_chain_standing *s = ask->standing;
    SES_TRY(
        ses_chain_get_challenges(client, &ask->node_id, ask->epochs, &s->challenges, &ask->note));
    SES_TRY(ses_chain_get_node(client, &ask->node_id, &s->node, &ask->note));
    const uint64_t epoch = s->challenges.duty.epoch;
    if (s->node.swarm == SES_SWARM_NONE || epoch == 0) {
        return SES_OK;
    }
    struct ses_committed *list = ses_alloc(SES_MEMBERS_MAX, sizeof *list);
    SES_REQUIRE(list != NULL, SES_ERR_MEMORY);
    const enum ses_err err = ses_chain_get_commitments(
        client, s->node.swarm, epoch - 1, list, SES_MEMBERS_MAX, &s->swarm_commitments, &ask->note);
    ses_free(list);
    return err;
}

static enum ses_err submit(struct ses_rpc_client *client, struct ask *ask)
{
    struct ses_hash tx_id;
    return ses_chain_submit(client, ask->tx, ask->tx_len, &tx_id, &ask->note);
}

static void ask_run(void *cookie)
{
    struct ask *ask = cookie;
    struct ses_rpc_client *client = ask->chain->client;
    pthread_mutex_lock(&ask->chain->lock);
    switch (ask->what) {
    case ASK_HEAD:
        ask->err = ses_chain_get_head(client, &ask->head, &ask->note);
        break;
    case ASK_REGISTRY:
        ask->err = ses_chain_get_registry(client, ask->since, &ask->registry.header, take_row, ask,
                                          &ask->note);
        break;
    case ASK_PARAMS:
        ask->err = ses_chain_get_params(client, &ask->params, &ask->note);
        break;
    case ASK_STANDING:
        ask->err = get_standing(client, ask);
        break;
    case ASK_SUBMIT:
        ask->err = submit(client, ask);
        break;
    }
    pthread_mutex_unlock(&ask->chain->lock);
}

static void ask_free(struct ask *ask)
{
    ses_free(ask->registry.rows);
    ses_free(ask->standing);
    ses_free(ask->tx);
    ses_free(ask);
}

static void ask_done(void *cookie)
{
    struct ask *ask = cookie;
    switch (ask->what) {
    case ASK_HEAD:
        ask->done.head(ask->cookie, ask->err, &ask->head, &ask->note);
        break;
    case ASK_REGISTRY:
        ask->done.registry(ask->cookie, ask->err, &ask->registry, &ask->note);
        break;
    case ASK_PARAMS:
        ask->done.params(ask->cookie, ask->err, &ask->params, &ask->note);
        break;
    case ASK_STANDING:
        ask->done.standing(ask->cookie, ask->err, ask->standing, &ask->note);
        break;
    case ASK_SUBMIT:
        ask->done.submit(ask->cookie, ask->err, &ask->note);
        break;
    }
    ask_free(ask);
}

/* Takes over what `from` owns, also on an error. */
static enum ses_err start(const struct ask *from)
{
    struct ask *ask = ses_alloc(1, sizeof *ask);
    if (ask == NULL) {
        ses_free(from->standing);
        ses_free(from->tx);
        return SES_ERR_MEMORY;
    }
    *ask = *from;
    const struct ses_loop *loop = ask->chain->loop;
    const enum ses_err err = loop->work(loop->ctx, ask_run, ask_done, ask);
    if (err != SES_OK) {
        ask_free(ask);
    }
    return err;
}

static enum ses_err chain_head(void *ctx, ses_chain_head_fn *done, void *cookie)
{
    const struct ask ask = {.chain = ctx, .what = ASK_HEAD, .done.head = done, .cookie = cookie};
    return start(&ask);
}

static enum ses_err chain_registry(void *ctx, uint64_t since_epoch, ses_chain_registry_fn *done,
                                   void *cookie)
{
    const struct ask ask = {.chain = ctx,
                            .what = ASK_REGISTRY,
                            .since = since_epoch,
                            .done.registry = done,
                            .cookie = cookie};
    return start(&ask);
}

static enum ses_err chain_standing(void *ctx, const struct ses_node_id *node_id, uint32_t epochs,
                                   ses_chain_standing_fn *done, void *cookie)
{
    const struct ask ask = {.chain = ctx,
                            .what = ASK_STANDING,
                            .node_id = *node_id,
                            .epochs = epochs,
                            .standing = ses_alloc(1, sizeof(struct ses_chain_standing)),
                            .done.standing = done,
                            .cookie = cookie};
    SES_REQUIRE(ask.standing != NULL, SES_ERR_MEMORY);
    return start(&ask);
}

static enum ses_err chain_submit(void *ctx, const uint8_t *tx, size_t len,
                                 ses_chain_submit_fn *done, void *cookie)
{
    const struct ask ask = {.chain = ctx,
                            .what = ASK_SUBMIT,
                            .tx = ses_alloc(len + 1, 1),
                            .tx_len = len,
                            .done.submit = done,
                            .cookie = cookie};
    SES_REQUIRE(ask.tx != NULL, SES_ERR_MEMORY);
    memcpy(ask.tx, tx, len);
    return start(&ask);
}

enum ses_err ses_chain_http_params(struct chain_http *chain,
                                   void (*done)(void *cookie, enum ses_err err,
                                                const struct ses_chain_params *params,
                                                const struct ses_note *note),
                                   void *cookie)
{
    const struct ask ask = {
        .chain = chain, .what = ASK_PARAMS, .done.params = done, .cookie = cookie};
    return start(&ask);
}

struct ses_chain ses_chain_http_face(struct chain_http *chain)
{
    return (struct ses_chain){.ctx = chain,
                              .head = chain_head,
                              .registry = chain_registry,
                              .standing = chain_standing,
                              .submit = chain_submit};
}

/* ---- the file ---- */
static const char *const param_names[] = {
#define SES_X(field, key, value) key,
    SES_PARAMS(SES_X)
#undef SES_X
};
_Static_assert(sizeof(struct ses_params) == SES_COUNT(param_names) * sizeof(uint64_t),
               "the parameters are an array of u64 with names");

enum ses_err ses_chain_file_save(const struct settings *s, const struct ses_chain_params *params,
                                 struct ses_note *note)
{
    char path[PATH_CHARS];
    uint64_t values[SES_COUNT(param_names)];
    SES_TRY(ses_settings_path(s, CHAIN_FILE, path));
    json_t *json = json_object();
    json_t *list = json_object();
    memcpy(values, &params->params, sizeof values);
    for (size_t i = 0; i < SES_COUNT(param_names); i++) {
        json_object_set_new(list, param_names[i], ses_json_u64(values[i]));
    }
    json_object_set_new(json, "chainId", ses_json_hex(params->chain_id.bytes, 32));
    json_object_set_new(json, "networkName", json_string(params->network_name));
    json_object_set_new(json, "timestamp", ses_json_u64(params->genesis_timestamp));
    json_object_set_new(json, "params", list);
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    SES_REQUIRE(text != NULL, SES_ERR_MEMORY);
    const enum ses_err err = ses_file_write(path, text, strlen(text), 0644, note);
    free(text); /* jansson's own */
    return err;
}

static enum ses_err read_params(const json_t *json, struct ses_chain_params *params,
                                struct ses_note *note)
{
    uint64_t values[SES_COUNT(param_names)];
    const json_t *list = json_object_get(json, "params");
    const char *name = json_string_value(json_object_get(json, "networkName"));
    SES_REQUIRE(json_is_object(list), SES_ERR_MALFORMED);
    for (size_t i = 0; i < SES_COUNT(param_names); i++) {
        SES_TRY(ses_json_get_u64(list, param_names[i], &values[i], note));
    }
    memcpy(&params->params, values, sizeof values);
    SES_TRY(ses_json_get_u64(json, "timestamp", &params->genesis_timestamp, note));
    SES_TRY(ses_json_get_hex(json, "chainId", params->chain_id.bytes, 32, note));
    snprintf(params->network_name, sizeof params->network_name, "%s", name != NULL ? name : "");
    return ses_params_validate(&params->params, note);
}

enum ses_err ses_chain_file_load(const struct settings *s, struct ses_chain_params *params,
                                 struct ses_note *note)
{
    char path[PATH_CHARS];
    struct ses_buf text = {0};
    memset(params, 0, sizeof *params);
    SES_TRY(ses_settings_path(s, CHAIN_FILE, path));
    SES_TRY(ses_file_read(path, CHAIN_FILE_MAX, &text, NULL));
    json_t *json = json_loadb((const char *)text.bytes, text.len, JSON_REJECT_DUPLICATES, NULL);
    ses_buf_free(&text);
    const enum ses_err err = json != NULL ? read_params(json, params, note) : SES_ERR_MALFORMED;
    json_decref(json);
    if (err != SES_OK) {
        ses_note_set(note, "%.250s is damaged: remove it, it is fetched from the chain again",
                     path);
        return SES_ERR_MALFORMED;
    }
    return SES_OK;
}

enum ses_err ses_chain_params_get(const struct settings *s, struct ses_chain_params *params,
                                  struct ses_note *note)
{
    enum ses_err err = ses_chain_file_load(s, params, note);
    struct ses_rpc_client *client = NULL;
    if (err != SES_ERR_NOT_FOUND) {
        return err;
    }
    SES_TRY(ses_rpc_client_new(&client, s->chain, TIMEOUT_MS, note));
    err = ses_chain_get_params(client, params, note);
    ses_rpc_client_free(client);
    SES_TRY(err);
    return ses_chain_file_save(s, params, note);
}
