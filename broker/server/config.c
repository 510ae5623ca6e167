#include "broker/server/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/base/mem.h"
#include "broker/base/quantity.h"
#include "broker/codec/topic.h"
#include "broker/payload/schema.h"
#include "broker/server/config_priv.h"
#include "broker/server/streams.h"
#include "storage/store.h"

/* ---- life ---- */

struct config_endpoint *config_listener_add(struct config *config, struct str name,
                                            const char *place)
{
    struct config_endpoint *endpoint = &config->listeners[config->listener_count];

    if (config->listener_count == CONFIG_LISTENERS_MAX)
        return NULL;
    ASSERT(name.len <= CONFIG_NAME_MAX);
    config->listener_count++;
    *endpoint = (struct config_endpoint){0};
    memcpy(endpoint->name, name.at, name.len);
    config_group_init(&config_elements[CONFIG_ELEMENT_listener], &endpoint->settings);
    snprintf(endpoint->settings.place, sizeof endpoint->settings.place, "%s", place);
    return endpoint;
}

struct config_stream *config_stream_add(struct config *config, const char *place)
{
    struct config_stream *stream = &config->streams[config->stream_count];

    if (config->stream_count == CONFIG_STREAMS_MAX)
        return NULL;
    config->stream_count++;
    *stream = (struct config_stream){0};
    config_group_init(&config_elements[CONFIG_ELEMENT_stream], stream);
    snprintf(stream->place, sizeof stream->place, "%s", place);
    return stream;
}

void config_listeners_clear(struct config *config)
{
    while (config->listener_count > 0)
        config_group_fini(&config_elements[CONFIG_ELEMENT_listener],
                          &config->listeners[--config->listener_count].settings);
}

void config_streams_clear(struct config *config)
{
    while (config->stream_count > 0)
        config_group_fini(&config_elements[CONFIG_ELEMENT_stream],
                          &config->streams[--config->stream_count]);
}

