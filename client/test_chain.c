/* What the client believes of a chain server: a real RPC server on loopback gives answers, honest
 * ones and others. */
#include <string.h>
#include <unistd.h>

#include "base/tap.h"
#include "client/client_internal.h"
#include "client/test_tmp.h"

#define NODES 2u
#define EPOCH_S 60u

static char root[] = "/tmp/ses-client-chain-XXXXXX";
static struct ses_identity *owners[NODES];

/* What the server says; the test changes it between calls, the server reads it while we wait. */
static struct {
    struct ses_hash chain_id;
    uint64_t genesis_s;
    uint64_t head_s;
    uint64_t epoch;
    uint32_t node_cnt; /* rows in the registry */
    bool wrong_root;
    bool broken_delta; /* a delta that leaves the second row out */
    unsigned registry_calls;
    unsigned delta_calls;
    /* of a demand that is accepted in epoch 10 */
    unsigned duty_calls;
    bool gap; /* no block in epoch 11 */
    struct ses_node node;
    struct ses_judgement judgement; /* of epoch 11; causes 0: none */
} says;

static void row_of(unsigned i, struct ses_registry_row *row, struct ses_node_keys *keys,
                   struct ses_endpoint *endpoint)
{
    memset(row, 0, sizeof *row);
    memset(keys, 0, sizeof *keys);
    memset(endpoint, 0, sizeof *endpoint);
    keys->public_key = owners[i]->dsa_pk;
    keys->encryption_key = owners[i]->kem_pk;
    row->owner = owners[i]->account;
    row->status = SES_NODE_ACTIVE;
    row->prev_swarm = SES_SWARM_NONE;
    ses_node_id_of(&row->node_id, &owners[i]->dsa_pk);
    ses_node_keys_hash(&row->keys_hash, keys, endpoint);
}

static json_t *get_registry(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_json_registry header = {.epoch = says.epoch, .num_swarms = 1};
    struct ses_registry_cache whole;
    struct ses_hash hashes[NODES];
    const bool delta = json_object_get(params, "since") != NULL;
    (void)cookie;
    (void)error;
    says.registry_calls++;
    says.delta_calls += delta;
    memset(&whole, 0, sizeof whole);
    for (unsigned i = 0; i < says.node_cnt; i++) {
        struct ses_registry_row row;
        struct ses_node_keys keys;
        struct ses_endpoint endpoint;
        row_of(i, &row, &keys, &endpoint);
        SES_ASSERT(ses_registry_cache_put(&whole, &row, &keys, &endpoint) == SES_OK);
    }
    for (uint32_t i = 0; i < whole.map.node_cnt; i++) {
        ses_registry_row_hash(&hashes[i], &whole.map.nodes[i].row);
    }
    ses_registry_root(&header.root, &says.chain_id, says.epoch, &header.seed, 1, hashes,
                      whole.map.node_cnt);
    header.root.bytes[0] ^= says.wrong_root;
    json_t *json = ses_json_registry(&header);
    for (uint32_t i = 0; i < whole.map.node_cnt && !(delta && says.broken_delta); i++) {
        const struct ses_map_node *n = &whole.map.nodes[i];
        json_array_append_new(json_object_get(json, "rows"),
                              ses_json_registry_row(&n->row, &n->keys, &n->endpoint));
    }
    ses_registry_cache_free(&whole);
    return json;
}

static json_t *get_params(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_params p;
    (void)cookie;
    (void)params;
    (void)error;
    ses_params_defaults(&p);
    p.epoch_seconds = EPOCH_S;
    p.settle_seconds = 10;
    p.freeze_seconds = 10;
    return ses_json_params(&p, says.genesis_s, "testnet", &says.chain_id);
}

static json_t *get_head(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    const struct ses_chain_head head = {
        .chain_id = says.chain_id, .timestamp = says.head_s, .epoch = says.epoch};
    (void)cookie;
    (void)params;
    (void)error;
    return ses_json_head(&head);
}

/* ---- a demand ---- */
static struct ses_receipt receipt; /* of the first node */

