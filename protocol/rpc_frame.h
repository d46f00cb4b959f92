/* Bodies of the frames of /session/... (network page, Application protocols).
 *
 *   request   u8 version=1, u8 op, fields
 *   response  u8 version=1, u16 status, fields       status = the number of an enum ses_err
 *
 * Each message has a struct, a _write and a _read; a _read checks version and op, borrows from the
 * frame (views) and rejects trailing bytes. Error responses carry details where the client can act
 * on them (struct ses_refusal).
 */
#ifndef SES_PROTOCOL_RPC_FRAME_H
#define SES_PROTOCOL_RPC_FRAME_H

#include "protocol/delete.h"
#include "protocol/receipt.h"

#define SES_FRAME_VERSION 1u
#define SES_MEMBERS_MAX 64u          /* members of one swarm that a message may name */
#define SES_FRAME_BYTES_MAX 1048576u /* any frame; protocols may set less */
/* Requests and responses reject trailing bytes; a _read that takes a ses_reader leaves it behind
 * the fields, where the elements follow: the caller reads these and calls ses_reader_done. */

/* ---- refusals: status != OK, of any protocol ---- */
struct ses_refusal {
    enum ses_err status;
    /* WRONG_SWARM: the map this node has */
    uint64_t epoch;
    uint32_t num_swarms;
    uint32_t swarm;
    uint8_t member_cnt;
    struct ses_node_id members[SES_MEMBERS_MAX];
    uint64_t time_ms;  /* CLOCK: the node's time (the connection proves the node) */
    uint8_t work_bits; /* WORK: bits wanted */
};
void ses_refusal_write(struct ses_writer *w, const struct ses_refusal *refusal);
/* What a refusal is to whoever asked. CLOSED, MEMORY and FULL of a call mean this program, and end
 * what it does; no node can say that: UNAVAILABLE. */
static inline enum ses_err ses_refusal_err(const struct ses_refusal *refusal)
{
    const enum ses_err err = refusal->status;
    return err == SES_ERR_CLOSED || err == SES_ERR_MEMORY || err == SES_ERR_FULL
               ? SES_ERR_UNAVAILABLE
               : err;
}
/* Reads the status of any response; *ok = true and the reader stands behind the status if it is OK,
 * else the whole refusal is read. */
SES_CHECKED enum ses_err ses_response_begin(struct ses_reader *r, const uint8_t *body, size_t len,
                                            bool *ok, struct ses_refusal *refusal);
/* u8 version, u16 status OK. */
void ses_response_ok(struct ses_writer *w);
/* Version and op of a request, the reader standing behind them. */
SES_CHECKED enum ses_err ses_request_begin(struct ses_reader *r, const uint8_t *body, size_t len,
                                           uint8_t *op);

/* A record as it travels: header 48, u32 payload length, payload. */
void ses_record_write(struct ses_writer *w, const struct ses_record *record);
void ses_record_read(struct ses_reader *r, struct ses_record *record);

/* ---- /session/store/1 ---- */
#define SES_STORE_PUT 1u
#define SES_STORE_RECEIPTS 2u
enum ses_entry_kind { SES_ENTRY_OWNER = 0, SES_ENTRY_TOKEN = 1, SES_ENTRY_STAMP = 2 };
struct ses_store_put {
    struct ses_record record;
    enum ses_entry_kind entry;
    struct ses_hash token; /* SES_ENTRY_TOKEN */
    uint64_t stamp;        /* SES_ENTRY_STAMP */
    uint32_t wait_ms;      /* answer "pending" after this time at the latest */
};
void ses_store_put_write(struct ses_writer *w, const struct ses_store_put *m);
SES_CHECKED enum ses_err ses_store_put_read(struct ses_store_put *m, const uint8_t *body,
                                            size_t len);
enum ses_store_state { SES_STORED = 1, SES_PENDING = 2 };
struct ses_stored {
    enum ses_store_state state;
    struct ses_hash id;
    uint8_t quorum; /* W */
    uint8_t node_cnt;
    struct ses_node_id nodes[SES_MEMBERS_MAX]; /* that gave valid receipts */
};
void ses_stored_write(struct ses_writer *w, const struct ses_stored *m); /* with status OK */
SES_CHECKED enum ses_err ses_stored_read(struct ses_stored *m, struct ses_reader *r);
/* Receipts of one record: {id 32} -> {u16 n, n x receipt}, streamed by the caller with
 * ses_receipt_write / ses_receipt_read. */
