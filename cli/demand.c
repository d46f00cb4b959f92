/* session demand: whoever holds a node's receipt makes it show the record on chain, or pay. */
#include "cli/cli_internal.h"

#include <string.h>

#define FILE_BYTES_MAX ((size_t)SES_MEMBERS_MAX * SES_RECEIPT_BYTES_MAX)

static const char *outcome_name(enum ses_client_outcome outcome)
{
    switch (outcome) {
    case SES_CLIENT_DEMANDED:
        break;
    case SES_CLIENT_SHOWN:
        return "shown";
    case SES_CLIENT_MISSED:
        return "missed";
    case SES_CLIENT_UNJUDGED:
        return "unjudged";
    }
    return "waiting";
}

static void demand_print(const struct ses_client_demanded *d)
{
    char lux[32];
    ses_lux_text(lux, d->slashed);
    switch (d->outcome) {
    case SES_CLIENT_DEMANDED:
        printf("Demanded in block %llu: %s has to show the record in its response of the next "
               "epoch. With --wait this command tells how it ended.\n",
               (unsigned long long)d->height, d->node);
        break;
    case SES_CLIENT_SHOWN:
        printf("Shown: %s opened the record, or its owner's deletion, under its commitment.\n",
               d->node);
        break;
    case SES_CLIENT_MISSED:
        printf("Missed: %s did not show the record; it lost %s LUX of its stake%s.\n", d->node, lux,
               d->slashed == 0 ? " (forgiven in an outage, or no more can be taken)" : "");
        break;
    case SES_CLIENT_UNJUDGED:
        printf("Not judged: the chain had no block near the end of the epoch in which %s had to "
               "answer, makes no progress, or the node had just got another seat. Nothing is shown "
               "and nothing is paid: demand the record again.\n",
               d->node);
        break;
    }
}

static enum ses_err demand_json(struct cli *cli, const struct ses_client_demanded *d)
{
    char id[65];
    char record[65];
    ses_hex_encode(id, d->tx_id, sizeof d->tx_id);
    ses_hex_encode(record, d->id, sizeof d->id);
    return cli_print_json(cli, json_pack("{s:s,s:o,s:s,s:s,s:s,s:o,s:o}", "txId", id, "height",
                                         ses_json_u64(d->height), "nodeId", d->node, "id", record,
                                         "outcome", outcome_name(d->outcome), "epoch",
                                         d->accepted ? ses_json_u64(d->epoch) : json_null(),
                                         "slashed", ses_json_u64(d->slashed)));
}

struct paying {
    struct cli *cli;
    struct ses_identity *payer;
    bool failed; /* and the note says why */
};

static enum ses_err pay(void *cookie, const struct ses_identity **out)
{
    struct paying *p = cookie;
    const enum ses_err err = cli_signer(p->cli, &p->payer);
    p->failed = err != SES_OK;
    *out = p->payer;
    if (err == SES_OK) {
        cli_progress("Sending the demand ...");
    }
    return err;
}

static enum ses_err demand_run(struct cli *cli, const struct ses_client_demand *ask)
{
    struct paying paying = {.cli = cli};
    struct ses_client_demanded d;
    SES_TRY(ask->id != NULL ? cli_client(cli) : cli_client_make(cli));
    const int result = ses_client_demand_paid(cli->client, ask, pay, &paying, &d, &cli->why);
    ses_identity_free(paying.payer);
    if (paying.failed) {
        return (enum ses_err)result;
    }
    const enum ses_err err = cli_funds_hint(cli, cli_client_err(cli, result));
    if (err == SES_ERR_INVALID && ask->node == NULL) {
        return cli_fail(cli, err, "%.320s (--node NODEID)", cli->why.text);
    }
    if (d.height == 0) {
        return err; /* nothing is on chain */
    }
    if (!cli->json) {
        demand_print(&d);
    }
    SES_TRY(demand_json(cli, &d));
    return err;
}

enum ses_err cli_demand(struct cli *cli)
{
    struct ses_hash id;
    struct ses_buf bytes = {0};
    struct ses_client_demand ask = {.size = sizeof ask,
                                    .node = ses_config_get(cli->config, "node"),
                                    .wait = ses_config_flag(cli->config, "wait")};
    if (ses_hex_decode(id.bytes, sizeof id.bytes, cli->args[0]) == SES_OK) {
        ask.id = id.bytes;
    } else {
        const enum ses_err err = cli_read_file(cli, cli->args[0], FILE_BYTES_MAX, &bytes);
        if (err == SES_ERR_NOT_FOUND) {
            return cli_fail(cli, err,
                            "%.100s is neither a file with receipts nor the id of a message (64 "
                            "hex digits)",
                            cli->args[0]);
        }
        SES_TRY(err);
        ask.receipts = bytes.bytes;
        ask.receipts_bytes = bytes.len;
    }
    const enum ses_err err = demand_run(cli, &ask);
    ses_buf_free(&bytes);
    return err;
}

const struct ses_config_key cli_demand_keys[] = {
    {"node", NULL, "the node whose receipt is meant, if several signed", false},
    {"wait", "false", "until the node has shown the record, or missed", true},
    {"owner-file", NULL, "identity file that pays the fee (default: the profile's)", false},
    {0},
};
