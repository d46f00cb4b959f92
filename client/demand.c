/* Whoever holds a node's receipt makes it show the record on chain, or pay. */
#include <inttypes.h>
#include <string.h>

#include "client/client_internal.h"

#define POLL_MS 500u
#define INCLUDE_MS 60000u
#define WAIT_EPOCHS 4u /* accepted in e, answered in e + 1, judged in e + 2 */

/* ---- which receipt ---- */
struct choice {
    bool any;
    struct ses_node_id node; /* wanted, if not any */
    unsigned cnt;            /* that fit */
    struct ses_receipt receipt;
    char nodes[300]; /* names, for the person to choose from */
};

static enum ses_err choose(void *cookie, const struct ses_receipt *receipt)
{
    struct choice *c = cookie;
    char text[SES_ID_TEXT_MAX];
    const size_t used = strlen(c->nodes);
    ses_node_id_text(text, &receipt->node_id);
    if (c->any || ses_equal(&c->node, &receipt->node_id, sizeof c->node)) {
        c->receipt = *receipt;
        c->cnt++;
    }
    (void)snprintf(c->nodes + used, sizeof c->nodes - used, "%s%s", used > 0 ? ", " : "", text);
    return SES_OK;
}

static enum ses_err read_receipts(struct ses_client *c, const struct ses_client_demand *ask,
                                  struct choice *choice, struct ses_note *note)
{
    struct ses_hash id;
    if (ask->id == NULL) {
        const enum ses_err err =
            ses_receipts_parse(ask->receipts, ask->receipts_bytes, choose, choice);
        if (err != SES_OK) {
            ses_note_set(note,
                         "these bytes are no receipts: a profile keeps some in receipts/, one file "
                         "for each message");
        }
        return err;
    }
    memcpy(id.bytes, ask->id, sizeof id.bytes);
    const enum ses_err err = ses_receipts_read(c, &id, choose, choice, note);
    if (err == SES_ERR_NOT_FOUND) {
        char text[65];
        ses_hex_encode(text, id.bytes, sizeof id.bytes);
        ses_note_set(note,
                     "this profile holds no receipt for %s: they are kept for messages that it "
                     "sent and for what session verify found",
                     text);
    }
    return err;
}

static enum ses_err find_receipt(struct ses_client *c, const struct ses_client_demand *ask,
                                 struct ses_receipt *out, struct ses_note *note)
{
    struct choice choice = {.any = ask->node == NULL};
    if (ask->node != NULL && ses_node_id_parse(&choice.node, ask->node) != SES_OK) {
        ses_note_set(note, "\"%.80s\" is no node id: it begins with NodeID-", ask->node);
        return SES_ERR_INVALID;
    }
    SES_TRY(read_receipts(c, ask, &choice, note));
    if (choice.cnt == 0) {
        ses_note_set(note, "no receipt of that node is there; signed by: %s", choice.nodes);
        return SES_ERR_NOT_FOUND;
    }
    if (choice.cnt > 1) {
        ses_note_set(note, "several nodes signed: say which. Signed by: %s", choice.nodes);
        return SES_ERR_INVALID;
    }
    *out = choice.receipt;
    return SES_OK;
}

/* ---- what became of it ---- */
struct demand {
    struct ses_client *client;
    struct ses_receipt receipt;
    struct ses_client_demanded *out;
    uint32_t at; /* its place in what the node owes, once that was seen; SES_OWED_MAX: not yet */
    struct ses_chain_challenges challenges;
};

static bool is_ours(const struct demand *d, const struct ses_owed *owed)
{
    return owed->kind == SES_OWED_DEMAND &&
           ses_equal(owed->key.bytes, d->receipt.leaf.digest.bytes, 32) &&
           ses_equal(owed->key.bytes + 32, d->receipt.leaf.id.bytes, 32);
}

/* Index of our demand in a list; its length if it is not there. */
static uint32_t find(const struct demand *d, const struct ses_owed *list, uint32_t cnt)
{
    uint32_t i = 0;
    while (i < cnt && !is_ours(d, &list[i])) {
        i++;
    }
    return i;
}

/* Whether the epoch in which the answer was due judged the node for it. It did not if it has no
 * record, if the chain stood still at its end, or if the node had just got another seat. */
