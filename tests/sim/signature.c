/* Signatures without the arithmetic: more than half of a run's time went into ML-DSA. What the
 * network needs of a signature is that it fits one key, one domain and one message, and that its
 * bytes are new each time. The linker puts this before ses_sign and ses_verify (--wrap): a fresh
 * number, and what follows from it, the public key, the domain and the message by BLAKE3, at the
 * length of ML-DSA's. Nothing in this process makes such bytes for another's key. One message in
 * sixteen is signed by ML-DSA itself, and ML-DSA judges all that is not of the cheap kind. */
#include "tests/sim/sim.h"

#define FRESH_BYTES 32u
#define REAL_ONE_IN 16u

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

static void state(struct statement *out, const struct ses_dsa_pk *pk, enum ses_domain domain,
                  const void *message, size_t len)
{
    struct ses_blake3 b;
    const char *text = ses_domain_text(domain);
    ses_blake3_init(&b);
    ses_blake3_update(&b, pk->bytes, sizeof pk->bytes);
    ses_blake3_update(&b, text, strlen(text) + 1);
    ses_blake3_update(&b, message, len);
    ses_blake3_final(&b, &out->hash);
    out->real = sim_mldsa || out->hash.bytes[0] % REAL_ONE_IN == 0;
}

/* Behind the fresh number comes what follows from it and the statement. */
static void fill(struct ses_dsa_sig *sig, const struct statement *statement)
{
    struct ses_blake3 b;
    ses_blake3_init(&b);
    ses_blake3_update(&b, statement->hash.bytes, sizeof statement->hash.bytes);
    ses_blake3_update(&b, sig->bytes, FRESH_BYTES);
    ses_blake3_final_xof(&b, sig->bytes + FRESH_BYTES, sizeof sig->bytes - FRESH_BYTES);
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
