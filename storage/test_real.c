/* Real files, threads and processes: kills, a second process, a full disk, damage on disk. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "storage/test_ask.h"

#define KILLS 20
#define CHILD_PUTS 2000u
#define CHILD_IN_FLIGHT 40u

static struct kit kit;
static struct ask ask;
static struct kit_box box;

static void open_disk(void)
{
    struct ses_disk disk;
    SES_ASSERT(ses_disk_open(&disk, kit.root, &kit.note) == SES_OK);
    kit.real = disk;
}

static void begin(struct test_loop *loop)
{
    kit_root(&kit);
    open_disk();
    kit_init(&kit, loop, &kit.real);
}

static void end(void)
{
    test_loop_free(kit.loop);
    ses_disk_close(&kit.real);
    kit_free(&kit);
}

static void path_of(char out[512], const char *name)
{
    const int len = snprintf(out, 512, "%s/%s", kit.root, name);
    SES_ASSERT(len > 0 && len < 512);
}

static struct kit_spec spec_of(uint64_t n, uint64_t now_ms)
{
    return (struct kit_spec){.n = n,
                             .inbox = 1,
                             .ts_ms = now_ms,
                             .payload_bytes = (uint32_t)(n * 37 % 5000),
                             .ttl_class = (uint8_t)(3 + n % 2)};
}

/* ---- kill -9 ---- */
/* The child stores records from number `at` on and writes the number of each acknowledged one into
 * a pipe, until it is killed. */
static struct {
    int fd;
    uint64_t next;
    uint64_t now_ms;
    uint32_t in_flight;
    bool stop;
} child;

static void child_put(void);

static void on_child_done(void *cookie, const struct ses_put_result *result)
{
    const uint64_t n = (uint64_t)(uintptr_t)cookie;
    child.in_flight--;
    if (result->err != SES_OK || write(child.fd, &n, sizeof n) != (ssize_t)sizeof n) {
        _exit(2);
    }
    child_put();
}

static void child_put(void)
{
    while (child.in_flight < CHILD_IN_FLIGHT) {
        struct kit_record record;
        const struct kit_spec spec = spec_of(child.next, child.now_ms);
        kit_record(&record, &spec);
        const struct ses_put put = {.record = record.record,
                                    .ids = &record.ids,
                                    .entry = true,
                                    .on_done = on_child_done,
                                    .cookie = (void *)(uintptr_t)child.next};
        if (ses_store_put(kit.store, &put) != SES_OK) {
            _exit(3);
        }
        child.next++;
        child.in_flight++;
        kit_record_free(&record);
    }
}

static void child_main(int fd, uint64_t first, uint64_t now_ms)
{
    open_disk(); /* the parent holds no lock while a child lives */
    kit.params.disk = &kit.real;
    kit.loop = test_loop_new_threads();
    kit.params.loop = test_loop_door(kit.loop);
    if (kit_open(&kit) != SES_OK) {
        _exit(4);
    }
    child.fd = fd;
    child.next = first;
    child.now_ms = now_ms;
    child_put();
    (void)test_loop_run(kit.loop, &child.stop);
    _exit(5);
}

/* Lets a child run for some acknowledgements, kills it, marks what it acknowledged. */
static uint64_t run_child(uint64_t first, uint64_t now_ms, bool *acked, uint64_t acked_max)
{
    int fds[2];
    SES_ASSERT(pipe(fds) == 0);
    const pid_t pid = fork();
    SES_ASSERT(pid >= 0);
    if (pid == 0) {
        (void)close(fds[0]);
        child_main(fds[1], first, now_ms);
    }
    (void)close(fds[1]);
    const uint64_t stop_after = 1 + ses_random_below(tap_random(), 200);
    uint64_t last = first;
    uint64_t n;
    for (uint64_t cnt = 0; read(fds[0], &n, sizeof n) == (ssize_t)sizeof n; cnt++) {
        SES_ASSERT(n < acked_max);
        acked[n] = true;
        last = n > last ? n : last;
        if (cnt == stop_after) {
            SES_ASSERT(kill(pid, SIGKILL) == 0);
        }
    }
    int status = 0;
    SES_ASSERT(waitpid(pid, &status, 0) == pid);
    TAP_OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    (void)close(fds[0]);
    return last + CHILD_IN_FLIGHT + 1;
}

