/* The status byte of a node, which nodes and registry rows share. */
#ifndef SES_PROTOCOL_NODE_INTERNAL_H
#define SES_PROTOCOL_NODE_INTERNAL_H

#include "protocol/node.h"

void ses_node_status_write(struct ses_writer *w, enum ses_node_status status);
/* SES_ERR_MALFORMED in `r` unless it is one of the enum. */
enum ses_node_status ses_node_status_read(struct ses_reader *r);

#endif
