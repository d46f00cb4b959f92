/* Acknowledged stores and reads through one entry node of a running network.
 *
 *     bench_swarm CHAIN_URL [STORES] [IN_FLIGHT]
 *
 * tools/run-bench starts a network of ten nodes in one swarm on this machine and calls it: all
 * eleven processes share its cores. Each store is answered after W = 7 of 10 members have synced
 * the record to disk and signed for it. Records carry 8 KiB and a write token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/raw.h"

#define INBOXES 8u /* logins of one connection */
#define BODY_BYTES 8192u
#define STORES_MAX 1000000u

struct inbox {
    struct ses_identity *owner;
    struct ses_hash token;
};

struct load {
    struct raw raw;
    struct ses_target entry;
    struct inbox inboxes[INBOXES];
    uint32_t store_cnt;
    uint32_t started;
    uint32_t finished;
    uint32_t stored;
    uint32_t pending;
    uint32_t failed;
    enum ses_err last_err;
    uint64_t *begin_ns;
    uint64_t *latency_ns;
    uint8_t *frame;
};

struct store {
    struct load *load;
    uint32_t number;
};

static void store_next(struct load *load);

static void reply_count(struct load *load, enum ses_err err, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_stored stored;
    bool ok = false;
    if (err == SES_OK) {
        err = ses_response_begin(&r, body, len, &ok, &refusal);
    }
    if (err == SES_OK) {
        err = ok ? ses_stored_read(&stored, &r) : refusal.status;
    }
    if (err != SES_OK) {
        load->failed++;
        load->last_err = err;
    } else if (stored.state == SES_STORED) {
        load->stored++;
    } else {
        load->pending++;
    }
}

static void on_stored(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct store *store = cookie;
    struct load *load = store->load;
    load->latency_ns[store->number] = ses_mono_ns() - load->begin_ns[store->number];
    ses_free(store);
    load->finished++;
    reply_count(load, err, body, len);
    if (load->finished == load->store_cnt) {
        ses_uv_stop(load->raw.uv);
    } else if (load->started < load->store_cnt) {
        store_next(load);
    }
}

static size_t frame_make(struct load *load, uint32_t number)
{
    static uint8_t payload[BODY_BYTES];
    const struct inbox *inbox = &load->inboxes[number % INBOXES];
    const uint64_t now_s = ses_now_ms(ses_clock_system()) / 1000;
    struct ses_record_header h = {.ttl_class = 1, .ts_ms = now_s * 1000};
    memcpy(h.inbox.bytes, inbox->owner->id.bytes + 1, 32);
    uint8_t header[SES_RECORD_HEADER_BYTES];
    ses_record_header_encode(header, &h);
    ses_random_fill(ses_random_system(), payload, 64);
    const struct ses_store_put put = {.record = {header, payload, BODY_BYTES},
                                      .entry = SES_ENTRY_TOKEN,
                                      .token = inbox->token,
                                      .wait_ms = 10000};
    struct ses_writer w;
    ses_writer_init(&w, load->frame, BODY_BYTES + 1024);
    ses_store_put_write(&w, &put);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    return w.len;
}

