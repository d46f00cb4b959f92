/* Inside the vm.
 *
 *   entries.c   state key -> value, a hash table      state.c     layers of state, typed access
 *   genesis.c   JSON -> genesis                       rules.c     transactions: checks and effects
 *   duty.c      transactions 5 to 9: checks, effects  duty_state.c  what the state keeps of them
 *   epoch.c     the epoch transition in steps         rows.c      registry snapshot rows
 *   judge.c     steps 2 and 1: who missed, what for   tests.c     who tests whom in the epoch
 *   store.c     what is kept in the host's database   vm.c        open, accept, reject
 *   block.c     parse, verify, the tree of undecided  build.c     build, wants_block
 *   mempool.c   pending transactions                  query.c     everything that is asked
 *   duty_pool.c pending transactions of nodes         query_duty.c  ... about duties
 */
#ifndef SES_VM_INTERNAL_H
#define SES_VM_INTERNAL_H

#include <string.h>

#include "vm/vm.h"

/* ---- state keys: u8 table, id (docs/protocol.md, State keys) ---- */
enum ses_state_table {
    SES_STATE_ACCOUNT = 0x01,     /* account 20 -> balance u64, nonce u64, u8 key known */
    SES_STATE_ACCOUNT_KEY = 0x02, /* account 20 -> ML-DSA public key */
    SES_STATE_NODE = 0x03,        /* node_id 20 -> ServiceNode record */
    SES_STATE_NODE_KEYS = 0x04,   /* node_id 20 -> keys */
    SES_STATE_ENDPOINT = 0x05,    /* node_id 20 -> endpoint */
    SES_STATE_KEYS_HASH = 0x06,   /* node_id 20 -> BLAKE3(keys || endpoint) */
    SES_STATE_EPOCH = 0x07,       /* -> record of the current epoch */
    SES_STATE_TOTALS = 0x08,      /* -> bonded u64, burned u64 */
    SES_STATE_COMMITMENT = 0x09,  /* node_id 20, u8 epoch mod 3 -> commitment */
    SES_STATE_RESPONSE = 0x0A,    /* node_id 20 -> what its last response said */
    SES_STATE_DEMANDS = 0x0B,     /* node_id 20, u8 epoch mod 2 -> demands accepted in the epoch */
    SES_STATE_TURNS = 0x0C,       /* node_id 20 -> last rotation of the key and of the endpoint */
};
#define SES_STATE_KEY_MAX 31u
struct ses_state_key {
    uint8_t len;
    uint8_t bytes[SES_STATE_KEY_MAX];
};
struct ses_state_key ses_state_key(enum ses_state_table table, const uint8_t id[20]);
struct ses_state_key ses_state_key_slot(enum ses_state_table table, const uint8_t id[20],
                                        uint8_t slot);
struct ses_state_key ses_state_key_single(enum ses_state_table table);
/* Large values that blocks seldom read are not kept in memory once accepted. */
bool ses_state_key_cold(const struct ses_state_key *key);

/* ---- entries.c: a hash table in insertion order ---- */
struct ses_entry {
    struct ses_state_key key;
    bool removed;
    uint32_t value_len;
    uint8_t *value; /* owned */
};
struct ses_entries {
    struct ses_entry *list;
    uint32_t cnt;
    uint32_t cap;
    uint32_t *slots; /* index + 1 */
    uint32_t slot_cnt;
};
void ses_entries_free(struct ses_entries *e);
struct ses_entry *ses_entries_find(const struct ses_entries *e, const struct ses_state_key *key);
/* Room for `more` new keys: the next so many puts of values cannot run out of slots. */
SES_CHECKED enum ses_err ses_entries_reserve(struct ses_entries *e, uint32_t more);
SES_CHECKED enum ses_err ses_entries_put(struct ses_entries *e, const struct ses_state_key *key,
                                         const void *value, size_t len);
/* Takes `value`; room must be reserved. A removed entry deletes the value but keeps its slot. */
void ses_entries_take(struct ses_entries *e, const struct ses_state_key *key, uint8_t *value,
                      uint32_t len, bool removed);

