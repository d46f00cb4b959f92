/* A log file of arbitrary bytes: the store opens, serves only records whose bytes match their id,
 * and finds the same ones again. Nothing touches a real disk: logs stand on the test disk, the
 * databases in SQLite's own memory.
 *
 * The input is a list of steps, since no fuzzer guesses a check: raw bytes, a valid record, a
 * flipped bit, a cut, a statement that deletes a record. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "storage/storage_internal.h"
#include "storage/test_disk.h"
#include "storage/test_loop.h"

#define NOW_MS 1700003600000u
#define HOUR (NOW_MS / 3600000u)
#define LOG_PATH "seg/3/472223.log"
#define FILE_MAX 300000u
_Static_assert(HOUR == 472223, "LOG_PATH names it");

enum step { STEP_RAW, STEP_RECORD, STEP_FLIP, STEP_CUT, STEP_STATEMENT, STEP_CNT };

static void fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    memset(out, 0x42, len);
}

static const struct ses_random no_random = {.fill = fill};

static struct ses_hash owner; /* the inbox of keys that are all zero */

static void owner_init(void)
{
    static const struct ses_kem_pk kem;
    static const struct ses_dsa_pk dsa;
    struct ses_session_id id;
    ses_session_id_of(&id, &kem, &dsa);
    memcpy(owner.bytes, id.bytes + 1, sizeof owner.bytes);
}

static void add_bytes(struct ses_buf *file, const struct ses_record *record,
                      const struct ses_record_ids *ids, uint8_t kind)
{
    uint8_t prefix[SES_LOG_PREFIX_BYTES];
    const struct ses_log_stamp stamp = {
        .flags = kind & 3u, .accepted_ms = NOW_MS + kind, .admit_epoch = kind};
    ses_log_prefix_write(prefix, &stamp, &ids->id, record->payload_bytes);
    SES_ASSERT(ses_buf_append(file, prefix, sizeof prefix) == SES_OK);
    SES_ASSERT(ses_buf_append(file, record->header, SES_RECORD_HEADER_BYTES) == SES_OK);
    SES_ASSERT(ses_buf_append(file, record->payload, record->payload_bytes) == SES_OK);
}

/* The record of a step; `header` holds its bytes. */
static void make_record(struct ses_record *out, struct ses_record_ids *ids,
                        uint8_t header[SES_RECORD_HEADER_BYTES], uint8_t kind,
                        const uint8_t *payload, size_t len)
{
    struct ses_record_header h = {
        .ns = kind % 4 == 3 ? -1 : 0, .ttl_class = 3, .ts_ms = NOW_MS + kind * 1000u};
    h.inbox.bytes[0] = kind & 7u;
    if ((kind & 8u) != 0) {
        h.inbox = owner;
    }
    ses_record_header_encode(header, &h);
    *out =
        (struct ses_record){.header = header, .payload = payload, .payload_bytes = (uint32_t)len};
    SES_ASSERT(ses_record_identify(ids, out) == SES_OK);
}

static void add_record(struct ses_buf *file, uint8_t kind, const uint8_t *payload, size_t len)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record record;
    struct ses_record_ids ids;
    make_record(&record, &ids, header, kind, payload, len);
    add_bytes(file, &record, &ids, kind);
}

/* Deletes the record that add_record makes of the same arguments. */
static void add_statement(struct ses_buf *file, uint8_t kind, const uint8_t *payload, size_t len)
{
    static struct ses_delete m;
    static uint8_t bytes[SES_DELETE_SIGNED_BYTES(1) + SES_DSA_SIG_BYTES];
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record record;
    struct ses_record_ids ids;
    struct ses_record_header h;
    struct ses_delete_target target;
    struct ses_writer w;
    make_record(&record, &ids, header, kind | 8u, payload, len);
    ses_delete_target_of(&target, &ids, record.payload_bytes);
    memset(bytes, 0, sizeof bytes); /* keys and signature */
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_u16(&w, 1);
    ses_delete_target_write(&w, &target);
    ses_write_u64(&w, NOW_MS + 256000u);
    SES_ASSERT(ses_delete_read(&m, bytes, sizeof bytes) == SES_OK);
    ses_delete_header(&h, &m);
    ses_record_header_encode(header, &h);
    record = (struct ses_record){.header = header, .payload = bytes, .payload_bytes = sizeof bytes};
    SES_ASSERT(ses_record_identify(&ids, &record) == SES_OK);
    add_bytes(file, &record, &ids, kind);
}

static void build(struct ses_buf *file, const uint8_t *data, size_t size)
{
    struct ses_reader r;
    ses_reader_init(&r, data, size);
    while (r.left >= 4 && file->len < FILE_MAX) {
        const enum step step = ses_read_u8(&r) % STEP_CNT;
        const uint8_t kind = ses_read_u8(&r);
        const uint16_t n = ses_read_u16(&r);
        const size_t len = n < r.left ? n : r.left;
        switch (step) {
        case STEP_RAW:
            SES_ASSERT(ses_buf_append(file, ses_read_view(&r, len), len) == SES_OK);
            break;
        case STEP_RECORD:
            add_record(file, kind, ses_read_view(&r, len), len);
            break;
        case STEP_STATEMENT:
            add_statement(file, kind, ses_read_view(&r, len), len);
            break;
        case STEP_FLIP:
            if (n < file->len) {
                file->bytes[n] ^= (uint8_t)(1u << (kind & 7u));
            }
            break;
        case STEP_CUT:
            file->len -= n < file->len ? n : file->len;
            break;
        case STEP_CNT:
            break;
        }
    }
}

