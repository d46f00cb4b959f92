/* sessionvm.*: service nodes, swarms, the registry snapshot, testers. */
#include <string.h>

#include "plugin/methods.h"

#define NODES_DEFAULT 100u
#define NODES_MAX 1000u

static enum ses_err node_missing(enum ses_err err, struct ses_note *note)
{
    if (err == SES_ERR_NOT_FOUND) {
        ses_note_set(note, "no service node with this id is registered");
    }
    return err;
}

/* ---- one node ---- */

json_t *ses_method_node(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_node_id node_id;
    struct ses_map_node keys;
    struct ses_node node;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("nodeId"), &error->note));
    SES_RPC_TRY(error, ses_json_get_node_id(params, "nodeId", &node_id, &error->note));
    SES_RPC_TRY(error, node_missing(ses_vm_node(host->vm, &node_id, &keys, &node), &error->note));
    return ses_json_node(&node, &keys.keys, &keys.endpoint);
}

json_t *ses_method_uptime(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_node_id node_id;
    struct ses_map_node keys;
    struct ses_node node;
    struct ses_vm_head head;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("nodeId"), &error->note));
    SES_RPC_TRY(error, ses_json_get_node_id(params, "nodeId", &node_id, &error->note));
    SES_RPC_TRY(error, node_missing(ses_vm_node(host->vm, &node_id, &keys, &node), &error->note));
    ses_vm_head(host->vm, &head);
    return json_pack("{s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "nodeId",
                     ses_json_node_id(&node_id), "epoch", ses_json_u64(head.epoch), "uptimeScore",
                     (int)ses_node_uptime_bps(&node), "window", (int)SES_UPTIME_WINDOW,
                     "uptimeBits", ses_json_hex(node.uptime, sizeof node.uptime), "observedBits",
                     ses_json_hex(node.observed, sizeof node.observed), "forgivenBits",
                     ses_json_hex(node.forgiven, sizeof node.forgiven), "misses",
                     ses_json_u64(node.misses), "lastPingAt", ses_json_u64(node.last_ping_at));
}

/* ---- lists ---- */

struct node_list {
    json_t *nodes;
    uint32_t limit;
    uint32_t swarm; /* of node_of_swarm */
    struct ses_node_id last;
    bool more;
    bool failed;
};

static bool node_of_page(void *cookie, const struct ses_node *node)
{
    struct node_list *list = cookie;
    if (json_array_size(list->nodes) >= list->limit) {
        list->more = true;
        return false;
    }
    list->last = node->node_id;
    list->failed = json_array_append_new(list->nodes, ses_json_node(node, NULL, NULL)) != 0;
    return !list->failed;
}

static enum ses_err read_page(const json_t *params, uint32_t *limit, struct ses_node_id *after,
                              bool *has_after, struct ses_note *note)
{
    SES_TRY(ses_json_only(params, SES_KEYS("after", "limit"), note));
    *limit = NODES_DEFAULT;
    if (json_object_get(params, "limit") != NULL) {
        SES_TRY(ses_json_get_u32(params, "limit", limit, note));
    }
    if (*limit == 0 || *limit > NODES_MAX) {
        ses_note_set(note, "\"limit\" must be from 1 to %u", NODES_MAX);
        return SES_ERR_INVALID;
    }
    const json_t *value = json_object_get(params, "after");
    *has_after = value != NULL && !json_is_null(value);
    return *has_after ? ses_json_get_node_id(params, "after", after, note) : SES_OK;
}

json_t *ses_method_nodes(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct node_list list = {0};
    struct ses_node_id after;
    bool has_after = false;
    SES_RPC_TRY(error, read_page(params, &list.limit, &after, &has_after, &error->note));
    list.nodes = json_array();
    const enum ses_err err = ses_vm_nodes(host->vm, has_after ? &after : NULL, node_of_page, &list);
    if (err != SES_OK || list.failed) {
        json_decref(list.nodes);
        return ses_rpc_fail_here(error, err != SES_OK ? err : SES_ERR_MEMORY);
    }
    return json_pack("{s:o, s:o}", "nodes", list.nodes, "next",
                     list.more ? ses_json_node_id(&list.last) : json_null());
}

/* ---- swarms ---- */

static bool node_of_swarm(void *cookie, const struct ses_node *node)
{
    struct node_list *list = cookie;
    if (node->swarm == list->swarm && node->status != SES_NODE_RETIRED) {
        list->failed = json_array_append_new(list->nodes, ses_json_node(node, NULL, NULL)) != 0;
    }
    return !list->failed;
}