/* The fleet's scheme. An event kind without a type of its own is kept as it comes. */
static void streams_default(struct config *config)
{
    static const struct {
        const char *topic, *type;
    } rows[] = {
        {"v1/b/+/hello", "freehub.v1.Hello"},
        {"v1/b/+/tel", "freehub.v1.Batch"},
        {"v1/b/+/evt/trip_start", "freehub.v1.TripStart"},
        {"v1/b/+/evt/trip_end", "freehub.v1.TripEnd"},
        {"v1/b/+/evt/+", "raw"},
        {"v1/b/+/log", "raw"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_stream *stream = config_stream_add(config, "default");

        stream->topic = mem_copy_text(str_from(rows[i].topic));
        stream->type = mem_copy_text(str_from(rows[i].type));
    }
}

static struct config *config_new(void)
{
    struct config *config = MEM_NEW(struct config);

    for (size_t i = 0; i < CONFIG_SECTION_COUNT; i++)
        config_group_init(&config_sections[i], (char *)config + config_sections[i].offset);
    config_listener_add(config, STR_LITERAL("mqtts"), "default")->settings.url =
        mem_copy_text(STR_LITERAL("mqtts://0.0.0.0:8883"));
    streams_default(config);
    return config;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    config_listeners_clear(config);
    config_streams_clear(config);
    for (size_t i = 0; i < CONFIG_SECTION_COUNT; i++)
        config_group_fini(&config_sections[i], (char *)config + config_sections[i].offset);
    mem_free(config->file);
    mem_free(config);
}

/* ---- the command line wins ---- */

static int args_apply(struct config *config, const struct config_args *args,
                      struct err_detail *detail)
{
    bool any_plain = false;

    if (args->data) {
        if (!args->data[0])
            return err_set(detail, ERR_INVALID, "--data is empty");
        mem_free(config->hub.data);
        config->hub.data = mem_copy_text(str_from(args->data));
    }
    if (args->listen_count > 0)
        config_listeners_clear(config);
    for (size_t i = 0; i < args->listen_count; i++) {
        char name[CONFIG_NAME_MAX + 1];
        int len = snprintf(name, sizeof name, "listen-%zu", i + 1);

        config_listener_add(config, (struct str){name, (size_t)len}, "--listen")->settings.url =
            mem_copy_text(str_from(args->listen[i]));
    }
    if (!args->allow_anonymous)
        return 0;
    for (size_t i = 0; i < config->listener_count; i++) {
        struct config_listener *listener = &config->listeners[i].settings;

        if (!listener->url || !str_has_prefix(str_from(listener->url), STR_LITERAL("mqtt://")))
            continue;
        any_plain = true;
        listener->allow_anonymous = true;
    }
    if (!any_plain)
        return err_set(detail, ERR_INVALID,
                       "--allow-anonymous is for a plain listener on loopback, and there is none: "
                       "add --listen mqtt://127.0.0.1:1883");
    return 0;
}

/* ---- what belongs together ---- */

static int listener_check(struct config_endpoint *endpoint, struct err_detail *detail)
{
    const struct config_listener *listener = &endpoint->settings;
    const char *place = listener->place;
    struct err_detail why;
    bool loopback;

    if (!listener->url)
        return err_set(detail, ERR_INVALID,
                       "%s: listener %s has no url, such as mqtts://0.0.0.0:8883", place,
                       endpoint->name);
    if (listener_address_parse(str_from(listener->url), &endpoint->address, &why))
        return err_set(detail, ERR_INVALID, "%s: listener %s: %s", place, endpoint->name, why.text);
    loopback = listener_address_is_loopback(&endpoint->address);
    if (!endpoint->address.tls && !loopback)
        return err_set(detail, ERR_INVALID,
                       "%s: %s would be open to other machines without TLS or a password; plain "
                       "MQTT is for loopback (127.0.0.1, ::1) only: use mqtts://",
                       place, listener->url);
    if (listener->allow_anonymous && !loopback)
        return err_set(detail, ERR_INVALID,
                       "%s: %s: allow_anonymous is for loopback (127.0.0.1, ::1) only", place,
                       listener->url);
    if (!endpoint->address.tls && !listener->allow_anonymous)
        return err_set(detail, ERR_INVALID,
                       "%s: nobody could log in to %s: without TLS there is no certificate to "
                       "know a client by; use mqtts://, or allow anonymous clients for a local "
                       "try (--allow-anonymous, allow_anonymous: true)",
                       place, listener->url);
    if (!endpoint->address.tls && (listener->certificate || listener->key || listener->client_ca))
        return err_set(detail, ERR_INVALID,
                       "%s: listener %s has certificate files, but its url is not mqtts://", place,
                       endpoint->name);
    if (!listener->certificate != !listener->key)
        return err_set(detail, ERR_INVALID, "%s: listener %s has %s without %s", place,
                       endpoint->name, listener->key ? "key" : "certificate",
                       listener->key ? "certificate" : "key");
    return 0;
}

static void pki_file_default(char **member, const char *data, const char *file)
{
    size_t room = strlen(data) + strlen(file) + 6;

    if (*member)
        return;
    *member = mem_new(room);
    snprintf(*member, room, "%s/pki/%s", data, file);
}

static int listeners_check(struct config *config, struct err_detail *detail)
{
    if (config->listener_count == 0)
        return err_set(detail, ERR_INVALID,
                       "%s: listeners is empty: nobody could connect; leave it out for mqtts on "
                       "port 8883",
                       config->file ? config->file : "the configuration");
    for (size_t i = 0; i < config->listener_count; i++) {
        struct config_listener *listener = &config->listeners[i].settings;
        int rc = listener_check(&config->listeners[i], detail);

        if (rc)
            return rc;
        if (!config->listeners[i].address.tls)
            continue;
        pki_file_default(&listener->certificate, config->hub.data, "server.crt");
        pki_file_default(&listener->key, config->hub.data, "server.key");
        pki_file_default(&listener->client_ca, config->hub.data, "ca.crt");
    }
    return 0;
}

static int sizes_check(struct config *config, struct err_detail *detail)
{
    const char *file = config->file ? config->file : "the configuration";
    char is[QUANTITY_MAX], other[QUANTITY_MAX];

    if ((config->store.ring_bytes & (config->store.ring_bytes - 1)) != 0) {
        size_format(is, config->store.ring_bytes);
        return err_set(detail, ERR_INVALID,
                       "%s: store.ring is %s; it must be a power of two, such as 8MiB", file, is);
    }
    if (config->limits.max_packet_bytes > config->store.ring_bytes / 4) {
        size_format(is, config->limits.max_packet_bytes);
        size_format(other, config->store.ring_bytes / 4);
        return err_set(detail, ERR_INVALID,
                       "%s: limits.max_packet is %s; at most a quarter of store.ring is allowed, "
                       "%s",
                       file, is, other);
    }
    if (config->store.commit_bytes > config->store.ring_bytes / 2) {
        size_format(is, config->store.commit_bytes);
        size_format(other, config->store.ring_bytes / 2);
        return err_set(detail, ERR_INVALID,
                       "%s: store.commit_bytes is %s; at most half of store.ring is allowed, %s",
                       file, is, other);
    }
    if (config->store.segment_max_bytes > config->store.log_max_bytes / 2) {
        size_format(is, config->store.segment_max_bytes);
        size_format(other, config->store.log_max_bytes / 2);
        return err_set(detail, ERR_INVALID,
                       "%s: store.segment_max_bytes is %s; at most half of store.log_max_bytes is "
                       "allowed, %s",
                       file, is, other);
    }
    if (config->limits.max_packet_before_connect_bytes > config->limits.max_packet_bytes)
        config->limits.max_packet_before_connect_bytes = config->limits.max_packet_bytes;
    return 0;
}

static int config_read(struct config *config, const struct config_args *args,
                       struct err_detail *detail)
{
    int rc = 0;

    if (config->file)
        rc = config_yaml_read(config, config->file, detail);
    if (rc == 0)
        rc = args_apply(config, args, detail);
    if (rc == 0)
        rc = listeners_check(config, detail);
    if (rc == 0)
        rc = sizes_check(config, detail);
    for (size_t i = 0; i < config->stream_count && rc == 0; i++)
        rc = streams_rule_check(&config->streams[i], NULL, detail);
    return rc;
}

int config_load(struct config **out, const char *file, int argc, char **argv,
                struct err_detail *detail)
{
    struct config_args args;
    struct config *config;
    int rc;

    *out = NULL;
    rc = config_args_parse(&args, argc, argv, detail);
    if (rc)
        return rc;
    file = args.file ? args.file : file;
    if (args.action == CONFIG_RUN && !file && !args.data && args.listen_count == 0)
        return err_set(detail, ERR_INVALID,
                       "nothing to start with: give --config FILE, or for a quick local try\n"
                       "  freehubd --data ./freehub-data --listen mqtt://127.0.0.1:1883 "
                       "--allow-anonymous\nfreehubd --help tells more");

    config = config_new();
    config->action = args.action;
    config->file = file ? mem_copy_text(str_from(file)) : NULL;
    if (args.action <= CONFIG_SHOW)
        rc = config_read(config, &args, detail);
    if (rc) {
        config_free(config);
        return rc;
    }
    *out = config;
    return 0;
}

/* ---- answers ---- */

static void group_show(const struct config_group *group, const void *base, const char *indent,
                       const char *first_indent, FILE *out)
{
    for (size_t i = 0; i < group->key_count; i++) {
        char *text = NULL;
        size_t len = 0;
        FILE *value = open_memstream(&text, &len);

        ASSERT(value);
        if (config_key_show(&group->keys[i], base, value) && fflush(value) == 0)
            fprintf(out, "%s%s: %s\n", first_indent, group->keys[i].name, text);
        fclose(value);
        free(text);
        first_indent = indent;
    }
}

void config_show(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < CONFIG_SECTION_COUNT; i++) {
        const struct config_group *group = &config_sections[i];
        const char *indent = i == CONFIG_SECTION_hub ? "" : "  ";

        if (i != CONFIG_SECTION_hub)
            fprintf(out, "%s:\n", group->name);
        group_show(group, (const char *)config + group->offset, indent, indent, out);
    }
    fputs("listeners:\n", out);
    for (size_t i = 0; i < config->listener_count; i++) {
        fprintf(out, "  %s:\n", config->listeners[i].name);
        group_show(&config_elements[CONFIG_ELEMENT_listener], &config->listeners[i].settings,
                   "    ", "    ", out);
    }
    fputs(config->stream_count ? "streams:\n" : "streams: []\n", out);
    for (size_t i = 0; i < config->stream_count; i++)
        group_show(&config_elements[CONFIG_ELEMENT_stream], &config->streams[i], "    ", "  - ",
                   out);
}

