/* Whole files. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/tap.h"

static char folder[] = "/tmp/ses-file-XXXXXX";

static void path_of(char out[SES_PATH_MAX], const char *name)
{
    SES_ASSERT(snprintf(out, SES_PATH_MAX, "%s/%s", folder, name) > 0);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    TAP_MUST(stat(path, &st) == 0);
    return st.st_mode & 07777;
}

static void test_write_is_private_and_whole(void)
{
    char path[SES_PATH_MAX];
    struct ses_buf got = {0};
    path_of(path, "a");
    const mode_t old = umask(0); /* even so nobody else may read it */
    TAP_ERR(SES_OK, ses_file_write(path, "first", 5, 0600, NULL));
    TAP_ERR(SES_OK, ses_file_write(path, "2nd", 3, 0600, NULL));
    umask(old);
    TAP_EQ(0600, mode_of(path));
    TAP_ERR(SES_OK, ses_file_read(path, 100, &got, NULL));
    TAP_EQ(3, got.len);
    TAP_BYTES("2nd", got.bytes, 3);
    ses_buf_free(&got);
    TAP_MUST(unlink(path) == 0);
}

static void test_read_limits(void)
{
    char path[SES_PATH_MAX];
    struct ses_buf got = {0};
    struct ses_note note = {0};
    path_of(path, "b");
    TAP_ERR(SES_ERR_NOT_FOUND, ses_file_read(path, 100, &got, &note));
    TAP_OK(strstr(note.text, path) != NULL);
    TAP_MUST(ses_file_write(path, "0123456789", 10, 0600, NULL) == SES_OK);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_file_read(path, 9, &got, &note));
    TAP_OK(got.bytes == NULL);
    TAP_ERR(SES_OK, ses_file_read(path, 10, &got, &note));
    ses_buf_free(&got);
    TAP_MUST(unlink(path) == 0);
}

static void test_mode_obeys_umask(void)
{
    char path[SES_PATH_MAX];
    path_of(path, "c");
    const mode_t old = umask(027);
    TAP_ERR(SES_OK, ses_file_write(path, "x", 1, 0644, NULL));
    umask(old);
    TAP_EQ(0640, mode_of(path));
    TAP_MUST(unlink(path) == 0);
}

/* What cannot take the old one's place is removed: the folder is empty again. */
static void test_failed_write_leaves_nothing(void)
{
    char path[SES_PATH_MAX];
    struct ses_note note = {0};
    path_of(path, "d");
    TAP_MUST(mkdir(path, 0700) == 0);
    TAP_OK(ses_file_write(path, "x", 1, 0600, &note) != SES_OK);
    TAP_OK(strstr(note.text, path) != NULL);
    TAP_MUST(rmdir(path) == 0 && rmdir(folder) == 0);
}

int main(void)
{
    SES_ASSERT(mkdtemp(folder) != NULL);
    TAP_RUN(test_write_is_private_and_whole);
    TAP_RUN(test_read_limits);
    TAP_RUN(test_mode_obeys_umask);
    TAP_RUN(test_failed_write_leaves_nothing);
    return tap_done();
}
