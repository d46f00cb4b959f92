/* libsession: post-quantum private messages, for applications. Installed as <session/session.h>;
 * pkg-config name `libsession`.
 *
 *     ses_client_open ─► create / restore / unlock ─► send ─► "stored" (W signed receipts)
 *                                                └──► receive, watch ─► your on_message
 *
 * A client object is one profile directory on disk and one place on the network. It keeps, in the
 * profile and nowhere else: the identity (encrypted unless you say otherwise), the chain that it
 * belongs to, the registry of nodes, the outbox, cursors, the replay set and the cards of contacts.
 * Every change is written to a temporary file, synced and renamed, mode 0600: a crash at any moment
 * loses nothing that was acknowledged and sends nothing twice as seen by the recipient.
 *
 * Threads. Calls block. One object is used by one thread at a time (any thread); different objects
 * are independent, also two objects or processes on the same profile. Callbacks run on the calling
 * thread, inside the call, and must not call functions of the same object. The one exception is
 * ses_client_stop, which any thread, callback or signal handler may call.
 *
 * Errors. A fallible function returns 0 (SES_CLIENT_OK) or a number of enum ses_client_err, and
 * then, if `note` is not NULL, a sentence for a person in *note: what is wrong and what to do.
 * Outputs are zeroed on error unless the function says otherwise.
 *
 * Structs that you fill in begin with `size`: set it to sizeof, zero the rest, set what you need.
 * Later versions may add fields at the end; programs compiled against this one keep working.
 *
 * Limits. One message is one sealed envelope: text or file plus name up to
 * ses_client_message_max() bytes (about 75 KiB). Larger files are refused before anything is
 * sealed.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SES_CLIENT_API __attribute__((visibility("default")))
#define SES_CLIENT_CHECKED __attribute__((warn_unused_result))
#else
#define SES_CLIENT_API
#define SES_CLIENT_CHECKED
#endif

/* ---- errors ---- */
enum ses_client_err {
    SES_CLIENT_OK = 0,
    SES_CLIENT_INVALID = 1,        /* a bad argument; the note names it */
    SES_CLIENT_MALFORMED = 2,      /* not a Session ID, phrase, card, file of ours */
    SES_CLIENT_TOO_LARGE = 3,      /* above a limit, which the note names */
    SES_CLIENT_CHECKSUM = 4,       /* a typing error in a phrase; a damaged file or registry */
    SES_CLIENT_VERSION = 5,        /* written by a newer version; or a `05` identity */
    SES_CLIENT_SIGNATURE = 6,      /* a signature does not verify */
    SES_CLIENT_OPEN = 7,           /* cannot be opened with this key */
    SES_CLIENT_PASSPHRASE = 8,     /* wrong passphrase or damaged identity file */
    SES_CLIENT_CONFIG = 9,         /* the configuration, or another chain than the profile's */
    SES_CLIENT_NOT_FOUND = 20,     /* no identity, no such card */
    SES_CLIENT_EXISTS = 21,        /* the profile has an identity already */
    SES_CLIENT_AGAIN = 22,         /* not ready: try again later */
    SES_CLIENT_FULL = 23,          /* the outbox is full */
    SES_CLIENT_CLOSED = 24,        /* ses_client_stop was called */
    SES_CLIENT_TRUNCATED = 25,     /* a file ends early */
    SES_CLIENT_MEMORY = 40,        /* out of memory */
    SES_CLIENT_IO = 41,            /* the disk */
    SES_CLIENT_NO_SPACE = 42,      /* the disk is full */
    SES_CLIENT_UNREACHABLE = 43,   /* chain or swarm: the note says how many were tried */
    SES_CLIENT_TIMEOUT = 44,       /* no answer in time */
    SES_CLIENT_CRYPTO = 45,        /* the cryptographic library failed */
    SES_CLIENT_PERMISSION = 46,    /* the operating system refuses */
    SES_CLIENT_PEER = 60,          /* a node or the chain server broke the protocol */
    SES_CLIENT_PEER_IDENTITY = 61, /* a node is not who the registry says */
    SES_CLIENT_NOT_POST_QUANTUM = 62,
    SES_CLIENT_WRONG_SWARM = 80, /* still so after the registry was refreshed */
    SES_CLIENT_CLOCK = 81,       /* this machine's clock is off; the note says how far */
    SES_CLIENT_QUOTA = 82,       /* the recipient's inbox is full */
    SES_CLIENT_WORK = 83,        /* the swarm wants more proof of work than we may spend */
    SES_CLIENT_RATE = 84,        /* too many requests: wait */
    SES_CLIENT_UNAUTHORISED = 85,
    SES_CLIENT_DISK_LOW = 86,    /* the nodes' disks are full */
    SES_CLIENT_UNAVAILABLE = 87, /* the nodes cannot serve this now */
    SES_CLIENT_STRANGERS = 88    /* the recipient's inbox takes no more from strangers */
};
/* A short text for a number; static storage. */
SES_CLIENT_API const char *ses_client_err_text(int err);
struct ses_client_note {
    char text[400];
};
/* "0.1.0" */
SES_CLIENT_API const char *ses_client_version(void);

