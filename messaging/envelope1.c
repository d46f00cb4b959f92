/* Envelope v1 (messaging page). hdr = record header 48 || outer 1100 is the AAD and, with the hash
 * of the recipient's key, the input of the key derivation: a ciphertext opens in one inbox, one
 * namespace, with one time, for one key. The signature stands inside, so that no node sees a
 * sender, and leaves the body out unless asked, so that a recipient cannot prove what was said. */
#include <string.h>

#include "messaging/messaging.h"

#define DAY_MS 86400000u
#define DERIVED_BYTES (32u + SES_AEAD_NONCE_BYTES)
#define SUITE_CUSTOM "session/env/v1"

struct key_nonce {
    struct ses_secret32 key;
    struct ses_nonce nonce;
};
_Static_assert(sizeof(struct key_nonce) == DERIVED_BYTES, "K || N");

/* K || N = KMAC256(ss, hdr || SHA3-256(ek), "session/env/v1", 56 bytes) */
static void derive(struct key_nonce *out, const struct ses_secret32 *ss, const uint8_t *hdr,
                   const struct ses_kem_pk *ek)
{
    struct ses_hash ek_hash;
    ses_sha3_256(&ek_hash, SES_PARTS(SES_PART(ek->bytes, sizeof ek->bytes)));
    ses_kmac256(out, sizeof *out, ss->bytes, sizeof ss->bytes,
                SES_PARTS(SES_PART(hdr, SES_ENVELOPE1_HDR_BYTES),
                          SES_PART(ek_hash.bytes, sizeof ek_hash.bytes)),
                SUITE_CUSTOM);
}

static void key_id_of(uint8_t out[8], const struct ses_kem_pk *ek)
{
    struct ses_hash hash;
    ses_blake3_hash(&hash, ek->bytes, sizeof ek->bytes);
    memcpy(out, hash.bytes, 8);
}

/* SHA3-512(hdr || key_mode || type || sender || recipient || sent_ms || uuid || [u32 len || body])
 */
static void statement(struct ses_hash64 *out, const uint8_t *hdr,
                      const struct ses_envelope1_inner *inner, const uint8_t recipient[32])
{
    uint8_t fixed[1 + 2 + 32 + 32 + 8 + 16];
    uint8_t body_len[4];
    struct ses_writer w;
    ses_writer_init(&w, fixed, sizeof fixed);
    ses_write_u8(&w, inner->key_mode);
    ses_write_u16(&w, inner->type);
    ses_write_bytes(&w, inner->sender.bytes, 32);
    ses_write_bytes(&w, recipient, 32);
    ses_write_u64(&w, inner->sent_ms);
    ses_write_bytes(&w, inner->uuid, sizeof inner->uuid);
    SES_ASSERT(w.err == SES_OK && w.len == sizeof fixed);
    ses_put_u32(body_len, inner->body_bytes);
    const bool with_body = (inner->key_mode & SES_KEY_MODE_BODY_SIGNED) != 0;
    ses_sha3_512(out,
                 SES_PARTS(SES_PART(hdr, SES_ENVELOPE1_HDR_BYTES), SES_PART(fixed, sizeof fixed),
                           SES_PART(body_len, with_body ? 4 : 0),
                           SES_PART(inner->body, with_body ? inner->body_bytes : 0)));
}

/* ---- seal ---- */

static enum ses_err check_message(const struct ses_seal1 *m)
{
    SES_REQUIRE(ses_ns_public_inbox(m->ns), SES_ERR_INVALID);
    SES_REQUIRE(m->ttl_class < SES_TTL_CLASS_CNT, SES_ERR_INVALID);
    SES_REQUIRE(m->body_bytes <= ses_envelope1_body_max(m->with_keys), SES_ERR_TOO_LARGE);
    return SES_OK;
}

