/* Inside daemon: reconciliation with the other members (storage page, Reconciliation).
 *
 *     wheel ──► run against a member ─► compare ─► fetch ─► offer     sync_run.c, reconcile.h
 *       │                                  └─► bulk of whole segments bulk.c
 *       ├──► what another swarm serves now: compare, offer, forget    leave.c
 *       │    (both first ask for sums: sums.c)
 *     serve ──► answers of rows, nodes, fetch, sums                   sync_serve.c
 *     damage ─► one record from whoever has it                        heal.c
 *
 * The wheel turns every `base_ms`: the last hours are compared with one member at each turn, all
 * segments with one every 12, old ones repaired every 60. A node that starts, or got another seat,
 * is *partial* until it has compared everything with so many members, or those that left, that no
 * stored record can be missing (ses_sync_compared_enough): until then its pages say so. */
#ifndef SES_DAEMON_SYNC_H
#define SES_DAEMON_SYNC_H

#include "daemon/daemon.h"
#include "daemon/reconcile.h"

struct heal;
struct intake;
struct intake_item;

#define SYNC_PEERS (2u * SES_MEMBERS_MAX)
/* Swarms of the epoch before whose members count: the same, the other of a merge, the whole of a
 * split. */
#define SYNC_ORIGINS 3u
#define SYNC_SOURCES_MAX ((1u + SYNC_ORIGINS) * SES_MEMBERS_MAX)
#define SYNC_RUNS_MAX 6u
#define SYNC_FETCHES_MAX 3u   /* requests for records of one run, under way */
#define SYNC_REPLIES_MAX 32u  /* questions being answered, of all members */
#define SYNC_REPLIES_PEER 8u  /* of one */
#define SYNC_RATE 200u        /* questions a second of one member, burst twice that */
#define SYNC_STRIKES_MAX 3u   /* runs in a row that delivered next to nothing of what was told */
#define SYNC_WITHHELD_MAX 16u /* leaves that an audit draws */
#define BULK_SEGMENTS_MAX RECONCILE_SEGMENTS_MAX
#define BULK_LOADS_MAX 16u   /* segments at a time: what a long fat link holds */
#define BULK_LOADS_MEMBER 5u /* of one source; it answers SYNC_REPLIES_PEER at a time */
#define BULK_MEMBERS_MAX 4u
#define BULK_TRIES_MAX 3u /* of a page */
#define LEAVE_SWARMS_MAX 64u

/* What is known of another member; the oldest gives way. */
struct sync_peer {
    bool used;
    struct ses_node_id node_id;
    uint64_t used_ms; /* monotonic */
    /* since this node became partial: */
    bool compared; /* in whole */
    bool full;     /* when it held everything itself */
    uint8_t strikes;
    uint64_t cut_until_ms;
    uint32_t replies; /* to it, under way */
    /* leaves that its running audit draws: not given to it until its response is on chain */
    uint64_t audit_epoch;     /* of the draw; 0: unknown */
    uint8_t withheld_cnt;     /* in the withheld of struct sync */
    uint64_t responded_epoch; /* whose response is on chain, as far as the chain was asked */
    uint64_t ask_ms;          /* monotonic: not before */
};

/* How a run ended. */
struct sync_result {
    enum ses_err err;
    bool complete; /* everything that was compared is equal here now, as far as can be known */
    bool partial;  /* the other side lacks something itself, by its own word */
    bool covers;   /* the other side lacks nothing that is here */
    uint32_t fetched, undelivered, offered;
    uint32_t refused; /* came, and were not stored: no space, say */
};
typedef void sync_done_fn(void *cookie, const struct sync_result *result);

enum sync_phase { SYNC_COMPARE, SYNC_WAIT, SYNC_FETCH, SYNC_OFFER };
/* Groups [at, to) of the wants, asked for in one request; an answer on its way into the store. */
struct sync_fetch {
    struct sync_run *run; /* NULL: a free place */
    uint32_t at, to;
    struct intake *in;
    uint8_t *frame;
    bool more;
    uint16_t delivered;
};
struct sync_run {
    struct sync_run *next;
    struct ses_daemon *d;
    struct ses_target target;
    struct reconcile *core;
    enum sync_phase phase;
    bool may_fetch; /* else it only compares and offers */
    bool by_offer;
    bool waking; /* from SYNC_WAIT */
    uint32_t at; /* first group in wants or gives that was not yet sent */
    struct sync_fetch fetches[SYNC_FETCHES_MAX];
    uint32_t fetch_cnt;
    enum ses_err fetch_err;
    uint64_t fetch_end_ms; /* monotonic */
    uint64_t end_ms;       /* monotonic, of the phase */
    bool lied, starved;
    bool lacks;           /* something came and was not stored */
    uint64_t deleted_cnt; /* of the store, when it began */
    struct sync_result result;
    sync_done_fn *done;
    void *cookie;
};