void ses_store_receipts_write(struct ses_writer *w, const struct ses_hash *id);
SES_CHECKED enum ses_err ses_store_receipts_read(struct ses_hash *id, const uint8_t *body,
                                                 size_t len);

/* ---- /session/delete/1: a delete statement; the answer is that of a store ---- */
#define SES_DELETE_PUT 1u
struct ses_delete_put {
    uint32_t wait_ms; /* answer "pending" after this time at the latest */
    uint32_t statement_bytes;
    const uint8_t *statement; /* protocol/delete.h */
};
void ses_delete_put_write(struct ses_writer *w, const struct ses_delete_put *m);
SES_CHECKED enum ses_err ses_delete_put_read(struct ses_delete_put *m, const uint8_t *body,
                                             size_t len);

/* ---- /session/retrieve/1 and /session/watch/1 ---- */
/* Arrival order at one node: later arrivals always stand behind the cursor, so paging never skips.
 * Opaque to clients; meaningful only at the node that gave it (zeros: from the beginning). */
#define SES_CURSOR_BYTES 16u
struct ses_cursor {
    uint8_t bytes[SES_CURSOR_BYTES];
};

#define SES_RETRIEVE_PAGE 1u
#define SES_RETRIEVE_LIST 2u
#define SES_RETRIEVE_PROVE 3u
#define SES_WATCH_SUBSCRIBE 1u
#define SES_RETRIEVE_RECORDS_MAX 1024u
struct ses_retrieve {
    struct ses_hash inbox;
    int16_t ns;
    struct ses_cursor after;
    uint16_t record_max; /* 1..SES_RETRIEVE_RECORDS_MAX */
    uint32_t bytes_max;  /* soft: at least one record is returned */
};
/* `op` SES_RETRIEVE_PAGE or SES_WATCH_SUBSCRIBE: same fields. */
void ses_retrieve_write(struct ses_writer *w, const struct ses_retrieve *m);
SES_CHECKED enum ses_err ses_retrieve_read(struct ses_retrieve *m, const uint8_t *body, size_t len);
/* Op SES_RETRIEVE_LIST: the same fields; the answer is a page whose elements are delete targets
 * (protocol/delete.h) instead of records, of kind 0 only. */
void ses_list_write(struct ses_writer *w, const struct ses_retrieve *m);
SES_CHECKED enum ses_err ses_list_read(struct ses_retrieve *m, const uint8_t *body, size_t len);
#define SES_PAGE_MORE 1u /* ask again with `next` */
#define SES_PAGE_PARTIAL                                                                           \
    2u /* the node is not fully synced: does not count for a reader's quorum                       \
        */
struct ses_page {
    uint8_t flags;
    struct ses_cursor next;
    uint16_t record_cnt; /* then record_cnt x record */
};
/* Status OK, flags, next, record_cnt; the records follow with ses_record_write. */
void ses_page_write(struct ses_writer *w, const struct ses_page *m);
void ses_page_read(struct ses_reader *r, struct ses_page *m);
/* Of a list: targets follow. */
void ses_list_page_read(struct ses_reader *r, struct ses_page *m);
/* Where ses_page_write put flags, cursor and count, to fill them in afterwards. */
#define SES_PAGE_HEADER_BYTES (1u + 2u + 1u + SES_CURSOR_BYTES + 2u)

/* Op SES_RETRIEVE_PROVE: all keys of the inbox in these segments, as the node committed to them for
 * an epoch whose snapshot is still openable. The proof is one of the forest (crypto/proof.h) with
 * one range per segment. TOO_LARGE: ask for fewer segments. */
