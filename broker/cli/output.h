/* broker/cli/output.h -- lists as people and programs want them: a table, JSON (an array of
 * objects) or CSV (RFC 4180). One description of columns serves all three. */
#ifndef FREEHUB_BROKER_CLI_OUTPUT_H
#define FREEHUB_BROKER_CLI_OUTPUT_H

#include <stdio.h>

#include "broker/base/base.h"
#include "broker/base/err.h"

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV };

/* "table", "json" or "csv"; ERR_INVALID. */
CHECKED int output_format_parse(const char *text, enum output_format *out);

enum output_kind {
    OUTPUT_TEXT,
    OUTPUT_NUMBER, /* right-aligned; written bare in JSON */
};

struct output_column {
    const char *name; /* JSON member, CSV heading: snake_case, unit last */
    enum output_kind kind;
};

enum { OUTPUT_COLUMNS_MAX = 16, OUTPUT_ROW_MAX_BYTES = 1 << 20 };

struct output;

/* `columns` are borrowed. The caller owns `*out`. ERR_NOMEM. */
CHECKED int output_begin(struct output **out, FILE *to, enum output_format format,
                         const struct output_column *columns, size_t column_count);

/* One cell a column; NULL is "no value": empty, null in JSON, "-" in a table. Cells are copied or
 * written at once. ERR_NOMEM, ERR_IO, ERR_TOO_LARGE. */
CHECKED int output_row(struct output *o, const char *const *cells);

/* Write what is left and free `o`. A table without rows is not written at all. ERR_IO. */
CHECKED int output_end(struct output *o);

/* A stored integer as decimal text: 1234 with 2 decimals is "12.34". Returns the length. */
enum { OUTPUT_DECIMAL_MAX = 40 };
size_t output_decimal(char out[OUTPUT_DECIMAL_MAX], int64_t value, unsigned decimals);

#endif
