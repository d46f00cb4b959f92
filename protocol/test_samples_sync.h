/* Examples of the frames of /session/sync/1 and /session/bulk/1; see test_samples.h. */
#ifndef SES_PROTOCOL_TEST_SAMPLES_SYNC_H
#define SES_PROTOCOL_TEST_SAMPLES_SYNC_H

#include "protocol/test_samples.h"

static inline struct ses_sync_ask sample_sync_ask(uint8_t op, uint16_t cnt)
{
    struct ses_sync_ask m = {.op = op, .set = {.num_swarms = 8, .swarm = 5}, .cnt = cnt};
    FILL(m.nonce, 0x70);
    return m;
}

static inline struct ses_sync_place sample_place(uint8_t nibble_cnt)
{
    struct ses_sync_place m = {.segment = {3, 0x0007a120}, .nibble_cnt = nibble_cnt};
    for (unsigned i = 0; i < nibble_cnt; i++) {
        m.prefix.bytes[i / 2] |= (uint8_t)((i % 15 + 1) << (i % 2 == 0 ? 4 : 0));
    }
    return m;
}

static inline void sample_sync_rows(struct ses_writer *w)
{
    struct ses_sync_ask ask = sample_sync_ask(SES_SYNC_ROWS, 2);
    ask.whole = true;
    ses_sync_ask_write(w, &ask);
    ses_sync_row_write(w, &(struct ses_sync_row){2, 20833, 0x0102030405060708});
    ses_sync_row_write(w, &(struct ses_sync_row){3, 20833, 0x1112131415161718});
}

static inline void sample_sync_hours(struct ses_writer *w)
{
    struct ses_sync_hours m = {.ttl_class = 3, .day = 20833, .cnt = 2};
    m.hours[0].hour = 7;
    m.hours[0].digest = 0x2122232425262728;
    m.hours[0].count = 3000;
    m.hours[1].hour = 23;
    m.hours[1].digest = 0x3132333435363738;
    m.hours[1].count = 1;
    ses_sync_rows_write(w, &(struct ses_sync_rows){.partial = true, .cnt = 2});
    ses_sync_hours_write(w, &(struct ses_sync_hours){.ttl_class = 2, .day = 20833});
    ses_sync_hours_write(w, &m);
}

static inline void sample_sync_nodes(struct ses_writer *w)
{
    const struct ses_sync_ask ask = sample_sync_ask(SES_SYNC_NODES, 2);
    struct ses_sync_node m = {.place = sample_place(3), .bitmap = 0x8001};
    m.digests[0] = 0x4142434445464748;
    m.digests[15] = 0x5152535455565758;
    ses_sync_ask_write(w, &ask);
    ses_sync_node_write(w, &m);
    ses_sync_node_write(w, &(struct ses_sync_node){.place = sample_place(0)});
}

static inline void sample_sync_answers(struct ses_writer *w)
{
    struct ses_sync_answer m = {.bitmap = 0x0103};
    m.children[0].form = 2;
    m.children[0].shorts[0] = 0x6162636465666768;
    m.children[0].shorts[1] = 0x7172737475767778;
    m.children[1].form = SES_SYNC_BRANCH;
    m.children[1].bitmap = 0x0010;
    m.children[1].shorts[4] = 0x8182838485868788;
    ses_sync_count_write(w, 2);
    ses_sync_answer_write(w, &m);
    ses_sync_answer_write(w, &(struct ses_sync_answer){.bitmap = 0});
}

static inline void sample_sync_groups(struct ses_writer *w, uint8_t op)
{
    const struct ses_sync_ask ask = sample_sync_ask(op, 2);
    struct ses_sync_group m = {.place = sample_place(4), .cnt = 2};
    m.shorts[0] = 0x6162636465666768;
    m.shorts[1] = 0x7172737475767778;
    ses_sync_ask_write(w, &ask);
    ses_sync_group_write(w, &m);
    m.place = sample_place(1);
    m.cnt = 1;
    ses_sync_group_write(w, &m);
}

static inline void sample_sync_fetch(struct ses_writer *w)
{
    sample_sync_groups(w, SES_SYNC_FETCH);
}

static inline void sample_sync_offer(struct ses_writer *w)
{
    sample_sync_groups(w, SES_SYNC_OFFER);
}

static inline void sample_sync_records(struct ses_writer *w)
{
    const struct ses_receipt receipt = sample_receipt_struct();
    struct ses_receipt_group group = {.n = 5, .cnt = 1};
    group.node_id = receipt.node_id;
    group.signature = receipt.signature;
    ses_sync_records_write(w, &(struct ses_sync_records){.more = true, .cnt = 2});
    sample_record(w);
    sample_record_empty(w);
    ses_write_u16(w, 1);
    ses_receipt_group_write(w, &group);
    ses_receipt_group_item_write(w, 1, &receipt);
}

static inline void sample_sync_sums_ask(struct ses_writer *w)
{
    ses_sync_sums_ask_write(
        w, &(struct ses_sync_sums_ask){.set = {.num_swarms = 1}, .from = {4, 0x0007a120}});
}

static inline void sample_sync_sums(struct ses_writer *w)
{
    struct ses_sync_segment m = {.id = {4, 0x0007a121}, .sum = {.count = 16, .bytes = 4096}};
    FILL(m.sum.hash, 0x50);
    ses_sync_sums_write(w, &(struct ses_sync_sums){.partial = true, .more = true, .cnt = 1});
    ses_sync_segment_write(w, &m);
}

static inline void sample_bulk_ask(struct ses_writer *w)
{
    struct ses_bulk_ask m = {.set = {.num_swarms = 8, .swarm = 5}, .segment = {3, 0x0007a120}};
    m.offset = 0x0102030405060708;
    m.bytes_max = 1000000;
    ses_bulk_ask_write(w, &m);
}

static inline void sample_bulk_page(struct ses_writer *w)
{
    const struct ses_bulk_page m = {.more = true, .next = 0x0102030405060809, .cnt = 1};
    ses_bulk_page_write(w, &m);
    sample_record(w);
}

#endif
