/* Batches for tests, and a ring's owner that does what a worker does. Header only. */
#ifndef FREEHUB_TEST_UNIT_STORAGE_TELEMETRY_H
#define FREEHUB_TEST_UNIT_STORAGE_TELEMETRY_H

#include <criterion/criterion.h>
#include <sched.h>

#include "freehub/v1/telemetry.pb-c.h"

#include "broker/payload/payload.h"
#include "storage/record.h"
#include "storage/ring_priv.h"
#include "storage/store.h"

enum { TELEMETRY_SAMPLES = 32, TELEMETRY_BYTES = 2048, BATCH_SCHEMA = 1 };

/* What a test says of a batch. Sample i has speed `speed` + i; cadence only where bit i of
 * `cadence` is set, and then i. */
struct telemetry {
    uint32_t boot, trip, first, count;
    int64_t base_ms;
    bool time_ok;
    uint32_t step_ms; /* between samples */
    int32_t speed;
    uint32_t cadence;
};

static inline struct str telemetry_pack(const struct telemetry *t, uint8_t room[TELEMETRY_BYTES])
{
    Freehub__V1__Batch b = FREEHUB__V1__BATCH__INIT;
    Freehub__V1__Missing missing = FREEHUB__V1__MISSING__INIT, *list = &missing;
    uint32_t d_ms[TELEMETRY_SAMPLES] = {0}, cadence[TELEMETRY_SAMPLES], runs[TELEMETRY_SAMPLES + 1];
    int32_t speed[TELEMETRY_SAMPLES];
    bool present = true;

    b.boot_id = t->boot;
    b.trip_seq = t->trip;
    b.first_seq = t->first;
    b.base_ms = (uint64_t)t->base_ms;
    b.time_ok = t->time_ok;
    b.n_d_ms = b.n_d_speed_cms = t->count;
    b.d_ms = d_ms;
    b.d_speed_cms = speed;
    b.cadence = cadence;
    missing.column = 16;
    missing.runs = runs;
    runs[0] = 0;
    missing.n_runs = 1;
    for (uint32_t i = 0; i < t->count; i++) {
        bool has = t->cadence >> i & 1;

        d_ms[i] = i > 0 ? t->step_ms : 0;
        speed[i] = i > 0 ? 1 : t->speed;
        if (has)
            cadence[b.n_cadence++] = i;
        if (has != present) {
            runs[missing.n_runs++] = 0;
            present = has;
        }
        runs[missing.n_runs - 1]++;
    }
    if (b.n_cadence > 0 && b.n_cadence < t->count) {
        b.missing = &list;
        b.n_missing = 1;
    }
    cr_assert_leq(freehub__v1__batch__get_packed_size(&b), TELEMETRY_BYTES);
    return str_of_bytes(room, freehub__v1__batch__pack(&b, room));
}

static inline int telemetry_column(const struct schema_set *set, const char *name)
{
    size_t count;
    const struct schema_column *columns = schema_columns(schema_by_id(set, BATCH_SCHEMA), &count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(columns[i].name, name) == 0)
            return (int)i;
    cr_assert_fail("no column %s", name);
    return -1;
}

/* Append a record; waits for room, releasing what is committed. Returns its end. */
static inline uint64_t ring_put(struct ring *ring, const struct record *record)
{
    void *room;

    while ((room = ring_reserve(ring, record_bytes(record))) == NULL) {
        ring_publish(ring);
        ring_release(ring, ring_committed(ring));
        sched_yield();
    }
    record_write(room, record);
    return ring_append(ring, record_bytes(record));
}

static inline void ring_wait(struct ring *ring, uint64_t end)
{
    ring_publish(ring);
    while (ring_committed(ring) < end)
        sched_yield();
}

#endif