/* Header and outer header into hdr, the shared secret out. */
static enum ses_err make_header(uint8_t *hdr, struct ses_secret32 *ss, const struct ses_seal1 *m,
                                uint8_t pad_class, uint64_t now_ms, const struct ses_random *random)
{
    struct ses_record_header header = {
        .kind = SES_RECORD_MESSAGE, .ns = m->ns, .ttl_class = m->ttl_class};
    struct ses_envelope1_outer outer = {.pad_class = pad_class};
    struct ses_kem_public *key = NULL;
    struct ses_kem_ct ct;
    struct ses_writer w;
    SES_TRY(ses_kem_public_new(&key, &m->to->kem_pk));
    const enum ses_err err = ses_kem_encaps(&ct, ss, key, random);
    ses_kem_public_free(key);
    SES_TRY(err);
    header.ts_ms = now_ms - now_ms % 1000;
    memcpy(header.inbox.bytes, m->to->id.bytes + 1, 32);
    ses_record_header_encode(hdr, &header);
    key_id_of(outer.kem_key_id, &m->to->kem_pk);
    outer.kem_ct = ct.bytes;
    ses_writer_init(&w, hdr + SES_RECORD_HEADER_BYTES, SES_ENVELOPE1_OUTER_BYTES);
    ses_envelope1_outer_write(&w, &outer);
    return ses_writer_done(&w);
}

/* The signed inner message and zero padding into `plain` of exactly `len` zeroed bytes. */
static enum ses_err make_inner(uint8_t *plain, size_t len, const uint8_t *hdr,
                               const struct ses_seal1 *m, uint64_t now_ms,
                               const struct ses_random *random)
{
    struct ses_envelope1_inner inner = {.type = m->type, .sent_ms = now_ms};
    struct ses_hash64 digest;
    struct ses_dsa_sig signature;
    struct ses_writer w;
    memcpy(inner.sender.bytes, m->from->id.bytes + 1, 32);
    memcpy(inner.uuid, m->uuid, sizeof inner.uuid);
    inner.key_mode = (uint8_t)((m->with_keys ? SES_KEY_MODE_KEYS : 0) |
                               (m->sign_body ? SES_KEY_MODE_BODY_SIGNED : 0));
    inner.dsa_pk = m->from->dsa_pk.bytes;
    inner.kem_pk = m->from->kem_pk.bytes;
    inner.body = m->body;
    inner.body_bytes = (uint32_t)m->body_bytes;
    statement(&digest, hdr, &inner, m->to->id.bytes + 1);
    SES_TRY(ses_sign(&signature, m->from->dsa, SES_DOMAIN_ENVELOPE, digest.bytes,
                     sizeof digest.bytes, random));
    inner.signature = signature.bytes;
    ses_writer_init(&w, plain, len);
    ses_envelope1_inner_write(&w, &inner);
    return ses_writer_done(&w);
}

enum ses_err ses_seal1(struct ses_buf *out, const struct ses_seal1 *m, uint64_t now_ms,
                       const struct ses_random *random)
{
    uint8_t pad_class;
    struct ses_secret32 ss = {0};
    struct key_nonce kn = {0};
    SES_TRY(check_message(m));
    SES_TRY(ses_pad_class_for(&pad_class, m->body_bytes, m->with_keys));
    const size_t payload = ses_pad_class_bytes(pad_class);
    const size_t plain_bytes = payload - SES_ENVELOPE1_OUTER_BYTES - SES_AEAD_TAG_BYTES;
    SES_TRY(ses_buf_reserve(out, SES_RECORD_HEADER_BYTES + payload));
    uint8_t *hdr = out->bytes + out->len;
    uint8_t *sealed = hdr + SES_ENVELOPE1_HDR_BYTES;
    memset(hdr, 0, SES_RECORD_HEADER_BYTES + payload);
    enum ses_err err = make_header(hdr, &ss, m, pad_class, now_ms, random);
    if (err != SES_OK) {
        goto out;
    }
    derive(&kn, &ss, hdr, &m->to->kem_pk);
    err = make_inner(sealed, plain_bytes, hdr, m, now_ms, random);
    if (err != SES_OK) {
        goto out;
    }
    err = ses_aead_seal(sealed, &kn.key, &kn.nonce, hdr, SES_ENVELOPE1_HDR_BYTES, sealed,
                        plain_bytes);
out:
    ses_wipe(&ss, sizeof ss);
    ses_wipe(&kn, sizeof kn);
    if (err != SES_OK) {
        ses_wipe(hdr, SES_RECORD_HEADER_BYTES + payload);
        return err;
    }
    out->len += SES_RECORD_HEADER_BYTES + payload;
    return SES_OK;
}