static void test_kill(void)
{
    static bool acked[KILLS * CHILD_PUTS];
    const uint64_t now_ms = ses_now_ms(ses_clock_system());
    uint64_t next = 0;
    memset(acked, 0, sizeof acked);
    kit_root(&kit);
    kit_init(&kit, NULL, NULL);
    for (int i = 0; i < KILLS; i++) {
        next = run_child(next, now_ms, acked, SES_COUNT(acked));
        open_disk();
        kit.loop = test_loop_new_threads();
        kit.params.disk = &kit.real;
        kit.params.loop = test_loop_door(kit.loop);
        TAP_ERR(SES_OK, kit_open(&kit));
        TAP_MUST(kit.store != NULL);
        uint64_t lost = 0;
        uint64_t cnt = 0;
        for (uint64_t n = 0; n < next; n++) {
            struct kit_record record;
            const struct kit_spec spec = spec_of(n, now_ms);
            if (acked[n]) {
                kit_record(&record, &spec);
                lost += !ses_store_has(kit.store, &record.ids);
                cnt++;
                kit_record_free(&record);
            }
        }
        TAP_EQ(0, lost);
        TAP_OK(cnt > 0);
        kit_read(&kit, &box, 1, 0, NULL, 500, 1 << 20);
        TAP_OK(box.cnt >= cnt);
        struct ses_store_stats stats;
        ses_store_stats(kit.store, &stats);
        TAP_EQ(0, stats.corrupt_reads);
        kit_close(&kit);
        test_loop_free(kit.loop);
        ses_disk_close(&kit.real);
    }
    kit_free(&kit);
}

/* ---- threads ---- */
static void test_threads(void)
{
    enum { CNT = 400 };
    static struct kit_put puts[CNT];
    const uint64_t now_ms = ses_now_ms(ses_clock_system());
    begin(test_loop_new_threads());
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint64_t n = 0; n < CNT; n++) {
        struct kit_record record;
        const struct kit_spec spec = spec_of(n, now_ms);
        kit_record(&record, &spec);
        kit_put_start(&kit, &puts[n], &record, n % 2 == 0 ? KIT_ENTRY : KIT_REPLICA);
        if (n % 50 == 49) { /* reads and seals while batches are written and signed */
            kit_read(&kit, &box, 1, 0, NULL, 20, 1 << 20);
            const uint64_t epoch = ses_epoch_at(&kit.params.times, now_ms / 1000) + 1 + n / 50;
            TAP_ERR(SES_OK, ses_store_seal(kit.store, (int64_t)epoch));
            ses_store_replicated(kit.store, &record.ids.id);
            ask_segments(&kit, &ask, NULL, 0);
            TAP_ERR(SES_OK, ask.err);
            ask_snapshot(&kit, &ask, epoch, 0, 1);
            TAP_ERR(SES_OK, ask.err);
            ses_store_expire(kit.store);
        }
        kit_record_free(&record);
    }
    TAP_OK(test_loop_run(kit.loop, NULL));
    uint32_t good = 0;
    for (uint64_t n = 0; n < CNT; n++) {
        good += puts[n].done && puts[n].err == SES_OK;
    }
    TAP_EQ(CNT, good);
    kit_read(&kit, &box, 1, 0, NULL, 20, 1 << 20);
    TAP_EQ(CNT, box.cnt);
    kit_close(&kit);
    end();
}

/* An epoch is sealed, and its snapshot asked for, when a batch has been accepted by the writer but
 * has not come back yet: what was promised for the epoch is in the snapshot. */
static struct {
    atomic_bool accepted;
    bool done;
    struct ses_timer *timer;
    uint64_t epoch;
    enum ses_err (*space)(void *ctx, uint64_t *free_bytes);
} late;

