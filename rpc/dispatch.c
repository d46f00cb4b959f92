/* Text in, text out: JSON-RPC 2.0, batches, notifications, and gorilla's v1 form. */
#include <stdarg.h>
#include <string.h>

#include "rpc/rpc_internal.h"

#define CODE_PARSE (-32700)
#define CODE_REQUEST (-32600)
#define CODE_METHOD (-32601)
#define CODE_PARAMS (-32602)
#define CODE_INTERNAL (-32603)
#define CODE_OURS (-32000)

struct dispatcher {
    const struct ses_rpc_method *methods;
    void *cookie;
    bool authorised;
    struct ses_buf answer;
    int http_status;
};

/* What an answer needs of its request. */
struct call {
    json_t *id; /* borrowed; NULL: none given */
    bool gorilla;
    bool silent; /* a notification */
};

int ses_rpc_code_of(enum ses_err err)
{
    return err == SES_ERR_INVALID ? CODE_PARAMS : CODE_OURS - (int)err;
}

enum ses_err ses_rpc_err_of(int64_t code)
{
    if (code == CODE_PARAMS) {
        return SES_ERR_INVALID;
    }
    if (code == CODE_METHOD) {
        return SES_ERR_VERSION;
    }
    return code < CODE_OURS && code > CODE_OURS - 500
               ? ses_err_from_code((unsigned)(CODE_OURS - code))
               : SES_ERR_PEER;
}

static void fail_code(struct ses_rpc_error *error, int code, enum ses_err err, const char *text)
{
    error->code = code;
    error->err = err;
    ses_note_set(&error->note, "%s", text);
}

json_t *ses_rpc_fail(struct ses_rpc_error *error, enum ses_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(error->note.text, sizeof error->note.text, format, args);
    va_end(args);
    if (len < 0) {
        error->note.text[0] = 0;
    }
    error->code = ses_rpc_code_of(err);
    error->err = err;
    return NULL;
}

json_t *ses_rpc_fail_note(struct ses_rpc_error *error, enum ses_err err,
                          const struct ses_note *note)
{
    const bool said = note != NULL && note->text[0] != 0;
    return ses_rpc_fail(error, err, "%s", said ? note->text : ses_err_text(err));
}

/* ---- answers ---- */

/* A note may hold pieces of what a stranger sent, cut in the middle of a character. */
static json_t *note_json(const struct ses_note *note)
{
    struct ses_note clean = *note;
    for (char *at = clean.text; *at != 0; at++) {
        *at = *at >= 0x20 && *at < 0x7f ? *at : '?';
    }
    return json_string(clean.text);
}

static json_t *error_json(const struct ses_rpc_error *error)
{
    return json_pack("{s:i, s:o, s:{s:s}}", "code", error->code, "message", note_json(&error->note),
                     "data", "name", ses_err_name(error->err));
}

static json_t *id_json(const struct call *call)
{
    return call->id != NULL ? json_incref(call->id) : json_null();
}

/* Takes `result`; NULL: the answer is `error`. */
static json_t *answer_json(const struct call *call, json_t *result,
                           const struct ses_rpc_error *error)
{
    if (call->gorilla) {
        return json_pack("{s:o, s:o, s:o}", "result", result != NULL ? result : json_null(),
                         "error", result != NULL ? json_null() : note_json(&error->note), "id",
                         id_json(call));
    }
    return result != NULL ? json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "result", result, "id",
                                      id_json(call))
                          : json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "error",
                                      error_json(error), "id", id_json(call));
}

/* Last resort where there is no memory for an answer. */
static void answer_constant(struct dispatcher *d)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":"
                               "\"out of memory\"},\"id\":null}";
    ses_buf_free(&d->answer);
    if (ses_buf_append(&d->answer, text, sizeof text) == SES_OK) {
        d->answer.len--;
    }
}

/* Appends one answer; takes `result`. */
static enum ses_err answer_append(struct dispatcher *d, const struct call *call, json_t *result,
                                  const struct ses_rpc_error *error)
{
    if (call->silent) {
        json_decref(result);
        return SES_OK;
    }
    json_t *json = answer_json(call, result, error);
    const enum ses_err err = json != NULL ? ses_json_dump(&d->answer, json) : SES_ERR_MEMORY;
    json_decref(json);
    return err;
}

/* ---- one request ---- */

static const struct ses_rpc_method *find_method(const struct dispatcher *d, const char *name)
{
    for (const struct ses_rpc_method *m = d->methods; m->name != NULL; m++) {
        if (strcmp(m->name, name) == 0) {
            return m;
        }
    }
    return NULL;
}

/* New reference to the parameters by name; NULL if they have another shape. */
static json_t *unwrap_params(json_t *params)
{
    if (json_is_array(params) && json_array_size(params) == 1) {
        params = json_array_get(params, 0);
    } else if (json_is_array(params) && json_array_size(params) == 0) {
        params = NULL;
    }
    if (params == NULL || json_is_null(params)) {
        return json_object();
    }
    return json_is_object(params) ? json_incref(params) : NULL;
}

