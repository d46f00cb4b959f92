/* Genesis from JSON: every key known, every number whole and in range, every error with its key. */
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>

#include "vm/vm_internal.h"

/* ---- what goes wrong ---- */

__attribute__((format(printf, 2, 3))) static enum ses_err wrong(struct ses_note *note,
                                                                const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ses_note_set(note, "genesis: %s", text);
    return SES_ERR_CONFIG;
}

/* The key in whose value the parser stopped, so that "too big integer" names it. */
static void key_before(char out[64], const uint8_t *json, size_t at)
{
    out[0] = 0;
    size_t colon = at;
    while (colon > 0 && json[colon - 1] != ':') {
        colon--;
    }
    size_t end = colon;
    while (end > 0 && json[end - 1] != '"') {
        end--;
    }
    size_t begin = end == 0 ? 0 : end - 1;
    while (begin > 0 && json[begin - 1] != '"') {
        begin--;
    }
    if (end > begin && end - 1 - begin < 63) {
        memcpy(out, json + begin, end - 1 - begin);
        out[end - 1 - begin] = 0;
    }
    for (char *c = out; *c != 0; c++) {
        *c = isprint((unsigned char)*c) ? *c : '?';
    }
}

static enum ses_err parse_text(json_t **out, const uint8_t *json, size_t len, struct ses_note *note)
{
    json_error_t error;
    if (len > SES_GENESIS_BYTES_MAX) {
        (void)wrong(note, "%zu bytes; at most %u are allowed", len, SES_GENESIS_BYTES_MAX);
        return SES_ERR_TOO_LARGE;
    }
    *out = json_loadb((const char *)json, len, JSON_REJECT_DUPLICATES, &error);
    if (*out == NULL) {
        char key[64];
        const size_t at = error.position > 0 ? (size_t)error.position : 0;
        key_before(key, json, at < len ? at : len);
        (void)wrong(note, "line %d, near key \"%s\": %s", error.line, key, error.text);
        return SES_ERR_MALFORMED;
    }
    return SES_OK;
}

/* ---- members of objects ---- */

static enum ses_err only_keys(const json_t *object, const char *where, const char *const *known,
                              size_t known_cnt, struct ses_note *note)
{
    if (!json_is_object(object)) {
        return wrong(note, "%s must be an object", where);
    }
    for (void *it = json_object_iter((json_t *)object); it != NULL;
         it = json_object_iter_next((json_t *)object, it)) {
        const char *key = json_object_iter_key(it);
        size_t i = 0;
        while (i < known_cnt && strcmp(known[i], key) != 0) {
            i++;
        }
        if (i == known_cnt) {
            return wrong(note, "unknown key \"%.60s\" in %s; remove it or check its spelling", key,
                         where);
        }
    }
    return SES_OK;
}

static enum ses_err read_number(const json_t *value, const char *key, uint64_t *out,
                                struct ses_note *note)
{
    if (value == NULL) {
        return wrong(note, "key \"%s\" is missing", key);
    }
    if (!json_is_integer(value)) {
        return wrong(note, "key \"%s\" must be a whole number", key);
    }
    if (json_integer_value(value) < 0) {
        return wrong(note, "key \"%s\" is negative", key);
    }
    *out = (uint64_t)json_integer_value(value);
    return SES_OK;
}

static enum ses_err get_number(const json_t *object, const char *key, uint64_t *out,
                               struct ses_note *note)
{
    return read_number(json_object_get(object, key), key, out, note);
}

static enum ses_err get_text(const json_t *object, const char *key, const char **out,
                             struct ses_note *note)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL) {
        return wrong(note, "key \"%s\" is missing", key);
    }
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value)) {
        return wrong(note, "key \"%s\" must be a text", key);
    }
    *out = json_string_value(value);
    return SES_OK;
}

