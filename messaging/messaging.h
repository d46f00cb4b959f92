/* messaging: sealed messages and the client's state machines. No sockets, no files, no clock: time
 * and randomness are arguments, storage is a table of functions, events go in and actions come out.
 *
 *     content (protobuf) ─► seal v1 ─► record ─► outbox ─► [store actions] ─► stored
 *     [pages] ─► merge by id ─► open ─► replay check ─► content
 */
#ifndef SES_MESSAGING_MESSAGING_H
#define SES_MESSAGING_MESSAGING_H

#include "swarm/swarm.h"

/* ---- contact card: KEM pk || DSA pk || name, self-signed; the body of the newest record in the
 * owner's namespace -1 (the record's own signature covers it) ---- */
#define SES_NAME_MAX 64u
struct ses_card {
    struct ses_session_id id;
    struct ses_kem_pk kem_pk;
    struct ses_dsa_pk dsa_pk;
    char name[SES_NAME_MAX + 1]; /* UTF-8, may be empty */
};
void ses_card_of(struct ses_card *out, const struct ses_identity *owner, const char *name);
/* Stand-alone card (files, QR): keys, name, signature (context session/card/v1). */
#define SES_CARD_BYTES_MAX                                                                         \
    (SES_KEM_PK_BYTES + SES_DSA_PK_BYTES + 2u + SES_NAME_MAX + SES_DSA_SIG_BYTES)
SES_CHECKED enum ses_err ses_card_write(struct ses_writer *w, const struct ses_card *card,
                                        const struct ses_identity *owner,
                                        const struct ses_random *random);
SES_CHECKED enum ses_err ses_card_read(struct ses_card *card, const uint8_t *bytes, size_t len);
/* The card's record for namespace -1 (ttl_class 4): appends header 48 and payload. */
SES_CHECKED enum ses_err ses_card_record(struct ses_buf *out, const struct ses_card *card,
                                         const struct ses_identity *owner,
                                         const struct ses_hash *chain_id, uint64_t now_ms,
                                         const struct ses_random *random);
/* Checks owner signature, recomputes the Session ID; ERR_SIGNATURE, ERR_MALFORMED. */
SES_CHECKED enum ses_err ses_card_from_record(struct ses_card *card,
                                              const struct ses_record *record,
                                              const struct ses_session_id *want,
                                              const struct ses_hash *chain_id);

/* Any owned record (ns % 10 != 0): appends header 48 and signed payload, ts = now rounded down. */
SES_CHECKED enum ses_err ses_owned_record(struct ses_buf *out, int16_t ns, uint8_t ttl_class,
                                          const uint8_t *body, size_t len,
                                          const struct ses_identity *owner,
                                          const struct ses_hash *chain_id, uint64_t now_ms,
                                          const struct ses_random *random);

/* ---- envelopes ---- */
/* v0 (upstream's EncryptToRecipient): out = SES_ENVELOPE0_OVERHEAD + len bytes. */
SES_CHECKED enum ses_err ses_seal0(uint8_t *out, const struct ses_kem_pk *to, const void *in,
                                   size_t len, const struct ses_random *random);
SES_CHECKED enum ses_err ses_open0(uint8_t *out, const struct ses_identity *to, const uint8_t *in,
                                   size_t len);

struct ses_seal1 {
    const struct ses_identity *from;
    const struct ses_card *to;
    int16_t ns;
    uint8_t ttl_class;
    uint16_t type;
    uint8_t uuid[16];
    bool with_keys; /* show the sender's keys (first contact) */
    bool sign_body;
    const uint8_t *body;
    size_t body_bytes;
};
/* Appends header 48 and payload (exactly a padding class). ts = now rounded down to a second. */
SES_CHECKED enum ses_err ses_seal1(struct ses_buf *out, const struct ses_seal1 *message,
                                   uint64_t now_ms, const struct ses_random *random);
struct ses_opened1 {
    struct ses_session_id sender;
    uint64_t sent_ms;
    uint64_t ts_ms;
    uint8_t uuid[16];
    uint16_t type;
    bool has_keys;
    bool body_signed;
    struct ses_card sender_card; /* keys as shown, or as looked up */
    struct ses_buf body;         /* owned by the caller; wiped by ses_opened1_free */
};
/* Keys of a sender who did not show them: ERR_NOT_FOUND if unknown. */
typedef enum ses_err ses_find_card_fn(void *cookie, const struct ses_session_id *id,
                                      struct ses_card *out);
/* ERR_OPEN for every way in which it can fail (but ERR_MEMORY). */
SES_CHECKED enum ses_err ses_open1(struct ses_opened1 *out, const struct ses_identity *to,
                                   const struct ses_record *record, ses_find_card_fn *find_card,
                                   void *cookie);
