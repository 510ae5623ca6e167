#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/quantity.h"
#include "broker/server/config.h"
#include "broker/server/config_priv.h"
#include "storage/store.h"

static char folder[64], file[96];

static void folder_make(void)
{
    snprintf(folder, sizeof folder, "/tmp/freehub-config-XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/hub.yaml", folder);
}

static void folder_remove(void)
{
    unlink(file);
    rmdir(folder);
}

/* Load `text` as the file, with up to three further arguments. */
static int load(struct config **out, struct str text, const char *const *more,
                struct err_detail *detail)
{
    char *argv[8];
    int argc = 0;
    FILE *to = fopen(file, "wb");

    cr_assert(to);
    fwrite(text.at, 1, text.len, to);
    fclose(to);
    argv[argc++] = (char[]){"freehubd"};
    for (; more && *more; more++)
        argv[argc++] = (char *)(uintptr_t)*more;
    argv[argc] = NULL;
    detail->text[0] = '\0';
    return config_load(out, file, argc, argv, detail);
}

/* The message without the folder's name: "hub.yaml:1:1: ...". */
static const char *shown(const struct err_detail *detail)
{
    size_t len = strlen(folder);

    return strncmp(detail->text, folder, len) == 0 ? detail->text + len + 1 : detail->text;
}

#define REFUSED(text_, expected_)                                                                  \
    {                                                                                              \
        STR_LITERAL(text_), (expected_)                                                            \
    }

struct refused {
    struct str text;
    const char *expected;
};

static void expect_refused(const struct refused *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct config *config;
        struct err_detail detail;
        int rc = load(&config, rows[i].text, NULL, &detail);

        cr_expect_eq(rc, ERR_INVALID, "row %zu: %d", i, rc);
        cr_expect(config == NULL, "row %zu", i);
        cr_expect_str_eq(shown(&detail), rows[i].expected);
        config_free(config);
    }
}

/* Every default lies within its own bounds and is written as it is shown. */
Test(config, table_is_sound)
{
    for (size_t i = 0; i < CONFIG_SECTION_COUNT; i++) {
        for (size_t k = 0; k < config_sections[i].key_count; k++) {
            const struct config_key *key = &config_sections[i].keys[k];
            char base[4096] = {0}, why[CONFIG_WHY_MAX];

            cr_assert(key->initial, "%s", key->name);
            cr_expect_eq(config_key_set(key, base, str_from(key->initial), NULL, why), 0, "%s %s",
                         key->name, why);
            cr_expect(strlen(key->meaning) > 10, "%s", key->name);
            if (key->least) {
                cr_expect_eq(config_key_set(key, base, str_from(key->least), NULL, why), 0);
                cr_expect_eq(config_key_set(key, base, str_from(key->most), NULL, why), 0);
            }
            config_group_fini(&(struct config_group){.keys = key, .key_count = 1}, base);
        }
    }
}

Test(config, every_key_is_optional, .init = folder_make, .fini = folder_remove)
{
    static const char *const texts[] = {"", "# only a comment\n", "limits:\nstore: {}\n", "---\n"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct config *config;
        struct err_detail detail;

        cr_assert_eq(load(&config, str_from(texts[i]), NULL, &detail), 0, "%s", detail.text);
        cr_expect_eq(config->limits.connect_timeout_ms, 10000);
        cr_expect_eq(config->limits.max_packet_bytes, 256 * 1024);
        cr_expect_eq(config->limits.receive_maximum, 64);
        cr_expect_eq(config->store.commit_interval_ms, 10);
        cr_expect_eq(config->log.level, 1);
        cr_expect_str_eq(config->hub.data, "/var/lib/freehub");
        cr_assert_eq(config->listener_count, 1);
        cr_expect_str_eq(config->listeners[0].settings.url, "mqtts://0.0.0.0:8883");
        cr_expect_str_eq(config->listeners[0].settings.certificate,
                         "/var/lib/freehub/pki/server.crt");
        cr_expect_str_eq(config->listeners[0].settings.client_ca, "/var/lib/freehub/pki/ca.crt");
        cr_expect_eq(config->stream_count, 6);
        config_free(config);
    }
}

