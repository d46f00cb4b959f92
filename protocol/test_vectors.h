/* For the tests of this folder: the public vectors of the reference model (JSON, hex strings). */
#ifndef SES_PROTOCOL_TEST_VECTORS_H
#define SES_PROTOCOL_TEST_VECTORS_H

#include <jansson.h>
#include <string.h>

#include "base/tap.h"
#include "protocol/protocol.h"

/* NULL, and the test marked as skipped, if there are none. json_decref at the end. */
static inline json_t *model_vectors(void)
{
    size_t len = 0;
    char *text = tap_vectors("model/vectors.json", &len);
    if (text == NULL) {
        tap_skip("no public vectors here; SES_VECTORS names their folder");
        return NULL;
    }
    /* some members exceed a signed 64-bit integer; those that are read here fit a double */
    json_t *root = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, NULL);
    ses_free(text);
    TAP_MUST(root != NULL);
    return root;
}

static inline uint64_t number_u64(const json_t *value)
{
    const double number = json_number_value(value);
    TAP_MUST(json_is_number(value) && number >= 0 && number < 9007199254740992.0);
    return (uint64_t)number;
}

static inline uint64_t json_u64(const json_t *object, const char *name)
{
    return number_u64(json_object_get(object, name));
}

/* A hex member of exactly `len` bytes. */
static inline void json_bytes(const json_t *object, const char *name, void *out, size_t len)
{
    const char *text = json_string_value(json_object_get(object, name));
    TAP_MUST(text != NULL && ses_hex_decode(out, len, text) == SES_OK);
}

static inline struct ses_hash json_hash(const json_t *object, const char *name)
{
    struct ses_hash hash;
    json_bytes(object, name, hash.bytes, sizeof hash.bytes);
    return hash;
}

/* BLAKE3(what || u32 i), where the model takes its inputs from. */
static inline struct ses_hash model_name(const char *what, uint32_t i)
{
    uint8_t bytes[64];
    struct ses_hash hash;
    const size_t len = strlen(what);
    SES_ASSERT(len + 4 <= sizeof bytes);
    memcpy(bytes, what, len);
    ses_put_u32(bytes + len, i);
    ses_blake3_hash(&hash, bytes, len + 4);
    return hash;
}

#endif
