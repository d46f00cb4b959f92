/* From records to messages: open, drop replays, order, hand over, remember. */
#include <string.h>

#include "client/client_internal.h"

#define LOOKUPS_MAX 32u /* cards of unknown senders fetched in one call; the rest waits */

struct batch {
    struct ses_client *client;
    const struct ses_delivery *delivery;
    struct opened {
        struct ses_opened1 opened;
        const struct ses_fetched *record;
        bool delivered;
        bool has_token;
        struct ses_hash token;
    } * list;
    uint32_t cnt;
    struct ses_inbox_state fresh; /* what this batch saw */
    uint64_t junk;                /* bit i: member i of the fetch brought what it should not have */
    uint32_t lookup_cnt;
    struct ses_session_id away[LOOKUPS_MAX]; /* senders whose cards are out of reach now */
    uint32_t away_cnt;
    bool limited; /* there were more unknown senders than lookups */
    bool later;   /* a record could not be judged now: read it again next time */
    bool aborted; /* the application did not take a message */
};

/* ---- opening ---- */

static bool is_away(const struct batch *b, const struct ses_session_id *id)
{
    for (uint32_t i = 0; i < b->away_cnt; i++) {
        if (ses_equal(&b->away[i], id, sizeof *id)) {
            return true;
        }
    }
    return false;
}

static enum ses_err find_sender(void *cookie, const struct ses_session_id *id, struct ses_card *out)
{
    struct batch *b = cookie;
    struct ses_note note = {0};
    uint64_t published_ms = 0;
    const bool known = ses_contacts_find(&b->client->contacts, id) != NULL;
    const bool limit = !known && b->lookup_cnt == LOOKUPS_MAX;
    if (is_away(b, id) || limit) {
        b->limited = b->limited || limit;
        b->later = true;
        return SES_ERR_NOT_FOUND;
    }
    b->lookup_cnt += known ? 0 : 1;
    const enum ses_err err = ses_client_find_card(b->client, id, false, out, &published_ms, &note);
    if (err != SES_OK && err != SES_ERR_NOT_FOUND) {
        b->away[b->away_cnt++] = *id; /* his swarm is out of reach now: the message waits */
        b->later = true;
    }
    return err;
}

static bool seen(const struct batch *b, const struct ses_opened1 *o)
{
    return ses_inbox_saw_message(&b->client->state.inbox, &o->sender, o->uuid) ||
           ses_inbox_saw_message(&b->fresh, &o->sender, o->uuid);
}

static void blame(struct batch *b, const struct ses_fetch *fetch, uint32_t member, const char *why)
{
    char text[SES_ID_TEXT_MAX];
    const uint64_t bit = UINT64_C(1) << member;
    if ((b->junk & bit) == 0) {
        ses_node_id_text(text, &fetch->members[member].node_id);
        ses_logf(&b->client->log, SES_LOG_WARN, "receive", "%s %s", text, why);
        b->junk |= bit;
        b->delivery->result->junk++;
    }
}

static enum ses_err drop_unopenable(struct batch *b, const struct ses_fetch *fetch,
                                    const struct ses_fetched *f, uint64_t now_ms)
{
    uint32_t member = 0;
    b->delivery->result->unopenable++;
    if (ses_fetch_only_holder(fetch, f, &member)) {
        blame(b, fetch, member, "gave a record that no other node has and that does not open");
    }
    return ses_inbox_see_record(&b->fresh, &f->ids.id, now_ms);
}

static enum ses_err open_record(struct batch *b, const struct ses_fetch *fetch,
                                const struct ses_fetched *f, uint64_t now_ms)
{
    struct opened *o = &b->list[b->cnt];
    const struct ses_record record = {f->bytes, f->bytes + SES_RECORD_HEADER_BYTES,
                                      f->payload_bytes};
    const bool later = b->later;
    b->later = false;
    const enum ses_err err = ses_open1(&o->opened, b->client->identity, &record, find_sender, b);
    const bool judged = !b->later;
    b->later = b->later || later;
    if (err == SES_ERR_OPEN) {
        b->delivery->result->waiting += judged ? 0 : 1;
        return judged ? drop_unopenable(b, fetch, f, now_ms) : SES_OK;
    }
    SES_TRY(err);
    o->record = f;
    b->cnt++;
    return SES_OK;
}

