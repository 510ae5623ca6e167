/* Cursors and who writes them. Each side's own words are on cache lines of their own, so that
 * neither takes a line from the other unless there is news.
 *
 *   appended, counted             the worker alone, plain
 *   released                      the worker; read by who waits for it to have caught up
 *   published                     worker -> writer: low 32 bits of offset and count in one word
 *   committed                     writer -> worker: the whole offset
 *   sleeping                      both: the worker says it sleeps, who wakes it takes the word back
 *
 * No wake-up is lost: each side stores its own word, then looks at the other's, all of it
 * sequentially consistent, so one of the two sees the other's store. */
#include "storage/ring.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/err.h"
#include "broker/base/mem.h"
#include "storage/record.h"
#include "storage/ring_priv.h"

enum { CACHE_LINE_BYTES = 64 };
#define RING_BYTES_MAX ((size_t)1 << 30)

struct ring {
    /* fixed */
    uint8_t *memory; /* `bytes`, twice in a row */
    size_t bytes;
    struct bell *bell;
    void (*on_committed)(void *ctx);
    void *ctx;

    /* the worker's own */
    _Alignas(CACHE_LINE_BYTES) uint64_t appended;
    _Atomic uint64_t released;
    uint64_t reserved; /* bytes of an open ring_reserve() */
    uint64_t shown;    /* what is published, whole */
    uint32_t count;    /* of records appended, modulo 2^32 */

    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t published;

    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t committed;
    uint32_t committed_count; /* the writer's own, modulo 2^32 */

    _Alignas(CACHE_LINE_BYTES) _Atomic bool sleeping;
};

static uint64_t pack(uint64_t offset, uint32_t count)
{
    return (uint64_t)count << 32 | (uint32_t)offset;
}