static json_t *get_balance(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)cookie;
    (void)params;
    (void)error;
    return json_pack("{s:s, s:s, s:s, s:b}", "balance", "1000000000", "nonce", "0", "pendingNonce",
                     "0", "hasKey", false);
}

static json_t *submit_tx(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    const struct ses_hash id = {{1}};
    (void)cookie;
    (void)params;
    (void)error;
    return json_pack("{s:o}", "txId", ses_json_hex(id.bytes, 32));
}

static json_t *get_tx(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)cookie;
    (void)params;
    (void)error;
    return json_pack("{s:s}", "height", "77");
}

/* In epoch 10 it is demanded, in 11 it is owed behind another opening, in 12 it is over. */
static json_t *get_challenges(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_owed owed = {.kind = SES_OWED_DEMAND};
    struct ses_duty duty = {.node_id = receipt.node_id, .epoch = 10 + says.duty_calls++};
    json_t *history = json_array();
    (void)cookie;
    (void)params;
    (void)error;
    memcpy(owed.key.bytes, receipt.leaf.digest.bytes, 32);
    memcpy(owed.key.bytes + 32, receipt.leaf.id.bytes, 32);
    if (says.duty_calls == 1) {
        duty.demanded[duty.demanded_cnt++] = owed;
    } else if (says.gap) {
        duty.epoch = 12;
    } else if (says.duty_calls == 2) {
        duty.owed[duty.owed_cnt++] = (struct ses_owed){.kind = SES_OWED_DEMAND};
        duty.owed[duty.owed_cnt++] = owed;
    }
    if (duty.epoch == 12 && says.judgement.causes != 0) {
        json_array_append_new(history, ses_json_judgement(&says.judgement));
    }
    return json_pack("{s:o, s:o}", "duty", ses_json_duty(&duty), "history", history);
}

static json_t *get_epoch(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    const struct ses_epoch epoch = {.epoch = 11, .num_swarms = 1};
    (void)cookie;
    (void)params;
    if (says.gap) {
        return ses_rpc_fail(error, SES_ERR_NOT_FOUND, "epoch 11 has no record");
    }
    return ses_json_epoch(&epoch);
}

static json_t *get_node(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)cookie;
    (void)params;
    (void)error;
    return ses_json_node(&says.node, NULL, NULL);
}

static const struct ses_rpc_method methods[] = {
    {.name = "sessionvm.getBalance", .fn = get_balance},
    {.name = "sessionvm.submitTx", .fn = submit_tx},
    {.name = "sessionvm.getTx", .fn = get_tx},
    {.name = "sessionvm.getChallenges", .fn = get_challenges},
    {.name = "sessionvm.getEpoch", .fn = get_epoch},
    {.name = "sessionvm.getServiceNode", .fn = get_node},
    {.name = "sessionvm.getRegistry", .fn = get_registry},
    {.name = "sessionvm.getParams", .fn = get_params},
    {.name = "sessionvm.getHead", .fn = get_head},
    {0}};
static struct ses_rpc_server *server;

static void honest(void)
{
    const uint64_t now_s = ses_now_ms(ses_clock_system()) / 1000;
    memset(&says, 0, sizeof says);
    says.chain_id.bytes[0] = 1;
    says.genesis_s = now_s - 10 * EPOCH_S - EPOCH_S / 2;
    says.head_s = now_s - 5;
    says.epoch = 10;
    says.node_cnt = NODES;
}

static struct ses_client *open_profile(const char *name)
{
    char profile[SES_PATH_MAX];
    char url[64];
    struct ses_client *c = NULL;
    TAP_MUST(ses_path_join(profile, root, name, NULL) == SES_OK);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/rpc", (unsigned)ses_rpc_server_port(server));
    const struct ses_client_config config = {
        .size = sizeof config, .profile = profile, .chain = url, .request_timeout_ms = 3000};
    TAP_MUST(ses_client_open(&c, &config, NULL) == 0);
    return c;
}

