#include "broker/server/status.h"

#include "broker/base/chrono.h"
#include "broker/server/worker.h"

#include <stdio.h>

static uint64_t count(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void status_sample(const struct server *s, struct status_rates *rates)
{
    uint64_t now_ms = chrono_mono_ms();
    uint64_t in = count(&s->worker->counters.messages_received);
    uint64_t out = count(&s->worker->counters.messages_sent);
    double passed_s = (double)(now_ms - rates->at_ms) / 1000;

    if (rates->at_ms > 0 && passed_s > 0) {
        rates->in_per_s = (double)(in - rates->messages_in) / passed_s;
        rates->out_per_s = (double)(out - rates->messages_out) / passed_s;
    }
    rates->at_ms = now_ms;
    rates->messages_in = in;
    rates->messages_out = out;
}

static void add_alarm(struct admin_status *status, bool raised, const char *name, const char *text)
{
    if (!raised || status->alarm_count == ADMIN_ALARMS_MAX)
        return;
    status->alarms[status->alarm_count].name = name;
    status->alarms[status->alarm_count++].text = text;
}

static void collect_alarms(const struct server *s, struct admin_status *status)
{
    add_alarm(status, store_admission(s->store) == ERR_NOSPACE, "disk_full",
              "no space for new durable messages; they are refused until some is freed");
    add_alarm(status, status->store.size_cap_reached, "log_size_cap",
              "segments younger than store.log_max_age were deleted; raise store.log_max_bytes");
    add_alarm(
        status, status->store.bad_blocks > 0, "bad_blocks",
        "blocks of the log failed their checksum; see the log for which ones, check the disk");
    add_alarm(status, status->store.quarantine_dropped > 0, "quarantine_full",
              "refused payloads were dropped to make room; see `freehub quarantine list`");
}

void status_collect(const struct server *s, const struct status_rates *rates,
                    struct admin_status *out)
{
    const struct worker_counters *c = &s->worker->counters;

    *out = (struct admin_status){
        .version = FREEHUB_VERSION,
        .uptime_ms = chrono_mono_ms() - s->started_mono_ms,
        .connections = count(&c->connections),
        .connections_total = count(&c->connections_total),
        .connections_refused = count(&c->connects_refused),
        .sessions_taken_over = count(&c->sessions_taken_over),
        .messages_in = count(&c->messages_received),
        .messages_out = count(&c->messages_sent),
        .messages_dropped = count(&c->messages_dropped),
        .publishes_refused = count(&c->messages_denied) + count(&c->messages_quarantined) +
                             count(&c->messages_refused_full),
        .messages_in_per_s = rates->in_per_s,
        .messages_out_per_s = rates->out_per_s,
        .subscriptions = count(&c->subscriptions),
        .listener_count = s->listener_count,
    };
    store_status(s->store, &out->store);
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct config_endpoint *listener = s->listeners[i].config;

        out->listeners[i].name = listener->name;
        bool is_v6 = strchr(listener->address.host, ':') != NULL;

        snprintf(out->listeners[i].url, sizeof out->listeners[i].url,
                 is_v6 ? "%s://[%s]:%u" : "%s://%s:%u", listener->address.tls ? "mqtts" : "mqtt",
                 listener->address.host, s->listeners[i].port);
    }
    collect_alarms(s, out);
}
