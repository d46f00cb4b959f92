/* The public error numbers are the project's own. */
#include <string.h>

#include "client/client_internal.h"

#define SAME(a, b) _Static_assert((int)SES_CLIENT_##a == (int)SES_##b, "public error number " #a)
SAME(OK, OK);
SAME(INVALID, ERR_INVALID);
SAME(MALFORMED, ERR_MALFORMED);
SAME(TOO_LARGE, ERR_TOO_LARGE);
SAME(CHECKSUM, ERR_CHECKSUM);
SAME(VERSION, ERR_VERSION);
SAME(SIGNATURE, ERR_SIGNATURE);
SAME(OPEN, ERR_OPEN);
SAME(PASSPHRASE, ERR_PASSPHRASE);
SAME(CONFIG, ERR_CONFIG);
SAME(NOT_FOUND, ERR_NOT_FOUND);
SAME(EXISTS, ERR_EXISTS);
SAME(AGAIN, ERR_AGAIN);
SAME(FULL, ERR_FULL);
SAME(CLOSED, ERR_CLOSED);
SAME(TRUNCATED, ERR_TRUNCATED);
SAME(MEMORY, ERR_MEMORY);
SAME(IO, ERR_IO);
SAME(NO_SPACE, ERR_NO_SPACE);
SAME(UNREACHABLE, ERR_UNREACHABLE);
SAME(TIMEOUT, ERR_TIMEOUT);
SAME(CRYPTO, ERR_CRYPTO);
SAME(PERMISSION, ERR_PERMISSION);
SAME(PEER, ERR_PEER);
SAME(PEER_IDENTITY, ERR_PEER_IDENTITY);
SAME(NOT_POST_QUANTUM, ERR_NOT_POST_QUANTUM);
SAME(WRONG_SWARM, ERR_WRONG_SWARM);
SAME(CLOCK, ERR_CLOCK);
SAME(QUOTA, ERR_QUOTA);
SAME(WORK, ERR_WORK);
SAME(RATE, ERR_RATE);
SAME(UNAUTHORISED, ERR_UNAUTHORISED);
SAME(DISK_LOW, ERR_DISK_LOW);
SAME(UNAVAILABLE, ERR_UNAVAILABLE);
SAME(STRANGERS, ERR_STRANGERS);
_Static_assert(SES_CLIENT_ID_TEXT == SES_SESSION_ID_TEXT, "text of a Session ID");
_Static_assert(SES_CLIENT_PHRASE_TEXT == SES_PHRASE_TEXT_MAX, "text of a phrase");
_Static_assert(SES_CLIENT_NAME_TEXT == SES_NAME_MAX + 1, "text of a name");
_Static_assert(SES_CLIENT_CARD_BYTES == SES_CARD_BYTES_MAX, "card in a file");
_Static_assert(SES_CLIENT_NODES_MAX == SES_MEMBERS_MAX, "nodes of a swarm");
_Static_assert(SES_CLIENT_NODE_TEXT == SES_ID_TEXT_MAX, "text of a node id");
_Static_assert(sizeof(struct ses_client_note) == sizeof(struct ses_note), "notes");

const char *ses_client_err_text(int err)
{
    return ses_err_text((enum ses_err)err);
}

const char *ses_client_version(void)
{
    return SES_VERSION;
}

int ses_client_result(enum ses_err err, const struct ses_note *from, struct ses_client_note *to)
{
    if (to == NULL) {
        return (int)err;
    }
    memset(to, 0, sizeof *to);
    if (err != SES_OK) {
        const char *text = from->text[0] != 0 ? from->text : ses_err_text(err);
        memcpy(to->text, text, strnlen(text, sizeof to->text - 1));
    }
    return (int)err;
}
