#include "broker/cli/verbs.h"

int verb_version(struct cli *cli, int argc, char **argv)
{
    struct cli_words none;
    int code;

    if (!cli_parse_words(cli, &none, 0, 0, argc, argv, &code))
        return code;
    fputs("freehub " FREEHUB_VERSION "\n", cli->out);
    return CLI_OK;
}
