#include <criterion/criterion.h>

#include "broker/payload/schema_listing.h"

extern const uint8_t embedded_freehub_lock[];
extern const size_t embedded_freehub_lock_bytes;

#define ACCURACY                                                                                   \
    "field freehub.v1.Batch 14 acc_dm uint32 repeated column=gps_accuracy_m unit=m decimals=1 "    \
    "encoding=plain none=0"

enum { LISTING_MAX = 1024 * 1024 };

Test(lock, nothing_that_was_published_has_changed)
{
    struct str kept = str_of_bytes(embedded_freehub_lock, embedded_freehub_lock_bytes), lost;
    struct buf listing;

    buf_init(&listing, LISTING_MAX);
    cr_assert_eq(schema_listing_embedded(&listing), 0);
    lost = schema_listing_lost(kept, buf_str(&listing));
    cr_expect_eq(lost.len, 0, "a breaking change; proto/freehub.lock says: %.*s", (int)lost.len,
                 lost.at);
    buf_fini(&listing);
}

Test(lock, every_addition_is_recorded)
{
    struct str kept = str_of_bytes(embedded_freehub_lock, embedded_freehub_lock_bytes), added;
    struct buf listing;

    buf_init(&listing, LISTING_MAX);
    cr_assert_eq(schema_listing_embedded(&listing), 0);
    added = schema_listing_lost(buf_str(&listing), kept);
    cr_expect_eq(added.len, 0,
                 "new; run cmake --build --preset debug --target proto_lock_update: %.*s",
                 (int)added.len, added.at);
    buf_fini(&listing);
}

Test(lock, a_lost_line_is_found)
{
    static const struct {
        const char *kept, *listing, *lost;
    } rows[] = {
        {"", "", ""},
        {"# a word\na 1\nb 2\n", "b 2\na 1\n", ""},
        {"a 1\nb 2\n", "a 1\n", "b 2"},
        {"a 1\nb 2", "a 1\nb 3\n", "b 2"},
        {"a 1\n", "a 12\n", "a 1"},
        {"a 1\n", "", "a 1"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str lost = schema_listing_lost(str_from(rows[i].kept), str_from(rows[i].listing));

        cr_expect(str_equal(lost, str_from(rows[i].lost)), "row %zu: %.*s", i, (int)lost.len,
                  lost.at ? lost.at : "");
    }
}

Test(lock, the_listing_names_fields_columns_and_ids)
{
    static const char *const lines[] = {
        ACCURACY,
        "message freehub.v1.Batch 1",
        "field freehub.v1.Batch 11 d_lat_e7 sint32 repeated column=latitude_deg unit=deg "
        "decimals=7 "
        "encoding=delta",
        "field freehub.v1.Running 6 trial bool singular",
        "field freehub.v1.Batch 30 missing message freehub.v1.Missing repeated role=7",
        "reserved freehub.v1.Batch 6..6",
        "reserved freehub.v1.Batch base_lat_e7",
        "enum freehub.v1.EndWhy 5 BATTERY_EMPTY",
    };
    struct buf listing;

    buf_init(&listing, LISTING_MAX);
    cr_assert_eq(schema_listing_embedded(&listing), 0);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        cr_expect_eq(schema_listing_lost(str_from(lines[i]), buf_str(&listing)).len, 0, "%s",
                     lines[i]);
    buf_fini(&listing);
}

Test(lock, a_damaged_set_is_refused)
{
    struct buf listing;

    buf_init(&listing, LISTING_MAX);
    cr_expect_eq(schema_listing(STR_LITERAL("\x0a\x7f"), &listing), ERR_CORRUPT);
    buf_fini(&listing);
}
