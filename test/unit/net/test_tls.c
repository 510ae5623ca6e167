#include "broker/base/log.h"
#include "broker/net/listener.h"
#include "broker/net/tlsctx.h"

#include "cert_fixture.h"
#include "net_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/mman.h>

enum { DAY = 24 * 3600 };

static uv_loop_t loop;
static struct net_loop *net;
static struct listener *listener;
static struct tls_server *server;
static struct end accepted, client;
static struct cert ca, other_ca, namesake; /* `namesake` has the name of `ca`, not its key */
static int log_fd;

static const struct cert_wish ca_wish = {
    .cn = {"Test CA", 7}, .from_s = -DAY, .to_s = 30 * DAY, .is_ca = true};
static const struct cert_wish other_ca_wish = {
    .cn = {"Other CA", 8}, .from_s = -DAY, .to_s = 30 * DAY, .is_ca = true};
static const struct cert_wish server_wish = {.cn = {"hub", 3},
                                             .from_s = -DAY,
                                             .to_s = DAY,
                                             .eku = "serverAuth",
                                             .san = "DNS:localhost,IP:127.0.0.1"};
static const struct cert_wish bike_wish = {
    .cn = {"bike-1", 6}, .ou = {"bike", 4}, .from_s = -DAY, .to_s = DAY, .eku = "clientAuth"};

/* The last word is the owner's: as broker/auth/identity.h, in short. */
static int accept_peer(void *ctx, const struct transport_peer *peer, struct err_detail *detail)
{
    (void)ctx;
    if (memchr(peer->common_name, '+', peer->common_name_len))
        return err_set(detail, ERR_DENIED, "CN holds '+'");
    return 0;
}

static void issue(const struct cert_wish *wish, const struct cert *issuer, const char *name)
{
    struct cert c = cert_make(wish, issuer);

    cert_write(&c, name);
    cert_free(&c);
}

static struct tls_server *new_server(bool asks, bool requires)
{
    char certificate[128], key[128], ca_file[128];
    struct err_detail detail = {""};
    struct tls_server *made = NULL;
    struct tls_server_options options = {.certificate_file = certificate,
                                         .key_file = key,
                                         .client_ca_file = asks ? ca_file : NULL,
                                         .require_client_certificate = requires,
                                         .accept_peer = accept_peer};

    strcpy(certificate, cert_path("server.crt"));
    strcpy(key, cert_path("server.key"));
    strcpy(ca_file, cert_path("ca.crt"));
    cr_assert_eq(tls_server_new(&made, &options, &detail), 0, "%s", detail.text);
    return made;
}

/* `name` NULL: without a certificate. */
static struct tls_client *new_client(const char *name, const char *ca_name)
{
    char certificate[128], key[128], ca_file[128], file[64];
    struct err_detail detail = {""};
    struct tls_client *made = NULL;
    struct tls_client_options options = {.ca_file = ca_file};

    snprintf(file, sizeof file, "%s.crt", ca_name);
    strcpy(ca_file, cert_path(file));
    if (name) {
        snprintf(file, sizeof file, "%s.crt", name);
        strcpy(certificate, cert_path(file));
        snprintf(file, sizeof file, "%s.key", name);
        strcpy(key, cert_path(file));
        options.certificate_file = certificate;
        options.key_file = key;
    }
    cr_assert_eq(tls_client_new(&made, &options, &detail), 0, "%s", detail.text);
    return made;
}

static void on_connection(void *ctx, uv_tcp_t *tcp)
{
    struct end *e = ctx;
    struct end fresh = {.loop = net,
                        .other = &client,
                        .echo = e->echo,
                        .act = e->act,
                        .act_on = e->act_on,
                        .room_len = e->room_len};

    cr_assert(e->t.events == NULL || e->closed_count == 1, "one connection at a time");
    free(e->got);
    *e = fresh;
    cr_assert_eq(transport_accept(&e->t, net, tcp, server, &end_events), 0);
}

