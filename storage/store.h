/* storage/store.h -- the durable log and what is known from it: the door of this folder.
 *
 * A store is a folder (mode 0700): `log/` segments, `core.mdb` (bikes, latest, quarantine, segment
 * table), `run/`. One process writes, guarded by a lock on the folder; others may read beside it.
 *
 * Life: store_open, store_ring_new for each worker, store_start, ..., store_stop, store_close. */
#ifndef FREEHUB_STORAGE_STORE_H
#define FREEHUB_STORAGE_STORE_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/payload/payload.h"
#include "broker/payload/schema.h"
#include "storage/ring.h"

struct store;

struct store_options {
    const char *folder;               /* made, mode 0700, when missing and !read_only */
    const struct schema_set *schemas; /* outlives the store */
    bool read_only;                   /* no lock, no threads: the CLI beside a running daemon */
    uint32_t commit_interval_ms;      /* at most one commit in this time; 0 = as fast as the disk */
    uint32_t commit_bytes;            /* commit at once when this much is pending */
    uint32_t commit_burst; /* commits saved up for rare senders, one earned per interval */
    uint64_t segment_max_bytes;
    uint64_t segment_max_records;
    uint32_t segment_max_age_s;
    uint64_t log_max_bytes; /* oldest segments go first; the size cap wins, with an alarm */
    uint32_t log_max_age_s;
    uint64_t quarantine_max_bytes;
    uint64_t prewrite_max_bytes; /* zeros written ahead of the log, in steps that grow up to this */

    /* A commit failed: nothing after the last success may be acknowledged, and the store accepts no
     * more. Called once, on the writer thread, before any waiting worker is told anything. The
     * daemon logs and exits non-zero. NULL: abort. */
    void (*on_failed)(void *ctx, const struct err_detail *detail);
    void *on_failed_ctx;
};

/* The defaults: 10 ms, 64 KiB, 20; 512 MiB, 4 M, 1 h; 20 GiB, 7 d; 64 MiB; 64 MiB. Any thread. */
void store_options_default(struct store_options *options);

/* Open or make the store, recover (verify CRCs, quarantine and count bad blocks, replay into
 * `latest`), delete nothing. ERR_BUSY: another process writes to the folder; ERR_READONLY,
 * ERR_NOSPACE, ERR_CORRUPT, ERR_UNSUPPORTED (a newer format) and so on, with what would mend it in
 * `detail`. The caller owns `*out`. Main thread. */
CHECKED int store_open(struct store **out, const struct store_options *options,
                       struct err_detail *detail);

/* A ring whose records this store commits. `on_committed` is called on the writer thread after
 * commits that happened while the ring's owner had said that it sleeps (ring_sleep); it
 * does no more than uv_async_send(). Before store_start(). Main thread. */
CHECKED int store_ring_new(struct store *s, size_t bytes, void (*on_committed)(void *ctx),
                           void *ctx, struct ring **out);

/* Start the writer and the maintenance thread. Main thread. */
CHECKED int store_start(struct store *s, struct err_detail *detail);

/* 0, or ERR_NOSPACE while the disk is full (it ends by itself), or ERR_IO after a failed commit:
 * accept nothing durable now. One atomic load. Any thread. */
int store_admission(const struct store *s);

/* Commit what the rings hold, checkpoint, stop both threads. The workers have stopped appending,
 * and have released nothing is fine. Main thread. */
CHECKED int store_stop(struct store *s, struct err_detail *detail);
void store_close(struct store *s);

/* ---- bikes ---- */

/* The dense number of a bike, > 0. A bike seen for the first time gets the next one, and a
 * RECORD_BIKE_NEW goes into `r` (the worker's ring), so that it is durable no later than the
 * first telemetry that uses it. ERR_AGAIN when the ring is full. Owner worker of `r`. */
CHECKED int store_bike_number(struct store *s, struct ring *r, struct str id, uint32_t *out);

/* As above without making one: ERR_NOTFOUND. Any thread. */
CHECKED int store_bike_find(struct store *s, struct str id, uint32_t *out);

typedef bool store_bike_fn(void *ctx, uint32_t number, struct str id);
/* Every bike in order of number until `visit` returns false. Any thread. */
void store_bikes_each(struct store *s, store_bike_fn *visit, void *ctx);

/* ---- latest ---- */

/* A committed telemetry payload changes `latest`: per column the newest event time wins, ties by
 * (boot, sample). Call between head_begin and head_end (one lock a completion pass, not a
 * message). Owner worker. */
