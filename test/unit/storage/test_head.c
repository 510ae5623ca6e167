#include "storage/head.h"

#include "storage/bikes.h"
#include "test/unit/storage/telemetry.h"

#define RECV INT64_C(1764000000000)

static struct schema_set *set;
static struct head *head;
static int speed, cadence;

static void set_up(void)
{
    cr_assert_eq(schema_set_load(&set, NULL), 0);
    cr_assert_eq(head_new(&head, set), 0);
    speed = telemetry_column(set, "speed_mps");
    cadence = telemetry_column(set, "cadence_rpm");
}

static void tear_down(void)
{
    head_free(head);
    schema_set_free(set);
}

static bool update(struct head *h, uint32_t bike, const struct telemetry *b, int64_t recv_ms)
{
    uint8_t room[TELEMETRY_BYTES];
    bool taken;

    head_begin(h);
    taken = head_update(h, bike, BATCH_SCHEMA, recv_ms, telemetry_pack(b, room));
    head_end(h);
    return taken;
}

/* Newest effective time wins, ties by (boot, sample); suspect times count as received. */
Test(head, newest_wins_column_by_column, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *name;
        struct telemetry batch;
        int64_t recv;
        int64_t speed, speed_at, cadence, cadence_at; /* times relative to RECV; -1: no cadence */
    } rows[] = {
        {"first", {1, 0, 10, 2, RECV - 5000, true, 1000, 100, 0}, RECV, 101, -4000, -1, 0},
        {"late data moves nothing",
         {1, 0, 5, 1, RECV - 6000, true, 0, 7, 0},
         RECV,
         101,
         -4000,
         -1,
         0},
        {"late data fills what is new",
         {1, 0, 4, 1, RECV - 7000, true, 0, 7, 1},
         RECV,
         101,
         -4000,
         0,
         -7000},
        {"the same again",
         {1, 0, 10, 2, RECV - 5000, true, 1000, 300, 0},
         RECV,
         101,
         -4000,
         0,
         -7000},
        {"tie, higher sample",
         {1, 0, 12, 1, RECV - 4000, true, 0, 200, 0},
         RECV,
         200,
         -4000,
         0,
         -7000},
        {"tie, lower boot",
         {0, 0, 99, 1, RECV - 4000, true, 0, 201, 0},
         RECV,
         200,
         -4000,
         0,
         -7000},
        {"tie, higher boot",
         {2, 0, 0, 1, RECV - 4000, true, 0, 202, 0},
         RECV,
         202,
         -4000,
         0,
         -7000},
        {"newer, cadence only before its last sample",
         {2, 0, 1, 3, RECV - 3000, true, 1000, 300, 2},
         RECV,
         302,
         -1000,
         1,
         -2000},
        {"cadence between", {2, 0, 50, 1, RECV - 1500, true, 0, 9, 1}, RECV, 302, -1000, 0, -1500},
        {"suspect: as received",
         {3, 0, 0, 1, 5, false, 0, 400, 0},
         RECV - 500,
         400,
         -500,
         0,
         -1500},
        {"a far future is suspect too",
         {3, 0, 1, 1, RECV * 2, true, 0, 401, 0},
         RECV - 400,
         401,
         -400,
         0,
         -1500},
        {"trusted and newer", {1, 0, 90, 1, RECV, true, 0, 500, 1}, RECV, 500, 0, 0, 0},
    };
    uint64_t samples = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_latest latest;

        cr_assert(update(head, 7, &rows[i].batch, rows[i].recv), "%s", rows[i].name);
        samples += rows[i].batch.count;
        cr_assert_eq(head_latest(head, 7, &latest), 0);
        cr_expect_eq(latest.samples, samples, "%s", rows[i].name);
        cr_expect_eq(latest.recv_ms, RECV);
        cr_expect_eq(latest.values[speed], rows[i].speed, "%s: speed %lld", rows[i].name,
                     (long long)latest.values[speed]);
        cr_expect_eq(latest.times_ms[speed] - RECV, rows[i].speed_at, "%s", rows[i].name);
        cr_expect_eq(latest.present >> cadence & 1, rows[i].cadence >= 0, "%s", rows[i].name);
        if (rows[i].cadence < 0)
            continue;
        cr_expect_eq(latest.values[cadence], rows[i].cadence, "%s", rows[i].name);
        cr_expect_eq(latest.times_ms[cadence] - RECV, rows[i].cadence_at, "%s", rows[i].name);
    }
}

