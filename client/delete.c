/* Deleting from the own inbox: list, sign in batches, have the swarm store the statements. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"

static void own_inbox(const struct ses_client *c, struct ses_hash *out)
{
    memcpy(out->bytes, c->identity->id.bytes + 1, sizeof out->bytes);
}

static enum ses_err store_statement(struct ses_client *c, const struct ses_buf *body,
                                    unsigned wait_ms, enum ses_store_state *state,
                                    struct ses_note *note)
{
    struct ses_record_ids ids;
    SES_TRY(ses_delete_ids(&ids, body));
    const struct ses_place place = {
        .proto = SES_PROTO_DELETE, .body = body, .wait_ms = wait_ms, .ids = &ids};
    return ses_client_place(c, &place, state, note);
}

/* ---- choosing ---- */
static unsigned count_unknown(const struct ses_listing *listing,
                              const struct ses_client_delete *what)
{
    unsigned cnt = 0;
    for (size_t i = 0; what->ids != NULL && i < what->id_cnt; i++) {
        struct ses_hash id;
        memcpy(id.bytes, what->ids[i], sizeof id.bytes);
        cnt += ses_listing_find(listing, &id) == NULL;
    }
    return cnt;
}

static enum ses_err delete_chosen(struct ses_client *c, const struct ses_listing *listing,
                                  unsigned wait_ms, struct ses_client_deleted *out,
                                  struct ses_note *note)
{
    for (uint32_t at = 0; at < listing->cnt;) {
        struct ses_buf body = {0};
        enum ses_store_state state = SES_PENDING;
        const uint32_t left = listing->cnt - at;
        const uint32_t cnt = left < SES_DELETE_TARGETS_MAX ? left : SES_DELETE_TARGETS_MAX;
        const struct ses_delete_signer signer = {c->identity, &c->registry.chain_id, c->random,
                                                 ses_client_now(c)};
        enum ses_err err = ses_delete_body(&signer, &listing->list[at], cnt, wait_ms, &body);
        if (err == SES_OK) {
            err = store_statement(c, &body, wait_ms, &state, note);
        }
        ses_buf_free(&body);
        SES_TRY(err);
        out->statements++;
        *(state == SES_STORED ? &out->deleted : &out->pending) += cnt;
        at += cnt;
    }
    return SES_OK;
}

