/* Recovery phrase: seed || first two bytes of its SHA-256 as 17 proquints (arXiv:0901.4016), words
 * of consonants and vowels that can be read over a telephone and need no word list. */
#include <string.h>

#include "crypto/crypto.h"

#define SEED_BYTES 32u
#define WORDS 17u
#define WORD_CHARS 5u

static const char CONSONANTS[] = "bdfghjklmnprstvz"; /* 4 bits each */
static const char VOWELS[] = "aiou";                 /* 2 bits each */
_Static_assert(WORDS *(WORD_CHARS + 1) <= SES_PHRASE_TEXT_MAX, "phrase fits");

static void check_bytes(uint8_t out[2], const uint8_t seed[SEED_BYTES])
{
    struct ses_hash hash;
    ses_sha256(&hash, SES_PARTS(SES_PART(seed, SEED_BYTES)));
    memcpy(out, hash.bytes, 2);
    ses_wipe(&hash, sizeof hash);
}

void ses_phrase_encode(char *out, const uint8_t seed[32])
{
    uint8_t bytes[2 * WORDS];
    memcpy(bytes, seed, SEED_BYTES);
    check_bytes(bytes + SEED_BYTES, seed);
    for (unsigned i = 0; i < WORDS; i++) {
        const unsigned word = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
        *out++ = CONSONANTS[word >> 12];
        *out++ = VOWELS[word >> 10 & 3];
        *out++ = CONSONANTS[word >> 6 & 15];
        *out++ = VOWELS[word >> 4 & 3];
        *out++ = CONSONANTS[word & 15];
        *out++ = i + 1 < WORDS ? '-' : 0;
    }
    ses_wipe(bytes, sizeof bytes);
}

static bool is_gap(char c)
{
    return c == ' ' || c == '-' || c == '\t' || c == '\r' || c == '\n';
}

static int letter_index(const char *letters, char c)
{
    const char low = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    for (int i = 0; letters[i] != 0; i++) {
        if (letters[i] == low) {
            return i;
        }
    }
    return -1;
}

/* Reads one word and moves on; -1 if it is none. Stops at the NUL, which is no letter. */
static int read_word(const char **text)
{
    int word = 0;
    for (unsigned i = 0; i < WORD_CHARS; i++) {
        const bool vowel = i % 2 == 1;
        const int index = letter_index(vowel ? VOWELS : CONSONANTS, **text);
        if (index < 0) {
            return -1;
        }
        word = word << (vowel ? 2 : 4) | index;
        (*text)++;
    }
    return **text == 0 || is_gap(**text) ? word : -1;
}

static const char *skip_gap(const char *text)
{
    while (is_gap(*text)) {
        text++;
    }
    return text;
}

static enum ses_err read_words(uint8_t bytes[2 * WORDS], const char *text)
{
    for (unsigned i = 0; i < WORDS; i++) {
        text = skip_gap(text);
        const int word = read_word(&text);
        SES_REQUIRE(word >= 0, SES_ERR_MALFORMED);
        ses_put_u16(bytes + 2 * i, (uint16_t)word);
    }
    SES_REQUIRE(*skip_gap(text) == 0, SES_ERR_MALFORMED);
    return SES_OK;
}

enum ses_err ses_phrase_decode(uint8_t seed[32], const char *text)
{
    uint8_t bytes[2 * WORDS] = {0};
    uint8_t check[2] = {0};
    enum ses_err err = ses_hex_decode(seed, SEED_BYTES, text);
    if (err == SES_OK) {
        return SES_OK;
    }
    err = read_words(bytes, text);
    if (err == SES_OK) {
        check_bytes(check, bytes);
        err = ses_equal(check, bytes + SEED_BYTES, 2) ? SES_OK : SES_ERR_CHECKSUM;
    }
    if (err == SES_OK) {
        memcpy(seed, bytes, SEED_BYTES);
    } else {
        ses_wipe(seed, SEED_BYTES);
    }
    ses_wipe(bytes, sizeof bytes);
    return err;
}
