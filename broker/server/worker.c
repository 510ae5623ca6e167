/* One event loop.
 *
 *   1. on_check() runs after all read callbacks of a turn: publish, complete, send. on_prepare()
 *      runs before the poll: after it has said "asleep" it looks once more at what is committed, so
 *      that a commit between the two is never slept over.
 *   2. Deadlines fire in on_check(), after the poll: what a client sent in time has been read by
 *      then, however long this process was stopped.
 *   3. Stopping: no new connections and no more reading; every open entry completes; everybody is
 *      told and closed; when the last transport is gone the loop ends. */
#include "broker/server/worker.h"

#include "broker/base/chrono.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/thread.h"
#include "broker/server/conn.h"

enum {
    WHEEL_TICK_MS = 16,
    WILLS_MAX = 10000,     /* that wait for room in the ring */
    COMMIT_WAIT_MS = 2000, /* for open entries when stopping */
    CLOSE_WAIT_MS = 1000,  /* for the last output to leave */
    LATE_MS = 500,         /* a turn that comes so late follows a pause of the process */
};

enum stop_step { STOP_NOT, STOP_COMMITTING, STOP_CLOSING, STOP_DONE };

/* A will on its way: connections end in the middle of things, wills go out at the end of the turn.
 */
struct waiting_will {
    struct list link;
    struct message *will;
    struct identity who;
    bool anonymous;
};

static _Thread_local const struct worker *current_worker;

bool worker_is_current(const struct worker *w)
{
    return current_worker == w;
}

void worker_clock(struct worker *w)
{
    if (LIKELY(w->clock_is_read))
        return;
    w->wall_ms = chrono_wall_ms();
    w->mono_ms = chrono_mono_ms();
    w->clock_is_read = true;
}

/* ---- slots ---- */

int worker_slot_take(struct worker *w, struct conn *c, uint32_t *slot, uint32_t *generation)
{
    uint32_t max = (uint32_t)w->server->config->limits.connections_max;

    if (w->slot_free == UINT32_MAX) {
        uint32_t count = w->slot_count ? 2 * w->slot_count : 64;
        struct worker_slot *grown;
        struct ingest_cover *covers;

        if (count > max)
            count = max;
        if (count == w->slot_count)
            return ERR_FULL;
        grown = mem_try_resize(w->slots, count * sizeof *grown);
        if (!grown)
            return ERR_NOMEM;
        for (uint32_t i = w->slot_count; i < count; i++)
            grown[i] = (struct worker_slot){.next_free = i + 1 < count ? i + 1 : UINT32_MAX};
        w->slots = grown;
        covers = mem_try_resize(w->covers, count * sizeof *covers);
        if (!covers)
            return ERR_NOMEM; /* `slots` is larger than it says; that harms nobody */
        memset(covers + w->slot_count, 0, (count - w->slot_count) * sizeof *covers);
        w->covers = covers;
        w->slot_free = w->slot_count;
        w->slot_count = count;
    }
    *slot = w->slot_free;
    *generation = ++w->slots[*slot].generation;
    w->slot_free = w->slots[*slot].next_free;
    w->slots[*slot].conn = c;
    return 0;
}

void worker_slot_give(struct worker *w, uint32_t slot)
{
    w->slots[slot].conn = NULL;
    w->slots[slot].generation++; /* open entries of the old connection find nobody */
    w->slots[slot].next_free = w->slot_free;
    w->slot_free = slot;
}

/* ---- wills ---- */

void worker_will(struct worker *w, struct message *will, const struct identity *who)
{
    struct waiting_will *waiting;

    if (w->will_count == WILLS_MAX) {
        COUNT_ADD(w, messages_dropped, 1);
        LOG_WARN("will_dropped", F_STR("topic", will->topic),
                 F_TEXT("why", "too many wills wait for room in the ring"));
        return;
    }
    w->will_count++;
    waiting = MEM_NEW(struct waiting_will);
    waiting->will = message_ref(will);
    waiting->anonymous = who == NULL;
    if (who)
        waiting->who = *who;
    list_push_back(&w->wills, &waiting->link);
}

