/* sessionvm.*: commitments, and what a node owes, showed and missed. */
#include <string.h>

#include "plugin/methods.h"

#define HISTORY_DEFAULT 24u

/* ---- commitments ---- */

static json_t *no_commitment(struct ses_rpc_error *error, enum ses_err err, uint64_t epoch)
{
    if (err == SES_ERR_NOT_FOUND) {
        ses_note_set(
            &error->note,
            "there is no such commitment in epoch %llu; those of the last three epochs are "
            "kept, older ones stand in their blocks",
            (unsigned long long)epoch);
    }
    return ses_rpc_fail_here(error, err);
}

json_t *ses_method_commitment(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_node_id node_id;
    struct ses_committed c;
    uint64_t epoch = 0;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("nodeId", "epoch"), &error->note));
    SES_RPC_TRY(error, ses_json_get_node_id(params, "nodeId", &node_id, &error->note));
    SES_RPC_TRY(error, ses_json_get_u64(params, "epoch", &epoch, &error->note));
    const enum ses_err err = ses_vm_commitment(host->vm, &node_id, epoch, &c);
    return err == SES_OK ? ses_json_committed(&c) : no_commitment(error, err, epoch);
}

struct list {
    json_t *json;
    bool failed;
};

static bool add_commitment(void *cookie, const struct ses_committed *c)
{
    struct list *list = cookie;
    list->failed = json_array_append_new(list->json, ses_json_committed(c)) != 0;
    return !list->failed;
}

json_t *ses_method_commitments(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct list list = {0};
    uint32_t swarm = 0;
    uint64_t epoch = 0;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("swarmId", "epoch"), &error->note));
    SES_RPC_TRY(error, ses_json_get_u32(params, "swarmId", &swarm, &error->note));
    SES_RPC_TRY(error, ses_json_get_u64(params, "epoch", &epoch, &error->note));
    list.json = json_array();
    enum ses_err err = ses_vm_commitments(host->vm, swarm, epoch, add_commitment, &list);
    err = list.failed ? SES_ERR_MEMORY : err;
    if (err != SES_OK) {
        json_decref(list.json);
        return no_commitment(error, err, epoch);
    }
    return json_pack("{s:o, s:o, s:o}", "swarmId", ses_json_swarm(swarm), "epoch",
                     ses_json_u64(epoch), "commitments", list.json);
}

/* ---- challenges ---- */

struct search {
    const struct ses_node_id *node_id;
    json_t *history;
    bool failed;
};

static bool find_node(void *cookie, const struct ses_judgement *j)
{
    struct search *s = cookie;
    const int order = memcmp(j->node_id.bytes, s->node_id->bytes, sizeof s->node_id->bytes);
    if (order == 0) {
        s->failed = json_array_append_new(s->history, ses_json_judgement(j)) != 0;
    }
    return order < 0;
}

/* Epochs that were not judged, and those without a note about the node, are left out. */
static enum ses_err read_history(struct ses_host *host, struct search *s, uint64_t now,
                                 uint32_t epochs)
{
    for (uint64_t back = 1; back <= epochs && back <= now && !s->failed; back++) {
        const enum ses_err err = ses_vm_judgements(host->vm, now - back, find_node, s);
        SES_REQUIRE(err == SES_OK || err == SES_ERR_NOT_FOUND, err);
    }
    return s->failed ? SES_ERR_MEMORY : SES_OK;
}

static enum ses_err read_challenges(const json_t *params, struct ses_node_id *node_id,
                                    uint32_t *epochs, struct ses_note *note)
{
    SES_TRY(ses_json_only(params, SES_KEYS("nodeId", "epochs"), note));
    SES_TRY(ses_json_get_node_id(params, "nodeId", node_id, note));
    *epochs = HISTORY_DEFAULT;
    if (json_object_get(params, "epochs") != NULL) {
        SES_TRY(ses_json_get_u32(params, "epochs", epochs, note));
    }
    if (*epochs > SES_UPTIME_WINDOW) {
        ses_note_set(note, "\"epochs\" must be at most %u", SES_UPTIME_WINDOW);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

json_t *ses_method_challenges(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_node_id node_id;
    struct ses_duty duty;
    uint32_t epochs = 0;
    SES_RPC_TRY(error, read_challenges(params, &node_id, &epochs, &error->note));
    enum ses_err err = ses_vm_duty(host->vm, &node_id, &duty);
    if (err == SES_ERR_NOT_FOUND) {
        ses_note_set(&error->note, "there is no such node");
    }
    SES_RPC_TRY(error, err);
    struct search s = {.node_id = &node_id, .history = json_array()};
    err = read_history(host, &s, duty.epoch, epochs);
    if (err != SES_OK) {
        json_decref(s.history);
        return ses_rpc_fail_here(error, err);
    }
    return json_pack("{s:o, s:o}", "duty", ses_json_duty(&duty), "history", s.history);
}
