#include "crypto/test_vectors.h"

static uint8_t zero_hedge[32];

/* What a vector may leave out: context, message, mu, rnd. */
struct inputs {
    struct ses_dsa_how how;
    uint8_t *context;
    uint8_t *message;
    uint8_t *rnd;
    size_t message_len;
};

static uint8_t *optional(const json_t *test, const char *name, size_t *len)
{
    *len = 0;
    return json_object_get(test, name) != NULL ? member_bytes(test, name, len) : NULL;
}

static void inputs_read(struct inputs *in, const json_t *test)
{
    size_t rnd_len;
    *in = (struct inputs){0};
    in->context = optional(test, "ctx", &in->how.context_len);
    in->rnd = optional(test, "rnd", &rnd_len);
    in->how.context = in->context;
    in->how.hedge = in->rnd != NULL ? in->rnd : zero_hedge;
    in->how.external_mu = json_object_get(test, "msg") == NULL;
    in->message = member_bytes(test, in->how.external_mu ? "mu" : "msg", &in->message_len);
}

static void inputs_free(struct inputs *in)
{
    ses_free(in->context);
    ses_free(in->message);
    ses_free(in->rnd);
}

static void verify_case(const json_t *group, const json_t *test)
{
    struct inputs in;
    size_t pk_len;
    size_t sig_len;
    uint8_t *pk = member_bytes(group, "publicKey", &pk_len);
    uint8_t *sig = member_bytes(test, "sig", &sig_len);
    inputs_read(&in, test);
    in.how.hedge = NULL;
    const enum ses_err err =
        ses_dsa_verify_how(pk, pk_len, &in.how, in.message, in.message_len, sig, sig_len);
    VECTOR_OK(test, (err == SES_OK) == member_valid(test));
    inputs_free(&in);
    ses_free(pk);
    ses_free(sig);
}

static void test_verify(void)
{
    wycheproof_run("wycheproof/mldsa_65_verify_test.json", verify_case);
}

static void check_sign(const json_t *group, const json_t *test, const struct ses_dsa_private *key)
{
    struct inputs in;
    struct ses_dsa_sig got;
    struct ses_dsa_sig want;
    struct ses_dsa_pk pk;
    struct ses_dsa_pk want_pk;
    inputs_read(&in, test);
    ses_dsa_private_pk(key, &pk);
    const enum ses_err err = ses_dsa_sign_how(&got, key, &in.how, in.message, in.message_len);
    VECTOR_OK(test, (err == SES_OK) == member_valid(test));
    if (err == SES_OK) {
        member_fixed(group, "publicKey", &want_pk, sizeof want_pk);
        member_fixed(test, "sig", &want, sizeof want);
        VECTOR_OK(test, memcmp(&want_pk, &pk, sizeof pk) == 0);
        VECTOR_OK(test, memcmp(&want, &got, sizeof got) == 0);
        in.how.hedge = NULL;
        TAP_ERR(SES_OK, ses_dsa_verify_how(pk.bytes, sizeof pk, &in.how, in.message, in.message_len,
                                           got.bytes, sizeof got));
    }
    inputs_free(&in);
}

static void seed_case(const json_t *group, const json_t *test)
{
    struct ses_dsa_seed seed;
    struct ses_dsa_private *key;
    if (strlen(member_text(group, "privateSeed")) != 2 * sizeof seed) {
        VECTOR_OK(test, !member_valid(test)); /* our type has one length */
        return;
    }
    member_fixed(group, "privateSeed", &seed, sizeof seed);
    TAP_MUST(ses_dsa_private_new(&key, &seed) == SES_OK);
    check_sign(group, test, key);
    ses_dsa_private_free(key);
}

static void test_sign_seed(void)
{
    wycheproof_run("wycheproof/mldsa_65_sign_seed_test.json", seed_case);
}

static void noseed_case(const json_t *group, const json_t *test)
{
    size_t len;
    struct ses_dsa_private *key;
    uint8_t *sk = member_bytes(group, "privateKey", &len);
    if (ses_dsa_private_from_expanded(&key, sk, len) == SES_OK) {
        check_sign(group, test, key);
    } else {
        VECTOR_OK(test, !member_valid(test));
    }
    ses_dsa_private_free(key);
    ses_free(sk);
}

static void test_sign_noseed(void)
{
    wycheproof_run("wycheproof/mldsa_65_sign_noseed_test.json", noseed_case);
}

