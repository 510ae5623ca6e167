/* broker/cli/client.h -- asks the daemon of this machine over run/admin.sock. */
#ifndef FREEHUB_BROKER_CLI_CLIENT_H
#define FREEHUB_BROKER_CLI_CLIENT_H

#include <jansson.h>

#include "broker/base/base.h"
#include "broker/base/err.h"

enum { CLIENT_ANSWER_MAX = 1024 * 1024, CLIENT_TIMEOUT_S = 10 };

/* Send one command and wait for its answer. `*result` is the caller's (json_decref). ERR_NETWORK:
 * nobody runs there; ERR_DENIED: not for this user; ERR_TIMEOUT; ERR_CORRUPT: what answers is no
 * freehubd; else the code the daemon answered with. */
CHECKED int client_call(const char *data, const char *cmd, json_t **result,
                        struct err_detail *detail);

#endif
