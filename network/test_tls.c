/* Certificates and handshakes: what is proven, and what is refused. */
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/tap.h"
#include "network/tls.h"

#define NOW_MS 1800000000000u
#define EXTENSION_OID "1.3.6.1.4.1.53594.1.1"

static uint64_t fixed_now(void *ctx)
{
    (void)ctx;
    return NOW_MS;
}
static const struct ses_clock test_clock = {.now_ms = fixed_now};

static struct ses_ed25519_seed seed_new(void)
{
    struct ses_ed25519_seed seed;
    ses_random_fill(tap_random(), &seed, sizeof seed);
    return seed;
}

static struct ses_peer_id id_of(const struct ses_ed25519_seed *seed)
{
    struct ses_ed25519_pk pk;
    struct ses_peer_id id;
    ses_ed25519_pk(&pk, seed);
    ses_peer_id_of(&id, &pk);
    return id;
}

static X509 *cert_at(EVP_PKEY *key, const struct ses_ed25519_seed *seed, uint64_t now_ms)
{
    X509 *cert = NULL;
    TAP_MUST(ses_cert_new(&cert, key, seed, now_ms, tap_random()) == SES_OK);
    return cert;
}

static enum ses_err verify(X509 *cert, const struct ses_peer_id *expected)
{
    struct ses_tls_peer peer = {.clock = &test_clock, .expected = expected};
    /* as a peer gets it: through DER, without the caches of the making */
    uint8_t *der = NULL;
    const int len = i2d_X509(cert, &der);
    const uint8_t *at = der;
    X509 *received = d2i_X509(NULL, &at, len);
    OPENSSL_free(der);
    TAP_MUST(received != NULL);
    const enum ses_err err = ses_cert_verify(received, &peer);
    X509_free(received);
    ERR_clear_error();
    return err;
}

static void other_extension(X509 *cert, int nid, const char *value, int at)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    TAP_MUST(extension != NULL && X509_add_ext(cert, extension, at) == 1);
    X509_EXTENSION_free(extension);
}

static void test_good_certificates(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    const struct ses_ed25519_seed seed = seed_new();
    const struct ses_peer_id id = id_of(&seed);
    X509 *cert = cert_at(key, &seed, NOW_MS);
    char oid[64];
    (void)OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(X509_get_ext(cert, 0)), 1);
    TAP_TEXT(EXTENSION_OID, oid); /* first: js-libp2p looks nowhere else */
    TAP_ERR(SES_OK, verify(cert, NULL));
    TAP_ERR(SES_OK, verify(cert, &id));
    other_extension(cert, NID_basic_constraints, "critical,CA:FALSE", 0); /* ours is second now */
    TAP_MUST(X509_sign(cert, key, EVP_sha256()) > 0);
    TAP_ERR(SES_OK, verify(cert, &id));
    X509_free(cert);
    cert = cert_at(key, &seed, NOW_MS); /* critical, as rust-libp2p marks it */
    TAP_MUST(X509_EXTENSION_set_critical(X509_get_ext(cert, 0), 1) == 1);
    TAP_MUST(X509_sign(cert, key, EVP_sha256()) > 0);
    TAP_ERR(SES_OK, verify(cert, &id));
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void test_bad_certificates(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *other_key = EVP_EC_gen("P-256");
    const struct ses_ed25519_seed seed = seed_new(), other_seed = seed_new();
    const struct ses_peer_id other = id_of(&other_seed);
    X509 *cert = cert_at(key, &seed, NOW_MS);
    TAP_ERR(SES_ERR_PEER_IDENTITY, verify(cert, &other)); /* a good one of somebody else */
    TAP_MUST(X509_sign(cert, other_key, EVP_sha256()) > 0);
    TAP_ERR(SES_ERR_PEER, verify(cert, NULL)); /* not signed by itself */
    TAP_MUST(X509_set_pubkey(cert, other_key) == 1 && X509_sign(cert, other_key, EVP_sha256()) > 0);
    TAP_ERR(SES_ERR_PEER, verify(cert, NULL)); /* the host key signed another key */
    X509_free(cert);
    cert = cert_at(key, &seed, NOW_MS);
    X509_EXTENSION_free(X509_delete_ext(cert, 0));
    TAP_MUST(X509_sign(cert, key, EVP_sha256()) > 0);
    TAP_ERR(SES_ERR_PEER, verify(cert, NULL)); /* no extension */
    X509_free(cert);
    cert = cert_at(key, &seed, NOW_MS);
    TAP_MUST(X509_add_ext(cert, X509_get_ext(cert, 0), -1) == 1 &&
             X509_sign(cert, key, EVP_sha256()) > 0);
    TAP_ERR(SES_ERR_PEER, verify(cert, NULL)); /* two of them */
    X509_free(cert);
    cert = cert_at(key, &seed, NOW_MS + 90ull * 86400000);
    TAP_ERR(SES_OK, verify(cert, NULL)); /* the clock of its maker was wrong */
    time_t future = (time_t)(NOW_MS / 1000) + 10;
    TAP_MUST(X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &future) != NULL &&
             X509_sign(cert, key, EVP_sha256()) > 0);
    TAP_ERR(SES_ERR_PEER, verify(cert, NULL)); /* not valid yet */
    X509_free(cert);
    cert = cert_at(key, &seed, NOW_MS);
    time_t past = (time_t)(NOW_MS / 1000) - 10;
    TAP_MUST(X509_time_adj_ex(X509_getm_notAfter(cert), 0, 0, &past) != NULL &&
             X509_sign(cert, key, EVP_sha256()) > 0);
    TAP_ERR(SES_ERR_PEER, verify(cert, NULL)); /* expired */
    X509_free(cert);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
}