static void on_fatal(void *cookie, enum ses_err err, const char *what)
{
    (void)cookie;
    (void)err;
    (void)what;
    SES_ASSERT(false);
}

/* Every record that would be served: its bytes carry its id, its prefix encodes to the same again
 * (but for a damaged magic). */
static void check_record(struct test_disk *disk, const struct ses_store *store, uint32_t at)
{
    static uint8_t out[SES_RECORD_HEADER_BYTES + SES_PAYLOAD_MAX];
    uint8_t prefix[SES_LOG_PREFIX_BYTES];
    struct ses_log_record parsed;
    struct ses_record_ids ids;
    struct ses_place place;
    struct ses_file *file = NULL;
    uint64_t len;
    const struct ses_disk *door = test_disk_door(disk);
    ses_place_of(&place, &store->catalog, at);
    SES_ASSERT(ses_place_read(door, &file, &place, out, &ids) == SES_OK);
    door->close(door->ctx, file);
    const uint8_t *bytes = test_disk_bytes(disk, LOG_PATH, &len);
    SES_ASSERT(place.offset < len);
    bytes += place.offset;
    SES_ASSERT(ses_log_parse(&parsed, bytes, (size_t)(len - place.offset)) == SES_OK);
    ses_log_prefix_write(prefix, &parsed.stamp, &parsed.ids.id, parsed.payload_bytes);
    SES_ASSERT(memcmp(prefix + 4, bytes + 4, sizeof prefix - 4) == 0);
}

static void on_sums(void *cookie, const struct ses_segments_result *result)
{
    SES_ASSERT(result->err == SES_OK);
    *(struct ses_sum *)cookie = result->sum;
}

/* The sum of all that the store holds: the forest is built of it. */
static void sum_of(struct ses_store *store, struct test_loop *loop, struct ses_sum *sum)
{
    const struct ses_view all = {.epoch = SES_EPOCH_LIVE, .swarm = 0, .num_swarms = 1};
    SES_ASSERT(ses_store_segments(store, &all, 0, on_sums, sum) == SES_OK);
    SES_ASSERT(test_loop_run(loop, NULL));
}

static uint64_t open_and_check(struct test_disk *disk, const struct ses_dsa_private *key,
                               struct ses_sum *sum)
{
    struct test_loop *loop = test_loop_new(NOW_MS + 5000);
    struct ses_disk door = *test_disk_door(disk);
    struct ses_store *store;
    struct ses_store_stats stats;
    door.vfs = "memdb";
    const struct ses_store_params params = {.disk = &door,
                                            .loop = test_loop_door(loop),
                                            .random = &no_random,
                                            .times = {.genesis_s = 1, .epoch_s = 3600},
                                            .key = key,
                                            .on_fatal = on_fatal};
    SES_ASSERT(ses_store_open(&store, &params, NULL) == SES_OK);
    ses_store_stats(store, &stats);
    uint64_t live = 0;
    for (uint32_t i = 0; i < store->catalog.entries.used; i++) {
        const struct ses_entry *e = ses_catalog_entry(&store->catalog, i);
        if (e->state == SES_ENTRY_LIVE && e->admit_epoch != SES_EPOCH_NONE) {
            check_record(disk, store, i);
        }
        live += e->state == SES_ENTRY_LIVE; /* or known from its delete alone */
    }
    SES_ASSERT(live == stats.record_cnt);
    sum_of(store, loop, sum);
    SES_ASSERT(sum->count == live);
    ses_store_free(store);
    test_loop_free(loop);
    return live;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ses_dsa_private *key;
    if (key == NULL) {
        const struct ses_dsa_seed seed = {{1}};
        owner_init();
        SES_ASSERT(ses_dsa_private_new(&key, &seed) == SES_OK);
    }
    struct ses_buf file = {0};
    uint64_t first_len;
    uint64_t second_len;
    build(&file, data, size);
    struct test_disk *disk = test_disk_new("/nowhere", &no_random);
    test_disk_put(disk, LOG_PATH, file.bytes, file.len);
    ses_buf_free(&file);
    struct ses_sum before;
    struct ses_sum after;
    const uint64_t first = open_and_check(disk, key, &before);
    (void)test_disk_bytes(disk, LOG_PATH, &first_len);
    SES_ASSERT(open_and_check(disk, key, &after) == first);
    SES_ASSERT(memcmp(&before.hash, &after.hash, sizeof before.hash) == 0);
    (void)test_disk_bytes(disk, LOG_PATH, &second_len);
    SES_ASSERT(first_len == second_len);
    test_disk_free(disk);
    return 0;
}
