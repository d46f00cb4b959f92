/* Typed calls about commitments, challenges and testers. */
#include <string.h>

#include "rpc/rpc_internal.h"

static enum ses_err read_commitments(const json_t *json, uint32_t swarm, uint64_t epoch,
                                     struct ses_committed *out, uint32_t max, uint32_t *cnt,
                                     struct ses_note *note)
{
    const json_t *list = json_object_get(json, "commitments");
    if (!json_is_array(list)) {
        ses_note_set(note, "\"commitments\" must be a list");
        return SES_ERR_INVALID;
    }
    SES_REQUIRE(json_array_size(list) <= max, SES_ERR_TOO_LARGE);
    for (size_t i = 0; i < json_array_size(list); i++) {
        SES_TRY(ses_json_read_committed(json_array_get(list, i), &out[i], note));
        if (out[i].swarm != swarm || out[i].epoch != epoch ||
            (i > 0 && memcmp(out[i - 1].node_id.bytes, out[i].node_id.bytes, 20) >= 0)) {
            ses_note_set(note, "\"commitments\" must be of the swarm and the epoch, by node id");
            return SES_ERR_INVALID;
        }
    }
    *cnt = (uint32_t)json_array_size(list);
    return SES_OK;
}

enum ses_err ses_chain_get_commitments(struct ses_rpc_client *c, uint32_t swarm, uint64_t epoch,
                                       struct ses_committed *out, uint32_t max, uint32_t *cnt,
                                       struct ses_note *note)
{
    json_t *json = NULL;
    *cnt = 0;
    SES_TRY(ses_rpc_call(
        c, "sessionvm.getCommitments",
        json_pack("{s:I, s:o}", "swarmId", (json_int_t)swarm, "epoch", ses_json_u64(epoch)), &json,
        note));
    const enum ses_err err = read_commitments(json, swarm, epoch, out, max, cnt, note);
    json_decref(json);
    return err == SES_ERR_TOO_LARGE ? err : ses_rpc_blame(err, "getCommitments", note);
}

static enum ses_err read_challenges(const json_t *json, const struct ses_node_id *node_id,
                                    struct ses_chain_challenges *out, struct ses_note *note)
{
    const json_t *list = json_object_get(json, "history");
    SES_TRY(ses_json_read_duty(json_object_get(json, "duty"), &out->duty, note));
    if (!ses_equal(out->duty.node_id.bytes, node_id->bytes, sizeof node_id->bytes)) {
        ses_note_set(note, "it describes another node");
        return SES_ERR_PEER;
    }
    if (!json_is_array(list) || json_array_size(list) > SES_COUNT(out->history)) {
        ses_note_set(note, "\"history\" must be a list of at most %zu", SES_COUNT(out->history));
        return SES_ERR_INVALID;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        SES_TRY(ses_json_read_judgement(json_array_get(list, i), &out->history[i], note));
    }
    out->history_cnt = (uint32_t)json_array_size(list);
    return SES_OK;
}

enum ses_err ses_chain_get_challenges(struct ses_rpc_client *c, const struct ses_node_id *node_id,
                                      uint32_t epochs, struct ses_chain_challenges *out,
                                      struct ses_note *note)
{
    json_t *json = NULL;
    memset(out, 0, sizeof *out);
    SES_TRY(ses_rpc_call(
        c, "sessionvm.getChallenges",
        json_pack("{s:o, s:I}", "nodeId", ses_json_node_id(node_id), "epochs", (json_int_t)epochs),
        &json, note));
    const enum ses_err err = read_challenges(json, node_id, out, note);
    json_decref(json);
    return ses_rpc_blame(err, "getChallenges", note);
}