void store_head_begin(struct store *s);
void store_head_update(struct store *s, uint32_t bike, uint16_t schema, int64_t recv_ms,
                       struct str payload);
/* Count the samples of a payload that need not be looked at: one applied with it, of the same bike
 * and type, has a later effective time and a value in each of its columns. Between begin and end.
 */
void store_head_seen(struct store *s, uint32_t bike, uint32_t samples);
void store_head_end(struct store *s);

struct store_latest {
    uint16_t schema;
    uint64_t present;
    int64_t values[SCHEMA_COLUMNS_MAX];
    int64_t times_ms[SCHEMA_COLUMNS_MAX]; /* effective event time of each value */
    int64_t recv_ms;                      /* last arrival */
    uint64_t samples; /* received since the bike is known, duplicates included */
};
/* ERR_NOTFOUND before the first sample. Any thread. */
CHECKED int store_latest(struct store *s, uint32_t bike, struct store_latest *out);

/* ---- reading rows ---- */

enum { STORE_TIME_SUSPECT = 1 }; /* stored under receive time; the bike's own time is `bike_ms` */

struct store_row {
    uint32_t bike;
    struct str bike_id;
    uint32_t boot, trip;
    uint32_t flags;  /* STORE_TIME_SUSPECT */
    int64_t time_ms; /* effective: event time, or receive time when suspect */
    int64_t bike_ms; /* as the bike stated it */
    int64_t recv_ms;
    const struct payload_row *values; /* sample number, presence, values */
};
typedef bool store_row_fn(void *ctx, const struct store_row *row);

struct store_query {
    const struct schema *schema; /* a columnar type */
    uint32_t bike;               /* 0 = every bike */
    int64_t from_ms, to_ms;      /* effective time, from inclusive, to exclusive */
};

/* Rows in (bike, time, boot, sample) order, each (bike, boot, sample) once: the first committed.
 * Reads what was committed when it began; memory is bounded whatever the range (passes repeat
 * instead). 0, also when `visit` ended it. Any thread, also while the daemon writes. */
CHECKED int store_rows(struct store *s, const struct store_query *query, store_row_fn *visit,
                       void *ctx, struct err_detail *detail);

/* A stored message as it came. */
struct store_message {
    uint64_t sequence;
    int64_t recv_ms;
    uint32_t bike;
    struct str bike_id;
    uint16_t schema;  /* schema_id() of its type, or SCHEMA_RAW */
    struct str topic; /* of a raw one; for a type the stream's rule says it */
    struct str payload;
};

struct store_message_query {
    uint32_t bike;          /* 0 = every bike */
    bool every_type;        /* else: */
    uint16_t schema;        /* this one, or SCHEMA_RAW */
    int64_t from_ms, to_ms; /* of arrival, from inclusive, to exclusive */
};

typedef bool store_message_fn(void *ctx, const struct store_message *message);
/* In order of sequence, duplicates included, until `visit` returns false; what is visited lives
 * during the call. 0, or ERR_NOTFOUND when retention took a segment away meanwhile. Any thread,
 * also while the daemon writes. */
CHECKED int store_messages_each(struct store *s, const struct store_message_query *query,
                                store_message_fn *visit, void *ctx, struct err_detail *detail);

struct store_quarantined {
    uint64_t sequence;
    int64_t recv_ms;
    uint32_t bike;
    struct str topic, reason, payload;
};
typedef bool store_quarantined_fn(void *ctx, const struct store_quarantined *entry);
/* Oldest first. Any thread. */
CHECKED int store_quarantine_each(struct store *s, store_quarantined_fn *visit, void *ctx);

/* A RECORD_QUARANTINE was committed: store_status() counts it at once. Any thread. */
void store_quarantine_note(struct store *s);

/* ---- state ---- */

struct store_status {
    uint64_t first_sequence, next_sequence; /* records in the log: [first, next) */
    uint64_t commits, records, bytes;       /* since start */
    uint64_t log_bytes;                     /* of the files, pre-written zeros included */
    uint32_t segments;
    uint64_t quarantined, quarantine_dropped;
    uint64_t bad_blocks; /* CRC failures found at start or by readers */
    uint64_t segments_dropped;
    bool size_cap_reached; /* alarm: segments younger than log_max_age_s were dropped */
    uint64_t commit_us_p50, commit_us_p99;
    uint64_t pending_bytes; /* in the rings now */
    bool failed;
};
void store_status(struct store *s, struct store_status *out);

#endif
