#include <criterion/criterion.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/server/admin.h"

static char base[64], folder[80], path[96];
static uv_loop_t loop;

static void set_up(void)
{
    snprintf(base, sizeof base, "/tmp/freehub-admin-XXXXXX");
    cr_assert(mkdtemp(base));
    snprintf(folder, sizeof folder, "%s/run", base);
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    cr_assert_eq(uv_loop_init(&loop), 0);
}

static void tear_down(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect_eq(uv_loop_close(&loop), 0);
    unlink(path);
    rmdir(folder);
    rmdir(base);
}

static int echo_ctx(void *ctx, struct json_out *result, struct err_detail *detail)
{
    (void)detail;
    json_out_object_begin(result);
    json_out_member_text(result, "who", ctx);
    json_out_object_end(result);
    return 0;
}

static int fail(void *ctx, struct json_out *result, struct err_detail *detail)
{
    (void)ctx;
    json_out_array_begin(result); /* must not leak into the answer */
    json_out_int(result, 1);
    return err_set(detail, ERR_NOSPACE, "no room in \"%s\"", "here");
}

static int large(void *ctx, struct json_out *result, struct err_detail *detail)
{
    static char text[ADMIN_ANSWER_MAX];

    (void)ctx, (void)detail;
    memset(text, 'a', sizeof text);
    json_out_str(result, str_of_bytes(text, sizeof text));
    return 0;
}

static const struct admin_command commands[] = {
    {"status", echo_ctx, "Says who."},
    {"fail", fail, "Fails."},
    {"large", large, "Says too much."},
};

static struct admin *start(void)
{
    static char who[] = "hub \"1\"";
    struct admin *admin;
    struct err_detail detail;

    cr_assert_eq(admin_open(&admin, &loop, folder, commands, ARRAY_LEN(commands), who, &detail), 0,
                 "%s", detail.text);
    return admin;
}

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Send, turn the loop until the answer has `lines` newlines or the peer ended. Terminated. */
static bool ask(int fd, struct str request, int lines, char *out, size_t room)
{
    size_t used = 0, sent = 0;

    for (int turn = 0; turn < 100000 && lines > 0; turn++) {
        ssize_t n =
            sent < request.len ? send(fd, request.at + sent, request.len - sent, MSG_NOSIGNAL) : 0;

        sent += n > 0 ? (size_t)n : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
        n = recv(fd, out + used, room - 1 - used, 0);
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            lines -= out[used + (size_t)i] == '\n';
        used += n > 0 ? (size_t)n : 0;
    }
    out[used] = '\0';
    return lines == 0;
}

Test(admin, answers_in_order, .init = set_up, .fini = tear_down)
{
    static const struct {
        struct str request;
        int lines;
        const char *answer;
    } rows[] = {
        {STR_LITERAL("{\"cmd\":\"status\"}\n"), 1,
         "{\"ok\":true,\"result\":{\"who\":\"hub \\\"1\\\"\"}}\n"},
        {STR_LITERAL("{\"cmd\":\"fail\"}\n"), 1,
         "{\"ok\":false,\"code\":\"ERR_NOSPACE\",\"error\":\"no room in \\\"here\\\"\"}\n"},
        {STR_LITERAL("{\"cmd\":\"fail\"}\n{\"cmd\":\"status\"}\n"), 2,
         "{\"ok\":false,\"code\":\"ERR_NOSPACE\",\"error\":\"no room in \\\"here\\\"\"}\n"
         "{\"ok\":true,\"result\":{\"who\":\"hub \\\"1\\\"\"}}\n"},
        {STR_LITERAL("{\"cmd\":\"help\"}\n"), 1,
         "{\"ok\":true,\"result\":[{\"cmd\":\"status\",\"help\":\"Says who.\"},"
         "{\"cmd\":\"fail\",\"help\":\"Fails.\"},"
         "{\"cmd\":\"large\",\"help\":\"Says too much.\"}]}\n"},
        {STR_LITERAL("{\"cmd\":\"staus\"}\n"), 1,
         "{\"ok\":false,\"code\":\"ERR_NOTFOUND\",\"error\":\"unknown command \\\"staus\\\": did "
         "you mean \\\"status\\\"?\"}\n"},
        {STR_LITERAL("{\"cmd\":\"zzzzzz\"}\n"), 1,
         "{\"ok\":false,\"code\":\"ERR_NOTFOUND\",\"error\":\"unknown command \\\"zzzzzz\\\"; "
         "\\\"help\\\" lists all\"}\n"},
    };
    struct admin *admin = start();
    int fd = dial();

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char answer[2048];

        cr_expect(ask(fd, rows[i].request, rows[i].lines, answer, sizeof answer));
        cr_expect_str_eq(answer, rows[i].answer);
    }
    close(fd);
    admin_close(admin);
}

