/* For tests of the forest in the store: asks that wait for their answer, delete statements, and an
 * oracle that keeps what was put in a plain list and makes a forest of it when asked. */
#ifndef SES_STORAGE_TEST_ASK_H
#define SES_STORAGE_TEST_ASK_H

#include "storage/test_kit.h"

#define ASK_LEAVES_MAX 4096u
struct ask {
    bool done;
    enum ses_err err;
    struct ses_segment_state segments[2048];
    size_t segment_cnt;
    struct ses_sum sum;
    struct ses_sum children[64][16];
    struct ses_leaf leaves[ASK_LEAVES_MAX];
    size_t leaf_cnt;
    struct ses_snapshot snapshot;
    struct ses_buf bytes; /* a proof, or a page */
    uint32_t record_cnt;
    uint64_t next;
    bool more;
    struct ses_chunk chunk;
    uint8_t chunk_bytes[SES_CHUNK_BYTES];
};
void ask_segments(struct kit *kit, struct ask *ask, const struct ses_view *view,
                  uint32_t from_hour);
void ask_children(struct kit *kit, struct ask *ask, const struct ses_view *view,
                  const struct ses_children_ask *asks, size_t cnt);
void ask_leaves(struct kit *kit, struct ask *ask, const struct ses_view *view,
                const struct ses_forest_range *range, size_t max);
void ask_at(struct kit *kit, struct ask *ask, const struct ses_view *view,
            const uint64_t *positions, size_t cnt);
void ask_prove(struct kit *kit, struct ask *ask, const struct ses_view *view,
               const struct ses_forest_question *question);
void ask_snapshot(struct kit *kit, struct ask *ask, uint64_t epoch, uint32_t swarm,
                  uint32_t num_swarms);
void ask_chunk(struct kit *kit, struct ask *ask, const struct ses_hash *id, uint32_t number);
void ask_bulk(struct kit *kit, struct ask *ask, const struct ses_segment *segment, uint64_t offset,
              size_t bytes_max);
void ask_drop_foreign(struct kit *kit, struct ask *ask);
void ask_free(struct ask *ask);
void ask_view_of(struct ses_view *out, uint64_t epoch);

/* A record with its ids as they are given, as from another member; waits. */
enum ses_err ask_put(struct kit *kit, const struct ses_record *record,
                     const struct ses_record_ids *ids, const struct ses_vouchers *vouchers,
                     uint64_t *admit_epoch);

/* ---- deletes ---- */
/* The owner of the records that statements can delete: its inbox is that of an identity. */
struct owner {
    struct ses_identity *identity;
    struct ses_hash inbox;
};
void owner_init(struct owner *owner, uint8_t n);
void owner_free(struct owner *owner);
/* Record number `n` of the owner's inbox, ns 0. */
void owner_record(struct kit_record *out, const struct owner *owner, uint64_t n, uint64_t ts_ms,
                  uint8_t ttl_class, uint32_t payload_bytes);
struct statement {
    struct kit_record record;
    struct ses_deletion targets[SES_DELETIONS_MAX];
    uint8_t target_cnt;
};
void statement_make(struct statement *out, const struct kit *kit, const struct owner *owner,
                    const struct kit_record *targets, size_t cnt, uint64_t time_ms);
void statement_free(struct statement *statement);
enum ses_err statement_put(struct kit *kit, const struct statement *statement,
                           uint64_t *admit_epoch);

/* ---- oracle ---- */
#define ORACLE_MAX 4096u
struct oracle_item {
    struct ses_leaf leaf; /* of the message or statement */
    bool stored;
    uint64_t admit_epoch;
    bool deleted;
    uint64_t tomb_epoch;
};
struct oracle {
    struct oracle_item items[ORACLE_MAX];
    size_t cnt;
};
void oracle_put(struct oracle *oracle, const struct kit_record *record, uint64_t admit_epoch);
void oracle_delete(struct oracle *oracle, const struct statement *statement,
                   const struct ses_hash *digest, uint64_t admit_epoch);
/* Sum over all segments of what stands in the view; count of the segments. `from_ms`: only
 * segments that expire then or later. */
size_t oracle_sum(const struct oracle *oracle, struct ses_sum *out, const struct ses_view *view,
                  uint64_t from_ms);
/* The live sums and R of snapshots agree with the oracle. */
void oracle_check_live(const struct oracle *oracle, struct kit *kit, struct ask *ask);
void oracle_check_snapshot(const struct oracle *oracle, struct kit *kit, struct ask *ask,
                           uint64_t epoch);

#endif
