/* broker/cli/cli.h -- what every verb of `freehub` stands on: the table of commands, common
 * options, exit codes and the one way to fail. Single-threaded. */
#ifndef FREEHUB_BROKER_CLI_CLI_H
#define FREEHUB_BROKER_CLI_CLI_H

#include <argp.h>
#include <stdio.h>

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/cli/output.h"

/* Scripts rely on these; they never change. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_REFUSED = 4,     /* exists already, no right, read-only, in use */
    CLI_UNREACHABLE = 5, /* no daemon, no answer */
};

enum { CLI_WORDS_MAX = 1024 }; /* arguments of one command line */

struct cli;

struct command {
    const char *noun;
    const char *verb; /* NULL: the noun stands alone */
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *args; /* "ID..." */
    const char *help; /* one sentence */
    const char *more; /* further help, or NULL */
};

struct cli {
    FILE *out, *err;
    const struct command *command;
    const char *data; /* --data; see cli_data() */
    enum output_format format;
    char program[64]; /* "freehub bikes add" */
    bool helped;      /* --help was answered */
    bool failed;      /* cli_fail() has spoken */
};

/* Run one command line; returns the exit code. `argv` is not changed. */
int cli_run(int argc, char **argv, FILE *out, FILE *err);

/* The table of commands.def, for help and tests. */
const struct command *cli_commands(size_t *count);

/* Parse a verb's arguments: its own options (`argp` needs no texts: they come from the table) and
 * the common --data, --output, --help. argv[0] is skipped. False: the verb is over, with
 * `*exit_code`; a mistake has been explained on `cli->err`. */
CHECKED bool cli_parse(struct cli *cli, const struct argp *argp, void *input, int argc, char **argv,
                       int *exit_code);

/* Arguments that are not options: between `least` and `most` (<= CLI_WORDS_MAX), borrowed from
 * argv. */
struct cli_words {
    struct cli *cli;
    const char *at[CLI_WORDS_MAX];
    size_t count, least, most;
};

/* For a verb's parser: takes ARGP_KEY_ARG and ARGP_KEY_END, and explains too few or too many. */
error_t cli_words_take(struct cli_words *words, int key, char *value);

/* Parse for a verb without options of its own. */
CHECKED bool cli_parse_words(struct cli *cli, struct cli_words *words, size_t least, size_t most,
                             int argc, char **argv, int *exit_code);

/* The data folder: --data, else $FREEHUB_DATA, else ./freehub-data or /var/lib/freehub, whichever
 * is there first, else ./freehub-data. */
const char *cli_data(const struct cli *cli);

/* A path in the data folder, "FOLDER/name"; the caller frees it. */
char *cli_path(const struct cli *cli, const char *name);

/* A program of ours that lies beside this one, "/usr/bin/freehubd", or just its name, to be looked
 * up in PATH. The caller frees it. */
char *cli_sibling(const char *name);

/* Say "freehub NOUN VERB: text" on `cli->err`. Returns `code`. */
int cli_fail(struct cli *cli, enum cli_exit code, const char *format, ...) PRINTF_LIKE(3, 4);

/* As above for an ERR_ code with its detail (may be NULL); returns the exit code that goes with it.
 */
int cli_fail_err(struct cli *cli, int err, const struct err_detail *detail);

#endif
