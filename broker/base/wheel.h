/* broker/base/wheel.h -- timers for one thread: adding and removing cost the same however many
 * there are. The wheel reads no clock; its owner tells it the time (chrono_mono_ms()). A timer
 * never fires early, and late by less than a tick plus the owner's own delay. */
#ifndef FREEHUB_BROKER_BASE_WHEEL_H
#define FREEHUB_BROKER_BASE_WHEEL_H

#include "broker/base/base.h"
#include "broker/base/list.h"

struct wheel_timer;

/* The timer is no longer in the wheel. May add it again, and add, remove or free any timer. */
typedef void wheel_fn(struct wheel_timer *timer);

/* Embedded in what it is about (CONTAINER_OF gives that back); zeroed before first use except for
 * `on_due`, which its owner sets once. 32 bytes. */
struct wheel_timer {
    struct list link;
    uint64_t due_tick;
    wheel_fn *on_due;
};

enum { WHEEL_LEVELS = 7, WHEEL_SLOTS = 64 };

/* Embedded in its owner, 7 KiB. */
struct wheel {
    uint64_t start_ms;
    uint64_t now_tick;    /* everything due up to here has fired */
    uint64_t target_tick; /* where wheel_advance() is going */
    uint32_t tick_ms;
    uint64_t used[WHEEL_LEVELS]; /* bit = slot; set when there may be a timer in it */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

/* `tick_ms` > 0: how fine it is; a coarser tick wakes its owner less often. */
void wheel_init(struct wheel *w, uint64_t now_ms, uint32_t tick_ms);

/* Fire at `due_ms`, or at the next tick when that has passed. A timer that is in the wheel moves.
 */
void wheel_add(struct wheel *w, struct wheel_timer *timer, uint64_t due_ms);

/* Does nothing when it is not in the wheel. Needs no wheel: it may have gone. */
void wheel_remove(struct wheel_timer *timer);

static inline bool wheel_is_added(const struct wheel_timer *timer)
{
    return list_is_linked(&timer->link);
}

/* Fire, in order of their ticks, all timers due at `now_ms`; a time before the last one changes
 * nothing. Timers added meanwhile wait for the next call. Returns how many fired. */
size_t wheel_advance(struct wheel *w, uint64_t now_ms);

/* The earliest moment at which wheel_advance() may have something to do, UINT64_MAX when there is
 * no timer. May be earlier than the next timer, never later: an idle owner sleeps until then. */
uint64_t wheel_next_ms(struct wheel *w);

#endif
