/* Inside libsession: the object, its files, its network. */
#ifndef SES_CLIENT_CLIENT_INTERNAL_H
#define SES_CLIENT_CLIENT_INTERNAL_H

#include <signal.h>
#include <stdatomic.h>

#include "client/client.h"

#define SES_CLIENT_TIMEOUT_MS 10000u
#define SES_CLIENT_PATIENCE_MS 120000u
#define SES_CLIENT_WAIT_MS 5000u
#define SES_CLIENT_LEASE_MS 30000u /* how long one process works on an outbox item alone */
#define SES_CLIENT_OUTBOX_MAX 1024u
#define SES_CLIENT_CONTACTS_MAX 4096u /* people written to */
#define SES_CLIENT_SENDERS_MAX 1024u  /* people who only wrote to us */
#define SES_CLIENT_CARD_AGE_MS 604800000u
#define SES_CLIENT_CLOCK_AHEAD_S 70u /* a head further in our future: our clock is behind */

/* ---- files.c: everything on disk is of mode 0600 ---- */
/* With magic and checksum around the bytes: ERR_CHECKSUM, ERR_VERSION name the file. */
SES_CHECKED enum ses_err ses_file_save(const char *path, const char magic[8],
                                       const struct ses_buf *body, struct ses_note *note);
SES_CHECKED enum ses_err ses_file_load(const char *path, const char magic[8], size_t max,
                                       struct ses_buf *body, struct ses_note *note);
SES_CHECKED enum ses_err ses_file_append(const char *path, const void *bytes, size_t len,
                                         struct ses_note *note);
SES_CHECKED enum ses_err ses_dir_make(const char *path, struct ses_note *note);
/* Unlinks what a crash left behind between writing and renaming, an hour ago or more. */
void ses_dir_sweep(const char *path, uint64_t now_ms);
/* Exclusive among processes and objects; waits. *fd for ses_lock_drop. */
SES_CHECKED enum ses_err ses_lock_take(const char *path, int *fd, struct ses_note *note);
void ses_lock_drop(int fd);
/* base "/" name into `out`; ERR_TOO_LARGE. */
SES_CHECKED enum ses_err ses_path_join(char out[SES_PATH_MAX], const char *base, const char *name,
                                       struct ses_note *note);

/* ---- state.c: <profile>/state ---- */
struct ses_profile_state {
    struct ses_hash chain_id;  /* zeros: not pinned yet */
    struct ses_hash order_key; /* random: the order in which members are asked */
    bool has_token;
    struct ses_hash token;      /* whoever knows it may write to us without proof of work */
    uint64_t card_published_ms; /* 0: never */
    char name[SES_NAME_MAX + 1];
    struct ses_inbox_state inbox;
};
void ses_profile_state_free(struct ses_profile_state *state);
SES_CHECKED enum ses_err ses_profile_state_encode(struct ses_buf *out,
                                                  const struct ses_profile_state *state);
SES_CHECKED enum ses_err ses_profile_state_decode(struct ses_profile_state *state,
                                                  const uint8_t *bytes, size_t len);

/* ---- contacts.c: <profile>/contacts ---- */
struct ses_contact {
    struct ses_card card;
    uint64_t published_ms; /* of the card's record */
    uint64_t used_ms;
    bool is_contact; /* written to, imported or fetched; else only seen as sender */
    bool has_token;
    struct ses_hash token;
};
struct ses_contacts {
    struct ses_contact *list; /* sorted by id */
    uint32_t cnt, cap;
};
void ses_contacts_free(struct ses_contacts *contacts);
struct ses_contact *ses_contacts_find(const struct ses_contacts *contacts,
                                      const struct ses_session_id *id);
/* Adds or updates card and time (a newer card wins); the rest of an entry stays. *out is valid
 * until the next call. ERR_FULL. */
SES_CHECKED enum ses_err ses_contacts_put(struct ses_contacts *contacts,
                                          const struct ses_card *card, uint64_t published_ms,
                                          bool is_contact, uint64_t now_ms,
                                          struct ses_contact **out);
SES_CHECKED enum ses_err ses_contacts_encode(struct ses_buf *out,
                                             const struct ses_contacts *contacts);
SES_CHECKED enum ses_err ses_contacts_decode(struct ses_contacts *contacts, const uint8_t *bytes,
                                             size_t len);

