#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/cli/client.h"

static char folder[64], run[80], path[96];

static void set_up(void)
{
    snprintf(folder, sizeof folder, "/tmp/freehub-client-XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(run, sizeof run, "%s/run", folder);
    snprintf(path, sizeof path, "%s/run/admin.sock", folder);
    mkdir(run, 0700);
}

static void tear_down(void)
{
    unlink(path);
    rmdir(run);
    rmdir(folder);
}

struct hub {
    int fd;
    struct str answer; /* sent in two pieces, then the connection ends */
    char request[256];
    pthread_t thread;
};

static void *hub_serve(void *arg)
{
    struct hub *hub = arg;
    int fd = accept(hub->fd, NULL, NULL);
    ssize_t n = recv(fd, hub->request, sizeof hub->request - 1, 0);

    hub->request[n > 0 ? n : 0] = '\0';
    send(fd, hub->answer.at, hub->answer.len / 2, MSG_NOSIGNAL);
    for (size_t sent = hub->answer.len / 2; sent < hub->answer.len;) {
        n = send(fd, hub->answer.at + sent, hub->answer.len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    close(fd);
    return NULL;
}

static void hub_start(struct hub *hub, struct str answer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    hub->answer = answer;
    hub->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    cr_assert_eq(bind(hub->fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(hub->fd, 1), 0);
    cr_assert_eq(pthread_create(&hub->thread, NULL, hub_serve, hub), 0);
}

static void hub_stop(struct hub *hub)
{
    pthread_join(hub->thread, NULL);
    close(hub->fd);
}

Test(client, answers_become_results_or_codes, .init = set_up, .fini = tear_down)
{
    static const struct {
        struct str answer;
        int rc;
        const char *text;
    } rows[] = {
        {STR_LITERAL("{\"ok\":true,\"result\":{\"a\":5}}\n"), 0, NULL},
        {STR_LITERAL("{\"ok\":false,\"code\":\"ERR_DENIED\",\"error\":\"not you\"}\n"), ERR_DENIED,
         "not you"},
        {STR_LITERAL("{\"ok\":false,\"code\":\"ERR_NEW\",\"error\":\"hm\"}\n"), ERR_CORRUPT, "hm"},
        {STR_LITERAL("{\"ok\":false}\n"), ERR_CORRUPT, "the hub refused without saying why"},
        {STR_LITERAL("{\"ok\":true}\n"), ERR_CORRUPT, "the answer is not one of freehubd"},
        {STR_LITERAL("hello\n"), ERR_CORRUPT, "the answer is not one of freehubd"},
        {STR_LITERAL("{\"ok\":true,"), ERR_NETWORK, "freehubd does not answer: network failure"},
        {STR_LITERAL(""), ERR_NETWORK, "freehubd does not answer: network failure"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hub hub;
        struct err_detail detail = {""};
        json_t *result = NULL;

        hub_start(&hub, rows[i].answer);
        cr_expect_eq(client_call(folder, "status", &result, &detail), rows[i].rc, "row %zu", i);
        hub_stop(&hub);
        cr_expect_str_eq(hub.request, "{\"cmd\":\"status\"}\n");
        if (rows[i].text)
            cr_expect_str_eq(detail.text, rows[i].text);
        else
            cr_expect_eq(json_integer_value(json_object_get(result, "a")), 5);
        json_decref(result);
    }
}

Test(client, answers_are_bounded, .init = set_up, .fini = tear_down)
{
    char *endless = malloc(CLIENT_ANSWER_MAX + 1);
    struct hub hub;
    struct err_detail detail;
    json_t *result;

    memset(endless, ' ', CLIENT_ANSWER_MAX + 1);
    hub_start(&hub, str_of_bytes(endless, CLIENT_ANSWER_MAX + 1));
    cr_expect_eq(client_call(folder, "status", &result, &detail), ERR_TOO_LARGE);
    hub_stop(&hub);
    free(endless);
}

Test(client, nobody_there_is_said_so, .init = set_up, .fini = tear_down)
{
    static const char says[] = "no freehubd runs here (nobody answers at /tmp/";
    struct err_detail detail;
    json_t *result;
    struct hub hub;

    cr_expect_eq(client_call(folder, "status", &result, &detail), ERR_NETWORK);
    cr_expect(strncmp(detail.text, says, sizeof says - 1) == 0, "%s", detail.text);

    hub_start(&hub, STR_LITERAL("x\n")); /* leaves a dead socket behind */
    cr_expect_neq(client_call(folder, "status", &result, &detail), 0);
    hub_stop(&hub);
    cr_expect_eq(client_call(folder, "status", &result, &detail), ERR_NETWORK);
    cr_expect(strstr(detail.text, "no freehubd runs here"), "%s", detail.text);
}

Test(client, long_paths_are_refused)
{
    char deep[256];
    struct err_detail detail;
    json_t *result;

    memset(deep, 'd', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    cr_expect_eq(client_call(deep, "status", &result, &detail), ERR_TOO_LARGE);
    cr_expect(strstr(detail.text, "at most 107 bytes"), "%s", detail.text);
}
