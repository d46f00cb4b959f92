/* The bodies of types 5 to 9: what nodes owe, and demands. */
#ifndef SES_PROTOCOL_TX_INTERNAL_H
#define SES_PROTOCOL_TX_INTERNAL_H

#include "protocol/tx.h"

void ses_tx_duty_write(struct ses_writer *w, const struct ses_tx *tx);
void ses_tx_duty_read(struct ses_reader *r, struct ses_tx *tx);

#endif
