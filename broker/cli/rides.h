/* broker/cli/rides.h -- recorded rides from CSV files, as the integers that a Batch carries.
 *
 * The header line names the columns: time_utc, and of lat, lon, alt_m, speed_mps, cadence_rpm,
 * power_w, distance_m, temperature_c, gps_accuracy_m, battery_soc_pct, assist_level what there is;
 * others are ignored. An empty cell is missing. Nothing is repaired or sorted. */
#ifndef FREEHUB_BROKER_CLI_RIDES_H
#define FREEHUB_BROKER_CLI_RIDES_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/payload/schema.h"

/* The columns of freehub.v1.Batch, in its order: index and bit of a sample's values. */
enum ride_column {
    RIDE_LATITUDE,
    RIDE_LONGITUDE,
    RIDE_ALTITUDE,
    RIDE_GPS_ACCURACY,
    RIDE_SPEED,
    RIDE_CADENCE,
    RIDE_RIDER_POWER,
    RIDE_MOTOR_POWER,
    RIDE_BATTERY_CURRENT,
    RIDE_BATTERY_VOLTAGE,
    RIDE_BATTERY_SOC,
    RIDE_ODOMETER,
    RIDE_ASSIST,
    RIDE_MOTOR_TEMPERATURE,
    RIDE_BATTERY_TEMPERATURE,
    RIDE_FLAGS,
    RIDE_AMBIENT_TEMPERATURE,
    RIDE_COLUMNS
};

struct ride_sample {
    int64_t time_ms; /* Unix ms; below 0 for a clock before 1970 */
    uint64_t present;
    int64_t values[RIDE_COLUMNS]; /* in the column's decimals */
};

enum { RIDE_NAME_MAX = 96, RIDE_SAMPLES_MAX = 10 * 1000 * 1000 };

struct ride {
    char name[RIDE_NAME_MAX]; /* of the file */
    struct ride_sample *samples;
    size_t count;
    uint32_t cells_unreadable;  /* no number, or out of the column's bounds: taken as missing */
    uint32_t rows_without_time; /* left out */
};

struct rides {
    struct ride *at;
    size_t count;
};

/* Read one file. ERR_INVALID when it has no time_utc column, no sample, or breaks off in quotes; an
 * err_from_errno() code when it cannot be read. `batch` is the schema of freehub.v1.Batch. `out` is
 * freed with ride_fini(), also after an error. Any thread. */
CHECKED int ride_read(struct ride *out, const char *path, const struct schema *batch,
                      struct err_detail *detail);
void ride_fini(struct ride *ride);

/* Read every CSV file of a folder that has a time_utc column, by name. ERR_NOTFOUND when there is
 * none. Freed with rides_fini(), also after an error. Any thread. */
CHECKED int rides_read(struct rides *out, const char *folder, const struct schema *batch,
                       struct err_detail *detail);
void rides_fini(struct rides *rides);

#endif
