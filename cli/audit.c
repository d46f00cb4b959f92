/* Auditing commands: the rules of the network, recomputed from public data, so that anybody can
 * check them from outside. JSON in and out, with the field names of the model's vectors. */
#include "cli/cli_internal.h"

#include <string.h>

#define AUDIT_FILE_MAX (64u << 20)
#define AUDIT_NODES_MAX 65536u

/* ---- audit record ---- */

static enum ses_err record_hex(struct cli *cli, uint8_t header[SES_RECORD_HEADER_BYTES])
{
    const char *hex = ses_config_get(cli->config, "header");
    if (hex == NULL || ses_hex_decode(header, SES_RECORD_HEADER_BYTES, hex) != SES_OK) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "--header takes the record's 48 header bytes as 96 hex digits");
    }
    return SES_OK;
}

static json_t *record_json(const struct ses_record_ids *ids)
{
    uint8_t segment[SES_SEGMENT_BYTES];
    ses_segment_encode(segment, &ids->segment);
    return json_pack("{s:o,s:o,s:o,s:I}", "payload_root", ses_json_hex(ids->payload_root.bytes, 32),
                     "id", ses_json_hex(ids->id.bytes, 32), "segment",
                     ses_json_hex(segment, sizeof segment), "expires_ms",
                     (json_int_t)ses_segment_expires_ms(&ids->segment));
}

static enum ses_err audit_record(struct cli *cli)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    SES_TRY(record_hex(cli, header));
    const char *path = ses_config_get(cli->config, "payload");
    if (path == NULL) {
        return cli_fail(cli, SES_ERR_INVALID, "--payload FILE is needed (- for standard input)");
    }
    struct ses_buf payload = {0};
    struct ses_record_ids ids;
    enum ses_err err = cli_read_file(cli, path, SES_PAYLOAD_MAX, &payload);
    if (err == SES_OK) {
        const struct ses_record record = {header, payload.bytes, (uint32_t)payload.len};
        err = ses_record_identify(&ids, &record);
        if (err != SES_OK) {
            err =
                cli_fail(cli, err,
                         "this header is malformed: version 1, kind 0 or 1, ttl_class 0..4, three "
                         "zero bytes, ts_ms a multiple of 1000");
        }
    }
    ses_buf_free(&payload);
    SES_TRY(err);
    cli->json = true;
    return cli_print_json(cli, record_json(&ids));
}

/* ---- audit swarm ---- */

static enum ses_err audit_swarm(struct cli *cli)
{
    const char *text = ses_config_get(cli->config, "id");
    struct ses_session_id id;
    if (text == NULL) {
        return cli_fail(cli, SES_ERR_INVALID, "--id SESSIONID is needed");
    }
    if (ses_session_id_parse(&id, text, &cli->note) != SES_OK) {
        return SES_ERR_INVALID;
    }
    unsigned long long num_swarms = 0;
    SES_TRY(ses_config_u64(cli->config, "num-swarms", 1, 1u << 31, &num_swarms, &cli->note));
    if ((num_swarms & (num_swarms - 1)) != 0) {
        return cli_fail(cli, SES_ERR_INVALID, "--num-swarms is always a power of two, %llu is not",
                        num_swarms);
    }
    struct ses_hash digest;
    ses_blake3_hash(&digest, id.bytes, sizeof id.bytes);
    cli->json = true;
    return cli_print_json(cli,
                          json_pack("{s:o,s:I}", "digest", ses_json_hex(digest.bytes, 32), "swarm",
                                    (json_int_t)ses_swarm_of(&digest, (uint32_t)num_swarms)));
}

/* ---- audit epoch ---- */

struct audit {
    struct ses_membership m;
    struct ses_tester_plan plan;
    struct ses_rank *ranks;
    struct ses_membership_rules rules;
    uint64_t testers;
    struct ses_hash seed;
};

static enum ses_err status_read(const json_t *node, enum ses_node_status *out)
{
    const json_t *status = json_object_get(node, "status");
    for (int s = SES_NODE_ACTIVE; s <= SES_NODE_RETIRED; s++) {
        const enum ses_node_status known = (enum ses_node_status)s;
        const bool same_text =
            json_is_string(status) &&
            strcasecmp(json_string_value(status), ses_node_status_text(known)) == 0;
        if (same_text || (json_is_integer(status) && json_integer_value(status) == s)) {
            *out = known;
            return SES_OK;
        }
    }
    return SES_ERR_MALFORMED;
}