static json_t *swarm_json(struct ses_host *host, uint32_t swarm, uint64_t epoch,
                          uint32_t num_swarms, struct ses_rpc_error *error)
{
    struct node_list list = {.nodes = json_array(), .swarm = swarm};
    const enum ses_err err = ses_vm_nodes(host->vm, NULL, node_of_swarm, &list);
    if (err != SES_OK || list.failed) {
        json_decref(list.nodes);
        return ses_rpc_fail_here(error, err != SES_OK ? err : SES_ERR_MEMORY);
    }
    return json_pack("{s:o, s:o, s:I, s:o}", "swarmId", ses_json_swarm(swarm), "epoch",
                     ses_json_u64(epoch), "numSwarms", (json_int_t)num_swarms, "members",
                     list.nodes);
}

static enum ses_err current_swarms(struct ses_host *host, uint64_t *epoch, uint32_t *num_swarms,
                                   struct ses_note *note)
{
    struct ses_epoch e;
    SES_TRY(ses_host_epoch(host, UINT64_MAX, &e, note));
    *epoch = e.epoch;
    *num_swarms = e.num_swarms;
    ses_free(e.canonical);
    return SES_OK;
}

json_t *ses_method_swarm(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    uint32_t swarm = 0;
    uint32_t num_swarms = 0;
    uint64_t epoch = 0;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("swarmId"), &error->note));
    SES_RPC_TRY(error, ses_json_get_u32(params, "swarmId", &swarm, &error->note));
    SES_RPC_TRY(error, current_swarms(cookie, &epoch, &num_swarms, &error->note));
    if (swarm >= num_swarms) {
        return ses_rpc_fail(error, SES_ERR_NOT_FOUND, "there are swarms 0 to %u in this epoch",
                            num_swarms - 1);
    }
    return swarm_json(cookie, swarm, epoch, num_swarms, error);
}

json_t *ses_method_swarm_for_inbox(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_session_id id;
    struct ses_hash digest;
    const char *text = NULL;
    uint32_t num_swarms = 0;
    uint64_t epoch = 0;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("sessionId"), &error->note));
    SES_RPC_TRY(error, ses_json_get_text(params, "sessionId", &text, &error->note));
    if (ses_session_id_parse(&id, text, &error->note) != SES_OK) {
        return ses_rpc_fail_here(error, SES_ERR_INVALID);
    }
    SES_RPC_TRY(error, current_swarms(cookie, &epoch, &num_swarms, &error->note));
    ses_blake3_hash(&digest, id.bytes, sizeof id.bytes);
    return swarm_json(cookie, ses_swarm_of(&digest, num_swarms), epoch, num_swarms, error);
}

/* ---- the snapshot ---- */

struct row_list {
    json_t *rows;
    bool failed;
};

static bool row_of_registry(void *cookie, const struct ses_map_node *node)
{
    struct row_list *list = cookie;
    list->failed = json_array_append_new(list->rows, ses_json_registry_row(&node->row, &node->keys,
                                                                           &node->endpoint)) != 0;
    return !list->failed;
}

json_t *ses_method_registry(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    struct ses_host *host = cookie;
    struct ses_epoch e;
    uint64_t since = UINT64_MAX;
    SES_RPC_TRY(error, ses_json_only(params, SES_KEYS("since"), &error->note));
    if (json_object_get(params, "since") != NULL) {
        SES_RPC_TRY(error, ses_json_get_u64(params, "since", &since, &error->note));
    }
    SES_RPC_TRY(error, ses_host_epoch(host, UINT64_MAX, &e, &error->note));
    ses_free(e.canonical);
    const struct ses_json_registry header = {
        .epoch = e.epoch, .seed = e.seed, .root = e.registry_root, .num_swarms = e.num_swarms};
    json_t *json = ses_json_registry(&header);
    struct row_list list = {.rows = json_object_get(json, "rows")};
    const enum ses_err err = ses_vm_registry(host->vm, since, row_of_registry, &list);
    if (err != SES_OK || list.failed) {
        json_decref(json);
        return ses_rpc_fail_here(error, err != SES_OK ? err : SES_ERR_MEMORY);
    }
    return json;
}

/* ---- testers ---- */

/* The plan as the vm stores it: node ids in order, then the offsets common to all. */
struct plan {
    const uint8_t *order;
    uint32_t order_cnt;
    const uint8_t *offsets;
    uint32_t offset_cnt;
};

