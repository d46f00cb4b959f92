#include <string.h>

#include "base/tap.h"
#include "rpc/rpc_internal.h"

/* A server whose answers are in `answers`: JSON texts by method. */
static json_t *answers;
static json_t *last_params;

static json_t *answer(const char *method, json_t *params, struct ses_rpc_error *error)
{
    json_decref(last_params);
    last_params = json_deep_copy(params);
    json_t *json = json_object_get(answers, method);
    return json != NULL ? json_incref(json)
                        : ses_rpc_fail(error, SES_ERR_NOT_FOUND, "no answer to %s", method);
}

#define METHOD(name)                                                                               \
    static json_t *name(void *cookie, json_t *params, struct ses_rpc_error *error)                 \
    {                                                                                              \
        (void)cookie;                                                                              \
        return answer(#name, params, error);                                                       \
    }
METHOD(getHead)
METHOD(getParams)
METHOD(getBalance)
METHOD(getServiceNode)
METHOD(getRegistry)
METHOD(getEpoch)
METHOD(getCommitments)
METHOD(getChallenges)
METHOD(submitTx)
METHOD(getTx)

static const struct ses_rpc_method methods[] = {
    {"sessionvm.getHead", getHead, false},
    {"sessionvm.getParams", getParams, false},
    {"sessionvm.getBalance", getBalance, false},
    {"sessionvm.getServiceNode", getServiceNode, false},
    {"sessionvm.getRegistry", getRegistry, false},
    {"sessionvm.getEpoch", getEpoch, false},
    {"sessionvm.getCommitments", getCommitments, false},
    {"sessionvm.getChallenges", getChallenges, false},
    {"sessionvm.submitTx", submitTx, false},
    {"sessionvm.getTx", getTx, false},
    {0},
};

static struct ses_rpc_server *server;
static struct ses_rpc_client *client;
static struct ses_note note;

static void start(void)
{
    const struct ses_rpc_server_params params = {
        .listen = "127.0.0.1:0", .methods = methods, .threads = 1};
    char url[60];
    TAP_ERR(SES_OK, ses_rpc_server_new(&server, &params, &note));
    TAP_MUST(server != NULL);
    TAP_MUST(snprintf(url, sizeof url, "http://127.0.0.1:%u", ses_rpc_server_port(server)) > 0);
    TAP_ERR(SES_OK, ses_rpc_client_new(&client, url, 20000, &note));
    TAP_MUST(client != NULL);
    answers = json_object();
}

static void stop(void)
{
    ses_rpc_client_free(client);
    ses_rpc_server_free(server);
    json_decref(answers);
    json_decref(last_params);
    last_params = NULL;
}

static void say(const char *method, json_t *json)
{
    TAP_MUST(json != NULL && json_object_set_new(answers, method, json) == 0);
}

static enum ses_err call_head(void)
{
    struct ses_chain_head head;
    return ses_chain_get_head(client, &head, &note);
}

static enum ses_err call_params(void)
{
    struct ses_chain_params params;
    return ses_chain_get_params(client, &params, &note);
}

static enum ses_err call_account(void)
{
    const struct ses_account account = {0};
    struct ses_chain_account out;
    return ses_chain_get_account(client, &account, &out, &note);
}

static enum ses_err call_node(void)
{
    const struct ses_node_id id = {0};
    struct ses_node out;
    return ses_chain_get_node(client, &id, &out, &note);
}

static enum ses_err call_epoch(void)
{
    struct ses_epoch out;
    return ses_chain_get_epoch(client, UINT64_MAX, &out, &note);
}

static enum ses_err ignore_row(void *cookie, const struct ses_registry_row *row,
                               const struct ses_node_keys *keys,
                               const struct ses_endpoint *endpoint)
{
    (void)row;
    (void)keys;
    (void)endpoint;
    ++*(size_t *)cookie;
    return SES_OK;
}

static enum ses_err call_registry(void)
{
    struct ses_json_registry header;
    size_t cnt = 0;
    return ses_chain_get_registry(client, 7, &header, ignore_row, &cnt, &note);
}

static const struct ses_node_id me = {.bytes = {3}};

static enum ses_err call_commitments(void)
{
    struct ses_committed out[2];
    uint32_t cnt = 0;
    return ses_chain_get_commitments(client, 1, 8, out, 2, &cnt, &note);
}

static enum ses_err call_challenges(void)
{
    static struct ses_chain_challenges out;
    return ses_chain_get_challenges(client, &me, 24, &out, &note);
}

static enum ses_err call_submit(void)
{
    struct ses_hash id;
    return ses_chain_submit(client, (const uint8_t *)"\1\2", 2, &id, &note);
}

static enum ses_err call_tx(void)
{
    const struct ses_hash id = {0};
    uint64_t height = 0;
    return ses_chain_get_tx_height(client, &id, &height, &note);
}

static json_t *head_json(void)
{
    const struct ses_chain_head head = {.height = UINT64_MAX, .timestamp = 5, .epoch = 6};
    return ses_json_head(&head);
}

static json_t *params_json(void)
{
    struct ses_params params;
    const struct ses_hash id = {.bytes = {9}};
    ses_params_defaults(&params);
    return ses_json_params(&params, 1800000000, "dev", &id);
}

static json_t *account_json(void)
{
    return json_pack("{s:s, s:s, s:s, s:b}", "balance", "18446744073709551615", "nonce", "4",
                     "pendingNonce", "6", "hasKey", 1);
}

static json_t *node_json(void)
{
    const struct ses_node node = {.status = SES_NODE_ACTIVE, .stake = 5};
    return ses_json_node(&node, NULL, NULL);
}

static json_t *epoch_json(void)
{
    const struct ses_epoch epoch = {.epoch = 3, .num_swarms = 4};
    return ses_json_epoch(&epoch);
}

static json_t *registry_json(void)
{
    const struct ses_json_registry header = {.epoch = 3, .num_swarms = 4};
    const struct ses_registry_row row = {.status = SES_NODE_ACTIVE, .swarm = 2};
    static const struct ses_node_keys keys;
    const struct ses_endpoint endpoint = {0};
    json_t *json = ses_json_registry(&header);
    for (int i = 0; i < 3; i++) {
        json_array_append_new(json_object_get(json, "rows"),
                              ses_json_registry_row(&row, &keys, &endpoint));
    }
    return json;
}

static const struct ses_committed committed = {
    .node_id = {{3}}, .epoch = 8, .swarm = 1, .num_swarms = 2, .count = 5};

static json_t *commitments_json(void)
{
    struct ses_committed next = committed;
    next.node_id.bytes[0] = 9;
    return json_pack("{s:[o, o]}", "commitments", ses_json_committed(&committed),
                     ses_json_committed(&next));
}

static json_t *challenges_json(void)
{
    const struct ses_duty duty = {.node_id = me, .epoch = 9};
    const struct ses_judgement j = {.node_id = me, .epoch = 7, .causes = SES_CAUSE_FREE};
    return json_pack("{s:o, s:[o]}", "duty", ses_json_duty(&duty), "history",
                     ses_json_judgement(&j));
}

static json_t *submit_json(void)
{
    static const uint8_t id[32] = {7};
    return json_pack("{s:o}", "txId", ses_json_hex(id, 32));
}

static json_t *tx_json(void)
{
    return json_pack("{s:s}", "height", "12");
}

static const struct {
    const char *method;
    enum ses_err (*call)(void);
    json_t *(*answer)(void);
    const char *optional; /* a member that the reader does not need */
} calls[] = {
    {"getHead", call_head, head_json, ""},
    {"getParams", call_params, params_json, ""},
    {"getBalance", call_account, account_json, ""},
    {"getServiceNode", call_node, node_json, "uptimeScore"},
    {"getEpoch", call_epoch, epoch_json, "canonicalRoots"},
    {"getRegistry", call_registry, registry_json, ""},
    {"getCommitments", call_commitments, commitments_json, ""},
    {"getChallenges", call_challenges, challenges_json, ""},
    {"submitTx", call_submit, submit_json, ""},
    {"getTx", call_tx, tx_json, ""},
};

static void test_values(void)
{
    struct ses_chain_head head;
    struct ses_chain_params params;
    struct ses_chain_account account;
    struct ses_json_registry registry;
    size_t rows = 0;
    start();
    for (size_t i = 0; i < SES_COUNT(calls); i++) {
        say(calls[i].method, calls[i].answer());
    }
    TAP_ERR(SES_OK, ses_chain_get_head(client, &head, &note));
    TAP_EQ(UINT64_MAX, head.height);
    TAP_EQ(6, head.epoch);
    TAP_ERR(SES_OK, ses_chain_get_params(client, &params, &note));
    TAP_EQ(3600, params.params.epoch_seconds);
    TAP_EQ(1800000000, params.genesis_timestamp);
    TAP_EQ(9, params.chain_id.bytes[0]);
    TAP_TEXT("dev", params.network_name);
    const struct ses_account who = {.bytes = {1}};
    TAP_ERR(SES_OK, ses_chain_get_account(client, &who, &account, &note));
    TAP_EQ(UINT64_MAX, account.balance);
    TAP_EQ(6, account.pending_nonce);
    TAP_OK(account.has_key);
    TAP_ERR(SES_OK, ses_chain_get_registry(client, 7, &registry, ignore_row, &rows, &note));
    TAP_EQ(3, rows);
    TAP_EQ(4, registry.num_swarms);
    TAP_TEXT("7", json_string_value(json_object_get(last_params, "since")));
    TAP_ERR(SES_OK,
            ses_chain_get_registry(client, UINT64_MAX, &registry, ignore_row, &rows, &note));
    TAP_EQ(0, json_object_size(last_params));
    stop();
}

static void test_server_errors_pass_through(void)
{
    start();
    for (size_t i = 0; i < SES_COUNT(calls); i++) {
        note.text[0] = 0;
        TAP_ERR(SES_ERR_NOT_FOUND, calls[i].call());
        TAP_OK(strstr(note.text, calls[i].method) != NULL);
    }
    stop();
}

/* Each member taken away or replaced: the server is to blame, and the note names the member. */
static void test_wrong_answers(void)
{
    start();
    for (size_t i = 0; i < SES_COUNT(calls); i++) {
        json_t *good = calls[i].answer();
        const char *key = NULL;
        json_t *value = NULL;
        say(calls[i].method, json_incref(good));
        TAP_ERR(SES_OK, calls[i].call());
        json_object_foreach(good, key, value)
        {
            if (strcmp(key, calls[i].optional) == 0) {
                continue;
            }
            json_t *bad = json_copy(good);
            TAP_OK(json_object_set_new(bad, key, json_true()) == 0);
            const bool is_bool = json_is_boolean(value);
            TAP_OK(!is_bool || json_object_set_new(bad, key, json_integer(1)) == 0);
            say(calls[i].method, bad);
            if (!TAP_ERR(SES_ERR_PEER, calls[i].call())) {
                printf("# %s.%s\n", calls[i].method, key);
            }
            TAP_OK(strstr(note.text, "answer to") != NULL);
        }
        say(calls[i].method, json_array());
        TAP_ERR(SES_ERR_PEER, calls[i].call());
        json_decref(good);
    }
    stop();
}

static void test_duties(void)
{
    static struct ses_chain_challenges challenges;
    struct ses_committed out[2];
    uint32_t cnt = 0;
    start();
    say("getCommitments", commitments_json());
    TAP_ERR(SES_OK, ses_chain_get_commitments(client, 1, 8, out, 2, &cnt, &note));
    TAP_OK(cnt == 2 && out[1].node_id.bytes[0] == 9 && out[0].count == 5);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_chain_get_commitments(client, 1, 8, out, 1, &cnt, &note));
    TAP_ERR(SES_ERR_PEER, ses_chain_get_commitments(client, 0, 8, out, 2, &cnt, &note));
    TAP_ERR(SES_ERR_PEER, ses_chain_get_commitments(client, 1, 9, out, 2, &cnt, &note));
    say("getChallenges", challenges_json());
    TAP_ERR(SES_OK, ses_chain_get_challenges(client, &me, 5, &challenges, &note));
    TAP_OK(json_integer_value(json_object_get(last_params, "epochs")) == 5);
    TAP_OK(challenges.duty.epoch == 9 && challenges.history_cnt == 1);
    TAP_EQ(SES_CAUSE_FREE, challenges.history[0].causes);
    TAP_ERR(SES_ERR_PEER,
            ses_chain_get_challenges(client, &(struct ses_node_id){{4}}, 5, &challenges, &note));
    stop();
}

