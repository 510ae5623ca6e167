#include "storage/query.h"

#include <stdlib.h>

#include "broker/base/chance.h"
#include "broker/base/log.h"
#include "storage/clock_rule.h"
#include "storage/store_priv.h"
#include "test/unit/failing.h"
#include "test/unit/storage/folder.h"
#include "test/unit/storage/telemetry.h"

/* A store against a plain model: batches with duplicates, copies that differ, late data, odd
 * clocks, restarts; then every query must give the model's rows, under wide limits and under tiny
 * ones. */

enum {
    SEEDS = 200,
    BIKES = 4,
    STEPS = 40,
    ROWS_MAX = STEPS * TELEMETRY_SAMPLES,
    QUERIES = 6,
};

#define NOW INT64_C(1764000000000)

struct model_row {
    uint32_t bike; /* index of the id, from 0 */
    uint32_t boot, sample, trip;
    int64_t time_ms, bike_ms, recv_ms;
    bool suspect, has_cadence;
    int64_t speed, cadence;
};

static struct {
    char folder[64];
    struct schema_set *set;
    const struct schema *schema;
    struct store *store;
    struct ring *ring;
    struct chance chance;
    int64_t now_ms;
    int speed, cadence; /* columns */
    struct model_row rows[ROWS_MAX];
    size_t row_count;
    uint64_t samples[BIKES]; /* received, duplicates included */
    struct telemetry sent[STEPS];
    uint32_t sent_bike[STEPS];
    size_t sent_count;
    bool committed_stop; /* the workers had released everything */
} t;

static const char *const bike_ids[BIKES] = {"bike-0", "bike-1", "bike-2", "bike-3"};

static uint64_t below(uint64_t bound)
{
    return chance_below(&t.chance, bound);
}

static void options_make(struct store_options *options)
{
    store_options_default(options);
    options->folder = t.folder;
    options->schemas = t.set;
    options->commit_interval_ms = 0;
    options->segment_max_records = 12;
    options->prewrite_max_bytes = 1 << 20;
}

static void store_begin(void)
{
    struct err_detail detail = {""};
    struct store_options options;

    options_make(&options);
    cr_assert_eq(store_open(&t.store, &options, &detail), 0, "%s", detail.text);
    cr_assert_eq(store_ring_new(t.store, 1 << 16, NULL, NULL, &t.ring), 0);
    cr_assert_eq(store_start(t.store, &detail), 0, "%s", detail.text);
}

static void store_finish(void)
{
    struct err_detail detail = {""};

    cr_assert_eq(store_stop(t.store, &detail), 0, "%s", detail.text);
    store_close(t.store);
    t.store = NULL;
}

static void set_up(void)
{
    struct err_detail detail = {""};

    log_configure(2, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR);
    cr_assert_eq(schema_set_load(&t.set, &detail), 0, "%s", detail.text);
    t.schema = schema_by_id(t.set, BATCH_SCHEMA);
    t.speed = telemetry_column(t.set, "speed_mps");
    t.cadence = telemetry_column(t.set, "cadence_rpm");
}

static void tear_down(void)
{
    schema_set_free(t.set);
}

/* ---- the model ---- */

static bool model_has(uint32_t bike, uint32_t boot, uint32_t sample)
{
    for (size_t i = 0; i < t.row_count; i++)
        if (t.rows[i].bike == bike && t.rows[i].boot == boot && t.rows[i].sample == sample)
            return true;
    return false;
}

static void model_add(uint32_t bike, const struct telemetry *b, int64_t recv_ms)
{
    int64_t last = b->base_ms + (int64_t)(b->count - 1) * b->step_ms;
    bool suspect = !b->time_ok || b->base_ms < recv_ms - CLOCK_RULE_PAST_MS ||
                   last > recv_ms + CLOCK_RULE_FUTURE_MS;

    t.samples[bike] += b->count;
    for (uint32_t i = 0; i < b->count; i++) {
        struct model_row *row = &t.rows[t.row_count];
        int64_t bike_ms = b->base_ms + (int64_t)i * b->step_ms;

        if (model_has(bike, b->boot, b->first + i))
            continue;
        t.row_count++;
        *row = (struct model_row){.bike = bike,
                                  .boot = b->boot,
                                  .sample = b->first + i,
                                  .trip = b->trip,
                                  .bike_ms = bike_ms,
                                  .recv_ms = recv_ms,
                                  .suspect = suspect,
                                  .time_ms = suspect ? recv_ms - (last - bike_ms) : bike_ms,
                                  .speed = b->speed + (int32_t)i,
                                  .has_cadence = b->cadence >> i & 1,
                                  .cadence = i};
    }
}

