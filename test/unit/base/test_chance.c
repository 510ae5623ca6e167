#include <criterion/criterion.h>

#include "broker/base/chance.h"

/* Independent of this code: xoshiro256** from the state 1, 2, 3, 4. */
Test(chance, xoshiro256_starstar_reference_sequence)
{
    static const uint64_t expected[] = {11520,
                                        0,
                                        1509978240,
                                        1215971899390074240,
                                        1216172134540287360,
                                        607988272756665600,
                                        16172922978634559625ULL,
                                        8476171486693032832,
                                        10595114339597558777ULL,
                                        2904607092377533576};
    struct chance c = {{1, 2, 3, 4}};

    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        cr_expect_eq(chance_next(&c), expected[i], "number %zu", i);
}

/* Independent of this code: splitmix64 from the seed 0. */
Test(chance, the_seed_is_spread_by_splitmix64)
{
    struct chance c;

    chance_seed(&c, 0);
    cr_expect_eq(c.state[0], 0xe220a8397b1dcdaf);
    cr_expect_eq(c.state[1], 0x6e789e6aa1b965f4);
    cr_expect_eq(c.state[2], 0x06c45d188009454f);
}

Test(chance, equal_seeds_give_equal_sequences)
{
    struct chance a, b, other;
    int differ = 0;

    chance_seed(&a, 7);
    chance_seed(&b, 7);
    chance_seed(&other, 8);
    for (int i = 0; i < 100; i++) {
        uint64_t next = chance_next(&a);

        cr_expect_eq(next, chance_next(&b));
        differ += next != chance_next(&other);
    }
    cr_expect_gt(differ, 90);
}

Test(chance, below_stays_below_and_reaches_every_value)
{
    struct chance c;
    int seen[6] = {0};

    chance_seed(&c, 1);
    for (int i = 0; i < 6000; i++) {
        uint64_t value = chance_below(&c, 6);

        cr_assert_lt(value, 6);
        seen[value]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(seen); i++)
        cr_expect(seen[i] > 850 && seen[i] < 1150, "%zu came %d times", i, seen[i]);
    cr_expect_eq(chance_below(&c, 1), 0);
    cr_expect_lt(chance_below(&c, UINT64_MAX), UINT64_MAX);
}

Test(chance, unit_lies_between_zero_and_one)
{
    struct chance c;
    double sum = 0;

    chance_seed(&c, 1);
    for (int i = 0; i < 10000; i++) {
        double value = chance_unit(&c);

        cr_assert(value >= 0 && value < 1);
        sum += value;
    }
    cr_expect(sum > 4800 && sum < 5200);
}

Test(chance, the_kernels_bytes_differ_each_time)
{
    uint8_t a[32] = {0}, b[32] = {0};

    chance_fill(a, sizeof a);
    chance_fill(b, sizeof b);
    cr_expect_neq(memcmp(a, b, sizeof a), 0);
    chance_fill(a, 0);
}
