/* Envelope v1: golden bytes, every way to fail, padding, time, deniability. */
#include <string.h>

#include "base/tap.h"
#include "messaging/messaging.h"

#define NOW_MS 1700000000456u
#define DAY_MS 86400000u

/* BLAKE3 of the golden record (header and payload): alice (seed 01 00...) to bob (seed 02 00...),
 * fixed randomness, shows keys, body "golden". */
#define GOLDEN_HEX "64227897fa783ea27eae1bf5a8ecd1b2188919e375f083ff3e7b9908b4aff8da"

static struct ses_identity *alice, *bob, *eve;
static struct ses_card bob_card, alice_card;

static void counter_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)out)[i] = (uint8_t)(i * 7 + 1);
    }
}
static const struct ses_random fixed_random = {.fill = counter_fill};

static struct ses_seal1 message(const char *body, size_t len)
{
    return (struct ses_seal1){.from = alice,
                              .to = &bob_card,
                              .ns = SES_NS_INBOX,
                              .ttl_class = 2,
                              .type = SES_CONTENT_TYPE,
                              .uuid = {1, 2, 3, 4},
                              .with_keys = true,
                              .body = (const uint8_t *)body,
                              .body_bytes = len};
}

static struct ses_record view(const struct ses_buf *buf)
{
    return (struct ses_record){buf->bytes, buf->bytes + SES_RECORD_HEADER_BYTES,
                               (uint32_t)(buf->len - SES_RECORD_HEADER_BYTES)};
}

static enum ses_err find_alice(void *cookie, const struct ses_session_id *id, struct ses_card *out)
{
    unsigned *calls = cookie;
    (*calls)++;
    if (memcmp(id->bytes, alice->id.bytes, 33) != 0) {
        return SES_ERR_NOT_FOUND;
    }
    *out = alice_card;
    return SES_OK;
}

static enum ses_err open_buf(struct ses_opened1 *out, const struct ses_identity *to,
                             const struct ses_buf *buf)
{
    const struct ses_record record = view(buf);
    return ses_open1(out, to, &record, NULL, NULL);
}

static void test_golden(void)
{
    struct ses_buf buf = {0};
    struct ses_opened1 opened;
    struct ses_hash hash;
    char hex[65];
    const struct ses_seal1 m = message("golden", 6);
    TAP_MUST(ses_seal1(&buf, &m, NOW_MS, &fixed_random) == SES_OK);
    ses_blake3_hash(&hash, buf.bytes, buf.len);
    ses_hex_encode(hex, hash.bytes, 32);
    TAP_TEXT(GOLDEN_HEX, hex);
    TAP_ERR(SES_OK, open_buf(&opened, bob, &buf));
    TAP_EQ(6, opened.body.len);
    TAP_BYTES("golden", opened.body.bytes, 6);
    TAP_BYTES(alice->id.bytes, opened.sender.bytes, 33);
    TAP_BYTES(m.uuid, opened.uuid, 16);
    TAP_EQ(NOW_MS, opened.sent_ms);
    TAP_EQ(NOW_MS - 456, opened.ts_ms);
    TAP_EQ(SES_CONTENT_TYPE, opened.type);
    TAP_OK(opened.has_keys && !opened.body_signed);
    ses_opened1_free(&opened);
    ses_buf_free(&buf);
}

static void test_every_bit_counts(void)
{
    struct ses_buf buf = {0};
    struct ses_opened1 opened;
    const struct ses_seal1 m = message("bits", 4);
    TAP_MUST(ses_seal1(&buf, &m, NOW_MS, tap_random()) == SES_OK);
    const size_t places[] = {0,
                             1,
                             2,
                             3,
                             4,
                             5,
                             8,
                             15,
                             16,
                             47,
                             48,
                             49,
                             50,
                             51,
                             52,
                             59,
                             60,
                             700,
                             1147,
                             1148,
                             1149,
                             3000,
                             4500,
                             7000,
                             8000,
                             8191,
                             buf.len - 17,
                             buf.len - 16,
                             buf.len - 1};
    for (size_t i = 0; i < SES_COUNT(places); i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            buf.bytes[places[i]] ^= (uint8_t)(1u << bit);
            TAP_ERR(SES_ERR_OPEN, open_buf(&opened, bob, &buf));
            TAP_OK(opened.body.bytes == NULL && opened.sent_ms == 0);
            buf.bytes[places[i]] ^= (uint8_t)(1u << bit);
        }
    }
    TAP_ERR(SES_OK, open_buf(&opened, bob, &buf));
    ses_opened1_free(&opened);
    buf.len--;
    TAP_ERR(SES_ERR_OPEN, open_buf(&opened, bob, &buf));
    buf.len = SES_RECORD_HEADER_BYTES;
    TAP_ERR(SES_ERR_OPEN, open_buf(&opened, bob, &buf));
    ses_buf_free(&buf);
}

