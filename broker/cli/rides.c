#include "broker/cli/rides.h"

#include <csv.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/cli/decimal.h"

enum { CSV_COLUMNS_MAX = 64, READ_BYTES = 64 * 1024, IGNORED = -1, TIME = -2, FILES_MAX = 10000 };

static const struct {
    const char *heading;
    enum ride_column column;
} headings[] = {
    {"lat", RIDE_LATITUDE},
    {"lon", RIDE_LONGITUDE},
    {"alt_m", RIDE_ALTITUDE},
    {"speed_mps", RIDE_SPEED},
    {"cadence_rpm", RIDE_CADENCE},
    {"power_w", RIDE_RIDER_POWER},
    {"distance_m", RIDE_ODOMETER},
    {"temperature_c", RIDE_AMBIENT_TEMPERATURE},
    {"gps_accuracy_m", RIDE_GPS_ACCURACY},
    {"battery_soc_pct", RIDE_BATTERY_SOC},
    {"assist_level", RIDE_ASSIST},
};

/* One file while it is read. */
struct reader {
    struct ride *ride;
    const struct schema_column *columns;
    int targets[CSV_COLUMNS_MAX]; /* by place in the row: enum ride_column, IGNORED or TIME */
    size_t target_count;
    size_t place; /* in the row */
    size_t room;  /* samples */
    bool in_header, has_time;
    struct ride_sample sample;
    int rc;
};

static int heading_target(struct str text)
{
    if (str_equal(text, STR_LITERAL("time_utc")))
        return TIME;
    for (size_t i = 0; i < ARRAY_LEN(headings); i++)
        if (str_equal(text, str_from(headings[i].heading)))
            return (int)headings[i].column;
    return IGNORED;
}

static void cell_take(struct reader *r, enum ride_column column, struct str text)
{
    const struct schema_column *c = &r->columns[column];
    int64_t value;

    if (text.len == 0)
        return;
    if (decimal_parse(text, c->decimals, &value) || value < c->min || value > c->max ||
        (c->has_none && value == c->none)) {
        r->ride->cells_unreadable++;
        return;
    }
    r->sample.values[column] = value;
    r->sample.present |= UINT64_C(1) << column;
}

static void on_cell(void *text, size_t len, void *ctx)
{
    struct reader *r = ctx;
    struct str cell = str_of_bytes(text, len);
    size_t place = r->place++;

    if (place >= CSV_COLUMNS_MAX)
        return;
    if (r->in_header) {
        r->targets[place] = heading_target(cell);
        r->target_count = place + 1;
        return;
    }
    if (place >= r->target_count || r->targets[place] == IGNORED)
        return;
    if (r->targets[place] == TIME)
        r->has_time = chrono_iso_parse(cell, &r->sample.time_ms) == 0;
    else
        cell_take(r, (enum ride_column)r->targets[place], cell);
}

static void sample_keep(struct reader *r)
{
    struct ride *ride = r->ride;

    if (ride->count == r->room) {
        size_t room = r->room ? 2 * r->room : 1024;
        struct ride_sample *grown = NULL;

        if (ride->count < RIDE_SAMPLES_MAX)
            grown = mem_try_resize(ride->samples, room * sizeof *grown);
        if (!grown) {
            r->rc = ERR_TOO_LARGE;
            return;
        }
        ride->samples = grown;
        r->room = room;
    }
    ride->samples[ride->count++] = r->sample;
}

static void on_row(int end, void *ctx)
{
    struct reader *r = ctx;

    (void)end;
    if (r->in_header)
        r->in_header = false;
    else if (r->has_time && !r->rc)
        sample_keep(r);
    else if (!r->rc)
        r->ride->rows_without_time++;
    r->place = 0;
    r->has_time = false;
    r->sample = (struct ride_sample){0};
}

static bool has_time_column(const struct reader *r)
{
    for (size_t i = 0; i < r->target_count; i++)
        if (r->targets[i] == TIME)
            return true;
    return false;
}

