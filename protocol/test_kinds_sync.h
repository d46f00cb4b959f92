/* Recoding of the frames of /session/sync/1 and /session/bulk/1: a part of test_kinds.h. */
#ifndef SES_PROTOCOL_TEST_KINDS_SYNC_H
#define SES_PROTOCOL_TEST_KINDS_SYNC_H

#include "protocol/protocol.h"

static inline void recode_sync_element(uint8_t op, struct ses_reader *r, struct ses_writer *w)
{
    struct ses_sync_row row;
    struct ses_sync_node node;
    struct ses_sync_group group;
    if (op == SES_SYNC_ROWS) {
        ses_sync_row_read(r, &row);
    } else if (op == SES_SYNC_NODES) {
        ses_sync_node_read(r, &node);
    } else {
        ses_sync_group_read(r, &group);
    }
    if (r->err != SES_OK) {
        return;
    }
    if (op == SES_SYNC_ROWS) {
        ses_sync_row_write(w, &row);
    } else if (op == SES_SYNC_NODES) {
        ses_sync_node_write(w, &node);
    } else {
        ses_sync_group_write(w, &group);
    }
}

static inline void recode_sync_ask(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_sync_ask ask;
    if (ses_sync_ask_read(&ask, r, r->at, r->left) != SES_OK) {
        return;
    }
    ses_sync_ask_write(w, &ask);
    for (unsigned i = 0; r->err == SES_OK && i < ask.cnt; i++) {
        recode_sync_element(ask.op, r, w);
    }
}

static inline void recode_sync_hours(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_sync_hours hours;
    struct ses_sync_rows rows;
    ses_sync_rows_read(r, &rows);
    ses_sync_rows_write(w, &rows);
    const uint16_t cnt = rows.cnt;
    for (unsigned i = 0; r->err == SES_OK && i < cnt; i++) {
        ses_sync_hours_read(r, &hours);
        if (r->err == SES_OK) {
            ses_sync_hours_write(w, &hours);
        }
    }
}

static inline void recode_sync_answers(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_sync_answer answer;
    const uint16_t cnt = ses_sync_count_read(r, 2);
    ses_sync_count_write(w, cnt);
    for (unsigned i = 0; r->err == SES_OK && i < cnt; i++) {
        ses_sync_answer_read(r, &answer);
        if (r->err == SES_OK) {
            ses_sync_answer_write(w, &answer);
        }
    }
}

static inline void recode_sync_sums_ask(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_sync_sums_ask ask;
    const enum ses_err err = ses_sync_sums_ask_read(&ask, r->at, r->left);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        (void)ses_read_view(r, r->left);
        ses_sync_sums_ask_write(w, &ask);
    }
}

static inline void recode_sync_sums(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_sync_sums sums;
    struct ses_sync_segment segment;
    ses_sync_sums_read(r, &sums);
    if (r->err == SES_OK) {
        ses_sync_sums_write(w, &sums);
    }
    for (unsigned i = 0; r->err == SES_OK && i < sums.cnt; i++) {
        ses_sync_segment_read(r, &segment);
        if (r->err == SES_OK) {
            ses_sync_segment_write(w, &segment);
        }
    }
}

static inline void recode_bulk_ask(struct ses_reader *r, struct ses_writer *w)
{
    struct ses_bulk_ask ask;
    const enum ses_err err = ses_bulk_ask_read(&ask, r->at, r->left);
    ses_reader_check(r, err == SES_OK, err);
    if (r->err == SES_OK) {
        (void)ses_read_view(r, r->left);
        ses_bulk_ask_write(w, &ask);
    }
}

#endif
