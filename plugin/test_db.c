#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/tap.h"
#include "plugin/plugin.h"

static char dir[64];
static struct ses_db *db;
static struct ses_kv kv;

static void open_db(void)
{
    struct ses_note note = {0};
    TAP_ERR(SES_OK, ses_db_open(&db, dir, &note));
    TAP_MUST(db != NULL);
    ses_db_kv(db, &kv);
}

/* A fresh directory for each test. */
static void begin(void)
{
    static const char pattern[] = "/tmp/ses-test-db-XXXXXX";
    memcpy(dir, pattern, sizeof pattern);
    TAP_MUST(mkdtemp(dir) != NULL);
    open_db();
}

static void path_of(char out[128], const char *name)
{
    TAP_MUST(snprintf(out, 128, "%s/%s", dir, name) > 0);
}

static void end(void)
{
    static const char *const names[] = {"chain.db", "chain.db-wal", "chain.db-shm", "chain.lock"};
    ses_db_close(db);
    db = NULL;
    for (size_t i = 0; i < SES_COUNT(names); i++) {
        char path[128];
        path_of(path, names[i]);
        TAP_OK(unlink(path) == 0 || i == 1 || i == 2);
    }
    TAP_OK(rmdir(dir) == 0);
}

static struct ses_kv_change put(const char *key, const char *value)
{
    return (struct ses_kv_change){(const uint8_t *)key, strlen(key), (const uint8_t *)value,
                                  value != NULL ? strlen(value) : 0};
}

static enum ses_err get(const char *key, char out[64])
{
    struct ses_buf buf = {0};
    const enum ses_err err = kv.get(kv.ctx, (const uint8_t *)key, strlen(key), &buf);
    TAP_MUST(buf.len < 64);
    if (buf.len > 0) {
        memcpy(out, buf.bytes, buf.len);
    }
    out[buf.len] = 0;
    ses_buf_free(&buf);
    return err;
}

static void test_batch(void)
{
    char value[64];
    begin();
    TAP_ERR(SES_ERR_NOT_FOUND, get("a", value));
    const struct ses_kv_change first[] = {put("a", "1"), put("b", ""), put("a", "2")};
    TAP_ERR(SES_OK, kv.write_batch(kv.ctx, first, SES_COUNT(first)));
    TAP_ERR(SES_OK, get("a", value));
    TAP_TEXT("2", value);
    TAP_ERR(SES_OK, get("b", value));
    TAP_TEXT("", value);
    const struct ses_kv_change second[] = {put("a", NULL), put("c", "3"), put("none", NULL)};
    TAP_ERR(SES_OK, kv.write_batch(kv.ctx, second, SES_COUNT(second)));
    TAP_ERR(SES_ERR_NOT_FOUND, get("a", value));
    TAP_ERR(SES_OK, kv.write_batch(kv.ctx, NULL, 0));
    ses_db_close(db);
    open_db();
    TAP_ERR(SES_OK, get("c", value));
    TAP_TEXT("3", value);
    TAP_ERR(SES_ERR_NOT_FOUND, get("a", value));
    end();
}

/* Keys as they come, each followed by a space, in `seen`. */
static char seen[400];
static size_t stop_after;
static bool collect(void *cookie, const uint8_t *key, size_t key_len, const uint8_t *value,
                    size_t value_len)
{
    (void)cookie;
    TAP_OK(value_len == key_len && memcmp(key, value, key_len) == 0);
    memcpy(seen + strlen(seen), key, key_len);
    memcpy(seen + strlen(seen), " ", 2);
    return --stop_after > 0;
}

static void iterate(const char *prefix, const char *from, size_t stop, const char *want)
{
    memset(seen, 0, sizeof seen);
    stop_after = stop;
    TAP_ERR(SES_OK, kv.iterate(kv.ctx, (const uint8_t *)prefix, strlen(prefix),
                               (const uint8_t *)from, strlen(from), collect, NULL));
    TAP_TEXT(want, seen);
}