/* ---- open ---- */

/* Is this record addressed to `to` at all? Everything public is checked before any decryption. */
static enum ses_err check_record(const struct ses_identity *to, const struct ses_record *record,
                                 struct ses_record_header *header,
                                 struct ses_envelope1_outer *outer)
{
    uint8_t key_id[8];
    SES_TRY(ses_record_header_decode(header, record->header));
    SES_REQUIRE(header->kind == SES_RECORD_MESSAGE && ses_ns_public_inbox(header->ns),
                SES_ERR_OPEN);
    SES_REQUIRE(memcmp(header->inbox.bytes, to->id.bytes + 1, 32) == 0, SES_ERR_OPEN);
    SES_TRY(ses_envelope1_outer_read(outer, record->payload, record->payload_bytes));
    key_id_of(key_id, &to->kem_pk);
    SES_REQUIRE(memcmp(outer->kem_key_id, key_id, sizeof key_id) == 0, SES_ERR_OPEN);
    return SES_OK;
}

/* Opens the AEAD into `plain`. */
static enum ses_err decrypt(uint8_t *plain, const struct ses_identity *to, const uint8_t *hdr,
                            const struct ses_record *record,
                            const struct ses_envelope1_outer *outer)
{
    struct ses_kem_ct ct;
    struct ses_secret32 ss = {0};
    struct key_nonce kn = {0};
    memcpy(ct.bytes, outer->kem_ct, sizeof ct.bytes);
    enum ses_err err = ses_kem_decaps(&ss, to->kem, &ct);
    if (err == SES_OK) {
        derive(&kn, &ss, hdr, &to->kem_pk);
        err = ses_aead_open(plain, &kn.key, &kn.nonce, hdr, SES_ENVELOPE1_HDR_BYTES,
                            record->payload + SES_ENVELOPE1_OUTER_BYTES,
                            record->payload_bytes - SES_ENVELOPE1_OUTER_BYTES);
    }
    ses_wipe(&ss, sizeof ss);
    ses_wipe(&kn, sizeof kn);
    return err;
}

/* The sender's keys, shown or looked up, must be those of the sender's ID. */
static enum ses_err find_sender(struct ses_card *card, const struct ses_envelope1_inner *inner,
                                ses_find_card_fn *find_card, void *cookie)
{
    struct ses_session_id sender;
    sender.bytes[0] = 0x07;
    memcpy(sender.bytes + 1, inner->sender.bytes, 32);
    if (inner->key_mode & SES_KEY_MODE_KEYS) {
        memset(card, 0, sizeof *card);
        memcpy(card->dsa_pk.bytes, inner->dsa_pk, sizeof card->dsa_pk.bytes);
        memcpy(card->kem_pk.bytes, inner->kem_pk, sizeof card->kem_pk.bytes);
    } else {
        SES_REQUIRE(find_card != NULL, SES_ERR_NOT_FOUND);
        SES_TRY(find_card(cookie, &sender, card));
    }
    ses_session_id_of(&card->id, &card->kem_pk, &card->dsa_pk);
    SES_REQUIRE(memcmp(card->id.bytes, sender.bytes, sizeof sender.bytes) == 0, SES_ERR_OPEN);
    return SES_OK;
}

