#include "network/tls.h"

#include <openssl/err.h>
#include <string.h>
#include <strings.h>

#define CERT_BYTES_MAX 16384

struct ses_tls {
    SSL_CTX *ctx;
};

static const uint8_t alpn_dialler[] = "\x0c" SES_ALPN_YAMUX "\x06" SES_ALPN_LIBP2P;

static int verify_chain(X509_STORE_CTX *store, void *cookie)
{
    (void)cookie;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct ses_tls_peer *peer = ssl == NULL ? NULL : SSL_get_app_data(ssl);
    X509 *cert = X509_STORE_CTX_get0_cert(store);
    const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    if (peer == NULL || cert == NULL) {
        return 0;
    }
    peer->err = sk_X509_num(sent) > 1 ? SES_ERR_PEER : ses_cert_verify(cert, peer);
    if (peer->err != SES_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return 0;
    }
    return 1;
}

/* yamux if the dialler offers it, else "libp2p"; a dialler that offers neither is none of ours. */
static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned int in_len, void *cookie)
{
    (void)ssl;
    (void)cookie;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_len, alpn_dialler, sizeof alpn_dialler - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool ctx_restrict(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, CERT_BYTES_MAX);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set1_groups_list(ctx, SES_TLS_GROUP) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                                         "TLS_AES_128_GCM_SHA256") == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, "ECDSA+SHA256:ed25519:ECDSA+SHA384:ECDSA+SHA512:"
                                          "rsa_pss_rsae_sha256") == 1 &&
           SSL_CTX_set_num_tickets(ctx, 0) == 1 && SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
           SSL_CTX_set_recv_max_early_data(ctx, 0) == 1;
}

static bool ctx_setup(SSL_CTX *ctx)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_chain, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, alpn_select, NULL);
    /* Moving: a blocked write is repeated from another buffer. Release: an idle connection keeps no
     * record buffers. Read-ahead: several records with one system call. */
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, 65536);
    return SSL_CTX_set_alpn_protos(ctx, alpn_dialler, sizeof alpn_dialler - 1) == 0;
}

static enum ses_err ctx_identify(SSL_CTX *ctx, const struct ses_ed25519_seed *seed,
                                 const struct ses_clock *clock, const struct ses_random *random)
{
    enum ses_err err = SES_ERR_CRYPTO;
    X509 *cert = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key == NULL || ses_cert_new(&cert, key, seed, ses_now_ms(clock), random) != SES_OK) {
        goto out;
    }
    if (SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1) {
        err = SES_OK;
    }
out:
    X509_free(cert);
    EVP_PKEY_free(key);
    return err;
}

enum ses_err ses_tls_new(struct ses_tls **out, const struct ses_ed25519_seed *seed,
                         const struct ses_clock *clock, const struct ses_random *random)
{
    *out = NULL;
    struct ses_tls *tls = ses_alloc(1, sizeof *tls);
    SES_REQUIRE(tls != NULL, SES_ERR_MEMORY);
    tls->ctx = SSL_CTX_new(TLS_method());
    if (tls->ctx == NULL || !ctx_restrict(tls->ctx) || !ctx_setup(tls->ctx) ||
        ctx_identify(tls->ctx, seed, clock, random) != SES_OK) {
        ses_tls_free(tls);
        return SES_ERR_CRYPTO;
    }
    *out = tls;
    return SES_OK;
}

void ses_tls_free(struct ses_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_CTX_free(tls->ctx);
    ses_free(tls);
}

enum ses_err ses_tls_start(struct ses_tls *tls, SSL **out, int fd, bool dialler,
                           struct ses_tls_peer *peer)
{
    *out = NULL;
    SSL *ssl = SSL_new(tls->ctx);
    SES_REQUIRE(ssl != NULL, SES_ERR_MEMORY);
    peer->err = SES_ERR_AGAIN;
    SSL_set_app_data(ssl, peer);
    if (SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return SES_ERR_MEMORY;
    }
    if (dialler) {
        SSL_set_connect_state(ssl);
    } else {
        SSL_set_accept_state(ssl);
    }
    *out = ssl;
    return SES_OK;
}

/* Why the handshake failed: no common key exchange tells itself apart from the rest. */
static enum ses_err handshake_error(const struct ses_tls_peer *peer, int ssl_error)
{
    if (peer->err != SES_OK && peer->err != SES_ERR_AGAIN) {
        ERR_clear_error();
        return peer->err;
    }
    const unsigned long code = ERR_peek_error();
    ERR_clear_error();
    const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    if (reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE || reason == SSL_R_NO_SUITABLE_KEY_SHARE ||
        reason == SSL_R_NO_SUITABLE_GROUPS || reason == SSL_R_NO_SHARED_GROUPS ||
        reason == SSL_R_BAD_KEY_SHARE || reason == SSL_R_UNSUPPORTED_PROTOCOL ||
        reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION) {
        return SES_ERR_NOT_POST_QUANTUM;
    }
    return ssl_error == SSL_ERROR_SSL ? SES_ERR_PEER : SES_ERR_CLOSED;
}

enum ses_err ses_tls_handshake(SSL *ssl, struct ses_tls_peer *peer, bool *want_write)
{
    *want_write = false;
    ERR_clear_error();
    const int got = SSL_do_handshake(ssl);
    if (got != 1) {
        const int error = SSL_get_error(ssl, got);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            return handshake_error(peer, error);
        }
        *want_write = error == SSL_ERROR_WANT_WRITE;
        return SES_ERR_AGAIN;
    }
    SES_TRY(peer->err);
    const char *group = SSL_get0_group_name(ssl);
    SES_REQUIRE(group != NULL && strcasecmp(group, SES_TLS_GROUP) == 0 &&
                    SSL_version(ssl) == TLS1_3_VERSION && SSL_session_reused(ssl) == 0,
                SES_ERR_NOT_POST_QUANTUM);
    return SES_OK;
}

bool ses_tls_early_muxer(SSL *ssl)
{
    const unsigned char *chosen = NULL;
    unsigned int len = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &len);
    return len == sizeof SES_ALPN_YAMUX - 1 && memcmp(chosen, SES_ALPN_YAMUX, len) == 0;
}

enum ses_err ses_tls_exporter(SSL *ssl, uint8_t out[32])
{
    SES_REQUIRE(SSL_export_keying_material(ssl, out, 32, SES_TLS_EXPORTER,
                                           sizeof SES_TLS_EXPORTER - 1, NULL, 0, 0) == 1,
                SES_ERR_CRYPTO);
    return SES_OK;
}
