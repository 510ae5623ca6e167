/* broker/cli/child.h -- a program that this one starts and ends: freehubd and the simulator under
 * `freehub demo`. It runs in a process group of its own, so that Ctrl-C reaches it only through us,
 * and gets SIGTERM should we die first. */
#ifndef FREEHUB_BROKER_CLI_CHILD_H
#define FREEHUB_BROKER_CLI_CHILD_H

#include <sys/types.h>

#include "broker/base/base.h"
#include "broker/base/err.h"

struct child {
    pid_t pid;  /* 0: none, or seen to its end */
    int status; /* of waitpid(), once pid is 0 again */
};

/* Start `argv` (argv[0] is the path or a name to look up), ended with NULL. Standard output and
 * error go to `log_file`, appended, or stay when it is NULL. ERR_NOTFOUND: no such program. */
CHECKED int child_start(struct child *child, char *const *argv, const char *log_file,
                        struct err_detail *detail);

/* Whether it still runs. */
bool child_is_running(struct child *child);

/* Wait for its end. Returns as child_stop(). */
int child_wait(struct child *child);

/* SIGTERM, and SIGKILL when it has not ended after `patience_ms`. Returns its exit code, or 128 and
 * the signal that ended it; 0 when there was none. */
int child_stop(struct child *child, unsigned patience_ms);

#endif
