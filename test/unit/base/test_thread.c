#include <criterion/criterion.h>

#include <signal.h>

#include "broker/base/chrono.h"
#include "broker/base/thread.h"

enum { THREADS = 4, TURNS = 5000 };

struct shared {
    struct mutex mutex;
    struct cond cond;
    int count;
    int arrived;
    uint32_t selves[THREADS];
    char name[THREAD_NAME_MAX + 1];
    bool signal_blocked;
};

static void shared_init(struct shared *s)
{
    *s = (struct shared){0};
    mutex_init(&s->mutex);
    cond_init(&s->cond);
}

static void shared_fini(struct shared *s)
{
    cond_fini(&s->cond);
    mutex_fini(&s->mutex);
}

static void count_up(void *ctx)
{
    struct shared *s = ctx;

    for (int i = 0; i < TURNS; i++) {
        mutex_lock(&s->mutex);
        s->count++;
        mutex_unlock(&s->mutex);
    }
    mutex_lock(&s->mutex);
    s->selves[s->arrived++] = thread_self();
    cond_broadcast(&s->cond);
    mutex_unlock(&s->mutex);
}

Test(thread, a_mutex_lets_one_in_and_a_condition_wakes_who_waits)
{
    struct thread *threads[THREADS];
    struct shared s;

    shared_init(&s);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(thread_start(&threads[i], "counter", count_up, &s), 0);
    mutex_lock(&s.mutex);
    while (s.arrived < THREADS)
        cond_wait(&s.cond, &s.mutex);
    mutex_unlock(&s.mutex);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    cr_expect_eq(s.count, THREADS * TURNS);
    shared_fini(&s);
}

Test(thread, every_thread_has_a_number_of_its_own)
{
    struct thread *threads[THREADS];
    struct shared s;
    uint32_t mine = thread_self();

    shared_init(&s);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(thread_start(&threads[i], "counter", count_up, &s), 0);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    cr_expect_eq(thread_self(), mine);
    for (int i = 0; i < THREADS; i++) {
        cr_expect_gt(s.selves[i], 0);
        cr_expect_neq(s.selves[i], mine);
        for (int j = 0; j < i; j++)
            cr_expect_neq(s.selves[i], s.selves[j]);
    }
    shared_fini(&s);
}

static void look_at_self(void *ctx)
{
    struct shared *s = ctx;
    sigset_t blocked;

    pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    s->signal_blocked = sigismember(&blocked, SIGTERM);
}

Test(thread, has_a_name_that_is_cut_to_fit_and_takes_no_signals)
{
    struct thread *thread;
    struct shared s;
    sigset_t blocked;

    shared_init(&s);
    cr_assert_eq(thread_start(&thread, "writer-of-the-log", look_at_self, &s), 0);
    thread_join(thread);
    cr_expect_str_eq(s.name, "writer-of-the-l");
    cr_expect(s.signal_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    cr_expect_not(sigismember(&blocked, SIGTERM));
    shared_fini(&s);
}

Test(thread, a_broken_use_of_a_lock_stops_the_process, .signal = SIGABRT)
{
    struct mutex mutex;

    mutex_init(&mutex);
    mutex_lock(&mutex);
    mutex_lock(&mutex);
}

Test(thread, waiting_ends_at_the_stated_moment)
{
    struct shared s;
    uint64_t until_ms = chrono_mono_ms() + 20;

    shared_init(&s);
    mutex_lock(&s.mutex);
    while (cond_wait_until(&s.cond, &s.mutex, until_ms))
        ;
    mutex_unlock(&s.mutex);
    cr_expect_geq(chrono_mono_ms(), until_ms);
    shared_fini(&s);
}
