/* Genesis JSON: what is accepted, and that every refusal names its key. */
#include "vm/test_chain.h"

static struct person people[3];

static void expect(enum ses_err want, const char *text, size_t len, const char *named)
{
    struct ses_note note = {{0}};
    TAP_ERR(want, ses_genesis_check((const uint8_t *)text, len, &note));
    if (named != NULL && strstr(note.text, named) == NULL) {
        printf("# expected \"%s\" in: %s\n", named, note.text);
        TAP_OK(false);
    }
}

static void expect_text(enum ses_err want, const char *text, const char *named)
{
    expect(want, text, strlen(text), named);
}

static json_t *base(void)
{
    return genesis_json(people, 3, 2, "{}");
}

/* Takes `json`. */
static void expect_json(enum ses_err want, json_t *json, const char *named)
{
    char *text = genesis_text(json);
    expect_text(want, text, named);
    free(text);
}

static json_t *node_of(json_t *genesis, size_t i)
{
    return json_array_get(json_object_get(genesis, "serviceNodes"), i);
}

static json_t *allocation_of(json_t *genesis, size_t i)
{
    return json_array_get(json_object_get(genesis, "allocations"), i);
}

static void test_accepted(void)
{
    struct ses_genesis g;
    struct ses_note note;
    struct ses_hash id;
    char *text = genesis_text(base());
    const size_t len = strlen(text);
    TAP_MUST(ses_genesis_parse(&g, (const uint8_t *)text, len, &note) == SES_OK);
    TAP_EQ(3, g.allocation_cnt);
    TAP_EQ(2, g.node_cnt);
    TAP_EQ(3 * RICH + 2 * STAKE, g.supply);
    TAP_EQ(3600, g.params.epoch_seconds);
    TAP_TEXT("test", g.network_name);
    ses_sha256(&id, SES_PARTS(SES_PART(text, len)));
    TAP_BYTES(id.bytes, g.chain_id.bytes, 32);
    TAP_OK(memcmp(g.nodes[0].node_id.bytes, g.nodes[1].node_id.bytes, 20) < 0);
    ses_genesis_free(&g);
    free(text);
    expect_text(SES_OK, "{\"networkName\":\"x\",\"timestamp\":1,\"allocations\":[]}", NULL);
}

