#include <criterion/criterion.h>

#include <errno.h>

#include "broker/base/err.h"

Test(err, every_code_has_a_text_of_its_own)
{
    static const int codes[] = {
#define ERR_NUMBER(name, number, text) name,
        ERR_LIST(ERR_NUMBER)
#undef ERR_NUMBER
    };

    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        cr_expect_lt(codes[i], 0);
        cr_expect_str_neq(err_text(codes[i]), "unknown error");
        for (size_t j = 0; j < i; j++)
            cr_expect_str_neq(err_text(codes[i]), err_text(codes[j]));
    }
    cr_expect_str_eq(err_text(0), "ok");
    cr_expect_str_eq(err_text(-9999), "unknown error");
}

Test(err, system_errors_are_translated)
{
    static const struct {
        int system_errno, code;
    } rows[] = {{0, 0},
                {ENOMEM, ERR_NOMEM},
                {ENOSPC, ERR_NOSPACE},
                {EDQUOT, ERR_NOSPACE},
                {EROFS, ERR_READONLY},
                {EACCES, ERR_DENIED},
                {ENOENT, ERR_NOTFOUND},
                {EIO, ERR_IO},
                {ECONNRESET, ERR_IO}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(err_from_errno(rows[i].system_errno), rows[i].code, "row %zu", i);
}

Test(err, a_detail_is_cut_to_fit_and_may_be_absent)
{
    struct err_detail detail;

    cr_expect_eq(err_set(&detail, ERR_IO, "%s: %d", "core.mdb", 5), ERR_IO);
    cr_expect_str_eq(detail.text, "core.mdb: 5");
    cr_expect_eq(err_set(NULL, ERR_IO, "%s", "unread"), ERR_IO);
    err_set(&detail, ERR_IO, "%01000d", 1);
    cr_expect_eq(strlen(detail.text), ERR_DETAIL_MAX - 1);
}