static enum ses_err get_hex(const json_t *object, const char *key, void *out, size_t len,
                            struct ses_note *note)
{
    const char *text = "";
    SES_TRY(get_text(object, key, &text, note));
    if (strlen(text) != 2 * len || ses_hex_decode(out, len, text) != SES_OK) {
        return wrong(note, "key \"%s\" must be %zu hex digits", key, 2 * len);
    }
    return SES_OK;
}

static enum ses_err get_account(const json_t *object, const char *key, struct ses_account *out,
                                struct ses_note *note)
{
    const char *text = NULL;
    SES_TRY(get_text(object, key, &text, note));
    if (ses_account_parse(out, text) != SES_OK) {
        return wrong(note, "key \"%s\": \"%.60s\" is no account (LUX-...)", key, text);
    }
    return SES_OK;
}

/* ---- sections ---- */

static enum ses_err read_params(struct ses_params *p, const json_t *params, struct ses_note *note)
{
    static const char *const known[] = {
#define SES_X(field, key, value) key,
        SES_PARAMS(SES_X)
#undef SES_X
    };
    ses_params_defaults(p);
    if (params == NULL) {
        return ses_params_validate(p, note);
    }
    SES_TRY(only_keys(params, "params", known, SES_COUNT(known), note));
#define SES_X(field, key, value)                                                                   \
    if (json_object_get(params, key) != NULL) {                                                    \
        SES_TRY(get_number(params, key, &p->field, note));                                         \
    }
    SES_PARAMS(SES_X)
#undef SES_X
    return ses_params_validate(p, note);
}

static int by_account(const void *a, const void *b)
{
    return memcmp(((const struct ses_genesis_allocation *)a)->account.bytes,
                  ((const struct ses_genesis_allocation *)b)->account.bytes, 20);
}

static enum ses_err add_supply(struct ses_genesis *g, uint64_t amount, struct ses_note *note)
{
    if (!ses_add_u64(&g->supply, amount)) {
        return wrong(note, "keys \"amount\" and \"stake\" add up to more than 2^64 - 1 nLUX");
    }
    return SES_OK;
}

static enum ses_err read_allocation(struct ses_genesis *g, const json_t *json,
                                    struct ses_note *note)
{
    static const char *const known[] = {"account", "amount"};
    struct ses_genesis_allocation *a = &g->allocations[g->allocation_cnt];
    SES_TRY(only_keys(json, "allocations", known, SES_COUNT(known), note));
    SES_TRY(get_account(json, "account", &a->account, note));
    SES_TRY(get_number(json, "amount", &a->amount, note));
    if (a->amount == 0) {
        return wrong(note, "key \"amount\" of an allocation is 0; give an amount or remove it");
    }
    g->allocation_cnt++;
    return add_supply(g, a->amount, note);
}

static enum ses_err read_allocations(struct ses_genesis *g, const json_t *list,
                                     struct ses_note *note)
{
    if (!json_is_array(list)) {
        return wrong(note, "key \"allocations\" must be there and a list");
    }
    const size_t cnt = json_array_size(list);
    g->allocations = ses_alloc(cnt == 0 ? 1 : cnt, sizeof(*g->allocations));
    SES_REQUIRE(g->allocations != NULL, SES_ERR_MEMORY);
    for (size_t i = 0; i < cnt; i++) {
        SES_TRY(read_allocation(g, json_array_get(list, i), note));
    }
    qsort(g->allocations, g->allocation_cnt, sizeof(*g->allocations), by_account);
    for (uint32_t i = 1; i < g->allocation_cnt; i++) {
        if (by_account(&g->allocations[i - 1], &g->allocations[i]) == 0) {
            char text[SES_ID_TEXT_MAX];
            ses_account_text(text, &g->allocations[i].account);
            return wrong(note, "key \"account\": %s stands twice in allocations", text);
        }
    }
    return SES_OK;
}

