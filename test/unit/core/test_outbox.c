#include "broker/core/outbox.h"

#include <criterion/criterion.h>

#include "test/unit/failing.h"

static struct outbox_limits limits;
static struct outbox box;
static uint32_t dropped;

static void start(uint32_t messages, uint64_t bytes)
{
    limits = (struct outbox_limits){messages, bytes};
    outbox_init(&box, &limits);
}

/* The payload's first byte names a message; its size is for the limit of bytes. */
static struct message *make(char name, size_t size)
{
    static char payload[4096];
    struct mqtt_publish publish = {.topic = STR_LITERAL("t"), .payload = {payload, size}};
    struct message *m = NULL;
    int rc;

    payload[0] = name;
    rc = message_new(&m, &publish, 0, 0);
    cr_assert_eq(rc, 0);
    return m;
}

static int push_sized(char name, uint8_t qos, size_t size)
{
    struct message *m = make(name, size);
    int rc = outbox_push(&box, m, qos, false, &dropped);

    message_unref(m);
    return rc;
}

static int push(char name, uint8_t qos)
{
    return push_sized(name, qos, 1);
}

static void expect_order(const char *names, bool credit)
{
    for (; *names; names++) {
        const struct outbox_entry *entry = outbox_first(&box, credit);

        cr_assert_not_null(entry, "'%c' is missing", *names);
        cr_assert_eq(entry->message->payload.at[0], *names, "'%c', not '%c'",
                     entry->message->payload.at[0], *names);
        outbox_pop(&box, entry);
    }
    cr_assert_null(outbox_first(&box, credit));
}

Test(outbox, what_waits_leaves_in_the_order_it_came)
{
    static const char names[] = "abcdefghijklmnopqrstuvwxyz";

    start(100, 100000);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; names[i]; i++)
            cr_assert_eq(push(names[i], (uint8_t)(i * 7 % 3)), 0);
        cr_assert_eq(outbox_count(&box), 26);
        expect_order(names, true);
    }
    outbox_fini(&box);
}

/* Only QoS 0 passes a full window, and each QoS keeps its order. */
Test(outbox, mqtt_4_6_0_6)
{
    start(100, 100000);
    cr_assert_eq(push('a', 1), 0);
    cr_assert_eq(push('b', 0), 0);
    cr_assert_eq(push('c', 2), 0);
    cr_assert_eq(push('d', 0), 0);
    expect_order("bd", false);
    cr_assert_eq(push('e', 0), 0);
    expect_order("ace", true);
    outbox_fini(&box);
}

/* Rows push one message after the other, lower case for QoS 0, upper case for QoS 1, into room for
 * four. `kept` is what is left, in order; `lost` what was counted at the pushes. */
Test(outbox, when_full_the_newest_qos_0_goes_first)
{
    static const struct {
        const char *pushed, *kept;
        unsigned lost_qos0, lost_acked;
    } rows[] = {
        {"abcd", "abcd", 0, 0},    {"abcde", "abcd", 1, 0},   {"abcdE", "abcE", 1, 0},
        {"abcDEF", "aDEF", 2, 0},  {"aBCDE", "BCDE", 1, 0},   {"aBCDEF", "BCDE", 1, 1},
        {"ABCDe", "ABCD", 1, 0},   {"ABCDE", "ABCD", 0, 1},   {"AbCdEF", "ACEF", 2, 0},
        {"AbCdEfG", "ACEG", 3, 0}, {"ABCDEfG", "ABCD", 1, 2},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned lost = 0;

        start(4, 100000);
        for (const char *name = rows[i].pushed; *name; name++) {
            int rc = push(*name, *name < 'a');

            cr_assert(rc == 0 || rc == ERR_FULL);
            lost += dropped;
        }
        cr_expect_eq(box.dropped_qos0, rows[i].lost_qos0, "\"%s\"", rows[i].pushed);
        cr_expect_eq(box.dropped_acked, rows[i].lost_acked, "\"%s\"", rows[i].pushed);
        cr_expect_eq(lost, rows[i].lost_qos0 + rows[i].lost_acked, "\"%s\"", rows[i].pushed);
        expect_order(rows[i].kept, true);
        outbox_fini(&box);
    }
}

