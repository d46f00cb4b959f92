/* Openings: every chunk of records of every interesting size, and what is not one of them. */
#include "base/tap.h"
#include "protocol/protocol.h"

#include <string.h>

static uint8_t header[SES_RECORD_HEADER_BYTES];
static uint8_t payload[SES_PAYLOAD_MAX];

static void make(struct ses_record *record, struct ses_record_ids *ids, struct ses_leaf *leaf,
                 uint32_t size)
{
    const struct ses_record_header h = {.ttl_class = 3, .ts_ms = 1800000000000u};
    ses_record_header_encode(header, &h);
    *record = (struct ses_record){.header = header, .payload = payload, .payload_bytes = size};
    TAP_ERR(SES_OK, ses_record_identify(ids, record));
    *leaf = (struct ses_leaf){.ts_ms = h.ts_ms, .ttl_class = 3, .size = size};
    memcpy(leaf->key.bytes, ids->digest.bytes, 32);
    memcpy(leaf->key.bytes + 32, ids->id.bytes, 32);
}

/* As it was written, and through its bytes. */
static void check_both(const struct ses_opening *o, const struct ses_leaf *leaf, uint64_t draw)
{
    uint8_t bytes[1024];
    struct ses_writer w;
    struct ses_reader r;
    struct ses_opening again;
    TAP_ERR(SES_OK, ses_opening_check(o, leaf, draw));
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_opening_write(&w, o);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    ses_reader_init(&r, bytes, w.len);
    ses_opening_read(&r, &again);
    TAP_ERR(SES_OK, ses_reader_done(&r));
    TAP_ERR(SES_OK, ses_opening_check(&again, leaf, draw));
}

static void test_every_chunk(void)
{
    static const uint32_t sizes[] = {0, 1, 255, 256, 257, 511, 512, 5000, SES_PAYLOAD_MAX};
    ses_random_fill(tap_random(), payload, sizeof payload);
    for (size_t i = 0; i < SES_COUNT(sizes); i++) {
        struct ses_record record;
        struct ses_record_ids ids;
        struct ses_leaf leaf;
        struct ses_opening o;
        make(&record, &ids, &leaf, sizes[i]);
        const uint32_t cnt = (sizes[i] + SES_CHUNK_BYTES - 1) / SES_CHUNK_BYTES;
        for (uint64_t draw = 0; draw <= cnt; draw++) { /* the last one wraps around */
            ses_opening_make(&o, 3, &record, &ids, draw);
            check_both(&o, &leaf, draw);
            if (cnt > 1) {
                TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&o, &leaf, draw + 1));
            }
        }
    }
}

static void test_false_ones(void)
{
    struct ses_record record;
    struct ses_record_ids ids;
    struct ses_leaf leaf;
    struct ses_opening good;
    make(&record, &ids, &leaf, 700);
    ses_opening_make(&good, 0, &record, &ids, 2);
    check_both(&good, &leaf, 2);
    struct ses_opening o = good;
    o.path[0].bytes[5] ^= 1;
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&o, &leaf, 2));
    o = good;
    o.path_cnt--;
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&o, &leaf, 2));
    o = good;
    o.leaf_only = true;
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&o, &leaf, 2));
    leaf.size = 701; /* of another size than its id says */
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&good, &leaf, 2));
    leaf.size = SES_PAYLOAD_MAX + 1;
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&good, &leaf, 2));
    leaf.size = 0xFFFFFFFF;
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&good, &leaf, 2));
    make(&record, &ids, &leaf, 0);
    ses_opening_make(&o, 0, &record, &ids, 7);
    o.payload_root.bytes[0] = 1;
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&o, &leaf, 7));
}

/* A deleted record's leaf stands alone; a delete statement's is opened like a message. */
static void test_tombstones(void)
{
    struct ses_record record;
    struct ses_record_ids ids;
    struct ses_leaf leaf;
    struct ses_opening o = {.index = 1, .leaf_only = true};
    make(&record, &ids, &leaf, 300);
    leaf.kind = SES_RECORD_TOMBSTONE;
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&o, &leaf, 0));
    ses_opening_make(&o, 1, &record, &ids, 1);
    check_both(&o, &leaf, 1);
    leaf.size = 0;
    TAP_ERR(SES_ERR_CHECKSUM, ses_opening_check(&o, &leaf, 1));
    o = (struct ses_opening){.index = 1, .leaf_only = true};
    check_both(&o, &leaf, 1);
}

static void test_causes(void)
{
    static const char *const texts[SES_CAUSE_CNT] = {"commitment", "response",    "opening",
                                                     "free",       "unreachable", "deviant"};
    for (unsigned i = 0; i < SES_CAUSE_CNT; i++) {
        TAP_TEXT(texts[i], ses_cause_text(i));
    }
}

int main(void)
{
    TAP_RUN(test_every_chunk);
    TAP_RUN(test_false_ones);
    TAP_RUN(test_tombstones);
    TAP_RUN(test_causes);
    return tap_done();
}
