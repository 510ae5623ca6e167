/* broker/server/worker.h -- one event loop and the connections and sessions whose home it is.
 *
 * A loop turn, in libuv's order:
 *   read callbacks  parse whole packets where they lie; durable ones go into the ring, the rest is
 *                   routed; output collects in each connection's buffer
 *   uv_check        publish the ring (the writer starts early), complete what is on disk, send once
 *                   per connection
 *   uv_prepare      say "asleep", look once more at what was committed, then poll
 */
#ifndef FREEHUB_BROKER_SERVER_WORKER_H
#define FREEHUB_BROKER_SERVER_WORKER_H

#include "broker/auth/acl.h"
#include "broker/auth/identity.h"
#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/base/list.h"
#include "broker/base/wheel.h"
#include "broker/core/registry.h"
#include "broker/core/router.h"
#include "broker/core/subs.h"
#include "broker/net/listener.h"
#include "broker/net/transport.h"
#include "broker/server/bufpool.h"
#include "broker/server/ingest.h"
#include "broker/server/server.h"
#include "storage/ring.h"

#include <stdatomic.h>
#include <uv.h>

struct conn;
struct thread;

/* Counters one worker writes and anybody reads; X(name, meaning). Monotonic unless said. */
#define WORKER_COUNTERS(X)                                                                         \
    X(connections, "open connections, not monotonic")                                              \
    X(connections_total, "connections accepted")                                                   \
    X(connects_refused, "CONNECT packets refused")                                                 \
    X(sessions_taken_over, "connections ended because their client connected again")               \
    X(protocol_errors, "connections closed for what the peer sent")                                \
    X(messages_received, "PUBLISH packets received")                                               \
    X(messages_sent, "PUBLISH packets sent")                                                       \
    X(messages_stored, "messages acknowledged after their commit")                                 \
    X(messages_quarantined, "messages refused for their payload and kept")                         \
    X(messages_denied, "messages refused for lack of rights")                                      \
    X(messages_refused_full, "messages refused for lack of space")                                 \
    X(messages_dropped, "copies not delivered: client too slow or packet too large")               \
    X(bytes_received, "bytes received, TLS removed")                                               \
    X(bytes_sent, "bytes sent, before TLS")                                                        \
    X(sessions, "sessions, not monotonic")                                                         \
    X(subscriptions, "subscriptions, not monotonic")                                               \
    X(ring_full, "times reading was paused for a full ring")

struct worker_counters {
#define WORKER_COUNTER_FIELD(name, meaning) _Atomic uint64_t name;
    WORKER_COUNTERS(WORKER_COUNTER_FIELD)
#undef WORKER_COUNTER_FIELD
};

/* One writer, so a plain load and store suffice. */
#define COUNT_ADD(worker_, name, amount)                                                           \
    atomic_store_explicit(&(worker_)->counters.name,                                               \
                          atomic_load_explicit(&(worker_)->counters.name, memory_order_relaxed) +  \
                              (uint64_t)(amount),                                                  \
                          memory_order_relaxed)

struct worker_slot {
    struct conn *conn; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct worker {
    struct server *server;
    uv_loop_t loop;
    struct net_loop *net;
    struct thread *thread;
    uv_async_t wake; /* commits, reload, stop */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t tick;     /* armed for the wheel's next deadline */
    uint64_t tick_at_ms; /* when it is due; 0: to be armed, UINT64_MAX: no deadline */
    struct wheel wheel;
    struct bufpool buffers;
    struct ring *ring;
    uint64_t ring_end; /* what was last appended ends here */
    uint64_t released; /* everything before it has been completed */
    struct ingest ingest;
    struct subs *subs;
    struct router *router;
    struct registry *registry;
    struct outbox_limits outbox_limits;
    uint64_t next_session_id;
    struct acl *acl;         /* one reference */
    uint32_t acl_generation; /* counts the ACLs; an address may come back, this does not */
    struct worker_slot *slots;
    struct ingest_cover *covers; /* one a slot */
    uint32_t slot_count, slot_free;
    struct list dirty;   /* connections with output to send this turn */
    struct list stalled; /* connections that wait for room in the ring */
    uint32_t will_count;
    struct list wills; /* wills that wait for room in the ring */
    struct listener *listeners[SERVER_LISTENERS_MAX];
    struct worker_counters counters;
    int64_t wall_ms; /* of this turn, once worker_clock() has read it */
    uint64_t mono_ms;
    bool clock_is_read; /* in this turn */
    bool polled_again;  /* late deadlines have waited for a poll */
    bool storing;       /* the store takes records: space on the disk */
    uint8_t stopping;   /* 0, then the steps of worker.c */
    uint64_t stop_deadline_ms;
    _Atomic bool stop_asked;
    _Atomic(struct worker_reload *) reload; /* handed over by server_reload() */
};

/* Make the worker and its listeners on `server`; the thread starts with worker_start(). Main
 * thread. */
CHECKED int worker_new(struct worker **out, struct server *server, struct err_detail *detail);
CHECKED int worker_start(struct worker *w, struct err_detail *detail);

/* Ask it to end: no new connections, what was received is committed and acknowledged, MQTT 5
 * clients are told 0x8B. Returns once its thread has ended. Main thread. */
void worker_stop(struct worker *w);
void worker_free(struct worker *w);

/* What a reload replaces; owns one reference of each. */
struct worker_reload {
    struct acl *acl;
    struct tls_server *tls[SERVER_LISTENERS_MAX]; /* by listener; NULL: plain */
};

void worker_reload_free(struct worker_reload *reload); /* NULL is allowed */

/* Use these from the next loop turn on; live connections keep theirs. Takes `reload`, which
 * mem_new() made. Main thread. */
void worker_post_reload(struct worker *w, struct worker_reload *reload);

/* ---- for conn*.c, on the worker's thread ---- */

bool worker_is_current(const struct worker *w);

/* Read the clocks unless this turn has done so: first thing in every callback of the poll. */
void worker_clock(struct worker *w);
CHECKED int worker_slot_take(struct worker *w, struct conn *c, uint32_t *slot,
                             uint32_t *generation);
void worker_slot_give(struct worker *w, uint32_t slot);
/* Publish a will at the end of this turn, or as soon as there is room in the ring. `who` NULL:
 * anonymous. */
void worker_will(struct worker *w, struct message *will, const struct identity *who);

#endif
