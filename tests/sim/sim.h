/* sim: the whole network in one process, on one thread, in virtual time (docs/testing.md).
 *
 *     plan (from the seed) ──► faults ──► weather, disks, clocks, chain, crashes
 *     people ── sim_net ──► daemons ── store ──► sim_disk (logs, and SQLite by a VFS)
 *                              └────► sim_chain: two machines of the real vm
 *     oracles watch what people were told, what the nodes hold, what travels
 *
 * Real are base, crypto, protocol, storage, swarm, messaging, vm, daemon and the judging half of
 * client. Ours are the clock and loop (events.c), the network (net.c, flow.c), the disk (disk.c,
 * vfs.c), randomness (dice.c) and who does what when (plan.c). The same seed gives the same trace
 * hash on every build and machine: nothing here may look at addresses, real time or other state.
 */
#ifndef SES_TESTS_SIM_SIM_H
#define SES_TESTS_SIM_SIM_H

#include <inttypes.h>
#include <string.h>

#include "daemon/daemon.h"
#include "vm/vm.h"

#define SIM_NODES_MAX 64u
#define SIM_PEOPLE_MAX 24u
#define SIM_HOSTS_MAX (SIM_NODES_MAX + SIM_PEOPLE_MAX)
#define SIM_START_MS 1790000000000u
#define SIM_MINUTE_MS 60000u
#define SIM_HOUR_MS 3600000u

struct sim;

/* ---- dice.c: streams of numbers, one for each purpose, so that dropping a fault leaves the others
 * as they were ---- */
struct dice {
    struct ses_random random;
    uint64_t state;
};
void dice_init(struct dice *d, uint64_t seed, const char *stream, uint64_t index);
uint64_t dice_u64(struct dice *d);
uint64_t dice_below(struct dice *d, uint64_t bound);
/* Both ends included. */
uint64_t dice_between(struct dice *d, uint64_t low, uint64_t high);
bool dice_chance(struct dice *d, uint64_t permille);

/* ---- signature.c: before ses_sign and ses_verify ---- */
extern bool sim_mldsa; /* every signature is a real one */

/* ---- what a run has been through: the last lines of its output ---- */
#define SIM_SEEN(X)                                                                                \
    X(LOST_PACKET, "packets lost")                                                                 \
    X(DEAD_LINE, "connections given up")                                                           \
    X(TWIN, "requests repeated")                                                                   \
    X(CUT, "words cut off")                                                                        \
    X(CLOGGED, "clogged")                                                                          \
    X(HALF_OPEN, "half open")                                                                      \
    X(SECTOR_LOST, "sectors lost")                                                                 \
    X(SECTOR_TORN, "torn")                                                                         \
    X(SYNC_FAILED, "syncs failed")                                                                 \
    X(READ_FAILED, "reads failed")                                                                 \
    X(NO_SPACE, "writes without space")                                                            \
    X(ASTRAY, "writes astray")                                                                     \
    X(OTHER_SEATS, "moves of members")                                                             \
    X(SPLIT, "splits")                                                                             \
    X(MERGE, "merges")                                                                             \
    X(PERSON_CRASH, "crashes of people")                                                           \
    X(EMPTY_BLOCK, "empty blocks")                                                                 \
    X(LIE_PAGE, "lies to readers")                                                                 \
    X(LIE_SYNC, "to members")                                                                      \
    X(LIE_BULK, "in bulk")                                                                         \
    X(LIE_RECEIPT, "in receipts")                                                                  \
    X(LIE_CHAIN, "to the chain")                                                                   \
    X(LIE_LATE, "late")                                                                            \
    X(AUDIT_WATCHED, "answers during an audit")
enum sim_seen {
#define SIM_X(name, text) SEEN_##name,
    SIM_SEEN(SIM_X)
#undef SIM_X
        SEEN_CNT
};
void sim_see(struct sim *s, enum sim_seen what);
const char *sim_seen_text(enum sim_seen what);

