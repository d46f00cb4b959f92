/* Building: the dearest transactions that hold on top of the preferred block. */
#include "vm/vm_internal.h"

struct draft {
    struct ses_vm *vm;
    struct ses_undecided *u;
    uint32_t tx_cnt;
};

static enum ses_err append_tx(struct draft *d, const struct ses_pool_tx *tx)
{
    uint8_t len[4];
    ses_put_u32(len, (uint32_t)tx->len);
    SES_TRY(ses_buf_append(&d->u->bytes, len, sizeof(len)));
    SES_TRY(ses_buf_append(&d->u->bytes, tx->bytes, tx->len));
    SES_TRY(ses_buf_append(&d->u->tx_ids, tx->id.bytes, sizeof(tx->id.bytes)));
    d->tx_cnt++;
    return SES_OK;
}

/* Takes `tx` into the draft. *taken false if it is not for this block; ERR_INVALID if it must leave
 * the mempool. */
static enum ses_err try_tx(struct draft *d, const struct ses_pool_tx *p, bool *taken)
{
    struct ses_account_state state;
    struct ses_tx tx;
    *taken = false;
    ses_account_load(&d->u->layer, &p->facts.payer, &state);
    if (p->facts.nonce <= state.nonce) {
        *taken = true; /* an undecided ancestor has it: go on with its successor */
        return SES_OK;
    }
    if (d->u->bytes.len + 4 + p->len > d->vm->params.block_max_bytes) {
        return SES_OK;
    }
    SES_TRY(ses_tx_decode_known(&tx, p->bytes, p->len, &p->id));
    const enum ses_err err = ses_rules_apply(d->vm, &d->u->layer, &d->u->tip, &tx, NULL, NULL);
    if (err != SES_OK) {
        return err == SES_ERR_MEMORY ? SES_ERR_MEMORY : SES_ERR_INVALID;
    }
    *taken = true;
    return append_tx(d, p);
}

/* One of a node. Another epoch, or an ancestor that has it, is no fault of its own: it waits for
 * the ancestor's fate. */
static enum ses_err try_duty(struct draft *d, struct ses_pool_tx *p)
{
    struct ses_tx tx;
    if (d->u->bytes.len + 4 + p->len > d->vm->params.block_max_bytes) {
        return SES_OK;
    }
    SES_TRY(ses_tx_decode_known(&tx, p->bytes, p->len, &p->id));
    const enum ses_err err = ses_rules_apply(d->vm, &d->u->layer, &d->u->tip, &tx, NULL, NULL);
    if (err == SES_OK) {
        return append_tx(d, p);
    }
    if (err != SES_ERR_MEMORY && err != SES_ERR_EPOCH && err != SES_ERR_EXISTS) {
        ses_duty_pool_drop(&d->vm->pool, p);
    }
    return err == SES_ERR_MEMORY ? err : SES_OK;
}

/* Duties go first: who pays can wait for a block, who is judged cannot. */
static enum ses_err fill_duties(struct draft *d)
{
    struct ses_pool_tx *next = NULL;
    for (struct ses_pool_tx *p = d->vm->pool.first_duty; p != NULL; p = next) {
        next = p->next_duty;
        if (d->tx_cnt >= SES_BLOCK_TXS_MAX) {
            break;
        }
        SES_TRY(try_duty(d, p));
    }
    return SES_OK;
}

static enum ses_err fill(struct draft *d, struct ses_pool_cursor *c)
{
    struct ses_pool_tx *tx = NULL;
    while (d->tx_cnt < SES_BLOCK_TXS_MAX && (tx = ses_pool_cursor_take(c)) != NULL) {
        bool taken = false;
        const enum ses_err err = try_tx(d, tx, &taken);
        if (err == SES_ERR_INVALID) {
            ses_pool_drop_from(&d->vm->pool, tx); /* its successors are not in the cursor */
            continue;
        }
        SES_TRY(err);
        if (taken) {
            ses_pool_cursor_follow(c, tx);
        }
    }
    return SES_OK;
}

