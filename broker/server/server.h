/* broker/server/server.h -- the daemon: what all workers share, and its life from configuration to
 * an orderly end. Shared parts are immutable after server_start(), but for the counted ACL. */
#ifndef FREEHUB_BROKER_SERVER_SERVER_H
#define FREEHUB_BROKER_SERVER_SERVER_H

#include "broker/auth/acl.h"
#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/net/tlsctx.h"
#include "broker/payload/schema.h"
#include "broker/server/config.h"
#include "broker/server/streams.h"
#include "storage/store.h"

struct worker;

enum { SERVER_LISTENERS_MAX = 16 };

/* A configured listener and what its connections may be. */
struct server_listener {
    const struct config_endpoint *config;
    struct tls_server *tls; /* NULL: plain */
    uint16_t port;          /* as bound */
    struct worker *worker;  /* whose loop it is on */
};

struct server {
    const struct config *config;
    struct schema_set *schemas;
    struct streams *streams;
    struct store *store;
    struct acl *acl; /* swapped by server_reload() between loop turns, see worker_post_acl() */
    struct worker *worker;
    struct server_listener listeners[SERVER_LISTENERS_MAX];
    size_t listener_count;
    int64_t started_wall_ms;
    uint64_t started_mono_ms;
};

/* Open the store, make the PKI where it is asked for, start the writer, the worker and the
 * listeners. On failure nothing is left running. Main thread. */
CHECKED int server_start(struct server *s, const struct config *config, struct err_detail *detail);

/* Run the main loop (signals, admin socket) until SIGTERM or SIGINT, then end in order: stop
 * accepting, DISCONNECT 0x8B, commit. Returns the exit status. Main thread. */
int server_run(struct server *s);

/* Read certificates and the ACL file again; all or nothing. Main thread. */
CHECKED int server_reload(struct server *s, struct err_detail *detail);

#endif
