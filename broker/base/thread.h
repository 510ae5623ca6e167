/* broker/base/thread.h -- threads, locks and conditions: the only place in the project where they
 * come from. Threads otherwise talk by handing over whole messages. */
#ifndef FREEHUB_BROKER_BASE_THREAD_H
#define FREEHUB_BROKER_BASE_THREAD_H

#include <pthread.h>

#include "broker/base/base.h"
#include "broker/base/err.h"

struct thread; /* opaque: defined in thread.c */

typedef void thread_fn(void *ctx);

enum { THREAD_NAME_MAX = 15 }; /* what Linux shows in top and ps */

/* Run `run(ctx)` on a thread of its own, with all signals blocked (the main thread takes them).
 * `name` is copied and cut to THREAD_NAME_MAX. The caller owns `*out` and ends it with
 * thread_join(). ERR_AGAIN when the system has no thread to give. Any thread. */
CHECKED int thread_start(struct thread **out, const char *name, thread_fn *run, void *ctx);

/* Wait until `run` has returned; frees `t`. The thread that started it. */
void thread_join(struct thread *t);

/* A number > 0 of the calling thread, unlike that of any other in this process: what a struct with
 * one owner thread keeps, to assert at its doors. Any thread. */
uint32_t thread_self(void);

/* Embedded in what they guard. Error checking is on: a second lock by the same thread, or an unlock
 * by another, stops the process. */
struct mutex {
    pthread_mutex_t native;
};

void mutex_init(struct mutex *m);
void mutex_fini(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

struct cond {
    pthread_cond_t native; /* on the monotonic clock */
};

void cond_init(struct cond *c);
void cond_fini(struct cond *c);

/* Wait with `m` locked; may return without a signal, so it belongs into a loop. */
void cond_wait(struct cond *c, struct mutex *m);

/* As cond_wait(), but not past `until_mono_ms` (chrono_mono_ms()); false when that has come. */
bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t until_mono_ms);

void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

#endif
