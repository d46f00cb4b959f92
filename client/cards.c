/* Cards and write tokens: publishing ours, finding those of others. */
#include <string.h>

#include "client/client_internal.h"

#define OUTBOX_TTL_CLASS 4u
/* Each attempt is another record in the inbox, or may be one where no receipt was believed: not at
 * every occasion while too few nodes are there. */
#define CARD_RETRY_MS 600000u
#define CARD_FAILED_MS 60000u

static void inbox_of(struct ses_hash *out, const struct ses_session_id *id)
{
    memcpy(out->bytes, id->bytes + 1, sizeof out->bytes);
}

static struct ses_record record_view(const struct ses_buf *buf)
{
    return (struct ses_record){buf->bytes, buf->bytes + SES_RECORD_HEADER_BYTES,
                               (uint32_t)(buf->len - SES_RECORD_HEADER_BYTES)};
}

/* ---- publishing ---- */

/* Stores a record of ours in our own swarm: at W members, or it is an error. */
static enum ses_err store_owned(struct ses_client *c, const struct ses_buf *record,
                                struct ses_note *note)
{
    struct ses_buf body = {0};
    struct ses_writer w;
    struct ses_record_ids ids;
    enum ses_store_state state = SES_PENDING;
    const struct ses_store_put put = {
        .record = record_view(record), .entry = SES_ENTRY_OWNER, .wait_ms = SES_CLIENT_WAIT_MS};
    SES_TRY(ses_record_identify(&ids, &put.record));
    SES_TRY(ses_buf_reserve(&body, record->len + 256));
    ses_writer_init(&w, body.bytes, body.cap);
    ses_store_put_write(&w, &put);
    enum ses_err err = ses_writer_done(&w);
    body.len = w.len;
    if (err == SES_OK) {
        const struct ses_place place = {.proto = SES_PROTO_STORE,
                                        .login = true,
                                        .body = &body,
                                        .wait_ms = SES_CLIENT_WAIT_MS,
                                        .ids = &ids};
        err = ses_client_place(c, &place, &state, note);
    }
    ses_buf_free(&body);
    if (err != SES_OK || state != SES_STORED) {
        c->card_retry_ms = ses_mono_ms() + (err == SES_OK ? CARD_RETRY_MS : CARD_FAILED_MS);
    }
    return err == SES_OK && state != SES_STORED ? SES_ERR_UNREACHABLE : err;
}

/* The hash of our write token in namespace -21: who shows the token need not work. */
static enum ses_err publish_token(struct ses_client *c, const struct ses_hash *token,
                                  struct ses_note *note)
{
    struct ses_hash hash;
    struct ses_buf record = {0};
    ses_b(&hash, SES_TAG_TOKEN, SES_PARTS(SES_PART(token->bytes, sizeof token->bytes)));
    enum ses_err err =
        ses_owned_record(&record, SES_NS_TOKEN, OUTBOX_TTL_CLASS, hash.bytes, sizeof hash.bytes,
                         c->identity, &c->registry.chain_id, ses_client_now(c), c->random);
    if (err == SES_OK) {
        err = store_owned(c, &record, note);
    }
    ses_buf_free(&record);
    return err;
}

static enum ses_err publish_card(struct ses_client *c, const char *name, struct ses_note *note)
{
    struct ses_card card;
    struct ses_buf record = {0};
    ses_card_of(&card, c->identity, name);
    enum ses_err err = ses_card_record(&record, &card, c->identity, &c->registry.chain_id,
                                       ses_client_now(c), c->random);
    if (err == SES_OK) {
        err = store_owned(c, &record, note);
    }
    ses_buf_free(&record);
    return err;
}

/* Draws the token once, and keeps it before anybody is told. */
static enum ses_err need_token(struct ses_client *c, struct ses_hash *token, struct ses_note *note)
{
    SES_TRY(ses_client_begin(c, note));
    if (c->state.has_token) {
        *token = c->state.token;
        ses_client_abort(c);
        return SES_OK;
    }
    ses_random_fill(c->random, c->state.token.bytes, sizeof c->state.token.bytes);
    c->state.has_token = true;
    *token = c->state.token;
    return ses_client_commit(c, SES_SAVE_STATE, note);
}

