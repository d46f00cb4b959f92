/* Runs a fuzz target without a fuzzer, as an ordinary test: every file of its corpus folder, then
 * random mutations of them. `replay_NAME FOLDER`; SES_TEST_SEED replays the mutations,
 * SES_FUZZ_RUNS sets their number. */
#include <dirent.h>
#include <string.h>

#include "base/base.h"
#include "base/tap.h"
#include "fuzz/fuzz.h"

#define SEEDS_MAX 1000u
#define SEED_BYTES_MAX (1u << 20)
#define RUNS 20000u

/* What the command line gave, for tests, which take no arguments. */
static struct {
    const char *folder;
    struct ses_buf seeds[SEEDS_MAX];
    size_t seed_cnt;
} replay;

static void seed_read(const char *name)
{
    char path[4096];
    struct ses_buf *seed = &replay.seeds[replay.seed_cnt];
    size_t got = 1;
    TAP_MUST(replay.seed_cnt < SEEDS_MAX);
    const int len = snprintf(path, sizeof path, "%s/%s", replay.folder, name);
    TAP_MUST(len > 0 && (size_t)len < sizeof path);
    FILE *file = fopen(path, "rb");
    TAP_MUST(file != NULL);
    while (got > 0) {
        TAP_MUST(seed->len <= SEED_BYTES_MAX && ses_buf_reserve(seed, 4096) == SES_OK);
        got = fread(seed->bytes + seed->len, 1, 4096, file);
        seed->len += got;
    }
    TAP_MUST(!ferror(file) && fclose(file) == 0);
    replay.seed_cnt++;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of the names, so that a printed seed replays everywhere. */
static void test_corpus(void)
{
    struct dirent **names = NULL;
    const int cnt = scandir(replay.folder, &names, is_seed, by_name);
    for (int i = 0; i < cnt; i++) {
        seed_read(names[i]->d_name);
        free(names[i]);
    }
    free(names);
    for (size_t i = 0; i < replay.seed_cnt; i++) {
        LLVMFuzzerTestOneInput(replay.seeds[i].bytes, replay.seeds[i].len);
    }
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("# %zu files in %s\n", replay.seed_cnt, replay.folder);
    TAP_OK(replay.seed_cnt > 0);
}

static size_t below(size_t bound)
{
    return (size_t)ses_random_below(tap_random(), bound);
}

static const struct ses_buf *seed_draw(void)
{
    static const struct ses_buf empty;
    return replay.seed_cnt > 0 ? &replay.seeds[below(replay.seed_cnt)] : &empty;
}

/* Makes room for `len` bytes at `at`. */
static void open_gap(struct ses_buf *b, size_t at, size_t len)
{
    TAP_MUST(ses_buf_reserve(b, len) == SES_OK);
    if (b->len > at) {
        memmove(b->bytes + at + len, b->bytes + at, b->len - at);
    }
    b->len += len;
}

static void mutate_insert(struct ses_buf *b)
{
    const size_t at = below(b->len + 1);
    const size_t len = 1 + below(16);
    open_gap(b, at, len);
    ses_random_fill(tap_random(), b->bytes + at, len);
}

static void mutate_splice(struct ses_buf *b)
{
    const struct ses_buf *other = seed_draw();
    const size_t from = below(other->len + 1);
    const size_t at = below(b->len + 1);
    const size_t len = below(other->len - from + 1);
    if (len > 0 && b->len + len <= SEED_BYTES_MAX) {
        open_gap(b, at, len);
        memcpy(b->bytes + at, other->bytes + from, len);
    }
}

static void mutate_cut(struct ses_buf *b)
{
    const size_t at = below(b->len);
    const size_t len = 1 + below(b->len - at < 32 ? b->len - at : 32);
    if (at + len < b->len) {
        memmove(b->bytes + at, b->bytes + at + len, b->len - at - len);
    }
    b->len -= len < b->len - at ? len : b->len - at;
}

/* Numbers at which lengths and counts go wrong. */
static void mutate_number(struct ses_buf *b)
{
    static const uint8_t edges[] = {0, 1, 0x0f, 0x10, 0x11, 0x3f, 0x40, 0x7f, 0x80, 0xfe, 0xff};
    const size_t at = below(b->len);
    const size_t len = (size_t)1 << below(4);
    const uint8_t edge = edges[below(SES_COUNT(edges))];
    const uint8_t high = below(2) == 0 ? 0 : edge;
    for (size_t i = 0; i < len && at + i < b->len; i++) {
        b->bytes[at + i] = i + 1 < len ? high : edge;
    }
}

static void mutate(struct ses_buf *b)
{
    const size_t kind = b->len == 0 ? 0 : below(6);
    switch (kind) {
    case 0:
        mutate_insert(b);
        break;
    case 1:
        mutate_splice(b);
        break;
    case 2:
        mutate_cut(b);
        break;
    case 3:
        mutate_number(b);
        break;
    case 4:
        b->bytes[below(b->len)] ^= (uint8_t)(1u << below(8));
        break;
    default:
        b->bytes[below(b->len)] = (uint8_t)below(256);
        break;
    }
}

static void test_mutations(void)
{
    const char *given = getenv("SES_FUZZ_RUNS");
    const unsigned long runs = given != NULL ? strtoul(given, NULL, 10) : RUNS;
    struct ses_buf input = {0};
    for (unsigned long i = 0; i < runs; i++) {
        const struct ses_buf *seed = seed_draw();
        input.len = 0;
        TAP_MUST(ses_buf_append(&input, seed->bytes, seed->len) == SES_OK);
        for (size_t n = 1 + below(6); n > 0; n--) {
            mutate(&input);
        }
        /* a copy of exactly this size, so that a read beyond it is seen by AddressSanitizer */
        uint8_t *exact = ses_alloc(input.len, 1);
        TAP_MUST(exact != NULL);
        if (input.len > 0) {
            memcpy(exact, input.bytes, input.len);
        }
        LLVMFuzzerTestOneInput(exact, input.len);
        ses_free(exact);
    }
    printf("# %lu mutations\n", runs);
    ses_buf_free(&input);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argc > 0 ? argv[0] : "replay");
        return 2;
    }
    replay.folder = argv[1];
    TAP_RUN(test_corpus);
    TAP_RUN(test_mutations);
    for (size_t i = 0; i < replay.seed_cnt; i++) {
        ses_buf_free(&replay.seeds[i]);
    }
    return tap_done();
}
