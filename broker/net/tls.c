/* One TLS connection, and what those of one loop share.
 *
 * 1. libssl is fed from `in` and writes to `out`, both of the loop, through one BIO without buffers
 *    that all SSL objects share; `current` says whose call is under way. Never two at a time: no
 *    callback of the owner runs inside a call of libssl.
 * 2. It is fed whole records only. The rest of a record waits in `held`, cut to its size, because
 *    libssl would take a buffer of 16 KiB for three bytes.
 * 3. A server's SSL is made once a whole ClientHello has come and fewer than HANDSHAKES_MAX are
 *    under way; until then a connection is its socket and a `struct tls`. Those that wait are not
 *    read from, and are taken in the order they came, HANDSHAKES_A_TURN in a loop turn, so that a
 *    storm of reconnects does not hold up who is connected.
 * 4. `shaking` is in the order of `due_ms`, as all get the same time; the time spent waiting for a
 *    place does not count.
 * 5. A pause inside on_bytes leaves ciphertext in `held` (or plaintext in libssl): `owed`. Nothing
 * is read from the socket until that has been delivered, from the timer and not from inside
 *    transport_resume(). */
#include "broker/base/list.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/net/net_priv.h"

#include <openssl/bio.h>
#include <openssl/err.h>

enum {
    IN_BYTES = 64 * 1024,
    OUT_BYTES = 64 * 1024,
    PLAIN_MAX = 16 * 1024,     /* in one record */
    RECORD_MAX = 16384 + 2048, /* beyond it libssl refuses */
    HEADER_BYTES = 5,          /* type, version, length */
    HELLO_MAX = 4 * 1024,      /* first record of a client */
    RECORD_HANDSHAKE = 0x16,
    HANDSHAKES_MAX = 500,
    HANDSHAKES_A_TURN = 16,
    HANDSHAKE_MS = 10 * 1000,
    UNSENT_MAX = 256 * 1024, /* of replies that the peer's records made libssl write */
    CIPHERS_MAX = 3,         /* of TLS 1.3 that we offer */
};

enum tls_stage {
    STAGE_BARE,    /* no SSL yet */
    STAGE_QUEUED,  /* a ClientHello waits for its turn */
    STAGE_SHAKING, /* has an SSL */
    STAGE_OPEN,
    STAGE_FAILED, /* libssl must not be asked again */
};

struct tls {
    struct transport *transport;
    struct tls_server *server; /* NULL: the client's side */
    SSL *ssl;
    struct list link; /* in one list of the loop, or none */
    uint64_t due_ms;  /* while shaking: the loop's time */
    uint8_t *held;
    uint32_t held_len;
    uint8_t stage;
    bool counted; /* in `handshakes` */
    bool owed;
    struct transport_peer peer;
};

struct tls_loop {
    struct net_loop *net;
    BIO *bio;
    struct tls *current;
    struct str in;
    size_t out_len;
    struct list shaking, queued, resumed;
    uint64_t turn_ms; /* of `started` */
    uint32_t started, handshakes;
    SSL_CTX *slim_ctx; /* what every open connection has; NULL until the first */
    SSL_SESSION *slim_sessions[CIPHERS_MAX]; /* one a cipher; NULL from the first unused on */
    uv_timer_t *timer;                       /* NULL when nothing waits; frees itself */
    struct err_detail why;                   /* of the verify callback that ran last */
    uint8_t in_room[IN_BYTES];
    uint8_t out[OUT_BYTES];
};

static struct tls_loop *loop_of(const struct tls *tls)
{
    return tls->transport->loop->tls;
}

/* ---- between libssl and the loop's buffers ---- */

/* Give the socket what libssl wrote. */
static int flush(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);
    struct str bytes = str_of_bytes(l->out, l->out_len);

    l->out_len = 0;
    return bytes.len ? transport_send_raw(tls->transport, bytes) : 0;
}

static int bio_read(BIO *bio, char *to, int room)
{
    struct tls_loop *l = BIO_get_data(bio);
    size_t len = l->in.len < (size_t)room ? l->in.len : (size_t)room;

    BIO_clear_retry_flags(bio);
    if (len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, l->in.at, len);
    l->in = str_of_bytes(l->in.at + len, l->in.len - len);
    return (int)len;
}

