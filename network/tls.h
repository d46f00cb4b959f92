/* TLS 1.3 as libp2p uses it (tls specification), profile pq: key exchange X25519MLKEM768 and
 * nothing else, a certificate of an ephemeral P-256 key that the host's Ed25519 key signs. No
 * tickets, no early data, no server names. */
#ifndef SES_NETWORK_TLS_H
#define SES_NETWORK_TLS_H

#include <openssl/ssl.h>

#include "network/address.h"

#define SES_TLS_GROUP "X25519MLKEM768"
#define SES_TLS_EXPORTER "EXPORTER-session-auth-v1"
#define SES_ALPN_YAMUX "/yamux/1.0.0"
#define SES_ALPN_LIBP2P "libp2p"

/* One SSL_CTX for dialling and listening; owns certificate and key. */
struct ses_tls;
SES_CHECKED enum ses_err ses_tls_new(struct ses_tls **out, const struct ses_ed25519_seed *seed,
                                     const struct ses_clock *clock,
                                     const struct ses_random *random);
void ses_tls_free(struct ses_tls *tls);

/* What a connection's handshake proves; lives as long as its SSL. */
struct ses_tls_peer {
    const struct ses_clock *clock;
    const struct ses_peer_id *expected; /* NULL: anybody */
    enum ses_err err;                   /* of the verification; SES_OK once it passed */
    struct ses_peer_id id;
    bool has_ed25519;
    struct ses_ed25519_pk ed25519;
};
/* A connection on the non-blocking descriptor `fd`, which stays the caller's. */
SES_CHECKED enum ses_err ses_tls_start(struct ses_tls *tls, SSL **out, int fd, bool dialler,
                                       struct ses_tls_peer *peer);
/* One step of the handshake. SES_OK: done, peer proven, group checked. SES_ERR_AGAIN: wants to read
 * or (*want_write) write. SES_ERR_PEER_IDENTITY, SES_ERR_NOT_POST_QUANTUM, SES_ERR_PEER,
 * SES_ERR_CLOSED. */
SES_CHECKED enum ses_err ses_tls_handshake(SSL *ssl, struct ses_tls_peer *peer, bool *want_write);
/* Protocol chosen by ALPN is yamux: no muxer negotiation. */
bool ses_tls_early_muxer(SSL *ssl);
SES_CHECKED enum ses_err ses_tls_exporter(SSL *ssl, uint8_t out[32]);

/* ---- certificates (network/cert.c) ---- */
/* Signed by `key` over itself, valid from an hour ago for a hundred years. */
SES_CHECKED enum ses_err ses_cert_new(X509 **out, EVP_PKEY *key,
                                      const struct ses_ed25519_seed *seed, uint64_t now_ms,
                                      const struct ses_random *random);
/* All that the libp2p specification demands of a peer's certificate. Fills id and key of `peer`.
 * SES_ERR_PEER: bad certificate; SES_ERR_PEER_IDENTITY: a good one of somebody else. */
SES_CHECKED enum ses_err ses_cert_verify(X509 *cert, struct ses_tls_peer *peer);

#endif
