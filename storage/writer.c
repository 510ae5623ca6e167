/* One turn: gather what the rings hold, make room, one LMDB value, commit, publish, wake.
 * Invariants:
 *
 *   1. A counter moves only after its commit has returned 0.
 *   2. After the first error nothing is committed and no counter moves; nothing is tried again.
 *   3. Records keep the order of their ring; a group takes the rings in turn.
 *   4. It sleeps on a futex, never polls: idle without a time limit, pacing until the next commit
 *      may be due. */
#include "storage/writer.h"

#include <malloc.h>
#include <stdatomic.h>

#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/base/metrics.h"
#include "broker/base/thread.h"
#include "storage/ring_priv.h"

enum {
    NS_PER_MS = 1000000,

    /* LMDB allocates a group's pages with malloc and frees them at its end. Above malloc's own
     * threshold each would be an mmap, a page fault a page, and a munmap. */
    MALLOC_KEEP_BYTES = 16 << 20,
};

struct writer {
    struct writer_options options;
    struct ring *rings[WRITER_RINGS_MAX];
    struct bell *bell;
    struct thread *thread;
    _Atomic bool stop;

    /* the writer thread's own */
    struct writer_pace pace;
    struct segment *active;
    uint64_t active_since_ms;
    size_t turn; /* the ring a group begins with */
    int error;
    struct err_detail detail;

    /* read by any thread */
    _Atomic uint64_t first_sequence, next_sequence, commits, records, bytes;
    _Atomic bool failed;
    struct histogram commit_us;
};

/* What goes into one commit. */
struct group {
    struct ring_range ranges[WRITER_RINGS_MAX];
    size_t bytes; /* of records */
    uint32_t count;
};

/* ---- pacing ---- */

void writer_pace_init(struct writer_pace *pace, uint32_t interval_ms, uint32_t bytes,
                      uint32_t burst, uint64_t now_ns)
{
    *pace = (struct writer_pace){
        .interval_ns = (uint64_t)interval_ms * NS_PER_MS,
        .bytes = bytes,
        .credit_max = (uint64_t)burst * interval_ms * NS_PER_MS,
        .credit = (uint64_t)burst * interval_ms * NS_PER_MS,
        .credit_at = now_ns,
        .last_start = now_ns,
    };
}

static uint64_t credit_now(const struct writer_pace *pace, uint64_t now_ns)
{
    uint64_t credit = pace->credit + (now_ns - pace->credit_at);

    return credit < pace->credit_max ? credit : pace->credit_max;
}

uint64_t writer_due(const struct writer_pace *pace, uint64_t pending, uint64_t now_ns)
{
    uint64_t due = pace->last_start + pace->interval_ns;

    if (pending >= pace->bytes || due <= now_ns)
        return now_ns;
    if (pace->credit_max > 0) {
        uint64_t credit = credit_now(pace, now_ns);
        uint64_t credit_due =
            credit >= pace->interval_ns ? now_ns : now_ns + (pace->interval_ns - credit);

        if (credit_due < due)
            due = credit_due;
    }
    return due;
}

void writer_pace_commit(struct writer_pace *pace, uint64_t now_ns)
{
    uint64_t credit = credit_now(pace, now_ns);

    pace->credit = credit > pace->interval_ns ? credit - pace->interval_ns : 0;
    pace->credit_at = now_ns;
    pace->last_start = now_ns;
}

/* ---- a group ---- */

static void gather(struct writer *w, struct group *group)
{
    size_t rings = w->options.ring_count;

    group->bytes = 0;
    group->count = 0;
    for (size_t i = 0; i < rings; i++) {
        size_t index = (w->turn + i) % rings;
        struct ring_range range = ring_pending(w->rings[index]);

        range = ring_range_cut(
            &range,
            WRITER_GROUP_BYTES_MAX > group->bytes ? WRITER_GROUP_BYTES_MAX - group->bytes : 0,
            group->count == 0);
        group->ranges[index] = range;
        group->bytes += range.to - range.from;
        group->count += range.count;
    }
    w->turn = rings > 0 ? (w->turn + 1) % rings : 0;
}

