/* A client below libsession for tests and benchmarks: single requests to chosen nodes, with bytes
 * of the caller's choice. */
#ifndef SES_TESTS_E2E_RAW_H
#define SES_TESTS_E2E_RAW_H

#include "client/client.h"

struct raw {
    struct ses_uv *uv;
    struct ses_net *net;
    struct ses_rpc_client *chain;
    struct ses_chain_params params;
    struct ses_map_node *nodes; /* by node_id, as the chain gave them */
    uint32_t node_cnt;
    uint32_t num_swarms;
    uint64_t epoch;
};
/* Prints the reason and returns false if the chain cannot be reached. */
bool raw_open(struct raw *raw, const char *chain_url);
void raw_close(struct raw *raw);
/* NULL if the chain does not know it. */
const struct ses_map_node *raw_node(const struct raw *raw, const char *node_id_text);
void raw_target(struct ses_target *out, const struct ses_map_node *node);
/* One request, blocking. The response body is appended to `out`. */
enum ses_err raw_request(struct raw *raw, const struct ses_map_node *node, enum ses_proto proto,
                         const struct ses_identity *login, const uint8_t *body, size_t len,
                         struct ses_buf *out);
/* The owner's write token, published in namespace -21 at `node`'s swarm. */
enum ses_err raw_token_publish(struct raw *raw, const struct ses_map_node *node,
                               const struct ses_identity *owner, const struct ses_hash *token);

#endif