static void group_keys(const struct config_group *group, const char *prefix, FILE *out)
{
    for (size_t i = 0; i < group->key_count; i++) {
        const struct config_key *key = &group->keys[i];

        fprintf(out, "%s%s", prefix, key->name);
        if (key->initial)
            fprintf(out, "  (default %s", key->initial);
        if (key->least)
            fprintf(out, "; %s to %s", key->least, key->most);
        if (key->choices)
            fprintf(out, "; %s", key->choices);
        fprintf(out, "%s\n    %s\n", key->initial ? ")" : "", key->meaning);
    }
}

void config_keys(FILE *out)
{
    fputs("Every key is optional. Sizes: 64KiB, 8MiB, 20GiB; durations: 10ms, 30s, 5min, 1h, 7d.\n"
          "File names that are not absolute count from the folder of the configuration file.\n\n",
          out);
    for (size_t i = 0; i < CONFIG_SECTION_COUNT; i++) {
        char prefix[64] = "";

        if (i != CONFIG_SECTION_hub)
            snprintf(prefix, sizeof prefix, "%s.", config_sections[i].name);
        group_keys(&config_sections[i], prefix, out);
    }
    group_keys(&config_elements[CONFIG_ELEMENT_listener], "listeners.NAME.", out);
    group_keys(&config_elements[CONFIG_ELEMENT_stream], "streams[].", out);
}