/* The known answer of luxfi/crypto: seed 00..1f. */
static void test_lux(void)
{
    static const char message[] = "test message for KAT";
    const struct ses_dsa_how how = {.hedge = zero_hedge};
    struct ses_dsa_seed seed;
    struct ses_dsa_private *key;
    struct ses_dsa_pk pk;
    struct ses_dsa_sig sig;
    uint8_t want[32];
    for (unsigned i = 0; i < sizeof seed; i++) {
        seed.bytes[i] = (uint8_t)i;
    }
    TAP_MUST(ses_dsa_private_new(&key, &seed) == SES_OK);
    ses_dsa_private_pk(key, &pk);
    TAP_MUST(ses_hex_decode(want, 32,
                            "48683d91978e31eb3dddb8b0473482d2"
                            "b88a5f625949fd8f58a561e696bd4c27") == SES_OK);
    TAP_BYTES(want, pk.bytes, 32);
    TAP_MUST(ses_dsa_sign_how(&sig, key, &how, message, strlen(message)) == SES_OK);
    TAP_MUST(ses_hex_decode(want, 32,
                            "315198eef238c57413cf89696a59e96c"
                            "e7b3dcd7e1196f2883176eb690637533") == SES_OK);
    TAP_BYTES(want, sig.bytes, 32);
    TAP_ERR(SES_OK, ses_verify(&pk, SES_DOMAIN_UPSTREAM, message, strlen(message), &sig));
    TAP_ERR(SES_ERR_SIGNATURE, ses_verify(&pk, SES_DOMAIN_TX, message, strlen(message), &sig));
    ses_dsa_private_free(key);
}

static const enum ses_domain DOMAINS[] = {
#define SES_X(name, text) SES_DOMAIN_##name,
    SES_DOMAINS(SES_X)
#undef SES_X
};

static void test_domains(void)
{
    struct ses_dsa_seed seed;
    struct ses_dsa_private *key;
    struct ses_dsa_pk pk;
    struct ses_dsa_sig sig;
    ses_random_fill(tap_random(), &seed, sizeof seed);
    TAP_MUST(ses_dsa_private_new(&key, &seed) == SES_OK);
    ses_dsa_private_pk(key, &pk);
    for (size_t i = 0; i < SES_COUNT(DOMAINS); i++) {
        TAP_ERR(SES_OK, ses_sign(&sig, key, DOMAINS[i], "hello", 5, tap_random()));
        for (size_t j = 0; j < SES_COUNT(DOMAINS); j++) {
            TAP_ERR(i == j ? SES_OK : SES_ERR_SIGNATURE,
                    ses_verify(&pk, DOMAINS[j], "hello", 5, &sig));
            TAP_OK(i == j || strcmp(ses_domain_text(DOMAINS[i]), ses_domain_text(DOMAINS[j])) != 0);
        }
        TAP_ERR(SES_ERR_SIGNATURE, ses_verify(&pk, DOMAINS[i], "hellp", 5, &sig));
        TAP_ERR(SES_ERR_SIGNATURE, ses_verify(&pk, DOMAINS[i], "hello", 4, &sig));
        sig.bytes[ses_random_below(tap_random(), sizeof sig)] ^= 4;
        TAP_ERR(SES_ERR_SIGNATURE, ses_verify(&pk, DOMAINS[i], "hello", 5, &sig));
    }
    TAP_ERR(SES_OK, ses_sign(&sig, key, SES_DOMAIN_TX, NULL, 0, tap_random()));
    TAP_ERR(SES_OK, ses_verify(&pk, SES_DOMAIN_TX, NULL, 0, &sig));
    ses_dsa_private_free(key);
    ses_dsa_private_free(NULL);
}

/* A signature is a function of key, message and the randomness handed in, and of nothing else. */
static void test_hedged(void)
{
    struct ses_dsa_seed seed = {{7}};
    struct ses_dsa_private *key;
    struct ses_dsa_sig a;
    struct ses_dsa_sig b;
    uint8_t hedge[32];
    TAP_MUST(ses_dsa_private_new(&key, &seed) == SES_OK);
    TAP_ERR(SES_OK, ses_sign(&a, key, SES_DOMAIN_TX, "m", 1, tap_random()));
    TAP_ERR(SES_OK, ses_sign(&b, key, SES_DOMAIN_TX, "m", 1, tap_random()));
    TAP_OK(memcmp(&a, &b, sizeof a) != 0);
    ses_random_fill(tap_random(), hedge, sizeof hedge);
    const struct ses_dsa_how how = {.hedge = hedge};
    TAP_ERR(SES_OK, ses_dsa_sign_how(&a, key, &how, "m", 1));
    TAP_ERR(SES_OK, ses_dsa_sign_how(&b, key, &how, "m", 1));
    TAP_OK(memcmp(&a, &b, sizeof a) == 0);
    ses_dsa_private_free(key);
}

int main(void)
{
    TAP_RUN(test_verify);
    TAP_RUN(test_sign_seed);
    TAP_RUN(test_sign_noseed);
    TAP_RUN(test_lux);
    TAP_RUN(test_domains);
    TAP_RUN(test_hedged);
    return tap_done();
}
