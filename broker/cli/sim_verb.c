/* `freehub sim`: what it is asked for, and what came of it as text or JSON. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/auth/identity.h"
#include "broker/auth/pki.h"
#include "broker/base/chrono.h"
#include "broker/base/json_out.h"
#include "broker/base/mem.h"
#include "broker/cli/access.h"
#include "broker/cli/batch.h"
#include "broker/cli/ride_model.h"
#include "broker/cli/sim.h"
#include "broker/cli/verbs.h"

enum { JSON_MAX = 16 * 1024, NAME_BYTES = 80, MINUTES_MAX = 24 * 60, HOST_MAX = 256 };

enum {
    OPTION_RIDES = 0x200,
    OPTION_BIKES,
    OPTION_PREFIX,
    OPTION_SPEED,
    OPTION_KEEP_TIMES,
    OPTION_BATCH_SAMPLES,
    OPTION_WINDOW,
    OPTION_BOOT,
    OPTION_SEED,
    OPTION_MINUTES,
    OPTION_URL,
    OPTION_HOST,
    OPTION_PKI,
    OPTION_PROTOCOL,
};

static const struct argp_option options[] = {
    {"rides", OPTION_RIDES, "DIR", 0,
     "Play the CSV files of a folder, ride k as bike k; default: generated rides", 0},
    {"bikes", OPTION_BIKES, "N|ID,ID...", 0,
     "How many bikes, or which; default: one for each ride, or 10", 0},
    {"prefix", OPTION_PREFIX, "TEXT", 0, "Of numbered bikes; default bike-", 0},
    {"speed", OPTION_SPEED, "X", 0,
     "Seconds of ride a second, 0: as fast as acknowledged; default 0 with --rides, else 1", 0},
    {"keep-times", OPTION_KEEP_TIMES, NULL, 0,
     "Tell times as recorded; without it rides end when their play ends", 0},
    {"minutes", OPTION_MINUTES, "N", 0, "Length of generated rides; default 30", 0},
    {"seed", OPTION_SEED, "N", 0, "Of generated rides; default 1", 0},

    {"batch-samples", OPTION_BATCH_SAMPLES, "N", 0, "Samples of a message, up to 120; default 10",
     1},
    {"window", OPTION_WINDOW, "N", 0,
     "Messages of a bike that may wait for acknowledgement, up to 64; default 16", 1},
    {"boot", OPTION_BOOT, "N", 0,
     "Boot id of a bike's first ride; default: the time. The hub counts samples of one bike and "
     "boot once",
     1},

    {"url", OPTION_URL, "URL", 0,
     "mqtts://HOST:PORT, or mqtt:// without TLS; default: where the hub of the data folder listens",
     2},
    {"host", OPTION_HOST, "HOST", 0, "In place of --url", 2},
    {"port", 'p', "PORT", 0, "In place of --url", 2},
    {"protocol", OPTION_PROTOCOL, "3.1.1|5", 0, "MQTT version; default 5", 2},
    {"version", OPTION_PROTOCOL, "3.1.1|5", OPTION_ALIAS, NULL, 2},
    {"pki", OPTION_PKI, "DIR", 0,
     "Where ca-bundle.crt and bikes/ID.crt are; default pki/ of the data folder, where missing "
     "ones are made",
     2},
    {NULL, 0, NULL, 0, NULL, 0},
};

struct asked {
    struct sim_options sim;
    struct cli_words words; /* none are taken */
    const char *rides, *bikes, *prefix, *pki;
    char host[HOST_MAX];
    bool has_address, plain, has_speed;
    uint64_t seed;
    uint32_t minutes;
};

/* ---- the command line ---- */

static bool whole(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end = NULL;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= least &&
           *out <= most;
}

static bool host_take(struct asked *a, struct str host)
{
    if (host.len == 0 || host.len >= sizeof a->host)
        return false;
    memcpy(a->host, host.at, host.len);
    a->host[host.len] = '\0';
    a->has_address = true;
    return true;
}

static bool port_take(struct asked *a, const char *text)
{
    uint64_t number;

    if (!whole(text, 1, UINT16_MAX, &number))
        return false;
    a->sim.port = (uint16_t)number;
    a->has_address = true;
    return true;
}

