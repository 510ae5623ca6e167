#include <errno.h>
#include <stdlib.h>

#include <jansson.h>

#include "broker/auth/acl.h"
#include "broker/auth/identity.h"
#include "broker/auth/pki.h"
#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/cli/access.h"
#include "broker/cli/client.h"
#include "broker/cli/verbs.h"
#include "broker/codec/topic.h"

enum { FILTERS_MAX = 64 };

/* ---- service ---- */

struct service {
    struct cli_words name;
    const char *read[FILTERS_MAX + 1], *write[FILTERS_MAX + 1]; /* end with NULL */
    size_t read_count, write_count;
};

static const struct argp_option service_options[] = {
    {"read", 'r', "FILTER", 0, "Topics it may subscribe to, such as v1/b/#; repeatable", 0},
    {"write", 'w', "FILTER", 0, "Topics it may publish to; repeatable", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t filter_take(struct cli *cli, const char **filters, size_t *count, const char *filter)
{
    if (!topic_filter_valid(str_from(filter))) {
        cli_fail(cli, CLI_USAGE, "\"%s\" is not a valid topic filter", filter);
        return EINVAL;
    }
    if (*count == FILTERS_MAX) {
        cli_fail(cli, CLI_USAGE, "more than %d filters", FILTERS_MAX);
        return EINVAL;
    }
    filters[(*count)++] = filter;
    return 0;
}

static error_t on_service_option(int key, char *value, struct argp_state *state)
{
    struct service *service = state->input;

    switch (key) {
    case 'r':
        return filter_take(service->name.cli, service->read, &service->read_count, value);
    case 'w':
        return filter_take(service->name.cli, service->write, &service->write_count, value);
    default:
        return cli_words_take(&service->name, key, value);
    }
}

/* A daemon that runs takes the new rights at once; without one there is nothing to tell. */
static bool daemon_reload(struct cli *cli)
{
    json_t *result;
    struct err_detail detail;
    int rc = client_call(cli_data(cli), "reload", &result, &detail);

    if (rc == 0)
        json_decref(result);
    else if (rc != ERR_NETWORK)
        fprintf(cli->err, "%s: the running hub did not take it: %s\n", cli->program, detail.text);
    return rc == 0 || rc == ERR_NETWORK;
}

static void service_print(struct cli *cli, const char *name, const char *topic,
                          const struct pki_files *files)
{
    struct access_address address;

    access_address_find(cli, &address);
    fprintf(cli->out,
            "%s\n"
            "  key          %s\n"
            "  certificate  %s\n"
            "  CA           %s\n",
            name, files->key, files->certificate, files->ca_bundle);
    if (topic)
        fprintf(cli->out,
                "  try it:\n"
                "    mosquitto_sub -h %s -p %u --cafile '%s' --cert '%s' --key '%s' -t '%s' "
                "-F '%%I %%t %%l bytes'\n",
                address.host, address.port, files->ca_bundle, files->certificate, files->key,
                topic);
}

static void service_files(const char *pki, const char *name, struct pki_files *files)
{
    snprintf(files->key, sizeof files->key, "%s/services/%s.key", pki, name);
    snprintf(files->certificate, sizeof files->certificate, "%s/services/%s.crt", pki, name);
    snprintf(files->ca_bundle, sizeof files->ca_bundle, "%s/ca-bundle.crt", pki);
}

/* The rights come first: a certificate without them can do nothing, rights without one neither. */
static int service_make(struct cli *cli, const struct service *service, const char *pki)
{
    const char *name = service->name.at[0];
    char *acl = cli_path(cli, "acl");
    struct err_detail detail = {""};
    struct pki_files files;
    int rc = pki_issue(pki, PKI_SERVICE, str_from(name), false, &files, &detail), code;

    if (rc == ERR_EXISTS) {
        service_files(pki, name, &files);
        rc = 0;
    }
    if (rc == 0)
        rc = acl_file_grant(acl, str_from(name), service->read, service->write, &detail);
    if (rc) {
        code = cli_fail_err(cli, rc, &detail);
        goto out;
    }
    service_print(cli, name, service->read[0], &files);
    code = daemon_reload(cli) ? CLI_OK : CLI_FAILED;
out:
    mem_free(acl);
    return code;
}

int verb_certs_service(struct cli *cli, int argc, char **argv)
{
    static const struct argp parser = {.options = service_options, .parser = on_service_option};
    struct service service = {.name = {.cli = cli, .least = 1, .most = 1}};
    struct err_detail detail;
    char *pki;
    int code, rc;

    if (!cli_parse(cli, &parser, &service, argc, argv, &code))
        return code;
    if (!identity_name_valid(str_from(service.name.at[0])))
        return cli_fail(cli, CLI_USAGE, "\"%s\" cannot be a service's name: " ACCESS_NAME_RULE,
                        service.name.at[0]);
    if (service.read_count == 0 && service.write_count == 0)
        service.read[0] = "v1/b/#";
    rc = access_pki_open(cli, &pki, &detail);
    if (rc)
        return cli_fail_err(cli, rc, &detail);
    code = service_make(cli, &service, pki);
    mem_free(pki);
    return code;
}

/* ---- list ---- */

struct listing {
    struct output *list;
    enum pki_profile profile;
    const char *kind;
    int rc;
};

static bool on_certificate(void *ctx, struct str name, int64_t not_after_ms)
{
    struct listing *listing = ctx;
    bool is_ca = listing->profile == PKI_SERVER && str_equal(name, STR_LITERAL("ca"));
    char until[CHRONO_ISO_MAX], days[24], *text;

    if (listing->profile == PKI_SERVER && str_equal(name, STR_LITERAL("ca-bundle")))
        return true; /* the CA once more, for clients */
    text = mem_copy_text(name);
    chrono_iso_format(until, not_after_ms);
    snprintf(days, sizeof days, "%lld",
             (long long)((not_after_ms - chrono_wall_ms()) / (INT64_C(24) * 3600 * 1000)));
    listing->rc = output_row(
        listing->list, (const char *const[]){is_ca ? "ca" : listing->kind, text, until, days});
    mem_free(text);
    return listing->rc == 0;
}

int verb_certs_list(struct cli *cli, int argc, char **argv)
{
    static const struct output_column columns[] = {{"kind", OUTPUT_TEXT},
                                                   {"name", OUTPUT_TEXT},
                                                   {"until", OUTPUT_TEXT},
                                                   {"days_left", OUTPUT_NUMBER}};
    static const struct {
        enum pki_profile profile;
        const char *kind;
    } kinds[] = {{PKI_SERVER, "server"}, {PKI_SERVICE, "service"}, {PKI_BIKE, "bike"}};
    struct listing listing = {.list = NULL};
    struct err_detail detail = {""};
    struct cli_words none;
    char *pki;
    int code, rc, end;

    if (!cli_parse_words(cli, &none, 0, 0, argc, argv, &code))
        return code;
    if (!access_pki_exists(cli, &pki))
        return cli_fail(cli, CLI_NOT_FOUND,
                        "%s has no keys yet: freehub bikes add ID makes the first", cli_data(cli));
    rc = output_begin(&listing.list, cli->out, cli->format, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < ARRAY_LEN(kinds) && rc == 0; i++) {
        listing.profile = kinds[i].profile;
        listing.kind = kinds[i].kind;
        rc = pki_each(pki, kinds[i].profile, on_certificate, &listing, &detail);
        rc = rc ? rc : listing.rc;
    }
    end = listing.list ? output_end(listing.list) : 0;
    mem_free(pki);
    return rc || end ? cli_fail_err(cli, rc ? rc : end, &detail) : CLI_OK;
}
