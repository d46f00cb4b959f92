#include "network/frame.h"

#include <string.h>

/* A first reservation that a stranger gets for announcing a long frame. */
#define FRAME_RESERVE_BYTES 16384u

static enum ses_err head_take(struct ses_frames *f, const uint8_t **in, size_t *left)
{
    while (*left > 0) {
        f->head[f->head_len++] = **in;
        (*in)++;
        (*left)--;
        if (f->head[f->head_len - 1] >= 0x80 && f->head_len < SES_FRAME_HEAD_MAX) {
            continue;
        }
        struct ses_reader r;
        ses_reader_init(&r, f->head, f->head_len);
        const uint64_t want = ses_read_varint(&r);
        SES_TRY(ses_reader_done(&r));
        SES_REQUIRE(want <= f->max, SES_ERR_TOO_LARGE);
        f->want = (size_t)want;
        f->in_body = true;
        f->head_len = 0;
        return SES_OK;
    }
    return SES_ERR_AGAIN;
}

/* Keeps a piece of the body. The buffer grows four-fold, which costs few copies, and never to far
 * more than has arrived, whatever was announced. */
static enum ses_err body_keep(struct ses_frames *f, const uint8_t *bytes, size_t len)
{
    const size_t need = f->body.len + len;
    if (need > f->body.cap) {
        size_t cap = f->body.cap == 0 ? FRAME_RESERVE_BYTES : 4 * f->body.cap;
        cap = cap < need ? need : cap;
        cap = cap < f->want ? cap : f->want;
        SES_TRY(ses_buf_reserve(&f->body, cap - f->body.len));
    }
    return ses_buf_append(&f->body, bytes, len);
}

enum ses_err ses_frames_next(struct ses_frames *f, const uint8_t **in, size_t *left,
                             const uint8_t **body, size_t *len)
{
    if (!f->in_body) {
        ses_buf_free(&f->body); /* the frame before, if it came in pieces */
        SES_TRY(head_take(f, in, left));
    }
    const size_t missing = f->want - f->body.len;
    if (*left < missing) {
        SES_TRY(body_keep(f, *in, *left));
        *in += *left;
        *left = 0;
        return SES_ERR_AGAIN;
    }
    if (f->body.len == 0) {
        *body = *in;
    } else {
        SES_TRY(body_keep(f, *in, missing));
        *body = f->body.bytes;
    }
    *len = f->want;
    *in += missing;
    *left -= missing;
    f->in_body = false;
    return SES_OK;
}

bool ses_frames_idle(const struct ses_frames *f)
{
    return !f->in_body && f->head_len == 0;
}

void ses_frames_free(struct ses_frames *f)
{
    ses_buf_free(&f->body);
}

size_t ses_frame_head(uint8_t out[SES_FRAME_HEAD_MAX], size_t body_len)
{
    struct ses_writer w;
    ses_writer_init(&w, out, SES_FRAME_HEAD_MAX);
    ses_write_varint(&w, body_len);
    SES_ASSERT(w.err == SES_OK);
    return w.len;
}
