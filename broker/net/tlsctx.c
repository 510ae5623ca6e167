#include "broker/net/tlsctx.h"

#include "broker/base/mem.h"
#include "broker/net/net_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* RFC 9325 without what is not ECDHE with AEAD. AES-128 first: the cheapest where the processor has
 * AES, and every bike's TLS 1.3 offers it. */
#define CIPHERS_TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_TLS12                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256"

enum {
    CHAIN_BYTES_MAX = 8 * 1024,
    SECURITY_LEVEL = 2,
};

struct tls_server {
    SSL_CTX *ctx;
    atomic_uint refs;
    int (*accept_peer)(void *ctx, const struct transport_peer *peer, struct err_detail *detail);
    void *accept_peer_ctx;
};

struct tls_client {
    SSL_CTX *ctx;
};

/* ---- files ---- */

/* Say why OpenSSL could not use `file` as `what`. */
static int bad_file(const char *file, const char *what, struct err_detail *detail)
{
    unsigned long first = ERR_peek_error(), last = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(last);
    int fd = open(file, O_RDONLY | O_CLOEXEC), rc;

    ERR_clear_error();
    if (fd < 0)
        return err_set(detail, err_from_errno(errno), "cannot read %s: %s", file, strerror(errno));
    close(fd);
    if ((ERR_GET_LIB(first) == ERR_LIB_PEM && ERR_GET_REASON(first) == PEM_R_NO_START_LINE) ||
        (ERR_GET_LIB(last) == ERR_LIB_X509 &&
         ERR_GET_REASON(last) == X509_R_NO_CERTIFICATE_OR_CRL_FOUND) ||
        ERR_GET_REASON(last) == ERR_R_UNSUPPORTED)
        rc = err_set(detail, ERR_INVALID, "%s holds no %s in PEM form", file, what);
    else
        rc = err_set(detail, ERR_INVALID, "%s: the %s cannot be used: %s", file, what,
                     text ? text : "unknown reason");
    return rc;
}

/* Nobody is asked for a passphrase on a server's terminal. The type is OpenSSL's. */
// NOLINTNEXTLINE(readability-non-const-parameter)
static int no_passphrase(char *out, int room, int is_write, void *ctx)
{
    (void)out;
    (void)room;
    (void)is_write;
    *(bool *)ctx = true;
    return -1;
}

static int key_use(SSL_CTX *ctx, const char *file, const char *certificate_file,
                   struct err_detail *detail)
{
    bool is_encrypted = false;
    EVP_PKEY *key = NULL;
    BIO *bio = NULL;
    struct stat info;
    int rc = 0;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &info)) {
        rc = err_set(detail, err_from_errno(errno), "cannot read %s: %s", file, strerror(errno));
        goto out;
    }
    if (info.st_mode & (S_IRWXO | S_IWGRP)) {
        rc = err_set(detail, ERR_DENIED,
                     "%s is a private key that others may read (mode %04o): chmod 600 %s", file,
                     (unsigned)info.st_mode & 07777, file);
        goto out;
    }
    bio = BIO_new_fd(fd, BIO_NOCLOSE);
    if (!bio) {
        rc = ERR_NOMEM;
        goto out;
    }
    key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &is_encrypted);
    if (is_encrypted)
        rc = err_set(detail, ERR_INVALID,
                     "%s is encrypted: store it in clear, readable for the service only", file);
    else if (!key)
        rc = bad_file(file, "private key", detail);
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        rc = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH
                 ? err_set(detail, ERR_INVALID, "%s is not the key of %s", file, certificate_file)
                 : bad_file(file, "private key", detail);
out:
    EVP_PKEY_free(key);
    BIO_free(bio);
    if (fd >= 0)
        close(fd);
    ERR_clear_error();
    return rc;
}

static int pair_use(SSL_CTX *ctx, const char *certificate_file, const char *key_file,
                    struct err_detail *detail)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate_file) != 1)
        return bad_file(certificate_file, "certificate", detail);
    return key_use(ctx, key_file, certificate_file, detail);
}

/* Trust exactly what `file` holds, an intermediate CA without its root included. */
static int trust(SSL_CTX *ctx, const char *file, struct err_detail *detail)
{
    if (SSL_CTX_load_verify_file(ctx, file) != 1)
        return bad_file(file, "CA certificate", detail);
    X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    return 0;
}

/* ---- what server and client have in common ---- */

static SSL_CTX *ctx_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx)
        return NULL;
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0); /* a resumption that carries the certificate saves nothing */
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, CHAIN_BYTES_MAX);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, CIPHERS_TLS13) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) != 1 ||
        SSL_CTX_set1_groups_list(ctx, GROUPS) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* ---- server ---- */

static int ask_for_certificates(SSL_CTX *ctx, const struct tls_server_options *options,
                                struct err_detail *detail)
{
    STACK_OF(X509_NAME) * names;
    int rc = trust(ctx, options->client_ca_file, detail);

