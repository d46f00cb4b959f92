#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

/* Counts down in tests of failing allocations; per thread, so that tests cannot disturb each
 * other. */
static _Thread_local uint64_t fail_at;

static bool fails_now(void)
{
    return fail_at > 0 && --fail_at == 0;
}

/* More than any object may have; the libraries under test tools abort on it. */
static bool absurd(size_t count, size_t size)
{
    return size > 0 && count > PTRDIFF_MAX / size;
}

void *ses_alloc(size_t count, size_t size)
{
    if (fails_now() || absurd(count, size)) {
        return NULL;
    }
    /* one byte at least, so that NULL always means that there is no memory */
    return count == 0 || size == 0 ? calloc(1, 1) : calloc(count, size);
}

void *ses_realloc(void *old, size_t count, size_t size)
{
    if (fails_now() || absurd(count, size)) {
        return NULL;
    }
    return count == 0 || size == 0 ? realloc(old, 1) : reallocarray(old, count, size);
}

char *ses_strdup(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = ses_alloc(bytes, 1);
    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void ses_free(void *p)
{
    free(p);
}

uint64_t ses_alloc_fail_at(uint64_t n)
{
    const uint64_t left = fail_at;
    fail_at = n;
    return left;
}