/* Every bit of the extension counts. */
static void test_damaged_extension(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    const struct ses_ed25519_seed seed = seed_new();
    X509 *good = cert_at(key, &seed, NOW_MS);
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(good, 0));
    const int len = ASN1_STRING_length(value);
    for (int i = 0; i < len; i++) {
        X509 *cert = X509_dup(good);
        uint8_t bytes[256];
        memcpy(bytes, ASN1_STRING_get0_data(value), (size_t)len);
        bytes[i] ^= (uint8_t)(1u << ses_random_below(tap_random(), 8));
        ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
        TAP_MUST(ASN1_OCTET_STRING_set(octets, bytes, len) == 1);
        TAP_MUST(X509_EXTENSION_set_data(X509_get_ext(cert, 0), octets) == 1);
        TAP_MUST(X509_sign(cert, key, EVP_sha256()) > 0);
        TAP_ERR(SES_ERR_PEER, verify(cert, NULL));
        ASN1_OCTET_STRING_free(octets);
        X509_free(cert);
    }
    X509_free(good);
    EVP_PKEY_free(key);
}

static void test_spec_vectors(void)
{
    size_t len = 0, cnt = 0;
    char *text = tap_vectors("libp2p/tls.txt", &len);
    if (text == NULL) {
        tap_skip("vectors/libp2p/tls.txt is absent: one certificate in hex and its peer id, or "
                 "\"invalid\", a line, from the libp2p TLS specification");
        return;
    }
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *id_text = strchr(line, ' ');
        if (line[0] == '#' || id_text == NULL) {
            continue;
        }
        *id_text++ = '\0';
        static uint8_t der[4096];
        const size_t der_len = strlen(line) / 2;
        TAP_MUST(der_len <= sizeof der && ses_hex_decode(der, der_len, line) == SES_OK);
        const uint8_t *at = der;
        X509 *cert = d2i_X509(NULL, &at, (long)der_len);
        TAP_MUST(cert != NULL);
        struct ses_peer_id id;
        if (strcmp(id_text, "invalid") == 0) {
            TAP_ERR(SES_ERR_PEER, verify(cert, NULL));
        } else {
            TAP_ERR(SES_OK, ses_peer_id_parse(&id, id_text));
            TAP_ERR(SES_OK, verify(cert, &id));
        }
        X509_free(cert);
        cnt++;
    }
    TAP_EQ(4, cnt);
    ses_free(text);
}