static enum ses_err swarm_read(const json_t *node, uint32_t *out)
{
    const json_t *swarm = json_object_get(node, "swarm");
    *out = SES_SWARM_NONE;
    if (swarm == NULL || json_is_null(swarm)) {
        return SES_OK;
    }
    SES_REQUIRE(json_is_integer(swarm), SES_ERR_MALFORMED);
    const json_int_t value = json_integer_value(swarm);
    SES_REQUIRE(value >= 0 && value <= (json_int_t)SES_SWARM_NONE, SES_ERR_MALFORMED);
    *out = (uint32_t)value;
    return SES_OK;
}

static enum ses_err seat_read(struct cli *cli, const json_t *node, struct ses_seat *seat)
{
    const json_t *seatable = json_object_get(node, "seatable");
    seat->seatable = seatable == NULL || json_is_true(seatable);
    SES_TRY(ses_json_get_hex(node, "node_id", seat->node_id.bytes, 20, &cli->note));
    SES_TRY(ses_json_get_hex(node, "owner", seat->owner.bytes, 20, &cli->note));
    if (status_read(node, &seat->status) != SES_OK) {
        return cli_fail(
            cli, SES_ERR_MALFORMED,
            "nodes[].status is \"active\", \"decommissioning\" or \"retired\" (1, 2, 3)");
    }
    if (swarm_read(node, &seat->swarm) != SES_OK) {
        return cli_fail(cli, SES_ERR_MALFORMED, "nodes[].swarm is a number, or null for none");
    }
    return SES_OK;
}

static int seat_order(const void *a, const void *b)
{
    const struct ses_seat *x = a;
    const struct ses_seat *y = b;
    return memcmp(x->node_id.bytes, y->node_id.bytes, sizeof x->node_id.bytes);
}

static enum ses_err seats_read(struct cli *cli, struct audit *a, const json_t *nodes)
{
    if (!json_is_array(nodes) || json_array_size(nodes) > AUDIT_NODES_MAX) {
        return cli_fail(cli, SES_ERR_MALFORMED, "\"nodes\" is an array of at most %u nodes",
                        AUDIT_NODES_MAX);
    }
    a->m.seat_cnt = (uint32_t)json_array_size(nodes);
    a->m.seats = ses_alloc(a->m.seat_cnt + 1u, sizeof *a->m.seats);
    SES_REQUIRE(a->m.seats != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < a->m.seat_cnt; i++) {
        SES_TRY(seat_read(cli, json_array_get(nodes, i), &a->m.seats[i]));
    }
    qsort(a->m.seats, a->m.seat_cnt, sizeof *a->m.seats, seat_order);
    return SES_OK;
}

/* params.{key}, or the genesis default */
static enum ses_err param_read(struct cli *cli, const json_t *params, const char *key,
                               uint64_t initial, uint64_t *out)
{
    *out = initial;
    return json_object_get(params, key) == NULL ? SES_OK
                                                : ses_json_get_u64(params, key, out, &cli->note);
}

static enum ses_err rules_read(struct cli *cli, struct audit *a, const json_t *root)
{
    struct ses_params initial;
    ses_params_defaults(&initial);
    const json_t *params = json_object_get(root, "params");
    SES_TRY(param_read(cli, params, "swarmTarget", initial.swarm_target, &a->rules.swarm_target));
    SES_TRY(param_read(cli, params, "rotatePerSwarmEpochs", initial.rotate_per_swarm_epochs,
                       &a->rules.rotate_per_swarm_epochs));
    SES_TRY(param_read(cli, params, "testers", initial.testers, &a->testers));
    SES_TRY(ses_json_get_hex(root, "seed", a->seed.bytes, 32, &cli->note));
    uint64_t num_swarms = 0;
    SES_TRY(ses_json_get_u64(root, "num_swarms", &num_swarms, &cli->note));
    if (num_swarms == 0 || num_swarms > 1u << 20 || (num_swarms & (num_swarms - 1)) != 0) {
        return cli_fail(cli, SES_ERR_MALFORMED, "num_swarms is a power of two up to 2^20");
    }
    a->m.num_swarms = (uint32_t)num_swarms;
    return SES_OK;
}

static enum ses_err audit_advance(struct cli *cli, struct audit *a)
{
    a->m.scratch_cnt = ses_membership_scratch(a->m.seat_cnt, a->m.num_swarms);
    a->m.scratch = ses_alloc(a->m.scratch_cnt, sizeof *a->m.scratch);
    a->plan.order = ses_alloc(a->m.seat_cnt + 1u, sizeof *a->plan.order);
    a->plan.offsets = ses_alloc(a->m.seat_cnt + 1u, sizeof *a->plan.offsets);
    a->ranks = ses_alloc(a->m.seat_cnt + 1u, sizeof *a->ranks);
    SES_REQUIRE(a->m.scratch != NULL && a->plan.order != NULL && a->plan.offsets != NULL &&
                    a->ranks != NULL,
                SES_ERR_MEMORY);
    const enum ses_err err = ses_membership_advance(&a->m, &a->seed, &a->rules);
    if (err != SES_OK) {
        return cli_fail(cli, err,
                        "these nodes cannot be: a node twice, or a swarm number that is "
                        "not below num_swarms");
    }
    return ses_tester_plan_make(&a->plan, &a->m, &a->seed, a->testers, a->ranks);
}