static void expect(const char *profile, enum ses_err want, const char *word)
{
    struct ses_client_network network;
    struct ses_client_note note;
    struct ses_client *c = open_profile(profile);
    TAP_ERR(want, (enum ses_err)ses_client_network(c, NULL, &network, &note));
    if (!TAP_OK(word == NULL || strstr(note.text, word) != NULL)) {
        printf("#   note: %s\n", note.text);
    }
    if (want == SES_OK) {
        TAP_EQ(NODES, network.member_cnt);
        TAP_TEXT("testnet", network.name);
    }
    ses_client_close(c);
}

static void test_honest_chain(void)
{
    honest();
    expect("honest", SES_OK, NULL);
    TAP_EQ(1, says.registry_calls);
    says.epoch = 11; /* the next epoch comes as a delta */
    says.broken_delta = true;
    expect("honest", SES_OK, NULL);
    TAP_EQ(1, says.delta_calls);
}

static void test_another_chain(void)
{
    honest();
    expect("pinned", SES_OK, NULL);
    says.chain_id.bytes[0] = 2;
    expect("pinned", SES_ERR_CONFIG, "belongs to chain");
    says.chain_id.bytes[0] = 1;
    expect("pinned", SES_OK, NULL);
}

static void test_clock_behind(void)
{
    honest();
    says.head_s += 600;
    expect("clock", SES_ERR_CLOCK, "behind");
}

static void test_false_root(void)
{
    honest();
    says.wrong_root = true;
    expect("root", SES_ERR_CHECKSUM, "own root");
}

static void test_old_registry(void)
{
    honest();
    says.epoch = 5;
    expect("old", SES_ERR_UNAVAILABLE, "stands still");
}

/* A delta that does not lead to the new root is answered by asking for everything. */
static void test_delta_falls_back(void)
{
    honest();
    says.node_cnt = 1;
    struct ses_client_network network;
    struct ses_client *c = open_profile("delta");
    TAP_ERR(SES_OK, (enum ses_err)ses_client_network(c, NULL, &network, NULL));
    TAP_EQ(1, network.node_cnt);
    ses_client_close(c);
    says.node_cnt = NODES;
    says.epoch = 11;
    says.broken_delta = true;
    expect("delta", SES_OK, NULL);
    TAP_EQ(1, says.delta_calls);
    TAP_EQ(3, says.registry_calls);
}

/* The map on disk carries on for a while when the chain is away; going back is refused. */
static void test_cached_map(void)
{
    struct ses_client_network network;
    honest();
    expect("cached", SES_OK, NULL);
    says.wrong_root = true; /* as bad as no answer */
    expect("cached", SES_OK, NULL);
    honest();
    says.epoch = 9;
    struct ses_client *c = open_profile("cached");
    TAP_ERR(SES_OK, (enum ses_err)ses_client_network(c, NULL, &network, NULL));
    TAP_EQ(10, network.epoch);
    ses_client_close(c);
}

/* ---- what became of a demand ---- */
static void sign_receipt(void)
{
    const struct ses_receipt_leaf leaf = {.id = {{1}},
                                          .digest = {{2}},
                                          .segment = {.ttl_class = 3, .hour = 500000},
                                          .swarm_from_epoch = 4,
                                          .admit_epoch = 9,
                                          .time_ms = 1800000000000};
    struct ses_node_id node_id;
    ses_node_id_of(&node_id, &owners[0]->dsa_pk);
    SES_ASSERT(ses_receipts_sign(&receipt, &leaf, 1, &says.chain_id, &node_id, owners[0]->dsa,
                                 ses_random_system()) == SES_OK);
}

/* A node that stays in its seat, and that epoch 11 judged. */
static void judged(void)
{
    honest();
    sign_receipt();
    says.node = (struct ses_node){.node_id = receipt.node_id,
                                  .owner = owners[0]->account,
                                  .status = SES_NODE_ACTIVE,
                                  .prev_swarm = SES_SWARM_NONE,
                                  .swarm_from_epoch = 4};
    says.node.observed[11 / 8] |= 1u << 11 % 8;
    says.judgement = (struct ses_judgement){.node_id = receipt.node_id, .epoch = 11};
}