/* ---- handshakes over a socket pair ---- */

struct pair {
    int fds[2];
    struct ses_ed25519_seed seeds[2];
    struct ses_tls *tls[2];
    SSL *ssl[2];
    struct ses_tls_peer peers[2];
    enum ses_err errs[2];
};

static void pair_init(struct pair *p)
{
    *p = (struct pair){0};
    TAP_MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds) == 0);
    for (int i = 0; i < 2; i++) {
        p->seeds[i] = seed_new();
        p->peers[i].clock = &test_clock;
        TAP_MUST(ses_tls_new(&p->tls[i], &p->seeds[i], &test_clock, tap_random()) == SES_OK);
    }
}

/* End 0 dials. `foreign` replaces an end by a plain OpenSSL one. */
static void pair_run(struct pair *p, SSL *foreign_dialler, SSL *foreign_listener)
{
    SSL *foreign[2] = {foreign_dialler, foreign_listener};
    for (int i = 0; i < 2; i++) {
        p->errs[i] = SES_ERR_AGAIN;
        if (foreign[i] == NULL) {
            TAP_MUST(ses_tls_start(p->tls[i], &p->ssl[i], p->fds[i], i == 0, &p->peers[i]) ==
                     SES_OK);
        } else {
            TAP_MUST(SSL_set_fd(foreign[i], p->fds[i]) == 1);
        }
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 2; i++) {
            bool want_write = false;
            if (foreign[i] != NULL) {
                (void)SSL_do_handshake(foreign[i]);
                ERR_clear_error();
            } else if (p->errs[i] == SES_ERR_AGAIN) {
                p->errs[i] = ses_tls_handshake(p->ssl[i], &p->peers[i], &want_write);
            }
        }
    }
}

static void pair_free(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        SSL_free(p->ssl[i]);
        ses_tls_free(p->tls[i]);
        (void)close(p->fds[i]);
    }
}

static void test_handshake(void)
{
    struct pair p;
    uint8_t exporter[2][32];
    pair_init(&p);
    const struct ses_peer_id listener = id_of(&p.seeds[1]);
    p.peers[0].expected = &listener;
    pair_run(&p, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        TAP_ERR(SES_OK, p.errs[i]);
        TAP_TEXT("X25519MLKEM768", SSL_get0_group_name(p.ssl[i]));
        TAP_OK(ses_tls_early_muxer(p.ssl[i]));
        TAP_OK(p.peers[i].has_ed25519);
        TAP_OK(SSL_get_servername(p.ssl[i], TLSEXT_NAMETYPE_host_name) == NULL);
        const struct ses_peer_id want = id_of(&p.seeds[1 - i]);
        TAP_OK(ses_peer_id_equal(&want, &p.peers[i].id));
        TAP_ERR(SES_OK, ses_tls_exporter(p.ssl[i], exporter[i]));
    }
    TAP_BYTES(exporter[0], exporter[1], 32);
    pair_free(&p);
}

static void test_unexpected_peer(void)
{
    struct pair p;
    pair_init(&p);
    const struct ses_peer_id self = id_of(&p.seeds[0]);
    p.peers[0].expected = &self;
    pair_run(&p, NULL, NULL);
    TAP_ERR(SES_ERR_PEER_IDENTITY, p.errs[0]);
    TAP_OK(p.errs[1] != SES_OK && p.errs[1] != SES_ERR_AGAIN);
    pair_free(&p);
}

