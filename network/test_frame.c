/* Frames and multistream-select, whole and byte by byte, good and hostile. */
#include <string.h>

#include "base/tap.h"
#include "network/frame.h"
#include "network/multistream.h"

/* Feeds pieces of `step` bytes; the number of frames, or the error in *err. */
static size_t feed(struct ses_frames *f, const uint8_t *in, size_t len, size_t step,
                   enum ses_err *err, uint8_t *sum)
{
    size_t frames = 0;
    *err = SES_ERR_AGAIN;
    for (size_t at = 0; at < len; at += step) {
        const uint8_t *piece = in + at;
        size_t left = len - at < step ? len - at : step;
        while (left > 0) {
            const uint8_t *body = NULL;
            size_t body_len = 0;
            *err = ses_frames_next(f, &piece, &left, &body, &body_len);
            if (*err == SES_ERR_AGAIN) {
                break;
            }
            if (*err != SES_OK) {
                return frames;
            }
            frames++;
            for (size_t i = 0; i < body_len; i++) {
                *sum = (uint8_t)(*sum * 31 + body[i]);
            }
        }
    }
    return frames;
}

static void test_frames_in_pieces(void)
{
    struct ses_buf stream = {0};
    const size_t sizes[] = {0, 1, 127, 128, 5000, 70000};
    uint8_t head[SES_FRAME_HEAD_MAX];
    static uint8_t body[70000];
    uint8_t whole = 0;
    ses_random_fill(tap_random(), body, sizeof body);
    for (size_t i = 0; i < SES_COUNT(sizes); i++) {
        TAP_MUST(ses_buf_append(&stream, head, ses_frame_head(head, sizes[i])) == SES_OK);
        TAP_MUST(ses_buf_append(&stream, body, sizes[i]) == SES_OK);
    }
    const size_t steps[] = {1, 2, 3, 1000, 75000, 100000};
    for (size_t i = 0; i < SES_COUNT(steps); i++) {
        struct ses_frames f = {.max = 70000};
        enum ses_err err = SES_OK;
        uint8_t sum = 0;
        TAP_EQ(SES_COUNT(sizes), feed(&f, stream.bytes, stream.len, steps[i], &err, &sum));
        TAP_OK(ses_frames_idle(&f));
        whole = i == 0 ? sum : whole;
        TAP_EQ(whole, sum);
        ses_frames_free(&f);
    }
    ses_buf_free(&stream);
}

static void test_bad_frames(void)
{
    const struct {
        const char *bytes;
        size_t len;
        enum ses_err err;
    } bad[] = {
        {"\x81\x00", 2, SES_ERR_MALFORMED},                             /* not minimal */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9, SES_ERR_MALFORMED}, /* no end */
        {"\x80\x01", 2, SES_ERR_TOO_LARGE},                             /* 128 > 127 */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9, SES_ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        struct ses_frames f = {.max = 127};
        enum ses_err err = SES_OK;
        uint8_t sum = 0;
        TAP_EQ(0, feed(&f, (const uint8_t *)bad[i].bytes, bad[i].len, 1, &err, &sum));
        TAP_ERR(bad[i].err, err);
        ses_frames_free(&f);
    }
}

/* A length is only a promise: memory grows with what has arrived. */
static void test_announced_memory(void)
{
    struct ses_frames f = {.max = 1 << 20};
    uint8_t head[SES_FRAME_HEAD_MAX];
    enum ses_err err = SES_OK;
    uint8_t sum = 0;
    TAP_EQ(0, feed(&f, head, ses_frame_head(head, 1 << 20), 1, &err, &sum));
    TAP_EQ(0, feed(&f, head, 1, 1, &err, &sum));
    TAP_OK(f.body.cap <= 16384);
    TAP_OK(!ses_frames_idle(&f));
    ses_frames_free(&f);
}

/* ---- multistream-select ---- */

static int choose(void *cookie, const char *id, size_t len)
{
    const char *const *ids = cookie;
    for (int i = 0; ids[i] != NULL; i++) {
        if (strlen(ids[i]) == len && memcmp(ids[i], id, len) == 0) {
            return i;
        }
    }
    return -1;
}
static const char *known[] = {"/a/1", "/longer/protocol/2", NULL};

#define HEADER "\x13/multistream/1.0.0\n"

static enum ses_err mss_feed(struct ses_mss *m, const void *in, size_t len, size_t step,
                             size_t *used, struct ses_buf *out)
{
    *used = 0;
    while (*used < len && m->state != SES_MSS_DONE) {
        const size_t n = len - *used < step ? len - *used : step;
        size_t taken = 0;
        SES_TRY(ses_mss_recv(m, (const uint8_t *)in + *used, n, &taken, out));
        *used += taken;
    }
    return SES_OK;
}

