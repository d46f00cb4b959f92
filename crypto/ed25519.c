#include <sodium.h>

#include "crypto/crypto.h"

_Static_assert(crypto_sign_ed25519_SEEDBYTES == sizeof(struct ses_ed25519_seed), "seed");
_Static_assert(crypto_sign_ed25519_PUBLICKEYBYTES == sizeof(struct ses_ed25519_pk), "public key");
_Static_assert(crypto_sign_ed25519_BYTES == sizeof(struct ses_ed25519_sig), "signature");

void ses_ed25519_pk(struct ses_ed25519_pk *out, const struct ses_ed25519_seed *seed)
{
    uint8_t sk[crypto_sign_ed25519_SECRETKEYBYTES];
    SES_ASSERT(crypto_sign_ed25519_seed_keypair(out->bytes, sk, seed->bytes) == 0);
    ses_wipe(sk, sizeof sk);
}

void ses_ed25519_sign(struct ses_ed25519_sig *out, const struct ses_ed25519_seed *seed,
                      const void *message, size_t len)
{
    uint8_t sk[crypto_sign_ed25519_SECRETKEYBYTES];
    struct ses_ed25519_pk pk;
    SES_ASSERT(crypto_sign_ed25519_seed_keypair(pk.bytes, sk, seed->bytes) == 0);
    SES_ASSERT(crypto_sign_ed25519_detached(out->bytes, NULL, message, len, sk) == 0);
    ses_wipe(sk, sizeof sk);
}

enum ses_err ses_ed25519_verify(const struct ses_ed25519_pk *pk, const void *message, size_t len,
                                const struct ses_ed25519_sig *sig)
{
    const int bad = crypto_sign_ed25519_verify_detached(sig->bytes, message, len, pk->bytes);
    return bad == 0 ? SES_OK : SES_ERR_SIGNATURE;
}
