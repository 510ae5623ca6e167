#include "broker/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

void *mem_new(size_t bytes)
{
    void *memory = calloc(1, bytes);

    if (!memory) {
        fprintf(stderr, "freehub: out of memory (%zu bytes)\n", bytes);
        abort();
    }
    return memory;
}

void *mem_try(size_t bytes)
{
    return malloc(bytes);
}

void *mem_try_resize(void *old, size_t bytes)
{
    return realloc(old, bytes);
}

char *mem_copy_text(struct str text)
{
    char *copy = mem_new(text.len + 1);

    if (text.len > 0)
        memcpy(copy, text.at, text.len);
    return copy;
}

void mem_free(void *memory)
{
    free(memory);
}
