#include <string.h>

#include "base/tap.h"
#include "plugin/plugin.h"

static json_t *document(void)
{
    json_error_t where;
    json_t *json = json_load_file("docs/openrpc.json", JSON_REJECT_DUPLICATES, &where);
    if (json == NULL) {
        printf("# docs/openrpc.json:%d: %s\n", where.line, where.text);
    }
    TAP_MUST(json != NULL);
    return json;
}

static bool is_method(const char *name)
{
    for (const struct ses_rpc_method *m = ses_host_methods(); m->name != NULL; m++) {
        if (strcmp(m->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Both directions: what the document lists exists, what exists is listed, each once. */
static void test_document_lists_the_methods(void)
{
    json_t *json = document();
    const json_t *methods = json_object_get(json, "methods");
    size_t cnt = 0;
    for (const struct ses_rpc_method *m = ses_host_methods(); m->name != NULL; m++) {
        size_t found = 0;
        for (size_t i = 0; i < json_array_size(methods); i++) {
            const char *name =
                json_string_value(json_object_get(json_array_get(methods, i), "name"));
            found += name != NULL && strcmp(name, m->name) == 0;
        }
        if (!TAP_EQ(1, found)) {
            printf("# %s is %zu times in docs/openrpc.json\n", m->name, found);
        }
        cnt++;
    }
    TAP_EQ(cnt, json_array_size(methods));
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(methods, i), "name"));
        TAP_MUST(name != NULL);
        if (!TAP_OK(is_method(name))) {
            printf("# %s is no method\n", name);
        }
    }
    json_decref(json);
}

static int code_of(const char *name)
{
#define SES_X(id, number, text)                                                                    \
    if (strcmp(ses_err_name(SES_##id), name) == 0) {                                               \
        return SES_##id == SES_ERR_INVALID ? -32602 : -32000 - (number);                           \
    }
    SES_ERRORS(SES_X)
#undef SES_X
    return 0;
}

static void test_document_has_the_codes(void)
{
    json_t *json = document();
    json_t *errors = json_object_get(json_object_get(json, "components"), "errors");
    const char *name = NULL;
    json_t *error = NULL;
    TAP_OK(json_object_size(errors) > 10);
    json_object_foreach(errors, name, error)
    {
        const json_int_t code = json_integer_value(json_object_get(error, "code"));
        TAP_OK(code != 0 && code == code_of(name));
    }
    json_decref(json);
}

/* docs/rpc.md names every method too. */
static void test_prose_names_the_methods(void)
{
    struct ses_buf text = {0};
    struct ses_note note = {0};
    TAP_ERR(SES_OK, ses_file_read("docs/rpc.md", 1u << 20, &text, &note));
    TAP_ERR(SES_OK, ses_buf_append(&text, "", 1));
    for (const struct ses_rpc_method *m = ses_host_methods(); m->name != NULL; m++) {
        const char *name = strchr(m->name, '.') + 1;
        if (!TAP_OK(strstr((const char *)text.bytes, name) != NULL)) {
            printf("# %s is not in docs/rpc.md\n", name);
        }
    }
    ses_buf_free(&text);
}

int main(void)
{
    TAP_RUN(test_document_lists_the_methods);
    TAP_RUN(test_document_has_the_codes);
    TAP_RUN(test_prose_names_the_methods);
    return tap_done();
}