static enum ses_err write_header(struct draft *d, const struct ses_tip *parent)
{
    struct ses_undecided *u = d->u;
    struct ses_writer w;
    u->block = (struct ses_block){.parent = parent->id,
                                  .height = u->tip.height,
                                  .timestamp = u->tip.timestamp,
                                  .state_root = u->tip.state_root,
                                  .tx_cnt = (uint16_t)d->tx_cnt};
    ses_writer_init(&w, u->bytes.bytes, SES_BLOCK_HEADER_BYTES);
    ses_block_write_header(&w, &u->block);
    SES_TRY(ses_writer_done(&w));
    ses_sha256(&u->block.id, SES_PARTS(SES_PART(u->bytes.bytes, u->bytes.len)));
    u->tip.id = u->block.id;
    return SES_OK;
}

static enum ses_err draft_block(struct draft *d, struct ses_undecided *parent, uint64_t timestamp)
{
    const uint8_t header[SES_BLOCK_HEADER_BYTES] = {0}; /* until the root is known */
    const struct ses_tip *below = ses_parent_tip(d->vm, parent);
    struct ses_pool_cursor cursor = {0};
    SES_TRY(ses_buf_append(&d->u->bytes, header, sizeof(header)));
    SES_TRY(ses_undecided_begin(d->vm, d->u, parent, timestamp));
    SES_TRY(fill_duties(d));
    SES_TRY(ses_pool_cursor_init(&cursor, &d->vm->pool));
    const enum ses_err err = fill(d, &cursor);
    ses_pool_cursor_free(&cursor);
    SES_TRY(err);
    SES_REQUIRE(d->tx_cnt > 0 || ses_empty_allowed(d->vm, below, timestamp), SES_ERR_AGAIN);
    SES_TRY(ses_undecided_seal(d->vm, d->u));
    return write_header(d, below);
}

static uint64_t build_time(const struct ses_vm *vm, const struct ses_tip *parent)
{
    const uint64_t now_s = ses_now_ms(vm->clock) / 1000;
    return now_s > parent->timestamp ? now_s : parent->timestamp;
}

enum ses_err ses_vm_build(struct ses_vm *vm, struct ses_hash *id)
{
    struct draft d = {.vm = vm};
    const struct ses_tip *parent = ses_parent_tip(vm, vm->preferred);
    const uint64_t timestamp = build_time(vm, parent);
    memset(id, 0, sizeof(*id));
    SES_REQUIRE(vm->pool.tx_cnt + vm->pool.duty_cnt > 0 || ses_empty_allowed(vm, parent, timestamp),
                SES_ERR_AGAIN);
    SES_REQUIRE(vm->verified_cnt < SES_VM_UNDECIDED_MAX, SES_ERR_FULL);
    SES_TRY(ses_undecided_new(&d.u));
    const enum ses_err err = draft_block(&d, vm->preferred, timestamp);
    if (err != SES_OK) {
        ses_undecided_free(vm, d.u);
        return err;
    }
    *id = d.u->block.id;
    struct ses_undecided *same = ses_undecided_find(vm, id);
    if (same != NULL && same->status == SES_BLOCK_VERIFIED) {
        ses_undecided_free(vm, d.u); /* built before */
        return SES_OK;
    }
    if (same != NULL) {
        ses_undecided_drop(vm, same); /* came from a peer, not looked at yet */
    }
    d.u->status = SES_BLOCK_VERIFIED;
    ses_undecided_link(vm, d.u);
    return SES_OK;
}

/* Whether some pending transaction is not in the preferred block or its undecided ancestors. */
static bool pending_above(const struct ses_vm *vm, const struct ses_tip *parent)
{
    for (uint32_t i = 0; i < vm->pool.account_cnt; i++) {
        const struct ses_pool_account *a = vm->pool.accounts[i];
        struct ses_account_state state;
        ses_account_load(parent->layer, &a->account, &state);
        if (a->last->facts.nonce > state.nonce) {
            return true;
        }
    }
    for (const struct ses_pool_tx *p = vm->pool.first_duty; p != NULL; p = p->next_duty) {
        if (!ses_duty_stale(parent, &p->facts)) {
            return true;
        }
    }
    return false;
}

bool ses_vm_wants_block(const struct ses_vm *vm, uint64_t *next_ms)
{
    const struct ses_tip *parent = ses_parent_tip(vm, vm->preferred);
    const uint64_t timestamp = build_time(vm, parent);
    const uint64_t end = ses_vm_epoch_start(vm, parent->epoch.epoch + 1);
    const uint64_t settle = end - vm->params.settle_seconds;
    *next_ms = (parent->timestamp < settle ? settle : end) * 1000;
    return ses_empty_allowed(vm, parent, timestamp) || pending_above(vm, parent);
}
