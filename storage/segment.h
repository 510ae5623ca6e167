/* storage/segment.h -- one file of the log: an LMDB environment `log/L-<first sequence, 16
 * hex>.mdb` whose unnamed table (MDB_INTEGERKEY, u64 keys) is only ever appended to.
 *
 *     key 0           header: u32 crc32c over the rest | u32 magic "FHLG" | u32 format version |
 *                     u32 reserved | u64 created, Unix ms | 16 bytes store UUID
 *     key >= 1        block; the key is the sequence of its first record. Sequences start at 1.
 *
 * A segment is born as `log/next.mdb` and gets its name when its first sequence is known. Beyond
 * what LMDB uses the file holds zeros that were written and synced ahead, so that a commit neither
 * grows the file nor can run out of disk. Only the segment with the highest name is written to; all
 * others are sealed: cut to their used length and immutable.
 *
 * Readers may be in this process or another. */
#ifndef FREEHUB_STORAGE_SEGMENT_H
#define FREEHUB_STORAGE_SEGMENT_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "storage/block.h"

#define SEGMENT_MAP_BYTES ((size_t)1 << 30)
#define SEGMENT_BYTES_MIN ((uint64_t)1 << 20)
#define SEGMENT_BYTES_MAX                                                                          \
    ((uint64_t)768 << 20) /* the largest segment_max_bytes: leaves map for a group */

enum {
    SEGMENT_FORMAT = 1,
    SEGMENT_UUID_BYTES = 16,
    SEGMENT_PAGE_BYTES = 4096,
    SEGMENT_READ_MAX_MS = 500, /* age at which a reader takes a new snapshot */
    SEGMENT_PATH_MAX = 4096,
};

/* ---- the folder ---- */

struct segment_entry {
    uint64_t first;      /* from the name */
    uint64_t file_bytes; /* pre-written zeros included */
};

struct segment_list {
    struct segment_entry *entries; /* ascending; all but the last are sealed */
    size_t count;
};

/* The segments that `folder`/log holds now; none is fine. Retention may remove one at any moment:
 * opening it then gives ERR_NOTFOUND. Free with segment_list_free(). Any thread. */
CHECKED int segment_list_read(struct segment_list *out, const char *folder,
                              struct err_detail *detail);
void segment_list_free(struct segment_list *list);

/* "`folder`/log/L-....mdb". ERR_TOO_LARGE when it does not fit. Any thread. */
CHECKED int segment_path(char out[SEGMENT_PATH_MAX], const char *folder, uint64_t first);

/* Remove a sealed segment and its lock file. Readers that have it open keep reading. Any thread. */
CHECKED int segment_remove(const char *folder, uint64_t first, struct err_detail *detail);

/* ---- reading ---- */

struct segment_reader;

/* A block that is not what was written: `why` in a few words. The reader goes on behind it. */
typedef void segment_bad_fn(void *ctx, uint64_t sequence, size_t bytes, const char *why);

/* Open the segment `first`. `sealed`: it is not the one with the highest name, so no lock file is
 * needed. ERR_UNSUPPORTED: a newer format; ERR_CORRUPT; ERR_NOTFOUND: retention took it. The
 * caller owns `*out`; one thread uses it at a time. Any thread. */
CHECKED int segment_reader_open(struct segment_reader **out, const char *folder, uint64_t first,
                                bool sealed, struct err_detail *detail);

/* `on_bad` is told of bad blocks; without it they are skipped in silence. */
void segment_reader_on_bad(struct segment_reader *reader, segment_bad_fn *on_bad, void *ctx);

/* Go on with the first block that holds a record >= `sequence`. 0 = from the start. */
void segment_reader_seek(struct segment_reader *reader, uint64_t sequence);

/* The next sound block; `*out` borrows from the map until the next call on this reader.
 * ERR_NOTFOUND at the end; asked again later it finds what was committed since. */
CHECKED int segment_reader_next(struct segment_reader *reader, struct block *out);

/* The sequence behind the last block that is committed now: `[.., *out)` can be read. Any block it
 * gave is gone. */
CHECKED int segment_reader_end(struct segment_reader *reader, uint64_t *out);

/* Give up the snapshot, for a caller that may be away for long. The last block is gone; the next
 * segment_reader_next() goes on behind it. */
void segment_reader_pause(struct segment_reader *reader);

/* Facts of the header. `uuid` has SEGMENT_UUID_BYTES. */
const uint8_t *segment_reader_uuid(const struct segment_reader *reader);
int64_t segment_reader_created_ms(const struct segment_reader *reader);

void segment_reader_close(struct segment_reader *reader);

/* ---- writing: the writer thread, except where said otherwise ---- */

struct segment;

/* Make `log/next.mdb` with its header. An old one is removed. Supply thread. */
CHECKED int segment_create(struct segment **out, const char *folder,
                           const uint8_t uuid[SEGMENT_UUID_BYTES], struct err_detail *detail);

/* Remove a `log/next.mdb` that nobody will use. It is closed. Main thread. */
void segment_discard_next(const char *folder);

/* Open the newest segment to go on with it. Main thread. */
CHECKED int segment_open(struct segment **out, const char *folder, uint64_t first,
                         struct err_detail *detail);

/* Give a created segment its name; durable when it returns. */
CHECKED int segment_name(struct segment *seg, uint64_t first, struct err_detail *detail);

/* Begin a group: `*value` is room for a block of `bytes` under key `sequence`. Ends with
 * segment_commit() or segment_abort(). */
CHECKED int segment_begin(struct segment *seg, uint64_t sequence, size_t bytes, uint8_t **value,
                          struct err_detail *detail);
/* The block is on disk when it returns 0. Any error: unknown, never to be tried again. */
CHECKED int segment_commit(struct segment *seg, struct err_detail *detail);
void segment_abort(struct segment *seg);

uint64_t segment_first(const struct segment *seg);
uint64_t segment_next(const struct segment *seg); /* behind the last record at segment_open() */
const uint8_t *segment_uuid(const struct segment *seg);
int64_t segment_created_ms(const struct segment *seg);

/* Bytes a block of `bytes` may use up at most, with LMDB's own pages. Any thread. */
uint64_t segment_need(size_t bytes);

/* Bytes in use, and the end of what is pre-written. Any thread. */
uint64_t segment_used_bytes(const struct segment *seg);
uint64_t segment_ready_bytes(const struct segment *seg);

/* Write and sync `bytes` more zeros, or reserve them where they are many, off the commit path.
 * ERR_NOSPACE: only a part of it, or nothing, is there now. Supply thread. */
CHECKED int segment_extend(struct segment *seg, uint64_t bytes, struct err_detail *detail);

/* No more appends: cut the file to its used length. Supply thread, or main after the writer. */
CHECKED int segment_seal(struct segment *seg, struct err_detail *detail);

/* Does not seal. Main or supply thread. */
void segment_close(struct segment *seg);

#endif