static int bio_write(BIO *bio, const char *from, int len)
{
    struct tls_loop *l = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (l->out_len + (size_t)len > OUT_BYTES && flush(l->current))
        return -1;
    if ((size_t)len > OUT_BYTES)
        return -1;
    memcpy(l->out + l->out_len, from, (size_t)len);
    l->out_len += (size_t)len;
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* we flush once the call is over */
}

static BIO_METHOD *method; /* one for the process; never freed */

static void method_make(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "freehub");
    if (!method)
        return;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

static int tls_loop_new(struct net_loop *net)
{
    static uv_once_t once = UV_ONCE_INIT;
    struct tls_loop *l = mem_try(sizeof *l);

    uv_once(&once, method_make);
    if (!l || !method)
        goto nomem;
    memset(l, 0, offsetof(struct tls_loop, in_room));
    l->net = net;
    l->bio = BIO_new(method);
    if (!l->bio)
        goto nomem;
    BIO_set_data(l->bio, l);
    BIO_set_init(l->bio, 1);
    list_init(&l->shaking);
    list_init(&l->queued);
    list_init(&l->resumed);
    net->tls = l;
    return 0;
nomem:
    mem_free(l);
    return ERR_NOMEM;
}

void tls_loop_free(struct tls_loop *l)
{
    if (!l)
        return;
    ASSERT(l->timer == NULL && l->handshakes == 0); /* the last transport has closed */
    for (size_t i = 0; i < CIPHERS_MAX; i++)
        SSL_SESSION_free(l->slim_sessions[i]);
    SSL_CTX_free(l->slim_ctx);
    BIO_free(l->bio);
    mem_free(l);
}

/* Around every call of libssl: whose it is, and what it may read. */
static void enter(struct tls *tls, struct str in)
{
    struct tls_loop *l = loop_of(tls);

    ASSERT(l->current == NULL && l->out_len == 0);
    l->current = tls;
    l->in = in;
    ERR_clear_error();
}

/* Returns what libssl left unread. */
static struct str leave(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);
    struct str rest = l->in;

    l->current = NULL;
    l->in = (struct str){NULL, 0};
    return rest;
}

int tls_on_verify(X509_STORE_CTX *store, void *unused)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_loop *l = BIO_get_data(SSL_get_rbio(ssl));

    (void)unused;
    return tls_server_judge(l->current->server, store, &l->current->peer, &l->why);
}

/* ---- why it failed ---- */

static const char *reason_of_error(void)
{
    static const struct {
        int reason;
        const char *text;
    } known[] = {
        {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "no certificate"},
        {SSL_R_UNSUPPORTED_PROTOCOL, "protocol too old: TLS 1.2 is the oldest accepted"},
        {SSL_R_VERSION_TOO_LOW, "protocol too old: TLS 1.2 is the oldest accepted"},
        {SSL_R_WRONG_VERSION_NUMBER, "not TLS, or a version that does not exist"},
        {SSL_R_NO_SHARED_CIPHER, "no cipher in common"},
        {SSL_R_NO_SUITABLE_GROUPS, "no key exchange group in common"},
        {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no signature algorithm in common"},
        {SSL_R_TLSV1_ALERT_DECRYPT_ERROR, "the peer cannot verify our certificate or signature"},
        {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the peer does not know the CA of our certificate"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "the peer says that our certificate has expired"},
        {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "the peer refused our certificate"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the peer refused our certificate"},
        {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the peer wants a certificate"},
        {SSL_R_EXCESSIVE_MESSAGE_SIZE, "a certificate chain longer than 8 KiB"},
    };
    unsigned long error = ERR_peek_last_error();
    const char *text;

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (ERR_GET_REASON(error) == known[i].reason)
            return known[i].text;
    text = ERR_reason_error_string(error);
    return text ? text : "TLS failure";
}

static void log_refused(struct tls *tls, const char *why)
{
    char address[TRANSPORT_ADDRESS_MAX];
    size_t len = transport_address(tls->transport, address, sizeof address);

    LOG_WARN("tls_refused", F_STR("address", str_of_bytes(address, len)),
             F_STR("cn", str_of_bytes(tls->peer.common_name, tls->peer.common_name_len)),
             F_TEXT("why", why));
}

/* ---- handshakes ---- */

static void arm(struct tls_loop *l);

/* It needs no place, deadline or turn any more. */
static void settle(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);

    list_remove(&tls->link);
    if (tls->counted)
        l->handshakes--;
    tls->counted = false;
    arm(l);
}

static void drop_held(struct tls *tls)
{
    mem_free(tls->held);
    tls->held = NULL;
    tls->held_len = 0;
}

/* It ends here, whatever stage it is in: send the alert, tell the log and the owner. `why` for the
 * owner is constant; `detail`, for the log, may say more. */
static void fail(struct tls *tls, int err, const char *why, const char *detail)
{
    bool was_shaking = tls->stage < STAGE_OPEN;

    tls->stage = STAGE_FAILED;
    (void)!flush(tls); /* the alert is a courtesy */
    settle(tls);
    drop_held(tls);
    if (was_shaking && tls->server && detail)
        log_refused(tls, detail);
    transport_end(tls->transport, err, why);
}

static void fail_of_libssl(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);
    const char *why = reason_of_error();
    bool judged = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED;

    if (judged && !tls->server)
        why = X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl));
    else if (judged)
        why = "the certificate was refused";
    fail(tls, ERR_TLS, why, judged && tls->server ? l->why.text : why);
    ERR_clear_error();
}

