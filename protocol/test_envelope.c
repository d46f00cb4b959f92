#include "protocol/test_samples.h"

#include "base/tap.h"

static uint8_t payload[81920];
static uint8_t plain[81920];

static void test_sizes(void)
{
    static const uint32_t want[] = {8192, 16384, 32768, 65536, 81920};
    for (uint8_t i = 0; i < SES_PAD_CLASS_CNT; i++) {
        TAP_EQ(want[i], ses_pad_class_bytes(i));
        TAP_OK(want[i] <= SES_PAYLOAD_MAX);
    }
    TAP_EQ(81920 - 1100 - 16 - 3372, ses_envelope1_body_max(false));
    TAP_EQ(81920 - 1100 - 16 - 3372 - 3136, ses_envelope1_body_max(true));
}

static uint8_t class_of(size_t body_bytes, bool with_keys)
{
    uint8_t pad_class = 99;
    TAP_ERR(SES_OK, ses_pad_class_for(&pad_class, body_bytes, with_keys));
    return pad_class;
}

static void test_least_class(void)
{
    uint8_t pad_class;
    TAP_EQ(0, class_of(0, true));
    TAP_EQ(0, class_of(3704, false));
    TAP_EQ(1, class_of(3705, false));
    TAP_EQ(0, class_of(568, true));
    TAP_EQ(1, class_of(569, true));
    TAP_EQ(4, class_of(ses_envelope1_body_max(true), true));
    TAP_ERR(SES_ERR_TOO_LARGE,
            ses_pad_class_for(&pad_class, ses_envelope1_body_max(true) + 1, true));
    TAP_ERR(SES_ERR_TOO_LARGE, ses_pad_class_for(&pad_class, SIZE_MAX, false));
}

static enum ses_err outer_with(size_t at, uint8_t value, size_t len)
{
    struct ses_envelope1_outer outer;
    struct ses_writer w;
    ses_writer_init(&w, payload, sizeof payload);
    sample_envelope1_outer(&w);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    payload[at] = value;
    const enum ses_err err = ses_envelope1_outer_read(&outer, payload, len);
    TAP_OK(err == SES_OK ? outer.kem_ct == payload + 12 : outer.kem_ct == NULL);
    return err;
}

static void test_outer(void)
{
    TAP_ERR(SES_OK, outer_with(0, 1, 8192));
    TAP_ERR(SES_ERR_VERSION, outer_with(0, 2, 8192));
    TAP_ERR(SES_ERR_VERSION, outer_with(1, 2, 8192));
    TAP_ERR(SES_ERR_MALFORMED, outer_with(2, 5, 8192));
    TAP_ERR(SES_ERR_MALFORMED, outer_with(2, 1, 8192)); /* another class, another length */
    TAP_ERR(SES_OK, outer_with(2, 1, 16384));
    TAP_ERR(SES_ERR_MALFORMED, outer_with(3, 1, 8192)); /* flags */
    TAP_ERR(SES_ERR_MALFORMED, outer_with(0, 1, 8191));
    TAP_ERR(SES_ERR_MALFORMED, outer_with(0, 1, 8193));
    TAP_ERR(SES_ERR_TRUNCATED, outer_with(0, 1, 1099));
}

/* A body that just fits the class fills it to the last byte. */
static void test_inner_fills_class(void)
{
    static uint8_t keys[SES_DSA_SIG_BYTES];
    for (unsigned mode = 0; mode < 4; mode++) {
        const bool with_keys = mode & SES_KEY_MODE_KEYS;
        const size_t body_bytes = ses_envelope1_body_max(with_keys);
        struct ses_envelope1_inner inner = {.type = 7, .key_mode = (uint8_t)mode}, got;
        struct ses_writer w;
        inner.dsa_pk = keys;
        inner.kem_pk = keys;
        inner.signature = keys;
        inner.body = payload;
        inner.body_bytes = (uint32_t)body_bytes;
        ses_writer_init(&w, plain, sizeof plain);
        ses_envelope1_inner_write(&w, &inner);
        TAP_ERR(SES_OK, ses_writer_done(&w));
        TAP_EQ(81920 - 1100 - 16, w.len);
        TAP_ERR(SES_OK, ses_envelope1_inner_read(&got, plain, w.len));
        TAP_EQ(body_bytes, got.body_bytes);
        TAP_OK((got.dsa_pk != NULL) == with_keys && (got.kem_pk != NULL) == with_keys);
        TAP_OK(got.body == plain + w.len - body_bytes);
    }
}

static void test_inner_rejects(void)
{
    struct ses_envelope1_inner inner;
    struct ses_writer w;
    ses_writer_init(&w, plain, sizeof plain);
    sample_envelope1_inner(&w);
    const size_t body_len_at = 2 + 32 + 8 + 16 + 1 + SES_DSA_SIG_BYTES;
    TAP_ERR(SES_OK, ses_envelope1_inner_read(&inner, plain, w.len));
    TAP_EQ(7, inner.body_bytes);
    plain[w.len - 1] = 1; /* padding */
    TAP_ERR(SES_ERR_MALFORMED, ses_envelope1_inner_read(&inner, plain, w.len));
    TAP_OK(inner.body == NULL);
    plain[w.len - 1] = 0;
    plain[58] = 4; /* key_mode */
    TAP_ERR(SES_ERR_MALFORMED, ses_envelope1_inner_read(&inner, plain, w.len));
    plain[58] = 1; /* keys that are not there */
    TAP_ERR(SES_ERR_TRUNCATED, ses_envelope1_inner_read(&inner, plain, w.len));
    plain[58] = 2;
    ses_put_u32(plain + body_len_at, 11);
    TAP_ERR(SES_ERR_TRUNCATED, ses_envelope1_inner_read(&inner, plain, w.len));
    ses_put_u32(plain + body_len_at, UINT32_MAX);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_envelope1_inner_read(&inner, plain, w.len));
    inner = (struct ses_envelope1_inner){.key_mode = 4};
    ses_writer_init(&w, plain, sizeof plain);
    ses_envelope1_inner_write(&w, &inner);
    TAP_ERR(SES_ERR_INVALID, ses_writer_done(&w));
}

int main(void)
{
    TAP_RUN(test_sizes);
    TAP_RUN(test_least_class);
    TAP_RUN(test_outer);
    TAP_RUN(test_inner_fills_class);
    TAP_RUN(test_inner_rejects);
    return tap_done();
}
