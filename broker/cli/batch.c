#include "broker/cli/batch.h"

#include "freehub/v1/telemetry.pb-c.h"

enum { FIELD_OF_FIRST_COLUMN = 11 }; /* RIDE_LATITUDE; the others follow one by one */

/* A Batch with room for all its columns, so that packing needs no heap. */
struct draft {
    Freehub__V1__Batch b;
    uint32_t d_ms[BATCH_SAMPLES_MAX];
    int32_t deltas[RIDE_COLUMNS][BATCH_SAMPLES_MAX];
    uint32_t counts[RIDE_COLUMNS][2 * BATCH_SAMPLES_MAX]; /* plain values, or runs */
    Freehub__V1__Missing missing[RIDE_COLUMNS], *missing_list[RIDE_COLUMNS];
    uint32_t runs[RIDE_COLUMNS][BATCH_SAMPLES_MAX + 1];
};

static bool is_there(const struct ride_sample *sample, unsigned column)
{
    return sample->present >> column & 1;
}

static bool fits_sint32(int64_t from, int64_t to)
{
    return to - from >= INT32_MIN && to - from <= INT32_MAX;
}

/* Whether samples[n] can follow samples[0..n-1] in one batch. */
static bool can_follow(const struct ride_sample *samples, size_t n,
                       const int64_t last[RIDE_COLUMNS])
{
    int64_t d_ms = samples[n].time_ms - samples[n - 1].time_ms;

    if (d_ms < 0 || d_ms > UINT32_MAX)
        return false;
    for (unsigned c = 0; c < RIDE_COLUMNS; c++)
        if (is_there(&samples[n], c) && !fits_sint32(last[c], samples[n].values[c]))
            return false;
    return true;
}

/* How many samples one batch may take; the last value of each column starts at 0. */
static size_t batch_reach(const struct ride_sample *samples, size_t most)
{
    int64_t last[RIDE_COLUMNS] = {0};
    size_t n = 0;

    do {
        for (unsigned c = 0; c < RIDE_COLUMNS; c++)
            if (is_there(&samples[n], c))
                last[c] = samples[n].values[c];
        n++;
    } while (n < most && can_follow(samples, n, last));
    return n;
}

static size_t column_deltas(const struct ride_sample *samples, size_t n, unsigned column,
                            int32_t *to)
{
    int64_t last = 0;
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        if (!is_there(&samples[i], column))
            continue;
        to[count++] = (int32_t)(samples[i].values[column] - last);
        last = samples[i].values[column];
    }
    return count;
}

static size_t column_plain(const struct ride_sample *samples, size_t n, unsigned column,
                           uint32_t *to)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        if (is_there(&samples[i], column))
            to[count++] = (uint32_t)samples[i].values[column];
    return count;
}

static size_t column_runs(const struct ride_sample *samples, size_t n, unsigned column,
                          uint32_t *to)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t value = (uint32_t)samples[i].values[column];

        if (!is_there(&samples[i], column))
            continue;
        if (count > 0 && to[count - 2] == value) {
            to[count - 1]++;
            continue;
        }
        to[count++] = value;
        to[count++] = 1;
    }
    return count;
}

/* Runs of present and absent samples in turn; the last present ones need none. */
static void column_missing(struct draft *d, const struct ride_sample *samples, size_t n,
                           unsigned column)
{
    Freehub__V1__Missing *m = &d->missing[d->b.n_missing];
    uint32_t *runs = d->runs[d->b.n_missing];
    size_t count = 1; /* of runs; an odd one is of present samples */

    runs[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_there(&samples[i], column) != (count % 2 == 1))
            runs[count++] = 0;
        runs[count - 1]++;
    }
    if (count % 2 == 1)
        count--;
    freehub__v1__missing__init(m);
    m->column = FIELD_OF_FIRST_COLUMN + column;
    m->runs = runs;
    m->n_runs = count;
    d->missing_list[d->b.n_missing++] = m;
}