static enum ses_err check_what(const struct ses_client_delete *what, struct ses_note *note)
{
    if (what == NULL || what->size != sizeof *what) {
        ses_note_set(note, "size is not sizeof(struct ses_client_delete)");
        return SES_ERR_INVALID;
    }
    if (what->ids != NULL ? what->id_cnt == 0 : what->before_ms == 0) {
        ses_note_set(note, "nothing to delete: give ids, or a time");
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

static enum ses_err delete_all(struct ses_client *c, const struct ses_client_delete *what,
                               struct ses_client_deleted *out, struct ses_note *note)
{
    struct ses_listing listing = {0};
    struct ses_hash inbox;
    SES_TRY(check_what(what, note));
    SES_TRY(ses_client_need_identity(c, note));
    own_inbox(c, &inbox);
    enum ses_err err = ses_client_list(c, &inbox, SES_NS_INBOX, &listing, note);
    if (err == SES_OK) {
        const unsigned wait_ms = what->wait_ms != 0 ? what->wait_ms : SES_CLIENT_WAIT_MS;
        out->unknown = count_unknown(&listing, what);
        ses_delete_choose(&listing, what, ses_client_now(c));
        out->answered = listing.answered;
        out->wanted = listing.wanted;
        out->found = listing.cnt;
        err = delete_chosen(c, &listing, wait_ms, out, note);
    }
    ses_listing_free(&listing);
    if (err == SES_OK && what->ids != NULL && out->found == 0) {
        ses_note_set(note, "none of these messages is in the inbox (any more)");
        return SES_ERR_NOT_FOUND;
    }
    return err;
}

int ses_client_delete(struct ses_client *c, const struct ses_client_delete *what,
                      struct ses_client_deleted *out, struct ses_client_note *note)
{
    struct ses_note n = {0};
    memset(out, 0, sizeof *out);
    const enum ses_err err = delete_all(c, what, out, &n);
    return ses_client_finish(c, err, &n, note);
}

/* ---- looking ---- */
static int by_time(const void *a, const void *b)
{
    const struct ses_delete_target *x = a;
    const struct ses_delete_target *y = b;
    if (x->header.ts_ms != y->header.ts_ms) {
        return x->header.ts_ms < y->header.ts_ms ? -1 : 1;
    }
    return memcmp(x->id.bytes, y->id.bytes, 32);
}

static void show(const struct ses_listing *listing,
                 int (*each)(void *cookie, const struct ses_client_record *record), void *cookie)
{
    if (listing->cnt > 0) {
        qsort(listing->list, listing->cnt, sizeof *listing->list, by_time);
    }
    for (uint32_t i = 0; i < listing->cnt; i++) {
        const struct ses_delete_target *t = &listing->list[i];
        struct ses_client_record record = {.ts_ms = t->header.ts_ms,
                                           .expires_ms = ses_segment_expires_ms(&t->segment),
                                           .bytes = t->size};
        memcpy(record.id, t->id.bytes, sizeof record.id);
        if (each(cookie, &record) != 0) {
            return;
        }
    }
}

static enum ses_err list_one(struct ses_client *c, const struct ses_hash *inbox, const char *text,
                             struct ses_listing *listing, struct ses_note *note)
{
    struct ses_node_id id;
    struct ses_refusal refusal = {0};
    bool partial = false;
    if (ses_node_id_parse(&id, text) != SES_OK) {
        ses_note_set(note, "\"%.80s\" is no node id: it begins with NodeID-", text);
        return SES_ERR_INVALID;
    }
    SES_TRY(ses_client_need_map(c, false, note));
    SES_TRY(ses_client_need_net(c, note));
    const struct ses_map_node *node = ses_map_find(&c->registry.map, &id);
    if (node == NULL) {
        ses_note_set(note, "the registry does not know this node");
        return SES_ERR_NOT_FOUND;
    }
    listing->wanted = 1;
    const enum ses_err err =
        ses_client_list_member(c, node, inbox, SES_NS_INBOX, listing, &partial, &refusal);
    listing->answered = err == SES_OK && !partial;
    const uint32_t swarm = ses_map_swarm_of_inbox(&c->registry.map, inbox);
    if (refusal.status == SES_ERR_WRONG_SWARM && node->row.swarm != swarm) {
        ses_note_set(note,
                     "%s serves swarm %" PRIu32 ", this inbox is in swarm %" PRIu32
                     ": session swarm %" PRIu32 " lists its nodes",
                     text, node->row.swarm, swarm, swarm);
    } else if (refusal.status != SES_OK) {
        ses_refusal_note(note, &refusal, ses_client_now(c));
    }
    return err;
}

int ses_client_inbox(struct ses_client *c, const char *node,
                     int (*each)(void *cookie, const struct ses_client_record *record),
                     void *cookie, unsigned *answered, unsigned *wanted,
                     struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_listing listing = {0};
    struct ses_hash inbox;
    enum ses_err err = ses_client_need_identity(c, &n);
    if (err == SES_OK) {
        own_inbox(c, &inbox);
        err = node == NULL ? ses_client_list(c, &inbox, SES_NS_INBOX, &listing, &n)
                           : list_one(c, &inbox, node, &listing, &n);
    }
    if (answered != NULL) {
        *answered = listing.answered;
    }
    if (wanted != NULL) {
        *wanted = listing.wanted;
    }
    if (err == SES_OK) {
        show(&listing, each, cookie);
    }
    ses_listing_free(&listing);
    return ses_client_finish(c, err, &n, note);
}
