/* Bytes as text: hex and base58 (Bitcoin alphabet). CB58 needs SHA-256 and stands in crypto/. */
#ifndef SES_BASE_TEXT_H
#define SES_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Lower-case hex with a terminating NUL: `out` holds 2 * len + 1 characters. */
void ses_hex_encode(char *out, const void *bytes, size_t len);
/* Exactly 2 * len hex digits of either case; SES_ERR_MALFORMED otherwise, `out` zeroed. */
SES_CHECKED enum ses_err ses_hex_decode(void *out, size_t len, const char *text);

/* Longest inputs that base58 takes, in bytes; its cost is quadratic. */
#define SES_BASE58_BYTES_MAX 128u
#define SES_BASE58_TEXT_MAX (SES_BASE58_BYTES_MAX * 138u / 100u + 2u)

/* Writes text and NUL into `out` of `cap` characters; SES_ERR_TOO_LARGE if it does not fit. */
SES_CHECKED enum ses_err ses_base58_encode(char *out, size_t cap, const void *bytes, size_t len);
/* Sets *len to the number of bytes written into `out` of `cap` bytes. */
SES_CHECKED enum ses_err ses_base58_decode(uint8_t *out, size_t *len, size_t cap, const char *text);

#endif
