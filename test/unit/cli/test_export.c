#include "broker/cli/export.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "test/unit/storage/folder.h"
#include "test/unit/storage/telemetry.h"

#define NOW INT64_C(1764000000000) /* 2025-11-24T16:00:00Z */

static char folder[64];
static struct schema_set *set;
static struct store *store;
static char text[1 << 16];

static void put(struct ring *ring, const char *id, const struct telemetry *batch, int64_t recv_ms)
{
    uint8_t room[TELEMETRY_BYTES];
    struct record record = {.type = RECORD_TELEMETRY, .schema = BATCH_SCHEMA, .recv_ms = recv_ms};

    record.payload = telemetry_pack(batch, room);
    cr_assert_eq(store_bike_number(store, ring, str_from(id), &record.bike), 0);
    ring_wait(ring, ring_put(ring, &record));
}

static void set_up(void)
{
    static const struct telemetry live = {1, 4, 10, 2, NOW, true, 500, 123, 2};
    static const struct telemetry early = {1, 0, 9, 1, NOW - 1000, true, 0, 5, 0};
    static const struct telemetry odd = {2, 0, 0, 1, 4711, false, 0, 7, 1};
    struct store_options options;
    struct ring *ring;

    folder_make(folder, false);
    cr_assert_eq(schema_set_load(&set, NULL), 0);
    store_options_default(&options);
    options.folder = folder;
    options.schemas = set;
    options.prewrite_max_bytes = 1 << 20;
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    cr_assert_eq(store_ring_new(store, 1 << 16, NULL, NULL, &ring), 0);
    cr_assert_eq(store_start(store, NULL), 0);
    put(ring, "z,1", &live, NOW + 900);
    put(ring, "z,1", &early, NOW + 950); /* late */
    put(ring, "z,1", &live, NOW + 960);  /* again */
    put(ring, "=b", &odd, NOW + 1000);
}

static void tear_down(void)
{
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
    schema_set_free(set);
    folder_remove(folder);
}

static struct export_request everything(void)
{
    return (struct export_request){.schema = schema_by_id(set, BATCH_SCHEMA),
                                   .from_ms = INT64_MIN,
                                   .to_ms = INT64_MAX,
                                   .fd = -1};
}

/* Every line must begin with the given cells; the columns are looked at by name. */
static void expect_text(const char *const *lines, size_t count)
{
    char *at = text;

    for (size_t i = 0; i < count; i++) {
        char *end = strstr(at, "\r\n");

        cr_assert_not_null(end, "line %zu is missing", i);
        *end = '\0';
        cr_expect(strncmp(at, lines[i], strlen(lines[i])) == 0, "line %zu: %s", i, at);
        at = end + 2;
    }
    cr_expect_str_eq(at, "", "nothing follows");
}

static int run(struct export_request *request, uint64_t *rows)
{
    int fd = memfd_create("export", 0), rc;
    ssize_t len;

    cr_assert_geq(fd, 0);
    request->fd = fd;
    rc = export_telemetry(store, request, rows, NULL);
    len = pread(fd, text, sizeof text - 1, 0);
    cr_assert_geq(len, 0);
    text[len] = '\0';
    close(fd);
    return rc;
}

#define HEADER                                                                                     \
    "bike,boot,sample,trip,time_utc,time_suspect,bike_time_ms,received_utc,latitude_deg,"          \
    "longitude_deg,altitude_m,gps_accuracy_m,speed_mps,cadence_rpm,"

static const char *const lines[] = {
    HEADER,
    "\"z,1\",1,9,0,2025-11-24T15:59:59.000Z,0,1763999999000,2025-11-24T16:00:00.950Z,,,,,0.05,,",
    "\"z,1\",1,10,4,2025-11-24T16:00:00.000Z,0,1764000000000,2025-11-24T16:00:00.900Z,,,,,1.23,,",
    "\"z,1\",1,11,4,2025-11-24T16:00:00.500Z,0,1764000000500,2025-11-24T16:00:00.900Z,,,,,1.24,1,",
    "'=b,2,0,0,2025-11-24T16:00:01.000Z,1,4711,2025-11-24T16:00:01.000Z,,,,,0.07,0,",
};

