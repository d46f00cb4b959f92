#include "protocol/envelope.h"

#include "protocol/protocol_internal.h"

#define VERSION 1u
#define SUITE 1u /* ML-KEM-768, ML-DSA-65, XChaCha20-Poly1305, KMAC256 */
#define KEY_MODES (SES_KEY_MODE_KEYS | SES_KEY_MODE_BODY_SIGNED)
#define INNER_FIXED_BYTES (2u + 32u + 8u + 16u + 1u + SES_DSA_SIG_BYTES + 4u)
#define INNER_KEYS_BYTES (SES_DSA_PK_BYTES + SES_KEM_PK_BYTES)
_Static_assert(SES_ENVELOPE1_OUTER_BYTES == 4 + 8 + SES_KEM_CT_BYTES, "outer header of v1");
_Static_assert(SES_ENVELOPE1_HDR_BYTES == 1148, "the AAD of v1 (messaging page)");
_Static_assert(SES_ENVELOPE0_OVERHEAD == 1128, "upstream's EncryptToRecipient");

static const uint32_t class_bytes[SES_PAD_CLASS_CNT] = {8192, 16384, 32768, 65536, 81920};

uint32_t ses_pad_class_bytes(uint8_t pad_class)
{
    SES_ASSERT(pad_class < SES_PAD_CLASS_CNT);
    return class_bytes[pad_class];
}

static size_t body_max(uint8_t pad_class, bool with_keys)
{
    return class_bytes[pad_class] - SES_ENVELOPE1_OUTER_BYTES - SES_AEAD_TAG_BYTES -
           INNER_FIXED_BYTES - (with_keys ? INNER_KEYS_BYTES : 0);
}

size_t ses_envelope1_body_max(bool with_keys)
{
    return body_max(SES_PAD_CLASS_CNT - 1, with_keys);
}

enum ses_err ses_pad_class_for(uint8_t *pad_class, size_t body_bytes, bool with_keys)
{
    *pad_class = 0;
    for (uint8_t i = 0; i < SES_PAD_CLASS_CNT; i++) {
        if (body_bytes <= body_max(i, with_keys)) {
            *pad_class = i;
            return SES_OK;
        }
    }
    return SES_ERR_TOO_LARGE;
}

void ses_envelope1_outer_write(struct ses_writer *w, const struct ses_envelope1_outer *outer)
{
    ses_writer_check(w, outer->pad_class < SES_PAD_CLASS_CNT);
    ses_write_u8(w, VERSION);
    ses_write_u8(w, SUITE);
    ses_write_u8(w, outer->pad_class);
    ses_write_u8(w, 0); /* flags */
    ses_write_bytes(w, outer->kem_key_id, sizeof outer->kem_key_id);
    ses_write_bytes(w, outer->kem_ct, SES_KEM_CT_BYTES);
}

enum ses_err ses_envelope1_outer_read(struct ses_envelope1_outer *outer, const uint8_t *payload,
                                      size_t len)
{
    struct ses_reader r;
    memset(outer, 0, sizeof *outer);
    ses_reader_init(&r, payload, len);
    ses_reader_check(&r, ses_read_u8(&r) == VERSION, SES_ERR_VERSION);
    ses_reader_check(&r, ses_read_u8(&r) == SUITE, SES_ERR_VERSION);
    outer->pad_class = ses_read_u8(&r);
    ses_reader_check(&r, outer->pad_class < SES_PAD_CLASS_CNT, SES_ERR_MALFORMED);
    ses_reader_check(&r, ses_read_u8(&r) == 0, SES_ERR_MALFORMED);
    ses_read_bytes(&r, outer->kem_key_id, sizeof outer->kem_key_id);
    outer->kem_ct = ses_read_view(&r, SES_KEM_CT_BYTES);
    if (r.err == SES_OK) {
        ses_reader_check(&r, len == class_bytes[outer->pad_class], SES_ERR_MALFORMED);
    }
    (void)ses_read_view(&r, r.left); /* the sealed part is for the AEAD */
    return ses_read_end(&r, outer, sizeof *outer);
}

void ses_envelope1_inner_write(struct ses_writer *w, const struct ses_envelope1_inner *inner)
{
    ses_writer_check(w, inner->key_mode <= KEY_MODES);
    ses_writer_check(w, inner->body_bytes <= ses_envelope1_body_max(false));
    ses_write_u16(w, inner->type);
    ses_write_bytes(w, inner->sender.bytes, sizeof inner->sender.bytes);
    ses_write_u64(w, inner->sent_ms);
    ses_write_bytes(w, inner->uuid, sizeof inner->uuid);
    ses_write_u8(w, inner->key_mode);
    if (inner->key_mode & SES_KEY_MODE_KEYS) {
        ses_write_bytes(w, inner->dsa_pk, SES_DSA_PK_BYTES);
        ses_write_bytes(w, inner->kem_pk, SES_KEM_PK_BYTES);
    }
    ses_write_bytes(w, inner->signature, SES_DSA_SIG_BYTES);
    ses_write_u32(w, inner->body_bytes);
    ses_write_bytes(w, inner->body, inner->body_bytes);
}

/* Nothing may hide behind the body. */
static void read_padding(struct ses_reader *r)
{
    uint8_t any = 0;
    const size_t len = r->left;
    const uint8_t *padding = ses_read_view(r, len);
    for (size_t i = 0; padding != NULL && i < len; i++) {
        any |= padding[i];
    }
    ses_reader_check(r, any == 0, SES_ERR_MALFORMED);
}

enum ses_err ses_envelope1_inner_read(struct ses_envelope1_inner *inner, const uint8_t *bytes,
                                      size_t len)
{
    struct ses_reader r;
    memset(inner, 0, sizeof *inner);
    ses_reader_init(&r, bytes, len);
    inner->type = ses_read_u16(&r);
    ses_read_bytes(&r, inner->sender.bytes, sizeof inner->sender.bytes);
    inner->sent_ms = ses_read_u64(&r);
    ses_read_bytes(&r, inner->uuid, sizeof inner->uuid);
    inner->key_mode = ses_read_u8(&r);
    ses_reader_check(&r, inner->key_mode <= KEY_MODES, SES_ERR_MALFORMED);
    if (inner->key_mode & SES_KEY_MODE_KEYS) {
        inner->dsa_pk = ses_read_view(&r, SES_DSA_PK_BYTES);
        inner->kem_pk = ses_read_view(&r, SES_KEM_PK_BYTES);
    }
    inner->signature = ses_read_view(&r, SES_DSA_SIG_BYTES);
    inner->body_bytes = ses_read_u32(&r);
    ses_reader_check(&r, inner->body_bytes <= ses_envelope1_body_max(false), SES_ERR_TOO_LARGE);
    inner->body = ses_read_view(&r, inner->body_bytes);
    read_padding(&r);
    return ses_read_end(&r, inner, sizeof *inner);
}
