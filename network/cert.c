#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "network/tls.h"

#define EXTENSION_OID "1.3.6.1.4.1.53594.1.1"
#define SIGNATURE_PREFIX "libp2p-tls-handshake:"
#define SPKI_BYTES_MAX 2048
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define CERT_DAYS 36500
#define CERT_FROM_S 946684800 /* 2000 */

enum { DER_SEQUENCE = 0x30, DER_OCTETS = 0x04 };

/* ---- making ---- */

/* SEQUENCE { OCTET STRING public key, OCTET STRING signature } */
static enum ses_err signed_key_write(struct ses_writer *w, const struct ses_ed25519_seed *seed,
                                     const uint8_t *spki, size_t spki_len)
{
    uint8_t message[sizeof SIGNATURE_PREFIX - 1 + SPKI_BYTES_MAX];
    SES_REQUIRE(spki_len <= SPKI_BYTES_MAX, SES_ERR_TOO_LARGE);
    memcpy(message, SIGNATURE_PREFIX, sizeof SIGNATURE_PREFIX - 1);
    memcpy(message + sizeof SIGNATURE_PREFIX - 1, spki, spki_len);
    struct ses_ed25519_pk pk;
    struct ses_ed25519_sig sig;
    ses_ed25519_pk(&pk, seed);
    ses_ed25519_sign(&sig, seed, message, sizeof SIGNATURE_PREFIX - 1 + spki_len);
    ses_write_u8(w, DER_SEQUENCE);
    ses_write_u8(w, 2 + SES_PEER_KEY_ED25519_BYTES + 2 + sizeof sig.bytes);
    ses_write_u8(w, DER_OCTETS);
    ses_write_u8(w, SES_PEER_KEY_ED25519_BYTES);
    ses_peer_key_write(w, &pk);
    ses_write_u8(w, DER_OCTETS);
    ses_write_u8(w, sizeof sig.bytes);
    ses_write_bytes(w, sig.bytes, sizeof sig.bytes);
    return ses_writer_done(w);
}

static enum ses_err extension_add(X509 *cert, EVP_PKEY *key, const struct ses_ed25519_seed *seed)
{
    enum ses_err err = SES_ERR_CRYPTO;
    uint8_t value[256];
    uint8_t *spki = NULL;
    ASN1_OBJECT *oid = NULL;
    ASN1_OCTET_STRING *octets = NULL;
    X509_EXTENSION *extension = NULL;
    struct ses_writer w;
    ses_writer_init(&w, value, sizeof value);
    const int spki_len = i2d_PUBKEY(key, &spki);
    if (spki_len <= 0 || signed_key_write(&w, seed, spki, (size_t)spki_len) != SES_OK) {
        goto out;
    }
    oid = OBJ_txt2obj(EXTENSION_OID, 1);
    octets = ASN1_OCTET_STRING_new();
    if (oid == NULL || octets == NULL || ASN1_OCTET_STRING_set(octets, value, (int)w.len) != 1) {
        goto out;
    }
    extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, octets);
    /* First, and the only one: js-libp2p reads no other place. */
    if (extension != NULL && X509_add_ext(cert, extension, 0) == 1) {
        err = SES_OK;
    }
out:
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(oid);
    OPENSSL_free(spki);
    return err;
}

/* Valid since long ago: one that was made while this machine's clock ran ahead must not keep
 * everybody away once it is right. */
static bool fields_set(X509 *cert, EVP_PKEY *key, uint64_t now_ms, const struct ses_random *random)
{
    uint8_t serial[8];
    ses_random_fill(random, serial, sizeof serial);
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, never shorter */
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    time_t now = (time_t)(now_ms / 1000);
    time_t from = CERT_FROM_S;
    const bool ok = number != NULL && X509_set_version(cert, X509_VERSION_3) == 1 &&
                    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL &&
                    X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &from) != NULL &&
                    X509_time_adj_ex(X509_getm_notAfter(cert), CERT_DAYS, 0, &now) != NULL &&
                    X509_set_pubkey(cert, key) == 1;
    BN_free(number);
    return ok;
}

