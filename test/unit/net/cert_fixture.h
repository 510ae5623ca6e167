/* Certificates of every kind, good and bad, made in a folder of the test's own. */
#ifndef FREEHUB_TEST_UNIT_NET_CERT_FIXTURE_H
#define FREEHUB_TEST_UNIT_NET_CERT_FIXTURE_H

#include "broker/base/base.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

struct cert_wish {
    struct str cn, second_cn, ou;
    long from_s, to_s; /* against now */
    const char *eku;   /* NULL: none */
    const char *san;
    bool is_ca;
};

static char cert_folder[64];

static inline const char *cert_path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", cert_folder, name);
    return path;
}

static inline void cert_extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    cr_assert_not_null(extension, "%s", value);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline void cert_name(X509_NAME *name, int nid, struct str value)
{
    if (value.at)
        cr_assert_eq(X509_NAME_add_entry_by_NID(name, nid, V_ASN1_UTF8STRING,
                                                (const unsigned char *)value.at, (int)value.len, -1,
                                                0),
                     1);
}

/* `issuer` NULL: signed by itself. */
static inline struct cert cert_make(const struct cert_wish *wish, const struct cert *issuer)
{
    struct cert c = {X509_new(), EVP_EC_gen("P-256")};
    X509_NAME *subject = X509_get_subject_name(c.x509);
    const struct cert *by = issuer ? issuer : &c;
    static long serial = 1;

    X509_set_version(c.x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c.x509), wish->from_s);
    X509_gmtime_adj(X509_getm_notAfter(c.x509), wish->to_s);
    cert_name(subject, NID_commonName, wish->cn);
    cert_name(subject, NID_commonName, wish->second_cn);
    cert_name(subject, NID_organizationalUnitName, wish->ou);
    X509_set_issuer_name(c.x509, X509_get_subject_name(by->x509));
    X509_set_pubkey(c.x509, c.key);
    cert_extend(c.x509, by->x509, NID_basic_constraints,
                wish->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish->eku)
        cert_extend(c.x509, by->x509, NID_ext_key_usage, wish->eku);
    if (wish->san)
        cert_extend(c.x509, by->x509, NID_subject_alt_name, wish->san);
    cr_assert_gt(X509_sign(c.x509, by->key, EVP_sha256()), 0);
    return c;
}

static inline void cert_free(struct cert *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
}

/* Write NAME.crt and NAME.key. */
static inline void cert_write(const struct cert *c, const char *name)
{
    char path[160];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s.crt", cert_folder, name);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    PEM_write_X509(file, c->x509);
    fclose(file);
    snprintf(path, sizeof path, "%s/%s.key", cert_folder, name);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    PEM_write_PrivateKey(file, c->key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    chmod(path, 0600);
}

static inline void certs_init(void)
{
    strcpy(cert_folder, "/tmp/freehub-net-XXXXXX");
    cr_assert_not_null(mkdtemp(cert_folder));
}

static inline void certs_fini(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", cert_folder);
    cr_assert_eq(system(command), 0);
}

#endif
