#include <jansson.h>
#include <stdlib.h>

#include "broker/base/quantity.h"
#include "broker/cli/client.h"
#include "broker/cli/verbs.h"

enum shape { SHAPE_COUNT, SHAPE_BYTES, SHAPE_RATE, SHAPE_US, SHAPE_TEXT, SHAPE_AGE };

/* What a person sees, in this order; `-o json` has everything. */
static const struct {
    const char *label;
    const char *section; /* NULL: the top level */
    const char *member;
    enum shape shape;
} lines[] = {
    {"version", NULL, "version", SHAPE_TEXT},
    {"up for", NULL, "uptime_ms", SHAPE_AGE},
    {"connections", NULL, "connections", SHAPE_COUNT},
    {"  refused", NULL, "connections_refused", SHAPE_COUNT},
    {"subscriptions", NULL, "subscriptions", SHAPE_COUNT},
    {"messages in", NULL, "messages_in", SHAPE_COUNT},
    {"  per second", NULL, "messages_in_per_s", SHAPE_RATE},
    {"messages out", NULL, "messages_out", SHAPE_COUNT},
    {"  per second", NULL, "messages_out_per_s", SHAPE_RATE},
    {"  dropped", NULL, "messages_dropped", SHAPE_COUNT},
    {"stored records", "store", "records", SHAPE_COUNT},
    {"  commits", "store", "commits", SHAPE_COUNT},
    {"  commit p50", "store", "commit_us_p50", SHAPE_US},
    {"  commit p99", "store", "commit_us_p99", SHAPE_US},
    {"  waiting", "store", "pending_bytes", SHAPE_BYTES},
    {"log size", "store", "log_bytes", SHAPE_BYTES},
    {"  segments", "store", "segments", SHAPE_COUNT},
    {"quarantined", "store", "quarantined", SHAPE_COUNT},
    {"  dropped", "store", "quarantine_dropped", SHAPE_COUNT},
};

static void bytes_print(FILE *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;

    while (bytes >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        bytes /= 1024;
        unit++;
    }
    fprintf(out, unit == 0 ? "%.0f %s\n" : "%.1f %s\n", bytes, units[unit]);
}

static void age_print(FILE *out, long long ms)
{
    long long s = ms / 1000;

    if (s >= 86400)
        fprintf(out, "%lld d %lld h\n", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        fprintf(out, "%lld h %lld min\n", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        fprintf(out, "%lld min %lld s\n", s / 60, s % 60);
    else
        fprintf(out, "%lld s\n", s);
}

static void value_print(FILE *out, const json_t *value, enum shape shape)
{
    switch (shape) {
    case SHAPE_COUNT:
        fprintf(out, "%lld\n", (long long)json_integer_value(value));
        break;
    case SHAPE_BYTES:
        bytes_print(out, (double)json_integer_value(value));
        break;
    case SHAPE_RATE:
        fprintf(out, "%.1f\n", json_number_value(value));
        break;
    case SHAPE_US:
        fprintf(out, "%.2f ms\n", (double)json_integer_value(value) / 1000);
        break;
    case SHAPE_AGE:
        age_print(out, (long long)json_integer_value(value));
        break;
    case SHAPE_TEXT:
        fprintf(out, "%s\n", json_string_value(value) ? json_string_value(value) : "");
        break;
    }
}

static void text_print(struct cli *cli, const json_t *status)
{
    const json_t *one;
    size_t i;

    for (i = 0; i < ARRAY_LEN(lines); i++) {
        const json_t *from = lines[i].section ? json_object_get(status, lines[i].section) : status;
        const json_t *value = json_object_get(from, lines[i].member);

        if (!value) /* an older daemon */
            continue;
        fprintf(cli->out, "%-18s ", lines[i].label);
        value_print(cli->out, value, lines[i].shape);
    }
    json_array_foreach(json_object_get(status, "listeners"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *url = json_string_value(json_object_get(one, "url"));

        fprintf(cli->out, "%-18s %s (%s)\n", i == 0 ? "listens on" : "", url ? url : "?",
                name ? name : "?");
    }
    json_array_foreach(json_object_get(status, "alarms"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *text = json_string_value(json_object_get(one, "text"));

        fprintf(cli->out, "ALARM %s: %s\n", name ? name : "?", text ? text : "?");
    }
}

static int csv_print(struct cli *cli, const json_t *status)
{
    static const struct output_column columns[] = {{"name", OUTPUT_TEXT}, {"value", OUTPUT_TEXT}};
    struct output *list;
    int rc = output_begin(&list, cli->out, OUTPUT_CSV, columns, ARRAY_LEN(columns)), end;

    if (rc)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(lines) && rc == 0; i++) {
        const json_t *from = lines[i].section ? json_object_get(status, lines[i].section) : status;
        const json_t *value = json_object_get(from, lines[i].member);
        char name[64], number[64];

        snprintf(name, sizeof name, "%s%s%s", lines[i].section ? lines[i].section : "",
                 lines[i].section ? "." : "", lines[i].member);
        if (json_is_integer(value))
            snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        else
            snprintf(number, sizeof number, "%g", json_number_value(value));
        rc = output_row(list, (const char *const[]){
                                  name, json_is_string(value) ? json_string_value(value) : number});
    }
    end = output_end(list);
    return rc ? rc : end;
}

int verb_status(struct cli *cli, int argc, char **argv)
{
    struct cli_words none;
    struct err_detail detail;
    json_t *result;
    int code, rc;

    if (!cli_parse_words(cli, &none, 0, 0, argc, argv, &code))
        return code;
    rc = client_call(cli_data(cli), "status", &result, &detail);
    if (rc)
        return cli_fail_err(cli, rc, &detail);

    if (cli->format == OUTPUT_JSON) {
        rc = json_dumpf(result, cli->out, JSON_INDENT(2)) ? ERR_IO : 0;
        putc('\n', cli->out);
    } else if (cli->format == OUTPUT_CSV) {
        rc = csv_print(cli, result);
    } else {
        text_print(cli, result);
    }
    code = json_array_size(json_object_get(result, "alarms")) > 0 ? CLI_FAILED : CLI_OK;
    json_decref(result);
    return rc ? cli_fail_err(cli, rc, NULL) : code;
}
