/* What the tests of the store share: a node's parameters, records made from numbers, and calls that
 * wait for their answer. */
#ifndef SES_STORAGE_TEST_KIT_H
#define SES_STORAGE_TEST_KIT_H

#include "base/tap.h"
#include "storage/storage.h"
#include "storage/test_loop.h"

#define KIT_GENESIS_S 1700000000u
#define KIT_EPOCH_S 3600u
/* Some time in epoch 100, on a full hour and second. */
#define KIT_NOW_MS ((KIT_GENESIS_S + 100ull * KIT_EPOCH_S) * 1000 + 600000)

struct kit {
    char root[256]; /* a fresh directory below $TMPDIR or /tmp */
    struct test_loop *loop;
    struct ses_disk real;
    const struct ses_disk *disk;
    struct ses_dsa_private *key;
    struct ses_dsa_pk pk;
    struct ses_store_params params;
    struct ses_store *store;
    struct ses_note note;
    bool closed;
    uint32_t fatal_cnt;
};
void kit_root(struct kit *kit); /* makes the directory */
void kit_init(struct kit *kit, struct test_loop *loop, const struct ses_disk *disk);
void kit_free(struct kit *kit); /* closes nothing; removes the directory */
enum ses_err kit_open(struct kit *kit);
void kit_close(struct kit *kit);
/* As if the process were gone; the store must have failed or be idle. */
void kit_abandon(struct kit *kit);
void kit_remove_tree(const char *path);
void kit_copy_dir(const char *from, const char *to);

/* Record number `n`: always the same bytes. */
struct kit_record {
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t *payload;
    struct ses_record record;
    struct ses_record_ids ids;
};
struct kit_spec {
    uint64_t n;
    uint64_t inbox; /* number */
    uint64_t ts_ms;
    uint32_t payload_bytes;
    int16_t ns;
    uint8_t ttl_class;
};
void kit_record(struct kit_record *out, const struct kit_spec *spec);
void kit_record_free(struct kit_record *record);
void kit_inbox(struct ses_hash *out, uint64_t n);

struct kit_put {
    bool done;
    struct ses_put_result result;
    enum ses_err err; /* of the call, or of the answer */
};
enum kit_how { KIT_ENTRY, KIT_STRANGER, KIT_REPLICA };
/* Calls; the answer comes with the loop. */
void kit_put_start(struct kit *kit, struct kit_put *put, const struct kit_record *record,
                   enum kit_how how);
void kit_put_start_as(struct kit *kit, struct kit_put *put, const struct kit_record *statement,
                      const struct ses_deletion *targets, uint8_t target_cnt, enum kit_how how);
/* Waits for the answer and verifies the receipt. */
enum ses_err kit_put(struct kit *kit, const struct kit_spec *spec, enum kit_how how,
                     struct ses_receipt *receipt);

/* A whole box, page by page. */
struct kit_box {
    uint32_t cnt;
    uint32_t page_cnt;
    struct ses_cursor next;
    struct ses_hash ids[4096];
    uint32_t payload_bytes[4096];
    enum ses_err err;
};
void kit_read(struct kit *kit, struct kit_box *out, uint64_t inbox, int16_t ns,
              const struct ses_cursor *after, uint16_t record_max, uint32_t bytes_max);
bool kit_box_has(const struct kit_box *box, const struct ses_hash *id);

#endif
