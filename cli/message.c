/* session send, receive, outbox. */
#include "cli/cli_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- send ---- */

static json_t *sent_json(const struct ses_client_sent *sent)
{
    static const char *const states[] = {"", "stored", "pending", "failed"};
    json_t *nodes = json_array();
    for (unsigned i = 0; i < sent->node_cnt; i++) {
        json_array_append_new(nodes, json_string(sent->nodes[i]));
    }
    return json_pack("{s:s,s:s,s:o,s:o,s:I,s:i,s:i,s:o}", "state", states[sent->state & 3u], "to",
                     sent->to, "uuid", ses_json_hex(sent->uuid, 16), "id",
                     ses_json_hex(sent->id, 32), "ts_ms", (json_int_t)sent->ts_ms, "quorum",
                     (int)sent->quorum, "replicas", (int)sent->node_cnt, "nodes", nodes);
}

static void sent_print(const struct ses_client_sent *sent)
{
    if (sent->state == SES_CLIENT_STORED) {
        printf("Stored: signed receipts of %u node%s (%u needed).\n", sent->node_cnt,
               sent->node_cnt == 1 ? "" : "s", sent->quorum);
    } else {
        printf("Pending: %u of %u nodes so far; it is in the outbox. The next send or receive "
               "tries again, or session outbox --retry.\n",
               sent->node_cnt, sent->quorum);
    }
}

static enum ses_err ttl_parse(struct cli *cli, enum ses_client_ttl *out)
{
    static const char *const names[] = {"default", "1h", "1d", "7d", "14d", "30d"};
    const char *text = ses_config_get(cli->config, "ttl");
    text = text == NULL ? names[0] : text;
    for (size_t i = 0; i < SES_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum ses_client_ttl)i;
            return SES_OK;
        }
    }
    return cli_fail(cli, SES_ERR_INVALID, "--ttl is 1h, 1d, 7d, 14d or 30d");
}

/* The text or the file goes into `message`; `data` owns the bytes. */
static enum ses_err content_read(struct cli *cli, struct ses_client_send *message,
                                 struct ses_buf *data)
{
    const char *path = ses_config_get(cli->config, "file");
    if (path != NULL && cli->arg_cnt == 2) {
        return cli_fail(cli, SES_ERR_INVALID, "give a text or --file, not both");
    }
    if (path != NULL) {
        SES_TRY(cli_read_file(cli, path, ses_client_message_max(), data));
        message->kind = SES_CLIENT_FILE;
        message->text = cli_file_name(path);
        message->data = data->bytes;
        message->data_bytes = data->len;
        return SES_OK;
    }
    message->kind = SES_CLIENT_TEXT;
    if (cli->arg_cnt == 2) {
        message->text = cli->args[1];
        return SES_OK;
    }
    SES_TRY(cli_read_file(cli, "-", ses_client_message_max(), data));
    if (data->len > 0 && memchr(data->bytes, 0, data->len) != NULL) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "standard input is no text: send other data with --file -");
    }
    SES_TRY(ses_buf_append(data, "", 1));
    message->text = (const char *)data->bytes;
    return SES_OK;
}

static enum ses_err receipts_print(struct cli *cli, const struct ses_client_sent *sent)
{
    char nodes[SES_CLIENT_NODES_MAX][SES_CLIENT_NODE_TEXT];
    unsigned valid = 0;
    SES_TRY(cli_client_err(cli, ses_client_receipts(cli->client, sent, &valid, nodes, &cli->why)));
    if (!cli->json) {
        printf("Verified %u receipts against the registry's keys.\n", valid);
    }
    return SES_OK;
}

static enum ses_err send_run(struct cli *cli, struct ses_client_send *message)
{
    struct ses_client_sent sent = {0};
    const enum ses_err err =
        cli_client_err(cli, ses_client_send(cli->client, message, &sent, &cli->why));
    if (err != SES_OK) {
        if (sent.state == SES_CLIENT_PENDING && !cli->json) {
            fprintf(stderr, "session: the message is in the outbox. The next send or receive tries "
                            "again, or session outbox --retry.\n");
        }
        return err;
    }
    if (!cli->json) {
        sent_print(&sent);
    }
    if (ses_config_flag(cli->config, "verify") && sent.state == SES_CLIENT_STORED) {
        SES_TRY(receipts_print(cli, &sent));
    }
    return cli_print_json(cli, sent_json(&sent));
}