static enum ses_err pay(void *cookie, const struct ses_identity **out)
{
    (void)cookie;
    *out = owners[1];
    return SES_OK;
}

static void demanded(enum ses_client_outcome outcome, enum ses_err want, const char *word)
{
    uint8_t bytes[SES_RECEIPT_BYTES_MAX];
    struct ses_writer w;
    struct ses_client_demanded out;
    struct ses_client_note note;
    struct ses_client *c = open_profile("demand");
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_receipt_write(&w, &receipt);
    const struct ses_client_demand ask = {
        .size = sizeof ask, .receipts = bytes, .receipts_bytes = w.len, .wait = 1};
    TAP_ERR(want, (enum ses_err)ses_client_demand_paid(c, &ask, pay, NULL, &out, &note));
    TAP_EQ(outcome, out.outcome);
    TAP_EQ(77, out.height);
    TAP_EQ(10, out.epoch);
    TAP_EQ(outcome == SES_CLIENT_MISSED ? says.judgement.slashed : 0, out.slashed);
    if (!TAP_OK(strstr(note.text, word) != NULL)) {
        printf("#   note: %s\n", note.text);
    }
    ses_client_close(c);
}

static void test_demand_is_shown(void)
{
    judged();
    demanded(SES_CLIENT_SHOWN, SES_OK, "");
    judged();
    says.judgement.causes = SES_CAUSE_OPENING; /* of something else */
    says.judgement.lacking = 1u << 0;
    says.judgement.slashed = 500;
    demanded(SES_CLIENT_SHOWN, SES_OK, "");
}

static void test_demand_is_missed(void)
{
    judged();
    says.judgement.causes = SES_CAUSE_OPENING;
    says.judgement.lacking = 1u << 1;
    says.judgement.slashed = 500;
    demanded(SES_CLIENT_MISSED, SES_ERR_PEER, "did not show");
    judged();
    says.judgement.causes = SES_CAUSE_RESPONSE;
    demanded(SES_CLIENT_MISSED, SES_ERR_PEER, "did not show");
}

/* Nothing stands against the node, and that means nothing. */
static void test_demand_is_not_judged(void)
{
    judged();
    memset(says.node.observed, 0, sizeof says.node.observed); /* the chain stood still */
    demanded(SES_CLIENT_UNJUDGED, SES_ERR_TIMEOUT, "Demand the record again");
    judged();
    says.gap = true; /* the bit is of another epoch, a week ago */
    demanded(SES_CLIENT_UNJUDGED, SES_ERR_TIMEOUT, "Demand the record again");
    judged();
    says.node.swarm_from_epoch = 11;
    demanded(SES_CLIENT_UNJUDGED, SES_ERR_TIMEOUT, "Demand the record again");
}

int main(void)
{
    const struct ses_rpc_server_params params = {.listen = "127.0.0.1:0", .methods = methods};
    SES_ASSERT(ses_crypto_init() == SES_OK);
    SES_ASSERT(mkdtemp(root) != NULL);
    for (unsigned i = 0; i < NODES; i++) {
        const uint8_t seed[32] = {(uint8_t)(i + 1)};
        SES_ASSERT(ses_identity_new(&owners[i], seed) == SES_OK);
    }
    SES_ASSERT(ses_rpc_server_new(&server, &params, NULL) == SES_OK);
    TAP_RUN(test_honest_chain);
    TAP_RUN(test_another_chain);
    TAP_RUN(test_clock_behind);
    TAP_RUN(test_false_root);
    TAP_RUN(test_old_registry);
    TAP_RUN(test_delta_falls_back);
    TAP_RUN(test_cached_map);
    TAP_RUN(test_demand_is_shown);
    TAP_RUN(test_demand_is_missed);
    TAP_RUN(test_demand_is_not_judged);
    ses_rpc_server_free(server);
    for (unsigned i = 0; i < NODES; i++) {
        ses_identity_free(owners[i]);
    }
    test_tmp_remove(root);
    return tap_done();
}
