/* What the frames of /session/... share. */
#ifndef SES_PROTOCOL_FRAME_INTERNAL_H
#define SES_PROTOCOL_FRAME_INTERNAL_H

#include "protocol/protocol_internal.h"
#include "protocol/rpc_frame.h"

/* A record on the wire is at least this long. */
#define SES_RECORD_WIRE_MIN (SES_RECORD_HEADER_BYTES + 4u)

static inline void ses_request_write(struct ses_writer *w, uint8_t op)
{
    ses_write_u8(w, SES_FRAME_VERSION);
    ses_write_u8(w, op);
}

/* The beginning of a request that must have this op. */
static inline void ses_request_expect(struct ses_reader *r, const uint8_t *body, size_t len,
                                      uint8_t op)
{
    ses_reader_init(r, body, len);
    ses_reader_check(r, len <= SES_FRAME_BYTES_MAX, SES_ERR_TOO_LARGE);
    ses_reader_check(r, ses_read_u8(r) == SES_FRAME_VERSION, SES_ERR_VERSION);
    ses_reader_check(r, ses_read_u8(r) == op, SES_ERR_MALFORMED);
}

/* u8 count, then that many node ids. */
void ses_members_write(struct ses_writer *w, const struct ses_node_id *ids, uint8_t cnt);
uint8_t ses_members_read(struct ses_reader *r, struct ses_node_id ids[SES_MEMBERS_MAX]);

#endif
