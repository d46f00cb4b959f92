/* Transactions 5 to 9: what nodes owe each epoch, and what the holder of a receipt may demand
 * (registry page, table of types). First every check, then the effect. */
#include <inttypes.h>

#include "vm/vm_internal.h"

static bool is_zero(const struct ses_hash *hash)
{
    static const struct ses_hash zeros = {{0}};
    return memcmp(hash->bytes, zeros.bytes, sizeof(zeros.bytes)) == 0;
}

static enum ses_err find_serving(const struct ses_tip *now, const struct ses_node_id *node_id,
                                 struct ses_node *node, struct ses_note *note)
{
    if (!ses_node_load(now->layer, node_id, node)) {
        ses_note_set(note, "no such node; wait until its registration is accepted");
        return SES_ERR_NOT_FOUND;
    }
    if (node->status == SES_NODE_RETIRED) {
        ses_note_set(note, "the node has retired; register it anew first");
        return SES_ERR_STATUS;
    }
    return SES_OK;
}

static enum ses_err check_epoch(const struct ses_tip *now, uint64_t epoch, struct ses_note *note)
{
    if (epoch != now->epoch.epoch) {
        ses_note_set(note, "it is for epoch %" PRIu64 ", but epoch %" PRIu64 " is running", epoch,
                     now->epoch.epoch);
        return SES_ERR_EPOCH;
    }
    return SES_OK;
}

static enum ses_err once(bool before, const char *what, struct ses_note *note)
{
    if (before) {
        ses_note_set(note, "the node has %s in this epoch already; wait for the next one", what);
        return SES_ERR_EXISTS;
    }
    return SES_OK;
}

/* ---- type 5 ---- */

