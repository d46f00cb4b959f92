#include <string.h>

#include "base/tap.h"
#include "crypto/crypto_internal.h"

static const struct ses_vault_cost CHEAP = {.passes = 1, .memory_bytes = 8192};

static struct ses_buf sealed(const void *secret, size_t len, const char *passphrase)
{
    struct ses_buf file = {0};
    TAP_MUST(ses_vault_seal_cost(&file, SES_VAULT_IDENTITY, secret, len, NULL, passphrase, &CHEAP,
                                 tap_random()) == SES_OK);
    return file;
}

static enum ses_err open_file(const struct ses_buf *file, const char *passphrase, uint8_t *secret,
                              size_t *len)
{
    *len = SES_VAULT_SECRET_MAX;
    return ses_vault_open(secret, len, SES_VAULT_IDENTITY, file->bytes, file->len, passphrase);
}

static void test_roundtrip(void)
{
    static uint8_t secret[SES_VAULT_SECRET_MAX];
    static uint8_t got[SES_VAULT_SECRET_MAX];
    ses_random_fill(tap_random(), secret, sizeof secret);
    for (unsigned round = 0; round < 60; round++) {
        const char *passphrase = round % 2 == 0 ? "correct horse \xc3\xa4" : NULL;
        const size_t in_len =
            round < 2 ? sizeof secret : 1 + ses_random_below(tap_random(), sizeof secret);
        size_t len;
        struct ses_buf file = sealed(secret, in_len, passphrase);
        TAP_ERR(SES_OK, open_file(&file, passphrase, got, &len));
        TAP_EQ(in_len, len);
        TAP_BYTES(secret, got, in_len);
        TAP_ERR(passphrase != NULL ? SES_ERR_PASSPHRASE : SES_OK,
                open_file(&file, "Correct horse", got, &len));
        TAP_ERR(passphrase != NULL ? SES_ERR_INVALID : SES_OK, open_file(&file, NULL, got, &len));
        len = in_len - 1;
        TAP_ERR(SES_ERR_TOO_LARGE,
                ses_vault_open(got, &len, SES_VAULT_IDENTITY, file.bytes, file.len, passphrase));
        len = in_len;
        TAP_ERR(SES_ERR_MALFORMED,
                ses_vault_open(got, &len, SES_VAULT_NODE, file.bytes, file.len, passphrase));
        TAP_EQ(0, len);
        ses_buf_free(&file);
    }
}

/* Shown without the passphrase, and part of what the passphrase authenticates. */
static void test_shown(void)
{
    for (unsigned locked = 0; locked < 2; locked++) {
        const char *passphrase = locked != 0 ? "p" : NULL;
        const enum ses_err damaged = locked != 0 ? SES_ERR_PASSPHRASE : SES_ERR_CHECKSUM;
        const struct ses_part id = SES_PART("public", 6);
        struct ses_part shown;
        struct ses_buf file = {0};
        uint8_t got[32];
        size_t len = sizeof got;
        TAP_MUST(ses_vault_seal_cost(&file, SES_VAULT_IDENTITY, "secret", 6, &id, passphrase,
                                     &CHEAP, tap_random()) == SES_OK);
        TAP_ERR(SES_OK, ses_vault_shown(&shown, SES_VAULT_IDENTITY, file.bytes, file.len));
        TAP_EQ(6, shown.len);
        TAP_BYTES("public", shown.bytes, 6);
        TAP_ERR(SES_ERR_MALFORMED, ses_vault_shown(&shown, SES_VAULT_NODE, file.bytes, file.len));
        TAP_ERR(SES_ERR_TRUNCATED, ses_vault_shown(&shown, SES_VAULT_IDENTITY, file.bytes, 69));
        TAP_ERR(SES_OK,
                ses_vault_open(got, &len, SES_VAULT_IDENTITY, file.bytes, file.len, passphrase));
        TAP_EQ(6, len);
        TAP_BYTES("secret", got, 6);
        file.bytes[64] ^= 1; /* another name on the same secret */
        len = sizeof got;
        TAP_ERR(damaged,
                ses_vault_open(got, &len, SES_VAULT_IDENTITY, file.bytes, file.len, passphrase));
        file.bytes[64] ^= 1;
        file.bytes[8] = 1; /* version 1 shows nothing */
        TAP_ERR(SES_ERR_MALFORMED,
                ses_vault_shown(&shown, SES_VAULT_IDENTITY, file.bytes, file.len));
        ses_buf_free(&file);
    }
    struct ses_part shown;
    struct ses_buf plain = sealed("secret", 6, NULL);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vault_shown(&shown, SES_VAULT_IDENTITY, plain.bytes, plain.len));
    plain.bytes[8] = 2; /* version 2 shows something */
    TAP_ERR(SES_ERR_MALFORMED, ses_vault_shown(&shown, SES_VAULT_IDENTITY, plain.bytes, plain.len));
    ses_buf_free(&plain);
}

/* The cost that is used for people, once. */
static void test_default_cost(void)
{
    struct ses_buf file = {0};
    uint8_t got[32];
    size_t len = sizeof got;
    TAP_ERR(SES_OK, ses_buf_append(&file, "kept", 4)); /* sealing appends */
    TAP_MUST(ses_vault_seal(&file, SES_VAULT_NODE, "0123456789abcdef", 16, NULL, "pass",
                            tap_random()) == SES_OK);
    TAP_BYTES("keptSESVAULT\1\2\1", file.bytes, 15);
    TAP_ERR(SES_OK,
            ses_vault_open(got, &len, SES_VAULT_NODE, file.bytes + 4, file.len - 4, "pass"));
    TAP_EQ(16, len);
    TAP_BYTES("0123456789abcdef", got, 16);
    ses_buf_free(&file);
}

