/* Receiving once: what is new in the own inbox, from as many members as a reader needs. */
#include <string.h>

#include "client/client_internal.h"

enum ses_err ses_client_receive_once(struct ses_client *c, const struct ses_delivery *delivery,
                                     struct ses_note *note)
{
    struct ses_fetch fetch;
    struct ses_hash inbox;
    const unsigned unopenable = delivery->result->unopenable;
    SES_TRY(ses_client_begin(c, note)); /* another process may have received meanwhile */
    ses_client_abort(c);
    memcpy(inbox.bytes, c->identity->id.bytes + 1, sizeof inbox.bytes);
    enum ses_err err =
        ses_client_fetch(c, &fetch, &inbox, SES_NS_INBOX, true, &c->state.inbox, note);
    if (err == SES_OK) {
        delivery->result->asked = ses_fetch_answered(&fetch);
        delivery->result->wanted = fetch.wanted;
        err = ses_client_deliver(c, &fetch, delivery, note);
        /* a node that never ends must not hold its reader for ever */
        delivery->result->more |=
            fetch.full && fetch.record_cnt > delivery->result->unopenable - unopenable;
    }
    ses_fetch_free(&fetch);
    return err;
}

static enum ses_err receive(struct ses_client *c, const struct ses_delivery *delivery,
                            struct ses_note *note)
{
    struct ses_note ignored = {0};
    unsigned left = 0;
    if (delivery->on_message == NULL) {
        ses_note_set(note, "on_message is missing");
        return SES_ERR_INVALID;
    }
    SES_TRY(ses_client_need_identity(c, note));
    SES_TRY(ses_client_receive_once(c, delivery, note));
    ses_client_keep_card(c, true);
    (void)!ses_client_flush_due(c, false, &left, &ignored);
    return ses_client_stopped(c) ? SES_ERR_CLOSED : SES_OK;
}

int ses_client_receive(struct ses_client *c, ses_client_message_fn *on_message, void *cookie,
                       struct ses_client_received *out, struct ses_client_note *note)
{
    struct ses_note n = {0};
    struct ses_client_received result = {0};
    const struct ses_delivery delivery = {
        .on_message = on_message, .cookie = cookie, .result = &result};
    const enum ses_err err = receive(c, &delivery, &n);
    if (out != NULL) {
        *out = result;
    }
    return ses_client_finish(c, err, &n, note);
}
