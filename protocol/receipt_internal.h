/* Parts of a receipt that other frames carry on their own. */
#ifndef SES_PROTOCOL_RECEIPT_INTERNAL_H
#define SES_PROTOCOL_RECEIPT_INTERNAL_H

#include "protocol/receipt.h"

void ses_receipt_leaf_write(struct ses_writer *w, const struct ses_receipt_leaf *leaf);
void ses_receipt_leaf_read(struct ses_reader *r, struct ses_receipt_leaf *leaf);
/* u8 path_cnt, siblings; index and n of `receipt` are set already and decide path_cnt. */
void ses_receipt_path_write(struct ses_writer *w, const struct ses_receipt *receipt);
void ses_receipt_path_read(struct ses_reader *r, struct ses_receipt *receipt);

#endif
