/* The hashes of a record's id. */
#ifndef SES_PROTOCOL_RECORD_INTERNAL_H
#define SES_PROTOCOL_RECORD_INTERNAL_H

#include "protocol/record.h"

/* B(0x0F, header) */
void ses_record_header_hash(struct ses_hash *out, const uint8_t header[SES_RECORD_HEADER_BYTES]);
/* B(0x06, header_hash, u32 size, payload_root) */
void ses_record_id_of(struct ses_hash *out, const struct ses_hash *header_hash, uint32_t size,
                      const struct ses_hash *payload_root);

#endif
