/* `sessionvm decode`: bytes of the chain as JSON. */
#include <string.h>

#include "plugin/plugin.h"

static enum ses_err decode_tx(json_t **out, const struct ses_buf *bytes, struct ses_note *note)
{
    struct ses_tx tx;
    const enum ses_err err = ses_tx_decode(&tx, bytes->bytes, bytes->len);
    if (err != SES_OK) {
        ses_note_set(note, "no transaction: %s", ses_err_text(err));
        return err;
    }
    *out = ses_json_tx(&tx);
    return SES_OK;
}

static enum ses_err decode_block(json_t **out, const struct ses_buf *bytes, struct ses_note *note)
{
    return ses_json_block(out, bytes->bytes, bytes->len, note);
}

static enum ses_err decode_epoch(json_t **out, const struct ses_buf *bytes, struct ses_note *note)
{
    struct ses_reader r;
    struct ses_epoch e;
    const uint32_t max =
        bytes->len / 52 < SES_EPOCH_CANONICAL_MAX ? (uint32_t)(bytes->len / 52) : 0;
    struct ses_canonical_root *roots = ses_alloc(max, sizeof *roots);
    SES_REQUIRE(roots != NULL, SES_ERR_MEMORY);
    ses_reader_init(&r, bytes->bytes, bytes->len);
    ses_epoch_read(&r, &e, roots, max);
    const enum ses_err err = ses_reader_done(&r);
    if (err == SES_OK) {
        *out = ses_json_epoch(&e);
    } else {
        ses_note_set(note, "no epoch record: %s", ses_err_text(err));
    }
    ses_free(roots);
    return err;
}

static enum ses_err decode_node(json_t **out, const struct ses_buf *bytes, struct ses_note *note)
{
    struct ses_reader r;
    struct ses_node node;
    ses_reader_init(&r, bytes->bytes, bytes->len);
    ses_node_read(&r, &node);
    const enum ses_err err = ses_reader_done(&r);
    if (err != SES_OK) {
        ses_note_set(note, "no service node record: %s", ses_err_text(err));
        return err;
    }
    *out = ses_json_node(&node, NULL, NULL);
    return SES_OK;
}

static enum ses_err decode_genesis(json_t **out, const struct ses_buf *bytes, struct ses_note *note)
{
    struct ses_hash id;
    json_error_t where;
    SES_TRY(ses_genesis_check(bytes->bytes, bytes->len, note));
    ses_sha256(&id, SES_PARTS(SES_PART(bytes->bytes, bytes->len)));
    *out = json_pack("{s:o, s:o}", "chainId", ses_json_hex(id.bytes, 32), "genesis",
                     json_loadb((const char *)bytes->bytes, bytes->len, 0, &where));
    return SES_OK;
}

static const struct {
    const char *name;
    enum ses_err (*decode)(json_t **out, const struct ses_buf *bytes, struct ses_note *note);
} kinds[] = {
    {"tx", decode_tx},     {"block", decode_block},     {"epoch", decode_epoch},
    {"node", decode_node}, {"genesis", decode_genesis},
};

static enum ses_err named(json_t *json, const char *kind)
{
    return json_object_set_new(json, "kind", json_string(kind)) == 0 ? SES_OK : SES_ERR_MEMORY;
}

enum ses_err ses_decode(json_t **out, const char *kind, const struct ses_buf *bytes,
                        struct ses_note *note)
{
    *out = NULL;
    const char *only = kind;
    size_t skip = 0;
    while (skip < bytes->len && (bytes->bytes[skip] == ' ' || bytes->bytes[skip] == '\n')) {
        skip++;
    }
    if (kind == NULL && skip < bytes->len && bytes->bytes[skip] == '{') {
        only = "genesis"; /* its reader says what is wrong with it */
    }
    for (size_t i = 0; i < SES_COUNT(kinds); i++) {
        if (only != NULL && strcmp(only, kinds[i].name) != 0) {
            continue;
        }
        const enum ses_err err = kinds[i].decode(out, bytes, note);
        if (err == SES_OK || only != NULL) {
            return err == SES_OK ? named(*out, kinds[i].name) : err;
        }
    }
    if (only != NULL) {
        ses_note_set(note, "unknown kind \"%.30s\"; known: tx, block, epoch, node, genesis", only);
        return SES_ERR_INVALID;
    }
    ses_note_set(note, "these %zu bytes are no transaction, block, epoch or node record, genesis",
                 bytes->len);
    return SES_ERR_MALFORMED;
}
