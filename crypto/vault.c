/* A secret in a file:
 *
 *   magic 8 "SESVAULT", u8 version, u8 kind, u8 lock (0 none, 1 Argon2id 1.3), u8 shown bytes,
 *   u32 passes, u64 memory bytes, salt 16, nonce 24, what is shown        the header, all of it AAD
 *   lock 1: XChaCha20-Poly1305 of the secret, key = Argon2id(passphrase, salt)
 *   lock 0: the secret, then the first 16 bytes of H("vault", header, secret); passes, memory,
 *           salt and nonce are zero
 *
 * Version 1 shows nothing, version 2 something: it can be read without the passphrase, and is
 * authentic once the file has been opened.
 *
 * The cost stands in the file, so that it can rise later, and is bounded when read: a hostile file
 * must not cost more than a second or two, nor more memory than COST_MAX. */
#include <sodium.h>
#include <string.h>

#include "crypto/crypto_internal.h"

#define HEADER_BYTES 64u
#define SALT_BYTES 16u
#define SHOWN_MAX SES_VAULT_SHOWN_MAX
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
    struct ses_part shown;
    struct ses_vault_cost cost;
    uint8_t salt[SALT_BYTES];
    struct ses_nonce nonce;
};

static size_t header_len(const struct header *h)
{
    return HEADER_BYTES + h->shown.len;
}

static void header_write(uint8_t *out, const struct header *h)
{
    struct ses_writer w;
    ses_writer_init(&w, out, header_len(h));
    ses_write_bytes(&w, MAGIC, sizeof MAGIC);
    ses_write_u8(&w, h->shown.len > 0 ? 2 : 1);
    ses_write_u8(&w, h->kind);
    ses_write_u8(&w, h->lock);
    ses_write_u8(&w, (uint8_t)h->shown.len);
    ses_write_u32(&w, h->cost.passes);
    ses_write_u64(&w, h->cost.memory_bytes);
    ses_write_bytes(&w, h->salt, sizeof h->salt);
    ses_write_bytes(&w, h->nonce.bytes, sizeof h->nonce.bytes);
    ses_write_bytes(&w, h->shown.bytes, h->shown.len);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == header_len(h));
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
    memset(h, 0, sizeof *h);
    ses_read_bytes(r, magic, sizeof magic);
    ses_reader_check(r, memcmp(magic, MAGIC, sizeof MAGIC) == 0, SES_ERR_MALFORMED);
    const uint8_t version = ses_read_u8(r);
    ses_reader_check(r, version == 1 || version == 2, SES_ERR_VERSION);
    h->kind = ses_read_u8(r);
    h->lock = ses_read_u8(r);
    h->shown.len = ses_read_u8(r);
    ses_reader_check(r, (version == 2) == (h->shown.len > 0) && h->shown.len <= SHOWN_MAX,
                     SES_ERR_MALFORMED);
    h->cost.passes = ses_read_u32(r);
    h->cost.memory_bytes = ses_read_u64(r);
    ses_read_bytes(r, h->salt, sizeof h->salt);
    ses_read_bytes(r, h->nonce.bytes, sizeof h->nonce.bytes);
    h->shown.bytes = ses_read_view(r, h->shown.len);
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

static void clear_check(uint8_t out[SES_AEAD_TAG_BYTES], const struct ses_part *header,
                        const void *secret, size_t len)
{
    struct ses_hash hash;
    ses_h(&hash, "vault", SES_PARTS(*header, SES_PART(secret, len)));
    memcpy(out, hash.bytes, SES_AEAD_TAG_BYTES);
    ses_wipe(&hash, sizeof hash);
}

static enum ses_err seal_body(uint8_t *out, const struct header *h, const struct ses_part *header,
                              const void *secret, size_t len, const char *passphrase)
{
    if (h->lock == LOCK_NONE) {
        memcpy(out, secret, len);
        clear_check(out + len, header, secret, len);
        return SES_OK;
    }
    struct ses_secret32 key;
    enum ses_err err = stretch(&key, h, passphrase);
    if (err == SES_OK) {
        err = ses_aead_seal(out, &key, &h->nonce, header->bytes, header->len, secret, len);
    }
    ses_wipe(&key, sizeof key);
    return err;
}

