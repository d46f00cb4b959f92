/* Ids and their texts. */
#include <string.h>

#include "crypto/crypto.h"

#define CHECK_BYTES 4u
#define CB58_BYTES_MAX 40u
_Static_assert(CB58_BYTES_MAX + CHECK_BYTES <= SES_BASE58_BYTES_MAX, "fits base58");
_Static_assert((CB58_BYTES_MAX + CHECK_BYTES) * 138 / 100 + 2 <= SES_CB58_TEXT_MAX, "text fits");
_Static_assert((20 + CHECK_BYTES) * 138 / 100 + 2 + 7 <= SES_ID_TEXT_MAX, "text fits");

/* The last four bytes of SHA-256, as in Avalanche and Lux. */
static void checksum(uint8_t out[CHECK_BYTES], const void *bytes, size_t len)
{
    struct ses_hash hash;
    ses_sha256(&hash, SES_PARTS(SES_PART(bytes, len)));
    memcpy(out, hash.bytes + sizeof hash.bytes - CHECK_BYTES, CHECK_BYTES);
}

enum ses_err ses_cb58_encode(char *out, const void *bytes, size_t len)
{
    uint8_t checked[CB58_BYTES_MAX + CHECK_BYTES];
    out[0] = 0;
    SES_REQUIRE(len <= CB58_BYTES_MAX, SES_ERR_TOO_LARGE);
    if (len > 0) {
        memcpy(checked, bytes, len);
    }
    checksum(checked + len, bytes, len);
    return ses_base58_encode(out, SES_CB58_TEXT_MAX, checked, len + CHECK_BYTES);
}

enum ses_err ses_cb58_decode(void *out, size_t len, const char *text)
{
    uint8_t checked[CB58_BYTES_MAX + CHECK_BYTES];
    uint8_t check[CHECK_BYTES];
    size_t got = 0;
    SES_REQUIRE(len <= CB58_BYTES_MAX, SES_ERR_TOO_LARGE);
    if (len > 0) {
        memset(out, 0, len);
    }
    const enum ses_err err = ses_base58_decode(checked, &got, sizeof checked, text);
    SES_REQUIRE(err == SES_OK && got == len + CHECK_BYTES, SES_ERR_MALFORMED);
    checksum(check, checked, len);
    SES_REQUIRE(memcmp(check, checked + len, CHECK_BYTES) == 0, SES_ERR_CHECKSUM);
    if (len > 0) {
        memcpy(out, checked, len);
    }
    return SES_OK;
}

void ses_account_of(struct ses_account *out, const struct ses_dsa_pk *pk)
{
    struct ses_hash hash;
    ses_sha256(&hash, SES_PARTS(SES_PART(pk->bytes, sizeof pk->bytes)));
    memcpy(out->bytes, hash.bytes, sizeof out->bytes);
}

/* The strict-PQ derivation of Lux: TupleHash-like fields, each with its length before it: name,
 * scheme version, chain id, key scheme 0x42 (ML-DSA-65), key length. */
void ses_node_id_of(struct ses_node_id *out, const struct ses_dsa_pk *pk)
{
    static const uint8_t name[] = {0x01, 0x50, 'N', 'O', 'D',  'E',  '_', 'I',
                                   'D',  '_',  'V', '1', 0x02, 0x01, 0x00};
    static const uint8_t chain[32] = {0};
    static const uint8_t scheme[] = {0x01, 0x08, 0x42, 0x02, 0x3d, 0x00};
    uint8_t digest[48];
    ses_shake256(digest, sizeof digest,
                 SES_PARTS(SES_PART(name, sizeof name), SES_PART(chain, sizeof chain),
                           SES_PART(scheme, sizeof scheme), SES_PART(pk->bytes, sizeof pk->bytes)));
    memcpy(out->bytes, digest, sizeof out->bytes);
}

static void prefixed_text(char *out, const char *prefix, const uint8_t id[20])
{
    char text[SES_CB58_TEXT_MAX];
    SES_ASSERT(ses_cb58_encode(text, id, 20) == SES_OK);
    const int len = snprintf(out, SES_ID_TEXT_MAX, "%s%s", prefix, text);
    SES_ASSERT(len > 0 && (size_t)len < SES_ID_TEXT_MAX);
}

static enum ses_err prefixed_parse(uint8_t id[20], const char *prefix, const char *text)
{
    memset(id, 0, 20);
    const size_t prefix_len = strlen(prefix);
    SES_REQUIRE(strncmp(text, prefix, prefix_len) == 0, SES_ERR_MALFORMED);
    return ses_cb58_decode(id, 20, text + prefix_len);
}

void ses_account_text(char *out, const struct ses_account *account)
{
    prefixed_text(out, "LUX-", account->bytes);
}

void ses_node_id_text(char *out, const struct ses_node_id *node_id)
{
    prefixed_text(out, "NodeID-", node_id->bytes);
}

enum ses_err ses_account_parse(struct ses_account *out, const char *text)
{
    return prefixed_parse(out->bytes, "LUX-", text);
}

enum ses_err ses_node_id_parse(struct ses_node_id *out, const char *text)
{
    return prefixed_parse(out->bytes, "NodeID-", text);
}

void ses_session_id_of(struct ses_session_id *out, const struct ses_kem_pk *kem,
                       const struct ses_dsa_pk *dsa)
{
    struct ses_hash hash;
    ses_blake2b_256(&hash, SES_PARTS(SES_PART(kem->bytes, sizeof kem->bytes),
                                     SES_PART(dsa->bytes, sizeof dsa->bytes)));
    out->bytes[0] = 0x07;
    memcpy(out->bytes + 1, hash.bytes, sizeof hash.bytes);
}

void ses_session_id_text(char *out, const struct ses_session_id *id)
{
    ses_hex_encode(out, id->bytes, sizeof id->bytes);
}

enum ses_err ses_session_id_parse(struct ses_session_id *out, const char *text,
                                  struct ses_note *note)
{
    const size_t len = strnlen(text, SES_SESSION_ID_TEXT);
    const enum ses_err err = ses_hex_decode(out->bytes, sizeof out->bytes, text);
    if (err == SES_OK && out->bytes[0] == 0x07) {
        return SES_OK;
    }
    if (err == SES_OK && out->bytes[0] == 0x05) {
        ses_note_set(note, "this is an identity of the older Session network (05, X25519), which a "
                           "quantum computer can break; ask the person for a Session ID that "
                           "begins with 07");
    } else if (err == SES_OK) {
        ses_note_set(note, "a Session ID begins with 07, this begins with %.2s", text);
    } else if (len != SES_SESSION_ID_TEXT - 1) {
        ses_note_set(note, "a Session ID has 66 hex characters, this has %s%zu; copy it whole",
                     len < SES_SESSION_ID_TEXT ? "" : "more than ",
                     len < SES_SESSION_ID_TEXT ? len : SES_SESSION_ID_TEXT - 1u);
    } else {
        ses_note_set(note, "a Session ID has only the characters 0-9 and a-f; copy it whole");
    }
    memset(out, 0, sizeof *out);
    return SES_ERR_MALFORMED;
}
