/* vm: the registry chain as a state machine, neutral to its host.
 *
 *     host (plugin/) ── parse ─► verify ─► accept | reject        kv: get, has, write_batch,
 * iterate build ─┘                                  clock, verifier pool: handed in
 *
 * No sockets, clocks, threads or files: blocks and time come in, one atomic batch goes out per
 * accepted block. Not thread-safe: the host serialises calls. Verified but undecided blocks are
 * overlays over the last accepted state; kill at any moment leaves the last accepted block.
 */
#ifndef SES_VM_VM_H
#define SES_VM_VM_H

#include "swarm/swarm.h"

/* ---- limits ---- */
#define SES_VM_UNDECIDED_MAX 256u    /* verified blocks; another verify or build: ERR_FULL */
#define SES_VM_PARSED_MAX 64u        /* parsed only; the oldest makes room */
#define SES_VM_MEMPOOL_TXS_MAX 8192u /* then the least fee at the end of a run makes room */
#define SES_VM_MEMPOOL_BYTES_MAX 33554432u
#define SES_VM_MEMPOOL_DUTIES_MAX 65536u /* of nodes, types 5 to 8: beside those above */
#define SES_VM_MEMPOOL_DUTY_BYTES_MAX 134217728u
#define SES_VM_ACCOUNT_PENDING_MAX 64u /* contiguous nonces of one account */
#define SES_VM_CLOCK_AHEAD_S 10u       /* a block's time may be ahead of the clock by this */

/* ---- what the host provides ---- */
struct ses_kv_change {
    const uint8_t *key;
    size_t key_len;
    const uint8_t *value; /* NULL removes */
    size_t value_len;
};
struct ses_kv {
    void *ctx;
    /* Appends the value to `out`; ERR_NOT_FOUND. */
    enum ses_err (*get)(void *ctx, const uint8_t *key, size_t key_len, struct ses_buf *out);
    /* All or nothing, durable when it returns. */
    enum ses_err (*write_batch)(void *ctx, const struct ses_kv_change *changes, size_t cnt);
    /* Keys with the prefix and >= `from` in byte order until `each` returns false. */
    enum ses_err (*iterate)(void *ctx, const uint8_t *prefix, size_t prefix_len,
                            const uint8_t *from, size_t from_len,
                            bool (*each)(void *cookie, const uint8_t *key, size_t key_len,
                                         const uint8_t *value, size_t value_len),
                            void *cookie);
};
/* Runs task(cookie, i) for i in 0..cnt-1, on as many threads as the host likes, and returns when
 * all are done. NULL in the parameters: one after the other. */
struct ses_parallel {
    void *ctx;
    void (*run)(void *ctx, void (*task)(void *cookie, size_t i), void *cookie, size_t cnt);
};
struct ses_vm_params {
    const uint8_t *genesis; /* bytes exactly as the host hands them over; at most 1 MiB */
    size_t genesis_len;
    struct ses_kv kv;
    const struct ses_clock *clock; /* only for: blocks not more than 10 s ahead, building */
    const struct ses_parallel *parallel;
    const struct ses_log *log;
};
#define SES_GENESIS_BYTES_MAX 1048576u

/* A database in memory: for tests, simulators and benchmarks. Batches are atomic like any other's.
 */
struct ses_kv_memory;
SES_CHECKED enum ses_err ses_kv_memory_new(struct ses_kv_memory **out);
void ses_kv_memory_free(struct ses_kv_memory *m);
struct ses_kv ses_kv_memory_kv(struct ses_kv_memory *m); /* valid until freed */
/* The n-th write from now on fails with ERR_IO and changes nothing (0 = never). */
void ses_kv_memory_fail_at(struct ses_kv_memory *m, uint64_t n);

struct ses_vm;
/* Opens the state in `kv`, or writes block 0 into an empty one. ERR_MALFORMED / ERR_CONFIG with a
 * note that names the key of a bad genesis; ERR_CHECKSUM if the database belongs to another
 * genesis; ERR_VERSION for an unknown format number. */
SES_CHECKED enum ses_err ses_vm_new(struct ses_vm **out, const struct ses_vm_params *params,
                                    struct ses_note *note);
void ses_vm_free(struct ses_vm *vm);

/* ---- blocks. Ids name them; the vm keeps parsed, undecided blocks (bounded). ---- */
SES_CHECKED enum ses_err ses_vm_parse(struct ses_vm *vm, const uint8_t *bytes, size_t len,
                                      struct ses_hash *id);