static json_t *audit_json(const struct audit *a)
{
    json_t *assignment = json_object();
    json_t *order = json_array();
    json_t *offsets = json_array();
    for (uint32_t i = 0; i < a->m.seat_cnt; i++) {
        char id[41];
        ses_hex_encode(id, a->m.seats[i].node_id.bytes, 20);
        json_object_set_new(assignment, id, json_integer((json_int_t)a->m.seats[i].swarm));
    }
    for (uint32_t i = 0; i < a->plan.order_cnt; i++) {
        json_array_append_new(order, ses_json_hex(a->m.seats[a->plan.order[i]].node_id.bytes, 20));
    }
    for (uint32_t i = 0; i < a->plan.offset_cnt; i++) {
        json_array_append_new(offsets, json_integer((json_int_t)a->plan.offsets[i]));
    }
    return json_pack("{s:I,s:o,s:o,s:o}", "num_swarms", (json_int_t)a->m.num_swarms, "assignment",
                     assignment, "order", order, "offsets", offsets);
}

static void audit_free(struct audit *a)
{
    ses_free(a->m.seats);
    ses_free(a->m.scratch);
    ses_free(a->plan.order);
    ses_free(a->plan.offsets);
    ses_free(a->ranks);
}

static enum ses_err audit_json_load(struct cli *cli, const char *path, json_t **out)
{
    struct ses_buf text = {0};
    enum ses_err err = cli_read_file(cli, path, AUDIT_FILE_MAX, &text);
    if (err == SES_OK) {
        json_error_t why;
        *out = json_loadb((const char *)text.bytes, text.len, JSON_REJECT_DUPLICATES, &why);
        if (*out == NULL) {
            err = cli_fail(cli, SES_ERR_MALFORMED, "%.100s is no JSON: line %d: %.150s", path,
                           why.line, why.text);
        }
    }
    ses_buf_free(&text);
    return err;
}

static enum ses_err audit_epoch(struct cli *cli)
{
    json_t *root = NULL;
    SES_TRY(audit_json_load(cli, cli->args[0], &root));
    struct audit a = {0};
    enum ses_err err = rules_read(cli, &a, root);
    if (err == SES_OK) {
        err = seats_read(cli, &a, json_object_get(root, "nodes"));
    }
    if (err == SES_OK) {
        err = audit_advance(cli, &a);
    }
    if (err == SES_OK) {
        cli->json = true;
        err = cli_print_json(cli, audit_json(&a));
    }
    audit_free(&a);
    json_decref(root);
    return err;
}

static const struct ses_config_key record_keys[] = {
    {"header", NULL, "the record's header, 96 hex digits", false},
    {"payload", NULL, "file with the record's payload, - for standard input", false},
    {0},
};
static const struct ses_config_key swarm_keys[] = {
    {"id", NULL, "Session ID, 66 hex digits", false},
    {"num-swarms", "1", "number of swarms of the epoch, a power of two", false},
    {0},
};

const struct cli_command cli_audit_commands[] = {
    {"audit record", "--header HEX --payload FILE", "ids of a record: payload_root, id, segment",
     "session audit record --header 0100...3b --payload message.bin", 0, 0, audit_record,
     record_keys, CLI_NOTHING},
    {"audit swarm", "--id SESSIONID --num-swarms N", "which swarm serves an inbox",
     "session audit swarm --id 07ab... --num-swarms 16", 0, 0, audit_swarm, swarm_keys,
     CLI_NOTHING},
    {"audit epoch", "FILE", "membership and testers of the next epoch, recomputed",
     "session audit epoch epoch.json     with the rules and nodes before the transition:\n"
     "    {\"num_swarms\": 2, \"params\": {\"swarmTarget\": 5, \"testers\": 20,\n"
     "     \"rotatePerSwarmEpochs\": 24}, \"seed\": \"<64 hex digits>\",\n"
     "     \"nodes\": [{\"node_id\": \"<40 hex digits>\", \"owner\": \"<40 hex digits>\",\n"
     "                \"status\": \"active\", \"swarm\": 0}]}     (swarm null: none)",
     1, 1, audit_epoch, NULL, CLI_NOTHING},
    {0},
};