static void test_iterate(void)
{
    static const char *const keys[] = {"a",     "b", "b1",       "b2",           "b20",
                                       "b\xff", "c", "\xff\xff", "\xff\xff\x61", "\xff"};
    begin();
    for (size_t i = 0; i < SES_COUNT(keys); i++) {
        const struct ses_kv_change change = put(keys[i], keys[i]);
        TAP_ERR(SES_OK, kv.write_batch(kv.ctx, &change, 1));
    }
    iterate("b", "", 100, "b b1 b2 b20 b\xff ");
    iterate("b", "b2", 100, "b2 b20 b\xff ");
    iterate("b", "b10", 2, "b2 b20 ");
    iterate("b", "a", 1, "b ");
    iterate("b", "c", 100, "");
    iterate("d", "", 100, "");
    iterate("\xff", "", 100, "\xff \xff\xff \xff\xff\x61 ");
    iterate("\xff\xff", "", 100, "\xff\xff \xff\xff\x61 ");
    iterate("", "c", 100, "c \xff \xff\xff \xff\xff\x61 ");
    end();
}

static bool nested(void *cookie, const uint8_t *key, size_t key_len, const uint8_t *value,
                   size_t value_len)
{
    char text[64];
    (void)cookie;
    (void)value;
    (void)value_len;
    TAP_OK(key_len == 1);
    TAP_ERR(SES_OK, get("a", text));
    iterate((const char *)(key[0] == 'a' ? "b" : "a"), "", 100, key[0] == 'a' ? "b " : "a ");
    return true;
}

static void test_reads_inside_iterate(void)
{
    begin();
    const struct ses_kv_change two[] = {put("a", "a"), put("b", "b")};
    TAP_ERR(SES_OK, kv.write_batch(kv.ctx, two, 2));
    TAP_ERR(SES_OK, kv.iterate(kv.ctx, NULL, 0, NULL, 0, nested, NULL));
    end();
}

static void test_large_values(void)
{
    const size_t len = 3000000;
    uint8_t *bytes = ses_alloc(len, 1);
    struct ses_buf got = {0};
    begin();
    ses_random_fill(tap_random(), bytes, len);
    const struct ses_kv_change change = {(const uint8_t *)"k", 1, bytes, len};
    TAP_ERR(SES_OK, kv.write_batch(kv.ctx, &change, 1));
    TAP_ERR(SES_OK, kv.get(kv.ctx, (const uint8_t *)"k", 1, &got));
    TAP_MUST(got.len == len);
    TAP_BYTES(bytes, got.bytes, len);
    ses_buf_free(&got);
    ses_free(bytes);
    end();
}

static void test_second_open_is_refused(void)
{
    struct ses_db *second = NULL;
    struct ses_note note = {0};
    begin();
    TAP_ERR(SES_ERR_IN_USE, ses_db_open(&second, dir, &note));
    TAP_OK(second == NULL && strstr(note.text, dir) != NULL);
    end();
    TAP_ERR(SES_ERR_CONFIG, ses_db_open(&second, "", &note));
}

/* ---- workers ---- */

static void add(void *cookie, size_t i)
{
    uint64_t *sums = cookie;
    sums[i] += i + 1;
}

static void test_workers(void)
{
    for (uint32_t threads = 0; threads < 10; threads++) {
        struct ses_workers *workers = NULL;
        uint64_t sums[500] = {0};
        TAP_ERR(SES_OK, ses_workers_new(&workers, threads));
        TAP_MUST(workers != NULL);
        const struct ses_parallel *parallel = ses_workers_parallel(workers);
        for (int round = 0; round < 50; round++) {
            parallel->run(parallel->ctx, add, sums, (size_t)round * 10);
        }
        for (size_t i = 0; i < 490; i++) {
            TAP_EQ((i + 1) * (49 - i / 10), sums[i]);
        }
        ses_workers_free(workers);
    }
}

int main(void)
{
    TAP_RUN(test_batch);
    TAP_RUN(test_iterate);
    TAP_RUN(test_reads_inside_iterate);
    TAP_RUN(test_large_values);
    TAP_RUN(test_second_open_is_refused);
    TAP_RUN(test_workers);
    return tap_done();
}
