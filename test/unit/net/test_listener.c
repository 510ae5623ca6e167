#include "broker/net/listener.h"

#include "net_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

Test(listener, reads_urls)
{
    static const struct {
        const char *url, *host;
        uint16_t port;
        bool tls, loopback;
    } rows[] = {
        {"mqtt://127.0.0.1", "127.0.0.1", 1883, false, true},
        {"mqtts://0.0.0.0", "0.0.0.0", 8883, true, false},
        {"mqtt://127.9.9.9:0", "127.9.9.9", 0, false, true},
        {"mqtt://[::1]:1884", "::1", 1884, false, true},
        {"mqtts://[::]", "::", 8883, true, false},
        {"mqtt://localhost:65535", "localhost", 65535, false, true},
        {"mqtts://hub.example.com:443", "hub.example.com", 443, true, false},
        {"mqtt://128.0.0.1", "128.0.0.1", 1883, false, false},
        {"mqtt://[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 1883, false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct listener_address at;

        cr_assert_eq(listener_address_parse(str_from(rows[i].url), &at, NULL), 0, "%s",
                     rows[i].url);
        cr_expect_str_eq(at.host, rows[i].host);
        cr_expect_eq(at.port, rows[i].port, "%s", rows[i].url);
        cr_expect_eq(at.tls, rows[i].tls, "%s", rows[i].url);
        cr_expect_eq(listener_address_is_loopback(&at), rows[i].loopback, "%s", rows[i].url);
    }
}

Test(listener, refuses_other_texts_with_the_reason)
{
    static const struct {
        const char *url, *reason;
    } rows[] = {
        {"", "must begin with mqtt://"},
        {"127.0.0.1:1883", "must begin with mqtt://"},
        {"http://127.0.0.1", "must begin with mqtt://"},
        {"MQTT://127.0.0.1", "must begin with mqtt://"},
        {"mqtt://", "not HOST or HOST:PORT"},
        {"mqtt://:1883", "not HOST or HOST:PORT"},
        {"mqtt://[::1", "not HOST or HOST:PORT"},
        {"mqtt://[::1]1883", "not HOST or HOST:PORT"},
        {"mqtt://[]:1883", "not HOST or HOST:PORT"},
        {"mqtt://a:", "not HOST or HOST:PORT"},
        {"mqtt://a:65536", "not a number from 0 to 65535"},
        {"mqtt://a:-1", "not a number from 0 to 65535"},
        {"mqtt://a:18x", "not a number from 0 to 65535"},
        {"mqtt://a/path", "holds a byte"},
        {"mqtt://a b", "holds a byte"},
        {"mqtt://0123456789012345678901234567890123456789012345678901234567890123", "longer than"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail detail = {""};
        struct listener_address at;

        cr_expect_eq(listener_address_parse(str_from(rows[i].url), &at, &detail), ERR_INVALID, "%s",
                     rows[i].url);
        cr_expect_not_null(strstr(detail.text, rows[i].reason), "%s: %s", rows[i].url, detail.text);
    }
}

static uv_loop_t loop;
static struct net_loop *net;
static struct end accepted[4];
static size_t accepted_count;

static void on_connection(void *ctx, uv_tcp_t *tcp)
{
    struct end *e = &accepted[accepted_count++];

    cr_assert_eq(ctx, &loop);
    e->loop = net;
    cr_assert_eq(transport_accept(&e->t, net, tcp, NULL, &end_events), 0);
}

static bool has_accepted(void *ctx)
{
    return accepted_count >= *(size_t *)ctx;
}

static int connect_to(int family, uint16_t port)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -1;
    v6.sin6_addr = in6addr_loopback;
    rc = family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                           : connect(fd, (struct sockaddr *)&v6, sizeof v6);
    if (rc == 0)
        return fd;
    close(fd);
    return -1;
}

static struct listener *open_on(const char *url)
{
    struct err_detail detail = {""};
    struct listener_address at;
    struct listener *l;

    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(net_loop_new(&net, &loop), 0);
    cr_assert_eq(listener_address_parse(str_from(url), &at, NULL), 0);
    cr_assert_eq(listener_open(&l, &loop, &at, on_connection, &loop, &detail), 0, "%s",
                 detail.text);
    return l;
}

Test(listener, accepts_on_the_port_the_kernel_chose)
{
    struct listener *l = open_on("mqtt://127.0.0.1:0");
    char address[TRANSPORT_ADDRESS_MAX];
    size_t wanted = 1;
    int fd;

    cr_assert_neq(listener_port(l), 0);
    fd = connect_to(AF_INET, listener_port(l));
    cr_assert_geq(fd, 0);
    run_until(&loop, has_accepted, &wanted);
    cr_assert_eq(accepted[0].ready_count, 1);
    cr_assert_gt(transport_address(&accepted[0].t, address, sizeof address), 10);
    listener_close(l);
    close(fd);
    ends_fini(&loop, accepted, accepted_count);
    loop_fini(&loop, net);
}

Test(listener, localhost_is_both_addresses_and_one_port)
{
    struct listener *l = open_on("mqtt://localhost:0");
    int v4 = connect_to(AF_INET, listener_port(l)), v6 = connect_to(AF_INET6, listener_port(l));
    size_t wanted = v6 >= 0 ? 2 : 1; /* a machine without IPv6 has one */

    cr_assert_geq(v4, 0);
    run_until(&loop, has_accepted, &wanted);
    listener_close(l);
    close(v4);
    if (v6 >= 0)
        close(v6);
    ends_fini(&loop, accepted, accepted_count);
    loop_fini(&loop, net);
}

Test(listener, says_what_would_mend_a_failed_bind)
{
    struct listener *first = open_on("mqtt://127.0.0.1:0"), *second = NULL;
    struct listener_address at = {.host = "127.0.0.1", .port = listener_port(first)};
    struct err_detail detail = {""};

    cr_assert_eq(listener_open(&second, &loop, &at, on_connection, &loop, &detail), ERR_BUSY);
    cr_expect_not_null(strstr(detail.text, "another process has this port"), "%s", detail.text);
    cr_expect_not_null(strstr(detail.text, "127.0.0.1 port "), "%s", detail.text);

    strcpy(at.host, "192.0.2.1"); /* reserved for documentation: nobody has it */
    cr_assert_neq(listener_open(&second, &loop, &at, on_connection, &loop, &detail), 0);
    cr_expect_not_null(strstr(detail.text, "this machine has no such address"), "%s", detail.text);

    strcpy(at.host, "no-such-host.invalid");
    cr_assert_eq(listener_open(&second, &loop, &at, on_connection, &loop, &detail), ERR_NOTFOUND);
    cr_expect_not_null(strstr(detail.text, "no-such-host.invalid"), "%s", detail.text);
    listener_close(first);
    loop_fini(&loop, net);
}

/* Without a free descriptor the listener waits; who connects meanwhile is served afterwards. */
Test(listener, pauses_when_the_process_is_out_of_descriptors)
{
    struct listener *l = open_on("mqtt://127.0.0.1:0");
    struct rlimit before, none;
    size_t wanted = 1;
    int fd = connect_to(AF_INET, listener_port(l)), late;

    cr_assert_geq(fd, 0);
    run_until(&loop, has_accepted, &wanted);

    late = connect_to(AF_INET, listener_port(l));
    cr_assert_geq(late, 0);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    close(loop.emfile_fd); /* libuv's spare: with it gone, accept() has nothing left at all */
    loop.emfile_fd = -1;
    none = before;
    none.rlim_cur = 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT); /* would never return if it span */
    cr_assert_eq(accepted_count, 1);

    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    wanted = 2;
    run_until(&loop, has_accepted, &wanted);
    listener_close(l);
    close(fd);
    close(late);
    ends_fini(&loop, accepted, accepted_count);
    loop_fini(&loop, net);
}
