/* session verify: completeness proofs of the own inbox from every member, held against the chain,
 * against each other, against receipts and against what they hand out. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/verify.h"

#define ASK_MS 8000u      /* of one member, one question */
#define EVIDENCE_MAX 16u  /* records whose receipts are fetched */
#define PROMISE_MS 60000u /* a record that expires so soon is not held against anybody */

/* ---- who ---- */
const struct ses_map_node *ses_verify_node(const struct verify *v, uint32_t member)
{
    return ses_map_find(&v->client->registry.map, &v->complete->members[member].node_id);
}

static bool owes(const struct verify *v, const struct ses_registry_row *row)
{
    return row->swarm == v->swarm && row->swarm_from_epoch < v->epoch;
}

static enum ses_err add_member(struct verify *v, const struct ses_node_id *node_id)
{
    struct ses_complete *c = v->complete;
    const struct ses_map_node *node = ses_map_find(&v->client->registry.map, node_id);
    if (c->member_cnt == SES_MEMBERS_MAX) {
        return SES_OK;
    }
    SES_TRY(ses_complete_add(c, node_id));
    struct ses_complete_member *m = &c->members[c->member_cnt - 1];
    m->state = node != NULL && owes(v, &node->row) ? SES_COMPLETE_NONE : SES_COMPLETE_NEW;
    return SES_OK;
}

static enum ses_err add_view(struct verify *v, struct ses_note *note)
{
    struct ses_swarm_view view;
    SES_TRY(ses_client_view(v->client, &v->inbox, &view, note));
    v->wanted = ses_read_quorum(view.active_cnt);
    for (uint32_t i = 0; i < view.cnt; i++) {
        SES_TRY(add_member(v, &v->client->registry.map.nodes[view.nodes[i]].row.node_id));
    }
    return SES_OK;
}

static struct ses_complete_member *find_member(struct verify *v, const struct ses_node_id *id)
{
    struct ses_complete *c = v->complete;
    for (uint32_t i = 0; i < c->member_cnt; i++) {
        if (memcmp(c->members[i].node_id.bytes, id->bytes, sizeof id->bytes) == 0) {
            return &c->members[i];
        }
    }
    return NULL;
}

/* The members of now, and whoever committed for this swarm in that epoch. */
static enum ses_err add_committed(struct verify *v, struct ses_note *note)
{
    struct ses_committed *list = ses_alloc(SES_MEMBERS_MAX, sizeof *list);
    uint32_t cnt = 0;
    SES_REQUIRE(list != NULL, SES_ERR_MEMORY);
    enum ses_err err = ses_chain_get_commitments(v->client->rpc, v->swarm, v->epoch, list,
                                                 SES_MEMBERS_MAX, &cnt, note);
    for (uint32_t i = 0; err == SES_OK && i < cnt; i++) {
        if (find_member(v, &list[i].node_id) == NULL) {
            err = add_member(v, &list[i].node_id);
        }
        struct ses_complete_member *m = find_member(v, &list[i].node_id);
        if (err == SES_OK && m != NULL) {
            m->committed = true;
            m->commitment = list[i];
            m->state = SES_COMPLETE_SILENT;
        }
    }
    ses_free(list);
    if (err == SES_OK && cnt == 0) {
        ses_note_set(
            note,
            "the chain has no commitment of swarm %" PRIu32 " for epoch %" PRIu64
            ": it keeps those of the last three epochs, and nodes commit from their second "
            "epoch in a seat on",
            v->swarm, v->epoch);
        return SES_ERR_NOT_FOUND;
    }
    return err;
}

/* ---- proofs ---- */
/* An answer that says nothing is as good as a false one. */
static enum ses_err take_proof(struct verify *v, uint32_t member, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    struct ses_refusal refusal = {0};
    struct ses_proof_answer proof = {0};
    struct asking *asking = &v->asking[member];
    bool ok = false;
    enum ses_err err = ses_response_begin(&r, body, len, &ok, &refusal);
    if (err == SES_OK && !ok) {
        return ses_refusal_err(&refusal);
    }
    if (err == SES_OK) {
        err = ses_proof_read(&proof, &r);
    }
    if (err != SES_OK) {
        v->complete->members[member].state = SES_COMPLETE_FALSE;
        return SES_ERR_PEER;
    }
    return ses_complete_proof(v->complete, member, &v->segments[asking->at], asking->cnt,
                              proof.proof, proof.proof_bytes);
}

