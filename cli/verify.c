/* session verify: does every node of the swarm hold all of the inbox? */
#include "cli/cli_internal.h"

#include <errno.h>
#include <string.h>

#define FINDINGS_SHOWN 20u /* to a person; --json has all */

struct verify_show {
    struct cli *cli;
    json_t *nodes;
    json_t *findings;
    struct ses_buf text; /* for people: nodes, then findings */
    struct ses_buf found;
    unsigned finding_cnt;
    bool behind; /* some node is */
    bool broken; /* out of memory */
};

static void say(struct verify_show *s, struct ses_buf *to, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct verify_show *s, struct ses_buf *to, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof line || ses_buf_append(to, line, (size_t)len) != SES_OK) {
        s->broken = true;
    }
}

/* ---- one node ---- */
static const char *verdict_name(enum ses_client_verdict verdict)
{
    switch (verdict) {
    case SES_CLIENT_COMPLETE:
        return "complete";
    case SES_CLIENT_WITHHOLDS:
        return "withholds";
    case SES_CLIENT_FALSE_PROOF:
        return "false-proof";
    case SES_CLIENT_NO_COMMITMENT:
        return "no-commitment";
    case SES_CLIENT_NO_PROOF:
        return "no-proof";
    case SES_CLIENT_NEW_MEMBER:
        return "new";
    }
    return "?";
}

/* It lacks records or deletions that it signed nothing for, and nothing else is wrong: so does a
 * node that was away. */
static bool is_behind(const struct ses_client_verified *n)
{
    return n->verdict == SES_CLIENT_WITHHOLDS && n->missing + n->undeleted > 0 &&
           n->promised + n->deleted + n->unserved + n->extra == 0;
}

static void node_text(struct verify_show *s, const struct ses_client_verified *n)
{
    const struct {
        unsigned cnt;
        const char *what;
    } parts[] = {
        {n->missing, "missing"},         {n->promised, "missing though it signed receipts"},
        {n->undeleted, "not deleted"},   {n->deleted, "wrongly shown as deleted"},
        {n->unserved, "not handed out"}, {n->extra, "that others do not have"}};
    s->behind |= is_behind(n);
    say(s, &s->text, "  %-42s %s", n->node, is_behind(n) ? "behind" : verdict_name(n->verdict));
    if (n->verdict == SES_CLIENT_COMPLETE || n->verdict == SES_CLIENT_WITHHOLDS) {
        say(s, &s->text, ", %u records", n->records);
    } else if (n->verdict == SES_CLIENT_NO_PROOF) {
        say(s, &s->text, ": %s", ses_err_text((enum ses_err)n->err));
    }
    for (size_t i = 0; i < SES_COUNT(parts); i++) {
        if (parts[i].cnt > 0) {
            say(s, &s->text, ", %u %s", parts[i].cnt, parts[i].what);
        }
    }
    say(s, &s->text, "\n");
}

static void on_node(void *cookie, const struct ses_client_verified *n)
{
    struct verify_show *s = cookie;
    if (!s->cli->json) {
        node_text(s, n);
        return;
    }
    json_t *json = json_pack("{s:s,s:s,s:s,s:o,s:o,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "nodeId", n->node,
                             "verdict", verdict_name(n->verdict), "error",
                             n->err == 0 ? "" : ses_err_name((enum ses_err)n->err), "root",
                             ses_json_hex(n->root, 32), "count", ses_json_u64(n->count), "records",
                             (int)n->records, "missing", (int)n->missing, "promised",
                             (int)n->promised, "undeleted", (int)n->undeleted, "deleted",
                             (int)n->deleted, "unserved", (int)n->unserved, "extra", (int)n->extra);
    s->broken |= json_array_append_new(s->nodes, json) != 0;
}

/* ---- one finding ---- */
static const char *fault_name(enum ses_client_fault fault)
{
    switch (fault) {
    case SES_CLIENT_MISSING:
        return "missing";
    case SES_CLIENT_PROMISED:
        return "promised";
    case SES_CLIENT_UNDELETED:
        return "undeleted";
    case SES_CLIENT_DELETED:
        return "deleted";
    case SES_CLIENT_UNSERVED:
        return "unserved";
    case SES_CLIENT_EXTRA:
        return "extra";
    }
    return "?";
}

static const char *fault_text(enum ses_client_fault fault)
{
    switch (fault) {
    case SES_CLIENT_MISSING:
        return "does not have";
    case SES_CLIENT_PROMISED:
        return "signed a receipt for, and does not have,";
    case SES_CLIENT_UNDELETED:
        return "has not deleted";
    case SES_CLIENT_DELETED:
        return "shows as deleted";
    case SES_CLIENT_UNSERVED:
        return "has, but does not hand out,";
    case SES_CLIENT_EXTRA:
        return "alone shows";
    }
    return "?";
}