Test(config, values_reach_their_members, .init = folder_make, .fini = folder_remove)
{
    static const char text[] = "data: store\n"
                               "limits: {max_packet: 1MiB, keep_alive_max: 60s}\n"
                               "log:\n  format: json\n  level: debug\n"
                               "store:\n  commit_interval: 0\n  log_max_age: 2d\n"
                               "listeners:\n"
                               "  local:\n    url: mqtt://127.0.0.1:1884\n"
                               "    allow_anonymous: true\n"
                               "  outside:\n    url: 'mqtts://[::]'\n"
                               "    certificate: /etc/hub.crt\n    key: hub.key\n"
                               "streams:\n"
                               "  - topic: fleet/+/+/data\n    type: raw\n    key: 3\n";
    struct config *config;
    struct err_detail detail;
    char path[128];

    cr_assert_eq(load(&config, str_from(text), NULL, &detail), 0, "%s", detail.text);
    snprintf(path, sizeof path, "%s/store", folder);
    cr_expect_str_eq(config->hub.data, path);
    cr_expect_eq(config->limits.max_packet_bytes, 1 << 20);
    cr_expect_eq(config->limits.keep_alive_max_ms, 60000);
    cr_expect_eq(config->log.format, 1);
    cr_expect_eq(config->log.level, 0);
    cr_expect_eq(config->store.commit_interval_ms, 0);
    cr_expect_eq(config->store.log_max_age_ms, 2 * 86400000);
    cr_assert_eq(config->listener_count, 2);
    cr_expect_str_eq(config->listeners[0].name, "local");
    cr_expect_eq(config->listeners[0].address.port, 1884);
    cr_expect(config->listeners[0].settings.allow_anonymous);
    cr_expect_not(config->listeners[0].address.tls);
    cr_expect(config->listeners[0].settings.certificate == NULL);
    cr_expect_eq(config->listeners[1].address.port, 8883);
    cr_expect_str_eq(config->listeners[1].settings.certificate, "/etc/hub.crt");
    snprintf(path, sizeof path, "%s/hub.key", folder);
    cr_expect_str_eq(config->listeners[1].settings.key, path);
    cr_assert_eq(config->stream_count, 1);
    cr_expect_str_eq(config->streams[0].topic, "fleet/+/+/data");
    cr_expect_eq(config->streams[0].key, 3);
    config_free(config);
}

/* The place of the key, and the nearest name that is known there, else all of them. */
Test(config, unknown_keys_are_refused, .init = folder_make, .fini = folder_remove)
{
    static const struct refused rows[] = {
        REFUSED("limts:\n", "hub.yaml:1:1: unknown key \"limts\" in the file: did you mean "
                            "\"limits\"?"),
        REFUSED("data: x\nlimits:\n  max_paket: 1MiB\n",
                "hub.yaml:3:3: unknown key \"max_paket\" in limits: did you mean \"max_packet\"?"),
        REFUSED("limits: {connections_max: 5, receive_maximun: 3}\n",
                "hub.yaml:1:30: unknown key \"receive_maximun\" in limits: did you mean "
                "\"receive_maximum\"?"),
        REFUSED("listeners:\n  a:\n    urls: mqtts://0.0.0.0\n",
                "hub.yaml:3:5: unknown key \"urls\" in listeners.a: did you mean \"url\"?"),
        REFUSED("streams:\n  - topics: v1/b/+/tel\n",
                "hub.yaml:2:5: unknown key \"topics\" in an entry of streams: did you mean "
                "\"topic\"?"),
        REFUSED("log:\n  colour: red\n",
                "hub.yaml:2:3: unknown key \"colour\" in log; known are format, level"),
        REFUSED("hub:\n  data: x\n", "hub.yaml:1:1: unknown key \"hub\" in the file; known are "
                                     "data, limits, log, store, listeners, streams"),
    };

    expect_refused(rows, ARRAY_LEN(rows));
}

