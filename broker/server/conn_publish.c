/* The way of a PUBLISH: judge it, put what is durable into the ring, and once it is on disk
 * acknowledge it, update `latest` and let subscribers see it -- durable first, then visible.
 *
 *   1. Nothing is acknowledged with success before ring_committed() has passed its record.
 *   2. Acknowledgements leave in the order of arrival: while a connection has entries open, all
 * that it publishes becomes an entry [MQTT-4.6.0-5].
 *   3. A payload that is not valid is stored in quarantine first and refused then: 0x99 in MQTT 5,
 * a normal PUBACK in 3.1.1, where anything else makes the bike send it for ever.
 *   4. Without room nothing has happened yet: the packet stays with the connection and is handled
 *      again after the next commit. */
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/codec/packet.h"
#include "broker/codec/topic.h"
#include "broker/server/conn.h"
#include "storage/clock_rule.h"
#include "storage/record.h"

enum { QUARANTINE_REASON_MAX = 255 };

/* ---- the topic ---- */

static struct conn_route *route_new(struct conn *c, struct str topic)
{
    struct worker *w = c->worker;
    struct identity who = conn_identity(c);
    struct conn_route *r = mem_new(sizeof *r + topic.len);

    memcpy(r->topic, topic.at, topic.len);
    r->topic_len = (uint16_t)topic.len;
    r->acl_generation = w->acl_generation;
    r->allowed = topic_name_valid(topic) && acl_may_publish(w->acl, &who, topic);
    r->stored = streams_match(w->server->streams, (struct str){r->topic, topic.len}, &r->hit);
    if (r->stored && !identity_name_valid(r->hit.bike))
        r->allowed = false;
    r->subs_generation = subs_generation(w->subs);
    r->heard = subs_any(w->subs, topic);
    return r;
}

static struct conn_route *route_of(struct conn *c, struct str topic)
{
    struct conn_route *r = c->route;
    struct worker *w = c->worker;

    if (UNLIKELY(!r || r->topic_len != topic.len || memcmp(r->topic, topic.at, topic.len) != 0 ||
                 r->acl_generation != w->acl_generation)) {
        mem_free(r);
        c->route = route_new(c, topic);
        return c->route;
    }
    if (UNLIKELY(r->subs_generation != subs_generation(w->subs))) {
        r->subs_generation = subs_generation(w->subs);
        r->heard = subs_any(w->subs, topic);
    }
    return r;
}

/* ---- acknowledging ---- */

static void put_puback(struct conn *c, uint16_t packet_id, enum mqtt_reason reason, const char *why)
{
    struct mqtt_packet packet = {.type = MQTT_PUBACK};

    if (LIKELY(reason == MQTT_OK || !conn_is_v5(c))) {
        uint8_t *room = conn_room(c, 4);

        if (room)
            c->out.len += (uint32_t)puback_encode_ok(room, packet_id);
        return;
    }
    packet.ack.packet_id = packet_id;
    packet.ack.reason = reason;
    if (why && c->problem_info) { /* [MQTT-3.1.2-29] */
        packet.ack.properties.present = 1u << MQTT_PROP_REASON_STRING;
        packet.ack.properties.reason_string = str_from(why);
    }
    conn_send(c, &packet);
}

/* Acknowledge with `reason` in its turn (2.). */
static uint8_t answer(struct conn *c, const struct mqtt_publish *publish, enum mqtt_reason reason,
                      const char *why, struct message *message, bool *stalled)
{
    struct worker *w = c->worker;
    struct ingest_entry *entry;

    if (c->open_entries == 0) {
        if (message) {
            deliver_message(w, message);
            message_unref(message);
        }
        if (publish->qos > 0 && c->state == CONN_ACTIVE)
            put_puback(c, publish->packet_id, reason, why);
        return c->state;
    }
    entry = ingest_reserve(&w->ingest);
    if (!entry) {
        message_unref(message);
        *stalled = true;
        return c->state;
    }
    *entry = (struct ingest_entry){.end = w->ring_end,
                                   .message = message,
                                   .why = why,
                                   .slot = c->slot,
                                   .generation = c->generation,
                                   .packet_id = publish->packet_id,
                                   .kind = INGEST_PLAIN,
                                   .reason = (uint8_t)reason};
    ingest_push(&w->ingest);
    c->open_entries++;
    c->open_acks += publish->packet_id != 0;
    return c->state;
}

