/* What a chain's server sends: accepted records re-encode to the same values. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "rpc/rpc.h"

static void check_node(const json_t *json)
{
    struct ses_node node;
    struct ses_node again;
    struct ses_note note;
    if (ses_json_read_node(json, &node, &note) != SES_OK) {
        return;
    }
    json_t *encoded = ses_json_node(&node, NULL, NULL);
    SES_ASSERT(encoded != NULL && ses_json_read_node(encoded, &again, &note) == SES_OK);
    json_t *twice = ses_json_node(&again, NULL, NULL);
    SES_ASSERT(json_equal(encoded, twice));
    json_decref(twice);
    json_decref(encoded);
}

static void check_epoch(const json_t *json)
{
    struct ses_epoch epoch;
    struct ses_epoch again;
    struct ses_note note;
    if (ses_json_read_epoch(json, &epoch, &note) != SES_OK) {
        return;
    }
    json_t *encoded = ses_json_epoch(&epoch);
    SES_ASSERT(encoded != NULL && ses_json_read_epoch(encoded, &again, &note) == SES_OK);
    json_t *twice = ses_json_epoch(&again);
    SES_ASSERT(json_equal(encoded, twice));
    json_decref(twice);
    json_decref(encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (json != NULL) {
        check_node(json);
        check_epoch(json);
    }
    json_decref(json);
    return 0;
}
