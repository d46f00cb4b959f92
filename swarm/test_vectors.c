/* Every registry vector of the executable model. */
#include <jansson.h>
#include <string.h>

#include "base/tap.h"
#include "swarm/swarm_internal.h"

static json_t *root;

/* Some draws are above 2^63, which jansson reads only as reals; the numbers used here are small. */
static void load(void)
{
    size_t len = 0;
    char *text = tap_vectors("model/vectors.json", &len);
    if (text != NULL) {
        root = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, NULL);
        SES_ASSERT(root != NULL); /* there, but not JSON */
        ses_free(text);
    }
}

static void named(uint8_t *out, size_t len, const char *what, uint32_t i)
{
    struct ses_hash hash;
    uint8_t bytes[32];
    const size_t text = strlen(what);
    memcpy(bytes, what, text);
    ses_put_u32(bytes + text, i);
    ses_blake3_hash(&hash, bytes, text + 4);
    memcpy(out, hash.bytes, len);
}

static void hex32(struct ses_hash *out, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    TAP_MUST(text != NULL && strlen(text) == 64);
    for (size_t i = 0; i < 32; i++) {
        unsigned value = 0;
        TAP_MUST(sscanf(text + 2 * i, "%2x", &value) == 1);
        out->bytes[i] = (uint8_t)value;
    }
}

static uint32_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    TAP_MUST(json_is_real(value));
    return (uint32_t)json_real_value(value);
}

struct net {
    struct ses_membership m;
    uint32_t *start; /* swarm before, by position */
};

static int by_id(const void *a, const void *b)
{
    const struct ses_seat *x = a;
    const struct ses_seat *y = b;
    return memcmp(x->node_id.bytes, y->node_id.bytes, 20);
}

/* `place` gives node i its swarm and status. */
static void net_new(struct net *net, uint32_t nodes, uint32_t num_swarms,
                    void (*place)(struct ses_seat *seat, uint32_t i, uint32_t swarms))
{
    memset(net, 0, sizeof(*net));
    net->m.num_swarms = num_swarms;
    net->m.seat_cnt = nodes;
    net->m.seats = ses_alloc(nodes, sizeof(*net->m.seats));
    net->m.scratch_cnt = ses_membership_scratch(nodes, num_swarms);
    net->m.scratch = ses_alloc(net->m.scratch_cnt, sizeof(uint32_t));
    net->start = ses_alloc(nodes, sizeof(uint32_t));
    TAP_MUST(net->m.seats != NULL && net->m.scratch != NULL && net->start != NULL);
    for (uint32_t i = 0; i < nodes; i++) {
        struct ses_seat *seat = &net->m.seats[i];
        named(seat->node_id.bytes, 20, "node", i);
        named(seat->owner.bytes, 20, "owner", i / 3);
        seat->status = SES_NODE_ACTIVE;
        seat->swarm = SES_SWARM_NONE;
        seat->seatable = true;
        if (place != NULL) {
            place(seat, i, num_swarms);
        }
    }
    qsort(net->m.seats, nodes, sizeof(*net->m.seats), by_id);
    for (uint32_t i = 0; i < nodes; i++) {
        net->start[i] = net->m.seats[i].swarm;
    }
}

static void net_free(struct net *net)
{
    ses_free(net->m.seats);
    ses_free(net->m.scratch);
    ses_free(net->start);
}

static void place_modulo(struct ses_seat *seat, uint32_t i, uint32_t swarms)
{
    seat->swarm = i % swarms;
}

static void place_skewed(struct ses_seat *seat, uint32_t i, uint32_t swarms)
{
    seat->swarm = i % 30 == 7 ? SES_SWARM_NONE : i * i % swarms;
    seat->status = i % 31 == 30 ? SES_NODE_DECOMMISSIONING : SES_NODE_ACTIVE;
}