static void store_next(struct load *load)
{
    struct store *store = ses_alloc(1, sizeof *store);
    SES_ASSERT(store != NULL);
    store->load = load;
    store->number = load->started++;
    const struct ses_request request = {.target = &load->entry,
                                        .proto = SES_PROTO_STORE,
                                        .body = load->frame,
                                        .len = frame_make(load, store->number),
                                        .on_reply = on_stored,
                                        .cookie = store};
    load->begin_ns[store->number] = ses_mono_ns();
    const enum ses_err err = ses_net_request(load->raw.net, &request);
    if (err != SES_OK) {
        on_stored(store, err, NULL, 0);
    }
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void stores_run(struct load *load, uint32_t in_flight)
{
    load->started = load->finished = load->stored = load->pending = load->failed = 0;
    const uint64_t begin = ses_mono_ns();
    for (uint32_t i = 0; i < in_flight && load->started < load->store_cnt; i++) {
        store_next(load);
    }
    ses_uv_run(load->raw.uv);
    const double seconds = (double)(ses_mono_ns() - begin) / 1e9;
    const size_t half = load->store_cnt / 2;
    const size_t most = load->store_cnt * 99ull / 100;
    qsort(load->latency_ns, load->store_cnt, sizeof *load->latency_ns, by_size);
    printf("%-28s %8.0f /s   p50 %6.1f ms   p99 %6.1f ms   %u stored, %u pending, %u failed%s%s\n",
           in_flight == 1 ? "stores, one at a time" : "stores, many in flight",
           (double)load->stored / seconds, (double)load->latency_ns[half] / 1e6,
           (double)load->latency_ns[most] / 1e6, load->stored, load->pending, load->failed,
           load->failed > 0 ? ": " : "", load->failed > 0 ? ses_err_text(load->last_err) : "");
}

static bool inboxes_make(struct load *load)
{
    for (uint32_t i = 0; i < INBOXES; i++) {
        struct inbox *inbox = &load->inboxes[i];
        ses_random_fill(ses_random_system(), inbox->token.bytes, 32);
        enum ses_err err = ses_identity_generate(&inbox->owner, ses_random_system());
        if (err == SES_OK) {
            err = raw_token_publish(&load->raw, &load->raw.nodes[0], inbox->owner, &inbox->token);
        }
        if (err != SES_OK) {
            fprintf(stderr, "bench_swarm: no token: %s\n", ses_err_text(err));
            return false;
        }
    }
    return true;
}

/* Pages through every inbox at the entry node; how many records came. */
static uint64_t inbox_read(struct load *load, const struct inbox *inbox)
{
    struct ses_retrieve ask = {.record_max = 256, .bytes_max = 900000};
    memcpy(ask.inbox.bytes, inbox->owner->id.bytes + 1, 32);
    uint64_t records = 0;
    bool more = true;
    while (more) {
        uint8_t frame[128];
        struct ses_writer w;
        struct ses_buf answer = {0};
        struct ses_reader r;
        struct ses_refusal refusal;
        struct ses_page page = {0};
        bool ok = false;
        ses_writer_init(&w, frame, sizeof frame);
        ses_retrieve_write(&w, &ask);
        SES_ASSERT(ses_writer_done(&w) == SES_OK);
        enum ses_err err = raw_request(&load->raw, &load->raw.nodes[0], SES_PROTO_RETRIEVE,
                                       inbox->owner, frame, w.len, &answer);
        if (err == SES_OK) {
            err = ses_response_begin(&r, answer.bytes, answer.len, &ok, &refusal);
        }
        if (err == SES_OK && ok) {
            ses_page_read(&r, &page);
        } else {
            load->failed++;
            load->last_err = err == SES_OK ? refusal.status : err;
        }
        ses_buf_free(&answer);
        records += page.record_cnt;
        ask.after = page.next;
        more = (page.flags & SES_PAGE_MORE) != 0;
    }
    return records;
}

static void reads_run(struct load *load)
{
    uint64_t records = 0;
    const uint64_t begin = ses_mono_ns();
    for (uint32_t i = 0; i < INBOXES; i++) {
        records += inbox_read(load, &load->inboxes[i]);
    }
    const double seconds = (double)(ses_mono_ns() - begin) / 1e9;
    printf("%-28s %8.0f /s   %llu records of %u bytes, one reader%s%s\n", "records retrieved",
           (double)records / seconds, (unsigned long long)records, BODY_BYTES,
           load->failed > 0 ? ": " : "", load->failed > 0 ? ses_err_text(load->last_err) : "");
}

int main(int argc, char **argv)
{
    static struct load load;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_swarm CHAIN_URL [STORES] [IN_FLIGHT]\n");
        return 2;
    }
    const unsigned long stores = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
    const unsigned long in_flight = argc > 3 ? strtoul(argv[3], NULL, 10) : 256;
    if (stores == 0 || stores > STORES_MAX || in_flight == 0 || in_flight > 4096) {
        fprintf(stderr, "bench_swarm: 1..%u stores, 1..4096 in flight\n", STORES_MAX);
        return 2;
    }
    load.begin_ns = ses_alloc(stores, sizeof *load.begin_ns);
    load.latency_ns = ses_alloc(stores, sizeof *load.latency_ns);
    load.frame = ses_alloc(BODY_BYTES + 1024, 1);
    SES_ASSERT(load.begin_ns != NULL && load.latency_ns != NULL && load.frame != NULL);
    bool ok = raw_open(&load.raw, argv[1]) && load.raw.node_cnt > 0 && inboxes_make(&load);
    if (ok) {
        raw_target(&load.entry, &load.raw.nodes[0]);
        load.store_cnt = 200;
        stores_run(&load, 1);
        load.store_cnt = (uint32_t)stores;
        stores_run(&load, (uint32_t)in_flight);
        reads_run(&load);
        ok = load.failed == 0;
    }
    for (uint32_t i = 0; i < INBOXES; i++) {
        ses_identity_free(load.inboxes[i].owner);
    }
    raw_close(&load.raw);
    ses_free(load.begin_ns);
    ses_free(load.latency_ns);
    ses_free(load.frame);
    return ok ? 0 : 1;
}
