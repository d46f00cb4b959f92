/* plugin: hosts of the vm. For now the standalone one: a single producer on an embedded database.
 *
 *     signals ─► main thread        rpc/ threads ─► methods ─┐
 *                                                            ├─ one mutex ─► vm ─► kv (SQLite)
 *                producer thread: build, verify, accept ─────┘        └─► workers
 *
 * Everything that touches the vm holds the host's mutex. Kill at any moment: the database holds the
 * last accepted block. Not started by a host: see main.c for the commands of `sessionvm`.
 */
#ifndef SES_PLUGIN_PLUGIN_H
#define SES_PLUGIN_PLUGIN_H

#include "rpc/rpc.h"
#include "vm/vm.h"

/* ---- the key-value store on SQLite ---- */
struct ses_db;
#define SES_DB_FORMAT 1u
/* Opens or creates `dir` and DIR/chain.db, and locks it against a second process (ERR_IN_USE).
 * ERR_CHECKSUM for a damaged database or one of another program, ERR_VERSION for another format,
 * ERR_NO_SPACE, ERR_PERMISSION, ERR_IO; each with a note. */
SES_CHECKED enum ses_err ses_db_open(struct ses_db **out, const char *dir, struct ses_note *note);
void ses_db_close(struct ses_db *db);
/* One caller at a time. A failed batch leaves the database as it was. */
void ses_db_kv(struct ses_db *db, struct ses_kv *out);

/* ---- threads for signatures ---- */
struct ses_workers;
/* `threads` 0: one per processor, at most 8. The caller of run() works too. */
SES_CHECKED enum ses_err ses_workers_new(struct ses_workers **out, uint32_t threads);
void ses_workers_free(struct ses_workers *workers);
/* run() has one caller at a time. */
const struct ses_parallel *ses_workers_parallel(const struct ses_workers *workers);

/* ---- the standalone host ---- */
struct ses_host;
struct ses_host_params {
    const uint8_t *genesis; /* borrowed for the host's life */
    size_t genesis_len;
    const char *data_dir;
    const char *rpc_listen; /* NULL: no server (tests) */
    uint32_t rpc_threads;
    uint32_t rpc_per_address; /* 0: the default */
    const struct ses_clock *clock;
    const struct ses_log *log; /* may be NULL */
};
/* Opens the database, brings up the vm, the server and the producer. */
SES_CHECKED enum ses_err ses_host_new(struct ses_host **out, const struct ses_host_params *params,
                                      struct ses_note *note);
uint16_t ses_host_port(const struct ses_host *host);
/* Finishes the block in work, answers the calls in work, closes the database. */
void ses_host_free(struct ses_host *host);
/* The JSON-RPC methods, ending with a zero entry; their cookie is the host. */
const struct ses_rpc_method *ses_host_methods(void);

/* ---- other commands ---- */
/* JSON of the bytes of a "tx", "block", "epoch", "node" or "genesis"; kind NULL: whatever fits. */
SES_CHECKED enum ses_err ses_decode(json_t **out, const char *kind, const struct ses_buf *bytes,
                                    struct ses_note *note);
struct ses_genesis_options {
    const char *network_name;
    const char *timestamp;          /* unix seconds or "now" */
    const char *const *allocations; /* ACCOUNT=LUX, "LUX-...=1000.5" */
    size_t allocation_cnt;
    const char *const *params; /* key=value */
    size_t param_cnt;
    const char *const *node_files; /* each a JSON object of a service node */
    size_t node_file_cnt;
};
/* Genesis JSON text appended to `out`, checked by the vm's own rules. ERR_CONFIG. */
SES_CHECKED enum ses_err ses_genesis_make(struct ses_buf *out,
                                          const struct ses_genesis_options *options,
                                          const struct ses_clock *clock, struct ses_note *note);

#endif
