#include "base/err.h"

#include <stdarg.h>

const char *ses_err_text(enum ses_err err)
{
    switch (err) {
#define SES_X(name, code, text)                                                                    \
    case SES_##name:                                                                               \
        return text;
        SES_ERRORS(SES_X)
#undef SES_X
    }
    return "unknown error";
}

/* The names below are written out because the preprocessor cannot lower their case; the test holds
 * them to the enum. */
const char *ses_err_name(enum ses_err err)
{
    switch (err) {
    case SES_OK:
        return "ok";
#define SES_NAME(name, text)                                                                       \
    case SES_ERR_##name:                                                                           \
        return text;
        SES_NAME(INVALID, "invalid")
        SES_NAME(MALFORMED, "malformed")
        SES_NAME(TOO_LARGE, "too-large")
        SES_NAME(CHECKSUM, "checksum")
        SES_NAME(VERSION, "version")
        SES_NAME(SIGNATURE, "signature")
        SES_NAME(OPEN, "open")
        SES_NAME(PASSPHRASE, "passphrase")
        SES_NAME(CONFIG, "config")
        SES_NAME(NOT_FOUND, "not-found")
        SES_NAME(EXISTS, "exists")
        SES_NAME(AGAIN, "again")
        SES_NAME(FULL, "full")
        SES_NAME(CLOSED, "closed")
        SES_NAME(TRUNCATED, "truncated")
        SES_NAME(MEMORY, "memory")
        SES_NAME(IO, "io")
        SES_NAME(NO_SPACE, "no-space")
        SES_NAME(UNREACHABLE, "unreachable")
        SES_NAME(TIMEOUT, "timeout")
        SES_NAME(CRYPTO, "crypto")
        SES_NAME(PERMISSION, "permission")
        SES_NAME(IN_USE, "in-use")
        SES_NAME(PEER, "peer")
        SES_NAME(PEER_IDENTITY, "peer-identity")
        SES_NAME(NOT_POST_QUANTUM, "not-post-quantum")
        SES_NAME(WRONG_SWARM, "wrong-swarm")
        SES_NAME(CLOCK, "clock")
        SES_NAME(QUOTA, "quota")
        SES_NAME(WORK, "work")
        SES_NAME(RATE, "rate")
        SES_NAME(UNAUTHORISED, "unauthorised")
        SES_NAME(DISK_LOW, "disk-low")
        SES_NAME(UNAVAILABLE, "unavailable")
        SES_NAME(STRANGERS, "strangers")
        SES_NAME(NONCE, "nonce")
        SES_NAME(FUNDS, "funds")
        SES_NAME(STAKE, "stake")
        SES_NAME(FEE, "fee")
        SES_NAME(REGISTERED, "registered")
        SES_NAME(NOT_OWNER, "not-owner")
        SES_NAME(STATUS, "status")
        SES_NAME(PARENT, "parent")
        SES_NAME(TIME, "time")
        SES_NAME(STATE_ROOT, "state-root")
        SES_NAME(EPOCH, "epoch")
        SES_NAME(SEAT, "seat")
        SES_NAME(OPENING, "opening")
#undef SES_NAME
    }
    return "unknown";
}

enum ses_err ses_err_from_code(unsigned code)
{
    switch (code) {
#define SES_X(name, number, text)                                                                  \
    case number:                                                                                   \
        return SES_##name;
        SES_ERRORS(SES_X)
#undef SES_X
    default:
        return SES_ERR_PEER;
    }
}

void ses_note_set(struct ses_note *note, const char *format, ...)
{
    if (note == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    if (vsnprintf(note->text, sizeof note->text, format, args) < 0) {
        note->text[0] = 0;
    }
    va_end(args);
}

void ses_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "bug: %s does not hold at %s:%d; the program stops here\n", cond, file, line);
    abort();
}