/* Reads what the answer needs; false (and *call fit for an error answer) if it is no request. */
static bool read_call(struct call *call, json_t *request)
{
    const json_t *version = json_object_get(request, "jsonrpc");
    json_t *id = json_object_get(request, "id");
    const bool id_ok = id == NULL || json_is_string(id) || json_is_number(id) || json_is_null(id);
    call->gorilla = json_is_object(request) && version == NULL;
    const bool version_ok = call->gorilla || (json_is_string(version) &&
                                              strcmp(json_string_value(version), "2.0") == 0);
    if (!version_ok || !id_ok || !json_is_string(json_object_get(request, "method"))) {
        call->id = id_ok ? id : NULL;
        return false;
    }
    call->id = id;
    call->silent = id == NULL || (call->gorilla && json_is_null(id));
    return true;
}

static json_t *run_method(struct dispatcher *d, json_t *request, struct ses_rpc_error *error)
{
    const char *name = json_string_value(json_object_get(request, "method"));
    const struct ses_rpc_method *method = find_method(d, name);
    if (method == NULL) {
        fail_code(error, CODE_METHOD, SES_ERR_VERSION, "");
        ses_note_set(&error->note, "the method \"%.100s\" does not exist; see docs/rpc.md", name);
        return NULL;
    }
    if (method->changes_state && !d->authorised) {
        d->http_status = 401;
        return ses_rpc_fail(error, SES_ERR_UNAUTHORISED,
                            "%s needs the token of this server: send the header \"Authorization: "
                            "Bearer TOKEN\"",
                            name);
    }
    json_t *params = unwrap_params(json_object_get(request, "params"));
    if (params == NULL) {
        return ses_rpc_fail(error, SES_ERR_INVALID,
                            "params must be one object with named members, or a list of one");
    }
    json_t *result = method->fn(d->cookie, params, error);
    json_decref(params);
    if (result == NULL && error->code == 0) {
        fail_code(error, CODE_INTERNAL, SES_ERR_MEMORY, "the server could not build its answer");
    }
    return result;
}

static enum ses_err run_request(struct dispatcher *d, json_t *request)
{
    struct call call = {0};
    struct ses_rpc_error error = {0};
    json_t *result = NULL;
    if (read_call(&call, request)) {
        result = run_method(d, request, &error);
        if (result == NULL && call.gorilla && !call.silent && d->http_status == 200) {
            d->http_status = 400;
        }
    } else {
        fail_code(&error, CODE_REQUEST, SES_ERR_MALFORMED,
                  "a request is an object with \"jsonrpc\": \"2.0\", \"method\" and \"id\"");
        d->http_status = 400;
    }
    return answer_append(d, &call, result, &error);
}

static enum ses_err refuse(struct dispatcher *d, int code, const char *text)
{
    const struct call call = {0};
    struct ses_rpc_error error = {0};
    fail_code(&error, code, SES_ERR_MALFORMED, text);
    d->http_status = 400;
    return answer_append(d, &call, NULL, &error);
}

/* ---- batches ---- */

static enum ses_err run_batch_item(struct dispatcher *d, json_t *request)
{
    const size_t before = d->answer.len;
    SES_TRY(ses_buf_append(&d->answer, before > 0 ? "," : "[", 1));
    const size_t start = d->answer.len;
    struct call call = {0};
    if (start > SES_RPC_ANSWER_MAX && read_call(&call, request)) {
        struct ses_rpc_error error = {0};
        (void)ses_rpc_fail(&error, SES_ERR_TOO_LARGE,
                           "the answers to this batch are too large; send smaller batches");
        SES_TRY(answer_append(d, &call, NULL, &error));
    } else {
        SES_TRY(run_request(d, request));
    }
    if (d->answer.len == start) { /* a notification: no answer, no comma */
        d->answer.len = before;
    }
    return SES_OK;
}

static enum ses_err run_batch(struct dispatcher *d, const json_t *batch)
{
    const size_t cnt = json_array_size(batch);
    if (cnt == 0 || cnt > SES_RPC_BATCH_MAX) {
        return refuse(d, CODE_REQUEST, "a batch holds 1 to 64 requests");
    }
    for (size_t i = 0; i < cnt; i++) {
        SES_TRY(run_batch_item(d, json_array_get(batch, i)));
    }
    d->http_status = 200; /* each answer tells for itself */
    if (d->answer.len > 0) {
        SES_TRY(ses_buf_append(&d->answer, "]", 2));
        d->answer.len--;
    }
    return SES_OK;
}

static enum ses_err run_text(struct dispatcher *d, const char *text, size_t len)
{
    const char *bound = ses_json_bounds(text, len, SES_RPC_VALUES_MAX);
    if (bound != NULL) {
        return refuse(d, CODE_REQUEST, bound);
    }
    json_error_t where;
    json_t *request = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (request == NULL) {
        const bool overflow = json_error_code(&where) == json_error_numeric_overflow;
        return refuse(d, CODE_PARSE,
                      overflow ? "a number is above 2^63-1: write it as text"
                               : "the request is not JSON in UTF-8 (or has a member twice)");
    }
    const enum ses_err err =
        json_is_array(request) ? run_batch(d, request) : run_request(d, request);
    json_decref(request);
    return err;
}

char *ses_rpc_dispatch(const struct ses_rpc_method *methods, void *cookie, const char *text,
                       size_t len, bool authorised, int *http_status)
{
    struct dispatcher d = {
        .methods = methods, .cookie = cookie, .authorised = authorised, .http_status = 200};
    if (run_text(&d, text, len) != SES_OK) {
        answer_constant(&d);
    }
    if (d.answer.len == 0) {
        ses_buf_free(&d.answer);
        d.http_status = d.http_status == 200 ? 204 : d.http_status;
    }
    *http_status = d.http_status;
    return (char *)d.answer.bytes;
}