/* A peer of another make, with a certificate of ours unless `anonymous`. */
static SSL *foreign_new(SSL_CTX **ctx, bool dialler, const char *groups, int version,
                        bool anonymous, int certs)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    const struct ses_ed25519_seed seed = seed_new();
    X509 *cert = cert_at(key, &seed, NOW_MS);
    *ctx = SSL_CTX_new(TLS_method());
    TAP_MUST(*ctx != NULL && SSL_CTX_set1_groups_list(*ctx, groups) == 1);
    TAP_MUST(SSL_CTX_set_max_proto_version(*ctx, version) == 1);
    if (!anonymous) {
        TAP_MUST(SSL_CTX_use_certificate(*ctx, cert) == 1 &&
                 SSL_CTX_use_PrivateKey(*ctx, key) == 1);
    }
    for (int i = 1; i < certs; i++) {
        TAP_MUST(SSL_CTX_add1_chain_cert(*ctx, cert) == 1);
    }
    SSL *ssl = SSL_new(*ctx);
    if (dialler) {
        SSL_set_connect_state(ssl);
    } else {
        SSL_set_accept_state(ssl);
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return ssl;
}

static void test_foreign_diallers(void)
{
    const struct {
        const char *groups;
        int version;
        bool anonymous;
        int certs;
        enum ses_err err;
    } peers[] = {
        {"X25519MLKEM768:X25519", TLS1_3_VERSION, false, 1, SES_OK},
        {"X25519:P-256", TLS1_3_VERSION, false, 1, SES_ERR_NOT_POST_QUANTUM},
        {"MLKEM768", TLS1_3_VERSION, false, 1, SES_ERR_NOT_POST_QUANTUM},
        {"X25519MLKEM768:X25519", TLS1_2_VERSION, false, 1, SES_ERR_NOT_POST_QUANTUM},
        {"X25519MLKEM768", TLS1_3_VERSION, true, 1, SES_ERR_PEER},
        {"X25519MLKEM768", TLS1_3_VERSION, false, 2, SES_ERR_PEER},
    };
    for (size_t i = 0; i < SES_COUNT(peers); i++) {
        struct pair p;
        SSL_CTX *ctx = NULL;
        pair_init(&p);
        SSL *ssl = foreign_new(&ctx, true, peers[i].groups, peers[i].version, peers[i].anonymous,
                               peers[i].certs);
        pair_run(&p, ssl, NULL);
        TAP_ERR(peers[i].err, p.errs[1]);
        if (peers[i].err == SES_OK) {
            TAP_OK(!ses_tls_early_muxer(p.ssl[1])); /* it offered no ALPN */
        }
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        pair_free(&p);
    }
}

static void test_foreign_listeners(void)
{
    const struct {
        const char *groups;
        int version;
        enum ses_err err;
    } peers[] = {
        {"X25519MLKEM768", TLS1_3_VERSION, SES_OK},
        {"X25519", TLS1_3_VERSION, SES_ERR_NOT_POST_QUANTUM},
        {"X25519MLKEM768:X25519", TLS1_2_VERSION, SES_ERR_NOT_POST_QUANTUM},
    };
    for (size_t i = 0; i < SES_COUNT(peers); i++) {
        struct pair p;
        SSL_CTX *ctx = NULL;
        pair_init(&p);
        SSL *ssl = foreign_new(&ctx, false, peers[i].groups, peers[i].version, false, 1);
        pair_run(&p, NULL, ssl);
        TAP_ERR(peers[i].err, p.errs[0]);
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        pair_free(&p);
    }
}

int main(void)
{
    TAP_RUN(test_good_certificates);
    TAP_RUN(test_bad_certificates);
    TAP_RUN(test_damaged_extension);
    TAP_RUN(test_spec_vectors);
    TAP_RUN(test_handshake);
    TAP_RUN(test_unexpected_peer);
    TAP_RUN(test_foreign_diallers);
    TAP_RUN(test_foreign_listeners);
    return tap_done();
}
