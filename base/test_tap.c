/* The harness itself: a child process runs tests that pass, fail, leave and skip. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/tap.h"

static void passes(void)
{
    TAP_OK(true);
}

static void fails(void)
{
    TAP_EQ(1, 2);
    TAP_TEXT("a", "b");
    TAP_ERR(SES_OK, SES_ERR_IO);
    TAP_BYTES("abc", "abd", 3);
    TAP_TEXT("a", NULL);
}

static void leaves(void)
{
    TAP_MUST(false);
    abort();
}

static void skips(void)
{
    tap_skip("no reason");
}

static void child(bool with_failures)
{
    uint8_t bytes[11];
    TAP_RUN(passes);
    TAP_RUN(skips);
    if (with_failures) {
        TAP_RUN(fails);
        TAP_RUN(leaves);
    }
    ses_random_fill(tap_random(), bytes, sizeof bytes);
    printf("# random %02x%02x\n", bytes[0], bytes[10]);
    const int status = tap_done();
    fflush(stdout);
    _exit(status);
}

/* Runs the child under a seed, gives its output and exit status. */
static int run_child(char *out, size_t cap, bool with_failures)
{
    int ends[2];
    int status = -1;
    size_t len = 0;
    TAP_MUST(pipe(ends) == 0 && fflush(stdout) == 0);
    const pid_t pid = fork();
    TAP_MUST(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        child(with_failures);
    }
    TAP_MUST(close(ends[1]) == 0);
    for (ssize_t got = 1; got > 0 && len<cap - 1; len += got> 0 ? (size_t)got : 0) {
        got = read(ends[0], out + len, cap - 1 - len);
    }
    out[len] = 0;
    TAP_MUST(close(ends[0]) == 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A forked child continues this program's numbering. */
static void test_good(void)
{
    char out[4000];
    TAP_EQ(0, (uint64_t)run_child(out, sizeof out, false));
    TAP_OK(strstr(out, "ok 2 - passes\nok 3 - skips # SKIP no reason\n") != NULL);
    TAP_OK(strstr(out, "1..3\n") != NULL);
    TAP_OK(strstr(out, "not ok") == NULL);
}

static void test_bad(void)
{
    char out[4000];
    TAP_EQ(1, (uint64_t)run_child(out, sizeof out, true));
    TAP_OK(strstr(out, "ok 3 - passes\n") != NULL);
    TAP_OK(strstr(out, "not ok 5 - fails\n") != NULL);
    TAP_OK(strstr(out, "not ok 6 - leaves\n") != NULL);
    TAP_OK(strstr(out, "want 1, got 2") != NULL);
    TAP_OK(strstr(out, "want \"a\"\n#   got  \"b\"") != NULL);
    TAP_OK(strstr(out, "want ok, got io") != NULL);
    TAP_OK(strstr(out, "first difference at byte 2 of 3") != NULL);
    TAP_OK(strstr(out, "(null)") != NULL);
}

static void test_seed_replays(void)
{
    char first[4000];
    char second[4000];
    TAP_EQ(0, (uint64_t)run_child(first, sizeof first, false));
    TAP_EQ(0, (uint64_t)run_child(second, sizeof second, false));
    TAP_OK(strstr(first, "# random ") != NULL);
    TAP_TEXT(first, second); /* both from where this program's sequence stands */
}

static void test_vectors(void)
{
    size_t len = 0;
    char *text;
    TAP_MUST(setenv("SES_VECTORS", "/proc/self", 1) == 0);
    TAP_OK(tap_vectors("no-such-file", &len) == NULL);
    TAP_MUST(setenv("SES_VECTORS", "base", 1) == 0);
    text = tap_vectors("test_tap.c", &len);
    if (text == NULL) {
        tap_skip("not run from the project's folder");
        return;
    }
    TAP_EQ(len, strlen(text));
    TAP_OK(strncmp(text, "/* The harness itself", 21) == 0);
    ses_free(text);
}

int main(void)
{
    TAP_RUN(test_good);
    TAP_RUN(test_bad);
    TAP_RUN(test_seed_replays);
    TAP_RUN(test_vectors);
    return tap_done();
}
