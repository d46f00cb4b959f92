#include "base/text.h"

#include <string.h>

static const char BASE58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

void ses_hex_encode(char *out, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = bytes;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

enum ses_err ses_hex_decode(void *out, size_t len, const char *text)
{
    uint8_t *bytes = out;
    size_t at = 0;
    for (; at < len; at++) {
        const int high = hex_digit(text[2 * at]);
        const int low = high < 0 ? -1 : hex_digit(text[2 * at + 1]);
        if (low < 0) {
            break;
        }
        bytes[at] = (uint8_t)(high << 4 | low);
    }
    if (at == len && text[2 * len] == 0) {
        return SES_OK;
    }
    if (len > 0) {
        memset(out, 0, len);
    }
    return SES_ERR_MALFORMED;
}

enum ses_err ses_base58_encode(char *out, size_t cap, const void *bytes, size_t len)
{
    SES_REQUIRE(cap > 0, SES_ERR_TOO_LARGE);
    out[0] = 0;
    SES_REQUIRE(len <= SES_BASE58_BYTES_MAX, SES_ERR_TOO_LARGE);
    const uint8_t *in = bytes;
    uint8_t digits[SES_BASE58_TEXT_MAX]; /* least significant first */
    size_t digit_cnt = 0;
    size_t zeros = 0;
    while (zeros < len && in[zeros] == 0) {
        zeros++;
    }
    for (size_t i = zeros; i < len; i++) {
        unsigned carry = in[i];
        for (size_t j = 0; j < digit_cnt || carry > 0; j++) {
            carry += j < digit_cnt ? (unsigned)digits[j] << 8 : 0;
            digit_cnt += j == digit_cnt;
            digits[j] = (uint8_t)(carry % 58);
            carry /= 58;
        }
    }
    SES_REQUIRE(zeros + digit_cnt < cap, SES_ERR_TOO_LARGE);
    memset(out, '1', zeros);
    for (size_t i = 0; i < digit_cnt; i++) {
        out[zeros + i] = BASE58[digits[digit_cnt - 1 - i]];
    }
    out[zeros + digit_cnt] = 0;
    return SES_OK;
}

/* Multiplies the number by 58 and adds the digit. `number` holds SES_BASE58_TEXT_MAX bytes, least
 * significant first, more than any text of that length can need. */
static void base58_push(uint8_t *number, size_t *byte_cnt, unsigned digit)
{
    unsigned carry = digit;
    for (size_t j = 0; j < *byte_cnt || carry > 0; j++) {
        carry += j < *byte_cnt ? number[j] * 58u : 0;
        *byte_cnt += j == *byte_cnt;
        number[j] = (uint8_t)carry;
        carry >>= 8;
    }
}

enum ses_err ses_base58_decode(uint8_t *out, size_t *len, size_t cap, const char *text)
{
    *len = 0;
    const size_t text_len = strnlen(text, SES_BASE58_TEXT_MAX + 1);
    SES_REQUIRE(text_len <= SES_BASE58_TEXT_MAX, SES_ERR_TOO_LARGE);
    uint8_t number[SES_BASE58_TEXT_MAX];
    size_t byte_cnt = 0;
    size_t zeros = 0;
    while (text[zeros] == '1') {
        zeros++;
    }
    for (size_t i = zeros; i < text_len; i++) {
        const char *digit = strchr(BASE58, text[i]);
        SES_REQUIRE(digit != NULL, SES_ERR_MALFORMED);
        base58_push(number, &byte_cnt, (unsigned)(digit - BASE58));
    }
    SES_REQUIRE(zeros + byte_cnt <= cap, SES_ERR_TOO_LARGE);
    for (size_t i = 0; i < zeros; i++) {
        out[i] = 0;
    }
    for (size_t i = 0; i < byte_cnt; i++) {
        out[zeros + i] = number[byte_cnt - 1 - i];
    }
    *len = zeros + byte_cnt;
    return SES_OK;
}
