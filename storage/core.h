/* storage/core.h -- `core.mdb`: what is known from the log up to a checkpoint, so that the log
 * before it may go. Tables of one LMDB environment, default sync mode:
 *
 *     meta        "meta": struct core_meta; "s" + u64 BE first sequence: a sealed segment
 *     bikes       id -> u32 number
 *     latest      u32 BE bike -> its state, see head.c
 *     quarantine  u64 BE sequence -> the record as in the log
 *
 * Every value begins with the CRC32C of its key and the rest, since LMDB has none. Written by one
 * thread at a time: main at open and stop, the maintenance thread between. */
#ifndef FREEHUB_STORAGE_CORE_H
#define FREEHUB_STORAGE_CORE_H

#include "broker/base/base.h"
#include "broker/base/err.h"

enum { CORE_FORMAT = 1, CORE_UUID_BYTES = 16 };
#define CORE_MAP_BYTES ((size_t)16 << 30)

struct core; /* opaque: defined in core.c */

struct core_meta {
    uint8_t uuid[CORE_UUID_BYTES]; /* of the store, as in every segment */
    uint64_t checkpoint;           /* records before it are in these tables */
    uint64_t log_first;            /* segments before it are retention's leftovers */
    uint64_t quarantined, quarantine_dropped, quarantine_bytes;
    uint64_t segments_dropped;
};

/* A sealed segment, as found when it was checkpointed. */
struct core_segment {
    uint64_t first, next;                /* records [first, next) */
    int64_t recv_first_ms, recv_last_ms; /* least and greatest arrival of its telemetry */
};

/* Open or make `folder`/core.mdb. A new one has checkpoint and log_first 1 and no UUID.
 * ERR_CORRUPT, ERR_UNSUPPORTED (a newer format), ERR_NOTFOUND (read-only and not there) and so on,
 * with the reason in `detail`. The caller owns `*out`. Main thread. */
CHECKED int core_open(struct core **out, const char *folder, bool read_only,
                      struct err_detail *detail);
void core_close(struct core *c);

/* True until the first commit of a core that this open made. */
bool core_is_new(const struct core *c);

/* ---- reading, from one snapshot ---- */

/* NULL functions are skipped. A visitor that returns non-zero ends the walk with that code. Bytes
 * live during the call. */
struct core_visitor {
    int (*bike)(void *ctx, uint32_t number, struct str id);
    int (*latest)(void *ctx, uint32_t bike, struct str state);
    int (*segment)(void *ctx, const struct core_segment *segment);
    int (*quarantined)(void *ctx, uint64_t sequence, struct str record); /* ascending */
    /* A value whose CRC or form is wrong: skipped. `table` is static. */
    void (*bad)(void *ctx, const char *table);
    void *ctx;
};

/* Any thread. */
CHECKED int core_read(struct core *c, struct core_meta *meta, const struct core_visitor *visitor,
                      struct err_detail *detail);

/* ---- writing: core_begin, puts, core_commit. After any failure only core_abort() ---- */

CHECKED int core_begin(struct core *c, struct err_detail *detail);
CHECKED int core_put_bike(struct core *c, uint32_t number, struct str id);
CHECKED int core_put_latest(struct core *c, uint32_t bike, struct str state);
CHECKED int core_put_segment(struct core *c, const struct core_segment *segment);
/* What was put before, ERR_NOTFOUND or ERR_CORRUPT. */
CHECKED int core_find_segment(struct core *c, uint64_t first, struct core_segment *out);
/* Forget the sealed segments before `first`. */
CHECKED int core_drop_segments(struct core *c, uint64_t first);
/* The counters in `meta` follow. The same sequence again changes nothing. */
CHECKED int core_put_quarantined(struct core *c, struct core_meta *meta, uint64_t sequence,
                                 struct str record);
/* Drop the oldest until at most `max_bytes` are left. */
CHECKED int core_trim_quarantine(struct core *c, struct core_meta *meta, uint64_t max_bytes);
/* On disk when it returns 0. */
CHECKED int core_commit(struct core *c, const struct core_meta *meta, struct err_detail *detail);
void core_abort(struct core *c);

#endif
