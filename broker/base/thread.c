#include "broker/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "broker/base/mem.h"

struct thread {
    pthread_t native;
    thread_fn *run;
    void *ctx;
    char name[THREAD_NAME_MAX + 1];
};

static void *thread_main(void *arg)
{
    struct thread *t = arg;

    pthread_setname_np(pthread_self(), t->name);
    t->run(t->ctx);
    return NULL;
}

int thread_start(struct thread **out, const char *name, thread_fn *run, void *ctx)
{
    struct thread *t = MEM_NEW(struct thread);
    size_t name_len = strnlen(name, THREAD_NAME_MAX);
    sigset_t all, before;
    int system_errno;

    memcpy(t->name, name, name_len);
    t->run = run;
    t->ctx = ctx;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the new thread */
    system_errno = pthread_create(&t->native, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (system_errno) {
        mem_free(t);
        return err_from_errno(system_errno);
    }
    *out = t;
    return 0;
}

void thread_join(struct thread *t)
{
    int system_errno = pthread_join(t->native, NULL);

    ASSERT(system_errno == 0);
    mem_free(t);
}

uint32_t thread_self(void)
{
    static _Atomic uint32_t last;
    static _Thread_local uint32_t self;

    if (self == 0)
        self = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    return self;
}

void mutex_init(struct mutex *m)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    int system_errno = pthread_mutex_init(&m->native, &attributes);
    ASSERT(system_errno == 0);
    pthread_mutexattr_destroy(&attributes);
}

void mutex_fini(struct mutex *m)
{
    int system_errno = pthread_mutex_destroy(&m->native);

    ASSERT(system_errno == 0);
}

void mutex_lock(struct mutex *m)
{
    int system_errno = pthread_mutex_lock(&m->native);

    ASSERT(system_errno == 0);
}

void mutex_unlock(struct mutex *m)
{
    int system_errno = pthread_mutex_unlock(&m->native);

    ASSERT(system_errno == 0);
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int system_errno = pthread_cond_init(&c->native, &attributes);
    ASSERT(system_errno == 0);
    pthread_condattr_destroy(&attributes);
}

void cond_fini(struct cond *c)
{
    int system_errno = pthread_cond_destroy(&c->native);

    ASSERT(system_errno == 0);
}

void cond_wait(struct cond *c, struct mutex *m)
{
    int system_errno = pthread_cond_wait(&c->native, &m->native);

    ASSERT(system_errno == 0);
}

bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t until_mono_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_mono_ms / 1000),
                             .tv_nsec = (long)(until_mono_ms % 1000) * 1000000};
    int system_errno = pthread_cond_timedwait(&c->native, &m->native, &until);

    ASSERT(system_errno == 0 || system_errno == ETIMEDOUT);
    return system_errno == 0;
}

void cond_signal(struct cond *c)
{
    pthread_cond_signal(&c->native);
}

void cond_broadcast(struct cond *c)
{
    pthread_cond_broadcast(&c->native);
}