static enum ses_err check_commitment(const struct ses_tip *now, const struct ses_node *node,
                                     const struct ses_tx_commitment *body, struct ses_note *note)
{
    struct ses_committed before;
    struct ses_hash next;
    SES_TRY(check_epoch(now, body->epoch, note));
    if (node->swarm == SES_SWARM_NONE || node->swarm != body->swarm) {
        ses_note_set(note, "the node does not serve swarm %" PRIu32 "; look up its seat",
                     body->swarm);
        return SES_ERR_SEAT;
    }
    SES_TRY(once(ses_committed_load(now->layer, &node->node_id, body->epoch, &before), "committed",
                 note));
    ses_reveal_commit(&next, &body->reveal);
    if (!is_zero(&node->next_commit) &&
        memcmp(next.bytes, node->next_commit.bytes, sizeof(next.bytes)) != 0) {
        ses_note_set(note, "the reveal is not the one that the commitment before promised");
        return SES_ERR_CHECKSUM;
    }
    if (is_zero(&body->next)) { /* which would mean: none */
        ses_note_set(note, "a commitment must promise the next reveal");
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

static enum ses_err apply_commitment(struct ses_layer *layer, const struct ses_tip *now,
                                     struct ses_node *node, const struct ses_tx_commitment *body)
{
    const struct ses_committed committed = {.node_id = node->node_id,
                                            .epoch = body->epoch,
                                            .swarm = body->swarm,
                                            .num_swarms = now->epoch.num_swarms,
                                            .root = body->root,
                                            .count = body->count,
                                            .bytes = body->bytes,
                                            .reveal = body->reveal};
    node->next_commit = body->next;
    SES_TRY(ses_node_store(layer, node));
    return ses_committed_store(layer, &committed);
}

/* ---- type 6 ---- */

/* Verdicts of pairs that do not count are 0; a node outside the plan has none. */
static enum ses_err check_verdicts(const struct ses_tip *now, const struct ses_tx_response *body,
                                   struct ses_note *note)
{
    const struct ses_tests *tests = now->tests;
    const uint32_t row = ses_rows_find(now->rows, &body->node_id);
    const uint32_t at = row == SES_TESTS_NONE ? SES_TESTS_NONE : tests->position[row];
    const uint32_t want = at == SES_TESTS_NONE ? 0 : tests->stride;
    if (body->verdict_cnt != want) {
        ses_note_set(note, "%u bytes of verdicts given, this node owes %" PRIu32, body->verdict_cnt,
                     want);
        return SES_ERR_MALFORMED;
    }
    for (uint32_t i = 0; i < want; i++) {
        if ((body->verdicts[i] & ~tests->counts[(size_t)at * tests->stride + i]) != 0) {
            ses_note_set(note, "a verdict about a node that this node does not test is not 0");
            return SES_ERR_MALFORMED;
        }
    }
    return SES_OK;
}

static enum ses_err check_response(const struct ses_tip *now, const struct ses_node *node,
                                   const struct ses_tx_response *body, struct ses_note *note)
{
    struct ses_response_state before;
    SES_TRY(check_epoch(now, body->epoch, note));
    SES_TRY(once(ses_response_load(now->layer, &node->node_id, body->epoch, &before), "responded",
                 note));
    return check_verdicts(now, body, note);
}

static enum ses_err apply_response(struct ses_layer *layer, const struct ses_tip *now,
                                   struct ses_node *node, const struct ses_tx_response *body,
                                   uint8_t shown)
{
    struct ses_response_state response = {.epoch = body->epoch,
                                          .free = body->free,
                                          .used = body->used,
                                          .shown = shown,
                                          .verdict_cnt = body->verdict_cnt};
    memcpy(response.verdicts, body->verdicts, body->verdict_cnt);
    node->last_ping_at = now->timestamp;
    SES_TRY(ses_node_store(layer, node));
    return ses_response_store(layer, &node->node_id, &response);
}

void ses_response_context_of(struct ses_response_context *out, const struct ses_vm *vm,
                             const struct ses_tip *now, const struct ses_node_id *node_id)
{
    struct ses_owed demands[SES_DEMANDS_MAX];
    const uint64_t epoch = now->epoch.epoch;
    uint32_t demand_cnt = 0;
    *out = (struct ses_response_context){0};
    if (epoch > 0) {
        out->has_root = ses_committed_load(now->layer, node_id, epoch - 1, &out->root);
        demand_cnt = ses_demands_load(now->layer, node_id, epoch - 1, demands);
        demand_cnt = SES_MUTANT(DEMAND_NOT_OWED) ? 0 : demand_cnt;
    }
    out->owed_cnt =
        ses_owed_list(out->owed, &now->epoch.seed, node_id, out->has_root ? &out->root : NULL,
                      vm->params.audit_leaves, demands, demand_cnt);
}

/* ---- type 7 ---- */

static enum ses_err check_rotation(const struct ses_tip *now, const struct ses_tx_rotate_key *body,
                                   struct ses_note *note)
{
    struct ses_turns turns;
    SES_TRY(check_epoch(now, body->key_epoch, note));
    ses_turns_load(now->layer, &body->node_id, &turns);
    return once(turns.rotated && turns.key_epoch == body->key_epoch, "rotated its key", note);
}

/* The snapshot of the running epoch keeps the old key; that of the next one lists both. */
static enum ses_err apply_rotation(struct ses_layer *layer, const struct ses_tx_rotate_key *body)
{
    struct ses_turns turns;
    struct ses_node_keys keys;
    struct ses_endpoint endpoint;
    SES_TRY(ses_node_keys_load(layer, &body->node_id, &keys, &endpoint));
    keys.has_prev_encryption_key = true;
    keys.prev_encryption_key = keys.encryption_key;
    keys.encryption_key = body->encryption_key;
    SES_TRY(ses_node_keys_store(layer, &body->node_id, &keys, &endpoint));
    ses_turns_load(layer, &body->node_id, &turns);
    turns.rotated = true;
    turns.prev_listed = true;
    turns.key_epoch = body->key_epoch;
    return ses_turns_store(layer, &body->node_id, &turns);
}

/* ---- type 8 ---- */

static enum ses_err check_endpoint(const struct ses_tip *now, const struct ses_node *node,
                                   const struct ses_tx_endpoint *body, struct ses_note *note)
{
    struct ses_turns turns;
    ses_turns_load(now->layer, &body->node_id, &turns);
    SES_TRY(once(turns.moved && turns.endpoint_epoch == now->epoch.epoch, "changed its endpoint",
                 note));
    if ((turns.moved && body->sequence <= turns.sequence) || body->sequence < node->registered_at ||
        body->sequence > now->timestamp) {
        ses_note_set(note,
                     "sequence %" PRIu64 " given; it must be unix seconds above %" PRIu64
                     " and at most the block's time, %" PRIu64,
                     body->sequence, turns.moved ? turns.sequence : node->registered_at,
                     now->timestamp);
        return SES_ERR_CLOCK;
    }
    return SES_OK;
}

static enum ses_err apply_endpoint(struct ses_layer *layer, const struct ses_tip *now,
                                   const struct ses_tx_endpoint *body)
{
    struct ses_turns turns;
    struct ses_node_keys keys;
    struct ses_endpoint endpoint;
    SES_TRY(ses_node_keys_load(layer, &body->node_id, &keys, &endpoint));
    SES_TRY(ses_node_keys_store(layer, &body->node_id, &keys, &body->endpoint));
    ses_turns_load(layer, &body->node_id, &turns);
    turns.moved = true;
    turns.endpoint_epoch = now->epoch.epoch;
    turns.sequence = body->sequence;
    return ses_turns_store(layer, &body->node_id, &turns);
}

/* ---- types 5 to 8 ---- */

enum ses_err ses_duty_check(const struct ses_tip *now, const struct ses_tx *tx,
                            struct ses_note *note)
{
    struct ses_node_id node_id;
    struct ses_node node;
    SES_REQUIRE(ses_tx_by_node(tx->type) && ses_tx_node(tx, &node_id), SES_ERR_INVALID);
    SES_TRY(find_serving(now, &node_id, &node, note));
    switch (tx->type) {
    case SES_TX_COMMITMENT:
        return check_commitment(now, &node, &tx->body.commitment, note);
    case SES_TX_RESPONSE:
        return check_response(now, &node, &tx->body.response, note);
    case SES_TX_ROTATE_KEY:
        return check_rotation(now, &tx->body.rotate_key, note);
    case SES_TX_ENDPOINT:
        return check_endpoint(now, &node, &tx->body.endpoint, note);
    case SES_TX_TRANSFER:
    case SES_TX_REGISTER:
    case SES_TX_TOP_UP:
    case SES_TX_DECOMMISSION:
    case SES_TX_DEMAND:
        break;
    }
    return SES_ERR_INVALID;
}

enum ses_err ses_duty_apply(struct ses_layer *layer, const struct ses_tip *now,
                            const struct ses_tx *tx, uint8_t shown)
{
    struct ses_node_id node_id;
    struct ses_node node;
    SES_ASSERT(ses_tx_node(tx, &node_id) && ses_node_load(layer, &node_id, &node));
    switch (tx->type) {
    case SES_TX_COMMITMENT:
        return apply_commitment(layer, now, &node, &tx->body.commitment);
    case SES_TX_RESPONSE:
        return apply_response(layer, now, &node, &tx->body.response, shown);
    case SES_TX_ROTATE_KEY:
        return apply_rotation(layer, &tx->body.rotate_key);
    case SES_TX_ENDPOINT:
        return apply_endpoint(layer, now, &tx->body.endpoint);
    case SES_TX_TRANSFER:
    case SES_TX_REGISTER:
    case SES_TX_TOP_UP:
    case SES_TX_DECOMMISSION:
    case SES_TX_DEMAND:
        break;
    }
    return SES_ERR_INVALID;
}

bool ses_duty_stale(const struct ses_tip *now, const struct ses_tx_facts *facts)
{
    struct ses_committed committed;
    struct ses_response_state response;
    struct ses_turns turns;
    struct ses_node node;
    const uint64_t epoch = now->epoch.epoch;
    if (!ses_node_load(now->layer, &facts->node_id, &node) || node.status == SES_NODE_RETIRED) {
        return true;
    }
    ses_turns_load(now->layer, &facts->node_id, &turns);
    switch (facts->type) {
    case SES_TX_COMMITMENT:
        return facts->epoch != epoch ||
               ses_committed_load(now->layer, &facts->node_id, epoch, &committed);
    case SES_TX_RESPONSE:
        return facts->epoch != epoch ||
               ses_response_load(now->layer, &facts->node_id, epoch, &response);
    case SES_TX_ROTATE_KEY:
        return facts->epoch != epoch || (turns.rotated && turns.key_epoch == epoch);
    case SES_TX_ENDPOINT:
        return turns.moved && (facts->sequence <= turns.sequence || turns.endpoint_epoch == epoch);
    case SES_TX_TRANSFER:
    case SES_TX_REGISTER:
    case SES_TX_TOP_UP:
    case SES_TX_DECOMMISSION:
    case SES_TX_DEMAND:
        break;
    }
    return true;
}

/* ---- type 9 ---- */

static void demanded_of(struct ses_owed *out, const struct ses_receipt_leaf *leaf)
{
    *out = (struct ses_owed){.kind = SES_OWED_DEMAND};
    ses_segment_encode(out->segment.bytes, &leaf->segment);
    memcpy(out->key.bytes, leaf->digest.bytes, 32);
    memcpy(out->key.bytes + 32, leaf->id.bytes, 32);
}

static enum ses_err check_seat(const struct ses_tip *now, const struct ses_node *node,
                               const struct ses_receipt_leaf *leaf, struct ses_note *note)
{
    if (node->swarm == SES_SWARM_NONE || node->swarm != leaf->swarm ||
        node->swarm_from_epoch != leaf->swarm_from_epoch) {
        ses_note_set(note,
                     "the node has left the seat in which it gave this receipt (swarm %" PRIu32
                     " from epoch %" PRIu64 ")",
                     leaf->swarm, leaf->swarm_from_epoch);
        return SES_ERR_SEAT;
    }
    if (ses_swarm_of(&leaf->digest, now->epoch.num_swarms) != leaf->swarm) {
        ses_note_set(note, "another swarm serves this inbox now");
        return SES_ERR_WRONG_SWARM;
    }
    return SES_OK;
}

static enum ses_err check_term(const struct ses_vm *vm, const struct ses_tip *now,
                               const struct ses_receipt_leaf *leaf, struct ses_note *note)
{
    const uint64_t end_s = ses_vm_epoch_start(vm, now->epoch.epoch + 2);
    if (leaf->admit_epoch > now->epoch.epoch) {
        ses_note_set(note, "the receipt promises the record from epoch %" PRIu64 " on; wait for it",
                     leaf->admit_epoch);
        return SES_ERR_EPOCH;
    }
    if (ses_segment_expires_ms(&leaf->segment) / 1000 < end_s) {
        ses_note_set(note, "the record expires before the node would have to show it");
        return SES_ERR_EPOCH;
    }
    return SES_OK;
}

enum ses_err ses_demand_check(const struct ses_vm *vm, const struct ses_tip *now,
                              const struct ses_tx_facts *facts, struct ses_note *note)
{
    struct ses_node node;
    struct ses_owed demand;
    struct ses_owed before[SES_DEMANDS_MAX];
    SES_TRY(find_serving(now, &facts->node_id, &node, note));
    SES_TRY(check_seat(now, &node, &facts->receipt, note));
    SES_TRY(check_term(vm, now, &facts->receipt, note));
    const uint32_t cnt = ses_demands_load(now->layer, &facts->node_id, now->epoch.epoch, before);
    demanded_of(&demand, &facts->receipt);
    for (uint32_t i = 0; i < cnt; i++) {
        if (memcmp(before[i].key.bytes, demand.key.bytes, sizeof(demand.key.bytes)) == 0) {
            ses_note_set(note, "this record is demanded of the node in this epoch already");
            return SES_ERR_EXISTS;
        }
    }
    if (cnt >= SES_DEMANDS_MAX) {
        ses_note_set(note, "%u records are demanded of the node in this epoch; wait for the next",
                     SES_DEMANDS_MAX);
        return SES_ERR_FULL;
    }
    return SES_OK;
}

enum ses_err ses_demand_apply(struct ses_layer *layer, const struct ses_tip *now,
                              const struct ses_tx_demand *demand)
{
    struct ses_owed list[SES_DEMANDS_MAX];
    const struct ses_node_id *node_id = &demand->receipt.node_id;
    const uint64_t epoch = now->epoch.epoch;
    const uint32_t cnt = ses_demands_load(layer, node_id, epoch, list);
    SES_ASSERT(cnt < SES_DEMANDS_MAX);
    demanded_of(&list[cnt], &demand->receipt.leaf);
    return ses_demands_store(layer, node_id, epoch, list, cnt + 1);
}
