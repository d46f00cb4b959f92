#include <string.h>

#include "base/tap.h"
#include "rpc/rpc_internal.h"

static json_t *object_of(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    TAP_MUST(json != NULL);
    return json;
}

static void test_numbers(void)
{
    static const struct {
        const char *text;
        enum ses_err err;
        uint64_t value;
    } cases[] = {
        {"{\"a\":0}", SES_OK, 0},
        {"{\"a\":\"0\"}", SES_OK, 0},
        {"{\"a\":9223372036854775807}", SES_OK, INT64_MAX},
        {"{\"a\":\"18446744073709551615\"}", SES_OK, UINT64_MAX},
        {"{\"a\":\"18446744073709551616\"}", SES_ERR_INVALID, 0},
        {"{\"a\":\"99999999999999999999\"}", SES_ERR_INVALID, 0},
        {"{\"a\":\"100000000000000000000\"}", SES_ERR_INVALID, 0},
        {"{\"a\":-1}", SES_ERR_INVALID, 0},
        {"{\"a\":\"-1\"}", SES_ERR_INVALID, 0},
        {"{\"a\":\"+1\"}", SES_ERR_INVALID, 0},
        {"{\"a\":\"01\"}", SES_ERR_INVALID, 0},
        {"{\"a\":\" 1\"}", SES_ERR_INVALID, 0},
        {"{\"a\":\"\"}", SES_ERR_INVALID, 0},
        {"{\"a\":1.0}", SES_ERR_INVALID, 0},
        {"{\"a\":true}", SES_ERR_INVALID, 0},
        {"{\"b\":1}", SES_ERR_INVALID, 0},
    };
    for (size_t i = 0; i < SES_COUNT(cases); i++) {
        uint64_t value = 77;
        struct ses_note note = {0};
        json_t *json = object_of(cases[i].text);
        TAP_ERR(cases[i].err, ses_json_get_u64(json, "a", &value, &note));
        TAP_EQ(cases[i].value, value);
        TAP_OK(cases[i].err == SES_OK || strstr(note.text, "\"a\"") != NULL);
        json_decref(json);
    }
    uint32_t small = 0;
    json_t *json = object_of("{\"a\":4294967296}");
    TAP_ERR(SES_ERR_INVALID, ses_json_get_u32(json, "a", &small, NULL));
    json_decref(json);
}

static void test_number_round_trip(void)
{
    for (int i = 0; i < 1000; i++) {
        const uint64_t want = ses_random_u64(tap_random()) >> ses_random_below(tap_random(), 64);
        uint64_t got = 0;
        json_t *json = json_pack("{s:o}", "a", ses_json_u64(want));
        TAP_ERR(SES_OK, ses_json_get_u64(json, "a", &got, NULL));
        TAP_EQ(want, got);
        json_decref(json);
    }
}

static void test_bytes(void)
{
    uint8_t four[4];
    struct ses_buf buf = {0};
    json_t *json = object_of("{\"a\":\"00ff10aB\",\"odd\":\"abc\",\"bad\":\"zz\",\"none\":\"\"}");
    TAP_ERR(SES_OK, ses_json_get_hex(json, "a", four, 4, NULL));
    TAP_BYTES("\x00\xff\x10\xab", four, 4);
    TAP_ERR(SES_ERR_INVALID, ses_json_get_hex(json, "a", four, 3, NULL));
    TAP_ERR(SES_OK, ses_json_get_bytes(json, "a", &buf, 4, NULL));
    TAP_ERR(SES_OK, ses_json_get_bytes(json, "none", &buf, 4, NULL));
    TAP_EQ(4, buf.len);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_json_get_bytes(json, "a", &buf, 3, NULL));
    TAP_ERR(SES_ERR_INVALID, ses_json_get_bytes(json, "odd", &buf, 4, NULL));
    TAP_ERR(SES_ERR_INVALID, ses_json_get_bytes(json, "bad", &buf, 4, NULL));
    TAP_ERR(SES_ERR_INVALID, ses_json_get_bytes(json, "absent", &buf, 4, NULL));
    TAP_EQ(4, buf.len);
    ses_buf_free(&buf);
    json_decref(json);
}

