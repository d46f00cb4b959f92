/* Nodes, endpoints, registry rows and roots, epoch records, genesis parameters. */
#include "protocol/test_samples.h"
#include "protocol/test_vectors.h"

static uint8_t bytes[16384];

static struct ses_node_id id_of(const char *hex)
{
    struct ses_node_id id;
    TAP_MUST(hex != NULL && ses_hex_decode(id.bytes, sizeof id.bytes, hex) == SES_OK);
    return id;
}

/* Node i of the model has the owner of floor(i / 3). */
static struct ses_account model_owner(const struct ses_node_id *id, uint32_t node_cnt)
{
    struct ses_account owner = {{0}};
    for (uint32_t i = 0; i < node_cnt; i++) {
        const struct ses_hash name = model_name("node", i);
        if (memcmp(name.bytes, id->bytes, sizeof id->bytes) == 0) {
            memcpy(owner.bytes, model_name("owner", i / 3).bytes, sizeof owner.bytes);
        }
    }
    return owner;
}

/* The rows of "10 nodes after genesis" in node_id order; jansson keeps that of the file. */
static uint32_t model_rows(const json_t *registry, struct ses_hash *hashes, uint32_t max)
{
    json_t *assignment =
        json_object_get(json_array_get(json_object_get(registry, "genesis"), 0), "assignment");
    const struct ses_hash keys = model_name("keys", 0);
    const char *name;
    json_t *swarm;
    uint32_t cnt = 0;
    json_object_foreach(assignment, name, swarm)
    {
        struct ses_registry_row row = {.status = SES_NODE_ACTIVE, .prev_swarm = SES_SWARM_NONE};
        TAP_MUST(cnt < max);
        row.node_id = id_of(name);
        row.owner = model_owner(&row.node_id, 10);
        row.swarm = (uint32_t)number_u64(swarm);
        ses_blake3_hash(&row.keys_hash, keys.bytes, 32);
        ses_registry_row_hash(&hashes[cnt++], &row);
    }
    return cnt;
}

static void test_registry_of_the_model(void)
{
    json_t *root = model_vectors();
    if (root == NULL) {
        return;
    }
    const json_t *registry = json_object_get(root, "registry");
    const json_t *want = json_object_get(registry, "registry_root");
    const json_t *rows = json_object_get(want, "rows");
    const struct ses_hash chain_id = model_name("chain", 0);
    const struct ses_hash seed = json_hash(registry, "seed_0");
    struct ses_hash hashes[16], got;
    const uint32_t cnt = model_rows(registry, hashes, 16);
    TAP_EQ(json_array_size(rows), cnt);
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_hash row;
        const char *text = json_string_value(json_array_get(rows, i));
        TAP_MUST(text != NULL && ses_hex_decode(row.bytes, 32, text) == SES_OK);
        TAP_BYTES(row.bytes, hashes[i].bytes, 32);
    }
    ses_registry_root(&got, &chain_id, 0, &seed, 1, hashes, cnt);
    TAP_BYTES(json_hash(want, "root").bytes, got.bytes, 32);
    json_decref(root);
}

static void test_keys_hash(void)
{
    const struct ses_endpoint e = sample_endpoint_struct();
    for (unsigned prev = 0; prev < 2; prev++) {
        const struct ses_node_keys k = sample_keys_struct(prev == 1);
        struct ses_hash want, got;
        struct ses_writer w;
        ses_writer_init(&w, bytes, sizeof bytes);
        ses_node_keys_write(&w, &k);
        ses_endpoint_write(&w, &e);
        ses_blake3_hash(&want, bytes, w.len);
        ses_node_keys_hash(&got, &k, &e);
        TAP_BYTES(want.bytes, got.bytes, 32);
    }
}

static void test_uptime(void)
{
    struct ses_node n = {.status = SES_NODE_ACTIVE};
    TAP_EQ(10000, ses_node_uptime_bps(&n));
    n.observed[0] = 0x07;
    n.uptime[0] = 0x05;
    TAP_EQ(6666, ses_node_uptime_bps(&n));
    n.uptime[20] = 0x80; /* never judged: does not count */
    TAP_EQ(6666, ses_node_uptime_bps(&n));
    memset(n.observed, 0xff, sizeof n.observed);
    memset(n.uptime, 0xff, sizeof n.uptime);
    TAP_EQ(10000, ses_node_uptime_bps(&n));
    TAP_TEXT("active", ses_node_status_text(SES_NODE_ACTIVE));
    TAP_TEXT("decommissioning", ses_node_status_text(SES_NODE_DECOMMISSIONING));
    TAP_TEXT("retired", ses_node_status_text(SES_NODE_RETIRED));
}

