/* Golden bytes of every encoding, and what every decoder owes: identity, no truncated and no
 * trailing input, no bit that is not seen.
 *
 * SES_CORPUS=fuzz/corpus in the environment writes the examples as seeds of the fuzz targets. */
#include "protocol/test_golden.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/tap.h"

#define HEAD_BYTES 32u
#define HEX_BYTES_MAX 256u
#define MUTATIONS 100u /* of each example */

/* The bytes of an example; the caller's buffer holds GOLDEN_BYTES_MAX. */
static size_t encode(const struct golden *g, uint8_t *bytes)
{
    struct ses_writer w;
    ses_writer_init(&w, bytes, GOLDEN_BYTES_MAX);
    g->write(&w);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    return w.len;
}

static void check_golden(const struct golden *g)
{
    static uint8_t bytes[GOLDEN_BYTES_MAX];
    char head[2 * HEX_BYTES_MAX + 1];
    char hash[2 * 32 + 1];
    struct ses_hash digest;
    const size_t len = encode(g, bytes);
    const bool whole = len <= HEX_BYTES_MAX;
    ses_hex_encode(head, bytes, whole ? len : HEAD_BYTES);
    ses_blake3_hash(&digest, bytes, len);
    ses_hex_encode(hash, digest.bytes, 32);
    bool ok = TAP_EQ(g->len, len) && TAP_TEXT(g->head, head);
    ok = ok && (whole ? TAP_OK(g->hash == NULL) : TAP_TEXT(g->hash, hash));
    if (!ok) {
        printf("# golden %s %zu %s %s\n", g->name, len, head, whole ? "-" : hash);
    }
}

static void test_golden_bytes(void)
{
    for (size_t i = 0; i < SES_COUNT(goldens); i++) {
        check_golden(&goldens[i]);
    }
}

static enum ses_err recode(enum kind kind, const uint8_t *bytes, size_t len, uint8_t *again,
                           size_t *again_len)
{
    struct ses_writer w;
    ses_writer_init(&w, again, GOLDEN_BYTES_MAX);
    const enum ses_err err = kind_recode(kind, bytes, len, &w);
    *again_len = w.err == SES_OK ? w.len : 0;
    return err;
}

static void test_identity(void)
{
    static uint8_t bytes[GOLDEN_BYTES_MAX], again[GOLDEN_BYTES_MAX];
    for (size_t i = 0; i < SES_COUNT(goldens); i++) {
        const struct golden *g = &goldens[i];
        size_t again_len = 0;
        const size_t len = encode(g, bytes);
        if (g->kind == KIND_NONE) {
            continue;
        }
        if (!TAP_ERR(SES_OK, recode(g->kind, bytes, len, again, &again_len)) ||
            !TAP_EQ(len, again_len) || !TAP_BYTES(bytes, again, len)) {
            printf("#   %s\n", g->name);
        }
    }
}

/* A copy that ends where the memory ends, so that a sanitizer sees any read behind it. */
static enum ses_err recode_exact(enum kind kind, const uint8_t *bytes, size_t len)
{
    static uint8_t again[GOLDEN_BYTES_MAX];
    size_t again_len;
    uint8_t *copy = ses_alloc(len, 1);
    SES_ASSERT(copy != NULL || len == 0);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    const enum ses_err err = recode(kind, copy, len, again, &again_len);
    TAP_OK(err != SES_OK || (again_len == len && memcmp(again, bytes, len) == 0));
    ses_free(copy);
    return err;
}

static void test_truncated(void)
{
    static uint8_t bytes[GOLDEN_BYTES_MAX];
    for (size_t i = 0; i < SES_COUNT(goldens); i++) {
        const struct golden *g = &goldens[i];
        const size_t len = encode(g, bytes);
        /* padding may be any number of zeros: the AEAD's length decides there */
        const size_t padding = g->kind == KIND_ENVELOPE1_INNER ? 3 : 0;
        for (size_t cut = 0; g->kind != KIND_NONE && cut < len - padding; cut++) {
            if (!TAP_OK(recode_exact(g->kind, bytes, cut) != SES_OK)) {
                printf("#   %s cut to %zu of %zu\n", g->name, cut, len);
                return;
            }
        }
    }
}

