/* Files of a profile as bytes: state, contacts, the cached registry, receipts. First byte chooses.
 */
#include <string.h>

#include "client/client_internal.h"
#include "fuzz/fuzz.h"

static void check_bytes(struct ses_buf *got, const uint8_t *data, size_t size)
{
    SES_ASSERT(got->len == size && (size == 0 || memcmp(got->bytes, data, size) == 0));
    ses_buf_free(got);
}

static void state(const uint8_t *data, size_t size)
{
    struct ses_profile_state s;
    struct ses_buf again = {0};
    if (ses_profile_state_decode(&s, data, size) == SES_OK) {
        SES_ASSERT(ses_profile_state_encode(&again, &s) == SES_OK);
        check_bytes(&again, data, size);
        ses_profile_state_free(&s);
    }
}

static void contacts(const uint8_t *data, size_t size)
{
    struct ses_contacts c;
    struct ses_buf again = {0};
    if (ses_contacts_decode(&c, data, size) == SES_OK) {
        SES_ASSERT(ses_contacts_encode(&again, &c) == SES_OK);
        check_bytes(&again, data, size);
        ses_contacts_free(&c);
    }
}

static void registry(const uint8_t *data, size_t size)
{
    struct ses_registry_cache r;
    struct ses_buf again = {0};
    if (ses_registry_cache_decode(&r, data, size) == SES_OK) {
        SES_ASSERT(ses_registry_cache_encode(&again, &r) == SES_OK);
        check_bytes(&again, data, size);
        ses_registry_cache_free(&r);
    }
}

static enum ses_err write_again(void *cookie, const struct ses_receipt *receipt)
{
    struct ses_buf *again = cookie;
    struct ses_writer w;
    SES_ASSERT(ses_buf_reserve(again, SES_RECEIPT_BYTES_MAX) == SES_OK);
    ses_writer_init(&w, again->bytes + again->len, SES_RECEIPT_BYTES_MAX);
    ses_receipt_write(&w, receipt);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    again->len += w.len;
    return SES_OK;
}

static void receipts(const uint8_t *data, size_t size)
{
    struct ses_buf again = {0};
    if (ses_receipts_parse(data, size, write_again, &again) == SES_OK) {
        check_bytes(&again, data, size);
    } else {
        ses_buf_free(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(const uint8_t *, size_t) = {state, contacts, registry, receipts};
    SES_ASSERT(ses_crypto_init() == SES_OK);
    if (size > 0) {
        kinds[data[0] % SES_COUNT(kinds)](data + 1, size - 1);
    }
    return 0;
}
