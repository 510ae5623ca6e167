#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/mem.h"
#include "broker/cli/batch.h"
#include "broker/cli/decimal.h"
#include "broker/cli/rides.h"
#include "broker/payload/payload.h"

static struct schema_set *set;
static const struct schema *schema;

static void load(void)
{
    struct err_detail detail = {""};

    cr_assert_eq(schema_set_load(&set, &detail), 0, "%s", detail.text);
    schema = schema_by_name(set, STR_LITERAL("freehub.v1.Batch"));
}

static void unload(void)
{
    schema_set_free(set);
}

Test(decimal, text_is_rounded_half_away_from_zero)
{
    static const struct {
        const char *text;
        unsigned decimals;
        int64_t value;
    } rows[] = {
        {"0", 0, 0},
        {"12", 0, 12},
        {"-12", 2, -1200},
        {"53.384937", 7, 533849370},
        {"53.38493705", 7, 533849371},
        {"53.38493704999", 7, 533849370},
        {"-0.5", 0, -1},
        {"0.49999", 0, 0},
        {"-1.25", 1, -13},
        {".5", 1, 5},
        {"5.", 1, 50},
        {"+1.0", 0, 1},
        {"-0", 3, 0},
        {"9223372036854775806", 0, INT64_MAX - 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 0;

        cr_expect_eq(decimal_parse(str_from(rows[i].text), rows[i].decimals, &value), 0, "%s",
                     rows[i].text);
        cr_expect_eq(value, rows[i].value, "%s: %lld", rows[i].text, (long long)value);
    }
}

Test(decimal, what_is_no_number_is_refused)
{
    static const struct {
        const char *text;
        int rc;
    } rows[] = {
        {"", ERR_INVALID},
        {"-", ERR_INVALID},
        {".", ERR_INVALID},
        {"53.3x85817", ERR_INVALID},
        {"1.2.3", ERR_INVALID},
        {" 1", ERR_INVALID},
        {"1e3", ERR_INVALID},
        {"--1", ERR_INVALID},
        {"9223372036854775807", ERR_TOO_LARGE},
        {"922337203685477580.8", ERR_TOO_LARGE},
        {"99999999999999999999", ERR_TOO_LARGE},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value;

        cr_expect_eq(decimal_parse(str_from(rows[i].text), 1, &value), rows[i].rc, "\"%s\"",
                     rows[i].text);
    }
}

/* ---- files ---- */

/* A ride file with this text; the caller unlinks and frees the path. */
static char *file_with(const char *text)
{
    char *path = mem_copy_text(STR_LITERAL("/tmp/freehub-ride-XXXXXX"));
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static int read_text(const char *text, struct ride *out, struct err_detail *detail)
{
    char *path = file_with(text);
    int rc = ride_read(out, path, schema, detail);

    unlink(path);
    mem_free(path);
    return rc;
}

Test(rides, cells_become_integers_and_what_is_unreadable_is_missing, .init = load, .fini = unload)
{
    struct err_detail detail = {""};
    struct ride ride;

    cr_assert_eq(read_text("time_utc,lat,heart,speed_mps,gps_accuracy_m\r\n"
                           "2023-11-03T14:58:14Z,53.3x85817,88,1.005,3.04\n"
                           "not a time,53.4,,,\n"
                           "1901-12-13T20:45:52.207Z,91,,,0\n"
                           "2023-11-03T14:58:15Z,-53.4\n",
                           &ride, &detail),
                 0, "%s", detail.text);
    cr_expect_eq(ride.count, 3);
    cr_expect_eq(ride.cells_unreadable, 3, "a letter, a latitude of 91, an accuracy of 0");
    cr_expect_eq(ride.rows_without_time, 1);
    cr_expect_eq(ride.samples[0].time_ms, 1699023494000);
    cr_expect_eq(ride.samples[0].present, 1u << RIDE_SPEED | 1u << RIDE_GPS_ACCURACY);
    cr_expect_eq(ride.samples[0].values[RIDE_SPEED], 101);
    cr_expect_eq(ride.samples[0].values[RIDE_GPS_ACCURACY], 30);
    cr_expect_lt(ride.samples[1].time_ms, 0);
    cr_expect_eq(ride.samples[1].present, 0);
    cr_expect_eq(ride.samples[2].values[RIDE_LATITUDE], -534000000);
    ride_fini(&ride);
}

Test(rides, a_file_that_is_no_ride_is_refused, .init = load, .fini = unload)
{
    static const char *const rows[] = {"", "lat,lon\n1,2\n", "time_utc,lat\n", "time_utc\nnever\n",
                                       "time_utc\n\"2023-11-03T14:58:14Z"};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail detail = {""};
        struct ride ride;

        cr_expect_eq(read_text(rows[i], &ride, &detail), ERR_INVALID, "\"%s\"", rows[i]);
        cr_expect(detail.text[0] != '\0', "\"%s\"", rows[i]);
        ride_fini(&ride);
    }
}

Test(rides, columns_are_those_of_the_batch, .init = load, .fini = unload)
{
    static const struct {
        enum ride_column column;
        const char *name;
    } rows[] = {{RIDE_LATITUDE, "latitude_deg"},
                {RIDE_GPS_ACCURACY, "gps_accuracy_m"},
                {RIDE_RIDER_POWER, "rider_power_w"},
                {RIDE_BATTERY_SOC, "battery_soc_pct"},
                {RIDE_ODOMETER, "odometer_m"},
                {RIDE_ASSIST, "assist_level"},
                {RIDE_FLAGS, "flags"},
                {RIDE_AMBIENT_TEMPERATURE, "ambient_temperature_c"}};
    size_t count;
    const struct schema_column *columns = schema_columns(schema, &count);

    cr_assert_eq(count, RIDE_COLUMNS);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_str_eq(columns[rows[i].column].name, rows[i].name);
}

/* ---- batches ---- */

/* Every sample comes back as it went in; returns the number of batches. */
static size_t expect_round_trip(const struct ride *ride, const struct batch_head *from, size_t most)
{
    struct batch_head head = *from;
    size_t done = 0, batches = 0;

    while (done < ride->count) {
        uint8_t bytes[BATCH_BYTES_MAX];
        struct payload_rows rows;
        struct payload_row row;
        size_t taken = 0, len, left = ride->count - done;

        head.first_sample = from->first_sample + (uint32_t)done;
        len = batch_pack(&head, ride->samples + done, left, most, bytes, &taken);
        cr_assert(taken > 0 && taken <= most && taken <= left);
        cr_assert_leq(len, BATCH_BYTES_MAX);
        cr_assert(payload_rows_init(&rows, schema, str_of_bytes(bytes, len)), "%s: sample %zu",
                  ride->name, done);
        cr_assert_eq(rows.facts.sample_count, taken);
        cr_assert_eq(rows.facts.boot, head.boot);
        cr_assert_eq(rows.facts.trip, head.trip);
        cr_assert_eq(rows.facts.time_ok, head.time_ok);
        for (size_t i = 0; i < taken; i++) {
            const struct ride_sample *sample = &ride->samples[done + i];

            cr_assert(payload_rows_next(&rows, &row));
            cr_assert_eq(row.sample, head.first_sample + i);
            cr_assert_eq(row.time_ms, sample->time_ms + head.shift_ms);
            cr_assert_eq(row.present, sample->present, "%s: sample %zu", ride->name, done + i);
            for (unsigned c = 0; c < RIDE_COLUMNS; c++)
                cr_assert(!(row.present >> c & 1) || row.values[c] == sample->values[c],
                          "%s: sample %zu, column %u", ride->name, done + i, c);
        }
        cr_assert(!payload_rows_next(&rows, &row));
        done += taken;
        batches++;
    }
    return batches;
}

Test(batch, it_is_split_where_time_goes_back_or_a_difference_does_not_fit, .init = load,
     .fini = unload)
{
    static const struct batch_head head = {
        .boot = 9, .trip = 2, .first_sample = 50, .time_ok = true};
    struct ride_sample samples[] = {
        {.time_ms = 5000},
        {.time_ms = 5000, .present = 1u << RIDE_LONGITUDE, .values[RIDE_LONGITUDE] = -1800000000},
        {.time_ms = 6000},
        {.time_ms = 7000, .present = 1u << RIDE_LONGITUDE, .values[RIDE_LONGITUDE] = 1800000000},
        {.time_ms = 4000},
        {.time_ms = 4000 + (int64_t)UINT32_MAX},
        {.time_ms = 4001 + 2 * (int64_t)UINT32_MAX},
    };
    struct ride ride = {.samples = samples, .count = ARRAY_LEN(samples)};
    uint8_t bytes[BATCH_BYTES_MAX];
    size_t taken;

    cr_expect_eq(expect_round_trip(&ride, &head, BATCH_SAMPLES_MAX), 4);
    batch_pack(&head, samples, ride.count, BATCH_SAMPLES_MAX, bytes, &taken);
    cr_expect_eq(taken, 3, "the longitude turns over");
    batch_pack(&head, samples + 3, ride.count - 3, BATCH_SAMPLES_MAX, bytes, &taken);
    cr_expect_eq(taken, 1, "the clock goes back");
    batch_pack(&head, samples + 4, ride.count - 4, BATCH_SAMPLES_MAX, bytes, &taken);
    cr_expect_eq(taken, 2, "the pause is too long");
}

Test(batch, every_pattern_of_missing_samples_comes_back, .init = load, .fini = unload)
{
    static const struct batch_head head = {.boot = 1};

    for (unsigned pattern = 0; pattern < 1u << 9; pattern++) {
        struct ride_sample samples[9];
        struct ride ride = {.samples = samples, .count = ARRAY_LEN(samples)};

        for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
            samples[i] = (struct ride_sample){.time_ms = (int64_t)(1000 * i)};
            for (unsigned c = 0; c < RIDE_COLUMNS; c++)
                samples[i].values[c] = 5 + (int64_t)(i / 3);
            if (pattern >> i & 1)
                samples[i].present = (1u << RIDE_COLUMNS) - 1;
        }
        cr_expect_eq(expect_round_trip(&ride, &head, BATCH_SAMPLES_MAX), 1);
    }
}