static void test_trailing(void)
{
    static uint8_t bytes[GOLDEN_BYTES_MAX];
    for (size_t i = 0; i < SES_COUNT(goldens); i++) {
        const struct golden *g = &goldens[i];
        const size_t len = encode(g, bytes);
        bytes[len] = 1;
        if (g->kind != KIND_NONE && !TAP_OK(recode_exact(g->kind, bytes, len + 1) != SES_OK)) {
            printf("#   %s\n", g->name);
        }
    }
}

/* Whatever is accepted is encoded again as it came: recode_exact checks it. */
static void test_mutated(void)
{
    static uint8_t bytes[GOLDEN_BYTES_MAX];
    for (size_t i = 0; i < SES_COUNT(goldens); i++) {
        const struct golden *g = &goldens[i];
        const size_t len = encode(g, bytes);
        for (unsigned k = 0; g->kind != KIND_NONE && k < MUTATIONS; k++) {
            /* heads are dense with counts and versions */
            const size_t most = k % 2 == 0 && len > 80 ? 80 : len;
            const size_t at = (size_t)ses_random_below(tap_random(), most);
            const uint8_t old = bytes[at];
            bytes[at] ^= (uint8_t)(1 + ses_random_below(tap_random(), 255));
            (void)recode_exact(g->kind, bytes, len);
            bytes[at] = old;
        }
    }
}

/* Garbage is refused or means what it says. */
static void test_random_input(void)
{
    uint8_t bytes[300];
    for (unsigned i = 0; i < 3000; i++) {
        const size_t len = (size_t)ses_random_below(tap_random(), sizeof bytes);
        ses_random_fill(tap_random(), bytes, len);
        (void)recode_exact((enum kind)(i % KIND_CNT), bytes, len);
    }
    TAP_OK(true);
}

static void write_seed(const char *folder, const struct golden *g)
{
    static uint8_t bytes[1 + GOLDEN_BYTES_MAX];
    char path[1024];
    const char *target = kind_targets[g->kind];
    snprintf(path, sizeof path, "%s/%s", folder, target);
    TAP_OK(mkdir(path, 0777) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/%s/%s", folder, target, g->name);
    bytes[0] = 0; /* selects the decoder: see fuzz/fuzz_kinds.h */
    for (unsigned kind = 0; kind < g->kind; kind++) {
        bytes[0] = (uint8_t)(bytes[0] + (strcmp(kind_targets[kind], target) == 0));
    }
    const size_t len = encode(g, bytes + 1);
    FILE *file = fopen(path, "wb");
    TAP_MUST(file != NULL);
    TAP_EQ(1 + len, fwrite(bytes, 1, 1 + len, file));
    TAP_EQ(0, (uint64_t)fclose(file));
}

static void test_write_corpus(void)
{
    const char *folder = getenv("SES_CORPUS");
    if (folder == NULL) {
        tap_skip("SES_CORPUS is not set");
        return;
    }
    TAP_OK(mkdir(folder, 0777) == 0 || errno == EEXIST);
    for (size_t i = 0; i < SES_COUNT(goldens); i++) {
        if (goldens[i].kind != KIND_NONE) {
            write_seed(folder, &goldens[i]);
        }
    }
}

int main(void)
{
    TAP_RUN(test_golden_bytes);
    TAP_RUN(test_identity);
    TAP_RUN(test_truncated);
    TAP_RUN(test_trailing);
    TAP_RUN(test_mutated);
    TAP_RUN(test_random_input);
    TAP_RUN(test_write_corpus);
    return tap_done();
}
