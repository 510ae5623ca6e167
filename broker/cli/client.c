#include "broker/cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/base/mem.h"

static int refuse_connect(const char *path, int system_errno, struct err_detail *detail)
{
    switch (system_errno) {
    case ENOENT:
    case ECONNREFUSED:
        return err_set(detail, ERR_NETWORK, "no freehubd runs here (nobody answers at %s)", path);
    case EACCES:
    case EPERM:
        return err_set(detail, ERR_DENIED, "%s: only root and the user the hub runs as may do this",
                       path);
    case EAGAIN:
        return err_set(detail, ERR_TIMEOUT, "%s: freehubd does not answer", path);
    default:
        return err_set(detail, ERR_NETWORK, "%s: %s", path, strerror(system_errno));
    }
}

static int dial(const char *data, int *out, struct err_detail *detail)
{
    const struct timeval patience = {.tv_sec = CLIENT_TIMEOUT_S};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path, sizeof address.sun_path, "%s/run/admin.sock", data);
    int fd, rc;

    if (len < 0 || (size_t)len >= sizeof address.sun_path)
        return err_set(detail, ERR_TOO_LARGE,
                       "%s/run/admin.sock: the path of a socket has at most %zu bytes", data,
                       sizeof address.sun_path - 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(detail, err_from_errno(errno), "socket: %s", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) ||
        connect(fd, (const struct sockaddr *)&address, sizeof address)) {
        rc = refuse_connect(address.sun_path, errno, detail);
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

static int line_send(int fd, struct str line)
{
    while (line.len > 0) {
        ssize_t n = send(fd, line.at, line.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? ERR_TIMEOUT : ERR_NETWORK;
        line = (struct str){line.at + n, line.len - (size_t)n};
    }
    return 0;
}

/* One line, without its newline; `room` has CLIENT_ANSWER_MAX bytes. */
static int line_receive(int fd, char *room, struct str *out)
{
    size_t used = 0;

    while (used < CLIENT_ANSWER_MAX) {
        ssize_t n = recv(fd, room + used, CLIENT_ANSWER_MAX - used, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? ERR_TIMEOUT : ERR_NETWORK;
        if (n == 0)
            return ERR_NETWORK;
        used += (size_t)n;
        if (room[used - 1] == '\n') {
            *out = (struct str){room, used - 1};
            return 0;
        }
    }
    return ERR_TOO_LARGE;
}

static int code_of(const char *name)
{
#define CODE_NAME(code, number, text) {code, #code},
    static const struct {
        int code;
        const char *name;
    } codes[] = {ERR_LIST(CODE_NAME)};
#undef CODE_NAME

    for (size_t i = 0; name && i < ARRAY_LEN(codes); i++)
        if (strcmp(codes[i].name, name) == 0)
            return codes[i].code;
    return ERR_CORRUPT;
}

static int answer_read(struct str line, json_t **result, struct err_detail *detail)
{
    json_t *answer = json_loadb(line.at, line.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *ok = json_object_get(answer, "ok"), *value = json_object_get(answer, "result");
    const char *error = json_string_value(json_object_get(answer, "error"));
    int rc;

    if (json_is_true(ok) && value) {
        *result = json_incref(value);
        rc = 0;
    } else if (json_is_false(ok)) {
        rc = err_set(detail, code_of(json_string_value(json_object_get(answer, "code"))), "%s",
                     error ? error : "the hub refused without saying why");
    } else {
        rc = err_set(detail, ERR_CORRUPT, "the answer is not one of freehubd");
    }
    json_decref(answer);
    return rc;
}

int client_call(const char *data, const char *cmd, json_t **result, struct err_detail *detail)
{
    char request[128];
    int len = snprintf(request, sizeof request, "{\"cmd\":\"%s\"}\n", cmd);
    char *room = NULL;
    struct str line;
    int fd = -1, rc;

    ASSERT(len > 0 && (size_t)len < sizeof request);
    rc = dial(data, &fd, detail);
    if (rc)
        return rc;
    room = mem_try(CLIENT_ANSWER_MAX);
    rc = room ? line_send(fd, (struct str){request, (size_t)len}) : ERR_NOMEM;
    if (rc == 0)
        rc = line_receive(fd, room, &line);
    if (rc)
        err_set(detail, rc, "freehubd does not answer: %s", err_text(rc));
    else
        rc = answer_read(line, result, detail);
    mem_free(room);
    close(fd);
    return rc;
}
