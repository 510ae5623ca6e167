/* broker/cli/export.h -- out of a store as CSV: telemetry, one row a sample, and stored messages as
 * they came. */
#ifndef FREEHUB_BROKER_CLI_EXPORT_H
#define FREEHUB_BROKER_CLI_EXPORT_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "storage/store.h"

struct export_request {
    const struct schema *schema; /* a columnar type */
    struct str bike;             /* id; empty = every bike */
    int64_t from_ms, to_ms;      /* effective time, from inclusive, to exclusive */
    const char *path;            /* a file, complete or not there at all; NULL: */
    int fd;                      /* an open file, such as standard output */
};

/* Write the header and every row of the request, in order of (bike, time, boot, sample): bike,
 * boot, sample, trip, time_utc, time_suspect (0 or 1), bike_time_ms, received_utc, then the type's
 * columns, empty where there is no value. With `path` the rows go to a new file beside it, which
 * takes its name at the end. `*rows` may be NULL. 0, also when the reader of a pipe has gone;
 * ERR_NOTFOUND: no such bike; ERR_INVALID: the range is empty or the type has no samples;
 * ERR_NOSPACE and so on. The process ignores SIGPIPE. Any thread. */
CHECKED int export_telemetry(struct store *store, const struct export_request *request,
                             uint64_t *rows, struct err_detail *detail);

struct export_messages_request {
    struct str bike;        /* id; empty = every bike */
    struct str type;        /* full name or "raw"; empty = every type */
    int64_t from_ms, to_ms; /* of arrival, from inclusive, to exclusive */
    const struct schema_set *schemas;
    int fd;
};

/* One row a stored message in order of sequence: sequence, received_utc, bike, type, topic (of raw
 * ones), payload_hex. Errors as export_telemetry(). Any thread. */
CHECKED int export_messages(struct store *store, const struct export_messages_request *request,
                            uint64_t *rows, struct err_detail *detail);

#endif