/* Executes on top of its parent, which must be accepted or verified. Idempotent. */
SES_CHECKED enum ses_err ses_vm_verify(struct ses_vm *vm, const struct ses_hash *id,
                                       struct ses_note *note);
/* Must be a verified child of the last accepted block. One atomic write. */
SES_CHECKED enum ses_err ses_vm_accept(struct ses_vm *vm, const struct ses_hash *id);
SES_CHECKED enum ses_err ses_vm_reject(struct ses_vm *vm, const struct ses_hash *id);
SES_CHECKED enum ses_err ses_vm_set_preference(struct ses_vm *vm, const struct ses_hash *id);
/* A block on the preferred one, parsed and verified; ERR_AGAIN if there is nothing to build (no
 * transaction, and no epoch boundary or settle moment passed). */
SES_CHECKED enum ses_err ses_vm_build(struct ses_vm *vm, struct ses_hash *id);
/* Whether build would succeed now; else *next_ms = unix ms at which it may (epoch or settle). */
bool ses_vm_wants_block(const struct ses_vm *vm, uint64_t *next_ms);
/* Bytes of a known block (undecided or accepted). Appends to `out`; ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_vm_block(const struct ses_vm *vm, const struct ses_hash *id,
                                      struct ses_buf *out);
SES_CHECKED enum ses_err ses_vm_block_id_at(const struct ses_vm *vm, uint64_t height,
                                            struct ses_hash *id);

/* ---- transactions ---- */
/* Checks structure, nonce, balance, membership, then signatures; keeps it in the mempool.
 * ERR_EXISTS, NONCE, FUNDS, FEE, STAKE, REGISTERED, NOT_OWNER, STATUS, SIGNATURE, FULL; of types 5
 * to 9 also EPOCH (another one is running), SEAT, WRONG_SWARM, OPENING, CLOCK, CHECKSUM (not the
 * reveal that was promised). The note says what to do ("nonce 5 given, 3 is next"). */
SES_CHECKED enum ses_err ses_vm_submit(struct ses_vm *vm, const uint8_t *bytes, size_t len,
                                       struct ses_hash *tx_id, struct ses_note *note);
struct ses_mempool_info {
    uint32_t tx_cnt;
    uint64_t bytes;
};
void ses_vm_mempool(const struct ses_vm *vm, struct ses_mempool_info *out);
/* Ids of pending transactions; returns how many were written (<= max). */
uint32_t ses_vm_mempool_ids(const struct ses_vm *vm, struct ses_hash *out, uint32_t max);

/* ---- queries: of the last accepted state. Structs are copies. ---- */
struct ses_vm_head {
    struct ses_hash id;
    struct ses_hash state_root;
    uint64_t height;
    uint64_t timestamp;
    uint64_t epoch;
};
void ses_vm_head(const struct ses_vm *vm, struct ses_vm_head *out);
void ses_vm_chain_id(const struct ses_vm *vm, struct ses_hash *out);
void ses_vm_params_of(const struct ses_vm *vm, struct ses_params *params,
                      uint64_t *genesis_timestamp, char network_name[64]);
SES_CHECKED enum ses_err ses_vm_node(const struct ses_vm *vm, const struct ses_node_id *node_id,
                                     struct ses_map_node *keys, struct ses_node *node);
/* In node_id order, from `after` (NULL: the first). `each` returns false to stop. */
SES_CHECKED enum ses_err ses_vm_nodes(const struct ses_vm *vm, const struct ses_node_id *after,
                                      bool (*each)(void *cookie, const struct ses_node *node),
                                      void *cookie);
struct ses_vm_account {
    uint64_t balance;
    uint64_t nonce;
    uint64_t pending_nonce;
    bool has_key;
};
SES_CHECKED enum ses_err ses_vm_account(const struct ses_vm *vm, const struct ses_account *account,
                                        struct ses_vm_account *out);
uint64_t ses_vm_total_bonded(const struct ses_vm *vm);
/* Appends the encoded epoch record (ses_epoch_read). epoch UINT64_MAX: the current one. */
SES_CHECKED enum ses_err ses_vm_epoch(const struct ses_vm *vm, uint64_t epoch, struct ses_buf *out);
/* The registry snapshot of the current epoch: rows (of all, or of those that changed after
 * `since_epoch`; UINT64_MAX: all), with keys and endpoint as of the start of the epoch. */
