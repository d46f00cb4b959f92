/* From fetched records to messages, on a real profile, and without a network where none is needed:
 * order, replays, what an application does not take, what survives a restart. */
#include <string.h>
#include <unistd.h>

#include "base/tap.h"
#include "client/test_members.h"
#include "client/test_tmp.h"

static char root[] = "/tmp/ses-client-deliver-XXXXXX";
static struct ses_identity *alice, *eve;

#define TAKEN_MAX 16u
struct inbox {
    unsigned cnt;
    unsigned refuse_at; /* the n-th message is not taken; 0: none */
    char texts[TAKEN_MAX][64];
    struct ses_client_message last;
};

static int take(void *cookie, const struct ses_client_message *m)
{
    struct inbox *in = cookie;
    if (in->refuse_at != 0 && in->cnt + 1 == in->refuse_at) {
        return 1;
    }
    TAP_MUST(in->cnt < TAKEN_MAX);
    snprintf(in->texts[in->cnt++], sizeof in->texts[0], "%.60s", m->text != NULL ? m->text : "?");
    in->last = *m;
    return 0;
}

static struct ses_client *open_bob(bool history)
{
    struct ses_client *c = NULL;
    const struct ses_client_config config = {
        .size = sizeof config, .profile = root, .keep_history = history};
    TAP_MUST(ses_client_open(&c, &config, NULL) == 0);
    if (!ses_client_has_identity(c, NULL)) {
        TAP_MUST(ses_client_create(c, "", NULL) == 0);
    }
    TAP_MUST(ses_client_unlock(c, NULL, NULL) == 0);
    return c;
}

static void add(struct ses_fetch *f, const struct ses_buf *bytes)
{
    struct ses_fetched *at = &f->records[f->record_cnt++];
    const struct ses_record record = {bytes->bytes, bytes->bytes + SES_RECORD_HEADER_BYTES,
                                      (uint32_t)(bytes->len - SES_RECORD_HEADER_BYTES)};
    TAP_MUST(f->record_cnt <= TAKEN_MAX && ses_record_identify(&at->ids, &record) == SES_OK);
    at->bytes = ses_alloc(bytes->len, 1);
    TAP_MUST(at->bytes != NULL);
    memcpy(at->bytes, bytes->bytes, bytes->len);
    at->payload_bytes = record.payload_bytes;
}

/* `from` writes to the owner of `c`; `n` is uuid and time. */
static void write_to(struct ses_fetch *f, const struct ses_client *c,
                     const struct ses_identity *from, uint8_t n, const char *text, bool with_keys)
{
    struct ses_buf body = {0};
    struct ses_buf record = {0};
    struct ses_card to;
    const struct ses_content content = {
        .kind = SES_CONTENT_TEXT, .text = text, .has_token = true, .token = {{n}}};
    TAP_MUST(ses_content_encode(&body, &content) == SES_OK);
    ses_card_of(&to, c->identity, "");
    const struct ses_seal1 m = {.from = from,
                                .to = &to,
                                .ttl_class = 2,
                                .type = SES_CONTENT_TYPE,
                                .uuid = {n},
                                .with_keys = with_keys,
                                .body = body.bytes,
                                .body_bytes = body.len};
    TAP_MUST(ses_seal1(&record, &m, f->now_ms + 1000u * n, tap_random()) == SES_OK);
    add(f, &record);
    ses_buf_free(&body);
    ses_buf_free(&record);
}

static void begin(struct ses_fetch *f, const struct ses_client *c)
{
    const struct ses_node_id node = {{1}};
    struct ses_hash inbox;
    memcpy(inbox.bytes, c->identity->id.bytes + 1, 32);
    ses_fetch_init(f, &inbox, 0, &node, 1, 1, 1, NULL, ses_client_now(c));
    f->members[0].cursor.bytes[0] = 42; /* as after a page */
    f->records = ses_alloc(TAKEN_MAX, sizeof *f->records);
    TAP_MUST(f->records != NULL);
}