Test(outbox, bytes_are_bounded_too)
{
    struct message *one = make('x', 100);
    size_t each = message_bytes(one);

    message_unref(one);
    start(100, 3 * each);
    cr_assert_eq(push_sized('a', 0, 100), 0);
    cr_assert_eq(push_sized('B', 1, 100), 0);
    cr_assert_eq(push_sized('c', 0, 100), 0);
    cr_assert_eq(outbox_bytes(&box), 3 * each);
    cr_assert_eq(push_sized('d', 0, 1), ERR_FULL);
    cr_assert_eq(dropped, 1);
    cr_assert_eq(push_sized('E', 1, 101), 0, "both of QoS 0 make room for it");
    cr_assert_eq(dropped, 2);
    cr_assert_eq(outbox_bytes(&box), 2 * each + 1);
    cr_assert_eq(push_sized('f', 0, 1), 0, "a smaller one still fits");
    cr_assert_eq(push_sized('G', 1, 2000), ERR_FULL, "giving up f would not help");
    cr_assert_eq(dropped, 1);
    expect_order("BEf", true);
    cr_assert_eq(outbox_bytes(&box), 0);
    cr_assert_eq(push_sized('H', 1, 2000), ERR_FULL, "larger than the whole outbox");
    outbox_fini(&box);
}

Test(outbox, while_nothing_waits_no_memory_is_held)
{
    start(1000, 1000000);
    for (unsigned round = 0; round < 2; round++) {
        cr_assert_null(box.qos0.entries);
        cr_assert_null(box.acked.entries);
        for (unsigned i = 0; i < 100; i++)
            cr_assert_eq(push((char)(i + 1), (uint8_t)(i % 2)), 0);
        for (unsigned i = 0; i < 100; i++)
            outbox_pop(&box, outbox_first(&box, true));
        cr_assert_null(outbox_first(&box, true));
    }
    outbox_fini(&box);
}

Test(outbox, it_holds_its_own_reference)
{
    struct message *m = make('a', 1);

    start(10, 100000);
    cr_assert_eq(outbox_push(&box, m, 1, true, &dropped), 0);
    cr_assert_eq(outbox_push(&box, m, 0, false, &dropped), 0);
    cr_assert_eq(m->refs, 3);
    cr_assert(outbox_first(&box, true)->retain);
    outbox_pop(&box, outbox_first(&box, true));
    cr_assert_eq(m->refs, 2);
    outbox_fini(&box);
    cr_assert_eq(m->refs, 1);
    cr_assert_null(box.qos0.entries);
    cr_assert_null(box.acked.entries);
    message_unref(m);
}

Test(outbox, without_memory_a_message_is_refused_and_counted)
{
    struct message *m = make('a', 1);
    int rc;

    start(1000, 1000000);
    failing_mem_at(0);
    rc = outbox_push(&box, m, 1, false, &dropped);
    cr_assert(failing_mem_hit());
    cr_assert_eq(rc, ERR_NOMEM);
    cr_assert_eq(dropped, 1);
    cr_assert_eq(box.dropped_acked, 1);
    cr_assert_eq(m->refs, 1);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(outbox_push(&box, m, 0, false, &dropped), 0);
    failing_mem_at(0);
    rc = outbox_push(&box, m, 0, false, &dropped);
    cr_assert(failing_mem_hit());
    cr_assert_eq(rc, ERR_NOMEM);
    cr_assert_eq(box.dropped_qos0, 1);
    cr_assert_eq(outbox_count(&box), 8);
    outbox_fini(&box);
    message_unref(m);
}
