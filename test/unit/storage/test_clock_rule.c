#include <criterion/criterion.h>

#include "storage/clock_rule.h"

#define RECV   INT64_C(1764000000000)
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define MIN_MS INT64_C(60000)

/* Event time counts only with time_ok and all of the batch in [recv - 30 d, recv + 5 min]. */
Test(clock_rule, window_decides_for_the_whole_batch)
{
    static const struct {
        const char *name;
        bool time_ok;
        int64_t first, last; /* relative to arrival */
        bool suspect;
        int64_t first_out, last_out;
    } rows[] = {
        {"live", true, -9000, -10, false, -9000, -10},
        {"oldest allowed", true, -30 * DAY_MS, 0, false, -30 * DAY_MS, 0},
        {"first sample too old", true, -30 * DAY_MS - 1, -30 * DAY_MS, true, -1, 0},
        {"newest allowed", true, 0, 5 * MIN_MS, false, 0, 5 * MIN_MS},
        {"last sample in the future", true, 0, 5 * MIN_MS + 1, true, -5 * MIN_MS - 1, 0},
        {"clock not set", false, -9000, 0, true, -9000, 0},
        {"uptime", false, 1000 - RECV, 61000 - RECV, true, -60000, 0},
        {"longest spacing believed", false, -60 * DAY_MS, -30 * DAY_MS, true, -30 * DAY_MS, 0},
        {"absurd spacing", false, -60 * DAY_MS - 1, -30 * DAY_MS, true, 0, 0},
        {"times that decrease", true, 0, -1, true, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct payload_facts facts = {.time_ok = rows[i].time_ok,
                                      .first_ms = RECV + rows[i].first,
                                      .last_ms = RECV + rows[i].last};
        struct clock_rule rule = clock_rule_judge(&facts, RECV);

        cr_expect_eq(rule.suspect, rows[i].suspect, "%s", rows[i].name);
        cr_expect_eq(clock_rule_time(&rule, facts.first_ms) - RECV, rows[i].first_out, "%s: first",
                     rows[i].name);
        cr_expect_eq(clock_rule_time(&rule, facts.last_ms) - RECV, rows[i].last_out, "%s: last",
                     rows[i].name);
    }
}

/* Whatever stands in a file, the rule neither overflows nor leaves the years a row can show. */
Test(clock_rule, extremes_stay_in_range)
{
    static const int64_t edges[] = {INT64_MIN,          INT64_MIN + 1, -1,       0, RECV,
                                    CLOCK_RULE_LAST_MS, INT64_MAX - 1, INT64_MAX};

    for (size_t a = 0; a < ARRAY_LEN(edges); a++)
        for (size_t b = 0; b < ARRAY_LEN(edges); b++)
            for (size_t r = 0; r < ARRAY_LEN(edges); r++) {
                struct payload_facts facts = {
                    .time_ok = true, .first_ms = edges[a], .last_ms = edges[b]};
                struct clock_rule rule = clock_rule_judge(&facts, edges[r]);
                int64_t last;

                if (rule.scale != 0 && (edges[b] == INT64_MAX || edges[a] == INT64_MIN))
                    continue; /* the sum below would be the test's own overflow */
                last = clock_rule_time(&rule, edges[b]);
                cr_expect(last >= -CLOCK_RULE_PAST_MS &&
                              last <= CLOCK_RULE_LAST_MS + CLOCK_RULE_FUTURE_MS,
                          "%lld %lld %lld", (long long)edges[a], (long long)edges[b],
                          (long long)edges[r]);
            }
}