/* ---- state.c ---- */
struct ses_layer {
    const struct ses_layer *parent; /* NULL: the accepted state */
    const struct ses_kv *kv;        /* where the cold values of the accepted state are */
    struct ses_entries entries;
};
/* Borrowed until the layer changes; NULL if absent. Not for cold tables. */
const uint8_t *ses_state_hot(const struct ses_layer *layer, const struct ses_state_key *key,
                             size_t *len);
/* Appends a value of any table; ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_state_load(const struct ses_layer *layer,
                                        const struct ses_state_key *key, struct ses_buf *out);
/* Writes nothing if a hot value is as before. */
SES_CHECKED enum ses_err ses_state_put(struct ses_layer *layer, const struct ses_state_key *key,
                                       const void *value, size_t len);
/* Nothing happens if it is absent. Not for cold tables. */
SES_CHECKED enum ses_err ses_state_remove(struct ses_layer *layer, const struct ses_state_key *key);

struct ses_account_state {
    uint64_t balance;
    uint64_t nonce; /* of the last transaction; 0: none */
    bool has_key;
};
#define SES_ACCOUNT_STATE_BYTES 17u
/* Zeros for an account that never was. */
void ses_account_load(const struct ses_layer *layer, const struct ses_account *account,
                      struct ses_account_state *out);
SES_CHECKED enum ses_err ses_account_store(struct ses_layer *layer,
                                           const struct ses_account *account,
                                           const struct ses_account_state *state);
SES_CHECKED enum ses_err ses_account_key_load(const struct ses_layer *layer,
                                              const struct ses_account *account,
                                              struct ses_dsa_pk *out);
/* false if the state has no such node */
bool ses_node_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                   struct ses_node *out);
SES_CHECKED enum ses_err ses_node_store(struct ses_layer *layer, const struct ses_node *node);
SES_CHECKED enum ses_err ses_node_keys_store(struct ses_layer *layer,
                                             const struct ses_node_id *node_id,
                                             const struct ses_node_keys *keys,
                                             const struct ses_endpoint *endpoint);
SES_CHECKED enum ses_err ses_node_keys_load(const struct ses_layer *layer,
                                            const struct ses_node_id *node_id,
                                            struct ses_node_keys *keys,
                                            struct ses_endpoint *endpoint);
/* Its signing key alone. */
SES_CHECKED enum ses_err ses_node_dsa_load(const struct ses_layer *layer,
                                           const struct ses_node_id *node_id,
                                           struct ses_dsa_pk *out);
bool ses_keys_hash_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                        struct ses_hash *out);
struct ses_totals {
    uint64_t bonded;
    uint64_t burned;
};
void ses_totals_load(const struct ses_layer *layer, struct ses_totals *out);
SES_CHECKED enum ses_err ses_totals_store(struct ses_layer *layer, const struct ses_totals *totals);

/* ---- duty_state.c ---- */
#define SES_COMMITMENT_EPOCHS 3u
/* false unless the node committed in just that epoch, and it is not longer ago than three */
bool ses_committed_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                        uint64_t epoch, struct ses_committed *out);
SES_CHECKED enum ses_err ses_committed_store(struct ses_layer *layer,
                                             const struct ses_committed *committed);
struct ses_response_state {
    uint64_t epoch;
    uint64_t free;
    uint64_t used;
    uint8_t shown; /* bit i: owed opening i */
    uint8_t verdict_cnt;
    uint8_t verdicts[SES_VERDICT_BYTES_MAX];
};
/* false unless the node responded in just that epoch */
bool ses_response_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                       uint64_t epoch, struct ses_response_state *out);
SES_CHECKED enum ses_err ses_response_store(struct ses_layer *layer,
                                            const struct ses_node_id *node_id,
                                            const struct ses_response_state *response);
/* Demands accepted in just that epoch, in order; their count. */
uint32_t ses_demands_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                          uint64_t epoch, struct ses_owed out[SES_DEMANDS_MAX]);
SES_CHECKED enum ses_err ses_demands_store(struct ses_layer *layer,
                                           const struct ses_node_id *node_id, uint64_t epoch,
                                           const struct ses_owed *demands, uint32_t cnt);