/* ---- trace.c: what happened, as a hash and as the last lines of text ---- */
#define TRACE_LINES 64u
#define TRACE_CHARS 160u
struct trace {
    uint64_t hash;
    uint64_t event_cnt;
    bool print;
    char lines[TRACE_LINES][TRACE_CHARS];
    uint64_t line_cnt;
};
/* Counts, no text: for what happens a million times. */
void sim_mark(struct sim *s, uint32_t kind, uint64_t a, uint64_t b);
__attribute__((format(printf, 2, 3))) void sim_tell(struct sim *s, const char *format, ...);

/* ---- events.c: virtual time ---- */
struct ses_timer *sim_after(struct sim *s, uint64_t delay_ms, void (*fire)(void *cookie),
                            void *cookie);
void sim_cancel(struct sim *s, struct ses_timer *timer);
/* Until `until_ms`, or until a promise is broken. */
void sim_run_until(struct sim *s, uint64_t until_ms);
uint64_t sim_unix_ms(const struct sim *s);
struct sim_node;
void sim_loop_init(struct ses_loop *loop, struct sim_node *node);
struct event { /* beside its timer, so that the heap is read in order */
    uint64_t at_ms, order;
    struct ses_timer *timer;
};
struct events {
    struct event *heap;
    size_t cnt, cap;
    uint64_t order;
    uint64_t burst; /* events in this very millisecond */
};

/* ---- disk.c, vfs.c: a disk that loses what was not synced ---- */
#define SIM_DISK_BYTES ((uint64_t)1 << 40)
struct sim_disk;
struct sim_disk_limits {
    uint64_t space_bytes; /* left */
    bool quota;           /* and whoever asks how much is left is told of the whole disk */
    uint32_t fail_syncs;  /* so many syncs from now on fail */
    uint32_t fail_reads;  /* so many reads */
    uint32_t fuse;        /* after so many changes the machine goes off; 0: it does not */
    bool fuse_kills;      /* only the process ends, the machine stays */
    uint32_t misdirect;   /* so many writes go astray */
};
struct sim_disk *sim_disk_new(struct sim *s, uint32_t node);
void sim_disk_free(struct sim_disk *disk);
const struct ses_disk *sim_disk_door(struct sim_disk *disk);
struct sim_disk_limits *sim_disk_limits(struct sim_disk *disk);
void sim_disk_off(struct sim_disk *disk);
/* The process is gone; `power`: so is what was not synced, in part. Then the disk is on again. */
void sim_disk_after(struct sim_disk *disk, bool power);
void sim_disk_wipe(struct sim_disk *disk);
/* Flips a bit of what is stored (in logs only); false if there is nothing to flip. */
bool sim_disk_flip(struct sim_disk *disk, bool logs);
/* Whether `bytes` stand in the file and would survive the loss of power now. */
bool sim_disk_durable(const struct sim_disk *disk, const char *path, const void *bytes, size_t len);
uint64_t sim_disk_used(const struct sim_disk *disk);
void sim_vfs_use(struct sim *s);
struct sim_inode;
SES_CHECKED enum ses_err sim_disk_open(struct sim_disk *disk, const char *path, bool create,
                                       struct sim_inode **out);
void sim_disk_close(struct sim_inode *inode);
SES_CHECKED enum ses_err sim_disk_read(struct sim_inode *inode, uint64_t offset, void *out,
                                       size_t len, size_t *got);
SES_CHECKED enum ses_err sim_disk_write(struct sim_inode *inode, uint64_t offset, const void *bytes,
                                        size_t len);
SES_CHECKED enum ses_err sim_disk_truncate(struct sim_inode *inode, uint64_t len);
SES_CHECKED enum ses_err sim_disk_sync(struct sim_inode *inode);
SES_CHECKED enum ses_err sim_disk_sync_dir(struct sim_inode *inode); /* that it is in */
uint64_t sim_disk_size(const struct sim_inode *inode);
bool sim_disk_exists(const struct sim_disk *disk, const char *path);
SES_CHECKED enum ses_err sim_disk_unlink(struct sim_disk *disk, const char *path);

