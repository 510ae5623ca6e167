/* libuv offers no way to stop listening but to close the handle, and it calls back in an endless
 * loop when accept() finds no free descriptor and libuv's own spare one is gone. So a socket is
 * held twice: by libuv's handle, which is closed to pause, and by `kept_fd`, which keeps the socket
 * and the peers that wait in its backlog alive until a new handle can be opened on it. */
#include "broker/net/listener.h"

#include "broker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SOCKETS_MAX = 2, /* "localhost" is 127.0.0.1 and ::1 */
    BACKLOG = 4096,  /* the kernel cuts it to net.core.somaxconn */
    PAUSE_MS = 1000,
};

struct listening {
    uv_tcp_t tcp;
    struct listener *owner;
    int kept_fd;
    bool has_handle; /* `tcp` is initialised and its close callback has not run */
};

struct listener {
    uv_loop_t *loop;
    uv_timer_t retry;
    struct listening sockets[SOCKETS_MAX];
    size_t socket_count;
    size_t open_handles; /* frees itself when the last of them has closed */
    char host[64];
    uint16_t port;
    bool closing;
    void (*on_connection)(void *ctx, uv_tcp_t *tcp);
    void *ctx;
};

static const struct {
    struct str scheme;
    uint16_t port;
    bool tls;
} schemes[] = {
    {{"mqtt://", 7}, 1883, false},
    {{"mqtts://", 8}, 8883, true},
};

static bool parse_port(struct str text, uint16_t *out)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.at[i] - '0');
    }
    if (value > UINT16_MAX)
        return false;
    *out = (uint16_t)value;
    return true;
}

/* Split "HOST", "HOST:PORT", "[V6]", "[V6]:PORT"; `port` is left empty when there is none. */
static bool split_host(struct str rest, struct str *host, struct str *port)
{
    const char *colon;

    *port = (struct str){NULL, 0};
    if (rest.len > 0 && rest.at[0] == '[') {
        const char *end = memchr(rest.at, ']', rest.len);
        size_t after;

        if (!end)
            return false;
        *host = str_of_bytes(rest.at + 1, (size_t)(end - rest.at - 1));
        after = (size_t)(end + 1 - rest.at);
        if (after == rest.len)
            return host->len > 0;
        *port = str_of_bytes(rest.at + after + 1, rest.len - after - 1);
        return host->len > 0 && rest.at[after] == ':' && port->len > 0;
    }
    colon = memchr(rest.at, ':', rest.len);
    *host = str_of_bytes(rest.at, colon ? (size_t)(colon - rest.at) : rest.len);
    if (colon) {
        *port = str_of_bytes(colon + 1, rest.len - host->len - 1);
        if (port->len == 0)
            return false;
    }
    return host->len > 0;
}

static bool host_byte_valid(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '-' || byte == ':' ||
           byte == '_' || byte == '%';
}

int listener_address_parse(struct str url, struct listener_address *out, struct err_detail *detail)
{
    struct str host, port;
    size_t i;

    for (i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_has_prefix(url, schemes[i].scheme))
            break;
    if (i == ARRAY_LEN(schemes))
        return err_set(detail, ERR_INVALID,
                       "\"%.*s\" must begin with mqtt:// (plain) or mqtts:// (TLS)", (int)url.len,
                       url.at);
    out->tls = schemes[i].tls;
    out->port = schemes[i].port;

    url = str_of_bytes(url.at + schemes[i].scheme.len, url.len - schemes[i].scheme.len);
    if (!split_host(url, &host, &port))
        return err_set(detail, ERR_INVALID,
                       "\"%.*s\" is not HOST or HOST:PORT; an IPv6 address stands in brackets",
                       (int)url.len, url.at);
    if (host.len >= sizeof out->host)
        return err_set(detail, ERR_INVALID, "the host \"%.*s\" is longer than %zu bytes",
                       (int)host.len, host.at, sizeof out->host - 1);
    for (i = 0; i < host.len; i++)
        if (!host_byte_valid(host.at[i]))
            return err_set(detail, ERR_INVALID, "the host \"%.*s\" holds a byte that no host has",
                           (int)host.len, host.at);
    if (port.len > 0 && !parse_port(port, &out->port))
        return err_set(detail, ERR_INVALID, "the port \"%.*s\" is not a number from 0 to 65535",
                       (int)port.len, port.at);
    memcpy(out->host, host.at, host.len);
    out->host[host.len] = '\0';
    return 0;
}

bool listener_address_is_loopback(const struct listener_address *address)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (strcmp(address->host, "localhost") == 0)
        return true;
    if (uv_inet_pton(AF_INET, address->host, &v4) == 0)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (uv_inet_pton(AF_INET6, address->host, &v6) == 0)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return false; /* a name may resolve to anything */
}

static void on_waiting(uv_stream_t *stream, int status);

/* Put a libuv handle on `fd`, which it then owns; on failure `fd` is closed. */
static int handle_open(struct listening *s, int fd)
{
    int rc = uv_tcp_init(s->owner->loop, &s->tcp);

    if (rc) {
        close(fd);
        return rc;
    }
    s->has_handle = true;
    s->owner->open_handles++;
    rc = uv_tcp_open(&s->tcp, fd);
    if (rc) {
        close(fd);
        return rc;
    }
    return uv_listen((uv_stream_t *)&s->tcp, BACKLOG, on_waiting);
}

