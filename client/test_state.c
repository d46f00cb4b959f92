/* State and contacts: bytes, limits, what displaces what. */
#include <string.h>

#include "base/tap.h"
#include "client/client_internal.h"

#define NOW_MS 1700000000000u

/* Keys need not be keys here: an id is the hash of whatever bytes stand there. */
static struct ses_card card_of(unsigned n, const char *name)
{
    struct ses_card card;
    memset(&card, 0, sizeof card);
    ses_put_u32(card.kem_pk.bytes, n);
    memcpy(card.name, name, strlen(name));
    ses_session_id_of(&card.id, &card.kem_pk, &card.dsa_pk);
    return card;
}

static void reload(struct ses_contacts *contacts)
{
    struct ses_buf disk = {0};
    struct ses_buf again = {0};
    TAP_MUST(ses_contacts_encode(&disk, contacts) == SES_OK);
    ses_contacts_free(contacts);
    TAP_MUST(ses_contacts_decode(contacts, disk.bytes, disk.len) == SES_OK);
    TAP_MUST(ses_contacts_encode(&again, contacts) == SES_OK);
    TAP_EQ(disk.len, again.len);
    TAP_BYTES(disk.bytes, again.bytes, disk.len);
    for (unsigned i = 0; i < 50; i++) {
        struct ses_contacts cut;
        const size_t len = (size_t)ses_random_below(tap_random(), disk.len);
        TAP_OK(ses_contacts_decode(&cut, disk.bytes, len) != SES_OK);
    }
    ses_buf_free(&disk);
    ses_buf_free(&again);
}

static void test_newer_card_wins(void)
{
    struct ses_contacts contacts = {0};
    struct ses_contact *c = NULL;
    const struct ses_card bob = card_of(1, "bob");
    const struct ses_card robert = card_of(1, "robert");
    const struct ses_card shown = card_of(1, "");
    TAP_ERR(SES_OK, ses_contacts_put(&contacts, &shown, 0, false, NOW_MS, &c));
    TAP_TEXT("", c->card.name);
    TAP_ERR(SES_OK, ses_contacts_put(&contacts, &bob, 5000, true, NOW_MS, &c));
    TAP_TEXT("bob", c->card.name);
    TAP_OK(c->is_contact);
    c->has_token = true;
    TAP_ERR(SES_OK, ses_contacts_put(&contacts, &robert, 4000, false, NOW_MS, &c)); /* older */
    TAP_TEXT("bob", c->card.name);
    TAP_ERR(SES_OK, ses_contacts_put(&contacts, &shown, 0, false, NOW_MS, &c));
    TAP_TEXT("bob", c->card.name);
    TAP_ERR(SES_OK, ses_contacts_put(&contacts, &robert, 6000, false, NOW_MS, &c));
    TAP_TEXT("robert", c->card.name);
    TAP_OK(c->is_contact && c->has_token);
    TAP_EQ(1, contacts.cnt);
    reload(&contacts);
    TAP_TEXT("robert", ses_contacts_find(&contacts, &bob.id)->card.name);
    ses_contacts_free(&contacts);
}

/* Strangers push out strangers, never people that we wrote to. */
static void test_strangers_do_not_displace_contacts(void)
{
    struct ses_contacts contacts = {0};
    const struct ses_card friend = card_of(1000000, "friend");
    TAP_MUST(ses_contacts_put(&contacts, &friend, 0, true, 1, NULL) == SES_OK);
    for (unsigned i = 0; i < SES_CLIENT_SENDERS_MAX + 20; i++) {
        const struct ses_card card = card_of(i, "");
        TAP_MUST(ses_contacts_put(&contacts, &card, 0, false, NOW_MS + i, NULL) == SES_OK);
    }
    TAP_EQ(SES_CLIENT_SENDERS_MAX + 1, contacts.cnt);
    TAP_OK(ses_contacts_find(&contacts, &friend.id) != NULL);
    const struct ses_card first = card_of(0, "");
    const struct ses_card last = card_of(SES_CLIENT_SENDERS_MAX + 19, "");
    TAP_OK(ses_contacts_find(&contacts, &first.id) == NULL);
    TAP_OK(ses_contacts_find(&contacts, &last.id) != NULL);
    ses_contacts_free(&contacts);
}

static void test_state_bytes(void)
{
    struct ses_profile_state state;
    struct ses_profile_state got;
    struct ses_buf disk = {0};
    const struct ses_hash id = {{9}};
    memset(&state, 0, sizeof state);
    ses_random_fill(tap_random(), state.token.bytes, 32);
    state.has_token = true;
    state.card_published_ms = NOW_MS;
    memcpy(state.name, "Ann", 4);
    TAP_MUST(ses_inbox_see_record(&state.inbox, &id, NOW_MS) == SES_OK);
    TAP_MUST(ses_profile_state_encode(&disk, &state) == SES_OK);
    TAP_ERR(SES_OK, ses_profile_state_decode(&got, disk.bytes, disk.len));
    TAP_TEXT("Ann", got.name);
    TAP_BYTES(state.token.bytes, got.token.bytes, 32);
    TAP_OK(ses_inbox_saw_record(&got.inbox, &id));
    ses_profile_state_free(&got);
    for (size_t len = 0; len < disk.len; len++) {
        TAP_OK(ses_profile_state_decode(&got, disk.bytes, len) != SES_OK);
    }
    ses_buf_free(&disk);
    ses_profile_state_free(&state);
}

static void test_refusal_notes(void)
{
    struct ses_note note;
    struct ses_refusal r = {.status = SES_ERR_CLOCK, .time_ms = NOW_MS + 125000};
    ses_refusal_note(&note, &r, NOW_MS);
    TAP_OK(strstr(note.text, "125 s behind") != NULL);
    r.time_ms = NOW_MS - 3000;
    ses_refusal_note(&note, &r, NOW_MS);
    TAP_OK(strstr(note.text, "3 s ahead") != NULL);
    static const enum ses_err all[] = {SES_ERR_WRONG_SWARM, SES_ERR_QUOTA,        SES_ERR_WORK,
                                       SES_ERR_RATE,        SES_ERR_TOO_LARGE,    SES_ERR_DISK_LOW,
                                       SES_ERR_UNAVAILABLE, SES_ERR_UNAUTHORISED, SES_ERR_MALFORMED,
                                       SES_ERR_STRANGERS};
    for (size_t i = 0; i < SES_COUNT(all); i++) {
        r.status = all[i];
        memset(&note, 0, sizeof note);
        ses_refusal_note(&note, &r, NOW_MS);
        TAP_OK(strlen(note.text) > 20);
    }
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    TAP_RUN(test_newer_card_wins);
    TAP_RUN(test_strangers_do_not_displace_contacts);
    TAP_RUN(test_state_bytes);
    TAP_RUN(test_refusal_notes);
    return tap_done();
}