/* mqtts://HOST[:PORT], with an IPv6 address in brackets. */
static bool url_take(struct asked *a, const char *url)
{
    const char *colon, *host;

    if (str_has_prefix(str_from(url), STR_LITERAL("mqtts://")))
        host = url + strlen("mqtts://");
    else if (str_has_prefix(str_from(url), STR_LITERAL("mqtt://")))
        host = url + strlen("mqtt://");
    else
        return false;
    a->plain = host == url + strlen("mqtt://");
    a->sim.port = a->plain ? 1883 : 8883;
    colon = strrchr(host, ':');
    if (colon && colon[1] != '\0' && !strchr(colon, ']')) {
        if (!port_take(a, colon + 1))
            return false;
    } else {
        colon = host + strlen(host);
    }
    if (host[0] == '[' && colon > host + 1 && colon[-1] == ']')
        return host_take(a, str_of_bytes(host + 1, (size_t)(colon - host) - 2));
    return host_take(a, str_of_bytes(host, (size_t)(colon - host)));
}

static bool speed_take(struct asked *a, const char *text)
{
    char *end = NULL;

    a->sim.speed = strtod(text, &end);
    a->has_speed = true;
    return end != text && *end == '\0' && a->sim.speed >= 0 && a->sim.speed <= 1e6;
}

static bool version_take(struct asked *a, const char *text)
{
    if (strcmp(text, "5") == 0)
        a->sim.version = MQTT_V5;
    else if (strcmp(text, "3.1.1") == 0 || strcmp(text, "4") == 0)
        a->sim.version = MQTT_V311;
    else
        return false;
    return true;
}

/* The options that take a whole number. */
static bool number_take(struct asked *a, int key, const char *text)
{
    uint64_t n = 0;
    bool good;

    switch (key) {
    case OPTION_BATCH_SAMPLES:
        good = whole(text, 1, BATCH_SAMPLES_MAX, &n);
        a->sim.batch_samples = (uint32_t)n;
        return good;
    case OPTION_WINDOW:
        good = whole(text, 1, SIM_WINDOW_MAX, &n);
        a->sim.window = (uint32_t)n;
        return good;
    case OPTION_BOOT:
        good = whole(text, 0, UINT32_MAX, &n);
        a->sim.boot = (uint32_t)n;
        return good;
    case OPTION_SEED:
        return whole(text, 0, UINT64_MAX, &a->seed);
    default:
        good = whole(text, 1, MINUTES_MAX, &n);
        a->minutes = (uint32_t)n;
        return good;
    }
}

static bool option_take(struct asked *a, int key, char *text)
{
    switch (key) {
    case OPTION_RIDES:
        a->rides = text;
        return true;
    case OPTION_BIKES:
        a->bikes = text;
        return text[0] != '\0';
    case OPTION_PREFIX:
        a->prefix = text;
        return true;
    case OPTION_PKI:
        a->pki = text;
        return true;
    case OPTION_KEEP_TIMES:
        a->sim.keep_times = true;
        return true;
    case OPTION_SPEED:
        return speed_take(a, text);
    case OPTION_URL:
        return url_take(a, text);
    case OPTION_HOST:
        return host_take(a, str_from(text));
    case 'p':
        return port_take(a, text);
    case OPTION_PROTOCOL:
        return version_take(a, text);
    default:
        return number_take(a, key, text);
    }
}

static error_t on_option(int key, char *value, struct argp_state *state)
{
    struct asked *a = state->input;

    if (key != 'p' && (key < OPTION_RIDES || key > OPTION_PROTOCOL))
        return cli_words_take(&a->words, key, value);
    if (option_take(a, key, value))
        return 0;
    for (const struct argp_option *o = options; o->name; o++) {
        if (o->key != key)
            continue;
        cli_fail(a->words.cli, CLI_USAGE, "--%s: \"%s\" is no %s", o->name, value, o->arg);
        return EINVAL;
    }
    return EINVAL;
}

/* ---- bikes and rides ---- */

struct names {
    char **at; /* owned */
    size_t count;
};

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->at[i]);
    mem_free(names->at);
}

static void names_add(struct names *names, struct str name)
{
    names->at[names->count++] = mem_copy_text(name);
}

static void names_number(struct names *names, const char *prefix, size_t count)
{
    char name[NAME_BYTES];

    names->at = mem_new((count + 1) * sizeof *names->at);
    for (size_t i = 1; i <= count; i++) {
        snprintf(name, sizeof name, "%s%02zu", prefix, i);
        names_add(names, str_from(name));
    }
}

static void names_split(struct names *names, const char *list)
{
    names->at = mem_new((strlen(list) + 1) * sizeof *names->at);
    for (const char *at = list, *end; *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, ',');
        names_add(names, str_of_bytes(at, (size_t)(end - at)));
    }
}

