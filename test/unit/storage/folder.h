/* A folder of its own for a test, gone afterwards. */
#ifndef FREEHUB_TEST_UNIT_STORAGE_FOLDER_H
#define FREEHUB_TEST_UNIT_STORAGE_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static inline int folder_remove_one(const char *path, const struct stat *st, int kind,
                                    struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void folder_remove(const char *folder)
{
    nftw(folder, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* `with_log`: as store_open() would have made it. */
static inline void folder_make(char out[64], bool with_log)
{
    snprintf(out, 64, "/tmp/freehub-test-XXXXXX");
    if (!mkdtemp(out))
        abort();
    if (with_log) {
        char path[80];

        snprintf(path, sizeof path, "%s/log", out);
        if (mkdir(path, 0700) != 0)
            abort();
    }
}

#endif
