#include "broker/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "broker/base/mem.h"

enum { ROOM_MIN_BYTES = 64 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

void buf_fini(struct buf *b)
{
    mem_free(b->at);
    buf_init(b, b->max_bytes);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->err = 0;
}

/* Doubles, so that n additions cost O(n), but never takes more than the maximum. */
static int grow(struct buf *b, size_t needed)
{
    size_t room = b->room > 0 ? b->room : ROOM_MIN_BYTES;

    while (room < needed)
        room = room > b->max_bytes / 2 ? b->max_bytes : room * 2;
    if (room > b->max_bytes)
        room = b->max_bytes;

    uint8_t *at = mem_try_resize(b->at, room);
    if (!at)
        return ERR_NOMEM;
    b->at = at;
    b->room = room;
    return 0;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    if (b->err)
        return NULL;
    if (len > b->max_bytes - b->len) {
        b->err = ERR_TOO_LARGE;
        return NULL;
    }
    if (b->len + len > b->room || !b->at) {
        b->err = grow(b, b->len + len);
        if (b->err)
            return NULL;
    }
    return b->at + b->len;
}

void buf_extend(struct buf *b, size_t len)
{
    ASSERT(len <= b->room - b->len);
    b->len += len;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0)
        return;

    uint8_t *to = buf_reserve(b, len);
    if (!to)
        return;
    memcpy(to, bytes, len);
    b->len += len;
}

void buf_add_str(struct buf *b, struct str text)
{
    buf_add(b, text.at, text.len);
}

void buf_add_byte(struct buf *b, uint8_t byte)
{
    buf_add(b, &byte, 1);
}

void buf_add_format(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(len >= 0);

    /* vsnprintf() wants a byte for its terminator, which is not taken into the content. */
    if ((size_t)len > b->max_bytes - b->len && !b->err)
        b->err = ERR_TOO_LARGE;
    if (b->err)
        return;
    if (b->len + (size_t)len + 1 > b->room) {
        char *text = mem_try((size_t)len + 1);

        if (!text) {
            b->err = ERR_NOMEM;
            return;
        }
        va_start(args, format);
        vsnprintf(text, (size_t)len + 1, format, args);
        va_end(args);
        buf_add(b, text, (size_t)len);
        mem_free(text);
        return;
    }
    va_start(args, format);
    vsnprintf((char *)b->at + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}

void buf_drop_front(struct buf *b, size_t len)
{
    ASSERT(len <= b->len);
    b->len -= len;
    if (b->len > 0 && len > 0)
        memmove(b->at, b->at + len, b->len);
}
