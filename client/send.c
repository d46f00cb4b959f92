/* Sending: content is sealed, queued on disk, offered to members of the recipient's swarm in turn.
 * Every step of the item (messaging, outbox) is saved before the next one. */
#include <inttypes.h>
#include <string.h>

#include "client/client_internal.h"

#define STEPS_MAX 300u      /* of one item in one call: a bound, never reached in earnest */
#define STAMP_SPARE_BITS 6u /* 2^6 times the expected work fails once in e^64 */
#define STRANGER_TTL_MAX 2u
#define FLUSH_MS 20000u
#define ENTRY_SPARE_MS 3000u /* for dialling and the way: the node answers after wait_ms */

/* ---- one item ---- */

/* A recipient's token, unless he took it back. */
static bool token_for(const struct ses_client *c, const struct ses_session_id *to,
                      struct ses_hash *token)
{
    if (c->identity != NULL && memcmp(to->bytes, c->identity->id.bytes, 33) == 0) {
        *token = c->state.token;
        return c->state.has_token && c->state.card_published_ms != 0;
    }
    const struct ses_contact *contact = ses_contacts_find(&c->contacts, to);
    if (contact == NULL || !contact->has_token) {
        return false;
    }
    *token = contact->token;
    return true;
}

static enum ses_err drop_token(struct ses_client *c, const struct ses_session_id *to,
                               struct ses_note *note)
{
    SES_TRY(ses_client_begin(c, note));
    struct ses_contact *contact = ses_contacts_find(&c->contacts, to);
    if (contact == NULL || !contact->has_token) {
        ses_client_abort(c);
        return SES_OK;
    }
    contact->has_token = false;
    ses_wipe(&contact->token, sizeof contact->token);
    return ses_client_commit(c, SES_SAVE_CONTACTS, note);
}

static enum ses_err stamp(struct ses_client *c, const struct ses_outbox_item *item,
                          const struct ses_record_ids *ids, uint32_t payload_bytes, uint64_t *nonce)
{
    unsigned bits = ses_stamp_bits(payload_bytes);
    bits = item->work_bits > bits ? item->work_bits : bits;
    /* a start below 2^62 leaves room for all tries */
    return ses_stamp_find(nonce, &ids->id, bits, ses_random_u64(c->random) >> 2,
                          1ull << (bits + STAMP_SPARE_BITS));
}

static enum ses_err seal(struct ses_client *c, struct ses_outbox_item *item,
                         const struct ses_card *to, bool use_token, struct ses_note *note)
{
    struct ses_buf record = {0};
    struct ses_record_ids ids;
    struct ses_hash token = {{0}};
    uint64_t nonce = 0;
    struct ses_seal1 message = {.from = c->identity,
                                .to = to,
                                .ns = SES_NS_INBOX,
                                .ttl_class = item->ttl_class,
                                .type = item->type,
                                .with_keys = item->with_keys,
                                .sign_body = item->sign_body,
                                .body = item->body.bytes,
                                .body_bytes = item->body.len};
    memcpy(message.uuid, item->uuid, sizeof message.uuid);
    SES_TRY(ses_seal1(&record, &message, ses_client_now(c), c->random));
    const struct ses_record view = {record.bytes, record.bytes + SES_RECORD_HEADER_BYTES,
                                    (uint32_t)(record.len - SES_RECORD_HEADER_BYTES)};
    enum ses_err err = ses_record_identify(&ids, &view);
    const bool has_token = use_token && token_for(c, &item->to, &token);
    if (err == SES_OK && !has_token) {
        err = stamp(c, item, &ids, view.payload_bytes, &nonce);
    }
    if (err == SES_OK) {
        ses_outbox_sealed(item, &record, &ids, has_token ? SES_ENTRY_TOKEN : SES_ENTRY_STAMP,
                          &token, nonce);
    } else {
        ses_note_set(note, "the message could not be sealed: %s", ses_err_text(err));
    }
    ses_wipe(&token, sizeof token);
    ses_buf_free(&record);
    return err;
}

/* Keys are found before they are needed (ses_client_send); after a crash the profile has them. */
static enum ses_err do_seal(struct ses_client *c, struct ses_outbox_item *item, bool use_token,
                            struct ses_note *note)
{
    struct ses_card card;
    uint64_t published_ms;
    const enum ses_err err = ses_client_find_card(c, &item->to, false, &card, &published_ms, note);
    if (err == SES_ERR_CLOSED) {
        return err;
    }
    if (err != SES_OK) {
        ses_outbox_lost(item, err, 1, ses_client_now(c));
        return SES_OK;
    }
    if (!use_token && item->ttl_class > STRANGER_TTL_MAX) {
        item->ttl_class = STRANGER_TTL_MAX;
    }
    return seal(c, item, &card, use_token, note);
}