Test(admin, bad_requests_are_answered, .init = set_up, .fini = tear_down)
{
    static const struct {
        struct str request;
        const char *says;
    } rows[] = {
        {STR_LITERAL("\n"), "not JSON"},
        {STR_LITERAL("{\"cmd\":\"status\"\n"), "not JSON"},
        {STR_LITERAL("{\"cmd\":\"status\",\"cmd\":\"fail\"}\n"), "not JSON: duplicate"},
        {STR_LITERAL("{\"cmd\":\"\xff\"}\n"), "not JSON"},
        {STR_LITERAL("[]\n"), "one member"},
        {STR_LITERAL("{\"cmd\":5}\n"), "one member"},
        {STR_LITERAL("{\"cmd\":\"status\",\"x\":1}\n"), "one member"},
        {STR_LITERAL("{}\n"), "one member"},
    };
    struct admin *admin = start();
    int fd = dial();

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char answer[2048];

        cr_expect(ask(fd, rows[i].request, 1, answer, sizeof answer), "row %zu", i);
        cr_expect(strstr(answer, "{\"ok\":false,\"code\":\"ERR_INVALID\"") == answer, "%s", answer);
        cr_expect(strstr(answer, rows[i].says), "row %zu: %s", i, answer);
    }
    close(fd);
    admin_close(admin);
}

/* A line of ADMIN_LINE_MAX bytes, newline included, is read; one byte more ends the connection. */
Test(admin, lines_are_bounded, .init = set_up, .fini = tear_down)
{
    static char line[ADMIN_LINE_MAX + 1];
    struct admin *admin = start();

    for (size_t len = ADMIN_LINE_MAX; len <= ADMIN_LINE_MAX + 1; len++) {
        int fd = dial();
        char answer[2048];
        static const char request[] = "{\"cmd\":\"status\"}";

        memset(line, ' ', sizeof line);
        memcpy(line, request, sizeof request - 1);
        line[len - 1] = '\n';
        cr_expect(ask(fd, (struct str){line, len}, 1, answer, sizeof answer));
        cr_expect(strstr(answer, len == ADMIN_LINE_MAX ? "\"ok\":true" : "ERR_TOO_LARGE"), "%s",
                  answer);
        if (len > ADMIN_LINE_MAX)
            cr_expect_not(ask(fd, STR_LITERAL("{\"cmd\":\"status\"}\n"), 1, answer, sizeof answer));
        close(fd);
    }
    admin_close(admin);
}

Test(admin, connections_are_bounded, .init = set_up, .fini = tear_down)
{
    struct admin *admin = start();
    int fds[ADMIN_CONNECTIONS_MAX + 1];
    char answer[2048];

    for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        fds[i] = dial();
        cr_expect(ask(fds[i], STR_LITERAL("{\"cmd\":\"help\"}\n"), 1, answer, sizeof answer));
    }
    fds[ADMIN_CONNECTIONS_MAX] = dial();
    cr_expect(ask(fds[ADMIN_CONNECTIONS_MAX], STR_LITERAL(""), 1, answer, sizeof answer));
    cr_expect(strstr(answer, "ERR_BUSY"), "%s", answer);
    close(fds[ADMIN_CONNECTIONS_MAX]);

    close(fds[0]);
    for (int turn = 0; turn < 10; turn++)
        uv_run(&loop, UV_RUN_NOWAIT);
    fds[0] = dial();
    cr_expect(ask(fds[0], STR_LITERAL("{\"cmd\":\"help\"}\n"), 1, answer, sizeof answer));
    cr_expect(strstr(answer, "\"ok\":true"));
    for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        close(fds[i]);
    admin_close(admin);
}

