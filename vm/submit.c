/* Into the mempool, and what stays there after a block: cheap checks first, signatures last. */
#include <inttypes.h>

#include "vm/vm_internal.h"

static enum ses_err check_nonce(const struct ses_account_state *state,
                                const struct ses_pool_account *pending,
                                const struct ses_tx_facts *facts, struct ses_note *note)
{
    const uint64_t last = pending == NULL ? state->nonce : pending->last->facts.nonce;
    if (last == UINT64_MAX || facts->nonce != last + 1) {
        ses_note_set(note, "nonce %" PRIu64 " given, %" PRIu64 " is next", facts->nonce, last + 1);
        return SES_ERR_NONCE;
    }
    if (pending != NULL && pending->tx_cnt >= SES_VM_ACCOUNT_PENDING_MAX) {
        ses_note_set(note, "%u transactions of this account are pending; wait for a block",
                     SES_VM_ACCOUNT_PENDING_MAX);
        return SES_ERR_FULL;
    }
    return SES_OK;
}

static enum ses_err check_balance(const struct ses_account_state *state,
                                  const struct ses_pool_account *pending,
                                  const struct ses_tx_facts *facts, uint64_t *cost,
                                  struct ses_note *note)
{
    const uint64_t reserved = pending == NULL ? 0 : pending->cost;
    uint64_t sum = reserved;
    if (!ses_tx_cost(facts, cost) || !ses_add_u64(&sum, *cost) || sum > state->balance) {
        char amount[SES_LUX_TEXT_MAX];
        char fee[SES_LUX_TEXT_MAX];
        char balance[SES_LUX_TEXT_MAX];
        char pool[SES_LUX_TEXT_MAX];
        ses_lux_text(amount, facts->amount);
        ses_lux_text(fee, facts->fee);
        ses_lux_text(balance, state->balance);
        ses_lux_text(pool, reserved);
        ses_note_set(note,
                     "%s LUX and the fee of %s LUX exceed the balance of %s LUX, of which pending "
                     "transactions need %s LUX",
                     amount, fee, balance, pool);
        return SES_ERR_FUNDS;
    }
    return SES_OK;
}

static enum ses_err check_pending(const struct ses_vm *vm, const struct ses_tx_facts *facts,
                                  struct ses_note *note)
{
    if (facts->type == SES_TX_REGISTER && ses_pool_registers(&vm->pool, &facts->node_id)) {
        ses_note_set(note, "a registration of this node is pending; wait for a block");
        return SES_ERR_EXISTS;
    }
    if (facts->type == SES_TX_DEMAND &&
        ses_pool_demands(&vm->pool, &facts->node_id) >= SES_DEMANDS_MAX) {
        ses_note_set(note, "%u demands of this node are pending; wait for a block",
                     SES_DEMANDS_MAX);
        return SES_ERR_FULL;
    }
    return SES_OK;
}

/* The key that a transaction of kind KNOWN was signed with: in the state, or shown by a pending
 * transaction of the account. */
static bool find_known_key(const struct ses_vm *vm, const struct ses_account *account,
                           struct ses_dsa_pk *out)
{
    if (ses_account_key_load(&vm->base, account, out) == SES_OK) {
        return true;
    }
    const struct ses_pool_account *pending = ses_pool_account(&vm->pool, account);
    for (const struct ses_pool_tx *p = pending == NULL ? NULL : pending->first; p != NULL;
         p = p->next_nonce) {
        struct ses_tx tx;
        if (p->facts.shows_key && ses_tx_decode(&tx, p->bytes, p->len) == SES_OK) {
            memcpy(out->bytes, tx.auth[0].public_key, sizeof(out->bytes));
            return true;
        }
    }
    return false;
}

static enum ses_err verify(struct ses_vm *vm, const struct ses_tx *tx,
                           const struct ses_known_keys *known, struct ses_note *note)
{
    const enum ses_err err = ses_rules_verify(&vm->chain_id, tx, known);
    if (err == SES_ERR_SIGNATURE) {
        ses_note_set(note,
                     "a signature does not verify; sign with the %s own key, for the chain "
                     "id of this chain",
                     ses_tx_by_node(tx->type) ? "node's" : "account's");
    } else if (err != SES_OK) {
        ses_note_set(note, "a key or receipt in the transaction is not valid: %s",
                     ses_err_text(err));
    }
    if (err == SES_OK) {
        ses_verified_add(vm, &tx->id);
    }
    return err;
}

