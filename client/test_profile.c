/* The profile: identity file, passphrases, persistence, what is refused; all without a network. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/tap.h"
#include "client/client_internal.h"
#include "client/test_tmp.h"

static char root[] = "/tmp/ses-client-profile-XXXXXX";
static struct ses_client_note note;

/* Public functions return numbers. */
#define RC(want, call) TAP_ERR((enum ses_err)(want), (enum ses_err)(call))

struct asked {
    const char *answer; /* NULL: gives up */
    unsigned cnt;
    enum ses_client_ask last;
};

static int ask(void *cookie, enum ses_client_ask what, char *out, size_t cap)
{
    struct asked *asked = cookie;
    asked->cnt++;
    asked->last = what;
    if (asked->answer == NULL) {
        return 1;
    }
    snprintf(out, cap, "%s", asked->answer);
    return 0;
}

static struct ses_client *open_profile(const char *name, struct asked *asked)
{
    char path[SES_PATH_MAX];
    struct ses_client *c = NULL;
    TAP_MUST(ses_path_join(path, root, name, NULL) == SES_OK);
    const struct ses_client_config config = {.size = sizeof config,
                                             .profile = path,
                                             .passphrase = asked != NULL ? ask : NULL,
                                             .cookie = asked};
    if (!RC(0, ses_client_open(&c, &config, &note))) {
        printf("# %s\n", note.text);
        tap_leave();
    }
    return c;
}

static unsigned mode_in(const struct ses_client *c, const char *name)
{
    char path[SES_PATH_MAX];
    struct stat st;
    TAP_MUST(ses_client_path(c, name, path, NULL) == SES_OK);
    TAP_MUST(stat(path, &st) == 0);
    return st.st_mode & 07777;
}

static void test_create_and_reopen(void)
{
    char id[SES_CLIENT_ID_TEXT];
    char again[SES_CLIENT_ID_TEXT];
    int encrypted = 1;
    struct ses_client *c = open_profile("plain", NULL);
    RC(0, ses_client_has_identity(c, NULL));
    RC(SES_CLIENT_NOT_FOUND, ses_client_id(c, id, &note));
    TAP_OK(strstr(note.text, "session id new") != NULL);
    RC(0, ses_client_create(c, "", &note));
    TAP_EQ(0600, mode_in(c, "identity"));
    TAP_EQ(0600, mode_in(c, "state"));
    TAP_EQ(0700, mode_in(c, "outbox"));
    RC(1, ses_client_has_identity(c, &encrypted));
    TAP_OK(!encrypted);
    RC(0, ses_client_id(c, id, &note));
    RC(0, ses_client_check_id(id, &note));
    RC(SES_CLIENT_EXISTS, ses_client_create(c, "", &note));
    ses_client_close(c);
    c = open_profile("plain", NULL);
    RC(0, ses_client_id(c, again, &note));
    TAP_TEXT(id, again);
    ses_client_close(c);
}

static void test_passphrase(void)
{
    char id[SES_CLIENT_ID_TEXT];
    struct asked asked = {.answer = "correct horse"};
    int encrypted = 0;
    struct ses_client *c = open_profile("secret", &asked);
    RC(0, ses_client_create(c, NULL, &note));
    TAP_EQ(1, asked.cnt);
    TAP_EQ(SES_CLIENT_ASK_NEW, asked.last);
    ses_client_close(c);
    c = open_profile("secret", &asked);
    RC(1, ses_client_has_identity(c, &encrypted));
    TAP_OK(encrypted);
    char phrase[SES_CLIENT_PHRASE_TEXT];
    RC(0, ses_client_id(c, id, &note)); /* public: nobody is asked */
    TAP_EQ(1, asked.cnt);
    asked.answer = "wrong";
    RC(SES_CLIENT_PASSPHRASE, ses_client_export_phrase(c, phrase, &note));
    TAP_EQ(SES_CLIENT_ASK_UNLOCK, asked.last);
    TAP_OK(strstr(note.text, "wrong") != NULL && strstr(note.text, "horse") == NULL);
    asked.answer = NULL;
    RC(SES_CLIENT_PASSPHRASE, ses_client_export_phrase(c, phrase, &note));
    RC(SES_CLIENT_PASSPHRASE, ses_client_set_passphrase(c, "", &note));
    RC(0, ses_client_unlock(c, "correct horse", &note));
    char unlocked[SES_CLIENT_ID_TEXT];
    RC(0, ses_client_id(c, unlocked, &note));
    TAP_TEXT(id, unlocked);
    RC(0, ses_client_set_passphrase(c, "", &note));
    ses_client_lock(c);
    RC(0, ses_client_id(c, id, &note)); /* unencrypted now: nobody is asked */
    TAP_EQ(3, asked.cnt);
    TAP_EQ(0600, mode_in(c, "identity"));
    ses_client_close(c);
}

