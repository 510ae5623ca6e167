#include "broker/cli/load_hist.h"

#include <criterion/criterion.h>

static struct load_hist hist;

Test(load_hist, without_durations_every_quantile_is_0)
{
    cr_assert_eq(load_hist_quantile(&hist, 0.5), 0);
    cr_assert_eq(load_hist_quantile(&hist, 1), 0);
}

/* One duration is its own quantile; rounding up to the end of its step stops at the maximum. */
Test(load_hist, every_duration_is_kept_to_a_64th)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int off = -1; off <= 1; off++) {
            uint64_t ns = (UINT64_C(1) << shift) + (uint64_t)off, got;

            memset(&hist, 0, sizeof hist);
            load_hist_add(&hist, ns);
            load_hist_add(&hist, UINT64_MAX);
            got = load_hist_quantile(&hist, 0.25);
            cr_assert_geq(got, ns, "%llu", (unsigned long long)ns);
            cr_assert_leq(got - ns, ns / 64, "%llu", (unsigned long long)ns);
        }
    }
}

Test(load_hist, quantiles_are_those_of_the_sorted_durations)
{
    static const struct {
        double share;
        uint64_t ns;
    } rows[] = {{0, 1}, {0.5, 51}, {0.99, 100}, {0.999, 100}, {1, 100}};

    for (uint64_t ns = 100; ns >= 1; ns--)
        load_hist_add(&hist, ns);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t got = load_hist_quantile(&hist, rows[i].share);

        cr_expect(got >= rows[i].ns && got <= rows[i].ns + 1, "%g: %llu", rows[i].share,
                  (unsigned long long)got);
    }
    cr_assert_eq(hist.max_ns, 100);
}
