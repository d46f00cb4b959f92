/* From what an application wants to send to an item in the outbox. */
#include <string.h>

#include "client/client_internal.h"

#define FIELDS_MAX 64u /* what content and token add around text and data */
#define WAIT_MAX_MS 600000u

size_t ses_client_message_max(void)
{
    return ses_envelope1_body_max(true) - FIELDS_MAX;
}

static enum ses_err check_size(const struct ses_client_send *m, struct ses_note *note)
{
    size_t size = m->text != NULL ? strlen(m->text) : 0;
    if (m->kind == SES_CLIENT_FILE) {
        size = m->data_bytes > SIZE_MAX - size - 16 ? SIZE_MAX : size + m->data_bytes + 16;
    }
    if (size > ses_client_message_max()) {
        ses_note_set(note,
                     "%zu bytes are too many for one message: at most %zu (text, or file "
                     "and its name). Split or compress it",
                     size, ses_client_message_max());
        return SES_ERR_TOO_LARGE;
    }
    return SES_OK;
}

static enum ses_err check_message(const struct ses_client_send *m, struct ses_note *note)
{
    if (m == NULL || m->size != sizeof *m) {
        ses_note_set(note,
                     "message.size is not sizeof(struct ses_client_send): zero the struct and "
                     "set size");
        return SES_ERR_INVALID;
    }
    if (m->kind != SES_CLIENT_TEXT && m->kind != SES_CLIENT_FILE) {
        ses_note_set(note, "only texts and files can be sent");
        return SES_ERR_INVALID;
    }
    if (m->to == NULL || m->text == NULL) {
        ses_note_set(note, m->to == NULL ? "the recipient is missing"
                                         : "the text (or the file's name) is missing");
        return SES_ERR_INVALID;
    }
    if ((unsigned)m->ttl > SES_CLIENT_TTL_MONTH || m->wait_ms > WAIT_MAX_MS) {
        ses_note_set(note, "ttl or wait_ms is out of range (wait at most %u ms)", WAIT_MAX_MS);
        return SES_ERR_INVALID;
    }
    SES_TRY(check_size(m, note));
    if (m->kind == SES_CLIENT_FILE && !ses_file_name_valid(m->text)) {
        ses_note_set(note, "the file's name must be UTF-8 of at most 255 bytes, without folders or "
                           "control characters");
        return SES_ERR_INVALID;
    }
    if (!ses_utf8_valid(m->text, strlen(m->text))) {
        ses_note_set(note, "the text is not UTF-8");
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

/* Keys are shown where they cost nothing (the padded size is the same), and as long as the
 * recipient never wrote to us: he may not have them. */
static bool show_keys(const struct ses_contact *contact, size_t body_bytes)
{
    uint8_t with = 0;
    uint8_t without = 0;
    if (contact == NULL || !contact->has_token) {
        return true;
    }
    return ses_pad_class_for(&with, body_bytes, true) == SES_OK &&
           ses_pad_class_for(&without, body_bytes, false) == SES_OK && with == without;
}

static enum ses_err encode(struct ses_client *c, const struct ses_client_send *m,
                           struct ses_buf *body)
{
    struct ses_content content = {.kind = m->kind == SES_CLIENT_FILE ? SES_CONTENT_FILE
                                                                     : SES_CONTENT_TEXT,
                                  .composed_ms = ses_client_now(c),
                                  .text = m->text,
                                  .data = m->data,
                                  .data_bytes = m->kind == SES_CLIENT_FILE ? m->data_bytes : 0};
    /* a token that no node has heard of would help nobody */
    content.has_token = c->state.has_token && c->state.card_published_ms != 0;
    if (content.has_token) {
        content.token = c->state.token;
    }
    const enum ses_err err = ses_content_encode(body, &content);
    ses_wipe(&content, sizeof content);
    return err;
}

static enum ses_err check_ttl(const struct ses_client_send *m, const struct ses_contact *contact,
                              uint8_t *ttl_class, struct ses_note *note)
{
    *ttl_class = m->ttl == SES_CLIENT_TTL_DEFAULT ? 2 : (uint8_t)(m->ttl - 1);
    if (*ttl_class > 2 && (contact == NULL || !contact->has_token)) {
        ses_note_set(note, "more than a week is only for people who wrote to you before: a "
                           "stranger's message is kept 7 days at most");
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

/* Remembers the recipient and puts the item on disk, in one transaction. */
static enum ses_err queue(struct ses_client *c, const struct ses_client_send *m,
                          const struct ses_card *card, uint64_t published_ms,
                          struct ses_outbox_item *item, struct ses_note *note)
{
    struct ses_contact *contact = NULL;
    struct ses_buf body = {0};
    uint8_t ttl_class = 0;
    enum ses_err err =
        ses_contacts_put(&c->contacts, card, published_ms, true, ses_client_now(c), &contact);
    if (err == SES_ERR_FULL) {
        ses_note_set(note, "the profile holds %u contacts, which is the limit",
                     SES_CLIENT_CONTACTS_MAX);
    }
    if (err == SES_OK) {
        err = check_ttl(m, contact, &ttl_class, note);
    }
    if (err == SES_OK) {
        err = encode(c, m, &body);
    }
    if (err == SES_OK) {
        err = ses_outbox_init(item, &card->id, body.bytes, body.len, ses_client_now(c), c->random);
    }
    if (err == SES_OK) {
        item->ttl_class = ttl_class;
        item->sign_body = m->sign_body != 0;
        item->with_keys = show_keys(contact, body.len);
        err = ses_outbox_save(c, item, ses_client_now(c) + SES_CLIENT_LEASE_MS, note);
    }
    if (body.bytes != NULL) {
        ses_wipe(body.bytes, body.cap);
    }
    ses_buf_free(&body);
    return err;
}

static enum ses_err check_room(struct ses_client *c, struct ses_note *note)
{
    struct ses_buf uuids = {0};
    const enum ses_err err = ses_outbox_list(c, SES_OUTBOX_PENDING, &uuids, note);
    const size_t cnt = uuids.len / 16;
    ses_buf_free(&uuids);
    SES_TRY(err);
    if (cnt >= SES_CLIENT_OUTBOX_MAX) {
        ses_note_set(note,
                     "%u messages wait in the outbox, which is the limit: send more when some of "
                     "them are stored",
                     SES_CLIENT_OUTBOX_MAX);
        return SES_ERR_FULL;
    }
    return SES_OK;
}

static enum ses_err compose(struct ses_client *c, const struct ses_client_send *m,
                            struct ses_outbox_item *item, struct ses_note *note)
{
    struct ses_session_id to;
    struct ses_card card;
    uint64_t published_ms;
    SES_TRY(check_message(m, note));
    SES_TRY(ses_session_id_parse(&to, m->to, note));
    SES_TRY(ses_client_need_identity(c, note));
    SES_TRY(check_room(c, note));
    SES_TRY(ses_client_find_card(c, &to, false, &card, &published_ms, note));
    SES_TRY(ses_client_begin(c, note));
    const enum ses_err err = queue(c, m, &card, published_ms, item, note);
    if (err != SES_OK) {
        ses_outbox_free(item);
        ses_client_abort(c);
        return err;
    }
    return ses_client_commit(c, SES_SAVE_CONTACTS, note);
}

static enum ses_err transmit(struct ses_client *c, struct ses_outbox_item *item, unsigned wait_ms,
                             struct ses_note *note)
{
    enum ses_err err = ses_client_need_map(c, false, note);
    if (err == SES_OK) {
        err = ses_client_need_net(c, note);
    }
    if (err == SES_OK) {
        return ses_client_work(c, item, wait_ms, note);
    }
    /* no network: it waits in the outbox */
    ses_outbox_lost(item, err, 1, ses_client_now(c));
    struct ses_note ignored;
    SES_TRY(ses_outbox_save(c, item, 0, &ignored));
    return err;
}

/* The state of the item as the result of the call: an error that stands in the way is told. */
static enum ses_err outcome(const struct ses_outbox_item *item, struct ses_note *note)
{
    if (item->state == SES_OUTBOX_STORED || item->state == SES_OUTBOX_CHECK) {
        return SES_OK;
    }
    const enum ses_err err = item->last_err != SES_OK ? item->last_err : SES_ERR_TIMEOUT;
    struct ses_note told = *note;
    const bool lost =
        item->last_err == SES_OK && item->attempts > 0; /* it was taken, and is gone */
    const char *why = told.text[0] != 0 ? told.text
                      : lost            ? "the node that took it shows no receipt of any node"
                                        : ses_err_text(err);
    if (item->state == SES_OUTBOX_FAILED) {
        ses_note_set(note, "given up after %u attempts: %.300s", item->attempts, why);
        return err;
    }
    const bool silent = err == SES_ERR_TIMEOUT || err == SES_ERR_UNREACHABLE;
    ses_note_set(note, "not stored yet, %u node%s tried: %.300s. The message stays in the outbox",
                 item->attempts, item->attempts == 1 ? "" : "s", why);
    return silent ? SES_ERR_UNREACHABLE : err;
}

static void write_history(struct ses_client *c, const struct ses_client_send *m,
                          const struct ses_outbox_item *item)
{
    struct ses_note note = {0};
    const struct ses_content content = {.kind = m->kind == SES_CLIENT_FILE ? SES_CONTENT_FILE
                                                                           : SES_CONTENT_TEXT,
                                        .text = m->text,
                                        .data_bytes = m->data_bytes};
    if (c->keep_history && ses_client_history(c, "sent", m->to, item->created_ms, item->uuid,
                                              &content, &note) != SES_OK) {
        ses_logf(&c->log, SES_LOG_WARN, "history", "%s", note.text);
    }
}

int ses_client_send(struct ses_client *c, const struct ses_client_send *m,
                    struct ses_client_sent *out, struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_outbox_item item;
    unsigned left = 0;
    memset(out, 0, sizeof *out);
    memset(&item, 0, sizeof item);
    enum ses_err err = compose(c, m, &item, &n);
    if (err != SES_OK) {
        return ses_client_finish(c, err, &n, note);
    }
    write_history(c, m, &item);
    n.text[0] = 0;
    err = transmit(c, &item, m->wait_ms != 0 ? m->wait_ms : SES_CLIENT_WAIT_MS, &n);
    if (err == SES_OK) {
        struct ses_note ignored = {0};
        err = outcome(&item, &n);
        if (item.state == SES_OUTBOX_STORED) { /* the network works: what else is due goes too */
            ses_client_keep_card(c, false);
            (void)!ses_client_flush_due(c, false, &left, &ignored);
        }
    }
    ses_client_sent_of(out, &item);
    ses_outbox_free(&item);
    return ses_client_finish(c, err, &n, note);
}

int ses_client_flush(struct ses_client *c, int now, unsigned *left, struct ses_client_note *note)
{
    struct ses_note n = {0};
    unsigned cnt = 0;
    enum ses_err err = ses_client_need_identity(c, &n);
    if (err == SES_OK) {
        err = ses_client_need_map(c, false, &n);
    }
    if (err == SES_OK) {
        err = ses_client_flush_due(c, now != 0, &cnt, &n);
    }
    if (left != NULL) {
        *left = cnt;
    }
    return ses_client_finish(c, err, &n, note);
}

static enum ses_err each_sent(struct ses_client *c, enum ses_outbox_folder folder,
                              int (*each)(void *cookie, const struct ses_client_sent *sent),
                              void *cookie, bool *stop, struct ses_note *note)
{
    struct ses_buf uuids = {0};
    const enum ses_err err = ses_outbox_list(c, folder, &uuids, note);
    for (size_t at = 0; err == SES_OK && at < uuids.len && !*stop; at += 16) {
        struct ses_outbox_item item;
        struct ses_client_sent sent;
        if (ses_outbox_load(c, folder, uuids.bytes + at, &item, note) != SES_OK) {
            ses_logf(&c->log, SES_LOG_WARN, "outbox", "%s", note->text);
            continue;
        }
        ses_client_sent_of(&sent, &item);
        ses_outbox_free(&item);
        *stop = each(cookie, &sent) != 0;
    }
    ses_buf_free(&uuids);
    return err;
}

int ses_client_outbox(struct ses_client *c,
                      int (*each)(void *cookie, const struct ses_client_sent *sent), void *cookie,
                      struct ses_client_note *note)
{
    struct ses_note n = {0};
    bool stop = false;
    enum ses_err err = each_sent(c, SES_OUTBOX_PENDING, each, cookie, &stop, &n);
    if (err == SES_OK) {
        err = each_sent(c, SES_OUTBOX_DONE, each, cookie, &stop, &n);
    }
    return ses_client_result(err, &n, note);
}