Test(config, wrong_values_are_refused_with_what_is_allowed, .init = folder_make,
     .fini = folder_remove)
{
    static const struct refused rows[] = {
        REFUSED("limits:\n  max_packet: 100\n",
                "hub.yaml:2:15: max_packet is \"100\", not a size: write a whole number and B, "
                "KiB, MiB, GiB or TiB, such as 64MiB"),
        REFUSED("limits:\n  connect_timeout: soon\n",
                "hub.yaml:2:20: connect_timeout is \"soon\", not a duration: write a whole number "
                "and ms, s, min, h or d, such as 30s"),
        REFUSED("limits:\n  receive_maximum: -1\n",
                "hub.yaml:2:20: receive_maximum is \"-1\", not a number: write a whole number "
                "without a sign, such as 100"),
        REFUSED("limits:\n  receive_maximum: 65536\n",
                "hub.yaml:2:20: receive_maximum is 65536, out of range: 1 to 65535 is allowed"),
        REFUSED("store:\n  commit_interval: 2s\n",
                "hub.yaml:2:20: commit_interval is 2s, out of range: 0 to 1s is allowed"),
        REFUSED("log:\n  level: loud\n",
                "hub.yaml:2:10: level is \"loud\": allowed is debug|info|warn|error"),
        REFUSED("listeners:\n  a: {url: 'mqtt://127.0.0.1', allow_anonymous: yes}\n",
                "hub.yaml:2:49: allow_anonymous is \"yes\": write true or false"),
        REFUSED("data: ''\n", "hub.yaml:1:7: data is empty"),
        REFUSED("data: \"a\\0b\"\n", "hub.yaml:1:7: data holds a NUL character"),
        REFUSED("data:\n", "hub.yaml:1:6: data has no value; write one or leave the line out"),
    };

    expect_refused(rows, ARRAY_LEN(rows));
}

Test(config, wrong_shapes_are_refused, .init = folder_make, .fini = folder_remove)
{
    static const struct refused rows[] = {
        REFUSED("- a\n- b\n", "hub.yaml:1:1: the file is a list; it must be a mapping of `key: "
                              "value` lines"),
        REFUSED("limits: 5\n", "hub.yaml:1:9: limits is a single value; it must be a mapping of "
                               "`key: value` lines"),
        REFUSED("data: [a]\n", "hub.yaml:1:7: data is a list; it must be a single value"),
        REFUSED("limits:\n  max_packet: {a: 1}\n",
                "hub.yaml:2:15: max_packet is a mapping; it must be a single value"),
        REFUSED("streams:\n  a: b\n", "hub.yaml:2:3: streams is a mapping; it must be a list of "
                                      "`- topic: ...` entries"),
        REFUSED("streams: [x]\n", "hub.yaml:1:11: an entry of streams is a single value; it must "
                                  "be a mapping of `key: value` lines"),
        REFUSED("? [a]\n: b\n",
                "hub.yaml:1:3: the file has a list as a key; a key must be a single word"),
        REFUSED("listeners:\n  Big One: {}\n",
                "hub.yaml:2:3: \"Big One\" is no name for a listener: at most 32 of a-z, 0-9, - "
                "and _"),
    };

    expect_refused(rows, ARRAY_LEN(rows));
}

Test(config, duplicate_keys_are_refused, .init = folder_make, .fini = folder_remove)
{
    static const struct refused rows[] = {
        REFUSED("data: a\nlog: {}\ndata: b\n",
                "hub.yaml:3:1: \"data\" stands twice in the file; keep one"),
        REFUSED("log:\n  level: info\n  level: warn\n",
                "hub.yaml:3:3: \"level\" stands twice in log; keep one"),
        REFUSED("listeners:\n  a: {url: 'mqtts://0.0.0.0'}\n  a: {url: 'mqtts://0.0.0.0:1'}\n",
                "hub.yaml:3:3: \"a\" stands twice in listeners; keep one"),
    };

    expect_refused(rows, ARRAY_LEN(rows));
}

