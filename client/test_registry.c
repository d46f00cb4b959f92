/* The registry's map: rows in any order give one map; a changed byte anywhere is noticed. And
 * receipts against such a map: every field that makes one a promise. */
#include <string.h>

#include "base/tap.h"
#include "client/client_internal.h"

#define NODES 5u
static struct ses_identity *owners[NODES];
static struct ses_node_id ids[NODES];

static void make_row(unsigned i, struct ses_registry_row *row, struct ses_node_keys *keys,
                     struct ses_endpoint *endpoint)
{
    memset(row, 0, sizeof *row);
    memset(keys, 0, sizeof *keys);
    memset(endpoint, 0, sizeof *endpoint);
    keys->public_key = owners[i]->dsa_pk;
    keys->encryption_key = owners[i]->kem_pk;
    endpoint->peer_key.bytes[0] = (uint8_t)i;
    row->node_id = ids[i];
    row->owner = owners[i]->account;
    row->status = SES_NODE_ACTIVE;
    row->prev_swarm = SES_SWARM_NONE;
    row->swarm_from_epoch = 3;
    ses_node_keys_hash(&row->keys_hash, keys, endpoint);
}

static void root_of(struct ses_registry_cache *cache)
{
    struct ses_hash hashes[NODES];
    for (uint32_t i = 0; i < cache->map.node_cnt; i++) {
        ses_registry_row_hash(&hashes[i], &cache->map.nodes[i].row);
    }
    ses_registry_root(&cache->map.registry_root, &cache->chain_id, cache->map.epoch,
                      &cache->map.seed, cache->map.num_swarms, hashes, cache->map.node_cnt);
}

static void make_cache(struct ses_registry_cache *cache)
{
    memset(cache, 0, sizeof *cache);
    cache->chain_id.bytes[0] = 7;
    cache->genesis_s = 1000;
    cache->epoch_s = 60;
    cache->map.epoch = 9;
    cache->map.num_swarms = 1;
    unsigned order[NODES] = {3, 0, 4, 1, 2};
    for (unsigned i = 0; i < NODES; i++) {
        struct ses_registry_row row;
        struct ses_node_keys keys;
        struct ses_endpoint endpoint;
        make_row(order[i], &row, &keys, &endpoint);
        TAP_MUST(ses_registry_cache_put(cache, &row, &keys, &endpoint) == SES_OK);
    }
    root_of(cache);
}

static void test_put_sorts(void)
{
    struct ses_registry_cache cache;
    make_cache(&cache);
    TAP_EQ(NODES, cache.map.node_cnt);
    TAP_ERR(SES_OK, ses_registry_cache_verify(&cache));
    for (unsigned i = 0; i < NODES; i++) {
        TAP_OK(ses_map_find(&cache.map, &ids[i]) != NULL);
    }
    ses_registry_cache_free(&cache);
}

static void test_delta(void)
{
    struct ses_registry_cache cache;
    struct ses_registry_cache next;
    make_cache(&cache);
    TAP_MUST(ses_registry_cache_copy(&next, &cache) == SES_OK);
    struct ses_registry_row row = ses_map_find(&cache.map, &ids[2])->row;
    row.status = SES_NODE_DECOMMISSIONING;
    TAP_ERR(SES_OK, ses_registry_cache_put(&next, &row, NULL, NULL)); /* keys as before */
    TAP_ERR(SES_ERR_CHECKSUM, ses_registry_cache_verify(&next));
    root_of(&next);
    TAP_ERR(SES_OK, ses_registry_cache_verify(&next));
    TAP_ERR(SES_OK, ses_registry_cache_verify(&cache)); /* the copy is its own */
    row.node_id.bytes[0] ^= 0x55;
    TAP_ERR(SES_ERR_PEER, ses_registry_cache_put(&next, &row, NULL, NULL));
    ses_registry_cache_free(&cache);
    ses_registry_cache_free(&next);
}

