#include <string.h>

#include "network/address.h"

#define MULTIHASH_IDENTITY 0x00u
#define MULTIHASH_SHA256 0x12u
#define CODEC_LIBP2P_KEY 0x72u
#define PEER_ID_BASE32_MAX 80u

void ses_peer_key_write(struct ses_writer *w, const struct ses_ed25519_pk *pk)
{
    static const uint8_t head[4] = {0x08, SES_PEER_KEY_ED25519, 0x12, 32};
    ses_write_bytes(w, head, sizeof head);
    ses_write_bytes(w, pk->bytes, sizeof pk->bytes);
}

enum ses_err ses_peer_key_read(struct ses_peer_key *out, const uint8_t *pb, size_t len)
{
    struct ses_reader r;
    ses_reader_init(&r, pb, len);
    ses_reader_check(&r, ses_read_u8(&r) == 0x08, SES_ERR_MALFORMED);
    const uint64_t type = ses_read_varint(&r);
    ses_reader_check(&r, type <= SES_PEER_KEY_ECDSA, SES_ERR_MALFORMED);
    ses_reader_check(&r, ses_read_u8(&r) == 0x12, SES_ERR_MALFORMED);
    const uint64_t data_len = ses_read_varint(&r);
    ses_reader_check(&r, data_len <= SES_PEER_KEY_PB_MAX, SES_ERR_TOO_LARGE);
    const uint8_t *data = ses_read_view(&r, (size_t)data_len);
    *out = (struct ses_peer_key){0};
    SES_TRY(ses_reader_done(&r));
    SES_REQUIRE(type != SES_PEER_KEY_ED25519 || data_len == 32, SES_ERR_MALFORMED);
    *out = (struct ses_peer_key){
        .type = (enum ses_peer_key_type)type, .data = data, .len = (size_t)data_len};
    return SES_OK;
}

void ses_peer_id_of_pb(struct ses_peer_id *out, const uint8_t *pb, size_t len)
{
    *out = (struct ses_peer_id){0};
    if (len <= sizeof out->bytes - 2) {
        out->bytes[0] = MULTIHASH_IDENTITY;
        out->bytes[1] = (uint8_t)len;
        memcpy(out->bytes + 2, pb, len);
        out->len = (uint8_t)(2 + len);
        return;
    }
    struct ses_hash digest;
    ses_sha256(&digest, SES_PARTS(SES_PART(pb, len)));
    out->bytes[0] = MULTIHASH_SHA256;
    out->bytes[1] = sizeof digest.bytes;
    memcpy(out->bytes + 2, digest.bytes, sizeof digest.bytes);
    out->len = 2 + sizeof digest.bytes;
}

void ses_peer_id_of(struct ses_peer_id *out, const struct ses_ed25519_pk *pk)
{
    uint8_t pb[SES_PEER_KEY_ED25519_BYTES];
    struct ses_writer w;
    ses_writer_init(&w, pb, sizeof pb);
    ses_peer_key_write(&w, pk);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == sizeof pb);
    ses_peer_id_of_pb(out, pb, sizeof pb);
}

enum ses_err ses_peer_id_read(struct ses_peer_id *out, const uint8_t *bytes, size_t len)
{
    *out = (struct ses_peer_id){0};
    SES_REQUIRE(len >= 2 && len <= sizeof out->bytes && bytes[1] == len - 2, SES_ERR_MALFORMED);
    if (bytes[0] == MULTIHASH_IDENTITY) {
        struct ses_peer_key key;
        SES_TRY(ses_peer_key_read(&key, bytes + 2, len - 2));
    } else {
        SES_REQUIRE(bytes[0] == MULTIHASH_SHA256 && bytes[1] == 32, SES_ERR_MALFORMED);
    }
    memcpy(out->bytes, bytes, len);
    out->len = (uint8_t)len;
    return SES_OK;
}

void ses_peer_id_text(char *out, const struct ses_peer_id *id)
{
    const enum ses_err err = ses_base58_encode(out, SES_PEER_ID_TEXT_MAX, id->bytes, id->len);
    SES_ASSERT(err == SES_OK);
}

static int base32_digit(char c)
{
    if (c >= 'a' && c <= 'z') {
        return c - 'a';
    }
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

/* RFC 4648 lower case without padding; the bits left over must be zero. */
static enum ses_err base32_decode(uint8_t *out, size_t *len, size_t cap, const char *text)
{
    uint32_t bits = 0;
    unsigned bit_cnt = 0;
    *len = 0;
    for (const char *at = text; *at != '\0'; at++) {
        const int digit = base32_digit(*at);
        SES_REQUIRE(digit >= 0, SES_ERR_MALFORMED);
        bits = (bits << 5 | (uint32_t)digit) & 0xfff;
        bit_cnt += 5;
        if (bit_cnt >= 8) {
            bit_cnt -= 8;
            SES_REQUIRE(*len < cap, SES_ERR_TOO_LARGE);
            out[(*len)++] = (uint8_t)(bits >> bit_cnt);
        }
    }
    SES_REQUIRE(bit_cnt < 5 && (bits & ((1u << bit_cnt) - 1)) == 0, SES_ERR_MALFORMED);
    return SES_OK;
}

static enum ses_err cid_parse(struct ses_peer_id *out, const char *text)
{
    uint8_t bytes[sizeof out->bytes + 2];
    size_t len = 0;
    SES_TRY(base32_decode(bytes, &len, sizeof bytes, text));
    SES_REQUIRE(len > 2 && bytes[0] == 1 && bytes[1] == CODEC_LIBP2P_KEY, SES_ERR_MALFORMED);
    return ses_peer_id_read(out, bytes + 2, len - 2);
}

enum ses_err ses_peer_id_parse(struct ses_peer_id *out, const char *text)
{
    *out = (struct ses_peer_id){0};
    SES_REQUIRE(strlen(text) < PEER_ID_BASE32_MAX, SES_ERR_TOO_LARGE);
    if (text[0] == 'b') {
        return cid_parse(out, text + 1);
    }
    uint8_t bytes[sizeof out->bytes];
    size_t len = 0;
    SES_TRY(ses_base58_decode(bytes, &len, sizeof bytes, text));
    return ses_peer_id_read(out, bytes, len);
}

bool ses_peer_id_equal(const struct ses_peer_id *a, const struct ses_peer_id *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}
