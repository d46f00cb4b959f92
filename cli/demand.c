/* session demand: whoever holds a node's receipt makes it show the record on chain, or pay. */
#include "cli/cli_internal.h"

#include <string.h>
#include <time.h>

#define FILE_BYTES_MAX ((size_t)SES_MEMBERS_MAX * SES_RECEIPT_BYTES_MAX)
#define POLL_MS 500u
#define WAIT_EPOCHS 4u /* accepted in e, answered in e + 1, judged in e + 2 */

/* ---- which receipt ---- */
struct choice {
    bool any;
    struct ses_node_id node; /* wanted, if not any */
    unsigned cnt;            /* that fit */
    struct ses_receipt receipt;
    char nodes[300]; /* names, for the person to choose from */
};

static enum ses_err choose(void *cookie, const struct ses_receipt *receipt)
{
    struct choice *c = cookie;
    char text[SES_ID_TEXT_MAX];
    const size_t used = strlen(c->nodes);
    ses_node_id_text(text, &receipt->node_id);
    if (c->any || ses_equal(&c->node, &receipt->node_id, sizeof c->node)) {
        c->receipt = *receipt;
        c->cnt++;
    }
    snprintf(c->nodes + used, sizeof c->nodes - used, "%s%s", used > 0 ? ", " : "", text);
    return SES_OK;
}

static enum ses_err read_receipts(struct cli *cli, const char *from, struct choice *c)
{
    struct ses_hash id;
    if (ses_hex_decode(id.bytes, sizeof id.bytes, from) == SES_OK) {
        SES_TRY(cli_client(cli));
        const enum ses_err err = ses_receipts_read(cli->client, &id, choose, c, &cli->note);
        if (err == SES_ERR_NOT_FOUND) {
            return cli_fail(cli, err,
                            "this profile holds no receipt for %.64s: they are kept for messages "
                            "that it sent and for what session verify found",
                            from);
        }
        return err;
    }
    struct ses_buf bytes = {0};
    enum ses_err err = cli_read_file(cli, from, FILE_BYTES_MAX, &bytes);
    if (err == SES_OK && ses_receipts_parse(bytes.bytes, bytes.len, choose, c) != SES_OK) {
        err = cli_fail(cli, SES_ERR_MALFORMED, "%.200s holds no receipts", from);
    }
    ses_buf_free(&bytes);
    return err;
}

static enum ses_err receipt_find(struct cli *cli, struct ses_receipt *out)
{
    const char *node = ses_config_get(cli->config, "node");
    struct choice c = {.any = node == NULL};
    if (node != NULL && ses_node_id_parse(&c.node, node) != SES_OK) {
        return cli_fail(cli, SES_ERR_INVALID, "--node is a node id: NodeID-...");
    }
    SES_TRY(read_receipts(cli, cli->args[0], &c));
    if (c.cnt == 0) {
        return cli_fail(cli, SES_ERR_NOT_FOUND, "no receipt of that node is there; signed by: %s",
                        c.nodes);
    }
    if (c.cnt > 1) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "several nodes signed: say which with --node. Signed by: %s", c.nodes);
    }
    *out = c.receipt;
    return SES_OK;
}

/* ---- what became of it ---- */
enum outcome {
    OUTCOME_WAITING, /* accepted; the node's answer is not due yet */
    OUTCOME_SHOWN,
    OUTCOME_MISSED,
    OUTCOME_UNJUDGED, /* the chain stood still: nobody was judged */
};
struct demand {
    struct cli *cli;
    struct ses_rpc_client *chain;
    struct ses_receipt receipt;
    struct ses_hash tx_id;
    uint64_t height;
    bool accepted;
    uint64_t epoch; /* of acceptance; the answer is due in the next one */
    struct ses_chain_challenges challenges;
    enum outcome outcome;
    uint64_t slashed;
};

static bool is_ours(const struct demand *d, const struct ses_owed *owed)
{
    return owed->kind == SES_OWED_DEMAND &&
           ses_equal(owed->key.bytes, d->receipt.leaf.digest.bytes, 32) &&
           ses_equal(owed->key.bytes + 32, d->receipt.leaf.id.bytes, 32);
}

