#include "storage/maintenance.h"

#include "broker/base/chrono.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/thread.h"
#include "storage/checkpoint.h"
#include "storage/mdb.h"
#include "storage/retention.h"
#include "storage/store_priv.h"

enum {
    ROUND_MS = 10000,     /* between looks at the log's age and size, and tries after a failure */
    RELEASE_POLL_MS = 20, /* only after a rotation, until the workers have caught up */
};

struct maintenance {
    struct store *s;
    struct thread *thread;
    struct mutex lock; /* guards what follows */
    struct cond wake;
    bool stop;
    bool has_rotation;               /* one that is not checkpointed yet: */
    struct writer_rotation rotation; /* the newest, which includes the older ones */
};

/* Every worker has applied what the old segments hold. */
static bool rotation_released(const struct store *s, const struct writer_rotation *rotation)
{
    for (size_t i = 0; i < rotation->ring_count; i++)
        if (ring_released(s->rings[i]) < rotation->ring_offsets[i])
            return false;
    return true;
}

static bool everything_released(const struct store *s)
{
    for (size_t i = 0; i < s->ring_count; i++)
        if (ring_released(s->rings[i]) < ring_committed(s->rings[i]))
            return false;
    return true;
}

/* Checkpoint the rotation if it is time; true when there is nothing left to try for now. Called
 * with the lock, which is let go meanwhile. */
static bool round_checkpoint(struct maintenance *m)
{
    struct writer_rotation rotation = m->rotation;
    struct err_detail detail = {""};
    int rc;

    if (!rotation_released(m->s, &rotation))
        return false;
    mutex_unlock(&m->lock);
    rc = checkpoint_write(m->s, rotation.new_first, &detail);
    if (rc)
        LOG_ERROR("checkpoint_failed", F_TEXT("why", detail.text));
    mutex_lock(&m->lock);
    if (!rc && m->rotation.new_first == rotation.new_first)
        m->has_rotation = false;
    return true;
}

static void run(void *ctx)
{
    struct maintenance *m = ctx;

    mutex_lock(&m->lock);
    while (!m->stop) {
        uint64_t pause_ms = ROUND_MS;

        if (m->has_rotation && !round_checkpoint(m))
            pause_ms = RELEASE_POLL_MS;
        mutex_unlock(&m->lock);
        if (pause_ms == ROUND_MS) {
            (void)mdb_envs_forget_dead(); /* of exports that were killed */
            retention_run(m->s, chrono_wall_ms());
        }
        mutex_lock(&m->lock);
        if (!m->stop)
            (void)cond_wait_until(&m->wake, &m->lock, chrono_mono_ms() + pause_ms);
    }
    mutex_unlock(&m->lock);
}

static void maintenance_free(struct maintenance *m)
{
    cond_fini(&m->wake);
    mutex_fini(&m->lock);
    mem_free(m);
}

int maintenance_start(struct store *s, struct err_detail *detail)
{
    struct maintenance *m = MEM_NEW(struct maintenance);
    int rc;

    m->s = s;
    mutex_init(&m->lock);
    cond_init(&m->wake);
    rc = thread_start(&m->thread, "maintenance", run, m);
    if (rc) {
        maintenance_free(m);
        return err_set(detail, rc, "start the maintenance thread: %s", err_text(rc));
    }
    s->maintenance = m;
    return 0;
}

void maintenance_on_rotated(void *ctx, const struct writer_rotation *rotation)
{
    struct maintenance *m = ctx;

    mutex_lock(&m->lock);
    m->rotation = *rotation;
    m->has_rotation = true;
    cond_signal(&m->wake);
    mutex_unlock(&m->lock);
}

static void end_thread(struct maintenance *m)
{
    mutex_lock(&m->lock);
    m->stop = true;
    cond_signal(&m->wake);
    mutex_unlock(&m->lock);
    thread_join(m->thread);
}

void maintenance_stop(struct store *s)
{
    struct maintenance *m = s->maintenance;
    struct err_detail detail = {""};
    int rc = 0;

    end_thread(m);
    if (everything_released(s))
        rc = checkpoint_write(s, store_next_sequence(s), &detail);
    else if (m->has_rotation && rotation_released(s, &m->rotation))
        rc = checkpoint_write(s, m->rotation.new_first, &detail);
    if (rc)
        LOG_ERROR("checkpoint_failed", F_TEXT("why", detail.text));
    maintenance_free(m);
    s->maintenance = NULL;
}

void maintenance_abandon(struct store *s)
{
    end_thread(s->maintenance);
    maintenance_free(s->maintenance);
    s->maintenance = NULL;
}

void maintenance_status(struct store *s, struct store_status *out)
{
    out->first_sequence = atomic_load(&s->facts.log_first);
    out->bad_blocks = atomic_load(&s->facts.bad_blocks);
    out->quarantined = atomic_load(&s->facts.quarantined);
    out->quarantine_dropped = atomic_load(&s->facts.quarantine_dropped);
    out->segments_dropped = atomic_load(&s->facts.segments_dropped);
    out->size_cap_reached = atomic_load(&s->facts.size_cap_reached);
}