/* ---- storing ---- */

/* Put a record and its entry into the ring. False for want of room, with nothing done. */
static bool append(struct worker *w, const struct record *record, const struct ingest_entry *entry)
{
    size_t len = record_bytes(record);
    struct ingest_entry *open = ingest_reserve(&w->ingest);
    uint8_t *room = open ? ring_reserve(w->ring, len) : NULL;

    if (UNLIKELY(!room))
        return false;
    record_write(room, record);
    w->ring_end = ring_append(w->ring, len);
    *open = *entry;
    open->end = w->ring_end;
    open->record_len = (uint32_t)len;
    ingest_push(&w->ingest);
    return true;
}

/* The record of a refused payload: u8 length of the reason, the reason, the bytes. False for want
 * of room. */
static bool append_quarantine(struct worker *w, struct record *record, const char *why,
                              struct str topic, struct ingest_entry *entry)
{
    struct str payload = record->payload;
    size_t why_len = strlen(why);
    uint8_t *copy = mem_try(1 + QUARANTINE_REASON_MAX + payload.len);
    bool done;

    if (!copy)
        return false;
    if (why_len > QUARANTINE_REASON_MAX)
        why_len = QUARANTINE_REASON_MAX;
    copy[0] = (uint8_t)why_len;
    memcpy(copy + 1, why, why_len);
    if (payload.len > 0)
        memcpy(copy + 1 + why_len, payload.at, payload.len);
    record->type = RECORD_QUARANTINE;
    record->flags = RECORD_HAS_TOPIC;
    record->topic = topic;
    record->payload = str_of_bytes(copy, 1 + why_len + payload.len);
    entry->kind = INGEST_QUARANTINE;
    entry->reason = MQTT_PAYLOAD_FORMAT_INVALID;
    entry->why = why;
    done = append(w, record, entry);
    mem_free(copy);
    return done;
}

/* What completion wants to know without reading the payload again. */
static void note_facts(struct ingest_entry *entry, const struct schema *schema,
                       const struct record *record, const struct payload_facts *facts)
{
    struct clock_rule rule = clock_rule_judge(facts, record->recv_ms);

    entry->bike = record->bike;
    entry->schema = record->schema;
    entry->samples = (uint16_t)facts->sample_count;
    entry->last_ms = clock_rule_time(&rule, facts->last_ms);
    entry->last_order =
        (uint64_t)facts->boot << 32 | (facts->first_sample + facts->sample_count - 1);
    entry->any = schema_is_columnar(schema) ? facts->any : UINT64_MAX; /* else not in `latest` */
    entry->last = schema_is_columnar(schema) ? facts->last : 0;
}

enum stored { STORED, STORE_LATER, STORE_NEVER };

/* Store a message of a stream; `entry` says whom to acknowledge. STORE_LATER: no room in the ring
 * now. STORE_NEVER: the bike is one too many. Nothing has happened then. */
static enum stored store_message(struct worker *w, struct conn_route *route, struct str payload,
                                 struct ingest_entry *entry, const char **bad)
{
    const struct schema *schema = route->hit.schema;
    struct str topic = {route->topic, route->topic_len};
    struct record record = {.type = RECORD_TELEMETRY,
                            .schema = schema ? schema_id(schema) : SCHEMA_RAW,
                            .recv_ms = w->wall_ms,
                            .payload = payload};
    struct payload_facts facts;

    if (UNLIKELY(route->bike == 0)) {
        int rc = store_bike_number(w->server->store, w->ring, route->hit.bike, &route->bike);

        if (rc)
            return rc == ERR_AGAIN ? STORE_LATER : STORE_NEVER;
    }
    record.bike = route->bike;
    if (schema && !payload_validate(schema, payload, &facts, bad)) {
        message_unref(entry->message); /* a refused payload is not routed */
        entry->message = NULL;
        return append_quarantine(w, &record, *bad, topic, entry) ? STORED : STORE_LATER;
    }
    if (!schema) { /* raw: the topic says what it is */
        record.flags = RECORD_HAS_TOPIC;
        record.topic = topic;
    }
    entry->kind = schema ? INGEST_TELEMETRY : INGEST_PLAIN;
    if (schema)
        note_facts(entry, schema, &record, &facts);
    return append(w, &record, entry) ? STORED : STORE_LATER;
}

