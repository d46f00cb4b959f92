/* daemon: a service node. The only place where storage, swarm and network meet.
 *
 *      clients ──store, retrieve, watch──► entry, read, watch ──► storage
 *      members ──replicate──────────────► replica ──────────────►   │
 *                                         links ◄── debts ◄─────────┘
 *      chain ──head, registry──► follow ──► atlas (current and previous map, own seat)
 *
 * `struct ses_daemon` is a state machine without I/O of its own: loop, network, store, chain,
 * randomness and log are handed in, so that one process can run fifty nodes on a virtual clock.
 * Everything happens on the loop's thread; signatures are verified on loop->work.
 * The program around it (program.h) does sockets, files, HTTP and signals.
 */
#ifndef SES_DAEMON_DAEMON_H
#define SES_DAEMON_DAEMON_H

#include "messaging/messaging.h"
#include "network/network.h"
#include "rpc/rpc.h"
#include "storage/storage.h"
#include "swarm/swarm.h"

/* ---- the chain as the daemon sees it: each accepted call is answered exactly once, on the loop,
 * not from inside the call. An error result means: no callback. ---- */
struct ses_chain_registry {
    struct ses_json_registry header;
    struct ses_map_node *rows; /* from ses_alloc; whoever takes them sets this to NULL */
    uint32_t row_cnt;
};
/* Where a node stands with the chain: what it owes and has done in the running epoch, what was said
 * of the epochs before, and its record. */
struct ses_chain_standing {
    struct ses_chain_challenges challenges;
    struct ses_node node;
    uint32_t swarm_commitments; /* of its swarm in the epoch before; 0 without a seat */
};
typedef void ses_chain_standing_fn(void *cookie, enum ses_err err,
                                   const struct ses_chain_standing *standing,
                                   const struct ses_note *note);
typedef void ses_chain_submit_fn(void *cookie, enum ses_err err, const struct ses_note *note);
typedef void ses_chain_head_fn(void *cookie, enum ses_err err, const struct ses_chain_head *head,
                               const struct ses_note *note);
typedef void ses_chain_registry_fn(void *cookie, enum ses_err err,
                                   struct ses_chain_registry *registry,
                                   const struct ses_note *note);
struct ses_chain {
    void *ctx;
    enum ses_err (*head)(void *ctx, ses_chain_head_fn *done, void *cookie);
    /* Rows changed after `since_epoch`; UINT64_MAX: all. */
    enum ses_err (*registry)(void *ctx, uint64_t since_epoch, ses_chain_registry_fn *done,
                             void *cookie);
    /* Judgements of up to `epochs` epochs. NULL: a chain that is only followed; no duty is done. */
    enum ses_err (*standing)(void *ctx, const struct ses_node_id *node_id, uint32_t epochs,
                             ses_chain_standing_fn *done, void *cookie);
    /* `tx` is copied. SES_OK: it waits for its block; ERR_EXISTS: it, or another of its kind for
     * this epoch, waits or stands in one already. */
    enum ses_err (*submit)(void *ctx, const uint8_t *tx, size_t len, ses_chain_submit_fn *done,
                           void *cookie);
};

/* Secrets of the node besides its signing key; all derive from the key file. */
struct ses_node_secrets {
    struct ses_secret32 reveal; /* the reveals of its commitments are functions of it */
    struct ses_secret32 wrap;   /* seals the seeds of rotated encryption keys in the store */
};

/* ---- limits; zeros take the defaults in brackets ---- */
struct ses_daemon_limits {
    uint32_t debts_max;         /* records whose replication is remembered in memory [65536] */
    uint32_t waiters_max;       /* stores that wait for their answer [4096] */
    uint64_t entry_bytes_max;   /* record bytes held for replication [64 MiB] */
    uint32_t watchers_max;      /* [10000] */
    uint32_t watchers_peer_max; /* of one connection [32] */
    uint32_t store_rate;        /* stores a second of one peer [1000], burst twice that */
    uint32_t read_rate;         /* reads a second of one peer [2000], burst twice that */
    uint32_t jobs_max;          /* signature checks in flight [1024] */
};