static void setup(void)
{
    struct listener_address at = {.host = "127.0.0.1"};

    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(net_loop_new(&net, &loop), 0);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    log_configure(log_fd, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    certs_init();
    ca = cert_make(&ca_wish, NULL);
    cert_write(&ca, "ca");
    namesake = cert_make(&ca_wish, NULL);
    other_ca = cert_make(&other_ca_wish, NULL);
    cert_write(&other_ca, "other_ca");
    issue(&server_wish, &ca, "server");
    issue(&bike_wish, &ca, "bike");
    server = new_server(true, true);
    cr_assert_eq(listener_open(&listener, &loop, &at, on_connection, &accepted, NULL), 0);
}

static void close_ends(void)
{
    if (client.t.events) {
        transport_close(&client.t, 0);
        run_until(&loop, end_is_closed, &client);
    }
    if (accepted.t.events) {
        transport_close(&accepted.t, 0);
        run_until(&loop, end_is_closed, &accepted);
    }
    cr_assert_leq(client.closed_count, 1);
    cr_assert_leq(accepted.closed_count, 1);
    free(client.got);
    free(accepted.got);
    client = accepted = (struct end){0};
}

static void teardown(void)
{
    close_ends();
    listener_close(listener);
    tls_server_unref(server);
    loop_fini(&loop, net);
    cert_free(&ca);
    cert_free(&other_ca);
    cert_free(&namesake);
    certs_fini();
}

static void connect_client(struct tls_client *as, const char *host, uint16_t port)
{
    struct err_detail detail = {""};

    client = (struct end){.loop = net, .other = &accepted};
    cr_assert_eq(transport_connect(&client.t, net, host, port, as, &end_events, &detail), 0, "%s",
                 detail.text);
}

static bool both_ready_or_ended(void *ctx)
{
    (void)ctx;
    return (client.ready_count && accepted.ready_count) || accepted.end_count || client.end_count;
}

static bool server_ended_or_ready(void *ctx)
{
    (void)ctx;
    return accepted.end_count || accepted.ready_count;
}

static bool client_has(void *ctx)
{
    cr_assert_eq(client.end_count, 0, "%s", transport_why(&client.t));
    return client.got_len >= *(size_t *)ctx;
}

static bool server_has(void *ctx)
{
    cr_assert_eq(accepted.end_count, 0, "%s", transport_why(&accepted.t));
    return accepted.got_len >= *(size_t *)ctx;
}

static const char *log_text(void)
{
    static char text[16384];
    ssize_t len = pread(log_fd, text, sizeof text - 1, 0);

    text[len > 0 ? len : 0] = '\0';
    return text;
}

static void fill(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i * 2654435761u >> 13);
}

Test(tls, a_good_certificate_gives_its_identity)
{
    struct tls_client *as;
    uint8_t fingerprint[32];
    unsigned len = sizeof fingerprint;
    struct cert bike;

    setup();
    bike = cert_make(&bike_wish, &ca);
    cert_write(&bike, "bike");
    X509_digest(bike.x509, EVP_sha256(), fingerprint, &len);
    as = new_client("bike", "ca");
    connect_client(as, "localhost", listener_port(listener));
    run_until(&loop, both_ready_or_ended, NULL);
    cr_assert_eq(accepted.ready_count, 1, "%s", log_text());
    cr_assert_eq(client.ready_count, 1, "%s", transport_why(&client.t));
    cr_assert(transport_peer(&accepted.t)->present);
    cr_assert_str_eq(transport_peer(&accepted.t)->common_name, "bike-1");
    cr_assert_str_eq(transport_peer(&accepted.t)->unit, "bike");
    cr_assert_eq(memcmp(transport_peer(&accepted.t)->fingerprint, fingerprint, 32), 0);
    cert_free(&bike);
    tls_client_free(as);
    teardown();
}

/* Every certificate that must not get in, and what the log says about it. */
Test(tls, refuses_bad_certificates_and_says_why)
{
    static const struct cert_wish ok = {
        .cn = {"bike-1", 6}, .ou = {"bike", 4}, .from_s = -DAY, .to_s = DAY, .eku = "clientAuth"};
    static char long_cn[65];
    struct {
        struct cert_wish wish;
        const struct cert *by; /* NULL: itself */
        const char *why;       /* NULL: accepted */
    } rows[13];
    size_t count = 0;

    memset(long_cn, 'x', sizeof long_cn);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rows[i].wish = ok;
        rows[i].by = &ca;
        rows[i].why = NULL;
    }
    count++; /* the first is good */
    rows[count].wish.from_s = -2 * DAY;
    rows[count].wish.to_s = -DAY;
    rows[count++].why = "certificate has expired";
    rows[count].wish.from_s = DAY;
    rows[count].wish.to_s = 2 * DAY;
    rows[count++].why = "certificate is not valid yet";
    rows[count].by = &other_ca;
    rows[count++].why = "signed by another CA";
    rows[count].by = &namesake;
    rows[count++].why = "signed by another CA";
    rows[count].by = NULL;
    rows[count++].why = "signed by another CA";
    rows[count].wish.eku = "serverAuth";
    rows[count++].why = "not a client certificate";
    rows[count].wish.eku = "codeSigning,emailProtection";
    rows[count++].why = "not a client certificate";
    rows[count++].wish.eku = NULL; /* for any use, says RFC 5280 */
    rows[count].wish.cn = (struct str){"bike/+", 6};
    rows[count++].why = "CN holds '+'";
    rows[count].wish.second_cn = (struct str){"bike-2", 6};
    rows[count++].why = "more than one CN";
    rows[count].wish.cn = (struct str){long_cn, sizeof long_cn};
    rows[count++].why = "a CN longer than 64 bytes";
    rows[count++].wish.cn = (struct str){"a\0b\n", 4}; /* the bytes as they are: identity judges */
    cr_assert_eq(count, ARRAY_LEN(rows));

    setup();
    for (size_t i = 0; i < count; i++) {
        struct tls_client *as;

        issue(&rows[i].wish, rows[i].by, "tried");
        as = new_client("tried", "ca");
        cr_assert_eq(ftruncate(log_fd, 0), 0);
        lseek(log_fd, 0, SEEK_SET);
        connect_client(as, "127.0.0.1", listener_port(listener));
        run_until(&loop, server_ended_or_ready, NULL);
        if (rows[i].why) {
            cr_expect_eq(accepted.end_err, ERR_TLS, "row %zu", i);
            cr_expect_eq(accepted.ready_count, 0, "row %zu", i);
            cr_expect_not(transport_peer(&accepted.t)->present, "row %zu", i);
            cr_expect_not_null(strstr(log_text(), "event=tls_refused"), "row %zu", i);
            cr_expect_not_null(strstr(log_text(), rows[i].why), "row %zu: %s", i, log_text());
        } else {
            cr_expect_eq(accepted.ready_count, 1, "row %zu: %s", i, log_text());
            cr_expect_eq(transport_peer(&accepted.t)->common_name_len, rows[i].wish.cn.len);
            cr_expect_eq(memcmp(transport_peer(&accepted.t)->common_name, rows[i].wish.cn.at,
                                rows[i].wish.cn.len),
                         0);
        }
        close_ends();
        tls_client_free(as);
    }
    teardown();
}