static enum ses_err endpoint_of(uint8_t addr_cnt, uint16_t len)
{
    struct ses_endpoint e = {.addr_cnt = addr_cnt}, again;
    struct ses_writer w;
    struct ses_reader r;
    for (unsigned i = 0; i < SES_ENDPOINT_ADDRS_MAX; i++) {
        e.addrs[i].len = len;
    }
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_endpoint_write(&w, &e);
    const enum ses_err err = ses_writer_done(&w);
    /* what the encoder refuses, the decoder refuses as well */
    ses_writer_init(&w, bytes, sizeof bytes);
    (void)ses_write_space(&w, 32);
    ses_write_u8(&w, addr_cnt);
    for (unsigned i = 0; i < addr_cnt; i++) {
        ses_write_u16(&w, len);
        (void)ses_write_space(&w, len);
    }
    ses_reader_init(&r, bytes, w.len);
    ses_endpoint_read(&r, &again);
    TAP_OK((ses_reader_done(&r) == SES_OK) == (err == SES_OK));
    TAP_EQ(err == SES_OK ? addr_cnt : 0, again.addr_cnt);
    return err;
}

static void test_endpoint_limits(void)
{
    TAP_ERR(SES_OK, endpoint_of(0, 0));
    TAP_ERR(SES_OK, endpoint_of(1, 1));
    TAP_ERR(SES_OK, endpoint_of(1, SES_MULTIADDR_MAX));
    TAP_ERR(SES_ERR_INVALID, endpoint_of(1, 0));
    TAP_ERR(SES_ERR_INVALID, endpoint_of(1, SES_MULTIADDR_MAX + 1));
    TAP_ERR(SES_OK, endpoint_of(8, 57));          /* 33 + 8 * 59 = 505 */
    TAP_ERR(SES_ERR_INVALID, endpoint_of(8, 58)); /* 513 */
    TAP_ERR(SES_ERR_INVALID, endpoint_of(9, 10));
    TAP_ERR(SES_ERR_INVALID, endpoint_of(4, SES_MULTIADDR_MAX));
}

static enum ses_err epoch_roundtrip(struct ses_epoch *e, uint32_t canonical_max)
{
    struct ses_canonical_root roots[4];
    struct ses_epoch again;
    struct ses_writer w;
    struct ses_reader r;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_epoch_write(&w, e);
    SES_TRY(ses_writer_done(&w));
    ses_reader_init(&r, bytes, w.len);
    ses_epoch_read(&r, &again, roots, canonical_max);
    SES_TRY(ses_reader_done(&r));
    TAP_EQ(e->canonical_cnt, again.canonical_cnt);
    TAP_EQ(e->miss_cnt, again.miss_cnt);
    TAP_OK(again.canonical == roots);
    return SES_OK;
}

static void test_epoch_limits(void)
{
    struct ses_canonical_root roots[4] = {{.swarm = 1}, {.swarm = 2}, {.swarm = 5}, {.swarm = 9}};
    struct ses_epoch e = {.num_swarms = 4, .canonical = roots, .canonical_cnt = 4, .miss_cnt = 3};
    TAP_ERR(SES_OK, epoch_roundtrip(&e, 4));
    TAP_ERR(SES_ERR_TOO_LARGE, epoch_roundtrip(&e, 3));
    roots[2].swarm = 2;
    TAP_ERR(SES_ERR_INVALID, epoch_roundtrip(&e, 4)); /* twice the same swarm */
    roots[2].swarm = 5;
    e.num_swarms = 6;
    TAP_ERR(SES_ERR_INVALID, epoch_roundtrip(&e, 4)); /* not a power of two */
    e.num_swarms = 0;
    TAP_ERR(SES_ERR_INVALID, epoch_roundtrip(&e, 4));
}

