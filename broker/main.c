/* freehubd -- the hub. Everything it does is in broker/server; here is only the way in and out. */
#include "broker/base/log.h"
#include "broker/server/config.h"
#include "broker/server/server.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

/* As many descriptors as we may have: each connection is one. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        LOG_WARN("descriptor_limit", F_TEXT("why", "the soft limit of open files stays"));
}

int main(int argc, char **argv)
{
    struct config *config = NULL;
    struct err_detail detail = {{0}};
    struct server server;
    int code = 0;

    if (config_load(&config, NULL, argc, argv, &detail)) {
        fprintf(stderr, "freehubd: %s\n", detail.text);
        return EXIT_USAGE;
    }
    if (config_answered(config, stdout, stderr, &code)) {
        config_free(config);
        return code;
    }
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    log_configure(STDERR_FILENO, (enum log_format)config->log.format,
                  (enum log_level)config->log.level);
    raise_descriptor_limit();
    if (server_start(&server, config, &detail)) {
        LOG_ERROR("start_failed", F_TEXT("why", detail.text));
        config_free(config);
        return 1;
    }
    code = server_run(&server);
    config_free(config);
    return code;
}
