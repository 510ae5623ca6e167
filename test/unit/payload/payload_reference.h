/* What payload.h promises, worked out the slow way from protobuf-c's unpacked Batch: the tests and
 * the fuzz target compare the two. Header only, so that each program needs one source. */
#ifndef FREEHUB_TEST_UNIT_PAYLOAD_PAYLOAD_REFERENCE_H
#define FREEHUB_TEST_UNIT_PAYLOAD_PAYLOAD_REFERENCE_H

#include <stdlib.h>

#include "freehub/v1/telemetry.pb-c.h"

#include "broker/payload/payload.h"

enum { REFERENCE_COLUMNS = 17 };

struct reference_sample {
    int64_t time_ms;
    uint64_t present;
    int64_t values[REFERENCE_COLUMNS];
};

struct reference {
    size_t count;
    struct reference_sample *samples; /* free() */
};

struct reference_column {
    uint32_t field;
    enum { R_DELTA, R_PLAIN, R_RUNS } kind;
    size_t count;
    const int32_t *deltas;
    const uint32_t *plain; /* or runs */
    int64_t min, max;
    bool zero_is_none;
};

static inline const Freehub__V1__Missing *reference_missing(const Freehub__V1__Batch *b,
                                                            uint32_t field, size_t *times)
{
    const Freehub__V1__Missing *found = NULL;

    *times = 0;
    for (size_t i = 0; i < b->n_missing; i++) {
        if (b->missing[i]->column == field) {
            found = b->missing[i];
            (*times)++;
        }
    }
    return found;
}

/* Mark in `absent` which of `n` samples have no value. */
static inline bool reference_absent(const Freehub__V1__Missing *m, size_t n, bool *absent)
{
    uint64_t at = 0;
    size_t gone = 0;

    memset(absent, 0, n);
    if (!m)
        return true;
    if (m->n_runs == 0)
        return false;
    for (size_t i = 0; i < m->n_runs; i++) {
        if (i > 0 && m->runs[i] == 0)
            return false;
        if (at + m->runs[i] > n)
            return false;
        for (uint32_t k = 0; k < m->runs[i]; k++, at++) {
            absent[at] = i % 2 == 1;
            gone += i % 2;
        }
    }
    return gone < n;
}

static inline bool reference_column_expand(const struct reference_column *c, size_t index,
                                           const bool *absent, struct reference *out)
{
    size_t wanted = 0, next = 0, run_left = 0;
    int64_t value = 0;
    uint64_t total = 0;

    for (size_t i = 0; i < out->count; i++)
        wanted += !absent[i];
    if (c->kind == R_RUNS) {
        if (c->count % 2 != 0)
            return false;
        for (size_t i = 0; i < c->count; i += 2) {
            if (c->plain[i + 1] == 0 || c->plain[i] < c->min || c->plain[i] > c->max)
                return false;
            total += c->plain[i + 1];
        }
        if (total != wanted)
            return false;
    } else if (c->count != wanted) {
        return false;
    }
    for (size_t i = 0; i < out->count; i++) {
        if (absent[i])
            continue;
        if (c->kind == R_DELTA) {
            value += c->deltas[next++];
        } else if (c->kind == R_PLAIN) {
            value = c->plain[next++];
        } else {
            if (run_left == 0) {
                value = c->plain[next];
                run_left = c->plain[next + 1];
                next += 2;
            }
            run_left--;
        }
        if (value < c->min || value > c->max)
            return false;
        out->samples[i].values[index] = value;
        if (!c->zero_is_none || value != 0)
            out->samples[i].present |= UINT64_C(1) << index;
    }
    return true;
}

