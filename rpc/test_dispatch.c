#include <string.h>

#include "base/tap.h"
#include "rpc/rpc_internal.h"

static json_t *echo(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)error;
    ++*(int *)cookie;
    return json_incref(params);
}

static json_t *fail(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)cookie;
    (void)params;
    return ses_rpc_fail(error, SES_ERR_NONCE, "nonce %d given, %d is next", 5, 3);
}

static json_t *nothing(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)cookie;
    (void)params;
    (void)error;
    return NULL;
}

static json_t *large(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    const size_t len = 3000000;
    (void)cookie;
    (void)params;
    (void)error;
    char *text = ses_alloc(len + 1, 1);
    memset(text, 'a', len);
    json_t *json = json_stringn(text, len);
    ses_free(text);
    return json;
}

static const struct ses_rpc_method methods[] = {
    {"t.echo", echo, false},  {"t.fail", fail, false},   {"t.nothing", nothing, false},
    {"t.change", echo, true}, {"t.large", large, false}, {0},
};

static int calls;
static int status;

static json_t *ask_as(const char *text, size_t len, bool authorised)
{
    status = -1;
    char *answer = ses_rpc_dispatch(methods, &calls, text, len, authorised, &status);
    json_t *json = answer != NULL ? json_loads(answer, 0, NULL) : NULL;
    TAP_OK(answer == NULL || json != NULL);
    ses_free(answer);
    return json;
}

static json_t *ask(const char *text)
{
    return ask_as(text, strlen(text), true);
}

/* The answer to `request` is exactly `want` (as JSON). */
static void check(const char *request, const char *want, int want_status)
{
    json_t *got = ask(request);
    json_t *expected = json_loads(want, 0, NULL);
    TAP_MUST(expected != NULL);
    if (!TAP_OK(json_equal(got, expected))) {
        char *text = json_dumps(got, 0);
        printf("# %s gave %s\n", request, text);
        free(text);
    }
    TAP_EQ((uint64_t)want_status, (uint64_t)status);
    json_decref(got);
    json_decref(expected);
}

static void check_code(const char *request, int64_t code, int want_status)
{
    json_t *got = ask(request);
    const json_t *error = json_object_get(got, "error");
    if (!TAP_OK(json_integer_value(json_object_get(error, "code")) == code)) {
        printf("# %.100s gave %lld\n", request,
               (long long)json_integer_value(json_object_get(error, "code")));
    }
    TAP_OK(json_string_length(json_object_get(error, "message")) > 0);
    TAP_OK(json_object_get(got, "result") == NULL);
    TAP_EQ((uint64_t)want_status, (uint64_t)status);
    json_decref(got);
}

static void test_requests(void)
{
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.echo\",\"params\":{\"a\":[1,null]}}",
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":[1,null]}}", 200);
    check("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"t.echo\",\"params\":[{\"a\":1}]}",
          "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"a\":1}}", 200);
    check("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"t.echo\"}",
          "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}", 200);
    check("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"t.echo\",\"params\":[]}",
          "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":{}}", 200);
    check("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"t.fail\"}",
          "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32100,\"message\":"
          "\"nonce 5 given, 3 is next\",\"data\":{\"name\":\"nonce\"}}}",
          200);
}

static void test_codes(void)
{
    check_code("{\"jsonrpc\":\"2.0\",", -32700, 400);
    check_code("", -32700, 400);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"t.echo\"}", -32700, 400);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", -32700, 400);
    check_code("{\"a\":18446744073709551615}", -32700, 400);
    check_code("1", -32600, 400);
    check_code("\"text\"", -32600, 400);
    check_code("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"t.echo\"}", -32600, 400);
    check_code("{\"jsonrpc\":2.0,\"id\":1,\"method\":\"t.echo\"}", -32600, 400);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":5}", -32600, 400);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"t.echo\"}", -32600, 400);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.none\"}", -32601, 200);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"T.echo\"}", -32601, 200);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.echo\",\"params\":5}", -32602, 200);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.echo\",\"params\":[1]}", -32602, 200);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.echo\",\"params\":[{},{}]}", -32602,
               200);
    check_code("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.nothing\"}", -32603, 200);
}