/* Every segment, as many in one question as the node is willing to answer. */
const struct ses_map_node *ses_verify_ask(void *cookie, uint32_t member, struct ses_writer *w)
{
    struct verify *v = cookie;
    struct asking *asking = &v->asking[member];
    struct ses_complete_member *m = &v->complete->members[member];
    const struct ses_map_node *node = ses_verify_node(v, member);
    if (!m->committed || asking->ended || asking->at == v->segment_cnt) {
        return NULL;
    }
    if (node == NULL) {
        m->err = SES_ERR_NOT_FOUND;
        return NULL;
    }
    if (!asking->begun) {
        asking->begun = true;
        asking->end_ms = ses_mono_ms() + v->client->patience_ms;
    } else if (ses_mono_ms() >= asking->end_ms) {
        m->err = SES_ERR_TIMEOUT;
        return NULL;
    }
    const uint32_t left = v->segment_cnt - asking->at;
    asking->cnt = left < asking->most ? left : asking->most;
    struct ses_prove ask = {
        .inbox = v->inbox, .epoch = v->epoch, .segment_cnt = (uint16_t)asking->cnt};
    memcpy(ask.segments, &v->segments[asking->at], asking->cnt * sizeof ask.segments[0]);
    ses_prove_write(w, &ask);
    return node;
}

enum ses_err ses_verify_answer(void *cookie, uint32_t member, enum ses_err err, const uint8_t *body,
                               size_t len)
{
    struct verify *v = cookie;
    struct asking *asking = &v->asking[member];
    struct ses_complete_member *m = &v->complete->members[member];
    if (err == SES_OK) {
        err = take_proof(v, member, body, len);
    }
    if (err == SES_ERR_TOO_LARGE && asking->cnt > 1) {
        asking->most = asking->cnt / 2;
        return SES_OK;
    }
    if (err == SES_ERR_MEMORY) {
        return err;
    }
    m->err = err; /* FULL: it shows more than anybody can hold there, and ends nobody's proof */
    asking->at += asking->cnt;
    asking->ended = err != SES_OK;
    if (err == SES_OK && asking->at == v->segment_cnt) {
        m->state = SES_COMPLETE_PROVEN;
    }
    return SES_OK;
}

enum ses_err ses_verify_proofs(struct verify *v)
{
    const struct ses_many many = {.proto = SES_PROTO_RETRIEVE,
                                  .login = true,
                                  .deadline_ms = ASK_MS,
                                  .ask = ses_verify_ask,
                                  .answered = ses_verify_answer,
                                  .cookie = v};
    for (uint32_t i = 0; i < v->complete->member_cnt; i++) {
        v->asking[i] = (struct asking){.most = SES_PROVE_SEGMENTS_MAX};
        if (v->complete->members[i].committed && v->segment_cnt == 0) {
            v->complete->members[i].state = SES_COMPLETE_PROVEN;
        }
    }
    return ses_client_ask_many(v->client, &many, v->complete->member_cnt);
}

/* ---- receipts ---- */
static enum ses_err add_promise(void *cookie, const struct ses_receipt *receipt)
{
    struct verify *v = cookie;
    const struct ses_map *map = &v->client->registry.map;
    const struct ses_map_node *node = ses_map_find(map, &receipt->node_id);
    if (node == NULL || memcmp(receipt->leaf.digest.bytes, v->digest.bytes, 32) != 0 ||
        ses_receipt_verify_once(receipt, &v->client->registry.chain_id, &node->keys.public_key,
                                &v->client->memo) != SES_OK) {
        return SES_OK;
    }
    const uint64_t end_ms = ses_segment_expires_ms(&receipt->leaf.segment);
    const bool asked = (receipt->leaf.segment.hour + 1ull) * 3600000u > v->since_ms;
    if (!asked || end_ms <= v->now_ms + PROMISE_MS) {
        return SES_OK;
    }
    return ses_complete_promise(v->complete, receipt, &v->times);
}

/* Did those that lack a record sign for it? The others' receipts are kept, too. */
static enum ses_err fetch_evidence(struct verify *v, const struct ses_complete_finding *finding)
{
    struct ses_node_id nodes[SES_MEMBERS_MAX];
    uint32_t cnt = 0;
    uint32_t quorum = 0;
    uint32_t asked = 0;
    struct ses_buf raw = {0};
    struct ses_note ignored = {0};
    struct ses_receipt_want want = {.inbox = v->inbox,
                                    .ttl_class = finding->leaf.ttl_class,
                                    .ts_ms = finding->leaf.ts_ms,
                                    .all = true};
    memcpy(want.id.bytes, finding->leaf.key.bytes + 32, 32);
    enum ses_err err =
        ses_client_count(v->client, &want, nodes, &cnt, &quorum, &asked, &raw, &ignored);
    if (err == SES_OK && raw.len > 0) {
        err = ses_receipts_keep(v->client, &want.id, &raw, &ignored);
    }
    if (err == SES_OK) {
        err = ses_receipts_parse(raw.bytes, raw.len, add_promise, v);
    }
    ses_buf_free(&raw);
    return err == SES_ERR_CLOSED || err == SES_ERR_MEMORY ? err : SES_OK;
}