static enum ses_err deliver(struct ses_client *c, struct ses_fetch *f, struct inbox *in,
                            struct ses_client_received *got)
{
    struct ses_note note = {0};
    const struct ses_delivery delivery = {.on_message = take, .cookie = in, .result = got};
    memset(got, 0, sizeof *got);
    return ses_client_deliver(c, f, &delivery, &note);
}

static uint8_t cursor_on_disk(struct ses_client *c)
{
    const struct ses_node_id node = {{1}};
    struct ses_cursor cursor;
    TAP_MUST(ses_client_begin(c, NULL) == SES_OK);
    ses_client_abort(c);
    ses_inbox_cursor_get(&c->state.inbox, &node, 0, &cursor);
    return cursor.bytes[0];
}

static void test_order_and_replay(void)
{
    struct ses_fetch f;
    struct ses_client_received got;
    struct inbox in = {0};
    struct ses_client *c = open_bob(true);
    begin(&f, c);
    write_to(&f, c, alice, 3, "third", true);
    write_to(&f, c, alice, 1, "first", true);
    write_to(&f, c, alice, 2, "second", true);
    write_to(&f, c, alice, 2, "second again", true); /* sealed again: the same uuid */
    write_to(&f, c, eve, 2, "eve's own 2", true);
    TAP_ERR(SES_OK, deliver(c, &f, &in, &got));
    TAP_EQ(4, got.delivered);
    TAP_EQ(1, got.replayed);
    TAP_TEXT("first", in.texts[0]);
    TAP_TEXT("third", in.texts[3]);
    TAP_EQ(42, cursor_on_disk(c));
    const struct ses_contact *contact = ses_contacts_find(&c->contacts, &alice->id);
    TAP_OK(contact != NULL && contact->has_token && contact->token.bytes[0] == 3);
    ses_client_close(c);
    c = open_bob(true); /* after a restart all of it is known */
    struct inbox none = {0};
    TAP_ERR(SES_OK, deliver(c, &f, &none, &got));
    TAP_EQ(0, none.cnt);
    TAP_EQ(5, got.replayed);
    ses_fetch_free(&f);
    ses_client_close(c);
}

static void test_history(void)
{
    char path[SES_PATH_MAX];
    struct ses_buf text = {0};
    unsigned lines = 0;
    TAP_MUST(ses_path_join(path, root, "history.jsonl", NULL) == SES_OK);
    TAP_MUST(ses_file_read(path, 1u << 20, &text, NULL) == SES_OK);
    for (size_t i = 0; i < text.len; i++) {
        lines += text.bytes[i] == '\n';
    }
    TAP_EQ(4, lines);
    TAP_OK(memmem(text.bytes, text.len, "\"text\":\"first\"", 14) != NULL);
    ses_buf_free(&text);
}

static void test_not_taken_comes_again(void)
{
    struct ses_fetch f;
    struct ses_client_received got;
    struct inbox in = {.refuse_at = 2};
    struct ses_client *c = open_bob(false);
    begin(&f, c);
    f.members[0].cursor.bytes[0] = 43;
    write_to(&f, c, alice, 11, "a", true);
    write_to(&f, c, alice, 12, "b", true);
    write_to(&f, c, alice, 13, "c", true);
    TAP_ERR(SES_ERR_CLOSED, deliver(c, &f, &in, &got));
    TAP_EQ(1, got.delivered);
    TAP_EQ(42, cursor_on_disk(c)); /* the rest must be fetched again */
    ses_client_close(c);
    c = open_bob(false);
    struct inbox rest = {0};
    TAP_ERR(SES_OK, deliver(c, &f, &rest, &got));
    TAP_EQ(2, got.delivered);
    TAP_TEXT("b", rest.texts[0]);
    TAP_TEXT("c", rest.texts[1]);
    TAP_EQ(43, cursor_on_disk(c));
    ses_fetch_free(&f);
    ses_client_close(c);
}