Test(config, what_is_not_yaml_is_refused, .init = folder_make, .fini = folder_remove)
{
    static const struct refused rows[] = {
        REFUSED("limits:\n\tmax_packet: 1MiB\n",
                "hub.yaml:2:1: not YAML: found character that cannot start any token while "
                "scanning for the next token (indent with spaces, not tabs)"),
        REFUSED("a: b\n---\nc: d\n",
                "hub.yaml:1:1: unknown key \"a\" in the file; known are data, limits, log, store, "
                "listeners, streams"),
        REFUSED("data: b\n---\ndata: d\n",
                "hub.yaml:3:1: a second YAML document; the file must hold one"),
        REFUSED("data: \"b\n", "hub.yaml:2:1: not YAML: found unexpected end of stream while "
                               "scanning a quoted scalar"),
        REFUSED("data: \xff\n",
                "hub.yaml: byte 6: invalid leading UTF-8 octet; the file must be UTF-8"),
    };

    expect_refused(rows, ARRAY_LEN(rows));
}

/* Nobody gets in without a certificate from another machine. */
Test(config, plain_listeners_stay_on_loopback, .init = folder_make, .fini = folder_remove)
{
    static const struct refused rows[] = {
        REFUSED("listeners:\n  a:\n    url: mqtt://0.0.0.0:1883\n",
                "hub.yaml:2:3: mqtt://0.0.0.0:1883 would be open to other machines without TLS or "
                "a password; plain MQTT is for loopback (127.0.0.1, ::1) only: use mqtts://"),
        REFUSED("listeners:\n  a: {url: 'mqtt://192.168.1.5', allow_anonymous: true}\n",
                "hub.yaml:2:3: mqtt://192.168.1.5 would be open to other machines without TLS or "
                "a password; plain MQTT is for loopback (127.0.0.1, ::1) only: use mqtts://"),
        REFUSED("listeners:\n  a: {url: 'mqtts://0.0.0.0', allow_anonymous: true}\n",
                "hub.yaml:2:3: mqtts://0.0.0.0: allow_anonymous is for loopback (127.0.0.1, ::1) "
                "only"),
        REFUSED("listeners:\n  a: {url: 'mqtt://127.0.0.1'}\n",
                "hub.yaml:2:3: nobody could log in to mqtt://127.0.0.1: without TLS there is no "
                "certificate to know a client by; use mqtts://, or allow anonymous clients for a "
                "local try (--allow-anonymous, allow_anonymous: true)"),
        REFUSED("listeners:\n  a: {url: 'mqtts://0.0.0.0', key: k}\n",
                "hub.yaml:2:3: listener a has key without certificate"),
        REFUSED("listeners:\n  a: {url: 'mqtt://[::1]', allow_anonymous: true, client_ca: c}\n",
                "hub.yaml:2:3: listener a has certificate files, but its url is not mqtts://"),
        REFUSED("listeners:\n  a: {allow_anonymous: true}\n",
                "hub.yaml:2:3: listener a has no url, such as mqtts://0.0.0.0:8883"),
        REFUSED("listeners:\n", "hub.yaml: listeners is empty: nobody could connect; leave it out "
                                "for mqtts on port 8883"),
    };

    expect_refused(rows, ARRAY_LEN(rows));
}

Test(config, sizes_belong_together, .init = folder_make, .fini = folder_remove)
{
    static const struct refused rows[] = {
        REFUSED("store: {ring: 3MiB}\n",
                "hub.yaml: store.ring is 3MiB; it must be a power of two, such as 8MiB"),
        REFUSED("limits: {max_packet: 3MiB}\n",
                "hub.yaml: limits.max_packet is 3MiB; at most a quarter of store.ring is allowed, "
                "2MiB"),
        REFUSED("store: {commit_bytes: 8MiB}\n",
                "hub.yaml: store.commit_bytes is 8MiB; at most half of store.ring is allowed, "
                "4MiB"),
        REFUSED("store: {log_max_bytes: 512MiB}\n",
                "hub.yaml: store.segment_max_bytes is 512MiB; at most half of store.log_max_bytes "
                "is allowed, 256MiB"),
    };

    expect_refused(rows, ARRAY_LEN(rows));
}

