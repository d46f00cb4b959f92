/* Identity files: a file that opens is sealed again to the same bytes. Files with a passphrase are
 * only opened where they ask for the least work. */
#include <string.h>

#include "crypto/crypto_internal.h"
#include "fuzz/fuzz.h"

#define RANDOM_AT 24u /* salt 16, nonce 24 */

/* Gives back the salt and nonce of the file. */
static void replay_fill(void *ctx, void *out, size_t len)
{
    struct ses_reader *r = ctx;
    ses_read_bytes(r, out, len);
}

static void seal_again(const uint8_t *data, size_t size, const char *passphrase,
                       const uint8_t *secret, size_t len)
{
    const struct ses_vault_cost cost = {.passes = 1, .memory_bytes = 8192};
    struct ses_buf again = {0};
    struct ses_reader r;
    struct ses_part shown;
    ses_reader_init(&r, data + RANDOM_AT, 40);
    const bool shows = ses_vault_shown(&shown, SES_VAULT_IDENTITY, data, size) == SES_OK;
    const struct ses_random random = {.ctx = &r, .fill = replay_fill};
    SES_ASSERT(ses_vault_seal_cost(&again, SES_VAULT_IDENTITY, secret, len, shows ? &shown : NULL,
                                   data[10] != 0 ? passphrase : NULL, &cost, &random) == SES_OK);
    SES_ASSERT(again.len == size && memcmp(again.bytes, data, size) == 0);
    ses_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t least[12] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x20, 0};
    uint8_t secret[SES_VAULT_SECRET_MAX];
    size_t len = sizeof secret;
    const bool cheap = size > 24 && memcmp(data + 12, least, sizeof least) == 0;
    const char *passphrase = cheap ? "p" : NULL;
    if (ses_vault_open(secret, &len, SES_VAULT_IDENTITY, data, size, passphrase) == SES_OK) {
        SES_ASSERT(len > 0 && len <= sizeof secret);
        seal_again(data, size, passphrase, secret, len);
    } else {
        SES_ASSERT(len == 0);
    }
    return 0;
}
