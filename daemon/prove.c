/* /session/retrieve/1, op PROVE: all keys of an inbox in some segments, as this node committed to
 * them. Only the owner may ask; a sealed segment costs reading its leaves, so the rate is low. */
#include "daemon/daemon_internal.h"

#define METER_KIND 7u
#define RATE 4u /* questions a second of one peer */

struct prove {
    struct ses_daemon *d;
    struct ses_call *call;
    uint64_t epoch;
};

static void reply(struct prove *p, const uint8_t *proof, size_t len)
{
    const struct ses_proof_answer answer = {p->epoch, (uint32_t)len, proof};
    const size_t cap = len + 32;
    uint8_t *body = ses_alloc(cap, 1);
    struct ses_writer w;
    if (body == NULL) {
        ses_refuse(p->d, p->call, SES_ERR_UNAVAILABLE);
        return;
    }
    ses_writer_init(&w, body, cap);
    ses_proof_write(&w, &answer);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(p->call, body, w.len);
    ses_free(body);
}

static void on_proof(void *cookie, enum ses_err err, const uint8_t *proof, size_t len)
{
    struct prove *p = cookie;
    struct ses_daemon *d = p->d;
    if (err == SES_OK && len > SES_PROVE_BYTES_MAX) {
        err = SES_ERR_TOO_LARGE;
    }
    if (err == SES_OK) {
        reply(p, proof, len);
    } else {
        ses_refuse(d, p->call, err == SES_ERR_FULL ? SES_ERR_UNAVAILABLE : err);
    }
    ses_free(p);
    ses_daemon_client_end(d);
}

static enum ses_err start(struct prove *p, const struct ses_prove *ask,
                          const struct ses_hash *digest)
{
    struct ses_forest_range *ranges = ses_alloc(ask->segment_cnt, sizeof *ranges);
    SES_REQUIRE(ranges != NULL, SES_ERR_MEMORY);
    for (uint16_t i = 0; i < ask->segment_cnt; i++) {
        struct ses_segment_id id = {0};
        ses_segment_encode(id.bytes, &ask->segments[i]);
        ses_forest_range_slot(&ranges[i], &id, digest);
    }
    const struct ses_forest_question question = {.ranges = ranges, .range_cnt = ask->segment_cnt};
    const struct ses_view view = {.epoch = ask->epoch};
    const enum ses_err err = ses_store_prove(p->d->p.store, &view, &question, on_proof, p);
    ses_free(ranges); /* the store keeps a copy */
    return err;
}

static void serve(struct ses_daemon *d, struct ses_call *call, const struct ses_prove *ask,
                  const struct ses_hash *digest)
{
    const bool room = ses_daemon_client_begin(d);
    struct prove *p = room ? ses_alloc(1, sizeof *p) : NULL;
    enum ses_err err = SES_ERR_UNAVAILABLE;
    if (p != NULL) {
        *p = (struct prove){.d = d, .call = call, .epoch = ask->epoch};
        err = start(p, ask, digest);
    }
    if (err == SES_OK) {
        return; /* on_proof */
    }
    ses_refuse(d, call, SES_ERR_UNAVAILABLE);
    ses_free(p);
    if (room) {
        ses_daemon_client_end(d);
    }
}

void ses_prove_serve(struct ses_daemon *d, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_prove ask;
    struct ses_snapshot snapshot;
    struct ses_hash digest;
    d->stats.proofs_asked++;
    if (ses_prove_read(&ask, body, len) != SES_OK) {
        ses_refuse(d, call, SES_ERR_MALFORMED);
        return;
    }
    ses_inbox_digest(&digest, &ask.inbox);
    if (!ses_call_logged_in(call, &ask.inbox)) {
        ses_refuse(d, call, SES_ERR_UNAUTHORISED);
    } else if (ask.epoch == SES_EPOCH_LIVE ||
               ses_store_snapshot_get(d->p.store, &snapshot, ask.epoch) != SES_OK) {
        ses_refuse(d, call, SES_ERR_NOT_FOUND);
    } else if (ses_swarm_of(&digest, snapshot.num_swarms) != snapshot.swarm) {
        ses_refuse_swarm(d, call, &digest);
    } else if (!ses_meter_take(&d->meters, ses_call_peer(call), METER_KIND, RATE,
                               ses_daemon_mono(d))) {
        ses_refuse(d, call, SES_ERR_RATE);
    } else {
        serve(d, call, &ask, &digest);
    }
}