Test(config, streams_are_checked, .init = folder_make, .fini = folder_remove)
{
    static const struct refused rows[] = {
        REFUSED("streams:\n  - topic: v1/b/+/tel\n",
                "hub.yaml:2:5: a stream needs a topic and a type; type is missing"),
        REFUSED("streams:\n  - type: raw\n",
                "hub.yaml:2:5: a stream needs a topic and a type; topic is missing"),
        REFUSED("streams:\n  - {topic: v1/#/x, type: raw}\n",
                "hub.yaml:2:5: \"v1/#/x\" is not a valid topic filter"),
        REFUSED("streams:\n  - {topic: v1/x, type: raw}\n",
                "hub.yaml:2:5: \"v1/x\" has no + where the bike's id would stand, such as "
                "v1/b/+/tel"),
        REFUSED("streams:\n  - {topic: v1/+/x, type: raw, key: 3}\n",
                "hub.yaml:2:5: key is 3, but level 3 of \"v1/+/x\" is not a +; the bike's id must "
                "stand at a +"),
    };

    expect_refused(rows, ARRAY_LEN(rows));
}

/* `count` entries of a list or mapping, each different. */
static void entries_write(char *text, size_t room, bool listeners, int count)
{
    size_t used = (size_t)snprintf(text, room, listeners ? "listeners:\n" : "streams:\n");

    for (int i = 0; i < count; i++) {
        if (listeners)
            used +=
                (size_t)snprintf(text + used, room - used, "  a%d: {url: 'mqtts://0.0.0.0'}\n", i);
        else
            used +=
                (size_t)snprintf(text + used, room - used, "  - {topic: v%d/+, type: raw}\n", i);
        cr_assert(used < room);
    }
}

Test(config, entries_are_bounded, .init = folder_make, .fini = folder_remove)
{
    static const struct {
        bool listeners;
        int max;
        const char *expected;
    } rows[] = {
        {true, CONFIG_LISTENERS_MAX, "more than 16 listeners"},
        {false, CONFIG_STREAMS_MAX, "more than 64 streams"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int over = 0; over <= 1; over++) {
            char text[8192];
            struct config *config;
            struct err_detail detail;
            int rc;

            entries_write(text, sizeof text, rows[i].listeners, rows[i].max + over);
            rc = load(&config, str_from(text), NULL, &detail);
            cr_expect_eq(rc, over ? ERR_INVALID : 0, "%s", detail.text);
            if (over)
                cr_expect(strstr(detail.text, rows[i].expected), "%s", detail.text);
            config_free(config);
        }
    }
}

Test(config, large_and_missing_files_are_refused, .init = folder_make, .fini = folder_remove)
{
    char *text = malloc(CONFIG_FILE_MAX_BYTES + 1);
    struct config *config;
    struct err_detail detail;

    memset(text, '\n', CONFIG_FILE_MAX_BYTES + 1);
    cr_expect_eq(load(&config, str_of_bytes(text, CONFIG_FILE_MAX_BYTES), NULL, &detail), 0);
    config_free(config);
    cr_expect_eq(load(&config, str_of_bytes(text, CONFIG_FILE_MAX_BYTES + 1), NULL, &detail),
                 ERR_TOO_LARGE);
    cr_expect_str_eq(shown(&detail), "hub.yaml: larger than 1048576 bytes");
    free(text);

    cr_expect_eq(
        load(&config, STR_LITERAL(""), (const char *[]){"--config", "/none/x.yaml", NULL}, &detail),
        ERR_NOTFOUND);
    cr_expect_str_eq(detail.text, "/none/x.yaml: No such file or directory");
}

/* ---- the command line ---- */

Test(config, command_line_wins, .init = folder_make, .fini = folder_remove)
{
    static const char *const args[] = {"--data=/tmp/elsewhere", "-lmqtt://127.0.0.1:1999",
                                       "--allow-anonymous", NULL};
    struct config *config;
    struct err_detail detail;

    cr_assert_eq(load(&config, STR_LITERAL("data: here\nlisteners: {a: {url: 'mqtts://0.0.0.0'}}"),
                      args, &detail),
                 0, "%s", detail.text);
    cr_expect_str_eq(config->hub.data, "/tmp/elsewhere");
    cr_assert_eq(config->listener_count, 1);
    cr_expect_str_eq(config->listeners[0].name, "listen-1");
    cr_expect_eq(config->listeners[0].address.port, 1999);
    cr_expect(config->listeners[0].settings.allow_anonymous);
    cr_expect_eq(config->action, CONFIG_RUN);
    config_free(config);
}

