#include <pthread.h>
#include <string.h>

#include "base/tap.h"
#include "crypto/crypto_internal.h"

static void test_derivation(void)
{
    uint8_t seed[32];
    uint8_t seeds[96];
    struct ses_identity *identity;
    struct ses_session_id id;
    struct ses_account account;
    ses_random_fill(tap_random(), seed, sizeof seed);
    TAP_MUST(ses_identity_new(&identity, seed) == SES_OK);
    ses_kmac256(seeds, 96, seed, 32, NULL, 0, "session identity v1");
    TAP_BYTES(seed, identity->seed, 32);
    TAP_BYTES(seeds, identity->kem_seed.bytes, 64);
    TAP_BYTES(seeds + 64, identity->dsa_seed.bytes, 32);
    ses_session_id_of(&id, &identity->kem_pk, &identity->dsa_pk);
    TAP_BYTES(id.bytes, identity->id.bytes, sizeof id);
    ses_account_of(&account, &identity->dsa_pk);
    TAP_BYTES(account.bytes, identity->account.bytes, sizeof account);
    ses_identity_free(identity);
    ses_identity_free(NULL);
}

/* What a seed derives must stay the same for ever: people come back with their phrases. KMAC256
 * was computed with another implementation. */
static void test_fixed(void)
{
    const uint8_t seed[32] = {0};
    struct ses_identity *identity;
    uint8_t want[96];
    TAP_MUST(ses_identity_new(&identity, seed) == SES_OK);
    TAP_MUST(ses_hex_decode(want, 96,
                            "27fae3ee38ae8f23718ab3f30f58bb93cd8cf8be1d5a10622ce89f1651213cf8976611"
                            "e7e11e4d1e7c3e6a5a16b84c5f534a26d0a73caf1bd0288c5843e5616541941a5d79aa"
                            "c9375cf7028332d479861ef02cbe83a79857505eb86c769f3bce") == SES_OK);
    TAP_BYTES(want, identity->kem_seed.bytes, 64);
    TAP_BYTES(want + 64, identity->dsa_seed.bytes, 32);
    char text[SES_SESSION_ID_TEXT];
    ses_session_id_text(text, &identity->id);
    TAP_TEXT("07038f7d1e628f9adf26144ea03145b4baeb1e6dec4a235b0f0efd4f738e5f1fdb", text);
    ses_identity_free(identity);
}

static void test_keys_work(void)
{
    struct ses_identity *identity;
    struct ses_kem_public *public;
    struct ses_kem_ct ct;
    struct ses_secret32 sent;
    struct ses_secret32 got;
    struct ses_dsa_sig sig;
    TAP_MUST(ses_identity_generate(&identity, tap_random()) == SES_OK);
    TAP_MUST(ses_kem_public_new(&public, &identity->kem_pk) == SES_OK);
    TAP_ERR(SES_OK, ses_kem_encaps(&ct, &sent, public, tap_random()));
    TAP_ERR(SES_OK, ses_kem_decaps(&got, identity->kem, &ct));
    TAP_OK(ses_equal(&sent, &got, 32));
    TAP_ERR(SES_OK, ses_sign(&sig, identity->dsa, SES_DOMAIN_CARD, "x", 1, tap_random()));
    TAP_ERR(SES_OK, ses_verify(&identity->dsa_pk, SES_DOMAIN_CARD, "x", 1, &sig));
    ses_kem_public_free(public);
    ses_identity_free(identity);
}

static void test_no_memory(void)
{
    unsigned failed_cnt = 0;
    for (uint64_t n = 1; n < 10; n++) {
        struct ses_identity *identity;
        ses_alloc_fail_at(n);
        const enum ses_err err = ses_identity_generate(&identity, tap_random());
        ses_alloc_fail_at(0);
        TAP_OK(err == SES_OK || (err == SES_ERR_MEMORY && identity == NULL));
        failed_cnt += err == SES_ERR_MEMORY;
        ses_identity_free(identity);
    }
    TAP_EQ(2, failed_cnt); /* the two parsed keys */
}

static void test_secret_memory(void)
{
    uint8_t *p = ses_secret_alloc(100);
    static const uint8_t zero[100];
    TAP_MUST(p != NULL);
    TAP_BYTES(zero, p, 100);
    memset(p, 7, 100);
    ses_wipe(p, 100);
    TAP_BYTES(zero, p, 100);
    ses_secret_free(p);
    ses_secret_free(NULL);
}

/* One bit of any byte, at any length and alignment, makes a difference. */
static void test_equal(void)
{
    uint8_t a[41], b[43];
    memset(a, 0x5A, sizeof a);
    memset(b, 0x5A, sizeof b);
    TAP_OK(ses_equal("a", "b", 0));
    for (size_t len = 0; len <= sizeof a; len++) {
        TAP_OK(ses_equal(a, b + len % 3, len));
        for (size_t i = 0; i < len; i++) {
            a[i] ^= (uint8_t)(1u << i % 8);
            TAP_OK(!ses_equal(a, b + len % 3, len));
            TAP_OK(ses_equal(a, b + len % 3, i));
            a[i] = 0x5A;
        }
    }
}

/* ---- keys are shared by threads, contexts are not ---- */

struct work {
    const struct ses_identity *identity;
    unsigned good;
};

static void fill_counting(void *ctx, void *out, size_t len)
{
    memset(out, (int)++*(unsigned *)ctx, len);
}

static void *sign_and_hash(void *cookie)
{
    struct work *work = cookie;
    unsigned seed = 0;
    const struct ses_random random = {.ctx = &seed, .fill = fill_counting};
    for (unsigned i = 0; i < 20; i++) {
        struct ses_dsa_sig sig;
        struct ses_hash hash;
        struct ses_hash again;
        const struct ses_dsa_pk *pk = &work->identity->dsa_pk;
        ses_sha256(&hash, SES_PARTS(SES_PART(&i, sizeof i)));
        ses_sha256(&again, SES_PARTS(SES_PART(&i, sizeof i)));
        const bool ok =
            ses_sign(&sig, work->identity->dsa, SES_DOMAIN_TX, &hash, 32, &random) == SES_OK &&
            ses_verify(pk, SES_DOMAIN_TX, &again, 32, &sig) == SES_OK;
        work->good += ok;
    }
    return NULL;
}

static void test_threads(void)
{
    enum { THREADS = 4 };
    struct ses_identity *identity;
    pthread_t threads[THREADS];
    struct work work[THREADS];
    TAP_MUST(ses_identity_generate(&identity, tap_random()) == SES_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        work[i] = (struct work){.identity = identity};
        TAP_MUST(pthread_create(&threads[i], NULL, sign_and_hash, &work[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        TAP_MUST(pthread_join(threads[i], NULL) == 0);
        TAP_EQ(20, work[i].good);
    }
    ses_identity_free(identity);
}

int main(void)
{
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    TAP_RUN(test_derivation);
    TAP_RUN(test_fixed);
    TAP_RUN(test_keys_work);
    TAP_RUN(test_no_memory);
    TAP_RUN(test_secret_memory);
    TAP_RUN(test_equal);
    TAP_RUN(test_threads);
    return tap_done();
}
