/* storage/segment_priv.h -- what segment.c (writing) and segment_read.c share: the header. */
#ifndef FREEHUB_STORAGE_SEGMENT_PRIV_H
#define FREEHUB_STORAGE_SEGMENT_PRIV_H

#include "storage/mdb.h"
#include "storage/segment.h"

enum { SEGMENT_HEAD_BYTES = 40 };
#define SEGMENT_MAGIC 0x474c4846u /* "FHLG" */

struct segment_head {
    int64_t created_ms;
    uint8_t uuid[SEGMENT_UUID_BYTES];
};

void segment_head_write(uint8_t to[SEGMENT_HEAD_BYTES], const struct segment_head *head);

/* Read and check the header in the snapshot `txn`. `path` is for `detail`. */
CHECKED int segment_head_read(MDB_txn *txn, const char *path, struct segment_head *out,
                              struct err_detail *detail);

/* The sequence behind the last block; `first` when there is none. Of a damaged block the number of
 * records is not known, but not more than fit into its bytes: numbers may be skipped, never given
 * twice. */
CHECKED int segment_end_read(MDB_cursor *cursor, uint64_t first, uint64_t *out);

/* ERR_CORRUPT when the file is shorter than what LMDB uses of it: touching it would be a SIGBUS. */
CHECKED int segment_length_check(MDB_env *env, const char *path, struct err_detail *detail);

#endif