/* A message that cannot be stored: 0x97 in MQTT 5; no acknowledgement and a closed connection in
 * 3.1.1. */
static uint8_t refuse_storing(struct conn *c, const struct mqtt_publish *publish, const char *why,
                              bool *stalled)
{
    COUNT_ADD(c->worker, messages_refused_full, 1);
    if (!conn_is_v5(c))
        return conn_fail(c, MQTT_QUOTA_EXCEEDED, why);
    return answer(c, publish, MQTT_QUOTA_EXCEEDED, why, NULL, stalled);
}

static uint8_t publish_stored(struct conn *c, const struct mqtt_publish *publish,
                              struct conn_route *route, struct message *message, bool *stalled)
{
    struct ingest_entry entry = {.message = message,
                                 .slot = c->slot,
                                 .generation = c->generation,
                                 .packet_id = publish->packet_id};
    const char *bad = NULL;
    enum stored stored = store_message(c->worker, route, publish->payload, &entry, &bad);

    if (UNLIKELY(stored != STORED)) {
        message_unref(entry.message);
        *stalled = stored == STORE_LATER;
        return *stalled ? c->state
                        : refuse_storing(c, publish, "no more bikes can be kept", stalled);
    }
    if (UNLIKELY(bad)) {
        COUNT_ADD(c->worker, messages_quarantined, 1);
        LOG_WARN("payload_quarantined", F_STR("client", conn_client_id(c)),
                 F_STR("topic", publish->topic), F_UINT("bytes", publish->payload.len),
                 F_TEXT("why", bad));
    }
    c->open_entries++;
    c->open_acks += publish->packet_id != 0;
    return c->state;
}

/* ---- PUBLISH ---- */

/* What a PUBLISH may not be here, or MQTT_OK. */
static enum mqtt_reason check_publish(const struct conn *c, const struct mqtt_publish *publish,
                                      const char **why)
{
    if (publish->qos > 1) {
        *why = "QoS 2 is not offered, see Maximum QoS in CONNACK";
        return MQTT_QOS_NOT_SUPPORTED; /* [MQTT-3.2.2-11] */
    }
    if (publish->retain) {
        *why = "retained messages are not offered, see Retain Available in CONNACK";
        return MQTT_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-14] */
    }
    if (publish->properties.present == 0)
        return MQTT_OK;
    if (mqtt_has(&publish->properties, MQTT_PROP_TOPIC_ALIAS)) {
        *why = "topic aliases are not offered";
        return MQTT_TOPIC_ALIAS_INVALID; /* [MQTT-3.2.2-18] */
    }
    if (mqtt_has(&publish->properties, MQTT_PROP_SUBSCRIPTION_ID)) {
        *why = "a client's PUBLISH carries no Subscription Identifier";
        return MQTT_PROTOCOL_ERROR; /* [MQTT-3.3.4-6] */
    }
    (void)c;
    return MQTT_OK;
}

/* The client may not publish there: 0x87 in MQTT 5, a closed connection in 3.1.1. */
static uint8_t refuse_topic(struct conn *c, const struct mqtt_publish *publish, bool *stalled)
{
    COUNT_ADD(c->worker, messages_denied, 1);
    if (!c->route->denial_logged) {
        c->route->denial_logged = true;
        LOG_WARN("publish_refused", F_STR("client", conn_client_id(c)),
                 F_STR("topic", publish->topic), F_TEXT("why", "outside this client's rights"));
    }
    if (!conn_is_v5(c))
        return conn_fail(c, MQTT_NOT_AUTHORIZED, "publish outside this client's rights");
    return answer(c, publish, MQTT_NOT_AUTHORIZED, NULL, NULL, stalled);
}

