#include "storage/crc32c.h"

#include <criterion/criterion.h>

#include "broker/base/chance.h"

/* RFC 3720, appendix B.4, and the check value of the polynomial. */
Test(crc32c, rfc_3720_vectors)
{
    static const uint8_t iscsi_read[48] = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0};
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    const struct {
        const char *name;
        const void *bytes;
        size_t len;
        uint32_t crc;
    } rows[] = {
        {"nothing", "", 0, 0},
        {"check", "123456789", 9, 0xe3069283},
        {"zeros", zeros, sizeof zeros, 0x8a9136aa},
        {"ones", ones, sizeof ones, 0x62a8ab43},
        {"ascending", up, sizeof up, 0x46dd794e},
        {"descending", down, sizeof down, 0x113fdb5c},
        {"iSCSI read", iscsi_read, sizeof iscsi_read, 0xd9963a56},
    };

    memset(ones, 0xff, sizeof ones);
    for (uint8_t i = 0; i < 32; i++) {
        up[i] = i;
        down[i] = (uint8_t)(31 - i);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_expect_eq(crc32c(0, rows[i].bytes, rows[i].len), rows[i].crc, "%s", rows[i].name);
        cr_expect_eq(crc32c_portable(0, rows[i].bytes, rows[i].len), rows[i].crc, "%s by table",
                     rows[i].name);
    }
}

/* Around the lengths at which the number of lanes changes, at each alignment. */
Test(crc32c, the_fast_one_equals_the_table)
{
    static const size_t lengths[] = {1,   7,    8,    9,     255,   256,   767,   768,
                                     769, 1535, 1536, 12287, 12288, 12289, 13056, 40000};
    static uint8_t bytes[40016];
    struct chance chance;

    chance_seed(&chance, 7);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)chance_below(&chance, 256);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        for (size_t shift = 0; shift < 9; shift++)
            cr_expect_eq(crc32c(5, bytes + shift, lengths[i]),
                         crc32c_portable(5, bytes + shift, lengths[i]), "%zu bytes at %zu",
                         lengths[i], shift);
}

Test(crc32c, parts_add_up_to_the_whole)
{
    static const char text[] = "what was acknowledged is on the disk";

    for (size_t cut = 0; cut < sizeof text; cut++)
        cr_expect_eq(crc32c(crc32c(0, text, cut), text + cut, sizeof text - cut),
                     crc32c(0, text, sizeof text), "cut at %zu", cut);
}