static void test_code_mapping(void)
{
    static const enum ses_err all[] = {
#define SES_X(name, code, text) SES_##name,
        SES_ERRORS(SES_X)
#undef SES_X
    };
    for (size_t i = 1; i < SES_COUNT(all); i++) {
        TAP_ERR(all[i], ses_rpc_err_of(ses_rpc_code_of(all[i])));
    }
    TAP_ERR(SES_ERR_VERSION, ses_rpc_err_of(-32601));
    TAP_ERR(SES_ERR_PEER, ses_rpc_err_of(-32603));
    TAP_ERR(SES_ERR_PEER, ses_rpc_err_of(0));
    TAP_ERR(SES_ERR_PEER, ses_rpc_err_of(INT64_MIN));
    TAP_ERR(SES_ERR_PEER, ses_rpc_err_of(INT64_MAX));
}

static void test_notifications(void)
{
    const int before = calls;
    TAP_OK(ask("{\"jsonrpc\":\"2.0\",\"method\":\"t.echo\"}") == NULL);
    TAP_EQ(204, (uint64_t)status);
    TAP_EQ((uint64_t)before + 1, (uint64_t)calls);
    TAP_OK(ask("{\"jsonrpc\":\"2.0\",\"method\":\"t.fail\"}") == NULL);
    TAP_OK(ask("{\"jsonrpc\":\"2.0\",\"method\":\"t.none\"}") == NULL);
    TAP_OK(ask("[{\"jsonrpc\":\"2.0\",\"method\":\"t.echo\"},"
               "{\"jsonrpc\":\"2.0\",\"method\":\"t.echo\"}]") == NULL);
    TAP_EQ(204, (uint64_t)status);
    TAP_EQ((uint64_t)before + 3, (uint64_t)calls);
}

static void test_batches(void)
{
    check("[{\"jsonrpc\":\"2.0\",\"method\":\"t.echo\"},"
          "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"t.echo\"},"
          "{\"jsonrpc\":\"2.0\",\"method\":\"t.echo\"},"
          "{\"id\":3,\"method\":\"t.echo\",\"params\":[{}]}]",
          "[{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}},{\"id\":3,\"result\":{},\"error\":null}]",
          200);
    json_t *got = ask("[1,{}]");
    TAP_EQ(2, json_array_size(got));
    TAP_EQ(200, (uint64_t)status);
    json_decref(got);
    check_code("[]", -32600, 400);
    char many[4096] = "[1";
    for (int i = 1; i < 65; i++) {
        memcpy(many + strlen(many), ",1", 3);
    }
    memcpy(many + strlen(many), "]", 2);
    check_code(many, -32600, 400);
}

static void test_batch_is_cut_off(void)
{
    char text[4096] = "[";
    for (int i = 0; i < 20; i++) {
        const int len = snprintf(text + strlen(text), 100,
                                 "%s{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"t.large\"}",
                                 i > 0 ? "," : "", i);
        TAP_MUST(len > 0);
    }
    memcpy(text + strlen(text), "]", 2);
    json_t *got = ask(text);
    TAP_EQ(20, json_array_size(got));
    TAP_OK(json_object_get(json_array_get(got, 10), "result") != NULL);
    const json_t *error = json_object_get(json_array_get(got, 19), "error");
    TAP_EQ(32003, (uint64_t)-json_integer_value(json_object_get(error, "code")));
    json_decref(got);
}