static void test_clear_is_clear(void)
{
    struct ses_buf file = sealed("secret", 6, NULL);
    TAP_EQ(64 + 6 + 16, file.len);
    TAP_BYTES("secret", file.bytes + 64, 6);
    TAP_EQ(0, file.bytes[10]);
    ses_buf_free(&file);
    file = sealed("secret", 6, "x");
    TAP_OK(memcmp("secret", file.bytes + 64, 6) != 0);
    ses_buf_free(&file);
}

/* Any bit counts: the header is authenticated too. */
static void test_damage(void)
{
    uint8_t got[SES_VAULT_SECRET_MAX];
    size_t len;
    for (unsigned locked = 0; locked < 2; locked++) {
        const char *passphrase = locked ? "p" : NULL;
        struct ses_buf file = sealed("0123456789", 10, passphrase);
        for (size_t at = 0; at < file.len; at++) {
            if (at >= 12 && at < 24 && locked) {
                continue; /* the cost: see below */
            }
            file.bytes[at] ^= 0x20;
            TAP_OK(open_file(&file, passphrase, got, &len) != SES_OK);
            TAP_EQ(0, len);
            file.bytes[at] ^= 0x20;
        }
        for (size_t cut = 0; cut < file.len; cut++) {
            const struct ses_buf part = {.bytes = file.bytes, .len = cut};
            TAP_OK(open_file(&part, passphrase, got, &len) != SES_OK);
        }
        TAP_ERR(SES_OK, open_file(&file, passphrase, got, &len));
        TAP_MUST(ses_buf_append(&file, "x", 1) == SES_OK);
        TAP_OK(open_file(&file, passphrase, got, &len) != SES_OK);
        ses_buf_free(&file);
    }
}

/* No file makes us spend more than the limits. */
static void test_absurd_cost(void)
{
    static const struct ses_vault_cost absurd[] = {{0, 8192}, {9, 8192},       {UINT32_MAX, 8192},
                                                   {1, 8191}, {1, 1ull << 31}, {1, UINT64_MAX},
                                                   {1, 0},    {4, 1ull << 30}, {2, 1ull << 63}};
    uint8_t got[64];
    size_t len;
    struct ses_buf file = sealed("0123456789", 10, "p");
    for (size_t i = 0; i < SES_COUNT(absurd); i++) {
        struct ses_buf none = {0};
        ses_put_u32(file.bytes + 12, absurd[i].passes);
        ses_put_u64(file.bytes + 16, absurd[i].memory_bytes);
        TAP_ERR(SES_ERR_TOO_LARGE, open_file(&file, "p", got, &len));
        TAP_ERR(SES_ERR_INVALID, ses_vault_seal_cost(&none, SES_VAULT_NODE, "x", 1, NULL, "p",
                                                     &absurd[i], tap_random()));
    }
    ses_put_u32(file.bytes + 12, 2); /* allowed, but not what it was sealed with */
    ses_put_u64(file.bytes + 16, 8192);
    TAP_ERR(SES_ERR_PASSPHRASE, open_file(&file, "p", got, &len));
    ses_buf_free(&file);
}

static void test_refuses(void)
{
    static const uint8_t secret[SES_VAULT_SECRET_MAX + 1];
    struct ses_buf file = {0};
    uint8_t got[64];
    size_t len;
    TAP_ERR(SES_ERR_TOO_LARGE,
            ses_vault_seal(&file, SES_VAULT_NODE, secret, sizeof secret, NULL, NULL, tap_random()));
    TAP_ERR(SES_ERR_TOO_LARGE,
            ses_vault_seal(&file, SES_VAULT_NODE, secret, 0, NULL, NULL, tap_random()));
    TAP_ERR(SES_ERR_INVALID,
            ses_vault_seal(&file, SES_VAULT_NODE, secret, 1, NULL, "", tap_random()));
    TAP_EQ(0, file.len);
    file = sealed("0123456789", 10, NULL);
    file.bytes[8] = 3;
    TAP_ERR(SES_ERR_VERSION, open_file(&file, NULL, got, &len));
    file.bytes[8] = 1;
    file.bytes[10] = 2;
    TAP_ERR(SES_ERR_VERSION, open_file(&file, NULL, got, &len));
    file.bytes[10] = 0;
    file.bytes[70] ^= 1;
    TAP_ERR(SES_ERR_CHECKSUM, open_file(&file, NULL, got, &len));
    TAP_ERR(SES_ERR_TRUNCATED, ses_vault_open(got, &len, SES_VAULT_NODE, "SESVAULT", 8, NULL));
    TAP_ERR(SES_ERR_MALFORMED,
            ses_vault_open(got, &len, SES_VAULT_NODE, "SESSIONSESSION", 14, NULL));
    ses_buf_free(&file);
}

static void test_no_memory(void)
{
    struct ses_buf file = {0};
    ses_alloc_fail_at(1);
    TAP_ERR(SES_ERR_MEMORY,
            ses_vault_seal_cost(&file, SES_VAULT_NODE, "x", 1, NULL, "p", &CHEAP, tap_random()));
    ses_alloc_fail_at(0);
    TAP_EQ(0, file.len);
    ses_buf_free(&file);
}

int main(void)
{
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    TAP_RUN(test_roundtrip);
    TAP_RUN(test_shown);
    TAP_RUN(test_default_cost);
    TAP_RUN(test_clear_is_clear);
    TAP_RUN(test_damage);
    TAP_RUN(test_absurd_cost);
    TAP_RUN(test_refuses);
    TAP_RUN(test_no_memory);
    return tap_done();
}