static enum ses_err do_offer(struct ses_client *c, struct ses_outbox_item *item, unsigned wait_ms,
                             enum ses_outbox_advice *advice, struct ses_note *note)
{
    struct ses_swarm_view view;
    struct ses_hash inbox;
    struct ses_buf body = {0};
    struct ses_buf answer = {0};
    memcpy(inbox.bytes, item->to.bytes + 1, sizeof inbox.bytes);
    enum ses_err err = ses_client_view(c, &inbox, &view, note);
    if (err != SES_OK) {
        ses_outbox_lost(item, err, 1, ses_client_now(c));
        return SES_OK;
    }
    err = ses_offer_body(item, wait_ms, &body);
    if (err == SES_OK) {
        const uint32_t at = view.nodes[ses_outbox_member(item, view.active_cnt)];
        err = ses_client_ask(c, &c->registry.map.nodes[at], SES_PROTO_STORE, false, body.bytes,
                             body.len, (uint64_t)wait_ms + ENTRY_SPARE_MS, &answer);
        if (err != SES_ERR_CLOSED && err != SES_ERR_MEMORY) {
            *advice = ses_offer_answer(item, err, answer.bytes, answer.len, view.active_cnt,
                                       ses_client_now(c), note);
            err = SES_OK;
        }
    }
    ses_buf_free(&body);
    ses_buf_free(&answer);
    return err;
}

/* The receipts themselves: what an entry node says of them is no proof. */
static enum ses_err do_check(struct ses_client *c, struct ses_outbox_item *item,
                             struct ses_note *note)
{
    struct ses_node_id nodes[SES_MEMBERS_MAX];
    struct ses_buf raw = {0};
    uint32_t cnt = 0;
    uint32_t quorum = 0;
    uint32_t asked = 0;
    struct ses_receipt_want want = {
        .id = item->id, .ttl_class = item->ttl_class, .ts_ms = item->ts_ms};
    memcpy(want.inbox.bytes, item->to.bytes + 1, sizeof want.inbox.bytes);
    want.first = item->node_cnt > 0 ? &item->nodes[0] : NULL;
    enum ses_err err = ses_client_count(c, &want, nodes, &cnt, &quorum, &asked, &raw, note);
    if (err == SES_OK && cnt >= quorum) {
        err = ses_receipts_keep(c, &item->id, &raw, note);
    }
    ses_buf_free(&raw);
    if (err == SES_ERR_CLOSED || err == SES_ERR_MEMORY) {
        return err;
    }
    ses_outbox_counted(item, nodes, cnt, quorum, asked > 0, ses_client_now(c));
    return SES_OK;
}

/* One step and its consequences. */
static enum ses_err do_step(struct ses_client *c, struct ses_outbox_item *item,
                            enum ses_outbox_step step, unsigned wait_ms, bool *use_token,
                            struct ses_note *note)
{
    enum ses_outbox_advice advice = SES_OUTBOX_GO_ON;
    switch (step) {
    case SES_OUTBOX_DO_SEAL:
        SES_TRY(do_seal(c, item, *use_token, note));
        break;
    case SES_OUTBOX_DO_OFFER:
        SES_TRY(do_offer(c, item, wait_ms, &advice, note));
        break;
    case SES_OUTBOX_DO_CHECK:
        SES_TRY(do_check(c, item, note));
        break;
    case SES_OUTBOX_DO_WAIT:
    case SES_OUTBOX_DO_NOTHING:
        return SES_OK;
    }
    if (advice == SES_OUTBOX_REFRESH_MAP) {
        return ses_client_need_map(c, true, note);
    }
    if (advice == SES_OUTBOX_DROP_TOKEN) {
        *use_token = false;
        return drop_token(c, &item->to, note);
    }
    return SES_OK;
}

enum ses_err ses_client_work(struct ses_client *c, struct ses_outbox_item *item, unsigned wait_ms,
                             struct ses_note *note)
{
    bool use_token = true;
    const uint64_t lease_ms = SES_CLIENT_LEASE_MS + wait_ms;
    /* members that swallow packets must not hold the caller for minutes each */
    const uint64_t end_ms = ses_mono_ms() + wait_ms + 3ull * c->timeout_ms;
    for (unsigned i = 0; i < STEPS_MAX && ses_mono_ms() < end_ms; i++) {
        const uint64_t now = ses_client_now(c);
        const enum ses_outbox_step step = ses_outbox_step(item, now);
        if (step == SES_OUTBOX_DO_WAIT || step == SES_OUTBOX_DO_NOTHING) {
            return ses_outbox_save(c, item, 0, note);
        }
        const enum ses_err err = do_step(c, item, step, wait_ms, &use_token, note);
        SES_TRY(ses_outbox_save(c, item, ses_client_now(c) + lease_ms, note));
        if (err != SES_OK) {
            /* stopped, no memory, no map: the item is free for the next call */
            struct ses_note ignored;
            SES_TRY(ses_outbox_save(c, item, 0, &ignored));
            return err;
        }
    }
    return ses_outbox_save(c, item, 0, note);
}

