#include "storage/seen.h"

#include <criterion/criterion.h>

#include "broker/base/chance.h"
#include "test/unit/failing.h"

enum { BYTES = 1 << 20 };

/* Random ranges against a plain bitmap. */
Test(seen, tells_what_is_new_sample_by_sample)
{
    static bool met[3][2][400];
    struct chance chance;
    struct seen *seen;

    chance_seed(&chance, 7);
    cr_assert_eq(seen_new(&seen, BYTES), 0);
    for (int round = 0; round < 3000; round++) {
        uint32_t bike = (uint32_t)chance_below(&chance, 3),
                 boot = (uint32_t)chance_below(&chance, 2);
        uint32_t first = (uint32_t)chance_below(&chance, 300);
        uint32_t count = 1 + (uint32_t)chance_below(&chance, round % 3 ? 4 : 100), fresh,
                 expected = 0;
        uint64_t bits[SEEN_WORDS];

        if (round % 500 == 0) {
            seen_clear(seen);
            memset(met, 0, sizeof met);
        }
        cr_assert_eq(seen_add(seen, bike, boot, first, count, &fresh, bits), 0);
        for (uint32_t i = 0; i < count; i++) {
            bool is_new = !met[bike][boot][first + i];

            cr_assert_eq(bits[i / 64] >> i % 64 & 1, is_new, "round %d sample %u", round,
                         first + i);
            expected += is_new;
            met[bike][boot][first + i] = true;
        }
        cr_assert_eq(fresh, expected, "round %d", round);
    }
    seen_free(seen);
}

/* The first and the last number there is. */
Test(seen, edges_of_the_numbers)
{
    static const struct {
        uint32_t first, count, fresh;
    } rows[] = {{UINT32_MAX, 1, 1},
                {UINT32_MAX - 2, 3, 2},
                {0, 1, 1},
                {0, 2, 1},
                {1, 1, 0},
                {2, 1024, 1024},
                {UINT32_MAX, 1, 0},
                {0, 1024, 0},
                {UINT32_MAX - 3, 2, 1},
                {UINT32_MAX - 3, 4, 0}};
    struct seen *seen;

    cr_assert_eq(seen_new(&seen, BYTES), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t bits[SEEN_WORDS];
        uint32_t fresh;

        cr_assert_eq(seen_add(seen, 1, 1, rows[i].first, rows[i].count, &fresh, bits), 0);
        cr_expect_eq(fresh, rows[i].fresh, "row %zu", i);
    }
    seen_free(seen);
}

/* Full: nothing changes; halving gives up the higher bikes, and says up to which one it is good. */
Test(seen, full_is_an_outcome)
{
    uint64_t bits[SEEN_WORDS];
    uint32_t fresh, bike, last;
    struct seen *seen;
    int rc = 0;

    cr_assert_eq(seen_new(&seen, 16 << 10), 0);
    for (bike = 1; !rc; bike++)
        for (uint32_t i = 0; i < 20 && !rc; i++)
            rc = seen_add(seen, bike, 1, i * 2, 1, &fresh, bits);
    bike--;
    cr_assert_eq(rc, ERR_FULL);
    cr_assert_gt(bike, 10);
    cr_assert_eq(seen_add(seen, 1, 1, 0, 20, &fresh, bits), 0, "what fits a span still goes");
    cr_expect_eq(fresh, 10);
    cr_assert(seen_halve(seen, &last));
    cr_expect(last >= 1 && last < bike);
    cr_assert_eq(seen_add(seen, last, 1, 0, 1, &fresh, bits), 0);
    cr_expect_eq(fresh, 0, "kept");
    cr_assert_eq(seen_add(seen, last + 1, 1, 0, 1, &fresh, bits), 0);
    cr_expect_eq(fresh, 1, "given up");
    while (seen_halve(seen, &last))
        ;
    cr_assert_eq(seen_add(seen, 1, 1, 0, 39, &fresh, bits), 0);
    cr_expect_eq(fresh, 9, "the last bike stays");
    seen_free(seen);
}

Test(seen, memory_that_runs_out_changes_nothing)
{
    uint64_t bits[SEEN_WORDS];
    struct seen *seen = NULL;
    uint32_t fresh;
    int rc;

    failing_mem_at(0);
    cr_expect_eq(seen_new(&seen, BYTES), ERR_NOMEM);
    cr_assert(failing_mem_hit());
    cr_assert_eq(seen_new(&seen, BYTES), 0);
    for (uint32_t i = 0; i < 200; i++) {
        failing_mem_at(0);
        rc = seen_add(seen, i % 80, 1, 2 * i, 1, &fresh, bits);
        if (failing_mem_hit()) {
            cr_expect_eq(rc, ERR_NOMEM);
            rc = seen_add(seen, i % 80, 1, 2 * i, 1, &fresh, bits);
        }
        cr_assert_eq(rc, 0);
        cr_expect_eq(fresh, 1);
    }
    seen_free(seen);
}