static void check_assignment(const struct net *net, const json_t *want)
{
    uint8_t *bytes = ses_alloc(net->m.seat_cnt, 24);
    struct ses_hash digest;
    struct ses_hash expected;
    TAP_MUST(bytes != NULL);
    for (uint32_t i = 0; i < net->m.seat_cnt; i++) {
        memcpy(bytes + 24 * i, net->m.seats[i].node_id.bytes, 20);
        ses_put_u32(bytes + 24 * i + 20, net->m.seats[i].swarm);
    }
    ses_sha256(&digest, SES_PARTS(SES_PART(bytes, 24 * (size_t)net->m.seat_cnt)));
    ses_free(bytes);
    hex32(&expected, want, "assignment_sha256");
    TAP_BYTES(expected.bytes, digest.bytes, 32);
    TAP_EQ(number(want, "num_swarms"), net->m.num_swarms);
}

static void check_sizes(const struct net *net, const json_t *want)
{
    const json_t *sizes = json_object_get(want, "active_per_swarm");
    TAP_MUST(json_array_size(sizes) == net->m.num_swarms);
    for (uint32_t s = 0; s < net->m.num_swarms; s++) {
        uint32_t cnt = 0;
        for (uint32_t i = 0; i < net->m.seat_cnt; i++) {
            cnt += net->m.seats[i].swarm == s && ses_seat_active(&net->m.seats[i]);
        }
        TAP_EQ((uint64_t)json_real_value(json_array_get(sizes, s)), cnt);
    }
}

/* The model's log names every move with its reason: the last one of a node decides its flags. */
static void check_log(const struct net *net, const json_t *want)
{
    const json_t *log = json_object_get(want, "log");
    for (uint32_t n = 0; log != NULL && n < net->m.seat_cnt; n++) {
        char id[41];
        const char *why = NULL;
        for (size_t i = 0; i < 20; i++) {
            snprintf(id + 2 * i, 3, "%02x", net->m.seats[n].node_id.bytes[i]);
        }
        for (size_t i = 0; i < json_array_size(log); i++) {
            const json_t *move = json_array_get(log, i);
            if (strcmp(json_string_value(json_array_get(move, 1)), id) == 0) {
                why = json_string_value(json_array_get(move, 0));
            }
        }
        TAP_EQ(why != NULL, net->m.seats[n].moved);
        TAP_EQ(why != NULL && strcmp(why, "split") == 0, net->m.seats[n].keeps_from);
    }
}

static const json_t *section(const char *name)
{
    if (root == NULL) {
        tap_skip("no vectors");
        tap_leave();
    }
    const json_t *list = json_object_get(json_object_get(root, "registry"), name);
    TAP_MUST(list != NULL);
    return list;
}

static void genesis_net(struct net *net, uint32_t nodes, const struct ses_hash *seed)
{
    const struct ses_membership_rules rules = {.swarm_target = 10, .genesis = true};
    net_new(net, nodes, 1, NULL);
    TAP_ERR(SES_OK, ses_membership_advance(&net->m, seed, &rules));
}

static void test_genesis(void)
{
    const json_t *list = section("genesis");
    TAP_OK(json_array_size(list) == 3);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *want = json_array_get(list, i);
        struct ses_hash seed;
        struct net net;
        hex32(&seed, want, "seed");
        genesis_net(&net, number(want, "nodes"), &seed);
        check_assignment(&net, want);
        check_sizes(&net, want);
        check_log(&net, want);
        net_free(&net);
    }
}

static void test_transition(void)
{
    const json_t *list = section("transition");
    TAP_OK(json_array_size(list) == 9);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *want = json_array_get(list, i);
        const json_t *params = json_object_get(want, "params");
        const char *name = json_string_value(json_object_get(want, "name"));
        const bool skewed = strcmp(name, "assign, fill, rotate") == 0;
        const struct ses_membership_rules rules = {.swarm_target = number(params, "swarmTarget"),
                                                   .rotate_per_swarm_epochs =
                                                       number(params, "rotatePerSwarmEpochs")};
        struct ses_hash seed;
        struct net net;
        hex32(&seed, want, "seed");
        net_new(&net, number(want, "nodes"), number(want, "num_swarms"),
                skewed ? place_skewed : place_modulo);
        TAP_ERR(SES_OK, ses_membership_advance(&net.m, &seed, &rules));
        check_assignment(&net, json_object_get(want, "after"));
        check_sizes(&net, json_object_get(want, "after"));
        check_log(&net, json_object_get(want, "after"));
        net_free(&net);
    }
}

