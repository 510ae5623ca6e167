#include "broker/cli/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/mem.h"
#include "broker/cli/csv.h"

/* An export under way. */
struct export_run {
    struct csv *csv;
    const struct schema_column *columns;
    size_t column_count;
    uint64_t rows;
};

static void write_header(struct export_run *e)
{
    static const char *const names[] = {"bike",     "boot",         "sample",       "trip",
                                        "time_utc", "time_suspect", "bike_time_ms", "received_utc"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        csv_text(e->csv, str_from(names[i]));
    for (size_t i = 0; i < e->column_count; i++)
        csv_text(e->csv, str_from(e->columns[i].name));
    (void)csv_row(e->csv);
}

static bool write_row(void *ctx, const struct store_row *row)
{
    struct export_run *e = ctx;

    csv_text(e->csv, row->bike_id);
    csv_uint(e->csv, row->boot);
    csv_uint(e->csv, row->values->sample);
    csv_uint(e->csv, row->trip);
    csv_time(e->csv, row->time_ms);
    csv_uint(e->csv, (row->flags & STORE_TIME_SUSPECT) != 0);
    csv_int(e->csv, row->bike_ms);
    csv_time(e->csv, row->recv_ms);
    for (size_t i = 0; i < e->column_count; i++) {
        if (row->values->present >> i & 1)
            csv_decimal(e->csv, row->values->values[i], e->columns[i].decimals);
        else
            csv_empty(e->csv);
    }
    e->rows++;
    return csv_row(e->csv);
}

/* Every row to `fd`. */
static int export_to(struct store *store, const struct export_request *request,
                     const struct store_query *query, int fd, uint64_t *rows,
                     struct err_detail *detail)
{
    struct export_run e = {.rows = 0};
    int rc, end;

    e.columns = schema_columns(request->schema, &e.column_count);
    rc = csv_new(&e.csv, fd);
    if (rc)
        return err_set(detail, rc, "%s", err_text(rc));
    write_header(&e);
    rc = store_rows(store, query, write_row, &e, detail);
    end = csv_end(e.csv);
    *rows = e.rows;
    if (rc || end == 0 || (end == ERR_CLOSED && !request->path))
        return rc;
    return err_set(detail, end, "write %s: %s", request->path ? request->path : "the rows",
                   err_text(end));
}

static int fail_errno(struct err_detail *detail, const char *what, const char *path)
{
    int cause = errno;

    return err_set(detail, err_from_errno(cause), "%s %s: %s", what, path, strerror(cause));
}

static int export_to_file(struct store *store, const struct export_request *request,
                          const struct store_query *query, uint64_t *rows,
                          struct err_detail *detail)
{
    static const char suffix[] = ".XXXXXX";
    size_t len = strlen(request->path);
    char *beside = mem_try(len + sizeof suffix);
    int fd, rc;

    if (!beside)
        return err_set(detail, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    memcpy(beside, request->path, len);
    memcpy(beside + len, suffix, sizeof suffix);
    fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0) {
        rc = fail_errno(detail, "make", beside);
        goto out;
    }
    rc = export_to(store, request, query, fd, rows, detail);
    if (!rc && fsync(fd) != 0)
        rc = fail_errno(detail, "write", beside);
    if (close(fd) != 0 && !rc)
        rc = fail_errno(detail, "write", beside);
    if (!rc && rename(beside, request->path) != 0)
        rc = fail_errno(detail, "name", request->path);
    if (rc)
        unlink(beside);
out:
    mem_free(beside);
    return rc;
}

int export_telemetry(struct store *store, const struct export_request *request, uint64_t *rows,
                     struct err_detail *detail)
{
    struct store_query query = {
        .schema = request->schema, .from_ms = request->from_ms, .to_ms = request->to_ms};
    uint64_t ignored;

    if (!schema_is_columnar(request->schema))
        return err_set(detail, ERR_INVALID, "%s has no samples", schema_name(request->schema));
    if (request->from_ms >= request->to_ms)
        return err_set(detail, ERR_INVALID, "the time range is empty: it ends before it begins");
    if (request->bike.len > 0 && store_bike_find(store, request->bike, &query.bike))
        return err_set(detail, ERR_NOTFOUND, "no bike \"%.*s\" has sent anything yet",
                       (int)request->bike.len, request->bike.at);
    if (request->path)
        return export_to_file(store, request, &query, rows ? rows : &ignored, detail);
    return export_to(store, request, &query, request->fd, rows ? rows : &ignored, detail);
}

/* ---- messages ---- */

struct messages_run {
    struct csv *csv;
    const struct schema_set *schemas;
    uint64_t rows;
};

static bool write_message(void *ctx, const struct store_message *message)
{
    struct messages_run *run = ctx;
    const struct schema *schema = schema_by_id(run->schemas, message->schema);

    csv_uint(run->csv, message->sequence);
    csv_time(run->csv, message->recv_ms);
    csv_text(run->csv, message->bike_id);
    csv_text(run->csv, str_from(schema ? schema_name(schema) : "raw"));
    csv_text(run->csv, message->topic);
    csv_hex(run->csv, message->payload);
    run->rows++;
    return csv_row(run->csv);
}

static int messages_query(struct store *store, const struct export_messages_request *request,
                          struct store_message_query *query, struct err_detail *detail)
{
    const struct schema *schema = schema_by_name(request->schemas, request->type);

    *query = (struct store_message_query){.every_type = request->type.len == 0,
                                          .schema = schema ? schema_id(schema) : SCHEMA_RAW,
                                          .from_ms = request->from_ms,
                                          .to_ms = request->to_ms};
    if (!schema && !query->every_type && !str_equal(request->type, STR_LITERAL("raw")))
        return err_set(detail, ERR_INVALID, "\"%.*s\" is no message type", (int)request->type.len,
                       request->type.at);
    if (request->bike.len > 0 && store_bike_find(store, request->bike, &query->bike))
        return err_set(detail, ERR_NOTFOUND, "no bike \"%.*s\" has sent anything",
                       (int)request->bike.len, request->bike.at);
    return 0;
}

int export_messages(struct store *store, const struct export_messages_request *request,
                    uint64_t *rows, struct err_detail *detail)
{
    static const char *const names[] = {"sequence", "received_utc", "bike",
                                        "type",     "topic",        "payload_hex"};
    struct messages_run run = {.schemas = request->schemas};
    struct store_message_query query;
    int end, rc = messages_query(store, request, &query, detail);

    if (rc)
        return rc;
    rc = csv_new(&run.csv, request->fd);
    if (rc)
        return err_set(detail, rc, "%s", err_text(rc));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        csv_text(run.csv, str_from(names[i]));
    if (csv_row(run.csv))
        rc = store_messages_each(store, &query, write_message, &run, detail);
    end = csv_end(run.csv);
    *rows = run.rows;
    if (rc || end == 0 || end == ERR_CLOSED)
        return rc;
    return err_set(detail, end, "write the rows: %s", err_text(end));
}