    if (rc)
        return rc;
    names = SSL_load_client_CA_file(options->client_ca_file);
    if (!names)
        return bad_file(options->client_ca_file, "CA certificate", detail);
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(
        ctx,
        SSL_VERIFY_PEER |
            (options->require_client_certificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    SSL_CTX_set_cert_verify_callback(ctx, tls_on_verify, NULL);
    return 0;
}

int tls_server_new(struct tls_server **out, const struct tls_server_options *options,
                   struct err_detail *detail)
{
    struct tls_server *server;
    int rc;

    if (options->require_client_certificate && !options->client_ca_file)
        return err_set(detail, ERR_INVALID,
                       "client certificates are required but no CA for them is set");
    server = MEM_NEW(struct tls_server);
    server->accept_peer = options->accept_peer;
    server->accept_peer_ctx = options->accept_peer_ctx;
    atomic_init(&server->refs, 1);
    server->ctx = ctx_new(TLS_server_method());
    rc = server->ctx ? pair_use(server->ctx, options->certificate_file, options->key_file, detail)
                     : err_set(detail, ERR_TLS, "OpenSSL cannot be set up");
    if (rc == 0 && options->client_ca_file)
        rc = ask_for_certificates(server->ctx, options, detail);
    if (rc) {
        tls_server_unref(server);
        return rc;
    }
    *out = server;
    return 0;
}

void tls_server_ref(struct tls_server *server)
{
    atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
}

void tls_server_unref(struct tls_server *server)
{
    if (!server || atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(server->ctx);
    mem_free(server);
}

SSL *tls_server_ssl(const struct tls_server *server)
{
    SSL *ssl = SSL_new(server->ctx);

    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

SSL_CTX *tls_slim_ctx(const SSL *ssl)
{
    return ctx_new(SSL_get_ssl_method(ssl));
}

static const char *refusal_of(int x509_error)
{
    switch (x509_error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "certificate has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "certificate is not valid yet";
    case X509_V_ERR_INVALID_PURPOSE:
        return "not a client certificate";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "signed by another CA";
    default:
        return X509_verify_cert_error_string(x509_error);
    }
}

/* Copy the one subject entry `nid` as UTF-8. Returns NULL, or what is wrong with it, and then it is
 * empty; none at all is not wrong. */
static const char *name_copy(X509_NAME *subject, int nid, char out[PEER_NAME_MAX + 1],
                             uint8_t *out_len)
{
    int at = X509_NAME_get_index_by_NID(subject, nid, -1);
    unsigned char *text = NULL;
    const char *fault = NULL;
    int len;

    *out_len = 0;
    out[0] = '\0';
    if (at < 0)
        return NULL;
    if (X509_NAME_get_index_by_NID(subject, nid, at) >= 0)
        return "more than one CN";
    len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (len < 0) {
        fault = "a CN that is not text";
    } else if (len > PEER_NAME_MAX) {
        fault = "a CN longer than 64 bytes";
    } else {
        memcpy(out, text, (size_t)len);
        out[len] = '\0';
        *out_len = (uint8_t)len;
    }
    OPENSSL_free(text);
    return fault;
}

static const char *peer_copy(X509 *certificate, struct transport_peer *out)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    unsigned len = sizeof out->fingerprint;
    const char *fault;

    fault = name_copy(subject, NID_commonName, out->common_name, &out->common_name_len);
    /* An OU that cannot be taken is none: a company's CA may put there what it likes. */
    (void)name_copy(subject, NID_organizationalUnitName, out->unit, &out->unit_len);
    if (!fault && X509_digest(certificate, EVP_sha256(), out->fingerprint, &len) != 1)
        fault = "no fingerprint can be taken of it";
    out->present = fault == NULL;
    return fault;
}

int tls_server_judge(const struct tls_server *server, X509_STORE_CTX *store,
                     struct transport_peer *out, struct err_detail *why)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    const char *fault = peer_copy(leaf, out); /* first, so that a refusal can name who */

    why->text[0] = '\0';
    if (X509_verify_cert(store) != 1) {
        err_set(why, ERR_TLS, "%s", refusal_of(X509_STORE_CTX_get_error(store)));
        goto refused;
    }
    /* OpenSSL would keep the leaf for as long as the connection lives. */
    X509_STORE_CTX_set0_verified_chain(store, NULL);
    if (fault) {
        err_set(why, ERR_TLS, "%s", fault);
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        goto refused;
    }
    if (server->accept_peer && server->accept_peer(server->accept_peer_ctx, out, why)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        goto refused;
    }
    return 1;
refused:
    out->present = false;
    return 0;
}

/* ---- client ---- */

int tls_client_new(struct tls_client **out, const struct tls_client_options *options,
                   struct err_detail *detail)
{
    struct tls_client *client = MEM_NEW(struct tls_client);
    int rc;

    client->ctx = ctx_new(TLS_client_method());
    if (!client->ctx) {
        rc = err_set(detail, ERR_TLS, "OpenSSL cannot be set up");
        goto out;
    }
    SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
    rc = trust(client->ctx, options->ca_file, detail);
    if (rc == 0 && options->certificate_file)
        rc = pair_use(client->ctx, options->certificate_file, options->key_file, detail);
out:
    if (rc) {
        tls_client_free(client);
        return rc;
    }
    *out = client;
    return 0;
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    SSL_CTX_free(client->ctx);
    mem_free(client);
}

SSL *tls_client_ssl(const struct tls_client *client, const char *host)
{
    SSL *ssl = SSL_new(client->ctx);
    X509_VERIFY_PARAM *param;

    if (!ssl)
        return NULL;
    SSL_set_connect_state(ssl);
    param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return ssl; /* an address has no server name indication */
    /* What SSL_set_tlsext_host_name() is, without its cast of the const away. */
    if (X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 without_const(host)) == 1)
        return ssl;
    SSL_free(ssl);
    return NULL;
}