/* ---- net.c, flow.c: requests and flows between hosts ---- */
struct sim_net {
    struct ses_net net; /* first */
    struct sim *sim;
    uint32_t host;
    struct ses_peer self;
    bool down; /* nobody is there */
    bool dark; /* and nobody says so: the machine is off */
    struct {
        ses_serve_fn *fn;
        ses_accept_fn *accept;
        void *cookie, *accept_cookie;
    } protos[SES_PROTO_CNT];
    struct ses_flow *flows;
    struct ses_call *calls;          /* asked here, not answered */
    uint32_t call_cnt, call_cnt_max; /* asked here, or being answered here */
};
struct lane { /* from one host to another */
    uint64_t cut_until_ms;
    uint64_t clog_until_ms;
};
struct weather {
    uint32_t latency_min_ms, latency_max_ms;
    uint32_t loss_permille;
    uint32_t duplicate_permille;
    uint32_t tail_permille; /* ten times the latency */
};
#define SIM_DEAD UINT64_MAX
#define SIM_USER_TIMEOUT_MS 60000u /* network/conn.c: TCP_USER_TIMEOUT */
void sim_net_init(struct sim_net *net, struct sim *s, uint32_t host);
void sim_net_free(struct sim_net *net);
/* `down`: flows end and calls fail here at once; the others hear of it, or not if `dark`. */
void sim_net_down(struct sim_net *net, bool down, bool dark);
/* Milliseconds until something sent now arrives, SIM_DEAD: the connection is dead. */
uint64_t sim_net_delay(struct sim *s, uint32_t from, uint32_t to);
struct sim_net *sim_net_find(struct sim *s, const struct ses_target *target, enum ses_err *err);
/* The dialler as the listener sees it: a node only if the listener's map knows its key. */
void sim_net_peer(struct ses_peer *out, const struct sim_net *dialler, const struct sim_net *at);
extern const struct ses_net_ops sim_net_ops;
enum ses_err sim_flow_open(struct ses_net *base, struct ses_flow **out,
                           const struct ses_target *target, enum ses_proto proto,
                           const struct ses_identity *login, const struct ses_flow_events *events,
                           void *cookie);
const struct ses_peer *sim_flow_peer(const struct ses_flow *flow);
bool sim_flow_logged_in(const struct ses_flow *flow, const struct ses_hash *inbox);
enum ses_err sim_flow_send(struct ses_flow *flow, const uint8_t *body, size_t len);
/* Past the lying layer. */
enum ses_err sim_flow_send_raw(struct ses_flow *flow, const uint8_t *body, size_t len);
/* A flow that `net` dialled to a host; NULL: there is none. */
struct ses_flow *sim_flow_to(const struct sim_net *net, uint32_t host, enum ses_proto proto);
void sim_flow_close(struct ses_flow *flow);
uint32_t sim_flow_cnt(const struct sim_net *net);
void sim_flows_down(struct sim_net *net, bool dark);
/* One end dies, the other goes on believing. */
void sim_flows_half_open(struct sim_net *net, struct dice *dice);
void sim_flows_free(struct sim_net *net);

