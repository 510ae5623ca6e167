#include "broker/server/server.h"

#include "broker/auth/identity.h"
#include "broker/auth/pki.h"
#include "broker/base/chrono.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/net/transport.h"
#include "broker/server/admin.h"
#include "broker/server/notify.h"
#include "broker/server/status.h"
#include "broker/server/worker.h"

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

enum {
    PATH_BYTES = 4096,
    EXIT_IO = 74,            /* EX_IOERR */
    STORM_CONNECTIONS = 500, /* since the last trim */
    STORM_CALM = 50,         /* new connections in one sample: the storm is over */
};

static int data_path(const struct server *s, const char *name, char out[PATH_BYTES])
{
    int len = snprintf(out, PATH_BYTES, "%s/%s", s->config->hub.data, name);

    return len > 0 && len < PATH_BYTES ? 0 : ERR_TOO_LARGE;
}

/* Writer thread. What was acknowledged is on disk and what was not may be lost: the one right thing
 * left is to stop before anything untrue is said; a supervisor starts the hub again. */
static void on_store_failed(void *ctx, const struct err_detail *detail)
{
    (void)ctx;
    LOG_ERROR("store_failed", F_TEXT("why", detail->text),
              F_TEXT("next", "exiting; nothing after the last commit was acknowledged"));
    _exit(EXIT_IO);
}

static int open_store(struct server *s, struct err_detail *detail)
{
    struct store_options options;

    config_store_options(s->config, &options);
    options.schemas = s->schemas;
    options.on_failed = on_store_failed;
    options.on_failed_ctx = s;
    return store_open(&s->store, &options, detail);
}

static int load_acl(const struct server *s, struct acl **out, struct err_detail *detail)
{
    char path[PATH_BYTES];

    if (data_path(s, "acl", path))
        return err_set(detail, ERR_TOO_LARGE, "data: the folder's name is too long");
    return acl_load(out, access(path, F_OK) == 0 ? path : NULL, detail);
}

/* Make the development PKI when a listener lives on it. */
static int make_pki(const struct server *s, struct err_detail *detail)
{
    char folder[PATH_BYTES];
    const char *hosts[SERVER_LISTENERS_MAX + 1] = {NULL};
    size_t count = 0;
    bool wanted = false;

    if (data_path(s, "pki", folder))
        return err_set(detail, ERR_TOO_LARGE, "data: the folder's name is too long");
    for (size_t i = 0; i < s->config->listener_count; i++) {
        const struct config_endpoint *listener = &s->config->listeners[i];

        if (!listener->address.tls ||
            !str_has_prefix(str_from(listener->settings.certificate), str_from(folder)))
            continue;
        wanted = true;
        if (!listener_address_is_loopback(&listener->address))
            hosts[count++] = listener->address.host;
    }
    return wanted ? pki_init(folder, hosts, detail) : 0;
}

/* A certificate that verified must name an identity too, or the handshake fails and says why. Owner
 * worker. */
static int accept_peer(void *ctx, const struct transport_peer *peer, struct err_detail *detail)
{
    struct identity ignored;

    (void)ctx;
    return identity_from_certificate(str_of_bytes(peer->common_name, peer->common_name_len),
                                     str_of_bytes(peer->unit, peer->unit_len), &ignored, detail);
}

static int load_tls(const struct config_endpoint *listener, struct tls_server **out,
                    struct err_detail *detail)
{
    struct tls_server_options options = {
        .certificate_file = listener->settings.certificate,
        .key_file = listener->settings.key,
        .client_ca_file = listener->settings.client_ca,
        .require_client_certificate = !listener->settings.allow_anonymous,
        .accept_peer = accept_peer,
    };

    *out = NULL;
    return listener->address.tls ? tls_server_new(out, &options, detail) : 0;
}

static int load_listeners(struct server *s, struct err_detail *detail)
{
    for (size_t i = 0; i < s->config->listener_count; i++) {
        struct server_listener *listener = &s->listeners[i];
        int rc;

        listener->config = &s->config->listeners[i];
        rc = load_tls(listener->config, &listener->tls, detail);
        if (rc)
            return rc;
        s->listener_count = i + 1;
    }
    return 0;
}

static void release(struct server *s)
{
    if (s->worker)
        worker_free(s->worker);
    if (s->store)
        store_close(s->store);
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].tls)
            tls_server_unref(s->listeners[i].tls);
    }
    if (s->acl)
        acl_unref(s->acl);
    if (s->streams)
        streams_free(s->streams);
    if (s->schemas)
        schema_set_free(s->schemas);
    *s = (struct server){0};
}

static void log_started(const struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct config_endpoint *listener = s->listeners[i].config;

        LOG_INFO("listening", F_TEXT("listener", listener->name),
                 F_TEXT("host", listener->address.host), F_UINT("port", s->listeners[i].port),
                 F_BOOL("tls", listener->address.tls),
                 F_BOOL("anonymous", listener->settings.allow_anonymous));
    }
    LOG_INFO("started", F_TEXT("version", FREEHUB_VERSION), F_TEXT("data", s->config->hub.data),
             F_INT("pid", getpid()), F_UINT("took_ms", chrono_mono_ms() - s->started_mono_ms));
}

int server_start(struct server *s, const struct config *config, struct err_detail *detail)
{
    int rc;

    *s = (struct server){
        .config = config, .started_wall_ms = chrono_wall_ms(), .started_mono_ms = chrono_mono_ms()};
    rc = schema_set_load(&s->schemas, detail);
    if (rc == 0)
        rc = streams_new(&s->streams, config->streams, config->stream_count, s->schemas, detail);
    if (rc == 0)
        rc = open_store(s, detail);
    if (rc == 0)
        rc = load_acl(s, &s->acl, detail);
    if (rc == 0)
        rc = make_pki(s, detail);
    if (rc == 0)
        rc = load_listeners(s, detail);
    if (rc == 0)
        rc = worker_new(&s->worker, s, detail);
    if (rc == 0)
        rc = store_start(s->store, detail);
    if (rc == 0)
        rc = worker_start(s->worker, detail);
    if (rc) {
        release(s);
        return rc;
    }
    return 0;
}

