/* Auditing commands for storage: the root of a set of leaves, and proofs about such a root, from
 * public data alone. JSON in and out, with the field names of the model's vectors. */
#include "cli/cli_internal.h"

#include <string.h>

#define FOREST_FILE_MAX (512u << 20)
#define PROOF_FILE_MAX (32u << 20)
#define PROOF_MAX (8u << 20)
#define POOL_BYTES_MIN ((size_t)64 << 20)
#define POOL_BYTES_LEAF 512u /* far above what a leaf takes with its share of the nodes */

static enum ses_err json_load(struct cli *cli, size_t max, json_t **out)
{
    struct ses_buf text = {0};
    enum ses_err err = cli_read_file(cli, cli->args[0], max, &text);
    if (err == SES_OK) {
        json_error_t why;
        *out = json_loadb((const char *)text.bytes, text.len, JSON_REJECT_DUPLICATES, &why);
        if (*out == NULL) {
            err = cli_fail(cli, SES_ERR_INVALID, "%.100s is no JSON: line %d: %.150s", cli->args[0],
                           why.line, why.text);
        }
    }
    ses_buf_free(&text);
    return err;
}

/* ---- audit forest ---- */

static enum ses_err small_read(struct cli *cli, const json_t *leaf, const char *key, uint8_t *out)
{
    uint32_t value = 0;
    SES_TRY(ses_json_get_u32(leaf, key, &value, &cli->note));
    if (value > UINT8_MAX) {
        return cli_fail(cli, SES_ERR_INVALID, "\"%s\" must be at most 255", key);
    }
    *out = (uint8_t)value;
    return SES_OK;
}

/* 156 hex digits, or {key, ts_ms, ttl_class, kind, size}. */
static enum ses_err leaf_read(struct cli *cli, struct ses_leaf *leaf, const json_t *json)
{
    uint8_t bytes[SES_LEAF_BYTES];
    if (json_is_object(json)) {
        SES_TRY(ses_json_get_hex(json, "key", leaf->key.bytes, SES_LEAF_KEY_BYTES, &cli->note));
        SES_TRY(ses_json_get_u64(json, "ts_ms", &leaf->ts_ms, &cli->note));
        SES_TRY(ses_json_get_u32(json, "size", &leaf->size, &cli->note));
        SES_TRY(small_read(cli, json, "ttl_class", &leaf->ttl_class));
        SES_TRY(small_read(cli, json, "kind", &leaf->kind));
    } else {
        const char *hex = json_string_value(json);
        if (hex == NULL || ses_hex_decode(bytes, sizeof bytes, hex) != SES_OK) {
            return cli_fail(cli, SES_ERR_INVALID,
                            "a leaf is %u bytes as %u hex digits (key 64, u64 ts_ms, u8 ttl_class, "
                            "u8 kind, u32 size), or an object with these names",
                            SES_LEAF_BYTES, 2 * SES_LEAF_BYTES);
        }
        ses_leaf_decode(leaf, bytes);
    }
    if (ses_leaf_validate(leaf) != SES_OK) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "a leaf has ttl_class 0..4, kind 0 or 1, and a time whose hour fits 32 "
                        "bits");
    }
    return SES_OK;
}

static enum ses_err leaves_put(struct cli *cli, struct ses_forest *forest, const json_t *leaves)
{
    struct ses_sum sum;
    for (size_t i = 0; i < json_array_size(leaves); i++) {
        struct ses_leaf leaf = {0};
        enum ses_err err = leaf_read(cli, &leaf, json_array_get(leaves, i));
        if (err != SES_OK) { /* which one it is, before what is wrong with it */
            char why[sizeof cli->note.text];
            snprintf(why, sizeof why, "%s", cli->note.text);
            return cli_fail(cli, err, "leaves[%zu]: %.300s", i, why);
        }
        SES_TRY(ses_forest_put(forest, &leaf));
    }
    ses_forest_sum(forest, &sum);
    if (sum.count != json_array_size(leaves)) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "\"leaves\" has %zu entries but only %llu keys: a key stands once in its "
                        "segment, as its tombstone if it was deleted",
                        json_array_size(leaves), (unsigned long long)sum.count);
    }
    return SES_OK;
}