enum ses_err ses_cert_new(X509 **out, EVP_PKEY *key, const struct ses_ed25519_seed *seed,
                          uint64_t now_ms, const struct ses_random *random)
{
    *out = NULL;
    X509 *cert = X509_new();
    SES_REQUIRE(cert != NULL, SES_ERR_MEMORY);
    if (!fields_set(cert, key, now_ms, random) || extension_add(cert, key, seed) != SES_OK ||
        X509_sign(cert, key, EVP_sha256()) <= 0) {
        X509_free(cert);
        return SES_ERR_CRYPTO;
    }
    *out = cert;
    return SES_OK;
}

/* ---- checking ---- */

/* DER length: short form, or one or two bytes in the long form, minimal. */
static size_t der_length(struct ses_reader *r)
{
    const uint8_t first = ses_read_u8(r);
    if (first < 0x80) {
        return first;
    }
    if (first == 0x81) {
        const uint8_t len = ses_read_u8(r);
        ses_reader_check(r, len >= 0x80, SES_ERR_MALFORMED);
        return len;
    }
    const uint16_t len = first == 0x82 ? ses_read_u16(r) : 0;
    ses_reader_check(r, len >= 0x100, SES_ERR_MALFORMED);
    return len;
}

static struct ses_part octets_read(struct ses_reader *r)
{
    ses_reader_check(r, ses_read_u8(r) == DER_OCTETS, SES_ERR_MALFORMED);
    const size_t len = der_length(r);
    const uint8_t *bytes = ses_read_view(r, len);
    return SES_PART(bytes, bytes == NULL ? 0 : len);
}

static enum ses_err signed_key_read(struct ses_part *key, struct ses_part *sig,
                                    const uint8_t *bytes, size_t len)
{
    struct ses_reader r;
    ses_reader_init(&r, bytes, len);
    ses_reader_check(&r, ses_read_u8(&r) == DER_SEQUENCE, SES_ERR_MALFORMED);
    const size_t body = der_length(&r);
    ses_reader_check(&r, body == r.left, SES_ERR_MALFORMED);
    *key = octets_read(&r);
    *sig = octets_read(&r);
    return ses_reader_done(&r);
}

static EVP_PKEY *secp256k1_key(const uint8_t *point, size_t len)
{
    char group[] = "secp256k1";
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM params[3] = {
        OSSL_PARAM_construct_utf8_string("group", group, 0),
        OSSL_PARAM_construct_octet_string("pub", (void *)(uintptr_t)point, len),
        OSSL_PARAM_construct_end(),
    };
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1) {
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* The host keys that OpenSSL checks: RSA and ECDSA as DER SPKI, secp256k1 as a point. */
static EVP_PKEY *foreign_key(const struct ses_peer_key *host)
{
    if (host->type == SES_PEER_KEY_SECP256K1) {
        return secp256k1_key(host->data, host->len);
    }
    const uint8_t *at = host->data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)host->len);
    const int type = host->type == SES_PEER_KEY_RSA ? EVP_PKEY_RSA : EVP_PKEY_EC;
    const int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);
    const bool size_ok =
        type == EVP_PKEY_EC ? bits <= 521 : bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
    if (key != NULL &&
        (at != host->data + host->len || EVP_PKEY_get_base_id(key) != type || !size_ok)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static enum ses_err foreign_verify(const struct ses_peer_key *host, const struct ses_part *sig,
                                   const uint8_t *message, size_t len)
{
    enum ses_err err = SES_ERR_PEER;
    EVP_PKEY *key = foreign_key(host);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (key != NULL && md != NULL && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(md, sig->bytes, sig->len, message, len) == 1) {
        err = SES_OK;
    }
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    return err;
}

static enum ses_err host_verify(struct ses_tls_peer *peer, const struct ses_part *key,
                                const struct ses_part *sig, const uint8_t *message, size_t len)
{
    struct ses_peer_key host;
    SES_REQUIRE(key->len <= SES_PEER_KEY_PB_MAX, SES_ERR_PEER);
    SES_REQUIRE(ses_peer_key_read(&host, key->bytes, key->len) == SES_OK, SES_ERR_PEER);
    if (host.type != SES_PEER_KEY_ED25519) {
        SES_TRY(foreign_verify(&host, sig, message, len));
    } else {
        struct ses_ed25519_sig ed25519_sig;
        SES_REQUIRE(sig->len == sizeof ed25519_sig.bytes, SES_ERR_PEER);
        memcpy(ed25519_sig.bytes, sig->bytes, sig->len);
        memcpy(peer->ed25519.bytes, host.data, sizeof peer->ed25519.bytes);
        SES_REQUIRE(ses_ed25519_verify(&peer->ed25519, message, len, &ed25519_sig) == SES_OK,
                    SES_ERR_PEER);
        peer->has_ed25519 = true;
    }
    ses_peer_id_of_pb(&peer->id, key->bytes, key->len);
    return SES_OK;
}

/* The libp2p extension, wherever it stands and critical or not; other critical extensions are
 * refused, as RFC 5280 demands of whoever does not know them. */
static enum ses_err extension_find(const ASN1_OCTET_STRING **out, X509 *cert)
{
    *out = NULL;
    for (int i = 0; i < X509_get_ext_count(cert); i++) {
        X509_EXTENSION *extension = X509_get_ext(cert, i);
        char oid[64];
        const int len = OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(extension), 1);
        if (len > 0 && len < (int)sizeof oid && strcmp(oid, EXTENSION_OID) == 0) {
            SES_REQUIRE(*out == NULL, SES_ERR_PEER);
            *out = X509_EXTENSION_get_data(extension);
        } else {
            SES_REQUIRE(X509_EXTENSION_get_critical(extension) == 0 ||
                            X509_supported_extension(extension) == 1,
                        SES_ERR_PEER);
        }
    }
    SES_REQUIRE(*out != NULL, SES_ERR_PEER);
    return SES_OK;
}