static void test_negotiation(void)
{
    for (size_t step = 1; step < 80; step++) {
        struct ses_mss listener, dialler;
        struct ses_buf hello = {0}, answer = {0};
        size_t used = 0;
        TAP_ERR(SES_OK, ses_mss_dial(&dialler, known[1], &hello));
        TAP_ERR(SES_OK, ses_buf_append(&hello, "data", 4)); /* at once behind the proposal */
        ses_mss_listen(&listener, choose, known);
        TAP_ERR(SES_OK, mss_feed(&listener, hello.bytes, hello.len, step, &used, &answer));
        TAP_EQ(SES_MSS_DONE, listener.state);
        TAP_EQ(1, (uint64_t)listener.chosen);
        TAP_EQ(hello.len - 4, used);
        TAP_ERR(SES_OK, ses_buf_append(&answer, "more", 4));
        struct ses_buf nothing = {0};
        TAP_ERR(SES_OK, mss_feed(&dialler, answer.bytes, answer.len, step, &used, &nothing));
        TAP_EQ(SES_MSS_DONE, dialler.state);
        TAP_EQ(answer.len - 4, used);
        TAP_EQ(0, nothing.len);
        ses_mss_free(&listener);
        ses_mss_free(&dialler);
        ses_buf_free(&hello);
        ses_buf_free(&answer);
    }
}

static void test_second_choice_and_refusal(void)
{
    struct ses_mss m;
    struct ses_buf out = {0};
    size_t used = 0;
    static const char first_unknown[] = HEADER "\x05/b/1\n\x05/a/1\n";
    ses_mss_listen(&m, choose, known);
    TAP_ERR(SES_OK, mss_feed(&m, first_unknown, sizeof first_unknown - 1, 1000, &used, &out));
    TAP_EQ(SES_MSS_DONE, m.state);
    static const char want[] = HEADER "\x03na\n\x05/a/1\n";
    TAP_EQ(sizeof want - 1, out.len);
    TAP_BYTES(want, out.bytes, sizeof want - 1);
    ses_mss_free(&m);
    ses_buf_free(&out);
    TAP_ERR(SES_OK, ses_mss_dial(&m, "/a/1", &out));
    TAP_ERR(SES_ERR_NOT_FOUND, mss_feed(&m, HEADER "\x03na\n", 24, 3, &used, &out));
    ses_mss_free(&m);
    ses_buf_free(&out);
}

static enum ses_err listen_to(const void *in, size_t len, size_t step)
{
    struct ses_mss m;
    struct ses_buf out = {0};
    size_t used = 0;
    ses_mss_listen(&m, choose, known);
    const enum ses_err err = mss_feed(&m, in, len, step, &used, &out);
    TAP_OK(out.len < 4096 && m.part.cap <= 4096);
    ses_mss_free(&m);
    ses_buf_free(&out);
    return err;
}

static void test_hostile_negotiation(void)
{
    static char na[20 + 100 * 6];
    memcpy(na, HEADER, 20);
    for (size_t i = 0; i < 100; i++) {
        memcpy(na + 20 + 6 * i, "\x05/b/1\n", 6);
    }
    for (size_t step = 1; step < 50; step += 7) {
        TAP_ERR(SES_ERR_FULL, listen_to(na, sizeof na, step)); /* proposals without end */
        TAP_ERR(SES_ERR_MALFORMED, listen_to("\x03xyz", 4, step));
        TAP_ERR(SES_ERR_MALFORMED, listen_to("\x03xy\n", 4, step));
        TAP_ERR(SES_ERR_MALFORMED, listen_to("\x00", 1, step));
        TAP_ERR(SES_ERR_TOO_LARGE, listen_to("\x81\x08", 2, step)); /* 1025 bytes */
        TAP_ERR(SES_ERR_TOO_LARGE, listen_to("\xff\xff\xff\x01", 4, step));
        TAP_ERR(SES_ERR_MALFORMED, listen_to("\x93\x00/multistream/1.0.0\n", 21, step));
    }
    TAP_ERR(SES_OK, listen_to("GET / HTTP/1.1\r\n", 16, 1)); /* 71 bytes that never come */
}

static void test_random_bytes(void)
{
    uint8_t bytes[200];
    for (size_t i = 0; i < 20000; i++) {
        ses_random_fill(tap_random(), bytes, sizeof bytes);
        bytes[0] &= 0x1f;
        const enum ses_err err = listen_to(bytes, sizeof bytes, 1 + bytes[1] % 20);
        TAP_OK(err == SES_OK || err == SES_ERR_MALFORMED || err == SES_ERR_TOO_LARGE);
    }
}

int main(void)
{
    TAP_RUN(test_frames_in_pieces);
    TAP_RUN(test_bad_frames);
    TAP_RUN(test_announced_memory);
    TAP_RUN(test_negotiation);
    TAP_RUN(test_second_choice_and_refusal);
    TAP_RUN(test_hostile_negotiation);
    TAP_RUN(test_random_bytes);
    return tap_done();
}
