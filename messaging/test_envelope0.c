/* Envelope v0: round trip, layout, damage. */
#include <string.h>

#include "base/tap.h"
#include "messaging/messaging.h"

static void test_round_trip(void)
{
    uint8_t seed[32] = {1};
    uint8_t in[100];
    uint8_t sealed[SES_ENVELOPE0_OVERHEAD + sizeof in];
    uint8_t out[sizeof in];
    struct ses_identity *to = NULL;
    TAP_MUST(ses_identity_new(&to, seed) == SES_OK);
    ses_random_fill(tap_random(), in, sizeof in);
    for (size_t len = 0; len <= sizeof in; len += 50) {
        TAP_ERR(SES_OK, ses_seal0(sealed, &to->kem_pk, in, len, tap_random()));
        TAP_ERR(SES_OK, ses_open0(out, to, sealed, SES_ENVELOPE0_OVERHEAD + len));
        TAP_BYTES(in, out, len);
    }
    ses_identity_free(to);
}

/* The upstream layout, taken apart by hand: the KEM secret is the key, nothing is authenticated but
 * the ciphertext. */
static void test_layout(void)
{
    uint8_t seed[32] = {2};
    uint8_t sealed[SES_ENVELOPE0_OVERHEAD + 5];
    uint8_t out[5];
    struct ses_identity *to = NULL;
    struct ses_kem_ct ct;
    struct ses_nonce nonce;
    struct ses_secret32 secret;
    TAP_MUST(ses_identity_new(&to, seed) == SES_OK);
    TAP_MUST(ses_seal0(sealed, &to->kem_pk, "hello", 5, tap_random()) == SES_OK);
    memcpy(ct.bytes, sealed, 1088);
    memcpy(nonce.bytes, sealed + 1088, 24);
    TAP_ERR(SES_OK, ses_kem_decaps(&secret, to->kem, &ct));
    TAP_ERR(SES_OK, ses_aead_open(out, &secret, &nonce, NULL, 0, sealed + 1112, 5 + 16));
    TAP_BYTES("hello", out, 5);
    ses_identity_free(to);
}

static void test_damage(void)
{
    uint8_t seed[32] = {3};
    uint8_t other_seed[32] = {4};
    uint8_t sealed[SES_ENVELOPE0_OVERHEAD + 8];
    uint8_t out[8];
    struct ses_identity *to = NULL;
    struct ses_identity *other = NULL;
    TAP_MUST(ses_identity_new(&to, seed) == SES_OK);
    TAP_MUST(ses_identity_new(&other, other_seed) == SES_OK);
    TAP_MUST(ses_seal0(sealed, &to->kem_pk, "12345678", 8, tap_random()) == SES_OK);
    TAP_ERR(SES_ERR_OPEN, ses_open0(out, other, sealed, sizeof sealed));
    TAP_ERR(SES_ERR_OPEN, ses_open0(out, to, sealed, sizeof sealed - 1));
    TAP_ERR(SES_ERR_OPEN, ses_open0(out, to, sealed, SES_ENVELOPE0_OVERHEAD - 1));
    TAP_ERR(SES_ERR_OPEN, ses_open0(out, to, sealed, 0));
    for (size_t at = 0; at < sizeof sealed; at += 97) {
        memset(out, 0xAA, sizeof out);
        sealed[at] ^= 0x10;
        TAP_ERR(SES_ERR_OPEN, ses_open0(out, to, sealed, sizeof sealed));
        TAP_BYTES("\0\0\0\0\0\0\0\0", out, sizeof out);
        sealed[at] ^= 0x10;
    }
    ses_identity_free(to);
    ses_identity_free(other);
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    TAP_RUN(test_round_trip);
    TAP_RUN(test_layout);
    TAP_RUN(test_damage);
    return tap_done();
}
