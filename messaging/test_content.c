/* Content: what is written is read; what cannot be shown honestly is refused or kept unread. */
#include <string.h>

#include "base/tap.h"
#include "messaging/messaging.h"

static void round_trip(const struct ses_content *in)
{
    struct ses_buf buf = {0};
    struct ses_content out;
    struct ses_content_owner *owner = NULL;
    TAP_MUST(ses_content_encode(&buf, in) == SES_OK);
    TAP_MUST(ses_content_decode(&out, &owner, buf.bytes, buf.len) == SES_OK);
    TAP_EQ(in->kind, out.kind);
    TAP_EQ(in->composed_ms, out.composed_ms);
    TAP_TEXT(in->text, out.text);
    TAP_EQ(in->data_bytes, out.data_bytes);
    TAP_BYTES(in->data, out.data, in->data_bytes);
    TAP_EQ(in->has_token, out.has_token);
    TAP_BYTES(in->token.bytes, out.token.bytes, 32);
    for (size_t len = 0; len < buf.len; len++) {
        struct ses_content_owner *cut = NULL;
        struct ses_content ignored;
        /* a shorter message may be a message, never the same one, and never a crash */
        if (ses_content_decode(&ignored, &cut, buf.bytes, len) == SES_OK) {
            TAP_OK(ignored.kind == SES_CONTENT_UNSUPPORTED || !ignored.has_token || !in->has_token);
            ses_content_free(cut);
        }
    }
    ses_content_free(owner);
    ses_buf_free(&buf);
}

static void test_round_trips(void)
{
    uint8_t data[200];
    ses_random_fill(tap_random(), data, sizeof data);
    round_trip(&(struct ses_content){.kind = SES_CONTENT_TEXT, .text = "héllo", .composed_ms = 7});
    round_trip(&(struct ses_content){.kind = SES_CONTENT_TEXT, .text = ""});
    round_trip(&(struct ses_content){
        .kind = SES_CONTENT_TEXT, .text = "with token", .has_token = true, .token = {{1, 2, 3}}});
    round_trip(&(struct ses_content){
        .kind = SES_CONTENT_FILE, .text = "a.bin", .data = data, .data_bytes = sizeof data});
    round_trip(&(struct ses_content){.kind = SES_CONTENT_FILE, .text = "empty", .data = data});
}

static void test_bad_input(void)
{
    struct ses_buf buf = {0};
    const struct ses_content bad[] = {
        {.kind = SES_CONTENT_TEXT},
        {.kind = SES_CONTENT_TEXT, .text = "\xff"},
        {.kind = SES_CONTENT_FILE, .text = "../x"},
        {.kind = SES_CONTENT_FILE, .text = "x", .data_bytes = 1},
        {.kind = SES_CONTENT_UNSUPPORTED, .text = "x"},
    };
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        TAP_ERR(SES_ERR_INVALID, ses_content_encode(&buf, &bad[i]));
    }
    TAP_EQ(0, buf.len);
    ses_buf_free(&buf);
}

static void expect(enum ses_err err, enum ses_content_kind kind, const char *bytes, size_t len)
{
    struct ses_content out;
    struct ses_content_owner *owner = NULL;
    TAP_ERR(err, ses_content_decode(&out, &owner, (const uint8_t *)bytes, len));
    if (err == SES_OK) {
        TAP_EQ(kind, out.kind);
    }
    if (err == SES_OK && kind == SES_CONTENT_UNSUPPORTED) {
        TAP_EQ(len, out.data_bytes);
        TAP_BYTES(bytes, out.data, len);
    }
    ses_content_free(owner);
}

#define EXPECT(err, kind, literal) expect(err, kind, literal, sizeof literal - 1)

static void test_foreign_bytes(void)
{
    EXPECT(SES_OK, SES_CONTENT_TEXT, "\x12\x04\x0a\x02hi");
    EXPECT(SES_OK, SES_CONTENT_UNSUPPORTED, ""); /* no kind at all */
    EXPECT(SES_OK, SES_CONTENT_UNSUPPORTED,
           "\x08\x05\x22\x03"
           "abc"); /* field 4: a kind of the future */
    EXPECT(SES_OK, SES_CONTENT_UNSUPPORTED, "\x12\x03\x0a\x01\xff"); /* text that is no UTF-8 */
    EXPECT(SES_OK, SES_CONTENT_UNSUPPORTED, "\x1a\x04\x0a\x02..");   /* file named ".." */
    EXPECT(SES_ERR_MALFORMED, 0, "\x12\x05\x0a\x03h\0i");            /* NUL inside a text */
    EXPECT(SES_ERR_MALFORMED, 0, "\x12\x04\x0a\x02hi\x12\x04\x0a\x02ho"); /* two texts */
    EXPECT(SES_ERR_MALFORMED, 0, "\x12\x04\x0a\x02hi\x7a\x01x");          /* token of one byte */
    EXPECT(SES_ERR_MALFORMED, 0, "\x12\xff\xff\xff\xff\x0f");
    EXPECT(SES_ERR_MALFORMED, 0, "\xff");
}

static void test_memory(void)
{
    const struct ses_content in = {.kind = SES_CONTENT_TEXT, .text = "x"};
    struct ses_buf buf = {0};
    TAP_MUST(ses_content_encode(&buf, &in) == SES_OK);
    for (uint64_t n = 1; n <= 2; n++) {
        struct ses_content out;
        struct ses_content_owner *owner = NULL;
        ses_alloc_fail_at(n);
        TAP_ERR(SES_ERR_MEMORY, ses_content_decode(&out, &owner, buf.bytes, buf.len));
        TAP_OK(owner == NULL);
        ses_alloc_fail_at(0);
    }
    ses_buf_free(&buf);
}

int main(void)
{
    TAP_RUN(test_round_trips);
    TAP_RUN(test_bad_input);
    TAP_RUN(test_foreign_bytes);
    TAP_RUN(test_memory);
    return tap_done();
}
