/* storage/clock_rule.h -- under which time a sample is kept. A bike's clock can be unset or wrong,
 * and a sample from 1970 or from next year would sort where nobody looks for it. So event times
 * count only when the bike vouches for its clock and they lie near the time of arrival; otherwise
 * the whole batch is kept under its arrival, flagged, and the bike's own times stay beside. Pure.
 */
#ifndef FREEHUB_STORAGE_CLOCK_RULE_H
#define FREEHUB_STORAGE_CLOCK_RULE_H

#include "broker/base/base.h"
#include "broker/payload/payload.h"

/* The window around the time of arrival, and the longest batch whose spacing is believed. */
#define CLOCK_RULE_PAST_MS   (INT64_C(30) * 24 * 3600 * 1000)
#define CLOCK_RULE_FUTURE_MS (INT64_C(5) * 60 * 1000)
#define CLOCK_RULE_SPAN_MS   CLOCK_RULE_PAST_MS
#define CLOCK_RULE_LAST_MS   INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* The verdict on one batch: effective time = event time * scale + shift. */
struct clock_rule {
    bool suspect;
    int64_t scale; /* 1, or 0 when not even the spacing is believed */
    int64_t shift_ms;
};

/* Judge a batch that arrived at `recv_ms` (clamped to 1970..9999). It is trusted when its clock is
 * and every sample lies in [recv - 30 d, recv + 5 min]; times within a batch never decrease, so its
 * first and last sample decide for all. A suspect batch is moved as a whole: its last sample to
 * `recv_ms`, the others before it by their own spacing; when they span more than 30 d, all go to
 * `recv_ms`, where their numbers keep them in order. Any thread. */
static inline struct clock_rule clock_rule_judge(const struct payload_facts *facts, int64_t recv_ms)
{
    int64_t span_ms;

    recv_ms = recv_ms < 0 ? 0 : recv_ms > CLOCK_RULE_LAST_MS ? CLOCK_RULE_LAST_MS : recv_ms;
    if (facts->time_ok && facts->first_ms >= recv_ms - CLOCK_RULE_PAST_MS &&
        facts->last_ms <= recv_ms + CLOCK_RULE_FUTURE_MS && facts->first_ms <= facts->last_ms)
        return (struct clock_rule){false, 1, 0};
    if (__builtin_sub_overflow(facts->last_ms, facts->first_ms, &span_ms) || span_ms < 0 ||
        span_ms > CLOCK_RULE_SPAN_MS)
        return (struct clock_rule){true, 0, recv_ms};
    return (struct clock_rule){true, 1, recv_ms - facts->last_ms};
}

/* The effective time of a sample of the judged batch. Any thread. */
static inline int64_t clock_rule_time(const struct clock_rule *rule, int64_t event_ms)
{
    return event_ms * rule->scale + rule->shift_ms;
}

#endif