/* The alert reaches the client although it has sent data that nobody will read. */
Test(tls, a_refused_client_gets_the_alert)
{
    struct cert_wish wish = bike_wish;
    struct tls_client *as;

    wish.to_s = -3600;
    setup();
    issue(&wish, &ca, "tried");
    as = new_client("tried", "ca");
    connect_client(as, "127.0.0.1", listener_port(listener));
    run_until(&loop, end_is_ready, &client); /* TLS 1.3: before the server has seen its chain */
    cr_assert_eq(transport_send(&client.t, STR_LITERAL("unread")), 0);
    run_until(&loop, end_has_ended, &accepted);
    transport_close(&accepted.t, 5000);
    run_until(&loop, end_has_ended, &client);
    cr_assert_eq(client.end_err, ERR_TLS);
    cr_assert_not_null(strstr(transport_why(&client.t), "expired"), "%s", transport_why(&client.t));
    tls_client_free(as);
    teardown();
}

Test(tls, a_missing_certificate_is_refused_where_required)
{
    struct tls_client *as;

    setup();
    as = new_client(NULL, "ca");
    connect_client(as, "127.0.0.1", listener_port(listener));
    run_until(&loop, server_ended_or_ready, NULL);
    cr_assert_eq(accepted.end_err, ERR_TLS);
    cr_assert_not_null(strstr(log_text(), "no certificate"), "%s", log_text());
    close_ends();

    tls_server_unref(server);
    server = new_server(true, false);
    connect_client(as, "127.0.0.1", listener_port(listener));
    run_until(&loop, both_ready_or_ended, NULL);
    cr_assert_eq(accepted.ready_count, 1, "%s", log_text());
    cr_assert_not(transport_peer(&accepted.t)->present);
    tls_client_free(as);
    teardown();
}

Test(tls, the_client_verifies_chain_and_name)
{
    struct cert_wish wish = server_wish;
    struct tls_client *good, *bad;

    setup();
    good = new_client("bike", "ca");
    bad = new_client("bike", "other_ca");
    connect_client(bad, "127.0.0.1", listener_port(listener));
    run_until(&loop, end_has_ended, &client);
    cr_expect_eq(client.end_err, ERR_TLS);
    cr_expect_not_null(strstr(transport_why(&client.t), "certificate"), "%s",
                       transport_why(&client.t));
    run_until(&loop, end_has_ended, &accepted);
    cr_expect_not_null(strstr(log_text(), "does not know the CA"), "%s", log_text());
    close_ends();

    wish.san = "DNS:elsewhere.example,IP:127.0.0.2";
    issue(&wish, &ca, "server");
    tls_server_unref(server);
    server = new_server(true, true);
    connect_client(good, "localhost", listener_port(listener));
    run_until(&loop, end_has_ended, &client);
    cr_expect_not_null(strstr(transport_why(&client.t), "ostname mismatch"), "%s",
                       transport_why(&client.t));
    close_ends();
    connect_client(good, "127.0.0.1", listener_port(listener));
    run_until(&loop, end_has_ended, &client);
    cr_expect_not_null(strstr(transport_why(&client.t), "IP address mismatch"), "%s",
                       transport_why(&client.t));
    tls_client_free(good);
    tls_client_free(bad);
    teardown();
}

/* Bytes straight into the server, without a TLS client. */
static void send_raw(const void *bytes, size_t len)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(listener_port(listener)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};

    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    run_until(&loop, end_has_ended, &accepted);
    close(fd);
}

