/* broker/base/chrono.h -- the two clocks and the text of a moment. Wall time is for people and
 * event times; the monotonic clock is for every interval, so that a clock jump expires nothing. */
#ifndef FREEHUB_BROKER_BASE_CHRONO_H
#define FREEHUB_BROKER_BASE_CHRONO_H

#include "broker/base/base.h"

/* Milliseconds since 1970-01-01T00:00:00Z. Any thread. */
int64_t chrono_wall_ms(void);

/* Milliseconds and nanoseconds of a clock that only goes forward, from an arbitrary start. */
uint64_t chrono_mono_ms(void);
uint64_t chrono_mono_ns(void);

enum { CHRONO_ISO_MAX = 32 };

/* Write `wall_ms` as ISO-8601 UTC with milliseconds, "2026-11-24T02:25:48.123Z", terminated.
 * Years before 1 or after 9999 are clamped to those. Returns the length. Any thread. */
size_t chrono_iso_format(char out[CHRONO_ISO_MAX], int64_t wall_ms);

/* Read ISO-8601: a date, or date and time with optional seconds, fraction (1 to 9 digits) and
 * zone ("Z" or "+hh:mm"; UTC when absent). ERR_INVALID for anything else. Any thread. */
CHECKED int chrono_iso_parse(struct str text, int64_t *out_wall_ms);

#endif
