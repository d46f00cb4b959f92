#include "crypto/test_vectors.h"

static void verify_case(const json_t *group, const json_t *test)
{
    struct ses_ed25519_pk pk;
    struct ses_ed25519_sig sig;
    size_t len;
    if (strlen(member_text(test, "sig")) != 2 * sizeof sig) {
        VECTOR_OK(test, !member_valid(test)); /* our type has one length */
        return;
    }
    member_fixed(json_object_get(group, "publicKey"), "pk", &pk, sizeof pk);
    member_fixed(test, "sig", &sig, sizeof sig);
    uint8_t *message = member_bytes(test, "msg", &len);
    const enum ses_err err = ses_ed25519_verify(&pk, message, len, &sig);
    VECTOR_OK(test, err == (member_valid(test) ? SES_OK : SES_ERR_SIGNATURE));
    ses_free(message);
}

static void test_wycheproof(void)
{
    wycheproof_run("wycheproof/ed25519_test.json", verify_case);
}

/* RFC 8032 section 7.1, test 2. */
static void test_rfc(void)
{
    struct ses_ed25519_seed seed;
    struct ses_ed25519_pk pk;
    struct ses_ed25519_sig sig;
    uint8_t want[64];
    TAP_MUST(ses_hex_decode(&seed, 32,
                            "4ccd089b28ff96da9db6c346ec114e0f"
                            "5b8a319f35aba624da8cf6ed4fb8a6fb") == SES_OK);
    ses_ed25519_pk(&pk, &seed);
    TAP_MUST(ses_hex_decode(want, 32,
                            "3d4017c3e843895a92b70aa74d1b7ebc"
                            "9c982ccf2ec4968cc0cd55f12af4660c") == SES_OK);
    TAP_BYTES(want, pk.bytes, 32);
    ses_ed25519_sign(&sig, &seed, "\x72", 1);
    TAP_MUST(ses_hex_decode(want, 64,
                            "92a009a9f0d4cab8720e820b5f642540"
                            "a2b27b5416503f8fb3762223ebdb69da"
                            "085ac1e43e15996e458f3613d0f11d8c"
                            "387b2eaeb4302aeeb00d291612bb0c00") == SES_OK);
    TAP_BYTES(want, sig.bytes, 64);
    TAP_ERR(SES_OK, ses_ed25519_verify(&pk, "\x72", 1, &sig));
    TAP_ERR(SES_ERR_SIGNATURE, ses_ed25519_verify(&pk, "\x73", 1, &sig));
}

int main(void)
{
    TAP_RUN(test_wycheproof);
    TAP_RUN(test_rfc);
    return tap_done();
}