struct ses_daemon_params {
    const struct ses_loop *loop;
    struct ses_net *net;
    struct ses_store *store;
    const struct ses_random *random;
    const struct ses_log *log;
    struct ses_chain chain;
    struct ses_chain_params chain_params; /* of the genesis: never change */
    struct ses_node_id node_id;
    const struct ses_dsa_private *key;      /* the node's: signs probes' answers and transactions */
    const struct ses_node_secrets *secrets; /* outlive the daemon; NULL: no duty is done */
    const struct ses_endpoint *endpoint;    /* to be listed by the registry; NULL: as it is */
    uint64_t rotate_seconds;                /* age of an encryption key; 0: it is kept */
    uint64_t capacity_bytes;                /* sets the volume budget of a replicating member */
    const char *agent;                      /* "sessiond/0.1.0"; outlives the daemon */
    struct ses_daemon_limits limits;
};

struct ses_daemon;
/* Serves its protocols on `net`, loads the last verified maps from the store, takes up the debts
 * that a former run left, and starts to follow the chain. Refuses a store that belongs to another
 * node or chain (ERR_CONFIG with a note). */
SES_CHECKED enum ses_err ses_daemon_new(struct ses_daemon **out,
                                        const struct ses_daemon_params *params,
                                        struct ses_note *note);
/* Stops accepting; lets running stores finish for at most `wait_ms`, answers the others "pending",
 * closes all flows; `on_drained` when no callback of store, net or chain is outstanding. Only then
 * may it be freed. */
void ses_daemon_drain(struct ses_daemon *d, uint64_t wait_ms, void (*on_drained)(void *cookie),
                      void *cookie);
void ses_daemon_free(struct ses_daemon *d);
/* For ses_host_params.find_node: the key of an Active or Decommissioning node of the current or the
 * previous map. */
SES_CHECKED enum ses_err ses_daemon_find_node(const struct ses_daemon *d,
                                              const struct ses_node_id *node_id,
                                              struct ses_dsa_pk *out);

/* ---- what it tells ---- */
#define SES_LATENCY_BUCKETS(X)                                                                     \
    X(1) X(2) X(5) X(10) X(25) X(50) X(100) X(250) X(500) X(1000) X(2500) X(5000) X(10000)
#define SES_LATENCY_BUCKET_CNT 13u
struct ses_latency {
    uint64_t counts[SES_LATENCY_BUCKET_CNT + 1]; /* the last: above all */
    uint64_t sum_ms;
    uint64_t cnt;
};
#define SES_REFUSAL_KINDS(X)                                                                       \
    X(MALFORMED, "malformed")                                                                      \
    X(WRONG_SWARM, "wrong-swarm")                                                                  \
    X(CLOCK, "clock")                                                                              \
    X(QUOTA, "quota")                                                                              \
    X(WORK, "work")                                                                                \
    X(RATE, "rate")                                                                                \
    X(UNAUTHORISED, "unauthorised")                                                                \
    X(DISK_LOW, "disk-low")                                                                        \
    X(UNAVAILABLE, "unavailable")                                                                  \
    X(OTHER, "other")
enum ses_refusal_kind {
#define SES_X(name, text) SES_REFUSED_##name,
    SES_REFUSAL_KINDS(SES_X)
#undef SES_X
        SES_REFUSED_CNT
};
struct ses_daemon_stats {
    uint64_t stores, stored, pending_answers, attached; /* requests, and how they were answered */
    uint64_t deletes;                                   /* delete requests, counted apart */
    uint64_t proofs_asked;                              /* of completeness */
    uint64_t retrieves, retrieved_records, retrieved_bytes;
    uint64_t receipts_asked, watch_pages, watch_closed_slow;
    uint64_t refused[SES_REFUSED_CNT];
    uint64_t replicated_out, replicated_in, replicate_refused; /* records */
    uint64_t receipts_valid, receipts_invalid;
    uint64_t probes_answered, probes_sent, probes_failed;
    uint64_t misses; /* epochs, as far as the chain said so since start */
    uint64_t debts_spilled, debts_expired, limits_hit;
    uint64_t sync_runs, sync_failed, sync_bytes; /* asked by this node */
    uint64_t sync_records, bulk_records;         /* that were missing here */
    uint64_t sync_served, sync_withheld, sync_cut_off, healed, foreign_dropped, relayed;
    struct ses_latency store_latency, retrieve_latency;
};
const char *ses_refusal_kind_text(enum ses_refusal_kind kind);