static int map_twice(uint8_t **out, size_t bytes)
{
    int fd = memfd_create("freehub-ring", MFD_CLOEXEC);
    uint8_t *at = MAP_FAILED;
    int rc = ERR_NOMEM;

    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        goto out;
    at = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        goto out;
    for (size_t half = 0; half < 2; half++)
        if (mmap(at + half * bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED)
            goto out;
    *out = at;
    rc = 0;
out:
    if (rc && at != MAP_FAILED)
        munmap(at, 2 * bytes);
    if (fd >= 0)
        close(fd);
    return rc;
}

int ring_new(struct ring **out, size_t bytes)
{
    struct ring *r;
    uint8_t *memory;
    int rc;

    ASSERT(bytes > 0 && (bytes & (bytes - 1)) == 0 && bytes <= RING_BYTES_MAX);
    ASSERT(bytes % (size_t)sysconf(_SC_PAGESIZE) == 0);
    rc = map_twice(&memory, bytes);
    if (rc)
        return rc;
    r = aligned_alloc(_Alignof(struct ring), sizeof *r);
    if (!r) {
        munmap(memory, 2 * bytes);
        return ERR_NOMEM;
    }
    memset(r, 0, sizeof *r);
    r->memory = memory;
    r->bytes = bytes;
    *out = r;
    return 0;
}

size_t ring_bytes(const struct ring *r)
{
    return r->bytes;
}

uint64_t ring_released(const struct ring *r)
{
    return atomic_load_explicit(&r->released, memory_order_acquire);
}

void *ring_reserve(struct ring *r, size_t len)
{
    if (len > r->bytes - (r->appended - ring_released(r)))
        return NULL;
    r->reserved = len;
    return r->memory + (r->appended & (r->bytes - 1));
}

uint64_t ring_append(struct ring *r, size_t len)
{
    ASSERT(len == r->reserved && len >= RECORD_BYTES_MIN);
    r->reserved = 0;
    r->count++;
    return r->appended += len;
}

static void bell_wake(struct bell *bell, uint32_t from)
{
    if (atomic_compare_exchange_strong(&bell->state, &from, BELL_BUSY))
        syscall(SYS_futex, &bell->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void ring_publish(struct ring *r)
{
    uint32_t state;

    if (r->shown == r->appended)
        return;
    r->shown = r->appended;
    atomic_store_explicit(&r->published, pack(r->appended, r->count), memory_order_seq_cst);
    if (!r->bell)
        return;
    state = atomic_load_explicit(&r->bell->state, memory_order_seq_cst);
    if (state == BELL_IDLE || (state == BELL_PACING && bell_pending(r->bell) >= r->bell->bytes))
        bell_wake(r->bell, state);
}

uint64_t ring_committed(const struct ring *r)
{
    return atomic_load_explicit(&r->committed, memory_order_seq_cst);
}

const void *ring_at(const struct ring *r, uint64_t offset)
{
    return r->memory + (offset & (r->bytes - 1));
}

void ring_release(struct ring *r, uint64_t offset)
{
    ASSERT(offset >= ring_released(r) && offset <= ring_committed(r));
    atomic_store_explicit(&r->released, offset, memory_order_release);
}

void ring_sleep(struct ring *r, bool sleeping)
{
    atomic_store_explicit(&r->sleeping, sleeping, memory_order_seq_cst);
}

void ring_free(struct ring *r)
{
    if (!r)
        return;
    munmap(r->memory, 2 * r->bytes);
    mem_free(r);
}

/* ---- the writer's side ---- */

void ring_attach(struct ring *r, struct bell *bell, void (*on_committed)(void *ctx), void *ctx)
{
    r->bell = bell;
    r->on_committed = on_committed;
    r->ctx = ctx;
}

/* Any thread: a worker asks for the sum too. `committed` is read first, so it can only be too
 * small, and the difference never negative. */
static uint64_t ring_pending_bytes(const struct ring *r)
{
    uint64_t committed = atomic_load_explicit(&r->committed, memory_order_seq_cst);
    uint64_t published = atomic_load_explicit(&r->published, memory_order_seq_cst);

    return (uint32_t)((uint32_t)published - (uint32_t)committed);
}

struct ring_range ring_pending(const struct ring *r)
{
    uint64_t from = atomic_load_explicit(&r->committed, memory_order_relaxed);
    uint64_t published = atomic_load_explicit(&r->published, memory_order_acquire);

    return (struct ring_range){
        .from = from,
        .to = from + (uint32_t)((uint32_t)published - (uint32_t)from),
        .count = (uint32_t)(published >> 32) - r->committed_count,
        .at = ring_at(r, from),
    };
}

struct ring_range ring_range_cut(const struct ring_range *range, uint64_t bytes, bool at_least_one)
{
    struct ring_range cut = {.from = range->from, .to = range->from, .at = range->at};

    if (range->to - range->from <= bytes)
        return *range;
    while (cut.count < range->count) {
        uint32_t len = load_u32(range->at + (cut.to - cut.from));

        ASSERT(len >= RECORD_BYTES_MIN && len <= range->to - cut.to);
        if (cut.to - cut.from + len > bytes && !(at_least_one && cut.count == 0))
            break;
        cut.to += len;
        cut.count++;
    }
    return cut;
}

void ring_commit(struct ring *r, uint64_t offset, uint32_t count)
{
    r->committed_count += count;
    atomic_store_explicit(&r->committed, offset, memory_order_seq_cst);
}

void ring_wake(struct ring *r)
{
    if (r->on_committed && atomic_load_explicit(&r->sleeping, memory_order_seq_cst) &&
        atomic_exchange_explicit(&r->sleeping, false, memory_order_seq_cst))
        r->on_committed(r->ctx);
}

/* ---- the bell ---- */

uint64_t bell_pending(const struct bell *bell)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < bell->ring_count; i++)
        sum += ring_pending_bytes(bell->rings[i]);
    return sum;
}

static bool bell_has_reason(const struct bell *bell, enum bell_state state)
{
    uint64_t pending = bell_pending(bell);

    return state == BELL_IDLE ? pending > 0 : pending >= bell->bytes;
}

void bell_sleep(struct bell *bell, enum bell_state state, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                               .tv_nsec = (long)(timeout_ns % 1000000000)};

    atomic_store_explicit(&bell->state, state, memory_order_seq_cst);
    if (!atomic_exchange(&bell->rung, false) && !bell_has_reason(bell, state))
        syscall(SYS_futex, &bell->state, FUTEX_WAIT_PRIVATE, state,
                timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
    atomic_store_explicit(&bell->state, BELL_BUSY, memory_order_seq_cst);
}

void bell_ring(struct bell *bell)
{
    uint32_t state;

    atomic_store(&bell->rung, true);
    state = atomic_load(&bell->state);
    if (state != BELL_BUSY)
        bell_wake(bell, state);
}