/* ---- the object ---- */
struct ses_client;

enum ses_client_log_level {
    SES_CLIENT_LOG_ERROR,
    SES_CLIENT_LOG_WARN,
    SES_CLIENT_LOG_INFO,
    SES_CLIENT_LOG_DEBUG
};
enum ses_client_ask { SES_CLIENT_ASK_UNLOCK, SES_CLIENT_ASK_NEW };

struct ses_client_config {
    size_t size;         /* sizeof(struct ses_client_config) */
    const char *profile; /* directory; created with mode 0700 if its parent exists */
    const char *chain;   /* chain RPC URLs, comma-separated: "http://127.0.0.1:9652/rpc". NULL:
                            offline, network calls give SES_CLIENT_CONFIG */
    /* Asked when a call needs the identity and it is locked (never for unencrypted ones), or for a
     * new identity without an explicit passphrase. Writes a NUL-terminated passphrase of at most
     * cap - 1 bytes; returns 0, or anything else to give up (SES_CLIENT_PASSPHRASE). The buffer is
     * wiped after use. NULL: nobody is asked. */
    int (*passphrase)(void *cookie, enum ses_client_ask ask, char *out, size_t cap);
    /* One line, without newline and without secrets, message texts or Session IDs. NULL: none. */
    void (*log)(void *cookie, enum ses_client_log_level level, const char *line);
    void *cookie;                /* of the two functions above */
    unsigned request_timeout_ms; /* one request to one node or the chain; 0: 10000 */
    int keep_history;            /* received and sent messages are also appended, in the clear, to
                                    history.jsonl in the profile */
};
/* Makes or opens the profile; touches no network and no identity. *out is NULL on error. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_open(struct ses_client **out,
                                                      const struct ses_client_config *config,
                                                      struct ses_client_note *note);
/* Closes connections, wipes secrets. NULL is allowed. */
SES_CLIENT_API void ses_client_close(struct ses_client *client);
/* Makes the call in progress (or, if none is, the next blocking one) return SES_CLIENT_CLOSED soon:
 * watch returns SES_CLIENT_OK. From any thread, callback or signal handler. */
SES_CLIENT_API void ses_client_stop(struct ses_client *client);

/* ---- identity: <profile>/identity, mode 0600 ---- */
#define SES_CLIENT_ID_TEXT 67      /* "07" + 64 hex digits + NUL */
#define SES_CLIENT_PHRASE_TEXT 160 /* recovery phrase, 17 words, NUL */

/* Draws a new identity. `passphrase`: NULL asks config.passphrase, "" stores it unencrypted.
 * SES_CLIENT_EXISTS if the profile has one (it is never overwritten). Unlocked afterwards. */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_create(struct ses_client *client, const char *passphrase, struct ses_client_note *note);
/* The same from a recovery phrase (17 words, any case, spaces or dashes, or 64 hex digits). */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_restore(struct ses_client *client,
                                                         const char *phrase, const char *passphrase,
                                                         struct ses_client_note *note);