static json_t *forest_json(struct ses_forest *forest, const struct ses_hash *root)
{
    struct ses_sum sum;
    json_t *segments = json_array();
    for (size_t i = 0; i < ses_forest_segment_cnt(forest); i++) {
        struct ses_forest_segment segment;
        ses_forest_segment(forest, i, &segment);
        json_array_append_new(segments,
                              json_pack("{s:o,s:o,s:I,s:I}", "id",
                                        ses_json_hex(segment.id.bytes, sizeof segment.id.bytes),
                                        "hash", ses_json_hex(segment.sum.hash.bytes, 32), "count",
                                        (json_int_t)segment.sum.count, "bytes",
                                        (json_int_t)segment.sum.bytes));
    }
    ses_forest_sum(forest, &sum);
    return json_pack("{s:I,s:I,s:o,s:o}", "count", (json_int_t)sum.count, "bytes",
                     (json_int_t)sum.bytes, "root", ses_json_hex(root->bytes, 32), "segments",
                     segments);
}

/* Reads the leaves into the empty forest and prints what they come to. */
static enum ses_err forest_run(struct cli *cli, struct ses_forest *forest, const json_t *input)
{
    uint32_t swarm = 0;
    uint64_t epoch = 0;
    struct ses_hash root;
    SES_TRY(ses_json_get_u32(input, "swarm", &swarm, &cli->note));
    SES_TRY(ses_json_get_u64(input, "epoch", &epoch, &cli->note));
    SES_TRY(leaves_put(cli, forest, json_object_get(input, "leaves")));
    ses_forest_root(forest, &root, swarm, epoch);
    cli->json = true;
    return cli_print_json(cli, forest_json(forest, &root));
}

static enum ses_err audit_forest(struct cli *cli)
{
    json_t *input = NULL;
    struct ses_forest_pool *pool = NULL;
    struct ses_forest *forest = NULL;
    SES_TRY(json_load(cli, FOREST_FILE_MAX, &input));
    const json_t *leaves = json_object_get(input, "leaves");
    enum ses_err err = SES_OK;
    if (!json_is_array(leaves)) {
        err = cli_fail(cli, SES_ERR_INVALID, "\"leaves\" must be an array of leaves");
    }
    if (err == SES_OK) {
        err =
            ses_forest_pool_new(&pool, POOL_BYTES_MIN + json_array_size(leaves) * POOL_BYTES_LEAF);
    }
    if (err == SES_OK) {
        err = ses_forest_new(&forest, pool);
    }
    if (err == SES_OK) {
        err = forest_run(cli, forest, input);
    }
    ses_forest_free(forest);
    ses_forest_pool_free(pool);
    json_decref(input);
    return err;
}

/* ---- audit proof ---- */

enum question { MEMBERSHIP, ABSENCE, COMPLETENESS, POSITION };
static const char *const question_names[] = {"membership", "absence", "completeness", "position"};

struct claim {
    enum question question;
    uint32_t swarm;
    uint64_t epoch;
    struct ses_hash root;
    struct ses_forest_range range; /* of all questions but a position */
    uint64_t position;
    struct ses_buf proof;
};

static enum ses_err question_read(struct cli *cli, struct claim *c, const json_t *input)
{
    const char *name = NULL;
    SES_TRY(ses_json_get_text(input, "question", &name, &cli->note));
    for (unsigned i = 0; i < SES_COUNT(question_names); i++) {
        if (strcmp(name, question_names[i]) == 0) {
            c->question = (enum question)i;
            return SES_OK;
        }
    }
    return cli_fail(cli, SES_ERR_INVALID,
                    "\"question\" is membership, absence, completeness or position");
}

