#include "broker/cli/csv.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/base/chrono.h"

/* What a writer made: the file's bytes, terminated. */
static char text[1 << 20];

static int make(void)
{
    int fd = memfd_create("csv", 0);

    cr_assert_geq(fd, 0);
    return fd;
}

static const char *finish(struct csv *c, int fd)
{
    ssize_t len;

    cr_assert_eq(csv_end(c), 0);
    len = pread(fd, text, sizeof text - 1, 0);
    cr_assert_geq(len, 0);
    text[len] = '\0';
    close(fd);
    return text;
}

Test(csv, rows_end_with_crlf_and_missing_is_empty)
{
    int fd = make();
    struct csv *c;

    cr_assert_eq(csv_new(&c, fd), 0);
    csv_text(c, STR_LITERAL("a"));
    csv_empty(c);
    csv_uint(c, 7);
    cr_expect(csv_row(c));
    csv_empty(c);
    csv_empty(c);
    cr_expect(csv_row(c));
    cr_expect_str_eq(finish(c, fd), "a,,7\r\n,\r\n");
}

/* RFC 4180 2.5 to 2.7, and the guard against formulas. */
Test(csv, text_is_quoted_and_guarded)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"plain", "plain"},
                {"a,b", "\"a,b\""},
                {"say \"x\"", "\"say \"\"x\"\"\""},
                {"a\r\nb", "\"a\r\nb\""},
                {"=1+1", "'=1+1"},
                {"+49", "'+49"},
                {"-1", "'-1"},
                {"@cmd", "'@cmd"},
                {"\tx", "'\tx"},
                {"\rx", "\"'\rx\""},
                {"=a,\"b\"", "\"'=a,\"\"b\"\"\""},
                {"a=b", "a=b"},
                {"", ""},
                {"\xc3\xbc", "\xc3\xbc"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char expected[64];
        int fd = make();
        struct csv *c;

        cr_assert_eq(csv_new(&c, fd), 0);
        csv_text(c, str_from(rows[i].in));
        cr_expect(csv_row(c));
        snprintf(expected, sizeof expected, "%s\r\n", rows[i].out);
        cr_expect_str_eq(finish(c, fd), expected, "row %zu", i);
    }
}

Test(csv, decimals_are_exact)
{
    static const struct {
        int64_t value;
        unsigned decimals;
        const char *out;
    } rows[] = {
        {0, 0, "0"},
        {0, 2, "0.00"},
        {5, 2, "0.05"},
        {-5, 2, "-0.05"},
        {-100, 2, "-1.00"},
        {12345, 2, "123.45"},
        {1, 7, "0.0000001"},
        {-900000000, 7, "-90.0000000"},
        {10, 1, "1.0"},
        {9, 1, "0.9"},
        {100000, 0, "100000"},
        {INT64_MAX, 0, "9223372036854775807"},
        {INT64_MIN, 0, "-9223372036854775808"},
        {INT64_MIN, 18, "-9.223372036854775808"},
        {INT64_MAX, 7, "922337203685.4775807"},
        {999, 3, "0.999"},
        {1000, 3, "1.000"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char expected[64];
        int fd = make();
        struct csv *c;

        cr_assert_eq(csv_new(&c, fd), 0);
        csv_decimal(c, rows[i].value, rows[i].decimals);
        cr_expect(csv_row(c));
        snprintf(expected, sizeof expected, "%s\r\n", rows[i].out);
        cr_expect_str_eq(finish(c, fd), expected);
    }
}

Test(csv, every_length_of_number)
{
    int fd = make();
    char expected[2048] = "";
    struct csv *c;
    uint64_t value = 1;

    cr_assert_eq(csv_new(&c, fd), 0);
    for (int digits = 1; digits <= 20; digits++, value *= 10) {
        csv_uint(c, value - 1);
        csv_uint(c, value);
        cr_expect(csv_row(c));
        snprintf(expected + strlen(expected), 64, "%llu,%llu\r\n", (unsigned long long)(value - 1),
                 (unsigned long long)value);
    }
    csv_uint(c, UINT64_MAX);
    cr_expect(csv_row(c));
    strcat(expected, "18446744073709551615\r\n");
    cr_expect_str_eq(finish(c, fd), expected);
}

/* The same text as chrono_iso_format(), in any order of days, also out of range. */
Test(csv, times_are_those_of_chrono)
{
    static const int64_t times[] = {0,
                                    -1,
                                    1,
                                    86399999,
                                    86400000,
                                    -86400000,
                                    -86400001,
                                    1764000000123,
                                    1764000000123 + 4 * INT64_C(86400000),
                                    1709164800000, /* 29 February */
                                    253402300799999,
                                    253402300800000,
                                    -62135596800000,
                                    -62135596800001,
                                    INT64_MAX,
                                    INT64_MIN,
                                    1764000000123};
    char expected[4096] = "";
    int fd = make();
    struct csv *c;

    cr_assert_eq(csv_new(&c, fd), 0);
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        char iso[CHRONO_ISO_MAX];

        csv_time(c, times[i]);
        cr_expect(csv_row(c));
        chrono_iso_format(iso, times[i]);
        strcat(strcat(expected, iso), "\r\n");
    }
    cr_expect_str_eq(finish(c, fd), expected);
}

