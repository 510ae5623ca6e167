#include "broker/base/wheel.h"

/* Ticks are numbers in base 64, one level a digit.
 *
 * 1. A timer sits on the level of the highest digit in which its tick differs from now_tick, in the
 *    slot of its own digit there. That digit is greater than now_tick's, the ones above are equal.
 * 2. So everything on a level is due before everything on the levels above, and the first used slot
 *    of the lowest used level is next. On level 0 it is due; above, its timers are placed again
 *    when now_tick reaches the slot's first tick, each at least one level lower.
 * 3. Moving now_tick to any tick before that one keeps rule 1, so idle time costs nothing.
 * 4. A timer leaves its slot without telling the wheel; the bit in `used` is cleared when the slot
 *    is found empty. */
enum { DIGIT_BITS = 6, DIGIT_MASK = WHEEL_SLOTS - 1 };

static const uint64_t tick_max = (UINT64_C(1) << (DIGIT_BITS * WHEEL_LEVELS)) - 1;
static const uint64_t tick_none = UINT64_MAX;

_Static_assert(sizeof(struct wheel_timer) <= 40, "timers are embedded a few to a session");

void wheel_init(struct wheel *w, uint64_t now_ms, uint32_t tick_ms)
{
    ASSERT(tick_ms > 0);
    *w = (struct wheel){.start_ms = now_ms, .tick_ms = tick_ms};
    for (size_t level = 0; level < WHEEL_LEVELS; level++)
        for (size_t slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
}

/* timer->due_tick > now_tick. */
static void place(struct wheel *w, struct wheel_timer *timer)
{
    unsigned highest_bit = 63U - (unsigned)__builtin_clzll(timer->due_tick ^ w->now_tick);
    unsigned level = highest_bit / DIGIT_BITS;
    unsigned slot = (unsigned)(timer->due_tick >> (level * DIGIT_BITS)) & DIGIT_MASK;

    w->used[level] |= UINT64_C(1) << slot;
    list_push_back(&w->slots[level][slot], &timer->link);
}

void wheel_add(struct wheel *w, struct wheel_timer *timer, uint64_t due_ms)
{
    uint64_t earliest = w->target_tick + 1;
    uint64_t after_ms = due_ms > w->start_ms ? due_ms - w->start_ms : 0;
    uint64_t tick = after_ms / w->tick_ms + (after_ms % w->tick_ms > 0); /* never early */

    ASSERT(timer->on_due);
    list_remove(&timer->link);
    if (tick < earliest)
        tick = earliest;
    timer->due_tick = tick < tick_max ? tick : tick_max;
    place(w, timer);
}

void wheel_remove(struct wheel_timer *timer)
{
    list_remove(&timer->link);
}

struct next {
    uint64_t tick; /* tick_none: there is no timer */
    struct list *timers;
};

static struct next find_next(struct wheel *w)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        while (w->used[level]) {
            unsigned slot = (unsigned)__builtin_ctzll(w->used[level]);
            unsigned shift = level * DIGIT_BITS;

            if (list_is_empty(&w->slots[level][slot])) {
                w->used[level] &= w->used[level] - 1;
                continue;
            }
            uint64_t above = w->now_tick >> shift >> DIGIT_BITS << DIGIT_BITS;
            return (struct next){(above | slot) << shift, &w->slots[level][slot]};
        }
    }
    return (struct next){.tick = tick_none};
}

size_t wheel_advance(struct wheel *w, uint64_t now_ms)
{
    uint64_t target = now_ms > w->start_ms ? (now_ms - w->start_ms) / w->tick_ms : 0;
    size_t fired = 0;

    if (target >= tick_max)
        target = tick_max - 1; /* what is added during the call is placed one later */
    if (target <= w->now_tick)
        return 0;
    w->target_tick = target;
    for (;;) {
        struct next next = find_next(w);
        struct list taken;

        if (next.tick > target)
            break;
        w->now_tick = next.tick;
        list_init(&taken);
        list_move_all(&taken, next.timers);
        for (struct list *link; (link = list_pop_front(&taken));) {
            struct wheel_timer *timer = LIST_ITEM(link, struct wheel_timer, link);

            if (timer->due_tick > w->now_tick) {
                place(w, timer);
            } else {
                fired++;
                timer->on_due(timer);
            }
        }
    }
    w->now_tick = target;
    return fired;
}

uint64_t wheel_next_ms(struct wheel *w)
{
    uint64_t tick = find_next(w).tick;

    return tick == tick_none ? UINT64_MAX : w->start_ms + tick * w->tick_ms;
}
