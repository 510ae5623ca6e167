#include "broker/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/mem.h"
#include "broker/base/nearest.h"
#include "broker/base/option.h"
#include "broker/cli/verbs.h"

static const struct command commands[] = {
#define COMMAND(noun, verb, run, args, help, more) {noun, verb, run, args, help, more},
#include "broker/cli/commands.def"
#undef COMMAND
};

const struct command *cli_commands(size_t *count)
{
    *count = ARRAY_LEN(commands);
    return commands;
}

/* ---- failing ---- */

int cli_fail(struct cli *cli, enum cli_exit code, const char *format, ...)
{
    va_list args;

    fprintf(cli->err, "%s: ", cli->program);
    va_start(args, format);
    vfprintf(cli->err, format, args);
    va_end(args);
    putc('\n', cli->err);
    cli->failed = true;
    return (int)code;
}

static enum cli_exit exit_of(int err)
{
    switch (err) {
    case ERR_NOTFOUND:
        return CLI_NOT_FOUND;
    case ERR_DENIED:
    case ERR_EXISTS:
    case ERR_READONLY:
    case ERR_BUSY:
        return CLI_REFUSED;
    case ERR_NETWORK:
    case ERR_TIMEOUT:
    case ERR_CLOSED:
    case ERR_TLS:
        return CLI_UNREACHABLE;
    default:
        return CLI_FAILED;
    }
}

int cli_fail_err(struct cli *cli, int err, const struct err_detail *detail)
{
    return cli_fail(cli, exit_of(err), "%s",
                    detail && detail->text[0] ? detail->text : err_text(err));
}

/* ---- options ---- */

static const struct argp_option common_options[] = {
    {"data", 'd', "DIR", 0,
     "Folder of the store and the keys; else $FREEHUB_DATA, ./freehub-data or /var/lib/freehub",
     100},
    {"output", 'o', "FORMAT", 0, "table, json or csv, where something is listed", 100},
    {"help", '?', NULL, 0, "Print this help", 100},
    {NULL, 0, NULL, 0, NULL, 0},
};

struct parsing {
    struct cli *cli;
    void *input;
    const char *refused; /* what getopt did not take */
};

static void help_print(struct cli *cli, struct argp_state *state)
{
    cli->helped = true;
    state->flags &= ~(unsigned)ARGP_NO_ERRS; /* which silences the help, too */
    argp_state_help(state, cli->out,
                    ARGP_HELP_STD_HELP & ~(unsigned)(ARGP_HELP_EXIT_OK | ARGP_HELP_BUG_ADDR));
}

static error_t on_common_option(int key, char *value, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    struct cli *cli = parsing->cli;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = parsing->input;
        return 0;
    case 'd':
        cli->data = value;
        return 0;
    case 'o':
        if (output_format_parse(value, &cli->format) == 0)
            return 0;
        cli_fail(cli, CLI_USAGE, "\"%s\" is no output format: table, json or csv", value);
        return EINVAL;
    case '?':
        help_print(cli, state);
        return EINVAL; /* ends the parsing */
    case ARGP_KEY_ERROR:
        parsing->refused = state->next > 0 ? state->argv[state->next - 1] : "";
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

bool cli_parse(struct cli *cli, const struct argp *argp, void *input, int argc, char **argv,
               int *exit_code)
{
    const struct argp_option *const lists[] = {common_options, argp->options};
    struct argp own = {argp->options, argp->parser, NULL, NULL, argp->children, NULL, NULL};
    struct argp_child children[] = {{&own, 0, NULL, 0}, {NULL, 0, NULL, 0}};
    char doc[2048];
    struct argp whole = {.options = common_options,
                         .parser = on_common_option,
                         .args_doc = cli->command->args,
                         .doc = doc,
                         .children = children};
    struct parsing parsing = {.cli = cli, .input = input};
    struct err_detail detail;
    char *words[CLI_WORDS_MAX + 1];

    ASSERT(argc <= CLI_WORDS_MAX);
    snprintf(doc, sizeof doc, "%s\v%s", cli->command->help,
             cli->command->more ? cli->command->more : "");
    memcpy(words, argv, (size_t)argc * sizeof *words); /* getopt changes the order */
    words[0] = cli->program;
    words[argc] = NULL;
    *exit_code = CLI_OK;
    if (argp_parse(&whole, argc, words, ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP, NULL,
                   &parsing) == 0)
        return true;
    if (cli->helped)
        return false;
    if (!cli->failed) {
        option_refuse(parsing.refused ? parsing.refused : "", lists, ARRAY_LEN(lists), cli->program,
                      &detail);
        cli_fail(cli, CLI_USAGE, "%s", detail.text);
    }
    *exit_code = CLI_USAGE;
    return false;
}

error_t cli_words_take(struct cli_words *words, int key, char *value)
{
    switch (key) {
    case ARGP_KEY_ARG:
        if (words->count < words->most) {
            words->at[words->count++] = value;
            return 0;
        }
        cli_fail(words->cli, CLI_USAGE, "\"%s\" is one argument too many; see %s --help", value,
                 words->cli->program);
        return EINVAL;
    case ARGP_KEY_END:
        if (words->count >= words->least)
            return 0;
        cli_fail(words->cli, CLI_USAGE, "%s is missing; see %s --help",
                 words->cli->command->args ? words->cli->command->args : "an argument",
                 words->cli->program);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t on_word(int key, char *value, struct argp_state *state)
{
    return cli_words_take(state->input, key, value);
}

bool cli_parse_words(struct cli *cli, struct cli_words *words, size_t least, size_t most, int argc,
                     char **argv, int *exit_code)
{
    static const struct argp parser = {.parser = on_word};

    ASSERT(most <= CLI_WORDS_MAX);
    words->cli = cli;
    words->count = 0;
    words->least = least;
    words->most = most;
    return cli_parse(cli, &parser, words, argc, argv, exit_code);
}

/* ---- places ---- */

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *cli_data(const struct cli *cli)
{
    const char *from_environment = getenv("FREEHUB_DATA");

    if (cli->data)
        return cli->data;
    if (from_environment && from_environment[0])
        return from_environment;
    if (!is_folder("freehub-data") && is_folder("/var/lib/freehub"))
        return "/var/lib/freehub";
    return "freehub-data";
}

static char *joined(struct str folder, const char *name)
{
    size_t room = folder.len + 1 + strlen(name) + 1;
    char *path = mem_new(room);

    snprintf(path, room, "%.*s/%s", (int)folder.len, folder.at, name);
    return path;
}

char *cli_path(const struct cli *cli, const char *name)
{
    return joined(str_from(cli_data(cli)), name);
}

char *cli_sibling(const char *name)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self);
    char *path;

    while (len > 0 && len < (ssize_t)sizeof self && self[len - 1] != '/')
        len--;
    if (len <= 1 || len == (ssize_t)sizeof self)
        return mem_copy_text(str_from(name));
    path = joined((struct str){self, (size_t)len - 1}, name);
    if (access(path, X_OK) == 0)
        return path;
    mem_free(path);
    return mem_copy_text(str_from(name));
}

/* ---- dispatch ---- */

static int usage_print(FILE *to)
{
    fputs("Usage: freehub NOUN [VERB] [ARGUMENT...]\n"
          "The tool of the Freehub broker: bikes, certificates, telemetry.\n\n",
          to);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        char words[64];

        snprintf(words, sizeof words, "%s %s", commands[i].noun,
                 commands[i].verb ? commands[i].verb : "");
        fprintf(to, "  %-20s %s\n", words, commands[i].help);
    }
    fputs("\nfreehub NOUN VERB --help tells more. All take --data DIR; lists take "
          "-o table|json|csv.\n"
          "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable.\n",
          to);
    return CLI_OK;
}

