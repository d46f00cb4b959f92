/* Frames on a stream: unsigned varint length, body (network page, Application protocols). Bytes in,
 * frames out; no I/O. */
#ifndef SES_NETWORK_FRAME_H
#define SES_NETWORK_FRAME_H

#include "base/base.h"

#define SES_FRAME_HEAD_MAX 9u

/* Zero-initialise with `max`; ses_frames_free at the end. Holds memory only within a frame that
 * arrives in pieces, and only about as much as has arrived. */
struct ses_frames {
    size_t max; /* longest body */
    uint8_t head[SES_FRAME_HEAD_MAX];
    uint8_t head_len;
    bool in_body;
    size_t want; /* length of the body that is being read */
    struct ses_buf body;
};

/* Takes bytes off the front of (*in, *left). SES_OK: a frame is complete, (*body, *len) views it
 * until the next call. SES_ERR_AGAIN: all was taken, more is needed. SES_ERR_TOO_LARGE,
 * SES_ERR_MALFORMED (a varint that is not minimal), SES_ERR_MEMORY: the stream is of no more use.
 */
SES_CHECKED enum ses_err ses_frames_next(struct ses_frames *f, const uint8_t **in, size_t *left,
                                         const uint8_t **body, size_t *len);
/* True between frames: an end of the stream here cuts nothing off. */
bool ses_frames_idle(const struct ses_frames *f);
void ses_frames_free(struct ses_frames *f);
/* Length of the varint written into `out`. */
size_t ses_frame_head(uint8_t out[SES_FRAME_HEAD_MAX], size_t body_len);

#endif