static void test_only(void)
{
    static const char *const keys[] = {"a", "b", NULL};
    struct ses_note note = {0};
    json_t *good = object_of("{\"b\":1}");
    json_t *bad = object_of("{\"a\":1,\"colour\":1}");
    TAP_ERR(SES_OK, ses_json_only(good, keys, &note));
    TAP_ERR(SES_ERR_INVALID, ses_json_only(bad, keys, &note));
    TAP_OK(strstr(note.text, "colour") != NULL);
    json_decref(good);
    json_decref(bad);
}

static void random_node(struct ses_node *n)
{
    static const enum ses_node_status all[] = {SES_NODE_ACTIVE, SES_NODE_DECOMMISSIONING,
                                               SES_NODE_RETIRED};
    memset(n, 0, sizeof *n);
    ses_random_fill(tap_random(), n->node_id.bytes, sizeof n->node_id.bytes);
    ses_random_fill(tap_random(), n->owner.bytes, sizeof n->owner.bytes);
    ses_random_fill(tap_random(), n->next_commit.bytes, 32);
    ses_random_fill(tap_random(), n->uptime, sizeof n->uptime);
    ses_random_fill(tap_random(), n->observed, sizeof n->observed);
    ses_random_fill(tap_random(), n->forgiven, sizeof n->forgiven);
    n->stake = ses_random_u64(tap_random());
    n->principal = ses_random_u64(tap_random());
    n->swarm = ses_random_below(tap_random(), 2) == 0 ? SES_SWARM_NONE : 7;
    n->prev_swarm = (uint32_t)ses_random_below(tap_random(), 1u << 30);
    n->swarm_from_epoch = ses_random_u64(tap_random());
    n->status = all[ses_random_below(tap_random(), 3)];
    n->registered_at = ses_random_u64(tap_random());
    n->last_ping_at = ses_random_u64(tap_random());
    n->misses = ses_random_u64(tap_random());
    n->misses_running = ses_random_u64(tap_random());
    n->slashed = ses_random_u64(tap_random());
    n->deviant_cnt = ses_random_u64(tap_random());
    n->unreachable_cnt = ses_random_u64(tap_random());
    n->capacity = ses_random_u64(tap_random());
    n->decommission_epoch = ses_random_u64(tap_random());
}

static void test_node_round_trip(void)
{
    for (int i = 0; i < 50; i++) {
        struct ses_node want;
        struct ses_node got;
        struct ses_note note = {0};
        random_node(&want);
        json_t *json = ses_json_node(&want, NULL, NULL);
        TAP_ERR(SES_OK, ses_json_read_node(json, &got, &note));
        json_t *again = ses_json_node(&got, NULL, NULL);
        TAP_OK(json_equal(json, again));
        TAP_BYTES(want.uptime, got.uptime, sizeof got.uptime);
        TAP_EQ(want.swarm, got.swarm);
        TAP_EQ(want.capacity, got.capacity);
        json_decref(again);
        /* every member is needed, or derived (uptimeScore) */
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach(json, key, value)
        {
            json_t *less = json_copy(json);
            TAP_OK(json_object_del(less, key) == 0);
            const bool derived = strcmp(key, "uptimeScore") == 0;
            TAP_OK((ses_json_read_node(less, &got, &note) == SES_OK) == derived);
            json_decref(less);
        }
        json_decref(json);
    }
}

