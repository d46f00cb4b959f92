/* The answer to a replicate frame: parsed and verified on a worker, one ML-DSA verification for
 * each signature group. */
#include "daemon/daemon_internal.h"

static enum ses_err group_root(struct ses_hash *out, const struct ses_receipt *receipt)
{
    struct ses_hash leaf;
    SES_REQUIRE(receipt->index < receipt->n, SES_ERR_MALFORMED);
    ses_receipt_leaf_hash(&leaf, &receipt->leaf);
    return ses_mt_root_of_path(out, &leaf, receipt->index, receipt->n, receipt->path,
                               receipt->path_cnt);
}

/* The first receipt is verified whole; the others share its signature if they share its root. */
static void verify_group(const struct verdict *v, struct verdict_item *items, uint16_t cnt)
{
    struct ses_hash root;
    if (cnt == 0 || !ses_equal(&items[0].receipt.node_id, &v->node_id, sizeof v->node_id) ||
        group_root(&root, &items[0].receipt) != SES_OK ||
        ses_receipt_verify(&items[0].receipt, &v->chain_id, &v->pk) != SES_OK) {
        return;
    }
    items[0].valid = true;
    for (uint16_t i = 1; i < cnt; i++) {
        struct ses_hash other;
        items[i].valid = group_root(&other, &items[i].receipt) == SES_OK &&
                         ses_equal(&other, &root, sizeof root);
    }
}

static enum ses_err read_groups(struct verdict *v, struct ses_reader *r)
{
    const uint16_t group_cnt = ses_read_u16(r);
    SES_REQUIRE(group_cnt <= v->record_cnt, SES_ERR_PEER);
    for (uint16_t g = 0; g < group_cnt && r->err == SES_OK; g++) {
        struct ses_receipt_group group;
        ses_receipt_group_read(r, &group);
        SES_REQUIRE(r->err == SES_OK && group.cnt <= v->record_cnt - v->item_cnt, SES_ERR_PEER);
        struct verdict_item *items = v->items + v->item_cnt;
        for (uint16_t i = 0; i < group.cnt; i++) {
            ses_receipt_group_item_read(r, &group, &items[i].record, &items[i].receipt);
        }
        SES_REQUIRE(r->err == SES_OK, SES_ERR_PEER);
        v->item_cnt = (uint16_t)(v->item_cnt + group.cnt);
        verify_group(v, items, group.cnt);
    }
    return ses_reader_done(r);
}

static enum ses_err parse(struct verdict *v)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_replicate_result result;
    bool ok = false;
    SES_TRY(ses_response_begin(&r, v->frame, v->len, &ok, &refusal));
    SES_REQUIRE(ok, refusal.status);
    SES_TRY(ses_replicate_result_read(&result, &r));
    SES_REQUIRE(result.record_cnt <= SES_REPLICATE_RECORDS_MAX, SES_ERR_PEER);
    v->seq = result.seq;
    v->record_cnt = result.record_cnt;
    for (uint16_t i = 0; i < v->record_cnt; i++) {
        v->statuses[i] = ses_read_u16(&r);
    }
    v->items = ses_alloc((size_t)v->record_cnt + 1, sizeof *v->items);
    SES_REQUIRE(v->items != NULL, SES_ERR_MEMORY);
    return read_groups(v, &r);
}

void ses_verdict_run(void *cookie)
{
    struct verdict *v = cookie;
    v->err = parse(v);
}

static void on_done(void *cookie)
{
    struct verdict *v = cookie;
    struct ses_daemon *d = v->d;
    struct link *link = &d->links[v->slot];
    link->verdicts--;
    if (link->used && ses_equal(&link->node_id, &v->node_id, sizeof v->node_id)) {
        ses_member_result(link, v);
    }
    ses_verdict_free(v);
    ses_daemon_release(d);
}

enum ses_err ses_verdict_start(struct link *link, const struct ses_dsa_pk *pk, const uint8_t *frame,
                               size_t len)
{
    struct verdict *v = ses_alloc(1, sizeof *v);
    SES_REQUIRE(v != NULL, SES_ERR_MEMORY);
    enum ses_err err = SES_ERR_MEMORY;
    v->d = link->d;
    v->slot = link->slot;
    v->node_id = link->node_id;
    v->pk = *pk;
    v->chain_id = link->d->p.chain_params.chain_id;
    v->len = len;
    v->frame = ses_alloc(len + 1, 1);
    if (v->frame != NULL) {
        memcpy(v->frame, frame, len);
        err = ses_daemon_work(link->d, ses_verdict_run, on_done, v);
    }
    if (err != SES_OK) {
        ses_verdict_free(v);
        return err;
    }
    link->verdicts++;
    return SES_OK;
}

void ses_verdict_free(struct verdict *v)
{
    if (v != NULL) {
        ses_free(v->frame);
        ses_free(v->items);
        ses_free(v);
    }
}