/* Keep what was not processed. False when there is no memory, and then it has ended. */
static bool hold(struct tls *tls, struct str rest)
{
    ASSERT(tls->held == NULL);
    if (rest.len == 0)
        return true;
    tls->held = mem_try(rest.len);
    if (!tls->held) {
        fail(tls, ERR_NOMEM, "out of memory", "out of memory");
        return false;
    }
    memcpy(tls->held, rest.at, rest.len);
    tls->held_len = (uint32_t)rest.len;
    return true;
}

/* The length of the whole records at the front of `in`. A length that no record has counts as
 * whole, so that libssl refuses it with the right alert. */
static size_t whole_records(struct str in)
{
    size_t at = 0;

    while (in.len - at >= HEADER_BYTES) {
        const uint8_t *header = (const uint8_t *)in.at + at;
        size_t len = (size_t)header[3] << 8 | header[4];

        if (len > RECORD_MAX)
            return in.len;
        if (in.len - at - HEADER_BYTES < len)
            break;
        at += HEADER_BYTES + len;
    }
    return at;
}

/* Judge a client's first bytes without OpenSSL. Returns NULL when it may go on, and then `*whole`
 * tells whether its first record is all there. */
static const char *hello_fault(struct str in, bool *whole)
{
    const uint8_t *at = (const uint8_t *)in.at;
    size_t len;

    *whole = false;
    if (at[0] != RECORD_HANDSHAKE || (in.len > 1 && at[1] != 3))
        return "plain bytes on a TLS port";
    if (in.len < HEADER_BYTES)
        return NULL;
    len = (size_t)at[3] << 8 | at[4];
    if (len > HELLO_MAX)
        return "a ClientHello longer than 4 KiB";
    *whole = in.len >= HEADER_BYTES + len;
    return NULL;
}

static bool place_is_free(struct tls_loop *l)
{
    uint64_t now = uv_now(l->net->loop);

    if (l->turn_ms != now) {
        l->turn_ms = now;
        l->started = 0;
    }
    return l->handshakes < HANDSHAKES_MAX && l->started < HANDSHAKES_A_TURN;
}

static void give_time(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);

    tls->due_ms = uv_now(l->net->loop) + HANDSHAKE_MS;
    list_remove(&tls->link);
    list_push_back(&l->shaking, &tls->link);
    arm(l);
}

static void attach(struct tls *tls, SSL *ssl)
{
    struct tls_loop *l = loop_of(tls);

    tls->ssl = ssl;
    tls->stage = STAGE_SHAKING;
    BIO_up_ref(l->bio);
    SSL_set_bio(ssl, l->bio, l->bio); /* one reference for both directions */
}

static bool start_handshake(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);
    SSL *ssl = tls_server_ssl(tls->server);

    if (!ssl) {
        fail(tls, ERR_NOMEM, "out of memory", "out of memory");
        return false;
    }
    attach(tls, ssl);
    tls->counted = true;
    l->handshakes++;
    l->started++;
    give_time(tls);
    return true;
}

