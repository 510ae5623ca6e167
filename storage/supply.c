/* One thread, one lock. Files are worked on without the lock: `active` is written to by both the
 * writer and this thread (segment.c keeps them apart) and closed by neither while the other has it;
 * `old` belongs to this thread alone; `next` to nobody but it until it is handed over.
 *
 * The step of zeros follows the load: it doubles when one did not last STEP_SHORT_MS and halves
 * when it lasted STEP_LONG_MS, so a small fleet does not pay for zeros it needs tomorrow. */
#include "storage/supply.h"

#include <stdatomic.h>
#include <sys/statvfs.h>

#include "broker/base/chrono.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/thread.h"
#include "storage/ring_priv.h"

enum {
    STEP_MIN_BYTES = 1 << 20,
    STEP_SHORT_MS = 250,
    STEP_LONG_MS = 4000,
    RETRY_MS = 500,           /* while the disk is full */
    RESERVE_BYTES = 16 << 20, /* of the disk, left to core.mdb and to whoever makes room */
};

struct supply {
    struct supply_options options;
    uint8_t uuid[SEGMENT_UUID_BYTES];
    struct thread *thread;
    struct mutex lock;
    struct cond work; /* there is something to do */
    struct cond done; /* something has been done, or will not be */
    _Atomic int admission;
    _Atomic bool broken;
    _Atomic uint64_t low_bytes; /* room under which the writer asks for more */
    _Atomic bool asked;

    /* under the lock */
    struct segment *active, *next, *old;
    uint64_t wanted; /* room the writer waits for */
    uint64_t step, step_at_ms;
    uint64_t retry_at_ms; /* > 0: the disk is full */
    bool hurry, stop;
    int error; /* of a write that failed for another reason than space */
    struct err_detail detail;
};

static uint64_t room_of(const struct segment *seg)
{
    return segment_ready_bytes(seg) - segment_used_bytes(seg);
}

