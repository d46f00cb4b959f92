/* Signatures of transactions: chain_id || version .. end of body. */
#include "protocol/protocol_internal.h"
#include "protocol/tx.h"

/* The longest body: ChallengeResponse, behind which its auth follows. */
#define BODY_BYTES_MAX (SES_RESPONSE_TX_BYTES_MAX - 21u - SES_DSA_SIG_BYTES)
#define MESSAGE_BYTES_MAX (32u + BODY_BYTES_MAX)

static enum ses_err message_of(uint8_t out[MESSAGE_BYTES_MAX], const struct ses_hash *chain_id,
                               const uint8_t *body, size_t body_len)
{
    SES_REQUIRE(body_len >= 2 && body_len <= BODY_BYTES_MAX, SES_ERR_INVALID);
    memcpy(out, chain_id->bytes, 32);
    memcpy(out + 32, body, body_len);
    return SES_OK;
}

static void signer_of(uint8_t out[20], enum ses_auth_kind kind, const struct ses_dsa_pk *pk)
{
    struct ses_account account;
    struct ses_node_id node_id;
    if (kind == SES_AUTH_NODE) {
        ses_node_id_of(&node_id, pk);
        memcpy(out, node_id.bytes, 20);
    } else {
        ses_account_of(&account, pk);
        memcpy(out, account.bytes, 20);
    }
}

/* The key that `auth` must be checked with. */
static enum ses_err key_of(struct ses_dsa_pk *pk, const struct ses_tx *tx,
                           const struct ses_auth *auth, const struct ses_dsa_pk *known)
{
    switch (auth->kind) {
    case SES_AUTH_KNOWN:
        SES_REQUIRE(known != NULL, SES_ERR_NOT_FOUND);
        *pk = *known;
        return SES_OK;
    case SES_AUTH_FIRST:
        memcpy(pk->bytes, auth->public_key, sizeof pk->bytes);
        return SES_OK;
    case SES_AUTH_NODE:
        SES_REQUIRE(tx->type == SES_TX_REGISTER || known != NULL, SES_ERR_NOT_FOUND);
        *pk = tx->type == SES_TX_REGISTER ? tx->body.reg.public_key : *known;
        return SES_OK;
    }
    return SES_ERR_INVALID;
}

enum ses_err ses_tx_verify(const struct ses_tx *tx, const struct ses_hash *chain_id,
                           const struct ses_dsa_pk *known)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    SES_TRY(message_of(message, chain_id, tx->bytes, tx->signed_len));
    for (unsigned i = 0; i < tx->auth_cnt; i++) {
        struct ses_dsa_pk pk;
        struct ses_dsa_sig signature;
        uint8_t signer[20];
        SES_TRY(key_of(&pk, tx, &tx->auth[i], known));
        signer_of(signer, tx->auth[i].kind, &pk);
        SES_REQUIRE(memcmp(signer, tx->auth[i].signer, sizeof signer) == 0, SES_ERR_SIGNATURE);
        memcpy(signature.bytes, tx->auth[i].signature, sizeof signature.bytes);
        SES_TRY(ses_verify(&pk, SES_DOMAIN_TX, message, 32 + tx->signed_len, &signature));
    }
    return SES_OK;
}

enum ses_err ses_tx_sign(struct ses_writer *w, const struct ses_hash *chain_id, const uint8_t *body,
                         size_t body_len, enum ses_auth_kind kind,
                         const struct ses_dsa_private *key, const struct ses_random *random)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct ses_dsa_pk pk;
    struct ses_dsa_sig signature;
    uint8_t signer[20];
    SES_TRY(ses_writer_done(w));
    SES_TRY(message_of(message, chain_id, body, body_len));
    ses_dsa_private_pk(key, &pk);
    signer_of(signer, kind, &pk);
    SES_TRY(ses_sign(&signature, key, SES_DOMAIN_TX, message, 32 + body_len, random));
    ses_write_u8(w, (uint8_t)kind);
    ses_write_bytes(w, signer, sizeof signer);
    if (kind == SES_AUTH_FIRST) {
        ses_write_bytes(w, pk.bytes, sizeof pk.bytes);
    }
    ses_write_bytes(w, signature.bytes, sizeof signature.bytes);
    return ses_writer_done(w);
}
