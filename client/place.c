/* A record of ours on its way into our swarm: offered to members in turn until W receipts of it
 * were checked here. What the member says that took it is no proof. */
#include <inttypes.h>

#include "client/client_internal.h"

#define ENTRY_SPARE_MS 5000u /* for dialling and the way: the node answers after wait_ms */

struct placing {
    struct ses_client *client;
    const struct ses_place *place;
    uint64_t begun_ms;
    uint32_t tried;
    uint32_t receipt_cnt; /* the most that were counted, and how many it takes */
    uint32_t quorum;
    bool moved; /* a member says that others serve the inbox */
};

static bool is_final(enum ses_err err)
{
    return err == SES_OK || err == SES_ERR_CLOSED || err == SES_ERR_MEMORY;
}

/* Members that swallow packets must not hold the caller for minutes each; and who is waited for
 * once waits for nodes that are away, which the next one would do again. */
static bool patience_over(const struct placing *p)
{
    const uint64_t spare_ms = p->receipt_cnt > 0 ? 0 : 3ull * p->client->timeout_ms;
    return ses_mono_ms() - p->begun_ms > p->place->wait_ms + spare_ms;
}

static enum ses_err offer(struct placing *p, const struct ses_map_node *node, uint32_t active_cnt,
                          struct ses_note *note)
{
    const struct ses_place *place = p->place;
    struct ses_refusal refusal = {0};
    struct ses_buf answer = {0};
    enum ses_err err =
        ses_client_ask(p->client, node, place->proto, place->login, place->body->bytes,
                       place->body->len, (uint64_t)place->wait_ms + ENTRY_SPARE_MS, &answer);
    if (err == SES_OK) {
        enum ses_store_state said; /* and what it said is not asked for */
        err = ses_stored_answer(answer.bytes, answer.len, active_cnt, &said, &refusal);
    }
    ses_buf_free(&answer);
    p->moved |= err == SES_ERR_WRONG_SWARM;
    if (refusal.status != SES_OK) {
        ses_refusal_note(note, &refusal, ses_client_now(p->client));
    } else if (err != SES_OK) {
        ses_note_set(note, "no proper answer from the node: %s", ses_err_text(err));
    }
    return err;
}

static enum ses_err count(struct placing *p, const struct ses_node_id *entry, struct ses_note *note)
{
    struct ses_node_id nodes[SES_MEMBERS_MAX];
    const struct ses_record_ids *ids = p->place->ids;
    const struct ses_receipt_want want = {.id = ids->id,
                                          .inbox = ids->header.inbox,
                                          .ttl_class = ids->header.ttl_class,
                                          .ts_ms = ids->header.ts_ms,
                                          .first = entry};
    uint32_t cnt = 0;
    uint32_t asked = 0;
    SES_TRY(ses_client_count(p->client, &want, nodes, &cnt, &p->quorum, &asked, NULL, note));
    p->receipt_cnt = cnt > p->receipt_cnt ? cnt : p->receipt_cnt;
    if (cnt >= p->quorum) {
        return SES_OK;
    }
    ses_note_set(note, "the node that took it shows no receipt of any node");
    return SES_ERR_UNREACHABLE;
}

static enum ses_err round_of_members(struct placing *p, struct ses_note *note)
{
    struct ses_client *c = p->client;
    const uint64_t first = ses_random_below(c->random, SES_MEMBERS_MAX);
    enum ses_err err = SES_ERR_UNREACHABLE;
    for (uint32_t i = 0;; i++) {
        struct ses_swarm_view view; /* anew each time: counting may renew the map */
        SES_TRY(ses_client_view(c, &p->place->ids->header.inbox, &view, note));
        if (i >= view.active_cnt || (i > 0 && patience_over(p))) {
            return err;
        }
        const struct ses_map_node *node =
            &c->registry.map.nodes[view.nodes[(first + i) % view.active_cnt]];
        const struct ses_node_id entry = node->row.node_id;
        p->tried++;
        err = offer(p, node, view.active_cnt, note);
        if (err == SES_OK) {
            err = count(p, &entry, note);
        }
        if (is_final(err)) {
            return err;
        }
    }
}

enum ses_err ses_client_place(struct ses_client *c, const struct ses_place *place,
                              enum ses_store_state *state, struct ses_note *note)
{
    struct placing p = {.client = c, .place = place, .begun_ms = ses_mono_ms()};
    *state = SES_PENDING;
    enum ses_err err = round_of_members(&p, note);
    if (!is_final(err) && p.moved) {
        SES_TRY(ses_client_need_map(c, true, note));
        err = round_of_members(&p, note);
    }
    if (is_final(err)) {
        *state = err == SES_OK ? SES_STORED : SES_PENDING;
        return err;
    }
    if (p.receipt_cnt > 0) {
        ses_note_set(note,
                     "%" PRIu32 " valid receipts of %" PRIu32 " wanted: the swarm goes on "
                     "replicating",
                     p.receipt_cnt, p.quorum);
        return SES_OK;
    }
    const struct ses_note last = *note;
    ses_note_set(note, "not stored, %" PRIu32 " node%s tried: %.300s", p.tried,
                 p.tried == 1 ? "" : "s", last.text);
    return err;
}
