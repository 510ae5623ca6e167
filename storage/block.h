/* storage/block.h -- one value of the log: the records of one group commit under one CRC.
 * Little-endian, final from the first release:
 *
 *     u32 crc32c     over bytes 4 to the end
 *     u8  version    1
 *     u8  flags      0
 *     u16 reserved   0
 *     u32 count      of records, > 0
 *     u32 bytes      of the whole block, this header included
 *     u64 sequence   of its first record; equals its key
 *     u64 recv_ms    wall time of the commit, Unix ms
 *     records        see record.h, one after the other
 */
#ifndef FREEHUB_STORAGE_BLOCK_H
#define FREEHUB_STORAGE_BLOCK_H

#include "broker/base/base.h"
#include "storage/record.h"

enum { BLOCK_VERSION = 1, BLOCK_HEAD_BYTES = 32 };

struct block {
    uint64_t sequence; /* of the first record */
    uint32_t count;
    int64_t recv_ms;
    struct str records; /* borrows from the value */
};

/* Write the header and CRC of `value`, whose records are in place behind BLOCK_HEAD_BYTES; `bytes`
 * is its whole length. Any thread. */
void block_seal(uint8_t *value, size_t bytes, uint64_t sequence, uint32_t count, int64_t recv_ms);

/* Check lengths, version and CRC, and that the block is the one of `key`. Returns NULL and sets
 * `*out`, or says in a few static words what is wrong, and then `*out` is not to be used.
 * Any thread. */
CHECKED const char *block_open(struct str value, uint64_t key, struct block *out);

/* Walks the records of an open block in order. */
struct block_walk {
    struct str rest;
    uint64_t next; /* sequence of the next record */
    uint32_t left;
};

static inline struct block_walk block_walk(const struct block *block)
{
    return (struct block_walk){block->records, block->sequence, block->count};
}

/* The next record and its sequence; false at the end, or where a record is not sound, which its
 * count tells: `walk->left` is 0 only after the last one. Any thread. */
static inline bool block_next(struct block_walk *walk, struct record *out, uint64_t *sequence)
{
    size_t len;

    if (walk->left == 0)
        return false;
    len = record_read(walk->rest, out);
    if (len == 0)
        return false;
    walk->rest = (struct str){walk->rest.at + len, walk->rest.len - len};
    walk->left--;
    *sequence = walk->next++;
    return true;
}

#endif
