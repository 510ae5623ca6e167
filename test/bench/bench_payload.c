/* What the hot path pays to know a payload: validation, the newest values, rows. One sample and 60
 * samples of all columns, 16 different batches in turn, so that the branch predictor does not learn
 * one of them by heart. Prints a table, or one JSON object a figure with --json. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "freehub/v1/telemetry.pb-c.h"

#include "broker/payload/payload.h"

enum { BATCHES = 16, BATCH_BYTES = 8192, SAMPLES_LARGE = 60, RUNS = 7 };

struct bench_batch {
    uint8_t bytes[BATCH_BYTES];
    size_t len;
};

static struct bench_batch batches[2][BATCHES];
static bool json;

static int32_t noise(uint32_t *seed, int32_t span)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (int32_t)(*seed >> 8) % span - span / 2;
}

/* A ride's numbers: absolute first values, small differences. */
static void delta_column(int32_t *to, size_t n, int32_t first, int32_t span, uint32_t *seed)
{
    for (size_t i = 0; i < n; i++)
        to[i] = i == 0 ? first + noise(seed, span) : i % 2 ? abs(noise(seed, span)) : 0;
}

static void make(struct bench_batch *out, size_t n, uint32_t seed)
{
    static const int32_t firsts[] = {482000000, 116000000, 5190,   640, 120, 250, 6500,
                                     3650,      500,       123456, 40,  25,  180};
    static const int32_t spans[] = {2000, 2000, 6, 40, 60, 80, 900, 6, 2, 80, 2, 2, 2};
    Freehub__V1__Batch b = FREEHUB__V1__BATCH__INIT;
    int32_t deltas[ARRAY_LEN(firsts)][SAMPLES_LARGE];
    uint32_t d_ms[SAMPLES_LARGE], acc[SAMPLES_LARGE], cadence[SAMPLES_LARGE];
    uint32_t assist[] = {3, (uint32_t)n}, flags[] = {129, (uint32_t)n};

    for (size_t i = 0; i < n; i++) {
        d_ms[i] = i == 0 ? 0 : 1000;
        acc[i] = 30 + (uint32_t)abs(noise(&seed, 20));
        cadence[i] = 60 + (uint32_t)abs(noise(&seed, 60));
    }
    for (size_t i = 0; i < ARRAY_LEN(firsts); i++)
        delta_column(deltas[i], n, firsts[i], spans[i], &seed);
    b.boot_id = 12;
    b.trip_seq = 3;
    b.first_seq = 1000 + seed % 100000;
    b.base_ms = 1790000000000 + seed % 1000;
    b.time_ok = true;
    b.n_d_ms = b.n_acc_dm = b.n_cadence = n;
    b.d_ms = d_ms;
    b.acc_dm = acc;
    b.cadence = cadence;
    b.n_d_lat_e7 = b.n_d_lon_e7 = b.n_d_alt_dm = b.n_d_speed_cms = b.n_d_rider_w = n;
    b.n_d_motor_w = b.n_d_batt_ma = b.n_d_batt_cv = b.n_d_soc_pm = b.n_d_odo_dm = n;
    b.n_d_temp_motor_c = b.n_d_temp_batt_c = b.n_d_temp_ambient_dc = n;
    b.d_lat_e7 = deltas[0];
    b.d_lon_e7 = deltas[1];
    b.d_alt_dm = deltas[2];
    b.d_speed_cms = deltas[3];
    b.d_rider_w = deltas[4];
    b.d_motor_w = deltas[5];
    b.d_batt_ma = deltas[6];
    b.d_batt_cv = deltas[7];
    b.d_soc_pm = deltas[8];
    b.d_odo_dm = deltas[9];
    b.d_temp_motor_c = deltas[10];
    b.d_temp_batt_c = deltas[11];
    b.d_temp_ambient_dc = deltas[12];
    b.n_assist = b.n_flags = 2;
    b.assist = assist;
    b.flags = flags;
    if (freehub__v1__batch__get_packed_size(&b) > sizeof out->bytes)
        abort();
    out->len = freehub__v1__batch__pack(&b, out->bytes);
}

typedef uint64_t bench_fn(const struct schema *schema, struct str payload);

static uint64_t run_validate(const struct schema *schema, struct str payload)
{
    struct payload_facts facts;
    const char *why;

    if (!payload_validate(schema, payload, &facts, &why)) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    return facts.sample_count;
}

static uint64_t run_last(const struct schema *schema, struct str payload)
{
    UNINITIALIZED int64_t times_ms[SCHEMA_COLUMNS_MAX];
    struct payload_facts facts;
    UNINITIALIZED struct payload_row row;

    if (!payload_last(schema, payload, &facts, &row, times_ms))
        exit(1);
    return row.present & 1;
}

static uint64_t run_rows(const struct schema *schema, struct str payload)
{
    UNINITIALIZED struct payload_rows rows;
    UNINITIALIZED struct payload_row row;
    uint64_t count = 0;

    if (!payload_rows_init(&rows, schema, payload))
        exit(1);
    while (payload_rows_next(&rows, &row))
        count += row.present & 1;
    return count;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

/* CPU time of this thread: what other programs do meanwhile does not count. */
static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The median of some runs, in ns of CPU time a call. */
static double measure(bench_fn *run, const struct schema *schema, const struct bench_batch *from,
                      size_t calls)
{
    double ns[RUNS];
    uint64_t sum = 0;

    for (size_t r = 0; r < RUNS; r++) {
        uint64_t begin = cpu_ns();

        for (size_t i = 0; i < calls; i++)
            sum += run(schema, str_of_bytes(from[i % BATCHES].bytes, from[i % BATCHES].len));
        ns[r] = (double)(cpu_ns() - begin) / (double)calls;
    }
    if (sum == 0)
        exit(1);
    qsort(ns, RUNS, sizeof *ns, compare);
    return ns[RUNS / 2];
}

static void print(const char *name, double ns, double target_ns)
{
    if (json && target_ns > 0)
        printf("{\"name\":\"%s\",\"value\":%.1f,\"unit\":\"ns\",\"target\":%.0f}\n", name, ns,
               target_ns);
    else if (json)
        printf("{\"name\":\"%s\",\"value\":%.1f,\"unit\":\"ns\"}\n", name, ns);
    else if (target_ns > 0)
        printf("%-34s %9.1f ns  target %.0f\n", name, ns, target_ns);
    else
        printf("%-34s %9.1f ns\n", name, ns);
}

int main(int argc, char **argv)
{
    static const size_t samples[] = {1, SAMPLES_LARGE};
    struct err_detail detail;
    const struct schema *schema;
    struct schema_set *set;

    json = argc > 1 && strcmp(argv[1], "--json") == 0;
    if (schema_set_load(&set, &detail)) {
        fprintf(stderr, "%s\n", detail.text);
        return 1;
    }
    schema = schema_by_name(set, STR_LITERAL("freehub.v1.Batch"));
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < BATCHES; i++)
            make(&batches[k][i], samples[k], 77 * i + 1);
    if (!json)
        printf("payloads of %zu and %zu bytes\n", batches[0][0].len, batches[1][0].len);
    print("payload_validate_1_sample", measure(run_validate, schema, batches[0], 1000000), 80);
    print("payload_last_1_sample", measure(run_last, schema, batches[0], 1000000), 100);
    print("payload_rows_1_sample", measure(run_rows, schema, batches[0], 1000000), 0);
    print("payload_validate_60_samples", measure(run_validate, schema, batches[1], 50000), 0);
    print("payload_rows_60_samples", measure(run_rows, schema, batches[1], 50000), 0);
    schema_set_free(set);
    return 0;
}
