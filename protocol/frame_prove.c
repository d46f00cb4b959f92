/* /session/retrieve/1, ops LIST and PROVE: what an inbox holds without its payloads, and proofs of
 * it. */
#include "protocol/frame_internal.h"

void ses_list_page_read(struct ses_reader *r, struct ses_page *m)
{
    ses_page_read(r, m);
    ses_read_prove(r, m->record_cnt, SES_DELETE_TARGET_BYTES);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}

static bool segments_ok(const struct ses_prove *m)
{
    if (m->segment_cnt < 1 || m->segment_cnt > SES_PROVE_SEGMENTS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < m->segment_cnt; i++) {
        if (m->segments[i].ttl_class >= SES_TTL_CLASS_CNT ||
            (i > 0 && !ses_segment_before(&m->segments[i - 1], &m->segments[i]))) {
            return false;
        }
    }
    return true;
}

void ses_prove_write(struct ses_writer *w, const struct ses_prove *m)
{
    uint8_t segment[SES_SEGMENT_BYTES];
    const bool ok = segments_ok(m);
    ses_writer_check(w, ok);
    ses_request_write(w, SES_RETRIEVE_PROVE);
    ses_write_bytes(w, m->inbox.bytes, sizeof m->inbox.bytes);
    ses_write_u64(w, m->epoch);
    ses_write_u16(w, m->segment_cnt);
    for (unsigned i = 0; ok && i < m->segment_cnt; i++) {
        ses_segment_encode(segment, &m->segments[i]);
        ses_write_bytes(w, segment, sizeof segment);
    }
}

enum ses_err ses_prove_read(struct ses_prove *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, SES_RETRIEVE_PROVE);
    ses_read_bytes(&r, m->inbox.bytes, sizeof m->inbox.bytes);
    m->epoch = ses_read_u64(&r);
    m->segment_cnt = ses_read_u16(&r);
    ses_reader_check(&r, m->segment_cnt <= SES_PROVE_SEGMENTS_MAX, SES_ERR_MALFORMED);
    ses_read_prove(&r, m->segment_cnt, SES_SEGMENT_BYTES);
    for (unsigned i = 0; r.err == SES_OK && i < m->segment_cnt; i++) {
        m->segments[i].ttl_class = ses_read_u8(&r);
        m->segments[i].hour = ses_read_u32(&r);
    }
    ses_reader_check(&r, r.err != SES_OK || segments_ok(m), SES_ERR_MALFORMED);
    return ses_read_end(&r, m, sizeof *m);
}

void ses_proof_write(struct ses_writer *w, const struct ses_proof_answer *m)
{
    ses_writer_check(w, m->proof_bytes <= SES_PROVE_BYTES_MAX);
    ses_response_ok(w);
    ses_write_u64(w, m->epoch);
    ses_write_u32(w, m->proof_bytes);
    ses_write_bytes(w, m->proof, m->proof_bytes);
}

enum ses_err ses_proof_read(struct ses_proof_answer *m, struct ses_reader *r)
{
    memset(m, 0, sizeof *m);
    m->epoch = ses_read_u64(r);
    m->proof_bytes = ses_read_u32(r);
    ses_reader_check(r, m->proof_bytes <= SES_PROVE_BYTES_MAX, SES_ERR_MALFORMED);
    m->proof = ses_read_view(r, m->proof_bytes);
    return ses_read_end(r, m, sizeof *m);
}
