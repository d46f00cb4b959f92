/* The Identify message of libp2p (identify specification): what a host says about itself. */
#ifndef SES_NETWORK_IDENTIFY_H
#define SES_NETWORK_IDENTIFY_H

#include "network/address.h"

#define SES_IDENTIFY_BYTES_MAX 8192u /* read at most */
#define SES_IDENTIFY_ADDRS_MAX 16u
#define SES_IDENTIFY_PROTOCOLS_MAX 64u

/* Views into the message, or into the caller's memory when writing. */
struct ses_identify {
    struct ses_part public_key;
    struct ses_part protocol_version;
    struct ses_part agent;
    struct ses_part observed; /* multiaddr */
    uint16_t addr_cnt;        /* further ones are skipped */
    struct ses_part addrs[SES_IDENTIFY_ADDRS_MAX];
    uint16_t protocol_cnt;
    struct ses_part protocols[SES_IDENTIFY_PROTOCOLS_MAX];
};

void ses_identify_write(struct ses_writer *w, const struct ses_identify *m);
/* Fields that are not known are skipped. SES_ERR_MALFORMED, SES_ERR_TRUNCATED. */
SES_CHECKED enum ses_err ses_identify_read(struct ses_identify *m, const uint8_t *bytes,
                                           size_t len);

#endif