void ses_opened1_free(struct ses_opened1 *opened);

/* ---- content (messaging/content.proto) ---- */
#define SES_CONTENT_TYPE 1u
enum ses_content_kind { SES_CONTENT_TEXT, SES_CONTENT_FILE, SES_CONTENT_UNSUPPORTED };
struct ses_content {
    enum ses_content_kind kind;
    uint64_t composed_ms;
    const char *text;    /* TEXT; for FILE the file name */
    const uint8_t *data; /* FILE */
    size_t data_bytes;
    bool has_token; /* the sender's write token for the recipient (namespace -21) */
    struct ses_hash token;
};
SES_CHECKED enum ses_err ses_content_encode(struct ses_buf *out, const struct ses_content *content);
/* Views point into memory owned by *owner: ses_content_free(owner). */
struct ses_content_owner;
SES_CHECKED enum ses_err ses_content_decode(struct ses_content *out,
                                            struct ses_content_owner **owner, const uint8_t *bytes,
                                            size_t len);
void ses_content_free(struct ses_content_owner *owner);

/* Text for people: well-formed UTF-8 (no surrogates, nothing overlong). */
bool ses_utf8_valid(const char *text, size_t len);
/* A name: UTF-8 of 0..SES_NAME_MAX bytes without control characters. */
bool ses_name_valid(const char *name);
/* A file name to show or to create: UTF-8, 1..255 bytes, no '/', no control characters, not "." or
 * "..". */
bool ses_file_name_valid(const char *name);

/* ---- outbox: one message on its way, a state machine without I/O ----
 *
 *     SEAL ──sealed──► OFFER ──stored──────────────► STORED
 *      ▲ too old, lost   │ └──accepted──► CHECK ──counted──► STORED
 *      └─────────────────┴──────────────────┘        given up ──► FAILED
 *
 * The caller asks ses_outbox_step what to do, does it, reports the outcome by one of the events and
 * saves the item (ses_outbox_encode) before the next step. Whatever step a crash falls between, the
 * message goes on from its last saved state; a message that is sealed again keeps its uuid, by
 * which the recipient drops copies. */
#define SES_OUTBOX_BODY_MAX SES_PAYLOAD_MAX
#define SES_OUTBOX_RESEAL_MS 60000u /* a sealed record older than this is sealed anew */
#define SES_OUTBOX_BACKOFF_MS 5000u /* after the first round; doubles */
#define SES_OUTBOX_BACKOFF_MAX_MS 900000u
#define SES_OUTBOX_LOST_MS 3600000u   /* accepted, but not stored for so long: sealed anew */
#define SES_OUTBOX_KEEP_MS 604800000u /* finished items are kept for 7 days */
#define SES_OUTBOX_WORK_BITS_MAX 26u  /* more proof of work than this is refused */

enum ses_outbox_state {
    SES_OUTBOX_SEAL = 1,
    SES_OUTBOX_OFFER = 2,
    SES_OUTBOX_CHECK = 3,
    SES_OUTBOX_STORED = 4,
    SES_OUTBOX_FAILED = 5,
};
struct ses_outbox_item {
    uint8_t uuid[16];
    struct ses_session_id to;
    uint16_t type;
    uint8_t ttl_class;
    bool with_keys;
    bool sign_body;
    enum ses_outbox_state state;
    uint64_t created_ms;
    uint64_t next_ms;  /* nothing to do before */
    uint64_t order;    /* random: which member comes first, and jitter */
    uint32_t attempts; /* members asked, in all */
    uint32_t tried;    /* members asked in this round */
    uint32_t rounds;   /* rounds that failed */
    bool refreshed;    /* this round began again with a new map */
    enum ses_err last_err;
    uint8_t work_bits; /* wanted by a node; 0: by ses_stamp_bits */
    enum ses_entry_kind entry;
    struct ses_hash token;
    uint64_t stamp;
    struct ses_hash id; /* of the record */
    uint64_t ts_ms;
    uint8_t quorum;
    uint8_t node_cnt;
    struct ses_node_id nodes[SES_MEMBERS_MAX];
    struct ses_buf body;   /* content; empty once finished */
    struct ses_buf record; /* header 48 and payload; empty unless OFFER */
};
/* A new item in state SEAL, due now; copies `body`. */
SES_CHECKED enum ses_err ses_outbox_init(struct ses_outbox_item *item,
                                         const struct ses_session_id *to, const uint8_t *body,
                                         size_t body_bytes, uint64_t now_ms,
                                         const struct ses_random *random);
void ses_outbox_free(struct ses_outbox_item *item);