static enum ses_err was_judged(const struct demand *d, bool *out, struct ses_note *note)
{
    struct ses_epoch epoch;
    struct ses_node node;
    const uint64_t due = d->out->epoch + 1;
    const uint64_t from = d->receipt.leaf.swarm_from_epoch;
    *out = false;
    const enum ses_err err = ses_chain_get_epoch(d->client->rpc, due, &epoch, note);
    if (err == SES_ERR_NOT_FOUND) {
        return SES_OK;
    }
    SES_TRY(err);
    SES_TRY(ses_chain_get_node(d->client->rpc, &d->receipt.node_id, &node, note));
    const uint64_t bit = due % SES_UPTIME_WINDOW;
    const bool observed = (node.observed[bit / 8] >> bit % 8 & 1) != 0;
    const bool seated =
        node.swarm_from_epoch == from || node.swarm_from_epoch > due; /* moved since */
    *out = observed && seated && due >= from + 2;
    return SES_OK;
}

/* After a response, what is lacking is told for each opening. */
static bool is_missed(const struct demand *d, const struct ses_judgement *j)
{
    const bool lacks = d->at >= SES_OWED_MAX || (j->lacking >> d->at & 1) != 0;
    return (j->causes & SES_CAUSE_RESPONSE) != 0 || ((j->causes & SES_CAUSE_OPENING) != 0 && lacks);
}

static enum ses_err look_back(const struct demand *d, struct ses_note *note)
{
    const struct ses_chain_challenges *c = &d->challenges;
    bool judged;
    SES_TRY(was_judged(d, &judged, note));
    d->out->outcome = judged ? SES_CLIENT_SHOWN : SES_CLIENT_UNJUDGED;
    for (uint32_t i = 0; judged && i < c->history_cnt; i++) {
        const struct ses_judgement *j = &c->history[i];
        if (j->epoch == d->out->epoch + 1 && is_missed(d, j)) {
            d->out->outcome = SES_CLIENT_MISSED;
            d->out->slashed = j->slashed;
        }
    }
    return SES_OK;
}

/* One look at the chain. */
static enum ses_err look(struct demand *d, struct ses_note *note)
{
    const struct ses_duty *duty = &d->challenges.duty;
    struct ses_client_demanded *out = d->out;
    SES_TRY(ses_chain_get_challenges(d->client->rpc, &d->receipt.node_id, WAIT_EPOCHS,
                                     &d->challenges, note));
    const uint32_t demanded = find(d, duty->demanded, duty->demanded_cnt);
    const uint32_t owed = find(d, duty->owed, duty->owed_cnt);
    if (!out->accepted && (demanded < duty->demanded_cnt || owed < duty->owed_cnt)) {
        out->accepted = 1;
        out->epoch = duty->epoch - (demanded < duty->demanded_cnt ? 0 : 1);
    }
    if (!out->accepted || duty->epoch <= out->epoch) {
        return SES_OK;
    }
    if (duty->epoch > out->epoch + 1) {
        return look_back(d, note);
    }
    d->at = owed < duty->owed_cnt ? owed : SES_OWED_MAX;
    if (owed < duty->owed_cnt && (duty->shown >> owed & 1) != 0) {
        out->outcome = SES_CLIENT_SHOWN;
    }
    return SES_OK;
}

static enum ses_err wait_outcome(struct demand *d, struct ses_note *note)
{
    const uint64_t until_ms =
        ses_mono_ms() + WAIT_EPOCHS * d->client->params.params.epoch_seconds * 1000 + 60000;
    enum ses_err err = SES_OK;
    while (ses_mono_ms() < until_ms) {
        err = look(d, note);
        const bool away = err == SES_ERR_UNREACHABLE; /* the chain may come back */
        if ((err != SES_OK && !away) || d->out->outcome != SES_CLIENT_DEMANDED) {
            return err;
        }
        SES_TRY(ses_client_run_for(d->client, POLL_MS));
    }
    d->out->outcome = err == SES_OK ? SES_CLIENT_UNJUDGED : SES_CLIENT_DEMANDED;
    return err;
}

/* ---- sending ---- */
static enum ses_err check_receipt(const struct demand *d, struct ses_note *note)
{
    struct ses_client *c = d->client;
    const struct ses_map_node *node = ses_map_find(&c->registry.map, &d->receipt.node_id);
    if (node == NULL) {
        ses_note_set(note, "%s is not registered", d->out->node);
        return SES_ERR_NOT_FOUND;
    }
    if (ses_receipt_verify_once(&d->receipt, &c->params.chain_id, &node->keys.public_key,
                                &c->memo) != SES_OK) {
        ses_note_set(note, "%s did not sign this receipt (or for another chain)", d->out->node);
        return SES_ERR_SIGNATURE;
    }
    return SES_OK;
}

