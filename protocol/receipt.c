#include "protocol/receipt_internal.h"

#include "protocol/protocol_internal.h"

_Static_assert(SES_RECEIPT_LEAF_BYTES == 97, "leaf of a receipt (storage page)");

void ses_receipt_leaf_write(struct ses_writer *w, const struct ses_receipt_leaf *leaf)
{
    uint8_t segment[SES_SEGMENT_BYTES];
    ses_writer_check(w, leaf->segment.ttl_class < SES_TTL_CLASS_CNT);
    ses_segment_encode(segment, &leaf->segment);
    ses_write_bytes(w, leaf->id.bytes, sizeof leaf->id.bytes);
    ses_write_bytes(w, leaf->digest.bytes, sizeof leaf->digest.bytes);
    ses_write_bytes(w, segment, sizeof segment);
    ses_write_u32(w, leaf->swarm);
    ses_write_u64(w, leaf->swarm_from_epoch);
    ses_write_u64(w, leaf->admit_epoch);
    ses_write_u64(w, leaf->time_ms);
}

void ses_receipt_leaf_read(struct ses_reader *r, struct ses_receipt_leaf *leaf)
{
    ses_read_bytes(r, leaf->id.bytes, sizeof leaf->id.bytes);
    ses_read_bytes(r, leaf->digest.bytes, sizeof leaf->digest.bytes);
    leaf->segment.ttl_class = ses_read_u8(r);
    leaf->segment.hour = ses_read_u32(r);
    leaf->swarm = ses_read_u32(r);
    leaf->swarm_from_epoch = ses_read_u64(r);
    leaf->admit_epoch = ses_read_u64(r);
    leaf->time_ms = ses_read_u64(r);
    ses_reader_check(r, leaf->segment.ttl_class < SES_TTL_CLASS_CNT, SES_ERR_MALFORMED);
}

void ses_receipt_leaf_hash(struct ses_hash *out, const struct ses_receipt_leaf *leaf)
{
    uint8_t bytes[SES_RECEIPT_LEAF_BYTES];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_receipt_leaf_write(&w, leaf);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == sizeof bytes);
    ses_b(out, SES_TAG_RECEIPT, SES_PARTS(SES_PART(bytes, sizeof bytes)));
}

/* Siblings that a path of element `index` of `n` has (the walk of RFC 9162 section 2.1.3.2). */
static unsigned path_len(uint32_t index, uint32_t n)
{
    unsigned cnt = 0;
    for (uint32_t last = n - 1; last > 0; index /= 2, last /= 2) {
        while (index == last && index % 2 == 0) { /* nothing to its right on this level */
            index /= 2;
            last /= 2;
        }
        cnt++;
    }
    return cnt;
}

static bool place_ok(const struct ses_receipt *receipt)
{
    return receipt->n >= 1 && receipt->n <= SES_RECEIPT_BATCH_MAX && receipt->index < receipt->n &&
           receipt->path_cnt == path_len(receipt->index, receipt->n);
}

void ses_receipt_path_write(struct ses_writer *w, const struct ses_receipt *receipt)
{
    ses_writer_check(w, place_ok(receipt));
    ses_write_u8(w, receipt->path_cnt);
    for (unsigned i = 0; w->err == SES_OK && i < receipt->path_cnt; i++) {
        ses_write_bytes(w, receipt->path[i].bytes, sizeof receipt->path[i].bytes);
    }
}

void ses_receipt_path_read(struct ses_reader *r, struct ses_receipt *receipt)
{
    receipt->path_cnt = ses_read_u8(r);
    ses_reader_check(r, place_ok(receipt), SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        receipt->path_cnt = 0;
    }
    for (unsigned i = 0; i < receipt->path_cnt; i++) {
        ses_read_bytes(r, receipt->path[i].bytes, sizeof receipt->path[i].bytes);
    }
}

void ses_receipt_write(struct ses_writer *w, const struct ses_receipt *receipt)
{
    ses_receipt_leaf_write(w, &receipt->leaf);
    ses_write_u16(w, receipt->index);
    ses_write_u16(w, receipt->n);
    ses_receipt_path_write(w, receipt);
    ses_write_bytes(w, receipt->node_id.bytes, sizeof receipt->node_id.bytes);
    ses_write_bytes(w, receipt->signature.bytes, sizeof receipt->signature.bytes);
}

void ses_receipt_read(struct ses_reader *r, struct ses_receipt *receipt)
{
    memset(receipt, 0, sizeof *receipt);
    ses_receipt_leaf_read(r, &receipt->leaf);
    receipt->index = ses_read_u16(r);
    receipt->n = ses_read_u16(r);
    ses_receipt_path_read(r, receipt);
    ses_read_bytes(r, receipt->node_id.bytes, sizeof receipt->node_id.bytes);
    ses_read_bytes(r, receipt->signature.bytes, sizeof receipt->signature.bytes);
    if (r->err != SES_OK) {
        memset(receipt, 0, sizeof *receipt);
    }
}
