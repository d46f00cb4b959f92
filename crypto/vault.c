/* A secret in a file:
 *
 *   magic 8 "SESVAULT", u8 version = 1, u8 kind, u8 lock (0 none, 1 Argon2id 1.3), u8 = 0,
 *   u32 passes, u64 memory bytes, salt 16, nonce 24          the header, 64 bytes, all of it AAD
 *   lock 1: XChaCha20-Poly1305 of the secret, key = Argon2id(passphrase, salt)
 *   lock 0: the secret, then the first 16 bytes of H("vault", header, secret); passes, memory,
 *           salt and nonce are zero
 *
 * The cost stands in the file, so that it can rise later, and is bounded when read: a hostile file
 * must not cost more than a second or two, nor more memory than COST_MAX. */
#include <sodium.h>
#include <string.h>

#include "crypto/crypto_internal.h"

#define HEADER_BYTES 64u
#define SALT_BYTES 16u
#define VERSION 1u
#define PASSES_MAX 8u
#define MEMORY_MIN (8u * 1024u)
#define MEMORY_MAX (1024ull * 1024u * 1024u)
#define WORK_MAX (2048ull * 1024u * 1024u) /* passes x memory */
_Static_assert(SALT_BYTES == crypto_pwhash_argon2id_SALTBYTES, "salt");
_Static_assert(PASSES_MAX >= crypto_pwhash_argon2id_OPSLIMIT_MODERATE, "we write what we read");

static const char MAGIC[8] = "SESVAULT"; /* without NUL */

enum lock { LOCK_NONE = 0, LOCK_ARGON2ID = 1 };

struct header {
    uint8_t kind;
    uint8_t lock;
    struct ses_vault_cost cost;
    uint8_t salt[SALT_BYTES];
    struct ses_nonce nonce;
};

static void header_write(uint8_t out[HEADER_BYTES], const struct header *h)
{
    struct ses_writer w;
    ses_writer_init(&w, out, HEADER_BYTES);
    ses_write_bytes(&w, MAGIC, sizeof MAGIC);
    ses_write_u8(&w, VERSION);
    ses_write_u8(&w, h->kind);
    ses_write_u8(&w, h->lock);
    ses_write_u8(&w, 0);
    ses_write_u32(&w, h->cost.passes);
    ses_write_u64(&w, h->cost.memory_bytes);
    ses_write_bytes(&w, h->salt, sizeof h->salt);
    ses_write_bytes(&w, h->nonce.bytes, sizeof h->nonce.bytes);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == HEADER_BYTES);
}

static bool cost_valid(const struct ses_vault_cost *cost)
{
    return cost->passes >= crypto_pwhash_argon2id_OPSLIMIT_MIN && cost->passes <= PASSES_MAX &&
           cost->memory_bytes >= MEMORY_MIN && cost->memory_bytes <= MEMORY_MAX &&
           cost->memory_bytes * cost->passes <= WORK_MAX;
}

static enum ses_err header_validate(const struct header *h)
{
    if (h->lock == LOCK_ARGON2ID) {
        SES_REQUIRE(cost_valid(&h->cost), SES_ERR_TOO_LARGE);
        return SES_OK;
    }
    SES_REQUIRE(h->lock == LOCK_NONE, SES_ERR_VERSION);
    SES_REQUIRE(h->cost.passes == 0 && h->cost.memory_bytes == 0, SES_ERR_MALFORMED);
    SES_REQUIRE(sodium_is_zero(h->salt, sizeof h->salt), SES_ERR_MALFORMED);
    SES_REQUIRE(sodium_is_zero(h->nonce.bytes, sizeof h->nonce.bytes), SES_ERR_MALFORMED);
    return SES_OK;
}

static enum ses_err header_read(struct header *h, struct ses_reader *r)
{
    char magic[sizeof MAGIC];
    ses_read_bytes(r, magic, sizeof magic);
    ses_reader_check(r, memcmp(magic, MAGIC, sizeof MAGIC) == 0, SES_ERR_MALFORMED);
    ses_reader_check(r, ses_read_u8(r) == VERSION, SES_ERR_VERSION);
    h->kind = ses_read_u8(r);
    h->lock = ses_read_u8(r);
    ses_reader_check(r, ses_read_u8(r) == 0, SES_ERR_MALFORMED);
    h->cost.passes = ses_read_u32(r);
    h->cost.memory_bytes = ses_read_u64(r);
    ses_read_bytes(r, h->salt, sizeof h->salt);
    ses_read_bytes(r, h->nonce.bytes, sizeof h->nonce.bytes);
    SES_TRY(r->err);
    return header_validate(h);
}

/* libsodium says the same for no memory as for impossible limits, which are excluded here. */
static enum ses_err stretch(struct ses_secret32 *key, const struct header *h,
                            const char *passphrase)
{
    const int bad = crypto_pwhash_argon2id(
        key->bytes, sizeof key->bytes, passphrase, strlen(passphrase), h->salt, h->cost.passes,
        (size_t)h->cost.memory_bytes, crypto_pwhash_argon2id_ALG_ARGON2ID13);
    return bad == 0 ? SES_OK : SES_ERR_MEMORY;
}