SES_CHECKED enum ses_err
ses_vm_registry(const struct ses_vm *vm, uint64_t since_epoch,
                bool (*each)(void *cookie, const struct ses_map_node *node), void *cookie);
/* Where an accepted transaction stands: block, index; appends its bytes. */
SES_CHECKED enum ses_err ses_vm_tx(const struct ses_vm *vm, const struct ses_hash *tx_id,
                                   struct ses_hash *block_id, uint64_t *height, uint32_t *index,
                                   struct ses_buf *bytes);
/* Value (empty if absent) and trie proof of a state key under the head's state root. */
SES_CHECKED enum ses_err ses_vm_proof(const struct ses_vm *vm, const uint8_t *state_key,
                                      size_t key_len, bool *present, struct ses_buf *value,
                                      struct ses_buf *proof);

/* Bytes of a pending transaction. Appends; ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_vm_mempool_tx(const struct ses_vm *vm, const struct ses_hash *tx_id,
                                           struct ses_buf *bytes);
/* The tester plan of an epoch (step 6): u32 n, n Active node ids in order, u32 offsets, each u32.
 * Appends; ERR_NOT_FOUND. UINT64_MAX: the current epoch. */
SES_CHECKED enum ses_err ses_vm_testers(const struct ses_vm *vm, uint64_t epoch,
                                        struct ses_buf *out);
/* Whom a node tests in the running epoch: targets[j] is what its verdict bit j is about; counts bit
 * j (least significant first) is 0 where the pair is void, and the verdict bit must be 0 then.
 * *target_cnt 0 for a node that is not in the plan. */
SES_CHECKED enum ses_err ses_vm_tests(const struct ses_vm *vm, const struct ses_node_id *node_id,
                                      struct ses_node_id targets[256], uint32_t *target_cnt,
                                      uint8_t counts[SES_VERDICT_BYTES_MAX]);
/* A commitment of the last three epochs: ERR_NOT_FOUND if there is none, or no more. */
SES_CHECKED enum ses_err ses_vm_commitment(const struct ses_vm *vm,
                                           const struct ses_node_id *node_id, uint64_t epoch,
                                           struct ses_committed *out);
/* All commitments for a swarm in one of the last three epochs, by node_id. */
SES_CHECKED enum ses_err
ses_vm_commitments(const struct ses_vm *vm, uint32_t swarm, uint64_t epoch,
                   bool (*each)(void *cookie, const struct ses_committed *c), void *cookie);
/* What a node owes now and has done, and the demands that it has to answer in the next epoch. */
SES_CHECKED enum ses_err ses_vm_duty(const struct ses_vm *vm, const struct ses_node_id *node_id,
                                     struct ses_duty *out);
/* Misses and warnings of a judged epoch, by node_id, as its successor's transition noted them.
 * ERR_NOT_FOUND if the epoch was not judged. A node that is judged and not in the list passed. */
SES_CHECKED enum ses_err
ses_vm_judgements(const struct ses_vm *vm, uint64_t epoch,
                  bool (*each)(void *cookie, const struct ses_judgement *j), void *cookie);
/* Fees and slashed stake since genesis: balances + stakes + burned = what genesis handed out. */
uint64_t ses_vm_total_burned(const struct ses_vm *vm);

/* ---- genesis as text ----
 * { "networkName": "dev", "timestamp": 1800000000,          name of 1..63 characters, unix seconds
 *   "params": { "epochSeconds": 3600, ... },                any of SES_PARAMS; absent: default
 *   "allocations": [ { "account": "LUX-...", "amount": 5000000000 } ],               nLUX, > 0
 *   "serviceNodes": [ { "owner": "LUX-...", "nodeId": "NodeID-...", "publicKey": "<hex>",
 *                       "encryptionKey": "<hex>", "stake": 100000000000, "capacity": 1099511627776,
 *                       "endpoint": { "peerKey": "<hex 32>", "addrs": [ "<hex multiaddr>" ] } } ] }
 * networkName, timestamp and allocations must be there, params and serviceNodes may be left out;
 * any other key is an error. Stakes come on top of the allocations. */
/* Validates genesis JSON: ERR_MALFORMED / ERR_CONFIG with a note naming the key. */
SES_CHECKED enum ses_err ses_genesis_check(const uint8_t *json, size_t len, struct ses_note *note);

#endif
