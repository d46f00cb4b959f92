/* The rules of transactions (registry page, table of types): first every check, then the effect. */
#include <inttypes.h>

#include "vm/vm_internal.h"

void ses_tx_facts_of(struct ses_tx_facts *out, const struct ses_tx *tx)
{
    *out = (struct ses_tx_facts){.type = tx->type, .shows_key = tx->auth[0].kind == SES_AUTH_FIRST};
    (void)ses_tx_payment(tx, &out->payer, &out->nonce, &out->fee);
    (void)ses_tx_node(tx, &out->node_id);
    switch (tx->type) {
    case SES_TX_TRANSFER:
        out->amount = tx->body.transfer.amount;
        return;
    case SES_TX_REGISTER:
        out->amount = tx->body.reg.stake;
        return;
    case SES_TX_TOP_UP:
        out->amount = tx->body.top_up.amount;
        return;
    case SES_TX_DECOMMISSION:
        return;
    case SES_TX_COMMITMENT:
        out->epoch = tx->body.commitment.epoch;
        return;
    case SES_TX_RESPONSE:
        out->epoch = tx->body.response.epoch;
        return;
    case SES_TX_ROTATE_KEY:
        out->epoch = tx->body.rotate_key.key_epoch;
        return;
    case SES_TX_ENDPOINT:
        out->sequence = tx->body.endpoint.sequence;
        return;
    case SES_TX_DEMAND:
        out->receipt = tx->body.demand.receipt.leaf;
        return;
    }
}

bool ses_tx_cost(const struct ses_tx_facts *facts, uint64_t *cost)
{
    *cost = facts->amount;
    return ses_add_u64(cost, facts->fee);
}

static enum ses_err check_register(const struct ses_vm *vm, const struct ses_layer *layer,
                                   const struct ses_tx_facts *facts, struct ses_note *note)
{
    struct ses_node node;
    if (facts->amount < vm->params.min_stake) {
        char stake[SES_LUX_TEXT_MAX];
        char least[SES_LUX_TEXT_MAX];
        ses_lux_text(stake, facts->amount);
        ses_lux_text(least, vm->params.min_stake);
        ses_note_set(note, "a stake of %s LUX is below the minimum; give at least %s LUX", stake,
                     least);
        return SES_ERR_STAKE;
    }
    if (ses_node_load(layer, &facts->node_id, &node) && node.status != SES_NODE_RETIRED) {
        ses_note_set(note,
                     "this node is registered and %s; top it up instead, or register another key",
                     ses_node_status_text(node.status));
        return SES_ERR_REGISTERED;
    }
    return SES_OK;
}

static enum ses_err check_owned(const struct ses_layer *layer, const struct ses_tx_facts *facts,
                                struct ses_note *note)
{
    struct ses_node node;
    if (!ses_node_load(layer, &facts->node_id, &node)) {
        ses_note_set(note,
                     "no such node; wait until its registration is accepted, or check the id");
        return SES_ERR_NOT_FOUND;
    }
    if (memcmp(node.owner.bytes, facts->payer.bytes, sizeof(node.owner.bytes)) != 0) {
        char owner[SES_ID_TEXT_MAX];
        ses_account_text(owner, &node.owner);
        ses_note_set(note, "the node belongs to %s; sign with that account", owner);
        return SES_ERR_NOT_OWNER;
    }
    const bool fits = facts->type == SES_TX_TOP_UP ? node.status != SES_NODE_RETIRED
                                                   : node.status == SES_NODE_ACTIVE;
    if (!fits) {
        ses_note_set(note, "the node is %s; %s", ses_node_status_text(node.status),
                     node.status == SES_NODE_RETIRED ? "register it anew first"
                                                     : "its stake is paid when it retires");
        return SES_ERR_STATUS;
    }
    return SES_OK;
}

enum ses_err ses_rules_check(const struct ses_vm *vm, const struct ses_tip *now,
                             const struct ses_tx_facts *facts, struct ses_note *note)
{
    if (facts->fee < vm->params.tx_fee) {
        char fee[SES_LUX_TEXT_MAX];
        char least[SES_LUX_TEXT_MAX];
        ses_lux_text(fee, facts->fee);
        ses_lux_text(least, vm->params.tx_fee);
        ses_note_set(note, "a fee of %s LUX is below the minimum; give at least %s LUX", fee,
                     least);
        return SES_ERR_FEE;
    }
    switch (facts->type) {
    case SES_TX_TRANSFER:
        return SES_OK;
    case SES_TX_REGISTER:
        return check_register(vm, now->layer, facts, note);
    case SES_TX_TOP_UP:
    case SES_TX_DECOMMISSION:
        return check_owned(now->layer, facts, note);
    case SES_TX_DEMAND:
        return ses_demand_check(vm, now, facts, note);
    case SES_TX_COMMITMENT:
    case SES_TX_RESPONSE:
    case SES_TX_ROTATE_KEY:
    case SES_TX_ENDPOINT:
        break;
    }
    return SES_ERR_INVALID;
}

