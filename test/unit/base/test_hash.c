#include <criterion/criterion.h>

#include "broker/base/hash.h"

/* From the reference implementation: key 00..0f, message 00, 01, 02 ... of the row's length. */
Test(hash, siphash_2_4_test_vectors)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {{0, 0x726fdb47dd0e0e31},  {1, 0x74f839c593dc67fd}, {2, 0x0d6c8009d9a94f5a},
                {7, 0xab0200f58b01d137},  {8, 0x93f5f5799a932462}, {9, 0x9e0082df0ba9e4b0},
                {15, 0xa129ca6149be45e5}, {63, 0x958a324ceb064572}};
    struct hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    char message[64];

    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (char)i;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(hash_keyed(key, str_of_bytes(message, rows[i].len)), rows[i].hash,
                     "length %zu", rows[i].len);
}

Test(hash, the_key_decides)
{
    struct hash_key a = {1, 2}, b = {1, 3};

    cr_expect_neq(hash_keyed(a, STR_LITERAL("bike-1")), hash_keyed(b, STR_LITERAL("bike-1")));
}

Test(hash, a_process_keeps_its_key)
{
    cr_expect_eq(hash_bytes(STR_LITERAL("bike-1")), hash_bytes(STR_LITERAL("bike-1")));
    cr_expect_neq(hash_bytes(STR_LITERAL("bike-1")), hash_bytes(STR_LITERAL("bike-2")));
    cr_expect_neq(hash_bytes(STR_LITERAL("bike-1")),
                  hash_keyed((struct hash_key){0, 0}, STR_LITERAL("bike-1")));
}