static enum ses_err read_endpoint(struct ses_endpoint *e, const json_t *json, struct ses_note *note)
{
    static const char *const known[] = {"peerKey", "addrs"};
    uint8_t bytes[SES_ENDPOINT_BYTES_MAX];
    struct ses_writer w;
    if (json == NULL) {
        return wrong(note, "key \"endpoint\" is missing");
    }
    SES_TRY(only_keys(json, "endpoint", known, SES_COUNT(known), note));
    SES_TRY(get_hex(json, "peerKey", e->peer_key.bytes, sizeof(e->peer_key.bytes), note));
    const json_t *addrs = json_object_get(json, "addrs");
    if (!json_is_array(addrs) || json_array_size(addrs) > SES_ENDPOINT_ADDRS_MAX) {
        return wrong(note, "key \"addrs\" must be a list of at most %u multiaddrs",
                     SES_ENDPOINT_ADDRS_MAX);
    }
    for (size_t i = 0; i < json_array_size(addrs); i++) {
        const char *text = json_string_value(json_array_get(addrs, i));
        const size_t len = text == NULL ? 0 : strlen(text) / 2;
        if (len == 0 || len > SES_MULTIADDR_MAX ||
            ses_hex_decode(e->addrs[i].bytes, len, text) != SES_OK) {
            return wrong(note, "key \"addrs\" must hold multiaddrs of 1 .. %u bytes in hex",
                         SES_MULTIADDR_MAX);
        }
        e->addrs[i].len = (uint16_t)len;
        e->addr_cnt++;
    }
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_endpoint_write(&w, e);
    if (ses_writer_done(&w) != SES_OK) {
        return wrong(note, "key \"endpoint\" is longer than %u bytes", SES_ENDPOINT_BYTES_MAX);
    }
    return SES_OK;
}

static enum ses_err read_keys(struct ses_genesis_node *node, const json_t *json,
                              struct ses_note *note)
{
    const char *text = NULL;
    struct ses_node_id derived;
    struct ses_kem_public *kem = NULL;
    SES_TRY(get_text(json, "nodeId", &text, note));
    if (ses_node_id_parse(&node->node_id, text) != SES_OK) {
        return wrong(note, "key \"nodeId\": \"%.60s\" is no node id (NodeID-...)", text);
    }
    SES_TRY(get_hex(json, "publicKey", node->keys.public_key.bytes, SES_DSA_PK_BYTES, note));
    SES_TRY(
        get_hex(json, "encryptionKey", node->keys.encryption_key.bytes, SES_KEM_PK_BYTES, note));
    ses_node_id_of(&derived, &node->keys.public_key);
    if (memcmp(derived.bytes, node->node_id.bytes, sizeof(derived.bytes)) != 0) {
        return wrong(note, "key \"nodeId\": %s does not belong to its \"publicKey\"", text);
    }
    if (ses_kem_public_new(&kem, &node->keys.encryption_key) != SES_OK) {
        return wrong(note, "key \"encryptionKey\" of %s is no ML-KEM-768 key", text);
    }
    ses_kem_public_free(kem);
    return SES_OK;
}

static enum ses_err read_node(struct ses_genesis *g, const json_t *json, struct ses_note *note)
{
    static const char *const known[] = {"owner", "nodeId",   "publicKey", "encryptionKey",
                                        "stake", "capacity", "endpoint"};
    struct ses_genesis_node *node = &g->nodes[g->node_cnt];
    SES_TRY(only_keys(json, "serviceNodes", known, SES_COUNT(known), note));
    SES_TRY(get_account(json, "owner", &node->owner, note));
    SES_TRY(read_keys(node, json, note));
    SES_TRY(get_number(json, "stake", &node->stake, note));
    SES_TRY(get_number(json, "capacity", &node->capacity, note));
    SES_TRY(read_endpoint(&node->endpoint, json_object_get(json, "endpoint"), note));
    if (node->stake < g->params.min_stake) {
        return wrong(note, "key \"stake\" is %" PRIu64 "; give at least minStake, %" PRIu64,
                     node->stake, g->params.min_stake);
    }
    g->node_cnt++;
    return add_supply(g, node->stake, note);
}

