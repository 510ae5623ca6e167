#include <criterion/criterion.h>

#include "broker/base/mem.h"

Test(base, str_compares_bytes)
{
    static const struct {
        struct str a, b;
        bool equal, prefix; /* is b a prefix of a */
    } rows[] = {{{NULL, 0}, {NULL, 0}, true, true},
                {STR_LITERAL("a"), {NULL, 0}, false, true},
                {STR_LITERAL("abc"), STR_LITERAL("abc"), true, true},
                {STR_LITERAL("abc"), STR_LITERAL("ab"), false, true},
                {STR_LITERAL("ab"), STR_LITERAL("abc"), false, false},
                {STR_LITERAL("a\0b"), STR_LITERAL("a\0c"), false, false}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_expect_eq(str_equal(rows[i].a, rows[i].b), rows[i].equal, "row %zu", i);
        cr_expect_eq(str_has_prefix(rows[i].a, rows[i].b), rows[i].prefix, "row %zu", i);
    }
}

Test(base, stored_numbers_are_little_endian_at_any_place)
{
    uint8_t bytes[9] = {0};

    store_u64(bytes + 1, 0x0807060504030201);
    for (uint8_t i = 0; i < 9; i++)
        cr_expect_eq(bytes[i], i);
    cr_expect_eq(load_u64(bytes + 1), 0x0807060504030201);
    cr_expect_eq(load_u32(bytes + 1), 0x04030201);
    cr_expect_eq(load_u16(bytes + 1), 0x0201);
    store_u32(bytes + 1, 0xdddccdd);
    store_u16(bytes + 5, 0xbbaa);
    cr_expect_eq(load_u32(bytes + 1), 0xdddccdd);
    cr_expect_eq(load_u16(bytes + 5), 0xbbaa);
}

Test(base, container_of_gives_back_the_whole)
{
    struct whole {
        int before, part;
    } whole;

    cr_expect_eq(CONTAINER_OF(&whole.part, struct whole, part), &whole);
}

Test(mem, new_memory_is_zero_and_a_copied_text_ends)
{
    static const char zeros[100];
    char *memory = mem_new(sizeof zeros);
    char *text = mem_copy_text(str_of_bytes("abcdef", 3));
    char *empty = mem_copy_text((struct str){NULL, 0});

    cr_expect_eq(memcmp(memory, zeros, sizeof zeros), 0);
    cr_expect_str_eq(text, "abc");
    cr_expect_str_eq(empty, "");
    mem_free(memory);
    mem_free(text);
    mem_free(empty);
    mem_free(NULL);
}
