#include "broker/cli/load_hist.h"

/* Below LOAD_HIST_STEPS a bucket is one nanosecond; above, the 7 leading bits choose it. */
enum { STEP_BITS = 6 };

static size_t bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < LOAD_HIST_STEPS)
        return (size_t)ns;
    shift = 63u - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    return ((size_t)shift << STEP_BITS) + (size_t)(ns >> shift);
}

static uint64_t bucket_end(size_t bucket)
{
    size_t shift = bucket >> STEP_BITS;

    if (shift == 0)
        return bucket;
    shift--;
    return ((uint64_t)(bucket - (shift << STEP_BITS) + 1) << shift) - 1;
}

void load_hist_add(struct load_hist *h, uint64_t ns)
{
    h->buckets[bucket_of(ns)]++;
    h->count++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

uint64_t load_hist_quantile(const struct load_hist *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;

    if (h->count == 0)
        return 0;
    if (wanted >= h->count)
        wanted = h->count - 1;
    for (size_t i = 0; i < LOAD_HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > wanted)
            return bucket_end(i) < h->max_ns ? bucket_end(i) : h->max_ns;
    }
    return h->max_ns;
}