static void test_nobody_to_ask(void)
{
    struct ses_client *c = open_profile("mute", NULL);
    RC(SES_CLIENT_PASSPHRASE, ses_client_create(c, NULL, &note));
    RC(0, ses_client_has_identity(c, NULL));
    ses_client_close(c);
}

static void test_phrase(void)
{
    char id[SES_CLIENT_ID_TEXT];
    char again[SES_CLIENT_ID_TEXT];
    char phrase[SES_CLIENT_PHRASE_TEXT];
    struct ses_client *a = open_profile("phrase-a", NULL);
    struct ses_client *b = open_profile("phrase-b", NULL);
    TAP_MUST(ses_client_create(a, "", &note) == 0);
    RC(0, ses_client_export_phrase(a, phrase, &note));
    RC(0, ses_client_id(a, id, &note));
    phrase[0] = phrase[0] == 'b' ? 'd' : 'b';
    RC(SES_CLIENT_CHECKSUM, ses_client_restore(b, phrase, "", &note));
    TAP_OK(strstr(note.text, "typing error") != NULL);
    RC(SES_CLIENT_MALFORMED, ses_client_restore(b, "hello", "", &note));
    RC(0, ses_client_has_identity(b, NULL));
    RC(0, ses_client_export_phrase(a, phrase, &note));
    RC(0, ses_client_restore(b, phrase, "", &note));
    RC(0, ses_client_id(b, again, &note));
    TAP_TEXT(id, again);
    ses_client_close(a);
    ses_client_close(b);
}

static void test_open_to_others_is_refused(void)
{
    char path[SES_PATH_MAX];
    char id[SES_CLIENT_ID_TEXT];
    struct ses_client *c = open_profile("open", NULL);
    TAP_MUST(ses_client_create(c, "", &note) == 0);
    ses_client_lock(c);
    TAP_MUST(ses_client_path(c, "identity", path, NULL) == SES_OK);
    TAP_MUST(chmod(path, 0644) == 0);
    RC(SES_CLIENT_PERMISSION, ses_client_id(c, id, &note));
    TAP_OK(strstr(note.text, "chmod 600") != NULL);
    TAP_MUST(chmod(path, 0600) == 0);
    RC(0, ses_client_id(c, id, &note));
    ses_client_close(c);
}

/* A file that shows nothing is unlocked for its ID; one that shows a wrong one does not unlock. */
static void test_shown_id(void)
{
    char path[SES_PATH_MAX];
    char id[SES_CLIENT_ID_TEXT];
    char again[SES_CLIENT_ID_TEXT];
    struct ses_note n = {0};
    struct asked asked = {.answer = "p"};
    struct ses_client *c = open_profile("shown", &asked);
    RC(0, ses_client_create(c, "", &note));
    RC(0, ses_client_id(c, id, &note));
    TAP_MUST(ses_client_path(c, "identity", path, NULL) == SES_OK);
    TAP_MUST(ses_vault_file_write(path, SES_VAULT_IDENTITY, c->identity->seed, 32, NULL, "p", true,
                                  &n) == SES_OK);
    ses_client_lock(c);
    RC(0, ses_client_id(c, again, &note));
    TAP_EQ(1, asked.cnt);
    TAP_TEXT(id, again);
    uint8_t foreign[53] = {7};
    const struct ses_part shown = SES_PART(foreign, sizeof foreign);
    TAP_MUST(ses_vault_file_write(path, SES_VAULT_IDENTITY, c->identity->seed, 32, &shown, NULL,
                                  true, &n) == SES_OK);
    ses_client_lock(c);
    RC(SES_CLIENT_MALFORMED, ses_client_unlock(c, NULL, &note));
    TAP_OK(strstr(note.text, "another Session ID") != NULL && c->identity == NULL);
    ses_client_close(c);
}

