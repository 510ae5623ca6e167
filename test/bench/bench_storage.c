/* The storage layer alone: `bench_storage [--json] [--seconds S] [--folder DIR]`.
 *
 * One producer fills a ring with 87-byte records and keeps two groups of N rows in flight, so that
 * each commit takes N rows. CPU is of the whole process. Device bytes are the sectors that the
 * folder's disk counted, pre-written zeros included, after a sync before and after; others who
 * write to the same disk meanwhile are counted too. Each figure is the median of ROUNDS. A run is
 * long enough that the zeros ahead of its end, which the next rows would use, weigh little. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/chrono.h"
#include "broker/base/log.h"
#include "storage/record.h"
#include "storage/segment.h"
#include "storage/store.h"

enum {
    ROW_BYTES = 87,
    RING_BYTES = 8 << 20,
    ROUNDS = 3,
    SYNC_PROBES = 200,
    FOLDER_MAX = 256,
};

struct figures {
    double rows_s, cpu_us_row, device_bytes_row;
};

static bool as_json;
static char folder[FOLDER_MAX];

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_storage: %s: %s\n", what, why);
    exit(1);
}

/* `target` 0: there is none. `at_least`: the value is to be at least the target, else at most. */
static void print(const char *name, double value, const char *unit, double target, bool at_least)
{
    if (as_json) {
        printf("{\"part\":\"storage\",\"name\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"peer\":null,"
               "\"ratio\":null,\"target\":",
               name, value, unit);
        if (target > 0)
            printf("\"%s %.0f\"}\n", at_least ? ">=" : "<=", target);
        else
            printf("null}\n");
    } else {
        printf("%-28s %12.4g %-10s", name, value, unit);
        if (target > 0)
            printf(" target %s %.0f: %s", at_least ? ">=" : "<=", target,
                   (at_least ? value >= target : value <= target) ? "met" : "MISSED");
        printf("\n");
    }
    fflush(stdout);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static double cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Bytes written by the disk that `folder` is on since it started; 0 where it does not say. */
static uint64_t device_bytes(void)
{
    unsigned long long reads[4], written[3] = {0};
    struct stat where;
    char path[64];
    FILE *file;

    sync();
    if (stat(folder, &where) != 0)
        return 0;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(where.st_dev),
             minor(where.st_dev));
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu %llu %llu %llu %llu %llu", &reads[0], &reads[1], &reads[2],
               &reads[3], &written[0], &written[1], &written[2]) != 7)
        written[2] = 0;
    fclose(file);
    return written[2] * 512;
}

/* The disk's own time for 4 KiB over written blocks and a sync. */
static double fdatasync_us_p50(void)
{
    static _Alignas(4096) char page[4096];
    double took[SYNC_PROBES];
    char path[FOLDER_MAX + 16];
    int fd;

    snprintf(path, sizeof path, "%s/probe", folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path, strerror(errno));
    for (off_t i = 0; i < SYNC_PROBES; i++)
        if (pwrite(fd, page, sizeof page, i * (off_t)sizeof page) < 0)
            die(path, strerror(errno));
    fsync(fd);
    for (off_t i = 0; i < SYNC_PROBES; i++) {
        uint64_t start = chrono_mono_ns();

        if (pwrite(fd, page, sizeof page, i * (off_t)sizeof page) < 0 || fdatasync(fd) != 0)
            die(path, strerror(errno));
        took[i] = (double)(chrono_mono_ns() - start) / 1e3;
    }
    close(fd);
    unlink(path);
    return median(took, SYNC_PROBES);
}

static void on_committed(void *ctx)
{
    uint64_t one = 1;

    if (write(*(int *)ctx, &one, sizeof one) < 0)
        die("eventfd", strerror(errno));
}

static void on_failed(void *ctx, const struct err_detail *detail)
{
    (void)ctx;
    die("commit", detail->text);
}

static void wait_for(struct ring *ring, int event, uint64_t offset)
{
    while (ring_committed(ring) < offset) {
        uint64_t count;

        ring_sleep(ring, true);
        if (ring_committed(ring) < offset && read(event, &count, sizeof count) < 0)
            die("eventfd", strerror(errno));
        ring_sleep(ring, false);
    }
    ring_release(ring, offset);
}

static uint64_t append_rows(struct ring *ring, uint32_t rows, uint64_t *number)
{
    uint8_t payload[ROW_BYTES - RECORD_HEAD_BYTES] = {0};
    struct record record = {.type = RECORD_TELEMETRY,
                            .schema = 1,
                            .recv_ms = 1700000000000,
                            .payload = str_of_bytes(payload, sizeof payload)};
    uint64_t end = 0;

    for (uint32_t i = 0; i < rows; i++) {
        void *room = ring_reserve(ring, ROW_BYTES);

        if (!room)
            die("ring", "full");
        store_u64(payload, ++*number);
        record.bike = (uint32_t)(*number % 2000);
        record_write(room, &record);
        end = ring_append(ring, ROW_BYTES);
    }
    ring_publish(ring);
    return end;
}