static enum ses_err open_all(struct batch *b, const struct ses_fetch *fetch, uint64_t now_ms)
{
    for (uint32_t i = 0; i < fetch->record_cnt; i++) {
        SES_TRY(open_record(b, fetch, &fetch->records[i], now_ms));
        if (ses_client_stopped(b->client)) {
            return SES_ERR_CLOSED;
        }
    }
    for (uint32_t i = 0; i < fetch->member_cnt; i++) {
        if (fetch->members[i].state == SES_FETCH_FAILED && fetch->members[i].err == SES_ERR_PEER) {
            blame(b, fetch, i, "gave an answer that breaks the protocol");
        }
    }
    return SES_OK;
}

static int by_time(const void *left, const void *right)
{
    const struct opened *a = left;
    const struct opened *b = right;
    if (a->opened.sent_ms != b->opened.sent_ms) {
        return a->opened.sent_ms < b->opened.sent_ms ? -1 : 1;
    }
    return memcmp(a->opened.uuid, b->opened.uuid, sizeof a->opened.uuid);
}

/* ---- handing over ---- */

static void public_content(struct ses_client_message *out, const struct ses_content *content)
{
    switch (content->kind) {
    case SES_CONTENT_TEXT:
        out->kind = SES_CLIENT_TEXT;
        break;
    case SES_CONTENT_FILE:
        out->kind = SES_CLIENT_FILE;
        break;
    case SES_CONTENT_UNSUPPORTED:
        out->kind = SES_CLIENT_UNSUPPORTED;
        break;
    }
    out->text = content->text;
    out->data = content->data;
    out->data_bytes = content->data_bytes;
    out->composed_ms = content->composed_ms;
}

static void public_message(const struct batch *b, struct ses_client_message *out,
                           const struct opened *o)
{
    const struct ses_contact *contact = ses_contacts_find(&b->client->contacts, &o->opened.sender);
    const char *name = contact != NULL ? contact->card.name : o->opened.sender_card.name;
    memset(out, 0, sizeof *out);
    ses_session_id_text(out->sender, &o->opened.sender);
    memcpy(out->name, name, sizeof out->name);
    memcpy(out->uuid, o->opened.uuid, sizeof out->uuid);
    memcpy(out->id, o->record->ids.id.bytes, sizeof out->id);
    out->sent_ms = o->opened.sent_ms;
    out->body_signed = o->opened.body_signed;
}

static void write_history(struct batch *b, const struct ses_client_message *m,
                          const struct ses_content *content)
{
    struct ses_note note = {0};
    if (b->client->keep_history && ses_client_history(b->client, "received", m->sender, m->sent_ms,
                                                      m->uuid, content, &note) != SES_OK) {
        ses_logf(&b->client->log, SES_LOG_WARN, "history", "%s", note.text);
    }
}

static enum ses_err hand_over(struct batch *b, struct opened *o, uint64_t now_ms)
{
    struct ses_client_message message;
    struct ses_content content = {.kind = SES_CONTENT_UNSUPPORTED};
    struct ses_content_owner *owner = NULL;
    enum ses_err err = SES_ERR_MALFORMED;
    if (o->opened.type == SES_CONTENT_TYPE) {
        err = ses_content_decode(&content, &owner, o->opened.body.bytes, o->opened.body.len);
        SES_REQUIRE(err != SES_ERR_MEMORY, err);
    }
    if (err != SES_OK) { /* from a newer program, or nonsense: shown as what it is */
        content.data = o->opened.body.bytes;
        content.data_bytes = o->opened.body.len;
    }
    public_message(b, &message, o);
    public_content(&message, &content);
    if (b->delivery->on_message(b->delivery->cookie, &message) != 0) {
        b->aborted = true;
    } else {
        b->delivery->result->delivered++;
        o->delivered = true;
        o->has_token = content.has_token;
        o->token = content.token;
        write_history(b, &message, &content);
    }
    ses_content_free(owner);
    ses_wipe(&content, sizeof content);
    if (b->aborted) {
        return SES_OK;
    }
    SES_TRY(ses_inbox_see_record(&b->fresh, &o->record->ids.id, now_ms));
    return ses_inbox_see_message(&b->fresh, &o->opened.sender, o->opened.uuid, now_ms);
}