static int by_node_id(const void *a, const void *b)
{
    return memcmp(((const struct ses_genesis_node *)a)->node_id.bytes,
                  ((const struct ses_genesis_node *)b)->node_id.bytes, 20);
}

static enum ses_err read_nodes(struct ses_genesis *g, const json_t *list, struct ses_note *note)
{
    if (list != NULL && !json_is_array(list)) {
        return wrong(note, "key \"serviceNodes\" must be a list");
    }
    const size_t cnt = json_array_size(list);
    g->nodes = ses_alloc(cnt == 0 ? 1 : cnt, sizeof(*g->nodes));
    SES_REQUIRE(g->nodes != NULL, SES_ERR_MEMORY);
    for (size_t i = 0; i < cnt; i++) {
        SES_TRY(read_node(g, json_array_get(list, i), note));
    }
    qsort(g->nodes, g->node_cnt, sizeof(*g->nodes), by_node_id);
    for (uint32_t i = 1; i < g->node_cnt; i++) {
        if (by_node_id(&g->nodes[i - 1], &g->nodes[i]) == 0) {
            char text[SES_ID_TEXT_MAX];
            ses_node_id_text(text, &g->nodes[i].node_id);
            return wrong(note, "key \"nodeId\": %s stands twice in serviceNodes", text);
        }
    }
    return SES_OK;
}

/* What a person can say, a shell and a file name can hold. */
static bool name_ok(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return strchr(first, name[0]) != NULL && strspn(name, all) == strlen(name);
}

static enum ses_err read_name(struct ses_genesis *g, const json_t *root, struct ses_note *note)
{
    const char *name = "";
    SES_TRY(get_text(root, "networkName", &name, note));
    const size_t len = strlen(name);
    if (len == 0 || len >= sizeof(g->network_name) || !name_ok(name)) {
        return wrong(note, "key \"networkName\" must have 1 .. 63 letters, digits, '.', '_' or "
                           "'-', the first a letter or a digit");
    }
    memcpy(g->network_name, name, len + 1);
    return SES_OK;
}

#define TIMESTAMP_MAX 253402300799u /* end of the year 9999: times stay far from overflow */

static enum ses_err read_genesis(struct ses_genesis *g, const json_t *root, struct ses_note *note)
{
    static const char *const known[] = {"networkName", "timestamp", "allocations", "params",
                                        "serviceNodes"};
    SES_TRY(only_keys(root, "the genesis", known, SES_COUNT(known), note));
    SES_TRY(read_name(g, root, note));
    SES_TRY(get_number(root, "timestamp", &g->timestamp, note));
    if (g->timestamp == 0 || g->timestamp > TIMESTAMP_MAX) {
        return wrong(note, "key \"timestamp\" must be unix seconds");
    }
    SES_TRY(read_params(&g->params, json_object_get(root, "params"), note));
    SES_TRY(read_allocations(g, json_object_get(root, "allocations"), note));
    return read_nodes(g, json_object_get(root, "serviceNodes"), note);
}

enum ses_err ses_genesis_parse(struct ses_genesis *out, const uint8_t *json, size_t len,
                               struct ses_note *note)
{
    json_t *root = NULL;
    memset(out, 0, sizeof(*out));
    SES_TRY(parse_text(&root, json, len, note));
    const enum ses_err err = read_genesis(out, root, note);
    json_decref(root);
    if (err != SES_OK) {
        ses_genesis_free(out);
        return err;
    }
    ses_sha256(&out->chain_id, SES_PARTS(SES_PART(json, len)));
    return SES_OK;
}

void ses_genesis_free(struct ses_genesis *g)
{
    ses_free(g->allocations);
    ses_free(g->nodes);
    memset(g, 0, sizeof(*g));
}

enum ses_err ses_genesis_check(const uint8_t *json, size_t len, struct ses_note *note)
{
    struct ses_genesis g;
    SES_TRY(ses_genesis_parse(&g, json, len, note));
    ses_genesis_free(&g);
    return SES_OK;
}