static bool near_in_time(uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) <= DAY_MS;
}

/* Checks the opened plaintext and fills everything but the body. */
static enum ses_err check_inner(struct ses_opened1 *out, const struct ses_identity *to,
                                const uint8_t *hdr, const struct ses_record_header *header,
                                const struct ses_envelope1_inner *inner,
                                ses_find_card_fn *find_card, void *cookie)
{
    struct ses_hash64 digest;
    struct ses_dsa_sig signature;
    SES_REQUIRE(near_in_time(inner->sent_ms, header->ts_ms), SES_ERR_OPEN);
    SES_TRY(find_sender(&out->sender_card, inner, find_card, cookie));
    statement(&digest, hdr, inner, to->id.bytes + 1);
    memcpy(signature.bytes, inner->signature, sizeof signature.bytes);
    SES_TRY(ses_verify(&out->sender_card.dsa_pk, SES_DOMAIN_ENVELOPE, digest.bytes,
                       sizeof digest.bytes, &signature));
    out->sender = out->sender_card.id;
    out->sent_ms = inner->sent_ms;
    out->ts_ms = header->ts_ms;
    memcpy(out->uuid, inner->uuid, sizeof out->uuid);
    out->type = inner->type;
    out->has_keys = (inner->key_mode & SES_KEY_MODE_KEYS) != 0;
    out->body_signed = (inner->key_mode & SES_KEY_MODE_BODY_SIGNED) != 0;
    return SES_OK;
}

static enum ses_err open1(struct ses_opened1 *out, uint8_t *plain, const struct ses_identity *to,
                          const struct ses_record *record, ses_find_card_fn *find_card,
                          void *cookie)
{
    struct ses_record_header header;
    struct ses_envelope1_outer outer;
    struct ses_envelope1_inner inner;
    uint8_t hdr[SES_ENVELOPE1_HDR_BYTES];
    SES_TRY(check_record(to, record, &header, &outer));
    memcpy(hdr, record->header, SES_RECORD_HEADER_BYTES);
    memcpy(hdr + SES_RECORD_HEADER_BYTES, record->payload, SES_ENVELOPE1_OUTER_BYTES);
    SES_TRY(decrypt(plain, to, hdr, record, &outer));
    SES_TRY(ses_envelope1_inner_read(
        &inner, plain, record->payload_bytes - SES_ENVELOPE1_OUTER_BYTES - SES_AEAD_TAG_BYTES));
    SES_TRY(check_inner(out, to, hdr, &header, &inner, find_card, cookie));
    return ses_buf_append(&out->body, inner.body, inner.body_bytes);
}

enum ses_err ses_open1(struct ses_opened1 *out, const struct ses_identity *to,
                       const struct ses_record *record, ses_find_card_fn *find_card, void *cookie)
{
    memset(out, 0, sizeof *out);
    SES_REQUIRE(record->payload_bytes <= SES_PAYLOAD_MAX, SES_ERR_OPEN);
    uint8_t *plain = ses_alloc(record->payload_bytes + 1u, 1);
    SES_REQUIRE(plain != NULL, SES_ERR_MEMORY);
    const enum ses_err err = open1(out, plain, to, record, find_card, cookie);
    ses_wipe(plain, record->payload_bytes);
    ses_free(plain);
    if (err != SES_OK) {
        ses_opened1_free(out);
        /* one answer for every way to fail: no oracle for whoever made the record */
        return err == SES_ERR_MEMORY ? err : SES_ERR_OPEN;
    }
    return SES_OK;
}

void ses_opened1_free(struct ses_opened1 *opened)
{
    if (opened->body.bytes != NULL) {
        ses_wipe(opened->body.bytes, opened->body.cap);
    }
    ses_buf_free(&opened->body);
    ses_wipe(opened, sizeof *opened);
}