/* ---- chain.c: the vm, twice ---- */
struct sim_vm {
    struct ses_kv_memory *kv;
    struct ses_vm *vm;
};
struct sim_chain {
    struct sim *sim;
    char *genesis;
    struct ses_chain_params params;
    struct ses_clock clocks[2];
    struct sim_vm machines[2]; /* producer, follower */
    uint64_t stalled_until_ms;
    uint64_t empty_until_ms;
    uint64_t lag_until_ms;     /* of the follower */
    uint64_t trouble_until_ms; /* of any kind */
    uint64_t cut_until_ms[SIM_HOSTS_MAX];
    uint64_t nonces[SIM_NODES_MAX];
    struct ses_map *map; /* of the producer's epoch */
    struct dice demand_dice;
};
void sim_chain_start(struct sim *s);
void sim_chain_free(struct sim *s);
/* What a host sees: the producer or the follower, as it comes. */
struct ses_chain sim_chain_face(struct sim *s, uint32_t host);
void sim_chain_epoch(const struct sim *s, uint32_t machine, struct ses_epoch *out);
/* The registry as of now; free with sim_map_free. */
struct ses_map *sim_chain_map(struct sim *s, uint32_t machine);
void sim_map_free(struct ses_map *map);
void sim_chain_restart(struct sim *s, uint32_t machine);
void sim_chain_register(struct sim *s, uint32_t node);
void sim_chain_leave(struct sim *s, uint32_t node);

/* ---- node.c: a service node's life ---- */
struct sim_held { /* by the store, the most of it since the node started (oracle_memory.c) */
    uint64_t records, segments, views;
};
enum node_phase { NODE_ABSENT, NODE_DOWN, NODE_UP, NODE_DYING };
struct sim_node {
    struct sim *sim;
    uint32_t index;
    enum node_phase phase;
    struct dice dice;
    struct ses_dsa_private *key;
    struct ses_node_secrets secrets;
    struct ses_node_keys keys;
    struct ses_endpoint endpoint;
    struct ses_node_id node_id;
    int64_t skew_ms;
    uint64_t slow_ms; /* the disk takes so long */
    struct ses_loop loop;
    struct ses_log log;
    struct sim_net net;
    struct sim_disk *disk;
    struct ses_store *store;
    struct ses_daemon *daemon;
    struct byz *byz; /* it lies; NULL: it is honest */
    bool power;      /* it died by loss of power */
    bool broken;     /* could not be opened: its operator will wipe it */
    bool spoiled;    /* its disk lost or changed what was synced: nothing is promised */
    uint64_t spoiled_ms;
    uint64_t reopened_ms;    /* its first start since then, which finds out; 0: none yet */
    uint64_t wiped_ms;       /* everything is gone; 0: never */
    uint64_t up_ms;          /* when it started last */
    bool cut_off;            /* from the chain, when it started: it has no map */
    uint64_t down_for_ms;    /* once dead */
    uint64_t power_after_ms; /* of its next start the power goes; 0: it does not */
    uint32_t start_cnt;
    uint64_t map_epoch; /* of its daemon, when looked at last */
    struct sim_held held;
    uint64_t late_ms; /* when it heard of an epoch that had long begun; 0: never */
};
void sim_node_init(struct sim *s, uint32_t index);
void sim_node_free(struct sim_node *node);
void sim_node_start(struct sim_node *node);
enum node_death { DEATH_STOP, DEATH_KILL, DEATH_POWER };
/* It comes back after `down_ms` (SIM_DEAD: not by itself). */
void sim_node_die(struct sim_node *node, enum node_death how, uint64_t down_ms);
bool sim_node_up(const struct sim_node *node);
/* It started without the chain, and has not heard of the map since, or only just. */
bool sim_node_blind(const struct sim_node *node);
/* Spoils what its disk holds: from now on nothing of what it promised before counts. */
void sim_node_spoil(struct sim_node *node);