static enum ses_err slow_space(void *ctx, uint64_t *free_bytes)
{
    atomic_store(&late.accepted, true); /* the last thing that a batch asks for */
    usleep(60000);
    return late.space(ctx, free_bytes);
}

static void on_late(void *cookie, enum ses_err err, const struct ses_snapshot *snapshot)
{
    TAP_ERR(SES_OK, err);
    TAP_EQ(1, snapshot->count);
    *(bool *)cookie = true;
}

static void poll_accepted(void *cookie)
{
    const struct ses_loop *loop = kit.params.loop;
    (void)cookie;
    if (!atomic_load(&late.accepted)) {
        SES_ASSERT(loop->timer_start(loop->ctx, &late.timer, 1, poll_accepted, NULL) == SES_OK);
        return;
    }
    TAP_ERR(SES_OK, ses_store_seal(kit.store, (int64_t)late.epoch));
    TAP_ERR(SES_OK, ses_store_snapshot(kit.store, late.epoch, 0, 1, on_late, &late.done));
}

static void test_sealed_while_written(void)
{
    const uint64_t now_ms = ses_now_ms(ses_clock_system());
    struct kit_record record;
    struct kit_put put;
    const struct kit_spec spec = spec_of(1, now_ms);
    begin(test_loop_new_threads());
    struct ses_disk slow = *kit.params.disk;
    late.space = slow.space;
    slow.space = slow_space;
    kit.params.disk = &slow;
    TAP_ERR(SES_OK, kit_open(&kit));
    late.done = false;
    late.epoch = ses_admit_epoch(&kit.params.times, now_ms, now_ms, -1, 0);
    kit_record(&record, &spec);
    kit_put_start(&kit, &put, &record, KIT_REPLICA);
    atomic_store(&late.accepted, false);
    poll_accepted(NULL);
    TAP_OK(test_loop_run(kit.loop, &late.done));
    TAP_OK(test_loop_run(kit.loop, NULL));
    TAP_EQ(late.epoch, put.result.receipt.leaf.admit_epoch);
    kit_record_free(&record);
    kit_close(&kit);
    end();
}

/* ---- refusals ---- */
static void test_second_process(void)
{
    begin(test_loop_new(KIT_NOW_MS));
    const pid_t pid = fork();
    SES_ASSERT(pid >= 0);
    if (pid == 0) {
        struct ses_disk disk;
        struct ses_note note = {{0}};
        const enum ses_err err = ses_disk_open(&disk, kit.root, &note);
        _exit(err == SES_ERR_IN_USE && strstr(note.text, kit.root) != NULL ? 0 : 1);
    }
    int status = 0;
    SES_ASSERT(waitpid(pid, &status, 0) == pid);
    TAP_OK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct ses_disk again; /* nor twice in one process */
    TAP_ERR(SES_ERR_IN_USE, ses_disk_open(&again, kit.root, NULL));
    TAP_ERR(SES_ERR_NOT_FOUND, ses_disk_open(&again, "/nonexistent/a/b", &kit.note));
    TAP_OK(strstr(kit.note.text, "/nonexistent/a/b") != NULL);
    end();
}

static void sql(const char *name, const char *text)
{
    char path[512];
    sqlite3 *db = NULL;
    path_of(path, name);
    SES_ASSERT(sqlite3_open(path, &db) == SQLITE_OK);
    SES_ASSERT(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK);
    SES_ASSERT(sqlite3_close(db) == SQLITE_OK);
}

static void test_unknown_format(void)
{
    begin(test_loop_new(KIT_NOW_MS));
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_close(&kit);
    sql("meta.db", "PRAGMA user_version = 7");
    TAP_ERR(SES_ERR_VERSION, kit_open(&kit));
    TAP_OK(strstr(kit.note.text, "format 7") != NULL);
    sql("meta.db", "DROP TABLE snapshot; DROP TABLE commitment; PRAGMA user_version = 1");
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_close(&kit);
    end();
}

