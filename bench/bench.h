/* Shared by the benchmarks: an error ends the program, medians. */
#ifndef SES_BENCH_BENCH_H
#define SES_BENCH_BENCH_H

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

#define MUST(err)                                                                                  \
    do {                                                                                           \
        const enum ses_err must_err = (err);                                                       \
        if (must_err != SES_OK) {                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, ses_err_text(must_err));            \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts `values`. */
static inline double median(double *values, size_t cnt)
{
    qsort(values, cnt, sizeof *values, by_value);
    return values[cnt / 2];
}

#endif
