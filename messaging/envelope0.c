/* Envelope v0: what upstream's EncryptToRecipient writes, byte for byte. The ML-KEM secret is the
 * AEAD key as it is, nothing binds a sender, nothing is padded: for interoperability only. */
#include <string.h>

#include "messaging/messaging.h"

enum ses_err ses_seal0(uint8_t *out, const struct ses_kem_pk *to, const void *in, size_t len,
                       const struct ses_random *random)
{
    struct ses_kem_public *key = NULL;
    struct ses_kem_ct ct;
    struct ses_secret32 secret = {0};
    struct ses_nonce nonce;
    SES_REQUIRE(len <= SIZE_MAX - SES_ENVELOPE0_OVERHEAD, SES_ERR_TOO_LARGE);
    enum ses_err err = ses_kem_public_new(&key, to);
    if (err != SES_OK) {
        goto out;
    }
    err = ses_kem_encaps(&ct, &secret, key, random);
    if (err != SES_OK) {
        goto out;
    }
    ses_random_fill(random, nonce.bytes, sizeof nonce.bytes);
    memcpy(out, ct.bytes, sizeof ct.bytes);
    memcpy(out + sizeof ct.bytes, nonce.bytes, sizeof nonce.bytes);
    err = ses_aead_seal(out + sizeof ct.bytes + sizeof nonce.bytes, &secret, &nonce, NULL, 0, in,
                        len);
out:
    if (err != SES_OK) {
        memset(out, 0, SES_ENVELOPE0_OVERHEAD + len);
    }
    ses_wipe(&secret, sizeof secret);
    ses_kem_public_free(key);
    return err;
}

enum ses_err ses_open0(uint8_t *out, const struct ses_identity *to, const uint8_t *in, size_t len)
{
    struct ses_kem_ct ct;
    struct ses_nonce nonce;
    struct ses_secret32 secret = {0};
    SES_REQUIRE(len >= SES_ENVELOPE0_OVERHEAD, SES_ERR_OPEN);
    memcpy(ct.bytes, in, sizeof ct.bytes);
    memcpy(nonce.bytes, in + sizeof ct.bytes, sizeof nonce.bytes);
    const size_t prefix = sizeof ct.bytes + sizeof nonce.bytes;
    enum ses_err err = ses_kem_decaps(&secret, to->kem, &ct);
    if (err == SES_OK) {
        err = ses_aead_open(out, &secret, &nonce, NULL, 0, in + prefix, len - prefix);
    }
    ses_wipe(&secret, sizeof secret);
    if (err != SES_OK) {
        memset(out, 0, len - SES_ENVELOPE0_OVERHEAD);
        return err == SES_ERR_MEMORY ? err : SES_ERR_OPEN;
    }
    return SES_OK;
}
