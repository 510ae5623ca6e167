/* storage/scan.h -- walks the log: the blocks of a range of sequences, over as many segments as it
 * takes, from one snapshot of the folder. Opens one segment at a time. */
#ifndef FREEHUB_STORAGE_SCAN_H
#define FREEHUB_STORAGE_SCAN_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "storage/block.h"

struct scan {
    const char *folder;
    uint64_t from, to; /* blocks that hold records of [from, to) */

    /* A sound block; it lives during the call. Non-zero ends the scan with that code. */
    int (*on_block)(void *ctx, const struct block *block);
    /* Records [from, to) cannot be read: `why` in a few words. `to` is UINT64_MAX when nothing
     * follows that would tell. Once a run of bad blocks, a segment that is not readable or a gap
     * between segments. NULL: skip in silence. */
    void (*on_bad)(void *ctx, uint64_t from, uint64_t to, const char *why);
    void *ctx;
};

/* ERR_NOTFOUND: retention removed a segment meanwhile; ERR_UNSUPPORTED: one of a newer format; or
 * what on_block returned. Any thread. */
CHECKED int scan_run(const struct scan *scan, struct err_detail *detail);

#endif
