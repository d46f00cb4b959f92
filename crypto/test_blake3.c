#include "crypto/test_vectors.h"

#define INPUT_MAX 102400u
#define XOF_MAX 131u

static uint8_t input[INPUT_MAX];

static void input_init(void)
{
    for (size_t i = 0; i < sizeof input; i++) {
        input[i] = (uint8_t)(i % 251);
    }
}

static void run_mode(const struct ses_blake3 *start, const json_t *test, const char *member,
                     size_t len)
{
    uint8_t want[XOF_MAX];
    uint8_t got[XOF_MAX];
    struct ses_hash hash;
    struct ses_blake3 b = *start;
    member_fixed(test, member, want, sizeof want);
    ses_blake3_update(&b, input, len);
    ses_blake3_final_xof(&b, got, sizeof got);
    TAP_BYTES(want, got, sizeof got);
    ses_blake3_final(&b, &hash);
    TAP_BYTES(want, hash.bytes, sizeof hash.bytes);
    b = *start; /* once more in pieces */
    for (size_t at = 0; at < len;) {
        const size_t rest = len - at;
        const size_t piece = 1 + ses_random_below(tap_random(), rest < 20000 ? rest : 20000);
        ses_blake3_update(&b, input + at, piece);
        at += piece;
    }
    ses_blake3_final_xof(&b, got, sizeof got);
    TAP_BYTES(want, got, sizeof got);
}

static void test_official(void)
{
    json_t *root = vectors_load("blake3/test_vectors.json");
    size_t i;
    json_t *test;
    struct ses_blake3 modes[3];
    if (root == NULL) {
        return;
    }
    const char *key = member_text(root, "key");
    TAP_MUST(strlen(key) == 32);
    ses_blake3_init(&modes[0]);
    ses_blake3_init_keyed(&modes[1], (const uint8_t *)key);
    ses_blake3_init_derive(&modes[2], member_text(root, "context_string"));
    json_t *cases = json_object_get(root, "cases");
    json_array_foreach(cases, i, test)
    {
        const size_t len = (size_t)json_integer_value(json_object_get(test, "input_len"));
        TAP_MUST(len <= INPUT_MAX);
        run_mode(&modes[0], test, "hash", len);
        run_mode(&modes[1], test, "keyed_hash", len);
        run_mode(&modes[2], test, "derive_key", len);
    }
    printf("# blake3: %zu cases\n", json_array_size(cases));
    TAP_OK(json_array_size(cases) >= 35);
    json_decref(root);
}

static void test_pieces(void)
{
    for (unsigned round = 0; round < 300; round++) {
        struct ses_blake3 b;
        struct ses_hash whole;
        struct ses_hash pieces;
        const size_t len = ses_random_below(tap_random(), INPUT_MAX);
        const size_t cut = ses_random_below(tap_random(), len + 1);
        ses_blake3_hash(&whole, input, len);
        ses_blake3_init(&b);
        ses_blake3_update(&b, input, cut);
        ses_blake3_update(&b, input + cut, len - cut);
        ses_blake3_final(&b, &pieces);
        TAP_BYTES(whole.bytes, pieces.bytes, 32);
    }
}

/* Every length, every number of lanes, a stride of its own. */
static void test_batch(void)
{
    static const uint8_t zero[31];
    for (size_t len = 1; len <= 1024; len++) {
        const size_t stride = len + ses_random_below(tap_random(), 3);
        const size_t cnt = 1 + (len + len / 20) % 20;
        const enum ses_tag tag = (enum ses_tag)(len % 23);
        struct ses_hash got[20];
        ses_b_batch(got, tag, input + len % 7, len, stride, cnt);
        for (size_t i = 0; i < cnt; i++) {
            struct ses_hash want;
            struct ses_blake3 b;
            uint8_t key[32] = {(uint8_t)tag};
            ses_b(&want, tag, SES_PARTS(SES_PART(input + len % 7 + i * stride, len)));
            TAP_BYTES(want.bytes, got[i].bytes, 32);
            memcpy(key + 1, zero, sizeof zero);
            ses_blake3_init_keyed(&b, key);
            ses_blake3_update(&b, input + len % 7 + i * stride, len);
            ses_blake3_final(&b, &want);
            TAP_BYTES(want.bytes, got[i].bytes, 32);
        }
    }
}

static void test_batch_in_place(void)
{
    for (size_t cnt = 1; cnt < 70; cnt++) {
        struct ses_hash hashes[140];
        struct ses_hash want[70];
        ses_random_fill(tap_random(), hashes, sizeof hashes);
        for (size_t i = 0; i < cnt; i++) {
            ses_b(&want[i], SES_TAG_MT, SES_PARTS(SES_PART(&hashes[2 * i], 64)));
        }
        ses_b_batch(hashes, SES_TAG_MT, (const uint8_t *)hashes, 64, 64, cnt);
        TAP_BYTES(want, hashes, 32 * cnt);
    }
}

/* Parts are hashed as their concatenation, whatever the cuts. */
static void test_parts(void)
{
    for (unsigned round = 0; round < 300; round++) {
        struct ses_part parts[5];
        size_t len = 0;
        struct ses_hash want;
        struct ses_hash got;
        for (unsigned i = 0; i < 5; i++) {
            parts[i].bytes = input + len;
            parts[i].len = ses_random_below(tap_random(), round % 2 == 0 ? 300 : 3000);
            len += parts[i].len;
        }
        ses_h(&want, "label", SES_PARTS(SES_PART(input, len)));
        ses_h(&got, "label", parts, 5);
        TAP_BYTES(want.bytes, got.bytes, 32);
        struct ses_blake3 b;
        ses_blake3_init_derive(&b, "session lp046 v1 label");
        ses_blake3_update(&b, input, len);
        ses_blake3_final(&b, &got);
        TAP_BYTES(want.bytes, got.bytes, 32);
        ses_b(&want, SES_TAG_ROW, SES_PARTS(SES_PART(input, len)));
        ses_b(&got, SES_TAG_ROW, parts, 5);
        TAP_BYTES(want.bytes, got.bytes, 32);
    }
    struct ses_hash none;
    struct ses_hash empty;
    ses_b(&none, SES_TAG_ROW, NULL, 0);
    ses_b(&empty, SES_TAG_ROW, SES_PARTS(SES_PART(NULL, 0)));
    TAP_BYTES(none.bytes, empty.bytes, 32);
}

static void test_draw(void)
{
    struct ses_hash hash;
    ses_h(&hash, "x", SES_PARTS(SES_PART("abc", 3)));
    TAP_EQ(ses_get_u64(hash.bytes) % 1000, ses_draw("x", 1000, SES_PARTS(SES_PART("abc", 3))));
    TAP_EQ(0, ses_draw("x", 1, SES_PARTS(SES_PART("abc", 3))));
    TAP_EQ(ses_get_u64(hash.bytes), ses_draw("x", UINT64_MAX, SES_PARTS(SES_PART("abc", 3))));
}

int main(void)
{
    input_init();
    TAP_RUN(test_official);
    TAP_RUN(test_pieces);
    TAP_RUN(test_batch);
    TAP_RUN(test_batch_in_place);
    TAP_RUN(test_parts);
    TAP_RUN(test_draw);
    return tap_done();
}
