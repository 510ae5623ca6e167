#include "broker/auth/identity.h"

#include <criterion/criterion.h>

Test(identity, a_name_may_stand_in_a_topic_and_in_a_file_name)
{
    static const struct {
        struct str name;
        bool valid;
    } rows[] = {
        {{"bike-1", 6}, true},
        {{"x", 1}, true},
        {{"0123456789012345678901234567890123456789012345678901234567890123", 64}, true},
        {{"fahrrad-\xc3\xbc", 10}, true},
        {{"...", 3}, true},
        {{".hidden", 7}, true},
        {{"a:b*c%u", 7}, true},
        {{"", 0}, false},
        {{"01234567890123456789012345678901234567890123456789012345678901234", 65}, false},
        {{".", 1}, false},
        {{"..", 2}, false},
        {{"a/b", 3}, false},
        {{"/", 1}, false},
        {{"../x", 4}, false},
        {{"+", 1}, false},
        {{"a+", 2}, false},
        {{"#", 1}, false},
        {{"a#", 2}, false},
        {{"$SYS", 4}, false},
        {{"a$", 2}, false},
        {{"a\\b", 3}, false},
        {{"a b", 3}, false},
        {{" a", 2}, false},
        {{"a\0b", 3}, false},
        {{"a\nb", 3}, false},
        {{"a\tb", 3}, false},
        {{"a\x7f", 2}, false},
        {{"a\xc2\x80", 3}, false},    /* U+0080, a control character */
        {{"a\xc2\x9f", 3}, false},    /* U+009F */
        {{"a\xc2\xa0", 3}, true},     /* U+00A0 is not one */
        {{"a\xc2", 2}, false},        /* cut */
        {{"\xc0\xaf", 2}, false},     /* "/" in a longer form than it has */
        {{"\xed\xa0\x80", 3}, false}, /* half a surrogate pair */
        {{"\xff\xfe", 2}, false},
        {{"a\xf4\x90\x80\x80", 5}, false}, /* past U+10FFFF */
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(identity_name_valid(rows[i].name), rows[i].valid, "row %zu", i);
}

Test(identity, a_certificate_names_a_bike_or_a_service_or_nobody)
{
    static const struct {
        struct str cn, ou;
        int rc;
        enum identity_kind kind;
        const char *why;
    } rows[] = {
        {{"bike-1", 6}, {"bike", 4}, 0, IDENTITY_BIKE, NULL},
        {{"dash", 4}, {"service", 7}, 0, IDENTITY_SERVICE, NULL},
        {{"bike-1", 6}, {"", 0}, 0, IDENTITY_BIKE, NULL},
        {{"bike-1", 6}, {"SERVICE", 7}, 0, IDENTITY_BIKE, NULL},
        {{"bike-1", 6}, {"service\0x", 9}, 0, IDENTITY_BIKE, NULL},
        {{"bike-1", 6}, {"services", 8}, 0, IDENTITY_BIKE, NULL},
        {{"", 0}, {"bike", 4}, ERR_DENIED, 0, "empty"},
        {{"+", 1}, {"bike", 4}, ERR_DENIED, 0, "+ # /"},
        {{"#", 1}, {"service", 7}, ERR_DENIED, 0, "+ # /"},
        {{"bike-1\0", 7}, {"bike", 4}, ERR_DENIED, 0, "UTF-8"},
        {{"\xff", 1}, {"bike", 4}, ERR_DENIED, 0, "UTF-8"},
        {{"..", 2}, {"bike", 4}, ERR_DENIED, 0, "folder"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail detail = {""};
        struct identity who;

        cr_expect_eq(identity_from_certificate(rows[i].cn, rows[i].ou, &who, &detail), rows[i].rc,
                     "row %zu", i);
        if (rows[i].rc) {
            cr_expect_not_null(strstr(detail.text, rows[i].why), "row %zu: %s", i, detail.text);
            continue;
        }
        cr_expect_eq(who.kind, rows[i].kind, "row %zu", i);
        cr_expect(str_equal((struct str){who.name, who.name_len}, rows[i].cn), "row %zu", i);
        cr_expect_eq(who.name[who.name_len], '\0', "row %zu", i);
    }
}