static void test_wrong_recipient(void)
{
    struct ses_buf buf = {0};
    struct ses_opened1 opened;
    const struct ses_seal1 m = message("for bob", 7);
    TAP_MUST(ses_seal1(&buf, &m, NOW_MS, tap_random()) == SES_OK);
    TAP_ERR(SES_ERR_OPEN, open_buf(&opened, eve, &buf));
    /* moved into eve's inbox it does not open either */
    memcpy(buf.bytes + 16, eve->id.bytes + 1, 32);
    TAP_ERR(SES_ERR_OPEN, open_buf(&opened, eve, &buf));
    TAP_ERR(SES_ERR_OPEN, open_buf(&opened, bob, &buf));
    ses_buf_free(&buf);
}

/* The keys of `card` with another identity's: eve cannot speak as alice. */
static void test_sender_must_own_the_id(void)
{
    struct ses_buf buf = {0};
    struct ses_opened1 opened;
    struct ses_seal1 m = message("I am alice", 10);
    struct ses_identity fake = *eve;
    fake.id = alice->id;
    m.from = &fake;
    TAP_MUST(ses_seal1(&buf, &m, NOW_MS, tap_random()) == SES_OK);
    TAP_ERR(SES_ERR_OPEN, open_buf(&opened, bob, &buf));
    buf.len = 0;
    m.with_keys = false;
    unsigned calls = 0;
    TAP_MUST(ses_seal1(&buf, &m, NOW_MS, tap_random()) == SES_OK);
    const struct ses_record record = view(&buf);
    TAP_ERR(SES_ERR_OPEN, ses_open1(&opened, bob, &record, find_alice, &calls));
    TAP_EQ(1, calls);
    ses_buf_free(&buf);
}

static void test_keys_looked_up(void)
{
    struct ses_buf buf = {0};
    struct ses_opened1 opened;
    unsigned calls = 0;
    struct ses_seal1 m = message("known", 5);
    m.with_keys = false;
    TAP_MUST(ses_seal1(&buf, &m, NOW_MS, tap_random()) == SES_OK);
    const struct ses_record record = view(&buf);
    TAP_ERR(SES_ERR_OPEN, ses_open1(&opened, bob, &record, NULL, NULL));
    TAP_ERR(SES_OK, ses_open1(&opened, bob, &record, find_alice, &calls));
    TAP_EQ(1, calls);
    TAP_OK(!opened.has_keys);
    TAP_BYTES(alice->kem_pk.bytes, opened.sender_card.kem_pk.bytes, SES_KEM_PK_BYTES);
    ses_opened1_free(&opened);
    ses_buf_free(&buf);
}

/* Puts another record time in front of a message of our own making: seal with the skewed clock, as
 * a sender with a wrong inner time would. */
static void check_skew(int64_t skew_ms, enum ses_err want)
{
    struct ses_buf buf = {0};
    struct ses_opened1 opened;
    const struct ses_seal1 m = message("late", 4);
    struct ses_record_header header;
    TAP_MUST(ses_seal1(&buf, &m, NOW_MS, tap_random()) == SES_OK);
    TAP_MUST(ses_record_header_decode(&header, buf.bytes) == SES_OK);
    header.ts_ms = (uint64_t)((int64_t)header.ts_ms + skew_ms);
    ses_record_header_encode(buf.bytes, &header);
    TAP_ERR(want, open_buf(&opened, bob, &buf)); /* the AAD covers the time */
    ses_opened1_free(&opened);
    ses_buf_free(&buf);
}

