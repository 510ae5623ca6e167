#include <criterion/criterion.h>

#include "broker/base/buf.h"
#include "test/unit/failing.h"

Test(buf, grows_with_what_is_added)
{
    struct buf b;

    buf_init(&b, 100000);
    for (int i = 0; i < 1000; i++) {
        buf_add(&b, "abc", 3);
        buf_add_byte(&b, '-');
        buf_add_str(&b, STR_LITERAL("xyz"));
        buf_add(&b, NULL, 0);
    }
    cr_expect_eq(buf_err(&b), 0);
    cr_assert_eq(b.len, 7000);
    cr_expect(str_equal(str_of_bytes(b.at + 6993, 7), STR_LITERAL("abc-xyz")));
    buf_fini(&b);
    cr_expect_eq(b.len, 0);
    cr_expect_null(b.at);
}

Test(buf, is_filled_to_the_last_byte_of_its_maximum_and_not_further)
{
    struct buf b;

    buf_init(&b, 100);
    for (int i = 0; i < 100; i++)
        buf_add_byte(&b, 'a');
    cr_expect_eq(buf_err(&b), 0);
    cr_expect_leq(b.room, 100);
    buf_add_byte(&b, 'b');
    cr_expect_eq(buf_err(&b), ERR_TOO_LARGE);
    cr_expect_eq(b.len, 100);
    buf_fini(&b);
}

Test(buf, failure_sticks_until_it_is_cleared)
{
    struct buf b;

    buf_init(&b, 4);
    buf_add(&b, "12345", 5);
    buf_add(&b, "1", 1);
    buf_add_format(&b, "%d", 1);
    cr_expect_eq(buf_err(&b), ERR_TOO_LARGE);
    cr_expect_null(buf_reserve(&b, 1));
    cr_expect_eq(b.len, 0);
    buf_clear(&b);
    buf_add(&b, "1234", 4);
    cr_expect_eq(buf_err(&b), 0);
    cr_expect(str_equal(buf_str(&b), STR_LITERAL("1234")));
    buf_fini(&b);
}

Test(buf, a_size_that_would_overflow_is_too_large)
{
    struct buf b;

    buf_init(&b, SIZE_MAX);
    buf_add_byte(&b, 'a');
    cr_expect_null(buf_reserve(&b, SIZE_MAX));
    cr_expect_eq(buf_err(&b), ERR_TOO_LARGE);
    buf_fini(&b);
}

Test(buf, no_memory_is_a_failure_that_keeps_the_content)
{
    struct buf b;

    buf_init(&b, 10000);
    buf_add(&b, "abc", 3);
    failing_mem_at(0);
    cr_expect_null(buf_reserve(&b, 1000));
    cr_expect(failing_mem_hit());
    cr_expect_eq(buf_err(&b), ERR_NOMEM);
    buf_add_byte(&b, 'd');
    cr_expect(str_equal(buf_str(&b), STR_LITERAL("abc")));
    buf_fini(&b);
}

Test(buf, format_without_memory_is_a_failure_at_each_allocation)
{
    struct buf b;

    for (int n = 0; n < 2; n++) { /* the text of its own, then the buffer's growth */
        buf_init(&b, 10000);
        failing_mem_at(n);
        buf_add_format(&b, "%0200d", 1);
        cr_expect(failing_mem_hit());
        cr_expect_eq(buf_err(&b), ERR_NOMEM);
        cr_expect_eq(b.len, 0);
        buf_fini(&b);
    }
}

Test(buf, format_takes_no_room_for_a_terminator)
{
    struct buf b;

    buf_init(&b, 8);
    buf_add_format(&b, "%s-%d", "abc", 1234);
    cr_expect_eq(buf_err(&b), 0);
    cr_expect(str_equal(buf_str(&b), STR_LITERAL("abc-1234")));
    buf_add_format(&b, "%s", "");
    cr_expect_eq(buf_err(&b), 0);
    buf_add_format(&b, "%d", 5);
    cr_expect_eq(buf_err(&b), ERR_TOO_LARGE);
    buf_fini(&b);
}

Test(buf, format_appends_in_place_and_across_growth)
{
    struct buf b;

    buf_init(&b, 100000);
    for (int i = 0; i < 1000; i++)
        buf_add_format(&b, "%03d,", i);
    cr_assert_eq(b.len, 4000);
    cr_expect(str_equal(str_of_bytes(b.at, 8), STR_LITERAL("000,001,")));
    cr_expect(str_equal(str_of_bytes(b.at + 3996, 4), STR_LITERAL("999,")));
    buf_fini(&b);
}

Test(buf, reserved_bytes_count_once_they_are_extended)
{
    struct buf b;
    uint8_t *room;

    buf_init(&b, 1000);
    buf_add(&b, "ab", 2);
    room = buf_reserve(&b, 500);
    cr_assert_not_null(room);
    memcpy(room, "cd", 2);
    cr_expect_eq(b.len, 2);
    buf_extend(&b, 2);
    cr_expect(str_equal(buf_str(&b), STR_LITERAL("abcd")));
    buf_fini(&b);
}

Test(buf, dropping_the_front_keeps_the_rest)
{
    struct buf b;

    buf_init(&b, 1000);
    buf_add(&b, "abcdef", 6);
    buf_drop_front(&b, 0);
    buf_drop_front(&b, 2);
    cr_expect(str_equal(buf_str(&b), STR_LITERAL("cdef")));
    buf_drop_front(&b, 4);
    cr_expect_eq(b.len, 0);
    buf_fini(&b);
}
