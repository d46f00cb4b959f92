/* base58 and CB58: what is read is written again as it was. */
#include <string.h>

#include "crypto/crypto.h"
#include "fuzz/fuzz.h"

static void try_base58(const char *text)
{
    uint8_t bytes[SES_BASE58_BYTES_MAX];
    char again[SES_BASE58_TEXT_MAX + 1];
    size_t len;
    if (ses_base58_decode(bytes, &len, sizeof bytes, text) == SES_OK) {
        SES_ASSERT(ses_base58_encode(again, sizeof again, bytes, len) == SES_OK);
        SES_ASSERT(strcmp(text, again) == 0);
    }
}

static void try_cb58(const char *text)
{
    for (size_t len = 0; len <= 40; len++) {
        uint8_t bytes[40];
        char again[SES_CB58_TEXT_MAX];
        if (ses_cb58_decode(bytes, len, text) == SES_OK) {
            SES_ASSERT(ses_cb58_encode(again, bytes, len) == SES_OK);
            SES_ASSERT(strcmp(text, again) == 0);
        }
    }
}

static void try_ids(const char *text)
{
    struct ses_node_id node_id;
    struct ses_account account;
    char again[SES_ID_TEXT_MAX];
    if (ses_node_id_parse(&node_id, text) == SES_OK) {
        ses_node_id_text(again, &node_id);
        SES_ASSERT(strcmp(text, again) == 0);
    }
    if (ses_account_parse(&account, text) == SES_OK) {
        ses_account_text(again, &account);
        SES_ASSERT(strcmp(text, again) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[400];
    const size_t len = size < sizeof text ? size : sizeof text - 1;
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = 0;
    try_base58(text);
    try_cb58(text);
    try_ids(text);
    return 0;
}
