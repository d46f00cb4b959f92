#include "crypto/test_vectors.h"

/* Randomness that is what a vector says. */
static void fixed_fill(void *ctx, void *out, size_t len)
{
    TAP_MUST(len == 32);
    memcpy(out, ctx, len);
}

static void keygen_case(const json_t *group, const json_t *test)
{
    (void)group;
    struct ses_kem_seed seed;
    struct ses_kem_pk want;
    struct ses_kem_pk got;
    struct ses_kem_private *key;
    member_fixed(test, "seed", &seed, sizeof seed);
    member_fixed(test, "ek", &want, sizeof want);
    TAP_MUST(ses_kem_private_new(&key, &seed) == SES_OK);
    ses_kem_private_pk(key, &got);
    VECTOR_OK(test, memcmp(&want, &got, sizeof got) == 0);
    ses_kem_private_free(key);
    size_t len;
    uint8_t *dk = member_bytes(test, "dk", &len);
    TAP_MUST(ses_kem_private_from_expanded(&key, dk, len) == SES_OK);
    ses_kem_private_pk(key, &got);
    VECTOR_OK(test, memcmp(&want, &got, sizeof got) == 0);
    ses_kem_private_free(key);
    ses_free(dk);
}

static void test_keygen(void)
{
    wycheproof_run("wycheproof/mlkem_768_keygen_seed_test.json", keygen_case);
}

static void encaps_case(const json_t *group, const json_t *test)
{
    (void)group;
    struct ses_kem_pk pk;
    struct ses_kem_public *key;
    struct ses_kem_ct ct;
    struct ses_secret32 secret;
    uint8_t m[32];
    const struct ses_random random = {.ctx = m, .fill = fixed_fill};
    if (strlen(member_text(test, "ek")) != 2 * sizeof pk) {
        VECTOR_OK(test, !member_valid(test)); /* our type has one length */
        return;
    }
    member_fixed(test, "ek", &pk, sizeof pk);
    member_fixed(test, "m", m, sizeof m);
    const enum ses_err err = ses_kem_public_new(&key, &pk);
    VECTOR_OK(test, err == (member_valid(test) ? SES_OK : SES_ERR_MALFORMED));
    if (err == SES_OK) {
        struct ses_kem_ct want_ct;
        struct ses_secret32 want_secret;
        TAP_ERR(SES_OK, ses_kem_encaps(&ct, &secret, key, &random));
        member_fixed(test, "c", &want_ct, sizeof want_ct);
        member_fixed(test, "K", &want_secret, sizeof want_secret);
        VECTOR_OK(test, memcmp(&want_ct, &ct, sizeof ct) == 0);
        VECTOR_OK(test, ses_equal(&want_secret, &secret, sizeof secret));
    }
    ses_kem_public_free(key);
}

static void test_encaps(void)
{
    wycheproof_run("wycheproof/mlkem_768_encaps_test.json", encaps_case);
}

static void check_decaps(const json_t *test, const struct ses_kem_private *key)
{
    struct ses_kem_ct ct;
    struct ses_secret32 want;
    struct ses_secret32 got;
    member_fixed(test, "c", &ct, sizeof ct);
    member_fixed(test, "K", &want, sizeof want);
    TAP_ERR(SES_OK, ses_kem_decaps(&got, key, &ct));
    VECTOR_OK(test, member_valid(test) && ses_equal(&want, &got, sizeof got));
}

static void decaps_case(const json_t *group, const json_t *test)
{
    (void)group;
    struct ses_kem_seed seed;
    struct ses_kem_private *key;
    if (strlen(member_text(test, "seed")) != 2 * sizeof seed ||
        strlen(member_text(test, "c")) != 2 * SES_KEM_CT_BYTES) {
        VECTOR_OK(test, !member_valid(test)); /* our types have one length */
        return;
    }
    member_fixed(test, "seed", &seed, sizeof seed);
    TAP_MUST(ses_kem_private_new(&key, &seed) == SES_OK);
    check_decaps(test, key);
    ses_kem_private_free(key);
}

static void test_decaps(void)
{
    wycheproof_run("wycheproof/mlkem_768_test.json", decaps_case);
}

static void expanded_case(const json_t *group, const json_t *test)
{
    (void)group;
    size_t len;
    struct ses_kem_private *key;
    uint8_t *dk = member_bytes(test, "dk", &len);
    const enum ses_err err = ses_kem_private_from_expanded(&key, dk, len);
    if (err == SES_OK && strlen(member_text(test, "c")) == 2 * SES_KEM_CT_BYTES) {
        check_decaps(test, key);
    } else {
        VECTOR_OK(test, !member_valid(test));
    }
    ses_kem_private_free(key);
    ses_free(dk);
}

static void test_expanded(void)
{
    wycheproof_run("wycheproof/mlkem_768_semi_expanded_decaps_test.json", expanded_case);
}

static void test_roundtrip(void)
{
    struct ses_kem_seed seed;
    struct ses_kem_private *key;
    struct ses_kem_public *public;
    struct ses_kem_pk pk;
    struct ses_kem_ct ct;
    struct ses_secret32 sent;
    struct ses_secret32 got;
    ses_random_fill(tap_random(), &seed, sizeof seed);
    TAP_MUST(ses_kem_private_new(&key, &seed) == SES_OK);
    ses_kem_private_pk(key, &pk);
    TAP_MUST(ses_kem_public_new(&public, &pk) == SES_OK);
    for (unsigned i = 0; i < 20; i++) {
        TAP_ERR(SES_OK, ses_kem_encaps(&ct, &sent, public, tap_random()));
        TAP_ERR(SES_OK, ses_kem_decaps(&got, key, &ct));
        TAP_BYTES(sent.bytes, got.bytes, 32);
        ct.bytes[ses_random_below(tap_random(), sizeof ct)] ^= 1;
        TAP_ERR(SES_OK, ses_kem_decaps(&got, key, &ct)); /* implicit rejection */
        TAP_OK(!ses_equal(sent.bytes, got.bytes, 32));
    }
    ses_kem_public_free(public);
    ses_kem_private_free(key);
    ses_kem_public_free(NULL);
    ses_kem_private_free(NULL);
}

/* FIPS 203 section 7.2: every coefficient must be below 3329. */
static void test_modulus(void)
{
    struct ses_kem_seed seed = {{1}};
    struct ses_kem_private *key;
    struct ses_kem_public *public;
    struct ses_kem_pk pk;
    TAP_MUST(ses_kem_private_new(&key, &seed) == SES_OK);
    ses_kem_private_pk(key, &pk);
    for (size_t at = 0; at + 3 <= 1152; at += 3) {
        struct ses_kem_pk bad = pk;
        bad.bytes[at] = 0x01; /* 0xd01 = 3329 */
        bad.bytes[at + 1] = (uint8_t)((bad.bytes[at + 1] & 0xf0) | 0x0d);
        TAP_ERR(SES_ERR_MALFORMED, ses_kem_public_new(&public, &bad));
        bad.bytes[at] = 0x00; /* 3328 is the last one allowed */
        TAP_ERR(SES_OK, ses_kem_public_new(&public, &bad));
        ses_kem_public_free(public);
    }
    ses_kem_private_free(key);
}

int main(void)
{
    TAP_RUN(test_keygen);
    TAP_RUN(test_encaps);
    TAP_RUN(test_decaps);
    TAP_RUN(test_expanded);
    TAP_RUN(test_roundtrip);
    TAP_RUN(test_modulus);
    return tap_done();
}
