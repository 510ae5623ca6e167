#include <criterion/criterion.h>

#include "broker/base/chrono.h"
#include "broker/base/err.h"

Test(chrono, a_moment_has_one_text)
{
    static const struct {
        int64_t wall_ms;
        const char *text;
    } rows[] = {{0, "1970-01-01T00:00:00.000Z"},
                {-1, "1969-12-31T23:59:59.999Z"},
                {1795487148123, "2026-11-24T02:25:48.123Z"},
                {951782400000, "2000-02-29T00:00:00.000Z"},
                {-2203977600000, "1900-02-28T00:00:00.000Z"},
                {-2203891200000, "1900-03-01T00:00:00.000Z"},
                {4107542399999, "2100-02-28T23:59:59.999Z"},
                {4107542400000, "2100-03-01T00:00:00.000Z"},
                {-62135596800000, "0001-01-01T00:00:00.000Z"},
                {253402300799999, "9999-12-31T23:59:59.999Z"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[CHRONO_ISO_MAX];
        int64_t back = -1;

        cr_expect_eq(chrono_iso_format(text, rows[i].wall_ms), strlen(rows[i].text));
        cr_expect_str_eq(text, rows[i].text);
        cr_expect_eq(chrono_iso_parse(str_from(text), &back), 0, "%s", text);
        cr_expect_eq(back, rows[i].wall_ms, "%s", text);
    }
}

Test(chrono, every_day_of_three_centuries_survives_the_round_trip)
{
    for (int64_t ms = -5000000000000; ms < 5000000000000; ms += 86399999) {
        char text[CHRONO_ISO_MAX];
        int64_t back = -1;
        size_t len = chrono_iso_format(text, ms);

        cr_assert_eq(chrono_iso_parse(str_of_bytes(text, len), &back), 0, "%s", text);
        cr_assert_eq(back, ms, "%s", text);
    }
}

Test(chrono, moments_outside_four_digit_years_are_clamped)
{
    char text[CHRONO_ISO_MAX];

    chrono_iso_format(text, INT64_MIN);
    cr_expect_str_eq(text, "0001-01-01T00:00:00.000Z");
    chrono_iso_format(text, INT64_MAX);
    cr_expect_str_eq(text, "9999-12-31T23:59:59.999Z");
}

Test(chrono, a_text_of_a_moment_is_read_in_every_allowed_form)
{
    static const struct {
        const char *text;
        int64_t wall_ms;
    } rows[] = {{"1970-01-02", 86400000},           {"1970-01-01T00:01", 60000},
                {"1970-01-01 00:01", 60000},        {"1970-01-01T00:00:01", 1000},
                {"1970-01-01T00:00:01Z", 1000},     {"1970-01-01T00:00:00.5Z", 500},
                {"1970-01-01T00:00:00.1239Z", 123}, {"1970-01-01T00:00:00.123456789", 123},
                {"1970-01-01T01:30+01:30", 0},      {"1969-12-31T22:30:00-01:30", 0}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = -1;

        cr_expect_eq(chrono_iso_parse(str_from(rows[i].text), &ms), 0, "%s", rows[i].text);
        cr_expect_eq(ms, rows[i].wall_ms, "%s", rows[i].text);
    }
}

Test(chrono, anything_else_is_refused_and_leaves_the_result_alone)
{
    static const char *const rows[] = {
        "",
        "1970",
        "1970-01",
        "1970-1-1",
        "0000-01-01",
        "1970-00-01",
        "1970-13-01",
        "1970-01-00",
        "1970-01-32",
        "1970-02-29",
        "2100-02-29",
        "1970-04-31",
        "1970-01-01T",
        "1970-01-01T24:00",
        "1970-01-01T00:60",
        "1970-01-01T00:00:60",
        "1970-01-01T00",
        "1970-01-01T00:00:00.",
        "1970-01-01T00:00:00.1234567890",
        "1970-01-01T00:00Zx",
        "1970-01-01T00:00z",
        "1970-01-01T00:00+1:00",
        "1970-01-01T00:00+0100",
        "1970-01-01T00:00+24:00",
        "1970-01-01T00:00+01:60",
        "1970-01-01Z",
        " 1970-01-01",
        "+970-01-01",
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = 42;

        cr_expect_eq(chrono_iso_parse(str_from(rows[i]), &ms), ERR_INVALID, "%s", rows[i]);
        cr_expect_eq(ms, 42, "%s", rows[i]);
    }
}

Test(chrono, the_monotonic_clock_does_not_go_back)
{
    uint64_t before_ns = chrono_mono_ns();
    uint64_t before_ms = chrono_mono_ms();

    cr_expect_geq(chrono_mono_ns(), before_ns);
    cr_expect_geq(before_ms, before_ns / 1000000);
    cr_expect_gt(chrono_wall_ms(), 1700000000000);
}