/* By bike number: the order in which the bikes were first met. */
static uint32_t numbers[BIKES];

static int by_model_order(const void *left, const void *right)
{
    const struct model_row *a = left, *b = right;

    if (a->bike != b->bike)
        return numbers[a->bike] < numbers[b->bike] ? -1 : 1;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    if (a->boot != b->boot)
        return a->boot < b->boot ? -1 : 1;
    return (a->sample > b->sample) - (a->sample < b->sample);
}

/* ---- steps ---- */

static void batch_random(struct telemetry *b)
{
    static const int64_t offsets[] = {
        0,      -60000, -86400000, -29 * INT64_C(86400000), -31 * INT64_C(86400000),
        600000, -2000,  1000};

    *b = (struct telemetry){
        .boot = 1 + (uint32_t)below(2),
        .trip = (uint32_t)below(3),
        .first = (uint32_t)below(60),
        .count = 1 + (uint32_t)below(20),
        .base_ms = t.now_ms + offsets[below(ARRAY_LEN(offsets))],
        .time_ok = below(8) > 0,
        .step_ms = (uint32_t)below(3) * 500,
        .speed = (int32_t)below(1000),
        .cadence = (uint32_t)chance_next(&t.chance),
    };
    if (!b->time_ok)
        b->base_ms = (int64_t)below(100000); /* uptime */
    if (below(4) == 0)
        b->cadence = below(2) ? 0 : UINT32_MAX;
}

/* What a worker does with a publish and its commit. */
static void step_publish(void)
{
    uint8_t room[TELEMETRY_BYTES];
    struct record record = {.type = RECORD_TELEMETRY, .schema = BATCH_SCHEMA};
    uint32_t bike = (uint32_t)below(BIKES);
    struct telemetry b;
    uint64_t end;

    batch_random(&b);
    if (t.sent_count > 0 && below(3) == 0) { /* again, perhaps with another clock */
        size_t again = below(t.sent_count);

        bike = t.sent_bike[again];
        b = t.sent[again];
        if (below(3) == 0)
            b.base_ms = t.now_ms;
    }
    t.sent[t.sent_count] = b;
    t.sent_bike[t.sent_count++] = bike;
    t.now_ms += (int64_t)below(5000);
    record.recv_ms = t.now_ms;
    record.payload = telemetry_pack(&b, room);
    cr_assert_eq(store_bike_number(t.store, t.ring, str_from(bike_ids[bike]), &record.bike), 0);
    end = ring_put(t.ring, &record);
    model_add(bike, &b, record.recv_ms);
    if (below(3) > 0)
        return;
    ring_wait(t.ring, end);
}

/* Apply everything committed to `latest` and release it, as the completion pass does. */
static void step_complete(void)
{
    static uint64_t at; /* of the ring, which begins at 0 with each store */
    static struct store *of;
    uint64_t committed = ring_committed(t.ring);

    if (of != t.store) {
        of = t.store;
        at = 0;
    }
    at = ring_released(t.ring);
    store_head_begin(t.store);
    while (at < committed) {
        struct str rest = str_of_bytes(ring_at(t.ring, at), committed - at);
        struct record record;
        size_t len = record_read(rest, &record);

        cr_assert_gt(len, 0);
        if (record.type == RECORD_TELEMETRY)
            store_head_update(t.store, record.bike, record.schema, record.recv_ms, record.payload);
        at += len;
    }
    store_head_end(t.store);
    ring_release(t.ring, committed);
}

static void step_restart(void)
{
    if (below(2)) { /* otherwise the workers had applied nothing */
        ring_publish(t.ring);
        while (bell_pending(&t.store->bell) > 0)
            sched_yield();
        step_complete();
    }
    ring_publish(t.ring);
    store_finish();
    store_begin();
}

/* ---- comparing ---- */

struct compare {
    const struct model_row *expected;
    size_t count, at;
    unsigned seed;
    size_t stop_at;
};

