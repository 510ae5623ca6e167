#include "broker/server/bufpool.h"

#include <criterion/criterion.h>

static struct bufpool pool;

static void init(void)
{
    bufpool_init(&pool);
}

static void fini(void)
{
    bufpool_fini(&pool);
}

Test(bufpool, a_buffer_grows_and_keeps_its_bytes, .init = init, .fini = fini)
{
    struct buffer b = {0};

    for (uint32_t i = 0; i < 5000; i++)
        cr_assert(buffer_append(&pool, &b, &i, sizeof i));
    cr_expect_eq(b.len, 20000);
    cr_expect_geq(b.room, b.len);
    for (uint32_t i = 0; i < 5000; i++)
        cr_assert_eq(load_u32(b.at + 4 * i), i, "at %u", i);
    buffer_release(&pool, &b);
    cr_expect_eq(b.room, 0);
    cr_expect_null(b.at);
}

Test(bufpool, memory_given_back_is_used_again, .init = init, .fini = fini)
{
    struct buffer first = {0}, second = {0};
    uint8_t *at;

    cr_assert(buffer_reserve(&pool, &first, 100));
    at = first.at;
    buffer_release(&pool, &first);
    cr_assert(buffer_reserve(&pool, &second, 300));
    cr_expect_eq(second.at, at);
    buffer_release(&pool, &second);
}

Test(bufpool, a_class_keeps_no_more_than_its_bound, .init = init, .fini = fini)
{
    static struct buffer many[3 * BUFPOOL_KEPT_BYTES_MAX / (64 * 1024)];

    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        cr_assert(buffer_reserve(&pool, &many[i], 64 * 1024));
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        buffer_release(&pool, &many[i]);
    for (size_t i = 0; i < BUFPOOL_CLASSES; i++)
        cr_expect_leq(pool.classes[i].kept_bytes, (size_t)BUFPOOL_KEPT_BYTES_MAX);
}

Test(bufpool, consuming_moves_the_rest_to_the_front, .init = init, .fini = fini)
{
    struct buffer b = {0};

    cr_assert(buffer_append(&pool, &b, "abcdef", 6));
    buffer_consume(&b, 4);
    cr_expect_eq(b.len, 2);
    cr_expect_arr_eq(b.at, "ef", 2);
    buffer_release(&pool, &b);
}

Test(bufpool, more_than_the_largest_class_is_refused, .init = init, .fini = fini)
{
    struct buffer b = {0};

    cr_assert(buffer_append(&pool, &b, "x", 1));
    cr_expect_not(buffer_reserve(&pool, &b, (size_t)BUFPOOL_SMALLEST << BUFPOOL_CLASSES));
    cr_expect_eq(b.len, 1, "a refusal changes nothing");
    buffer_release(&pool, &b);
}