/* Opens the identity file. `passphrase` NULL: asks config.passphrase if it is encrypted. Takes up
 * to a second (Argon2id). Harmless if unlocked already. SES_CLIENT_NOT_FOUND without identity. */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_unlock(struct ses_client *client, const char *passphrase, struct ses_client_note *note);
SES_CLIENT_API void ses_client_lock(struct ses_client *client);
/* Writes the identity file anew under another passphrase ("" : unencrypted). Must be unlocked. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_set_passphrase(struct ses_client *client,
                                                                const char *passphrase,
                                                                struct ses_client_note *note);
/* 1 if the profile holds an identity; 1 in *encrypted (may be NULL) if it needs a passphrase. */
SES_CLIENT_API int ses_client_has_identity(struct ses_client *client, int *encrypted);
/* The own Session ID, from what the identity file shows without a passphrase (one that shows
 * nothing is unlocked). `out` holds SES_CLIENT_ID_TEXT characters. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_id(struct ses_client *client, char *out,
                                                    struct ses_client_note *note);
/* The recovery phrase (unlocks): whoever has it owns the identity. `out` holds
 * SES_CLIENT_PHRASE_TEXT characters; wipe it. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_export_phrase(struct ses_client *client, char *out,
                                                               struct ses_client_note *note);
/* SES_CLIENT_OK if `text` is a Session ID that messages can be sent to; a `05` identity and typing
 * errors of length or alphabet are explained. No object needed. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_check_id(const char *text,
                                                          struct ses_client_note *note);

/* ---- cards: the keys behind a Session ID ---- */
#define SES_CLIENT_NAME_TEXT 65 /* UTF-8 name of at most 64 bytes, NUL */
struct ses_client_card {
    char id[SES_CLIENT_ID_TEXT];
    char name[SES_CLIENT_NAME_TEXT]; /* what the owner says of himself; may be empty */
    uint64_t published_ms;           /* of the newest record; 0 if it came from a file */
};
/* Publishes the own card (and write token) so that the ID suffices to write to it. `name` NULL:
 * keeps the last one. It expires after 30 days: every network call of this object publishes it
 * again once it is older than 7 days. SES_CLIENT_OK: W members signed receipts, which were checked
 * here. SES_CLIENT_UNREACHABLE: fewer did, or none; it counts as not published, whatever nodes say.
 */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_publish_card(struct ses_client *client, const char *name, struct ses_client_note *note);
/* Fetches the card of `id` from its swarm, keeps the newest valid one, remembers it.
 * SES_CLIENT_NOT_FOUND if no member has one: the owner must publish it, or hand it over as a file.
 */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_fetch_card(struct ses_client *client,
                                                            const char *id,
                                                            struct ses_client_card *out,
                                                            struct ses_client_note *note);
#define SES_CLIENT_CARD_BYTES 6511
/* The own card as bytes for a file or QR code. *len in: capacity (SES_CLIENT_CARD_BYTES is
 * enough), out: length. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_export_card(struct ses_client *client,
                                                             uint8_t *out, size_t *len,
                                                             struct ses_client_note *note);
/* Verifies such a card and remembers it: no network needed to write to it later. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_import_card(struct ses_client *client,
                                                             const uint8_t *bytes, size_t len,
                                                             struct ses_client_card *out,
                                                             struct ses_client_note *note);
/* Every remembered card; stops when `each` returns non-zero. */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_contacts(struct ses_client *client,
                    int (*each)(void *cookie, const struct ses_client_card *card), void *cookie,
                    struct ses_client_note *note);

