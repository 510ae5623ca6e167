#include "broker/core/inflight.h"

#include <criterion/criterion.h>

#include "test/unit/failing.h"

static uint16_t take(struct inflight *f)
{
    uint16_t id = 0;
    int rc = inflight_take(f, &id);

    cr_assert_eq(rc, 0);
    cr_assert_neq(id, 0);
    return id;
}

/* The smaller of the client's Receive Maximum and ours. */
Test(inflight, mqtt_3_3_4_9)
{
    static const struct {
        uint16_t peer, ours, window;
    } rows[] = {{1, 1, 1}, {1, 100, 1}, {100, 1, 1}, {20, 7, 7}, {7, 20, 7}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inflight f;
        uint16_t id = 0;

        inflight_init(&f, rows[i].peer, rows[i].ours);
        for (unsigned n = 0; n < rows[i].window; n++) {
            cr_assert_not(inflight_is_full(&f));
            take(&f);
        }
        cr_assert(inflight_is_full(&f));
        cr_assert_eq(inflight_take(&f, &id), ERR_FULL, "row %zu", i);
        cr_assert_eq(id, 0);
        cr_assert_eq(inflight_release(&f, 1), 0);
        cr_assert_eq(take(&f), rows[i].window + 1);
        inflight_fini(&f);
    }
}

/* A packet id is unused and not zero, also after the last one. */
Test(inflight, mqtt_2_2_1_4)
{
    struct inflight f;

    inflight_init(&f, UINT16_MAX, UINT16_MAX);
    for (uint32_t i = 1; i <= UINT16_MAX; i++) {
        cr_assert_eq(take(&f), i);
        if (i != 1 && i != 3)
            cr_assert_eq(inflight_release(&f, (uint16_t)i), 0);
    }
    cr_assert_eq(take(&f), 2, "after 65,535: neither 0 nor 1, which is in use");
    cr_assert_eq(take(&f), 4, "3 is in use");
    cr_assert_eq(inflight_count(&f), 4);
    inflight_fini(&f);
}

Test(inflight, every_id_can_be_in_flight_at_once)
{
    struct inflight f;
    uint16_t id;

    inflight_init(&f, UINT16_MAX, UINT16_MAX);
    for (uint32_t i = 1; i <= UINT16_MAX; i++)
        cr_assert_eq(take(&f), i);
    cr_assert_eq(inflight_take(&f, &id), ERR_FULL);
    cr_assert_eq(inflight_release(&f, 40000), 0);
    cr_assert_eq(take(&f), 40000, "the only one that is free");
    for (uint32_t i = UINT16_MAX; i >= 1; i--)
        cr_assert_eq(inflight_release(&f, (uint16_t)i), 0);
    cr_assert_eq(inflight_count(&f), 0);
    inflight_fini(&f);
}

Test(inflight, an_id_that_is_not_in_flight_is_reported)
{
    struct inflight f;

    inflight_init(&f, 10, 10);
    cr_assert_eq(inflight_release(&f, 1), ERR_NOTFOUND);
    take(&f);
    cr_assert_eq(inflight_release(&f, 0), ERR_NOTFOUND);
    cr_assert_eq(inflight_release(&f, 2), ERR_NOTFOUND);
    cr_assert_eq(inflight_release(&f, 9), ERR_NOTFOUND, "shares its home with 1");
    cr_assert(inflight_has(&f, 1));
    cr_assert_eq(inflight_release(&f, 1), 0);
    cr_assert_eq(inflight_release(&f, 1), ERR_NOTFOUND);
    cr_assert_not(inflight_has(&f, 1));
    inflight_fini(&f);
}

Test(inflight, nothing_in_flight_holds_no_memory)
{
    struct inflight f;

    inflight_init(&f, 100, 100);
    cr_assert_null(f.ids);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 100; i++)
            take(&f);
        cr_assert_not_null(f.ids);
        for (uint16_t id = 1; id <= 100; id++)
            cr_assert_eq(inflight_release(&f, (uint16_t)(id + 100 * round)), 0);
        cr_assert_null(f.ids);
    }
    inflight_fini(&f);
}

/* Any order of acknowledgement, over many rounds of the id space, against a plain bitmap. */
Test(inflight, acknowledgements_come_in_any_order)
{
    enum { TURNS = 400000, WINDOW = 200 };
    static bool used[UINT16_MAX + 1];
    static uint16_t flying[WINDOW];
    unsigned count = 0;
    uint32_t dice = 11;
    struct inflight f;

    inflight_init(&f, WINDOW, UINT16_MAX);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        dice = dice * 1664525u + 1013904223u;
        if (count == WINDOW || (count > 0 && (dice >> 16) % 2)) {
            /* Low places go seldom, so that old ids meet the counter again. */
            unsigned at = (dice >> 20) % 64 ? count - 1 : (dice >> 17) % count;

            cr_assert_eq(inflight_release(&f, flying[at]), 0);
            used[flying[at]] = false;
            flying[at] = flying[--count];
        } else {
            uint16_t id = take(&f);

            cr_assert_not(used[id], "id %u is in use", id);
            used[id] = true;
            flying[count++] = id;
        }
        cr_assert_eq(inflight_count(&f), count);
    }
    for (unsigned i = 0; i < count; i++)
        cr_assert(inflight_has(&f, flying[i]));
    inflight_fini(&f);
}

Test(inflight, without_memory_no_id_is_taken)
{
    struct inflight f;
    unsigned failures = 0;

    inflight_init(&f, 1000, 1000);
    for (uint16_t i = 1; i <= 1000; i++) {
        uint16_t id = 0;
        int rc;

        failing_mem_at(0);
        rc = inflight_take(&f, &id);
        if (failing_mem_hit()) {
            cr_assert_eq(rc, ERR_NOMEM);
            cr_assert_eq(inflight_count(&f), i - 1);
            failures++;
            rc = inflight_take(&f, &id);
        }
        cr_assert_eq(rc, 0);
        cr_assert_eq(id, i);
    }
    cr_assert_eq(failures, 9, "8 to 2,048 places");
    inflight_fini(&f);
}
