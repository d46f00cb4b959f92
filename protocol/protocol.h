/* protocol: every byte that is signed, stored or sent, its limits and ids. No I/O, no allocation:
 * decoders borrow from the caller's bytes, encoders write into the caller's memory.
 *
 *   record.h    message records, segments, admission, stamps
 *   delete.h    signed statements that take records back
 *   receipt.h   signed promises of a node
 *   duty.h      what nodes owe each epoch: commitments, openings, judgements
 *   tx.h        transactions and blocks of the chain
 *   node.h      service nodes, registry rows, epoch records, genesis parameters
 *   envelope.h  layout of sealed messages, v0 and v1 (the cryptography is messaging's)
 *   rpc_frame.h requests and responses of the /session/... protocols
 *   sync_frame.h  those of reconciliation and bulk transfer between members
 *
 * Layouts with golden bytes: docs/protocol.md; a change of any encoding changes the wire
 * fingerprint (protocol/test_fingerprint.c) and needs a line in CHANGELOG under "Wire".
 */
#ifndef SES_PROTOCOL_PROTOCOL_H
#define SES_PROTOCOL_PROTOCOL_H

#include "protocol/delete.h"
#include "protocol/duty.h"
#include "protocol/envelope.h"
#include "protocol/node.h"
#include "protocol/receipt.h"
#include "protocol/record.h"
#include "protocol/rpc_frame.h"
#include "protocol/sync_frame.h"
#include "protocol/tx.h"

#endif
