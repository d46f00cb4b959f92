#include <string.h>

#include "base/tap.h"
#include "crypto/crypto.h"

static void test_cb58(void)
{
    for (unsigned round = 0; round < 2000; round++) {
        uint8_t in[40];
        uint8_t out[40];
        char text[SES_CB58_TEXT_MAX];
        const size_t len = ses_random_below(tap_random(), 41);
        ses_random_fill(tap_random(), in, sizeof in);
        memset(in, 0, ses_random_below(tap_random(), len + 1));
        TAP_MUST(ses_cb58_encode(text, in, len) == SES_OK);
        TAP_ERR(SES_OK, ses_cb58_decode(out, len, text));
        TAP_BYTES(in, out, len);
        if (len > 0) {
            TAP_ERR(SES_ERR_MALFORMED, ses_cb58_decode(out, len - 1, text));
        }
        const size_t at = ses_random_below(tap_random(), strlen(text));
        text[at] = text[at] == 'x' ? 'y' : 'x';
        const enum ses_err err = ses_cb58_decode(out, len, text);
        TAP_OK(err == SES_ERR_CHECKSUM || err == SES_ERR_MALFORMED);
    }
}

static void test_cb58_refuses(void)
{
    uint8_t bytes[41] = {0};
    char text[SES_CB58_TEXT_MAX];
    TAP_ERR(SES_ERR_TOO_LARGE, ses_cb58_encode(text, bytes, sizeof bytes));
    TAP_ERR(SES_ERR_TOO_LARGE, ses_cb58_decode(bytes, sizeof bytes, "11"));
    TAP_ERR(SES_ERR_MALFORMED, ses_cb58_decode(bytes, 0, ""));
    TAP_ERR(SES_ERR_MALFORMED, ses_cb58_decode(bytes, 20, "0OIl"));
    TAP_ERR(SES_OK, ses_cb58_encode(text, "", 0));
    TAP_ERR(SES_OK, ses_cb58_decode(bytes, 0, text));
}

static void test_account_text(void)
{
    struct ses_account in;
    struct ses_account out;
    struct ses_node_id node;
    char text[SES_ID_TEXT_MAX];
    for (unsigned i = 0; i < 300; i++) {
        ses_random_fill(tap_random(), &in, sizeof in);
        memset(&in, i % 2 == 0 ? 0 : 0xff, ses_random_below(tap_random(), 21));
        ses_account_text(text, &in);
        TAP_OK(strncmp(text, "LUX-", 4) == 0);
        TAP_ERR(SES_OK, ses_account_parse(&out, text));
        TAP_BYTES(in.bytes, out.bytes, sizeof in.bytes);
        TAP_ERR(SES_ERR_MALFORMED, ses_node_id_parse(&node, text));
        memcpy(node.bytes, in.bytes, sizeof node.bytes);
        ses_node_id_text(text, &node);
        TAP_OK(strncmp(text, "NodeID-", 7) == 0);
        TAP_ERR(SES_OK, ses_node_id_parse(&node, text));
        TAP_BYTES(in.bytes, node.bytes, sizeof in.bytes);
    }
    static const char *const bad[] = {"", "LUX-", "lux-FHNaG73c9zfNDyr9aCcQDqodq438t8G3d",
                                      "FHNaG73c9zfNDyr9aCcQDqodq438t8G3d",
                                      "LUX-FHNaG73c9zfNDyr9aCcQDqodq438t8G3d "};
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        TAP_ERR(SES_ERR_MALFORMED, ses_account_parse(&out, bad[i]));
    }
    TAP_ERR(SES_OK, ses_account_parse(&out, "LUX-FHNaG73c9zfNDyr9aCcQDqodq438t8G3d"));
    TAP_ERR(SES_ERR_CHECKSUM, ses_account_parse(&out, "LUX-FHNaG73c9zfNDyr9aCcQDqodq438t8G3e"));
}

#define HEX64 "069af080498f9dfe5d55274e93a9376387785a9c8a898b7bb9d1496cce9ae21e"

static void test_session_id_parse(void)
{
    static const struct {
        const char *text;
        const char *note;
    } bad[] = {{"", "66 hex characters, this has 0"},
               {"07abc", "66 hex characters, this has 5"},
               {"07" HEX64 "0", "more than 66"},
               {"07" HEX64 "0000000000000000000000", "more than 66"},
               {"05" HEX64, "older Session network (05, X25519)"},
               {"08" HEX64, "begins with 07, this begins with 08"},
               {"0x" HEX64, "0-9 and a-f"}};
    struct ses_session_id id;
    struct ses_note note;
    char text[SES_SESSION_ID_TEXT];
    TAP_ERR(SES_OK, ses_session_id_parse(&id, "07" HEX64, &note));
    ses_session_id_text(text, &id);
    TAP_TEXT("07" HEX64, text);
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        struct ses_session_id zero = {{0}};
        TAP_ERR(SES_ERR_MALFORMED, ses_session_id_parse(&id, bad[i].text, &note));
        TAP_BYTES(zero.bytes, id.bytes, sizeof zero);
        if (!TAP_OK(strstr(note.text, bad[i].note) != NULL)) {
            printf("#   %s\n", note.text);
        }
        TAP_ERR(SES_ERR_MALFORMED, ses_session_id_parse(&id, bad[i].text, NULL));
    }
}

int main(void)
{
    TAP_RUN(test_cb58);
    TAP_RUN(test_cb58_refuses);
    TAP_RUN(test_account_text);
    TAP_RUN(test_session_id_parse);
    return tap_done();
}
