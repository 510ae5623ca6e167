/* What an idle TLS connection costs the server: `bench_tls_memory [CONNECTIONS [AT_ONCE]]` prints
 * one JSON object a line, without and with a client certificate. Each connection does its
 * handshake, sends 80 bytes, gets 4 and is idle; its clients live in a process of their own. The
 * first WARM connections are not in the figures. */
#include "broker/auth/pki.h"
#include "broker/base/mem.h"
#include "broker/net/listener.h"
#include "broker/net/tlsctx.h"
#include "broker/net/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECTIONS = 2000, AT_ONCE = 8, WARM = 100 };

struct peer {
    struct transport t;
};

static unsigned wanted, at_once, started, answered;
static struct net_loop *net;
static uv_loop_t loop;
static struct listener *listener;
static struct tls_server *server;
static struct tls_client *client;
static struct peer *peers; /* touched as they come, so that they are in the figures */
static struct {
    long rss_bytes;
    double cpu_us;
} warm;

static void die(const char *what)
{
    fprintf(stderr, "bench_tls_memory: %s\n", what);
    exit(1);
}

static long rss_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    long kib = -1;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Rss: %ld kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib * 1024;
}

static double cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static struct net_room on_room(struct transport *t)
{
    (void)t;
    return (struct net_room){net_loop_room(net), NET_ROOM_BYTES};
}

static void on_nothing(struct transport *t)
{
    (void)t;
}

static void on_end(struct transport *t, int err)
{
    (void)err;
    if (answered < wanted)
        die(transport_why(t));
}

/* ---- the server ---- */

static void on_request(struct transport *t, size_t len)
{
    if (len != 80 || transport_send(t, STR_LITERAL("done")))
        die("a request was not as sent");
    answered++;
    if (answered == WARM) {
        warm.rss_bytes = rss_bytes();
        warm.cpu_us = cpu_us();
    }
    if (answered == wanted)
        uv_stop(&loop);
}

static void on_connection(void *ctx, uv_tcp_t *tcp)
{
    static const struct transport_events events = {.on_room = on_room,
                                                   .on_bytes = on_request,
                                                   .on_ready = on_nothing,
                                                   .on_drained = on_nothing,
                                                   .on_end = on_end,
                                                   .on_closed = on_nothing};

    (void)ctx;
    if (transport_accept(&peers[started++].t, net, tcp, server, &events))
        die("cannot accept");
}

/* ---- the clients ---- */

static void connect_one(void);

static void on_answer(struct transport *t, size_t len)
{
    (void)t;
    (void)len;
    answered++;
    if (started < wanted)
        connect_one();
}

static void on_ready(struct transport *t)
{
    static const char request[80];

    if (transport_send(t, str_of_bytes(request, sizeof request)))
        die("cannot send");
}

static void connect_one(void)
{
    static const struct transport_events events = {.on_room = on_room,
                                                   .on_bytes = on_answer,
                                                   .on_ready = on_ready,
                                                   .on_drained = on_nothing,
                                                   .on_end = on_end,
                                                   .on_closed = on_nothing};

    if (transport_connect(&peers[started++].t, net, "127.0.0.1", listener_port(listener), client,
                          &events, NULL))
        die("cannot connect");
}

static void run_clients(uint16_t port)
{
    (void)port;
    if (uv_loop_init(&loop) || net_loop_new(&net, &loop))
        die("no loop");
    while (started < at_once && started < wanted)
        connect_one();
    uv_run(&loop, UV_RUN_DEFAULT); /* until it is killed */
    _exit(0);
}

static void measure(const char *name, const char *pki, const struct pki_files *files, bool mutual)
{
    struct listener_address at = {.host = "127.0.0.1"};
    struct tls_server_options options = {.require_client_certificate = mutual};
    struct tls_client_options client_options = {.ca_file = files->ca_bundle};
    char certificate[600], key[600];
    struct err_detail detail;
    pid_t child;

    snprintf(certificate, sizeof certificate, "%s/server.crt", pki);
    snprintf(key, sizeof key, "%s/server.key", pki);
    options.certificate_file = certificate;
    options.key_file = key;
    if (mutual) {
        options.client_ca_file = files->ca_bundle;
        client_options.certificate_file = files->certificate;
        client_options.key_file = files->key;
    }
    peers = mem_try(wanted * sizeof *peers);
    if (!peers || uv_loop_init(&loop) || net_loop_new(&net, &loop) ||
        tls_server_new(&server, &options, &detail) ||
        tls_client_new(&client, &client_options, &detail) ||
        listener_open(&listener, &loop, &at, on_connection, NULL, &detail))
        die("cannot be set up");

    child = fork();
    if (child == 0)
        run_clients(listener_port(listener));
    uv_run(&loop, UV_RUN_DEFAULT);
    printf("{\"part\":\"tls\",\"name\":\"%s\",\"connections\":%u,\"at_once\":%u,"
           "\"bytes_per_connection\":%ld,\"cpu_us_per_connection\":%.0f}\n",
           name, wanted, at_once, (rss_bytes() - warm.rss_bytes) / (long)(wanted - WARM),
           (cpu_us() - warm.cpu_us) / (wanted - WARM));
    fflush(stdout);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    struct rlimit files_max;
    struct pki_files files;
    struct err_detail detail;
    char folder[] = "/tmp/freehub-bench-XXXXXX", command[64];

    wanted = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : CONNECTIONS;
    at_once = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : AT_ONCE;
    if (wanted <= WARM || at_once == 0)
        die("more than 100 connections are needed");
    getrlimit(RLIMIT_NOFILE, &files_max);
    files_max.rlim_cur = files_max.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files_max);
    if (!mkdtemp(folder) || pki_init(folder, NULL, &detail) ||
        pki_issue(folder, PKI_BIKE, STR_LITERAL("bench"), false, &files, &detail))
        die("cannot make certificates");
    for (int mutual = 0; mutual <= 1;
         mutual++) { /* each in a process of its own, with clean memory */
        pid_t child = fork();

        if (child == 0) {
            measure(mutual ? "client_certificate" : "server_certificate", folder, &files, mutual);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0;
}
