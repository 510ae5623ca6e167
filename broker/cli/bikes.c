#include <stdlib.h>

#include "broker/auth/identity.h"
#include "broker/auth/pki.h"
#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/cli/access.h"
#include "broker/cli/verbs.h"

/* ---- add ---- */

static void added_print(struct cli *cli, const char *id, const struct pki_files *files,
                        const struct access_address *address)
{
    fprintf(cli->out,
            "%s\n"
            "  key          %s\n"
            "  certificate  %s\n"
            "  CA           %s\n"
            "  try it:\n"
            "    mosquitto_pub -h %s -p %u --cafile '%s' --cert '%s' --key '%s' -i '%s' "
            "-t 'v1/b/%s/log' -q 1 -m 'hello'\n",
            id, files->key, files->certificate, files->ca_bundle, address->host, address->port,
            files->ca_bundle, files->certificate, files->key, id, id);
}

static int bikes_issue(struct cli *cli, const struct cli_words *ids, const char *pki,
                       struct output *list)
{
    struct access_address address;
    struct err_detail detail;
    struct pki_files files;
    int rc;

    access_address_find(cli, &address);
    for (size_t i = 0; i < ids->count; i++) {
        const char *id = ids->at[i];

        detail.text[0] = '\0';
        rc = pki_issue(pki, PKI_BIKE, str_from(id), false, &files, &detail);
        if (rc == ERR_EXISTS)
            return cli_fail(cli, CLI_REFUSED, "bike \"%s\" has a certificate already", id);
        if (rc)
            return cli_fail_err(cli, rc, &detail);
        if (!list) {
            added_print(cli, id, &files, &address);
            continue;
        }
        rc = output_row(list,
                        (const char *const[]){id, files.key, files.certificate, files.ca_bundle});
        if (rc)
            return cli_fail_err(cli, rc, NULL);
    }
    return CLI_OK;
}

int verb_bikes_add(struct cli *cli, int argc, char **argv)
{
    static const struct output_column columns[] = {{"bike", OUTPUT_TEXT},
                                                   {"key", OUTPUT_TEXT},
                                                   {"certificate", OUTPUT_TEXT},
                                                   {"ca", OUTPUT_TEXT}};
    struct output *list = NULL;
    struct err_detail detail;
    struct cli_words ids;
    char *pki;
    int code, rc;

    if (!cli_parse_words(cli, &ids, 1, CLI_WORDS_MAX, argc, argv, &code))
        return code;
    for (size_t i = 0; i < ids.count; i++)
        if (!identity_name_valid(str_from(ids.at[i])))
            return cli_fail(cli, CLI_USAGE, "\"%s\" cannot be a bike's id: " ACCESS_NAME_RULE,
                            ids.at[i]);
    rc = access_pki_open(cli, &pki, &detail);
    if (rc)
        return cli_fail_err(cli, rc, &detail);
    if (cli->format != OUTPUT_TABLE)
        rc = output_begin(&list, cli->out, cli->format, columns, ARRAY_LEN(columns));
    code = rc ? cli_fail_err(cli, rc, NULL) : bikes_issue(cli, &ids, pki, list);
    if (list) {
        rc = output_end(list);
        if (rc && code == CLI_OK)
            code = cli_fail_err(cli, rc, NULL);
    }
    mem_free(pki);
    return code;
}

/* ---- list ---- */

/* A bike is known by its certificate, by what it sent, or by both. */
struct bike {
    char *id;
    int64_t not_after_ms; /* 0: no certificate */
    uint32_t number;      /* 0: nothing stored */
};

struct bikes {
    struct bike *all;
    size_t count, room;
    bool failed;
};

static bool bike_note(struct bikes *bikes, struct str id, int64_t not_after_ms, uint32_t number)
{
    if (bikes->count == bikes->room) {
        size_t room = bikes->room ? bikes->room * 2 : 64;
        struct bike *all = mem_try_resize(bikes->all, room * sizeof *all);

        if (!all) {
            bikes->failed = true;
            return false;
        }
        bikes->all = all;
        bikes->room = room;
    }
    bikes->all[bikes->count++] =
        (struct bike){.id = mem_copy_text(id), .not_after_ms = not_after_ms, .number = number};
    return true;
}

static bool on_certificate(void *ctx, struct str name, int64_t not_after_ms)
{
    return bike_note(ctx, name, not_after_ms, 0);
}

static bool on_stored(void *ctx, uint32_t number, struct str id)
{
    return bike_note(ctx, id, 0, number);
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct bike *)a)->id, ((const struct bike *)b)->id);
}

/* Sort, and make one of two entries with the same id. */
static void bikes_merge(struct bikes *bikes)
{
    size_t kept = 0;

    qsort(bikes->all, bikes->count, sizeof *bikes->all, by_id);
    for (size_t i = 0; i < bikes->count; i++) {
        struct bike *next = &bikes->all[i];

        if (kept > 0 && strcmp(bikes->all[kept - 1].id, next->id) == 0) {
            if (next->not_after_ms)
                bikes->all[kept - 1].not_after_ms = next->not_after_ms;
            if (next->number)
                bikes->all[kept - 1].number = next->number;
            mem_free(next->id);
            continue;
        }
        bikes->all[kept++] = *next;
    }
    bikes->count = kept;
}

