/* storage/query.h -- rows out of the log, in order, each once, in bounded memory. */
#ifndef FREEHUB_STORAGE_QUERY_H
#define FREEHUB_STORAGE_QUERY_H

#include "storage/store.h"

/* What one pass over the log may hold: rows picked, bytes of their payloads, bytes of spans of
 * samples met (storage/seen.h). Each may be exceeded by nothing. */
struct query_limits {
    size_t rows_max;      /* >= twice the samples of the largest batch */
    size_t payload_bytes; /* >= twice the largest payload */
    size_t seen_bytes;
};

/* 2 Mi rows of 24 bytes, 128 MiB, 64 MiB. */
extern const struct query_limits query_limits_default;

/* store_rows() under other limits. ERR_TOO_LARGE: the samples of a single bike lie so scattered
 * that their spans do not fit. Any thread. */
CHECKED int query_rows(struct store *s, const struct store_query *query,
                       const struct query_limits *limits, store_row_fn *visit, void *ctx,
                       struct err_detail *detail);

#endif
