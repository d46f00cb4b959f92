/* Cards: stand-alone and as records; what is damaged, foreign or badly named is refused. */
#include <string.h>

#include "base/tap.h"
#include "messaging/messaging.h"

static const struct ses_hash chain = {{1, 2, 3}};

static struct ses_identity *person(uint8_t n)
{
    struct ses_identity *p = NULL;
    uint8_t seed[32] = {n};
    TAP_MUST(ses_identity_new(&p, seed) == SES_OK);
    return p;
}

static size_t write_card(uint8_t *bytes, const struct ses_identity *owner, const char *name)
{
    struct ses_card card;
    struct ses_writer w;
    ses_card_of(&card, owner, name);
    ses_writer_init(&w, bytes, SES_CARD_BYTES_MAX);
    TAP_MUST(ses_card_write(&w, &card, owner, tap_random()) == SES_OK);
    return w.len;
}

static void test_card_round_trip(void)
{
    uint8_t bytes[SES_CARD_BYTES_MAX];
    struct ses_card card;
    struct ses_identity *owner = person(1);
    const size_t len = write_card(bytes, owner, "Zoë");
    TAP_EQ(SES_CARD_BYTES_MAX - SES_NAME_MAX + 4, len);
    TAP_ERR(SES_OK, ses_card_read(&card, bytes, len));
    TAP_BYTES(owner->id.bytes, card.id.bytes, 33);
    TAP_BYTES(owner->kem_pk.bytes, card.kem_pk.bytes, SES_KEM_PK_BYTES);
    TAP_TEXT("Zoë", card.name);
    ses_identity_free(owner);
}

static void test_card_damage(void)
{
    static const struct ses_card none;
    uint8_t bytes[SES_CARD_BYTES_MAX];
    struct ses_card card;
    struct ses_identity *owner = person(2);
    const size_t len = write_card(bytes, owner, "bob");
    const size_t name_at = SES_KEM_PK_BYTES + SES_DSA_PK_BYTES + 2;
    const size_t places[] = {0, 700, SES_KEM_PK_BYTES, name_at - 1, name_at, name_at + 3, len - 1};
    for (size_t i = 0; i < SES_COUNT(places); i++) {
        bytes[places[i]] ^= 1;
        TAP_OK(ses_card_read(&card, bytes, len) != SES_OK);
        TAP_BYTES(&none, &card, sizeof card);
        bytes[places[i]] ^= 1;
    }
    TAP_OK(ses_card_read(&card, bytes, len - 1) != SES_OK);
    TAP_OK(ses_card_read(&card, bytes, 0) != SES_OK);
    TAP_ERR(SES_OK, ses_card_read(&card, bytes, len));
    ses_identity_free(owner);
}

static void test_card_needs_its_owner(void)
{
    uint8_t bytes[SES_CARD_BYTES_MAX];
    struct ses_card card;
    struct ses_writer w;
    struct ses_identity *alice = person(3);
    struct ses_identity *eve = person(4);
    ses_card_of(&card, alice, "alice");
    ses_writer_init(&w, bytes, sizeof bytes);
    TAP_ERR(SES_ERR_INVALID, ses_card_write(&w, &card, eve, tap_random()));
    memcpy(card.name, "a\nb", 4);
    TAP_ERR(SES_ERR_INVALID, ses_card_write(&w, &card, alice, tap_random()));
    ses_identity_free(alice);
    ses_identity_free(eve);
}

static struct ses_record view(const struct ses_buf *buf)
{
    return (struct ses_record){buf->bytes, buf->bytes + SES_RECORD_HEADER_BYTES,
                               (uint32_t)(buf->len - SES_RECORD_HEADER_BYTES)};
}

static void test_card_record(void)
{
    const struct ses_hash other_chain = {{9}};
    struct ses_buf buf = {0};
    struct ses_card card;
    struct ses_record_ids ids;
    struct ses_identity *owner = person(5);
    struct ses_identity *eve = person(6);
    ses_card_of(&card, owner, "");
    TAP_MUST(ses_card_record(&buf, &card, owner, &chain, 1700000000123u, tap_random()) == SES_OK);
    struct ses_record record = view(&buf);
    TAP_ERR(SES_OK, ses_record_identify(&ids, &record));
    TAP_EQ((uint16_t)SES_NS_CARD, (uint16_t)ids.header.ns);
    TAP_EQ(4, ids.header.ttl_class);
    TAP_EQ(1700000000000u, ids.header.ts_ms);
    TAP_ERR(SES_OK, ses_card_from_record(&card, &record, &owner->id, &chain));
    TAP_BYTES(owner->id.bytes, card.id.bytes, 33);
    TAP_ERR(SES_ERR_SIGNATURE, ses_card_from_record(&card, &record, &eve->id, &chain));
    TAP_ERR(SES_ERR_SIGNATURE, ses_card_from_record(&card, &record, &owner->id, &other_chain));
    buf.bytes[buf.len - 1] ^= 1;
    TAP_OK(ses_card_from_record(&card, &record, &owner->id, &chain) != SES_OK);
    ses_buf_free(&buf);
    ses_identity_free(owner);
    ses_identity_free(eve);
}

static void test_names(void)
{
    char longest[SES_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[SES_NAME_MAX + 1] = 0;
    TAP_OK(!ses_name_valid(longest));
    longest[SES_NAME_MAX] = 0;
    TAP_OK(ses_name_valid(longest));
    TAP_OK(ses_name_valid(""));
    TAP_OK(ses_name_valid("日本 🙂"));
    TAP_OK(!ses_name_valid("\xff"));
    TAP_OK(!ses_name_valid("\xc0\x80"));         /* overlong */
    TAP_OK(!ses_name_valid("\xed\xa0\x80"));     /* surrogate */
    TAP_OK(!ses_name_valid("\xf4\x90\x80\x80")); /* above U+10FFFF */
    TAP_OK(!ses_name_valid("\xe2\x82"));         /* cut off */
    TAP_OK(!ses_name_valid("\x1b[2J"));
    TAP_OK(!ses_name_valid("\xc2\x9b"));
    TAP_OK(ses_file_name_valid("a.txt"));
    TAP_OK(!ses_file_name_valid(""));
    TAP_OK(!ses_file_name_valid(".."));
    TAP_OK(!ses_file_name_valid("../a"));
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    TAP_RUN(test_card_round_trip);
    TAP_RUN(test_card_damage);
    TAP_RUN(test_card_needs_its_owner);
    TAP_RUN(test_card_record);
    TAP_RUN(test_names);
    return tap_done();
}
