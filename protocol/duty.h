/* What service nodes owe the chain each epoch, and what the chain said of it (registry page,
 * Epochs): commitments, openings, judgements. */
#ifndef SES_PROTOCOL_DUTY_H
#define SES_PROTOCOL_DUTY_H

#include "protocol/record.h"

#define SES_AUDIT_LEAVES_MAX 4u /* of the genesis: more would not fit into a response */
#define SES_DEMANDS_MAX 2u      /* of one node in one epoch */
#define SES_OWED_MAX (SES_AUDIT_LEAVES_MAX + SES_DEMANDS_MAX)
#define SES_VERDICT_BYTES_MAX 32u
#define SES_OPENING_PATH_MAX 9u /* siblings of one of SES_CHUNKS_MAX chunks */

/* R_e of a node, as the chain keeps it for three epochs. */
struct ses_committed {
    struct ses_node_id node_id;
    uint64_t epoch;
    uint32_t swarm;
    uint32_t num_swarms; /* of that epoch: which inboxes the swarm held */
    struct ses_hash root;
    uint64_t count;
    uint64_t bytes;
    struct ses_hash reveal;
};
/* Without node_id, which the state key carries: epoch, swarm, num_swarms, root, count, bytes,
 * reveal. */
#define SES_COMMITTED_BYTES (8u + 4u + 4u + 32u + 8u + 8u + 32u)
void ses_committed_write(struct ses_writer *w, const struct ses_committed *c);
void ses_committed_read(struct ses_reader *r, struct ses_committed *c);
/* The chain's next_commit of a reveal: B(0x0E, reveal). */
void ses_reveal_commit(struct ses_hash *out, const struct ses_hash *reveal);

/* One leaf that a response has to open. Openings name it by its place in the list of what is owed:
 * audits in the order of their draws, then demands in the order of their acceptance. */
enum ses_owed_kind { SES_OWED_AUDIT = 1, SES_OWED_DEMAND = 2 };
struct ses_owed {
    enum ses_owed_kind kind;
    uint64_t position;             /* audit: of the leaf in the whole forest */
    struct ses_segment_id segment; /* demand */
    struct ses_leaf_key key;       /* demand: digest, id */
    uint64_t chunk_draw;           /* mod the number of chunks of the leaf */
};

/* An opened leaf. The proof of the response shows the leaf; this shows a chunk of its record. The
 * leaf of a deleted record (kind 1, size 0) stands alone; that of a delete statement (kind 1, with
 * a size) is opened like a message. */
struct ses_opening {
    uint8_t index;  /* in what is owed */
    bool leaf_only; /* a deleted record: nothing follows */
    struct ses_hash header_hash;
    struct ses_hash payload_root;
    uint16_t chunk_len; /* 0 for an empty payload */
    const uint8_t *chunk;
    uint8_t path_cnt;
    struct ses_hash path[SES_OPENING_PATH_MAX];
};
void ses_opening_write(struct ses_writer *w, const struct ses_opening *o);
/* `chunk` is a view into the reader's bytes. */
void ses_opening_read(struct ses_reader *r, struct ses_opening *o);
/* The opening of a record that is held: chunk `draw` mod their number, and its path. */
void ses_opening_make(struct ses_opening *out, uint8_t index, const struct ses_record *record,
                      const struct ses_record_ids *ids, uint64_t draw);
/* Whether the opening shows chunk `draw` of the record that `leaf` stands for. SES_ERR_CHECKSUM. */
SES_CHECKED enum ses_err ses_opening_check(const struct ses_opening *o, const struct ses_leaf *leaf,
                                           uint64_t draw);

/* Where a node stands with the chain in the running epoch. */
struct ses_duty {
    struct ses_node_id node_id;
    uint64_t epoch;
    bool committed;
    bool responded;
    uint8_t shown; /* bit i: its response opened owed[i] */
    bool has_root; /* it committed in epoch - 1 */
    struct ses_committed root;
    uint32_t owed_cnt;
    struct ses_owed owed[SES_OWED_MAX];        /* to be opened by its response of this epoch */
    uint32_t demanded_cnt;                     /* accepted in this epoch: owed in the next one */
    struct ses_owed demanded[SES_DEMANDS_MAX]; /* without chunk_draw */
};

/* Why a node missed an epoch: the letters of the registry page, step 1. */
enum ses_cause {
    SES_CAUSE_COMMITMENT = 1 << 0,  /* a: no commitment */
    SES_CAUSE_RESPONSE = 1 << 1,    /* b: no response */
    SES_CAUSE_OPENING = 1 << 2,     /* c: an owed opening is lacking */
    SES_CAUSE_FREE = 1 << 3,        /* d: too little free space */
    SES_CAUSE_UNREACHABLE = 1 << 4, /* e: its testers did not reach it */
    SES_CAUSE_DEVIANT = 1 << 5,     /* f: off the canonical root for too long */
};
#define SES_CAUSE_CNT 6u
/* "commitment", "response", ...; bit < SES_CAUSE_CNT */
const char *ses_cause_text(unsigned bit);
enum ses_judged {
    SES_JUDGED_FORGIVEN = 1 << 0,       /* an outage: costs nothing */
    SES_JUDGED_SEAT_LOST = 1 << 1,      /* this miss took the seat */
    SES_JUDGED_DECOMMISSIONED = 1 << 2, /* this miss ended its service */
    SES_JUDGED_OFF_ROOT = 1 << 3,       /* committed to another root than the canonical one */
    SES_JUDGED_UNREACHED = 1 << 4,      /* its testers did not reach it in this epoch */
};
/* What the chain noted about one node in one epoch: a miss, or a warning. */
struct ses_judgement {
    struct ses_node_id node_id;
    uint64_t epoch;
    uint8_t causes;    /* of enum ses_cause; 0: no miss */
    uint8_t flags;     /* of enum ses_judged */
    uint8_t lacking;   /* bit i: owed opening i */
    uint16_t tested;   /* testers whose verdict counts */
    uint16_t answered; /* of them, by a response */
    uint16_t reached;  /* of them, with a yes */
    uint64_t slashed;  /* nLUX */
};
/* node_id, causes, flags, lacking, tested, answered, reached, slashed: the epoch is the list's. */
#define SES_JUDGEMENT_BYTES (20u + 3u + 6u + 8u)
void ses_judgement_write(struct ses_writer *w, const struct ses_judgement *j);
void ses_judgement_read(struct ses_reader *r, struct ses_judgement *j);

#endif