static void check_pairs(const json_t *want, const struct ses_tester_plan *plan,
                        const struct ses_membership *m, uint32_t position, bool forward)
{
    size_t found = 0;
    for (uint32_t j = 0; j < plan->offset_cnt; j++) {
        const uint32_t tester =
            forward ? position : (position + plan->offsets[j]) % plan->order_cnt;
        if (!ses_tester_tests(plan, m, tester, j)) {
            continue;
        }
        const uint32_t other = forward ? ses_tester_target(plan, position, j) : plan->order[tester];
        const json_t *pair = json_array_get(want, found++);
        TAP_EQ((uint64_t)json_real_value(json_array_get(pair, 0)), j);
        const char *id = json_string_value(json_array_get(pair, 1));
        for (size_t i = 0; id != NULL && i < 20; i++) {
            unsigned value = 0;
            TAP_MUST(sscanf(id + 2 * i, "%2x", &value) == 1);
            TAP_EQ(value, m->seats[other].node_id.bytes[i]);
        }
    }
    TAP_EQ(json_array_size(want), found);
}

static void check_plan(const json_t *want, struct net *net)
{
    const uint32_t nodes = net->m.seat_cnt;
    struct ses_tester_plan plan = {.order = ses_alloc(nodes, 4), .offsets = ses_alloc(nodes, 4)};
    struct ses_rank *scratch = ses_alloc(nodes, sizeof(*scratch));
    uint8_t *ids = ses_alloc(nodes, 20);
    struct ses_hash seed;
    struct ses_hash digest;
    struct ses_hash expected;
    hex32(&seed, want, "seed");
    TAP_ERR(SES_OK, ses_tester_plan_make(&plan, &net->m, &seed, 20, scratch));
    for (uint32_t i = 0; i < plan.order_cnt; i++) {
        memcpy(ids + 20 * i, net->m.seats[plan.order[i]].node_id.bytes, 20);
    }
    ses_sha256(&digest, SES_PARTS(SES_PART(ids, 20 * (size_t)plan.order_cnt)));
    hex32(&expected, want, "order_sha256");
    TAP_BYTES(expected.bytes, digest.bytes, 32);
    const json_t *offsets = json_object_get(want, "offsets");
    TAP_MUST(json_array_size(offsets) == plan.offset_cnt);
    for (uint32_t j = 0; j < plan.offset_cnt; j++) {
        TAP_EQ((uint64_t)json_real_value(json_array_get(offsets, j)), plan.offsets[j]);
    }
    const json_t *rows = json_object_get(want, "plan");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const uint32_t position = number(row, "position");
        check_pairs(json_object_get(row, "tests"), &plan, &net->m, position, true);
        check_pairs(json_object_get(row, "tested_by"), &plan, &net->m, position, false);
    }
    ses_free(plan.order);
    ses_free(plan.offsets);
    ses_free(scratch);
    ses_free(ids);
}

static void test_testers(void)
{
    const json_t *list = section("testers");
    const json_t *starts = section("genesis");
    TAP_OK(json_array_size(list) == 3);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct ses_hash seed_0;
        struct net net;
        hex32(&seed_0, json_array_get(starts, i), "seed");
        genesis_net(&net, number(json_array_get(list, i), "nodes"), &seed_0);
        check_plan(json_array_get(list, i), &net);
        net_free(&net);
    }
}

static void test_seed(void)
{
    struct ses_hash seed_0;
    struct ses_hash want;
    struct ses_hash got;
    struct ses_hash parent;
    (void)section("genesis");
    memset(parent.bytes, 0x11, 32);
    hex32(&seed_0, json_object_get(root, "registry"), "seed_0");
    hex32(&want, json_object_get(root, "registry"), "seed_1");
    ses_epoch_seed(&got, &seed_0, 1, NULL, 0, &parent);
    TAP_BYTES(want.bytes, got.bytes, 32);
    ses_epoch_seed(&got, &seed_0, 1, &parent, 1, &seed_0); /* one reveal in the parent's place */
    TAP_BYTES(want.bytes, got.bytes, 32);
}