/* Whole segments in bulk. First the sums of some members are gathered; a segment is taken from
 * those that say the same of it, within what they say. */
enum bulk_state { BULK_WANTED, BULK_LOADING, BULK_DONE };
struct bulk_segment {
    struct ses_segment segment;
    enum bulk_state state;
    bool known;  /* `sum` and `sources` are made */
    bool agreed; /* two members said it */
    struct ses_sum sum;
    uint32_t sources;   /* bits of bulk.members; those that failed are taken out */
    uint8_t tries;      /* at this source */
    uint64_t offset;    /* at this source */
    uint64_t taken_cnt; /* from this source */
    uint32_t bare_cnt;  /* pages in a row without a record, at this source */
};
struct bulk_member {
    struct ses_node_id node_id;
    bool answered;
    uint32_t load_cnt;
    struct ses_sync_segment *sums;
    uint32_t sum_cnt;
};
struct bulk_load;
struct bulk {
    struct bulk_segment *segments; /* BULK_SEGMENTS_MAX; NULL: nothing to do */
    uint32_t segment_cnt, done_cnt, load_cnt;
    struct bulk_member members[BULK_MEMBERS_MAX];
    uint32_t member_cnt, asking;
    bool gathered;
    bool pumping;
    bool finished;       /* once since the node became partial: the rest is reconciliation's */
    uint64_t until_ms;   /* monotonic; a slow source must not keep the node partial */
    uint64_t generation; /* of what is asked: answers to former questions are dropped */
};

/* A swarm whose records are here though this node has no seat in it. */
struct leave_swarm {
    uint32_t swarm;
    uint32_t asked_cnt; /* members that were asked in this round */
    uint32_t agreed_cnt;
    struct ses_node_id agreed[SES_MEMBERS_MAX]; /* they hold all of it, too */
    struct ses_sync_segment *segments;          /* ours, as they were when the round began */
    uint32_t segment_cnt;
};
struct leave {
    bool owed;       /* there may be such records */
    bool busy;       /* something is asked */
    bool unlisted;   /* some swarm found no room: nothing is forgotten in this round */
    bool in_grace;   /* when the round began: more may have come since */
    uint32_t listed; /* swarms looked at so far */
    struct leave_swarm *swarms;
    uint32_t swarm_cnt, at;
    uint64_t next_ms; /* monotonic */
    uint64_t generation;
};

struct sync {
    struct ses_timer *timer;
    uint64_t turn;
    bool hurried; /* the next turn comes soon */
    uint64_t base_ms;
    bool partial;
    struct ses_sync_set seat; /* what is compared; num_swarms 0: none */
    uint64_t map_epoch;       /* of the map that the seat is from */
    struct sync_run *runs;
    uint32_t run_cnt;
    struct sync_run *fetching; /* the run that fetches; others wait */
    uint64_t fetch_until_ms;   /* monotonic; then others do so, too */
    uint64_t no_space_ms;      /* monotonic; until then there was no space for a record */
    uint32_t reply_cnt;
    bool inquiring; /* the chain is asked whether some member's audit is over */
    struct sync_peer peers[SYNC_PEERS];
    struct ses_hash withheld[SYNC_PEERS][SYNC_WITHHELD_MAX]; /* by peer: record ids */
    uint64_t relay_epoch;  /* whose last records are passed on; 0: none */
    uint64_t freeze_epoch; /* compared before the freeze of this one */
    struct bulk bulk;
    struct leave leave;
    struct heal *heals;
    uint32_t heal_cnt, heal_busy;
    uint32_t heal_left; /* steps of this turn */
};

/* ---- sync.c ---- */
SES_CHECKED enum ses_err ses_sync_start(struct ses_daemon *d);
void ses_sync_stop(struct ses_daemon *d);
void ses_sync_free(struct ses_daemon *d);
void ses_sync_follow_map(struct ses_daemon *d);
/* The wheel turns at once, as it were: there is something new to compare. */
void ses_sync_soon(struct ses_daemon *d);
struct sync_peer *ses_sync_peer(struct ses_daemon *d, const struct ses_node_id *node_id);
/* Other Active members of the seat that are not cut off, in random order: indexes into the map. */
uint32_t ses_sync_partners(struct ses_daemon *d, uint32_t *out, uint32_t max);
/* Whom to ask to catch up: the other members, and once those that left since the last epoch, or are
 * about to: up to SYNC_SOURCES_MAX indexes into the map, in random order. */
uint32_t ses_sync_sources(struct ses_daemon *d, uint32_t *out);
/* Has this node compared with so many that nothing stored can be missing? */
bool ses_sync_compared_enough(const struct ses_daemon *d);
/* For a while nothing is taken from it. */
void ses_sync_cut_off(struct ses_daemon *d, const struct ses_node_id *node_id, const char *why);
void ses_sync_settled(struct ses_daemon *d); /* a run or bulk ended: still partial? */
/* Compares everything with two other members, so that honest ones commit to the same set; `done`
 * (NULL allowed) tells with how many it worked. */
