/* storage/ring.h -- what one worker hands to the writer. The worker appends records that are
 * already in log format; the writer copies whole ranges into the next commit and never looks at a
 * row. One producer, one consumer, no lock. Offsets only grow; a record's place is its offset
 * modulo the size. Cursors, in this order: released <= committed <= published <= appended. */
#ifndef FREEHUB_STORAGE_RING_H
#define FREEHUB_STORAGE_RING_H

#include "broker/base/base.h"

struct ring; /* opaque: defined in ring.c */

/* `bytes`: a power of two and a multiple of the page size, mapped twice so that no record wraps.
 * The caller owns `*out`. 0 or ERR_NOMEM. Main thread. */
CHECKED int ring_new(struct ring **out, size_t bytes);

size_t ring_bytes(const struct ring *r);

/* Room for a record of `len` bytes, or NULL when the ring is full: stop reading the sockets that
 * feed it and resume at the next commit. Lives until ring_append(). Owner worker. */
void *ring_reserve(struct ring *r, size_t len);

/* Append what ring_reserve() gave; the writer sees it at the next ring_publish(). Returns its end
 * offset: durable once ring_committed() has reached it. Owner worker. */
uint64_t ring_append(struct ring *r, size_t len);

/* Show the writer everything appended, once a loop turn; wakes it only if it sleeps and now has a
 * reason not to. Owner worker. */
void ring_publish(struct ring *r);

/* Everything before this offset is on disk and may be acknowledged. Any thread. */
uint64_t ring_committed(const struct ring *r);

/* The bytes of the record that ended at or began at `offset`; readable until released. A worker
 * reads a record back after its commit for `latest` and live delivery. Owner worker. */
const void *ring_at(const struct ring *r, uint64_t offset);

/* The worker is done with everything before `offset` (acknowledged, `latest` updated, fanned out);
 * its room may be used again. Owner worker. */
void ring_release(struct ring *r, uint64_t offset);

/* The owner is about to poll (true) or has woken up (false). After saying true it must look at
 * ring_committed() once more before it really sleeps. A wake-up (store_ring_new) happens once and
 * takes the word back. Owner worker. */
void ring_sleep(struct ring *r, bool sleeping);

/* Both threads have stopped. Main thread. */
void ring_free(struct ring *r);

#endif