static int names_make(struct cli *cli, const struct asked *a, size_t ride_count, struct names *out)
{
    const char *prefix = a->prefix ? a->prefix : "bike-";
    uint64_t count;

    if (!a->bikes)
        names_number(out, prefix, ride_count);
    else if (whole(a->bikes, 1, SIM_BIKES_MAX, &count))
        names_number(out, prefix, (size_t)count);
    else
        names_split(out, a->bikes);
    if (out->count > SIM_BIKES_MAX)
        return cli_fail(cli, CLI_USAGE, "more than %d bikes", SIM_BIKES_MAX);
    for (size_t i = 0; i < out->count; i++)
        if (!identity_name_valid(str_from(out->at[i])))
            return cli_fail(cli, CLI_USAGE, "\"%s\" cannot be a bike's id: " ACCESS_NAME_RULE,
                            out->at[i]);
    return CLI_OK;
}

/* Without --rides: one for each bike, all at the same time. */
static void rides_generate(const struct asked *a, size_t count, struct rides *out)
{
    out->at = mem_new(count * sizeof *out->at);
    out->count = count;
    for (size_t i = 0; i < count; i++)
        ride_model_make(&out->at[i], a->seed + i, a->minutes * 60, chrono_wall_ms());
}

static size_t bikes_wanted(const struct asked *a, size_t ride_count)
{
    uint64_t count;

    if (!a->bikes)
        return ride_count;
    if (whole(a->bikes, 1, SIM_BIKES_MAX, &count))
        return (size_t)count;
    count = 1;
    for (const char *at = a->bikes; *at; at++)
        count += *at == ',';
    return (size_t)count;
}

static int rides_get(struct cli *cli, const struct asked *a, struct rides *out)
{
    enum { GENERATED_DEFAULT = 10 };
    struct err_detail detail = {""};
    struct schema_set *schemas = NULL;
    int rc;

    if (!a->rides) {
        rides_generate(a, bikes_wanted(a, GENERATED_DEFAULT), out);
        return CLI_OK;
    }
    rc = schema_set_load(&schemas, &detail);
    if (rc)
        return cli_fail_err(cli, rc, &detail);
    rc = rides_read(out, a->rides, schema_by_name(schemas, STR_LITERAL("freehub.v1.Batch")),
                    &detail);
    schema_set_free(schemas);
    return rc ? cli_fail_err(cli, rc, &detail) : CLI_OK;
}

/* The folder with the bikes' certificates; in the data folder missing ones are made. */
static int pki_get(struct cli *cli, const struct asked *a, const struct names *names, char **out)
{
    struct err_detail detail = {""};
    struct pki_files files;
    int rc;

    if (a->pki) {
        *out = mem_copy_text(str_from(a->pki));
        return CLI_OK;
    }
    rc = access_pki_open(cli, out, &detail);
    for (size_t i = 0; i < names->count && !rc; i++) {
        rc = pki_issue(*out, PKI_BIKE, str_from(names->at[i]), false, &files, &detail);
        if (rc == ERR_EXISTS)
            rc = 0;
    }
    return rc ? cli_fail_err(cli, rc, &detail) : CLI_OK;
}

/* ---- what came of it ---- */

struct totals {
    uint64_t rides, samples, unreadable, rows_without_time;
};

static struct totals rides_total(const struct rides *rides)
{
    struct totals t = {.rides = rides->count};

    for (size_t i = 0; i < rides->count; i++) {
        t.samples += rides->at[i].count;
        t.unreadable += rides->at[i].cells_unreadable;
        t.rows_without_time += rides->at[i].rows_without_time;
    }
    return t;
}