static enum ses_err hand_over_all(struct batch *b, uint64_t now_ms)
{
    for (uint32_t i = 0; i < b->cnt && !b->aborted; i++) {
        struct opened *o = &b->list[i];
        if (ses_client_stopped(b->client)) { /* perhaps by on_message: the rest comes again */
            b->aborted = true;
            break;
        }
        if (seen(b, &o->opened)) {
            b->delivery->result->replayed++;
            SES_TRY(ses_inbox_see_record(&b->fresh, &o->record->ids.id, now_ms));
            continue;
        }
        SES_TRY(hand_over(b, o, now_ms));
    }
    return SES_OK;
}

/* ---- remembering ---- */

static enum ses_err keep_senders(struct batch *b, uint64_t now_ms)
{
    for (uint32_t i = 0; i < b->cnt; i++) {
        const struct opened *o = &b->list[i];
        struct ses_contact *contact = NULL;
        if (!o->delivered) {
            continue;
        }
        SES_TRY(ses_contacts_put(&b->client->contacts, &o->opened.sender_card, 0, false, now_ms,
                                 &contact));
        if (o->has_token) {
            contact->has_token = true;
            contact->token = o->token;
        }
    }
    return SES_OK;
}

static enum ses_err merge_seen(struct ses_inbox_state *into, const struct ses_inbox_state *from)
{
    for (uint32_t i = 0; i < from->seen_cnt; i++) {
        SES_TRY(ses_inbox_see_key(into, from->seen[i].key, from->seen[i].until_ms));
    }
    return SES_OK;
}

static enum ses_err remember(struct batch *b, const struct ses_fetch *fetch, struct ses_note *note)
{
    struct ses_client *c = b->client;
    const uint64_t now = ses_client_now(c);
    SES_TRY(ses_client_begin(c, note));
    ses_inbox_prune(&c->state.inbox, now);
    enum ses_err err = merge_seen(&c->state.inbox, &b->fresh);
    if (err == SES_OK && !b->aborted && !b->later) {
        err = ses_fetch_keep_cursors(fetch, &c->state.inbox);
    }
    if (err == SES_OK) {
        err = keep_senders(b, now);
    }
    if (err != SES_OK) {
        ses_client_abort(c);
        return err;
    }
    const bool senders = b->delivery->result->delivered > 0;
    return ses_client_commit(c, SES_SAVE_STATE | (senders ? SES_SAVE_CONTACTS : 0u), note);
}

static void free_batch(struct batch *b)
{
    for (uint32_t i = 0; i < b->cnt; i++) {
        ses_opened1_free(&b->list[i].opened);
        ses_wipe(&b->list[i].token, sizeof b->list[i].token);
    }
    ses_free(b->list);
    ses_inbox_free(&b->fresh);
}

enum ses_err ses_client_deliver(struct ses_client *c, const struct ses_fetch *fetch,
                                const struct ses_delivery *delivery, struct ses_note *note)
{
    struct batch b = {.client = c, .delivery = delivery};
    const uint64_t now = ses_client_now(c);
    const unsigned before = delivery->result->delivered + delivery->result->unopenable;
    b.list = ses_alloc(fetch->record_cnt + 1u, sizeof *b.list);
    SES_REQUIRE(b.list != NULL, SES_ERR_MEMORY);
    enum ses_err err = open_all(&b, fetch, now);
    if (err == SES_OK) {
        qsort(b.list, b.cnt, sizeof *b.list, by_time);
        err = hand_over_all(&b, now);
    }
    const bool nothing = fetch->record_cnt == 0 && err != SES_OK;
    if (!nothing && err != SES_ERR_CLOSED) {
        struct ses_note why = {0};
        const enum ses_err kept = remember(&b, fetch, &why); /* also what went well before err */
        if (err == SES_OK && kept != SES_OK) {
            err = kept;
            if (note != NULL) {
                *note = why;
            }
        }
    }
    if (err == SES_OK && b.aborted) {
        ses_note_set(note, "the application did not take a message: it comes again");
        err = SES_ERR_CLOSED;
    }
    /* others may get their turn now, unless every lookup was in vain */
    delivery->result->more =
        b.limited && delivery->result->delivered + delivery->result->unopenable > before;
    free_batch(&b);
    return err;
}