Test(config, mistakes_on_the_command_line_are_refused)
{
    static const struct {
        const char *args[4];
        const char *expected;
    } rows[] = {
        {{"--lisen", "x"}, "unknown option \"--lisen\": did you mean --listen?"},
        {{"--dta=x"}, "unknown option \"--dta=x\": did you mean --data?"},
        {{"--frobnicate"}, "unknown option \"--frobnicate\"; see freehubd --help"},
        {{"-x"}, "unknown option \"-x\", or one without its value; see freehubd --help"},
        {{"--data"}, "--data needs a value: --data DIR"},
        {{"--check=yes"}, "--check takes no value"},
        {{"--data="}, "--data is empty"},
        {{"run"}, "\"run\": freehubd takes options only; see freehubd --help"},
        {{"--data", "d", "--allow-anonymous"},
         "--allow-anonymous is for a plain listener on loopback, and there is none: add --listen "
         "mqtt://127.0.0.1:1883"},
        {{"--listen", "mqtt://0.0.0.0:1883", "--allow-anonymous"},
         "--listen: mqtt://0.0.0.0:1883 would be open to other machines without TLS or a password; "
         "plain MQTT is for loopback (127.0.0.1, ::1) only: use mqtts://"},
        {{"--listen", "mqtt://127.0.0.1:1883"},
         "--listen: nobody could log in to mqtt://127.0.0.1:1883: without TLS there is no "
         "certificate to know a client by; use mqtts://, or allow anonymous clients for a local "
         "try (--allow-anonymous, allow_anonymous: true)"},
        {{NULL},
         "nothing to start with: give --config FILE, or for a quick local try\n"
         "  freehubd --data ./freehub-data --listen mqtt://127.0.0.1:1883 --allow-anonymous\n"
         "freehubd --help tells more"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *argv[6] = {(char[]){"freehubd"}};
        int argc = 1;
        struct config *config;
        struct err_detail detail = {""};

        while (argc <= 4 && rows[i].args[argc - 1]) {
            argv[argc] = (char *)(uintptr_t)rows[i].args[argc - 1];
            argc++;
            if (argc == 5)
                break;
        }
        argv[argc] = NULL;
        cr_expect_eq(config_load(&config, NULL, argc, argv, &detail), ERR_INVALID, "row %zu", i);
        cr_expect_str_eq(detail.text, rows[i].expected);
        config_free(config);
    }
}

Test(config, listen_is_bounded)
{
    char *argv[CONFIG_LISTENERS_MAX + 4] = {(char[]){"freehubd"}};
    char option[] = "--listen=mqtts://127.0.0.1:0";
    struct config *config;
    struct err_detail detail;

    for (int i = 1; i <= CONFIG_LISTENERS_MAX + 1; i++)
        argv[i] = option;
    cr_expect_eq(config_load(&config, NULL, CONFIG_LISTENERS_MAX + 1, argv, &detail), 0);
    config_free(config);
    cr_expect_eq(config_load(&config, NULL, CONFIG_LISTENERS_MAX + 2, argv, &detail), ERR_INVALID);
    cr_expect_str_eq(detail.text, "--listen: more than 16");
}

/* ---- answers ---- */

static char *shown_of(const struct config *config)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    config_show(config, out);
    fclose(out);
    return text;
}

Test(config, what_is_shown_loads_to_the_same, .init = folder_make, .fini = folder_remove)
{
    static const char listeners[] =
        "listeners: {z: {url: 'mqtt://127.0.0.1', allow_anonymous: true}}\n"
        "streams: [{topic: a/+/+, type: raw, key: 2}, {topic: b/+, type: freehub.v1.Batch}]\n";
    static const char escapes[] =
        "data: \"a \\\"b\\\" \\\\ c\\n\"\nstreams: []\nlimits: {connect_timeout: 1500ms}\n";
    static const char unicode[] =
        "data: \"\\x1b F\\u00e4hre \\u0085\\u2028\\ufffe\\ufeff \\U0001f6b2\"\n";
    static const char *const texts[] = {"", escapes, listeners, unicode};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct config *first, *second;
        struct err_detail detail;
        char *one, *two;

        cr_assert_eq(load(&first, str_from(texts[i]), NULL, &detail), 0, "%s", detail.text);
        one = shown_of(first);
        cr_assert_eq(load(&second, str_from(one), NULL, &detail), 0, "%s", detail.text);
        two = shown_of(second);
        cr_expect_str_eq(one, two);
        free(one);
        free(two);
        config_free(first);
        config_free(second);
    }
}

