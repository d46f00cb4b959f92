/* Configuration files: the values that were read, written one a line, read the same. */
#include <string.h>

#include "base/base.h"
#include "fuzz/fuzz.h"

static const struct ses_config_key KEYS[] = {{"chain", NULL, "URL", false},
                                             {"rpc-listen", "127.0.0.1:1", "address", false},
                                             {"port", "1", "port", false},
                                             {"verbose", NULL, "switch", true},
                                             {0}};

static void write_again(struct ses_buf *out, const struct ses_config *c)
{
    for (const struct ses_config_key *key = KEYS; key->name != NULL; key++) {
        const char *value = ses_config_get(c, key->name);
        if (value != NULL) {
            SES_ASSERT(ses_buf_append(out, key->name, strlen(key->name)) == SES_OK);
            SES_ASSERT(ses_buf_append(out, "=", 1) == SES_OK);
            SES_ASSERT(ses_buf_append(out, value, strlen(value)) == SES_OK);
            SES_ASSERT(ses_buf_append(out, "\n", 1) == SES_OK);
        }
    }
}

static void compare(const struct ses_config *a, const struct ses_config *b)
{
    for (const struct ses_config_key *key = KEYS; key->name != NULL; key++) {
        const char *left = ses_config_get(a, key->name);
        const char *right = ses_config_get(b, key->name);
        SES_ASSERT((left == NULL) == (right == NULL));
        SES_ASSERT(left == NULL || strcmp(left, right) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ses_config *c = NULL;
    struct ses_config *again = NULL;
    struct ses_buf text = {0};
    struct ses_note note = {0};
    SES_ASSERT(ses_config_new(&c, KEYS) == SES_OK && ses_config_new(&again, KEYS) == SES_OK);
    if (ses_config_read_text(c, "file", (const char *)data, size, &note) == SES_OK) {
        write_again(&text, c);
        SES_ASSERT(ses_config_read_text(again, "again", (const char *)text.bytes, text.len,
                                        &note) == SES_OK);
        compare(c, again);
    } else {
        SES_ASSERT(note.text[0] != 0);
    }
    ses_buf_free(&text);
    ses_config_free(again);
    ses_config_free(c);
    return 0;
}
