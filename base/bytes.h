/* Bounds-checked cursors for every wire format: a reader with a sticky error and a writer over the
 * caller's memory. Integers are big-endian unless the name says otherwise. */
#ifndef SES_BASE_BYTES_H
#define SES_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Borrows `at`; after the first failure every read yields zeros (or NULL) and the error stays. */
struct ses_reader {
    const uint8_t *at;
    size_t left;
    enum ses_err err;
};

void ses_reader_init(struct ses_reader *r, const void *bytes, size_t len);
uint8_t ses_read_u8(struct ses_reader *r);
uint16_t ses_read_u16(struct ses_reader *r);
uint32_t ses_read_u32(struct ses_reader *r);
uint64_t ses_read_u64(struct ses_reader *r);
/* Unsigned LEB128, minimal, at most 9 bytes (libp2p unsigned-varint). */
uint64_t ses_read_varint(struct ses_reader *r);
/* Copies `len` bytes; zeros `out` on failure. */
void ses_read_bytes(struct ses_reader *r, void *out, size_t len);
/* Points into the reader's memory; NULL on failure. Valid as long as that memory. */
const uint8_t *ses_read_view(struct ses_reader *r, size_t len);
/* Marks the input as bad unless `ok`. */
void ses_reader_check(struct ses_reader *r, bool ok, enum ses_err err);
/* SES_OK only if nothing failed and nothing is left: SES_ERR_TRUNCATED, or SES_ERR_MALFORMED for
 * trailing bytes. */
SES_CHECKED enum ses_err ses_reader_done(const struct ses_reader *r);

/* Writes into the caller's `bytes`; an overflow sets the sticky error SES_ERR_TOO_LARGE. */
struct ses_writer {
    uint8_t *bytes;
    size_t cap;
    size_t len;
    enum ses_err err;
};

void ses_writer_init(struct ses_writer *w, void *bytes, size_t cap);
void ses_write_u8(struct ses_writer *w, uint8_t v);
void ses_write_u16(struct ses_writer *w, uint16_t v);
void ses_write_u32(struct ses_writer *w, uint32_t v);
void ses_write_u64(struct ses_writer *w, uint64_t v);
void ses_write_varint(struct ses_writer *w, uint64_t v);
void ses_write_bytes(struct ses_writer *w, const void *bytes, size_t len);
/* Reserves `len` bytes to be filled in later; NULL on overflow. */
uint8_t *ses_write_space(struct ses_writer *w, size_t len);
SES_CHECKED enum ses_err ses_writer_done(const struct ses_writer *w);

static inline void ses_put_u16(uint8_t out[2], uint16_t v)
{
    out[0] = (uint8_t)(v >> 8);
    out[1] = (uint8_t)v;
}

static inline void ses_put_u32(uint8_t out[4], uint32_t v)
{
    ses_put_u16(out, (uint16_t)(v >> 16));
    ses_put_u16(out + 2, (uint16_t)v);
}

static inline void ses_put_u64(uint8_t out[8], uint64_t v)
{
    ses_put_u32(out, (uint32_t)(v >> 32));
    ses_put_u32(out + 4, (uint32_t)v);
}

static inline uint32_t ses_get_u32(const uint8_t in[4])
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static inline uint64_t ses_get_u64(const uint8_t in[8])
{
    return (uint64_t)ses_get_u32(in) << 32 | ses_get_u32(in + 4);
}

/* A growing byte buffer that owns its memory. Zero-initialise; ses_buf_free(&b) at the end. */
struct ses_buf {
    uint8_t *bytes;
    size_t len;
    size_t cap;
};

SES_CHECKED enum ses_err ses_buf_reserve(struct ses_buf *b, size_t more);
SES_CHECKED enum ses_err ses_buf_append(struct ses_buf *b, const void *bytes, size_t len);
/* Drops the first `len` bytes (all of them if there are fewer). */
void ses_buf_consume(struct ses_buf *b, size_t len);
void ses_buf_free(struct ses_buf *b);

#endif
