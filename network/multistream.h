/* multistream-select 1.0 (libp2p connections specification): both sides say
 * "/multistream/1.0.0\n", the dialler proposes a protocol, the listener echoes it or says "na".
 * Messages are varint-length-prefixed lines. Bytes in, bytes out; no I/O. */
#ifndef SES_NETWORK_MULTISTREAM_H
#define SES_NETWORK_MULTISTREAM_H

#include "base/base.h"

#define SES_MSS_MESSAGE_MAX 1024u /* bytes of one message with its newline */
#define SES_MSS_PROPOSALS_MAX 32u
#define SES_MSS_ID_MAX 200u

enum ses_mss_state {
    SES_MSS_HEADER,   /* waits for the other side's header */
    SES_MSS_PROTOCOL, /* waits for a proposal or for the answer to ours */
    SES_MSS_DONE,
};
/* Index of the protocol that the listener takes, or -1. `id` is not NUL-terminated. */
typedef int ses_mss_choose_fn(void *cookie, const char *id, size_t len);

/* Zero-initialised by ses_mss_dial / ses_mss_listen; ses_mss_free at the end. */
struct ses_mss {
    enum ses_mss_state state;
    const char *wanted; /* dialler; NULL: listener. Static storage. */
    ses_mss_choose_fn *choose;
    void *cookie;
    int chosen; /* listener, once DONE */
    uint8_t proposal_cnt;
    struct ses_buf part; /* of a message that arrives in pieces */
};

/* Appends header and proposal to `out`: the dialler may send data right behind them. */
SES_CHECKED enum ses_err ses_mss_dial(struct ses_mss *m, const char *protocol, struct ses_buf *out);
void ses_mss_listen(struct ses_mss *m, ses_mss_choose_fn *choose, void *cookie);
/* Takes bytes until negotiation is done (m->state), *used of them; what follows belongs to the
 * protocol. Appends answers to `out`. SES_ERR_NOT_FOUND: the listener refused; SES_ERR_MALFORMED,
 * SES_ERR_TOO_LARGE, SES_ERR_FULL (too many proposals), SES_ERR_MEMORY. */
SES_CHECKED enum ses_err ses_mss_recv(struct ses_mss *m, const uint8_t *in, size_t len,
                                      size_t *used, struct ses_buf *out);
void ses_mss_free(struct ses_mss *m);

#endif
