/* Cards that this profile knows, sorted by id. People who only wrote to us are forgotten, the one
 * unheard of longest first, before people that we wrote to are. */
#include <string.h>

#include "client/client_internal.h"

#define ENTRY_LEAST (SES_KEM_PK_BYTES + SES_DSA_PK_BYTES + 2u + 8u + 8u + 1u + 32u)
#define FLAG_CONTACT 1u
#define FLAG_TOKEN 2u

void ses_contacts_free(struct ses_contacts *contacts)
{
    ses_free(contacts->list);
    *contacts = (struct ses_contacts){0};
}

static uint32_t place(const struct ses_contacts *contacts, const struct ses_session_id *id,
                      bool *there)
{
    uint32_t low = 0;
    uint32_t high = contacts->cnt;
    *there = false;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        const int order = memcmp(contacts->list[mid].card.id.bytes, id->bytes, sizeof id->bytes);
        if (order == 0) {
            *there = true;
            return mid;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct ses_contact *ses_contacts_find(const struct ses_contacts *contacts,
                                      const struct ses_session_id *id)
{
    bool there;
    const uint32_t at = place(contacts, id, &there);
    return there ? &contacts->list[at] : NULL;
}

static uint32_t count(const struct ses_contacts *contacts, bool is_contact)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < contacts->cnt; i++) {
        cnt += contacts->list[i].is_contact == is_contact;
    }
    return cnt;
}

static void drop_oldest_sender(struct ses_contacts *contacts)
{
    uint32_t oldest = contacts->cnt;
    for (uint32_t i = 0; i < contacts->cnt; i++) {
        const bool older =
            oldest == contacts->cnt || contacts->list[i].used_ms < contacts->list[oldest].used_ms;
        if (!contacts->list[i].is_contact && older) {
            oldest = i;
        }
    }
    SES_ASSERT(oldest < contacts->cnt);
    contacts->cnt--;
    memmove(&contacts->list[oldest], &contacts->list[oldest + 1],
            (contacts->cnt - oldest) * sizeof contacts->list[0]);
}

static enum ses_err room(struct ses_contacts *contacts)
{
    if (contacts->cnt < contacts->cap) {
        return SES_OK;
    }
    const uint32_t cap = contacts->cap < 8 ? 8 : contacts->cap * 2;
    struct ses_contact *list = ses_realloc(contacts->list, cap, sizeof *list);
    SES_REQUIRE(list != NULL, SES_ERR_MEMORY);
    contacts->list = list;
    contacts->cap = cap;
    return SES_OK;
}

static enum ses_err insert(struct ses_contacts *contacts, const struct ses_session_id *id,
                           bool is_contact, struct ses_contact **out)
{
    bool there;
    if (is_contact) {
        SES_REQUIRE(count(contacts, true) < SES_CLIENT_CONTACTS_MAX, SES_ERR_FULL);
    } else if (count(contacts, false) >= SES_CLIENT_SENDERS_MAX) {
        drop_oldest_sender(contacts);
    }
    SES_TRY(room(contacts));
    SES_ASSERT(contacts->list != NULL);
    const uint32_t at = place(contacts, id, &there);
    memmove(&contacts->list[at + 1], &contacts->list[at],
            (contacts->cnt - at) * sizeof contacts->list[0]);
    memset(&contacts->list[at], 0, sizeof contacts->list[at]);
    contacts->cnt++;
    *out = &contacts->list[at];
    return SES_OK;
}

enum ses_err ses_contacts_put(struct ses_contacts *contacts, const struct ses_card *card,
                              uint64_t published_ms, bool is_contact, uint64_t now_ms,
                              struct ses_contact **out)
{
    struct ses_contact *c = ses_contacts_find(contacts, &card->id);
    const bool fresh = c == NULL;
    if (fresh) {
        SES_TRY(insert(contacts, &card->id, is_contact, &c));
    }
    /* keys shown in a message (time 0, no name) never displace a published card */
    if (fresh || published_ms >= c->published_ms) {
        if (fresh || card->name[0] != 0 || published_ms > 0) {
            c->card = *card;
        }
        c->published_ms = published_ms;
    }
    c->is_contact = c->is_contact || is_contact;
    c->used_ms = now_ms;
    if (out != NULL) {
        *out = c;
    }
    return SES_OK;
}