/* ---- registry_cache.c: <profile>/registry ---- */
struct ses_registry_cache {
    bool loaded; /* the map below is good */
    struct ses_hash chain_id;
    char network_name[64];
    uint64_t genesis_s;
    uint64_t epoch_s;
    struct ses_map map;
    uint32_t node_cap;
};
void ses_registry_cache_free(struct ses_registry_cache *cache);
/* Inserts or replaces by node_id, keeping the order. `keys`, `endpoint` NULL: as before. */
SES_CHECKED enum ses_err ses_registry_cache_put(struct ses_registry_cache *cache,
                                                const struct ses_registry_row *row,
                                                const struct ses_node_keys *keys,
                                                const struct ses_endpoint *endpoint);
SES_CHECKED enum ses_err ses_registry_cache_copy(struct ses_registry_cache *out,
                                                 const struct ses_registry_cache *from);
/* ERR_CHECKSUM unless the rows hash to the root. */
SES_CHECKED enum ses_err ses_registry_cache_verify(const struct ses_registry_cache *cache);
SES_CHECKED enum ses_err ses_registry_cache_encode(struct ses_buf *out,
                                                   const struct ses_registry_cache *cache);
SES_CHECKED enum ses_err ses_registry_cache_decode(struct ses_registry_cache *cache,
                                                   const uint8_t *bytes, size_t len);
uint64_t ses_registry_cache_epoch_at(const struct ses_registry_cache *cache, uint64_t now_ms);

/* ---- the object ---- */
struct ses_client {
    char *profile;
    char *chain;
    int (*passphrase)(void *cookie, enum ses_client_ask ask, char *out, size_t cap);
    void (*log_line)(void *cookie, enum ses_client_log_level level, const char *line);
    void *cookie;
    unsigned timeout_ms;
    uint64_t patience_ms; /* with one node that answers question after question and finds no end */
    bool keep_history;
    struct ses_log log;
    const struct ses_random *random;
    const struct ses_clock *clock;
    atomic_int stop;

    int lock_fd; /* -1: no transaction */
    struct ses_profile_state state;
    struct ses_contacts contacts;

    struct ses_identity *identity; /* NULL: locked */

    struct ses_rpc_client *rpc;
    bool chain_checked;
    struct ses_chain_params params;
    struct ses_registry_cache registry;
    uint64_t refreshed_ms;        /* last attempt */
    struct ses_receipt_memo memo; /* receipts of many messages share signatures */
    uint64_t card_retry_ms;       /* by ses_mono_ms: no card before */
    uint64_t swept_ms;            /* when finished items were last looked through; 0: never */

    struct ses_uv *uv;
    struct ses_net *net;
    uint32_t in_flight;
    bool running;
    bool closing; /* the host is being closed */
    struct ses_timer *tick;
};

uint64_t ses_client_now(const struct ses_client *c);
/* Path of a file in the profile. */
SES_CHECKED enum ses_err ses_client_path(const struct ses_client *c, const char *name,
                                         char out[SES_PATH_MAX], struct ses_note *note);
/* Error number and note for the public functions; fills in a text where a callee had none. */
int ses_client_result(enum ses_err err, const struct ses_note *from, struct ses_client_note *to);
bool ses_client_stopped(const struct ses_client *c);
/* As ses_client_result at the end of a call that may be stopped: the wish is fulfilled then. */
int ses_client_finish(struct ses_client *c, enum ses_err err, struct ses_note *from,
                      struct ses_client_note *to);

/* A transaction on state and contacts: takes the lock, reads what is on disk. commit writes what
 * `what` names; abort drops the changes. Never across network calls. */
enum { SES_SAVE_STATE = 1, SES_SAVE_CONTACTS = 2 };
SES_CHECKED enum ses_err ses_client_begin(struct ses_client *c, struct ses_note *note);
SES_CHECKED enum ses_err ses_client_commit(struct ses_client *c, unsigned what,
                                           struct ses_note *note);
void ses_client_abort(struct ses_client *c);

/* identity_file.c */
SES_CHECKED enum ses_err ses_client_need_identity(struct ses_client *c, struct ses_note *note);

/* chain.c */
SES_CHECKED enum ses_err ses_client_need_chain(struct ses_client *c, struct ses_note *note);
/* The map; `force`: ask the chain even if the epoch is not over. */
SES_CHECKED enum ses_err ses_client_need_map(struct ses_client *c, bool force,
                                             struct ses_note *note);

/* net.c: requests on the loop */
SES_CHECKED enum ses_err ses_client_need_net(struct ses_client *c, struct ses_note *note);
SES_CHECKED enum ses_err ses_client_start(struct ses_client *c, const struct ses_map_node *node,
                                          enum ses_proto proto, bool login, const uint8_t *body,
                                          size_t len, uint64_t deadline_ms, ses_reply_fn *on_reply,
                                          void *cookie);
