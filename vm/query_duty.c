/* What can be asked about duties: who tests whom, commitments, what is owed, judgements. */
#include "vm/vm_internal.h"

enum ses_err ses_vm_tests(const struct ses_vm *vm, const struct ses_node_id *node_id,
                          struct ses_node_id targets[256], uint32_t *target_cnt,
                          uint8_t counts[SES_VERDICT_BYTES_MAX])
{
    const struct ses_tests *tests = vm->tip.tests;
    const uint32_t row = ses_rows_find(vm->tip.rows, node_id);
    const uint32_t q = row == SES_TESTS_NONE ? SES_TESTS_NONE : tests->position[row];
    *target_cnt = 0;
    memset(counts, 0, SES_VERDICT_BYTES_MAX);
    if (q == SES_TESTS_NONE) {
        return SES_OK;
    }
    SES_ASSERT(tests->offset_cnt <= 256 && tests->stride <= SES_VERDICT_BYTES_MAX);
    for (uint32_t j = 0; j < tests->offset_cnt; j++) {
        const uint32_t at = (q + tests->order_cnt - tests->offsets[j]) % tests->order_cnt;
        targets[j] = vm->tip.rows->rows[tests->order[at]].row.node_id;
    }
    memcpy(counts, tests->counts + (size_t)q * tests->stride, tests->stride);
    *target_cnt = tests->offset_cnt;
    return SES_OK;
}

/* Whether commitments of the epoch can still be in the state. */
static bool kept(const struct ses_vm *vm, uint64_t epoch)
{
    const uint64_t now = vm->tip.epoch.epoch;
    return epoch <= now && now - epoch < SES_COMMITMENT_EPOCHS;
}

enum ses_err ses_vm_commitment(const struct ses_vm *vm, const struct ses_node_id *node_id,
                               uint64_t epoch, struct ses_committed *out)
{
    memset(out, 0, sizeof(*out));
    SES_REQUIRE(kept(vm, epoch), SES_ERR_NOT_FOUND);
    return ses_committed_load(&vm->base, node_id, epoch, out) ? SES_OK : SES_ERR_NOT_FOUND;
}

enum ses_err ses_vm_commitments(const struct ses_vm *vm, uint32_t swarm, uint64_t epoch,
                                bool (*each)(void *cookie, const struct ses_committed *c),
                                void *cookie)
{
    struct ses_committed c;
    SES_REQUIRE(kept(vm, epoch), SES_ERR_NOT_FOUND);
    for (uint32_t i = 0; i < vm->node_cnt; i++) {
        if (ses_committed_load(&vm->base, &vm->node_ids[i], epoch, &c) && c.swarm == swarm &&
            !each(cookie, &c)) {
            break;
        }
    }
    return SES_OK;
}

enum ses_err ses_vm_duty(const struct ses_vm *vm, const struct ses_node_id *node_id,
                         struct ses_duty *out)
{
    struct ses_node node;
    struct ses_committed committed;
    struct ses_response_state response;
    struct ses_response_context context;
    const uint64_t epoch = vm->tip.epoch.epoch;
    *out = (struct ses_duty){.node_id = *node_id, .epoch = epoch};
    SES_REQUIRE(ses_node_load(&vm->base, node_id, &node), SES_ERR_NOT_FOUND);
    out->committed = ses_committed_load(&vm->base, node_id, epoch, &committed);
    out->responded = ses_response_load(&vm->base, node_id, epoch, &response);
    out->shown = response.shown;
    ses_response_context_of(&context, vm, &vm->tip, node_id);
    out->has_root = context.has_root;
    out->root = context.root;
    out->owed_cnt = context.owed_cnt;
    memcpy(out->owed, context.owed, sizeof(out->owed));
    out->demanded_cnt = ses_demands_load(&vm->base, node_id, epoch, out->demanded);
    return SES_OK;
}

static enum ses_err read_judged(const struct ses_buf *bytes, uint64_t epoch,
                                bool (*each)(void *cookie, const struct ses_judgement *j),
                                void *cookie)
{
    struct ses_reader r;
    ses_reader_init(&r, bytes->bytes, bytes->len);
    (void)ses_read_u32(&r); /* how many were judged */
    const uint32_t cnt = ses_read_u32(&r);
    ses_reader_check(&r, cnt <= r.left / SES_JUDGEMENT_BYTES, SES_ERR_TRUNCATED);
    for (uint32_t i = 0; r.err == SES_OK && i < cnt; i++) {
        struct ses_judgement j;
        ses_judgement_read(&r, &j);
        j.epoch = epoch;
        if (r.err == SES_OK && !each(cookie, &j)) {
            return SES_OK;
        }
    }
    return ses_reader_done(&r);
}

enum ses_err ses_vm_judgements(const struct ses_vm *vm, uint64_t epoch,
                               bool (*each)(void *cookie, const struct ses_judgement *j),
                               void *cookie)
{
    struct ses_buf buf = {0};
    uint8_t number[8];
    ses_put_u64(number, epoch);
    enum ses_err err = ses_ledger_get(&vm->kv, SES_STORE_JUDGED, number, sizeof(number), &buf);
    if (err == SES_OK) {
        err = read_judged(&buf, epoch, each, cookie);
    }
    ses_buf_free(&buf);
    return err;
}
