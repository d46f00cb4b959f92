/* A disk in memory for tests, which loses what a real one may lose. Log files live in memory; the
 * databases (below idx/, and meta.db) are real files of the real directory `root`.
 *
 * At a crash every file keeps its synced bytes; of what was written since, each 512-byte sector is
 * kept or lost by the dice, sizes included; files whose directory was not synced may be gone. */
#ifndef SES_STORAGE_TEST_DISK_H
#define SES_STORAGE_TEST_DISK_H

#include "storage/storage.h"

struct test_disk;
/* `root` must exist. */
struct test_disk *test_disk_new(const char *root, const struct ses_random *random);
void test_disk_free(struct test_disk *disk);
const struct ses_disk *test_disk_door(struct test_disk *disk);

/* The operation number `n` from now (1 = the next) of those that change something, and all after
 * it, fail with ERR_IO: the machine is off. A write that hits it is done in part. 0: never. */
void test_disk_stop_at(struct test_disk *disk, uint64_t n);
/* The process was killed, the machine stays on: all that was written can be read. */
void test_disk_kill(struct test_disk *disk);
/* Power comes back: what was not synced is lost, kept or torn. */
void test_disk_crash(struct test_disk *disk);
/* The n-th sync from now fails, once. */
void test_disk_fail_sync_at(struct test_disk *disk, uint64_t n);
/* The n-th operation from now of whatever kind fails, once. 0: never. Returns how many were left of
 * the last n: 0 if that one failed. */
uint64_t test_disk_fail_op_at(struct test_disk *disk, uint64_t n);
/* Bytes that may still be written; a write that needs more does a part and fails. */
void test_disk_set_space(struct test_disk *disk, uint64_t bytes);
/* The same for writes, and free space is reported without end. */
void test_disk_set_quota(struct test_disk *disk, uint64_t bytes);
/* Direct access to a file's bytes, NULL if absent; may be changed in place. */
uint8_t *test_disk_bytes(struct test_disk *disk, const char *path, uint64_t *len);
/* Replaces or creates a file, synced. */
void test_disk_put(struct test_disk *disk, const char *path, const void *bytes, uint64_t len);
/* Bytes of all logs. */
uint64_t test_disk_log_bytes(const struct test_disk *disk);
/* How often the names of the indexes were made durable. */
uint64_t test_disk_index_names(const struct test_disk *disk);
#endif