static enum ses_err check_signatures(struct ses_vm *vm, const struct ses_tx *tx,
                                     const struct ses_tx_facts *facts, struct ses_note *note)
{
    struct ses_dsa_pk signer;
    struct ses_dsa_pk node;
    if (ses_verified_has(vm, &tx->id)) {
        return SES_OK;
    }
    const bool has_signer = !facts->shows_key && find_known_key(vm, &facts->payer, &signer);
    if (!facts->shows_key && !has_signer) {
        ses_note_set(note, "the chain does not know this account's key yet; sign the first "
                           "transaction of an account with auth kind 1, which shows it");
        return SES_ERR_SIGNATURE;
    }
    const bool has_node = facts->type == SES_TX_DEMAND &&
                          ses_node_dsa_load(&vm->base, &facts->node_id, &node) == SES_OK;
    const struct ses_known_keys known = {.signer = has_signer ? &signer : NULL,
                                         .node = has_node ? &node : NULL};
    return verify(vm, tx, &known, note);
}

static enum ses_err make_room(struct ses_vm *vm, const struct ses_tx *tx,
                              const struct ses_tx_facts *facts, struct ses_note *note)
{
    uint64_t least_fee = 0;
    const enum ses_err err =
        ses_pool_make_room(&vm->pool, &facts->payer, tx->len, facts->fee, &least_fee);
    if (err == SES_ERR_FULL) {
        ses_note_set(note,
                     "%" PRIu32 " transactions are pending; try again after some blocks, or with "
                     "a fee of at least %" PRIu64,
                     vm->pool.tx_cnt, least_fee);
    }
    return err;
}

static enum ses_err decode(struct ses_tx *tx, const uint8_t *bytes, size_t len,
                           struct ses_note *note)
{
    const enum ses_err err = ses_tx_decode(tx, bytes, len);
    if (err != SES_OK) {
        ses_note_set(note, "these %zu bytes are no transaction of this chain: %s", len,
                     ses_err_text(err));
    }
    return err;
}

static bool accepted_already(const struct ses_vm *vm, const struct ses_hash *tx_id)
{
    struct ses_buf known = {0};
    const bool found = ses_ledger_get(&vm->kv, SES_STORE_TX, tx_id->bytes, 32, &known) == SES_OK;
    ses_buf_free(&known);
    return found;
}

/* The block that may come next: at the clock's time, in the epoch of the last one. */
static struct ses_tip next_tip(const struct ses_vm *vm)
{
    const uint64_t now_s = ses_now_ms(vm->clock) / 1000;
    struct ses_tip next = vm->tip;
    next.timestamp = now_s > next.timestamp ? now_s : next.timestamp;
    return next;
}

static enum ses_err check_openings(const struct ses_vm *vm, const struct ses_tip *now,
                                   const struct ses_tx *tx, struct ses_note *note)
{
    struct ses_response_context context;
    uint8_t shown = 0;
    if (tx->type != SES_TX_RESPONSE) {
        return SES_OK;
    }
    ses_response_context_of(&context, vm, now, &tx->body.response.node_id);
    const enum ses_err err =
        ses_response_check(&shown, &tx->body.response, context.has_root ? &context.root : NULL,
                           context.owed, context.owed_cnt);
    if (err != SES_OK) {
        ses_note_set(note, "an opening is false: open what getChallenges names, under the root of "
                           "the epoch before");
    }
    return err;
}

/* Membership and everything cheap first, then the openings, then the signature. */
static enum ses_err submit_duty(struct ses_vm *vm, const struct ses_tx *tx,
                                const struct ses_tx_facts *facts, struct ses_note *note)
{
    const struct ses_tip now = next_tip(vm);
    struct ses_dsa_pk key;
    SES_TRY(ses_duty_check(&now, tx, note));
    struct ses_pool_tx *pending = ses_duty_pool_find(&vm->pool, &facts->node_id, facts->type);
    if (pending != NULL && ses_duty_stale(&vm->tip, &pending->facts)) {
        ses_duty_pool_drop(&vm->pool, pending);
        pending = NULL;
    }
    if (pending != NULL) {
        ses_note_set(note, "a transaction of this type and node is pending; wait for a block");
        return SES_ERR_EXISTS;
    }
    SES_TRY(check_openings(vm, &now, tx, note));
    if (!ses_verified_has(vm, &tx->id)) {
        SES_TRY(ses_node_dsa_load(&vm->base, &facts->node_id, &key));
        SES_TRY(verify(vm, tx, &(struct ses_known_keys){.signer = &key}, note));
    }
    const enum ses_err err = ses_duty_pool_add(&vm->pool, tx, facts);
    if (err == SES_ERR_FULL) {
        ses_note_set(note, "%" PRIu32 " transactions of nodes are pending; try again after a block",
                     vm->pool.duty_cnt);
    }
    return err;
}