/* Publish the wills that wait, as far as there is room in the ring. */
static void send_wills(struct worker *w)
{
    LIST_FOR (struct waiting_will, waiting, &w->wills, link) {
        if (!publish_will(w, waiting->will, waiting->anonymous ? NULL : &waiting->who))
            return;
        list_remove(&waiting->link);
        w->will_count--;
        message_unref(waiting->will);
        mem_free(waiting);
    }
}

/* ---- the turn ---- */

/* Complete what is on disk, in order. */
static void complete(struct worker *w, uint64_t committed)
{
    struct ingest_entry *entry = ingest_ready(&w->ingest, committed);

    if (entry) {
        ingest_mark_outdated(&w->ingest, committed, w->covers);
        store_head_begin(w->server->store);
        for (; entry; entry = ingest_ready(&w->ingest, committed)) {
            struct ingest_entry done = *entry; /* handlers may append and move the queue */

            ingest_pop(&w->ingest);
            conn_complete(w, &done);
        }
        store_head_end(w->server->store);
    }
    ring_release(w->ring, committed);
}

/* Room came free: go on where connections and wills were held up. Each stalled connection is tried
 * once; the ones that stall again queue behind the others. */
static void resume_stalled(struct worker *w)
{
    struct list waiting;

    if (list_is_empty(&w->stalled))
        return;
    list_init(&waiting);
    list_move_all(&waiting, &w->stalled);
    while (!list_is_empty(&waiting))
        conn_resume(LIST_ITEM(waiting.next, struct conn, stalled_link));
}

static void flush(struct worker *w)
{
    while (!list_is_empty(&w->dirty))
        conn_flush(LIST_ITEM(w->dirty.next, struct conn, dirty_link));
}

static void pass(struct worker *w)
{
    uint64_t committed = ring_committed(w->ring);

    if (committed != w->released) {
        complete(w, committed);
        w->released = committed;
        resume_stalled(w);
    }
    if (!list_is_empty(&w->wills))
        send_wills(w);
    ring_publish(w->ring);
    flush(w);
}

void worker_reload_free(struct worker_reload *reload)
{
    if (!reload)
        return;
    if (reload->acl)
        acl_unref(reload->acl);
    for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++) {
        if (reload->tls[i])
            tls_server_unref(reload->tls[i]);
    }
    mem_free(reload);
}

/* Swap in what a reload brought: the old ones go back with the struct. Routes notice, they remember
 * the generation of the ACL they were judged by. */
static void take_reload(struct worker *w)
{
    struct worker_reload *reload = atomic_exchange(&w->reload, NULL);
    struct acl *old_acl = w->acl;

    if (!reload)
        return;
    w->acl = reload->acl;
    w->acl_generation++;
    reload->acl = old_acl;
    for (size_t i = 0; i < w->server->listener_count; i++) {
        struct tls_server *old = w->server->listeners[i].tls;

        w->server->listeners[i].tls = reload->tls[i];
        reload->tls[i] = old;
    }
    worker_reload_free(reload);
}

/* ---- stopping ---- */

static void close_all(struct worker *w)
{
    for (uint32_t i = 0; i < w->slot_count; i++) {
        struct conn *c = w->slots[i].conn;

        if (c)
            conn_fail(c, MQTT_SERVER_SHUTTING_DOWN, "the server is shutting down");
    }
}

static void pause_all(struct worker *w)
{
    for (uint32_t i = 0; i < w->slot_count; i++) {
        if (w->slots[i].conn)
            transport_pause(&w->slots[i].conn->transport);
    }
}

