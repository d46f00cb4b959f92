#include "crypto/test_vectors.h"

#define TAG SES_AEAD_TAG_BYTES
#define LEN_MAX 5000u

typedef enum ses_err crypt(uint8_t *out, const struct ses_secret32 *key,
                           const struct ses_nonce *nonce, const struct ses_part *aad,
                           const void *in, size_t len);

static enum ses_err seal_public(uint8_t *out, const struct ses_secret32 *key,
                                const struct ses_nonce *nonce, const struct ses_part *aad,
                                const void *in, size_t len)
{
    return ses_aead_seal(out, key, nonce, aad->bytes, aad->len, in, len);
}

static enum ses_err open_public(uint8_t *out, const struct ses_secret32 *key,
                                const struct ses_nonce *nonce, const struct ses_part *aad,
                                const void *in, size_t len)
{
    return ses_aead_open(out, key, nonce, aad->bytes, aad->len, in, len);
}

static const struct {
    crypt *seal;
    crypt *open;
} WAYS[] = {{seal_public, open_public},
            {ses_aead_seal_small, ses_aead_open_small},
            {ses_aead_seal_large, ses_aead_open_large}};

/* A vector's bytes; `sealed` is ct || tag. */
struct vector {
    uint8_t *aad;
    uint8_t *text;
    uint8_t *sealed;
    size_t aad_len;
    size_t text_len;
    size_t sealed_len;
};

static void vector_read(struct vector *v, const json_t *test)
{
    size_t tag_len;
    v->aad = member_bytes(test, "aad", &v->aad_len);
    v->text = member_bytes(test, "msg", &v->text_len);
    uint8_t *ct = member_bytes(test, "ct", &v->sealed_len);
    uint8_t *tag = member_bytes(test, "tag", &tag_len);
    v->sealed = ses_alloc(v->sealed_len + tag_len, 1);
    TAP_MUST(v->sealed != NULL && tag_len == TAG && v->sealed_len == v->text_len);
    memcpy(v->sealed, ct, v->sealed_len);
    memcpy(v->sealed + v->sealed_len, tag, tag_len);
    v->sealed_len += tag_len;
    ses_free(ct);
    ses_free(tag);
}

static void vector_free(struct vector *v)
{
    ses_free(v->aad);
    ses_free(v->text);
    ses_free(v->sealed);
}

static void xchacha_case(const json_t *group, const json_t *test)
{
    struct vector v;
    struct ses_secret32 key;
    struct ses_nonce nonce;
    if (json_integer_value(json_object_get(group, "ivSize")) != 8 * sizeof nonce) {
        VECTOR_OK(test, !member_valid(test)); /* our type has one length */
        return;
    }
    member_fixed(test, "key", &key, sizeof key);
    member_fixed(test, "iv", &nonce, sizeof nonce);
    vector_read(&v, test);
    const struct ses_part aad = {v.aad, v.aad_len};
    uint8_t *out = ses_alloc(v.sealed_len, 1);
    TAP_MUST(out != NULL);
    for (size_t i = 0; i < SES_COUNT(WAYS); i++) {
        const enum ses_err err = WAYS[i].open(out, &key, &nonce, &aad, v.sealed, v.sealed_len);
        VECTOR_OK(test, err == (member_valid(test) ? SES_OK : SES_ERR_OPEN));
        if (err == SES_OK) {
            TAP_BYTES(v.text, out, v.text_len);
            TAP_ERR(SES_OK, WAYS[i].seal(out, &key, &nonce, &aad, v.text, v.text_len));
            TAP_BYTES(v.sealed, out, v.sealed_len);
        }
    }
    ses_free(out);
    vector_free(&v);
}

static void test_xchacha(void)
{
    wycheproof_run("wycheproof/xchacha20_poly1305_test.json", xchacha_case);
}