static void test_unopenable(void)
{
    struct ses_fetch f;
    struct ses_client_received got;
    struct inbox in = {0};
    struct ses_client *c = open_bob(false);
    begin(&f, c);
    write_to(&f, c, alice, 21, "damaged", true);
    f.records[0].bytes[5000] ^= 1;
    write_to(&f, c, alice, 22, "good", true);
    TAP_ERR(SES_OK, deliver(c, &f, &in, &got));
    TAP_EQ(1, got.delivered);
    TAP_EQ(1, got.unopenable);
    TAP_TEXT("good", in.texts[0]);
    TAP_OK(ses_inbox_saw_record(&c->state.inbox, &f.records[0].ids.id)); /* judged once */
    ses_fetch_free(&f);
    ses_client_close(c);
}

/* What one member alone has and nobody can open, and answers that are none, are told. */
static void test_junk_is_told(void)
{
    struct ses_fetch f;
    struct ses_client_received got;
    struct inbox in = {0};
    struct ses_client *c = open_bob(false);
    begin(&f, c);
    write_to(&f, c, alice, 23, "damaged everywhere", true);
    write_to(&f, c, alice, 24, "damaged at one", true);
    write_to(&f, c, alice, 25, "good, at one", true);
    f.member_cnt = 3;
    for (uint32_t i = 0; i < 3; i++) {
        f.members[i].counts = true;
        f.members[i].state = SES_FETCH_DONE;
    }
    f.records[0].bytes[5000] ^= 1;
    f.records[1].bytes[5000] ^= 1;
    f.records[0].holders = 7;
    f.records[1].holders = 2;
    f.records[2].holders = 4;
    TAP_ERR(SES_OK, deliver(c, &f, &in, &got));
    TAP_EQ(1, got.delivered);
    TAP_EQ(2, got.unopenable);
    TAP_EQ(1, got.junk);
    f.members[2].state = SES_FETCH_FAILED;
    f.members[2].err = SES_ERR_PEER;
    TAP_ERR(SES_OK, deliver(c, &f, &in, &got));
    TAP_EQ(2, got.junk);
    ses_fetch_free(&f);
    ses_client_close(c);
}

/* Keys that are not shown and cannot be fetched now: the message waits, the cursor too. */
static void test_unknown_sender_waits(void)
{
    struct ses_fetch f;
    struct ses_client_received got;
    struct inbox in = {0};
    struct ses_identity *carol = NULL;
    const uint8_t seed[32] = {77};
    struct ses_client *c = open_bob(false);
    TAP_MUST(ses_identity_new(&carol, seed) == SES_OK);
    begin(&f, c);
    f.members[0].cursor.bytes[0] = 99;
    write_to(&f, c, carol, 31, "who am I", false);
    write_to(&f, c, alice, 32, "known", false); /* her keys came with her first message */
    TAP_ERR(SES_OK, deliver(c, &f, &in, &got));
    TAP_EQ(1, got.delivered);
    TAP_TEXT("known", in.texts[0]);
    TAP_EQ(0, got.unopenable);
    TAP_EQ(1, got.waiting);
    TAP_OK(cursor_on_disk(c) != 99);
    struct ses_card card;
    ses_card_of(&card, carol, "Carol"); /* the card turns up */
    TAP_MUST(ses_client_begin(c, NULL) == SES_OK);
    TAP_MUST(ses_contacts_put(&c->contacts, &card, 1, true, 1, NULL) == SES_OK);
    TAP_MUST(ses_client_commit(c, SES_SAVE_CONTACTS, NULL) == SES_OK);
    struct inbox then = {0};
    TAP_ERR(SES_OK, deliver(c, &f, &then, &got));
    TAP_EQ(1, got.delivered);
    TAP_EQ(0, got.waiting);
    TAP_TEXT("who am I", then.texts[0]);
    TAP_TEXT("Carol", then.last.name);
    TAP_EQ(99, cursor_on_disk(c));
    ses_fetch_free(&f);
    ses_identity_free(carol);
    ses_client_close(c);
}