static size_t old_hello(uint8_t *out, size_t room)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    BIO *to = BIO_new(BIO_s_mem());
    SSL *ssl;
    int len;

    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
    ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), to);
    SSL_connect(ssl);
    len = BIO_read(to, out, (int)room);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    cr_assert_gt(len, 0);
    return (size_t)len;
}

Test(tls, refuses_what_is_not_a_handshake)
{
    static const uint8_t huge[] = {0x16, 3, 1, 0x40, 0x00, 1, 0, 0x3f, 0xfc};
    static const uint8_t broken[] = {0x16, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3};
    static const uint8_t alert[] = {0x15, 3, 1, 0, 2, 2, 40};
    uint8_t old[1024];
    size_t old_len = old_hello(old, sizeof old);
    const struct {
        const void *bytes;
        size_t len;
        const char *why;
    } rows[] = {
        {"\x10\x0c\0\4MQTT\4\2\0\x3c\0\0", 14, "plain bytes on a TLS port"},
        {"GET / HTTP/1.1\r\n\r\n", 18, "plain bytes on a TLS port"},
        {"\x16\x01", 2, "plain bytes on a TLS port"},
        {huge, sizeof huge, "a ClientHello longer than 4 KiB"},
        {broken, sizeof broken, ""},
        {alert, sizeof alert, "plain bytes on a TLS port"},
        {old, old_len, "protocol too old"},
    };

    setup();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_assert_eq(ftruncate(log_fd, 0), 0);
        lseek(log_fd, 0, SEEK_SET);
        send_raw(rows[i].bytes, rows[i].len);
        cr_expect_eq(accepted.end_err, ERR_TLS, "row %zu", i);
        cr_expect_not_null(strstr(log_text(), "event=tls_refused"), "row %zu", i);
        cr_expect_not_null(strstr(log_text(), rows[i].why), "row %zu: %s", i, log_text());
        close_ends();
    }
    teardown();
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

/* A relay between client and server that lets one byte pass at a time. */
static int relay_listener, relay_ends[2] = {-1, -1};

static void relay_step(void)
{
    if (relay_ends[0] < 0) {
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons(listener_port(listener)),
                                 .sin_addr = {htonl(INADDR_LOOPBACK)}};

        relay_ends[0] = accept4(relay_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (relay_ends[0] < 0)
            return;
        relay_ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(relay_ends[1], (struct sockaddr *)&at, sizeof at), 0);
        fcntl(relay_ends[1], F_SETFL, O_NONBLOCK);
    }
    for (int i = 0; i < 2; i++) {
        char byte;

        if (read(relay_ends[i], &byte, 1) == 1)
            cr_assert_eq(write(relay_ends[1 - i], &byte, 1), 1);
    }
}

static bool relayed_until_echo(void *ctx)
{
    relay_step();
    cr_assert_eq(accepted.end_count, 0, "%s", log_text());
    cr_assert_eq(client.end_count, 0, "%s", transport_why(&client.t));
    if (client.ready_count && !client.act) {
        client.act = end_of(&client.t)->act = (void (*)(struct end *))1;
        client.act_on = EVENT_NONE;
        cr_assert_eq(transport_send(&client.t, STR_LITERAL("byte by byte")), 0);
    }
    return client.got_len >= *(size_t *)ctx;
}

Test(tls, a_handshake_may_come_byte_by_byte)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    struct tls_client *as;
    size_t wanted = 12;
    uv_idle_t idle;

    setup();
    accepted.echo = true;
    uv_idle_init(&loop, &idle);
    uv_idle_start(&idle, on_idle);
    relay_listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(relay_listener, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(relay_listener, 1), 0);
    getsockname(relay_listener, (struct sockaddr *)&at, &len);
    as = new_client("bike", "ca");
    connect_client(as, "127.0.0.1", ntohs(at.sin_port));
    run_until(&loop, relayed_until_echo, &wanted);
    cr_assert_eq(memcmp(client.got, "byte by byte", 12), 0);
    uv_close((uv_handle_t *)&idle, NULL);
    close(relay_listener);
    close(relay_ends[0]);
    close(relay_ends[1]);
    tls_client_free(as);
    teardown();
}

Test(tls, carries_large_transfers_both_ways)
{
    static uint8_t bytes[5 * 1000 * 1000];
    size_t total = sizeof bytes;
    struct tls_client *as;

    setup();
    accepted.echo = true;
    accepted.room_len = 50 * 1000; /* less than what comes in at once */
    as = new_client("bike", "ca");
    connect_client(as, "127.0.0.1", listener_port(listener));
    run_until(&loop, both_ready_or_ended, NULL);
    fill(bytes, total);
    cr_assert_eq(transport_send(&client.t, str_of_bytes(bytes, total)), 0);
    cr_assert_gt(transport_pending(&client.t), 0);
    run_until(&loop, client_has, &total);
    cr_assert_eq(client.got_len, total);
    cr_assert_eq(memcmp(client.got, bytes, total), 0);
    cr_assert_eq(client.drained_count, 1);
    tls_client_free(as);
    teardown();
}

