/* broker/base/quantity.h -- sizes and durations as people write them: "64MiB", "30s", 0. */
#ifndef FREEHUB_BROKER_BASE_QUANTITY_H
#define FREEHUB_BROKER_BASE_QUANTITY_H

#include "broker/base/base.h"

/* A whole number and a unit, with or without spaces between: B, KiB, MiB, GiB, TiB. Only 0 needs
 * no unit. ERR_INVALID, also when it does not fit 63 bits. Any thread. */
CHECKED int size_parse(struct str text, uint64_t *out_bytes);

/* As above: ms, s, min, h, d. Any thread. */
CHECKED int duration_parse(struct str text, uint64_t *out_ms);

/* A whole decimal number without sign or unit. Any thread. */
CHECKED int count_parse(struct str text, uint64_t *out);

enum { QUANTITY_MAX = 32 };

/* The shortest exact form that parses back: "64MiB", "90s", "0". Terminated; returns the length.
 * Any thread. */
size_t size_format(char out[QUANTITY_MAX], uint64_t bytes);
size_t duration_format(char out[QUANTITY_MAX], uint64_t ms);

#endif
