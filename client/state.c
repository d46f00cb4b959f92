/* The small state of a profile, as bytes. */
#include <string.h>

#include "client/client_internal.h"

#define FIXED_MAX (32u + 32u + 1u + 32u + 8u + 2u + SES_NAME_MAX)

void ses_profile_state_free(struct ses_profile_state *state)
{
    ses_inbox_free(&state->inbox);
    ses_wipe(state, sizeof *state);
}

enum ses_err ses_profile_state_encode(struct ses_buf *out, const struct ses_profile_state *state)
{
    struct ses_writer w;
    const size_t name_len = strnlen(state->name, SES_NAME_MAX);
    SES_TRY(ses_buf_reserve(out, FIXED_MAX));
    ses_writer_init(&w, out->bytes + out->len, FIXED_MAX);
    ses_write_bytes(&w, state->chain_id.bytes, sizeof state->chain_id.bytes);
    ses_write_bytes(&w, state->order_key.bytes, sizeof state->order_key.bytes);
    ses_write_u8(&w, state->has_token);
    ses_write_bytes(&w, state->token.bytes, sizeof state->token.bytes);
    ses_write_u64(&w, state->card_published_ms);
    ses_write_u16(&w, (uint16_t)name_len);
    ses_write_bytes(&w, state->name, name_len);
    SES_TRY(ses_writer_done(&w));
    out->len += w.len;
    return ses_inbox_encode(out, &state->inbox);
}

enum ses_err ses_profile_state_decode(struct ses_profile_state *state, const uint8_t *bytes,
                                      size_t len)
{
    struct ses_reader r;
    memset(state, 0, sizeof *state);
    ses_reader_init(&r, bytes, len);
    ses_read_bytes(&r, state->chain_id.bytes, sizeof state->chain_id.bytes);
    ses_read_bytes(&r, state->order_key.bytes, sizeof state->order_key.bytes);
    const uint8_t has_token = ses_read_u8(&r);
    ses_reader_check(&r, has_token <= 1, SES_ERR_MALFORMED);
    state->has_token = has_token == 1;
    ses_read_bytes(&r, state->token.bytes, sizeof state->token.bytes);
    state->card_published_ms = ses_read_u64(&r);
    const uint16_t name_len = ses_read_u16(&r);
    ses_reader_check(&r, name_len <= SES_NAME_MAX, SES_ERR_MALFORMED);
    ses_read_bytes(&r, state->name, r.err == SES_OK ? name_len : 0);
    ses_reader_check(&r,
                     strnlen(state->name, SES_NAME_MAX) == name_len && ses_name_valid(state->name),
                     SES_ERR_MALFORMED);
    enum ses_err err = r.err;
    if (err == SES_OK) {
        err = ses_inbox_decode(&state->inbox, r.at, r.left);
    }
    if (err != SES_OK) {
        ses_profile_state_free(state);
    }
    return err;
}