/* Stopping goes through its steps (3.), as many in a turn as are due. */
static void stop_turn(struct worker *w)
{
    if (w->stopping == STOP_NOT) {
        for (size_t i = 0; i < w->server->listener_count; i++)
            listener_close(w->listeners[i]);
        pause_all(w);
        w->stopping = STOP_COMMITTING;
        w->stop_deadline_ms = w->mono_ms + COMMIT_WAIT_MS;
    }
    if (w->stopping == STOP_COMMITTING &&
        (ingest_is_empty(&w->ingest) || w->mono_ms >= w->stop_deadline_ms)) {
        close_all(w);
        w->stopping = STOP_CLOSING;
        w->stop_deadline_ms = w->mono_ms + CLOSE_WAIT_MS;
    }
    if (w->stopping == STOP_CLOSING &&
        (w->counters.connections == 0 || w->mono_ms >= w->stop_deadline_ms)) {
        w->stopping = STOP_DONE;
        uv_stop(&w->loop);
    }
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* it only ends the poll; on_check() does the work (2.) */
}

/* Deadlines are due. After a pause of the process the poll may have ended without a look at the
 * sockets (a signal cuts it short), so what is late by far waits for one more poll (2.). */
static void run_deadlines(struct worker *w)
{
    bool late = w->mono_ms - w->tick_at_ms > LATE_MS;

    w->tick_at_ms = 0; /* to be armed anew */
    if (late && !w->polled_again) {
        w->polled_again = true;
        return;
    }
    w->polled_again = false;
    wheel_advance(&w->wheel, w->mono_ms);
}

static void on_check(uv_check_t *check)
{
    struct worker *w = check->data;

    ring_sleep(w->ring, false);
    worker_clock(w);
    w->storing = store_admission(w->server->store) != ERR_NOSPACE; /* failed: no word at all */
    if (UNLIKELY(atomic_load_explicit(&w->reload, memory_order_relaxed)))
        take_reload(w);
    ring_publish(w->ring); /* early: the writer copies while we complete */
    pass(w);
    if (w->mono_ms >= w->tick_at_ms)
        run_deadlines(w);
    if (atomic_load_explicit(&w->stop_asked, memory_order_relaxed))
        stop_turn(w);
    if (!list_is_empty(&w->wills))
        send_wills(w); /* of connections that a deadline ended */
    ring_publish(w->ring);
    flush(w);
}

static void arm_tick(struct worker *w)
{
    uint64_t next = wheel_next_ms(&w->wheel);

    if (w->stopping && w->stop_deadline_ms < next)
        next = w->stop_deadline_ms;
    if (next == w->tick_at_ms)
        return;
    w->tick_at_ms = next;
    if (next == UINT64_MAX) {
        uv_timer_stop(&w->tick);
        return;
    }
    uv_update_time(&w->loop);
    uv_timer_start(&w->tick, on_tick, next > w->mono_ms ? next - w->mono_ms : 0, 0);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct worker *w = prepare->data;

    arm_tick(w);
    w->clock_is_read = false;
    ring_sleep(w->ring, true);
    while (ring_committed(w->ring) != w->released) {
        ring_sleep(w->ring, false);
        pass(w);
        if (UNLIKELY(w->stopping))
            stop_turn(w); /* what it waited for may just have happened */
        ring_sleep(w->ring, true);
    }
}

static void on_wake(uv_async_t *wake)
{
    (void)wake; /* on_check() follows */
}

/* ---- life ---- */

/* Writer thread: something was committed while this worker slept. */
static void on_committed(void *ctx)
{
    struct worker *w = ctx;

    uv_async_send(&w->wake);
}

static void on_connection(void *ctx, uv_tcp_t *tcp)
{
    const struct server_listener *listener = ctx;

    worker_clock(listener->worker);
    conn_accept(listener->worker, listener, tcp);
}

static int open_listeners(struct worker *w, struct err_detail *detail)
{
    struct server *s = w->server;

    for (size_t i = 0; i < s->listener_count; i++) {
        int rc = listener_open(&w->listeners[i], &w->loop, &s->listeners[i].config->address,
                               on_connection, &s->listeners[i], detail);

        if (rc)
            return rc;
        s->listeners[i].worker = w;
        s->listeners[i].port = listener_port(w->listeners[i]);
    }
    return 0;
}