static int file_parse(struct reader *r, FILE *file)
{
    struct csv_parser parser;
    char bytes[READ_BYTES];
    size_t len;
    int rc = 0;

    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI))
        return ERR_NOMEM;
    while (!rc && !r->rc && (len = fread(bytes, 1, sizeof bytes, file)) > 0)
        if (csv_parse(&parser, bytes, len, on_cell, on_row, r) != len)
            rc = csv_error(&parser) == CSV_ENOMEM ? ERR_NOMEM : ERR_INVALID;
    if (!rc && ferror(file))
        rc = ERR_IO;
    if (!rc && !r->rc && csv_fini(&parser, on_cell, on_row, r))
        rc = ERR_INVALID;
    csv_free(&parser);
    return rc ? rc : r->rc;
}

int ride_read(struct ride *out, const char *path, const struct schema *batch,
              struct err_detail *detail)
{
    struct reader r = {.ride = out, .in_header = true};
    const char *slash = strrchr(path, '/');
    size_t count;
    FILE *file;
    int rc;

    *out = (struct ride){0};
    snprintf(out->name, sizeof out->name, "%s", slash ? slash + 1 : path);
    r.columns = schema_columns(batch, &count);
    ASSERT(count == RIDE_COLUMNS);
    file = fopen(path, "re");
    if (!file)
        return err_set(detail, err_from_errno(errno), "%s: %s", path, strerror(errno));
    rc = file_parse(&r, file);
    fclose(file);
    if (rc)
        return err_set(detail, rc, "%s: %s", path, rc == ERR_INVALID ? "not CSV" : err_text(rc));
    if (!has_time_column(&r))
        return err_set(detail, ERR_INVALID, "%s: no column time_utc", path);
    if (out->count == 0)
        return err_set(detail, ERR_INVALID, "%s: no sample", path);
    return 0;
}

void ride_fini(struct ride *ride)
{
    mem_free(ride->samples);
    *ride = (struct ride){0};
}

/* ---- a folder ---- */

static int only_csv(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 4 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 4, ".csv") == 0;
}

/* Whether the first line names time_utc: the folder may hold other tables. */
static bool is_ride(const char *path)
{
    char line[1024];
    FILE *file = fopen(path, "re");
    bool found;

    if (!file)
        return false;
    found = fgets(line, sizeof line, file) && strstr(line, "time_utc");
    fclose(file);
    return found;
}

static int rides_add(struct rides *out, const char *folder, const char *name,
                     const struct schema *batch, struct err_detail *detail)
{
    size_t bytes = strlen(folder) + strlen(name) + sizeof "/";
    char *path = mem_new(bytes);
    int rc = 0;

    snprintf(path, bytes, "%s/%s", folder, name);
    if (is_ride(path))
        rc = ride_read(&out->at[out->count++], path, batch, detail);
    mem_free(path);
    return rc;
}

int rides_read(struct rides *out, const char *folder, const struct schema *batch,
               struct err_detail *detail)
{
    struct dirent **entries = NULL;
    int found = scandir(folder, &entries, only_csv, alphasort), rc = 0;

    *out = (struct rides){0};
    if (found < 0)
        return err_set(detail, err_from_errno(errno), "%s: %s", folder, strerror(errno));
    if (found > FILES_MAX)
        rc = err_set(detail, ERR_TOO_LARGE, "%s: more than %d files", folder, FILES_MAX);
    out->at = mem_new(((size_t)found + 1) * sizeof *out->at);
    for (int i = 0; i < found; i++) {
        if (!rc)
            rc = rides_add(out, folder, entries[i]->d_name, batch, detail);
        free(entries[i]);
    }
    free(entries);
    if (!rc && out->count == 0)
        rc = err_set(detail, ERR_NOTFOUND, "%s: no CSV file with a column time_utc", folder);
    return rc;
}

void rides_fini(struct rides *rides)
{
    for (size_t i = 0; i < rides->count; i++)
        ride_fini(&rides->at[i]);
    mem_free(rides->at);
    *rides = (struct rides){0};
}
