/* /session/probe/1: a tester asks the node whether it is there; the node signs. */
#include "protocol/frame_internal.h"

void ses_probe_write(struct ses_writer *w, const struct ses_probe *m)
{
    ses_request_write(w, SES_PROBE_NONCE);
    ses_write_u64(w, m->epoch);
    ses_write_bytes(w, m->nonce.bytes, sizeof m->nonce.bytes);
}

enum ses_err ses_probe_read(struct ses_probe *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, SES_PROBE_NONCE);
    m->epoch = ses_read_u64(&r);
    ses_read_bytes(&r, m->nonce.bytes, sizeof m->nonce.bytes);
    return ses_read_end(&r, m, sizeof *m);
}

void ses_probe_answer_write(struct ses_writer *w, const struct ses_dsa_sig *signature)
{
    ses_response_ok(w);
    ses_write_bytes(w, signature->bytes, sizeof signature->bytes);
}

enum ses_err ses_probe_answer_read(struct ses_dsa_sig *signature, struct ses_reader *r)
{
    memset(signature, 0, sizeof *signature);
    ses_read_bytes(r, signature->bytes, sizeof signature->bytes);
    return ses_read_end(r, signature, sizeof *signature);
}

void ses_probe_message(uint8_t out[SES_PROBE_MESSAGE_BYTES], const struct ses_hash *chain_id,
                       const struct ses_node_id *tester, const struct ses_node_id *target,
                       const struct ses_probe *m)
{
    struct ses_writer w;
    ses_writer_init(&w, out, SES_PROBE_MESSAGE_BYTES);
    ses_write_bytes(&w, chain_id->bytes, sizeof chain_id->bytes);
    ses_write_u64(&w, m->epoch);
    ses_write_bytes(&w, tester->bytes, sizeof tester->bytes);
    ses_write_bytes(&w, target->bytes, sizeof target->bytes);
    ses_write_bytes(&w, m->nonce.bytes, sizeof m->nonce.bytes);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == SES_PROBE_MESSAGE_BYTES);
}