/* Runs the loop until *done, which a reply sets. ERR_CLOSED after ses_client_stop: all requests
 * have been answered then (with ERR_CLOSED), whoever asked. */
SES_CHECKED enum ses_err ses_client_wait(struct ses_client *c, const bool *done);
/* Makes whoever runs the loop look up. */
void ses_client_wake(struct ses_client *c);
/* One request, its answer appended to `out`. */
SES_CHECKED enum ses_err ses_client_ask(struct ses_client *c, const struct ses_map_node *node,
                                        enum ses_proto proto, bool login, const uint8_t *body,
                                        size_t len, uint64_t deadline_ms, struct ses_buf *out);
/* Items 0..item_cnt-1, several at a time, each with one question after the other (many.c). */
struct ses_many {
    enum ses_proto proto;
    bool login;
    uint64_t deadline_ms;
    /* Writes an item's next question (at most 2 KiB) and says to whom; NULL: it has none. */
    const struct ses_map_node *(*ask)(void *cookie, uint32_t item, struct ses_writer *w);
    /* An answer or why there is none; what it returns, if not SES_OK, ends everything. */
    enum ses_err (*answered)(void *cookie, uint32_t item, enum ses_err err, const uint8_t *body,
                             size_t len);
    void *cookie;
};
SES_CHECKED enum ses_err ses_client_ask_many(struct ses_client *c, const struct ses_many *many,
                                             uint32_t item_cnt);
/* Runs the loop until ses_uv_stop, ses_client_stop or `ms` are over. */
SES_CHECKED enum ses_err ses_client_run_for(struct ses_client *c, uint64_t ms);
void ses_client_close_net(struct ses_client *c);
void ses_client_target_of(struct ses_target *out, const struct ses_map_node *node);

/* swarm_view.c */
struct ses_swarm_view {
    uint32_t swarm;
    uint32_t active_cnt;
    uint32_t cnt;
    uint32_t nodes[SES_MEMBERS_MAX]; /* indices into the map, Active first */
};
/* ERR_UNREACHABLE with a note if the swarm has no Active member. */
SES_CHECKED enum ses_err ses_client_view(struct ses_client *c, const struct ses_hash *inbox,
                                         struct ses_swarm_view *out, struct ses_note *note);
/* Reorders Active and other members, each group by a hash of the profile's key and the day: the
 * same members are asked for a day (their cursors are known), different ones tomorrow. */
void ses_client_order(struct ses_client *c, struct ses_swarm_view *view);
/* Explains a refusal and what to do. */
void ses_refusal_note(struct ses_note *note, const struct ses_refusal *refusal, uint64_t now_ms);

/* fetching.c: runs a fetch over the network, `login`: as the owner; begins again with a new map if
 * a member says WRONG_SWARM. Free the fetch in any case. ERR_UNREACHABLE if no member answered. */
SES_CHECKED enum ses_err ses_client_fetch(struct ses_client *c, struct ses_fetch *fetch,
                                          const struct ses_hash *inbox, int16_t ns, bool login,
                                          const struct ses_inbox_state *state,
                                          struct ses_note *note);

/* listing.c: what lies in an inbox of ours, without payloads */
#define SES_LISTING_MAX 524288u
struct ses_listing {
    struct ses_delete_target *list; /* by id, each once */
    uint32_t cnt, cap;
    uint32_t share;    /* that one member may fill; 0: all */
    uint32_t answered; /* Active members that listed everything */
    uint32_t wanted;
    bool seen; /* at least one member listed */
};
/* From wanted = m - W + 1 members, merged; fewer may answer. ERR_UNREACHABLE or a refusal if none
 * did. Begins anew in `listing`; free it in any case. */
SES_CHECKED enum ses_err ses_client_list(struct ses_client *c, const struct ses_hash *inbox,
                                         int16_t ns, struct ses_listing *listing,
                                         struct ses_note *note);
/* From one member, appended in its order. ERR_TIMEOUT if it finds no end, ERR_TOO_LARGE if it lists
 * more than its share. */
SES_CHECKED enum ses_err ses_client_list_member(struct ses_client *c,
                                                const struct ses_map_node *node,
                                                const struct ses_hash *inbox, int16_t ns,
                                                struct ses_listing *listing, bool *partial,
                                                struct ses_refusal *refusal);

