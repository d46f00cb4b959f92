/* session seal, open: sealed files without any network. A v1 file is one record: header 48 and the
 * envelope; a v0 file is upstream's EncryptToRecipient, byte for byte. */
#include "cli/cli_internal.h"

#include <string.h>

#define SEALED_MAX (SES_RECORD_HEADER_BYTES + SES_PAYLOAD_MAX)
#define V0_BODY_MAX (64u << 20)
#define CARD_FILE_MAX 16384u

static enum ses_err card_load(struct cli *cli, struct ses_card *card)
{
    const char *path = ses_config_get(cli->config, "to");
    if (path == NULL) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "--to CARDFILE is needed: the recipient makes it with `session id card "
                        "--out FILE`");
    }
    struct ses_buf bytes = {0};
    enum ses_err err = cli_read_file(cli, path, CARD_FILE_MAX, &bytes);
    if (err == SES_OK) {
        err = ses_card_read(card, bytes.bytes, bytes.len);
        if (err != SES_OK) {
            err = cli_fail(cli, err, "%.200s is no valid contact card", path);
        }
    }
    ses_buf_free(&bytes);
    return err;
}

static enum ses_err seal0(struct cli *cli, const struct ses_card *to, const struct ses_buf *in,
                          struct ses_buf *out)
{
    (void)cli;
    SES_TRY(ses_buf_reserve(out, in->len + SES_ENVELOPE0_OVERHEAD));
    SES_TRY(ses_seal0(out->bytes, &to->kem_pk, in->bytes, in->len, ses_random_system()));
    out->len = in->len + SES_ENVELOPE0_OVERHEAD;
    return SES_OK;
}

static enum ses_err seal1(struct cli *cli, const struct ses_card *to, const struct ses_buf *in,
                          struct ses_buf *out)
{
    SES_TRY(cli_client(cli));
    const struct ses_identity *from = NULL;
    SES_TRY(cli_client_err(cli, (int)ses_client_identity(cli->client, &from, &cli->why)));
    struct ses_buf body = {0};
    const char *name = ses_config_get(cli->config, "in");
    const uint64_t now_ms = ses_now_ms(ses_clock_system());
    const struct ses_content content = {.kind = SES_CONTENT_FILE,
                                        .composed_ms = now_ms,
                                        .text = cli_file_name(name),
                                        .data = in->bytes,
                                        .data_bytes = in->len};
    enum ses_err err = ses_content_encode(&body, &content);
    struct ses_seal1 message = {.from = from,
                                .to = to,
                                .ns = SES_NS_INBOX,
                                .ttl_class = 4,
                                .type = SES_CONTENT_TYPE,
                                .with_keys = true,
                                .body = body.bytes,
                                .body_bytes = body.len};
    ses_random_fill(ses_random_system(), message.uuid, sizeof message.uuid);
    if (err == SES_OK) {
        err = ses_seal1(out, &message, now_ms, ses_random_system());
    }
    if (err == SES_ERR_TOO_LARGE) {
        err = cli_fail(cli, err, "a sealed file holds at most %zu bytes (--v0 has no such limit)",
                       ses_envelope1_body_max(true) - 1024);
    }
    if (body.bytes != NULL) {
        ses_wipe(body.bytes, body.cap);
    }
    ses_buf_free(&body);
    return err;
}

static enum ses_err io_paths(struct cli *cli, const char **in, const char **out)
{
    *in = ses_config_get(cli->config, "in");
    *out = ses_config_get(cli->config, "out");
    if (*in == NULL || *out == NULL) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "--in FILE and --out FILE are needed (- for standard "
                        "input and output)");
    }
    return SES_OK;
}

static enum ses_err file_seal(struct cli *cli)
{
    const char *in_path = NULL;
    const char *out_path = NULL;
    SES_TRY(io_paths(cli, &in_path, &out_path));
    const bool v0 = ses_config_flag(cli->config, "v0");
    struct ses_card *to = ses_alloc(1, sizeof *to);
    struct ses_buf in = {0};
    struct ses_buf out = {0};
    enum ses_err err = to == NULL ? SES_ERR_MEMORY : card_load(cli, to);
    if (err == SES_OK) {
        err = cli_read_file(cli, in_path, v0 ? V0_BODY_MAX : SES_PAYLOAD_MAX, &in);
    }
    if (err == SES_OK) {
        err = v0 ? seal0(cli, to, &in, &out) : seal1(cli, to, &in, &out);
    }
    if (err == SES_OK) {
        err = cli_write_file(cli, out_path, out.bytes, out.len, 0644);
    }
    if (in.bytes != NULL) {
        ses_wipe(in.bytes, in.cap);
    }
    ses_buf_free(&in);
    ses_buf_free(&out);
    ses_free(to);
    return err;
}

