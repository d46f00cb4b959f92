/* A JSON-RPC request text of a stranger: every answer is JSON in one of the two forms. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "rpc/rpc.h"

static json_t *echo(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    uint64_t number = 0;
    (void)cookie;
    if (json_object_get(params, "n") != NULL &&
        ses_json_get_u64(params, "n", &number, &error->note) != SES_OK) {
        const struct ses_note note = error->note;
        return ses_rpc_fail_note(error, SES_ERR_INVALID, &note);
    }
    return json_incref(params);
}

static const struct ses_rpc_method methods[] = {
    {"t.echo", echo, false}, {"t.set", echo, true}, {0}};

/* {"result" or "error", "id"}, with "jsonrpc" or both members of gorilla's form. */
static void check_one(const json_t *answer)
{
    const bool modern = json_object_get(answer, "jsonrpc") != NULL;
    const bool result = json_object_get(answer, "result") != NULL;
    const bool error = json_object_get(answer, "error") != NULL;
    SES_ASSERT(json_is_object(answer) && json_object_size(answer) == 3);
    SES_ASSERT(json_object_get(answer, "id") != NULL);
    SES_ASSERT(modern ? result != error : result && error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int status = 0;
    char *text = ses_rpc_dispatch(methods, NULL, (const char *)data, size, size % 2 == 0, &status);
    if (text == NULL) {
        SES_ASSERT(status == 204 || status == 401);
        return 0;
    }
    SES_ASSERT(status == 200 || status == 400 || status == 401);
    json_t *answer = json_loads(text, 0, NULL);
    SES_ASSERT(answer != NULL);
    if (json_is_array(answer)) {
        SES_ASSERT(json_array_size(answer) > 0 && json_array_size(answer) <= SES_RPC_BATCH_MAX);
        for (size_t i = 0; i < json_array_size(answer); i++) {
            check_one(json_array_get(answer, i));
        }
    } else {
        check_one(answer);
    }
    json_decref(answer);
    ses_free(text);
    return 0;
}
