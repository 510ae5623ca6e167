#include "broker/server/admin.h"

static void store_write(const struct store_status *store, struct json_out *out)
{
    json_out_object_begin(out);
    json_out_member_uint(out, "first_sequence", store->first_sequence);
    json_out_member_uint(out, "next_sequence", store->next_sequence);
    json_out_member_uint(out, "commits", store->commits);
    json_out_member_uint(out, "records", store->records);
    json_out_member_uint(out, "bytes", store->bytes);
    json_out_member_uint(out, "log_bytes", store->log_bytes);
    json_out_member_uint(out, "segments", store->segments);
    json_out_member_uint(out, "segments_dropped", store->segments_dropped);
    json_out_member_uint(out, "quarantined", store->quarantined);
    json_out_member_uint(out, "quarantine_dropped", store->quarantine_dropped);
    json_out_member_uint(out, "bad_blocks", store->bad_blocks);
    json_out_member_uint(out, "commit_us_p50", store->commit_us_p50);
    json_out_member_uint(out, "commit_us_p99", store->commit_us_p99);
    json_out_member_uint(out, "pending_bytes", store->pending_bytes);
    json_out_member_bool(out, "size_cap_reached", store->size_cap_reached);
    json_out_member_bool(out, "failed", store->failed);
    json_out_object_end(out);
}

void admin_status_write(const struct admin_status *status, struct json_out *out)
{
    ASSERT(status->listener_count <= ADMIN_LISTENERS_MAX);
    ASSERT(status->alarm_count <= ADMIN_ALARMS_MAX);
    json_out_object_begin(out);
    json_out_member_text(out, "version", status->version);
    json_out_member_uint(out, "uptime_ms", status->uptime_ms);
    json_out_member_uint(out, "connections", status->connections);
    json_out_member_uint(out, "connections_total", status->connections_total);
    json_out_member_uint(out, "connections_refused", status->connections_refused);
    json_out_member_uint(out, "sessions_taken_over", status->sessions_taken_over);
    json_out_member_uint(out, "subscriptions", status->subscriptions);
    json_out_member_uint(out, "messages_in", status->messages_in);
    json_out_member_uint(out, "messages_out", status->messages_out);
    json_out_member_double(out, "messages_in_per_s", status->messages_in_per_s);
    json_out_member_double(out, "messages_out_per_s", status->messages_out_per_s);
    json_out_member_uint(out, "messages_dropped", status->messages_dropped);
    json_out_member_uint(out, "publishes_refused", status->publishes_refused);
    json_out_key(out, "store");
    store_write(&status->store, out);
    json_out_key(out, "listeners");
    json_out_array_begin(out);
    for (size_t i = 0; i < status->listener_count; i++) {
        json_out_object_begin(out);
        json_out_member_text(out, "name", status->listeners[i].name);
        json_out_member_text(out, "url", status->listeners[i].url);
        json_out_object_end(out);
    }
    json_out_array_end(out);
    json_out_key(out, "alarms");
    json_out_array_begin(out);
    for (size_t i = 0; i < status->alarm_count; i++) {
        json_out_object_begin(out);
        json_out_member_text(out, "name", status->alarms[i].name);
        json_out_member_text(out, "text", status->alarms[i].text);
        json_out_object_end(out);
    }
    json_out_array_end(out);
    json_out_object_end(out);
}
