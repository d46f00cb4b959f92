/* `sessionvm genesis`: the first block's description as JSON text. */
#include <string.h>

#include "plugin/plugin.h"

#define NODE_FILE_BYTES_MAX 65536u
#define LUX_DIGITS 9u

static enum ses_err refuse(struct ses_note *note, const char *option, const char *value,
                           const char *want)
{
    ses_note_set(note, "--%s %.120s: expected %s", option, value, want);
    return SES_ERR_CONFIG;
}

/* Decimal digits only, at most INT64_MAX (JSON's integers here). */
static bool parse_number(const char *text, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        const unsigned digit = (unsigned)text[i] - '0';
        if (digit > 9 || v > ((uint64_t)INT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = v;
    return len > 0;
}

/* "1000.5" LUX -> nLUX; at most nine digits behind the point. */
static bool parse_lux(const char *text, uint64_t *out)
{
    const size_t whole_len = strcspn(text, ".");
    const char *fraction = text[whole_len] == '.' ? text + whole_len + 1 : "0";
    const size_t fraction_len = strlen(fraction);
    uint64_t whole = 0;
    uint64_t part = 0;
    if (fraction_len > LUX_DIGITS || !parse_number(text, whole_len, &whole) ||
        !parse_number(fraction, fraction_len, &part)) {
        return false;
    }
    for (size_t i = fraction_len; i < LUX_DIGITS; i++) {
        part *= 10;
    }
    if (whole > ((uint64_t)INT64_MAX - part) / 1000000000u) {
        return false;
    }
    *out = whole * 1000000000u + part;
    return true;
}

static enum ses_err add_allocation(json_t *list, const char *text, struct ses_note *note)
{
    static const char want[] = "ACCOUNT=LUX, like LUX-...=1000.5 (at most 9 decimals)";
    const char *equals = strchr(text, '=');
    const size_t len = equals == NULL ? 0 : (size_t)(equals - text);
    char name[SES_ID_TEXT_MAX] = {0};
    struct ses_account account;
    uint64_t amount = 0;
    if (len == 0 || len >= sizeof name || !parse_lux(equals + 1, &amount) || amount == 0) {
        return refuse(note, "allocation", text, want);
    }
    memcpy(name, text, len);
    if (ses_account_parse(&account, name) != SES_OK) {
        return refuse(note, "allocation", text, "an account without typing errors: LUX-...");
    }
    json_t *entry = json_pack("{s:s, s:I}", "account", name, "amount", (json_int_t)amount);
    return json_array_append_new(list, entry) == 0 ? SES_OK : SES_ERR_MEMORY;
}

static bool is_param(const char *name)
{
#define SES_X(field, key, value)                                                                   \
    if (strcmp(name, key) == 0) {                                                                  \
        return true;                                                                               \
    }
    SES_PARAMS(SES_X)
#undef SES_X
    return false;
}

static enum ses_err add_param(json_t *params, const char *text, struct ses_note *note)
{
    const char *equals = strchr(text, '=');
    const size_t len = equals == NULL ? 0 : (size_t)(equals - text);
    char name[64] = {0};
    uint64_t value = 0;
    if (len == 0 || len >= sizeof name || !parse_number(equals + 1, strlen(equals + 1), &value)) {
        return refuse(note, "param", text, "key=number, like epochSeconds=600");
    }
    memcpy(name, text, len);
    if (!is_param(name)) {
        return refuse(note, "param", text,
                      "a parameter of the chain (sessionvm genesis --help lists them)");
    }
    if (json_object_get(params, name) != NULL) {
        return refuse(note, "param", text, "each parameter once");
    }
    return json_object_set_new(params, name, json_integer((json_int_t)value)) == 0 ? SES_OK
                                                                                   : SES_ERR_MEMORY;
}

static enum ses_err add_node(json_t *list, const char *path, struct ses_note *note)
{
    struct ses_buf text = {0};
    enum ses_err err = ses_input_read(path, NODE_FILE_BYTES_MAX, &text, note);
    if (err == SES_OK) {
        json_error_t where;
        json_t *node =
            json_loadb((const char *)text.bytes, text.len, JSON_REJECT_DUPLICATES, &where);
        if (!json_is_object(node)) {
            json_decref(node);
            err = refuse(note, "service-node", path, "a file with one JSON object");
        } else {
            err = json_array_append_new(list, node) == 0 ? SES_OK : SES_ERR_MEMORY;
        }
    }
    ses_buf_free(&text);
    return err;
}

static enum ses_err read_time(uint64_t *out, const char *text, const struct ses_clock *clock,
                              struct ses_note *note)
{
    if (strcmp(text, "now") == 0) {
        *out = ses_now_ms(clock) / 1000;
        return SES_OK;
    }
    return parse_number(text, strlen(text), out)
               ? SES_OK
               : refuse(note, "timestamp", text, "unix seconds or \"now\"");
}

static enum ses_err fill(json_t *genesis, const struct ses_genesis_options *options,
                         struct ses_note *note)
{
    for (size_t i = 0; i < options->allocation_cnt; i++) {
        SES_TRY(
            add_allocation(json_object_get(genesis, "allocations"), options->allocations[i], note));
    }
    for (size_t i = 0; i < options->param_cnt; i++) {
        SES_TRY(add_param(json_object_get(genesis, "params"), options->params[i], note));
    }
    for (size_t i = 0; i < options->node_file_cnt; i++) {
        SES_TRY(add_node(json_object_get(genesis, "serviceNodes"), options->node_files[i], note));
    }
    return SES_OK;
}

static int append(const char *text, size_t len, void *cookie)
{
    return ses_buf_append(cookie, text, len) == SES_OK ? 0 : -1;
}

enum ses_err ses_genesis_make(struct ses_buf *out, const struct ses_genesis_options *options,
                              const struct ses_clock *clock, struct ses_note *note)
{
    uint64_t timestamp = 0;
    SES_TRY(read_time(&timestamp, options->timestamp, clock, note));
    json_t *genesis =
        json_pack("{s:s, s:I, s:{}, s:[], s:[]}", "networkName", options->network_name, "timestamp",
                  (json_int_t)timestamp, "params", "allocations", "serviceNodes");
    if (genesis == NULL) {
        return refuse(note, "network-name", options->network_name,
                      "letters, digits, '.', '_' and '-'");
    }
    enum ses_err err = fill(genesis, options, note);
    if (err == SES_OK && json_dump_callback(genesis, append, out, JSON_INDENT(2)) != 0) {
        err = SES_ERR_MEMORY;
    }
    if (err == SES_OK) {
        err = ses_buf_append(out, "\n", 1);
    }
    json_decref(genesis);
    if (err == SES_OK) {
        err = ses_genesis_check(out->bytes, out->len, note);
    }
    return err;
}
