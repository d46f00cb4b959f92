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
        ses_note_set(note,
                     "%" PRIu64 " nLUX and the fee of %" PRIu64 " exceed the balance of %" PRIu64
                     ", of which pending transactions need %" PRIu64,
                     facts->amount, facts->fee, state->balance, reserved);
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

static enum ses_err check_signatures(struct ses_vm *vm, const struct ses_tx *tx,
                                     const struct ses_tx_facts *facts, struct ses_note *note)
{
    struct ses_dsa_pk known;
    if (ses_verified_has(vm, &tx->id)) {
        return SES_OK;
    }
    const bool has_known = !facts->shows_key && find_known_key(vm, &facts->payer, &known);
    if (!facts->shows_key && !has_known) {
        ses_note_set(note, "the chain does not know this account's key yet; sign the first "
                           "transaction of an account with auth kind 1, which shows it");
        return SES_ERR_SIGNATURE;
    }
    const enum ses_err err = ses_rules_verify(&vm->chain_id, tx, has_known ? &known : NULL);
    if (err == SES_ERR_SIGNATURE) {
        ses_note_set(note, "a signature does not verify; sign with the account's own key, for the "
                           "chain id of this chain");
    } else if (err == SES_ERR_MALFORMED) {
        ses_note_set(note, "the node's ML-KEM key is no valid key; register another one");
    }
    if (err == SES_OK) {
        ses_verified_add(vm, &tx->id);
    }
    return err;
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

enum ses_err ses_vm_submit(struct ses_vm *vm, const uint8_t *bytes, size_t len,
                           struct ses_hash *tx_id, struct ses_note *note)
{
    struct ses_tx tx;
    struct ses_tx_facts facts;
    struct ses_account_state state;
    struct ses_buf known = {0};
    uint64_t cost = 0;
    memset(tx_id, 0, sizeof(*tx_id));
    SES_TRY(decode(&tx, bytes, len, note));
    const bool accepted = ses_ledger_get(&vm->kv, SES_STORE_TX, tx.id.bytes, 32, &known) == SES_OK;
    ses_buf_free(&known);
    if (accepted || ses_pool_find(&vm->pool, &tx.id) != NULL) {
        *tx_id = tx.id;
        ses_note_set(note, "this transaction is %s already", accepted ? "accepted" : "pending");
        return SES_ERR_EXISTS;
    }
    ses_tx_facts_of(&facts, &tx);
    ses_account_load(&vm->base, &facts.payer, &state);
    const struct ses_pool_account *pending = ses_pool_account(&vm->pool, &facts.payer);
    SES_TRY(ses_rules_check(vm, &vm->base, &facts, note));
    SES_TRY(check_nonce(&state, pending, &facts, note));
    SES_TRY(check_balance(&state, pending, &facts, &cost, note));
    SES_TRY(check_pending(vm, &facts, note));
    SES_TRY(check_signatures(vm, &tx, &facts, note));
    SES_TRY(make_room(vm, &tx, &facts, note));
    SES_TRY(ses_pool_add(&vm->pool, &tx, &facts, cost));
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
            ses_rules_check(vm, &vm->base, &tx->facts, NULL) != SES_OK) {
            ses_pool_drop_from(&vm->pool, tx);
            return;
        }
    }
}

void ses_pool_recheck(struct ses_vm *vm)
{
    /* from the end: an account that goes away is replaced by one that was checked */
    for (uint32_t i = vm->pool.account_cnt; i > 0; i--) {
        recheck_account(vm, vm->pool.accounts[i - 1]);
    }
}