enum ses_err ses_contacts_encode(struct ses_buf *out, const struct ses_contacts *contacts)
{
    struct ses_writer w;
    const size_t space = 4u + (size_t)contacts->cnt * (ENTRY_LEAST + SES_NAME_MAX);
    SES_TRY(ses_buf_reserve(out, space));
    ses_writer_init(&w, out->bytes + out->len, space);
    ses_write_u32(&w, contacts->cnt);
    for (uint32_t i = 0; i < contacts->cnt; i++) {
        const struct ses_contact *c = &contacts->list[i];
        const size_t name_len = strnlen(c->card.name, SES_NAME_MAX);
        ses_write_bytes(&w, c->card.kem_pk.bytes, sizeof c->card.kem_pk.bytes);
        ses_write_bytes(&w, c->card.dsa_pk.bytes, sizeof c->card.dsa_pk.bytes);
        ses_write_u16(&w, (uint16_t)name_len);
        ses_write_bytes(&w, c->card.name, name_len);
        ses_write_u64(&w, c->published_ms);
        ses_write_u64(&w, c->used_ms);
        ses_write_u8(
            &w, (uint8_t)((c->is_contact ? FLAG_CONTACT : 0) | (c->has_token ? FLAG_TOKEN : 0)));
        ses_write_bytes(&w, c->token.bytes, sizeof c->token.bytes);
    }
    SES_TRY(ses_writer_done(&w));
    out->len += w.len;
    return SES_OK;
}

static void read_entry(struct ses_reader *r, struct ses_contact *c)
{
    memset(c, 0, sizeof *c);
    ses_read_bytes(r, c->card.kem_pk.bytes, sizeof c->card.kem_pk.bytes);
    ses_read_bytes(r, c->card.dsa_pk.bytes, sizeof c->card.dsa_pk.bytes);
    const uint16_t name_len = ses_read_u16(r);
    ses_reader_check(r, name_len <= SES_NAME_MAX, SES_ERR_MALFORMED);
    ses_read_bytes(r, c->card.name, r->err == SES_OK ? name_len : 0);
    ses_reader_check(
        r, strnlen(c->card.name, SES_NAME_MAX) == name_len && ses_name_valid(c->card.name),
        SES_ERR_MALFORMED);
    c->published_ms = ses_read_u64(r);
    c->used_ms = ses_read_u64(r);
    const uint8_t flags = ses_read_u8(r);
    ses_reader_check(r, flags <= (FLAG_CONTACT | FLAG_TOKEN), SES_ERR_MALFORMED);
    c->is_contact = (flags & FLAG_CONTACT) != 0;
    c->has_token = (flags & FLAG_TOKEN) != 0;
    ses_read_bytes(r, c->token.bytes, sizeof c->token.bytes);
    ses_session_id_of(&c->card.id, &c->card.kem_pk, &c->card.dsa_pk);
}

static enum ses_err decode(struct ses_contacts *contacts, struct ses_reader *r)
{
    const uint32_t cnt = ses_read_u32(r);
    ses_reader_check(r, cnt <= r->left / ENTRY_LEAST, SES_ERR_MALFORMED);
    ses_reader_check(r, cnt <= SES_CLIENT_CONTACTS_MAX + SES_CLIENT_SENDERS_MAX, SES_ERR_MALFORMED);
    for (uint32_t i = 0; r->err == SES_OK && i < cnt; i++) {
        SES_TRY(room(contacts));
        struct ses_contact *c = &contacts->list[i];
        read_entry(r, c);
        ses_reader_check(r, i == 0 || memcmp(c[-1].card.id.bytes, c->card.id.bytes, 33) < 0,
                         SES_ERR_MALFORMED);
        contacts->cnt++;
    }
    return ses_reader_done(r);
}

enum ses_err ses_contacts_decode(struct ses_contacts *contacts, const uint8_t *bytes, size_t len)
{
    struct ses_reader r;
    memset(contacts, 0, sizeof *contacts);
    ses_reader_init(&r, bytes, len);
    const enum ses_err err = decode(contacts, &r);
    if (err != SES_OK) {
        ses_contacts_free(contacts);
    }
    return err;
}