static int config_check(const struct config *config, FILE *out, FILE *err)
{
    struct schema_set *schemas = NULL;
    struct streams *streams = NULL;
    struct err_detail detail = {""};
    int rc;

    rc = schema_set_load(&schemas, &detail);
    if (rc == 0)
        rc = streams_new(&streams, config->streams, config->stream_count, schemas, &detail);
    if (rc == 0)
        fprintf(out, "%s: sound, %zu %s, %zu %s\n", config->file ? config->file : "configuration",
                config->listener_count, config->listener_count == 1 ? "listener" : "listeners",
                config->stream_count, config->stream_count == 1 ? "stream" : "streams");
    else
        fprintf(err, "freehubd: %s\n", detail.text);
    streams_free(streams);
    schema_set_free(schemas);
    return rc ? 1 : 0;
}

bool config_answered(const struct config *config, FILE *out, FILE *err, int *exit_code)
{
    *exit_code = 0;
    switch (config->action) {
    case CONFIG_RUN:
        return false;
    case CONFIG_CHECK:
        *exit_code = config_check(config, out, err);
        return true;
    case CONFIG_SHOW:
        config_show(config, out);
        return true;
    case CONFIG_KEYS:
        config_keys(out);
        return true;
    case CONFIG_HELP:
        config_help(out);
        return true;
    case CONFIG_VERSION:
        fputs("freehubd " FREEHUB_VERSION "\n", out);
        return true;
    }
    return false;
}

void config_store_options(const struct config *config, struct store_options *out)
{
    store_options_default(out);
    out->folder = config->hub.data;
    out->commit_interval_ms = (uint32_t)config->store.commit_interval_ms;
    out->commit_bytes = (uint32_t)config->store.commit_bytes;
    out->commit_burst = (uint32_t)config->store.commit_burst;
    out->segment_max_bytes = config->store.segment_max_bytes;
    out->segment_max_records = config->store.segment_max_records;
    out->segment_max_age_s = (uint32_t)(config->store.segment_max_age_ms / 1000);
    out->log_max_bytes = config->store.log_max_bytes;
    out->log_max_age_s = (uint32_t)(config->store.log_max_age_ms / 1000);
    out->quarantine_max_bytes = config->store.quarantine_max_bytes;
    out->prewrite_max_bytes = config->store.prewrite_max_bytes;
}
