#include <string.h>

#include "base/tap.h"
#include "base/text.h"

static void test_hex(void)
{
    char text[9];
    uint8_t bytes[4];
    ses_hex_encode(text, "\x00\x7f\xab\xff", 4);
    TAP_TEXT("007fabff", text);
    TAP_ERR(SES_OK, ses_hex_decode(bytes, 4, "007fABff"));
    TAP_BYTES("\x00\x7f\xab\xff", bytes, 4);
    ses_hex_encode(text, NULL, 0);
    TAP_TEXT("", text);
    TAP_ERR(SES_OK, ses_hex_decode(NULL, 0, ""));
}

static void test_hex_refuses(void)
{
    static const char *const bad[] = {"",         "007fabf",  "007fabff0", "007fabfg",
                                      "g07fabff", " 07fabff", "007fabf:",  "007fab\xff\xff",
                                      "007fab@f", "`07fabff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t bytes[4] = {1, 1, 1, 1};
        TAP_ERR(SES_ERR_MALFORMED, ses_hex_decode(bytes, 4, bad[i]));
        TAP_BYTES("\0\0\0\0", bytes, 4);
    }
}

/* The examples of draft-msporny-base58 section 5, and zeros. */
static void test_base58_known(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text;
    } known[] = {{"Hello World!", 12, "2NEpo7TZRRrLZSi2U"},
                 {"\x00\x00\x28\x7f\xb4\xcd", 6, "11233QC4"},
                 {"", 0, ""},
                 {"\0\0\0", 3, "111"},
                 {"\xff", 1, "5Q"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[64];
        uint8_t bytes[32];
        size_t len;
        TAP_ERR(SES_OK, ses_base58_encode(text, sizeof text, known[i].bytes, known[i].len));
        TAP_TEXT(known[i].text, text);
        TAP_ERR(SES_OK, ses_base58_decode(bytes, &len, sizeof bytes, text));
        TAP_EQ(known[i].len, len);
        TAP_BYTES(known[i].bytes, bytes, len);
    }
}

static void test_base58_roundtrip(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t in[SES_BASE58_BYTES_MAX];
        uint8_t out[SES_BASE58_BYTES_MAX];
        char text[SES_BASE58_TEXT_MAX + 1];
        size_t len = 0;
        const size_t in_len = ses_random_below(tap_random(), sizeof in + 1);
        ses_random_fill(tap_random(), in, in_len);
        memset(in, i % 3 == 0 ? 0 : 0xff, ses_random_below(tap_random(), in_len + 1));
        TAP_MUST(ses_base58_encode(text, sizeof text, in, in_len) == SES_OK);
        TAP_MUST(ses_base58_decode(out, &len, sizeof out, text) == SES_OK);
        TAP_MUST(len == in_len);
        TAP_BYTES(in, out, len);
        char small[SES_BASE58_TEXT_MAX];
        TAP_ERR(SES_ERR_TOO_LARGE, ses_base58_encode(small, strlen(text), in, in_len));
        if (in_len > 0) {
            TAP_ERR(SES_ERR_TOO_LARGE, ses_base58_decode(out, &len, in_len - 1, text));
            TAP_EQ(0, len);
        }
    }
}

static void test_base58_refuses(void)
{
    uint8_t bytes[SES_BASE58_BYTES_MAX + 1] = {0};
    char text[400];
    size_t len;
    static const char *const bad[] = {"0", "O", "I", "l", "abc ", "a-b", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        TAP_ERR(SES_ERR_MALFORMED, ses_base58_decode(bytes, &len, sizeof bytes, bad[i]));
    }
    TAP_ERR(SES_ERR_TOO_LARGE, ses_base58_encode(text, sizeof text, bytes, sizeof bytes));
    memset(text, 'z', sizeof text - 1);
    text[sizeof text - 1] = 0;
    TAP_ERR(SES_ERR_TOO_LARGE, ses_base58_decode(bytes, &len, sizeof bytes, text));
    text[SES_BASE58_TEXT_MAX] = 0; /* 178 digits are 130.3 bytes */
    TAP_ERR(SES_ERR_TOO_LARGE, ses_base58_decode(bytes, &len, SES_BASE58_BYTES_MAX, text));
}

int main(void)
{
    TAP_RUN(test_hex);
    TAP_RUN(test_hex_refuses);
    TAP_RUN(test_base58_known);
    TAP_RUN(test_base58_roundtrip);
    TAP_RUN(test_base58_refuses);
    return tap_done();
}
