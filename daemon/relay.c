/* Late but vouched for (storage page, Receipts). From F_e - freezeSeconds / 6 on, a record that is
 * accepted here and belongs to S_e goes to all members at once, with every receipt that is known
 * and our own: whoever gets it admits it to the same epoch. So honest members commit to the same
 * set, whatever a hostile one sends to some of them at the last moment. */
#include "daemon/daemon_internal.h"

#define STEPS 6u
#define LAST_STEP 5u
#define VOUCHED_MAX 512u /* older debts that get their receipts when the window opens */

/* The epoch whose last records are being passed on; false outside of the windows. */
static bool window(const struct ses_daemon *d, uint64_t *epoch)
{
    const uint64_t now_ms = ses_daemon_now(d);
    const uint64_t freeze_ms = d->times.freeze_s * 1000;
    const uint64_t delta_ms = freeze_ms / STEPS;
    *epoch = ses_epoch_at(&d->times, now_ms / 1000) + 1;
    const uint64_t frozen_ms = ses_epoch_start_ms(&d->times, *epoch) - freeze_ms;
    return now_ms + delta_ms >= frozen_ms && now_ms <= frozen_ms + LAST_STEP * delta_ms;
}

static void keep(struct debt *debt, const struct ses_receipt *receipt)
{
    if (debt->vouchers == NULL) {
        debt->vouchers = ses_alloc(DEBT_VOUCHERS_MAX, sizeof *debt->vouchers);
    }
    if (debt->vouchers != NULL && debt->voucher_cnt < DEBT_VOUCHERS_MAX) {
        debt->vouchers[debt->voucher_cnt++] = *receipt;
    }
}

/* One that entered here for the next epoch belongs to this one: who has it already hears of it once
 * more, now with receipts. */
static struct debt *debt_anew(struct ses_daemon *d, const struct intake_item *item)
{
    struct debt *debt = ses_debt_find(d, &item->ids.id);
    if (debt != NULL) {
        debt->voucher_cnt = 0;
        debt->acked = 0;
        debt->again = debt->flying;
    }
    return debt;
}

void ses_relay_accepted(struct ses_daemon *d, const struct intake *in,
                        const struct intake_item *item)
{
    uint64_t epoch;
    if (!window(d, &epoch) || item->receipt.leaf.admit_epoch > epoch ||
        SES_MUTANT(LATE_NOT_PASSED_ON)) {
        return;
    }
    struct debt *debt = debt_anew(d, item);
    if (debt == NULL) {
        if (d->debts.bytes >= d->p.limits.entry_bytes_max ||
            d->debts.cnt >= d->p.limits.debts_max ||
            ses_debt_new(&debt, d, &item->ids, &item->record) != SES_OK) {
            d->stats.limits_hit++;
            return;
        }
        debt->own = true;
        debt->relay = true;
    }
    keep(debt, &item->receipt);
    struct ses_receipt receipt;
    for (uint16_t at = 0; ses_intake_voucher(in, item, &at, &receipt);) {
        keep(debt, &receipt);
    }
    d->stats.relayed++;
    ses_debt_aim(debt);
}

/* ---- what entered here before and some member still lacks ---- */
struct lookup {
    struct ses_daemon *d;
    struct ses_hash id;
};

static void on_receipts(void *cookie, enum ses_err err, const struct ses_receipt *receipts,
                        uint16_t receipt_cnt)
{
    struct lookup *l = cookie;
    struct ses_daemon *d = l->d;
    struct debt *debt = ses_debt_find(d, &l->id);
    if (err == SES_OK && debt != NULL && debt->voucher_cnt == 0) {
        for (uint16_t i = 0; i < receipt_cnt; i++) {
            keep(debt, &receipts[i]);
        }
    }
    ses_free(l);
    ses_daemon_release(d);
}

static void vouch_for_debts(struct ses_daemon *d, uint64_t epoch)
{
    const uint64_t settled_ms = ses_epoch_start_ms(&d->times, epoch) - d->times.settle_s * 1000;
    uint32_t cnt = 0;
    for (struct debt *debt = d->debts.first; debt != NULL && cnt < VOUCHED_MAX; debt = debt->next) {
        if (debt->relay || !debt->own || debt->unread || debt->voucher_cnt > 0 ||
            debt->ids.header.ts_ms >= settled_ms) {
            continue;
        }
        struct lookup *l = ses_alloc(1, sizeof *l);
        if (l == NULL) {
            return;
        }
        *l = (struct lookup){.d = d, .id = debt->ids.id};
        if (ses_store_receipts(d->p.store, &l->id, on_receipts, l) != SES_OK) {
            ses_free(l);
            return;
        }
        ses_daemon_hold(d);
        cnt++;
    }
}

/* Behind the window receipts vouch for nothing more, and reconciliation does the rest. */
static void forget(struct ses_daemon *d)
{
    for (struct debt *debt = d->debts.first, *next; debt != NULL; debt = next) {
        next = debt->next;
        ses_free(debt->vouchers);
        debt->vouchers = NULL;
        debt->voucher_cnt = 0;
        if (debt->relay && debt->waiters == NULL) {
            ses_debt_finish(debt, false);
        }
    }
}

void ses_relay_turn(struct ses_daemon *d)
{
    uint64_t epoch;
    const bool inside = window(d, &epoch);
    if (inside && d->sync.relay_epoch != epoch) {
        d->sync.relay_epoch = epoch;
        vouch_for_debts(d, epoch);
    } else if (!inside && d->sync.relay_epoch != 0) {
        d->sync.relay_epoch = 0;
        forget(d);
    }
}
