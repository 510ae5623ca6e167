/* The daemon itself answers about its configuration: the program that is asked is the one that will
 * run. */
#include "broker/base/mem.h"
#include "broker/cli/child.h"
#include "broker/cli/verbs.h"

/* Run the freehubd beside this program, which prints to our standard output. `argv` ends with NULL;
 * argv[0] is filled in. */
static int daemon_ask(struct cli *cli, char **argv)
{
    char *program = cli_sibling("freehubd");
    struct err_detail detail;
    struct child child;
    int rc;

    fflush(cli->out);
    argv[0] = program;
    rc = child_start(&child, argv, NULL, &detail);
    mem_free(program);
    if (rc)
        return cli_fail_err(cli, rc, &detail);
    return child_wait(&child) == 0 ? CLI_OK : CLI_FAILED;
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
