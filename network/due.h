/* Deadlines of thousands of streams behind one timer: a binary heap. */
#ifndef SES_NETWORK_DUE_H
#define SES_NETWORK_DUE_H

#include "base/base.h"

struct ses_due {
    uint64_t at_ms;
    uint32_t slot; /* place in the heap + 1; 0: not set */
    void (*fire)(struct ses_due *due);
};
/* Zero-initialise; ses_dues_free at the end. */
struct ses_dues {
    struct ses_due **heap;
    uint32_t cnt;
    uint32_t cap;
};
/* Sets or moves the deadline. SES_ERR_MEMORY only if it was not set before. */
SES_CHECKED enum ses_err ses_due_set(struct ses_dues *d, struct ses_due *due, uint64_t at_ms);
void ses_due_clear(struct ses_dues *d, struct ses_due *due);
/* The earliest, taken out, if it is not later than `now_ms`; NULL otherwise. */
struct ses_due *ses_dues_pop(struct ses_dues *d, uint64_t now_ms);
/* Time of the earliest; UINT64_MAX if there is none. */
uint64_t ses_dues_next(const struct ses_dues *d);
void ses_dues_free(struct ses_dues *d);

#endif
