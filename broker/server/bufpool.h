/* broker/server/bufpool.h -- the byte buffers of one worker's connections, in power-of-two sizes
 * with a free list each, so that a busy connection borrows one for a turn and an idle one holds
 * none. Owner worker. */
#ifndef FREEHUB_BROKER_SERVER_BUFPOOL_H
#define FREEHUB_BROKER_SERVER_BUFPOOL_H

#include "broker/base/base.h"

enum {
    BUFPOOL_SMALLEST = 512,
    BUFPOOL_CLASSES = 20,                     /* 512 B to 256 MiB */
    BUFPOOL_KEPT_BYTES_MAX = 4 * 1024 * 1024, /* idle bytes a class keeps before it frees */
};

struct bufpool {
    struct {
        void *free_list; /* the first word of a free buffer links to the next */
        size_t kept_bytes;
    } classes[BUFPOOL_CLASSES];
};

/* Bytes with a beginning; `at` is NULL while `room` is 0. */
struct buffer {
    uint8_t *at;
    uint32_t len, room;
};

void bufpool_init(struct bufpool *pool);
void bufpool_fini(struct bufpool *pool);

/* Make room for `more` bytes behind `len`, moving to a larger buffer if need be. False when memory
 * or BUFPOOL_CLASSES is exhausted; `b` is then as it was. Owner worker. */
CHECKED bool buffer_reserve(struct bufpool *pool, struct buffer *b, size_t more);

/* Append; false as buffer_reserve(). Owner worker. */
CHECKED bool buffer_append(struct bufpool *pool, struct buffer *b, const void *bytes, size_t len);

/* Drop the first `len` bytes. Owner worker. */
void buffer_consume(struct buffer *b, size_t len);

/* Give the memory back; `b` is empty afterwards. Owner worker. */
void buffer_release(struct bufpool *pool, struct buffer *b);

#endif
