#include "broker/server/config_priv.h"

#include <argp.h>
#include <errno.h>

#include "broker/base/option.h"

enum { OPTION_CHECK = 0x100, OPTION_SHOW, OPTION_KEYS, OPTION_ANONYMOUS };

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "Configuration, YAML; --keys lists all settings", 0},
    {"data", 'd', "DIR", 0, "Folder of the store and the keys; made when missing", 0},
    {"listen", 'l', "URL", 0,
     "mqtt://HOST:PORT or mqtts://HOST:PORT, instead of the listeners of the file; repeatable", 0},
    {"allow-anonymous", OPTION_ANONYMOUS, NULL, 0,
     "Whoever connects to a plain loopback listener may do everything", 0},
    {"check", OPTION_CHECK, NULL, 0, "Say whether the configuration is sound, and exit", 1},
    {"show-config", OPTION_SHOW, NULL, 0, "Print every setting as it would be used, and exit", 1},
    {"keys", OPTION_KEYS, NULL, 0, "Print every setting with default and meaning, and exit", 1},
    {"help", '?', NULL, 0, "Print this help, and exit", -1},
    {"version", 'V', NULL, 0, "Print the version, and exit", -1},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t on_option(int key, char *value, struct argp_state *state)
{
    struct config_args *args = state->input;

    switch (key) {
    case 'c':
        args->file = value;
        return 0;
    case 'd':
        args->data = value;
        return 0;
    case 'l':
        if (args->listen_count == CONFIG_LISTENERS_MAX) {
            err_set(args->detail, ERR_INVALID, "--listen: more than %d", CONFIG_LISTENERS_MAX);
            return EINVAL;
        }
        args->listen[args->listen_count++] = value;
        return 0;
    case OPTION_ANONYMOUS:
        args->allow_anonymous = true;
        return 0;
    case OPTION_CHECK:
        args->action = CONFIG_CHECK;
        return 0;
    case OPTION_SHOW:
        args->action = CONFIG_SHOW;
        return 0;
    case OPTION_KEYS:
        args->action = CONFIG_KEYS;
        return 0;
    case '?':
        args->action = CONFIG_HELP;
        return 0;
    case 'V':
        args->action = CONFIG_VERSION;
        return 0;
    case ARGP_KEY_ARG:
        err_set(args->detail, ERR_INVALID,
                "\"%s\": freehubd takes options only; see freehubd --help", value);
        return EINVAL;
    case ARGP_KEY_ERROR: /* getopt has just passed the option it did not take */
        args->refused = state->next > 0 ? state->argv[state->next - 1] : "";
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "An MQTT 3.1.1/5 broker for connected bikes whose acknowledgement means: valid, counted once, "
    "on disk.\v"
    "A quick local try:\n"
    "  freehubd --data ./freehub-data --listen mqtt://127.0.0.1:1883 --allow-anonymous\n"
    "With mutual TLS on port 8883, for keys made by `freehub bikes add ID`:\n"
    "  freehubd --data ./freehub-data\n"
    "As a service:\n"
    "  freehubd --config /etc/freehub/freehub.yaml";

static const struct argp parser = {options, on_option, NULL, doc, NULL, NULL, NULL};

int config_args_parse(struct config_args *args, int argc, char **argv, struct err_detail *detail)
{
    struct err_detail mine = {""};
    char *copy[CONFIG_ARGS_MAX + 1];
    int rc;

    if (argc > CONFIG_ARGS_MAX)
        return err_set(detail, ERR_INVALID, "more than %d arguments", CONFIG_ARGS_MAX);
    memcpy(copy, argv, (size_t)argc * sizeof *copy); /* getopt changes the order */
    copy[argc] = NULL;
    *args = (struct config_args){.detail = &mine};
    rc = (int)argp_parse(&parser, argc, copy, ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP, NULL,
                         args);
    args->detail = NULL;
    if (rc == 0)
        return 0;
    if (mine.text[0])
        return err_set(detail, ERR_INVALID, "%s", mine.text);
    return option_refuse(args->refused ? args->refused : "",
                         (const struct argp_option *const[]){options}, 1, "freehubd", detail);
}

void config_help(FILE *out)
{
    char name[] = "freehubd";

    argp_help(&parser, out, ARGP_HELP_STD_HELP & ~(ARGP_HELP_EXIT_OK | ARGP_HELP_BUG_ADDR), name);
}
