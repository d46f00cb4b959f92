#include <ctype.h>
#include <string.h>

#include "base/tap.h"
#include "crypto/crypto.h"

/* The examples of arXiv:0901.4016: 127.0.0.1 is lusab-babad. */
static void test_known(void)
{
    uint8_t seed[32] = {127, 0, 0, 1, 63, 84, 220, 193};
    char text[SES_PHRASE_TEXT_MAX];
    ses_phrase_encode(text, seed);
    TAP_EQ(17 * 6 - 1, strlen(text));
    TAP_OK(strncmp(text, "lusab-babad-gutih-tugad-babab-", 30) == 0);
}

static void test_roundtrip(void)
{
    for (unsigned round = 0; round < 500; round++) {
        uint8_t seed[32];
        uint8_t got[32];
        char text[SES_PHRASE_TEXT_MAX];
        char typed[3 * SES_PHRASE_TEXT_MAX];
        size_t len = 0;
        ses_random_fill(tap_random(), seed, sizeof seed);
        ses_phrase_encode(text, seed);
        TAP_ERR(SES_OK, ses_phrase_decode(got, text));
        TAP_BYTES(seed, got, 32);
        for (size_t i = 0; text[i] != 0; i++) { /* as a person types it */
            const bool upper = ses_random_below(tap_random(), 2) == 0;
            typed[len++] = text[i] != '-' ? (char)(upper ? toupper(text[i]) : text[i]) : ' ';
            if (text[i] == '-' && upper) {
                typed[len++] = '\n';
            }
        }
        typed[len] = 0;
        TAP_ERR(SES_OK, ses_phrase_decode(got, typed));
        TAP_BYTES(seed, got, 32);
        ses_hex_encode(text, seed, 32);
        TAP_ERR(SES_OK, ses_phrase_decode(got, text));
        TAP_BYTES(seed, got, 32);
    }
}

/* A changed letter is nearly always found: two bytes of checksum miss one in 65,536. */
static void test_typing_errors(void)
{
    static const char consonants[] = "bdfghjklmnprstvz";
    unsigned missed = 0;
    for (unsigned round = 0; round < 1000; round++) {
        uint8_t seed[32];
        uint8_t got[32];
        static const uint8_t zero[32];
        char text[SES_PHRASE_TEXT_MAX];
        ses_random_fill(tap_random(), seed, sizeof seed);
        ses_phrase_encode(text, seed);
        char *at = text + 6 * ses_random_below(tap_random(), 17);
        const char *now = strchr(consonants, *at);
        TAP_MUST(now != NULL);
        *at = consonants[(size_t)(now - consonants + 1) % 16];
        const enum ses_err err = ses_phrase_decode(got, text);
        missed += err == SES_OK;
        TAP_OK(err == SES_OK || err == SES_ERR_CHECKSUM);
        TAP_OK(err == SES_OK || memcmp(got, zero, 32) == 0);
    }
    TAP_OK(missed < 5);
}

static void test_refuses(void)
{
    uint8_t seed[32] = {1};
    char text[SES_PHRASE_TEXT_MAX + 40];
    static const char *const bad[] = {"",           " ",          "-",    "lusab",
                                      "lusabbabad", "lusab-babe", "0011", "lusab babax"};
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        TAP_ERR(SES_ERR_MALFORMED, ses_phrase_decode(seed, bad[i]));
    }
    ses_phrase_encode(text, seed);
    text[strlen(text) - 6] = 0; /* a word too few */
    TAP_ERR(SES_ERR_MALFORMED, ses_phrase_decode(seed, text));
    ses_phrase_encode(text, seed);
    memcpy(text + strlen(text), "-babab", 7); /* one too many */
    TAP_ERR(SES_ERR_MALFORMED, ses_phrase_decode(seed, text));
    ses_phrase_encode(text, seed);
    memcpy(text + strlen(text), " -\n", 4);
    TAP_ERR(SES_OK, ses_phrase_decode(seed, text));
}

int main(void)
{
    TAP_RUN(test_known);
    TAP_RUN(test_roundtrip);
    TAP_RUN(test_typing_errors);
    TAP_RUN(test_refuses);
    return tap_done();
}