/* Index of our demand in a list; its length if it is not there. */
static uint32_t find(const struct demand *d, const struct ses_owed *list, uint32_t cnt)
{
    uint32_t i = 0;
    while (i < cnt && !is_ours(d, &list[i])) {
        i++;
    }
    return i;
}

static void look_back(struct demand *d)
{
    const struct ses_chain_challenges *c = &d->challenges;
    d->outcome = OUTCOME_SHOWN; /* judged, and nothing is held against it */
    for (uint32_t i = 0; i < c->history_cnt; i++) {
        const struct ses_judgement *j = &c->history[i];
        const unsigned failed = SES_CAUSE_OPENING | SES_CAUSE_RESPONSE;
        if (j->epoch == d->epoch + 1 && (j->causes & failed) != 0) {
            d->outcome = OUTCOME_MISSED;
            d->slashed = j->slashed;
        }
    }
}

/* One look at the chain. */
static enum ses_err look(struct demand *d)
{
    const struct ses_duty *duty = &d->challenges.duty;
    SES_TRY(ses_chain_get_challenges(d->chain, &d->receipt.node_id, WAIT_EPOCHS, &d->challenges,
                                     &d->cli->note));
    const uint32_t demanded = find(d, duty->demanded, duty->demanded_cnt);
    const uint32_t owed = find(d, duty->owed, duty->owed_cnt);
    if (!d->accepted && demanded < duty->demanded_cnt) {
        d->accepted = true;
        d->epoch = duty->epoch;
    } else if (!d->accepted && owed < duty->owed_cnt) {
        d->accepted = true;
        d->epoch = duty->epoch - 1;
    }
    if (!d->accepted || duty->epoch <= d->epoch) {
        return SES_OK;
    }
    if (duty->epoch == d->epoch + 1) {
        const bool shown = owed < duty->owed_cnt && (duty->shown >> owed & 1) != 0;
        d->outcome = shown ? OUTCOME_SHOWN : OUTCOME_WAITING;
        return SES_OK;
    }
    look_back(d);
    return SES_OK;
}

static enum ses_err wait_outcome(struct demand *d)
{
    struct ses_chain_params params;
    SES_TRY(ses_chain_get_params(d->chain, &params, &d->cli->note));
    const uint64_t until_ms =
        ses_mono_ms() + WAIT_EPOCHS * params.params.epoch_seconds * 1000 + 60000;
    cli_progress("Waiting for the node's answer: at most two epochs of %llu s ...",
                 (unsigned long long)params.params.epoch_seconds);
    while (ses_mono_ms() < until_ms) {
        SES_TRY(look(d));
        if (d->outcome != OUTCOME_WAITING) {
            return SES_OK;
        }
        const struct timespec pause = {0, (long)POLL_MS * 1000000};
        nanosleep(&pause, NULL);
    }
    d->outcome = OUTCOME_UNJUDGED;
    return SES_OK;
}

/* ---- sending ---- */
static enum ses_err check_receipt(struct demand *d)
{
    struct ses_chain_params params;
    char text[SES_ID_TEXT_MAX];
    const struct ses_map *map = NULL;
    ses_node_id_text(text, &d->receipt.node_id);
    SES_TRY(ses_chain_get_params(d->chain, &params, &d->cli->note));
    SES_TRY(cli_client(d->cli));
    SES_TRY(cli_client_err(d->cli, (int)ses_client_map(d->cli->client, &map, &d->cli->why)));
    const struct ses_map_node *node = ses_map_find(map, &d->receipt.node_id);
    if (node == NULL) {
        return cli_fail(d->cli, SES_ERR_NOT_FOUND, "%s is not registered", text);
    }
    if (ses_receipt_verify(&d->receipt, &params.chain_id, &node->keys.public_key) != SES_OK) {
        return cli_fail(d->cli, SES_ERR_SIGNATURE,
                        "%s did not sign this receipt (or for another chain)", text);
    }
    return SES_OK;
}

