#include "broker/server/bufpool.h"

#include "broker/base/mem.h"

void bufpool_init(struct bufpool *pool)
{
    *pool = (struct bufpool){0};
}

void bufpool_fini(struct bufpool *pool)
{
    for (size_t i = 0; i < BUFPOOL_CLASSES; i++) {
        while (pool->classes[i].free_list) {
            void *first = pool->classes[i].free_list;

            memcpy(&pool->classes[i].free_list, first, sizeof(void *));
            mem_free(first);
        }
    }
}

/* The index of the smallest class that holds `bytes`; BUFPOOL_CLASSES when none does. */
static unsigned class_of(size_t bytes)
{
    unsigned index = 0;

    while (index < BUFPOOL_CLASSES && ((size_t)BUFPOOL_SMALLEST << index) < bytes)
        index++;
    return index;
}

static uint8_t *take(struct bufpool *pool, unsigned index)
{
    size_t bytes = (size_t)BUFPOOL_SMALLEST << index;
    void *first = pool->classes[index].free_list;

    if (!first)
        return mem_try(bytes);
    memcpy(&pool->classes[index].free_list, first, sizeof(void *));
    pool->classes[index].kept_bytes -= bytes;
    return first;
}

static void give(struct bufpool *pool, uint8_t *at, size_t bytes)
{
    unsigned index = class_of(bytes);

    if (pool->classes[index].kept_bytes + bytes > BUFPOOL_KEPT_BYTES_MAX) {
        mem_free(at);
        return;
    }
    memcpy(at, &pool->classes[index].free_list, sizeof(void *));
    pool->classes[index].free_list = at;
    pool->classes[index].kept_bytes += bytes;
}

bool buffer_reserve(struct bufpool *pool, struct buffer *b, size_t more)
{
    unsigned index;
    uint8_t *larger;

    if (LIKELY(b->room - b->len >= more))
        return true;
    index = class_of(b->len + more);
    if (index == BUFPOOL_CLASSES)
        return false;
    larger = take(pool, index);
    if (!larger)
        return false;
    if (b->room > 0) {
        memcpy(larger, b->at, b->len);
        give(pool, b->at, b->room);
    }
    b->at = larger;
    b->room = (uint32_t)BUFPOOL_SMALLEST << index;
    return true;
}

bool buffer_append(struct bufpool *pool, struct buffer *b, const void *bytes, size_t len)
{
    if (!buffer_reserve(pool, b, len))
        return false;
    memcpy(b->at + b->len, bytes, len);
    b->len += (uint32_t)len;
    return true;
}

void buffer_consume(struct buffer *b, size_t len)
{
    ASSERT(len <= b->len);
    b->len -= (uint32_t)len;
    memmove(b->at, b->at + len, b->len);
}

void buffer_release(struct bufpool *pool, struct buffer *b)
{
    if (b->room > 0)
        give(pool, b->at, b->room);
    *b = (struct buffer){0};
}
