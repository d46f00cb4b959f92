/* Inside daemon: reconciliation without I/O (storage page, Reconciliation). Frames in, frames out;
 * what a side wants to know of its own forest it says as a `need`, and is given.
 *
 *   asking side    SEGMENTS ─ send rows ─► ( CHILDREN ─ send nodes ─► CHILDREN, LEAVES )* ─► DONE
 *   answering side rows: SEGMENTS ─ send      nodes: CHILDREN ─ CHILDREN ─ LEAVES* ─ send
 *
 * The asking side ends with what it lacks (`wants`, to be fetched), what the other side lacks
 * (`gives`, to be offered) and segments of which so much is missing that they are better taken in
 * bulk. Nothing that the other side says makes either side hold more than the limits below. */
#ifndef SES_DAEMON_RECONCILE_H
#define SES_DAEMON_RECONCILE_H

#include "protocol/protocol.h"
#include "storage/storage.h"

#define RECONCILE_SEGMENTS_MAX 2048u
#define RECONCILE_TODO_MAX 65536u  /* places still to compare */
#define RECONCILE_WANTS_MAX 65536u /* leaves that are missing here */
#define RECONCILE_GIVES_MAX 4096u  /* leaves that are missing there */
#define RECONCILE_ROUNDS_MAX 2048u /* requests of one run */
#define RECONCILE_BULK_MAX 2048u
#define RECONCILE_NAMES 16u         /* leaves that are named at a time */
#define RECONCILE_BULK_MIN 64u      /* missing leaves of a segment from which on bulk pays */
#define RECONCILE_GROUP_LEAVES 256u /* that a place in fetch or offer may hold */

enum reconcile_kind {
    RECONCILE_SEGMENTS, /* every segment, ascending */
    RECONCILE_CHILDREN, /* of `asks` */
    RECONCILE_LEAVES,   /* of `range`, at most `leaf_max` */
    RECONCILE_SEND,     /* `frame`; the asking side then waits for the answer */
    RECONCILE_DONE
};
struct reconcile_need {
    enum reconcile_kind kind;
    uint32_t from_hour; /* segments */
    struct ses_children_ask *asks;
    size_t ask_cnt, ask_cap;
    struct ses_forest_range range;
    size_t leaf_max;
    struct ses_buf frame;
};
/* Room for `cnt` asks, which become the need. */
SES_CHECKED enum ses_err reconcile_need_children(struct reconcile_need *need, size_t cnt);

/* A list of groups of short names. */
struct reconcile_list {
    struct ses_sync_group *groups;
    uint32_t group_cnt, group_cap;
    uint32_t short_cnt, short_max;
    bool full; /* something was left out */
};
void reconcile_list_free(struct reconcile_list *list);

/* ---- the asking side ---- */
struct reconcile_params {
    struct ses_sync_set set;
    struct ses_sync_nonce nonce; /* fresh */
    bool whole;                  /* all segments; else those of the days of now and `from_hour` */
    uint32_t from_hour;          /* differences of older segments are only noticed */
    uint32_t now_hour;
    bool bulk; /* may leave segments to bulk transfer */
};
struct reconcile_bulk {
    struct ses_segment segment;
    uint64_t count; /* of the other side */
};
struct reconcile {
    struct reconcile_need need;
    struct reconcile_params p;
    struct reconcile_list wants, gives;
    struct reconcile_bulk *bulks;
    uint32_t bulk_cnt;
    bool partial; /* the other side said so of itself */
    bool older;   /* segments before from_hour differ */
    bool cut;     /* a limit ended the run early: there are more differences */
    bool endless; /* so, by rounds or bytes: there was always more that differs */
    uint32_t round_cnt;
    uint64_t bytes_out, bytes_in;
    struct reconcile_ask *ask; /* reconcile_ask.c */
};
SES_CHECKED enum ses_err reconcile_new(struct reconcile **out,
                                       const struct reconcile_params *params);
/* For an offer: which of `groups` (the other side's words) are missing here. */
SES_CHECKED enum ses_err reconcile_offered(struct reconcile **out,
                                           const struct reconcile_params *params,
                                           const struct ses_sync_group *groups, uint32_t cnt);
void reconcile_free(struct reconcile *r);
/* What was needed. ERR_MEMORY ends the run. */
SES_CHECKED enum ses_err reconcile_segments(struct reconcile *r,
                                            const struct ses_segment_state *segments, size_t cnt);
SES_CHECKED enum ses_err reconcile_children(struct reconcile *r, const struct ses_sum (*sums)[16],
                                            size_t cnt);
SES_CHECKED enum ses_err reconcile_leaves(struct reconcile *r, const struct ses_leaf *leaves,
                                          size_t cnt);
/* The other side's answer to what was sent. ERR_MALFORMED and the like: it breaks the rules. A
 * refusal's own status. */
SES_CHECKED enum ses_err reconcile_answer(struct reconcile *r, const uint8_t *body, size_t len);

/* ---- the answering side: of rows, nodes, fetch, sums ---- */
struct reconcile_reply {
    struct reconcile_need need;
    struct ses_sync_ask ask; /* op, set */
    /* fetch: the leaves that were asked for and are here; the frame is the caller's matter */
    struct ses_leaf *found;
    uint32_t found_cnt;
    bool partial; /* set by the caller, for rows and sums */
    struct reconcile_told *told;
};
SES_CHECKED enum ses_err reconcile_reply_new(struct reconcile_reply **out, const uint8_t *body,
                                             size_t len);
void reconcile_reply_free(struct reconcile_reply *r);
SES_CHECKED enum ses_err reconcile_reply_segments(struct reconcile_reply *r,
                                                  const struct ses_segment_state *segments,
                                                  size_t cnt);
SES_CHECKED enum ses_err reconcile_reply_children(struct reconcile_reply *r,
                                                  const struct ses_sum (*sums)[16], size_t cnt);
SES_CHECKED enum ses_err reconcile_reply_leaves(struct reconcile_reply *r,
                                                const struct ses_leaf *leaves, size_t cnt);

/* ---- frames of lists ---- */
/* A fetch or offer with the groups from *at on, at most `short_max` names; *at moves on. */
SES_CHECKED enum ses_err reconcile_list_frame(struct ses_buf *out, uint8_t op,
                                              const struct reconcile_params *params,
                                              const struct reconcile_list *list, uint32_t *at,
                                              uint32_t short_max);

/* ---- places ---- */
void reconcile_place_child(struct ses_sync_place *out, const struct ses_sync_place *place,
                           unsigned nibble);
void reconcile_place_range(struct ses_forest_range *out, const struct ses_sync_place *place);
bool reconcile_place_holds(const struct ses_sync_place *place, const struct ses_leaf_key *key);
/* How many of the leaves, which are in order, the place holds; they begin at `first`. */
size_t reconcile_place_leaves(size_t *first, const struct ses_sync_place *place,
                              const struct ses_leaf *leaves, size_t cnt);
void reconcile_place_ask(struct ses_children_ask *out, const struct ses_sync_place *place);
void reconcile_segment_id(struct ses_segment_id *out, const struct ses_segment *segment);
void reconcile_segment_of(struct ses_segment *out, const struct ses_segment_id *id);
SES_CHECKED enum ses_err reconcile_list_add(struct reconcile_list *list,
                                            const struct ses_sync_place *place, uint64_t name);

#endif
