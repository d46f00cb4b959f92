/* Completeness: what each member of a swarm committed to for one inbox, and where they differ.
 * Members show it by proofs against their commitments on the chain; nothing is taken on a node's
 * word. No I/O.
 *
 *     segments ─► [ask each member] ─► ses_complete_proof ─┐
 *     receipts held ─► ses_complete_promise ───────────────┴─► ses_complete_finish ─► findings
 *
 * One lying member can show whatever it likes under its own root. So a record counts against those
 * that lack it if more than half of the proven members show it, or if they signed a receipt for it
 * themselves; what only a minority shows is a finding about that minority.
 */
#ifndef SES_MESSAGING_COMPLETE_H
#define SES_MESSAGING_COMPLETE_H

#include "swarm/swarm.h"

#define SES_COMPLETE_LEAVES_MAX 65536u /* of one member */
#define SES_COMPLETE_SEGMENTS_MAX 2048u

enum ses_complete_state {
    SES_COMPLETE_SILENT, /* no proof: not asked, no answer, or refused (`err`) */
    SES_COMPLETE_NEW,    /* no commitment, and owes none yet */
    SES_COMPLETE_NONE,   /* no commitment although it owes one */
    SES_COMPLETE_FALSE,  /* its answer is no proof about its commitment */
    SES_COMPLETE_PROVEN, /* shown for every segment that was asked for */
};
struct ses_complete_member {
    struct ses_node_id node_id;
    enum ses_complete_state state;
    enum ses_err err;
    bool committed;
    struct ses_committed commitment; /* if committed */
    struct ses_leaf *leaves;         /* of the inbox */
    uint32_t leaf_cnt, leaf_cap;
    uint32_t missing, promised, undeleted, deleted, extra; /* findings, see below */
};

enum ses_complete_kind {
    SES_COMPLETE_MISSING,   /* it does not show a record that most members show */
    SES_COMPLETE_PROMISED,  /* ... for which it signed a receipt: it can be demanded of it */
    SES_COMPLETE_UNDELETED, /* most show it deleted, this one does not */
    SES_COMPLETE_DELETED,   /* it shows it deleted, most do not */
    SES_COMPLETE_EXTRA,     /* a record that most do not show: late, or made up */
};
struct ses_complete_finding {
    enum ses_complete_kind kind;
    uint32_t member;
    struct ses_leaf leaf;
    uint32_t holders; /* proven members that show it */
    uint32_t proven;  /* of so many */
};
/* One record of the union. Bit i: member i. */
struct ses_complete_record {
    struct ses_leaf leaf;
    uint64_t holders;
    uint64_t deleted; /* of the holders: shown as kind 1 */
    uint64_t signers; /* receipts held */
};
struct ses_complete {
    struct ses_hash digest;
    uint64_t epoch;
    uint32_t member_cnt;
    struct ses_complete_member members[SES_MEMBERS_MAX];
    struct ses_complete_record *records; /* by key, time, class */
    uint32_t record_cnt, record_cap;
    uint64_t proven; /* bits */
};
void ses_complete_init(struct ses_complete *c, const struct ses_hash *digest, uint64_t epoch);
void ses_complete_free(struct ses_complete *c);
/* The segments that S_epoch of any member can hold records in, ascending, none that ended before
 * since_ms; their number, at most SES_COMPLETE_SEGMENTS_MAX. */
uint32_t ses_complete_segments(struct ses_segment out[SES_COMPLETE_SEGMENTS_MAX],
                               const struct ses_times *times, uint64_t epoch, uint64_t since_ms);
/* A member in state SILENT with err UNREACHABLE. Its number is member_cnt - 1 afterwards; ERR_FULL.
 */
SES_CHECKED enum ses_err ses_complete_add(struct ses_complete *c,
                                          const struct ses_node_id *node_id);
/* Checks what a member says of these segments, and keeps the leaves. ERR_PEER, and the member is
 * FALSE from now on; ERR_FULL (too many records), ERR_MEMORY. The caller sets PROVEN after the last
 * of its segments. */
SES_CHECKED enum ses_err ses_complete_proof(struct ses_complete *c, uint32_t member,
                                            const struct ses_segment *segments,
                                            uint32_t segment_cnt, const uint8_t *proof, size_t len);
/* A receipt whose signature was checked, of a member (or of nobody here: ignored). It counts if it
 * promises the record for this epoch. */
SES_CHECKED enum ses_err ses_complete_promise(struct ses_complete *c,
                                              const struct ses_receipt *receipt,
                                              const struct ses_times *times);
/* Merges and compares. Once more after later promises is allowed. */
SES_CHECKED enum ses_err ses_complete_finish(struct ses_complete *c);
/* The next finding at or after (*record, *member), both zero at first; false at the end. */
bool ses_complete_next(const struct ses_complete *c, uint32_t *record, uint32_t *member,
                       struct ses_complete_finding *out);
/* Proven and without a finding. */
bool ses_complete_is(const struct ses_complete_member *member);

#endif
