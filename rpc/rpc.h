/* rpc: JSON-RPC 2.0 (and upstream's gorilla v1 form) over HTTP: one dispatcher, a server on
 * libmicrohttpd, a client on libcurl, and the chain's calls with types on both sides.
 *
 * The JSON form of every chain object is written and read here and nowhere else (json_*.c), so that
 * server and client cannot disagree. Amounts (nLUX) and other u64 are decimal strings in JSON; ids
 * are CB58 texts, hashes and keys lower hex.
 *
 * Server handlers run on the server's threads: the program locks. Client calls block: use a worker.
 */
#ifndef SES_RPC_RPC_H
#define SES_RPC_RPC_H

#include <jansson.h>

#include "protocol/protocol.h"

/* ---- dispatcher ---- */
struct ses_rpc_error {
    int code; /* JSON-RPC; ours: -32000 - (number of the ses_err) */
    enum ses_err err;
    struct ses_note note;
};
/* Codes: -32700 not JSON, -32600 no request, -32601 no such method, -32602 bad parameters
 * (ERR_INVALID), -32603 our failure, else -32000 - number. The JSON error object has `code`,
 * `message` (the note) and `data` {"name": "nonce"}. */
/* Returns the result (a new reference) or NULL with *error filled. `params` is an object (never
 * NULL; the one element of gorilla's array form is unwrapped). */
