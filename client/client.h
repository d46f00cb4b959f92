/* client: libsession, the messaging of one person over the network. Blocking calls on a loop of
 * their own; one profile directory holds everything that must survive.
 *
 *     session.h (public, installed)      open, identity, cards, send, receive, watch
 *     client.h  (this door, in the tree) + what the `session` program needs besides
 *
 * Public functions return numbers of enum ses_client_err, which are those of enum ses_err:
 * `(enum ses_err)ses_client_send(...)` is safe (client/errors.c asserts it).
 */
#ifndef SES_CLIENT_CLIENT_H
#define SES_CLIENT_CLIENT_H

#include "client/session.h"
#include "messaging/messaging.h"
#include "network/network.h"
#include "rpc/rpc.h"

/* The unlocked identity (unlocks, asking the configured callback); borrowed until lock or close. It
 * also signs chain transactions: identity->dsa, identity->account. */
SES_CHECKED enum ses_err ses_client_identity(struct ses_client *client,
                                             const struct ses_identity **out,
                                             struct ses_client_note *note);

/* ---- transactions ---- */
struct ses_tx_send {
    struct ses_tx tx;
    const struct ses_identity *signer;
    const uint8_t *node_auth; /* of a registration: the node's own auth; NULL without */
    size_t node_auth_len;
};
/* The nonce and fee that the next transaction of `account` takes. */
SES_CHECKED enum ses_err ses_tx_terms(struct ses_rpc_client *chain,
                                      const struct ses_account *account, uint64_t *nonce,
                                      uint64_t *fee, struct ses_note *note);
/* Signs as the signer (showing its key), adds the node's auth if there is one, submits. */
SES_CHECKED enum ses_err ses_tx_submit(struct ses_rpc_client *chain, const struct ses_tx_send *send,
                                       struct ses_hash *tx_id, struct ses_note *note);
/* ses_client_demand with another account that pays, asked for once the receipt is found and good;
 * NULL: the client's identity. */
typedef enum ses_err ses_payer_fn(void *cookie, const struct ses_identity **out);
SES_CLIENT_CHECKED int ses_client_demand_paid(struct ses_client *client,
                                              const struct ses_client_demand *ask,
                                              ses_payer_fn *payer, void *cookie,
                                              struct ses_client_demanded *out,
                                              struct ses_client_note *note);

/* ---- receipts in files: one after the other, as they travel ---- */
typedef enum ses_err ses_receipt_fn(void *cookie, const struct ses_receipt *receipt);
/* At most SES_MEMBERS_MAX; no signature is checked. ERR_MALFORMED, or what `fn` returns. */
SES_CHECKED enum ses_err ses_receipts_parse(const uint8_t *bytes, size_t len, ses_receipt_fn *fn,
                                            void *cookie);
/* Those kept in the profile for a record, checked when they were kept; ERR_NOT_FOUND. */
SES_CHECKED enum ses_err ses_receipts_read(const struct ses_client *client,
                                           const struct ses_hash *id, ses_receipt_fn *fn,
                                           void *cookie, struct ses_note *note);

/* ---- secrets in files, mode 0600, written to a temporary file, synced, renamed ---- */
/* Vault file with `secret` and `shown` (NULL: nothing) in the clear; `passphrase` NULL or "":
 * unencrypted, marked so. ERR_EXISTS unless `replace`. */
SES_CHECKED enum ses_err ses_vault_file_write(const char *path, enum ses_vault_kind kind,
                                              const void *secret, size_t len,
                                              const struct ses_part *shown, const char *passphrase,
                                              bool replace, struct ses_note *note);
/* *len in: capacity, out: length. ERR_NOT_FOUND; ERR_PERMISSION if others may read the file;
 * ERR_INVALID if a passphrase is needed and none is given; ERR_PASSPHRASE. */
SES_CHECKED enum ses_err ses_vault_file_read(const char *path, enum ses_vault_kind kind,
                                             void *secret, size_t *len, const char *passphrase,
                                             struct ses_note *note);

/* What an identity file shows of its owner without a passphrase; ERR_NOT_FOUND if it does not. */
SES_CHECKED enum ses_err ses_identity_file_shown(const char *path, struct ses_session_id *id,
                                                 struct ses_account *account,
                                                 struct ses_note *note);
/* A new identity file. */
SES_CHECKED enum ses_err ses_identity_file_write(const char *path,
                                                 const struct ses_identity *identity,
                                                 const char *passphrase, bool replace,
                                                 struct ses_note *note);
/* Who owns the profile: from the file if that shows it, else it is unlocked. */
SES_CHECKED enum ses_err ses_client_owner(struct ses_client *client, struct ses_session_id *id,
                                          struct ses_account *account, struct ses_note *note);

#endif