struct ses_member_status {
    struct ses_node_id node_id;
    bool active, open;
    uint32_t queued, in_flight; /* records, frames */
    uint64_t failures;          /* dials in a row */
    uint64_t acked;             /* records with valid receipts, since start */
    enum ses_err last_err;
};
struct ses_daemon_status {
    struct ses_node_id node_id;
    struct ses_hash chain_id;
    bool registered;
    bool chain_ok;
    char chain_text[400]; /* why not, or "ok" */
    bool has_map;
    uint64_t epoch;       /* of the map */
    uint64_t clock_epoch; /* by the own clock */
    uint64_t height;
    uint32_t swarm; /* SES_SWARM_NONE */
    uint64_t swarm_from_epoch;
    uint32_t num_swarms, node_cnt, member_cnt, active_cnt, quorum;
    enum ses_node_status node_status; /* valid if registered */
    uint32_t debts;                   /* records not yet at all members */
    uint64_t oldest_debt_ms;          /* age */
    uint32_t waiters, watchers, replicas;
    bool draining;
    bool partial;     /* not yet all of what the swarm holds */
    bool disk_low;    /* new messages are refused */
    char advice[200]; /* what the operator should do, empty if nothing */
    uint32_t link_cnt;
    struct ses_member_status links[SES_MEMBERS_MAX * 2u];
};
/* `out` is about 12 KiB: not for a small stack. */
void ses_daemon_status(const struct ses_daemon *d, struct ses_daemon_status *out);

/* The secret of an encryption key of this node that the registry lists or listed in the epoch
 * before, if it is not the key file's; ERR_NOT_FOUND. The caller wipes it. */
SES_CHECKED enum ses_err ses_daemon_kem_seed(const struct ses_daemon *d,
                                             const struct ses_kem_pk *pk, struct ses_kem_seed *out);

/* What this node owed in an epoch, what it did, what the chain said, and why something is lacking.
 * Kept over restarts. */
#define SES_REPORTS_MAX 24u
#define SES_WHY_MAX 160u
struct ses_report {
    uint64_t epoch;
    bool owes_commitment, owes_response;
    bool committed, responded;   /* in a block */
    uint64_t commitment_sent_ms; /* unix: when the chain took it first; 0: never */
    uint64_t response_sent_ms;
    uint64_t count, bytes;        /* that were committed to */
    uint8_t owed_cnt, opened_cnt; /* openings */
    uint16_t target_cnt, reached_cnt;
    bool judged;                                                 /* the chain's word is in: */
    struct ses_judgement judgement;                              /* causes 0: it passed */
    char commitment_why[SES_WHY_MAX], response_why[SES_WHY_MAX]; /* empty: nothing to tell */
};
/* By epoch, the running one last; borrowed until the loop runs again. */
const struct ses_report *ses_daemon_reports(const struct ses_daemon *d, uint32_t *cnt);
json_t *ses_reports_json(const struct ses_report *reports, uint32_t cnt);
const struct ses_daemon_stats *ses_daemon_stats(const struct ses_daemon *d);

/* Texts for the local port. New references; NULL without memory. */
json_t *ses_status_json(const struct ses_daemon_status *status);
json_t *ses_members_json(const struct ses_daemon_status *status);
json_t *ses_scrub_json(const struct ses_store_stats *stats);
json_t *ses_storage_json(const struct ses_store_stats *stats);
/* Prometheus text format, from ses_alloc. */
char *ses_metrics_text(const struct ses_daemon_status *status, const struct ses_daemon_stats *stats,
                       const struct ses_store_stats *store);

#endif
