#include "storage/ring.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "broker/base/chance.h"
#include "storage/record.h"
#include "storage/ring_priv.h"

enum { BYTES = 4096, RECORD = 100 };

static uint64_t append(struct ring *ring, size_t len, uint64_t number)
{
    uint8_t *room = ring_reserve(ring, len);

    cr_assert_neq(room, NULL);
    memset(room, (int)(number & 255), len);
    store_u32(room, (uint32_t)len);
    store_u64(room + 4, number);
    return ring_append(ring, len);
}

/* What the writer would do with everything that is published. */
static uint32_t commit_all(struct ring *ring)
{
    struct ring_range range = ring_pending(ring);

    ring_commit(ring, range.to, range.count);
    return range.count;
}

Test(ring, a_full_ring_refuses_until_released)
{
    struct ring *ring;
    uint64_t end = 0, first = 0;

    cr_assert_eq(ring_new(&ring, BYTES), 0);
    cr_expect_eq(ring_bytes(ring), BYTES);
    cr_expect_eq(ring_reserve(ring, BYTES + 1), NULL);
    cr_expect_neq(ring_reserve(ring, BYTES), NULL, "exactly the whole ring");
    for (uint64_t i = 0; i < BYTES / RECORD; i++) {
        end = append(ring, RECORD, i);
        first = first ? first : end;
    }
    cr_expect_eq(end, BYTES / RECORD * RECORD);
    cr_expect_eq(ring_reserve(ring, RECORD), NULL);
    cr_expect_neq(ring_reserve(ring, BYTES % RECORD), NULL, "the rest of it");

    ring_publish(ring);
    commit_all(ring);
    cr_expect_eq(ring_reserve(ring, RECORD), NULL, "committed is not yet released");
    ring_release(ring, first);
    cr_expect_neq(ring_reserve(ring, RECORD), NULL);
    ring_free(ring);
}

/* No record wraps, whatever its length and place, and all stay readable until released. */
Test(ring, records_are_whole_across_the_end)
{
    struct chance chance;
    struct ring *ring;
    uint64_t from = 0;

    chance_seed(&chance, 11);
    cr_assert_eq(ring_new(&ring, BYTES), 0);
    for (uint64_t i = 0; i < 2000; i++) {
        size_t len = RECORD_BYTES_MIN + chance_below(&chance, BYTES - RECORD_BYTES_MIN + 1);
        uint64_t end = append(ring, len, i);
        struct ring_range range;

        cr_assert_eq(end, from + len);
        cr_expect_eq(ring_pending(ring).count, 0, "not yet published");
        ring_publish(ring);
        range = ring_pending(ring);
        cr_assert(range.from == from && range.to == end && range.count == 1);
        cr_expect_eq(load_u64(range.at + 4), i);
        for (size_t k = 12; k < len; k++)
            cr_assert_eq(range.at[k], (uint8_t)i, "record %d, byte %zu", (int)i, k);
        cr_expect_eq(ring_committed(ring), from);
        ring_commit(ring, range.to, range.count);
        cr_expect_eq(ring_committed(ring), end);
        cr_expect_eq(load_u64((const uint8_t *)ring_at(ring, from) + 4), i);
        ring_release(ring, end);
        from = end;
    }
    ring_free(ring);
}

/* A group that would be too large is cut between records. */
Test(ring, a_range_is_cut_between_records)
{
    static const struct {
        uint64_t bytes;
        bool at_least_one;
        uint32_t count;
    } rows[] = {{0, false, 0},   {0, true, 1},      {99, false, 0},  {99, true, 1},
                {100, false, 1}, {101, false, 1},   {199, true, 1},  {200, false, 2},
                {999, false, 9}, {1000, false, 10}, {5000, true, 10}};
    struct ring_range range;
    struct ring *ring;

    cr_assert_eq(ring_new(&ring, BYTES), 0);
    for (uint64_t i = 0; i < 10; i++)
        append(ring, RECORD, i);
    ring_publish(ring);
    range = ring_pending(ring);
    cr_assert_eq(range.count, 10);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ring_range cut = ring_range_cut(&range, rows[i].bytes, rows[i].at_least_one);

        cr_expect_eq(cut.count, rows[i].count, "%d bytes", (int)rows[i].bytes);
        cr_expect_eq(cut.to - cut.from, rows[i].count * RECORD, "%d bytes", (int)rows[i].bytes);
        cr_expect(cut.from == range.from && cut.at == range.at);
    }
    ring_free(ring);
}

/* The published word holds 32 bits of offset and count; both may overflow. */
Test(ring, counts_survive_four_gigabytes, .timeout = 60)
{
    enum { BIG = 1 << 26 };
    uint64_t records = 0, end = 0;
    struct ring *ring;

    cr_assert_eq(ring_new(&ring, BIG), 0);
    while (end < ((uint64_t)1 << 32) + 3 * (uint64_t)BIG) {
        void *room = ring_reserve(ring, BIG / 2);
        struct ring_range range;

        cr_assert_neq(room, NULL);
        store_u32(room, BIG / 2);
        end = ring_append(ring, BIG / 2);
        ring_publish(ring);
        range = ring_pending(ring);
        cr_assert(range.to == end && range.count == 1);
        ring_commit(ring, range.to, range.count);
        ring_release(ring, ring_committed(ring));
        records++;
    }
    cr_expect_eq(ring_committed(ring), records * (BIG / 2));
    ring_free(ring);
}

