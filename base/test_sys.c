#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/tap.h"

static void test_alloc(void)
{
    uint8_t *p = ses_alloc(3, 5);
    TAP_MUST(p != NULL);
    TAP_BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0", p, 15);
    memset(p, 7, 15);
    p = ses_realloc(p, 100, 10);
    TAP_MUST(p != NULL);
    TAP_EQ(7, p[14]);
    TAP_OK(ses_realloc(p, SIZE_MAX / 2, 4) == NULL);
    TAP_OK(ses_alloc(SIZE_MAX / 2, 4) == NULL);
    ses_free(p);
    p = ses_alloc(0, 8);
    TAP_OK(p != NULL);
    ses_free(p);
    ses_free(NULL);
    char *text = ses_strdup("abc");
    TAP_TEXT("abc", text);
    ses_free(text);
}

static void test_alloc_fail_at(void)
{
    ses_alloc_fail_at(2);
    void *first = ses_alloc(1, 1);
    TAP_OK(first != NULL);
    TAP_OK(ses_strdup("x") == NULL);
    void *third = ses_alloc(1, 1);
    TAP_OK(third != NULL);
    ses_alloc_fail_at(1);
    TAP_OK(ses_realloc(first, 10, 1) == NULL);
    ses_alloc_fail_at(1);
    ses_alloc_fail_at(0);
    void *fourth = ses_alloc(1, 1);
    TAP_OK(fourth != NULL);
    ses_free(first);
    ses_free(third);
    ses_free(fourth);
}

static void test_clock(void)
{
    TAP_OK(ses_now_ms(ses_clock_system()) > 1700000000000u);
    uint64_t last = ses_mono_ns();
    for (unsigned i = 0; i < 1000; i++) {
        const uint64_t now = ses_mono_ns();
        TAP_OK(now >= last);
        last = now;
    }
    TAP_OK(ses_mono_ms() >= last / 1000000u);
}

static void test_random_below(void)
{
    static const uint64_t bounds[] = {1, 2, 3, 10, 255, 1ull << 32, (1ull << 63) + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        for (unsigned j = 0; j < 200; j++) {
            TAP_OK(ses_random_below(tap_random(), bounds[i]) < bounds[i]);
        }
    }
    unsigned seen[6] = {0};
    for (unsigned i = 0; i < 6000; i++) {
        seen[ses_random_below(tap_random(), 6)]++;
    }
    for (unsigned i = 0; i < 6; i++) {
        TAP_OK(seen[i] > 800 && seen[i] < 1200); /* 7 sigma */
    }
}

static void test_random_system(void)
{
    uint8_t a[40] = {0};
    uint8_t b[40] = {0};
    ses_random_fill(ses_random_system(), a, sizeof a);
    ses_random_fill(ses_random_system(), b, sizeof b);
    TAP_OK(memcmp(a, b, sizeof a) != 0);
    ses_random_fill(ses_random_system(), NULL, 0);
}

static void test_secret_files(void)
{
    char path[] = "/tmp/ses-secret-XXXXXX";
    struct ses_note note = {0};
    const int fd = mkstemp(path);
    TAP_MUST(fd >= 0);
    TAP_ERR(SES_OK, ses_secret_file_check(path, 077, &note)); /* 0600 */
    TAP_MUST(fchmod(fd, 0640) == 0);
    TAP_ERR(SES_OK, ses_secret_file_check(path, 007, &note));
    TAP_ERR(SES_ERR_PERMISSION, ses_secret_file_check(path, 077, &note));
    TAP_OK(strstr(note.text, "chmod 600") != NULL && strstr(note.text, path) != NULL);
    TAP_MUST(fchmod(fd, 0604) == 0);
    TAP_ERR(SES_ERR_PERMISSION, ses_secret_file_check(path, 007, &note));
    TAP_ERR(SES_OK, ses_secret_file_check("/dev/null", 077, &note)); /* no file with a secret */
    TAP_ERR(SES_OK, ses_secret_file_check("/nonexistent/x", 077, &note));
    close(fd);
    unlink(path);
}

int main(void)
{
    TAP_RUN(test_alloc);
    TAP_RUN(test_alloc_fail_at);
    TAP_RUN(test_clock);
    TAP_RUN(test_random_below);
    TAP_RUN(test_random_system);
    TAP_RUN(test_secret_files);
    return tap_done();
}