struct ses_turns {
    bool rotated, prev_listed; /* the key: ever; and its predecessor is still listed */
    bool moved;                /* the endpoint: ever */
    uint64_t key_epoch;
    uint64_t endpoint_epoch;
    uint64_t sequence;
};
/* Zeros for a node that never did either. */
void ses_turns_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                    struct ses_turns *out);
SES_CHECKED enum ses_err ses_turns_store(struct ses_layer *layer, const struct ses_node_id *node_id,
                                         const struct ses_turns *turns);
/* All of the above of a node that has retired. */
SES_CHECKED enum ses_err ses_duty_forget(struct ses_layer *layer,
                                         const struct ses_node_id *node_id);

/* false on overflow */
static inline bool ses_add_u64(uint64_t *sum, uint64_t more)
{
    return !__builtin_add_overflow(*sum, more, sum);
}
/* false if `less` is more than there is */
static inline bool ses_sub_u64(uint64_t *rest, uint64_t less)
{
    return !__builtin_sub_overflow(*rest, less, rest);
}

/* ---- genesis.c ---- */
struct ses_genesis_allocation {
    struct ses_account account;
    uint64_t amount;
};
struct ses_genesis_node {
    struct ses_account owner;
    struct ses_node_id node_id;
    struct ses_node_keys keys;
    struct ses_endpoint endpoint;
    uint64_t stake;
    uint64_t capacity;
};
struct ses_genesis {
    char network_name[64];
    uint64_t timestamp;
    struct ses_params params;
    struct ses_genesis_allocation *allocations; /* sorted by account, unique */
    uint32_t allocation_cnt;
    struct ses_genesis_node *nodes; /* sorted by node_id, unique */
    uint32_t node_cnt;
    uint64_t supply; /* allocations and stakes */
    struct ses_hash chain_id;
};
SES_CHECKED enum ses_err ses_genesis_parse(struct ses_genesis *out, const uint8_t *json, size_t len,
                                           struct ses_note *note);
void ses_genesis_free(struct ses_genesis *g);

/* ---- rows.c: the registry snapshot of an epoch ---- */
struct ses_row {
    struct ses_registry_row row;
    struct ses_hash hash;
    uint64_t changed_epoch;
};
struct ses_rows {
    uint32_t ref_cnt;
    uint32_t cnt;
    struct ses_row *rows; /* by node_id */
};
SES_CHECKED enum ses_err ses_rows_new(struct ses_rows **out, uint32_t cnt);
struct ses_rows *ses_rows_ref(struct ses_rows *rows);
void ses_rows_unref(struct ses_rows *rows);
/* Sets rows[i].hash and changed_epoch: those of `before` if nothing changed, else `epoch`. */
void ses_rows_settle(struct ses_rows *rows, const struct ses_rows *before, uint64_t epoch);
void ses_row_write(struct ses_writer *w, const struct ses_row *row);
void ses_row_read(struct ses_reader *r, struct ses_row *row);
#define SES_ROW_BYTES (20u + 20u + 1u + 4u + 4u + 8u + 32u + 8u)

/* ---- tests.c: who tests whom, shared by the blocks of an epoch like its rows ---- */
#define SES_TESTS_NONE UINT32_MAX
struct ses_tests {
    uint32_t ref_cnt;
    uint32_t order_cnt;
    uint32_t *order; /* positions -> index into the epoch's rows */
    uint32_t offset_cnt;
    uint32_t *offsets;
    uint32_t row_cnt;
    uint32_t *position; /* rows -> position, SES_TESTS_NONE */
    uint32_t stride;    /* bytes of verdicts of a node */
    uint8_t *counts;    /* by position: bit j is 1 where the pair counts */
};
/* From seats parallel to the rows; their ranks are scratch. */
SES_CHECKED enum ses_err ses_tests_new(struct ses_tests **out, struct ses_membership *m,
                                       const struct ses_hash *seed, uint64_t testers);
/* The same from the rows of the epoch: when a database is opened. */
SES_CHECKED enum ses_err ses_tests_of_rows(struct ses_tests **out, const struct ses_rows *rows,
                                           uint32_t num_swarms, const struct ses_hash *seed,
                                           uint64_t testers);
