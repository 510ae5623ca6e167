#include <criterion/criterion.h>

#include <math.h>

#include "broker/base/err.h"
#include "broker/base/json_out.h"

static bool text_is(struct json_out *j, const char *expected)
{
    struct str text;

    return json_out_text(j, &text) == 0 && str_equal(text, str_from(expected));
}

Test(json_out, nests_and_separates)
{
    struct json_out j;

    json_out_init(&j, 4096);
    json_out_object_begin(&j);
    json_out_member_text(&j, "name", "hub");
    json_out_member_uint(&j, "big", UINT64_MAX);
    json_out_member_int(&j, "small", INT64_MIN);
    json_out_member_bool(&j, "up", true);
    json_out_key(&j, "none");
    json_out_null(&j);
    json_out_key(&j, "list");
    json_out_array_begin(&j);
    json_out_array_begin(&j);
    json_out_array_end(&j);
    json_out_object_begin(&j);
    json_out_object_end(&j);
    json_out_int(&j, 1);
    json_out_int(&j, 2);
    json_out_array_end(&j);
    json_out_object_end(&j);
    cr_expect(text_is(&j, "{\"name\":\"hub\",\"big\":18446744073709551615,"
                          "\"small\":-9223372036854775808,\"up\":true,\"none\":null,"
                          "\"list\":[[],{},1,2]}"));
    json_out_fini(&j);
}

/* RFC 8259 section 7; what is not UTF-8 becomes U+FFFD, one for each byte. */
Test(json_out, escapes_text)
{
    static const struct {
        struct str in;
        const char *out;
    } rows[] = {
        {STR_LITERAL("a\"b\\c"), "\"a\\\"b\\\\c\""},
        {STR_LITERAL("\n\r\t\b\f"), "\"\\n\\r\\t\\b\\f\""},
        {STR_LITERAL("\0\x1f\x7f"), "\"\\u0000\\u001f\\u007f\""},
        {STR_LITERAL("F\xc3\xa4hre \xf0\x9f\x9a\xb2"), "\"F\xc3\xa4hre \xf0\x9f\x9a\xb2\""},
        {STR_LITERAL("\xff"), "\"\xef\xbf\xbd\""},
        {STR_LITERAL("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {STR_LITERAL("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {STR_LITERAL("x\xe2\x82"), "\"x\xef\xbf\xbd\xef\xbf\xbd\""},
        {STR_LITERAL(""), "\"\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json_out j;

        json_out_init(&j, 4096);
        json_out_str(&j, rows[i].in);
        cr_expect(text_is(&j, rows[i].out), "row %zu", i);
        json_out_fini(&j);
    }
}

Test(json_out, doubles_are_short_and_exact)
{
    static const struct {
        double number;
        const char *text;
    } rows[] = {{0.1, "0.1"},   {1.0 / 3, "0.3333333333333333"},
                {-2.5, "-2.5"}, {1e300, "1e+300"},
                {NAN, "null"},  {INFINITY, "null"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json_out j;

        json_out_init(&j, 64);
        json_out_double(&j, rows[i].number);
        cr_expect(text_is(&j, rows[i].text), "%s", rows[i].text);
        json_out_fini(&j);
    }
}

/* The bound is kept to the byte, and a text cut short is never handed out. */
Test(json_out, stops_at_its_bound)
{
    for (size_t max = 0; max <= 5; max++) {
        struct json_out j;
        struct str text;

        json_out_init(&j, max);
        json_out_str(&j, STR_LITERAL("abc"));
        cr_expect_eq(json_out_text(&j, &text), max == 5 ? 0 : ERR_TOO_LARGE, "max %zu", max);
        json_out_fini(&j);
    }
}