/* cards.c */
SES_CHECKED enum ses_err ses_client_find_card(struct ses_client *c, const struct ses_session_id *id,
                                              bool fresh, struct ses_card *out,
                                              uint64_t *published_ms, struct ses_note *note);
SES_CHECKED enum ses_err ses_client_publish(struct ses_client *c, const char *name,
                                            struct ses_note *note);
/* Publishes again what is older than 7 days; `first`: also what never was. Only logs errors; if
 * some members hold the card, but no quorum, it waits ten minutes before it tries again. */
void ses_client_keep_card(struct ses_client *c, bool first);

/* outbox_files.c: <profile>/outbox/<uuid> while it is pending, then <profile>/done/<uuid>; an empty
 * <profile>/owed/<uuid> as long as the receipts of a stored one are not here */
enum ses_outbox_folder { SES_OUTBOX_PENDING, SES_OUTBOX_DONE, SES_OUTBOX_OWED };
/* A finished item is moved to the other folder. */
SES_CHECKED enum ses_err ses_outbox_save(struct ses_client *c, struct ses_outbox_item *item,
                                         uint64_t lease_until_ms, struct ses_note *note);
SES_CHECKED enum ses_err ses_outbox_load(struct ses_client *c, enum ses_outbox_folder folder,
                                         const uint8_t uuid[16], struct ses_outbox_item *out,
                                         struct ses_note *note);
/* Appends the uuids, 16 bytes each. */
SES_CHECKED enum ses_err ses_outbox_list(struct ses_client *c, enum ses_outbox_folder folder,
                                         struct ses_buf *out, struct ses_note *note);
/* Its receipts are here, or will never be. */
void ses_outbox_settle(struct ses_client *c, const uint8_t uuid[16]);
/* Removes what was finished 7 days ago; looks once an hour. */
void ses_outbox_sweep(struct ses_client *c);
/* Loads it if it is due (or `now`) and nobody works on it, and marks it as being worked on;
 * ERR_AGAIN. */
SES_CHECKED enum ses_err ses_outbox_claim(struct ses_client *c, const uint8_t uuid[16], bool now,
                                          struct ses_outbox_item *out, struct ses_note *note);

/* send.c */
SES_CHECKED enum ses_err ses_client_work(struct ses_client *c, struct ses_outbox_item *item,
                                         unsigned wait_ms, struct ses_note *note);
SES_CHECKED enum ses_err ses_client_flush_due(struct ses_client *c, bool now, unsigned *left,
                                              struct ses_note *note);
void ses_client_sent_of(struct ses_client_sent *out, const struct ses_outbox_item *item);

/* receipts.c: asks members until `want` distinct valid receipts are there. *asked: members that
 * answered. `raw` may be NULL. */
struct ses_receipt_want {
    struct ses_hash id;
    struct ses_hash inbox;
    uint8_t ttl_class;
    uint64_t ts_ms;
    bool all;                        /* of every member, not of a quorum only */
    const struct ses_node_id *first; /* asked first: where it entered; NULL: any */
};
SES_CHECKED enum ses_err ses_client_count(struct ses_client *c, const struct ses_receipt_want *want,
                                          struct ses_node_id *nodes, uint32_t *node_cnt,
                                          uint32_t *quorum, uint32_t *asked, struct ses_buf *raw,
                                          struct ses_note *note);

/* Fetches and keeps the receipts of a stored item, unless they are kept already or it has expired.
 * ERR_AGAIN: fewer than a quorum gave theirs; ERR_NOT_FOUND: a quorum has none. */
SES_CHECKED enum ses_err ses_client_keep_receipts(struct ses_client *c,
                                                  const struct ses_outbox_item *item,
                                                  struct ses_note *note);

/* place.c: has our swarm store a record of ours: a card, a write token, a delete statement */
struct ses_place {
    enum ses_proto proto;
    bool login;
    const struct ses_buf *body; /* the request */
    unsigned wait_ms;           /* for W receipts */
    const struct ses_record_ids *ids;
};
/* SES_STORED: W receipts were checked here. SES_PENDING, with a note: fewer, but some. If no member
 * shows any, an error, whatever they say. */
SES_CHECKED enum ses_err ses_client_place(struct ses_client *c, const struct ses_place *place,
                                          enum ses_store_state *state, struct ses_note *note);

/* ---- receipt_files.c: <profile>/receipts ---- */
bool ses_receipts_have(const struct ses_client *c, const struct ses_hash *id);
/* Adds `raw` to what is kept; one of each node. */
SES_CHECKED enum ses_err ses_receipts_keep(struct ses_client *c, const struct ses_hash *id,
                                           const struct ses_buf *raw, struct ses_note *note);
