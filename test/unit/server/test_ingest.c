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
