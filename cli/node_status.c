/* session node status: what the chain says of a node, what it owes now, what it missed. */
#include <string.h>

#include "cli/node_internal.h"

#define EPOCHS_SHOWN 24u

static const char *seatless_text(const struct ses_node *node)
{
    if (node->status != SES_NODE_ACTIVE) {
        return "none any more";
    }
    if (node->swarm_from_epoch == 0 && node->misses_running == 0) {
        return "none yet";
    }
    return "none: lost by missed epochs in a row; the first that is not missed brings it back";
}

/* When the stake comes back, and what the node owes until then. */
static void print_unbonding(const struct ses_node *node, const struct ses_params *params)
{
    const uint64_t end = node->decommission_epoch + params->unbond_epochs;
    if (node->status == SES_NODE_DECOMMISSIONING) {
        printf("  retires  in epoch %llu, which pays the stake back; until then it has its duties: "
               "keep it running\n",
               (unsigned long long)end);
    }
}

static void print_node(const struct cli *cli, const struct ses_node *node,
                       const struct ses_params *params)
{
    char owner[SES_ID_TEXT_MAX];
    char stake[32];
    char slashed[32];
    ses_account_text(owner, &node->owner);
    ses_lux_text(stake, node->stake);
    ses_lux_text(slashed, node->slashed);
    printf("%s\n  status   %s\n  owner    %s\n  stake    %s LUX\n", cli->args[0],
           ses_node_status_text(node->status), owner, stake);
    print_unbonding(node, params);
    if (node->swarm == SES_SWARM_NONE) {
        printf("  swarm    %s\n", seatless_text(node));
    } else {
        printf("  swarm    %u, since epoch %llu\n", node->swarm,
               (unsigned long long)node->swarm_from_epoch);
    }
    printf("  uptime   %u.%02u %%\n", ses_node_uptime_bps(node) / 100,
           ses_node_uptime_bps(node) % 100);
    printf("  misses   %llu, %llu in a row; slashed %s LUX\n", (unsigned long long)node->misses,
           (unsigned long long)node->misses_running, slashed);
}

static void print_duty(const struct ses_node *node, const struct ses_duty *duty)
{
    const bool owes = node->swarm != SES_SWARM_NONE && duty->epoch > node->swarm_from_epoch;
    printf("  epoch    %llu: commitment %s, response %s", (unsigned long long)duty->epoch,
           duty->committed ? "in a block"
           : owes          ? "not yet"
                           : "not owed yet",
           duty->responded ? "in a block" : "not yet");
    if (duty->owed_cnt > 0) {
        printf(", %u opening%s owed of what it held in epoch %llu", duty->owed_cnt,
               duty->owed_cnt == 1 ? "" : "s", (unsigned long long)duty->root.epoch);
    }
    printf("\n");
}

static void print_judgement(const struct ses_judgement *j)
{
    char slashed[32];
    const char *before = " ";
    ses_lux_text(slashed, j->slashed);
    printf("  epoch    %llu: %s", (unsigned long long)j->epoch,
           j->causes == 0                          ? "passed, with a warning"
           : (j->flags & SES_JUDGED_FORGIVEN) != 0 ? "missed in an outage, forgiven:"
                                                   : "missed:");
    for (unsigned i = 0; i < SES_CAUSE_CNT; i++) {
        if ((j->causes >> i & 1) != 0) {
            printf("%s%s", before, ses_cause_text(i));
            before = ", ";
        }
    }
    if ((j->flags & SES_JUDGED_OFF_ROOT) != 0) {
        printf("; committed to another set than its swarm");
    }
    if ((j->flags & SES_JUDGED_UNREACHED) != 0) {
        printf("; reached by %u of %u testers", j->reached, j->answered);
    }
    printf("; slashed %s LUX\n", slashed);
}

static enum ses_err print(struct cli *cli, const struct ses_node *node,
                          const struct ses_chain_params *chain,
                          const struct ses_chain_challenges *c)
{
    json_t *json = ses_json_node(node, NULL, NULL);
    json_t *history = json_array();
    if (!cli->json) {
        print_node(cli, node, &chain->params);
        if (node->status != SES_NODE_RETIRED) {
            print_duty(node, &c->duty);
        }
    }
    for (uint32_t i = 0; i < c->history_cnt; i++) {
        if (!cli->json) {
            print_judgement(&c->history[i]);
        }
        json_array_append_new(history, ses_json_judgement(&c->history[i]));
    }
    json_object_set_new(json, "duty", ses_json_duty(&c->duty));
    json_object_set_new(json, "history", history);
    return cli_print_json(cli, json);
}

enum ses_err cli_node_status(struct cli *cli)
{
    struct ses_node_id id;
    struct ses_node node;
    struct ses_chain_params chain;
    struct ses_rpc_client *client = NULL;
    struct ses_chain_challenges *c = ses_alloc(1, sizeof *c);
    SES_REQUIRE(c != NULL, SES_ERR_MEMORY);
    enum ses_err err = cli_node_arg(cli, &id);
    if (err == SES_OK) {
        err = cli_chain(cli, &client);
    }
    if (err == SES_OK) {
        err = ses_chain_get_node(client, &id, &node, &cli->note);
        if (err == SES_ERR_NOT_FOUND) {
            err = cli_fail(cli, err, "%s is not registered", cli->args[0]);
        }
    }
    if (err == SES_OK) {
        err = ses_chain_get_params(client, &chain, &cli->note);
    }
    if (err == SES_OK) {
        err = ses_chain_get_challenges(client, &id, EPOCHS_SHOWN, c, &cli->note);
    }
    if (err == SES_OK) {
        err = print(cli, &node, &chain, c);
    }
    ses_rpc_client_free(client);
    ses_free(c);
    return err;
}
