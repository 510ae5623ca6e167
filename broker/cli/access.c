#include "broker/cli/access.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/auth/pki.h"
#include "broker/base/mem.h"
#include "broker/base/quantity.h"
#include "broker/cli/client.h"

int access_store_open(struct cli *cli, struct access_store *out, struct err_detail *detail)
{
    struct store_options options;
    const char *data = cli_data(cli);
    struct stat st;
    int rc;

    *out = (struct access_store){NULL, NULL};
    if (stat(data, &st))
        return err_set(detail, err_from_errno(errno), "%s: %s; --data names the data folder", data,
                       strerror(errno));
    rc = schema_set_load(&out->schemas, detail);
    if (rc)
        return rc;
    store_options_default(&options);
    options.folder = data;
    options.schemas = out->schemas;
    options.read_only = true;
    rc = store_open(&out->store, &options, detail);
    if (rc == ERR_NOTFOUND)
        return err_set(detail, rc, "%s holds no store yet: freehubd --data %s makes it", data,
                       data);
    return rc;
}

void access_store_close(struct access_store *a)
{
    if (a->store)
        store_close(a->store);
    if (a->schemas)
        schema_set_free(a->schemas);
    *a = (struct access_store){NULL, NULL};
}

bool access_pki_exists(struct cli *cli, char **out_pki)
{
    char *pki = cli_path(cli, "pki");

    if (access(pki, F_OK) == 0) {
        *out_pki = pki;
        return true;
    }
    mem_free(pki);
    return false;
}

int access_pki_open(struct cli *cli, char **out_pki, struct err_detail *detail)
{
    const char *data = cli_data(cli);
    int rc;

    if (mkdir(data, 0700) && errno != EEXIST)
        return err_set(detail, err_from_errno(errno), "%s: %s", data, strerror(errno));
    *out_pki = cli_path(cli, "pki");
    rc = pki_init(*out_pki, NULL, detail);
    if (rc)
        mem_free(*out_pki);
    return rc;
}

/* "mqtts://HOST:PORT" of a daemon on this machine; wildcard addresses are reached at localhost. */
static bool address_read(const char *url, struct access_address *out)
{
    static const char scheme[] = "mqtts://";
    const char *colon = url ? strrchr(url, ':') : NULL;
    struct str host;
    uint64_t port;

    if (!url || strncmp(url, scheme, sizeof scheme - 1) != 0 || colon < url + sizeof scheme - 1)
        return false;
    host = (struct str){url + sizeof scheme - 1, (size_t)(colon - (url + sizeof scheme - 1))};
    if (str_equal(host, STR_LITERAL("0.0.0.0")) || str_equal(host, STR_LITERAL("[::]")) ||
        str_equal(host, STR_LITERAL("::")))
        host = STR_LITERAL("localhost");
    snprintf(out->host, sizeof out->host, "%.*s", (int)host.len, host.at);
    if (count_parse(str_from(colon + 1), &port) || port == 0 || port > 65535)
        return false;
    out->port = (unsigned)port;
    return true;
}

void access_address_find(struct cli *cli, struct access_address *out)
{
    json_t *result = NULL;
    const json_t *one;
    size_t i;

    *out = (struct access_address){"localhost", 8883};
    if (client_call(cli_data(cli), "status", &result, NULL))
        return;
    json_array_foreach(json_object_get(result, "listeners"), i, one)
    {
        if (address_read(json_string_value(json_object_get(one, "url")), out))
            break;
    }
    json_decref(result);
}