static void test_record_time_is_bound(void)
{
    check_skew(0, SES_OK);
    check_skew(1000, SES_ERR_OPEN);
    check_skew(-1000, SES_ERR_OPEN);
}

/* An envelope made here step by step with sent_ms and ts apart, everything else right. */
static enum ses_err open_with_times(uint64_t sent_ms, uint64_t ts_ms)
{
    static uint8_t record_bytes[SES_RECORD_HEADER_BYTES + 8192];
    static uint8_t inner_bytes[8192 - SES_ENVELOPE1_OUTER_BYTES - SES_AEAD_TAG_BYTES];
    struct ses_record_header header = {.ttl_class = 2, .ts_ms = ts_ms};
    struct ses_kem_public *ek = NULL;
    struct ses_kem_ct ct;
    struct ses_secret32 ss;
    struct ses_hash hash;
    struct ses_hash64 digest;
    struct ses_dsa_sig sig;
    struct ses_writer w;
    memcpy(header.inbox.bytes, bob->id.bytes + 1, 32);
    ses_record_header_encode(record_bytes, &header);
    TAP_MUST(ses_kem_public_new(&ek, &bob->kem_pk) == SES_OK);
    TAP_MUST(ses_kem_encaps(&ct, &ss, ek, tap_random()) == SES_OK);
    ses_kem_public_free(ek);
    ses_blake3_hash(&hash, bob->kem_pk.bytes, SES_KEM_PK_BYTES);
    ses_writer_init(&w, record_bytes + 48, SES_ENVELOPE1_OUTER_BYTES);
    const uint8_t start[4] = {1, 1, 0, 0};
    ses_write_bytes(&w, start, 4);
    ses_write_bytes(&w, hash.bytes, 8);
    ses_write_bytes(&w, ct.bytes, sizeof ct.bytes);
    TAP_EQ(SES_ENVELOPE1_OUTER_BYTES, w.len);
    uint8_t kn[56];
    ses_sha3_256(&hash, SES_PARTS(SES_PART(bob->kem_pk.bytes, SES_KEM_PK_BYTES)));
    ses_kmac256(kn, 56, ss.bytes, 32,
                SES_PARTS(SES_PART(record_bytes, 1148), SES_PART(hash.bytes, 32)),
                "session/env/v1");
    struct ses_envelope1_inner inner = {.type = 1, .sent_ms = sent_ms, .key_mode = 1};
    memcpy(inner.sender.bytes, alice->id.bytes + 1, 32);
    inner.dsa_pk = alice->dsa_pk.bytes;
    inner.kem_pk = alice->kem_pk.bytes;
    uint8_t fixed[1 + 2 + 32 + 32 + 8 + 16] = {1, 0, 1};
    memcpy(fixed + 3, inner.sender.bytes, 32);
    memcpy(fixed + 35, header.inbox.bytes, 32);
    ses_put_u64(fixed + 67, sent_ms);
    ses_sha3_512(&digest, SES_PARTS(SES_PART(record_bytes, 1148), SES_PART(fixed, sizeof fixed)));
    TAP_MUST(ses_sign(&sig, alice->dsa, SES_DOMAIN_ENVELOPE, digest.bytes, 64, tap_random()) ==
             SES_OK);
    inner.signature = sig.bytes;
    memset(inner_bytes, 0, sizeof inner_bytes);
    ses_writer_init(&w, inner_bytes, sizeof inner_bytes);
    ses_envelope1_inner_write(&w, &inner);
    struct ses_secret32 key;
    struct ses_nonce nonce;
    memcpy(key.bytes, kn, 32);
    memcpy(nonce.bytes, kn + 32, 24);
    TAP_MUST(ses_aead_seal(record_bytes + 1148, &key, &nonce, record_bytes, 1148, inner_bytes,
                           sizeof inner_bytes) == SES_OK);
    struct ses_opened1 opened;
    const struct ses_record record = {record_bytes, record_bytes + 48, 8192};
    const enum ses_err err = ses_open1(&opened, bob, &record, NULL, NULL);
    ses_opened1_free(&opened);
    return err;
}