/* False when the batch breaks a rule. Otherwise the caller frees out->samples. */
static inline bool reference_expand(const Freehub__V1__Batch *b, struct reference *out)
{
#define DELTA(number, name, least, most)                                                           \
    {                                                                                              \
        .field = (number), .kind = R_DELTA, .count = b->n_##name, .deltas = b->name,               \
        .min = (least), .max = (most)                                                              \
    }
#define COUNTS(number, kind_, name, most, none_)                                                   \
    {                                                                                              \
        .field = (number), .kind = (kind_), .count = b->n_##name, .plain = b->name, .max = (most), \
        .zero_is_none = (none_)                                                                    \
    }
    const struct reference_column columns[REFERENCE_COLUMNS] = {
        DELTA(11, d_lat_e7, -900000000, 900000000),
        DELTA(12, d_lon_e7, -1800000000, 1800000000),
        DELTA(13, d_alt_dm, -20000, 200000),
        COUNTS(14, R_PLAIN, acc_dm, 100000000, true),
        DELTA(15, d_speed_cms, 0, 30000),
        COUNTS(16, R_PLAIN, cadence, 1000, false),
        DELTA(17, d_rider_w, 0, 5000),
        DELTA(18, d_motor_w, -5000, 5000),
        DELTA(19, d_batt_ma, -500000, 500000),
        DELTA(20, d_batt_cv, 0, 20000),
        DELTA(21, d_soc_pm, 0, 1000),
        DELTA(22, d_odo_dm, 0, 2147483647),
        COUNTS(23, R_RUNS, assist, 255, false),
        DELTA(24, d_temp_motor_c, -100, 500),
        DELTA(25, d_temp_batt_c, -100, 500),
        COUNTS(26, R_RUNS, flags, 4294967295, false),
        DELTA(27, d_temp_ambient_dc, -1000, 1500),
    };
#undef DELTA
#undef COUNTS
    bool absent[SCHEMA_SAMPLES_MAX];
    uint64_t time_ms = b->base_ms;
    bool valid = false;
    size_t listed = 0;

    out->samples = NULL;
    out->count = b->n_d_ms;
    if (out->count == 0 || out->count > SCHEMA_SAMPLES_MAX || b->d_ms[0] != 0 ||
        b->base_ms > 253402300799999 || (uint64_t)b->first_seq + out->count - 1 > UINT32_MAX)
        return false;
    out->samples = calloc(out->count, sizeof *out->samples);
    for (size_t i = 0; i < out->count; i++) {
        time_ms += b->d_ms[i];
        out->samples[i].time_ms = (int64_t)time_ms;
    }
    if (time_ms > 253402300799999)
        goto out;
    for (size_t i = 0; i < REFERENCE_COLUMNS; i++) {
        size_t times;
        const Freehub__V1__Missing *m = reference_missing(b, columns[i].field, &times);

        listed += times;
        if (times > 1 || (m && columns[i].count == 0))
            goto out;
        if (columns[i].count > 0 && (!reference_absent(m, out->count, absent) ||
                                     !reference_column_expand(&columns[i], i, absent, out)))
            goto out;
    }
    valid = listed == b->n_missing; /* else one names a field that is no column */
out:
    if (!valid) {
        free(out->samples);
        out->samples = NULL;
    }
    return valid;
}

/* Where the walk and the reference differ on a payload that both hold valid, or NULL. */
static inline const char *reference_difference(const struct schema *schema, struct str payload,
                                               const struct reference *expected)
{
    struct payload_row row, last;
    struct payload_rows rows;
    struct payload_facts facts;
    int64_t times_ms[SCHEMA_COLUMNS_MAX];
    size_t count = 0;
    uint64_t ever = 0;
    int64_t newest[REFERENCE_COLUMNS], newest_ms[REFERENCE_COLUMNS];

    if (!payload_rows_init(&rows, schema, payload))
        return "rows refuse it";
    while (payload_rows_next(&rows, &row)) {
        const struct reference_sample *sample = &expected->samples[count];

        if (count == expected->count)
            return "too many rows";
        if (row.time_ms != sample->time_ms || row.sample != rows.facts.first_sample + count)
            return "time or sample number of a row";
        if (row.present != sample->present)
            return "presence in a row";
        for (size_t i = 0; i < REFERENCE_COLUMNS; i++) {
            if (!(row.present >> i & 1))
                continue;
            if (row.values[i] != sample->values[i])
                return "value in a row";
            ever |= UINT64_C(1) << i;
            newest[i] = row.values[i];
            newest_ms[i] = row.time_ms;
        }
        count++;
    }
    if (count != expected->count)
        return "too few rows";
    if (!payload_last(schema, payload, &facts, &last, times_ms))
        return "last refuses it";
    if (facts.sample_count != count || facts.first_ms != expected->samples[0].time_ms ||
        facts.last_ms != expected->samples[count - 1].time_ms)
        return "facts";
    if (last.present != ever)
        return "presence of the last values";
    for (size_t i = 0; i < REFERENCE_COLUMNS; i++)
        if ((ever >> i & 1) && (last.values[i] != newest[i] || times_ms[i] != newest_ms[i]))
            return "a last value or its time";
    return NULL;
}

#endif
