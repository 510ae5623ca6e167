/* What was stored, read again: `bench_history [--json] [--rows N] [--folder DIR]`.
 *
 * N one-sample batches of BIKES bikes in groups of GROUP rows. Then, on one core and with the log
 * in the page cache: replay, which is opening the store (CRC, every payload walked, `latest`
 * updated), and every row in order through the query. CPU time; each figure is the median of
 * ROUNDS. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "freehub/v1/telemetry.pb-c.h"

#include "broker/base/chrono.h"
#include "broker/base/log.h"
#include "storage/record.h"
#include "storage/store.h"

enum {
    BIKES = 2000,
    GROUP = 4096,
    ROWS_DEFAULT = 2000000,
    RING_BYTES = 8 << 20,
    ROUNDS = 3,
    FOLDER_MAX = 256,
};

static bool as_json;
static char folder[FOLDER_MAX];
static struct schema_set *set;
static uint64_t bytes_total;

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_history: %s: %s\n", what, why);
    exit(1);
}

/* `target` 0: there is none. */
static void print(const char *name, double value, const char *unit, double target)
{
    if (as_json && target > 0)
        printf("{\"part\":\"history\",\"name\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"peer\":null,"
               "\"ratio\":null,\"target\":\">= %.0f\"}\n",
               name, value, unit, target);
    else if (as_json)
        printf("{\"part\":\"history\",\"name\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"peer\":null,"
               "\"ratio\":null,\"target\":null}\n",
               name, value, unit);
    else if (target > 0)
        printf("%-20s %12.4g %-8s target >= %.0f: %s\n", name, value, unit, target,
               value >= target ? "met" : "MISSED");
    else
        printf("%-20s %12.4g %s\n", name, value, unit);
    fflush(stdout);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static double seconds_cpu(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct store *open_store(bool read_only)
{
    struct store_options options;
    struct err_detail detail = {""};
    struct store *store;

    store_options_default(&options);
    options.folder = folder;
    options.schemas = set;
    options.read_only = read_only;
    options.commit_interval_ms = 0;
    if (store_open(&store, &options, &detail))
        die("open", detail.text);
    return store;
}

/* A sample as a riding bike sends it. */
static struct str make_payload(uint64_t number, int64_t time_ms, uint8_t *room)
{
    Freehub__V1__Batch b = FREEHUB__V1__BATCH__INIT;
    uint32_t zero = 0, accuracy = 31, cadence = 60 + (uint32_t)(number % 30);
    uint32_t assist[2] = {3, 1};
    int32_t lat = 523456789 + (int32_t)(number % 100000), lon = 134567891,
            speed = 500 + (int32_t)(number % 300), rider = 120, motor = 210, soc = 734,
            odo = 12345678 + (int32_t)(number / BIKES);

    b.boot_id = 17;
    b.trip_seq = 3;
    b.first_seq = (uint32_t)(number / BIKES);
    b.base_ms = (uint64_t)time_ms;
    b.time_ok = 1;
#define ONE(field, value) (b.n_##field = 1, b.field = &(value))
    ONE(d_ms, zero);
    ONE(d_lat_e7, lat);
    ONE(d_lon_e7, lon);
    ONE(acc_dm, accuracy);
    ONE(d_speed_cms, speed);
    ONE(cadence, cadence);
    ONE(d_rider_w, rider);
    ONE(d_motor_w, motor);
    ONE(d_soc_pm, soc);
    ONE(d_odo_dm, odo);
#undef ONE
    b.n_assist = 2;
    b.assist = assist;
    return str_of_bytes(room, freehub__v1__batch__pack(&b, room));
}

static void wait_for(struct ring *ring, uint64_t end)
{
    ring_publish(ring);
    while (ring_committed(ring) < end)
        usleep(50);
    ring_release(ring, end);
}

static void fill(uint64_t rows)
{
    struct record record = {.type = RECORD_TELEMETRY, .schema = 1};
    struct store *store = open_store(false);
    struct err_detail detail = {""};
    int64_t now = chrono_wall_ms();
    uint8_t payload[512];
    struct ring *ring;
    uint64_t end = 0;

    if (store_ring_new(store, RING_BYTES, NULL, NULL, &ring) || store_start(store, &detail))
        die("start", detail.text);
    for (uint64_t i = 0; i < rows; i++) {
        char id[16];
        void *room;

        snprintf(id, sizeof id, "bike-%04u", (unsigned)(i % BIKES));
        record.recv_ms = now + (int64_t)(i / BIKES) * 1000;
        record.payload = make_payload(i, record.recv_ms - 200, payload);
        if (store_bike_number(store, ring, str_from(id), &record.bike) ||
            !(room = ring_reserve(ring, record_bytes(&record))))
            die("ring", "full");
        record_write(room, &record);
        bytes_total += record_bytes(&record);
        end = ring_append(ring, record_bytes(&record));
        if (i % GROUP == GROUP - 1)
            wait_for(ring, end);
    }
    ring_publish(ring);
    while (ring_committed(ring) < end)
        usleep(50);
    /* The last group is not released: so there is no checkpoint, and a start replays everything. */
    if (store_stop(store, &detail))
        die("stop", detail.text);
    store_close(store);
}

static bool count_row(void *ctx, const struct store_row *row)
{
    (void)row;
    ++*(uint64_t *)ctx;
    return true;
}

static double median(double values[ROUNDS])
{
    for (size_t i = 0; i + 1 < ROUNDS; i++)
        for (size_t k = i + 1; k < ROUNDS; k++)
            if (values[k] < values[i]) {
                double swap = values[i];

                values[i] = values[k];
                values[k] = swap;
            }
    return values[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    struct store_query query = {NULL, 0, INT64_MIN, INT64_MAX};
    double replays[ROUNDS], reads[ROUNDS];
    uint64_t rows = ROWS_DEFAULT;
    struct err_detail detail = {""};
    const char *base = ".";

    log_configure(2, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            as_json = true;
        else if (strcmp(argv[i], "--rows") == 0 && i + 1 < argc)
            rows = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc)
            base = argv[++i];
        else
            die(argv[i], "usage: bench_history [--json] [--rows N] [--folder DIR]");
    }
    if (rows == 0 || schema_set_load(&set, &detail))
        die("start", detail.text);
    snprintf(folder, sizeof folder, "%s/bench-history-XXXXXX", base);
    if (!mkdtemp(folder))
        die(folder, strerror(errno));
    fill(rows);
    query.schema = schema_by_id(set, 1);
    for (size_t i = 0; i < ROUNDS; i++) {
        double start = seconds_cpu(), opened;
        uint64_t seen = 0;
        struct store *store = open_store(true);

        opened = seconds_cpu();
        if (store_rows(store, &query, count_row, &seen, &detail) || seen != rows)
            die("rows", detail.text);
        replays[i] = (double)rows / (opened - start);
        reads[i] = (double)rows / (seconds_cpu() - opened);
        store_close(store);
    }
    print("record_bytes", (double)bytes_total / (double)rows, "B", 0);
    print("replay", median(replays), "rows/s", 10000000);
    print("query", median(reads), "rows/s", 1000000);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    schema_set_free(set);
    return 0;
}
