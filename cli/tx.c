/* Signing, submitting and awaiting a transaction. */
#include "cli/cli_internal.h"

#include <string.h>
#include <time.h>

#define INCLUDE_WAIT_MS 60000u
#define POLL_MS 100u

enum ses_err cli_tx_terms(struct cli *cli, struct ses_rpc_client *chain,
                          const struct ses_account *account, uint64_t *nonce, uint64_t *fee)
{
    return ses_tx_terms(chain, account, nonce, fee, &cli->note);
}

enum ses_err cli_tx_submit(struct cli *cli, struct ses_rpc_client *chain,
                           const struct ses_tx_send *send, struct ses_hash *tx_id)
{
    return cli_funds_hint(cli, ses_tx_submit(chain, send, tx_id, &cli->note));
}

enum ses_err cli_funds_hint(struct cli *cli, enum ses_err err)
{
    char why[sizeof cli->note.text];
    if (err != SES_ERR_FUNDS || ses_config_get(cli->config, "owner-file") != NULL) {
        return err;
    }
    snprintf(why, sizeof why, "%s", cli->note.text);
    return cli_fail(cli, err,
                    "%.320s: send LUX to the account of session id show --json, or let another "
                    "pay with --owner-file FILE",
                    why);
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
