/* For the tests of this folder: public vectors, which are JSON with hex strings. */
#ifndef SES_CRYPTO_TEST_VECTORS_H
#define SES_CRYPTO_TEST_VECTORS_H

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/tap.h"
#include "crypto/crypto_internal.h"

/* NULL, and the test marked as skipped, if the file is not there. json_decref at the end. */
static inline json_t *vectors_load_flags(const char *name, size_t flags)
{
    size_t len = 0;
    char *text = tap_vectors(name, &len);
    if (text == NULL) {
        tap_skip("no public vectors here; SES_VECTORS names their folder");
        return NULL;
    }
    json_t *root = json_loadb(text, len, flags, NULL);
    ses_free(text);
    TAP_MUST(root != NULL);
    return root;
}

static inline json_t *vectors_load(const char *name)
{
    return vectors_load_flags(name, 0);
}

/* The output of the reference model: it has integers above 2^63, which come as doubles. */
static inline json_t *model_load(void)
{
    return vectors_load_flags("model/vectors.json", JSON_DECODE_INT_AS_REAL);
}

static inline uint64_t member_number(const json_t *object, const char *name)
{
    const json_t *member = json_object_get(object, name);
    TAP_MUST(json_is_number(member) && json_number_value(member) < 9007199254740992.0);
    return (uint64_t)json_number_value(member);
}

static inline const char *member_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    TAP_MUST(text != NULL);
    return text;
}

/* Bytes of a hex text in fresh memory: ses_free. */
static inline uint8_t *hex_bytes(const char *text, size_t *len)
{
    *len = strlen(text) / 2;
    uint8_t *bytes = ses_alloc(*len, 1);
    TAP_MUST(bytes != NULL && ses_hex_decode(bytes, *len, text) == SES_OK);
    return bytes;
}

static inline uint8_t *member_bytes(const json_t *object, const char *name, size_t *len)
{
    return hex_bytes(member_text(object, name), len);
}

/* A member of a known length. */
static inline void member_fixed(const json_t *object, const char *name, void *out, size_t len)
{
    if (!TAP_OK(ses_hex_decode(out, len, member_text(object, name)) == SES_OK)) {
        printf("#   member %s is not %zu bytes\n", name, len);
    }
}

static inline bool member_valid(const json_t *test)
{
    return strcmp(member_text(test, "result"), "valid") == 0;
}

/* Names the vector when a check about it failed. */
static inline void vector_check(bool ok, const json_t *test, const char *file, int line)
{
    if (!tap_check(ok, "vector", file, line)) {
        printf("#   tcId %" JSON_INTEGER_FORMAT "\n",
               json_integer_value(json_object_get(test, "tcId")));
    }
}
#define VECTOR_OK(test, cond) vector_check((cond), (test), __FILE__, __LINE__)

/* Runs every test of every group of a Wycheproof file and says how many there were. */
static inline void wycheproof_run(const char *name,
                                  void (*run)(const json_t *group, const json_t *test))
{
    json_t *root = vectors_load(name);
    size_t g;
    size_t t;
    json_t *group;
    json_t *test;
    unsigned ran = 0;
    if (root == NULL) {
        return;
    }
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            run(group, test);
            ran++;
        }
    }
    printf("# %s: %u cases\n", name, ran);
    TAP_EQ((uint64_t)json_integer_value(json_object_get(root, "numberOfTests")), ran);
    json_decref(root);
}

#endif
