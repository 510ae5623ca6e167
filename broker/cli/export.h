/* broker/cli/export.h -- telemetry out of a store as CSV, one row a sample. */
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

#endif
