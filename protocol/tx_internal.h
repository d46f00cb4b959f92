/* The bodies of types 5 to 9: what nodes owe, and demands. */
#ifndef SES_PROTOCOL_TX_INTERNAL_H
#define SES_PROTOCOL_TX_INTERNAL_H

#include "protocol/tx.h"

void ses_tx_write_commitment(struct ses_writer *w, const struct ses_tx_commitment *m);
void ses_tx_read_commitment(struct ses_reader *r, struct ses_tx_commitment *m);
void ses_tx_write_response(struct ses_writer *w, const struct ses_tx_response *m);
void ses_tx_read_response(struct ses_reader *r, struct ses_tx_response *m);
void ses_tx_write_rotate_key(struct ses_writer *w, const struct ses_tx_rotate_key *m);
void ses_tx_read_rotate_key(struct ses_reader *r, struct ses_tx_rotate_key *m);
void ses_tx_write_endpoint(struct ses_writer *w, const struct ses_tx_endpoint *m);
void ses_tx_read_endpoint(struct ses_reader *r, struct ses_tx_endpoint *m);
void ses_tx_write_demand(struct ses_writer *w, const struct ses_tx_demand *m);
void ses_tx_read_demand(struct ses_reader *r, struct ses_tx_demand *m);

#endif