uint8_t on_publish(struct conn *c, const struct mqtt_publish *publish, bool *stalled)
{
    struct worker *w = c->worker;
    struct message *message = NULL;
    struct conn_route *route;
    const char *why = NULL;
    enum mqtt_reason reason = check_publish(c, publish, &why);
    uint8_t state;

    if (UNLIKELY(reason != MQTT_OK))
        return conn_fail(c, reason, why);
    if (UNLIKELY(publish->topic.len == 0))
        return conn_fail(c, MQTT_PROTOCOL_ERROR, "neither a topic nor a topic alias");
    if (conn_is_v5(c) && publish->qos > 0 &&
        c->open_acks >= (uint32_t)w->server->config->limits.receive_maximum)
        return conn_fail(c, MQTT_RECEIVE_MAX_EXCEEDED, "more unacknowledged than CONNACK allows");

    route = route_of(c, publish->topic);
    if (UNLIKELY(!route->allowed))
        return refuse_topic(c, publish, stalled);
    if (UNLIKELY(route->stored && !w->storing))
        return refuse_storing(c, publish, "no space left to store it", stalled);
    if (route->heard) {
        if (message_new(&message, publish, c->session->id, w->mono_ms))
            return conn_fail(c, MQTT_QUOTA_EXCEEDED, "no memory for the message");
    }
    state = route->stored ? publish_stored(c, publish, route, message, stalled)
                          : answer(c, publish, MQTT_OK, NULL, message, stalled);
    COUNT_ADD(w, messages_received, !*stalled); /* once, however often it is tried */
    return state;
}

/* The connection an entry came from, or NULL when it has gone. */
static struct conn *entry_conn(const struct worker *w, const struct ingest_entry *entry)
{
    if (entry->slot == INGEST_NO_SLOT)
        return NULL;
    return w->slots[entry->slot].generation == entry->generation ? w->slots[entry->slot].conn
                                                                 : NULL;
}

static void update_latest(struct worker *w, const struct ingest_entry *entry)
{
    struct record record;
    size_t len;

    COUNT_ADD(w, messages_stored, 1);
    if (entry->outdated) {
        store_head_seen(w->server->store, entry->bike, entry->samples);
        return;
    }
    len = record_read(
        str_of_bytes(ring_at(w->ring, entry->end - entry->record_len), entry->record_len), &record);
    ASSERT(len == entry->record_len);
    store_head_update(w->server->store, record.bike, record.schema, record.recv_ms, record.payload);
}

void conn_complete(struct worker *w, const struct ingest_entry *entry)
{
    struct conn *c = entry_conn(w, entry);

    if (entry->kind == INGEST_TELEMETRY)
        update_latest(w, entry);
    else if (entry->kind == INGEST_QUARANTINE)
        store_quarantine_note(w->server->store);
    if (entry->message) {
        deliver_message(w, entry->message);
        message_unref(entry->message);
    }
    if (!c)
        return;
    c->open_entries--;
    if (entry->packet_id == 0)
        return;
    c->open_acks--;
    put_puback(c, entry->packet_id, (enum mqtt_reason)entry->reason, entry->why);
}

bool publish_will(struct worker *w, struct message *will, const struct identity *who)
{
    struct conn_route *route;
    struct ingest_entry entry = {.slot = INGEST_NO_SLOT};
    const char *bad = NULL;
    enum stored stored = STORED;
    struct conn scratch = {.worker = w};

    if (who) {
        scratch.identity = mem_new(sizeof *who);
        *scratch.identity = *who;
    }
    route = route_new(&scratch, will->topic); /* with the rights of this moment */
    mem_free(scratch.identity);
    if (!route->allowed)
        goto out;
    if (route->stored && !w->storing) { /* durable first, then visible: so neither */
        COUNT_ADD(w, messages_refused_full, 1);
        LOG_WARN("will_refused", F_STR("topic", will->topic),
                 F_TEXT("why", "no space left to store it"));
    } else if (route->stored) {
        entry.message = message_ref(will);
        stored = store_message(w, route, will->payload, &entry, &bad);
        if (stored != STORED)
            message_unref(entry.message);
    } else {
        deliver_message(w, will);
    }
out:
    mem_free(route);
    return stored != STORE_LATER;
}
