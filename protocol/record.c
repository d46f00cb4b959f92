#include "protocol/record_internal.h"

#include "protocol/protocol_internal.h"

#define VERSION 1u
#define NS_AT 2u
#define CLASS_AT 4u
#define RESERVED_AT 5u
#define TS_AT 8u
#define INBOX_AT 16u
_Static_assert(INBOX_AT + 32 == SES_RECORD_HEADER_BYTES, "header: 48 bytes (storage page)");

void ses_record_header_encode(uint8_t out[SES_RECORD_HEADER_BYTES],
                              const struct ses_record_header *h)
{
    out[0] = VERSION;
    out[1] = (uint8_t)h->kind;
    ses_put_u16(out + NS_AT, (uint16_t)h->ns);
    out[CLASS_AT] = h->ttl_class;
    memset(out + RESERVED_AT, 0, TS_AT - RESERVED_AT);
    ses_put_u64(out + TS_AT, h->ts_ms);
    memcpy(out + INBOX_AT, h->inbox.bytes, sizeof h->inbox.bytes);
}

static bool header_ok(const uint8_t *in, uint64_t ts_ms)
{
    return in[0] == VERSION && in[1] <= SES_RECORD_TOMBSTONE && in[CLASS_AT] < SES_TTL_CLASS_CNT &&
           in[RESERVED_AT] == 0 && in[RESERVED_AT + 1] == 0 && in[RESERVED_AT + 2] == 0 &&
           ts_ms % 1000 == 0 && ts_ms <= SES_TS_MAX_MS;
}

enum ses_err ses_record_header_decode(struct ses_record_header *h,
                                      const uint8_t in[SES_RECORD_HEADER_BYTES])
{
    const uint64_t ts_ms = ses_get_u64(in + TS_AT);
    memset(h, 0, sizeof *h);
    SES_REQUIRE(header_ok(in, ts_ms), SES_ERR_MALFORMED);
    h->kind = in[1] == 0 ? SES_RECORD_MESSAGE : SES_RECORD_TOMBSTONE;
    h->ns = (int16_t)(in[NS_AT] << 8 | in[NS_AT + 1]);
    h->ttl_class = in[CLASS_AT];
    h->ts_ms = ts_ms;
    memcpy(h->inbox.bytes, in + INBOX_AT, sizeof h->inbox.bytes);
    return SES_OK;
}

void ses_payload_root(struct ses_hash *out, const uint8_t *payload, size_t len)
{
    SES_ASSERT(len <= SES_PAYLOAD_MAX);
    struct ses_hash chunks[SES_CHUNKS_MAX];
    const size_t full = len / SES_CHUNK_BYTES;
    const size_t rest = len % SES_CHUNK_BYTES;
    if (full > 0) {
        ses_b_batch(chunks, SES_TAG_CHUNK, payload, SES_CHUNK_BYTES, SES_CHUNK_BYTES, full);
    }
    if (rest > 0) {
        ses_b(&chunks[full], SES_TAG_CHUNK,
              SES_PARTS(SES_PART(payload + full * SES_CHUNK_BYTES, rest)));
    }
    ses_mt(out, chunks, full + (rest > 0));
}

void ses_inbox_digest(struct ses_hash *out, const struct ses_hash *inbox)
{
    uint8_t session_id[33] = {0x07};
    memcpy(session_id + 1, inbox->bytes, sizeof inbox->bytes);
    ses_blake3_hash(out, session_id, sizeof session_id);
}

void ses_record_header_hash(struct ses_hash *out, const uint8_t header[SES_RECORD_HEADER_BYTES])
{
    ses_b(out, SES_TAG_HEADER, SES_PARTS(SES_PART(header, SES_RECORD_HEADER_BYTES)));
}

void ses_record_id_of(struct ses_hash *out, const struct ses_hash *header_hash, uint32_t size,
                      const struct ses_hash *payload_root)
{
    uint8_t bytes[4];
    ses_put_u32(bytes, size);
    ses_b(out, SES_TAG_RECORD,
          SES_PARTS(SES_PART(header_hash->bytes, 32), SES_PART(bytes, 4),
                    SES_PART(payload_root->bytes, 32)));
}

enum ses_err ses_record_identify(struct ses_record_ids *out, const struct ses_record *record)
{
    memset(out, 0, sizeof *out);
    SES_REQUIRE(record->payload_bytes <= SES_PAYLOAD_MAX, SES_ERR_TOO_LARGE);
    SES_TRY(ses_record_header_decode(&out->header, record->header));
    ses_segment_of(&out->segment, out->header.ttl_class, out->header.ts_ms);
    ses_payload_root(&out->payload_root, record->payload, record->payload_bytes);
    ses_record_header_hash(&out->header_hash, record->header);
    ses_record_id_of(&out->id, &out->header_hash, record->payload_bytes, &out->payload_root);
    ses_inbox_digest(&out->digest, &out->header.inbox);
    return SES_OK;
}
