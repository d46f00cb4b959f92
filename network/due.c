#include "network/due.h"

static void place(struct ses_dues *d, uint32_t at, struct ses_due *due)
{
    d->heap[at] = due;
    due->slot = at + 1;
}

static void sift_up(struct ses_dues *d, uint32_t at, struct ses_due *due)
{
    while (at > 0 && d->heap[(at - 1) / 2]->at_ms > due->at_ms) {
        place(d, at, d->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(d, at, due);
}

static void sift_down(struct ses_dues *d, uint32_t at, struct ses_due *due)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < d->cnt && d->heap[child + 1]->at_ms < d->heap[child]->at_ms) {
            child++;
        }
        if (child >= d->cnt || d->heap[child]->at_ms >= due->at_ms) {
            break;
        }
        place(d, at, d->heap[child]);
        at = child;
    }
    place(d, at, due);
}

enum ses_err ses_due_set(struct ses_dues *d, struct ses_due *due, uint64_t at_ms)
{
    if (due->slot > 0) {
        ses_due_clear(d, due);
    }
    if (d->cnt == d->cap) {
        const uint32_t cap = d->cap == 0 ? 64 : d->cap * 2;
        struct ses_due **heap = ses_realloc(d->heap, cap, sizeof(struct ses_due *));
        SES_REQUIRE(heap != NULL, SES_ERR_MEMORY);
        d->heap = heap;
        d->cap = cap;
    }
    due->at_ms = at_ms;
    sift_up(d, d->cnt++, due);
    return SES_OK;
}

void ses_due_clear(struct ses_dues *d, struct ses_due *due)
{
    if (due->slot == 0) {
        return;
    }
    const uint32_t at = due->slot - 1;
    struct ses_due *last = d->heap[--d->cnt];
    due->slot = 0;
    if (last == due) {
        return;
    }
    if (at > 0 && d->heap[(at - 1) / 2]->at_ms > last->at_ms) {
        sift_up(d, at, last);
    } else {
        sift_down(d, at, last);
    }
}

struct ses_due *ses_dues_pop(struct ses_dues *d, uint64_t now_ms)
{
    if (d->cnt == 0 || d->heap[0]->at_ms > now_ms) {
        return NULL;
    }
    struct ses_due *due = d->heap[0];
    ses_due_clear(d, due);
    return due;
}

uint64_t ses_dues_next(const struct ses_dues *d)
{
    return d->cnt == 0 ? UINT64_MAX : d->heap[0]->at_ms;
}

void ses_dues_free(struct ses_dues *d)
{
    ses_free(d->heap);
    *d = (struct ses_dues){0};
}