static void test_syntax(void)
{
    const char *head = "{\"networkName\":\"x\",\"allocations\":[],\"timestamp\":";
    static const struct {
        const char *tail;
        enum ses_err err;
        const char *named;
    } cases[] = {
        {"5,}", SES_ERR_MALFORMED, NULL},
        {"5", SES_ERR_MALFORMED, NULL},
        {"5} x", SES_ERR_MALFORMED, NULL},
        {"5,\"timestamp\":6}", SES_ERR_MALFORMED, "timestamp"},
        {"99999999999999999999}", SES_ERR_MALFORMED, "timestamp"},
        {"5.0}", SES_ERR_CONFIG, "timestamp"},
        {"5e3}", SES_ERR_CONFIG, "timestamp"},
        {"-5}", SES_ERR_CONFIG, "timestamp"},
        {"\"5\"}", SES_ERR_CONFIG, "timestamp"},
        {"null}", SES_ERR_CONFIG, "timestamp"},
        {"0}", SES_ERR_CONFIG, "timestamp"},
        {"253402300800}", SES_ERR_CONFIG, "timestamp"},
        {"5,\"params\":[]}", SES_ERR_CONFIG, "params"},
        {"5,\"params\":{\"epochSecond\":3}}", SES_ERR_CONFIG, "epochSecond"},
        {"5,\"params\":{\"txFee\":1.5}}", SES_ERR_CONFIG, "txFee"},
        {"5,\"params\":{\"txFee\":-1}}", SES_ERR_CONFIG, "txFee"},
        {"5,\"params\":{\"txFee\":true}}", SES_ERR_CONFIG, "txFee"},
        {"5,\"params\":{\"txFee\":1,\"txFee\":1}}", SES_ERR_MALFORMED, "txFee"},
        {"5,\"params\":{\"txFee\":9223372036854775808}}", SES_ERR_MALFORMED, "txFee"},
        {"5,\"params\":{\"epochSeconds\":900}}", SES_ERR_CONFIG, "epochSeconds"},
        {"5,\"params\":{\"swarmTarget\":0}}", SES_ERR_CONFIG, "swarmTarget"},
        {"5,\"serviceNodes\":{}}", SES_ERR_CONFIG, "serviceNodes"},
        {"5,\"serviceNodes\":[3]}", SES_ERR_CONFIG, "serviceNodes"},
        {"5,\"extra\":1}", SES_ERR_CONFIG, "extra"},
    };
    for (size_t i = 0; i < SES_COUNT(cases); i++) {
        char text[300];
        snprintf(text, sizeof(text), "%s%s", head, cases[i].tail);
        expect_text(cases[i].err, text, cases[i].named);
    }
    expect_text(SES_ERR_MALFORMED, "", NULL);
    expect_text(SES_ERR_CONFIG, "[]", "object");
    expect_text(SES_ERR_CONFIG, "{}", "networkName");
    expect_text(SES_ERR_CONFIG, "{\"networkName\":\"x\",\"timestamp\":5}", "allocations");
    expect_text(SES_ERR_CONFIG, "{\"networkName\":\"\",\"timestamp\":5}", "networkName");
    expect_text(SES_ERR_CONFIG, "{\"networkName\":\"bad name!\",\"timestamp\":5}", "networkName");
    expect_text(SES_ERR_CONFIG, "{\"networkName\":\".hidden\",\"timestamp\":5}", "networkName");
    expect_text(SES_ERR_CONFIG, "{\"networkName\":\"\xc3\xa4\",\"timestamp\":5}", "networkName");
    expect_text(SES_ERR_CONFIG, "{\"networkName\":7,\"timestamp\":5}", "networkName");
    expect_text(SES_ERR_MALFORMED, "{\"networkName\":\"a\\u0000b\",\"timestamp\":5}", NULL);
}

static void test_size(void)
{
    static char text[SES_GENESIS_BYTES_MAX + 2];
    const char *start = "{\"networkName\":\"x\",\"timestamp\":1,\"allocations\":[]}";
    memset(text, ' ', sizeof(text));
    memcpy(text, start, strlen(start));
    expect(SES_OK, text, SES_GENESIS_BYTES_MAX, NULL);
    expect(SES_ERR_TOO_LARGE, text, SES_GENESIS_BYTES_MAX + 1, "at most");
    char name[100];
    snprintf(name, sizeof(name), "{\"networkName\":\"%064d\",\"timestamp\":1}", 0);
    expect_text(SES_ERR_CONFIG, name, "networkName");
}

static void test_allocations(void)
{
    json_t *json = base();
    json_object_set_new(allocation_of(json, 0), "amount", json_integer(0));
    expect_json(SES_ERR_CONFIG, json, "amount");
    json = base();
    json_object_set_new(allocation_of(json, 0), "account", json_string("LUX-nonsense"));
    expect_json(SES_ERR_CONFIG, json, "account");
    json = base();
    json_object_set(allocation_of(json, 1), "account",
                    json_object_get(allocation_of(json, 0), "account"));
    expect_json(SES_ERR_CONFIG, json, "account");
    json = base();
    json_object_set_new(allocation_of(json, 1), "memo", json_true());
    expect_json(SES_ERR_CONFIG, json, "memo");
    json = base();
    for (size_t i = 0; i < 3; i++) {
        json_object_set_new(allocation_of(json, i), "amount", json_integer(INT64_MAX));
    }
    expect_json(SES_ERR_CONFIG, json, "amount");
}

