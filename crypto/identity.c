#include <string.h>

#include "crypto/crypto_internal.h"

#define CUSTOM "session identity v1"

static enum ses_err derive(struct ses_identity *identity)
{
    uint8_t seeds[SES_KEM_SEED_BYTES + SES_DSA_SEED_BYTES];
    ses_kmac256(seeds, sizeof seeds, identity->seed, sizeof identity->seed, NULL, 0, CUSTOM);
    memcpy(identity->kem_seed.bytes, seeds, SES_KEM_SEED_BYTES);
    memcpy(identity->dsa_seed.bytes, seeds + SES_KEM_SEED_BYTES, SES_DSA_SEED_BYTES);
    ses_wipe(seeds, sizeof seeds);
    SES_TRY(ses_kem_private_new(&identity->kem, &identity->kem_seed));
    SES_TRY(ses_dsa_private_new(&identity->dsa, &identity->dsa_seed));
    ses_kem_private_pk(identity->kem, &identity->kem_pk);
    ses_dsa_private_pk(identity->dsa, &identity->dsa_pk);
    ses_session_id_of(&identity->id, &identity->kem_pk, &identity->dsa_pk);
    ses_account_of(&identity->account, &identity->dsa_pk);
    return SES_OK;
}

enum ses_err ses_identity_new(struct ses_identity **out, const uint8_t seed[32])
{
    *out = NULL;
    struct ses_identity *identity = ses_secret_alloc(sizeof *identity);
    SES_REQUIRE(identity != NULL, SES_ERR_MEMORY);
    memcpy(identity->seed, seed, sizeof identity->seed);
    const enum ses_err err = derive(identity);
    if (err != SES_OK) {
        ses_identity_free(identity);
        return err;
    }
    *out = identity;
    return SES_OK;
}

enum ses_err ses_identity_generate(struct ses_identity **out, const struct ses_random *random)
{
    uint8_t seed[32];
    ses_random_fill(random, seed, sizeof seed);
    const enum ses_err err = ses_identity_new(out, seed);
    ses_wipe(seed, sizeof seed);
    return err;
}

void ses_identity_free(struct ses_identity *identity)
{
    if (identity == NULL) {
        return;
    }
    ses_kem_private_free(identity->kem);
    ses_dsa_private_free(identity->dsa);
    ses_secret_free(identity);
}