/* ---- damage ---- */
static void damage(const char *name, long at, const void *bytes, size_t len)
{
    char path[512];
    path_of(path, name);
    const int fd = open(path, O_RDWR);
    SES_ASSERT(fd >= 0 && pwrite(fd, bytes, len, at) == (ssize_t)len && close(fd) == 0);
}

static void put_ten(void)
{
    for (uint64_t n = 0; n < 10; n++) {
        const struct kit_spec spec = {
            .n = n, .inbox = 1, .ts_ms = KIT_NOW_MS, .payload_bytes = 1000, .ttl_class = 3};
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    }
}

static void log_name(char out[64])
{
    SES_ASSERT(snprintf(out, 64, "seg/3/%u.log", (unsigned)(KIT_NOW_MS / 3600000)) > 0);
}

static void index_name(char out[64])
{
    SES_ASSERT(snprintf(out, 64, "idx/3-%u.db", (unsigned)(KIT_NOW_MS / 86400000)) > 0);
}

static void remove_index(void)
{
    char path[512];
    char name[64];
    index_name(name);
    path_of(path, name);
    SES_ASSERT(unlink(path) == 0);
}

static void test_corrupt_record(void)
{
    begin(test_loop_new(KIT_NOW_MS));
    TAP_ERR(SES_OK, kit_open(&kit));
    char name[64];
    log_name(name);
    put_ten();
    damage(name, 3 * 1088 + 500, "x", 1); /* in a payload, under the running store */
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(9, box.cnt);
    TAP_EQ(3, box.page_cnt);
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(1, stats.corrupt_reads);
    kit_close(&kit);
    /* without an index: the other nine are found again */
    remove_index();
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(9, box.cnt);
    kit_close(&kit);
    /* neither a damaged length nor a damaged magic hides what stands behind */
    damage(name, 5 * 1088 + 6, "\x7f", 1);
    damage(name, 7 * 1088, "\x01", 1);
    remove_index();
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(8, box.cnt);
    kit_close(&kit);
    end();
}

static void test_damaged_index(void)
{
    static const uint8_t junk[4096] = {0xff, 1, 2, 3};
    char index[64];
    begin(test_loop_new(KIT_NOW_MS));
    index_name(index);
    TAP_ERR(SES_OK, kit_open(&kit));
    put_ten();
    kit_close(&kit);
    damage(index, 0, junk, sizeof junk); /* no database any more */
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(10, box.cnt);
    kit_close(&kit);
    sql(index, "UPDATE record SET offset = offset + 1088 WHERE offset = 1088"); /* a flipped bit */
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(10, box.cnt);
    kit_close(&kit);
    sql(index, "DROP TABLE record");
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(10, box.cnt);
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(0, stats.corrupt_reads);
    kit_close(&kit);
    /* the index is ahead of a log that lost its end */
    char path[512];
    log_name(index);
    path_of(path, index);
    SES_ASSERT(truncate(path, 6 * 1088 + 10) == 0);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(6, box.cnt);
    ses_store_stats(kit.store, &stats);
    TAP_EQ(1, stats.torn_tails);
    put_ten();
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(10, box.cnt);
    kit_close(&kit);
    /* the log is gone, its rows are not: a crash between the two unlinks */
    SES_ASSERT(unlink(path) == 0);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(0, box.cnt);
    put_ten();
    kit_close(&kit);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(10, box.cnt);
    ses_store_stats(kit.store, &stats);
    TAP_EQ(0, stats.corrupt_reads);
    kit_close(&kit);
    end();
}

/* A log that is found without meta.db: a new instance, cursors of the old one start again. */
static void test_lost_meta(void)
{
    char path[512];
    begin(test_loop_new(KIT_NOW_MS));
    TAP_ERR(SES_OK, kit_open(&kit));
    put_ten();
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    const struct ses_cursor old = box.next;
    kit_close(&kit);
    path_of(path, "meta.db");
    SES_ASSERT(unlink(path) == 0);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, &old, 4, 1 << 20);
    TAP_EQ(10, box.cnt);
    struct ses_buf sealed = {0}; /* the epoch of the day counts as sealed */
    TAP_ERR(SES_OK, ses_store_meta_get(kit.store, "storage.sealed", &sealed));
    TAP_MUST(sealed.len == 8);
    TAP_EQ(100, ses_get_u64(sealed.bytes));
    ses_buf_free(&sealed);
    kit_close(&kit);
    end();
}

