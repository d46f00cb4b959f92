/* What the chain knows about service nodes, and what a snapshot of the registry says of them. */
#ifndef SES_PROTOCOL_NODE_H
#define SES_PROTOCOL_NODE_H

#include "crypto/crypto.h"

#define SES_MULTIADDR_MAX 128u
#define SES_ENDPOINT_ADDRS_MAX 8u
#define SES_ENDPOINT_BYTES_MAX 512u

/* `endpoint` of the registry page: Ed25519 key 32, u8 n <= 8, n x (u16 len, multiaddr). Kept in its
 * encoded form; validated on decoding (a length, not the multiaddr's meaning: network does that).
 */
struct ses_endpoint {
    struct ses_ed25519_pk peer_key;
    uint8_t addr_cnt;
    struct {
        uint16_t len;
        uint8_t bytes[SES_MULTIADDR_MAX];
    } addrs[SES_ENDPOINT_ADDRS_MAX];
};
void ses_endpoint_write(struct ses_writer *w, const struct ses_endpoint *e);
void ses_endpoint_read(struct ses_reader *r, struct ses_endpoint *e);

#define SES_SWARM_NONE 0xFFFFFFFFu
enum ses_node_status {
    SES_NODE_ACTIVE = 1,
    SES_NODE_DECOMMISSIONING = 2,
    SES_NODE_RETIRED = 3,
};
const char *ses_node_status_text(enum ses_node_status status); /* "active", ... */

#define SES_UPTIME_WINDOW 168u
/* The ServiceNode record of the state (registry page), without keys and endpoint. */
struct ses_node {
    struct ses_node_id node_id;
    struct ses_account owner;
    uint64_t stake;     /* nLUX */
    uint64_t principal; /* nLUX: registration and top-ups */
    uint32_t swarm;
    uint32_t prev_swarm;
    uint64_t swarm_from_epoch;
    struct ses_hash next_commit; /* zeros if none */
    enum ses_node_status status;
    uint64_t registered_at; /* unix seconds */
    uint64_t last_ping_at;
    uint8_t uptime[SES_UPTIME_WINDOW / 8];   /* bit e mod 168: passed */
    uint8_t observed[SES_UPTIME_WINDOW / 8]; /* bit e mod 168: judged */
    uint64_t misses;
    uint64_t misses_running;
    uint8_t forgiven[SES_UPTIME_WINDOW / 8];
    uint64_t slashed;
    uint64_t deviant_cnt;
    uint64_t unreachable_cnt;
    uint64_t capacity;           /* bytes offered */
    uint64_t decommission_epoch; /* epoch of Decommission; 0 while Active */
};
void ses_node_write(struct ses_writer *w, const struct ses_node *n);
void ses_node_read(struct ses_reader *r, struct ses_node *n);
/* floor(10000 * passed / observed), 10000 if none observed (LP-046 row 11). */
uint32_t ses_node_uptime_bps(const struct ses_node *n);

/* Keys and endpoint: separate state entries, and the part of a snapshot that rarely changes. */
struct ses_node_keys {
    struct ses_dsa_pk public_key;
    struct ses_kem_pk encryption_key;
    bool has_prev_encryption_key;
    struct ses_kem_pk prev_encryption_key;
};
void ses_node_keys_write(struct ses_writer *w, const struct ses_node_keys *k);
void ses_node_keys_read(struct ses_reader *r, struct ses_node_keys *k);
/* BLAKE3(keys || endpoint), as in a registry row. */
void ses_node_keys_hash(struct ses_hash *out, const struct ses_node_keys *k,
                        const struct ses_endpoint *e);

/* One row of a registry snapshot. */
struct ses_registry_row {
    struct ses_node_id node_id;
    struct ses_account owner;
    enum ses_node_status status;
    uint32_t swarm;
    uint32_t prev_swarm;
    uint64_t swarm_from_epoch; /* not part of the row hash */
    struct ses_hash keys_hash;
};
/* B(0x0C, node_id, owner, status, swarm, prev_swarm, keys hash) */
void ses_registry_row_hash(struct ses_hash *out, const struct ses_registry_row *row);
/* B(0x13, chain_id, epoch, seed, num_swarms, u32 rows, MT(rows)). `row_hashes` is scratch. */
void ses_registry_root(struct ses_hash *out, const struct ses_hash *chain_id, uint64_t epoch,
                       const struct ses_hash *seed, uint32_t num_swarms,
                       struct ses_hash *row_hashes, uint32_t row_cnt);

/* Epoch record (registry page, step 8). */
struct ses_canonical_root {
    uint32_t swarm;
    struct ses_hash root;
    uint64_t count;
    uint64_t bytes;
};
struct ses_epoch {
    uint64_t epoch;
    struct ses_hash parent_block;
    struct ses_hash seed;
    uint32_t num_swarms;
    uint64_t active_cnt;
    uint64_t total_bonded; /* nLUX */
    struct ses_hash registry_root;
    bool outage;
    uint64_t miss_cnt;
    uint32_t canonical_cnt; /* roots of epoch - 1; the array is the caller's */
    struct ses_canonical_root *canonical;
};
#define SES_EPOCH_CANONICAL_MAX 65536u
void ses_epoch_write(struct ses_writer *w, const struct ses_epoch *e);
/* `canonical` (capacity canonical_max) receives the roots; e->canonical points to it. */
void ses_epoch_read(struct ses_reader *r, struct ses_epoch *e, struct ses_canonical_root *canonical,
                    uint32_t canonical_max);

/* Genesis parameters (registry page, Genesis), with their defaults in the macro. */
#define SES_PARAMS(X)                                                                              \
    X(epoch_seconds, "epochSeconds", 3600)                                                         \
    X(block_seconds, "blockSeconds", 2)                                                            \
    X(min_stake, "minStake", 100000000000)                                                         \
    X(swarm_target, "swarmTarget", 10)                                                             \
    X(testers, "testers", 20)                                                                      \
    X(min_peers, "minPeers", 10)                                                                   \
    X(audit_leaves, "auditLeaves", 2)                                                              \
    X(miss_bps, "missBps", 50)                                                                     \
    X(max_slash_bps, "maxSlashBps", 5000)                                                          \
    X(unbond_epochs, "unbondEpochs", 168)                                                          \
    X(settle_seconds, "settleSeconds", 600)                                                        \
    X(freeze_seconds, "freezeSeconds", 330)                                                        \
    X(min_free_bps, "minFreeBps", 1000)                                                            \
    X(min_free_bytes, "minFreeBytes", 1073741824)                                                  \
    X(rotate_per_swarm_epochs, "rotatePerSwarmEpochs", 24)                                         \
    X(deviant_epochs, "deviantEpochs", 3)                                                          \
    X(unreachable_epochs, "unreachableEpochs", 2)                                                  \
    X(seat_lost_misses, "seatLostMisses", 6)                                                       \
    X(outage_bps, "outageBps", 2000)                                                               \
    X(outage_forgiven, "outageForgiven", 6)                                                        \
    X(tx_fee, "txFee", 1000000)                                                                    \
    X(inbox_quota_bytes, "inboxQuotaBytes", 104857600)                                             \
    X(block_max_bytes, "blockMaxBytes", 1000000)
struct ses_params {
#define SES_X(field, key, value) uint64_t field;
    SES_PARAMS(SES_X)
#undef SES_X
};
void ses_params_defaults(struct ses_params *p);
/* Ranges that make the rules computable (epoch_seconds > settle_seconds + freeze_seconds, ...). */
SES_CHECKED enum ses_err ses_params_validate(const struct ses_params *p, struct ses_note *note);

#endif
