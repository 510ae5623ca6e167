/* broker/base/mem.h -- memory. mem_new() is for small fixed sizes and does not fail: without a few
 * hundred bytes the process cannot do anything useful, so it stops. mem_try() is for sizes that a
 * peer, a file or an operator can choose: the caller has bounded them and handles NULL. */
#ifndef FREEHUB_BROKER_BASE_MEM_H
#define FREEHUB_BROKER_BASE_MEM_H

#include "broker/base/base.h"

/* Zeroed memory of `bytes` > 0; never NULL. The caller frees it with mem_free(). Any thread. */
void *mem_new(size_t bytes) __attribute__((malloc, returns_nonnull, alloc_size(1)));

/* As mem_new(), but uninitialised and NULL when there is none. Any thread. */
void *mem_try(size_t bytes) __attribute__((malloc, alloc_size(1)));

/* Grow or shrink what mem_try() or mem_new() gave; NULL leaves the old one as it was. Any thread.
 */
void *mem_try_resize(void *old, size_t bytes) __attribute__((alloc_size(2)));

/* A terminated copy of `text`; never NULL. The caller frees it. Any thread. */
char *mem_copy_text(struct str text) __attribute__((malloc, returns_nonnull));

/* NULL is allowed. Any thread. */
void mem_free(void *memory);

#define MEM_NEW(type) ((type *)mem_new(sizeof(type)))

#endif