/* ---- person.c, outbox.c, reader.c: people ---- */
struct sim_item; /* a message on its way */
struct sim_reading;
struct sim_person {
    struct sim *sim;
    uint32_t index, host;
    struct dice dice;
    struct ses_identity *identity;
    struct ses_card card;
    struct ses_hash inbox;
    struct ses_hash order_key;
    struct sim_net net;
    struct ses_map *map;
    struct ses_clock clock;
    int64_t skew_ms;
    uint32_t life; /* grows with each crash: answers to a former life are dropped */
    struct sim_item *items;
    struct ses_inbox_state inbox_state;
    struct ses_buf saved_inbox;
    struct sim_reading *reading;
    bool read_again;
    struct ses_flow *watch;
    bool want_watch;
    uint64_t read_ms; /* when a member answered last */
    struct ses_hash token;
    bool has_token; /* its hash is stored: others may write with it */
};
void sim_person_init(struct sim *s, uint32_t index);
void sim_person_free(struct sim_person *p);
void sim_person_crash(struct sim_person *p);
void sim_person_send(struct sim_person *p, uint32_t to, uint32_t bytes, uint8_t ttl_class);
void sim_person_read(struct sim_person *p);
void sim_person_watch(struct sim_person *p);
void sim_person_publish(struct sim_person *p);
/* delete.c: now and then deletes from the own inbox. */
void sim_person_deletes(struct sim_person *p);
uint64_t sim_person_now(const struct sim_person *p);
/* Whether one may ask: fetches the map if the epoch is over, or `force`. */
void sim_person_map(struct sim_person *p, bool force);
void sim_items_resume(struct sim_person *p);
void sim_items_drop(struct sim_person *p, bool saved);
void sim_reading_drop(struct sim_person *p);
/* Members of an inbox's swarm by the person's map, the Active first. */
uint32_t sim_person_members(const struct sim_person *p, const struct ses_hash *inbox,
                            uint32_t out[SES_MEMBERS_MAX], uint32_t *active_cnt);
void sim_target_of(struct ses_target *out, const struct ses_map_node *node);

/* ---- oracle.c: the promises ---- */
struct sim_msg {
    uint32_t number;
    uint32_t from, to;
    uint32_t bytes;
    uint8_t uuid[16];
    uint64_t born_ms;    /* since the start */
    uint64_t stored_ms;  /* when its sender was told; 0: not yet */
    uint64_t expires_ms; /* unix, of its segment */
    struct ses_hash id;
    struct ses_record_ids ids;
    struct ses_buf head; /* the record's first bytes, to find it on disks */
    uint8_t node_cnt;    /* that were named, by index */
    uint16_t nodes[SES_MEMBERS_MAX];
    bool spread;  /* every member was seen to hold it */
    bool calm;    /* stored in calm weather: D2 has 10 s */
    bool old_map; /* so was the sender's: others may have to get it first */
    bool read;
    bool shown;     /* its receipts were looked at */
    bool statement; /* it is a delete statement: nobody reads it */
    bool deleted;   /* its owner has asked for that */
    uint64_t spread_ms;
    /* demand.c: what the sender keeps */
    struct ses_receipt *receipts;
    uint8_t receipt_cnt;
    bool gathering;
};
struct sim_tomb;   /* oracle_delete.c: what a statement deletes */
struct sim_demand; /* demand.c */
struct sim_rot;    /* rot.c */
struct sim_draw;   /* oracle_withheld.c */
struct oracle {
    struct sim_msg *msgs;
    uint32_t cnt, cap;
    uint32_t epoch_cnt; /* epochs that were calm enough to be judged */
    uint32_t stored_cnt, delivered_cnt, checked_cnt, walk_cnt, page_cnt, fetch_cnt;
    uint64_t spread_ms_max;
    struct sim_tomb *tombs;
    uint32_t tomb_cnt, tomb_cap;
    struct sim_demand *demands;
    uint32_t demand_cnt, demand_cap;
    uint32_t owed_cnt, shown_cnt, paid_cnt; /* demands */
    struct sim_rot *rots;
    uint32_t rot_cnt;
    struct sim_draw *draws;
};
struct sim_msg *sim_msg_new(struct sim *s);
struct sim_msg *sim_msg_at(struct sim *s, uint32_t number);
/* A sender was told "stored". */
void oracle_stored(struct sim *s, struct sim_msg *m, const struct ses_stored *stored);
void oracle_answered(struct sim *s, uint32_t node, const uint8_t *body, size_t len);
/* A recipient's fetch is complete by its own rules. */
void oracle_fetched(struct sim *s, struct sim_person *p, const struct ses_fetch *fetch,
                    uint64_t started_ms);
