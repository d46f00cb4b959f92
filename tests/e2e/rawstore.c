/* Requests that libsession would never send, to see what a node does with them.
 *
 *     rawstore CHAIN NODEID put SESSIONID BYTES [TS_OFFSET_MS [NO_STAMP]]
 *     rawstore CHAIN NODEID garbage COUNT
 *     rawstore CHAIN NODEID count SESSIONID NAMESPACE
 *
 * Prints one JSON object: {"status": "ok"|name of the refusal, ...}. */
#include <stdio.h>
#include <string.h>

#include "tests/e2e/raw.h"

static void answer_print(enum ses_err err, const struct ses_buf *answer)
{
    struct ses_reader r;
    struct ses_refusal refusal = {0};
    struct ses_stored stored = {0};
    bool ok = false;
    if (err == SES_OK) {
        err = ses_response_begin(&r, answer->bytes, answer->len, &ok, &refusal);
    }
    if (err == SES_OK && ok) {
        err = ses_stored_read(&stored, &r);
    }
    const enum ses_err status = err != SES_OK ? err : ok ? SES_OK : refusal.status;
    printf("{\"status\": \"%s\", \"answered\": %s, \"state\": %d, \"nodes\": %d, \"swarm\": %u, "
           "\"num_swarms\": %u, \"members\": %d, \"time_ms\": %llu, \"work_bits\": %d}\n",
           ses_err_name(status), err == SES_OK ? "true" : "false", (int)stored.state,
           (int)stored.node_cnt, refusal.swarm, refusal.num_swarms, (int)refusal.member_cnt,
           (unsigned long long)refusal.time_ms, (int)refusal.work_bits);
}

static enum ses_err put_frame(struct ses_writer *w, const char *session_id, size_t bytes,
                              long offset_ms, bool stamped)
{
    static uint8_t payload[SES_PAYLOAD_MAX];
    struct ses_session_id id;
    SES_TRY(ses_session_id_parse(&id, session_id, NULL));
    const uint64_t now_ms = ses_now_ms(ses_clock_system()) + (uint64_t)offset_ms;
    struct ses_record_header h = {.ttl_class = 1, .ts_ms = now_ms / 1000 * 1000};
    memcpy(h.inbox.bytes, id.bytes + 1, 32);
    uint8_t header[SES_RECORD_HEADER_BYTES];
    ses_record_header_encode(header, &h);
    ses_random_fill(ses_random_system(), payload, bytes);
    struct ses_store_put put = {
        .record = {header, payload, (uint32_t)bytes}, .entry = SES_ENTRY_STAMP, .wait_ms = 5000};
    struct ses_record_ids ids;
    SES_TRY(ses_record_identify(&ids, &put.record));
    if (stamped) {
        SES_TRY(
            ses_stamp_find(&put.stamp, &ids.id, ses_stamp_bits((uint32_t)bytes), 0, UINT64_MAX));
    }
    ses_store_put_write(w, &put);
    return ses_writer_done(w);
}

static int run_put(struct raw *raw, const struct ses_map_node *node, int argc, char **argv)
{
    const size_t cap = SES_PAYLOAD_MAX + 1024;
    const unsigned long bytes = strtoul(argv[5], NULL, 10);
    uint8_t *frame = ses_alloc(cap, 1);
    struct ses_writer w;
    struct ses_buf answer = {0};
    SES_ASSERT(frame != NULL && bytes <= SES_PAYLOAD_MAX);
    ses_writer_init(&w, frame, cap);
    enum ses_err err =
        put_frame(&w, argv[4], bytes, argc > 6 ? strtol(argv[6], NULL, 10) : 0, argc <= 7);
    if (err == SES_OK) {
        err = raw_request(raw, node, SES_PROTO_STORE, NULL, frame, w.len, &answer);
    }
    answer_print(err, &answer);
    ses_buf_free(&answer);
    ses_free(frame);
    return 0;
}

/* How many records of a namespace that anybody may read this node alone has; at most a page. */
static int run_count(struct raw *raw, const struct ses_map_node *node, char **argv)
{
    uint8_t frame[128];
    struct ses_session_id id;
    struct ses_writer w;
    struct ses_reader r;
    struct ses_refusal refusal = {0};
    struct ses_page page = {0};
    struct ses_buf answer = {0};
    struct ses_retrieve ask = {.ns = (int16_t)strtol(argv[5], NULL, 10),
                               .record_max = SES_RETRIEVE_RECORDS_MAX,
                               .bytes_max = UINT32_MAX};
    bool ok = false;
    enum ses_err err = ses_session_id_parse(&id, argv[4], NULL);
    if (err == SES_OK) {
        memcpy(ask.inbox.bytes, id.bytes + 1, sizeof ask.inbox.bytes);
        ses_writer_init(&w, frame, sizeof frame);
        ses_retrieve_write(&w, &ask);
        err = raw_request(raw, node, SES_PROTO_RETRIEVE, NULL, frame, w.len, &answer);
    }
    if (err == SES_OK) {
        err = ses_response_begin(&r, answer.bytes, answer.len, &ok, &refusal);
    }
    if (err == SES_OK && ok) {
        ses_page_read(&r, &page);
        err = r.err;
    }
    const enum ses_err status = err != SES_OK ? err : ok ? SES_OK : refusal.status;
    printf("{\"status\": \"%s\", \"records\": %d}\n", ses_err_name(status), (int)page.record_cnt);
    ses_buf_free(&answer);
    return 0;
}

/* Random frames to every protocol; the node must refuse or reset each, and live on. */
static int run_garbage(struct raw *raw, const struct ses_map_node *node, unsigned long count)
{
    unsigned long answered = 0;
    for (unsigned long i = 0; i < count; i++) {
        uint8_t frame[512];
        struct ses_buf answer = {0};
        const size_t len = (size_t)ses_random_below(ses_random_system(), sizeof frame) + 1;
        const enum ses_proto proto = (enum ses_proto)(i % SES_PROTO_CNT);
        ses_random_fill(ses_random_system(), frame, len);
        frame[0] = i % 3 == 0 ? frame[0] : SES_FRAME_VERSION;
        answered += raw_request(raw, node, proto, NULL, frame, len, &answer) == SES_OK;
        ses_buf_free(&answer);
    }
    uint8_t frame[16];
    struct ses_writer w;
    struct ses_buf answer = {0};
    ses_writer_init(&w, frame, sizeof frame);
    ses_info_request_write(&w);
    const enum ses_err err = raw_request(raw, node, SES_PROTO_INFO, NULL, frame, w.len, &answer);
    ses_buf_free(&answer);
    printf("{\"status\": \"%s\", \"garbage_answered\": %lu}\n", ses_err_name(err), answered);
    return 0;
}

int main(int argc, char **argv)
{
    struct raw raw;
    if (argc < 5) {
        fprintf(stderr, "usage: rawstore CHAIN NODEID put|garbage|count ...\n");
        return 2;
    }
    if (!raw_open(&raw, argv[1])) {
        return 5;
    }
    const struct ses_map_node *node = raw_node(&raw, argv[2]);
    int code = 3;
    if (node != NULL && strcmp(argv[3], "put") == 0 && argc >= 6) {
        code = run_put(&raw, node, argc, argv);
    } else if (node != NULL && strcmp(argv[3], "garbage") == 0) {
        code = run_garbage(&raw, node, strtoul(argv[4], NULL, 10));
    } else if (node != NULL && strcmp(argv[3], "count") == 0 && argc >= 6) {
        code = run_count(&raw, node, argv);
    }
    raw_close(&raw);
    return code;
}