static unsigned count_left(struct ses_client *c, const struct ses_buf *uuids)
{
    unsigned left = 0;
    for (size_t at = 0; at < uuids->len; at += 16) {
        struct ses_outbox_item item;
        if (ses_outbox_load(c, SES_OUTBOX_PENDING, uuids->bytes + at, &item, NULL) == SES_OK) {
            left += item.state < SES_OUTBOX_STORED;
            ses_outbox_free(&item);
        }
    }
    return left;
}

/* Receipts of what was stored; what fails is tried again by the next call. */
static enum ses_err collect_receipts(struct ses_client *c, uint64_t end_ms, struct ses_note *note)
{
    struct ses_buf uuids = {0};
    enum ses_err err = ses_outbox_list(c, SES_OUTBOX_OWED, &uuids, note);
    for (size_t at = 0; err == SES_OK && at < uuids.len && ses_mono_ms() < end_ms; at += 16) {
        struct ses_outbox_item item;
        struct ses_note why = {0};
        enum ses_err kept = ses_outbox_load(c, SES_OUTBOX_DONE, uuids.bytes + at, &item, &why);
        if (kept == SES_OK) {
            kept = ses_client_keep_receipts(c, &item, &why);
            ses_outbox_free(&item);
        }
        if (kept == SES_OK || kept == SES_ERR_NOT_FOUND || kept == SES_ERR_MALFORMED) {
            ses_outbox_settle(c, uuids.bytes + at);
        } else if (kept == SES_ERR_CLOSED || kept == SES_ERR_MEMORY) {
            err = kept;
        }
    }
    ses_buf_free(&uuids);
    return err;
}

enum ses_err ses_client_flush_due(struct ses_client *c, bool now, unsigned *left,
                                  struct ses_note *note)
{
    struct ses_buf uuids = {0};
    *left = 0;
    ses_outbox_sweep(c);
    const uint64_t end_ms = ses_mono_ms() + FLUSH_MS; /* silent nodes must not hold the caller */
    enum ses_err err = ses_outbox_list(c, SES_OUTBOX_PENDING, &uuids, note);
    for (size_t at = 0; err == SES_OK && at < uuids.len && (now || ses_mono_ms() < end_ms);
         at += 16) {
        struct ses_outbox_item item;
        const enum ses_err claimed = ses_outbox_claim(c, uuids.bytes + at, now, &item, note);
        if (claimed != SES_OK) {
            continue; /* not due, finished, damaged, or another process has it */
        }
        err = ses_client_work(c, &item, SES_CLIENT_WAIT_MS, note);
        ses_outbox_free(&item);
    }
    *left = count_left(c, &uuids);
    ses_buf_free(&uuids);
    return err == SES_OK ? collect_receipts(c, end_ms, note) : err;
}

void ses_client_sent_of(struct ses_client_sent *out, const struct ses_outbox_item *item)
{
    memset(out, 0, sizeof *out);
    out->state = item->state == SES_OUTBOX_STORED   ? SES_CLIENT_STORED
                 : item->state == SES_OUTBOX_FAILED ? SES_CLIENT_FAILED
                                                    : SES_CLIENT_PENDING;
    ses_session_id_text(out->to, &item->to);
    memcpy(out->uuid, item->uuid, sizeof out->uuid);
    if (item->state == SES_OUTBOX_STORED || item->state == SES_OUTBOX_CHECK) {
        memcpy(out->id, item->id.bytes, sizeof out->id);
        out->ts_ms = item->ts_ms;
    }
    out->ttl_class = item->ttl_class;
    out->quorum = item->quorum;
    out->node_cnt = item->node_cnt;
    for (unsigned i = 0; i < item->node_cnt; i++) {
        ses_node_id_text(out->nodes[i], &item->nodes[i]);
    }
    out->attempts = item->attempts;
    out->next_ms = item->state < SES_OUTBOX_STORED ? item->next_ms : 0;
    out->last_err = (int)item->last_err;
}
