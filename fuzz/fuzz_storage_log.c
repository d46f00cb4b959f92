/* A log file of arbitrary bytes: the store opens, serves only records whose bytes match their id,
 * and finds the same ones again. Nothing touches a real disk: logs stand on the test disk, the
 * databases in SQLite's own memory.
 *
 * The input is a list of steps, since no fuzzer guesses a check: raw bytes, a valid record, a
 * flipped bit, a cut. */
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

enum step { STEP_RAW, STEP_RECORD, STEP_FLIP, STEP_CUT, STEP_CNT };

static void fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    memset(out, 0x42, len);
}

static const struct ses_random no_random = {.fill = fill};

static void add_record(struct ses_buf *file, uint8_t kind, const uint8_t *payload, size_t len)
{
    uint8_t bytes[SES_LOG_HEAD_BYTES];
    struct ses_record_header header = {
        .ns = kind % 4 == 3 ? -1 : 0, .ttl_class = 3, .ts_ms = NOW_MS + kind * 1000u};
    const struct ses_record record = {
        .header = bytes + SES_LOG_PREFIX_BYTES, .payload = payload, .payload_bytes = (uint32_t)len};
    const struct ses_log_stamp stamp = {
        .flags = kind & 3u, .accepted_ms = NOW_MS + kind, .admit_epoch = kind};
    struct ses_record_ids ids;
    header.inbox.bytes[0] = kind & 7u;
    ses_record_header_encode(bytes + SES_LOG_PREFIX_BYTES, &header);
    SES_ASSERT(ses_record_identify(&ids, &record) == SES_OK);
    ses_log_prefix_write(bytes, &stamp, &ids.id, (uint32_t)len);
    SES_ASSERT(ses_buf_append(file, bytes, sizeof bytes) == SES_OK);
    SES_ASSERT(ses_buf_append(file, payload, len) == SES_OK);
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
    struct ses_place place;
    struct ses_file *file = NULL;
    uint64_t len;
    const struct ses_disk *door = test_disk_door(disk);
    ses_place_of(&place, &store->catalog, at);
    SES_ASSERT(ses_place_read(door, &file, &place, out) == SES_OK);
    door->close(door->ctx, file);
    const uint8_t *bytes = test_disk_bytes(disk, LOG_PATH, &len);
    SES_ASSERT(place.offset < len);
    bytes += place.offset;
    SES_ASSERT(ses_log_parse(&parsed, bytes, (size_t)(len - place.offset)) == SES_OK);
    ses_log_prefix_write(prefix, &parsed.stamp, &parsed.ids.id, parsed.payload_bytes);
    SES_ASSERT(memcmp(prefix + 4, bytes + 4, sizeof prefix - 4) == 0);
}

static uint64_t open_and_check(struct test_disk *disk, const struct ses_dsa_private *key)
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
        if (ses_catalog_entry(&store->catalog, i)->state == SES_ENTRY_LIVE) {
            check_record(disk, store, i);
            live++;
        }
    }
    SES_ASSERT(live == stats.record_cnt);
    ses_store_free(store);
    test_loop_free(loop);
    return live;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ses_dsa_private *key;
    if (key == NULL) {
        const struct ses_dsa_seed seed = {{1}};
        SES_ASSERT(ses_dsa_private_new(&key, &seed) == SES_OK);
    }
    struct ses_buf file = {0};
    uint64_t first_len;
    uint64_t second_len;
    build(&file, data, size);
    struct test_disk *disk = test_disk_new("/nowhere", &no_random);
    test_disk_put(disk, LOG_PATH, file.bytes, file.len);
    ses_buf_free(&file);
    const uint64_t first = open_and_check(disk, key);
    (void)test_disk_bytes(disk, LOG_PATH, &first_len);
    SES_ASSERT(open_and_check(disk, key) == first);
    (void)test_disk_bytes(disk, LOG_PATH, &second_len);
    SES_ASSERT(first_len == second_len);
    test_disk_free(disk);
    return 0;
}