static int bike_row(struct output *list, const struct bike *bike, struct store *store)
{
    char until[CHRONO_ISO_MAX], seen[CHRONO_ISO_MAX], samples[24];
    struct store_latest latest;
    bool sent = bike->number && store_latest(store, bike->number, &latest) == 0;

    if (bike->not_after_ms)
        chrono_iso_format(until, bike->not_after_ms);
    if (sent) {
        chrono_iso_format(seen, latest.recv_ms);
        snprintf(samples, sizeof samples, "%llu", (unsigned long long)latest.samples);
    }
    return output_row(list, (const char *const[]){bike->id, bike->not_after_ms ? until : NULL,
                                                  sent ? seen : NULL, sent ? samples : "0"});
}

static int bikes_print(struct cli *cli, const struct bikes *bikes, struct store *store)
{
    static const struct output_column columns[] = {{"bike", OUTPUT_TEXT},
                                                   {"certificate_until", OUTPUT_TEXT},
                                                   {"last_seen", OUTPUT_TEXT},
                                                   {"samples", OUTPUT_NUMBER}};
    struct output *list;
    int rc = output_begin(&list, cli->out, cli->format, columns, ARRAY_LEN(columns)), end;

    if (rc)
        return rc;
    for (size_t i = 0; i < bikes->count && rc == 0; i++)
        rc = bike_row(list, &bikes->all[i], store);
    end = output_end(list);
    return rc ? rc : end;
}

int verb_bikes_list(struct cli *cli, int argc, char **argv)
{
    struct bikes bikes = {NULL, 0, 0, false};
    struct access_store opened;
    struct err_detail detail = {""};
    struct cli_words none;
    char *pki;
    int code, rc;

    if (!cli_parse_words(cli, &none, 0, 0, argc, argv, &code))
        return code;
    rc = access_store_open(cli, &opened, &detail);
    if (rc == 0)
        store_bikes_each(opened.store, on_stored, &bikes);
    if (access_pki_exists(cli, &pki)) {
        if (rc == ERR_NOTFOUND) /* keys are made before the hub runs for the first time */
            rc = 0;
        if (rc == 0)
            rc = pki_each(pki, PKI_BIKE, on_certificate, &bikes, &detail);
        mem_free(pki);
    }
    if (rc == 0 && bikes.failed)
        rc = err_set(&detail, ERR_NOMEM, "out of memory");
    if (rc == 0) {
        bikes_merge(&bikes);
        rc = bikes_print(cli, &bikes, opened.store);
    }
    for (size_t i = 0; i < bikes.count; i++)
        mem_free(bikes.all[i].id);
    mem_free(bikes.all);
    access_store_close(&opened);
    return rc ? cli_fail_err(cli, rc, &detail) : CLI_OK;
}

/* ---- show ---- */

static int latest_print(struct cli *cli, const struct schema *schema,
                        const struct store_latest *latest)
{
    static const struct output_column columns[] = {{"name", OUTPUT_TEXT},
                                                   {"value", OUTPUT_NUMBER},
                                                   {"unit", OUTPUT_TEXT},
                                                   {"time", OUTPUT_TEXT},
                                                   {"meaning", OUTPUT_TEXT}};
    size_t count;
    const struct schema_column *of = schema_columns(schema, &count);
    struct output *list;
    int rc = output_begin(&list, cli->out, cli->format, columns, ARRAY_LEN(columns)), end;

    if (rc)
        return rc;
    for (size_t i = 0; i < count && rc == 0; i++) {
        char value[OUTPUT_DECIMAL_MAX], time[CHRONO_ISO_MAX];

        if (!(latest->present >> i & 1))
            continue;
        output_decimal(value, latest->values[i], of[i].decimals);
        chrono_iso_format(time, latest->times_ms[i]);
        rc = output_row(list,
                        (const char *const[]){of[i].name, value, of[i].unit[0] ? of[i].unit : NULL,
                                              time, of[i].meaning});
    }
    end = output_end(list);
    return rc ? rc : end;
}

static int bike_show(struct cli *cli, struct access_store *opened, const char *id)
{
    struct store_latest latest;
    const struct schema *schema;
    char seen[CHRONO_ISO_MAX];
    uint32_t number;
    int rc = store_bike_find(opened->store, str_from(id), &number);

    if (rc == 0)
        rc = store_latest(opened->store, number, &latest);
    if (rc == ERR_NOTFOUND)
        return cli_fail(cli, CLI_NOT_FOUND, "nothing is stored of bike \"%s\"", id);
    if (rc)
        return cli_fail_err(cli, rc, NULL);
    schema = schema_by_id(opened->schemas, latest.schema);
    if (!schema)
        return cli_fail(cli, CLI_FAILED, "this freehub does not know message type %u",
                        latest.schema);
    chrono_iso_format(seen, latest.recv_ms);
    if (cli->format == OUTPUT_TABLE)
        fprintf(cli->out, "%s: last seen %s, %llu samples received\n", id, seen,
                (unsigned long long)latest.samples);
    rc = latest_print(cli, schema, &latest);
    return rc ? cli_fail_err(cli, rc, NULL) : CLI_OK;
}

int verb_bikes_show(struct cli *cli, int argc, char **argv)
{
    struct access_store opened;
    struct err_detail detail;
    struct cli_words id;
    int code, rc;

    if (!cli_parse_words(cli, &id, 1, 1, argc, argv, &code))
        return code;
    rc = access_store_open(cli, &opened, &detail);
    code = rc ? cli_fail_err(cli, rc, &detail) : bike_show(cli, &opened, id.at[0]);
    access_store_close(&opened);
    return code;
}
