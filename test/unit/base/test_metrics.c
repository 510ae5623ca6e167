#include <criterion/criterion.h>

#include "broker/base/mem.h"
#include "broker/base/metrics.h"
#include "broker/base/thread.h"
#include "test/unit/failing.h"

enum { RECEIVED, SENT, COUNTERS };
enum { THREADS = 3, TURNS = 100000 };

static struct metrics *metrics;

static void count_received(void *ctx)
{
    struct metrics_set *set = metrics_set_take(metrics);
    struct histogram *histogram = ctx;

    for (uint64_t i = 0; i < TURNS; i++) {
        metrics_add(set, RECEIVED, 2);
        histogram_add(histogram, i);
    }
}

Test(metrics, a_reader_sees_the_sum_of_all_threads)
{
    struct thread *threads[THREADS];
    struct histogram *histograms = mem_new(THREADS * sizeof(struct histogram));
    struct histogram *all = MEM_NEW(struct histogram);
    uint64_t before = 0;

    cr_assert_eq(metrics_new(&metrics, COUNTERS, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(thread_start(&threads[i], "counter", count_received, &histograms[i]), 0);
    for (int i = 0; i < 1000; i++) { /* while they count */
        uint64_t now = metrics_read(metrics, RECEIVED);

        cr_assert_geq(now, before);
        before = now;
        histogram_quantile(&histograms[0], 990);
    }
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    cr_expect_eq(metrics_read(metrics, RECEIVED), 2 * THREADS * TURNS);
    cr_expect_eq(metrics_read(metrics, SENT), 0);
    for (int i = 0; i < THREADS; i++)
        histogram_merge(all, &histograms[i]);
    cr_expect_eq(histogram_count(all), THREADS * TURNS);
    cr_expect_eq(histogram_quantile(all, 1000), TURNS - 1);
    metrics_free(metrics);
    mem_free(all);
    mem_free(histograms);
}

Test(metrics, no_memory_is_an_error)
{
    failing_mem_at(0);
    cr_expect_eq(metrics_new(&metrics, COUNTERS, THREADS), ERR_NOMEM);
    cr_expect(failing_mem_hit());
    metrics_free(NULL);
}

Test(metrics, an_empty_histogram_reads_zero)
{
    static struct histogram h;

    cr_expect_eq(histogram_count(&h), 0);
    cr_expect_eq(histogram_quantile(&h, 500), 0);
}

Test(metrics, a_single_value_is_every_quantile_of_itself)
{
    for (int bit = 0; bit < HISTOGRAM_BITS; bit++) {
        for (int off = -1; off <= 1; off++) {
            struct histogram *h = MEM_NEW(struct histogram);
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)off;

            histogram_add(h, value);
            cr_expect_eq(histogram_quantile(h, 0), value);
            cr_expect_eq(histogram_quantile(h, 500), value);
            cr_expect_eq(histogram_quantile(h, 1000), value);
            mem_free(h);
        }
    }
}

Test(metrics, a_quantile_is_right_to_a_sixteenth_and_not_low)
{
    static const uint32_t per_mille[] = {1, 10, 250, 500, 750, 990, 999, 1000};
    static const uint64_t steps[] = {1, 7, 1000, 123457};

    for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
        struct histogram *h = MEM_NEW(struct histogram);

        for (uint64_t i = 1; i <= 1000; i++)
            histogram_add(h, i * steps[s]);
        for (size_t i = 0; i < ARRAY_LEN(per_mille); i++) {
            uint64_t exact = per_mille[i] * steps[s];
            uint64_t read = histogram_quantile(h, per_mille[i]);

            cr_expect_geq(read, exact, "step %zu, %u per mille", s, per_mille[i]);
            cr_expect_leq(read, exact + exact / 16, "step %zu, %u per mille", s, per_mille[i]);
        }
        mem_free(h);
    }
}

Test(metrics, a_value_over_the_maximum_counts_as_the_maximum)
{
    static struct histogram h;

    histogram_add(&h, UINT64_MAX);
    cr_expect_eq(histogram_count(&h), 1);
    cr_expect_eq(histogram_quantile(&h, 500), HISTOGRAM_VALUE_MAX);
}
