#include <criterion/criterion.h>

#include <locale.h>
#include <stdlib.h>

#include "broker/cli/output.h"

static const struct output_column columns[] = {
    {"bike_id", OUTPUT_TEXT}, {"samples", OUTPUT_NUMBER}, {"note", OUTPUT_TEXT}};

static const char *const rows[][3] = {{"bike-1", "12", "a \"b\", c"}, {"Kölner Rad", "5", NULL}};

static char *print(enum output_format format, size_t row_count)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    struct output *o;

    cr_assert_eq(output_begin(&o, to, format, columns, ARRAY_LEN(columns)), 0);
    for (size_t i = 0; i < row_count; i++)
        cr_assert_eq(output_row(o, rows[i]), 0);
    cr_assert_eq(output_end(o), 0);
    fclose(to);
    return text;
}

static void expect_print(enum output_format format, size_t row_count, const char *expected)
{
    char *text = print(format, row_count);

    cr_expect_str_eq(text, expected);
    free(text);
}

/* RFC 4180: CRLF, quotes doubled; no value is empty. */
Test(output, csv)
{
    expect_print(OUTPUT_CSV, 0, "bike_id,samples,note\r\n");
    expect_print(OUTPUT_CSV, 2,
                 "bike_id,samples,note\r\n"
                 "bike-1,12,\"a \"\"b\"\", c\"\r\n"
                 "Kölner Rad,5,\r\n");
}

/* A cell that a spreadsheet would run is made text; a negative number is none. */
Test(output, csv_guards_formulas)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    struct output *o;

    cr_assert_eq(output_begin(&o, to, OUTPUT_CSV, columns, ARRAY_LEN(columns)), 0);
    cr_assert_eq(output_row(o, (const char *const[]){"=1+2", "-5", "@a,b"}), 0);
    cr_assert_eq(output_end(o), 0);
    fclose(to);
    cr_expect_str_eq(text, "bike_id,samples,note\r\n'=1+2,-5,\"'@a,b\"\r\n");
    free(text);
}

/* An array also when it is empty; numbers bare; no value is null. */
Test(output, json)
{
    expect_print(OUTPUT_JSON, 0, "[]\n");
    expect_print(OUTPUT_JSON, 2,
                 "[\n{\"bike_id\":\"bike-1\",\"samples\":12,\"note\":\"a \\\"b\\\", c\"},\n"
                 "{\"bike_id\":\"Kölner Rad\",\"samples\":5,\"note\":null}\n]\n");
}

/* Numbers to the right, "-" for no value, nothing at all without rows. */
Test(output, table)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    expect_print(OUTPUT_TABLE, 0, "");
    expect_print(OUTPUT_TABLE, 2,
                 "BIKE ID    SAMPLES NOTE\n"
                 "bike-1          12 a \"b\", c\n"
                 "Kölner Rad       5 -\n");
}

/* A control sequence in stored text does not reach the terminal. */
Test(output, table_escapes_control_bytes)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    struct output *o;

    setlocale(LC_CTYPE, "C.UTF-8");
    cr_assert_eq(output_begin(&o, to, OUTPUT_TABLE, columns, ARRAY_LEN(columns)), 0);
    cr_assert_eq(output_row(o, (const char *const[]){"a\x1b[2Jb", "1", "c\nd"}), 0);
    cr_assert_eq(output_end(o), 0);
    fclose(to);
    cr_expect(strchr(text, 0x1b) == NULL, "%s", text);
    free(text);
}

Test(output, a_full_disk_is_reported)
{
    for (int format = OUTPUT_TABLE; format <= OUTPUT_CSV; format++) {
        FILE *to = fopen("/dev/full", "w");
        struct output *o;
        int rc;

        cr_assert(to);
        cr_assert_eq(output_begin(&o, to, (enum output_format)format, columns, 3), 0);
        rc = output_row(o, rows[0]);
        rc = output_end(o) || rc ? ERR_IO : 0;
        cr_expect_eq(rc, ERR_IO, "format %d", format);
        fclose(to);
    }
}

Test(output, formats_have_names)
{
    static const struct {
        const char *name;
        int rc;
        enum output_format format;
    } names[] = {{"table", 0, OUTPUT_TABLE}, {"json", 0, OUTPUT_JSON}, {"csv", 0, OUTPUT_CSV},
                 {"xml", ERR_INVALID, 0},    {"", ERR_INVALID, 0},     {"JSON", ERR_INVALID, 0}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        enum output_format format = OUTPUT_TABLE;

        cr_expect_eq(output_format_parse(names[i].name, &format), names[i].rc, "%s", names[i].name);
        cr_expect_eq(format, names[i].format, "%s", names[i].name);
    }
}

Test(output, decimals_are_exact)
{
    static const struct {
        int64_t value;
        unsigned decimals;
        const char *text;
    } values[] = {
        {0, 0, "0"},
        {0, 2, "0.00"},
        {5, 2, "0.05"},
        {-5, 2, "-0.05"},
        {1234, 2, "12.34"},
        {-1234, 3, "-1.234"},
        {488588443, 7, "48.8588443"},
        {INT64_MIN, 0, "-9223372036854775808"},
        {INT64_MIN, 18, "-9.223372036854775808"},
        {INT64_MAX, 1, "922337203685477580.7"},
    };

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char text[OUTPUT_DECIMAL_MAX];

        cr_expect_eq(output_decimal(text, values[i].value, values[i].decimals), strlen(text));
        cr_expect_str_eq(text, values[i].text);
    }
}
