/* A fuzz target over some kinds of messages of protocol/: the first byte selects among them. What
 * is accepted must be encoded again as it came. */
#ifndef SES_FUZZ_FUZZ_KINDS_H
#define SES_FUZZ_FUZZ_KINDS_H

#include <string.h>

#include "fuzz/fuzz.h"
#include "protocol/test_kinds.h"

/* The (which mod their number)-th kind of `target`. */
static inline enum kind fuzz_kind(const char *target, unsigned which)
{
    enum kind mine[KIND_CNT];
    unsigned cnt = 0;
    for (unsigned kind = 0; kind < KIND_CNT; kind++) {
        if (strcmp(kind_targets[kind], target) == 0) {
            mine[cnt++] = (enum kind)kind;
        }
    }
    SES_ASSERT(cnt > 0);
    return mine[which % cnt];
}

static inline int fuzz_kinds(const char *target, const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    const enum kind kind = fuzz_kind(target, data[0]);
    struct ses_writer w;
    uint8_t *again = ses_alloc(size, 1); /* exactly: a longer encoding is an error as well */
    SES_ASSERT(again != NULL);
    ses_writer_init(&w, again, size - 1);
    if (kind_recode(kind, data + 1, size - 1, &w) == SES_OK) {
        SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == size - 1);
        SES_ASSERT(memcmp(again, data + 1, size - 1) == 0);
    }
    ses_free(again);
    return 0;
}

#endif