static void test_bounds(void)
{
    char deep[200] = {0};
    memset(deep, '[', 33);
    check_code(deep, -32600, 400);
    /* brackets in strings are no depth, a quote behind a backslash ends none */
    check("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.echo\",\"params\":"
          "{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}}",
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":"
          "{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}}",
          200);
    char *wide = ses_alloc(200000, 1);
    memset(wide, ',', 131072);
    wide[0] = '[';
    check_code(wide, -32600, 400);
    ses_free(wide);
    json_t *nul = ask_as("{\"jsonrpc\":\"2.0\"\0,\"id\":1}", 25, true);
    TAP_OK(json_object_get(nul, "error") != NULL);
    json_decref(nul);
}

static void test_gorilla(void)
{
    check("{\"id\":1,\"method\":\"t.echo\",\"params\":[{\"a\":1}]}",
          "{\"id\":1,\"result\":{\"a\":1},\"error\":null}", 200);
    check("{\"id\":1,\"method\":\"t.fail\",\"params\":[{}]}",
          "{\"id\":1,\"result\":null,\"error\":\"nonce 5 given, 3 is next\"}", 400);
    check("{\"id\":[1],\"method\":\"t.echo\",\"params\":[{}]}",
          "{\"id\":null,\"result\":null,\"error\":\"a request is an object with \\\"jsonrpc\\\": "
          "\\\"2.0\\\", \\\"method\\\" and \\\"id\\\"\"}",
          400);
    TAP_OK(ask("{\"id\":null,\"method\":\"t.echo\",\"params\":[{}]}") == NULL);
    TAP_EQ(204, (uint64_t)status);
}

static void test_token(void)
{
    static const char change[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.change\"}";
    static const char silent[] = "{\"jsonrpc\":\"2.0\",\"method\":\"t.change\"}";
    const int before = calls;
    json_t *got = ask_as(change, strlen(change), false);
    TAP_EQ(401, (uint64_t)status);
    TAP_EQ(32085,
           (uint64_t)-json_integer_value(json_object_get(json_object_get(got, "error"), "code")));
    json_decref(got);
    TAP_OK(ask_as(silent, strlen(silent), false) == NULL);
    TAP_EQ((uint64_t)before, (uint64_t)calls);
    json_decref(ask(change));
    TAP_EQ((uint64_t)before + 1, (uint64_t)calls);
}

/* A method name is cut in a note: in the middle of a character. */
static void test_note_is_clean(void)
{
    char text[400] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a";
    for (int i = 0; i < 100; i++) {
        memcpy(text + strlen(text), "\xc3\xa4", 3);
    }
    memcpy(text + strlen(text), "\"}", 3);
    check_code(text, -32601, 200);
}

static void test_random_bytes(void)
{
    static const char *const pieces[] = {"{",  "}",  "[",       "]",       "\"",     ",", ":",
                                         "\\", "id", "\"id\":", "jsonrpc", "method", "1", "2.0"};
    for (int i = 0; i < 5000; i++) {
        char text[256] = {0};
        size_t len = 0;
        while (len < 200) {
            const char *piece = pieces[ses_random_below(tap_random(), SES_COUNT(pieces))];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        json_decref(ask_as(text, ses_random_below(tap_random(), len + 1), true));
        TAP_OK(status == 200 || status == 204 || status == 400);
    }
}

static void test_no_memory(void)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.echo\"}";
    for (uint64_t n = 1; n < 4; n++) {
        ses_alloc_fail_at(n);
        char *answer = ses_rpc_dispatch(methods, &calls, text, strlen(text), true, &status);
        ses_alloc_fail_at(0);
        ses_free(answer);
        TAP_OK(status >= 200);
    }
}

int main(void)
{
    TAP_RUN(test_requests);
    TAP_RUN(test_codes);
    TAP_RUN(test_code_mapping);
    TAP_RUN(test_notifications);
    TAP_RUN(test_batches);
    TAP_RUN(test_batch_is_cut_off);
    TAP_RUN(test_bounds);
    TAP_RUN(test_gorilla);
    TAP_RUN(test_token);
    TAP_RUN(test_note_is_clean);
    TAP_RUN(test_random_bytes);
    TAP_RUN(test_no_memory);
    return tap_done();
}
