/* Records that another member gives us, by whatever way: pushed, fetched or in bulk. Everything is
 * validated again, nothing is taken on a member's word; other members' receipts that come along are
 * verified, since they vouch for a record that arrives late. */
#include "daemon/daemon_internal.h"

#define FUTURE_MS 10000u
#define VOUCHERS_ALL_MAX 256u
#define VOUCHERS_FIRST 8u /* room for so many at first, then twice as many */

struct voucher {
    uint16_t item;
    bool valid;
    struct ses_dsa_pk pk;
    struct ses_receipt receipt;
};

enum ses_err ses_intake_new(struct intake **out, struct ses_daemon *d,
                            const struct ses_node_id *sender, uint16_t cnt)
{
    struct intake *in = ses_alloc(1, sizeof *in + (size_t)cnt * sizeof in->items[0]);
    *out = in;
    SES_REQUIRE(in != NULL, SES_ERR_MEMORY);
    in->d = d;
    in->sender = *sender;
    in->chain_id = d->p.chain_params.chain_id;
    in->cnt = cnt;
    for (uint16_t i = 0; i < cnt; i++) {
        in->items[i].in = in;
    }
    return SES_OK;
}

void ses_intake_free(struct intake *in)
{
    if (in == NULL) {
        return;
    }
    SES_ASSERT(in->left == 0);
    ses_free(in->vouchers);
    ses_free(in);
}

/* ---- vouchers ---- */
/* Only other members' receipts vouch, each member once for a record. */
static bool may_vouch(const struct intake *in, uint16_t item, const struct ses_node_id *node_id)
{
    if (ses_equal(node_id, &in->d->p.node_id, sizeof *node_id) ||
        !ses_daemon_is_member(in->d, node_id)) {
        return false;
    }
    for (uint16_t i = 0; i < in->voucher_cnt; i++) {
        if (in->vouchers[i].item == item && !SES_MUTANT(VOUCHER_COUNTS_TWICE) &&
            ses_equal(&in->vouchers[i].receipt.node_id, node_id, sizeof *node_id)) {
            return false;
        }
    }
    return true;
}

enum ses_err ses_intake_vouch(struct intake *in, uint16_t item, const struct ses_receipt *receipt)
{
    const struct ses_map_node *node = ses_daemon_node(in->d, &receipt->node_id);
    if (node == NULL || in->voucher_cnt == VOUCHERS_ALL_MAX ||
        !may_vouch(in, item, &receipt->node_id)) {
        return SES_OK;
    }
    if (in->voucher_cnt == in->voucher_cap) {
        const uint16_t cap = in->voucher_cap > 0 ? (uint16_t)(2 * in->voucher_cap) : VOUCHERS_FIRST;
        struct voucher *all = ses_realloc(in->vouchers, cap, sizeof *all);
        SES_REQUIRE(all != NULL, SES_ERR_MEMORY);
        in->vouchers = all;
        in->voucher_cap = cap;
    }
    struct voucher *v = &in->vouchers[in->voucher_cnt++];
    v->item = item;
    v->valid = false;
    v->pk = node->keys.public_key;
    v->receipt = *receipt;
    return SES_OK;
}

bool ses_intake_voucher(const struct intake *in, const struct intake_item *item, uint16_t *at,
                        struct ses_receipt *out)
{
    while (*at < in->voucher_cnt) {
        const struct voucher *v = &in->vouchers[(*at)++];
        if (v->valid && &in->items[v->item] == item) {
            *out = v->receipt;
            return true;
        }
    }
    return false;
}

uint64_t ses_intake_vouched_bytes(const struct intake *in)
{
    uint64_t bytes = 0;
    for (uint16_t i = 0; i < in->cnt; i++) {
        const uint32_t payload_bytes = in->items[i].record.payload_bytes;
        bytes += in->items[i].vouched ? BUDGET_RECORD_BYTES + payload_bytes : 0;
    }
    return bytes;
}

/* ---- signatures, on a worker ---- */
static enum ses_err check_item(const struct intake *in, struct intake_item *item)
{
    SES_TRY(ses_record_identify(&item->ids, &item->record));
    return ses_record_check_owner(&item->record, &item->ids, &in->chain_id);
}

