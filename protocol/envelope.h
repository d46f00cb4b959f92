/* Layout of sealed messages (messaging page; facts on messaging section 1.2). */
#ifndef SES_PROTOCOL_ENVELOPE_H
#define SES_PROTOCOL_ENVELOPE_H

#include "protocol/record.h"

/* v0: KEM ct || nonce || XChaCha20-Poly1305 ciphertext and tag. */
#define SES_ENVELOPE0_OVERHEAD (SES_KEM_CT_BYTES + SES_AEAD_NONCE_BYTES + SES_AEAD_TAG_BYTES)

/* v1. The payload of a record: everything below, without the record header; exactly the padding
 * class long.
 *   outer  u8 version=1, u8 suite=1, u8 pad_class, u8 flags=0, kem_key_id 8, kem_ct 1088
 *   AEAD(inner || zero padding) || tag 16
 * hdr (the AAD) = record header 48 || outer 1100 = 1148 bytes. */
#define SES_ENVELOPE1_OUTER_BYTES 1100u
#define SES_ENVELOPE1_HDR_BYTES (SES_RECORD_HEADER_BYTES + SES_ENVELOPE1_OUTER_BYTES)
#define SES_PAD_CLASS_CNT 5u
/* 8192, 16384, 32768, 65536, 81920 */
uint32_t ses_pad_class_bytes(uint8_t pad_class);
/* Least class that holds a body of `body_bytes` with (key_mode bit 0) or without keys;
 * ERR_TOO_LARGE. */
SES_CHECKED enum ses_err ses_pad_class_for(uint8_t *pad_class, size_t body_bytes, bool with_keys);
/* Largest body of any class. */
size_t ses_envelope1_body_max(bool with_keys);

struct ses_envelope1_outer {
    uint8_t pad_class;
    uint8_t kem_key_id[8]; /* first 8 bytes of BLAKE3(ek) */
    const uint8_t *kem_ct; /* view, 1088 bytes */
};
void ses_envelope1_outer_write(struct ses_writer *w, const struct ses_envelope1_outer *outer);
/* Checks version, suite, class, flags and that the payload has its class's length. */
SES_CHECKED enum ses_err ses_envelope1_outer_read(struct ses_envelope1_outer *outer,
                                                  const uint8_t *payload, size_t len);

#define SES_KEY_MODE_KEYS 1u        /* DSA pk and KEM pk of the sender follow */
#define SES_KEY_MODE_BODY_SIGNED 2u /* the signature covers the body */
struct ses_envelope1_inner {
    uint16_t type;
    struct ses_hash sender; /* the 32 bytes after 07 */
    uint64_t sent_ms;
    uint8_t uuid[16];
    uint8_t key_mode;
    const uint8_t *dsa_pk; /* views; NULL without SES_KEY_MODE_KEYS */
    const uint8_t *kem_pk;
    const uint8_t *signature;
    const uint8_t *body;
    uint32_t body_bytes;
};
/* Without the padding: the caller's zeros fill the class. Order: type u16, sender 32, sent_ms, uuid
 * 16, key_mode, [DSA pk, KEM pk], signature, u32 len, body. */
void ses_envelope1_inner_write(struct ses_writer *w, const struct ses_envelope1_inner *inner);
/* `bytes` is the opened plaintext; padding must be zero. The views point into it. */
SES_CHECKED enum ses_err ses_envelope1_inner_read(struct ses_envelope1_inner *inner,
                                                  const uint8_t *bytes, size_t len);

#endif