static enum ses_err keep_name(struct ses_client *c, const char *name, uint64_t published_ms,
                              struct ses_note *note)
{
    SES_TRY(ses_client_begin(c, note));
    memset(c->state.name, 0, sizeof c->state.name);
    memcpy(c->state.name, name, strlen(name));
    c->state.card_published_ms = published_ms;
    return ses_client_commit(c, SES_SAVE_STATE, note);
}

enum ses_err ses_client_publish(struct ses_client *c, const char *name, struct ses_note *note)
{
    char own[SES_NAME_MAX + 1];
    struct ses_hash token;
    if (name != NULL && !ses_name_valid(name)) {
        ses_note_set(note, "the name must be UTF-8 of at most %u bytes without control characters",
                     SES_NAME_MAX);
        return SES_ERR_INVALID;
    }
    SES_TRY(ses_client_need_identity(c, note));
    SES_TRY(ses_client_need_map(c, false, note));
    SES_TRY(ses_client_need_net(c, note));
    memset(own, 0, sizeof own);
    const char *use = name != NULL ? name : c->state.name;
    memcpy(own, use, strnlen(use, SES_NAME_MAX));
    SES_TRY(need_token(c, &token, note));
    const uint64_t now = ses_client_now(c);
    enum ses_err err = publish_card(c, own, note);
    if (err == SES_OK) {
        err = publish_token(c, &token, note);
    }
    ses_wipe(&token, sizeof token);
    SES_TRY(err);
    return keep_name(c, own, now, note);
}

int ses_client_publish_card(struct ses_client *c, const char *name, struct ses_client_note *note)
{
    struct ses_note n = {0};
    const enum ses_err err = ses_client_publish(c, name, &n);
    return ses_client_finish(c, err, &n, note);
}

void ses_client_keep_card(struct ses_client *c, bool first)
{
    struct ses_note note = {0};
    const uint64_t now = ses_client_now(c);
    const uint64_t last = c->state.card_published_ms;
    const bool due = last == 0 ? first : now > last && now - last > SES_CLIENT_CARD_AGE_MS;
    if (!due || ses_mono_ms() < c->card_retry_ms) {
        return;
    }
    const enum ses_err err = ses_client_publish(c, NULL, &note);
    if (err != SES_OK) {
        ses_logf(&c->log, SES_LOG_WARN, "card", "not published: %s", note.text);
    }
}

/* ---- finding ---- */

/* The newest valid card among the records; false if there is none. */
static bool newest(const struct ses_client *c, const struct ses_fetch *fetch,
                   const struct ses_session_id *id, struct ses_card *out, uint64_t *published_ms)
{
    bool found = false;
    for (uint32_t i = 0; i < fetch->record_cnt; i++) {
        struct ses_card card;
        const struct ses_fetched *f = &fetch->records[i];
        const struct ses_record record = {f->bytes, f->bytes + SES_RECORD_HEADER_BYTES,
                                          f->payload_bytes};
        const uint64_t ts = f->ids.header.ts_ms;
        if ((found && ts <= *published_ms) ||
            ses_card_from_record(&card, &record, id, &c->registry.chain_id) != SES_OK) {
            continue;
        }
        *out = card;
        *published_ms = ts;
        found = true;
    }
    return found;
}

static enum ses_err keep_card(struct ses_client *c, const struct ses_card *card, uint64_t ms,
                              struct ses_note *note)
{
    SES_TRY(ses_client_begin(c, note));
    const enum ses_err err =
        ses_contacts_put(&c->contacts, card, ms, true, ses_client_now(c), NULL);
    if (err != SES_OK) {
        ses_client_abort(c);
        ses_note_set(note, "the profile holds %u contacts, which is the limit",
                     SES_CLIENT_CONTACTS_MAX);
        return err;
    }
    return ses_client_commit(c, SES_SAVE_CONTACTS, note);
}