static bool voucher_fits(const struct intake *in, const struct voucher *v,
                         struct ses_receipt_memo *memo)
{
    const struct intake_item *item = &in->items[v->item];
    return ses_equal(&v->receipt.leaf.id, &item->ids.id, 32) &&
           ses_equal(&v->receipt.leaf.digest, &item->ids.digest, 32) &&
           (SES_MUTANT(VOUCHERS_NOT_VERIFIED) ||
            ses_receipt_verify_once(&v->receipt, &in->chain_id, &v->pk, memo) == SES_OK);
}

static void check_run(void *cookie)
{
    struct intake *in = cookie;
    struct ses_receipt_memo memo = {.cnt = 0};
    for (uint16_t i = 0; i < in->cnt; i++) {
        in->items[i].err = check_item(in, &in->items[i]);
    }
    for (uint16_t i = 0; i < in->voucher_cnt; i++) {
        struct voucher *v = &in->vouchers[i];
        struct intake_item *item = &in->items[v->item];
        if (item->err == SES_OK && item->vouchers.cnt < SES_VOUCHERS_MAX &&
            voucher_fits(in, v, &memo)) {
            v->valid = true;
            ses_vouchers_add(&item->vouchers, v->receipt.leaf.admit_epoch);
            item->vouched |= !ses_equal(&v->receipt.node_id, &in->sender, sizeof in->sender);
        }
    }
}

/* ---- into the store ---- */
static void settle(struct intake *in)
{
    SES_ASSERT(in->left > 0);
    if (--in->left == 0) {
        in->done(in->cookie, in);
    }
}

static void on_put(void *cookie, const struct ses_put_result *result)
{
    struct intake_item *item = cookie;
    struct ses_daemon *d = item->in->d;
    item->err = result->err;
    if (result->err == SES_OK) {
        item->receipt = result->receipt;
        item->existed = result->existed;
        if (!item->existed || result->earlier) {
            ses_relay_accepted(d, item->in, item);
        }
    }
    const bool last = item->in->left == 1;
    settle(item->in);
    if (last) {
        ses_members_pump(d); /* what is passed on */
    }
    ses_daemon_release(d);
}

static enum ses_err check_place(const struct intake *in, const struct intake_item *item)
{
    const struct ses_daemon *d = in->d;
    const uint64_t now_ms = ses_daemon_now(d);
    SES_TRY(item->err);
    SES_REQUIRE(ses_daemon_serves(d, &item->ids.digest, true), SES_ERR_WRONG_SWARM);
    SES_REQUIRE(item->ids.header.ts_ms <= now_ms + FUTURE_MS, SES_ERR_CLOCK);
    SES_REQUIRE(ses_segment_expires_ms(&item->ids.segment) > now_ms, SES_ERR_CLOCK);
    return SES_OK;
}

static enum ses_err put_item(struct intake *in, struct intake_item *item)
{
    struct ses_daemon *d = in->d;
    SES_TRY(check_place(in, item));
    SES_REQUIRE(in->accept == NULL || in->accept(in->cookie, item), SES_ERR_AGAIN);
    const struct ses_put put = {.record = item->record,
                                .ids = &item->ids,
                                .vouchers = item->vouchers,
                                .on_done = on_put,
                                .cookie = item};
    SES_TRY(ses_daemon_put(d, &put));
    in->left++;
    ses_daemon_hold(d);
    return SES_OK;
}

static void check_done(void *cookie)
{
    struct intake *in = cookie;
    struct ses_daemon *d = in->d;
    for (uint16_t i = 0; i < in->cnt; i++) {
        const enum ses_err err = put_item(in, &in->items[i]);
        if (err != SES_OK) {
            in->items[i].err = err;
        }
    }
    settle(in); /* of the start */
    ses_daemon_release(d);
}

enum ses_err ses_intake_start(struct intake *in, void (*done)(void *cookie, struct intake *in),
                              void *cookie)
{
    in->done = done;
    in->cookie = cookie;
    in->left = 1;
    const enum ses_err err = ses_daemon_work(in->d, check_run, check_done, in);
    in->left = err == SES_OK ? 1 : 0;
    return err;
}