int server_reload(struct server *s, struct err_detail *detail)
{
    struct worker_reload *reload = MEM_NEW(struct worker_reload);
    int rc = load_acl(s, &reload->acl, detail);

    for (size_t i = 0; i < s->listener_count && rc == 0; i++)
        rc = load_tls(s->listeners[i].config, &reload->tls[i], detail);
    if (rc) {
        worker_reload_free(reload);
        LOG_ERROR("reload_refused", F_TEXT("why", detail->text),
                  F_TEXT("next", "everything stays as it was"));
        return rc;
    }
    worker_post_reload(s->worker, reload);
    LOG_INFO("reloaded", F_UINT("listeners", s->listener_count));
    return 0;
}

/* ---- the main loop ---- */

struct main_loop {
    struct server *server;
    uv_loop_t loop;
    uv_signal_t term, interrupt, hangup;
    uv_timer_t sample;
    struct status_rates rates;
    uint64_t connections_seen, connections_trimmed; /* of connections_total */
    struct admin *admin;
};

static void on_end_signal(uv_signal_t *signal, int number)
{
    LOG_INFO("stopping", F_INT("signal", number));
    uv_stop(signal->loop);
}

static void on_hangup(uv_signal_t *signal, int number)
{
    struct main_loop *m = signal->data;
    struct err_detail detail;

    (void)number;
    if (server_reload(m->server, &detail))
        return; /* it has logged why, and the hub goes on as before */
}

/* Handshakes leave holes among the connections they make. Once a storm of them has passed, give the
 * holes back: 10,000 TLS connections made at once keep a sixth less. Never while it lasts, and not
 * for a handful: the allocator is locked meanwhile. */
static void trim_after_storm(struct main_loop *m)
{
    uint64_t total =
        atomic_load_explicit(&m->server->worker->counters.connections_total, memory_order_relaxed);
    bool calm = total - m->connections_seen <= STORM_CALM;

    m->connections_seen = total;
    if (!calm || total - m->connections_trimmed < STORM_CONNECTIONS)
        return;
    m->connections_trimmed = total;
    malloc_trim(0);
}

static void on_sample(uv_timer_t *timer)
{
    struct main_loop *m = timer->data;

    status_sample(m->server, &m->rates);
    trim_after_storm(m);
}

static int on_status(void *ctx, struct json_out *result, struct err_detail *detail)
{
    struct main_loop *m = ctx;
    struct admin_status status;

    (void)detail;
    status_collect(m->server, &m->rates, &status);
    admin_status_write(&status, result);
    return 0;
}

static int on_reload(void *ctx, struct json_out *result, struct err_detail *detail)
{
    struct main_loop *m = ctx;
    int rc = server_reload(m->server, detail);

    if (rc == 0) {
        json_out_object_begin(result);
        json_out_member_uint(result, "listeners", m->server->listener_count);
        json_out_object_end(result);
    }
    return rc;
}

static const struct admin_command admin_commands[] = {
    {"status", on_status, "How the daemon is doing: connections, rates, store, alarms."},
    {"reload", on_reload, "Read certificates and the ACL file again; all or nothing."},
};

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int main_loop_init(struct main_loop *m, struct server *s, struct err_detail *detail)
{
    char folder[PATH_BYTES];

    *m = (struct main_loop){.server = s};
    if (uv_loop_init(&m->loop))
        return err_set(detail, ERR_NOMEM, "the main loop cannot be made");
    m->hangup.data = m->sample.data = m;
    uv_signal_init(&m->loop, &m->term);
    uv_signal_init(&m->loop, &m->interrupt);
    uv_signal_init(&m->loop, &m->hangup);
    uv_signal_start(&m->term, on_end_signal, SIGTERM);
    uv_signal_start(&m->interrupt, on_end_signal, SIGINT);
    uv_signal_start(&m->hangup, on_hangup, SIGHUP);
    uv_timer_init(&m->loop, &m->sample);
    m->sample.data = m;
    uv_timer_start(&m->sample, on_sample, 0, STATUS_SAMPLE_MS);
    if (data_path(s, "run", folder))
        return err_set(detail, ERR_TOO_LARGE, "data: the folder's name is too long");
    return admin_open(&m->admin, &m->loop, folder, admin_commands, ARRAY_LEN(admin_commands), m,
                      detail);
}

static void main_loop_fini(struct main_loop *m)
{
    if (m->admin)
        admin_close(m->admin);
    uv_walk(&m->loop, close_handle, NULL);
    uv_run(&m->loop, UV_RUN_DEFAULT);
    uv_loop_close(&m->loop);
}

int server_run(struct server *s)
{
    struct main_loop m;
    struct err_detail detail = {{0}};
    int rc = main_loop_init(&m, s, &detail);

    if (rc) {
        LOG_ERROR("start_failed", F_TEXT("why", detail.text));
    } else {
        log_started(s);
        notify_manager("READY=1");
        uv_run(&m.loop, UV_RUN_DEFAULT);
        notify_manager("STOPPING=1");
    }
    worker_stop(s->worker);
    if (store_stop(s->store, &detail)) {
        LOG_ERROR("stop_failed", F_TEXT("why", detail.text));
        rc = ERR_IO;
    }
    main_loop_fini(&m);
    release(s);
    LOG_INFO("stopped", F_INT("code", rc ? 1 : 0));
    return rc ? 1 : 0;
}