static void copy_records(const struct writer *w, const struct group *group, uint8_t *to)
{
    for (size_t i = 0; i < w->options.ring_count; i++) {
        const struct ring_range *range = &group->ranges[i];

        if (range->count == 0)
            continue;
        memcpy(to, range->at, range->to - range->from);
        to += range->to - range->from;
    }
}

static void publish(struct writer *w, const struct group *group, uint64_t next)
{
    atomic_store(&w->next_sequence, next);
    for (size_t i = 0; i < w->options.ring_count; i++)
        if (group->ranges[i].count > 0)
            ring_commit(w->rings[i], group->ranges[i].to, group->ranges[i].count);
    for (size_t i = 0; i < w->options.ring_count; i++)
        if (group->ranges[i].count > 0)
            ring_wake(w->rings[i]);
}

/* ---- segments ---- */

static bool rotation_is_due(const struct writer *w, uint64_t need)
{
    const struct writer_options *options = &w->options;
    uint64_t records;

    if (!w->active)
        return true;
    records = atomic_load(&w->next_sequence) - segment_first(w->active);
    return records > 0 &&
           (segment_used_bytes(w->active) + need > options->segment_max_bytes ||
            records >= options->segment_max_records ||
            chrono_mono_ms() - w->active_since_ms >= (uint64_t)options->segment_max_age_s * 1000);
}

static void report_rotation(struct writer *w, uint64_t old_first, uint64_t new_first)
{
    struct writer_rotation rotation = {.old_first = old_first,
                                       .last = new_first - 1,
                                       .new_first = new_first,
                                       .ring_count = w->options.ring_count};

    if (!w->options.on_rotated || old_first == 0)
        return;
    for (size_t i = 0; i < rotation.ring_count; i++)
        rotation.ring_offsets[i] = ring_committed(w->rings[i]);
    w->options.on_rotated(w->options.ctx, &rotation);
}

static int rotate(struct writer *w)
{
    uint64_t old_first = w->active ? segment_first(w->active) : 0;
    uint64_t new_first = atomic_load(&w->next_sequence);
    struct segment *next = NULL;
    int rc = supply_next(w->options.supply, w->active, new_first, &next, &w->detail);

    if (next)
        w->active = next; /* the old one is the supply's now */
    if (rc)
        return rc;
    w->active_since_ms = chrono_mono_ms();
    atomic_store(&w->first_sequence, new_first);
    report_rotation(w, old_first, new_first);
    return 0;
}

static int make_room(struct writer *w, size_t bytes)
{
    uint64_t need = segment_need(bytes);
    int rc = 0;

    if (rotation_is_due(w, need))
        rc = rotate(w);
    if (!rc)
        rc = supply_room(w->options.supply, w->active, need, &w->detail);
    return rc;
}

/* ---- the thread ---- */

static int commit_group(struct writer *w, const struct group *group)
{
    size_t bytes = BLOCK_HEAD_BYTES + group->bytes;
    uint64_t sequence = atomic_load(&w->next_sequence);
    uint64_t started = chrono_mono_ns();
    uint8_t *value;
    int rc;

    writer_pace_commit(&w->pace, started);
    rc = segment_begin(w->active, sequence, bytes, &value, &w->detail);
    if (rc)
        return rc;
    copy_records(w, group, value + BLOCK_HEAD_BYTES);
    block_seal(value, bytes, sequence, group->count, chrono_wall_ms());
    rc = segment_commit(w->active, &w->detail);
    if (!rc)
        rc = supply_check(w->options.supply, &w->detail); /* invariant 2 holds for its writes too */
    if (rc)
        return rc;
    publish(w, group, sequence + group->count);

    histogram_add(&w->commit_us, (chrono_mono_ns() - started) / 1000);
    atomic_fetch_add(&w->commits, 1);
    atomic_fetch_add(&w->records, group->count);
    atomic_fetch_add(&w->bytes, bytes);
    supply_used(w->options.supply, w->active);
    return 0;
}

