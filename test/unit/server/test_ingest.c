#include "broker/server/ingest.h"

#include <criterion/criterion.h>

static struct ingest queue;

static void init(void)
{
    ingest_init(&queue);
}

static void fini(void)
{
    ingest_fini(&queue);
}

static void push(uint64_t end, uint16_t packet_id)
{
    struct ingest_entry *entry = ingest_reserve(&queue);

    cr_assert_not_null(entry);
    *entry = (struct ingest_entry){.end = end, .packet_id = packet_id};
    ingest_push(&queue);
}

/* [MQTT-4.6.0-5]: what is not on disk holds up what came after it, stored or not. */
Test(ingest, mqtt_4_6_0_5, .init = init, .fini = fini)
{
    push(100, 1);
    push(100, 2); /* nothing stored: waits for its turn only */
    push(200, 3);

    cr_expect_null(ingest_ready(&queue, 99));
    cr_assert_not_null(ingest_ready(&queue, 100));
    cr_expect_eq(ingest_ready(&queue, 100)->packet_id, 1);
    ingest_pop(&queue);
    cr_expect_eq(ingest_ready(&queue, 100)->packet_id, 2);
    ingest_pop(&queue);
    cr_expect_null(ingest_ready(&queue, 199));
    cr_expect_eq(ingest_ready(&queue, 200)->packet_id, 3);
    ingest_pop(&queue);
    cr_expect(ingest_is_empty(&queue));
    cr_expect_null(ingest_ready(&queue, UINT64_MAX));
}

Test(ingest, it_grows_in_order_up_to_its_bound, .init = init, .fini = fini)
{
    uint64_t pushed = 0, popped = 0;

    for (int i = 0; i < 100; i++, pushed++) /* so that the queue wraps while it grows */
        push(pushed, (uint16_t)pushed);
    for (int i = 0; i < 90; i++, popped++)
        ingest_pop(&queue);
    while (pushed - popped < INGEST_ENTRIES_MAX) {
        push(pushed, (uint16_t)pushed);
        pushed++;
    }
    cr_expect_null(ingest_reserve(&queue), "full is an outcome, not a growth");
    for (; popped < pushed; popped++) {
        struct ingest_entry *entry = ingest_ready(&queue, popped);

        cr_assert_not_null(entry);
        cr_assert_eq(entry->end, popped);
        ingest_pop(&queue);
    }
    cr_expect_not_null(ingest_reserve(&queue));
}

static struct ingest_cover covers[2];

static void push_telemetry(uint64_t end, uint32_t slot, uint32_t bike, int64_t last_ms,
                           uint64_t any, uint64_t last)
{
    struct ingest_entry *entry = ingest_reserve(&queue);

    *entry = (struct ingest_entry){.end = end,
                                   .slot = slot,
                                   .bike = bike,
                                   .last_ms = last_ms,
                                   .any = any,
                                   .last = last,
                                   .kind = INGEST_TELEMETRY};
    ingest_push(&queue);
}

/* An update of `latest` is skipped only where a later one, on disk too, undoes all of it. */
Test(ingest, only_what_a_later_entry_undoes_is_outdated, .init = init, .fini = fini)
{
    static const struct {
        const char *name;
        uint32_t slot, bike;
        int64_t last_ms;
        uint64_t any;
        bool outdated;
    } rows[] = {
        {"older, fewer columns", 0, 1, 10, 3, true},
        {"same time, same sample", 0, 1, 20, 3, false},
        {"a column that the later one lacks", 0, 1, 10, 8, false},
        {"newer than the later one", 0, 1, 30, 3, false},
        {"another bike", 0, 2, 10, 3, false},
        {"another connection", 1, 1, 10, 3, false},
        {"of no connection", INGEST_NO_SLOT, 1, 10, 3, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t end = 10 * (i + 1);

        push_telemetry(end, rows[i].slot, rows[i].bike, rows[i].last_ms, rows[i].any, rows[i].any);
        push_telemetry(end, 0, 1, 20, 7, 7);
        ingest_mark_outdated(&queue, end, covers);
        cr_expect_eq(ingest_ready(&queue, end)->outdated, rows[i].outdated, "%s", rows[i].name);
        ingest_pop(&queue);
        cr_expect_not(ingest_ready(&queue, end)->outdated, "%s: the later one", rows[i].name);
        ingest_pop(&queue);
    }
}

Test(ingest, what_is_not_on_disk_yet_undoes_nothing, .init = init, .fini = fini)
{
    push_telemetry(10, 0, 1, 10, 1, 1);
    push_telemetry(20, 0, 1, 20, 1, 1);
    ingest_mark_outdated(&queue, 10, covers);
    cr_expect_not(ingest_ready(&queue, 10)->outdated);
}

Test(ingest, boot_and_number_break_ties_of_time, .init = init, .fini = fini)
{
    for (uint64_t order = 0; order < 3; order++) {
        uint64_t end = 10 * (order + 1);

        push_telemetry(end, 0, 1, 20, 1, 1);
        ingest_ready(&queue, end)->last_order = order;
        push_telemetry(end, 0, 1, 20, 1, 1);
        queue.entries[(queue.next - 1) & queue.mask].last_order = 1;
        ingest_mark_outdated(&queue, end, covers);
        cr_expect_eq(ingest_ready(&queue, end)->outdated, order < 1, "order %d", (int)order);
        ingest_pop(&queue);
        ingest_pop(&queue);
    }
}