static void on_finding(void *cookie, const struct ses_client_finding *f)
{
    struct verify_show *s = cookie;
    char id[65];
    ses_hex_encode(id, f->id, 32);
    s->finding_cnt++;
    if (s->cli->json) {
        json_t *json = json_pack("{s:s,s:s,s:s,s:I,s:i,s:i}", "nodeId", f->node, "fault",
                                 fault_name(f->fault), "id", id, "ts_ms", (json_int_t)f->hour_ms,
                                 "holders", (int)f->holders, "proven", (int)f->proven);
        s->broken |= json_array_append_new(s->findings, json) != 0;
    } else if (s->finding_cnt <= FINDINGS_SHOWN) {
        say(s, &s->found, "  %s %s %s (%u of %u nodes prove it)\n", f->node, fault_text(f->fault),
            id, f->holders, f->proven);
        if (f->fault == SES_CLIENT_PROMISED) {
            say(s, &s->found, "    hold it to its word: session demand %s --node %s --wait\n", id,
                f->node);
        }
    }
}

/* ---- the whole ---- */
static void print_text(const struct verify_show *s, const struct ses_client_verify_result *r,
                       enum ses_err err)
{
    printf("Epoch %llu, swarm %u: %u of %u nodes are complete, %u suffice%s.\n"
           "When it began the inbox had %u records: messages, also deleted ones, deletions, your "
           "card.\nWhat came later is not judged yet.\n",
           (unsigned long long)r->epoch, r->swarm, r->complete, r->members, r->wanted,
           r->wanted == 1 ? "s" : "", r->records);
    printf("%.*s%.*s", (int)s->text.len, s->text.len > 0 ? (const char *)s->text.bytes : "",
           (int)s->found.len, s->found.len > 0 ? (const char *)s->found.bytes : "");
    if (s->finding_cnt > FINDINGS_SHOWN) {
        printf("  ... and %u more (--json shows all)\n", s->finding_cnt - FINDINGS_SHOWN);
    }
    if (s->behind) {
        printf("A node that is behind was away and has not caught up, or keeps back what it never "
               "signed for: ask again in an epoch.\n");
    }
    if (err == SES_OK) {
        printf("Nothing is withheld.\n");
    }
}

static enum ses_err print_all(struct verify_show *s, const struct ses_client_verify_result *r,
                              enum ses_err err)
{
    if (s->broken) {
        return SES_ERR_MEMORY;
    }
    if (!s->cli->json) {
        print_text(s, r, err);
        return SES_OK;
    }
    json_t *json =
        json_pack("{s:o,s:i,s:i,s:i,s:i,s:i,s:i,s:b,s:O,s:O}", "epoch", ses_json_u64(r->epoch),
                  "swarm", (int)r->swarm, "records", (int)r->records, "members", (int)r->members,
                  "complete", (int)r->complete, "wanted", (int)r->wanted, "faulty", (int)r->faulty,
                  "ok", (int)(err == SES_OK), "nodes", s->nodes, "findings", s->findings);
    return cli_print_json(s->cli, json);
}

static enum ses_err epoch_parse(struct cli *cli, uint64_t *out)
{
    const char *text = ses_config_get(cli->config, "epoch");
    char *end = NULL;
    *out = SES_CLIENT_EPOCH_LAST;
    if (text == NULL) {
        return SES_OK;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0) {
        return cli_fail(cli, SES_ERR_INVALID, "--epoch is the number of an epoch");
    }
    return SES_OK;
}

static enum ses_err verify_run(struct cli *cli, struct verify_show *s)
{
    struct ses_client_verify_result result = {0};
    struct ses_client_verify ask = {
        .size = sizeof ask, .on_node = on_node, .on_finding = on_finding, .cookie = s};
    const char *since = ses_config_get(cli->config, "since");
    SES_TRY(epoch_parse(cli, &ask.epoch));
    if (since != NULL) {
        SES_TRY(cli_time_parse(cli, "since", since, &ask.since_ms));
    }
    SES_TRY(cli_client(cli));
    const enum ses_err err =
        cli_client_err(cli, ses_client_verify(cli->client, &ask, &result, &cli->why));
    if (result.members > 0) { /* also where the result is bad */
        SES_TRY(print_all(s, &result, err));
    }
    return err;
}

enum ses_err cli_verify(struct cli *cli)
{
    struct verify_show show = {.cli = cli, .nodes = json_array(), .findings = json_array()};
    const enum ses_err err = verify_run(cli, &show);
    json_decref(show.nodes);
    json_decref(show.findings);
    ses_buf_free(&show.text);
    ses_buf_free(&show.found);
    return err;
}

const struct ses_config_key cli_verify_keys[] = {
    {"epoch", NULL, "check the commitments of this epoch (default: the last complete one)", false},
    {"since", NULL, "only records since then: an age (7d, 12h) or a time (2026-11-20)", false},
    {0},
};