static enum ses_err check_payment(const struct ses_account_state *payer,
                                  const struct ses_tx_facts *facts, uint64_t *cost,
                                  struct ses_note *note)
{
    if (payer->nonce == UINT64_MAX || facts->nonce != payer->nonce + 1) {
        ses_note_set(note, "nonce %" PRIu64 " given, %" PRIu64 " is next", facts->nonce,
                     payer->nonce + 1);
        return SES_ERR_NONCE;
    }
    if (!ses_tx_cost(facts, cost) || payer->balance < *cost) {
        char amount[SES_LUX_TEXT_MAX];
        char fee[SES_LUX_TEXT_MAX];
        char balance[SES_LUX_TEXT_MAX];
        ses_lux_text(amount, facts->amount);
        ses_lux_text(fee, facts->fee);
        ses_lux_text(balance, payer->balance);
        ses_note_set(note, "%s LUX and the fee of %s LUX exceed the balance of %s LUX", amount, fee,
                     balance);
        return SES_ERR_FUNDS;
    }
    if (!facts->shows_key && !payer->has_key) {
        ses_note_set(note, "the chain does not know this account's key yet; sign the first "
                           "transaction of an account with auth kind 1, which shows it");
        return SES_ERR_SIGNATURE;
    }
    return SES_OK;
}

/* ---- effects: what was checked cannot fail any more, except for memory ---- */

static enum ses_err pay(struct ses_layer *layer, const struct ses_tx *tx,
                        const struct ses_tx_facts *facts, struct ses_account_state *payer,
                        uint64_t cost)
{
    struct ses_totals totals;
    if (facts->shows_key && !payer->has_key) {
        const struct ses_state_key key = ses_state_key(SES_STATE_ACCOUNT_KEY, facts->payer.bytes);
        SES_TRY(ses_state_put(layer, &key, tx->auth[0].public_key, SES_DSA_PK_BYTES));
        payer->has_key = true;
    }
    SES_ASSERT(ses_sub_u64(&payer->balance, cost));
    payer->nonce = facts->nonce;
    SES_TRY(ses_account_store(layer, &facts->payer, payer));
    ses_totals_load(layer, &totals);
    SES_ASSERT(ses_add_u64(&totals.burned, facts->fee));
    if (facts->type == SES_TX_REGISTER || facts->type == SES_TX_TOP_UP) {
        SES_ASSERT(ses_add_u64(&totals.bonded, facts->amount));
    }
    return ses_totals_store(layer, &totals);
}

/* No balance can overflow: all of them together are at most the genesis supply. */
static enum ses_err credit(struct ses_layer *layer, const struct ses_account *to, uint64_t amount)
{
    struct ses_account_state state;
    ses_account_load(layer, to, &state);
    SES_ASSERT(ses_add_u64(&state.balance, amount));
    return ses_account_store(layer, to, &state);
}

static enum ses_err register_node(struct ses_layer *layer, const struct ses_tip *now,
                                  const struct ses_tx_register *reg)
{
    const struct ses_node node = {.node_id = reg->node_id,
                                  .owner = reg->owner,
                                  .stake = reg->stake,
                                  .principal = reg->stake,
                                  .swarm = SES_SWARM_NONE,
                                  .prev_swarm = SES_SWARM_NONE,
                                  .status = SES_NODE_ACTIVE,
                                  .registered_at = now->timestamp,
                                  .capacity = reg->capacity};
    const struct ses_node_keys keys = {.public_key = reg->public_key,
                                       .encryption_key = reg->encryption_key};
    SES_TRY(ses_node_store(layer, &node));
    return ses_node_keys_store(layer, &node.node_id, &keys, &reg->endpoint);
}