static enum ses_err extension_verify(X509 *cert, struct ses_tls_peer *peer)
{
    uint8_t message[sizeof SIGNATURE_PREFIX - 1 + SPKI_BYTES_MAX];
    const ASN1_OCTET_STRING *value = NULL;
    struct ses_part key, sig;
    SES_TRY(extension_find(&value, cert));
    SES_REQUIRE(signed_key_read(&key, &sig, ASN1_STRING_get0_data(value),
                                (size_t)ASN1_STRING_length(value)) == SES_OK,
                SES_ERR_PEER);
    uint8_t *spki = message + sizeof SIGNATURE_PREFIX - 1;
    X509_PUBKEY *pubkey = X509_get_X509_PUBKEY(cert);
    const int spki_len = i2d_X509_PUBKEY(pubkey, NULL);
    SES_REQUIRE(spki_len > 0 && spki_len <= SPKI_BYTES_MAX, SES_ERR_PEER);
    memcpy(message, SIGNATURE_PREFIX, sizeof SIGNATURE_PREFIX - 1);
    SES_REQUIRE(i2d_X509_PUBKEY(pubkey, &spki) == spki_len, SES_ERR_PEER);
    return host_verify(peer, &key, &sig, message, sizeof SIGNATURE_PREFIX - 1 + (size_t)spki_len);
}

enum ses_err ses_cert_verify(X509 *cert, struct ses_tls_peer *peer)
{
    time_t now = (time_t)(ses_now_ms(peer->clock) / 1000);
    SES_REQUIRE(X509_cmp_time(X509_get0_notBefore(cert), &now) < 0 &&
                    X509_cmp_time(X509_get0_notAfter(cert), &now) > 0,
                SES_ERR_PEER);
    EVP_PKEY *key = X509_get0_pubkey(cert);
    SES_REQUIRE(key != NULL && EVP_PKEY_get_bits(key) <= RSA_BITS_MAX, SES_ERR_PEER);
    SES_REQUIRE(X509_verify(cert, key) == 1, SES_ERR_PEER);
    SES_TRY(extension_verify(cert, peer));
    SES_REQUIRE(peer->expected == NULL || ses_peer_id_equal(peer->expected, &peer->id),
                SES_ERR_PEER_IDENTITY);
    return SES_OK;
}