static enum ses_err submit_paid(struct ses_vm *vm, const struct ses_tx *tx,
                                const struct ses_tx_facts *facts, struct ses_note *note)
{
    const struct ses_tip now = next_tip(vm);
    struct ses_account_state state;
    uint64_t cost = 0;
    ses_account_load(&vm->base, &facts->payer, &state);
    const struct ses_pool_account *pending = ses_pool_account(&vm->pool, &facts->payer);
    SES_TRY(ses_rules_check(vm, &now, facts, note));
    SES_TRY(check_nonce(&state, pending, facts, note));
    SES_TRY(check_balance(&state, pending, facts, &cost, note));
    SES_TRY(check_pending(vm, facts, note));
    SES_TRY(check_signatures(vm, tx, facts, note));
    SES_TRY(make_room(vm, tx, facts, note));
    return ses_pool_add(&vm->pool, tx, facts, cost);
}

enum ses_err ses_vm_submit(struct ses_vm *vm, const uint8_t *bytes, size_t len,
                           struct ses_hash *tx_id, struct ses_note *note)
{
    struct ses_tx tx;
    struct ses_tx_facts facts;
    memset(tx_id, 0, sizeof(*tx_id));
    SES_TRY(decode(&tx, bytes, len, note));
    const bool accepted = accepted_already(vm, &tx.id);
    if (accepted || ses_pool_find(&vm->pool, &tx.id) != NULL) {
        *tx_id = tx.id;
        ses_note_set(note, "this transaction is %s already", accepted ? "accepted" : "pending");
        return SES_ERR_EXISTS;
    }
    ses_tx_facts_of(&facts, &tx);
    SES_TRY(ses_tx_by_node(tx.type) ? submit_duty(vm, &tx, &facts, note)
                                    : submit_paid(vm, &tx, &facts, note));
    *tx_id = tx.id;
    return SES_OK;
}

/* Whether the run still starts where the account stands; drops what is in the chain. */
static struct ses_pool_account *advance(struct ses_vm *vm, struct ses_pool_account *a,
                                        const struct ses_account_state *state)
{
    while (a->first->facts.nonce <= state->nonce) {
        const bool last = a->tx_cnt == 1;
        ses_pool_drop_first(&vm->pool, a);
        if (last) {
            return NULL; /* the account went with it */
        }
    }
    return a;
}

static void recheck_account(struct ses_vm *vm, struct ses_pool_account *a)
{
    struct ses_account_state state;
    uint64_t sum = 0;
    ses_account_load(&vm->base, &a->account, &state);
    a = advance(vm, a, &state);
    uint64_t nonce = state.nonce;
    for (struct ses_pool_tx *tx = a == NULL ? NULL : a->first; tx != NULL; tx = tx->next_nonce) {
        if (tx->facts.nonce != ++nonce || !ses_add_u64(&sum, tx->cost) || sum > state.balance ||
            ses_rules_check(vm, &vm->tip, &tx->facts, NULL) != SES_OK) {
            ses_pool_drop_from(&vm->pool, tx);
            return;
        }
    }
}

static void recheck_duties(struct ses_vm *vm)
{
    struct ses_pool_tx *next = NULL;
    for (struct ses_pool_tx *p = vm->pool.first_duty; p != NULL; p = next) {
        next = p->next_duty;
        if (ses_duty_stale(&vm->tip, &p->facts)) {
            ses_duty_pool_drop(&vm->pool, p);
        }
    }
}

void ses_pool_recheck(struct ses_vm *vm)
{
    recheck_duties(vm);
    /* from the end: an account that goes away is replaced by one that was checked */
    for (uint32_t i = vm->pool.account_cnt; i > 0; i--) {
        recheck_account(vm, vm->pool.accounts[i - 1]);
    }
}
