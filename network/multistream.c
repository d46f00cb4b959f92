#include "network/multistream.h"

#include <string.h>

#define MSS_HEADER "/multistream/1.0.0"

static enum ses_err message_append(struct ses_buf *out, const char *text, size_t len)
{
    uint8_t bytes[SES_MSS_ID_MAX + 3];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_varint(&w, len + 1);
    ses_write_bytes(&w, text, len);
    ses_write_u8(&w, '\n');
    SES_TRY(ses_writer_done(&w));
    return ses_buf_append(out, bytes, w.len);
}

enum ses_err ses_mss_dial(struct ses_mss *m, const char *protocol, struct ses_buf *out)
{
    *m = (struct ses_mss){.wanted = protocol};
    SES_TRY(message_append(out, MSS_HEADER, strlen(MSS_HEADER)));
    return message_append(out, protocol, strlen(protocol));
}

void ses_mss_listen(struct ses_mss *m, ses_mss_choose_fn *choose, void *cookie)
{
    *m = (struct ses_mss){.choose = choose, .cookie = cookie};
}

static bool text_is(const char *want, const uint8_t *text, size_t len)
{
    return strlen(want) == len && memcmp(want, text, len) == 0;
}

static enum ses_err listener_answer(struct ses_mss *m, const uint8_t *text, size_t len,
                                    struct ses_buf *out)
{
    SES_REQUIRE(++m->proposal_cnt <= SES_MSS_PROPOSALS_MAX, SES_ERR_FULL);
    const int chosen = len > SES_MSS_ID_MAX ? -1 : m->choose(m->cookie, (const char *)text, len);
    if (chosen < 0) {
        return message_append(out, "na", 2);
    }
    m->chosen = chosen;
    m->state = SES_MSS_DONE;
    return message_append(out, (const char *)text, len);
}

static enum ses_err dialler_take(struct ses_mss *m, const uint8_t *text, size_t len)
{
    SES_REQUIRE(!text_is("na", text, len), SES_ERR_NOT_FOUND);
    SES_REQUIRE(text_is(m->wanted, text, len), SES_ERR_MALFORMED);
    m->state = SES_MSS_DONE;
    return SES_OK;
}

static enum ses_err message_take(struct ses_mss *m, const uint8_t *text, size_t len,
                                 struct ses_buf *out)
{
    SES_REQUIRE(len > 0 && text[len - 1] == '\n', SES_ERR_MALFORMED);
    len--;
    if (m->state == SES_MSS_HEADER) {
        SES_REQUIRE(text_is(MSS_HEADER, text, len), SES_ERR_MALFORMED);
        m->state = SES_MSS_PROTOCOL;
        return m->wanted == NULL ? message_append(out, MSS_HEADER, strlen(MSS_HEADER)) : SES_OK;
    }
    return m->wanted == NULL ? listener_answer(m, text, len, out) : dialler_take(m, text, len);
}

/* A whole message at the front of `in`: SES_OK with *total its bytes and (*text, *text_len) its
 * line; SES_ERR_AGAIN if it is cut off. */
static enum ses_err message_find(const uint8_t *in, size_t len, size_t *total, const uint8_t **text,
                                 size_t *text_len)
{
    struct ses_reader r;
    const size_t head_max = len < 2 ? len : 2; /* two bytes hold more than the limit */
    ses_reader_init(&r, in, head_max);
    const uint64_t want = ses_read_varint(&r);
    if (r.err == SES_ERR_TRUNCATED) {
        return len < 2 ? SES_ERR_AGAIN : SES_ERR_TOO_LARGE;
    }
    SES_TRY(r.err);
    const size_t head = head_max - r.left;
    SES_REQUIRE(want <= SES_MSS_MESSAGE_MAX, SES_ERR_TOO_LARGE);
    SES_REQUIRE(want <= len - head, SES_ERR_AGAIN);
    *text = in + head;
    *text_len = (size_t)want;
    *total = head + (size_t)want;
    return SES_OK;
}

/* Bytes that complete the message in m->part, at most: one at a time for the length, then all. */
static size_t part_missing(const struct ses_mss *m)
{
    struct ses_reader r;
    ses_reader_init(&r, m->part.bytes, m->part.len);
    const uint64_t want = ses_read_varint(&r);
    if (r.err != SES_OK || want > SES_MSS_MESSAGE_MAX) {
        return 1;
    }
    return (size_t)want - r.left;
}

static enum ses_err part_recv(struct ses_mss *m, const uint8_t *in, size_t len, size_t *used,
                              struct ses_buf *out)
{
    const size_t missing = m->part.len == 0 ? 1 : part_missing(m);
    const size_t n = len < missing ? len : missing;
    SES_TRY(ses_buf_append(&m->part, in, n));
    *used += n;
    size_t total = 0;
    const uint8_t *text = NULL;
    size_t text_len = 0;
    const enum ses_err err = message_find(m->part.bytes, m->part.len, &total, &text, &text_len);
    if (err == SES_ERR_AGAIN) {
        return SES_OK;
    }
    SES_TRY(err);
    SES_TRY(message_take(m, text, text_len, out));
    ses_buf_free(&m->part);
    return SES_OK;
}

enum ses_err ses_mss_recv(struct ses_mss *m, const uint8_t *in, size_t len, size_t *used,
                          struct ses_buf *out)
{
    *used = 0;
    while (*used < len && m->state != SES_MSS_DONE) {
        size_t total = 0;
        const uint8_t *text = NULL;
        size_t text_len = 0;
        const enum ses_err err =
            m->part.len > 0 ? SES_ERR_AGAIN
                            : message_find(in + *used, len - *used, &total, &text, &text_len);
        if (err == SES_ERR_AGAIN) {
            SES_TRY(part_recv(m, in + *used, len - *used, used, out));
            continue;
        }
        SES_TRY(err);
        SES_TRY(message_take(m, text, text_len, out));
        *used += total;
    }
    return SES_OK;
}

void ses_mss_free(struct ses_mss *m)
{
    ses_buf_free(&m->part);
}
