/* /session/probe/1: answering the epoch's testers, and testing others. A signature of 3309 bytes
 * over both node ids, the epoch and a fresh nonce says that the holder of the node's key was there
 * when it was asked. */
#include "daemon/daemon_internal.h"

#define PROBE_RATE 4u          /* a second of one node, burst twice that */
#define PROBES_SIGNING_MAX 64u /* at a time; whoever comes then asks again */

/* ---- the node that is tested ---- */
struct answer {
    struct ses_daemon *d;
    struct ses_call *call;
    uint8_t message[SES_PROBE_MESSAGE_BYTES];
    struct ses_dsa_sig signature;
    enum ses_err err;
};

static void answer_run(void *cookie)
{
    struct answer *a = cookie;
    a->err = ses_sign(&a->signature, a->d->p.key, SES_DOMAIN_PROBE, a->message, sizeof a->message,
                      a->d->p.random);
}

static void answer_done(void *cookie)
{
    struct answer *a = cookie;
    struct ses_daemon *d = a->d;
    d->probes.signing--;
    if (a->err != SES_OK) {
        ses_refuse(d, a->call, SES_ERR_UNAVAILABLE);
    } else {
        uint8_t body[3 + SES_DSA_SIG_BYTES];
        struct ses_writer w;
        ses_writer_init(&w, body, sizeof body);
        ses_probe_answer_write(&w, &a->signature);
        SES_ASSERT(ses_writer_done(&w) == SES_OK);
        d->stats.probes_answered++;
        ses_call_reply(a->call, body, w.len);
    }
    ses_free(a);
    ses_daemon_release(d);
}

/* A tester's clock and ours may stand on two sides of a boundary, not further apart. */
static bool near_epoch(const struct ses_daemon *d, uint64_t epoch)
{
    const uint64_t own = ses_epoch_at(&d->times, ses_daemon_now(d) / 1000);
    return epoch + 1 >= own && epoch <= own + 1;
}

static enum ses_err may_probe(struct ses_daemon *d, const struct ses_peer *peer,
                              const struct ses_probe *ask)
{
    SES_REQUIRE(peer->is_node, SES_ERR_UNAUTHORISED);
    SES_REQUIRE(!d->draining, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(ask->epoch < UINT64_MAX && near_epoch(d, ask->epoch), SES_ERR_CLOCK);
    SES_REQUIRE(ses_meter_take(&d->meters, peer, 3, PROBE_RATE, ses_daemon_mono(d)), SES_ERR_RATE);
    SES_REQUIRE(d->probes.signing < PROBES_SIGNING_MAX, SES_ERR_RATE);
    return SES_OK;
}

void ses_probe_serve(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    struct ses_daemon *d = cookie;
    const struct ses_peer *peer = ses_call_peer(call);
    struct ses_probe ask;
    enum ses_err err = ses_probe_read(&ask, body, len);
    err = err != SES_OK ? SES_ERR_MALFORMED : may_probe(d, peer, &ask);
    struct answer *a = err == SES_OK ? ses_alloc(1, sizeof *a) : NULL;
    if (a == NULL) {
        ses_refuse(d, call, err != SES_OK ? err : SES_ERR_UNAVAILABLE);
        return;
    }
    a->d = d;
    a->call = call;
    ses_probe_message(a->message, &d->p.chain_params.chain_id, &peer->node_id, &d->p.node_id, &ask);
    if (ses_daemon_work(d, answer_run, answer_done, a) != SES_OK) {
        ses_free(a);
        ses_refuse(d, call, SES_ERR_UNAVAILABLE);
        return;
    }
    d->probes.signing++;
}

/* ---- the tester ---- */
struct probe {
    struct ses_daemon *d;
    struct ses_target target;
    uint8_t message[SES_PROBE_MESSAGE_BYTES];
    struct ses_dsa_sig signature;
    enum ses_err err;
    void (*on_done)(void *cookie, enum ses_err err);
    void *cookie;
};

static void probe_end(struct probe *probe, enum ses_err err)
{
    struct ses_daemon *d = probe->d;
    d->stats.probes_failed += err != SES_OK ? 1 : 0;
    probe->on_done(probe->cookie, err);
    ses_free(probe);
    ses_daemon_release(d);
}

static void verify_run(void *cookie)
{
    struct probe *probe = cookie;
    probe->err = ses_verify(&probe->target.public_key, SES_DOMAIN_PROBE, probe->message,
                            sizeof probe->message, &probe->signature);
}

static void verify_done(void *cookie)
{
    struct probe *probe = cookie;
    struct ses_daemon *d = probe->d;
    probe_end(probe, probe->err);
    ses_daemon_release(d);
}

static enum ses_err read_answer(struct probe *probe, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    bool ok = false;
    SES_TRY(ses_response_begin(&r, body, len, &ok, &refusal));
    SES_REQUIRE(ok, refusal.status);
    return ses_probe_answer_read(&probe->signature, &r);
}

static void on_reply(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct probe *probe = cookie;
    if (err == SES_OK) {
        err = read_answer(probe, body, len);
    }
    if (err == SES_OK) {
        err = ses_daemon_work(probe->d, verify_run, verify_done, probe);
    }
    if (err != SES_OK) {
        probe_end(probe, err);
    }
}

enum ses_err ses_probe_start(struct ses_daemon *d, const struct ses_map_node *target,
                             const struct ses_probe_order *order)
{
    uint8_t body[64];
    struct ses_writer w;
    struct ses_probe ask = {.epoch = order->epoch};
    struct probe *probe = ses_alloc(1, sizeof *probe);
    SES_REQUIRE(probe != NULL, SES_ERR_MEMORY);
    probe->d = d;
    probe->target.node_id = target->row.node_id;
    probe->target.public_key = target->keys.public_key;
    probe->target.endpoint = target->endpoint;
    probe->on_done = order->on_done;
    probe->cookie = order->cookie;
    ses_random_fill(d->p.random, ask.nonce.bytes, sizeof ask.nonce.bytes);
    ses_probe_message(probe->message, &d->p.chain_params.chain_id, &d->p.node_id,
                      &target->row.node_id, &ask);
    ses_writer_init(&w, body, sizeof body);
    ses_probe_write(&w, &ask);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    const struct ses_request request = {.target = &probe->target,
                                        .proto = SES_PROTO_PROBE,
                                        .body = body,
                                        .len = w.len,
                                        .deadline_ms = order->deadline_ms,
                                        .on_reply = on_reply,
                                        .cookie = probe};
    const enum ses_err err = ses_net_request(d->p.net, &request);
    if (err != SES_OK) {
        ses_free(probe);
        return err;
    }
    d->stats.probes_sent++;
    ses_daemon_hold(d);
    return SES_OK;
}