/* An answer past its bound ends the connection instead of being cut. */
Test(admin, answers_are_bounded, .init = set_up, .fini = tear_down)
{
    struct admin *admin = start();
    int fd = dial();
    char answer[2048];

    cr_expect_not(ask(fd, STR_LITERAL("{\"cmd\":\"large\"}\n"), 1, answer, sizeof answer));
    cr_expect_str_eq(answer, "");
    close(fd);
    admin_close(admin);
}

Test(admin, socket_is_private_and_goes_away, .init = set_up, .fini = tear_down)
{
    struct admin *admin = start();
    struct stat st;

    cr_assert_eq(stat(path, &st), 0);
    cr_expect(S_ISSOCK(st.st_mode));
    cr_expect_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(stat(folder, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0700);
    admin_close(admin);
    cr_expect_neq(stat(path, &st), 0);
}

Test(admin, a_dead_socket_is_replaced_and_a_live_one_is_not, .init = set_up, .fini = tear_down)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    struct admin *admin, *second;
    struct err_detail detail;

    mkdir(folder, 0700);
    memcpy(address.sun_path, path, strlen(path) + 1);
    cr_assert_eq(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
    close(dead);

    admin = start();
    cr_expect_eq(admin_open(&second, &loop, folder, commands, 1, NULL, &detail), ERR_BUSY);
    cr_expect(strstr(detail.text, "another freehubd answers there"), "%s", detail.text);
    cr_expect(second == NULL);
    admin_close(admin);
}

Test(admin, what_is_in_the_way_is_named, .init = set_up, .fini = tear_down)
{
    struct admin *admin;
    struct err_detail detail;
    char deep[256];
    FILE *file;

    mkdir(folder, 0700);
    file = fopen(path, "w");
    fclose(file);
    cr_expect_eq(admin_open(&admin, &loop, folder, commands, 1, NULL, &detail), ERR_EXISTS);
    cr_expect(strstr(detail.text, "is in the way and no socket"), "%s", detail.text);

    memset(deep, 'd', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    cr_expect_eq(admin_open(&admin, &loop, deep, commands, 1, NULL, &detail), ERR_TOO_LARGE);
    cr_expect(strstr(detail.text, "at most 107 bytes"), "%s", detail.text);

    cr_expect_eq(admin_open(&admin, &loop, "/none/here", commands, 1, NULL, &detail), ERR_NOTFOUND);
    cr_expect_str_eq(detail.text, "/none/here: No such file or directory");
}

/* Every field of a status is there, once, and what is written is JSON. */
Test(admin, status_is_complete)
{
    struct admin_status status = {.version = "1.2.3",
                                  .uptime_ms = 5,
                                  .connections = 2,
                                  .messages_in_per_s = 1.5,
                                  .store = {.records = 7, .size_cap_reached = true},
                                  .listener_count = 1,
                                  .alarm_count = 1};
    struct json_out out;
    struct str text;
    json_t *root;

    status.listeners[0].name = "mqtts";
    snprintf(status.listeners[0].url, sizeof status.listeners[0].url, "mqtts://127.0.0.1:8883");
    status.alarms[0].name = "log_size_cap";
    status.alarms[0].text = "the log is full";
    json_out_init(&out, 65536);
    admin_status_write(&status, &out);
    cr_assert_eq(json_out_text(&out, &text), 0);
    root = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(root);
    cr_expect_str_eq(json_string_value(json_object_get(root, "version")), "1.2.3");
    cr_expect_eq(json_real_value(json_object_get(root, "messages_in_per_s")), 1.5);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(root, "store"), "records")), 7);
    cr_expect(json_is_true(json_object_get(json_object_get(root, "store"), "size_cap_reached")));
    cr_expect_str_eq(json_string_value(json_object_get(
                         json_array_get(json_object_get(root, "alarms"), 0), "name")),
                     "log_size_cap");
    cr_expect_str_eq(json_string_value(json_object_get(
                         json_array_get(json_object_get(root, "listeners"), 0), "url")),
                     "mqtts://127.0.0.1:8883");
    json_decref(root);
    json_out_fini(&out);
}
