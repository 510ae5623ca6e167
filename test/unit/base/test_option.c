#include <criterion/criterion.h>

#include "broker/base/option.h"

Test(option, says_what_is_wrong)
{
    static const struct argp_option first[] = {{"data", 'd', "DIR", 0, "a folder", 0},
                                               {NULL, 0, NULL, 0, "a heading", 1},
                                               {"check", 'c', NULL, 0, "only check", 1},
                                               {NULL, 0, NULL, 0, NULL, 0}};
    static const struct argp_option second[] = {{"listen", 'l', "URL", 0, "a place", 0},
                                                {NULL, 0, NULL, 0, NULL, 0}};
    const struct argp_option *const lists[] = {first, NULL, second};
    static const struct {
        const char *word, *expected;
    } rows[] = {
        {"--data", "--data needs a value: --data DIR"},
        {"--check=no", "--check takes no value"},
        {"--lisen", "unknown option \"--lisen\": did you mean --listen?"},
        {"--lisen=x", "unknown option \"--lisen=x\": did you mean --listen?"},
        {"--chekc", "unknown option \"--chekc\": did you mean --check?"},
        {"--frob", "unknown option \"--frob\"; see prog --help"},
        {"-x", "unknown option \"-x\", or one without its value; see prog --help"},
        {"", "unknown option \"\", or one without its value; see prog --help"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail detail;

        cr_expect_eq(option_refuse(rows[i].word, lists, ARRAY_LEN(lists), "prog", &detail),
                     ERR_INVALID);
        cr_expect_str_eq(detail.text, rows[i].expected);
    }
}
