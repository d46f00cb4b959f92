/* Numbers, bytes and ids as JSON. */
#include <inttypes.h>
#include <string.h>

#include "rpc/rpc_internal.h"

json_t *ses_json_u64(uint64_t v)
{
    char text[24];
    const int len = snprintf(text, sizeof text, "%" PRIu64, v);
    SES_ASSERT(len > 0 && (size_t)len < sizeof text);
    return json_string(text);
}

json_t *ses_json_hex(const void *bytes, size_t len)
{
    char *text = ses_alloc(2 * len + 1, 1);
    if (text == NULL) {
        return NULL;
    }
    ses_hex_encode(text, bytes, len);
    json_t *json = json_stringn_nocheck(text, 2 * len);
    ses_free(text);
    return json;
}

json_t *ses_json_node_id(const struct ses_node_id *node_id)
{
    char text[SES_ID_TEXT_MAX];
    ses_node_id_text(text, node_id);
    return json_string(text);
}

json_t *ses_json_account(const struct ses_account *account)
{
    char text[SES_ID_TEXT_MAX];
    ses_account_text(text, account);
    return json_string(text);
}

json_t *ses_json_swarm(uint32_t swarm)
{
    return swarm == SES_SWARM_NONE ? json_null() : json_integer(swarm);
}

static int dump_append(const char *text, size_t len, void *cookie)
{
    return ses_buf_append(cookie, text, len) == SES_OK ? 0 : -1;
}

enum ses_err ses_json_dump(struct ses_buf *out, const json_t *json)
{
    SES_REQUIRE(json_dump_callback(json, dump_append, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0,
                SES_ERR_MEMORY);
    SES_TRY(ses_buf_append(out, "", 1));
    out->len--;
    return SES_OK;
}

/* Decimal digits only, no sign, no leading zero; false if it does not fit. */
static bool text_u64(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    const size_t len = strlen(text);
    if (len == 0 || len > 20 || (len > 1 && text[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        const unsigned digit = (unsigned)text[i] - '0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

enum ses_err ses_json_get_u64(const json_t *object, const char *key, uint64_t *out,
                              struct ses_note *note)
{
    const json_t *value = json_object_get(object, key);
    *out = 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return SES_OK;
    }
    if (json_is_string(value) && text_u64(json_string_value(value), out)) {
        return SES_OK;
    }
    ses_note_set(note, "\"%s\" must be a whole number from 0 to 2^64-1, as a number or as text",
                 key);
    return SES_ERR_INVALID;
}

enum ses_err ses_json_get_u32(const json_t *object, const char *key, uint32_t *out,
                              struct ses_note *note)
{
    uint64_t v = 0;
    *out = 0;
    SES_TRY(ses_json_get_u64(object, key, &v, note));
    if (v > UINT32_MAX) {
        ses_note_set(note, "\"%s\" must be at most %u", key, UINT32_MAX);
        return SES_ERR_INVALID;
    }
    *out = (uint32_t)v;
    return SES_OK;
}

enum ses_err ses_json_get_bool(const json_t *object, const char *key, bool *out,
                               struct ses_note *note)
{
    const json_t *value = json_object_get(object, key);
    *out = json_is_true(value);
    if (!json_is_boolean(value)) {
        ses_note_set(note, "\"%s\" must be true or false", key);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

enum ses_err ses_json_get_text(const json_t *object, const char *key, const char **out,
                               struct ses_note *note)
{
    *out = json_string_value(json_object_get(object, key));
    if (*out == NULL) {
        ses_note_set(note, "\"%s\" must be given as text", key);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

enum ses_err ses_json_only(const json_t *object, const char *const *keys, struct ses_note *note)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (keys[i] == NULL) {
            ses_note_set(note, "unknown member \"%.60s\"; see docs/rpc.md for those of this method",
                         key);
            return SES_ERR_INVALID;
        }
    }
    return SES_OK;
}

enum ses_err ses_json_get_hex(const json_t *object, const char *key, void *out, size_t len,
                              struct ses_note *note)
{
    const char *text = json_string_value(json_object_get(object, key));
    memset(out, 0, len);
    if (text == NULL || strlen(text) != 2 * len || ses_hex_decode(out, len, text) != SES_OK) {
        ses_note_set(note, "\"%s\" must be %zu bytes as %zu hex digits", key, len, 2 * len);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

enum ses_err ses_json_get_bytes(const json_t *object, const char *key, struct ses_buf *out,
                                size_t max, struct ses_note *note)
{
    const char *text = json_string_value(json_object_get(object, key));
    const size_t digits = text == NULL ? 0 : strlen(text);
    if (text == NULL || digits % 2 != 0) {
        ses_note_set(note, "\"%s\" must be bytes as an even number of hex digits", key);
        return SES_ERR_INVALID;
    }
    if (digits / 2 > max) {
        ses_note_set(note, "\"%s\" has %zu bytes; at most %zu are allowed", key, digits / 2, max);
        return SES_ERR_TOO_LARGE;
    }
    SES_TRY(ses_buf_reserve(out, digits / 2));
    if (ses_hex_decode(out->bytes + out->len, digits / 2, text) != SES_OK) {
        ses_note_set(note, "\"%s\" has characters that are no hex digits", key);
        return SES_ERR_INVALID;
    }
    out->len += digits / 2;
    return SES_OK;
}

enum ses_err ses_json_get_node_id(const json_t *object, const char *key, struct ses_node_id *out,
                                  struct ses_note *note)
{
    const char *text = json_string_value(json_object_get(object, key));
    memset(out, 0, sizeof *out);
    if (text == NULL || ses_node_id_parse(out, text) != SES_OK) {
        ses_note_set(note, "\"%s\" must be a node id: NodeID-... (check it for typing errors)",
                     key);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

enum ses_err ses_json_get_account(const json_t *object, const char *key, struct ses_account *out,
                                  struct ses_note *note)
{
    const char *text = json_string_value(json_object_get(object, key));
    memset(out, 0, sizeof *out);
    if (text == NULL || ses_account_parse(out, text) != SES_OK) {
        ses_note_set(note, "\"%s\" must be an account: LUX-... (check it for typing errors)", key);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

/* ---- bounds, before the parser allocates anything ---- */

/* Depth and number of values of what may not even be JSON; strings are skipped. */
const char *ses_json_bounds(const char *text, size_t len, size_t value_max)
{
    size_t depth = 0;
    size_t value_cnt = 1;
    bool string = false;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (string) {
            i += c == '\\';
            string = c != '"';
            continue;
        }
        string = c == '"';
        value_cnt += c == ',' || c == '[' || c == '{';
        depth += c == '[' || c == '{';
        depth -= (c == ']' || c == '}') && depth > 0;
        if (depth > SES_RPC_DEPTH_MAX) {
            return "arrays and objects are nested too deeply (32 levels at most)";
        }
        if (value_cnt > value_max) {
            return "too many values";
        }
    }
    return NULL;
}