/* What the checkpoint kept comes back, and goes on as if it had never left. */
Test(head, taken_state_restores, .init = set_up, .fini = tear_down)
{
    const struct telemetry first = {1, 0, 10, 3, RECV - 5000, true, 1000, 100, 2};
    const struct telemetry late = {1, 0, 2, 1, RECV - 9000, true, 0, 1, 1};
    uint8_t state[HEAD_BYTES_MAX];
    struct store_latest a, b;
    struct head *copy;
    size_t len;

    cr_assert_eq(head_new(&copy, set), 0);
    cr_assert(update(head, 1, &first, RECV));
    cr_assert(update(head, 5000, &first, RECV));
    head_begin(head);
    cr_expect_eq(head_take_changed(head, 0, state, &len), 1);
    cr_assert_eq(head_restore(copy, 1, str_of_bytes(state, len)), 0);
    cr_expect_eq(head_take_changed(head, 1, state, &len), 5000);
    cr_expect_eq(head_take_changed(head, 0, state, &len), 0, "taken");
    head_end(head);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(head_latest(head, 1, &a), 0);
        cr_assert_eq(head_latest(copy, 1, &b), 0);
        cr_expect(a.present == b.present && a.samples == b.samples && a.recv_ms == b.recv_ms);
        for (unsigned i = 0; i < SCHEMA_COLUMNS_MAX; i++)
            if (a.present >> i & 1)
                cr_expect(a.values[i] == b.values[i] && a.times_ms[i] == b.times_ms[i]);
        cr_assert(update(head, 1, &late, RECV));
        cr_assert(update(copy, 1, &late, RECV));
    }
    head_mark_all(head);
    head_begin(head);
    cr_expect_eq(head_take_changed(head, 1, state, &len), 5000, "marked again");
    head_end(head);
    for (size_t cut = 0; cut < len; cut++)
        cr_expect_eq(head_restore(copy, 2, str_of_bytes(state, cut)), ERR_CORRUPT, "%zu", cut);
    store_u16(state + 2, 0x7777);
    cr_expect_eq(head_restore(copy, 2, str_of_bytes(state, len)), ERR_UNSUPPORTED);
    cr_expect_eq(head_latest(copy, 2, &a), ERR_NOTFOUND);
    head_free(copy);
}

Test(head, what_is_no_telemetry_changes_nothing, .init = set_up, .fini = tear_down)
{
    const struct telemetry sound = {1, 0, 10, 1, RECV, true, 0, 100, 0};
    struct store_latest latest;
    uint8_t room[TELEMETRY_BYTES];
    struct str payload = telemetry_pack(&sound, room);

    cr_expect(!update(head, 0, &sound, RECV));
    cr_expect(!update(head, BIKES_MAX + 1, &sound, RECV));
    head_begin(head);
    cr_expect(!head_update(head, 1, SCHEMA_RAW, RECV, payload));
    cr_expect(!head_update(head, 1, 2, RECV, payload), "a type without samples");
    cr_expect(!head_update(head, 1, BATCH_SCHEMA, RECV, STR_LITERAL("\xff")));
    cr_expect(head_update(head, BIKES_MAX, BATCH_SCHEMA, RECV, payload));
    head_end(head);
    cr_expect_eq(head_latest(head, 1, &latest), ERR_NOTFOUND);
    cr_expect_eq(head_latest(head, UINT32_MAX, &latest), ERR_NOTFOUND);
}

/* A payload that a later one of the same pass outdates is counted, also before the bike's first. */
Test(head, outdated_payloads_are_counted, .init = set_up, .fini = tear_down)
{
    const struct telemetry batch = {1, 0, 10, 2, RECV, true, 0, 100, 0};
    uint8_t room[TELEMETRY_BYTES], state[HEAD_BYTES_MAX];
    struct store_latest latest;
    size_t len;

    head_begin(head);
    head_seen(head, 0, 5);
    head_seen(head, BIKES_MAX + 1, 5);
    head_seen(head, 9, 5);
    cr_expect_eq(head_take_changed(head, 0, state, &len), 0, "nothing to keep yet");
    head_end(head);
    cr_expect_eq(head_latest(head, 9, &latest), ERR_NOTFOUND);
    head_begin(head);
    cr_expect(head_update(head, 9, BATCH_SCHEMA, RECV, telemetry_pack(&batch, room)));
    head_seen(head, 9, 1);
    cr_expect_eq(head_take_changed(head, 0, state, &len), 9);
    head_end(head);
    cr_assert_eq(head_latest(head, 9, &latest), 0);
    cr_expect_eq(latest.samples, 8);
}