/* ---- sending ---- */
enum ses_client_kind {
    SES_CLIENT_TEXT,
    SES_CLIENT_FILE,
    SES_CLIENT_UNSUPPORTED /* received only: a kind that this version does not know */
};
enum ses_client_ttl {                         /* how long the swarm keeps a message */
                      SES_CLIENT_TTL_DEFAULT, /* 7 days */
                      SES_CLIENT_TTL_HOUR,
                      SES_CLIENT_TTL_DAY,
                      SES_CLIENT_TTL_WEEK,
                      SES_CLIENT_TTL_TWO_WEEKS, /* these two only with the recipient's write token,
                                                 */
                      SES_CLIENT_TTL_MONTH      /* which comes with his first message: else
                                                   SES_CLIENT_INVALID */
};
struct ses_client_send {
    size_t size;    /* sizeof(struct ses_client_send) */
    const char *to; /* Session ID */
    enum ses_client_kind kind;
    const char *text;    /* TEXT: the message, UTF-8. FILE: the file's name without folders */
    const uint8_t *data; /* FILE: its contents */
    size_t data_bytes;
    enum ses_client_ttl ttl;
    int sign_body;    /* the recipient can prove to others what was said; 0: deniable */
    unsigned wait_ms; /* for "stored"; 0: 5000 */
};
enum ses_client_state {
    SES_CLIENT_STORED = 1,  /* W members of the swarm signed receipts */
    SES_CLIENT_PENDING = 2, /* accepted or queued: the outbox keeps trying with every call */
    SES_CLIENT_FAILED = 3   /* given up; only in ses_client_outbox */
};
#define SES_CLIENT_NODES_MAX 64
#define SES_CLIENT_NODE_TEXT 64 /* "NodeID-..." and NUL */
struct ses_client_sent {
    enum ses_client_state state;
    char to[SES_CLIENT_ID_TEXT];
    uint8_t uuid[16];   /* of the message: the same in every attempt */
    uint8_t id[32];     /* of the record that carries it; zeros while none was accepted */
    uint64_t ts_ms;     /* of that record */
    unsigned ttl_class; /* 0..4 */
    unsigned quorum;    /* W */
    unsigned node_cnt;  /* members known to hold it */
    char nodes[SES_CLIENT_NODES_MAX][SES_CLIENT_NODE_TEXT];
    unsigned attempts;
    uint64_t next_ms; /* PENDING: when it is tried again; unix milliseconds */
    int last_err;     /* of the last attempt; 0 */
};
/* Bytes that one message holds: text, or file name + file + 16. */
SES_CLIENT_API size_t ses_client_message_max(void);
/* Seals, queues on disk, offers it to members of the recipient's swarm in turn.
 * SES_CLIENT_OK: *out says stored or pending. An error after the message was queued (nobody
 * reachable, clock, quota ...) also fills *out (state PENDING, uuid): it is in the outbox and will
 * be tried again; before that (bad ID, too large, no card) *out is zeroed and nothing is queued.
 * Finds the recipient's card by itself. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_send(struct ses_client *client,
                                                      const struct ses_client_send *message,
                                                      struct ses_client_sent *out,
                                                      struct ses_client_note *note);
/* Tries whatever in the outbox is due (all of it if `now` is not 0). Every other network call does
 * this too for what is due. *left (may be NULL) = messages still pending. */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_flush(struct ses_client *client, int now, unsigned *left, struct ses_client_note *note);
/* The outbox: pending ones, and for 7 days the stored and failed ones. */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_outbox(struct ses_client *client,
                  int (*each)(void *cookie, const struct ses_client_sent *sent), void *cookie,
                  struct ses_client_note *note);

/* Receipts of stored messages are fetched, checked and kept in the profile by every network call,
 * receipts/<id in hex>, until the message expires: with them ses_client_demand makes the signers
 * show the record on chain. This call does it for one message now, and says what it found.
 *
 * Fetches the receipts of a stored message from its swarm and checks each: signature with the
 * registry's key of the node, record id, inbox, segment, swarm and seat. *valid distinct nodes;
 * names in nodes[] (room for SES_CLIENT_NODES_MAX). Keeps the raw receipts in the profile,
 * receipts/<id in hex>. Returns SES_CLIENT_OK if at least W are valid, W of the swarm as the
 * registry has it now; SES_CLIENT_AGAIN if fewer.
 */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_receipts(struct ses_client *client, const struct ses_client_sent *sent, unsigned *valid,
                    char nodes[SES_CLIENT_NODES_MAX][SES_CLIENT_NODE_TEXT],
                    struct ses_client_note *note);