static void test_a_day_apart(void)
{
    const uint64_t ts = NOW_MS - 456;
    TAP_ERR(SES_OK, open_with_times(ts, ts));
    TAP_ERR(SES_OK, open_with_times(ts + DAY_MS, ts));
    TAP_ERR(SES_OK, open_with_times(ts - DAY_MS, ts));
    TAP_ERR(SES_ERR_OPEN, open_with_times(ts + DAY_MS + 1, ts));
    TAP_ERR(SES_ERR_OPEN, open_with_times(ts - DAY_MS - 1, ts));
    TAP_ERR(SES_ERR_OPEN, open_with_times(UINT64_MAX, ts));
    TAP_ERR(SES_ERR_OPEN, open_with_times(0, ts));
}

static void test_pad_classes(void)
{
    static char body[SES_PAYLOAD_MAX];
    for (unsigned keys = 0; keys < 2; keys++) {
        for (uint8_t class = 0; class < SES_PAD_CLASS_CNT; class ++) {
            struct ses_buf buf = {0};
            struct ses_opened1 opened;
            unsigned calls = 0;
            /* the largest body of this class, found by its own rule */
            size_t len = 0;
            uint8_t got = 0;
            for (size_t step = 65536; step > 0; step /= 2) {
                if (ses_pad_class_for(&got, len + step, keys) == SES_OK && got <= class) {
                    len += step;
                }
            }
            struct ses_seal1 m = message(body, len);
            m.with_keys = keys;
            TAP_ERR(SES_OK, ses_seal1(&buf, &m, NOW_MS, tap_random()));
            TAP_EQ(SES_RECORD_HEADER_BYTES + ses_pad_class_bytes(class), buf.len);
            const struct ses_record record = view(&buf);
            TAP_ERR(SES_OK, ses_open1(&opened, bob, &record, find_alice, &calls));
            TAP_EQ(len, opened.body.len);
            ses_opened1_free(&opened);
            buf.len = 0;
            m.body_bytes = len + 1;
            const bool last = class == SES_PAD_CLASS_CNT - 1;
            TAP_ERR(last ? SES_ERR_TOO_LARGE : SES_OK, ses_seal1(&buf, &m, NOW_MS, tap_random()));
            TAP_EQ(last ? 0 : SES_RECORD_HEADER_BYTES + ses_pad_class_bytes((uint8_t)(class + 1)),
                   buf.len);
            ses_buf_free(&buf);
        }
    }
    TAP_EQ(81920u - 1100 - 16 - 3372, ses_envelope1_body_max(false));
}

/* The recipient opens a message, puts another body in and closes it again with the same keys. */
static void rewrite_body(struct ses_buf *buf, char to)
{
    struct ses_kem_ct ct;
    struct ses_secret32 ss;
    struct ses_secret32 key;
    struct ses_nonce nonce;
    struct ses_hash hash;
    uint8_t kn[56];
    uint8_t *sealed = buf->bytes + SES_ENVELOPE1_HDR_BYTES;
    const size_t len = buf->len - SES_ENVELOPE1_HDR_BYTES;
    memcpy(ct.bytes, buf->bytes + 60, sizeof ct.bytes);
    TAP_MUST(ses_kem_decaps(&ss, bob->kem, &ct) == SES_OK);
    ses_sha3_256(&hash, SES_PARTS(SES_PART(bob->kem_pk.bytes, SES_KEM_PK_BYTES)));
    ses_kmac256(kn, 56, ss.bytes, 32,
                SES_PARTS(SES_PART(buf->bytes, 1148), SES_PART(hash.bytes, 32)), "session/env/v1");
    memcpy(key.bytes, kn, 32);
    memcpy(nonce.bytes, kn + 32, 24);
    TAP_MUST(ses_aead_open(sealed, &key, &nonce, buf->bytes, 1148, sealed, len) == SES_OK);
    const size_t body_at = 2 + 32 + 8 + 16 + 1 + 1952 + 1184 + 3309 + 4;
    TAP_BYTES("said", sealed + body_at, 4);
    sealed[body_at] = (uint8_t)to;
    TAP_MUST(ses_aead_seal(sealed, &key, &nonce, buf->bytes, 1148, sealed,
                           len - SES_AEAD_TAG_BYTES) == SES_OK);
}