static enum ses_err message_send(struct cli *cli)
{
    struct ses_buf data = {0};
    struct ses_client_send message = {
        .size = sizeof message,
        .to = cli->args[0],
        .sign_body = ses_config_flag(cli->config, "sign-body"),
    };
    struct ses_session_id to;
    SES_TRY(ttl_parse(cli, &message.ttl));
    if (ses_session_id_parse(&to, message.to, &cli->note) != SES_OK) {
        return SES_ERR_INVALID;
    }
    SES_TRY(cli_client(cli));
    enum ses_err err = content_read(cli, &message, &data);
    if (err == SES_OK) {
        err = send_run(cli, &message);
    }
    ses_buf_free(&data);
    return err;
}

/* ---- outbox ---- */

struct outbox {
    struct cli *cli;
    unsigned cnt;
};

static void outbox_print(const struct ses_client_sent *sent)
{
    static const uint8_t zero[sizeof sent->id];
    char id[2 * sizeof sent->id + 1];
    const bool waits = sent->state == SES_CLIENT_PENDING && sent->last_err != 0;
    char when[32] = "not sealed yet  "; /* until the recipient's card and the swarm are known */
    if (sent->ts_ms > 0) {
        cli_time_text(when, sent->ts_ms);
    }
    printf("[%s] %-8s", when,
           sent->state == SES_CLIENT_STORED    ? "stored"
           : sent->state == SES_CLIENT_PENDING ? "pending"
                                               : "failed");
    if (sent->quorum > 0) {
        printf(" receipts of %u (%u needed), ", sent->node_cnt, sent->quorum);
    }
    printf("%u attempt%s", sent->attempts, sent->attempts == 1 ? "" : "s");
    printf("%s%s\n    to %s\n", waits ? "; " : "", waits ? ses_client_err_text(sent->last_err) : "",
           sent->to);
    if (memcmp(sent->id, zero, sizeof zero) != 0) {
        ses_hex_encode(id, sent->id, sizeof sent->id);
        printf("    id %s\n", id);
    }
}

static int outbox_each(void *cookie, const struct ses_client_sent *sent)
{
    struct outbox *outbox = cookie;
    struct cli *cli = outbox->cli;
    outbox->cnt++;
    if (cli->json) {
        return cli_print_json(cli, sent_json(sent)) == SES_OK ? 0 : 1;
    }
    outbox_print(sent);
    return 0;
}

/* Why the last one that is pending is. */
static int pending_reason(void *cookie, const struct ses_client_sent *sent)
{
    int *why = cookie;
    if (sent->state == SES_CLIENT_PENDING) {
        *why = sent->last_err;
    }
    return 0;
}

static enum ses_err pending_complain(struct cli *cli, unsigned left)
{
    int why = 0;
    SES_TRY(cli_client_err(cli, ses_client_outbox(cli->client, pending_reason, &why, &cli->why)));
    return cli_fail(cli, SES_ERR_UNREACHABLE, "%u message%s still pending: %s", left,
                    left == 1 ? " is" : "s are",
                    why != 0 ? ses_client_err_text(why) : "fewer receipts than needed so far");
}

static enum ses_err message_outbox(struct cli *cli)
{
    SES_TRY(cli_client(cli));
    unsigned left = 0;
    if (ses_config_flag(cli->config, "retry")) {
        SES_TRY(cli_client_err(cli, ses_client_flush(cli->client, 1, &left, &cli->why)));
    }
    struct outbox outbox = {.cli = cli};
    SES_TRY(cli_client_err(cli, ses_client_outbox(cli->client, outbox_each, &outbox, &cli->why)));
    if (!cli->json && outbox.cnt == 0) {
        printf("The outbox is empty.\n");
    }
    return left == 0 ? SES_OK : pending_complain(cli, left);
}

/* ---- receive ---- */

struct receive {
    struct cli *cli;
    const char *dir; /* files go here */
    enum ses_err err;
    struct ses_note why; /* with err: what is wrong with the files */
};

/* The sender chose the name: the client lets no '/' and no control characters through, and an
 * existing file is never replaced. */