static void test_inbox(void)
{
    static const struct {
        const char *text;
        uint32_t swarms;
    } maps[] = {{"1", 1}, {"2", 2}, {"16", 16}, {"128", 128}};
    (void)section("genesis");
    const json_t *list = json_object_get(root, "inbox_swarm");
    TAP_OK(json_array_size(list) == 10);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *want = json_array_get(list, i);
        struct ses_hash digest;
        struct ses_hash expected;
        struct ses_hash inbox;
        named(inbox.bytes, 32, "session-id", (uint32_t)i);
        hex32(&expected, want, "digest");
        ses_inbox_digest(&digest, &inbox);
        TAP_BYTES(expected.bytes, digest.bytes, 32);
        for (size_t k = 0; k < SES_COUNT(maps); k++) {
            const struct ses_map map = {.num_swarms = maps[k].swarms};
            TAP_EQ(number(json_object_get(want, "swarm"), maps[k].text),
                   ses_map_swarm_of_inbox(&map, &inbox));
        }
    }
}

static void test_registry_root(void)
{
    const json_t *want = section("registry_root");
    struct ses_hash hashes[10];
    struct ses_hash seed_0;
    struct ses_hash chain_id;
    struct ses_hash expected;
    struct ses_hash got;
    struct net net;
    hex32(&seed_0, json_object_get(root, "registry"), "seed_0");
    named(chain_id.bytes, 32, "chain", 0);
    genesis_net(&net, 10, &seed_0);
    for (uint32_t i = 0; i < 10; i++) {
        struct ses_registry_row row = {.node_id = net.m.seats[i].node_id,
                                       .owner = net.m.seats[i].owner,
                                       .status = SES_NODE_ACTIVE,
                                       .swarm = net.m.seats[i].swarm,
                                       .prev_swarm = SES_SWARM_NONE};
        struct ses_hash keys;
        named(keys.bytes, 32, "keys", 0);
        ses_blake3_hash(&row.keys_hash, keys.bytes, 32); /* the model hashes its stand-in too */
        ses_registry_row_hash(&hashes[i], &row);
    }
    ses_registry_root(&got, &chain_id, 0, &seed_0, net.m.num_swarms, hashes, 10);
    hex32(&expected, want, "root");
    TAP_BYTES(expected.bytes, got.bytes, 32);
    net_free(&net);
}

/* Draws of the model: a position that comes twice is owed once, with its first chunk. */
static void test_audit(void)
{
    const json_t *list = section("audit");
    TAP_OK(json_array_size(list) >= 3);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *want = json_array_get(list, i);
        const json_t *positions = json_object_get(want, "leaf_index");
        const json_t *draws = json_object_get(want, "chunk_draw");
        struct ses_committed root_of = {.count = number(want, "count")};
        struct ses_owed owed[SES_OWED_MAX];
        struct ses_hash seed;
        struct ses_node_id id;
        hex32(&seed, want, "seed");
        hex32(&root_of.root, want, "root");
        const char *text = json_string_value(json_object_get(want, "node_id"));
        TAP_MUST(text != NULL && ses_hex_decode(id.bytes, sizeof(id.bytes), text) == SES_OK);
        const uint32_t cnt = ses_owed_list(owed, &seed, &id, &root_of, 2, NULL, 0);
        uint32_t at = 0;
        for (size_t j = 0; j < json_array_size(positions); j++) {
            const double position = json_real_value(json_array_get(positions, j));
            const double chunk = json_real_value(json_array_get(draws, j)); /* to 53 bits */
            if (j == 1 && position == json_real_value(json_array_get(positions, 0))) {
                continue;
            }
            TAP_MUST(at < cnt);
            TAP_OK((double)owed[at].position == position && (double)owed[at].chunk_draw == chunk);
            at++;
        }
        TAP_EQ(at, cnt);
    }
}

int main(void)
{
    load();
    TAP_RUN(test_genesis);
    TAP_RUN(test_transition);
    TAP_RUN(test_testers);
    TAP_RUN(test_seed);
    TAP_RUN(test_inbox);
    TAP_RUN(test_registry_root);
    TAP_RUN(test_audit);
    json_decref(root);
    return tap_done();
}
