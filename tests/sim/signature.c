/* Signatures without the arithmetic: more than half of a run's time went into ML-DSA. What the
 * network needs of a signature is that it fits one key, one domain and one message, and that its
 * bytes are new each time. The linker puts this before ses_sign and ses_verify (--wrap): a fresh
 * number, and what follows from it, the public key, the domain and the message by BLAKE3, again and
 * again up to the length of ML-DSA's. Nothing in this process makes such bytes for another's key.
 * One message in sixty-four is signed by ML-DSA itself, and ML-DSA judges all that is not of the
 * cheap kind. */
#include "tests/sim/sim.h"

#define FRESH_BYTES 32u
#define FOLLOWS_BYTES 64u
#define REAL_ONE_IN 64u
#define KEYS 256u

enum ses_err __real_ses_sign(struct ses_dsa_sig *out, const struct ses_dsa_private *key,
                             enum ses_domain domain, const void *message, size_t len,
                             const struct ses_random *random);
enum ses_err __wrap_ses_sign(struct ses_dsa_sig *out, const struct ses_dsa_private *key,
                             enum ses_domain domain, const void *message, size_t len,
                             const struct ses_random *random);
enum ses_err __real_ses_verify(const struct ses_dsa_pk *pk, enum ses_domain domain,
                               const void *message, size_t len, const struct ses_dsa_sig *sig);
enum ses_err __wrap_ses_verify(const struct ses_dsa_pk *pk, enum ses_domain domain,
                               const void *message, size_t len, const struct ses_dsa_sig *sig);

bool sim_mldsa = false;

struct statement {
    struct ses_hash hash;
    bool real;
};

/* The hashes of the keys that were used last: of a short message the key is the most. */
static const struct ses_hash *hash_of(const struct ses_dsa_pk *pk)
{
    static struct {
        struct ses_dsa_pk pk;
        struct ses_hash hash;
        bool used;
    } keys[KEYS];
    const size_t at = pk->bytes[0] % KEYS;
    if (!keys[at].used || memcmp(&keys[at].pk, pk, sizeof *pk) != 0) {
        keys[at].used = true;
        keys[at].pk = *pk;
        ses_blake3_hash(&keys[at].hash, pk->bytes, sizeof pk->bytes);
    }
    return &keys[at].hash;
}

static void state(struct statement *out, const struct ses_dsa_pk *pk, enum ses_domain domain,
                  const void *message, size_t len)
{
    struct ses_blake3 b;
    const char *text = ses_domain_text(domain);
    ses_blake3_init(&b);
    ses_blake3_update(&b, hash_of(pk)->bytes, sizeof(struct ses_hash));
    ses_blake3_update(&b, text, strlen(text) + 1);
    ses_blake3_update(&b, message, len);
    ses_blake3_final(&b, &out->hash);
    out->real = sim_mldsa || out->hash.bytes[0] % REAL_ONE_IN == 0;
}

/* Behind the fresh number comes what follows from it and the statement. */
static void fill(struct ses_dsa_sig *sig, const struct statement *statement)
{
    struct ses_blake3 b;
    uint8_t follows[FOLLOWS_BYTES];
    ses_blake3_init(&b);
    ses_blake3_update(&b, statement->hash.bytes, sizeof statement->hash.bytes);
    ses_blake3_update(&b, sig->bytes, FRESH_BYTES);
    ses_blake3_final_xof(&b, follows, sizeof follows);
    for (size_t at = FRESH_BYTES; at < sizeof sig->bytes; at += FOLLOWS_BYTES) {
        const size_t left = sizeof sig->bytes - at;
        memcpy(sig->bytes + at, follows, left < FOLLOWS_BYTES ? left : FOLLOWS_BYTES);
    }
}

enum ses_err __wrap_ses_sign(struct ses_dsa_sig *out, const struct ses_dsa_private *key,
                             enum ses_domain domain, const void *message, size_t len,
                             const struct ses_random *random)
{
    struct ses_dsa_pk pk;
    struct statement statement;
    ses_dsa_private_pk(key, &pk);
    state(&statement, &pk, domain, message, len);
    if (statement.real) {
        return __real_ses_sign(out, key, domain, message, len, random);
    }
    ses_random_fill(random, out->bytes, FRESH_BYTES);
    fill(out, &statement);
    return SES_OK;
}

enum ses_err __wrap_ses_verify(const struct ses_dsa_pk *pk, enum ses_domain domain,
                               const void *message, size_t len, const struct ses_dsa_sig *sig)
{
    struct statement statement;
    struct ses_dsa_sig want;
    state(&statement, pk, domain, message, len);
    if (!statement.real) {
        memcpy(want.bytes, sig->bytes, FRESH_BYTES);
        fill(&want, &statement);
        if (ses_equal(&want, sig, sizeof want)) {
            return SES_OK;
        }
    }
    return __real_ses_verify(pk, domain, message, len, sig);
}