static void fail(struct writer *w, int rc)
{
    w->error = rc;
    if (rc == ERR_NOSPACE && atomic_load(&w->stop)) /* asked to stop with a full disk */
        return;
    atomic_store(&w->failed, true);
    w->options.on_failed(w->options.ctx, &w->detail);
}

static int commit_pending(struct writer *w)
{
    struct group group = {.count = 0};
    int rc;

    gather(w, &group);
    rc = make_room(w, BLOCK_HEAD_BYTES + group.bytes);
    return rc ? rc : commit_group(w, &group);
}

static void writer_sleep(struct writer *w, uint64_t due, uint64_t now)
{
    if (due <= now)
        bell_sleep(w->bell, BELL_IDLE, UINT64_MAX);
    else
        bell_sleep(w->bell, BELL_PACING, due - now);
}

static void writer_run(void *ctx)
{
    struct writer *w = ctx;
    int rc = 0;

    while (!rc) {
        bool stop = atomic_load(&w->stop); /* before looking: what came earlier is committed */
        uint64_t pending = bell_pending(w->bell);
        uint64_t now = chrono_mono_ns();
        uint64_t due = writer_due(&w->pace, pending, now);

        if (pending == 0 && stop)
            return;
        rc = supply_check(w->options.supply, &w->detail);
        if (!rc && pending > 0 && (stop || due <= now))
            rc = commit_pending(w);
        else if (!rc)
            writer_sleep(w, due, now);
    }
    fail(w, rc);
}

static uint64_t active_since(const struct segment *active)
{
    int64_t age_ms = chrono_wall_ms() - segment_created_ms(active);
    uint64_t now = chrono_mono_ms();

    if (age_ms < 0)
        return now;
    return (uint64_t)age_ms < now ? now - (uint64_t)age_ms : 0;
}

int writer_start(struct writer **out, const struct writer_options *options,
                 struct err_detail *detail)
{
    struct writer *w;
    int rc;

    ASSERT(options->ring_count <= WRITER_RINGS_MAX && options->on_failed);
    mallopt(M_MMAP_THRESHOLD, MALLOC_KEEP_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * MALLOC_KEEP_BYTES);
    w = MEM_NEW(struct writer);
    w->options = *options;
    for (size_t i = 0; i < options->ring_count; i++)
        w->rings[i] = options->rings[i];
    w->bell = options->bell;
    w->active = options->active;
    w->active_since_ms = w->active ? active_since(w->active) : chrono_mono_ms();
    atomic_store(&w->next_sequence, options->next_sequence);
    atomic_store(&w->first_sequence, w->active ? segment_first(w->active) : options->next_sequence);
    writer_pace_init(&w->pace, options->commit_interval_ms, options->commit_bytes,
                     options->commit_burst, chrono_mono_ns());
    rc = thread_start(&w->thread, "writer", writer_run, w);
    if (rc) {
        mem_free(w);
        return err_set(detail, rc, "cannot start a thread: %s", err_text(rc));
    }
    *out = w;
    return 0;
}

int writer_stop(struct writer *w, struct segment **active, struct writer_status *last,
                struct err_detail *detail)
{
    int rc;

    atomic_store(&w->stop, true);
    supply_hurry(w->options.supply); /* after `stop`, which tells fail() why there is no room */
    bell_ring(w->bell);
    thread_join(w->thread);
    rc = w->error;
    if (rc)
        err_set(detail, rc, "%s", w->detail.text);
    *active = w->active;
    writer_status(w, last);
    mem_free(w);
    return rc;
}

void writer_status(struct writer *w, struct writer_status *out)
{
    *out = (struct writer_status){
        .first_sequence = atomic_load(&w->first_sequence),
        .next_sequence = atomic_load(&w->next_sequence),
        .commits = atomic_load(&w->commits),
        .records = atomic_load(&w->records),
        .bytes = atomic_load(&w->bytes),
        .commit_us_p50 = histogram_quantile(&w->commit_us, 500),
        .commit_us_p99 = histogram_quantile(&w->commit_us, 990),
        .pending_bytes = bell_pending(w->bell),
        .failed = atomic_load(&w->failed),
    };
}
