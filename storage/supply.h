/* storage/supply.h -- keeps room ahead of the writer: zeros in the active segment, the next segment
 * ready before it is needed, the old one cut to size. A thread of its own, because neither a
 * checkpoint nor an unlink may let the writer run out of room.
 *
 * A full disk is met here and not in a commit: admission closes, the writer waits, and both go on
 * by themselves when there is room. */
#ifndef FREEHUB_STORAGE_SUPPLY_H
#define FREEHUB_STORAGE_SUPPLY_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "storage/segment.h"

struct supply;
struct bell; /* ring_priv.h */

struct supply_options {
    const char *folder; /* outlives the supply */
    uint64_t step_max_bytes;
    uint64_t segment_max_bytes; /* zeros are not written beyond it */
    struct segment *active;     /* NULL in a new store: the first supply_next() makes one */
    const uint8_t *uuid;        /* of new segments; copied */
    struct bell *bell;          /* rung when a write fails */
};

/* Start the thread. The caller owns `*out`. Main thread. */
CHECKED int supply_start(struct supply **out, const struct supply_options *options,
                         struct err_detail *detail);

/* Wait until `active` has `bytes` of room. ERR_NOSPACE only after supply_hurry(); anything else is
 * the failure of a write. Writer thread. */
CHECKED int supply_room(struct supply *supply, struct segment *active, uint64_t bytes,
                        struct err_detail *detail);

/* The prepared segment becomes the active one, with the name of `first`; it is the writer's even if
 * that failed. `old`, which may be NULL, goes to the supply, which seals and closes it. Errors as
 * supply_room(); when no segment was taken `*out` is left as it was and `old` stays the writer's.
 * Writer thread. */
CHECKED int supply_next(struct supply *supply, struct segment *old, uint64_t first,
                        struct segment **out, struct err_detail *detail);

/* Called after each commit; wakes the thread when room runs low. Writer thread. */
void supply_used(struct supply *supply, const struct segment *active);

/* 0, or what a write or sync failed with for another reason than space: the log may not go on, as
 * the file may have lost what a commit wrote. One atomic load while all is well. Writer thread. */
CHECKED int supply_check(struct supply *supply, struct err_detail *detail);

/* 0, or ERR_NOSPACE while the disk is full: accept nothing more. Any thread. */
int supply_admission(const struct supply *supply);

/* The store stops: the writer waits for space no more. Main thread. */
void supply_hurry(struct supply *supply);

/* Stop the thread, remove the prepared segment. The active one stays with its owner. Main thread.
 */
void supply_stop(struct supply *supply);

#endif
