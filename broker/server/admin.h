/* broker/server/admin.h -- the admin socket, run/admin.sock in the data folder: how `freehub` talks
 * to the daemon of its own machine. One JSON object a line in, one a line out, in order:
 *
 *     {"cmd":"status"}
 *     {"ok":true,"result":{...}}    or    {"ok":false,"code":"denied","error":"..."}
 *
 * The socket has mode 0600, and the peer must be root or the daemon's own user as the kernel says
 * (SO_PEERCRED). At most ADMIN_CONNECTIONS_MAX connections, ADMIN_LINE_MAX bytes a line. */
#ifndef FREEHUB_BROKER_SERVER_ADMIN_H
#define FREEHUB_BROKER_SERVER_ADMIN_H

#include <uv.h>

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/base/json_out.h"
#include "storage/store.h"

enum {
    ADMIN_CONNECTIONS_MAX = 16,
    ADMIN_LINE_MAX = 64 * 1024,
    ADMIN_ANSWER_MAX = 1024 * 1024,
    ADMIN_COMMANDS_MAX = 64,
};

struct admin;

/* Write the result as one JSON value. An ERR_ code, with `detail`, discards what was written and
 * is answered as a failure. Loop's thread. */
typedef int admin_handler_fn(void *ctx, struct json_out *result, struct err_detail *detail);

struct admin_command {
    const char *name;
    admin_handler_fn *handler;
    const char *help; /* one sentence */
};

/* Serve `commands` (borrowed for ever; `help`, which lists them, is added) from FOLDER/admin.sock;
 * the folder is made, mode 0700, when missing. A socket that a dead daemon left is replaced.
 * ERR_BUSY: a live one answers there; ERR_TOO_LARGE: the path is too long for a socket. Loop's
 * thread. */
CHECKED int admin_open(struct admin **out, uv_loop_t *loop, const char *folder,
                       const struct admin_command *commands, size_t command_count, void *ctx,
                       struct err_detail *detail);

/* Stop at once and remove the socket; frees itself in a later loop turn. Loop's thread. */
void admin_close(struct admin *admin);

/* ---- what `status` answers ---- */

enum { ADMIN_ALARMS_MAX = 16, ADMIN_LISTENERS_MAX = 16 };

struct admin_status {
    const char *version;
    uint64_t uptime_ms;
    uint64_t connections;         /* now */
    uint64_t connections_total;   /* since start, like all that follow */
    uint64_t connections_refused; /* bad certificate, client id, limit ... */
    uint64_t sessions_taken_over;
    uint64_t messages_in, messages_out;
    uint64_t messages_dropped;                    /* for subscribers that were too slow */
    uint64_t publishes_refused;                   /* no right to the topic, bad payload ... */
    double messages_in_per_s, messages_out_per_s; /* over the last seconds */
    uint64_t subscriptions;                       /* now */
    struct store_status store;
    struct {
        const char *name;
        char url[96]; /* with the port that is really bound */
    } listeners[ADMIN_LISTENERS_MAX];
    size_t listener_count;
    struct {
        const char *name; /* snake_case, stable: "log_size_cap" */
        const char *text; /* what it means and what mends it */
    } alarms[ADMIN_ALARMS_MAX];
    size_t alarm_count;
};

/* As the result of `status`: one object. Any thread. */
void admin_status_write(const struct admin_status *status, struct json_out *out);

#endif
