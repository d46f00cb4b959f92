/* Opening a v1 envelope. First byte 0: the rest is a record (header 48, payload) as a node gives
 * it. Otherwise the rest is what stands inside: it is sealed here with keys of our own, as a
 * hostile sender would, so that the fuzzer gets behind the AEAD. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "messaging/messaging.h"

#define PLAIN_BYTES (8192u - SES_ENVELOPE1_OUTER_BYTES - SES_AEAD_TAG_BYTES)

static struct ses_identity *identity;

static void free_identity(void)
{
    ses_identity_free(identity);
}

static const struct ses_identity *recipient(void)
{
    static const uint8_t seed[32] = {2};
    if (identity == NULL) {
        SES_ASSERT(ses_crypto_init() == SES_OK && ses_identity_new(&identity, seed) == SES_OK);
        SES_ASSERT(atexit(free_identity) == 0);
    }
    return identity;
}

static void fixed_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    memset(out, 7, len);
}

static enum ses_err find_nobody(void *cookie, const struct ses_session_id *id, struct ses_card *out)
{
    (void)cookie;
    (void)id;
    (void)out;
    return SES_ERR_NOT_FOUND;
}

static void open_record(const uint8_t *bytes, size_t len)
{
    struct ses_opened1 opened;
    const struct ses_record record = {bytes, bytes + SES_RECORD_HEADER_BYTES,
                                      (uint32_t)(len - SES_RECORD_HEADER_BYTES)};
    const enum ses_err err = ses_open1(&opened, recipient(), &record, find_nobody, NULL);
    SES_ASSERT(err == SES_OK || err == SES_ERR_OPEN || err == SES_ERR_MEMORY);
    if (err == SES_OK) {
        SES_ASSERT(opened.sender.bytes[0] == 0x07);
        SES_ASSERT(opened.body.len <= ses_envelope1_body_max(false));
    } else {
        SES_ASSERT(opened.body.bytes == NULL);
    }
    ses_opened1_free(&opened);
}

static void seal_inside(uint8_t *record, const uint8_t *inside, size_t len)
{
    static const struct ses_random random = {.fill = fixed_fill};
    const struct ses_identity *to = recipient();
    struct ses_record_header header = {.ttl_class = 2, .ts_ms = 1700000000000u};
    struct ses_kem_public *ek = NULL;
    struct ses_kem_ct ct;
    struct ses_secret32 ss, key;
    struct ses_nonce nonce;
    struct ses_hash hash;
    uint8_t kn[56];
    static uint8_t plain[PLAIN_BYTES];
    memset(plain, 0, sizeof plain);
    memcpy(plain, inside, len < sizeof plain ? len : sizeof plain);
    memcpy(header.inbox.bytes, to->id.bytes + 1, 32);
    ses_record_header_encode(record, &header);
    SES_ASSERT(ses_kem_public_new(&ek, &to->kem_pk) == SES_OK);
    SES_ASSERT(ses_kem_encaps(&ct, &ss, ek, &random) == SES_OK);
    ses_kem_public_free(ek);
    ses_blake3_hash(&hash, to->kem_pk.bytes, SES_KEM_PK_BYTES);
    memcpy(record + 48, (const uint8_t[4]){1, 1, 0, 0}, 4);
    memcpy(record + 52, hash.bytes, 8);
    memcpy(record + 60, ct.bytes, sizeof ct.bytes);
    ses_sha3_256(&hash, SES_PARTS(SES_PART(to->kem_pk.bytes, SES_KEM_PK_BYTES)));
    ses_kmac256(kn, sizeof kn, ss.bytes, 32,
                SES_PARTS(SES_PART(record, SES_ENVELOPE1_HDR_BYTES), SES_PART(hash.bytes, 32)),
                "session/env/v1");
    memcpy(key.bytes, kn, 32);
    memcpy(nonce.bytes, kn + 32, 24);
    SES_ASSERT(ses_aead_seal(record + SES_ENVELOPE1_HDR_BYTES, &key, &nonce, record,
                             SES_ENVELOPE1_HDR_BYTES, plain, sizeof plain) == SES_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t record[SES_RECORD_HEADER_BYTES + 8192];
    if (size == 0) {
        return 0;
    }
    if (data[0] != 0) {
        seal_inside(record, data + 1, size - 1);
        open_record(record, sizeof record);
    } else if (size > SES_RECORD_HEADER_BYTES) {
        open_record(data + 1, size - 1);
    }
    return 0;
}