static void keep_ten(uint64_t inbox)
{
    const uint64_t first = inbox * 100;
    for (uint64_t n = first; n < first + 10; n++) {
        const struct kit_spec spec = {
            .n = n, .inbox = inbox, .ts_ms = KIT_NOW_MS, .payload_bytes = 1000};
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    }
}

/* An older meta.db under newer records: the numbers of arrivals are not given out twice, or the
 * rows of records that were promised would be overwritten. */
static void test_old_meta(void)
{
    begin(test_loop_new(KIT_NOW_MS));
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_ERR(SES_OK, ses_store_mark_synced(kit.store));
    kit_close(&kit);
    for (uint64_t inbox = 1; inbox <= 2; inbox++) {
        TAP_ERR(SES_OK, kit_open(&kit));
        TAP_EQ(inbox == 2, ses_store_needs_sync(kit.store));
        keep_ten(inbox);
        kit_close(&kit);
        sql("meta.db", "UPDATE value SET value = x'0000000000000001'"
                       " WHERE key IN ('storage.boot', 'storage.synced')");
    }
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_EQ(100, (uint64_t)ses_store_sealed(kit.store));
    for (uint64_t inbox = 1; inbox <= 2; inbox++) {
        kit_read(&kit, &box, inbox, 0, NULL, 4, 1 << 20);
        TAP_EQ(10, box.cnt);
    }
    kit_close(&kit);
    end();
}

/* ---- a full disk ---- */
static void test_file_size_limit(void)
{
    begin(test_loop_new(KIT_NOW_MS));
    TAP_ERR(SES_OK, kit_open(&kit));
    put_ten();
    struct rlimit saved;
    SES_ASSERT(getrlimit(RLIMIT_FSIZE, &saved) == 0);
    SES_ASSERT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    /* room for the index and meta.db, which stay below it, not for a large record in the log */
    const struct rlimit tight = {.rlim_cur = 160000, .rlim_max = saved.rlim_max};
    SES_ASSERT(setrlimit(RLIMIT_FSIZE, &tight) == 0);
    struct kit_spec spec = {
        .n = 100, .inbox = 1, .ts_ms = KIT_NOW_MS, .payload_bytes = 80000, .ttl_class = 3};
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    spec.n = 101;
    TAP_ERR(SES_ERR_DISK_LOW, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(11, box.cnt);
    SES_ASSERT(setrlimit(RLIMIT_FSIZE, &saved) == 0);
    ses_store_expire(kit.store);
    TAP_OK(test_loop_run(kit.loop, NULL));
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    TAP_EQ(0, kit.fatal_cnt);
    kit_close(&kit);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 4, 1 << 20);
    TAP_EQ(12, box.cnt);
    kit_close(&kit);
    end();
}

