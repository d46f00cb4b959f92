#include "base/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

/* A test program is one thread that runs one test after the other. */
static struct {
    unsigned test_cnt;
    unsigned failed_cnt;
    bool failed;  /* the running test */
    bool running; /* inside tap_run */
    char skip[200];
    jmp_buf leave;
    bool seeded;
    uint64_t state;
} tap;

/* splitmix64, by Sebastiano Vigna, public domain: enough for tests, reproducible everywhere. */
static uint64_t next_random(void)
{
    tap.state += 0x9e3779b97f4a7c15u;
    uint64_t z = tap.state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void ensure_seed(void)
{
    if (tap.seeded) {
        return;
    }
    const char *given = getenv("SES_TEST_SEED");
    tap.state = given != NULL ? strtoull(given, NULL, 0) : ses_random_u64(ses_random_system());
    tap.seeded = true;
    printf("# seed SES_TEST_SEED=%" PRIu64 "\n", tap.state);
    fflush(stdout);
}

static void tap_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    uint8_t *at = out;
    for (size_t i = 0; i < len; i += 8) {
        uint8_t word[8];
        ses_put_u64(word, next_random());
        memcpy(at + i, word, len - i < 8 ? len - i : 8);
    }
}

const struct ses_random *tap_random(void)
{
    static const struct ses_random random = {.fill = tap_fill};
    ensure_seed();
    return &random;
}

void tap_run(const char *name, void (*test)(void))
{
    ensure_seed();
    tap.failed = false;
    tap.skip[0] = 0;
    tap.running = true;
    tap.test_cnt++;
    if (setjmp(tap.leave) == 0) {
        test();
    }
    tap.running = false;
    tap.failed_cnt += tap.failed;
    printf("%sok %u - %s", tap.failed ? "not " : "", tap.test_cnt, name);
    printf(tap.skip[0] != 0 ? " # SKIP %s\n" : "%s\n", tap.skip);
    fflush(stdout);
}

int tap_done(void)
{
    printf("1..%u\n", tap.test_cnt);
    return tap.failed_cnt == 0 && tap.test_cnt > 0 ? 0 : 1;
}

void tap_skip(const char *reason)
{
    if (snprintf(tap.skip, sizeof tap.skip, "%s", reason) < 0) {
        tap.skip[0] = 0;
    }
}

void tap_leave(void)
{
    SES_ASSERT(tap.running);
    longjmp(tap.leave, 1);
}

bool tap_check(bool ok, const char *what, const char *file, int line)
{
    if (!ok) {
        tap.failed = true;
        printf("# %s:%d: %s\n", file, line, what);
        fflush(stdout);
    }
    return ok;
}

bool tap_check_u64(uint64_t want, uint64_t got, const char *what, const char *file, int line)
{
    if (!tap_check(want == got, what, file, line)) {
        printf("#   want %" PRIu64 ", got %" PRIu64 "\n", want, got);
    }
    return want == got;
}

bool tap_check_err(enum ses_err want, enum ses_err got, const char *what, const char *file,
                   int line)
{
    if (!tap_check(want == got, what, file, line)) {
        printf("#   want %s, got %s\n", ses_err_name(want), ses_err_name(got));
    }
    return want == got;
}

static void print_bytes(const char *label, const uint8_t *bytes, size_t len)
{
    printf("#   %s ", label);
    for (size_t i = 0; i < len && i < 64; i++) {
        printf("%02x", bytes[i]);
    }
    printf("%s\n", len > 64 ? "..." : "");
}

bool tap_check_bytes(const void *want, const void *got, size_t len, const char *what,
                     const char *file, int line)
{
    const uint8_t *a = want;
    const uint8_t *b = got;
    size_t at = 0;
    while (at < len && a[at] == b[at]) {
        at++;
    }
    if (!tap_check(at == len, what, file, line)) {
        printf("#   first difference at byte %zu of %zu\n", at, len);
        print_bytes("want", a + at, len - at);
        print_bytes("got ", b + at, len - at);
    }
    return at == len;
}

bool tap_check_text(const char *want, const char *got, const char *what, const char *file, int line)
{
    const bool ok = want != NULL && got != NULL && strcmp(want, got) == 0;
    if (!tap_check(ok, what, file, line)) {
        printf("#   want \"%s\"\n#   got  \"%s\"\n", want != NULL ? want : "(null)",
               got != NULL ? got : "(null)");
    }
    return ok;
}

char *tap_vectors(const char *name, size_t *len)
{
    const char *folder = getenv("SES_VECTORS");
    char path[4096];
    const int path_len =
        snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : "../shared/vectors", name);
    SES_ASSERT(path_len > 0 && (size_t)path_len < sizeof path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    SES_ASSERT(fseek(file, 0, SEEK_END) == 0);
    const long size = ftell(file);
    SES_ASSERT(size >= 0 && fseek(file, 0, SEEK_SET) == 0);
    char *text = ses_alloc((size_t)size + 1, 1);
    SES_ASSERT(text != NULL);
    SES_ASSERT(fread(text, 1, (size_t)size, file) == (size_t)size);
    SES_ASSERT(fclose(file) == 0);
    if (len != NULL) {
        *len = (size_t)size;
    }
    return text;
}
