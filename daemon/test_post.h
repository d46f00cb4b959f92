/* Test only: people who write into a world, and what they read back. */
#ifndef SES_DAEMON_TEST_POST_H
#define SES_DAEMON_TEST_POST_H

#include "daemon/test_world.h"

/* A record in memory of its own, with what is shown at entry. */
struct post {
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t *payload; /* ses_free */
    struct ses_store_put put;
    struct ses_record_ids ids;
};
/* An inbox that `swarm` of num_swarms serves. */
void post_inbox(struct world *w, struct ses_hash *out, uint32_t num_swarms, uint32_t swarm);
/* A stranger's record of random bytes for a public inbox, stamped. */
void post_stranger(struct post *p, struct world *w, const struct ses_hash *inbox, uint32_t bytes,
                   uint64_t ts_ms);
/* With a write token instead of a stamp. */
void post_token(struct post *p, struct world *w, const struct ses_hash *inbox,
                const struct ses_hash *token, uint32_t bytes);
/* A record that only `owner` may write. */
void post_owned(struct post *p, struct world *w, const struct ses_identity *owner, int16_t ns,
                const uint8_t *body, uint32_t len);
void post_identify(struct post *p);
void post_free(struct post *p);
/* An identity whose inbox lies in `swarm`. */
struct ses_identity *post_person(struct world *w, uint32_t num_swarms, uint32_t swarm);
void post_inbox_of(struct ses_hash *out, const struct ses_identity *person);

/* Sends and waits; the answer is either *stored (true) or *refusal. */
struct post_answer {
    enum ses_err err; /* of the request */
    bool ok;
    struct ses_stored stored;
    struct ses_refusal refusal;
};
void post_send(struct world *w, struct world_net *from, uint32_t node, const struct post *p,
               uint32_t wait_ms, const struct ses_identity *login, struct post_answer *out);
void post_start(struct world *w, struct world_net *from, uint32_t node, const struct post *p,
                uint32_t wait_ms, const struct ses_identity *login, struct world_reply *reply);
void post_finish(struct world *w, struct world_reply *reply, struct post_answer *out);
/* Whether `node` holds the record, as its store says. */
bool post_at(struct world *w, uint32_t node, const struct post *p);
/* How many nodes of 0..cnt-1 that run hold it. */
uint32_t post_copies(struct world *w, const struct post *p, uint32_t cnt);
/* Reads one page; count of records, or -1 if refused (then *refusal). */
int post_read(struct world *w, struct world_net *from, uint32_t node,
              const struct ses_identity *login, const struct ses_hash *inbox, int16_t ns,
              struct ses_cursor *cursor, uint16_t record_max, struct ses_refusal *refusal);

#endif
