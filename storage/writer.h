/* storage/writer.h -- the only thread that commits to the log. It takes what the rings hold, copies
 * it into one block, commits, publishes the counters, wakes the workers that sleep.
 *
 * Pacing: a commit costs the same for one record as for hundreds, so it is due at the earliest of
 *   1. `commit_bytes` are pending,
 *   2. `commit_interval_ms` have passed since the last commit began (0: at once),
 *   3. a burst credit is left; one is earned each interval, a commit uses one up, at most
 *      `commit_burst` are kept. Rare senders get the bare latency of the disk. */
#ifndef FREEHUB_STORAGE_WRITER_H
#define FREEHUB_STORAGE_WRITER_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "storage/ring.h"
#include "storage/segment.h"
#include "storage/supply.h"

enum {
    WRITER_RINGS_MAX = 64,
    WRITER_GROUP_BYTES_MAX = 4 << 20, /* of records in a commit, unless a single one is larger */
};

/* ---- pacing, free of clocks and threads ---- */

struct writer_pace {
    uint64_t interval_ns;
    uint64_t bytes;      /* commit at once when this much is pending */
    uint64_t credit_max; /* ns: burst * interval */
    uint64_t credit;     /* ns; a whole interval is one credit */
    uint64_t credit_at;  /* when `credit` was counted */
    uint64_t last_start; /* of the last commit */
};

/* A store that has been idle for ever. */
void writer_pace_init(struct writer_pace *pace, uint32_t interval_ms, uint32_t bytes,
                      uint32_t burst, uint64_t now_ns);

/* When `pending` bytes are to be committed: at once if that is not after `now_ns`. With nothing
 * pending: when a single byte would be. */
uint64_t writer_due(const struct writer_pace *pace, uint64_t pending, uint64_t now_ns);

/* A commit begins now. */
void writer_pace_commit(struct writer_pace *pace, uint64_t now_ns);

/* ---- the thread ---- */

/* The active segment has changed. Records up to `last` are in sealed segments and durable; the ring
 * offsets are what had been committed of each ring by then, in order of writer_options.rings. */
struct writer_rotation {
    uint64_t old_first, last; /* the sealed segment: [old_first, last] */
    uint64_t new_first;       /* last + 1 */
    size_t ring_count;
    uint64_t ring_offsets[WRITER_RINGS_MAX];
};

struct bell; /* ring_priv.h */

struct writer_options {
    struct segment *active; /* owned by the writer from now on; NULL in an empty log */
    struct supply *supply;
    uint64_t next_sequence;
    struct bell *bell;   /* that the rings are attached to; outlives the writer, as the rings do */
    struct ring **rings; /* fixed while it runs */
    size_t ring_count;
    uint32_t commit_interval_ms, commit_bytes, commit_burst;
    uint64_t segment_max_bytes, segment_max_records;
    uint32_t segment_max_age_s;

    /* Both on the writer thread, both return at once. on_rotated may be NULL. */
    void (*on_rotated)(void *ctx, const struct writer_rotation *rotation);
    void (*on_failed)(void *ctx, const struct err_detail *detail); /* once; never NULL */
    void *ctx;
};

struct writer_status {
    uint64_t first_sequence; /* of the active segment */
    uint64_t next_sequence;
    uint64_t commits, records, bytes; /* since start; bytes of blocks */
    uint64_t commit_us_p50, commit_us_p99;
    uint64_t pending_bytes;
    bool failed;
};

struct writer;

/* Start the thread. The caller owns `*out`. Main thread. */
CHECKED int writer_start(struct writer **out, const struct writer_options *options,
                         struct err_detail *detail);

/* Commit what is published, then end the thread. 0, ERR_NOSPACE when there was no room for it, or
 * the code of the failure. `*active` is the segment it wrote last, now the caller's; may be NULL.
 * `*last` is its final status. Frees the writer. Main thread. */
CHECKED int writer_stop(struct writer *w, struct segment **active, struct writer_status *last,
                        struct err_detail *detail);

/* Any thread. */
void writer_status(struct writer *w, struct writer_status *out);

#endif