void ses_sync_before_freeze(struct ses_daemon *d, void (*done)(void *cookie, unsigned cnt),
                            void *cookie);
/* Compares everything with a member soon, so that it is offered what it lacks. */
void ses_sync_offer(struct ses_daemon *d, const struct ses_node_id *node_id);
bool ses_sync_target(const struct ses_daemon *d, const struct ses_node_id *node_id,
                     struct ses_target *out);
/* Whether this node has caught up with a swarm of which the set is the whole or a part. */
bool ses_sync_holds(const struct ses_daemon *d, const struct ses_sync_set *set);
/* Whether a node holds, or just held, a seat that serves the set. */
bool ses_sync_entitled(const struct ses_daemon *d, const struct ses_node_id *node_id,
                       const struct ses_sync_set *set);

/* ---- sums.c ---- */
struct sync_sums {
    enum ses_err err;
    bool partial;                  /* the member has not caught up itself */
    struct ses_sync_segment *sums; /* in order, each segment once; borrowed for the call */
    uint32_t sum_cnt;
};
/* All sums of a set that a member has; `done` exactly once and later, or an error at once. A member
 * that says more than can be live gives ERR_TOO_LARGE. */
SES_CHECKED enum ses_err
ses_sync_ask_sums(struct ses_daemon *d, const struct ses_node_id *node_id,
                  const struct ses_sync_set *set,
                  void (*done)(void *cookie, const struct sync_sums *result), void *cookie);

/* ---- sync_run.c ---- */
struct sync_start {
    const struct ses_node_id *node_id;
    struct reconcile_params params; /* without nonce */
    bool fetches;
    sync_done_fn *done; /* exactly once, not from inside the call; NULL allowed */
    void *cookie;
};
/* ERR_FULL: too many runs; ERR_EXISTS: one with this member is under way. */
SES_CHECKED enum ses_err ses_sync_run(struct ses_daemon *d, const struct sync_start *start);
/* Runs that wait for another's fetching go on: they compare again. */
void ses_sync_wake(struct ses_daemon *d);
/* The member offers what we may lack. ERR_FULL also while something is fetched. */
SES_CHECKED enum ses_err ses_sync_offered(struct ses_daemon *d, const struct ses_node_id *node_id,
                                          const struct reconcile_params *params,
                                          const struct ses_sync_group *groups, uint32_t cnt);

/* One record whose name is known. */
SES_CHECKED enum ses_err ses_sync_fetch_one(struct ses_daemon *d, const struct ses_node_id *node_id,
                                            const struct reconcile_params *params,
                                            const struct ses_sync_place *place, uint64_t name,
                                            sync_done_fn *done, void *cookie);

/* ---- sync_serve.c, bulk_serve.c ---- */
void ses_sync_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
void ses_bulk_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len);
/* The common beginning: who asks, how much is under way. Refuses and returns NULL, or counts a
 * reply. */
struct sync_peer *ses_sync_begin(struct ses_daemon *d, struct ses_call *call);
void ses_sync_end(struct ses_daemon *d, const struct ses_node_id *node_id);

/* ---- withhold.c ---- */
/* Makes known what the running audit of a member draws, then calls back (maybe at once). After an
 * error that is not known, and the member must be given no record. */
void ses_withhold_learn(struct ses_daemon *d, const struct ses_node_id *node_id,
                        void (*done)(void *cookie, enum ses_err err), void *cookie);
/* It is known, or there is nothing to know. */
bool ses_withhold_known(struct ses_daemon *d, const struct ses_node_id *node_id);
/* False: a record of that time is too young for any audit that runs. */
bool ses_withhold_concerns(const struct ses_daemon *d, uint64_t ts_ms);
/* A record that it asks for must not be given to it: it is drawn, and its response is not known to
 * be on chain. Counts, and asks the chain from time to time. */
bool ses_withhold(struct ses_daemon *d, const struct ses_node_id *node_id,
                  const struct ses_hash *id);

/* ---- bulk.c ---- */
void ses_bulk_add(struct ses_daemon *d, const struct reconcile_bulk *bulks, uint32_t cnt);
void ses_bulk_pump(struct ses_daemon *d);
bool ses_bulk_busy(const struct ses_daemon *d);
void ses_bulk_forget(struct ses_daemon *d);

/* ---- leave.c ---- */
void ses_leave_turn(struct ses_daemon *d);
/* Another seat, or the end: begins anew, or not. */
void ses_leave_forget(struct ses_daemon *d, bool owed);

/* ---- heal.c ---- */
/* False without room: it is to be told again when it is found again. */
bool ses_heal_damage(void *cookie, const struct ses_hash *id, const struct ses_segment *segment);
void ses_heal_turn(struct ses_daemon *d);
void ses_heal_free(struct ses_daemon *d);

#endif
