/* broker/cli/csv.h -- rows of text cells, numbers and times as RFC 4180 has them: commas, CRLF,
 * quotes where needed. Exact decimals out of integers; no floating point, no printf. A text cell
 * that a spreadsheet would take for a formula begins with an apostrophe.
 *
 * Errors stay until csv_end() tells them, so that a row is written straight down. One thread. */
#ifndef FREEHUB_BROKER_CLI_CSV_H
#define FREEHUB_BROKER_CLI_CSV_H

#include "broker/base/base.h"
#include "broker/base/err.h"

struct csv; /* opaque: defined in csv.c */

enum {
    CSV_TEXT_MAX_BYTES = 4096, /* of a text cell; longer ones are cut */
    CSV_DECIMALS_MAX = 18,
};

/* Rows go to `fd`, which stays the caller's. The caller owns `*out`. 0 or ERR_NOMEM. */
CHECKED int csv_new(struct csv **out, int fd);

/* Cells of the row, from left to right. */
void csv_text(struct csv *c, struct str text);
void csv_uint(struct csv *c, uint64_t value);
void csv_int(struct csv *c, int64_t value);
void csv_decimal(struct csv *c, int64_t value, unsigned decimals); /* value / 10^decimals */
void csv_time(struct csv *c, int64_t wall_ms); /* ISO-8601 UTC, as chrono_iso_format() */
void csv_hex(struct csv *c, struct str bytes); /* two digits a byte, of any length */
void csv_empty(struct csv *c);                 /* no value */

/* End the row. False once something has failed: more rows are pointless. */
bool csv_row(struct csv *c);

/* Write what is left and free `c`. 0; ERR_CLOSED: the reader of a pipe has gone; ERR_NOSPACE,
 * ERR_IO. */
CHECKED int csv_end(struct csv *c);

#endif