/* The index finds no space: the records are stored all the same and indexed at the next start. */
static void test_index_without_space(void)
{
    begin(test_loop_new(KIT_NOW_MS));
    TAP_ERR(SES_OK, kit_open(&kit));
    put_ten();
    struct rlimit saved;
    SES_ASSERT(getrlimit(RLIMIT_FSIZE, &saved) == 0);
    SES_ASSERT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    const struct rlimit tight = {.rlim_cur = 66000, .rlim_max = saved.rlim_max};
    SES_ASSERT(setrlimit(RLIMIT_FSIZE, &tight) == 0);
    uint32_t stored = 10;
    for (uint64_t n = 100; n < 140; n++) {
        const struct kit_spec spec = {
            .n = n, .inbox = 1, .ts_ms = KIT_NOW_MS, .payload_bytes = 1000, .ttl_class = 3};
        stored += kit_put(&kit, &spec, KIT_ENTRY, NULL) == SES_OK;
    }
    const struct rlimit tiny = {.rlim_cur = 3000, .rlim_max = saved.rlim_max};
    SES_ASSERT(setrlimit(RLIMIT_FSIZE, &tiny) == 0);
    const struct kit_spec fresh = {/* of another class: no index could even be created */
                                   .n = 200,
                                   .inbox = 1,
                                   .ts_ms = KIT_NOW_MS,
                                   .payload_bytes = 100,
                                   .ttl_class = 2};
    stored += kit_put(&kit, &fresh, KIT_ENTRY, NULL) == SES_OK;
    SES_ASSERT(setrlimit(RLIMIT_FSIZE, &saved) == 0);
    TAP_EQ(0, kit.fatal_cnt);
    TAP_EQ(51, stored); /* the log has room, the index's WAL has not */
    kit_read(&kit, &box, 1, 0, NULL, 40, 1 << 20);
    TAP_EQ(stored, box.cnt);
    kit_close(&kit);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 40, 1 << 20);
    TAP_EQ(stored, box.cnt);
    kit_close(&kit);
    end();
}

/* A small file system that is filled to the last byte again and again: what was acknowledged is
 * there when there is room again. */
static void test_full_disk(void)
{
    begin(test_loop_new(KIT_NOW_MS));
    ses_disk_close(&kit.real);
    if (mount("tmpfs", kit.root, "tmpfs", 0, "size=600k") != 0) {
        tap_skip("needs the right to mount a file system");
        open_disk();
        end();
        return;
    }
    static bool stored[400];
    static struct kit_record records[400];
    open_disk();
    TAP_ERR(SES_OK, kit_open(&kit));
    uint32_t cnt = 0;
    uint32_t refused = 0;
    for (uint64_t n = 0; n < 400; n++) {
        const struct kit_spec spec = {.n = n,
                                      .inbox = 1,
                                      .ts_ms = KIT_NOW_MS,
                                      .payload_bytes = (uint32_t)(n * 97 % 4000),
                                      .ttl_class = 3};
        struct kit_put put;
        kit_record(&records[n], &spec);
        kit_put_start(&kit, &put, &records[n], KIT_ENTRY);
        TAP_OK(test_loop_run(kit.loop, &put.done));
        stored[n] = put.err == SES_OK;
        cnt += put.err == SES_OK;
        refused += put.err == SES_ERR_DISK_LOW;
        if (n % 20 == 19) {
            ses_store_expire(kit.store); /* asks for the space again */
            TAP_OK(test_loop_run(kit.loop, NULL));
        }
    }
    printf("# stored %u, refused %u\n", cnt, refused);
    TAP_EQ(0, kit.fatal_cnt);
    TAP_OK(cnt > 50 && refused > 0 && cnt + refused == 400);
    kit_read(&kit, &box, 1, 0, NULL, 40, 1 << 20);
    TAP_EQ(cnt, box.cnt);
    kit_close(&kit);
    TAP_OK(mount("tmpfs", kit.root, "tmpfs", MS_REMOUNT, "size=4m") == 0);
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_MUST(kit.store != NULL);
    for (uint64_t n = 0; n < 400; n++) {
        TAP_OK(stored[n] == ses_store_has(kit.store, &records[n].ids));
        kit_record_free(&records[n]);
    }
    kit_close(&kit);
    ses_disk_close(&kit.real);
    TAP_OK(umount(kit.root) == 0);
    open_disk();
    end();
}

int main(void)
{
    TAP_RUN(test_kill);
    TAP_RUN(test_threads);
    TAP_RUN(test_sealed_while_written);
    TAP_RUN(test_second_process);
    TAP_RUN(test_unknown_format);
    TAP_RUN(test_corrupt_record);
    TAP_RUN(test_damaged_index);
    TAP_RUN(test_lost_meta);
    TAP_RUN(test_old_meta);
    TAP_RUN(test_file_size_limit);
    TAP_RUN(test_index_without_space);
    TAP_RUN(test_full_disk);
    return tap_done();
}