static void node_case(const char *key, json_t *value, const char *named)
{
    json_t *json = base();
    if (value == NULL) {
        json_object_del(node_of(json, 1), key);
    } else {
        json_object_set_new(node_of(json, 1), key, value);
    }
    expect_json(SES_ERR_CONFIG, json, named);
}

static void test_nodes(void)
{
    static const char *const keys[] = {"owner", "nodeId",   "publicKey", "encryptionKey",
                                       "stake", "capacity", "endpoint"};
    uint8_t kem[SES_KEM_PK_BYTES];
    for (size_t i = 0; i < SES_COUNT(keys); i++) {
        node_case(keys[i], NULL, keys[i]);
        node_case(keys[i], json_true(), keys[i]);
    }
    node_case("owner", json_string("NodeID-x"), "owner");
    node_case("nodeId", json_string("LUX-x"), "nodeId");
    node_case("publicKey", json_string("00"), "publicKey");
    node_case("publicKey", hex_json(people[2].pk.bytes, SES_DSA_PK_BYTES), "publicKey");
    node_case("stake", json_integer((json_int_t)STAKE - 1), "stake");
    node_case("extra", json_integer(1), "extra");
    memset(kem, 0xFF, sizeof(kem)); /* coefficients above the modulus */
    node_case("encryptionKey", hex_json(kem, sizeof(kem)), "encryptionKey");
    json_t *json = base();
    json_array_set(json_object_get(json, "serviceNodes"), 1, node_of(json, 0));
    expect_json(SES_ERR_CONFIG, json, "nodeId");
}

static void endpoint_case(const char *key, json_t *value, const char *named)
{
    json_t *json = base();
    json_object_set_new(json_object_get(node_of(json, 0), "endpoint"), key, value);
    expect_json(SES_ERR_CONFIG, json, named);
}

static void test_endpoints(void)
{
    static const uint8_t zeros[SES_MULTIADDR_MAX + 1];
    endpoint_case("peerKey", json_string("77"), "peerKey");
    endpoint_case("addrs", json_string("77"), "addrs");
    endpoint_case("addrs", json_pack("[s]", "7"), "addrs");
    endpoint_case("addrs", json_pack("[s]", "zz"), "addrs");
    endpoint_case("addrs", json_pack("[i]", 7), "addrs");
    endpoint_case("addrs", json_pack("[o]", hex_json(zeros, sizeof(zeros))), "addrs");
    endpoint_case("port", json_integer(7), "port");
    json_t *many = json_array();
    for (int i = 0; i < 9; i++) {
        json_array_append_new(many, json_string("04"));
    }
    endpoint_case("addrs", many, "addrs");
    json_t *large = json_array();
    for (int i = 0; i < 4; i++) {
        json_array_append_new(large, hex_json(zeros, SES_MULTIADDR_MAX));
    }
    endpoint_case("addrs", large, "endpoint");
}

/* A failing allocation anywhere gives an error and leaks nothing. */
static void test_memory(void)
{
    char *text = genesis_text(base());
    struct ses_genesis g;
    for (uint64_t n = 1; n < 10; n++) {
        ses_alloc_fail_at(n);
        const enum ses_err err = ses_genesis_parse(&g, (const uint8_t *)text, strlen(text), NULL);
        ses_alloc_fail_at(0);
        TAP_OK(err == SES_OK || err == SES_ERR_MEMORY || err == SES_ERR_CONFIG);
        if (err == SES_OK) {
            ses_genesis_free(&g);
        }
    }
    free(text);
}

int main(void)
{
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    for (size_t i = 0; i < 3; i++) {
        person_init(&people[i], tap_random());
    }
    TAP_RUN(test_accepted);
    TAP_RUN(test_syntax);
    TAP_RUN(test_size);
    TAP_RUN(test_allocations);
    TAP_RUN(test_nodes);
    TAP_RUN(test_endpoints);
    TAP_RUN(test_memory);
    people_free(people, 3);
    return tap_done();
}