static void test_row_round_trip(void)
{
    static struct ses_node_keys keys;
    static struct ses_node_keys got_keys;
    struct ses_endpoint endpoint = {.addr_cnt = 2};
    struct ses_endpoint got_endpoint;
    struct ses_registry_row row = {
        .status = SES_NODE_ACTIVE, .swarm = 3, .prev_swarm = SES_SWARM_NONE};
    struct ses_registry_row got;
    struct ses_note note = {0};
    ses_random_fill(tap_random(), &keys.public_key, sizeof keys.public_key);
    ses_random_fill(tap_random(), &keys.encryption_key, sizeof keys.encryption_key);
    ses_random_fill(tap_random(), &keys.prev_encryption_key, sizeof keys.prev_encryption_key);
    ses_random_fill(tap_random(), row.keys_hash.bytes, 32);
    endpoint.addrs[0].len = SES_MULTIADDR_MAX;
    endpoint.addrs[1].len = 1;
    for (int prev = 0; prev < 2; prev++) {
        keys.has_prev_encryption_key = prev == 1;
        json_t *json = ses_json_registry_row(&row, &keys, &endpoint);
        TAP_ERR(SES_OK, ses_json_read_registry_row(json, &got, &got_keys, &got_endpoint, &note));
        json_t *again = ses_json_registry_row(&got, &got_keys, &got_endpoint);
        TAP_OK(json_equal(json, again));
        TAP_BYTES(keys.public_key.bytes, got_keys.public_key.bytes, SES_DSA_PK_BYTES);
        TAP_EQ((uint64_t)prev, got_keys.has_prev_encryption_key);
        TAP_EQ(2, got_endpoint.addr_cnt);
        json_decref(again);
        json_decref(json);
    }
}

static void test_endpoint_is_bounded(void)
{
    struct ses_endpoint endpoint = {0};
    struct ses_note note = {0};
    json_t *json =
        json_pack("{s:{s:o, s:[]}}", "e", "peerKey", ses_json_hex(&endpoint, 32), "addrs");
    json_t *addrs = json_object_get(json_object_get(json, "e"), "addrs");
    static const uint8_t long_addr[SES_MULTIADDR_MAX + 1];
    TAP_ERR(SES_OK, ses_json_read_endpoint(json, "e", &endpoint, &note));
    json_array_append_new(addrs, json_string(""));
    TAP_ERR(SES_ERR_INVALID, ses_json_read_endpoint(json, "e", &endpoint, &note));
    json_array_set_new(addrs, 0, ses_json_hex(long_addr, sizeof long_addr));
    TAP_ERR(SES_ERR_INVALID, ses_json_read_endpoint(json, "e", &endpoint, &note));
    json_array_set_new(addrs, 0, json_string("abc"));
    TAP_ERR(SES_ERR_INVALID, ses_json_read_endpoint(json, "e", &endpoint, &note));
    json_array_clear(addrs);
    for (unsigned i = 0; i < SES_ENDPOINT_ADDRS_MAX + 1; i++) {
        json_array_append_new(addrs, json_string("04"));
    }
    TAP_ERR(SES_ERR_INVALID, ses_json_read_endpoint(json, "e", &endpoint, &note));
    json_decref(json);
}

static void test_epoch_round_trip(void)
{
    struct ses_canonical_root roots[2] = {{.swarm = 1, .count = 5}, {.swarm = 2, .bytes = 6}};
    struct ses_epoch want = {.epoch = 7,
                             .num_swarms = 1u << 31,
                             .active_cnt = 9,
                             .total_bonded = UINT64_MAX,
                             .outage = true,
                             .miss_cnt = 3,
                             .canonical_cnt = 2,
                             .canonical = roots};
    struct ses_epoch got;
    struct ses_note note = {0};
    ses_random_fill(tap_random(), want.seed.bytes, 32);
    json_t *json = ses_json_epoch(&want);
    TAP_EQ(2, json_array_size(json_object_get(json, "canonicalRoots")));
    TAP_ERR(SES_OK, ses_json_read_epoch(json, &got, &note));
    TAP_BYTES(want.seed.bytes, got.seed.bytes, 32);
    TAP_EQ(want.num_swarms, got.num_swarms);
    TAP_EQ(want.total_bonded, got.total_bonded);
    TAP_EQ(1, got.outage);
    TAP_EQ(0, got.canonical_cnt);
    json_decref(json);
}

/* ---- duties ---- */

static void random_owed(struct ses_owed *o, bool demand)
{
    memset(o, 0, sizeof *o);
    o->kind = demand ? SES_OWED_DEMAND : SES_OWED_AUDIT;
    o->chunk_draw = ses_random_u64(tap_random());
    if (demand) {
        ses_random_fill(tap_random(), &o->segment, sizeof o->segment);
        ses_random_fill(tap_random(), &o->key, sizeof o->key);
    } else {
        o->position = ses_random_u64(tap_random());
    }
}