static void test_bytes(void)
{
    struct ses_registry_cache cache;
    struct ses_registry_cache got;
    struct ses_buf disk = {0};
    struct ses_buf again = {0};
    make_cache(&cache);
    memcpy(cache.network_name, "testnet", 8);
    TAP_MUST(ses_registry_cache_encode(&disk, &cache) == SES_OK);
    TAP_MUST(ses_registry_cache_decode(&got, disk.bytes, disk.len) == SES_OK);
    TAP_OK(got.loaded);
    TAP_TEXT("testnet", got.network_name);
    TAP_MUST(ses_registry_cache_encode(&again, &got) == SES_OK);
    TAP_EQ(disk.len, again.len);
    TAP_BYTES(disk.bytes, again.bytes, disk.len);
    ses_registry_cache_free(&got);
    for (unsigned i = 0; i < 200; i++) { /* cut anywhere */
        const size_t len = (size_t)ses_random_below(tap_random(), disk.len);
        TAP_OK(ses_registry_cache_decode(&got, disk.bytes, len) != SES_OK);
        TAP_OK(got.map.nodes == NULL);
    }
    const size_t keys_at = disk.len - 3000; /* inside a key: the root no longer fits */
    disk.bytes[keys_at] ^= 1;
    TAP_OK(ses_registry_cache_decode(&got, disk.bytes, disk.len) != SES_OK);
    ses_buf_free(&disk);
    ses_buf_free(&again);
    ses_registry_cache_free(&cache);
}

static void test_epochs(void)
{
    const struct ses_registry_cache cache = {.genesis_s = 1000, .epoch_s = 60};
    TAP_EQ(0, ses_registry_cache_epoch_at(&cache, 0));
    TAP_EQ(0, ses_registry_cache_epoch_at(&cache, 1059999));
    TAP_EQ(1, ses_registry_cache_epoch_at(&cache, 1060000));
    const struct ses_registry_cache empty = {0};
    TAP_EQ(0, ses_registry_cache_epoch_at(&empty, 5000000));
}

/* ---- receipts ---- */

static struct ses_receipt_want want;

static struct ses_receipt sign_receipt(unsigned node, const struct ses_receipt_leaf *leaf,
                                       const struct ses_hash *chain_id)
{
    struct ses_receipt receipt;
    TAP_MUST(ses_receipts_sign(&receipt, leaf, 1, chain_id, &ids[node], owners[node]->dsa,
                               tap_random()) == SES_OK);
    return receipt;
}

static struct ses_receipt_memo memo;

static struct ses_receipt_leaf good_leaf(void)
{
    struct ses_receipt_leaf leaf = {.id = want.id, .swarm_from_epoch = 3, .admit_epoch = 9};
    ses_inbox_digest(&leaf.digest, &want.inbox);
    ses_segment_of(&leaf.segment, want.ttl_class, want.ts_ms);
    return leaf;
}

#define REFUSED(err, change)                                                                       \
    do {                                                                                           \
        struct ses_receipt_leaf leaf = good_leaf();                                                \
        change;                                                                                    \
        const struct ses_receipt r = sign_receipt(1, &leaf, &cache.chain_id);                      \
        TAP_ERR(err, ses_receipt_check(&r, &want, &cache.map, &cache.chain_id, &memo));            \
    } while (0)

