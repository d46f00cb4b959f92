/* Helpers of the encoders and decoders in this folder. */
#ifndef SES_PROTOCOL_PROTOCOL_INTERNAL_H
#define SES_PROTOCOL_PROTOCOL_INTERNAL_H

#include <string.h>

#include "crypto/crypto.h"

#define SES_SIGNED_INT_MAX 0x7FFFFFFFFFFFFFFFu /* amounts stay addable without overflow */

/* An encoder refuses a struct that its decoder would refuse: the sticky SES_ERR_INVALID. */
static inline void ses_writer_check(struct ses_writer *w, bool ok)
{
    if (!ok && w->err == SES_OK) {
        w->err = SES_ERR_INVALID;
    }
}

/* The end of a decoder: an error leaves zeros in `out`. */
static inline enum ses_err ses_read_end(const struct ses_reader *r, void *out, size_t out_bytes)
{
    const enum ses_err err = ses_reader_done(r);
    if (err != SES_OK) {
        memset(out, 0, out_bytes);
    }
    return err;
}

/* Whether `cnt` elements of at least `least` bytes each can stand in what is left. */
static inline void ses_read_prove(struct ses_reader *r, uint64_t cnt, size_t least)
{
    ses_reader_check(r, cnt <= r->left / least, SES_ERR_TRUNCATED);
}

static inline bool ses_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

#endif