/* ---- receiving ---- */
struct ses_client_message {          /* borrowed for the callback */
    char sender[SES_CLIENT_ID_TEXT]; /* proven by signature */
    char name[SES_CLIENT_NAME_TEXT]; /* of the sender's card; may be empty */
    uint8_t uuid[16];
    uint8_t id[32]; /* of the record */
    uint64_t sent_ms;
    uint64_t composed_ms; /* the sender's word */
    enum ses_client_kind kind;
    const char *text;    /* TEXT: message; FILE: name (never with '/' or control characters) */
    const uint8_t *data; /* FILE; UNSUPPORTED: the undecoded content */
    size_t data_bytes;
    int body_signed; /* the sender can be held to the text by others */
};
/* Returns 0 when the message is taken care of; anything else ends the call with
 * SES_CLIENT_CLOSED, and this message comes again next time. */
typedef int ses_client_message_fn(void *cookie, const struct ses_client_message *message);

struct ses_client_received {
    unsigned delivered;  /* calls of on_message that returned 0 */
    unsigned unopenable; /* records that are not messages for us: dropped */
    unsigned replayed;   /* seen before: dropped */
    unsigned asked;      /* members that answered completely */
    unsigned wanted;     /* members that had to: with fewer a message may be missing until later */
    int more;            /* a limit ended the call: call again */
    unsigned waiting;    /* messages whose senders' cards could not be fetched: they come later */
    unsigned junk;       /* members whose answer broke the rules, or held records that no other
                            member has and that do not open; the log names them */
};
/* Asks wanted = m - W + 1 members of the own swarm for what is new, merges, opens, and hands over
 * each message once, oldest first. What on_message took is on disk as delivered when the call
 * returns; if the process dies before, it comes again (same uuid). *out (may be NULL) is filled
 * also on error. Publishes the own card if it never was. on_message may call ses_client_stop: what
 * it has not seen comes next time. SES_CLIENT_UNREACHABLE if no member answered; with some but
 * fewer than wanted: SES_CLIENT_OK. */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_receive(struct ses_client *client, ses_client_message_fn *on_message, void *cookie,
                   struct ses_client_received *out, struct ses_client_note *note);
/* As receive, then keeps listening: messages arrive as they are stored. Reconnects, follows the
 * registry, resends the outbox. Returns SES_CLIENT_OK after ses_client_stop, or an error that
 * waiting cannot cure (identity, disk, clock, another chain). */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_watch(struct ses_client *client,
                                                       ses_client_message_fn *on_message,
                                                       void *cookie, struct ses_client_note *note);

/* ---- what lies in the own inbox, and deleting it ---- */
struct ses_client_record {
    uint8_t id[32];      /* as in struct ses_client_message */
    uint64_t ts_ms;      /* of the record; the message's own time stands inside */
    uint64_t expires_ms; /* when the swarm drops it */
    unsigned bytes;      /* sealed */
};
/* Every message in the own inbox, read before or not, oldest first, as wanted = m - W + 1 members
 * list them; stops when `each` returns non-zero. With fewer members some may be missing: *answered
 * and *wanted (may be NULL) say so. `node`: as this member alone lists it (then wanted = 1), to
 * compare members; NULL: all together. */
SES_CLIENT_API SES_CLIENT_CHECKED int
ses_client_inbox(struct ses_client *client, const char *node,
                 int (*each)(void *cookie, const struct ses_client_record *record), void *cookie,
                 unsigned *answered, unsigned *wanted, struct ses_client_note *note);