static enum ses_err plan_read(struct plan *plan, const struct ses_buf *bytes)
{
    struct ses_reader r;
    ses_reader_init(&r, bytes->bytes, bytes->len);
    plan->order_cnt = ses_read_u32(&r);
    ses_reader_check(&r, plan->order_cnt <= r.left / 20, SES_ERR_TRUNCATED);
    plan->order = ses_read_view(&r, (size_t)plan->order_cnt * 20);
    plan->offset_cnt = ses_read_u32(&r);
    ses_reader_check(&r, plan->offset_cnt <= r.left / 4, SES_ERR_TRUNCATED);
    plan->offsets = ses_read_view(&r, (size_t)plan->offset_cnt * 4);
    return ses_reader_done(&r);
}

static json_t *plan_node(const struct plan *plan, uint32_t at)
{
    struct ses_node_id id;
    memcpy(id.bytes, plan->order + (size_t)at * 20, sizeof id.bytes);
    return ses_json_node_id(&id);
}

static uint32_t plan_find(const struct plan *plan, const struct ses_node_id *node_id)
{
    uint32_t at = 0;
    while (at < plan->order_cnt &&
           memcmp(plan->order + (size_t)at * 20, node_id->bytes, sizeof node_id->bytes) != 0) {
        at++;
    }
    return at;
}

/* Which verdict bits count: known of the running epoch only. */
static json_t *counts_json(const struct ses_host *host, uint64_t epoch,
                           const struct ses_node_id *node_id)
{
    struct ses_node_id targets[256];
    uint8_t counts[SES_VERDICT_BYTES_MAX];
    struct ses_vm_head head;
    uint32_t cnt = 0;
    ses_vm_head(host->vm, &head);
    if (epoch != head.epoch || ses_vm_tests(host->vm, node_id, targets, &cnt, counts) != SES_OK) {
        return json_null();
    }
    return ses_json_hex(counts, sizeof counts);
}

/* The node at position q tests q - d_j and is tested by q + d_j. */
static json_t *plan_json(const struct ses_host *host, const struct plan *plan, uint32_t at,
                         uint64_t epoch, const struct ses_node_id *node_id)
{
    json_t *tests = json_array();
    json_t *testers = json_array();
    const uint32_t n = plan->order_cnt;
    for (uint32_t j = 0; j < plan->offset_cnt; j++) {
        const uint32_t d = ses_get_u32(plan->offsets + (size_t)j * 4) % n;
        json_array_append_new(tests, plan_node(plan, (at + n - d) % n));
        json_array_append_new(testers, plan_node(plan, (at + d) % n));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "nodeId", ses_json_node_id(node_id), "epoch",
                     ses_json_u64(epoch), "testers", testers, "tests", tests, "counts",
                     counts_json(host, epoch, node_id));
}

static enum ses_err testers_json(struct ses_host *host, const json_t *params, json_t **out,
                                 struct ses_buf *bytes, struct ses_note *note)
{
    struct ses_node_id node_id;
    struct ses_vm_head head;
    struct plan plan;
    ses_vm_head(host->vm, &head);
    uint64_t epoch = head.epoch;
    SES_TRY(ses_json_only(params, SES_KEYS("nodeId", "epoch"), note));
    SES_TRY(ses_json_get_node_id(params, "nodeId", &node_id, note));
    if (json_object_get(params, "epoch") != NULL) {
        SES_TRY(ses_json_get_u64(params, "epoch", &epoch, note));
    }
    const enum ses_err err =
        epoch == UINT64_MAX ? SES_ERR_NOT_FOUND : ses_vm_testers(host->vm, epoch, bytes);
    if (err == SES_ERR_NOT_FOUND) {
        ses_note_set(note, "epoch %llu has no tester plan", (unsigned long long)epoch);
    }
    SES_TRY(err);
    SES_TRY(plan_read(&plan, bytes));
    const uint32_t at = plan_find(&plan, &node_id);
    if (at == plan.order_cnt) {
        ses_note_set(note, "this node was not active in epoch %llu", (unsigned long long)epoch);
        return SES_ERR_NOT_FOUND;
    }
    *out = plan_json(host, &plan, at, epoch, &node_id);
    return *out != NULL ? SES_OK : SES_ERR_MEMORY;
}

json_t *ses_method_testers(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    json_t *out = NULL;
    struct ses_buf bytes = {0};
    const enum ses_err err = testers_json(cookie, params, &out, &bytes, &error->note);
    ses_buf_free(&bytes);
    return err == SES_OK ? out : ses_rpc_fail_here(error, err);
}