Test(export, one_row_a_sample_in_order, .init = set_up, .fini = tear_down)
{
    struct export_request request = everything();
    uint64_t rows;

    cr_assert_eq(run(&request, &rows), 0);
    cr_expect_eq(rows, 4);
    expect_text(lines, ARRAY_LEN(lines));
}

Test(export, bike_and_range_narrow_it, .init = set_up, .fini = tear_down)
{
    const char *const some[] = {lines[0], lines[2]};
    struct export_request request = everything();

    request.bike = STR_LITERAL("z,1");
    request.from_ms = NOW;
    request.to_ms = NOW + 500;
    cr_assert_eq(run(&request, NULL), 0);
    expect_text(some, 2);
}

Test(export, a_file_is_complete_or_not_there, .init = set_up, .fini = tear_down)
{
    struct export_request request = everything();
    struct err_detail detail = {""};
    char path[96], listing[1024] = "";
    struct dirent **names;
    ssize_t len;
    int fd, count;

    snprintf(path, sizeof path, "%s/out.csv", folder);
    request.path = path;
    cr_assert_eq(export_telemetry(store, &request, NULL, &detail), 0, "%s", detail.text);
    fd = open(path, O_RDONLY);
    len = read(fd, text, sizeof text - 1);
    cr_assert_gt(len, 0);
    text[len] = '\0';
    close(fd);
    expect_text(lines, ARRAY_LEN(lines));

    snprintf(path, sizeof path, "%s/nowhere/out.csv", folder);
    cr_expect_eq(export_telemetry(store, &request, NULL, &detail), ERR_NOTFOUND);
    cr_expect(strstr(detail.text, "nowhere"), "%s", detail.text);

    snprintf(path, sizeof path, "%s/log", folder); /* a folder is in the way */
    cr_expect_neq(export_telemetry(store, &request, NULL, &detail), 0);
    count = scandir(folder, &names, NULL, alphasort);
    cr_assert_gt(count, 0);
    for (int i = 0; i < count; i++) {
        strcat(strcat(listing, names[i]->d_name), " ");
        free(names[i]);
    }
    free(names);
    cr_expect_str_eq(listing, ". .. core.mdb core.mdb-lock log out.csv run ");
}

Test(export, what_cannot_be_asked, .init = set_up, .fini = tear_down)
{
    struct export_request request = everything();
    struct err_detail detail = {""};

    request.bike = STR_LITERAL("nobody");
    cr_expect_eq(export_telemetry(store, &request, NULL, &detail), ERR_NOTFOUND);
    cr_expect(strstr(detail.text, "nobody"), "%s", detail.text);
    request = everything();
    request.to_ms = request.from_ms;
    cr_expect_eq(export_telemetry(store, &request, NULL, &detail), ERR_INVALID);
    request = everything();
    request.schema = schema_by_name(set, STR_LITERAL("freehub.v1.TripStart"));
    cr_assert_not_null(request.schema);
    cr_expect_eq(export_telemetry(store, &request, NULL, &detail), ERR_INVALID);
}

Test(export, failing_writes, .init = set_up, .fini = tear_down)
{
    struct export_request request = everything();
    struct err_detail detail = {""};
    int pipes[2];

    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(pipes), 0);
    close(pipes[0]);
    request.fd = pipes[1];
    cr_expect_eq(export_telemetry(store, &request, NULL, &detail), 0, "the reader had enough");
    close(pipes[1]);
    request.fd = open("/dev/full", O_WRONLY);
    cr_expect_eq(export_telemetry(store, &request, NULL, &detail), ERR_NOSPACE);
    cr_expect(strstr(detail.text, "no space"), "%s", detail.text);
    close(request.fd);
}