/* A page with nothing. */
static void serve_nothing(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    uint8_t answer[SES_PAGE_HEADER_BYTES];
    struct ses_writer w;
    const struct ses_page page = {.flags = 0};
    (void)cookie;
    (void)body;
    (void)len;
    ses_writer_init(&w, answer, sizeof answer);
    ses_page_write(&w, &page);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    ses_call_reply(call, answer, w.len);
}

/* That one member knows no card of the sender says nothing while too few answer (two of four are
 * wanted); once they do, nobody has one, and the message can be opened by nobody. */
static void test_too_few_know_no_card(void)
{
    struct ses_fetch f;
    struct ses_client_received got;
    struct inbox in = {0};
    struct members members;
    struct ses_identity *dave = NULL;
    const uint8_t seed[32] = {78};
    struct ses_client *c = open_bob(false);
    TAP_MUST(ses_identity_new(&dave, seed) == SES_OK);
    members_join(&members, c);
    begin(&f, c);
    f.members[0].cursor.bytes[0] = 77;
    write_to(&f, c, dave, 51, "who am I", false);
    TAP_MUST(ses_net_serve(members.list[0].net, SES_PROTO_RETRIEVE, serve_nothing, NULL) == SES_OK);
    TAP_ERR(SES_OK, deliver(c, &f, &in, &got));
    TAP_EQ(1, got.waiting);
    TAP_EQ(0, got.unopenable);
    TAP_OK(!ses_inbox_saw_record(&c->state.inbox, &f.records[0].ids.id));
    TAP_OK(cursor_on_disk(c) != 77);
    TAP_MUST(ses_net_serve(members.list[1].net, SES_PROTO_RETRIEVE, serve_nothing, NULL) == SES_OK);
    TAP_ERR(SES_OK, deliver(c, &f, &in, &got));
    TAP_EQ(0, got.waiting);
    TAP_EQ(1, got.unopenable);
    TAP_EQ(77, cursor_on_disk(c));
    TAP_EQ(0, in.cnt);
    members_leave(&members);
    ses_fetch_free(&f);
    ses_identity_free(dave);
    ses_client_close(c);
}

static void test_stop_keeps_the_rest(void)
{
    struct ses_fetch f;
    struct ses_client_received got;
    struct inbox in = {0};
    struct ses_client *c = open_bob(false);
    begin(&f, c);
    write_to(&f, c, alice, 41, "later", true);
    ses_client_stop(c);
    TAP_ERR(SES_ERR_CLOSED, deliver(c, &f, &in, &got));
    TAP_EQ(0, in.cnt);
    ses_client_close(c);
    c = open_bob(false);
    TAP_ERR(SES_OK, deliver(c, &f, &in, &got));
    TAP_EQ(1, in.cnt);
    ses_fetch_free(&f);
    ses_client_close(c);
}

int main(void)
{
    const uint8_t seeds[2][32] = {{1}, {2}};
    SES_ASSERT(ses_crypto_init() == SES_OK);
    SES_ASSERT(mkdtemp(root) != NULL);
    SES_ASSERT(ses_identity_new(&alice, seeds[0]) == SES_OK);
    SES_ASSERT(ses_identity_new(&eve, seeds[1]) == SES_OK);
    TAP_RUN(test_order_and_replay);
    TAP_RUN(test_history);
    TAP_RUN(test_not_taken_comes_again);
    TAP_RUN(test_unopenable);
    TAP_RUN(test_junk_is_told);
    TAP_RUN(test_unknown_sender_waits);
    TAP_RUN(test_too_few_know_no_card);
    TAP_RUN(test_stop_keeps_the_rest);
    ses_identity_free(alice);
    ses_identity_free(eve);
    test_tmp_remove(root);
    return tap_done();
}