static struct store *open_store(struct ring **ring, int *event)
{
    struct store_options options;
    struct err_detail detail = {""};
    struct store *store;

    store_options_default(&options);
    options.folder = folder;
    options.commit_interval_ms = 0;
    options.on_failed = on_failed;
    if (store_open(&store, &options, &detail) != 0 ||
        store_ring_new(store, RING_BYTES, on_committed, event, ring) != 0 ||
        store_start(store, &detail) != 0)
        die("store", detail.text);
    return store;
}

static struct figures ingest(uint32_t rows, double seconds)
{
    int event = eventfd(0, EFD_CLOEXEC);
    uint64_t number = 0, before = 0, start, device;
    struct err_detail detail = {""};
    struct ring *ring;
    struct store *store = open_store(&ring, &event);
    double cpu, took;

    wait_for(ring, event, append_rows(ring, rows, &number)); /* warm */
    device = device_bytes();
    cpu = cpu_us();
    start = chrono_mono_ns();
    number = 0;
    do {
        uint64_t end = append_rows(ring, rows, &number);

        if (before > 0)
            wait_for(ring, event, before);
        before = end;
        took = (double)(chrono_mono_ns() - start) / 1e9;
    } while (took < seconds);
    wait_for(ring, event, before);
    took = (double)(chrono_mono_ns() - start) / 1e9;
    cpu = cpu_us() - cpu;
    device = device_bytes() - device;
    if (store_stop(store, &detail) != 0)
        die("stop", detail.text);
    store_close(store);
    close(event);
    return (struct figures){(double)number / took, cpu / (double)number,
                            (double)device / (double)number};
}

static void bench_ingest(uint32_t rows, double seconds)
{
    double rates[ROUNDS], cpus[ROUNDS], device[ROUNDS];
    char name[64];

    for (size_t i = 0; i < ROUNDS; i++) {
        struct figures f = ingest(rows, seconds);

        rates[i] = f.rows_s;
        cpus[i] = f.cpu_us_row;
        device[i] = f.device_bytes_row;
    }
    snprintf(name, sizeof name, "rows_a_second_%u", rows);
    print(name, median(rates, ROUNDS), "rows/s", rows == 4096 ? 600000 : 0, true);
    snprintf(name, sizeof name, "cpu_%u", rows);
    print(name, median(cpus, ROUNDS), "us/row", 0, false);
    snprintf(name, sizeof name, "device_bytes_%u", rows);
    print(name, median(device, ROUNDS), "B/row", rows >= 256 ? 250 : 0, false);
}

/* Read the whole log as a start does: CRC of each block, each record looked at. */
static double replay(void)
{
    struct segment_list list;
    struct err_detail detail = {""};
    uint64_t rows = 0, bikes = 0, start;
    double took;

    if (segment_list_read(&list, folder, &detail) != 0)
        die("log", detail.text);
    start = chrono_mono_ns();
    for (size_t i = 0; i < list.count; i++) {
        struct segment_reader *reader;
        struct block block;

        if (segment_reader_open(&reader, folder, list.entries[i].first, i + 1 < list.count,
                                &detail) != 0)
            die("segment", detail.text);
        while (segment_reader_next(reader, &block) == 0) {
            struct block_walk walk = block_walk(&block);
            struct record record;
            uint64_t sequence;

            while (block_next(&walk, &record, &sequence)) {
                rows++;
                bikes += record.bike;
            }
        }
        segment_reader_close(reader);
    }
    took = (double)(chrono_mono_ns() - start) / 1e9;
    segment_list_free(&list);
    return bikes > 0 ? (double)rows / took : 0;
}

int main(int argc, char **argv)
{
    static const uint32_t groups[] = {1, 16, 256, 4096};
    const char *base = ".";
    double seconds = 4, rates[ROUNDS];

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            as_json = true;
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc)
            base = argv[++i];
        else
            die(argv[i], "usage: bench_storage [--json] [--seconds S] [--folder DIR]");
    }
    log_configure(STDERR_FILENO, LOG_FORMAT_LOGFMT, LOG_LEVEL_WARN);
    snprintf(folder, sizeof folder, "%s/bench-storage-XXXXXX", base);
    if (!mkdtemp(folder))
        die(folder, strerror(errno));
    print("fdatasync_p50", fdatasync_us_p50(), "us", 0, false);
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        bench_ingest(groups[i], groups[i] < 256 ? seconds / 4 : seconds);
    for (size_t i = 0; i < ROUNDS; i++)
        rates[i] = replay();
    print("replay", median(rates, ROUNDS), "rows/s", 10000000, true);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