/* Signed as it should be, by a node that serves other inboxes, or the other half after a split. */
static void test_other_swarm(struct ses_registry_cache *cache)
{
    struct ses_receipt_leaf leaf = good_leaf();
    cache->map.num_swarms = 2;
    const uint32_t own = ses_swarm_of(&leaf.digest, 2);
    for (uint32_t i = 0; i < cache->map.node_cnt; i++) {
        struct ses_registry_row *row = &cache->map.nodes[i].row;
        const bool signer = memcmp(row->node_id.bytes, ids[1].bytes, sizeof ids[1].bytes) == 0;
        row->swarm = signer ? 1 - own : own;
        row->prev_swarm = 0;
    }
    leaf.swarm = 1 - own;
    struct ses_receipt r = sign_receipt(1, &leaf, &cache->chain_id);
    TAP_ERR(SES_ERR_WRONG_SWARM,
            ses_receipt_check(&r, &want, &cache->map, &cache->chain_id, &memo));
    leaf.swarm = 0;
    r = sign_receipt(1, &leaf, &cache->chain_id);
    TAP_ERR(SES_ERR_WRONG_SWARM,
            ses_receipt_check(&r, &want, &cache->map, &cache->chain_id, &memo));
    r = sign_receipt(2, &leaf, &cache->chain_id); /* it got the new half's number meanwhile */
    TAP_ERR(SES_OK, ses_receipt_check(&r, &want, &cache->map, &cache->chain_id, &memo));
    cache->map.num_swarms = 1;
    for (uint32_t i = 0; i < cache->map.node_cnt; i++) {
        cache->map.nodes[i].row.swarm = 0;
    }
}

static void test_receipts(void)
{
    struct ses_registry_cache cache;
    make_cache(&cache);
    want = (struct ses_receipt_want){
        .id = {{1}}, .inbox = {{2}}, .ttl_class = 2, .ts_ms = 1700000000000u};
    REFUSED(SES_OK, (void)0);
    REFUSED(SES_ERR_PEER, leaf.id.bytes[5] ^= 1);
    REFUSED(SES_ERR_PEER, leaf.digest.bytes[5] ^= 1);
    REFUSED(SES_ERR_PEER, leaf.segment.hour++);
    REFUSED(SES_ERR_PEER, leaf.segment.ttl_class = 1);
    REFUSED(SES_ERR_WRONG_SWARM, leaf.swarm = 1);
    REFUSED(SES_ERR_WRONG_SWARM, leaf.swarm_from_epoch = 4);
    test_other_swarm(&cache);
    const struct ses_receipt_leaf leaf = good_leaf();
    const struct ses_hash other_chain = {{8}};
    struct ses_receipt r = sign_receipt(1, &leaf, &other_chain);
    TAP_ERR(SES_ERR_SIGNATURE, ses_receipt_check(&r, &want, &cache.map, &cache.chain_id, &memo));
    r = sign_receipt(1, &leaf, &cache.chain_id);
    r.node_id = ids[2]; /* somebody else's name under it */
    TAP_ERR(SES_ERR_SIGNATURE, ses_receipt_check(&r, &want, &cache.map, &cache.chain_id, &memo));
    r.node_id.bytes[3] ^= 1;
    TAP_ERR(SES_ERR_NOT_FOUND, ses_receipt_check(&r, &want, &cache.map, &cache.chain_id, &memo));
    for (uint32_t i = 0; i < cache.map.node_cnt; i++) { /* it leaves: readers do not count it */
        cache.map.nodes[i].row.status = SES_NODE_DECOMMISSIONING;
    }
    r = sign_receipt(1, &leaf, &cache.chain_id);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_receipt_check(&r, &want, &cache.map, &cache.chain_id, &memo));
    ses_registry_cache_free(&cache);
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    for (unsigned i = 0; i < NODES; i++) {
        const uint8_t seed[32] = {(uint8_t)(i + 1)};
        SES_ASSERT(ses_identity_new(&owners[i], seed) == SES_OK);
        ses_node_id_of(&ids[i], &owners[i]->dsa_pk);
    }
    TAP_RUN(test_put_sorts);
    TAP_RUN(test_delta);
    TAP_RUN(test_bytes);
    TAP_RUN(test_epochs);
    TAP_RUN(test_receipts);
    for (unsigned i = 0; i < NODES; i++) {
        ses_identity_free(owners[i]);
    }
    return tap_done();
}
