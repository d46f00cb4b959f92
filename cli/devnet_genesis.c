/* What a new network begins with: owners who have money, and the chain's parameters. */
#include <string.h>

#include "cli/devnet_internal.h"

#define OWNER_SPARE_LUX 100u
#define FAUCET_LUX 1000000u
#define NLUX_PER_LUX 1000000000ull

/* A new identity in its own unencrypted file. */
static enum ses_err owner_new(struct cli *cli, const char *path, struct ses_account *account)
{
    struct ses_identity *owner = NULL;
    SES_TRY(ses_identity_generate(&owner, ses_random_system()));
    *account = owner->account;
    const enum ses_err err = ses_identity_file_write(path, owner, NULL, false, &cli->note);
    ses_identity_free(owner);
    return err;
}

static enum ses_err allocation_add(struct cli *cli, const struct devnet *net, json_t *allocations,
                                   const char *name, uint64_t nlux)
{
    char path[DEVNET_PATH_MAX];
    char text[SES_ID_TEXT_MAX];
    struct ses_account account;
    SES_TRY(devnet_path(cli, net, path, "owners/%s.identity", name));
    SES_TRY(owner_new(cli, path, &account));
    ses_account_text(text, &account);
    json_array_append_new(allocations,
                          json_pack("{s:s,s:I}", "account", text, "amount", (json_int_t)nlux));
    return SES_OK;
}

static enum ses_err allocations_make(struct cli *cli, const struct devnet *net, json_t *allocations)
{
    SES_TRY(allocation_add(cli, net, allocations, "faucet", FAUCET_LUX * NLUX_PER_LUX));
    for (uint32_t i = 0; i < net->node_cnt; i++) {
        char name[32];
        snprintf(name, sizeof name, "owner-%02u", i + 1);
        SES_TRY(allocation_add(cli, net, allocations, name,
                               DEVNET_STAKE + OWNER_SPARE_LUX * NLUX_PER_LUX));
    }
    return SES_OK;
}

/* --params key=value,key=value into the genesis parameters; the chain checks names and ranges. */
static enum ses_err params_more(struct cli *cli, json_t *params)
{
    const char *at = ses_config_get(cli->config, "params");
    while (at != NULL && *at != 0) {
        char key[64];
        unsigned long long value = 0;
        int taken = 0;
        if (sscanf(at, "%63[A-Za-z]=%llu%n", key, &value, &taken) != 2 ||
            (at[taken] != 0 && at[taken] != ',') || value > INT64_MAX) {
            return cli_fail(cli, SES_ERR_INVALID,
                            "--params takes key=number,key=number, not \"%.100s\": for example "
                            "inboxQuotaBytes=1000000; sessionvm genesis --help lists the keys",
                            at);
        }
        json_object_set_new(params, key, json_integer((json_int_t)value));
        at += taken;
        at += *at == ',';
    }
    return SES_OK;
}

enum ses_err devnet_params(struct cli *cli, json_t **out)
{
    unsigned long long epoch_s = 0;
    unsigned long long target = 0;
    unsigned long long capacity = 0; /* the nodes take it as it was given */
    SES_TRY(ses_config_u64(cli->config, "capacity", 1u << 20, 1ull << 60, &capacity, &cli->note));
    SES_TRY(ses_config_u64(cli->config, "epoch-seconds", 6, 86400, &epoch_s, &cli->note));
    SES_TRY(ses_config_u64(cli->config, "swarm-target", 1, 32, &target, &cli->note));
    const unsigned long long settle = epoch_s / 6 > 0 ? epoch_s / 6 : 1;
    const unsigned long long freeze = epoch_s / 12 > 0 ? epoch_s / 12 : 1;
    *out = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "epochSeconds", (json_int_t)epoch_s,
                     "blockSeconds", (json_int_t)1, "settleSeconds", (json_int_t)settle,
                     "freezeSeconds", (json_int_t)freeze, "swarmTarget", (json_int_t)target,
                     "rotatePerSwarmEpochs", (json_int_t)0);
    SES_REQUIRE(*out != NULL, SES_ERR_MEMORY);
    const enum ses_err err = params_more(cli, *out);
    if (err != SES_OK) {
        json_decref(*out);
    }
    return err;
}

enum ses_err devnet_genesis_write(struct cli *cli, const struct devnet *net, json_t *params)
{
    char path[DEVNET_PATH_MAX];
    json_t *allocations = json_array();
    SES_TRY(devnet_path(cli, net, path, "genesis.json"));
    enum ses_err err = allocations_make(cli, net, allocations);
    if (err != SES_OK) {
        json_decref(allocations);
        return err;
    }
    json_t *genesis = json_pack("{s:s,s:I,s:o,s:O,s:[]}", "networkName", "devnet", "timestamp",
                                (json_int_t)(ses_now_ms(ses_clock_system()) / 1000), "allocations",
                                allocations, "params", params, "serviceNodes");
    char *text = genesis == NULL ? NULL : json_dumps(genesis, JSON_INDENT(1));
    json_decref(genesis);
    SES_REQUIRE(text != NULL, SES_ERR_MEMORY);
    err = cli_write_file(cli, path, text, strlen(text), 0600);
    free(text);
    return err;
}