#define SES_CLIENT_DELETE_ALL UINT64_MAX
struct ses_client_delete {
    size_t size;              /* sizeof(struct ses_client_delete) */
    const uint8_t (*ids)[32]; /* these messages; NULL: by time */
    size_t id_cnt;
    uint64_t before_ms; /* ids NULL: all with an older ts_ms; SES_CLIENT_DELETE_ALL: all */
    unsigned wait_ms;   /* for W receipts of one statement; 0: 5000 */
};
struct ses_client_deleted {
    unsigned found;      /* messages in the inbox that were to go */
    unsigned deleted;    /* of these: W members signed receipts of the statement, checked here */
    unsigned pending;    /* of these: fewer signed so far; the members pass it on */
    unsigned unknown;    /* ids that no member lists: expired, deleted, or never there */
    unsigned statements; /* signed; each covers at most 64 messages */
    unsigned answered;   /* members that listed the inbox completely */
    unsigned wanted;     /* members that had to: with fewer a message may have been overlooked */
};
/* Lists the own inbox, signs what is to go, and has its swarm store the statements; from then on
 * every member drops those messages, also one that gets them later. Nobody else can delete, and
 * nothing brings a message back. What was received stays on this machine. An error after some
 * statements were taken leaves their count in *out (always filled). SES_CLIENT_NOT_FOUND: ids were
 * given and none of them is there. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_delete(struct ses_client *client,
                                                        const struct ses_client_delete *what,
                                                        struct ses_client_deleted *out,
                                                        struct ses_client_note *note);

/* ---- checking the swarm: does each member hold all of the own inbox? ---- */
enum ses_client_verdict {
    SES_CLIENT_COMPLETE = 1,  /* proved that it committed to all that the others committed to */
    SES_CLIENT_WITHHOLDS,     /* lacks, hides or does not hand out records: the counts say which */
    SES_CLIENT_FALSE_PROOF,   /* its answer does not match its commitment on the chain */
    SES_CLIENT_NO_COMMITMENT, /* owed one for the epoch, made none */
    SES_CLIENT_NO_PROOF,      /* committed, but did not answer, or refused: `err` */
    SES_CLIENT_NEW_MEMBER     /* owes no commitment yet */
};
struct ses_client_verified { /* one member; borrowed for the callback */
    char node[SES_CLIENT_NODE_TEXT];
    enum ses_client_verdict verdict;
    int err;          /* NO_PROOF: why */
    uint8_t root[32]; /* of its commitment, with all its records: zeros without one */
    uint64_t count;
    unsigned records;   /* of the inbox, as proven; deleted ones too */
    unsigned missing;   /* most members prove them, this one does not have them */
    unsigned promised;  /* it signed receipts for them and does not have them */
    unsigned undeleted; /* it still shows what most show deleted */
    unsigned deleted;   /* it shows deleted what most still show */
    unsigned unserved;  /* it proves them, but does not hand them out */
    unsigned extra;     /* only a minority has them: late ones, or made up; no fault of others */
};
enum ses_client_fault {
    SES_CLIENT_MISSING = 1,
    SES_CLIENT_PROMISED, /* receipts/<id> holds its receipt: demand it on chain (`session demand`)
                          */
    SES_CLIENT_UNDELETED,
    SES_CLIENT_DELETED,
    SES_CLIENT_UNSERVED,
    SES_CLIENT_EXTRA
};
struct ses_client_finding { /* one member and one record */
    char node[SES_CLIENT_NODE_TEXT];
    enum ses_client_fault fault;
    uint8_t id[32];
    uint64_t hour_ms; /* of its time: to the hour where only a receipt is known */
    unsigned holders; /* members that prove it */
    unsigned proven;  /* of so many that gave proofs */
};
#define SES_CLIENT_EPOCH_LAST UINT64_MAX
struct ses_client_verify {
    size_t size;       /* sizeof(struct ses_client_verify) */
    uint64_t epoch;    /* SES_CLIENT_EPOCH_LAST: the one before the current. Snapshots are kept
                          until two epochs later */
    uint64_t since_ms; /* only hours that ended later; 0: all that is live */
    void (*on_node)(void *cookie, const struct ses_client_verified *node);
    void (*on_finding)(void *cookie, const struct ses_client_finding *finding); /* may be NULL */
    void *cookie;
};
struct ses_client_verify_result {
    uint64_t epoch;
    unsigned swarm;
    unsigned records;  /* of the inbox, in all proofs together */
    unsigned members;  /* told to on_node */
    unsigned complete; /* of them */
    unsigned wanted;   /* complete ones that suffice for "nothing is missing": m - W + 1 */
    unsigned faulty;   /* WITHHOLDS, FALSE_PROOF, NO_COMMITMENT */
};
/* Asks every member for proofs of all its records of the own inbox, checks them against its
 * commitment on the chain, compares the members with each other, with the receipts that this
 * profile holds, and with what they hand out. Nothing is taken on a node's word: where it says that
 * a member promised a record, the signed receipt lies in receipts/.
 * SES_CLIENT_OK: enough members are complete and none is faulty. SES_CLIENT_PEER: a member is
 * faulty. SES_CLIENT_UNREACHABLE: fewer than `wanted` gave proofs. SES_CLIENT_NOT_FOUND: the chain
 * has no commitments of this swarm and epoch. *out is filled in all these cases. */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_verify(struct ses_client *client,
                                                        const struct ses_client_verify *ask,
                                                        struct ses_client_verify_result *out,
                                                        struct ses_client_note *note);