enum ses_outbox_step {
    SES_OUTBOX_DO_WAIT,    /* until next_ms */
    SES_OUTBOX_DO_SEAL,    /* then ses_outbox_sealed */
    SES_OUTBOX_DO_OFFER,   /* to ses_outbox_member; then accepted, refused or lost */
    SES_OUTBOX_DO_CHECK,   /* count valid receipts; then ses_outbox_counted */
    SES_OUTBOX_DO_NOTHING, /* finished */
};
/* May move the item to SEAL (record too old) or FAILED (expired). */
enum ses_outbox_step ses_outbox_step(struct ses_outbox_item *item, uint64_t now_ms);
/* Index 0..member_cnt-1 of the member whose turn it is; member_cnt > 0. */
uint32_t ses_outbox_member(const struct ses_outbox_item *item, uint32_t member_cnt);
/* Takes over `record` (emptied). `entry` says what is shown to the node, `secret` the token. */
void ses_outbox_sealed(struct ses_outbox_item *item, struct ses_buf *record,
                       const struct ses_record_ids *ids, enum ses_entry_kind entry,
                       const struct ses_hash *token, uint64_t stamp);
void ses_outbox_accepted(struct ses_outbox_item *item, const struct ses_stored *stored,
                         uint64_t now_ms);
/* What the caller should do besides stepping on. */
enum ses_outbox_advice {
    SES_OUTBOX_GO_ON,
    SES_OUTBOX_REFRESH_MAP, /* fetch the registry before the next step */
    SES_OUTBOX_DROP_TOKEN,  /* the token is not taken (any more): forget it */
};
enum ses_outbox_advice ses_outbox_refused(struct ses_outbox_item *item,
                                          const struct ses_refusal *refusal, uint32_t member_cnt,
                                          uint64_t now_ms);
/* The member did not answer, or not properly. */
void ses_outbox_lost(struct ses_outbox_item *item, enum ses_err err, uint32_t member_cnt,
                     uint64_t now_ms);
/* `nodes`: distinct members whose valid receipts were seen; asked = false if nobody could be asked.
 */
void ses_outbox_counted(struct ses_outbox_item *item, const struct ses_node_id *nodes,
                        uint32_t node_cnt, uint32_t quorum, bool asked, uint64_t now_ms);
/* Appends. Accepted bytes encode identically. */
SES_CHECKED enum ses_err ses_outbox_encode(struct ses_buf *out, const struct ses_outbox_item *item);
SES_CHECKED enum ses_err ses_outbox_decode(struct ses_outbox_item *item, const uint8_t *bytes,
                                           size_t len);

/* ---- what a recipient remembers: cursors and what was seen ---- */
#define SES_SEEN_MAX 262144u
#define SES_SEEN_KEEP_MS (31ull * 86400000u)
#define SES_CURSORS_MAX 1024u
struct ses_seen_entry {
    uint8_t key[16];
    uint64_t until_ms;
};
struct ses_inbox_cursor {
    struct ses_node_id node_id;
    int16_t ns;
    struct ses_cursor cursor;
    uint64_t used_ms;
};
struct ses_inbox_state {
    struct ses_seen_entry *seen; /* sorted by key */
    uint32_t seen_cnt, seen_cap;
    struct ses_inbox_cursor *cursors; /* sorted by node_id, ns */
    uint32_t cursor_cnt, cursor_cap;
};
void ses_inbox_free(struct ses_inbox_state *state);
bool ses_inbox_saw_record(const struct ses_inbox_state *state, const struct ses_hash *id);
bool ses_inbox_saw_message(const struct ses_inbox_state *state, const struct ses_session_id *sender,
                           const uint8_t uuid[16]);
/* Kept for SES_SEEN_KEEP_MS; at SES_SEEN_MAX the one that would go first goes. */
SES_CHECKED enum ses_err ses_inbox_see_record(struct ses_inbox_state *state,
                                              const struct ses_hash *id, uint64_t now_ms);
SES_CHECKED enum ses_err ses_inbox_see_message(struct ses_inbox_state *state,
                                               const struct ses_session_id *sender,
                                               const uint8_t uuid[16], uint64_t now_ms);
/* An entry of another state's `seen`, as it is. */
SES_CHECKED enum ses_err ses_inbox_see_key(struct ses_inbox_state *state, const uint8_t key[16],
                                           uint64_t until_ms);
/* Zeros if unknown. */
void ses_inbox_cursor_get(const struct ses_inbox_state *state, const struct ses_node_id *node_id,
                          int16_t ns, struct ses_cursor *out);
/* At SES_CURSORS_MAX the one used longest ago goes (its node is read from the beginning again). */
SES_CHECKED enum ses_err ses_inbox_cursor_set(struct ses_inbox_state *state,
                                              const struct ses_node_id *node_id, int16_t ns,
                                              const struct ses_cursor *cursor, uint64_t now_ms);