static void clear_check(uint8_t out[SES_AEAD_TAG_BYTES], const uint8_t header[HEADER_BYTES],
                        const void *secret, size_t len)
{
    struct ses_hash hash;
    ses_h(&hash, "vault", SES_PARTS(SES_PART(header, HEADER_BYTES), SES_PART(secret, len)));
    memcpy(out, hash.bytes, SES_AEAD_TAG_BYTES);
    ses_wipe(&hash, sizeof hash);
}

static enum ses_err seal_body(uint8_t *out, const struct header *h,
                              const uint8_t header[HEADER_BYTES], const void *secret, size_t len,
                              const char *passphrase)
{
    if (h->lock == LOCK_NONE) {
        memcpy(out, secret, len);
        clear_check(out + len, header, secret, len);
        return SES_OK;
    }
    struct ses_secret32 key;
    enum ses_err err = stretch(&key, h, passphrase);
    if (err == SES_OK) {
        err = ses_aead_seal(out, &key, &h->nonce, header, HEADER_BYTES, secret, len);
    }
    ses_wipe(&key, sizeof key);
    return err;
}

enum ses_err ses_vault_seal_cost(struct ses_buf *out, enum ses_vault_kind kind, const void *secret,
                                 size_t len, const char *passphrase,
                                 const struct ses_vault_cost *cost, const struct ses_random *random)
{
    SES_REQUIRE(len > 0 && len <= SES_VAULT_SECRET_MAX, SES_ERR_TOO_LARGE);
    SES_REQUIRE(passphrase == NULL || passphrase[0] != 0, SES_ERR_INVALID);
    struct header h = {.kind = (uint8_t)kind};
    if (passphrase != NULL) {
        SES_REQUIRE(cost_valid(cost), SES_ERR_INVALID);
        h.lock = LOCK_ARGON2ID;
        h.cost = *cost;
        ses_random_fill(random, h.salt, sizeof h.salt);
        ses_random_fill(random, h.nonce.bytes, sizeof h.nonce.bytes);
    }
    SES_TRY(ses_buf_reserve(out, HEADER_BYTES + len + SES_AEAD_TAG_BYTES));
    uint8_t *at = out->bytes + out->len;
    header_write(at, &h);
    SES_TRY(seal_body(at + HEADER_BYTES, &h, at, secret, len, passphrase));
    out->len += HEADER_BYTES + len + SES_AEAD_TAG_BYTES;
    return SES_OK;
}

enum ses_err ses_vault_seal(struct ses_buf *out, enum ses_vault_kind kind, const void *secret,
                            size_t len, const char *passphrase, const struct ses_random *random)
{
    const struct ses_vault_cost cost = {.passes = crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
                                        .memory_bytes = crypto_pwhash_argon2id_MEMLIMIT_MODERATE};
    return ses_vault_seal_cost(out, kind, secret, len, passphrase, &cost, random);
}

static enum ses_err open_clear(uint8_t *secret, const uint8_t *file, const uint8_t *body,
                               size_t len)
{
    uint8_t check[SES_AEAD_TAG_BYTES];
    clear_check(check, file, body, len);
    SES_REQUIRE(ses_equal(check, body + len, sizeof check), SES_ERR_CHECKSUM);
    memcpy(secret, body, len);
    return SES_OK;
}

static enum ses_err open_locked(uint8_t *secret, const struct header *h, const uint8_t *file,
                                const uint8_t *body, size_t len, const char *passphrase)
{
    struct ses_secret32 key;
    SES_REQUIRE(passphrase != NULL, SES_ERR_INVALID);
    enum ses_err err = stretch(&key, h, passphrase);
    if (err == SES_OK) {
        err = ses_aead_open(secret, &key, &h->nonce, file, HEADER_BYTES, body,
                            len + SES_AEAD_TAG_BYTES);
    }
    ses_wipe(&key, sizeof key);
    return err == SES_ERR_OPEN ? SES_ERR_PASSPHRASE : err;
}

enum ses_err ses_vault_open(void *secret, size_t *len, enum ses_vault_kind kind, const void *file,
                            size_t file_len, const char *passphrase)
{
    struct ses_reader r;
    struct header h;
    const size_t cap = *len;
    *len = 0;
    ses_reader_init(&r, file, file_len);
    SES_TRY(header_read(&h, &r));
    SES_REQUIRE(h.kind == (uint8_t)kind, SES_ERR_MALFORMED);
    SES_REQUIRE(r.left > SES_AEAD_TAG_BYTES, SES_ERR_TRUNCATED);
    const size_t secret_len = r.left - SES_AEAD_TAG_BYTES;
    SES_REQUIRE(secret_len <= SES_VAULT_SECRET_MAX && secret_len <= cap, SES_ERR_TOO_LARGE);
    if (h.lock == LOCK_NONE) {
        SES_TRY(open_clear(secret, file, r.at, secret_len));
    } else {
        SES_TRY(open_locked(secret, &h, file, r.at, secret_len, passphrase));
    }
    *len = secret_len;
    return SES_OK;
}
