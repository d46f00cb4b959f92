/* Files of a profile: whole or not at all, private, checked. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/tap.h"
#include "client/client_internal.h"
#include "client/test_tmp.h"

#define MAGIC "testfil\x01"

static char folder[] = "/tmp/ses-client-files-XXXXXX";

static void path_of(char out[SES_PATH_MAX], const char *name)
{
    TAP_MUST(ses_path_join(out, folder, name, NULL) == SES_OK);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    TAP_MUST(stat(path, &st) == 0);
    return st.st_mode & 07777;
}

static void test_checksum(void)
{
    char path[SES_PATH_MAX];
    struct ses_buf body = {0};
    struct ses_buf got = {0};
    struct ses_note note = {0};
    path_of(path, "c");
    TAP_MUST(ses_buf_append(&body, "some state", 10) == SES_OK);
    TAP_ERR(SES_OK, ses_file_save(path, MAGIC, &body, NULL));
    TAP_ERR(SES_OK, ses_file_load(path, MAGIC, 100, &got, NULL));
    TAP_EQ(10, got.len);
    TAP_BYTES("some state", got.bytes, 10);
    got.len = 0;
    TAP_ERR(SES_ERR_VERSION, ses_file_load(path, "testfil\x02", 100, &got, &note));
    got.len = 0;
    TAP_ERR(SES_ERR_MALFORMED, ses_file_load(path, "otherfi\x01", 100, &got, &note));
    const int fd = open(path, O_WRONLY);
    TAP_MUST(fd >= 0 && pwrite(fd, "x", 1, 45) == 1 && close(fd) == 0);
    got.len = 0;
    TAP_ERR(SES_ERR_CHECKSUM, ses_file_load(path, MAGIC, 100, &got, &note));
    TAP_OK(strstr(note.text, "damaged") != NULL);
    TAP_MUST(truncate(path, 20) == 0);
    got.len = 0;
    TAP_ERR(SES_ERR_MALFORMED, ses_file_load(path, MAGIC, 100, &got, &note));
    ses_buf_free(&got);
    ses_buf_free(&body);
}

/* A child is killed again and again while it writes: what is read afterwards is always whole. */
static void test_kill_while_writing(void)
{
    char path[SES_PATH_MAX];
    struct ses_buf body = {0};
    path_of(path, "k");
    TAP_MUST(ses_buf_reserve(&body, 50000) == SES_OK);
    body.len = 50000;
    memset(body.bytes, 1, body.len);
    TAP_MUST(ses_file_save(path, MAGIC, &body, NULL) == SES_OK);
    for (unsigned i = 0; i < 20; i++) {
        fflush(stdout);
        const pid_t pid = fork();
        TAP_MUST(pid >= 0);
        if (pid == 0) {
            for (uint8_t n = 0;; n++) {
                memset(body.bytes, n, body.len);
                if (ses_file_save(path, MAGIC, &body, NULL) != SES_OK) {
                    _exit(1);
                }
            }
        }
        usleep(3000 + (useconds_t)ses_random_below(tap_random(), 5000));
        TAP_OK(kill(pid, SIGKILL) == 0);
        int status = 0;
        TAP_OK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        struct ses_buf got = {0};
        TAP_ERR(SES_OK, ses_file_load(path, MAGIC, 100000, &got, NULL));
        TAP_EQ(50000, got.len);
        ses_buf_free(&got);
    }
    ses_buf_free(&body);
}

static void test_sweep(void)
{
    char left[SES_PATH_MAX];
    char kept[SES_PATH_MAX];
    path_of(left, "state.tmp-abcdef");
    path_of(kept, "state");
    TAP_MUST(ses_file_write(kept, "x", 1, 0600, NULL) == SES_OK);
    const int fd = open(left, O_CREAT | O_WRONLY, 0600);
    TAP_MUST(fd >= 0 && close(fd) == 0);
    const uint64_t now_ms = ses_now_ms(ses_clock_system());
    struct stat young;
    ses_dir_sweep(folder, now_ms);
    TAP_OK(stat(left, &young) == 0); /* somebody may be writing it */
    ses_dir_sweep(folder, now_ms + 7200000);
    TAP_OK(access(left, F_OK) != 0);
    TAP_OK(access(kept, F_OK) == 0);
}

static void test_lock_excludes(void)
{
    char path[SES_PATH_MAX];
    int fd = -1;
    path_of(path, "lock");
    TAP_ERR(SES_OK, ses_lock_take(path, &fd, NULL));
    TAP_EQ(0600, mode_of(path));
    fflush(stdout);
    const pid_t pid = fork();
    TAP_MUST(pid >= 0);
    if (pid == 0) { /* waits until the parent lets go, then writes */
        char mark[SES_PATH_MAX];
        int mine = -1;
        ses_lock_drop(fd); /* the inherited one is the parent's lock, too */
        const bool ok = ses_lock_take(path, &mine, NULL) == SES_OK &&
                        ses_path_join(mark, folder, "mark", NULL) == SES_OK &&
                        ses_file_write(mark, "x", 1, 0600, NULL) == SES_OK;
        _exit(ok ? 0 : 1);
    }
    char mark[SES_PATH_MAX];
    path_of(mark, "mark");
    usleep(50000);
    TAP_OK(access(mark, F_OK) != 0);
    ses_lock_drop(fd);
    int status = 1;
    TAP_OK(waitpid(pid, &status, 0) == pid && status == 0);
    TAP_OK(access(mark, F_OK) == 0);
}

static void test_folders(void)
{
    char path[SES_PATH_MAX];
    struct ses_note note = {0};
    path_of(path, "dir");
    TAP_ERR(SES_OK, ses_dir_make(path, &note));
    TAP_ERR(SES_OK, ses_dir_make(path, &note));
    TAP_EQ(0700, mode_of(path));
    path_of(path, "a");
    TAP_MUST(ses_file_write(path, "x", 1, 0600, NULL) == SES_OK);
    TAP_ERR(SES_ERR_EXISTS, ses_dir_make(path, &note));
    path_of(path, "no/such/parent");
    TAP_ERR(SES_ERR_NOT_FOUND, ses_dir_make(path, &note));
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    SES_ASSERT(mkdtemp(folder) != NULL);
    TAP_RUN(test_checksum);
    TAP_RUN(test_kill_while_writing);
    TAP_RUN(test_sweep);
    TAP_RUN(test_lock_excludes);
    TAP_RUN(test_folders);
    test_tmp_remove(folder);
    return tap_done();
}
