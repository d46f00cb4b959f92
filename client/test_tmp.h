/* A folder of a test that goes away with it. */
#ifndef SES_CLIENT_TEST_TMP_H
#define SES_CLIENT_TEST_TMP_H

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static inline int test_tmp_remove_one(const char *path, const struct stat *st, int kind,
                                      struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void test_tmp_remove(const char *folder)
{
    (void)nftw(folder, test_tmp_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