static enum ses_err included(struct demand *d, const struct ses_hash *tx_id, struct ses_note *note)
{
    const uint64_t until_ms = ses_mono_ms() + INCLUDE_MS;
    while (ses_mono_ms() < until_ms) {
        const enum ses_err err =
            ses_chain_get_tx_height(d->client->rpc, tx_id, &d->out->height, note);
        if (err != SES_ERR_NOT_FOUND) {
            return err;
        }
        SES_TRY(ses_client_run_for(d->client, POLL_MS / 5));
    }
    ses_note_set(note, "the demand was accepted by the chain but is in no block after %u s",
                 INCLUDE_MS / 1000);
    return SES_ERR_TIMEOUT;
}

static enum ses_err submit(struct demand *d, const struct ses_identity *payer,
                           struct ses_note *note)
{
    struct ses_tx_send send = {.tx = {.type = SES_TX_DEMAND}, .signer = payer};
    struct ses_tx_demand *body = &send.tx.body.demand;
    struct ses_hash tx_id;
    body->receipt = d->receipt;
    SES_TRY(ses_tx_terms(d->client->rpc, &payer->account, &body->nonce, &body->fee, note));
    SES_TRY(ses_tx_submit(d->client->rpc, &send, &tx_id, note));
    memcpy(d->out->tx_id, tx_id.bytes, sizeof d->out->tx_id);
    d->out->outcome = SES_CLIENT_DEMANDED;
    return included(d, &tx_id, note);
}

static enum ses_err verdict(const struct ses_client_demanded *out, struct ses_note *note)
{
    if (out->outcome == SES_CLIENT_MISSED) {
        ses_note_set(note, "the node did not show what it signed for");
        return SES_ERR_PEER;
    }
    if (out->outcome == SES_CLIENT_UNJUDGED) {
        ses_note_set(note,
                     "the chain did not judge the node's answer: nothing is shown and nothing is "
                     "paid. Demand the record again");
        return SES_ERR_TIMEOUT;
    }
    return SES_OK;
}

static enum ses_err run(struct demand *d, const struct ses_client_demand *ask, ses_payer_fn *payer,
                        void *cookie, struct ses_note *note)
{
    struct ses_client *c = d->client;
    const struct ses_identity *pays = NULL;
    if (ask->size != sizeof *ask || (ask->id != NULL && ask->receipts != NULL)) {
        ses_note_set(note, "size is not sizeof(struct ses_client_demand), or both id and receipts "
                           "are given");
        return SES_ERR_INVALID;
    }
    SES_TRY(find_receipt(c, ask, &d->receipt, note));
    ses_node_id_text(d->out->node, &d->receipt.node_id);
    memcpy(d->out->id, d->receipt.leaf.id.bytes, sizeof d->out->id);
    SES_TRY(ses_client_need_map(c, false, note));
    SES_TRY(ses_client_need_chain(c, note));
    SES_TRY(check_receipt(d, note));
    if (payer != NULL) {
        SES_TRY(payer(cookie, &pays));
    } else {
        SES_TRY(ses_client_need_identity(c, note));
        pays = c->identity;
    }
    SES_TRY(submit(d, pays, note));
    if (ask->wait) {
        SES_TRY(wait_outcome(d, note));
    }
    return verdict(d->out, note);
}

int ses_client_demand_paid(struct ses_client *c, const struct ses_client_demand *ask,
                           ses_payer_fn *payer, void *cookie, struct ses_client_demanded *out,
                           struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct demand *d = ses_alloc(1, sizeof *d);
    memset(out, 0, sizeof *out);
    if (d == NULL) {
        return ses_client_finish(c, SES_ERR_MEMORY, &n, note);
    }
    d->client = c;
    d->out = out;
    d->at = SES_OWED_MAX;
    const enum ses_err err = run(d, ask, payer, cookie, &n);
    ses_free(d);
    return ses_client_finish(c, err, &n, note);
}

int ses_client_demand(struct ses_client *c, const struct ses_client_demand *ask,
                      struct ses_client_demanded *out, struct ses_client_note *note)
{
    return ses_client_demand_paid(c, ask, NULL, NULL, out, note);
}