static void test_vault_kinds(void)
{
    char path[SES_PATH_MAX];
    uint8_t secret[40];
    size_t len = sizeof secret;
    struct ses_note n = {0};
    TAP_MUST(ses_path_join(path, root, "node.key", NULL) == SES_OK);
    TAP_ERR(SES_OK, ses_vault_file_write(path, SES_VAULT_NODE, "secret", 6, NULL, NULL, false, &n));
    TAP_ERR(SES_ERR_EXISTS,
            ses_vault_file_write(path, SES_VAULT_NODE, "other!", 6, NULL, NULL, false, &n));
    TAP_OK(ses_vault_file_read(path, SES_VAULT_IDENTITY, secret, &len, NULL, &n) != SES_OK);
    len = sizeof secret;
    TAP_ERR(SES_OK, ses_vault_file_read(path, SES_VAULT_NODE, secret, &len, NULL, &n));
    TAP_EQ(6, len);
    TAP_BYTES("secret", secret, 6);
    len = 3;
    TAP_OK(ses_vault_file_read(path, SES_VAULT_NODE, secret, &len, NULL, &n) != SES_OK);
    TAP_ERR(SES_ERR_NOT_FOUND,
            ses_vault_file_read("/nonexistent/x", SES_VAULT_NODE, secret, &len, NULL, &n));
}

static void test_bad_config(void)
{
    struct ses_client *c = NULL;
    struct ses_client_config config = {.size = sizeof config};
    RC(SES_CLIENT_INVALID, ses_client_open(&c, &config, &note));
    config.profile = root;
    config.size = 3;
    RC(SES_CLIENT_INVALID, ses_client_open(&c, &config, &note));
    config.size = sizeof config;
    config.profile = "/nonexistent/deeper/profile";
    RC(SES_CLIENT_NOT_FOUND, ses_client_open(&c, &config, NULL));
    TAP_OK(c == NULL);
    ses_client_close(NULL);
}

