/* Inside libsession: what verify.c and verify_report.c share, and what a hostile member reaches. */
#ifndef SES_CLIENT_VERIFY_H
#define SES_CLIENT_VERIFY_H

#include "client/client_internal.h"

/* What a member hands out: ids by value, ascending. */
struct served {
    bool listed;
    struct ses_hash *ids;
    uint32_t cnt;
    uint32_t unserved;
};
/* Segments [at, at + cnt) are being asked of a member. */
struct asking {
    uint32_t at, cnt;
    uint32_t most; /* in one question */
    bool ended;    /* it does not answer, or not as it should */
    bool begun;
    uint64_t end_ms; /* monotonic; then it is not asked any more */
};
struct verify {
    struct ses_client *client;
    struct ses_complete *complete;
    struct ses_hash inbox, digest;
    struct ses_times times;
    uint64_t epoch;
    uint64_t since_ms;
    uint64_t now_ms; /* when it began */
    uint32_t swarm;
    uint32_t wanted;
    uint32_t segment_cnt;
    struct ses_segment segments[SES_COMPLETE_SEGMENTS_MAX];
    struct asking asking[SES_MEMBERS_MAX];
    struct served served[SES_MEMBERS_MAX];
};
/* NULL: not registered (any more). Good until the map is refreshed. */
const struct ses_map_node *ses_verify_node(const struct verify *v, uint32_t member);
/* A member's next question and what came of it, as struct ses_many wants them; `cookie` is the
 * verify. */
const struct ses_map_node *ses_verify_ask(void *cookie, uint32_t member, struct ses_writer *w);
SES_CHECKED enum ses_err ses_verify_answer(void *cookie, uint32_t member, enum ses_err err,
                                           const uint8_t *body, size_t len);
/* Asks every member that committed for proofs about the segments. */
SES_CHECKED enum ses_err ses_verify_proofs(struct verify *v);
/* Asks every proven member what it hands out, and counts what it proved and keeps back. */
SES_CHECKED enum ses_err ses_verify_served(struct verify *v);
/* Of that, what needs no network: from `served`. */
void ses_verify_count_unserved(struct verify *v);
/* Calls on_node and on_finding, and fills in *out. */
void ses_verify_report(const struct verify *v, const struct ses_client_verify *ask,
                       struct ses_client_verify_result *out);
void ses_verify_free(struct verify *v); /* what it owns */

#endif
