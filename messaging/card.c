/* Contact cards: the keys behind a Session ID. In a file they sign themselves; in the network they
 * are the body of an owned record, whose signature covers them. */
#include <string.h>

#include "messaging/messaging.h"

#define CARD_TTL_CLASS 4u /* 30 days */
/* What a stand-alone card signs: KEM pk, DSA pk, u16 length, name. */
#define STATEMENT_MAX (SES_KEM_PK_BYTES + SES_DSA_PK_BYTES + 2u + SES_NAME_MAX)
_Static_assert(SES_CARD_BYTES_MAX == STATEMENT_MAX + SES_DSA_SIG_BYTES, "card");

void ses_card_of(struct ses_card *out, const struct ses_identity *owner, const char *name)
{
    SES_ASSERT(ses_name_valid(name));
    memset(out, 0, sizeof *out);
    out->id = owner->id;
    out->kem_pk = owner->kem_pk;
    out->dsa_pk = owner->dsa_pk;
    memcpy(out->name, name, strlen(name));
}

static void write_name(struct ses_writer *w, const char *name)
{
    const size_t len = strnlen(name, SES_NAME_MAX);
    ses_write_u16(w, (uint16_t)len);
    ses_write_bytes(w, name, len);
}

static void read_name(struct ses_reader *r, char name[SES_NAME_MAX + 1])
{
    memset(name, 0, SES_NAME_MAX + 1);
    const uint16_t len = ses_read_u16(r);
    ses_reader_check(r, len <= SES_NAME_MAX, SES_ERR_TOO_LARGE);
    if (r->err == SES_OK) {
        ses_read_bytes(r, name, len);
    }
    ses_reader_check(r, strnlen(name, SES_NAME_MAX) == len && ses_name_valid(name),
                     SES_ERR_MALFORMED);
}

static void write_statement(struct ses_writer *w, const struct ses_card *card)
{
    ses_write_bytes(w, card->kem_pk.bytes, sizeof card->kem_pk.bytes);
    ses_write_bytes(w, card->dsa_pk.bytes, sizeof card->dsa_pk.bytes);
    write_name(w, card->name);
}

enum ses_err ses_card_write(struct ses_writer *w, const struct ses_card *card,
                            const struct ses_identity *owner, const struct ses_random *random)
{
    uint8_t bytes[STATEMENT_MAX];
    struct ses_writer statement;
    struct ses_dsa_sig signature;
    SES_REQUIRE(ses_name_valid(card->name), SES_ERR_INVALID);
    SES_REQUIRE(memcmp(card->id.bytes, owner->id.bytes, sizeof owner->id.bytes) == 0,
                SES_ERR_INVALID);
    ses_writer_init(&statement, bytes, sizeof bytes);
    write_statement(&statement, card);
    SES_TRY(ses_writer_done(&statement));
    SES_TRY(ses_sign(&signature, owner->dsa, SES_DOMAIN_CARD, bytes, statement.len, random));
    ses_write_bytes(w, bytes, statement.len);
    ses_write_bytes(w, signature.bytes, sizeof signature.bytes);
    return ses_writer_done(w);
}

/* FIPS 203 section 7.2: a key that fails the modulus check is no key. */
static enum ses_err check_kem(const struct ses_kem_pk *pk)
{
    struct ses_kem_public *key = NULL;
    const enum ses_err err = ses_kem_public_new(&key, pk);
    ses_kem_public_free(key);
    return err;
}

static enum ses_err card_parse(struct ses_card *card, const uint8_t *bytes, size_t len)
{
    struct ses_reader r;
    struct ses_dsa_sig signature;
    ses_reader_init(&r, bytes, len);
    ses_read_bytes(&r, card->kem_pk.bytes, sizeof card->kem_pk.bytes);
    ses_read_bytes(&r, card->dsa_pk.bytes, sizeof card->dsa_pk.bytes);
    read_name(&r, card->name);
    const size_t signed_bytes = len - r.left;
    ses_read_bytes(&r, signature.bytes, sizeof signature.bytes);
    SES_TRY(ses_reader_done(&r));
    SES_TRY(check_kem(&card->kem_pk));
    SES_TRY(ses_verify(&card->dsa_pk, SES_DOMAIN_CARD, bytes, signed_bytes, &signature));
    ses_session_id_of(&card->id, &card->kem_pk, &card->dsa_pk);
    return SES_OK;
}