/* All that are kept, of all records. */
SES_CHECKED enum ses_err ses_receipts_each(struct ses_client *c, ses_receipt_fn *fn, void *cookie,
                                           struct ses_note *note);
/* Removes those of expired records. */
void ses_receipts_prune(struct ses_client *c);

/* ---- judge.c: what answers mean; no I/O ---- */
/* The request that offers an item's record to a member. */
SES_CHECKED enum ses_err ses_offer_body(const struct ses_outbox_item *item, unsigned wait_ms,
                                        struct ses_buf *out);
/* Moves the item on by what one of `members` Active members answered, or by `err`. */
enum ses_outbox_advice ses_offer_answer(struct ses_outbox_item *item, enum ses_err err,
                                        const uint8_t *body, size_t len, uint32_t members,
                                        uint64_t now_ms, struct ses_note *note);
/* What one of `active_cnt` Active members answered to a record: stored at W of them, or pending. By
 * its word. */
SES_CHECKED enum ses_err ses_stored_answer(const uint8_t *body, size_t len, uint32_t active_cnt,
                                           enum ses_store_state *state,
                                           struct ses_refusal *refusal);
/* Calls `fn` for each receipt of an answer, as it was told. ERR_PEER, why it was refused, or what
 * `fn` returned. */
SES_CHECKED enum ses_err ses_receipts_answer(const uint8_t *body, size_t len, ses_receipt_fn *fn,
                                             void *cookie);
/* Everything that makes a receipt a promise for this record by an Active node that serves its inbox
 * by this map. */
SES_CHECKED enum ses_err ses_receipt_check(const struct ses_receipt *receipt,
                                           const struct ses_receipt_want *want,
                                           const struct ses_map *map,
                                           const struct ses_hash *chain_id,
                                           struct ses_receipt_memo *memo);

/* ---- judge_delete.c: likewise of deletes ---- */
void ses_listing_free(struct ses_listing *listing);
/* NULL if it is not in the list. */
const struct ses_delete_target *ses_listing_find(const struct ses_listing *listing,
                                                 const struct ses_hash *id);
/* Sorts by id, each once. */
void ses_listing_merge(struct ses_listing *listing);
/* Appends the page that answers `ask`, moves its cursor on. ERR_PEER, ERR_TOO_LARGE, or why it was
 * refused. */
SES_CHECKED enum ses_err ses_listing_take(struct ses_listing *listing, struct ses_retrieve *ask,
                                          uint64_t now_ms, const uint8_t *body, size_t len,
                                          uint8_t *flags, struct ses_refusal *refusal);
/* Keeps what is to go. Alike ones together: a statement lives as long as the last of its targets.
 * What lies in our future stays: a statement is no older than its targets, and no node takes one
 * from the future; a member that makes such a record up must not keep the others in the inbox. */
void ses_delete_choose(struct ses_listing *listing, const struct ses_client_delete *what,
                       uint64_t now_ms);
struct ses_delete_signer {
    const struct ses_identity *owner;
    const struct ses_hash *chain_id;
    const struct ses_random *random;
    uint64_t now_ms;
};
/* The request with a signed statement over 1..SES_DELETE_TARGETS_MAX targets. */
SES_CHECKED enum ses_err ses_delete_body(const struct ses_delete_signer *signer,
                                         const struct ses_delete_target *targets, size_t cnt,
                                         unsigned wait_ms, struct ses_buf *body);
/* Of the record that carries such a request's statement. */
SES_CHECKED enum ses_err ses_delete_ids(struct ses_record_ids *out, const struct ses_buf *body);

/* receive.c */
struct ses_delivery {
    ses_client_message_fn *on_message;
    void *cookie;
    struct ses_client_received *result;
};
/* Opens, orders and hands over the records of `fetch`; then keeps its cursors. */
SES_CHECKED enum ses_err ses_client_deliver(struct ses_client *c, const struct ses_fetch *fetch,
                                            const struct ses_delivery *delivery,
                                            struct ses_note *note);
SES_CHECKED enum ses_err ses_client_receive_once(struct ses_client *c,
                                                 const struct ses_delivery *delivery,
                                                 struct ses_note *note);

/* history.c */
SES_CHECKED enum ses_err ses_client_history(struct ses_client *c, const char *direction,
                                            const char *peer, uint64_t sent_ms,
                                            const uint8_t uuid[16],
                                            const struct ses_content *content,
                                            struct ses_note *note);

#endif