/* The loop's shared session for `cipher`; NULL when it cannot be made. */
static SSL_SESSION *slim_session(struct tls_loop *l, const SSL_CIPHER *cipher)
{
    SSL_SESSION *made;
    size_t i;

    for (i = 0; i < CIPHERS_MAX && l->slim_sessions[i]; i++)
        if (SSL_SESSION_get0_cipher(l->slim_sessions[i]) == cipher)
            return l->slim_sessions[i];
    if (i == CIPHERS_MAX)
        return NULL;
    made = SSL_SESSION_new();
    if (made && (SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION) != 1 ||
                 SSL_SESSION_set_cipher(made, cipher) != 1)) {
        SSL_SESSION_free(made);
        made = NULL;
    }
    l->slim_sessions[i] = made;
    return made;
}

/* Drop what only the handshake needed; see 6. above. A connection that cannot stays as it is. */
static void slim_down(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);
    SSL_SESSION *session;

    if (!tls->server || SSL_version(tls->ssl) != TLS1_3_VERSION || OPENSSL_version_major() != 3 ||
        OPENSSL_version_minor() != 0)
        return;
    if (!l->slim_ctx)
        l->slim_ctx = tls_slim_ctx(tls->ssl);
    session = slim_session(l, SSL_get_current_cipher(tls->ssl));
    if (!l->slim_ctx || !session ||
        SSL_CTX_get_ssl_method(l->slim_ctx) != SSL_get_ssl_method(tls->ssl))
        return;
    if (SSL_set_SSL_CTX(tls->ssl, l->slim_ctx))
        SSL_set_session(tls->ssl, session);
}

/* Returns true when the handshake is over and `*in` may be read as data. */
static bool shake(struct tls *tls, struct str *in)
{
    struct transport *t = tls->transport;
    int rc, err;

    enter(tls, *in);
    rc = SSL_do_handshake(tls->ssl);
    err = SSL_get_error(tls->ssl, rc);
    *in = leave(tls);
    if (rc == 1) {
        tls->stage = STAGE_OPEN;
        if (flush(tls)) {
            fail(tls, ERR_NETWORK, t->why, t->why);
            return false;
        }
        slim_down(tls);
        settle(tls);
        t->state = TRANSPORT_OPEN;
        t->events->on_ready(t);
        return t->state == TRANSPORT_OPEN;
    }
    if (err != SSL_ERROR_WANT_READ)
        fail_of_libssl(tls);
    else if (flush(tls))
        fail(tls, ERR_NETWORK, t->why, t->why);
    return false;
}

/* ---- data ---- */

/* Fill `room` from libssl. Returns libssl's verdict on why it stopped; SSL_ERROR_NONE: full. */
static int decrypt(struct tls *tls, struct net_room room, struct str *in, size_t *filled)
{
    int rc = 1, err = SSL_ERROR_NONE;

    *filled = 0;
    enter(tls, *in);
    while (rc == 1 && *filled < room.len) {
        size_t len = 0;

        rc = SSL_read_ex(tls->ssl, room.at + *filled, room.len - *filled, &len);
        *filled += len;
    }
    if (rc != 1)
        err = SSL_get_error(tls->ssl, rc);
    *in = leave(tls);
    return err;
}

/* Deliver what `*in` (whole records) holds until it is used up, the owner pauses or it ends.
 * Returns false when it has ended. */
static bool deliver(struct tls *tls, struct str *in)
{
    struct transport *t = tls->transport;

    for (;;) {
        struct net_room room = t->events->on_room(t);
        size_t filled;
        int rc, verdict = decrypt(tls, room, in, &filled);
        const char *fault =
            verdict == SSL_ERROR_SSL || verdict == SSL_ERROR_SYSCALL ? reason_of_error() : NULL;

        /* What libssl answered (to a KeyUpdate; an alert) leaves before the owner's own bytes. */
        if (loop_of(tls)->out_len > 0 && transport_pending(t) > UNSENT_MAX) {
            loop_of(tls)->out_len = 0;
            fail(tls, ERR_TLS, "it asks for answers and does not read them", NULL);
            return false;
        }
        rc = flush(tls);
        if (rc) {
            fail(tls, rc, rc == ERR_NETWORK ? t->why : err_text(rc), NULL);
            return false;
        }
        if (filled > 0)
            t->events->on_bytes(t, filled);
        if (t->state != TRANSPORT_OPEN)
            return false;
        if (fault) {
            fail(tls, ERR_TLS, fault, NULL);
            return false;
        }
        if (verdict == SSL_ERROR_ZERO_RETURN) {
            transport_end(t, 0, NULL);
            return false;
        }
        if (verdict != SSL_ERROR_NONE) /* it wants more records */
            return true;
        if (!t->reading) {
            tls->owed = true;
            return true;
        }
    }
}

