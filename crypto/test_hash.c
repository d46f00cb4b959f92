#include "crypto/test_vectors.h"

static void check_hex(const char *want, const void *got, size_t len)
{
    char text[129];
    ses_hex_encode(text, got, len);
    TAP_TEXT(want, text);
}

/* FIPS 180-4, FIPS 202 and RFC 7693 on "abc", whole and in parts. */
static void test_known(void)
{
    const struct ses_part cut[] = {{"a", 1}, {NULL, 0}, {"bc", 2}};
    struct ses_hash hash;
    struct ses_hash64 long_hash;
    ses_sha256(&hash, cut, 3);
    check_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", &hash, 32);
    ses_sha3_256(&hash, cut, 3);
    check_hex("3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532", &hash, 32);
    ses_sha3_512(&long_hash, cut, 3);
    check_hex("b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
              "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
              &long_hash, 64);
    ses_shake256(&long_hash, 64, NULL, 0);
    check_hex("46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f"
              "d75dc4ddd8c0f200cb05019d67b592f6fc821c49479ab48640292eacb3b7c4be",
              &long_hash, 64);
    ses_blake2b_256(&hash, cut, 3);
    check_hex("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319", &hash, 32);
    ses_sha256(&hash, NULL, 0);
    check_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &hash, 32);
}

/* A context that stays with its thread must forget what it hashed. */
static void test_reuse(void)
{
    uint8_t bytes[500];
    ses_random_fill(tap_random(), bytes, sizeof bytes);
    for (unsigned i = 0; i < 200; i++) {
        struct ses_hash first;
        struct ses_hash second;
        uint8_t xof[100];
        const size_t len = ses_random_below(tap_random(), sizeof bytes);
        ses_sha256(&first, SES_PARTS(SES_PART(bytes, len)));
        ses_shake256(xof, ses_random_below(tap_random(), sizeof xof),
                     SES_PARTS(SES_PART(bytes, len)));
        ses_sha256(&second,
                   SES_PARTS(SES_PART(bytes, len / 2), SES_PART(bytes + len / 2, len - len / 2)));
        TAP_BYTES(first.bytes, second.bytes, 32);
    }
}

static void kmac_case(const json_t *group, const json_t *test)
{
    uint8_t tag[64];
    size_t key_len;
    size_t message_len;
    size_t want_len;
    uint8_t *key = member_bytes(test, "key", &key_len);
    uint8_t *message = member_bytes(test, "msg", &message_len);
    uint8_t *want = member_bytes(test, "tag", &want_len);
    const size_t tag_len = (size_t)json_integer_value(json_object_get(group, "tagSize")) / 8;
    TAP_MUST(tag_len <= sizeof tag && want_len <= tag_len);
    ses_kmac256(tag, tag_len, key, key_len, SES_PARTS(SES_PART(message, message_len)), NULL);
    VECTOR_OK(test, ses_equal(tag, want, want_len) == member_valid(test));
    ses_free(key);
    ses_free(message);
    ses_free(want);
}

static void test_kmac_wycheproof(void)
{
    wycheproof_run("wycheproof/kmac256_no_customization_test.json", kmac_case);
}

/* NIST's KMAC samples 4 and 6: key 40..5f, "My Tagged Application". */
static void test_kmac_samples(void)
{
    uint8_t key[32];
    uint8_t data[200];
    uint8_t tag[64];
    for (unsigned i = 0; i < 32; i++) {
        key[i] = (uint8_t)(0x40 + i);
    }
    for (unsigned i = 0; i < 200; i++) {
        data[i] = (uint8_t)i;
    }
    ses_kmac256(tag, 64, key, 32, SES_PARTS(SES_PART(data, 4)), "My Tagged Application");
    check_hex("20c570c31346f703c9ac36c61c03cb64c3970d0cfc787e9b79599d273a68d2f7"
              "f69d4cc3de9d104a351689f27cf6f5951f0103f33f4f24871024d9c27773a8dd",
              tag, 64);
    ses_kmac256(tag, 64, key, 32, SES_PARTS(SES_PART(data, 100), SES_PART(data + 100, 100)),
                "My Tagged Application");
    check_hex("b58618f71f92e1d56c1b8c55ddd7cd188b97b4ca4d99831eb2699a837da2e4d9"
              "70fbacfde50033aea585f1a2708510c32d07880801bd182898fe476876fc8965",
              tag, 64);
}

int main(void)
{
    TAP_RUN(test_known);
    TAP_RUN(test_reuse);
    TAP_RUN(test_kmac_wycheproof);
    TAP_RUN(test_kmac_samples);
    return tap_done();
}