static uint64_t disk_free(const struct supply *supply)
{
    struct statvfs disk;

    if (statvfs(supply->options.folder, &disk) != 0)
        return UINT64_MAX; /* the write will tell */
    return (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* Bytes to add to the active segment, 0 for none. */
static uint64_t missing(const struct supply *supply)
{
    uint64_t ready, room;

    if (!supply->active)
        return 0;
    ready = segment_ready_bytes(supply->active);
    room = room_of(supply->active);
    if (supply->wanted > room)
        return supply->wanted - room > supply->step ? supply->wanted - room : supply->step;
    if (room >= supply->step / 2 || ready >= supply->options.segment_max_bytes)
        return 0;
    return ready + supply->step > supply->options.segment_max_bytes
               ? supply->options.segment_max_bytes - ready
               : supply->step;
}

static void adapt_step(struct supply *supply)
{
    uint64_t lasted_ms = chrono_mono_ms() - supply->step_at_ms;

    if (lasted_ms < STEP_SHORT_MS && supply->step * 2 <= supply->options.step_max_bytes)
        supply->step *= 2;
    else if (lasted_ms > STEP_LONG_MS && supply->step / 2 >= STEP_MIN_BYTES)
        supply->step /= 2;
    atomic_store(&supply->low_bytes, supply->step / 2);
}

static void disk_is_full(struct supply *supply, const struct err_detail *detail)
{
    supply->retry_at_ms = chrono_mono_ms() + RETRY_MS;
    supply->step = STEP_MIN_BYTES;
    if (atomic_exchange(&supply->admission, ERR_NOSPACE) == 0)
        LOG_ERROR("disk_full", F_TEXT("folder", supply->options.folder),
                  F_TEXT("why", detail->text));
}

static void disk_has_room(struct supply *supply)
{
    supply->retry_at_ms = 0;
    if (atomic_exchange(&supply->admission, 0) != 0)
        LOG_INFO("disk_has_room", F_TEXT("folder", supply->options.folder));
}

/* With the lock held: what a piece of work came to. */
static void conclude(struct supply *supply, int rc, const struct err_detail *detail)
{
    /* LMDB reports a short write as EIO. */
    if (rc == ERR_IO && disk_free(supply) < STEP_MIN_BYTES)
        rc = ERR_NOSPACE;
    if (rc == ERR_NOSPACE) {
        disk_is_full(supply, detail);
    } else if (rc) {
        supply->retry_at_ms = 0; /* nothing is tried again, so nothing is waited for */
        supply->error = rc;
        supply->detail = *detail;
        atomic_store(&supply->broken, true);
        bell_ring(supply->options.bell);
    } else if (supply->retry_at_ms > 0 && supply->next && missing(supply) == 0) {
        disk_has_room(supply);
    }
    cond_broadcast(&supply->done);
}

static int check_disk(const struct supply *supply, uint64_t bytes, struct err_detail *detail)
{
    uint64_t left = disk_free(supply);

    if (left >= bytes + RESERVE_BYTES)
        return 0;
    return err_set(detail, ERR_NOSPACE, "%llu bytes are left on the disk of %s: free some",
                   (unsigned long long)left, supply->options.folder);
}

static void make_next(struct supply *supply)
{
    struct err_detail detail = {""};
    struct segment *next = NULL;
    uint64_t bytes = supply->step;
    int rc;

    mutex_unlock(&supply->lock);
    rc = check_disk(supply, bytes, &detail);
    if (!rc)
        rc = segment_create(&next, supply->options.folder, supply->uuid, &detail);
    if (!rc)
        rc = segment_extend(next, bytes, &detail);
    if (rc && next) {
        segment_close(next);
        next = NULL;
    }
    mutex_lock(&supply->lock);
    supply->next = next;
    conclude(supply, rc, &detail);
}

static void extend_active(struct supply *supply)
{
    struct segment *active = supply->active;
    struct err_detail detail = {""};
    uint64_t bytes;
    int rc;

    adapt_step(supply);
    bytes = missing(supply);
    mutex_unlock(&supply->lock);
    rc = check_disk(supply, bytes, &detail);
    if (!rc)
        rc = segment_extend(active, bytes, &detail);
    mutex_lock(&supply->lock);
    supply->step_at_ms = chrono_mono_ms();
    conclude(supply, rc, &detail);
}

static void retire(struct supply *supply)
{
    struct segment *old = supply->old;
    struct err_detail detail;

    supply->old = NULL;
    cond_broadcast(&supply->done);
    mutex_unlock(&supply->lock);
    if (segment_seal(old, &detail) != 0) /* costs its zeros' space, nothing else */
        LOG_WARN("segment_not_cut", F_TEXT("why", detail.text));
    segment_close(old);
    mutex_lock(&supply->lock);
}

/* Nothing needs to be written for now, yet the disk was full: is it still? The smaller step of a
 * full disk may have made do with the room there is, so no write will tell. */
static void look_again(struct supply *supply)
{
    struct err_detail detail = {""};
    int rc;

    mutex_unlock(&supply->lock);
    rc = check_disk(supply, STEP_MIN_BYTES, &detail);
    mutex_lock(&supply->lock);
    conclude(supply, rc, &detail);
}

static void wait_for_work(struct supply *supply)
{
    if (supply->retry_at_ms > 0)
        cond_wait_until(&supply->work, &supply->lock, supply->retry_at_ms);
    else
        cond_wait(&supply->work, &supply->lock);
}

static void supply_run(void *ctx)
{
    struct supply *supply = ctx;

    mutex_lock(&supply->lock);
    while (!supply->stop) {
        bool may_write = !supply->error && chrono_mono_ms() >= supply->retry_at_ms;

        atomic_store(&supply->asked, false);
        if (supply->old)
            retire(supply);
        else if (may_write && missing(supply) > 0)
            extend_active(supply);
        else if (may_write && !supply->next)
            make_next(supply);
        else if (may_write && supply->retry_at_ms > 0)
            look_again(supply);
        else
            wait_for_work(supply);
    }
    if (supply->old)
        retire(supply);
    mutex_unlock(&supply->lock);
}

int supply_start(struct supply **out, const struct supply_options *options,
                 struct err_detail *detail)
{
    struct supply *supply = MEM_NEW(struct supply);
    int rc;

    supply->options = *options;
    memcpy(supply->uuid, options->uuid, sizeof supply->uuid);
    supply->active = options->active;
    supply->step = STEP_MIN_BYTES;
    supply->step_at_ms = chrono_mono_ms();
    atomic_store(&supply->low_bytes, STEP_MIN_BYTES / 2);
    mutex_init(&supply->lock);
    cond_init(&supply->work);
    cond_init(&supply->done);
    rc = thread_start(&supply->thread, "supply", supply_run, supply);
    if (rc) {
        mem_free(supply);
        return err_set(detail, rc, "cannot start a thread: %s", err_text(rc));
    }
    *out = supply;
    return 0;
}

/* With the lock held: why there will be no more, or 0 to wait on. */
static int hopeless(const struct supply *supply, struct err_detail *detail)
{
    if (supply->error)
        return err_set(detail, supply->error, "%s", supply->detail.text);
    if (supply->hurry && supply->retry_at_ms > 0)
        return err_set(detail, ERR_NOSPACE, "the disk of %s is full", supply->options.folder);
    return 0;
}

int supply_check(struct supply *supply, struct err_detail *detail)
{
    int rc;

    if (!atomic_load(&supply->broken))
        return 0;
    mutex_lock(&supply->lock);
    rc = hopeless(supply, detail);
    mutex_unlock(&supply->lock);
    return rc;
}

int supply_room(struct supply *supply, struct segment *active, uint64_t bytes,
                struct err_detail *detail)
{
    int rc = 0;

    if (room_of(active) >= bytes)
        return 0;
    mutex_lock(&supply->lock);
    supply->wanted = bytes;
    while (room_of(active) < bytes && (rc = hopeless(supply, detail)) == 0) {
        cond_signal(&supply->work);
        cond_wait(&supply->done, &supply->lock);
    }
    supply->wanted = 0;
    mutex_unlock(&supply->lock);
    return rc;
}

int supply_next(struct supply *supply, struct segment *old, uint64_t first, struct segment **out,
                struct err_detail *detail)
{
    int rc = 0;

    mutex_lock(&supply->lock);
    while ((!supply->next || supply->old) && (rc = hopeless(supply, detail)) == 0) {
        cond_signal(&supply->work);
        cond_wait(&supply->done, &supply->lock);
    }
    if (!rc) {
        *out = supply->active = supply->next;
        supply->next = NULL;
        supply->old = old;
        rc =
            segment_name(*out, first, detail); /* under the lock: then another `next` may be made */
        cond_signal(&supply->work);
    }
    mutex_unlock(&supply->lock);
    return rc;
}

void supply_used(struct supply *supply, const struct segment *active)
{
    if (room_of(active) >= atomic_load(&supply->low_bytes) || atomic_exchange(&supply->asked, true))
        return;
    mutex_lock(&supply->lock);
    cond_signal(&supply->work);
    mutex_unlock(&supply->lock);
}

int supply_admission(const struct supply *supply)
{
    return atomic_load_explicit(&supply->admission, memory_order_relaxed);
}

void supply_hurry(struct supply *supply)
{
    mutex_lock(&supply->lock);
    supply->hurry = true;
    cond_broadcast(&supply->done);
    mutex_unlock(&supply->lock);
}

void supply_stop(struct supply *supply)
{
    if (!supply)
        return;
    mutex_lock(&supply->lock);
    supply->stop = true;
    cond_signal(&supply->work);
    mutex_unlock(&supply->lock);
    thread_join(supply->thread);
    if (supply->next) {
        segment_close(supply->next);
        segment_discard_next(supply->options.folder);
    }
    cond_fini(&supply->work);
    cond_fini(&supply->done);
    mutex_fini(&supply->lock);
    mem_free(supply);
}
