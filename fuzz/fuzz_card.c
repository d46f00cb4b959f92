/* Contact cards. First byte 0: a stand-alone card. Otherwise: a record (header 48, payload) of the
 * outbox namespace, asked for the ID that it names itself. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "messaging/messaging.h"

static void stand_alone(const uint8_t *data, size_t size)
{
    struct ses_card card;
    if (ses_card_read(&card, data, size) != SES_OK) {
        return;
    }
    /* keys, length, name: written again they are the signed bytes */
    SES_ASSERT(ses_name_valid(card.name));
    SES_ASSERT(memcmp(data, card.kem_pk.bytes, SES_KEM_PK_BYTES) == 0);
    SES_ASSERT(memcmp(data + SES_KEM_PK_BYTES, card.dsa_pk.bytes, SES_DSA_PK_BYTES) == 0);
    SES_ASSERT(size == SES_CARD_BYTES_MAX - SES_NAME_MAX + strlen(card.name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ses_hash chain_id = {{1, 2, 3}};
    struct ses_session_id want = {{0x07}};
    struct ses_card card;
    SES_ASSERT(ses_crypto_init() == SES_OK);
    if (size < 1) {
        return 0;
    }
    if (data[0] == 0) {
        stand_alone(data + 1, size - 1);
        return 0;
    }
    if (size < 1 + SES_RECORD_HEADER_BYTES) {
        return 0;
    }
    const struct ses_record record = {data + 1, data + 1 + SES_RECORD_HEADER_BYTES,
                                      (uint32_t)(size - 1 - SES_RECORD_HEADER_BYTES)};
    memcpy(want.bytes + 1, data + 1 + 16, 32);
    if (ses_card_from_record(&card, &record, &want, &chain_id) == SES_OK) {
        SES_ASSERT(memcmp(card.id.bytes, want.bytes, sizeof want.bytes) == 0);
        SES_ASSERT(ses_name_valid(card.name));
    }
    return 0;
}