struct ses_tests *ses_tests_ref(struct ses_tests *tests);
void ses_tests_unref(struct ses_tests *tests);
/* Encoded plan (docs/protocol.md, Database). */
SES_CHECKED enum ses_err ses_tests_write(struct ses_buf *out, const struct ses_tests *tests,
                                         const struct ses_membership *m);
static inline bool ses_tests_counts(const struct ses_tests *tests, uint32_t position, uint32_t j)
{
    return (tests->counts[(size_t)position * tests->stride + j / 8] >> (j % 8) & 1) != 0;
}
/* Index of the node's row; SES_TESTS_NONE. */
uint32_t ses_rows_find(const struct ses_rows *rows, const struct ses_node_id *node_id);

/* ---- the point that a block stands on, or leaves behind ---- */
struct ses_tip {
    struct ses_hash id;
    struct ses_hash state_root;
    uint64_t height;
    uint64_t timestamp;
    struct ses_epoch epoch;      /* without canonical roots */
    const struct ses_trie *trie; /* owned reference */
    struct ses_rows *rows;       /* owned reference */
    struct ses_tests *tests;     /* owned reference; parallel to rows */
    struct ses_layer *layer;     /* not owned */
};
/* What a transition leaves behind for the database. */
struct ses_new_epoch {
    bool ran;
    struct ses_buf record;   /* encoded epoch record */
    struct ses_buf testers;  /* encoded tester plan */
    uint64_t judged_epoch;   /* of the list below; nothing is kept while it is empty */
    struct ses_buf judged;   /* u32 judged, u32 in the list, judgements */
    struct ses_entries keys; /* node_id (20 bytes) -> keys || endpoint of rows whose keys changed */
};
void ses_new_epoch_free(struct ses_new_epoch *e);

enum ses_block_status { SES_BLOCK_PARSED, SES_BLOCK_VERIFIED, SES_BLOCK_ORPHAN };
struct ses_undecided {
    struct ses_undecided *next; /* newest first */
    enum ses_block_status status;
    struct ses_block block;
    struct ses_buf bytes;
    struct ses_buf tx_ids; /* 32 bytes for each transaction, in order */
    /* once verified: */
    struct ses_undecided *parent; /* NULL: the last accepted block */
    struct ses_layer layer;
    struct ses_tip tip;
    struct ses_new_epoch epoch;
};

/* ---- mempool.c ---- */
/* What the rules of a transaction need, without its bulk. */
struct ses_tx_facts {
    enum ses_tx_type type;
    struct ses_account payer;
    uint64_t nonce;
    uint64_t fee;
    uint64_t amount; /* transfer, top-up, stake */
    struct ses_node_id node_id;
    bool shows_key;
    uint64_t epoch;                  /* commitment, response, rotation; a receipt's admit_epoch */
    uint64_t sequence;               /* endpoint */
    struct ses_receipt_leaf receipt; /* demand */
};
void ses_tx_facts_of(struct ses_tx_facts *out, const struct ses_tx *tx);
/* amount the payer must have; false on overflow */
bool ses_tx_cost(const struct ses_tx_facts *facts, uint64_t *cost);