static int wake_ups;

static void on_committed(void *ctx)
{
    (void)ctx;
    wake_ups++;
}

Test(ring, only_a_sleeper_is_woken_and_only_once)
{
    struct bell bell = {.bytes = 1};
    struct ring *ring;

    cr_assert_eq(ring_new(&ring, BYTES), 0);
    ring_attach(ring, &bell, on_committed, NULL);
    ring_wake(ring);
    cr_expect_eq(wake_ups, 0);
    ring_sleep(ring, true);
    ring_wake(ring);
    ring_wake(ring);
    cr_expect_eq(wake_ups, 1);
    ring_sleep(ring, true);
    ring_sleep(ring, false);
    ring_wake(ring);
    cr_expect_eq(wake_ups, 1);
    ring_free(ring);
}

/* ---- two threads ---- */

enum { STRESS_RECORDS = 200000 };

struct stress {
    struct ring *ring;
    struct bell bell;
    struct ring *rings[1];
    _Atomic bool stop;
    _Atomic int wake_ups;
    uint64_t seen; /* the consumer's */
};

static void on_stress_committed(void *ctx)
{
    ((struct stress *)ctx)->wake_ups++;
}

/* Takes ranges as the writer does, and checks that they hold whole records in order. */
static void *consume(void *ctx)
{
    struct stress *stress = ctx;

    for (;;) {
        bool stop = atomic_load(&stress->stop);
        struct ring_range range = ring_pending(stress->ring);
        const uint8_t *at = range.at;

        if (range.count == 0) {
            if (stop)
                return NULL;
            bell_sleep(&stress->bell, BELL_IDLE, UINT64_MAX);
            continue;
        }
        range = ring_range_cut(&range, 3000, true);
        for (uint32_t i = 0; i < range.count; i++, at += load_u32(at))
            if (load_u64(at + 4) != stress->seen++)
                abort();
        if (at != range.at + (range.to - range.from))
            abort();
        ring_commit(stress->ring, range.to, range.count);
        ring_wake(stress->ring);
    }
}

/* The producer sleeps when the ring is full: a lost wake-up on either side would hang the test. */
Test(ring, two_threads_lose_nothing, .timeout = 60)
{
    static struct stress stress;
    struct chance chance;
    pthread_t consumer;
    uint64_t end = 0;

    chance_seed(&chance, 3);
    cr_assert_eq(ring_new(&stress.ring, BYTES), 0);
    stress.rings[0] = stress.ring;
    stress.bell = (struct bell){.bytes = 1, .rings = stress.rings, .ring_count = 1};
    ring_attach(stress.ring, &stress.bell, on_stress_committed, &stress);
    cr_assert_eq(pthread_create(&consumer, NULL, consume, &stress), 0);
    for (uint64_t i = 0; i < STRESS_RECORDS;) {
        size_t len = RECORD_BYTES_MIN + chance_below(&chance, 200);
        int woken = stress.wake_ups;

        if (ring_reserve(stress.ring, len)) {
            end = append(stress.ring, len, i++);
            if (chance_below(&chance, 8) == 0)
                ring_publish(stress.ring);
            continue;
        }
        ring_publish(stress.ring);
        ring_sleep(stress.ring, true);
        if (ring_committed(stress.ring) < end)
            while (stress.wake_ups == woken) /* asleep */
                sched_yield();
        ring_sleep(stress.ring, false);
        ring_release(stress.ring, ring_committed(stress.ring));
    }
    ring_publish(stress.ring);
    atomic_store(&stress.stop, true);
    bell_ring(&stress.bell);
    pthread_join(consumer, NULL);
    cr_expect_eq(stress.seen, STRESS_RECORDS);
    cr_expect_eq(ring_committed(stress.ring), end);
    ring_free(stress.ring);
}

/* A pacing writer is woken by bytes, of all rings together, and by nothing less. */
Test(ring, a_pacing_writer_is_woken_by_the_sum)
{
    struct ring *rings[2];
    struct bell bell = {.bytes = 2 * RECORD, .rings = rings, .ring_count = 2};

    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(ring_new(&rings[i], BYTES), 0);
        ring_attach(rings[i], &bell, NULL, NULL);
    }
    atomic_store(&bell.state, BELL_PACING);
    append(rings[0], RECORD, 0);
    cr_expect_eq(bell_pending(&bell), 0);
    ring_publish(rings[0]);
    cr_expect_eq(bell_pending(&bell), RECORD);
    cr_expect_eq(bell.state, BELL_PACING);
    append(rings[1], RECORD, 0);
    ring_publish(rings[1]);
    cr_expect_eq(bell.state, BELL_BUSY);

    commit_all(rings[0]);
    commit_all(rings[1]);
    cr_expect_eq(bell_pending(&bell), 0);
    atomic_store(&bell.state, BELL_IDLE);
    append(rings[1], RECORD, 1);
    ring_publish(rings[1]);
    cr_expect_eq(bell.state, BELL_BUSY, "an idle one by anything");
    for (size_t i = 0; i < 2; i++)
        ring_free(rings[i]);
}