static void pause_self(struct end *e)
{
    transport_pause(&e->t);
}

/* A pause holds even for what was decrypted or received already. */
Test(tls, a_pause_inside_on_bytes_delivers_no_further_byte)
{
    static uint8_t bytes[200 * 1000];
    size_t total = sizeof bytes, pauses = 0;
    struct tls_client *as;

    setup();
    accepted.room_len = 777;
    accepted.act = pause_self;
    accepted.act_on = EVENT_BYTES;
    as = new_client("bike", "ca");
    connect_client(as, "127.0.0.1", listener_port(listener));
    run_until(&loop, both_ready_or_ended, NULL);
    fill(bytes, total);
    cr_assert_eq(transport_send(&client.t, str_of_bytes(bytes, total)), 0);
    while (accepted.got_len < total) {
        size_t before = accepted.got_len, wanted = before + 1;

        run_until(&loop, server_has, &wanted);
        cr_assert_leq(accepted.got_len - before, 777);
        before = accepted.got_len;
        uv_run(&loop, UV_RUN_NOWAIT);
        uv_run(&loop, UV_RUN_NOWAIT);
        cr_assert_eq(accepted.got_len, before);
        transport_resume(&accepted.t);
        cr_assert_eq(accepted.got_len, before, "not from inside transport_resume()");
        pauses++;
    }
    cr_assert_gt(pauses, 200);
    cr_assert_eq(memcmp(accepted.got, bytes, total), 0);
    tls_client_free(as);
    teardown();
}

static void close_self(struct end *e)
{
    transport_close(&e->t, 0);
    cr_assert_eq(e->closed_count, 0);
}

static void close_both(struct end *e)
{
    transport_close(&e->other->t, 10);
    transport_close(&e->t, 10);
}

Test(tls, may_be_closed_inside_each_callback)
{
    static const enum event events[] = {EVENT_READY, EVENT_BYTES, EVENT_DRAINED, EVENT_END};
    static void (*const acts[])(struct end *) = {close_self, close_both};
    static const uint8_t bytes[4 * 1000 * 1000];
    struct tls_client *as;

    setup();
    as = new_client("bike", "ca");
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        for (size_t act = 0; act < ARRAY_LEN(acts); act++) {
            accepted.act = acts[act];
            accepted.act_on = events[i];
            connect_client(as, "127.0.0.1", listener_port(listener));
            run_until(&loop, both_ready_or_ended, NULL);
            if (events[i] == EVENT_BYTES)
                (void)!transport_send(&client.t, str_of_bytes(bytes, 100000));
            if (events[i] == EVENT_DRAINED)
                (void)!transport_send(&accepted.t, str_of_bytes(bytes, sizeof bytes));
            if (events[i] == EVENT_END)
                transport_close(&client.t, 1000);
            run_until(&loop, end_is_closed, &accepted);
            close_ends();
        }
    tls_client_free(as);
    teardown();
}

Test(tls, close_notify_is_an_orderly_end_and_its_absence_is_not)
{
    struct tls_client *as;
    uv_os_fd_t fd;

    setup();
    as = new_client("bike", "ca");
    connect_client(as, "127.0.0.1", listener_port(listener));
    run_until(&loop, both_ready_or_ended, NULL);
    transport_close(&client.t, 1000);
    run_until(&loop, end_has_ended, &accepted);
    cr_assert_eq(accepted.end_err, 0);
    close_ends();

    connect_client(as, "127.0.0.1", listener_port(listener));
    run_until(&loop, both_ready_or_ended, NULL);
    uv_fileno((uv_handle_t *)&client.t.tcp, &fd);
    shutdown(fd, SHUT_WR);
    run_until(&loop, end_has_ended, &accepted);
    cr_assert_eq(accepted.end_err, ERR_CLOSED);
    tls_client_free(as);
    teardown();
}

/* Who is connected stays, with the configuration it came in under. */
Test(tls, a_reload_drops_nobody)
{
    struct tls_client *as;
    size_t wanted = 5;

    setup();
    accepted.echo = true;
    as = new_client("bike", "ca");
    connect_client(as, "127.0.0.1", listener_port(listener));
    run_until(&loop, both_ready_or_ended, NULL);
    tls_server_unref(server);
    cert_write(&other_ca, "ca");
    issue(&server_wish, &other_ca, "server");
    server = new_server(true, true);
    cr_assert_eq(transport_send(&client.t, STR_LITERAL("still")), 0);
    run_until(&loop, client_has, &wanted);
    close_ends();

    connect_client(as, "127.0.0.1", listener_port(listener)); /* the old CA is not trusted now */
    run_until(&loop, end_has_ended, &client);
    cr_assert_eq(client.end_err, ERR_TLS);
    tls_client_free(as);
    teardown();
}