struct ses_pool_account;
struct ses_pool_tx {
    struct ses_pool_tx *next_by_id;
    struct ses_pool_tx *next_nonce;
    struct ses_pool_account *account;
    struct ses_tx_facts facts;
    struct ses_hash id;
    struct ses_pool_tx *next_duty; /* duties only, in the order of arrival */
    struct ses_pool_tx *prev_duty;
    struct ses_pool_tx *next_by_node;
    uint64_t seq; /* order of arrival */
    uint64_t cost;
    size_t len;
    uint8_t bytes[];
};
struct ses_pool_account {
    struct ses_pool_account *next_by_key;
    struct ses_account account;
    struct ses_pool_tx *first;
    struct ses_pool_tx *last;
    uint32_t tx_cnt;
    uint64_t cost; /* of all its transactions */
    uint32_t at;   /* in accounts[] */
};
#define SES_POOL_BUCKETS 16384u
struct ses_mempool {
    struct ses_pool_tx *by_id[SES_POOL_BUCKETS];
    struct ses_pool_account *by_account[SES_POOL_BUCKETS];
    struct ses_pool_account *accounts[SES_VM_MEMPOOL_TXS_MAX];
    uint32_t account_cnt;
    uint32_t tx_cnt;
    uint64_t bytes;
    uint64_t seq;
    struct ses_pool_tx *by_node[SES_POOL_BUCKETS]; /* duties */
    struct ses_pool_tx *first_duty;
    struct ses_pool_tx *last_duty;
    uint32_t duty_cnt;
    uint64_t duty_bytes;
};
void ses_pool_free(struct ses_mempool *pool);
struct ses_pool_tx *ses_pool_find(const struct ses_mempool *pool, const struct ses_hash *id);
struct ses_pool_account *ses_pool_account(const struct ses_mempool *pool,
                                          const struct ses_account *account);
/* `tx` continues its account's run. */
SES_CHECKED enum ses_err ses_pool_add(struct ses_mempool *pool, const struct ses_tx *tx,
                                      const struct ses_tx_facts *facts, uint64_t cost);
/* Whether a pending registration names the node. */
bool ses_pool_registers(const struct ses_mempool *pool, const struct ses_node_id *node_id);
/* Drops `tx` and what follows it in its account's run. */
void ses_pool_drop_from(struct ses_mempool *pool, struct ses_pool_tx *tx);
/* Drops the first transaction of a run. */
void ses_pool_drop_first(struct ses_mempool *pool, struct ses_pool_account *account);
/* Pending demands of a node. */
uint32_t ses_pool_demands(const struct ses_mempool *pool, const struct ses_node_id *node_id);
/* ---- duty_pool.c: transactions 5 to 8, one of each type for a node ---- */
struct ses_pool_tx *ses_duty_pool_find(const struct ses_mempool *pool,
                                       const struct ses_node_id *node_id, enum ses_tx_type type);
/* There is none of the node and type yet. ERR_FULL, ERR_MEMORY. */
SES_CHECKED enum ses_err ses_duty_pool_add(struct ses_mempool *pool, const struct ses_tx *tx,
                                           const struct ses_tx_facts *facts);
void ses_duty_pool_drop(struct ses_mempool *pool, struct ses_pool_tx *tx);
void ses_pool_id_add(struct ses_mempool *pool, struct ses_pool_tx *tx);
void ses_pool_id_remove(struct ses_mempool *pool, struct ses_pool_tx *tx);

/* Makes room for `bytes` of fee `fee`: drops ends of runs that pay less. ERR_FULL and the least fee
 * that would do. */
SES_CHECKED enum ses_err ses_pool_make_room(struct ses_mempool *pool,
                                            const struct ses_account *payer, size_t bytes,
                                            uint64_t fee, uint64_t *least_fee);

/* Heads of runs, dearest first, for a builder: begin, then take the best and go on behind it. */
struct ses_pool_cursor {
    struct ses_pool_tx **heap;
    uint32_t cnt;
};
SES_CHECKED enum ses_err ses_pool_cursor_init(struct ses_pool_cursor *c,
                                              const struct ses_mempool *pool);
struct ses_pool_tx *ses_pool_cursor_take(struct ses_pool_cursor *c);
/* The successor of a taken transaction becomes eligible. */
void ses_pool_cursor_follow(struct ses_pool_cursor *c, struct ses_pool_tx *taken);
void ses_pool_cursor_free(struct ses_pool_cursor *c);

