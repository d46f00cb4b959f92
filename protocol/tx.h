/* Transactions and blocks (registry page). Bytes: u8 version=1, u8 type, body, auth. */
#ifndef SES_PROTOCOL_TX_H
#define SES_PROTOCOL_TX_H

#include "protocol/duty.h"
#include "protocol/receipt.h"

/* "12.5" of 12500000000 nLUX, as commands take it. */
#define SES_LUX_TEXT_MAX 32u
void ses_lux_text(char out[SES_LUX_TEXT_MAX], uint64_t nlux);

#define SES_TX_VERSION 1u
#define SES_TX_BYTES_MAX 32768u
#define SES_RESPONSE_TX_BYTES_MAX 28672u /* ChallengeResponse, all of it */
enum ses_tx_type {
    SES_TX_TRANSFER = 1,
    SES_TX_REGISTER = 2,
    SES_TX_TOP_UP = 3,
    SES_TX_DECOMMISSION = 4,
    SES_TX_COMMITMENT = 5,
    SES_TX_RESPONSE = 6,
    SES_TX_ROTATE_KEY = 7,
    SES_TX_ENDPOINT = 8,
    SES_TX_DEMAND = 9,
};
/* Types 5 to 8: a node signs with its own key and pays nothing. */
static inline bool ses_tx_by_node(enum ses_tx_type type)
{
    return type >= SES_TX_COMMITMENT && type <= SES_TX_ENDPOINT;
}
enum ses_auth_kind { SES_AUTH_KNOWN = 0, SES_AUTH_FIRST = 1, SES_AUTH_NODE = 2 };
struct ses_auth {
    enum ses_auth_kind kind;
    uint8_t signer[20];        /* account or node id */
    const uint8_t *public_key; /* view, SES_AUTH_FIRST only, else NULL */
    const uint8_t *signature;  /* view */
};
struct ses_tx_transfer {
    struct ses_account to;
    uint64_t amount, nonce, fee;
};
struct ses_tx_register {
    struct ses_account owner;
    struct ses_node_id node_id;
    struct ses_dsa_pk public_key;
    struct ses_kem_pk encryption_key;
    uint64_t stake, capacity;
    struct ses_endpoint endpoint;
    uint64_t nonce, fee;
};
struct ses_tx_top_up {
    struct ses_node_id node_id;
    uint64_t amount, nonce, fee;
};
struct ses_tx_decommission {
    struct ses_node_id node_id;
    uint64_t nonce, fee;
};
struct ses_tx_commitment {
    struct ses_node_id node_id;
    uint64_t epoch;
    uint32_t swarm;
    struct ses_hash root;
    uint64_t count, bytes;
    struct ses_hash reveal, next; /* next = ses_reveal_commit of the following reveal */
};
/* `openings` ascend by index. What the proof and they show: ses_response_check (swarm). */
struct ses_tx_response {
    struct ses_node_id node_id;
    uint64_t epoch;
    uint64_t free, used; /* bytes of the node's disk */
    uint8_t verdict_cnt; /* bytes */
    uint8_t verdicts[SES_VERDICT_BYTES_MAX];
    uint32_t proof_len;
    const uint8_t *proof; /* view; of the root of epoch - 1, empty where nothing is opened */
    uint8_t opening_cnt;
    struct ses_opening openings[SES_OWED_MAX]; /* chunks are views */
};
struct ses_tx_rotate_key {
    struct ses_node_id node_id;
    struct ses_kem_pk encryption_key;
    uint64_t key_epoch;
};
struct ses_tx_endpoint {
    struct ses_node_id node_id;
    uint64_t sequence; /* unix seconds */
    struct ses_endpoint endpoint;
};
struct ses_tx_demand {
    struct ses_receipt receipt;
    uint64_t nonce, fee;
};

