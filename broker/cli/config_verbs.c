/* The daemon itself answers about its configuration: the program that is asked is the one that will
 * run. */
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/base/mem.h"
#include "broker/cli/verbs.h"

extern char **environ;

/* Run the freehubd beside this program and pass its exit code on. `argv` ends with NULL. */
static int daemon_ask(struct cli *cli, char **argv)
{
    char *program = cli_sibling("freehubd");
    int status, code;
    pid_t child;

    fflush(cli->out);
    child = fork();
    if (child == 0) {
        dup2(fileno(cli->out), STDOUT_FILENO);
        argv[0] = program;
        execvp(program, argv);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child < 0 || !WIFEXITED(status))
        code = cli_fail(cli, CLI_FAILED, "%s did not run to its end", program);
    else if (WEXITSTATUS(status) == 127)
        code = cli_fail(cli, CLI_FAILED, "%s cannot be started", program);
    else
        code = WEXITSTATUS(status) == 0 ? CLI_OK : CLI_FAILED;
    mem_free(program);
    return code;
}

static int about_file(struct cli *cli, int argc, char **argv, const char *action)
{
    struct cli_words words;
    char *args[8] = {NULL};
    int code, count = 1;

    if (!cli_parse_words(cli, &words, 0, 1, argc, argv, &code))
        return code;
    args[count++] = mem_copy_text(str_from(action));
    if (words.count > 0) {
        args[count++] = mem_copy_text(STR_LITERAL("--config"));
        args[count++] = mem_copy_text(str_from(words.at[0]));
    }
    if (cli->data) {
        args[count++] = mem_copy_text(STR_LITERAL("--data"));
        args[count++] = mem_copy_text(str_from(cli->data));
    }
    code = daemon_ask(cli, args);
    for (int i = 1; i < count; i++)
        mem_free(args[i]);
    return code;
}

int verb_config_check(struct cli *cli, int argc, char **argv)
{
    return about_file(cli, argc, argv, "--check");
}

int verb_config_show(struct cli *cli, int argc, char **argv)
{
    return about_file(cli, argc, argv, "--show-config");
}

int verb_config_keys(struct cli *cli, int argc, char **argv)
{
    char *args[] = {NULL, (char[]){"--keys"}, NULL};
    struct cli_words none;
    int code;

    if (!cli_parse_words(cli, &none, 0, 0, argc, argv, &code))
        return code;
    return daemon_ask(cli, args);
}