static enum ses_err gather_evidence(struct verify *v)
{
    struct ses_complete_finding found[EVIDENCE_MAX];
    struct ses_complete_finding next;
    uint32_t cnt = 0;
    uint32_t record = 0;
    uint32_t member = 0;
    uint32_t last = UINT32_MAX; /* one question for a record, however many lack it */
    while (cnt < EVIDENCE_MAX && ses_complete_next(v->complete, &record, &member, &next)) {
        if (next.kind == SES_COMPLETE_MISSING && record != last) {
            found[cnt++] = next;
            last = record;
        }
    }
    for (uint32_t i = 0; i < cnt; i++) {
        SES_TRY(fetch_evidence(v, &found[i]));
    }
    return cnt > 0 ? ses_complete_finish(v->complete) : SES_OK;
}

static enum ses_err compare(struct verify *v, struct ses_note *note)
{
    SES_TRY(ses_receipts_each(v->client, add_promise, v, note));
    SES_TRY(ses_complete_finish(v->complete));
    return gather_evidence(v);
}

/* ---- the whole ---- */
static enum ses_err prepare(struct verify *v, const struct ses_client_verify *ask,
                            struct ses_note *note)
{
    struct ses_client *c = v->client;
    struct ses_epoch epoch;
    SES_TRY(ses_client_need_identity(c, note));
    SES_TRY(ses_client_need_map(c, true, note));
    SES_TRY(ses_client_need_chain(c, note));
    SES_TRY(ses_client_need_net(c, note));
    memcpy(v->inbox.bytes, c->identity->id.bytes + 1, sizeof v->inbox.bytes);
    ses_inbox_digest(&v->digest, &v->inbox);
    v->since_ms = ask->since_ms;
    v->now_ms = ses_client_now(c);
    v->times = (struct ses_times){.genesis_s = c->params.genesis_timestamp,
                                  .epoch_s = c->params.params.epoch_seconds,
                                  .settle_s = c->params.params.settle_seconds,
                                  .freeze_s = c->params.params.freeze_seconds};
    const uint64_t now = c->registry.map.epoch;
    v->epoch = ask->epoch == SES_CLIENT_EPOCH_LAST ? now - (now > 0) : ask->epoch;
    if (v->epoch > now) {
        ses_note_set(note, "epoch %" PRIu64 " is still to come: it is %" PRIu64, v->epoch, now);
        return SES_ERR_INVALID;
    }
    SES_TRY(ses_chain_get_epoch(c->rpc, v->epoch, &epoch, note));
    v->swarm = ses_swarm_of(&v->digest, epoch.num_swarms);
    v->segment_cnt = ses_complete_segments(v->segments, &v->times, v->epoch, v->since_ms);
    ses_complete_init(v->complete, &v->digest, v->epoch);
    SES_TRY(add_view(v, note));
    return add_committed(v, note);
}

static enum ses_err verdict(const struct verify *v, const struct ses_client_verify_result *out,
                            struct ses_note *note)
{
    if (out->faulty > 0) {
        ses_note_set(note, "%u of %u nodes do not show what they have to", out->faulty,
                     out->members);
        return SES_ERR_PEER;
    }
    if (out->complete < v->wanted) {
        ses_note_set(note, "only %u nodes proved their records, %u have to: ask again later",
                     out->complete, v->wanted);
        return SES_ERR_UNREACHABLE;
    }
    return SES_OK;
}

static enum ses_err run(struct verify *v, const struct ses_client_verify *ask,
                        struct ses_client_verify_result *out, struct ses_note *note)
{
    SES_TRY(prepare(v, ask, note));
    SES_TRY(ses_verify_proofs(v));
    SES_TRY(compare(v, note));
    SES_TRY(ses_verify_served(v));
    ses_verify_report(v, ask, out);
    return verdict(v, out, note);
}

static enum ses_err check_ask(const struct ses_client_verify *ask, struct ses_note *note)
{
    if (ask == NULL || ask->size != sizeof *ask || ask->on_node == NULL) {
        ses_note_set(note, "size is not sizeof(struct ses_client_verify), or on_node is missing");
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

int ses_client_verify(struct ses_client *c, const struct ses_client_verify *ask,
                      struct ses_client_verify_result *out, struct ses_client_note *note)
{
    struct ses_note n = {0};
    memset(out, 0, sizeof *out);
    enum ses_err err = check_ask(ask, &n);
    struct verify *v = err == SES_OK ? ses_alloc(1, sizeof *v) : NULL;
    struct ses_complete *complete = v != NULL ? ses_alloc(1, sizeof *complete) : NULL;
    if (err == SES_OK) {
        err = complete != NULL ? SES_OK : SES_ERR_MEMORY;
    }
    if (err == SES_OK) {
        v->client = c;
        v->complete = complete;
        err = run(v, ask, out, &n);
        ses_complete_free(complete);
        ses_verify_free(v);
    }
    ses_free(complete);
    ses_free(v);
    return ses_client_finish(c, err, &n, note);
}