static int result_json(struct cli *cli, const struct sim_options *o, const struct sim_result *r,
                       const struct totals *t)
{
    struct json_out j;
    struct str text;
    int rc;

    json_out_init(&j, JSON_MAX);
    json_out_object_begin(&j);
    json_out_member_uint(&j, "bikes", o->bike_count);
    json_out_member_uint(&j, "bikes_done", r->bikes_done);
    json_out_member_uint(&j, "bikes_failed", r->bikes_failed);
    json_out_member_uint(&j, "rides", t->rides);
    json_out_member_uint(&j, "samples", t->samples);
    json_out_member_uint(&j, "samples_acknowledged", r->samples);
    json_out_member_uint(&j, "cells_unreadable", t->unreadable);
    json_out_member_uint(&j, "rows_without_time", t->rows_without_time);
    json_out_member_uint(&j, "messages", r->messages);
    json_out_member_uint(&j, "acknowledged", r->acknowledged);
    json_out_member_uint(&j, "refused", r->refused);
    json_out_member_uint(&j, "resent", r->resent);
    json_out_member_uint(&j, "given_up", r->given_up);
    json_out_member_uint(&j, "connections", r->connections);
    json_out_member_double(&j, "took_s", r->took_s);
    json_out_member_uint(&j, "boot", o->boot);
    json_out_member_bool(&j, "interrupted", r->interrupted);
    json_out_key(&j, "reasons");
    json_out_array_begin(&j);
    for (size_t i = 0; i < r->reason_count; i++) {
        json_out_object_begin(&j);
        json_out_member_text(&j, "reason", r->reasons[i].text);
        json_out_member_uint(&j, "count", r->reasons[i].count);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_member_text(&j, "failure", r->failure);
    json_out_object_end(&j);
    rc = json_out_text(&j, &text);
    if (!rc)
        fprintf(cli->out, "%.*s\n", (int)text.len, text.at);
    json_out_fini(&j);
    return rc;
}

static void result_text(struct cli *cli, const struct sim_options *o, const struct sim_result *r,
                        const struct totals *t)
{
    fprintf(cli->out,
            "%llu rides on %zu bikes in %.1f s: %llu of %llu samples acknowledged\n"
            "%llu messages, %llu acknowledged, %llu refused, %llu sent again, %llu given up; "
            "%llu connections\n",
            (unsigned long long)t->rides, o->bike_count, r->took_s, (unsigned long long)r->samples,
            (unsigned long long)t->samples, (unsigned long long)r->messages,
            (unsigned long long)r->acknowledged, (unsigned long long)r->refused,
            (unsigned long long)r->resent, (unsigned long long)r->given_up,
            (unsigned long long)r->connections);
    for (size_t i = 0; i < r->reason_count; i++)
        fprintf(cli->out, "refused %llu times: %s\n", (unsigned long long)r->reasons[i].count,
                r->reasons[i].text);
    if (t->unreadable + t->rows_without_time > 0)
        fprintf(cli->out,
                "%llu cells were unreadable and count as missing; %llu rows had no time\n",
                (unsigned long long)t->unreadable, (unsigned long long)t->rows_without_time);
    if (r->failure[0])
        fprintf(cli->out, "the last connection that broke: %s\n", r->failure);
}

static int result_print(struct cli *cli, const struct sim_options *o, const struct sim_result *r,
                        const struct totals *t)
{
    int rc = 0;

    if (cli->format == OUTPUT_JSON)
        rc = result_json(cli, o, r, t);
    else
        result_text(cli, o, r, t);
    if (rc)
        return cli_fail_err(cli, rc, NULL);
    if (r->connections == 0 && r->bikes_failed > 0)
        return CLI_UNREACHABLE;
    return r->bikes_failed > 0 || r->refused > 0 || r->given_up > 0 ? CLI_FAILED : CLI_OK;
}

static int play(struct cli *cli, struct asked *a, const struct rides *rides,
                const struct names *names)
{
    struct err_detail detail = {""};
    const struct totals totals = rides_total(rides);
    struct access_address address;
    struct sim_result result;
    char *pki = NULL;
    int code, rc;

    if (!a->has_address) {
        access_address_find(cli, &address);
        snprintf(a->host, sizeof a->host, "%s", address.host);
        a->sim.port = (uint16_t)address.port;
    }
    code = a->plain ? CLI_OK : pki_get(cli, a, names, &pki);
    if (code)
        goto out;
    a->sim.host = a->host;
    a->sim.pki = pki;
    a->sim.rides = rides;
    a->sim.bikes = (const char *const *)names->at;
    a->sim.bike_count = names->count;
    rc = sim_run(&a->sim, &result, &detail);
    code = rc ? cli_fail_err(cli, rc, &detail) : result_print(cli, &a->sim, &result, &totals);
out:
    mem_free(pki);
    return code;
}

int verb_sim(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {.options = options, .parser = on_option};
    struct asked a = {
        .sim = {.port = 8883,
                .version = MQTT_V5,
                .batch_samples = 10,
                .window = 16,
                .pause_max_ms = 2000,
                .boot = (uint32_t)(chrono_wall_ms() / 1000)},
        .words = {.cli = cli},
        .host = "localhost",
        .seed = 1,
        .minutes = 30,
    };
    struct names names = {0};
    struct rides rides = {0};
    int code;

    if (!cli_parse(cli, &argp, &a, argc, argv, &code))
        return code;
    if (!a.has_speed)
        a.sim.speed = a.rides ? 0 : 1;
    code = rides_get(cli, &a, &rides);
    if (!code)
        code = names_make(cli, &a, rides.count, &names);
    if (!code)
        code = play(cli, &a, &rides, &names);
    names_fini(&names);
    rides_fini(&rides);
    return code;
}
