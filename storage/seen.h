/* storage/seen.h -- which samples of which boots have been met: what makes a read show each (bike,
 * boot, sample) once. Sample numbers come in runs, so a boot is a short sorted list of spans.
 * Not shared between threads. */
#ifndef FREEHUB_STORAGE_SEEN_H
#define FREEHUB_STORAGE_SEEN_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/payload/schema.h"

struct seen; /* opaque: defined in seen.c */

enum { SEEN_WORDS = SCHEMA_SAMPLES_MAX / 64 };

/* Holds at most `max_bytes`. The caller owns `*out`. 0 or ERR_NOMEM. */
CHECKED int seen_new(struct seen **out, size_t max_bytes);
void seen_free(struct seen *seen);

/* Meet samples [first, first + count), 1 <= count <= SCHEMA_SAMPLES_MAX, the last of them in 32
 * bits. `*fresh_count` are new; bit i of `fresh` says whether first + i is. ERR_FULL: over
 * max_bytes, and nothing has changed; ERR_NOMEM. */
CHECKED int seen_add(struct seen *seen, uint32_t bike, uint32_t boot, uint32_t first,
                     uint32_t count, uint32_t *fresh_count, uint64_t fresh[SEEN_WORDS]);

/* Forget the upper half of the range of bike numbers; `*last` is the greatest that is still looked
 * after. False, and nothing has changed, when only one bike is there. */
CHECKED bool seen_halve(struct seen *seen, uint32_t *last);

/* Forget everything. */
void seen_clear(struct seen *seen);

#endif
