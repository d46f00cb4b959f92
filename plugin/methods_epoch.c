/* sessionvm.*: epoch records, accounts, the bonded total. */
#include <string.h>

#include "plugin/methods.h"

#define EPOCHS_DEFAULT 24u
#define EPOCHS_MAX 168u
#define CANONICAL_BYTES 52u /* swarm, root, count, bytes */

/* ---- epochs ---- */

static enum ses_err decode_epoch(struct ses_epoch *e, const struct ses_buf *bytes)
{
    struct ses_reader r;
    const uint32_t max = (uint32_t)(bytes->len / CANONICAL_BYTES);
    struct ses_canonical_root *roots = ses_alloc(max, sizeof *roots);
    SES_REQUIRE(roots != NULL, SES_ERR_MEMORY);
    ses_reader_init(&r, bytes->bytes, bytes->len);
    ses_epoch_read(&r, e, roots, max);
    const enum ses_err err = ses_reader_done(&r);
    e->canonical = roots;
    if (err != SES_OK) {
        ses_free(roots);
        e->canonical = NULL;
    }
    return err;
}

enum ses_err ses_host_epoch(struct ses_host *host, uint64_t epoch, struct ses_epoch *e,
                            struct ses_note *note)
{
    struct ses_buf bytes = {0};
    memset(e, 0, sizeof *e);
    enum ses_err err = ses_vm_epoch(host->vm, epoch, &bytes);
    if (err == SES_ERR_NOT_FOUND) {
        ses_note_set(note, "epoch %llu has no record: no block was made in it, or it is to come",
                     (unsigned long long)epoch);
    }
    if (err == SES_OK) {
        err = decode_epoch(e, &bytes);
    }
    ses_buf_free(&bytes);
    return err;
}

json_t *ses_method_epoch(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_epoch e;
    uint64_t epoch = UINT64_MAX;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("epoch"), &error->note));
    if (json_object_get(params, "epoch") != NULL) {
        SES_RPC_TRY(error, ses_json_get_u64(params, "epoch", &epoch, &error->note));
        if (epoch == UINT64_MAX) {
            return ses_rpc_fail(error, SES_ERR_NOT_FOUND, "there is no such epoch");
        }
    }
    SES_RPC_TRY(error, ses_host_epoch(cookie, epoch, &e, &error->note));
    json_t *json = ses_json_epoch(&e);
    ses_free(e.canonical);
    return json;
}

static enum ses_err read_range(const json_t *params, uint64_t *from, uint32_t *count,
                               struct ses_note *note)
{
    SES_TRY(ses_json_only(params, SES_KEYS("from", "count"), note));
    SES_TRY(ses_json_get_u64(params, "from", from, note));
    *count = EPOCHS_DEFAULT;
    if (json_object_get(params, "count") != NULL) {
        SES_TRY(ses_json_get_u32(params, "count", count, note));
    }
    if (*count == 0 || *count > EPOCHS_MAX) {
        ses_note_set(note, "\"count\" must be from 1 to %u", EPOCHS_MAX);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

/* Epochs without a record (nothing happened in them) are left out. */
static enum ses_err append_epoch(struct ses_host *host, uint64_t epoch, json_t *list,
                                 struct ses_note *note)
{
    struct ses_epoch e;
    const enum ses_err err = ses_host_epoch(host, epoch, &e, note);
    if (err == SES_ERR_NOT_FOUND) {
        return SES_OK;
    }
    SES_TRY(err);
    const bool ok = json_array_append_new(list, ses_json_epoch(&e)) == 0;
    ses_free(e.canonical);
    return ok ? SES_OK : SES_ERR_MEMORY;
}

json_t *ses_method_epochs(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_vm_head head;
    uint64_t from = 0;
    uint32_t count = 0;
    enum ses_err err = SES_OK;
    SES_RPC_TRY(error, read_range(params, &from, &count, &error->note));
    ses_vm_head(host->vm, &head);
    json_t *list = json_array();
    const uint64_t left = from <= head.epoch ? head.epoch - from + 1 : 0;
    for (uint64_t i = 0; err == SES_OK && i < count && i < left; i++) {
        err = append_epoch(host, from + i, list, &error->note);
    }
    if (err != SES_OK) {
        json_decref(list);
        return ses_rpc_fail_here(error, err);
    }
    return json_pack("{s:o, s:o}", "epochs", list, "current", ses_json_u64(head.epoch));
}

/* ---- accounts ---- */

static enum ses_err read_account(struct ses_host *host, const json_t *params,
                                 struct ses_account *account, struct ses_vm_account *out,
                                 struct ses_note *note)
{
    SES_TRY(ses_json_only(params, SES_KEYS("account"), note));
    SES_TRY(ses_json_get_account(params, "account", account, note));
    return ses_vm_account(host->vm, account, out);
}

json_t *ses_method_balance(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_account account;
    struct ses_vm_account a;
    SES_RPC_TRY(error, read_account(cookie, params, &account, &a, &error->note));
    return json_pack("{s:o, s:o, s:o, s:o, s:b}", "account", ses_json_account(&account), "balance",
                     ses_json_u64(a.balance), "nonce", ses_json_u64(a.nonce), "pendingNonce",
                     ses_json_u64(a.pending_nonce), "hasKey", (int)a.has_key);
}

json_t *ses_method_nonce(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_account account;
    struct ses_vm_account a;
    SES_RPC_TRY(error, read_account(cookie, params, &account, &a, &error->note));
    return json_pack("{s:o, s:o, s:o, s:b}", "account", ses_json_account(&account), "nonce",
                     ses_json_u64(a.nonce), "pendingNonce", ses_json_u64(a.pending_nonce), "hasKey",
                     (int)a.has_key);
}

json_t *ses_method_total_bonded(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_vm_head head;
    SES_RPC_TRY(error, ses_json_only(params, SES_NO_KEYS, &error->note));
    ses_vm_head(host->vm, &head);
    return json_pack("{s:o, s:o, s:o, s:o}", "totalBonded",
                     ses_json_u64(ses_vm_total_bonded(host->vm)), "totalBurned",
                     ses_json_u64(ses_vm_total_burned(host->vm)), "epoch", ses_json_u64(head.epoch),
                     "height", ses_json_u64(head.height));
}
