/* /session/auth/1 (who is at the other end) and /session/login/1 (who owns the inbox) */
#include "protocol/frame_internal.h"

/* u8 version, u8 suite (in the place of the op), [node_id, signature] */
void ses_auth_hello_write(struct ses_writer *w, const struct ses_auth_hello *m)
{
    ses_writer_check(w, m->suite <= SES_AUTH_SUITE_NODE);
    ses_request_write(w, m->suite);
    if (m->suite == SES_AUTH_SUITE_NODE) {
        ses_write_bytes(w, m->node_id.bytes, sizeof m->node_id.bytes);
        ses_write_bytes(w, m->signature.bytes, sizeof m->signature.bytes);
    }
}

enum ses_err ses_auth_hello_read(struct ses_auth_hello *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    SES_TRY(ses_request_begin(&r, body, len, &m->suite));
    ses_reader_check(&r, m->suite <= SES_AUTH_SUITE_NODE, SES_ERR_VERSION);
    if (m->suite == SES_AUTH_SUITE_NODE) {
        ses_read_bytes(&r, m->node_id.bytes, sizeof m->node_id.bytes);
        ses_read_bytes(&r, m->signature.bytes, sizeof m->signature.bytes);
    }
    return ses_read_end(&r, m, sizeof *m);
}

void ses_auth_message(uint8_t out[SES_AUTH_MESSAGE_BYTES], uint8_t suite, enum ses_auth_role role,
                      const struct ses_hash *chain_id, const struct ses_node_id *node_id,
                      const uint8_t exporter[32], const struct ses_ed25519_pk *dialler,
                      const struct ses_ed25519_pk *listener)
{
    struct ses_writer w;
    ses_writer_init(&w, out, SES_AUTH_MESSAGE_BYTES);
    ses_write_u8(&w, suite);
    ses_write_u8(&w, (uint8_t)role);
    ses_write_bytes(&w, chain_id->bytes, sizeof chain_id->bytes);
    ses_write_bytes(&w, node_id->bytes, sizeof node_id->bytes);
    ses_write_bytes(&w, exporter, 32);
    ses_write_bytes(&w, dialler->bytes, sizeof dialler->bytes);
    ses_write_bytes(&w, listener->bytes, sizeof listener->bytes);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == SES_AUTH_MESSAGE_BYTES);
}

void ses_login_write(struct ses_writer *w, const struct ses_login *m)
{
    ses_request_write(w, SES_LOGIN_PROVE);
    ses_write_bytes(w, m->kem_pk, SES_KEM_PK_BYTES);
    ses_write_bytes(w, m->dsa_pk, SES_DSA_PK_BYTES);
    ses_write_bytes(w, m->signature, SES_DSA_SIG_BYTES);
}

enum ses_err ses_login_read(struct ses_login *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, SES_LOGIN_PROVE);
    m->kem_pk = ses_read_view(&r, SES_KEM_PK_BYTES);
    m->dsa_pk = ses_read_view(&r, SES_DSA_PK_BYTES);
    m->signature = ses_read_view(&r, SES_DSA_SIG_BYTES);
    return ses_read_end(&r, m, sizeof *m);
}

void ses_login_message(uint8_t out[SES_LOGIN_MESSAGE_BYTES], const struct ses_hash *chain_id,
                       const uint8_t exporter[32], const struct ses_node_id *node_id,
                       const struct ses_hash *inbox)
{
    struct ses_writer w;
    ses_writer_init(&w, out, SES_LOGIN_MESSAGE_BYTES);
    ses_write_bytes(&w, chain_id->bytes, sizeof chain_id->bytes);
    ses_write_bytes(&w, exporter, 32);
    ses_write_bytes(&w, node_id->bytes, sizeof node_id->bytes);
    ses_write_bytes(&w, inbox->bytes, sizeof inbox->bytes);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == SES_LOGIN_MESSAGE_BYTES);
}
