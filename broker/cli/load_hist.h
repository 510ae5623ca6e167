/* broker/cli/load_hist.h -- a histogram of durations with 64 steps a power of two, so that a
 * quantile is exact to 1.6 %. In place; one thread. */
#ifndef FREEHUB_BROKER_CLI_LOAD_HIST_H
#define FREEHUB_BROKER_CLI_LOAD_HIST_H

#include "broker/base/base.h"

enum { LOAD_HIST_STEPS = 64, LOAD_HIST_BUCKETS = LOAD_HIST_STEPS * 59 };

struct load_hist {
    uint64_t count, max_ns;
    uint64_t buckets[LOAD_HIST_BUCKETS];
};

void load_hist_add(struct load_hist *h, uint64_t ns);

/* The least duration that at least `share` (0..1) of all do not pass; 0 when there are none. */
uint64_t load_hist_quantile(const struct load_hist *h, double share);

#endif
