/* broker/core/session.h -- what the server remembers of one client: its id, its subscriptions, what
 * it is owed and its will. Owned by the registry, touched by its home worker only. A session ends
 * with its connection: the server announces a Session Expiry Interval of 0. */
#ifndef FREEHUB_BROKER_CORE_SESSION_H
#define FREEHUB_BROKER_CORE_SESSION_H

#include "broker/base/base.h"
#include "broker/codec/mqtt.h"
#include "broker/core/inflight.h"
#include "broker/core/message.h"
#include "broker/core/outbox.h"
#include "broker/core/subs.h"

struct conn; /* server/conn.h; only carried here */

enum { SESSION_INFLIGHT_MAX = 8192 }; /* QoS 1 messages on their way to one client */

struct session {
    uint64_t id;     /* unlike any other's in this process; never 0 */
    char *client_id; /* owned */
    uint32_t client_id_len;
    uint32_t filter_count;
    char **filters;       /* owned; the subscribed filters, to leave the tree again */
    struct conn *conn;    /* the live connection */
    struct message *will; /* owned reference, or NULL */
    uint64_t route_mark;  /* router.c: the last matching that met this session */
    uint32_t route_index;
    struct outbox outbox;
    struct inflight inflight;
};

/* `client_id` is copied. `receive_max` is the client's Receive Maximum; `limits`
 * outlives the session. Owner worker. */
struct session *session_new(struct str client_id, uint64_t id, uint16_t receive_max,
                            const struct outbox_limits *limits);

/* Leaves the tree, drops what it is owed and its will. Owner worker. */
void session_free(struct session *s, struct subs *tree);

struct str session_client_id(const struct session *s);

/* Subscribe to a valid filter. ERR_FULL beyond `filters_max`, ERR_NOMEM. Owner worker. */
CHECKED int session_subscribe(struct session *s, struct subs *tree, struct str filter,
                              struct sub_options options, uint32_t filters_max);
/* ERR_NOTFOUND when it was not subscribed. Owner worker. */
CHECKED int session_unsubscribe(struct session *s, struct subs *tree, struct str filter);

#endif