#define SES_PROVE_SEGMENTS_MAX 256u
#define SES_PROVE_BYTES_MAX 786432u
struct ses_prove {
    struct ses_hash inbox;
    uint64_t epoch;
    uint16_t segment_cnt; /* at least 1, ascending */
    struct ses_segment segments[SES_PROVE_SEGMENTS_MAX];
};
void ses_prove_write(struct ses_writer *w, const struct ses_prove *m);
SES_CHECKED enum ses_err ses_prove_read(struct ses_prove *m, const uint8_t *body, size_t len);
struct ses_proof_answer {
    uint64_t epoch;
    uint32_t proof_bytes;
    const uint8_t *proof; /* view */
};
void ses_proof_write(struct ses_writer *w, const struct ses_proof_answer *m); /* with status OK */
SES_CHECKED enum ses_err ses_proof_read(struct ses_proof_answer *m, struct ses_reader *r);

/* ---- /session/info/1 ---- */
#define SES_INFO_GET 1u
struct ses_info {
    struct ses_node_id node_id;
    uint64_t time_ms;
    uint64_t epoch;
    uint32_t swarm;
    uint64_t chain_height;
    uint64_t used_bytes;
    uint64_t free_bytes;
    uint64_t record_cnt;
    char agent[64];
};
void ses_info_request_write(struct ses_writer *w);
SES_CHECKED enum ses_err ses_info_request_read(const uint8_t *body, size_t len);
void ses_info_write(struct ses_writer *w, const struct ses_info *m); /* with status OK */
SES_CHECKED enum ses_err ses_info_read(struct ses_info *m, struct ses_reader *r);

/* ---- /session/registry/1: a snapshot in pages of rows; keys and endpoints on demand ---- */
#define SES_REGISTRY_ROWS 1u
#define SES_REGISTRY_KEYS 2u
#define SES_REGISTRY_ROWS_MAX 4096u
struct ses_registry_ask {
    uint64_t epoch;
    uint32_t first_row;
}; /* epoch UINT64_MAX: the newest */
void ses_registry_ask_write(struct ses_writer *w, const struct ses_registry_ask *m);
SES_CHECKED enum ses_err ses_registry_ask_read(struct ses_registry_ask *m, const uint8_t *body,
                                               size_t len);
struct ses_registry_page {
    uint64_t epoch;
    struct ses_hash seed;
    struct ses_hash root;
    uint32_t num_swarms;
    uint32_t total_rows;
    uint32_t first_row;
    uint16_t row_cnt; /* then row_cnt rows */
};
void ses_registry_page_write(struct ses_writer *w, const struct ses_registry_page *m);
void ses_registry_page_read(struct ses_reader *r, struct ses_registry_page *m);
void ses_registry_row_write(struct ses_writer *w, const struct ses_registry_row *row);
void ses_registry_row_read(struct ses_reader *r, struct ses_registry_row *row);
void ses_registry_keys_ask_write(struct ses_writer *w, const struct ses_node_id *node_id);
SES_CHECKED enum ses_err ses_registry_keys_ask_read(struct ses_node_id *node_id,
                                                    const uint8_t *body, size_t len);
/* Response: status OK, ses_node_keys, ses_endpoint. */

/* ---- /session/replicate/1: a flow between two members ---- */
#define SES_REPLICATE_PUT 1u
#define SES_REPLICATE_RECORDS_MAX 128u
/* request: seq, record_cnt, then record_cnt x {record, u8 receipt_cnt, receipts} */
struct ses_replicate_put {
    uint64_t seq;
    uint16_t record_cnt;
};
void ses_replicate_put_write(struct ses_writer *w, const struct ses_replicate_put *m);
SES_CHECKED enum ses_err ses_replicate_put_read(struct ses_replicate_put *m, struct ses_reader *r,
                                                const uint8_t *body, size_t len);
/* response: status OK, seq, u16 record_cnt, u16 statuses in order; then u16 group_cnt, groups. A
 * group is one signature and the receipts that it covers: node_id, u16 n, signature, u16 cnt, cnt x
 * {u16 record index, leaf, u16 index, u8 path_cnt, path} */
struct ses_replicate_result {
    uint64_t seq;
    uint16_t record_cnt;
};
void ses_replicate_result_write(struct ses_writer *w, const struct ses_replicate_result *m);
SES_CHECKED enum ses_err ses_replicate_result_read(struct ses_replicate_result *m,
                                                   struct ses_reader *r);
