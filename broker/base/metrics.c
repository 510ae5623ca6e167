#include "broker/base/metrics.h"

#include "broker/base/mem.h"

enum { CACHE_LINE_BYTES = 64, COUNTERS_PER_LINE = CACHE_LINE_BYTES / sizeof(uint64_t) };

/* Sets begin a cache line apart, so that threads do not slow each other down. */
struct metrics_set {
    size_t counter_count;
    _Atomic uint64_t counters[];
};

struct metrics {
    size_t counter_count, set_max, set_bytes;
    _Atomic size_t set_taken;
    void *memory; /* sets, from the first whole line in it */
    uint8_t *sets;
};

int metrics_new(struct metrics **out, size_t counter_count, size_t set_max)
{
    struct metrics *m = MEM_NEW(struct metrics);

    ASSERT(counter_count > 0 && set_max > 0);
    m->counter_count = counter_count;
    m->set_max = set_max;
    m->set_bytes =
        (sizeof(struct metrics_set) + counter_count * sizeof(uint64_t) + CACHE_LINE_BYTES - 1) /
        CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    m->memory = mem_try(m->set_bytes * set_max + CACHE_LINE_BYTES);
    if (!m->memory) {
        mem_free(m);
        return ERR_NOMEM;
    }
    memset(m->memory, 0, m->set_bytes * set_max + CACHE_LINE_BYTES);
    m->sets = (uint8_t *)m->memory + CACHE_LINE_BYTES - (uintptr_t)m->memory % CACHE_LINE_BYTES;
    for (size_t i = 0; i < set_max; i++)
        ((struct metrics_set *)(void *)(m->sets + i * m->set_bytes))->counter_count = counter_count;
    *out = m;
    return 0;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    mem_free(m->memory);
    mem_free(m);
}

static struct metrics_set *set_at(const struct metrics *m, size_t index)
{
    return (struct metrics_set *)(void *)(m->sets + index * m->set_bytes);
}

struct metrics_set *metrics_set_take(struct metrics *m)
{
    size_t index = atomic_fetch_add_explicit(&m->set_taken, 1, memory_order_relaxed);

    ASSERT(index < m->set_max);
    return set_at(m, index);
}

/* There is one writer, so this needs no atomic read-modify-write. */
static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void metrics_add(struct metrics_set *set, size_t counter, uint64_t n)
{
    ASSERT(counter < set->counter_count);
    count(&set->counters[counter], n);
}

uint64_t metrics_read(const struct metrics *m, size_t counter)
{
    uint64_t sum = 0;

    ASSERT(counter < m->counter_count);
    for (size_t i = 0; i < m->set_max; i++)
        sum += atomic_load_explicit(&set_at(m, i)->counters[counter], memory_order_relaxed);
    return sum;
}

/* Values below 16 have a bucket each. Above, the highest bit chooses sixteen buckets and the next
 * four bits one of them. */
static size_t bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (size_t)value;

    unsigned highest_bit = 63U - (unsigned)__builtin_clzll(value);
    return (size_t)(highest_bit - 3) * HISTOGRAM_STEPS + (size_t)(value >> (highest_bit - 4)) -
           HISTOGRAM_STEPS;
}

/* The largest value that counts into `bucket`. */
static uint64_t bucket_last(size_t bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;

    unsigned shift = (unsigned)(bucket / HISTOGRAM_STEPS) - 1;
    return ((uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    if (value > HISTOGRAM_VALUE_MAX)
        value = HISTOGRAM_VALUE_MAX;
    count(&h->buckets[bucket_of(value)], 1);
    count(&h->sum, value);
    if (value > atomic_load_explicit(&h->max, memory_order_relaxed))
        atomic_store_explicit(&h->max, value, memory_order_relaxed);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    uint64_t max = atomic_load_explicit(&from->max, memory_order_relaxed);

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        count(&to->buckets[i], atomic_load_explicit(&from->buckets[i], memory_order_relaxed));
    count(&to->sum, atomic_load_explicit(&from->sum, memory_order_relaxed));
    if (max > atomic_load_explicit(&to->max, memory_order_relaxed))
        atomic_store_explicit(&to->max, max, memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
    return sum;
}

uint64_t histogram_quantile(const struct histogram *h, uint32_t per_mille)
{
    uint64_t total = histogram_count(h);
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
    uint64_t rank, seen = 0;

    ASSERT(per_mille <= 1000);
    if (total == 0)
        return 0;
    rank = total / 1000 * per_mille + (total % 1000 * per_mille + 999) / 1000; /* rounded up */
    if (rank == 0)
        rank = 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        if (seen >= rank)
            return bucket_last(i) < max ? bucket_last(i) : max;
    }
    return max;
}
