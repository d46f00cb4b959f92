/* rpc, inside: what its files share. */
#ifndef SES_RPC_INTERNAL_H
#define SES_RPC_INTERNAL_H

#include <pthread.h>
#include <sys/socket.h>

#include "rpc/rpc.h"

/* JSON text of `json` appended to `out` with a NUL behind it that does not count. */
SES_CHECKED enum ses_err ses_json_dump(struct ses_buf *out, const json_t *json);

SES_CHECKED enum ses_err ses_json_get_swarm(const json_t *object, const char *key, uint32_t *out,
                                            struct ses_note *note);
SES_CHECKED enum ses_err ses_json_get_status(const json_t *object, const char *key,
                                             enum ses_node_status *out, struct ses_note *note);
SES_CHECKED enum ses_err ses_json_read_keys(const json_t *object, struct ses_node_keys *keys,
                                            struct ses_note *note);
SES_CHECKED enum ses_err ses_json_read_endpoint(const json_t *object, const char *key,
                                                struct ses_endpoint *endpoint,
                                                struct ses_note *note);
SES_CHECKED enum ses_err ses_json_read_registry_row(const json_t *json,
                                                    struct ses_registry_row *row,
                                                    struct ses_node_keys *keys,
                                                    struct ses_endpoint *endpoint,
                                                    struct ses_note *note);

/* ERR_PEER with a note for an answer that does not read as it should. */
SES_CHECKED enum ses_err ses_rpc_blame(enum ses_err err, const char *method, struct ses_note *note);

/* The error that a JSON-RPC code stands for, and back. */
int ses_rpc_code_of(enum ses_err err);
enum ses_err ses_rpc_err_of(int64_t code);

/* "127.0.0.1:9652", "[::1]:0", "localhost:80" -> a listening socket and whether it is loopback. */
SES_CHECKED enum ses_err ses_rpc_listen(int *out_fd, uint16_t *out_port, bool *out_loopback,
                                        const char *listen, struct ses_note *note);
bool ses_rpc_is_loopback(const struct sockaddr *address);

/* Connections by address (guests.c); any thread. A check that may be out of date by as many
 * connections as there are threads: all together are limited by the server itself. */
#define SES_RPC_CONNECTIONS_MAX 512u
struct ses_rpc_guests {
    pthread_mutex_t lock;
    uint32_t each_max;
    uint32_t cnt;
    struct ses_rpc_guest {
        uint8_t key[16];
        uint32_t cnt;
    } list[SES_RPC_CONNECTIONS_MAX];
};
void ses_rpc_guests_init(struct ses_rpc_guests *guests, uint32_t each_max);
void ses_rpc_guests_free(struct ses_rpc_guests *guests);
/* May this address connect once more? Loopback always may. */
bool ses_rpc_guest_may(struct ses_rpc_guests *guests, const struct sockaddr *address);
void ses_rpc_guest_enter(struct ses_rpc_guests *guests, const struct sockaddr *address);
void ses_rpc_guest_leave(struct ses_rpc_guests *guests, const struct sockaddr *address);

/* NULL, or why a text is not parsed: depth and number of values of what may not even be JSON. */
const char *ses_json_bounds(const char *text, size_t len, size_t value_max);

/* Whether the headers `host` and `origin` (NULL: absent) are allowed; see ses_rpc_server_params. */
bool ses_rpc_host_ok(const char *host, bool loopback);
bool ses_rpc_origin_ok(const char *origin, const char *host);
bool ses_rpc_content_type_ok(const char *type);
bool ses_rpc_path_ok(const char *path);

#endif
