/* Inside daemon: the parts of the state machine. Ownership: struct ses_daemon owns everything; a
 * part touches the others only through the functions below. */
#ifndef SES_DAEMON_DAEMON_INTERNAL_H
#define SES_DAEMON_DAEMON_INTERNAL_H

#include <string.h>

#include "daemon/daemon.h"
#include "daemon/epoch.h"
#include "daemon/sync.h"

#define MODULE "daemon"
#define LINKS_MAX (SES_MEMBERS_MAX) /* slots; a bit each in struct debt */

/* ---- atlas.c: maps ---- */
void ses_atlas_free(struct ses_map *map);
/* `old` with the rows of a delta put in, or the rows alone if old is NULL; checks order, ranges and
 * the registry root. CPU heavy: worker. ERR_CHECKSUM: fetch everything anew. */
SES_CHECKED enum ses_err ses_atlas_build(struct ses_map **out, const struct ses_map *old,
                                         struct ses_chain_registry *delta,
                                         const struct ses_hash *chain_id);
SES_CHECKED enum ses_err ses_atlas_encode(struct ses_buf *out, const struct ses_map *map);
SES_CHECKED enum ses_err ses_atlas_decode(struct ses_map **out, const uint8_t *bytes, size_t len,
                                          const struct ses_hash *chain_id);
static inline uint32_t ses_atlas_digest_swarm(const struct ses_map *map,
                                              const struct ses_hash *digest)
{
    return ses_swarm_of(digest, map->num_swarms);
}

/* ---- meter.c: token meters by peer, a fixed table with the least recently used thrown out ----
 */
#define METER_SETS 512u
#define METER_WAYS 8u
struct meter {
    uint64_t key; /* 0: free */
    uint64_t used_ms;
    uint64_t tokens_milli;
};
struct meters {
    uint8_t secret[32];
    struct meter ways[METER_SETS][METER_WAYS];
};
/* A fresh peer starts with a burst of 2 * rate. */
bool ses_meter_take(struct meters *b, const struct ses_peer *peer, uint8_t kind, uint32_t rate,
                    uint64_t mono_ms);

/* ---- debt.c: records entered here, until every member has given its receipt ---- */
struct waiter {
    struct waiter *next;
    struct ses_daemon *d;
    struct debt *debt;
    struct ses_call *call;
    struct ses_timer *timer;
    uint64_t started_ms; /* monotonic */
};
#define DEBT_VOUCHERS_MAX 6u /* ours and five others */
struct debt {
    struct debt *prev, *next; /* oldest first */
    struct debt *hash_next;
    struct ses_daemon *d;
    struct ses_record_ids ids;
    uint8_t *bytes; /* header 48 and payload; NULL: in the store only */
    uint32_t payload_bytes;
    uint64_t targets, acked, queued, flying; /* bits of link slots */
    uint64_t again; /* flying without the receipts that are sent along now */
    bool own;       /* our receipt was issued */
    bool putting;   /* the store has not answered yet */
    bool loading;   /* ses_store_get under way */
    bool unread;    /* from the pending list: its digest is not known yet */
    bool finished;  /* out of the table; freed when nothing refers to it */
    bool spill;     /* forget it when answered: the table is full, the store remembers */
    bool relay;     /* did not enter here: passed on before a freeze (relay.c) */
    uint8_t voucher_cnt;
    struct ses_receipt *vouchers; /* DEBT_VOUCHERS_MAX; sent along */
    struct waiter *waiters;
    uint64_t since_ms; /* monotonic */
};
struct debts {
    struct debt *first, *last;
    struct debt **table; /* by id */
    uint32_t table_mask;
    uint32_t cnt;
    uint32_t waiter_cnt;
    uint64_t bytes;
    bool spilled; /* the store's pending list knows more than this table */
};
SES_CHECKED enum ses_err ses_debts_init(struct ses_daemon *d);
void ses_debts_free(struct ses_daemon *d);
struct debt *ses_debt_find(struct ses_daemon *d, const struct ses_hash *id);
SES_CHECKED enum ses_err ses_debt_new(struct debt **out, struct ses_daemon *d,
                                      const struct ses_record_ids *ids,
                                      const struct ses_record *record);
