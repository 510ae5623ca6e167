/* broker/cli/verbs.h -- the functions commands.def names. Each parses its own arguments (argv[0] is
 * skipped), prints to cli->out, explains failures with cli_fail() and returns an exit code. */
#ifndef FREEHUB_BROKER_CLI_VERBS_H
#define FREEHUB_BROKER_CLI_VERBS_H

#include "broker/cli/cli.h"

#define COMMAND(noun, verb, run, args, help, more) int run(struct cli *cli, int argc, char **argv);
#include "broker/cli/commands.def"
#undef COMMAND

#endif
