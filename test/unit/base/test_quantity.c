#include <criterion/criterion.h>

#include "broker/base/quantity.h"

/* A whole number and a unit; only zero stands alone. */
Test(quantity, sizes_need_a_unit)
{
    static const struct {
        const char *text;
        bool valid;
        uint64_t bytes;
    } rows[] = {
        {"0", true, 0},
        {"1B", true, 1},
        {"64KiB", true, 65536},
        {"64 KiB", true, 65536},
        {"20GiB", true, 20ull << 30},
        {"8388607TiB", true, 8388607ull << 40},
        {"8388608TiB", false, 0},
        {"99999999999999999999B", false, 0},
        {"64", false, 0},
        {"", false, 0},
        {"KiB", false, 0},
        {"64kb", false, 0},
        {"-1B", false, 0},
        {"1.5MiB", false, 0},
        {"64KiB ", false, 0},
        {"64KiBx", false, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t bytes = 77;
        int rc = size_parse(str_from(rows[i].text), &bytes);

        cr_expect_eq(rc == 0, rows[i].valid, "\"%s\"", rows[i].text);
        if (rc == 0)
            cr_expect_eq(bytes, rows[i].bytes, "\"%s\"", rows[i].text);
    }
}

Test(quantity, durations_need_a_unit)
{
    static const struct {
        const char *text;
        bool valid;
        uint64_t ms;
    } rows[] = {
        {"0", true, 0},         {"10ms", true, 10},     {"30s", true, 30000},
        {"2min", true, 120000}, {"1h", true, 3600000},  {"7d", true, 604800000},
        {"30", false, 0},       {"5 apples", false, 0}, {"1m", false, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t ms = 77;
        int rc = duration_parse(str_from(rows[i].text), &ms);

        cr_expect_eq(rc == 0, rows[i].valid, "\"%s\"", rows[i].text);
        if (rc == 0)
            cr_expect_eq(ms, rows[i].ms, "\"%s\"", rows[i].text);
    }
}

Test(quantity, counts_are_digits_only)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {{"0", true},
                {"64", true},
                {"9223372036854775807", true},
                {"9223372036854775808", false},
                {"", false},
                {"-1", false},
                {"0x10", false},
                {"1 ", false},
                {"1e3", false}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t value;

        cr_expect_eq(count_parse(str_from(rows[i].text), &value) == 0, rows[i].valid, "\"%s\"",
                     rows[i].text);
    }
}

/* The shortest exact form, which reads back as the same value. */
Test(quantity, formats_read_back)
{
    static const struct {
        uint64_t value;
        const char *size, *duration;
    } rows[] = {
        {0, "0", "0"},
        {1, "1B", "1ms"},
        {65536, "64KiB", "65536ms"},
        {90000, "90000B", "90s"},
        {86400000, "84375KiB", "1d"},
        {1536ull << 20, "1536MiB", "1610612736ms"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[QUANTITY_MAX];
        uint64_t back;

        cr_expect_eq(size_format(text, rows[i].value), strlen(text));
        cr_expect_str_eq(text, rows[i].size);
        cr_expect(size_parse(str_from(text), &back) == 0 && back == rows[i].value);
        duration_format(text, rows[i].value);
        cr_expect_str_eq(text, rows[i].duration);
        cr_expect(duration_parse(str_from(text), &back) == 0 && back == rows[i].value);
    }
}