static enum ses_err submit(struct demand *d)
{
    struct ses_identity *signer = NULL;
    struct cli_tx send = {.tx = {.type = SES_TX_DEMAND}};
    struct ses_tx_demand *body = &send.tx.body.demand;
    SES_TRY(cli_signer(d->cli, &signer));
    send.signer = signer;
    body->receipt = d->receipt;
    enum ses_err err = cli_tx_terms(d->cli, d->chain, &signer->account, &body->nonce, &body->fee);
    if (err == SES_OK) {
        err = cli_tx_submit(d->cli, d->chain, &send, &d->tx_id);
    }
    if (err == SES_OK) {
        err = cli_tx_wait(d->cli, d->chain, &d->tx_id, &d->height);
    }
    ses_identity_free(signer);
    return err;
}

static const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {"waiting", "shown", "missed", "unjudged"};
    return names[outcome];
}

static void demand_print(const struct demand *d)
{
    char node[SES_ID_TEXT_MAX];
    char lux[32];
    ses_node_id_text(node, &d->receipt.node_id);
    ses_lux_text(lux, d->slashed);
    switch (d->outcome) {
    case OUTCOME_WAITING:
        printf("Demanded in block %llu: %s has to show the record in its response of the next "
               "epoch. With --wait this command tells how it ended.\n",
               (unsigned long long)d->height, node);
        break;
    case OUTCOME_SHOWN:
        printf("Shown: %s opened the record under its commitment.\n", node);
        break;
    case OUTCOME_MISSED:
        printf("Missed: %s did not show the record; it lost %s LUX of its stake.\n", node, lux);
        break;
    case OUTCOME_UNJUDGED:
        printf("Not judged: the chain made no progress, or %s was not due.\n", node);
        break;
    }
}

/* The exit code tells, too. */
static enum ses_err verdict(const struct demand *d)
{
    switch (d->outcome) {
    case OUTCOME_WAITING:
    case OUTCOME_SHOWN:
        break;
    case OUTCOME_MISSED:
        return cli_fail(d->cli, SES_ERR_PEER, "the node did not show what it signed for");
    case OUTCOME_UNJUDGED:
        return cli_fail(d->cli, SES_ERR_TIMEOUT,
                        "nobody judged the node in time: ask later with "
                        "session node status");
    }
    return SES_OK;
}

static enum ses_err demand_run(struct demand *d)
{
    char id[65];
    char node[SES_ID_TEXT_MAX];
    char record[65];
    SES_TRY(check_receipt(d));
    SES_TRY(submit(d));
    if (ses_config_flag(d->cli->config, "wait")) {
        SES_TRY(wait_outcome(d));
    }
    if (!d->cli->json) {
        demand_print(d);
    }
    ses_hex_encode(id, d->tx_id.bytes, 32);
    ses_hex_encode(record, d->receipt.leaf.id.bytes, 32);
    ses_node_id_text(node, &d->receipt.node_id);
    SES_TRY(cli_print_json(d->cli, json_pack("{s:s,s:o,s:s,s:s,s:s,s:o,s:o}", "txId", id, "height",
                                             ses_json_u64(d->height), "nodeId", node, "id", record,
                                             "outcome", outcome_name(d->outcome), "epoch",
                                             d->accepted ? ses_json_u64(d->epoch) : json_null(),
                                             "slashed", ses_json_u64(d->slashed))));
    return verdict(d);
}

enum ses_err cli_demand(struct cli *cli)
{
    struct demand *d = ses_alloc(1, sizeof *d);
    SES_REQUIRE(d != NULL, SES_ERR_MEMORY);
    d->cli = cli;
    enum ses_err err = receipt_find(cli, &d->receipt);
    if (err == SES_OK) {
        err = cli_chain(cli, &d->chain);
    }
    if (err == SES_OK) {
        err = demand_run(d);
    }
    ses_rpc_client_free(d->chain);
    ses_free(d);
    return err;
}

const struct ses_config_key cli_demand_keys[] = {
    {"node", NULL, "the node whose receipt is meant, if several signed", false},
    {"wait", "false", "until the node has shown the record, or missed", true},
    {"owner-file", NULL, "identity file that pays the fee (default: the profile's)", false},
    {0},
};
