#include "test/unit/failing.h"

#include <stdatomic.h>

#include "broker/base/mem.h"

/* By the linker (--wrap): callers of mem_try() come here, and __real_ is the one in broker/base. */
void *__real_mem_try(size_t bytes);
void *__real_mem_try_resize(void *old, size_t bytes);
void *__wrap_mem_try(size_t bytes);
void *__wrap_mem_try_resize(void *old, size_t bytes);

enum { NEVER = -1 };

static atomic_int calls_left = NEVER;
static atomic_bool hit;

void failing_mem_at(int calls)
{
    atomic_store(&hit, false);
    atomic_store(&calls_left, calls);
}

bool failing_mem_hit(void)
{
    atomic_store(&calls_left, NEVER);
    return atomic_load(&hit);
}

static bool fails_now(void)
{
    int left = atomic_load(&calls_left);

    if (left == NEVER)
        return false;
    atomic_store(&calls_left, left - 1); /* NEVER after the one that fails */
    if (left == 0)
        atomic_store(&hit, true);
    return left == 0;
}

void *__wrap_mem_try(size_t bytes)
{
    return fails_now() ? NULL : __real_mem_try(bytes);
}

void *__wrap_mem_try_resize(void *old, size_t bytes)
{
    return fails_now() ? NULL : __real_mem_try_resize(old, bytes);
}
