/* broker/base/metrics.h -- counters and histograms that cost their writer an addition. Each thread
 * writes its own set; a reader adds the sets up. No lock on either side: what a reader sees may be
 * a moment old, never torn, and a counter never goes back. */
#ifndef FREEHUB_BROKER_BASE_METRICS_H
#define FREEHUB_BROKER_BASE_METRICS_H

#include <stdatomic.h>

#include "broker/base/base.h"
#include "broker/base/err.h"

struct metrics;     /* opaque: defined in metrics.c */
struct metrics_set; /* one thread's counters */

/* A group of `counter_count` counters, numbered by an enum of the caller, kept by at most `set_max`
 * threads. The caller owns `*out`. ERR_NOMEM. Main thread. */
CHECKED int metrics_new(struct metrics **out, size_t counter_count, size_t set_max);

/* Nobody writes or reads any more. Main thread. */
void metrics_free(struct metrics *m);

/* The next thread's set; lives as long as `m`. At most `set_max` times. Any thread. */
struct metrics_set *metrics_set_take(struct metrics *m);

/* Count `n` more. The one thread that owns `set`. */
void metrics_add(struct metrics_set *set, size_t counter, uint64_t n);

/* The sum over all threads. Any thread. */
uint64_t metrics_read(const struct metrics *m, size_t counter);

/* A histogram of whole numbers (microseconds, bytes): buckets double every 16 steps, so that a
 * read-out is right to 1/16 of itself. Larger values count as HISTOGRAM_VALUE_MAX. */
enum { HISTOGRAM_STEPS = 16, HISTOGRAM_BITS = 40 };
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_BITS - 4 + 1) * HISTOGRAM_STEPS };
#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << HISTOGRAM_BITS) - 1)

/* Embedded in its owner, zeroed before first use. One thread writes, any thread reads. */
struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
};

/* The one writing thread. */
void histogram_add(struct histogram *h, uint64_t value);

/* Count into `to` all that `from` has; `to` belongs to the calling thread. */
void histogram_merge(struct histogram *to, const struct histogram *from);

uint64_t histogram_count(const struct histogram *h);

/* The value that `per_mille` of 1000 do not exceed (500 = median, 990 = p99), rounded up by less
 * than 1/16 and never over the largest seen; 0 when empty. Any thread. */
uint64_t histogram_quantile(const struct histogram *h, uint32_t per_mille);

#endif
