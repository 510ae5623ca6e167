#include <criterion/criterion.h>

#include "broker/base/chance.h"
#include "broker/base/wheel.h"

enum { MANY = 2000, START_MS = 123457 };

struct probe {
    struct wheel_timer timer;
    uint64_t due_ms;
    uint64_t fired_ms;
    int fired;
};

static struct wheel wheel;
static struct probe probes[MANY];
static uint64_t now_ms;

static void on_due(struct wheel_timer *timer)
{
    struct probe *probe = CONTAINER_OF(timer, struct probe, timer);

    probe->fired++;
    probe->fired_ms = now_ms;
}

static void start(uint32_t tick_ms)
{
    now_ms = START_MS;
    wheel_init(&wheel, now_ms, tick_ms);
    for (size_t i = 0; i < MANY; i++)
        probes[i] = (struct probe){.timer.on_due = on_due};
}

static void add(struct probe *probe, uint64_t due_ms)
{
    probe->due_ms = due_ms;
    wheel_add(&wheel, &probe->timer, due_ms);
}

static size_t advance(uint64_t to_ms)
{
    now_ms = to_ms;
    return wheel_advance(&wheel, to_ms);
}

Test(wheel, a_timer_fires_once_at_its_time_and_not_before)
{
    static const uint64_t after_ms[] = {1,    2,    63,     64,     65,       4095,
                                        4096, 4097, 262143, 262144, 16777216, 5000000000};

    for (size_t i = 0; i < ARRAY_LEN(after_ms); i++) {
        start(1);
        add(&probes[0], now_ms + after_ms[i]);
        cr_expect(wheel_is_added(&probes[0].timer));
        cr_expect_eq(advance(START_MS + after_ms[i] - 1), 0, "%zu", i);
        cr_expect_eq(advance(START_MS + after_ms[i]), 1, "%zu", i);
        cr_expect_not(wheel_is_added(&probes[0].timer));
        cr_expect_eq(advance(START_MS + after_ms[i] + 1000000), 0, "%zu", i);
        cr_expect_eq(probes[0].fired, 1);
    }
}

Test(wheel, a_coarse_tick_is_late_by_less_than_a_tick_and_never_early)
{
    start(10);
    add(&probes[0], START_MS + 11);
    add(&probes[1], START_MS + 20);
    cr_expect_eq(advance(START_MS + 19), 0);
    cr_expect_eq(advance(START_MS + 20), 2);
}

Test(wheel, a_time_that_has_passed_fires_at_the_next_tick)
{
    start(1);
    add(&probes[0], 0);
    add(&probes[1], START_MS);
    cr_expect_eq(advance(START_MS), 0);
    cr_expect_eq(advance(START_MS + 1), 2);
}

Test(wheel, a_removed_timer_does_not_fire_and_twice_is_harmless)
{
    start(1);
    add(&probes[0], START_MS + 5);
    add(&probes[1], START_MS + 5);
    wheel_remove(&probes[0].timer);
    wheel_remove(&probes[0].timer);
    cr_expect_eq(advance(START_MS + 1000), 1);
    cr_expect_eq(probes[0].fired, 0);
}

Test(wheel, adding_again_moves_the_timer)
{
    start(1);
    add(&probes[0], START_MS + 5);
    add(&probes[0], START_MS + 500);
    cr_expect_eq(advance(START_MS + 499), 0);
    cr_expect_eq(advance(START_MS + 500), 1);
}

Test(wheel, time_does_not_go_back)
{
    start(1);
    advance(START_MS + 100);
    add(&probes[0], START_MS + 150);
    cr_expect_eq(advance(START_MS + 10), 0);
    cr_expect_eq(advance(START_MS + 150), 1);
}

static struct probe *victim;

static void on_due_remove_victim(struct wheel_timer *timer)
{
    on_due(timer);
    wheel_remove(&victim->timer);
}

Test(wheel, a_firing_timer_may_remove_one_that_is_due_with_it)
{
    start(1);
    probes[0].timer.on_due = on_due_remove_victim;
    victim = &probes[1];
    add(&probes[0], START_MS + 70);
    add(&probes[1], START_MS + 70);
    cr_expect_eq(advance(START_MS + 1000), 1);
    cr_expect_eq(probes[1].fired, 0);
}

static void on_due_again(struct wheel_timer *timer)
{
    on_due(timer);
    wheel_add(&wheel, timer, 0);
}

Test(wheel, a_timer_added_while_firing_waits_for_the_next_call)
{
    start(1);
    probes[0].timer.on_due = on_due_again;
    add(&probes[0], START_MS + 5);
    cr_expect_eq(advance(START_MS + 100000), 1);
    cr_expect_eq(advance(START_MS + 100001), 1);
    cr_expect_eq(probes[0].fired, 2);
}

Test(wheel, an_empty_wheel_never_wakes_its_owner)
{
    start(1);
    cr_expect_eq(wheel_next_ms(&wheel), UINT64_MAX);
    add(&probes[0], START_MS + 5);
    cr_expect_eq(wheel_next_ms(&wheel), START_MS + 5);
    wheel_remove(&probes[0].timer);
    cr_expect_eq(wheel_next_ms(&wheel), UINT64_MAX);
}

Test(wheel, a_sleeper_wakes_at_most_once_a_level_for_a_far_timer)
{
    uint64_t wakes = 0;

    start(1);
    add(&probes[0], START_MS + 1234567890);
    while (probes[0].fired == 0) {
        uint64_t next_ms = wheel_next_ms(&wheel);

        cr_assert_gt(next_ms, now_ms);
        cr_assert_leq(next_ms, START_MS + 1234567890);
        advance(next_ms);
        wakes++;
    }
    cr_expect_leq(wakes, WHEEL_LEVELS);
    cr_expect_eq(now_ms, START_MS + 1234567890);
}

Test(wheel, the_far_end_of_time_is_a_due_time_like_another)
{
    start(1);
    add(&probes[0], UINT64_MAX);
    add(&probes[1], START_MS + 10);
    cr_expect_eq(advance(START_MS + 100000000000), 1);
    cr_expect_eq(probes[0].fired, 0);
    cr_expect_lt(wheel_next_ms(&wheel), UINT64_MAX);
    advance(UINT64_MAX);
    wheel_remove(&probes[0].timer);
}

/* Against the plain definition: due when the tick's start is at or past the due time. */
Test(wheel, any_mix_fires_each_timer_in_its_tick)
{
    struct chance chance;

    chance_seed(&chance, 1);
    for (uint32_t tick_ms = 1; tick_ms <= 64; tick_ms *= 8) {
        start(tick_ms);
        for (size_t i = 0; i < MANY; i++)
            add(&probes[i], START_MS + 1 + chance_below(&chance, UINT64_C(1) << (i % 24)));
        for (size_t i = 0; i < MANY; i += 7)
            wheel_remove(&probes[i].timer);
        while (wheel_next_ms(&wheel) != UINT64_MAX)
            advance(now_ms + chance_below(&chance, 1 + now_ms - START_MS) + 1);
        for (size_t i = 0; i < MANY; i++)
            cr_assert_eq(probes[i].fired, i % 7 != 0, "timer %zu", i);
        for (size_t i = 0; i < MANY; i++)
            cr_assert(i % 7 == 0 || probes[i].fired_ms >= probes[i].due_ms, "timer %zu", i);
    }
}