static void chacha_case(const json_t *group, const json_t *test)
{
    struct vector v;
    uint8_t key[32];
    uint8_t nonce[12];
    if (json_integer_value(json_object_get(group, "ivSize")) != 8 * sizeof nonce) {
        VECTOR_OK(test, !member_valid(test));
        return;
    }
    member_fixed(test, "key", key, sizeof key);
    member_fixed(test, "iv", nonce, sizeof nonce);
    vector_read(&v, test);
    const struct ses_part aad = {v.aad, v.aad_len};
    uint8_t *out = ses_alloc(v.sealed_len, 1);
    TAP_MUST(out != NULL);
    const enum ses_err err = ses_chacha_open(out, key, nonce, &aad, v.sealed, v.sealed_len);
    VECTOR_OK(test, err == (member_valid(test) ? SES_OK : SES_ERR_OPEN));
    if (err == SES_OK) {
        TAP_BYTES(v.text, out, v.text_len);
        TAP_ERR(SES_OK, ses_chacha_seal(out, key, nonce, &aad, v.text, v.text_len));
        TAP_BYTES(v.sealed, out, v.sealed_len);
    }
    ses_free(out);
    vector_free(&v);
}

static void test_chacha(void)
{
    wycheproof_run("wycheproof/chacha20_poly1305_test.json", chacha_case);
}

/* The same bytes whichever library made them, also in place; damage is found by both. */
static void test_ways_agree(void)
{
    static uint8_t text[LEN_MAX];
    static uint8_t aad_bytes[300];
    static uint8_t want[LEN_MAX + TAG];
    static uint8_t got[LEN_MAX + TAG];
    static const uint8_t zeros[LEN_MAX];
    for (unsigned round = 0; round < 400; round++) {
        struct ses_secret32 key;
        struct ses_nonce nonce;
        const size_t len = ses_random_below(tap_random(), round % 2 == 0 ? 600 : LEN_MAX);
        ses_random_fill(tap_random(), &key, sizeof key);
        ses_random_fill(tap_random(), &nonce, sizeof nonce);
        ses_random_fill(tap_random(), text, sizeof text);
        ses_random_fill(tap_random(), aad_bytes, sizeof aad_bytes);
        const struct ses_part aad = {aad_bytes, ses_random_below(tap_random(), 300)};
        TAP_ERR(SES_OK, ses_aead_seal_small(want, &key, &nonce, &aad, text, len));
        const size_t at = ses_random_below(tap_random(), len + TAG);
        for (size_t i = 0; i < SES_COUNT(WAYS); i++) {
            TAP_ERR(SES_OK, WAYS[i].seal(got, &key, &nonce, &aad, text, len));
            TAP_BYTES(want, got, len + TAG);
            memcpy(got, text, len);
            TAP_ERR(SES_OK, WAYS[i].seal(got, &key, &nonce, &aad, got, len));
            TAP_BYTES(want, got, len + TAG);
            TAP_ERR(SES_OK, WAYS[i].open(got, &key, &nonce, &aad, got, len + TAG));
            TAP_BYTES(text, got, len);
            memcpy(got, want, len + TAG);
            got[at] ^= 0x10;
            TAP_ERR(SES_ERR_OPEN, WAYS[i].open(got, &key, &nonce, &aad, got, len + TAG));
            TAP_BYTES(zeros, got, len);
            const struct ses_part other = {aad_bytes, aad.len == 0 ? 1 : aad.len - 1};
            TAP_ERR(SES_ERR_OPEN, WAYS[i].open(got, &key, &nonce, &other, want, len + TAG));
        }
    }
}

static void test_short(void)
{
    const struct ses_secret32 key = {{1}};
    const struct ses_nonce nonce = {{2}};
    const struct ses_part none = {NULL, 0};
    uint8_t sealed[TAG];
    for (size_t i = 0; i < SES_COUNT(WAYS); i++) {
        TAP_ERR(SES_OK, WAYS[i].seal(sealed, &key, &nonce, &none, NULL, 0));
        TAP_ERR(SES_OK, WAYS[i].open(NULL, &key, &nonce, &none, sealed, TAG));
        for (size_t len = 0; len < TAG; len++) {
            TAP_ERR(SES_ERR_OPEN, WAYS[i].open(NULL, &key, &nonce, &none, sealed, len));
        }
    }
}

int main(void)
{
    TAP_RUN(test_xchacha);
    TAP_RUN(test_chacha);
    TAP_RUN(test_ways_agree);
    TAP_RUN(test_short);
    return tap_done();
}