static enum ses_err range_read(struct cli *cli, struct claim *c, const json_t *input)
{
    struct ses_segment_id segment;
    struct ses_leaf_key key;
    struct ses_hash slot;
    if (c->question == POSITION) {
        return ses_json_get_u64(input, "position", &c->position, &cli->note);
    }
    SES_TRY(ses_json_get_hex(input, "segment", segment.bytes, sizeof segment.bytes, &cli->note));
    if (c->question == COMPLETENESS) {
        SES_TRY(ses_json_get_hex(input, "slot", slot.bytes, sizeof slot.bytes, &cli->note));
        ses_forest_range_slot(&c->range, &segment, &slot);
        return SES_OK;
    }
    SES_TRY(ses_json_get_hex(input, "key", key.bytes, sizeof key.bytes, &cli->note));
    ses_forest_range_key(&c->range, &segment, &key);
    return SES_OK;
}

static enum ses_err claim_read(struct cli *cli, struct claim *c, const json_t *input)
{
    SES_TRY(question_read(cli, c, input));
    SES_TRY(ses_json_get_u32(input, "swarm", &c->swarm, &cli->note));
    SES_TRY(ses_json_get_u64(input, "epoch", &c->epoch, &cli->note));
    SES_TRY(ses_json_get_hex(input, "root", c->root.bytes, sizeof c->root.bytes, &cli->note));
    SES_TRY(range_read(cli, c, input));
    return ses_json_get_bytes(input, "proof", &c->proof, PROOF_MAX, &cli->note);
}

static bool same_hex(const json_t *a, const json_t *b)
{
    return json_is_string(a) && json_is_string(b) &&
           strcasecmp(json_string_value(a), json_string_value(b)) == 0;
}

/* What the input says about the answer, if it says it, must be what the proof shows. */
static enum ses_err agrees(const json_t *input, const char *name, const json_t *shown)
{
    const json_t *said = json_object_get(input, name);
    if (said == NULL) {
        return SES_OK;
    }
    if (!json_is_array(shown)) {
        return same_hex(said, shown) ? SES_OK : SES_ERR_INVALID;
    }
    SES_REQUIRE(json_is_array(said) && json_array_size(said) == json_array_size(shown),
                SES_ERR_INVALID);
    for (size_t i = 0; i < json_array_size(shown); i++) {
        SES_REQUIRE(same_hex(json_array_get(said, i), json_array_get(shown, i)), SES_ERR_INVALID);
    }
    return SES_OK;
}

static enum ses_err answer_position(const struct claim *c, const struct ses_opened *opened,
                                    const json_t *input, json_t *result)
{
    struct ses_segment_id segment;
    struct ses_leaf leaf;
    uint8_t bytes[SES_LEAF_BYTES];
    SES_TRY(ses_opened_at(opened, c->position, &segment, &leaf));
    ses_leaf_encode(bytes, &leaf);
    json_object_set_new(result, "position", json_integer((json_int_t)c->position));
    json_object_set_new(result, "segment", ses_json_hex(segment.bytes, sizeof segment.bytes));
    json_object_set_new(result, "leaf", ses_json_hex(bytes, sizeof bytes));
    SES_TRY(agrees(input, "segment", json_object_get(result, "segment")));
    return agrees(input, "leaf", json_object_get(result, "leaf"));
}

static enum ses_err answer_slot(const struct claim *c, const struct ses_opened *opened,
                                const json_t *input, json_t *result)
{
    size_t cnt = opened->len / SES_LEAF_BYTES; /* more it cannot show */
    struct ses_leaf *leaves = ses_alloc(cnt + 1, sizeof *leaves);
    SES_REQUIRE(leaves != NULL, SES_ERR_MEMORY);
    const enum ses_err err = ses_opened_range(opened, &c->range, leaves, &cnt);
    if (err == SES_OK) {
        json_t *ids = json_array();
        for (size_t i = 0; i < cnt; i++) {
            json_array_append_new(ids, ses_json_hex(leaves[i].key.bytes + 32, 32));
        }
        json_object_set_new(result, "ids", ids);
    }
    ses_free(leaves);
    SES_TRY(err);
    return agrees(input, "ids", json_object_get(result, "ids"));
}

static enum ses_err answer_key(const struct claim *c, const struct ses_opened *opened,
                               json_t *result)
{
    struct ses_leaf leaf;
    uint8_t bytes[SES_LEAF_BYTES];
    bool present = false;
    SES_TRY(ses_opened_key(opened, &c->range.segment, &c->range.low, &present, &leaf));
    json_object_set_new(result, "present", json_boolean(present));
    if (present) {
        ses_leaf_encode(bytes, &leaf);
        json_object_set_new(result, "leaf", ses_json_hex(bytes, sizeof bytes));
    }
    return present == (c->question == MEMBERSHIP) ? SES_OK : SES_ERR_INVALID;
}