static enum ses_err top_up(struct ses_layer *layer, const struct ses_tx_top_up *body)
{
    struct ses_node node;
    SES_ASSERT(ses_node_load(layer, &body->node_id, &node));
    SES_ASSERT(ses_add_u64(&node.stake, body->amount));
    /* principal = stake + slashed so far, and what was slashed is burned: still within supply */
    SES_ASSERT(ses_add_u64(&node.principal, body->amount));
    return ses_node_store(layer, &node);
}

static enum ses_err decommission(struct ses_layer *layer, const struct ses_tip *now,
                                 const struct ses_node_id *node_id)
{
    struct ses_node node;
    SES_ASSERT(ses_node_load(layer, node_id, &node));
    node.status = SES_NODE_DECOMMISSIONING;
    node.decommission_epoch = now->epoch.epoch;
    return ses_node_store(layer, &node);
}

static enum ses_err apply_paid(const struct ses_vm *vm, struct ses_layer *layer,
                               const struct ses_tip *now, const struct ses_tx *tx,
                               struct ses_note *note)
{
    struct ses_account_state payer;
    struct ses_tx_facts facts;
    uint64_t cost = 0;
    ses_tx_facts_of(&facts, tx);
    ses_account_load(layer, &facts.payer, &payer);
    SES_TRY(check_payment(&payer, &facts, &cost, note));
    SES_TRY(ses_rules_check(vm, now, &facts, note));
    SES_TRY(pay(layer, tx, &facts, &payer, cost));
    switch (tx->type) {
    case SES_TX_TRANSFER:
        return credit(layer, &tx->body.transfer.to, tx->body.transfer.amount);
    case SES_TX_REGISTER:
        return register_node(layer, now, &tx->body.reg);
    case SES_TX_TOP_UP:
        return top_up(layer, &tx->body.top_up);
    case SES_TX_DECOMMISSION:
        return decommission(layer, now, &tx->body.decommission.node_id);
    case SES_TX_DEMAND:
        return ses_demand_apply(layer, now, &tx->body.demand);
    case SES_TX_COMMITMENT:
    case SES_TX_RESPONSE:
    case SES_TX_ROTATE_KEY:
    case SES_TX_ENDPOINT:
        break;
    }
    return SES_ERR_INVALID;
}

static enum ses_err apply_free(const struct ses_vm *vm, struct ses_layer *layer,
                               const struct ses_tip *now, const struct ses_tx *tx,
                               const uint8_t *shown, struct ses_note *note)
{
    struct ses_response_context context;
    uint8_t found = 0;
    SES_TRY(ses_duty_check(now, tx, note));
    if (tx->type == SES_TX_RESPONSE && shown == NULL) {
        ses_response_context_of(&context, vm, now, &tx->body.response.node_id);
        SES_TRY(ses_response_check(&found, &tx->body.response,
                                   context.has_root ? &context.root : NULL, context.owed,
                                   context.owed_cnt));
    }
    return ses_duty_apply(layer, now, tx, shown == NULL ? found : *shown);
}

enum ses_err ses_rules_apply(const struct ses_vm *vm, struct ses_layer *layer,
                             const struct ses_tip *now, const struct ses_tx *tx,
                             const uint8_t *shown, struct ses_note *note)
{
    return ses_tx_by_node(tx->type) ? apply_free(vm, layer, now, tx, shown, note)
                                    : apply_paid(vm, layer, now, tx, note);
}

static enum ses_err check_kem(const struct ses_kem_pk *pk)
{
    struct ses_kem_public *kem = NULL;
    SES_TRY(ses_kem_public_new(&kem, pk));
    ses_kem_public_free(kem);
    return SES_OK;
}

enum ses_err ses_rules_verify(const struct ses_hash *chain_id, const struct ses_tx *tx,
                              const struct ses_known_keys *known)
{
    if (tx->type == SES_TX_REGISTER) {
        SES_TRY(check_kem(&tx->body.reg.encryption_key));
    } else if (tx->type == SES_TX_ROTATE_KEY) {
        SES_TRY(check_kem(&tx->body.rotate_key.encryption_key));
    } else if (tx->type == SES_TX_DEMAND) {
        SES_REQUIRE(known->node != NULL, SES_ERR_NOT_FOUND);
        SES_TRY(ses_receipt_verify(&tx->body.demand.receipt, chain_id, known->node));
    }
    if (SES_MUTANT(FOREIGN_SIGNATURE) && ses_tx_by_node(tx->type)) {
        return SES_OK;
    }
    return ses_tx_verify(tx, chain_id, known->signer);
}