static void test_duty_round_trip(void)
{
    for (int i = 0; i < 50; i++) {
        struct ses_duty want = {.epoch = ses_random_u64(tap_random()),
                                .committed = i % 2 == 0,
                                .responded = i % 3 == 0,
                                .shown = (uint8_t)(i % 64),
                                .owed_cnt = (uint32_t)i % (SES_OWED_MAX + 1),
                                .demanded_cnt = (uint32_t)i % (SES_DEMANDS_MAX + 1)};
        struct ses_duty got;
        struct ses_note note = {0};
        ses_random_fill(tap_random(), &want.node_id, sizeof want.node_id);
        for (uint32_t k = 0; k < want.owed_cnt; k++) {
            random_owed(&want.owed[k], k % 2 == 1);
        }
        for (uint32_t k = 0; k < want.demanded_cnt; k++) {
            random_owed(&want.demanded[k], true);
            want.demanded[k].chunk_draw = 0; /* not drawn yet */
        }
        want.has_root = i % 5 != 0;
        if (want.has_root) {
            want.root = (struct ses_committed){.node_id = want.node_id,
                                               .epoch = (uint64_t)i,
                                               .swarm = 5,
                                               .num_swarms = 8,
                                               .count = ses_random_u64(tap_random()),
                                               .bytes = ses_random_u64(tap_random())};
            ses_random_fill(tap_random(), &want.root.root, 32);
        }
        json_t *json = ses_json_duty(&want);
        TAP_MUST(json != NULL);
        TAP_ERR(SES_OK, ses_json_read_duty(json, &got, &note));
        json_t *again = ses_json_duty(&got);
        TAP_OK(json_equal(json, again) == 1);
        TAP_OK(got.shown == want.shown && got.owed_cnt == want.owed_cnt);
        TAP_BYTES(want.root.root.bytes, got.root.root.bytes, 32);
        json_decref(json);
        json_decref(again);
    }
}

static void test_judgement_round_trip(void)
{
    for (unsigned i = 0; i < 64; i++) {
        const struct ses_judgement want = {.node_id = {{(uint8_t)i}},
                                           .epoch = i,
                                           .causes = (uint8_t)i,
                                           .flags = (uint8_t)(i % 32),
                                           .lacking = (uint8_t)(63 - i),
                                           .tested = (uint16_t)(i * 1000),
                                           .answered = 7,
                                           .reached = 3,
                                           .slashed = UINT64_MAX - i};
        struct ses_judgement got;
        struct ses_note note = {0};
        json_t *json = ses_json_judgement(&want);
        TAP_MUST(json != NULL);
        TAP_ERR(SES_OK, ses_json_read_judgement(json, &got, &note));
        TAP_OK(got.causes == want.causes && got.flags == want.flags && got.tested == want.tested);
        TAP_OK(got.lacking == want.lacking && got.slashed == want.slashed && got.epoch == i);
        json_object_set_new(json, "tested", json_integer(65536));
        TAP_ERR(SES_ERR_INVALID, ses_json_read_judgement(json, &got, &note));
        json_object_set_new(json, "tested", json_integer(1));
        json_array_append_new(json_object_get(json, "causes"), json_string("weather"));
        TAP_ERR(SES_ERR_INVALID, ses_json_read_judgement(json, &got, &note));
        json_decref(json);
    }
}

int main(void)
{
    TAP_RUN(test_numbers);
    TAP_RUN(test_number_round_trip);
    TAP_RUN(test_bytes);
    TAP_RUN(test_only);
    TAP_RUN(test_node_round_trip);
    TAP_RUN(test_row_round_trip);
    TAP_RUN(test_endpoint_is_bounded);
    TAP_RUN(test_epoch_round_trip);
    TAP_RUN(test_duty_round_trip);
    TAP_RUN(test_judgement_round_trip);
    return tap_done();
}