static bool on_row(void *ctx, const struct store_row *row)
{
    struct compare *c = ctx;
    const struct model_row *e = &c->expected[c->at];

    cr_assert_lt(c->at, c->count, "seed %u: a row too many", c->seed);
    cr_expect(str_equal(row->bike_id, str_from(bike_ids[e->bike])), "seed %u row %zu", c->seed,
              c->at);
    cr_assert(row->boot == e->boot && row->values->sample == e->sample && row->trip == e->trip,
              "seed %u row %zu: boot %u sample %u, not %u %u", c->seed, c->at, row->boot,
              row->values->sample, e->boot, e->sample);
    cr_expect(row->time_ms == e->time_ms && row->bike_ms == e->bike_ms &&
                  row->recv_ms == e->recv_ms && row->values->time_ms == e->bike_ms,
              "seed %u row %zu: times", c->seed, c->at);
    cr_expect_eq((row->flags & STORE_TIME_SUSPECT) != 0, e->suspect, "seed %u row %zu", c->seed,
                 c->at);
    cr_expect_eq(row->values->values[t.speed], e->speed, "seed %u row %zu", c->seed, c->at);
    cr_expect_eq(row->values->present >> t.cadence & 1, e->has_cadence, "seed %u row %zu", c->seed,
                 c->at);
    if (e->has_cadence)
        cr_expect_eq(row->values->values[t.cadence], e->cadence, "seed %u row %zu", c->seed, c->at);
    c->at++;
    return c->at != c->stop_at;
}

static void check_query(struct store *store, unsigned seed, const struct query_limits *limits,
                        uint32_t bike, int64_t from_ms, int64_t to_ms)
{
    static struct model_row expected[ROWS_MAX];
    struct compare c = {.expected = expected, .seed = seed};
    struct store_query query = {.schema = t.schema, .from_ms = from_ms, .to_ms = to_ms};
    struct err_detail detail = {""};

    if (bike < BIKES && store_bike_find(store, str_from(bike_ids[bike]), &query.bike))
        return; /* never met */
    for (size_t i = 0; i < t.row_count; i++)
        if ((bike == BIKES || t.rows[i].bike == bike) && t.rows[i].time_ms >= from_ms &&
            t.rows[i].time_ms < to_ms)
            expected[c.count++] = t.rows[i];
    qsort(expected, c.count, sizeof *expected, by_model_order);
    cr_assert_eq(query_rows(store, &query, limits, on_row, &c, &detail), 0, "seed %u: %s", seed,
                 detail.text);
    cr_assert_eq(c.at, c.count, "seed %u: %zu of %zu rows", seed, c.at, c.count);
}

static void check_latest(struct store *store, unsigned seed, uint32_t bike)
{
    struct store_latest latest;
    const struct model_row *speed = NULL, *cadence = NULL;
    uint32_t number;

    if (store_bike_find(store, str_from(bike_ids[bike]), &number))
        return;
    for (size_t i = 0; i < t.row_count; i++) {
        const struct model_row *row = &t.rows[i];

        if (row->bike != bike)
            continue;
        if (!speed || row->time_ms > speed->time_ms)
            speed = row;
        if (row->has_cadence && (!cadence || row->time_ms > cadence->time_ms))
            cadence = row;
    }
    cr_assert_eq(store_latest(store, number, &latest), 0, "seed %u", seed);
    cr_expect_eq(latest.schema, BATCH_SCHEMA);
    /* Copies that differ may show in `latest`, never an older time than the model's. */
    cr_expect_geq(latest.times_ms[t.speed], speed->time_ms, "seed %u", seed);
    cr_expect_eq(!(latest.present >> t.cadence & 1), !cadence, "seed %u", seed);
    if (cadence)
        cr_expect_geq(latest.times_ms[t.cadence], cadence->time_ms, "seed %u", seed);
    cr_expect_geq(latest.samples, t.samples[bike], "seed %u", seed);
}

static void check_all(struct store *store, unsigned seed)
{
    static const struct query_limits tiny = {
        .rows_max = 64, .payload_bytes = 4096, .seen_bytes = 2400};

    for (uint32_t i = 0; i < BIKES; i++)
        if (store_bike_find(store, str_from(bike_ids[i]), &numbers[i]))
            numbers[i] = UINT32_MAX;
    check_query(store, seed, &query_limits_default, BIKES, INT64_MIN, INT64_MAX);
    check_query(store, seed, &tiny, BIKES, INT64_MIN, INT64_MAX);
    for (unsigned q = 0; q < QUERIES; q++) {
        int64_t from = NOW - (int64_t)below(100) * 43200000 + (int64_t)below(200000);

        check_query(store, seed, q % 2 ? &tiny : &query_limits_default, (uint32_t)below(BIKES + 1),
                    from, from + (int64_t)below(3) * 86400000);
    }
    for (uint32_t bike = 0; bike < BIKES; bike++)
        check_latest(store, seed, bike);
}

static void wait_all(void)
{
    ring_publish(t.ring);
    while (bell_pending(&t.store->bell) > 0)
        sched_yield();
}

/* Thousands of syncs, whose durability is for other tests. */
static void folder_in_memory(void)
{
    snprintf(t.folder, sizeof t.folder, "/dev/shm/freehub-test-XXXXXX");
    if (!mkdtemp(t.folder))
        folder_make(t.folder, false);
}

