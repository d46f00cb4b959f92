/* Signing, submitting and awaiting a transaction. */
#include <string.h>

#include "client/client_internal.h"

#define INCLUDE_WAIT_MS 60000u
#define POLL_MS 100u

enum ses_err ses_tx_terms(struct ses_rpc_client *chain, const struct ses_account *account,
                          uint64_t *nonce, uint64_t *fee, struct ses_note *note)
{
    struct ses_chain_params params;
    struct ses_chain_account state;
    SES_TRY(ses_chain_get_params(chain, &params, note));
    SES_TRY(ses_chain_get_account(chain, account, &state, note));
    *nonce = state.pending_nonce + 1;
    *fee = params.params.tx_fee;
    return SES_OK;
}

static enum ses_err encode(const struct ses_tx_send *send, const struct ses_hash *chain_id,
                           struct ses_writer *w)
{
    ses_tx_write_body(w, &send->tx);
    const size_t body_len = w->len;
    SES_TRY(ses_tx_sign(w, chain_id, w->bytes, body_len, SES_AUTH_FIRST, send->signer->dsa,
                        ses_random_system()));
    if (send->node_auth != NULL) {
        ses_write_bytes(w, send->node_auth, send->node_auth_len);
    }
    return ses_writer_done(w);
}

enum ses_err ses_tx_submit(struct ses_rpc_client *chain, const struct ses_tx_send *send,
                           struct ses_hash *tx_id, struct ses_note *note)
{
    struct ses_chain_params params;
    SES_TRY(ses_chain_get_params(chain, &params, note));
    uint8_t *bytes = ses_alloc(SES_TX_BYTES_MAX, 1);
    SES_REQUIRE(bytes != NULL, SES_ERR_MEMORY);
    struct ses_writer w;
    ses_writer_init(&w, bytes, SES_TX_BYTES_MAX);
    enum ses_err err = encode(send, &params.chain_id, &w);
    if (err == SES_OK) {
        err = ses_chain_submit(chain, bytes, w.len, tx_id, note);
    }
    ses_free(bytes);
    return err;
}
