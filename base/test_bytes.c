#include <string.h>

#include "base/bytes.h"
#include "base/tap.h"

static void test_roundtrip(void)
{
    uint8_t bytes[64];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_u8(&w, 1);
    ses_write_u16(&w, 0x0203);
    ses_write_u32(&w, 0x04050607);
    ses_write_u64(&w, 0x08090a0b0c0d0e0f);
    ses_write_bytes(&w, "abc", 3);
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    TAP_BYTES("\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf"
              "abc",
              bytes, 18);
    struct ses_reader r;
    ses_reader_init(&r, bytes, w.len);
    TAP_EQ(1, ses_read_u8(&r));
    TAP_EQ(0x0203, ses_read_u16(&r));
    TAP_EQ(0x04050607, ses_read_u32(&r));
    TAP_EQ(0x08090a0b0c0d0e0f, ses_read_u64(&r));
    TAP_ERR(SES_ERR_MALFORMED, ses_reader_done(&r));
    char text[3];
    ses_read_bytes(&r, text, 3);
    TAP_BYTES("abc", text, 3);
    TAP_ERR(SES_OK, ses_reader_done(&r));
}

static void test_reader_error_sticks(void)
{
    const uint8_t bytes[4] = {1, 2, 3, 4};
    uint8_t out[5] = {9, 9, 9, 9, 9};
    struct ses_reader r;
    ses_reader_init(&r, bytes, sizeof bytes);
    TAP_EQ(0, ses_read_u64(&r));
    TAP_EQ(0, ses_read_u8(&r));
    ses_read_bytes(&r, out, sizeof out);
    TAP_BYTES("\0\0\0\0\0", out, 5);
    TAP_OK(ses_read_view(&r, 0) == NULL);
    ses_reader_check(&r, false, SES_ERR_VERSION);
    TAP_ERR(SES_ERR_TRUNCATED, ses_reader_done(&r));
    ses_reader_init(&r, bytes, sizeof bytes);
    TAP_OK(ses_read_view(&r, SIZE_MAX) == NULL);
    ses_reader_init(&r, bytes, sizeof bytes);
    ses_reader_check(&r, true, SES_ERR_PEER);
    ses_reader_check(&r, false, SES_ERR_VERSION);
    TAP_ERR(SES_ERR_VERSION, ses_reader_done(&r));
}

static void test_reader_of_nothing(void)
{
    struct ses_reader r;
    ses_reader_init(&r, NULL, 0);
    TAP_ERR(SES_OK, ses_reader_done(&r));
    ses_read_bytes(&r, NULL, 0);
    TAP_ERR(SES_OK, ses_reader_done(&r));
    TAP_EQ(0, ses_read_u8(&r));
    TAP_ERR(SES_ERR_TRUNCATED, ses_reader_done(&r));
}

static void test_writer_overflow(void)
{
    uint8_t bytes[4] = {0};
    struct ses_writer w;
    ses_writer_init(&w, bytes, 3);
    ses_write_u16(&w, 0xffff);
    ses_write_u16(&w, 0xffff);
    ses_write_u8(&w, 1); /* would fit, but the error stays */
    TAP_ERR(SES_ERR_TOO_LARGE, ses_writer_done(&w));
    TAP_EQ(2, w.len);
    TAP_BYTES("\xff\xff\0\0", bytes, 4);
    ses_writer_init(&w, bytes, 3);
    TAP_OK(ses_write_space(&w, SIZE_MAX) == NULL);
    ses_writer_init(&w, NULL, 0);
    ses_write_bytes(&w, NULL, 0);
    TAP_ERR(SES_OK, ses_writer_done(&w));
}

static void check_varint(uint64_t v)
{
    uint8_t bytes[10];
    struct ses_writer w;
    struct ses_reader r;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_varint(&w, v);
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    ses_reader_init(&r, bytes, w.len);
    TAP_EQ(v, ses_read_varint(&r));
    TAP_ERR(SES_OK, ses_reader_done(&r));
    for (size_t len = 0; len < w.len; len++) {
        ses_reader_init(&r, bytes, len);
        TAP_EQ(0, ses_read_varint(&r));
        TAP_ERR(SES_ERR_TRUNCATED, ses_reader_done(&r));
    }
}

static void test_varint(void)
{
    for (unsigned bit = 0; bit < 63; bit++) {
        check_varint((1ull << bit) - 1);
        check_varint(1ull << bit);
        check_varint(ses_random_below(tap_random(), 1ull << bit));
    }
    check_varint(INT64_MAX);
    uint8_t bytes[16];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_varint(&w, 1ull << 63);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_writer_done(&w));
}

static void test_varint_refuses(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x80\x00", 2}, {"\xff\x80\x00", 3}, {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ses_reader r;
        ses_reader_init(&r, bad[i].bytes, bad[i].len);
        TAP_EQ(0, ses_read_varint(&r));
        TAP_EQ(SES_ERR_MALFORMED, r.err);
    }
}

static void test_buf(void)
{
    struct ses_buf b = {0};
    for (unsigned i = 0; i < 1000; i++) {
        const uint8_t byte = (uint8_t)i;
        TAP_MUST(ses_buf_append(&b, &byte, 1) == SES_OK);
    }
    TAP_EQ(1000, b.len);
    ses_buf_consume(&b, 990);
    TAP_EQ(10, b.len);
    TAP_EQ((990 & 255), b.bytes[0]);
    TAP_ERR(SES_ERR_MEMORY, ses_buf_reserve(&b, SIZE_MAX));
    TAP_ERR(SES_ERR_MEMORY, ses_buf_reserve(&b, SIZE_MAX / 4));
    TAP_EQ(10, b.len);
    ses_alloc_fail_at(1);
    TAP_ERR(SES_ERR_MEMORY, ses_buf_reserve(&b, 100000));
    TAP_EQ((999 & 255), b.bytes[9]);
    ses_buf_consume(&b, 11);
    TAP_EQ(0, b.len);
    TAP_ERR(SES_OK, ses_buf_append(&b, NULL, 0));
    ses_buf_free(&b);
    ses_buf_free(&b);
    TAP_EQ(0, b.cap);
}

int main(void)
{
    TAP_RUN(test_roundtrip);
    TAP_RUN(test_reader_error_sticks);
    TAP_RUN(test_reader_of_nothing);
    TAP_RUN(test_writer_overflow);
    TAP_RUN(test_varint);
    TAP_RUN(test_varint_refuses);
    TAP_RUN(test_buf);
    return tap_done();
}