/* Without the flag the recipient could have written any body himself, so he proves nothing; with it
 * he cannot. */
static void test_deniability(void)
{
    for (unsigned sign = 0; sign < 2; sign++) {
        struct ses_buf buf = {0};
        struct ses_opened1 opened;
        struct ses_seal1 m = message("said", 4);
        m.sign_body = sign;
        TAP_MUST(ses_seal1(&buf, &m, NOW_MS, tap_random()) == SES_OK);
        TAP_MUST(open_buf(&opened, bob, &buf) == SES_OK);
        TAP_EQ(sign, opened.body_signed);
        ses_opened1_free(&opened);
        rewrite_body(&buf, 'm');
        TAP_ERR(sign ? SES_ERR_OPEN : SES_OK, open_buf(&opened, bob, &buf));
        if (!sign) {
            TAP_BYTES("maid", opened.body.bytes, 4);
        }
        ses_opened1_free(&opened);
        ses_buf_free(&buf);
    }
}

static void test_bad_input(void)
{
    struct ses_buf buf = {0};
    struct ses_seal1 m = message("x", 1);
    m.ns = SES_NS_CARD;
    TAP_ERR(SES_ERR_INVALID, ses_seal1(&buf, &m, NOW_MS, tap_random()));
    m.ns = SES_NS_INBOX;
    m.ttl_class = SES_TTL_CLASS_CNT;
    TAP_ERR(SES_ERR_INVALID, ses_seal1(&buf, &m, NOW_MS, tap_random()));
    TAP_EQ(0, buf.len);
    ses_buf_free(&buf);
}

/* A record of an owner's namespace is never a message, whatever it holds. */
static void test_wrong_namespace(void)
{
    struct ses_buf buf = {0};
    struct ses_opened1 opened;
    const struct ses_seal1 m = message("x", 1);
    struct ses_record_header header;
    const int16_t spaces[] = {SES_NS_CARD, SES_NS_TOKEN, 10, 3, -10};
    for (size_t i = 0; i < SES_COUNT(spaces); i++) {
        buf.len = 0;
        TAP_MUST(ses_seal1(&buf, &m, NOW_MS, tap_random()) == SES_OK);
        TAP_MUST(ses_record_header_decode(&header, buf.bytes) == SES_OK);
        header.ns = spaces[i];
        ses_record_header_encode(buf.bytes, &header);
        TAP_ERR(SES_ERR_OPEN, open_buf(&opened, bob, &buf));
    }
    ses_buf_free(&buf);
}

static void test_appends(void)
{
    struct ses_buf buf = {0};
    const struct ses_seal1 m = message("x", 1);
    TAP_MUST(ses_buf_append(&buf, "before", 6) == SES_OK);
    TAP_ERR(SES_OK, ses_seal1(&buf, &m, NOW_MS, tap_random()));
    TAP_EQ(6 + SES_RECORD_HEADER_BYTES + 8192, buf.len);
    TAP_BYTES("before", buf.bytes, 6);
    ses_buf_free(&buf);
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    const uint8_t seeds[3][32] = {{1}, {2}, {3}};
    SES_ASSERT(ses_identity_new(&alice, seeds[0]) == SES_OK);
    SES_ASSERT(ses_identity_new(&bob, seeds[1]) == SES_OK);
    SES_ASSERT(ses_identity_new(&eve, seeds[2]) == SES_OK);
    ses_card_of(&alice_card, alice, "alice");
    ses_card_of(&bob_card, bob, "bob");
    TAP_RUN(test_golden);
    TAP_RUN(test_every_bit_counts);
    TAP_RUN(test_wrong_recipient);
    TAP_RUN(test_sender_must_own_the_id);
    TAP_RUN(test_keys_looked_up);
    TAP_RUN(test_record_time_is_bound);
    TAP_RUN(test_a_day_apart);
    TAP_RUN(test_pad_classes);
    TAP_RUN(test_deniability);
    TAP_RUN(test_bad_input);
    TAP_RUN(test_wrong_namespace);
    TAP_RUN(test_appends);
    ses_identity_free(alice);
    ses_identity_free(bob);
    ses_identity_free(eve);
    return tap_done();
}