static enum ses_err full(void *cookie, const struct ses_registry_row *row,
                         const struct ses_node_keys *keys, const struct ses_endpoint *endpoint)
{
    (void)row;
    (void)keys;
    (void)endpoint;
    ++*(size_t *)cookie;
    return SES_ERR_FULL;
}

static void test_special_cases(void)
{
    struct ses_json_registry header;
    struct ses_node node;
    const struct ses_node_id other = {.bytes = {1}};
    size_t rows = 0;
    start();
    say("getServiceNode", node_json());
    TAP_ERR(SES_ERR_PEER, ses_chain_get_node(client, &other, &node, &note));
    say("getRegistry", registry_json());
    TAP_ERR(SES_ERR_FULL, ses_chain_get_registry(client, 1, &header, full, &rows, &note));
    TAP_EQ(1, rows);
    json_t *odd = registry_json();
    TAP_OK(json_object_set_new(odd, "numSwarms", json_integer(3)) == 0);
    say("getRegistry", odd);
    TAP_ERR(SES_ERR_PEER, call_registry());
    json_t *params = params_json();
    TAP_OK(json_object_set_new(json_object_get(params, "params"), "epochSeconds",
                               json_integer(0)) == 0);
    say("getParams", params);
    TAP_ERR(SES_ERR_PEER, call_params());
    TAP_OK(strstr(note.text, "epochSeconds") != NULL);
    stop();
}

int main(void)
{
    TAP_RUN(test_values);
    TAP_RUN(test_server_errors_pass_through);
    TAP_RUN(test_wrong_answers);
    TAP_RUN(test_special_cases);
    TAP_RUN(test_duties);
    return tap_done();
}
