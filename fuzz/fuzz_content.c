/* Content of a message: what is shown can be written again and reads the same. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "messaging/messaging.h"

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void check_again(const struct ses_content *c)
{
    struct ses_buf bytes = {0};
    struct ses_content again;
    struct ses_content_owner *owner = NULL;
    if (ses_content_encode(&bytes, c) != SES_OK) {
        SES_ASSERT(c->kind == SES_CONTENT_UNSUPPORTED);
        return;
    }
    SES_ASSERT(ses_content_decode(&again, &owner, bytes.bytes, bytes.len) == SES_OK);
    SES_ASSERT(again.kind == c->kind && again.composed_ms == c->composed_ms);
    SES_ASSERT(same_text(again.text, c->text) && again.data_bytes == c->data_bytes);
    SES_ASSERT(c->data_bytes == 0 || memcmp(again.data, c->data, c->data_bytes) == 0);
    SES_ASSERT(again.has_token == c->has_token && ses_equal(again.token.bytes, c->token.bytes, 32));
    ses_content_free(owner);
    ses_buf_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ses_content content;
    struct ses_content_owner *owner = NULL;
    if (ses_content_decode(&content, &owner, data, size) == SES_OK) {
        check_again(&content);
    } else {
        SES_ASSERT(owner == NULL);
    }
    ses_content_free(owner);
    return 0;
}