/* Use `in`, which lies in the loop's buffer, as far as it goes. */
static void process(struct tls *tls, struct str in)
{
    size_t whole_len = whole_records(in);
    struct str whole = str_of_bytes(in.at, whole_len);

    if (tls->stage == STAGE_SHAKING && whole.len > 0 && !shake(tls, &whole)) {
        if (tls->stage == STAGE_SHAKING)
            hold(tls, str_of_bytes(in.at + whole_len, in.len - whole_len));
        return;
    }
    if (tls->stage == STAGE_OPEN && !tls->transport->reading)
        tls->owed = true; /* on_ready paused it */
    else if (tls->stage == STAGE_OPEN && !deliver(tls, &whole))
        return;
    hold(tls, str_of_bytes(in.at + whole_len - whole.len, in.len - whole_len + whole.len));
}

struct net_room tls_room(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);
    /* Who waits for a place holds no more than the ClientHello. */
    size_t bound = tls->stage == STAGE_BARE ? HEADER_BYTES + HELLO_MAX : IN_BYTES;

    ASSERT(tls->held_len < bound);
    if (tls->held_len > 0)
        memcpy(l->in_room, tls->held, tls->held_len);
    return (struct net_room){l->in_room + tls->held_len, bound - tls->held_len};
}

/* A server's side without an SSL: wait for a whole ClientHello, and for a place. Returns true when
 * the handshake may begin. */
static bool admit(struct tls *tls, struct str in)
{
    struct tls_loop *l = loop_of(tls);
    bool whole;
    const char *fault = hello_fault(in, &whole);

    if (fault) {
        fail(tls, ERR_TLS, fault, fault);
        return false;
    }
    if (whole && list_is_empty(&l->queued) && place_is_free(l))
        return start_handshake(tls);
    if (!hold(tls, in) || !whole)
        return false;
    tls->stage = STAGE_QUEUED;
    transport_read_stop(tls->transport);
    list_remove(&tls->link);
    list_push_back(&l->queued, &tls->link);
    arm(l);
    return false;
}

void tls_on_bytes(struct tls *tls, size_t len)
{
    struct str in = str_of_bytes(loop_of(tls)->in_room, tls->held_len + len);

    drop_held(tls);
    if (tls->stage == STAGE_BARE && !admit(tls, in))
        return;
    process(tls, in);
}

void tls_on_end(struct tls *tls, int err, const char *why)
{
    const char *cause = why ? why : "closed by the peer during the handshake";

    if (tls->stage == STAGE_OPEN || tls->stage == STAGE_FAILED) {
        transport_end(tls->transport, err ? err : ERR_CLOSED, why);
        return;
    }
    /* Who connects and says nothing, as health checks do, is not worth a line. */
    fail(tls, err ? err : ERR_CLOSED, cause, tls->ssl || tls->held_len ? cause : NULL);
}

int tls_send(struct tls *tls, struct str bytes)
{
    size_t sent = 0;

    enter(tls, (struct str){NULL, 0});
    while (sent < bytes.len) {
        size_t len = bytes.len - sent < PLAIN_MAX ? bytes.len - sent : PLAIN_MAX;
        size_t taken;

        if (SSL_write_ex(tls->ssl, bytes.at + sent, len, &taken) != 1) {
            leave(tls);
            loop_of(tls)->out_len = 0;
            tls->stage = STAGE_FAILED;
            if (!tls->transport->why)
                tls->transport->why = reason_of_error();
            return ERR_TLS;
        }
        sent += taken;
    }
    leave(tls);
    return flush(tls);
}

void tls_goodbye(struct tls *tls)
{
    settle(tls);
    if (tls->stage != STAGE_OPEN || tls->transport->state == TRANSPORT_BROKEN)
        return;
    tls->stage = STAGE_FAILED; /* nothing more is asked of libssl */
    enter(tls, (struct str){NULL, 0});
    SSL_shutdown(tls->ssl);
    leave(tls);
    (void)!flush(tls); /* it is a courtesy */
}

void tls_resume(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);

    if (tls->owed) {
        if (!list_is_linked(&tls->link))
            list_push_back(&l->resumed, &tls->link);
        arm(l);
    } else if (tls->stage != STAGE_QUEUED) {
        int rc = transport_read_start(tls->transport);

        ASSERT(rc == 0); /* it fails only on a handle that is closing or was never connected */
    }
}

