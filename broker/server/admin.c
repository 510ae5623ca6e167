/* One struct admin owns the listening pipe and its peers. A peer reads a line, answers it, and
 * reads on only when the answer has left: at most one answer is in memory for each of at most
 * ADMIN_CONNECTIONS_MAX peers. Every handle frees its struct in its own close callback; the struct
 * admin goes with the last of them. */
#include "broker/server/admin.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/nearest.h"

struct peer {
    uv_pipe_t pipe;
    uv_write_t write;
    struct admin *admin;
    struct peer *next;
    struct json_out answer;      /* lives while `write` is under way */
    bool writing, closing, last; /* last: close after this answer */
    size_t used;
    char line[ADMIN_LINE_MAX];
};

struct admin {
    uv_pipe_t pipe;
    const struct admin_command *commands;
    size_t command_count;
    void *ctx;
    struct peer *peers;
    size_t handles; /* open ones, `pipe` included */
    bool closing;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static void lines_answer(struct peer *p);

/* ---- life ---- */

static void handle_gone(struct admin *admin)
{
    if (--admin->handles == 0)
        mem_free(admin);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *p = handle->data;
    struct admin *admin = p->admin;

    for (struct peer **at = &admin->peers; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    json_out_fini(&p->answer);
    mem_free(p);
    handle_gone(admin);
}

static void peer_close(struct peer *p)
{
    if (p->closing)
        return;
    p->closing = true;
    uv_close((uv_handle_t *)&p->pipe, on_peer_closed);
}

static void on_admin_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

void admin_close(struct admin *admin)
{
    if (admin->closing)
        return;
    admin->closing = true;
    unlink(admin->path);
    uv_close((uv_handle_t *)&admin->pipe, on_admin_closed);
    for (struct peer *p = admin->peers; p; p = p->next)
        peer_close(p);
}

/* ---- answers ---- */

static void on_written(uv_write_t *write, int status)
{
    struct peer *p = write->data;

    p->writing = false;
    if (status < 0 || p->last)
        peer_close(p);
    else if (!p->closing)
        lines_answer(p);
}

/* Send what p->answer holds, and a newline. */
static void answer_send(struct peer *p)
{
    static char newline[] = "\n";
    struct str text;
    uv_buf_t parts[2];

    if (json_out_text(&p->answer,
                      &text)) { /* an answer past its bound is our bug, not the peer's */
        LOG_ERROR("admin_answer_too_large", F_INT("bytes_max", ADMIN_ANSWER_MAX));
        peer_close(p);
        return;
    }
    parts[0] = uv_buf_init(p->answer.at, (unsigned)text.len);
    parts[1] = uv_buf_init(newline, 1);
    p->write.data = p;
    p->writing = true;
    if (uv_write(&p->write, (uv_stream_t *)&p->pipe, parts, ARRAY_LEN(parts), on_written)) {
        p->writing = false;
        peer_close(p);
    }
}

static void answer_begin(struct peer *p)
{
    json_out_fini(&p->answer);
    json_out_init(&p->answer, ADMIN_ANSWER_MAX);
    json_out_object_begin(&p->answer);
}

static const char *code_name(int code)
{
    switch (code) {
#define CODE_CASE(name, number, text)                                                              \
    case name:                                                                                     \
        return #name;
        ERR_LIST(CODE_CASE)
#undef CODE_CASE
    default:
        return "ERR_IO";
    }
}

static void answer_failure(struct peer *p, int code, const char *text)
{
    answer_begin(p);
    json_out_member_bool(&p->answer, "ok", false);
    json_out_member_text(&p->answer, "code", code_name(code));
    json_out_member_text(&p->answer, "error", text[0] ? text : err_text(code));
    json_out_object_end(&p->answer);
    answer_send(p);
}

/* ---- commands ---- */

static int help(void *ctx, struct json_out *result, struct err_detail *detail)
{
    const struct admin *admin = ctx;

    (void)detail;
    json_out_array_begin(result);
    for (size_t i = 0; i < admin->command_count; i++) {
        json_out_object_begin(result);
        json_out_member_text(result, "cmd", admin->commands[i].name);
        json_out_member_text(result, "help", admin->commands[i].help);
        json_out_object_end(result);
    }
    json_out_array_end(result);
    return 0;
}

static void command_run(struct peer *p, admin_handler_fn *handler, void *ctx)
{
    struct err_detail detail = {""};
    int rc;

    answer_begin(p);
    json_out_member_bool(&p->answer, "ok", true);
    json_out_key(&p->answer, "result");
    rc = handler(ctx, &p->answer, &detail);
    if (rc) {
        answer_failure(p, rc, detail.text);
        return;
    }
    json_out_object_end(&p->answer);
    answer_send(p);
}

static void command_answer(struct peer *p, const char *name)
{
    const struct admin *admin = p->admin;
    struct err_detail detail;
    struct nearest near;

    if (strcmp(name, "help") == 0) {
        command_run(p, help, p->admin);
        return;
    }
    nearest_init(&near, str_from(name));
    for (size_t i = 0; i < admin->command_count; i++) {
        if (strcmp(name, admin->commands[i].name) == 0) {
            command_run(p, admin->commands[i].handler, admin->ctx);
            return;
        }
        nearest_offer(&near, admin->commands[i].name);
    }
    err_set(&detail, ERR_NOTFOUND, "unknown command \"%.64s\"%s%s%s", name,
            near.name ? ": did you mean \"" : "; \"help\" lists all", near.name ? near.name : "",
            near.name ? "\"?" : "");
    answer_failure(p, ERR_NOTFOUND, detail.text);
}

static void line_answer(struct peer *p, struct str line)
{
    json_error_t why;
    json_t *request = json_loadb(line.at, line.len, JSON_REJECT_DUPLICATES, &why);
    const char *name = json_string_value(json_object_get(request, "cmd"));
    struct err_detail detail;

    if (!request) {
        err_set(&detail, ERR_INVALID, "not JSON: %s", why.text);
        answer_failure(p, ERR_INVALID, detail.text);
    } else if (!name || json_object_size(request) != 1) {
        answer_failure(p, ERR_INVALID,
                       "a request is an object with one member, such as "
                       "{\"cmd\":\"status\"}");
    } else {
        command_answer(p, name);
    }
    json_decref(request);
}

/* ---- reading ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct peer *p = handle->data;

    (void)suggested;
    *out = uv_buf_init(p->line + p->used, (unsigned)(sizeof p->line - p->used));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct peer *p = stream->data;

    (void)buf;
    if (len < 0) {
        peer_close(p);
        return;
    }
    p->used += (size_t)len;
    lines_answer(p);
}

/* Answer the first whole line, if there is one, else read on. */
static void lines_answer(struct peer *p)
{
    char *end;
    size_t len;
    int rc;

    if (p->writing || p->closing)
        return;
    end = memchr(p->line, '\n', p->used);
    if (!end && p->used < sizeof p->line) {
        rc = uv_read_start((uv_stream_t *)&p->pipe, on_room, on_read);
        if (rc < 0 && rc != UV_EALREADY)
            peer_close(p);
        return;
    }
    uv_read_stop((uv_stream_t *)&p->pipe);
    if (!end) {
        p->last = true;
        answer_failure(p, ERR_TOO_LARGE, "a request has at most 65535 bytes");
        return;
    }
    len = (size_t)(end - p->line);
    line_answer(p, (struct str){p->line, len});
    p->used -= len + 1;
    memmove(p->line, end + 1, p->used);
}

/* ---- accepting ---- */

static bool peer_is_admin(const struct peer *p, unsigned *uid)
{
    struct ucred who;
    socklen_t len = sizeof who;
    uv_os_fd_t fd;

    *uid = (unsigned)-1;
    if (uv_fileno((const uv_handle_t *)&p->pipe, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return false;
    *uid = who.uid;
    return who.uid == 0 || who.uid == geteuid();
}

static size_t peer_count(const struct admin *admin)
{
    size_t count = 0;

    for (const struct peer *p = admin->peers; p; p = p->next)
        count += !p->closing;
    return count;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct admin *admin = stream->data;
    bool full = peer_count(admin) >= ADMIN_CONNECTIONS_MAX;
    struct peer *p;
    unsigned uid;

    if (status < 0 || admin->closing)
        return;
    p = mem_new(sizeof *p);
    p->admin = admin;
    if (uv_pipe_init(stream->loop, &p->pipe, 0)) {
        mem_free(p);
        return;
    }
    p->pipe.data = p;
    p->next = admin->peers;
    admin->peers = p;
    admin->handles++;
    if (uv_accept(stream, (uv_stream_t *)&p->pipe)) {
        peer_close(p);
        return;
    }
    if (!peer_is_admin(p, &uid)) {
        LOG_WARN("admin_refused", F_UINT("uid", uid));
        p->last = true;
        answer_failure(p, ERR_DENIED, "only root and the user the hub runs as may do this");
    } else if (full) {
        p->last = true;
        answer_failure(p, ERR_BUSY, "too many admin connections");
    } else {
        lines_answer(p);
    }
}

/* ---- opening ---- */

/* Whether somebody accepts connections at the path. */
static bool socket_is_live(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool live;

    if (fd < 0)
        return false;
    memcpy(address.sun_path, path, strlen(path) + 1);
    live = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return live;
}

static int path_prepare(struct admin *admin, const char *folder, struct err_detail *detail)
{
    int len = snprintf(admin->path, sizeof admin->path, "%s/admin.sock", folder);
    struct stat st;

    if (len < 0 || (size_t)len >= sizeof admin->path)
        return err_set(detail, ERR_TOO_LARGE,
                       "%s/admin.sock: the path of a socket has at most %zu bytes: choose a "
                       "shorter data folder",
                       folder, sizeof admin->path - 1);
    if (mkdir(folder, 0700) && errno != EEXIST)
        return err_set(detail, err_from_errno(errno), "%s: %s", folder, strerror(errno));
    if (lstat(admin->path, &st))
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return err_set(detail, ERR_EXISTS, "%s is in the way and no socket", admin->path);
    if (socket_is_live(admin->path))
        return err_set(detail, ERR_BUSY, "%s: another freehubd answers there", admin->path);
    if (unlink(admin->path))
        return err_set(detail, err_from_errno(errno), "%s: %s", admin->path, strerror(errno));
    return 0;
}

int admin_open(struct admin **out, uv_loop_t *loop, const char *folder,
               const struct admin_command *commands, size_t command_count, void *ctx,
               struct err_detail *detail)
{
    struct admin *admin = MEM_NEW(struct admin);
    int rc;

    ASSERT(command_count <= ADMIN_COMMANDS_MAX);
    *out = NULL;
    rc = path_prepare(admin, folder, detail);
    if (rc) {
        mem_free(admin);
        return rc;
    }
    admin->commands = commands;
    admin->command_count = command_count;
    admin->ctx = ctx;
    if (uv_pipe_init(loop, &admin->pipe, 0)) {
        mem_free(admin);
        return err_set(detail, ERR_NOMEM, "out of memory");
    }
    admin->pipe.data = admin;
    admin->handles = 1;
    /* Nobody can connect between bind and listen, so the mode is right before anybody does. */
    rc = uv_pipe_bind(&admin->pipe, admin->path);
    if (rc == 0 && chmod(admin->path, 0600))
        rc = -errno;
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&admin->pipe, ADMIN_CONNECTIONS_MAX, on_connection);
    if (rc) {
        err_set(detail, ERR_IO, "%s: %s", admin->path, uv_strerror(rc));
        admin_close(admin);
        return err_from_errno(-rc);
    }
    *out = admin;
    return 0;
}