enum ses_err ses_client_find_card(struct ses_client *c, const struct ses_session_id *id, bool fresh,
                                  struct ses_card *out, uint64_t *published_ms,
                                  struct ses_note *note)
{
    struct ses_fetch fetch;
    struct ses_hash inbox;
    const struct ses_contact *known = ses_contacts_find(&c->contacts, id);
    *published_ms = 0;
    if (known != NULL && !fresh) {
        *out = known->card;
        *published_ms = known->published_ms;
        return SES_OK;
    }
    inbox_of(&inbox, id);
    enum ses_err err = ses_client_fetch(c, &fetch, &inbox, SES_NS_CARD, false, NULL, note);
    const bool found = err == SES_OK && newest(c, &fetch, id, out, published_ms);
    if (err == SES_OK && !found && ses_fetch_answered(&fetch) < fetch.wanted) {
        ses_note_set(note,
                     "only %u of %u nodes of that swarm answered, and they have no card for this "
                     "Session ID: try again when more of them are back",
                     ses_fetch_answered(&fetch), fetch.wanted);
        err = SES_ERR_UNREACHABLE;
    } else if (err == SES_OK && !found) {
        ses_note_set(note, "nobody knows a card for this Session ID: check that it is copied "
                           "right; if it is, its owner must publish one (by receiving once), or "
                           "hand it over as a file");
        err = SES_ERR_NOT_FOUND;
    }
    ses_fetch_free(&fetch);
    return err;
}

static void public_card(struct ses_client_card *out, const struct ses_card *card, uint64_t ms)
{
    memset(out, 0, sizeof *out);
    ses_session_id_text(out->id, &card->id);
    memcpy(out->name, card->name, sizeof out->name);
    out->published_ms = ms;
}

int ses_client_fetch_card(struct ses_client *c, const char *id, struct ses_client_card *out,
                          struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_session_id want;
    struct ses_card card;
    uint64_t ms = 0;
    memset(out, 0, sizeof *out);
    enum ses_err err = ses_session_id_parse(&want, id, &n);
    if (err == SES_OK) {
        err = ses_client_find_card(c, &want, true, &card, &ms, &n);
    }
    if (err == SES_OK) {
        err = keep_card(c, &card, ms, &n);
    }
    if (err == SES_OK) {
        public_card(out, &card, ms);
    }
    return ses_client_finish(c, err, &n, note);
}

int ses_client_export_card(struct ses_client *c, uint8_t *out, size_t *len,
                           struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_card card;
    struct ses_writer w;
    const size_t cap = *len;
    *len = 0;
    enum ses_err err = ses_client_need_identity(c, &n);
    if (err == SES_OK) {
        ses_card_of(&card, c->identity, c->state.name);
        ses_writer_init(&w, out, cap);
        err = ses_card_write(&w, &card, c->identity, c->random);
        *len = err == SES_OK ? w.len : 0;
    }
    return ses_client_result(err, &n, note);
}

int ses_client_import_card(struct ses_client *c, const uint8_t *bytes, size_t len,
                           struct ses_client_card *out, struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_card card;
    memset(out, 0, sizeof *out);
    enum ses_err err = ses_card_read(&card, bytes, len);
    if (err != SES_OK) {
        ses_note_set(&n, "this is no valid contact card (%s): ask for it again", ses_err_text(err));
    } else {
        err = keep_card(c, &card, 0, &n);
    }
    if (err == SES_OK) {
        public_card(out, &card, 0);
    }
    return ses_client_result(err, &n, note);
}

int ses_client_contacts(struct ses_client *c,
                        int (*each)(void *cookie, const struct ses_client_card *card), void *cookie,
                        struct ses_client_note *note)
{
    struct ses_note n = {0};
    const enum ses_err err = ses_client_begin(c, &n);
    if (err == SES_OK) {
        ses_client_abort(c);
        for (uint32_t i = 0; i < c->contacts.cnt; i++) {
            struct ses_client_card card;
            public_card(&card, &c->contacts.list[i].card, c->contacts.list[i].published_ms);
            if (each(cookie, &card) != 0) {
                break;
            }
        }
    }
    return ses_client_result(err, &n, note);
}
