/* session inbox, delete: what the swarm holds for us, and taking it back. */
#include "cli/cli_internal.h"

#include <string.h>
#include <unistd.h>

#define IDS_MAX 1024

/* ---- inbox ---- */
struct inbox_print {
    struct cli *cli;
    json_t *list;
    unsigned cnt;
};

static int record_show(void *cookie, const struct ses_client_record *record)
{
    struct inbox_print *p = cookie;
    p->cnt++;
    if (p->cli->json) {
        return json_array_append_new(p->list, json_pack("{s:o,s:I,s:I,s:i}", "id",
                                                        ses_json_hex(record->id, 32), "ts_ms",
                                                        (json_int_t)record->ts_ms, "expires_ms",
                                                        (json_int_t)record->expires_ms, "bytes",
                                                        (int)record->bytes)) == 0
                   ? 0
                   : 1;
    }
    char id[65];
    char when[32];
    char gone[32];
    ses_hex_encode(id, record->id, 32);
    cli_time_text(when, record->ts_ms);
    cli_time_text(gone, record->expires_ms);
    printf("%s  %s  %5u KiB  until %s\n", id, when, (record->bytes + 1023) / 1024, gone);
    return 0;
}

static void warn_few(unsigned answered, unsigned wanted)
{
    if (answered < wanted) {
        fprintf(stderr,
                "session: only %u of %u nodes listed the inbox: a message may be missing here.\n",
                answered, wanted);
    }
}

static enum ses_err inbox_show(struct cli *cli)
{
    struct inbox_print p = {.cli = cli, .list = json_array()};
    unsigned answered = 0;
    unsigned wanted = 0;
    enum ses_err err = cli_client(cli);
    if (err == SES_OK) {
        const char *node = ses_config_get(cli->config, "node");
        err = cli_client_err(cli, ses_client_inbox(cli->client, node, record_show, &p, &answered,
                                                   &wanted, &cli->why));
    }
    if (err != SES_OK) {
        json_decref(p.list);
        return err;
    }
    if (!cli->json && p.cnt == 0) {
        printf("The inbox is empty.\n");
    }
    warn_few(answered, wanted);
    return cli_print_json(cli, json_pack("{s:o,s:i,s:i}", "records", p.list, "answered",
                                         (int)answered, "wanted", (int)wanted));
}

/* ---- delete: what ---- */
static enum ses_err parse_ids(struct cli *cli, uint8_t ids[IDS_MAX][32], size_t *cnt)
{
    *cnt = 0;
    for (int i = 0; i < cli->arg_cnt; i++) {
        if (ses_hex_decode(ids[*cnt], 32, cli->args[i]) != SES_OK) {
            return cli_fail(cli, SES_ERR_INVALID,
                            "\"%.80s\" is no message id: 64 hex digits, as session inbox and "
                            "session receive --json print them",
                            cli->args[i]);
        }
        ++*cnt;
    }
    return SES_OK;
}

/* Exactly one of: ids, --before, --all. */
static enum ses_err delete_parse(struct cli *cli, uint8_t ids[IDS_MAX][32],
                                 struct ses_client_delete *what)
{
    const char *before = ses_config_get(cli->config, "before");
    const bool all = ses_config_flag(cli->config, "all");
    if ((cli->arg_cnt > 0) + (before != NULL) + all != 1) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "say what to delete: message ids, --before TIME, or --all");
    }
    what->before_ms = SES_CLIENT_DELETE_ALL;
    if (before != NULL) {
        return cli_time_parse(cli, "before", before, &what->before_ms);
    }
    if (cli->arg_cnt > 0) {
        SES_TRY(parse_ids(cli, ids, &what->id_cnt));
        what->ids = (const uint8_t(*)[32])ids;
    }
    return SES_OK;
}

/* ---- delete: ask, do, say ---- */
static enum ses_err confirm(struct cli *cli, const struct ses_client_delete *what)
{
    if (ses_config_flag(cli->config, "yes") || !isatty(STDIN_FILENO)) {
        return SES_OK;
    }
    if (what->ids != NULL) {
        fprintf(stderr, "Delete %zu messages from every node for good? [y/N] ", what->id_cnt);
    } else if (what->before_ms != SES_CLIENT_DELETE_ALL) {
        char when[32];
        cli_time_text(when, what->before_ms);
        fprintf(stderr, "Delete all messages before %s from every node for good? [y/N] ", when);
    } else {
        fprintf(stderr, "Delete ALL messages in the inbox from every node for good? [y/N] ");
    }
    char line[16] = "";
    if (fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y')) {
        return SES_OK;
    }
    return cli_fail(cli, SES_ERR_PERMISSION, "nothing was deleted");
}

static void deleted_print(const struct ses_client_deleted *got)
{
    if (got->found == 0) {
        printf("Nothing to delete.\n");
        return;
    }
    printf("Deleted %u message%s: a write quorum of nodes signed for each.\n", got->deleted,
           got->deleted == 1 ? "" : "s");
    if (got->pending > 0) {
        printf("%u more are on their way: fewer nodes than a quorum have signed so far.\n",
               got->pending);
    }
    if (got->unknown > 0) {
        printf("%u of the ids are not in the inbox (any more).\n", got->unknown);
    }
}

static enum ses_err delete_run(struct cli *cli)
{
    uint8_t ids[IDS_MAX][32];
    struct ses_client_delete what = {.size = sizeof what};
    struct ses_client_deleted got = {0};
    SES_TRY(delete_parse(cli, ids, &what));
    SES_TRY(confirm(cli, &what));
    SES_TRY(cli_client(cli));
    const enum ses_err err =
        cli_client_err(cli, ses_client_delete(cli->client, &what, &got, &cli->why));
    if (err != SES_OK) {
        if (got.deleted + got.pending > 0) {
            fprintf(stderr, "session: %u of %u messages were deleted before this failed.\n",
                    got.deleted + got.pending, got.found);
        }
        return err;
    }
    if (!cli->json) {
        deleted_print(&got);
    }
    warn_few(got.answered, got.wanted);
    return cli_print_json(cli,
                          json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "found", (int)got.found,
                                    "deleted", (int)got.deleted, "pending", (int)got.pending,
                                    "unknown", (int)got.unknown, "statements", (int)got.statements,
                                    "answered", (int)got.answered, "wanted", (int)got.wanted));
}

static const struct ses_config_key inbox_keys[] = {
    {"node", NULL, "what this node alone holds, to compare", false},
    {0},
};
static const struct ses_config_key delete_keys[] = {
    {"before", NULL, "all older than this: an age (7d, 12h) or a time (2026-11-20 18:30)", false},
    {"all", "false", "every message in the inbox", true},
    {"yes", "false", "do not ask", true},
    {0},
};

const struct cli_command cli_inbox_commands[] = {
    {"inbox", "", "what the nodes hold for you, with ids", "session inbox", 0, 0, inbox_show,
     inbox_keys, CLI_PERSON},
    {"delete", "[ID...]", "delete messages from every node of your swarm",
     "session delete --before 7d", 0, IDS_MAX, delete_run, delete_keys, CLI_PERSON},
    {"verify", "", "check that each node of the swarm holds your inbox",
     "session verify --since 7d", 0, 0, cli_verify, cli_verify_keys, CLI_PERSON},
    {"demand", "RECEIPT|ID", "make a node show on chain what it signed for, or pay",
     "session demand 9f2c... --node NodeID-... --wait", 1, 1, cli_demand, cli_demand_keys,
     CLI_PERSON},
    {0},
};