/* Ends it: `replicated` tells the store so. Answers waiters if any are left. */
void ses_debt_finish(struct debt *debt, bool replicated);
/* Adds a client that waits for the outcome; answers at once if it is known. */
void ses_debt_wait(struct debt *debt, struct ses_call *call, uint32_t wait_ms, uint64_t started_ms);
/* After a change of own/acked/targets: answers, lets bytes go, ends it. */
void ses_debt_check(struct debt *debt);
/* Which slots it must reach, from the maps; called for all after a new map. */
void ses_debt_aim(struct debt *debt);
void ses_debts_reload(struct ses_daemon *d);
/* Fetches bytes from the store for a link that wants to send it. */
void ses_debt_load(struct debt *debt);
void ses_debt_release(struct debt *debt); /* frees a finished one that nobody refers to */
/* Answers all waiters "pending". */
void ses_debts_answer_all(struct ses_daemon *d);
void ses_debts_expire(struct ses_daemon *d);

/* ---- link.c: our side of /session/replicate/1 to one member ---- */
#define LINK_BATCHES_MAX 4u
#define LINK_FLYING_BYTES_MAX (2u << 20)
#define LINK_FRAME_BYTES (512u << 10)
struct batch {
    struct batch *next;
    uint64_t seq;
    uint64_t sent_ms;
    uint32_t bytes;
    uint16_t cnt;

    struct debt *debts[SES_REPLICATE_RECORDS_MAX];
};
struct link {
    struct ses_daemon *d;
    uint32_t slot;
    bool used; /* a member stands here */
    struct ses_node_id node_id;
    bool active;
    struct ses_flow *flow; /* NULL: not dialled */
    bool open;
    bool hinted;       /* redialled early since the last success */
    uint32_t verdicts; /* results being verified */
    struct ses_timer *redial;
    struct ses_timer *rescan;
    uint64_t rescan_ms;
    bool learning; /* what its audit draws */
    uint64_t failures;
    enum ses_err last_err;
    uint64_t acked;
    struct debt **queue; /* ring */
    uint32_t queue_cap, queue_head, queue_cnt;
    struct batch *batches;
    uint32_t batch_cnt;
    uint32_t flying_bytes;
    uint64_t next_seq;
    struct ses_buf unsent; /* a frame that the flow did not take */
};
void ses_members_init(struct ses_daemon *d);
void ses_members_free(struct ses_daemon *d);
/* Slots = members (but us) of our swarm under the current and the previous map. */
void ses_members_follow_map(struct ses_daemon *d);
void ses_member_queue(struct link *link, struct debt *debt);
void ses_member_pump(struct link *link);
void ses_members_pump(struct ses_daemon *d);
void ses_members_close(struct ses_daemon *d);
/* A member dialled us: it is up, so a redial need not wait for its backoff. */
void ses_members_hint(struct ses_daemon *d, const struct ses_node_id *node_id);
/* Frames without an answer for too long: the flow is closed. */
void ses_members_check(struct ses_daemon *d);

/* ---- verdict.c: the answer to a replicate frame, its receipts verified on a worker ---- */
struct verdict_item {
    uint16_t record;
    bool valid;
    struct ses_receipt receipt;
};
struct verdict {
    struct ses_daemon *d;
    uint32_t slot;
    struct ses_node_id node_id; /* of the link when the frame came */
    struct ses_dsa_pk pk;
    struct ses_hash chain_id;
    uint64_t seq;
    uint16_t record_cnt;
    uint16_t statuses[SES_REPLICATE_RECORDS_MAX];
    uint16_t item_cnt;
    struct verdict_item *items;
    enum ses_err err;
    size_t len;
    uint8_t *frame;
};
SES_CHECKED enum ses_err ses_verdict_start(struct link *link, const struct ses_dsa_pk *pk,
                                           const uint8_t *frame, size_t len);
/* Parses and verifies; pure. */
void ses_verdict_run(void *cookie);
void ses_verdict_free(struct verdict *v);
/* link.c: applies a verdict. */
void ses_member_result(struct link *link, const struct verdict *v);

/* ---- entry.c, read.c, list.c, prove.c, replica.c, watch.c, follow.c ---- */
void ses_entry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void ses_delete_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void ses_read_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void ses_info_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void ses_registry_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void ses_receipts_serve(struct ses_daemon *d, struct ses_call *call, const uint8_t *body,
                        size_t len);
void ses_prove_serve(struct ses_daemon *d, struct ses_call *call, const uint8_t *body, size_t len);
/* put.c: ses_store_put, with the targets of a delete statement, whose signature was verified. */
SES_CHECKED enum ses_err ses_daemon_put(struct ses_daemon *d, const struct ses_put *put);
/* A page of records as the list of their delete targets: a whole response body. */
SES_CHECKED enum ses_err ses_list_of_page(struct ses_buf *out, const uint8_t *frame, size_t len);
ses_accept_fn ses_replica_accept;
ses_accept_fn ses_watch_accept;