int worker_new(struct worker **out, struct server *server, struct err_detail *detail)
{
    struct worker *w = MEM_NEW(struct worker);
    int rc;

    w->server = server;
    w->slot_free = UINT32_MAX;
    w->storing = true;
    w->wall_ms = chrono_wall_ms();
    w->mono_ms = chrono_mono_ms();
    list_init(&w->dirty);
    list_init(&w->stalled);
    list_init(&w->wills);
    wheel_init(&w->wheel, w->mono_ms, WHEEL_TICK_MS);
    bufpool_init(&w->buffers);
    ingest_init(&w->ingest);
    w->router = router_new();
    w->outbox_limits =
        (struct outbox_limits){.messages = (uint32_t)server->config->limits.outbox_messages,
                               .bytes = server->config->limits.outbox_bytes};
    w->next_session_id = 1;
    w->registry = registry_new();
    acl_ref(server->acl);
    w->acl = server->acl;
    if (uv_loop_init(&w->loop)) {
        mem_free(w);
        return err_set(detail, ERR_NOMEM, "the event loop cannot be made");
    }
    w->prepare.data = w->check.data = w;
    uv_async_init(&w->loop, &w->wake, on_wake);
    uv_prepare_init(&w->loop, &w->prepare);
    uv_check_init(&w->loop, &w->check);
    uv_timer_init(&w->loop, &w->tick);
    uv_prepare_start(&w->prepare, on_prepare);
    uv_check_start(&w->check, on_check);
    rc = net_loop_new(&w->net, &w->loop);
    if (rc == 0)
        rc = subs_new(&w->subs);
    if (rc == 0)
        rc = store_ring_new(server->store, (size_t)server->config->store.ring_bytes, on_committed,
                            w, &w->ring);
    if (rc) {
        err_set(detail, rc, "the worker cannot be made: %s", err_text(rc));
        goto out;
    }
    rc = open_listeners(w, detail);
out:
    if (rc) {
        worker_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

static void run(void *ctx)
{
    struct worker *w = ctx;

    current_worker = w;
    w->mono_ms = chrono_mono_ms();
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

int worker_start(struct worker *w, struct err_detail *detail)
{
    int rc = thread_start(&w->thread, "worker-0", run, w);

    return rc ? err_set(detail, rc, "the worker's thread cannot be started") : 0;
}

void worker_stop(struct worker *w)
{
    atomic_store(&w->stop_asked, true);
    uv_async_send(&w->wake);
    thread_join(w->thread);
    w->thread = NULL;
}

void worker_post_reload(struct worker *w, struct worker_reload *reload)
{
    worker_reload_free(atomic_exchange(&w->reload, reload)); /* one that was not seen yet */
    uv_async_send(&w->wake);
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void worker_free(struct worker *w)
{
    for (size_t i = 0; i < w->server->listener_count && w->stopping == STOP_NOT; i++) {
        if (w->listeners[i])
            listener_close(w->listeners[i]);
    }
    for (uint32_t i = 0; i < w->slot_count; i++) { /* those that did not leave in time */
        if (w->slots[i].conn)
            transport_close(&w->slots[i].conn->transport, 0);
    }
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_close((uv_handle_t *)&w->check, NULL);
    uv_close((uv_handle_t *)&w->tick, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT); /* until the last transport has lingered out */
    if (w->net)
        net_loop_free(w->net);
    uv_walk(&w->loop, close_handle, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    uv_loop_close(&w->loop);
    LIST_FOR (struct waiting_will, waiting, &w->wills, link) {
        list_remove(&waiting->link);
        message_unref(waiting->will);
        mem_free(waiting);
    }
    ingest_fini(&w->ingest);
    registry_free(w->registry);
    router_free(w->router);
    if (w->subs)
        subs_free(w->subs);
    bufpool_fini(&w->buffers);
    worker_reload_free(atomic_exchange(&w->reload, NULL));
    acl_unref(w->acl);
    mem_free(w->covers);
    mem_free(w->slots);
    mem_free(w);
}