Test(batch, the_largest_values_fit_in_8_kib, .init = load, .fini = unload)
{
    static const struct batch_head head = {.boot = UINT32_MAX, .trip = UINT32_MAX, .time_ok = true};
    static struct ride_sample samples[BATCH_SAMPLES_MAX];
    struct ride ride = {.samples = samples, .count = BATCH_SAMPLES_MAX};
    size_t count;
    const struct schema_column *columns = schema_columns(schema, &count);

    for (size_t i = 0; i < ride.count; i++) {
        samples[i].time_ms = (int64_t)(i * 4000000000u);
        for (unsigned c = 0; c < RIDE_COLUMNS; c++) {
            samples[i].values[c] = i % 2 || c == RIDE_LONGITUDE ? columns[c].max : columns[c].min;
            if (!columns[c].has_none || samples[i].values[c] != columns[c].none)
                samples[i].present |= UINT64_C(1) << c;
        }
    }
    cr_expect_geq(expect_round_trip(&ride, &head, BATCH_SAMPLES_MAX), 1);
}

/* Real rides lie outside the project. */
Test(batch, recorded_rides_come_back_sample_for_sample, .init = load, .fini = unload)
{
    const char *folder = getenv("FREEHUB_RIDES");
    struct err_detail detail = {""};
    size_t samples = 0, unreadable = 0;
    struct rides rides;

    if (!folder) {
        fprintf(stderr, "skipped: recorded rides (FREEHUB_RIDES names no folder)\n");
        return;
    }
    cr_assert_eq(rides_read(&rides, folder, schema, &detail), 0, "%s", detail.text);
    for (size_t i = 0; i < rides.count; i++) {
        struct batch_head head = {.boot = (uint32_t)i + 1, .trip = 1, .time_ok = true};

        for (size_t k = 0; k < rides.at[i].count; k++)
            if (rides.at[i].samples[k].time_ms + head.shift_ms < 0)
                head.shift_ms = -rides.at[i].samples[k].time_ms;
        expect_round_trip(&rides.at[i], &head, 10);
        expect_round_trip(&rides.at[i], &head, BATCH_SAMPLES_MAX);
        samples += rides.at[i].count;
        unreadable += rides.at[i].cells_unreadable;
        cr_expect_eq(rides.at[i].rows_without_time, 0, "%s", rides.at[i].name);
    }
    fprintf(stderr, "%zu rides, %zu samples, %zu unreadable cells\n", rides.count, samples,
            unreadable);
    cr_expect_gt(samples, 1000);
    rides_fini(&rides);
}
