/* Test only: hosts on loopback as the members of the one swarm that a client knows. They live on
 * the client's own loop: whatever it waits for, they answer meanwhile. */
#ifndef SES_CLIENT_TEST_MEMBERS_H
#define SES_CLIENT_TEST_MEMBERS_H

#include <string.h>

#include "base/tap.h"
#include "client/client_internal.h"

#define MEMBERS 4u

struct member {
    struct ses_dsa_private *key;
    struct ses_net *net; /* NULL: nobody listens there any more */
    struct ses_node_id node_id;
};
struct members {
    struct member list[MEMBERS];
};

static inline enum ses_err members_know_nobody(void *cookie, const struct ses_node_id *node_id,
                                               struct ses_dsa_pk *out)
{
    (void)cookie;
    (void)node_id;
    (void)out;
    return SES_ERR_NOT_FOUND;
}

/* Listens on a free port of 127.0.0.1, and stands in the client's map. */
static inline void member_add(struct member *m, struct ses_client *c)
{
    struct ses_host_params params = {.uv = c->uv,
                                     .random = ses_random_system(),
                                     .chain_id = c->registry.chain_id,
                                     .agent = "test/1",
                                     .is_node = true,
                                     .find_node = members_know_nobody};
    struct ses_node_keys keys = {0};
    struct ses_endpoint endpoint = {.addr_cnt = 1};
    struct ses_multiaddr bound;
    struct ses_dsa_seed seed;
    ses_random_fill(tap_random(), &seed, sizeof seed);
    ses_random_fill(tap_random(), &params.peer_seed, sizeof params.peer_seed);
    TAP_MUST(ses_dsa_private_new(&m->key, &seed) == SES_OK);
    ses_dsa_private_pk(m->key, &keys.public_key);
    ses_node_id_of(&m->node_id, &keys.public_key);
    ses_ed25519_pk(&endpoint.peer_key, &params.peer_seed);
    params.node_id = m->node_id;
    params.node_key = m->key;
    TAP_MUST(ses_host_new(&m->net, &params) == SES_OK);
    TAP_MUST(ses_host_listen(m->net, "/ip4/127.0.0.1/tcp/0", &bound, NULL) == SES_OK);
    endpoint.addrs[0].len = bound.len;
    memcpy(endpoint.addrs[0].bytes, bound.bytes, bound.len);
    const struct ses_registry_row row = {
        .node_id = m->node_id, .status = SES_NODE_ACTIVE, .prev_swarm = SES_SWARM_NONE};
    TAP_MUST(ses_registry_cache_put(&c->registry, &row, &keys, &endpoint) == SES_OK);
}

/* The client must not have been on a network before. */
static inline void members_join(struct members *t, struct ses_client *c)
{
    struct ses_registry_cache *r = &c->registry;
    memset(t, 0, sizeof *t);
    TAP_MUST(c->uv == NULL && c->chain == NULL);
    c->chain = ses_strdup("http://127.0.0.1:1/"); /* nobody is there: the map is current */
    TAP_MUST(c->chain != NULL);
    ses_random_fill(tap_random(), &r->chain_id, sizeof r->chain_id);
    r->genesis_s = ses_client_now(c) / 1000;
    r->epoch_s = 3600;
    r->map.num_swarms = 1;
    TAP_MUST(ses_client_need_net(c, NULL) == SES_OK);
    for (unsigned i = 0; i < MEMBERS; i++) {
        member_add(&t->list[i], c);
    }
    r->loaded = true;
    c->chain_checked = true;
}

static inline void member_dies(struct member *m)
{
    ses_host_free(m->net);
    m->net = NULL;
}

/* Before the client is closed, whose loop it is. */
static inline void members_leave(struct members *t)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        member_dies(&t->list[i]);
        ses_dsa_private_free(t->list[i].key);
    }
}

#endif
