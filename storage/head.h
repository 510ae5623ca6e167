/* storage/head.h -- the latest known state of every bike, in memory: per column the value with the
 * newest effective event time, ties by (boot, sample), so that late data never moves it backwards.
 * Rebuilt at start from the checkpoint and the log behind it. Columnar types only; a bike holds the
 * state of one type, the one that was newest.
 *
 * One lock, taken by head_begin() for many updates at once. */
#ifndef FREEHUB_STORAGE_HEAD_H
#define FREEHUB_STORAGE_HEAD_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/payload/schema.h"
#include "storage/store.h"

struct head; /* opaque: defined in head.c */

/* One bike's state as the checkpoint keeps it: see head.c. */
enum { HEAD_BYTES_MAX = 48 + SCHEMA_COLUMNS_MAX * 28 };

/* `schemas` outlives it; NULL: every type is unknown. The caller owns `*out`. 0 or ERR_NOMEM. Main
 * thread. */
CHECKED int head_new(struct head **out, const struct schema_set *schemas);
void head_free(struct head *h);

/* The lock around head_update() and head_take_changed(). Any thread. */
void head_begin(struct head *h);
void head_end(struct head *h);

/* Apply a telemetry payload. False, and nothing changed: not a columnar type, not valid, a bike
 * number out of range or no memory for a new bike. Between head_begin() and head_end(). */
bool head_update(struct head *h, uint32_t bike, uint16_t schema, int64_t recv_ms,
                 struct str payload);

/* Count samples that another payload of the bike outdates: see store_head_seen(). Between
 * head_begin() and head_end(). */
void head_seen(struct head *h, uint32_t bike, uint32_t samples);

/* ERR_NOTFOUND before the bike's first sample. Any thread, outside of the lock. */
CHECKED int head_latest(struct head *h, uint32_t bike, struct store_latest *out);

/* The next bike behind `after` that changed since it was last taken, encoded into `out`, its mark
 * removed; 0 when there is none. Between head_begin() and head_end(). */
uint32_t head_take_changed(struct head *h, uint32_t after, uint8_t out[HEAD_BYTES_MAX],
                           size_t *len);

/* What was taken did not reach the disk: mark every bike again. Takes the lock. */
void head_mark_all(struct head *h);

/* Set a bike's state from the checkpoint. Columns that the type no longer has are dropped.
 * ERR_CORRUPT, ERR_UNSUPPORTED (a type that is unknown here), ERR_NOMEM. Before the threads start.
 */
CHECKED int head_restore(struct head *h, uint32_t bike, struct str bytes);

#endif