/* ---- probe.c ---- */
struct probes {
    uint32_t signing; /* answers being signed */
};
void ses_probe_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
struct ses_probe_order {
    uint64_t epoch;
    uint64_t deadline_ms;
    void (*on_done)(void *cookie, enum ses_err err); /* SES_OK: it signed; on the loop */
    void *cookie;
};
/* Asks `target` (copied) whether it is there. An error result means: no callback. */
SES_CHECKED enum ses_err ses_probe_start(struct ses_daemon *d, const struct ses_map_node *target,
                                         const struct ses_probe_order *order);

#define BUDGETS (2u * SES_MEMBERS_MAX)
struct budget {
    bool used;
    struct ses_node_id node_id;
    uint64_t bytes; /* may be read now */
    uint64_t at_ms;
};
/* ---- budget.c ---- */
/* What a record takes beside its payload: in the log, in the index and in memory. */
#define BUDGET_RECORD_BYTES 512u
/* Takes so much from what `node_id` may make us read now; false if there is not enough. */
bool ses_budget_take(struct ses_daemon *d, const struct ses_node_id *node_id, uint64_t bytes);
/* Back again: other members vouched for these. */
void ses_budget_give(struct ses_daemon *d, const struct ses_node_id *node_id, uint64_t bytes);

/* ---- intake.c: records from another member into the store ---- */
struct intake;
struct intake_item {
    struct intake *in;
    struct ses_record record; /* set by the caller; borrowed until `done` */
    struct ses_record_ids ids;
    enum ses_err err;
    struct ses_vouchers vouchers; /* other members' valid receipts */
    bool vouched;                 /* at least one of them is not the sender's */
    bool existed;
    struct ses_receipt receipt; /* ours, if err is OK */
};
struct voucher;
struct intake {
    struct ses_daemon *d;
    struct ses_node_id sender;
    struct ses_hash chain_id;
    struct voucher *vouchers;
    uint16_t voucher_cnt, voucher_cap;
    uint16_t left; /* puts without an answer */
    /* Last word before the store takes a valid record, with done's cookie; NULL: yes. */
    bool (*accept)(void *cookie, const struct intake_item *item);
    void (*done)(void *cookie, struct intake *in);
    void *cookie;
    uint16_t cnt;
    struct intake_item items[];
};
SES_CHECKED enum ses_err ses_intake_new(struct intake **out, struct ses_daemon *d,
                                        const struct ses_node_id *sender, uint16_t cnt);
/* NULL allowed; not between start and done. */
void ses_intake_free(struct intake *in);
/* A receipt that came with item number `item`; ignored if it cannot vouch. */
SES_CHECKED enum ses_err ses_intake_vouch(struct intake *in, uint16_t item,
                                          const struct ses_receipt *receipt);
/* Verifies on a worker, puts what is valid, then calls `done`: each item has its `err`. */
SES_CHECKED enum ses_err
ses_intake_start(struct intake *in, void (*done)(void *cookie, struct intake *in), void *cookie);
/* Payload bytes of the records that somebody else than the sender vouched for. */
uint64_t ses_intake_vouched_bytes(const struct intake *in);

/* Goes through the valid vouchers of an item, *at from 0; false behind the last. */
bool ses_intake_voucher(const struct intake *in, const struct intake_item *item, uint16_t *at,
                        struct ses_receipt *out);

/* ---- relay.c ---- */
/* A new record was stored: passes it on if an epoch is about to freeze. */
void ses_relay_accepted(struct ses_daemon *d, const struct intake *in,
                        const struct intake_item *item);
void ses_relay_turn(struct ses_daemon *d);

/* ---- groups.c: receipts on the wire ---- */
struct receipt_at {
    uint16_t record; /* index in the message */
    const struct ses_receipt *receipt;
};
/* Groups by signature; `written`: cnt times false. How many groups. */
uint16_t ses_groups_write(struct ses_writer *w, const struct receipt_at *list, uint16_t cnt,
                          bool *written);

struct replica;
void ses_replicas_follow_map(struct ses_daemon *d);
void ses_replicas_close(struct ses_daemon *d);

