/* The demo is an ordinary hub in a fresh folder: a freehubd and a simulator as children, told what
 * an operator would tell them. Signals are blocked and waited for, so that every way out passes
 * demo_end(). */
#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/auth/acl.h"
#include "broker/auth/pki.h"
#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/base/quantity.h"
#include "broker/cli/access.h"
#include "broker/cli/child.h"
#include "broker/cli/client.h"
#include "broker/cli/verbs.h"

enum {
    DEMO_BIKES = 20,
    DEMO_START_MS = 30000, /* for the daemon to answer */
    DEMO_STOP_MS = 10000,
    DEMO_POLL_MS = 100,
    DEMO_REPORT_MS = 10000,
};

static const char service_name[] = "dashboard";

struct demo {
    struct cli *cli;
    struct cli_words none;
    uint64_t run_ms; /* 0: until Ctrl-C */
    bool keep;
    bool own_folder;
    char folder[512];
    char log[544];
    char *freehub; /* the path of this program */
    sigset_t signals;
    struct access_address address;
    struct pki_files service;
    struct child hub, sim;
    uint64_t started_ms; /* monotonic */
};

static const struct argp_option options[] = {
    {"seconds", 's', "N", 0, "Stop after N seconds; else on Ctrl-C", 0},
    {"keep", 'k', NULL, 0, "Do not remove the folder at the end", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t on_option(int key, char *value, struct argp_state *state)
{
    struct demo *demo = state->input;
    uint64_t seconds;

    switch (key) {
    case 's':
        if (count_parse(str_from(value), &seconds) || seconds == 0 || seconds > 86400) {
            cli_fail(demo->cli, CLI_USAGE, "\"%s\" is no number of seconds from 1 to 86400", value);
            return EINVAL;
        }
        demo->run_ms = seconds * 1000;
        return 0;
    case 'k':
        demo->keep = true;
        return 0;
    default:
        return cli_words_take(&demo->none, key, value);
    }
}

/* Wait for Ctrl-C or SIGTERM: true when it came within `ms`. */
static bool interrupted(const struct demo *demo, unsigned ms)
{
    const struct timespec patience = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    return sigtimedwait(&demo->signals, NULL, &patience) > 0;
}

/* ---- setting up ---- */

static int folder_make(struct demo *demo)
{
    const char *temporary = getenv("TMPDIR");
    char absolute[PATH_MAX];
    int len;

    demo->own_folder = !demo->cli->data;
    if (demo->own_folder)
        len = snprintf(demo->folder, sizeof demo->folder, "%s/freehub-demo-XXXXXX",
                       temporary && temporary[0] == '/' ? temporary : "/tmp");
    else
        len = snprintf(demo->folder, sizeof demo->folder, "%s", demo->cli->data);
    if (len < 0 || (size_t)len >= sizeof demo->folder)
        return cli_fail(demo->cli, CLI_USAGE, "the folder's name is too long");
    if (demo->own_folder && !mkdtemp(demo->folder))
        return cli_fail(demo->cli, CLI_FAILED, "%s: %s", demo->folder, strerror(errno));
    if (!demo->own_folder && mkdir(demo->folder, 0700) && errno != EEXIST)
        return cli_fail(demo->cli, CLI_FAILED, "%s: %s", demo->folder, strerror(errno));
    if (realpath(demo->folder, absolute) && strlen(absolute) < sizeof demo->folder)
        snprintf(demo->folder, sizeof demo->folder, "%s", absolute); /* for copying elsewhere */
    demo->cli->data = demo->folder;
    snprintf(demo->log, sizeof demo->log, "%s/demo.log", demo->folder);
    return CLI_OK;
}

static int bike_id(char out[16], unsigned number)
{
    return snprintf(out, 16, "bike-%02u", number);
}

static int keys_make(struct demo *demo)
{
    static const char *const read[] = {"v1/b/#", NULL}, *const write[] = {NULL};
    char *acl = cli_path(demo->cli, "acl"), *pki = NULL;
    struct err_detail detail = {""};
    struct pki_files files;
    char id[16];
    int rc = access_pki_open(demo->cli, &pki, &detail);

    for (unsigned i = 1; i <= DEMO_BIKES && rc == 0; i++) {
        rc = pki_issue(pki, PKI_BIKE, (struct str){id, (size_t)bike_id(id, i)}, true, &files,
                       &detail);
    }
    if (rc == 0)
        rc = pki_issue(pki, PKI_SERVICE, str_from(service_name), true, &demo->service, &detail);
    if (rc == 0)
        rc = acl_file_grant(acl, str_from(service_name), read, write, &detail);
    if (pki)
        mem_free(pki);
    mem_free(acl);
    return rc ? cli_fail_err(demo->cli, rc, &detail) : CLI_OK;
}

/* ---- the two children ---- */

static int hub_start(struct demo *demo)
{
    char listen[] = "mqtts://127.0.0.1:0", data[] = "--data", url[] = "--listen";
    char *program = cli_sibling("freehubd");
    char *const argv[] = {program, data, demo->folder, url, listen, NULL};
    struct err_detail detail;
    int rc = child_start(&demo->hub, argv, demo->log, &detail);

    mem_free(program);
    return rc ? cli_fail_err(demo->cli, rc, &detail) : CLI_OK;
}

/* Copy the end of the log to where the person looks: the reason stands there. */
static void log_show(const struct demo *demo)
{
    FILE *log = fopen(demo->log, "r");
    char text[4096];
    size_t len;

    if (!log)
        return;
    if (fseek(log, -(long)sizeof text, SEEK_END))
        rewind(log);
    len = fread(text, 1, sizeof text, log);
    fwrite(text, 1, len, demo->cli->err);
    fclose(log);
}

static int hub_await(struct demo *demo)
{
    uint64_t until = demo->started_ms + DEMO_START_MS;

    while (chrono_mono_ms() < until) {
        json_t *result;

        if (!child_is_running(&demo->hub)) {
            log_show(demo);
            return cli_fail(demo->cli, CLI_FAILED, "freehubd ended; its last words are above");
        }
        if (client_call(demo->folder, "status", &result, NULL) == 0) {
            json_decref(result);
            access_address_find(demo->cli, &demo->address);
            return CLI_OK;
        }
        if (interrupted(demo, DEMO_POLL_MS))
            return cli_fail(demo->cli, CLI_FAILED, "stopped before the hub was up");
    }
    log_show(demo);
    return cli_fail(demo->cli, CLI_FAILED, "freehubd does not answer after %d s",
                    DEMO_START_MS / 1000);
}

/* An hour's rides in real time; few samples a message, so that something moves every moment. */
static int sim_start(struct demo *demo)
{
    char sim[] = "sim", data[] = "--data", url_option[] = "--url", url[96];
    char bikes_option[] = "--bikes", bikes[16], batch[] = "--batch-samples=2",
         minutes[] = "--minutes=60";
    char *const argv[] = {demo->freehub, sim,   data,  demo->folder, url_option, url,
                          bikes_option,  bikes, batch, minutes,      NULL};
    struct err_detail detail;
    int rc;

    snprintf(url, sizeof url, "mqtts://%s:%u", demo->address.host, demo->address.port);
    snprintf(bikes, sizeof bikes, "%d", DEMO_BIKES);
    rc = child_start(&demo->sim, argv, demo->log, &detail);
    return rc ? cli_fail_err(demo->cli, rc, &detail) : CLI_OK;
}

/* ---- running ---- */

struct figures {
    long long connections, messages, records;
};

static bool figures_get(const struct demo *demo, struct figures *out)
{
    json_t *result;

    if (client_call(demo->folder, "status", &result, NULL))
        return false;
    out->connections = json_integer_value(json_object_get(result, "connections"));
    out->messages = json_integer_value(json_object_get(result, "messages_in"));
    out->records = json_integer_value(json_object_get(json_object_get(result, "store"), "records"));
    json_decref(result);
    return true;
}

static void hints_print(const struct demo *demo)
{
    FILE *out = demo->cli->out;
    const char *folder = demo->folder, *freehub = demo->freehub;

    fprintf(out,
            "\n%d bikes ride and publish over mutual TLS to mqtts://%s:%u. In another terminal:\n\n"
            "  what arrives, live, as the service \"%s\" (mosquitto-clients):\n"
            "    mosquitto_sub -h %s -p %u --cafile '%s' --cert '%s' --key '%s' -t 'v1/b/#' "
            "-F '%%I %%t %%l bytes'\n"
            "  how the hub does:\n"
            "    %s status --data '%s'\n"
            "  the latest values of a bike:\n"
            "    %s bikes show bike-01 --data '%s'\n"
            "  its telemetry, one row a sample:\n"
            "    %s export telemetry --bike bike-01 --data '%s'\n"
            "  a bike of your own:\n"
            "    %s bikes add my-bike --data '%s'\n\n",
            DEMO_BIKES, demo->address.host, demo->address.port, service_name, demo->address.host,
            demo->address.port, demo->service.ca_bundle, demo->service.certificate,
            demo->service.key, freehub, folder, freehub, folder, freehub, folder, freehub, folder);
    if (demo->run_ms)
        fprintf(out, "Stops after %llu s.\n", (unsigned long long)(demo->run_ms / 1000));
    else
        fputs("Ctrl-C stops it all.\n", out);
}

/* Say when the first message is on disk; until then look often. */
static int first_await(struct demo *demo)
{
    uint64_t until = chrono_mono_ms() + DEMO_START_MS;
    struct figures now;

    while (chrono_mono_ms() < until) {
        if (figures_get(demo, &now) && now.records > 0) {
            fprintf(demo->cli->out, "first message stored %.1f s after the start\n",
                    (double)(chrono_mono_ms() - demo->started_ms) / 1000);
            return CLI_OK;
        }
        if (!child_is_running(&demo->hub) || !child_is_running(&demo->sim)) {
            log_show(demo);
            return cli_fail(demo->cli, CLI_FAILED, "%s ended; its last words are above",
                            demo->hub.pid ? "the simulator" : "freehubd");
        }
        if (interrupted(demo, DEMO_POLL_MS))
            return cli_fail(demo->cli, CLI_FAILED, "stopped before the first message");
    }
    log_show(demo);
    return cli_fail(demo->cli, CLI_FAILED, "nothing was stored in %d s", DEMO_START_MS / 1000);
}

static int ride(struct demo *demo)
{
    uint64_t until = demo->run_ms ? demo->started_ms + demo->run_ms : UINT64_MAX;
    uint64_t report_at = chrono_mono_ms() + DEMO_REPORT_MS;
    bool sim_said = false;

    while (chrono_mono_ms() < until && !interrupted(demo, DEMO_POLL_MS)) {
        struct figures now;

        if (!child_is_running(&demo->hub)) {
            log_show(demo);
            return cli_fail(demo->cli, CLI_FAILED, "freehubd ended; its last words are above");
        }
        if (!child_is_running(&demo->sim) && !sim_said) {
            fputs("all rides are over; the hub stays\n", demo->cli->out);
            sim_said = true;
        }
        if (chrono_mono_ms() < report_at || !figures_get(demo, &now))
            continue;
        report_at += DEMO_REPORT_MS;
        fprintf(demo->cli->out, "%lld clients connected, %lld messages, %lld records on disk\n",
                now.connections, now.messages, now.records);
    }
    return CLI_OK;
}

/* ---- ending ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int demo_end(struct demo *demo, int code)
{
    struct figures last;
    bool known = demo->hub.pid && figures_get(demo, &last);
    int ended;

    child_stop(&demo->sim, DEMO_STOP_MS);
    ended = child_stop(&demo->hub, DEMO_STOP_MS);
    if (ended != 0 && code == CLI_OK) {
        log_show(demo);
        code = cli_fail(demo->cli, CLI_FAILED, "freehubd ended with %d", ended);
    }
    if (known)
        fprintf(demo->cli->out, "stopped after %lld messages, %lld records on disk\n",
                last.messages, last.records);
    if (demo->own_folder && !demo->keep && demo->folder[0])
        nftw(demo->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    else if (demo->folder[0])
        fprintf(demo->cli->out, "the folder stays: %s\n", demo->folder);
    mem_free(demo->freehub);
    return code;
}

static int demo_play(struct demo *demo)
{
    int code = folder_make(demo);

    if (code == CLI_OK) {
        fprintf(demo->cli->out, "a hub in %s, log in %s\n", demo->folder, demo->log);
        code = keys_make(demo);
    }
    if (code == CLI_OK)
        code = hub_start(demo);
    if (code == CLI_OK)
        code = hub_await(demo);
    if (code == CLI_OK)
        code = sim_start(demo);
    if (code == CLI_OK)
        code = first_await(demo);
    if (code == CLI_OK) {
        hints_print(demo);
        code = ride(demo);
    }
    return code;
}

int verb_demo(struct cli *cli, int argc, char **argv)
{
    static const struct argp parser = {.options = options, .parser = on_option};
    struct demo demo = {.cli = cli, .none = {.cli = cli}};
    sigset_t before;
    int code;

    if (!cli_parse(cli, &parser, &demo, argc, argv, &code))
        return code;
    setvbuf(cli->out, NULL, _IOLBF, BUFSIZ); /* so that a pipe, too, gets each line at once */
    demo.started_ms = chrono_mono_ms();
    demo.freehub = cli_sibling("freehub");
    sigemptyset(&demo.signals);
    sigaddset(&demo.signals, SIGINT);
    sigaddset(&demo.signals, SIGTERM);
    sigaddset(&demo.signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &demo.signals, &before);
    code = demo_end(&demo, demo_play(&demo));
    sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}