/* ---- the vm ---- */
#define SES_VERIFIED_SLOTS 32768u
struct ses_vm {
    struct ses_kv kv;
    const struct ses_clock *clock;
    const struct ses_parallel *parallel;
    const struct ses_log *log;
    char network_name[64];
    uint64_t genesis_timestamp;
    struct ses_params params;
    struct ses_hash chain_id;
    struct ses_trie_pool *trie_pool;
    struct ses_layer base;        /* the accepted state: hot values only */
    struct ses_tip tip;           /* the last accepted block */
    struct ses_node_id *node_ids; /* of the accepted state, sorted */
    uint32_t node_cnt;
    uint32_t node_cap;
    struct ses_undecided *undecided;
    uint32_t verified_cnt;
    uint32_t parsed_cnt;
    struct ses_undecided *preferred; /* NULL: the last accepted block */
    struct ses_mempool pool;
    struct ses_hash verified[SES_VERIFIED_SLOTS]; /* ids whose signatures hold, by their bits */
};
bool ses_verified_has(const struct ses_vm *vm, const struct ses_hash *tx_id);
void ses_verified_add(struct ses_vm *vm, const struct ses_hash *tx_id);

static inline uint64_t ses_vm_epoch_of(const struct ses_vm *vm, uint64_t timestamp)
{
    return timestamp <= vm->genesis_timestamp
               ? 0
               : (timestamp - vm->genesis_timestamp) / vm->params.epoch_seconds;
}
/* T_e; saturates */
uint64_t ses_vm_epoch_start(const struct ses_vm *vm, uint64_t epoch);

/* ---- rules.c: transactions 1 to 4 and 9; duty.c: 5 to 8. `now` is the block that executes, its
 * layer the state above which it stands ---- */
/* Fee, membership, stake and status of one transaction, without nonce and balance. */
SES_CHECKED enum ses_err ses_rules_check(const struct ses_vm *vm, const struct ses_tip *now,
                                         const struct ses_tx_facts *facts, struct ses_note *note);
/* What the openings of a response are checked against. */
struct ses_response_context {
    bool has_root;
    struct ses_committed root;
    uint32_t owed_cnt;
    struct ses_owed owed[SES_OWED_MAX];
};
void ses_response_context_of(struct ses_response_context *out, const struct ses_vm *vm,
                             const struct ses_tip *now, const struct ses_node_id *node_id);
/* All checks of a transaction of types 5 to 8 but its signature and its openings. */
SES_CHECKED enum ses_err ses_duty_check(const struct ses_tip *now, const struct ses_tx *tx,
                                        struct ses_note *note);
/* Whether a pending one can never be included above `now` any more. */
bool ses_duty_stale(const struct ses_tip *now, const struct ses_tx_facts *facts);
SES_CHECKED enum ses_err ses_duty_apply(struct ses_layer *layer, const struct ses_tip *now,
                                        const struct ses_tx *tx, uint8_t shown);
SES_CHECKED enum ses_err ses_demand_check(const struct ses_vm *vm, const struct ses_tip *now,
                                          const struct ses_tx_facts *facts, struct ses_note *note);
SES_CHECKED enum ses_err ses_demand_apply(struct ses_layer *layer, const struct ses_tip *now,
                                          const struct ses_tx_demand *demand);
/* All checks but the signatures, then the effects. `shown`: what the openings of a response were
 * found to show; NULL: not checked yet. An error leaves the layer as it was, except ERR_MEMORY,
 * after which the layer must be thrown away. */
SES_CHECKED enum ses_err ses_rules_apply(const struct ses_vm *vm, struct ses_layer *layer,
                                         const struct ses_tip *now, const struct ses_tx *tx,
                                         const uint8_t *shown, struct ses_note *note);
/* Keys that a transaction is verified with, beside those in it. NULL: not known. */
struct ses_known_keys {
    const struct ses_dsa_pk *signer; /* the account of SES_AUTH_KNOWN, the node of types 5 to 8 */
    const struct ses_dsa_pk *node;   /* that signed the receipt of a demand */
};
/* Signatures and keys: depends on nothing but the transaction (an id is the hash of its key). */
SES_CHECKED enum ses_err ses_rules_verify(const struct ses_hash *chain_id, const struct ses_tx *tx,
                                          const struct ses_known_keys *known);

/* ---- epoch.c ---- */
/* Runs the transition from parent to epoch `n` on tip->layer; sets tip->epoch and tip->rows. */
SES_CHECKED enum ses_err ses_epoch_transition(const struct ses_vm *vm, struct ses_tip *tip,
                                              struct ses_new_epoch *out,
                                              const struct ses_tip *parent, uint64_t n);
