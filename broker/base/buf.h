/* broker/base/buf.h -- bytes that grow up to a stated maximum. The first addition that does not
 * fit makes the buffer fail and every later one does nothing, so that a builder writes straight
 * down and asks buf_err() once, at the end. Not shared between threads. */
#ifndef FREEHUB_BROKER_BASE_BUF_H
#define FREEHUB_BROKER_BASE_BUF_H

#include "broker/base/base.h"
#include "broker/base/err.h"

/* Embedded in its owner. Holds no memory until the first addition. `at` moves when it grows. */
struct buf {
    uint8_t *at;
    size_t len;       /* bytes in use */
    size_t room;      /* bytes allocated */
    size_t max_bytes; /* `len` never passes this */
    int err;          /* 0, ERR_TOO_LARGE or ERR_NOMEM; stays until buf_clear() */
};

void buf_init(struct buf *b, size_t max_bytes);

/* Releases the memory; the buffer is as after buf_init(). */
void buf_fini(struct buf *b);

/* Empty and without failure; keeps its memory for the next use. */
void buf_clear(struct buf *b);

/* Append a copy. `bytes` may be NULL when `len` is 0. */
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_add_str(struct buf *b, struct str text);
void buf_add_byte(struct buf *b, uint8_t byte);
void buf_add_format(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* Room for `len` bytes behind the content, to be filled by the caller and then taken in by
 * buf_extend(); NULL when the buffer has failed or now fails. Valid until the next call. */
CHECKED uint8_t *buf_reserve(struct buf *b, size_t len);

/* The first `len` of the reserved bytes now belong to the content. */
void buf_extend(struct buf *b, size_t len);

/* Forget the first `len` bytes (at most what is there) and move the rest to the front. */
void buf_drop_front(struct buf *b, size_t len);

/* 0, or why something is missing from the content. */
static inline int buf_err(const struct buf *b)
{
    return b->err;
}

/* The content; valid until the next change. */
static inline struct str buf_str(const struct buf *b)
{
    return str_of_bytes(b->at, b->len);
}

#endif
