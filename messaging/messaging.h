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

#endif
