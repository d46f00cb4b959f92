/* Content of a message: protobuf, so that kinds can be added without breaking old readers. */
#include <string.h>

#include "messaging/content.pb-c.h"
#include "messaging/messaging.h"

/* The decoded message; views of ses_content point into it or into `raw`. */
struct ses_content_owner {
    Session__Content *message;
    struct ses_buf raw;
};

static enum ses_err check_content(const struct ses_content *c)
{
    switch (c->kind) {
    case SES_CONTENT_TEXT:
        SES_REQUIRE(c->text != NULL && ses_utf8_valid(c->text, strlen(c->text)), SES_ERR_INVALID);
        return SES_OK;
    case SES_CONTENT_FILE:
        SES_REQUIRE(c->text != NULL && ses_file_name_valid(c->text), SES_ERR_INVALID);
        SES_REQUIRE(c->data != NULL || c->data_bytes == 0, SES_ERR_INVALID);
        return SES_OK;
    case SES_CONTENT_UNSUPPORTED:
        break;
    }
    return SES_ERR_INVALID;
}

enum ses_err ses_content_encode(struct ses_buf *out, const struct ses_content *content)
{
    Session__Content message = SESSION__CONTENT__INIT;
    Session__Text text = SESSION__TEXT__INIT;
    Session__File file = SESSION__FILE__INIT;
    struct ses_hash token = content->token;
    SES_TRY(check_content(content));
    SES_REQUIRE(content->data_bytes <= SES_PAYLOAD_MAX, SES_ERR_TOO_LARGE);
    message.composed_ms = content->composed_ms;
    if (content->kind == SES_CONTENT_TEXT) {
        text.text = (char *)(uintptr_t)content->text;
        message.kind_case = SESSION__CONTENT__KIND_TEXT;
        message.text = &text;
    } else {
        file.name = (char *)(uintptr_t)content->text;
        file.data.data = (uint8_t *)(uintptr_t)content->data;
        file.data.len = content->data_bytes;
        message.kind_case = SESSION__CONTENT__KIND_FILE;
        message.file = &file;
    }
    if (content->has_token) {
        message.token.data = token.bytes;
        message.token.len = sizeof token.bytes;
    }
    const size_t len = session__content__get_packed_size(&message);
    SES_TRY(ses_buf_reserve(out, len));
    out->len += session__content__pack(&message, out->bytes + out->len);
    ses_wipe(&token, sizeof token);
    return SES_OK;
}

static void fill_text(struct ses_content *out, const Session__Text *text)
{
    if (ses_utf8_valid(text->text, strlen(text->text))) {
        out->kind = SES_CONTENT_TEXT;
        out->text = text->text;
    }
}

static void fill_file(struct ses_content *out, const Session__File *file)
{
    if (ses_file_name_valid(file->name)) {
        out->kind = SES_CONTENT_FILE;
        out->text = file->name;
        out->data = file->data.data;
        out->data_bytes = file->data.len;
    }
}

/* A kind that we do not know, or that says what we would not write, stays "unsupported" with its
 * bytes: a newer reader may make sense of it. */
static void fill(struct ses_content *out, const struct ses_content_owner *owner)
{
    const Session__Content *m = owner->message;
    memset(out, 0, sizeof *out);
    out->kind = SES_CONTENT_UNSUPPORTED;
    out->composed_ms = m->composed_ms;
    if (m->token.len == sizeof out->token.bytes) {
        out->has_token = true;
        memcpy(out->token.bytes, m->token.data, sizeof out->token.bytes);
    }
    if (m->kind_case == SESSION__CONTENT__KIND_TEXT) {
        fill_text(out, m->text);
    } else if (m->kind_case == SESSION__CONTENT__KIND_FILE) {
        fill_file(out, m->file);
    }
    if (out->kind == SES_CONTENT_UNSUPPORTED) {
        out->data = owner->raw.bytes;
        out->data_bytes = owner->raw.len;
    }
}

/* Packing again must give as many bytes: what protobuf-c drops or folds (a NUL inside a text, a
 * field given twice, overlong numbers) could make two readers see two messages. */
static enum ses_err check_canonical(const Session__Content *m, size_t len)
{
    SES_REQUIRE(session__content__get_packed_size(m) == len, SES_ERR_MALFORMED);
    SES_REQUIRE(m->token.len == 0 || m->token.len == 32, SES_ERR_MALFORMED);
    return SES_OK;
}

enum ses_err ses_content_decode(struct ses_content *out, struct ses_content_owner **owner,
                                const uint8_t *bytes, size_t len)
{
    memset(out, 0, sizeof *out);
    *owner = NULL;
    SES_REQUIRE(len <= SES_PAYLOAD_MAX, SES_ERR_TOO_LARGE);
    struct ses_content_owner *o = ses_alloc(1, sizeof *o);
    SES_REQUIRE(o != NULL, SES_ERR_MEMORY);
    enum ses_err err = ses_buf_append(&o->raw, bytes, len);
    if (err != SES_OK) {
        goto out;
    }
    o->message = session__content__unpack(NULL, o->raw.len, o->raw.bytes);
    err = o->message != NULL ? check_canonical(o->message, len) : SES_ERR_MALFORMED;
    if (err != SES_OK) {
        goto out;
    }
    fill(out, o);
    *owner = o;
    return SES_OK;
out:
    ses_content_free(o);
    return err;
}

void ses_content_free(struct ses_content_owner *owner)
{
    if (owner == NULL) {
        return;
    }
    if (owner->message != NULL) {
        session__content__free_unpacked(owner->message, NULL);
    }
    if (owner->raw.bytes != NULL) {
        ses_wipe(owner->raw.bytes, owner->raw.cap);
    }
    ses_buf_free(&owner->raw);
    ses_free(owner);
}