enum ses_err ses_vault_seal_cost(struct ses_buf *out, enum ses_vault_kind kind, const void *secret,
                                 size_t len, const struct ses_part *shown, const char *passphrase,
                                 const struct ses_vault_cost *cost, const struct ses_random *random)
{
    SES_REQUIRE(len > 0 && len <= SES_VAULT_SECRET_MAX, SES_ERR_TOO_LARGE);
    SES_REQUIRE(passphrase == NULL || passphrase[0] != 0, SES_ERR_INVALID);
    SES_REQUIRE(shown == NULL || shown->len <= SHOWN_MAX, SES_ERR_TOO_LARGE);
    struct header h = {.kind = (uint8_t)kind};
    if (shown != NULL) {
        h.shown = *shown;
    }
    if (passphrase != NULL) {
        SES_REQUIRE(cost_valid(cost), SES_ERR_INVALID);
        h.lock = LOCK_ARGON2ID;
        h.cost = *cost;
        ses_random_fill(random, h.salt, sizeof h.salt);
        ses_random_fill(random, h.nonce.bytes, sizeof h.nonce.bytes);
    }
    SES_TRY(ses_buf_reserve(out, header_len(&h) + len + SES_AEAD_TAG_BYTES));
    uint8_t *at = out->bytes + out->len;
    const struct ses_part header = SES_PART(at, header_len(&h));
    header_write(at, &h);
    SES_TRY(seal_body(at + header.len, &h, &header, secret, len, passphrase));
    out->len += header.len + len + SES_AEAD_TAG_BYTES;
    return SES_OK;
}

enum ses_err ses_vault_seal(struct ses_buf *out, enum ses_vault_kind kind, const void *secret,
                            size_t len, const struct ses_part *shown, const char *passphrase,
                            const struct ses_random *random)
{
    const struct ses_vault_cost cost = {.passes = crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
                                        .memory_bytes = crypto_pwhash_argon2id_MEMLIMIT_MODERATE};
    return ses_vault_seal_cost(out, kind, secret, len, shown, passphrase, &cost, random);
}

static enum ses_err open_clear(uint8_t *secret, const struct ses_part *header, const uint8_t *body,
                               size_t len)
{
    uint8_t check[SES_AEAD_TAG_BYTES];
    clear_check(check, header, body, len);
    SES_REQUIRE(ses_equal(check, body + len, sizeof check), SES_ERR_CHECKSUM);
    memcpy(secret, body, len);
    return SES_OK;
}

static enum ses_err open_locked(uint8_t *secret, const struct header *h,
                                const struct ses_part *header, const uint8_t *body, size_t len,
                                const char *passphrase)
{
    struct ses_secret32 key;
    SES_REQUIRE(passphrase != NULL, SES_ERR_INVALID);
    enum ses_err err = stretch(&key, h, passphrase);
    if (err == SES_OK) {
        err = ses_aead_open(secret, &key, &h->nonce, header->bytes, header->len, body,
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
    const struct ses_part header = SES_PART(file, header_len(&h));
    const size_t secret_len = r.left - SES_AEAD_TAG_BYTES;
    SES_REQUIRE(secret_len <= SES_VAULT_SECRET_MAX && secret_len <= cap, SES_ERR_TOO_LARGE);
    if (h.lock == LOCK_NONE) {
        SES_TRY(open_clear(secret, &header, r.at, secret_len));
    } else {
        SES_TRY(open_locked(secret, &h, &header, r.at, secret_len, passphrase));
    }
    *len = secret_len;
    return SES_OK;
}

enum ses_err ses_vault_shown(struct ses_part *shown, enum ses_vault_kind kind, const void *file,
                             size_t file_len)
{
    struct ses_reader r;
    struct header h;
    *shown = (struct ses_part){0};
    ses_reader_init(&r, file, file_len);
    SES_TRY(header_read(&h, &r));
    SES_REQUIRE(h.kind == (uint8_t)kind, SES_ERR_MALFORMED);
    SES_REQUIRE(h.shown.len > 0, SES_ERR_NOT_FOUND);
    *shown = h.shown;
    return SES_OK;
}
