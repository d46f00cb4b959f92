/* Peer ids, public keys of peers and multiaddrs as bytes (libp2p peer-ids and addressing
 * specifications). Public part: network.h. */
#ifndef SES_NETWORK_ADDRESS_H
#define SES_NETWORK_ADDRESS_H

#include "network/network.h"

/* PublicKey{Type = 1, Data = 2}, deterministic protobuf. */
enum ses_peer_key_type {
    SES_PEER_KEY_RSA = 0,
    SES_PEER_KEY_ED25519 = 1,
    SES_PEER_KEY_SECP256K1 = 2,
    SES_PEER_KEY_ECDSA = 3,
};
#define SES_PEER_KEY_PB_MAX 1024u
#define SES_PEER_KEY_ED25519_BYTES 36u
struct ses_peer_key {
    enum ses_peer_key_type type;
    const uint8_t *data; /* view */
    size_t len;
};
void ses_peer_key_write(struct ses_writer *w, const struct ses_ed25519_pk *pk);
/* Rejects anything but the two fields in order, once. */
SES_CHECKED enum ses_err ses_peer_key_read(struct ses_peer_key *out, const uint8_t *pb, size_t len);
/* Of the encoded public key: identity multihash up to 42 bytes of key, else SHA-256. */
void ses_peer_id_of_pb(struct ses_peer_id *out, const uint8_t *pb, size_t len);
/* A multihash as above. */
SES_CHECKED enum ses_err ses_peer_id_read(struct ses_peer_id *out, const uint8_t *bytes,
                                          size_t len);

/* What a multiaddr of TCP says. */
enum ses_host_kind { SES_HOST_IP4, SES_HOST_IP6, SES_HOST_DNS, SES_HOST_DNS4, SES_HOST_DNS6 };
#define SES_DNS_NAME_MAX 100u
struct ses_tcp_addr {
    enum ses_host_kind kind;
    uint8_t ip[16];                  /* ip4: the first four bytes */
    char name[SES_DNS_NAME_MAX + 1]; /* dns */
    uint16_t port;
    bool has_peer;
    struct ses_peer_id peer;
};
/* SES_ERR_VERSION: a protocol that this host does not speak (in a list: skip that address);
 * SES_ERR_MALFORMED. */
SES_CHECKED enum ses_err ses_tcp_addr_read(struct ses_tcp_addr *out, const uint8_t *bytes,
                                           size_t len);
SES_CHECKED enum ses_err ses_tcp_addr_write(struct ses_multiaddr *out,
                                            const struct ses_tcp_addr *addr);

#endif