void oracle_delivered(struct sim *s, struct sim_person *p, const uint8_t *body, size_t len,
                      const struct ses_opened1 *opened);
/* A recipient drops a record that does not open. */
void oracle_unopenable(struct sim *s, struct sim_person *p, const struct ses_hash *id);
/* A page as it came from a node. */
void oracle_page(struct sim *s, uint32_t node, const uint8_t *body, size_t len);
void oracle_node_up(struct sim *s, struct sim_node *node);
void oracle_check(struct sim *s);
void oracle_map(struct sim *s, struct sim_node *node);
void oracle_end(struct sim *s);
/* What the chain says of the epoch that just ended. */
void oracle_epoch(struct sim *s, uint64_t epoch);
void oracle_free(struct sim *s);
/* C3: walks an inbox at one node by small pages. */
void oracle_walk(struct sim *s, uint32_t node, uint32_t person);

/* ---- byz*.c: members that lie (byz.h) ---- */
#define BYZ_SEQ ((uint64_t)1 << 60) /* frames that no daemon sent */
void byz_draw(struct sim *s);
void byz_start(struct sim *s);
void byz_free(struct sim_node *node);
/* What a liar answers; true: one record is not what was asked for. */
bool byz_reply(struct sim_node *node, enum ses_proto proto, uint8_t op, struct ses_buf *body);
/* What a liar's daemon sends on a flow; false: it is not sent. */
bool byz_frame(struct sim_node *node, uint32_t to, enum ses_proto proto, struct ses_buf *body);
/* Whether a frame to a liar does not reach its daemon. */
bool byz_swallows(struct sim_node *node, struct ses_flow *flow, enum ses_proto proto,
                  const uint8_t *body, size_t len);
bool byz_asks(const struct sim_node *node, enum ses_proto proto);
void byz_submit(struct sim_node *node, struct ses_buf *tx);
/* Fewer than a third of the Active members lie. */
bool byz_bounded(const struct sim *s, const struct ses_map *map, uint32_t swarm);
void byz_was_caught(struct sim_node *node, uint32_t client);
void byz_asked(struct sim_node *node, uint32_t client, enum ses_proto proto, uint8_t op);
void byz_epoch(struct sim *s, uint64_t epoch);
void byz_receipts(struct sim *s, struct sim_msg *m);
/* A liar made this record, in a way that no honest member can notice. */
bool byz_forged(const struct sim *s, const struct ses_hash *id);
/* The node's disk is as it was promised for this message, and it is a member of the swarm. */
bool oracle_is_whole(struct sim *s, const struct sim_node *node, const struct sim_msg *m);
/* Nothing disturbed the epoch, from before the freeze of its commitments to now. */
bool oracle_undisturbed(const struct sim *s, uint64_t epoch);
/* When what its disk lost or changed was gone for the node. */
uint64_t oracle_lost_ms(const struct sim_node *node);
/* The others may not give it to the node yet (oracle_withheld.c). */
bool oracle_withheld(struct sim *s, const struct sim_node *node, const struct sim_msg *m);
/* Or not before this epoch began: what is hours old is compared every few minutes only. */
bool oracle_withheld_till_now(struct sim *s, const struct sim_node *node, const struct sim_msg *m);
/* Finds out what the running audit of a node draws; known some milliseconds later. */
void oracle_draw(struct sim *s, const struct sim_node *node);
void oracle_draws_free(struct sim *s);
/* An answer from node to node. */
void oracle_given(struct sim *s, uint32_t server, uint32_t client, enum ses_proto proto, uint8_t op,
                  const struct ses_buf *body);