static void test_random_nodes(void)
{
    for (unsigned i = 0; i < 100; i++) {
        struct ses_node n, again;
        struct ses_writer w;
        struct ses_reader r;
        memset(&n, 0, sizeof n);
        ses_random_fill(tap_random(), n.node_id.bytes, 20);
        ses_random_fill(tap_random(), n.uptime, sizeof n.uptime);
        n.stake = ses_random_u64(tap_random());
        n.swarm = (uint32_t)ses_random_u64(tap_random());
        n.decommission_epoch = ses_random_u64(tap_random());
        n.status = (enum ses_node_status)(1 + i % 3);
        ses_writer_init(&w, bytes, sizeof bytes);
        ses_node_write(&w, &n);
        TAP_ERR(SES_OK, ses_writer_done(&w));
        ses_reader_init(&r, bytes, w.len);
        ses_node_read(&r, &again);
        TAP_ERR(SES_OK, ses_reader_done(&r));
        TAP_EQ(n.stake, again.stake);
        TAP_EQ(n.swarm, again.swarm);
        TAP_EQ(n.decommission_epoch, again.decommission_epoch);
        TAP_EQ(n.status, again.status);
        TAP_BYTES(n.uptime, again.uptime, sizeof n.uptime);
    }
}

static void test_params_defaults(void)
{
    struct ses_params p;
    struct ses_note note;
    ses_params_defaults(&p);
    TAP_EQ(3600, p.epoch_seconds);
    TAP_EQ(100000000000, p.min_stake);
    TAP_EQ(1073741824, p.min_free_bytes);
    TAP_ERR(SES_OK, ses_params_validate(&p, &note));
    TAP_ERR(SES_OK, ses_params_validate(&p, NULL));
}

/* The error names the key, the value and what is allowed. */
static void refused(const struct ses_params *p, const char *key, const char *value,
                    const char *allowed)
{
    struct ses_note note = {""};
    TAP_ERR(SES_ERR_CONFIG, ses_params_validate(p, &note));
    if (!TAP_OK(strstr(note.text, key) != NULL && strstr(note.text, value) != NULL &&
                strstr(note.text, allowed) != NULL)) {
        printf("#   %s\n", note.text);
    }
}

static void test_params_ranges(void)
{
    struct ses_params p;
#define REFUSED(field, value, key, allowed)                                                        \
    do {                                                                                           \
        ses_params_defaults(&p);                                                                   \
        p.field = (value);                                                                         \
        refused(&p, key, #value, allowed);                                                         \
    } while (0)
    REFUSED(swarm_target, 0, "swarmTarget", "1 .. 32");
    REFUSED(swarm_target, 33, "swarmTarget", "1 .. 32");
    REFUSED(block_seconds, 0, "blockSeconds", "1 .. 3600");
    REFUSED(epoch_seconds, 930, "epochSeconds", "at least 931");
    REFUSED(miss_bps, 0, "missBps", "1 .. 10000");
    REFUSED(max_slash_bps, 10001, "maxSlashBps", "1 .. 10000");
    REFUSED(max_slash_bps, 49, "maxSlashBps", "50 .. 10000");
    REFUSED(testers, 0, "testers", "1 .. 256");
    REFUSED(inbox_quota_bytes, 90111, "inboxQuotaBytes", "90112 .. ");
    REFUSED(block_max_bytes, 32854, "blockMaxBytes", "32855 .. ");
#undef REFUSED
    ses_params_defaults(&p);
    p.min_stake = 9223372036854775808u;
    refused(&p, "minStake", "9223372036854775808", "1 .. 9223372036854775807");
    ses_params_defaults(&p);
    p.epoch_seconds = 60;
    p.settle_seconds = 10;
    p.freeze_seconds = 5;
    p.block_seconds = 60;
    refused(&p, "blockSeconds", "60", "1 .. 59");
    p.block_seconds = 1;
    TAP_ERR(SES_OK, ses_params_validate(&p, NULL));
}

int main(void)
{
    TAP_RUN(test_registry_of_the_model);
    TAP_RUN(test_keys_hash);
    TAP_RUN(test_uptime);
    TAP_RUN(test_endpoint_limits);
    TAP_RUN(test_epoch_limits);
    TAP_RUN(test_random_nodes);
    TAP_RUN(test_params_defaults);
    TAP_RUN(test_params_ranges);
    return tap_done();
}