/* More than the buffer, of the longest cells; longer ones are cut. */
Test(csv, any_amount_passes_the_buffer)
{
    static char quotes[CSV_TEXT_MAX_BYTES + 10];
    size_t cell = 2 * CSV_TEXT_MAX_BYTES + 2, row = 3 * cell + 4;
    int fd = make();
    struct csv *c;

    memset(quotes, '"', sizeof quotes);
    cr_assert_eq(csv_new(&c, fd), 0);
    for (int i = 0; i < 40; i++) {
        for (int k = 0; k < 3; k++)
            csv_text(c, str_of_bytes(quotes, sizeof quotes));
        cr_expect(csv_row(c));
    }
    cr_expect_eq(strlen(finish(c, fd)), 40 * row);
    for (size_t i = 0; i < 40 * row; i++) {
        size_t at = i % row;
        char expected = at == row - 2           ? '\r'
                        : at == row - 1         ? '\n'
                        : (at + 1) % (cell + 1) ? '"'
                                                : ',';

        cr_assert_eq(text[i], expected, "byte %zu", i);
    }
}

Test(csv, failures_stay_and_are_told_at_the_end)
{
    int pipes[2], full = open("/dev/full", O_WRONLY), closed = open("/dev/null", O_RDONLY);
    const struct {
        int fd, rc;
    } rows[] = {{full, ERR_NOSPACE}, {closed, ERR_IO}, {-1, ERR_CLOSED}};

    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(pipes), 0);
    close(pipes[0]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool ok = true;
        struct csv *c;

        cr_assert_eq(csv_new(&c, rows[i].fd < 0 ? pipes[1] : rows[i].fd), 0);
        for (int r = 0; r < 100000 && ok; r++) {
            csv_uint(c, 1234567);
            ok = csv_row(c);
        }
        cr_expect(!ok, "row %zu", i);
        cr_expect_eq(csv_end(c), rows[i].rc, "row %zu", i);
    }
    close(pipes[1]);
    close(full);
    close(closed);
}

/* A cell of hex may be longer than the writer's buffer. */
Test(csv, hex_of_any_length)
{
    static uint8_t bytes[200 * 1024];
    static const size_t lengths[] = {0, 1, 1000, sizeof bytes};

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        int fd = make();
        struct csv *c;
        const char *out;

        cr_assert_eq(csv_new(&c, fd), 0);
        csv_uint(c, 1);
        csv_hex(c, str_of_bytes(bytes, lengths[i]));
        csv_uint(c, 2);
        cr_expect(csv_row(c));
        out = finish(c, fd);
        cr_assert_eq(strlen(out), 2 * lengths[i] + 6, "%zu bytes", lengths[i]);
        for (size_t b = 0; b < lengths[i]; b++) {
            char pair[3];

            snprintf(pair, sizeof pair, "%02x", bytes[b]);
            cr_assert_arr_eq(out + 2 + 2 * b, pair, 2, "byte %zu", b);
        }
        cr_expect_str_eq(out + 2 + 2 * lengths[i], ",2\r\n");
    }
}