enum ses_err ses_card_read(struct ses_card *card, const uint8_t *bytes, size_t len)
{
    memset(card, 0, sizeof *card);
    const enum ses_err err = card_parse(card, bytes, len);
    if (err != SES_OK) {
        memset(card, 0, sizeof *card);
    }
    return err;
}

enum ses_err ses_owned_record(struct ses_buf *out, int16_t ns, uint8_t ttl_class,
                              const uint8_t *body, size_t len, const struct ses_identity *owner,
                              const struct ses_hash *chain_id, uint64_t now_ms,
                              const struct ses_random *random)
{
    struct ses_record_header header = {
        .kind = SES_RECORD_MESSAGE, .ns = ns, .ttl_class = ttl_class};
    SES_REQUIRE(len <= SES_PAYLOAD_MAX - SES_OWNED_PREFIX_BYTES, SES_ERR_TOO_LARGE);
    header.ts_ms = now_ms - now_ms % 1000;
    memcpy(header.inbox.bytes, owner->id.bytes + 1, sizeof header.inbox.bytes);
    const size_t bytes = SES_RECORD_HEADER_BYTES + SES_OWNED_PREFIX_BYTES + len;
    SES_TRY(ses_buf_reserve(out, bytes));
    uint8_t *at = out->bytes + out->len;
    ses_record_header_encode(at, &header);
    SES_TRY(ses_record_sign_owned(at + SES_RECORD_HEADER_BYTES, at, chain_id, owner, body, len,
                                  random));
    out->len += bytes;
    return SES_OK;
}

enum ses_err ses_card_record(struct ses_buf *out, const struct ses_card *card,
                             const struct ses_identity *owner, const struct ses_hash *chain_id,
                             uint64_t now_ms, const struct ses_random *random)
{
    uint8_t body[2 + SES_NAME_MAX];
    struct ses_writer w;
    SES_REQUIRE(ses_name_valid(card->name), SES_ERR_INVALID);
    ses_writer_init(&w, body, sizeof body);
    write_name(&w, card->name);
    SES_TRY(ses_writer_done(&w));
    return ses_owned_record(out, SES_NS_CARD, CARD_TTL_CLASS, body, w.len, owner, chain_id, now_ms,
                            random);
}

static enum ses_err card_of_payload(struct ses_card *card, const struct ses_record *record)
{
    struct ses_reader r;
    ses_reader_init(&r, record->payload, record->payload_bytes);
    ses_read_bytes(&r, card->kem_pk.bytes, sizeof card->kem_pk.bytes);
    ses_read_bytes(&r, card->dsa_pk.bytes, sizeof card->dsa_pk.bytes);
    (void)ses_read_view(&r, SES_DSA_SIG_BYTES); /* ses_record_check_owner checked it */
    read_name(&r, card->name);
    SES_TRY(ses_reader_done(&r));
    SES_TRY(check_kem(&card->kem_pk));
    ses_session_id_of(&card->id, &card->kem_pk, &card->dsa_pk);
    return SES_OK;
}

static enum ses_err from_record(struct ses_card *card, const struct ses_record *record,
                                const struct ses_session_id *want, const struct ses_hash *chain_id)
{
    struct ses_record_ids ids;
    SES_TRY(ses_record_identify(&ids, record));
    SES_REQUIRE(ids.header.kind == SES_RECORD_MESSAGE && ids.header.ns == SES_NS_CARD,
                SES_ERR_MALFORMED);
    SES_REQUIRE(memcmp(ids.header.inbox.bytes, want->bytes + 1, 32) == 0, SES_ERR_SIGNATURE);
    const enum ses_err owned = ses_record_check_owner(record, &ids, chain_id);
    SES_REQUIRE(owned != SES_ERR_UNAUTHORISED, SES_ERR_SIGNATURE);
    SES_TRY(owned);
    SES_TRY(card_of_payload(card, record));
    SES_REQUIRE(memcmp(card->id.bytes, want->bytes, sizeof want->bytes) == 0, SES_ERR_SIGNATURE);
    return SES_OK;
}

enum ses_err ses_card_from_record(struct ses_card *card, const struct ses_record *record,
                                  const struct ses_session_id *want,
                                  const struct ses_hash *chain_id)
{
    memset(card, 0, sizeof *card);
    const enum ses_err err = from_record(card, record, want, chain_id);
    if (err != SES_OK) {
        memset(card, 0, sizeof *card);
    }
    return err;
}