static enum ses_err file_save(struct receive *r, const struct ses_client_message *m, char *path,
                              size_t cap)
{
    if (ses_config_get(r->cli->config, "files") == NULL) {
        mkdir(r->dir, 0700); /* if it fails, so does the file, with the reason */
    }
    for (unsigned n = 0; n < 1000; n++) {
        const char *name = m->text[0] == '.' || m->text[0] == 0 ? "received-file" : m->text;
        if (n == 0) {
            snprintf(path, cap, "%s/%s", r->dir, name);
        } else {
            snprintf(path, cap, "%s/%s.%u", r->dir, name, n);
        }
        const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            close(fd);
            return cli_write_file(r->cli, path, m->data, m->data_bytes, 0600);
        }
    }
    return cli_fail(r->cli, SES_ERR_IO, "cannot write the received file into %.200s: %s", r->dir,
                    strerror(errno));
}

/* Without --files they go into the profile. A file that was shown does not come again, so it is
 * never dropped. */
static enum ses_err files_dir(struct cli *cli, char *out, size_t cap)
{
    const char *given = ses_config_get(cli->config, "files");
    if (given != NULL) {
        snprintf(out, cap, "%s", given);
        return SES_OK;
    }
    SES_TRY(cli_profile_dir(cli, out, cap));
    const size_t len = strlen(out);
    snprintf(out + len, cap - len, "/files");
    return SES_OK;
}

static enum ses_err message_json(struct receive *r, const struct ses_client_message *m,
                                 const char *path)
{
    json_t *json = json_pack("{s:s,s:s,s:o,s:I,s:s,s:s}", "from", m->sender, "name", m->name, "id",
                             ses_json_hex(m->id, 32), "sent_ms", (json_int_t)m->sent_ms, "kind",
                             m->kind == SES_CLIENT_TEXT   ? "text"
                             : m->kind == SES_CLIENT_FILE ? "file"
                                                          : "unsupported",
                             "text", m->text == NULL ? "" : m->text);
    SES_REQUIRE(json != NULL, SES_ERR_MALFORMED);
    if (m->kind == SES_CLIENT_FILE) {
        json_object_set_new(json, "bytes", json_integer((json_int_t)m->data_bytes));
        json_object_set_new(json, "path", path[0] != 0 ? json_string(path) : json_null());
    }
    return cli_print_json(r->cli, json);
}

/* Text from others goes to a terminal: control characters, also those of two bytes (U+0080 to
 * U+009F), must not reach it, and no line of it may look like the next message. */
static void text_print(const char *text)
{
    for (const char *at = text; *at != 0; at++) {
        const unsigned char c = (unsigned char)*at;
        const bool two = c == 0xc2 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0;
        putchar(two || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c);
        fputs(c == '\n' ? "    " : "", stdout);
        at += two;
    }
}

static void message_print(const struct ses_client_message *m, const char *path)
{
    char when[32];
    cli_time_text(when, m->sent_ms);
    printf("[%s] %s%s", when, m->sender, m->name[0] != 0 ? " (" : "");
    text_print(m->name);
    printf("%s: ", m->name[0] != 0 ? ")" : "");
    if (m->kind == SES_CLIENT_TEXT) {
        text_print(m->text);
    } else if (m->kind == SES_CLIENT_FILE) {
        printf("file, %zu bytes, saved as ", m->data_bytes);
        text_print(path);
    } else {
        printf("a kind of message that this version does not support");
    }
    putchar('\n');
}

static int on_message(void *cookie, const struct ses_client_message *m)
{
    struct receive *r = cookie;
    char path[4096] = "";
    if (m->kind == SES_CLIENT_FILE) {
        r->err = file_save(r, m, path, sizeof path);
    }
    if (r->err == SES_OK && r->cli->json) {
        r->err = message_json(r, m, path);
    } else if (r->err == SES_OK) {
        message_print(m, path);
    }
    fflush(stdout);
    r->why = r->cli->note;
    return r->err == SES_OK ? 0 : 1;
}

/* Waits for Ctrl-C or SIGTERM, which are blocked in every other thread, and ends the watch. */
static void *interrupt_wait(void *cookie)
{
    struct cli *cli = cookie;
    sigset_t set;
    int signum = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigwait(&set, &signum);
    ses_client_stop(cli->client);
    return NULL;
}