static enum ses_err claim_answer(const struct claim *c, const json_t *input, json_t *result)
{
    struct ses_opened opened;
    SES_TRY(ses_forest_check(&opened, &c->root, c->swarm, c->epoch, c->proof.bytes, c->proof.len));
    switch (c->question) {
    case MEMBERSHIP:
    case ABSENCE:
        return answer_key(c, &opened, result);
    case COMPLETENESS:
        return answer_slot(c, &opened, input, result);
    case POSITION:
        return answer_position(c, &opened, input, result);
    }
    return SES_ERR_INVALID;
}

static const char *refusal_text(enum ses_err err)
{
    if (err == SES_ERR_CHECKSUM) {
        return "it was changed, or is about another root, swarm or epoch";
    }
    if (err == SES_ERR_CLOSED) {
        return "it does not show what the question needs";
    }
    if (err == SES_ERR_NOT_FOUND) {
        return "the position is beyond the end";
    }
    if (err == SES_ERR_INVALID) {
        return "it shows something else than what is claimed";
    }
    return "it is damaged, or shows leaves that cannot stand where they do";
}

static enum ses_err claim_run(struct cli *cli, struct claim *c, const json_t *input)
{
    json_t *result = json_pack("{s:b,s:s}", "valid", 0, "question", question_names[c->question]);
    SES_REQUIRE(result != NULL, SES_ERR_MEMORY);
    const enum ses_err err = claim_answer(c, input, result);
    if (err == SES_ERR_MEMORY) {
        json_decref(result);
        return err;
    }
    json_object_set_new(result, "valid", json_boolean(err == SES_OK));
    if (err != SES_OK) {
        json_object_set_new(result, "reason", json_string(refusal_text(err)));
    }
    cli->json = true;
    SES_TRY(cli_print_json(cli, result));
    /* unauthorised: of the errors for "refused", exit code 4, the one that is no rule of a chain */
    return err == SES_OK
               ? SES_OK
               : cli_fail(cli, SES_ERR_UNAUTHORISED, "the proof is refused: %s", refusal_text(err));
}

static enum ses_err audit_proof(struct cli *cli)
{
    json_t *input = NULL;
    struct claim claim = {0};
    SES_TRY(json_load(cli, PROOF_FILE_MAX, &input));
    enum ses_err err = claim_read(cli, &claim, input);
    if (err == SES_OK) {
        err = claim_run(cli, &claim, input);
    }
    ses_buf_free(&claim.proof);
    json_decref(input);
    return err;
}

const struct cli_command cli_audit_forest_commands[] = {
    {"audit forest", "FILE", "root and segments of a set of leaves, recomputed",
     "session audit forest leaves.json     (- reads standard input)\n"
     "    {\"swarm\": 5, \"epoch\": 77, \"leaves\": [\"<156 hex digits>\", ...]}     a leaf also "
     "as\n"
     "    {\"key\": \"<128 hex digits>\", \"ts_ms\": 1800000000000, \"ttl_class\": 3, \"kind\": "
     "0,\n"
     "     \"size\": 9000}     key: digest of the inbox and id; kind 1: deleted",
     1, 1, audit_forest, NULL, CLI_NOTHING},
    {"audit proof", "FILE", "check a proof about a root (exit code 4: refused)",
     "session audit proof proof.json     (- reads standard input)\n"
     "    {\"swarm\": 5, \"epoch\": 77, \"root\": \"<64 hex digits>\", \"proof\": \"<hex>\",\n"
     "     \"question\": \"membership\", \"segment\": \"<10 hex digits>\", \"key\": \"<128 hex "
     "digits>\"}\n"
     "    question membership or absence: segment, key; completeness: segment, slot (64 hex\n"
     "    digits); position: position. ids, leaf, segment, if given, must be what is shown",
     1, 1, audit_proof, NULL, CLI_NOTHING},
    {0},
};