static int refuse_noun(struct cli *cli, const char *word)
{
    struct nearest near;

    nearest_init(&near, str_from(word));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        nearest_offer(&near, commands[i].noun);
    if (near.name)
        return cli_fail(cli, CLI_USAGE, "unknown command \"%s\": did you mean \"%s\"?", word,
                        near.name);
    return cli_fail(cli, CLI_USAGE, "unknown command \"%s\"; freehub --help lists all", word);
}

static int refuse_verb(struct cli *cli, const char *noun, const char *word)
{
    struct nearest near;
    char known[256] = "";
    size_t used = 0;

    nearest_init(&near, str_from(word ? word : ""));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].noun, noun) != 0)
            continue;
        nearest_offer(&near, commands[i].verb);
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
                                 commands[i].verb);
        ASSERT(used < sizeof known);
    }
    if (!word)
        return cli_fail(cli, CLI_USAGE, "%s what? One of %s", noun, known);
    if (near.name)
        return cli_fail(cli, CLI_USAGE, "unknown verb \"%s %s\": did you mean \"%s %s\"?", noun,
                        word, noun, near.name);
    return cli_fail(cli, CLI_USAGE, "unknown verb \"%s %s\"; %s has %s", noun, word, noun, known);
}

/* "help" and "version" may be written with dashes; "-o json bikes list" is not offered: options
 * follow the verb. */
static const char *first_word(const char *word)
{
    if (strcmp(word, "--help") == 0 || strcmp(word, "-?") == 0 || strcmp(word, "-h") == 0)
        return "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return "version";
    return word;
}

int cli_run(int argc, char **argv, FILE *out, FILE *err)
{
    struct cli cli = {.out = out, .err = err, .program = "freehub"};
    bool noun_known = false;
    const char *noun, *verb;

    if (argc < 2) {
        usage_print(err);
        return CLI_USAGE;
    }
    if (argc > CLI_WORDS_MAX)
        return cli_fail(&cli, CLI_USAGE, "more than %d arguments", CLI_WORDS_MAX);
    noun = first_word(argv[1]);
    verb = argc > 2 ? argv[2] : NULL;
    if (strcmp(noun, "help") == 0)
        return usage_print(out);
    if (noun[0] == '-')
        return cli_fail(&cli, CLI_USAGE, "options follow the verb, as in: freehub bikes list %s",
                        noun);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *command = &commands[i];
        int skip = command->verb ? 2 : 1;

        if (strcmp(noun, command->noun) != 0)
            continue;
        noun_known = true;
        if (command->verb && (!verb || strcmp(verb, command->verb) != 0))
            continue;
        cli.command = command;
        snprintf(cli.program, sizeof cli.program, "freehub %s%s%s", noun, command->verb ? " " : "",
                 command->verb ? command->verb : "");
        return command->run(&cli, argc - skip, argv + skip);
    }
    if (!noun_known)
        return refuse_noun(&cli, noun);
    if (verb && strcmp(first_word(verb), "help") == 0)
        return usage_print(out);
    return refuse_verb(&cli, noun, verb);
}