static enum ses_err card_unknown(void *cookie, const struct ses_session_id *id,
                                 struct ses_card *out)
{
    (void)cookie;
    (void)id;
    (void)out;
    return SES_ERR_NOT_FOUND; /* sealed files show the sender's keys */
}

static enum ses_err open1(struct cli *cli, const struct ses_identity *to, const struct ses_buf *in,
                          const char *out_path)
{
    SES_REQUIRE(in->len > SES_RECORD_HEADER_BYTES, SES_ERR_OPEN);
    const struct ses_record record = {in->bytes, in->bytes + SES_RECORD_HEADER_BYTES,
                                      (uint32_t)(in->len - SES_RECORD_HEADER_BYTES)};
    struct ses_opened1 opened = {0};
    struct ses_content content = {0};
    struct ses_content_owner *owner = NULL;
    SES_TRY(ses_open1(&opened, to, &record, card_unknown, NULL));
    enum ses_err err = ses_content_decode(&content, &owner, opened.body.bytes, opened.body.len);
    if (err == SES_OK && content.kind != SES_CONTENT_FILE) {
        err = cli_fail(cli, SES_ERR_MALFORMED, "it opens, but holds no file");
    }
    if (err == SES_OK) {
        err = cli_write_file(cli, out_path, content.data, content.data_bytes, 0600);
    }
    if (err == SES_OK) {
        char sender[SES_SESSION_ID_TEXT];
        ses_session_id_text(sender, &opened.sender);
        fprintf(stderr, "Sealed by %s\n", sender);
    }
    ses_content_free(owner);
    ses_opened1_free(&opened);
    return err;
}

static enum ses_err open0(struct cli *cli, const struct ses_identity *to, const struct ses_buf *in,
                          const char *out_path)
{
    SES_REQUIRE(in->len >= SES_ENVELOPE0_OVERHEAD, SES_ERR_OPEN);
    const size_t len = in->len - SES_ENVELOPE0_OVERHEAD;
    uint8_t *plain = ses_alloc(len + 1, 1);
    SES_REQUIRE(plain != NULL, SES_ERR_MEMORY);
    enum ses_err err = ses_open0(plain, to, in->bytes, in->len);
    if (err == SES_OK) {
        err = cli_write_file(cli, out_path, plain, len, 0600);
    }
    ses_wipe(plain, len);
    ses_free(plain);
    return err;
}

static enum ses_err file_open(struct cli *cli)
{
    const char *in_path = NULL;
    const char *out_path = NULL;
    SES_TRY(io_paths(cli, &in_path, &out_path));
    const bool v0 = ses_config_flag(cli->config, "v0");
    SES_TRY(cli_client(cli));
    const struct ses_identity *to = NULL;
    SES_TRY(cli_client_err(cli, (int)ses_client_identity(cli->client, &to, &cli->why)));
    struct ses_buf in = {0};
    enum ses_err err =
        cli_read_file(cli, in_path, v0 ? V0_BODY_MAX + SES_ENVELOPE0_OVERHEAD : SEALED_MAX, &in);
    if (err == SES_OK) {
        err = v0 ? open0(cli, to, &in, out_path) : open1(cli, to, &in, out_path);
        if (err == SES_ERR_OPEN) {
            err = cli_fail(cli, err,
                           "%.200s cannot be opened: it was sealed to another identity, or damaged "
                           "on the way%s",
                           in_path, v0 ? "" : ", or is an upstream (--v0) file");
        }
    }
    ses_buf_free(&in);
    return err;
}

static const struct ses_config_key seal_keys[] = {
    {"to", NULL, "the recipient's card file", false},
    {"in", NULL, "file to read, - for standard input", false},
    {"out", NULL, "file to write, - for standard output", false},
    {"v0", "false", "upstream's format (no sender, no padding)", true},
    {0},
};
static const struct ses_config_key open_keys[] = {
    {"in", NULL, "file to read, - for standard input", false},
    {"out", NULL, "file to write, - for standard output", false},
    {"v0", "false", "upstream's format", true},
    {0},
};

const struct cli_command cli_file_commands[] = {
    {"seal", "--to CARD --in F --out F", "seal a file to somebody's card, offline",
     "session seal --to bob.card --in plan.pdf --out plan.sealed", 0, 0, file_seal, seal_keys,
     CLI_PERSON},
    {"open", "--in F --out F", "open a sealed file", "session open --in plan.sealed --out plan.pdf",
     0, 0, file_open, open_keys, CLI_PERSON},
    {0},
};