/* A connection that says nothing costs no OpenSSL object, and nothing waits for ever. */
Test(tls, the_handshake_deadline_is_there_before_the_first_byte)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setup();
    at.sin_port = htons(listener_port(listener));
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    run_until(&loop, end_has_ended, &accepted);
    cr_assert_eq(accepted.end_err, ERR_TIMEOUT);
    cr_assert_str_eq(log_text(), "", "a silent connection is not worth a line");
    close(fd);
    teardown();
}

Test(tls, refuses_keys_and_certificates_it_cannot_use)
{
    static const struct {
        const char *certificate, *key, *ca, *reason;
        mode_t mode;
        int rc;
    } rows[] = {
        {"server.crt", "server.key", "ca.crt", "chmod 600", 0644, ERR_DENIED},
        {"server.crt", "server.key", "ca.crt", "chmod 600", 0604, ERR_DENIED},
        {"server.crt", "server.key", "ca.crt", "chmod 600", 0620, ERR_DENIED},
        {"server.crt", "server.key", "ca.crt", NULL, 0640, 0},
        {"server.crt", "server.key", "ca.crt", NULL, 0400, 0},
        {"server.crt", "bike.key", "ca.crt", "is not the key of", 0600, ERR_INVALID},
        {"none.crt", "server.key", "ca.crt", "none.crt", 0600, ERR_NOTFOUND},
        {"server.crt", "none.key", "ca.crt", "none.key", 0600, ERR_NOTFOUND},
        {"server.crt", "server.key", "none.crt", "none.crt", 0600, ERR_NOTFOUND},
        {"server.key", "server.key", "ca.crt", "no certificate", 0600, ERR_INVALID},
        {"server.crt", "empty", "ca.crt", "no private key", 0600, ERR_INVALID},
        {"server.crt", "server.key", "empty", "no CA certificate", 0600, ERR_INVALID},
        {"server.crt", "locked.key", "ca.crt", "is encrypted", 0600, ERR_INVALID},
        {"server.crt", "server.key", NULL, "no CA for them", 0600, ERR_INVALID},
    };
    struct cert locked;
    FILE *file;

    setup();
    file = fopen(cert_path("empty"), "w");
    fclose(file);
    chmod(cert_path("empty"), 0600);
    locked = cert_make(&server_wish, &ca);
    file = fopen(cert_path("locked.key"), "w");
    PEM_write_PrivateKey(file, locked.key, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)"secret");
    fclose(file);
    chmod(cert_path("locked.key"), 0600);
    cert_free(&locked);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char certificate[128], key[128], ca_file[128];
        struct err_detail detail = {""};
        struct tls_server *made = NULL;
        struct tls_server_options options = {.certificate_file = certificate,
                                             .key_file = key,
                                             .client_ca_file = rows[i].ca ? ca_file : NULL,
                                             .require_client_certificate = true};

        strcpy(certificate, cert_path(rows[i].certificate));
        strcpy(key, cert_path(rows[i].key));
        strcpy(ca_file, cert_path(rows[i].ca ? rows[i].ca : ""));
        chmod(cert_path("server.key"), rows[i].mode);
        cr_expect_eq(tls_server_new(&made, &options, &detail), rows[i].rc, "row %zu: %s", i,
                     detail.text);
        if (rows[i].reason)
            cr_expect_not_null(strstr(detail.text, rows[i].reason), "row %zu: %s", i, detail.text);
        tls_server_unref(made);
    }
    teardown();
}

/* The next address is tried when one refuses; when all do, the reason arrives. */
Test(tls, connect_tries_each_address_and_reports_the_last)
{
    struct listener_address v4_only = {.host = "127.0.0.1"};
    struct end plain = {0};
    struct listener *l;
    uint16_t port;

    setup();
    tls_server_unref(server);
    server = NULL;
    cr_assert_eq(listener_open(&l, &loop, &v4_only, on_connection, &plain, NULL), 0);
    port = listener_port(l);
    connect_client(NULL, "localhost", port);
    run_until(&loop, end_is_ready, &client);
    run_until(&loop, end_is_ready, &plain);
    listener_close(l);
    ends_fini(&loop, &plain, 1);
    close_ends();

    connect_client(NULL, "localhost", port); /* nobody listens there now */
    run_until(&loop, end_has_ended, &client);
    cr_assert_eq(client.end_err, ERR_NETWORK);
    cr_assert_str_eq(transport_why(&client.t), "connection refused");
    close_ends();

    connect_client(NULL, "localhost", port);
    transport_close(&client.t, 1000); /* before anything was tried */
    run_until(&loop, end_is_closed, &client);
    teardown();
}

/* ---- a client on OpenSSL itself, for what our own never does ---- */

struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    char got[256];
    size_t got_len;
    uv_idle_t idle; /* it is polled: the loop must not sleep */
};