static void test_ids(void)
{
    RC(SES_CLIENT_INVALID, ses_client_check_id(NULL, &note));
    TAP_OK(ses_client_check_id("07", &note) != 0);
    TAP_OK(ses_client_check_id("05aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                               &note) != 0);
    TAP_OK(note.text[0] != 0);
    RC(0, ses_client_check_id("07aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                              &note));
}

static void test_damaged_state_is_told(void)
{
    char path[SES_PATH_MAX];
    struct ses_client *c = open_profile("damaged", NULL);
    TAP_MUST(ses_client_path(c, "state", path, NULL) == SES_OK);
    ses_client_close(c);
    FILE *file = fopen(path, "r+");
    TAP_MUST(file != NULL && fseek(file, 60, SEEK_SET) == 0 && fputc(0xAA, file) != EOF);
    TAP_MUST(fclose(file) == 0);
    const struct ses_client_config config = {.size = sizeof config, .profile = root};
    struct ses_client_config other = config;
    char profile[SES_PATH_MAX];
    TAP_MUST(ses_path_join(profile, root, "damaged", NULL) == SES_OK);
    other.profile = profile;
    RC(SES_CLIENT_CHECKSUM, ses_client_open(&c, &other, &note));
    TAP_OK(strstr(note.text, "state") != NULL);
}

/* ---- cards as files, and what is refused before any network ---- */

static int count_cards(void *cookie, const struct ses_client_card *card)
{
    unsigned *cnt = cookie;
    *cnt += card->id[0] == '0';
    return 0;
}

static void test_cards_by_file(void)
{
    uint8_t bytes[SES_CLIENT_CARD_BYTES];
    size_t len = sizeof bytes;
    char id[SES_CLIENT_ID_TEXT];
    struct ses_client_card card;
    unsigned cnt = 0;
    struct ses_client *a = open_profile("card-a", NULL);
    struct ses_client *b = open_profile("card-b", NULL);
    TAP_MUST(ses_client_create(a, "", &note) == 0 && ses_client_create(b, "", &note) == 0);
    RC(0, ses_client_export_card(a, bytes, &len, &note));
    RC(0, ses_client_id(a, id, &note));
    bytes[10] ^= 1;
    TAP_OK(ses_client_import_card(b, bytes, len, &card, &note) != 0);
    bytes[10] ^= 1;
    RC(0, ses_client_import_card(b, bytes, len, &card, &note));
    TAP_TEXT(id, card.id);
    ses_client_close(b);
    b = open_profile("card-b", NULL); /* it is on disk */
    RC(0, ses_client_contacts(b, count_cards, &cnt, &note));
    TAP_EQ(1, cnt);
    len = 100;
    TAP_OK(ses_client_export_card(a, bytes, &len, &note) != 0);
    ses_client_close(a);
    ses_client_close(b);
}

static int take_sent(void *cookie, const struct ses_client_sent *sent)
{
    *(struct ses_client_sent *)cookie = *sent;
    return 0;
}

static void test_send_refuses_bad_input(void)
{
    static char big[100000];
    struct ses_client_sent sent;
    char id[SES_CLIENT_ID_TEXT];
    struct ses_client *c = open_profile("card-a", NULL);
    TAP_MUST(ses_client_id(c, id, &note) == 0);
    struct ses_client_send m = {.size = sizeof m, .to = id, .text = "x"};
    m.size = 1;
    RC(SES_CLIENT_INVALID, ses_client_send(c, &m, &sent, &note));
    m.size = sizeof m;
    m.to = "nobody";
    TAP_OK(ses_client_send(c, &m, &sent, &note) != 0);
    m.to = id;
    m.text = NULL;
    RC(SES_CLIENT_INVALID, ses_client_send(c, &m, &sent, &note));
    m.text = "\xff\xfe";
    RC(SES_CLIENT_INVALID, ses_client_send(c, &m, &sent, &note));
    memset(big, 'a', ses_client_message_max() + 1);
    m.text = big;
    RC(SES_CLIENT_TOO_LARGE, ses_client_send(c, &m, &sent, &note));
    TAP_OK(strstr(note.text, "at most") != NULL);
    m.kind = SES_CLIENT_FILE;
    m.text = "name";
    m.data = (const uint8_t *)big;
    m.data_bytes = SIZE_MAX;
    RC(SES_CLIENT_TOO_LARGE, ses_client_send(c, &m, &sent, &note));
    m.data_bytes = 5;
    m.text = "../../etc/passwd";
    RC(SES_CLIENT_INVALID, ses_client_send(c, &m, &sent, &note));
    m.text = "ok";
    m.ttl = (enum ses_client_ttl)99;
    RC(SES_CLIENT_INVALID, ses_client_send(c, &m, &sent, &note));
    RC(0, ses_client_outbox(c, take_sent, &sent, &note));
    TAP_EQ(0, sent.state); /* zeroed by the refusal, and nothing was queued */
    ses_client_close(c);
}

static int refuse_message(void *cookie, const struct ses_client_message *message)
{
    (void)cookie;
    (void)message;
    return 1;
}

static void test_offline(void)
{
    struct ses_client_sent sent;
    struct ses_client_sent listed = {0};
    struct ses_client_network network;
    struct ses_client_received received;
    uint8_t card_bytes[SES_CLIENT_CARD_BYTES];
    size_t len = sizeof card_bytes;
    struct ses_client_card card;
    struct ses_client *a = open_profile("card-a", NULL);
    struct ses_client *b = open_profile("card-b", NULL);
    RC(SES_CLIENT_CONFIG, ses_client_network(a, NULL, &network, &note));
    TAP_OK(strstr(note.text, "chain URL") != NULL);
    RC(SES_CLIENT_CONFIG, ses_client_receive(a, refuse_message, NULL, &received, &note));
    RC(SES_CLIENT_INVALID, ses_client_receive(a, NULL, NULL, NULL, &note));
    /* with the card at hand the message waits in the outbox, even over a restart */
    TAP_MUST(ses_client_export_card(b, card_bytes, &len, &note) == 0);
    TAP_MUST(ses_client_import_card(a, card_bytes, len, &card, &note) == 0);
    const struct ses_client_send m = {.size = sizeof m, .to = card.id, .text = "later"};
    RC(SES_CLIENT_CONFIG, ses_client_send(a, &m, &sent, &note));
    TAP_EQ(SES_CLIENT_PENDING, sent.state);
    ses_client_close(a);
    a = open_profile("card-a", NULL);
    RC(0, ses_client_outbox(a, take_sent, &listed, &note));
    TAP_EQ(SES_CLIENT_PENDING, listed.state);
    TAP_BYTES(sent.uuid, listed.uuid, 16);
    TAP_TEXT(card.id, listed.to);
    ses_client_close(a);
    ses_client_close(b);
}

static int count_stored(void *cookie, const struct ses_client_sent *sent)
{
    unsigned *cnt = cookie;
    *cnt += sent->state == SES_CLIENT_STORED;
    return 0;
}

/* What is finished stands apart: it costs the next calls nothing, counts against no limit, is
 * listed for 7 days and then goes. */
static void test_finished_items(void)
{
    struct ses_client_sent listed = {0};
    struct ses_outbox_item item;
    struct ses_note n = {0};
    struct ses_client *c = open_profile("card-a", NULL);
    RC(0, ses_client_outbox(c, take_sent, &listed, &note));
    TAP_MUST(ses_outbox_load(c, SES_OUTBOX_PENDING, listed.uuid, &item, &n) == SES_OK);
    item.state = SES_OUTBOX_STORED;
    ses_buf_free(&item.body);
    for (unsigned i = 0; i < 32; i++) {
        ses_put_u32(item.uuid + 12, i);
        TAP_ERR(SES_OK, ses_outbox_save(c, &item, 0, &n));
    }
    char hex[33];
    ses_hex_encode(hex, item.uuid, 16);
    ses_outbox_free(&item);
    struct ses_buf uuids = {0};
    TAP_ERR(SES_OK, ses_outbox_list(c, SES_OUTBOX_PENDING, &uuids, &n));
    TAP_EQ(16, uuids.len); /* the one that waits */
    unsigned cnt = 0;
    RC(0, ses_client_outbox(c, count_stored, &cnt, &note));
    TAP_EQ(32, cnt);
    char path[512];
    SES_ASSERT(snprintf(path, sizeof path, "%s/card-a/done/%s", root, hex) > 0);
    const time_t old = (time_t)(ses_client_now(c) / 1000 - 8 * 86400);
    const struct timespec times[2] = {{.tv_sec = old}, {.tv_sec = old}};
    TAP_OK(utimensat(AT_FDCWD, path, times, 0) == 0);
    ses_outbox_sweep(c);
    cnt = 0;
    RC(0, ses_client_outbox(c, count_stored, &cnt, &note));
    TAP_EQ(31, cnt);
    ses_buf_free(&uuids);
    ses_client_close(c);
}

static void test_stop_before_a_call(void)
{
    struct ses_client_network network;
    struct ses_client *c = open_profile("card-a", NULL);
    ses_client_stop(c);
    /* nothing blocking was reached: the wish stays, the error is the real one */
    RC(SES_CLIENT_CONFIG, ses_client_network(c, NULL, &network, &note));
    TAP_OK(ses_client_stopped(c));
    ses_client_close(c);
}

int main(void)
{
    SES_ASSERT(mkdtemp(root) != NULL);
    TAP_RUN(test_create_and_reopen);
    TAP_RUN(test_passphrase);
    TAP_RUN(test_nobody_to_ask);
    TAP_RUN(test_phrase);
    TAP_RUN(test_open_to_others_is_refused);
    TAP_RUN(test_shown_id);
    TAP_RUN(test_vault_kinds);
    TAP_RUN(test_bad_config);
    TAP_RUN(test_ids);
    TAP_RUN(test_damaged_state_is_told);
    TAP_RUN(test_cards_by_file);
    TAP_RUN(test_send_refuses_bad_input);
    TAP_RUN(test_offline);
    TAP_RUN(test_finished_items);
    TAP_RUN(test_stop_before_a_call);
    test_tmp_remove(root);
    return tap_done();
}