static enum ses_err watch_run(struct receive *r)
{
    sigset_t set;
    pthread_t waiter;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 ||
        pthread_create(&waiter, NULL, interrupt_wait, r->cli) != 0) {
        return cli_fail(r->cli, SES_ERR_MEMORY, "cannot start a thread for signals");
    }
    cli_progress("Waiting for messages; Ctrl-C ends.");
    const int err = ses_client_watch(r->cli->client, on_message, r, &r->cli->why);
    /* blocked, and what it waits for: NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread) */
    pthread_kill(waiter, SIGTERM);
    pthread_join(waiter, NULL);
    return cli_client_err(r->cli, err);
}

static void receive_summary(const struct cli *cli, const struct ses_client_received *got)
{
    if (!cli->json && got->delivered == 0) {
        printf("No new messages.\n");
    }
    if (got->asked < got->wanted) {
        fprintf(stderr,
                "session: only %u of %u nodes answered: a message may be missing until they are "
                "back.\n",
                got->asked, got->wanted);
    }
    if (got->waiting > 0) {
        fprintf(stderr,
                "session: %u message%s: the contact card of the sender is out of reach now. "
                "Receive again later.\n",
                got->waiting, got->waiting == 1 ? " waits" : "s wait");
    }
    if (got->unopenable > 0) {
        fprintf(stderr, "session: %u records in the inbox could not be opened and were dropped.\n",
                got->unopenable);
    }
    if (got->junk > 0) {
        fprintf(stderr,
                "session: %u node%s sent junk: records that no other node has and nobody can open, "
                "or an answer that breaks the rules. Nothing is lost by it; `session verify` "
                "compares the nodes.\n",
                got->junk, got->junk == 1 ? "" : "s");
    }
}

/* What went wrong with a file says more than "a message was not taken". */
static enum ses_err receive_error(struct receive *r, enum ses_err err)
{
    if (r->err != SES_OK) {
        r->cli->note = r->why;
        return r->err;
    }
    return err;
}

static enum ses_err message_receive(struct cli *cli)
{
    char dir[1200];
    SES_TRY(cli_client(cli));
    SES_TRY(files_dir(cli, dir, sizeof dir));
    struct receive r = {.cli = cli, .dir = dir};
    enum ses_err err = SES_OK;
    struct ses_client_received got = {.more = 1};
    if (ses_config_flag(cli->config, "watch")) {
        return receive_error(&r, watch_run(&r));
    }
    struct ses_client_received all = {0};
    while (err == SES_OK && got.more) {
        err = cli_client_err(cli, ses_client_receive(cli->client, on_message, &r, &got, &cli->why));
        all.delivered += got.delivered;
        all.unopenable += got.unopenable;
        all.junk = got.junk > all.junk ? got.junk : all.junk;
        all.waiting = got.waiting;
        all.asked = got.asked;
        all.wanted = got.wanted;
    }
    if (err == SES_OK) {
        receive_summary(cli, &all);
    }
    return receive_error(&r, err);
}

static const struct ses_config_key send_keys[] = {
    {"file", NULL, "send this file (- for standard input)", false},
    {"ttl", NULL, "how long the swarm keeps it: 1h, 1d, 7d (the default), 14d or 30d", false},
    {"sign-body", "false", "let the recipient prove to others what was said", true},
    {"verify", "false", "fetch the nodes' receipts and check each signature", true},
    {0},
};
static const struct ses_config_key receive_keys[] = {
    {"watch", "false", "stay connected and print messages as they arrive", true},
    {"files", NULL, "directory for received files (default PROFILE/files)", false},
    {0},
};
static const struct ses_config_key outbox_keys[] = {
    {"retry", "false", "try everything that is pending now", true},
    {0},
};

const struct cli_command cli_message_commands[] = {
    {"send", "TO [TEXT]", "send a text (or standard input, or --file F)",
     "session send 07ab... \"Hello\"", 1, 2, message_send, send_keys, CLI_PERSON},
    {"receive", "", "fetch, open and print new messages", "session receive --watch", 0, 0,
     message_receive, receive_keys, CLI_PERSON},
    {"outbox", "", "messages sent, and those that wait to be", "session outbox --retry", 0, 0,
     message_outbox, outbox_keys, CLI_PERSON},
    {0},
};