/* ---- holding a node to its receipt, on chain ---- */
enum ses_client_outcome {
    SES_CLIENT_DEMANDED = 1, /* in a block; the node's answer is not due yet */
    SES_CLIENT_SHOWN,        /* it opened the record under its commitment */
    SES_CLIENT_MISSED,       /* it did not, and lost `slashed` of its stake (0: forgiven) */
    /* Nothing is shown, nothing is paid: the epoch of the answer has no block, or none near its
     * end, or the node had just got another seat, or the chain makes no progress. Demand again. */
    SES_CLIENT_UNJUDGED
};
struct ses_client_demand {
    size_t size;             /* sizeof(struct ses_client_demand) */
    const uint8_t *id;       /* 32 bytes: the record, with receipts in this profile; NULL: */
    const uint8_t *receipts; /* some, as in a file of receipts/ */
    size_t receipts_bytes;
    const char *node; /* whose receipt, if several nodes signed; NULL: the only one's */
    int wait;         /* until the node has shown the record, or missed: two to three epochs */
};
struct ses_client_demanded {
    char node[SES_CLIENT_NODE_TEXT];
    uint8_t id[32];    /* of the record */
    uint8_t tx_id[32]; /* zeros: nothing was sent */
    uint64_t height;   /* of the block with the demand */
    enum ses_client_outcome outcome;
    int accepted;     /* `epoch` is known: only with `wait` */
    uint64_t epoch;   /* of acceptance; the answer is due in the next one */
    uint64_t slashed; /* nLUX */
};
/* Makes the signer of a receipt show the record on chain, or pay. The transaction's fee is paid
 * from the account of the identity. SES_CLIENT_OK: demanded, or shown. SES_CLIENT_PEER: missed.
 * SES_CLIENT_TIMEOUT: not judged, or in no block after a minute. SES_CLIENT_NOT_FOUND: no such
 * receipt, or the node is not registered. SES_CLIENT_INVALID: several nodes signed; the note names
 * them. *out is filled as far as it came.
 */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_demand(struct ses_client *client,
                                                        const struct ses_client_demand *ask,
                                                        struct ses_client_demanded *out,
                                                        struct ses_client_note *note);

/* ---- the network as this client sees it ---- */
struct ses_client_network {
    uint8_t chain_id[32];
    char name[64];
    uint64_t epoch;
    unsigned node_cnt;
    unsigned num_swarms;
    unsigned swarm;      /* of `inbox` */
    unsigned member_cnt; /* Active members of it */
    char members[SES_CLIENT_NODES_MAX][SES_CLIENT_NODE_TEXT];
};
/* Refreshes the registry. `inbox`: a Session ID, NULL: the own one if there is an identity and it
 * is unlocked (else swarm 0). */
SES_CLIENT_API SES_CLIENT_CHECKED int ses_client_network(struct ses_client *client,
                                                         const char *inbox,
                                                         struct ses_client_network *out,
                                                         struct ses_client_note *note);

#ifdef __cplusplus
}
#endif
#endif
