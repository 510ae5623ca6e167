#include "storage/record.h"

#include <criterion/criterion.h>

/* The bytes on disk are for ever. */
Test(record, layout)
{
    const struct record record = {.type = RECORD_QUARANTINE,
                                  .flags = RECORD_HAS_TOPIC,
                                  .schema = 0x0102,
                                  .bike = 0x03040506,
                                  .recv_ms = 0x0708090a0b0c0d0e,
                                  .topic = STR_LITERAL("a/b"),
                                  .payload = STR_LITERAL("xyz")};
    static const uint8_t expected[] = {28, 0, 0,    0,    3,    1,    2,    1,  6, 5,
                                       4,  3, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 9,  8, 7,
                                       3,  0, 'a',  '/',  'b',  'x',  'y',  'z'};
    uint8_t bytes[64];

    cr_assert_eq(record_bytes(&record), sizeof expected);
    record_write(bytes, &record);
    cr_expect_arr_eq(bytes, expected, sizeof expected);
}

Test(record, round_trip)
{
    static const struct record rows[] = {
        {.type = RECORD_TELEMETRY, .schema = 1, .bike = 1, .recv_ms = 1700000000000},
        {.type = RECORD_TELEMETRY, .payload = {"\0\1\2", 3}, .recv_ms = -1},
        {.type = RECORD_BIKE_NEW, .bike = UINT32_MAX, .payload = {"bike-1", 6}},
        {.type = RECORD_QUARANTINE, .flags = RECORD_HAS_TOPIC, .payload = {"p", 1}},
        {.type = 200, .flags = RECORD_HAS_TOPIC, .schema = 65535, .topic = {"v1/b/x/tel", 10}},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t bytes[128];
        struct record back;
        size_t len = record_bytes(&rows[i]);

        record_write(bytes, &rows[i]);
        cr_assert_eq(record_read(str_of_bytes(bytes, sizeof bytes), &back), len, "row %zu", i);
        cr_expect(back.type == rows[i].type && back.flags == rows[i].flags &&
                      back.schema == rows[i].schema && back.bike == rows[i].bike &&
                      back.recv_ms == rows[i].recv_ms,
                  "row %zu", i);
        cr_expect(str_equal(back.topic, rows[i].topic), "row %zu", i);
        cr_expect(str_equal(back.payload, rows[i].payload), "row %zu", i);
    }
}

/* A record is whole or refused: cut anywhere, or with a length that lies. */
Test(record, refuses_what_is_not_whole)
{
    const struct record record = {.type = RECORD_QUARANTINE,
                                  .flags = RECORD_HAS_TOPIC,
                                  .topic = STR_LITERAL("topic"),
                                  .payload = STR_LITERAL("payload")};
    size_t len = record_bytes(&record);
    uint8_t bytes[64];
    struct record back;

    record_write(bytes, &record);
    for (size_t cut = 0; cut < len; cut++)
        cr_expect_eq(record_read(str_of_bytes(bytes, cut), &back), 0, "cut at %zu", cut);
    for (uint32_t lie = 0; lie < RECORD_BYTES_MIN; lie++) {
        store_u32(bytes, lie);
        cr_expect_eq(record_read(str_of_bytes(bytes, sizeof bytes), &back), 0, "length %u", lie);
    }
    store_u32(bytes, (uint32_t)len);
    store_u16(bytes + RECORD_HEAD_BYTES, 13); /* reaches one byte past the end */
    cr_expect_eq(record_read(str_of_bytes(bytes, len), &back), 0);
    store_u16(bytes + RECORD_HEAD_BYTES, 12);
    cr_expect_eq(record_read(str_of_bytes(bytes, len), &back), len);
    store_u32(bytes, RECORD_HEAD_BYTES + 1); /* no room for the topic's length */
    cr_expect_eq(record_read(str_of_bytes(bytes, len), &back), 0);
}