#define WATCH_TABLE 4096u
struct watcher;
struct watchers {
    struct watcher *first;
    struct watcher *by_inbox[WATCH_TABLE];
    uint32_t cnt;
};
void ses_watch_wake(void *cookie, const struct ses_hash *inbox, int16_t ns);
void ses_watch_follow_map(struct ses_daemon *d);
void ses_watch_check(struct ses_daemon *d); /* closes slow ones */
void ses_watch_close(struct ses_daemon *d);

struct follow {
    struct ses_timer *timer;
    bool asking;
    uint64_t failures;
    bool ok;
    bool ever_ok;
    struct ses_note note;
    struct ses_chain_head head;
    bool refetch; /* the last delta did not give the root: ask for everything */
};
void ses_follow_start(struct ses_daemon *d);
void ses_follow_stop(struct ses_daemon *d);

/* ---- daemon.c ---- */
struct ses_daemon {
    struct ses_daemon_params p;
    struct ses_times times;
    struct ses_map *map;      /* current; NULL before the first */
    struct ses_map *previous; /* NULL if none */
    bool map_owed;            /* they are not saved yet */
    bool registered;
    enum ses_node_status status;
    uint32_t swarm;
    uint64_t swarm_from_epoch;
    struct debts debts;
    struct link links[LINKS_MAX];
    struct replica *replicas;
    uint32_t replica_cnt;
    struct budget budgets[BUDGETS];
    struct watchers watchers;
    struct meters meters;
    struct probes probes;
    struct epochs epochs;
    struct follow follow;
    struct sync sync;
    struct ses_daemon_stats stats;
    struct ses_timer *tick;
    uint64_t tick_cnt;
    uint32_t client_jobs; /* checks and reads of clients under way */
    /* drain */
    bool draining, closing;
    struct ses_timer *drain_timer;
    uint64_t drain_left_ms;
    uint32_t busy; /* callbacks that are still to come */
    void (*on_drained)(void *cookie);
    void *drain_cookie;
};

static inline uint64_t ses_daemon_now(const struct ses_daemon *d)
{
    return ses_now_ms(&d->p.loop->clock);
}
static inline uint64_t ses_daemon_mono(const struct ses_daemon *d)
{
    return d->p.loop->mono_ms(d->p.loop->ctx);
}
/* Pair around everything that calls back later. */
void ses_daemon_hold(struct ses_daemon *d);
void ses_daemon_release(struct ses_daemon *d);
/* Worker job; holds the daemon, and `done` must release it. Without a limit of its own: what
 * members can start is bounded by their frames in flight. */
SES_CHECKED enum ses_err ses_daemon_work(struct ses_daemon *d, void (*run)(void *cookie),
                                         void (*done)(void *cookie), void *cookie);
/* Around what a client's request keeps busy (holds the daemon, too). False above the limit, which
 * clients share among themselves: they cannot crowd out the members. */
bool ses_daemon_client_begin(struct ses_daemon *d);
void ses_daemon_client_end(struct ses_daemon *d);
/* Takes over `map` as the current one, with its plan. */
void ses_daemon_install(struct ses_daemon *d, struct ses_map *map, struct ses_plan *plan);
/* Whether our swarm serves `digest` under the current map, or under the previous one. */
bool ses_daemon_serves(const struct ses_daemon *d, const struct ses_hash *digest, bool previous);
/* A member of our swarm under either map. */
bool ses_daemon_is_member(const struct ses_daemon *d, const struct ses_node_id *node_id);
/* Row of a node in the current map, else in the previous one; NULL. */
const struct ses_map_node *ses_daemon_node(const struct ses_daemon *d,
                                           const struct ses_node_id *node_id);
/* Receipts count only from Active members of the record's swarm. */
uint32_t ses_daemon_quorum(const struct ses_daemon *d);
/* Why a node without a seat has none, and what to do (status.c). */
const char *ses_daemon_seatless(const struct ses_daemon *d);

/* ---- refuse.c ---- */
void ses_refuse(struct ses_daemon *d, struct ses_call *call, enum ses_err err);
void ses_refuse_swarm(struct ses_daemon *d, struct ses_call *call, const struct ses_hash *digest);
void ses_refuse_work(struct ses_daemon *d, struct ses_call *call, unsigned bits);
/* The body of a refusal for flows; *len of at most `cap`. */
size_t ses_refusal_body(struct ses_daemon *d, enum ses_err err, const struct ses_hash *digest,
                        uint8_t *out, size_t cap);
#define REFUSAL_BYTES_MAX 2048u
void ses_latency_add(struct ses_latency *l, uint64_t ms);

#endif
