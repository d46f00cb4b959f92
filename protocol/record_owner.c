/* Records that only the owner of an inbox may write: keys and a signature before the body. */
#include "protocol/delete.h"
#include "protocol/protocol_internal.h"

#define STATEMENT_BYTES (32u + SES_RECORD_HEADER_BYTES + 32u)

/* chain_id || header || BLAKE3(rest) */
static void statement_of(uint8_t out[STATEMENT_BYTES], const struct ses_hash *chain_id,
                         const uint8_t *header, const uint8_t *body, size_t len)
{
    struct ses_hash rest;
    ses_blake3_hash(&rest, body, len);
    memcpy(out, chain_id->bytes, 32);
    memcpy(out + 32, header, SES_RECORD_HEADER_BYTES);
    memcpy(out + 32 + SES_RECORD_HEADER_BYTES, rest.bytes, 32);
}

enum ses_err ses_record_check_owner(const struct ses_record *record,
                                    const struct ses_record_ids *ids,
                                    const struct ses_hash *chain_id)
{
    if (ids->header.kind == SES_RECORD_TOMBSTONE) {
        struct ses_delete statement;
        SES_TRY(ses_delete_of_record(&statement, record));
        return ses_delete_verify(&statement, chain_id);
    }
    if (ses_ns_public_inbox(ids->header.ns)) {
        return SES_OK; /* anybody may write there */
    }
    struct ses_kem_pk kem;
    struct ses_dsa_pk dsa;
    struct ses_dsa_sig signature;
    struct ses_session_id owner;
    struct ses_reader r;
    ses_reader_init(&r, record->payload, record->payload_bytes);
    ses_read_bytes(&r, kem.bytes, sizeof kem.bytes);
    ses_read_bytes(&r, dsa.bytes, sizeof dsa.bytes);
    ses_read_bytes(&r, signature.bytes, sizeof signature.bytes);
    SES_REQUIRE(r.err == SES_OK, SES_ERR_MALFORMED);
    ses_session_id_of(&owner, &kem, &dsa);
    SES_REQUIRE(memcmp(owner.bytes + 1, ids->header.inbox.bytes, 32) == 0, SES_ERR_UNAUTHORISED);
    uint8_t message[STATEMENT_BYTES];
    statement_of(message, chain_id, record->header, r.at, r.left);
    return ses_verify(&dsa, SES_DOMAIN_RECORD, message, sizeof message, &signature);
}

enum ses_err ses_record_sign_owned(uint8_t *out, const uint8_t header[48],
                                   const struct ses_hash *chain_id,
                                   const struct ses_identity *owner, const uint8_t *body,
                                   size_t len, const struct ses_random *random)
{
    SES_REQUIRE(len <= SES_PAYLOAD_MAX - SES_OWNED_PREFIX_BYTES, SES_ERR_TOO_LARGE);
    uint8_t message[STATEMENT_BYTES];
    struct ses_dsa_sig signature;
    statement_of(message, chain_id, header, body, len);
    SES_TRY(ses_sign(&signature, owner->dsa, SES_DOMAIN_RECORD, message, sizeof message, random));
    struct ses_writer w;
    ses_writer_init(&w, out, SES_OWNED_PREFIX_BYTES + len);
    ses_write_bytes(&w, owner->kem_pk.bytes, sizeof owner->kem_pk.bytes);
    ses_write_bytes(&w, owner->dsa_pk.bytes, sizeof owner->dsa_pk.bytes);
    ses_write_bytes(&w, signature.bytes, sizeof signature.bytes);
    ses_write_bytes(&w, body, len);
    return ses_writer_done(&w);
}