struct ses_receipt_group {
    struct ses_node_id node_id;
    uint16_t n;
    struct ses_dsa_sig signature;
    uint16_t cnt;
};
void ses_receipt_group_write(struct ses_writer *w, const struct ses_receipt_group *m);
void ses_receipt_group_read(struct ses_reader *r, struct ses_receipt_group *m);
/* One member of a group: `record` = index in the request; node_id and signature of `receipt` are
 * the group's (filled in by _read from `group`). */
void ses_receipt_group_item_write(struct ses_writer *w, uint16_t record,
                                  const struct ses_receipt *receipt);
void ses_receipt_group_item_read(struct ses_reader *r, const struct ses_receipt_group *group,
                                 uint16_t *record, struct ses_receipt *receipt);

/* ---- /session/probe/1: a tester of the epoch asks, the node answers with a signature (context
 * session/probe/v1) that binds chain, epoch, both nodes and the nonce ---- */
#define SES_PROBE_NONCE 1u
struct ses_probe {
    uint64_t epoch;
    struct ses_hash nonce;
};
void ses_probe_write(struct ses_writer *w, const struct ses_probe *m);
SES_CHECKED enum ses_err ses_probe_read(struct ses_probe *m, const uint8_t *body, size_t len);
void ses_probe_answer_write(struct ses_writer *w,
                            const struct ses_dsa_sig *signature); /* with status OK */
SES_CHECKED enum ses_err ses_probe_answer_read(struct ses_dsa_sig *signature, struct ses_reader *r);
/* chain_id, u64 epoch, tester's and target's node ids, nonce */
#define SES_PROBE_MESSAGE_BYTES (32u + 8u + 20u + 20u + 32u)
void ses_probe_message(uint8_t out[SES_PROBE_MESSAGE_BYTES], const struct ses_hash *chain_id,
                       const struct ses_node_id *tester, const struct ses_node_id *target,
                       const struct ses_probe *m);

/* ---- /session/auth/1 and /session/login/1 (run by network) ---- */
#define SES_AUTH_SUITE_CLIENT 0u
#define SES_AUTH_SUITE_NODE 1u
enum ses_auth_role { SES_ROLE_DIALLER = 0, SES_ROLE_LISTENER = 1 };
struct ses_auth_hello {
    uint8_t suite; /* CLIENT: nothing follows */
    struct ses_node_id node_id;
    struct ses_dsa_sig signature;
};
void ses_auth_hello_write(struct ses_writer *w, const struct ses_auth_hello *m);
SES_CHECKED enum ses_err ses_auth_hello_read(struct ses_auth_hello *m, const uint8_t *body,
                                             size_t len);
/* The signed message: suite, role, chain_id, node_id, exporter 32, dialler's and listener's Ed25519
 * keys. `out` of SES_AUTH_MESSAGE_BYTES. */
#define SES_AUTH_MESSAGE_BYTES (1u + 1u + 32u + 20u + 32u + 32u + 32u)
void ses_auth_message(uint8_t out[SES_AUTH_MESSAGE_BYTES], uint8_t suite, enum ses_auth_role role,
                      const struct ses_hash *chain_id, const struct ses_node_id *node_id,
                      const uint8_t exporter[32], const struct ses_ed25519_pk *dialler,
                      const struct ses_ed25519_pk *listener);
#define SES_LOGIN_PROVE 1u
struct ses_login {
    const uint8_t *kem_pk; /* views */
    const uint8_t *dsa_pk;
    const uint8_t *signature;
};
void ses_login_write(struct ses_writer *w, const struct ses_login *m);
SES_CHECKED enum ses_err ses_login_read(struct ses_login *m, const uint8_t *body, size_t len);
/* chain_id, exporter, node_id, inbox */
#define SES_LOGIN_MESSAGE_BYTES (32u + 32u + 20u + 32u)
void ses_login_message(uint8_t out[SES_LOGIN_MESSAGE_BYTES], const struct ses_hash *chain_id,
                       const uint8_t exporter[32], const struct ses_node_id *node_id,
                       const struct ses_hash *inbox);

#endif
