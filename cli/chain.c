/* session nodes, swarm, epoch, balance, transfer: what the chain says, and moving funds. */
#include "cli/cli_internal.h"

#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "-" : text;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    uint64_t value = 0;
    struct ses_note ignored;
    return ses_json_get_u64(object, key, &value, &ignored) == SES_OK ? value : 0;
}

/* ---- nodes ---- */

static void node_print(const json_t *node)
{
    char stake[32];
    char swarm[16] = "none";
    ses_lux_text(stake, number_of(node, "stake"));
    if (!json_is_null(json_object_get(node, "swarmId"))) {
        snprintf(swarm, sizeof swarm, "%llu", (unsigned long long)number_of(node, "swarmId"));
    }
    printf("%-41s %-16s swarm %-5s stake %-10s uptime %3llu.%02llu %%\n", text_of(node, "nodeId"),
           text_of(node, "status"), swarm, stake,
           (unsigned long long)number_of(node, "uptimeScore") / 100,
           (unsigned long long)number_of(node, "uptimeScore") % 100);
}

/* Pages through getServiceNodes; `all` collects. */
static enum ses_err nodes_collect(struct cli *cli, json_t *all)
{
    char after[SES_ID_TEXT_MAX] = "";
    bool more = true;
    while (more) {
        json_t *page = NULL;
        json_t *params = after[0] == 0 ? json_object() : json_pack("{s:s}", "after", after);
        SES_TRY(cli_chain_call(cli, "sessionvm.getServiceNodes", params, &page));
        json_array_extend(all, json_object_get(page, "nodes"));
        const char *next = json_string_value(json_object_get(page, "next"));
        more = next != NULL && strlen(next) < sizeof after && strcmp(next, after) != 0;
        if (more) {
            snprintf(after, sizeof after, "%s", next);
        }
        json_decref(page);
    }
    return SES_OK;
}

static enum ses_err chain_nodes(struct cli *cli)
{
    json_t *all = json_array();
    const enum ses_err err = nodes_collect(cli, all);
    if (err != SES_OK) {
        json_decref(all);
        return err;
    }
    size_t i = 0;
    json_t *node = NULL;
    json_array_foreach(all, i, node)
    {
        if (!cli->json) {
            node_print(node);
        }
    }
    if (!cli->json) {
        printf("%zu nodes\n", json_array_size(all));
    }
    return cli_print_json(cli, json_pack("{s:o}", "nodes", all));
}

/* ---- swarm ---- */

static enum ses_err swarm_params(struct cli *cli, const char **method, json_t **params)
{
    const char *inbox = ses_config_get(cli->config, "inbox");
    if ((inbox == NULL) == (cli->arg_cnt == 0)) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "which swarm? a number (session swarm 3) or --inbox SESSIONID");
    }
    if (inbox != NULL) {
        struct ses_session_id id;
        if (ses_session_id_parse(&id, inbox, &cli->note) != SES_OK) {
            return SES_ERR_INVALID;
        }
        *method = "sessionvm.getSwarmForInbox";
        *params = json_pack("{s:s}", "sessionId", inbox);
        return SES_OK;
    }
    char *end = NULL;
    const unsigned long swarm = strtoul(cli->args[0], &end, 10);
    if (*end != 0 || end == cli->args[0] || swarm >= SES_SWARM_NONE) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "\"%.40s\" is no swarm number; for an inbox use "
                        "--inbox SESSIONID",
                        cli->args[0]);
    }
    *method = "sessionvm.getSwarm";
    *params = json_pack("{s:I}", "swarmId", (json_int_t)swarm);
    return SES_OK;
}

static enum ses_err chain_swarm(struct cli *cli)
{
    const char *method = NULL;
    json_t *params = NULL;
    json_t *swarm = NULL;
    SES_TRY(swarm_params(cli, &method, &params));
    SES_TRY(cli_chain_call(cli, method, params, &swarm));
    const json_t *members = json_object_get(swarm, "members");
    if (!cli->json) {
        printf("Swarm %llu of %llu in epoch %llu:\n",
               (unsigned long long)number_of(swarm, "swarmId"),
               (unsigned long long)number_of(swarm, "numSwarms"),
               (unsigned long long)number_of(swarm, "epoch"));
    }
    for (size_t i = 0; i < json_array_size(members) && !cli->json; i++) {
        const json_t *member = json_array_get(members, i);
        printf("  %-41s %-16s owner %s\n", text_of(member, "nodeId"), text_of(member, "status"),
               text_of(member, "owner"));
    }
    return cli_print_json(cli, swarm);
}

/* ---- epoch ---- */

static enum ses_err chain_epoch(struct cli *cli)
{
    json_t *params = json_object();
    if (cli->arg_cnt == 1) {
        json_object_set_new(params, "epoch", json_string(cli->args[0]));
    }
    json_t *epoch = NULL;
    SES_TRY(cli_chain_call(cli, "sessionvm.getEpoch", params, &epoch));
    if (!cli->json) {
        char bonded[32];
        ses_lux_text(bonded, number_of(epoch, "totalBonded"));
        printf("Epoch %llu: %llu swarms, %llu active nodes, %s LUX bonded\n"
               "  seed           %s\n  registry root  %s\n",
               (unsigned long long)number_of(epoch, "epoch"),
               (unsigned long long)number_of(epoch, "numSwarms"),
               (unsigned long long)number_of(epoch, "activeCount"), bonded, text_of(epoch, "seed"),
               text_of(epoch, "registryRoot"));
    }
    return cli_print_json(cli, epoch);
}

