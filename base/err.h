/* One error convention for the whole project.
 *
 * Every fallible function returns `enum ses_err`; SES_OK is 0. The families tell the caller what to
 * do: bad input (refuse it), state (absent, full, again), environment (disk, memory, network),
 * peer (it broke the protocol), rules (the chain or a swarm refuses, with the reason).
 */
#ifndef SES_BASE_ERR_H
#define SES_BASE_ERR_H

#include <stdio.h>
#include <stdlib.h>

#define SES_ERRORS(X)                                                                              \
    X(OK, 0, "ok")                                                                                 \
    /* bad input */                                                                                \
    X(ERR_INVALID, 1, "invalid argument")                                                          \
    X(ERR_MALFORMED, 2, "malformed")                                                               \
    X(ERR_TOO_LARGE, 3, "too large")                                                               \
    X(ERR_CHECKSUM, 4, "checksum does not match")                                                  \
    X(ERR_VERSION, 5, "unsupported version")                                                       \
    X(ERR_SIGNATURE, 6, "signature does not verify")                                               \
    X(ERR_OPEN, 7, "cannot be opened with this key")                                               \
    X(ERR_PASSPHRASE, 8, "wrong passphrase or damaged file")                                       \
    X(ERR_CONFIG, 9, "configuration is wrong")                                                     \
    /* state */                                                                                    \
    X(ERR_NOT_FOUND, 20, "not found")                                                              \
    X(ERR_EXISTS, 21, "exists already")                                                            \
    X(ERR_AGAIN, 22, "not ready, try again")                                                       \
    X(ERR_FULL, 23, "limit reached")                                                               \
    X(ERR_CLOSED, 24, "closed")                                                                    \
    X(ERR_TRUNCATED, 25, "truncated")                                                              \
    /* environment */                                                                              \
    X(ERR_MEMORY, 40, "out of memory")                                                             \
    X(ERR_IO, 41, "input/output error")                                                            \
    X(ERR_NO_SPACE, 42, "no space left on the disk")                                               \
    X(ERR_UNREACHABLE, 43, "unreachable")                                                          \
    X(ERR_TIMEOUT, 44, "no answer in time")                                                        \
    X(ERR_CRYPTO, 45, "the cryptographic library failed")                                          \
    X(ERR_PERMISSION, 46, "permission denied")                                                     \
    X(ERR_IN_USE, 47, "address or file is in use")                                                 \
    /* peer */                                                                                     \
    X(ERR_PEER, 60, "the peer broke the protocol")                                                 \
    X(ERR_PEER_IDENTITY, 61, "the peer is not who it should be")                                   \
    X(ERR_NOT_POST_QUANTUM, 62, "the connection is not post-quantum")                              \
    /* rules of a swarm (also the status of a response, see protocol/) */                          \
    X(ERR_WRONG_SWARM, 80, "another swarm serves this inbox")                                      \
    X(ERR_CLOCK, 81, "the clock is off")                                                           \
    X(ERR_QUOTA, 82, "the inbox is full")                                                          \
    X(ERR_WORK, 83, "proof of work missing or too small")                                          \
    X(ERR_RATE, 84, "too many requests")                                                           \
    X(ERR_UNAUTHORISED, 85, "not authorised")                                                      \
    X(ERR_DISK_LOW, 86, "the node's disk is nearly full")                                          \
    X(ERR_UNAVAILABLE, 87, "the node cannot serve this now")                                       \
    X(ERR_STRANGERS, 88, "the inbox takes no more from strangers")                                 \
    /* rules of the chain */                                                                       \
    X(ERR_NONCE, 100, "wrong nonce")                                                               \
    X(ERR_FUNDS, 101, "balance too small")                                                         \
    X(ERR_STAKE, 102, "stake below the minimum")                                                   \
    X(ERR_FEE, 103, "fee below the minimum")                                                       \
    X(ERR_REGISTERED, 104, "the node is registered already")                                       \
    X(ERR_NOT_OWNER, 105, "only the owner may do this")                                            \
    X(ERR_STATUS, 106, "the node's status does not allow this")                                    \
    X(ERR_PARENT, 107, "the parent block is unknown or not verified")                              \
    X(ERR_TIME, 108, "the block's time is not allowed")                                            \
    X(ERR_STATE_ROOT, 109, "the state root differs")                                               \
    X(ERR_EPOCH, 110, "another epoch is running")                                                  \
    X(ERR_SEAT, 111, "the node does not hold this seat")                                           \
    X(ERR_OPENING, 112, "an opening is false")

enum ses_err {
#define SES_X(name, code, text) SES_##name = code,
    SES_ERRORS(SES_X)
#undef SES_X
};

/* The English text of `err`, static storage; "unknown error" for a number outside the enum. */
const char *ses_err_text(enum ses_err err);
/* The name of `err` in lower case with dashes ("wrong-swarm"), for JSON and logs; static storage.
 */
const char *ses_err_name(enum ses_err err);
/* The error whose wire number is `code`; SES_ERR_PEER if there is none. */
enum ses_err ses_err_from_code(unsigned code);

/* A sentence for a person that says what is wrong and what to do. The callee writes it when it
 * returns an error; `NULL` is allowed wherever a function takes one. */
struct ses_note {
    char text[400];
};
__attribute__((format(printf, 2, 3))) void ses_note_set(struct ses_note *note, const char *format,
                                                        ...);

#define SES_CHECKED __attribute__((warn_unused_result))

/* Return the error of a call. */
#define SES_TRY(call)                                                                              \
    do {                                                                                           \
        const enum ses_err ses_try_err = (call);                                                   \
        if (ses_try_err != SES_OK)                                                                 \
            return ses_try_err;                                                                    \
    } while (0)

/* For what comes from outside: return `err` unless the condition holds. */
#define SES_REQUIRE(cond, err)                                                                     \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return (err);                                                                          \
    } while (0)

/* For our own bugs: stays on in release builds and aborts. */
#define SES_ASSERT(cond)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            ses_assert_failed(#cond, __FILE__, __LINE__);                                          \
    } while (0)

__attribute__((noreturn)) void ses_assert_failed(const char *cond, const char *file, int line);

#endif
