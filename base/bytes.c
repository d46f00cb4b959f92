#include "base/bytes.h"

#include <string.h>

#include "base/sys.h"

#define VARINT_BYTES_MAX 9u /* 63 bits, unsigned-varint specification */

void ses_reader_init(struct ses_reader *r, const void *bytes, size_t len)
{
    *r = (struct ses_reader){.at = bytes, .left = len};
}

const uint8_t *ses_read_view(struct ses_reader *r, size_t len)
{
    if (r->err == SES_OK && len > r->left) {
        r->err = SES_ERR_TRUNCATED;
    }
    if (r->err != SES_OK) {
        return NULL;
    }
    const uint8_t *at = r->at;
    if (len > 0) { /* an empty input may be NULL, to which nothing can be added */
        r->at += len;
        r->left -= len;
    }
    return at;
}

uint8_t ses_read_u8(struct ses_reader *r)
{
    const uint8_t *at = ses_read_view(r, 1);
    return at == NULL ? 0 : at[0];
}

uint16_t ses_read_u16(struct ses_reader *r)
{
    const uint8_t *at = ses_read_view(r, 2);
    const unsigned v = at == NULL ? 0u : (unsigned)at[0] << 8 | at[1];
    return (uint16_t)v;
}

uint32_t ses_read_u32(struct ses_reader *r)
{
    const uint8_t *at = ses_read_view(r, 4);
    return at == NULL ? 0 : ses_get_u32(at);
}

uint64_t ses_read_u64(struct ses_reader *r)
{
    const uint8_t *at = ses_read_view(r, 8);
    return at == NULL ? 0 : ses_get_u64(at);
}

uint64_t ses_read_varint(struct ses_reader *r)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        const uint8_t byte = ses_read_u8(r);
        if (r->err != SES_OK) {
            return 0;
        }
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            /* a last byte of zero adds nothing: the number has a shorter form */
            ses_reader_check(r, i == 0 || byte != 0, SES_ERR_MALFORMED);
            return r->err == SES_OK ? value : 0;
        }
    }
    r->err = SES_ERR_MALFORMED;
    return 0;
}

void ses_read_bytes(struct ses_reader *r, void *out, size_t len)
{
    const uint8_t *at = ses_read_view(r, len);
    if (len == 0) {
        return;
    }
    if (at == NULL) {
        memset(out, 0, len);
    } else {
        memcpy(out, at, len);
    }
}

void ses_reader_check(struct ses_reader *r, bool ok, enum ses_err err)
{
    if (!ok && r->err == SES_OK) {
        r->err = err;
    }
}

enum ses_err ses_reader_done(const struct ses_reader *r)
{
    SES_TRY(r->err);
    SES_REQUIRE(r->left == 0, SES_ERR_MALFORMED);
    return SES_OK;
}

void ses_writer_init(struct ses_writer *w, void *bytes, size_t cap)
{
    *w = (struct ses_writer){.bytes = bytes, .cap = cap};
}

uint8_t *ses_write_space(struct ses_writer *w, size_t len)
{
    if (w->err == SES_OK && len > w->cap - w->len) {
        w->err = SES_ERR_TOO_LARGE;
    }
    if (w->err != SES_OK) {
        return NULL;
    }
    uint8_t *at = w->len == 0 ? w->bytes : w->bytes + w->len;
    w->len += len;
    return at;
}

void ses_write_u8(struct ses_writer *w, uint8_t v)
{
    uint8_t *at = ses_write_space(w, 1);
    if (at != NULL) {
        at[0] = v;
    }
}

void ses_write_u16(struct ses_writer *w, uint16_t v)
{
    uint8_t *at = ses_write_space(w, 2);
    if (at != NULL) {
        ses_put_u16(at, v);
    }
}

void ses_write_u32(struct ses_writer *w, uint32_t v)
{
    uint8_t *at = ses_write_space(w, 4);
    if (at != NULL) {
        ses_put_u32(at, v);
    }
}

void ses_write_u64(struct ses_writer *w, uint64_t v)
{
    uint8_t *at = ses_write_space(w, 8);
    if (at != NULL) {
        ses_put_u64(at, v);
    }
}

void ses_write_varint(struct ses_writer *w, uint64_t v)
{
    if (v >> 63 != 0 && w->err == SES_OK) {
        w->err = SES_ERR_TOO_LARGE;
    }
    while (v >= 0x80) {
        ses_write_u8(w, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    ses_write_u8(w, (uint8_t)v);
}

void ses_write_bytes(struct ses_writer *w, const void *bytes, size_t len)
{
    uint8_t *at = ses_write_space(w, len);
    if (at != NULL && len > 0) {
        memcpy(at, bytes, len);
    }
}

enum ses_err ses_writer_done(const struct ses_writer *w)
{
    return w->err;
}

enum ses_err ses_buf_reserve(struct ses_buf *b, size_t more)
{
    if (more <= b->cap - b->len) {
        return SES_OK;
    }
    SES_REQUIRE(more <= SIZE_MAX / 4 - b->len, SES_ERR_MEMORY);
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < b->len + more) {
        cap *= 2;
    }
    uint8_t *bytes = ses_realloc(b->bytes, cap, 1);
    SES_REQUIRE(bytes != NULL, SES_ERR_MEMORY);
    b->bytes = bytes;
    b->cap = cap;
    return SES_OK;
}

enum ses_err ses_buf_append(struct ses_buf *b, const void *bytes, size_t len)
{
    SES_TRY(ses_buf_reserve(b, len));
    if (len > 0) {
        memcpy(b->bytes + b->len, bytes, len);
        b->len += len;
    }
    return SES_OK;
}

void ses_buf_consume(struct ses_buf *b, size_t len)
{
    if (len >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->bytes, b->bytes + len, b->len - len);
    b->len -= len;
}

void ses_buf_free(struct ses_buf *b)
{
    ses_free(b->bytes);
    *b = (struct ses_buf){0};
}