static void raw_open(struct raw *raw, int max_version)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(listener_port(listener)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int received_bytes = 32 * 1024;

    *raw = (struct raw){.ctx = SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_max_proto_version(raw->ctx, max_version);
    cr_assert_eq(SSL_CTX_use_certificate_file(raw->ctx, cert_path("bike.crt"), SSL_FILETYPE_PEM),
                 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(raw->ctx, cert_path("bike.key"), SSL_FILETYPE_PEM), 1);
    raw->ssl = SSL_new(raw->ctx);
    raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(raw->fd, SOL_SOCKET, SO_RCVBUF, &received_bytes, sizeof received_bytes);
    cr_assert_eq(connect(raw->fd, (struct sockaddr *)&at, sizeof at), 0);
    fcntl(raw->fd, F_SETFL, O_NONBLOCK);
    SSL_set_fd(raw->ssl, raw->fd);
    SSL_set_connect_state(raw->ssl);
    uv_idle_init(&loop, &raw->idle);
    uv_idle_start(&raw->idle, on_idle);
}

static void raw_close(struct raw *raw)
{
    SSL_free(raw->ssl);
    SSL_CTX_free(raw->ctx);
    close(raw->fd);
    uv_close((uv_handle_t *)&raw->idle, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
}

/* Let it handshake and read. */
static void raw_step(struct raw *raw)
{
    size_t len;

    if (SSL_read_ex(raw->ssl, raw->got + raw->got_len, sizeof raw->got - raw->got_len, &len) == 1)
        raw->got_len += len;
}

struct raw_wish {
    struct raw *raw;
    size_t len;
};

static bool raw_has(void *ctx)
{
    struct raw_wish *wish = ctx;

    cr_assert_eq(accepted.end_count, 0, "%s", transport_why(&accepted.t));
    raw_step(wish->raw);
    return accepted.ready_count && wish->raw->got_len >= wish->len;
}

/* Everything that goes on after the handshake still does once the connection has been slimmed down:
 * data, KeyUpdate both ways, close_notify. */
Test(tls, key_updates_keep_the_connection)
{
    static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                          "TLS_CHACHA20_POLY1305_SHA256"};

    setup();
    for (size_t i = 0; i < 2 * ARRAY_LEN(ciphers); i++) { /* twice: made, and shared */
        struct raw raw;
        struct raw_wish wish = {&raw, 0};

        accepted.echo = true;
        raw_open(&raw, TLS1_3_VERSION);
        cr_assert_eq(SSL_set_ciphersuites(raw.ssl, ciphers[i % ARRAY_LEN(ciphers)]), 1);
        run_until(&loop, raw_has, &wish);
        cr_assert_str_eq(SSL_get_cipher_name(raw.ssl), ciphers[i % ARRAY_LEN(ciphers)]);
        cr_assert_str_eq(transport_peer(&accepted.t)->common_name, "bike-1");
        for (int update = 0; update < 20; update++) {
            cr_assert_eq(SSL_key_update(raw.ssl, update % 2 ? SSL_KEY_UPDATE_REQUESTED
                                                            : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
            cr_assert_eq(SSL_write(raw.ssl, "tick", 4), 4);
            wish.len += 4;
            run_until(&loop, raw_has, &wish);
        }
        cr_assert_eq(raw.got_len, 80);
        SSL_shutdown(raw.ssl);
        run_until(&loop, end_has_ended, &accepted);
        cr_assert_eq(accepted.end_err, 0);
        transport_close(&accepted.t, 0);
        run_until(&loop, end_is_closed, &accepted);
        while (SSL_read(raw.ssl, raw.got, 1) > 0)
            ;
        cr_assert_eq(SSL_get_shutdown(raw.ssl), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        raw_close(&raw);
        close_ends();
    }
    teardown();
}

static bool raw_failed(void *ctx)
{
    struct raw *raw = ctx;

    raw_step(raw);
    return SSL_get_error(raw->ssl, SSL_do_handshake(raw->ssl)) == SSL_ERROR_SSL;
}

Test(tls, version_1_2_gets_in_and_may_not_renegotiate)
{
    struct raw raw;
    struct raw_wish wish = {&raw, 0};

    setup();
    accepted.echo = true;
    raw_open(&raw, TLS1_2_VERSION);
    run_until(&loop, raw_has, &wish);
    cr_assert_eq(SSL_version(raw.ssl), TLS1_2_VERSION);
    cr_assert(transport_peer(&accepted.t)->present);
    cr_assert_eq(SSL_write(raw.ssl, "hello", 5), 5);
    wish.len = 5;
    run_until(&loop, raw_has, &wish);
    cr_assert_eq(SSL_session_reused(raw.ssl), 0);
    cr_assert_eq(SSL_renegotiate(raw.ssl), 1);
    run_until(&loop, raw_failed, &raw);
    cr_assert_eq(accepted.ready_count, 1);
    raw_close(&raw);
    teardown();
}

static bool raw_floods(void *ctx)
{
    struct raw *raw = ctx;

    for (int i = 0; i < 50; i++) {
        SSL_key_update(raw->ssl, SSL_KEY_UPDATE_REQUESTED);
        if (SSL_do_handshake(raw->ssl) != 1)
            break;
    }
    return accepted.end_count > 0;
}

/* It would make us keep answers without end. */
Test(tls, who_asks_for_answers_and_does_not_read_them_is_ended)
{
    int small = 4096;
    struct raw raw;
    struct raw_wish wish = {&raw, 0};
    uv_os_fd_t fd;

    setup();
    raw_open(&raw, TLS1_3_VERSION);
    run_until(&loop, raw_has, &wish);
    uv_fileno((uv_handle_t *)&accepted.t.tcp, &fd);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    run_until(&loop, raw_floods, &raw);
    cr_assert(accepted.end_err == ERR_FULL || accepted.end_err == ERR_TLS, "%d", accepted.end_err);
    raw_close(&raw);
    teardown();
}

/* Bytes that no key of the connection made. */
Test(tls, a_forged_record_ends_the_connection)
{
    static const uint8_t forged[] = {0x17, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
                                     9,    10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
                         huge[] = {0x17, 3, 3, 0xff, 0xff, 1, 2, 3};
    const struct {
        const uint8_t *bytes;
        size_t len;
    } rows[] = {{forged, sizeof forged}, {huge, sizeof huge}};

    setup();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw raw;
        struct raw_wish wish = {&raw, 0};

        raw_open(&raw, TLS1_3_VERSION);
        run_until(&loop, raw_has, &wish);
        cr_assert_eq(write(raw.fd, rows[i].bytes, rows[i].len), (ssize_t)rows[i].len);
        run_until(&loop, end_has_ended, &accepted);
        cr_expect_eq(accepted.end_err, ERR_TLS, "row %zu", i);
        cr_expect_eq(accepted.got_len, 0, "row %zu", i);
        raw_close(&raw);
        close_ends();
    }
    teardown();
}

/* ---- many at once ---- */

enum { PLACES = 500, CROWD = PLACES + 20 };

static struct end crowd[CROWD + 1];
static size_t crowd_count;

static void on_crowd_connection(void *ctx, uv_tcp_t *tcp)
{
    struct end *e = &crowd[crowd_count++];

    (void)ctx;
    e->loop = net;
    cr_assert_eq(transport_accept(&e->t, net, tcp, server, &end_events), 0);
}

static int crowd_fds[CROWD];

/* How many have got the server's side of the handshake. */
static size_t crowd_answered(void)
{
    size_t answered = 0;
    char byte;

    for (size_t i = 0; i < CROWD; i++)
        answered += recv(crowd_fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    return answered;
}

static bool places_are_taken(void *ctx)
{
    (void)ctx;
    return crowd_answered() >= PLACES;
}

static bool crowd_is_complete(void *ctx)
{
    return crowd_count >= *(size_t *)ctx;
}

static size_t hello_of_today(uint8_t *out, size_t room)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *to = BIO_new(BIO_s_mem());
    int len;

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), to);
    SSL_connect(ssl);
    len = BIO_read(to, out, (int)room);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return (size_t)len;
}

/* Who began a handshake and goes no further holds one of a bounded number of places; the rest wait
 * as bare sockets and get theirs when one is free. */
Test(tls, handshakes_under_way_are_bounded)
{
    struct listener_address at = {.host = "127.0.0.1"};
    struct listener *l;
    struct tls_client *as;
    uint8_t hello[2048];
    size_t hello_len = hello_of_today(hello, sizeof hello), wanted;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    setup();
    cr_assert_eq(listener_open(&l, &loop, &at, on_crowd_connection, NULL, NULL), 0);
    to.sin_port = htons(listener_port(l));
    for (size_t i = 0; i < CROWD; i++) {
        crowd_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (crowd_fds[i] < 0)
            cr_skip_test("the limit of open files is too low");
        cr_assert_eq(connect(crowd_fds[i], (struct sockaddr *)&to, sizeof to), 0);
        cr_assert_eq(write(crowd_fds[i], hello, hello_len), (ssize_t)hello_len);
        wanted = i + 1;
        run_until(&loop, crowd_is_complete, &wanted);
    }
    run_until(&loop, places_are_taken, NULL);
    as = new_client("bike", "ca");
    connect_client(as, "127.0.0.1", listener_port(l));
    for (int i = 0; i < 200; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    cr_assert_eq(client.ready_count, 0, "no place is free");
    cr_assert_eq(crowd_answered(), PLACES);

    for (size_t i = 0; i < CROWD; i++)
        close(crowd_fds[i]);
    for (size_t i = 0; i < CROWD; i++) {
        run_until(&loop, end_has_ended, &crowd[i]);
        transport_close(&crowd[i].t, 0);
    }
    run_until(&loop, end_is_ready, &client);
    run_until(&loop, end_is_ready, &crowd[CROWD]);
    ends_fini(&loop, crowd, CROWD + 1);
    listener_close(l);
    tls_client_free(as);
    teardown();
}
