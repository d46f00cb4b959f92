/* Sorting without memory of its own: the C library's qsort may allocate. */
#include <string.h>

#include "swarm/swarm_internal.h"

static void sift_down(uint32_t *v, uint32_t root, uint32_t cnt,
                      bool (*less)(const void *ctx, uint32_t a, uint32_t b), const void *ctx)
{
    const uint32_t moving = v[root];
    while (root < cnt / 2) {
        uint32_t child = 2 * root + 1;
        if (child + 1 < cnt && less(ctx, v[child], v[child + 1])) {
            child++;
        }
        if (!less(ctx, moving, v[child])) {
            break;
        }
        v[root] = v[child];
        root = child;
    }
    v[root] = moving;
}

void ses_sort_u32(uint32_t *v, uint32_t cnt, bool (*less)(const void *ctx, uint32_t a, uint32_t b),
                  const void *ctx)
{
    for (uint32_t i = cnt / 2; i > 0; i--) {
        sift_down(v, i - 1, cnt, less, ctx);
    }
    for (uint32_t end = cnt; end > 1; end--) {
        const uint32_t largest = v[0];
        v[0] = v[end - 1];
        v[end - 1] = largest;
        sift_down(v, 0, end - 1, less, ctx);
    }
}