/* A decoded transaction; views point into `bytes`, which the caller keeps. */
struct ses_tx {
    const uint8_t *bytes;
    size_t len;
    size_t signed_len; /* version .. end of body */
    enum ses_tx_type type;
    union {
        struct ses_tx_transfer transfer;
        struct ses_tx_register reg;
        struct ses_tx_top_up top_up;
        struct ses_tx_decommission decommission;
        struct ses_tx_commitment commitment;
        struct ses_tx_response response;
        struct ses_tx_rotate_key rotate_key;
        struct ses_tx_endpoint endpoint;
        struct ses_tx_demand demand;
    } body;
    uint8_t auth_cnt; /* 2 for register (owner, then node), else 1 */
    struct ses_auth auth[2];
    struct ses_hash id; /* SHA-256 of all bytes */
};
/* Structure only; signatures and rules are the vm's. Accepted bytes re-encode identically. Errors:
 * SES_ERR_VERSION (another version or an unknown type), SES_ERR_MALFORMED, SES_ERR_TRUNCATED,
 * SES_ERR_TOO_LARGE, SES_ERR_NOT_OWNER (register: the first signer is not `owner`). */
SES_CHECKED enum ses_err ses_tx_decode(struct ses_tx *tx, const uint8_t *bytes, size_t len);
/* The same where the id was computed before from these bytes: hashing is most of the work. */
SES_CHECKED enum ses_err ses_tx_decode_known(struct ses_tx *tx, const uint8_t *bytes, size_t len,
                                             const struct ses_hash *id);
/* The node that a transaction is about; false for a transfer. For types 5 to 8 it is the signer. */
bool ses_tx_node(const struct ses_tx *tx, struct ses_node_id *node_id);
/* nonce and fee of the paying account; false for types without. */
bool ses_tx_payment(const struct ses_tx *tx, struct ses_account *payer, uint64_t *nonce,
                    uint64_t *fee);
/* Verifies every auth: with the key found in the transaction itself, or with `known` for
 * SES_AUTH_KNOWN and for the node's auth of types 5 to 8. The receipt of a demand is the caller's
 * to verify (ses_receipt_verify). The signer must be the account or node id of the key.
 * SES_ERR_SIGNATURE; SES_ERR_NOT_FOUND if `known` is needed and NULL. One ML-DSA verification for
 * each auth. */
SES_CHECKED enum ses_err ses_tx_verify(const struct ses_tx *tx, const struct ses_hash *chain_id,
                                       const struct ses_dsa_pk *known);
/* Build: version, type, body of `tx` (type and body set) into `w`; then one auth for each signer.
 */
void ses_tx_write_body(struct ses_writer *w, const struct ses_tx *tx);
/* Appends an auth over the body bytes body[0..body_len). kind FIRST writes the public key. */
SES_CHECKED enum ses_err ses_tx_sign(struct ses_writer *w, const struct ses_hash *chain_id,
                                     const uint8_t *body, size_t body_len, enum ses_auth_kind kind,
                                     const struct ses_dsa_private *key,
                                     const struct ses_random *random);
const char *ses_tx_type_text(enum ses_tx_type type); /* "transfer", ... */

#define SES_BLOCK_HEADER_BYTES 83u
#define SES_BLOCK_TXS_MAX 65535u
struct ses_block {
    struct ses_hash parent;
    uint64_t height;
    uint64_t timestamp; /* unix seconds */
    struct ses_hash state_root;
    uint16_t tx_cnt;
    struct ses_hash id; /* SHA-256 of all bytes */
};
void ses_block_write_header(struct ses_writer *w, const struct ses_block *block);
/* Decodes the header and proves that exactly tx_cnt transactions fill the rest; then iterate. */
SES_CHECKED enum ses_err ses_block_decode(struct ses_block *block, const uint8_t *bytes, size_t len,
                                          uint64_t block_max_bytes);
/* Next transaction's bytes; `r` starts behind the header (ses_reader_init(bytes + 83, len - 83)).
 */
const uint8_t *ses_block_next_tx(struct ses_reader *r, size_t *tx_len);

#endif