static void handle_gone(struct listener *l)
{
    if (--l->open_handles > 0 || !l->closing)
        return;
    mem_free(l);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct listening *s = CONTAINER_OF(handle, struct listening, tcp);

    s->has_handle = false;
    handle_gone(s->owner);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_gone(CONTAINER_OF(handle, struct listener, retry));
}

static void handle_close(struct listening *s)
{
    if (s->has_handle && !uv_is_closing((uv_handle_t *)&s->tcp))
        uv_close((uv_handle_t *)&s->tcp, on_socket_closed);
}

static void on_retry(uv_timer_t *timer)
{
    struct listener *l = CONTAINER_OF(timer, struct listener, retry);

    for (size_t i = 0; i < l->socket_count; i++) {
        struct listening *s = &l->sockets[i];
        int fd;

        if (s->has_handle)
            continue;
        fd = fcntl(s->kept_fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0 || handle_open(s, fd)) {
            handle_close(s);
            uv_timer_start(timer, on_retry, PAUSE_MS, 0);
        }
    }
}

static void on_waiting(uv_stream_t *stream, int status)
{
    struct listening *s = CONTAINER_OF(stream, struct listening, tcp);

    if (status == 0) {
        s->owner->on_connection(s->owner->ctx, &s->tcp);
    } else {
        handle_close(s);
        uv_timer_start(&s->owner->retry, on_retry, PAUSE_MS, 0);
    }
}

static int bind_failed(const struct listener_address *address, const char *what, int system_errno,
                       struct err_detail *detail)
{
    static const struct {
        int system_errno;
        const char *remedy;
    } remedies[] = {
        {EADDRINUSE, "; another process has this port: stop it or choose another port"},
        {EACCES, "; ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one"},
        {EADDRNOTAVAIL, "; this machine has no such address: 0.0.0.0 means all it has"},
        {EMFILE, "; raise the limit of open files (LimitNOFILE, ulimit -n)"},
    };
    const char *remedy = "";

    for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
        if (remedies[i].system_errno == system_errno)
            remedy = remedies[i].remedy;
    return err_set(detail, err_from_errno(system_errno), "cannot %s %s port %u: %s%s", what,
                   address->host, address->port, strerror(system_errno), remedy);
}

static void set_port(struct sockaddr *at, uint16_t port)
{
    if (at->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)at)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)(void *)at)->sin_port = htons(port);
}

static int bound_port(int fd, uint16_t *out)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof name;

    if (getsockname(fd, &name.any, &len))
        return errno;
    *out = ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
    return 0;
}

/* Bind and listen on one address. Returns 0 or errno. */
static int socket_open(struct listener *l, const struct addrinfo *at)
{
    struct listening *s = &l->sockets[l->socket_count];
    int yes = 1, v6_only, fd, second, rc = 0;

    fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    set_port(at->ai_addr, l->port);
    v6_only = strcmp(l->host, "::") != 0; /* "::" means everything this machine has */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        (at->ai_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only)) ||
        bind(fd, at->ai_addr, at->ai_addrlen) || listen(fd, BACKLOG))
        rc = errno;
    if (rc == 0 && l->port == 0)
        rc = bound_port(fd, &l->port);
    if (rc == 0 && (second = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        rc = errno;
    if (rc) {
        close(fd);
        return rc;
    }
    s->owner = l;
    s->kept_fd = fd;
    l->socket_count++;
    return -handle_open(s, second); /* libuv's codes are negated errno here */
}

static int addresses_of(const struct listener_address *address, struct addrinfo **out,
                        struct err_detail *detail)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    int rc = getaddrinfo(address->host, NULL, &hints, out);

    if (rc == 0)
        return 0;
    return err_set(detail, rc == EAI_MEMORY ? ERR_NOMEM : ERR_NOTFOUND,
                   "cannot find the address of \"%s\": %s", address->host, gai_strerror(rc));
}

int listener_open(struct listener **out, uv_loop_t *loop, const struct listener_address *address,
                  void (*on_connection)(void *ctx, uv_tcp_t *tcp), void *ctx,
                  struct err_detail *detail)
{
    struct addrinfo *all = NULL;
    struct listener *l;
    int rc, first_errno = 0;
    size_t listening = 0;

    rc = addresses_of(address, &all, detail);
    if (rc)
        return rc;
    l = MEM_NEW(struct listener);
    l->loop = loop;
    l->port = address->port;
    memcpy(l->host, address->host, sizeof l->host);
    l->on_connection = on_connection;
    l->ctx = ctx;
    uv_timer_init(loop, &l->retry);
    uv_unref((uv_handle_t *)&l->retry);
    l->open_handles = 1;

    /* A machine without IPv6 still has "localhost": one address is enough, except that a port
     * somebody else holds on one of them is an error. */
    for (struct addrinfo *at = all; at && l->socket_count < SOCKETS_MAX; at = at->ai_next) {
        int system_errno = socket_open(l, at);

        if (system_errno == 0)
            listening++;
        else if (first_errno == 0 || system_errno == EADDRINUSE)
            first_errno = system_errno;
    }
    freeaddrinfo(all);
    if (listening == 0 || first_errno == EADDRINUSE) {
        listener_close(l);
        return bind_failed(address, "listen on", first_errno, detail);
    }
    *out = l;
    return 0;
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}

void listener_close(struct listener *l)
{
    ASSERT(!l->closing);
    l->closing = true;
    for (size_t i = 0; i < l->socket_count; i++) {
        handle_close(&l->sockets[i]);
        close(l->sockets[i].kept_fd);
    }
    uv_close((uv_handle_t *)&l->retry, on_timer_closed);
}
