#include "storage/bikes.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "storage/record.h"
#include "storage/ring_priv.h"

static struct bikes *bikes;
static struct ring *ring, *other;

static void set_up(void)
{
    cr_assert_eq(bikes_new(&bikes), 0);
    cr_assert_eq(ring_new(&ring, 4096), 0);
    cr_assert_eq(ring_new(&other, 4096), 0);
}

static void tear_down(void)
{
    bikes_free(bikes);
    ring_free(ring);
    ring_free(other);
}

/* Count the records that a ring holds; the last one in `*last`. */
static unsigned births(struct ring *r, struct record *last)
{
    struct ring_range range;
    unsigned count = 0;

    ring_publish(r);
    range = ring_pending(r);
    for (size_t at = 0; at < range.to - range.from; count++)
        at += record_read(str_of_bytes(range.at + at, range.to - range.from - at), last);
    return count;
}

Test(bikes, numbers_are_dense_and_written_once, .init = set_up, .fini = tear_down)
{
    struct record record;
    uint32_t number;

    for (uint32_t i = 1; i <= 20; i++) {
        char id[16];

        snprintf(id, sizeof id, "bike-%u", i % 10);
        cr_assert_eq(bikes_number(bikes, ring, str_from(id), 42, &number), 0);
        cr_expect_eq(number, (i - 1) % 10 + 1);
    }
    cr_expect_eq(births(ring, &record), 10);
    cr_expect_eq(record.type, RECORD_BIKE_NEW);
    cr_expect_eq(record.bike, 10);
    cr_expect_eq(record.recv_ms, 42);
    cr_expect(str_equal(record.payload, STR_LITERAL("bike-0")));
    cr_expect(str_equal(bikes_id(bikes, 10), STR_LITERAL("bike-0")));
    cr_expect_eq(bikes_last(bikes), 10);
    cr_assert_eq(bikes_find(bikes, STR_LITERAL("bike-3"), &number), 0);
    cr_expect_eq(number, 3);
    cr_expect_eq(bikes_find(bikes, STR_LITERAL("nobody"), &number), ERR_NOTFOUND);
}

/* Another worker may commit first: until the birth is committed it writes one of its own. */
Test(bikes, a_birth_is_durable_before_its_use_in_any_ring, .init = set_up, .fini = tear_down)
{
    struct record record;
    struct ring_range range;
    uint32_t number;

    cr_assert_eq(bikes_number(bikes, ring, STR_LITERAL("a"), 1, &number), 0);
    cr_assert_eq(bikes_number(bikes, other, STR_LITERAL("a"), 1, &number), 0);
    cr_expect_eq(births(other, &record), 1);
    cr_expect(record.bike == 1 && str_equal(record.payload, STR_LITERAL("a")));
    births(ring, &record);
    range = ring_pending(ring);
    ring_commit(ring, range.to, range.count);
    cr_assert_eq(bikes_number(bikes, other, STR_LITERAL("a"), 1, &number), 0);
    cr_expect_eq(births(other, &record), 1, "committed: nothing to add");
}

Test(bikes, a_full_ring_gives_no_number, .init = set_up, .fini = tear_down)
{
    struct str id = {"0123456789", 10};
    void *room = ring_reserve(ring, 4096 - 25);
    struct record filler = {.type = RECORD_TELEMETRY, .payload = {NULL, 0}};
    uint32_t number;

    cr_assert_not_null(room);
    record_write(room, &filler);
    (void)ring_append(ring, 4096 - 25);
    cr_expect_eq(bikes_number(bikes, ring, id, 1, &number), ERR_AGAIN);
    cr_expect_eq(bikes_last(bikes), 0);
    cr_expect_eq(bikes_find(bikes, id, &number), ERR_NOTFOUND);
}

Test(bikes, ids_have_bounds, .init = set_up, .fini = tear_down)
{
    char text[BIKES_ID_MAX_BYTES + 1];
    uint32_t number;

    memset(text, 'x', sizeof text);
    cr_expect_eq(bikes_number(bikes, ring, (struct str){text, 0}, 1, &number), ERR_INVALID);
    cr_expect_eq(bikes_number(bikes, ring, (struct str){text, sizeof text}, 1, &number),
                 ERR_INVALID);
    cr_expect_eq(bikes_number(bikes, ring, (struct str){text, sizeof text - 1}, 1, &number), 0);
}

/* What the log or the checkpoint say, also when they are damaged. */
Test(bikes, restore_takes_what_fits_together, .init = set_up, .fini = tear_down)
{
    static const struct {
        uint32_t number;
        const char *id;
        int rc;
    } rows[] = {{3, "c", 0},           {3, "c", 0},           {3, "d", ERR_CORRUPT},
                {4, "c", ERR_CORRUPT}, {0, "z", ERR_CORRUPT}, {BIKES_MAX + 1, "z", ERR_CORRUPT},
                {5, "", ERR_CORRUPT},  {1, "a", 0},           {BIKES_MAX, "last", 0}};
    uint32_t number;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(bikes_restore(bikes, rows[i].number, str_from(rows[i].id)), rows[i].rc,
                     "row %zu", i);
    cr_expect_eq(bikes_id(bikes, 2).len, 0, "a hole");
    cr_expect_eq(bikes_id(bikes, UINT32_MAX).len, 0);
    cr_expect_eq(bikes_number(bikes, ring, STR_LITERAL("new"), 1, &number), ERR_FULL);
    cr_expect_eq(bikes_number(bikes, ring, STR_LITERAL("a"), 1, &number), 0);
}

Test(bikes, a_number_in_use_is_not_given_again, .init = set_up, .fini = tear_down)
{
    uint32_t number;

    bikes_note_used(bikes, 7);
    bikes_note_used(bikes, UINT32_MAX);
    cr_assert_eq(bikes_number(bikes, ring, STR_LITERAL("a"), 1, &number), 0);
    cr_expect_eq(number, 8);
}
