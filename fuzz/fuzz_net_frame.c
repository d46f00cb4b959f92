/* Frames of a stream: cut anywhere they are the same, and what was read is written identically. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "network/frame.h"

#define FRAME_MAX 100000u

/* Writes every frame that it reads into `out`; the error that ended it. */
static enum ses_err copy(const uint8_t *data, size_t size, size_t step, struct ses_buf *out)
{
    struct ses_frames f = {.max = FRAME_MAX};
    enum ses_err err = SES_ERR_AGAIN;
    for (size_t at = 0; at < size && err == SES_ERR_AGAIN; at += step) {
        const uint8_t *piece = data + at;
        size_t left = size - at < step ? size - at : step;
        do {
            const uint8_t *body = NULL;
            size_t len = 0;
            uint8_t head[SES_FRAME_HEAD_MAX];
            err = ses_frames_next(&f, &piece, &left, &body, &len);
            if (err == SES_OK) {
                SES_ASSERT(ses_buf_append(out, head, ses_frame_head(head, len)) == SES_OK);
                SES_ASSERT(ses_buf_append(out, body, len) == SES_OK);
            }
        } while (err == SES_OK && left > 0);
        err = err == SES_OK ? SES_ERR_AGAIN : err;
    }
    ses_frames_free(&f);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ses_buf whole = {0}, pieces = {0};
    const size_t step = size == 0 ? 1 : 1 + data[size - 1] % 7;
    const enum ses_err err = copy(data, size, size + 1, &whole);
    SES_ASSERT(copy(data, size, step, &pieces) == err);
    SES_ASSERT(whole.len == pieces.len && whole.len <= size);
    SES_ASSERT(whole.len == 0 || memcmp(whole.bytes, pieces.bytes, whole.len) == 0);
    SES_ASSERT(whole.len == 0 || memcmp(whole.bytes, data, whole.len) == 0);
    ses_buf_free(&whole);
    ses_buf_free(&pieces);
    return 0;
}