/* ---- balance, transfer ---- */

static enum ses_err account_of(struct cli *cli, struct ses_account *account)
{
    if (cli->arg_cnt == 1) {
        if (ses_account_parse(account, cli->args[0]) != SES_OK) {
            return cli_fail(cli, SES_ERR_INVALID,
                            "\"%.60s\" is no account: LUX-... as in "
                            "`session balance`",
                            cli->args[0]);
        }
        return SES_OK;
    }
    struct ses_identity *me = NULL;
    SES_TRY(cli_signer(cli, &me));
    *account = me->account;
    ses_identity_free(me);
    return SES_OK;
}

static enum ses_err chain_balance(struct cli *cli)
{
    struct ses_account account;
    SES_TRY(account_of(cli, &account));
    struct ses_rpc_client *chain = NULL;
    struct ses_chain_account state;
    SES_TRY(cli_chain(cli, &chain));
    const enum ses_err err = ses_chain_get_account(chain, &account, &state, &cli->note);
    ses_rpc_client_free(chain);
    SES_TRY(err);
    char text[SES_ID_TEXT_MAX];
    char balance[32];
    ses_account_text(text, &account);
    ses_lux_text(balance, state.balance);
    if (!cli->json) {
        printf("%s  %s LUX\n", text, balance);
    }
    return cli_print_json(cli, json_pack("{s:s,s:o,s:o}", "account", text, "balance",
                                         ses_json_u64(state.balance), "nonce",
                                         ses_json_u64(state.nonce)));
}

static enum ses_err transfer_run(struct cli *cli, struct ses_rpc_client *chain,
                                 const struct ses_identity *from, const struct ses_account *to,
                                 uint64_t amount)
{
    struct ses_tx_send send = {.signer = from, .tx.type = SES_TX_TRANSFER};
    struct ses_tx_transfer *body = &send.tx.body.transfer;
    struct ses_hash id;
    uint64_t height = 0;
    body->to = *to;
    body->amount = amount;
    SES_TRY(cli_tx_terms(cli, chain, &from->account, &body->nonce, &body->fee));
    SES_TRY(cli_tx_submit(cli, chain, &send, &id));
    SES_TRY(cli_tx_wait(cli, chain, &id, &height));
    return cli_tx_done(cli, &id, height);
}

static enum ses_err chain_transfer(struct cli *cli)
{
    struct ses_account to;
    uint64_t amount = 0;
    if (ses_account_parse(&to, cli->args[0]) != SES_OK) {
        return cli_fail(
            cli, SES_ERR_INVALID,
            "\"%.60s\" is no account: it begins with LUX- and has a checksum; nothing was "
            "sent",
            cli->args[0]);
    }
    SES_TRY(cli_lux_moved(cli, cli->args[1], &amount));
    struct ses_identity *from = NULL;
    struct ses_rpc_client *chain = NULL;
    enum ses_err err = cli_signer(cli, &from);
    if (err == SES_OK) {
        err = cli_chain(cli, &chain);
    }
    if (err == SES_OK) {
        err = transfer_run(cli, chain, from, &to, amount);
    }
    ses_rpc_client_free(chain);
    ses_identity_free(from);
    return err;
}

static enum ses_err chain_tx(struct cli *cli)
{
    json_t *tx = NULL;
    SES_TRY(cli_chain_call(cli, "sessionvm.getTx", json_pack("{s:s}", "txId", cli->args[0]), &tx));
    if (!cli->json) {
        json_dumpf(tx, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
    }
    return cli_print_json(cli, tx);
}

static const struct ses_config_key swarm_keys[] = {
    {"inbox", NULL, "the swarm that serves this Session ID", false},
    {0},
};
static const struct ses_config_key owner_keys[] = {
    {"owner-file", NULL, "identity file of the account (default: the profile's)", false},
    {0},
};

const struct cli_command cli_chain_commands[] = {
    {"nodes", "", "list the service nodes", "session nodes", 0, 0, chain_nodes, NULL, CLI_CHAIN},
    {"swarm", "[NUMBER]", "members of a swarm, or of the one that serves --inbox",
     "session swarm --inbox 07ab...", 0, 1, chain_swarm, swarm_keys, CLI_CHAIN},
    {"epoch", "[N]", "the record of an epoch (default: the current one)", "session epoch 12", 0, 1,
     chain_epoch, NULL, CLI_CHAIN},
    {"balance", "[ACCOUNT]", "an account's balance (default: your own)", "session balance LUX-...",
     0, 1, chain_balance, owner_keys, CLI_PERSON},
    {"transfer", "ACCOUNT AMOUNT", "send LUX to an account", "session transfer LUX-... 12.5", 2, 2,
     chain_transfer, owner_keys, CLI_PERSON},
    {"tx", "ID", "a transaction in an accepted block", "session tx 4f0c...", 1, 1, chain_tx, NULL,
     CLI_CHAIN},
    {0},
};