const struct transport_peer *tls_peer(const struct tls *tls)
{
    return &tls->peer;
}

/* ---- the loop's timer: whose turn it is, whose time is over ---- */

static struct tls *tls_of(struct list *link)
{
    return CONTAINER_OF(link, struct tls, link);
}

/* Process what it holds, and then read on. */
static void go_on(struct tls *tls)
{
    struct tls_loop *l = loop_of(tls);
    struct str in = str_of_bytes(l->in_room, tls->held_len);

    if (tls->transport->state > TRANSPORT_OPEN)
        return;
    if (tls->held_len > 0)
        memcpy(l->in_room, tls->held, tls->held_len);
    drop_held(tls);
    process(tls, in);
    if (tls->stage <= STAGE_OPEN && tls->transport->state <= TRANSPORT_OPEN &&
        tls->transport->reading && !tls->owed && transport_read_start(tls->transport))
        transport_end(tls->transport, ERR_NETWORK, "cannot read");
}

static void on_timer(uv_timer_t *timer)
{
    struct tls_loop *l = timer->data;
    struct list resumed;
    struct list *link;

    list_init(&resumed);
    list_move_all(&resumed, &l->resumed);
    while ((link = list_pop_front(&resumed)) != NULL) {
        struct tls *tls = tls_of(link);

        if (tls->transport->reading) { /* else it was paused again meanwhile */
            tls->owed = false;
            go_on(tls);
        }
    }
    while (!list_is_empty(&l->queued) && place_is_free(l)) {
        struct tls *tls = tls_of(list_pop_front(&l->queued));

        if (start_handshake(tls))
            go_on(tls);
    }
    while (!list_is_empty(&l->shaking)) {
        struct tls *tls = tls_of(l->shaking.next);

        if (tls->due_ms > uv_now(l->net->loop))
            break;
        fail(tls, ERR_TIMEOUT, "the TLS handshake took longer than 10 s",
             tls->ssl || tls->held_len ? "the TLS handshake took longer than 10 s" : NULL);
    }
    arm(l);
}

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle);
}

/* Set the timer for whatever is next. It exists only while something waits, so that a loop without
 * TLS connections has no handle of ours left. */
static void arm(struct tls_loop *l)
{
    uint64_t now = uv_now(l->net->loop), wait_ms = 0;
    bool turn = !list_is_empty(&l->resumed) ||
                (!list_is_empty(&l->queued) && l->handshakes < HANDSHAKES_MAX);

    if (!turn && list_is_empty(&l->shaking)) {
        if (l->timer)
            uv_close((uv_handle_t *)l->timer, on_timer_closed);
        l->timer = NULL;
        return;
    }
    if (!turn) {
        uint64_t due = tls_of(l->shaking.next)->due_ms;

        wait_ms = due > now ? due - now : 0;
    } else if (list_is_empty(&l->resumed) && !place_is_free(l)) {
        wait_ms = 1; /* a later turn: this one has started enough */
    }
    if (!l->timer) {
        l->timer = MEM_NEW(uv_timer_t);
        uv_timer_init(l->net->loop, l->timer);
        l->timer->data = l;
    }
    uv_timer_start(l->timer, on_timer, wait_ms, 0);
}

/* ---- life ---- */

static int tls_new(struct transport *t)
{
    struct tls *tls;

    if (!t->loop->tls && tls_loop_new(t->loop))
        return ERR_NOMEM;
    tls = MEM_NEW(struct tls);
    tls->transport = t;
    t->tls = tls;
    return 0;
}

int tls_serve(struct transport *t, struct tls_server *server)
{
    int rc = tls_new(t);

    if (rc)
        return rc;
    tls_server_ref(server);
    t->tls->server = server;
    give_time(t->tls);
    return 0;
}

int tls_connect(struct transport *t, struct tls_client *client, const char *host)
{
    SSL *ssl = tls_client_ssl(client, host);
    int rc = ssl ? tls_new(t) : ERR_NOMEM;

    if (rc) {
        SSL_free(ssl);
        return rc;
    }
    attach(t->tls, ssl);
    return 0;
}

void tls_client_start(struct tls *tls)
{
    struct str nothing = {NULL, 0};

    give_time(tls);
    shake(tls, &nothing);
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    settle(tls);
    SSL_free(tls->ssl);
    tls_server_unref(tls->server);
    drop_held(tls);
    mem_free(tls);
}