static void draft_fill(struct draft *d, const struct batch_head *head,
                       const struct ride_sample *samples, size_t n)
{
    Freehub__V1__Batch *b = &d->b;
    const struct {
        size_t *count;
        int32_t **deltas;
        uint32_t **counts;
        bool is_runs;
    } fields[RIDE_COLUMNS] = {
        [RIDE_LATITUDE] = {&b->n_d_lat_e7, &b->d_lat_e7, NULL, false},
        [RIDE_LONGITUDE] = {&b->n_d_lon_e7, &b->d_lon_e7, NULL, false},
        [RIDE_ALTITUDE] = {&b->n_d_alt_dm, &b->d_alt_dm, NULL, false},
        [RIDE_GPS_ACCURACY] = {&b->n_acc_dm, NULL, &b->acc_dm, false},
        [RIDE_SPEED] = {&b->n_d_speed_cms, &b->d_speed_cms, NULL, false},
        [RIDE_CADENCE] = {&b->n_cadence, NULL, &b->cadence, false},
        [RIDE_RIDER_POWER] = {&b->n_d_rider_w, &b->d_rider_w, NULL, false},
        [RIDE_MOTOR_POWER] = {&b->n_d_motor_w, &b->d_motor_w, NULL, false},
        [RIDE_BATTERY_CURRENT] = {&b->n_d_batt_ma, &b->d_batt_ma, NULL, false},
        [RIDE_BATTERY_VOLTAGE] = {&b->n_d_batt_cv, &b->d_batt_cv, NULL, false},
        [RIDE_BATTERY_SOC] = {&b->n_d_soc_pm, &b->d_soc_pm, NULL, false},
        [RIDE_ODOMETER] = {&b->n_d_odo_dm, &b->d_odo_dm, NULL, false},
        [RIDE_ASSIST] = {&b->n_assist, NULL, &b->assist, true},
        [RIDE_MOTOR_TEMPERATURE] = {&b->n_d_temp_motor_c, &b->d_temp_motor_c, NULL, false},
        [RIDE_BATTERY_TEMPERATURE] = {&b->n_d_temp_batt_c, &b->d_temp_batt_c, NULL, false},
        [RIDE_FLAGS] = {&b->n_flags, NULL, &b->flags, true},
        [RIDE_AMBIENT_TEMPERATURE] = {&b->n_d_temp_ambient_dc, &b->d_temp_ambient_dc, NULL, false},
    };

    freehub__v1__batch__init(b);
    b->boot_id = head->boot;
    b->trip_seq = head->trip;
    b->first_seq = head->first_sample;
    b->base_ms = (uint64_t)(samples[0].time_ms + head->shift_ms);
    b->time_ok = head->time_ok;
    b->d_ms = d->d_ms;
    b->n_d_ms = n;
    for (size_t i = 0; i < n; i++)
        d->d_ms[i] = i == 0 ? 0 : (uint32_t)(samples[i].time_ms - samples[i - 1].time_ms);
    b->missing = d->missing_list;
    for (unsigned c = 0; c < RIDE_COLUMNS; c++) {
        size_t present = 0;

        for (size_t i = 0; i < n; i++)
            present += is_there(&samples[i], c);
        if (present == 0)
            continue;
        if (fields[c].deltas) {
            *fields[c].deltas = d->deltas[c];
            *fields[c].count = column_deltas(samples, n, c, d->deltas[c]);
        } else {
            *fields[c].counts = d->counts[c];
            *fields[c].count = fields[c].is_runs ? column_runs(samples, n, c, d->counts[c])
                                                 : column_plain(samples, n, c, d->counts[c]);
        }
        if (present < n)
            column_missing(d, samples, n, c);
    }
}

size_t batch_pack(const struct batch_head *head, const struct ride_sample *samples, size_t count,
                  size_t most, uint8_t *to, size_t *out_taken)
{
    UNINITIALIZED struct draft d;
    size_t n;

    ASSERT(count > 0 && most > 0 && most <= BATCH_SAMPLES_MAX);
    n = batch_reach(samples, most < count ? most : count);
    draft_fill(&d, head, samples, n);
    while (freehub__v1__batch__get_packed_size(&d.b) > BATCH_BYTES_MAX) {
        n -= n / 4; /* ends long before n is 3: a sample takes 200 bytes at most */
        draft_fill(&d, head, samples, n);
    }
    *out_taken = n;
    return freehub__v1__batch__pack(&d.b, to);
}
