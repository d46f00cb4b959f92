/* Signing, submitting and awaiting a transaction. */
#include "cli/cli_internal.h"

#include <string.h>
#include <time.h>

#define INCLUDE_WAIT_MS 60000u
#define POLL_MS 100u

enum ses_err cli_tx_terms(struct cli *cli, struct ses_rpc_client *chain,
                          const struct ses_account *account, uint64_t *nonce, uint64_t *fee)
{
    struct ses_chain_params params;
    struct ses_chain_account state;
    SES_TRY(ses_chain_get_params(chain, &params, &cli->note));
    SES_TRY(ses_chain_get_account(chain, account, &state, &cli->note));
    *nonce = state.pending_nonce + 1;
    *fee = params.params.tx_fee;
    return SES_OK;
}

static enum ses_err tx_encode(const struct cli_tx *send, const struct ses_hash *chain_id,
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

enum ses_err cli_tx_wait(struct cli *cli, struct ses_rpc_client *chain,
                         const struct ses_hash *tx_id, uint64_t *height)
{
    const uint64_t until = ses_mono_ms() + INCLUDE_WAIT_MS;
    cli_progress("Waiting for the transaction to be in a block ...");
    while (ses_mono_ms() < until) {
        const enum ses_err err = ses_chain_get_tx_height(chain, tx_id, height, &cli->note);
        if (err != SES_ERR_NOT_FOUND) {
            return err;
        }
        const struct timespec pause = {0, (long)POLL_MS * 1000000};
        nanosleep(&pause, NULL);
    }
    char id[65];
    ses_hex_encode(id, tx_id->bytes, 32);
    return cli_fail(cli, SES_ERR_TIMEOUT,
                    "transaction %s was accepted by the node but is in no block after %u s; look "
                    "for it later with: session tx %s",
                    id, INCLUDE_WAIT_MS / 1000, id);
}

enum ses_err cli_tx_done(struct cli *cli, const struct ses_hash *tx_id, uint64_t height)
{
    char id[65];
    ses_hex_encode(id, tx_id->bytes, 32);
    if (!cli->json) {
        printf("Done: transaction %s is in block %llu.\n", id, (unsigned long long)height);
    }
    return cli_print_json(cli, json_pack("{s:s,s:o}", "txId", id, "height", ses_json_u64(height)));
}

enum ses_err cli_tx_submit(struct cli *cli, struct ses_rpc_client *chain, const struct cli_tx *send,
                           struct ses_hash *tx_id)
{
    struct ses_chain_params params;
    SES_TRY(ses_chain_get_params(chain, &params, &cli->note));
    uint8_t *bytes = ses_alloc(SES_TX_BYTES_MAX, 1);
    SES_REQUIRE(bytes != NULL, SES_ERR_MEMORY);
    struct ses_writer w;
    ses_writer_init(&w, bytes, SES_TX_BYTES_MAX);
    enum ses_err err = tx_encode(send, &params.chain_id, &w);
    if (err == SES_OK) {
        err = ses_chain_submit(chain, bytes, w.len, tx_id, &cli->note);
    }
    ses_free(bytes);
    return err;
}