/* A frame of /session/replicate/1 from the node that dialled. */
void oracle_pushed(struct sim *s, uint32_t from, uint32_t to, const uint8_t *body, size_t len);
/* D2 within an epoch: what was stored before `epoch` began, near its end; `prepare`: finds out for
 * whom audits are an excuse. */
void oracle_spread(struct sim *s, uint64_t epoch, bool prepare);

/* ---- oracle_delete.c ---- */
/* The owner signed a statement: the number of the message that it is. */
uint32_t oracle_delete_tried(struct sim *s, struct sim_person *p, const uint8_t *payload,
                             size_t len);
bool oracle_is_deleted(struct sim *s, const struct ses_hash *id);
/* The statements that delete this record, from `*at` on one after the other; NULL: no more. */
const struct sim_msg *oracle_deleted_by(struct sim *s, const struct ses_hash *id, uint32_t *at);
void oracle_deletes_check(struct sim *s);
void oracle_deletes_node(struct sim *s, struct sim_node *node);
/* A node hands out this record. */
void oracle_delete_page(struct sim *s, uint32_t node, const struct ses_page *page,
                        const struct ses_hash *id);
void oracle_list(struct sim *s, uint32_t node, const uint8_t *body, size_t len);

/* ---- oracle_memory.c: what a node may have on the heap ---- */
/* Its daemon and its store are freed. */
void oracle_memory_gone(struct sim_node *node);
void oracle_memory_check(struct sim *s);

/* ---- rot.c: records that rot on disk ---- */
/* The byte at `place` of a log is about to change. */
void oracle_rots(struct sim *s, uint32_t node, const char *path, const uint8_t *log, size_t len,
                 uint64_t place);
void oracle_rots_check(struct sim *s);
void oracle_rots_free(struct sim *s);

/* ---- demand.c: receipts, and demands for them on the chain ---- */
/* The sender fetches the receipts of what is stored, unless he has them. */
void sim_receipts_gather(struct sim_person *p, uint32_t msg);
void sim_demands_start(struct sim *s);
void oracle_demands(struct sim *s);
bool oracle_demanded(const struct sim *s, uint32_t node, uint64_t epoch);

/* ---- plan.c: what the seed has in store ---- */
#define SIM_FAULTS(X)                                                                              \
    X(WEATHER, "the network is slow and lossy")                                                    \
    X(CUT, "one host hears nothing of another")                                                    \
    X(PARTITION, "two halves of the nodes do not reach each other")                                \
    X(CLOG, "everything sent to a host waits")                                                     \
    X(HALF_OPEN, "connections of a node die on one side")                                          \
    X(SKEW, "a node's clock is off")                                                               \
    X(PERSON_SKEW, "a person's clock is off")                                                      \
    X(STOP, "a node is stopped and started")                                                       \
    X(KILL, "a node is killed")                                                                    \
    X(POWER, "a node loses power in the middle of its writes")                                     \
    X(BLACKOUT, "all nodes lose power at once")                                                    \
    X(OLD_CLOCK, "a node restarts with a clock hours behind")                                      \
    X(SLOW_DISK, "a disk is slow")                                                                 \
    X(FULL_DISK, "a disk is full")                                                                 \
    X(SYNC_ERROR, "a sync fails")                                                                  \
    X(READ_ERROR, "reads fail")                                                                    \
    X(BIT_FLIP, "a disk flips bits")                                                               \
    X(MISDIRECT, "a write goes to another place")                                                  \
    X(WIPE, "a node loses its disk")                                                               \
    X(CHAIN_STALL, "no block for a while")                                                         \
    X(CHAIN_EMPTY, "blocks without transactions")                                                  \
    X(CHAIN_LAG, "one machine of the chain falls behind")                                          \
    X(CHAIN_CUT, "a host does not reach the chain")                                                \
    X(CHAIN_RESTART, "a machine of the chain restarts")                                            \
    X(JOIN, "a node registers")                                                                    \
    X(LEAVE, "a node's owner ends its service")                                                    \
    X(PERSON_CRASH, "a person's program is killed")                                                \
    X(FLOOD, "a person writes very many messages to another")                                      \
    X(GARBAGE, "a stranger sends nonsense")                                                        \
    X(DOWN_WRITE, "as many members are down as a store bears")                                     \
    X(DOWN_READ, "all members but one are down")
