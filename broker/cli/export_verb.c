#include <errno.h>
#include <unistd.h>

#include "broker/base/chrono.h"
#include "broker/base/quantity.h"
#include "broker/cli/access.h"
#include "broker/cli/export.h"
#include "broker/cli/verbs.h"

struct export_args {
    struct cli_words none;
    const char *bike, *file, *type;
    int64_t from_ms, to_ms;
};

static const struct argp_option options[] = {
    {"bike", 'b', "ID", 0, "This bike only; else all", 0},
    {"from", 'f', "TIME", 0, "First moment, such as 2026-11-24T08:00Z, or 2h for two hours ago", 0},
    {"to", 't', "TIME", 0, "The moment before which it ends", 0},
    {"type", 'T', "NAME", 0, "Message type; freehub.v1.Batch when left out", 0},
    {"file", 'F', "FILE", 0, "Write to FILE, which is there only once it is complete", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

/* A moment as ISO-8601, or as how long ago. */
static int moment_parse(struct cli *cli, const char *text, int64_t *out_ms)
{
    uint64_t ago_ms;

    if (chrono_iso_parse(str_from(text), out_ms) == 0)
        return 0;
    if (duration_parse(str_from(text), &ago_ms) == 0) {
        *out_ms = chrono_wall_ms() - (int64_t)ago_ms;
        return 0;
    }
    cli_fail(cli, CLI_USAGE,
             "\"%s\" is no moment: write 2026-11-24, 2026-11-24T08:00:00Z, or 2h for two hours ago",
             text);
    return EINVAL;
}

static error_t on_option(int key, char *value, struct argp_state *state)
{
    struct export_args *args = state->input;

    switch (key) {
    case 'b':
        args->bike = value;
        return 0;
    case 'f':
        return moment_parse(args->none.cli, value, &args->from_ms);
    case 't':
        return moment_parse(args->none.cli, value, &args->to_ms);
    case 'T':
        args->type = value;
        return 0;
    case 'F':
        args->file = value;
        return 0;
    default:
        return cli_words_take(&args->none, key, value);
    }
}

static const struct argp_option message_options[] = {
    {"bike", 'b', "ID", 0, "This bike only; else all", 0},
    {"from", 'f', "TIME", 0, "First moment of arrival, as in `export telemetry`", 0},
    {"to", 't', "TIME", 0, "The moment before which it ends", 0},
    {"type", 'T', "NAME", 0, "Message type, such as freehub.v1.TripEnd, or raw; else all", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static int telemetry_write(struct cli *cli, const struct export_args *args,
                           struct access_store *opened)
{
    struct export_request request = {.schema =
                                         schema_by_name(opened->schemas, str_from(args->type)),
                                     .bike = str_from(args->bike),
                                     .from_ms = args->from_ms,
                                     .to_ms = args->to_ms,
                                     .path = args->file,
                                     .fd = STDOUT_FILENO};
    struct err_detail detail = {""};
    uint64_t rows = 0;
    int rc;

    if (!request.schema)
        return cli_fail(cli, CLI_USAGE, "\"%s\" is no message type", args->type);
    fflush(cli->out);
    rc = export_telemetry(opened->store, &request, &rows, &detail);
    if (rc)
        return cli_fail_err(cli, rc, &detail);
    if (args->file)
        fprintf(cli->out, "%llu rows in %s\n", (unsigned long long)rows, args->file);
    return CLI_OK;
}

int verb_export_telemetry(struct cli *cli, int argc, char **argv)
{
    static const struct argp parser = {.options = options, .parser = on_option};
    struct export_args args = {.none = {.cli = cli},
                               .bike = "",
                               .type = "freehub.v1.Batch",
                               .from_ms = INT64_MIN,
                               .to_ms = INT64_MAX};
    struct access_store opened;
    struct err_detail detail;
    int code, rc;

    if (!cli_parse(cli, &parser, &args, argc, argv, &code))
        return code;
    if (args.from_ms >= args.to_ms)
        return cli_fail(cli, CLI_USAGE, "--from is not before --to");
    if (cli->format == OUTPUT_JSON)
        return cli_fail(cli, CLI_USAGE, "telemetry comes as CSV");
    rc = access_store_open(cli, &opened, &detail);
    code = rc ? cli_fail_err(cli, rc, &detail) : telemetry_write(cli, &args, &opened);
    access_store_close(&opened);
    return code;
}

int verb_export_messages(struct cli *cli, int argc, char **argv)
{
    static const struct argp parser = {.options = message_options, .parser = on_option};
    struct export_args args = {
        .none = {.cli = cli}, .bike = "", .type = "", .from_ms = INT64_MIN, .to_ms = INT64_MAX};
    struct export_messages_request request;
    struct access_store opened;
    struct err_detail detail;
    uint64_t rows;
    int code, rc;

    if (!cli_parse(cli, &parser, &args, argc, argv, &code))
        return code;
    if (args.from_ms >= args.to_ms)
        return cli_fail(cli, CLI_USAGE, "--from is not before --to");
    if (cli->format == OUTPUT_JSON)
        return cli_fail(cli, CLI_USAGE, "messages come as CSV");
    rc = access_store_open(cli, &opened, &detail);
    if (rc == 0) {
        request = (struct export_messages_request){.bike = str_from(args.bike),
                                                   .type = str_from(args.type),
                                                   .from_ms = args.from_ms,
                                                   .to_ms = args.to_ms,
                                                   .schemas = opened.schemas,
                                                   .fd = STDOUT_FILENO};
        fflush(cli->out);
        rc = export_messages(opened.store, &request, &rows, &detail);
    }
    code = rc ? cli_fail_err(cli, rc, &detail) : CLI_OK;
    access_store_close(&opened);
    return code;
}