static void run_seed(unsigned seed)
{
    struct store_options options;
    struct store *reader;

    folder_in_memory();
    chance_seed(&t.chance, seed);
    t.now_ms = NOW;
    t.row_count = t.sent_count = 0;
    memset(t.samples, 0, sizeof t.samples);
    store_begin();
    while (t.sent_count < STEPS) {
        uint64_t what = below(20);

        if (what == 0)
            step_restart();
        else if (what < 5)
            step_complete();
        else
            step_publish();
    }
    wait_all();
    step_complete();
    check_all(t.store, seed);
    options_make(&options);
    options.read_only = true; /* another reader beside the writer */
    cr_assert_eq(store_open(&reader, &options, NULL), 0);
    check_all(reader, seed);
    store_close(reader);
    store_finish();
    cr_assert_eq(store_open(&reader, &options, NULL), 0); /* and without it */
    check_all(reader, seed);
    store_close(reader);
    folder_remove(t.folder);
}

Test(query, store_gives_what_the_model_gives, .init = set_up, .fini = tear_down, .timeout = 110)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

/* ---- bounds and failures ---- */

static bool any_row(void *ctx, const struct store_row *row)
{
    (void)row;
    ++*(size_t *)ctx;
    return true;
}

static bool first_row(void *ctx, const struct store_row *row)
{
    (void)row;
    ++*(size_t *)ctx;
    return false;
}

/* A store that is only read, with `count` batches of one bike, each other sample missing. */
static struct store *scattered(uint32_t count)
{
    struct record record = {.type = RECORD_TELEMETRY, .schema = BATCH_SCHEMA, .recv_ms = NOW};
    uint8_t room[TELEMETRY_BYTES];
    struct store_options options;
    struct store *reader;

    folder_in_memory();
    store_begin();
    cr_assert_eq(store_bike_number(t.store, t.ring, STR_LITERAL("a"), &record.bike), 0);
    for (uint32_t i = 0; i < count; i++) {
        const struct telemetry batch = {1, 0, 2 * i, 1, NOW + i, true, 0, 1, 0};

        record.payload = telemetry_pack(&batch, room);
        (void)ring_put(t.ring, &record);
    }
    wait_all();
    store_finish();
    options_make(&options);
    options.read_only = true;
    cr_assert_eq(store_open(&reader, &options, NULL), 0);
    return reader;
}

Test(query, memory_that_runs_out_is_an_error, .init = set_up, .fini = tear_down)
{
    struct store *reader = scattered(40);
    const struct store_query query = {t.schema, 0, INT64_MIN, INT64_MAX};
    struct err_detail detail;
    size_t rows;
    int rc, n;

    for (n = 0;; n++) {
        rows = 0;
        failing_mem_at(n);
        rc = query_rows(reader, &query, &query_limits_default, any_row, &rows, &detail);
        if (!failing_mem_hit())
            break;
        cr_expect_eq(rc, ERR_NOMEM, "allocation %d: %s", n, err_text(rc));
    }
    cr_expect_gt(n, 4);
    cr_expect_eq(rc, 0);
    cr_expect_eq(rows, 40);
    store_close(reader);
    folder_remove(t.folder);
}

/* One bike whose samples lie too scattered: a named error, and no row too many. */
Test(query, spans_that_do_not_fit_are_an_error, .init = set_up, .fini = tear_down)
{
    const struct query_limits small = {
        .rows_max = 64, .payload_bytes = 4096, .seen_bytes = 64 * 24 + 100 * 8};
    struct store *reader = scattered(300);
    const struct store_query query = {t.schema, 0, INT64_MIN, INT64_MAX};
    struct err_detail detail = {""};
    size_t rows = 0;

    cr_expect_eq(query_rows(reader, &query, &small, any_row, &rows, &detail), ERR_TOO_LARGE);
    cr_expect(detail.text[0]);
    cr_expect_eq(query_rows(reader, &query, &query_limits_default, first_row, &rows, &detail), 0);
    cr_expect_eq(rows, 1, "ended by the visitor");
    store_close(reader);
    folder_remove(t.folder);
}

Test(query, only_types_with_samples, .init = set_up, .fini = tear_down)
{
    struct store *reader = scattered(1);
    const struct store_query query = {schema_by_id(t.set, 2), 0, INT64_MIN, INT64_MAX};
    struct err_detail detail = {""};

    cr_expect_eq(store_rows(reader, &query, any_row, NULL, &detail), ERR_INVALID);
    cr_expect(strstr(detail.text, "TripStart"), "%s", detail.text);
    store_close(reader);
    folder_remove(t.folder);
}