enum fault_kind {
#define SIM_X(name, text) FAULT_##name,
    SIM_FAULTS(SIM_X)
#undef SIM_X
        FAULT_CNT
};
struct fault {
    uint64_t at_ms;
    enum fault_kind kind;
    uint32_t a, b;
    uint64_t for_ms;
    uint64_t seed; /* of its own dice */
    bool dropped;  /* left out while shrinking */
};
struct plan {
    struct fault *faults;
    uint32_t cnt, cap;
};
void plan_make(struct sim *s);
void plan_start(struct sim *s);
struct sim *sim_current(void); /* the one world of this process */
void fault_begin(struct sim *s, struct fault *f);
void fault_text(char out[TRACE_CHARS], const struct fault *f);
const char *fault_name(enum fault_kind kind);
void sim_garbage(struct sim *s, struct fault *f);
void sim_fair_weather(struct sim *s);

/* ---- sim.c ---- */
struct sim_setup {
    uint64_t seed;
    uint32_t nodes; /* 0: by the dice */
    uint32_t people;
    uint64_t hours_max;
    bool trace;
    const struct plan *plan; /* NULL: from the seed */
};
struct verdict_of_run {
    bool failed;
    char promise[8];
    char text[400];
    uint64_t at_ms;
    uint64_t hash;
    uint64_t event_cnt;
    uint64_t virtual_ms;
    uint32_t node_cnt, msg_cnt, stored_cnt, delivered_cnt, fault_cnt;
    uint64_t crash_cnt;
    uint32_t epoch_cnt; /* that were judged */
    uint32_t fetch_cnt, walk_cnt;
    uint32_t deleted_cnt, demand_cnt, shown_cnt, paid_cnt;
    uint64_t spread_ms_max;
    uint64_t memory_bytes_max;   /* of a node */
    uint64_t memory_percent_max; /* of what it may have at rest */
    uint64_t seen[SEEN_CNT];
};
struct sim {
    struct sim_setup setup;
    uint64_t seed;
    uint64_t now_ms, end_ms;
    struct events events;
    struct trace trace;
    struct dice net_dice, plan_dice, vfs_dice;
    struct weather weather;
    uint64_t storm_until_ms; /* some fault has its way until then */
    struct lane lanes[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
    struct sim_chain chain;
    struct sim_node nodes[SIM_NODES_MAX];
    uint32_t node_cnt;
    struct sim_person people[SIM_PEOPLE_MAX];
    uint32_t person_cnt;
    struct sim_net stranger;
    struct oracle oracle;
    struct plan plan;
    struct verdict_of_run verdict;
    uint64_t connection_cnt;
    bool ending;
    uint32_t byz_cnt;  /* nodes that lie */
    bool churn;        /* members move: nodes join and leave, swarms rotate, split and merge */
    uint64_t moved_ms; /* when they did last */
};
/* A promise is broken: the run ends. The first one counts. */
__attribute__((format(printf, 3, 4))) void sim_broken(struct sim *s, const char *promise,
                                                      const char *format, ...);
bool sim_calm(const struct sim *s, uint64_t for_ms);
void sim_storm(struct sim *s, uint64_t for_ms);
/* One run from beginning to end. `plan` gets what was planned if not NULL (plan_free). */
void sim_run(struct verdict_of_run *out, const struct sim_setup *setup, struct plan *plan,
             char (*lines)[TRACE_CHARS]);
void plan_free(struct plan *plan);

#endif
