#include "storage/block.h"

#include <criterion/criterion.h>

enum { RECORDS = 5 };

static uint8_t value[512];

static size_t make_block(uint64_t sequence)
{
    size_t len = BLOCK_HEAD_BYTES;

    for (uint32_t i = 0; i < RECORDS; i++) {
        const struct record record = {
            .type = RECORD_TELEMETRY, .bike = i + 1, .payload = {"0123456789", 2 * i}};

        record_write(value + len, &record);
        len += record_bytes(&record);
    }
    block_seal(value, len, sequence, RECORDS, 1700000000000);
    return len;
}

/* The bytes on disk are for ever. */
Test(block, layout)
{
    static const uint8_t head[] = {1, 0, 0, 0, RECORDS, 0, 0, 0,    152,  0,    0,    0, 77, 0,
                                   0, 0, 0, 0, 0,       0, 0, 0x68, 0xe5, 0xcf, 0x8b, 1, 0,  0};

    cr_assert_eq(make_block(77), 152);
    cr_expect_arr_eq(value + 4, head, sizeof head);
    cr_expect_eq(load_u32(value), 0x389920bb, "CRC %08x", load_u32(value));
}

Test(block, round_trip)
{
    size_t len = make_block(77);
    struct block_walk walk;
    struct record record;
    struct block block;
    uint64_t sequence;

    cr_assert_eq(block_open(str_of_bytes(value, len), 77, &block), NULL);
    cr_expect_eq(block.sequence, 77);
    cr_expect_eq(block.count, RECORDS);
    cr_expect_eq(block.recv_ms, 1700000000000);
    walk = block_walk(&block);
    for (uint32_t i = 0; i < RECORDS; i++) {
        cr_assert(block_next(&walk, &record, &sequence));
        cr_expect_eq(sequence, 77 + i);
        cr_expect_eq(record.bike, i + 1);
        cr_expect_eq(record.payload.len, 2 * i);
    }
    cr_expect(!block_next(&walk, &record, &sequence));
    cr_expect_eq(walk.left, 0);
    cr_expect_eq(walk.rest.len, 0);
}

Test(block, refuses_every_flipped_bit)
{
    size_t len = make_block(3);
    struct block block;

    for (size_t bit = 0; bit < 8 * len; bit++) {
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_neq(block_open(str_of_bytes(value, len), 3, &block), NULL, "bit %zu", bit);
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_expect_eq(block_open(str_of_bytes(value, len), 3, &block), NULL);
}

Test(block, refuses_every_other_length)
{
    size_t len = make_block(3);
    struct block block;

    for (size_t other = 0; other <= sizeof value; other++)
        if (other != len)
            cr_expect_neq(block_open(str_of_bytes(value, other), 3, &block), NULL, "%zu bytes",
                          other);
}

Test(block, refuses_another_key_and_impossible_counts)
{
    size_t len = make_block(3);
    struct block block;

    cr_expect_neq(block_open(str_of_bytes(value, len), 4, &block), NULL);
    block_seal(value, len, 3, 7, 0); /* 120 bytes hold six of the smallest records */
    cr_expect_neq(block_open(str_of_bytes(value, len), 3, &block), NULL);
    block_seal(value, len, 3, 6, 0);
    cr_expect_eq(block_open(str_of_bytes(value, len), 3, &block), NULL);
}

/* A CRC that is right over records that are not: the walk stops and says so. */
Test(block, the_walk_ends_at_an_unsound_record)
{
    size_t len = make_block(3);
    struct block_walk walk;
    struct record record;
    struct block block;
    uint64_t sequence;

    store_u32(value + BLOCK_HEAD_BYTES, 4); /* the first record's length */
    block_seal(value, len, 3, RECORDS, 0);
    cr_assert_eq(block_open(str_of_bytes(value, len), 3, &block), NULL);
    walk = block_walk(&block);
    cr_expect(!block_next(&walk, &record, &sequence));
    cr_expect_eq(walk.left, RECORDS);
}