Test(config, help_keys_and_version_need_no_configuration)
{
    static const struct {
        const char *option;
        enum config_action action;
        const char *says;
    } rows[] = {
        {"--help", CONFIG_HELP, "--allow-anonymous"},
        {"-?", CONFIG_HELP, "--listen"},
        {"--version", CONFIG_VERSION, "freehubd "},
        {"--keys", CONFIG_KEYS, "limits.max_packet  (default 256KiB; 1KiB to 64MiB)"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *argv[3] = {(char[]){"freehubd"}, (char *)(uintptr_t)rows[i].option, NULL};
        struct config *config;
        struct err_detail detail;
        char *text = NULL;
        size_t len;
        FILE *out = open_memstream(&text, &len);
        int exit_code = 9;

        cr_assert_eq(config_load(&config, "/none/x.yaml", 2, argv, &detail), 0, "%s", detail.text);
        cr_expect_eq(config->action, rows[i].action);
        cr_expect(config_answered(config, out, out, &exit_code));
        fclose(out);
        cr_expect_eq(exit_code, 0);
        cr_expect(strstr(text, rows[i].says), "%s", text);
        free(text);
        config_free(config);
    }
}

Test(config, check_compiles_the_streams, .init = folder_make, .fini = folder_remove)
{
    static const struct {
        const char *text;
        int exit_code;
        const char *says;
    } rows[] = {
        {"", 0, "hub.yaml: sound, 1 listener, 6 streams\n"},
        {"streams:\n  - {topic: a/+, type: freehub.v1.Batsh}\n", 1,
         "hub.yaml:2:5: unknown message type \"freehub.v1.Batsh\": did you mean "
         "\"freehub.v1.Batch\"?\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *config;
        struct err_detail detail;
        char *text = NULL;
        size_t len;
        FILE *out = open_memstream(&text, &len);
        int exit_code = 9;

        cr_assert_eq(
            load(&config, str_from(rows[i].text), (const char *[]){"--check", NULL}, &detail), 0,
            "%s", detail.text);
        cr_expect(config_answered(config, out, out, &exit_code));
        fclose(out);
        cr_expect_eq(exit_code, rows[i].exit_code);
        cr_expect(strstr(text, rows[i].says), "%s", text);
        free(text);
        config_free(config);
    }
}

/* The defaults of config.def are those of the store. */
Test(config, store_options_agree_with_the_store)
{
    char *argv[] = {(char[]){"freehubd"}, (char[]){"--data"}, (char[]){"d"}, NULL};
    struct store_options expected, made;
    struct config *config;
    struct err_detail detail;

    cr_assert_eq(config_load(&config, NULL, 3, argv, &detail), 0, "%s", detail.text);
    store_options_default(&expected);
    memset(&made, 0xff, sizeof made);
    config_store_options(config, &made);
    cr_expect_str_eq(made.folder, "d");
    cr_expect_eq(made.commit_interval_ms, expected.commit_interval_ms);
    cr_expect_eq(made.commit_bytes, expected.commit_bytes);
    cr_expect_eq(made.commit_burst, expected.commit_burst);
    cr_expect_eq(made.segment_max_bytes, expected.segment_max_bytes);
    cr_expect_eq(made.segment_max_records, expected.segment_max_records);
    cr_expect_eq(made.segment_max_age_s, expected.segment_max_age_s);
    cr_expect_eq(made.log_max_bytes, expected.log_max_bytes);
    cr_expect_eq(made.log_max_age_s, expected.log_max_age_s);
    cr_expect_eq(made.quarantine_max_bytes, expected.quarantine_max_bytes);
    cr_expect_eq(made.prewrite_max_bytes, expected.prewrite_max_bytes);
    cr_expect(made.on_failed == NULL);
    config_free(config);
}