/* Epoch 0 with block 0: nodes are in tip->layer, tip->rows is NULL. */
SES_CHECKED enum ses_err ses_epoch_genesis(const struct ses_vm *vm, struct ses_tip *tip,
                                           struct ses_new_epoch *out);

/* ---- block.c ---- */
struct ses_undecided *ses_undecided_find(const struct ses_vm *vm, const struct ses_hash *id);
SES_CHECKED enum ses_err ses_undecided_new(struct ses_undecided **out);
void ses_undecided_free(struct ses_vm *vm, struct ses_undecided *u);
/* Id of transaction `index` of the block. */
static inline struct ses_hash ses_undecided_tx_id(const struct ses_undecided *u, uint32_t index)
{
    struct ses_hash id;
    SES_ASSERT((size_t)(index + 1) * 32 <= u->tx_ids.len);
    memcpy(id.bytes, u->tx_ids.bytes + (size_t)index * 32, 32);
    return id;
}
/* Unlinks and frees. */
void ses_undecided_drop(struct ses_vm *vm, struct ses_undecided *u);
/* Starts u->tip above its parent at `timestamp`; runs the transition if there is one. */
SES_CHECKED enum ses_err ses_undecided_begin(struct ses_vm *vm, struct ses_undecided *u,
                                             struct ses_undecided *parent, uint64_t timestamp);
/* Computes u->tip's trie and state root. */
SES_CHECKED enum ses_err ses_undecided_seal(struct ses_vm *vm, struct ses_undecided *u);
void ses_undecided_link(struct ses_vm *vm, struct ses_undecided *u);
const struct ses_tip *ses_parent_tip(const struct ses_vm *vm, const struct ses_undecided *parent);
/* Whether a block at `timestamp` may be without transactions. */
bool ses_empty_allowed(const struct ses_vm *vm, const struct ses_tip *parent, uint64_t timestamp);
SES_CHECKED enum ses_err ses_layer_root(struct ses_vm *vm, struct ses_tip *tip,
                                        const struct ses_trie *base);

/* ---- store.c ---- */
enum ses_ledger_table {
    SES_STORE_FORMAT = 'f',   /* -> u32 format, chain id */
    SES_STORE_HEAD = 'h',     /* -> id of the last accepted block */
    SES_STORE_BLOCK = 'b',    /* block id -> bytes */
    SES_STORE_HEIGHT = 'n',   /* u64 -> block id */
    SES_STORE_TX = 't',       /* tx id -> block id, u64 height, u32 index */
    SES_STORE_EPOCH = 'e',    /* u64 -> epoch record */
    SES_STORE_TESTERS = 'p',  /* u64 -> tester plan */
    SES_STORE_JUDGED = 'j',   /* u64 -> misses and warnings of a judged epoch */
    SES_STORE_STATE = 's',    /* state key -> value */
    SES_STORE_ROW = 'r',      /* node_id -> snapshot row */
    SES_STORE_ROW_KEYS = 'k', /* node_id -> keys || endpoint in the snapshot */
};
#define SES_STORE_FORMAT_NUMBER 1u
/* Everything that an accepted block changes, as one batch. */
SES_CHECKED enum ses_err ses_ledger_accept(const struct ses_vm *vm, const struct ses_undecided *u);
SES_CHECKED enum ses_err ses_ledger_get(const struct ses_kv *kv, enum ses_ledger_table table,
                                        const void *id, size_t id_len, struct ses_buf *out);
/* ERR_NOT_FOUND for an empty database. */
SES_CHECKED enum ses_err ses_ledger_open(struct ses_vm *vm, struct ses_note *note);
/* Merges an accepted layer into vm->base and vm->node_ids; room is reserved beforehand. */
SES_CHECKED enum ses_err ses_ledger_reserve(struct ses_vm *vm, const struct ses_layer *layer);
void ses_ledger_merge(struct ses_vm *vm, struct ses_layer *layer);

/* ---- mempool in the vm (submit.c) ---- */
/* After an accepted block: drops what is in it and what no longer holds. */
void ses_pool_recheck(struct ses_vm *vm);

#endif