typedef json_t *ses_rpc_method_fn(void *cookie, json_t *params, struct ses_rpc_error *error);
struct ses_rpc_method {
    const char *name; /* "sessionvm.getBalance" */
    ses_rpc_method_fn *fn;
    bool changes_state; /* needs the token if the server has one */
};
json_t *ses_rpc_fail(struct ses_rpc_error *error, enum ses_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As ses_rpc_fail, with a callee's note (its own text if the note is empty). */
json_t *ses_rpc_fail_note(struct ses_rpc_error *error, enum ses_err err,
                          const struct ses_note *note);
#define SES_RPC_BATCH_MAX 64u
#define SES_RPC_DEPTH_MAX 32u        /* nested arrays and objects */
#define SES_RPC_VALUES_MAX 65536u    /* values in one request text */
#define SES_RPC_ANSWER_MAX 33554432u /* a batch is cut off beyond this with ERR_TOO_LARGE */
/* One request or batch (<= 64) as text in, text out (from ses_alloc; NULL for notifications). Never
 * fails: bad JSON gives a JSON-RPC error. *http_status: 200; 204 without an answer; 400 for what is
 * no request and for errors in gorilla's form; 401 where the token is missing. A request without
 * "jsonrpc" gets gorilla's form: {"result", "error" (text or null), "id"}. */
char *ses_rpc_dispatch(const struct ses_rpc_method *methods, void *cookie, const char *text,
                       size_t len, bool authorised, int *http_status);

/* ---- server ---- */
struct ses_rpc_server;
struct ses_rpc_page {
    const char *path;
    const char *type;                             /* GET: "/healthz" */
    char *(*get)(void *cookie, int *http_status); /* text from ses_alloc */
};
struct ses_rpc_server_params {
    const char *listen;                   /* "127.0.0.1:9652"; port 0: any */
    const struct ses_rpc_method *methods; /* ends with a zero entry; served at POST /rpc and
                                             /ext/bc/<anything>/rpc */
    const struct ses_rpc_page *pages;     /* ends with a zero entry; NULL: none */
    void *cookie;
    const char *token; /* bearer token for changes_state; NULL: none needed */
    const struct ses_log *log;
    uint32_t threads;     /* 0: 2 */
    uint32_t per_address; /* connections of one address (IPv6: of a /64); loopback has no limit
                             of its own. 0: SES_RPC_PER_ADDRESS */
};
/* Who may ask: a POST needs Content-Type application/json or none (415 otherwise); an Origin header
 * must name the server itself (403: no other web page may call); while listening on loopback the
 * Host must be an address or "localhost" (403: no DNS rebinding). Connections, headers, bodies and
 * times are bounded. */
#define SES_RPC_PER_ADDRESS 32u
#define SES_RPC_BODY_MAX 4194304u
#define SES_RPC_BODIES_MAX 67108864u /* of all requests on their way together; 503 beyond */
/* ERR_CONFIG for a bad `listen`; ERR_IN_USE, ERR_PERMISSION, ERR_IO with a note. Copies what it
 * needs except methods, pages, cookie and log. */
SES_CHECKED enum ses_err ses_rpc_server_new(struct ses_rpc_server **out,
                                            const struct ses_rpc_server_params *params,
                                            struct ses_note *note);
uint16_t ses_rpc_server_port(const struct ses_rpc_server *server);
/* Stops accepting, waits for handlers in progress. */
void ses_rpc_server_free(struct ses_rpc_server *server);

/* ---- client: blocking, one per thread at a time ---- */
#define SES_RPC_URL_TEXT 256u
struct ses_rpc_client;
/* `urls` (http or https; "/rpc" is added where there is no path) separated by commas; each call
 * goes to the first that answers, beginning with the one that answered last. ERR_CONFIG. */
SES_CHECKED enum ses_err ses_rpc_client_new(struct ses_rpc_client **out, const char *urls,
                                            uint32_t timeout_ms, struct ses_note *note);
void ses_rpc_client_free(struct ses_rpc_client *client);
/* Sends `token` as bearer token to every URL from now on; NULL: none. Copied. */
SES_CHECKED enum ses_err ses_rpc_client_set_token(struct ses_rpc_client *client, const char *token);
/* `url` as it may be shown and logged: without user and password. */
void ses_rpc_url_text(char out[SES_RPC_URL_TEXT], const char *url);
/* What an answer may be, by method: a registry of 10,000 nodes is 110 MiB, most are below 2 MiB.
 * Its values (a 64th of the bytes) and depth are bounded before it is parsed.
 * *result is a new reference. A JSON-RPC error comes back as its ses_err with the server's text in
 * the note; ERR_UNREACHABLE names the URLs tried; ERR_PEER if the answer is
 * no JSON-RPC; ERR_VERSION if the server does not know the method. Takes `params` (steals the
 * reference). */
SES_CHECKED enum ses_err ses_rpc_call(struct ses_rpc_client *client, const char *method,
                                      json_t *params, json_t **result, struct ses_note *note);

/* ---- JSON forms, both directions ---- */
json_t *ses_json_u64(uint64_t v); /* decimal string */
SES_CHECKED enum ses_err ses_json_get_u64(const json_t *object, const char *key, uint64_t *out,
                                          struct ses_note *note); /* number or decimal string */
/* Readers below: `key` absent or wrong is ERR_INVALID with a note naming the key; output zeroed. */
SES_CHECKED enum ses_err ses_json_get_u32(const json_t *object, const char *key, uint32_t *out,
                                          struct ses_note *note);
SES_CHECKED enum ses_err ses_json_get_bool(const json_t *object, const char *key, bool *out,
                                           struct ses_note *note);
/* Borrowed from `object`. */
SES_CHECKED enum ses_err ses_json_get_text(const json_t *object, const char *key, const char **out,
                                           struct ses_note *note);
/* ERR_INVALID naming the first member of `object` that is not in `keys` (NULL at the end). */
SES_CHECKED enum ses_err ses_json_only(const json_t *object, const char *const *keys,
                                       struct ses_note *note);
json_t *ses_json_hex(const void *bytes, size_t len);
SES_CHECKED enum ses_err ses_json_get_hex(const json_t *object, const char *key, void *out,
                                          size_t len, struct ses_note *note);
/* Hex of any length up to `max` bytes, appended to `out`. */
SES_CHECKED enum ses_err ses_json_get_bytes(const json_t *object, const char *key,
                                            struct ses_buf *out, size_t max, struct ses_note *note);
json_t *ses_json_node_id(const struct ses_node_id *node_id);
json_t *ses_json_account(const struct ses_account *account);
SES_CHECKED enum ses_err ses_json_get_node_id(const json_t *object, const char *key,
                                              struct ses_node_id *out, struct ses_note *note);
SES_CHECKED enum ses_err ses_json_get_account(const json_t *object, const char *key,
                                              struct ses_account *out, struct ses_note *note);
json_t *ses_json_swarm(uint32_t swarm); /* a number; null for SES_SWARM_NONE */
json_t *ses_json_keys(const struct ses_node_keys *keys);
json_t *ses_json_endpoint(const struct ses_endpoint *endpoint); /* addresses as hex */
json_t *ses_json_tx(const struct ses_tx *tx);
/* The block with its transactions decoded; ERR_MALFORMED for bytes that are no block. */
SES_CHECKED enum ses_err ses_json_block(json_t **out, const uint8_t *bytes, size_t len,
                                        struct ses_note *note);

struct ses_chain_head {
    struct ses_hash chain_id;
    struct ses_hash block_id;
    struct ses_hash state_root;
    uint64_t height;
    uint64_t timestamp;
    uint64_t epoch;
};
json_t *ses_json_head(const struct ses_chain_head *head);
json_t *ses_json_node(const struct ses_node *node, const struct ses_node_keys *keys,
                      const struct ses_endpoint *endpoint); /* keys, endpoint may be NULL */
SES_CHECKED enum ses_err ses_json_read_node(const json_t *json, struct ses_node *node,
                                            struct ses_note *note);
json_t *ses_json_epoch(const struct ses_epoch *epoch);
SES_CHECKED enum ses_err
ses_json_read_epoch(const json_t *json, struct ses_epoch *epoch,
                    struct ses_note *note); /* canonical roots are dropped */
json_t *ses_json_committed(const struct ses_committed *c);
SES_CHECKED enum ses_err ses_json_read_committed(const json_t *json, struct ses_committed *c,
                                                 struct ses_note *note);
json_t *ses_json_duty(const struct ses_duty *duty);
SES_CHECKED enum ses_err ses_json_read_duty(const json_t *json, struct ses_duty *duty,
                                            struct ses_note *note);
json_t *ses_json_judgement(const struct ses_judgement *j);
SES_CHECKED enum ses_err ses_json_read_judgement(const json_t *json, struct ses_judgement *j,
                                                 struct ses_note *note);
json_t *ses_json_params(const struct ses_params *params, uint64_t genesis_timestamp,
                        const char *network_name, const struct ses_hash *chain_id);
/* {epoch, seed, registryRoot, numSwarms, rows: [...]} */
struct ses_json_registry {
    uint64_t epoch;
    struct ses_hash seed;
    struct ses_hash root;
    uint32_t num_swarms;
};
json_t *ses_json_registry(const struct ses_json_registry *header); /* with an empty "rows" array */
json_t *ses_json_registry_row(const struct ses_registry_row *row, const struct ses_node_keys *keys,
                              const struct ses_endpoint *endpoint);

/* ---- typed chain calls (sessionvm.*), blocking ---- */
struct ses_chain_params {
    struct ses_params params;
    uint64_t genesis_timestamp;
    struct ses_hash chain_id;
    char network_name[64];
};
SES_CHECKED enum ses_err ses_chain_get_head(struct ses_rpc_client *c, struct ses_chain_head *out,
                                            struct ses_note *note);
SES_CHECKED enum ses_err ses_chain_get_params(struct ses_rpc_client *c,
                                              struct ses_chain_params *out, struct ses_note *note);
struct ses_chain_account {
    uint64_t balance;
    uint64_t nonce;         /* of the last accepted transaction, 0 before the first */
    uint64_t pending_nonce; /* counting those that wait: the next transaction carries it + 1 */
    bool has_key;           /* the chain knows the account's key: auth kind KNOWN is enough */
};
SES_CHECKED enum ses_err ses_chain_get_account(struct ses_rpc_client *c,
                                               const struct ses_account *account,
                                               struct ses_chain_account *out,
                                               struct ses_note *note);
SES_CHECKED enum ses_err ses_chain_get_node(struct ses_rpc_client *c,
                                            const struct ses_node_id *node_id, struct ses_node *out,
                                            struct ses_note *note);
/* Rows changed after `since_epoch` (UINT64_MAX: all), each handed to `each`; *header of the
 * snapshot. */
SES_CHECKED enum ses_err ses_chain_get_registry(
    struct ses_rpc_client *c, uint64_t since_epoch, struct ses_json_registry *header,
    enum ses_err (*each)(void *cookie, const struct ses_registry_row *row,
                         const struct ses_node_keys *keys, const struct ses_endpoint *endpoint),
    void *cookie, struct ses_note *note);
SES_CHECKED enum ses_err ses_chain_get_epoch(struct ses_rpc_client *c, uint64_t epoch,
                                             struct ses_epoch *out, struct ses_note *note);
/* All commitments for a swarm in an epoch, by node_id; room for `max`, more are ERR_TOO_LARGE. */
SES_CHECKED enum ses_err ses_chain_get_commitments(struct ses_rpc_client *c, uint32_t swarm,
                                                   uint64_t epoch, struct ses_committed *out,
                                                   uint32_t max, uint32_t *cnt,
                                                   struct ses_note *note);
/* What a node owes in the running epoch, and its misses and warnings in up to 168 epochs before,
 * newest first. */
struct ses_chain_challenges {
    struct ses_duty duty;
    uint32_t history_cnt;
    struct ses_judgement history[SES_UPTIME_WINDOW];
};
SES_CHECKED enum ses_err ses_chain_get_challenges(struct ses_rpc_client *c,
                                                  const struct ses_node_id *node_id,
                                                  uint32_t epochs, struct ses_chain_challenges *out,
                                                  struct ses_note *note);
SES_CHECKED enum ses_err ses_chain_submit(struct ses_rpc_client *c, const uint8_t *tx, size_t len,
                                          struct ses_hash *tx_id, struct ses_note *note);
/* ERR_NOT_FOUND while it is not in an accepted block. */
SES_CHECKED enum ses_err ses_chain_get_tx_height(struct ses_rpc_client *c,
                                                 const struct ses_hash *tx_id, uint64_t *height,
                                                 struct ses_note *note);

#endif
