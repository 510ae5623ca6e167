/* storage/ring_priv.h -- the writer's side of ring.h.
 *
 * What the worker publishes is one atomic word: the low 32 bits of the offset and of the count of
 * records. A ring is smaller than 4 GiB, so the writer, who knows how far it is, can tell the whole
 * numbers; and it never sees an offset with another one's count.
 *
 * The bell is how a worker wakes the writer: a futex word that says whether it sleeps, and how. */
#ifndef FREEHUB_STORAGE_RING_PRIV_H
#define FREEHUB_STORAGE_RING_PRIV_H

#include <stdatomic.h>

#include "storage/ring.h"

enum bell_state {
    BELL_BUSY,   /* awake, or about to look again */
    BELL_IDLE,   /* asleep; any record is a reason to wake */
    BELL_PACING, /* asleep until a moment; enough bytes are a reason to wake */
};

/* One a store. Lives longer than its rings. */
struct bell {
    _Atomic uint32_t state;    /* enum bell_state, the futex word */
    _Atomic bool rung;         /* by bell_ring(), until the writer has noticed */
    uint64_t bytes;            /* that wake a pacing writer; fixed before the first publish */
    struct ring *const *rings; /* fixed likewise: whose bytes count */
    size_t ring_count;
};

/* Sum of what is published and not committed. Any thread. */
uint64_t bell_pending(const struct bell *bell);

/* Sleep until woken, or for `timeout_ns` (UINT64_MAX: for ever); returns at once if there is a
 * reason to be awake in `state` or the bell has been rung. Writer thread. */
void bell_sleep(struct bell *bell, enum bell_state state, uint64_t timeout_ns);

/* Wake the writer, or keep it from its next sleep, to look at what has changed. Any thread. */
void bell_ring(struct bell *bell);

/* Main thread, before the first publish. `on_committed` may be NULL. */
void ring_attach(struct ring *r, struct bell *bell, void (*on_committed)(void *ctx), void *ctx);

/* A range of whole records, contiguous in memory. */
struct ring_range {
    uint64_t from, to;
    uint32_t count;
    const uint8_t *at;
};

/* What is published and not committed. Writer thread. */
struct ring_range ring_pending(const struct ring *r);

/* The first records of `range` that fit into `bytes`; at least one if `at_least_one`. The only
 * place that looks at rows, for a group that would be too large. Writer thread. */
struct ring_range ring_range_cut(const struct ring_range *range, uint64_t bytes, bool at_least_one);

/* Everything before `offset`, `count` records more than before, is on disk. Wakes nobody.
 * Writer thread. */
void ring_commit(struct ring *r, uint64_t offset, uint32_t count);

/* What the owner has released. Any thread. */
uint64_t ring_released(const struct ring *r);

/* Call on_committed if the owner sleeps; once a sleep. After ring_commit(). Writer thread. */
void ring_wake(struct ring *r);

#endif
