/* Outbox items and inbox state from a disk: what is accepted encodes identically, and the state
 * machine takes it. First byte 0: an item; otherwise: inbox state. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "messaging/messaging.h"

static void check_bytes(const struct ses_buf *got, const uint8_t *data, size_t size)
{
    SES_ASSERT(got->len == size && memcmp(got->bytes, data, size) == 0);
}

static void item(const uint8_t *data, size_t size)
{
    struct ses_outbox_item it;
    struct ses_buf again = {0};
    if (ses_outbox_decode(&it, data, size) != SES_OK) {
        return;
    }
    SES_ASSERT(ses_outbox_encode(&again, &it) == SES_OK);
    check_bytes(&again, data, size);
    const enum ses_outbox_step step = ses_outbox_step(&it, it.next_ms);
    if (step == SES_OUTBOX_DO_OFFER) {
        SES_ASSERT(it.record.len >= SES_RECORD_HEADER_BYTES && ses_outbox_member(&it, 3) < 3);
        ses_outbox_lost(&it, SES_ERR_TIMEOUT, 3, it.next_ms);
    }
    ses_outbox_free(&it);
    ses_buf_free(&again);
}

static void inbox(const uint8_t *data, size_t size)
{
    struct ses_inbox_state state;
    struct ses_buf again = {0};
    if (ses_inbox_decode(&state, data, size) != SES_OK) {
        return;
    }
    SES_ASSERT(ses_inbox_encode(&again, &state) == SES_OK);
    check_bytes(&again, data, size);
    ses_inbox_prune(&state, 1700000000000u);
    ses_inbox_free(&state);
    ses_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        (data[0] == 0 ? item : inbox)(data + 1, size - 1);
    }
    return 0;
}