/* Drops what is kept no longer. */
void ses_inbox_prune(struct ses_inbox_state *state, uint64_t now_ms);
SES_CHECKED enum ses_err ses_inbox_encode(struct ses_buf *out, const struct ses_inbox_state *state);
SES_CHECKED enum ses_err ses_inbox_decode(struct ses_inbox_state *state, const uint8_t *bytes,
                                          size_t len);

/* ---- fetch: what is new, from `wanted` members, merged by record id; no I/O ----
 * ses_fetch_next hands out requests (several may be under way at once); each is answered by
 * ses_fetch_page or ses_fetch_failed. A member that fails, or is not fully synced, is replaced by
 * another one. */
/* Both limits are shared out evenly: each member may bring its part of what is new, and a page
 * more, so that no member can take the room of the others. */
#define SES_FETCH_RECORDS_MAX 8192u
#define SES_FETCH_BYTES_MAX 67108864u /* 64 MiB of records */
#define SES_FETCH_PAGES_MAX 4096u     /* of one member: a node cannot page for ever */
enum ses_fetch_member_state {
    SES_FETCH_IDLE,    /* not asked */
    SES_FETCH_READY,   /* in turn: the next page is to be asked */
    SES_FETCH_ASKED,   /* a request is under way */
    SES_FETCH_DONE,    /* answered completely */
    SES_FETCH_PARTIAL, /* answered completely, but not fully synced: does not count */
    SES_FETCH_FULL,    /* has more, but its share is used up: the rest comes with the next fetch */
    SES_FETCH_FAILED,
};
struct ses_fetch_member {
    struct ses_node_id node_id;
    bool counts; /* Active: counts for the quorum */
    bool partial;
    bool slow; /* another one was asked in its place; its answer still counts */
    enum ses_fetch_member_state state;
    uint32_t page_cnt;
    uint32_t record_cnt; /* that it was the first to bring */
    size_t bytes;        /* of these */
    enum ses_err err;
    struct ses_cursor cursor;
};
struct ses_fetched {
    struct ses_record_ids ids;
    uint8_t *bytes; /* header 48 and payload; owned by the fetch */
    uint32_t payload_bytes;
    uint64_t holders; /* bit i: member i brought it */
};
struct ses_fetch {
    struct ses_hash inbox;
    int16_t ns;
    uint32_t wanted;
    uint32_t member_cnt;
    struct ses_fetch_member members[SES_MEMBERS_MAX];
    struct ses_fetched *records;
    uint32_t record_cnt, record_cap;
    bool full; /* too few ended, for the shares are used up: the next fetch goes on */
    uint64_t now_ms;
};
/* `members` in the order in which they are to be asked, the Active ones first; wanted <=
 * active_cnt. Cursors from `state` (NULL: from the beginning). Replies that `state` has seen are
 * left out. */
void ses_fetch_init(struct ses_fetch *fetch, const struct ses_hash *inbox, int16_t ns,
                    const struct ses_node_id *members, uint32_t active_cnt, uint32_t member_cnt,
                    uint32_t wanted, const struct ses_inbox_state *state, uint64_t now_ms);
void ses_fetch_free(struct ses_fetch *fetch);
/* false: nothing to ask now. */
bool ses_fetch_next(struct ses_fetch *fetch, uint32_t *member, struct ses_retrieve *ask);
/* `body`: the whole response. ERR_PEER, or the refusal's status: the member counts as failed.
 * ERR_MEMORY. */
SES_CHECKED enum ses_err ses_fetch_page(struct ses_fetch *fetch, uint32_t member,
                                        const struct ses_inbox_state *state, const uint8_t *body,
                                        size_t len, struct ses_refusal *refusal);
void ses_fetch_failed(struct ses_fetch *fetch, uint32_t member, enum ses_err err);
/* The member takes long: another one is asked too. */
void ses_fetch_slow(struct ses_fetch *fetch, uint32_t member);
/* Enough members have answered (what is still under way may be forgotten), or nothing is under way
 * and nobody is left to ask. */
bool ses_fetch_finished(const struct ses_fetch *fetch);
/* Members that answered completely and count. */
uint32_t ses_fetch_answered(const struct ses_fetch *fetch);
/* The member that alone brought a record which others, that answered completely, do not have:
 * where the record is junk, so is the member's answer. false: there is none. */
bool ses_fetch_only_holder(const struct ses_fetch *fetch, const struct ses_fetched *record,
                           uint32_t *member);
/* Keeps the cursors of every member that answered. */
SES_CHECKED enum ses_err ses_fetch_keep_cursors(const struct ses_fetch *fetch,
                                                struct ses_inbox_state *state);

#include "messaging/complete.h" /* is the whole inbox there, at every member? */

#endif
