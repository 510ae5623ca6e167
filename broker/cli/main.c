/* freehub -- the tool beside freehubd: for admins, analysts and tests. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>

#include "broker/cli/cli.h"

int main(int argc, char **argv)
{
    int code;

    setlocale(LC_CTYPE, ""); /* tables measure UTF-8; numbers keep their point */
    signal(SIGPIPE, SIG_IGN);
    code = cli_run(argc, argv, stdout, stderr);
    if (fflush(stdout) && code == CLI_OK)
        code = CLI_FAILED;
    return code;
}
